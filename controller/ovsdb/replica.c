#include "controller/ovsdb/replica.h"

#include <assert.h>
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "controller/json/json.h"

struct ids {
    struct sp_uuid *items;
    size_t n;
    size_t capacity;
};

/* A row of any of the tables; what its table has no column for stays empty. */
struct row {
    struct sp_uuid uuid;
    char *name;             /* Interface. */
    char *iface_id;         /* Interface; NULL = none. */
    bool has_dpid;          /* Bridge. */
    uint64_t dpid;
    bool secure;            /* Bridge: its fail_mode. */
    bool never_in_band;     /* Bridge: other_config:disable-in-band. */
    bool remote;            /* Controller, Manager: is dialled over IPv4, which in-band control is for. */
    bool loopback;          /* Likewise: at 127.0.0.1. */
    bool out_of_band;       /* Likewise: its connection_mode. */
    struct ids children;    /* Ports of a bridge, interfaces of a port. */
    struct ids controllers; /* Of a bridge. */
};

static const char standalone[] = "fail_mode is not secure: without its controller the bridge passes everything";
static const char in_band[] =
    "in-band control is on: hidden flows go before the rules; set other_config:disable-in-band=true";
static const char standalone_in_band[] = "fail_mode is not secure: without its controller the bridge passes everything; "
                                         "and in-band control is on: set other_config:disable-in-band=true";

static void free_row(void *p)
{
    struct row *row = p;

    free(row->name);
    free(row->iface_id);
    free(row->children.items);
    free(row->controllers.items);
    free(row);
}

static int compare_rows(const void *a, const void *b)
{
    return sp_uuid_compare(&((const struct row *) a)->uuid, &((const struct row *) b)->uuid);
}

/* The row with 'uuid', or NULL.  A row begins with its id, so that a bare one will do as a key. */
static struct row *find_row(void *const *table, const struct sp_uuid *uuid)
{
    void *node = tfind(uuid, table, compare_rows);

    return node ? *(struct row **) node : NULL;
}

void sp_replica_init(struct sp_replica *replica)
{
    *replica = (struct sp_replica){0};
}

void sp_replica_clear(struct sp_replica *replica)
{
    tdestroy(replica->bridges, free_row);
    tdestroy(replica->ports, free_row);
    tdestroy(replica->interfaces, free_row);
    tdestroy(replica->controllers, free_row);
    tdestroy(replica->managers, free_row);
    sp_replica_init(replica);
}

/* The elements of a <set>: 'value' itself if it is one atom, written without brackets. */
static void get_set(const struct sp_json *value, const struct sp_json **ret_items, size_t *ret_n)
{
    bool is_set = value->type == SP_JSON_ARRAY && value->n == 2 && value->items[0].type == SP_JSON_STRING &&
                  !strcmp(value->items[0].string, "set") && value->items[1].type == SP_JSON_ARRAY;

    *ret_items = is_set ? value->items[1].items : value;
    *ret_n = is_set ? value->items[1].n : 1;
}

static int set_text(char **text, const char *value)
{
    char *copy = value ? strdup(value) : NULL;

    if (value && !copy) {
        return -ENOMEM;
    }
    free(*text);
    *text = copy;
    return 0;
}

static int set_name(struct row *row, const struct sp_json *value, bool diff)
{
    return value->type == SP_JSON_STRING ? set_text(&row->name, value->string) : SP_E_SYNTAX;
}

/* A set of at most one: even a difference has the new value.  An empty one says nothing new: the column is ephemeral, so that a
 * server that was restarted has forgotten it until ovs-vswitchd writes it again, and a bridge does not lose its id. */
static int set_dpid(struct row *row, const struct sp_json *value, bool diff)
{
    const struct sp_json *items;
    size_t n;
    char *end;

    get_set(value, &items, &n);
    if (!n) {
        return 0;
    }
    if (n > 1 || items->type != SP_JSON_STRING) {
        return SP_E_SYNTAX;
    }
    if (strlen(items->string) == 16 && strspn(items->string, "0123456789abcdefABCDEF") == 16) {
        row->dpid = strtoull(items->string, &end, 16);
        row->has_dpid = true;
    }
    return 0;
}

