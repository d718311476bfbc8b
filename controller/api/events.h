/* Server-sent events: who listens, what they are told, and what they may have missed.
 *
 * Each event gets the next number, is kept in a bounded history and written to every subscriber.  One that comes back
 * with the id of the last event that it has got is told what it missed, if the history still has it all.  The id holds a
 * mark of this run of the daemon besides the number, so that one of another run is never mistaken for one of this.
 *
 * The first event of a stream is 'ready' (all that happens from here on will be told, what was missed too) or 'reset' (something
 * was missed: read everything anew); so a reader that reads the objects after it misses nothing.
 *
 * What is old news in a second, and would crowd out the rest, is only mentioned: it has no number and is not kept.
 *
 * Bounds: SP_EVENTS_SUBSCRIBERS_MAX subscribers; SP_EVENTS_HISTORY_MAX events of together SP_EVENTS_HISTORY_SIZE bytes.  A
 * subscriber whose sink does not take an event is told nothing more.  What a sink is, and its own bound, is the caller's.
 *
 * Source: WHATWG HTML section 9.2, "Server-sent events". */

#ifndef SALLYPORT_CONTROLLER_API_EVENTS_H
#define SALLYPORT_CONTROLLER_API_EVENTS_H 1

#include "sallyport/value.h"

#define SP_EVENTS_SUBSCRIBERS_MAX 128
#define SP_EVENTS_HISTORY_MAX 1024
#define SP_EVENTS_HISTORY_SIZE (128u << 10)

struct sp_events;
struct sp_subscriber;

/* Takes 'size' bytes of 'text' for 'sink', all or (nonzero) nothing; and nothing ever again then.  'text' NULL: there is no
 * memory for what should be there, which the sink cannot take. */
typedef int sp_events_write(void *sink, const char *text, size_t size);

/* 'run' is the mark of this run.  NULL: no memory. */
struct sp_events *sp_events_new(uint64_t run, sp_events_write *write);
void sp_events_free(struct sp_events *); /* Forgets its subscribers, too.  NULL is fine. */

/* Tells everybody.  'name' is one word, 'data' one line of at most SP_EVENTS_HISTORY_SIZE / 2 bytes.  Without memory the history
 * begins anew and every subscriber is given up, so that nobody takes it for whole. */
void sp_events_tell(struct sp_events *, const char *name, const char *data);

/* Tells those who listen now, without a number: it is not kept, and nobody is told later what he missed of it. */
void sp_events_mention(struct sp_events *, const char *name, const char *data);

/* Takes a place.  Returns 0, SP_E_FULL, or -ENOMEM.  Nothing is written before sp_events_begin(). */
int sp_events_join(struct sp_events *, struct sp_subscriber **ret) SP_MUST_USE;
/* Begins to write to 'sink'.  'last_id' is what the subscriber says it has got last, or NULL; 'revision' the model's. */
void sp_events_begin(struct sp_subscriber *, void *sink, const char *last_id, uint64_t revision);
void sp_events_leave(struct sp_subscriber *); /* Frees it. */

struct sp_events_counters {
    uint64_t n_subscribers; /* Now. */
    uint64_t n_told;        /* Events since the start, ... */
    uint64_t n_dropped;     /* ... and subscribers that were told no more because they did not read. */
};
void sp_events_counters(const struct sp_events *, struct sp_events_counters *ret);

#endif
