/* What waits to be sent on an answer that comes by and by: bytes up to a bound, free of libmicrohttpd. */

#ifndef SALLYPORT_CONTROLLER_HTTP_STREAM_H
#define SALLYPORT_CONTROLLER_HTTP_STREAM_H 1

#include <sys/types.h>

#include "controller/http/http.h"

struct connection;
struct MHD_Connection;

struct sp_http_stream {
    struct sp_http_stream_options options;
    struct connection *connection; /* NULL: over. */
    struct MHD_Connection *mhd;
    char *waiting;       /* 'size' bytes from 'begin' on. */
    size_t begin;
    size_t size;
    size_t allocated;
    bool is_suspended;   /* All is sent: libmicrohttpd leaves the connection alone until there is more. */
    bool is_ended;       /* What waits is the last. */
};

/* NULL: no memory. */
struct sp_http_stream *sp_http_stream_new(const struct sp_http_stream_options *);
void sp_http_stream_free(struct sp_http_stream *); /* NULL is fine. */

/* Lets 'size' bytes wait.  Returns 0, SP_E_FULL over the bound, or -ENOMEM; what waits is as before then. */
int sp_http_stream_put(struct sp_http_stream *, const char *data, size_t size) SP_MUST_USE;

/* Moves at most 'size' bytes of what waits to 'out' and returns how many. */
size_t sp_http_stream_take(struct sp_http_stream *, char *out, size_t size);

#endif
