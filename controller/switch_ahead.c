/* A batch that is sent before it is wanted: while a change is being made durable the switch looks at what will follow from it.
 *
 * The happy path: sp_switch_add_ahead() for each unit, sp_switch_send_ahead(): the session has the switch look at a bundle and
 * holds it.  Then the units change, and sp_switch_run() finds that what they shall be is just what the bundle makes of them: it
 * is committed, and from there on is a batch like any other.
 *
 * What can go wrong: anything else is to be sent, or the units become something else, or nothing because the store failed: the
 * bundle is withdrawn, and once that is confirmed what is wanted goes the ordinary way.  Likewise if the switch refuses any of
 * it, whether before or after it was wanted, or the word comes too late: so a refusal is told of a unit only once it is wanted.
 * The connection breaks: the switch drops a bundle that is open. */

#include <stdlib.h>

#include "controller/obs/log.h"
#include "controller/switch_units.h"

static bool has_room(const struct sp_switch *sw, const struct sp_unit *unit);
static bool is_wanted(const struct sp_switch *sw);

void
sp_switch_add_ahead(struct sp_switch *sw, const struct sp_unit_name *name, struct sp_flow_set *flows, uint64_t number)
{
    struct sp_switch_batch *batch = &sw->batch;
    struct sp_unit *unit = sp_switch_find_unit(sw, name);
    if (!unit || sw->ahead == number || !has_room(sw, unit)) {
        return;
    }
    struct sp_batch_item *items = realloc(batch->items, (batch->n + 1) * sizeof *items);
    if (!items) {
        return; /* What is sent without it is withdrawn. */
    }
    unit->in_batch = true;
    batch->is_ahead = true;
    batch->items = items;
    batch->items[batch->n++] = (struct sp_batch_item) { .unit = unit, .target = sp_flow_set_ref(flows) };
}

void
sp_switch_send_ahead(struct sp_switch *sw, uint64_t number)
{
    struct sp_switch_batch *batch = &sw->batch;
    if (sw->phase != SP_SWITCH_IDLE || !batch->is_ahead) {
        return;
    }
    sw->ahead = number;
    if (sp_switch_make_mods(sw) || !batch->mods.n) {
        sp_switch_clear_batch(sw);
        return;
    }
    sw->phase = SP_SWITCH_AHEAD;
    sp_link_prepare(sw->link, batch->mods.mods, batch->mods.n);
}

void
sp_switch_withdraw(struct sp_switch *sw)
{
    if (sw->phase == SP_SWITCH_AHEAD && !sw->batch.is_withdrawn) {
        sw->batch.is_withdrawn = true;
        sp_link_withdraw(sw->link);
    }
}

void
sp_switch_run_ahead(struct sp_switch *sw)
{
    struct sp_switch_batch *batch = &sw->batch;
    if (batch->is_withdrawn || !(sw->n_dirty || sw->orphans.n || sw->n_zones)) {
        return;
    }
    if (!is_wanted(sw)) {
        sp_switch_withdraw(sw);
        return;
    }
    batch->revision = sw->revision;
    batch->whole = true;
    sw->phase = SP_SWITCH_APPLYING;
    sw->batch_begun_ms = sw->now_ms;
    sw->counters->flow_mods_sent += batch->mods.n;
    sw->counters->bundles_ahead++;
    sp_link_commit(sw->link);
}

void
sp_switch_end_ahead(struct sp_switch *sw, const char *why)
{
    sp_log(SP_LOG_DEBUG, "switch", "%016llx: what was sent ahead is discarded: %s", (unsigned long long) sw->dpid, why);
    sw->counters->bundles_withdrawn++;
    sw->phase = SP_SWITCH_IDLE;
    sp_switch_clear_batch(sw);
}

/* Whether nothing at all is to be done but what 'unit' may become. */
static bool
has_room(const struct sp_switch *sw, const struct sp_unit *unit)
{
    bool idle = sw->link && sw->phase == SP_SWITCH_IDLE && sp_link_idle(sw->link);
    bool busy = sw->n_dirty || sw->orphans.n || sw->n_zones || sw->units_limit != SIZE_MAX;
    bool due = sw->now_ms >= sw->check_at_ms || (sw->suspected && sw->now_ms >= sw->check_again_ms);
    return idle && !busy && !due && unit->state == SP_UNIT_CLEAN && !unit->in_batch;
}

/* Whether the batch is all that is wanted now, and just that. */
static bool
is_wanted(const struct sp_switch *sw)
{
    const struct sp_switch_batch *batch = &sw->batch;
    if (batch->n != sw->n_dirty || sw->orphans.n || sw->n_zones || batch->n_refused) {
        return false;
    }
    for (size_t i = 0; i < batch->n; i++) {
        const struct sp_unit *unit = batch->items[i].unit;
        if (unit->state != SP_UNIT_DIRTY || unit->restore || unit->desired != batch->items[i].target) {
            return false;
        }
    }
    return true;
}
