#include "controller/switch_units.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/obs/log.h"

#define RESYNC_MAX 64 /* Flows that a rule has at most, but for rare ones. */

/* What a rule needs before what sends packets to it, should a batch have to be taken in parts. */
static const enum sp_unit_kind order[SP_N_UNIT_KINDS] = {
    SP_UNIT_RULE_SET, SP_UNIT_REMOTE, SP_UNIT_STATIC,      SP_UNIT_UPLINKS,    SP_UNIT_PORT,
    SP_UNIT_MAC,      SP_UNIT_TARGET, SP_UNIT_FLOOD_CHUNK, SP_UNIT_FLOOD_VLAN, SP_UNIT_REPORTS,
};

static void poison_alone(struct sp_switch *, struct sp_unit *, const char *why);
static void keep_stuck(struct sp_switch *, const struct sp_flow *, const char *why);
static int gather(struct sp_switch *);
static void poison_held(struct sp_switch *);
static int add_changes(struct sp_switch *, const struct sp_batch_item *);
static int list_going(struct sp_switch *, const struct sp_batch_item *, struct sp_flow_table *going);
static void claim(const struct sp_batch_item *, struct sp_flow_table *going);
static int add_removals(struct sp_switch *, const struct sp_batch_item *, const struct sp_flow_table *going);
static bool is_current(const struct sp_switch_batch *, const struct sp_unit *);
static int take_over(struct sp_switch *);
static void end_item(struct sp_switch *, struct sp_batch_item *);

bool
sp_switch_begin_batch(struct sp_switch *sw)
{
    for (;;) {
        if (gather(sw) || sp_switch_make_mods(sw)) {
            sp_switch_clear_batch(sw);
            sp_switch_give_up(sw);
            return true;
        }
        struct sp_switch_batch *batch = &sw->batch;
        batch->n_zones = batch->whole ? sp_switch_take_zones(sw, batch->zones) : 0;
        if (batch->mods.n || batch->n_zones) {
            sw->phase = SP_SWITCH_APPLYING;
            sw->batch_begun_ms = sw->now_ms;
            sw->counters->flow_mods_sent += batch->mods.n - batch->n_flushes;
            sw->counters->zones_flushed += batch->n_flushes + batch->n_zones;
            sp_link_apply(sw->link, batch->mods.mods, batch->mods.n, batch->zones, batch->n_zones);
            return true;
        }
        bool stands_still = batch->whole && batch->n_held;
        if (take_over(sw)) {
            sp_switch_give_up(sw);
            return true;
        }
        if (stands_still) {
            poison_held(sw);
        }
        if (!sw->n_dirty && !sw->orphans.n) {
            return false;
        }
    }
}

void
sp_switch_end_batch(struct sp_switch *sw, const char *why_not)
{
    struct sp_switch_batch *batch = &sw->batch;
    sw->phase = SP_SWITCH_IDLE;
    if (!why_not) {
        sw->counters->bundles_applied += batch->mods.n > 0;
        sp_switch_note_flushes(sw);
        sw->units_limit = sw->units_limit > SIZE_MAX / 2 ? SIZE_MAX : 2 * sw->units_limit;
        if (batch->whole && !batch->n_held) {
            sw->settled = batch->revision > sw->settled ? batch->revision : sw->settled;
        }
        if (take_over(sw)) {
            sp_switch_give_up(sw);
        }
    } else {
        sw->counters->bundles_discarded++;
        sw->units_limit = batch->n > 1 ? batch->n / 2 : 1;
        if (!batch->n_refused && batch->n <= 1) {
            /* Refused as a whole and cannot be made smaller. */
            if (batch->n) {
                poison_alone(sw, batch->items[0].unit, why_not);
            } else {
                keep_stuck(sw, NULL, why_not);
            }
        }
        for (size_t i = 0; i < batch->n_zones; i++) {
            sp_switch_flush_zone(sw, batch->zones[i]);
        }
        sp_switch_clear_batch(sw);
    }
    sw->events->settled(sw->aux, sw);
}

