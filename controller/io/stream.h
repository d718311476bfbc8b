/* Streams from the side of transport.c, which makes them; their owners' side is in transport.h. */

#ifndef SALLYPORT_CONTROLLER_IO_STREAM_H
#define SALLYPORT_CONTROLLER_IO_STREAM_H 1

#include "controller/io/transport.h"

#define SP_STREAM_READ_SIZE (64u << 10)

/* Makes a stream of the connected socket 'fd' (nonblocking, TCP or, with 'local', unix), which it takes over if it succeeds.
 * 'buffer' (SP_STREAM_READ_SIZE bytes) is lent to each read in turn; it, and the ability to call 'released', must last until
 * 'released' is called, which is the last thing that happens.  The stream is idle until sp_stream_begin().  Returns 0 or a
 * negative errno. */
int sp_stream_open(struct uv_loop_s *, int fd, bool local, uint8_t *buffer, void (*released)(void *aux, struct sp_stream *),
                   void *aux, struct sp_stream **ret) SP_MUST_USE;
/* Reads from now on, if the stream was started; else closes it. */
void sp_stream_begin(struct sp_stream *);

#endif
