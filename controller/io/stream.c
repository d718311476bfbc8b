/* With TLS the bytes of the network pass through a channel: what is read is fed to it and what it decrypts is received; what is
 * sent is encrypted at once, and what the channel has for the network is written after each call.  So the bound on what is
 * queued holds for the encrypted bytes; a peer that makes the channel talk (key updates) without reading is closed there too. */

#include "controller/io/stream.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <uv.h>

#include "controller/io/method.h"
#include "controller/io/tls.h"

#define LOW_MARK (64u << 10)
#define TURN_NS 500000u /* What known streams may spend in a turn of the loop, reading, and again writing. */
#define STRANGERS_TURN_NS 1000000u /* Likewise all others: little each, and those that wait cost the loop more than their turn. */
#define QUEUE_MAX (SP_STREAM_CHUNK + LOW_MARK)
#define TLS_SEND_MAX (QUEUE_MAX + LOW_MARK / 2) /* What encryption adds. */
#define TLS_QUEUE_MAX (QUEUE_MAX + LOW_MARK)    /* What the channel itself has to say. */

struct sp_stream {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } u;
    uv_timer_t wake;    /* Before 'begun' it is the end of the handshake's time. */
    unsigned n_handles; /* Not closed yet. */
    struct sp_tls_channel *tls; /* NULL: plain. */
    bool secured;       /* The handshake is complete. */
    bool begun;
    bool paused;
    bool closing;
    size_t queued;      /* Bytes whose write has not ended. */
    uint64_t submitted; /* Bytes ever. */
    uint64_t taken;     /* Of them, those that the peer's system had confirmed when it was last asked. */
    bool was_waiting;   /* Then there were more. */
    struct sp_stream_share *share;
    struct sp_stream_lane *lane; /* Of 'share'. */
    uint64_t cohort;    /* Of the lane's cohorts the one with which it waits to read; 0: it does not wait. */
    const struct sp_stream_events *events; /* NULL: not started. */
    void *events_aux;
    const struct sp_stream_maker *maker; /* NULL: nobody hears of it any more. */
    void *maker_aux;
    char peer[SP_PEER_SIZE];
    char why[160];
};

struct write {
    uv_write_t request;
    struct sp_stream *stream;
    size_t size;
    uint8_t data[];
};

static void on_alloc(uv_handle_t *, size_t, uv_buf_t *);
static void on_read(uv_stream_t *, ssize_t, const uv_buf_t *);
static void on_written(uv_write_t *, int status);
static void on_wake(uv_timer_t *);
static void on_handshake_late(uv_timer_t *);
static void on_handle_closed(uv_handle_t *);
static void offer_output(struct sp_stream *);
static void advance(struct sp_stream *);
static int flush(struct sp_stream *);
static int submit(struct sp_stream *, struct write *);

int
sp_stream_open(uv_loop_t *loop, int fd, bool local, struct sp_tls_channel *tls, const char *peer,
               struct sp_stream_share *share,
               const struct sp_stream_maker *maker, void *aux, struct sp_stream **ret)
{
    struct sp_stream *s = calloc(1, sizeof *s);
    if (!s) {
        return -ENOMEM;
    }
    s->share = share;
    s->lane = &share->strangers;
    s->maker = maker;
    s->maker_aux = aux;
    snprintf(s->peer, sizeof s->peer, "%s", peer);
    int error = local ? uv_pipe_init(loop, &s->u.pipe, 0) : uv_tcp_init(loop, &s->u.tcp);
    if (error) {
        free(s);
        return error;
    }
    uv_timer_init(loop, &s->wake);
    s->u.handle.data = s;
    s->wake.data = s;
    s->n_handles = 2;
    error = local ? uv_pipe_open(&s->u.pipe, fd) : uv_tcp_open(&s->u.tcp, fd);
    if (error) {
        /* The handles must pass through the loop; nobody hears of this stream. */
        s->maker = NULL;
        sp_stream_close(s, "");
        return error;
    }
    if (!local) {
        /* Both only make things better; a socket that refuses them still works. */
        (void) uv_tcp_nodelay(&s->u.tcp, 1);
        (void) uv_tcp_keepalive(&s->u.tcp, 1, 60);
    }
    s->tls = tls;
    *ret = s;
    return 0;
}

void
sp_stream_shake(struct sp_stream *s, unsigned timeout_ms)
{
    uv_timer_start(&s->wake, on_handshake_late, timeout_ms, 0);
    int error = uv_read_start(&s->u.stream, on_alloc, on_read);
    if (error) {
        sp_stream_close(s, uv_strerror(error));
        return;
    }
    advance(s); /* The dialling end speaks first. */
}

void
sp_stream_begin(struct sp_stream *s)
{
    s->begun = true;
    if (!s->events) {
        sp_stream_close(s, "not wanted");
        return;
    }
    sp_stream_pause(s, s->paused);
    sp_stream_wake(s);
}

const char *
sp_stream_peer(const struct sp_stream *s)
{
    return s->peer;
}

bool
sp_stream_may_be(const struct sp_stream *s, uint64_t dpid)
{
    return !s->tls || sp_tls_channel_may_be(s->tls, dpid);
}