/* Additions of all units, then deletions.  A flow may pass from one unit to another (a port number, say): what one claims
 * the other does not delete. */
int
sp_switch_make_mods(struct sp_switch *sw)
{
    struct sp_switch_batch *batch = &sw->batch;
    struct sp_flow_table *going = sp_flow_table_new();
    int error = going ? 0 : -ENOMEM;
    for (size_t i = 0; !error && i < batch->n; i++) {
        error = add_changes(sw, &batch->items[i]);
    }
    for (size_t i = 0; !error && i < batch->n; i++) {
        error = list_going(sw, &batch->items[i], going);
    }
    for (size_t i = 0; !error && batch->whole && i < sw->orphans.n; i++) {
        error = sp_flow_table_find(sw->installed, sw->orphans.flows[i]) == sw->orphans.flows[i]
                    ? sp_flow_table_put(going, sw->orphans.flows[i]) : 0;
    }
    for (size_t i = 0; !error && sp_flow_table_count(going) && i < batch->n; i++) {
        claim(&batch->items[i], going);
    }
    for (size_t i = 0; !error && sp_flow_table_count(going) && i < batch->n; i++) {
        error = add_removals(sw, &batch->items[i], going);
    }
    for (size_t i = 0; !error && batch->whole && i < sw->orphans.n; i++) {
        struct sp_flow *flow = sw->orphans.flows[i];
        if (sp_flow_table_find(going, flow) == flow) {
            error = sp_flow_mods_add(&batch->mods, SP_FLOW_DELETE, flow, NULL);
        }
    }
    sp_flow_table_free(going);
    return error;
}

/* 'unit' was alone in a bundle that was refused for no message of it. */
static void
poison_alone(struct sp_switch *sw, struct sp_unit *unit, const char *why)
{
    char text[400];
    sw->events->describe(sw->aux, sw, &unit->name, NULL, text, sizeof text - 200);
    size_t len = strlen(text);
    snprintf(text + len, sizeof text - len, ": %s", why);
    unit->restore = false;
    sp_switch_poison(sw, unit, text);
}

void
sp_switch_refuse(struct sp_switch *sw, const struct sp_session_refused *refused)
{
    struct sp_switch_batch *batch = &sw->batch;
    if ((sw->phase != SP_SWITCH_APPLYING && sw->phase != SP_SWITCH_AHEAD) || refused->index >= batch->mods.n) {
        return;
    }
    if (batch->is_ahead) {
        batch->n_refused++;
        return;
    }
    sw->counters->flow_mods_refused++;
    batch->n_refused++;
    const struct sp_flow_mod *mod = &batch->mods.mods[refused->index];
    struct sp_unit *unit = mod->owner;
    static const char *const verbs[] = {
        [SP_FLOW_ADD] = "add", [SP_FLOW_DELETE] = "delete", [SP_ZONE_FLUSH] = "flush the zone of",
    };
    char text[400], flow[600];
    sw->events->describe(sw->aux, sw, unit ? &unit->name : NULL, mod->flow, text, sizeof text - 80);
    size_t len = strlen(text);
    snprintf(text + len, sizeof text - len, ": the switch refused it with %s", refused->error);
    sp_flow_format(mod->flow, flow, sizeof flow);
    sp_log(SP_LOG_DEBUG, "switch", "%016llx: refused with %s: %s %s", (unsigned long long) sw->dpid, refused->error,
           verbs[mod->verb], flow);
    if (unit) {
        if (is_current(batch, unit)) {
            /* Of several refusals the last one is told. */
            unit->restore = false;
            sp_switch_poison(sw, unit, text);
        }
        return;
    }
    keep_stuck(sw, mod->flow, text);
}

