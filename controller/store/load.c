#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/model/object.h"
#include "controller/store/rows.h"

/* Rows of a table that belong to rows of another, read beside them: both come in the order of the owner's key, which is the first
 * column here. */
enum cursor_id {
    UPLINKS,
    RULES,
    SET_GROUPS,
    ADMISSIONS,
    SERVER_GROUPS,
    PORTS,
    PORT_IPS,
    PORT_PAIRS,
    N_CURSORS
};

/* Counted without an index, which might not agree with its table. */
static const char *const count_sql[N_CURSORS] = {
    [UPLINKS] = "SELECT count(*) FROM bridge_uplink NOT INDEXED",
    [RULES] = "SELECT count(*) FROM rule NOT INDEXED",
    [SET_GROUPS] = "SELECT count(*) FROM rule_set_group NOT INDEXED",
    [ADMISSIONS] = "SELECT count(*) FROM admission NOT INDEXED",
    [SERVER_GROUPS] = "SELECT count(*) FROM server_group NOT INDEXED",
    [PORTS] = "SELECT count(*) FROM port NOT INDEXED",
    [PORT_IPS] = "SELECT count(*) FROM port_ip NOT INDEXED",
    [PORT_PAIRS] = "SELECT count(*) FROM port_pair NOT INDEXED",
};

static const char *const cursor_sql[N_CURSORS] = {
    [UPLINKS] = "SELECT bridge, name FROM bridge_uplink ORDER BY bridge, position",
    [RULES] = "SELECT security_group, id, direction, action, priority, protocol, remote_ip, remote_group, port_min, port_max,"
              " icmp_type, icmp_code, description, origin, created_at, updated_at FROM rule ORDER BY security_group, position",
    [SET_GROUPS] = "SELECT rule_set, security_group FROM rule_set_group ORDER BY rule_set, security_group",
    [ADMISSIONS] = "SELECT rule_set, rule, slot, mark FROM admission ORDER BY rule_set, rule",
    [SERVER_GROUPS] = "SELECT server, security_group FROM server_group ORDER BY server, position",
    [PORTS] = "SELECT server, id, mac, bridge, name, iface_id, vlan, port_security, zone FROM port ORDER BY server, position",
    [PORT_IPS] = "SELECT p.id, i.ip FROM port p CROSS JOIN port_ip i ON i.port = p.id ORDER BY p.server, p.position, i.position",
    [PORT_PAIRS] = "SELECT p.id, i.ip, i.mac FROM port p CROSS JOIN port_pair i ON i.port = p.id"
                   " ORDER BY p.server, p.position, i.position",
};

struct cursor {
    struct sp_statement *statement;
    bool has_row;
    int64_t n_rows; /* So far. */
};

struct load {
    struct sp_database *database;
    sp_store_receive *receive;
    void *aux;
    struct cursor cursors[N_CURSORS];
    char *why;
    size_t why_size;
};

/* Items of one owner; the array serves owner after owner. */
struct items {
    void *array;
    size_t n, allocated, item_size;
};

static int load_counters(struct load *, struct sp_counters *ret);
static int load_regions(struct load *);
static int load_bridges(struct load *);
static int load_groups(struct load *);
static int load_rule_sets(struct load *);
static int load_servers(struct load *);
static int check_ends(struct load *);
static int check_count(struct load *, enum cursor_id);
static int open_cursors(struct load *);
static void close_cursors(struct load *);
static int advance(struct load *, struct cursor *);
static bool belongs(const struct cursor *, const char *key);
static int failed(struct load *, int error);
static int damaged(struct load *, const char *table, const char *key, const char *column);
static int no_memory(struct load *);
static void *add(struct items *);

/* Reading a column in its form; each returns false if it is not of it. */
static bool read_uuid(const struct sp_statement *, int column, struct sp_uuid *ret);
static bool read_mac(const struct sp_statement *, int column, struct sp_mac *ret);
static bool read_cidr(const struct sp_statement *, int column, bool is_address, struct sp_cidr *ret);
static bool read_choice(const struct sp_statement *, int column, const char *zero, const char *one, int *ret);
static bool read_range(const struct sp_statement *, int column, int64_t min, int64_t max, int64_t *ret);
static bool read_text(const struct sp_statement *, int column, char **ret);

