/* The engine: owns the way from a request to the switches and back.
 *
 *   sp_engine_write -> [batch: stage each, seal] -> store commit -> publish -> dirty units per bridge -> checked bundles
 *   -> confirmations -> 'done' with the revision and whether it is applied
 *
 * While the store is at it, bridges are told what will follow from a change of rules, so that they have looked at it when it
 * is durable (engine_ahead.c); what they are told is in force only once a bundle is committed.
 *
 * Writes that arrive while a commit is under way wait in a bounded queue and share the next commit.  Reads go straight to
 * sp_engine_model().  A bridge that is slow, dead or lying holds up nobody but those who wait for it, and they for their
 * own 'wait_ms' at most.
 *
 * Guarantees: E1 nothing is in force in a switch before it is durable; E2 'applied' is true only after every bridge that was
 * connected and touched when the change was published has confirmed it by a barrier, and never if one that it concerns was
 * lost while the store wrote it and not back by then; E3 a store failure changes nothing and is reported; E4 flows of bridges
 * that are not adopted are left alone. */

#ifndef SALLYPORT_CONTROLLER_ENGINE_H
#define SALLYPORT_CONTROLLER_ENGINE_H 1

#include "controller/blocked.h"
#include "controller/counts.h"
#include "controller/model/batch.h"
#include "controller/obs/histogram.h"

struct uv_loop_s;
struct sp_tls;
struct sp_engine;

#define SP_ENGINE_WRITES_MAX 1024 /* Queued writes; one more is SP_E_FULL. */

/* 'store' is taken over; 'model' holds what it loaded and is taken over too.  NULL: no memory. */
struct sp_engine *sp_engine_new(struct uv_loop_s *, struct sp_store *store, struct sp_model *model);
/* Takes from the store how often rules have hit; before anything else is asked of the engine.  Returns 0, SP_E_DAMAGED or a
 * negative errno, with one line in 'why'. */
int sp_engine_recall(struct sp_engine *, char *why, size_t why_size) SP_MUST_USE;
/* Stops: no further writes, a commit under way ends, connections close, flows stay.  'stopped' runs when all is freed. */
void sp_engine_stop(struct sp_engine *, void (*stopped)(void *aux), void *aux);

const struct sp_model *sp_engine_model(const struct sp_engine *);
/* Reads the history from the store; before the first write.  As sp_store_ops.load_history. */
int sp_engine_load_history(struct sp_engine *, sp_store_receive_record *, void *aux, char *why, size_t why_size) SP_MUST_USE;

/* Begins to listen or dial for switches.  As sp_method_open(). */
int sp_engine_open(struct sp_engine *, const char *method, struct sp_tls *tls, char *why, size_t why_size) SP_MUST_USE;
/* Closes the connections of bridges whose certificates may not be them any more. */
void sp_engine_check_peers(struct sp_engine *);

/* The port that the 'index'th opened method has bound (for port 0); 0: none. */
uint16_t sp_engine_port(const struct sp_engine *, size_t index);

struct sp_outcome {
    /* 0: durable.  SP_E_INVALID...: 'stage' refused and returned this.  Negative errno: the store could not write. */
    int error;
    const char *why;   /* With a store error: one line, borrowed. */
    uint64_t revision; /* Of this change; the current one if nothing changed. */
    bool applied;      /* Every connected bridge that it touches has confirmed it. */
};

struct sp_write {
    /* Stages the change in the batch; runs exactly once, in a later turn of the loop or in this one.  Returns 0 to accept or
     * a positive SP_E_* or negative errno to refuse, after noting down what 'done' needs. */
    int (*stage)(void *aux, struct sp_batch *);
    /* NULL, or the change is only to be looked at: this runs once it is accepted, with what it changes and the model as it would
     * be, and then all of it is taken back.  'record' and 'judge' do not run; 'done' gets the revision before.  Returns as
     * 'stage'. */
    int (*preview)(void *aux, const struct sp_change *changes, size_t n);
    /* NULL, or gives in '*ret' the record of what was staged, which stays the caller's until 'done'.  'changes' (borrowed for the
     * call) are what is accepted as 'revision' at 'now_us'; the model shows them.  Does not run if nothing changed.  Returns as
     * 'stage', and refuses the change as that does. */
    int (*record)(void *aux, uint64_t revision, int64_t now_us, const struct sp_change *changes, size_t n,
                  const struct sp_history_record **ret);
    /* NULL, or tells in '*ret' how an earlier change's trial ends by this one, which is durable with it, also if nothing else
     * changes.  Returns false if none does.  Runs after 'stage' and 'record' have accepted. */
    bool (*judge)(void *aux, struct sp_trial_end *ret);
    /* With 'record' or 'judge', if there was any: it is durable, and the change published.  Runs before anybody hears of it. */
    void (*recorded)(void *aux);
    /* Runs exactly once, never from inside sp_engine_write(). */
    void (*done)(void *aux, const struct sp_outcome *);
    void *aux;
    unsigned wait_ms; /* How long to wait for bridges, 0 to 60,000. */
};
/* Returns 0, SP_E_FULL or SP_E_CLOSED (stopping); 'done' is not called then. */
int sp_engine_write(struct sp_engine *, const struct sp_write *) SP_MUST_USE;

