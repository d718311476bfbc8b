/* A request as the handler sees it, free of libmicrohttpd: what is said about its head is decided here.
 *
 * It is built from the request line on, is owned by its exchange until the handler has it, and then lives until the handler
 * answers, even if the exchange has gone by then. */

#ifndef SALLYPORT_CONTROLLER_HTTP_REQUEST_H
#define SALLYPORT_CONTROLLER_HTTP_REQUEST_H 1

#include "controller/http/target.h"

struct sp_http_exchange;

struct sp_http_header_line {
    struct sp_http_header_line *next;
    char *value;
    char name[]; /* The value follows it. */
};

struct sp_http_request {
    struct sp_http_exchange *exchange; /* Who wants the answer; NULL = nobody any more. */
    struct sp_http_request *prev, *next; /* Among those that the handler has. */
    char *raw_target;
    char *method;
    struct sp_http_target target;
    struct sp_http_header_line *headers; /* In order. */
    struct sp_http_header_line **headers_tail;
    bool is_wrong;  /* A header line has what no header line may have. */
    bool no_memory;
    bool is_chunked;
    uint64_t length; /* Declared; without a meaning if chunked. */
    char *body;     /* NUL-terminated, or NULL. */
    size_t body_size;
    size_t body_allocated;
};

/* A problem in an answer of the server's own; 'detail' is static. */
struct sp_http_problem {
    unsigned status; /* 0 = none. */
    const char *detail;
};

/* NULL: no memory. */
struct sp_http_request *sp_http_request_new(const char *raw_target);
void sp_http_request_free(struct sp_http_request *); /* NULL is fine. */

/* Copies one header line; failures are kept for sp_http_request_check(). */
void sp_http_request_add_header(struct sp_http_request *, const char *name, size_t name_size, const char *value,
                                size_t value_size);

/* Judges the head once it is whole, and decodes the target.  Answers 400 to what a recipient must not guess about: lengths that
 * differ, a length and a coding together, control characters (so a bare CR too), names that are no tokens, no Host or several in
 * HTTP/1.1, a bad target; 501 to a transfer coding other than "chunked"; 413 to a declared length over SP_HTTP_BODY_MAX; 503 to
 * a lack of memory.  Sources: RFC 9112 sections 2.2, 3.2, 5, 6.1 and 6.3. */
struct sp_http_problem sp_http_request_check(struct sp_http_request *, const char *method, const char *version);

/* Appends to the body.  Returns 0, SP_E_FULL over SP_HTTP_BODY_MAX, or -ENOMEM. */
int sp_http_request_append(struct sp_http_request *, const char *data, size_t size) SP_MUST_USE;

#endif
