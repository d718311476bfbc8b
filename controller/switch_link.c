#include "controller/switch_link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "controller/io/transport.h"

#define OUTPUT_SIZE (64u << 10)
#define LOOK_MS 2500 /* Between two looks at what becomes of an output that waits. */

struct sp_link {
    uv_timer_t timer;
    struct sp_stream *stream;
    struct sp_session *session;
    const struct sp_link_events *events;
    void *aux;
    bool closing;
    int64_t armed_ms; /* When the timer fires. */
    char peer[128];
    char why[SP_LINK_WHY_SIZE];
};

static void on_receive(void *aux, const void *data, size_t size);
static void on_writable(void *aux);
static void on_stream_closed(void *aux, const char *why);
static void on_timer(uv_timer_t *);
static void on_timer_closed(uv_handle_t *);
static void deliver(struct sp_link *);
static void arm(struct sp_link *);
static void follow(struct sp_link *);

static const struct sp_stream_events stream_events = { on_receive, on_writable, on_stream_closed };

static int64_t
now_ms(const struct sp_link *link)
{
    return (int64_t) uv_now(link->timer.loop);
}

struct sp_link *
sp_link_new(uv_loop_t *loop, struct sp_stream *stream, const char *peer, const struct sp_link_events *events, void *aux)
{
    struct sp_link *link = calloc(1, sizeof *link);
    if (!link) {
        return NULL;
    }
    uv_timer_init(loop, &link->timer);
    link->session = sp_session_new(now_ms(link));
    link->timer.data = link;
    link->stream = stream;
    link->events = events;
    link->aux = aux;
    link->armed_ms = INT64_MAX;
    snprintf(link->peer, sizeof link->peer, "%s", peer);
    if (!link->session) {
        /* The handle must pass through the loop; nobody hears of this link. */
        link->events = NULL;
        uv_close((uv_handle_t *) &link->timer, on_timer_closed);
        return NULL;
    }
    sp_stream_start(stream, &stream_events, link);
    arm(link);
    return link;
}

void
sp_link_set_events(struct sp_link *link, const struct sp_link_events *events, void *aux)
{
    link->events = events;
    link->aux = aux;
}

void
sp_link_close(struct sp_link *link, const char *why)
{
    if (!link->closing) {
        link->closing = true;
        snprintf(link->why, sizeof link->why, "%s", why);
        sp_stream_close(link->stream, why);
    }
}

void
sp_link_free(struct sp_link *link)
{
    sp_session_free(link->session);
    free(link);
}

const char *
sp_link_peer(const struct sp_link *link)
{
    return link->peer;
}

const char *
sp_link_why(const struct sp_link *link)
{
    return link->why;
}

const struct sp_stream *
sp_link_stream(const struct sp_link *link)
{
    return link->stream;
}

bool
sp_link_may_be(const struct sp_link *link, uint64_t dpid)
{
    return !link->stream || sp_stream_may_be(link->stream, dpid);
}

bool
sp_link_is_behind(const struct sp_link *link)
{
    return link->stream && sp_stream_is_behind(link->stream);
}

bool
sp_link_idle(const struct sp_link *link)
{
    return !link->closing && sp_session_idle(link->session);
}

void
sp_link_dump(struct sp_link *link, struct sp_known *known)
{
    sp_session_dump(link->session, known, now_ms(link));
    follow(link);
}

void
sp_link_apply(struct sp_link *link, const struct sp_flow_mod *mods, size_t n, const uint16_t *flush_zones, size_t n_zones)
{
    sp_session_apply(link->session, mods, n, flush_zones, n_zones, now_ms(link));
    follow(link);
}

void
sp_link_prepare(struct sp_link *link, const struct sp_flow_mod *mods, size_t n)
{
    sp_session_prepare(link->session, mods, n, now_ms(link));
    follow(link);
}

void
sp_link_commit(struct sp_link *link)
{
    sp_session_commit(link->session, now_ms(link));
    follow(link);
}

