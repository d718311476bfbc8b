/* What the compiler makes of single facts: how many flows, which of two alike, and what it refuses.  What the flows mean is
 * judged in tests/property/compile.c and by packets in tests/system/. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flows/compile.h"
#include "flows/table.h"
#include "tests/support/random.h"

#define PAIRS_MAX 65535u /* Identities of a port are 16 bits wide. */

static const struct sp_mac own = {{2, 0, 0, 0, 0, 1}}, other = {{2, 0, 0, 0, 0, 2}};

static struct sp_cidr cidr(const char *text)
{
    struct sp_cidr c = {0};

    assert_int_equal(sp_cidr_parse(text, &c), 0);
    return c;
}

/* Checks what holds for all flows, and empties the list.  Returns how many there were. */
static size_t finish(struct sp_flow_list *flows)
{
    struct sp_flow_table *table = sp_flow_table_new();
    size_t n = flows->n;

    assert_non_null(table);
    for (size_t i = 0; i < n; i++) {
        assert_null(sp_flow_table_find(table, flows->flows[i])); /* One key, one flow. */
        assert_int_equal(sp_flow_table_put(table, flows->flows[i]), 0);
        assert_true(flows->flows[i]->priority >= 1);
        assert_true((flows->flows[i]->cookie & SP_COOKIE_OWNER_MASK) == SP_COOKIE_OWNER);
    }
    sp_flow_table_free(table);
    sp_flow_list_clear(flows);
    return n;
}

static size_t count(const struct sp_flow_list *flows, uint8_t table)
{
    size_t n = 0;

    for (size_t i = 0; i < flows->n; i++) {
        n += flows->flows[i]->table == table;
    }
    return n;
}

static void static_flows(void **aux)
{
    struct sp_flow_list flows;

    sp_flow_list_init(&flows);
    assert_int_equal(sp_compile_static(&flows), 0);
    for (size_t i = 0; i < flows.n; i++) {
        assert_int_equal(SP_COOKIE_KIND(flows.flows[i]->cookie), SP_COOKIE_STATIC);
    }
    assert_int_equal(count(&flows, SP_T_DELIVERED), 1);
    assert_int_equal(count(&flows, SP_T_ENTER), 16); /* For eight numbers, from a server and from an uplink. */
    assert_true(finish(&flows) > 50);
}

static void uplinks(void **aux)
{
    static const uint16_t ofports[] = {4, 9};
    struct sp_flow_list flows;

    sp_flow_list_init(&flows);
    assert_int_equal(sp_compile_uplinks(ofports, 0, &flows), 0);
    assert_int_equal(finish(&flows), 0);
    assert_int_equal(sp_compile_uplinks(ofports, 1, &flows), 0);
    assert_int_equal(finish(&flows), 3 + 1 + 1);
    assert_int_equal(sp_compile_uplinks(ofports, 2, &flows), 0);
    assert_int_equal(finish(&flows), 2 * (3 + 1) + 1);
}

static void ports(void **aux)
{
    struct sp_cidr ips[] = {cidr("10.0.0.1"), cidr("10.0.0.1"), sp_cidr_link_local(&own)};
    struct sp_port port = {.mac = own, .ips = ips, .n_ips = 1, .port_security = true, .zone = 7};
    struct sp_port_facts facts = {.port = &port, .ofport = 3, .set = 1};
    struct sp_flow_list flows;

    sp_flow_list_init(&flows);
    assert_int_equal(sp_compile_port(&facts, &flows), 0);
    assert_int_equal(count(&flows, SP_T_ADDRESS), 1);
    assert_int_equal(count(&flows, SP_T_HARDWARE), 1); /* Also for the link-local address, and for fragments. */
    assert_int_equal(finish(&flows), 5);

    port.n_ips = 3; /* The same said twice, and what nobody needs to say. */
    assert_int_equal(sp_compile_port(&facts, &flows), 0);
    assert_int_equal(finish(&flows), 5 + 1);

    port.vlan = 5; /* May come with the VLAN's tag too. */
    assert_int_equal(sp_compile_port(&facts, &flows), 0);
    assert_int_equal(count(&flows, SP_T_CLASSIFY), 2);
    assert_int_equal(finish(&flows), 7);

    port.port_security = false;
    assert_int_equal(sp_compile_port(&facts, &flows), 0);
    assert_int_equal(count(&flows, SP_T_SOURCE) + count(&flows, SP_T_HARDWARE) + count(&flows, SP_T_ADDRESS), 0);
    finish(&flows);
}

