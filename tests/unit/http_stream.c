#include "controller/http/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/http_site.h"
#include "tests/support/skewed_clock.h"

#define WAITING_MAX (1u << 20)
#define GET_STREAM "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET_OTHER "GET /other HTTP/1.1\r\nHost: a\r\n\r\n"

struct fixture {
    struct http_site server;
    struct sp_http_stream *stream;
    char client[SP_CIDR_TEXT_SIZE];
    unsigned n_ended;
    char path[64]; /* Of its unix socket; "": it listens on TCP. */
    char text[1 << 16]; /* What the client has read. */
    size_t size;
    bool is_end;
};

static void
on_ended(void *aux)
{
    struct fixture *f = aux;

    f->n_ended++;
    f->stream = NULL;
}

static void
handle(void *aux, struct sp_http_request *r)
{
    static const struct sp_http_field fields[] = {{"Cache-Control", "no-store"}};
    struct fixture *f = aux;

    if (!sp_http_client(r, f->client, sizeof f->client)) {
        f->client[0] = '\0';
    }
    if (strcmp(sp_http_path(r), "/stream")) {
        sp_http_respond(r, 200, "text/plain", "other", 5, NULL, 0);
        return;
    }

    struct sp_http_stream_options options = {.idle = ":idle\n", .waiting_max = WAITING_MAX, .ended = on_ended, .aux = f};

    assert_null(f->stream);
    f->stream = sp_http_respond_stream(r, "text/event-stream", fields, 1, &options);
    assert_non_null(f->stream);
    assert_int_equal(sp_http_stream_write(f->stream, "first\n", 6), 0);
}

static struct fixture *
open_server(const char *address)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    http_site_open(&f->server, address, handle, f);
    return f;
}

static int
setup(void **state)
{
    *state = open_server("127.0.0.1:0");
    return 0;
}

static int
setup_unix(void **state)
{
    char path[64], address[80];
    snprintf(path, sizeof path, "/tmp/sp-http-stream-%d.sock", (int) getpid());
    snprintf(address, sizeof address, "unix:%s", path);

    struct fixture *f = open_server(address);

    snprintf(f->path, sizeof f->path, "%s", path);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;

    if (f->server.site) {
        http_site_close(&f->server);
    }
    assert_null(f->stream);
    free(f);
    return 0;
}

static int
dial(struct fixture *f, int receive_buffer)
{
    int fd = http_site_dial(&f->server, receive_buffer);

    f->size = 0;
    f->is_end = false;
    return fd;
}

static void
say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Reads what is there. */
static void
listen_once(struct fixture *f, int fd)
{
    http_site_turn(&f->server, fd, POLLIN);

    ssize_t n = recv(fd, f->text + f->size, sizeof f->text - 1 - f->size, 0);

    if (n > 0) {
        f->size += (size_t) n;
    } else if (!n || errno != EAGAIN) {
        f->is_end = true;
    }
    f->text[f->size] = '\0';
}

/* Reads until 'text' has come; returns where it stands. */
static const char *
hear(struct fixture *f, int fd, const char *text)
{
    uint64_t until = now_ms() + HTTP_SITE_PATIENCE_MS;
    const char *found;

    f->text[f->size] = '\0';
    while (!(found = strstr(f->text, text))) {
        if (now_ms() > until || f->is_end) {
            fail_msg("\"%s\" did not come; so far: %s", text, f->text);
        }
        listen_once(f, fd);
    }
    return found;
}

static void
await_end(struct fixture *f, unsigned n)
{
    uint64_t until = now_ms() + HTTP_SITE_PATIENCE_MS;

    while (f->n_ended < n) {
        if (now_ms() > until) {
            fail_msg("the stream did not end");
        }
        http_site_turn(&f->server, -1, 0);
    }
}

