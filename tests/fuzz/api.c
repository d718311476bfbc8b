/* The HTTP interface above sockets: requests as text, the whole way through the head's checks, the route, the body, a real engine
 * and its model.
 *
 * An input is requests, one after the other, with a line "====" between them: the request line's method and target, header lines,
 * an empty line, the body.  '@g', '@h' (groups), '@s' (a server), '@p' (its port) and '@r' (a rule of '@g') are replaced by the
 * ids of what is there.  A '#' as the first byte turns tokens on.  After the last request a new engine has to load what
 * the store holds. */

#include <string.h>

#include "controller/api/api.h"
#include "controller/api/reader.h"
#include "controller/http/request.h"
#include "controller/json/json.h"
#include "sallyport/utf8.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/rig.h"
#include "tests/support/world.h"

#define REQUESTS_MAX 16
#define STREAMS_MAX REQUESTS_MAX

static const char tokens[] = "admin-token\n"
                             "reader read * sha256:49117c0502c7582e3285bd7e29ff02cc6ceb3dcc392486d6dfe180294f24f1d7\n"
                             "regional operator SV2 sha256:9507ec42bac088fadcf9f4f0e2186dfa4ce3b447362ee3a29a576b7dbda2a270\n";

struct sp_http_stream {
    struct sp_http_stream_options options;
    size_t size; /* Bytes that wait: nobody reads. */
};

/* What the one input under way has. */
static struct {
    bool is_answered; /* Each request that was handed over. */
    struct sp_http_stream streams[STREAMS_MAX];
    size_t n_streams;
} now;

static void check_body(unsigned status, const char *content_type, const char *body, size_t size)
{
    struct sp_json *value = NULL;
    char why[160];

    if (!content_type || !strstr(content_type, "json")) {
        FUZZ_CHECK(status < 400); /* A problem has its text. */
        return;
    }
    FUZZ_CHECK(!sp_json_parse(body, size, &value, why, sizeof why) && value->type == SP_JSON_OBJECT);
    FUZZ_CHECK((status >= 400) == !strcmp(content_type, "application/problem+json"));
    if (status >= 400) {
        const struct sp_json *told = sp_json_get(value, "status"), *errors = sp_json_get(value, "errors");

        FUZZ_CHECK(told && told->type == SP_JSON_INTEGER && told->integer == status && sp_json_get(value, "detail"));
        FUZZ_CHECK(errors && errors->type == SP_JSON_ARRAY && errors->n <= SP_READER_PROBLEMS_MAX + 64);
        FUZZ_CHECK(status != 422 || errors->n);
    }
    sp_json_free(value);
}

/* The HTTP server's part, in the place of controller/http/server.c. */
void sp_http_respond(struct sp_http_request *request, unsigned status, const char *content_type, const char *body, size_t size,
                     const struct sp_http_field *fields, size_t n_fields)
{
    static const unsigned known[] = {200, 201, 202, 204, 304, 400, 401, 403, 404, 405, 409, 411, 412, 413, 415, 422, 429};
    bool is_known = status == 503 && !strcmp(sp_http_path(request), "/readyz");

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        is_known = is_known || status == known[i];
    }
    FUZZ_CHECK(is_known);
    check_body(status, content_type, body, size);
    for (size_t i = 0; i < n_fields; i++) {
        FUZZ_CHECK(!strpbrk(fields[i].value, "\r\n"));
    }
    FUZZ_CHECK(!now.is_answered);
    now.is_answered = true;
    sp_http_request_free(request);
}

struct sp_http_stream *sp_http_respond_stream(struct sp_http_request *request, const char *content_type,
                                              const struct sp_http_field *fields, size_t n_fields,
                                              const struct sp_http_stream_options *options)
{
    struct sp_http_stream *stream = &now.streams[now.n_streams++];

    FUZZ_CHECK(now.n_streams <= STREAMS_MAX);
    *stream = (struct sp_http_stream) {.options = *options};
    FUZZ_CHECK(!now.is_answered);
    now.is_answered = true;
    sp_http_request_free(request);
    return stream;
}

int sp_http_stream_write(struct sp_http_stream *stream, const char *data, size_t size)
{
    FUZZ_CHECK(data && sp_utf8_is_valid(data, size));
    stream->size += size;
    return stream->size > stream->options.waiting_max ? SP_E_FULL : 0;
}

void sp_http_stream_end(struct sp_http_stream *stream)
{
    FUZZ_CHECK(stream->options.ended);
}

bool sp_http_client(const struct sp_http_request *request, char *out, size_t size)
{
    snprintf(out, size, "192.0.2.1");
    return true;
}

/* What every input begins with, made once. */
static struct {
    struct rig rig;
    char group[SP_UUID_TEXT_SIZE], other[SP_UUID_TEXT_SIZE], server[SP_UUID_TEXT_SIZE], port[SP_UUID_TEXT_SIZE],
        rule[SP_UUID_TEXT_SIZE];
} first;

static void close_first(void)
{
    rig_close(&first.rig);
}

