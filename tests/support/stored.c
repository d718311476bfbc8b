#include "tests/support/stored.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include <cmocka.h>

#include "controller/model/object.h"

#define N_PORTS_MAX 4

static void wander_group(struct sp_book *, struct sp_random *, const struct sp_group *);
static void wander_server(struct sp_book *, struct sp_random *, const struct sp_server *);
static void wander_bridge(struct sp_book *, struct sp_random *, const struct sp_bridge *);

void
sp_book_clear(struct sp_book *b)
{
    for (size_t i = 0; i < b->n; i++) {
        sp_object_unref(b->objects[i]);
    }
    memset(b, 0, sizeof *b);
}

int
sp_book_receive(void *book, struct sp_object object)
{
    struct sp_book *b = book;

    assert_true(b->n < SP_BOOK_MAX);
    b->objects[b->n++] = object;
    return 0;
}

void
sp_book_change(struct sp_book *b, enum sp_kind kind, const void *before, const void *after)
{
    size_t i = 0;

    assert_true(b->n_changes < SP_BOOK_CHANGES_MAX);
    b->changes[b->n_changes++] = (struct sp_change) {.kind = kind, .before = before, .after = after};
    while (before && b->objects[i].object != before) {
        i++;
        assert_true(i < b->n);
    }
    if (!before) {
        sp_book_receive(b, (struct sp_object) {kind, after});
    } else if (after) {
        b->objects[i].object = after;
    } else {
        b->objects[i] = b->objects[--b->n];
    }
}

void
sp_book_settle(struct sp_book *b, bool kept)
{
    for (size_t i = b->n_changes; i-- > 0;) {
        struct sp_change c = b->changes[i];

        if (kept) {
            sp_object_unref((struct sp_object) {c.kind, c.before});
            continue;
        }
        for (size_t j = 0; c.after && j < b->n; j++) {
            if (b->objects[j].object == c.after) {
                b->objects[j] = b->objects[--b->n];
                break;
            }
        }
        if (c.before) {
            sp_book_receive(b, (struct sp_object) {c.kind, c.before});
        }
        sp_object_unref((struct sp_object) {c.kind, c.after});
    }
    b->n_changes = 0;
}

const void *
sp_book_find(const struct sp_book *b, enum sp_kind kind, size_t index)
{
    for (size_t i = 0; i < b->n; i++) {
        if (b->objects[i].kind == kind && !index--) {
            return b->objects[i].object;
        }
    }
    return NULL;
}

static void
assert_text(const char *a, const char *b)
{
    if (a && b) {
        assert_string_equal(a, b);
    } else {
        assert_true(!a && !b);
    }
}

static void
assert_region(const struct sp_region *a, const struct sp_region *b)
{
    assert_text(a->name, b->name);
    assert_int_equal(a->number, b->number);
    assert_memory_equal(&a->default_group, &b->default_group, sizeof a->default_group);
    assert_true(a->created_at == b->created_at);
}

static void
assert_rule(const struct sp_rule *a, const struct sp_rule *b)
{
    const struct sp_meaning *m = &a->meaning, *o = &b->meaning;

    assert_memory_equal(&a->id, &b->id, sizeof a->id);
    assert_true(m->direction == o->direction && m->action == o->action && m->priority == o->priority);
    assert_true(m->protocol == o->protocol && m->remote == o->remote && m->port_min == o->port_min && m->port_max == o->port_max);
    assert_true(m->icmp_type == o->icmp_type && m->icmp_code == o->icmp_code);
    assert_true(sp_cidr_equal(&m->remote_cidr, &o->remote_cidr));
    assert_memory_equal(&m->remote_group, &o->remote_group, sizeof m->remote_group);
    assert_text(a->description, b->description);
    assert_true(a->origin == b->origin && a->created_at == b->created_at && a->updated_at == b->updated_at);
}

static void
assert_group(const struct sp_group *a, const struct sp_group *b)
{
    assert_text(a->region, b->region);
    assert_text(a->name, b->name);
    assert_text(a->description, b->description);
    assert_true(a->revision == b->revision && a->created_at == b->created_at && a->updated_at == b->updated_at);
    assert_int_equal(a->n_rules, b->n_rules);
    for (size_t i = 0; i < a->n_rules; i++) {
        assert_rule(a->rules[i], b->rules[i]);
    }
}

