#include "flows/explain.h"

static bool protocol_matches(const struct sp_meaning *rule, const struct sp_connection *c)
{
    if (rule->protocol == SP_PROTOCOL_ANY) {
        return true;
    }
    /* icmp is a protocol of IPv4 and icmpv6 one of IPv6; a header that claims otherwise is neither. */
    if ((rule->protocol == SP_PROTOCOL_ICMP && c->remote.family != 4) ||
        (rule->protocol == SP_PROTOCOL_ICMPV6 && c->remote.family != 6)) {
        return false;
    }
    return rule->protocol == c->protocol;
}

static bool remote_matches(const struct sp_meaning *rule, const struct sp_connection *c, sp_is_member *is_member, void *aux)
{
    switch (rule->remote) {
    case SP_REMOTE_ANY:
        return true;
    case SP_REMOTE_CIDR:
        return sp_cidr_contains(&rule->remote_cidr, &c->remote);
    case SP_REMOTE_GROUP:
        return is_member(aux, &rule->remote_group, &c->remote);
    }
    return false;
}

static bool ports_match(const struct sp_meaning *rule, const struct sp_connection *c)
{
    bool names_ports = rule->port_min >= 0 && !(rule->port_min == 0 && rule->port_max == 65535);

    return !names_ports || (c->port >= rule->port_min && c->port <= rule->port_max);
}

static bool icmp_matches(const struct sp_meaning *rule, const struct sp_connection *c)
{
    return (rule->icmp_type < 0 || rule->icmp_type == c->icmp_type) && (rule->icmp_code < 0 || rule->icmp_code == c->icmp_code);
}

/* True if 'a' decides before 'b'. */
static bool outranks(const struct sp_meaning *a, const struct sp_meaning *b)
{
    return a->priority < b->priority || (a->priority == b->priority && a->action == SP_DENY && b->action == SP_ALLOW);
}

ptrdiff_t sp_explain(const struct sp_meaning *const rules[], size_t n, const struct sp_connection *connection,
                     sp_is_member *is_member, void *aux)
{
    ptrdiff_t best = -1;

    for (size_t i = 0; i < n; i++) {
        const struct sp_meaning *rule = rules[i];

        if (rule->direction == connection->direction && protocol_matches(rule, connection) && ports_match(rule, connection) &&
            icmp_matches(rule, connection) && (best < 0 || outranks(rule, rules[best])) &&
            remote_matches(rule, connection, is_member, aux)) {
            best = (ptrdiff_t) i;
        }
    }
    return best;
}
