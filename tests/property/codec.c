/* Random flows of every field and operation come back from OpenFlow as they went in; a flow that lacks a prerequisite does not
 * get through.  The seed is printed; give another as the first argument. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "flows/openflow/codec.h"
#include "sallyport/pipeline.h"

#define N_FLOWS 20000

static uint64_t state;

static uint64_t next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static uint64_t below(uint64_t n)
{
    return next() % n;
}

static uint64_t ones(unsigned n)
{
    return n >= 64 ? UINT64_MAX : (1ull << n) - 1;
}

static void random_bytes(uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t) next();
    }
}

/* Matches 'field' exactly or with a random mask. */
static void match_maskable(struct sp_flow_build *build, enum sp_field field)
{
    uint8_t value[16], mask[16];

    random_bytes(value, sizeof value);
    random_bytes(mask, sizeof mask);
    sp_flow_match_bytes(build, field, value, below(2) ? mask : NULL);
}

static bool maybe(void)
{
    return below(2);
}

static void maybe_match(struct sp_flow_build *build, enum sp_field field)
{
    if (maybe()) {
        match_maskable(build, field);
    }
}

static void match_transport(struct sp_flow_build *build, bool v6)
{
    static const struct {
        uint8_t protocol;
        enum sp_field src, dst;
    } transports[] = {{6, SP_F_TCP_SRC, SP_F_TCP_DST}, {17, SP_F_UDP_SRC, SP_F_UDP_DST}, {132, SP_F_SCTP_SRC, SP_F_SCTP_DST}};
    size_t i = below(5);

    if (i < 3) {
        sp_flow_match_exact(build, SP_F_IP_PROTO, transports[i].protocol);
        maybe_match(build, transports[i].src);
        maybe_match(build, transports[i].dst);
    } else if (i == 3 && !v6) {
        sp_flow_match_exact(build, SP_F_IP_PROTO, 1);
        sp_flow_match_exact(build, SP_F_ICMP_TYPE, below(256));
        sp_flow_match_exact(build, SP_F_ICMP_CODE, below(256));
    } else if (i == 3) {
        bool advert = maybe();

        sp_flow_match_exact(build, SP_F_IP_PROTO, 58);
        sp_flow_match_exact(build, SP_F_ICMPV6_TYPE, advert ? 136 : 135);
        sp_flow_match_exact(build, SP_F_ICMPV6_CODE, 0);
        maybe_match(build, SP_F_ND_TARGET);
        maybe_match(build, advert ? SP_F_ND_TLL : SP_F_ND_SLL);
    } else {
        sp_flow_match_exact(build, SP_F_IP_PROTO, below(256));
    }
}

static void match_tuple(struct sp_flow_build *build, bool v6)
{
    sp_flow_match_uint(build, SP_F_CT_STATE, SP_CT_TRK, SP_CT_TRK | SP_CT_INV);
    maybe_match(build, SP_F_CT_MARK);
    if (maybe()) {
        sp_flow_match_exact(build, SP_F_CT_ZONE, below(65536));
    }
    maybe_match(build, v6 ? SP_F_CT_IPV6_SRC : SP_F_CT_NW_SRC);
    maybe_match(build, v6 ? SP_F_CT_IPV6_DST : SP_F_CT_NW_DST);
    if (maybe()) {
        sp_flow_match_exact(build, SP_F_CT_NW_PROTO, 1 + below(255));
        maybe_match(build, SP_F_CT_TP_SRC);
        maybe_match(build, SP_F_CT_TP_DST);
    }
}

