/* The loop drives libmicrohttpd: its epoll descriptor is polled, and MHD_run() does what there is to do.
 *
 * A connection goes WAITING -> RECEIVING (its request line is there) -> WORKING (the handler has the whole request) -> ANSWERING
 * or STREAMING -> WAITING.  Each state but WORKING has a deadline of ours: libmicrohttpd's timeout is one of idleness, which a
 * byte a second never reaches.  At the deadline the socket is shut down, and libmicrohttpd cleans up.
 *
 * A stream for which nothing waits is suspended, and libmicrohttpd looks at it no more, not even for the client's end; so we
 * do.  While something waits its deadline runs, and begins anew whenever libmicrohttpd has got rid of a part.
 *
 * What libmicrohttpd 0.9.75 lets pass is refused in the first call of its handler.  What it refuses by itself it answers with a
 * page of its own, in HTML: a broken request line, header line, length or chunk, and a head over HEAD_MAX. */

#include "controller/http/server.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "controller/http/connection.h"
#include "controller/http/credentials.h"
#include "controller/http/linger.h"
#include "controller/http/listen.h"
#include "controller/http/request.h"
#include "controller/http/stream.h"
#include "controller/http/turn.h"
#include "controller/obs/log.h"

#define HEAD_MAX (32u << 10) /* libmicrohttpd's memory for a connection: the heads of the request and of the answer. */
#define SPARE_CONNECTIONS 64 /* Accepted beyond the limit, while others are cut for them, or to be told 503. */
#define PER_ADDRESS_MAX 256  /* Connections of one address, where the listener is not for this machine alone. */
#define PRIORITIES "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA" /* Of GnuTLS; without -RSA keys would not be ephemeral. */
#define TICK_MS 500          /* How exact deadlines are. */
#define CLOSE_MS 2000        /* How long answers may take to leave when the server closes. */
#define STREAM_PART 16384    /* What libmicrohttpd takes of a stream at once. */

/* One request and its answer on a connection. */
struct sp_http_exchange {
    struct connection *connection;
    struct MHD_Connection *mhd;
    struct sp_http_request *request; /* NULL: answered. */
    bool is_begun;      /* libmicrohttpd's first call is over. */
    bool is_handed;     /* The handler has the request. */
    bool is_suspended;
    bool is_answered;
    struct MHD_Response *response; /* NULL with 'is_answered': there was no memory for it. */
    struct sp_http_stream *stream; /* Its body, or NULL. */
    unsigned status;
};

struct sp_http_server {
    uv_loop_t *loop;
    sp_http_handle *handle;
    void *aux;
    struct MHD_Daemon *daemon;
    struct sp_http_linger *linger;
    struct connections connections;
    struct sp_http_request *handed; /* Those that the handler has and that want an answer. */
    uv_poll_t poll;
    struct sp_http_turn turn; /* When libmicrohttpd runs again. */
    uv_timer_t tick_timer; /* Deadlines. */
    int n_handles;
    bool is_closing;
    bool is_retired; /* What has been begun is finished, and then it closes. */
    uint64_t close_until_ms;
    void (*closed)(void *aux);
    void *closed_aux;
};

static int start_daemon(struct sp_http_server *, const struct sp_http_credentials *, bool is_exposed);
static int start_handles(struct sp_http_server *);
static void close_handles(struct sp_http_server *);
static void run(void *server);
static void on_poll(uv_poll_t *, int status, int events);
static void on_tick(uv_timer_t *);
static void on_handle_closed(uv_handle_t *);
static void cut(struct connection *);
static bool make_room(struct sp_http_server *);
static void finish_connections(struct sp_http_server *);
static void on_connection(void *aux, struct MHD_Connection *, void **context, enum MHD_ConnectionNotificationCode);
static void *on_target(void *aux, const char *target, struct MHD_Connection *);
static size_t keep_escapes(void *aux, struct MHD_Connection *, char *text);
static enum MHD_Result on_request(void *aux, struct MHD_Connection *, const char *url, const char *method, const char *version,
                                  const char *data, size_t *size, void **context);
static void on_completed(void *aux, struct MHD_Connection *, void **context, enum MHD_RequestTerminationCode);
static enum MHD_Result begin(struct sp_http_exchange *, const char *method, const char *version);
static enum MHD_Result receive(struct sp_http_exchange *, const char *data, size_t *size);
static enum MHD_Result finish(struct sp_http_exchange *);
static enum MHD_Result answer_now(struct sp_http_exchange *);
static void answer_problem(struct sp_http_exchange *, unsigned status, const char *detail);
static void give_answer(struct sp_http_exchange *, unsigned status, const char *content_type, const char *body, size_t size,
                        const struct sp_http_field *fields, size_t n_fields);
