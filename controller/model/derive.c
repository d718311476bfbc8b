/* What follows from a request: classes of shared addresses, rule sets, their admissions and versions.
 *
 * Steps, each of which only looks at what the request touched:
 *  1. The addresses of all ports that came, went or changed groups: their class before and after, hence which groups gained
 *     and lost addresses; new classes get a rule set, addresses whose servers differ an entry of their own.
 *  2. Rule sets that no server and no shared address needs any more go.
 *  3. The sets that are affected: those of a group whose rules changed, those with a rule that names a group which gained or
 *     lost an address, or which is part of a set that came or went (a class more or less), those that are new, and all of a
 *     region that reports denied connections from now on, or no longer.
 *  4. Each affected set gets its admissions anew: slots stay with their rules, marks as flows/admission.h decides. */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/model/object.h"
#include "controller/model/staging.h"
#include "flows/admission.h"

/* An address that the request touched. */
struct touched {
    struct sp_address_key key;
    bool has_before; /* A server of the request had it before, */
    uint32_t before; /* with this rule set. */
};

struct derivation {
    struct sp_batch *batch;
    size_t mark;
    struct sp_net *nets; /* Of what the request staged itself; a copy, as the batch's own array is used again. */
    size_t n_nets;
    struct sp_vector touched;    /* struct touched */
    struct sp_vector deltas;     /* struct sp_group_delta */
    struct sp_vector candidates; /* uint32_t: sets that may have become unused. */
    struct sp_vector regrouped;  /* struct sp_uuid: groups that are named with other classes now. */
    struct sp_vector affected;   /* uint32_t: sets. */
};

static int compare_numbers(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;
    return (x > y) - (x < y);
}

static int compare_uuids(const void *a, const void *b)
{
    return sp_uuid_compare(a, b);
}

static int add_number(struct sp_vector *numbers, uint32_t number)
{
    uint32_t *item = sp_vector_add(numbers, sizeof *item);
    if (!item) {
        return -ENOMEM;
    }
    *item = number;
    return 0;
}

static const struct sp_entry *net_entry(const struct sp_net *net)
{
    return net->before ? net->before : net->after;
}

/* Step 1. */

static int touch_server(struct derivation *derivation, const struct sp_entry *entry, bool is_before)
{
    const struct sp_server *server = entry ? entry->server : NULL;
    for (size_t i = 0; server && i < server->n_ports; i++) {
        for (size_t j = 0; j < server->ports[i]->n_ips; j++) {
            struct touched *touched = sp_vector_add(&derivation->touched, sizeof *touched);
            if (!touched) {
                return -ENOMEM;
            }
            *touched = (struct touched) { { server->region, server->ports[i]->ips[j] }, is_before, is_before ? server->set : 0 };
        }
    }
    return server && is_before && server->set ? add_number(&derivation->candidates, server->set) : 0;
}

static int compare_touched(const void *a, const void *b)
{
    const struct touched *x = a, *y = b;
    int order = memcmp(&x->key.ip, &y->key.ip, sizeof x->key.ip);
    return order ? order : strcmp(x->key.region, y->key.region);
}

/* The class of a touched address before the request.  Without an entry for shared addresses all holders had the same set:
 * that of a server of the request that had it, or that of any other one that has it still. */
static uint32_t class_before(const struct derivation *derivation, const struct touched *touched)
{
    const struct sp_model *model = derivation->batch->model;
    const struct sp_index_node *head = sp_model_find(model, SP_INDEX_SHARED, &touched->key);
    if (head) {
        return sp_node_entry(head)->shared->set;
    }
    if (touched->has_before) {
        return touched->before;
    }
    head = sp_model_find(model, SP_INDEX_ADDRESSES, &touched->key);
    for (const struct sp_index_node *node = head; node; node = sp_index_next(head, node)) {
        if (!sp_node_entry(node)->fresh) {
            return sp_node_entry(node)->server->set;
        }
    }
    return 0;
}

