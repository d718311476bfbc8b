/* Of two entries of flow statistics that are told apart when they are decoded, none is taken for the other by its digest; and
 * what a digest leaves out says nothing about the flow. */

#include "flows/openflow/known.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <openflow/openflow.h>
#include <openvswitch/ofp-actions.h>
#include <openvswitch/ofp-flow.h>
#include <openvswitch/ofp-msgs.h>
#include <openvswitch/ofpbuf.h>
#include <openvswitch/vlog.h>

#include "flows/openflow/codec.h"
#include "tests/support/random_flow.h"

#define N_FLOWS 300
#define HEAD_14 sizeof(struct ofp11_flow_stats)
#define HEAD_15 sizeof(struct ofp15_flow_desc)

static struct sp_random random_state;

/* The entry in which a switch tells 'flow', with counters; returns its size. */
static size_t make_entry(const struct sp_flow *flow, uint8_t version, uint8_t out[2048])
{
    const struct sp_flow_mod mod = {.verb = SP_FLOW_ADD, .flow = (struct sp_flow *) flow};
    struct ofpbuf *msg = sp_codec_flow_mod(&mod, version);
    size_t head = version == SP_OF15 ? HEAD_15 : HEAD_14, before = sizeof(struct ofp_header) + sizeof(struct ofp11_flow_mod);
    const uint8_t *body = (const uint8_t *) msg->data + before;
    size_t match_size = ((size_t) ((unsigned) body[2] << 8 | body[3]) + 7) / 8 * 8, at = head + match_size;
    struct ofp11_flow_mod fm;

    memcpy(&fm, (const uint8_t *) msg->data + sizeof(struct ofp_header), sizeof fm);
    assert_true(msg->size - before + head + 16 <= 2048);
    memset(out, 0, head);
    memcpy(out + head, body, match_size);
    if (version == SP_OF15) {
        static const uint8_t stats[] = {0, 0, 0, 16, 0x80, 2, OFPXST_OFB_PACKET_COUNT << 1, 8, 0, 0, 0, 0, 0, 0, 0, 9};

        memcpy(out + at, stats, sizeof stats);
        at += sizeof stats;
        out[4] = fm.table_id;
        memcpy(out + 6, &fm.priority, 2);
        memcpy(out + 12, &fm.flags, 2);
        memcpy(out + 16, &fm.cookie, 8);
    } else {
        out[2] = fm.table_id;
        memcpy(out + 12, &fm.priority, 2);
        memcpy(out + 18, &fm.flags, 2);
        memcpy(out + 24, &fm.cookie, 8);
        out[39] = 9;
    }
    memcpy(out + at, body + match_size, msg->size - before - match_size);
    at += msg->size - before - match_size;
    out[0] = (uint8_t) (at >> 8);
    out[1] = (uint8_t) at;
    ofpbuf_delete(msg);
    return at;
}

/* The flow of an entry, or NULL if it is malformed. */
static struct sp_flow *decode(uint8_t version, const uint8_t *entry, size_t size)
{
    struct ofpbuf *msg = ofpraw_alloc(version == SP_OF15 ? OFPRAW_OFPST15_FLOW_REPLY : OFPRAW_OFPST13_FLOW_REPLY, version, size);
    struct ofputil_flow_stats stats;
    struct ofpbuf b, ofpacts;
    struct sp_flow *flow = NULL;
    enum ofpraw raw;

    ofpbuf_put(msg, entry, size);
    ofpmsg_update_length(msg);
    b = ofpbuf_const_initializer(msg->data, msg->size);
    ofpbuf_init(&ofpacts, 64);
    if (!ofpraw_pull(&raw, &b) && !ofputil_decode_flow_stats_reply(&stats, &b, false, &ofpacts)) {
        assert_int_equal(sp_codec_flow_from_stats(&stats, &flow), 0);
    }
    ofpbuf_uninit(&ofpacts);
    ofpbuf_delete(msg);
    return flow;
}

/* Changes each byte of the entry of 'flow' in turn.  Returns how many changes made another flow. */
static unsigned change_each_byte(const struct sp_flow *flow, uint8_t version)
{
    struct sp_known *known = sp_known_new(sp_random_next(&random_state));
    uint8_t entry[2048];
    size_t size = make_entry(flow, version, entry), told_size;
    uint64_t digest, changed;
    unsigned n = 0;
    struct sp_flow *told = decode(version, entry, size);

    assert_true(told && sp_flow_equal(told, flow));
    assert_true(sp_known_digest(known, version, entry, size, &told_size, &digest));
    assert_int_equal(told_size, size);
    for (size_t i = 0; i < size; i++) {
        uint8_t was = entry[i];
        struct sp_flow *other;

        entry[i] = (uint8_t) (was ^ (1 + sp_random_below(&random_state, 255)));
        other = decode(version, entry, size);
        if (sp_known_digest(known, version, entry, size, &told_size, &changed) && changed == digest) {
            if (other ? !sp_flow_equal(other, flow) : version != SP_OF15) { /* The statistics may be malformed. */
                fail_msg("seed %llu: byte %zu of %zu, 0x%02x in the place of 0x%02x: the same digest, but another flow",
                         (unsigned long long) random_state.seed, i, size, entry[i], was);
            }
        } else {
            n += other && !sp_flow_equal(other, flow);
        }
        sp_flow_unref(other);
        entry[i] = was;
    }
    sp_flow_unref(told);
    sp_known_free(known);
    return n;
}

static void no_change_is_missed(void **aux)
{
    static struct sp_flow_build build;
    unsigned n = 0;

    for (unsigned i = 0; i < N_FLOWS; i++) {
        struct sp_flow *flow;

        sp_random_flow(&random_state, &build, sp_random_next(&random_state) >> 1);
        assert_int_equal(sp_flow_build_done(&build, &flow), 0);
        n += change_each_byte(flow, SP_OF14);
        n += change_each_byte(flow, SP_OF15);
        sp_flow_unref(flow);
    }
    assert_true(n > 20 * N_FLOWS); /* The cookie and the priority alone. */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_change_is_missed)};

    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF); /* As a session does. */
    sp_random_init(&random_state);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
