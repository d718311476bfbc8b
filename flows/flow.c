#include "sallyport/flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <endian.h>

#define TABLE_MAX 253 /* 254 is OVS's own, 255 means "all" (OpenFlow 1.4 section 7.2.2, OFPTT_MAX). */
#define METER_MAX 0xffff0000u /* OFPM_MAX, section 7.3.4.5. */

static const uint8_t field_sizes[SP_N_FIELDS] = {
    [SP_F_IN_PORT] = 2,
    [SP_F_ETH_SRC] = 6,
    [SP_F_ETH_DST] = 6,
    [SP_F_ETH_TYPE] = 2,
    [SP_F_VLAN_TCI] = 2,
    [SP_F_IP_FRAG] = 1,
    [SP_F_IP_PROTO] = 1,
    [SP_F_IP_TTL] = 1,
    [SP_F_IP_SRC] = 4,
    [SP_F_IP_DST] = 4,
    [SP_F_IPV6_SRC] = 16,
    [SP_F_IPV6_DST] = 16,
    [SP_F_TCP_SRC ... SP_F_SCTP_DST] = 2,
    [SP_F_ICMP_TYPE ... SP_F_ICMPV6_CODE] = 1,
    [SP_F_ARP_OP] = 2,
    [SP_F_ARP_SPA] = 4,
    [SP_F_ARP_TPA] = 4,
    [SP_F_ARP_SHA] = 6,
    [SP_F_ARP_THA] = 6,
    [SP_F_ND_TARGET] = 16,
    [SP_F_ND_SLL] = 6,
    [SP_F_ND_TLL] = 6,
    [SP_F_CT_STATE] = 4,
    [SP_F_CT_ZONE] = 2,
    [SP_F_CT_MARK] = 4,
    [SP_F_CT_NW_PROTO] = 1,
    [SP_F_CT_NW_SRC] = 4,
    [SP_F_CT_NW_DST] = 4,
    [SP_F_CT_IPV6_SRC] = 16,
    [SP_F_CT_IPV6_DST] = 16,
    [SP_F_CT_TP_SRC] = 2,
    [SP_F_CT_TP_DST] = 2,
    [SP_F_REG0 ... SP_F_REG15] = 4,
    [SP_F_XXREG0 ... SP_F_XXREG3] = 16,
};

size_t sp_field_size(enum sp_field field)
{
    return field_sizes[field];
}

/* Bits of 'field' that a packet can have set. */
static unsigned field_bits(enum sp_field field)
{
    return field == SP_F_IP_FRAG ? 2 : 8u * field_sizes[field];
}

static uint64_t low_bits(unsigned n)
{
    return n >= 64 ? UINT64_MAX : (1ull << n) - 1;
}

void sp_flow_build_init(struct sp_flow_build *build, uint8_t table, uint16_t priority, uint64_t cookie)
{
    build->cookie = cookie;
    build->priority = priority;
    build->table = table;
    build->failed = table > TABLE_MAX || !priority;
    build->ended = false;
    build->match_size = 0;
    build->actions_size = 0;
}

/* Bytes of the term at 'term'. */
static size_t term_size(const uint8_t *term)
{
    return 2 + field_sizes[term[0]] * (term[1] ? 2u : 1u);
}

/* Inserts a term that is not trivial: 'value' has no bit outside of 'mask'. */
static void insert_term(struct sp_flow_build *build, enum sp_field field, const uint8_t *value, const uint8_t *mask, bool masked)
{
    size_t width = field_sizes[field];
    size_t size = 2 + width * (masked ? 2 : 1);
    size_t at = 0;
    uint8_t *term;

    while (at < build->match_size && build->match[at] < field) {
        at += term_size(build->match + at);
    }
    if (build->match_size + size > sizeof build->match || (at < build->match_size && build->match[at] == field)) {
        build->failed = true;
        return;
    }
    term = build->match + at;
    memmove(term + size, term, build->match_size - at);
    build->match_size = (uint16_t) (build->match_size + size);
    term[0] = (uint8_t) field;
    term[1] = masked;
    memcpy(term + 2, value, width);
    if (masked) {
        memcpy(term + 2 + width, mask, width);
    }
}

