#include "flows/openflow/known.h"

#include <stdlib.h>
#include <string.h>

#include <openflow/openflow.h>

#include "flows/openflow/codec.h"

#define OXS_BASIC 0x8002u /* OFPXSC_OPENFLOW_BASIC.  Source: OpenFlow 1.5 section 7.2.4.2. */

struct slot {
    uint64_t digest;
    struct sp_flow *flow; /* NULL = free. */
};

/* Open addressing with linear probing, at most three quarters full; nothing is ever removed. */
struct slots {
    struct slot *slots;
    size_t n;
    size_t n_slots; /* A power of two, or 0. */
};

struct sp_known {
    uint64_t seed;
    struct slots before; /* Seen before this dump and, so far, not in it. */
    struct slots seen;
};

struct sp_known *sp_known_new(uint64_t seed)
{
    struct sp_known *known = calloc(1, sizeof *known);

    if (known) {
        known->seed = seed;
    }
    return known;
}

static void clear(struct slots *s)
{
    for (size_t i = 0; i < s->n_slots; i++) {
        sp_flow_unref(s->slots[i].flow);
    }
    free(s->slots);
    *s = (struct slots){0};
}

void sp_known_free(struct sp_known *known)
{
    if (known) {
        clear(&known->before);
        clear(&known->seen);
        free(known);
    }
}

size_t sp_known_count(const struct sp_known *known)
{
    return known->seen.n;
}

/* The slot of 'digest', or the free one where it belongs; 's' has a free one. */
static struct slot *find(const struct slots *s, uint64_t digest)
{
    size_t i = digest & (s->n_slots - 1);

    while (s->slots[i].flow && s->slots[i].digest != digest) {
        i = (i + 1) & (s->n_slots - 1);
    }
    return &s->slots[i];
}

static bool reserve(struct slots *s)
{
    struct slots new = {.n = s->n, .n_slots = s->n_slots ? 2 * s->n_slots : 16};

    if (4 * (s->n + 1) <= 3 * s->n_slots) {
        return true;
    }
    new.slots = calloc(new.n_slots, sizeof *new.slots);
    if (!new.slots) {
        return false;
    }
    for (size_t i = 0; i < s->n_slots; i++) {
        if (s->slots[i].flow) {
            *find(&new, s->slots[i].digest) = s->slots[i];
        }
    }
    free(s->slots);
    *s = new;
    return true;
}

/* Adds 'flow' or puts it in the place of what is there.  Returns false without memory. */
static bool put(struct slots *s, uint64_t digest, struct sp_flow *flow)
{
    struct slot *slot;

    if (!reserve(s)) {
        return false;
    }
    slot = find(s, digest);
    s->n += !slot->flow;
    sp_flow_ref(flow);
    sp_flow_unref(slot->flow);
    *slot = (struct slot){digest, flow};
    return true;
}

void sp_known_begin(struct sp_known *known)
{
    if (!known->before.n) {
        clear(&known->before);
        known->before = known->seen;
    } else {
        /* The last dump broke off. */
        for (size_t i = 0; i < known->seen.n_slots; i++) {
            if (known->seen.slots[i].flow && !put(&known->before, known->seen.slots[i].digest, known->seen.slots[i].flow)) {
                break;
            }
        }
        clear(&known->seen);
    }
    known->seen = (struct slots){0};
}

struct sp_flow *sp_known_find(struct sp_known *known, uint64_t digest)
{
    struct sp_flow *flow = known->before.n ? find(&known->before, digest)->flow : NULL;

    return flow && put(&known->seen, digest, flow) ? flow : NULL;
}

void sp_known_put(struct sp_known *known, uint64_t digest, struct sp_flow *flow)
{
    (void) put(&known->seen, digest, flow); /* Without memory it is decoded again next time. */
}

void sp_known_end(struct sp_known *known)
{
    clear(&known->before);
}

bool sp_known_adopt(struct sp_known *known, const struct sp_flow_table *table, size_t *cursor, size_t n)
{
    for (size_t i = 0; i < n && *cursor < known->seen.n_slots; i++) {
        struct slot *slot = &known->seen.slots[(*cursor)++];
        struct sp_flow *same = slot->flow ? sp_flow_table_find(table, slot->flow) : NULL;

        if (same && same != slot->flow && sp_flow_equal(same, slot->flow)) {
            sp_flow_unref(slot->flow);
            slot->flow = sp_flow_ref(same);
        }
    }
    return *cursor < known->seen.n_slots;
}

