#include "flows/openflow/codec_actions.h"

#include <endian.h>
#include <string.h>

#include <openvswitch/meta-flow.h>
#include <openvswitch/ofp-actions.h>
#include <openvswitch/ofpbuf.h>

#define ETHERTYPE_VLAN 0x8100
#define LEARN_VLAN_BITS 12
#define LEARN_PORT_BITS 16

/* Arguments of one operation, read one after the other; reading past the end gives 0 and marks the reader. */
struct reader {
    const uint8_t *at;
    const uint8_t *end;
    bool overrun;
};

static uint64_t read_be(struct reader *reader, size_t size)
{
    uint64_t value = 0;

    if ((size_t) (reader->end - reader->at) < size) {
        reader->overrun = true;
        reader->at = reader->end;
        return 0;
    }
    for (size_t i = 0; i < size; i++) {
        value = value << 8 | *reader->at++;
    }
    return value;
}

/* Reads a field of 'reader' and says which of its bits are meant.  Checked by the callers with mf_check_...(). */
static struct mf_subfield subfield(uint64_t field, uint64_t first_bit, uint64_t n_bits)
{
    return (struct mf_subfield){
        .field = sp_codec_field((uint8_t) field),
        .ofs = (unsigned) first_bit,
        .n_bits = (unsigned) n_bits,
    };
}

static bool is_source(const struct mf_subfield *sf)
{
    return !mf_check_src(sf, NULL);
}

static bool is_destination(const struct mf_subfield *sf)
{
    return !mf_check_dst(sf, NULL);
}

/* Sets 'n' bits from bit 'first' (0 = the last byte's lowest) of the 'size' bytes at 'bytes' to the low bits of 'value'. */
static void put_bits(uint8_t *bytes, size_t size, unsigned first, unsigned n, uint64_t value)
{
    for (unsigned i = 0; i < n; i++) {
        if (value >> i & 1) {
            bytes[size - 1 - (first + i) / 8] |= (uint8_t) (1u << (first + i) % 8);
        }
    }
}

static bool get_bit(const uint8_t *bytes, size_t size, unsigned bit)
{
    return bytes[size - 1 - bit / 8] >> bit % 8 & 1;
}

static bool encode_output(struct reader *reader, struct ofpbuf *ofpacts)
{
    ofpact_put_OUTPUT(ofpacts)->port = OFP_PORT_C(read_be(reader, 2));
    return true;
}

static bool encode_output_reg(struct reader *reader, struct ofpbuf *ofpacts)
{
    struct mf_subfield src = subfield(read_be(reader, 1), 0, 16);
    struct ofpact_output_reg *output = ofpact_put_OUTPUT_REG(ofpacts);

    output->src = src;
    output->max_len = UINT16_MAX;
    return is_source(&src);
}

static bool encode_goto(struct reader *reader, struct ofpbuf *ofpacts)
{
    ofpact_put_GOTO_TABLE(ofpacts)->table_id = (uint8_t) read_be(reader, 1);
    return true;
}

static bool encode_resubmit(struct reader *reader, struct ofpbuf *ofpacts)
{
    struct ofpact_resubmit *resubmit = ofpact_put_RESUBMIT(ofpacts);

    resubmit->in_port = OFPP_IN_PORT;
    resubmit->table_id = (uint8_t) read_be(reader, 1);
    return true;
}

static bool encode_load(struct reader *reader, struct ofpbuf *ofpacts)
{
    uint64_t field = read_be(reader, 1), first_bit = read_be(reader, 1), n_bits = read_be(reader, 1), value = read_be(reader, 8);
    struct mf_subfield dst = subfield(field, first_bit, n_bits);
    union mf_value values = {.b = {0}}, mask = {.b = {0}};

    if (!is_destination(&dst) || n_bits > 64) {
        return false;
    }
    put_bits(values.b, dst.field->n_bytes, dst.ofs, dst.n_bits, value);
    put_bits(mask.b, dst.field->n_bytes, dst.ofs, dst.n_bits, UINT64_MAX);
    ofpact_put_reg_load(ofpacts, dst.field, &values, &mask);
    return true;
}

