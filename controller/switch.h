/* One bridge as the engine sees it: what we want there, what is confirmed there, and how the one becomes the other.
 *
 * A switch object exists for each adopted bridge, connected or not, and for each other bridge that is connected.  While
 * its bridge is adopted and connected ("enforced") it holds the bridge's desired flows by unit and the table of what is
 * installed.  The sequence after a connect: handshake, ports; sp_switch_begin(), and the switch is asked at once what is
 * installed; the engine gives every unit meanwhile and calls sp_switch_enforce(); only then is found out what the dump means,
 * and the difference brought over in checked bundles, one at a time.
 *
 * A refused modification poisons its unit: the unit's last confirmed flows stay, the rest of the batch is tried again
 * without it, and the unit is tried again when it changes, on a reconnect and every 15 s.  After each refusal the
 * next batch takes half as many units, after each success twice as many, so that many bad units cost little more than
 * themselves.
 *
 * About every 15 s the table is dumped again; where all bridges have millions of flows, or a dump takes long, later, 50 times its
 * length after it, but never after more than 30 s.  While other bridges wait to be begun with, a check waits too, for 10 s at
 * most.
 * What another hand changed is put right and counted, and so is what was lost on the way unnoticed: that a bundle lacks one of
 * its messages no barrier tells.  A switch that can tells what others change (a flow monitor); what concerns us brings the next
 * dump forward, at most to 1 s and 20 times its own length after the last one, so that nobody's changes can make dumps more
 * than a small part of the work.
 *
 * Place in the arrow: the engine decides which units change (from the model); this module compiles nothing and knows no
 * model.  Files: switch.c, switch_batch.c (units to modifications), switch_ahead.c (likewise, before they are wanted),
 * switch_dump.c and switch_left.c (the dump against what is wanted), switch_foreseen.c (what it will mean if it tells what the
 * last one told), switch_zones.c (whose connections are in a zone), switch_link.c (the connection).
 *
 * Where a dump tells all that is installed in the bytes in which the last one told it, and nothing else, nothing is to be found
 * out: no flow is looked at, and an unchanged bridge costs little more than reading what it says.  Where one that has come back
 * may tell just what it shall have, that is found out while it gathers its answer.
 *
 * What any other dump means is found out in parts (sp_switch_work()), as that takes some milliseconds for some thousand flows.
 * Nothing is sent meanwhile, so that what is installed stays as it was told; and a unit that changes while it is being found out
 * what each has makes the rest of that be done at once, before it changes: no change ever meets a switch that is half known.
 *
 * Counted flows (flows/tally.h) live and die with their cookie: another one's flow in the place of theirs is preceded, in the
 * same bundle, by their deletion, so that the switch tells what they counted and counts the new one from 0.
 *
 * Guarantees: W1 'installed' is what the switch has confirmed, flow by flow, but for what another hand changed since the
 * last dump; W2 a flow is deleted only if it is the unit's own that is replaced, or one under our cookie that no unit wants;
 * W3 while a batch or a dump is under way, or what a dump means is being found out, nothing else is sent; and nothing is
 * lost, left over or to be deleted before every unit has been given;
 * W4 the flows of a port are sent only behind a confirmed flush of its zone, or where its connections alone are in it (P4);
 * W5 what is sent ahead is committed only if it is all that the units want then, and just that. */

#ifndef SALLYPORT_CONTROLLER_SWITCH_H
#define SALLYPORT_CONTROLLER_SWITCH_H 1

#include "controller/switch_link.h"

/* A unit's name: its kind and up to 24 bytes of key, compared byte by byte (so zero-fill). */
enum sp_unit_kind {
    SP_UNIT_STATIC,
    SP_UNIT_REPORTS,
    SP_UNIT_UPLINKS,
    SP_UNIT_PORT,        /* key: port id */
    SP_UNIT_MAC,         /* key: VLAN, MAC */
    SP_UNIT_TARGET,      /* key: VLAN, family, address */
    SP_UNIT_FLOOD_VLAN,  /* key: VLAN */
    SP_UNIT_FLOOD_CHUNK, /* key: VLAN, chunk */
    SP_UNIT_REMOTE,      /* key: region number, family, address */
    SP_UNIT_RULE_SET,    /* key: number */
    SP_N_UNIT_KINDS
};
struct sp_unit_name {
    uint8_t kind;
    uint8_t key[24];
};

