#include "controller/io/transport.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "controller/io/method.h"
#include "controller/io/stream.h"
#include "controller/io/tls.h"
#include "controller/obs/log.h"

#define BACKLOG 1024
#define ACCEPTS_PER_TURN 64 /* So that a flood of connections leaves room for the others' bytes. */
#define REST_MS 1000
#define BACKOFF_MIN_MS 1000
#define BACKOFF_MAX_MS 8000
#define FAILURES_MS 10000 /* In this time ... */
#define FAILURES_MAX 5    /* ... so many lines about handshakes that failed. */

/* A socket that is watched: the listener's, or that of a connect() under way.  An allocation of its own, as a dialer needs a
 * new handle before the last one is closed. */
struct watch {
    uv_poll_t poll;
    struct sp_method *method;
    int fd;
};

struct sp_method {
    unsigned refs;        /* The owner's, one for each open handle, one for each stream. */
    bool closed;
    char *text;
    struct sp_method_spec spec;
    uv_loop_t *loop;
    struct watch *watch;  /* NULL: nothing is watched. */
    uv_timer_t timer;     /* A listener's rest, a dialer's backoff. */
    uint64_t backoff_ms;
    uint64_t connected_ms; /* When the last stream was announced; 0: the last one came to nothing. */
    size_t n_streams;
    struct sp_tls *tls;    /* NULL: plain. */
    struct sp_stream *handshakes[SP_METHOD_HANDSHAKES_MAX]; /* Under way, the oldest first. */
    size_t n_handshakes;
    uint64_t failures_ms;  /* The window in which failed handshakes are counted. */
    unsigned n_failures;
    bool bound_path;      /* The socket's file is ours to remove. */
    uint16_t port;
    char complaint[160];  /* The last one that was logged. */
    const struct sp_transport_events *events;
    void *aux;
    struct sp_stream_share share;
};

static int open_listener(struct sp_method *, char *why, size_t why_size);
static int bind_unix(struct sp_method *, int fd);
static void on_acceptable(uv_poll_t *, int status, int events);
static void dial(struct sp_method *);
static void dial_later(struct sp_method *, const char *why);
static void on_dialled(uv_poll_t *, int status, int events);
static int watch_start(struct sp_method *, int fd, int events, uv_poll_cb);
static int watch_stop(struct sp_method *);
static void on_timer(uv_timer_t *);
static int adopt(struct sp_method *, int fd, const struct sockaddr_storage *peer);
static void shake(struct sp_method *, struct sp_stream *);
static bool forget_handshake(struct sp_method *, const struct sp_stream *);
static void announce(struct sp_method *, struct sp_stream *);
static void on_stream_secured(void *aux, struct sp_stream *);
static void on_stream_released(void *aux, struct sp_stream *, const char *why);
static void complain_of_handshake(struct sp_method *, const struct sp_stream *, const char *why);
static void complain(struct sp_method *, const char *what);
static void unref(struct sp_method *);

static const struct sp_stream_maker stream_maker = { on_stream_secured, on_stream_released };

int
sp_method_open(uv_loop_t *loop, const char *method, struct sp_tls *tls, const struct sp_transport_events *events, void *aux,
               struct sp_method **ret, char *why, size_t why_size)
{
    struct sp_method_spec spec;
    int error = sp_method_parse(method, &spec, why, why_size);
    if (error) {
        return error;
    }
    if (spec.tls && !tls) {
        snprintf(why, why_size, "%s: TLS needs a private key, a certificate and the certificate of a CA", method);
        return SP_E_MISSING;
    }
    struct sp_method *m = calloc(1, sizeof *m);
    char *text = strdup(method);
    if (!m || !text) {
        free(m);
        free(text);
        snprintf(why, why_size, "%s: out of memory", method);
        return -ENOMEM;
    }
    m->refs = 2; /* The caller's and the timer's. */
    m->text = text;
    m->spec = spec;
    m->tls = spec.tls ? sp_tls_ref(tls) : NULL;
    m->loop = loop;
    m->backoff_ms = BACKOFF_MIN_MS;
    m->events = events;
    m->aux = aux;
    uv_timer_init(loop, &m->timer);
    m->timer.data = m;
    if (spec.listens) {
        error = open_listener(m, why, why_size);
        if (error) {
            sp_method_close(m);
            return error;
        }
    } else {
        /* From the loop, so that nobody is called before this returns. */
        uv_timer_start(&m->timer, on_timer, 0, 0);
    }
    *ret = m;
    return 0;
}

