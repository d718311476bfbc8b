#include "controller/api/moved.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/api/decode.h"
#include "controller/api/record.h"

static const char *const kinds[] = {
    [SP_KIND_REGION] = "region", [SP_KIND_GROUP] = "security_group", [SP_KIND_SERVER] = "server", [SP_KIND_BRIDGE] = "bridge"};
static const char *const titles[] = {
    [SP_KIND_REGION] = "region", [SP_KIND_GROUP] = "security group", [SP_KIND_SERVER] = "server", [SP_KIND_BRIDGE] = "bridge"};

static const char *
text_of(const struct sp_json *object, const char *key)
{
    const struct sp_json *value = sp_json_get(object, key);
    return value && value->type == SP_JSON_STRING ? value->string : NULL;
}

static const struct sp_json *
member(const struct sp_json *object, const char *key, enum sp_json_type type)
{
    const struct sp_json *value = sp_json_get(object, key);
    return value && value->type == type ? value : NULL;
}

int
sp_past_read(const struct sp_json *object, struct sp_past *ret)
{
    const char *kind = object->type == SP_JSON_OBJECT ? text_of(object, "kind") : NULL, *id = kind ? text_of(object, "id") : NULL;
    *ret = (struct sp_past){.kind = SP_N_KINDS};
    if (!id || !(ret->name = text_of(object, "name"))) {
        return SP_E_DAMAGED;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        ret->kind = !strcmp(kinds[i], kind) ? (enum sp_kind) i : ret->kind;
    }
    ret->region = text_of(object, "region");
    ret->before = member(object, "before", SP_JSON_OBJECT);
    ret->after = member(object, "after", SP_JSON_OBJECT);
    ret->rules = member(object, "rules", SP_JSON_ARRAY);
    switch (ret->kind) {
    case SP_KIND_REGION:
        return 0;
    case SP_KIND_GROUP:
    case SP_KIND_SERVER:
        return ret->region && !sp_uuid_parse(id, &ret->id) ? 0 : SP_E_DAMAGED;
    case SP_KIND_BRIDGE:
        return sp_decode_dpid(id, &ret->dpid) ? SP_E_DAMAGED : 0;
    default:
        return SP_E_DAMAGED;
    }
}

const void *
sp_past_object(const struct sp_past *past, const struct sp_model *model)
{
    switch (past->kind) {
    case SP_KIND_REGION:
        return sp_model_region(model, past->name);
    case SP_KIND_GROUP:
        return sp_model_group(model, &past->id);
    case SP_KIND_SERVER:
        return sp_model_server(model, &past->id);
    default:
        return sp_model_bridge(model, past->dpid);
    }
}

/* Whether two values are the same, times of changes aside. */
static bool
is_same(const struct sp_json *a, const struct sp_json *b)
{
    if (!a || !b || a->type != b->type || a->n != b->n) {
        return false;
    }
    switch (a->type) {
    case SP_JSON_STRING:
        return !strcmp(a->string, b->string);
    case SP_JSON_INTEGER:
        return a->integer == b->integer;
    case SP_JSON_BOOL:
        return a->boolean == b->boolean;
    default:
        break;
    }
    for (size_t i = 0; i < a->n; i++) {
        const struct sp_json *other = a->type == SP_JSON_OBJECT ? sp_json_get(b, a->keys[i]) : &b->items[i];
        bool is_time = a->type == SP_JSON_OBJECT && !strcmp(a->keys[i], "updated_at");
        if (!is_time && !is_same(&a->items[i], other)) {
            return false;
        }
    }
    return true;
}

static int
moved(const struct sp_past *past, const char *what, struct sp_problems *problems)
{
    const char *title = titles[past->kind];
    char id[SP_UUID_TEXT_SIZE];
    if (past->kind == SP_KIND_GROUP || past->kind == SP_KIND_SERVER) {
        sp_uuid_format(&past->id, id);
        sp_problems_detail(problems, "It cannot be undone: %s %s (%s) %s.", title, past->name, id, what);
    } else {
        sp_problems_detail(problems, "It cannot be undone: %s %s %s.", title, past->name, what);
    }
    return SP_E_IN_USE;
}

