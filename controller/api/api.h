/* The HTTP interface: what a request means and how it is answered.
 *
 * The way of a request: authorise -> find the route (404, 405) -> query parameters (422) -> body (411, 415, 400) -> objects of
 * the path (404).  A read is answered at once from the published model.  A change is decoded (422 names every wrong
 * field), handed to the engine, checked again against the state that it will change (404, 409, 412, 422), and answered when it is
 * durable and confirmed by the bridges that it touches, or when the time that the client wants to wait is over.
 *
 * Guarantees: A1 a refused change changes nothing; A2 unknown body fields and query parameters are errors; A3 no answer of
 * success comes before the change is durable. */

#ifndef SALLYPORT_CONTROLLER_API_API_H
#define SALLYPORT_CONTROLLER_API_API_H 1

#include "controller/api/token.h"
#include "controller/engine.h"
#include "controller/http/http.h"

struct sp_api;
struct sp_unixctl;

/* 'engine' is borrowed until sp_api_stop(); 'tokens' (NULL: everybody may call) is taken over.  NULL: no memory; 'tokens' stays
 * the caller's then. */
struct sp_api *sp_api_new(struct sp_engine *engine, struct sp_tokens *tokens);
/* Loads the history from the engine's store; before the first request.  Returns 0, or an error with one line in 'why'. */
int sp_api_load(struct sp_api *, char *why, size_t why_size) SP_MUST_USE;
void sp_api_free(struct sp_api *); /* NULL is fine.  No request may be under way. */

/* Answers one request; an sp_http_handle whose 'aux' is the struct sp_api. */
void sp_api_handle(void *api, struct sp_http_request *);

/* Other tokens count from the next request on; 'tokens' is taken over. */
void sp_api_set_tokens(struct sp_api *, struct sp_tokens *tokens);

/* Whom to ask for live connections; borrowed, to be closed between sp_api_stop() and the engine's end.  Until then nobody is. */
void sp_api_set_unixctl(struct sp_api *, struct sp_unixctl *);

/* From now on the daemon serves: /readyz answers 200. */
void sp_api_ready(struct sp_api *);
/* From now on every new request is answered 503; the engine is not touched again except by changes that it has accepted. */
void sp_api_stop(struct sp_api *);

#endif
