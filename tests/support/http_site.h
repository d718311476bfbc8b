/* A listening HTTP server with a loop of its own, in the thread of the test that talks to it. */

#ifndef SALLYPORT_TESTS_SUPPORT_HTTP_SITE_H
#define SALLYPORT_TESTS_SUPPORT_HTTP_SITE_H 1

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "controller/http/http.h"

#define HTTP_SITE_PATIENCE_MS 60000 /* Before a test says that what it waits for will not come. */

struct http_site {
    uv_loop_t loop;
    struct sp_http_site *site;
    bool is_closed;
};

/* Listens at 'address'; requests go to 'handle' with 'aux'.  Fails the test if it cannot. */
void http_site_open(struct http_site *, const char *address, sp_http_handle *handle, void *aux);
/* Returns when nothing of it is left. */
void http_site_close(struct http_site *);
/* Begins to close it; the caller lets the loop run until 'is_closed', and closes that. */
void http_site_begin_close(struct http_site *);

/* A new connection to it, which does not block; 'receive_buffer' in bytes, 0: the usual one.  The caller closes it. */
int http_site_dial(const struct http_site *, int receive_buffer);
/* Gives the server a turn, after at most a moment of waiting for 'events' (of poll(2)) of 'fd'; -1: of nothing. */
void http_site_turn(struct http_site *, int fd, short events);

#endif
