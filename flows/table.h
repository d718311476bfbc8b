/* A flow table: flows by key, and the difference between two sets of flows. */

#ifndef SALLYPORT_FLOWS_TABLE_H
#define SALLYPORT_FLOWS_TABLE_H 1

#include "sallyport/flow.h"

struct sp_flow_table; /* A hash table of referenced flows. */

struct sp_flow_table *sp_flow_table_new(void);        /* NULL: no memory. */
void sp_flow_table_free(struct sp_flow_table *);      /* NULL is fine. */
size_t sp_flow_table_count(const struct sp_flow_table *);
/* The flow with the key of 'key', borrowed until the table changes, or NULL. */
struct sp_flow *sp_flow_table_find(const struct sp_flow_table *, const struct sp_flow *key);
/* Adds 'flow' (a reference is taken) in place of one of the same key, if any.  Returns 0 or -ENOMEM. */
int sp_flow_table_put(struct sp_flow_table *, struct sp_flow *flow) SP_MUST_USE;
/* Removes the flow with the key of 'key', if any; tells whether there was one. */
bool sp_flow_table_remove(struct sp_flow_table *, const struct sp_flow *key);
/* Goes through all flows in no particular order: start with '*cursor' 0; NULL ends. */
struct sp_flow *sp_flow_table_next(const struct sp_flow_table *, size_t *cursor);

/* One modification of a switch's table.  An addition replaces the flow of the same key, counters and all. */
enum sp_flow_verb { SP_FLOW_ADD, SP_FLOW_DELETE };
struct sp_flow_mod {
    enum sp_flow_verb verb;
    struct sp_flow *flow; /* Referenced. */
    void *owner;          /* The caller's own: whom an error concerns. */
};

#endif
