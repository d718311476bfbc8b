#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "controller/api/call.h"
#include "controller/api/cuts.h"
#include "controller/api/preview.h"
#include "controller/api/record.h"
#include "controller/api/trials.h"

/* Whether one of the entity tags in 'list' is 'etag'; a weak one never is.  Source: RFC 9110 section 8.8.3.2. */
static bool
lists_etag(const char *list, const char *etag)
{
    size_t len = strlen(etag);
    for (const char *p = list; *p;) {
        p += strspn(p, " \t,");
        bool is_weak = !strncmp(p, "W/", 2);
        if (is_weak) {
            p += 2;
        }
        if (*p != '"') {
            return false;
        }
        const char *end = strchr(p + 1, '"');
        if (!end) {
            return false;
        }
        if (!is_weak && (size_t) (end + 1 - p) == len && !strncmp(p, etag, len)) {
            return true;
        }
        p = end + 1;
    }
    return false;
}

/* Judges If-Match against the state that the change will meet.  Source: RFC 9110 section 13.1.1. */
static int
check_match(const struct sp_call *call)
{
    const char *list = sp_http_header(call->request, "If-Match");
    if (!list || !strcmp(list + strspn(list, " \t"), "*")) {
        return 0;
    }
    const struct sp_group *group =
        call->route->operation->about == SP_ABOUT_GROUP ? sp_model_group(sp_call_model(call), &call->id) : NULL;
    char etag[SP_ETAG_SIZE];
    return group && lists_etag(list, sp_call_etag(group, etag)) ? 0 : SP_E_STALE;
}

static int
stage(void *aux, struct sp_batch *batch)
{
    struct sp_call *call = aux;
    const struct sp_operation *operation = call->route->operation;
    int r = call->cuts ? sp_cuts_judge_present(call->cuts) : 0;
    r = r || !operation->merges ? r : operation->decode(call);
    if (r) {
        return r;
    }
    if (operation->about == SP_ABOUT_GROUP && !sp_model_group(sp_call_model(call), &call->id)) {
        return SP_E_MISSING;
    }
    r = check_match(call);
    return r ? r : operation->stage(call, batch);
}

/* Makes the record of the change, and refuses one that may not be made while others wait for their confirmation. */
static int
make_record(struct sp_call *call, uint64_t revision, int64_t now_us, const struct sp_change *changes, size_t n)
{
    const struct sp_history_record frame = {
        .revision = revision,
        .at_us = now_us,
        .who = *call->caller ? call->caller : NULL,
        .what = call->undo.what,
        .method = sp_http_method(call->request),
        .path = sp_http_path(call->request),
        .role = call->undo.role ? call->undo.role : sp_token_role_name(call->route->role),
        .undoes = call->undo.revision,
        .trial = call->confirm_within_s ? SP_TRIAL_PENDING : SP_TRIAL_NONE,
        .confirm_by_us = call->confirm_within_s ? now_us + call->confirm_within_s * INT64_C(1000000) : 0,
        .forget_below = sp_history_oldest(call->api->history),
    };
    int r = sp_record_make(call->api->protocols, &frame, &call->id, changes, n, &call->record);
    return r ? r : sp_trials_check(call->api->history, &call->record->record, call->undo.revision, &call->problems);
}

static int
record(void *aux, uint64_t revision, int64_t now_us, const struct sp_change *changes, size_t n,
       const struct sp_history_record **ret)
{
    struct sp_call *call = aux;
    int r = make_record(call, revision, now_us, changes, n);
    if (!r) {
        sp_history_stage(call->api->history, call->record);
        call->made = revision;
        *ret = &call->record->record;
    }
    return r;
}

/* The first time only finds out whose connections it may cut, unless there are none to be asked for. */
static int
preview(void *aux, const struct sp_change *changes, size_t n)
{
    struct sp_call *call = aux;
    int r = n ? make_record(call, 0, 0, changes, n) : 0;
    if (!r && !call->cuts) {
        call->cuts = sp_cuts_new(call);
        r = call->cuts ? sp_cuts_find(call->cuts, changes, n) : -ENOMEM;
    }
    if (r || sp_cuts_is_waiting(call->cuts)) {
        return r;
    }
    call->preview = sp_json_write_new(false);
    r = sp_cuts_judge(call->cuts, changes, n);
    return r ? r : sp_preview_write(call, call->record ? &call->record->record : NULL, changes, n, call->preview);
}

