#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sallyport/pipeline.h"

static struct sp_flow *done(const struct sp_flow_build *b)
{
    struct sp_flow *flow = NULL;

    assert_int_equal(sp_flow_build_done(b, &flow), 0);
    return flow;
}

static void assert_refused(const struct sp_flow_build *b)
{
    struct sp_flow *flow = NULL;

    assert_int_equal(sp_flow_build_done(b, &flow), SP_E_RANGE);
    assert_null(flow);
}

static void assert_text(const struct sp_flow_build *b, const char *expected)
{
    struct sp_flow *flow = done(b);
    char text[2048];

    assert_int_equal(sp_flow_format(flow, text, sizeof text), strlen(expected));
    assert_string_equal(text, expected);
    sp_flow_unref(flow);
}

static void test_match_value(void **state)
{
    static struct sp_flow_build b;
    struct sp_flow *flow;
    uint32_t value = 99;

    sp_flow_build_init(&b, 6, 100, SP_COOKIE_OWNER);
    sp_flow_match_uint(&b, SP_F_CT_MARK, 0x10, 0xf0);
    sp_flow_match_bytes(&b, SP_F_ETH_SRC, "\x02\0\0\0\0\1", NULL);
    sp_flow_match_exact(&b, SP_F_CT_ZONE, 0xfe01);
    sp_flow_match_exact(&b, SP_R_SET, 0x01020304);
    flow = done(&b);
    assert_false(sp_flow_match_value(flow, SP_F_CT_MARK, &value)); /* Masked. */
    assert_false(sp_flow_match_value(flow, SP_F_ETH_SRC, &value)); /* Too wide. */
    assert_false(sp_flow_match_value(flow, SP_F_IN_PORT, &value));
    assert_int_equal(value, 99);
    assert_true(sp_flow_match_value(flow, SP_F_CT_ZONE, &value));
    assert_int_equal(value, 0xfe01);
    assert_true(sp_flow_match_value(flow, SP_R_SET, &value));
    assert_int_equal(value, 0x01020304);
    sp_flow_unref(flow);
    /* What is not known to us is not looked into. */
    b.match[0] = SP_MATCH_OPAQUE;
    assert_int_equal(sp_flow_build_done_alien(&b, &flow), 0);
    assert_false(sp_flow_match_value(flow, SP_R_SET, &value));
    sp_flow_unref(flow);
}

static void test_match_bytes_are_canonical(void **state)
{
    static const uint8_t expected[] = {SP_F_ETH_TYPE, 0, 0x08, 0x00, SP_F_IP_SRC, 1,    10,   0,    0,   0,
                                       255,           0, 0,    0,    SP_F_TCP_DST, 1, 0x14, 0x50, 0xff, 0xf0};
    struct sp_cidr ten, all;
    struct sp_flow_build a, b;
    struct sp_flow *f, *g;

    assert_int_equal(sp_cidr_parse("10.0.0.0/8", &ten), 0);
    assert_int_equal(sp_cidr_parse("0.0.0.0/0", &all), 0);
    sp_flow_build_init(&a, 20, 100, 1);
    sp_flow_match_exact(&a, SP_F_ETH_TYPE, 0x0800);
    sp_flow_match_cidr(&a, SP_F_IP_SRC, SP_F_IPV6_SRC, &ten);
    sp_flow_match_uint(&a, SP_F_TCP_DST, 5200, 0xfff0);

    sp_flow_build_init(&b, 20, 100, 2);
    sp_flow_match_uint(&b, SP_F_TCP_DST, 5207, 0xfff0);       /* Bits outside of the mask. */
    sp_flow_match_uint(&b, SP_F_TCP_SRC, 5207, 0);            /* No mask: no term. */
    sp_flow_match_bytes(&b, SP_F_IP_SRC, (const uint8_t[]){10, 1, 2, 3}, (const uint8_t[]){255, 0, 0, 0});
    sp_flow_match_uint(&b, SP_F_ETH_TYPE, 0x0800, 0xffff);    /* A whole mask: none. */
    sp_flow_match_cidr(&b, SP_F_IP_DST, SP_F_IPV6_DST, &all); /* Everything: no term. */

    f = done(&a);
    g = done(&b);
    assert_int_equal(f->match_size, sizeof expected);
    assert_memory_equal(sp_flow_match(f), expected, sizeof expected);
    assert_true(sp_flow_same_key(f, g));
    assert_int_equal(f->hash, g->hash);
    assert_int_equal(sp_flow_compare(f, g), 0);
    assert_false(sp_flow_equal(f, g)); /* Other cookies. */
    sp_flow_unref(f);
    sp_flow_unref(g);
}

