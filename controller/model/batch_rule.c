#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/model/batch.h"
#include "controller/model/meanings.h"
#include "controller/model/object.h"
#include "controller/model/staging.h"

/* Whether 'a' and 'b' say the same in the same words; meanings can be equal and not be. */
static bool is_same_text(const struct sp_meaning *a, const struct sp_meaning *b)
{
    return sp_meaning_equal(a, b) && a->remote == b->remote && a->port_min == b->port_min && a->port_max == b->port_max
           && (a->remote != SP_REMOTE_CIDR || sp_cidr_equal(&a->remote_cidr, &b->remote_cidr));
}

static const char *text(const char *string)
{
    return string ? string : "";
}

static int make_rule(struct sp_batch *batch, const struct sp_rule_input *input, enum sp_origin origin, struct sp_rule **ret)
{
    struct sp_rule fields = { .meaning = input->meaning, .description = (char *) text(input->description), .origin = origin,
                              .created_at = batch->now_us, .updated_at = batch->now_us };
    int r = sp_batch_new_id(&fields.id);
    if (r) {
        return r;
    }
    *ret = sp_rule_new(&fields);
    return *ret ? 0 : -ENOMEM;
}

/* 'old' with the meaning and description of 'input': itself, with a reference more, if it has them. */
static struct sp_rule *change_rule(struct sp_batch *batch, const struct sp_rule *old, const struct sp_rule_input *input)
{
    if (is_same_text(&old->meaning, &input->meaning) && !strcmp(text(old->description), text(input->description))) {
        return sp_rule_ref(old);
    }
    struct sp_rule fields = *old;
    fields.meaning = input->meaning;
    fields.description = (char *) text(input->description);
    fields.updated_at = batch->now_us;
    return sp_rule_new(&fields);
}

void sp_batch_free_rules(struct sp_rule **rules, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sp_rule_unref(rules[i]);
    }
    free(rules);
}

/* sp_batch_make_rules() with its tables set up: 'old' has the old rules, 'new' none yet, 'rules' room for all. */
static int fill_rules(struct sp_batch *batch, const struct sp_meanings *old, struct sp_meanings *new,
                      const struct sp_rule_input *inputs, size_t n, enum sp_origin origin, struct sp_rule **rules,
                      size_t *n_rules)
{
    for (size_t i = 0; i < n; i++) {
        if (sp_meanings_find(new, &inputs[i].meaning)) {
            continue;
        }
        const struct sp_rule *known = sp_meanings_find(old, &inputs[i].meaning);
        struct sp_rule *rule = known ? change_rule(batch, known, &inputs[i]) : NULL;
        int r = known ? (rule ? 0 : -ENOMEM) : make_rule(batch, &inputs[i], origin, &rule);
        if (r) {
            return r;
        }
        rules[(*n_rules)++] = rule;
        sp_meanings_add(new, rule);
    }
    return 0;
}

int sp_batch_make_rules(struct sp_batch *batch, const struct sp_group *old, const struct sp_rule_input *inputs, size_t n,
                        enum sp_origin origin, struct sp_rule ***ret_rules, size_t *ret_n)
{
    struct sp_meanings known = { 0 }, new = { 0 };
    size_t n_rules = 0, n_old = old ? old->n_rules : 0;
    struct sp_rule **rules = calloc(n ? n : 1, sizeof *rules);
    int r = rules ? sp_meanings_init(&known, n_old) : -ENOMEM;
    if (!r) {
        r = sp_meanings_init(&new, n);
    }
    if (!r) {
        for (size_t i = 0; i < n_old; i++) {
            sp_meanings_add(&known, old->rules[i]);
        }
        r = fill_rules(batch, &known, &new, inputs, n, origin, rules, &n_rules);
    }
    sp_meanings_clear(&known);
    sp_meanings_clear(&new);
    if (r) {
        sp_batch_free_rules(rules, n_rules);
        return r;
    }
    *ret_rules = rules;
    *ret_n = n_rules;
    return 0;
}

static int stage_rules(struct sp_batch *batch, const struct sp_group *group, struct sp_rule **rules, size_t n)
{
    struct sp_group fields = *group;
    fields.rules = rules;
    fields.n_rules = n;
    return sp_batch_stage_group(batch, group, &fields);
}

/* The place of rule 'id' in 'group', or 'n_rules'. */
static size_t find_rule(const struct sp_group *group, const struct sp_uuid *id)
{
    size_t i = 0;
    while (i < group->n_rules && !sp_uuid_equal(&group->rules[i]->id, id)) {
        i++;
    }
    return i;
}

static const struct sp_rule *find_meaning(const struct sp_group *group, const struct sp_meaning *meaning)
{
    for (size_t i = 0; i < group->n_rules; i++) {
        if (sp_meaning_equal(&group->rules[i]->meaning, meaning)) {
            return group->rules[i];
        }
    }
    return NULL;
}