static bool encode_move(struct reader *reader, struct ofpbuf *ofpacts)
{
    uint64_t src_field = read_be(reader, 1), src_bit = read_be(reader, 1);
    uint64_t dst_field = read_be(reader, 1), dst_bit = read_be(reader, 1), n_bits = read_be(reader, 1);
    struct mf_subfield src = subfield(src_field, src_bit, n_bits), dst = subfield(dst_field, dst_bit, n_bits);
    struct ofpact_reg_move *move;

    if (!is_source(&src) || !is_destination(&dst)) {
        return false;
    }
    move = ofpact_put_REG_MOVE(ofpacts);
    move->src = src;
    move->dst = dst;
    return true;
}

static bool encode_stack(struct reader *reader, struct ofpact_stack *(*put)(struct ofpbuf *),
                         bool (*is_valid)(const struct mf_subfield *), struct ofpbuf *ofpacts)
{
    uint64_t field = read_be(reader, 1), first_bit = read_be(reader, 1), n_bits = read_be(reader, 1);
    struct mf_subfield part = subfield(field, first_bit, n_bits);

    if (!is_valid(&part)) {
        return false;
    }
    put(ofpacts)->subfield = part;
    return true;
}

static bool encode_push(struct reader *reader, struct ofpbuf *ofpacts)
{
    return encode_stack(reader, ofpact_put_STACK_PUSH, is_source, ofpacts);
}

static bool encode_pop(struct reader *reader, struct ofpbuf *ofpacts)
{
    return encode_stack(reader, ofpact_put_STACK_POP, is_destination, ofpacts);
}

/* The nested action is written where the buffer begins after the ct() header has been pulled off, as libopenvswitch wants it;
 * each step may move the buffer. */
static bool encode_ct(struct reader *reader, struct ofpbuf *ofpacts)
{
    uint64_t flags = read_be(reader, 1), zone = read_be(reader, 1), zone_bit = read_be(reader, 1), table = read_be(reader, 1);
    uint8_t mark = (uint8_t) read_be(reader, 1);
    struct mf_subfield zone_src = subfield(zone, zone_bit, 16);
    struct mf_subfield mark_src = subfield(mark, 0, 32);
    struct ofpact_conntrack *ct;
    size_t before = ofpacts->size;

    if (!is_source(&zone_src) || flags & ~(uint64_t) SP_CT_OP_COMMIT || (mark != 0xff && (!flags || !is_source(&mark_src)))) {
        return false;
    }
    ofpbuf_pull(ofpacts, before);
    ct = ofpact_put_CT(ofpacts);
    ct->flags = flags & SP_CT_OP_COMMIT ? NX_CT_F_COMMIT : 0;
    ct->zone_src = zone_src;
    ct->recirc_table = (uint8_t) table;
    if (mark != 0xff) {
        struct ofpact_reg_move *move;

        ofpbuf_pull(ofpacts, sizeof *ct);
        move = ofpact_put_REG_MOVE(ofpacts);
        move->src = mark_src;
        move->dst = subfield(SP_F_CT_MARK, 0, 32);
        ct = ofpbuf_push_uninit(ofpacts, sizeof *ct);
        ofpacts->header = ct;
    }
    ofpact_finish_CT(ofpacts, &ct);
    ofpbuf_push_uninit(ofpacts, before);
    return true;
}

static bool encode_push_vlan(struct reader *reader, struct ofpbuf *ofpacts)
{
    ofpact_put_PUSH_VLAN(ofpacts)->ethertype = htobe16(ETHERTYPE_VLAN);
    return true;
}

static bool encode_pop_vlan(struct reader *reader, struct ofpbuf *ofpacts)
{
    ofpact_put_STRIP_VLAN(ofpacts);
    return true;
}

static void put_learn_spec(struct ofpbuf *ofpacts, struct mf_subfield src, struct mf_subfield dst, uint16_t dst_type)
{
    struct ofpact_learn_spec *spec = ofpbuf_put_zeros(ofpacts, sizeof *spec);

    spec->src = src;
    spec->dst = dst;
    spec->src_type = NX_LEARN_SRC_FIELD;
    spec->dst_type = dst_type;
    spec->n_bits = src.n_bits;
}