static bool
judge(void *aux, struct sp_trial_end *ret)
{
    struct sp_call *call = aux;
    return sp_trials_judge(call->api->history, &call->verdict, ret);
}

static void
recorded(void *aux)
{
    struct sp_call *call = aux;
    if (call->record) {
        sp_trials_add(call->api, call->record);
        call->record = NULL;
    }
    sp_trials_settle(call->api, &call->verdict, *call->caller ? call->caller : NULL);
}

static void
answer(struct sp_call *call, const struct sp_outcome *outcome)
{
    const struct sp_operation *operation = call->route->operation;
    struct sp_http_field fields[SP_CALL_FIELDS_MAX];
    size_t n = 0;
    char revision[24], change[24], etag[SP_ETAG_SIZE], location[256];
    snprintf(revision, sizeof revision, "%" PRIu64, outcome->revision);
    fields[n++] = (struct sp_http_field){"Sallyport-Revision", revision};
    fields[n++] = (struct sp_http_field){"Sallyport-Applied", outcome->applied ? "true" : "false"};
    if (call->made) {
        snprintf(change, sizeof change, "%" PRIu64, call->made);
        fields[n++] = (struct sp_http_field){"Sallyport-Change", change};
    }
    if (operation->locate && call->created) {
        operation->locate(call, location, sizeof location);
        fields[n++] = (struct sp_http_field){"Location", location};
    }
    if (!operation->render) {
        sp_call_empty(call, outcome->applied ? 204 : 202, fields, n);
        return;
    }
    const struct sp_group *group = operation->about != SP_ABOUT_OTHER ? sp_model_group(sp_call_model(call), &call->id) : NULL;
    if (group) {
        fields[n++] = (struct sp_http_field){"ETag", sp_call_etag(group, etag)};
    }
    struct sp_render render = {.out = sp_json_write_new(false), .engine = call->api->engine, .protocols = call->api->protocols};
    if (!operation->render(call, &render)) {
        sp_json_write_free(render.out);
        sp_call_refuse_with(call, 404, "The change was made, but a later one has deleted the object.", fields, n);
        return;
    }
    sp_call_json(call, !outcome->applied ? 202 : call->created ? 201 : 200, render.out, fields, n);
}

static void run(struct sp_call *);

/* The connections have been heard, or whatever could be of them. */
static void
look_again(struct sp_call *call, int error)
{
    sp_history_entry_free(call->record);
    sp_json_write_free(call->report);
    call->record = NULL;
    call->report = NULL;
    call->created = false;
    call->verdict = (struct sp_trial_end){0};
    if (error) {
        sp_call_fail(call, error, NULL);
    } else {
        run(call);
    }
}

static void
done(void *aux, const struct sp_outcome *outcome)
{
    struct sp_call *call = aux;
    if (outcome->error) {
        sp_trials_forget(call->api->history, &call->verdict);
        char detail[700];
        if (outcome->why) {
            snprintf(detail, sizeof detail, "The change could not be stored: %s", outcome->why);
        }
        sp_call_fail(call, outcome->error, outcome->why ? detail : NULL);
        return;
    }
    if (call->dry_run && sp_cuts_is_waiting(call->cuts)) {
        sp_cuts_ask(call->cuts, look_again);
        return;
    }
    if (call->dry_run) {
        struct sp_json_write *out = call->preview;
        call->preview = NULL;
        sp_call_json(call, 200, out, NULL, 0);
        return;
    }
    if (outcome->applied) {
        call->api->n_changes_applied++;
    } else {
        call->api->n_changes_unconfirmed++;
    }
    answer(call, outcome);
}

/* Queues the change. */
static void
run(struct sp_call *call)
{
    struct sp_write write = {.stage = stage, .record = record, .judge = judge, .recorded = recorded, .done = done, .aux = call,
                             .wait_ms = call->wait_ms, .preview = call->dry_run ? preview : NULL};
    int r = sp_engine_write(call->api->engine, &write);
    if (r == SP_E_FULL) {
        sp_call_refuse(call, 429, "Too many changes are waiting; try again in a second.");
    } else if (r) {
        sp_call_fail(call, r, NULL);
    }
}

void
sp_write_run(struct sp_call *call)
{
    int r = call->route->operation->decode(call);
    if (r) {
        sp_call_fail(call, r, NULL);
    } else {
        run(call);
    }
}
