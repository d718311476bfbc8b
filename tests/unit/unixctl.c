/* The client of control sockets, against servers on real sockets in the same loop. */

#include "controller/unixctl/unixctl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "controller/unixctl/find.h"

#define N_SERVERS 3
#define PATIENT_MS 30000
#define IMPATIENT_MS 50

static const struct sp_inquiry_port port = {
    .bridge = "br0", .ofport = 1, .mac = {{2, 0, 0, 0, 0, 1}}, .zone = 1, .cookie = 0x5350030000000001ull};

/* What a server says, in order, one text for whatever it hears. */
#define RESULT(ID, TEXT) "{\"id\":" #ID ",\"result\":\"" TEXT "\",\"error\":null}"
#define HERE RESULT(0, " 0. in_port=1, priority 100, cookie 0x5350030000000001\\n")
#define ELSEWHERE "{\"id\":0,\"error\":\"br0: unknown bridge\\n\"}"
#define DATAPATH RESULT(1, "netdev@ovs-netdev\\n")
#define COUNT RESULT(3, "Connections Stats:\\n    Total: 1\\n")
#define DUMP RESULT(4, "udp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=5,dport=6),reply=(),zone=1,mark=9\\n")

struct scene;
struct server {
    struct scene *scene;
    uv_pipe_t listener;
    const char *const *texts; /* NULL at the end: then it closes, or, with 'is_silent', says no more. */
    bool is_silent;
    unsigned n_heard;         /* Requests, of all connections. */
    char method[128];
};
struct connection {
    uv_pipe_t pipe;
    struct server *server;
    const char *const *next;
    char buffer[1024];
};
struct scene {
    uv_loop_t loop;
    char directory[64];
    struct server servers[N_SERVERS];
    size_t n_servers;
    struct sp_unixctl *unixctl;
    unsigned n_done, n_wanted;
    struct sp_unixctl_answer last;
    struct sp_conntrack first;
    char why[300];
};

static void
on_connection_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void
on_server_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct connection *connection = handle->data;
    *ret = uv_buf_init(connection->buffer, sizeof connection->buffer);
}

static void
on_server_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct connection *connection = stream->data;
    const char *text = *connection->next;
    if (n > 0 && text) {
        uv_buf_t out = uv_buf_init((char *) (uintptr_t) text, (unsigned) strlen(text));
        connection->server->n_heard++;
        connection->next++;
        int written = uv_try_write(stream, &out, 1);
        if (written != UV_EPIPE) { /* Who asked may have lost patience meanwhile, and closed. */
            assert_int_equal(written, (int) strlen(text));
        }
    } else if (n < 0 || (n > 0 && !connection->server->is_silent)) {
        uv_close((uv_handle_t *) stream, on_connection_closed);
    }
}

static void
on_server_connection(uv_stream_t *listener, int status)
{
    struct server *server = listener->data;
    struct connection *connection = calloc(1, sizeof *connection);
    assert_non_null(connection);
    connection->server = server;
    connection->next = server->texts;
    uv_pipe_init(&server->scene->loop, &connection->pipe, 0);
    connection->pipe.data = connection;
    assert_int_equal(uv_accept(listener, (uv_stream_t *) &connection->pipe), 0);
    assert_int_equal(uv_read_start((uv_stream_t *) &connection->pipe, on_server_alloc, on_server_read), 0);
}

static void
serve(struct scene *scene, const char *name, const char *const *texts, bool is_silent)
{
    struct server *server = &scene->servers[scene->n_servers++];
    *server = (struct server){.scene = scene, .texts = texts, .is_silent = is_silent};
    snprintf(server->method, sizeof server->method, "unix:%s/%s", scene->directory, name);
    uv_pipe_init(&scene->loop, &server->listener, 0);
    server->listener.data = server;
    assert_int_equal(uv_pipe_bind(&server->listener, server->method + 5), 0);
    assert_int_equal(uv_listen((uv_stream_t *) &server->listener, 16, on_server_connection), 0);
}

