/* What the files of the session share.  Private to flows/openflow/session*.c.
 *
 *   session.c            the public functions: bytes in and out, events, clock, and the dispatch of messages
 *   session_handshake.c  HELLO to SP_EVENT_PORTS_DONE, and port status ever after
 *   session_meters.c     the meters of reports, with each dump
 *   session_denied.c     denied packets
 *   session_dump.c       flow statistics, and what a flow counted when it is deleted
 *   session_monitor.c    what others change, as the switch tells it
 *   session_batch.c      checked bundles and the flush of conntrack zones
 *
 * States, and what leads from one to the next:
 *
 *   HELLO     the peer's HELLO                        -> FEATURES    (no common version -> CLOSED)
 *   FEATURES  features reply                          -> DESCRIPTION
 *   DESCRIPTION description reply                     -> PORTS
 *   PORTS     last part of the port descriptions      -> IDLE
 *   IDLE      sp_session_dump()                       -> METERS
 *             sp_session_apply(), sp_session_prepare() -> ADD
 *   METERS    last part of the meters, or an error    -> DUMP        (both are asked for together)
 *   DUMP      last part of the flow statistics        -> IDLE, or MEND if meters were made and that is not confirmed yet
 *   MEND      barrier reply                           -> IDLE
 *   ADD       barrier reply, nothing refused          -> COMMIT, or HELD if it is only prepared yet
 *             barrier reply, refused or withdrawn     -> DISCARD
 *   HELD      sp_session_commit()                     -> COMMIT, or DISCARD if the switch has given it up
 *             sp_session_withdraw(), held too long    -> DISCARD
 *   COMMIT    barrier reply, committed                -> FLUSH, or IDLE if there is nothing to flush
 *             barrier reply, commit refused           -> IDLE
 *   DISCARD   barrier reply                           -> IDLE
 *   FLUSH     barrier reply                           -> IDLE
 *   each      malformed or unexpected message, time over, no memory -> CLOSED */

#ifndef SALLYPORT_FLOWS_OPENFLOW_SESSION_STATE_H
#define SALLYPORT_FLOWS_OPENFLOW_SESSION_STATE_H 1

#include "flows/openflow/frame.h"
#include "flows/openflow/session.h"
#include "sallyport/pipeline.h"

struct ofp_header;
struct ofpbuf;

enum session_state {
    STATE_HELLO,
    STATE_FEATURES,
    STATE_DESCRIPTION,
    STATE_PORTS,
    STATE_IDLE,
    STATE_METERS,
    STATE_DUMP,
    STATE_MEND,
    STATE_ADD,
    STATE_HELD,
    STATE_COMMIT,
    STATE_DISCARD,
    STATE_FLUSH,
    STATE_CLOSED,
};

/* The batch that is under way in STATE_ADD to STATE_FLUSH. */
struct session_batch {
    const struct sp_flow_mod *mods; /* Borrowed. */
    size_t n;
    const uint16_t *zones; /* Borrowed. */
    size_t n_zones;
    size_t next;           /* Modification or zone that is encoded next. */
    uint32_t bundle_id;
    uint32_t base_xid;     /* Modification or zone i has base_xid + i. */
    uint32_t control_xid;  /* Of OPEN, COMMIT or DISCARD. */
    uint32_t barrier_xid;  /* 0: not sent yet. */
    size_t n_refused;
    bool answered;         /* The control message: by its reply, ... */
    bool control_refused;  /* ... or by an error. */
    bool is_prepared;      /* Nobody has said yet whether it shall be committed, ... */
    bool is_withdrawn;     /* ... or somebody that it shall not. */
    int64_t held_ms;       /* In STATE_HELD: since when. */
    char error[64];        /* Why the batch cannot be in force: the first error of any part of it. */
};

/* What is known of our meters. */
struct session_meters {
    uint8_t found[SP_METERS];  /* enum meter_found, as the list under way says. */
    bool ours;                 /* They have all been as they shall be in this session. */
    bool listening;            /* Denied packets are asked for. */
    uint32_t base_xid;         /* Of what mends: 'n_xids' messages, ... */
    uint32_t n_xids;
    uint32_t barrier_xid;      /* ... and the barrier behind; 0: none is under way. */
    bool told;                 /* In this dump. */
    uint32_t n_mended;
    char error[64];            /* The first that any of them brought. */
};

struct sp_session {
    enum session_state state;
    uint8_t version; /* 0 before the peer's HELLO. */
    int64_t now_ms;
    int64_t started_ms;
    int64_t received_ms; /* When the peer last sent something, or took more of a long output: a sign of life. */
    int64_t progress_ms; /* When the dump or batch last went on. */
    int64_t unread_from_ms; /* The last progress, or sign of life, when sp_session_unread() was first told since; ... */
    int64_t unread_to_ms;   /* ... and what it has made of that; -1: nothing yet. */
    int64_t answered_ms; /* When the last echo request was answered, ... */
    int64_t echo_ms;     /* ... and, with 'echo_sent', when the one that is not yet was sent. */
    bool echo_sent;
    bool echo_alone;     /* It was sent while no dump or batch was under way. */