static bool give_response(struct sp_http_exchange *, unsigned status, const char *content_type,
                          const struct sp_http_field *fields, size_t n_fields);
static ssize_t read_stream(void *aux, uint64_t position, char *out, size_t size);
static void free_stream(void *aux);
static void tick_stream(struct connection *, uint64_t now_ms);
static void wake(struct sp_http_stream *);
static int format_problem(char *out, size_t out_size, unsigned status, const char *detail);
static struct sp_http_request *take_request(struct sp_http_exchange *);
static void enter(struct connection *, enum connection_state);

int
sp_http_server_new(uv_loop_t *loop, const struct sp_http_credentials *credentials, bool is_exposed, sp_http_handle *handle,
                   void *aux, struct sp_http_server **ret)
{
    struct sp_http_server *s = calloc(1, sizeof *s);

    if (!s) {
        return -ENOMEM;
    }
    s->loop = loop;
    s->handle = handle;
    s->aux = aux;
    s->linger = sp_http_linger_new(loop);

    int r = s->linger ? start_daemon(s, credentials, is_exposed) : -ENOMEM;

    r = r ? r : start_handles(s);
    if (!r) {
        *ret = s;
        return 0;
    }
    if (s->daemon) {
        MHD_stop_daemon(s->daemon);
    }
    sp_http_linger_close(s->linger);
    s->linger = NULL;
    close_handles(s); /* They free 's' at last. */
    return r;
}

bool
sp_http_server_has_room(const struct sp_http_server *s)
{
    return s->connections.n < SP_HTTP_CONNECTIONS_MAX + SPARE_CONNECTIONS;
}

void
sp_http_server_take(struct sp_http_server *s, int fd, const struct sockaddr *address, socklen_t size)
{
    /* What it does not take, without memory or of an address that has too many, it closes. */
    if (MHD_add_connection(s->daemon, fd, address, size) != MHD_YES) {
        sp_log(SP_LOG_DEBUG, "http", "a connection was refused");
    }
    sp_http_turn_again(&s->turn, 0);
}

void
sp_http_server_retire(struct sp_http_server *s, void (*closed)(void *aux), void *aux)
{
    s->closed = closed;
    s->closed_aux = aux;
    s->is_retired = true;
    s->close_until_ms = UINT64_MAX;
    finish_connections(s);
}

void
sp_http_server_close(struct sp_http_server *s, void (*closed)(void *aux), void *aux)
{
    s->closed = closed;
    s->closed_aux = aux;
    s->is_closing = true;
    s->close_until_ms = uv_now(s->loop) + CLOSE_MS;
    while (s->handed) {
        struct sp_http_exchange *x = s->handed->exchange;

        take_request(x); /* Stays with the handler, and goes when the handler answers. */
        answer_problem(x, 503, "the controller is stopping");
    }
    finish_connections(s);
}

/* Ends what would not end by itself. */
static void
finish_connections(struct sp_http_server *s)
{
    for (struct connection *c = s->connections.first; c; c = c->next) {
        if (c->state == WAITING) {
            cut(c);
        } else if (c->stream) {
            sp_http_stream_end(c->stream);
        }
    }
    sp_http_turn_again(&s->turn, 0);
}

void
sp_http_respond(struct sp_http_request *r, unsigned status, const char *content_type, const char *body, size_t size,
                const struct sp_http_field *fields, size_t n_fields)
{
    struct sp_http_exchange *x = r->exchange;

    if (x) {
        take_request(x);
        give_answer(x, status, content_type, body, size, fields, n_fields);
    }
    sp_http_request_free(r);
}

bool
sp_http_client(const struct sp_http_request *r, char *out, size_t size)
{
    return r->exchange && sp_http_peer(r->exchange->connection->fd, out, size);
}

