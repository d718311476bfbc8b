#include "controller/model/tables.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "controller/model/object.h"

/* Keys. */

enum key_type { KEY_STRING, KEY_UUID, KEY_DPID, KEY_NUMBER, KEY_NAME, KEY_MAC, KEY_ADDRESS, KEY_GROUPS };

static const enum key_type key_types[SP_N_INDICES] = {
    [SP_INDEX_REGION] = KEY_STRING,        [SP_INDEX_GROUP] = KEY_UUID,          [SP_INDEX_REGION_GROUPS] = KEY_STRING,
    [SP_INDEX_REFERRERS] = KEY_UUID,       [SP_INDEX_SERVER] = KEY_UUID,         [SP_INDEX_REGION_SERVERS] = KEY_STRING,
    [SP_INDEX_MEMBERS] = KEY_UUID,         [SP_INDEX_SET_SERVERS] = KEY_NUMBER,  [SP_INDEX_PORT] = KEY_UUID,
    [SP_INDEX_BRIDGE_PORTS] = KEY_DPID,    [SP_INDEX_NAMED_PORTS] = KEY_NAME,    [SP_INDEX_MAC_PORTS] = KEY_MAC,
    [SP_INDEX_IFACE_PORTS] = KEY_STRING,   [SP_INDEX_ADDRESSES] = KEY_ADDRESS,   [SP_INDEX_BRIDGE] = KEY_DPID,
    [SP_INDEX_SET] = KEY_NUMBER,           [SP_INDEX_SET_OF_GROUPS] = KEY_GROUPS, [SP_INDEX_REGION_SETS] = KEY_STRING,
    [SP_INDEX_GROUP_SETS] = KEY_UUID,      [SP_INDEX_SHARED] = KEY_ADDRESS,      [SP_INDEX_SET_SHARED] = KEY_NUMBER,
};

static uint32_t
hash_string(uint64_t seed, const char *string)
{
    return sp_index_hash(seed, string, strlen(string));
}

static uint32_t
hash_key(uint64_t seed, enum key_type type, const void *key)
{
    switch (type) {
    case KEY_STRING: return hash_string(seed, key);
    case KEY_UUID: return sp_index_hash(seed, key, sizeof(struct sp_uuid));
    case KEY_DPID: return sp_index_hash(seed, key, sizeof(uint64_t));
    case KEY_NUMBER: return sp_index_hash(seed, key, sizeof(uint32_t));
    case KEY_NAME: {
        const struct sp_name_key *name = key;
        return hash_string(seed + name->dpid, name->name);
    }
    case KEY_MAC: {
        const struct sp_mac_key *mac = key;
        uint32_t place = sp_index_hash(seed + mac->vlan, &mac->dpid, sizeof mac->dpid);
        return sp_index_hash(seed + place, &mac->mac, sizeof mac->mac);
    }
    case KEY_ADDRESS: {
        const struct sp_address_key *address = key;
        return sp_index_hash(seed + hash_string(seed, address->region), &address->ip, sizeof address->ip);
    }
    case KEY_GROUPS: {
        const struct sp_groups_key *groups = key;
        return sp_index_hash(seed + hash_string(seed, groups->region), groups->groups,
                             groups->n_groups * sizeof *groups->groups);
    }
    }
    return 0;
}

static bool
match_region(const struct sp_index_node *node, const void *key)
{
    return !strcmp(sp_node_entry(node)->region->name, key);
}

static bool
match_group(const struct sp_index_node *node, const void *key)
{
    return sp_uuid_equal(&sp_node_entry(node)->group->id, key);
}

static bool
match_group_region(const struct sp_index_node *node, const void *key)
{
    return !strcmp(sp_node_entry(node)->group->region, key);
}

static bool
match_referrer(const struct sp_index_node *node, const void *key)
{
    return sp_uuid_equal(&sp_node_entry(node)->group->rules[node->item]->meaning.remote_group, key);
}

static bool
match_server(const struct sp_index_node *node, const void *key)
{
    return sp_uuid_equal(&sp_node_entry(node)->server->id, key);
}

