#include "controller/model/tables.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "controller/model/object.h"

/* Linking.  A walk visits all nodes of an entry in a fixed order, each with its index and key. */

typedef void visit_node(struct sp_model *, enum sp_index_name, struct sp_index_node *, const void *key);

static void walk_port(struct sp_model *model, struct sp_index_node **next, const struct sp_server *server,
                      const struct sp_port *port, visit_node *visit)
{
    visit(model, SP_INDEX_PORT, (*next)++, &port->id);
    if (port->has_bridge) {
        struct sp_name_key name = { port->dpid, port->name };
        struct sp_mac_key mac = { port->dpid, port->vlan, port->mac };
        visit(model, SP_INDEX_BRIDGE_PORTS, (*next)++, &port->dpid);
        visit(model, SP_INDEX_NAMED_PORTS, (*next)++, &name);
        visit(model, SP_INDEX_MAC_PORTS, (*next)++, &mac);
    }
    if (port->iface_id) {
        visit(model, SP_INDEX_IFACE_PORTS, (*next)++, port->iface_id);
    }
    for (size_t i = 0; i < port->n_ips; i++) {
        struct sp_address_key address = { server->region, port->ips[i] };
        visit(model, SP_INDEX_ADDRESSES, (*next)++, &address);
    }
}

static void walk_server(struct sp_model *model, struct sp_entry *entry, visit_node *visit)
{
    const struct sp_server *server = entry->server;
    struct sp_index_node *next = entry->nodes;
    visit(model, SP_INDEX_SERVER, next++, &server->id);
    visit(model, SP_INDEX_REGION_SERVERS, next++, server->region);
    if (server->set) {
        visit(model, SP_INDEX_SET_SERVERS, next++, &server->set);
    }
    for (size_t i = 0; i < server->n_groups; i++) {
        visit(model, SP_INDEX_MEMBERS, next++, &server->groups[i]);
    }
    for (size_t i = 0; i < server->n_ports; i++) {
        walk_port(model, &next, server, server->ports[i], visit);
    }
}

static void walk_set(struct sp_model *model, struct sp_entry *entry, visit_node *visit)
{
    const struct sp_rule_set *set = entry->set;
    struct sp_groups_key groups = { set->region, set->groups, set->n_groups };
    struct sp_index_node *next = entry->nodes;
    visit(model, SP_INDEX_SET, next++, &set->number);
    visit(model, SP_INDEX_SET_OF_GROUPS, next++, &groups);
    visit(model, SP_INDEX_REGION_SETS, next++, set->region);
    for (size_t i = 0; i < set->n_groups; i++) {
        visit(model, SP_INDEX_GROUP_SETS, next++, &set->groups[i]);
    }
}

static void walk_shared(struct sp_model *model, struct sp_entry *entry, visit_node *visit)
{
    const struct sp_shared *shared = entry->shared;
    struct sp_address_key address = { shared->region, shared->ip };
    visit(model, SP_INDEX_SHARED, &entry->nodes[0], &address);
    visit(model, SP_INDEX_SET_SHARED, &entry->nodes[1], &shared->set);
}

static void walk(struct sp_model *model, struct sp_entry *entry, visit_node *visit)
{
    switch (entry->kind) {
    case SP_KIND_REGION: visit(model, SP_INDEX_REGION, entry->nodes, entry->region->name); break;
    case SP_KIND_BRIDGE: visit(model, SP_INDEX_BRIDGE, entry->nodes, &entry->bridge->dpid); break;
    case SP_KIND_SERVER: walk_server(model, entry, visit); break;
    case SP_KIND_RULE_SET: walk_set(model, entry, visit); break;
    case SP_KIND_SHARED: walk_shared(model, entry, visit); break;
    case SP_KIND_GROUP:
        visit(model, SP_INDEX_GROUP, &entry->nodes[0], &entry->group->id);
        visit(model, SP_INDEX_REGION_GROUPS, &entry->nodes[1], entry->group->region);
        for (size_t i = 2; i < entry->n_nodes; i++) {
            visit(model, SP_INDEX_REFERRERS, &entry->nodes[i],
                  &entry->group->rules[entry->nodes[i].item]->meaning.remote_group);
        }
        break;
    }
}