struct sp_http_stream *
sp_http_respond_stream(struct sp_http_request *r, const char *content_type, const struct sp_http_field *fields, size_t n_fields,
                       const struct sp_http_stream_options *options)
{
    struct sp_http_exchange *x = r->exchange;
    struct sp_http_stream *stream = x ? sp_http_stream_new(options) : NULL;

    if (!stream) {
        return NULL;
    }
    x->response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_PART, read_stream, stream, free_stream);
    if (!x->response) {
        sp_http_stream_free(stream);
        return NULL;
    }
    stream->connection = x->connection;
    stream->mhd = x->mhd;
    x->stream = stream;
    if (!give_response(x, 200, content_type, fields, n_fields)) {
        x->stream = NULL; /* It went with the response. */
        x->is_answered = false;
        return NULL;
    }
    take_request(x);
    sp_http_request_free(r);
    return stream;
}

int
sp_http_stream_write(struct sp_http_stream *stream, const char *data, size_t size)
{
    int r = sp_http_stream_put(stream, data, size);

    if (r) {
        cut(stream->connection);
    } else {
        wake(stream);
    }
    return r;
}

void
sp_http_stream_end(struct sp_http_stream *stream)
{
    stream->is_ended = true;
    wake(stream);
}

static int
start_daemon(struct sp_http_server *s, const struct sp_http_credentials *credentials, bool is_exposed)
{
    unsigned flags = MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME;
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_CONNECTION_LIMIT, SP_HTTP_CONNECTIONS_MAX + SPARE_CONNECTIONS, NULL},
        {MHD_OPTION_PER_IP_CONNECTION_LIMIT, is_exposed ? PER_ADDRESS_MAX : 0, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, HEAD_MAX, NULL},
        /* 0: a missing Host is left to us, who answer it in the right form. */
        {MHD_OPTION_STRICT_FOR_CLIENT, 0, NULL},
        {MHD_OPTION_NOTIFY_CONNECTION, (intptr_t) on_connection, s},
        {MHD_OPTION_URI_LOG_CALLBACK, (intptr_t) on_target, s},
        {MHD_OPTION_UNESCAPE_CALLBACK, (intptr_t) keep_escapes, NULL},
        {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t) on_completed, s},
        {MHD_OPTION_END, 0, NULL},
        {MHD_OPTION_END, 0, NULL},
        {MHD_OPTION_END, 0, NULL},
        {MHD_OPTION_END, 0, NULL},
    };

    if (credentials) {
        struct MHD_OptionItem *more = &options[sizeof options / sizeof options[0] - 4];

        flags |= MHD_USE_TLS;
        more[0] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0, (char *) PRIORITIES};
        more[1] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, credentials->private_key};
        more[2] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, credentials->certificate};
    }
    errno = 0;
    s->daemon = MHD_start_daemon(flags, 0, NULL, NULL, on_request, s, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
    return s->daemon ? 0 : errno ? -errno : credentials ? -EKEYREJECTED : -ENOMEM;
}

static int
start_handles(struct sp_http_server *s)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    int r;

    s->poll.data = s->tick_timer.data = s;
    r = info ? uv_poll_init(s->loop, &s->poll, info->epoll_fd) : -EINVAL;
    if (r) {
        return r;
    }
    sp_http_turn_init(&s->turn, s->loop, run, s);
    uv_timer_init(s->loop, &s->tick_timer);
    s->n_handles = 2 + SP_HTTP_TURN_HANDLES;
    return uv_poll_start(&s->poll, UV_READABLE, on_poll);
}

static void
close_handles(struct sp_http_server *s)
{
    if (!s->n_handles) {
        free(s);
        return;
    }
    uv_close((uv_handle_t *) &s->poll, on_handle_closed);
    sp_http_turn_close(&s->turn, on_handle_closed);
    uv_close((uv_handle_t *) &s->tick_timer, on_handle_closed);
}

static void
on_handle_closed(uv_handle_t *handle)
{
    struct sp_http_server *s = handle->data;

    if (!--s->n_handles) {
        void (*closed)(void *aux) = s->closed;
        void *aux = s->closed_aux;

        free(s);
        if (closed) {
            closed(aux);
        }
    }
}

static void
run(void *server)
{
    struct sp_http_server *s = server;
    MHD_UNSIGNED_LONG_LONG timeout_ms;

    sp_http_turn_begin(&s->turn);
    MHD_run(s->daemon);
    if ((s->is_closing || s->is_retired) && (!s->connections.n || uv_now(s->loop) >= s->close_until_ms)) {
        uv_poll_stop(&s->poll); /* Before its descriptor goes. */
        MHD_stop_daemon(s->daemon);
        s->daemon = NULL;
        sp_http_linger_close(s->linger);
        s->linger = NULL;
        close_handles(s);
        return;
    }
    if (MHD_get_timeout(s->daemon, &timeout_ms) == MHD_YES) {
        sp_http_turn_again(&s->turn, timeout_ms);
    }
    if (!uv_is_active((uv_handle_t *) &s->tick_timer)) {
        uv_timer_start(&s->tick_timer, on_tick, TICK_MS, 0);
    }
}

