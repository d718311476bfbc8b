/* How changes are answered when the queue is full, the store fails, or another change of the same commit was there first.
 *
 * The engine is real, its store does what a test says; the HTTP server is this file's own and keeps the last answer of each
 * request.  What needs no such store is tested over HTTP in tests/api. */

#include "controller/api/api.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/rig.h"

struct sp_http_request {
    const char *method;
    const char *path;
    const char *body;
    unsigned status; /* 0: not answered. */
    char answer[4096];
    char fields[1024]; /* "Name: value\n"... */
};

const char *
sp_http_method(const struct sp_http_request *request)
{
    return request->method;
}

const char *
sp_http_path(const struct sp_http_request *request)
{
    return request->path;
}

const char *
sp_http_query_key(const struct sp_http_request *request, size_t index)
{
    return NULL;
}

const char *
sp_http_query_value(const struct sp_http_request *request, size_t index)
{
    return NULL;
}

const char *
sp_http_header(const struct sp_http_request *request, const char *name)
{
    return request->body && !strcasecmp(name, "Content-Type") ? "application/json" : NULL;
}

const char *
sp_http_body(const struct sp_http_request *request, size_t *ret_size)
{
    *ret_size = request->body ? strlen(request->body) : 0;
    return request->body ? request->body : "";
}

bool
sp_http_has_body(const struct sp_http_request *request)
{
    return request->body;
}

void
sp_http_respond(struct sp_http_request *request, unsigned status, const char *content_type, const char *body, size_t size,
                const struct sp_http_field *fields, size_t n_fields)
{
    assert_int_equal(request->status, 0);
    request->status = status;
    snprintf(request->answer, sizeof request->answer, "%.*s", (int) size, body ? body : "");
    for (size_t i = 0; i < n_fields; i++) {
        size_t len = strlen(request->fields);
        snprintf(request->fields + len, sizeof request->fields - len, "%s: %s\n", fields[i].name, fields[i].value);
    }
}

/* Nothing here asks for a stream, or whose the connection is. */
struct sp_http_stream *
sp_http_respond_stream(struct sp_http_request *request, const char *content_type, const struct sp_http_field *fields,
                       size_t n_fields, const struct sp_http_stream_options *options)
{
    fail_msg("a stream for %s", request->path);
    return NULL;
}

int
sp_http_stream_write(struct sp_http_stream *stream, const char *data, size_t size)
{
    fail_msg("a stream of nobody");
    return -EINVAL;
}

void
sp_http_stream_end(struct sp_http_stream *stream)
{
}

bool
sp_http_client(const struct sp_http_request *request, char *out, size_t size)
{
    fail_msg("whose is %s?", request->path);
    return false;
}

struct world {
    struct rig rig;
    struct sp_api *api;
};

static int
set_up(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    *state = world;
    assert_non_null(world);
    rig_open(&world->rig);
    world->api = sp_api_new(world->rig.engine, NULL);
    assert_non_null(world->api);
    sp_api_ready(world->api);
    return 0;
}

static int
tear_down(void **state)
{
    struct world *world = *state;
    rig_close(&world->rig);
    sp_api_free(world->api);
    free(world);
    return 0;
}

/* Hands a request in; 'body' may be NULL. */
static void
ask(struct world *world, struct sp_http_request *request, const char *method, const char *path, const char *body)
{
    *request = (struct sp_http_request){.method = method, .path = path, .body = body};
    sp_api_handle(world->api, request);
}

static void
await(struct world *world, struct sp_http_request *request, unsigned status)
{
    RIG_UNTIL(&world->rig, request->status);
    if (request->status != status) {
        fail_msg("%s %s: %u, not %u: %s", request->method, request->path, request->status, status, request->answer);
    }
}

static void
assert_has(const char *text, const char *words)
{
    if (!strstr(text, words)) {
        fail_msg("'%s' is not in: %s", words, text);
    }
}

