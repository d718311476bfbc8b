/* The inside of a switch, for the files switch*.c only. */

#ifndef SALLYPORT_CONTROLLER_SWITCH_UNITS_H
#define SALLYPORT_CONTROLLER_SWITCH_UNITS_H 1

#include "controller/model/index.h"
#include "controller/switch.h"

/* A unit is in one of these states.
 *
 *   CLEAN -> DIRTY      its desired flows changed, or another hand changed some of its installed ones
 *   DIRTY -> CLEAN      a batch that had its desired flows is in force
 *   DIRTY -> POISONED   one of its modifications was refused, or it could not be compiled
 *   POISONED -> DIRTY   its desired flows changed, or its time to try again has come, or drift (its confirmed flows are restored)
 *
 * While a batch is under way its units are DIRTY. */
enum sp_unit_state { SP_UNIT_CLEAN, SP_UNIT_DIRTY, SP_UNIT_POISONED };

struct sp_unit_ring {
    struct sp_unit_ring *prev;
    struct sp_unit_ring *next;
};

struct sp_unit {
    struct sp_unit_ring ring;       /* In the switch's list of its state and, if dirty, kind.  First: see unit_of_ring(). */
    struct sp_index_node node;      /* In sw->units. */
    struct sp_unit_name name;
    enum sp_unit_state state;
    struct sp_flow_set *desired;    /* NULL: none. */
    struct sp_flow_set *confirmed;  /* What the switch has of it; NULL: none. */
    uint64_t first;                 /* Not clean: the revisions that may not be in force, first to last. */
    uint64_t last;
    bool restore;                   /* Dirty, but only to have 'confirmed' again: 'desired' was refused. */
    bool failed;                    /* Poisoned because it could not be compiled: trying again is of no use. */
    bool in_batch;
    char *error;                    /* Why it is poisoned, or was until it became dirty; NULL: no memory for that, or never. */
};

enum sp_switch_phase {
    SP_SWITCH_PASSIVE,  /* Not connected or not adopted: nothing is sent. */
    SP_SWITCH_LEARNING, /* The first dump is wanted or under way, or units are still being given. */
    SP_SWITCH_IDLE,
    SP_SWITCH_AHEAD,    /* The switch looks at a batch of what is not wanted yet; see switch_ahead.c. */
    SP_SWITCH_APPLYING,
    SP_SWITCH_CHECKING, /* A later dump is under way. */
};

struct sp_batch_item {
    struct sp_unit *unit;
    struct sp_flow_set *target; /* Referenced; NULL: none. */
};

#define SP_ZONES_MAX 32   /* Zones that one batch flushes behind its flows, ... */
#define SP_FLUSHES_MIN 32 /* ... and at least before them, if there are so many. */
struct sp_switch_batch {
    struct sp_batch_item *items;
    size_t n;
    struct sp_flow_mods mods;
    size_t n_flushes; /* The first ones of 'mods'. */
    struct sp_flow_list news; /* Flows of the items that 'installed' has not, or not these of several that are equal. */
    uint16_t zones[SP_ZONES_MAX];
    size_t n_zones;
    uint64_t revision;
    size_t n_held;   /* Dirty units that cannot be in it: see switch_zones.c. */
    bool whole;      /* All others that were dirty, and the orphans. */
    size_t n_refused;
    bool is_ahead;   /* It was sent, or is to be, before it was wanted: a refusal says nothing about its units. */
    bool is_withdrawn;
};

/* What is to be done when a dump has come to its end, one after the other; nothing if it has told just what is mirrored.  After
 * the first one three are for a switch that was not known, the next two for one that was. */
enum sp_dump_stage {
    SP_DUMP_NONE,    /* Nothing. */
    SP_DUMP_FORESEEN, /* It was foreseen: UNITS, and DRAIN, are all that is to be done. */
    SP_DUMP_GATHER,  /* What was known before is in the dump, too. */
    SP_DUMP_OWNERS,  /* Whose are the zones? */
    SP_DUMP_UNITS,   /* What has each unit? */
    SP_DUMP_LEFT,    /* What has none? */
    SP_DUMP_LOST,    /* What is not as confirmed? */
    SP_DUMP_STRANGE, /* What was not confirmed? */
    SP_DUMP_KNOWN,   /* Flows that are known become those that are installed. */
    SP_DUMP_DRAIN,   /* The dump is let go of. */
    SP_DUMP_END,
};
struct sp_dump_work {
    enum sp_dump_stage stage;
    size_t cursor;
    struct sp_index_node *node;  /* UNITS: the next one, once the first part is done. */
    bool begun;                  /* UNITS: it is. */
    bool is_foreseen;            /* UNITS: each has what it wants. */
    struct sp_flow_list lost;    /* Installed, but not in the dump, or otherwise. */
    struct sp_flow_list strange; /* In the dump, but not installed, or of no unit. */
    bool is_odd;                 /* It cannot be mirrored: two that are known have one key, or another hand was at work. */
    size_t n_equal;              /* KNOWN: flows that are installed just so. */
};

