/* Batches: how the model changes.
 *
 *   sp_batch_begin -> for each request: sp_batch_mark, the request's operations, then sp_batch_accept (derives rule sets, marks,
 *   revision), or sp_batch_rollback to the mark if it is refused -> sp_batch_seal -> store commit -> sp_batch_publish if it is
 *   durable -> sp_batch_free
 *
 * While a batch is open the model shows its staged state, so that later requests of the batch are validated against
 * the earlier ones; sp_batch_seal takes all of it back, so that readers between seal and publish see durable state
 * only, but for sp_batch_look().  Everything up to seal happens within one turn of the loop; one batch exists at a time.
 *
 * Guarantees: B1 a refused request changes nothing; B2 a dropped batch changes nothing, its numbers included; B3 publishing
 * cannot fail; B4 a request's effects are whole in one revision (every request of a batch has its own revision).
 *
 * The operations check what the contract says across objects and return 0, -ENOMEM or a positive SP_E_*, adding what is
 * wrong to 'problems'. */

#ifndef SALLYPORT_CONTROLLER_MODEL_BATCH_H
#define SALLYPORT_CONTROLLER_MODEL_BATCH_H 1

#include "controller/model/model.h"

/* Everything wrong with one request, each with the JSON path of its field; or who holds an object. */
struct sp_problem {
    char *field;   /* "rules[3].port_max"; "" = the whole. */
    char *message;
};
struct sp_holder {
    const char *type;  /* "server", "security_group". */
    struct sp_uuid id;
    char *name;
};
struct sp_problems {
    struct sp_problem *problems;
    size_t n;
    struct sp_holder *holders;
    size_t n_holders;
    size_t n_lost; /* Entries that are not in the arrays: no memory, or more than SP_HOLDERS_MAX holders. */
    char *detail;  /* One line about the whole, or NULL. */
};
#define SP_HOLDERS_MAX 1000 /* Names enough of them; the detail has their number. */
void sp_problems_init(struct sp_problems *);
void sp_problems_clear(struct sp_problems *);
/* 'field' is copied, 'format' as of printf.  No memory loses the entry but never the fact that there is one ('n_lost' grows). */
void sp_problems_add(struct sp_problems *, const char *field, const char *format, ...) SP_PRINTF(3, 4);
void sp_problems_hold(struct sp_problems *, const char *type, const struct sp_uuid *id, const char *name);
void sp_problems_detail(struct sp_problems *, const char *format, ...) SP_PRINTF(2, 3);
/* Puts 'prefix' before the field of every problem from the 'first'th on. */
void sp_problems_prefix(struct sp_problems *, size_t first, const char *prefix);

struct sp_batch;

struct sp_batch *sp_batch_begin(struct sp_model *, int64_t now_us); /* NULL: no memory. */
size_t sp_batch_mark(const struct sp_batch *);
void sp_batch_rollback(struct sp_batch *, size_t mark);

/* Ends a request that is accepted: derives rule sets, classes, marks and versions from what it staged since 'mark', and gives it
 * the next revision in '*ret_revision'.  Nothing staged since the mark: no new revision, the current one is
 * stored.  Returns 0, -ENOMEM, or SP_E_FULL if numbers have run out (roll back then). */
int sp_batch_accept(struct sp_batch *, size_t mark, uint64_t *ret_revision) SP_MUST_USE;

/* What the request has changed so far, as sp_batch_changes() has it, but for what only accepting derives.  Borrowed until the
 * batch is used again.  Returns 0 or -ENOMEM. */
int sp_batch_staged(struct sp_batch *, size_t mark, const struct sp_change **ret, size_t *ret_n) SP_MUST_USE;

/* Ends staging: the model shows published state again.  What the store needs is in sp_batch_changes() and sp_batch_counters(). */
void sp_batch_seal(struct sp_batch *);
/* Has 'look' see the model once more as the sealed batch will make it.  'look' must not change anything of the model. */
void sp_batch_look(struct sp_batch *, void (*look)(void *aux), void *aux);
/* One per object, in the order of writing: what is referred to is created first and deleted last.  Three references may point
 * forwards in it and hold only at its end: a region's default group, a rule's remote group, an admission's rule that goes. */
