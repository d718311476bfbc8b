/* Takes connections from a listening socket, one after the other, and hands them on.
 *
 * libmicrohttpd 0.9.75 could do so itself, but without a descriptor left it tries for ever without a pause or, if it has
 * connections, never again until one of them ends; and its listening socket ends with it, so that a new certificate would take
 * a pause.  Here whoever cannot be taken waits in the kernel's queue, and is asked for every SP_HTTP_REST_MS. */

#ifndef SALLYPORT_CONTROLLER_HTTP_ACCEPT_H
#define SALLYPORT_CONTROLLER_HTTP_ACCEPT_H 1

#include <sys/socket.h>

#include "controller/http/listen.h"
#include "sallyport/value.h"

#define SP_HTTP_REST_MS 100

struct uv_loop_s;
struct sp_http_acceptor;

struct sp_http_accepts {
    bool (*has_room)(void *aux); /* Whether another connection can be taken. */
    /* Takes over 'fd', non-blocking, of the peer at 'address'. */
    void (*take)(void *aux, int fd, const struct sockaddr *address, socklen_t size);
};

/* Listens at 'address' (as sp_http_address_check() takes it) and hands over, from a later turn of the loop on.  Returns 0, or a
 * negative errno with one line in 'why'. */
int sp_http_acceptor_new(struct uv_loop_s *, const char *address, const struct sp_http_accepts *, void *aux,
                         struct sp_http_acceptor **ret, char *why, size_t why_size) SP_MUST_USE;
const struct sp_http_listener *sp_http_acceptor_listener(const struct sp_http_acceptor *);
void sp_http_acceptor_close(struct sp_http_acceptor *); /* At once; its memory goes in a later turn of the loop. */

#endif