/* Orphan 'flow' (NULL: every one) could not be deleted because of 'why'. */
static void
keep_stuck(struct sp_switch *sw, const struct sp_flow *flow, const char *why)
{
    if (strcmp(sw->stuck_error, why)) {
        sp_log(SP_LOG_WARNING, "switch", "%016llx: %s", (unsigned long long) sw->dpid, why);
        snprintf(sw->stuck_error, sizeof sw->stuck_error, "%s", why);
    }
    for (size_t i = sw->orphans.n; i-- > 0;) {
        struct sp_flow *orphan = sw->orphans.flows[i];
        if (!flow || orphan == flow) {
            sw->orphans.flows[i] = sw->orphans.flows[--sw->orphans.n];
            if (sp_flow_list_take(&sw->stuck, orphan)) {
                sp_switch_give_up(sw);
                return;
            }
        }
    }
}

/* Whether 'unit' shall still become what the batch says; else it is dirty anyway. */
static bool
is_current(const struct sp_switch_batch *batch, const struct sp_unit *unit)
{
    for (size_t i = 0; i < batch->n; i++) {
        if (batch->items[i].unit == unit) {
            return batch->items[i].target == (unit->restore ? unit->confirmed : unit->desired);
        }
    }
    return false;
}

void
sp_switch_clear_batch(struct sp_switch *sw)
{
    struct sp_switch_batch *batch = &sw->batch;
    for (size_t i = 0; i < batch->n; i++) {
        batch->items[i].unit->in_batch = false;
        sp_flow_set_unref(batch->items[i].target);
    }
    free(batch->items);
    sp_flow_mods_clear(&batch->mods);
    sp_flow_list_clear(&batch->news);
    *batch = (struct sp_switch_batch) { .n = 0 };
    sp_flow_mods_init(&batch->mods);
    sp_flow_list_init(&batch->news);
}

/* Collects the units of the next batch and what each shall become. */
static int
gather(struct sp_switch *sw)
{
    struct sp_switch_batch *batch = &sw->batch;
    size_t n = sw->n_dirty;
    size_t max = n < sw->units_limit ? n : sw->units_limit;
    int error = 0;
    batch->revision = sw->revision;
    batch->items = calloc(max ? max : 1, sizeof *batch->items);
    if (!batch->items) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < SP_N_UNIT_KINDS && batch->n < max; i++) {
        struct sp_unit_ring *list = &sw->dirty[order[i]];
        for (struct sp_unit_ring *r = list->next; !error && r != list && batch->n < max; r = r->next) {
            struct sp_unit *unit = sp_unit_of_ring(r);
            struct sp_flow_set *target = unit->restore ? unit->confirmed : unit->desired;
            bool may;
            error = sp_switch_claim_zone(sw, unit, target, &may);
            if (error || !may) {
                batch->n_held += !error;
                continue;
            }
            unit->in_batch = true;
            batch->items[batch->n++] = (struct sp_batch_item) { .unit = unit, .target = sp_flow_set_ref(target) };
        }
    }
    batch->whole = batch->n + batch->n_held == n;
    return error;
}

/* Nothing else is left to do, and still another's flow stands in the way of these. */
static void
poison_held(struct sp_switch *sw)
{
    struct sp_unit_ring *list = &sw->dirty[SP_UNIT_PORT];
    while (list->next != list) {
        poison_alone(sw, sp_unit_of_ring(list->next), "its conntrack zone is still another port's on this bridge");
    }
}

/* Whether what 'there' has counted must not become what 'flow' has, which takes its place. */
static bool
ends_count(const struct sp_flow *there, const struct sp_flow *flow)
{
    return there->cookie != flow->cookie && sp_flow_is_counted(there->cookie, there->table, there->priority);
}

static int
add_changes(struct sp_switch *sw, const struct sp_batch_item *item)
{
    int error = 0;
    for (size_t i = 0; !error && i < sp_flow_set_count(item->target); i++) {
        struct sp_flow *flow = item->target->flows[i];
        struct sp_flow *there = sp_flow_table_find(sw->installed, flow);
        if (there == flow) {
            continue;
        }
        if (!there || !sp_flow_equal(there, flow)) {
            error = there && ends_count(there, flow) ? sp_flow_mods_add(&sw->batch.mods, SP_FLOW_DELETE, there, item->unit) : 0;
            error = error ? error : sp_flow_mods_add(&sw->batch.mods, SP_FLOW_ADD, flow, item->unit);
        }
        error = error ? error : sp_flow_list_take(&sw->batch.news, sp_flow_ref(flow));
    }
    return error;
}

