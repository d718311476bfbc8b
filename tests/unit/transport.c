/* Transport, over real sockets: unix sockets in a directory of its own and TCP on loopback with ports that the kernel chooses. */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <netinet/in.h>
#include <unistd.h>
#include <fcntl.h>
#include <uv.h>

#include "controller/io/tls.h"
#include "controller/io/transport.h"
#include "tests/support/authority.h"
#include "tests/support/tls_client.h"

#define DEADLINE_MS 10000

/* What one end of a connection has seen. */
struct end {
    struct net *net;
    struct sp_stream *stream;
    char peer[128];
    char name[64];          /* In the peer's certificate. */
    size_t received;
    uint8_t last[16];       /* The first bytes of the last chunk. */
    uint32_t sum;
    unsigned writables;
    bool closed;
    char why[128];
    size_t to_send;         /* Bytes that 'writable' shall still send. */
    size_t sent;
    bool close_on_receive;
};

struct net {
    uv_loop_t loop;
    char dir[64];
    struct sp_tls *tls;     /* What methods are opened with. */
    struct authority *one, *other; /* With setup_tls(). */
    struct end ends[8];
    unsigned n_ends;
    unsigned n_refused;
    bool refuse;
    bool late;
    bool inside;            /* A call of ours into transport is under way. */
};

static uint8_t
pattern(size_t i)
{
    return (uint8_t) (i * 7 + (i >> 8));
}

static void
receive(void *aux, const void *data, size_t size)
{
    struct end *e = aux;
    assert_false(e->net->inside);
    assert_false(e->closed);
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++) {
        e->sum += bytes[i] == pattern(e->received + i);
    }
    e->received += size;
    memcpy(e->last, bytes, size < sizeof e->last ? size : sizeof e->last);
    if (e->close_on_receive) {
        e->net->inside = true;
        sp_stream_close(e->stream, "enough");
        sp_stream_close(e->stream, "twice");
        e->net->inside = false;
    }
}

static void
writable(void *aux)
{
    struct end *e = aux;
    assert_false(e->net->inside);
    assert_false(e->closed);
    e->writables++;
    static uint8_t chunk[SP_STREAM_CHUNK]; /* Test data, rewritten before each use. */
    size_t n = e->to_send < sizeof chunk ? e->to_send : sizeof chunk;
    if (!n) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        chunk[i] = pattern(e->sent + i);
    }
    e->net->inside = true;
    assert_int_equal(sp_stream_send(e->stream, chunk, n), 0);
    e->net->inside = false;
    e->sent += n;
    e->to_send -= n;
}

static void
closed(void *aux, const char *why)
{
    struct end *e = aux;
    assert_false(e->net->inside);
    assert_false(e->closed);
    e->closed = true;
    snprintf(e->why, sizeof e->why, "%s", why);
}

static const struct sp_stream_events stream_events = { receive, writable, closed };

static void
connected(void *aux, struct sp_stream *stream, const char *peer)
{
    struct net *net = aux;
    assert_false(net->inside);
    if (net->refuse || net->n_ends == 8) {
        net->n_refused++;
        return;
    }
    struct end *e = &net->ends[net->n_ends++];
    e->net = net;
    e->stream = stream;
    snprintf(e->peer, sizeof e->peer, "%s", peer);
    snprintf(e->name, sizeof e->name, "%s", sp_stream_name(stream));
    sp_stream_start(stream, &stream_events, e);
}

static const struct sp_transport_events transport_events = { connected };

static int
setup(void **state)
{
    struct net *net = calloc(1, sizeof *net);
    assert_non_null(net);
    assert_int_equal(uv_loop_init(&net->loop), 0);
    strcpy(net->dir, "/tmp/sp-transport-XXXXXX");
    assert_non_null(mkdtemp(net->dir));
    *state = net;
    return 0;
}

static void
on_left_open(uv_timer_t *timer)
{
    uv_stop(timer->loop); /* A test that failed has left a method open: uv_loop_close() will say so. */
}

