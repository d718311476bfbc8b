#include "flows/openflow/codec.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include <openflow/openflow-1.1.h>
#include <openvswitch/match.h>
#include <openvswitch/meta-flow.h>
#include <openvswitch/ofp-actions.h>
#include <openvswitch/ofp-flow.h>
#include <openvswitch/ofp-msgs.h>
#include <openvswitch/ofp-port.h>
#include <openvswitch/ofpbuf.h>

#include "flows/openflow/codec_actions.h"
#include "flows/tally.h"
#include "sallyport/pipeline.h"

/* A BUNDLE_ADD wraps a message in 16 bytes more, and OpenFlow's length has 16 bits. */
#define FLOW_MOD_SIZE_MAX (UINT16_MAX - 16)

static const enum mf_field_id field_ids[SP_N_FIELDS] = {
    [SP_F_IN_PORT] = MFF_IN_PORT,
    [SP_F_ETH_SRC] = MFF_ETH_SRC,
    [SP_F_ETH_DST] = MFF_ETH_DST,
    [SP_F_ETH_TYPE] = MFF_ETH_TYPE,
    [SP_F_VLAN_TCI] = MFF_VLAN_TCI,
    [SP_F_IP_FRAG] = MFF_IP_FRAG,
    [SP_F_IP_PROTO] = MFF_IP_PROTO,
    [SP_F_IP_TTL] = MFF_IP_TTL,
    [SP_F_IP_SRC] = MFF_IPV4_SRC,
    [SP_F_IP_DST] = MFF_IPV4_DST,
    [SP_F_IPV6_SRC] = MFF_IPV6_SRC,
    [SP_F_IPV6_DST] = MFF_IPV6_DST,
    [SP_F_TCP_SRC] = MFF_TCP_SRC,
    [SP_F_TCP_DST] = MFF_TCP_DST,
    [SP_F_UDP_SRC] = MFF_UDP_SRC,
    [SP_F_UDP_DST] = MFF_UDP_DST,
    [SP_F_SCTP_SRC] = MFF_SCTP_SRC,
    [SP_F_SCTP_DST] = MFF_SCTP_DST,
    [SP_F_ICMP_TYPE] = MFF_ICMPV4_TYPE,
    [SP_F_ICMP_CODE] = MFF_ICMPV4_CODE,
    [SP_F_ICMPV6_TYPE] = MFF_ICMPV6_TYPE,
    [SP_F_ICMPV6_CODE] = MFF_ICMPV6_CODE,
    [SP_F_ARP_OP] = MFF_ARP_OP,
    [SP_F_ARP_SPA] = MFF_ARP_SPA,
    [SP_F_ARP_TPA] = MFF_ARP_TPA,
    [SP_F_ARP_SHA] = MFF_ARP_SHA,
    [SP_F_ARP_THA] = MFF_ARP_THA,
    [SP_F_ND_TARGET] = MFF_ND_TARGET,
    [SP_F_ND_SLL] = MFF_ND_SLL,
    [SP_F_ND_TLL] = MFF_ND_TLL,
    [SP_F_CT_STATE] = MFF_CT_STATE,
    [SP_F_CT_ZONE] = MFF_CT_ZONE,
    [SP_F_CT_MARK] = MFF_CT_MARK,
    [SP_F_CT_NW_PROTO] = MFF_CT_NW_PROTO,
    [SP_F_CT_NW_SRC] = MFF_CT_NW_SRC,
    [SP_F_CT_NW_DST] = MFF_CT_NW_DST,
    [SP_F_CT_IPV6_SRC] = MFF_CT_IPV6_SRC,
    [SP_F_CT_IPV6_DST] = MFF_CT_IPV6_DST,
    [SP_F_CT_TP_SRC] = MFF_CT_TP_SRC,
    [SP_F_CT_TP_DST] = MFF_CT_TP_DST,
    [SP_F_REG(0)] = MFF_REG0,
    [SP_F_REG(1)] = MFF_REG1,
    [SP_F_REG(2)] = MFF_REG2,
    [SP_F_REG(3)] = MFF_REG3,
    [SP_F_REG(4)] = MFF_REG4,
    [SP_F_REG(5)] = MFF_REG5,
    [SP_F_REG(6)] = MFF_REG6,
    [SP_F_REG(7)] = MFF_REG7,
    [SP_F_REG(8)] = MFF_REG8,
    [SP_F_REG(9)] = MFF_REG9,
    [SP_F_REG(10)] = MFF_REG10,
    [SP_F_REG(11)] = MFF_REG11,
    [SP_F_REG(12)] = MFF_REG12,
    [SP_F_REG(13)] = MFF_REG13,
    [SP_F_REG(14)] = MFF_REG14,
    [SP_F_REG(15)] = MFF_REG15,
    [SP_F_XXREG0] = MFF_XXREG0,
    [SP_F_XXREG1] = MFF_XXREG1,
    [SP_F_XXREG2] = MFF_XXREG2,
    [SP_F_XXREG3] = MFF_XXREG3,
};