static void
test_writes_come_in_order(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f, 0);

    say(fd, GET_STREAM);
    hear(f, fd, "first\n");
    assert_non_null(strstr(f->text, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(f->text, "\r\nContent-Type: text/event-stream\r\n"));
    assert_non_null(strstr(f->text, "\r\nCache-Control: no-store\r\n"));
    assert_non_null(strstr(f->text, "\r\nTransfer-Encoding: chunked\r\n"));
    assert_string_equal(f->client, "127.0.0.1");
    for (unsigned i = 0; i < 300; i++) {
        char line[32];

        snprintf(line, sizeof line, "<line %u>\n", i);
        assert_int_equal(sp_http_stream_write(f->stream, line, strlen(line)), 0);
        if (i % 7 == 0) {
            hear(f, fd, line); /* And it is silent again. */
        }
    }
    hear(f, fd, "<line 299>");

    const char *at = f->text;

    for (unsigned i = 0; i < 300; i++) {
        char line[32];

        snprintf(line, sizeof line, "<line %u>\n", i);
        at = strstr(at, line);
        assert_non_null(at);
    }
    assert_int_equal(f->n_ended, 0);
    close(fd);
    await_end(f, 1);
}

/* Silence is no reason to end, and is broken now and then. */
static void
test_no_deadline(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f, 0);

    say(fd, GET_STREAM);
    hear(f, fd, "first\n");
    for (unsigned i = 0; i < 5; i++) {
        f->size = 0;
        skew_s += SP_HTTP_IDLE_MS / 1000 + 1;
        hear(f, fd, ":idle\n");
    }
    f->size = 0;
    assert_int_equal(sp_http_stream_write(f->stream, "late\n", 5), 0);
    hear(f, fd, "late\n");
    assert_int_equal(f->n_ended, 0);
    close(fd);
    await_end(f, 1);
}

/* It holds up nobody else, and what may wait for it is bounded. */
static void
test_too_much_waits(void **state)
{
    static char part[1 << 16];
    struct fixture *f = *state;
    int fd = dial(f, 4096), other, r = 0;
    size_t sum = 0;

    memset(part, 'x', sizeof part);
    say(fd, GET_STREAM);
    hear(f, fd, "first\n");
    while (!(r = sp_http_stream_write(f->stream, part, sizeof part))) {
        sum += sizeof part;
        assert_true(sum <= 64 * (size_t) WAITING_MAX);
        http_site_turn(&f->server, -1, 0);
    }
    assert_int_equal(r, SP_E_FULL);
    assert_true(sum >= WAITING_MAX - sizeof part);
    assert_int_equal(f->n_ended, 0); /* Not from inside. */
    await_end(f, 1);
    other = dial(f, 0);
    say(other, GET_OTHER);
    hear(f, other, "other");
    close(other);
    close(fd);
}

static void
test_one_that_does_not_read_is_cut(void **state)
{
    static char part[1 << 16];
    struct fixture *f = *state;
    int fd = dial(f, 4096);
    size_t waiting = 0;

    memset(part, 'x', sizeof part);
    say(fd, GET_STREAM);
    hear(f, fd, "first\n");
    while (!waiting) { /* The kernel takes some. */
        assert_int_equal(sp_http_stream_write(f->stream, part, sizeof part), 0);
        for (unsigned i = 0; i < 20; i++) {
            http_site_turn(&f->server, -1, 0);
        }
        waiting = f->stream->size;
    }
    for (unsigned i = 0; i < 50; i++) {
        http_site_turn(&f->server, -1, 0);
    }
    assert_int_equal(f->n_ended, 0);
    skew_s += SP_HTTP_REQUEST_MS / 1000 + 1;
    await_end(f, 1);
    close(fd);
}