const char *
sp_stream_name(const struct sp_stream *s)
{
    return s->tls ? sp_tls_channel_identity(s->tls)->name : "";
}

const char *
sp_stream_fingerprint(const struct sp_stream *s)
{
    return s->tls ? sp_tls_channel_identity(s->tls)->fingerprint : "";
}

void
sp_stream_start(struct sp_stream *s, const struct sp_stream_events *events, void *aux)
{
    s->events = events;
    s->events_aux = aux;
}

int
sp_stream_send(struct sp_stream *s, const void *data, size_t size)
{
    if (s->closing) {
        return SP_E_CLOSED;
    }
    size_t max = s->tls ? TLS_SEND_MAX : QUEUE_MAX;
    if (size > QUEUE_MAX || s->queued > max - size) {
        return SP_E_FULL;
    }
    if (s->tls) {
        return !size ? 0 : sp_tls_channel_write(s->tls, data, size) ? SP_E_CLOSED : flush(s);
    }
    struct write *w = malloc(sizeof *w + size);
    if (!w) {
        return -ENOMEM;
    }
    w->size = size;
    memcpy(w->data, data, size);
    return submit(s, w);
}

bool
sp_stream_taken(struct sp_stream *s, int64_t *ret_at_ms)
{
    struct tcp_info info;
    socklen_t info_size = sizeof info;
    int fd = -1, unsent = 0;
    memset(&info, 0, sizeof info);
    if (s->closing || uv_fileno(&s->u.handle, &fd) || ioctl(fd, SIOCOUTQ, &unsent)) {
        return false;
    }
    /* A unix socket has no such thing: then it is now. */
    (void) getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &info_size);
    size_t waiting = s->queued + (unsent > 0 ? (size_t) unsent : 0);
    uint64_t taken = s->submitted > waiting ? s->submitted - waiting : 0;
    bool is_sign = s->was_waiting && taken > s->taken;
    s->was_waiting = waiting;
    s->taken = taken > s->taken ? taken : s->taken;
    *ret_at_ms = (int64_t) uv_now(s->wake.loop) - (int64_t) info.tcpi_last_ack_recv;
    return is_sign;
}

bool
sp_stream_is_behind(const struct sp_stream *s)
{
    return s->cohort;
}

bool
sp_stream_waits(const struct sp_stream *s)
{
    return s->queued || s->was_waiting;
}

void
sp_stream_wake(struct sp_stream *s)
{
    if (!s->closing && s->begun && !uv_is_active((uv_handle_t *) &s->wake)) {
        uv_timer_start(&s->wake, on_wake, 0, 0);
    }
}

void
sp_stream_pause(struct sp_stream *s, bool paused)
{
    s->paused = paused;
    if (s->closing || !s->begun) {
        return;
    }
    if (paused) {
        uv_read_stop(&s->u.stream);
        return;
    }
    int error = uv_read_start(&s->u.stream, on_alloc, on_read);
    if (error && error != UV_EALREADY) {
        sp_stream_close(s, uv_strerror(error));
    }
    sp_stream_wake(s); /* The channel may have more than the network. */
}

/* The cohort in which it waited, if it did, goes on without it. */
void
sp_stream_prefer(struct sp_stream *s)
{
    if (s->lane != &s->share->known) {
        s->lane = &s->share->known;
        s->cohort = 0;
    }
}

void
sp_stream_close(struct sp_stream *s, const char *why)
{
    if (s->closing) {
        return;
    }
    s->closing = true;
    if (s->secured && !s->queued) {
        sp_tls_channel_end(s->tls);
        (void) flush(s); /* If it can be said at once. */
    }
    snprintf(s->why, sizeof s->why, "%s", why);
    uv_close(&s->u.handle, on_handle_closed);
    uv_close((uv_handle_t *) &s->wake, on_handle_closed);
}

/* Whether 'turn' has time left.  Its first caller always finds some.  '*ret_new' tells that the caller is the first. */
static bool
has_time(struct sp_stream *s, struct sp_stream_turn *turn, bool *ret_new)
{
    uint64_t now_ms = uv_now(s->u.handle.loop);
    *ret_new = turn->now_ms != now_ms || !turn->begun_ns;
    if (*ret_new) {
        *turn = (struct sp_stream_turn) { .now_ms = now_ms, .begun_ns = uv_hrtime() };
    }
    return *ret_new || uv_hrtime() - turn->begun_ns < (s->lane == &s->share->known ? TURN_NS : STRANGERS_TURN_NS);
}

/* Whether 's' may read in this turn.  libuv offers one stream up to 32 reads, and streams always in the same order; so those that
 * had no time in a turn form a cohort, of which each gets one read before anybody else gets one. */
