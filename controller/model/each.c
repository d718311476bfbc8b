#include <stdlib.h>
#include <string.h>

#include "controller/model/model.h"
#include "controller/model/tables.h"

/* How the entries of each kind are ordered for a reader: oldest first where they have an age. */

static int compare_ages(int64_t a, const struct sp_uuid *id_a, int64_t b, const struct sp_uuid *id_b)
{
    return a != b ? (a > b) - (a < b) : sp_uuid_compare(id_a, id_b);
}

static int compare_entries(const void *a, const void *b)
{
    const struct sp_entry *x = *(const struct sp_entry *const *) a;
    const struct sp_entry *y = *(const struct sp_entry *const *) b;
    switch (x->kind) {
    case SP_KIND_GROUP: return compare_ages(x->group->created_at, &x->group->id, y->group->created_at, &y->group->id);
    case SP_KIND_SERVER: return compare_ages(x->server->created_at, &x->server->id, y->server->created_at, &y->server->id);
    case SP_KIND_REGION:
        if (x->region->created_at != y->region->created_at) {
            return x->region->created_at > y->region->created_at ? 1 : -1;
        }
        break;
    }
    return sp_entry_compare_keys(x, y);
}

typedef int visit_entry(void *aux, const struct sp_entry *);

struct visitor {
    union {
        sp_visit_region *region;
        sp_visit_group *group;
        sp_visit_server *server;
        sp_visit_bridge *bridge;
        sp_visit_rule_set *set;
    } visit;
    void *aux;
};

static int visit_entry_as_its_kind(const struct visitor *visitor, const struct sp_entry *entry)
{
    switch (entry->kind) {
    case SP_KIND_REGION: return visitor->visit.region(visitor->aux, entry->region);
    case SP_KIND_GROUP: return visitor->visit.group(visitor->aux, entry->group);
    case SP_KIND_SERVER: return visitor->visit.server(visitor->aux, entry->server);
    case SP_KIND_BRIDGE: return visitor->visit.bridge(visitor->aux, entry->bridge);
    case SP_KIND_RULE_SET: return visitor->visit.set(visitor->aux, entry->set);
    }
    return 0;
}

/* Goes through the nodes of 'key', or through all of the index if it is NULL: '*head' NULL and '*cursor' 0 to start. */
static const struct sp_index_node *next_node(const struct sp_index *index, const void *key, struct sp_index_node **head,
                                             const struct sp_index_node *node, size_t *cursor)
{
    const struct sp_index_node *next = node ? sp_index_next(*head, node) : NULL;
    if (next || key) {
        return next;
    }
    *head = sp_index_next_head(index, *head, cursor);
    return *head;
}

/* Visits the entries of 'key' in an index, or all of them, in order; without memory for sorting, in no order. */
static int each(const struct sp_model *model, enum sp_index_name name, const void *key, const struct visitor *visitor)
{
    const struct sp_index *index = &model->indices[name];
    struct sp_index_node *head = key ? sp_model_find(model, name, key) : NULL;
    if (key && !head) {
        return 0;
    }
    size_t n = 0, capacity = 0, cursor = 0;
    const struct sp_entry **entries = NULL;
    const struct sp_index_node *first = key ? head : next_node(index, key, &head, NULL, &cursor);
    struct sp_index_node *first_head = head;
    size_t first_cursor = cursor;
    for (const struct sp_index_node *node = first; node; node = next_node(index, key, &head, node, &cursor)) {
        if (n == capacity) {
            capacity = key ? head->count : capacity ? 2 * capacity : 64;
            const struct sp_entry **larger = reallocarray(entries, capacity, sizeof *entries);
            if (!larger) {
                free(entries);
                entries = NULL;
                break;
            }
            entries = larger;
        }
        entries[n++] = sp_node_entry(node);
    }

    int result = 0;
    if (entries) {
        qsort(entries, n, sizeof *entries, compare_entries);
        for (size_t i = 0; i < n && !result; i++) {
            result = visit_entry_as_its_kind(visitor, entries[i]);
        }
        free(entries);
        return result;
    }
    head = first_head;
    cursor = first_cursor;
    for (const struct sp_index_node *node = first; node && !result; node = next_node(index, key, &head, node, &cursor)) {
        result = visit_entry_as_its_kind(visitor, sp_node_entry(node));
    }
    return result;
}

int sp_model_each_region(const struct sp_model *model, sp_visit_region *visit, void *aux)
{
    return each(model, SP_INDEX_REGION, NULL, &(struct visitor) { .visit.region = visit, .aux = aux });
}

int sp_model_each_group(const struct sp_model *model, const char *region, sp_visit_group *visit, void *aux)
{
    return each(model, SP_INDEX_REGION_GROUPS, region, &(struct visitor) { .visit.group = visit, .aux = aux });
}

int sp_model_each_server(const struct sp_model *model, const char *region, sp_visit_server *visit, void *aux)
{
    return each(model, SP_INDEX_REGION_SERVERS, region, &(struct visitor) { .visit.server = visit, .aux = aux });
}