void
sp_link_withdraw(struct sp_link *link)
{
    sp_session_withdraw(link->session, now_ms(link));
    follow(link);
}

static void
on_receive(void *aux, const void *data, size_t size)
{
    struct sp_link *link = aux;
    if (!link->closing) {
        sp_session_receive(link->session, data, size, now_ms(link));
        deliver(link);
        sp_stream_wake(link->stream);
    }
}

static void
on_writable(void *aux)
{
    struct sp_link *link = aux;
    uint8_t buffer[OUTPUT_SIZE];
    for (size_t sent = 0; sent + sizeof buffer <= SP_STREAM_CHUNK && !link->closing; sent += sizeof buffer) {
        size_t n = sp_session_output(link->session, buffer, sizeof buffer, now_ms(link));
        if (!n) {
            break;
        }
        int error = sp_stream_send(link->stream, buffer, n);
        if (error) {
            sp_link_close(link, error == -ENOMEM ? "out of memory" : "the output queue is full");
        }
    }
    deliver(link);
}

static void
on_stream_closed(void *aux, const char *why)
{
    struct sp_link *link = aux;
    if (!link->closing) {
        link->closing = true;
        snprintf(link->why, sizeof link->why, "%s", why);
    }
    link->stream = NULL;
    uv_close((uv_handle_t *) &link->timer, on_timer_closed);
}

static void
on_timer(uv_timer_t *timer)
{
    struct sp_link *link = timer->data;
    link->armed_ms = INT64_MAX;
    if (!link->closing) {
        int64_t taken_ms;
        if (sp_stream_taken(link->stream, &taken_ms)) {
            sp_session_taken(link->session, taken_ms);
        }
        if (sp_stream_is_behind(link->stream)) {
            sp_session_unread(link->session, now_ms(link));
        }
        sp_session_tick(link->session, now_ms(link));
        deliver(link);
        sp_stream_wake(link->stream);
    }
}

static void
on_timer_closed(uv_handle_t *handle)
{
    struct sp_link *link = handle->data;
    if (link->events) {
        link->events->closed(link->aux, link);
    } else {
        sp_link_free(link);
    }
}

/* Hands out the session's events.  Does not wake the stream: called from its 'writable' that would go round for ever. */
static void
deliver(struct sp_link *link)
{
    struct sp_event event;
    while (sp_session_next(link->session, &event)) {
        if (link->closing) {
            sp_flow_unref(event.flow);
        } else if (event.kind == SP_EVENT_CLOSED) {
            /* What the session had to say last (why the handshake failed, say) goes out before the end, if it can. */
            uint8_t last[512];
            size_t n = sp_session_output(link->session, last, sizeof last, now_ms(link));
            int unsent = n ? sp_stream_send(link->stream, last, n) : 0;
            (void) unsent; /* It ends all the same. */
            sp_link_close(link, event.text);
        } else {
            if (event.kind == SP_EVENT_READY) {
                sp_stream_prefer(link->stream);
            }
            link->events->event(link->aux, link, &event);
        }
    }
    arm(link);
}

/* Sees to it that the session is called when its deadline comes.  One that moved away is noticed when the timer fires. */
static void
arm(struct sp_link *link)
{
    if (link->closing) {
        return;
    }
    int64_t deadline = sp_session_deadline(link->session), look = now_ms(link) + LOOK_MS;
    deadline = look < deadline && sp_stream_waits(link->stream) ? look : deadline;
    if (deadline < link->armed_ms) {
        int64_t wait = deadline - now_ms(link);
        uv_timer_start(&link->timer, on_timer, wait > 0 ? (uint64_t) wait : 0, 0);
        link->armed_ms = deadline;
    }
}

/* The session may have something to say now.  Who is closing says nothing any more, and soon has no stream; its owner hears of
 * that some time later. */
static void
follow(struct sp_link *link)
{
    if (!link->closing) {
        arm(link);
        sp_stream_wake(link->stream);
    }
}
