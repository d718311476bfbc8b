#include "flows/tracked.h"

/* Whether 'ip' is one of the addresses that 'port' may have. */
static bool is_own(const struct sp_port *port, const struct sp_cidr *ip)
{
    struct sp_cidr link_local = sp_cidr_link_local(&port->mac);

    if (sp_cidr_equal(&link_local, ip)) {
        return true;
    }
    for (size_t i = 0; i < port->n_ips; i++) {
        if (sp_cidr_equal(&port->ips[i], ip)) {
            return true;
        }
    }
    for (size_t i = 0; i < port->n_pairs; i++) {
        if (sp_cidr_contains(&port->pairs[i].ip, ip)) {
            return true;
        }
    }
    return false;
}

static bool is_for_many(const struct sp_cidr *ip)
{
    static const struct sp_cidr broadcast = {.family = 4, .prefix = 32, .bytes = {255, 255, 255, 255}};

    return ip->family == 4 ? ip->bytes[0] >> 4 == 0xe || sp_cidr_equal(ip, &broadcast) : ip->bytes[0] == 0xff;
}

bool sp_tracked_find_way(const struct sp_port *port, const struct sp_cidr *src, const struct sp_cidr *dst, enum sp_way *ret)
{
    if (is_own(port, src)) {
        *ret = SP_WAY_OUTBOUND;
    } else if (is_own(port, dst) || is_for_many(dst)) {
        *ret = SP_WAY_INBOUND;
    } else if (port->port_security) {
        return false;
    } else {
        *ret = SP_WAY_UNKNOWN;
    }
    return true;
}

static bool lacks_ports(const struct sp_tracked *t)
{
    return t->protocol == SP_PROTOCOL_SCTP && (!t->has_ports || (!t->src_port && !t->dst_port));
}

/* The rules that are asked, and what they are asked about. */
struct question {
    const struct sp_meaning *const *rules;
    size_t n;
    struct sp_connection connection;
    sp_is_member *is_member;
    void *aux;
};

/* The index of the rule that allows it, or -1. */
static ptrdiff_t find_allowing(const struct question *question)
{
    ptrdiff_t i = sp_explain(question->rules, question->n, &question->connection, question->is_member, question->aux);

    return i >= 0 && question->rules[i]->action == SP_ALLOW ? i : -1;
}

/* Takes one port more into account. */
static void try_port(struct question *question, int32_t port, bool *any, bool *all, ptrdiff_t *ret_rule)
{
    ptrdiff_t i;

    question->connection.port = port;
    i = find_allowing(question);
    *any |= i >= 0;
    *all &= i >= 0;
    *ret_rule = i >= 0 ? i : *ret_rule;
}

/* Whatever its port: a verdict changes only where some rule's ports begin or end. */
static enum sp_passage judge_all_ports(struct question *question, ptrdiff_t *ret_rule)
{
    bool any = false, all = true;

    try_port(question, 0, &any, &all, ret_rule);
    for (size_t i = 0; i < question->n && !(any && !all); i++) {
        const struct sp_meaning *rule = question->rules[i];

        if (rule->port_min >= 0) {
            try_port(question, rule->port_min, &any, &all, ret_rule);
        }
        if (rule->port_max >= 0 && rule->port_max < UINT16_MAX) {
            try_port(question, rule->port_max + 1, &any, &all, ret_rule);
        }
    }
    return all ? SP_PASSAGE_PASSES : any ? SP_PASSAGE_UNKNOWN : SP_PASSAGE_STOPS;
}

/* By the rules of one direction, for a connection that was opened 'inbound' or not. */
static enum sp_passage judge_direction(struct question *question, const struct sp_tracked *t, enum sp_direction direction,
                                       bool inbound, ptrdiff_t *ret_rule)
{
    uint16_t local_port = inbound ? t->dst_port : t->src_port, remote_port = inbound ? t->src_port : t->dst_port;

    question->connection = (struct sp_connection){
        .direction = direction,
        .protocol = t->protocol,
        .remote = inbound ? t->src : t->dst,
        .port = !t->has_ports ? -1 : direction == SP_INBOUND ? local_port : remote_port,
        .icmp_type = -1,
        .icmp_code = -1,
    };
    if (t->has_icmp) {
        question->connection.icmp_type = t->icmp_type;
        question->connection.icmp_code = t->icmp_code;
    }
    if (lacks_ports(t)) {
        return judge_all_ports(question, ret_rule);
    }
    *ret_rule = find_allowing(question);
    return *ret_rule >= 0 ? SP_PASSAGE_PASSES : SP_PASSAGE_STOPS;
}

static enum sp_passage judge_way(struct question *question, const struct sp_tracked *t, bool inbound, ptrdiff_t *ret_rule)
{
    enum sp_direction own = inbound ? SP_INBOUND : SP_OUTBOUND, other = inbound ? SP_OUTBOUND : SP_INBOUND;
    enum sp_passage passage = judge_direction(question, t, own, inbound, ret_rule), reply;
    ptrdiff_t rule = -1;

    if (t->protocol != SP_PROTOCOL_SCTP || passage == SP_PASSAGE_PASSES) {
        return passage;
    }
    reply = judge_direction(question, t, other, inbound, &rule);
    if (reply == SP_PASSAGE_STOPS) {
        return passage;
    }
    *ret_rule = rule;
    return reply;
}

enum sp_passage sp_tracked_judge(const struct sp_meaning *const rules[], size_t n, const struct sp_tracked *tracked,
                                 sp_is_member *is_member, void *aux, ptrdiff_t *ret_rule)
{
    struct question question = {.rules = rules, .n = n, .is_member = is_member, .aux = aux};
    ptrdiff_t rule = -1, other_rule = -1;
    enum sp_passage passage = judge_way(&question, tracked, tracked->way != SP_WAY_OUTBOUND, &rule);

    if (tracked->way == SP_WAY_UNKNOWN && judge_way(&question, tracked, false, &other_rule) != passage) {
        passage = SP_PASSAGE_UNKNOWN;
    }
    *ret_rule = passage == SP_PASSAGE_PASSES ? rule : -1;
    return passage;
}

size_t sp_tracked_cost(size_t n, const struct sp_tracked *tracked)
{
    size_t directions = tracked->protocol == SP_PROTOCOL_SCTP ? 2 : 1, ways = tracked->way == SP_WAY_UNKNOWN ? 2 : 1;

    return n * directions * ways * (lacks_ports(tracked) ? 2 * n + 1 : 1);
}
