/* An index: a hash table from keys to rings of nodes, for one-to-one and one-to-many relations alike.
 *
 * Nodes are embedded in what they index.  All nodes of one key form a ring whose first one, the head, stands in the hash table.
 * The index never looks at a key itself: the caller gives the hash, and 'match' compares a node's key with one asked for.
 *
 * Guarantees: I1 adding and removing cannot fail (a table that cannot grow for want of memory only gets slower), so that a
 * change prepared before can always be carried out; I2 both take constant time, whatever the number of nodes of the key;
 * I3 a ring is walked in the order in which its nodes were added. */

#ifndef SALLYPORT_CONTROLLER_MODEL_INDEX_H
#define SALLYPORT_CONTROLLER_MODEL_INDEX_H 1

#include "sallyport/value.h"

struct sp_index_node {
    struct sp_index_node *chain; /* Heads: the next head of the bucket. */
    struct sp_index_node *prev;  /* In the ring. */
    struct sp_index_node *next;
    void *owner;                 /* Set by the owner before adding, with the two below. */
    uint32_t item;
    uint32_t subitem;
    uint32_t hash;
    uint32_t count;              /* Heads: nodes in the ring; others: 0. */
};

typedef bool sp_index_match(const struct sp_index_node *, const void *key);

struct sp_index {
    struct sp_index_node **buckets; /* 'mask' + 1 of them; NULL as long as there is only 'first'. */
    struct sp_index_node *first;
    size_t mask;
    size_t n_heads;                 /* Distinct keys. */
    sp_index_match *match;
};

void sp_index_init(struct sp_index *, sp_index_match *match);
void sp_index_clear(struct sp_index *); /* Forgets the nodes, which belong to their owners, and frees the table. */

/* Adds 'node' as the last of its key's ring; removes it.  'hash' and 'key' are the same both times. */
void sp_index_add(struct sp_index *, struct sp_index_node *node, uint32_t hash, const void *key);
void sp_index_remove(struct sp_index *, struct sp_index_node *node, uint32_t hash, const void *key);

/* The first node of 'key', or NULL; its 'count' says how many there are. */
struct sp_index_node *sp_index_find(const struct sp_index *, uint32_t hash, const void *key);
/* The node after 'node' in the ring of 'head', or NULL at its end. */
struct sp_index_node *sp_index_next(const struct sp_index_node *head, const struct sp_index_node *node);

/* Goes through the heads in no particular order: start with '*cursor' 0 and 'head' NULL; NULL ends. */
struct sp_index_node *sp_index_next_head(const struct sp_index *, const struct sp_index_node *head, size_t *cursor);

/* A 32-bit hash of 'size' bytes that nobody predicts who does not know 'seed'; chain calls for keys of several parts. */
uint32_t sp_index_hash(uint64_t seed, const void *data, size_t size);

#endif
