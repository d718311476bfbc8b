#include "controller/switch_units.h"

#include <errno.h>
#include <stdlib.h>

#include "controller/obs/log.h"
#include "sallyport/pipeline.h"

#define LINES_MAX 10 /* Flows of a kind that one check writes to the log. */
#define FLOWS_PER_PART 256
#define DONE 1

static int take_foreseen(struct sp_switch *);
static int gather_known(struct sp_switch *);
static int learn_owners(struct sp_switch *);
static int learn_units(struct sp_switch *);
static int learn_left(struct sp_switch *);
static int find_lost(struct sp_switch *);
static int find_strange(struct sp_switch *);
static int adopt_known(struct sp_switch *);
static int drain_dump(struct sp_switch *);
static int learn_unit(struct sp_switch *, struct sp_unit *);
static int put_right(struct sp_switch *, const struct sp_flow_list *lost, const struct sp_flow_list *strange);
static int put_lost(struct sp_switch *, const struct sp_flow_list *lost);
static int add_orphan(struct sp_switch *, struct sp_flow *);
static void mark_units(struct sp_switch *);
static void log_drift(const struct sp_switch *, const struct sp_flow_list *lost, const struct sp_flow_list *strange);

void
sp_switch_begin_work(struct sp_switch *sw, enum sp_dump_stage stage)
{
    sw->work.stage = stage;
    sw->work.cursor = 0;
    sw->work.begun = sw->work.is_odd = sw->work.is_foreseen = false;
    sw->work.n_equal = 0;
}

/* Each flow that is installed is known, once, by the bytes in which the switch tells it; if all of these were told, and nothing
 * else, nothing is otherwise. */
bool
sp_switch_is_as_confirmed(const struct sp_switch *sw)
{
    return sw->is_mirrored && sp_known_is_same(sw->known) && !sp_flow_table_count(sw->dump);
}

void
sp_switch_drop_work(struct sp_switch *sw)
{
    sw->work.stage = SP_DUMP_NONE;
    sp_flow_list_clear(&sw->work.lost);
    sp_flow_list_clear(&sw->work.strange);
}

/* Each does a part of its stage; 0: there is more, DONE: there is not, < 0: an error. */
typedef int do_stage(struct sp_switch *);
static do_stage *const stages[] = {
    [SP_DUMP_GATHER] = gather_known,  [SP_DUMP_OWNERS] = learn_owners, [SP_DUMP_UNITS] = learn_units,
    [SP_DUMP_LEFT] = learn_left,      [SP_DUMP_LOST] = find_lost,      [SP_DUMP_STRANGE] = find_strange,
    [SP_DUMP_KNOWN] = adopt_known,    [SP_DUMP_DRAIN] = drain_dump,   [SP_DUMP_FORESEEN] = take_foreseen,
};

static enum sp_dump_stage
stage_after(const struct sp_switch *sw)
{
    switch (sw->work.stage) {
    case SP_DUMP_FORESEEN:
        return SP_DUMP_UNITS;
    case SP_DUMP_UNITS:
        return sw->work.is_foreseen ? SP_DUMP_DRAIN : SP_DUMP_LEFT;
    case SP_DUMP_GATHER:
        return sw->phase == SP_SWITCH_LEARNING ? SP_DUMP_OWNERS : SP_DUMP_LOST;
    case SP_DUMP_LEFT:
        return SP_DUMP_KNOWN;
    default:
        return sw->work.stage + 1;
    }
}

bool
sp_switch_do_part(struct sp_switch *sw)
{
    struct sp_dump_work *work = &sw->work;
    int r = stages[work->stage](sw);
    if (r < 0) {
        /* The connection ends; until then the switch is one that does not answer. */
        sp_switch_give_up(sw);
        sp_switch_drop_work(sw);
        return true;
    }
    if (r == DONE) {
        work->stage = stage_after(sw);
        work->cursor = 0;
    }
    if (work->stage == SP_DUMP_END) {
        sp_switch_drop_work(sw);
        return false;
    }
    return true;
}