static void test_wide_registers_are_their_parts(void **state)
{
    static const uint8_t value[16] = {0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4};
    static const uint8_t mask[16] = {[7] = 0xff, [12] = 0xff, 0xff, 0xff, 0xff};
    struct sp_flow_build a, b;
    struct sp_flow *f, *g;

    sp_flow_build_init(&a, 0, 1, 0);
    sp_flow_match_bytes(&a, SP_F_XXREG3, value, mask);
    sp_flow_build_init(&b, 0, 1, 0);
    sp_flow_match_exact(&b, SP_F_REG(15), 4);
    sp_flow_match_uint(&b, SP_F_REG(13), 2, 0xff);
    f = done(&a);
    g = done(&b);
    assert_true(sp_flow_equal(f, g));
    sp_flow_unref(f);
    sp_flow_unref(g);

    sp_flow_build_init(&a, 0, 1, 0);
    sp_flow_match_bytes(&a, SP_F_XXREG0, value, NULL);
    assert_text(&a, "cookie=0x0,table=0,priority=1,reg0=0x1,reg1=0x2,reg2=0x3,reg3=0x4 actions=drop");
    sp_flow_match_exact(&a, SP_F_REG(2), 3);
    assert_refused(&a);
}

static void test_key_and_equality(void **state)
{
    struct sp_flow_build b;
    struct sp_flow *base, *other, *alien, *ordered[4];

    sp_flow_build_init(&b, 5, 10, 7);
    sp_flow_match_exact(&b, SP_F_IN_PORT, 1);
    sp_flow_output(&b, 2);
    base = done(&b);
    assert_int_equal(sp_flow_build_done_alien(&b, &alien), 0);
    assert_true(sp_flow_equal(base, base));
    assert_true(sp_flow_same_key(base, alien));
    assert_false(sp_flow_equal(base, alien));
    assert_false(sp_flow_equal(alien, base));
    assert_false(sp_flow_equal(alien, alien));
    sp_flow_unref(alien);

    sp_flow_output(&b, 3);
    other = done(&b);
    assert_true(sp_flow_same_key(base, other));
    assert_false(sp_flow_equal(base, other));
    sp_flow_unref(other);

    sp_flow_build_init(&b, 4, 1, 7);
    ordered[0] = done(&b);
    sp_flow_build_init(&b, 5, 11, 7);
    ordered[1] = done(&b);
    sp_flow_build_init(&b, 5, 10, 7);
    ordered[2] = done(&b);
    ordered[3] = sp_flow_ref(base);
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 0; j < 4; j++) {
            int order = sp_flow_compare(ordered[i], ordered[j]);

            assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
            assert_int_equal(sp_flow_same_key(ordered[i], ordered[j]), i == j);
        }
    }
    for (size_t i = 0; i < 4; i++) {
        sp_flow_unref(ordered[i]);
    }
    sp_flow_unref(base);
    sp_flow_unref(NULL);
}

static void test_bad_head_is_refused(void **state)
{
    struct sp_flow_build b;
    struct sp_flow *alien;

    sp_flow_build_init(&b, 254, 1, 0);
    assert_refused(&b);
    sp_flow_build_init(&b, 0, 0, 0);
    assert_refused(&b);
    assert_int_equal(sp_flow_build_done_alien(&b, &alien), 0);
    assert_true(alien->alien);
    sp_flow_unref(alien);
}

