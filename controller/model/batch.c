#include "controller/model/batch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/model/object.h"
#include "controller/model/staging.h"

static struct sp_record *record_at(const struct sp_batch *batch, size_t i)
{
    return (struct sp_record *) batch->records.items + i;
}

static struct sp_request *request_at(const struct sp_batch *batch, size_t i)
{
    return (struct sp_request *) batch->requests.items + i;
}

static void play(struct sp_model *model, struct sp_entry *from, struct sp_entry *to)
{
    if (from) {
        sp_entry_unlink(model, from);
    }
    if (to) {
        sp_entry_link(model, to);
    }
}

static void play_forth(struct sp_batch *batch)
{
    for (size_t i = 0; i < batch->records.n; i++) {
        play(batch->model, record_at(batch, i)->before, record_at(batch, i)->after);
    }
}

static void play_back(struct sp_batch *batch)
{
    for (size_t i = batch->records.n; i-- > 0;) {
        play(batch->model, record_at(batch, i)->after, record_at(batch, i)->before);
    }
}

static void forget_drawn_zones(struct sp_batch *batch)
{
    if (batch->has_drawn_zones) {
        memset(batch->drawn_zones, 0, sizeof batch->drawn_zones);
        batch->has_drawn_zones = false;
    }
}

/* The end of the last accepted request. */
static size_t accepted_end(const struct sp_batch *batch)
{
    return batch->requests.n ? request_at(batch, batch->requests.n - 1)->end : 0;
}

struct sp_batch *sp_batch_begin(struct sp_model *model, int64_t now_us)
{
    assert(!model->in_batch);
    struct sp_batch *batch = calloc(1, sizeof *batch);
    if (!batch) {
        return NULL;
    }
    batch->model = model;
    batch->now_us = now_us;
    batch->counters = batch->checkpoint = model->counters;
    model->in_batch = true;
    return batch;
}

size_t sp_batch_mark(const struct sp_batch *batch)
{
    return batch->records.n;
}

void sp_batch_rollback(struct sp_batch *batch, size_t mark)
{
    assert(batch->state == SP_BATCH_OPEN && mark <= batch->records.n);
    while (batch->requests.n && accepted_end(batch) > mark) {
        free(request_at(batch, --batch->requests.n)->changes);
    }
    if (mark < batch->records.n) {
        batch->checkpoint = record_at(batch, mark)->counters;
    }
    while (batch->records.n > mark) {
        struct sp_record *record = record_at(batch, --batch->records.n);
        play(batch->model, record->after, record->before);
        sp_entry_free(record->after);
    }
    batch->counters = batch->checkpoint;
    forget_drawn_zones(batch);
}

/* Replaces entries, at least one of which is there; takes over 'after', also on failure. */
static int stage(struct sp_batch *batch, struct sp_entry *before, struct sp_entry *after)
{
    assert(batch->state == SP_BATCH_OPEN && (before || after));
    struct sp_record *record = sp_vector_add(&batch->records, sizeof *record);
    if (!record) {
        sp_entry_free(after);
        return -ENOMEM;
    }
    if (after) {
        after->fresh = true;
    }
    *record = (struct sp_record) { .before = before, .after = after, .counters = batch->checkpoint };
    play(batch->model, before, after);
    batch->checkpoint = batch->counters;
    forget_drawn_zones(batch);
    return 0;
}

/* The linked entry of 'object', or NULL if 'object' is. */
static struct sp_entry *entry_of(const struct sp_batch *batch, enum sp_kind kind, const void *object)
{
    if (!object) {
        return NULL;
    }
    struct sp_entry *entry = sp_entry_find(batch->model, &(struct sp_entry) { .kind = kind, .object = object });
    assert(entry && entry->object == object);
    return entry;
}

int sp_batch_stage(struct sp_batch *batch, enum sp_kind kind, const void *before, const void *after)
{
    struct sp_entry *entry = after ? sp_entry_new(kind, after) : NULL;
    return entry ? stage(batch, entry_of(batch, kind, before), entry) : -ENOMEM;
}

int sp_batch_stage_removal(struct sp_batch *batch, enum sp_kind kind, const void *before)
{
    return stage(batch, entry_of(batch, kind, before), NULL);
}