static void add_node(struct sp_model *model, enum sp_index_name name, struct sp_index_node *node, const void *key)
{
    sp_index_add(&model->indices[name], node, sp_model_hash(model, name, key), key);
}

static void remove_node(struct sp_model *model, enum sp_index_name name, struct sp_index_node *node, const void *key)
{
    sp_index_remove(&model->indices[name], node, sp_model_hash(model, name, key), key);
}

/* Counts the users of the zones of an entry's ports up (+1) or down (-1). */
static void count_zones(struct sp_model *model, const struct sp_entry *entry, int step)
{
    if (entry->kind != SP_KIND_SERVER) {
        return;
    }
    for (size_t i = 0; i < entry->server->n_ports; i++) {
        const struct sp_port *port = entry->server->ports[i];
        struct sp_zone_users *users = &model->zones[port->zone];
        model->n_zones_used -= users->all > 0;
        users->all += step;
        users->by_iface += port->has_bridge ? 0 : step;
        model->n_zones_used += users->all > 0;
    }
}

void sp_entry_link(struct sp_model *model, struct sp_entry *entry)
{
    walk(model, entry, add_node);
    count_zones(model, entry, 1);
}

void sp_entry_unlink(struct sp_model *model, struct sp_entry *entry)
{
    walk(model, entry, remove_node);
    count_zones(model, entry, -1);
}

/* Making. */

static struct sp_entry *allocate(unsigned kind, const void *object, size_t n_nodes)
{
    struct sp_entry *entry = calloc(1, sizeof *entry + n_nodes * sizeof entry->nodes[0]);
    if (!entry) {
        return NULL;
    }
    entry->kind = kind;
    entry->object = object;
    entry->n_nodes = n_nodes;
    for (size_t i = 0; i < n_nodes; i++) {
        entry->nodes[i].owner = entry;
    }
    return entry;
}

struct remote {
    const struct sp_uuid *group;
    uint32_t rule;
};

static int compare_remotes(const void *a, const void *b)
{
    const struct remote *x = a, *y = b;
    int order = sp_uuid_compare(x->group, y->group);
    return order ? order : (x->rule > y->rule) - (x->rule < y->rule);
}

/* A group stands once among the referrers of each group that its rules name, with the first rule that does. */
static struct sp_entry *allocate_group(const struct sp_group *group)
{
    size_t n = 0, n_distinct = 0;
    struct remote *remotes = calloc(group->n_rules ? group->n_rules : 1, sizeof *remotes);
    if (!remotes) {
        return NULL;
    }
    for (size_t i = 0; i < group->n_rules; i++) {
        if (group->rules[i]->meaning.remote == SP_REMOTE_GROUP) {
            remotes[n++] = (struct remote) { &group->rules[i]->meaning.remote_group, i };
        }
    }
    qsort(remotes, n, sizeof *remotes, compare_remotes);
    for (size_t i = 0; i < n; i++) {
        if (!n_distinct || !sp_uuid_equal(remotes[n_distinct - 1].group, remotes[i].group)) {
            remotes[n_distinct++] = remotes[i];
        }
    }
    struct sp_entry *entry = allocate(SP_KIND_GROUP, group, 2 + n_distinct);
    for (size_t i = 0; entry && i < n_distinct; i++) {
        entry->nodes[2 + i].item = remotes[i].rule;
    }
    free(remotes);
    return entry;
}

static struct sp_entry *allocate_server(const struct sp_server *server)
{
    size_t n = 2 + (server->set ? 1 : 0) + server->n_groups;
    for (size_t i = 0; i < server->n_ports; i++) {
        const struct sp_port *port = server->ports[i];
        n += 1 + (port->has_bridge ? 3 : 0) + (port->iface_id ? 1 : 0) + port->n_ips;
    }
    struct sp_entry *entry = allocate(SP_KIND_SERVER, server, n);
    if (!entry) {
        return NULL;
    }
    struct sp_index_node *next = entry->nodes + 2 + (server->set ? 1 : 0);
    for (size_t i = 0; i < server->n_groups; i++) {
        next++->item = i;
    }
    for (size_t i = 0; i < server->n_ports; i++) {
        const struct sp_port *port = server->ports[i];
        size_t n_first = 1 + (port->has_bridge ? 3 : 0) + (port->iface_id ? 1 : 0);
        for (size_t j = 0; j < n_first + port->n_ips; j++) {
            next->item = i;
            next++->subitem = j < n_first ? 0 : j - n_first;
        }
    }
    return entry;
}

