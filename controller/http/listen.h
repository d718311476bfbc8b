/* Listening sockets for the HTTP server: TCP and unix, opened so that a failure has a sentence. */

#ifndef SALLYPORT_CONTROLLER_HTTP_LISTEN_H
#define SALLYPORT_CONTROLLER_HTTP_LISTEN_H 1

#include <sys/types.h>

#include "sallyport/value.h"

/* A socket that listens. */
struct sp_http_listener {
    int fd;          /* Non-blocking; -1 = none. */
    uint16_t port;   /* Bound TCP port; 0 for a unix socket. */
    char *path;      /* Of a unix socket; owned; else NULL. */
    dev_t device;    /* With 'path': which file it made. */
    ino_t inode;
};

/* Opens 'address' (as sp_http_address_check() takes it).  A unix socket gets mode 0660 and takes the place of a socket file
 * that nobody listens on any more.  Returns 0 or a negative errno with one line in 'why'. */
int sp_http_listen(const char *address, struct sp_http_listener *ret, char *why, size_t why_size) SP_MUST_USE;

/* Who is at the other end of the connected TCP socket 'fd': writes the address to 'out', an IPv4 one in its own form also if it
 * came by IPv6.  Returns false over a unix socket, or if 'size' is too small. */
bool sp_http_peer(int fd, char *out, size_t size);

/* Removes the socket file, if it is still the one that sp_http_listen() made, and frees the path.  Leaves 'fd' alone. */
void sp_http_listener_clear(struct sp_http_listener *);

#endif
