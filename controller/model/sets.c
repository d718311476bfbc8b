#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/model/model.h"
#include "controller/model/tables.h"
#include "controller/model/vector.h"
#include "flows/compile.h"

/* What follows from rule sets: their rules, and the classes of addresses. */

static int compare_ages(const struct sp_rule *a, const struct sp_rule *b)
{
    if (a->created_at != b->created_at) {
        return a->created_at > b->created_at ? 1 : -1;
    }
    return sp_uuid_compare(&a->id, &b->id);
}

static int compare_rules(const void *a, const void *b)
{
    return compare_ages(*(const struct sp_rule *const *) a, *(const struct sp_rule *const *) b);
}

static int compare_rulings(const void *a, const void *b)
{
    return compare_ages(((const struct sp_ruling *) a)->rule, ((const struct sp_ruling *) b)->rule);
}

int sp_model_rulings(const struct sp_model *model, const struct sp_uuid *groups, size_t n, struct sp_ruling **ret_rules,
                     size_t *ret_n)
{
    size_t n_rules = 0;
    for (size_t i = 0; i < n; i++) {
        const struct sp_group *group = sp_model_group(model, &groups[i]);
        n_rules += group ? group->n_rules : 0;
    }
    struct sp_ruling *rules = calloc(n_rules ? n_rules : 1, sizeof *rules), *end = rules;
    if (!rules) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        const struct sp_group *group = sp_model_group(model, &groups[i]);
        for (size_t j = 0; group && j < group->n_rules; j++) {
            *end++ = (struct sp_ruling) { group->rules[j], group };
        }
    }
    qsort(rules, n_rules, sizeof *rules, compare_rulings);
    *ret_rules = rules;
    *ret_n = n_rules;
    return 0;
}

int sp_model_collect_rules(const struct sp_uuid *groups, size_t n_groups, sp_group_version *version, void *aux,
                           const struct sp_rule ***ret_rules, size_t *ret_n)
{
    size_t n = 0, n_rules = 0;
    for (size_t i = 0; i < n_groups; i++) {
        const struct sp_group *group = version(aux, &groups[i]);
        n_rules += group ? group->n_rules : 0;
    }
    const struct sp_rule **rules = calloc(n_rules ? n_rules : 1, sizeof *rules);
    if (!rules) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < n_groups; i++) {
        const struct sp_group *group = version(aux, &groups[i]);
        for (size_t j = 0; group && j < group->n_rules; j++) {
            rules[n++] = group->rules[j];
        }
    }
    size_t in_order = 1; /* As rules are that came one by one. */
    while (in_order < n && compare_rules(&rules[in_order - 1], &rules[in_order]) <= 0) {
        in_order++;
    }
    if (in_order < n) {
        qsort(rules, n, sizeof *rules, compare_rules);
    }
    *ret_rules = rules;
    *ret_n = n;
    return 0;
}

static const struct sp_group *current_version(void *aux, const struct sp_uuid *id)
{
    return sp_model_group(aux, id);
}

static int compare_admission(const void *key, const void *item)
{
    return sp_uuid_compare(key, &((const struct sp_admission *) item)->rule);
}

const struct sp_admission *sp_rule_set_admission(const struct sp_rule_set *set, const struct sp_uuid *rule)
{
    if (!set->n_admissions) {
        return NULL;
    }
    return bsearch(rule, set->admissions, set->n_admissions, sizeof *set->admissions, compare_admission);
}

bool sp_rule_set_keeps(const struct sp_rule_set *after, const struct sp_admission *before)
{
    const struct sp_admission *now = after ? sp_rule_set_admission(after, &before->rule) : NULL;

    return now && now->mark == before->mark;
}

/* A remote group that some rule of a set names, and its classes. */
struct remote {
    const struct sp_uuid *group;
    size_t first; /* Among all classes of all remote groups. */
    size_t n;
};

/* The remote groups of 'rules', each once, with the ranges that their classes will have.  Returns the number of classes in
 * all in '*ret_n_classes', and 0 or -ENOMEM. */
static int collect_remotes(const struct sp_model *model, const struct sp_rule *const *rules, size_t n, struct sp_vector *remotes,
                           size_t *ret_n_classes)
{
    size_t n_classes = 0;
    for (size_t i = 0; i < n; i++) {
        bool known = rules[i]->meaning.remote != SP_REMOTE_GROUP;
        struct remote *items = remotes->items;
        for (size_t j = 0; j < remotes->n && !known; j++) {
            known = sp_uuid_equal(items[j].group, &rules[i]->meaning.remote_group);
        }
        if (known) {
            continue;
        }
        struct remote *remote = sp_vector_add(remotes, sizeof *remote);
        if (!remote) {
            return -ENOMEM;
        }
        const struct sp_index_node *head = sp_model_find(model, SP_INDEX_GROUP_SETS, &rules[i]->meaning.remote_group);
        *remote = (struct remote) { &rules[i]->meaning.remote_group, n_classes, head ? head->count : 0 };
        n_classes += remote->n;
    }
    *ret_n_classes = n_classes;
    return 0;
}