static struct sp_entry *allocate_set(const struct sp_rule_set *set)
{
    struct sp_entry *entry = allocate(SP_KIND_RULE_SET, set, 3 + set->n_groups);
    for (size_t i = 0; entry && i < set->n_groups; i++) {
        entry->nodes[3 + i].item = i;
    }
    return entry;
}

struct sp_entry *sp_entry_new(unsigned kind, const void *object)
{
    struct sp_entry *entry = NULL;
    switch (kind) {
    case SP_KIND_REGION:
    case SP_KIND_BRIDGE: entry = allocate(kind, object, 1); break;
    case SP_KIND_GROUP: entry = allocate_group(object); break;
    case SP_KIND_SERVER: entry = allocate_server(object); break;
    case SP_KIND_RULE_SET: entry = allocate_set(object); break;
    default: assert(false);
    }
    if (!entry) {
        sp_object_unref((struct sp_object) { kind, object });
    }
    return entry;
}

struct sp_entry *sp_entry_new_shared(const struct sp_address_key *key, uint32_t set)
{
    size_t size = strlen(key->region) + 1;
    struct sp_shared *shared = malloc(sizeof *shared + size);
    if (!shared) {
        return NULL;
    }
    *shared = (struct sp_shared) { .region = (char *) (shared + 1), .ip = key->ip, .set = set };
    memcpy(shared->region, key->region, size);
    struct sp_entry *entry = allocate(SP_KIND_SHARED, shared, 2);
    if (!entry) {
        free(shared);
    }
    return entry;
}

void sp_entry_free(struct sp_entry *entry)
{
    if (!entry) {
        return;
    }
    if (entry->kind == SP_KIND_SHARED) {
        free((void *) entry->object);
    } else {
        sp_object_unref((struct sp_object) { entry->kind, entry->object });
    }
    free(entry);
}

int sp_entry_compare_keys(const struct sp_entry *a, const struct sp_entry *b)
{
    if (a->kind != b->kind) {
        return a->kind < b->kind ? -1 : 1;
    }
    switch (a->kind) {
    case SP_KIND_REGION: return strcmp(a->region->name, b->region->name);
    case SP_KIND_GROUP: return sp_uuid_compare(&a->group->id, &b->group->id);
    case SP_KIND_SERVER: return sp_uuid_compare(&a->server->id, &b->server->id);
    case SP_KIND_BRIDGE: return (a->bridge->dpid > b->bridge->dpid) - (a->bridge->dpid < b->bridge->dpid);
    case SP_KIND_RULE_SET: return (a->set->number > b->set->number) - (a->set->number < b->set->number);
    default: break;
    }
    int order = memcmp(&a->shared->ip, &b->shared->ip, sizeof a->shared->ip);
    return order ? order : strcmp(a->shared->region, b->shared->region);
}

struct sp_entry *sp_entry_find(const struct sp_model *model, const struct sp_entry *entry)
{
    const struct sp_index_node *node = NULL;
    switch (entry->kind) {
    case SP_KIND_REGION: node = sp_model_find(model, SP_INDEX_REGION, entry->region->name); break;
    case SP_KIND_GROUP: node = sp_model_find(model, SP_INDEX_GROUP, &entry->group->id); break;
    case SP_KIND_SERVER: node = sp_model_find(model, SP_INDEX_SERVER, &entry->server->id); break;
    case SP_KIND_BRIDGE: node = sp_model_find(model, SP_INDEX_BRIDGE, &entry->bridge->dpid); break;
    case SP_KIND_RULE_SET: node = sp_model_find(model, SP_INDEX_SET, &entry->set->number); break;
    case SP_KIND_SHARED: {
        struct sp_address_key key = { entry->shared->region, entry->shared->ip };
        node = sp_model_find(model, SP_INDEX_SHARED, &key);
        break;
    }
    }
    return node ? node->owner : NULL;
}
