#include "controller/api/api.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/api/access.h"
#include "controller/api/call.h"
#include "controller/api/route.h"
#include "controller/api/trials.h"

#define WAIT_DEFAULT_S 5
#define WAIT_MAX_S 60
#define CONFIRM_MAX_S 3600
#define BODY_VALUES_MAX (1u << 17) /* A list of the shortest rules that fills a body has fewer. */

struct sp_api *
sp_api_new(struct sp_engine *engine, struct sp_tokens *tokens)
{
    struct sp_api *api = calloc(1, sizeof *api);
    struct sp_protocols *protocols = sp_protocols_new();
    struct sp_events *events = sp_feed_new();
    struct sp_history *history = sp_history_new();
    if (!api || !protocols || !events || !history) {
        sp_history_free(history);
        sp_events_free(events);
        sp_protocols_free(protocols);
        free(api);
        return NULL;
    }
    api->engine = engine;
    api->protocols = protocols;
    api->tokens = tokens;
    api->events = events;
    api->history = history;
    sp_engine_set_watch(engine, &sp_feed_watch, events);
    return api;
}

static int
receive_record(void *aux, const struct sp_history_record *record)
{
    struct sp_api *api = aux;
    struct sp_history_entry *entry = sp_history_entry_new(record);
    if (!entry) {
        return -ENOMEM;
    }
    sp_history_add(api->history, entry);
    return 0;
}

int
sp_api_load(struct sp_api *api, char *why, size_t why_size)
{
    snprintf(why, why_size, "out of memory");
    int r = sp_engine_load_history(api->engine, receive_record, api, why, why_size);
    if (!r) {
        sp_trials_run(api); /* Before anybody asks, what was due while nobody was there. */
        sp_engine_set_tick(api->engine, sp_trials_run, api);
    }
    return r;
}

void
sp_api_free(struct sp_api *api)
{
    if (api) {
        sp_history_free(api->history);
        sp_events_free(api->events);
        sp_protocols_free(api->protocols);
        sp_tokens_free(api->tokens);
        free(api);
    }
}

void
sp_api_set_tokens(struct sp_api *api, struct sp_tokens *tokens)
{
    sp_feed_check_tokens(api, tokens);
    sp_tokens_free(api->tokens);
    api->tokens = tokens;
}

void
sp_api_set_unixctl(struct sp_api *api, struct sp_unixctl *unixctl)
{
    api->unixctl = unixctl;
}

void
sp_api_ready(struct sp_api *api)
{
    api->is_ready = true;
}

void
sp_api_stop(struct sp_api *api)
{
    api->is_ready = false;
    api->is_stopping = true;
    sp_engine_set_watch(api->engine, NULL, NULL);
    sp_engine_set_tick(api->engine, NULL, NULL);
}

/* Finds out whose call it is.  Returns whether somebody is there who may call at all. */
static bool
identify(struct sp_call *call)
{
    if (!call->api->tokens || (call->route && call->route->is_open)) {
        return true;
    }
    call->token = sp_tokens_find(call->api->tokens, sp_http_header(call->request, "Authorization"));
    if (call->token) {
        snprintf(call->caller, sizeof call->caller, "%s", sp_token_name(call->token));
    }
    return call->token;
}

/* A number of 'min' to 'max', of at most four digits. */
static bool
parse_seconds(const char *text, int min, int max, unsigned *ret)
{
    size_t len = strspn(text, "0123456789");
    long value = len && len <= 4 && !text[len] ? strtol(text, NULL, 10) : -1;
    if (value < min || value > max) {
        return false;
    }
    *ret = (unsigned) value;
    return true;
}

static bool
parse_bool(const char *text, bool *ret)
{
    *ret = !strcmp(text, "true");
    return *ret || !strcmp(text, "false");
}

/* Notes down parameters that the route does not have, that come twice, or that are wrong. */
static void
check_query(struct sp_call *call)
{
    unsigned wait_s = WAIT_DEFAULT_S;
    const char *key;
    for (size_t i = 0; (key = sp_http_query_key(call->request, i)); i++) {
        bool is_known = false, is_twice = false;
        for (const char *const *p = call->route->parameters; *p; p++) {
            is_known |= !strcmp(key, *p);
        }
        for (size_t j = 0; j < i && is_known; j++) {
            is_twice |= !strcmp(key, sp_http_query_key(call->request, j));
        }
        char field[80];
        snprintf(field, sizeof field, "?%s", strlen(key) <= 64 ? key : "");
        if (!is_known) {
            sp_problems_add(&call->problems, field, "is not a query parameter of this call");
        } else if (is_twice) {
            sp_problems_add(&call->problems, field, "is given twice");
        } else if (!strcmp(key, "dry_run") && !parse_bool(sp_http_query_value(call->request, i), &call->dry_run)) {
            sp_problems_add(&call->problems, field, "must be true or false");
        } else if (!strcmp(key, "confirm_within") &&
                   !parse_seconds(sp_http_query_value(call->request, i), 1, CONFIRM_MAX_S, &call->confirm_within_s)) {
            sp_problems_add(&call->problems, field, "must be 1 to %d seconds", CONFIRM_MAX_S);
        } else if (!strcmp(key, "wait") && !parse_seconds(sp_http_query_value(call->request, i), 0, WAIT_MAX_S, &wait_s)) {
            sp_problems_add(&call->problems, field, "must be 0 to %d seconds", WAIT_MAX_S);
        }
    }
    call->wait_ms = wait_s * 1000;
}