static void pairs(void **aux)
{
    struct sp_cidr ip = cidr("10.0.0.1");
    struct sp_address_pair *all = calloc(PAIRS_MAX + 1, sizeof *all);
    struct sp_port port = {.mac = own, .ips = &ip, .n_ips = 1, .port_security = true, .zone = 7, .pairs = all};
    struct sp_port_facts facts = {.port = &port, .ofport = 3, .set = 1};
    struct sp_flow_list flows;

    assert_non_null(all);
    sp_flow_list_init(&flows);
    all[0] = (struct sp_address_pair){cidr("10.0.0.9"), other};
    all[1] = (struct sp_address_pair){cidr("0.0.0.0/0"), own};
    all[2] = (struct sp_address_pair){cidr("::/0"), other};
    all[3] = all[0];
    port.n_pairs = 4;
    assert_int_equal(sp_compile_port(&facts, &flows), 0);
    assert_int_equal(count(&flows, SP_T_CLASSIFY), 2);
    assert_int_equal(count(&flows, SP_T_HARDWARE), 2 + 1); /* The pair's once more for fragments. */
    assert_int_equal(count(&flows, SP_T_ADDRESS), 1 + 3);
    finish(&flows);

    for (size_t i = 0; i <= PAIRS_MAX; i++) { /* An index that does not fit into 16 bits. */
        all[i] = (struct sp_address_pair){cidr("10.0.0.9"), own};
    }
    all[PAIRS_MAX - 1].mac = other;
    port.n_pairs = PAIRS_MAX;
    assert_int_equal(sp_compile_port(&facts, &flows), 0);
    finish(&flows);
    all[PAIRS_MAX - 1].mac = own;
    all[PAIRS_MAX].mac = other;
    port.n_pairs = PAIRS_MAX + 1;
    assert_int_equal(sp_compile_port(&facts, &flows), SP_E_RANGE);
    finish(&flows);
    free(all);
}

static void destinations(void **aux)
{
    static uint16_t many[4000];
    static const uint8_t chunks[] = {0, 7, 47};
    struct sp_cidr ip = cidr("10.0.0.1"), ip6 = cidr("2001:db8::1");
    struct sp_flow_list flows;
    char text[1024];

    for (uint16_t i = 0; i < 4000; i++) {
        many[i] = (uint16_t) (i + 1);
    }
    sp_flow_list_init(&flows);
    assert_int_equal(sp_compile_mac(0, &own, many, 1, &flows), 0);
    assert_int_equal(sp_compile_mac(5, &own, many, 1000, &flows), 0);
    assert_int_equal(sp_compile_target(0, &ip, many, 1, &flows), 0);
    assert_int_equal(sp_compile_target(0, &ip6, many, 2, &flows), 0);
    assert_int_equal(sp_compile_flood_vlan(0, chunks, 3, &flows), 0);
    assert_int_equal(sp_compile_flood_chunk(0, 7, many, 1000, &flows), 0);
    assert_int_equal(sp_compile_remote(1, &ip, 4, &flows), 0);
    assert_int_equal(sp_compile_remote(1, &ip6, 4, &flows), 0);
    assert_int_equal(sp_compile_remote(2, &ip, 4, &flows), 0);
    sp_flow_format(flows.flows[flows.n - 2], text, sizeof text);
    assert_string_equal(text, "cookie=0x5350060000000004,table=16,priority=100,dl_type=0x86dd,reg7=0x1,reg9=0x1/0xffffff,"
                              "reg10=0x20010db8,reg11=0x0,reg12=0x0 actions=load:0x4->NXM_NX_REG4[]");
    assert_int_equal(finish(&flows), 2 + 2 + 2 + 3);

    assert_int_equal(sp_compile_mac(0, &own, many, 4000, &flows), SP_E_RANGE);
    assert_int_equal(sp_compile_target(0, &ip, many, 4000, &flows), SP_E_RANGE);
    assert_int_equal(sp_compile_flood_chunk(0, 7, many, 4000, &flows), SP_E_RANGE);
    assert_int_equal(finish(&flows), 0);
}