/* The value of 'key' in a <map>: '*ret' is left as it is where the map does not have it. */
static int get_pair(const struct sp_json *map, const char *key, const char **ret)
{
    const struct sp_json *pairs;

    if (map->type != SP_JSON_ARRAY || map->n != 2 || map->items[0].type != SP_JSON_STRING ||
        strcmp(map->items[0].string, "map") || map->items[1].type != SP_JSON_ARRAY) {
        return SP_E_SYNTAX;
    }
    pairs = &map->items[1];
    for (size_t i = 0; i < pairs->n; i++) {
        const struct sp_json *pair = &pairs->items[i];

        if (pair->type != SP_JSON_ARRAY || pair->n != 2 || pair->items[0].type != SP_JSON_STRING ||
            pair->items[1].type != SP_JSON_STRING) {
            return SP_E_SYNTAX;
        }
        if (!strcmp(pair->items[0].string, key)) {
            *ret = pair->items[1].string;
        }
    }
    return 0;
}

/* A difference of maps has the pairs that come, with their new value, and those that go, with their old one. */
static int set_external_ids(struct row *row, const struct sp_json *value, bool diff)
{
    const char *id = NULL;
    int r = get_pair(value, "iface-id", &id);

    if (r || (diff && !id)) {
        return r;
    }
    return set_text(&row->iface_id, id && *id && !(diff && row->iface_id && !strcmp(row->iface_id, id)) ? id : NULL);
}

static int set_other_config(struct row *row, const struct sp_json *value, bool diff)
{
    const char *text = NULL;
    int r = get_pair(value, "disable-in-band", &text);

    if (r || (diff && !text)) {
        return r;
    }
    row->never_in_band = text && !strcasecmp(text, "true") && !(diff && row->never_in_band);
    return 0;
}

/* Whether a set of at most one text has 'text'. */
static int get_is(const struct sp_json *value, const char *text, bool *ret)
{
    const struct sp_json *items;
    size_t n;

    get_set(value, &items, &n);
    if (n > 1 || (n && items->type != SP_JSON_STRING)) {
        return SP_E_SYNTAX;
    }
    *ret = n && !strcmp(items->string, text);
    return 0;
}

static int set_fail_mode(struct row *row, const struct sp_json *value, bool diff)
{
    return get_is(value, "secure", &row->secure);
}

static int set_connection_mode(struct row *row, const struct sp_json *value, bool diff)
{
    return get_is(value, "out-of-band", &row->out_of_band);
}

static int set_target(struct row *row, const struct sp_json *value, bool diff)
{
    if (value->type != SP_JSON_STRING) {
        return SP_E_SYNTAX;
    }
    const char *target = value->string;

    row->remote = (!strncmp(target, "tcp:", 4) || !strncmp(target, "ssl:", 4)) && target[4] != '[';
    row->loopback = row->remote && !strncmp(target + 4, "127.0.0.1", 9) && (!target[13] || target[13] == ':');
    return 0;
}

/* Adds 'uuid' to 'ids'; if 'diff', takes it out if it is there. */
static int toggle_id(struct ids *ids, const struct sp_uuid *uuid, bool diff)
{
    for (size_t i = 0; diff && i < ids->n; i++) {
        if (sp_uuid_equal(&ids->items[i], uuid)) {
            ids->items[i] = ids->items[--ids->n];
            return 0;
        }
    }
    if (ids->n == ids->capacity) {
        size_t capacity = ids->capacity ? 2 * ids->capacity : 4;
        struct sp_uuid *items = reallocarray(ids->items, capacity, sizeof *items);

        if (!items) {
            return -ENOMEM;
        }
        ids->items = items;
        ids->capacity = capacity;
    }
    ids->items[ids->n++] = *uuid;
    return 0;
}