/* What staged changes would do to the flows of bridges that are connected. */
struct sp_effect {
    struct sp_bridge_effect {
        uint64_t dpid;
        size_t n_added;   /* Flows; one that changes is in both. */
        size_t n_removed;
    } *bridges;           /* That the changes concern, by dpid. */
    size_t n;
    size_t n_left_out;    /* Bridges beyond the bound, which were not looked at. */
};
#define SP_EFFECT_PORTS_MAX 20000 /* The bridges that are looked at have together. */
/* Compiles what the changes concern, as the model is now: for sp_write.preview.  The caller frees 'ret->bridges'.  Returns 0
 * or -ENOMEM.  What cannot be expressed in flows stays as it is, as it will when the change is made. */
int sp_engine_preview(struct sp_engine *, const struct sp_change *changes, size_t n, struct sp_effect *ret) SP_MUST_USE;

/* Readings. */
enum sp_port_state { SP_PORT_UNBOUND, SP_PORT_PENDING, SP_PORT_ACTIVE };
enum sp_port_state sp_engine_port_state(const struct sp_engine *, const struct sp_port *);

enum sp_port_role { SP_ROLE_CLOSED, SP_ROLE_SERVER, SP_ROLE_UPLINK };
struct sp_bridge_port_status {
    uint16_t ofport;
    const char *name;
    enum sp_port_role role;
    const struct sp_server *server; /* With SP_ROLE_SERVER. */
};
struct sp_bridge_status {
    uint64_t dpid;
    bool adopted;
    bool connected;        /* Handshake done, ports known. */
    const char *name;      /* As the switch says; "" = never connected. */
    const char *peer;      /* "tcp:192.0.2.1:40000"; "" = not connected. */
    const char *version;   /* "OpenFlow 1.5", "" = not connected. */
    const char *const *uplinks;
    size_t n_uplinks;
    const struct sp_bridge_port_status *ports; /* By ofport; none when not connected. */
    size_t n_ports;
    size_t flows_desired;
    size_t flows_installed;
    uint64_t revision;     /* The last revision that this bridge has confirmed whole. */
    bool pending;          /* Something that concerns it is not confirmed. */
    const char *last_error; /* NULL = none; one line naming the rule, port or setting it concerns; cleared when it has healed. */
};
typedef int sp_visit_status(void *aux, const struct sp_bridge_status *);
/* Every bridge that is adopted or connected, by dpid; all pointers are valid during the visit.  'with_ports': what it costs grows
 * with the ports of all bridges; else each is visited without them. */
int sp_engine_each_bridge(struct sp_engine *, bool with_ports, sp_visit_status *, void *aux);
/* One of them.  SP_E_MISSING: no such bridge, 'visit' not called; else what 'visit' returned. */
int sp_engine_one_bridge(struct sp_engine *, uint64_t dpid, sp_visit_status *, void *aux);

/* Who is told of what changes, in the order in which it does. */
struct sp_engine_watch {
    /* 'changes' (borrowed for the call) were published as 'revision'; the model shows them and later ones. */
    void (*changed)(void *aux, uint64_t revision, const struct sp_change *changes, size_t n);
    /* Something about a bridge may have changed: it connected, a change concerns it, is confirmed or refused, it has gone.  Comes
     * at most a few times a second for one bridge, and the last time with what is so then.  Without its ports; a bridge that is
     * no longer listed is neither adopted nor connected. */
    void (*bridge)(void *aux, const struct sp_bridge_status *);
    /* Blocked attempts to or from 'servers' (borrowed, SP_ENGINE_BLOCKED_NAMED at most) were seen; 'more': of others, too.  Comes
     * once a second at most. */
    void (*blocked)(void *aux, const struct sp_uuid *servers, size_t n, bool more);
};
#define SP_ENGINE_BLOCKED_NAMED 32
/* From now on 'watch', which is borrowed, is told; NULL: nobody. */
void sp_engine_set_watch(struct sp_engine *, const struct sp_engine_watch *watch, void *aux);

/* From now on 'tick' runs every second, not at once; NULL: nothing does. */
void sp_engine_set_tick(struct sp_engine *, void (*tick)(void *aux), void *aux);

/* A connection that ended before it said which bridge it is: it speaks no version of OpenFlow that we do, say. */
struct sp_refusal {
    const char *peer;
    const char *why;
    int64_t at_us; /* The last time. */
};
typedef void sp_visit_refusal(void *aux, const struct sp_refusal *);
/* Those of the last minute, some of them if they are many; one for each host and reason. */
void sp_engine_each_refusal(const struct sp_engine *, sp_visit_refusal *, void *aux);