static void
test_queue_is_full(void **state)
{
    struct world *world = *state;
    size_t n = SP_ENGINE_WRITES_MAX + 1;
    struct sp_http_request *requests = calloc(n, sizeof *requests), last;
    assert_non_null(requests);
    world->rig.store.hold = true;
    ask(world, &requests[0], "PUT", "/v1/regions/A", NULL);
    RIG_UNTIL(&world->rig, world->rig.store.n_commits == 1);
    for (size_t i = 1; i < n; i++) {
        ask(world, &requests[i], "PUT", "/v1/regions/B", NULL);
        assert_int_equal(requests[i].status, 0);
    }
    ask(world, &last, "PUT", "/v1/regions/C", NULL);
    assert_int_equal(last.status, 429);
    assert_has(last.fields, "Retry-After: ");
    ask(world, &last, "GET", "/v1/regions", NULL);
    assert_int_equal(last.status, 200);
    assert_has(last.answer, "[]"); /* Nothing is durable yet. */
    world->rig.store.hold = false;
    rig_store_go(&world->rig);
    await(world, &requests[0], 201);
    await(world, &requests[1], 201);
    for (size_t i = 2; i < n; i++) {
        await(world, &requests[i], 200);
    }
    free(requests);
    ask(world, &last, "GET", "/v1/regions/C", NULL);
    assert_int_equal(last.status, 404);
}

static void
test_store_fails(void **state)
{
    struct world *world = *state;
    struct sp_http_request request;
    world->rig.store.fail = -ENOSPC;
    ask(world, &request, "PUT", "/v1/regions/A", NULL);
    assert_int_equal(request.status, 0);
    await(world, &request, 503);
    assert_has(request.fields, "Retry-After: ");
    assert_has(request.answer, "could not be stored");
    assert_null(strstr(request.fields, "Sallyport-Applied"));
    ask(world, &request, "GET", "/v1/regions/A", NULL);
    assert_int_equal(request.status, 404);
    world->rig.store.fail = 0;
    ask(world, &request, "PUT", "/v1/regions/A", NULL);
    await(world, &request, 201);
    assert_has(request.fields, "Sallyport-Revision: 1\n");
    assert_has(request.fields, "Sallyport-Applied: true\n");
    assert_has(request.fields, "Location: /v1/regions/A\n");
}

/* Both are in one commit: what the first made is gone when it is answered. */
static void
test_deleted_meanwhile(void **state)
{
    struct world *world = *state;
    struct sp_http_request create, delete;
    ask(world, &create, "PUT", "/v1/regions/A", NULL);
    ask(world, &delete, "DELETE", "/v1/regions/A", NULL);
    await(world, &create, 404);
    await(world, &delete, 204);
    assert_has(create.answer, "a later one has deleted");
    assert_has(create.fields, "Sallyport-Revision: ");
    assert_string_equal(delete.answer, "");
}

/* What was right when a request came in may be wrong when its turn comes. */
static void
test_refused_by_its_turn(void **state)
{
    struct world *world = *state;
    struct sp_http_request region, group, other, delete;
    ask(world, &region, "PUT", "/v1/regions/A", NULL);
    await(world, &region, 201);
    ask(world, &delete, "DELETE", "/v1/regions/A", NULL);
    ask(world, &group, "POST", "/v1/security-groups", "{\"region\":\"A\",\"name\":\"g\"}");
    ask(world, &other, "DELETE", "/v1/regions/A", NULL);
    await(world, &delete, 204);
    await(world, &group, 422);
    assert_has(group.answer, "\"field\":\"region\"");
    await(world, &other, 404);
}

static void
test_stop(void **state)
{
    struct world *world = *state;
    struct sp_http_request change, request;
    world->rig.store.hold = true;
    ask(world, &change, "PUT", "/v1/regions/A", NULL);
    RIG_UNTIL(&world->rig, world->rig.store.n_commits == 1);
    sp_api_stop(world->api);
    static const char *const paths[] = {"/v1/regions", "/v1/status", "/metrics", "/readyz"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        ask(world, &request, "GET", paths[i], NULL);
        assert_int_equal(request.status, 503);
    }
    ask(world, &request, "PUT", "/v1/regions/B", NULL);
    assert_int_equal(request.status, 503);
    ask(world, &request, "GET", "/healthz", NULL);
    assert_int_equal(request.status, 200);
    world->rig.store.hold = false;
    rig_store_go(&world->rig);
    await(world, &change, 201); /* What was accepted before is answered as ever. */
}

static void
test_not_ready(void **state)
{
    struct world *world = *state;
    struct sp_api *api = sp_api_new(world->rig.engine, NULL);
    assert_non_null(api);
    struct sp_http_request request = {.method = "GET", .path = "/readyz"};
    sp_api_handle(api, &request);
    assert_int_equal(request.status, 503);
    sp_api_free(api);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_queue_is_full, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_store_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_deleted_meanwhile, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused_by_its_turn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stop, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_not_ready, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("api_write", tests, NULL, NULL);
}