/* The lowest number before all, then what denies, then the longest mask of ports; below what passes SCTP on. */
static void rule_priorities(void **aux)
{
    unsigned last = 0;

    for (unsigned priority = 1000; priority >= 1; priority--) {
        for (unsigned denies = 0; denies < 2; denies++) {
            for (unsigned bits = 0; bits <= 16; bits++) {
                unsigned now = SP_RULE_PRIORITY(priority, denies, bits);

                assert_true(bits == 1 ? now == last : now > last); /* 1 bit is not told from none. */
                assert_int_equal(SP_RULE_PRIORITY_DENIES(now), denies);
                last = now;
            }
        }
    }
    for (unsigned bits = 1; bits <= 16; bits++) { /* Above them the ports that no rule names. */
        assert_true(SP_UNNAMED_PRIORITY(bits) > last);
        last = SP_UNNAMED_PRIORITY(bits);
    }
    assert_in_range(last, 1, 64999);
}

static struct sp_meaning meaning(int protocol, int32_t low, int32_t high)
{
    return (struct sp_meaning){.direction = SP_INBOUND, .action = SP_ALLOW, .priority = 100, .protocol = (int16_t) protocol,
                               .port_min = low, .port_max = high, .icmp_type = -1, .icmp_code = -1};
}

static void rule_sets(void **aux)
{
    struct sp_meaning wide = meaning(SP_PROTOCOL_TCP, 1, 65534), all = meaning(SP_PROTOCOL_UDP, 0, 65535);
    struct sp_meaning ping = meaning(SP_PROTOCOL_ICMP, -1, -1), any = meaning(SP_PROTOCOL_ANY, -1, -1);
    struct sp_meaning group = meaning(SP_PROTOCOL_TCP, 80, 80);
    static const uint32_t classes[] = {4, 5, 6};
    struct sp_rule_facts rules[] = {
        {.meaning = &wide, .slot = 1, .mark = 11}, {.meaning = &wide, .slot = 2, .mark = 12},
        {.meaning = &all, .slot = 3, .mark = 13},  {.meaning = &ping, .slot = 4, .mark = 14},
        {.meaning = &any, .slot = 5, .mark = 15},
        {.meaning = &group, .slot = 6, .mark = 16, .classes = classes, .n_classes = 3},
    };
    struct sp_rule_set_facts set = {.number = 9, .version = 3, .region = 1, .rules = rules};
    struct sp_flow_list flows;
    size_t bare;

    sp_flow_list_init(&flows);
    assert_int_equal(sp_compile_rule_set(&set, NULL, &flows, NULL), 0);
    bare = finish(&flows);

    group.remote = SP_REMOTE_GROUP;
    set.n_rules = 6;
    assert_int_equal(sp_compile_rule_set(&set, NULL, &flows, NULL), 0);
    assert_int_equal(count(&flows, SP_T_STAMP), 6);
    assert_int_equal(count(&flows, SP_T_RULES_IN), 2 * 4 + 2 + 1 + 2 + 2 * 3); /* 4: a nest. */
    assert_int_equal(count(&flows, SP_T_RULES_OUT), 0);
    assert_int_equal(count(&flows, SP_T_SCTP_ORIGINAL), 2); /* Of the rule for any protocol. */
    assert_int_equal(count(&flows, SP_T_SCTP_REPLY), 2);
    for (size_t i = 0; i < flows.n; i++) { /* Of two alike the first stands. */
        assert_false(flows.flows[i]->table == SP_T_RULES_IN && SP_COOKIE_NUMBER(flows.flows[i]->cookie) == 2);
    }
    assert_int_equal(count(&flows, SP_T_WIDE_IN), 2); /* Of the same, for what the nest takes out. */
    assert_int_equal(finish(&flows), bare + 2 * 6 + 19 + 4 + 2);

    group.port_min = group.port_max = 65535; /* Beside the first rule's: it can be no nest in any family. */
    assert_int_equal(sp_compile_rule_set(&set, NULL, &flows, NULL), 0);
    assert_int_equal(count(&flows, SP_T_RULES_IN), 2 * 30 + 2 + 1 + 2 + 2 * 3);
    finish(&flows);

    group.remote = SP_REMOTE_CIDR; /* A protocol of one family with a prefix of the other says nothing. */
    group.remote_cidr = cidr("2001:db8::/32");
    group.protocol = SP_PROTOCOL_ICMP;
    group.port_min = group.port_max = -1;
    set.rules = &rules[5];
    set.n_rules = 1;
    assert_int_equal(sp_compile_rule_set(&set, NULL, &flows, NULL), 0);
    assert_int_equal(finish(&flows), bare + 2);

    set.region = SP_REGION_MASK + 1;
    assert_int_equal(sp_compile_rule_set(&set, NULL, &flows, NULL), SP_E_RANGE);
    assert_int_equal(finish(&flows), 0);
}

