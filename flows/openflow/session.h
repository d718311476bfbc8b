/* One OpenFlow connection as a pure state machine: bytes and the time go in, bytes and events come out.
 *
 * It speaks for the controller: HELLO with exactly OpenFlow 1.4 and 1.5, features, description, asynchronous configuration,
 * port descriptions, echo both ways; it dumps flows by our cookie, hears what others change, and applies sets of modifications
 * as checked bundles.  With each dump it looks after the meters that reports of denied connections go through
 * (sallyport/pipeline.h); what is denied comes as events.  It has no socket and no clock: the owner feeds what it received with
 * sp_session_receive(), sends what sp_session_output() gives, calls sp_session_tick() when sp_session_deadline() has come, and
 * takes events with sp_session_next() until there is none.
 *
 * Checked bundles.  A bundle with a bad message commits the rest, so a batch goes: OPEN, the ADDs, BARRIER, wait, errors
 * matched by xid; none -> COMMIT, any -> DISCARD; BARRIER.  The result is an event that names each refused modification.
 * The first half can be had ahead of the second: sp_session_prepare() holds the bundle before its COMMIT for a while.
 * Guarantees: S1 nothing is sent before its predecessor step was confirmed, but for what only asks and for the meters of reports,
 * which are confirmed before the dump's end; S2 a batch is reported applied only after the
 * commit reply and its barrier; S3 a peer that sends anything malformed, out of order or without bound is closed with a
 * reason, never an abort; S4 memory is bounded: SP_SESSION_OUTPUT_MAX bytes of output are pending at most beyond one
 * message, and a peer's ports, flows per dump and message sizes have limits. */

#ifndef SALLYPORT_FLOWS_OPENFLOW_SESSION_H
#define SALLYPORT_FLOWS_OPENFLOW_SESSION_H 1

#include "flows/headers.h"
#include "flows/openflow/codec.h"
#include "flows/openflow/known.h"
#include "flows/tally.h"

#define SP_SESSION_OUTPUT_MAX (1u << 20)
#define SP_SESSION_PORTS_MAX 65280u
#define SP_SESSION_FLOWS_MAX 2000000u /* In one dump. */
#define SP_SESSION_METERS_MAX 1048576u /* Of the whole switch. */
#define SP_SESSION_DENIED_PER_S 500    /* Denied packets that are looked at, in a second; the others are counted. */
#define SP_SESSION_PORT_NAME_SIZE 17 /* OpenFlow's 16 bytes and a NUL. */

#define SP_SESSION_HANDSHAKE_MS 10000 /* From the first byte of the connection to SP_EVENT_READY. */
#define SP_SESSION_IDLE_MS 4000       /* From the last answer to an echo request. */
#define SP_SESSION_DEAD_MS 12000      /* Silence after which the peer counts as dead. */
#define SP_SESSION_HOLD_MS 2000       /* For the word on a bundle that is prepared; Open vSwitch gives one up after 10 s. */
#define SP_SESSION_UNREAD_MS 60000    /* See sp_session_unread(). */
#define SP_SESSION_REPLY_MS 10000     /* For an echo and for each step of a dump or batch, from the last progress on. */

struct sp_session;

enum sp_event_kind {
    SP_EVENT_READY,      /* Handshake done; 'ready' is valid.  Port events of the ports that exist follow, then PORTS_DONE. */
    SP_EVENT_PORT,       /* 'port': added, changed or deleted. */
    SP_EVENT_PORTS_DONE,
    SP_EVENT_DUMP_FLOW,  /* 'flow': one flow of ours that is not known; its reference goes to the receiver.  'count': its
                          * counters. */
    SP_EVENT_DUMP_COUNT, /* 'flow', a known one that is counted, and whose reference goes to the receiver, has 'count'. */
    SP_EVENT_DUMP_DONE,
    SP_EVENT_REMOVED,    /* A counted 'flow' of ours has been deleted, by whomever; its actions are not told, its reference goes
                          * to the receiver.  'count': its last counters.  Comes some time after the deletion, at any time. */
    SP_EVENT_CHANGED,    /* Another hand has added, changed or deleted 'flow', whose actions are not told; its reference goes
                          * to the receiver.  A flow under our cookie, or one that may stand in the place of ours. */
    SP_EVENT_APPLIED,    /* The batch is in force, whole. */
    SP_EVENT_REFUSED,    /* One modification of the batch was refused: 'refused'.  More may follow, then DISCARDED. */
    SP_EVENT_DISCARDED,  /* The batch is not in force, no part of it. 'text' says why in one line. */
    SP_EVENT_METERS,     /* 'meters': what the look after them has brought; before DUMP_DONE, and before the flows if all were
                          * there.  Then a second one may say that they are not usable all the same. */
    SP_EVENT_DENIED,     /* 'denied': a packet that would have opened a connection was denied. */
    SP_EVENT_ERROR,      /* An error message that belongs to no request of ours: 'text'. */
    SP_EVENT_CLOSED,     /* The connection must be closed: 'text' says why.  The last event. */
};

struct sp_session_port {
    uint16_t ofport;
    char name[SP_SESSION_PORT_NAME_SIZE]; /* UTF-8 as the switch gave it; control characters, and bytes that are none, as '?'. */
    bool deleted;
};

