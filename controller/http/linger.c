#include "controller/http/linger.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#define LINGER_MS 2000
#define LINGER_MAX 128
#define READ_MAX (256u << 10) /* Per turn of the loop, as other connections wait. */

struct socket {
    uv_poll_t poll;
    struct sp_http_linger *owner;
    struct socket *next;
    int fd;
    uint64_t until_ms;
    bool is_closing;
};

struct sp_http_linger {
    uv_loop_t *loop;
    struct socket *sockets; /* Those that are closing included. */
    size_t n;
    bool is_closing;
};

static bool is_drained(int fd);
static void on_readable(uv_poll_t *, int status, int events);
static void end(struct socket *);
static void on_closed(uv_handle_t *);

struct sp_http_linger *
sp_http_linger_new(struct uv_loop_s *loop)
{
    struct sp_http_linger *l = calloc(1, sizeof *l);

    if (l) {
        l->loop = loop;
    }
    return l;
}

void
sp_http_linger_add(struct sp_http_linger *l, int fd)
{
    shutdown(fd, SHUT_WR);
    if (is_drained(fd) || l->n >= LINGER_MAX) {
        close(fd);
        return;
    }

    struct socket *s = calloc(1, sizeof *s);

    if (!s || uv_poll_init(l->loop, &s->poll, fd)) {
        free(s);
        close(fd);
        return;
    }
    s->owner = l;
    s->fd = fd;
    s->until_ms = uv_now(l->loop) + LINGER_MS;
    s->poll.data = s;
    s->next = l->sockets;
    l->sockets = s;
    l->n++;
    if (uv_poll_start(&s->poll, UV_READABLE | UV_DISCONNECT, on_readable)) {
        end(s);
    }
}

size_t
sp_http_linger_expire(struct sp_http_linger *l, uint64_t now_ms)
{
    for (struct socket *s = l->sockets; s; s = s->next) {
        if (now_ms >= s->until_ms) {
            end(s);
        }
    }
    return l->n;
}

void
sp_http_linger_close(struct sp_http_linger *l)
{
    if (!l) {
        return;
    }
    l->is_closing = true;
    if (!l->n) {
        free(l);
        return;
    }
    for (struct socket *s = l->sockets; s; s = s->next) {
        end(s);
    }
}

/* Reads what is there; true once the client has closed, or the connection is broken. */
static bool
is_drained(int fd)
{
    static const size_t size = 65536;
    char *bytes = malloc(size);
    size_t sum = 0;
    bool done = !bytes;

    while (!done && sum < READ_MAX) {
        ssize_t n = recv(fd, bytes, size, MSG_DONTWAIT);

        if (n < 0 && errno == EAGAIN) {
            break;
        }
        done = !n || (n < 0 && errno != EINTR);
        sum += n > 0 ? (size_t) n : 0;
    }
    free(bytes);
    return done;
}

static void
on_readable(uv_poll_t *poll, int status, int events)
{
    struct socket *s = poll->data;

    if (status < 0 || is_drained(s->fd)) {
        end(s);
    }
}

static void
end(struct socket *s)
{
    if (!s->is_closing) {
        s->is_closing = true;
        uv_close((uv_handle_t *) &s->poll, on_closed);
    }
}

static void
on_closed(uv_handle_t *handle)
{
    struct socket *s = handle->data;
    struct sp_http_linger *l = s->owner;

    for (struct socket **p = &l->sockets; *p; p = &(*p)->next) {
        if (*p == s) {
            *p = s->next;
            break;
        }
    }
    close(s->fd);
    free(s);
    l->n--;
    if (l->is_closing && !l->n) {
        free(l);
    }
}
