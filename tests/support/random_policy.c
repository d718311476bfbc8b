#include "tests/support/random_policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static const char *const addresses[SP_POLICY_ADDRESSES] = {
    "10.1.0.0", "10.1.0.1", "10.1.0.127", "10.1.0.128", "10.1.1.0", "10.2.0.0", "192.0.2.1", "203.0.113.9",
    "2001:db8::1", "2001:db8::ffff", "2001:db8::1:0", "2001:db9::1", "fe80::1", "2001:db8:0:1::1",
};
static const char *const prefixes[] = {
    "0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.0.0/25", "10.1.0.128/25", "10.1.0.1/32", "203.0.113.8/31",
    "::/0", "2001:db8::/32", "2001:db8::/112", "2001:db8::1/128", "fe80::/10",
};
static const int32_t edges[] = {0, 1, 2, 22, 79, 80, 81, 1023, 1024, 5198, 5210, 32767, 32768, 65534, 65535};
static const int protocols[] = {SP_PROTOCOL_ANY, SP_PROTOCOL_TCP, SP_PROTOCOL_UDP, SP_PROTOCOL_SCTP,
                                SP_PROTOCOL_ICMP, SP_PROTOCOL_ICMPV6, 47};

#define PICK(ARRAY) ((ARRAY)[sp_random_below(rng, sizeof(ARRAY) / sizeof *(ARRAY))])

static struct sp_cidr cidr(const char *text)
{
    struct sp_cidr c = {0};

    assert_int_equal(sp_cidr_parse(text, &c), 0);
    return c;
}

struct sp_uuid sp_policy_group(unsigned group)
{
    return (struct sp_uuid){.bytes = {(uint8_t) (group + 1)}};
}

bool sp_policy_is_member(void *aux, const struct sp_uuid *group, const struct sp_cidr *address)
{
    const struct sp_policy *w = aux;

    for (size_t i = 0; i < SP_POLICY_ADDRESSES; i++) {
        struct sp_cidr a = cidr(addresses[i]);

        if (sp_cidr_equal(&a, address)) {
            return w->class_of[i] && w->contains[group->bytes[0] - 1][w->class_of[i]];
        }
    }
    return false;
}

static bool has_ports(int protocol)
{
    return protocol == SP_PROTOCOL_TCP || protocol == SP_PROTOCOL_UDP || protocol == SP_PROTOCOL_SCTP;
}

struct sp_meaning sp_policy_draw_meaning(struct sp_random *rng)
{
    static const uint16_t priorities[] = {1, 99, 100, 100, 100, 101, 1000};
    struct sp_meaning m = {
        .direction = sp_random_chance(rng, 50) ? SP_INBOUND : SP_OUTBOUND,
        .action = sp_random_chance(rng, 65) ? SP_ALLOW : SP_DENY,
        .priority = PICK(priorities),
        .protocol = (int16_t) PICK(protocols),
        .port_min = -1,
        .port_max = -1,
        .icmp_type = -1,
        .icmp_code = -1,
    };
    bool icmp = m.protocol == SP_PROTOCOL_ICMP || m.protocol == SP_PROTOCOL_ICMPV6;

    m.remote = (enum sp_remote) sp_random_below(rng, 3);
    if (m.remote == SP_REMOTE_CIDR) {
        m.remote_cidr = cidr(PICK(prefixes));
        if (icmp && m.remote_cidr.family != (m.protocol == SP_PROTOCOL_ICMP ? 4 : 6)) {
            m.remote = SP_REMOTE_ANY;
        }
    } else if (m.remote == SP_REMOTE_GROUP) {
        m.remote_group = sp_policy_group(sp_random_below(rng, SP_POLICY_GROUPS));
    }
    if (has_ports(m.protocol) && sp_random_chance(rng, 80)) {
        int32_t a = PICK(edges), b = PICK(edges);

        m.port_min = a < b ? a : b;
        m.port_max = a < b ? b : a;
    } else if (icmp && sp_random_chance(rng, 60)) {
        m.icmp_type = (int16_t) (sp_random_chance(rng, 70) ? (m.protocol == SP_PROTOCOL_ICMP ? 8 : 128) : 13);
        m.icmp_code = (int16_t) (sp_random_chance(rng, 50) ? (int) sp_random_below(rng, 2) : -1);
    }
    return m;
}

void sp_policy_add(struct sp_random *rng, struct sp_policy *w, size_t at)
{
    struct sp_rule rule = {.refs = 1, .meaning = sp_policy_draw_meaning(rng)};
    uint32_t id = ++w->next_id;

    memcpy(rule.id.bytes, &id, sizeof id);
    memmove(w->rules + at + 1, w->rules + at, (w->n_rules - at) * sizeof *w->rules);
    memmove(w->slots + at + 1, w->slots + at, (w->n_rules - at) * sizeof *w->slots);
    memmove(w->marks + at + 1, w->marks + at, (w->n_rules - at) * sizeof *w->marks);
    w->rules[at] = rule;
    w->slots[at] = w->next_id;
    w->marks[at] = ++w->next_mark;
    w->n_rules++;
}

