#include "controller/counts.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/model/index.h"
#include "controller/model/model.h"

struct slot {
    uint32_t slot; /* 0: free. */
    struct sp_uuid rule;
    bool retired;  /* No set has it any more. */
};

/* A rule that has hit, or that had a slot which is retired. */
struct rule {
    struct sp_index_node node;
    struct sp_uuid id;
    struct sp_count count;
    int64_t first_us; /* 0: not yet. */
    int64_t last_us;
    uint64_t batch;   /* The last one that has a row of it, ... */
    size_t row;       /* ... which is this one. */
};

struct bridge {
    uint64_t dpid;
    struct sp_tally *tally;
    bool dropped;
};

struct sp_counts {
    uint64_t seed;
    int64_t since_us;
    struct slot *slots; /* Open addressing with linear probing, at most three quarters full. */
    size_t n_slots;
    size_t slots_size;  /* A power of two, or 0. */
    uint32_t *retired;  /* A ring of SP_COUNTS_RETIRED_MAX slots, made when it is needed; 0: none. */
    size_t next_retired;
    struct sp_index rules;
    struct bridge *bridges;
    size_t n_bridges;
    size_t round_bridge; /* Where the next rows come from. */
    size_t round_cursor;
    uint64_t batch;
    bool writing;
    struct sp_count_rows rows;
    struct sp_flow_row flow_rows[SP_COUNTS_ROWS_MAX];
    struct sp_rule_row rule_rows[SP_COUNTS_ROWS_MAX];
    struct sp_tally_row tally_rows[SP_COUNTS_ROWS_MAX]; /* Of 'flow_rows'. */
};

static struct slot *find_slot(const struct sp_counts *, uint32_t slot);
static int put_slot(struct sp_counts *, uint32_t slot, const struct sp_uuid *rule);
static void remove_slot(struct sp_counts *, uint32_t slot);
static struct rule *find_rule(const struct sp_counts *, const struct sp_uuid *);
static struct rule *make_rule(struct sp_counts *, const struct sp_uuid *);
static void forget_rule(struct sp_counts *, const struct sp_uuid *);
static int list_removed(const struct sp_change *, size_t n, struct sp_uuid **ret, size_t *ret_n);
static int follow_set(struct sp_counts *, const struct sp_rule_set *before, const struct sp_rule_set *after,
                      const struct sp_uuid *removed, size_t n_removed);
static void add_rows(struct sp_counts *, uint64_t dpid, const struct sp_tally_row *);
static void free_bridge(struct sp_counts *, size_t at);

static bool
match_rule(const struct sp_index_node *node, const void *key)
{
    const struct rule *rule = node->owner;
    return sp_uuid_equal(&rule->id, key);
}

static uint32_t
hash_rule(const struct sp_counts *counts, const struct sp_uuid *id)
{
    return sp_index_hash(counts->seed, id, sizeof *id);
}

struct sp_counts *
sp_counts_new(uint64_t seed)
{
    struct sp_counts *counts = calloc(1, sizeof *counts);
    if (counts) {
        counts->seed = seed;
        sp_index_init(&counts->rules, match_rule);
    }
    return counts;
}

void
sp_counts_free(struct sp_counts *counts)
{
    if (!counts) {
        return;
    }
    size_t cursor = 0;
    struct sp_index_node *next;
    for (struct sp_index_node *node = sp_index_next_head(&counts->rules, NULL, &cursor); node; node = next) {
        next = sp_index_next_head(&counts->rules, node, &cursor);
        free(node->owner);
    }
    sp_index_clear(&counts->rules);
    for (size_t i = 0; i < counts->n_bridges; i++) {
        sp_tally_free(counts->bridges[i].tally);
    }
    free(counts->bridges);
    free(counts->retired);
    free(counts->slots);
    free(counts);
}