static void
on_timer_closed(uv_handle_t *handle)
{
    unref(handle->data);
}

void
sp_method_close(struct sp_method *m)
{
    m->closed = true;
    while (m->n_handshakes) { /* Nobody has heard of these. */
        struct sp_stream *stream = m->handshakes[0];
        forget_handshake(m, stream);
        sp_stream_close(stream, "stopping");
    }
    if (m->watch) {
        close(watch_stop(m));
    }
    if (m->bound_path) {
        unlink(((const struct sockaddr_un *) &m->spec.address)->sun_path);
    }
    uv_close((uv_handle_t *) &m->timer, on_timer_closed);
    unref(m);
}

uint16_t
sp_method_port(const struct sp_method *m)
{
    return m->port;
}

static int
open_listener(struct sp_method *m, char *why, size_t why_size)
{
    int family = m->spec.address.ss_family;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error = fd < 0 ? -errno : 0;
    if (!error && m->spec.local) {
        error = bind_unix(m, fd);
    } else if (!error) {
        int on = 1;
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on)
            || bind(fd, (const struct sockaddr *) &m->spec.address, m->spec.address_size)) {
            error = -errno;
        }
    }
    if (!error && listen(fd, BACKLOG)) {
        error = -errno;
    }
    if (!error && !m->spec.local) {
        struct sockaddr_storage bound;
        memset(&bound, 0, sizeof bound);
        socklen_t size = sizeof bound;
        if (getsockname(fd, (struct sockaddr *) &bound, &size)) {
            error = -errno;
        } else {
            m->port = ntohs(family == AF_INET6 ? ((const struct sockaddr_in6 *) &bound)->sin6_port
                                               : ((const struct sockaddr_in *) &bound)->sin_port);
        }
    }
    if (!error) {
        error = watch_start(m, fd, UV_READABLE, on_acceptable);
    }
    if (error) {
        if (fd >= 0) {
            close(fd);
        }
        snprintf(why, why_size, "%s: %s", m->text, uv_strerror(error));
    }
    return error;
}

/* Whether the socket file 'address' is what a process that has ended left behind. */
static bool
is_socket(const struct sockaddr_un *address)
{
    struct stat st;
    return !lstat(address->sun_path, &st) && S_ISSOCK(st.st_mode);
}

static bool
is_stale(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    bool stale = connect(fd, (const struct sockaddr *) address, sizeof *address) && errno == ECONNREFUSED;
    close(fd);
    return stale;
}

static int
bind_unix(struct sp_method *m, int fd)
{
    const struct sockaddr_un *address = (const struct sockaddr_un *) &m->spec.address;
    int error = bind(fd, (const struct sockaddr *) address, m->spec.address_size) ? -errno : 0;
    if (error == -EADDRINUSE && !is_socket(address)) {
        error = -EEXIST;
    } else if (error == -EADDRINUSE && is_stale(address) && !unlink(address->sun_path)) {
        error = bind(fd, (const struct sockaddr *) address, m->spec.address_size) ? -errno : 0;
    }
    m->bound_path = !error;
    return error;
}