/* Where a port is plugged in. */
struct sp_port_home {
    uint64_t dpid;
    const char *bridge; /* Its name, as the switch says; borrowed for the call. */
    uint16_t ofport;
    uint64_t cookie;    /* Of the flow there that takes what the port sends to its conntrack zone. */
};
typedef int sp_visit_home(void *aux, const struct sp_port_home *);
/* The bridges that are connected and have 'port', until 'visit' returns nonzero; returns that. */
int sp_engine_each_port_home(const struct sp_engine *, const struct sp_port *port, sp_visit_home *, void *aux);

/* Whether 'port' is surely plugged in nowhere: the bridge that it names is connected and has no such port.  Else, if it has no
 * home, it may be on a bridge that is away. */
bool sp_engine_port_is_unplugged(const struct sp_engine *, const struct sp_port *port);

/* Who admitted a connection of a server that carries a mark, as the rules are now. */
enum sp_admitter {
    SP_ADMITTED_BY_RULE,
    SP_ADMITTED_BY_FRAGMENT, /* A later one of a datagram, which does not know its rule. */
    SP_ADMITTED_BY_NOBODY,   /* Its rule has changed or gone: its next packet is judged again. */
};
/* Tells it of 'mark', with SP_ADMITTED_BY_RULE the rule and its group too, borrowed from the model. */
enum sp_admitter sp_engine_find_admitter(const struct sp_engine *, const struct sp_server *, uint32_t mark,
                                         const struct sp_rule **ret_rule, const struct sp_group **ret_group);

/* The connections that 'port' was denied, or others to it, the last seen first.  As sp_blocked_each(). */
int sp_engine_each_blocked(const struct sp_engine *, const struct sp_uuid *port, sp_visit_blocked *, void *aux);
/* The time that changes and hits are stamped with: microseconds since 1970. */
int64_t sp_engine_clock_us(void);

/* How often 'rule' of the model has hit, as of each bridge's last dump: those of the last 15 to 30 s are not in it. */
void sp_engine_hits(const struct sp_engine *, const struct sp_rule *rule, struct sp_hits *ret);

/* Counters since the start, for /metrics. */
struct sp_engine_counters {
    uint64_t flow_mods_sent;     /* Additions and deletions sent in bundles. */
    uint64_t bundles_applied;
    uint64_t bundles_discarded;
    uint64_t bundles_ahead;     /* Those that bridges had been told of before the change was durable, ... */
    uint64_t bundles_withdrawn; /* ... and those that were not put in force then. */
    uint64_t flow_mods_refused;
    uint64_t drift_repaired;     /* Flows that another hand had changed, deleted or added under our cookie. */
    uint64_t zones_flushed;      /* Flushes of a port's conntrack zone sent. */
    uint64_t connects;
    uint64_t disconnects;
    uint64_t commits;
    uint64_t commits_failed;
    uint64_t writes_queued;      /* Now. */
    uint64_t denied_seen;        /* Packets that bridges reported as denied. */
    uint64_t denied_left_out;    /* Those that came faster than they are looked at. */
    uint64_t blocked_entries;    /* Now. */
    uint64_t blocked_evicted;
    bool rules_known;            /* The two below are: they are counted every minute or so. */
    uint64_t rules;
    uint64_t rules_unused;       /* Without a hit for SP_LINT_UNUSED_US. */
    struct sp_histogram commit_time;  /* Of commits that the store took. */
    struct sp_histogram applied_time; /* From a write until every bridge that it touches has confirmed it. */
};
void sp_engine_counters(const struct sp_engine *, struct sp_engine_counters *ret);

/* Somebody will call sp_engine_bind_iface().  As long as some port is not found yet that way, bridges that connect in the first
 * SP_ENGINE_EXPECT_MS of the engine are left as they are: else a restart would take away the flows of ports that OVSDB has
 * not told of again, only to bring them back a moment later. */
#define SP_ENGINE_EXPECT_MS 15000
void sp_engine_expect_ifaces(struct sp_engine *);

/* The OVSDB adapter tells that 'iface_id' is (or, with 'bound' false, is no longer) the port 'name' of bridge 'dpid'. */
void sp_engine_bind_iface(struct sp_engine *, const char *iface_id, uint64_t dpid, const char *name, bool bound);
/* It tells what is wrong with the settings of bridge 'dpid': 'text' (which lives as long as the program), or NULL, nothing.  An
 * adopted bridge shows it as its last error while it has no other. */
void sp_engine_note_flaw(struct sp_engine *, uint64_t dpid, const char *text);

/* For tests and for doubt: compiles every adopted and connected bridge as a whole and compares with what the changes have left
 * there one by one.  Returns 0 if they agree, 1 with the first difference in 'why', or -ENOMEM. */
int sp_engine_check(struct sp_engine *, char *why, size_t why_size) SP_MUST_USE;

#endif