static void test_bad_match_is_refused(void **state)
{
    struct sp_flow_build b;
    struct sp_cidr none = {0}, v6;

    sp_flow_build_init(&b, 0, 1, 0);
    sp_flow_match_exact(&b, SP_F_IN_PORT, 1);
    sp_flow_match_exact(&b, SP_F_IN_PORT, 1);
    assert_refused(&b);
    sp_flow_build_init(&b, 0, 1, 0);
    sp_flow_match_exact(&b, SP_F_TCP_DST, 0x10000);
    assert_refused(&b);
    sp_flow_build_init(&b, 0, 1, 0);
    sp_flow_match_exact(&b, SP_F_IP_FRAG, 4);
    assert_refused(&b);
    sp_flow_build_init(&b, 0, 1, 0);
    sp_flow_match_exact(&b, SP_F_IPV6_SRC, 1); /* 16 bytes are no number. */
    assert_refused(&b);
    sp_flow_build_init(&b, 0, 1, 0);
    sp_flow_match_cidr(&b, SP_F_IP_SRC, SP_F_IPV6_SRC, &none);
    assert_refused(&b);
    assert_int_equal(sp_cidr_parse("::1", &v6), 0);
    sp_flow_build_init(&b, 0, 1, 0);
    sp_flow_match_cidr(&b, SP_F_IP_SRC, SP_F_IP_DST, &v6); /* No field for the family. */
    assert_refused(&b);

    sp_flow_build_init(&b, 0, 1, 0);
    for (unsigned f = 0; f < SP_F_XXREG0; f++) { /* More than fits. */
        sp_flow_match_bytes(&b, f, (const uint8_t[16]){1}, (const uint8_t[16]){1});
    }
    assert_refused(&b);
}

static void test_bad_action_is_refused(void **state)
{
    struct sp_flow_build start, b;

    sp_flow_build_init(&start, 10, 1, 0);
    b = start, sp_flow_goto(&b, 10);
    assert_refused(&b);
    b = start, sp_flow_goto(&b, 254);
    assert_refused(&b);
    b = start, sp_flow_goto(&b, 11), sp_flow_output(&b, 1);
    assert_refused(&b);
    b = start, sp_flow_resubmit(&b, 255);
    assert_refused(&b);
    b = start, sp_flow_load(&b, SP_F_REG(0), 0, 8, 256);
    assert_refused(&b);
    b = start, sp_flow_load(&b, SP_F_REG(0), 16, 17, 0);
    assert_refused(&b);
    b = start, sp_flow_load(&b, SP_F_XXREG0, 0, 65, 0);
    assert_refused(&b);
    b = start, sp_flow_load(&b, SP_F_REG(0), 0, 0, 0);
    assert_refused(&b);
    b = start, sp_flow_move(&b, SP_F_IP_SRC, 0, SP_F_IN_PORT, 0, 32);
    assert_refused(&b);
    b = start, sp_flow_copy(&b, SP_F_IP_SRC, 1, SP_F_REG(3), 0, 32);
    assert_refused(&b);
    b = start, sp_flow_copy(&b, SP_F_IP_SRC, 0, SP_F_REG(3), 1, 32);
    assert_refused(&b);
    b = start, sp_flow_ct(&b, SP_F_IP_PROTO, 11);
    assert_refused(&b);
    b = start, sp_flow_ct(&b, SP_R_ZONE, 255);
    assert_refused(&b);
    b = start, sp_flow_ct_commit(&b, SP_R_ZONE, SP_F_IN_PORT, 1);
    assert_refused(&b);
    b = start, sp_flow_ct_commit(&b, SP_R_ZONE, SP_R_MARK, 255);
    assert_refused(&b);
    b = start, sp_flow_output_reg(&b, SP_F_IN_PORT);
    assert_refused(&b);
    b = start, sp_flow_learn_mac(&b, 255, 1, 1, 1, 1, SP_R_VLAN, SP_R_OUT);
    assert_refused(&b);

    b = start;
    for (size_t i = 0; i < SP_ACTIONS_SIZE_MAX / 3; i++) {
        sp_flow_output(&b, 1);
    }
    assert_false(b.failed);
    sp_flow_output(&b, 1);
    assert_refused(&b);
}

