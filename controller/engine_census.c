#include <stdlib.h>
#include <string.h>

#include "controller/engine_state.h"
#include "flows/lint.h"

#define RULES_PER_STEP 20000u /* Some milliseconds of the loop's time. */
#define AGAIN_MS 60000        /* Between two censuses. */

static int
list_group(void *aux, const struct sp_group *group)
{
    struct sp_census *census = aux;
    census->groups[census->n_groups++] = group->id;
    return 0;
}

/* Without memory the last one stands until the next second. */
static bool
begin(struct sp_engine *engine)
{
    struct sp_census *census = &engine->census;
    size_t n = sp_model_count_groups(engine->model, NULL);
    census->groups = calloc(n + 1, sizeof *census->groups);
    if (!census->groups) {
        return false;
    }
    census->n_groups = census->at = 0;
    census->n_rules = census->n_unused = 0;
    sp_model_each_group(engine->model, NULL, list_group, census);
    return true;
}

/* Counts the rules of the next groups, but for those that have gone meanwhile. */
static void
run_step(struct sp_engine *engine)
{
    struct sp_census *census = &engine->census;
    int64_t now_us = sp_engine_clock_us();
    for (size_t n = 0; census->at < census->n_groups && n < RULES_PER_STEP; census->at++) {
        const struct sp_group *group = sp_model_group(engine->model, &census->groups[census->at]);
        for (size_t i = 0; group && i < group->n_rules; i++) {
            struct sp_hits hits;
            sp_counts_read(engine->counts, group->rules[i], &hits);
            census->n_unused += sp_lint_is_unused(hits.last_us, hits.since_us, now_us);
        }
        census->n_rules += group ? group->n_rules : 0;
        n += group ? group->n_rules : 1;
    }
    if (census->at == census->n_groups) {
        sp_engine_end_census(engine);
        census->told_rules = census->n_rules;
        census->told_unused = census->n_unused;
        census->complete = true;
        census->next_ms = sp_engine_now(engine) + AGAIN_MS;
    }
}

void
sp_engine_run_census(struct sp_engine *engine)
{
    struct sp_census *census = &engine->census;
    if (!census->groups && (sp_engine_now(engine) < census->next_ms || !begin(engine))) {
        return;
    }
    run_step(engine);
}

void
sp_engine_end_census(struct sp_engine *engine)
{
    free(engine->census.groups);
    engine->census.groups = NULL;
}
