#include "controller/io/stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define LOW_MARK (64u << 10)

struct sp_stream {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } u;
    uv_timer_t wake;
    unsigned n_handles; /* Not closed yet. */
    bool begun;
    bool paused;
    bool closing;
    size_t queued;      /* Bytes whose write has not ended. */
    uint8_t *buffer;
    const struct sp_stream_events *events; /* NULL: not started. */
    void *events_aux;
    void (*released)(void *aux, struct sp_stream *);
    void *released_aux;
    char why[128];
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
static void on_handle_closed(uv_handle_t *);
static void offer_output(struct sp_stream *);

int
sp_stream_open(uv_loop_t *loop, int fd, bool local, uint8_t *buffer, void (*released)(void *aux, struct sp_stream *), void *aux,
               struct sp_stream **ret)
{
    struct sp_stream *s = calloc(1, sizeof *s);
    if (!s) {
        return -ENOMEM;
    }
    s->buffer = buffer;
    s->released = released;
    s->released_aux = aux;
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
        s->released = NULL;
        sp_stream_close(s, "");
        return error;
    }
    if (!local) {
        /* Both only make things better; a socket that refuses them still works. */
        (void) uv_tcp_nodelay(&s->u.tcp, 1);
        (void) uv_tcp_keepalive(&s->u.tcp, 1, 60);
    }
    *ret = s;
    return 0;
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
    if (size > SP_STREAM_CHUNK + LOW_MARK || s->queued > SP_STREAM_CHUNK + LOW_MARK - size) {
        return SP_E_FULL;
    }
    struct write *w = malloc(sizeof *w + size);
    if (!w) {
        return -ENOMEM;
    }
    w->stream = s;
    w->size = size;
    memcpy(w->data, data, size);
    uv_buf_t buf = uv_buf_init((char *) w->data, (unsigned) size);
    int error = uv_write(&w->request, &s->u.stream, &buf, 1, on_written);
    if (error) {
        free(w);
        return error;
    }
    s->queued += size;
    return 0;
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
}

void
sp_stream_close(struct sp_stream *s, const char *why)
{
    if (s->closing) {
        return;
    }
    s->closing = true;
    snprintf(s->why, sizeof s->why, "%s", why);
    uv_close(&s->u.handle, on_handle_closed);
    uv_close((uv_handle_t *) &s->wake, on_handle_closed);
}

/* One buffer serves all streams: libuv asks for it just before it reads and hands it back before it asks again. */
static void
on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct sp_stream *s = handle->data;
    *ret = uv_buf_init((char *) s->buffer, SP_STREAM_READ_SIZE);
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct sp_stream *s = stream->data;
    if (s->closing || !n) {
        return;
    }
    if (n < 0) {
        sp_stream_close(s, n == UV_EOF ? "the peer closed the connection" : uv_strerror((int) n));
        return;
    }
    s->events->receive(s->events_aux, buf->base, (size_t) n);
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
    offer_output(timer->data);
}

static void
offer_output(struct sp_stream *s)
{
    if (!s->closing && s->queued < LOW_MARK) {
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
    if (s->released) {
        s->released(s->released_aux, s);
    }
    free(s);
}
