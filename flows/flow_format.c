#include "sallyport/flow.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* How a field's value is written. */
enum notation {
    DECIMAL,
    HEXADECIMAL,
    ADDRESS, /* IPv4 or IPv6, by size. */
    MAC,
    PORT,
    FRAGMENT,
    CT_STATE,
};

struct field_text {
    const char *match; /* In a match. */
    const char *nxm;   /* In an action. */
    enum notation notation;
};

/* Names: ovs-fields(7).  The registers' are put together from their number. */
static const struct field_text field_texts[SP_F_REG0] = {
    [SP_F_IN_PORT] = {"in_port", "NXM_OF_IN_PORT", PORT},
    [SP_F_ETH_SRC] = {"dl_src", "NXM_OF_ETH_SRC", MAC},
    [SP_F_ETH_DST] = {"dl_dst", "NXM_OF_ETH_DST", MAC},
    [SP_F_ETH_TYPE] = {"dl_type", "NXM_OF_ETH_TYPE", HEXADECIMAL},
    [SP_F_VLAN_TCI] = {"vlan_tci", "NXM_OF_VLAN_TCI", HEXADECIMAL},
    [SP_F_IP_FRAG] = {"ip_frag", "NXM_NX_IP_FRAG", FRAGMENT},
    [SP_F_IP_PROTO] = {"nw_proto", "NXM_OF_IP_PROTO", DECIMAL},
    [SP_F_IP_TTL] = {"nw_ttl", "NXM_NX_IP_TTL", DECIMAL},
    [SP_F_IP_SRC] = {"nw_src", "NXM_OF_IP_SRC", ADDRESS},
    [SP_F_IP_DST] = {"nw_dst", "NXM_OF_IP_DST", ADDRESS},
    [SP_F_IPV6_SRC] = {"ipv6_src", "NXM_NX_IPV6_SRC", ADDRESS},
    [SP_F_IPV6_DST] = {"ipv6_dst", "NXM_NX_IPV6_DST", ADDRESS},
    [SP_F_TCP_SRC] = {"tcp_src", "NXM_OF_TCP_SRC", DECIMAL},
    [SP_F_TCP_DST] = {"tcp_dst", "NXM_OF_TCP_DST", DECIMAL},
    [SP_F_UDP_SRC] = {"udp_src", "NXM_OF_UDP_SRC", DECIMAL},
    [SP_F_UDP_DST] = {"udp_dst", "NXM_OF_UDP_DST", DECIMAL},
    [SP_F_SCTP_SRC] = {"sctp_src", "OXM_OF_SCTP_SRC", DECIMAL},
    [SP_F_SCTP_DST] = {"sctp_dst", "OXM_OF_SCTP_DST", DECIMAL},
    [SP_F_ICMP_TYPE] = {"icmp_type", "NXM_OF_ICMP_TYPE", DECIMAL},
    [SP_F_ICMP_CODE] = {"icmp_code", "NXM_OF_ICMP_CODE", DECIMAL},
    [SP_F_ICMPV6_TYPE] = {"icmpv6_type", "NXM_NX_ICMPV6_TYPE", DECIMAL},
    [SP_F_ICMPV6_CODE] = {"icmpv6_code", "NXM_NX_ICMPV6_CODE", DECIMAL},
    [SP_F_ARP_OP] = {"arp_op", "NXM_OF_ARP_OP", DECIMAL},
    [SP_F_ARP_SPA] = {"arp_spa", "NXM_OF_ARP_SPA", ADDRESS},
    [SP_F_ARP_TPA] = {"arp_tpa", "NXM_OF_ARP_TPA", ADDRESS},
    [SP_F_ARP_SHA] = {"arp_sha", "NXM_NX_ARP_SHA", MAC},
    [SP_F_ARP_THA] = {"arp_tha", "NXM_NX_ARP_THA", MAC},
    [SP_F_ND_TARGET] = {"nd_target", "NXM_NX_ND_TARGET", ADDRESS},
    [SP_F_ND_SLL] = {"nd_sll", "NXM_NX_ND_SLL", MAC},
    [SP_F_ND_TLL] = {"nd_tll", "NXM_NX_ND_TLL", MAC},
    [SP_F_CT_STATE] = {"ct_state", "NXM_NX_CT_STATE", CT_STATE},
    [SP_F_CT_ZONE] = {"ct_zone", "NXM_NX_CT_ZONE", DECIMAL},
    [SP_F_CT_MARK] = {"ct_mark", "NXM_NX_CT_MARK", HEXADECIMAL},
    [SP_F_CT_NW_PROTO] = {"ct_nw_proto", "NXM_NX_CT_NW_PROTO", DECIMAL},
    [SP_F_CT_NW_SRC] = {"ct_nw_src", "NXM_NX_CT_NW_SRC", ADDRESS},
    [SP_F_CT_NW_DST] = {"ct_nw_dst", "NXM_NX_CT_NW_DST", ADDRESS},
    [SP_F_CT_IPV6_SRC] = {"ct_ipv6_src", "NXM_NX_CT_IPV6_SRC", ADDRESS},
    [SP_F_CT_IPV6_DST] = {"ct_ipv6_dst", "NXM_NX_CT_IPV6_DST", ADDRESS},
    [SP_F_CT_TP_SRC] = {"ct_tp_src", "NXM_NX_CT_TP_SRC", DECIMAL},
    [SP_F_CT_TP_DST] = {"ct_tp_dst", "NXM_NX_CT_TP_DST", DECIMAL},
};