void
sp_switch_finish_units(struct sp_switch *sw)
{
    while (sw->phase == SP_SWITCH_LEARNING && sw->work.stage && sw->work.stage <= SP_DUMP_LEFT) {
        sp_switch_do_part(sw);
    }
}

static int
take_foreseen(struct sp_switch *sw)
{
    int error = sp_switch_take_foreseen(sw);
    sw->work.is_foreseen = true;
    return error ? error : DONE;
}

/* The dump has what was told as an event, which is the younger one where it and something known have the same key. */
static int
gather_known(struct sp_switch *sw)
{
    struct sp_flow *flow = NULL;
    int error = 0;
    for (size_t i = 0; !error && i < FLOWS_PER_PART && (flow = sp_known_next(sw->known, &sw->work.cursor)); i++) {
        const struct sp_flow *there = sp_flow_table_find(sw->dump, flow);
        sw->work.is_odd = sw->work.is_odd || (there && there != flow);
        error = there ? 0 : sp_flow_table_put(sw->dump, flow);
    }
    return error ? error : flow ? 0 : DONE;
}

static int
learn_owners(struct sp_switch *sw)
{
    struct sp_flow *flow = NULL;
    int error = 0;
    for (size_t i = 0; !error && i < FLOWS_PER_PART && (flow = sp_flow_table_next(sw->dump, &sw->work.cursor)); i++) {
        error = sp_switch_learn_owner(sw, flow);
    }
    return error ? error : flow ? 0 : DONE;
}

/* A switch that was not known: everything that the dump has and some unit wants, or had before, is taken as confirmed ... */
static int
learn_units(struct sp_switch *sw)
{
    struct sp_dump_work *work = &sw->work;
    int error = 0;
    if (!work->begun) {
        work->begun = true;
        work->node = sp_index_next_head(&sw->units, NULL, &work->cursor);
    }
    for (size_t n = 0; !error && work->node && n < FLOWS_PER_PART; n++) {
        struct sp_unit *unit = work->node->owner;
        n += sp_flow_set_count(unit->desired);
        work->node = sp_index_next_head(&sw->units, work->node, &work->cursor);
        error = learn_unit(sw, unit); /* Which may be freed with it. */
    }
    return error ? error : work->node ? 0 : DONE;
}

/* ... and what is left over is an orphan. */
static int
learn_left(struct sp_switch *sw)
{
    struct sp_flow *flow = NULL;
    int error = 0;
    for (size_t i = 0; !error && i < FLOWS_PER_PART && (flow = sp_flow_table_next(sw->dump, &sw->work.cursor)); i++) {
        if (!sp_flow_table_find(sw->installed, flow)) {
            error = sp_flow_table_put(sw->installed, flow);
            error = error ? error : sp_flow_list_take(&sw->work.strange, sp_flow_ref(flow));
        }
    }
    if (error || flow) {
        return error;
    }
    error = sp_switch_place_left(sw, &sw->work.strange);
    return error ? error : DONE;
}

/* A switch that was known: its table must be as confirmed.  What is not is what another hand did. */
static int
find_lost(struct sp_switch *sw)
{
    struct sp_flow *flow = NULL;
    int error = 0;
    for (size_t i = 0; !error && i < FLOWS_PER_PART && (flow = sp_flow_table_next(sw->installed, &sw->work.cursor)); i++) {
        const struct sp_flow *there = sp_flow_table_find(sw->dump, flow);
        /* An alien that could not be deleted is as strange as before. */
        bool same = there && (sp_flow_equal(there, flow) || (flow->alien && there->alien && there->cookie == flow->cookie));
        if (!same) {
            error = sp_flow_list_take(&sw->work.lost, sp_flow_ref(flow));
        }
    }
    return error ? error : flow ? 0 : DONE;
}

