#include "flows/headers.h"

#include <string.h>

#include "sallyport/rule.h"

#define ETH_SIZE 14u /* Two addresses and a type. */
#define ETH_VLAN 0x8100u
#define ETH_SERVICE_VLAN 0x88a8u
#define ETH_IPV4 0x0800u
#define ETH_IPV6 0x86ddu
#define VLAN_SIZE 4u
#define IPV4_SIZE 20u
#define IPV6_SIZE 40u

/* Next headers of IPv6 that are extensions. */
#define IPV6_HOP_BY_HOP 0u
#define IPV6_ROUTING 43u
#define IPV6_FRAGMENT 44u
#define IPV6_AUTHENTICATION 51u
#define IPV6_DESTINATION 60u

/* What is left of the frame. */
struct rest {
    const uint8_t *at;
    size_t size;
};

static unsigned get16(const uint8_t *at)
{
    return (unsigned) at[0] << 8 | at[1];
}

/* Goes on behind the next 'size' bytes.  Returns false if there are fewer. */
static bool skip(struct rest *rest, size_t size)
{
    if (rest->size < size) {
        return false;
    }
    rest->at += size;
    rest->size -= size;
    return true;
}

static struct sp_cidr address(uint8_t family, const uint8_t *bytes)
{
    struct sp_cidr cidr = {.family = family, .prefix = family == 4 ? 32 : 128};

    memcpy(cidr.bytes, bytes, family == 4 ? 4 : 16);
    return cidr;
}

/* The fixed part and the options.  '*ret_later': a fragment but the first. */
static bool parse_ipv4(struct rest *rest, struct sp_headers *h, bool *ret_later)
{
    const uint8_t *ip = rest->at;
    size_t header_size;

    if (rest->size < IPV4_SIZE || ip[0] >> 4 != 4) {
        return false;
    }
    header_size = (size_t) (ip[0] & 0xfu) * 4;
    if (header_size < IPV4_SIZE) {
        return false;
    }
    h->src = address(4, ip + 12);
    h->dst = address(4, ip + 16);
    h->protocol = ip[9];
    *ret_later = (get16(ip + 6) & 0x1fffu) != 0 || !skip(rest, header_size);
    return true;
}

/* The size of the extension 'header' at the beginning of 'rest', or 0: it is none, or not whole. */
static size_t extension_size(const struct rest *rest, uint8_t header)
{
    switch (header) {
    case IPV6_FRAGMENT:
        return rest->size >= 8 ? 8 : 0;
    case IPV6_AUTHENTICATION:
        return rest->size >= 2 ? (rest->at[1] + 2u) * 4u : 0;
    case IPV6_HOP_BY_HOP:
    case IPV6_ROUTING:
    case IPV6_DESTINATION:
        return rest->size >= 2 ? (rest->at[1] + 1u) * 8u : 0;
    default:
        return 0;
    }
}

static bool parse_ipv6(struct rest *rest, struct sp_headers *h, bool *ret_later)
{
    const uint8_t *ip = rest->at;

    if (rest->size < IPV6_SIZE || ip[0] >> 4 != 6) {
        return false;
    }
    h->src = address(6, ip + 8);
    h->dst = address(6, ip + 24);
    h->protocol = ip[6];
    *ret_later = false;
    skip(rest, IPV6_SIZE);
    for (unsigned i = 0; i < SP_HEADERS_EXTENSIONS_MAX; i++) {
        size_t size = extension_size(rest, h->protocol);
        uint8_t next;

        if (!size) {
            break;
        }
        next = rest->at[0];
        *ret_later = *ret_later || (h->protocol == IPV6_FRAGMENT && get16(rest->at + 2) >> 3 != 0);
        h->protocol = next;
        if (!skip(rest, size)) {
            rest->size = 0;
            break;
        }
    }
    return true;
}

static void parse_transport(const struct rest *rest, struct sp_headers *h)
{
    bool ports = h->protocol == SP_PROTOCOL_TCP || h->protocol == SP_PROTOCOL_UDP || h->protocol == SP_PROTOCOL_SCTP;
    bool icmp = h->protocol == (h->src.family == 4 ? SP_PROTOCOL_ICMP : SP_PROTOCOL_ICMPV6);

    if (ports && rest->size >= 4) {
        h->has_ports = true;
        h->src_port = (uint16_t) get16(rest->at);
        h->dst_port = (uint16_t) get16(rest->at + 2);
    } else if (icmp && rest->size >= 2) {
        h->has_icmp = true;
        h->icmp_type = rest->at[0];
        h->icmp_code = rest->at[1];
    }
}

int sp_headers_parse(const uint8_t *bytes, size_t size, struct sp_headers *ret)
{
    struct rest rest = {bytes, size};
    struct sp_headers h = {.protocol = 0};
    bool later = false, good;
    unsigned type;

    if (!skip(&rest, ETH_SIZE)) {
        return SP_E_SYNTAX;
    }
    type = get16(rest.at - 2);
    if (type == ETH_VLAN || type == ETH_SERVICE_VLAN) {
        if (!skip(&rest, VLAN_SIZE)) {
            return SP_E_SYNTAX;
        }
        type = get16(rest.at - 2);
    }
    if (type == ETH_IPV4) {
        good = parse_ipv4(&rest, &h, &later);
    } else {
        good = type == ETH_IPV6 && parse_ipv6(&rest, &h, &later);
    }
    if (!good) {
        return SP_E_SYNTAX;
    }
    if (!later) {
        parse_transport(&rest, &h);
    }
    *ret = h;
    return 0;
}