int
sp_counts_load_flow(struct sp_counts *counts, const struct sp_flow_row *row)
{
    struct sp_tally *tally = sp_counts_tally(counts, row->dpid);
    const struct sp_tally_row life = {
        .id = row->id, .slot = row->slot, .name = row->name, .told = {row->packets, row->bytes}, .absent = row->absent};
    return tally ? sp_tally_load(tally, &life) : -ENOMEM;
}

int
sp_counts_load_rule(struct sp_counts *counts, const struct sp_rule_row *row)
{
    struct rule *rule = make_rule(counts, &row->rule);
    if (!rule) {
        return -ENOMEM;
    }
    rule->count = (struct sp_count) {row->packets, row->bytes};
    rule->first_us = row->first_hit;
    rule->last_us = row->last_hit;
    return 0;
}

void
sp_counts_load_since(struct sp_counts *counts, int64_t since_us)
{
    counts->since_us = since_us;
}

int
sp_counts_load_set(struct sp_counts *counts, const struct sp_rule_set *set)
{
    return follow_set(counts, NULL, set, NULL, 0);
}

/* The rules that went first: their slots go with them. */
int
sp_counts_follow(struct sp_counts *counts, const struct sp_change *changes, size_t n)
{
    struct sp_uuid *removed;
    size_t n_removed;
    int error = list_removed(changes, n, &removed, &n_removed);
    for (size_t i = 0; i < n_removed && !error; i++) {
        forget_rule(counts, &removed[i]);
    }
    for (size_t i = 0; i < n && !error; i++) {
        if (changes[i].kind == SP_KIND_RULE_SET) {
            error = follow_set(counts, changes[i].before, changes[i].after, removed, n_removed);
        }
    }
    free(removed);
    return error;
}

struct sp_tally *
sp_counts_tally(struct sp_counts *counts, uint64_t dpid)
{
    for (size_t i = 0; i < counts->n_bridges; i++) {
        if (counts->bridges[i].dpid == dpid) {
            counts->bridges[i].dropped = false;
            return counts->bridges[i].tally;
        }
    }
    struct bridge *bridges = realloc(counts->bridges, (counts->n_bridges + 1) * sizeof *bridges);
    if (!bridges) {
        return NULL;
    }
    counts->bridges = bridges;
    struct sp_tally *tally = sp_tally_new();
    if (tally) {
        bridges[counts->n_bridges++] = (struct bridge) {.dpid = dpid, .tally = tally};
    }
    return tally;
}

void
sp_counts_drop(struct sp_counts *counts, uint64_t dpid)
{
    for (size_t i = 0; i < counts->n_bridges; i++) {
        if (counts->bridges[i].dpid == dpid) {
            counts->bridges[i].dropped = true;
            sp_tally_drop(counts->bridges[i].tally);
        }
    }
}

void
sp_counts_drop_others(struct sp_counts *counts, const struct sp_model *model)
{
    for (size_t i = 0; i < counts->n_bridges; i++) {
        if (!sp_model_bridge(model, counts->bridges[i].dpid)) {
            sp_counts_drop(counts, counts->bridges[i].dpid);
        }
    }
}

/* As much as fits into what a store holds. */
static uint64_t
sum(uint64_t a, uint64_t b)
{
    return b > INT64_MAX - a ? INT64_MAX : a + b;
}

void
sp_counts_add(struct sp_counts *counts, uint32_t slot, const struct sp_count *fresh, int64_t now_us)
{
    const struct slot *found = find_slot(counts, slot);
    struct rule *rule = !found ? NULL : found->retired ? find_rule(counts, &found->rule) : make_rule(counts, &found->rule);
    if (!rule) {
        return; /* The rule has gone, or there is no memory for it. */
    }
    rule->count = (struct sp_count) {sum(rule->count.packets, fresh->packets), sum(rule->count.bytes, fresh->bytes)};
    rule->first_us = rule->first_us ? rule->first_us : now_us;
    rule->last_us = now_us;
}

