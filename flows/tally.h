/* How often each rule has hit, from what a switch counts flow by flow.
 *
 * What is counted.  A packet that a rule admits anew passes the STAMP flow of the rule's slot, every later packet of its
 * connection, of either direction, the GATE flow of the rule's mark; a packet that a rule denies ends in one of the rule's flows.
 * So the packets that were judged by a rule are the sum over these flows, whatever the number of masks that the rule became.
 * Their cookies name the slot.
 *
 * From counters to counts.  A switch's counters begin at 0 with each new flow and end with it.  A tally knows, for one switch,
 * each flow's counters as they were last told, so that what is new is the difference.  A switch tells them when it is
 * asked for its flows, and once more when a flow is deleted (SP_EVENT_REMOVED), which may come after a flow of the same name
 * is there again.  So what was told last is kept apart for each life of a flow, and taken away from one later telling,
 * never from two:
 *
 *  A1  a flow that is there goes on from the greatest count that is not above its own, of those that were there at the last
 *      complete dump; if there is none, it is a new life and all of it counts;
 *  A2  a flow that has gone goes on from the greatest count that is not above its own, of all, but of those that went while the
 *      connection was away only if there is no other; if there is none, all of it counts;
 *  A3  a count that SP_TALLY_ABSENT_MAX complete dumps in turn have not had is forgotten: its end was told to nobody;
 *  A4  nothing is counted twice: when the switch or the controller was away, some may be lost.
 *
 * What a store holds are rows: a flow's count as it was told, written in one transaction with what it adds to its rule's, so that
 * after a kill of the controller the switch's counters go on from what was written.
 *
 * Memory: 68 bytes for each flow that has counted anything (twice that where the table has just grown), none for the others;
 * lives that have ended stay until they are written, and of those at most SP_TALLY_ENDED_MAX. */

#ifndef SALLYPORT_FLOWS_TALLY_H
#define SALLYPORT_FLOWS_TALLY_H 1

#include "sallyport/flow.h"

#define SP_TALLY_ENDED_MAX 100000u
#define SP_TALLY_ABSENT_MAX 20u /* As many seconds at least; a switch tells the end of a flow within one or a few. */

struct sp_count {
    uint64_t packets;
    uint64_t bytes;
};

/* Whether a flow of 'table' and 'priority' under 'cookie' is one that is counted: these alone are told when they are deleted. */
bool sp_flow_is_counted(uint64_t cookie, uint8_t table, uint16_t priority);

/* 64 bits that name table, priority, match and cookie.  They are stored: another way to make them makes every flow a new one,
 * all of whose packets would count again. */
uint64_t sp_flow_name(const struct sp_flow *flow);

struct sp_tally; /* Of one switch. */

struct sp_tally *sp_tally_new(void); /* NULL: no memory. */
void sp_tally_free(struct sp_tally *);
bool sp_tally_is_empty(const struct sp_tally *);

/* A dump begins, the 'first' one of a connection or another.  One that breaks off has no end. */
void sp_tally_begin(struct sp_tally *, bool first);
/* Counted flow 'name' of 'slot' is there, and its counters are 'raw'.  '*ret_new' gets what is new.  Returns 0, or -ENOMEM with
 * nothing counted, so that a later call counts it. */
int sp_tally_read(struct sp_tally *, uint64_t name, uint32_t slot, const struct sp_count *raw,
                  struct sp_count *ret_new) SP_MUST_USE;
void sp_tally_end(struct sp_tally *);

/* It has gone, and its counters were 'raw' at the end.  Returns 0, or -ENOMEM or SP_E_FULL with nothing counted. */
int sp_tally_removed(struct sp_tally *, uint64_t name, uint32_t slot, const struct sp_count *raw,
                     struct sp_count *ret_new) SP_MUST_USE;
/* The switch has gone for good. */
void sp_tally_drop(struct sp_tally *);

/* A row of the store. */
struct sp_tally_row {
    uint32_t id;           /* Of this switch's rows; never used again while the tally lives. */
    uint32_t slot;
    uint64_t name;
    struct sp_count told;  /* Of the flow, in the life that it stands for. */
    struct sp_count fresh; /* What of it the store has not got yet. */
    bool absent;           /* The last complete dump had the flow not in this life. */
    bool ended;            /* The row goes. */
};
/* Puts a row that was stored back. */
int sp_tally_load(struct sp_tally *, const struct sp_tally_row *) SP_MUST_USE;
/* The next row that the store has not as it is: start with '*cursor' 0.  Returns false at the end. */
bool sp_tally_next_row(const struct sp_tally *, size_t *cursor, struct sp_tally_row *ret);
/* 'row', which was the next one once, is stored. */
void sp_tally_stored(struct sp_tally *, const struct sp_tally_row *row);

#endif
