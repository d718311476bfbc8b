#include "controller/switch_units.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/obs/log.h"
#include "sallyport/pipeline.h"

#define CHECK_MS 15000         /* Between two dumps, ... */
#define CHECK_SHARE 50         /* ... or so many times as long as the last one took, so that they stay a small part, ... */
#define CHECK_FLOWS_PER_MS 280 /* ... and a millisecond for so many flows of all bridges, as they share a processor, ... */
#define CHECK_MAX_MS 30000     /* ... but no longer. */
#define CHECK_OVERDUE_MS 5000  /* After this a dump goes before changes. */
#define CHECK_PATIENCE_MS 10000 /* So long it lets bridges go first that are being begun with. */
#define SUSPECT_MS 1000        /* From a dump to one that the switch's telling calls for, ... */
#define SUSPECT_SHARE 20       /* ... and this many times as long as the last one took, so that they stay a small part. */
#define RETRY_MS 15000

static bool match_name(const struct sp_index_node *, const void *key);
static uint32_t hash_name(const struct sp_unit_name *);
static struct sp_unit *make_unit(struct sp_switch *, const struct sp_unit_name *);
static void free_unit(struct sp_switch *, struct sp_unit *);
static void ring_init(struct sp_unit_ring *);
static void forget(struct sp_switch *);
static bool is_check_due(struct sp_switch *, bool busy);
static void retry(struct sp_switch *);
static void dump(struct sp_switch *, enum sp_switch_phase);
static void take_flow(struct sp_switch *, struct sp_flow *);
static void learn(struct sp_switch *);
static void end_dump(struct sp_switch *);
static void rest(struct sp_switch *);
static void count_told(struct sp_switch *, size_t n);
static void end_work(struct sp_switch *);
static void tell_count(struct sp_switch *, const struct sp_event *, bool removed);

/* Adds to the revisions of 'unit' that may not be in force. */
static void
widen(struct sp_unit *unit, struct sp_revisions revisions)
{
    if (unit->state == SP_UNIT_CLEAN || revisions.first < unit->first) {
        unit->first = revisions.first;
    }
    unit->last = revisions.last;
}

struct sp_flow_set *
sp_flow_set_new(struct sp_flow_list *list)
{
    struct sp_flow_set *set = malloc(sizeof *set + list->n * sizeof set->flows[0]);
    if (set) {
        set->refs = 1;
        set->n = list->n;
        if (list->n) {
            memcpy(set->flows, list->flows, list->n * sizeof set->flows[0]);
        }
        list->n = 0;
        sp_flow_list_clear(list);
    }
    return set;
}

struct sp_flow_set *
sp_flow_set_ref(struct sp_flow_set *set)
{
    if (set) {
        set->refs++;
    }
    return set;
}

void
sp_flow_set_unref(struct sp_flow_set *set)
{
    if (set && !--set->refs) {
        for (size_t i = 0; i < set->n; i++) {
            sp_flow_unref(set->flows[i]);
        }
        free(set);
    }
}

bool
sp_flow_set_equal(const struct sp_flow_set *a, const struct sp_flow_set *b)
{
    size_t n = sp_flow_set_count(a);
    bool equal = n == sp_flow_set_count(b);
    for (size_t i = 0; a != b && equal && i < n; i++) {
        equal = sp_flow_equal(a->flows[i], b->flows[i]);
    }
    return equal;
}

struct sp_switch *
sp_switch_new(uint64_t dpid, uint64_t seed, const struct sp_switch_events *events, void *aux,
              struct sp_switch_counters *counters)
{
    struct sp_switch *sw = calloc(1, sizeof *sw);
    if (!sw) {
        return NULL;
    }
    sw->dpid = dpid;
    sw->seed = seed;
    sw->events = events;
    sw->aux = aux;
    sw->counters = counters;
    sp_index_init(&sw->units, match_name);
    for (size_t i = 0; i < SP_N_UNIT_KINDS; i++) {
        ring_init(&sw->dirty[i]);
    }
    ring_init(&sw->poisoned);
    sp_flow_list_init(&sw->orphans);
    sp_flow_list_init(&sw->stuck);
    sp_flow_list_init(&sw->work.lost);
    sp_flow_list_init(&sw->work.strange);
    sp_flow_list_init(&sw->foreseen.owners);
    sp_flow_mods_init(&sw->batch.mods);
    sp_flow_list_init(&sw->batch.news);
    return sw;
}