void
sp_counts_read(const struct sp_counts *counts, const struct sp_rule *rule, struct sp_hits *ret)
{
    const struct rule *found = find_rule(counts, &rule->id);
    *ret = (struct sp_hits) {.since_us = rule->created_at > counts->since_us ? rule->created_at : counts->since_us};
    if (found) {
        ret->count = found->count;
        ret->first_us = found->first_us;
        ret->last_us = found->last_us;
    }
}

const struct sp_count_rows *
sp_counts_next_rows(struct sp_counts *counts)
{
    assert(!counts->writing);
    counts->batch++;
    counts->rows = (struct sp_count_rows) {.flows = counts->flow_rows, .rules = counts->rule_rows};
    while (counts->round_bridge < counts->n_bridges && counts->rows.n_flows < SP_COUNTS_ROWS_MAX) {
        const struct bridge *bridge = &counts->bridges[counts->round_bridge];
        struct sp_tally_row row;
        if (sp_tally_next_row(bridge->tally, &counts->round_cursor, &row)) {
            add_rows(counts, bridge->dpid, &row);
        } else {
            counts->round_cursor = 0;
            counts->round_bridge++;
        }
    }
    if (!counts->rows.n_flows) {
        counts->round_bridge = 0;
        return NULL;
    }
    counts->writing = true;
    return &counts->rows;
}

void
sp_counts_written(struct sp_counts *counts, bool stored)
{
    counts->writing = false;
    if (!stored) {
        counts->round_bridge = counts->round_cursor = 0;
        return;
    }
    size_t at = 0;
    for (size_t i = 0; i < counts->rows.n_flows; i++) {
        while (at < counts->n_bridges && counts->bridges[at].dpid != counts->flow_rows[i].dpid) {
            at++;
        }
        if (at < counts->n_bridges) {
            sp_tally_stored(counts->bridges[at].tally, &counts->tally_rows[i]);
        }
    }
    for (size_t i = 0; i < counts->n_bridges; i++) {
        if (counts->bridges[i].dropped && sp_tally_is_empty(counts->bridges[i].tally)) {
            free_bridge(counts, i--);
        }
    }
}

static size_t
place_of(const struct sp_counts *counts, uint32_t slot)
{
    return sp_index_hash(counts->seed, &slot, sizeof slot) & (counts->slots_size - 1);
}

/* The place of 'slot', or the free one where it belongs; NULL without a table. */
static struct slot *
probe(const struct sp_counts *counts, uint32_t slot)
{
    if (!counts->slots_size) {
        return NULL;
    }
    size_t i = place_of(counts, slot);
    while (counts->slots[i].slot && counts->slots[i].slot != slot) {
        i = (i + 1) & (counts->slots_size - 1);
    }
    return &counts->slots[i];
}

static struct slot *
find_slot(const struct sp_counts *counts, uint32_t slot)
{
    struct slot *found = slot ? probe(counts, slot) : NULL;
    return found && found->slot ? found : NULL;
}

static int
put_slot(struct sp_counts *counts, uint32_t slot, const struct sp_uuid *rule)
{
    if (4 * (counts->n_slots + 1) > 3 * counts->slots_size) {
        struct sp_counts new = {.seed = counts->seed, .slots_size = counts->slots_size ? 2 * counts->slots_size : 64};
        new.slots = calloc(new.slots_size, sizeof *new.slots);
        if (!new.slots) {
            return -ENOMEM;
        }
        for (size_t i = 0; i < counts->slots_size; i++) {
            if (counts->slots[i].slot) {
                *probe(&new, counts->slots[i].slot) = counts->slots[i];
            }
        }
        free(counts->slots);
        counts->slots = new.slots;
        counts->slots_size = new.slots_size;
    }
    struct slot *place = probe(counts, slot);
    counts->n_slots += !place->slot;
    *place = (struct slot) {.slot = slot, .rule = *rule};
    return 0;
}

