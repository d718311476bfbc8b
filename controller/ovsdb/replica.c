#include "controller/ovsdb/replica.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "controller/json/json.h"

/* A row of any of the three tables; what its table has no column for stays empty. */
struct row {
    struct sp_uuid uuid;
    char *name;               /* Interface. */
    char *iface_id;           /* Interface; NULL = none. */
    bool has_dpid;            /* Bridge. */
    uint64_t dpid;
    struct sp_uuid *children; /* Ports of a bridge, interfaces of a port. */
    size_t n_children;
    size_t capacity;
};

static void free_row(void *p)
{
    struct row *row = p;

    free(row->name);
    free(row->iface_id);
    free(row->children);
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

/* A difference of maps has the pairs that come, with their new value, and those that go, with their old one. */
static int set_external_ids(struct row *row, const struct sp_json *value, bool diff)
{
    const struct sp_json *pairs;

    if (value->type != SP_JSON_ARRAY || value->n != 2 || value->items[0].type != SP_JSON_STRING ||
        strcmp(value->items[0].string, "map") || value->items[1].type != SP_JSON_ARRAY) {
        return SP_E_SYNTAX;
    }
    if (!diff) {
        (void) set_text(&row->iface_id, NULL);
    }
    pairs = &value->items[1];
    for (size_t i = 0; i < pairs->n; i++) {
        const struct sp_json *pair = &pairs->items[i];
        const char *id;

        if (pair->type != SP_JSON_ARRAY || pair->n != 2 || pair->items[0].type != SP_JSON_STRING ||
            pair->items[1].type != SP_JSON_STRING) {
            return SP_E_SYNTAX;
        }
        if (strcmp(pair->items[0].string, "iface-id")) {
            continue;
        }
        id = pair->items[1].string;
        if (set_text(&row->iface_id, *id && !(diff && row->iface_id && !strcmp(row->iface_id, id)) ? id : NULL)) {
            return -ENOMEM;
        }
    }
    return 0;
}

/* Adds 'uuid' to the children; if 'diff', takes it out if it is there. */
static int toggle_child(struct row *row, const struct sp_uuid *uuid, bool diff)
{
    for (size_t i = 0; diff && i < row->n_children; i++) {
        if (sp_uuid_equal(&row->children[i], uuid)) {
            row->children[i] = row->children[--row->n_children];
            return 0;
        }
    }
    if (row->n_children == row->capacity) {
        size_t capacity = row->capacity ? 2 * row->capacity : 4;
        struct sp_uuid *children = reallocarray(row->children, capacity, sizeof *children);

        if (!children) {
            return -ENOMEM;
        }
        row->children = children;
        row->capacity = capacity;
    }
    row->children[row->n_children++] = *uuid;
    return 0;
}

static int set_children(struct row *row, const struct sp_json *value, bool diff)
{
    const struct sp_json *items;
    size_t n;

    get_set(value, &items, &n);
    if (!diff) {
        row->n_children = 0;
    }
    for (size_t i = 0; i < n; i++) {
        struct sp_uuid uuid;
        int r;

        if (items[i].type != SP_JSON_ARRAY || items[i].n != 2 || items[i].items[0].type != SP_JSON_STRING ||
            strcmp(items[i].items[0].string, "uuid") || items[i].items[1].type != SP_JSON_STRING ||
            sp_uuid_parse(items[i].items[1].string, &uuid)) {
            return SP_E_SYNTAX;
        }
        r = row->n_children < SP_REPLICA_ROWS_MAX ? toggle_child(row, &uuid, diff) : SP_E_FULL;
        if (r) {
            return r;
        }
    }
    return 0;
}

static const struct {
    const char *column;
    int (*set)(struct row *, const struct sp_json *value, bool diff);
} columns[] = {
    {"name", set_name},      {"datapath_id", set_dpid},    {"external_ids", set_external_ids},
    {"ports", set_children}, {"interfaces", set_children},
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
    const struct {
        const char *name;
        void **rows; /* NULL: the root, whose id is all that counts. */
    } tables[] = {
        {"Open_vSwitch", NULL}, {"Bridge", &replica->bridges}, {"Port", &replica->ports}, {"Interface", &replica->interfaces}};

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
    for (size_t i = 0; i < bridge->n_children; i++) {
        const struct row *port = find_row(&walk->replica->ports, &bridge->children[i]);

        for (size_t j = 0; port && j < port->n_children; j++) {
            const struct row *interface = find_row(&walk->replica->interfaces, &port->children[j]);

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