static int
teardown(void **state)
{
    struct net *net = *state;
    for (unsigned i = 0; i < net->n_ends; i++) {
        if (!net->ends[i].closed) {
            sp_stream_close(net->ends[i].stream, "end of test");
        }
    }
    uv_timer_t deadline;
    uv_timer_init(&net->loop, &deadline);
    uv_timer_start(&deadline, on_left_open, DEADLINE_MS, 0);
    uv_unref((uv_handle_t *) &deadline);
    uv_run(&net->loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *) &deadline, NULL);
    uv_run(&net->loop, UV_RUN_NOWAIT);
    assert_int_equal(uv_loop_close(&net->loop), 0);
    sp_tls_unref(net->tls);
    assert_int_equal(rmdir(net->dir), 0);
    free(net);
    return 0;
}

static void
on_deadline(uv_timer_t *timer)
{
    *(bool *) timer->data = true;
}

static void
on_tick(uv_timer_t *timer)
{
}

/* Runs the loop until 'EXPR' holds; fails after the deadline. */
#define RUN_UNTIL(NET, EXPR) \
    do { \
        bool late_ = false; \
        uv_timer_t deadline_, tick_; \
        uv_timer_init(&(NET)->loop, &deadline_); \
        uv_timer_init(&(NET)->loop, &tick_); \
        deadline_.data = &late_; \
        uv_timer_start(&deadline_, on_deadline, DEADLINE_MS, 0); \
        uv_timer_start(&tick_, on_tick, 20, 20); \
        while (!(EXPR) && !late_) { \
            uv_run(&(NET)->loop, UV_RUN_ONCE); \
        } \
        uv_close((uv_handle_t *) &deadline_, NULL); \
        uv_close((uv_handle_t *) &tick_, NULL); \
        uv_run(&(NET)->loop, UV_RUN_NOWAIT); \
        assert_false(late_); \
    } while (0)

static struct sp_method *
open_method(struct net *net, const char *text)
{
    char why[256] = "";
    struct sp_method *m = NULL;
    net->inside = true;
    int error = sp_method_open(&net->loop, text, net->tls, &transport_events, net, &m, why, sizeof why);
    net->inside = false;
    if (error) {
        print_error("%s: %s\n", text, why);
    }
    assert_int_equal(error, 0);
    return m;
}

static int
dial_tcp(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    assert_int_equal(connect(fd, (struct sockaddr *) &sin, sizeof sin), 0);
    return fd;
}

static void
test_check(void **state)
{
    static const char *const good[] = {
        "ptcp:6653", "ptcp:0", "ptcp:6653:127.0.0.1", "ptcp:1:[::1]", "punix:/a", "tcp:192.0.2.1:6653", "tcp:[2001:db8::1]:1",
        "unix:relative/path", "pssl:6653", "pssl:0:[::1]", "ssl:192.0.2.1:6653",
    };
    static const char *const bad[] = {
        "", "tcp", "tcp:", "tcp:1", "tcp:host:1", "tcp:::1:1", "tcp:127.0.0.1:0", "tcp:127.0.0.1:65536", "tcp:127.0.0.1:+1",
        "tcp:127.0.0.1: 1", "tcp:127.0.0.1:1x", "ptcp:", "ptcp:x", "ptcp:1:", "ptcp:1:::1", "ptcp:1:localhost", "punix:", "unix:",
        "udp:1", "tcp:[::1:1", "tcp:[127.0.0.1]:1", "ptcp:000001", "PTCP:1", "ssl:", "ssl:host:1", "pssl:x",
        "ssl:127.0.0.1",
    };
    char why[200];
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(sp_method_check(good[i], why, sizeof why), 0);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        why[0] = '\0';
        if (sp_method_check(bad[i], why, sizeof why) != SP_E_SYNTAX) {
            fail_msg("accepted: \"%s\"", bad[i]);
        }
        assert_true(why[0] && !strchr(why, '\n'));
    }
    assert_true(sp_method_is_tls("ssl:127.0.0.1:6653") && sp_method_is_tls("pssl:0"));
    assert_false(sp_method_is_tls("tcp:127.0.0.1:6653") || sp_method_is_tls("ptcp:0") || sp_method_is_tls("nonsense"));

    char longest[200] = "punix:";
    memset(longest + 6, 'a', 107);
    assert_int_equal(sp_method_check(longest, why, sizeof why), 0);
    longest[6 + 107] = 'a';
    assert_int_equal(sp_method_check(longest, why, sizeof why), SP_E_SYNTAX);
}

