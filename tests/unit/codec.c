/* The codec's edges: what cannot be encoded, what comes back as an alien, what a deletion says. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include <openvswitch/match.h>
#include <openvswitch/meta-flow.h>
#include <openvswitch/ofp-actions.h>
#include <openvswitch/ofp-flow.h>
#include <openvswitch/ofp-msgs.h>
#include <openvswitch/ofpbuf.h>

#include "flows/openflow/codec.h"
#include "flows/openflow/codec_actions.h"
#include "sallyport/pipeline.h"

#define OWN SP_COOKIE(SP_COOKIE_RULE, 7)

static struct sp_flow_build build;

static struct sp_flow *done(void)
{
    struct sp_flow *flow;

    assert_int_equal(sp_flow_build_done(&build, &flow), 0);
    return flow;
}

/* The flow that ovs-ofctl's 'text' means, as a switch would report it. */
static struct sp_flow *from_text(const char *text)
{
    enum ofputil_protocol usable;
    struct ofputil_flow_stats stats = {.idle_age = -1};
    struct ofputil_flow_mod fm;
    struct sp_flow *flow;
    char *error = parse_ofp_flow_mod_str(&fm, text, NULL, NULL, OFPFC_ADD, &usable);

    if (error) {
        fail_msg("%s: %s", text, error);
    }
    minimatch_expand(&fm.match, &stats.match);
    stats.cookie = fm.new_cookie;
    stats.table_id = fm.table_id;
    stats.priority = (uint16_t) fm.priority;
    stats.idle_timeout = fm.idle_timeout;
    stats.hard_timeout = fm.hard_timeout;
    stats.importance = fm.importance;
    stats.flags = fm.flags;
    stats.ofpacts = fm.ofpacts;
    stats.ofpacts_len = fm.ofpacts_len;
    assert_int_equal(sp_codec_flow_from_stats(&stats, &flow), 0);
    minimatch_destroy(&fm.match);
    free(fm.ofpacts);
    return flow;
}

static void widths(void **aux)
{
    for (unsigned field = 0; field < SP_N_FIELDS; field++) {
        const struct mf_field *mf = sp_codec_field((uint8_t) field);

        assert_int_equal(mf->n_bytes, sp_field_size(field));
        assert_int_equal(sp_codec_field_from(mf), field);
    }
    assert_null(sp_codec_field(SP_N_FIELDS));
    assert_int_equal(sp_codec_field_from(mf_from_id(MFF_PKT_MARK)), SP_N_FIELDS);
}

