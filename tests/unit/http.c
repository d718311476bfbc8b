#include "controller/http/http.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#include "tests/support/http_site.h"
#include "tests/support/skewed_clock.h"

struct fixture {
    struct http_site server;
    struct sp_http_request *later; /* Of "/later". */
    unsigned n_handled;
};

static int
append(char *out, size_t size, size_t n, const char *format, const char *a, const char *b)
{
    return snprintf(out + n, n < size ? size - n : 0, format, a, b);
}

static void
handle(void *aux, struct sp_http_request *r)
{
    static const struct sp_http_field fields[] = {{"ETag", "\"7\""}, {"Sallyport-Revision", "12"}};
    struct fixture *f = aux;
    char text[4096];
    size_t n = 0, body_size;
    const char *body = sp_http_body(r, &body_size);

    f->n_handled++;
    if (!strcmp(sp_http_path(r), "/later")) {
        assert_null(f->later);
        f->later = r;
        return;
    }
    if (!strcmp(sp_http_path(r), "/none")) {
        sp_http_respond(r, 204, NULL, NULL, 0, fields, 2);
        return;
    }
    if (!strcmp(sp_http_path(r), "/big")) {
        static char big[8 << 20];

        memset(big, 'x', sizeof big);
        sp_http_respond(r, 200, "text/plain", big, sizeof big, NULL, 0);
        return;
    }
    n += (size_t) append(text, sizeof text, n, "%s %s", sp_http_method(r), sp_http_path(r));
    for (size_t i = 0; sp_http_query_key(r, i); i++) {
        n += (size_t) append(text, sizeof text, n, " [%s=%s]", sp_http_query_key(r, i), sp_http_query_value(r, i));
    }
    assert_null(sp_http_query_value(r, 10000));
    if (sp_http_header(r, "x-TEST")) {
        n += (size_t) append(text, sizeof text, n, " <%s%s>", sp_http_header(r, "x-TEST"), "");
    }
    if (sp_http_has_body(r)) {
        n += (size_t) snprintf(text + n, sizeof text - n, " %zu:%.20s", body_size, body);
    }
    sp_http_respond(r, 200, "text/plain", text, n, fields, 2);
}

static int
setup(void **state)
{
    struct fixture *f = malloc(sizeof *f);

    assert_non_null(f);
    memset(f, 0, sizeof *f);
    http_site_open(&f->server, "127.0.0.1:0", handle, f);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;

    http_site_close(&f->server);
    free(f);
    return 0;
}

/* Sends all; false if the server has closed before. */
static bool
say(struct fixture *f, int fd, const char *text, size_t size)
{
    uint64_t until = now_ms() + HTTP_SITE_PATIENCE_MS;

    while (size) {
        ssize_t n = send(fd, text, size, MSG_NOSIGNAL);

        if (n > 0) {
            text += n;
            size -= (size_t) n;
        } else if (errno == EAGAIN) {
            http_site_turn(&f->server, fd, POLLOUT);
        } else {
            return false;
        }
        if (now_ms() > until) {
            fail_msg("the server does not read");
        }
    }
    return true;
}

struct reply {
    unsigned status;
    char text[8192];  /* Head and body. */
    size_t size;
    bool is_end;      /* The server has closed. */
    const char *body;
};

/* Reads one whole reply: its head and as many bytes as it announces (none with 'is_head'). */
static void
hear(struct fixture *f, int fd, bool is_head, struct reply *ret)
{
    uint64_t until = now_ms() + HTTP_SITE_PATIENCE_MS;

    memset(ret, 0, sizeof *ret);
    while (!ret->is_end) {
        char *end = strstr(ret->text, "\r\n\r\n");
        size_t wanted = 1;

        if (end) {
            char *length = strcasestr(ret->text, "\r\nContent-Length:");

            ret->body = end + 4;
            wanted = (size_t) (ret->body - ret->text);
            if (length && length < end && !is_head) {
                wanted += strtoul(length + 17, NULL, 10);
            }
            if (ret->size >= wanted) {
                break;
            }
        }
        assert_true(ret->size + 1 < sizeof ret->text);

        /* Not more than this reply, as the next may follow it: byte by byte until its size is known. */
        ssize_t n = recv(fd, ret->text + ret->size, end ? wanted - ret->size : 1, 0);

        if (n > 0) {
            ret->size += (size_t) n;
        } else if (!n || errno != EAGAIN) {
            ret->is_end = true;
        } else {
            http_site_turn(&f->server, fd, POLLIN);
        }
        if (now_ms() > until) {
            fail_msg("no answer; so far: %s", ret->text);
        }
    }
    if (sscanf(ret->text, "HTTP/1.1 %u", &ret->status) != 1) {
        ret->status = 0;
    }
}

