#include "controller/switch_units.h"

#include <errno.h>
#include <stdlib.h>

#include "controller/obs/log.h"
#include "sallyport/pipeline.h"

#define LINES_MAX 10 /* Flows of a kind that one check writes to the log. */

static int learn_unit(struct sp_switch *, struct sp_unit *);
static int find_lost(struct sp_switch *, struct sp_flow_list *lost, struct sp_flow_list *strange);
static int put_lost(struct sp_switch *, const struct sp_flow_list *lost);
static int add_orphan(struct sp_switch *, struct sp_flow *);
static void mark_units(struct sp_switch *);
static void log_drift(const struct sp_switch *, const struct sp_flow_list *lost, const struct sp_flow_list *strange);

/* Everything that the dump has and some unit wants, or had before, is taken as confirmed; what is left over is an orphan. */
void
sp_switch_learn(struct sp_switch *sw)
{
    int error = sp_switch_learn_owners(sw);
    size_t cursor = 0;
    struct sp_index_node *next;
    for (struct sp_index_node *node = sp_index_next_head(&sw->units, NULL, &cursor); node && !error; node = next) {
        next = sp_index_next_head(&sw->units, node, &cursor);
        error = learn_unit(sw, node->owner);
    }
    struct sp_flow_list left;
    sp_flow_list_init(&left);
    cursor = 0;
    struct sp_flow *flow;
    while (!error && (flow = sp_flow_table_next(sw->dump, &cursor))) {
        if (!sp_flow_table_find(sw->installed, flow)) {
            error = sp_flow_table_put(sw->installed, flow);
            error = error ? error : sp_flow_list_take(&left, sp_flow_ref(flow));
        }
    }
    error = error ? error : sp_switch_place_left(sw, &left);
    sp_flow_list_clear(&left);
    if (error) {
        sp_switch_give_up(sw);
    }
}

/* A switch that is known: its table must be as confirmed.  What is not is what another hand did. */
void
sp_switch_compare(struct sp_switch *sw)
{
    struct sp_flow_list lost, strange;
    sp_flow_list_init(&lost);
    sp_flow_list_init(&strange);
    int error = find_lost(sw, &lost, &strange);
    if (!error && (lost.n || strange.n)) {
        sw->counters->drift_repaired += lost.n + strange.n;
        sp_log(SP_LOG_WARNING, "switch", "%016llx: another hand changed %zu flows of ours and added %zu; putting them right",
               (unsigned long long) sw->dpid, lost.n, strange.n);
        log_drift(sw, &lost, &strange);
        error = put_lost(sw, &lost);
        for (size_t i = 0; !error && i < strange.n; i++) {
            error = sp_flow_table_put(sw->installed, strange.flows[i]);
            error = error ? error : add_orphan(sw, strange.flows[i]);
        }
        mark_units(sw);
    }
    sp_flow_list_clear(&lost);
    sp_flow_list_clear(&strange);
    if (error) {
        sp_switch_give_up(sw);
    }
}

/* Ours by its cookie, or in the place of one of ours.  The dump is what counts, this is only when. */
void
sp_switch_suspect(struct sp_switch *sw, const struct sp_flow *flow)
{
    bool knowing = sw->phase != SP_SWITCH_PASSIVE && sw->phase != SP_SWITCH_LEARNING;
    bool ours = (flow->cookie & SP_COOKIE_OWNER_MASK) == SP_COOKIE_OWNER;
    sw->suspected = sw->suspected || (knowing && (ours || sp_flow_table_find(sw->installed, flow)));
}

/* What is installed under a key that 'unit' wants is the unit's: its own object if it is as desired, else the one that is to be
 * replaced. */
static int
learn_unit(struct sp_switch *sw, struct sp_unit *unit)
{
    struct sp_flow_list confirmed;
    sp_flow_list_init(&confirmed);
    size_t n = sp_flow_set_count(unit->desired), n_equal = 0;
    int error = 0;
    for (size_t i = 0; !error && i < n; i++) {
        struct sp_flow *flow = unit->desired->flows[i];
        struct sp_flow *there = sp_flow_table_find(sw->dump, flow);
        bool own = false;
        if (there) {
            error = sp_switch_recognise(sw, unit, flow, there, &own);
        }
        if (!error && own) {
            bool equal = sp_flow_equal(there, flow);
            n_equal += equal;
            there = equal ? flow : there;
            error = sp_flow_table_put(sw->installed, there);
            error = error ? error : sp_flow_list_take(&confirmed, sp_flow_ref(there));
        }
    }
    if (!error && n_equal == n) {
        unit->confirmed = sp_flow_set_ref(unit->desired);
        sp_switch_move_unit(sw, unit, unit->failed ? SP_UNIT_POISONED : SP_UNIT_CLEAN);
    } else if (!error && confirmed.n) {
        unit->confirmed = sp_flow_set_new(&confirmed);
        error = unit->confirmed ? 0 : -ENOMEM;
    }
    sp_flow_list_clear(&confirmed);
    return error;
}