static bool
match_server_region(const struct sp_index_node *node, const void *key)
{
    return !strcmp(sp_node_entry(node)->server->region, key);
}

static bool
match_member(const struct sp_index_node *node, const void *key)
{
    return sp_uuid_equal(&sp_node_entry(node)->server->groups[node->item], key);
}

static bool
match_server_set(const struct sp_index_node *node, const void *key)
{
    return sp_node_entry(node)->server->set == *(const uint32_t *) key;
}

static bool
match_port(const struct sp_index_node *node, const void *key)
{
    return sp_uuid_equal(&sp_node_port(node)->id, key);
}

static bool
match_port_bridge(const struct sp_index_node *node, const void *key)
{
    return sp_node_port(node)->dpid == *(const uint64_t *) key;
}

static bool
match_port_name(const struct sp_index_node *node, const void *key)
{
    const struct sp_name_key *name = key;
    return sp_node_port(node)->dpid == name->dpid && !strcmp(sp_node_port(node)->name, name->name);
}

static bool
match_port_mac(const struct sp_index_node *node, const void *key)
{
    const struct sp_mac_key *mac = key;
    const struct sp_port *port = sp_node_port(node);
    return port->dpid == mac->dpid && port->vlan == mac->vlan && sp_mac_equal(&port->mac, &mac->mac);
}

static bool
match_port_iface(const struct sp_index_node *node, const void *key)
{
    return !strcmp(sp_node_port(node)->iface_id, key);
}

static bool
match_address(const struct sp_index_node *node, const void *key)
{
    const struct sp_address_key *address = key;
    return sp_cidr_equal(&sp_node_port(node)->ips[node->subitem], &address->ip)
           && !strcmp(sp_node_entry(node)->server->region, address->region);
}

static bool
match_bridge(const struct sp_index_node *node, const void *key)
{
    return sp_node_entry(node)->bridge->dpid == *(const uint64_t *) key;
}

static bool
match_set(const struct sp_index_node *node, const void *key)
{
    return sp_node_entry(node)->set->number == *(const uint32_t *) key;
}

static bool
match_set_groups(const struct sp_index_node *node, const void *key)
{
    const struct sp_groups_key *groups = key;
    const struct sp_rule_set *set = sp_node_entry(node)->set;
    return set->n_groups == groups->n_groups && !memcmp(set->groups, groups->groups, set->n_groups * sizeof *set->groups)
           && !strcmp(set->region, groups->region);
}

static bool
match_set_region(const struct sp_index_node *node, const void *key)
{
    return !strcmp(sp_node_entry(node)->set->region, key);
}

static bool
match_set_group(const struct sp_index_node *node, const void *key)
{
    return sp_uuid_equal(&sp_node_entry(node)->set->groups[node->item], key);
}

static bool
match_shared(const struct sp_index_node *node, const void *key)
{
    const struct sp_address_key *address = key;
    const struct sp_shared *shared = sp_node_entry(node)->shared;
    return sp_cidr_equal(&shared->ip, &address->ip) && !strcmp(shared->region, address->region);
}

static bool
match_shared_set(const struct sp_index_node *node, const void *key)
{
    return sp_node_entry(node)->shared->set == *(const uint32_t *) key;
}

sp_index_match *const sp_index_matches[SP_N_INDICES] = {
    [SP_INDEX_REGION] = match_region,
    [SP_INDEX_GROUP] = match_group,
    [SP_INDEX_REGION_GROUPS] = match_group_region,
    [SP_INDEX_REFERRERS] = match_referrer,
    [SP_INDEX_SERVER] = match_server,
    [SP_INDEX_REGION_SERVERS] = match_server_region,
    [SP_INDEX_MEMBERS] = match_member,
    [SP_INDEX_SET_SERVERS] = match_server_set,
    [SP_INDEX_PORT] = match_port,
    [SP_INDEX_BRIDGE_PORTS] = match_port_bridge,
    [SP_INDEX_NAMED_PORTS] = match_port_name,
    [SP_INDEX_MAC_PORTS] = match_port_mac,
    [SP_INDEX_IFACE_PORTS] = match_port_iface,
    [SP_INDEX_ADDRESSES] = match_address,
    [SP_INDEX_BRIDGE] = match_bridge,
    [SP_INDEX_SET] = match_set,
    [SP_INDEX_SET_OF_GROUPS] = match_set_groups,
    [SP_INDEX_REGION_SETS] = match_set_region,
    [SP_INDEX_GROUP_SETS] = match_set_group,
    [SP_INDEX_SHARED] = match_shared,
    [SP_INDEX_SET_SHARED] = match_shared_set,
};