/* How many flows of 'flows' in table RULES_IN belong to the set, and not to a rule of it, and lead to 'table'. */
static size_t count_unnamed(const struct sp_flow_list *flows, uint8_t table)
{
    size_t n = 0;

    for (size_t i = 0; i < flows->n; i++) {
        const struct sp_flow *flow = flows->flows[i];

        n += flow->table == SP_T_RULES_IN && SP_COOKIE_KIND(flow->cookie) == SP_COOKIE_SET && flow->actions_size == 2 &&
             sp_flow_actions(flow)[0] == (table < flow->table ? SP_OP_RESUBMIT : SP_OP_GOTO) && sp_flow_actions(flow)[1] == table;
    }
    return n;
}

/* Compiles 'set' and compares how many blocks deny, how many lead to the rules for all ports, and how many flows these have
 * there. */
static void check_unnamed(const struct sp_rule_set_facts *set, size_t n_denied, size_t n_wide, size_t n_flows)
{
    struct sp_flow_list flows;

    sp_flow_list_init(&flows);
    assert_int_equal(sp_compile_rule_set(set, NULL, &flows, NULL), 0);
    assert_int_equal(count_unnamed(&flows, SP_T_DENIED), n_denied);
    assert_int_equal(count_unnamed(&flows, SP_T_WIDE_IN), n_wide);
    assert_int_equal(count(&flows, SP_T_WIDE_IN), n_flows);
    assert_int_equal(count(&flows, SP_T_WIDE_OUT), 0);
    finish(&flows);
}

/* How many of the set's flows are printed as 'wanted'. */
static size_t count_text(const struct sp_rule_set_facts *set, const char *wanted)
{
    struct sp_flow_list flows;
    char text[1024];
    size_t n = 0;

    sp_flow_list_init(&flows);
    assert_int_equal(sp_compile_rule_set(set, NULL, &flows, NULL), 0);
    for (size_t i = 0; i < flows.n; i++) {
        sp_flow_format(flows.flows[i], text, sizeof text);
        n += !strcmp(text, wanted);
    }
    finish(&flows);
    return n;
}

