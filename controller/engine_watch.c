#include "controller/engine_state.h"

#define PAUSE_MS 200 /* Between two words about one bridge. */

void
sp_engine_set_watch(struct sp_engine *engine, const struct sp_engine_watch *watch, void *aux)
{
    engine->watch = watch;
    engine->watch_aux = aux;
}

void
sp_engine_set_tick(struct sp_engine *engine, void (*tick)(void *aux), void *aux)
{
    engine->ticks = tick;
    engine->ticks_aux = aux;
}

void
sp_engine_tell(struct sp_engine *engine, const struct sp_change *changes, size_t n)
{
    if (engine->watch && n) {
        engine->watch->changed(engine->watch_aux, engine->now.first, changes, n);
    }
}

void
sp_engine_tell_gone(struct sp_engine *engine, uint64_t dpid)
{
    const struct sp_bridge_status status = { .dpid = dpid, .name = "", .peer = "", .version = "" };
    if (engine->watch) {
        engine->watch->bridge(engine->watch_aux, &status);
    }
}

void
sp_datapath_notice(struct sp_datapath *dp)
{
    if (dp->engine->watch) {
        dp->noticed = dp->restless = dp->engine->noticed = true;
        sp_engine_turn_later(dp->engine);
    }
}

void
sp_engine_note_blocked(struct sp_engine *engine, const struct sp_uuid *server)
{
    if (!engine->watch || engine->blocked_elsewhere) {
        return;
    }
    for (size_t i = engine->n_blocked_at; i--;) {
        if (sp_uuid_equal(&engine->blocked_at[i], server)) {
            return;
        }
    }
    if (engine->n_blocked_at < SP_ENGINE_BLOCKED_NAMED) {
        engine->blocked_at[engine->n_blocked_at++] = *server;
    } else {
        engine->blocked_elsewhere = true;
    }
}

void
sp_engine_tell_blocked(struct sp_engine *engine)
{
    if (engine->watch && engine->n_blocked_at) {
        engine->watch->blocked(engine->watch_aux, engine->blocked_at, engine->n_blocked_at, engine->blocked_elsewhere);
    }
    engine->n_blocked_at = 0;
    engine->blocked_elsewhere = false;
}

/* Every bridge settles at every revision; only those that a change concerned are worth a word. */
void
sp_datapath_settled(struct sp_datapath *dp)
{
    if (dp->restless) {
        sp_datapath_notice(dp);
    }
}

void
sp_engine_tell_noticed(struct sp_engine *engine)
{
    int64_t now = sp_engine_now(engine);
    if (!engine->noticed || !engine->watch) {
        return;
    }
    engine->noticed = false;
    size_t cursor = 0;
    for (struct sp_index_node *node = NULL; (node = sp_index_next_head(&engine->datapaths, node, &cursor));) {
        struct sp_datapath *dp = node->owner;
        if (dp->noticed && (!dp->told_ms || now - dp->told_ms >= PAUSE_MS)) {
            char version[SP_VERSION_TEXT_SIZE];
            struct sp_bridge_status status;
            sp_datapath_read(dp, version, &status);
            dp->noticed = false;
            /* What a database says is wrong heals by a word of its own. */
            dp->restless = status.pending || (status.last_error && status.last_error != sp_engine_flaw(engine, dp->dpid));
            dp->told_ms = now;
            engine->watch->bridge(engine->watch_aux, &status);
        }
        engine->noticed = engine->noticed || dp->noticed;
    }
}