/* Whether 'type' is application/json, in UTF-8 where it says so.  Source: RFC 9110 section 8.3.1, RFC 8259 section 11. */
static bool
is_json_type(const char *type)
{
    static const char json[] = "application/json";
    if (!type || strncasecmp(type, json, sizeof json - 1)) {
        return false;
    }
    const char *rest = type + sizeof json - 1;
    rest += strspn(rest, " \t");
    if (*rest == ';') {
        const char *charset = strcasestr(rest, "charset=");
        charset = charset ? charset + strlen("charset=") : NULL;
        return !charset || !strncasecmp(charset, "utf-8", 5) || !strncasecmp(charset, "\"utf-8\"", 7);
    }
    return !*rest;
}

/* Parses the body, if any.  Answers and returns false if it is not what the route takes. */
static bool
take_body(struct sp_call *call)
{
    size_t size;
    const char *text = sp_http_body(call->request, &size);
    if (!size) {
        if (call->route->body == SP_BODY_OPTIONAL) {
            return true;
        }
        bool is_framed = sp_http_header(call->request, "Content-Length") || sp_http_header(call->request, "Transfer-Encoding");
        sp_call_refuse(call, is_framed ? 400 : 411,
                       is_framed ? "The body is empty; a JSON object is wanted."
                                 : "This call needs a body, and its Content-Length.");
        return false;
    }
    if (!is_json_type(sp_http_header(call->request, "Content-Type"))) {
        sp_call_refuse(call, 415, "The Content-Type of a body must be application/json.");
        return false;
    }
    char why[200], detail[300];
    int r = sp_json_parse_bounded(text, size, BODY_VALUES_MAX, &call->body, why, sizeof why);
    if (r) {
        snprintf(detail, sizeof detail, "The body is not JSON: %s", r > 0 ? why : "no memory");
        sp_call_refuse(call, r > 0 ? 400 : 503, detail);
        return false;
    }
    return true;
}

static void
refuse_method(struct sp_call *call)
{
    char allow[SP_ROUTE_ALLOW_SIZE];
    sp_route_allow(call, allow);
    const struct sp_http_field field = {"Allow", allow};
    sp_call_refuse_with(call, 405, "This path does not take this method.", &field, 1);
}

/* Answers and returns false if the request goes no further. */
static bool
admit(struct sp_call *call)
{
    int r = sp_route_find(call);
    if (!identify(call)) {
        const struct sp_http_field field = {"WWW-Authenticate", "Bearer"};
        sp_call_refuse_with(call, 401, "A token is needed: Authorization: Bearer TOKEN.", &field, 1);
        return false;
    }
    if (r == SP_E_EXISTS) {
        refuse_method(call);
        return false;
    }
    if (r && r != SP_E_INVALID) {
        sp_call_fail(call, r, call->route ? NULL : "There is no such path.");
        return false;
    }
    char why[160];
    int refused = sp_access_check(call, why, sizeof why);
    if (refused) {
        sp_call_refuse(call, refused == SP_E_MISSING ? 404 : 403, why);
        return false;
    }
    check_query(call);
    if (call->problems.n || call->problems.n_lost) {
        sp_call_refuse(call, 422, NULL);
        return false;
    }
    return true;
}

void
sp_api_handle(void *aux, struct sp_http_request *request)
{
    struct sp_api *api = aux;
    struct sp_call *call = sp_call_new(api, request);
    if (!call || !admit(call)) {
        return;
    }
    if (api->is_stopping && call->route->read != sp_read_health && call->route->read != sp_read_ready) {
        sp_call_refuse(call, 503, "The controller is stopping.");
        return;
    }
    if (!take_body(call)) {
        return;
    }
    char why[160];
    if (sp_access_check_body(call, why, sizeof why)) {
        sp_call_refuse(call, 403, why);
        return;
    }
    if (call->route->operation) {
        sp_write_run(call);
        return;
    }
    struct sp_decode decode = sp_call_decode(call);
    if (call->route->body == SP_BODY_OPTIONAL && sp_decode_nothing(&decode, call->body)) {
        sp_call_refuse(call, 422, NULL);
        return;
    }
    int64_t begin_us = sp_histogram_clock_us();
    call->route->read(call); /* Which frees it. */
    sp_histogram_add_since(&api->read_time, begin_us);
}