/* What no rule names, by the first bits of its port; see tests/property/unnamed.c for which ports these are. */
static void ports_that_no_rule_names(void **aux)
{
    static const uint32_t classes[] = {5, 6};
    struct sp_meaning ssh = meaning(SP_PROTOCOL_TCP, 22, 22), more = meaning(SP_PROTOCOL_UDP, 80, 80);
    struct sp_rule_facts rules[] = {{.meaning = &ssh, .slot = 1, .mark = 11}, {.meaning = &more, .slot = 2, .mark = 12}};
    struct sp_rule_set_facts set = {.number = 9, .version = 3, .region = 1, .rules = rules, .n_rules = 1};

    check_unnamed(&set, 2 * 8, 0, 0);
    assert_int_equal(count_text(&set, "cookie=0x5350040000000009,table=21,priority=64108,dl_type=0x800,ct_state=-inv+trk,"
                                      "ct_nw_proto=6,ct_tp_dst=0x100/0xff00,reg2=0x9 actions=goto_table:26"), 1);
    set.n_rules = 2; /* Each protocol for itself. */
    check_unnamed(&set, 4 * 8, 0, 0);
    more.protocol = SP_PROTOCOL_SCTP;
    check_unnamed(&set, 2 * 8, 0, 0);

    more.protocol = SP_PROTOCOL_ANY; /* Is asked, alone, for what the other one does not name. */
    more.port_min = more.port_max = -1;
    check_unnamed(&set, 0, 2 * 8, 2);
    assert_int_equal(count_text(&set, "cookie=0x5350040000000009,table=21,priority=64108,dl_type=0x800,ct_state=-inv+trk,"
                                      "ct_nw_proto=6,ct_tp_dst=0x100/0xff00,reg2=0x9 actions=resubmit(,19)"), 1);
    assert_int_equal(count_text(&set, "cookie=0x5350050000000002,table=19,priority=57610,dl_type=0x800,ct_state=-inv+trk,"
                                      "reg2=0x9 actions=load:0x2->NXM_NX_REG7[],goto_table:24"), 1);
    more.protocol = SP_PROTOCOL_TCP;
    check_unnamed(&set, 0, 2 * 8, 2);
    more.port_min = 0;
    more.port_max = 65535;
    check_unnamed(&set, 0, 2 * 8, 2);
    more.protocol = SP_PROTOCOL_UDP; /* Of this one, no port is named. */
    check_unnamed(&set, 2 * 8, 0, 0);
    more.protocol = SP_PROTOCOL_ANY;
    more.port_min = more.port_max = -1;
    more.remote = SP_REMOTE_CIDR; /* In its family. */
    more.remote_cidr = cidr("2001:db8::/32");
    check_unnamed(&set, 8, 8, 1);
    more.remote = SP_REMOTE_GROUP; /* A group that nobody is in. */
    check_unnamed(&set, 0, 2 * 8, 0);
    rules[1].classes = classes;
    rules[1].n_classes = 2;
    check_unnamed(&set, 0, 2 * 8, 2 * 2);
    more.direction = SP_OUTBOUND;
    check_unnamed(&set, 2 * 8, 0, 0);
    more = meaning(SP_PROTOCOL_ANY, -1, -1); /* Nothing is told apart by ports. */
    rules[0].meaning = &more;
    check_unnamed(&set, 0, 0, 0);
}

/* How many flows of 'flows' in table RULES_IN are of slot 1, and how many its nest takes out, all leading to 'table'. */
static void check_nest(const struct sp_rule_set_facts *set, size_t n_in, size_t n_out, uint8_t table)
{
    struct sp_flow_list flows;
    size_t in = 0, out = 0;

    sp_flow_list_init(&flows);
    assert_int_equal(sp_compile_rule_set(set, NULL, &flows, NULL), 0);
    for (size_t i = 0; i < flows.n; i++) {
        const struct sp_flow *flow = flows.flows[i];

        in += flow->table == SP_T_RULES_IN && flow->cookie == SP_COOKIE(SP_COOKIE_RULE, 1);
        if (flow->table == SP_T_RULES_IN && flow->cookie == SP_COOKIE(SP_COOKIE_SET, 9) &&
            flow->priority < SP_UNNAMED_PRIORITY(1)) {
            assert_int_equal(flow->actions_size, 2);
            assert_int_equal(sp_flow_actions(flow)[1], table);
            out++;
        }
    }
    assert_int_equal(in, n_in);
    assert_int_equal(out, n_out);
    finish(&flows);
}