static int
find_strange(struct sp_switch *sw)
{
    struct sp_flow *flow = NULL;
    int error = 0;
    /* If all are there and no more, none is strange. */
    bool none = !sw->work.lost.n && sp_flow_table_count(sw->dump) == sp_flow_table_count(sw->installed);
    for (size_t i = 0; !none && !error && i < FLOWS_PER_PART && (flow = sp_flow_table_next(sw->dump, &sw->work.cursor)); i++) {
        if (!sp_flow_table_find(sw->installed, flow)) {
            error = sp_flow_list_take(&sw->work.strange, sp_flow_ref(flow));
        }
    }
    if (error || flow) {
        return error;
    }
    error = sw->work.lost.n || sw->work.strange.n ? put_right(sw, &sw->work.lost, &sw->work.strange) : 0;
    return error ? error : DONE;
}

static int
put_right(struct sp_switch *sw, const struct sp_flow_list *lost, const struct sp_flow_list *strange)
{
    sw->work.is_odd = true;
    sw->counters->drift_repaired += lost->n + strange->n;
    sp_log(SP_LOG_WARNING, "switch", "%016llx: another hand changed %zu flows of ours and added %zu; putting them right",
           (unsigned long long) sw->dpid, lost->n, strange->n);
    log_drift(sw, lost, strange);
    int error = put_lost(sw, lost);
    for (size_t i = 0; !error && i < strange->n; i++) {
        error = sp_flow_table_put(sw->installed, strange->flows[i]);
        error = error ? error : add_orphan(sw, strange->flows[i]);
    }
    mark_units(sw);
    return error;
}

static int
adopt_known(struct sp_switch *sw)
{
    struct sp_dump_work *work = &sw->work;
    if (sp_known_adopt(sw->known, sw->installed, &work->cursor, FLOWS_PER_PART, &work->n_equal)) {
        return 0;
    }
    size_t n = sp_known_count(sw->known);
    sw->is_mirrored = !work->is_odd && work->n_equal == n && sp_flow_table_count(sw->dump) == n
                      && sp_flow_table_count(sw->installed) == n;
    sw->is_distinct = sw->is_mirrored;
    return DONE;
}

static int
drain_dump(struct sp_switch *sw)
{
    return sp_flow_table_drain(sw->dump, FLOWS_PER_PART) ? 0 : DONE;
}

/* Ours by its cookie, or in the place of one of ours.  The dump is what counts, this is only when. */
void
sp_switch_suspect(struct sp_switch *sw, const struct sp_flow *flow)
{
    /* Learned, but not all of it is in its place yet; at first not even in the dump, and nobody can say what is behind it. */
    enum sp_dump_stage stage = sw->work.stage;
    bool gathering = sw->phase == SP_SWITCH_LEARNING && stage <= SP_DUMP_GATHER;
    bool learning = SP_DUMP_OWNERS <= stage && stage <= SP_DUMP_LEFT && !sw->work.is_foreseen;
    bool knowing = sw->phase != SP_SWITCH_PASSIVE && (sw->phase != SP_SWITCH_LEARNING || sw->asked);
    bool ours = (flow->cookie & SP_COOKIE_OWNER_MASK) == SP_COOKIE_OWNER;
    const struct sp_flow_table *there = learning ? sw->dump : sw->installed;
    sw->suspected = sw->suspected || (knowing && (ours || gathering || sp_flow_table_find(there, flow)));
}

/* What is installed under a key that 'unit' wants is the unit's: its own object if it is as desired, else the one that is to be
 * replaced. */
static int
learn_unit(struct sp_switch *sw, struct sp_unit *unit)
{
    if (sw->work.is_foreseen) {
        unit->confirmed = sp_flow_set_ref(unit->desired);
        sp_switch_move_unit(sw, unit, SP_UNIT_CLEAN);
        return 0;
    }
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
