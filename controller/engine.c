#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "controller/engine_state.h"
#include "controller/obs/log.h"

#define TICK_MS 1000
#define REFUSAL_HEALS_MS 60000 /* Without another attempt of a second connection. */

static void on_tick(uv_timer_t *);
static void on_deadline(uv_timer_t *);
static void on_turn(uv_timer_t *);
static void release_clean(struct sp_engine *);
static void stop_step(struct sp_engine *);
static void on_handle_closed(uv_handle_t *);
static void free_engine(struct sp_engine *);
static void on_settled(void *aux, struct sp_switch *);
static void on_describe(void *aux, struct sp_switch *, const struct sp_unit_name *, const struct sp_flow *, char *out,
                        size_t size);
static void on_counted(void *aux, struct sp_switch *, const struct sp_flow *, const struct sp_count *raw, bool removed);
static bool may_check(void *aux, struct sp_switch *);
static void on_dumping(void *aux, struct sp_switch *, bool begins, bool first);
static bool owns_zone(void *aux, struct sp_switch *, uint16_t zone);
static void on_busy(void *aux, struct sp_switch *);

static const struct sp_switch_events switch_events = {
    on_settled, on_describe, on_counted, on_dumping, owns_zone, may_check, on_busy,
};

static bool
match_dpid(const struct sp_index_node *node, const void *key)
{
    return ((const struct sp_datapath *) node->owner)->dpid == *(const uint64_t *) key;
}

static int
make_adopted(void *aux, const struct sp_bridge *bridge)
{
    return sp_engine_make_datapath(aux, bridge->dpid) ? 0 : -ENOMEM;
}

static int
name_region(void *aux, const struct sp_region *region)
{
    return sp_engine_name_region(aux, region);
}

struct sp_engine *
sp_engine_new(uv_loop_t *loop, struct sp_store *store, struct sp_model *model)
{
    struct sp_engine *engine = calloc(1, sizeof *engine);
    if (!engine) {
        return NULL;
    }
    engine->loop = loop;
    engine->store = store;
    engine->model = model;
    engine->newcomers.next = engine->newcomers.prev = &engine->newcomers;
    uint64_t revision = sp_model_counters(model)->revision;
    engine->now = (struct sp_revisions) { .first = revision, .last = revision };
    sp_index_init(&engine->datapaths, match_dpid);
    sp_engine_init_sets(engine);
    sp_engine_init_ifaces(engine);
    sp_engine_init_flaws(engine);
    sp_pending_list_init(&engine->queue);
    sp_pending_list_init(&engine->committing);
    sp_pending_list_init(&engine->waiting);
    if (getrandom(&engine->seed, sizeof engine->seed, 0) != sizeof engine->seed
        || !(engine->blocked = sp_blocked_new(engine->seed, SP_BLOCKED_MAX))
        || !(engine->counts = sp_counts_new(engine->seed))
        || sp_model_each_region(model, name_region, engine) || sp_model_each_bridge(model, make_adopted, engine)) {
        engine->store = NULL;
        engine->model = NULL;
        free_engine(engine);
        return NULL;
    }
    uv_timer_init(loop, &engine->tick);
    uv_timer_init(loop, &engine->turn);
    uv_timer_init(loop, &engine->deadline);
    sp_engine_init_work(engine);
    engine->tick.data = engine->turn.data = engine->deadline.data = engine;
    engine->n_handles = SP_ENGINE_HANDLES;
    uv_timer_start(&engine->tick, on_tick, TICK_MS, TICK_MS);
    return engine;
}

void
sp_engine_stop(struct sp_engine *engine, void (*stopped)(void *aux), void *aux)
{
    engine->stopping = true;
    engine->stopped = stopped;
    engine->stopped_aux = aux;
    for (size_t i = 0; i < engine->n_methods; i++) {
        sp_method_close(engine->methods[i]);
    }
    engine->n_methods = 0;
    sp_engine_turn_later(engine);
}

const struct sp_model *
sp_engine_model(const struct sp_engine *engine)
{
    return engine->model;
}

int
sp_engine_load_history(struct sp_engine *engine, sp_store_receive_record *receive, void *aux, char *why, size_t why_size)
{
    return engine->store->ops->load_history(engine->store, receive, aux, why, why_size);
}

int
sp_engine_open(struct sp_engine *engine, const char *method, struct sp_tls *tls, char *why, size_t why_size)
{
    struct sp_method **methods = realloc(engine->methods, (engine->n_methods + 1) * sizeof(struct sp_method *));
    if (!methods) {
        snprintf(why, why_size, "%s: out of memory", method);
        return -ENOMEM;
    }
    engine->methods = methods;
    int error = sp_method_open(engine->loop, method, tls, &sp_engine_transport_events, engine, &methods[engine->n_methods], why,
                               why_size);
    engine->n_methods += !error;
    return error;
}

uint16_t
sp_engine_port(const struct sp_engine *engine, size_t index)
{
    return index < engine->n_methods ? sp_method_port(engine->methods[index]) : 0;
}