static void
on_poll(uv_poll_t *poll, int status, int events)
{
    struct sp_http_server *s = poll->data;

    sp_http_turn_useful(&s->turn);
    run(s);
}

/* Looks for deadlines.  Ticks while there is a connection, or one lingers. */
static void
on_tick(uv_timer_t *timer)
{
    struct sp_http_server *s = timer->data;
    uint64_t now_ms = uv_now(s->loop);

    for (struct connection *c = s->connections.first; c; c = c->next) {
        if (c->stream) {
            tick_stream(c, now_ms);
        } else if (c->state != WORKING && now_ms - c->since_ms >= SP_HTTP_REQUEST_MS) {
            cut(c);
        }
    }
    size_t n_lingering = sp_http_linger_expire(s->linger, now_ms);

    if (s->is_closing || s->is_retired) {
        run(s);
    } else if (s->connections.n || n_lingering) {
        uv_timer_start(timer, on_tick, TICK_MS, 0);
    }
}

static void
cut(struct connection *c)
{
    if (!c->is_cut) {
        c->is_cut = true;
        c->server->connections.n_cut++;
        shutdown(c->fd, SHUT_RDWR);
        if (c->stream) {
            wake(c->stream); /* For libmicrohttpd to notice. */
        }
    }
}

/* Cuts the connection whose client has let us wait longest.  Returns false if we wait for nobody.  Those who open connections and
 * leave it at that so take each other's places, and not those of others, who ask at once. */
static bool
make_room(struct sp_http_server *s)
{
    struct connection *longest = sp_http_connections_longest(&s->connections);

    if (longest) {
        cut(longest);
    }
    return longest;
}

/* Looks after a stream: has the client gone, does it not read, has nothing been said for long? */
static void
tick_stream(struct connection *c, uint64_t now_ms)
{
    struct sp_http_stream *stream = c->stream;
    char byte;

    if (!stream->is_suspended) {
        if (now_ms - c->since_ms >= SP_HTTP_REQUEST_MS) {
            cut(c);
        }
        return;
    }

    ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    if (!n || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        cut(c);
    } else if (now_ms - c->since_ms >= SP_HTTP_IDLE_MS &&
               sp_http_stream_write(stream, stream->options.idle, strlen(stream->options.idle))) {
        sp_log(SP_LOG_DEBUG, "http", "a stream was cut off: no memory");
    }
}

/* There is something to send, or to end. */
static void
wake(struct sp_http_stream *stream)
{
    struct connection *c = stream->connection;

    if (stream->is_suspended) {
        stream->is_suspended = false;
        c->since_ms = uv_now(c->server->loop);
        MHD_resume_connection(stream->mhd);
        sp_http_turn_again(&c->server->turn, 0);
    }
}

/* libmicrohttpd has sent all that it had, and asks for more. */
static ssize_t
read_stream(void *aux, uint64_t position, char *out, size_t size)
{
    struct sp_http_stream *stream = aux;
    size_t n = sp_http_stream_take(stream, out, size);

    stream->connection->since_ms = uv_now(stream->connection->server->loop);
    if (!n && (stream->is_ended || stream->connection->is_cut)) {
        return stream->is_ended ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
    }
    if (!n) {
        stream->is_suspended = true;
        MHD_suspend_connection(stream->mhd);
    }
    return (ssize_t) n;
}

static void
free_stream(void *aux)
{
    sp_http_stream_free(aux);
}

static void
enter(struct connection *c, enum connection_state state)
{
    c->state = state;
    c->since_ms = uv_now(c->server->loop);
    sp_http_turn_useful(&c->server->turn);
}

static struct connection *
connection_of(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info ? info->socket_context : NULL;
}