static int add_delta(struct derivation *derivation, const struct sp_uuid *group, bool gained)
{
    struct sp_group_delta *delta = sp_vector_add(&derivation->deltas, sizeof *delta);
    if (!delta) {
        return -ENOMEM;
    }
    *delta = (struct sp_group_delta) { .group = *group, .gained = gained, .lost = !gained };
    return 0;
}

/* Notes the groups that are in one class and not in the other. */
static int compare_classes(struct derivation *derivation, uint32_t before, uint32_t after)
{
    const struct sp_model *model = derivation->batch->model;
    const struct sp_rule_set *old = before ? sp_model_rule_set(model, before) : NULL;
    const struct sp_rule_set *new = after ? sp_model_rule_set(model, after) : NULL;
    size_t i = 0, j = 0, n_old = old ? old->n_groups : 0, n_new = new ? new->n_groups : 0;
    while (i < n_old || j < n_new) {
        int order = i == n_old ? 1 : j == n_new ? -1 : sp_uuid_compare(&old->groups[i], &new->groups[j]);
        int r = !order ? 0 : add_delta(derivation, order < 0 ? &old->groups[i] : &new->groups[j], order > 0);
        if (r) {
            return r;
        }
        i += order <= 0;
        j += order >= 0;
    }
    return 0;
}

static int derive_class(struct derivation *derivation, const struct touched *touched)
{
    struct sp_batch *batch = derivation->batch;
    uint32_t before = class_before(derivation, touched), after;
    bool is_mixed;
    struct sp_uuid *groups;
    size_t n;
    int r = sp_model_union_groups(batch->model, &touched->key, &is_mixed, &after, &groups, &n);
    if (r) {
        return r;
    }
    if (is_mixed) {
        r = sp_batch_need_set(batch, touched->key.region, groups, n, &after);
        free(groups);
    }
    if (!r) {
        r = sp_batch_stage_shared(batch, &touched->key, is_mixed, after);
    }
    if (!r && before && before != after) {
        r = add_number(&derivation->candidates, before);
    }
    return r || before == after ? r : compare_classes(derivation, before, after);
}

static int compare_deltas(const void *a, const void *b)
{
    return sp_uuid_compare(&((const struct sp_group_delta *) a)->group, &((const struct sp_group_delta *) b)->group);
}

static void merge_deltas(struct sp_vector *deltas)
{
    struct sp_group_delta *items = deltas->items;
    size_t n = 0;
    if (deltas->n) {
        qsort(items, deltas->n, sizeof *items, compare_deltas);
    }
    for (size_t i = 0; i < deltas->n; i++) {
        if (n && sp_uuid_equal(&items[n - 1].group, &items[i].group)) {
            items[n - 1].gained |= items[i].gained;
            items[n - 1].lost |= items[i].lost;
        } else {
            items[n++] = items[i];
        }
    }
    deltas->n = n;
}

static int derive_classes(struct derivation *derivation)
{
    for (size_t i = 0; i < derivation->n_nets; i++) {
        const struct sp_net *net = &derivation->nets[i];
        if (net_entry(net)->kind != SP_KIND_SERVER) {
            continue;
        }
        int r = touch_server(derivation, net->before, true);
        if (!r) {
            r = touch_server(derivation, net->after, false);
        }
        if (r) {
            return r;
        }
    }

    struct touched *items = derivation->touched.items;
    size_t n = derivation->touched.n;
    if (n) {
        qsort(items, n, sizeof *items, compare_touched);
    }
    for (size_t i = 0; i < n;) {
        struct touched touched = items[i++];
        for (; i < n && !compare_touched(&items[i], &touched); i++) {
            if (items[i].has_before) {
                touched.has_before = true;
                touched.before = items[i].before;
            }
        }
        int r = derive_class(derivation, &touched);
        if (r) {
            return r;
        }
    }
    merge_deltas(&derivation->deltas);
    return 0;
}

/* Step 2. */