/* The flows of one unit: immutable, counted, shared between the bridges that have the same. */
struct sp_flow_set {
    unsigned refs;
    size_t n;
    struct sp_flow *flows[]; /* Each referenced. */
};
/* Moves the flows of 'list', which is empty afterwards, into a new set with one reference.  NULL: no memory, 'list' as before. */
struct sp_flow_set *sp_flow_set_new(struct sp_flow_list *list);
struct sp_flow_set *sp_flow_set_ref(struct sp_flow_set *);
void sp_flow_set_unref(struct sp_flow_set *); /* NULL is fine. */
bool sp_flow_set_equal(const struct sp_flow_set *, const struct sp_flow_set *); /* NULL equals a set of no flows. */

struct sp_switch;

struct sp_switch_events {
    /* Something was confirmed or refused, or there is nothing left to do.  From inside the switch: act in a later turn. */
    void (*settled)(void *aux, struct sp_switch *);
    /* Fills 'out' with what 'unit' (NULL: none of ours) and 'flow' (NULL: the whole unit) stand for: "rule ... of group web". */
    void (*describe)(void *aux, struct sp_switch *, const struct sp_unit_name *unit, const struct sp_flow *flow, char *out,
                     size_t size);
    /* A flow of ours that is counted has 'raw' counters now, in the dump under way, or, with 'removed', had them when it was
     * deleted. */
    void (*counted)(void *aux, struct sp_switch *, const struct sp_flow *, const struct sp_count *raw, bool removed);
    /* A dump, the first one of a connection or another, begins or has come to its end. */
    void (*dumping)(void *aux, struct sp_switch *, bool begins, bool first);
    /* Whether conntrack zone 'zone' is that of a port which is on this bridge, or may come back to it. */
    bool (*owns_zone)(void *aux, struct sp_switch *, uint16_t zone);
    /* Whether a check may begin, and nobody else should go first; if not it is asked again at the next tick, for some seconds. */
    bool (*may_check)(void *aux, struct sp_switch *);
    /* There is work for sp_switch_work(), to be called in a later turn. */
    void (*busy)(void *aux, struct sp_switch *);
};

/* Counters that all switches of an engine share. */
struct sp_switch_counters {
    uint64_t flow_mods_sent;
    uint64_t bundles_applied;
    uint64_t bundles_discarded;
    uint64_t flow_mods_refused;
    uint64_t drift_repaired;
    uint64_t zones_flushed;
    uint64_t bundles_ahead;     /* Sent before they were wanted, and then wanted, ... */
    uint64_t bundles_withdrawn; /* ... or not. */
    uint64_t flows_told;        /* In the last dump of each switch that is connected: what a round of checks reads. */
};

/* 'events', 'aux' and 'counters' must live as long.  'seed' is a number that no switch knows.  NULL: no memory. */
struct sp_switch *sp_switch_new(uint64_t dpid, uint64_t seed, const struct sp_switch_events *, void *aux,
                                struct sp_switch_counters *counters);
/* Forgets everything.  A link is the caller's to close, after sp_switch_detach(). */
void sp_switch_free(struct sp_switch *);

uint64_t sp_switch_dpid(const struct sp_switch *);

/* The connection 'link' (borrowed until sp_switch_detach()) is this bridge's.  Its events other than ports go to
 * sp_switch_event(). */
void sp_switch_attach(struct sp_switch *, struct sp_link *link);
/* The connection has gone: installed table, units and refusals are forgotten. */
void sp_switch_detach(struct sp_switch *);
struct sp_link *sp_switch_link(const struct sp_switch *); /* NULL: not connected. */

/* The revisions of the model that a change of a unit belongs to, first to last. */
struct sp_revisions {
    uint64_t first;
    uint64_t last;
};
/* Replaces unit 'name' by 'flows' (a reference is taken over, also on failure; NULL: no flows, the unit goes).  Returns 0, or
 * -ENOMEM with the unit as it was. */
int sp_switch_set_unit(struct sp_switch *, const struct sp_unit_name *name, struct sp_flow_set *flows,
                       struct sp_revisions) SP_MUST_USE;
