#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "controller/api/record.h"
#include "controller/api/restore.h"
#include "controller/api/route.h"

static int
decode_undo(struct sp_call *call)
{
    struct sp_decode decode = sp_call_decode(call);
    return sp_decode_nothing(&decode, call->body);
}

/* What is said about the new change; of one that takes back an undoing only its number. */
static int
describe(struct sp_call *call, const struct sp_history_record *record)
{
    char what[SP_RECORD_WHAT_SIZE + 64];
    snprintf(what, sizeof what, "change %" PRIu64 " undone%s%s", record->revision, record->undoes ? "" : ": ",
             record->undoes ? "" : record->what);
    call->undo.revision = record->revision;
    call->undo.what = sp_pool_text(&call->pool, what, strlen(what));
    call->undo.role = sp_pool_text(&call->pool, record->role, strlen(record->role));
    return call->undo.what && call->undo.role ? 0 : -ENOMEM;
}

static int
stage_undo(struct sp_call *call, struct sp_batch *batch)
{
    const struct sp_history_entry *entry = sp_history_find(call->api->history, call->change);
    if (!entry) {
        return SP_E_MISSING;
    }
    if (entry->undone_by) {
        sp_problems_detail(&call->problems, "It has been undone by change %" PRIu64 " already.", entry->undone_by);
        return SP_E_EXISTS;
    }
    int r = describe(call, &entry->record);
    call->created = true;
    return r ? r : sp_restore(&entry->record, sp_call_model(call), call->api->protocols, batch, &call->problems);
}

static bool
render_undo(struct sp_call *call, const struct sp_render *render)
{
    const struct sp_history_entry *entry = sp_history_find(call->api->history, call->made);
    if (entry) {
        sp_render_change(render->out, entry);
    }
    return entry;
}

static void
locate_undo(const struct sp_call *call, char *out, size_t size)
{
    snprintf(out, size, "/v1/changes/%" PRIu64, call->made);
}

const struct sp_operation sp_change_undo = {
    .decode = decode_undo, .stage = stage_undo, .render = render_undo, .locate = locate_undo};