static int set_ids(struct ids *ids, const struct sp_json *value, bool diff)
{
    const struct sp_json *items;
    size_t n;

    get_set(value, &items, &n);
    if (!diff) {
        ids->n = 0;
    }
    for (size_t i = 0; i < n; i++) {
        struct sp_uuid uuid;
        int r;

        if (items[i].type != SP_JSON_ARRAY || items[i].n != 2 || items[i].items[0].type != SP_JSON_STRING ||
            strcmp(items[i].items[0].string, "uuid") || items[i].items[1].type != SP_JSON_STRING ||
            sp_uuid_parse(items[i].items[1].string, &uuid)) {
            return SP_E_SYNTAX;
        }
        r = ids->n < SP_REPLICA_ROWS_MAX ? toggle_id(ids, &uuid, diff) : SP_E_FULL;
        if (r) {
            return r;
        }
    }
    return 0;
}

static int set_children(struct row *row, const struct sp_json *value, bool diff)
{
    return set_ids(&row->children, value, diff);
}

static int set_controllers(struct row *row, const struct sp_json *value, bool diff)
{
    return set_ids(&row->controllers, value, diff);
}

static const struct {
    const char *column;
    int (*set)(struct row *, const struct sp_json *value, bool diff);
} columns[] = {
    {"name", set_name},
    {"datapath_id", set_dpid},
    {"external_ids", set_external_ids},
    {"ports", set_children},
    {"interfaces", set_children},
    {"fail_mode", set_fail_mode},
    {"other_config", set_other_config},
    {"controller", set_controllers},
    {"target", set_target},
    {"connection_mode", set_connection_mode},
};

static int set_columns(struct row *row, const struct sp_json *values, bool diff)
{
    if (values->type != SP_JSON_OBJECT) {
        return SP_E_SYNTAX;
    }
    for (size_t i = 0; i < values->n; i++) {
        for (size_t j = 0; j < sizeof columns / sizeof *columns; j++) {
            int r = strcmp(values->keys[i], columns[j].column) ? 0 : columns[j].set(row, &values->items[i], diff);

            if (r) {
                return r;
            }
        }
    }
    return 0;
}

/* Adds an empty row; one of the same id, which the server should not send, is replaced. */
static int add_row(struct sp_replica *replica, void **table, const struct sp_uuid *uuid, struct row **ret)
{
    struct row *row = find_row(table, uuid);

    if (row) {
        tdelete(row, table, compare_rows);
        replica->n_rows--;
        free_row(row);
    }
    if (replica->n_rows >= SP_REPLICA_ROWS_MAX) {
        return SP_E_FULL;
    }
    row = calloc(1, sizeof *row);
    if (!row) {
        return -ENOMEM;
    }
    row->uuid = *uuid;
    if (!tsearch(row, table, compare_rows)) {
        free(row);
        return -ENOMEM;
    }
    replica->n_rows++;
    *ret = row;
    return 0;
}

/* One <row-update2> of the row 'uuid'. */
static int update_row(struct sp_replica *replica, void **table, const struct sp_uuid *uuid, const struct sp_json *update)
{
    struct row *row = find_row(table, uuid);
    const char *verb;
    int r;

    if (update->type != SP_JSON_OBJECT || update->n != 1) {
        return SP_E_SYNTAX;
    }
    verb = update->keys[0];
    if (!strcmp(verb, "initial") || !strcmp(verb, "insert")) {
        r = add_row(replica, table, uuid, &row);
        return r ? r : set_columns(row, &update->items[0], false);
    }
    if (!row) {
        return SP_E_DAMAGED;
    }
    if (!strcmp(verb, "modify")) {
        return set_columns(row, &update->items[0], true);
    }
    if (strcmp(verb, "delete")) {
        return SP_E_SYNTAX;
    }
    tdelete(row, table, compare_rows);
    replica->n_rows--;
    free_row(row);
    return 0;
}

