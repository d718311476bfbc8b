#include "flows/admission.h"

#define IPV4 1u
#define IPV6 2u

/* Families of the connections that 'm' can match. */
static unsigned families(const struct sp_meaning *m)
{
    unsigned protocol = m->protocol == SP_PROTOCOL_ICMP ? IPV4 : m->protocol == SP_PROTOCOL_ICMPV6 ? IPV6 : IPV4 | IPV6;

    if (m->remote != SP_REMOTE_CIDR) {
        return protocol;
    }
    return protocol & (m->remote_cidr.family == 4 ? IPV4 : IPV6);
}

static bool all_ports(const struct sp_meaning *m)
{
    return m->port_min < 0 || (m->port_min == 0 && m->port_max == 65535);
}

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

static bool covers_but_for_remote(const struct sp_meaning *outer, const struct sp_meaning *inner)
{
    bool covers_ports =
        all_ports(outer) || (!all_ports(inner) && outer->port_min <= inner->port_min && outer->port_max >= inner->port_max);

    return covers_ports && outer->direction == inner->direction &&
           (outer->protocol == SP_PROTOCOL_ANY || outer->protocol == inner->protocol) &&
           (outer->icmp_type < 0 || outer->icmp_type == inner->icmp_type) &&
           (outer->icmp_code < 0 || outer->icmp_code == inner->icmp_code);
}

/* True if 'outer' certainly matches every remote address that 'inner' does, groups taken as unchanged. */
static bool covers_remote(const struct sp_meaning *outer, const struct sp_meaning *inner)
{
    switch (outer->remote) {
    case SP_REMOTE_ANY:
        return true;
    case SP_REMOTE_CIDR:
        if (!outer->remote_cidr.prefix) {
            return families(inner) == (outer->remote_cidr.family == 4 ? IPV4 : IPV6);
        }
        return inner->remote == SP_REMOTE_CIDR && sp_cidr_contains(&outer->remote_cidr, &inner->remote_cidr);
    case SP_REMOTE_GROUP:
        return inner->remote == SP_REMOTE_GROUP && sp_uuid_equal(&outer->remote_group, &inner->remote_group);
    }
    return false;
}

/* True unless no connection can match both. */
static bool may_overlap(const struct sp_meaning *a, const struct sp_meaning *b)
{
    if (a->direction != b->direction || !(families(a) & families(b)) ||
        (a->protocol != b->protocol && a->protocol != SP_PROTOCOL_ANY && b->protocol != SP_PROTOCOL_ANY)) {
        return false;
    }
    if (!all_ports(a) && !all_ports(b) && (a->port_max < b->port_min || b->port_max < a->port_min)) {
        return false;
    }
    if ((a->icmp_type >= 0 && b->icmp_type >= 0 && a->icmp_type != b->icmp_type) ||
        (a->icmp_code >= 0 && b->icmp_code >= 0 && a->icmp_code != b->icmp_code)) {
        return false;
    }
    return a->remote != SP_REMOTE_CIDR || b->remote != SP_REMOTE_CIDR || sp_cidr_contains(&a->remote_cidr, &b->remote_cidr) ||
           sp_cidr_contains(&b->remote_cidr, &a->remote_cidr);
}

/* One change of a list. */
struct change {
    const struct sp_rule *const *before;
    size_t n_before;
    const struct sp_rule *const *after;
    size_t n_after;
    const struct sp_group_delta *deltas;
    size_t n_deltas;
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
    return covers_but_for_remote(new, old) && covers_remote(new, old) && !(delta && delta->lost);
}

/* True if the denying rule 'old' of the old list matched all that the denying rule 'new' of the new list matches. */
static bool already_matched(const struct change *change, const struct sp_meaning *old, const struct sp_meaning *new)
{
    const struct sp_group_delta *delta = NULL;

    if (new->remote == SP_REMOTE_GROUP && old->remote == SP_REMOTE_GROUP) {
        delta = find_delta(&new->remote_group, change->deltas, change->n_deltas);
    }
    return old->action == SP_DENY && covers_but_for_remote(old, new) && covers_remote(old, new) && !(delta && delta->gained);
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
    for (size_t i = 0; i < change->n_after; i++) {
        const struct sp_meaning *deny = &change->after[i]->meaning;

        if (deny->action == SP_DENY && deny->priority <= new->priority && (stands_later || !steady[i]) &&
            may_overlap(deny, old) && !already_denied(change, deny, old)) {
            return false;
        }
    }
    return true;
}

void sp_admission_keep(const struct sp_rule *const before[], size_t n_before, const struct sp_rule *const after[], size_t n_after,
                       const struct sp_group_delta *deltas, size_t n_deltas, bool ret_keep[])
{
    const struct change change = {before, n_before, after, n_after, deltas, n_deltas};
    size_t hint = 0;

    /* A denying rule keeps nothing, so its place in the result can hold whether it is steady until the end. */
    for (size_t i = 0; i < n_after; i++) {
        ret_keep[i] = false;
        if (after[i]->meaning.action == SP_DENY) {
            const struct sp_rule *old = find_before(&change, after[i], &hint);

            ret_keep[i] = old && old->meaning.priority <= after[i]->meaning.priority &&
                          already_matched(&change, &old->meaning, &after[i]->meaning);
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