const struct mf_field *sp_codec_field(uint8_t field)
{
    return field < SP_N_FIELDS ? mf_from_id(field_ids[field]) : NULL;
}

enum sp_field sp_codec_field_from(const struct mf_field *mf)
{
    enum sp_field field = 0;

    /* OXM's in_port has 32 bits; flows of ours only name the 16-bit one. */
    while (field < SP_N_FIELDS && field_ids[field] != mf->id) {
        field++;
    }
    return field;
}

static enum ofputil_protocol protocol_of(uint8_t version)
{
    return version == SP_OF15 ? OFPUTIL_P_OF15_OXM : OFPUTIL_P_OF14_OXM;
}

/* Adds the terms 'terms' ('size' bytes) to 'match'.  Returns false if one has no such form in OpenFlow (a mask on a field that
 * takes none). */
static bool put_terms(const uint8_t *terms, size_t size, struct match *match)
{
    for (size_t at = 0; at < size;) {
        const struct mf_field *mf = sp_codec_field(terms[at]);
        bool masked = terms[at + 1];
        size_t width = mf->n_bytes;
        union mf_value value = {.b = {0}}, mask = {.b = {0}};

        memcpy(value.b, terms + at + 2, width);
        if (masked) {
            memcpy(mask.b, terms + at + 2 + width, width);
        }
        if (!mf_set(mf, &value, masked ? &mask : NULL, match, NULL)) {
            return false;
        }
        at += 2 + width * (masked ? 2 : 1);
    }
    return true;
}

/* True if each term's prerequisites hold.  libopenvswitch leaves out those whose prerequisites do not, without a word. */
static bool terms_hold(const uint8_t *terms, size_t size, const struct match *match)
{
    for (size_t at = 0; at < size;) {
        const struct mf_field *mf = sp_codec_field(terms[at]);

        if (!mf_are_match_prereqs_ok(mf, match)) {
            return false;
        }
        at += 2u + (size_t) mf->n_bytes * (terms[at + 1] ? 2 : 1);
    }
    return true;
}

/* A match with something unknown is kept as OpenFlow 1.4 writes it, so that its flow can at least be removed.  Where a flow_mod
 * has its match: */
#define MATCH_OFFSET (sizeof(struct ofp_header) + sizeof(struct ofp11_flow_mod))

/* Puts 'match' into 'build' in place of its terms.  Returns false, with the terms as they were, if it is too long. */
static bool keep_opaque(const struct match *match, struct sp_flow_build *build)
{
    struct ofputil_flow_mod fm = {.buffer_id = UINT32_MAX, .out_port = OFPP_ANY, .out_group = OFPG_ANY};
    const struct ofp11_match_header *header;
    struct ofpbuf *msg;
    size_t size;
    bool fits;

    minimatch_init(&fm.match, match);
    msg = ofputil_encode_flow_mod(&fm, OFPUTIL_P_OF14_OXM);
    minimatch_destroy(&fm.match);
    header = ofpbuf_at_assert(msg, MATCH_OFFSET, sizeof *header);
    size = be16toh(header->length) - sizeof *header;
    fits = size < sizeof build->match;
    if (fits) {
        build->match[0] = SP_MATCH_OPAQUE;
        memcpy(build->match + 1, header + 1, size);
        build->match_size = (uint16_t) (size + 1);
    }
    ofpbuf_delete(msg);
    return fits;
}