int sp_batch_stage_shared(struct sp_batch *batch, const struct sp_address_key *key, bool is_shared, uint32_t set)
{
    struct sp_index_node *node = sp_model_find(batch->model, SP_INDEX_SHARED, key);
    struct sp_entry *before = node ? node->owner : NULL;
    if (!before && !is_shared) {
        return 0;
    }
    if (before && is_shared && before->shared->set == set) {
        return 0;
    }
    struct sp_entry *after = is_shared ? sp_entry_new_shared(key, set) : NULL;
    return is_shared && !after ? -ENOMEM : stage(batch, before, after);
}

static int compare_nets(const void *a, const void *b)
{
    const struct sp_net *x = a, *y = b;
    int order = sp_entry_compare_keys(x->before ? x->before : x->after, y->before ? y->before : y->after);
    return order ? order : (x->sequence > y->sequence) - (x->sequence < y->sequence);
}

/* Fills 'nets', which has room for a net per record, as sp_batch_collect_nets() says; returns their number. */
static size_t fill_nets(const struct sp_batch *batch, size_t mark, struct sp_net *nets)
{
    size_t n = batch->records.n - mark, n_nets = 0;
    for (size_t i = 0; i < n; i++) {
        const struct sp_record *record = record_at(batch, mark + i);
        nets[i] = (struct sp_net) { record->before, record->after, mark + i };
    }
    if (n) {
        qsort(nets, n, sizeof *nets, compare_nets);
    }
    for (size_t i = 0; i < n;) {
        struct sp_net net = nets[i++];
        const struct sp_entry *key = net.before ? net.before : net.after;
        while (i < n && !sp_entry_compare_keys(nets[i].before ? nets[i].before : nets[i].after, key)) {
            net.after = nets[i++].after;
        }
        if (net.before || net.after) {
            nets[n_nets++] = net;
        }
    }
    return n_nets;
}

int sp_batch_collect_nets(struct sp_batch *batch, size_t mark, const struct sp_net **ret_nets, size_t *ret_n)
{
    int r = sp_vector_reserve(&batch->nets, batch->records.n, sizeof(struct sp_net));
    if (r) {
        return r;
    }
    *ret_nets = batch->nets.items;
    *ret_n = fill_nets(batch, mark, batch->nets.items);
    return 0;
}

/* The order of writing: what is referred to is created first and deleted last. */
static int rank(const struct sp_net *net)
{
    static const int creation[] = { [SP_KIND_REGION] = 0, [SP_KIND_GROUP] = 1, [SP_KIND_BRIDGE] = 2, [SP_KIND_RULE_SET] = 3,
                                    [SP_KIND_SERVER] = 4 };
    return net->after ? creation[net->after->kind] : 9 - creation[net->before->kind];
}

static int compare_ranks(const void *a, const void *b)
{
    const struct sp_net *x = a, *y = b;
    int order = rank(x) - rank(y);
    return order ? order : (x->sequence > y->sequence) - (x->sequence < y->sequence);
}

/* Turns 'nets' into changes in the order of writing, leaving out kinds that are not stored.  Returns their number. */
static size_t fill_changes(struct sp_net *nets, size_t n, struct sp_change *changes)
{
    size_t n_stored = 0;
    for (size_t i = 0; i < n; i++) {
        if ((nets[i].before ? nets[i].before : nets[i].after)->kind < SP_N_KINDS) {
            nets[n_stored++] = nets[i];
        }
    }
    if (n_stored) {
        qsort(nets, n_stored, sizeof *nets, compare_ranks);
    }
    for (size_t i = 0; i < n_stored; i++) {
        const struct sp_entry *some = nets[i].before ? nets[i].before : nets[i].after;
        changes[i] = (struct sp_change) { .kind = some->kind, .before = nets[i].before ? nets[i].before->object : NULL,
                                          .after = nets[i].after ? nets[i].after->object : NULL };
    }
    return n_stored;
}

