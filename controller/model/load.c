/* Loading: what a store gives is checked as if a stranger had written it. */

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/model/model.h"
#include "controller/model/object.h"
#include "controller/model/tables.h"
#include "controller/model/vector.h"

/* Where to write what is wrong, and what has been gathered for checks of the whole. */
struct inspection {
    struct sp_model *model;
    char *why;
    size_t why_size;
    struct sp_vector regions; /* uint32_t: numbers of regions, */
    struct sp_vector slots;   /* of all admissions, */
    struct sp_vector marks;
};

static int SP_PRINTF(2, 3) damaged(const struct inspection *in, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(in->why, in->why_size, format, args);
    va_end(args);
    return SP_E_DAMAGED;
}

static int SP_PRINTF(3, 4) damaged_object(const struct inspection *in, const struct sp_uuid *id, const char *format, ...)
{
    char text[SP_UUID_TEXT_SIZE], message[256];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return damaged(in, "%s %s", message, sp_uuid_format(id, text));
}

/* Whether 'object' has what an entry needs: its strings, and ports that no server has yet. */
static int check_form(const struct inspection *in, struct sp_object object)
{
    if (object.kind == SP_KIND_REGION) {
        return ((const struct sp_region *) object.object)->name ? 0 : damaged(in, "a region has no name");
    }
    if (object.kind == SP_KIND_GROUP) {
        const struct sp_group *group = object.object;
        bool is_whole = group->region && group->name && group->description;
        return is_whole ? 0 : damaged_object(in, &group->id, "no name or region: security group");
    }
    if (object.kind == SP_KIND_RULE_SET) {
        const struct sp_rule_set *set = object.object;
        return set->region && set->n_groups ? 0 : damaged(in, "rule set %" PRIu32 " has no region or group", set->number);
    }
    if (object.kind != SP_KIND_SERVER) {
        return 0;
    }
    const struct sp_server *server = object.object;
    if (!server->region || !server->name) {
        return damaged_object(in, &server->id, "no name or region: server");
    }
    for (size_t i = 0; i < server->n_ports; i++) {
        const struct sp_port *port = server->ports[i];
        if (port->has_bridge ? !port->name : !port->iface_id) {
            return damaged_object(in, &port->id, "no place: port");
        }
        if (sp_model_port(in->model, &port->id)) {
            return damaged_object(in, &port->id, "stored twice: port");
        }
    }
    return 0;
}

int sp_model_load(struct sp_model *model, struct sp_object object, char *why, size_t why_size)
{
    const struct inspection in = { .model = model, .why = why, .why_size = why_size };
    int r = object.kind < SP_N_KINDS && object.object ? check_form(&in, object) : damaged(&in, "an object of no known kind");
    if (r) {
        sp_object_unref(object);
        return r;
    }
    struct sp_entry *entry = sp_entry_new(object.kind, object.object);
    if (!entry) {
        return -ENOMEM;
    }
    if (sp_entry_find(model, entry)) {
        sp_entry_free(entry);
        return damaged(&in, "an object is stored twice");
    }
    sp_entry_link(model, entry);
    return 0;
}

/* The inspection of the whole. */

static int gather(struct sp_vector *numbers, uint32_t number)
{
    uint32_t *item = sp_vector_add(numbers, sizeof *item);
    if (!item) {
        return -ENOMEM;
    }
    *item = number;
    return 0;
}

static int compare_numbers(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;
    return (x > y) - (x < y);
}

/* Checks that the gathered numbers are different, above 0 and below 'next'. */
static int check_numbers(const struct inspection *in, struct sp_vector *numbers, uint32_t next, const char *what)
{
    size_t n = numbers->n;
    const uint32_t *items = numbers->items;
    sp_vector_sort_unique(numbers, sizeof *items, compare_numbers);
    if (numbers->n != n) {
        return damaged(in, "two %s have the same number", what);
    }
    if (n && (!items[0] || items[n - 1] >= next)) {
        return damaged(in, "a number of %s is not below the counter, %" PRIu32, what, next);
    }
    return 0;
}

static int inspect_region(struct inspection *in, const struct sp_entry *entry)
{
    const struct sp_region *region = entry->region;
    const struct sp_group *group = sp_model_group(in->model, &region->default_group);
    if (!sp_uuid_is_none(&region->default_group) && (!group || strcmp(group->region, region->name))) {
        return damaged(in, "region %s has an unknown default group", region->name);
    }
    return gather(&in->regions, region->number);
}

