#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/engine_state.h"
#include "controller/obs/log.h"

static void follow_group(struct sp_engine *, const struct sp_group *before, const struct sp_group *after);
static void follow_server(struct sp_engine *, const struct sp_server *before, const struct sp_server *after);
static void follow_bridge(struct sp_engine *, const struct sp_bridge *before, const struct sp_bridge *after);
static void follow_rule_set(struct sp_engine *, const struct sp_rule_set *before, const struct sp_rule_set *after);
static void mark_addresses(struct sp_engine *, const struct sp_server *subject, const struct sp_server *before);
static void wait_for(struct sp_pending *, const struct sp_datapath *);
static bool concerns(const struct sp_datapath *, const struct sp_change *);
static bool same_groups(const struct sp_server *, const struct sp_server *);
static bool same_ports(const struct sp_server *, const struct sp_server *);

void
sp_engine_follow_addresses(struct sp_engine *engine, const struct sp_change *changes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct sp_server *before = changes[i].before, *after = changes[i].after;
        if (changes[i].kind != SP_KIND_SERVER || (before && after && same_groups(before, after) && same_ports(before, after))) {
            continue;
        }
        if (before) {
            mark_addresses(engine, before, before);
        }
        if (after) {
            mark_addresses(engine, after, before);
        }
    }
}

/* Bridges that are not begun with yet, or not all of whose ports have been looked at: nobody knows what of them a change
 * concerns. */
static void
touch_expecting(struct sp_engine *engine)
{
    size_t cursor = 0;
    for (struct sp_index_node *node = NULL; (node = sp_index_next_head(&engine->datapaths, node, &cursor));) {
        struct sp_datapath *dp = node->owner;
        if (dp->expecting && (!dp->projected || dp->next_unresolved < dp->n_unresolved)) {
            sp_engine_touch(engine, dp);
        }
    }
}

void
sp_engine_follow(struct sp_engine *engine, const struct sp_change *changes, size_t n)
{
    if (engine->expect_until_ms || engine->parts.first) {
        touch_expecting(engine);
    }
    for (size_t i = 0; i < n; i++) {
        const struct sp_change *change = &changes[i];
        sp_engine_follow_blocked(engine, change);
        switch (change->kind) {
        case SP_KIND_REGION:
            if (change->after && sp_engine_name_region(engine, change->after)) {
                sp_log(SP_LOG_ERROR, "engine", "out of memory: a region's remote groups stay empty until the next start");
            }
            break;
        case SP_KIND_GROUP:
            follow_group(engine, change->before, change->after);
            break;
        case SP_KIND_SERVER:
            follow_server(engine, change->before, change->after);
            break;
        case SP_KIND_BRIDGE:
            follow_bridge(engine, change->before, change->after);
            break;
        case SP_KIND_RULE_SET:
            follow_rule_set(engine, change->before, change->after);
            break;
        case SP_N_KINDS:
            break;
        }
    }
}

void
sp_engine_touch(struct sp_engine *engine, struct sp_datapath *dp)
{
    struct sp_pending *write = engine->toucher;
    if (!write || dp->touched == engine->n_followed || (!sp_switch_is_enforced(dp->sw) && !dp->expecting)) {
        return;
    }
    dp->touched = engine->n_followed;
    wait_for(write, dp);
}

void
sp_engine_touch_lost(struct sp_engine *engine, struct sp_datapath *dp)
{
    if (!engine->batch || !(sp_switch_is_enforced(dp->sw) || dp->expecting)) {
        return;
    }
    for (struct sp_pending *write = engine->committing.first; write; write = write->next) {
        size_t n;
        const struct sp_change *changes = write->error ? NULL : sp_batch_changes_of(engine->batch, write->revision, &n);
        for (size_t i = 0; changes && i < n; i++) {
            if (concerns(dp, &changes[i])) {
                wait_for(write, dp);
                write->n_lost = write->n_waits;
                break;
            }
        }
    }
}

void
sp_engine_run_stale(struct sp_engine *engine)
{
    sp_engine_refresh_sets(engine);
    int64_t now = sp_engine_now(engine);
    size_t cursor = 0;
    for (struct sp_index_node *node = NULL; (node = sp_index_next_head(&engine->datapaths, node, &cursor));) {
        struct sp_datapath *dp = node->owner;
        if (dp->projected && !dp->beginning) { /* That is compiled in parts. */
            sp_datapath_compile(dp);
            sp_switch_run(dp->sw, sp_model_counters(engine->model)->revision, now);
        }
    }
}

