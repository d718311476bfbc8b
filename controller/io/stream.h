/* Streams from the side of transport.c, which makes them; their owners' side is in transport.h. */

#ifndef SALLYPORT_CONTROLLER_IO_STREAM_H
#define SALLYPORT_CONTROLLER_IO_STREAM_H 1

#include "controller/io/transport.h"

#define SP_STREAM_READ_SIZE (64u << 10)

struct sp_tls_channel;

/* Whom a stream tells that is not its owner.  From the loop only. */
struct sp_stream_maker {
    void (*secured)(void *aux, struct sp_stream *); /* TLS: the handshake is complete.  sp_stream_begin() is called from here. */
    void (*released)(void *aux, struct sp_stream *, const char *why); /* Last of all; the stream is freed after it. */
};

/* Makes a stream of the connected socket 'fd' (nonblocking, TCP or, with 'local', unix), which it takes over if it succeeds, and
 * 'tls' (NULL: plain bytes) with it.  'buffer' (SP_STREAM_READ_SIZE bytes) is lent to each read in turn; it and 'maker' must last
 * until 'released'.  'peer' is copied.  The stream is idle until sp_stream_begin() or, with TLS, sp_stream_shake().  Returns 0 or
 * a negative errno. */
int sp_stream_open(struct uv_loop_s *, int fd, bool local, struct sp_tls_channel *tls, const char *peer, uint8_t *buffer,
                   const struct sp_stream_maker *maker, void *aux, struct sp_stream **ret) SP_MUST_USE;
/* Shakes hands; 'secured' or, after 'timeout_ms' or a failure, 'released' follows. */
void sp_stream_shake(struct sp_stream *, unsigned timeout_ms);
/* Reads from now on, if the stream was started; else closes it. */
void sp_stream_begin(struct sp_stream *);
const char *sp_stream_peer(const struct sp_stream *);

#endif