void
sp_engine_wake_at(struct sp_engine *engine, int64_t when_ms)
{
    int64_t wait = when_ms - sp_engine_now(engine);
    if (engine->n_handles == SP_ENGINE_HANDLES) {
        uv_timer_start(&engine->deadline, on_deadline, wait > 0 ? (uint64_t) wait : 0, 0);
    }
}

int64_t
sp_engine_now(const struct sp_engine *engine)
{
    return (int64_t) uv_now(engine->loop);
}

void
sp_engine_turn_later(struct sp_engine *engine)
{
    if (engine->n_handles == SP_ENGINE_HANDLES && !uv_is_active((uv_handle_t *) &engine->turn)) {
        uv_timer_start(&engine->turn, on_turn, 0, 0);
    }
}

struct sp_datapath *
sp_engine_datapath(const struct sp_engine *engine, uint64_t dpid)
{
    struct sp_index_node *node = sp_index_find(&engine->datapaths, sp_index_hash(engine->seed, &dpid, sizeof dpid), &dpid);
    return node ? node->owner : NULL;
}

struct sp_datapath *
sp_engine_make_datapath(struct sp_engine *engine, uint64_t dpid)
{
    struct sp_datapath *dp = sp_engine_datapath(engine, dpid);
    if (dp) {
        return dp;
    }
    dp = calloc(1, sizeof *dp);
    struct sp_switch *sw = dp ? sp_switch_new(dpid, engine->seed, &switch_events, dp, &engine->switches) : NULL;
    if (!sw) {
        free(dp);
        return NULL;
    }
    dp->engine = engine;
    dp->dpid = dpid;
    dp->sw = sw;
    dp->node.owner = dp;
    sp_datapath_init_indices(dp);
    sp_index_add(&engine->datapaths, &dp->node, sp_index_hash(engine->seed, &dpid, sizeof dpid), &dpid);
    return dp;
}

void
sp_engine_drop_datapath(struct sp_engine *engine, struct sp_datapath *dp)
{
    bool wanted = sp_model_bridge(engine->model, dp->dpid) || dp->releasing || sp_switch_link(dp->sw);
    if (!wanted) {
        sp_datapath_dequeue(dp);
        sp_index_remove(&engine->datapaths, &dp->node, sp_index_hash(engine->seed, &dp->dpid, sizeof dp->dpid), &dp->dpid);
        sp_datapath_clear_indices(dp);
        sp_switch_free(dp->sw);
        sp_counts_drop(engine->counts, dp->dpid);
        sp_engine_tell_gone(engine, dp->dpid);
        free(dp);
    }
}

void
sp_engine_counters(const struct sp_engine *engine, struct sp_engine_counters *ret)
{
    *ret = (struct sp_engine_counters) {
        .flow_mods_sent = engine->switches.flow_mods_sent,
        .bundles_applied = engine->switches.bundles_applied,
        .bundles_discarded = engine->switches.bundles_discarded,
        .bundles_ahead = engine->switches.bundles_ahead,
        .bundles_withdrawn = engine->switches.bundles_withdrawn,
        .flow_mods_refused = engine->switches.flow_mods_refused,
        .drift_repaired = engine->switches.drift_repaired,
        .zones_flushed = engine->switches.zones_flushed,
        .connects = engine->connects,
        .disconnects = engine->disconnects,
        .commits = engine->commits,
        .commits_failed = engine->commits_failed,
        .writes_queued = engine->queue.n + engine->committing.n,
        .denied_seen = engine->denied_seen,
        .denied_left_out = engine->denied_left_out,
        .blocked_entries = sp_blocked_count(engine->blocked),
        .blocked_evicted = sp_blocked_evicted(engine->blocked),
        .rules_known = engine->census.complete,
        .rules = engine->census.told_rules,
        .rules_unused = engine->census.told_unused,
        .commit_time = engine->commit_time,
        .applied_time = engine->applied_time,
    };
}

static void
on_tick(uv_timer_t *timer)
{
    struct sp_engine *engine = timer->data;
    int64_t now = sp_engine_now(engine);
    sp_engine_begin_expecting(engine);
    sp_engine_resume_work(engine);
    size_t cursor = 0;
    for (struct sp_index_node *node = NULL; (node = sp_index_next_head(&engine->datapaths, node, &cursor));) {
        struct sp_datapath *dp = node->owner;
        sp_switch_tick(dp->sw, now);
        if (dp->refused_ms && now - dp->refused_ms >= REFUSAL_HEALS_MS) {
            dp->refused_ms = 0;
            sp_switch_complain(dp->sw, NULL);
            sp_datapath_notice(dp);
        }
    }
    sp_engine_tell_noticed(engine);
    sp_engine_tell_blocked(engine);
    if (engine->ticks) {
        engine->ticks(engine->ticks_aux);
    }
    sp_engine_run_counts(engine);
    sp_engine_run_census(engine);
}

static void
on_deadline(uv_timer_t *timer)
{
    sp_engine_check_waiting(timer->data);
}

