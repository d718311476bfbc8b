#include "controller/api/call.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/api/cuts.h"
#include "controller/api/route.h"
#include "controller/obs/log.h"

/* What a status is called.  Source: RFC 9110 section 15, RFC 6585 section 4. */
static const struct {
    unsigned status;
    const char *title;
} titles[] = {
    {400, "Bad Request"},           {401, "Unauthorized"},      {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},    {409, "Conflict"},          {411, "Length Required"},
    {412, "Precondition Failed"},   {413, "Content Too Large"}, {415, "Unsupported Media Type"},
    {422, "Unprocessable Content"}, {429, "Too Many Requests"}, {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
};

/* The status of what a function returned; negative errno values are 503. */
static const struct {
    int error;
    unsigned status;
    const char *detail;
} refusals[] = {
    {SP_E_INVALID, 422, NULL},
    {SP_E_MISSING, 404, NULL}, /* See describe_missing(). */
    {SP_E_IN_USE, 409, "The object is in use."},
    {SP_E_EXISTS, 409, "Another object says the same already."},
    {SP_E_STALE, 412, "If-Match names another revision than the current one."},
    {SP_E_FULL, 503, "Sallyport's numbers for new objects have run out."},
    {SP_E_CLOSED, 503, "The controller is stopping."},
};

struct sp_call *
sp_call_new(struct sp_api *api, struct sp_http_request *request)
{
    struct sp_call *call = calloc(1, sizeof *call);
    if (!call) {
        sp_http_respond(request, 503, NULL, NULL, 0, NULL, 0);
        return NULL;
    }
    call->api = api;
    call->request = request;
    sp_problems_init(&call->problems);
    return call;
}

static void
free_call(struct sp_call *call)
{
    sp_history_entry_free(call->record);
    sp_json_write_free(call->preview);
    sp_cuts_free(call->cuts);
    sp_json_free(call->body);
    sp_json_write_free(call->report);
    sp_problems_clear(&call->problems);
    sp_pool_clear(&call->pool);
    free(call);
}

const struct sp_model *
sp_call_model(const struct sp_call *call)
{
    return sp_engine_model(call->api->engine);
}

struct sp_decode
sp_call_decode(struct sp_call *call)
{
    return (struct sp_decode){
        .protocols = call->api->protocols, .model = sp_call_model(call), .problems = &call->problems, .pool = &call->pool};
}

const char *
sp_call_parameter(const struct sp_call *call, const char *name)
{
    const char *key;
    for (size_t i = 0; (key = sp_http_query_key(call->request, i)); i++) {
        if (!strcmp(key, name)) {
            return sp_http_query_value(call->request, i);
        }
    }
    return NULL;
}

const char *
sp_call_etag(const struct sp_group *group, char *out)
{
    snprintf(out, SP_ETAG_SIZE, "\"%" PRIu64 "\"", group->revision);
    return out;
}

static void
count(struct sp_call *call, unsigned status)
{
    if (status >= SP_STATUS_MIN && status <= SP_STATUS_MAX) {
        call->api->n_answers[status - SP_STATUS_MIN]++;
    }
}

static void
respond(struct sp_call *call, unsigned status, const char *content_type, const char *body, size_t size,
        const struct sp_http_field *fields, size_t n)
{
    count(call, status);
    sp_log(SP_LOG_DEBUG, "api", "%s %s: %u%s%s", sp_http_method(call->request), sp_http_path(call->request), status,
           call->caller[0] ? ", by " : "", call->caller);
    sp_http_respond(call->request, status, content_type, body, size, fields, n);
    free_call(call);
}

void
sp_call_empty(struct sp_call *call, unsigned status, const struct sp_http_field *fields, size_t n)
{
    respond(call, status, NULL, NULL, 0, fields, n);
}

void
sp_call_file(struct sp_call *call, unsigned status, const char *content_type, const char *data, size_t size,
             const struct sp_http_field *fields, size_t n)
{
    respond(call, status, content_type, data, size, fields, n);
}

void
sp_call_streaming(struct sp_call *call)
{
    count(call, 200);
    free_call(call);
}

void
sp_call_text(struct sp_call *call, const char *content_type, const char *text, size_t size)
{
    respond(call, 200, content_type, text, size, NULL, 0);
}

/* Takes over 'out'.  An answer that cannot be written is 503: of a change too, which its reader then has to look up. */
static void
respond_json(struct sp_call *call, unsigned status, const char *content_type, struct sp_json_write *out,
             const struct sp_http_field *fields, size_t n)
{
    const char *text;
    size_t size;
    if (!out || sp_json_write_done(out, &text, &size)) {
        respond(call, 503, NULL, NULL, 0, fields, n);
    } else {
        respond(call, status, content_type, text, size, fields, n);
    }
    sp_json_write_free(out);
}

void
sp_call_json(struct sp_call *call, unsigned status, struct sp_json_write *out, const struct sp_http_field *fields, size_t n)
{
    respond_json(call, status, "application/json", out, fields, n);
}

static void
put_errors(struct sp_json_write *out, const struct sp_problems *problems)
{
    sp_json_key(out, "errors");
    sp_json_array_open(out);
    for (size_t i = 0; i < problems->n; i++) {
        sp_json_object_open(out);
        sp_json_text(out, "field", problems->problems[i].field);
        sp_json_text(out, "message", problems->problems[i].message);
        sp_json_object_close(out);
    }
    sp_json_array_close(out);
}

static void
put_holders(struct sp_json_write *out, const struct sp_problems *problems)
{
    sp_json_key(out, "in_use_by");
    sp_json_array_open(out);
    for (size_t i = 0; i < problems->n_holders; i++) {
        const struct sp_holder *holder = &problems->holders[i];
        char id[SP_UUID_TEXT_SIZE];
        sp_json_object_open(out);
        sp_json_text(out, "type", holder->type);
        sp_json_text(out, "id", sp_uuid_format(&holder->id, id));
        sp_json_text(out, "name", holder->name);
        sp_json_object_close(out);
    }
    sp_json_array_close(out);
}

/* One sentence about the whole. */
static const char *
describe(const struct sp_problems *problems, const char *detail, char *out, size_t size)
{
    if (problems->detail || detail) {
        return problems->detail ? problems->detail : detail;
    }
    if (problems->n == 1) {
        const struct sp_problem *problem = &problems->problems[0];
        snprintf(out, size, "%s%s %s.", *problem->field ? problem->field : "The body", *problem->field ? ":" : "",
                 problem->message);
        return out;
    }
    snprintf(out, size, "%s%zu values are wrong.", problems->n < SP_READER_PROBLEMS_MAX ? "" : "At least ", problems->n);
    return out;
}

void
sp_call_refuse_with(struct sp_call *call, unsigned status, const char *detail, const struct sp_http_field *fields, size_t n)
{
    const char *title = "Error";
    for (size_t i = 0; i < sizeof titles / sizeof *titles; i++) {
        title = titles[i].status == status ? titles[i].title : title;
    }
    char text[768];
    struct sp_json_write *out = sp_json_write_new(false);
    sp_json_object_open(out);
    sp_json_text(out, "type", "about:blank");
    sp_json_text(out, "title", title);
    sp_json_key(out, "status");
    sp_json_integer(out, status);
    sp_json_message(out, "detail", describe(&call->problems, detail, text, sizeof text));
    put_errors(out, &call->problems);
    if (status == 409) {
        put_holders(out, &call->problems);
    }
    sp_json_object_close(out);
    respond_json(call, status, "application/problem+json", out, fields, n);
}

void
sp_call_refuse(struct sp_call *call, unsigned status, const char *detail)
{
    const struct sp_http_field retry = {"Retry-After", "1"};
    sp_call_refuse_with(call, status, detail, &retry, status == 429 || status == 503);
}

/* What of the path there is not. */
static const char *
describe_missing(const struct sp_call *call)
{
    const char *pattern = call->route->pattern;
    if (strstr(pattern, "{rule}") && sp_model_group(sp_call_model(call), &call->id)) {
        return "The security group has no such rule.";
    }
    return strstr(pattern, "{group}")    ? "There is no such security group."
           : strstr(pattern, "{server}") ? "There is no such server."
           : strstr(pattern, "{region}") ? "There is no such region."
           : strstr(pattern, "{change}") ? "There is no such change in the history."
                                         : "There is no such bridge.";
}

void
sp_call_fail(struct sp_call *call, int error, const char *detail)
{
    if (error == SP_E_MISSING && !detail) {
        detail = describe_missing(call);
    }
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        if (refusals[i].error == error) {
            sp_call_refuse(call, refusals[i].status, detail ? detail : refusals[i].detail);
            return;
        }
    }
    char text[160];
    snprintf(text, sizeof text, "The change could not be stored: %s.", strerror(-error));
    sp_call_refuse(call, 503, detail ? detail : text);
}
