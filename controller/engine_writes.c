#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "controller/engine_state.h"
#include "controller/obs/log.h"

static void push(struct sp_pending_list *, struct sp_pending *);
static struct sp_pending *pop(struct sp_pending_list *);
static void finish(struct sp_engine *, struct sp_pending *, const char *why, bool applied);
static bool begin_batch(struct sp_engine *);
static void end_batch(struct sp_engine *);
static void stage(struct sp_engine *);
static int accept_staged(struct sp_engine *, struct sp_pending *, size_t mark);
static void on_committed(void *aux, int error, const char *why);
static void follow_writes(struct sp_engine *, uint64_t before);
static void await(struct sp_engine *);
static bool is_settled(const struct sp_engine *, struct sp_pending *);

void
sp_pending_list_init(struct sp_pending_list *list)
{
    list->first = NULL;
    list->last = &list->first;
    list->n = 0;
}

int
sp_engine_write(struct sp_engine *engine, const struct sp_write *write)
{
    if (engine->stopping) {
        return SP_E_CLOSED;
    }
    struct sp_pending *pending = engine->queue.n < SP_ENGINE_WRITES_MAX ? calloc(1, sizeof *pending) : NULL;
    if (!pending) {
        return SP_E_FULL;
    }
    pending->write = *write;
    pending->begin_us = sp_histogram_clock_us();
    push(&engine->queue, pending);
    sp_engine_turn_later(engine);
    return 0;
}

int64_t
sp_engine_clock_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

void
sp_engine_commit(struct sp_engine *engine)
{
    if (!engine->queue.n || engine->batch || engine->stopping) {
        return;
    }
    if (!begin_batch(engine)) {
        struct sp_pending *pending;
        for (size_t n = engine->queue.n; n-- && (pending = pop(&engine->queue));) {
            pending->error = -ENOMEM;
            finish(engine, pending, "out of memory", false);
        }
        return;
    }
    stage(engine);
    sp_batch_seal(engine->batch);
    size_t n;
    const struct sp_change *changes = sp_batch_changes(engine->batch, &n);
    if (n || engine->n_records || engine->n_verdicts) {
        engine->commit_begin_us = sp_histogram_clock_us();
        const struct sp_journal journal = { engine->records, engine->n_records, engine->verdicts, engine->n_verdicts };
        engine->store->ops->commit(engine->store, changes, n, sp_batch_counters(engine->batch), &journal, on_committed, engine);
        sp_engine_look_ahead(engine);
        return;
    }
    end_batch(engine);
    await(engine);
}

void
sp_engine_check_waiting(struct sp_engine *engine)
{
    int64_t now = sp_engine_now(engine);
    struct sp_pending_list waiting = engine->waiting;
    if (!waiting.n) {
        return;
    }
    sp_pending_list_init(&engine->waiting);
    struct sp_pending *pending;
    int64_t first = INT64_MAX;
    while ((pending = waiting.first)) {
        waiting.first = pending->next;
        bool settled = is_settled(engine, pending);
        if (settled || now >= pending->deadline_ms || engine->stopping) {
            finish(engine, pending, NULL, settled && !pending->failed);
        } else {
            push(&engine->waiting, pending);
            first = pending->deadline_ms < first ? pending->deadline_ms : first;
        }
    }
    if (engine->waiting.n && first < INT64_MAX) {
        sp_engine_wake_at(engine, first);
    }
}

void
sp_engine_cancel_writes(struct sp_engine *engine)
{
    struct sp_pending *pending;
    while ((pending = pop(&engine->queue))) {
        pending->error = -ECANCELED;
        finish(engine, pending, "the controller is stopping", false);
    }
}

static void
push(struct sp_pending_list *list, struct sp_pending *pending)
{
    pending->next = NULL;
    *list->last = pending;
    list->last = &pending->next;
    list->n++;
}

static struct sp_pending *
pop(struct sp_pending_list *list)
{
    struct sp_pending *pending = list->first;
    if (pending) {
        list->first = pending->next;
        list->last = list->first ? list->last : &list->first;
        list->n--;
    }
    return pending;
}

