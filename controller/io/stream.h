/* Streams from the side of transport.c, which makes them; their owners' side is in transport.h. */

#ifndef SALLYPORT_CONTROLLER_IO_STREAM_H
#define SALLYPORT_CONTROLLER_IO_STREAM_H 1

#include "controller/io/transport.h"

#define SP_STREAM_READ_SIZE (16u << 10) /* A part of a turn: some hundred flows of a dump. */

struct sp_tls_channel;

/* A turn of the loop, in which streams may spend some time; what they do not get done waits for the next one, so that a thousand
 * switches that talk at once do not keep the loop from everybody else. */
struct sp_stream_turn {
    uint64_t now_ms;   /* Of the loop: what tells one turn from the next. */
    uint64_t begun_ns;
};

/* Streams that take turns with each other. */
struct sp_stream_lane {
    struct sp_stream_turn reading;
    struct sp_stream_turn writing;
    uint64_t cohort;   /* Streams that had to wait are served in cohorts: before this one is done, nobody else. */
    size_t n_cohort;   /* Streams of it that still wait. */
    size_t n_next;     /* Streams that wait for the next one. */
    bool served;       /* In this turn, one of the cohort. */
};

/* What streams of one loop share; all zero to begin with. */
struct sp_stream_share {
    struct sp_stream_lane strangers; /* Whoever connects, and as many as like. */
    struct sp_stream_lane known;     /* See sp_stream_prefer(). */
    uint8_t buffer[SP_STREAM_READ_SIZE]; /* Lent to each read in turn. */
};

/* Whom a stream tells that is not its owner.  From the loop only. */
struct sp_stream_maker {
    void (*secured)(void *aux, struct sp_stream *); /* TLS: the handshake is complete.  sp_stream_begin() is called from here. */
    void (*released)(void *aux, struct sp_stream *, const char *why); /* Last of all; the stream is freed after it. */
};

/* Makes a stream of the connected socket 'fd' (nonblocking, TCP or, with 'local', unix), which it takes over if it succeeds, and
 * 'tls' (NULL: plain bytes) with it.  'share' and 'maker' must last until 'released'.  'peer' is copied.  The stream is idle
 * until sp_stream_begin() or, with TLS, sp_stream_shake().  Returns 0 or a negative errno. */
int sp_stream_open(struct uv_loop_s *, int fd, bool local, struct sp_tls_channel *tls, const char *peer,
                   struct sp_stream_share *share, const struct sp_stream_maker *maker, void *aux,
                   struct sp_stream **ret) SP_MUST_USE;
/* Shakes hands; 'secured' or, after 'timeout_ms' or a failure, 'released' follows. */
void sp_stream_shake(struct sp_stream *, unsigned timeout_ms);
/* Reads from now on, if the stream was started; else closes it. */
void sp_stream_begin(struct sp_stream *);
const char *sp_stream_peer(const struct sp_stream *);

#endif
