/* Lingering close: a client that is refused while it still sends gets to read why.
 *
 * Closing a socket with unread bytes in it resets the connection, and the answer with it.  So the socket is read empty, into
 * nothing, until the client has closed too, for a moment at most.  Source: RFC 9112 section 9.6. */

#ifndef SALLYPORT_CONTROLLER_HTTP_LINGER_H
#define SALLYPORT_CONTROLLER_HTTP_LINGER_H 1

#include "sallyport/value.h"

struct uv_loop_s;
struct sp_http_linger;

/* Sockets that linger on 'loop'.  NULL: no memory. */
struct sp_http_linger *sp_http_linger_new(struct uv_loop_s *loop);

/* Takes over 'fd', whose answer has been written.  A bound, or a failure, closes it at once. */
void sp_http_linger_add(struct sp_http_linger *, int fd);

/* Ends those that had their time at 'now_ms'; returns how many there still are. */
size_t sp_http_linger_expire(struct sp_http_linger *, uint64_t now_ms);

/* Ends all; it frees itself when the loop has closed the handles.  NULL is fine. */
void sp_http_linger_close(struct sp_http_linger *);

#endif