void sp_flow_match_bytes(struct sp_flow_build *build, enum sp_field field, const void *value, const void *mask)
{
    size_t width = field_sizes[field];
    uint8_t full = field == SP_F_IP_FRAG ? 0x03 : 0xff;
    uint8_t values[16], masks[16];
    bool empty = true, exact = true;

    if (field >= SP_F_XXREG0) {
        for (size_t i = 0; i < 4; i++) {
            sp_flow_match_bytes(build, SP_F_REG0 + 4 * (field - SP_F_XXREG0) + (enum sp_field) i, (const uint8_t *) value + 4 * i,
                                mask ? (const uint8_t *) mask + 4 * i : NULL);
        }
        return;
    }
    for (size_t i = 0; i < width; i++) {
        masks[i] = mask ? ((const uint8_t *) mask)[i] & full : full;
        values[i] = ((const uint8_t *) value)[i] & masks[i];
        empty = empty && !masks[i];
        exact = exact && masks[i] == full;
    }
    if (!empty) {
        insert_term(build, field, values, masks, !exact);
    }
}

void sp_flow_match_uint(struct sp_flow_build *build, enum sp_field field, uint64_t value, uint64_t mask)
{
    size_t width = field_sizes[field];
    uint64_t value_be, mask_be;

    if (width > 8 || (value & ~low_bits(field_bits(field)))) {
        build->failed = true;
        return;
    }
    value_be = htobe64(value);
    mask_be = htobe64(mask);
    sp_flow_match_bytes(build, field, (const uint8_t *) &value_be + 8 - width, (const uint8_t *) &mask_be + 8 - width);
}

void sp_flow_match_exact(struct sp_flow_build *build, enum sp_field field, uint64_t value)
{
    sp_flow_match_uint(build, field, value, UINT64_MAX);
}

void sp_flow_match_cidr(struct sp_flow_build *build, enum sp_field field, enum sp_field field6, const struct sp_cidr *cidr)
{
    enum sp_field chosen = cidr->family == 4 ? field : field6;
    uint8_t mask[16] = {0};

    if ((cidr->family != 4 && cidr->family != 6) || field_sizes[chosen] != (cidr->family == 4 ? 4 : 16) ||
        cidr->prefix > 8 * field_sizes[chosen]) {
        build->failed = true;
        return;
    }
    for (unsigned i = 0; i < cidr->prefix; i++) {
        mask[i / 8] |= (uint8_t) (0x80u >> i % 8);
    }
    sp_flow_match_bytes(build, chosen, cidr->bytes, mask);
}

/* Appends 'op' with 'size' bytes of arguments if 'valid' and if it fits. */
static void append_op(struct sp_flow_build *build, enum sp_op op, const void *arguments, size_t size, bool valid)
{
    uint8_t *at = build->actions + build->actions_size;

    if (!valid || build->ended || build->actions_size + 1 + size > sizeof build->actions) {
        build->failed = true;
        return;
    }
    at[0] = (uint8_t) op;
    if (size) {
        memcpy(at + 1, arguments, size);
    }
    build->actions_size = (uint16_t) (build->actions_size + 1 + size);
    build->ended = op == SP_OP_GOTO;
}

/* Stores the low 'size' bytes of 'value' at '*at' in network order and moves '*at' behind them. */
static void put_be(uint8_t **at, uint64_t value, size_t size)
{
    uint64_t be = htobe64(value);

    memcpy(*at, (const uint8_t *) &be + 8 - size, size);
    *at += size;
}

static bool has_bits(enum sp_field field, unsigned first_bit, unsigned n_bits)
{
    return n_bits && field < SP_N_FIELDS && first_bit < field_bits(field) && n_bits <= field_bits(field) - first_bit;
}

void sp_flow_output(struct sp_flow_build *build, uint16_t port)
{
    uint8_t arguments[2], *at = arguments;

    put_be(&at, port, 2);
    append_op(build, SP_OP_OUTPUT, arguments, sizeof arguments, true);
}

void sp_flow_output_reg(struct sp_flow_build *build, enum sp_field reg)
{
    append_op(build, SP_OP_OUTPUT_REG, (const uint8_t[]){(uint8_t) reg}, 1, field_sizes[reg] == 4);
}

void sp_flow_goto(struct sp_flow_build *build, uint8_t table)
{
    append_op(build, SP_OP_GOTO, &table, 1, table > build->table && table <= TABLE_MAX);
}

void sp_flow_resubmit(struct sp_flow_build *build, uint8_t table)
{
    append_op(build, SP_OP_RESUBMIT, &table, 1, table <= TABLE_MAX);
}

void sp_flow_load(struct sp_flow_build *build, enum sp_field field, unsigned first_bit, unsigned n_bits, uint64_t value)
{
    uint8_t arguments[11], *at = arguments;

    put_be(&at, field, 1);
    put_be(&at, first_bit, 1);
    put_be(&at, n_bits, 1);
    put_be(&at, value, 8);
    append_op(build, SP_OP_LOAD, arguments, sizeof arguments,
              has_bits(field, first_bit, n_bits) && n_bits <= 64 && !(value & ~low_bits(n_bits)));
}