/* Moves those behind it that would not be found any more into the gap (Knuth, volume 3, algorithm 6.4 R). */
static void
remove_slot(struct sp_counts *counts, uint32_t slot)
{
    struct slot *gap = find_slot(counts, slot);
    if (!gap) {
        return;
    }
    size_t hole = (size_t) (gap - counts->slots), mask = counts->slots_size - 1;
    for (size_t i = (hole + 1) & mask; counts->slots[i].slot; i = (i + 1) & mask) {
        size_t home = place_of(counts, counts->slots[i].slot);
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            counts->slots[hole] = counts->slots[i];
            hole = i;
        }
    }
    counts->slots[hole].slot = 0;
    counts->n_slots--;
}

static struct rule *
find_rule(const struct sp_counts *counts, const struct sp_uuid *id)
{
    struct sp_index_node *node = sp_index_find(&counts->rules, hash_rule(counts, id), id);
    return node ? node->owner : NULL;
}

static struct rule *
make_rule(struct sp_counts *counts, const struct sp_uuid *id)
{
    struct rule *rule = find_rule(counts, id);
    if (!rule && (rule = calloc(1, sizeof *rule))) {
        rule->id = *id;
        rule->node.owner = rule;
        sp_index_add(&counts->rules, &rule->node, hash_rule(counts, id), id);
    }
    return rule;
}

static void
forget_rule(struct sp_counts *counts, const struct sp_uuid *id)
{
    struct rule *rule = find_rule(counts, id);
    if (rule) {
        sp_index_remove(&counts->rules, &rule->node, hash_rule(counts, id), id);
        free(rule);
    }
}

static int
compare_uuids(const void *a, const void *b)
{
    return sp_uuid_compare(a, b);
}

static int
compare_rules(const void *a, const void *b)
{
    return sp_uuid_compare(&(*(struct sp_rule *const *) a)->id, &(*(struct sp_rule *const *) b)->id);
}

/* Appends the rules of 'before' that 'after' (NULL: none) has not to 'ret', which has room.  Of a long list most is the same at
 * both ends. */
static int
list_removed_of(const struct sp_group *before, const struct sp_group *after, struct sp_uuid *ret, size_t *ret_n)
{
    size_t first = 0, n_before = before->n_rules, n_after = after ? after->n_rules : 0;
    while (first < n_before && first < n_after && before->rules[first] == after->rules[first]) {
        first++;
    }
    while (n_before > first && n_after > first && before->rules[n_before - 1] == after->rules[n_after - 1]) {
        n_before--;
        n_after--;
    }
    size_t n = n_after - first;
    struct sp_rule **rules = malloc((n ? n : 1) * sizeof(struct sp_rule *));
    if (!rules) {
        return -ENOMEM;
    }
    if (n) {
        memcpy(rules, after->rules + first, n * sizeof(struct sp_rule *));
        qsort(rules, n, sizeof(struct sp_rule *), compare_rules);
    }
    for (size_t i = first; i < n_before; i++) {
        if (!(n && bsearch(&before->rules[i], rules, n, sizeof(struct sp_rule *), compare_rules))) {
            ret[(*ret_n)++] = before->rules[i]->id;
        }
    }
    free(rules);
    return 0;
}

/* The rules that are gone, sorted; the caller frees them, also on failure. */
static int
list_removed(const struct sp_change *changes, size_t n, struct sp_uuid **ret, size_t *ret_n)
{
    size_t room = 0;
    for (size_t i = 0; i < n; i++) {
        const struct sp_group *before = changes[i].kind == SP_KIND_GROUP ? changes[i].before : NULL;
        room += before ? before->n_rules : 0;
    }
    *ret_n = 0;
    *ret = malloc((room ? room : 1) * sizeof **ret);
    int error = *ret ? 0 : -ENOMEM;
    for (size_t i = 0; i < n && !error; i++) {
        if (changes[i].kind == SP_KIND_GROUP && changes[i].before) {
            error = list_removed_of(changes[i].before, changes[i].after, *ret, ret_n);
        }
    }
    if (!error && *ret_n) {
        qsort(*ret, *ret_n, sizeof **ret, compare_uuids);
    }
    return error;
}