const struct sp_change *sp_batch_changes(const struct sp_batch *, size_t *ret_n);
const struct sp_counters *sp_batch_counters(const struct sp_batch *);
/* What changed up to 'revision' after the one before it, for the engine: changes of one accepted request. */
const struct sp_change *sp_batch_changes_of(const struct sp_batch *, uint64_t revision, size_t *ret_n);

/* Makes the batch the published state.  The changes stay valid until sp_batch_free(). */
void sp_batch_publish(struct sp_batch *);
void sp_batch_free(struct sp_batch *); /* Published or not; not published = dropped. */

/* Operations.  Inputs are borrowed; ids are made by the model ('ret_id') from the system's random source.
 * 'path' prefixes field names ("" for a body that is the object). */

/* SP_E_INVALID: bad name.  An existing region is left as it is and '*ret_created' is false. */
int sp_batch_put_region(struct sp_batch *, const char *name, bool *ret_created, struct sp_problems *) SP_MUST_USE;
/* Whether denied connections of the region's servers are reported: so in a new region.  SP_E_MISSING. */
int sp_batch_set_reports(struct sp_batch *, const char *name, bool reports) SP_MUST_USE;
/* SP_E_MISSING, SP_E_IN_USE with holders. */
int sp_batch_delete_region(struct sp_batch *, const char *name, struct sp_problems *) SP_MUST_USE;

enum sp_template { SP_TEMPLATE_OUTBOUND, SP_TEMPLATE_REMOTE_LOGIN, SP_TEMPLATE_NONE };

struct sp_rule_input {
    struct sp_meaning meaning; /* Already valid in itself. */
    const char *description;
    const char *path;          /* "rules[3]." or "": where its problems are named. */
};

struct sp_group_input {
    const char *region;
    const char *name;
    const char *description;
    bool is_default;
    bool has_rules;            /* Else the template's. */
    const struct sp_rule_input *rules;
    size_t n_rules;
    enum sp_template template_kind;
};
/* SP_E_INVALID: unknown region, a remote group that is unknown or of another region.  Equal rules in the list are kept once. */
int sp_batch_create_group(struct sp_batch *, const struct sp_group_input *, struct sp_uuid *ret_id,
                          struct sp_problems *) SP_MUST_USE;

/* NULL or negative members stay as they are. */
struct sp_group_patch {
    const char *name;
    const char *description;
    int is_default; /* -1, 0, 1. */
};
/* Setting the default makes the group the one and only group of every server of its region, unless it is the default already.
 * SP_E_MISSING; SP_E_INVALID: bad name; SP_E_IN_USE: unsetting the default of a region that has servers. */
int sp_batch_patch_group(struct sp_batch *, const struct sp_uuid *id, const struct sp_group_patch *,
                         struct sp_problems *) SP_MUST_USE;
/* Makes the group its region's default and leaves all servers as they are: for who says of each server what groups it has.
 * SP_E_MISSING. */
int sp_batch_mark_default_group(struct sp_batch *, const struct sp_uuid *id) SP_MUST_USE;
/* SP_E_MISSING; SP_E_IN_USE with holders (servers, other groups' rules), or without any: the default of a region that has
 * servers, which would be left without one. */
int sp_batch_delete_group(struct sp_batch *, const struct sp_uuid *id, struct sp_problems *) SP_MUST_USE;

/* Adds a rule.  A rule of the same meaning: its id is stored and '*ret_created' is false. */
int sp_batch_add_rule(struct sp_batch *, const struct sp_uuid *group, const struct sp_rule_input *, struct sp_uuid *ret_id,
                      bool *ret_created, struct sp_problems *) SP_MUST_USE;
/* Replaces meaning and description, keeping id and creation time.  SP_E_MISSING; SP_E_EXISTS: another rule has this meaning. */
int sp_batch_set_rule(struct sp_batch *, const struct sp_uuid *group, const struct sp_uuid *rule, const struct sp_rule_input *,
                      struct sp_problems *) SP_MUST_USE;
/* SP_E_MISSING. */
int sp_batch_delete_rule(struct sp_batch *, const struct sp_uuid *group, const struct sp_uuid *rule,
                         struct sp_problems *) SP_MUST_USE;
/* Replaces the whole list; a rule whose meaning is in the old list keeps its id, origin and creation time. */
int sp_batch_replace_rules(struct sp_batch *, const struct sp_uuid *group, const struct sp_rule_input *rules, size_t n,
                           struct sp_problems *) SP_MUST_USE;

