#include "flows/meaning.h"

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

bool sp_meaning_covers_but_for_remote(const struct sp_meaning *outer, const struct sp_meaning *inner)
{
    bool covers_ports =
        all_ports(outer) || (!all_ports(inner) && outer->port_min <= inner->port_min && outer->port_max >= inner->port_max);

    return covers_ports && outer->direction == inner->direction &&
           (outer->protocol == SP_PROTOCOL_ANY || outer->protocol == inner->protocol) &&
           (outer->icmp_type < 0 || outer->icmp_type == inner->icmp_type) &&
           (outer->icmp_code < 0 || outer->icmp_code == inner->icmp_code);
}

bool sp_meaning_covers_remote(const struct sp_meaning *outer, const struct sp_meaning *inner)
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

bool sp_meaning_may_overlap(const struct sp_meaning *a, const struct sp_meaning *b)
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
