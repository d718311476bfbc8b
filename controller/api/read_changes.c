#include <stdlib.h>
#include <string.h>

#include "controller/api/access.h"
#include "controller/api/route.h"

#define LIMIT_DEFAULT 100
#define LIMIT_MAX 1000
#define PAGE_SIZE (1u << 20) /* A page ends when its objects' texts are longer. */

/* A revision, or null for none. */
static void
put_revision(struct sp_json_write *out, const char *key, uint64_t revision)
{
    sp_json_key(out, key);
    if (revision) {
        sp_json_integer(out, (int64_t) revision);
    } else {
        sp_json_null(out);
    }
}

void
sp_render_confirmation(struct sp_json_write *out, const struct sp_history_record *record)
{
    static const char *const states[SP_N_TRIALS] = {[SP_TRIAL_PENDING] = "pending", [SP_TRIAL_CONFIRMED] = "confirmed",
                                                    [SP_TRIAL_UNDONE] = "rolled_back", [SP_TRIAL_STUCK] = "failed"};
    char time[SP_TIME_TEXT_SIZE];
    sp_json_key(out, "confirmation");
    if (record->trial == SP_TRIAL_NONE) {
        sp_json_null(out);
        return;
    }
    sp_json_object_open(out);
    sp_json_text(out, "state", states[record->trial]);
    sp_json_text(out, "confirm_by", sp_time_format(record->confirm_by_us, time));
    sp_json_message(out, "reason", record->reason);
    sp_json_object_close(out);
}

size_t
sp_render_change(struct sp_json_write *out, const struct sp_history_entry *entry)
{
    const struct sp_history_record *record = &entry->record;
    char time[SP_TIME_TEXT_SIZE];
    size_t size = 0;
    sp_json_object_open(out);
    put_revision(out, "id", record->revision);
    sp_json_text(out, "at", sp_time_format(record->at_us, time));
    sp_json_text(out, "who", record->who);
    sp_json_text(out, "what", record->what);
    sp_json_text(out, "method", record->method);
    sp_json_text(out, "path", record->path);
    put_revision(out, "undoes", record->undoes);
    put_revision(out, "undone_by", entry->undone_by);
    sp_render_confirmation(out, record);
    sp_json_key(out, "whole");
    sp_json_bool(out, record->is_whole);
    sp_json_key(out, "objects");
    sp_json_array_open(out);
    for (size_t i = 0; i < record->n_objects; i++) {
        sp_json_raw(out, record->objects[i].text);
        size += strlen(record->objects[i].text);
    }
    sp_json_array_close(out);
    sp_json_object_close(out);
    return size;
}

struct filter {
    const char *region; /* NULL: any. */
    const char *object;
    uint64_t before; /* Revisions below. */
    bool is_pending; /* Only those that wait for their confirmation. */
    uint64_t limit;
};

/* Reads the query.  Notes down what is wrong with it. */
static struct filter
read_filter(struct sp_call *call)
{
    struct filter filter = {.region = sp_call_parameter(call, "region"), .object = sp_call_parameter(call, "object"),
                            .before = UINT64_MAX, .limit = LIMIT_DEFAULT};
    const char *before = sp_call_parameter(call, "before"), *limit = sp_call_parameter(call, "limit");
    if (before && sp_decode_number(before, INT64_MAX, &filter.before)) {
        sp_problems_add(&call->problems, "?before", "must be the id of a change");
    }
    const char *pending = sp_call_parameter(call, "pending");
    filter.is_pending = pending && !strcmp(pending, "true");
    if (pending && !filter.is_pending && strcmp(pending, "false")) {
        sp_problems_add(&call->problems, "?pending", "must be true or false");
    }
    if (limit && sp_decode_number(limit, LIMIT_MAX, &filter.limit)) {
        sp_problems_add(&call->problems, "?limit", "must be 1 to %d", LIMIT_MAX);
    }
    return filter;
}

static bool
fits(const struct filter *filter, const struct sp_history_record *record)
{
    bool region_fits = !filter->region, object_fits = !filter->object;
    for (size_t i = 0; i < record->n_objects && !(region_fits && object_fits); i++) {
        const struct sp_history_object *object = &record->objects[i];
        region_fits |= !region_fits && object->region && !strcmp(object->region, filter->region);
        object_fits |= !object_fits && !strcmp(object->id, filter->object);
    }
    return region_fits && object_fits && (!filter->is_pending || record->trial == SP_TRIAL_PENDING);
}

void
sp_read_changes(struct sp_call *call)
{
    struct filter filter = read_filter(call);
    if (call->problems.n || call->problems.n_lost) {
        sp_call_refuse(call, 422, NULL);
        return;
    }
    struct sp_json_write *out = sp_json_write_new(false);
    uint64_t n = 0, last = 0;
    size_t size = 0;
    bool has_more = false;
    sp_json_object_open(out);
    sp_json_key(out, "changes");
    sp_json_array_open(out);
    for (const struct sp_history_entry *entry = sp_history_newest(call->api->history); entry && !has_more; entry = entry->older) {
        const struct sp_history_record *record = &entry->record;
        if (record->revision >= filter.before || !sp_access_sees_change(call, record) || !fits(&filter, record)) {
            continue;
        }
        has_more = n == filter.limit || size > PAGE_SIZE;
        if (!has_more) {
            size += sp_render_change(out, entry);
            last = record->revision;
            n++;
        }
    }
    sp_json_array_close(out);
    put_revision(out, "next", has_more ? last : 0);
    sp_json_object_close(out);
    sp_call_json(call, 200, out, NULL, 0);
}

void
sp_read_change(struct sp_call *call)
{
    const struct sp_history_entry *entry = sp_history_find(call->api->history, call->change);
    if (!entry) {
        sp_call_fail(call, SP_E_MISSING, NULL);
        return;
    }
    struct sp_json_write *out = sp_json_write_new(false);
    sp_render_change(out, entry);
    sp_call_json(call, 200, out, NULL, 0);
}