static void
on_connection(void *aux, struct MHD_Connection *mhd, void **context, enum MHD_ConnectionNotificationCode code)
{
    struct sp_http_server *s = aux;
    struct connection *c = *context;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);

        c = calloc(1, sizeof *c);
        if (!c) {
            shutdown(info->connect_fd, SHUT_RDWR);
            return;
        }
        c->server = s;
        c->fd = info->connect_fd;
        c->is_surplus = s->connections.n - s->connections.n_cut >= SP_HTTP_CONNECTIONS_MAX && !make_room(s);
        c->is_unread = true;
        sp_http_connections_add(&s->connections, c);
        enter(c, WAITING);
        *context = c;
        return;
    }
    if (!c) {
        return;
    }
    if (c->is_unread && !c->is_cut && s->linger) {
        int fd = dup(c->fd); /* libmicrohttpd closes its own, after taking it out of its epoll. */

        if (fd >= 0) {
            sp_http_linger_add(s->linger, fd);
        }
    }
    sp_http_connections_remove(&s->connections, c);
    free(c);
    *context = NULL;
}

/* libmicrohttpd's first word about a request: its line is there.  What is returned is the context of on_request(). */
static void *
on_target(void *aux, const char *target, struct MHD_Connection *mhd)
{
    struct connection *c = connection_of(mhd);
    struct sp_http_exchange *x = calloc(1, sizeof *x);

    if (!c || !x) {
        free(x);
        return NULL;
    }
    x->connection = c;
    x->mhd = mhd;
    x->request = sp_http_request_new(target ? target : "");
    if (!x->request) {
        free(x);
        return NULL;
    }
    x->request->exchange = x;
    c->is_unread = true;
    enter(c, RECEIVING);
    return x;
}

/* The target is decoded in one place, and strictly (target.h). */
static size_t
keep_escapes(void *aux, struct MHD_Connection *mhd, char *text)
{
    return strlen(text);
}

static enum MHD_Result
on_request(void *aux, struct MHD_Connection *mhd, const char *url, const char *method, const char *version, const char *data,
           size_t *size, void **context)
{
    struct sp_http_exchange *x = *context;

    if (!x) {
        return MHD_NO;
    }
    sp_http_turn_useful(&x->connection->server->turn);
    if (x->is_answered) {
        return answer_now(x);
    }
    if (!x->is_begun) {
        x->is_begun = true;
        return begin(x, method, version);
    }
    return *size ? receive(x, data, size) : finish(x);
}

static void
on_completed(void *aux, struct MHD_Connection *mhd, void **context, enum MHD_RequestTerminationCode code)
{
    struct sp_http_exchange *x = *context;

    if (!x) {
        return;
    }
    enter(x->connection, WAITING);
    if (x->connection->server->is_closing || x->connection->server->is_retired) {
        cut(x->connection);
    }

    bool is_handed = x->is_handed;
    struct sp_http_request *request = take_request(x);
    if (!is_handed) {
        sp_http_request_free(request);
    }
    x->connection->stream = NULL;
    if (x->stream) {
        x->stream->options.ended(x->stream->options.aux);
    }
    if (x->response) {
        MHD_destroy_response(x->response); /* And the stream with it. */
    }
    free(x);
    *context = NULL;
}

static enum MHD_Result
add_header(void *aux, enum MHD_ValueKind kind, const char *name, size_t name_size, const char *value, size_t value_size)
{
    sp_http_request_add_header(aux, name, name_size, value ? value : "", value_size);
    return MHD_YES;
}

static enum MHD_Result
begin(struct sp_http_exchange *x, const char *method, const char *version)
{
    struct sp_http_request *r = x->request;
    struct sp_http_problem problem;

    MHD_get_connection_values_n(x->mhd, MHD_HEADER_KIND, add_header, r);
    problem = sp_http_request_check(r, method, version);
    if (x->connection->is_surplus) {
        problem = (struct sp_http_problem) {503, "too many connections"};
    }
    if (!problem.status) {
        return MHD_YES;
    }
    sp_http_request_free(take_request(x));
    answer_problem(x, problem.status, problem.detail);
    return answer_now(x);
}

/* libmicrohttpd takes no answer while a body comes in, so a body without a declared length that gets too long is answered
 * past it, with a few bytes that the socket's buffer holds, and the connection ends. */
