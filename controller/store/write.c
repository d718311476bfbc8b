#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/store/rows.h"

/* In the order of the parameters that the functions below give.  A column that never changes and is part of an index is looked at
 * but not set: else the index would be written, too. */
#define STATEMENTS(S)                                                                                                         \
    S(COUNTERS_SET, "UPDATE counters SET revision = ?1, next_region = ?2, next_set = ?3, next_slot = ?4, next_mark = ?5,"     \
                    " next_zone = ?6")                                                                                        \
    S(REGION_ADD, "INSERT INTO region (name, number, default_group, created_at, report_blocked)"                              \
      " VALUES (?1, ?2, ?3, ?4, ?5)")                                                                                         \
    S(REGION_SET, "UPDATE region SET number = ?2, default_group = ?3, created_at = ?4, report_blocked = ?5 WHERE name = ?1")  \
    S(REGION_REMOVE, "DELETE FROM region WHERE name = ?1")                                                                    \
    S(GROUP_ADD, "INSERT INTO security_group (id, region, name, description, revision, created_at, updated_at)"               \
                 " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")                                                                      \
    S(GROUP_SET, "UPDATE security_group SET name = ?3, description = ?4, revision = ?5, created_at = ?6, updated_at = ?7"     \
                 " WHERE id = ?1 AND region = ?2")                                                                            \
    S(GROUP_REMOVE, "DELETE FROM security_group WHERE id = ?1")                                                               \
    S(RULE_ADD, "INSERT INTO rule (id, security_group, position, direction, action, priority, protocol, remote_ip,"           \
                " remote_group, port_min, port_max, icmp_type, icmp_code, description, origin, created_at, updated_at)"       \
                " VALUES (?1, ?2, (SELECT coalesce(max(position), 0) + 1 FROM rule WHERE security_group = ?2),"               \
                " ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)")                                            \
    S(RULE_SET, "UPDATE rule SET direction = ?3, action = ?4, priority = ?5, protocol = ?6, remote_ip = ?7, remote_group = ?8," \
                " port_min = ?9, port_max = ?10, icmp_type = ?11, icmp_code = ?12, description = ?13, origin = ?14,"          \
                " created_at = ?15, updated_at = ?16 WHERE id = ?1 AND security_group = ?2")                                  \
    S(RULE_REMOVE, "DELETE FROM rule WHERE id = ?1")                                                                          \
    S(RULE_COUNT_REMOVE, "DELETE FROM rule_count WHERE rule = ?1")                                                            \
    S(GROUP_COUNTS_REMOVE, "DELETE FROM rule_count WHERE rule IN (SELECT id FROM rule WHERE security_group = ?1)")            \
    S(GROUP_RULES_REMOVE, "DELETE FROM rule WHERE security_group = ?1")                                                       \
    S(BRIDGE_ADD, "INSERT INTO bridge (dpid, created_at) VALUES (?1, ?2)")                                                    \
    S(BRIDGE_SET, "UPDATE bridge SET created_at = ?2 WHERE dpid = ?1")                                                        \
    S(BRIDGE_REMOVE, "DELETE FROM bridge WHERE dpid = ?1")                                                                    \
    S(UPLINK_ADD, "INSERT INTO bridge_uplink (bridge, position, name) VALUES (?1, ?2, ?3)")                                   \
    S(UPLINKS_REMOVE, "DELETE FROM bridge_uplink WHERE bridge = ?1")                                                          \
    S(SET_ADD, "INSERT INTO rule_set (number, region, version) VALUES (?1, ?2, ?3)")                                          \
    S(SET_SET, "UPDATE rule_set SET version = ?3 WHERE number = ?1 AND region = ?2")                                           \
    S(SET_REMOVE, "DELETE FROM rule_set WHERE number = ?1")                                                                   \
    S(SET_GROUP_ADD, "INSERT INTO rule_set_group (rule_set, security_group) VALUES (?1, ?2)")                                 \
    S(SET_GROUPS_REMOVE, "DELETE FROM rule_set_group WHERE rule_set = ?1")                                                    \
    S(ADMISSION_ADD, "INSERT INTO admission (rule_set, rule, slot, mark) VALUES (?1, ?2, ?3, ?4)")                            \
    S(ADMISSION_SET, "UPDATE admission SET slot = ?3, mark = ?4 WHERE rule_set = ?1 AND rule = ?2")                           \
    S(ADMISSION_REMOVE, "DELETE FROM admission WHERE rule_set = ?1 AND rule = ?2")                                            \
    S(ADMISSIONS_REMOVE, "DELETE FROM admission WHERE rule_set = ?1")                                                         \
    S(SERVER_ADD, "INSERT INTO server (id, region, name, kind, rule_set, created_at, updated_at)"                             \
                  " VALUES (?1, ?2, ?3, ?4, nullif(?5, 0), ?6, ?7)")                                                          \
    S(SERVER_SET, "UPDATE server SET region = ?2, name = ?3, kind = ?4, rule_set = nullif(?5, 0), created_at = ?6,"           \
                  " updated_at = ?7 WHERE id = ?1")                                                                           \
    S(SERVER_REMOVE, "DELETE FROM server WHERE id = ?1")                                                                      \
    S(SERVER_GROUP_ADD, "INSERT INTO server_group (server, position, security_group) VALUES (?1, ?2, ?3)")                    \
    S(SERVER_GROUPS_REMOVE, "DELETE FROM server_group WHERE server = ?1")                                                     \
    S(PORT_ADD, "INSERT INTO port (id, server, position, mac, bridge, name, iface_id, vlan, port_security, zone)"             \
                " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")                                                          \
    S(PORT_REMOVE, "DELETE FROM port WHERE id = ?1")                                                                          \
    S(PORT_IP_ADD, "INSERT INTO port_ip (port, position, ip) VALUES (?1, ?2, ?3)")                                            \
    S(PORT_IPS_REMOVE, "DELETE FROM port_ip WHERE port = ?1")                                                                 \
    S(PORT_PAIR_ADD, "INSERT INTO port_pair (port, position, ip, mac) VALUES (?1, ?2, ?3, ?4)")                               \
    S(PORT_PAIRS_REMOVE, "DELETE FROM port_pair WHERE port = ?1")

