#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/engine_state.h"
#include "flows/compile.h"

static uint32_t hash_number(const struct sp_engine *, uint32_t number);
static uint32_t hash_group(const struct sp_engine *, const struct sp_uuid *);
static struct sp_shared_set *share_set(struct sp_engine *, uint32_t number);
static void free_set(struct sp_engine *, struct sp_shared_set *);
static void refer(struct sp_datapath *, const struct sp_uuid *group);
static void unrefer(struct sp_datapath *, const struct sp_uuid *group);
static void refer_as_set(struct sp_presence *);

static bool
match_set(const struct sp_index_node *node, const void *key)
{
    return ((const struct sp_shared_set *) node->owner)->number == *(const uint32_t *) key;
}

static bool
match_presence(const struct sp_index_node *node, const void *key)
{
    return ((const struct sp_presence *) node->owner)->set->number == *(const uint32_t *) key;
}

static bool
match_reference(const struct sp_index_node *node, const void *key)
{
    return sp_uuid_equal(&((const struct sp_reference *) node->owner)->group, key);
}

void
sp_engine_init_sets(struct sp_engine *engine)
{
    sp_index_init(&engine->sets, match_set);
    sp_index_init(&engine->presences, match_presence);
    sp_index_init(&engine->references, match_reference);
}

void
sp_datapath_init_sets(struct sp_datapath *dp)
{
    sp_index_init(&dp->sets, match_presence);
    sp_index_init(&dp->references, match_reference);
}

bool
sp_datapath_has_set(const struct sp_datapath *dp, uint32_t number)
{
    return sp_index_find(&dp->sets, hash_number(dp->engine, number), &number);
}

struct sp_presence *
sp_datapath_join_set(struct sp_datapath *dp, uint32_t number)
{
    struct sp_engine *engine = dp->engine;
    uint32_t hash = hash_number(engine, number);
    struct sp_index_node *node = sp_index_find(&dp->sets, hash, &number);
    if (node) {
        struct sp_presence *presence = node->owner;
        presence->n_bindings++;
        return presence;
    }
    struct sp_presence *presence = calloc(1, sizeof *presence);
    struct sp_shared_set *set = presence ? share_set(engine, number) : NULL;
    if (!set) {
        free(presence);
        return NULL;
    }
    presence->datapath = dp;
    presence->set = set;
    presence->n_bindings = 1;
    presence->by_number.owner = presence->by_set.owner = presence;
    sp_index_add(&dp->sets, &presence->by_number, hash, &number);
    sp_index_add(&engine->presences, &presence->by_set, hash, &number);
    set->n_presences++;
    refer_as_set(presence);
    struct sp_unit_name name;
    sp_unit_name_set(&name, number);
    sp_datapath_mark(dp, &name);
    return presence;
}

void
sp_datapath_leave_set(struct sp_presence *presence)
{
    if (--presence->n_bindings) {
        return;
    }
    struct sp_datapath *dp = presence->datapath;
    struct sp_shared_set *set = presence->set;
    uint32_t hash = hash_number(dp->engine, set->number);
    sp_index_remove(&dp->sets, &presence->by_number, hash, &set->number);
    sp_index_remove(&dp->engine->presences, &presence->by_set, hash, &set->number);
    struct sp_unit_name name;
    sp_unit_name_set(&name, set->number);
    sp_datapath_mark(dp, &name);
    for (size_t i = 0; i < presence->n_remotes; i++) {
        unrefer(dp, &presence->remotes[i]);
    }
    free(presence->remotes);
    free(presence);
    if (!--set->n_presences) {
        free_set(dp->engine, set);
    }
}

struct sp_shared_set *
sp_engine_shared_set(const struct sp_engine *engine, uint32_t number)
{
    struct sp_index_node *node = sp_index_find(&engine->sets, hash_number(engine, number), &number);
    return node ? node->owner : NULL;
}

struct sp_index_node *
sp_engine_presences(const struct sp_engine *engine, uint32_t number)
{
    return sp_index_find(&engine->presences, hash_number(engine, number), &number);
}

void
sp_engine_stale_set(struct sp_engine *engine, uint32_t number)
{
    struct sp_shared_set *set = sp_engine_shared_set(engine, number);
    if (!set) {
        return;
    }
    if (!set->stale) {
        set->stale = true;
        set->next_stale = engine->stale_sets;
        engine->stale_sets = set;
    }
    /* Now, so that the write that is being followed waits for these datapaths. */
    struct sp_unit_name name;
    sp_unit_name_set(&name, number);
    struct sp_index_node *head = sp_engine_presences(engine, number);
    for (struct sp_index_node *node = head; node; node = sp_index_next(head, node)) {
        sp_datapath_mark(((struct sp_presence *) node->owner)->datapath, &name);
    }
}

