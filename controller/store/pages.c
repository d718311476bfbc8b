/* The history: records as rows, and rows as records. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/store/rows.h"

/* In the order of the parameters that the functions below give. */
static const char *const sql[] = {
    ("INSERT INTO change (revision, at, who, what, method, path, role, undoes, whole)"
     " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, nullif(?8, 0), ?9)"),
    "INSERT INTO change_object (change, position, kind, id, region, difference) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    "INSERT INTO trial (change, state, confirm_by) VALUES (?1, ?2, ?3)",
    "UPDATE trial SET state = ?2, reason = ?3 WHERE change = ?1",
    "DELETE FROM trial WHERE change < ?1 AND state <> 1",
    "DELETE FROM change_object WHERE change < ?1 AND change NOT IN (SELECT change FROM trial)",
    "DELETE FROM change WHERE revision < ?1 AND revision NOT IN (SELECT change FROM trial)",
};
enum { ADD, ADD_OBJECT, ADD_TRIAL, END_TRIAL, FORGET_TRIALS, FORGET_OBJECTS, FORGET, N_STATEMENTS };

struct sp_pages {
    struct sp_statement *statements[N_STATEMENTS];
};

int
sp_pages_new(struct sp_database *database, struct sp_pages **ret)
{
    struct sp_pages *pages = calloc(1, sizeof *pages);

    if (!pages) {
        return -ENOMEM;
    }
    for (int i = 0; i < N_STATEMENTS; i++) {
        int r = sp_database_prepare(database, sql[i], &pages->statements[i]);

        if (r) {
            free(pages); /* The statements are the database's. */
            return r;
        }
    }
    *ret = pages;
    return 0;
}

void
sp_pages_free(struct sp_pages *pages)
{
    free(pages);
}

static int
write_record(struct sp_pages *pages, const struct sp_history_record *record)
{
    struct sp_statement *s = pages->statements[ADD];

    sp_statement_give_integer(s, (int64_t) record->revision);
    sp_statement_give_integer(s, record->at_us);
    sp_statement_give_text(s, record->who);
    sp_statement_give_text(s, record->what);
    sp_statement_give_text(s, record->method);
    sp_statement_give_text(s, record->path);
    sp_statement_give_text(s, record->role);
    sp_statement_give_integer(s, (int64_t) record->undoes);
    sp_statement_give_integer(s, record->is_whole);

    int r = sp_statement_run(s, 1);

    if (!r && record->trial) {
        s = pages->statements[ADD_TRIAL];
        sp_statement_give_integer(s, (int64_t) record->revision);
        sp_statement_give_integer(s, record->trial);
        sp_statement_give_integer(s, record->confirm_by_us);
        r = sp_statement_run(s, 1);
    }
    for (size_t i = 0; i < record->n_objects && !r; i++) {
        const struct sp_history_object *object = &record->objects[i];

        s = pages->statements[ADD_OBJECT];
        sp_statement_give_integer(s, (int64_t) record->revision);
        sp_statement_give_integer(s, (int64_t) i);
        sp_statement_give_text(s, object->kind);
        sp_statement_give_text(s, object->id);
        sp_statement_give_text(s, object->region);
        sp_statement_give_text(s, object->text);
        r = sp_statement_run(s, 1);
    }
    return r;
}

int
sp_pages_write(struct sp_pages *pages, const struct sp_journal *journal)
{
    uint64_t below = 0;
    int r = 0;

    for (size_t i = 0; i < journal->n_records && !r; i++) {
        const struct sp_history_record *record = journal->records[i];

        below = record->forget_below > below ? record->forget_below : below;
        r = write_record(pages, record);
    }
    for (size_t i = 0; i < journal->n_verdicts && !r; i++) {
        struct sp_statement *s = pages->statements[END_TRIAL];

        sp_statement_give_integer(s, (int64_t) journal->verdicts[i].change);
        sp_statement_give_integer(s, journal->verdicts[i].trial);
        sp_statement_give_text(s, journal->verdicts[i].reason);
        r = sp_statement_run(s, 1);
    }
    for (int i = FORGET_TRIALS; below && i <= FORGET && !r; i++) {
        sp_statement_give_integer(pages->statements[i], (int64_t) below);
        r = sp_statement_run(pages->statements[i], -1);
    }
    return r;
}

/* Reading. */

/* The objects of one change; the arrays serve change after change. */
struct page {
    struct sp_history_object *objects;
    size_t n, allocated;
};

struct reading {
    struct sp_database *database;
    struct sp_statement *changes;
    struct sp_statement *objects;
    bool has_object; /* The current row of 'objects' is one. */
    struct page page;
    char *why;
    size_t why_size;
};

static int
failed(struct reading *reading, int error)
{
    snprintf(reading->why, reading->why_size, "cannot read the history: %s", sp_database_why(reading->database));
    return error;
}

static int
damaged(struct reading *reading, int64_t revision, const char *what)
{
    snprintf(reading->why, reading->why_size, "table change, row %lld: %s", (long long) revision, what);
    return SP_E_DAMAGED;
}

static int
advance(struct reading *reading)
{
    int r = sp_statement_next(reading->objects, &reading->has_object);

    return r ? failed(reading, r) : 0;
}