/* Turns what keep_opaque() has kept ('size' bytes behind the mark) into a match again. */
static bool put_opaque(const uint8_t *bytes, size_t size, struct match *match)
{
    struct ofpbuf *msg = ofpraw_alloc(OFPRAW_OFPT11_FLOW_MOD, SP_OF14, 0);
    struct ofp11_flow_mod *ofm = ofpbuf_put_zeros(msg, sizeof *ofm);
    struct ofp11_match_header header = {.type = htobe16(OFPMT_OXM), .length = htobe16((uint16_t) (sizeof header + size))};
    uint64_t stub[64 / 8];
    struct ofpbuf ofpacts = OFPBUF_STUB_INITIALIZER(stub);
    struct ofputil_flow_mod fm;
    bool ok;

    ofm->out_port = ofputil_port_to_ofp11(OFPP_ANY);
    ofpbuf_put(msg, &header, sizeof header);
    ofpbuf_put(msg, bytes, size);
    ofpbuf_padto(msg, (uint32_t) ((msg->size + 7) / 8 * 8));
    ofpmsg_update_length(msg);
    ok = !ofputil_decode_flow_mod(&fm, msg->data, OFPUTIL_P_OF14_OXM, NULL, NULL, &ofpacts, OFPP_MAX, OFPTT_ALL);
    if (ok) {
        minimatch_expand(&fm.match, match);
        minimatch_destroy(&fm.match);
    }
    ofpbuf_uninit(&ofpacts);
    ofpbuf_delete(msg);
    return ok;
}

static bool put_match(const struct sp_flow *flow, struct match *match)
{
    const uint8_t *bytes = sp_flow_match(flow);

    match_init_catchall(match);
    if (flow->match_size && bytes[0] == SP_MATCH_OPAQUE) {
        return put_opaque(bytes + 1, flow->match_size - 1u, match);
    }
    return put_terms(bytes, flow->match_size, match) && terms_hold(bytes, flow->match_size, match);
}

/* A flow that is counted tells its last counters when it is deleted. */
static enum ofputil_flow_mod_flags flags_of(uint64_t cookie, uint8_t table, uint16_t priority)
{
    return sp_flow_is_counted(cookie, table, priority) ? OFPUTIL_FF_SEND_FLOW_REM : 0;
}

struct ofpbuf *sp_codec_flow_mod(const struct sp_flow_mod *mod, uint8_t version)
{
    const struct sp_flow *flow = mod->flow;
    bool add = mod->verb == SP_FLOW_ADD;
    uint64_t stub[1024 / 8];
    struct ofpbuf ofpacts = OFPBUF_STUB_INITIALIZER(stub);
    struct ofputil_flow_mod fm = {
        .priority = flow->priority,
        .table_id = flow->table,
        .command = add ? OFPFC_ADD : OFPFC_DELETE_STRICT,
        .new_cookie = add ? htobe64(flow->cookie) : OVS_BE64_MAX,
        .cookie = add ? 0 : htobe64(SP_COOKIE_OWNER),
        .cookie_mask = add ? 0 : htobe64(SP_COOKIE_OWNER_MASK),
        .buffer_id = UINT32_MAX,
        .out_port = OFPP_ANY,
        .out_group = OFPG_ANY,
        .flags = add ? flags_of(flow->cookie, flow->table, flow->priority) : 0,
    };
    struct ofpbuf *msg = NULL;
    struct match match;

    if ((add && flow->alien) || !put_match(flow, &match) ||
        (add && !sp_codec_actions_encode(sp_flow_actions(flow), flow->actions_size, &ofpacts))) {
        goto out;
    }
    fm.ofpacts = ofpacts.data;
    fm.ofpacts_len = ofpacts.size;
    minimatch_init(&fm.match, &match);
    msg = ofputil_encode_flow_mod(&fm, protocol_of(version));
    minimatch_destroy(&fm.match);
    if (msg->size > FLOW_MOD_SIZE_MAX) {
        ofpbuf_delete(msg);
        msg = NULL;
    }
out:
    ofpbuf_uninit(&ofpacts);
    return msg;
}

