#include "tests/bench/bridges/table.h"

#include <arpa/inet.h>
#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include <openflow/openflow.h>

/* Offsets in a flow-mod: the header, struct ofp11_flow_mod, the match, the instructions. */
#define MATCH_AT (sizeof(struct ofp_header) + sizeof(struct ofp11_flow_mod))

struct parsed {
    struct ofp11_flow_mod fm;
    uint16_t length;     /* Of the message. */
    uint16_t match_size; /* Padded. */
    const uint8_t *match;
    uint32_t hash;
};

/* FNV-1a. */
static uint32_t hash_bytes(uint32_t hash, const void *data, size_t size)
{
    const uint8_t *p = data;

    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ p[i]) * 16777619u;
    }
    return hash;
}

/* False: it is shorter than it says, or than it must be. */
static bool parse(const void *mod, size_t size, struct parsed *p)
{
    const uint8_t *bytes = mod;
    size_t match_size;

    if (size < MATCH_AT + 8) {
        return false;
    }
    p->length = (uint16_t) (bytes[2] << 8 | bytes[3]);
    memcpy(&p->fm, bytes + sizeof(struct ofp_header), sizeof p->fm);
    p->match = bytes + MATCH_AT;
    match_size = ((size_t) p->match[2] << 8 | p->match[3]) + 7;
    match_size -= match_size % 8;
    if (p->length != size || match_size < 8 || match_size > size - MATCH_AT) {
        return false;
    }
    p->match_size = (uint16_t) match_size;
    p->hash = hash_bytes(2166136261u, p->match, match_size);
    p->hash = hash_bytes(p->hash, &p->fm.priority, sizeof p->fm.priority);
    p->hash = hash_bytes(p->hash, &p->fm.table_id, 1);
    return true;
}

struct refusal table_check(const void *mod, size_t size)
{
    struct parsed p;

    if (!parse(mod, size, &p)) {
        return (struct refusal){true, ERROR_REQUEST, REQUEST_BAD_LEN};
    }
    if (p.fm.command != OFPFC_ADD && p.fm.command != OFPFC_DELETE_STRICT) {
        return (struct refusal){true, ERROR_FLOW_MOD, FLOW_MOD_BAD_COMMAND};
    }
    if (p.fm.table_id >= 254) {
        return (struct refusal){true, ERROR_FLOW_MOD, FLOW_MOD_BAD_TABLE};
    }
    return (struct refusal){0};
}

/* The slot of the flow with the key of 'p', or the empty one where it belongs. */
static size_t find(const struct table *table, const struct parsed *p)
{
    size_t i = p->hash & (table->capacity - 1);

    for (struct entry *e; (e = table->slots[i]); i = (i + 1) & (table->capacity - 1)) {
        if (e->hash == p->hash && e->table == p->fm.table_id && e->priority_be == p->fm.priority &&
            e->match_size == p->match_size && !memcmp(e->bytes, p->match, p->match_size)) {
            break;
        }
    }
    return i;
}

static void resize(struct table *table)
{
    struct table new = {.n = table->n, .capacity = table->capacity ? 2 * table->capacity : 64};

    new.slots = calloc(new.capacity, sizeof *new.slots);
    assert(new.slots);
    for (size_t i = 0; i < table->capacity; i++) {
        struct entry *e = table->slots[i];
        size_t at = e ? e->hash & (new.capacity - 1) : 0;

        while (e && new.slots[at]) {
            at = (at + 1) & (new.capacity - 1);
        }
        if (e) {
            new.slots[at] = e;
        }
    }
    free(table->slots);
    *table = new;
}

/* Empties slot 'i' and moves up what was pushed past it. */
static void remove_slot(struct table *table, size_t i)
{
    size_t mask = table->capacity - 1;

    free(table->slots[i]);
    for (size_t k = (i + 1) & mask; table->slots[k]; k = (k + 1) & mask) {
        if (((k - table->slots[k]->hash) & mask) >= ((k - i) & mask)) {
            table->slots[i] = table->slots[k];
            i = k;
        }
    }
    table->slots[i] = NULL;
    table->n--;
}

static struct entry *new_entry(const struct parsed *p)
{
    size_t actions_size = p->length - MATCH_AT - p->match_size;
    struct entry *e = malloc(sizeof *e + p->match_size + actions_size);

    assert(e);
    *e = (struct entry){.hash = p->hash,
                        .match_size = p->match_size,
                        .actions_size = (uint16_t) actions_size,
                        .cookie_be = p->fm.cookie,
                        .priority_be = p->fm.priority,
                        .flags_be = p->fm.flags,
                        .table = p->fm.table_id};
    memcpy(e->bytes, p->match, p->match_size + actions_size);
    return e;
}

enum change table_modify(struct table *table, const void *mod)
{
    struct parsed p;
    size_t i;
    bool ok = parse(mod, (size_t) ((const uint8_t *) mod)[2] << 8 | ((const uint8_t *) mod)[3], &p);

    assert(ok);
    if (4 * (table->n + 1) > 3 * table->capacity) {
        resize(table);
    }
    i = find(table, &p);
    if (p.fm.command == OFPFC_DELETE_STRICT) {
        if (!table->slots[i] || (table->slots[i]->cookie_be & p.fm.cookie_mask) != p.fm.cookie) {
            return UNCHANGED;
        }
        remove_slot(table, i);
        return DELETED;
    }
    table->n += !table->slots[i];
    free(table->slots[i]);
    table->slots[i] = new_entry(&p);
    return ADDED;
}

void table_clear(struct table *table)
{
    for (size_t i = 0; i < table->capacity; i++) {
        free(table->slots[i]);
    }
    free(table->slots);
    *table = (struct table){0};
}

size_t table_described_size(const struct entry *entry)
{
    return sizeof(struct ofp11_flow_stats) + entry->match_size + entry->actions_size;
}

void table_describe(const struct entry *entry, uint64_t packets, uint8_t *out)
{
    uint64_t told = ntohs(entry->flags_be) & OFPFF_SEND_FLOW_REM ? packets : 0;
    const struct ofp11_flow_stats stats = {.length = htons((uint16_t) table_described_size(entry)),
                                           .table_id = entry->table,
                                           .priority = entry->priority_be,
                                           .flags = entry->flags_be,
                                           .packet_count = htobe64(told),
                                           .byte_count = htobe64(100 * told),
                                           .cookie = entry->cookie_be};

    memcpy(out, &stats, sizeof stats);
    memcpy(out + sizeof stats, entry->bytes, (size_t) entry->match_size + entry->actions_size);
}
