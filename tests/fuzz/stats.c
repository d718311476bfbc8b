/* Flow statistics and errors as a switch may write them.  The first byte: 0x01 OpenFlow 1.5 (else 1.4), 0x02 an error. */

#include <arpa/inet.h>
#include <string.h>

#include <openflow/openflow.h>
#include <openvswitch/ofp-actions.h>
#include <openvswitch/ofp-flow.h>
#include <openvswitch/ofp-msgs.h>
#include <openvswitch/ofpbuf.h>
#include <openvswitch/vlog.h>

#include "flows/openflow/session_state.h"
#include "tests/fuzz/fuzz.h"

#define BODY_MAX 60000

/* Whether a switch could take 'flow' at all: statistics may tell of actions whose prerequisites the match does not give. */
static bool is_possible(struct sp_flow *flow, uint8_t version)
{
    struct ofpbuf *msg = sp_codec_flow_mod(&(struct sp_flow_mod) {.verb = SP_FLOW_ADD, .flow = flow}, version);
    enum ofputil_protocol protocol = ofputil_protocol_from_ofp_version(version);
    struct ofpbuf ofpacts;
    struct ofputil_flow_mod fm;
    bool is_taken;

    ofpbuf_init(&ofpacts, 64);
    is_taken = msg && !ofputil_decode_flow_mod(&fm, msg->data, protocol, NULL, NULL, &ofpacts, OFPP_MAX, OFPTT_ALL);
    if (is_taken) {
        minimatch_destroy(&fm.match);
    }
    ofpbuf_uninit(&ofpacts);
    ofpbuf_delete(msg);
    return is_taken;
}

/* A flow that is wholly understood has to survive the way back. */
static void check_flow(struct sp_flow *flow, uint8_t version)
{
    char text[4096];

    ofpbuf_delete(sp_codec_flow_mod(&(struct sp_flow_mod) {.verb = SP_FLOW_DELETE, .flow = flow}, version));
    sp_flow_format(flow, text, sizeof text);
    if (flow->alien) {
        FUZZ_CHECK(!sp_flow_equal(flow, flow));
    } else if (is_possible(flow, version) && sp_codec_check(flow, version)) {
        fprintf(stderr, "not the same on the way back: %s\n", text);
        abort();
    }
}

static void flow_stats(uint8_t version, const uint8_t *body, size_t size)
{
    struct ofpbuf *msg = ofpraw_alloc(version == SP_OF15 ? OFPRAW_OFPST15_FLOW_REPLY : OFPRAW_OFPST13_FLOW_REPLY, version, size);
    struct ofpbuf b, ofpacts;
    struct sp_known *known = sp_known_new(1);
    enum ofpraw raw;
    enum ofptype type;
    int r;

    FUZZ_CHECK(known);
    ofpbuf_put(msg, body, size);
    ofpmsg_update_length(msg);
    FUZZ_CHECK(!ofptype_decode(&type, msg->data) && type == OFPTYPE_FLOW_STATS_REPLY);
    b = ofpbuf_const_initializer(msg->data, msg->size);
    r = (int) ofpraw_pull(&raw, &b);
    ofpbuf_init(&ofpacts, 64);
    sp_known_begin(known);
    while (!r) {
        struct ofputil_flow_stats stats;
        struct sp_flow *flow, *same;
        uint64_t digest;
        size_t left = b.size, entry_size;
        bool has_digest = sp_known_digest(known, version, b.data, b.size, &entry_size, &digest);
        struct sp_count count = {0};
        bool has_counted = has_digest && sp_known_counters(version, b.data, entry_size, &count);

        r = ofputil_decode_flow_stats_reply(&stats, &b, false, &ofpacts);
        if (r) {
            break;
        }
        FUZZ_CHECK(!has_digest || left - b.size == entry_size);
        FUZZ_CHECK(!sp_codec_flow_from_stats(&stats, &flow));
        FUZZ_CHECK(!has_digest || (count.packets == stats.packet_count && count.bytes == stats.byte_count));
        FUZZ_CHECK(!has_digest || has_counted == ((count.packets || count.bytes) &&
                                                  sp_flow_is_counted(flow->cookie, flow->table, flow->priority)));
        check_flow(flow, version);
        if (has_digest && !flow->alien) {
            sp_known_end(known);
            sp_known_begin(known);
            same = sp_known_find(known, digest);
            FUZZ_CHECK(!same || sp_flow_equal(same, flow));
            if (!same) {
                sp_known_put(known, digest, flow);
            }
            FUZZ_CHECK(sp_known_find(known, digest));
        }
        sp_flow_unref(flow);
    }
    ofpbuf_uninit(&ofpacts);
    ofpbuf_delete(msg);
    sp_known_free(known);
}

static void error(uint8_t version, const uint8_t *body, size_t size)
{
    struct ofpbuf *msg = ofpbuf_new(sizeof(struct ofp_header) + size);
    struct ofp_header *oh = ofpbuf_put_zeros(msg, sizeof *oh);
    enum ofptype type;
    char name[64];

    *oh = (struct ofp_header) {.version = version, .type = 1 /* OFPT_ERROR */, .length = htons((uint16_t) (sizeof *oh + size))};
    ofpbuf_put(msg, body, size);
    if (!ofptype_decode(&type, msg->data)) {
        FUZZ_CHECK(type == OFPTYPE_ERROR);
        sp_session_error_name(msg->data, name, sizeof name);
        FUZZ_CHECK(name[0]);
    }
    ofpbuf_delete(msg);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF); /* As a session does. */
    if (size && size - 1 <= BODY_MAX) {
        (data[0] & 2 ? error : flow_stats)(data[0] & 1 ? SP_OF15 : SP_OF14, data + 1, size - 1);
    }
    return 0;
}