/* Turns 'match' into terms of 'build'.  Returns false if the terms do not say all that 'match' says. */
static bool get_terms(const struct match *match, struct sp_flow_build *build)
{
    struct match again;

    for (enum sp_field field = 0; field < SP_F_XXREG0; field++) {
        const struct mf_field *mf = mf_from_id(field_ids[field]);
        union mf_value value, mask;

        if (!mf_is_all_wild(mf, &match->wc) && mf_are_match_prereqs_ok(mf, match)) {
            mf_get(mf, match, &value, &mask);
            /* Arp_op's mask comes out as 0x00ff; a partial one of such a field shows in the comparison below. */
            sp_flow_match_bytes(build, field, &value, mf->maskable == MFM_NONE ? NULL : &mask);
        }
    }
    match_init_catchall(&again);
    if (match_has_default_packet_type(match)) {
        match_set_default_packet_type(&again); /* What a match on an Ethernet field implies. */
    }
    return !build->failed && put_terms(build->match, build->match_size, &again) && match_equal(match, &again);
}

/* A flow entry as libopenvswitch decodes it, whatever the message it came in. */
struct entry {
    const struct match *match;
    const struct ofpact *ofpacts;
    size_t ofpacts_size;
    uint64_t cookie;
    uint16_t priority;
    uint8_t table;
    enum ofputil_flow_mod_flags flags;
    bool plain; /* No timeout, no importance. */
};

static int flow_from_entry(const struct entry *entry, struct sp_flow **ret)
{
    struct sp_flow_build build;

    sp_flow_build_init(&build, entry->table, entry->priority, entry->cookie);
    if (!get_terms(entry->match, &build)) {
        (void) keep_opaque(entry->match, &build);
        return sp_flow_build_done_alien(&build, ret);
    }
    if (!entry->plain || entry->flags != flags_of(entry->cookie, entry->table, entry->priority) ||
        !sp_codec_actions_decode(entry->ofpacts, entry->ofpacts_size, &build) || build.failed) {
        return sp_flow_build_done_alien(&build, ret);
    }
    return sp_flow_build_done(&build, ret);
}

int sp_codec_flow_from_stats(const struct ofputil_flow_stats *stats, struct sp_flow **ret)
{
    return flow_from_entry(
        &(struct entry){
            .match = &stats->match,
            .ofpacts = stats->ofpacts,
            .ofpacts_size = stats->ofpacts_len,
            .cookie = be64toh(stats->cookie),
            .priority = stats->priority,
            .table = stats->table_id,
            .flags = stats->flags,
            .plain = !stats->idle_timeout && !stats->hard_timeout && !stats->importance,
        },
        ret);
}

int sp_codec_check(const struct sp_flow *flow, uint8_t version)
{
    struct ofpbuf *msg = sp_codec_flow_mod(&(struct sp_flow_mod){.verb = SP_FLOW_ADD, .flow = (struct sp_flow *) flow}, version);
    uint64_t stub[1024 / 8];
    struct ofpbuf ofpacts = OFPBUF_STUB_INITIALIZER(stub);
    struct ofputil_flow_mod fm;
    struct match match;
    struct sp_flow *again = NULL;
    int r = SP_E_INVALID;

    if (!msg) {
        return SP_E_INVALID;
    }
    if (!ofputil_decode_flow_mod(&fm, msg->data, protocol_of(version), NULL, NULL, &ofpacts, OFPP_MAX, OFPTT_ALL)) {
        minimatch_expand(&fm.match, &match);
        minimatch_destroy(&fm.match);
        r = flow_from_entry(
            &(struct entry){
                .match = &match,
                .ofpacts = fm.ofpacts,
                .ofpacts_size = fm.ofpacts_len,
                .cookie = be64toh(fm.new_cookie),
                .priority = (uint16_t) fm.priority,
                .table = fm.table_id,
                .flags = fm.flags,
                .plain = !fm.idle_timeout && !fm.hard_timeout && !fm.importance,
            },
            &again);
    }
    if (!r && !sp_flow_equal(flow, again)) {
        r = SP_E_INVALID;
    }
    sp_flow_unref(again);
    ofpbuf_uninit(&ofpacts);
    ofpbuf_delete(msg);
    return r;
}
