#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "controller/api/record.h"
#include "controller/api/restore.h"
#include "controller/api/route.h"

static int
decode_nothing(struct sp_call *call)
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
    r = r ? r : sp_restore(&entry->record, sp_call_model(call), call->api->protocols, batch, &call->problems);
    if (!r && entry->record.trial == SP_TRIAL_PENDING && entry->settling != SP_TRIAL_CONFIRMED) {
        call->verdict = (struct sp_trial_end){.change = entry->record.revision, .trial = SP_TRIAL_UNDONE};
    }
    return r;
}

static bool
render_made(struct sp_call *call, const struct sp_render *render)
{
    const struct sp_history_entry *entry = sp_history_find(call->api->history, call->made);
    if (entry) {
        sp_render_change(render->out, entry);
    }
    return entry;
}

static void
locate_made(const struct sp_call *call, char *out, size_t size)
{
    snprintf(out, size, "/v1/changes/%" PRIu64, call->made);
}

/* Confirming changes nothing but the record. */
static int
stage_confirm(struct sp_call *call, struct sp_batch *batch)
{
    struct sp_history_entry *entry = sp_history_find(call->api->history, call->change);
    if (!entry) {
        return SP_E_MISSING;
    }
    call->made = call->change;
    if (entry->record.trial == SP_TRIAL_CONFIRMED || entry->settling == SP_TRIAL_CONFIRMED) {
        return 0; /* Somebody else's, of the same commit as this one, is answered with it. */
    }
    if (entry->record.trial != SP_TRIAL_PENDING || entry->settling) {
        const char *why = entry->record.trial == SP_TRIAL_NONE    ? "It was not made with confirm_within."
                          : entry->record.trial == SP_TRIAL_STUCK ? "Its time is over, and it could not be rolled back."
                                                                  : "Its time is over: it has been rolled back.";
        sp_problems_detail(&call->problems, "%s", why);
        return SP_E_EXISTS;
    }
    call->verdict = (struct sp_trial_end){.change = call->change, .trial = SP_TRIAL_CONFIRMED};
    return 0;
}

const struct sp_operation sp_change_confirm = {.decode = decode_nothing, .stage = stage_confirm, .render = render_made};
const struct sp_operation sp_change_undo = {
    .decode = decode_nothing, .stage = stage_undo, .render = render_made, .locate = locate_made};
