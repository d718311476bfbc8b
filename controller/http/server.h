/* Connections that share one set of credentials, and the requests on them: what a site (site.c) is made of. */

#ifndef SALLYPORT_CONTROLLER_HTTP_SERVER_H
#define SALLYPORT_CONTROLLER_HTTP_SERVER_H 1

#include <sys/socket.h>

#include "controller/http/http.h"

struct sp_http_server;

/* Without a connection.  'credentials' NULL: plain HTTP.  'is_exposed': strangers reach it, and each address has a bound of its
 * own.  Returns 0, -EKEYREJECTED (key and certificate cannot be used), or another negative errno. */
int sp_http_server_new(struct uv_loop_s *, const struct sp_http_credentials *credentials, bool is_exposed, sp_http_handle *,
                       void *aux, struct sp_http_server **ret) SP_MUST_USE;

bool sp_http_server_has_room(const struct sp_http_server *); /* For another connection. */
/* Takes over the connection 'fd', non-blocking, of the peer at 'address'. */
void sp_http_server_take(struct sp_http_server *, int fd, const struct sockaddr *address, socklen_t size);

/* Both end the server, and call 'closed' when it has gone.  Retired: requests that have been begun are answered, streams and idle
 * connections end.  Closed, after that too: what is still open is answered with 503, and 2 s later all is over. */
void sp_http_server_retire(struct sp_http_server *, void (*closed)(void *aux), void *aux);
void sp_http_server_close(struct sp_http_server *, void (*closed)(void *aux), void *aux);

#endif
