/* Where objects last: a vtable that any store can serve, asynchronous throughout.
 *
 * The store holds the five kinds of objects (object.h) and a few counters, and nothing else.  It loads everything once
 * and then takes transactions, each all or nothing.  A commit's callback with 0 is a promise: the transaction
 * survives a kill of the process and a loss of power.  No SQL and no file name is known above this header. */

#ifndef SALLYPORT_STORE_H
#define SALLYPORT_STORE_H 1

#include "sallyport/object.h"

/* Counters that never go back; they are stored with the transaction that moved them. */
struct sp_counters {
    uint64_t revision;   /* Of the last committed change. */
    uint32_t next_region;
    uint32_t next_set;
    uint32_t next_slot;
    uint32_t next_mark;
    uint16_t next_zone;  /* Where the cyclic search for a free zone goes on. */
};

/* One object's replacement.  old NULL: created; new NULL: deleted; else changed.  Both of 'kind'. */
struct sp_change {
    enum sp_kind kind;
    const void *before;
    const void *after;
};

struct sp_store;

struct sp_store_ops {
    /* Writes 'changes' and 'counters' in one transaction, off the calling thread.  The caller keeps everything that it
     * passes unchanged and referenced until 'done' runs, on the loop's thread, never from inside this call.
     * 'done' gets 0, or a negative errno with a text in 'why' when nothing was written (the store stays usable and a
     * later commit may succeed).  At most one commit is under way; another one before 'done' is the caller's bug. */
    void (*commit)(struct sp_store *, const struct sp_change *changes, size_t n_changes, const struct sp_counters *,
                   void (*done)(void *aux, int error, const char *why), void *aux);

    /* Ends the store; waits for a commit under way, whose 'done' then runs before this returns, unless it has.  The object is
     * gone afterwards. */
    void (*close)(struct sp_store *);
};

struct sp_store {
    const struct sp_store_ops *ops;
};

/* Takes what a store loads.  'object' is new, with one reference that the receiver takes over.  Returns 0, or a positive
 * SP_E_* or negative errno that ends the loading. */
typedef int sp_store_receive(void *aux, struct sp_object object);

#endif