static bool remotes_are_known(const struct sp_batch *batch, const struct sp_group *group, const struct sp_rule_input *rules,
                              size_t n, struct sp_problems *problems)
{
    size_t n_problems = problems->n + problems->n_lost;
    sp_batch_check_remotes(batch, group->region, rules, n, problems);
    return problems->n + problems->n_lost == n_problems;
}

int sp_batch_add_rule(struct sp_batch *batch, const struct sp_uuid *group_id, const struct sp_rule_input *input,
                      struct sp_uuid *ret_id, bool *ret_created, struct sp_problems *problems)
{
    const struct sp_group *group = sp_model_group(batch->model, group_id);
    if (!group) {
        return SP_E_MISSING;
    }
    if (!remotes_are_known(batch, group, input, 1, problems)) {
        return SP_E_INVALID;
    }
    const struct sp_rule *known = find_meaning(group, &input->meaning);
    if (known) {
        *ret_id = known->id;
        *ret_created = false;
        return 0;
    }

    struct sp_rule *rule = NULL;
    struct sp_rule **rules = calloc(group->n_rules + 1, sizeof *rules);
    int r = rules ? make_rule(batch, input, SP_ORIGIN_USER, &rule) : -ENOMEM;
    if (!r) {
        if (group->n_rules) {
            memcpy(rules, group->rules, group->n_rules * sizeof *rules);
        }
        rules[group->n_rules] = rule;
        r = stage_rules(batch, group, rules, group->n_rules + 1);
    }
    if (!r) {
        *ret_id = rule->id;
        *ret_created = true;
    }
    sp_rule_unref(rule);
    free(rules);
    return r;
}

int sp_batch_set_rule(struct sp_batch *batch, const struct sp_uuid *group_id, const struct sp_uuid *rule_id,
                      const struct sp_rule_input *input, struct sp_problems *problems)
{
    const struct sp_group *group = sp_model_group(batch->model, group_id);
    size_t i = group ? find_rule(group, rule_id) : 0;
    if (!group || i == group->n_rules) {
        return SP_E_MISSING;
    }
    if (!remotes_are_known(batch, group, input, 1, problems)) {
        return SP_E_INVALID;
    }
    const struct sp_rule *old = group->rules[i];
    const struct sp_rule *equal = sp_meaning_equal(&old->meaning, &input->meaning) ? NULL : find_meaning(group, &input->meaning);
    if (equal) {
        char id[SP_UUID_TEXT_SIZE];
        sp_problems_detail(problems, "rule %s of the group means the same already", sp_uuid_format(&equal->id, id));
        return SP_E_EXISTS;
    }

    struct sp_rule *rule = change_rule(batch, old, input);
    assert(i < group->n_rules);
    struct sp_rule **rules = calloc(group->n_rules, sizeof *rules);
    int r = rule && rules ? 0 : -ENOMEM;
    if (!r && rule != old) {
        memcpy(rules, group->rules, group->n_rules * sizeof *rules);
        rules[i] = rule;
        r = stage_rules(batch, group, rules, group->n_rules);
    }
    sp_rule_unref(rule);
    free(rules);
    return r;
}

int sp_batch_delete_rule(struct sp_batch *batch, const struct sp_uuid *group_id, const struct sp_uuid *rule_id,
                         struct sp_problems *problems)
{
    const struct sp_group *group = sp_model_group(batch->model, group_id);
    size_t i = group ? find_rule(group, rule_id) : 0;
    if (!group || i == group->n_rules) {
        return SP_E_MISSING;
    }
    struct sp_rule **rules = calloc(group->n_rules, sizeof *rules);
    if (!rules) {
        return -ENOMEM;
    }
    memcpy(rules, group->rules, i * sizeof *rules);
    memcpy(rules + i, group->rules + i + 1, (group->n_rules - i - 1) * sizeof *rules);
    int r = stage_rules(batch, group, rules, group->n_rules - 1);
    free(rules);
    return r;
}

int sp_batch_replace_rules(struct sp_batch *batch, const struct sp_uuid *group_id, const struct sp_rule_input *inputs, size_t n,
                           struct sp_problems *problems)
{
    const struct sp_group *group = sp_model_group(batch->model, group_id);
    if (!group) {
        return SP_E_MISSING;
    }
    if (!remotes_are_known(batch, group, inputs, n, problems)) {
        return SP_E_INVALID;
    }
    struct sp_rule **rules;
    size_t n_rules;
    int r = sp_batch_make_rules(batch, group, inputs, n, SP_ORIGIN_USER, &rules, &n_rules);
    if (r) {
        return r;
    }
    if (n_rules != group->n_rules || (n_rules && memcmp(rules, group->rules, n_rules * sizeof *rules))) {
        r = stage_rules(batch, group, rules, n_rules);
    }
    sp_batch_free_rules(rules, n_rules);
    return r;
}