static enum MHD_Result
receive(struct sp_http_exchange *x, const char *data, size_t *size)
{
    int r = sp_http_request_append(x->request, data, *size);
    char problem[256], head[512];

    *size = 0;
    if (!r) {
        return MHD_YES;
    }

    unsigned status = r < 0 ? 503 : 413;
    int n = format_problem(problem, sizeof problem, status, r < 0 ? "out of memory" : "the body is longer than 1 MiB");

    n = snprintf(head, sizeof head,
                 "HTTP/1.1 %u %s\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
                 status, MHD_get_reason_phrase_for(status), n, problem);
    if (send(x->connection->fd, head, (size_t) n, MSG_DONTWAIT | MSG_NOSIGNAL) != n) {
        sp_log(SP_LOG_DEBUG, "http", "a client of a body that is too long was not told");
    }
    return MHD_NO;
}

/* The request is whole.  The handler answers from inside the call, or the connection is suspended until it does. */
static enum MHD_Result
finish(struct sp_http_exchange *x)
{
    struct connection *c = x->connection;
    struct sp_http_server *s = c->server;
    struct sp_http_request *r = x->request;

    if (!x->is_handed) {
        if (s->is_closing) {
            sp_http_request_free(take_request(x));
            answer_problem(x, 503, "the controller is stopping");
            return answer_now(x);
        }
        c->is_unread = false;
        enter(c, WORKING);
        x->is_handed = true;
        r->next = s->handed;
        if (r->next) {
            r->next->prev = r;
        }
        s->handed = r;
        s->handle(s->aux, r);
    }
    if (x->is_answered) {
        return answer_now(x);
    }
    x->is_suspended = true;
    MHD_suspend_connection(x->mhd);
    return MHD_YES;
}

static enum MHD_Result
answer_now(struct sp_http_exchange *x)
{
    enter(x->connection, x->stream ? STREAMING : ANSWERING);
    x->connection->stream = x->stream;
    if (x->stream && (x->connection->server->is_closing || x->connection->server->is_retired)) {
        x->stream->is_ended = true;
    }
    return x->response ? MHD_queue_response(x->mhd, x->status, x->response) : MHD_NO;
}

static int
format_problem(char *out, size_t out_size, unsigned status, const char *detail)
{
    return snprintf(out, out_size, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%u,\"detail\":\"%s\",\"errors\":[]}",
                    MHD_get_reason_phrase_for(status), status, detail);
}

static void
answer_problem(struct sp_http_exchange *x, unsigned status, const char *detail)
{
    const struct sp_http_field fields[] = {{"Connection", "close"}};
    char problem[256];
    int size = format_problem(problem, sizeof problem, status, detail);

    give_answer(x, status, "application/problem+json", problem, (size_t) size, fields, 1);
}

/* Has the answer sent, now or when libmicrohttpd asks for it. */
static void
give_answer(struct sp_http_exchange *x, unsigned status, const char *content_type, const char *body, size_t size,
            const struct sp_http_field *fields, size_t n_fields)
{
    x->response = MHD_create_response_from_buffer(content_type ? size : 0, content_type ? (void *) body : NULL,
                                                  MHD_RESPMEM_MUST_COPY);
    if (!give_response(x, status, content_type, fields, n_fields)) {
        sp_log(SP_LOG_ERROR, "http", "an answer's header was refused, or memory is short: the connection is closed instead");
    }
}

/* Likewise, of a response that has its body; false: it cannot be sent and is gone. */
static bool
give_response(struct sp_http_exchange *x, unsigned status, const char *content_type, const struct sp_http_field *fields,
              size_t n_fields)
{
    x->status = status;
    x->is_answered = true;

    bool ok = x->response && (!content_type || MHD_add_response_header(x->response, "Content-Type", content_type) == MHD_YES);
    for (size_t i = 0; i < n_fields && ok; i++) {
        ok = MHD_add_response_header(x->response, fields[i].name, fields[i].value) == MHD_YES;
    }
    if (!ok && x->response) {
        MHD_destroy_response(x->response);
        x->response = NULL;
    }
    if (x->is_suspended) {
        x->is_suspended = false;
        MHD_resume_connection(x->mhd);
        sp_http_turn_again(&x->connection->server->turn, 0);
    }
    return ok;
}

/* Parts an exchange from its request, and the request from the list of those that want an answer. */
static struct sp_http_request *
take_request(struct sp_http_exchange *x)
{
    struct sp_http_request *r = x->request;

    if (!r) {
        return NULL;
    }
    x->request = NULL;
    r->exchange = NULL;
    if (x->is_handed) {
        if (r->prev) {
            r->prev->next = r->next;
        } else {
            x->connection->server->handed = r->next;
        }
        if (r->next) {
            r->next->prev = r->prev;
        }
        r->prev = r->next = NULL;
    }
    return r;
}