struct sp_session_ready {
    uint64_t dpid;
    uint8_t version;     /* SP_OF14, SP_OF15. */
    char software[64];   /* From the description, "3.1.0"; printable. */
    char name[64];       /* The bridge's: its local port has it; without one, the datapath description ("None" in OVS). */
};

struct sp_session_refused {
    size_t index;     /* Into the batch's mods. */
    char error[64];   /* As OpenFlow names it: "OFPBAC_BAD_OUT_PORT". */
};

struct sp_session_meters {
    bool usable;       /* All are there, and denied packets come to us. */
    uint32_t n_mended; /* That were there in this session, and were changed or deleted by another hand. */
    char text[192];    /* Why they are not usable. */
};

/* The registers are what the switch says: numbers to be looked up, and to be believed of this switch alone. */
struct sp_session_denied {
    uint32_t set;        /* SP_R_SET, and so on. */
    uint32_t mark;
    uint32_t phase;
    uint16_t zone;
    uint16_t ofport;     /* The server's: where the packet came in or was to go out. */
    uint32_t n_left_out; /* Denied packets that were not looked at since the last event, as they were too many. */
    struct sp_headers headers;
};

struct sp_event {
    enum sp_event_kind kind;
    struct sp_flow *flow; /* NULL but for SP_EVENT_DUMP_FLOW, _DUMP_COUNT, _REMOVED and _CHANGED. */
    union { /* As 'kind' says. */
        struct sp_count count;
        struct sp_session_ready ready;
        struct sp_session_port port;
        struct sp_session_refused refused;
        struct sp_session_meters meters;
        struct sp_session_denied denied;
        char text[160];
    };
};

/* A new session whose handshake begins at 'now_ms' (monotonic, as all times here).  NULL: no memory. */
struct sp_session *sp_session_new(int64_t now_ms);
void sp_session_free(struct sp_session *); /* NULL is fine; a batch under way is forgotten. */

/* Takes 'size' bytes that the peer sent. */
void sp_session_receive(struct sp_session *, const void *data, size_t size, int64_t now_ms);

/* Moves up to 'size' bytes of output to 'out' and returns their number.  A long batch is encoded here, step by step. */
size_t sp_session_output(struct sp_session *, void *out, size_t size, int64_t now_ms);

/* At 'at_ms' the peer's system took more of an output that had to wait: a sign of life while something is asked of it.  A switch
 * at a slow link says nothing while a long batch is on its way.  To be told before a tick. */
void sp_session_taken(struct sp_session *, int64_t at_ms);

/* The peer has said something by now that the owner has not had the time to pass on: it counts as what the peer is waited for,
 * as long as that is so, but not for longer than SP_SESSION_UNREAD_MS without any progress: who never stops talking says nothing
 * either.  A handshake must be through in its time all the same.  To be told before a tick. */
void sp_session_unread(struct sp_session *, int64_t now_ms);

/* When sp_session_tick() must be called next. */
int64_t sp_session_deadline(const struct sp_session *);
void sp_session_tick(struct sp_session *, int64_t now_ms);

/* Takes the oldest event.  Returns false if there is none. */
bool sp_session_next(struct sp_session *, struct sp_event *ret);

/* Ready for sp_session_dump() or sp_session_apply(): the handshake is done and neither is under way. */
bool sp_session_idle(const struct sp_session *);

/* Asks for all flows of ours but the learned ones.  Only when idle.  With 'known' (borrowed until SP_EVENT_DUMP_DONE or the
 * session's end; may be NULL) what was decoded before is not decoded again, nor told: what is known at the end of the dump is
 * what the switch has, beside what was told as an event and could not be kept.  The first time it also asks the switch to tell
 * what others change from then on (SP_EVENT_CHANGED), which a switch may decline (SP_EVENT_ERROR). */
void sp_session_dump(struct sp_session *, struct sp_known *known, int64_t now_ms);

/* Applies 'mods' as one atomic, ordered bundle.  Only when idle.  'mods' is borrowed, with its flows, until SP_EVENT_APPLIED,
 * SP_EVENT_DISCARDED or the session's end.  Each SP_ZONE_FLUSH among them, which come first, is carried out at once, and if it
 * is refused so is the bundle, as for any other.  With 'flush_zones' ('n_zones', borrowed likewise) the conntrack entries of
 * these zones are flushed once the bundle is committed, and SP_EVENT_APPLIED follows the barrier after the flush.  'n' may be
 * 0 if 'n_zones' is not. */
void sp_session_apply(struct sp_session *, const struct sp_flow_mod *mods, size_t n, const uint16_t *flush_zones, size_t n_zones,
                      int64_t now_ms);

/* Has the switch look at 'mods' as sp_session_apply() does, with 'n' not 0 and no SP_ZONE_FLUSH among them, but commits nothing:
 * the bundle is held until sp_session_commit() or sp_session_withdraw().  A word that does not come within SP_SESSION_HOLD_MS is
 * the latter, and a refusal needs none; SP_EVENT_DISCARDED tells of both. */
void sp_session_prepare(struct sp_session *, const struct sp_flow_mod *mods, size_t n, int64_t now_ms);
/* The bundle that is prepared shall be in force: from now on it is one of sp_session_apply(); or it shall not, and
 * SP_EVENT_DISCARDED follows.  Neither does anything to one that has been discarded, or has been given the other word. */
void sp_session_commit(struct sp_session *, int64_t now_ms);
void sp_session_withdraw(struct sp_session *, int64_t now_ms);

#endif