/* The order of the rules of 'group' is the list of ids 'order'. */
static bool
has_order(const struct sp_group *group, const struct sp_json *order)
{
    char id[SP_UUID_TEXT_SIZE];
    bool is_it = order->type == SP_JSON_ARRAY && order->n == group->n_rules;
    for (size_t i = 0; is_it && i < group->n_rules; i++) {
        is_it = order->items[i].type == SP_JSON_STRING &&
                !strcmp(order->items[i].string, sp_uuid_format(&group->rules[i]->id, id));
    }
    return is_it;
}

static int
compare_rules(const void *a, const void *b)
{
    return sp_uuid_compare(&(*(struct sp_rule *const *) a)->id, &(*(struct sp_rule *const *) b)->id);
}

struct sp_rule **
sp_past_sort(struct sp_rule *const *rules, size_t n)
{
    struct sp_rule **sorted = malloc((n ? n : 1) * sizeof *sorted);
    if (sorted && n) {
        memcpy(sorted, rules, n * sizeof *sorted);
        qsort(sorted, n, sizeof *sorted, compare_rules);
    }
    return sorted;
}

struct sp_rule *
sp_past_find(struct sp_rule **sorted, size_t n, const struct sp_json *id)
{
    struct sp_rule key, *wanted = &key;
    if (!n || !id || id->type != SP_JSON_STRING || sp_uuid_parse(id->string, &key.id)) {
        return NULL;
    }
    struct sp_rule **found = bsearch(&wanted, sorted, n, sizeof *sorted, compare_rules);
    return found ? *found : NULL;
}

/* Whether the rule of the group is as 'after' says, which is null for one that has gone. */
static int
check_rule(const struct sp_past *past, struct sp_rule **sorted, size_t n, const struct sp_protocols *protocols,
           const struct sp_json *difference, struct sp_problems *problems)
{
    const struct sp_json *before = member(difference, "before", SP_JSON_OBJECT);
    const struct sp_json *after = member(difference, "after", SP_JSON_OBJECT);
    if (!before && !after) {
        return SP_E_DAMAGED;
    }
    const struct sp_rule *rule = sp_past_find(sorted, n, sp_json_get(after ? after : before, "id"));
    if (!after) {
        return rule ? moved(past, "has a rule again that was deleted", problems) : 0;
    }
    if (!rule) {
        return moved(past, "has lost a rule since", problems);
    }
    struct sp_json *now;
    int r = sp_record_parse_rule(protocols, rule, &now);
    if (r) {
        return r;
    }
    bool stayed = is_same(now, after);
    sp_json_free(now);
    return stayed ? 0 : moved(past, "has a rule that has changed since", problems);
}

static int
check_rules(const struct sp_past *past, const struct sp_group *group, const struct sp_protocols *protocols,
            struct sp_problems *problems)
{
    struct sp_rule **sorted = sp_past_sort(group->rules, group->n_rules);
    int r = sorted ? 0 : -ENOMEM;
    for (size_t i = 0; past->rules && i < past->rules->n && !r; i++) {
        r = check_rule(past, sorted, group->n_rules, protocols, &past->rules->items[i], problems);
    }
    free(sorted);
    const struct sp_json *order = sp_json_get(past->after, "rule_order");
    if (!r && order && !has_order(group, order)) {
        r = moved(past, "has its rules in another order since", problems);
    }
    return r;
}

/* Compares each field of 'after' with 'object', of which the change left these. */
static int
check_fields(const struct sp_past *past, const void *object, const struct sp_protocols *protocols, struct sp_problems *problems)
{
    struct sp_json *now;
    int r = sp_record_parse(protocols, past->kind, object, !past->before, &now);
    for (size_t i = 0; !r && i < past->after->n; i++) {
        const char *key = past->after->keys[i];
        if (strcmp(key, "rule_order") && !is_same(&past->after->items[i], sp_json_get(now, key))) {
            char what[80];
            snprintf(what, sizeof what, "has changed since (%s)", key);
            r = moved(past, what, problems);
        }
    }
    sp_json_free(now);
    return r;
}

int
sp_past_check(const struct sp_past *past, const struct sp_model *model, const struct sp_protocols *protocols,
              struct sp_problems *problems)
{
    const void *object = sp_past_object(past, model);
    if (!past->after) {
        return object ? moved(past, "is there again", problems) : 0;
    }
    if (!object) {
        return moved(past, "has been deleted since", problems);
    }
    int r = check_fields(past, object, protocols, problems);
    return r || past->kind != SP_KIND_GROUP || !past->before ? r : check_rules(past, object, protocols, problems);
}