static void match_network(struct sp_flow_build *build)
{
    bool v6;

    switch (below(4)) {
    case 0:
        sp_flow_match_exact(build, SP_F_ETH_TYPE, 0x0806);
        sp_flow_match_exact(build, SP_F_ARP_OP, 1 + below(2));
        maybe_match(build, SP_F_ARP_SPA);
        maybe_match(build, SP_F_ARP_TPA);
        maybe_match(build, SP_F_ARP_SHA);
        maybe_match(build, SP_F_ARP_THA);
        break;
    case 1:
    case 2:
        v6 = maybe();
        sp_flow_match_exact(build, SP_F_ETH_TYPE, v6 ? 0x86dd : 0x0800);
        maybe_match(build, v6 ? SP_F_IPV6_SRC : SP_F_IP_SRC);
        maybe_match(build, v6 ? SP_F_IPV6_DST : SP_F_IP_DST);
        if (maybe()) {
            sp_flow_match_exact(build, SP_F_IP_TTL, below(256));
        }
        if (maybe()) {
            match_transport(build, v6);
        } else if (maybe()) {
            sp_flow_match_uint(build, SP_F_IP_FRAG, maybe() ? 3 : 0, maybe() ? 3 : 2);
        }
        if (maybe()) {
            match_tuple(build, v6);
        }
        break;
    default:
        if (maybe()) {
            sp_flow_match_exact(build, SP_F_ETH_TYPE, 0x88cc);
        }
    }
}

/* Returns true if it matches frames with a tag. */
static bool match_random(struct sp_flow_build *build)
{
    uint64_t vlan = below(4);

    if (maybe()) {
        sp_flow_match_exact(build, SP_F_IN_PORT, below(0xff00));
    }
    maybe_match(build, SP_F_ETH_SRC);
    maybe_match(build, SP_F_ETH_DST);
    switch (vlan) {
    case 0:
        sp_flow_match_uint(build, SP_F_VLAN_TCI, 0, 0x1000);
        break;
    case 1:
        sp_flow_match_uint(build, SP_F_VLAN_TCI, 0x1000 | below(4096), 0x1fff);
        break;
    case 2:
        sp_flow_match_uint(build, SP_F_VLAN_TCI, 0x1000, 0x1000);
        break;
    }
    match_network(build);
    for (unsigned i = 0; i < 12; i++) {
        if (!below(4)) {
            match_maskable(build, SP_F_REG(i));
        }
    }
    maybe_match(build, SP_F_XXREG3);
    return vlan == 1 || vlan == 2;
}

static enum sp_field random_register(void)
{
    return SP_F_REG(below(16));
}

static void act_random(struct sp_flow_build *build, bool *tagged)
{
    static const enum sp_field writable[] = {SP_F_ETH_SRC, SP_F_ETH_DST, SP_F_XXREG0, SP_F_XXREG3, SP_F_REG0, SP_F_REG15};
    enum sp_field field = writable[below(sizeof writable / sizeof *writable)];
    unsigned bits = 8u * (unsigned) sp_field_size(field), first = (unsigned) below(bits), n = 1 + (unsigned) below(bits - first);

    switch (below(9)) {
    case 0:
        sp_flow_output(build, (uint16_t) (1 + below(0xfeff)));
        break;
    case 1:
        sp_flow_output_reg(build, random_register());
        break;
    case 2:
        sp_flow_resubmit(build, (uint8_t) below(254));
        break;
    case 3:
    case 4:
        n = n > 64 ? 64 : n;
        sp_flow_load(build, field, first, n, next() & ones(n));
        break;
    case 5:
        n = n > 32 ? 32 : n;
        sp_flow_move(build, random_register(), (unsigned) below(33 - n), field, first, n);
        break;
    case 6:
        sp_flow_move(build, SP_F_ETH_SRC, 0, SP_F_XXREG3, (unsigned) below(80), 48);
        break;
    case 7: /* The switch refuses to pop a tag that is not there, and to push a third. */
        if (*tagged) {
            sp_flow_pop_vlan(build);
        } else {
            sp_flow_push_vlan(build);
        }
        *tagged = !*tagged;
        break;
    case 8:
        sp_flow_learn_mac(build, (uint8_t) below(254), (uint16_t) next(), (uint16_t) next(), (uint32_t) next(), next(), random_register(),
                          random_register());
        break;
    }
}

static bool is_ip(const struct sp_flow_build *build)
{
    for (size_t at = 0; at < build->match_size;) {
        if (build->match[at] == SP_F_ETH_TYPE) {
            return !memcmp(build->match + at + 2, "\x08\x00", 2) || !memcmp(build->match + at + 2, "\x86\xdd", 2);
        }
        at += 2 + sp_field_size(build->match[at]) * (build->match[at + 1] ? 2 : 1);
    }
    return false;
}