static const struct sp_cidr *cidr(const char *text)
{
    static struct sp_cidr c;

    assert_int_equal(sp_cidr_parse(text, &c), 0);
    return &c;
}

/* Every field and every operation is in one of these. */
static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1}, group_bit[6] = {1};

static void build_classify(struct sp_flow_build *b)
{
    sp_flow_match_exact(b, SP_F_IN_PORT, 1);
    sp_flow_match_bytes(b, SP_F_ETH_SRC, mac, NULL);
    sp_flow_match_uint(b, SP_F_VLAN_TCI, 0, 0x1000);
    sp_flow_load(b, SP_R_ZONE, 0, 16, 7);
    sp_flow_load_reg(b, SP_R_PHASE, 1);
    sp_flow_load(b, SP_R_CLAIM, 64, 64, 0);
    sp_flow_goto(b, 1);
}

static void build_multicast(struct sp_flow_build *b)
{
    sp_flow_match_exact(b, SP_F_IN_PORT, 0xfffe);
    sp_flow_match_bytes(b, SP_F_ETH_DST, group_bit, group_bit);
}

static void build_arp(struct sp_flow_build *b)
{
    sp_flow_match_exact(b, SP_F_ETH_TYPE, 0x0806);
    sp_flow_match_exact(b, SP_F_ARP_OP, 1);
    sp_flow_match_cidr(b, SP_F_ARP_SPA, SP_F_ND_TARGET, cidr("10.9.0.0/24"));
    sp_flow_match_cidr(b, SP_F_ARP_TPA, SP_F_ND_TARGET, cidr("10.9.0.0/24"));
    sp_flow_match_bytes(b, SP_F_ARP_SHA, mac, NULL);
    sp_flow_match_bytes(b, SP_F_ARP_THA, mac, NULL);
    sp_flow_move(b, SP_F_ARP_SPA, 0, SP_F_REG(15), 0, 32);
    sp_flow_move(b, SP_F_ARP_SHA, 0, SP_R_CLAIM, 0, 48);
    sp_flow_resubmit(b, 2);
}

static void build_neighbour_solicitation(struct sp_flow_build *b)
{
    sp_flow_match_exact(b, SP_F_ETH_TYPE, 0x86dd);
    sp_flow_match_exact(b, SP_F_IP_PROTO, 58);
    sp_flow_match_exact(b, SP_F_IP_TTL, 255);
    sp_flow_match_exact(b, SP_F_ICMPV6_TYPE, 135);
    sp_flow_match_exact(b, SP_F_ICMPV6_CODE, 0);
    sp_flow_match_cidr(b, SP_F_ARP_SPA, SP_F_ND_TARGET, cidr("2001:db8::1"));
    sp_flow_match_bytes(b, SP_F_ND_SLL, mac, NULL);
    sp_flow_move(b, SP_F_ND_TARGET, 0, SP_R_CLAIM, 0, 128);
    sp_flow_goto(b, 2);
}

static void build_neighbour_advertisement(struct sp_flow_build *b)
{
    sp_flow_match_exact(b, SP_F_ETH_TYPE, 0x86dd);
    sp_flow_match_exact(b, SP_F_IP_PROTO, 58);
    sp_flow_match_exact(b, SP_F_ICMPV6_TYPE, 136);
    sp_flow_match_exact(b, SP_F_ICMPV6_CODE, 0);
    sp_flow_match_bytes(b, SP_F_ND_TLL, mac, NULL);
    sp_flow_move(b, SP_F_ND_TLL, 0, SP_R_CLAIM, 0, 48);
}