static bool is_between(long value, long min, long max)
{
    return value >= min && value <= max;
}

static bool meaning_is_valid(const struct sp_meaning *m)
{
    bool has_ports = m->protocol == SP_PROTOCOL_TCP || m->protocol == SP_PROTOCOL_UDP || m->protocol == SP_PROTOCOL_SCTP;
    bool has_icmp = m->protocol == SP_PROTOCOL_ICMP || m->protocol == SP_PROTOCOL_ICMPV6;
    bool ports_are_valid = (m->port_min == -1 && m->port_max == -1)
                           || (has_ports && is_between(m->port_min, 0, m->port_max) && is_between(m->port_max, 0, 65535));
    bool icmp_is_valid = is_between(m->icmp_type, -1, has_icmp ? 255 : -1)
                         && is_between(m->icmp_code, -1, m->icmp_type < 0 ? -1 : 255);
    bool remote_is_valid = m->remote == SP_REMOTE_ANY || m->remote == SP_REMOTE_GROUP
                           || (m->remote == SP_REMOTE_CIDR
                               && ((m->remote_cidr.family == 4 && m->remote_cidr.prefix <= 32)
                                   || (m->remote_cidr.family == 6 && m->remote_cidr.prefix <= 128)));
    return (m->direction == SP_INBOUND || m->direction == SP_OUTBOUND) && (m->action == SP_DENY || m->action == SP_ALLOW)
           && is_between(m->priority, SP_PRIORITY_MIN, SP_PRIORITY_MAX) && is_between(m->protocol, -1, 255) && ports_are_valid
           && icmp_is_valid && remote_is_valid;
}

static int inspect_group(struct inspection *in, const struct sp_entry *entry)
{
    const struct sp_group *group = entry->group;
    if (!sp_model_region(in->model, group->region)) {
        return damaged_object(in, &group->id, "unknown region of security group");
    }
    if (group->revision > in->model->counters.revision) {
        return damaged_object(in, &group->id, "revision ahead of the store's: security group");
    }
    for (size_t i = 0; i < group->n_rules; i++) {
        const struct sp_rule *rule = group->rules[i];
        if (!meaning_is_valid(&rule->meaning)) {
            return damaged_object(in, &rule->id, "a value is out of range in rule");
        }
        const struct sp_group *remote = sp_model_group(in->model, &rule->meaning.remote_group);
        if (rule->meaning.remote == SP_REMOTE_GROUP && (!remote || strcmp(remote->region, group->region))) {
            return damaged_object(in, &rule->id, "unknown remote group of rule");
        }
    }
    return 0;
}

static int inspect_port(struct inspection *in, const struct sp_server *server, const struct sp_port *port)
{
    if (!sp_uuid_equal(&port->server, &server->id) || !port->zone) {
        return damaged_object(in, &port->id, "wrong server or zone of port");
    }
    if (sp_model_find(in->model, SP_INDEX_PORT, &port->id)->count > 1) {
        return damaged_object(in, &port->id, "stored twice: port");
    }
    for (size_t i = 0; i < port->n_ips; i++) {
        if (!sp_cidr_is_address(&port->ips[i])) {
            return damaged_object(in, &port->id, "not a single address: port");
        }
    }
    if (port->iface_id && sp_model_find(in->model, SP_INDEX_IFACE_PORTS, port->iface_id)->count > 1) {
        return damaged_object(in, &port->id, "another port has the iface_id of port");
    }
    if (!port->has_bridge) {
        return 0;
    }
    struct sp_name_key name = { port->dpid, port->name };
    struct sp_mac_key mac = { port->dpid, port->vlan, port->mac };
    if (sp_model_find(in->model, SP_INDEX_NAMED_PORTS, &name)->count > 1
        || sp_model_find(in->model, SP_INDEX_MAC_PORTS, &mac)->count > 1) {
        return damaged_object(in, &port->id, "another port of the bridge has the name or the MAC of port");
    }
    const struct sp_bridge *bridge = sp_model_bridge(in->model, port->dpid);
    if (!bridge) {
        return damaged_object(in, &port->id, "unknown bridge of port");
    }
    for (size_t i = 0; i < bridge->n_uplinks; i++) {
        if (!strcmp(bridge->uplinks[i], port->name)) {
            return damaged_object(in, &port->id, "an uplink has the name of port");
        }
    }
    return 0;
}

