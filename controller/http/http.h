/* The HTTP/1.1 server.
 *
 * The happy path: a listener is opened on the loop; a whole request (its body bounded) is handed to 'handle'; the handler
 * answers with sp_http_respond(), at once or in a later turn of the loop.  What goes wrong is answered here, as
 * application/problem+json: 400 malformed (two lengths, length and chunked together, bare CR, ...), 413 a body over the
 * limit, 501 an unknown transfer coding, 503 too many connections; and the connection is closed.  What does not even look
 * like a request, and a head that is too long (414, 431), gets the status alone that counts, on a page of libmicrohttpd's.
 * Whether a request needs a body (411) is the handler's to say.
 *
 * With SP_HTTP_CONNECTIONS_MAX connections the next one takes the place of that whose client has let the server wait longest,
 * for its request or to read the answer; it is told 503 only if the server waits for none of them.
 *
 * A client has SP_HTTP_REQUEST_MS to come to the end of its request line (or to begin: an idle connection is closed), as long
 * again for the rest of its request, and as long to read the answer; then it is cut off, however busy it looks.  A client
 * that goes away while its request is being worked on is told to nobody: the answer is dropped.
 *
 * An answer may also be a stream, which has no end of its own and so no deadline; but a client that does not take what is sent to
 * it for SP_HTTP_REQUEST_MS is cut off here too. */

#ifndef SALLYPORT_CONTROLLER_HTTP_HTTP_H
#define SALLYPORT_CONTROLLER_HTTP_HTTP_H 1

#include "sallyport/value.h"

#define SP_HTTP_BODY_MAX (1u << 20)
#define SP_HTTP_REQUEST_MS 15000
#define SP_HTTP_CONNECTIONS_MAX 1024
#define SP_HTTP_IDLE_MS 15000

struct uv_loop_s;
struct sp_http_credentials;
struct sp_http_site;
struct sp_http_request;

/* Checks "HOST:PORT", "[V6]:PORT" or "unix:PATH".  Returns 0 or SP_E_SYNTAX with one line in 'why'. */
int sp_http_address_check(const char *address, char *why, size_t why_size) SP_MUST_USE;
bool sp_http_address_is_exposed(const char *address); /* Neither loopback nor a unix socket. */

typedef void sp_http_handle(void *aux, struct sp_http_request *);

/* With 'credentials' (borrowed for the call) a TCP listener speaks HTTPS, TLS 1.2 and 1.3, and nothing else; without (NULL) plain
 * HTTP, as a unix socket always does.  Returns 0, or a negative errno with one line in 'why'. */
int sp_http_open(struct uv_loop_s *, const char *address, const struct sp_http_credentials *credentials, sp_http_handle *,
                 void *aux, struct sp_http_site **ret, char *why, size_t why_size) SP_MUST_USE;
/* New connections get other 'credentials' (borrowed) from now on, with no moment at which nobody listens.  Requests that have
 * been begun are answered; streams end, as their clients can begin another one.  Returns 0, or a negative errno with one line in
 * 'why', and all stays as it was. */
int sp_http_renew(struct sp_http_site *, const struct sp_http_credentials *, char *why, size_t why_size) SP_MUST_USE;
/* Stops accepting, answers what is still open with 503, and calls 'closed' when all is freed. */
void sp_http_close(struct sp_http_site *, void (*closed)(void *aux), void *aux);
uint16_t sp_http_port(const struct sp_http_site *); /* Bound port, 0 for a unix socket. */

/* A request is valid from 'handle' until it is answered. */
const char *sp_http_method(const struct sp_http_request *);
/* Percent-decoded; a NUL, invalid UTF-8 or an encoded slash is answered 400 before. */
const char *sp_http_path(const struct sp_http_request *);
/* Query parameters in order, decoded ('+' is a blank); NULL past the end.  One without '=' has the value "". */
const char *sp_http_query_key(const struct sp_http_request *, size_t index);
const char *sp_http_query_value(const struct sp_http_request *, size_t index);
const char *sp_http_header(const struct sp_http_request *, const char *name); /* Any case; NULL = absent. */
const char *sp_http_body(const struct sp_http_request *, size_t *ret_size); /* NUL-terminated; never NULL. */
/* Whether a body was announced: a length above 0, or chunks, be they empty. */
bool sp_http_has_body(const struct sp_http_request *);

struct sp_http_field {
    const char *name;
    const char *value;
};
/* Answers; everything is copied.  'content_type' NULL = no body.  HEAD and status 304 are answered without the body. */
void sp_http_respond(struct sp_http_request *, unsigned status, const char *content_type, const char *body, size_t size,
                     const struct sp_http_field *fields, size_t n_fields);

/* The address that the request came from, as the socket says; proxies are taken for the client.  Writes it to 'out', of at least
 * SP_CIDR_TEXT_SIZE bytes.  Returns false over a unix socket, which has none. */
bool sp_http_client(const struct sp_http_request *, char *out, size_t size);

/* A stream: an answer whose body is written by and by. */
struct sp_http_stream;
struct sp_http_stream_options {
    const char *idle;         /* Sent after SP_HTTP_IDLE_MS without a byte, so that each side notices when the other has gone. */
    size_t waiting_max;       /* Bytes that may wait for a client that does not read. */
    void (*ended)(void *aux); /* The stream is over and gone; runs exactly once, from inside none of the functions here. */
    void *aux;
};
/* Begins an answer of status 200.  The stream is over when the client has gone or does not read, or the server closes.  NULL: no
 * memory, or nobody wants the answer any more; the request is still to be answered then, and 'ended' is not called. */
struct sp_http_stream *sp_http_respond_stream(struct sp_http_request *, const char *content_type,
                                              const struct sp_http_field *fields, size_t n_fields,
                                              const struct sp_http_stream_options *);
/* Has a copy of 'data' sent; never waits.  Returns 0, SP_E_FULL (more would wait than may) or -ENOMEM; the client is cut off
 * then. */
int sp_http_stream_write(struct sp_http_stream *, const char *data, size_t size) SP_MUST_USE;
void sp_http_stream_end(struct sp_http_stream *); /* Once what waits is sent. */

#endif