int
sp_engine_name_region(struct sp_engine *engine, const struct sp_region *region)
{
    if (region->number >= engine->n_regions) {
        size_t n = (size_t) region->number + 1 + engine->n_regions / 2;
        char **names = realloc(engine->regions, n * sizeof *names);
        if (!names) {
            return -ENOMEM;
        }
        memset(names + engine->n_regions, 0, (n - engine->n_regions) * sizeof *names);
        engine->regions = names;
        engine->n_regions = n;
    }
    if (!engine->regions[region->number]) {
        engine->regions[region->number] = strdup(region->name);
    }
    return engine->regions[region->number] ? 0 : -ENOMEM;
}

/* One that was lost and is back before the write is published can confirm it after all. */
static void
wait_for(struct sp_pending *write, const struct sp_datapath *dp)
{
    for (size_t i = 0; i < write->n_lost; i++) {
        if (write->waits[i].dpid == dp->dpid) {
            write->waits[i].connection = dp->connection;
            return;
        }
    }
    struct sp_wait *waits = realloc(write->waits, (write->n_waits + 1) * sizeof *waits);
    if (!waits) {
        write->failed = true;
        return;
    }
    write->waits = waits;
    write->waits[write->n_waits++] = (struct sp_wait) { .dpid = dp->dpid, .connection = dp->connection };
}

static int
is_home(void *dp, struct sp_datapath *home)
{
    return home == dp;
}

/* Whether a rule on 'dp' names one of the groups as remote. */
static bool
names_any(const struct sp_datapath *dp, const struct sp_uuid *groups, size_t n)
{
    bool found = false;
    for (size_t i = 0; i < n && !found; i++) {
        found = sp_datapath_reference(dp, &groups[i]);
    }
    return found;
}

static bool
concerns_server(const struct sp_datapath *dp, const struct sp_server *server)
{
    bool found = server && names_any(dp, server->groups, server->n_groups);
    for (size_t i = 0; server && i < server->n_ports && !found; i++) {
        found = sp_engine_each_home(dp->engine, server->ports[i], is_home, (void *) dp);
    }
    return found;
}

/* Whether following the staged change would touch 'dp', as far as it is known by what is published; rather once too often. */
static bool
concerns(const struct sp_datapath *dp, const struct sp_change *change)
{
    const void *object = change->after ? change->after : change->before;
    const struct sp_rule_set *set = object;
    if (dp->expecting) {
        return true; /* Nobody knows yet what concerns it. */
    }
    switch (change->kind) {
    case SP_KIND_RULE_SET:
        return sp_datapath_has_set(dp, set->number) || names_any(dp, set->groups, set->n_groups);
    case SP_KIND_SERVER:
        return concerns_server(dp, change->before) || concerns_server(dp, change->after);
    case SP_KIND_BRIDGE:
        return ((const struct sp_bridge *) object)->dpid == dp->dpid;
    default:
        return false;
    }
}

/* The flows of a set follow from the meanings of its rules and from what the set object says, which changes along with them;
 * looking at the group as well costs a compilation at most. */
static void
follow_group(struct sp_engine *engine, const struct sp_group *before, const struct sp_group *after)
{
    if (!before || !after) {
        return;
    }
    bool same = before->n_rules == after->n_rules;
    for (size_t i = 0; same && i < after->n_rules; i++) {
        same = before->rules[i] == after->rules[i];
    }
    if (!same) {
        sp_engine_stale_group(engine, &after->id);
    }
}

static int
touch_home(void *aux, struct sp_datapath *dp)
{
    sp_engine_touch(aux, dp);
    return 0;
}

static void
resolve_port(struct sp_engine *engine, const struct sp_port *port)
{
    /* Also if another change of the same commit has already brought the port where it belongs: who waits for this
     * change waits for that. */
    sp_engine_each_home(engine, port, touch_home, engine);
    if (port->has_bridge) {
        struct sp_datapath *dp = sp_engine_datapath(engine, port->dpid);
        if (dp) {
            sp_datapath_resolve(dp, port->name);
        }
    } else if (port->iface_id) {
        sp_engine_resolve_iface(engine, port->iface_id);
    }
}