enum {
#define NAME(ID, SQL) ID,
    STATEMENTS(NAME)
#undef NAME
    N_STATEMENTS
};

static const char *const sql[N_STATEMENTS] = {
#define TEXT(ID, SQL) [ID] = (SQL),
    STATEMENTS(TEXT)
#undef TEXT
};

struct sp_rows {
    struct sp_database *database;
    struct sp_statement *statements[N_STATEMENTS];
};

/* A rule of the list before, to be found by its id. */
struct known_rule {
    const struct sp_rule *rule;
    size_t index;
    bool is_kept;
};

typedef int write_change(struct sp_rows *, const void *before, const void *after);

static int write_region(struct sp_rows *, const void *before, const void *after);
static int write_group(struct sp_rows *, const void *before, const void *after);
static int write_server(struct sp_rows *, const void *before, const void *after);
static int write_bridge(struct sp_rows *, const void *before, const void *after);
static int write_rule_set(struct sp_rows *, const void *before, const void *after);
static int write_rules(struct sp_rows *, const struct sp_group *before, const struct sp_group *after);
static int write_rule(struct sp_rows *, int statement, const struct sp_group *, const struct sp_rule *);
static int write_admissions(struct sp_rows *, const struct sp_rule_set *before, const struct sp_rule_set *after);
static int write_ports(struct sp_rows *, const struct sp_server *before, const struct sp_server *after);
static int add_port(struct sp_rows *, const struct sp_port *, size_t position);
static int remove_port(struct sp_rows *, const struct sp_port *);
static struct sp_statement *take(struct sp_rows *, int statement);
static void give_uuid(struct sp_statement *, const struct sp_uuid *);
static void give_mac(struct sp_statement *, const struct sp_mac *);
static void give_dpid(struct sp_statement *, uint64_t dpid);
static int run_by_uuid(struct sp_rows *, int statement, const struct sp_uuid *, int n_rows);
static int run_by_number(struct sp_rows *, int statement, int64_t number, int n_rows);