static int compare_uuids(const void *a, const void *b)
{
    return sp_uuid_compare(a, b);
}

/* Checks that the groups of 'server' exist and that its rule set is of just these groups. */
static int inspect_server_groups(struct inspection *in, const struct sp_server *server)
{
    const struct sp_rule_set *set = sp_model_rule_set(in->model, server->set);
    if (!server->n_groups) {
        return server->set ? damaged_object(in, &server->id, "a rule set without groups: server") : 0;
    }
    struct sp_uuid *sorted = calloc(server->n_groups, sizeof *sorted);
    if (!sorted) {
        return -ENOMEM;
    }
    memcpy(sorted, server->groups, server->n_groups * sizeof *sorted);
    qsort(sorted, server->n_groups, sizeof *sorted, compare_uuids);
    bool agrees = set && set->n_groups == server->n_groups && !strcmp(set->region, server->region)
                  && !memcmp(set->groups, sorted, server->n_groups * sizeof *sorted);
    free(sorted);
    return agrees ? 0 : damaged_object(in, &server->id, "a rule set that is not of its groups: server");
}

static int inspect_server(struct inspection *in, const struct sp_entry *entry)
{
    const struct sp_server *server = entry->server;
    if (!sp_model_region(in->model, server->region)) {
        return damaged_object(in, &server->id, "unknown region of server");
    }
    if (server->kind != SP_SERVER_VPS && server->kind != SP_SERVER_BAREMETAL) {
        return damaged_object(in, &server->id, "unknown kind of server");
    }
    int r = inspect_server_groups(in, server);
    for (size_t i = 0; i < server->n_ports && !r; i++) {
        r = inspect_port(in, server, server->ports[i]);
    }
    return r;
}

static const struct sp_group *current_version(void *aux, const struct sp_uuid *id)
{
    return sp_model_group(aux, id);
}

/* Checks that 'set' admits just the rules of its groups, and gathers its numbers. */
static int inspect_admissions(struct inspection *in, const struct sp_rule_set *set)
{
    const struct sp_rule **rules;
    size_t n;
    int r = sp_model_collect_rules(set->groups, set->n_groups, current_version, in->model, &rules, &n);
    if (r) {
        return r;
    }
    bool agrees = n == set->n_admissions;
    for (size_t i = 1; i < set->n_admissions && agrees; i++) {
        agrees = sp_uuid_compare(&set->admissions[i - 1].rule, &set->admissions[i].rule) < 0;
    }
    for (size_t i = 0; i < n && agrees && !r; i++) {
        const struct sp_admission *admission = sp_rule_set_admission(set, &rules[i]->id);
        agrees = admission && !admission->mark == (rules[i]->meaning.action == SP_DENY);
        r = agrees ? gather(&in->slots, admission->slot) : 0;
        if (agrees && !r && admission->mark) {
            r = gather(&in->marks, admission->mark);
        }
    }
    free(rules);
    return r || agrees ? r : damaged(in, "rule set %" PRIu32 " does not have the rules of its groups", set->number);
}

static int inspect_set(struct inspection *in, const struct sp_entry *entry)
{
    const struct sp_rule_set *set = entry->set;
    if (!set->number || set->number >= in->model->counters.next_set) {
        return damaged(in, "rule set %" PRIu32 " is not below the counter, %" PRIu32, set->number, in->model->counters.next_set);
    }
    for (size_t i = 0; i < set->n_groups; i++) {
        const struct sp_group *group = sp_model_group(in->model, &set->groups[i]);
        bool ascends = !i || sp_uuid_compare(&set->groups[i - 1], &set->groups[i]) < 0;
        if (!group || strcmp(group->region, set->region) || !ascends) {
            return damaged(in, "rule set %" PRIu32 " has groups that do not exist or are not in order", set->number);
        }
    }
    struct sp_groups_key key = { set->region, set->groups, set->n_groups };
    if (sp_model_find(in->model, SP_INDEX_SET_OF_GROUPS, &key)->count > 1) {
        return damaged(in, "rule set %" PRIu32 " has the groups of another", set->number);
    }
    if (!sp_model_find(in->model, SP_INDEX_SET_SERVERS, &set->number)
        && !sp_model_find(in->model, SP_INDEX_SET_SHARED, &set->number)) {
        return damaged(in, "rule set %" PRIu32 " belongs to nothing", set->number);
    }
    return inspect_admissions(in, set);
}

