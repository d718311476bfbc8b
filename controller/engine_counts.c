#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "controller/engine_state.h"
#include "controller/obs/log.h"
#include "sallyport/pipeline.h"

#define WRITE_MS 30000 /* Between two times that the counts are written. */

static int receive_flow(void *aux, const struct sp_flow_row *);
static int receive_rule(void *aux, const struct sp_rule_row *);
static int load_set(void *aux, const struct sp_rule_set *);
static void write_counts(struct sp_engine *);
static void on_written(void *aux, int error, const char *why);

int
sp_engine_recall(struct sp_engine *engine, char *why, size_t why_size)
{
    static const struct sp_count_receiver receiver = { receive_flow, receive_rule };
    int64_t since_us;
    snprintf(why, why_size, "%s", strerror(ENOMEM));
    int error = engine->store->ops->recall(engine->store, &receiver, engine->counts, &since_us, why, why_size);
    if (error) {
        return error;
    }
    sp_counts_load_since(engine->counts, since_us);
    sp_counts_drop_others(engine->counts, engine->model);
    return sp_model_each_rule_set(engine->model, NULL, load_set, engine->counts);
}

void
sp_engine_follow_counts(struct sp_engine *engine, const struct sp_change *changes, size_t n)
{
    if (sp_counts_follow(engine->counts, changes, n)) {
        sp_log(SP_LOG_ERROR, "engine", "out of memory: some rules are not counted until the next start");
    }
}

void
sp_datapath_dumping(struct sp_datapath *dp, bool begins, bool first)
{
    if (begins) {
        dp->tally = sp_counts_tally(dp->engine->counts, dp->dpid);
    }
    if (dp->tally && begins) {
        sp_tally_begin(dp->tally, first);
    } else if (dp->tally) {
        sp_tally_end(dp->tally);
    }
}

void
sp_datapath_counted(struct sp_datapath *dp, const struct sp_flow *flow, const struct sp_count *raw, bool removed)
{
    /* More than a store can hold, or "unknown", which is all ones. */
    if (!dp->tally || raw->packets > INT64_MAX || raw->bytes > INT64_MAX) {
        return;
    }
    struct sp_count fresh = { 0 };
    uint32_t slot = (uint32_t) SP_COOKIE_NUMBER(flow->cookie);
    int error = (removed ? sp_tally_removed : sp_tally_read)(dp->tally, sp_flow_name(flow), slot, raw, &fresh);
    if (!error && fresh.packets) {
        sp_counts_add(dp->engine->counts, slot, &fresh, sp_engine_clock_us());
    }
}

void
sp_engine_run_counts(struct sp_engine *engine)
{
    if (sp_engine_now(engine) >= engine->counts_at_ms && !engine->stopping) {
        write_counts(engine);
    }
}

bool
sp_engine_end_counts(struct sp_engine *engine)
{
    if (!engine->counts_writing && !engine->counts_failed) {
        write_counts(engine);
    }
    return !engine->counts_writing;
}

void
sp_engine_hits(const struct sp_engine *engine, const struct sp_rule *rule, struct sp_hits *ret)
{
    sp_counts_read(engine->counts, rule, ret);
}

static int
receive_flow(void *aux, const struct sp_flow_row *row)
{
    return sp_counts_load_flow(aux, row);
}

static int
receive_rule(void *aux, const struct sp_rule_row *row)
{
    return sp_counts_load_rule(aux, row);
}

static int
load_set(void *aux, const struct sp_rule_set *set)
{
    return sp_counts_load_set(aux, set);
}

/* A commit goes first; the next tick tries again. */
static void
write_counts(struct sp_engine *engine)
{
    if (engine->counts_writing || engine->batch) {
        return;
    }
    const struct sp_count_rows *rows = sp_counts_next_rows(engine->counts);
    if (!rows) {
        engine->counts_at_ms = sp_engine_now(engine) + WRITE_MS;
        return;
    }
    engine->counts_writing = true;
    engine->store->ops->count(engine->store, rows, on_written, engine);
}

static void
on_written(void *aux, int error, const char *why)
{
    struct sp_engine *engine = aux;
    engine->counts_writing = false;
    sp_counts_written(engine->counts, !error);
    if (error) {
        engine->counts_at_ms = sp_engine_now(engine) + WRITE_MS;
        if (!engine->counts_failed) {
            sp_log(SP_LOG_ERROR, "engine", "the store did not take how often rules have hit: %s", why ? why : strerror(-error));
        }
    }
    engine->counts_failed = error != 0;
    if (engine->stopping) {
        sp_engine_turn_later(engine);
    } else if (!error) {
        write_counts(engine);
    }
}
