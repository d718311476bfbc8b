#include "flows/admission.h"

#include "flows/meaning.h"

static const struct sp_group_delta *find_delta(const struct sp_uuid *group, const struct sp_group_delta *deltas, size_t n)
{
    size_t lo = 0, hi = n;

    while (lo < hi) {
        size_t middle = lo + (hi - lo) / 2;
        int order = sp_uuid_compare(&deltas[middle].group, group);

        if (!order) {
            return &deltas[middle];
        }
        if (order < 0) {
            lo = middle + 1;
        } else {
            hi = middle;
        }
    }
    return NULL;
}

/* One change of a list. */
struct change {
    const struct sp_rule *const *before;
    size_t n_before;
    const struct sp_rule *const *after;
    size_t n_after;
    const struct sp_group_delta *deltas;
    size_t n_deltas;
    size_t first_deny; /* In 'after': the denying rules are from here on, ... */
    size_t end_deny;   /* ... and none from here on. */
};

/* The rule of the old list with the id of 'rule', or NULL.  '*hint' is where it is likely to be: lists keep their order. */
static const struct sp_rule *find_before(const struct change *change, const struct sp_rule *rule, size_t *hint)
{
    for (size_t i = 0; i < change->n_before; i++) {
        size_t at = (*hint + i) % change->n_before;

        if (change->before[at] == rule || sp_uuid_equal(&change->before[at]->id, &rule->id)) {
            *hint = at + 1;
            return change->before[at];
        }
    }
    return NULL;
}

/* True if the allowing rule that was 'old' and is 'new' still matches all that it matched. */
static bool still_matches(const struct change *change, const struct sp_meaning *old, const struct sp_meaning *new)
{
    const struct sp_group_delta *delta = NULL;

    if (new->remote == SP_REMOTE_GROUP) {
        delta = find_delta(&new->remote_group, change->deltas, change->n_deltas);
    }
    return sp_meaning_covers_but_for_remote(new, old) && sp_meaning_covers_remote(new, old) && !(delta && delta->lost);
}

/* True if the denying rule 'old' of the old list matched all that the denying rule 'new' of the new list matches. */
static bool already_matched(const struct change *change, const struct sp_meaning *old, const struct sp_meaning *new)
{
    const struct sp_group_delta *delta = NULL;

    if (new->remote == SP_REMOTE_GROUP && old->remote == SP_REMOTE_GROUP) {
        delta = find_delta(&new->remote_group, change->deltas, change->n_deltas);
    }
    return old->action == SP_DENY && sp_meaning_covers_but_for_remote(old, new) && sp_meaning_covers_remote(old, new) &&
           !(delta && delta->gained);
}

/* True if some denying rule of the old list stood before 'old_allow' and matched all that 'deny' matches. */
static bool already_denied(const struct change *change, const struct sp_meaning *deny, const struct sp_meaning *old_allow)
{
    for (size_t i = 0; i < change->n_before; i++) {
        const struct sp_meaning *old = &change->before[i]->meaning;

        if (old->priority <= old_allow->priority && already_matched(change, old, deny)) {
            return true;
        }
    }
    return false;
}

/* Decides about the allowing rule 'new', which was 'old'.  'steady[i]' tells of each denying rule of the new list that the old
 * list had it no later and matching at least as much: unless 'new' stands later than 'old' did, it is no news then. */
static bool keeps(const struct change *change, const struct sp_meaning *old, const struct sp_meaning *new, const bool steady[])
{
    bool stands_later = new->priority > old->priority;

    if (old->action != SP_ALLOW || !still_matches(change, old, new)) {
        return false;
    }
    for (size_t i = change->first_deny; i < change->end_deny; i++) {
        const struct sp_meaning *deny = &change->after[i]->meaning;

        if (deny->action == SP_DENY && deny->priority <= new->priority && (stands_later || !steady[i]) &&
            sp_meaning_may_overlap(deny, old) && !already_denied(change, deny, old)) {
            return false;
        }
    }
    return true;
}

void sp_admission_keep(const struct sp_rule *const before[], size_t n_before, const struct sp_rule *const after[], size_t n_after,
                       const struct sp_group_delta *deltas, size_t n_deltas, bool ret_keep[])
{
    struct change change = {before, n_before, after, n_after, deltas, n_deltas, .first_deny = n_after};
    size_t hint = 0;

    /* A denying rule keeps nothing, so its place in the result can hold whether it is steady until the end. */
    for (size_t i = 0; i < n_after; i++) {
        ret_keep[i] = false;
        if (after[i]->meaning.action == SP_DENY) {
            const struct sp_rule *old = find_before(&change, after[i], &hint);

            ret_keep[i] = old && old->meaning.priority <= after[i]->meaning.priority &&
                          already_matched(&change, &old->meaning, &after[i]->meaning);
            change.first_deny = i < change.first_deny ? i : change.first_deny;
            change.end_deny = i + 1;
        }
    }
    hint = 0;
    for (size_t i = 0; i < n_after; i++) {
        if (after[i]->meaning.action == SP_ALLOW) {
            const struct sp_rule *old = find_before(&change, after[i], &hint);

            ret_keep[i] = old && keeps(&change, &old->meaning, &after[i]->meaning, ret_keep);
        }
    }
    for (size_t i = 0; i < n_after; i++) {
        ret_keep[i] = ret_keep[i] && after[i]->meaning.action == SP_ALLOW;
    }
}