void
sp_switch_free(struct sp_switch *sw)
{
    if (sw) {
        forget(sw);
        sp_flow_table_free(sw->owners);
        sp_known_free(sw->known);
        sp_index_clear(&sw->units);
        free(sw->zones);
        free(sw);
    }
}

uint64_t
sp_switch_dpid(const struct sp_switch *sw)
{
    return sw->dpid;
}

void
sp_switch_attach(struct sp_switch *sw, struct sp_link *link)
{
    sw->link = link;
    sw->phase = SP_SWITCH_PASSIVE;
}

void
sp_switch_detach(struct sp_switch *sw)
{
    sw->link = NULL;
    sp_switch_ignore(sw);
}

struct sp_link *
sp_switch_link(const struct sp_switch *sw)
{
    return sw->link;
}

int
sp_switch_set_unit(struct sp_switch *sw, const struct sp_unit_name *name, struct sp_flow_set *flows,
                   struct sp_revisions revisions)
{
    sp_switch_finish_units(sw);
    struct sp_unit *unit = sp_switch_find_unit(sw, name);
    if (unit ? sp_flow_set_equal(unit->desired, flows) && !unit->failed : !sp_flow_set_count(flows)) {
        sp_flow_set_unref(flows);
        return 0;
    }
    unit = unit ? unit : make_unit(sw, name);
    if (!unit) {
        sp_flow_set_unref(flows);
        return -ENOMEM;
    }
    sp_switch_drop_foreseen(sw);
    sw->n_desired += sp_flow_set_count(flows) - sp_flow_set_count(unit->desired);
    sp_flow_set_unref(unit->desired);
    unit->desired = flows;
    widen(unit, revisions);
    unit->restore = unit->failed = false;
    sp_switch_move_unit(sw, unit, SP_UNIT_DIRTY);
    sp_switch_foresee(sw);
    return 0;
}

const struct sp_flow_set *
sp_switch_desired(const struct sp_switch *sw, const struct sp_unit_name *name)
{
    const struct sp_unit *unit = sp_switch_find_unit(sw, name);
    return unit ? unit->desired : NULL;
}

void
sp_switch_fail_unit(struct sp_switch *sw, const struct sp_unit_name *name, const char *why, struct sp_revisions revisions)
{
    sp_switch_finish_units(sw);
    sp_switch_drop_foreseen(sw);
    struct sp_unit *unit = sp_switch_find_unit(sw, name);
    unit = unit ? unit : make_unit(sw, name);
    if (!unit) {
        sp_switch_give_up(sw);
        return;
    }
    widen(unit, revisions);
    unit->failed = true;
    char text[300];
    sw->events->describe(sw->aux, sw, name, NULL, text, sizeof text / 2);
    size_t len = strlen(text);
    snprintf(text + len, sizeof text - len, ": %s", why);
    sp_switch_poison(sw, unit, text);
}

int
sp_switch_each_unit(const struct sp_switch *sw, sp_visit_unit *visit, void *aux)
{
    size_t cursor = 0;
    for (struct sp_index_node *node = NULL; (node = sp_index_next_head(&sw->units, node, &cursor));) {
        const struct sp_unit *unit = node->owner;
        int r = visit(aux, &unit->name, unit->desired);
        if (r) {
            return r;
        }
    }
    return 0;
}