int sp_replica_update(struct sp_replica *replica, const struct sp_json *updates)
{
    assert(replica);

    const struct {
        const char *name;
        void **rows; /* NULL: the root, whose id is all that counts. */
    } tables[] = {
        {"Open_vSwitch", NULL},
        {"Bridge", &replica->bridges},
        {"Port", &replica->ports},
        {"Interface", &replica->interfaces},
        {"Controller", &replica->controllers},
        {"Manager", &replica->managers},
    };

    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        const struct sp_json *rows = updates->type == SP_JSON_OBJECT ? sp_json_get(updates, tables[i].name) : NULL;

        if (updates->type != SP_JSON_OBJECT || (rows && rows->type != SP_JSON_OBJECT)) {
            return SP_E_SYNTAX;
        }
        for (size_t j = 0; rows && j < rows->n; j++) {
            struct sp_uuid uuid;
            int r = sp_uuid_parse(rows->keys[j], &uuid);

            if (!r && tables[i].rows) {
                r = update_row(replica, tables[i].rows, &uuid, &rows->items[j]);
            } else if (!r && !(rows->items[j].type == SP_JSON_OBJECT && sp_json_get(&rows->items[j], "delete"))) {
                replica->root = uuid;
            }
            if (r) {
                return r;
            }
        }
    }
    return 0;
}

static void clear_binding(struct sp_binding *binding)
{
    free(binding->iface_id);
    free(binding->name);
}

void sp_bindings_clear(struct sp_bindings *bindings)
{
    for (size_t i = 0; i < bindings->n; i++) {
        clear_binding(&bindings->items[i]);
    }
    free(bindings->items);
    *bindings = (struct sp_bindings){0};
}

int sp_binding_compare(const struct sp_binding *a, const struct sp_binding *b)
{
    int order = strcmp(a->iface_id, b->iface_id);

    if (!order) {
        order = (a->dpid > b->dpid) - (a->dpid < b->dpid);
    }
    return order ? order : strcmp(a->name, b->name);
}

static int compare_bindings(const void *a, const void *b)
{
    return sp_binding_compare(a, b);
}

static int add_binding(struct sp_bindings *bindings, const struct row *interface, uint64_t dpid)
{
    struct sp_binding *binding;

    if (bindings->n == bindings->capacity) {
        size_t capacity = bindings->capacity ? 2 * bindings->capacity : 16;
        struct sp_binding *items = reallocarray(bindings->items, capacity, sizeof *items);

        if (!items) {
            return -ENOMEM;
        }
        bindings->items = items;
        bindings->capacity = capacity;
    }
    binding = &bindings->items[bindings->n];
    *binding = (struct sp_binding){.dpid = dpid, .iface_id = strdup(interface->iface_id), .name = strdup(interface->name)};
    if (!binding->iface_id || !binding->name) {
        clear_binding(binding);
        return -ENOMEM;
    }
    bindings->n++;
    return 0;
}

/* What twalk_r() carries from bridge to bridge. */
struct walk {
    const struct sp_replica *replica;
    struct sp_bindings *bindings;
    int r;
};

static void visit_bridge(const void *node, VISIT visit, void *aux)
{
    const struct row *bridge = *(struct row *const *) node;
    struct walk *walk = aux;

    if ((visit != postorder && visit != leaf) || !bridge->has_dpid) {
        return;
    }
    for (size_t i = 0; i < bridge->children.n; i++) {
        const struct row *port = find_row(&walk->replica->ports, &bridge->children.items[i]);

        for (size_t j = 0; port && j < port->children.n; j++) {
            const struct row *interface = find_row(&walk->replica->interfaces, &port->children.items[j]);

            if (interface && interface->iface_id && interface->name && !walk->r) {
                walk->r = add_binding(walk->bindings, interface, bridge->dpid);
            }
        }
    }
}

static void inherit_dpid(const void *node, VISIT visit, void *aux)
{
    struct row *bridge = *(struct row *const *) node;
    const struct sp_replica *old = aux;
    const struct row *before = visit == postorder || visit == leaf ? find_row(&old->bridges, &bridge->uuid) : NULL;

    if (before && before->has_dpid && !bridge->has_dpid) {
        bridge->has_dpid = true;
        bridge->dpid = before->dpid;
    }
}

void sp_replica_inherit(struct sp_replica *replica, const struct sp_replica *old)
{
    twalk_r(replica->bridges, inherit_dpid, (void *) old);
}