/* The flows that unit 'name' shall have, borrowed; NULL: none. */
const struct sp_flow_set *sp_switch_desired(const struct sp_switch *, const struct sp_unit_name *name);
/* The engine cannot say what unit 'name' shall be; 'why' is reported until it can. */
void sp_switch_fail_unit(struct sp_switch *, const struct sp_unit_name *name, const char *why, struct sp_revisions);
/* Every unit, in no particular order, until 'visit' returns nonzero; returns that.  'visit' changes no unit. */
typedef int sp_visit_unit(void *aux, const struct sp_unit_name *, const struct sp_flow_set *desired);
int sp_switch_each_unit(const struct sp_switch *, sp_visit_unit *, void *aux);
/* The entries of conntrack zone 'zone' shall go once the changes made so far are in force: nobody needs them any more.  That the
 * zone's next owner finds none is seen to when it comes. */
void sp_switch_flush_zone(struct sp_switch *, uint16_t zone);

/* The bridge is to be ours: sp_switch_run() asks it what it has, and takes in what it tells.  Units may be given before and
 * after.  What is told is held as a whole until it is known what it means, SP_SESSION_FLOWS_MAX flows at most. */
void sp_switch_begin(struct sp_switch *, int64_t now_ms);
/* All units have been given: from now on it is ours: dump, compare, change.  Begins if that has not been done. */
void sp_switch_enforce(struct sp_switch *, int64_t now_ms);
/* No longer; what is installed stays. */
void sp_switch_ignore(struct sp_switch *);
bool sp_switch_is_enforced(const struct sp_switch *); /* Not before all units have been given. */
/* It is being found out what the bridge has, or something is being sent. */
bool sp_switch_is_starting(const struct sp_switch *);
/* No unit is left, nothing of ours is installed and nothing is under way. */
bool sp_switch_is_clean(const struct sp_switch *);

/* The model is at 'revision' and all units say so.  Sends what there is to send if nothing is under way. */
void sp_switch_run(struct sp_switch *, uint64_t revision, int64_t now_ms);
/* Has the switch look at what is not wanted yet, so that it may be committed as soon as it is: the flows 'flows' that unit 'name'
 * is to have once commit 'number' (never 0) is through.  The units of one commit are added one by one, and then sent together;
 * nothing happens unless all is in step there, or if something of this commit has been sent before.  Once
 * the units say so and sp_switch_run() is called it is put in force; if by then they say something else, or nothing by
 * sp_switch_withdraw(), it is not. */
void sp_switch_add_ahead(struct sp_switch *, const struct sp_unit_name *name, struct sp_flow_set *flows, uint64_t number);
void sp_switch_send_ahead(struct sp_switch *, uint64_t number);
void sp_switch_withdraw(struct sp_switch *);
/* Takes an event of the link: dump, batch, error. */
void sp_switch_event(struct sp_switch *, struct sp_event *, int64_t now_ms);
/* Does a part of the work, some microseconds of it.  Returns false if there was none left. */
bool sp_switch_work(struct sp_switch *, int64_t now_ms);
/* To be called about once a second: looks after drift and refused units. */
void sp_switch_tick(struct sp_switch *, int64_t now_ms);

enum sp_confirmation { SP_CONFIRMATION_PENDING, SP_CONFIRMED, SP_NOT_CONFIRMED };
/* Whether the changes of 'revision' are in force on this bridge: pending, yes, or not (refused, or not connected). */
enum sp_confirmation sp_switch_confirmation(const struct sp_switch *, uint64_t revision);
/* Whether unit 'name' is in force as it shall be. */
bool sp_switch_unit_confirmed(const struct sp_switch *, const struct sp_unit_name *name);

struct sp_switch_reading {
    size_t flows_desired;
    size_t flows_installed;
    uint64_t revision;      /* Confirmed whole. */
    bool pending;
    const char *last_error; /* NULL: none.  Valid until the next call into the switch. */
};
void sp_switch_read(const struct sp_switch *, struct sp_switch_reading *ret);
/* A complaint about the bridge as a whole that no unit has ("a second connection..."); NULL clears it. */
void sp_switch_complain(struct sp_switch *, const char *text);

#endif