static void from_a_switch(void **aux)
{
    static const char *const known[] = {
        "table=3,priority=5,cookie=0x5350000000000001,actions=drop",
        "table=3,priority=5,ip,nw_src=10.1.2.3/255.0.255.0,actions=output:3",
        "table=3,priority=5,tcp6,tp_dst=0x1400/0xfff0,actions=resubmit(,9)",
        "table=3,priority=5,ip,actions=ct(table=10,zone=NXM_NX_REG6[0..15])",
        "table=3,priority=5,ip,actions=ct(commit,table=9,zone=NXM_NX_REG6[0..15],exec(move:NXM_NX_REG7[]->NXM_NX_CT_MARK[]))",
        "table=3,priority=5,vlan_tci=0x1000/0x1000,actions=pop_vlan,load:5->NXM_NX_REG1[0..11],goto_table:4",
        ("table=3,priority=5,actions=learn(table=35,priority=100,idle_timeout=300,limit=4096,delete_learned,NXM_NX_REG1[0..11],"
         "NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:NXM_OF_IN_PORT[]->NXM_NX_REG8[0..15])"),
        "table=3,priority=5,actions=meter:7,controller(max_len=128,id=9)",
    };
    static const char *const aliens[] = {
        "table=3,priority=5,idle_timeout=9,actions=drop",
        "table=3,priority=5,hard_timeout=9,actions=drop",
        "table=3,priority=5,importance=9,actions=drop",
        "table=3,priority=5,send_flow_rem,actions=drop",
        "table=3,priority=5,metadata=1,actions=drop",
        "table=3,priority=5,ip,nw_tos=4,actions=drop",
        "table=3,priority=5,tun_id=4,actions=drop",
        "table=3,priority=5,ct_label=4,actions=drop",
        "table=3,priority=5,tcp,tcp_flags=+syn,actions=drop",
        "table=3,priority=5,mpls,mpls_label=5,actions=drop",
        "table=3,priority=5,actions=normal,controller",
        "table=3,priority=5,actions=group:3",
        "table=3,priority=5,actions=controller(max_len=128,id=9,meter_id=5)",
        "table=3,priority=5,actions=controller(max_len=128,id=9,reason=no_match)",
        "table=3,priority=5,actions=controller(max_len=128,id=9,userdata=01)",
        "table=3,priority=5,actions=controller(max_len=128,id=9,pause)",
        "table=3,priority=5,actions=resubmit(4,9)",
        "table=3,priority=5,actions=push_vlan:0x88a8",
        "table=3,priority=5,actions=load:1->NXM_NX_PKT_MARK[]",
        "table=3,priority=5,actions=set_field:5/0x5->reg1",
        "table=3,priority=5,actions=move:NXM_NX_PKT_MARK[]->NXM_NX_REG1[]",
        "table=3,priority=5,actions=output:NXM_NX_REG1[16..31]",
        "table=3,priority=5,actions=output(port=1,max_len=100)",
        "table=3,priority=5,actions=write_metadata:1",
        "table=3,priority=5,actions=clear_actions,goto_table:4",
        "table=3,priority=5,actions=write_actions(output:1)",
        "table=3,priority=5,ip,actions=ct(table=10,zone=5)",
        "table=3,priority=5,ip,actions=ct(commit,force,table=9,zone=NXM_NX_REG6[0..15])",
        "table=3,priority=5,ip,actions=ct(commit,zone=NXM_NX_REG6[0..15])",
        "table=3,priority=5,ip,actions=ct(commit,table=9,zone=NXM_NX_REG6[16..31])",
        "table=3,priority=5,ip,actions=ct(commit,nat,table=9,zone=NXM_NX_REG6[0..15])",
        "table=3,priority=5,ip,actions=ct(commit,table=9,zone=NXM_NX_REG6[0..15],exec(load:1->NXM_NX_CT_MARK[]))",
        ("table=3,priority=5,ip,actions=ct(commit,table=9,zone=NXM_NX_REG6[0..15],"
         "exec(move:NXM_NX_REG7[0..15]->NXM_NX_CT_MARK[0..15]))"),
        "table=3,priority=5,tcp,actions=ct(commit,table=9,alg=ftp,zone=NXM_NX_REG6[0..15])",
        "table=3,priority=5,actions=learn(table=35)",
        "table=3,priority=5,actions=learn(table=35,delete_learned,NXM_NX_REG1[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[])",
        ("table=3,priority=5,actions=learn(table=35,delete_learned,NXM_NX_REG1[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],"
         "load:NXM_OF_IN_PORT[]->NXM_NX_REG8[16..31])"),
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct sp_flow *flow = from_text(known[i]);

        if (flow->alien) {
            fail_msg("%s: an alien", known[i]);
        }
        sp_flow_unref(flow);
    }
    for (size_t i = 0; i < sizeof aliens / sizeof *aliens; i++) {
        struct sp_flow *flow = from_text(aliens[i]);

        if (!flow->alien || flow->table != 3 || flow->priority != 5) {
            fail_msg("%s: not an alien", aliens[i]);
        }
        sp_flow_unref(flow);
    }
}

