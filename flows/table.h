/* A flow table: flows by key, and the difference between two sets of flows. */

#ifndef SALLYPORT_FLOWS_TABLE_H
#define SALLYPORT_FLOWS_TABLE_H 1

#include "sallyport/flow.h"

struct sp_flow_table; /* A hash table of referenced flows. */

struct sp_flow_table *sp_flow_table_new(void);        /* NULL: no memory. */
void sp_flow_table_free(struct sp_flow_table *);      /* NULL is fine. */
/* Lets go of flows, as sp_flow_table_free() would, but looks at 'n' places at most.  Returns false once it has looked at all of
 * them; after the first call the table is good for this and sp_flow_table_free() alone. */
bool sp_flow_table_drain(struct sp_flow_table *, size_t n);
size_t sp_flow_table_count(const struct sp_flow_table *);
/* The flow with the key of 'key', borrowed until the table changes, or NULL. */
struct sp_flow *sp_flow_table_find(const struct sp_flow_table *, const struct sp_flow *key);
/* Adds 'flow' (a reference is taken) in place of one of the same key, if any.  Returns 0 or -ENOMEM. */
int sp_flow_table_put(struct sp_flow_table *, struct sp_flow *flow) SP_MUST_USE;
/* Removes the flow with the key of 'key', if any; tells whether there was one. */
bool sp_flow_table_remove(struct sp_flow_table *, const struct sp_flow *key);
/* Goes through all flows in no particular order: start with '*cursor' 0; NULL ends. */
struct sp_flow *sp_flow_table_next(const struct sp_flow_table *, size_t *cursor);

/* One modification of a switch's table.  An addition replaces the flow of the same key, counters and all.  A flush changes no
 * flow: it makes conntrack forget the zone that the flow matches, before what comes behind it. */
enum sp_flow_verb { SP_FLOW_ADD, SP_FLOW_DELETE, SP_ZONE_FLUSH };
struct sp_flow_mod {
    enum sp_flow_verb verb;
    struct sp_flow *flow; /* Referenced. */
    void *owner;          /* The caller's own: whom an error concerns. */
};

/* A growing array of modifications. */
struct sp_flow_mods {
    struct sp_flow_mod *mods;
    size_t n;
    size_t capacity;
};

void sp_flow_mods_init(struct sp_flow_mods *);
void sp_flow_mods_clear(struct sp_flow_mods *);
/* Appends a modification (a reference of 'flow' is taken).  Returns 0 or -ENOMEM. */
int sp_flow_mods_add(struct sp_flow_mods *, enum sp_flow_verb, struct sp_flow *flow, void *owner) SP_MUST_USE;

/* Appends to 'mods' what turns a switch's table 'installed' into 'desired', each with owner NULL: first the additions, flows that
 * 'installed' has not or has otherwise (an alien is always otherwise), then the deletions.  Returns 0, or -ENOMEM with some
 * of them appended. */
int sp_flow_table_diff(const struct sp_flow_table *installed, const struct sp_flow_table *desired,
                       struct sp_flow_mods *mods) SP_MUST_USE;

#endif
