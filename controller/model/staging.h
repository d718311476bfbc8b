/* A batch's inside: the log of what was staged.  For the files of controller/model only.
 *
 * Each record replaces one entry by another (model's tables.h).  The log is played backwards to take changes back and forwards
 * to carry them out again; both only link and unlink entries that exist, so neither can fail.
 *
 *   open: the log is played; records past the last accepted request belong to the one under way
 *   sealed: the log is played back; the model is as it was
 *   published: the log is played for good */

#ifndef SALLYPORT_CONTROLLER_MODEL_STAGING_H
#define SALLYPORT_CONTROLLER_MODEL_STAGING_H 1

#include "controller/model/batch.h"
#include "controller/model/tables.h"
#include "controller/model/vector.h"

struct sp_record {
    struct sp_entry *before; /* NULL: created. */
    struct sp_entry *after;  /* NULL: deleted. */
    struct sp_counters counters; /* As they were before. */
};

/* The net effect of several records on one object. */
struct sp_net {
    const struct sp_entry *before;
    const struct sp_entry *after;
    size_t sequence; /* Of the first record. */
};

struct sp_request {
    uint64_t revision;
    size_t end; /* Records up to here. */
    struct sp_change *changes;
    size_t n;
};

enum sp_batch_state { SP_BATCH_OPEN, SP_BATCH_SEALED, SP_BATCH_PUBLISHED };

struct sp_batch {
    struct sp_model *model;
    int64_t now_us;
    enum sp_batch_state state;
    struct sp_counters counters;   /* With all that was drawn. */
    struct sp_counters checkpoint; /* As of the last record or accepted request. */
    struct sp_vector records;      /* struct sp_record */
    struct sp_vector requests;     /* struct sp_request */
    struct sp_vector nets;         /* struct sp_net, room for one per record. */
    struct sp_vector changes;      /* struct sp_change, room likewise; filled by the seal. */
    uint8_t drawn_zones[65536 / 8]; /* Drawn but not in a record yet. */
    bool has_drawn_zones;
};

/* Stages an object: 'before' is the current one (NULL: a new one), 'after' what takes its place, with a reference that is
 * taken over also on failure.  'after' NULL is -ENOMEM, so that a constructor's result can be passed on unchecked.
 * Returns 0 or -ENOMEM. */
int sp_batch_stage(struct sp_batch *, enum sp_kind, const void *before, const void *after) SP_MUST_USE;
int sp_batch_stage_removal(struct sp_batch *, enum sp_kind, const void *before) SP_MUST_USE;
/* Stages the class of a shared address; 0 with 'is_shared' false: it is shared no more. */
int sp_batch_stage_shared(struct sp_batch *, const struct sp_address_key *, bool is_shared, uint32_t set) SP_MUST_USE;

/* What the records from 'mark' on come to, one net per object, those without effect left out, in order of kind and key, in
 * the batch's own array, which the next call overwrites.  Returns 0 or -ENOMEM. */
int sp_batch_collect_nets(struct sp_batch *, size_t mark, const struct sp_net **ret_nets, size_t *ret_n) SP_MUST_USE;

/* Derives everything that follows from what was staged since 'mark' (derive.c).  Returns as sp_batch_accept(). */
int sp_batch_derive(struct sp_batch *, size_t mark) SP_MUST_USE;

/* Numbers that are never used again.  Return 0 or SP_E_FULL. */
int sp_batch_draw_region(struct sp_batch *, uint32_t *ret) SP_MUST_USE;
int sp_batch_draw_set(struct sp_batch *, uint32_t *ret) SP_MUST_USE;
int sp_batch_draw_slot(struct sp_batch *, uint32_t *ret) SP_MUST_USE;
int sp_batch_draw_mark(struct sp_batch *, uint32_t *ret) SP_MUST_USE;
/* A conntrack zone that no port has; when all 65,535 are in use, one that no port of bridge 'dpid' has and if possible none whose
 * bridge is unknown.  'dpid' NULL: the bridge is not known.  Returns 0 or SP_E_FULL. */
int sp_batch_draw_zone(struct sp_batch *, const uint64_t *dpid, uint16_t *ret) SP_MUST_USE;
/* True if a port of bridge 'dpid' other than 'port' has 'zone'. */
bool sp_batch_zone_is_taken(const struct sp_batch *, uint64_t dpid, uint16_t zone, const struct sp_uuid *port);

/* A random (version 4) UUID.  Returns 0 or a negative errno.  Source: RFC 4122 section 4.4. */
int sp_batch_new_id(struct sp_uuid *ret) SP_MUST_USE;

/* The number of the rule set of just these groups, which are sorted here; makes an empty one if there is none, which is filled
 * when the request is accepted.  No groups: 0.  Returns 0, -ENOMEM or SP_E_FULL. */
int sp_batch_need_set(struct sp_batch *, const char *region, struct sp_uuid *groups, size_t n, uint32_t *ret) SP_MUST_USE;

/* Gives 'server' the groups 'groups' ('n' of them, each once) and stages it.  Returns 0, -ENOMEM or SP_E_FULL. */
int sp_batch_regroup(struct sp_batch *, const struct sp_server *server, const struct sp_uuid *groups, size_t n) SP_MUST_USE;

/* Makes the default group of a region that has none; its servers stay as they are.  Stores its id.  Returns 0, a negative errno
 * or SP_E_FULL. */
int sp_batch_make_default_group(struct sp_batch *, const char *region, struct sp_uuid *ret_id) SP_MUST_USE;

/* The rules of 'inputs', equal ones once, each referenced: a rule of 'old' (NULL: none) with the same meaning is kept, with a new
 * description if need be; others are made with 'origin'.  The caller frees with sp_batch_free_rules().  Returns 0 or a negative
 * errno. */
int sp_batch_make_rules(struct sp_batch *, const struct sp_group *old, const struct sp_rule_input *inputs, size_t n,
                        enum sp_origin origin, struct sp_rule ***ret_rules, size_t *ret_n) SP_MUST_USE;
void sp_batch_free_rules(struct sp_rule **rules, size_t n);
/* Stages 'group' with other members, as of the request's revision and time.  'group' NULL: a new one. */
int sp_batch_stage_group(struct sp_batch *, const struct sp_group *group, const struct sp_group *fields) SP_MUST_USE;

/* Finds region 'name' or notes the problem with field "region" and returns NULL. */
const struct sp_region *sp_batch_check_region(const struct sp_batch *, const char *name, struct sp_problems *);
/* Checks the name of a group or server: 1 to 255 characters, none of them a control character. */
void sp_batch_check_name(const char *name, struct sp_problems *);
/* Checks that the rules' remote groups exist in 'region'. */
void sp_batch_check_remotes(const struct sp_batch *, const char *region, const struct sp_rule_input *, size_t n,
                            struct sp_problems *);

#endif