static void
know(struct scene *scene, unsigned timeout_ms)
{
    char *methods[N_SERVERS];
    for (size_t i = 0; i < scene->n_servers; i++) {
        methods[i] = scene->servers[i].method;
    }
    scene->unixctl = sp_unixctl_new(&scene->loop, methods, scene->n_servers, timeout_ms);
    assert_non_null(scene->unixctl);
    assert_int_equal(sp_unixctl_count(scene->unixctl), scene->n_servers);
}

static void
on_done(void *aux, const struct sp_unixctl_answer *answer)
{
    struct scene *scene = aux;
    scene->n_done++;
    scene->last = *answer;
    scene->first = answer->n ? answer->connections[0] : (struct sp_conntrack){0};
    snprintf(scene->why, sizeof scene->why, "%s", answer->why);
    if (scene->n_done == scene->n_wanted) {
        uv_stop(&scene->loop);
    }
}

/* Asks 'n' times at once and waits for the answers; the last one is in 'scene'. */
static void
ask(struct scene *scene, unsigned n)
{
    scene->n_done = 0;
    scene->n_wanted = n;
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(sp_unixctl_ask(scene->unixctl, &port, 10, on_done, scene), 0);
    }
    assert_int_equal(scene->n_done, 0);
    uv_run(&scene->loop, UV_RUN_DEFAULT);
    assert_int_equal(scene->n_done, n);
}

static int
set_up(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    if (!scene || uv_loop_init(&scene->loop)) {
        return -1;
    }
    snprintf(scene->directory, sizeof scene->directory, "/tmp/sp-unixctl-XXXXXX");
    *state = scene;
    return mkdtemp(scene->directory) ? 0 : -1;
}

static int
tear_down(void **state)
{
    struct scene *scene = *state;
    char command[100];
    sp_unixctl_close(scene->unixctl);
    for (size_t i = 0; i < scene->n_servers; i++) {
        uv_close((uv_handle_t *) &scene->servers[i].listener, NULL);
    }
    uv_run(&scene->loop, UV_RUN_DEFAULT);
    int r = uv_loop_close(&scene->loop); /* Nothing is left open. */
    snprintf(command, sizeof command, "rm -rf %s", scene->directory);
    r = r ? r : system(command);
    free(scene);
    return r;
}

static const char *const good[] = {HERE, DATAPATH, COUNT, DUMP, NULL};
static const char *const other[] = {ELSEWHERE, NULL};
static const char *const nothing[] = {NULL};

static void
test_answer(void **state)
{
    struct scene *scene = *state;
    serve(scene, "s", good, false);
    know(scene, PATIENT_MS);
    ask(scene, 1);
    assert_int_equal(scene->last.end, SP_UNIXCTL_DONE);
    assert_int_equal(scene->last.n, 1);
    assert_int_equal(scene->first.mark, 9);
    assert_int_equal(scene->servers[0].n_heard, 4);
    ask(scene, SP_UNIXCTL_QUESTIONS_MAX);
    assert_int_equal(scene->last.end, SP_UNIXCTL_DONE);
}

/* Only the switch that shows to be the port's is asked for more than that, wherever it stands among them. */
static void
test_whose_switch(void **state)
{
    struct scene *scene = *state;
    serve(scene, "a", other, false);
    serve(scene, "b", good, false);
    serve(scene, "c", nothing, true);
    know(scene, PATIENT_MS);
    ask(scene, 1);
    assert_int_equal(scene->last.end, SP_UNIXCTL_DONE);
    assert_int_equal(scene->last.n, 1);
    assert_true(scene->servers[0].n_heard <= 1);
}

static void
test_no_switch_of_it(void **state)
{
    struct scene *scene = *state;
    serve(scene, "a", other, false);
    serve(scene, "b", other, false);
    know(scene, PATIENT_MS);
    ask(scene, 1);
    assert_int_equal(scene->last.end, SP_UNIXCTL_STRANGER);
    assert_int_equal(scene->last.n, 0);
}

