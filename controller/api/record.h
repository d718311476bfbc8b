/* From an accepted change to its record in the history: what differs, object by object, in the shapes of the API.
 *
 * An object's text is
 *
 *     {"kind": ..., "id": ..., "region": ..., "name": ..., "before": {...}, "after": {...}, "rules": [...]}
 *
 * where 'before' and 'after' are null for an object that was not there, all of an object that came or went, and else the fields
 * that differ.  Of a group that stays, 'rules' has each rule that differs: {"position", "before", "after"}, with its place in the
 * list where it was before, or is now if it is new.  If rules that stay have another order, 'rule_order' is a field that differs.
 * Bound: what is more than SP_RECORD_SIZE in all is not kept; the record names some of the objects then and is not whole. */

#ifndef SALLYPORT_CONTROLLER_API_RECORD_H
#define SALLYPORT_CONTROLLER_API_RECORD_H 1

#include "controller/api/history.h"
#include "controller/api/protocol.h"
#include "controller/json/json.h"

#define SP_RECORD_SIZE (4u << 20)
#define SP_RECORD_NAMED 100 /* Objects that a record names which is not whole. */

/* Makes the record of 'changes'.  'frame' has all but the objects and what follows from them; its 'what' may be NULL: it is told
 * from the changes then, of which the one of the group or server 'subject' (none: no matter) comes first.  Returns 0 or
 * -ENOMEM. */
int sp_record_make(const struct sp_protocols *, const struct sp_history_record *frame, const struct sp_uuid *subject,
                   const struct sp_change *changes, size_t n, struct sp_history_entry **ret) SP_MUST_USE;

/* An object as a record has it that made it, without a group's rules if not 'with_rules'; and a rule.  The caller frees '*ret'.
 * Returns 0 or -ENOMEM. */
int sp_record_parse(const struct sp_protocols *, enum sp_kind, const void *object, bool with_rules,
                    struct sp_json **ret) SP_MUST_USE;
int sp_record_parse_rule(const struct sp_protocols *, const struct sp_rule *, struct sp_json **ret) SP_MUST_USE;

/* What a group's rules have become, for one line about it. */
struct sp_rules_difference {
    size_t n_added;
    size_t n_removed;
    size_t n_changed;
    bool is_reordered; /* Of those that stay. */
};

/* One line for people on what 'changes' are, in 'out', which has room for two names and some words. */
#define SP_RECORD_WHAT_SIZE 4096
void sp_record_describe(const char *path, const struct sp_uuid *subject, const struct sp_change *changes, size_t n,
                        const struct sp_rules_difference *rules, char *out, size_t size);

#endif
