#include "controller/model/object.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Lays out the variable parts of an object behind its struct.  Parts with an alignment come first, strings and byte
 * arrays after them, so no padding is ever needed. */
struct layout {
    char *next;
};

static size_t string_size(const char *string)
{
    return string ? strlen(string) + 1 : 0;
}

static void *place(struct layout *layout, const void *data, size_t size)
{
    if (!size) {
        return NULL;
    }
    char *at = layout->next;
    memcpy(at, data, size);
    layout->next += size;
    return at;
}

static char *place_string(struct layout *layout, const char *string)
{
    return place(layout, string, string_size(string));
}

/* Allocates 'size' + 'extra' bytes, copies 'fields' to the start and sets 'layout' behind it. */
static void *allocate(const void *fields, size_t size, size_t extra, struct layout *layout)
{
    char *object = malloc(size + extra);
    if (object) {
        memcpy(object, fields, size);
        layout->next = object + size;
    }
    return object;
}

struct sp_region *sp_region_new(const struct sp_region *fields)
{
    struct layout layout;
    struct sp_region *region = allocate(fields, sizeof *region, string_size(fields->name), &layout);
    if (!region) {
        return NULL;
    }
    region->refs = 1;
    region->name = place_string(&layout, fields->name);
    return region;
}

struct sp_rule *sp_rule_new(const struct sp_rule *fields)
{
    struct layout layout;
    struct sp_rule *rule = allocate(fields, sizeof *rule, string_size(fields->description), &layout);
    if (!rule) {
        return NULL;
    }
    rule->refs = 1;
    rule->description = place_string(&layout, fields->description);
    return rule;
}

struct sp_group *sp_group_new(const struct sp_group *fields)
{
    struct layout layout;
    size_t rules_size = fields->n_rules * sizeof *fields->rules;
    size_t extra = rules_size + string_size(fields->region) + string_size(fields->name) + string_size(fields->description);
    struct sp_group *group = allocate(fields, sizeof *group, extra, &layout);
    if (!group) {
        return NULL;
    }
    group->refs = 1;
    group->rules = place(&layout, fields->rules, rules_size);
    group->region = place_string(&layout, fields->region);
    group->name = place_string(&layout, fields->name);
    group->description = place_string(&layout, fields->description);
    for (size_t i = 0; i < group->n_rules; i++) {
        sp_rule_ref(group->rules[i]);
    }
    return group;
}

struct sp_port *sp_port_new(const struct sp_port *fields)
{
    struct layout layout;
    size_t ips_size = fields->n_ips * sizeof *fields->ips;
    size_t pairs_size = fields->n_pairs * sizeof *fields->pairs;
    size_t extra = ips_size + pairs_size + string_size(fields->name) + string_size(fields->iface_id);
    struct sp_port *port = allocate(fields, sizeof *port, extra, &layout);
    if (!port) {
        return NULL;
    }
    port->refs = 1;
    port->ips = place(&layout, fields->ips, ips_size);
    port->pairs = place(&layout, fields->pairs, pairs_size);
    port->name = place_string(&layout, fields->name);
    port->iface_id = place_string(&layout, fields->iface_id);
    return port;
}

struct sp_server *sp_server_new(const struct sp_server *fields)
{
    struct layout layout;
    size_t ports_size = fields->n_ports * sizeof *fields->ports;
    size_t groups_size = fields->n_groups * sizeof *fields->groups;
    size_t extra = ports_size + groups_size + string_size(fields->name) + string_size(fields->region);
    struct sp_server *server = allocate(fields, sizeof *server, extra, &layout);
    if (!server) {
        return NULL;
    }
    server->refs = 1;
    server->ports = place(&layout, fields->ports, ports_size);
    server->groups = place(&layout, fields->groups, groups_size);
    server->name = place_string(&layout, fields->name);
    server->region = place_string(&layout, fields->region);
    for (size_t i = 0; i < server->n_ports; i++) {
        sp_port_ref(server->ports[i]);
    }
    return server;
}