static void
test_too_many(void **state)
{
    static const char *const texts[] = {HERE, DATAPATH, RESULT(3, "Connections Stats:\\n    Total: 1000000\\n"), NULL};
    struct scene *scene = *state;
    serve(scene, "a", texts, false);
    know(scene, PATIENT_MS);
    ask(scene, 1);
    assert_int_equal(scene->last.end, SP_UNIXCTL_TOO_MANY);
    assert_int_equal(scene->last.n_in_zone, 1000000);
}

/* After hard work nobody is asked for a while, and then again. */
static void
test_rest(void **state)
{
    static const char *const texts[] = {HERE, DATAPATH, RESULT(3, "Connections Stats:\\n    Total: 2500\\n"), DUMP, NULL};
    struct scene *scene = *state;
    int r;
    serve(scene, "a", texts, false);
    know(scene, PATIENT_MS);
    ask(scene, 1);
    assert_int_equal(scene->last.end, SP_UNIXCTL_DONE);
    uint64_t done_ms = uv_now(&scene->loop);
    assert_int_equal(sp_unixctl_ask(scene->unixctl, &port, 10, on_done, scene), SP_E_FULL);
    do {
        uv_update_time(&scene->loop);
        r = sp_unixctl_ask(scene->unixctl, &port, 10, on_done, scene);
    } while (r == SP_E_FULL && uv_now(&scene->loop) < done_ms + PATIENT_MS);
    assert_int_equal(r, 0);
    assert_true(uv_now(&scene->loop) >= done_ms + 2500 * SP_UNIXCTL_REST_US / 1000);
    scene->n_wanted = 2;
    uv_run(&scene->loop, UV_RUN_DEFAULT);
    assert_int_equal(scene->last.end, SP_UNIXCTL_DONE);
}

/* Whoever is patient waits for the end of the rest, unless that is longer than an answer may take. */
static void
test_patience(void **state)
{
    static const char *const texts[] = {HERE, DATAPATH, RESULT(3, "Connections Stats:\\n    Total: 2500\\n"), DUMP, NULL};
    struct scene *scene = *state;
    serve(scene, "a", texts, false);
    know(scene, PATIENT_MS);
    ask(scene, 1);
    uint64_t done_ms = uv_now(&scene->loop);
    for (unsigned i = 0; i < SP_UNIXCTL_QUESTIONS_MAX; i++) {
        assert_int_equal(sp_unixctl_ask_patiently(scene->unixctl, &port, 10, on_done, scene), 0);
    }
    assert_int_equal(sp_unixctl_ask_patiently(scene->unixctl, &port, 10, on_done, scene), SP_E_FULL);
    scene->n_done = 0;
    scene->n_wanted = 1;
    uv_run(&scene->loop, UV_RUN_DEFAULT);
    assert_int_equal(scene->last.end, SP_UNIXCTL_DONE);
    assert_true(uv_now(&scene->loop) >= done_ms + 2500 * SP_UNIXCTL_REST_US / 1000);
    sp_unixctl_close(scene->unixctl); /* Those that still wait are told. */
    assert_int_equal(scene->n_done, SP_UNIXCTL_QUESTIONS_MAX);
    know(scene, IMPATIENT_MS / 2);
    ask(scene, 1);
    if (scene->last.end != SP_UNIXCTL_DONE) {
        return; /* So slow a machine has had no answer in time. */
    }
    scene->n_done = 0;
    assert_int_equal(sp_unixctl_ask_patiently(scene->unixctl, &port, 10, on_done, scene), 0);
    unsigned heard = scene->servers[0].n_heard;
    uv_run(&scene->loop, UV_RUN_DEFAULT);
    assert_int_equal(scene->last.end, SP_UNIXCTL_SILENT);
    assert_int_equal(scene->servers[0].n_heard, heard);
}