static void make_first(void)
{
    struct sp_uuid group, other, server;
    const struct sp_group *web;

    rig_open(&first.rig);
    rig_apply(&first.rig, &(struct rig_request) {.operation = rig_region, .region = "SV2"});
    rig_apply(&first.rig, &(struct rig_request) {.operation = rig_region, .region = "EU1"});
    group = rig_make_group(&first.rig, "web", 80, 3);
    other = rig_make_group(&first.rig, "db", 5432, 1);
    server = rig_make_server(&first.rig, 1, &group);
    rig_make_server(&first.rig, 2, &other);
    sp_uuid_format(&group, first.group);
    sp_uuid_format(&other, first.other);
    sp_uuid_format(&server, first.server);
    sp_uuid_format(&rig_port_of(&first.rig, &server)->id, first.port);
    web = sp_model_group(sp_engine_model(first.rig.engine), &group);
    sp_uuid_format(&web->rules[0]->id, first.rule);
}

/* 'text' with the ids in their places; the caller's. */
static char *put_ids(const char *text, size_t size, size_t *ret_size)
{
    char *out = malloc(size * SP_UUID_TEXT_SIZE + 1);
    size_t used = 0;

    FUZZ_CHECK(out);
    for (size_t i = 0; i < size; i++) {
        const char *id = text[i] != '@' || i + 1 == size ? NULL
                         : text[i + 1] == 'g' ? first.group
                         : text[i + 1] == 'h' ? first.other
                         : text[i + 1] == 's' ? first.server
                         : text[i + 1] == 'p' ? first.port
                         : text[i + 1] == 'r' ? first.rule : NULL;

        if (id) {
            memcpy(out + used, id, strlen(id));
            used += strlen(id);
            i++;
        } else {
            out[used++] = text[i];
        }
    }
    out[used] = '\0';
    *ret_size = used;
    return out;
}

/* Takes a line off the front of '*text'. */
static char *take_line(char **text, size_t *size, size_t *ret_size)
{
    char *line = *text, *end = memchr(line, '\n', *size);
    size_t taken = end ? (size_t) (end - line) + 1 : *size;

    *ret_size = end ? taken - 1 : taken;
    *text += taken;
    *size -= taken;
    return line;
}

static void ask(struct sp_api *api, char *text, size_t size)
{
    struct sp_http_request *request;
    size_t line_size;
    char *line = take_line(&text, &size, &line_size), *method = strndup(line, line_size);
    char *target = strchr(method, ' ');

    if (!target) {
        free(method); /* No request line: libmicrohttpd's business. */
        return;
    }
    *target++ = '\0';
    request = sp_http_request_new(target);
    FUZZ_CHECK(request);
    while (size && (line = take_line(&text, &size, &line_size)) && line_size) {
        char *colon = memchr(line, ':', line_size), *value;

        if (colon) {
            value = colon + 1 + (colon + 1 < line + line_size && colon[1] == ' ');
            sp_http_request_add_header(request, line, (size_t) (colon - line), value, (size_t) (line + line_size - value));
        }
    }
    if (sp_http_request_check(request, method, "HTTP/1.1").status || sp_http_request_append(request, text, size)) {
        sp_http_request_free(request);
    } else {
        request->length = size; /* What libmicrohttpd hands over. */
        now.is_answered = false;
        sp_api_handle(api, request);
    }
    free(method);
}

/* The loop turns until 'is_done'; without a pause, unlike RIG_UNTIL(): what is waited for needs nobody else. */
static void turn(struct rig *rig, const bool *is_done)
{
    uint64_t begin = uv_hrtime();

    while (!*is_done) {
        uv_run(&rig->loop, UV_RUN_NOWAIT);
        FUZZ_CHECK(uv_hrtime() - begin < 10000000000ull);
    }
}

static void on_stopped(void *is_stopped)
{
    *(bool *) is_stopped = true;
}

static void stop(struct rig *rig)
{
    bool is_stopped = false;

    sp_engine_stop(rig->engine, on_stopped, &is_stopped);
    turn(rig, &is_stopped);
    rig->engine = NULL;
}

static void run(bool has_tokens, char *text, size_t size)
{
    static struct rig rig;
    struct sp_tokens *all = NULL;
    struct sp_api *api;
    char why[160];

    rig_open_like(&rig, &first.rig);
    FUZZ_CHECK(!has_tokens || !sp_tokens_parse(tokens, strlen(tokens), &all, why, sizeof why));
    api = sp_api_new(rig.engine, all);
    FUZZ_CHECK(api);
    sp_api_ready(api);
    for (unsigned i = 0; i < REQUESTS_MAX && size; i++) {
        char *end = memmem(text, size, "\n====\n", 6);
        size_t taken = end ? (size_t) (end - text) : size;

        ask(api, text, taken);
        turn(&rig, &now.is_answered);
        taken += end ? 6 : 0;
        text += taken;
        size -= taken;
    }
    sp_api_stop(api);
    for (size_t i = 0; i < now.n_streams; i++) {
        now.streams[i].options.ended(now.streams[i].options.aux);
    }
    stop(&rig);
    rig_start(&rig);
    stop(&rig);
    rig_close(&rig);
    sp_api_free(api);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool has_tokens = size && data[0] == '#';
    char *text;

    if (!first.rig.engine) {
        make_first();
        atexit(close_first);
    }
    memset(&now, 0, sizeof now);
    now.is_answered = true;
    text = put_ids((const char *) data + has_tokens, size - has_tokens, &size);
    run(has_tokens, text, size);
    free(text);
    return 0;
}