int sp_model_each_bridge(const struct sp_model *model, sp_visit_bridge *visit, void *aux)
{
    return each(model, SP_INDEX_BRIDGE, NULL, &(struct visitor) { .visit.bridge = visit, .aux = aux });
}

int sp_model_each_rule_set(const struct sp_model *model, const char *region, sp_visit_rule_set *visit, void *aux)
{
    return each(model, SP_INDEX_REGION_SETS, region, &(struct visitor) { .visit.set = visit, .aux = aux });
}

int sp_model_each_member(const struct sp_model *model, const struct sp_uuid *group, sp_visit_server *visit, void *aux)
{
    return each(model, SP_INDEX_MEMBERS, group, &(struct visitor) { .visit.server = visit, .aux = aux });
}

int sp_model_each_referrer(const struct sp_model *model, const struct sp_uuid *group, sp_visit_group *visit, void *aux)
{
    return each(model, SP_INDEX_REFERRERS, group, &(struct visitor) { .visit.group = visit, .aux = aux });
}

int sp_model_each_set_of_group(const struct sp_model *model, const struct sp_uuid *group, sp_visit_rule_set *visit, void *aux)
{
    return each(model, SP_INDEX_GROUP_SETS, group, &(struct visitor) { .visit.set = visit, .aux = aux });
}

static int each_port(const struct sp_index_node *head, sp_visit_port *visit, void *aux)
{
    int result = 0;
    for (const struct sp_index_node *node = head; node && !result; node = sp_index_next(head, node)) {
        result = visit(aux, sp_node_port(node), sp_node_entry(node)->server);
    }
    return result;
}

int sp_model_each_bridge_port(const struct sp_model *model, uint64_t dpid, sp_visit_port *visit, void *aux)
{
    return each_port(sp_model_find(model, SP_INDEX_BRIDGE_PORTS, &dpid), visit, aux);
}

static int match_zone(void *aux, const struct sp_port *port, const struct sp_server *server)
{
    return port->zone == *(const uint16_t *) aux;
}

bool sp_model_zone_is_used(const struct sp_model *model, uint64_t dpid, uint16_t zone)
{
    const struct sp_zone_users *users = &model->zones[zone];
    return users->by_iface || (users->all && sp_model_each_bridge_port(model, dpid, match_zone, &zone) == 1);
}

bool sp_model_zone_is_shared(const struct sp_model *model, uint16_t zone)
{
    return model->zones[zone].all > 1;
}

int sp_model_each_named_port(const struct sp_model *model, uint64_t dpid, const char *name, sp_visit_port *visit, void *aux)
{
    return each_port(sp_model_find(model, SP_INDEX_NAMED_PORTS, &(struct sp_name_key) { dpid, name }), visit, aux);
}

int sp_model_each_iface_port(const struct sp_model *model, const char *iface_id, sp_visit_port *visit, void *aux)
{
    int result = 0;
    const struct sp_index_node *head = sp_model_find(model, SP_INDEX_IFACE_PORTS, iface_id);
    for (const struct sp_index_node *node = head; node && !result; node = sp_index_next(head, node)) {
        if (!sp_node_port(node)->has_bridge) {
            result = visit(aux, sp_node_port(node), sp_node_entry(node)->server);
        }
    }
    return result;
}

static bool has_group(const struct sp_server *server, const struct sp_uuid *group)
{
    for (size_t i = 0; i < server->n_groups; i++) {
        if (sp_uuid_equal(&server->groups[i], group)) {
            return true;
        }
    }
    return false;
}

/* True if no member of 'group' before 'server', at its port 'port' and address 'ip', has this address: visit it here. */
static bool is_first_holder(const struct sp_model *model, const struct sp_uuid *group, const struct sp_server *server,
                            size_t port, size_t ip)
{
    struct sp_address_key key = { server->region, server->ports[port]->ips[ip] };
    const struct sp_index_node *head = sp_model_find(model, SP_INDEX_ADDRESSES, &key);
    for (const struct sp_index_node *node = head; node; node = sp_index_next(head, node)) {
        const struct sp_server *holder = sp_node_entry(node)->server;
        if (holder == server && node->item == port && node->subitem == ip) {
            return true;
        }
        if (has_group(holder, group)) {
            return false;
        }
    }
    return true;
}

int sp_model_each_address_of_group(const struct sp_model *model, const struct sp_uuid *group, sp_visit_address *visit, void *aux)
{
    int result = 0;
    const struct sp_index_node *head = sp_model_find(model, SP_INDEX_MEMBERS, group);
    for (const struct sp_index_node *node = head; node; node = sp_index_next(head, node)) {
        const struct sp_server *server = sp_node_entry(node)->server;
        for (size_t i = 0; i < server->n_ports; i++) {
            for (size_t j = 0; j < server->ports[i]->n_ips; j++) {
                const struct sp_cidr *ip = &server->ports[i]->ips[j];
                if (!is_first_holder(model, group, server, i, j)) {
                    continue;
                }
                result = visit(aux, ip, sp_model_class(model, server->region, ip));
                if (result) {
                    return result;
                }
            }
        }
    }
    return 0;
}