int
sp_rows_new(struct sp_database *database, struct sp_rows **ret)
{
    struct sp_rows *w = calloc(1, sizeof *w);

    if (!w) {
        return -ENOMEM;
    }
    w->database = database;
    for (int i = 0; i < N_STATEMENTS; i++) {
        int r = sp_database_prepare(database, sql[i], &w->statements[i]);

        if (r) {
            free(w); /* The statements are the database's. */
            return r;
        }
    }
    *ret = w;
    return 0;
}

void
sp_rows_free(struct sp_rows *w)
{
    free(w);
}

int
sp_rows_write(struct sp_rows *w, const struct sp_change *changes, size_t n_changes, const struct sp_counters *counters)
{
    static write_change *const writers[SP_N_KINDS] = {
        [SP_KIND_REGION] = write_region, [SP_KIND_GROUP] = write_group,       [SP_KIND_SERVER] = write_server,
        [SP_KIND_BRIDGE] = write_bridge, [SP_KIND_RULE_SET] = write_rule_set,
    };
    struct sp_statement *s;

    for (size_t i = 0; i < n_changes; i++) {
        const struct sp_change *c = &changes[i];
        int r = c->before || c->after ? writers[c->kind](w, c->before, c->after) : 0;

        if (r) {
            return r;
        }
    }
    s = take(w, COUNTERS_SET);
    sp_statement_give_integer(s, (int64_t) counters->revision);
    sp_statement_give_integer(s, counters->next_region);
    sp_statement_give_integer(s, counters->next_set);
    sp_statement_give_integer(s, counters->next_slot);
    sp_statement_give_integer(s, counters->next_mark);
    sp_statement_give_integer(s, counters->next_zone);
    return sp_statement_run(s, 1);
}

static int
write_region(struct sp_rows *w, const void *before, const void *after)
{
    const struct sp_region *region = after ? after : before;
    struct sp_statement *s = take(w, !after ? REGION_REMOVE : before ? REGION_SET : REGION_ADD);

    sp_statement_give_text(s, region->name);
    if (after) {
        sp_statement_give_integer(s, region->number);
        if (sp_uuid_is_none(&region->default_group)) {
            sp_statement_give_text(s, NULL);
        } else {
            give_uuid(s, &region->default_group);
        }
        sp_statement_give_integer(s, region->created_at);
        sp_statement_give_integer(s, region->reports);
    }
    return sp_statement_run(s, 1);
}

static int
write_group(struct sp_rows *w, const void *before, const void *after)
{
    const struct sp_group *old = before, *new = after;
    int r;

    if (!new) {
        r = run_by_uuid(w, GROUP_COUNTS_REMOVE, &old->id, -1);
        r = r ? r : run_by_uuid(w, GROUP_RULES_REMOVE, &old->id, (int) old->n_rules);
        return r ? r : run_by_uuid(w, GROUP_REMOVE, &old->id, 1);
    }

    struct sp_statement *s = take(w, old ? GROUP_SET : GROUP_ADD);

    give_uuid(s, &new->id);
    sp_statement_give_text(s, new->region);
    sp_statement_give_text(s, new->name);
    sp_statement_give_text(s, new->description ? new->description : "");
    sp_statement_give_integer(s, (int64_t) new->revision);
    sp_statement_give_integer(s, new->created_at);
    sp_statement_give_integer(s, new->updated_at);
    r = sp_statement_run(s, 1);
    return r ? r : write_rules(w, old, new);
}