int
sp_rows_load(struct sp_database *database, sp_store_receive *receive, void *aux, struct sp_counters *ret_counters, char *why,
             size_t why_size)
{
    static int (*const steps[])(struct load *) = {
        open_cursors, load_regions, load_bridges, load_groups, load_rule_sets, load_servers, check_ends,
    };
    struct load l = {.database = database, .receive = receive, .aux = aux, .why = why, .why_size = why_size};
    int r = load_counters(&l, ret_counters);

    for (size_t i = 0; i < sizeof steps / sizeof steps[0] && !r; i++) {
        r = steps[i](&l);
    }
    close_cursors(&l);
    return r;
}

static int
load_counters(struct load *l, struct sp_counters *ret)
{
    struct sp_statement *s;
    bool row;
    int r = sp_database_prepare(l->database,
                                "SELECT revision, next_region, next_set, next_slot, next_mark, next_zone FROM counters", &s);

    if (r) {
        return failed(l, r);
    }
    r = sp_statement_next(s, &row);
    if (r) {
        r = failed(l, r);
    } else {
        int64_t revision, region, set, slot, mark, zone;

        if (row && read_range(s, 0, 0, INT64_MAX, &revision) && read_range(s, 1, 1, UINT32_MAX, &region)
            && read_range(s, 2, 1, UINT32_MAX, &set) && read_range(s, 3, 1, UINT32_MAX, &slot)
            && read_range(s, 4, 1, UINT32_MAX, &mark) && read_range(s, 5, 1, UINT16_MAX, &zone)) {
            *ret = (struct sp_counters) {
                .revision = (uint64_t) revision, .next_region = (uint32_t) region, .next_set = (uint32_t) set,
                .next_slot = (uint32_t) slot,    .next_mark = (uint32_t) mark,     .next_zone = (uint16_t) zone,
            };
        } else {
            r = damaged(l, "counters", "1", "a number");
        }
    }
    sp_statement_free(s);
    return r;
}

/* Calls 'one' for each row of 'sql', until one fails. */
static int
each_row(struct load *l, const char *sql, int (*one)(struct load *, struct sp_statement *))
{
    struct sp_statement *s;
    bool row = true;
    int r = sp_database_prepare(l->database, sql, &s);

    if (r) {
        return failed(l, r);
    }
    while (!r && row) {
        r = sp_statement_next(s, &row);
        r = r ? failed(l, r) : row ? one(l, s) : 0;
    }
    sp_statement_free(s);
    return r;
}

static int
give(struct load *l, enum sp_kind kind, const void *object)
{
    return object ? l->receive(l->aux, (struct sp_object) {kind, object}) : no_memory(l);
}

static int
load_region(struct load *l, struct sp_statement *s)
{
    struct sp_region region = {.refs = 0};
    int64_t number, reports;

    if (!read_text(s, 0, &region.name) || !read_range(s, 1, 1, UINT32_MAX, &number) || !read_range(s, 4, 0, 1, &reports)
        || (sp_statement_text(s, 2) && !read_uuid(s, 2, &region.default_group))) {
        return damaged(l, "region", sp_statement_text(s, 0), "a column");
    }
    region.number = (uint32_t) number;
    region.reports = reports;
    region.created_at = sp_statement_integer(s, 3);
    return give(l, SP_KIND_REGION, sp_region_new(&region));
}

static int
load_regions(struct load *l)
{
    return each_row(l, "SELECT name, number, default_group, created_at, report_blocked FROM region ORDER BY name", load_region);
}

static int
load_bridge(struct load *l, struct sp_statement *s)
{
    const char *key = sp_statement_text(s, 0);
    struct cursor *c = &l->cursors[UPLINKS];
    struct items names = {.item_size = sizeof(char *)};
    struct sp_bridge bridge = {.created_at = sp_statement_integer(s, 1)};
    int r = sp_rows_read_dpid(s, 0, &bridge.dpid) ? 0 : damaged(l, "bridge", key, "dpid");

    while (!r && belongs(c, key)) {
        char *name, **slot;

        if (!read_text(c->statement, 1, &name) || !name) {
            r = damaged(l, "bridge_uplink", key, "name");
            break;
        }
        slot = add(&names);
        if (!slot) {
            r = no_memory(l);
            break;
        }
        *slot = strdup(name); /* The column's text ends with its row. */
        r = *slot ? advance(l, c) : no_memory(l);
    }
    bridge.uplinks = names.array;
    bridge.n_uplinks = names.n;
    r = r ? r : give(l, SP_KIND_BRIDGE, sp_bridge_new(&bridge));
    for (size_t i = 0; i < names.n; i++) {
        free(bridge.uplinks[i]);
    }
    free(names.array);
    return r;
}

