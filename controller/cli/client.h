/* The HTTP client: the only door to libcurl.
 *
 * One connection to one controller, kept open between calls.  No proxy is asked and no redirect followed: the token goes to
 * nobody but the controller that the user named.  An answer is bounded to SP_CLIENT_ANSWER_MAX bytes. */

#ifndef SALLYPORT_CONTROLLER_CLI_CLIENT_H
#define SALLYPORT_CONTROLLER_CLI_CLIENT_H 1

#include "sallyport/value.h"

#define SP_CLIENT_URL_DEFAULT "http://127.0.0.1:8080"
#define SP_CLIENT_ANSWER_MAX (512u << 20)
#define SP_CLIENT_TOKEN_MAX 4096
#define SP_CLIENT_CONNECT_MS 10000

struct sp_json;
struct sp_client;

/* An answer; all zero before and after sp_reply_clear(). */
struct sp_reply {
    unsigned status; /* HTTP status. */
    char *body;      /* NUL-terminated; owned. */
    size_t size;
    struct sp_json *json; /* The body as JSON; NULL = it is none, or empty; owned. */
    bool has_revision;    /* The answer carried Sallyport-Revision. */
    uint64_t revision;
    bool applied; /* Sallyport-Applied: true. */
    uint64_t change; /* Sallyport-Change; 0: absent. */
};
void sp_reply_clear(struct sp_reply *);

/* 'url' is "http://HOST:PORT", "https://...", or "unix:PATH"; NULL means SP_CLIENT_URL_DEFAULT.  'token_file' NULL: no
 * token.  'ca_cert' is a file with the certificates of the CAs that https believes; NULL: those of the system.  Returns 0,
 * SP_E_SYNTAX (the URL is none of these) or SP_E_INVALID (the token cannot be read or sent) with one line in 'why', or
 * -ENOMEM. */
int sp_client_new(const char *url, const char *token_file, const char *ca_cert, struct sp_client **ret, char *why,
                  size_t why_size) SP_MUST_USE;
void sp_client_free(struct sp_client *);             /* NULL is fine. */
const char *sp_client_url(const struct sp_client *); /* Borrowed. */

/* Sends one request: 'path' with its query, percent-encoded; 'body' NULL means none, else 'size' bytes of JSON.  Waits for
 * the whole answer, at most 'timeout_s' seconds.  Returns 0 with '*reply' filled, whatever its status; or SP_E_CLOSED (no
 * connection, or no whole answer) with one line in 'why', or -ENOMEM. */
int sp_client_call(struct sp_client *, const char *method, const char *path, const char *body, size_t size,
                   unsigned timeout_s, struct sp_reply *reply, char *why, size_t why_size) SP_MUST_USE;

#endif