static int
compare_known(const void *a, const void *b)
{
    return sp_uuid_compare(&((const struct known_rule *) a)->rule->id, &((const struct known_rule *) b)->rule->id);
}

static struct known_rule *
find_known(struct known_rule *known, size_t n, const struct sp_rule *rule)
{
    struct known_rule key = {.rule = rule};

    return n ? bsearch(&key, known, n, sizeof *known, compare_known) : NULL;
}

/* Whether the rows that stay have the right order when the new ones come after them.  Marks what is kept. */
static bool
mark_kept(struct known_rule *known, size_t n_known, struct sp_rule *const *rules, size_t n, bool *ret_has_new)
{
    bool in_order = true, has_new = false;
    size_t next = 0;

    for (size_t i = 0; i < n; i++) {
        struct known_rule *k = find_known(known, n_known, rules[i]);

        if (!k) {
            has_new = true;
            continue;
        }
        in_order = in_order && !has_new && k->index >= next;
        next = k->index + 1;
        k->is_kept = true;
    }
    *ret_has_new = has_new;
    return in_order;
}

static int
replace_rules(struct sp_rows *w, const struct sp_group *before, const struct sp_group *after)
{
    assert(before); /* A new list is in order. */

    int r = run_by_uuid(w, GROUP_RULES_REMOVE, &after->id, (int) before->n_rules);

    for (size_t i = 0; i < after->n_rules && !r; i++) {
        r = write_rule(w, RULE_ADD, after, after->rules[i]);
    }
    return r;
}

/* Rules have positions in the order of the list, not without gaps: rules that go leave one, rules that come get the next.  So a
 * change writes what has changed, unless it puts rules in another order. */
static int
write_rules(struct sp_rows *w, const struct sp_group *before, const struct sp_group *after)
{
    size_t n_old = before ? before->n_rules : 0, n_new = after->n_rules, skip = 0, tail = 0;
    int r = 0;

    while (skip < n_old && skip < n_new && before->rules[skip] == after->rules[skip]) {
        skip++;
    }
    while (tail < n_old - skip && tail < n_new - skip && before->rules[n_old - tail - 1] == after->rules[n_new - tail - 1]) {
        tail++;
    }
    n_old -= skip + tail;
    n_new -= skip + tail;
    if (!n_old && !n_new) {
        return 0;
    }

    struct known_rule *known = calloc(n_old ? n_old : 1, sizeof *known);

    if (!known) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < n_old; i++) {
        known[i] = (struct known_rule) {.rule = before->rules[skip + i], .index = i};
    }
    qsort(known, n_old, sizeof *known, compare_known);

    bool has_new;
    bool in_order = mark_kept(known, n_old, n_new ? after->rules + skip : NULL, n_new, &has_new);

    for (size_t i = 0; i < n_old && !r; i++) {
        r = known[i].is_kept ? 0 : run_by_uuid(w, RULE_COUNT_REMOVE, &known[i].rule->id, -1);
    }

    if (!r && (!in_order || (tail && has_new))) {
        r = replace_rules(w, before, after);
        free(known);
        return r;
    }
    for (size_t i = 0; i < n_old && !r; i++) {
        r = known[i].is_kept ? 0 : run_by_uuid(w, RULE_REMOVE, &known[i].rule->id, 1);
    }
    for (size_t i = 0; i < n_new && !r; i++) {
        const struct sp_rule *rule = after->rules[skip + i];
        const struct known_rule *k = find_known(known, n_old, rule);

        r = !k ? write_rule(w, RULE_ADD, after, rule) : k->rule == rule ? 0 : write_rule(w, RULE_SET, after, rule);
    }
    free(known);
    return r;
}