static bool
is_closed(struct fixture *f, int fd)
{
    uint64_t until = now_ms() + HTTP_SITE_PATIENCE_MS;
    char byte;

    for (;;) {
        ssize_t n = recv(fd, &byte, 1, 0);

        if (!n || (n < 0 && errno != EAGAIN)) {
            return true;
        }
        if (n > 0 || now_ms() > until) {
            return false;
        }
        http_site_turn(&f->server, fd, POLLIN);
    }
}

static void
ask(struct fixture *f, int fd, const char *text, bool is_head, struct reply *ret)
{
    say(f, fd, text, strlen(text));
    hear(f, fd, is_head, ret);
}

#define HOST "Host: a\r\n"

static void
test_get(void **state)
{
    struct fixture *f = *state;
    struct reply reply;
    int fd = http_site_dial(&f->server, 0);

    ask(f, fd, "GET /v1/a%20b/%c3%a9?x=1&y=&z&a+b=%2F%26&&q=\xc3\xa9 HTTP/1.1\r\n" HOST "X-Test:  two words \t\r\n\r\n", false,
        &reply);
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.body, "GET /v1/a b/\xc3\xa9 [x=1] [y=] [z=] [a b=/&] [q=\xc3\xa9] <two words>");
    assert_non_null(strstr(reply.text, "\r\nETag: \"7\"\r\n"));
    assert_non_null(strstr(reply.text, "\r\nSallyport-Revision: 12\r\n"));
    assert_non_null(strstr(reply.text, "\r\nContent-Type: text/plain\r\n"));
    assert_non_null(strstr(reply.text, "\r\nDate: "));

    /* The connection stays, for methods of any name and targets of other forms. */
    ask(f, fd, "BREW * HTTP/1.1\r\n" HOST "\r\n", false, &reply);
    assert_string_equal(reply.body, "BREW *");
    ask(f, fd, "GET http://a.example?x=1 HTTP/1.1\r\n" HOST "\r\n", false, &reply);
    assert_string_equal(reply.body, "GET / [x=1]");
    ask(f, fd, "DELETE /none HTTP/1.1\r\n" HOST "\r\n", false, &reply);
    assert_int_equal(reply.status, 204);
    assert_null(strcasestr(reply.text, "Content-Type"));
    ask(f, fd, "HEAD /x HTTP/1.1\r\n" HOST "\r\n", true, &reply);
    assert_int_equal(reply.status, 200);
    assert_non_null(strcasestr(reply.text, "Content-Length: 7\r\n"));
    ask(f, fd, "GET /x HTTP/1.1\r\n" HOST "\r\n", false, &reply);
    assert_string_equal(reply.body, "GET /x");
    close(fd);
}

static void
test_close_is_honoured(void **state)
{
    struct fixture *f = *state;
    struct reply reply;
    int fd = http_site_dial(&f->server, 0);

    ask(f, fd, "GET /x HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", false, &reply);
    assert_int_equal(reply.status, 200);
    assert_non_null(strcasestr(reply.text, "\r\nConnection: close\r\n"));
    assert_true(is_closed(f, fd));
    close(fd);

    fd = http_site_dial(&f->server, 0);
    ask(f, fd, "GET /x HTTP/1.0\r\n\r\n", false, &reply);
    assert_non_null(strstr(reply.text, " 200 "));
    assert_true(is_closed(f, fd));
    close(fd);
}