/* One that is slow but reads is not cut, however long it takes.  By a unix socket, as the buffers of TCP grow. */
static void
test_one_that_reads_slowly_stays(void **state)
{
    static char part[1 << 16];
    struct fixture *f = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    uint64_t until = now_ms() + HTTP_SITE_PATIENCE_MS;

    memset(part, 'x', sizeof part);
    memcpy(address.sun_path, f->path, strlen(f->path));
    assert_int_equal(connect(fd, (struct sockaddr *) &address, sizeof address), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    say(fd, GET_STREAM);
    hear(f, fd, "first\n");
    assert_string_equal(f->client, ""); /* Nobody's address. */
    for (unsigned round = 0; round < 8; round++) {
        /* All the time something waits. */
        while (f->stream->size < WAITING_MAX / 2) {
            assert_int_equal(sp_http_stream_write(f->stream, part, sizeof part), 0);
            http_site_turn(&f->server, -1, 0);
        }
        for (size_t before = f->stream->size; f->stream->size >= before;) {
            char bytes[1 << 14];

            assert_true(recv(fd, bytes, sizeof bytes, 0) > 0 || errno == EAGAIN);
            http_site_turn(&f->server, fd, POLLIN);
            assert_int_equal(f->n_ended, 0);
            assert_true(now_ms() < until);
        }
        skew_s += SP_HTTP_REQUEST_MS / 3000; /* For its slowness. */
        for (unsigned i = 0; i < 20; i++) {
            http_site_turn(&f->server, -1, 0);
        }
        assert_int_equal(f->n_ended, 0);
        assert_false(f->stream->is_suspended);
    }
    close(fd);
    await_end(f, 1);
}

static void
test_client_that_leaves_in_silence(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f, 0);

    say(fd, GET_STREAM);
    hear(f, fd, "first\n");
    for (unsigned i = 0; i < 20; i++) {
        http_site_turn(&f->server, fd, POLLIN);
    }
    assert_true(f->stream->is_suspended);
    close(fd); /* Nothing is ever written to it again. */
    await_end(f, 1);
}

static void
test_server_closes(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f, 0);

    say(fd, GET_STREAM);
    hear(f, fd, "first\n");
    assert_int_equal(sp_http_stream_write(f->stream, "last\n", 5), 0);
    http_site_close(&f->server);
    assert_int_equal(f->n_ended, 1);
    while (!f->is_end) {
        ssize_t n = recv(fd, f->text + f->size, sizeof f->text - 1 - f->size, 0);

        f->is_end = n <= 0;
        f->size += n > 0 ? (size_t) n : 0;
        f->text[f->size] = '\0';
    }
    assert_non_null(strstr(f->text, "last\n\r\n0\r\n\r\n")); /* A whole answer. */
    close(fd);
}

static void
test_put_and_take(void **state)
{
    struct sp_http_stream_options options = {.waiting_max = 5000};
    struct sp_http_stream *s = sp_http_stream_new(&options);
    char expected = 'a', next = 'a', out[700];
    size_t waiting = 0;

    assert_non_null(s);
    assert_int_equal(sp_http_stream_take(s, out, sizeof out), 0);
    for (unsigned round = 0; round < 2000; round++) {
        char in[300];
        size_t n = round * 37 % sizeof in;

        for (size_t i = 0; i < n; i++) {
            in[i] = next;
            next = next == 'z' ? 'a' : (char) (next + 1);
        }
        assert_int_equal(sp_http_stream_put(s, in, n), waiting + n > 5000 ? SP_E_FULL : 0);
        waiting += n;
        n = sp_http_stream_take(s, out, round * 53 % sizeof out);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(out[i], expected);
            expected = expected == 'z' ? 'a' : (char) (expected + 1);
        }
        waiting -= n;
        assert_int_equal(s->size, waiting);
    }
    sp_http_stream_take(s, out, sizeof out);
    while (sp_http_stream_take(s, out, sizeof out)) {
    }
    assert_int_equal(sp_http_stream_put(s, out, 5001), SP_E_FULL);
    sp_http_stream_free(s);
    sp_http_stream_free(NULL);
}

#define WITH_SERVER(TEST) cmocka_unit_test_setup_teardown(TEST, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SERVER(test_writes_come_in_order),
        WITH_SERVER(test_no_deadline),
        WITH_SERVER(test_too_much_waits),
        WITH_SERVER(test_one_that_does_not_read_is_cut),
        cmocka_unit_test_setup_teardown(test_one_that_reads_slowly_stays, setup_unix, teardown),
        WITH_SERVER(test_client_that_leaves_in_silence),
        WITH_SERVER(test_server_closes),
        cmocka_unit_test(test_put_and_take),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
