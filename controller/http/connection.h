/* The connections of one server, and what each waits for.  Private to controller/http/. */

#ifndef SALLYPORT_CONTROLLER_HTTP_CONNECTION_H
#define SALLYPORT_CONTROLLER_HTTP_CONNECTION_H 1

#include "sallyport/value.h"

struct sp_http_server;
struct sp_http_stream;

/* WAITING for a request, RECEIVING it, the handler WORKING on it, ANSWERING; or STREAMING. */
enum connection_state { WAITING, RECEIVING, WORKING, ANSWERING, STREAMING };

struct connection {
    struct sp_http_server *server;
    struct connection *prev, *next;
    int fd;             /* libmicrohttpd's. */
    enum connection_state state;
    uint64_t since_ms;  /* In this state, by uv_now(); or since the stream has moved. */
    struct sp_http_stream *stream; /* With STREAMING. */
    bool is_surplus;    /* One too many, and none could be cut for it: answered 503. */
    bool is_cut;        /* Shut down by us. */
    bool is_unread;     /* It may have sent more than was read. */
};

/* Zero-initialise. */
struct connections {
    struct connection *first; /* The newest. */
    size_t n;
    size_t n_cut; /* Of them. */
};

void sp_http_connections_add(struct connections *, struct connection *);
void sp_http_connections_remove(struct connections *, struct connection *);

/* The one whose client has let the server wait longest, for its request or to read the answer, and that is not cut; NULL: the
 * server waits for none. */
struct connection *sp_http_connections_longest(const struct connections *);

#endif