static void
test_pipelined(void **state)
{
    struct fixture *f = *state;
    struct reply reply;
    int fd = http_site_dial(&f->server, 0);

    ask(f, fd,
        "GET /1 HTTP/1.1\r\n" HOST "\r\nPOST /2 HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc"
        "GET /3 HTTP/1.1\r\n" HOST "\r\n",
        false, &reply);
    assert_string_equal(reply.body, "GET /1");
    hear(f, fd, false, &reply);
    assert_string_equal(reply.body, "POST /2 3:abc");
    hear(f, fd, false, &reply);
    assert_string_equal(reply.body, "GET /3");
    close(fd);
}

static void
test_bodies(void **state)
{
    struct fixture *f = *state;
    struct reply reply;
    int fd = http_site_dial(&f->server, 0);
    static const char chunked[] = "PUT /x HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
                                  "3;a=b\r\nabc\r\n1\r\nd\r\n0\r\nT: x\r\n\r\n";

    ask(f, fd, chunked, false, &reply);
    assert_string_equal(reply.body, "PUT /x 4:abcd");
    ask(f, fd, "POST /x HTTP/1.1\r\n" HOST "\r\n", false, &reply);
    assert_string_equal(reply.body, "POST /x"); /* Neither a length nor a coding: no body. */
    ask(f, fd, "POST /x HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", false, &reply);
    assert_string_equal(reply.body, "POST /x 3:abc");
    for (size_t i = 0; i < sizeof chunked - 1; i++) {
        assert_true(say(f, fd, chunked + i, 1));
        http_site_turn(&f->server, fd, 0);
    }
    hear(f, fd, false, &reply);
    assert_string_equal(reply.body, "PUT /x 4:abcd");

    ask(f, fd, "POST /x HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n", true, &reply);
    assert_int_equal(reply.status, 100);
    ask(f, fd, "ab", false, &reply);
    assert_string_equal(reply.body, "POST /x 2:ab");
    close(fd);
}

static void
test_body_of_the_most(void **state)
{
    struct fixture *f = *state;
    char *body = malloc(SP_HTTP_BODY_MAX);
    struct reply reply;
    char head[128], wanted[64];
    int fd = http_site_dial(&f->server, 0);

    assert_non_null(body);
    memset(body, 'b', SP_HTTP_BODY_MAX);
    snprintf(head, sizeof head, "POST /x HTTP/1.1\r\n" HOST "Content-Length: %u\r\n\r\n", SP_HTTP_BODY_MAX);
    assert_true(say(f, fd, head, strlen(head)));
    assert_true(say(f, fd, body, SP_HTTP_BODY_MAX));
    hear(f, fd, false, &reply);
    snprintf(wanted, sizeof wanted, "POST /x %u:bbbbbbbbbbbbbbbbbbbb", SP_HTTP_BODY_MAX);
    assert_string_equal(reply.body, wanted);
    free(body);
    close(fd);
}

/* The client sends its body first and reads then, as the simplest ones do: it must get to both. */
static void
refuse_long_body(struct fixture *f, const char *head, const char *before, const char *after)
{
    enum { SIZE = 3 << 20 };
    char *body = malloc(SIZE);
    struct reply reply;
    int fd = http_site_dial(&f->server, 0);

    assert_non_null(body);
    memset(body, 'b', SIZE);
    assert_true(say(f, fd, head, strlen(head)));
    assert_true(say(f, fd, before, strlen(before)));
    assert_true(say(f, fd, body, SIZE));
    say(f, fd, after, strlen(after));
    hear(f, fd, false, &reply);
    assert_int_equal(reply.status, 413);
    assert_non_null(strstr(reply.text, "application/problem+json"));
    assert_non_null(strstr(reply.text, "Connection: close\r\n"));
    assert_non_null(strstr(reply.body, "\"status\":413"));
    assert_true(is_closed(f, fd));
    free(body);
    close(fd);
}

static void
test_body_too_long(void **state)
{
    struct fixture *f = *state;
    struct reply reply;
    int fd;

    refuse_long_body(f, "POST /x HTTP/1.1\r\n" HOST "Content-Length: 3145728\r\n\r\n", "", "");
    refuse_long_body(f, "POST /x HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", "300000\r\n", "\r\n0\r\n\r\n");
    /* One that is never sent is refused at once. */
    fd = http_site_dial(&f->server, 0);
    ask(f, fd, "POST /x HTTP/1.1\r\n" HOST "Content-Length: 1048577\r\nExpect: 100-continue\r\n\r\n", false, &reply);
    assert_int_equal(reply.status, 413);
    close(fd);
    assert_int_equal(f->n_handled, 0);
}

