/* A bridge's flow table as bytes: what a controller said in its flow-mods, kept as it was said and told again in statistics.
 * Nothing is decoded but what a table's key and the filters need, so that a thousand bridges with a million flows cost
 * little beside the controller that is measured.  OpenFlow 1.4; additions and strict deletions only. */

#ifndef SALLYPORT_TESTS_BENCH_BRIDGES_TABLE_H
#define SALLYPORT_TESTS_BENCH_BRIDGES_TABLE_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct entry {
    uint32_t hash;         /* Of table, priority and match. */
    uint16_t match_size;   /* Padded. */
    uint16_t actions_size; /* Instructions. */
    uint64_t cookie_be;
    uint16_t priority_be;
    uint16_t flags_be;
    uint8_t table;
    uint8_t bytes[];       /* Match, instructions. */
};

struct table {
    struct entry **slots;  /* NULL: empty. */
    size_t n;
    size_t capacity;       /* A power of two, or 0. */
};

/* Types and codes of errors: OpenFlow 1.4 section 7.5.4. */
enum {
    ERROR_REQUEST = 1,
    REQUEST_BAD_TYPE = 1,
    REQUEST_BAD_MULTIPART = 2,
    REQUEST_BAD_LEN = 6,
    ERROR_FLOW_MOD = 5,
    FLOW_MOD_BAD_TABLE = 2,
    FLOW_MOD_BAD_COMMAND = 6,
    ERROR_BUNDLE = 17,
    BUNDLE_BAD_ID = 2,
    BUNDLE_UNSUPPORTED = 10,
};

struct refusal {
    bool refused;
    uint16_t type, code;
};

enum change { UNCHANGED, ADDED, DELETED };

/* Whether 'mod', a whole OFPT_FLOW_MOD of 'size' bytes, is one that table_modify() can carry out. */
struct refusal table_check(const void *mod, size_t size);
/* Carries out 'mod', which has been checked. */
enum change table_modify(struct table *, const void *mod);
void table_clear(struct table *);

/* Bytes of 'entry' in a flow statistics reply; and writes them, with 'packets' (of 100 bytes) if it is to tell them when it is
 * deleted, else none. */
size_t table_described_size(const struct entry *entry);
void table_describe(const struct entry *entry, uint64_t packets, uint8_t *out);

#endif
