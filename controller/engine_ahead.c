/* What will follow from a commit that is under way is sent to the bridges ahead of it.
 *
 * A checked bundle takes two round trips, of which the first puts nothing in force: it is made while the store writes.  That is
 * done for what is changed most often and matters most: rules that come, go or change, and nothing else with them, so that on a
 * bridge nothing but the units of their rule sets changes.  What they compile to is found out while the model shows the staged
 * state, and is what they are then once it is published; until then it is known to nobody but the bundle.
 *
 * Nothing depends on it.  Once the commit is published all goes the ordinary way; and if what a switch shall do then is just what
 * it has looked at, it is told to do it (switch_ahead.c).  If not, or if the store fails, the bundle is withdrawn. */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "controller/engine_state.h"

static bool is_for_rule_sets(const struct sp_change *, size_t n);
static void compile(void *engine);
static bool compile_one(struct sp_engine *, uint32_t number);
static void drop_all(struct sp_engine *);

void
sp_engine_look_ahead(struct sp_engine *engine)
{
    size_t n;
    const struct sp_change *changes = sp_batch_changes(engine->batch, &n);
    assert(!engine->ahead_sets);
    engine->ahead_published = false;
    engine->ahead_number++;
    if (is_for_rule_sets(changes, n)) {
        sp_batch_look(engine->batch, compile, engine);
        sp_engine_send_ahead(engine);
    }
}

void
sp_engine_send_ahead(struct sp_engine *engine)
{
    for (struct sp_shared_set *set = engine->ahead_sets; set; set = set->next_ahead) {
        struct sp_unit_name name;
        sp_unit_name_set(&name, set->number);
        struct sp_index_node *head = sp_engine_presences(engine, set->number);
        for (struct sp_index_node *node = head; node; node = sp_index_next(head, node)) {
            struct sp_datapath *dp = ((struct sp_presence *) node->owner)->datapath;
            sp_switch_add_ahead(dp->sw, &name, set->ahead.flows, engine->ahead_number);
        }
    }
    for (struct sp_shared_set *set = engine->ahead_sets; set; set = set->next_ahead) {
        struct sp_index_node *head = sp_engine_presences(engine, set->number);
        for (struct sp_index_node *node = head; node; node = sp_index_next(head, node)) {
            sp_switch_send_ahead(((struct sp_presence *) node->owner)->datapath->sw, engine->ahead_number);
        }
    }
}

bool
sp_engine_take_ahead(struct sp_engine *engine, struct sp_shared_set *set, struct sp_compilation *ret)
{
    if (!set->is_ahead || !engine->ahead_published) {
        return false;
    }
    *ret = set->ahead;
    set->ahead = (struct sp_compilation) { .flows = NULL };
    sp_engine_drop_ahead(engine, set);
    return true;
}

void
sp_engine_end_ahead(struct sp_engine *engine)
{
    drop_all(engine);
    size_t cursor = 0;
    for (struct sp_index_node *node = NULL; (node = sp_index_next_head(&engine->datapaths, node, &cursor));) {
        sp_switch_withdraw(((struct sp_datapath *) node->owner)->sw);
    }
}

void
sp_engine_drop_ahead(struct sp_engine *engine, struct sp_shared_set *set)
{
    if (!set->is_ahead) {
        return;
    }
    struct sp_shared_set **link = &engine->ahead_sets;
    while (*link != set) {
        link = &(*link)->next_ahead;
    }
    *link = set->next_ahead;
    set->is_ahead = false;
    sp_compilation_clear(&set->ahead);
}

static void
drop_all(struct sp_engine *engine)
{
    while (engine->ahead_sets) {
        sp_engine_drop_ahead(engine, engine->ahead_sets);
    }
}

static bool
is_for_rule_sets(const struct sp_change *changes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool may = changes[i].kind == SP_KIND_GROUP || changes[i].kind == SP_KIND_RULE_SET;
        if (!may || !changes[i].before || !changes[i].after) {
            return false;
        }
    }
    return n;
}

/* Compiles all rule sets that change, or none: a bundle with part of a change is of no use. */
static void
compile(void *aux)
{
    struct sp_engine *engine = aux;
    size_t n;
    const struct sp_change *changes = sp_batch_changes(engine->batch, &n);
    for (size_t i = 0; i < n; i++) {
        const struct sp_rule_set *set = changes[i].kind == SP_KIND_RULE_SET ? changes[i].after : NULL;
        if (set && !compile_one(engine, set->number)) {
            drop_all(engine);
            return;
        }
    }
}

/* Other remote groups would change more on a bridge than the unit of the set. */
static bool
compile_one(struct sp_engine *engine, uint32_t number)
{
    struct sp_shared_set *set = sp_engine_shared_set(engine, number);
    if (!set) {
        return true; /* No bridge has it. */
    }
    if (set->stale || set->error || sp_engine_compile_set(engine, number, &set->now, &set->ahead)) {
        return false;
    }
    set->is_ahead = true;
    set->next_ahead = engine->ahead_sets;
    engine->ahead_sets = set;
    size_t n = set->now.n_remotes;
    return set->ahead.n_remotes == n && (!n || !memcmp(set->ahead.remotes, set->now.remotes, n * sizeof *set->now.remotes));
}