static void ranges_as_nests(void **aux)
{
    struct sp_meaning range = meaning(SP_PROTOCOL_TCP, 257, 510), more = meaning(SP_PROTOCOL_TCP, 512, 512);
    struct sp_rule_facts rules[] = {{.meaning = &range, .slot = 1, .mark = 11}, {.meaning = &more, .slot = 2, .mark = 12}};
    struct sp_rule_set_facts set = {.number = 9, .version = 3, .region = 1, .rules = rules, .n_rules = 2};

    check_nest(&set, 2, 2 * 2, SP_T_DENIED);
    assert_int_equal(count_text(&set, "cookie=0x5350050000000001,table=21,priority=57624,dl_type=0x800,ct_state=-inv+trk,"
                                      "ct_nw_proto=6,ct_tp_dst=0x100/0xff00,reg2=0x9 "
                                      "actions=load:0x1->NXM_NX_REG7[],goto_table:24"), 1);
    assert_int_equal(count_text(&set, "cookie=0x5350040000000009,table=21,priority=57640,dl_type=0x800,ct_state=-inv+trk,"
                                      "ct_nw_proto=6,ct_tp_dst=511,reg2=0x9 actions=goto_table:26"), 1);
    for (int32_t beside = 256; beside < 512; beside += 255) {
        more.port_min = more.port_max = beside;
        check_nest(&set, 2 * 14, 0, 0);
    }
    more.action = SP_DENY; /* Whatever it does, ... */
    more.priority = 7;
    check_nest(&set, 2 * 14, 0, 0);
    more.remote = SP_REMOTE_CIDR; /* ... for whom, but for the other family, ... */
    more.remote_cidr = cidr("2001:db8::/32");
    check_nest(&set, 1 + 14, 2, SP_T_DENIED);
    range.remote = SP_REMOTE_CIDR; /* ... for nobody of the same addresses, ... */
    range.remote_cidr = cidr("10.1.0.0/16");
    more.remote_cidr = cidr("10.2.0.0/15");
    check_nest(&set, 1, 2, SP_T_DENIED);
    more.remote_cidr = cidr("10.1.2.3/32");
    check_nest(&set, 14, 0, 0);
    more.remote_cidr = cidr("10.0.0.0/15");
    check_nest(&set, 14, 0, 0);
    more.remote = SP_REMOTE_GROUP; /* Whoever is in it. */
    check_nest(&set, 14, 0, 0);
    range.remote = SP_REMOTE_ANY;
    more.remote = SP_REMOTE_CIDR;
    check_nest(&set, 14 + 1, 2, SP_T_DENIED);
    more.direction = SP_OUTBOUND; /* ... direction ... */
    check_nest(&set, 2, 2 * 2, SP_T_DENIED);
    more.direction = SP_INBOUND;
    more.protocol = SP_PROTOCOL_UDP; /* ... or protocol. */
    check_nest(&set, 2, 2 * 2, SP_T_DENIED);
    more = meaning(SP_PROTOCOL_ANY, -1, -1);
    check_nest(&set, 2, 2 * 2, SP_T_WIDE_IN);
    more = meaning(SP_PROTOCOL_TCP, 300, 400); /* Within it. */
    check_nest(&set, 2, 2 * 2, SP_T_DENIED);
    range.protocol = SP_PROTOCOL_SCTP;
    set.n_rules = 1;
    check_nest(&set, 0, 0, 0);
}

/* One rule more takes its own flows and a few: in each family one block is cut into at most seven, and if that was the last
 * one of 8 bits, another one is halved. */
static void one_rule_more_moves_few_blocks(void **aux)
{
    struct sp_meaning first = meaning(SP_PROTOCOL_TCP, 22, 22), more = first;
    struct sp_rule_facts rules[] = {{.meaning = &first, .slot = 1, .mark = 11}, {.meaning = &more, .slot = 2, .mark = 12}};
    struct sp_rule_set_facts set = {.number = 9, .version = 3, .region = 1, .rules = rules};
    struct sp_flow_list before, after;

    sp_flow_list_init(&before);
    sp_flow_list_init(&after);
    for (int32_t port = 0; port < 65536; port += 251) {
        size_t n_kept = 0;

        more.port_min = more.port_max = port;
        set.n_rules = 1;
        assert_int_equal(sp_compile_rule_set(&set, NULL, &before, NULL), 0);
        set.n_rules = 2;
        assert_int_equal(sp_compile_rule_set(&set, NULL, &after, NULL), 0);
        for (size_t i = 0; i < before.n; i++) {
            for (size_t k = 0; k < after.n; k++) {
                n_kept += sp_flow_equal(before.flows[i], after.flows[k]);
            }
        }
        assert_in_range(before.n - n_kept, 0, 2 * 2);
        assert_in_range(after.n - n_kept, 2, 2 + 2 + 2 * 7); /* Gate and step to the mark; the rule's; the blocks. */
        finish(&before);
        finish(&after);
    }
}

