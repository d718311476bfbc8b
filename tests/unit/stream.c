/* Streams that compete for the loop.  What one does in a call takes longer than a turn has time for, so that each turn has time
 * for one call alone. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "controller/io/stream.h"

#define N 12
#define CHUNKS 3
#define BUSY_NS 4000000u
#define DEADLINE_NS 30000000000u

struct scene {
    uv_loop_t loop;
    uv_prepare_t prepare; /* Counts turns. */
    uint64_t begun_ns;
    unsigned n_turns;
    unsigned n_in_turn, most_in_turn; /* Calls. */
    struct sp_stream_share share;
    struct client {
        struct scene *scene;
        struct sp_stream *stream;
        int fd; /* The other end. */
        size_t received;
        unsigned n_calls;
        bool closed;
    } clients[N];
    unsigned least_first; /* Calls that some stream has had when another one had the first. */
};

static void on_prepare(uv_prepare_t *handle)
{
    struct scene *scene = handle->data;

    scene->n_turns++;
    scene->n_in_turn = 0;
}

static void be_busy(struct client *client)
{
    struct scene *scene = client->scene;
    uint64_t begin = uv_hrtime();

    scene->most_in_turn = ++scene->n_in_turn > scene->most_in_turn ? scene->n_in_turn : scene->most_in_turn;
    for (size_t i = 0; i < N && !client->n_calls; i++) {
        scene->least_first = scene->clients[i].n_calls > scene->least_first ? scene->clients[i].n_calls : scene->least_first;
    }
    client->n_calls++;
    while (uv_hrtime() - begin < BUSY_NS) {
    }
}

static void receive(void *aux, const void *data, size_t size)
{
    struct client *client = aux;

    client->received += size;
    be_busy(client);
}

static void writable(void *aux)
{
}

static void writable_slowly(void *aux)
{
    be_busy(aux);
}

static void closed(void *aux, const char *why)
{
    ((struct client *) aux)->closed = true;
}

static void released(void *aux, struct sp_stream *stream, const char *why)
{
}

static const struct sp_stream_events reading = {receive, writable, closed};
static const struct sp_stream_events writing = {receive, writable_slowly, closed};
static const struct sp_stream_maker maker = {NULL, released};

static struct scene *open_scene(const struct sp_stream_events *events)
{
    struct scene *scene = calloc(1, sizeof *scene);

    assert_non_null(scene);
    assert_int_equal(uv_loop_init(&scene->loop), 0);
    uv_prepare_init(&scene->loop, &scene->prepare);
    scene->prepare.data = scene;
    uv_prepare_start(&scene->prepare, on_prepare);
    uv_unref((uv_handle_t *) &scene->prepare);
    for (size_t i = 0; i < N; i++) {
        struct client *client = &scene->clients[i];
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
        client->scene = scene;
        client->fd = fds[1];
        assert_int_equal(
            sp_stream_open(&scene->loop, fds[0], true, NULL, "", &scene->share, &maker, scene, &client->stream), 0);
        sp_stream_start(client->stream, events, client);
    }
    return scene;
}

static void close_scene(struct scene *scene)
{
    for (size_t i = 0; i < N; i++) {
        close(scene->clients[i].fd);
        if (!scene->clients[i].closed) {
            sp_stream_close(scene->clients[i].stream, "");
        }
    }
    uv_close((uv_handle_t *) &scene->prepare, NULL);
    uv_run(&scene->loop, UV_RUN_DEFAULT);
    for (size_t i = 0; i < N; i++) {
        assert_true(scene->clients[i].closed);
    }
    assert_int_equal(uv_loop_close(&scene->loop), 0);
    free(scene);
}

/* Runs the loop once, unless the test has been at it for too long. */
static void run_turn(struct scene *scene)
{
    uint64_t now_ns = uv_hrtime();

    scene->begun_ns = scene->begun_ns ? scene->begun_ns : now_ns;
    assert_true(now_ns - scene->begun_ns < DEADLINE_NS);
    uv_run(&scene->loop, UV_RUN_NOWAIT);
}

static bool have_all(const struct scene *scene, size_t received, unsigned calls)
{
    for (size_t i = 0; i < N; i++) {
        if (scene->clients[i].received < received || scene->clients[i].n_calls < calls) {
            return false;
        }
    }
    return true;
}

/* All have something to read, again and again: each turn has time for one read, and nobody gets a second one before
 * all have had the first. */