static bool
texts_are_valid(const struct sp_statement *s, int first, int last, int nullable)
{
    for (int i = first; i <= last; i++) {
        if (!sp_statement_is_text_valid(s, i) || (i != nullable && !sp_statement_text(s, i))) {
            return false;
        }
    }
    return true;
}

static void
clear_page(struct page *page)
{
    for (size_t i = 0; i < page->n; i++) {
        free((char *) page->objects[i].kind);
    }
    page->n = 0;
}

/* Copies 'texts' one behind the other into one allocation, the first one's; NULL stays NULL. */
static bool
copy_texts(const char *texts[], size_t n)
{
    size_t size = 0;

    for (size_t i = 0; i < n; i++) {
        size += texts[i] ? strlen(texts[i]) + 1 : 0;
    }

    char *at = malloc(size);

    for (size_t i = 0; at && i < n; i++) {
        if (texts[i]) {
            size_t text_size = strlen(texts[i]) + 1;

            texts[i] = memcpy(at, texts[i], text_size);
            at += text_size;
        }
    }
    return at;
}

/* Takes the current row of objects. */
static int
add_object(struct reading *reading, int64_t revision)
{
    const struct sp_statement *s = reading->objects;
    struct page *page = &reading->page;

    if (!texts_are_valid(s, 1, 4, 3)) {
        return damaged(reading, revision, "an object's text");
    }
    if (page->n == page->allocated) {
        size_t n = page->allocated ? page->allocated * 2 : 64;
        struct sp_history_object *grown = realloc(page->objects, n * sizeof *grown);

        if (!grown) {
            return -ENOMEM;
        }
        page->objects = grown;
        page->allocated = n;
    }

    const char *texts[] = {sp_statement_text(s, 1), sp_statement_text(s, 2), sp_statement_text(s, 3), sp_statement_text(s, 4)};

    const bool is_copied = copy_texts(texts, 4);

    if (!is_copied) {
        return -ENOMEM;
    }
    page->objects[page->n++] = (struct sp_history_object) {texts[0], texts[1], texts[2], texts[3]};
    return 0;
}

static int
load_objects(struct reading *reading, int64_t revision)
{
    clear_page(&reading->page);
    while (reading->has_object && sp_statement_integer(reading->objects, 0) == revision) {
        int r = add_object(reading, revision);

        r = r ? r : advance(reading);
        if (r) {
            return r;
        }
    }
    if (reading->has_object && sp_statement_integer(reading->objects, 0) < revision) {
        return damaged(reading, sp_statement_integer(reading->objects, 0), "is missing, but its objects are there");
    }
    return 0;
}

static int
load_change(struct reading *reading, sp_store_receive_record *receive, void *aux)
{
    const struct sp_statement *s = reading->changes;
    int64_t revision = sp_statement_integer(s, 0);

    if (revision < 1 || !texts_are_valid(s, 2, 6, 2) || !sp_statement_is_text_valid(s, 11)) {
        return damaged(reading, revision, "a text");
    }

    int r = load_objects(reading, revision);

    if (r) {
        return r;
    }

    struct sp_history_record record = {
        .revision = (uint64_t) revision,
        .at_us = sp_statement_integer(s, 1),
        .who = sp_statement_text(s, 2),
        .what = sp_statement_text(s, 3),
        .method = sp_statement_text(s, 4),
        .path = sp_statement_text(s, 5),
        .role = sp_statement_text(s, 6),
        .undoes = (uint64_t) sp_statement_integer(s, 7),
        .is_whole = sp_statement_integer(s, 8),
        .trial = (enum sp_trial) sp_statement_integer(s, 9),
        .confirm_by_us = sp_statement_integer(s, 10),
        .reason = sp_statement_text(s, 11),
        .objects = reading->page.objects,
        .n_objects = reading->page.n,
    };

    if (record.trial >= SP_N_TRIALS) {
        return damaged(reading, revision, "what became of it");
    }
    return receive(aux, &record);
}

int
sp_pages_load(struct sp_database *database, sp_store_receive_record *receive, void *aux, char *why, size_t why_size)
{
    struct reading reading = {.database = database, .why = why, .why_size = why_size};
    bool row = true;
    int r = sp_database_prepare(database, "SELECT revision, at, who, what, method, path, role, undoes, whole, state, confirm_by,"
                                          " reason FROM change LEFT JOIN trial ON change = revision ORDER BY revision",
                                &reading.changes);

    if (!r) {
        r = sp_database_prepare(database, "SELECT change, kind, id, region, difference FROM change_object"
                                          " ORDER BY change, position", &reading.objects);
    }
    r = r ? failed(&reading, r) : advance(&reading);
    while (!r && row) {
        r = sp_statement_next(reading.changes, &row);
        r = r ? failed(&reading, r) : row ? load_change(&reading, receive, aux) : 0;
    }
    if (!r && reading.has_object) {
        r = damaged(&reading, sp_statement_integer(reading.objects, 0), "is missing, but its objects are there");
    }
    if (r == -ENOMEM) {
        snprintf(why, why_size, "out of memory");
    }
    clear_page(&reading.page);
    free(reading.page.objects);
    if (reading.changes) {
        sp_statement_free(reading.changes);
    }
    if (reading.objects) {
        sp_statement_free(reading.objects);
    }
    return r;
}
