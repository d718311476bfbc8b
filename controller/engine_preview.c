/* What staged changes would do to bridges, found out without touching any.
 *
 * Every bridge that they concern is projected a second time, from nothing, while the model shows the staged state; what its units
 * are then is compared with what they are.  Rule sets are compiled once for all bridges, so those that change are exchanged for
 * the time of it. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/engine_state.h"

/* A shared set in its staged version. */
struct exchange {
    struct sp_shared_set *set;
    struct sp_compilation published;
    int error;
};

struct preview {
    struct sp_engine *engine;
    uint32_t *numbers; /* Of rule sets that may compile to something else, each once when they are sorted out. */
    size_t n_numbers, allocated;
    bool failed;       /* No memory. */
    struct exchange *exchanges;
    size_t n_exchanges;
    size_t n_ports;    /* Of the bridges that were looked at. */
    struct sp_effect *effect;
};

/* Flows of units that differ. */
struct flows {
    const struct sp_flow **list;
    size_t n, allocated;
};

/* Which bridges and rule sets. */

static void
note_number(struct preview *preview, uint32_t number)
{
    if (preview->n_numbers == preview->allocated) {
        size_t n = preview->allocated ? preview->allocated * 2 : 32;
        uint32_t *grown = realloc(preview->numbers, n * sizeof *grown);
        if (!grown) {
            preview->failed = true;
            return;
        }
        preview->numbers = grown;
        preview->allocated = n;
    }
    preview->numbers[preview->n_numbers++] = number;
}

static int
note_set(void *aux, const struct sp_rule_set *set)
{
    note_number(aux, set->number);
    return 0;
}

static int
note_referrer(void *aux, const struct sp_group *group)
{
    struct preview *preview = aux;
    return sp_model_each_set_of_group(preview->engine->model, &group->id, note_set, preview);
}

/* A set that comes or goes is a class that the sets of its groups' referrers have to know. */
static void
concern_set(struct preview *preview, const struct sp_rule_set *before, const struct sp_rule_set *after)
{
    const struct sp_rule_set *set = after ? after : before;
    note_number(preview, set->number);
    for (size_t i = 0; i < set->n_groups && !(before && after); i++) {
        sp_model_each_referrer(preview->engine->model, &set->groups[i], note_referrer, preview);
    }
}

static int
concern(void *aux, struct sp_datapath *dp)
{
    dp->is_concerned = true;
    return 0;
}

/* The bridges where its ports are, and those whose rules name a group of which its addresses are. */
static void
concern_server(struct preview *preview, const struct sp_server *server)
{
    struct sp_engine *engine = preview->engine;
    for (size_t i = 0; server && i < server->n_ports; i++) {
        sp_engine_each_home(engine, server->ports[i], concern, NULL);
    }
    for (size_t i = 0; server && i < server->n_groups; i++) {
        uint32_t hash = sp_index_hash(engine->seed, &server->groups[i], sizeof server->groups[i]);
        struct sp_index_node *head = sp_index_find(&engine->references, hash, &server->groups[i]);
        for (struct sp_index_node *node = head; node; node = sp_index_next(head, node)) {
            ((struct sp_reference *) node->owner)->datapath->is_concerned = true;
        }
    }
}

static void
concern_all(struct preview *preview, const struct sp_change *changes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct sp_bridge *bridge = changes[i].after ? changes[i].after : changes[i].before;
        struct sp_datapath *dp;
        switch (changes[i].kind) {
        case SP_KIND_RULE_SET:
            concern_set(preview, changes[i].before, changes[i].after);
            break;
        case SP_KIND_SERVER:
            concern_server(preview, changes[i].before);
            concern_server(preview, changes[i].after);
            break;
        case SP_KIND_BRIDGE:
            dp = sp_engine_datapath(preview->engine, bridge->dpid);
            if (dp) {
                dp->is_concerned = true;
            }
            break;
        default:
            break;
        }
    }
}

/* Rule sets. */

static int
compare_numbers(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;
    return (x > y) - (x < y);
}

/* Compiles the sets as they are staged in the place of what they are. */
static int
exchange_sets(struct preview *preview)
{
    struct sp_engine *engine = preview->engine;
    preview->exchanges = calloc(preview->n_numbers ? preview->n_numbers : 1, sizeof *preview->exchanges);
    if (!preview->exchanges) {
        return -ENOMEM;
    }
    if (preview->n_numbers) {
        qsort(preview->numbers, preview->n_numbers, sizeof *preview->numbers, compare_numbers);
    }
    for (size_t i = 0; i < preview->n_numbers; i++) {
        uint32_t number = preview->numbers[i], hash = sp_index_hash(engine->seed, &number, sizeof number);
        struct sp_index_node *node = sp_index_find(&engine->sets, hash, &number);
        if (!node || (i && number == preview->numbers[i - 1])) {
            continue;
        }
        struct sp_shared_set *set = node->owner;
        struct sp_compilation staged;
        int r = sp_engine_compile_set(engine, number, &set->now, &staged);
        if (r == SP_E_RANGE) {
            continue; /* Its last good flows stay, as they will then. */
        }
        if (r) {
            return r;
        }
        preview->exchanges[preview->n_exchanges++] = (struct exchange) { set, set->now, set->error };
        set->now = staged;
        set->error = 0;
        struct sp_index_node *head = sp_index_find(&engine->presences, hash, &number);
        for (node = head; node; node = sp_index_next(head, node)) {
            ((struct sp_presence *) node->owner)->datapath->is_concerned = true;
        }
    }
    return 0;
}