static void
on_turn(uv_timer_t *timer)
{
    struct sp_engine *engine = timer->data;
    if (engine->ports_changed) {
        engine->ports_changed = false;
        sp_engine_begin_expecting(engine);
        sp_engine_run_stale(engine);
    }
    if (engine->stopping) {
        sp_engine_cancel_writes(engine);
        sp_engine_check_waiting(engine);
        stop_step(engine);
        return;
    }
    release_clean(engine);
    sp_engine_resume_work(engine);
    sp_engine_check_waiting(engine);
    sp_engine_tell_noticed(engine);
    sp_engine_send_ahead(engine);
    sp_engine_commit(engine);
}

/* Bridges that are no longer adopted and have nothing of ours any more. */
static void
release_clean(struct sp_engine *engine)
{
    size_t cursor = 0;
    struct sp_index_node *next;
    for (struct sp_index_node *node = sp_index_next_head(&engine->datapaths, NULL, &cursor); node; node = next) {
        struct sp_datapath *dp = node->owner;
        next = sp_index_next_head(&engine->datapaths, node, &cursor);
        if (dp->releasing && sp_switch_is_clean(dp->sw)) {
            dp->releasing = false;
            sp_datapath_unproject(dp);
            sp_switch_ignore(dp->sw);
            sp_log(SP_LOG_INFO, "engine", "bridge %016" PRIx64 " (%s) is released: our flows are removed", dp->dpid,
                   dp->ready.name);
            sp_datapath_notice(dp);
            sp_engine_drop_datapath(engine, dp);
        }
    }
}

/* Goes on with stopping; called until nothing is left to wait for. */
static void
stop_step(struct sp_engine *engine)
{
    sp_engine_close_links(engine);
    if (engine->batch || engine->n_links || engine->n_handles != SP_ENGINE_HANDLES || !sp_engine_end_counts(engine)) {
        return;
    }
    uv_close((uv_handle_t *) &engine->tick, on_handle_closed);
    uv_close((uv_handle_t *) &engine->turn, on_handle_closed);
    uv_close((uv_handle_t *) &engine->deadline, on_handle_closed);
    uv_close((uv_handle_t *) &engine->work, on_handle_closed);
}

static void
on_handle_closed(uv_handle_t *handle)
{
    struct sp_engine *engine = handle->data;
    if (--engine->n_handles) {
        return;
    }
    void (*stopped)(void *) = engine->stopped;
    void *aux = engine->stopped_aux;
    free_engine(engine);
    stopped(aux);
}

static void
free_engine(struct sp_engine *engine)
{
    size_t cursor = 0;
    struct sp_index_node *next;
    for (struct sp_index_node *node = sp_index_next_head(&engine->datapaths, NULL, &cursor); node; node = next) {
        struct sp_datapath *dp = node->owner;
        next = sp_index_next_head(&engine->datapaths, node, &cursor);
        sp_datapath_clear_indices(dp);
        sp_switch_free(dp->sw);
        free(dp);
    }
    sp_index_clear(&engine->datapaths);
    sp_index_clear(&engine->sets);
    sp_index_clear(&engine->presences);
    sp_index_clear(&engine->references);
    sp_engine_free_ifaces(engine);
    sp_engine_free_flaws(engine);
    for (size_t i = 0; i < engine->n_regions; i++) {
        free(engine->regions[i]);
    }
    free(engine->regions);
    free(engine->methods);
    sp_engine_end_census(engine);
    sp_blocked_free(engine->blocked);
    if (engine->store) {
        engine->store->ops->close(engine->store);
    }
    sp_counts_free(engine->counts);
    sp_model_free(engine->model);
    free(engine);
}

static void
on_settled(void *aux, struct sp_switch *sw)
{
    struct sp_datapath *dp = aux;
    sp_datapath_settled(dp);
    sp_engine_turn_later(dp->engine);
}

static void
on_describe(void *aux, struct sp_switch *sw, const struct sp_unit_name *unit, const struct sp_flow *flow, char *out, size_t size)
{
    struct sp_datapath *dp = aux;
    sp_engine_describe(dp->engine, dp, unit, flow, out, size);
}

static void
on_counted(void *aux, struct sp_switch *sw, const struct sp_flow *flow, const struct sp_count *raw, bool removed)
{
    sp_datapath_counted(aux, flow, raw, removed);
}

static void
on_dumping(void *aux, struct sp_switch *sw, bool begins, bool first)
{
    sp_datapath_dumping(aux, begins, first);
}

static bool
owns_zone(void *aux, struct sp_switch *sw, uint16_t zone)
{
    const struct sp_datapath *dp = aux;
    return sp_model_zone_is_used(dp->engine->model, dp->dpid, zone);
}

static bool
may_check(void *aux, struct sp_switch *sw)
{
    const struct sp_datapath *dp = aux;
    return !dp->engine->newcoming.first;
}

static void
on_busy(void *aux, struct sp_switch *sw)
{
    sp_datapath_queue(aux);
}