/* Mixes by a multiplication of 64 by 64 bits whose halves are folded. */
static uint64_t mix(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128) a * b;

    return (uint64_t) product ^ (uint64_t) (product >> 64);
}

/* Takes in 'size' bytes, eight at a time. */
static uint64_t take(uint64_t digest, const uint8_t *data, size_t size)
{
    while (size) {
        uint64_t word = 0;
        size_t n = size < sizeof word ? size : sizeof word;

        memcpy(&word, data, n);
        digest = mix(digest ^ word, 0x9e3779b97f4a7c15ull);
        data += n;
        size -= n;
    }
    return digest;
}

static size_t length_at(const uint8_t *at)
{
    return (size_t) at[0] << 8 | at[1];
}

/* Bytes of the match or of the statistics at 'at', padded: both have their length in their second 16 bits.  Returns 0 if it does
 * not fit into 'left'. */
static size_t padded_at(const uint8_t *at, size_t left)
{
    size_t size = left >= 4 ? (length_at(at + 2) + 7) / 8 * 8 : 0;

    return size <= left ? size : 0;
}

bool sp_known_digest(const struct sp_known *known, uint8_t version, const void *entry, size_t left, size_t *ret_size,
                     uint64_t *ret_digest)
{
    const uint8_t *bytes = entry;
    bool is_15 = version == SP_OF15;
    size_t head = is_15 ? sizeof(struct ofp15_flow_desc) : sizeof(struct ofp11_flow_stats);
    size_t size = left >= head ? length_at(bytes) : 0;
    size_t match_size = size >= head && size <= left ? padded_at(bytes + head, size - head) : 0;
    size_t stats_size = match_size && is_15 ? padded_at(bytes + head + match_size, size - head - match_size) : 0;
    size_t at = head + match_size + stats_size;
    uint64_t digest = known->seed;

    if (!match_size || (is_15 && !stats_size)) {
        return false;
    }
    if (is_15) { /* Table to cookie. */
        digest = take(digest, bytes + 4, head - 4);
    } else {
        digest = take(digest, bytes + offsetof(struct ofp11_flow_stats, table_id), 1);
        digest = take(digest, bytes + offsetof(struct ofp11_flow_stats, priority),
                      offsetof(struct ofp11_flow_stats, packet_count) - offsetof(struct ofp11_flow_stats, priority));
    }
    digest = take(mix(digest ^ match_size, size - at + 1), bytes + head, match_size);
    *ret_digest = take(digest, bytes + at, size - at);
    *ret_size = size;
    return true;
}

static uint64_t integer_at(const uint8_t *at)
{
    uint64_t value = 0;

    for (size_t i = 0; i < sizeof value; i++) {
        value = value << 8 | at[i];
    }
    return value;
}

/* The fields of OpenFlow 1.5's statistics ('size' bytes at 'at', their header included, their length by it): a class, 7 bits of
 * a field's number, a bit, the length of what follows. */
static void count_15(const uint8_t *at, size_t size, struct sp_count *ret)
{
    size_t end = length_at(at + 2) < size ? length_at(at + 2) : size;

    for (size_t i = 4; i + 4 <= end && i + 4 + at[i + 3] <= end; i += 4u + at[i + 3]) {
        unsigned field = at[i + 2] >> 1;

        if (length_at(at + i) != OXS_BASIC || at[i + 3] != sizeof(uint64_t)) {
            continue;
        }
        if (field == OFPXST_OFB_PACKET_COUNT) {
            ret->packets = integer_at(at + i + 4);
        } else if (field == OFPXST_OFB_BYTE_COUNT) {
            ret->bytes = integer_at(at + i + 4);
        }
    }
}

void sp_known_counters(uint8_t version, const void *entry, size_t size, struct sp_count *ret)
{
    const uint8_t *bytes = entry;

    if (version == SP_OF15) {
        size_t head = sizeof(struct ofp15_flow_desc);
        size_t stats = head + padded_at(bytes + head, size - head);

        *ret = (struct sp_count){UINT64_MAX, UINT64_MAX};
        count_15(bytes + stats, size - stats, ret);
    } else {
        *ret = (struct sp_count){
            .packets = integer_at(bytes + offsetof(struct ofp11_flow_stats, packet_count)),
            .bytes = integer_at(bytes + offsetof(struct ofp11_flow_stats, byte_count)),
        };
    }
}