/* What the first dump of a connection will mean if it tells, in the same bytes, what the last one told: that every unit has what
 * it wants, and that there is nothing else.  See switch_foreseen.c. */
enum sp_foreseen_stage {
    SP_FORESEEN_NONE,  /* It is not, or not yet. */
    SP_FORESEEN_FILL,  /* What the units want is being put into 'table'. */
    SP_FORESEEN_MATCH, /* It is being compared with what the last dump told. */
    SP_FORESEEN_READY, /* They are the same. */
    SP_FORESEEN_DRAIN, /* 'table' is let go of. */
};
struct sp_foreseen {
    enum sp_foreseen_stage stage;
    bool is_possible;            /* That no two known flows have one key is known, and nothing speaks against the rest. */
    size_t cursor;
    struct sp_index_node *node;  /* FILL: the next one, once the first part is done. */
    bool begun;                  /* FILL: it is. */
    struct sp_flow_table *table; /* NULL: none. */
    struct sp_flow_list owners;  /* Flows in it that tell whose a zone is. */
    size_t n_equal;              /* MATCH: flows that the last dump told just so. */
};

struct sp_switch {
    uint64_t dpid;
    uint64_t seed;                 /* Of 'known'; the switch must not know it. */
    const struct sp_switch_events *events;
    void *aux;
    struct sp_switch_counters *counters;
    struct sp_link *link;
    enum sp_switch_phase phase;
    bool asked;                    /* LEARNING: the dump is under way, ... */
    bool told;                     /* ... or has come to its end, and what it means is not being found out yet. */
    bool is_given;                 /* All units have been given. */
    struct sp_index units;
    struct sp_unit_ring dirty[SP_N_UNIT_KINDS];
    size_t n_dirty;
    struct sp_unit_ring poisoned;
    size_t n_poisoned;
    size_t n_errors;               /* Units that have one: the poisoned ones, and those that are tried again. */
    char error[300];               /* The last one. */
    size_t n_desired;              /* Flows of all units. */
    struct sp_flow_table *installed;
    struct sp_flow_table *dump;
    struct sp_dump_work work;
    struct sp_foreseen foreseen;
    struct sp_flow_table *owners;  /* Of zones: see switch_zones.c.  Outlives the connection. */
    struct sp_known *known;        /* Flows of the last dump; outlives the connection. */
    bool is_mirrored;              /* 'known' has the flows that are installed, each once, and no other. */
    bool is_distinct;              /* No two flows in 'known' have one key.  Outlives the connection, if no dump breaks off. */
    struct sp_flow_list orphans;   /* Installed, under our cookie, of no unit: to be deleted. */
    struct sp_flow_list stuck;     /* Orphans that the switch would not delete; tried again with the poisoned units. */
    char stuck_error[300];
    struct sp_switch_batch batch;
    size_t units_limit;            /* Of the next batch. */
    size_t flushes_limit;          /* Of the next batch, before its flows. */
    int64_t now_ms;                /* Of the call under way. */
    int64_t batch_begun_ms;
    uint16_t *zones;               /* To flush behind the next whole batches. */
    size_t n_zones;
    uint64_t revision;             /* Of the model. */
    uint64_t ahead;                /* The last commit of which something was sent ahead. */
    uint64_t settled;              /* Up to this one everything is confirmed or refused. */
    int64_t check_at_ms;           /* When the table is dumped again. */
    int64_t check_again_ms;        /* Not before this, whatever the switch tells. */
    int64_t check_begun_ms;
    size_t n_told;                 /* Flows of the last dump. */
    bool suspected;                /* The switch has told of a change of ours by another hand since the last dump began. */
    int64_t retry_at_ms;
    int64_t error_at_ms;           /* When the next stray error may be logged. */
    char complaint[160];
};

static inline struct sp_unit *
sp_unit_of_ring(struct sp_unit_ring *ring)
{
    return (struct sp_unit *) ring;
}
static inline size_t
sp_flow_set_count(const struct sp_flow_set *set)
{
    return set ? set->n : 0;
}

