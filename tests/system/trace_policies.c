/* Random policies for a real switch to judge:
 *
 *     trace_policies SEED FIRST COUNT CONNECTIONS
 *
 * prints the flows of COUNT rule sets, numbered from FIRST on, as ovs-ofctl takes them ("flow ..."), and for each of them
 * CONNECTIONS connections with what flows/explain.c says about them: "ask SET allow|deny FLOW", FLOW being a packet as conntrack
 * hands it back, for ofproto/trace.  The packet has METADATA, by which the test sends it on to the table behind conntrack.  The
 * marks of rule set N are those from N * 100 on. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/random_policy.h"

#define METADATA 0x5350
#define ZONE 4711
#define OPENER_PORT 2000 /* Or identifier. */
#define SLOTS 100        /* Of a set. */

static const char *const local_ips[] = {"10.0.0.1", "2001:db8:5::1"};

/* The words that are the same for a packet's headers and, with 'prefix' "ct_", for the tuple of its connection. */
static void print_addresses(const char *prefix, const struct sp_cidr *remote, bool from_remote)
{
    bool six = remote->family == 6;
    char text[SP_CIDR_TEXT_SIZE];
    const char *far = sp_cidr_format_address(remote, text), *near = local_ips[six];

    printf(",%s%s_src=%s,%s%s_dst=%s", prefix, six ? "ipv6" : "nw", from_remote ? far : near, prefix, six ? "ipv6" : "nw",
           from_remote ? near : far);
}

static bool is_icmp(const struct sp_connection *c)
{
    return c->protocol == SP_PROTOCOL_ICMP || c->protocol == SP_PROTOCOL_ICMPV6;
}

/* What the packet itself has behind its addresses. */
static void print_ports(const struct sp_connection *c, bool answer)
{
    if (is_icmp(c)) {
        const char *name = c->protocol == SP_PROTOCOL_ICMP ? "icmp" : "icmpv6";

        printf(",%s_type=%d,%s_code=%d", name, c->icmp_type + answer, name, c->icmp_code);
    } else if (c->port >= 0) {
        const char *name = c->protocol == SP_PROTOCOL_TCP ? "tcp" : c->protocol == SP_PROTOCOL_UDP ? "udp" : "sctp";

        printf(",%s_src=%d,%s_dst=%d", name, answer ? c->port : OPENER_PORT, name, answer ? OPENER_PORT : c->port);
    }
}

/* Conntrack's tuple of the opening packet: in the userspace datapath type and code of ICMP stand for ports, and SCTP has none. */
static void print_tuple(const struct sp_connection *c)
{
    int src = 0, dst = 0;

    if (is_icmp(c)) {
        src = c->icmp_type;
        dst = c->icmp_code;
    } else if (c->protocol == SP_PROTOCOL_TCP || c->protocol == SP_PROTOCOL_UDP) {
        src = OPENER_PORT;
        dst = c->port;
    }
    print_addresses("ct_", &c->remote, c->direction == SP_INBOUND);
    printf(",ct_nw_proto=%u,ct_tp_src=%d,ct_tp_dst=%d", c->protocol, src, dst);
}

/* One packet of 'c': its first, or an answer to it in a connection whose mark is not live. */
static void ask(uint32_t set, const struct sp_connection *c, bool allowed, bool answer)
{
    bool entering = (c->direction == SP_INBOUND) != answer;

    printf("ask %" PRIu32 " %s in_port=1,metadata=0x%x,dl_type=0x%04x,nw_proto=%u", set, allowed ? "allow" : "deny", METADATA,
           c->remote.family == 6 ? 0x86ddu : 0x0800u, c->protocol);
    print_addresses("", &c->remote, entering);
    print_ports(c, answer);
    printf(",ct_state=%s|trk,ct_zone=%d", answer ? "est|rpl" : "new", ZONE);
    print_tuple(c);
    printf(",reg0=%u,reg2=%" PRIu32 ",reg5=%u,reg6=%d,reg8=9\n", entering ? SP_FROM_UPLINK : SP_FROM_SERVER, set,
           entering ? SP_PHASE_ENTERING : SP_PHASE_LEAVING, ZONE);
}

static void ask_all(struct sp_random *rng, uint32_t set, const struct sp_policy *policy, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct sp_connection c = sp_policy_draw_connection(rng);
        bool allowed = sp_policy_allows(policy, &c);

        ask(set, &c, allowed, false);
        if (c.protocol != SP_PROTOCOL_SCTP) { /* An answer in SCTP is judged as a question of the other side, too. */
            ask(set, &c, allowed, true);
        }
    }
}

static void print_flows(struct sp_flow_list *flows)
{
    static char text[1 << 16];

    for (size_t i = 0; i < flows->n; i++) {
        sp_flow_format(flows->flows[i], text, sizeof text);
        printf("flow %s\n", text);
    }
    sp_flow_list_clear(flows);
    sp_flow_list_init(flows);
}

int main(int argc, char **argv)
{
    struct sp_flow_list flows;
    struct sp_policy policy;
    struct sp_random rng;

    if (argc != 5 || setenv("SP_SEED", argv[1], 1)) {
        fprintf(stderr, "usage: %s SEED FIRST COUNT CONNECTIONS\n", argv[0]);
        return 2;
    }
    sp_random_init(&rng);
    sp_flow_list_init(&flows);
    if (sp_compile_static(&flows)) {
        return 1;
    }
    print_flows(&flows);
    for (uint32_t set = (uint32_t) atol(argv[2]), end = set + (uint32_t) atol(argv[3]); set < end; set++) {
        sp_policy_draw(&rng, &policy);
        for (size_t i = 0; i < policy.n_rules; i++) {
            policy.slots[i] += set * SLOTS;
            policy.marks[i] += set * SLOTS;
        }
        sp_policy_compile(&policy, set, set, &flows);
        print_flows(&flows);
        ask_all(&rng, set, &policy, (unsigned) atol(argv[4]));
    }
    sp_flow_list_clear(&flows);
    return 0;
}
