#include "controller/model/tables.h"

#include <string.h>

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

static uint32_t hash_string(uint64_t seed, const char *string)
{
    return sp_index_hash(seed, string, strlen(string));
}

uint32_t sp_model_hash(const struct sp_model *model, enum sp_index_name name, const void *key)
{
    uint64_t seed = model->seed;
    switch (key_types[name]) {
    case KEY_STRING: return hash_string(seed, key);
    case KEY_UUID: return sp_index_hash(seed, key, sizeof(struct sp_uuid));
    case KEY_DPID: return sp_index_hash(seed, key, sizeof(uint64_t));
    case KEY_NUMBER: return sp_index_hash(seed, key, sizeof(uint32_t));
    case KEY_NAME: {
        const struct sp_name_key *port = key;
        return hash_string(seed + port->dpid, port->name);
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

static bool match_region(const struct sp_index_node *node, const void *key)
{
    return !strcmp(sp_node_entry(node)->region->name, key);
}

static bool match_group(const struct sp_index_node *node, const void *key)
{
    return sp_uuid_equal(&sp_node_entry(node)->group->id, key);
}

static bool match_group_region(const struct sp_index_node *node, const void *key)
{
    return !strcmp(sp_node_entry(node)->group->region, key);
}

static bool match_referrer(const struct sp_index_node *node, const void *key)
{
    return sp_uuid_equal(&sp_node_entry(node)->group->rules[node->item]->meaning.remote_group, key);
}

static bool match_server(const struct sp_index_node *node, const void *key)
{
    return sp_uuid_equal(&sp_node_entry(node)->server->id, key);
}

static bool match_server_region(const struct sp_index_node *node, const void *key)
{
    return !strcmp(sp_node_entry(node)->server->region, key);
}

static bool match_member(const struct sp_index_node *node, const void *key)
{
    return sp_uuid_equal(&sp_node_entry(node)->server->groups[node->item], key);
}

static bool match_server_set(const struct sp_index_node *node, const void *key)
{
    return sp_node_entry(node)->server->set == *(const uint32_t *) key;
}

static bool match_port(const struct sp_index_node *node, const void *key)
{
    return sp_uuid_equal(&sp_node_port(node)->id, key);
}

static bool match_port_bridge(const struct sp_index_node *node, const void *key)
{
    return sp_node_port(node)->dpid == *(const uint64_t *) key;
}

static bool match_port_name(const struct sp_index_node *node, const void *key)
{
    const struct sp_name_key *name = key;
    return sp_node_port(node)->dpid == name->dpid && !strcmp(sp_node_port(node)->name, name->name);
}

static bool match_port_mac(const struct sp_index_node *node, const void *key)
{
    const struct sp_mac_key *mac = key;
    const struct sp_port *port = sp_node_port(node);
    return port->dpid == mac->dpid && port->vlan == mac->vlan && sp_mac_equal(&port->mac, &mac->mac);
}

static bool match_port_iface(const struct sp_index_node *node, const void *key)
{
    return !strcmp(sp_node_port(node)->iface_id, key);
}

static bool match_address(const struct sp_index_node *node, const void *key)
{
    const struct sp_address_key *address = key;
    return sp_cidr_equal(&sp_node_port(node)->ips[node->subitem], &address->ip)
           && !strcmp(sp_node_entry(node)->server->region, address->region);
}

static bool match_bridge(const struct sp_index_node *node, const void *key)
{
    return sp_node_entry(node)->bridge->dpid == *(const uint64_t *) key;
}

static bool match_set(const struct sp_index_node *node, const void *key)
{
    return sp_node_entry(node)->set->number == *(const uint32_t *) key;
}

static bool match_set_groups(const struct sp_index_node *node, const void *key)
{
    const struct sp_groups_key *groups = key;
    const struct sp_rule_set *set = sp_node_entry(node)->set;
    return set->n_groups == groups->n_groups && !memcmp(set->groups, groups->groups, set->n_groups * sizeof *set->groups)
           && !strcmp(set->region, groups->region);
}

static bool match_set_region(const struct sp_index_node *node, const void *key)
{
    return !strcmp(sp_node_entry(node)->set->region, key);
}

static bool match_set_group(const struct sp_index_node *node, const void *key)
{
    return sp_uuid_equal(&sp_node_entry(node)->set->groups[node->item], key);
}

static bool match_shared(const struct sp_index_node *node, const void *key)
{
    const struct sp_address_key *address = key;
    const struct sp_shared *shared = sp_node_entry(node)->shared;
    return sp_cidr_equal(&shared->ip, &address->ip) && !strcmp(shared->region, address->region);
}

static bool match_shared_set(const struct sp_index_node *node, const void *key)
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

struct sp_index_node *sp_model_find(const struct sp_model *model, enum sp_index_name name, const void *key)
{
    return sp_index_find(&model->indices[name], sp_model_hash(model, name, key), key);
}