static void build_random(struct sp_flow_build *build)
{
    bool tagged;

    sp_flow_build_init(build, (uint8_t) below(200), (uint16_t) (1 + below(65535)), next() >> 1);
    tagged = match_random(build);
    for (uint64_t n = below(8); n; n--) {
        act_random(build, &tagged);
    }
    if (is_ip(build) && maybe()) {
        sp_flow_ct_commit(build, random_register(), maybe() ? random_register() : SP_N_FIELDS, (uint8_t) below(254));
        sp_flow_load_reg(build, random_register(), (uint32_t) next());
        sp_flow_ct(build, random_register(), (uint8_t) below(254));
        return;
    }
    if (maybe()) { /* The switch takes a tag that is written to for unknown, and would refuse to pop it. */
        sp_flow_load(build, SP_F_VLAN_TCI, 0, 12, below(4096));
        sp_flow_move(build, random_register(), (unsigned) below(17), SP_F_VLAN_TCI, 0, 16);
    }
    if (maybe()) {
        sp_flow_goto(build, (uint8_t) (build->table + 1));
    }
}

static void check(const struct sp_flow *flow, uint8_t version, int expected, uint64_t i)
{
    int r = sp_codec_check(flow, version);

    if (r != expected) {
        char text[4096];

        sp_flow_format(flow, text, sizeof text);
        fail_msg("flow %llu, version %u: %d instead of %d: %s", (unsigned long long) i, version, r, expected, text);
    }
}

static void round_trip(void **aux)
{
    static struct sp_flow_build build;

    for (uint64_t i = 0; i < N_FLOWS; i++) {
        struct sp_flow *flow;

        build_random(&build);
        assert_int_equal(sp_flow_build_done(&build, &flow), 0);
        check(flow, SP_OF14, 0, i);
        check(flow, SP_OF15, 0, i);
        sp_flow_unref(flow);
    }
}

/* Takes the term of a field that others rest on out of a flow. */
static bool remove_term(struct sp_flow_build *build, enum sp_field field)
{
    for (size_t at = 0; at < build->match_size;) {
        size_t size = 2 + sp_field_size(build->match[at]) * (build->match[at + 1] ? 2 : 1);

        if (build->match[at] == field) {
            memmove(build->match + at, build->match + at + size, build->match_size - at - size);
            build->match_size = (uint16_t) (build->match_size - size);
            return true;
        }
        at += size;
    }
    return false;
}

static bool matches(const struct sp_flow_build *build, enum sp_field low, enum sp_field high)
{
    for (size_t at = 0; at < build->match_size; at += 2 + sp_field_size(build->match[at]) * (build->match[at + 1] ? 2 : 1)) {
        if (build->match[at] >= low && build->match[at] <= high) {
            return true;
        }
    }
    return false;
}

static void missing_prerequisites(void **aux)
{
    static struct sp_flow_build build;
    uint64_t n = 0;

    for (uint64_t i = 0; i < N_FLOWS / 2; i++) {
        static const struct {
            enum sp_field gone, low, high;
        } cases[] = {
            {SP_F_ETH_TYPE, SP_F_IP_FRAG, SP_F_ND_TLL},        {SP_F_IP_PROTO, SP_F_TCP_SRC, SP_F_ICMPV6_CODE},
            {SP_F_ICMPV6_TYPE, SP_F_ND_TARGET, SP_F_ND_TLL},   {SP_F_CT_STATE, SP_F_CT_NW_PROTO, SP_F_CT_TP_DST},
            {SP_F_CT_NW_PROTO, SP_F_CT_TP_SRC, SP_F_CT_TP_DST},
        };
        size_t c = below(sizeof cases / sizeof *cases);
        struct sp_flow *flow;

        sp_flow_build_init(&build, 1, 100, 1);
        match_random(&build);
        if (!matches(&build, cases[c].low, cases[c].high) || !remove_term(&build, cases[c].gone)) {
            continue;
        }
        assert_int_equal(sp_flow_build_done(&build, &flow), 0);
        check(flow, maybe() ? SP_OF14 : SP_OF15, SP_E_INVALID, i);
        sp_flow_unref(flow);
        n++;
    }
    assert_true(n > 500);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(round_trip), cmocka_unit_test(missing_prerequisites)};
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    state = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t) now.tv_nsec * 2654435761u + 1;
    fprintf(stderr, "seed %llu\n", (unsigned long long) state);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
