/* As many connections as there may be, and one more: who makes the server wait loses its place, who is waited for does not. */

#include "controller/http/http.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#include "tests/support/http_site.h"

#define DEADLINE_NS 10000000000ull
#define N SP_HTTP_CONNECTIONS_MAX
#define MORE 100

static const char ask_now[] = "GET /now HTTP/1.1\r\nHost: a\r\n\r\n";
static const char ask_later[] = "GET /later HTTP/1.1\r\nHost: a\r\n\r\n";

struct fixture {
    struct http_site server;
    struct sp_http_request *later[N]; /* Of "/later": to be answered by the test. */
    size_t n_later;
    struct rlimit limit; /* As it was. */
    int fds[N + MORE];
    size_t n_fds;
};

static void
handle(void *aux, struct sp_http_request *r)
{
    struct fixture *f = aux;

    if (!strcmp(sp_http_path(r), "/later")) {
        f->later[f->n_later++] = r;
    } else {
        sp_http_respond(r, 204, NULL, NULL, 0, NULL, 0);
    }
}

static int
setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct rlimit wanted;

    assert_non_null(f);
    *state = f;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &f->limit), 0);
    wanted = (struct rlimit) {.rlim_cur = 3 * N, .rlim_max = f->limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &wanted), 0);
    http_site_open(&f->server, "127.0.0.1:0", handle, f);
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < f->n_fds; i++) {
        close(f->fds[i]);
    }
    http_site_close(&f->server);
    setrlimit(RLIMIT_NOFILE, &f->limit);
    free(f);
    return 0;
}

/* One more connection, which says 'text'. */
static int
dial(struct fixture *f, const char *text)
{
    int fd = http_site_dial(&f->server, 0);

    assert_int_equal(send(fd, text, strlen(text), 0), strlen(text));
    uv_run(&f->server.loop, UV_RUN_NOWAIT);
    f->fds[f->n_fds++] = fd;
    return fd;
}

/* The status of the answer on 'fd', whose head is read; 0: the server closes without one. */
static unsigned
status_on(struct fixture *f, int fd)
{
    uint64_t begin = uv_hrtime();
    char head[2048] = "";
    unsigned status = 0;

    for (size_t size = 0; !strstr(head, "\r\n\r\n");) {
        ssize_t n = recv(fd, head + size, 1, MSG_DONTWAIT);

        if (n > 0) {
            size++;
            assert_true(size < sizeof head - 1);
        } else if (!n || errno != EAGAIN) {
            return 0;
        } else {
            struct pollfd p = {.fd = fd, .events = POLLIN};

            uv_run(&f->server.loop, UV_RUN_NOWAIT);
            poll(&p, 1, 1);
        }
        assert_true(uv_hrtime() - begin < DEADLINE_NS);
    }
    assert_int_equal(sscanf(head, "HTTP/1.1 %u", &status), 1);
    return status;
}

/* Until the loop's clock shows another time. */
static void
let_time_pass(struct fixture *f)
{
    uint64_t now = uv_now(&f->server.loop);

    while (uv_now(&f->server.loop) == now) {
        uv_run(&f->server.loop, UV_RUN_NOWAIT);
    }
}

/* Some are silent, some in the middle of a request: the longest waited for loses its place first. */
static void
test_idle_connections_make_room(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < N; i++) {
        dial(f, i % 2 ? "GET /now HTTP/1.1\r\nHost" : "");
    }
    let_time_pass(f);
    assert_int_equal(send(f->fds[0], ask_now, strlen(ask_now), 0), strlen(ask_now));
    assert_int_equal(status_on(f, f->fds[0]), 204); /* It has begun to wait anew. */
    for (int i = 1; i <= MORE; i++) {
        assert_int_equal(status_on(f, dial(f, ask_now)), 204);
        assert_int_equal(status_on(f, f->fds[i]), 0);
        let_time_pass(f);
    }
    assert_int_equal(send(f->fds[0], ask_now, strlen(ask_now), 0), strlen(ask_now));
    assert_int_equal(status_on(f, f->fds[0]), 204);
}

static void
test_those_who_wait_for_us_stay(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < N; i++) {
        int fd = dial(f, ask_later);
        uint64_t begin = uv_hrtime();

        while (f->n_later <= i) {
            struct pollfd p = {.fd = fd, .events = POLLIN};

            uv_run(&f->server.loop, UV_RUN_NOWAIT);
            poll(&p, 1, 1);
            assert_true(uv_hrtime() - begin < DEADLINE_NS);
        }
    }
    assert_int_equal(status_on(f, dial(f, ask_now)), 503);
    for (size_t i = 0; i < N; i++) {
        sp_http_respond(f->later[i], 204, NULL, NULL, 0, NULL, 0);
    }
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(status_on(f, f->fds[i]), 204);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_idle_connections_make_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_those_who_wait_for_us_stay, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