static void
assert_port(const struct sp_port *a, const struct sp_port *b)
{
    assert_memory_equal(&a->id, &b->id, sizeof a->id);
    assert_memory_equal(&a->server, &b->server, sizeof a->server);
    assert_memory_equal(&a->mac, &b->mac, sizeof a->mac);
    assert_true(a->has_bridge == b->has_bridge && a->dpid == b->dpid && a->vlan == b->vlan && a->zone == b->zone);
    assert_true(a->port_security == b->port_security);
    assert_text(a->name, b->name);
    assert_text(a->iface_id, b->iface_id);
    assert_int_equal(a->n_ips, b->n_ips);
    for (size_t i = 0; i < a->n_ips; i++) {
        assert_true(sp_cidr_equal(&a->ips[i], &b->ips[i]));
    }
    assert_int_equal(a->n_pairs, b->n_pairs);
    for (size_t i = 0; i < a->n_pairs; i++) {
        assert_true(sp_cidr_equal(&a->pairs[i].ip, &b->pairs[i].ip));
        assert_true(sp_mac_equal(&a->pairs[i].mac, &b->pairs[i].mac));
    }
}

static void
assert_server(const struct sp_server *a, const struct sp_server *b)
{
    assert_text(a->name, b->name);
    assert_text(a->region, b->region);
    assert_true(a->kind == b->kind && a->set == b->set && a->created_at == b->created_at && a->updated_at == b->updated_at);
    assert_int_equal(a->n_groups, b->n_groups);
    if (a->n_groups) {
        assert_memory_equal(a->groups, b->groups, a->n_groups * sizeof *a->groups);
    }
    assert_int_equal(a->n_ports, b->n_ports);
    for (size_t i = 0; i < a->n_ports; i++) {
        assert_port(a->ports[i], b->ports[i]);
    }
}

static void
assert_bridge(const struct sp_bridge *a, const struct sp_bridge *b)
{
    assert_true(a->created_at == b->created_at);
    assert_int_equal(a->n_uplinks, b->n_uplinks);
    for (size_t i = 0; i < a->n_uplinks; i++) {
        assert_text(a->uplinks[i], b->uplinks[i]);
    }
}

static void
assert_rule_set(const struct sp_rule_set *a, const struct sp_rule_set *b)
{
    assert_text(a->region, b->region);
    assert_int_equal(a->version, b->version);
    assert_int_equal(a->n_groups, b->n_groups);
    assert_memory_equal(a->groups, b->groups, a->n_groups * sizeof *a->groups);
    assert_int_equal(a->n_admissions, b->n_admissions);
    for (size_t i = 0; i < a->n_admissions; i++) {
        assert_memory_equal(&a->admissions[i].rule, &b->admissions[i].rule, sizeof a->admissions[i].rule);
        assert_int_equal(a->admissions[i].slot, b->admissions[i].slot);
        assert_int_equal(a->admissions[i].mark, b->admissions[i].mark);
    }
}

static bool
is_same_key(enum sp_kind kind, const void *a, const void *b)
{
    switch (kind) {
    case SP_KIND_REGION:
        return !strcmp(((const struct sp_region *) a)->name, ((const struct sp_region *) b)->name);
    case SP_KIND_GROUP:
        return sp_uuid_equal(&((const struct sp_group *) a)->id, &((const struct sp_group *) b)->id);
    case SP_KIND_SERVER:
        return sp_uuid_equal(&((const struct sp_server *) a)->id, &((const struct sp_server *) b)->id);
    case SP_KIND_BRIDGE:
        return ((const struct sp_bridge *) a)->dpid == ((const struct sp_bridge *) b)->dpid;
    default:
        return ((const struct sp_rule_set *) a)->number == ((const struct sp_rule_set *) b)->number;
    }
}