static void build_tcp(struct sp_flow_build *b)
{
    sp_flow_match_exact(b, SP_F_ETH_TYPE, 0x0800);
    sp_flow_match_exact(b, SP_F_IP_PROTO, 6);
    sp_flow_match_exact(b, SP_F_IP_FRAG, 0);
    sp_flow_match_cidr(b, SP_F_IP_SRC, SP_F_IPV6_SRC, cidr("10.9.0.0/24"));
    sp_flow_match_cidr(b, SP_F_IP_DST, SP_F_IPV6_DST, cidr("10.9.0.0/24"));
    sp_flow_match_exact(b, SP_F_TCP_SRC, 1);
    sp_flow_match_uint(b, SP_F_TCP_DST, 0x1450, 0xfff0);
    sp_flow_output(b, 3);
    sp_flow_output(b, 0xfffe);
    sp_flow_output(b, 0xfff8);
}

static void build_udp6(struct sp_flow_build *b)
{
    sp_flow_match_exact(b, SP_F_ETH_TYPE, 0x86dd);
    sp_flow_match_exact(b, SP_F_IP_PROTO, 17);
    sp_flow_match_exact(b, SP_F_IP_FRAG, 1);
    sp_flow_match_cidr(b, SP_F_IP_SRC, SP_F_IPV6_SRC, cidr("2001:db8::1"));
    sp_flow_match_cidr(b, SP_F_IP_DST, SP_F_IPV6_DST, cidr("2001:db8::/64"));
    sp_flow_match_exact(b, SP_F_UDP_SRC, 68);
    sp_flow_match_exact(b, SP_F_UDP_DST, 67);
}

static void build_sctp(struct sp_flow_build *b)
{
    sp_flow_match_exact(b, SP_F_ETH_TYPE, 0x0800);
    sp_flow_match_exact(b, SP_F_IP_PROTO, 132);
    sp_flow_match_uint(b, SP_F_IP_FRAG, 0, 2);
    sp_flow_match_exact(b, SP_F_SCTP_SRC, 1);
    sp_flow_match_exact(b, SP_F_SCTP_DST, 2);
}

static void build_icmp(struct sp_flow_build *b)
{
    sp_flow_match_exact(b, SP_F_ETH_TYPE, 0x0800);
    sp_flow_match_exact(b, SP_F_IP_PROTO, 1);
    sp_flow_match_uint(b, SP_F_IP_FRAG, 1, 1);
    sp_flow_match_exact(b, SP_F_ICMP_TYPE, 8);
    sp_flow_match_exact(b, SP_F_ICMP_CODE, 0);
}

static void build_later_fragment(struct sp_flow_build *b)
{
    sp_flow_match_exact(b, SP_F_ETH_TYPE, 0x0800);
    sp_flow_match_exact(b, SP_F_IP_FRAG, 3);
    sp_flow_match_exact(b, SP_R_SET, 5);
    sp_flow_load_reg(b, SP_R_VERSION, 3);
    sp_flow_ct(b, SP_R_ZONE, SP_T_TRACKED);
}

static void build_rule4(struct sp_flow_build *b)
{
    sp_flow_match_exact(b, SP_F_ETH_TYPE, 0x0800);
    sp_flow_match_uint(b, SP_F_CT_STATE, SP_CT_TRK, SP_CT_TRK | SP_CT_INV);
    sp_flow_match_exact(b, SP_F_CT_NW_PROTO, 6);
    sp_flow_match_cidr(b, SP_F_CT_NW_SRC, SP_F_CT_IPV6_SRC, cidr("10.9.0.0/24"));
    sp_flow_match_cidr(b, SP_F_CT_NW_DST, SP_F_CT_IPV6_DST, cidr("10.9.0.0/24"));
    sp_flow_match_exact(b, SP_F_CT_TP_SRC, 9);
    sp_flow_match_uint(b, SP_F_CT_TP_DST, 0x1450, 0xfff0);
    sp_flow_match_exact(b, SP_R_SET, 2);
    sp_flow_load_reg(b, SP_R_MARK, 9);
    sp_flow_goto(b, SP_T_STAMP);
}

