#include "controller/api/trials.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "controller/api/call.h"
#include "controller/api/feed.h"
#include "controller/api/record.h"
#include "controller/api/restore.h"
#include "controller/obs/log.h"

struct conflict {
    const struct sp_history_record *record;
    uint64_t undoes;
    struct sp_problems *problems;
};

/* Notes down an object that 'entry', which is pending, and the new change have in common. */
static int
compare_objects(void *aux, struct sp_history_entry *entry)
{
    const struct conflict *conflict = aux;
    const struct sp_history_record *record = conflict->record, *pending = &entry->record;
    if (pending->revision == conflict->undoes) {
        return 0;
    }
    for (size_t i = 0; i < record->n_objects; i++) {
        for (size_t j = 0; j < pending->n_objects; j++) {
            const struct sp_history_object *a = &record->objects[i], *b = &pending->objects[j];
            if (!strcmp(a->id, b->id) && !strcmp(a->kind, b->kind)) {
                sp_problems_detail(conflict->problems,
                                   "Change %" PRIu64 " (%s) waits for its confirmation and touched the same %s %s: "
                                   "confirm or undo it first.",
                                   pending->revision, pending->what, a->kind, a->id);
                return SP_E_IN_USE;
            }
        }
    }
    return 0;
}

int
sp_trials_check(const struct sp_history *history, const struct sp_history_record *record, uint64_t undoes,
                struct sp_problems *problems)
{
    if (record->trial == SP_TRIAL_PENDING && !record->is_whole) {
        sp_problems_detail(problems, "It changes so much that it could not be rolled back.");
        return SP_E_IN_USE;
    }
    if (record->trial == SP_TRIAL_PENDING && sp_history_count_pending(history) >= SP_TRIALS_MAX) {
        sp_problems_detail(problems, "%d changes wait for their confirmation, which is as many as may.", SP_TRIALS_MAX);
        return SP_E_IN_USE;
    }
    struct conflict conflict = {record, undoes, problems};
    return sp_history_each_trial(history, compare_objects, &conflict);
}

bool
sp_trials_judge(const struct sp_history *history, const struct sp_trial_end *verdict, struct sp_trial_end *ret)
{
    struct sp_history_entry *entry = verdict->change ? sp_history_find(history, verdict->change) : NULL;
    if (entry) {
        entry->settling = verdict->trial;
        *ret = *verdict;
    }
    return entry;
}

void
sp_trials_forget(const struct sp_history *history, const struct sp_trial_end *verdict)
{
    struct sp_history_entry *entry = verdict->change ? sp_history_find(history, verdict->change) : NULL;
    if (entry) {
        entry->settling = SP_TRIAL_NONE;
    }
}

void
sp_trials_settle(struct sp_api *api, const struct sp_trial_end *verdict, const char *who)
{
    struct sp_history_entry *entry = verdict->change ? sp_history_find(api->history, verdict->change) : NULL;
    if (entry) {
        sp_history_settle(api->history, entry, verdict->trial, verdict->reason);
        api->n_trials[verdict->trial]++;
        sp_feed_trial(api->events, &entry->record);
        if (verdict->trial == SP_TRIAL_CONFIRMED) {
            sp_log(SP_LOG_INFO, "api", "change %" PRIu64 " is confirmed%s%s", verdict->change, who ? " by " : "", who ? who : "");
        }
    }
}

void
sp_trials_add(struct sp_api *api, struct sp_history_entry *entry)
{
    const struct sp_history_record *record = &entry->record;
    sp_log(SP_LOG_INFO, "api", "revision %" PRIu64 "%s%s: %s", record->revision, record->who ? " by " : "",
           record->who ? record->who : "", record->what);
    sp_history_add(api->history, entry);
    api->n_undone += record->undoes != 0;
    if (record->trial == SP_TRIAL_PENDING) {
        api->n_trials[SP_TRIAL_PENDING]++;
        sp_feed_trial(api->events, record);
    }
}

/* Rolling back. */

struct rollback {
    struct sp_api *api;
    struct sp_trial_end verdict;
    struct sp_problems problems;
    char what[SP_RECORD_WHAT_SIZE + 100];
    char path[64];
    char role[16];
    struct sp_history_entry *record;
};

static void
free_rollback(struct rollback *rollback)
{
    sp_problems_clear(&rollback->problems);
    sp_history_entry_free(rollback->record);
    free(rollback);
}