void
sp_book_assert_equal(const struct sp_book *a, const struct sp_book *b)
{
    assert_true(a->counters.revision == b->counters.revision && a->counters.next_region == b->counters.next_region
                && a->counters.next_set == b->counters.next_set && a->counters.next_slot == b->counters.next_slot
                && a->counters.next_mark == b->counters.next_mark && a->counters.next_zone == b->counters.next_zone);
    assert_int_equal(a->n, b->n);
    for (size_t i = 0; i < a->n; i++) {
        enum sp_kind kind = a->objects[i].kind;
        const void *x = a->objects[i].object, *y = NULL;

        for (size_t j = 0; j < b->n && !y; j++) {
            if (b->objects[j].kind == kind && is_same_key(kind, x, b->objects[j].object)) {
                y = b->objects[j].object;
            }
        }
        assert_non_null(y);
        switch (kind) {
        case SP_KIND_REGION:
            assert_region(x, y);
            break;
        case SP_KIND_GROUP:
            assert_group(x, y);
            break;
        case SP_KIND_SERVER:
            assert_server(x, y);
            break;
        case SP_KIND_BRIDGE:
            assert_bridge(x, y);
            break;
        default:
            assert_rule_set(x, y);
            break;
        }
    }
}

struct sp_uuid
sp_random_uuid(struct sp_random *random)
{
    struct sp_uuid uuid;

    for (size_t i = 0; i < sizeof uuid.bytes; i++) {
        uuid.bytes[i] = (uint8_t) sp_random_next(random);
    }
    return uuid;
}

static struct sp_mac
random_mac(struct sp_random *random)
{
    struct sp_mac mac;

    for (size_t i = 0; i < sizeof mac.bytes; i++) {
        mac.bytes[i] = (uint8_t) sp_random_next(random);
    }
    mac.bytes[0] = 2;
    return mac;
}

static struct sp_cidr
random_cidr(struct sp_random *random, bool is_address)
{
    char text[64];
    struct sp_cidr cidr;
    unsigned a = sp_random_below(random, 65536), b = sp_random_below(random, 65536);

    if (sp_random_chance(random, 50)) {
        snprintf(text, sizeof text, "10.%u.%u.%u/%u", a % 256, b % 256, b / 256, is_address ? 32 : sp_random_below(random, 33));
    } else {
        snprintf(text, sizeof text, "2001:db8:%x::%x/%u", a, b, is_address ? 128 : sp_random_below(random, 129));
    }
    assert_int_equal(sp_cidr_parse(text, &cidr), 0);
    return cidr;
}

struct sp_rule *
sp_random_rule(struct sp_random *random, const struct sp_uuid *remote_group)
{
    static const int16_t protocols[] = {SP_PROTOCOL_ANY, 1, 6, 17, 47, 58, 132, 0, 255};
    struct sp_rule rule = {
        .id = sp_random_uuid(random),
        .meaning = {
            .direction = sp_random_chance(random, 50) ? SP_INBOUND : SP_OUTBOUND,
            .action = sp_random_chance(random, 50) ? SP_ALLOW : SP_DENY,
            .priority = (uint16_t) (1 + sp_random_below(random, 1000)),
            .protocol = protocols[sp_random_below(random, sizeof protocols / sizeof protocols[0])],
            .port_min = -1, .port_max = -1, .icmp_type = -1, .icmp_code = -1,
        },
        .description = (char *) (sp_random_chance(random, 50) ? "" : "d\xc3\xa9scription '; DROP TABLE rule; --\n"),
        .origin = sp_random_chance(random, 50) ? SP_ORIGIN_USER : SP_ORIGIN_DEFAULT,
        .created_at = (int64_t) (sp_random_next(random) >> 12),
        .updated_at = (int64_t) (sp_random_next(random) >> 12),
    };
    struct sp_meaning *m = &rule.meaning;

    if (m->protocol == 6 || m->protocol == 17 || m->protocol == 132) {
        m->port_min = (int32_t) sp_random_below(random, 65536);
        m->port_max = m->port_min + (int32_t) sp_random_below(random, (uint32_t) (65536 - m->port_min));
    } else if (m->protocol == 1 || m->protocol == 58) {
        m->icmp_type = (int16_t) ((int) sp_random_below(random, 257) - 1);
        m->icmp_code = (int16_t) (m->icmp_type < 0 ? -1 : (int) sp_random_below(random, 257) - 1);
    }
    if (sp_random_chance(random, 40)) {
        m->remote = SP_REMOTE_CIDR;
        m->remote_cidr = random_cidr(random, false);
    } else if (remote_group && sp_random_chance(random, 50)) {
        m->remote = SP_REMOTE_GROUP;
        m->remote_group = *remote_group;
    }
    return sp_rule_new(&rule);
}