/* A list of rules that changes, from a few meanings, so that some make flows of the same keys. */
struct changing {
    struct sp_meaning meanings[40];
    struct sp_rule_facts rules[40];
    size_t n;
    uint32_t next_slot, next_mark;
};

static struct sp_meaning some_meaning(struct sp_random *random)
{
    static const int protocols[] = {SP_PROTOCOL_TCP, SP_PROTOCOL_ANY, SP_PROTOCOL_SCTP};
    struct sp_meaning m = meaning(protocols[sp_random_below(random, 3)], -1, -1);

    if (m.protocol != SP_PROTOCOL_ANY && sp_random_chance(random, 70)) {
        m.port_min = 80 + (int32_t) sp_random_below(random, 3);
        m.port_max = m.port_min + (int32_t) sp_random_below(random, 3);
    }
    if (m.protocol == SP_PROTOCOL_TCP && sp_random_chance(random, 50)) { /* Nests, some of which touch. */
        m.port_min = 256 * (int32_t) (1 + sp_random_below(random, 20)) + 1;
        m.port_max = m.port_min + 253 + (int32_t) sp_random_below(random, 3);
    }
    m.action = sp_random_chance(random, 50) ? SP_ALLOW : SP_DENY;
    if (sp_random_chance(random, 50)) {
        m.remote = SP_REMOTE_CIDR;
        m.remote_cidr = cidr(sp_random_chance(random, 50) ? "10.0.0.0/8" : "2001:db8::/32");
    } else if (sp_random_chance(random, 20)) {
        m.remote = SP_REMOTE_GROUP;
    }
    return m;
}

/* Adds, removes, alters or moves a rule. */
static void change(struct changing *c, struct sp_random *random)
{
    static const uint32_t classes[] = {4, 5};
    uint32_t what = c->n < 3 ? 0 : sp_random_below(random, c->n == 40 ? 3 : 4);
    size_t i = c->n ? sp_random_below(random, (uint32_t) c->n) : 0;
    struct sp_rule_facts moved = c->rules[i];
    struct sp_meaning its = c->meanings[i];

    if (what == 3 || !what) {
        i = c->n == 40 ? 39 : c->n++;
        c->meanings[i] = some_meaning(random);
        c->rules[i] = (struct sp_rule_facts){.slot = c->next_slot++, .mark = c->next_mark++};
    } else if (what == 1) { /* The same slot. */
        c->meanings[i] = sp_random_chance(random, 50) ? its : some_meaning(random);
        c->rules[i].mark = sp_random_chance(random, 50) ? c->next_mark++ : c->rules[i].mark;
    } else {
        c->n--;
        memmove(&c->rules[i], &c->rules[i + 1], (c->n - i) * sizeof *c->rules);
        memmove(&c->meanings[i], &c->meanings[i + 1], (c->n - i) * sizeof *c->meanings);
        if (sp_random_chance(random, 30)) { /* Back, at the end. */
            c->rules[c->n] = moved;
            c->meanings[c->n++] = its;
        }
    }
    for (i = 0; i < c->n; i++) {
        c->rules[i].meaning = &c->meanings[i];
        c->rules[i].classes = classes;
        c->rules[i].n_classes = c->meanings[i].remote == SP_REMOTE_GROUP ? sp_random_below(random, 3) : 0;
    }
}

/* How many of 'n' flows are the very objects that some of 'before' are. */
static size_t count_shared(const struct sp_flow_list *before, struct sp_flow *const *flows, size_t n)
{
    size_t shared = 0;

    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < before->n; k++) {
            shared += flows[i] == before->flows[k];
        }
    }
    return shared;
}