void
sp_engine_refresh_sets(struct sp_engine *engine)
{
    struct sp_shared_set *set;
    while ((set = engine->stale_sets)) {
        engine->stale_sets = set->next_stale;
        set->stale = false;
        struct sp_compilation now;
        set->error = sp_engine_take_ahead(engine, set, &now) ? 0 : sp_engine_compile_set(engine, set->number, &set->now, &now);
        if (set->error) {
            continue;
        }
        sp_compilation_clear(&set->now);
        set->now = now;
        struct sp_index_node *head = sp_index_find(&engine->presences, hash_number(engine, set->number), &set->number);
        for (struct sp_index_node *node = head; node; node = sp_index_next(head, node)) {
            refer_as_set(node->owner);
        }
    }
}

static int
stale_set(void *aux, const struct sp_rule_set *set)
{
    sp_engine_stale_set(aux, set->number);
    return 0;
}

void
sp_engine_stale_group(struct sp_engine *engine, const struct sp_uuid *group)
{
    sp_model_each_set_of_group(engine->model, group, stale_set, engine);
}

struct sp_reference *
sp_datapath_reference(const struct sp_datapath *dp, const struct sp_uuid *group)
{
    struct sp_index_node *node = sp_index_find(&dp->references, hash_group(dp->engine, group), group);
    return node ? node->owner : NULL;
}

static int
compare_uuids(const void *a, const void *b)
{
    return sp_uuid_compare(a, b);
}

void
sp_compilation_clear(struct sp_compilation *compilation)
{
    sp_flow_set_unref(compilation->flows);
    free(compilation->rules);
    free(compilation->remotes);
    *compilation = (struct sp_compilation) { .flows = NULL };
}

/* The groups that the rules name as remote.  Returns 0 or -ENOMEM. */
static int
list_remotes(const struct sp_rule_set_facts *facts, struct sp_compilation *ret)
{
    struct sp_uuid *remotes = malloc((facts->n_rules ? facts->n_rules : 1) * sizeof *remotes);
    size_t n_named = 0;
    for (size_t i = 0; remotes && i < facts->n_rules; i++) {
        if (facts->rules[i].meaning->remote == SP_REMOTE_GROUP) {
            remotes[n_named++] = facts->rules[i].meaning->remote_group;
        }
    }
    if (n_named) {
        qsort(remotes, n_named, sizeof *remotes, compare_uuids);
    }
    for (size_t i = 0; i < n_named; i++) {
        if (!i || !sp_uuid_equal(&remotes[i], &remotes[i - 1])) {
            remotes[ret->n_remotes++] = remotes[i];
        }
    }
    ret->remotes = remotes;
    return remotes ? 0 : -ENOMEM;
}

int
sp_engine_compile_set(struct sp_engine *engine, uint32_t number, const struct sp_compilation *before, struct sp_compilation *ret)
{
    *ret = (struct sp_compilation) { .flows = NULL };
    const struct sp_rule_set *set = sp_model_rule_set(engine->model, number);
    const struct sp_region *region = set ? sp_model_region(engine->model, set->region) : NULL;
    if (!region) {
        return 0;
    }
    struct sp_rule_facts *rules;
    struct sp_rule_set_facts facts = {
        .number = number, .version = set->version, .region = region->number, .reports = region->reports,
    };
    int error = sp_model_rule_facts(engine->model, set, &rules, &facts.n_rules);
    if (error) {
        return error;
    }
    facts.rules = rules;
    /* A number is never another set's, and a set never moves to another region. */
    struct sp_compiled_set old = { .n_rules = 0 };
    if (before && before->flows) {
        old = (struct sp_compiled_set) { .rules = before->rules, .n_rules = before->n_rules, .flows = before->flows->flows };
    }
    struct sp_flow_list list;
    sp_flow_list_init(&list);
    ret->n_rules = facts.n_rules;
    ret->rules = malloc((facts.n_rules ? facts.n_rules : 1) * sizeof *ret->rules);
    error = ret->rules ? list_remotes(&facts, ret) : -ENOMEM;
    error = error ? error : sp_compile_rule_set(&facts, &old, &list, ret->rules);
    ret->flows = error ? NULL : sp_flow_set_new(&list);
    error = error || ret->flows ? error : -ENOMEM;
    free(rules);
    sp_flow_list_clear(&list);
    if (error) {
        sp_compilation_clear(ret);
    }
    return error;
}

static uint32_t
hash_number(const struct sp_engine *engine, uint32_t number)
{
    return sp_index_hash(engine->seed, &number, sizeof number);
}