static struct sp_port *
random_port(struct sp_book *b, struct sp_random *random, const struct sp_uuid *server, const struct sp_uuid *id)
{
    const struct sp_bridge *bridge = sp_book_find(b, SP_KIND_BRIDGE, 0);
    struct sp_address_pair pairs[2] = {
        {random_cidr(random, false), random_mac(random)},
        {random_cidr(random, true), random_mac(random)},
    };
    struct sp_cidr ips[3] = {random_cidr(random, true), random_cidr(random, true), random_cidr(random, true)};
    struct sp_port port = {
        .id = id ? *id : sp_random_uuid(random),
        .server = *server,
        .mac = random_mac(random),
        .ips = ips, .n_ips = sp_random_below(random, 4),
        .pairs = pairs, .n_pairs = sp_random_below(random, 3),
        .has_bridge = bridge && sp_random_chance(random, 50),
        .vlan = (uint16_t) sp_random_below(random, 4095),
        .port_security = sp_random_chance(random, 50),
        .zone = (uint16_t) (1 + sp_random_below(random, 65535)),
    };

    if (port.has_bridge) {
        port.dpid = bridge->dpid;
        port.name = (char *) "vnet0";
    }
    if (sp_random_chance(random, 50)) {
        port.iface_id = (char *) "iface \xe2\x82\xac";
    }
    return sp_port_new(&port);
}

static const struct sp_group *
add_group(struct sp_book *b, struct sp_random *random, const char *region, unsigned n_rules)
{
    const struct sp_group *other = sp_book_find(b, SP_KIND_GROUP, 0);
    struct sp_rule *rules[16];
    struct sp_group group = {.id = sp_random_uuid(random), .region = (char *) region, .name = (char *) "gr\xc3\xbcn",
                             .description = (char *) "d", .rules = rules, .n_rules = n_rules, .revision = ++b->counters.revision,
                             .created_at = 1, .updated_at = INT64_MAX};

    for (unsigned i = 0; i < n_rules; i++) {
        rules[i] = sp_random_rule(random, other ? &other->id : &group.id);
    }

    struct sp_group *new = sp_group_new(&group);

    sp_book_change(b, SP_KIND_GROUP, NULL, new);
    for (unsigned i = 0; i < n_rules; i++) {
        sp_rule_unref(rules[i]);
    }
    return new;
}

static int
compare_admissions(const void *a, const void *b)
{
    return sp_uuid_compare(&((const struct sp_admission *) a)->rule, &((const struct sp_admission *) b)->rule);
}

/* Every rule of 'group' in a set; those that 'old' has keep their slots, most of them their marks. */
static struct sp_rule_set *
make_set(struct sp_book *b, struct sp_random *random, const struct sp_group *group, const struct sp_rule_set *old)
{
    struct sp_admission admissions[256] = {0};
    struct sp_uuid id = group->id;
    struct sp_rule_set set = {.number = old ? old->number : b->counters.next_set++, .region = group->region, .groups = &id,
                              .n_groups = 1, .version = (uint32_t) sp_random_next(random), .admissions = admissions,
                              .n_admissions = group->n_rules};

    assert_true(group->n_rules < 256);
    for (size_t i = 0; i < group->n_rules; i++) {
        struct sp_admission *a = &admissions[i];

        *a = (struct sp_admission) {.rule = group->rules[i]->id};
        for (size_t j = 0; old && j < old->n_admissions; j++) {
            if (sp_uuid_equal(&old->admissions[j].rule, &a->rule)) {
                *a = old->admissions[j];
            }
        }
        if (!a->slot) {
            a->slot = b->counters.next_slot++;
        }
        if (!a->mark || sp_random_chance(random, 20)) {
            a->mark = group->rules[i]->meaning.action == SP_ALLOW ? b->counters.next_mark++ : 0;
        }
    }
    qsort(admissions, group->n_rules, sizeof admissions[0], compare_admissions);
    return sp_rule_set_new(&set);
}