static int
load_bridges(struct load *l)
{
    return each_row(l, "SELECT dpid, created_at FROM bridge ORDER BY dpid", load_bridge);
}

static bool
read_meaning(const struct sp_statement *s, struct sp_meaning *ret)
{
    struct sp_meaning m = {.remote = SP_REMOTE_ANY};
    int64_t priority, protocol, port_min, port_max, icmp_type, icmp_code;
    int direction, action;

    if (!read_choice(s, 2, "inbound", "outbound", &direction) || !read_choice(s, 3, "deny", "allow", &action)
        || !read_range(s, 4, SP_PRIORITY_MIN, SP_PRIORITY_MAX, &priority)
        || !read_range(s, 5, SP_PROTOCOL_ANY, UINT8_MAX, &protocol) || !read_range(s, 8, -1, UINT16_MAX, &port_min)
        || !read_range(s, 9, -1, UINT16_MAX, &port_max) || !read_range(s, 10, -1, UINT8_MAX, &icmp_type)
        || !read_range(s, 11, -1, UINT8_MAX, &icmp_code) || port_min > port_max || (port_min < 0) != (port_max < 0)) {
        return false;
    }
    if (sp_statement_text(s, 6)) {
        m.remote = SP_REMOTE_CIDR;
        if (!read_cidr(s, 6, false, &m.remote_cidr)) {
            return false;
        }
    } else if (sp_statement_text(s, 7)) {
        m.remote = SP_REMOTE_GROUP;
        if (!read_uuid(s, 7, &m.remote_group)) {
            return false;
        }
    }
    m.direction = direction ? SP_OUTBOUND : SP_INBOUND;
    m.action = action ? SP_ALLOW : SP_DENY;
    m.priority = (uint16_t) priority;
    m.protocol = (int16_t) protocol;
    m.port_min = (int32_t) port_min;
    m.port_max = (int32_t) port_max;
    m.icmp_type = (int16_t) icmp_type;
    m.icmp_code = (int16_t) icmp_code;
    *ret = m;
    return true;
}

static int
load_rule(struct load *l, const struct sp_statement *s, struct sp_rule **ret)
{
    struct sp_rule rule = {.refs = 0};
    int origin;

    if (!read_uuid(s, 1, &rule.id) || !read_meaning(s, &rule.meaning) || !read_text(s, 12, &rule.description)
        || !read_choice(s, 13, "user", "default", &origin)) {
        return damaged(l, "rule", sp_statement_text(s, 1), "a column");
    }
    rule.origin = origin ? SP_ORIGIN_DEFAULT : SP_ORIGIN_USER;
    rule.created_at = sp_statement_integer(s, 14);
    rule.updated_at = sp_statement_integer(s, 15);
    *ret = sp_rule_new(&rule);
    return *ret ? 0 : no_memory(l);
}

static int
load_group(struct load *l, struct sp_statement *s)
{
    const char *key = sp_statement_text(s, 0);
    struct cursor *c = &l->cursors[RULES];
    struct items rules = {.item_size = sizeof(struct sp_rule *)};
    struct sp_group group = {.refs = 0};
    int64_t revision;
    int r = 0;

    if (!read_uuid(s, 0, &group.id) || !read_text(s, 1, &group.region) || !read_text(s, 2, &group.name)
        || !read_text(s, 3, &group.description) || !read_range(s, 4, 0, INT64_MAX, &revision)) {
        return damaged(l, "security_group", key, "a column");
    }
    group.revision = (uint64_t) revision;
    group.created_at = sp_statement_integer(s, 5);
    group.updated_at = sp_statement_integer(s, 6);
    while (!r && belongs(c, key)) {
        struct sp_rule *rule, **slot;

        r = load_rule(l, c->statement, &rule);
        if (r) {
            break;
        }
        slot = add(&rules);
        if (!slot) {
            sp_rule_unref(rule);
            r = no_memory(l);
            break;
        }
        *slot = rule;
        r = advance(l, c);
    }
    group.rules = rules.array;
    group.n_rules = rules.n;
    r = r ? r : give(l, SP_KIND_GROUP, sp_group_new(&group));
    for (size_t i = 0; i < rules.n; i++) {
        sp_rule_unref(group.rules[i]);
    }
    free(rules.array);
    return r;
}