static uint32_t
hash_group(const struct sp_engine *engine, const struct sp_uuid *group)
{
    return sp_index_hash(engine->seed, group, sizeof *group);
}

/* Finds rule set 'number' or compiles it.  NULL: no memory. */
static struct sp_shared_set *
share_set(struct sp_engine *engine, uint32_t number)
{
    struct sp_index_node *node = sp_index_find(&engine->sets, hash_number(engine, number), &number);
    if (node) {
        if (((struct sp_shared_set *) node->owner)->error < 0) {
            sp_engine_stale_set(engine, number);
        }
        return node->owner;
    }
    struct sp_shared_set *set = calloc(1, sizeof *set);
    if (!set) {
        return NULL;
    }
    set->number = number;
    set->error = sp_engine_compile_set(engine, number, NULL, &set->now);
    if (set->error < 0) {
        free(set);
        return NULL;
    }
    set->node.owner = set;
    sp_index_add(&engine->sets, &set->node, hash_number(engine, number), &number);
    return set;
}

static void
free_set(struct sp_engine *engine, struct sp_shared_set *set)
{
    for (struct sp_shared_set **link = &engine->stale_sets; set->stale; link = &(*link)->next_stale) {
        if (*link == set) {
            *link = set->next_stale;
            set->stale = false;
            break;
        }
    }
    sp_index_remove(&engine->sets, &set->node, hash_number(engine, set->number), &set->number);
    sp_engine_drop_ahead(engine, set);
    sp_compilation_clear(&set->now);
    free(set);
}

/* Marks the remote addresses of one group on one datapath. */
struct marking {
    struct sp_datapath *datapath;
    uint32_t region;
};

static int
mark_remote(void *aux, const struct sp_cidr *ip, uint32_t set)
{
    const struct marking *marking = aux;
    struct sp_unit_name name;
    sp_unit_name_remote(&name, marking->region, ip);
    sp_datapath_mark(marking->datapath, &name);
    return 0;
}

static void
mark_addresses(struct sp_datapath *dp, const struct sp_uuid *group)
{
    if (!dp->projected) {
        return;
    }
    const struct sp_model *model = dp->engine->model;
    const struct sp_group *object = sp_model_group(model, group);
    const struct sp_region *region = object ? sp_model_region(model, object->region) : NULL;
    if (region) {
        struct marking marking = { .datapath = dp, .region = region->number };
        sp_model_each_address_of_group(model, group, mark_remote, &marking);
    }
}

static void
refer(struct sp_datapath *dp, const struct sp_uuid *group)
{
    struct sp_reference *reference = sp_datapath_reference(dp, group);
    if (reference) {
        reference->n++;
        return;
    }
    reference = calloc(1, sizeof *reference);
    if (!reference) {
        sp_datapath_give_up(dp);
        return;
    }
    reference->datapath = dp;
    reference->group = *group;
    reference->n = 1;
    reference->by_group.owner = reference->by_engine.owner = reference;
    uint32_t hash = hash_group(dp->engine, group);
    sp_index_add(&dp->references, &reference->by_group, hash, group);
    sp_index_add(&dp->engine->references, &reference->by_engine, hash, group);
    mark_addresses(dp, group);
}

static void
unrefer(struct sp_datapath *dp, const struct sp_uuid *group)
{
    struct sp_reference *reference = sp_datapath_reference(dp, group);
    if (!reference || --reference->n) {
        return;
    }
    uint32_t hash = hash_group(dp->engine, group);
    sp_index_remove(&dp->references, &reference->by_group, hash, group);
    sp_index_remove(&dp->engine->references, &reference->by_engine, hash, group);
    free(reference);
    mark_addresses(dp, group);
}

/* Counts on the datapath what the set names now, then no longer what it named before. */
static void
refer_as_set(struct sp_presence *presence)
{
    const struct sp_compilation *set = &presence->set->now;
    struct sp_uuid *remotes = malloc((set->n_remotes ? set->n_remotes : 1) * sizeof *remotes);
    if (!remotes) {
        sp_datapath_give_up(presence->datapath);
        return;
    }
    if (set->n_remotes) {
        memcpy(remotes, set->remotes, set->n_remotes * sizeof *remotes);
    }
    for (size_t i = 0; i < set->n_remotes; i++) {
        refer(presence->datapath, &remotes[i]);
    }
    for (size_t i = 0; i < presence->n_remotes; i++) {
        unrefer(presence->datapath, &presence->remotes[i]);
    }
    free(presence->remotes);
    presence->remotes = remotes;
    presence->n_remotes = set->n_remotes;
}