/* Closing before an answer, and after each of the others. */
static void
test_a_switch_that_ends(void **state)
{
    static const char *const texts[] = {HERE, DATAPATH, COUNT, NULL};
    struct scene *scene = *state;
    serve(scene, "a", nothing, false);
    serve(scene, "b", texts, false);
    know(scene, PATIENT_MS);
    ask(scene, 1);
    assert_int_equal(scene->last.end, SP_UNIXCTL_FAILED);
    assert_string_equal(scene->why, "the switch closed the connection"); /* The one that was the port's. */
    assert_int_equal(scene->servers[1].n_heard, 3);
}

static void
test_nobody_there(void **state)
{
    struct scene *scene = *state;
    serve(scene, "a", other, false);
    serve(scene, "b", other, false);
    strcat(scene->servers[1].method, "-not");
    know(scene, PATIENT_MS);
    ask(scene, 1);
    assert_int_equal(scene->last.end, SP_UNIXCTL_FAILED); /* That one might be the port's. */
    assert_string_equal(scene->why, "No such file or directory");
}

static void
test_nobody_listens(void **state)
{
    struct scene *scene = *state;
    uv_pipe_t left;
    char path[100];
    serve(scene, "a", good, false);
    snprintf(path, sizeof path, "%s/left", scene->directory);
    uv_pipe_init(&scene->loop, &left, 0);
    assert_int_equal(uv_pipe_bind(&left, path), 0);
    snprintf(scene->servers[0].method, sizeof scene->servers[0].method, "unix:%s", path);
    know(scene, PATIENT_MS);
    ask(scene, 1); /* Bound, but nobody listens. */
    assert_int_equal(scene->last.end, SP_UNIXCTL_FAILED);
    assert_string_equal(scene->why, "connection refused");
    uv_close((uv_handle_t *) &left, NULL);
    uv_run(&scene->loop, UV_RUN_NOWAIT);
}

static void
test_silence(void **state)
{
    static const char *const texts[] = {HERE, DATAPATH, NULL};
    struct scene *scene = *state;
    serve(scene, "a", nothing, true);
    serve(scene, "b", other, false);
    know(scene, IMPATIENT_MS);
    ask(scene, 2);
    assert_int_equal(scene->last.end, SP_UNIXCTL_SILENT);
    assert_string_equal(scene->why, "no answer in 1 s");
    serve(scene, "c", texts, true); /* The port's own falls silent half way. */
    sp_unixctl_close(scene->unixctl);
    know(scene, IMPATIENT_MS);
    ask(scene, 1);
    assert_int_equal(scene->last.end, SP_UNIXCTL_SILENT);
}

static void
test_stopping(void **state)
{
    struct scene *scene = *state;
    serve(scene, "a", nothing, true);
    know(scene, PATIENT_MS);
    scene->n_wanted = 0;
    for (unsigned i = 0; i < SP_UNIXCTL_QUESTIONS_MAX; i++) {
        assert_int_equal(sp_unixctl_ask(scene->unixctl, &port, 10, on_done, scene), 0);
        uv_run(&scene->loop, UV_RUN_NOWAIT); /* Each is at another place of its way. */
    }
    assert_int_equal(sp_unixctl_ask(scene->unixctl, &port, 10, on_done, scene), SP_E_FULL);
    sp_unixctl_close(scene->unixctl);
    assert_int_equal(scene->n_done, SP_UNIXCTL_QUESTIONS_MAX);
    assert_int_equal(scene->last.end, SP_UNIXCTL_STOPPED);
    scene->unixctl = NULL;
}

static void
test_no_sockets(void **state)
{
    struct scene *scene = *state;
    know(scene, PATIENT_MS);
    ask(scene, 1);
    assert_int_equal(scene->last.end, SP_UNIXCTL_STRANGER);
}

/* Finding. */

