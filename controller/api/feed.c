#include "controller/api/feed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "controller/api/route.h"
#include "controller/obs/log.h"

#define ID_SIZE 80               /* Of a region's name, a UUID or a datapath id. */
#define OBJECTS_MAX 100          /* That an event names; whoever needs more reads everything anew. */
#define WAITING_MAX (256u << 10) /* Bytes for a subscriber that does not read; more than the whole history. */

/* An open stream, and whose it is. */
struct sp_reader_stream {
    struct sp_api *api;
    struct sp_reader_stream *prev, *next;
    struct sp_http_stream *stream; /* NULL: not begun. */
    struct sp_subscriber *subscriber;
    const struct sp_token *token; /* NULL: nobody was asked. */
};

static void on_changed(void *aux, uint64_t revision, const struct sp_change *, size_t n);
static void on_bridge(void *aux, const struct sp_bridge_status *);
static void on_blocked(void *aux, const struct sp_uuid *servers, size_t n, bool more);

const struct sp_engine_watch sp_feed_watch = {on_changed, on_bridge, on_blocked};

static int
write_stream(void *sink, const char *text, size_t size)
{
    return sp_http_stream_write(sink, text, size);
}

struct sp_events *
sp_feed_new(void)
{
    uint64_t run;
    if (getrandom(&run, sizeof run, 0) != sizeof run) {
        return NULL;
    }
    return sp_events_new(run, write_stream);
}

/* What a change is about, for a person; false: it is no object that the API shows. */
static bool
name_object(const struct sp_change *change, const char **ret_kind, char id[ID_SIZE], const char **ret_region)
{
    const void *object = change->after ? change->after : change->before;
    *ret_region = NULL;
    if (change->kind == SP_KIND_REGION) {
        *ret_kind = "region";
        snprintf(id, ID_SIZE, "%s", ((const struct sp_region *) object)->name);
        *ret_region = ((const struct sp_region *) object)->name;
    } else if (change->kind == SP_KIND_GROUP) {
        *ret_kind = "security_group";
        sp_uuid_format(&((const struct sp_group *) object)->id, id);
        *ret_region = ((const struct sp_group *) object)->region;
    } else if (change->kind == SP_KIND_SERVER) {
        *ret_kind = "server";
        sp_uuid_format(&((const struct sp_server *) object)->id, id);
        *ret_region = ((const struct sp_server *) object)->region;
    } else if (change->kind == SP_KIND_BRIDGE) {
        *ret_kind = "bridge";
        sp_render_dpid(((const struct sp_bridge *) object)->dpid, id);
    } else {
        return false;
    }
    return true;
}

/* Tells what 'out', which is taken over, says. */
static void
tell(struct sp_events *events, const char *name, struct sp_json_write *out)
{
    const char *text;
    size_t size;
    bool failed = sp_json_write_done(out, &text, &size);
    if (failed) {
        sp_log(SP_LOG_ERROR, "api", "out of memory: an event says only that there was one");
    }
    sp_events_tell(events, failed ? "reset" : name, failed ? "{\"revision\":null}" : text);
    sp_json_write_free(out);
}

static void
on_changed(void *aux, uint64_t revision, const struct sp_change *changes, size_t n)
{
    struct sp_json_write *out = sp_json_write_new(false);
    size_t n_objects = 0;
    sp_json_object_open(out);
    sp_json_key(out, "revision");
    sp_json_integer(out, (int64_t) revision);
    sp_json_key(out, "objects");
    sp_json_array_open(out);
    for (size_t i = 0; i < n; i++) {
        const char *kind, *region;
        char id[ID_SIZE];
        if (!name_object(&changes[i], &kind, id, &region) || n_objects++ >= OBJECTS_MAX) {
            continue;
        }
        sp_json_object_open(out);
        sp_json_text(out, "kind", kind);
        sp_json_text(out, "id", id);
        sp_json_text(out, "region", region);
        sp_json_text(out, "action", !changes[i].before ? "created" : changes[i].after ? "updated" : "deleted");
        sp_json_object_close(out);
    }
    sp_json_array_close(out);
    sp_json_key(out, "more");
    sp_json_bool(out, n_objects > OBJECTS_MAX);
    sp_json_object_close(out);
    tell(aux, "change", out);
}