struct sp_unit *sp_switch_find_unit(const struct sp_switch *, const struct sp_unit_name *);
/* Moves 'unit' to 'state'.  A clean unit without flows is freed. */
void sp_switch_move_unit(struct sp_switch *, struct sp_unit *, enum sp_unit_state);
void sp_switch_poison(struct sp_switch *, struct sp_unit *, const char *why);
/* No memory to go on: the connection is given up; the next one begins afresh. */
void sp_switch_give_up(struct sp_switch *);

/* switch_batch.c: begins a batch of what is dirty; true if one is under way, false if there was nothing to send, and nothing is
 * dirty then.  The events of one. */
bool sp_switch_begin_batch(struct sp_switch *);
void sp_switch_end_batch(struct sp_switch *, const char *why_not); /* NULL: it is applied. */
void sp_switch_refuse(struct sp_switch *, const struct sp_session_refused *);
void sp_switch_clear_batch(struct sp_switch *);
/* Adds to the batch what makes its items of what is installed.  Returns 0 or -ENOMEM. */
int sp_switch_make_mods(struct sp_switch *) SP_MUST_USE;

/* switch_ahead.c: in SP_SWITCH_AHEAD: whether the batch is what is wanted now, or something else is. */
void sp_switch_run_ahead(struct sp_switch *);
void sp_switch_end_ahead(struct sp_switch *, const char *why); /* It was discarded. */

/* switch_dump.c: what the dump means for a switch that knows nothing yet, and for one that does; and whether a change that the
 * switch tells of is a reason for one.  A dump has come to its end: what it means is to be found out, by parts, or not at all. */
void sp_switch_begin_work(struct sp_switch *, enum sp_dump_stage first);
/* The dump has told just what is installed: nothing is to be found out. */
bool sp_switch_is_as_confirmed(const struct sp_switch *);
void sp_switch_drop_work(struct sp_switch *);
bool sp_switch_do_part(struct sp_switch *); /* False: that was the last one. */
/* If it is being found out what each unit has: does the rest of that. */
void sp_switch_finish_units(struct sp_switch *);
void sp_switch_suspect(struct sp_switch *, const struct sp_flow *);

/* switch_foreseen.c: all units have been given; a unit, or what is known, is no longer what it was. */
void sp_switch_foresee(struct sp_switch *);
void sp_switch_drop_foreseen(struct sp_switch *);
bool sp_switch_is_foreseeing(const struct sp_switch *); /* There is something to do for it. */
void sp_switch_foresee_part(struct sp_switch *);
void sp_switch_clear_foreseen(struct sp_switch *);
/* It has come as it was foreseen: what is foreseen is what is installed.  The units do not know it yet.  Returns 0 or -ENOMEM. */
int sp_switch_take_foreseen(struct sp_switch *) SP_MUST_USE;
/* switch_zones.c.  The flow of port 'unit' in 'set' that is its zone's in PORT_SET, borrowed; NULL: none. */
struct sp_flow *sp_switch_zone_flow(const struct sp_unit *unit, const struct sp_flow_set *set);
/* Whether the zone that 'flow' matches is known to have nothing in it but the connections of its port. */
bool sp_switch_owns(const struct sp_switch *, const struct sp_flow *flow);
/* Stores in '*ret' whether 'unit' may become 'target' in this batch, and adds the flush that must come first, if any. */
int sp_switch_claim_zone(struct sp_switch *, struct sp_unit *unit, const struct sp_flow_set *target, bool *ret) SP_MUST_USE;
/* 'flow' has gone, in the batch that is in force now. */
void sp_switch_forget_owner(struct sp_switch *, const struct sp_flow *flow);
/* A batch is in force. */
void sp_switch_note_flushes(struct sp_switch *);
/* Moves up to SP_ZONES_MAX of the zones that are to be flushed to 'zones' and returns their number. */
size_t sp_switch_take_zones(struct sp_switch *, uint16_t *zones);
/* The dump tells with 'flow' whose its zone is, if it does. */
int sp_switch_learn_owner(struct sp_switch *, struct sp_flow *flow) SP_MUST_USE;
/* Stores in '*ret' whether 'there', which the dump has in the place of 'flow' of 'unit', may have been the unit's own: not if it
 * is another's door to the zone. */
int sp_switch_recognise(struct sp_switch *, const struct sp_unit *unit, struct sp_flow *flow, const struct sp_flow *there,
                        bool *ret) SP_MUST_USE;
/* switch_left.c: whose were the flows that nobody wants? */
int sp_switch_place_left(struct sp_switch *, const struct sp_flow_list *) SP_MUST_USE;

#endif
