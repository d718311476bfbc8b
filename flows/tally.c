#include "flows/tally.h"

#include <errno.h>
#include <stdlib.h>

#include "sallyport/pipeline.h"

#define NONE UINT32_MAX

/* A life of a flow. */
struct life {
    uint64_t name;
    struct sp_count told;
    struct sp_count stored; /* What of it the store has. */
    uint32_t id;            /* 0: free. */
    uint32_t slot;
    uint32_t next;          /* Of the same bucket, or free. */
    uint32_t dump;          /* The last one that has told of it. */
    uint8_t absent;         /* Complete dumps since. */
    bool absent_stored;     /* The store knows that there were some. */
    bool lost;              /* It went while nobody could be told. */
    bool ended;
};

struct sp_tally {
    struct life *lives;
    size_t n_lives;     /* Places that were ever used. */
    size_t capacity;
    size_t n_used;
    size_t n_ended;
    uint32_t free;      /* First free place, or NONE. */
    uint32_t *buckets;  /* 'mask' + 1 of them. */
    size_t mask;
    uint32_t next_id;
    uint32_t dump;
    bool first;         /* The dump is the first one of a connection. */
};

bool sp_flow_is_counted(uint64_t cookie, uint8_t table, uint16_t priority)
{
    if ((cookie & SP_COOKIE_OWNER_MASK) != SP_COOKIE_OWNER || SP_COOKIE_KIND(cookie) != SP_COOKIE_RULE) {
        return false;
    }
    switch (table) {
    case SP_T_GATE:
    case SP_T_STAMP:
        return true;
    case SP_T_RULES_OUT:
    case SP_T_RULES_IN:
    case SP_T_WIDE_OUT:
    case SP_T_WIDE_IN:
    case SP_T_SCTP_ORIGINAL:
    case SP_T_SCTP_REPLY:
        return SP_RULE_PRIORITY_DENIES(priority);
    default:
        return false;
    }
}

/* Mixes by a multiplication of 64 by 64 bits whose halves are folded. */
static uint64_t mix(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128) a * b;

    return (uint64_t) product ^ (uint64_t) (product >> 64);
}

uint64_t sp_flow_name(const struct sp_flow *flow)
{
    const uint8_t *match = sp_flow_match(flow);
    uint64_t name = mix(flow->cookie ^ 0x9e3779b97f4a7c15ull, 0xff51afd7ed558ccdull);

    name = mix(name ^ ((uint64_t) flow->table << 32 | (uint64_t) flow->priority << 16 | flow->match_size), 0xc4ceb9fe1a85ec53ull);
    for (size_t i = 0; i < flow->match_size; i += 8) {
        uint64_t word = 0;

        for (size_t k = i; k < i + 8 && k < flow->match_size; k++) {
            word = word << 8 | match[k];
        }
        name = mix(name ^ word, 0x9e3779b97f4a7c15ull);
    }
    return name;
}

struct sp_tally *sp_tally_new(void)
{
    struct sp_tally *t = calloc(1, sizeof *t);

    if (t) {
        t->free = NONE;
        t->next_id = 1;
    }
    return t;
}

void sp_tally_free(struct sp_tally *t)
{
    if (t) {
        free(t->lives);
        free(t->buckets);
        free(t);
    }
}

bool sp_tally_is_empty(const struct sp_tally *t)
{
    return !t->n_used;
}

/* Makes room for one more life. */
static int reserve(struct sp_tally *t)
{
    size_t capacity = t->capacity ? 2 * t->capacity : 16;
    struct life *lives;
    uint32_t *buckets;

    if (t->free != NONE || t->n_lives < t->capacity) {
        return 0;
    }
    if (capacity >= NONE) {
        return -ENOMEM;
    }
    lives = realloc(t->lives, capacity * sizeof *lives);
    if (!lives) {
        return -ENOMEM;
    }
    t->lives = lives;
    buckets = malloc(capacity * sizeof *buckets);
    if (!buckets) {
        return -ENOMEM;
    }
    free(t->buckets);
    t->buckets = buckets;
    t->capacity = capacity;
    t->mask = capacity - 1;
    for (size_t i = 0; i < capacity; i++) {
        buckets[i] = NONE;
    }
    for (uint32_t i = 0; i < t->n_lives; i++) { /* None of them is free. */
        lives[i].next = buckets[lives[i].name & t->mask];
        buckets[lives[i].name & t->mask] = i;
    }
    return 0;
}

static int add(struct sp_tally *t, const struct life *life)
{
    int r = reserve(t);
    uint32_t at = t->free, *bucket;

    if (r) {
        return r;
    }
    if (at != NONE) {
        t->free = t->lives[at].next;
    } else {
        at = (uint32_t) t->n_lives++;
    }
    bucket = &t->buckets[life->name & t->mask];
    t->lives[at] = *life;
    t->lives[at].next = *bucket;
    *bucket = at;
    t->n_used++;
    return 0;
}

static void drop(struct sp_tally *t, uint32_t at)
{
    struct life *life = &t->lives[at];
    uint32_t *place = &t->buckets[life->name & t->mask];

    while (*place != at) {
        place = &t->lives[*place].next;
    }
    *place = life->next;
    t->n_ended -= life->ended;
    t->n_used--;
    *life = (struct life){.next = t->free};
    t->free = at;
}

static bool is_within(const struct sp_count *a, const struct sp_count *b)
{
    return a->packets <= b->packets && a->bytes <= b->bytes;
}

enum choice { THERE, TOLD, ANY }; /* Those that the last complete dump had; those that are not lost; all. */