void sp_flow_load_reg(struct sp_flow_build *build, enum sp_field reg, uint32_t value)
{
    sp_flow_load(build, reg, 0, 32, value);
}

void sp_flow_move(struct sp_flow_build *build, enum sp_field src, unsigned src_bit, enum sp_field dst, unsigned dst_bit,
                  unsigned n_bits)
{
    const uint8_t arguments[] = {(uint8_t) src, (uint8_t) src_bit, (uint8_t) dst, (uint8_t) dst_bit, (uint8_t) n_bits};

    append_op(build, SP_OP_MOVE, arguments, sizeof arguments, has_bits(src, src_bit, n_bits) && has_bits(dst, dst_bit, n_bits));
}

void sp_flow_push(struct sp_flow_build *build, enum sp_field field, unsigned first_bit, unsigned n_bits)
{
    const uint8_t arguments[] = {(uint8_t) field, (uint8_t) first_bit, (uint8_t) n_bits};

    append_op(build, SP_OP_PUSH, arguments, sizeof arguments, has_bits(field, first_bit, n_bits));
}

void sp_flow_pop(struct sp_flow_build *build, enum sp_field field, unsigned first_bit, unsigned n_bits)
{
    const uint8_t arguments[] = {(uint8_t) field, (uint8_t) first_bit, (uint8_t) n_bits};

    append_op(build, SP_OP_POP, arguments, sizeof arguments, has_bits(field, first_bit, n_bits));
}

void sp_flow_copy(struct sp_flow_build *build, enum sp_field src, unsigned src_bit, enum sp_field dst, unsigned dst_bit,
                  unsigned n_bits)
{
    sp_flow_push(build, src, src_bit, n_bits);
    sp_flow_pop(build, dst, dst_bit, n_bits);
}

void sp_flow_ct(struct sp_flow_build *build, enum sp_field zone, uint8_t table)
{
    const uint8_t arguments[] = {0, (uint8_t) zone, 0, table, 0xff};

    append_op(build, SP_OP_CT, arguments, sizeof arguments, has_bits(zone, 0, 16) && table <= TABLE_MAX);
}

void sp_flow_ct_commit(struct sp_flow_build *build, enum sp_field zone, enum sp_field mark, uint8_t table)
{
    const uint8_t arguments[] = {SP_CT_OP_COMMIT, (uint8_t) zone, 0, table, mark == SP_N_FIELDS ? 0xff : (uint8_t) mark};

    append_op(build, SP_OP_CT, arguments, sizeof arguments,
              has_bits(zone, 0, 16) && (mark == SP_N_FIELDS || has_bits(mark, 0, 32)) && table <= TABLE_MAX);
}

void sp_flow_push_vlan(struct sp_flow_build *build)
{
    append_op(build, SP_OP_PUSH_VLAN, NULL, 0, true);
}

void sp_flow_pop_vlan(struct sp_flow_build *build)
{
    append_op(build, SP_OP_POP_VLAN, NULL, 0, true);
}

void sp_flow_learn_mac(struct sp_flow_build *build, uint8_t table, uint16_t priority, uint16_t idle_timeout_s, uint32_t limit,
                       uint64_t cookie, enum sp_field vlan, enum sp_field port)
{
    uint8_t arguments[19], *at = arguments;

    put_be(&at, table, 1);
    put_be(&at, priority, 2);
    put_be(&at, idle_timeout_s, 2);
    put_be(&at, limit, 4);
    put_be(&at, cookie, 8);
    put_be(&at, vlan, 1);
    put_be(&at, port, 1);
    append_op(build, SP_OP_LEARN_MAC, arguments, sizeof arguments,
              table <= TABLE_MAX && has_bits(vlan, 0, 12) && has_bits(port, 0, 16));
}

/* The switch carries a meter out before all else, wherever it stands (OpenFlow 1.4 section 5.9), so it must stand first. */
void sp_flow_meter(struct sp_flow_build *build, uint32_t meter)
{
    uint8_t arguments[4], *at = arguments;

    put_be(&at, meter, 4);
    append_op(build, SP_OP_METER, arguments, sizeof arguments, meter && meter <= METER_MAX && !build->actions_size);
}