void
sp_switch_flush_zone(struct sp_switch *sw, uint16_t zone)
{
    for (size_t i = 0; i < sw->n_zones; i++) {
        if (sw->zones[i] == zone) {
            return;
        }
    }
    if (!sw->link) {
        return;
    }
    uint16_t *zones = realloc(sw->zones, (sw->n_zones + 1) * sizeof *zones);
    if (!zones) {
        sp_switch_give_up(sw);
        return;
    }
    sw->zones = zones;
    sw->zones[sw->n_zones++] = zone;
}

void
sp_switch_begin(struct sp_switch *sw, int64_t now_ms)
{
    sw->phase = SP_SWITCH_LEARNING;
    sw->asked = sw->told = sw->is_given = false;
    sw->units_limit = SIZE_MAX;
    sw->flushes_limit = SP_FLUSHES_MIN;
    sw->installed = sp_flow_table_new();
    sw->is_mirrored = false;
    sw->dump = sp_flow_table_new();
    sw->owners = sw->owners ? sw->owners : sp_flow_table_new();
    sw->known = sw->known ? sw->known : sp_known_new(sw->seed);
    if (!sw->installed || !sw->dump || !sw->owners || !sw->known) {
        sp_switch_give_up(sw);
        return;
    }
    /* The first check comes after 5 to 20 s, so that bridges that connect together are not dumped together for ever. */
    sw->check_at_ms = now_ms + CHECK_MS / 3 + (int64_t) (sp_index_hash(0, &sw->dpid, sizeof sw->dpid) % CHECK_MS);
    sw->check_again_ms = now_ms + SUSPECT_MS;
    sw->suspected = false;
    sw->retry_at_ms = now_ms + RETRY_MS;
}

void
sp_switch_enforce(struct sp_switch *sw, int64_t now_ms)
{
    sw->now_ms = now_ms;
    if (sw->phase == SP_SWITCH_PASSIVE) {
        sp_switch_begin(sw, now_ms);
    }
    sw->is_given = true;
    sp_switch_foresee(sw);
    learn(sw);
}

void
sp_switch_ignore(struct sp_switch *sw)
{
    if (sw->link) {
        /* What goes on there from now on is not ours to know. */
        sp_flow_table_free(sw->owners);
        sw->owners = NULL;
    }
    forget(sw);
    sw->phase = SP_SWITCH_PASSIVE;
    sw->asked = sw->told = sw->is_given = false;
}

bool
sp_switch_is_enforced(const struct sp_switch *sw)
{
    return sw->phase != SP_SWITCH_PASSIVE && sw->is_given;
}

bool
sp_switch_is_starting(const struct sp_switch *sw)
{
    return sw->phase == SP_SWITCH_LEARNING || sw->phase == SP_SWITCH_APPLYING;
}

bool
sp_switch_is_clean(const struct sp_switch *sw)
{
    return sw->phase == SP_SWITCH_IDLE && !sw->units.n_heads && !sw->n_zones && !sp_flow_table_count(sw->installed);
}

void
sp_switch_run(struct sp_switch *sw, uint64_t revision, int64_t now_ms)
{
    sw->revision = revision;
    sw->now_ms = now_ms;
    if (sw->link && sw->phase == SP_SWITCH_AHEAD) {
        sp_switch_run_ahead(sw);
        return;
    }
    if (!sw->link || !sp_link_idle(sw->link)) {
        return;
    }
    if (sw->phase == SP_SWITCH_LEARNING && !sw->asked) {
        dump(sw, SP_SWITCH_LEARNING);
        return;
    }
    if (sw->phase != SP_SWITCH_IDLE) {
        return;
    }
    bool busy = sw->n_dirty || sw->orphans.n || sw->n_zones;
    if (is_check_due(sw, busy)) {
        sw->suspected = false;
        sw->check_begun_ms = now_ms;
        dump(sw, SP_SWITCH_CHECKING);
        return;
    }
    if (busy && sp_switch_begin_batch(sw)) {
        return;
    }
    if (sw->settled != revision) {
        sw->settled = revision;
        sw->events->settled(sw->aux, sw);
    }
    /* Only as long as bad units are being told from good ones are changes taken in parts. */
    sw->units_limit = SIZE_MAX;
    if ((sw->n_poisoned || sw->stuck.n) && now_ms >= sw->retry_at_ms) {
        sw->retry_at_ms = now_ms + RETRY_MS;
        retry(sw);
    }
}