struct sp_bridge *sp_bridge_new(const struct sp_bridge *fields)
{
    struct layout layout;
    size_t extra = fields->n_uplinks * sizeof *fields->uplinks;
    for (size_t i = 0; i < fields->n_uplinks; i++) {
        extra += string_size(fields->uplinks[i]);
    }
    struct sp_bridge *bridge = allocate(fields, sizeof *bridge, extra, &layout);
    if (!bridge) {
        return NULL;
    }
    bridge->refs = 1;
    bridge->uplinks = place(&layout, fields->uplinks, fields->n_uplinks * sizeof *fields->uplinks);
    for (size_t i = 0; i < bridge->n_uplinks; i++) {
        bridge->uplinks[i] = place_string(&layout, fields->uplinks[i]);
    }
    return bridge;
}

struct sp_rule_set *sp_rule_set_new(const struct sp_rule_set *fields)
{
    struct layout layout;
    size_t admissions_size = fields->n_admissions * sizeof *fields->admissions;
    size_t groups_size = fields->n_groups * sizeof *fields->groups;
    struct sp_rule_set *set = allocate(fields, sizeof *set, admissions_size + groups_size + string_size(fields->region), &layout);
    if (!set) {
        return NULL;
    }
    set->refs = 1;
    set->admissions = place(&layout, fields->admissions, admissions_size);
    set->groups = place(&layout, fields->groups, groups_size);
    set->region = place_string(&layout, fields->region);
    return set;
}

/* The count is the one mutable member of an object, hence the cast in one place. */
#define REF_FUNCTION(TYPE)                                                                                                       \
    struct TYPE *TYPE##_ref(const struct TYPE *object)                                                                           \
    {                                                                                                                            \
        struct TYPE *counted = (struct TYPE *) object;                                                                           \
        assert(counted->refs > 0);                                                                                               \
        counted->refs++;                                                                                                         \
        return counted;                                                                                                          \
    }

REF_FUNCTION(sp_region)
REF_FUNCTION(sp_rule)
REF_FUNCTION(sp_group)
REF_FUNCTION(sp_port)
REF_FUNCTION(sp_server)
REF_FUNCTION(sp_bridge)
REF_FUNCTION(sp_rule_set)

/* Drops one of '*refs' references; true if it was the last. */
static bool drop(const unsigned *refs)
{
    assert(*refs > 0);
    return !--*(unsigned *) refs;
}

void sp_region_unref(const struct sp_region *region)
{
    if (region && drop(&region->refs)) {
        free((void *) region);
    }
}

void sp_rule_unref(const struct sp_rule *rule)
{
    if (rule && drop(&rule->refs)) {
        free((void *) rule);
    }
}

void sp_group_unref(const struct sp_group *group)
{
    if (group && drop(&group->refs)) {
        for (size_t i = 0; i < group->n_rules; i++) {
            sp_rule_unref(group->rules[i]);
        }
        free((void *) group);
    }
}

void sp_port_unref(const struct sp_port *port)
{
    if (port && drop(&port->refs)) {
        free((void *) port);
    }
}

void sp_server_unref(const struct sp_server *server)
{
    if (server && drop(&server->refs)) {
        for (size_t i = 0; i < server->n_ports; i++) {
            sp_port_unref(server->ports[i]);
        }
        free((void *) server);
    }
}

void sp_bridge_unref(const struct sp_bridge *bridge)
{
    if (bridge && drop(&bridge->refs)) {
        free((void *) bridge);
    }
}

void sp_rule_set_unref(const struct sp_rule_set *set)
{
    if (set && drop(&set->refs)) {
        free((void *) set);
    }
}

void sp_object_ref(struct sp_object object)
{
    if (!object.object) {
        return;
    }
    switch (object.kind) {
    case SP_KIND_REGION: sp_region_ref(object.object); break;
    case SP_KIND_GROUP: sp_group_ref(object.object); break;
    case SP_KIND_SERVER: sp_server_ref(object.object); break;
    case SP_KIND_BRIDGE: sp_bridge_ref(object.object); break;
    case SP_KIND_RULE_SET: sp_rule_set_ref(object.object); break;
    case SP_N_KINDS: break;
    }
}

void sp_object_unref(struct sp_object object)
{
    switch (object.kind) {
    case SP_KIND_REGION: sp_region_unref(object.object); break;
    case SP_KIND_GROUP: sp_group_unref(object.object); break;
    case SP_KIND_SERVER: sp_server_unref(object.object); break;
    case SP_KIND_BRIDGE: sp_bridge_unref(object.object); break;
    case SP_KIND_RULE_SET: sp_rule_set_unref(object.object); break;
    case SP_N_KINDS: break;
    }
}