static bool encode_learn_mac(struct reader *reader, struct ofpbuf *ofpacts)
{
    struct ofpact_learn *learn = ofpact_put_LEARN(ofpacts);
    struct mf_subfield vlan, port;

    learn->table_id = (uint8_t) read_be(reader, 1);
    learn->priority = (uint16_t) read_be(reader, 2);
    learn->idle_timeout = (uint16_t) read_be(reader, 2);
    learn->limit = (uint32_t) read_be(reader, 4);
    learn->cookie = htobe64(read_be(reader, 8));
    learn->flags = NX_LEARN_F_DELETE_LEARNED;
    vlan = subfield(read_be(reader, 1), 0, LEARN_VLAN_BITS);
    port = subfield(read_be(reader, 1), 0, LEARN_PORT_BITS);
    if (!is_source(&vlan) || !is_destination(&port)) {
        return false;
    }
    put_learn_spec(ofpacts, vlan, vlan, NX_LEARN_DST_MATCH);
    put_learn_spec(ofpacts, subfield(SP_F_ETH_SRC, 0, 48), subfield(SP_F_ETH_DST, 0, 48), NX_LEARN_DST_MATCH);
    put_learn_spec(ofpacts, subfield(SP_F_IN_PORT, 0, LEARN_PORT_BITS), port, NX_LEARN_DST_LOAD);
    learn = ofpacts->header;
    ofpact_finish_LEARN(ofpacts, &learn);
    return true;
}

static bool encode_meter(struct reader *reader, struct ofpbuf *ofpacts)
{
    ofpact_put_METER(ofpacts)->meter_id = (uint32_t) read_be(reader, 4);
    return true;
}

static bool encode_controller(struct reader *reader, struct ofpbuf *ofpacts)
{
    struct ofpact_controller *controller = ofpact_put_CONTROLLER(ofpacts);

    controller->max_len = (uint16_t) read_be(reader, 2);
    controller->controller_id = (uint16_t) read_be(reader, 2);
    controller->reason = OFPR_ACTION;
    controller->meter_id = NX_CTLR_NO_METER;
    controller->provider_meter_id = UINT32_MAX;
    ofpact_finish_CONTROLLER(ofpacts, &controller);
    return true;
}

static bool (*const encoders[SP_N_OPS])(struct reader *, struct ofpbuf *) = {
    [SP_OP_OUTPUT] = encode_output,       [SP_OP_OUTPUT_REG] = encode_output_reg,
    [SP_OP_GOTO] = encode_goto,           [SP_OP_RESUBMIT] = encode_resubmit,
    [SP_OP_LOAD] = encode_load,           [SP_OP_MOVE] = encode_move,
    [SP_OP_PUSH] = encode_push,           [SP_OP_POP] = encode_pop,
    [SP_OP_CT] = encode_ct,               [SP_OP_PUSH_VLAN] = encode_push_vlan,
    [SP_OP_POP_VLAN] = encode_pop_vlan,   [SP_OP_LEARN_MAC] = encode_learn_mac,
    [SP_OP_METER] = encode_meter,         [SP_OP_CONTROLLER] = encode_controller,
};

bool sp_codec_actions_encode(const uint8_t *actions, size_t size, struct ofpbuf *ofpacts)
{
    struct reader reader = {.at = actions, .end = actions + size};

    while (reader.at < reader.end) {
        uint8_t op = *reader.at++;

        if (op >= SP_N_OPS || !encoders[op](&reader, ofpacts) || reader.overrun) {
            return false;
        }
    }
    return true;
}

static bool decode_output(const struct ofpact *a, struct sp_flow_build *build)
{
    const struct ofpact_output *output = ofpact_get_OUTPUT(a);

    sp_flow_output(build, (uint16_t) (uint32_t) output->port);
    return !output->max_len;
}

static bool decode_output_reg(const struct ofpact *a, struct sp_flow_build *build)
{
    const struct ofpact_output_reg *output = ofpact_get_OUTPUT_REG(a);
    enum sp_field field = sp_codec_field_from(output->src.field);

    if (field == SP_N_FIELDS || output->src.ofs || output->src.n_bits != 16 || output->max_len != UINT16_MAX) {
        return false;
    }
    sp_flow_output_reg(build, field);
    return true;
}

static bool decode_goto(const struct ofpact *a, struct sp_flow_build *build)
{
    sp_flow_goto(build, ofpact_get_GOTO_TABLE(a)->table_id);
    return true;
}

static bool decode_resubmit(const struct ofpact *a, struct sp_flow_build *build)
{
    const struct ofpact_resubmit *resubmit = ofpact_get_RESUBMIT(a);

    sp_flow_resubmit(build, resubmit->table_id);
    return resubmit->in_port == OFPP_IN_PORT && !resubmit->with_ct_orig;
}