static int
load_groups(struct load *l)
{
    return each_row(l, "SELECT id, region, name, description, revision, created_at, updated_at FROM security_group ORDER BY id",
                    load_group);
}

/* Reads the column after the key of all rows of 'key' as ids. */
static int
load_uuids(struct load *l, enum cursor_id id, const char *table, const char *key, struct items *ret)
{
    struct cursor *c = &l->cursors[id];
    int r = 0;

    *ret = (struct items) {.item_size = sizeof(struct sp_uuid)};
    while (!r && belongs(c, key)) {
        struct sp_uuid uuid, *slot;

        if (!read_uuid(c->statement, 1, &uuid)) {
            return damaged(l, table, key, "security_group");
        }
        slot = add(ret);
        if (!slot) {
            return no_memory(l);
        }
        *slot = uuid;
        r = advance(l, c);
    }
    return r;
}

static int
load_admissions(struct load *l, const char *key, struct items *ret)
{
    struct cursor *c = &l->cursors[ADMISSIONS];
    int r = 0;

    *ret = (struct items) {.item_size = sizeof(struct sp_admission)};
    while (!r && belongs(c, key)) {
        struct sp_admission admission, *slot;
        int64_t number, mark;

        if (!read_uuid(c->statement, 1, &admission.rule) || !read_range(c->statement, 2, 1, INT32_MAX, &number)
            || !read_range(c->statement, 3, 0, INT32_MAX, &mark)) {
            return damaged(l, "admission", key, "a column");
        }
        admission.slot = (uint32_t) number;
        admission.mark = (uint32_t) mark;
        slot = add(ret);
        if (!slot) {
            return no_memory(l);
        }
        *slot = admission;
        r = advance(l, c);
    }
    return r;
}

static int
load_rule_set(struct load *l, struct sp_statement *s)
{
    struct sp_rule_set set = {.refs = 0};
    struct items groups, admissions = {.array = NULL};
    int64_t number, version;
    char key[24];
    int r;

    if (!read_range(s, 0, 1, UINT32_MAX, &number) || !read_text(s, 1, &set.region)
        || !read_range(s, 2, 0, UINT32_MAX, &version)) {
        return damaged(l, "rule_set", sp_statement_text(s, 0), "a column");
    }
    snprintf(key, sizeof key, "%lld", (long long) number);
    r = load_uuids(l, SET_GROUPS, "rule_set_group", key, &groups);
    if (!r) {
        r = load_admissions(l, key, &admissions);
    }
    set.number = (uint32_t) number;
    set.version = (uint32_t) version;
    set.groups = groups.array;
    set.n_groups = groups.n;
    set.admissions = admissions.array;
    set.n_admissions = admissions.n;
    r = r ? r : give(l, SP_KIND_RULE_SET, sp_rule_set_new(&set));
    free(groups.array);
    free(admissions.array);
    return r;
}

static int
load_rule_sets(struct load *l)
{
    return each_row(l, "SELECT number, region, version FROM rule_set ORDER BY number", load_rule_set);
}

static int
load_addresses(struct load *l, enum cursor_id id, const char *key, struct items *ret)
{
    struct cursor *c = &l->cursors[id];
    bool has_mac = id == PORT_PAIRS;
    int r = 0;

    *ret = (struct items) {.item_size = has_mac ? sizeof(struct sp_address_pair) : sizeof(struct sp_cidr)};
    while (!r && belongs(c, key)) {
        struct sp_address_pair pair = {.mac = {{0}}};
        void *slot;

        if (!read_cidr(c->statement, 1, !has_mac, &pair.ip) || (has_mac && !read_mac(c->statement, 2, &pair.mac))) {
            return damaged(l, has_mac ? "port_pair" : "port_ip", key, "a column");
        }
        slot = add(ret);
        if (!slot) {
            return no_memory(l);
        }
        if (has_mac) {
            *(struct sp_address_pair *) slot = pair;
        } else {
            *(struct sp_cidr *) slot = pair.ip;
        }
        r = advance(l, c);
    }
    return r;
}

