/* Connections to switches over libuv: listeners and dialers for OVS's connection methods, and the streams they give.  A
 * stream of pssl and ssl has been through a TLS handshake before anybody hears of it, and carries what is inside.
 *
 * The happy path: a method is opened; each accepted or dialled stream is announced once through 'connected'; bytes come
 * in through its 'receive', room for output is asked with 'writable'; the owner closes it and its 'closed' is the last
 * call.  What goes wrong: dialling fails (tried again, for ever, after 1 s doubling to 8 s; each change of the reason is logged
 * once); the TLS handshake fails or takes longer than it may (logged with who and why); the peer closes or resets ('closed'
 * with a reason); accept fails for want of descriptors (the listener rests for 1 s);
 * more than SP_METHOD_STREAMS_MAX streams (the newest is closed at once), more than SP_METHOD_HANDSHAKES_MAX handshakes
 * (the oldest is closed: who means it is through in no time).
 * No call into the owner happens inside a call from the owner. */

#ifndef SALLYPORT_CONTROLLER_IO_TRANSPORT_H
#define SALLYPORT_CONTROLLER_IO_TRANSPORT_H 1

#include "sallyport/value.h"

struct uv_loop_s;
struct sp_tls;
struct sp_method; /* One listener or dialer. */
struct sp_stream; /* One connection. */

#define SP_METHOD_STREAMS_MAX 4096   /* Streams of one listener at a time. */
#define SP_METHOD_HANDSHAKES_MAX 512 /* Those among them that have not shaken hands yet. */

struct sp_stream_events {
    void (*receive)(void *aux, const void *data, size_t size);
    /* The output queue is below its low mark (64 KiB): fill it with sp_stream_send().  Comes once after 'connected' and
     * after sp_stream_wake(), and then whenever the queue drains. */
    void (*writable)(void *aux);
    void (*closed)(void *aux, const char *why); /* Last call. */
};

struct sp_transport_events {
    /* A new stream; 'peer' (borrowed) is "tcp:192.0.2.1:40000", "ssl:...", "unix:/path" as OVS writes them.  The owner takes it
     * with sp_stream_start(); a stream that is not taken is closed. */
    void (*connected)(void *aux, struct sp_stream *, const char *peer);
};

/* Checks 'method' without opening anything: ptcp:PORT[:HOST], pssl:PORT[:HOST], punix:PATH, tcp:HOST:PORT, ssl:HOST:PORT,
 * unix:PATH; HOST an address, IPv6 in brackets.  Returns 0, or SP_E_SYNTAX with one line in 'why'. */
int sp_method_check(const char *method, char *why, size_t why_size) SP_MUST_USE;
/* True if 'method' is pssl or ssl. */
bool sp_method_is_tls(const char *method);
/* True if 'method' listens on an address other than loopback. */
bool sp_method_is_exposed(const char *method);

/* Opens 'method' on 'loop'; 'events' must live as long as the method and its streams.  'tls' has the credentials of pssl and
 * ssl, of which a reference is taken; NULL: there are none.  Returns 0, as sp_method_check(), SP_E_MISSING (TLS without
 * credentials), or a negative errno (a port in use, say), with one line in 'why'.  A stale socket file of punix that nobody
 * listens on is replaced. */
int sp_method_open(struct uv_loop_s *loop, const char *method, struct sp_tls *tls, const struct sp_transport_events *, void *aux,
                   struct sp_method **ret, char *why, size_t why_size) SP_MUST_USE;
/* Ends it; its streams go on.  Nothing is called afterwards; the memory goes when libuv has closed the handles. */
void sp_method_close(struct sp_method *);
/* The bound port of a listener (for port 0), else 0. */
uint16_t sp_method_port(const struct sp_method *);

/* Whether the peer may be datapath 'dpid': with TLS what tls_peers.h says of its certificate at this moment, else true. */
bool sp_stream_may_be(const struct sp_stream *, uint64_t dpid);
/* The name in the peer's certificate and its fingerprint; "" without TLS, or without a name. */
const char *sp_stream_name(const struct sp_stream *);
const char *sp_stream_fingerprint(const struct sp_stream *);

/* Sets whom the stream tells; 'events' must live as long as it. */
void sp_stream_start(struct sp_stream *, const struct sp_stream_events *, void *aux);
/* Whether the peer's system has taken, since the last call, some of an output of which it had not taken all by then; and in
 * '*ret_at_ms' when at the latest, in the loop's time.  To be called some seconds apart: what is confirmed at once does not show
 * then, as it should, for that a system takes some bytes says nothing about whether anybody reads them. */
bool sp_stream_taken(struct sp_stream *, int64_t *ret_at_ms);
/* The peer has said something that has not been read yet, as others' had to be read first: it is not the peer that is slow. */
bool sp_stream_is_behind(const struct sp_stream *);
bool sp_stream_waits(const struct sp_stream *); /* Some output waits, or did at the last call of sp_stream_taken(). */
/* Queues a copy of 'size' bytes; the owner sends only from 'writable' and stays within SP_STREAM_CHUNK bytes a call.  Returns 0,
 * SP_E_FULL (a chunk beyond the low mark is queued), SP_E_CLOSED or a negative errno; nothing is queued
 * then, or, with TLS and anything but SP_E_FULL, the stream is good for nothing but to be closed. */
#define SP_STREAM_CHUNK (256u << 10)
int sp_stream_send(struct sp_stream *, const void *data, size_t size) SP_MUST_USE;
void sp_stream_wake(struct sp_stream *); /* There is something to send: 'writable' will be called. */
void sp_stream_pause(struct sp_stream *, bool paused); /* Stops and resumes reading. */
/* The peer has shown what it is: it no longer takes turns with all who connect, only with others of its kind. */
void sp_stream_prefer(struct sp_stream *);
void sp_stream_close(struct sp_stream *, const char *why); /* 'closed' follows, from the loop. */

#endif