/* Answers and frees a write that is in no list any more. */
static void
finish(struct sp_engine *engine, struct sp_pending *pending, const char *why, bool applied)
{
    struct sp_outcome outcome = {
        .error = pending->error,
        .why = why,
        .revision = pending->error ? sp_model_counters(engine->model)->revision : pending->revision,
        .applied = !pending->error && applied,
    };
    if (outcome.applied) {
        sp_histogram_add_since(&engine->applied_time, pending->begin_us);
    }
    pending->write.done(pending->write.aux, &outcome);
    free(pending->waits);
    free(pending);
}

/* Begins a batch for what is queued.  False: no memory. */
static bool
begin_batch(struct sp_engine *engine)
{
    engine->batch_us = sp_engine_clock_us();
    engine->records = calloc(engine->queue.n, sizeof *engine->records);
    engine->verdicts = calloc(engine->queue.n, sizeof *engine->verdicts);
    engine->n_records = engine->n_verdicts = 0;
    engine->batch = engine->records && engine->verdicts ? sp_batch_begin(engine->model, engine->batch_us) : NULL;
    if (!engine->batch) {
        end_batch(engine);
    }
    return engine->batch;
}

static void
end_batch(struct sp_engine *engine)
{
    sp_batch_free(engine->batch);
    engine->batch = NULL;
    free(engine->records);
    engine->records = NULL;
    free(engine->verdicts);
    engine->verdicts = NULL;
}

/* Stages every write of the queue, each on its own: one that is refused leaves nothing. */
static void
stage(struct sp_engine *engine)
{
    struct sp_pending *pending;
    for (size_t n = engine->queue.n; n-- && (pending = pop(&engine->queue));) {
        size_t mark = sp_batch_mark(engine->batch);
        pending->error = pending->write.stage(pending->write.aux, engine->batch);
        if (!pending->error) {
            pending->error = accept_staged(engine, pending, mark);
        }
        if (pending->error || pending->write.preview) {
            sp_batch_rollback(engine->batch, mark);
        }
        push(&engine->committing, pending);
    }
}

static int
accept_staged(struct sp_engine *engine, struct sp_pending *pending, size_t mark)
{
    uint64_t before = sp_batch_counters(engine->batch)->revision;
    int error = sp_batch_accept(engine->batch, mark, &pending->revision);
    size_t n = 0;
    const struct sp_change *changes = error || pending->revision == before
                                          ? NULL : sp_batch_changes_of(engine->batch, pending->revision, &n);
    if (!error && pending->write.preview) {
        pending->revision = before;
        return pending->write.preview(pending->write.aux, changes, n);
    }
    if (!error && n && pending->write.record) {
        error = pending->write.record(pending->write.aux, pending->revision, engine->batch_us, changes, n, &pending->record);
        if (!error) {
            engine->records[engine->n_records++] = pending->record;
        }
    }
    if (!error && pending->write.judge) {
        pending->has_verdict = pending->write.judge(pending->write.aux, &engine->verdicts[engine->n_verdicts]);
        engine->n_verdicts += pending->has_verdict;
    }
    return error;
}

/* The change and its record are durable. */
static void
tell_recorded(struct sp_engine *engine)
{
    for (struct sp_pending *pending = engine->committing.first; pending; pending = pending->next) {
        if (!pending->error && (pending->record || pending->has_verdict)) {
            pending->write.recorded(pending->write.aux);
        }
    }
}

