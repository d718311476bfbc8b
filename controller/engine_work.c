#include "controller/engine_state.h"

/* What a bridge that comes, or goes, or has told all its flows makes necessary is some milliseconds' work for a hundred ports,
 * and a thousand bridges may come at once.  So each is put in a queue, and its work is done in parts: in each turn of the loop
 * those of the first bridge in the queue, then of the next, as long as there is time.  Between two parts anything may happen:
 * each leaves the bridge in a state that whatever else looks at it can take.
 *
 * Until its turn comes a bridge that has connected is not known to be, one that has gone is one that does not answer, and one
 * that has told its flows is still telling them: all three are as if the network were slower. */

#define TURN_NS 1000000u /* What all this may take of a turn of the loop; it takes one part more. */

static void on_work(uv_idle_t *);
static bool do_part(struct sp_datapath *);

void
sp_engine_init_work(struct sp_engine *engine)
{
    uv_idle_init(engine->loop, &engine->work);
    engine->work.data = engine;
    engine->parts_max = SIZE_MAX;
}

void
sp_datapath_queue(struct sp_datapath *dp)
{
    struct sp_engine *engine = dp->engine;
    if (dp->queued) {
        return;
    }
    dp->queued = true;
    dp->next_work = NULL;
    dp->prev_work = engine->last_work;
    *(engine->last_work ? &engine->last_work->next_work : &engine->first_work) = dp;
    engine->last_work = dp;
    uv_idle_start(&engine->work, on_work);
}

void
sp_datapath_dequeue(struct sp_datapath *dp)
{
    struct sp_engine *engine = dp->engine;
    if (!dp->queued) {
        return;
    }
    dp->queued = false;
    *(dp->prev_work ? &dp->prev_work->next_work : &engine->first_work) = dp->next_work;
    *(dp->next_work ? &dp->next_work->prev_work : &engine->last_work) = dp->prev_work;
}

static void
on_work(uv_idle_t *work)
{
    struct sp_engine *engine = work->data;
    uint64_t begun_ns = uv_hrtime();
    struct sp_datapath *dp;
    for (size_t n = 0; (dp = engine->first_work) && n < engine->parts_max && uv_hrtime() - begun_ns < TURN_NS; n++) {
        if (dp->gone) {
            sp_datapath_dequeue(dp);
            sp_datapath_end_link(dp); /* It may be freed. */
        } else if (!do_part(dp)) {
            sp_datapath_dequeue(dp);
        }
    }
    if (!dp) {
        uv_idle_stop(work);
    }
}

/* Does the next part for 'dp'.  Returns false if there was none. */
static bool
do_part(struct sp_datapath *dp)
{
    if (dp->ports_told) {
        sp_datapath_ports_done(dp);
        return true;
    }
    return (dp->beginning && sp_datapath_begin_step(dp)) || sp_switch_work(dp->sw, sp_engine_now(dp->engine));
}
