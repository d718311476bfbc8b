#include "flows/openflow/known.h"

#include <stdlib.h>
#include <string.h>

#include <openflow/openflow.h>

#include "flows/openflow/codec.h"

#define OXS_BASIC 0x8002u /* OFPXSC_OPENFLOW_BASIC.  Source: OpenFlow 1.5 section 7.2.4.2. */

struct entry {
    uint64_t digest;
    struct sp_flow *flow;
};

struct sp_known {
    uint64_t seed;
    uint64_t key;
    struct entry *entries; /* In the order of their telling, new ones last. */
    uint8_t *seen;         /* Of each, whether this dump has told it. */
    size_t n;
    size_t capacity;
    uint32_t *index;       /* By digest: 1 + an entry's place, 0 = free; linear probing, at most three quarters full. */
    size_t n_index;        /* A power of two, or 0. */
    size_t n_seen;
    size_t next;           /* Behind the entry that was found last. */
    bool is_same;          /* Nothing was put since the dump began, or, after it, since it did and all was seen. */
};

/* Mixes by a multiplication of 64 by 64 bits whose halves are folded. */
static uint64_t mix(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128) a * b;

    return (uint64_t) product ^ (uint64_t) (product >> 64);
}

struct sp_known *sp_known_new(uint64_t seed)
{
    struct sp_known *known = calloc(1, sizeof *known);

    if (known) {
        known->seed = mix(seed ^ 0x9e3779b97f4a7c15ull, 0xff51afd7ed558ccdull);
        known->key = mix(seed ^ 0xc4ceb9fe1a85ec53ull, 0x9e3779b97f4a7c15ull);
    }
    return known;
}

void sp_known_free(struct sp_known *known)
{
    if (known) {
        for (size_t i = 0; i < known->n; i++) {
            sp_flow_unref(known->entries[i].flow);
        }
        free(known->entries);
        free(known->seen);
        free(known->index);
        free(known);
    }
}

size_t sp_known_count(const struct sp_known *known)
{
    return known->n;
}

/* Where in the index 'digest' is, or the free place where it belongs; there is one. */
static uint32_t *place(const struct sp_known *known, uint64_t digest)
{
    size_t i = digest & (known->n_index - 1);

    while (known->index[i] && known->entries[known->index[i] - 1].digest != digest) {
        i = (i + 1) & (known->n_index - 1);
    }
    return &known->index[i];
}

static void fill_index(struct sp_known *known)
{
    memset(known->index, 0, known->n_index * sizeof *known->index);
    for (size_t i = 0; i < known->n; i++) {
        *place(known, known->entries[i].digest) = (uint32_t) i + 1;
    }
}

/* Memory for 'capacity' entries, no fewer than there are.  Returns false without. */
static bool resize(struct sp_known *known, size_t capacity)
{
    struct entry *entries = reallocarray(known->entries, capacity, sizeof *entries);
    uint8_t *seen;

    if (!entries) {
        return false;
    }
    known->entries = entries;
    seen = realloc(known->seen, capacity);
    if (!seen) {
        known->capacity = known->capacity < capacity ? known->capacity : capacity;
        return false;
    }
    known->seen = seen;
    known->capacity = capacity;
    return true;
}

/* Makes room for one more entry. */
static bool reserve(struct sp_known *known)
{
    size_t n_index = known->n_index ? 2 * known->n_index : 16;
    uint32_t *index;

    if (known->n == known->capacity && !resize(known, known->n + known->n / 2 + 16)) {
        return false;
    }
    if (4 * (known->n + 1) <= 3 * known->n_index) {
        return true;
    }
    index = n_index <= UINT32_MAX ? calloc(n_index, sizeof *index) : NULL;
    if (!index) {
        return false;
    }
    free(known->index);
    known->index = index;
    known->n_index = n_index;
    fill_index(known);
    return true;
}

/* A dump that broke off has forgotten nothing. */
void sp_known_begin(struct sp_known *known)
{
    if (known->n) {
        memset(known->seen, 0, known->n);
    }
    known->n_seen = known->next = 0;
    known->is_same = true;
}

static void see(struct sp_known *known, size_t at)
{
    known->n_seen += !known->seen[at];
    known->seen[at] = true;
    known->next = at + 1;
}

struct sp_flow *sp_known_find(struct sp_known *known, uint64_t digest)
{
    size_t at = known->next;

    if (at >= known->n || known->entries[at].digest != digest) {
        uint32_t found = known->n ? *place(known, digest) : 0;

        if (!found) {
            return NULL;
        }
        at = found - 1;
    }
    see(known, at);
    return known->entries[at].flow;
}