void
sp_book_begin(struct sp_book *b, struct sp_random *random)
{
    char *uplinks[] = {(char *) "eth0", (char *) "bond \xe2\x82\xac"};
    struct sp_bridge bridge = {.dpid = 0xfedcba9876543210, .uplinks = uplinks, .n_uplinks = 2, .created_at = 5};

    struct sp_region sv2 = {.name = (char *) "SV2", .number = 1, .created_at = -1};
    struct sp_region ty2 = {.name = (char *) "TY2", .number = UINT32_MAX, .created_at = 0};

    b->counters = (struct sp_counters) {.next_region = 3, .next_set = 1, .next_slot = 1, .next_mark = 1, .next_zone = 9};

    const struct sp_group *first = add_group(b, random, "SV2", 12);
    const struct sp_group *second = add_group(b, random, "SV2", 3);

    add_group(b, random, "TY2", 0);
    sv2.default_group = second->id;
    sp_book_change(b, SP_KIND_REGION, NULL, sp_region_new(&sv2));
    sp_book_change(b, SP_KIND_REGION, NULL, sp_region_new(&ty2));
    sp_book_change(b, SP_KIND_BRIDGE, NULL, sp_bridge_new(&bridge));

    const struct sp_rule_set *set = make_set(b, random, first, NULL);

    sp_book_change(b, SP_KIND_RULE_SET, NULL, set);
    for (int i = 0; i < 2; i++) {
        struct sp_uuid groups[] = {first->id, second->id};
        struct sp_server server = {.id = sp_random_uuid(random), .name = (char *) "vm", .region = (char *) "SV2",
                                   .groups = groups, .n_groups = i ? 0 : 2, .kind = i ? SP_SERVER_BAREMETAL : SP_SERVER_VPS,
                                   .set = i ? 0 : set->number, .created_at = 3, .updated_at = 4};
        struct sp_port *ports[N_PORTS_MAX];

        server.ports = ports;
        server.n_ports = i ? 0 : 3;
        for (size_t j = 0; j < server.n_ports; j++) {
            ports[j] = random_port(b, random, &server.id, NULL);
        }
        sp_book_change(b, SP_KIND_SERVER, NULL, sp_server_new(&server));
        for (size_t j = 0; j < server.n_ports; j++) {
            sp_port_unref(ports[j]);
        }
    }
}

static const struct sp_group *
group_of(const struct sp_book *b, const struct sp_rule_set *set)
{
    const struct sp_group *group;

    for (size_t i = 0; (group = sp_book_find(b, SP_KIND_GROUP, i)) && !sp_uuid_equal(&group->id, &set->groups[0]); i++) {
    }
    assert_non_null(group);
    return group;
}

void
sp_book_wander(struct sp_book *b, struct sp_random *random)
{
    b->counters.revision++;
    if (sp_random_chance(random, 70)) {
        const struct sp_rule_set *set = sp_book_find(b, SP_KIND_RULE_SET, 0);

        /* The set's rules are its group's, so the two change together. */
        wander_group(b, random, group_of(b, set));
        sp_book_change(b, SP_KIND_RULE_SET, set, make_set(b, random, group_of(b, set), set));
    }
    if (sp_random_chance(random, 70)) {
        wander_server(b, random, sp_book_find(b, SP_KIND_SERVER, sp_random_below(random, 2)));
    }
    if (sp_random_chance(random, 30)) {
        wander_bridge(b, random, sp_book_find(b, SP_KIND_BRIDGE, 0));
    }
}