typedef int inspect_entry(struct inspection *, const struct sp_entry *);

static int inspect_all(struct inspection *in, enum sp_index_name name, inspect_entry *inspect_one)
{
    size_t cursor = 0;
    int r = 0;
    for (struct sp_index_node *head = NULL; !r && (head = sp_index_next_head(&in->model->indices[name], head, &cursor));) {
        r = inspect_one(in, sp_node_entry(head));
    }
    return r;
}

/* Derives the classes of addresses that servers with different rule sets have. */
static int derive_shared(struct inspection *in)
{
    const struct sp_index *addresses = &in->model->indices[SP_INDEX_ADDRESSES];
    size_t cursor = 0;
    for (struct sp_index_node *head = NULL; (head = sp_index_next_head(addresses, head, &cursor));) {
        if (head->count == 1) {
            continue;
        }
        struct sp_address_key key = { sp_node_entry(head)->server->region, sp_node_port(head)->ips[head->subitem] };
        struct sp_uuid *groups;
        size_t n;
        bool is_mixed;
        uint32_t number;
        int r = sp_model_union_groups(in->model, &key, &is_mixed, &number, &groups, &n);
        if (r) {
            return r;
        }
        if (!is_mixed) {
            continue;
        }
        const struct sp_rule_set *set = sp_model_set_of_groups(in->model, &(struct sp_groups_key) { key.region, groups, n });
        free(groups);
        if (!set) {
            return damaged(in, "there is no rule set for an address that several servers have");
        }
        struct sp_entry *entry = sp_entry_new_shared(&key, set->number);
        if (!entry) {
            return -ENOMEM;
        }
        sp_entry_link(in->model, entry);
    }
    return 0;
}

/* Checks that no two ports of one bridge have the same zone. */
static int inspect_zones(struct inspection *in, const struct sp_entry *entry)
{
    uint8_t seen[65536 / 8] = { 0 };
    const struct sp_index_node *head = sp_model_find(in->model, SP_INDEX_BRIDGE_PORTS, &entry->bridge->dpid);
    for (const struct sp_index_node *node = head; node; node = sp_index_next(head, node)) {
        const struct sp_port *port = sp_node_port(node);
        if (seen[port->zone / 8] >> port->zone % 8 & 1) {
            return damaged_object(in, &port->id, "another port of the bridge has the zone of port");
        }
        seen[port->zone / 8] |= 1u << port->zone % 8;
    }
    return 0;
}

static int inspect(struct inspection *in)
{
    static const struct {
        enum sp_index_name name;
        inspect_entry *inspect_one;
    } steps[] = {
        { SP_INDEX_REGION, inspect_region }, { SP_INDEX_GROUP, inspect_group },  { SP_INDEX_SERVER, inspect_server },
        { SP_INDEX_SET, inspect_set },       { SP_INDEX_BRIDGE, inspect_zones },
    };
    int r = derive_shared(in);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0] && !r; i++) {
        r = inspect_all(in, steps[i].name, steps[i].inspect_one);
    }
    if (!r) {
        r = check_numbers(in, &in->regions, in->model->counters.next_region, "regions");
    }
    if (!r) {
        r = check_numbers(in, &in->slots, in->model->counters.next_slot, "slots");
    }
    return r ? r : check_numbers(in, &in->marks, in->model->counters.next_mark, "marks");
}

int sp_model_load_done(struct sp_model *model, const struct sp_counters *counters, char *why, size_t why_size)
{
    struct inspection in = { .model = model, .why = why, .why_size = why_size };
    struct sp_counters *own = &model->counters;
    *own = *counters;
    /* A store without a change yet has no counters either. */
    own->next_region += !own->next_region;
    own->next_set += !own->next_set;
    own->next_slot += !own->next_slot;
    own->next_mark += !own->next_mark;
    own->next_zone += !own->next_zone;
    int r = inspect(&in);
    sp_vector_clear(&in.regions);
    sp_vector_clear(&in.slots);
    sp_vector_clear(&in.marks);
    return r;
}
