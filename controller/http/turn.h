/* When libmicrohttpd runs again: later, by a timer, or in the next turn of the loop, after everybody else's events.
 *
 * Not by a timer of 0: one that is started from its own callback fires again before the loop does anything else.  And not at
 * once for ever: libmicrohttpd 0.9.75 takes a TLS handshake of which a part has come for something to do, until the rest
 * comes.  After SP_HTTP_VAIN_TURNS_MAX turns in a row of which nobody has said that they did something, each waits for
 * SP_HTTP_VAIN_MS. */

#ifndef SALLYPORT_CONTROLLER_HTTP_TURN_H
#define SALLYPORT_CONTROLLER_HTTP_TURN_H 1

#include <uv.h>

#include "sallyport/value.h"

#define SP_HTTP_VAIN_TURNS_MAX 256
#define SP_HTTP_VAIN_MS 10
#define SP_HTTP_TURN_HANDLES 2

struct sp_http_turn {
    uv_timer_t timer;
    uv_idle_t idle;
    unsigned n_vain; /* In a row. */
    void (*run)(void *aux);
    void *aux;
};

/* Makes SP_HTTP_TURN_HANDLES handles on 'loop', whose data is 'aux'. */
void sp_http_turn_init(struct sp_http_turn *, uv_loop_t *loop, void (*run)(void *aux), void *aux);
void sp_http_turn_close(struct sp_http_turn *, uv_close_cb); /* Called once for each handle. */

void sp_http_turn_begin(struct sp_http_turn *);  /* It runs now, and again only if asked to. */
void sp_http_turn_useful(struct sp_http_turn *); /* It had something to do. */
void sp_http_turn_again(struct sp_http_turn *, uint64_t in_ms);

#endif