static int
stage(void *aux, struct sp_batch *batch)
{
    struct rollback *rollback = aux;
    struct sp_api *api = rollback->api;
    const struct sp_history_entry *entry = sp_history_find(api->history, rollback->verdict.change);
    if (!entry || entry->record.trial != SP_TRIAL_PENDING) {
        rollback->verdict.change = 0; /* Somebody was quicker. */
        return 0;
    }
    if (rollback->verdict.trial == SP_TRIAL_STUCK) {
        return 0;
    }
    const struct sp_history_record *record = &entry->record;
    snprintf(rollback->what, sizeof rollback->what, "change %" PRIu64 " rolled back, as nobody confirmed it%s%s",
             record->revision, record->undoes ? "" : ": ", record->undoes ? "" : record->what);
    snprintf(rollback->path, sizeof rollback->path, "/v1/changes/%" PRIu64 "/undo", record->revision);
    snprintf(rollback->role, sizeof rollback->role, "%s", record->role);
    return sp_restore(record, sp_engine_model(api->engine), api->protocols, batch, &rollback->problems);
}

static int
record(void *aux, uint64_t revision, int64_t now_us, const struct sp_change *changes, size_t n,
       const struct sp_history_record **ret)
{
    struct rollback *rollback = aux;
    struct sp_history *history = rollback->api->history;
    const struct sp_history_record frame = {
        .revision = revision,
        .at_us = now_us,
        .what = rollback->what,
        .method = "POST",
        .path = rollback->path,
        .role = rollback->role,
        .undoes = rollback->verdict.change,
        .forget_below = sp_history_oldest(history),
    };
    const struct sp_uuid none = {{0}};
    int r = sp_record_make(rollback->api->protocols, &frame, &none, changes, n, &rollback->record);
    r = r ? r : sp_trials_check(history, &rollback->record->record, rollback->verdict.change, &rollback->problems);
    if (!r) {
        sp_history_stage(history, rollback->record);
        *ret = &rollback->record->record;
    }
    return r;
}

static bool
judge(void *aux, struct sp_trial_end *ret)
{
    const struct rollback *rollback = aux;
    return sp_trials_judge(rollback->api->history, &rollback->verdict, ret);
}

static void
recorded(void *aux)
{
    struct rollback *rollback = aux;
    if (rollback->record) {
        sp_trials_add(rollback->api, rollback->record);
        rollback->record = NULL;
    }
    sp_trials_settle(rollback->api, &rollback->verdict, NULL);
}

static void done(void *aux, const struct sp_outcome *outcome);

/* Returns whether it is on its way. */
static bool
write_rollback(struct rollback *rollback)
{
    const struct sp_write write = {
        .stage = stage, .record = record, .judge = judge, .recorded = recorded, .done = done, .aux = rollback};
    return !sp_engine_write(rollback->api->engine, &write);
}

/* Refused: it stands in the record and in the log.  The store could not write, or has no room: it is tried again. */
static void
done(void *aux, const struct sp_outcome *outcome)
{
    struct rollback *rollback = aux;
    const struct sp_history_entry *entry = sp_history_find(rollback->api->history, rollback->verdict.change);
    bool is_pending = entry && entry->record.trial == SP_TRIAL_PENDING; /* Else somebody was quicker. */
    sp_trials_forget(rollback->api->history, &rollback->verdict);
    if (outcome->error > 0 && is_pending && rollback->verdict.trial == SP_TRIAL_UNDONE) {
        const char *detail = rollback->problems.detail; /* Which stays: another try stages nothing. */
        rollback->verdict.reason = detail ? detail : "Numbers for new objects have run out.";
        sp_log(SP_LOG_ERROR, "api", "change %" PRIu64 " was not confirmed and cannot be rolled back: %s",
               rollback->verdict.change, rollback->verdict.reason);
        sp_history_entry_free(rollback->record);
        rollback->record = NULL;
        rollback->verdict.trial = SP_TRIAL_STUCK;
        if (write_rollback(rollback)) {
            return;
        }
    }
    free_rollback(rollback);
}

struct run {
    struct sp_api *api;
    int64_t now_us;
};

static int
roll_back_due(void *aux, struct sp_history_entry *entry)
{
    const struct run *run = aux;
    if (entry->stage || entry->settling || entry->record.confirm_by_us > run->now_us) {
        return 0;
    }
    struct rollback *rollback = calloc(1, sizeof *rollback);
    if (!rollback) {
        return 0; /* Until the next second. */
    }
    rollback->api = run->api;
    rollback->verdict = (struct sp_trial_end){.change = entry->record.revision, .trial = SP_TRIAL_UNDONE};
    sp_problems_init(&rollback->problems);
    if (write_rollback(rollback)) {
        entry->settling = SP_TRIAL_UNDONE;
    } else {
        free_rollback(rollback);
    }
    return 0;
}

void
sp_trials_run(void *aux)
{
    struct sp_api *api = aux;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct run run = {api, (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000};
    sp_history_each_trial(api->history, roll_back_due, &run);
}