static int
write_rule(struct sp_rows *w, int statement, const struct sp_group *group, const struct sp_rule *rule)
{
    const struct sp_meaning *m = &rule->meaning;
    struct sp_statement *s = take(w, statement);
    char text[SP_CIDR_TEXT_SIZE];

    give_uuid(s, &rule->id);
    give_uuid(s, &group->id);
    sp_statement_give_text(s, m->direction == SP_INBOUND ? "inbound" : "outbound");
    sp_statement_give_text(s, m->action == SP_ALLOW ? "allow" : "deny");
    sp_statement_give_integer(s, m->priority);
    sp_statement_give_integer(s, m->protocol);
    sp_statement_give_text(s, m->remote == SP_REMOTE_CIDR ? sp_cidr_format(&m->remote_cidr, text) : NULL);
    if (m->remote == SP_REMOTE_GROUP) {
        give_uuid(s, &m->remote_group);
    } else {
        sp_statement_give_text(s, NULL);
    }
    sp_statement_give_integer(s, m->port_min);
    sp_statement_give_integer(s, m->port_max);
    sp_statement_give_integer(s, m->icmp_type);
    sp_statement_give_integer(s, m->icmp_code);
    sp_statement_give_text(s, rule->description ? rule->description : "");
    sp_statement_give_text(s, rule->origin == SP_ORIGIN_DEFAULT ? "default" : "user");
    sp_statement_give_integer(s, rule->created_at);
    sp_statement_give_integer(s, rule->updated_at);
    return sp_statement_run(s, 1);
}

static bool
have_same_uplinks(const struct sp_bridge *a, const struct sp_bridge *b)
{
    bool same = a->n_uplinks == b->n_uplinks;

    for (size_t i = 0; i < a->n_uplinks && same; i++) {
        same = !strcmp(a->uplinks[i], b->uplinks[i]);
    }
    return same;
}

static int
write_bridge(struct sp_rows *w, const void *before, const void *after)
{
    const struct sp_bridge *old = before, *new = after, *any = new ? new : old;
    struct sp_statement *s;
    int r = 0;

    assert(any);
    if (old && new && have_same_uplinks(old, new)) {
        new = NULL;
    } else if (old && old->n_uplinks) {
        s = take(w, UPLINKS_REMOVE);
        give_dpid(s, old->dpid);
        r = sp_statement_run(s, (int) old->n_uplinks);
    }
    for (size_t i = 0; new && i < new->n_uplinks && !r; i++) {
        s = take(w, UPLINK_ADD);
        give_dpid(s, new->dpid);
        sp_statement_give_integer(s, (int64_t) i);
        sp_statement_give_text(s, new->uplinks[i]);
        r = sp_statement_run(s, 1);
    }
    if (r) {
        return r;
    }
    s = take(w, !after ? BRIDGE_REMOVE : old ? BRIDGE_SET : BRIDGE_ADD);
    give_dpid(s, any->dpid);
    if (after) {
        sp_statement_give_integer(s, any->created_at);
    }
    return sp_statement_run(s, 1);
}

static bool
are_same_uuids(const struct sp_uuid *a, size_t n_a, const struct sp_uuid *b, size_t n_b)
{
    return n_a == n_b && (!n_a || !memcmp(a, b, n_a * sizeof *a));
}

static int
write_rule_set(struct sp_rows *w, const void *before, const void *after)
{
    const struct sp_rule_set *old = before, *new = after;
    struct sp_statement *s;
    int r = 0;

    if (!new) {
        r = run_by_number(w, ADMISSIONS_REMOVE, old->number, (int) old->n_admissions);
        r = r ? r : run_by_number(w, SET_GROUPS_REMOVE, old->number, (int) old->n_groups);
        return r ? r : run_by_number(w, SET_REMOVE, old->number, 1);
    }
    s = take(w, old ? SET_SET : SET_ADD);
    sp_statement_give_integer(s, new->number);
    sp_statement_give_text(s, new->region);
    sp_statement_give_integer(s, new->version);
    r = sp_statement_run(s, 1);
    if (!r && !(old && are_same_uuids(old->groups, old->n_groups, new->groups, new->n_groups))) {
        r = old ? run_by_number(w, SET_GROUPS_REMOVE, old->number, (int) old->n_groups) : 0;
        for (size_t i = 0; i < new->n_groups && !r; i++) {
            s = take(w, SET_GROUP_ADD);
            sp_statement_give_integer(s, new->number);
            give_uuid(s, &new->groups[i]);
            r = sp_statement_run(s, 1);
        }
    }
    return r ? r : write_admissions(w, old, new);
}

