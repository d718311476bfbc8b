/* The model's inside: every object stands in an entry, every entry in the indices.  For the files of controller/model only.
 *
 * An entry wraps one version of one object together with the nodes of all indices in which that version stands.  It is
 * made, which may fail, before it is linked, which may not: a change is "unlink one entry, link another", and can be
 * taken back and carried out again at any time without memory. */

#ifndef SALLYPORT_CONTROLLER_MODEL_TABLES_H
#define SALLYPORT_CONTROLLER_MODEL_TABLES_H 1

#include "controller/model/index.h"
#include "controller/model/model.h"

/* A kind of entries that are derived and never stored: addresses whose ports' servers have different rule sets. */
#define SP_KIND_SHARED SP_N_KINDS

struct sp_shared {
    char *region;      /* Behind the struct. */
    struct sp_cidr ip;
    uint32_t set;      /* The rule set of all groups of all ports that have the address; 0: none has a group. */
};

struct sp_entry {
    unsigned kind; /* enum sp_kind or SP_KIND_SHARED. */
    bool fresh;    /* Staged by the request that is under way. */
    union {
        const void *object; /* One reference is ours. */
        const struct sp_region *region;
        const struct sp_group *group;
        const struct sp_server *server;
        const struct sp_bridge *bridge;
        const struct sp_rule_set *set;
        const struct sp_shared *shared;
    };
    size_t n_nodes;
    struct sp_index_node nodes[];
};

enum sp_index_name {
    SP_INDEX_REGION,          /* Regions by name. */
    SP_INDEX_GROUP,           /* Groups by id, */
    SP_INDEX_REGION_GROUPS,   /* by region, */
    SP_INDEX_REFERRERS,       /* by remote group. */
    SP_INDEX_SERVER,          /* Servers by id, */
    SP_INDEX_REGION_SERVERS,  /* by region, */
    SP_INDEX_MEMBERS,         /* by group, */
    SP_INDEX_SET_SERVERS,     /* by rule set number. */
    SP_INDEX_PORT,            /* Ports (item: of the server's) by id, */
    SP_INDEX_BRIDGE_PORTS,    /* by dpid, */
    SP_INDEX_NAMED_PORTS,     /* by dpid and name, */
    SP_INDEX_MAC_PORTS,       /* by dpid, VLAN and MAC, */
    SP_INDEX_IFACE_PORTS,     /* by iface_id. */
    SP_INDEX_ADDRESSES,       /* Addresses (item: port, subitem: of its ips) by region and IP. */
    SP_INDEX_BRIDGE,          /* Bridges by dpid. */
    SP_INDEX_SET,             /* Rule sets by number, */
    SP_INDEX_SET_OF_GROUPS,   /* by region and sorted groups, */
    SP_INDEX_REGION_SETS,     /* by region, */
    SP_INDEX_GROUP_SETS,      /* by each of their groups. */
    SP_INDEX_SHARED,          /* Shared addresses by region and IP, */
    SP_INDEX_SET_SHARED,      /* by rule set number. */
    SP_N_INDICES
};

/* Keys of more than one part. */
struct sp_name_key {
    uint64_t dpid;
    const char *name;
};
struct sp_mac_key {
    uint64_t dpid;
    uint16_t vlan;
    struct sp_mac mac;
};
struct sp_address_key {
    const char *region;
    struct sp_cidr ip;
};
struct sp_groups_key {
    const char *region;
    const struct sp_uuid *groups;
    size_t n_groups;
};

struct sp_zone_users {
    uint32_t all;
    uint32_t by_iface; /* Those of them that may turn up on any bridge. */
};

struct sp_model {
    struct sp_index indices[SP_N_INDICES];
    struct sp_counters counters;
    struct sp_zone_users *zones; /* By zone, 65,536 of them. */
    size_t n_zones_used;
    uint64_t seed;
    bool in_batch;
};

/* Makes an entry of 'object', whose reference it takes over, also on failure.  NULL: no memory. */
struct sp_entry *sp_entry_new(unsigned kind, const void *object);
/* Makes the entry of a shared address; the region's name is copied. */
struct sp_entry *sp_entry_new_shared(const struct sp_address_key *, uint32_t set);
void sp_entry_free(struct sp_entry *); /* Not linked; NULL is fine. */
void sp_entry_link(struct sp_model *, struct sp_entry *);
void sp_entry_unlink(struct sp_model *, struct sp_entry *);
/* Orders entries of one kind by their key, those of different kinds by kind. */
int sp_entry_compare_keys(const struct sp_entry *, const struct sp_entry *);
/* The linked entry with the key of 'entry', or NULL. */
struct sp_entry *sp_entry_find(const struct sp_model *, const struct sp_entry *entry);

/* How each index compares its nodes with a key, and the hash of one. */
extern sp_index_match *const sp_index_matches[SP_N_INDICES];
uint32_t sp_model_hash(const struct sp_model *, enum sp_index_name, const void *key);

/* The first node of 'key' (of the type that the index has) or NULL. */
struct sp_index_node *sp_model_find(const struct sp_model *, enum sp_index_name, const void *key);
static inline const struct sp_entry *sp_node_entry(const struct sp_index_node *node)
{
    return node->owner;
}
static inline const struct sp_port *sp_node_port(const struct sp_index_node *node)
{
    return sp_node_entry(node)->server->ports[node->item];
}

/* The rule set of just these groups, sorted; NULL: none. */
const struct sp_rule_set *sp_model_set_of_groups(const struct sp_model *, const struct sp_groups_key *);
/* The groups of all servers that have a port with this address, sorted; '*ret_mixed' tells whether their rule sets differ
 * (else '*ret_groups' stays NULL and '*ret_set' is the one they have, 0 for none).  The caller frees '*ret_groups'.
 * Returns 0 or -ENOMEM. */
int sp_model_union_groups(const struct sp_model *, const struct sp_address_key *, bool *ret_mixed, uint32_t *ret_set,
                          struct sp_uuid **ret_groups, size_t *ret_n) SP_MUST_USE;

/* The rules of 'groups' in order of (created_at, id).  The caller frees '*ret_rules', NULL if there are none.  'version'
 * finds a group by id. */
typedef const struct sp_group *sp_group_version(void *aux, const struct sp_uuid *id);
int sp_model_collect_rules(const struct sp_uuid *groups, size_t n_groups, sp_group_version *version, void *aux,
                           const struct sp_rule ***ret_rules, size_t *ret_n) SP_MUST_USE;

#endif
