#include "flows/table.h"

#include <errno.h>
#include <stdlib.h>

/* Open addressing with linear probing, at most three quarters full; a removal moves later entries back, so that no
 * tombstones gather. */
struct sp_flow_table {
    struct sp_flow **slots; /* NULL = free. */
    size_t n_slots;         /* A power of two. */
    size_t n;
};

#define SLOTS_MIN 16

struct sp_flow_table *sp_flow_table_new(void)
{
    struct sp_flow_table *table = calloc(1, sizeof *table);

    if (!table) {
        return NULL;
    }
    table->n_slots = SLOTS_MIN;
    table->slots = calloc(table->n_slots, sizeof *table->slots);
    if (!table->slots) {
        free(table);
        return NULL;
    }
    return table;
}

void sp_flow_table_free(struct sp_flow_table *table)
{
    if (!table) {
        return;
    }
    for (size_t i = 0; i < table->n_slots; i++) {
        sp_flow_unref(table->slots[i]);
    }
    free(table->slots);
    free(table);
}

bool sp_flow_table_drain(struct sp_flow_table *table, size_t n)
{
    for (size_t i = 0; i < n && table->n_slots; i++) {
        sp_flow_unref(table->slots[--table->n_slots]);
    }
    return table->n_slots;
}

size_t sp_flow_table_count(const struct sp_flow_table *table)
{
    return table->n;
}

/* The slot that holds the key of 'key', or the free one where it belongs. */
static size_t find_slot(struct sp_flow *const *slots, size_t n_slots, const struct sp_flow *key)
{
    size_t i = key->hash & (n_slots - 1);

    while (slots[i] && !sp_flow_same_key(slots[i], key)) {
        i = (i + 1) & (n_slots - 1);
    }
    return i;
}

struct sp_flow *sp_flow_table_find(const struct sp_flow_table *table, const struct sp_flow *key)
{
    return table->slots[find_slot(table->slots, table->n_slots, key)];
}

static int grow(struct sp_flow_table *table)
{
    size_t n_slots = 2 * table->n_slots;
    struct sp_flow **slots = calloc(n_slots, sizeof *slots);

    if (!slots) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < table->n_slots; i++) {
        if (table->slots[i]) {
            slots[find_slot(slots, n_slots, table->slots[i])] = table->slots[i];
        }
    }
    free(table->slots);
    table->slots = slots;
    table->n_slots = n_slots;
    return 0;
}

int sp_flow_table_put(struct sp_flow_table *table, struct sp_flow *flow)
{
    size_t i = find_slot(table->slots, table->n_slots, flow);
    struct sp_flow *old = table->slots[i];

    if (!old) {
        if (4 * (table->n + 1) > 3 * table->n_slots) {
            int r = grow(table);

            if (r) {
                return r;
            }
            i = find_slot(table->slots, table->n_slots, flow);
        }
        table->n++;
    }
    table->slots[i] = sp_flow_ref(flow);
    sp_flow_unref(old);
    return 0;
}

bool sp_flow_table_remove(struct sp_flow_table *table, const struct sp_flow *key)
{
    size_t mask = table->n_slots - 1;
    size_t hole = find_slot(table->slots, table->n_slots, key);
    struct sp_flow *flow = table->slots[hole];

    if (!flow) {
        return false;
    }
    for (size_t i = (hole + 1) & mask; table->slots[i]; i = (i + 1) & mask) {
        /* An entry may move back into the hole unless its own place lies behind it. */
        if (((i - table->slots[i]->hash) & mask) >= ((i - hole) & mask)) {
            table->slots[hole] = table->slots[i];
            hole = i;
        }
    }
    table->slots[hole] = NULL;
    table->n--;
    sp_flow_unref(flow);
    return true;
}

struct sp_flow *sp_flow_table_next(const struct sp_flow_table *table, size_t *cursor)
{
    while (*cursor < table->n_slots) {
        struct sp_flow *flow = table->slots[(*cursor)++];

        if (flow) {
            return flow;
        }
    }
    return NULL;
}

void sp_flow_mods_init(struct sp_flow_mods *mods)
{
    *mods = (struct sp_flow_mods){0};
}

void sp_flow_mods_clear(struct sp_flow_mods *mods)
{
    for (size_t i = 0; i < mods->n; i++) {
        sp_flow_unref(mods->mods[i].flow);
    }
    free(mods->mods);
    sp_flow_mods_init(mods);
}

int sp_flow_mods_add(struct sp_flow_mods *mods, enum sp_flow_verb verb, struct sp_flow *flow, void *owner)
{
    if (mods->n == mods->capacity) {
        size_t capacity = mods->capacity ? 2 * mods->capacity : 16;
        struct sp_flow_mod *grown = reallocarray(mods->mods, capacity, sizeof *grown);

        if (!grown) {
            return -ENOMEM;
        }
        mods->mods = grown;
        mods->capacity = capacity;
    }
    mods->mods[mods->n++] = (struct sp_flow_mod){verb, sp_flow_ref(flow), owner};
    return 0;
}

int sp_flow_table_diff(const struct sp_flow_table *installed, const struct sp_flow_table *desired, struct sp_flow_mods *mods)
{
    struct sp_flow *flow;
    size_t cursor = 0;
    int r;

    while ((flow = sp_flow_table_next(desired, &cursor))) {
        struct sp_flow *old = sp_flow_table_find(installed, flow);

        if (old && sp_flow_equal(old, flow)) {
            continue;
        }
        r = sp_flow_mods_add(mods, SP_FLOW_ADD, flow, NULL);
        if (r) {
            return r;
        }
    }
    cursor = 0;
    while ((flow = sp_flow_table_next(installed, &cursor))) {
        if (sp_flow_table_find(desired, flow)) {
            continue;
        }
        r = sp_flow_mods_add(mods, SP_FLOW_DELETE, flow, NULL);
        if (r) {
            return r;
        }
    }
    return 0;
}
