/* The history in memory: the records of changes as the store has them, newest first.
 *
 * Bounds: SP_HISTORY_MAX records and SP_HISTORY_SIZE bytes; the oldest go, but for those that are pending, of which there are
 * SP_TRIALS_MAX at most.  What goes here goes from the store with the next change, by the record's 'forget_below'.
 *
 * A record that is on its way to the store is staged: it is not in the history yet, but the next change has to know of it. */

#ifndef SALLYPORT_CONTROLLER_API_HISTORY_H
#define SALLYPORT_CONTROLLER_API_HISTORY_H 1

#include "sallyport/store.h"

#define SP_HISTORY_MAX 10000
#define SP_HISTORY_SIZE (32u << 20)
#define SP_HISTORY_ID_SIZE 80 /* Of an id: a region's name, a UUID or a datapath id. */

struct sp_history;

/* A record and what later ones say about it. */
struct sp_history_entry {
    struct sp_history_entry *older;
    struct sp_history_entry *newer;
    uint64_t undone_by; /* 0: nobody has. */
    size_t size;
    struct sp_history *stage; /* Where it is staged; NULL: it is not. */
    enum sp_trial settling;   /* The verdict on it that is on its way to the store; SP_TRIAL_NONE: none is. */
    char *reason;             /* Of its own allocation, that of a verdict; the record's points here then. */
    struct sp_history_record record;
};

struct sp_history *sp_history_new(void); /* NULL: no memory. */
void sp_history_free(struct sp_history *); /* NULL is fine. */

/* A copy of 'record' with all that it points to; not in the history yet.  NULL: no memory. */
struct sp_history_entry *sp_history_entry_new(const struct sp_history_record *record);
void sp_history_entry_free(struct sp_history_entry *); /* NULL is fine. */
/* 'entry' stays the caller's, and is staged until it is added or freed. */
void sp_history_stage(struct sp_history *, struct sp_history_entry *entry);
/* Takes 'entry' over, which is newer than all others, and forgets what is beyond the bounds. */
void sp_history_add(struct sp_history *, struct sp_history_entry *entry);

/* The newest one, NULL if there is none; and the one of 'revision', NULL if there is no such one (any more). */
struct sp_history_entry *sp_history_newest(const struct sp_history *);
struct sp_history_entry *sp_history_find(const struct sp_history *, uint64_t revision);
/* The lowest revision that is kept, pending ones aside; 0: none. */
uint64_t sp_history_oldest(const struct sp_history *);
size_t sp_history_count(const struct sp_history *);

/* What a verdict that is durable says.  'reason' may be NULL, and is copied; without memory it is lost. */
void sp_history_settle(struct sp_history *, struct sp_history_entry *, enum sp_trial, const char *reason);
size_t sp_history_count_pending(const struct sp_history *); /* With those that are staged. */
/* Visits the records that are pending, the staged ones too, until 'visit' returns nonzero, and returns that or 0. */
typedef int sp_visit_trial(void *aux, struct sp_history_entry *);
int sp_history_each_trial(const struct sp_history *, sp_visit_trial *, void *aux);

#endif