/* The life of 'name' with the greatest count that is not above 'raw' of those of 'choice', or NULL. */
static struct life *find(struct sp_tally *t, uint64_t name, const struct sp_count *raw, enum choice choice)
{
    struct life *best = NULL;

    for (uint32_t i = t->buckets ? t->buckets[name & t->mask] : NONE; i != NONE; i = t->lives[i].next) {
        struct life *life = &t->lives[i];
        bool fits = life->name == name && !life->ended && is_within(&life->told, raw);
        bool chosen = choice == THERE ? !life->absent : choice == TOLD ? !life->lost : true;

        if (fits && chosen && (!best || is_within(&best->told, &life->told))) {
            best = life;
        }
    }
    return best;
}

static void take(struct life *life, const struct sp_count *raw, struct sp_count *ret_new)
{
    *ret_new = (struct sp_count){raw->packets - life->told.packets, raw->bytes - life->told.bytes};
    life->told = *raw;
}

static void end(struct sp_tally *t, struct life *life)
{
    life->ended = true;
    t->n_ended++;
}

/* 'life' is ended by the telling of an end at 'raw' that may have been another's.  Of those that it may have been, the one with
 * the greatest count is now in its place: it must not be forgotten sooner, and a flow that is there may go on from it. */
static void replace(struct sp_tally *t, struct life *life, const struct sp_count *raw)
{
    struct life *next;

    end(t, life);
    next = find(t, life->name, raw, TOLD);
    if (next && !life->lost && next->absent > life->absent) {
        next->absent = life->absent;
        next->dump = life->dump;
    }
}

/* A number for a new row; after 2^32 of them it begins again, long after the first ones have gone. */
static uint32_t take_id(struct sp_tally *t)
{
    uint32_t id = t->next_id++;

    t->next_id += !t->next_id;
    return id;
}

void sp_tally_begin(struct sp_tally *t, bool first)
{
    t->dump++;
    t->first = first;
}

int sp_tally_read(struct sp_tally *t, uint64_t name, uint32_t slot, const struct sp_count *raw, struct sp_count *ret_new)
{
    struct life *life = find(t, name, raw, THERE);

    *ret_new = (struct sp_count){0, 0};
    if (life) {
        take(life, raw, ret_new);
        life->dump = t->dump;
        return 0;
    }
    if (raw->packets) {
        struct life new = {.name = name, .told = *raw, .id = take_id(t), .slot = slot, .dump = t->dump};
        int r = add(t, &new);

        if (r) {
            return r;
        }
        *ret_new = *raw;
    }
    return 0;
}

void sp_tally_end(struct sp_tally *t)
{
    for (size_t i = 0; i < t->n_lives; i++) {
        struct life *life = &t->lives[i];

        if (life->id && !life->ended) {
            life->absent = life->dump == t->dump ? 0 : life->absent + 1;
            life->lost = life->absent && (life->lost || t->first);
            if (life->absent >= SP_TALLY_ABSENT_MAX) {
                end(t, life);
            }
        }
    }
}

int sp_tally_removed(struct sp_tally *t, uint64_t name, uint32_t slot, const struct sp_count *raw, struct sp_count *ret_new)
{
    struct life *life = find(t, name, raw, TOLD);
    int r;

    *ret_new = (struct sp_count){0, 0};
    life = life ? life : find(t, name, raw, ANY);
    if (life) {
        take(life, raw, ret_new);
        replace(t, life, raw);
        return 0;
    }
    if (!raw->packets) {
        return 0;
    }
    if (t->n_ended >= SP_TALLY_ENDED_MAX) {
        return SP_E_FULL;
    }
    r = add(t, &(struct life){.name = name, .told = *raw, .id = take_id(t), .slot = slot, .ended = true});
    if (!r) {
        t->n_ended++;
        *ret_new = *raw;
    }
    return r;
}

void sp_tally_drop(struct sp_tally *t)
{
    for (size_t i = 0; i < t->n_lives; i++) {
        if (t->lives[i].id && !t->lives[i].ended) {
            end(t, &t->lives[i]);
        }
    }
}

int sp_tally_load(struct sp_tally *t, const struct sp_tally_row *row)
{
    struct life life = {.name = row->name, .told = row->told, .stored = row->told, .id = row->id, .slot = row->slot,
                        .absent = row->absent, .absent_stored = row->absent, .lost = row->absent};
    int r = add(t, &life);

    if (!r && row->id >= t->next_id) {
        t->next_id = row->id + 1;
        t->next_id += !t->next_id;
    }
    return r;
}

bool sp_tally_next_row(const struct sp_tally *t, size_t *cursor, struct sp_tally_row *ret)
{
    while (*cursor < t->n_lives) {
        const struct life *life = &t->lives[(*cursor)++];
        bool same = life->told.packets == life->stored.packets && life->told.bytes == life->stored.bytes
            && (life->absent > 0) == life->absent_stored;

        if (life->id && (life->ended || !same)) {
            *ret = (struct sp_tally_row){
                .id = life->id,
                .slot = life->slot,
                .name = life->name,
                .told = life->told,
                .fresh = {life->told.packets - life->stored.packets, life->told.bytes - life->stored.bytes},
                .absent = life->absent > 0,
                .ended = life->ended,
            };
            return true;
        }
    }
    return false;
}

void sp_tally_stored(struct sp_tally *t, const struct sp_tally_row *row)
{
    for (uint32_t i = t->buckets ? t->buckets[row->name & t->mask] : NONE; i != NONE; i = t->lives[i].next) {
        struct life *life = &t->lives[i];

        if (life->id == row->id) {
            life->stored = row->told;
            life->absent_stored = row->absent;
            if (row->ended) {
                drop(t, i);
            }
            return;
        }
    }
}