static void build_tracked6(struct sp_flow_build *b)
{
    sp_flow_match_exact(b, SP_F_ETH_TYPE, 0x86dd);
    sp_flow_match_uint(b, SP_F_CT_STATE, SP_CT_TRK | SP_CT_NEW, SP_CT_TRK | SP_CT_NEW | 0x40);
    sp_flow_match_exact(b, SP_F_CT_ZONE, 7);
    sp_flow_match_exact(b, SP_F_CT_MARK, 0x1234);
    sp_flow_match_exact(b, SP_F_CT_NW_PROTO, 17);
    sp_flow_match_cidr(b, SP_F_CT_NW_SRC, SP_F_CT_IPV6_SRC, cidr("2001:db8::1"));
    sp_flow_match_cidr(b, SP_F_CT_NW_DST, SP_F_CT_IPV6_DST, cidr("2001:db8::/64"));
}

static void build_commit_mark(struct sp_flow_build *b)
{
    sp_flow_match_exact(b, SP_F_ETH_TYPE, 0x0800);
    sp_flow_ct_commit(b, SP_R_ZONE, SP_R_MARK, SP_T_TRACKED);
    sp_flow_goto(b, SP_T_PASSED);
}

static void build_commit(struct sp_flow_build *b)
{
    sp_flow_match_exact(b, SP_F_ETH_TYPE, 0x0800);
    sp_flow_ct_commit(b, SP_R_ZONE, SP_N_FIELDS, SP_T_TRACKED);
}

static void build_learn(struct sp_flow_build *b)
{
    sp_flow_match_uint(b, SP_R_OUT, 0x10, 0xf0);
    sp_flow_match_exact(b, SP_F_IN_PORT, 2);
    sp_flow_learn_mac(b, SP_T_LEARNED, 50, 300, 4096, SP_COOKIE(SP_COOKIE_LEARNED, 0), SP_R_VLAN, SP_R_OUT);
    sp_flow_push_vlan(b);
    sp_flow_move(b, SP_R_VLAN, 0, SP_F_VLAN_TCI, 0, 12);
    sp_flow_output_reg(b, SP_R_OUT);
    sp_flow_pop_vlan(b);
    sp_flow_load(b, SP_R_ORIGIN, 31, 1, 1);
}

static void build_report(struct sp_flow_build *b)
{
    sp_flow_match_uint(b, SP_R_ZONE, 3, 0x3f);
    sp_flow_meter(b, SP_METER_FIRST + 3);
    sp_flow_controller(b, 128, SP_CONTROLLER_ID);
}