/* What was compiled before is taken over, and the outcome is the same as without. */
static void compiled_again(void **aux)
{
    static struct changing c = {.next_slot = 1, .next_mark = 1};
    struct sp_compiled_rule compiled[2][41];
    struct sp_flow_list flows[2], anew;
    struct sp_compiled_set before = {.n_rules = 0};
    struct sp_random random;
    size_t n_shared = 0, n_flows = 0;

    sp_random_init(&random);
    sp_flow_list_init(&anew);
    sp_flow_list_init(&flows[0]);
    sp_flow_list_init(&flows[1]);
    for (unsigned run = 0; run < 3000; run++) {
        struct sp_flow_list *was = &flows[run % 2], *now = &flows[(run + 1) % 2];
        struct sp_rule_set_facts set = {.number = 9, .version = run, .region = 1, .rules = c.rules};

        change(&c, &random);
        set.n_rules = c.n;
        sp_flow_list_clear(now);
        assert_int_equal(sp_compile_rule_set(&set, &before, now, compiled[run % 2]), 0);
        assert_int_equal(sp_compile_rule_set(&set, NULL, &anew, NULL), 0);
        assert_int_equal(now->n, anew.n);
        for (size_t i = 0; i < anew.n; i++) {
            assert_true(sp_flow_equal(now->flows[i], anew.flows[i]));
        }
        n_shared += count_shared(was, now->flows, now->n);
        n_flows += now->n;
        before = (struct sp_compiled_set){.rules = compiled[run % 2], .n_rules = c.n, .flows = now->flows};
        sp_flow_list_clear(&anew);
    }
    assert_true(n_shared > n_flows / 4);
    sp_flow_list_clear(&flows[0]);
    sp_flow_list_clear(&flows[1]);
}

/* See "Why a VERSION before ct()" in sallyport/pipeline.h: what ct() freezes is another with each version; and so is what SENDER
 * takes for judged by what is still there. */
static void version_is_frozen_by_conntrack(void **aux)
{
    struct sp_rule_set_facts set = {.number = 9, .version = 3, .region = 1};
    struct sp_flow_list third, fourth;
    size_t n = 0, n_senders = 0;

    sp_flow_list_init(&third);
    sp_flow_list_init(&fourth);
    assert_int_equal(sp_compile_rule_set(&set, NULL, &third, NULL), 0);
    set.version = 4;
    assert_int_equal(sp_compile_rule_set(&set, NULL, &fourth, NULL), 0);
    for (size_t i = 0; i < third.n; i++) {
        for (size_t j = 0; j < fourth.n && third.flows[i]->table == SP_T_RULE_SET; j++) {
            if (sp_flow_same_key(third.flows[i], fourth.flows[j])) {
                assert_false(sp_flow_equal(third.flows[i], fourth.flows[j]));
                n++;
            }
        }
    }
    assert_int_equal(n, 1);
    for (size_t i = 0; i < third.n; i++) {
        for (size_t j = 0; j < fourth.n && third.flows[i]->table == SP_T_SENDER; j++) {
            assert_false(sp_flow_same_key(third.flows[i], fourth.flows[j]));
            n_senders += fourth.flows[j]->table == SP_T_SENDER;
        }
    }
    assert_int_equal(n_senders, 1);
    finish(&third);
    finish(&fourth);
}

/* P5: what tells the controller of a denied packet stands behind the meter of its zone. */
static void reports_are_metered(void **aux)
{
    struct sp_flow_list flows;
    char text[1024], meter[32];

    sp_flow_list_init(&flows);
    assert_int_equal(sp_compile_reports(&flows), 0);
    assert_int_equal(flows.n, SP_METERS);
    for (uint32_t i = 0; i < SP_METERS; i++) {
        sp_flow_format(flows.flows[i], text, sizeof text);
        snprintf(meter, sizeof meter, "meter:%u,controller", SP_METER_FIRST + i);
        assert_non_null(strstr(text, meter));
    }
    finish(&flows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(static_flows), cmocka_unit_test(uplinks), cmocka_unit_test(ports),
        cmocka_unit_test(pairs),        cmocka_unit_test(destinations),
        cmocka_unit_test(rule_priorities), cmocka_unit_test(rule_sets),
        cmocka_unit_test(ports_that_no_rule_names), cmocka_unit_test(one_rule_more_moves_few_blocks),
        cmocka_unit_test(ranges_as_nests),
        cmocka_unit_test(compiled_again), cmocka_unit_test(version_is_frozen_by_conntrack),
        cmocka_unit_test(reports_are_metered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
