/* Which connections keep their admission when a rule set changes.
 *
 * A connection carries in ct_mark the mark of the rule that admitted it, and a live mark passes without another look
 * at the rules.  So a mark must be replaced whenever some connection that carries it might no longer be allowed; it may
 * be replaced at other times too (its connections are then judged anew by the rules, and those that are allowed get
 * the new mark without losing a packet), but keeping it where possible keeps the switch's work small.
 *
 * A rule that allows keeps its mark if, in the new list, it still matches all that it matched, and no rule that denies
 * stands before it (lower or equal priority number, same direction, overlapping) that did not stand before it, matching
 * at least as much, in the old list. */

#ifndef SALLYPORT_FLOWS_ADMISSION_H
#define SALLYPORT_FLOWS_ADMISSION_H 1

#include "sallyport/object.h"

/* How a remote group's addresses changed. */
struct sp_group_delta {
    struct sp_uuid group;
    bool gained; /* An address that was not in it is. */
    bool lost;   /* An address that was in it is not. */
};

/* Decides for each rule of the new list 'after' ('n_after' rules) whether its mark in the old list 'before' stays good.
 * Rules are the same if their ids are equal.  'deltas' ('n_deltas', sorted by group) lists the remote groups whose
 * addresses changed with this change.  Sets 'ret_keep[i]' for each i < n_after; a rule that is new or denies gets false. */
void sp_admission_keep(const struct sp_rule *const before[], size_t n_before, const struct sp_rule *const after[], size_t n_after,
                       const struct sp_group_delta *deltas, size_t n_deltas, bool ret_keep[]);

#endif