static int
load_port(struct load *l, const struct sp_statement *s, struct sp_port **ret)
{
    const char *key = sp_statement_text(s, 1);
    struct items ips, pairs = {.array = NULL};
    struct sp_port port = {.refs = 0};
    int64_t vlan, security, zone;
    int r;

    port.has_bridge = sp_statement_text(s, 3) != NULL;
    if (!read_uuid(s, 0, &port.server) || !read_uuid(s, 1, &port.id) || !read_mac(s, 2, &port.mac)
        || (port.has_bridge && (!sp_rows_read_dpid(s, 3, &port.dpid) || !sp_statement_text(s, 4))) || !read_text(s, 4, &port.name)
        || !read_text(s, 5, &port.iface_id) || !read_range(s, 6, 0, 4094, &vlan) || !read_range(s, 7, 0, 1, &security)
        || !read_range(s, 8, 1, UINT16_MAX, &zone)) {
        return damaged(l, "port", key, "a column");
    }
    port.vlan = (uint16_t) vlan;
    port.port_security = security;
    port.zone = (uint16_t) zone;
    r = load_addresses(l, PORT_IPS, key, &ips);
    if (!r) {
        r = load_addresses(l, PORT_PAIRS, key, &pairs);
    }
    port.ips = ips.array;
    port.n_ips = ips.n;
    port.pairs = pairs.array;
    port.n_pairs = pairs.n;
    if (!r) {
        *ret = sp_port_new(&port);
        r = *ret ? 0 : no_memory(l);
    }
    free(ips.array);
    free(pairs.array);
    return r;
}

static int
load_ports(struct load *l, const char *server, struct items *ret)
{
    struct cursor *c = &l->cursors[PORTS];
    int r = 0;

    *ret = (struct items) {.item_size = sizeof(struct sp_port *)};
    while (!r && belongs(c, server)) {
        struct sp_port *port = NULL, **slot;

        r = load_port(l, c->statement, &port);
        if (r) {
            return r;
        }
        slot = add(ret);
        if (!slot) {
            sp_port_unref(port);
            return no_memory(l);
        }
        *slot = port;
        r = advance(l, c);
    }
    return r;
}

static int
load_server(struct load *l, struct sp_statement *s)
{
    const char *key = sp_statement_text(s, 0);
    struct items groups, ports = {.array = NULL};
    struct sp_server server = {.refs = 0};
    int64_t set;
    int kind, r;

    if (!read_uuid(s, 0, &server.id) || !read_text(s, 1, &server.region) || !read_text(s, 2, &server.name)
        || !read_choice(s, 3, "vps", "baremetal", &kind) || !read_range(s, 4, 0, UINT32_MAX, &set)) {
        return damaged(l, "server", key, "a column");
    }
    server.kind = kind ? SP_SERVER_BAREMETAL : SP_SERVER_VPS;
    server.set = (uint32_t) set;
    server.created_at = sp_statement_integer(s, 5);
    server.updated_at = sp_statement_integer(s, 6);
    r = load_uuids(l, SERVER_GROUPS, "server_group", key, &groups);
    if (!r) {
        r = load_ports(l, key, &ports);
    }
    server.groups = groups.array;
    server.n_groups = groups.n;
    server.ports = ports.array;
    server.n_ports = ports.n;
    r = r ? r : give(l, SP_KIND_SERVER, sp_server_new(&server));
    for (size_t i = 0; i < ports.n; i++) {
        sp_port_unref(server.ports[i]);
    }
    free(groups.array);
    free(ports.array);
    return r;
}

static int
load_servers(struct load *l)
{
    return each_row(l, "SELECT id, region, name, kind, rule_set, created_at, updated_at FROM server ORDER BY id", load_server);
}

/* A row that is left over belongs to nobody, and one that has not come is missing from an index. */
static int
check_ends(struct load *l)
{
    int r = 0;

    for (int i = 0; i < N_CURSORS && !r; i++) {
        if (l->cursors[i].has_row) {
            return damaged(l, "?", sp_statement_text(l->cursors[i].statement, 0), "a row that belongs to nothing");
        }
        r = check_count(l, i);
    }
    return r;
}