static void
on_committed(void *aux, int error, const char *why)
{
    struct sp_engine *engine = aux;
    struct sp_batch *batch = engine->batch;
    if (error) {
        engine->commits_failed++;
        sp_engine_end_ahead(engine);
        sp_log(SP_LOG_ERROR, "engine", "the store did not take a change: %s", why ? why : strerror(-error));
        end_batch(engine);
        struct sp_pending *pending;
        while ((pending = pop(&engine->committing))) {
            /* One that was refused was refused in view of the others, which did not happen: it may be tried again as well. */
            pending->error = error;
            finish(engine, pending, why ? why : strerror(-error), false);
        }
    } else {
        engine->commits++;
        sp_histogram_add_since(&engine->commit_time, engine->commit_begin_us);
        uint64_t before = sp_model_counters(engine->model)->revision;
        sp_batch_publish(batch);
        engine->ahead_published = true;
        tell_recorded(engine);
        if (!engine->stopping) {
            follow_writes(engine, before);
        }
        sp_engine_end_ahead(engine);
        end_batch(engine);
        await(engine);
    }
    sp_engine_turn_later(engine);
}

/* Goes through the changes of each write with 'follow', noting down for whom the write waits. */
static uint64_t
follow_each(struct sp_engine *engine, uint64_t before, void (*follow)(struct sp_engine *, const struct sp_change *, size_t n))
{
    uint64_t last = before;
    for (struct sp_pending *pending = engine->committing.first; pending; pending = pending->next) {
        if (pending->error || pending->revision <= last) {
            continue; /* Refused, or it changed nothing. */
        }
        last = pending->revision;
        size_t n;
        const struct sp_change *changes = sp_batch_changes_of(engine->batch, pending->revision, &n);
        engine->toucher = pending;
        engine->n_followed++;
        engine->now = (struct sp_revisions) { .first = pending->revision, .last = pending->revision };
        follow(engine, changes, n);
    }
    engine->toucher = NULL;
    return last;
}

/* Brings what is published now to the datapaths. */
static void
follow_writes(struct sp_engine *engine, uint64_t before)
{
    follow_each(engine, before, sp_engine_follow_addresses);
    uint64_t last = follow_each(engine, before, sp_engine_follow);
    follow_each(engine, before, sp_engine_follow_counts);
    follow_each(engine, before, sp_engine_tell);
    engine->now = (struct sp_revisions) { .first = before + 1, .last = last };
    sp_engine_run_stale(engine);
    engine->now = (struct sp_revisions) { .first = last, .last = last };
    sp_log(SP_LOG_DEBUG, "engine", "revisions %llu to %llu are durable", (unsigned long long) before + 1,
           (unsigned long long) last);
}

/* The committed writes wait for their bridges from now on. */
static void
await(struct sp_engine *engine)
{
    int64_t now = sp_engine_now(engine);
    struct sp_pending_list done = engine->committing;
    sp_pending_list_init(&engine->committing);
    struct sp_pending *pending;
    while ((pending = done.first)) {
        done.first = pending->next;
        if (pending->error) {
            finish(engine, pending, NULL, false);
        } else {
            pending->deadline_ms = now + pending->write.wait_ms;
            push(&engine->waiting, pending);
        }
    }
    sp_engine_check_waiting(engine);
}

/* Whether nobody is left who may still confirm; 'failed' is set if somebody will not.  Looks no further than the first one
 * that is pending, so that many writes that wait for one slow bridge cost little. */
static bool
is_settled(const struct sp_engine *engine, struct sp_pending *pending)
{
    while (pending->n_confirmed < pending->n_waits) {
        const struct sp_wait *wait = &pending->waits[pending->n_confirmed];
        const struct sp_datapath *dp = sp_engine_datapath(engine, wait->dpid);
        enum sp_confirmation confirmation = SP_CONFIRMED;
        if (!dp || dp->connection != wait->connection) {
            confirmation = SP_NOT_CONFIRMED;
        } else if (sp_switch_is_enforced(dp->sw)) {
            confirmation = sp_switch_confirmation(dp->sw, pending->revision);
        } else if (dp->expecting) {
            confirmation = SP_CONFIRMATION_PENDING;
        } /* Else it was released, which ends when all is confirmed. */
        if (confirmation == SP_CONFIRMATION_PENDING) {
            return false;
        }
        pending->failed = pending->failed || confirmation == SP_NOT_CONFIRMED;
        pending->n_confirmed++;
    }
    return true;
}