static bool decode_set_field(const struct ofpact *a, struct sp_flow_build *build)
{
    const struct ofpact_set_field *set = ofpact_get_SET_FIELD(a);
    enum sp_field field = sp_codec_field_from(set->field);
    size_t size = set->field->n_bytes;
    const uint8_t *bytes = set->value->b, *mask = ofpact_set_field_mask(set)->b;
    unsigned n = 8u * (unsigned) size, first = 0, end;
    uint64_t value = 0;

    if (field == SP_N_FIELDS) {
        return false;
    }
    while (first < n && !get_bit(mask, size, first)) {
        first++;
    }
    for (end = first; end < n && get_bit(mask, size, end); end++) {
        if (end - first < 64) {
            value |= (uint64_t) get_bit(bytes, size, end) << (end - first);
        }
    }
    for (unsigned bit = end; bit < n; bit++) {
        if (get_bit(mask, size, bit)) {
            return false;
        }
    }
    sp_flow_load(build, field, first, end - first, value);
    return true;
}

static bool decode_move(const struct ofpact *a, struct sp_flow_build *build)
{
    const struct ofpact_reg_move *move = ofpact_get_REG_MOVE(a);
    enum sp_field src = sp_codec_field_from(move->src.field), dst = sp_codec_field_from(move->dst.field);

    if (src == SP_N_FIELDS || dst == SP_N_FIELDS) {
        return false;
    }
    sp_flow_move(build, src, move->src.ofs, dst, move->dst.ofs, move->src.n_bits);
    return true;
}

static bool decode_stack(const struct ofpact *a, struct sp_flow_build *build)
{
    bool push = a->type == OFPACT_STACK_PUSH;
    const struct mf_subfield *part = push ? &ofpact_get_STACK_PUSH(a)->subfield : &ofpact_get_STACK_POP(a)->subfield;
    enum sp_field field = sp_codec_field_from(part->field);

    if (field == SP_N_FIELDS) {
        return false;
    }
    (push ? sp_flow_push : sp_flow_pop)(build, field, part->ofs, part->n_bits);
    return true;
}

/* The field that a nested action copies to ct_mark, SP_N_FIELDS if there is no nested action, or -1 if they do anything else. */
static int decode_ct_mark(const struct ofpact_conntrack *ct)
{
    size_t size = ofpact_ct_get_action_len(ct);
    const struct ofpact_reg_move *move;
    enum sp_field src;

    if (!size) {
        return SP_N_FIELDS;
    }
    if (ct->actions->type != OFPACT_REG_MOVE || (size_t) OFPACT_ALIGN(ct->actions->len) != size) {
        return -1;
    }
    move = ofpact_get_REG_MOVE(ct->actions);
    src = sp_codec_field_from(move->src.field);
    if (src == SP_N_FIELDS || move->src.ofs || move->dst.ofs || move->src.n_bits != 32 || move->dst.field->id != MFF_CT_MARK) {
        return -1;
    }
    return (int) src;
}

static bool decode_ct(const struct ofpact *a, struct sp_flow_build *build)
{
    const struct ofpact_conntrack *ct = ofpact_get_CT(a);
    int mark = decode_ct_mark(ct);
    enum sp_field zone = ct->zone_src.field ? sp_codec_field_from(ct->zone_src.field) : SP_N_FIELDS;

    if (mark < 0 || zone == SP_N_FIELDS || ct->zone_src.ofs || ct->zone_src.n_bits != 16 || ct->alg) {
        return false;
    }
    if (ct->flags == NX_CT_F_COMMIT && ct->recirc_table != NX_CT_RECIRC_NONE) {
        sp_flow_ct_commit(build, zone, (enum sp_field) mark, ct->recirc_table);
        return true;
    }
    if (!ct->flags && mark == SP_N_FIELDS) {
        sp_flow_ct(build, zone, ct->recirc_table);
        return true;
    }
    return false;
}

static bool decode_push_vlan(const struct ofpact *a, struct sp_flow_build *build)
{
    sp_flow_push_vlan(build);
    return be16toh(ofpact_get_PUSH_VLAN(a)->ethertype) == ETHERTYPE_VLAN;
}

static bool decode_pop_vlan(const struct ofpact *a, struct sp_flow_build *build)
{
    sp_flow_pop_vlan(build);
    return true;
}