/* 'busy': there is something to send. */
static bool
is_check_due(struct sp_switch *sw, bool busy)
{
    int64_t due_ms = sw->check_at_ms + (busy ? CHECK_OVERDUE_MS : 0);
    bool is_due = sw->now_ms >= due_ms || (sw->suspected && sw->now_ms >= sw->check_again_ms);
    return is_due && (sw->now_ms >= sw->check_at_ms + CHECK_PATIENCE_MS || sw->events->may_check(sw->aux, sw));
}

/* Their errors are told as long as they are not in force. */
static void
retry(struct sp_switch *sw)
{
    struct sp_unit_ring *next;
    for (struct sp_unit_ring *r = sw->poisoned.next; r != &sw->poisoned; r = next) {
        struct sp_unit *unit = sp_unit_of_ring(r);
        next = r->next;
        if (!unit->failed) {
            sp_switch_move_unit(sw, unit, SP_UNIT_DIRTY);
        }
    }
    while (sw->stuck.n) {
        if (sp_flow_list_take(&sw->orphans, sw->stuck.flows[--sw->stuck.n])) {
            sp_switch_give_up(sw);
            return;
        }
    }
    if (sw->n_dirty || sw->orphans.n) {
        sp_switch_begin_batch(sw);
    }
}

void
sp_switch_event(struct sp_switch *sw, struct sp_event *event, int64_t now_ms)
{
    sw->now_ms = now_ms;
    switch (event->kind) {
    case SP_EVENT_DUMP_FLOW:
        tell_count(sw, event, false);
        take_flow(sw, event->flow);
        break;
    case SP_EVENT_DUMP_COUNT:
        tell_count(sw, event, false);
        break;
    case SP_EVENT_REMOVED:
        tell_count(sw, event, true);
        break;
    case SP_EVENT_CHANGED:
        sp_switch_suspect(sw, event->flow);
        break;
    case SP_EVENT_DUMP_DONE:
        end_dump(sw);
        break;
    case SP_EVENT_REFUSED:
        sp_switch_refuse(sw, &event->refused);
        break;
    case SP_EVENT_APPLIED:
    case SP_EVENT_DISCARDED:
        if (sw->batch.is_ahead && event->kind == SP_EVENT_DISCARDED) {
            sp_switch_end_ahead(sw, event->text);
        } else if (sw->phase == SP_SWITCH_APPLYING) {
            sp_switch_end_batch(sw, event->kind == SP_EVENT_APPLIED ? NULL : event->text);
        }
        break;
    case SP_EVENT_ERROR:
        /* One line a second, whatever the switch sends. */
        if (now_ms >= sw->error_at_ms) {
            sw->error_at_ms = now_ms + 1000;
            sp_log(SP_LOG_WARNING, "switch", "%016llx: %s", (unsigned long long) sw->dpid, event->text);
        }
        break;
    default:
        break;
    }
    sp_flow_unref(event->flow);
    sp_switch_run(sw, sw->revision, now_ms);
}

bool
sp_switch_work(struct sp_switch *sw, int64_t now_ms)
{
    sw->now_ms = now_ms;
    if (sp_switch_is_foreseeing(sw)) {
        sp_switch_foresee_part(sw);
        learn(sw);
        return true;
    }
    if (!sw->work.stage) {
        return false;
    }
    if (!sp_switch_do_part(sw)) {
        end_work(sw);
        sp_switch_run(sw, sw->revision, now_ms);
    }
    return true;
}

void
sp_switch_tick(struct sp_switch *sw, int64_t now_ms)
{
    sp_switch_run(sw, sw->revision, now_ms);
}