static void
test_exposed(void **state)
{
    assert_true(sp_method_is_exposed("ptcp:6653"));
    assert_true(sp_method_is_exposed("pssl:6653"));
    assert_true(sp_method_is_exposed("ptcp:6653:192.0.2.1"));
    assert_true(sp_method_is_exposed("ptcp:6653:[::]"));
    assert_false(sp_method_is_exposed("ptcp:6653:127.0.0.1"));
    assert_false(sp_method_is_exposed("ptcp:6653:127.1.2.3"));
    assert_false(sp_method_is_exposed("ptcp:6653:[::1]"));
    assert_false(sp_method_is_exposed("punix:/x"));
    assert_false(sp_method_is_exposed("tcp:192.0.2.1:6653"));
    assert_false(sp_method_is_exposed("nonsense"));
}

static void
test_tcp(void **state)
{
    struct net *net = *state;
    struct sp_method *m = open_method(net, "ptcp:0:127.0.0.1");
    assert_int_not_equal(sp_method_port(m), 0);
    int fd = dial_tcp(sp_method_port(m));
    RUN_UNTIL(net, net->n_ends == 1 && net->ends[0].writables == 1);
    struct end *e = &net->ends[0];
    struct sockaddr_in me;
    socklen_t size = sizeof me;
    assert_int_equal(getsockname(fd, (struct sockaddr *) &me, &size), 0);
    char peer[64];
    snprintf(peer, sizeof peer, "tcp:127.0.0.1:%u", ntohs(me.sin_port));
    assert_string_equal(e->peer, peer);

    assert_int_equal(write(fd, "hello", 5), 5);
    RUN_UNTIL(net, e->received == 5);
    assert_memory_equal(e->last, "hello", 5);

    /* Nothing to send: 'writable' comes again only when asked for. */
    assert_int_equal(e->writables, 1);
    e->to_send = 3;
    sp_stream_wake(e->stream);
    sp_stream_wake(e->stream);
    RUN_UNTIL(net, e->sent == 3);
    uint8_t bytes[3];
    assert_int_equal(recv(fd, bytes, 3, MSG_WAITALL), 3);
    assert_int_equal(bytes[2], pattern(2));

    close(fd);
    RUN_UNTIL(net, e->closed);
    assert_true(e->why[0]);
    sp_method_close(m);
}

/* The method ends, its streams go on; both ends are ours here. */
static void
test_dial_and_method_close(void **state)
{
    struct net *net = *state;
    char text[128];
    snprintf(text, sizeof text, "punix:%s/s", net->dir);
    struct sp_method *listener = open_method(net, text);
    assert_int_equal(sp_method_port(listener), 0);
    struct sp_method *dialer = open_method(net, text + 1);
    RUN_UNTIL(net, net->n_ends == 2);
    assert_string_equal(net->ends[0].peer, text + 1);
    assert_string_equal(net->ends[1].peer, text + 1);
    sp_method_close(listener);
    sp_method_close(dialer);
    assert_int_equal(access(text + 6, F_OK), -1); /* The socket's file has gone with the listener. */

    struct end *a = &net->ends[0];
    struct end *b = &net->ends[1];
    a->to_send = 5 << 20;
    sp_stream_wake(a->stream);
    RUN_UNTIL(net, b->received == 5 << 20);
    assert_int_equal(b->sum, 5 << 20);

    b->close_on_receive = true;
    a->to_send = 1;
    sp_stream_wake(a->stream);
    RUN_UNTIL(net, a->closed && b->closed);
    assert_string_equal(b->why, "enough");
    assert_int_equal(net->n_ends, 2); /* Nobody dials again. */
}

