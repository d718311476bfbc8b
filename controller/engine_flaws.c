#include <inttypes.h>
#include <stdlib.h>

#include "controller/engine_state.h"
#include "controller/obs/log.h"

#define FLAWS_MAX 100000u /* What databases may tell. */

static struct sp_engine_flaw *find(const struct sp_engine *, uint64_t dpid);

static bool
match_dpid(const struct sp_index_node *node, const void *key)
{
    return ((const struct sp_engine_flaw *) node->owner)->dpid == *(const uint64_t *) key;
}

static uint32_t
hash_dpid(const struct sp_engine *engine, uint64_t dpid)
{
    return sp_index_hash(engine->seed, &dpid, sizeof dpid);
}

void
sp_engine_init_flaws(struct sp_engine *engine)
{
    sp_index_init(&engine->flaws, match_dpid);
}

static void
forget(struct sp_engine *engine, struct sp_engine_flaw *flaw)
{
    sp_index_remove(&engine->flaws, &flaw->node, hash_dpid(engine, flaw->dpid), &flaw->dpid);
    free(flaw);
}

void
sp_engine_free_flaws(struct sp_engine *engine)
{
    struct sp_index_node *head;
    size_t cursor = 0;
    while ((head = sp_index_next_head(&engine->flaws, NULL, &cursor))) {
        forget(engine, head->owner);
        cursor -= cursor ? 1 : 0; /* The bucket may hold more. */
    }
    sp_index_clear(&engine->flaws);
}

void
sp_engine_note_flaw(struct sp_engine *engine, uint64_t dpid, const char *text)
{
    struct sp_engine_flaw *flaw = find(engine, dpid);
    struct sp_datapath *dp = sp_engine_datapath(engine, dpid);
    bool is_enforced = dp && dp->ports_known && !dp->expecting && sp_model_bridge(engine->model, dpid);
    if (engine->stopping || (!flaw && !text)) {
        return;
    }
    if (dp) {
        sp_datapath_notice(dp);
    }
    if (!text) {
        forget(engine, flaw);
        if (is_enforced) {
            sp_log(SP_LOG_INFO, "engine", "bridge %016" PRIx64 " (%s): its settings are right now", dpid, dp->ready.name);
        }
        return;
    }
    if (!flaw) {
        flaw = engine->flaws.n_heads < FLAWS_MAX ? calloc(1, sizeof *flaw) : NULL;
        if (!flaw) {
            sp_log(SP_LOG_ERROR, "engine", "bridge %016" PRIx64 ": %s; and no room to remember it", dpid, text);
            return;
        }
        flaw->dpid = dpid;
        flaw->node.owner = flaw;
        sp_index_add(&engine->flaws, &flaw->node, hash_dpid(engine, dpid), &flaw->dpid);
    }
    flaw->text = text;
    if (is_enforced) { /* Else it is said when the bridge is begun with. */
        sp_datapath_shout(dp);
    }
}

const char *
sp_engine_flaw(const struct sp_engine *engine, uint64_t dpid)
{
    const struct sp_engine_flaw *flaw = find(engine, dpid);
    return flaw ? flaw->text : NULL;
}

void
sp_datapath_shout(const struct sp_datapath *dp)
{
    const char *text = sp_engine_flaw(dp->engine, dp->dpid);
    if (text) {
        sp_log(SP_LOG_WARNING, "engine", "bridge %016" PRIx64 " (%s): %s", dp->dpid, dp->ready.name, text);
    }
}

static struct sp_engine_flaw *
find(const struct sp_engine *engine, uint64_t dpid)
{
    struct sp_index_node *node = sp_index_find(&engine->flaws, hash_dpid(engine, dpid), &dpid);
    return node ? node->owner : NULL;
}
