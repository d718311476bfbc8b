/* A link to a switch whose bytes are there, but have no time to be read; and one that ends before its owner knows. */

#include "controller/switch_link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#include "controller/io/stream.h"
#include "sallyport/pipeline.h"
#include "tests/support/fake_switch.h"
#include "tests/support/skewed_clock.h"

#define DEADLINE_MS 60000
#define BUSY_MS 3 /* More than streams have in a turn. */

struct scene {
    uv_loop_t loop;
    struct sp_stream_share share;
    struct sp_stream *stream, *other;
    struct sp_link *link;
    int fd, other_fd; /* The peers' ends. */
    struct fake_switch fs;
    uint64_t begun_ms;
    bool ready, closed, other_closed;
    unsigned n_dumps;
};

static void on_event(void *aux, struct sp_link *link, struct sp_event *event)
{
    struct scene *scene = aux;

    scene->ready = scene->ready || event->kind == SP_EVENT_PORTS_DONE;
    scene->n_dumps += event->kind == SP_EVENT_DUMP_DONE;
    sp_flow_unref(event->flow);
}

static void on_closed(void *aux, struct sp_link *link)
{
    struct scene *scene = aux;

    scene->closed = true;
}

/* What the other one says takes all the time that there is. */
static void receive(void *aux, const void *data, size_t size)
{
    uint64_t begin_ms = now_ms();

    while (now_ms() < begin_ms + BUSY_MS) {
        continue;
    }
}

static void writable(void *aux)
{
}

static void other_closed(void *aux, const char *why)
{
    struct scene *scene = aux;

    scene->other_closed = true;
}

static void released(void *aux, struct sp_stream *stream, const char *why)
{
}

static const struct sp_link_events link_events = {on_event, on_closed};
static const struct sp_stream_events other_events = {receive, writable, other_closed};
static const struct sp_stream_maker maker = {NULL, released};

/* One turn of the loop. */
static void turn(struct scene *scene)
{
    assert_true(now_ms() < scene->begun_ms + DEADLINE_MS);
    uv_run(&scene->loop, UV_RUN_NOWAIT);
}

/* The switch reads what there is, and says what it has to. */
static void serve(struct scene *scene)
{
    uint8_t buffer[65536];
    ssize_t n;

    while ((n = read(scene->fd, buffer, sizeof buffer)) > 0) {
        fake_switch_receive(&scene->fs, buffer, (size_t) n);
    }
    while ((n = (ssize_t) fake_switch_output(&scene->fs, buffer, sizeof buffer)) > 0) {
        assert_int_equal(write(scene->fd, buffer, (size_t) n), n);
    }
}

static struct sp_stream *open_stream(struct scene *scene, int *ret_fd)
{
    struct sp_stream *stream;
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(sp_stream_open(&scene->loop, fds[0], true, NULL, "", &scene->share, &maker, scene, &stream), 0);
    *ret_fd = fds[1];
    return stream;
}

static void open_scene(struct scene *scene)
{
    *scene = (struct scene){.begun_ms = now_ms()};
    assert_int_equal(uv_loop_init(&scene->loop), 0);
    scene->other = open_stream(scene, &scene->other_fd);
    sp_stream_start(scene->other, &other_events, scene);
    sp_stream_prefer(scene->other);
    sp_stream_begin(scene->other);
    scene->stream = open_stream(scene, &scene->fd);
    scene->link = sp_link_new(&scene->loop, scene->stream, "", &link_events, scene);
    assert_non_null(scene->link);
    sp_stream_begin(scene->stream);
    fake_switch_init(&scene->fs, 1, 1);
    while (!scene->ready) {
        turn(scene);
        serve(scene);
    }
}

static void close_scene(struct scene *scene)
{
    sp_link_close(scene->link, "");
    sp_stream_close(scene->other, "");
    uv_run(&scene->loop, UV_RUN_DEFAULT);
    assert_true(scene->closed && scene->other_closed);
    sp_link_free(scene->link);
    fake_switch_clear(&scene->fs);
    close(scene->fd);
    close(scene->other_fd);
    assert_int_equal(uv_loop_close(&scene->loop), 0);
}

/* Dumps until an answer is there that waits behind the other one's words. */
static void fall_behind(struct scene *scene)
{
    while (!sp_link_is_behind(scene->link)) {
        if (sp_link_idle(scene->link)) {
            sp_link_dump(scene->link, NULL);
        }
        assert_int_equal(write(scene->other_fd, "x", 1), 1);
        serve(scene);
        turn(scene);
    }
}

/* Time passes in which the loop had none for what the switch has said: that is not the switch's silence. */
static void behind_is_not_silent(void **aux)
{
    static struct scene scene;

    open_scene(&scene);
    for (unsigned i = 1; i <= 3; i++) {
        fall_behind(&scene);
        unsigned n_dumps = scene.n_dumps;
        skew_s += SP_SESSION_DEAD_MS / 1000 + 1;
        while (scene.n_dumps == n_dumps) {
            turn(&scene);
            assert_string_equal(sp_link_why(scene.link), "");
            serve(&scene);
        }
    }
    /* One that says nothing is. */
    scene.fs.forget_replies = true;
    sp_link_dump(scene.link, NULL);
    turn(&scene);
    skew_s += SP_SESSION_DEAD_MS / 1000 + 1;
    while (!sp_link_why(scene.link)[0]) {
        turn(&scene);
    }
    assert_string_equal(sp_link_why(scene.link), "the switch has been silent for 12 s");
    close_scene(&scene);
}

/* A bundle is held when the connection breaks, and its word comes before the owner has let go of the link. */
static void word_after_the_end(void **aux)
{
    static struct scene scene;
    struct sp_flow_mod mod = {.verb = SP_FLOW_DELETE};
    struct sp_flow_build b;

    sp_flow_build_init(&b, SP_T_RULES_IN, 100, SP_COOKIE(SP_COOKIE_RULE, 1));
    assert_int_equal(sp_flow_build_done(&b, &mod.flow), 0);
    for (unsigned i = 0; i < 2; i++) {
        open_scene(&scene);
        sp_link_prepare(scene.link, &mod, 1);
        while (!scene.fs.bundle_open) {
            turn(&scene);
            serve(&scene);
        }
        shutdown(scene.fd, SHUT_RDWR);
        while (sp_link_stream(scene.link)) {
            turn(&scene);
        }
        (i ? sp_link_withdraw : sp_link_commit)(scene.link);
        close_scene(&scene);
    }
    sp_flow_unref(mod.flow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(behind_is_not_silent), cmocka_unit_test(word_after_the_end)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
