/* A link: one connection to a switch, the OpenFlow session married to its stream and the clock.
 *
 * The happy path: sp_link_new() on a new stream; events of the session come in through 'event', READY first; dumps and
 * batches are asked for while it is idle; sp_link_close() or the peer ends it, and 'closed' is the last call, after which the
 * link is only a name until its owner frees it.  The failures: whatever the session or the stream complains of, and memory: all
 * come out as 'closed'.  No event comes from inside a call into the link. */

#ifndef SALLYPORT_CONTROLLER_SWITCH_LINK_H
#define SALLYPORT_CONTROLLER_SWITCH_LINK_H 1

#include "flows/openflow/session.h"

struct uv_loop_s;
struct sp_stream;
struct sp_link;

#define SP_LINK_WHY_SIZE 320 /* A reason for the end is cut to this. */

struct sp_link_events {
    /* Any event but SP_EVENT_CLOSED; a flow's reference goes to the receiver. */
    void (*event)(void *aux, struct sp_link *, struct sp_event *);
    void (*closed)(void *aux, struct sp_link *); /* Last call: sp_link_free() is the receiver's to call, now or later. */
};

/* A link on 'stream', which it starts and owns from now on; 'peer' is copied.  NULL: no memory; the stream is untouched then. */
struct sp_link *sp_link_new(struct uv_loop_s *, struct sp_stream *stream, const char *peer, const struct sp_link_events *,
                            void *aux);
/* Hands the link to another owner, from the next event on. */
void sp_link_set_events(struct sp_link *, const struct sp_link_events *, void *aux);
void sp_link_close(struct sp_link *, const char *why);
/* Frees a link that has told that it is closed. */
void sp_link_free(struct sp_link *);

const char *sp_link_peer(const struct sp_link *);
const char *sp_link_why(const struct sp_link *);                /* Why it is closed, or is being. */
const struct sp_stream *sp_link_stream(const struct sp_link *); /* For readings only; NULL once the stream has gone. */
bool sp_link_may_be(const struct sp_link *, uint64_t dpid);     /* As sp_stream_may_be(); true once the stream has gone. */

/* As sp_stream_is_behind(); false once the stream has gone. */
bool sp_link_is_behind(const struct sp_link *);

/* As the functions of the session (flows/openflow/session.h); on a link that is closing they come to nothing. */
bool sp_link_idle(const struct sp_link *);
void sp_link_dump(struct sp_link *, struct sp_known *);
void sp_link_apply(struct sp_link *, const struct sp_flow_mod *mods, size_t n, const uint16_t *flush_zones, size_t n_zones);
void sp_link_prepare(struct sp_link *, const struct sp_flow_mod *mods, size_t n);
void sp_link_commit(struct sp_link *);
void sp_link_withdraw(struct sp_link *);

#endif