static bool
may_read(struct sp_stream *s)
{
    struct sp_stream_lane *lane = s->lane;
    bool is_new, has = has_time(s, &lane->reading, &is_new);
    if (is_new) {
        /* One that no longer asks, for whatever reason, holds up nobody. */
        if (!lane->n_cohort || !lane->served) {
            lane->cohort++;
            lane->n_cohort = lane->n_next;
            lane->n_next = 0;
        }
        lane->served = false;
    }
    bool is_due = s->cohort == lane->cohort;
    if (!has || (lane->n_cohort && !is_due)) {
        if (s->cohort < lane->cohort) {
            s->cohort = lane->cohort + 1;
            lane->n_next++;
        }
        return false;
    }
    lane->n_cohort -= is_due && lane->n_cohort;
    lane->served = lane->served || is_due;
    s->cohort = 0;
    return true;
}

/* One buffer serves all streams: libuv asks for it just before it reads and hands it back before it asks again.  Without one it
 * says so (UV_ENOBUFS) and asks again in the next turn. */
static void
on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct sp_stream *s = handle->data;
    *ret = may_read(s) ? uv_buf_init((char *) s->share->buffer, SP_STREAM_READ_SIZE) : uv_buf_init(NULL, 0);
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct sp_stream *s = stream->data;
    if (s->closing || !n || n == UV_ENOBUFS) {
        return;
    }
    if (n < 0) {
        sp_stream_close(s, n == UV_EOF ? "the peer closed the connection" : uv_strerror((int) n));
        return;
    }
    if (!s->tls) {
        s->events->receive(s->events_aux, buf->base, (size_t) n);
    } else if (sp_tls_channel_feed(s->tls, buf->base, (size_t) n)) {
        sp_stream_close(s, uv_strerror(UV_ENOMEM));
    } else {
        advance(s);
    }
}

/* TLS: goes on with what the network has brought: the handshake, then what is inside.  From the loop only. */
static void
advance(struct sp_stream *s)
{
    char why[sizeof s->why] = "";
    int r = 0;
    if (!s->secured) {
        r = sp_tls_channel_shake(s->tls, why, sizeof why);
        int error = flush(s);
        if (error || (r && r != SP_E_STALE)) {
            sp_stream_close(s, r && r != SP_E_STALE ? why : "cannot send"); /* An alert has gone out before. */
        }
        if (r || s->closing) {
            return;
        }
        s->secured = true;
        uv_timer_stop(&s->wake);
        s->maker->secured(s->maker_aux, s);
    }
    uint8_t plain[SP_TLS_RECORD_MAX];
    size_t n = 1;
    while (n && !r && !s->closing && !s->paused) {
        r = sp_tls_channel_read(s->tls, plain, sizeof plain, &n, why, sizeof why);
        if (n) {
            s->events->receive(s->events_aux, plain, n);
        }
    }
    if (!s->closing && flush(s)) {
        sp_stream_close(s, "the peer does not read");
    }
    if (r) {
        sp_stream_close(s, why);
    }
}

/* TLS: writes what the channel has for the network.  Returns 0, SP_E_FULL or a negative errno. */
static int
flush(struct sp_stream *s)
{
    size_t size = sp_tls_channel_pending(s->tls);
    if (!size) {
        return 0;
    }
    if (size > TLS_QUEUE_MAX || s->queued > TLS_QUEUE_MAX - size) {
        return SP_E_FULL;
    }
    struct write *w = malloc(sizeof *w + size);
    if (!w) {
        return -ENOMEM;
    }
    w->size = sp_tls_channel_take(s->tls, w->data, size);
    return submit(s, w);
}

/* Takes over 'w'. */
static int
submit(struct sp_stream *s, struct write *w)
{
    uv_buf_t buf = uv_buf_init((char *) w->data, (unsigned) w->size);
    w->stream = s;
    int error = uv_write(&w->request, &s->u.stream, &buf, 1, on_written);
    if (error) {
        free(w);
        return error;
    }
    s->queued += w->size;
    s->submitted += w->size;
    return 0;
}

static void
on_written(uv_write_t *request, int status)
{
    struct write *w = (struct write *) request;
    struct sp_stream *s = w->stream;
    s->queued -= w->size;
    free(w);
    if (s->closing) {
        return;
    }
    if (status < 0) {
        sp_stream_close(s, uv_strerror(status));
        return;
    }
    offer_output(s);
}

static void
on_wake(uv_timer_t *timer)
{
    struct sp_stream *s = timer->data;
    bool is_new;
    if (!has_time(s, &s->lane->writing, &is_new)) {
        uv_timer_start(&s->wake, on_wake, 1, 0); /* With 0 it would come back in this same turn. */
        return;
    }
    if (s->tls) {
        advance(s);
    }
    offer_output(s);
}

static void
on_handshake_late(uv_timer_t *timer)
{
    sp_stream_close(timer->data, "TLS: the handshake took too long");
}

static void
offer_output(struct sp_stream *s)
{
    if (!s->closing && s->begun && s->queued < LOW_MARK) {
        s->events->writable(s->events_aux);
    }
}

static void
on_handle_closed(uv_handle_t *handle)
{
    struct sp_stream *s = handle->data;
    if (--s->n_handles) {
        return;
    }
    if (s->events) {
        s->events->closed(s->events_aux, s->why);
    }
    if (s->maker) {
        s->maker->released(s->maker_aux, s, s->why);
    }
    sp_tls_channel_free(s->tls);
    free(s);
}