struct sp_port_input {
    struct sp_uuid id;         /* None: a new port. */
    bool is_restored;          /* A port that the server has no more may come back with its id. */
    struct sp_mac mac;
    const struct sp_cidr *ips;
    size_t n_ips;
    bool has_bridge;
    uint64_t dpid;
    const char *name;
    const char *iface_id;
    uint16_t vlan;
    bool port_security;
    const struct sp_address_pair *pairs;
    size_t n_pairs;
};
struct sp_server_input {
    const char *region;
    const char *name;
    enum sp_server_kind kind;
    bool has_groups;           /* Else the region's default group. */
    const struct sp_uuid *groups;
    size_t n_groups;
    const struct sp_port_input *ports;
    size_t n_ports;
    struct sp_uuid id;         /* None: a new one. */
    int64_t created_at;        /* 0: now. */
};
/* A region without a default group gets one (template remote-login) with its first server, and with any server that leaves the
 * choice to it; the group, and a bridge that a port names and that is not adopted yet, come with the same request.  Groups
 * and addresses given twice count once.  At most 1,000 groups and ports a server, 1,000 addresses and pairs a port.
 * SP_E_INVALID with problems: unknown region or group, group of another region, a bridge port or iface_id that another port
 * names, a MAC that another port has on the same bridge and VLAN, a bound passed.  SP_E_FULL: no zone is left on the bridge. */
int sp_batch_create_server(struct sp_batch *, const struct sp_server_input *, struct sp_uuid *ret_id,
                           struct sp_problems *) SP_MUST_USE;

struct sp_server_patch {
    const char *name;          /* NULL: stays. */
    int kind;                  /* -1 or enum sp_server_kind. */
    bool has_groups;
    const struct sp_uuid *groups;
    size_t n_groups;
    bool has_ports;            /* The whole list; ports with a known id keep their zone, others are new. */
    const struct sp_port_input *ports;
    size_t n_ports;
};
/* SP_E_MISSING, and as sp_batch_create_server(); what is as it was already is no change. */
int sp_batch_patch_server(struct sp_batch *, const struct sp_uuid *id, const struct sp_server_patch *,
                          struct sp_problems *) SP_MUST_USE;
/* SP_E_MISSING. */
int sp_batch_delete_server(struct sp_batch *, const struct sp_uuid *id, struct sp_problems *) SP_MUST_USE;

/* Adopts bridge 'dpid' or replaces its uplinks.  SP_E_INVALID: a name that a server's port on this bridge has. */
int sp_batch_put_bridge(struct sp_batch *, uint64_t dpid, const char *const *uplinks, size_t n, bool *ret_created,
                        struct sp_problems *) SP_MUST_USE;
/* SP_E_MISSING, SP_E_IN_USE with the servers whose ports name it. */
int sp_batch_delete_bridge(struct sp_batch *, uint64_t dpid, struct sp_problems *) SP_MUST_USE;

/* Bringing back what was deleted, and what only other operations change along with theirs. */

/* SP_E_EXISTS. */
int sp_batch_restore_region(struct sp_batch *, const char *name, int64_t created_at, struct sp_problems *) SP_MUST_USE;
/* Makes the group anew, with id, creation time and rules of 'fields', or gives the one with this id name, description and rules.
 * Whether the rules' remote groups exist is not looked at: see sp_batch_check_group().  SP_E_INVALID: unknown region, bad name;
 * SP_E_EXISTS: two rules mean the same. */
int sp_batch_restore_group(struct sp_batch *, const struct sp_group *fields, struct sp_problems *) SP_MUST_USE;
/* Checks the remote groups of the rules.  SP_E_INVALID. */
int sp_batch_check_group(const struct sp_batch *, const struct sp_uuid *id, struct sp_problems *) SP_MUST_USE;
/* Replaces the region's default group, none if 'id' is, and leaves the servers as they are.  SP_E_MISSING; SP_E_INVALID: no group
 * of the region; SP_E_IN_USE: none, in a region that has servers. */
int sp_batch_set_default(struct sp_batch *, const char *region, const struct sp_uuid *id, struct sp_problems *) SP_MUST_USE;

#endif
