#include "controller/engine_state.h"

/* What a bridge that comes, or goes, or has told all its flows makes necessary is some milliseconds' work for a hundred ports,
 * and a thousand bridges may come at once.  So each is put in a queue, and its work is done in parts: in each turn of the loop
 * those of the first bridge in the queue, then of the next, as long as there is time.  Between two parts anything may happen:
 * each leaves the bridge in a state that whatever else looks at it can take.
 *
 * Until its turn comes a bridge that has connected is not known to be, one that has gone is one that does not answer, and one
 * that has told its flows is still telling them: all three are as if the network were slower.
 *
 * Bridges are begun with one after the other, and not so many at a time that the loop could not read what all of them tell before
 * they seem to be dead: that would end in doing everything again and again.  One that takes long itself stands in nobody's way
 * after a second; but not one for which it is the loop that has no time. */

#define TURN_NS 500000u    /* What all this may take of a turn of the loop; it takes one part more. */
#define STARTING_MAX 32
#define STARTING_MS 1000
#define BEHIND_MS 60000 /* Nobody who means it is behind for so long. */

static void put(struct sp_work_queue *, struct sp_datapath *);
static void on_work(uv_idle_t *);
static bool do_part(struct sp_engine *, size_t *n_starting);
static size_t count_starting(const struct sp_engine *);

void
sp_engine_init_work(struct sp_engine *engine)
{
    uv_idle_init(engine->loop, &engine->work);
    engine->work.data = engine;
    engine->parts_max = SIZE_MAX;
    engine->starting_max = STARTING_MAX;
}

void
sp_engine_resume_work(struct sp_engine *engine)
{
    if (engine->parts.first || engine->newcoming.first) {
        uv_idle_start(&engine->work, on_work);
    }
}

void
sp_datapath_queue(struct sp_datapath *dp)
{
    if (dp->queue != &dp->engine->parts) {
        sp_datapath_dequeue(dp);
        put(&dp->engine->parts, dp);
    }
}

void
sp_datapath_queue_begin(struct sp_datapath *dp)
{
    if (!dp->queue) {
        put(&dp->engine->newcoming, dp);
    }
}

void
sp_datapath_dequeue(struct sp_datapath *dp)
{
    struct sp_work_queue *queue = dp->queue;
    if (queue) {
        dp->queue = NULL;
        *(dp->prev_work ? &dp->prev_work->next_work : &queue->first) = dp->next_work;
        *(dp->next_work ? &dp->next_work->prev_work : &queue->last) = dp->prev_work;
    }
}

static void
put(struct sp_work_queue *queue, struct sp_datapath *dp)
{
    dp->queue = queue;
    dp->next_work = NULL;
    dp->prev_work = queue->last;
    *(queue->last ? &queue->last->next_work : &queue->first) = dp;
    queue->last = dp;
    uv_idle_start(&dp->engine->work, on_work);
}

static void
on_work(uv_idle_t *work)
{
    struct sp_engine *engine = work->data;
    uint64_t begun_ns = uv_hrtime();
    size_t n_starting = SIZE_MAX;
    bool more = true;
    for (size_t n = 0; more && n < engine->parts_max && uv_hrtime() - begun_ns < TURN_NS; n++) {
        more = do_part(engine, &n_starting);
    }
    if (!more) {
        uv_idle_stop(work);
    }
}

/* Does the next part.  '*n_starting' is how many bridges are on their way to being in step; SIZE_MAX: they have not been counted.
 * Returns false if there was none to be done now. */
static bool
do_part(struct sp_engine *engine, size_t *n_starting)
{
    struct sp_datapath *dp = engine->parts.first;
    if (dp && dp->gone) {
        sp_datapath_end_link(dp); /* It may be freed. */
    } else if (dp && !(dp->beginning && sp_datapath_begin_step(dp)) && !sp_switch_work(dp->sw, sp_engine_now(engine))) {
        sp_datapath_dequeue(dp);
    }
    if (dp) {
        return true;
    }
    dp = engine->newcoming.first;
    *n_starting = dp && *n_starting == SIZE_MAX ? count_starting(engine) : *n_starting;
    if (!dp || *n_starting >= engine->starting_max) {
        return false;
    }
    ++*n_starting;
    sp_datapath_dequeue(dp);
    sp_datapath_ports_done(dp);
    return true;
}

static size_t
count_starting(const struct sp_engine *engine)
{
    size_t n = 0, cursor = 0;
    for (struct sp_index_node *node = NULL; (node = sp_index_next_head(&engine->datapaths, node, &cursor));) {
        const struct sp_datapath *dp = node->owner;
        const struct sp_link *link = sp_switch_link(dp->sw);
        int64_t patience_ms = link && sp_link_is_behind(link) ? BEHIND_MS : STARTING_MS;
        n += sp_switch_is_starting(dp->sw) && sp_engine_now(engine) - dp->begun_ms < patience_ms;
    }
    return n;
}