static bool
has_refused(const struct sp_unit_ring *list, uint64_t revision)
{
    for (const struct sp_unit_ring *r = list->next; r != list; r = r->next) {
        const struct sp_unit *unit = (const struct sp_unit *) r;
        if ((unit->state == SP_UNIT_POISONED || unit->error) && unit->first <= revision && revision <= unit->last) {
            return true;
        }
    }
    return false;
}

enum sp_confirmation
sp_switch_confirmation(const struct sp_switch *sw, uint64_t revision)
{
    if (sw->phase == SP_SWITCH_PASSIVE) {
        return SP_NOT_CONFIRMED;
    }
    if (sw->settled < revision) {
        return SP_CONFIRMATION_PENDING;
    }
    bool refused = has_refused(&sw->poisoned, revision);
    for (size_t i = 0; i < SP_N_UNIT_KINDS && sw->n_errors && !refused; i++) {
        refused = has_refused(&sw->dirty[i], revision); /* Being tried again. */
    }
    return refused ? SP_NOT_CONFIRMED : SP_CONFIRMED;
}

bool
sp_switch_unit_confirmed(const struct sp_switch *sw, const struct sp_unit_name *name)
{
    const struct sp_unit *unit = sp_switch_find_unit(sw, name);
    bool knowing = sw->phase != SP_SWITCH_PASSIVE && sw->phase != SP_SWITCH_LEARNING;
    return knowing && (!unit || unit->state == SP_UNIT_CLEAN);
}

void
sp_switch_read(const struct sp_switch *sw, struct sp_switch_reading *ret)
{
    uint64_t confirmed = sw->settled;
    for (struct sp_unit_ring *r = sw->poisoned.next; r != &sw->poisoned; r = r->next) {
        uint64_t before = sp_unit_of_ring(r)->first ? sp_unit_of_ring(r)->first - 1 : 0;
        confirmed = before < confirmed ? before : confirmed;
    }
    bool enforced = sp_switch_is_enforced(sw);
    const char *error = NULL;
    if (sw->n_poisoned) {
        error = sp_unit_of_ring(sw->poisoned.next)->error;
        error = error ? error : "out of memory";
    } else if (sw->n_errors) {
        error = sw->error;
    } else if (sw->stuck.n) {
        error = sw->stuck_error;
    } else if (sw->complaint[0]) {
        error = sw->complaint;
    }
    *ret = (struct sp_switch_reading) {
        .flows_desired = sw->n_desired,
        .flows_installed = sw->installed ? sp_flow_table_count(sw->installed) : 0,
        .revision = enforced ? confirmed : 0,
        .pending = enforced && (sw->n_dirty || sw->n_poisoned || sw->stuck.n || sw->phase == SP_SWITCH_LEARNING
                                || sw->phase == SP_SWITCH_APPLYING),
        .last_error = error,
    };
}

void
sp_switch_complain(struct sp_switch *sw, const char *text)
{
    snprintf(sw->complaint, sizeof sw->complaint, "%s", text ? text : "");
}

struct sp_unit *
sp_switch_find_unit(const struct sp_switch *sw, const struct sp_unit_name *name)
{
    struct sp_index_node *node = sp_index_find(&sw->units, hash_name(name), name);
    return node ? node->owner : NULL;
}

void
sp_switch_move_unit(struct sp_switch *sw, struct sp_unit *unit, enum sp_unit_state state)
{
    unit->ring.prev->next = unit->ring.next;
    unit->ring.next->prev = unit->ring.prev;
    ring_init(&unit->ring);
    sw->n_dirty -= unit->state == SP_UNIT_DIRTY;
    sw->n_poisoned -= unit->state == SP_UNIT_POISONED;
    unit->state = state;
    sw->n_dirty += state == SP_UNIT_DIRTY;
    sw->n_poisoned += state == SP_UNIT_POISONED;
    if (state != SP_UNIT_CLEAN) {
        struct sp_unit_ring *list = state == SP_UNIT_DIRTY ? &sw->dirty[unit->name.kind] : &sw->poisoned;
        unit->ring.prev = list->prev;
        unit->ring.next = list;
        list->prev->next = &unit->ring;
        list->prev = &unit->ring;
        return;
    }
    sw->n_errors -= unit->error != NULL;
    free(unit->error);
    unit->error = NULL;
    if (!sp_flow_set_count(unit->desired) && !sp_flow_set_count(unit->confirmed) && !unit->in_batch) {
        free_unit(sw, unit);
    }
}