int sp_replica_bindings(const struct sp_replica *replica, struct sp_bindings *ret)
{
    struct sp_bindings bindings = {0};
    struct walk walk = {.replica = replica, .bindings = &bindings};
    size_t n = 0;

    twalk_r(replica->bridges, visit_bridge, &walk);
    if (walk.r) {
        sp_bindings_clear(&bindings);
        return walk.r;
    }
    if (bindings.n) {
        qsort(bindings.items, bindings.n, sizeof *bindings.items, compare_bindings);
    }
    for (size_t i = 0; i < bindings.n; i++) {
        if (n && !sp_binding_compare(&bindings.items[n - 1], &bindings.items[i])) {
            clear_binding(&bindings.items[i]);
        } else {
            bindings.items[n++] = bindings.items[i];
        }
    }
    bindings.n = n;
    *ret = bindings;
    return 0;
}

static void find_manager(const void *node, VISIT visit, void *aux)
{
    const struct row *manager = *(struct row *const *) node;
    bool *found = aux;

    if (visit == postorder || visit == leaf) {
        *found = *found || (manager->remote && !manager->loopback && !manager->out_of_band);
    }
}

/* Whether the switch puts flows of its own on 'bridge' for the way to a controller, or to a manager on another host, which counts
 * for every bridge.  Source: ovs-vswitchd.conf.db(5), connection_mode of Controller and Manager, and Bridge
 * other_config:disable-in-band; ovs-vswitchd 3.1, update_in_band_remotes() and collect_in_band_managers(). */
static bool is_in_band(const struct sp_replica *replica, const struct row *bridge)
{
    bool by_manager = false;

    twalk_r(replica->managers, find_manager, &by_manager);
    if (by_manager && !bridge->never_in_band) {
        return true;
    }
    for (size_t i = 0; i < bridge->controllers.n && !bridge->never_in_band; i++) {
        const struct row *controller = find_row(&replica->controllers, &bridge->controllers.items[i]);

        if (controller && controller->remote && !controller->out_of_band) {
            return true;
        }
    }
    return false;
}

/* What twalk_r() carries from bridge to bridge. */
struct inspection {
    const struct sp_replica *replica;
    struct sp_flaws flaws;
    size_t capacity;
    int r;
};

static void inspect_bridge(const void *node, VISIT visit, void *aux)
{
    const struct row *bridge = *(struct row *const *) node;
    struct inspection *inspection = aux;
    struct sp_flaws *flaws = &inspection->flaws;
    const char *text;

    if ((visit != postorder && visit != leaf) || !bridge->has_dpid || inspection->r) {
        return;
    }
    if (is_in_band(inspection->replica, bridge)) {
        text = bridge->secure ? in_band : standalone_in_band;
    } else if (!bridge->secure) {
        text = standalone;
    } else {
        return;
    }
    if (flaws->n == inspection->capacity) {
        size_t capacity = inspection->capacity ? 2 * inspection->capacity : 16;
        struct sp_flaw *items = reallocarray(flaws->items, capacity, sizeof *items);

        if (!items) {
            inspection->r = -ENOMEM;
            return;
        }
        flaws->items = items;
        inspection->capacity = capacity;
    }
    flaws->items[flaws->n++] = (struct sp_flaw){.dpid = bridge->dpid, .text = text};
}

static int compare_flaws(const void *a_, const void *b_)
{
    const struct sp_flaw *a = a_, *b = b_;

    return (a->dpid > b->dpid) - (a->dpid < b->dpid);
}

void sp_flaws_clear(struct sp_flaws *flaws)
{
    free(flaws->items);
    *flaws = (struct sp_flaws){0};
}

int sp_replica_flaws(const struct sp_replica *replica, struct sp_flaws *ret)
{
    struct inspection inspection = {.replica = replica};
    struct sp_flaws *flaws = &inspection.flaws;
    size_t n = 0;

    twalk_r(replica->bridges, inspect_bridge, &inspection);
    if (inspection.r) {
        sp_flaws_clear(flaws);
        return inspection.r;
    }
    if (flaws->n) {
        qsort(flaws->items, flaws->n, sizeof *flaws->items, compare_flaws);
    }
    for (size_t i = 0; i < flaws->n; i++) {
        if (!n || flaws->items[n - 1].dpid != flaws->items[i].dpid) { /* Two bridges of one id are the operator's mistake. */
            flaws->items[n++] = flaws->items[i];
        }
    }
    flaws->n = n;
    *ret = *flaws;
    return 0;
}
