/* Where objects last: a vtable that any store can serve, asynchronous throughout.
 *
 * The store holds the five kinds of objects (object.h), a few counters, the history (a record of each change), and how often
 * each rule has hit.  It loads everything once and then takes transactions, each all or nothing.  A commit's callback with 0 is
 * a promise: the transaction survives a kill of the process and a loss of power.  No SQL and no file name is known above this
 * header. */

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

/* An object in the history.  'text' is JSON; what it means is not the store's matter. */
struct sp_history_object {
    const char *kind;   /* "region", "security_group", "server", "bridge". */
    const char *id;
    const char *region; /* NULL: it is of none. */
    const char *text;
};

/* What has become of a change that is taken back unless somebody confirms it. */
enum sp_trial { SP_TRIAL_NONE, SP_TRIAL_PENDING, SP_TRIAL_CONFIRMED, SP_TRIAL_UNDONE, SP_TRIAL_STUCK, SP_N_TRIALS };
#define SP_TRIALS_MAX 64 /* That are pending at a time. */

/* A change in the history.  Strings are UTF-8. */
struct sp_history_record {
    uint64_t revision;     /* Which the change made: its id. */
    int64_t at_us;         /* Microseconds since 1970. */
    const char *who;       /* NULL: nobody was asked. */
    const char *what;      /* One line. */
    const char *method;    /* How it was asked for. */
    const char *path;
    const char *role;      /* What it needed of a token. */
    uint64_t undoes;       /* The change that it takes back; 0: none. */
    bool is_whole;         /* The objects are all that it changed, with what differs. */
    const struct sp_history_object *objects;
    size_t n_objects;
    enum sp_trial trial;
    int64_t confirm_by_us; /* With a trial: when it is taken back. */
    const char *reason;    /* Why it could not be: of SP_TRIAL_STUCK.  Else NULL. */
    uint64_t forget_below; /* Records of lower revisions, but for pending ones, go in the same transaction. */
};

/* How a trial ends. */
struct sp_trial_end {
    uint64_t change;
    enum sp_trial trial;
    const char *reason; /* Of SP_TRIAL_STUCK. */
};

/* What a transaction adds to the history, in ascending order of revisions. */
struct sp_journal {
    const struct sp_history_record *const *records;
    size_t n_records;
    const struct sp_trial_end *verdicts; /* On changes of before. */
    size_t n_verdicts;
};

/* What one flow of a switch has counted, as its rule's count has it.  See flows/tally.h. */
struct sp_flow_row {
    uint64_t dpid;
    uint32_t id;      /* Of this switch's rows. */
    uint32_t slot;
    uint64_t name;
    uint64_t packets; /* At most INT64_MAX, as all counts here. */
    uint64_t bytes;
    bool absent;      /* The flow was gone when the switch was last asked. */
    bool ended;       /* The row goes. */
};
/* What is added to a rule's count, or, loaded, the whole of it. */
struct sp_rule_row {
    struct sp_uuid rule;
    uint64_t packets;
    uint64_t bytes;
    int64_t first_hit;
    int64_t last_hit;
};
struct sp_count_rows {
    const struct sp_flow_row *flows;
    size_t n_flows;
    const struct sp_rule_row *rules; /* Each rule once. */
    size_t n_rules;
};
/* Take what a store loads, as sp_store_receive does. */
struct sp_count_receiver {
    int (*flow)(void *aux, const struct sp_flow_row *);
    int (*rule)(void *aux, const struct sp_rule_row *);
};

struct sp_store;

/* Takes a record that is loaded, borrowed for the call.  Returns 0, or a positive SP_E_* or negative errno that ends the
 * loading. */
typedef int sp_store_receive_record(void *aux, const struct sp_history_record *record);

struct sp_store_ops {
    /* Writes 'changes', 'counters' and 'journal' (NULL: nothing) in one transaction, off the calling thread.  The caller keeps
     * everything that it passes unchanged and referenced until 'done' runs, on the loop's thread, never from inside this call.
     * 'done' gets 0, or a negative errno with a text in 'why' when nothing was written (the store stays usable and a
     * later commit may succeed).  Where a crash could still bring back what was not, 'why' says so.  At most one commit is
     * under way; another one before 'done' is the caller's bug. */
    void (*commit)(struct sp_store *, const struct sp_change *changes, size_t n_changes, const struct sp_counters *,
                   const struct sp_journal *, void (*done)(void *aux, int error, const char *why), void *aux);

    /* Reads the history, oldest first.  Blocks: for the start of the daemon, before the first commit.  Returns 0; SP_E_DAMAGED or
     * a negative errno with one line in 'why'; or what 'receive' returned, with 'why' untouched. */
    int (*load_history)(struct sp_store *, sp_store_receive_record *receive, void *aux, char *why, size_t why_size);

    /* Gives every row of counts to 'receiver', and the time since which rules are counted in '*ret_since'.  Blocks; before the
     * first commit or count.  Returns 0, SP_E_DAMAGED or a negative errno with one line in 'why', or what 'receiver' returned. */
    int (*recall)(struct sp_store *, const struct sp_count_receiver *receiver, void *aux, int64_t *ret_since, char *why,
                  size_t why_size);

    /* Writes 'rows' in one transaction of its own, off the calling thread, and not before a commit that waits.  Rows of rules
     * that are gone are left out.  All else as for commit: at most one count is under way, beside a commit or not. */
    void (*count)(struct sp_store *, const struct sp_count_rows *rows, void (*done)(void *aux, int error, const char *why),
                  void *aux);

    /* Ends the store; waits for what is under way, whose 'done' then runs before this returns, unless it has.  The object is
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