static bool is_subfield(const struct mf_subfield *sf, enum sp_field field, unsigned n_bits)
{
    return sp_codec_field_from(sf->field) == field && !sf->ofs && sf->n_bits == n_bits;
}

static bool is_learn_spec(const struct ofpact_learn_spec *spec, const struct ofpact_learn *learn, uint16_t dst_type)
{
    return spec < ofpact_learn_spec_end(learn) && spec->src_type == NX_LEARN_SRC_FIELD && spec->dst_type == dst_type;
}

static bool decode_learn(const struct ofpact *a, struct sp_flow_build *build)
{
    const struct ofpact_learn *learn = ofpact_get_LEARN(a);
    const struct ofpact_learn_spec *vlan = learn->specs, *mac = vlan + 1, *port = vlan + 2;
    enum sp_field vlan_field, port_field;

    if (learn->flags != NX_LEARN_F_DELETE_LEARNED || learn->hard_timeout || learn->fin_idle_timeout || learn->fin_hard_timeout ||
        !is_learn_spec(vlan, learn, NX_LEARN_DST_MATCH) || !is_learn_spec(mac, learn, NX_LEARN_DST_MATCH) ||
        !is_learn_spec(port, learn, NX_LEARN_DST_LOAD) || port + 1 != ofpact_learn_spec_end(learn)) {
        return false;
    }
    vlan_field = sp_codec_field_from(vlan->src.field);
    port_field = sp_codec_field_from(port->dst.field);
    if (vlan_field == SP_N_FIELDS || port_field == SP_N_FIELDS || !is_subfield(&vlan->src, vlan_field, LEARN_VLAN_BITS) ||
        !is_subfield(&vlan->dst, vlan_field, LEARN_VLAN_BITS) || !is_subfield(&mac->src, SP_F_ETH_SRC, 48) ||
        !is_subfield(&mac->dst, SP_F_ETH_DST, 48) || !is_subfield(&port->src, SP_F_IN_PORT, LEARN_PORT_BITS) ||
        !is_subfield(&port->dst, port_field, LEARN_PORT_BITS)) {
        return false;
    }
    sp_flow_learn_mac(build, learn->table_id, learn->priority, learn->idle_timeout, learn->limit, be64toh(learn->cookie),
                      vlan_field, port_field);
    return true;
}

static bool decode_meter(const struct ofpact *a, struct sp_flow_build *build)
{
    sp_flow_meter(build, ofpact_get_METER(a)->meter_id);
    return true;
}

static bool decode_controller(const struct ofpact *a, struct sp_flow_build *build)
{
    const struct ofpact_controller *controller = ofpact_get_CONTROLLER(a);

    if (controller->reason != OFPR_ACTION || controller->meter_id != NX_CTLR_NO_METER || controller->pause ||
        controller->userdata_len) {
        return false;
    }
    sp_flow_controller(build, controller->max_len, controller->controller_id);
    return true;
}

static bool decode_action(const struct ofpact *a, struct sp_flow_build *build)
{
    static const struct {
        enum ofpact_type type;
        bool (*decode)(const struct ofpact *, struct sp_flow_build *);
    } decoders[] = {
        {OFPACT_SET_FIELD, decode_set_field},   {OFPACT_GOTO_TABLE, decode_goto},
        {OFPACT_RESUBMIT, decode_resubmit},     {OFPACT_REG_MOVE, decode_move},
        {OFPACT_STACK_PUSH, decode_stack},      {OFPACT_STACK_POP, decode_stack},
        {OFPACT_OUTPUT, decode_output},         {OFPACT_OUTPUT_REG, decode_output_reg},
        {OFPACT_CT, decode_ct},                 {OFPACT_PUSH_VLAN, decode_push_vlan},
        {OFPACT_STRIP_VLAN, decode_pop_vlan},   {OFPACT_LEARN, decode_learn},
        {OFPACT_METER, decode_meter},           {OFPACT_CONTROLLER, decode_controller},
    };

    for (size_t i = 0; i < sizeof decoders / sizeof *decoders; i++) {
        if (decoders[i].type == a->type) {
            return decoders[i].decode(a, build);
        }
    }
    return false;
}

bool sp_codec_actions_decode(const struct ofpact *ofpacts, size_t size, struct sp_flow_build *build)
{
    const struct ofpact *a;

    OFPACT_FOR_EACH (a, ofpacts, size) {
        if (!decode_action(a, build)) {
            return false;
        }
    }
    return true;
}