static void
assert_found(const struct scene *scene, const char *name)
{
    char found[SP_UNIXCTL_PATH_SIZE], why[200], expected[128];
    assert_int_equal(sp_unixctl_find(scene->directory, found, why, sizeof why), 0);
    snprintf(expected, sizeof expected, "%s/%s", scene->directory, name);
    assert_string_equal(found, expected);
}

static void
set_time(const struct scene *scene, const char *name, time_t seconds)
{
    char path[128];
    const struct timespec times[] = {{seconds, 0}, {seconds, 0}};
    snprintf(path, sizeof path, "%s/%s", scene->directory, name);
    assert_int_equal(utimensat(0, path, times, 0), 0);
}

static void
write_pid(const struct scene *scene, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/ovs-vswitchd.pid", scene->directory);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void
test_finding(void **state)
{
    struct scene *scene = *state;
    char found[SP_UNIXCTL_PATH_SIZE] = "", why[200];
    assert_int_equal(sp_unixctl_find(scene->directory, found, why, sizeof why), SP_E_MISSING);
    assert_non_null(strstr(why, "no control socket of ovs-vswitchd is there"));
    serve(scene, "ovsdb-server.1.ctl", other, false);
    assert_int_equal(sp_unixctl_find(scene->directory, found, why, sizeof why), SP_E_MISSING);
    serve(scene, "ovs-vswitchd.10.ctl", other, false);
    serve(scene, "ovs-vswitchd.9.ctl", other, false);
    set_time(scene, "ovs-vswitchd.10.ctl", 1000);
    set_time(scene, "ovs-vswitchd.9.ctl", 2000);
    assert_found(scene, "ovs-vswitchd.9.ctl");
    set_time(scene, "ovs-vswitchd.10.ctl", 3000);
    assert_found(scene, "ovs-vswitchd.10.ctl");
    write_pid(scene, "9\n"); /* Who runs says so. */
    assert_found(scene, "ovs-vswitchd.9.ctl");
    static const char *const odd[] = {"11\n", "9x\n", "\n", "", "../9\n", "99999999999999999999999999999999999999999999999999"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        write_pid(scene, odd[i]);
        assert_found(scene, "ovs-vswitchd.10.ctl");
    }
    assert_int_equal(sp_unixctl_find("/dev/null", found, why, sizeof why), SP_E_MISSING);
    assert_string_equal(why, "not a socket");
}

static void
test_methods(void **state)
{
    char method[SP_UNIXCTL_PATH_SIZE + 10], why[200];
    static const char *const wrong[] = {"", "unix", "unix:", "tcp:127.0.0.1:1", "punix:/a", "/run/openvswitch"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(sp_unixctl_check(wrong[i], why, sizeof why), SP_E_SYNTAX);
    }
    assert_int_equal(sp_unixctl_check("unix:/run/openvswitch", why, sizeof why), 0);
    memset(method, 'x', sizeof method);
    memcpy(method, "unix:", 5);
    method[5 + SP_UNIXCTL_PATH_SIZE - 1] = '\0';
    assert_int_equal(sp_unixctl_check(method, why, sizeof why), 0);
    method[5 + SP_UNIXCTL_PATH_SIZE - 1] = 'x';
    method[5 + SP_UNIXCTL_PATH_SIZE] = '\0';
    assert_int_equal(sp_unixctl_check(method, why, sizeof why), SP_E_SYNTAX);
}

#define SCENE_TEST(F) cmocka_unit_test_setup_teardown(F, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE_TEST(test_answer),       SCENE_TEST(test_whose_switch),       SCENE_TEST(test_no_switch_of_it),
        SCENE_TEST(test_too_many),     SCENE_TEST(test_rest),               SCENE_TEST(test_patience),
        SCENE_TEST(test_a_switch_that_ends),
        SCENE_TEST(test_nobody_there), SCENE_TEST(test_nobody_listens),     SCENE_TEST(test_silence),
        SCENE_TEST(test_stopping),     SCENE_TEST(test_no_sockets),         SCENE_TEST(test_finding),
        cmocka_unit_test(test_methods),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