static void
exchange_back(struct preview *preview)
{
    for (size_t i = 0; i < preview->n_exchanges; i++) {
        struct exchange *exchange = &preview->exchanges[i];
        sp_compilation_clear(&exchange->set->now);
        exchange->set->now = exchange->published;
        exchange->set->error = exchange->error;
    }
    free(preview->exchanges);
    free(preview->numbers);
}

/* Flows. */

struct comparison {
    const struct sp_switch *other;
    struct flows *flows;
};

/* Adds the flows of a unit which the other switch has not just so. */
static int
collect_unit(void *aux, const struct sp_unit_name *name, const struct sp_flow_set *flows)
{
    struct comparison *comparison = aux;
    struct flows *into = comparison->flows;
    size_t n = flows ? flows->n : 0;
    if (sp_flow_set_equal(flows, sp_switch_desired(comparison->other, name))) {
        return 0;
    }
    if (into->n + n > into->allocated) {
        size_t allocated = (into->n + n) * 2;
        const struct sp_flow **grown = realloc(into->list, allocated * sizeof *grown);
        if (!grown) {
            return -ENOMEM;
        }
        into->list = grown;
        into->allocated = allocated;
    }
    for (size_t i = 0; i < n; i++) {
        into->list[into->n++] = flows->flows[i];
    }
    return 0;
}

static int
compare_flows(const void *a, const void *b)
{
    return sp_flow_compare(*(const struct sp_flow *const *) a, *(const struct sp_flow *const *) b);
}

static void
sort(struct flows *flows)
{
    if (flows->n) {
        qsort(flows->list, flows->n, sizeof *flows->list, compare_flows);
    }
}

/* Counts what is in one of them only, or in both but not the same. */
static void
count_differences(struct flows *now, struct flows *then, struct sp_bridge_effect *ret)
{
    size_t i = 0, j = 0;
    sort(now);
    sort(then);
    while (i < now->n || j < then->n) {
        int order = i == now->n ? 1 : j == then->n ? -1 : sp_flow_compare(now->list[i], then->list[j]);
        bool same = !order && sp_flow_equal(now->list[i], then->list[j]);
        ret->n_removed += order <= 0 && !same;
        ret->n_added += order >= 0 && !same;
        i += order <= 0;
        j += order >= 0;
    }
}

static int
compare_switches(const struct sp_switch *now, const struct sp_switch *then, struct sp_bridge_effect *ret)
{
    struct flows removed = { NULL, 0, 0 }, added = { NULL, 0, 0 };
    struct comparison here = { then, &removed }, there = { now, &added };
    int r = sp_switch_each_unit(now, collect_unit, &here);
    r = r ? r : sp_switch_each_unit(then, collect_unit, &there);
    if (!r) {
        count_differences(&removed, &added, ret);
    }
    free(removed.list);
    free(added.list);
    return r;
}

static int
look_at(struct preview *preview, struct sp_datapath *dp)
{
    struct sp_effect *effect = preview->effect;
    struct sp_bridge_effect bridge = { .dpid = dp->dpid };
    preview->n_ports += dp->ofports.n_heads;
    if (preview->n_ports > SP_EFFECT_PORTS_MAX && effect->n) {
        effect->n_left_out++;
        return 0;
    }
    int r = 0;
    if (sp_model_bridge(preview->engine->model, dp->dpid)) {
        struct sp_datapath staged;
        r = sp_datapath_project_anew(dp, &staged);
        r = r ? r : compare_switches(dp->sw, staged.sw, &bridge);
        sp_datapath_end_anew(&staged);
    } else {
        struct sp_switch_reading reading;
        sp_switch_read(dp->sw, &reading);
        bridge.n_removed = reading.flows_desired;
    }
    struct sp_bridge_effect *grown = r ? NULL : realloc(effect->bridges, (effect->n + 1) * sizeof *grown);
    if (!grown) {
        return r ? r : -ENOMEM;
    }
    effect->bridges = grown;
    effect->bridges[effect->n++] = bridge;
    return 0;
}

static int
compare_bridges(const void *a, const void *b)
{
    const struct sp_bridge_effect *x = a, *y = b;
    return (x->dpid > y->dpid) - (x->dpid < y->dpid);
}

int
sp_engine_preview(struct sp_engine *engine, const struct sp_change *changes, size_t n, struct sp_effect *ret)
{
    struct preview preview = { .engine = engine, .effect = ret };
    *ret = (struct sp_effect) { .bridges = NULL };
    concern_all(&preview, changes, n);
    int r = preview.failed ? -ENOMEM : exchange_sets(&preview);
    size_t cursor = 0;
    for (struct sp_index_node *node = NULL; (node = sp_index_next_head(&engine->datapaths, node, &cursor));) {
        struct sp_datapath *dp = node->owner;
        if (dp->is_concerned && dp->ports_known && !dp->expecting && !r) {
            r = look_at(&preview, dp);
        }
        dp->is_concerned = false;
    }
    exchange_back(&preview);
    if (r) {
        free(ret->bridges);
        ret->bridges = NULL;
    } else if (ret->n) {
        qsort(ret->bridges, ret->n, sizeof *ret->bridges, compare_bridges);
    }
    return r;
}