static void alien_has_the_right_key(void **aux)
{
    struct sp_flow *alien = from_text("table=3,priority=5,tcp,tp_dst=22,actions=group:3"), *flow;

    sp_flow_build_init(&build, 3, 5, OWN);
    sp_flow_match_exact(&build, SP_F_ETH_TYPE, 0x0800);
    sp_flow_match_exact(&build, SP_F_IP_PROTO, 6);
    sp_flow_match_exact(&build, SP_F_TCP_DST, 22);
    flow = done();
    assert_true(sp_flow_same_key(alien, flow));
    assert_false(sp_flow_equal(alien, flow));
    sp_flow_unref(alien);
    sp_flow_unref(flow);
}

/* A flow with something unknown in its match has a key of its own, and can be removed. */
static void opaque_match(void **aux)
{
    static const char text[] = "table=3,priority=5,tcp,tp_dst=22,reg1=7/0xf,metadata=0x17/0xff,ct_label=4,nw_tos=4,actions=drop";
    struct sp_flow *alien = from_text(text), *known = from_text("table=3,priority=5,tcp,tp_dst=22,reg1=7/0xf,actions=drop");
    struct sp_flow *again;
    struct sp_flow_mod mod = {.verb = SP_FLOW_DELETE, .flow = alien};
    char out[256];

    assert_false(sp_flow_same_key(alien, known));
    for (uint8_t version = SP_OF14; version <= SP_OF15; version++) {
        struct ofpbuf *msg = sp_codec_flow_mod(&mod, version);
        uint64_t stub[64];
        struct ofpbuf ofpacts = OFPBUF_STUB_INITIALIZER(stub);
        struct ofputil_flow_stats stats = {.idle_age = -1, .table_id = 3, .priority = 5};
        struct ofputil_flow_mod fm;

        assert_non_null(msg);
        assert_int_equal(ofputil_decode_flow_mod(&fm, msg->data, ofputil_protocol_from_ofp_version(version), NULL, NULL, &ofpacts,
                                                 OFPP_MAX, 255), 0);
        minimatch_expand(&fm.match, &stats.match);
        assert_true(stats.match.flow.metadata == htobe64(0x17));
        assert_int_equal(sp_codec_flow_from_stats(&stats, &again), 0);
        assert_true(sp_flow_same_key(alien, again));
        sp_flow_unref(again);
        minimatch_destroy(&fm.match);
        ofpbuf_delete(msg);
    }
    mod.verb = SP_FLOW_ADD;
    assert_null(sp_codec_flow_mod(&mod, SP_OF15));
    sp_flow_format(alien, out, sizeof out);
    assert_string_equal(out, "cookie=0x0,table=3,priority=5,(unknown) actions=(unknown)");
    sp_flow_unref(alien);
    sp_flow_unref(known);
}

static void deletion(void **aux)
{
    struct ofputil_flow_mod fm;
    uint64_t stub[64];
    struct ofpbuf ofpacts = OFPBUF_STUB_INITIALIZER(stub);
    struct sp_flow_mod mod = {.verb = SP_FLOW_DELETE};
    struct ofpbuf *msg;
    struct match match;

    sp_flow_build_init(&build, 3, 5, OWN);
    sp_flow_match_exact(&build, SP_F_REG(1), 9);
    sp_flow_output(&build, 4);
    mod.flow = done();
    msg = sp_codec_flow_mod(&mod, SP_OF15);
    assert_non_null(msg);
    assert_int_equal(ofputil_decode_flow_mod(&fm, msg->data, OFPUTIL_P_OF15_OXM, NULL, NULL, &ofpacts, OFPP_MAX, 255), 0);
    assert_int_equal(fm.command, OFPFC_DELETE_STRICT);
    assert_int_equal(fm.table_id, 3);
    assert_int_equal(fm.priority, 5);
    assert_true(fm.cookie == htobe64(SP_COOKIE_OWNER));
    assert_true(fm.cookie_mask == htobe64(SP_COOKIE_OWNER_MASK));
    assert_int_equal(fm.out_port, OFPP_ANY);
    assert_int_equal(fm.out_group, OFPG_ANY);
    assert_int_equal(fm.ofpacts_len, 0);
    minimatch_expand(&fm.match, &match);
    assert_int_equal(match.flow.regs[1], 9);
    minimatch_destroy(&fm.match);
    ofpbuf_delete(msg);
    sp_flow_unref(mod.flow);
}

