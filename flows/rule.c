#include "sallyport/rule.h"

static bool all_ports(const struct sp_meaning *m)
{
    return m->port_min <= 0 && (m->port_max < 0 || m->port_max == 65535);
}

/* True if 'm' matches every remote address that a packet of its protocol can have. */
static bool all_remotes(const struct sp_meaning *m)
{
    if (m->remote != SP_REMOTE_CIDR || m->remote_cidr.prefix) {
        return m->remote == SP_REMOTE_ANY;
    }
    return (m->protocol == SP_PROTOCOL_ICMP && m->remote_cidr.family == 4) ||
           (m->protocol == SP_PROTOCOL_ICMPV6 && m->remote_cidr.family == 6);
}

static bool remotes_equal(const struct sp_meaning *a, const struct sp_meaning *b)
{
    if (all_remotes(a) || all_remotes(b)) {
        return all_remotes(a) && all_remotes(b);
    }
    if (a->remote != b->remote) {
        return false;
    }
    return a->remote == SP_REMOTE_CIDR ? sp_cidr_equal(&a->remote_cidr, &b->remote_cidr)
                                       : sp_uuid_equal(&a->remote_group, &b->remote_group);
}

static bool ports_equal(const struct sp_meaning *a, const struct sp_meaning *b)
{
    if (all_ports(a) || all_ports(b)) {
        return all_ports(a) && all_ports(b);
    }
    return a->port_min == b->port_min && a->port_max == b->port_max;
}

bool sp_meaning_equal(const struct sp_meaning *a, const struct sp_meaning *b)
{
    return a->direction == b->direction && a->action == b->action && a->priority == b->priority && a->protocol == b->protocol &&
           a->icmp_type == b->icmp_type && a->icmp_code == b->icmp_code && ports_equal(a, b) && remotes_equal(a, b);
}
