#include "controller/api/history.h"

#include <stdlib.h>
#include <string.h>

struct sp_history {
    struct sp_history_entry *newest;
    struct sp_history_entry *oldest;
    struct sp_history_entry *staged; /* The newest one; the others are older ones of it. */
    size_t n;
    size_t size;
    size_t n_pending;                /* The staged ones too. */
};

struct sp_history *
sp_history_new(void)
{
    return calloc(1, sizeof(struct sp_history));
}

void
sp_history_free(struct sp_history *history)
{
    if (!history) {
        return;
    }
    for (struct sp_history_entry *entry = history->newest, *older; entry; entry = older) {
        older = entry->older;
        sp_history_entry_free(entry);
    }
    free(history);
}

static size_t
text_size(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

/* Copies '*text' to '*at' and moves both on. */
static void
take_text(const char **text, char **at)
{
    if (*text) {
        size_t size = strlen(*text) + 1;
        *text = memcpy(*at, *text, size);
        *at += size;
    }
}

struct sp_history_entry *
sp_history_entry_new(const struct sp_history_record *record)
{
    size_t objects_size = record->n_objects * sizeof *record->objects;
    size_t size = sizeof(struct sp_history_entry) + objects_size + text_size(record->who) + text_size(record->what) +
                  text_size(record->method) + text_size(record->path) + text_size(record->role) + text_size(record->reason);
    for (size_t i = 0; i < record->n_objects; i++) {
        const struct sp_history_object *object = &record->objects[i];
        size += text_size(object->kind) + text_size(object->id) + text_size(object->region) + text_size(object->text);
    }
    struct sp_history_entry *entry = malloc(size);
    if (!entry) {
        return NULL;
    }
    *entry = (struct sp_history_entry){.size = size, .record = *record};
    struct sp_history_object *objects = (struct sp_history_object *) (entry + 1);
    char *at = (char *) (objects + record->n_objects);
    if (record->n_objects) {
        memcpy(objects, record->objects, objects_size);
    }
    entry->record.objects = objects;
    for (size_t i = 0; i < record->n_objects; i++) {
        take_text(&objects[i].kind, &at);
        take_text(&objects[i].id, &at);
        take_text(&objects[i].region, &at);
        take_text(&objects[i].text, &at);
    }
    take_text(&entry->record.who, &at);
    take_text(&entry->record.what, &at);
    take_text(&entry->record.method, &at);
    take_text(&entry->record.path, &at);
    take_text(&entry->record.role, &at);
    take_text(&entry->record.reason, &at);
    return entry;
}

void
sp_history_stage(struct sp_history *history, struct sp_history_entry *entry)
{
    entry->stage = history;
    entry->newer = NULL;
    entry->older = history->staged;
    if (history->staged) {
        history->staged->newer = entry;
    }
    history->staged = entry;
    history->n_pending += entry->record.trial == SP_TRIAL_PENDING;
}

static void
unstage(struct sp_history_entry *entry)
{
    if (!entry->stage) {
        return;
    }
    if (entry->newer) {
        entry->newer->older = entry->older;
    } else {
        entry->stage->staged = entry->older;
    }
    if (entry->older) {
        entry->older->newer = entry->newer;
    }
    entry->stage->n_pending -= entry->record.trial == SP_TRIAL_PENDING;
    entry->stage = NULL;
}

void
sp_history_entry_free(struct sp_history_entry *entry)
{
    if (entry) {
        unstage(entry);
        free(entry->reason);
        free(entry);
    }
}

/* The oldest one that may go; NULL: none. */
static struct sp_history_entry *
oldest_settled(const struct sp_history *history)
{
    struct sp_history_entry *entry = history->oldest;
    while (entry && entry->record.trial == SP_TRIAL_PENDING) {
        entry = entry->newer;
    }
    return entry;
}

static void
drop(struct sp_history *history, struct sp_history_entry *entry)
{
    if (entry->newer) {
        entry->newer->older = entry->older;
    } else {
        history->newest = entry->older;
    }
    if (entry->older) {
        entry->older->newer = entry->newer;
    } else {
        history->oldest = entry->newer;
    }
    history->n--;
    history->size -= entry->size;
    sp_history_entry_free(entry);
}

void
sp_history_add(struct sp_history *history, struct sp_history_entry *entry)
{
    unstage(entry);
    history->n_pending += entry->record.trial == SP_TRIAL_PENDING;
    struct sp_history_entry *undone = entry->record.undoes ? sp_history_find(history, entry->record.undoes) : NULL;
    if (undone) {
        undone->undone_by = entry->record.revision;
    }
    entry->older = history->newest;
    entry->newer = NULL;
    if (history->newest) {
        history->newest->newer = entry;
    } else {
        history->oldest = entry;
    }
    history->newest = entry;
    history->n++;
    history->size += entry->size;
    struct sp_history_entry *oldest;
    while ((history->n > SP_HISTORY_MAX || (history->size > SP_HISTORY_SIZE && history->n > 1)) &&
           (oldest = oldest_settled(history)) && oldest != entry) {
        drop(history, oldest);
    }
}

struct sp_history_entry *
sp_history_newest(const struct sp_history *history)
{
    return history->newest;
}

struct sp_history_entry *
sp_history_find(const struct sp_history *history, uint64_t revision)
{
    struct sp_history_entry *entry = history->newest;
    while (entry && entry->record.revision > revision) {
        entry = entry->older;
    }
    return entry && entry->record.revision == revision ? entry : NULL;
}

uint64_t
sp_history_oldest(const struct sp_history *history)
{
    const struct sp_history_entry *oldest = oldest_settled(history);
    return oldest ? oldest->record.revision : 0;
}

size_t
sp_history_count(const struct sp_history *history)
{
    return history->n;
}

void
sp_history_settle(struct sp_history *history, struct sp_history_entry *entry, enum sp_trial trial, const char *reason)
{
    history->n_pending -= entry->record.trial == SP_TRIAL_PENDING;
    entry->settling = SP_TRIAL_NONE;
    entry->record.trial = trial;
    if (reason) {
        free(entry->reason);
        entry->record.reason = entry->reason = strdup(reason);
    }
}

int
sp_history_each_trial(const struct sp_history *history, sp_visit_trial *visit, void *aux)
{
    struct sp_history_entry *const lists[] = {history->staged, history->newest};
    size_t n = history->n_pending;
    int r = 0;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        for (struct sp_history_entry *entry = lists[i]; entry && n && !r; entry = entry->older) {
            if (entry->record.trial == SP_TRIAL_PENDING) {
                n--;
                r = visit(aux, entry);
            }
        }
    }
    return r;
}

size_t
sp_history_count_pending(const struct sp_history *history)
{
    return history->n_pending;
}