static void assert_not_encodable(void)
{
    struct sp_flow_mod mod = {.verb = SP_FLOW_ADD, .flow = done()};

    assert_null(sp_codec_flow_mod(&mod, SP_OF14));
    assert_null(sp_codec_flow_mod(&mod, SP_OF15));
    assert_int_equal(sp_codec_check(mod.flow, SP_OF15), SP_E_INVALID);
    sp_flow_unref(mod.flow);
}

static void not_encodable(void **aux)
{
    struct sp_flow_mod mod = {.verb = SP_FLOW_ADD};
    struct ofpbuf *msg;

    sp_flow_build_init(&build, 3, 5, OWN);
    sp_flow_match_uint(&build, SP_F_CT_ZONE, 0x100, 0xff00); /* Takes no mask. */
    assert_not_encodable();

    sp_flow_build_init(&build, 3, 5, OWN);
    sp_flow_load(&build, SP_F_CT_STATE, 0, 8, 1); /* Read-only. */
    assert_not_encodable();

    sp_flow_build_init(&build, 3, 5, OWN); /* Longer than a message can be: 5,000 times 16 bytes. */
    for (unsigned i = 0; i < 5000; i++) {
        sp_flow_resubmit(&build, 9);
    }
    assert_not_encodable();

    sp_flow_build_init(&build, 3, 5, OWN); /* And one that just fits with its bundle around it. */
    for (unsigned i = 0; i < 4000; i++) {
        sp_flow_resubmit(&build, 9);
    }
    mod.flow = done();
    assert_int_equal(sp_codec_check(mod.flow, SP_OF15), 0);
    sp_flow_unref(mod.flow);

    assert_int_equal(sp_flow_build_done_alien(&build, &mod.flow), 0);
    assert_null(sp_codec_flow_mod(&mod, SP_OF15)); /* Nobody knows what it does, ... */
    mod.verb = SP_FLOW_DELETE;
    msg = sp_codec_flow_mod(&mod, SP_OF15); /* ... but it can be removed. */
    assert_non_null(msg);
    ofpbuf_delete(msg);
    sp_flow_unref(mod.flow);
}

/* Operations that no builder makes, as they might come from damaged memory. */
static void damaged_operations(void **aux)
{
    static const struct {
        const char *bytes;
        size_t size;
    } cases[] = {
        {"\xff", 1},                                          /* No such operation. */
        {"\x00\x01", 2},                                      /* An output cut short. */
        {"\x04\xff\x00\x20\0\0\0\0\0\0\0\1", 12},             /* A load into no field, ... */
        {"\x04\x28\x00\x21\0\0\0\0\0\0\0\1", 12},             /* ... of 33 bits into 32, ... */
        {"\x04\x38\x00\x41\0\0\0\0\0\0\0\1", 12},             /* ... of 65 bits. */
        {"\x05\x28\x00\x29\x10\x20", 6},                      /* A move of 32 bits to bit 16. */
        {"\x06\x00\x28\x00\x0a\x29", 6},                      /* Ct_mark set without a commit. */
        {"\x06\x80\x28\x00\x0a\xff", 6},                      /* An unknown flag of ct(). */
        {"\x06\x01\x28\x11\xff\xff", 6},                      /* A zone of bits 17 to 32. */
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ofpbuf *ofpacts = ofpbuf_new(64);

        if (sp_codec_actions_encode((const uint8_t *) cases[i].bytes, cases[i].size, ofpacts)) {
            fail_msg("case %zu encodes", i);
        }
        ofpbuf_delete(ofpacts);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(widths),
        cmocka_unit_test(from_a_switch),
        cmocka_unit_test(alien_has_the_right_key),
        cmocka_unit_test(opaque_match),
        cmocka_unit_test(deletion),
        cmocka_unit_test(not_encodable),
        cmocka_unit_test(damaged_operations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