static void
on_acceptable(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = poll->data;
    struct sp_method *m = watch->method;
    for (int i = 0; i < ACCEPTS_PER_TURN && m->watch == watch; i++) {
        struct sockaddr_storage peer;
        socklen_t size = sizeof peer;
        memset(&peer, 0, sizeof peer);
        int fd = accept4(watch->fd, (struct sockaddr *) &peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            if (adopt(m, fd, m->spec.local ? &m->spec.address : &peer)) {
                close(fd);
            }
            continue;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            /* The connection stays in the backlog and would make this a busy loop. */
            complain(m, uv_strerror(-errno));
            uv_poll_stop(poll);
            uv_timer_start(&m->timer, on_timer, REST_MS, 0);
            return;
        }
        /* Anything else concerns the one connection, which has gone.  Source: accept(2), "Error handling". */
    }
}

static void
dial(struct sp_method *m)
{
    m->connected_ms = 0;
    int fd = socket(m->spec.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        dial_later(m, uv_strerror(-errno));
        return;
    }
    int error = connect(fd, (const struct sockaddr *) &m->spec.address, m->spec.address_size) ? -errno : 0;
    if (!error || error == -EINPROGRESS) {
        error = watch_start(m, fd, UV_WRITABLE, on_dialled);
    }
    if (error) {
        close(fd);
        dial_later(m, uv_strerror(error));
    }
}

static void
dial_later(struct sp_method *m, const char *why)
{
    if (why) {
        complain(m, why);
    }
    uv_timer_start(&m->timer, on_timer, m->backoff_ms, 0);
    m->backoff_ms = m->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : m->backoff_ms * 2;
}

static void
on_dialled(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = poll->data;
    struct sp_method *m = watch->method;
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(watch->fd, SOL_SOCKET, SO_ERROR, &error, &size)) {
        error = errno;
    }
    int fd = watch_stop(m);
    int failed = error ? -error : adopt(m, fd, &m->spec.address);
    if (failed) {
        close(fd);
        dial_later(m, uv_strerror(failed));
    }
}

static void
on_watch_closed(uv_handle_t *handle)
{
    struct watch *watch = handle->data;
    unref(watch->method);
    free(watch);
}

/* Watches 'fd', which stays the caller's if it fails. */
static int
watch_start(struct sp_method *m, int fd, int events, uv_poll_cb callback)
{
    struct watch *watch = calloc(1, sizeof *watch);
    if (!watch) {
        return -ENOMEM;
    }
    int error = uv_poll_init(m->loop, &watch->poll, fd);
    if (error) {
        free(watch);
        return error;
    }
    watch->poll.data = watch;
    watch->method = m;
    watch->fd = fd;
    m->refs++;
    m->watch = watch;
    error = uv_poll_start(&watch->poll, events, callback);
    if (error) {
        watch_stop(m);
    }
    return error;
}

/* Ends watching; the socket is the caller's again. */
static int
watch_stop(struct sp_method *m)
{
    struct watch *watch = m->watch;
    m->watch = NULL;
    uv_close((uv_handle_t *) &watch->poll, on_watch_closed);
    return watch->fd;
}

static void
on_timer(uv_timer_t *timer)
{
    struct sp_method *m = timer->data;
    if (!m->spec.listens) {
        dial(m);
    } else if (m->watch && uv_poll_start(&m->watch->poll, UV_READABLE, on_acceptable)) {
        uv_timer_start(&m->timer, on_timer, REST_MS, 0);
    }
}

/* Makes a stream of 'fd' and announces it.  On failure 'fd' stays the caller's. */
static int
adopt(struct sp_method *m, int fd, const struct sockaddr_storage *peer)
{
    if (m->n_streams >= SP_METHOD_STREAMS_MAX) {
        complain(m, "too many connections");
        return -EMFILE;
    }
    struct sp_tls_channel *channel = m->tls ? sp_tls_channel_new(m->tls, m->spec.listens) : NULL;
    struct sp_stream *stream;
    char text[SP_PEER_SIZE];
    sp_method_format_peer(peer, m->spec.tls, text);
    int error = m->spec.tls && !channel ? -ENOMEM : 0;
    if (!error) {
        error = sp_stream_open(m->loop, fd, m->spec.local, channel, text, &m->share, &stream_maker, m, &stream);
    }
    if (error) {
        sp_tls_channel_free(channel);
        complain(m, uv_strerror(error));
        return error;
    }
    m->refs++;
    m->n_streams++;
    if (m->spec.tls) {
        shake(m, stream);
    } else {
        announce(m, stream);
    }
    return 0;
}