int sp_batch_accept(struct sp_batch *batch, size_t mark, uint64_t *ret_revision)
{
    const struct sp_net *nets;
    size_t n;
    int r = sp_batch_derive(batch, mark);
    if (!r) {
        r = sp_batch_collect_nets(batch, mark, &nets, &n);
    }
    /* Room for the seal, which cannot fail. */
    if (!r) {
        r = sp_vector_reserve(&batch->changes, batch->records.n, sizeof(struct sp_change));
    }
    if (r) {
        return r;
    }
    if (!n) {
        /* What cancelled itself out leaves no trace, numbers included. */
        sp_batch_rollback(batch, mark);
        *ret_revision = batch->counters.revision;
        return 0;
    }
    struct sp_change *changes = calloc(n, sizeof *changes);
    struct sp_request *request = changes ? sp_vector_add(&batch->requests, sizeof *request) : NULL;
    if (!request) {
        free(changes);
        return -ENOMEM;
    }
    for (size_t i = mark; i < batch->records.n; i++) {
        if (record_at(batch, i)->after) {
            record_at(batch, i)->after->fresh = false;
        }
    }
    batch->counters.revision++;
    batch->checkpoint = batch->counters;
    *request = (struct sp_request) { .revision = batch->counters.revision, .end = batch->records.n, .changes = changes };
    request->n = fill_changes(batch->nets.items, n, changes);
    *ret_revision = request->revision;
    return 0;
}

int sp_batch_staged(struct sp_batch *batch, size_t mark, const struct sp_change **ret, size_t *ret_n)
{
    const struct sp_net *nets;
    size_t n;
    int r = sp_batch_collect_nets(batch, mark, &nets, &n);
    if (!r) {
        r = sp_vector_reserve(&batch->changes, batch->records.n, sizeof(struct sp_change));
    }
    if (r) {
        return r;
    }
    *ret_n = fill_changes(batch->nets.items, n, batch->changes.items);
    *ret = batch->changes.items;
    return 0;
}

void sp_batch_seal(struct sp_batch *batch)
{
    assert(batch->state == SP_BATCH_OPEN);
    sp_batch_rollback(batch, accepted_end(batch));
    if (batch->records.n) {
        size_t n = fill_nets(batch, 0, batch->nets.items);
        batch->changes.n = fill_changes(batch->nets.items, n, batch->changes.items);
    }
    play_back(batch);
    batch->state = SP_BATCH_SEALED;
}

void sp_batch_look(struct sp_batch *batch, void (*look)(void *aux), void *aux)
{
    assert(batch->state == SP_BATCH_SEALED);
    play_forth(batch);
    look(aux);
    play_back(batch);
}

const struct sp_change *sp_batch_changes(const struct sp_batch *batch, size_t *ret_n)
{
    assert(batch->state != SP_BATCH_OPEN);
    *ret_n = batch->changes.n;
    return batch->changes.items;
}

const struct sp_counters *sp_batch_counters(const struct sp_batch *batch)
{
    return &batch->counters;
}

const struct sp_change *sp_batch_changes_of(const struct sp_batch *batch, uint64_t revision, size_t *ret_n)
{
    size_t n = batch->requests.n;
    uint64_t first = n ? request_at(batch, 0)->revision : 0;
    if (!n || revision < first || revision - first >= n) {
        *ret_n = 0;
        return NULL;
    }
    const struct sp_request *request = request_at(batch, revision - first);
    *ret_n = request->n;
    return request->changes;
}

void sp_batch_publish(struct sp_batch *batch)
{
    assert(batch->state == SP_BATCH_SEALED);
    play_forth(batch);
    batch->model->counters = batch->counters;
    batch->model->in_batch = false;
    batch->state = SP_BATCH_PUBLISHED;
}

void sp_batch_free(struct sp_batch *batch)
{
    if (!batch) {
        return;
    }
    if (batch->state == SP_BATCH_OPEN) {
        sp_batch_rollback(batch, 0);
    }
    if (batch->state != SP_BATCH_PUBLISHED) {
        batch->model->in_batch = false;
    }
    /* Each entry stands in at most one record as 'before' and in one as 'after'; what is linked now is the model's. */
    for (size_t i = 0; i < batch->records.n; i++) {
        struct sp_record *record = record_at(batch, i);
        sp_entry_free(batch->state == SP_BATCH_PUBLISHED ? record->before : record->after);
    }
    for (size_t i = 0; i < batch->requests.n; i++) {
        free(request_at(batch, i)->changes);
    }
    sp_vector_clear(&batch->records);
    sp_vector_clear(&batch->requests);
    sp_vector_clear(&batch->nets);
    sp_vector_clear(&batch->changes);
    free(batch);
}