void sp_known_put(struct sp_known *known, uint64_t digest, struct sp_flow *flow)
{
    uint32_t *found;

    known->is_same = false;
    if (!reserve(known)) {
        return; /* It is decoded again next time. */
    }
    found = place(known, digest);
    sp_flow_ref(flow);
    if (*found) {
        sp_flow_unref(known->entries[*found - 1].flow);
    } else {
        known->seen[known->n++] = false;
        *found = (uint32_t) known->n;
    }
    known->entries[*found - 1] = (struct entry){digest, flow};
    see(known, *found - 1);
}

void sp_known_end(struct sp_known *known)
{
    size_t n = 0;

    known->is_same = known->is_same && known->n_seen == known->n;
    for (size_t i = 0; i < known->n && known->n_seen < known->n; i++) {
        if (known->seen[i]) {
            known->entries[n++] = known->entries[i];
        } else {
            sp_flow_unref(known->entries[i].flow);
        }
    }
    if (known->n_seen < known->n) {
        known->n = n;
        fill_index(known);
    }
    if (known->n && known->capacity > known->n + known->n / 8 + 16) {
        (void) resize(known, known->n); /* If not it keeps what it has. */
    }
}

bool sp_known_is_same(const struct sp_known *known)
{
    return known->is_same;
}

struct sp_flow *sp_known_next(const struct sp_known *known, size_t *cursor)
{
    return *cursor < known->n ? known->entries[(*cursor)++].flow : NULL;
}

bool sp_known_adopt(struct sp_known *known, const struct sp_flow_table *table, size_t *cursor, size_t n, size_t *n_equal)
{
    for (size_t i = 0; i < n && *cursor < known->n; i++) {
        struct entry *entry = &known->entries[(*cursor)++];
        struct sp_flow *same = sp_flow_table_find(table, entry->flow);

        if (same && (same == entry->flow || sp_flow_equal(same, entry->flow))) {
            sp_flow_ref(same);
            sp_flow_unref(entry->flow);
            entry->flow = same;
            ++*n_equal;
        }
    }
    return *cursor < known->n;
}

/* The next eight bytes, or the 'size' that there are. */
static uint64_t word_at(const uint8_t *data, size_t size)
{
    uint64_t word = 0;

    memcpy(&word, data, size < sizeof word ? size : sizeof word);
    return word;
}

/* Takes in 'size' bytes, sixteen at a time.  Both factors have something that the peer does not know. */
static uint64_t take(const struct sp_known *known, uint64_t digest, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i += 16) {
        uint64_t second = size - i > 8 ? word_at(data + i + 8, size - i - 8) : 0;

        digest = mix(digest ^ word_at(data + i, size - i), known->key ^ second);
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
        digest = take(known, digest, bytes + 4, head - 4);
    } else {
        digest = take(known, digest, bytes + offsetof(struct ofp11_flow_stats, table_id), 1);
        digest = take(known, digest, bytes + offsetof(struct ofp11_flow_stats, priority),
                      offsetof(struct ofp11_flow_stats, packet_count) - offsetof(struct ofp11_flow_stats, priority));
    }
    digest = take(known, mix(digest ^ match_size, known->key ^ (size - at)), bytes + head, match_size);
    *ret_digest = take(known, digest, bytes + at, size - at);
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

        bool is_masked = at[i + 2] & 1; /* Which no statistic is, and the library takes none of. */

        if (length_at(at + i) != OXS_BASIC || is_masked || at[i + 3] != sizeof(uint64_t)) {
            continue;
        }
        if (field == OFPXST_OFB_PACKET_COUNT) {
            ret->packets = integer_at(at + i + 4);
        } else if (field == OFPXST_OFB_BYTE_COUNT) {
            ret->bytes = integer_at(at + i + 4);
        }
    }
}

/* Whether the flow of an entry of 'version' is one that is counted. */
static bool is_counted(uint8_t version, const uint8_t *entry)
{
    bool is_15 = version == SP_OF15;
    uint8_t table = entry[is_15 ? offsetof(struct ofp15_flow_desc, table_id) : offsetof(struct ofp11_flow_stats, table_id)];
    size_t priority_at = is_15 ? offsetof(struct ofp15_flow_desc, priority) : offsetof(struct ofp11_flow_stats, priority);
    size_t cookie_at = is_15 ? offsetof(struct ofp15_flow_desc, cookie) : offsetof(struct ofp11_flow_stats, cookie);

    return sp_flow_is_counted(integer_at(entry + cookie_at), table, (uint16_t) length_at(entry + priority_at));
}

bool sp_known_counters(uint8_t version, const void *entry, size_t size, struct sp_count *ret)
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
    return (ret->packets || ret->bytes) && is_counted(version, bytes);
}