static void
shake(struct sp_method *m, struct sp_stream *stream)
{
    if (m->n_handshakes == SP_METHOD_HANDSHAKES_MAX) {
        struct sp_stream *oldest = m->handshakes[0];
        forget_handshake(m, oldest);
        complain_of_handshake(m, oldest, "too many handshakes at a time");
        sp_stream_close(oldest, "too many handshakes at a time");
    }
    m->handshakes[m->n_handshakes++] = stream;
    sp_stream_shake(stream, sp_tls_handshake_ms(m->tls));
}

/* Returns whether 'stream' was shaking hands. */
static bool
forget_handshake(struct sp_method *m, const struct sp_stream *stream)
{
    for (size_t i = 0; i < m->n_handshakes; i++) {
        if (m->handshakes[i] == stream) {
            m->n_handshakes--;
            memmove(&m->handshakes[i], &m->handshakes[i + 1], (m->n_handshakes - i) * sizeof m->handshakes[0]);
            return true;
        }
    }
    return false;
}

static void
announce(struct sp_method *m, struct sp_stream *stream)
{
    m->connected_ms = uv_now(m->loop);
    m->complaint[0] = '\0';
    m->events->connected(m->aux, stream, sp_stream_peer(stream));
    sp_stream_begin(stream);
}

static void
on_stream_secured(void *aux, struct sp_stream *stream)
{
    struct sp_method *m = aux;
    forget_handshake(m, stream);
    sp_log(SP_LOG_DEBUG, "tls", "%s is %s, %s", sp_stream_peer(stream), sp_stream_name(stream), sp_stream_fingerprint(stream));
    announce(m, stream);
}

static void
on_stream_released(void *aux, struct sp_stream *stream, const char *why)
{
    struct sp_method *m = aux;
    m->n_streams--;
    if (forget_handshake(m, stream)) {
        complain_of_handshake(m, stream, why);
    }
    if (!m->closed && !m->spec.listens) {
        /* A connection that lasted says that the next one may be tried soon. */
        if (m->connected_ms && uv_now(m->loop) - m->connected_ms >= BACKOFF_MAX_MS) {
            m->backoff_ms = BACKOFF_MIN_MS;
        }
        dial_later(m, NULL);
    }
    unref(m);
}

/* Logs that the handshake of 'stream' failed: for a listener the first few in a while, for a dialer when the reason changes. */
static void
complain_of_handshake(struct sp_method *m, const struct sp_stream *stream, const char *why)
{
    if (!m->spec.listens) {
        complain(m, why);
        return;
    }
    uint64_t now = uv_now(m->loop);
    if (now - m->failures_ms >= FAILURES_MS) {
        if (m->n_failures > FAILURES_MAX) {
            sp_log(SP_LOG_WARNING, "transport", "%s: %u more handshakes failed", m->text, m->n_failures - FAILURES_MAX);
        }
        m->failures_ms = now;
        m->n_failures = 0;
    }
    if (m->n_failures++ < FAILURES_MAX) {
        sp_log(SP_LOG_WARNING, "transport", "%s: %s: %s", m->text, sp_stream_peer(stream), why);
    }
}

/* Logs 'what' unless it was the last thing that was logged here. */
static void
complain(struct sp_method *m, const char *what)
{
    if (strncmp(m->complaint, what, sizeof m->complaint - 1)) {
        snprintf(m->complaint, sizeof m->complaint, "%s", what);
        sp_log(SP_LOG_WARNING, "transport", "%s: %s", m->text, what);
    }
}

static void
unref(struct sp_method *m)
{
    if (!--m->refs) {
        sp_tls_unref(m->tls);
        free(m->text);
        free(m);
    }
}