/* Each with the text that ovs-ofctl(8) and ovs-actions(7) document for it. */
static const struct {
    uint8_t table;
    void (*build)(struct sp_flow_build *);
    const char *text;
} documented[] = {
    {0, build_classify,
     "in_port=1,dl_src=02:00:00:00:00:01,vlan_tci=0x0000/0x1000 "
     "actions=load:0x7->NXM_NX_REG6[0..15],load:0x1->NXM_NX_REG5[],load:0->NXM_NX_XXREG3[64..127],goto_table:1"},
    {0, build_multicast,
     "in_port=LOCAL,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00 actions=drop"},
    {1, build_arp,
     "arp,arp_spa=10.9.0.0/24,arp_tpa=10.9.0.0/24,arp_op=1,arp_sha=02:00:00:00:00:01,arp_tha=02:00:00:00:00:01 "
     "actions=move:NXM_OF_ARP_SPA[]->NXM_NX_REG15[],move:NXM_NX_ARP_SHA[]->NXM_NX_XXREG3[0..47],resubmit(,2)"},
    {1, build_neighbour_solicitation,
     "icmp6,nw_ttl=255,icmp_type=135,icmp_code=0,nd_target=2001:db8::1,nd_sll=02:00:00:00:00:01 "
     "actions=move:NXM_NX_ND_TARGET[]->NXM_NX_XXREG3[],goto_table:2"},
    {1, build_neighbour_advertisement,
     "icmp6,icmp_type=136,icmp_code=0,nd_tll=02:00:00:00:00:01 actions=move:NXM_NX_ND_TLL[]->NXM_NX_XXREG3[0..47]"},
    {2, build_tcp,
     "tcp,nw_src=10.9.0.0/24,nw_dst=10.9.0.0/24,nw_frag=no,tp_src=1,tp_dst=0x1450/0xfff0 actions=output:3,output:LOCAL,IN_PORT"},
    {2, build_udp6,
     "udp6,ipv6_src=2001:db8::1,ipv6_dst=2001:db8::/64,nw_frag=first,tp_src=68,tp_dst=67 actions=drop"},
    {2, build_sctp,
     "sctp,nw_frag=not_later,tp_src=1,tp_dst=2 actions=drop"},
    {2, build_icmp,
     "icmp,nw_frag=yes,icmp_type=8,icmp_code=0 actions=drop"},
    {8, build_later_fragment,
     "ip,nw_frag=later,reg2=0x5 actions=load:0x3->NXM_NX_REG3[],ct(table=10,zone=NXM_NX_REG6[0..15])"},
    {21, build_rule4,
     "ct_state=-inv+trk,ct_nw_src=10.9.0.0/24,ct_nw_dst=10.9.0.0/24,ct_nw_proto=6,ct_tp_src=9,ct_tp_dst=0x1450/0xfff0,ip,"
     "reg2=0x2 actions=load:0x9->NXM_NX_REG7[],goto_table:24"},
    {21, build_tracked6,
     "ct_state=+new+trk-snat,ct_zone=7,ct_mark=0x1234,ct_ipv6_src=2001:db8::1,ct_ipv6_dst=2001:db8::/64,"
     "ct_nw_proto=17,ipv6 actions=drop"},
    {25, build_commit_mark,
     "ip actions=ct(commit,table=10,zone=NXM_NX_REG6[0..15],exec(move:NXM_NX_REG7[]->NXM_NX_CT_MARK[])),goto_table:27"},
    {25, build_commit,
     "ip actions=ct(commit,table=10,zone=NXM_NX_REG6[0..15])"},
    {30, build_learn,
     "reg8=0x10/0xf0,in_port=2 actions=learn(table=35,idle_timeout=300,priority=50,delete_learned,"
     "cookie=0x5350080000000000,limit=4096,"
     "NXM_NX_REG1[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:NXM_OF_IN_PORT[]->NXM_NX_REG8[0..15]),"
     "push_vlan:0x8100,move:NXM_NX_REG1[0..11]->NXM_OF_VLAN_TCI[0..11],output:NXM_NX_REG8[0..15],pop_vlan,"
     "load:0x1->NXM_NX_REG0[31]"},
    {26, build_report,
     "reg6=0x3/0x3f actions=meter:1397751811,controller(max_len=128,id=21328)"},
};

/* Has ovs-ofctl read the flows of 'text' and print them in its own form into 'out'. */
static void parse_flows(const char *text, char *out, size_t size)
{
    char path[] = "/tmp/sallyport-flow-XXXXXX", command[256];
    int fd = mkstemp(path);
    size_t n;
    FILE *f;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    snprintf(command, sizeof command, "ovs-ofctl -O OpenFlow15 parse-flows %s 2>&1", path);
    f = popen(command, "r");
    assert_non_null(f);
    n = fread(out, 1, size - 1, f);
    out[n] = '\0';
    if (pclose(f)) {
        unlink(path);
        fail_msg("ovs-ofctl: %s for\n%s", out, text);
    }
    unlink(path);
}

