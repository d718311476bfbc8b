#include "controller/model/index.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS_MIN 16

void sp_index_init(struct sp_index *index, sp_index_match *match)
{
    *index = (struct sp_index) { .match = match };
}

void sp_index_clear(struct sp_index *index)
{
    free(index->buckets);
    sp_index_init(index, index->match);
}

static struct sp_index_node **bucket_of(struct sp_index *index, uint32_t hash)
{
    return index->buckets ? &index->buckets[hash & index->mask] : &index->first;
}

static void push_head(struct sp_index *index, struct sp_index_node *head)
{
    struct sp_index_node **bucket = bucket_of(index, head->hash);
    head->chain = *bucket;
    *bucket = head;
}

/* Doubles the table if it is full; stays as it is if there is no memory for that. */
static void grow(struct sp_index *index)
{
    size_t n_old = index->buckets ? index->mask + 1 : 1;
    if (index->n_heads < n_old) {
        return;
    }
    size_t n_new = index->buckets ? 2 * n_old : BUCKETS_MIN;
    struct sp_index_node **larger = calloc(n_new, sizeof *larger);
    if (!larger) {
        return;
    }
    struct sp_index old = *index;
    index->buckets = larger;
    index->first = NULL;
    index->mask = n_new - 1;
    for (size_t i = 0; i < n_old; i++) {
        struct sp_index_node *next;
        for (struct sp_index_node *head = old.buckets ? old.buckets[i] : old.first; head; head = next) {
            next = head->chain;
            push_head(index, head);
        }
    }
    free(old.buckets);
}

void sp_index_add(struct sp_index *index, struct sp_index_node *node, uint32_t hash, const void *key)
{
    struct sp_index_node *head = sp_index_find(index, hash, key);
    node->hash = hash;
    node->chain = NULL;
    if (head) {
        node->count = 0;
        node->next = head;
        node->prev = head->prev;
        head->prev->next = node;
        head->prev = node;
        head->count++;
        return;
    }
    node->count = 1;
    node->next = node->prev = node;
    grow(index);
    push_head(index, node);
    index->n_heads++;
}

void sp_index_remove(struct sp_index *index, struct sp_index_node *node, uint32_t hash, const void *key)
{
    if (!node->count) {
        struct sp_index_node *head = sp_index_find(index, hash, key);
        assert(head && head->count > 1);
        head->count--;
        node->prev->next = node->next;
        node->next->prev = node->prev;
        return;
    }

    struct sp_index_node **link = bucket_of(index, hash);
    while (*link != node) {
        assert(*link);
        link = &(*link)->chain;
    }
    if (node->count == 1) {
        *link = node->chain;
        index->n_heads--;
    } else {
        struct sp_index_node *heir = node->next;
        heir->count = node->count - 1;
        heir->chain = node->chain;
        heir->prev = node->prev;
        node->prev->next = heir;
        *link = heir;
    }
    node->count = 0;
}

struct sp_index_node *sp_index_find(const struct sp_index *index, uint32_t hash, const void *key)
{
    struct sp_index_node *head = index->buckets ? index->buckets[hash & index->mask] : index->first;
    while (head && (head->hash != hash || !index->match(head, key))) {
        head = head->chain;
    }
    return head;
}

struct sp_index_node *sp_index_next(const struct sp_index_node *head, const struct sp_index_node *node)
{
    return node->next == head ? NULL : node->next;
}

struct sp_index_node *sp_index_next_head(const struct sp_index *index, const struct sp_index_node *head, size_t *cursor)
{
    if (head && head->chain) {
        return head->chain;
    }
    if (!index->buckets) {
        return head ? NULL : index->first;
    }
    while (*cursor <= index->mask) {
        struct sp_index_node *first = index->buckets[(*cursor)++];
        if (first) {
            return first;
        }
    }
    return NULL;
}

static uint64_t mix(uint64_t value)
{
    /* The finaliser of SplitMix64: every bit of the input reaches every bit of the output. */
    value ^= value >> 30;
    value *= 0xbf58476d1ce4e5b9ull;
    value ^= value >> 27;
    value *= 0x94d049bb133111ebull;
    return value ^ value >> 31;
}

uint32_t sp_index_hash(uint64_t seed, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    uint64_t hash = mix(seed + size + 0x9e3779b97f4a7c15ull);
    while (size) {
        uint64_t word = 0;
        size_t n = size < sizeof word ? size : sizeof word;
        memcpy(&word, bytes, n);
        hash = mix(hash ^ word) + seed;
        bytes += n;
        size -= n;
    }
    return (uint32_t) (hash ^ hash >> 32);
}