static int
check_count(struct load *l, enum cursor_id id)
{
    struct sp_statement *s;
    bool row;
    int r = sp_database_prepare(l->database, count_sql[id], &s);

    if (r) {
        return failed(l, r);
    }
    r = sp_statement_next(s, &row);
    if (r) {
        r = failed(l, r);
    } else if (!row || sp_statement_integer(s, 0) != l->cursors[id].n_rows) {
        r = damaged(l, "?", count_sql[id], "the number of rows");
    }
    sp_statement_free(s);
    return r;
}

static int
open_cursors(struct load *l)
{
    int r = 0;

    for (int i = 0; i < N_CURSORS && !r; i++) {
        r = sp_database_prepare(l->database, cursor_sql[i], &l->cursors[i].statement);
        r = r ? failed(l, r) : advance(l, &l->cursors[i]);
    }
    return r;
}

static void
close_cursors(struct load *l)
{
    for (int i = 0; i < N_CURSORS; i++) {
        if (l->cursors[i].statement) {
            sp_statement_free(l->cursors[i].statement);
        }
    }
}

static int
advance(struct load *l, struct cursor *c)
{
    int r = sp_statement_next(c->statement, &c->has_row);

    c->n_rows += !r && c->has_row;
    return r ? failed(l, r) : 0;
}

static bool
belongs(const struct cursor *c, const char *key)
{
    const char *owner = c->has_row ? sp_statement_text(c->statement, 0) : NULL;

    return owner && key && !strcmp(owner, key);
}

static int
failed(struct load *l, int error)
{
    snprintf(l->why, l->why_size, "%s", sp_database_why(l->database));
    return error;
}

static int
damaged(struct load *l, const char *table, const char *key, const char *column)
{
    snprintf(l->why, l->why_size, "damaged: table %s, row %.64s: %s is not what it can be", table, key ? key : "?", column);
    return SP_E_DAMAGED;
}

static int
no_memory(struct load *l)
{
    snprintf(l->why, l->why_size, "out of memory");
    return -ENOMEM;
}

static void *
add(struct items *items)
{
    if (items->n == items->allocated) {
        size_t allocated = items->allocated ? items->allocated * 2 : 4;
        void *grown = reallocarray(items->array, allocated, items->item_size);

        if (!grown) {
            return NULL;
        }
        items->array = grown;
        items->allocated = allocated;
    }
    return (char *) items->array + items->item_size * items->n++;
}

static bool
read_uuid(const struct sp_statement *s, int column, struct sp_uuid *ret)
{
    const char *text = sp_statement_text(s, column);

    return text && !sp_uuid_parse(text, ret) && !sp_uuid_is_none(ret);
}

static bool
read_mac(const struct sp_statement *s, int column, struct sp_mac *ret)
{
    const char *text = sp_statement_text(s, column);

    return text && !sp_mac_parse(text, ret);
}

static bool
read_cidr(const struct sp_statement *s, int column, bool is_address, struct sp_cidr *ret)
{
    const char *text = sp_statement_text(s, column);

    return text && !sp_cidr_parse(text, ret) && (!is_address || sp_cidr_is_address(ret));
}

bool
sp_rows_read_dpid(const struct sp_statement *s, int column, uint64_t *ret)
{
    const char *text = sp_statement_text(s, column);

    if (!text || strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16) {
        return false;
    }
    *ret = strtoull(text, NULL, 16);
    return true;
}

static bool
read_choice(const struct sp_statement *s, int column, const char *zero, const char *one, int *ret)
{
    const char *text = sp_statement_text(s, column);

    if (!text || (strcmp(text, zero) && strcmp(text, one))) {
        return false;
    }
    *ret = !strcmp(text, one);
    return true;
}

static bool
read_range(const struct sp_statement *s, int column, int64_t min, int64_t max, int64_t *ret)
{
    *ret = sp_statement_integer(s, column);
    return *ret >= min && *ret <= max;
}

/* Borrowed until the next row.  NULL stays NULL: the schema knows where none may be. */
static bool
read_text(const struct sp_statement *s, int column, char **ret)
{
    *ret = (char *) sp_statement_text(s, column);
    return sp_statement_is_text_valid(s, column);
}