/* A paused stream takes nothing; its sender's queue stays bounded. */
static void
test_pause(void **state)
{
    struct net *net = *state;
    char text[128];
    snprintf(text, sizeof text, "punix:%s/s", net->dir);
    struct sp_method *listener = open_method(net, text);
    struct sp_method *dialer = open_method(net, text + 1);
    RUN_UNTIL(net, net->n_ends == 2);
    struct end *a = &net->ends[0];
    struct end *b = &net->ends[1];
    sp_stream_pause(b->stream, true);
    a->to_send = 8 << 20;
    sp_stream_wake(a->stream);
    size_t last;
    do {
        last = a->sent;
        for (int i = 0; i < 20; i++) {
            uv_run(&net->loop, UV_RUN_NOWAIT);
        }
    } while (a->sent != last);
    assert_int_equal(b->received, 0);
    assert_true(a->to_send > 0);

    /* What the queue still has room for is less than two chunks. */
    static uint8_t chunk[SP_STREAM_CHUNK];
    int error = sp_stream_send(a->stream, chunk, sizeof chunk);
    assert_int_equal(error ? error : sp_stream_send(a->stream, chunk, sizeof chunk), SP_E_FULL);
    size_t extra = error ? 0 : sizeof chunk;

    sp_stream_pause(b->stream, false);
    RUN_UNTIL(net, b->received == (8 << 20) + extra);
    if (!extra) {
        assert_int_equal(b->sum, 8 << 20);
    }
    sp_method_close(listener);
    sp_method_close(dialer);
}

static void
test_refused_stream(void **state)
{
    struct net *net = *state;
    net->refuse = true;
    struct sp_method *m = open_method(net, "ptcp:0:[::1]");
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_port = htons(sp_method_port(m)),
                               .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    assert_int_equal(connect(fd, (struct sockaddr *) &to, sizeof to), 0);
    RUN_UNTIL(net, net->n_refused == 1);
    char byte;
    assert_int_equal(recv(fd, &byte, 1, 0), 0);
    close(fd);
    sp_method_close(m);
}

static void
test_port_in_use(void **state)
{
    struct net *net = *state;
    struct sp_method *m = open_method(net, "ptcp:0:127.0.0.1");
    char text[64], why[200] = "";
    struct sp_method *second = NULL;
    snprintf(text, sizeof text, "ptcp:%u:127.0.0.1", sp_method_port(m));
    assert_int_equal(sp_method_open(&net->loop, text, NULL, &transport_events, net, &second, why, sizeof why), -EADDRINUSE);
    assert_null(second);
    assert_non_null(strstr(why, text));
    assert_int_equal(sp_method_open(&net->loop, "ptcp:x", NULL, &transport_events, net, &second, why, sizeof why), SP_E_SYNTAX);
    assert_int_equal(sp_method_open(&net->loop, "pssl:0", NULL, &transport_events, net, &second, why, sizeof why), SP_E_MISSING);
    sp_method_close(m);
}

static void
test_socket_file(void **state)
{
    struct net *net = *state;
    char text[128], why[200];
    snprintf(text, sizeof text, "punix:%s/s", net->dir);
    struct sp_method *m = open_method(net, text);
    struct sp_method *second = NULL;

    /* In use: refused, and the first goes on. */
    assert_int_equal(sp_method_open(&net->loop, text, NULL, &transport_events, net, &second, why, sizeof why), -EADDRINUSE);
    assert_int_equal(access(text + 6, F_OK), 0);
    sp_method_close(m);

    /* Left behind by a process that died: replaced. */
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    strcpy(sun.sun_path, text + 6);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *) &sun, sizeof sun), 0);
    close(fd);
    m = open_method(net, text);
    sp_method_close(m);

    /* Some other file: left alone. */
    fd = open(text + 6, O_CREAT | O_WRONLY, 0600);
    close(fd);
    assert_int_equal(sp_method_open(&net->loop, text, NULL, &transport_events, net, &second, why, sizeof why), -EEXIST);
    assert_int_equal(unlink(text + 6), 0);
}

