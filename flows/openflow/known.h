/* Flows by what a switch said of them.
 *
 * A switch tells the same flow in the same bytes, but for its counters and its age.  So a flow that was decoded once need not be
 * decoded when the next dump tells it again: a digest of its bytes finds it.  That is what nearly all flows of a check, or of a
 * bridge that has come back, are.  The digest has 64 bits and a key that the peer does not know; decoding is a function of the
 * bytes alone, so that what is found is what decoding would have made.
 *
 * It holds what the last dump had: each dump begins with sp_known_begin() and, if it comes to its end, ends with
 * sp_known_end(), which drops what was not seen.  A switch tells its flows in much the same order each time, so the flows stand
 * in that of their telling, and the next one is looked for where the last one was found: a dump in which nothing is new reads
 * its way through one array and touches no flow. */

#ifndef SALLYPORT_FLOWS_OPENFLOW_KNOWN_H
#define SALLYPORT_FLOWS_OPENFLOW_KNOWN_H 1

#include "flows/table.h"
#include "flows/tally.h"

struct sp_known;

struct sp_known *sp_known_new(uint64_t seed); /* NULL: no memory. */
void sp_known_free(struct sp_known *);        /* NULL is fine. */
size_t sp_known_count(const struct sp_known *);

/* The digest of one entry of a flow statistics reply of 'version' (SP_OF14, SP_OF15): 'entry' with 'left' bytes behind its begin.
 * Stores the entry's size in '*ret_size'.  Returns false if the entry is not well-formed enough to tell.  Source: OpenFlow
 * 1.4 section 7.3.5.2, 1.5 section 7.3.5.3. */
bool sp_known_digest(const struct sp_known *, uint8_t version, const void *entry, size_t left, size_t *ret_size,
                     uint64_t *ret_digest) SP_MUST_USE;

/* Stores in '*ret' the counters of an entry for which sp_known_digest() has stored 'size'; UINT64_MAX where it has none.  Tells
 * whether its flow is one that is counted (flows/tally.h) and has counted anything. */
bool sp_known_counters(uint8_t version, const void *entry, size_t size, struct sp_count *ret) SP_MUST_USE;

void sp_known_begin(struct sp_known *);
/* The flow of 'digest', borrowed until the dump's end, or NULL.  It counts as seen. */
struct sp_flow *sp_known_find(struct sp_known *, uint64_t digest);
/* Adds 'flow' (a reference is taken), seen now.  Without memory it is left out, and is decoded again next time. */
void sp_known_put(struct sp_known *, uint64_t digest, struct sp_flow *flow);
void sp_known_end(struct sp_known *);
/* Whether the dump that ended last told all that was known before it, and nothing was put. */
bool sp_known_is_same(const struct sp_known *);

/* Goes through all flows: start with '*cursor' 0; NULL ends.  Borrowed. */
struct sp_flow *sp_known_next(const struct sp_known *, size_t *cursor);

/* Where 'table' has a flow that is equal to a known one, both become the same object, the table's: so that knowing a flow
 * costs a slot and not a second flow.  Looks at 'n' places from '*cursor' on, which begins with 0, and adds to '*n_equal' how
 * many had one; returns false once it has looked at all of them.  Nothing else happens to what is known between the first and the
 * last call. */
bool sp_known_adopt(struct sp_known *, const struct sp_flow_table *table, size_t *cursor, size_t n, size_t *n_equal);

#endif
