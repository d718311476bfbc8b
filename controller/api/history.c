#include "controller/api/history.h"

#include <stdlib.h>
#include <string.h>

struct sp_history {
    struct sp_history_entry *newest;
    struct sp_history_entry *oldest;
    size_t n;
    size_t size;
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
                  text_size(record->method) + text_size(record->path) + text_size(record->role);
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
    return entry;
}

void
sp_history_entry_free(struct sp_history_entry *entry)
{
    free(entry);
}

static void
drop_oldest(struct sp_history *history)
{
    struct sp_history_entry *entry = history->oldest;
    history->oldest = entry->newer;
    if (entry->newer) {
        entry->newer->older = NULL;
    } else {
        history->newest = NULL;
    }
    history->n--;
    history->size -= entry->size;
    sp_history_entry_free(entry);
}

void
sp_history_add(struct sp_history *history, struct sp_history_entry *entry)
{
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
    while (history->n > SP_HISTORY_MAX || (history->size > SP_HISTORY_SIZE && history->n > 1)) {
        drop_oldest(history);
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
    return history->oldest ? history->oldest->record.revision : 0;
}

size_t
sp_history_count(const struct sp_history *history)
{
    return history->n;
}
