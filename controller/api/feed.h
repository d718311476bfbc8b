/* From what the engine tells to what subscribers of GET /v1/events read. */

#ifndef SALLYPORT_CONTROLLER_API_FEED_H
#define SALLYPORT_CONTROLLER_API_FEED_H 1

#include "controller/api/events.h"
#include "controller/api/token.h"
#include "controller/engine.h"

/* Events that are written to HTTP streams.  NULL: no memory. */
struct sp_events *sp_feed_new(void);

/* For sp_engine_set_watch(), with the events as 'aux'. */
extern const struct sp_engine_watch sp_feed_watch;

/* A change on trial has begun to wait for its confirmation, or its trial has ended. */
void sp_feed_trial(struct sp_events *, const struct sp_history_record *);

struct sp_api;

/* The tokens of 'api' are about to be replaced by 'tokens': ends the streams of those who may not read them any more. */
void sp_feed_check_tokens(struct sp_api *, const struct sp_tokens *tokens);

#endif