static void readers(void **aux)
{
    struct scene *scene = open_scene(&reading);
    static const uint8_t data[100];
    size_t sent = 0;

    for (size_t i = 0; i < N; i++) {
        sp_stream_begin(scene->clients[i].stream);
    }
    for (unsigned chunk = 1; chunk <= CHUNKS; chunk++) {
        sent += sizeof data;
        for (size_t i = 0; i < N; i++) {
            assert_int_equal(write(scene->clients[i].fd, data, sizeof data), sizeof data);
        }
        while (!have_all(scene, sent, 0)) {
            run_turn(scene);
            assert_int_equal(write(scene->clients[0].fd, data, sizeof data), sizeof data); /* One never falls silent. */
        }
    }
    assert_int_equal(scene->most_in_turn, 1);
    assert_true(scene->least_first <= 1);
    assert_true(scene->n_turns >= N * CHUNKS);
    close_scene(scene);
}

/* One that had to wait and closes does not hold up the others. */
static void one_goes(void **aux)
{
    struct scene *scene = open_scene(&reading);
    static const uint8_t data[100];

    for (size_t i = 0; i < N; i++) {
        sp_stream_begin(scene->clients[i].stream);
        assert_int_equal(write(scene->clients[i].fd, data, sizeof data), sizeof data);
    }
    while (!scene->clients[0].n_calls && !scene->clients[1].n_calls) {
        run_turn(scene);
    }
    for (size_t i = 2; i < N / 2; i++) {
        scene->clients[i].received = 2 * sizeof data; /* It will not read. */
        sp_stream_close(scene->clients[i].stream, "gone");
    }
    while (!have_all(scene, sizeof data, 0)) {
        run_turn(scene);
    }
    for (size_t i = 0; i < N; i++) {
        if (scene->clients[i].received < 2 * sizeof data) {
            assert_int_equal(write(scene->clients[i].fd, data, sizeof data), sizeof data);
        }
    }
    while (!have_all(scene, 2 * sizeof data, 0)) {
        run_turn(scene);
    }
    assert_int_equal(scene->most_in_turn, 1);
    close_scene(scene);
}

/* Whose bytes are there and had no time to be read is behind, and nobody else. */
static void behind(void **aux)
{
    struct scene *scene = open_scene(&reading);
    static const uint8_t data[100];

    for (size_t i = 0; i < N; i++) {
        sp_stream_begin(scene->clients[i].stream);
        assert_false(sp_stream_is_behind(scene->clients[i].stream));
        if (i) {
            assert_int_equal(write(scene->clients[i].fd, data, sizeof data), sizeof data);
        }
    }
    scene->clients[0].received = sizeof data; /* It says nothing. */
    while (!have_all(scene, sizeof data, 0)) {
        unsigned n_calls = 0;

        run_turn(scene);
        for (size_t i = 1; i < N; i++) {
            n_calls += scene->clients[i].n_calls;
        }
        for (size_t i = 0; i < N; i++) {
            bool unread = n_calls && i && !scene->clients[i].n_calls;

            assert_int_equal(sp_stream_is_behind(scene->clients[i].stream), unread);
        }
    }
    close_scene(scene);
}

/* One that is known reads in every turn, however many strangers have something to say. */
static void known_and_strangers(void **aux)
{
    struct scene *scene = open_scene(&reading);
    struct client *known = &scene->clients[N - 1];
    static const uint8_t data[100];

    sp_stream_prefer(known->stream);
    for (size_t i = 0; i < N; i++) {
        sp_stream_begin(scene->clients[i].stream);
        assert_int_equal(write(scene->clients[i].fd, data, sizeof data), sizeof data);
    }
    while (!have_all(scene, sizeof data, 1)) {
        run_turn(scene);
        assert_int_equal(write(known->fd, data, sizeof data), sizeof data);
    }
    assert_true(known->n_calls >= N - 2);
    close_scene(scene);
}

static void writers(void **aux)
{
    struct scene *scene = open_scene(&writing);

    for (size_t i = 0; i < N; i++) {
        sp_stream_begin(scene->clients[i].stream);
    }
    while (!have_all(scene, 0, 1)) {
        run_turn(scene);
    }
    assert_int_equal(scene->most_in_turn, 1);
    assert_true(scene->n_turns >= N - 1);
    close_scene(scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(readers), cmocka_unit_test(one_goes), cmocka_unit_test(behind),
                                       cmocka_unit_test(known_and_strangers), cmocka_unit_test(writers)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