void sp_flow_controller(struct sp_flow_build *build, uint16_t max_size, uint16_t controller)
{
    uint8_t arguments[4], *at = arguments;

    put_be(&at, max_size, 2);
    put_be(&at, controller, 2);
    append_op(build, SP_OP_CONTROLLER, arguments, sizeof arguments, max_size);
}

/* Mixes 'size' bytes into 'hash' (FNV-1a). */
static uint32_t hash_bytes(uint32_t hash, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ bytes[i]) * 0x01000193u;
    }
    return hash;
}

/* FNV-1a leaves the low bits of similar keys similar, and tables take the low bits: Murmur's finaliser spreads them. */
static uint32_t hash_key(const struct sp_flow_build *build)
{
    const uint8_t head[] = {build->table, (uint8_t) (build->priority >> 8), (uint8_t) build->priority};
    uint32_t hash = hash_bytes(hash_bytes(0x811c9dc5u, head, sizeof head), build->match, build->match_size);

    hash = (hash ^ hash >> 16) * 0x85ebca6bu;
    hash = (hash ^ hash >> 13) * 0xc2b2ae35u;
    return hash ^ hash >> 16;
}

static int finish(const struct sp_flow_build *build, bool alien, struct sp_flow **ret)
{
    size_t actions_size = alien ? 0 : build->actions_size;
    struct sp_flow *flow = malloc(sizeof *flow + build->match_size + actions_size);

    if (!flow) {
        return -ENOMEM;
    }
    *flow = (struct sp_flow){
        .refs = 1,
        .hash = hash_key(build),
        .cookie = build->cookie,
        .priority = build->priority,
        .table = build->table,
        .alien = alien,
        .match_size = build->match_size,
        .actions_size = (uint16_t) actions_size,
    };
    memcpy(flow->bytes, build->match, build->match_size);
    memcpy(flow->bytes + build->match_size, build->actions, actions_size);
    *ret = flow;
    return 0;
}

int sp_flow_build_done(const struct sp_flow_build *build, struct sp_flow **ret)
{
    return build->failed ? SP_E_RANGE : finish(build, false, ret);
}

int sp_flow_build_done_alien(const struct sp_flow_build *build, struct sp_flow **ret)
{
    return finish(build, true, ret);
}

struct sp_flow *sp_flow_ref(struct sp_flow *flow)
{
    flow->refs++;
    return flow;
}

void sp_flow_unref(struct sp_flow *flow)
{
    if (flow && !--flow->refs) {
        free(flow);
    }
}

bool sp_flow_same_key(const struct sp_flow *a, const struct sp_flow *b)
{
    return a == b ||
           (a->hash == b->hash && a->table == b->table && a->priority == b->priority && a->match_size == b->match_size &&
            !memcmp(sp_flow_match(a), sp_flow_match(b), a->match_size));
}

bool sp_flow_equal(const struct sp_flow *a, const struct sp_flow *b)
{
    return !a->alien && !b->alien && a->cookie == b->cookie && a->actions_size == b->actions_size && sp_flow_same_key(a, b) &&
           (a == b || !memcmp(sp_flow_actions(a), sp_flow_actions(b), a->actions_size));
}

int sp_flow_compare(const struct sp_flow *a, const struct sp_flow *b)
{
    size_t size = a->match_size < b->match_size ? a->match_size : b->match_size;
    int order;

    if (a->table != b->table) {
        return a->table < b->table ? -1 : 1;
    }
    if (a->priority != b->priority) {
        return a->priority > b->priority ? -1 : 1;
    }
    order = memcmp(sp_flow_match(a), sp_flow_match(b), size);
    return order ? order : (a->match_size > b->match_size) - (a->match_size < b->match_size);
}

const uint8_t *sp_flow_match(const struct sp_flow *flow)
{
    return flow->bytes;
}

bool sp_flow_match_value(const struct sp_flow *flow, enum sp_field field, uint32_t *ret)
{
    const uint8_t *bytes = sp_flow_match(flow);

    for (size_t i = 0; i + 2 <= flow->match_size && bytes[i] < SP_N_FIELDS;) {
        size_t size = sp_field_size(bytes[i]);

        if (bytes[i] == field && !bytes[i + 1] && size <= sizeof *ret) {
            uint32_t value = 0;

            for (size_t k = 0; k < size; k++) {
                value = value << 8 | bytes[i + 2 + k];
            }
            *ret = value;
            return true;
        }
        i += 2 + (bytes[i + 1] ? 2 * size : size);
    }
    return false;
}

const uint8_t *sp_flow_actions(const struct sp_flow *flow)
{
    return flow->bytes + flow->match_size;
}
