#include "controller/http/accept.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#include "controller/obs/log.h"

#define ACCEPTS_PER_TURN 64

struct sp_http_acceptor {
    struct sp_http_listener listener;
    uv_poll_t poll;
    uv_timer_t rest;
    int n_handles;
    bool is_short; /* Of descriptors or memory; that it has been logged. */
    const struct sp_http_accepts *accepts;
    void *aux;
};

static void on_acceptable(uv_poll_t *, int status, int events);
static void on_rested(uv_timer_t *);

static void
on_handle_closed(uv_handle_t *handle)
{
    struct sp_http_acceptor *a = handle->data;

    if (!--a->n_handles) {
        free(a);
    }
}

int
sp_http_acceptor_new(struct uv_loop_s *loop, const char *address, const struct sp_http_accepts *accepts, void *aux,
                     struct sp_http_acceptor **ret, char *why, size_t why_size)
{
    struct sp_http_acceptor *a = calloc(1, sizeof *a);

    if (!a) {
        snprintf(why, why_size, "cannot listen on %s: out of memory", address);
        return -ENOMEM;
    }

    int r = sp_http_listen(address, &a->listener, why, why_size);

    if (r) {
        free(a);
        return r;
    }
    a->accepts = accepts;
    a->aux = aux;
    a->poll.data = a->rest.data = a;
    r = uv_poll_init(loop, &a->poll, a->listener.fd);
    if (r) {
        snprintf(why, why_size, "cannot listen on %s: %s", address, uv_strerror(r));
        close(a->listener.fd);
        sp_http_listener_clear(&a->listener);
        free(a);
        return r;
    }
    uv_timer_init(loop, &a->rest);
    a->n_handles = 2;
    on_rested(&a->rest);
    *ret = a;
    return 0;
}

const struct sp_http_listener *
sp_http_acceptor_listener(const struct sp_http_acceptor *a)
{
    return &a->listener;
}

void
sp_http_acceptor_close(struct sp_http_acceptor *a)
{
    uv_close((uv_handle_t *) &a->poll, on_handle_closed);
    uv_close((uv_handle_t *) &a->rest, on_handle_closed);
    close(a->listener.fd);
    sp_http_listener_clear(&a->listener);
}

/* What cannot be taken stays in the backlog, and would make this a busy loop. */
static void
rest(struct sp_http_acceptor *a)
{
    uv_poll_stop(&a->poll);
    uv_timer_start(&a->rest, on_rested, SP_HTTP_REST_MS, 0);
}

static void
on_rested(uv_timer_t *timer)
{
    struct sp_http_acceptor *a = timer->data;

    if (uv_poll_start(&a->poll, UV_READABLE, on_acceptable)) {
        rest(a);
    }
}

static void
on_acceptable(uv_poll_t *poll, int status, int events)
{
    struct sp_http_acceptor *a = poll->data;

    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_storage address;
        socklen_t size = sizeof address;

        if (!a->accepts->has_room(a->aux)) {
            rest(a);
            return;
        }

        int fd = accept4(a->listener.fd, (struct sockaddr *) &address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            a->is_short = false;
            a->accepts->take(a->aux, fd, (const struct sockaddr *) &address, size);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            if (!a->is_short) {
                a->is_short = true;
                sp_log(SP_LOG_WARNING, "http", "connections have to wait: %s", uv_strerror(-errno));
            }
            rest(a);
            return;
        } /* Anything else concerns the one connection, which has gone.  Source: accept(2), "Error handling". */
    }
}