static int
write_admission(struct sp_rows *w, int statement, const struct sp_rule_set *set, const struct sp_admission *a)
{
    struct sp_statement *s = take(w, statement);

    sp_statement_give_integer(s, set->number);
    give_uuid(s, &a->rule);
    if (statement != ADMISSION_REMOVE) {
        sp_statement_give_integer(s, a->slot);
        sp_statement_give_integer(s, a->mark);
    }
    return sp_statement_run(s, 1);
}

/* Both lists are sorted by rule.  Rows go before rows come, as one of each may have the same slot. */
static int
write_admissions(struct sp_rows *w, const struct sp_rule_set *before, const struct sp_rule_set *after)
{
    size_t n_old = before ? before->n_admissions : 0, n_new = after->n_admissions;
    int r = 0;

    for (int pass = 0; pass < 2 && !r; pass++) {
        for (size_t i = 0, j = 0; (i < n_old || j < n_new) && !r;) {
            const struct sp_admission *old = i < n_old ? &before->admissions[i] : NULL;
            const struct sp_admission *new = j < n_new ? &after->admissions[j] : NULL;
            int order = !old ? 1 : !new ? -1 : sp_uuid_compare(&old->rule, &new->rule);

            if (order < 0 && !pass) {
                r = write_admission(w, ADMISSION_REMOVE, before, old);
            } else if (order > 0 && pass) {
                r = write_admission(w, ADMISSION_ADD, after, new);
            } else if (!order && pass && (old->slot != new->slot || old->mark != new->mark)) {
                r = write_admission(w, ADMISSION_SET, after, new);
            }
            i += order <= 0;
            j += order >= 0;
        }
    }
    return r;
}

static int
write_server(struct sp_rows *w, const void *before, const void *after)
{
    const struct sp_server *old = before, *new = after;
    struct sp_statement *s;
    int r;

    if (!new) {
        r = run_by_uuid(w, SERVER_GROUPS_REMOVE, &old->id, (int) old->n_groups);
        for (size_t i = 0; i < old->n_ports && !r; i++) {
            r = remove_port(w, old->ports[i]);
        }
        return r ? r : run_by_uuid(w, SERVER_REMOVE, &old->id, 1);
    }
    s = take(w, old ? SERVER_SET : SERVER_ADD);
    give_uuid(s, &new->id);
    sp_statement_give_text(s, new->region);
    sp_statement_give_text(s, new->name);
    sp_statement_give_text(s, new->kind == SP_SERVER_VPS ? "vps" : "baremetal");
    sp_statement_give_integer(s, new->set);
    sp_statement_give_integer(s, new->created_at);
    sp_statement_give_integer(s, new->updated_at);
    r = sp_statement_run(s, 1);
    if (!r && !(old && are_same_uuids(old->groups, old->n_groups, new->groups, new->n_groups))) {
        r = old ? run_by_uuid(w, SERVER_GROUPS_REMOVE, &old->id, (int) old->n_groups) : 0;
        for (size_t i = 0; i < new->n_groups && !r; i++) {
            s = take(w, SERVER_GROUP_ADD);
            give_uuid(s, &new->id);
            sp_statement_give_integer(s, (int64_t) i);
            give_uuid(s, &new->groups[i]);
            r = sp_statement_run(s, 1);
        }
    }
    return r ? r : write_ports(w, old, new);
}