/* Keeps 'slot' in mind as one that no set has any more, in the place of the oldest of them.  From now on its rule is there as
 * long as it has not gone. */
static int
retire(struct sp_counts *counts, uint32_t slot)
{
    struct slot *found = find_slot(counts, slot);
    if (!found) {
        return 0;
    }
    if (!make_rule(counts, &found->rule)) {
        return -ENOMEM;
    }
    found->retired = true;
    if (!counts->retired) {
        counts->retired = calloc(SP_COUNTS_RETIRED_MAX, sizeof *counts->retired);
        if (!counts->retired) {
            return -ENOMEM;
        }
    }
    uint32_t *place = &counts->retired[counts->next_retired];
    remove_slot(counts, *place);
    *place = slot;
    counts->next_retired = (counts->next_retired + 1) % SP_COUNTS_RETIRED_MAX;
    return 0;
}

/* No set has 'admission' any more; 'removed' are the rules that have gone, sorted. */
static int
leave(struct sp_counts *counts, const struct sp_admission *admission, const struct sp_uuid *removed, size_t n_removed)
{
    if (n_removed && bsearch(&admission->rule, removed, n_removed, sizeof *removed, compare_uuids)) {
        remove_slot(counts, admission->slot);
        return 0;
    }
    return retire(counts, admission->slot);
}

/* Those who come, after those who leave: a slot that goes from one rule to another is the new one's. */
static int
follow_set(struct sp_counts *counts, const struct sp_rule_set *before, const struct sp_rule_set *after,
           const struct sp_uuid *removed, size_t n_removed)
{
    size_t n_old = before ? before->n_admissions : 0, n_new = after ? after->n_admissions : 0;
    int error = 0;
    for (int coming = 0; coming <= 1; coming++) {
        for (size_t i = 0, j = 0; (i < n_old || j < n_new) && !error;) {
            const struct sp_admission *old = i < n_old ? &before->admissions[i] : NULL;
            const struct sp_admission *new = j < n_new ? &after->admissions[j] : NULL;
            int order = !old ? 1 : !new ? -1 : sp_uuid_compare(&old->rule, &new->rule);
            bool same = !order && old->slot == new->slot;
            if (order <= 0 && !same && !coming) {
                error = leave(counts, old, removed, n_removed);
            } else if (order >= 0 && !same && coming) {
                error = put_slot(counts, new->slot, &new->rule);
            }
            i += order <= 0;
            j += order >= 0;
        }
    }
    return error;
}

static void
add_rows(struct sp_counts *counts, uint64_t dpid, const struct sp_tally_row *row)
{
    size_t n = counts->rows.n_flows++;
    counts->tally_rows[n] = *row;
    counts->flow_rows[n] = (struct sp_flow_row) {
        .dpid = dpid,
        .id = row->id,
        .slot = row->slot,
        .name = row->name,
        .packets = row->told.packets,
        .bytes = row->told.bytes,
        .absent = row->absent,
        .ended = row->ended,
    };
    const struct slot *slot = find_slot(counts, row->slot);
    struct rule *rule = slot ? find_rule(counts, &slot->rule) : NULL;
    if (!rule || !rule->first_us) {
        return;
    }
    if (rule->batch != counts->batch) {
        rule->batch = counts->batch;
        rule->row = counts->rows.n_rules++;
        counts->rule_rows[rule->row] = (struct sp_rule_row) {
            .rule = rule->id, .first_hit = rule->first_us, .last_hit = rule->last_us};
    }
    struct sp_rule_row *to = &counts->rule_rows[rule->row];
    to->packets = sum(to->packets, row->fresh.packets);
    to->bytes = sum(to->bytes, row->fresh.bytes);
}

static void
free_bridge(struct sp_counts *counts, size_t at)
{
    sp_tally_free(counts->bridges[at].tally);
    counts->bridges[at] = counts->bridges[--counts->n_bridges];
    counts->round_bridge = counts->round_cursor = 0;
}