static bool
same_groups(const struct sp_server *a, const struct sp_server *b)
{
    return a->n_groups == b->n_groups && (!a->n_groups || !memcmp(a->groups, b->groups, a->n_groups * sizeof a->groups[0]));
}

static bool
same_ports(const struct sp_server *a, const struct sp_server *b)
{
    return a->n_ports == b->n_ports && (!a->n_ports || !memcmp(a->ports, b->ports, a->n_ports * sizeof(struct sp_port *)));
}

static void
follow_server(struct sp_engine *engine, const struct sp_server *before, const struct sp_server *after)
{
    /* Those that go before those that come, which may take their places. */
    for (size_t i = 0; before && i < before->n_ports; i++) {
        resolve_port(engine, before->ports[i]);
    }
    for (size_t i = 0; after && i < after->n_ports; i++) {
        resolve_port(engine, after->ports[i]);
    }
}

static void
follow_bridge(struct sp_engine *engine, const struct sp_bridge *before, const struct sp_bridge *after)
{
    const struct sp_bridge *bridge = after ? after : before;
    assert(bridge);
    uint64_t dpid = bridge->dpid;
    struct sp_datapath *dp = sp_engine_make_datapath(engine, dpid);
    if (!dp) {
        sp_log(SP_LOG_ERROR, "engine", "out of memory: bridge %016llx stays as it is until the next start",
               (unsigned long long) dpid);
        return;
    }
    sp_engine_touch(engine, dp);
    sp_datapath_notice(dp);
    if (!after) {
        sp_datapath_release(dp);
        if (dp->expecting) {
            sp_datapath_begin_released(dp);
        }
        return;
    }
    dp->releasing = false;
    if (!dp->ports_known || (dp->expecting && !dp->projected)) {
        return;
    }
    if (!dp->expecting && !sp_switch_is_enforced(dp->sw)) {
        sp_switch_enforce(dp->sw, sp_engine_now(engine));
    }
    sp_engine_touch(engine, dp);
    if (before && dp->projected) {
        sp_datapath_resolve_all(dp);
    } else {
        sp_datapath_shout(dp);
        sp_datapath_project(dp);
    }
}

static int
stale_referrer(void *aux, const struct sp_group *group)
{
    sp_engine_stale_group(aux, &group->id);
    return 0;
}

/* A set that comes or goes is a class that its groups' referrers must know. */
static void
follow_rule_set(struct sp_engine *engine, const struct sp_rule_set *before, const struct sp_rule_set *after)
{
    const struct sp_rule_set *set = after ? after : before;
    assert(set);
    sp_engine_stale_set(engine, set->number);
    if (before && after) {
        return;
    }
    for (size_t i = 0; i < set->n_groups; i++) {
        sp_model_each_referrer(engine->model, &set->groups[i], stale_referrer, engine);
    }
}

static void
mark_where_referred(struct sp_engine *engine, const struct sp_uuid *group, const struct sp_unit_name *name)
{
    struct sp_index_node *head = sp_index_find(&engine->references, sp_index_hash(engine->seed, group, sizeof *group), group);
    for (struct sp_index_node *node = head; node; node = sp_index_next(head, node)) {
        sp_datapath_mark(((struct sp_reference *) node->owner)->datapath, name);
    }
}

/* The addresses of 'subject' may have another class.  Whom that concerns names one of the groups of the class as it was, and
 * these are what the class is now and what the server was in. */
static void
mark_addresses(struct sp_engine *engine, const struct sp_server *subject, const struct sp_server *before)
{
    const struct sp_region *region = sp_model_region(engine->model, subject->region);
    for (size_t i = 0; region && i < subject->n_ports; i++) {
        for (size_t k = 0; k < subject->ports[i]->n_ips; k++) {
            const struct sp_cidr *ip = &subject->ports[i]->ips[k];
            struct sp_unit_name name;
            sp_unit_name_remote(&name, region->number, ip);
            uint32_t class = sp_model_class(engine->model, subject->region, ip);
            const struct sp_rule_set *set = class ? sp_model_rule_set(engine->model, class) : NULL;
            for (size_t g = 0; set && g < set->n_groups; g++) {
                mark_where_referred(engine, &set->groups[g], &name);
            }
            for (size_t g = 0; before && g < before->n_groups; g++) {
                mark_where_referred(engine, &before->groups[g], &name);
            }
        }
    }
}