static int
write_ports(struct sp_rows *w, const struct sp_server *before, const struct sp_server *after)
{
    size_t n_old = before ? before->n_ports : 0, n_new = after->n_ports;
    int r = 0;

    /* A port that has the same place and has not changed stays.  All that go go first: a port may come back in another place. */
    for (size_t i = 0; i < n_old && !r; i++) {
        r = i < n_new && before->ports[i] == after->ports[i] ? 0 : remove_port(w, before->ports[i]);
    }
    for (size_t i = 0; i < n_new && !r; i++) {
        r = i < n_old && before->ports[i] == after->ports[i] ? 0 : add_port(w, after->ports[i], i);
    }
    return r;
}

static int
add_port(struct sp_rows *w, const struct sp_port *port, size_t position)
{
    struct sp_statement *s = take(w, PORT_ADD);
    char text[SP_CIDR_TEXT_SIZE];
    int r;

    give_uuid(s, &port->id);
    give_uuid(s, &port->server);
    sp_statement_give_integer(s, (int64_t) position);
    give_mac(s, &port->mac);
    if (port->has_bridge) {
        give_dpid(s, port->dpid);
    } else {
        sp_statement_give_text(s, NULL);
    }
    sp_statement_give_text(s, port->has_bridge ? port->name : NULL);
    sp_statement_give_text(s, port->iface_id);
    sp_statement_give_integer(s, port->vlan);
    sp_statement_give_integer(s, port->port_security);
    sp_statement_give_integer(s, port->zone);
    r = sp_statement_run(s, 1);
    for (size_t i = 0; i < port->n_ips && !r; i++) {
        s = take(w, PORT_IP_ADD);
        give_uuid(s, &port->id);
        sp_statement_give_integer(s, (int64_t) i);
        sp_statement_give_text(s, sp_cidr_format_address(&port->ips[i], text));
        r = sp_statement_run(s, 1);
    }
    for (size_t i = 0; i < port->n_pairs && !r; i++) {
        s = take(w, PORT_PAIR_ADD);
        give_uuid(s, &port->id);
        sp_statement_give_integer(s, (int64_t) i);
        sp_statement_give_text(s, sp_cidr_format(&port->pairs[i].ip, text));
        give_mac(s, &port->pairs[i].mac);
        r = sp_statement_run(s, 1);
    }
    return r;
}

static int
remove_port(struct sp_rows *w, const struct sp_port *port)
{
    int r = port->n_ips ? run_by_uuid(w, PORT_IPS_REMOVE, &port->id, (int) port->n_ips) : 0;

    if (!r && port->n_pairs) {
        r = run_by_uuid(w, PORT_PAIRS_REMOVE, &port->id, (int) port->n_pairs);
    }
    return r ? r : run_by_uuid(w, PORT_REMOVE, &port->id, 1);
}

static struct sp_statement *
take(struct sp_rows *w, int statement)
{
    return w->statements[statement];
}

static void
give_uuid(struct sp_statement *s, const struct sp_uuid *uuid)
{
    char text[SP_UUID_TEXT_SIZE];

    sp_statement_give_text(s, sp_uuid_format(uuid, text));
}

static void
give_mac(struct sp_statement *s, const struct sp_mac *mac)
{
    char text[SP_MAC_TEXT_SIZE];

    sp_statement_give_text(s, sp_mac_format(mac, text));
}

static void
give_dpid(struct sp_statement *s, uint64_t dpid)
{
    char text[17];

    snprintf(text, sizeof text, "%016" PRIx64, dpid);
    sp_statement_give_text(s, text);
}

static int
run_by_uuid(struct sp_rows *w, int statement, const struct sp_uuid *uuid, int n_rows)
{
    struct sp_statement *s = take(w, statement);

    give_uuid(s, uuid);
    return sp_statement_run(s, n_rows);
}

static int
run_by_number(struct sp_rows *w, int statement, int64_t number, int n_rows)
{
    struct sp_statement *s = take(w, statement);

    sp_statement_give_integer(s, number);
    return sp_statement_run(s, n_rows);
}