/* Text that grows into a buffer of a fixed size, as snprintf would do it in one call. */
struct text {
    char *out;
    size_t size;
    size_t len; /* Of the whole, stored or not. */
};

static void SP_PRINTF(2, 3) put(struct text *text, const char *format, ...)
{
    size_t at = text->len < text->size ? text->len : text->size;
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(text->size ? text->out + at : NULL, text->size - at, format, args);
    va_end(args);
    text->len += n > 0 ? (size_t) n : 0;
}

static uint64_t get_be(const uint8_t *bytes, size_t size)
{
    uint64_t value = 0;

    for (size_t i = 0; i < size; i++) {
        value = value << 8 | bytes[i];
    }
    return value;
}

/* Names of reserved ports: OpenFlow 1.4 section 7.2.1, in 16 bits as OVS has them. */
static void put_port(struct text *text, uint16_t port)
{
    static const char *const names[] = {"IN_PORT", "TABLE", "NORMAL", "FLOOD", "ALL", "CONTROLLER", "LOCAL"};

    if (port >= 0xfff8 && port < 0xfff8 + 7) {
        put(text, "%s", names[port - 0xfff8]);
    } else {
        put(text, "%u", port);
    }
}

/* ovs-ofctl knows words only; the two combinations without one match the same packets as a word does, since a packet
 * that is a later fragment is a fragment. */
static void put_fragment(struct text *text, unsigned value, unsigned mask)
{
    if (value & 2) {
        put(text, "later");
    } else if (mask == 2) {
        put(text, "not_later");
    } else if (!value) {
        put(text, "no");
    } else {
        put(text, mask == 1 ? "yes" : "first");
    }
}

static void put_ct_state(struct text *text, uint32_t value, uint32_t mask)
{
    static const char *const names[] = {"new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"};

    if (mask >> 8) {
        put(text, "0x%" PRIx32 "/0x%" PRIx32, value, mask);
        return;
    }
    for (unsigned i = 0; i < 8; i++) {
        if (mask >> i & 1) {
            put(text, "%c%s", value >> i & 1 ? '+' : '-', names[i]);
        }
    }
}

static void put_address(struct text *text, const uint8_t *bytes, size_t size)
{
    struct sp_cidr cidr = {.family = size == 4 ? 4 : 6, .prefix = (uint8_t) (8 * size)};
    char address[SP_CIDR_TEXT_SIZE];

    memcpy(cidr.bytes, bytes, size);
    put(text, "%s", sp_cidr_format_address(&cidr, address));
}

static void put_mac(struct text *text, const uint8_t *bytes)
{
    struct sp_mac mac;
    char address[SP_MAC_TEXT_SIZE];

    memcpy(mac.bytes, bytes, sizeof mac.bytes);
    put(text, "%s", sp_mac_format(&mac, address));
}

static void put_value(struct text *text, enum notation notation, const uint8_t *bytes, size_t size)
{
    switch (notation) {
    case ADDRESS:
        put_address(text, bytes, size);
        break;
    case MAC:
        put_mac(text, bytes);
        break;
    case PORT:
        put_port(text, (uint16_t) get_be(bytes, size));
        break;
    case DECIMAL:
        put(text, "%" PRIu64, get_be(bytes, size));
        break;
    default:
        put(text, "0x%" PRIx64, get_be(bytes, size));
        break;
    }
}

static void put_term(struct text *text, enum sp_field field, const uint8_t *value, const uint8_t *mask)
{
    size_t size = sp_field_size(field);
    uint8_t ones[16];
    enum notation notation = field < SP_F_REG0 ? field_texts[field].notation : HEXADECIMAL;

    memset(ones, 0xff, sizeof ones);
    if (field < SP_F_REG0) {
        put(text, ",%s=", field_texts[field].match);
    } else {
        put(text, ",reg%d=", field - SP_F_REG0);
    }
    if (notation == FRAGMENT) {
        put_fragment(text, *value, mask ? *mask : 3);
        return;
    }
    if (notation == CT_STATE) {
        put_ct_state(text, (uint32_t) get_be(value, size), (uint32_t) get_be(mask ? mask : ones, size));
        return;
    }
    if (mask && (notation == DECIMAL || notation == PORT)) {
        notation = HEXADECIMAL;
    }
    put_value(text, notation, value, size);
    if (mask) {
        put(text, "/");
        put_value(text, notation, mask, size);
    }
}