static int compare_numbers(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;
    return (x > y) - (x < y);
}

static void fill_classes(const struct sp_model *model, const struct remote *remote, uint32_t *classes)
{
    size_t n = 0;
    const struct sp_index_node *head = sp_model_find(model, SP_INDEX_GROUP_SETS, remote->group);
    for (const struct sp_index_node *node = head; node; node = sp_index_next(head, node)) {
        classes[remote->first + n++] = sp_node_entry(node)->set->number;
    }
    if (n) {
        qsort(classes + remote->first, n, sizeof *classes, compare_numbers);
    }
}

int sp_model_rule_facts(const struct sp_model *model, const struct sp_rule_set *set, struct sp_rule_facts **ret_rules,
                        size_t *ret_n)
{
    const struct sp_rule **rules;
    size_t n, n_classes;
    int r = sp_model_collect_rules(set->groups, set->n_groups, current_version, (void *) model, &rules, &n);
    if (r) {
        return r;
    }
    struct sp_vector remotes = { 0 };
    struct sp_rule_facts *facts = NULL;
    r = collect_remotes(model, rules, n, &remotes, &n_classes);
    if (!r) {
        facts = calloc(1, (n ? n : 1) * sizeof *facts + n_classes * sizeof(uint32_t));
        r = facts ? 0 : -ENOMEM;
    }
    if (facts) {
        const struct remote *items = remotes.items;
        uint32_t *classes = (uint32_t *) (facts + (n ? n : 1));
        for (size_t i = 0; i < remotes.n; i++) {
            fill_classes(model, &items[i], classes);
        }
        for (size_t i = 0; i < n; i++) {
            const struct sp_admission *admission = sp_rule_set_admission(set, &rules[i]->id);
            facts[i] = (struct sp_rule_facts) { .meaning = &rules[i]->meaning, .slot = admission ? admission->slot : 0,
                                                .mark = admission ? admission->mark : 0 };
            for (size_t j = 0; rules[i]->meaning.remote == SP_REMOTE_GROUP && j < remotes.n; j++) {
                if (sp_uuid_equal(items[j].group, &rules[i]->meaning.remote_group)) {
                    facts[i].classes = classes + items[j].first;
                    facts[i].n_classes = items[j].n;
                    break;
                }
            }
        }
        *ret_rules = facts;
        *ret_n = n;
    }
    sp_vector_clear(&remotes);
    free(rules);
    return r;
}

static int compare_uuids(const void *a, const void *b)
{
    return sp_uuid_compare(a, b);
}

int sp_model_union_groups(const struct sp_model *model, const struct sp_address_key *key, bool *ret_mixed, uint32_t *ret_set,
                          struct sp_uuid **ret_groups, size_t *ret_n)
{
    const struct sp_index_node *head = sp_model_find(model, SP_INDEX_ADDRESSES, key);
    uint32_t first = head ? sp_node_entry(head)->server->set : 0;
    struct sp_vector numbers = { 0 }, groups = { 0 };
    for (const struct sp_index_node *node = head; node; node = sp_index_next(head, node)) {
        if (sp_node_entry(node)->server->set != first) {
            uint32_t *number = sp_vector_add(&numbers, sizeof *number);
            if (!number) {
                goto no_memory;
            }
            *number = sp_node_entry(node)->server->set;
        }
    }
    *ret_mixed = numbers.n > 0;
    *ret_set = first;
    *ret_groups = NULL;
    *ret_n = 0;
    if (!numbers.n) {
        return 0;
    }

    uint32_t *own = sp_vector_add(&numbers, sizeof *own);
    if (!own) {
        goto no_memory;
    }
    *own = first;
    sp_vector_sort_unique(&numbers, sizeof *own, compare_numbers);
    for (size_t i = 0; i < numbers.n; i++) {
        const struct sp_rule_set *set = sp_model_rule_set(model, ((uint32_t *) numbers.items)[i]);
        for (size_t j = 0; set && j < set->n_groups; j++) {
            struct sp_uuid *group = sp_vector_add(&groups, sizeof *group);
            if (!group) {
                goto no_memory;
            }
            *group = set->groups[j];
        }
    }
    sp_vector_sort_unique(&groups, sizeof(struct sp_uuid), compare_uuids);
    sp_vector_clear(&numbers);
    *ret_groups = groups.items;
    *ret_n = groups.n;
    return 0;

no_memory:
    sp_vector_clear(&numbers);
    sp_vector_clear(&groups);
    return -ENOMEM;
}