void
sp_switch_poison(struct sp_switch *sw, struct sp_unit *unit, const char *why)
{
    /* Tried again in vain: not worth another line. */
    if (!unit->error || strcmp(unit->error, why)) {
        sp_log(SP_LOG_WARNING, "switch", "%016llx: %s", (unsigned long long) sw->dpid, why);
        sw->n_errors -= unit->error != NULL;
        free(unit->error);
        unit->error = strdup(why);
        sw->n_errors += unit->error != NULL;
    }
    snprintf(sw->error, sizeof sw->error, "%s", why);
    sp_switch_move_unit(sw, unit, SP_UNIT_POISONED);
}

void
sp_switch_give_up(struct sp_switch *sw)
{
    if (sw->link) {
        sp_link_close(sw->link, "out of memory");
    }
}

static bool
match_name(const struct sp_index_node *node, const void *key)
{
    const struct sp_unit *unit = node->owner;
    return !memcmp(&unit->name, key, sizeof unit->name);
}

static uint32_t
hash_name(const struct sp_unit_name *name)
{
    return sp_index_hash(0, name, sizeof *name);
}

static struct sp_unit *
make_unit(struct sp_switch *sw, const struct sp_unit_name *name)
{
    struct sp_unit *unit = calloc(1, sizeof *unit);
    if (unit) {
        ring_init(&unit->ring);
        unit->name = *name;
        unit->node.owner = unit;
        sp_index_add(&sw->units, &unit->node, hash_name(name), name);
    }
    return unit;
}

static void
free_unit(struct sp_switch *sw, struct sp_unit *unit)
{
    sp_index_remove(&sw->units, &unit->node, hash_name(&unit->name), &unit->name);
    sp_flow_set_unref(unit->desired);
    sp_flow_set_unref(unit->confirmed);
    free(unit->error);
    free(unit);
}

static void
ring_init(struct sp_unit_ring *ring)
{
    ring->prev = ring->next = ring;
}

/* Back to a bridge of which nothing is known. */
static void
forget(struct sp_switch *sw)
{
    sp_switch_clear_batch(sw);
    sp_switch_drop_work(sw);
    sp_switch_clear_foreseen(sw);
    size_t cursor = 0;
    struct sp_index_node *next;
    for (struct sp_index_node *node = sp_index_next_head(&sw->units, NULL, &cursor); node; node = next) {
        struct sp_unit *unit = node->owner;
        next = sp_index_next_head(&sw->units, node, &cursor);
        sp_flow_set_unref(unit->desired);
        sp_flow_set_unref(unit->confirmed);
        unit->desired = unit->confirmed = NULL;
        sp_switch_move_unit(sw, unit, SP_UNIT_CLEAN);
    }
    sp_flow_table_free(sw->installed);
    sp_flow_table_free(sw->dump);
    sw->installed = sw->dump = NULL;
    sw->is_mirrored = false;
    sp_flow_list_clear(&sw->orphans);
    sp_flow_list_clear(&sw->stuck);
    sw->stuck_error[0] = '\0';
    sw->n_desired = 0;
    sw->n_zones = 0;
    sw->settled = 0;
    count_told(sw, 0);
}

static void
tell_count(struct sp_switch *sw, const struct sp_event *event, bool removed)
{
    const struct sp_flow *flow = event->flow;
    if (sp_flow_is_counted(flow->cookie, flow->table, flow->priority)) {
        sw->events->counted(sw->aux, sw, flow, &event->count, removed);
    }
}