static void
test_refused(void **state)
{
    static const struct {
        unsigned status;
        const char *text;
    } samples[] = {
        {400, "GET /x HTTP/1.1\r\n\r\n"},
        {400, "GET /x HTTP/1.1\r\n" HOST HOST "\r\n"},
        {400, "GET /x HTTP/1.1\r\nHost: a b\r\n\r\n"},
        {400, "POST /x HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"},
        {400, "POST /x HTTP/1.1\r\n" HOST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
        {400, "POST /x HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
        {400, "POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
        {501, "POST /x HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\n\r\n"},
        {400, "GET /x HTTP/1.1\r\n" HOST "A: b\rC: d\r\n\r\n"},
        {400, "GET /x HTTP/1.1\r\n" HOST "A : b\r\n\r\n"},
        {400, "GET /x HTTP/1.1\r\n" HOST "A: \x01\r\n\r\n"},
        {400, "G(T /x HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET x HTTP/1.1\r\n" HOST "\r\n"},
        {400, "CONNECT a:80 HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /a b HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /x#y HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /%2 HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /%zz HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /%00 HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /a%2fb HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /%ff HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /%c0%80 HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /?a=%ed%a0%80 HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /?a=%0g HTTP/1.1\r\n" HOST "\r\n"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        char wanted[32];
        struct reply reply;
        int fd = http_site_dial(&f->server, 0);

        ask(f, fd, samples[i].text, false, &reply);
        snprintf(wanted, sizeof wanted, "\"status\":%u,", samples[i].status);
        if (reply.status != samples[i].status || !strstr(reply.body, wanted)) {
            fail_msg("%s is answered: %s", samples[i].text, reply.text);
        }
        assert_non_null(strstr(reply.text, "Content-Type: application/problem+json\r\n"));
        assert_non_null(strstr(reply.body, "\"errors\":[]}"));
        assert_true(is_closed(f, fd));
        close(fd);
    }
    assert_int_equal(f->n_handled, 0);
}

/* What libmicrohttpd refuses by itself: the status is all that is promised. */
static void
test_malformed(void **state)
{
    static const struct {
        unsigned status;
        const char *text;
    } samples[] = {
        {400, "GET /x HTTP/1.1\r\n" HOST "nocolon\r\n\r\n"},
        {400, "POST /x HTTP/1.1\r\n" HOST "Content-Length: abc\r\n\r\n"},
        {400, "POST /x HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n"},
        {413, "POST /x HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999999\r\n\r\n"},
        {400, "POST /x HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nxyz\r\n"},
        {400, "GET /x HTTP/1.1\r" HOST "\r\n\r\n"},
        {505, "GET /x HTTP/2.0\r\n" HOST "\r\n"},
        {400, "GET /x FTP/1.1\r\n" HOST "\r\n"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        struct reply reply;
        int fd = http_site_dial(&f->server, 0);

        ask(f, fd, samples[i].text, false, &reply);
        if (reply.status != samples[i].status) {
            fail_msg("%s is answered: %s", samples[i].text, reply.text);
        }
        close(fd);
    }
    assert_int_equal(f->n_handled, 0);
}

static void
test_long_head(void **state)
{
    enum { SIZE = 70000 };
    struct fixture *f = *state;
    char *text = malloc(SIZE);
    struct reply reply;
    int fd = http_site_dial(&f->server, 0);

    assert_non_null(text);
    memset(text, 'a', SIZE);
    memcpy(text, "GET /", 5);
    say(f, fd, text, SIZE);
    hear(f, fd, false, &reply);
    assert_int_equal(reply.status, 414);
    close(fd);

    fd = http_site_dial(&f->server, 0);
    memcpy(text, "GET / HTTP/1.1\r\nX: ", 19);
    say(f, fd, text, SIZE);
    hear(f, fd, false, &reply);
    assert_int_equal(reply.status, 431);
    close(fd);
    free(text);
}

/* Bytes of any kind end in an answer or a closed connection, and the server lives on. */
static void
test_noise(void **state)
{
    unsigned seed = (unsigned) now_ms();
    struct fixture *f = *state;
    static const char base[] = "POST /v1/%41?x=%42 HTTP/1.1\r\n" HOST "Content-Length: 5\r\nX-Test: y\r\n\r\nhello";
    struct reply reply;

    print_message("seed %u\n", seed);
    srand(seed);
    for (int i = 0; i < 300; i++) {
        char text[sizeof base];
        int fd = http_site_dial(&f->server, 0);

        memcpy(text, base, sizeof base);
        for (int j = 0; j < 1 + i % 4; j++) {
            text[(size_t) rand() % (sizeof base - 1)] = (char) rand();
        }
        say(f, fd, text, sizeof base - 1);
        http_site_turn(&f->server, fd, POLLIN);
        close(fd);
    }
    int fd = http_site_dial(&f->server, 0);

    ask(f, fd, "GET /x HTTP/1.1\r\n" HOST "\r\n", false, &reply);
    assert_string_equal(reply.body, "GET /x");
    close(fd);
}

static void
wait_for_later(struct fixture *f, int fd)
{
    uint64_t until = now_ms() + HTTP_SITE_PATIENCE_MS;

    while (!f->later) {
        assert_true(now_ms() < until);
        http_site_turn(&f->server, fd, POLLIN);
    }
}

static void
test_answered_later(void **state)
{
    struct fixture *f = *state;
    struct reply reply;
    int fd = http_site_dial(&f->server, 0), other = http_site_dial(&f->server, 0);

    say(f, fd, "GET /later HTTP/1.1\r\n" HOST "\r\n", 32);
    wait_for_later(f, fd);
    ask(f, other, "GET /x HTTP/1.1\r\n" HOST "\r\n", false, &reply); /* Nobody else waits. */
    assert_string_equal(reply.body, "GET /x");
    sp_http_respond(f->later, 202, "text/plain", "done", 4, NULL, 0);
    f->later = NULL;
    hear(f, fd, false, &reply);
    assert_int_equal(reply.status, 202);
    assert_string_equal(reply.body, "done");
    ask(f, fd, "GET /y HTTP/1.1\r\n" HOST "\r\n", false, &reply);
    assert_string_equal(reply.body, "GET /y");
    close(other);

    /* A client that does not wait for its answer. */
    say(f, fd, "GET /later HTTP/1.1\r\n" HOST "\r\n", 32);
    wait_for_later(f, fd);
    close(fd);
    uv_run(&f->server.loop, UV_RUN_NOWAIT);
    assert_string_equal(sp_http_path(f->later), "/later");
    sp_http_respond(f->later, 200, "text/plain", "done", 4, NULL, 0);
    f->later = NULL;
    fd = http_site_dial(&f->server, 0);
    ask(f, fd, "GET /z HTTP/1.1\r\n" HOST "\r\n", false, &reply);
    assert_string_equal(reply.body, "GET /z");
    close(fd);
}

static void
test_bad_field_of_answer(void **state)
{
    static const struct sp_http_field field = {"X", "a\r\nb"};
    struct fixture *f = *state;
    int fd = http_site_dial(&f->server, 0);

    say(f, fd, "GET /later HTTP/1.1\r\n" HOST "\r\n", 32);
    wait_for_later(f, fd);
    sp_http_respond(f->later, 200, "text/plain", "done", 4, &field, 1);
    f->later = NULL;
    assert_true(is_closed(f, fd));
    close(fd);
}

/* The server closes while the handler still has a request: the client hears of it, and the handler's answer goes nowhere. */
static void
test_close_answers_503(void **state)
{
    struct fixture f;
    struct reply reply;
    int fd, idle;

    memset(&f, 0, sizeof f);
    http_site_open(&f.server, "127.0.0.1:0", handle, &f);
    idle = http_site_dial(&f.server, 0);
    fd = http_site_dial(&f.server, 0);
    say(&f, fd, "PUT /later HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nab", 53);
    wait_for_later(&f, fd);
    http_site_begin_close(&f.server);
    hear(&f, fd, false, &reply);
    assert_int_equal(reply.status, 503);
    assert_true(is_closed(&f, fd));
    assert_true(is_closed(&f, idle));
    while (!f.server.is_closed) {
        uv_run(&f.server.loop, UV_RUN_ONCE);
    }
    assert_string_equal(sp_http_method(f.later), "PUT");
    sp_http_respond(f.later, 200, "text/plain", "done", 4, NULL, 0);
    assert_int_equal(uv_loop_close(&f.server.loop), 0);
    close(fd);
    close(idle);
}

static void
expect_cut(struct fixture *f, int fd)
{
    uint64_t until = now_ms() + HTTP_SITE_PATIENCE_MS;
    char bytes[65536];

    for (;;) {
        ssize_t n = recv(fd, bytes, sizeof bytes, 0);

        if (!n || (n < 0 && errno != EAGAIN)) {
            return;
        }
        if (n < 0) {
            http_site_turn(&f->server, fd, POLLIN);
        }
        assert_true(now_ms() < until);
    }
}

static void
test_slow_clients_are_cut(void **state)
{
    static const char *const starts[] = {
        "", "G", "GET /x HTTP/1.1\r\nHost:", "POST /x HTTP/1.1\r\n" HOST "Content-Length: 100\r\n\r\n",
        "POST /x HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1",
    };
    struct fixture *f = *state;
    struct reply reply;

    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        int fd = http_site_dial(&f->server, 0);

        say(f, fd, starts[i], strlen(starts[i]));
        for (int s = 0; s < 2 * SP_HTTP_REQUEST_MS / 1000 + 2; s++) {
            skew_s++; /* A byte a second. */
            uv_run(&f->server.loop, UV_RUN_NOWAIT);
            uv_run(&f->server.loop, UV_RUN_NOWAIT);
            send(fd, "a", 1, MSG_NOSIGNAL);
        }
        expect_cut(f, fd);
        close(fd);
    }
    /* One that does not read. */
    int fd = http_site_dial(&f->server, 0);

    say(f, fd, "GET /big HTTP/1.1\r\n" HOST "\r\n", 30);
    while (!f->n_handled) {
        uv_run(&f->server.loop, UV_RUN_NOWAIT);
    }
    skew_s += SP_HTTP_REQUEST_MS / 1000 + 1;
    expect_cut(f, fd);
    close(fd);

    /* One whose request is being worked on has time. */
    fd = http_site_dial(&f->server, 0);
    say(f, fd, "GET /later HTTP/1.1\r\n" HOST "\r\n", 32);
    wait_for_later(f, fd);
    skew_s += 4 * SP_HTTP_REQUEST_MS / 1000;
    for (int i = 0; i < 5; i++) {
        uv_run(&f->server.loop, UV_RUN_NOWAIT);
    }
    sp_http_respond(f->later, 200, "text/plain", "done", 4, NULL, 0);
    f->later = NULL;
    hear(f, fd, false, &reply);
    assert_string_equal(reply.body, "done");
    close(fd);
}

static void
test_port_in_use(void **state)
{
    struct fixture *f = *state;
    struct sp_http_site *second;
    char address[64], why[256] = "";

    snprintf(address, sizeof address, "127.0.0.1:%u", sp_http_port(f->server.site));
    assert_int_equal(sp_http_open(&f->server.loop, address, NULL, handle, f, &second, why, sizeof why), -EADDRINUSE);
    assert_non_null(strstr(why, address));
}

#define WITH_SERVER(TEST) cmocka_unit_test_setup_teardown(TEST, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SERVER(test_get),
        WITH_SERVER(test_close_is_honoured),
        WITH_SERVER(test_pipelined),
        WITH_SERVER(test_bodies),
        WITH_SERVER(test_body_of_the_most),
        WITH_SERVER(test_body_too_long),
        WITH_SERVER(test_refused),
        WITH_SERVER(test_malformed),
        WITH_SERVER(test_long_head),
        WITH_SERVER(test_noise),
        WITH_SERVER(test_answered_later),
        WITH_SERVER(test_bad_field_of_answer),
        cmocka_unit_test(test_close_answers_503),
        WITH_SERVER(test_slow_clients_are_cut),
        WITH_SERVER(test_port_in_use),
    };

    return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