static int note_classes_of(struct derivation *derivation, const struct sp_rule_set *set)
{
    for (size_t i = 0; i < set->n_groups; i++) {
        struct sp_uuid *group = sp_vector_add(&derivation->regrouped, sizeof *group);
        if (!group) {
            return -ENOMEM;
        }
        *group = set->groups[i];
    }
    return 0;
}

/* Removes sets that nothing needs, and notes down whose classes came and went. */
static int remove_unused_sets(struct derivation *derivation, const struct sp_net *nets, size_t n_nets)
{
    struct sp_batch *batch = derivation->batch;
    int r = 0;
    for (size_t i = 0; i < n_nets && !r; i++) {
        if (net_entry(&nets[i])->kind == SP_KIND_RULE_SET && !nets[i].before) {
            r = add_number(&derivation->candidates, nets[i].after->set->number);
        }
    }
    sp_vector_sort_unique(&derivation->candidates, sizeof(uint32_t), compare_numbers);
    for (size_t i = 0; i < derivation->candidates.n && !r; i++) {
        uint32_t number = ((uint32_t *) derivation->candidates.items)[i];
        const struct sp_index_node *node = sp_model_find(batch->model, SP_INDEX_SET, &number);
        bool is_needed = sp_model_find(batch->model, SP_INDEX_SET_SERVERS, &number)
                         || sp_model_find(batch->model, SP_INDEX_SET_SHARED, &number);
        if (!node || (is_needed && !sp_node_entry(node)->fresh)) {
            continue;
        }
        const struct sp_rule_set *set = sp_node_entry(node)->set;
        if (is_needed || !sp_node_entry(node)->fresh) {
            r = note_classes_of(derivation, set);
        }
        if (!r) {
            r = is_needed ? add_number(&derivation->affected, number) : sp_batch_stage_removal(batch, SP_KIND_RULE_SET, set);
        }
    }
    return r;
}

/* Step 3. */

static int add_sets_of(struct derivation *derivation, const struct sp_uuid *group)
{
    const struct sp_index_node *head = sp_model_find(derivation->batch->model, SP_INDEX_GROUP_SETS, group);
    int r = 0;
    for (const struct sp_index_node *node = head; node && !r; node = sp_index_next(head, node)) {
        r = add_number(&derivation->affected, sp_node_entry(node)->set->number);
    }
    return r;
}

static int add_sets_that_name(struct derivation *derivation, const struct sp_uuid *group)
{
    const struct sp_index_node *head = sp_model_find(derivation->batch->model, SP_INDEX_REFERRERS, group);
    int r = 0;
    for (const struct sp_index_node *node = head; node && !r; node = sp_index_next(head, node)) {
        r = add_sets_of(derivation, &sp_node_entry(node)->group->id);
    }
    return r;
}

static int add_sets_of_region(struct derivation *derivation, const char *region)
{
    const struct sp_index_node *head = sp_model_find(derivation->batch->model, SP_INDEX_REGION_SETS, region);
    int r = 0;
    for (const struct sp_index_node *node = head; node && !r; node = sp_index_next(head, node)) {
        r = add_number(&derivation->affected, sp_node_entry(node)->set->number);
    }
    return r;
}

static bool rules_are_equal(const struct sp_group *a, const struct sp_group *b)
{
    if (a == b) {
        return true;
    }
    if (a->n_rules != b->n_rules) {
        return false;
    }
    for (size_t i = 0; i < a->n_rules; i++) {
        const struct sp_rule *x = a->rules[i], *y = b->rules[i];
        if (x != y && (!sp_uuid_equal(&x->id, &y->id) || !sp_meaning_equal(&x->meaning, &y->meaning))) {
            return false;
        }
    }
    return true;
}

