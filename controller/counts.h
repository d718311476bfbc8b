/* How often each rule has hit, over all switches: what the tallies (flows/tally.h) find new, added up by rule.
 *
 * A flow's cookie names a slot, and a slot is a rule's in one rule set.  The slots come from the rule sets as they are published;
 * those that have gone stay known for what their flows counted at the end, the last SP_COUNTS_RETIRED_MAX of them, unless
 * their rule has gone too.
 *
 * What is new is written in rows, a few hundred in one transaction: each flow's count beside what it adds to its rule's.
 *
 * Memory: some 30 to 60 bytes for each slot, 120 for each rule that has hit, and the tallies.  One thread: the loop's. */

#ifndef SALLYPORT_CONTROLLER_COUNTS_H
#define SALLYPORT_CONTROLLER_COUNTS_H 1

#include "flows/tally.h"
#include "sallyport/store.h"

#define SP_COUNTS_ROWS_MAX 500u /* Flows in one transaction. */
#define SP_COUNTS_RETIRED_MAX 65536u

struct sp_counts;
struct sp_model;

struct sp_counts *sp_counts_new(uint64_t seed); /* NULL: no memory. */
void sp_counts_free(struct sp_counts *);        /* NULL is fine. */

/* Loading: the rows of a store and since when rules are counted, then every rule set.  Return 0 or -ENOMEM. */
int sp_counts_load_flow(struct sp_counts *, const struct sp_flow_row *) SP_MUST_USE;
int sp_counts_load_rule(struct sp_counts *, const struct sp_rule_row *) SP_MUST_USE;
void sp_counts_load_since(struct sp_counts *, int64_t since_us);
int sp_counts_load_set(struct sp_counts *, const struct sp_rule_set *) SP_MUST_USE;

/* 'changes' were published as one.  Without memory some rules are not counted until the next start: -ENOMEM. */
int sp_counts_follow(struct sp_counts *, const struct sp_change *changes, size_t n) SP_MUST_USE;

/* The tally of switch 'dpid', borrowed until sp_counts_drop(); made if it is new.  NULL: no memory. */
struct sp_tally *sp_counts_tally(struct sp_counts *, uint64_t dpid);
/* The switch is no longer ours; what it counted last is still written. */
void sp_counts_drop(struct sp_counts *, uint64_t dpid);
/* Likewise every one that 'model' does not know. */
void sp_counts_drop_others(struct sp_counts *, const struct sp_model *model);

/* Some flow of 'slot' has counted 'fresh' more, as was found at 'now_us'. */
void sp_counts_add(struct sp_counts *, uint32_t slot, const struct sp_count *fresh, int64_t now_us);

struct sp_hits {
    struct sp_count count;
    int64_t first_us; /* When the first hit was found; 0: none has been. */
    int64_t last_us;
    int64_t since_us; /* Since when hits are counted. */
};
void sp_counts_read(const struct sp_counts *, const struct sp_rule *, struct sp_hits *ret);

/* The next rows to write, at most SP_COUNTS_ROWS_MAX flows, borrowed until sp_counts_written(), which must come before the next
 * call.  NULL: that was all for now. */
const struct sp_count_rows *sp_counts_next_rows(struct sp_counts *);
/* They are stored, or not; then they come again, from the beginning. */
void sp_counts_written(struct sp_counts *, bool stored);

#endif