/* What the unit has and shall have no more.  The rules that stay have the same flows, in the same order, so most are passed over
 * side by side; the others are looked at one by one in any case. */
static int
list_going(struct sp_switch *sw, const struct sp_batch_item *item, struct sp_flow_table *going)
{
    assert(item->unit);
    const struct sp_flow_set *old = item->unit->confirmed, *new = item->target;
    size_t n_new = sp_flow_set_count(new), k = 0;
    int error = 0;
    for (size_t i = 0; !error && i < sp_flow_set_count(old) && old != new; i++) {
        struct sp_flow *flow = old->flows[i];
        size_t at = k;
        while (at < n_new && at < k + RESYNC_MAX && new->flows[at] != flow) {
            at++;
        }
        if (at < n_new && new->flows[at] == flow) {
            k = at + 1;
        } else if (sp_flow_table_find(sw->installed, flow) == flow) {
            error = sp_flow_table_put(going, flow);
        }
    }
    return error;
}

/* What 'item' shall have does not go. */
static void
claim(const struct sp_batch_item *item, struct sp_flow_table *going)
{
    for (size_t i = 0; i < sp_flow_set_count(item->target); i++) {
        sp_flow_table_remove(going, item->target->flows[i]);
    }
}

static int
add_removals(struct sp_switch *sw, const struct sp_batch_item *item, const struct sp_flow_table *going)
{
    assert(item->unit);
    const struct sp_flow_set *old = item->unit->confirmed;
    int error = 0;
    for (size_t i = 0; !error && i < sp_flow_set_count(old) && old != item->target; i++) {
        if (sp_flow_table_find(going, old->flows[i]) == old->flows[i]) {
            error = sp_flow_mods_add(&sw->batch.mods, SP_FLOW_DELETE, old->flows[i], item->unit);
        }
    }
    return error;
}

/* The batch is in force: its targets are what the units have now. */
static int
take_over(struct sp_switch *sw)
{
    struct sp_switch_batch *batch = &sw->batch;
    int error = 0;
    sw->is_mirrored = sw->is_mirrored && !batch->mods.n && !batch->news.n;
    for (size_t i = 0; i < batch->mods.n; i++) {
        const struct sp_flow_mod *mod = &batch->mods.mods[i];
        if (mod->verb == SP_FLOW_DELETE) {
            sp_flow_table_remove(sw->installed, mod->flow);
            sp_switch_forget_owner(sw, mod->flow);
        } else if (mod->verb == SP_ZONE_FLUSH) {
            error = error ? error : sp_flow_table_put(sw->owners, mod->flow);
        }
    }
    for (size_t i = 0; i < batch->news.n && !error; i++) {
        error = sp_flow_table_put(sw->installed, batch->news.flows[i]);
    }
    if (batch->whole && !error) {
        sp_flow_list_clear(&sw->orphans);
        sw->stuck_error[0] = '\0';
    }
    for (size_t i = 0; i < batch->n && !error; i++) {
        end_item(sw, &batch->items[i]);
    }
    batch->n = error ? batch->n : 0;
    sp_switch_clear_batch(sw);
    return error;
}

static void
end_item(struct sp_switch *sw, struct sp_batch_item *item)
{
    struct sp_unit *unit = item->unit;
    sp_flow_set_unref(unit->confirmed);
    unit->confirmed = item->target;
    unit->in_batch = false;
    if (unit->restore || unit->failed) {
        unit->restore = false;
        sp_switch_move_unit(sw, unit, SP_UNIT_POISONED);
    } else if (unit->desired == unit->confirmed) {
        sp_switch_move_unit(sw, unit, SP_UNIT_CLEAN);
    } else {
        /* Changed meanwhile. */
        unit->first = sw->batch.revision + 1;
    }
}