static int collect_affected(struct derivation *derivation)
{
    int r = 0;
    for (size_t i = 0; i < derivation->n_nets && !r; i++) {
        const struct sp_net *net = &derivation->nets[i];
        if (net_entry(net)->kind == SP_KIND_GROUP && net->before && net->after
            && !rules_are_equal(net->before->group, net->after->group)) {
            r = add_sets_of(derivation, &net->after->group->id);
        } else if (net_entry(net)->kind == SP_KIND_REGION && net->before && net->after
                   && net->before->region->reports != net->after->region->reports) {
            r = add_sets_of_region(derivation, net->after->region->name);
        }
    }
    for (size_t i = 0; i < derivation->deltas.n && !r; i++) {
        r = add_sets_that_name(derivation, &((struct sp_group_delta *) derivation->deltas.items)[i].group);
    }
    sp_vector_sort_unique(&derivation->regrouped, sizeof(struct sp_uuid), compare_uuids);
    for (size_t i = 0; i < derivation->regrouped.n && !r; i++) {
        r = add_sets_that_name(derivation, &((struct sp_uuid *) derivation->regrouped.items)[i]);
    }
    sp_vector_sort_unique(&derivation->affected, sizeof(uint32_t), compare_numbers);
    return r;
}

/* Step 4. */

static int compare_group_net(const void *key, const void *item)
{
    const struct sp_entry *entry = net_entry(item);
    if (entry->kind != SP_KIND_GROUP) {
        return SP_KIND_GROUP < entry->kind ? -1 : 1;
    }
    return sp_uuid_compare(key, &entry->group->id);
}

static const struct sp_group *old_version(void *aux, const struct sp_uuid *id)
{
    const struct derivation *derivation = aux;
    const struct sp_net *net = bsearch(id, derivation->nets, derivation->n_nets, sizeof *net, compare_group_net);
    if (net) {
        return net->before ? net->before->group : NULL;
    }
    return sp_model_group(derivation->batch->model, id);
}

static const struct sp_group *new_version(void *aux, const struct sp_uuid *id)
{
    const struct derivation *derivation = aux;
    return sp_model_group(derivation->batch->model, id);
}

static int compare_admissions(const void *a, const void *b)
{
    return sp_uuid_compare(&((const struct sp_admission *) a)->rule, &((const struct sp_admission *) b)->rule);
}

static int admit(struct sp_batch *batch, const struct sp_rule_set *old, const struct sp_rule *rule, bool keep,
                 struct sp_admission *ret)
{
    const struct sp_admission *before = sp_rule_set_admission(old, &rule->id);
    *ret = (struct sp_admission) { .rule = rule->id };
    int r = 0;
    if (before) {
        ret->slot = before->slot;
    } else {
        r = sp_batch_draw_slot(batch, &ret->slot);
    }
    if (r || rule->meaning.action == SP_DENY) {
        return r;
    }
    if (keep && before && before->mark) {
        ret->mark = before->mark;
        return 0;
    }
    return sp_batch_draw_mark(batch, &ret->mark);
}

static int stage_admissions(struct derivation *derivation, const struct sp_rule_set *set, const struct sp_rule *const *before,
                            size_t n_before, const struct sp_rule *const *after, size_t n_after)
{
    struct sp_batch *batch = derivation->batch;
    struct sp_admission *admissions = calloc(n_after ? n_after : 1, sizeof *admissions);
    bool *keep = calloc(n_after ? n_after : 1, sizeof *keep);
    int r = admissions && keep ? 0 : -ENOMEM;
    if (!r) {
        sp_admission_keep(before, n_before, after, n_after, derivation->deltas.items, derivation->deltas.n, keep);
    }
    for (size_t i = 0; i < n_after && !r; i++) {
        r = admit(batch, set, after[i], keep[i], &admissions[i]);
    }
    if (!r) {
        qsort(admissions, n_after, sizeof *admissions, compare_admissions);
        struct sp_rule_set fields = *set;
        fields.version = batch->counters.revision + 1;
        fields.admissions = admissions;
        fields.n_admissions = n_after;
        r = sp_batch_stage(batch, SP_KIND_RULE_SET, set, sp_rule_set_new(&fields));
    }
    free(admissions);
    free(keep);
    return r;
}