static int
find_lost(struct sp_switch *sw, struct sp_flow_list *lost, struct sp_flow_list *strange)
{
    int error = 0;
    size_t cursor = 0;
    struct sp_flow *flow;
    while (!error && (flow = sp_flow_table_next(sw->installed, &cursor))) {
        const struct sp_flow *there = sp_flow_table_find(sw->dump, flow);
        /* An alien that could not be deleted is as strange as before. */
        bool same = there && (sp_flow_equal(there, flow) || (flow->alien && there->alien && there->cookie == flow->cookie));
        if (!same) {
            error = sp_flow_list_take(lost, sp_flow_ref(flow));
        }
    }
    cursor = 0;
    while (!error && (flow = sp_flow_table_next(sw->dump, &cursor))) {
        if (!sp_flow_table_find(sw->installed, flow)) {
            error = sp_flow_list_take(strange, sp_flow_ref(flow));
        }
    }
    return error;
}

static int
put_lost(struct sp_switch *sw, const struct sp_flow_list *lost)
{
    int error = 0;
    for (size_t i = 0; !error && i < lost->n; i++) {
        struct sp_flow *there = sp_flow_table_find(sw->dump, lost->flows[i]);
        if (there) {
            error = sp_flow_table_put(sw->installed, there);
            error = error ? error : add_orphan(sw, there);
        } else {
            sp_flow_table_remove(sw->installed, lost->flows[i]);
        }
    }
    return error;
}

static int
add_orphan(struct sp_switch *sw, struct sp_flow *flow)
{
    return sp_flow_list_take(&sw->orphans, sp_flow_ref(flow));
}

/* Units that have no longer what was confirmed are sent again. */
static void
mark_units(struct sp_switch *sw)
{
    size_t cursor = 0;
    for (struct sp_index_node *node = NULL; (node = sp_index_next_head(&sw->units, node, &cursor));) {
        struct sp_unit *unit = node->owner;
        bool whole = true;
        for (size_t i = 0; whole && i < sp_flow_set_count(unit->confirmed); i++) {
            whole = sp_flow_table_find(sw->installed, unit->confirmed->flows[i]) == unit->confirmed->flows[i];
        }
        if (whole || unit->state == SP_UNIT_DIRTY) {
            continue;
        }
        unit->restore = unit->state == SP_UNIT_POISONED;
        if (unit->state == SP_UNIT_CLEAN) {
            unit->first = unit->last = 0;
        }
        sp_switch_move_unit(sw, unit, SP_UNIT_DIRTY);
    }
}

/* One line: 'flow' and what had been made of it. */
static void
log_flow(const struct sp_switch *sw, const char *what, const struct sp_flow *flow, const struct sp_flow *instead)
{
    char text[600], other[600] = "";
    sp_flow_format(flow, text, sizeof text);
    if (instead) {
        sp_flow_format(instead, other, sizeof other);
    }
    sp_log(SP_LOG_WARNING, "switch", "%016llx: %s: %s%s%s", (unsigned long long) sw->dpid, what, text,
           instead ? "; it had become " : "", other);
}

static void
log_drift(const struct sp_switch *sw, const struct sp_flow_list *lost, const struct sp_flow_list *strange)
{
    for (size_t i = 0; i < lost->n && i < LINES_MAX; i++) {
        const struct sp_flow *there = sp_flow_table_find(sw->dump, lost->flows[i]);
        log_flow(sw, there ? "was changed" : "was deleted", lost->flows[i], there);
    }
    for (size_t i = 0; i < strange->n && i < LINES_MAX; i++) {
        log_flow(sw, "was added", strange->flows[i], NULL);
    }
    size_t told = (lost->n < LINES_MAX ? lost->n : LINES_MAX) + (strange->n < LINES_MAX ? strange->n : LINES_MAX);
    if (lost->n + strange->n > told) {
        sp_log(SP_LOG_WARNING, "switch", "%016llx: ... and %zu more", (unsigned long long) sw->dpid, lost->n + strange->n - told);
    }
}