/* Drops, edits, adds and moves rules. */
static void
wander_group(struct sp_book *b, struct sp_random *random, const struct sp_group *old)
{
    struct sp_rule *rules[128];
    struct sp_group group = *old;

    group.rules = rules;
    group.n_rules = 0;
    group.revision = b->counters.revision;
    for (size_t i = 0; i < old->n_rules; i++) {
        if (sp_random_chance(random, old->n_rules > 40 ? 30 : 10)) {
            continue;
        }
        if (sp_random_chance(random, 10)) {
            struct sp_rule *other = sp_random_rule(random, &old->id);
            struct sp_rule edited = *other;

            edited.id = old->rules[i]->id;
            rules[group.n_rules++] = sp_rule_new(&edited);
            sp_rule_unref(other);
        } else {
            rules[group.n_rules++] = sp_rule_ref(old->rules[i]);
        }
    }
    for (unsigned n = sp_random_below(random, 5); n; n--) {
        rules[group.n_rules++] = sp_random_rule(random, &old->id);
    }
    for (unsigned n = sp_random_chance(random, 30) ? 2 : 0; n && group.n_rules; n--) {
        size_t x = sp_random_below(random, (uint32_t) group.n_rules), y = sp_random_below(random, (uint32_t) group.n_rules);
        struct sp_rule *swapped = rules[x];

        rules[x] = rules[y];
        rules[y] = swapped;
    }
    sp_book_change(b, SP_KIND_GROUP, old, sp_group_new(&group));
    for (size_t i = 0; i < group.n_rules; i++) {
        sp_rule_unref(rules[i]);
    }
}

static void
wander_server(struct sp_book *b, struct sp_random *random, const struct sp_server *old)
{
    struct sp_port *ports[N_PORTS_MAX];
    struct sp_uuid groups[3];
    struct sp_server server = *old;

    server.ports = ports;
    server.n_ports = 0;
    server.groups = groups;
    server.n_groups = 0;
    server.updated_at++;
    server.name = (char *) (sp_random_chance(random, 50) ? "vm" : "vm \xf0\x9d\x84\x9e");
    for (size_t i = 0; i < 3; i++) {
        if (sp_random_chance(random, 60)) {
            groups[server.n_groups++] = ((const struct sp_group *) sp_book_find(b, SP_KIND_GROUP, i))->id;
        }
    }
    for (size_t i = 0; i < old->n_ports; i++) {
        switch (sp_random_below(random, 6)) {
        case 0: /* Goes. */
            break;
        case 1:
            ports[server.n_ports++] = random_port(b, random, &old->id, &old->ports[i]->id);
            break;
        default:
            ports[server.n_ports++] = sp_port_ref(old->ports[i]);
            break;
        }
    }
    if (server.n_ports < N_PORTS_MAX && sp_random_chance(random, 60)) {
        ports[server.n_ports++] = random_port(b, random, &old->id, NULL);
    }
    if (server.n_ports > 1 && sp_random_chance(random, 20)) {
        struct sp_port *first = ports[0];

        ports[0] = ports[server.n_ports - 1];
        ports[server.n_ports - 1] = first;
    }
    sp_book_change(b, SP_KIND_SERVER, old, sp_server_new(&server));
    for (size_t i = 0; i < server.n_ports; i++) {
        sp_port_unref(ports[i]);
    }
}

static void
wander_bridge(struct sp_book *b, struct sp_random *random, const struct sp_bridge *old)
{
    char *uplinks[] = {(char *) "eth0", (char *) "eth1", (char *) "eth2"};
    struct sp_bridge bridge = *old;

    bridge.uplinks = uplinks;
    bridge.n_uplinks = sp_random_below(random, 4);
    sp_book_change(b, SP_KIND_BRIDGE, old, sp_bridge_new(&bridge));
}

struct outcome {
    bool is_done;
    int error;
    char *why;
    size_t why_size;
};

static void
on_done(void *aux, int error, const char *why)
{
    struct outcome *o = aux;

    assert_false(o->is_done);
    o->is_done = true;
    o->error = error;
    assert_int_equal(!why, !error);
    if (o->why) {
        snprintf(o->why, o->why_size, "%s", why ? why : "");
    }
}

int
sp_book_commit(struct sp_book *b, struct sp_store *store, struct uv_loop_s *loop, char *why, size_t why_size)
{
    struct outcome o = {.why = why, .why_size = why_size};

    store->ops->commit(store, b->changes, b->n_changes, &b->counters, NULL, on_done, &o);
    assert_false(o.is_done);
    while (!o.is_done) {
        uv_run(loop, UV_RUN_ONCE);
    }
    sp_book_settle(b, !o.error);
    return o.error;
}