/* Whether the delta of the group that 'rule' names, if any, may end what a rule has admitted (flows/admission.h). */
static bool is_unsettled(const struct derivation *derivation, const struct sp_rule *rule)
{
    if (rule->meaning.remote != SP_REMOTE_GROUP || !derivation->deltas.n) {
        return false;
    }
    const struct sp_group_delta key = { .group = rule->meaning.remote_group };
    const struct sp_vector *deltas = &derivation->deltas;
    const struct sp_group_delta *delta = bsearch(&key, deltas->items, deltas->n, sizeof key, compare_deltas);
    return delta && (rule->meaning.action == SP_ALLOW ? delta->lost : delta->gained);
}

/* Whether all admissions of 'set' stay as they are, which spares large sets the full comparison when members come. */
static bool is_settled(struct derivation *derivation, const struct sp_rule_set *set)
{
    for (size_t i = 0; i < set->n_groups; i++) {
        const struct sp_group *old = old_version(derivation, &set->groups[i]);
        const struct sp_group *group = new_version(derivation, &set->groups[i]);
        if (!old || !rules_are_equal(old, group)) {
            return false;
        }
        for (size_t j = 0; j < group->n_rules; j++) {
            if (is_unsettled(derivation, group->rules[j])) {
                return false;
            }
        }
    }
    return true;
}

static int stage_version(struct sp_batch *batch, const struct sp_rule_set *set)
{
    struct sp_rule_set fields = *set;
    fields.version = batch->counters.revision + 1;
    return sp_batch_stage(batch, SP_KIND_RULE_SET, set, sp_rule_set_new(&fields));
}

static int derive_set(struct derivation *derivation, uint32_t number)
{
    const struct sp_index_node *node = sp_model_find(derivation->batch->model, SP_INDEX_SET, &number);
    if (!node) {
        return 0;
    }
    const struct sp_rule_set *set = sp_node_entry(node)->set;
    bool is_new = sp_node_entry(node)->fresh;
    const struct sp_rule **before = NULL, **after = NULL;
    size_t n_before = 0, n_after = 0;
    int r = 0;
    if (!is_new && is_settled(derivation, set)) {
        return stage_version(derivation->batch, set);
    }
    if (!is_new) {
        r = sp_model_collect_rules(set->groups, set->n_groups, old_version, derivation, &before, &n_before);
    }
    if (!r) {
        r = sp_model_collect_rules(set->groups, set->n_groups, new_version, derivation, &after, &n_after);
    }
    if (!r) {
        r = stage_admissions(derivation, set, before, n_before, after, n_after);
    }
    free(before);
    free(after);
    return r;
}

static int derive_sets(struct derivation *derivation)
{
    const struct sp_net *nets;
    size_t n_nets;
    int r = sp_batch_collect_nets(derivation->batch, derivation->mark, &nets, &n_nets);
    if (!r) {
        r = remove_unused_sets(derivation, nets, n_nets);
    }
    if (!r) {
        r = collect_affected(derivation);
    }
    for (size_t i = 0; i < derivation->affected.n && !r; i++) {
        r = derive_set(derivation, ((uint32_t *) derivation->affected.items)[i]);
    }
    return r;
}

int sp_batch_derive(struct sp_batch *batch, size_t mark)
{
    const struct sp_net *nets;
    size_t n;
    int r = sp_batch_collect_nets(batch, mark, &nets, &n);
    if (r || !n) {
        return r;
    }
    struct derivation derivation = { .batch = batch, .mark = mark, .n_nets = n, .nets = calloc(n, sizeof *nets) };
    if (!derivation.nets) {
        return -ENOMEM;
    }
    memcpy(derivation.nets, nets, n * sizeof *nets);
    r = derive_classes(&derivation);
    if (!r) {
        r = derive_sets(&derivation);
    }
    free(derivation.nets);
    sp_vector_clear(&derivation.touched);
    sp_vector_clear(&derivation.deltas);
    sp_vector_clear(&derivation.candidates);
    sp_vector_clear(&derivation.regrouped);
    sp_vector_clear(&derivation.affected);
    return r;
}