static void
dump(struct sp_switch *sw, enum sp_switch_phase phase)
{
    sw->events->dumping(sw->aux, sw, true, phase == SP_SWITCH_LEARNING);
    sw->phase = phase;
    sw->asked = true;
    /* Whoever is cut off in a dump may know some flows twice. */
    sw->foreseen.is_possible = phase == SP_SWITCH_LEARNING && sw->is_distinct;
    sw->is_distinct = false;
    sp_link_dump(sw->link, sw->known);
}

/* What a dump tells that was not asked for since the bridge was last begun with is a part of the truth only. */
static bool
is_dumping(const struct sp_switch *sw)
{
    bool wanted = sw->phase == SP_SWITCH_LEARNING || sw->phase == SP_SWITCH_CHECKING;
    return wanted && sw->asked && !sw->told && !sw->work.stage;
}

static void
take_flow(struct sp_switch *sw, struct sp_flow *flow)
{
    if (!is_dumping(sw)) {
        return;
    }
    sw->foreseen.is_possible = false;
    sp_switch_drop_foreseen(sw);
    if (sp_flow_table_put(sw->dump, flow)) {
        sp_switch_give_up(sw);
    }
}

static void
end_dump(struct sp_switch *sw)
{
    if (!is_dumping(sw)) {
        return;
    }
    sw->events->dumping(sw->aux, sw, false, sw->phase == SP_SWITCH_LEARNING);
    count_told(sw, sp_known_count(sw->known));
    if (sw->phase == SP_SWITCH_LEARNING) {
        sw->told = true;
        learn(sw);
        return;
    }
    rest(sw);
    if (sp_switch_is_as_confirmed(sw)) {
        sw->phase = SP_SWITCH_IDLE;
        sw->is_distinct = true;
        sw->events->settled(sw->aux, sw);
        return;
    }
    sp_switch_begin_work(sw, SP_DUMP_GATHER);
    sw->events->busy(sw->aux, sw);
}

/* Begins to find out what the first dump means, if it has told all, all units have been given, and it is known whether that was
 * foreseen. */
static void
learn(struct sp_switch *sw)
{
    struct sp_foreseen *f = &sw->foreseen;
    if (sw->phase != SP_SWITCH_LEARNING || !sw->told) {
        return;
    }
    if (!sp_known_is_same(sw->known) || sp_flow_table_count(sw->dump)) {
        f->is_possible = false;
        sp_switch_drop_foreseen(sw);
    }
    if (!sw->is_given || (f->is_possible && sp_switch_is_foreseeing(sw))) {
        return;
    }
    sw->told = false;
    sp_switch_begin_work(sw, f->stage == SP_FORESEEN_READY ? SP_DUMP_FORESEEN : SP_DUMP_GATHER);
    sw->events->busy(sw->aux, sw);
}

/* After a check: until the next one. */
static void
rest(struct sp_switch *sw)
{
    int64_t length_ms = sw->now_ms - sw->check_begun_ms;
    int64_t rest_ms = CHECK_MS + (int64_t) (sw->counters->flows_told / CHECK_FLOWS_PER_MS);
    rest_ms = CHECK_SHARE * length_ms > rest_ms ? CHECK_SHARE * length_ms : rest_ms;
    sw->check_at_ms = sw->now_ms + (rest_ms < CHECK_MAX_MS ? rest_ms : CHECK_MAX_MS);
    sw->check_again_ms = sw->now_ms + SUSPECT_MS + SUSPECT_SHARE * length_ms;
}

static void
count_told(struct sp_switch *sw, size_t n)
{
    sw->counters->flows_told += n - sw->n_told;
    sw->n_told = n;
}

/* What the dump means has been found out, and it has been let go of. */
static void
end_work(struct sp_switch *sw)
{
    sw->phase = SP_SWITCH_IDLE;
    sp_flow_table_free(sw->dump);
    sw->dump = sp_flow_table_new();
    if (!sw->dump) {
        sp_switch_give_up(sw);
    }
    sw->events->settled(sw->aux, sw);
}