/* Both what this prints and the documented text must mean one flow to ovs-ofctl. */
static void test_format_is_what_ovs_ofctl_reads(void **state)
{
    for (size_t i = 0; i < sizeof documented / sizeof documented[0]; i++) {
        char ours[2048], theirs[2048], ours_read[4096], theirs_read[4096];
        struct sp_flow_build b;
        struct sp_flow *flow;

        sp_flow_build_init(&b, documented[i].table, 100, SP_COOKIE(SP_COOKIE_RULE, i));
        documented[i].build(&b);
        flow = done(&b);
        assert_true(sp_flow_format(flow, ours, sizeof ours) < sizeof ours);
        snprintf(theirs, sizeof theirs, "cookie=0x%llx,table=%u,priority=100,%s", (unsigned long long) flow->cookie, flow->table,
                 documented[i].text);
        parse_flows(ours, ours_read, sizeof ours_read);
        parse_flows(theirs, theirs_read, sizeof theirs_read);
        if (!strstr(ours_read, ": ADD ")) {
            fail_msg("%s: %s", ours, ours_read);
        }
        assert_string_equal(ours_read, theirs_read);
        sp_flow_unref(flow);
    }
}

static void test_format_cuts(void **state)
{
    struct sp_flow_build b;
    struct sp_flow *flow, *alien;
    char whole[256], text[256];
    size_t len;

    sp_flow_build_init(&b, 1, 2, 3);
    sp_flow_match_exact(&b, SP_F_IN_PORT, 4);
    sp_flow_output(&b, 5);
    flow = done(&b);
    len = sp_flow_format(flow, whole, sizeof whole);
    assert_string_equal(whole, "cookie=0x3,table=1,priority=2,in_port=4 actions=output:5");
    assert_int_equal(len, strlen(whole));
    assert_int_equal(sp_flow_format(flow, NULL, 0), len);
    for (size_t size = 1; size <= len + 1; size++) {
        memset(text, 'x', sizeof text);
        assert_int_equal(sp_flow_format(flow, text, size), len);
        assert_int_equal(strlen(text), size - 1);
        assert_memory_equal(text, whole, size - 1);
        assert_int_equal(text[size], 'x');
    }
    assert_int_equal(sp_flow_build_done_alien(&b, &alien), 0);
    sp_flow_format(alien, text, sizeof text);
    assert_string_equal(text, "cookie=0x3,table=1,priority=2,in_port=4 actions=(unknown)");
    sp_flow_unref(alien);
    sp_flow_unref(flow);
}

static void test_list(void **state)
{
    struct sp_flow_build b;
    struct sp_flow_list list;
    struct sp_flow *flow;

    sp_flow_list_init(&list);
    for (unsigned i = 1; i <= 100; i++) {
        sp_flow_build_init(&b, 0, (uint16_t) i, 0);
        assert_int_equal(sp_flow_list_add(&list, &b), 0);
    }
    sp_flow_build_init(&b, 0, 0, 0);
    assert_int_equal(sp_flow_list_add(&list, &b), SP_E_RANGE);
    assert_int_equal(list.n, 100);
    flow = sp_flow_ref(list.flows[99]);
    assert_int_equal(sp_flow_list_take(&list, flow), 0);
    assert_int_equal(flow->refs, 2);
    assert_int_equal(list.flows[100]->priority, 100);
    sp_flow_list_clear(&list);
    assert_int_equal(list.n, 0);
    sp_flow_list_clear(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_match_value),
        cmocka_unit_test(test_match_bytes_are_canonical),
        cmocka_unit_test(test_wide_registers_are_their_parts),
        cmocka_unit_test(test_key_and_equality),
        cmocka_unit_test(test_bad_head_is_refused),
        cmocka_unit_test(test_bad_match_is_refused),
        cmocka_unit_test(test_bad_action_is_refused),
        cmocka_unit_test(test_format_is_what_ovs_ofctl_reads),
        cmocka_unit_test(test_format_cuts),
        cmocka_unit_test(test_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