    struct sp_frame frame;
    uint8_t *out; /* Pending output: 'out_size' bytes from 'out_head'. */
    size_t out_head;
    size_t out_size;
    size_t out_capacity;

    struct sp_event *events; /* A ring: 'n_events' from 'first_event'. */
    size_t first_event;
    size_t n_events;
    size_t events_capacity;
    char closed_text[160];
    bool closed_told;
    bool ready_done; /* The handshake is over, events may go out. */

    uint32_t next_xid;
    uint32_t wait_xid; /* Of the handshake or dump request that is to be answered. */
    uint32_t dump_xid; /* Of the dump request, which becomes 'wait_xid' once it is its turn. */
    uint32_t monitor_xid; /* Of the request to be told what others change; 0: not sent yet. */
    uint32_t next_bundle_id;
    struct sp_session_ready ready;
    size_t n_counted; /* Port events of the handshake, or flows of the dump. */
    struct sp_known *known; /* Of the dump; borrowed; may be NULL. */
    struct session_batch batch;
    struct session_meters meters;
    int64_t denied_ms;         /* When the second began in which denied packets are counted, ... */
    uint32_t n_denied;         /* ... how many have come in it, ... */
    uint32_t n_left_out;       /* ... and how many were not told of, since the last that was. */
};

/* Ends the session with a reason: nothing more is received or encoded, and the reason becomes SP_EVENT_CLOSED. */
void sp_session_fail(struct sp_session *, const char *format, ...) SP_PRINTF(2, 3);
void sp_session_fail_memory(struct sp_session *);
/* Goes on to 'state', with its time counted from now, unless the session has failed. */
void sp_session_enter(struct sp_session *, enum session_state state);

/* Takes a number for a request, or 'n' consecutive ones and returns the first. */
uint32_t sp_session_take_xids(struct sp_session *, size_t n);
/* Queues 'msg', which it takes, with its length and 'xid' filled in.  Fails the session if too much is pending or memory
 * lacks. */
void sp_session_send(struct sp_session *, struct ofpbuf *msg, uint32_t xid);
size_t sp_session_pending(const struct sp_session *);
/* Queues an event; its flow, if any, is taken over. */
void sp_session_push(struct sp_session *, const struct sp_event *);

/* The name of the error in message 'oh' ("OFPBAC_BAD_OUT_PORT"), or its numbers, in 'out'. */
void sp_session_error_name(const struct ofp_header *oh, char *out, size_t size);

/* Each takes one message that the dispatcher has found well-formed and due in this state. */
void sp_handshake_hello(struct sp_session *, const struct ofp_header *);
void sp_handshake_features(struct sp_session *, const struct ofp_header *);
void sp_handshake_description(struct sp_session *, const struct ofp_header *);
void sp_handshake_ports(struct sp_session *, const struct ofp_header *);
void sp_handshake_port_status(struct sp_session *, const struct ofp_header *);
/* Of all that the switch may report of its own accord, port changes come from now on, what our flows counted when they are
 * deleted and, with 'packets', packets that a flow sends to the controller.  The message has 'xid'. */
void sp_handshake_subscribe(struct sp_session *, bool packets, uint32_t xid);
void sp_meters_part(struct sp_session *, const struct ofp_header *);
void sp_denied_packet(struct sp_session *, const struct ofp_header *);
void sp_dump_part(struct sp_session *, const struct ofp_header *);
void sp_dump_removed(struct sp_session *, const struct ofp_header *);
void sp_monitor_updates(struct sp_session *, const struct ofp_header *);
void sp_batch_control(struct sp_session *, const struct ofp_header *);
void sp_batch_barrier(struct sp_session *, const struct ofp_header *);
void sp_batch_let_go(struct sp_session *); /* It has been held for too long. */
/* An error message with 'xid' during a batch.  Returns false if it belongs to no part of it. */
bool sp_batch_error(struct sp_session *, uint32_t xid, const char *name);
/* Asks for the meters, to look after them; DUMP follows. */
void sp_meters_begin(struct sp_session *);
void sp_meters_mended(struct sp_session *, const struct ofp_header *); /* The barrier's reply. */
/* An error message with 'xid'.  Returns false if it does not belong to that. */
bool sp_meters_error(struct sp_session *, uint32_t xid, const char *name);
/* All that was to be told or confirmed has been. */
void sp_dump_end(struct sp_session *);
/* Asks to be told what others change, once in a session. */
void sp_monitor_begin(struct sp_session *);
/* An error message with 'xid'.  Returns false if it does not belong to that request. */
bool sp_monitor_error(struct sp_session *, uint32_t xid, const char *name);
/* Encodes more of the batch until 'target' bytes are pending or all is encoded. */
void sp_batch_encode(struct sp_session *, size_t target);

#endif