void sp_policy_remove(struct sp_policy *w, size_t at)
{
    w->n_rules--;
    memmove(w->rules + at, w->rules + at + 1, (w->n_rules - at) * sizeof *w->rules);
    memmove(w->slots + at, w->slots + at + 1, (w->n_rules - at) * sizeof *w->slots);
    memmove(w->marks + at, w->marks + at + 1, (w->n_rules - at) * sizeof *w->marks);
}

void sp_policy_draw(struct sp_random *rng, struct sp_policy *w)
{
    *w = (struct sp_policy){.version = 1};
    for (size_t i = 0; i < SP_POLICY_ADDRESSES; i++) {
        w->class_of[i] = sp_random_below(rng, SP_POLICY_CLASSES);
    }
    for (unsigned g = 0; g < SP_POLICY_GROUPS; g++) {
        for (unsigned c = 1; c < SP_POLICY_CLASSES; c++) {
            w->contains[g][c] = sp_random_chance(rng, 40);
        }
    }
    for (size_t n = sp_random_below(rng, SP_POLICY_RULES_MAX); n > 0; n--) {
        sp_policy_add(rng, w, w->n_rules);
    }
}

void sp_policy_compile(const struct sp_policy *w, uint32_t number, uint32_t region, struct sp_flow_list *flows)
{
    struct sp_rule_facts rules[SP_POLICY_RULES_MAX];
    uint32_t classes[SP_POLICY_RULES_MAX][SP_POLICY_CLASSES];
    struct sp_rule_set_facts set = {.number = number, .version = w->version, .region = region,
                                    .rules = rules, .n_rules = w->n_rules};

    for (size_t i = 0; i < w->n_rules; i++) {
        const struct sp_meaning *m = &w->rules[i].meaning;
        size_t n = 0;

        for (uint32_t c = 1; m->remote == SP_REMOTE_GROUP && c < SP_POLICY_CLASSES; c++) {
            if (w->contains[m->remote_group.bytes[0] - 1][c]) {
                classes[i][n++] = c;
            }
        }
        rules[i] = (struct sp_rule_facts){.meaning = m, .slot = w->slots[i], .mark = m->action == SP_ALLOW ? w->marks[i] : 0,
                                          .classes = classes[i], .n_classes = n};
    }
    for (size_t i = 0; i < SP_POLICY_ADDRESSES; i++) {
        struct sp_cidr ip = cidr(addresses[i]);

        if (w->class_of[i]) {
            assert_int_equal(sp_compile_remote(region, &ip, w->class_of[i], flows), 0);
        }
    }
    assert_int_equal(sp_compile_rule_set(&set, NULL, flows, NULL), 0);
}

struct sp_connection sp_policy_draw_connection(struct sp_random *rng)
{
    struct sp_connection c = {.port = -1, .icmp_type = -1, .icmp_code = -1};

    c.direction = sp_random_chance(rng, 50) ? SP_INBOUND : SP_OUTBOUND;
    c.remote = cidr(PICK(addresses));
    do {
        c.protocol = (uint8_t) PICK(protocols);
    } while (c.protocol == 0xff || (c.protocol == SP_PROTOCOL_ICMP && c.remote.family == 6) ||
             (c.protocol == SP_PROTOCOL_ICMPV6 && c.remote.family == 4));
    if (has_ports(c.protocol)) {
        int32_t near = PICK(edges) + (int32_t) sp_random_below(rng, 3) - 1;

        c.port = near < 0 ? 0 : near > 65535 ? 65535 : near;
    } else if (c.protocol == SP_PROTOCOL_ICMP || c.protocol == SP_PROTOCOL_ICMPV6) {
        c.icmp_type = (int16_t) (sp_random_chance(rng, 70) ? (c.protocol == SP_PROTOCOL_ICMP ? 8 : 128) : 13);
        c.icmp_code = (int16_t) sp_random_below(rng, 3);
    }
    return c;
}

bool sp_policy_allows(const struct sp_policy *w, const struct sp_connection *c)
{
    const struct sp_meaning *rules[SP_POLICY_RULES_MAX];
    ptrdiff_t i;

    for (size_t j = 0; j < w->n_rules; j++) {
        rules[j] = &w->rules[j].meaning;
    }
    i = sp_explain(rules, w->n_rules, c, sp_policy_is_member, (void *) w);
    return i >= 0 && rules[i]->action == SP_ALLOW;
}

struct sp_cidr sp_policy_address(size_t i)
{
    return cidr(addresses[i]);
}

int32_t sp_policy_draw_edge(struct sp_random *rng)
{
    return PICK(edges);
}