/* The peer comes later than the dialer, and comes back. */
static void
test_redial(void **state)
{
    struct net *net = *state;
    char text[128];
    snprintf(text, sizeof text, "punix:%s/s", net->dir);
    struct sp_method *dialer = open_method(net, text + 1);
    for (int i = 0; i < 5; i++) {
        uv_run(&net->loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(net->n_ends, 0);
    struct sp_method *listener = open_method(net, text);
    RUN_UNTIL(net, net->n_ends == 2);
    sp_stream_close(net->ends[0].stream, "away");
    RUN_UNTIL(net, net->n_ends == 4);
    assert_true(net->ends[0].closed && net->ends[1].closed);
    sp_method_close(dialer);
    sp_method_close(listener);
}

/* Without descriptors the listener rests, and takes the waiting connection when there are some again. */
static void
test_no_descriptors(void **state)
{
    struct net *net = *state;
    struct sp_method *m = open_method(net, "ptcp:0:127.0.0.1");
    int fd = dial_tcp(sp_method_port(m));
    struct rlimit old, low;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = old;
    low.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    for (int i = 0; i < 50; i++) {
        uv_run(&net->loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(net->n_ends, 0);
    RUN_UNTIL(net, net->n_ends == 1);
    close(fd);
    sp_method_close(m);
}

/* TLS.  'one' is the authority that everybody believes; "x" has its certificate from another. */

static int
setup_tls(void **state)
{
    assert_int_equal(setup(state), 0);
    struct net *net = *state;
    net->one = authority_new(net->dir, "one");
    net->other = authority_new(net->dir, "other");
    return 0;
}

static int
teardown_tls(void **state)
{
    struct net *net = *state;
    char command[128];
    authority_free(net->one);
    authority_free(net->other);
    snprintf(command, sizeof command, "rm %s/*.pem", net->dir);
    assert_int_equal(system(command), 0);
    return teardown(state);
}

static struct sp_tls *
make_tls(struct net *net, const char *name, unsigned handshake_ms)
{
    char key[160], certificate[160], ca[160], why[300] = "";
    snprintf(key, sizeof key, "%s/leaf-key.pem", net->dir);
    snprintf(certificate, sizeof certificate, "%s/leaf-cert.pem", net->dir);
    snprintf(ca, sizeof ca, "%s/one-ca.pem", net->dir);
    authority_issue(strcmp(name, "x") ? net->one : net->other,
                    &(struct leaf){.file = "leaf", .name = name, .from_days = -1, .until_days = 1});
    const struct sp_tls_files files = {key, certificate, ca, NULL};
    struct sp_tls *tls = NULL;
    if (sp_tls_new(&files, handshake_ms, &tls, why, sizeof why)) {
        fail_msg("%s", why);
    }
    return tls;
}

/* Opens 'text' with the certificate of 'name'. */
static struct sp_method *
open_tls(struct net *net, const char *text, const char *name, unsigned handshake_ms)
{
    net->tls = make_tls(net, name, handshake_ms);
    struct sp_method *m = open_method(net, text);
    sp_tls_unref(net->tls); /* The method has its own. */
    net->tls = NULL;
    return m;
}

static struct sp_method *
dial_tls(struct net *net, const struct sp_method *listener, const char *name)
{
    char text[64];
    snprintf(text, sizeof text, "ssl:127.0.0.1:%u", sp_method_port(listener));
    return open_tls(net, text, name, 10000);
}

static bool
is_ended(int fd)
{
    char bytes[256];
    ssize_t n;
    while ((n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0) {
    }
    return !n || errno == ECONNRESET;
}

/* Both ends are ours: who they are, megabytes both ways, a pause, and the end. */
static void
test_tls(void **state)
{
    struct net *net = *state;
    struct sp_method *listener = open_tls(net, "pssl:0:127.0.0.1", "controller", 10000);
    struct sp_method *dialer = dial_tls(net, listener, "00000000000000ab");
    RUN_UNTIL(net, net->n_ends == 2);
    struct end *a = &net->ends[0], *b = &net->ends[1];
    if (strcmp(sp_stream_name(a->stream), "00000000000000ab")) { /* Who was through first. */
        a = b;
        b = &net->ends[0];
    }
    assert_memory_equal(a->peer, "ssl:127.0.0.1:", 14);
    assert_string_equal(sp_stream_name(b->stream), "controller");
    assert_true(sp_stream_may_be(a->stream, 0xab) && !sp_stream_may_be(a->stream, 0xac));
    assert_false(sp_stream_may_be(b->stream, 0xab));
    assert_int_equal(strlen(sp_stream_fingerprint(a->stream)), 7 + 64);

    sp_stream_pause(b->stream, true);
    a->to_send = 8 << 20;
    b->to_send = 3 << 20;
    sp_stream_wake(a->stream);
    sp_stream_wake(b->stream);
    RUN_UNTIL(net, a->received == 3 << 20);
    assert_int_equal(b->received, 0);
    assert_true(a->to_send > 0);
    sp_stream_pause(b->stream, false);
    RUN_UNTIL(net, b->received == 8 << 20);
    assert_int_equal(a->sum, 3 << 20);
    assert_int_equal(b->sum, 8 << 20);

    sp_stream_close(b->stream, "enough");
    RUN_UNTIL(net, a->closed && b->closed);
    assert_string_equal(a->why, "the peer closed the connection");
    sp_method_close(listener);
    sp_method_close(dialer);
}

/* Nobody hears of who may not, at neither end: a certificate of another authority, plain bytes, silence. */
static void
test_tls_refused(void **state)
{
    struct net *net = *state;
    struct sp_method *listener = open_tls(net, "pssl:0:127.0.0.1", "controller", 200);
    struct sp_method *strange = open_tls(net, "pssl:0:127.0.0.1", "x", 10000);
    struct sp_method *dialers[] = { dial_tls(net, listener, "x"), dial_tls(net, strange, "a") };
    int plain = dial_tcp(sp_method_port(listener)), silent = dial_tcp(sp_method_port(listener));
    assert_int_equal(write(plain, "\x05\x00\x00\x08\x00\x00\x00\x01", 8), 8);
    RUN_UNTIL(net, is_ended(plain) && is_ended(silent));
    /* TLS 1.3 lets the dialer finish before it is judged: it may hear of a stream, which ends without a byte. */
    struct sp_method *good = dial_tls(net, listener, "a");
    RUN_UNTIL(net, net->n_ends >= 2 && !strcmp(net->ends[net->n_ends - 1].name, "a"));
    for (unsigned i = 0; i < net->n_ends; i++) {
        assert_string_not_equal(net->ends[i].name, "x");
        assert_int_equal(net->ends[i].received, 0);
    }
    close(plain);
    close(silent);
    sp_method_close(dialers[0]);
    sp_method_close(dialers[1]);
    sp_method_close(good);
    sp_method_close(listener);
    sp_method_close(strange);
}

/* One handshake too many costs the oldest its place, and one that is meant comes through. */
static void
test_tls_half_open(void **state)
{
    struct net *net = *state;
    struct sp_method *listener = open_tls(net, "pssl:0:127.0.0.1", "controller", 60000);
    static int fds[SP_METHOD_HANDSHAKES_MAX];
    struct rlimit old, more;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    more = old;
    more.rlim_cur = 4 * SP_METHOD_HANDSHAKES_MAX;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &more), 0);
    for (size_t i = 0; i < SP_METHOD_HANDSHAKES_MAX; i++) {
        fds[i] = dial_tcp(sp_method_port(listener));
        if (i % 2) {
            assert_int_equal(write(fds[i], "\x16\x03\x01", 3), 3); /* The beginning of a record. */
        }
        uv_run(&net->loop, UV_RUN_NOWAIT);
    }
    for (int i = 0; i < 50; i++) {
        uv_run(&net->loop, UV_RUN_NOWAIT);
    }
    assert_false(is_ended(fds[0]));
    struct sp_method *good = dial_tls(net, listener, "a");
    RUN_UNTIL(net, net->n_ends == 2 && is_ended(fds[0]));
    assert_false(is_ended(fds[SP_METHOD_HANDSHAKES_MAX - 1]));
    sp_method_close(good);
    sp_method_close(listener); /* And with it those that nobody has heard of. */
    RUN_UNTIL(net, is_ended(fds[SP_METHOD_HANDSHAKES_MAX - 1]) && is_ended(fds[1]));
    for (size_t i = 0; i < SP_METHOD_HANDSHAKES_MAX; i++) {
        close(fds[i]);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
}

/* Every byte comes alone, from the first of the handshake on. */
static void
test_tls_byte_by_byte(void **state)
{
    struct net *net = *state;
    struct sp_method *listener = open_tls(net, "pssl:0:127.0.0.1", "controller", 60000);
    struct tls_client client;
    tls_client_open(&client, net->one, net->dir, sp_method_port(listener));
    while (SSL_do_handshake(client.ssl) != 1 || BIO_ctrl_pending(client.out)) {
        tls_client_send(&client, 1);
        uv_run(&net->loop, UV_RUN_NOWAIT);
        tls_client_take(&client);
    }
    uint8_t sent[300];
    for (size_t i = 0; i < sizeof sent; i++) {
        sent[i] = pattern(i);
    }
    assert_int_equal(SSL_write(client.ssl, sent, sizeof sent), sizeof sent);
    while (tls_client_send(&client, 1)) {
        uv_run(&net->loop, UV_RUN_NOWAIT);
    }
    RUN_UNTIL(net, net->n_ends == 1 && net->ends[0].received == sizeof sent);
    assert_int_equal(net->ends[0].sum, sizeof sent);
    assert_string_equal(sp_stream_name(net->ends[0].stream), "client");
    tls_client_close(&client);
    RUN_UNTIL(net, net->ends[0].closed);
    sp_method_close(listener);
}

/* Makes the kernel's share of what 'listener' has accepted and not sent yet small. */
static void
shrink_buffers(const struct sp_method *listener)
{
    int small = 4096, n_found = 0;
    for (int fd = 3; fd < 256; fd++) {
        struct sockaddr_in sin;
        socklen_t size = sizeof sin, int_size = sizeof(int);
        int listens = 0;
        if (!getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &int_size) && listens
            && !getsockname(fd, (struct sockaddr *) &sin, &size) && ntohs(sin.sin_port) == sp_method_port(listener)) {
            assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0); /* Accepted sockets inherit it. */
            n_found++;
        }
    }
    assert_int_equal(n_found, 1);
}

/* A peer that asks for new keys for ever and reads no answer: each is a record that has to be kept. */
static void
test_tls_answers_are_bounded(void **state)
{
    struct net *net = *state;
    struct sp_method *listener = open_tls(net, "pssl:0:127.0.0.1", "controller", 60000);
    struct tls_client client;
    shrink_buffers(listener);
    tls_client_open(&client, net->one, net->dir, sp_method_port(listener));
    while (SSL_do_handshake(client.ssl) != 1 || BIO_ctrl_pending(client.out)) {
        tls_client_send(&client, 4096);
        uv_run(&net->loop, UV_RUN_NOWAIT);
        tls_client_take(&client);
    }
    RUN_UNTIL(net, net->n_ends == 1);
    size_t n = 0;
    while (!net->ends[0].closed && n < 100000) {
        if (BIO_ctrl_pending(client.out) < 4096) {
            assert_int_equal(SSL_key_update(client.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
            assert_int_equal(SSL_do_handshake(client.ssl), 1);
            n++;
        }
        if (n % 64 == 0) {
            tls_client_send(&client, 4096);
            uv_run(&net->loop, UV_RUN_NOWAIT);
        }
    }
    assert_true(net->ends[0].closed);
    assert_string_equal(net->ends[0].why, "the peer does not read");
    tls_client_close(&client);
    sp_method_close(listener);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_exposed),
        cmocka_unit_test_setup_teardown(test_tcp, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dial_and_method_close, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pause, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_stream, setup, teardown),
        cmocka_unit_test_setup_teardown(test_port_in_use, setup, teardown),
        cmocka_unit_test_setup_teardown(test_socket_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_redial, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tls, setup_tls, teardown_tls),
        cmocka_unit_test_setup_teardown(test_tls_refused, setup_tls, teardown_tls),
        cmocka_unit_test_setup_teardown(test_tls_half_open, setup_tls, teardown_tls),
        cmocka_unit_test_setup_teardown(test_tls_byte_by_byte, setup_tls, teardown_tls),
        cmocka_unit_test_setup_teardown(test_tls_answers_are_bounded, setup_tls, teardown_tls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