static void
on_bridge(void *aux, const struct sp_bridge_status *bridge)
{
    struct sp_json_write *out = sp_json_write_new(false);
    char dpid[SP_DPID_TEXT_SIZE];
    sp_json_object_open(out);
    sp_json_text(out, "dpid", sp_render_dpid(bridge->dpid, dpid));
    sp_json_text(out, "name", bridge->name);
    sp_json_key(out, "listed");
    sp_json_bool(out, bridge->adopted || bridge->connected);
    sp_json_key(out, "connected");
    sp_json_bool(out, bridge->connected);
    sp_json_key(out, "pending");
    sp_json_bool(out, bridge->pending);
    sp_json_key(out, "revision");
    sp_json_integer(out, (int64_t) bridge->revision);
    sp_json_message(out, "last_error", bridge->last_error);
    sp_json_object_close(out);
    tell(aux, "bridge", out);
}

void
sp_feed_trial(struct sp_events *events, const struct sp_history_record *record)
{
    struct sp_json_write *out = sp_json_write_new(false);
    sp_json_object_open(out);
    sp_json_key(out, "change");
    sp_json_integer(out, (int64_t) record->revision);
    sp_render_confirmation(out, record);
    sp_json_object_close(out);
    tell(events, "trial", out);
}

/* Without memory it is left out: the list is what counts, and the next one comes. */
static void
on_blocked(void *aux, const struct sp_uuid *servers, size_t n, bool more)
{
    struct sp_json_write *out = sp_json_write_new(false);
    const char *text;
    size_t size;
    sp_json_object_open(out);
    sp_json_key(out, "servers");
    sp_json_array_open(out);
    for (size_t i = 0; i < n; i++) {
        char id[SP_UUID_TEXT_SIZE];
        sp_json_string(out, sp_uuid_format(&servers[i], id));
    }
    sp_json_array_close(out);
    sp_json_key(out, "more");
    sp_json_bool(out, more);
    sp_json_object_close(out);
    if (!sp_json_write_done(out, &text, &size)) {
        sp_events_mention(aux, "blocked", text);
    }
    sp_json_write_free(out);
}

static void
on_ended(void *aux)
{
    struct sp_reader_stream *reader = aux;
    if (reader->prev) {
        reader->prev->next = reader->next;
    } else {
        reader->api->streams = reader->next;
    }
    if (reader->next) {
        reader->next->prev = reader->prev;
    }
    sp_events_leave(reader->subscriber);
    free(reader);
}

void
sp_feed_check_tokens(struct sp_api *api, const struct sp_tokens *tokens)
{
    for (struct sp_reader_stream *reader = api->streams; reader; reader = reader->next) {
        reader->token = reader->token ? sp_tokens_find_same(tokens, reader->token) : NULL;
        if (!reader->token || !sp_token_is_for_all(reader->token)) {
            reader->token = NULL;
            sp_http_stream_end(reader->stream);
        }
    }
}

/* Joins the events for the caller.  Returns 0, SP_E_FULL, or -ENOMEM. */
static int
join(struct sp_call *call, struct sp_reader_stream **ret)
{
    struct sp_api *api = call->api;
    struct sp_reader_stream *reader = calloc(1, sizeof *reader);
    int r = reader ? sp_events_join(api->events, &reader->subscriber) : -ENOMEM;
    if (r) {
        free(reader);
        return r;
    }
    reader->api = api;
    reader->token = call->token;
    reader->next = api->streams;
    if (reader->next) {
        reader->next->prev = reader;
    }
    api->streams = reader;
    *ret = reader;
    return 0;
}

void
sp_read_events(struct sp_call *call)
{
    static const struct sp_http_field fields[] = {{"Cache-Control", "no-store"}, {"X-Content-Type-Options", "nosniff"}};
    static const char type[] = "text/event-stream";
    struct sp_reader_stream *reader;
    if (!strcmp(sp_http_method(call->request), "HEAD")) {
        sp_call_text(call, type, "", 0);
        return;
    }
    int r = join(call, &reader);
    if (r) {
        sp_call_refuse(call, r > 0 ? 429 : 503, r > 0 ? "Too many event streams are open." : "There is no memory.");
        return;
    }
    char *last_id = NULL;
    const char *given = sp_http_header(call->request, "Last-Event-ID");
    if (given && !(last_id = sp_pool_text(&call->pool, given, strlen(given)))) {
        on_ended(reader);
        sp_call_refuse(call, 503, "There is no memory.");
        return;
    }
    struct sp_http_stream_options options = {.idle = ":\n\n", .waiting_max = WAITING_MAX, .ended = on_ended, .aux = reader};
    reader->stream = sp_http_respond_stream(call->request, type, fields, sizeof fields / sizeof *fields, &options);
    if (!reader->stream) {
        on_ended(reader);
        sp_call_refuse(call, 503, "There is no memory.");
        return;
    }
    sp_events_begin(reader->subscriber, reader->stream, last_id, sp_model_counters(sp_call_model(call))->revision);
    sp_call_streaming(call);
}