/* Names 'n_bits' bits of 'field' from 'first_bit' on, as in "NXM_NX_REG6[0..15]". */
static void put_subfield(struct text *text, unsigned field, unsigned first_bit, unsigned n_bits)
{
    if (field < SP_F_REG0) {
        put(text, "%s", field_texts[field].nxm);
    } else if (field < SP_F_XXREG0) {
        put(text, "NXM_NX_REG%u", field - SP_F_REG0);
    } else {
        put(text, "NXM_NX_XXREG%u", field - SP_F_XXREG0);
    }
    if (!first_bit && n_bits == 8 * sp_field_size(field)) {
        put(text, "[]");
    } else if (n_bits == 1) {
        put(text, "[%u]", first_bit);
    } else {
        put(text, "[%u..%u]", first_bit, first_bit + n_bits - 1);
    }
}

static void put_ct(struct text *text, const uint8_t *arguments)
{
    put(text, "ct(");
    if (arguments[0] & SP_CT_OP_COMMIT) {
        put(text, "commit,");
    }
    put(text, "table=%u,zone=", arguments[3]);
    put_subfield(text, arguments[1], arguments[2], 16);
    if (arguments[4] != 0xff) {
        put(text, ",exec(move:");
        put_subfield(text, arguments[4], 0, 32);
        put(text, "->NXM_NX_CT_MARK[])");
    }
    put(text, ")");
}

static void put_learn_mac(struct text *text, const uint8_t *arguments)
{
    put(text, "learn(table=%u,priority=%u,idle_timeout=%u,limit=%u,cookie=0x%" PRIx64 ",delete_learned,", arguments[0],
        (unsigned) get_be(arguments + 1, 2), (unsigned) get_be(arguments + 3, 2), (unsigned) get_be(arguments + 5, 4),
        get_be(arguments + 9, 8));
    put_subfield(text, arguments[17], 0, 12);
    put(text, ",NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:NXM_OF_IN_PORT[]->");
    put_subfield(text, arguments[18], 0, 16);
    put(text, ")");
}

/* Prints the operation at 'op' and returns the bytes of its arguments. */
static size_t put_op(struct text *text, const uint8_t *op)
{
    const uint8_t *arguments = op + 1;

    switch ((enum sp_op) *op) {
    case SP_OP_OUTPUT:
        put(text, "output:");
        put_port(text, (uint16_t) get_be(arguments, 2));
        return 2;
    case SP_OP_OUTPUT_REG:
        put(text, "output:");
        put_subfield(text, arguments[0], 0, 16);
        return 1;
    case SP_OP_GOTO:
        put(text, "goto_table:%u", arguments[0]);
        return 1;
    case SP_OP_RESUBMIT:
        put(text, "resubmit(,%u)", arguments[0]);
        return 1;
    case SP_OP_LOAD:
        put(text, "load:0x%" PRIx64 "->", get_be(arguments + 3, 8));
        put_subfield(text, arguments[0], arguments[1], arguments[2]);
        return 11;
    case SP_OP_MOVE:
        put(text, "move:");
        put_subfield(text, arguments[0], arguments[1], arguments[4]);
        put(text, "->");
        put_subfield(text, arguments[2], arguments[3], arguments[4]);
        return 5;
    case SP_OP_PUSH:
    case SP_OP_POP:
        put(text, *op == SP_OP_PUSH ? "push:" : "pop:");
        put_subfield(text, arguments[0], arguments[1], arguments[2]);
        return 3;
    case SP_OP_CT:
        put_ct(text, arguments);
        return 5;
    case SP_OP_PUSH_VLAN:
        put(text, "push_vlan:0x8100");
        return 0;
    case SP_OP_POP_VLAN:
        put(text, "pop_vlan");
        return 0;
    case SP_OP_LEARN_MAC:
        put_learn_mac(text, arguments);
        return 19;
    case SP_OP_METER:
        put(text, "meter:%" PRIu64, get_be(arguments, 4));
        return 4;
    case SP_OP_CONTROLLER:
        put(text, "controller(max_len=%u,id=%u)", (unsigned) get_be(arguments, 2), (unsigned) get_be(arguments + 2, 2));
        return 4;
    case SP_N_OPS:
        break;
    }
    return SP_ACTIONS_SIZE_MAX; /* No flow is built with anything else; this ends the listing. */
}

size_t sp_flow_format(const struct sp_flow *flow, char *out, size_t size)
{
    struct text text = {out, size, 0};
    const uint8_t *match = sp_flow_match(flow), *actions = sp_flow_actions(flow);
    size_t at = 0;

    put(&text, "cookie=0x%" PRIx64 ",table=%u,priority=%u", flow->cookie, flow->table, flow->priority);
    if (flow->match_size && match[0] == SP_MATCH_OPAQUE) {
        put(&text, ",(unknown)");
        at = flow->match_size;
    }
    while (at < flow->match_size) {
        const uint8_t *term = match + at;
        size_t width = sp_field_size(term[0]);

        put_term(&text, term[0], term + 2, term[1] ? term + 2 + width : NULL);
        at += 2 + width * (term[1] ? 2u : 1u);
    }
    put(&text, " actions=%s", flow->alien ? "(unknown)" : flow->actions_size ? "" : "drop");
    for (at = 0; at < flow->actions_size;) {
        if (at) {
            put(&text, ",");
        }
        at += 1 + put_op(&text, actions + at);
    }
    return text.len;
}