struct sp_index_node *
sp_model_find(const struct sp_model *model, enum sp_index_name name, const void *key)
{
    return sp_index_find(&model->indices[name], hash_key(model->seed, key_types[name], key), key);
}

/* Linking.  A walk visits all nodes of an entry in a fixed order, each with its index and key. */

typedef void visit_node(struct sp_model *, enum sp_index_name, struct sp_index_node *, const void *key);

static void
walk_port(struct sp_model *model, struct sp_index_node **next, const struct sp_server *server, const struct sp_port *port,
          visit_node *visit)
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

static void
walk_server(struct sp_model *model, struct sp_entry *entry, visit_node *visit)
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

static void
walk_set(struct sp_model *model, struct sp_entry *entry, visit_node *visit)
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

static void
walk_shared(struct sp_model *model, struct sp_entry *entry, visit_node *visit)
{
    const struct sp_shared *shared = entry->shared;
    struct sp_address_key address = { shared->region, shared->ip };
    visit(model, SP_INDEX_SHARED, &entry->nodes[0], &address);
    visit(model, SP_INDEX_SET_SHARED, &entry->nodes[1], &shared->set);
}

static void
walk(struct sp_model *model, struct sp_entry *entry, visit_node *visit)
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

static void
add_node(struct sp_model *model, enum sp_index_name name, struct sp_index_node *node, const void *key)
{
    sp_index_add(&model->indices[name], node, hash_key(model->seed, key_types[name], key), key);
}

static void
remove_node(struct sp_model *model, enum sp_index_name name, struct sp_index_node *node, const void *key)
{
    sp_index_remove(&model->indices[name], node, hash_key(model->seed, key_types[name], key), key);
}

/* Counts the users of the zones of an entry's ports up (+1) or down (-1). */
static void
count_zones(struct sp_model *model, const struct sp_entry *entry, int step)
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

void
sp_entry_link(struct sp_model *model, struct sp_entry *entry)
{
    walk(model, entry, add_node);
    count_zones(model, entry, 1);
}

void
sp_entry_unlink(struct sp_model *model, struct sp_entry *entry)
{
    walk(model, entry, remove_node);
    count_zones(model, entry, -1);
}

/* Making. */

static struct sp_entry *
allocate(unsigned kind, const void *object, size_t n_nodes)
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

static int
compare_remotes(const void *a, const void *b)
{
    const struct remote *x = a, *y = b;
    int order = sp_uuid_compare(x->group, y->group);
    return order ? order : (x->rule > y->rule) - (x->rule < y->rule);
}

/* A group stands once among the referrers of each group that its rules name, with the first rule that does. */
static struct sp_entry *
allocate_group(const struct sp_group *group)
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

static struct sp_entry *
allocate_server(const struct sp_server *server)
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

static struct sp_entry *
allocate_set(const struct sp_rule_set *set)
{
    struct sp_entry *entry = allocate(SP_KIND_RULE_SET, set, 3 + set->n_groups);
    for (size_t i = 0; entry && i < set->n_groups; i++) {
        entry->nodes[3 + i].item = i;
    }
    return entry;
}

struct sp_entry *
sp_entry_new(unsigned kind, const void *object)
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

struct sp_entry *
sp_entry_new_shared(const struct sp_address_key *key, uint32_t set)
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

void
sp_entry_free(struct sp_entry *entry)
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

int
sp_entry_compare_keys(const struct sp_entry *a, const struct sp_entry *b)
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

struct sp_entry *
sp_entry_find(const struct sp_model *model, const struct sp_entry *entry)
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
