#include "controller/api/restore.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/api/decode.h"
#include "controller/api/moved.h"
#include "controller/model/object.h"

/* An undoing under way. */
struct restoring {
    const struct sp_model *model;
    struct sp_batch *batch;
    struct sp_problems *problems;
    struct sp_pool pool;
    struct sp_decode decode; /* Which does not look ids up: the batch does. */
    struct sp_json **texts;  /* The objects, parsed. */
    struct sp_past *pasts;
    size_t n;
};

/* Rules that are being put together, each referenced. */
struct rules {
    struct sp_rule **list;
    size_t n;
};

static const char *
text_of(const struct sp_json *object, const char *key)
{
    const struct sp_json *value = sp_json_get(object, key);
    return value && value->type == SP_JSON_STRING ? value->string : NULL;
}

static int
time_of(const struct sp_json *object, int64_t *ret)
{
    const char *text = text_of(object, "created_at");
    return text && !sp_time_parse(text, ret) ? 0 : SP_E_DAMAGED;
}

static const struct sp_json *
list_of(const struct sp_json *object, const char *key)
{
    const struct sp_json *value = sp_json_get(object, key);
    return value && value->type == SP_JSON_ARRAY ? value : NULL;
}

/* Rules. */

/* What 'value' says of a rule that the decoder of new rules takes. */
static struct sp_json
writable_part(struct restoring *restoring, const struct sp_json *value)
{
    static const char *const fixed[] = {"id", "origin", "created_at", "updated_at"};
    struct sp_json part = {.type = SP_JSON_OBJECT};
    part.items = sp_pool_alloc(&restoring->pool, value->n, sizeof *part.items);
    part.keys = sp_pool_alloc(&restoring->pool, value->n, sizeof *part.keys);
    for (size_t i = 0; part.items && part.keys && i < value->n; i++) {
        bool is_fixed = false;
        for (size_t j = 0; j < sizeof fixed / sizeof *fixed; j++) {
            is_fixed |= !strcmp(value->keys[i], fixed[j]);
        }
        if (!is_fixed) {
            part.items[part.n] = value->items[i];
            part.keys[part.n++] = value->keys[i];
        }
    }
    return part;
}

/* Makes the rule that 'value' is. */
static int
make_rule(struct restoring *restoring, const struct sp_json *value, struct sp_rule **ret)
{
    const char *id = text_of(value, "id"), *origin = text_of(value, "origin"), *updated = text_of(value, "updated_at");
    struct sp_rule fields = {.origin = origin && !strcmp(origin, "default") ? SP_ORIGIN_DEFAULT : SP_ORIGIN_USER};
    if (!id || sp_uuid_parse(id, &fields.id) || time_of(value, &fields.created_at) || !updated ||
        sp_time_parse(updated, &fields.updated_at)) {
        return SP_E_DAMAGED;
    }
    struct sp_rule_input input;
    const struct sp_json part = writable_part(restoring, value);
    int r = part.keys ? sp_decode_rule(&restoring->decode, &part, "", NULL, NULL, &input) : -ENOMEM;
    if (r) {
        return r;
    }
    fields.meaning = input.meaning;
    fields.description = (char *) input.description;
    *ret = sp_rule_new(&fields);
    return *ret ? 0 : -ENOMEM;
}

static void
free_rules(struct rules *rules)
{
    for (size_t i = 0; rules->list && i < rules->n; i++) {
        sp_rule_unref(rules->list[i]);
    }
    free(rules->list);
}

/* Appends 'value' as a rule; there is room. */
static int
add_rule(struct restoring *restoring, struct rules *rules, const struct sp_json *value)
{
    int r = make_rule(restoring, value, &rules->list[rules->n]);
    rules->n += !r;
    return r;
}

static int
make_rules(struct restoring *restoring, const struct sp_json *array, struct rules *ret)
{
    ret->list = calloc(array->n ? array->n : 1, sizeof *ret->list);
    int r = ret->list ? 0 : -ENOMEM;
    for (size_t i = 0; i < array->n && !r; i++) {
        r = array->items[i].type == SP_JSON_OBJECT ? add_rule(restoring, ret, &array->items[i]) : SP_E_DAMAGED;
    }
    return r;
}

/* One rule that differs. */
struct difference {
    struct sp_uuid id;
    const struct sp_json *before; /* NULL: it was not there. */
    const struct sp_json *after;
    size_t position;
};

static int
compare_differences(const void *a, const void *b)
{
    return sp_uuid_compare(&((const struct difference *) a)->id, &((const struct difference *) b)->id);
}

static int
compare_positions(const void *a, const void *b)
{
    const struct difference *x = a, *y = b;
    return (x->position > y->position) - (x->position < y->position);
}

static const struct sp_json *
object_of(const struct sp_json *object, const char *key)
{
    const struct sp_json *value = sp_json_get(object, key);
    return value && value->type == SP_JSON_OBJECT ? value : NULL;
}

/* Reads the rules that differ, those that have gone to 'ret_gone' in the order of their places, the others to 'ret_stay' in that
 * of their ids; each has room for all. */
static int
read_differences(const struct sp_past *past, struct difference *ret_gone, size_t *ret_n_gone, struct difference *ret_stay,
                 size_t *ret_n_stay)
{
    *ret_n_gone = *ret_n_stay = 0;
    for (size_t i = 0; past->rules && i < past->rules->n; i++) {
        const struct sp_json *item = &past->rules->items[i], *position = sp_json_get(item, "position");
        struct difference one = {.before = object_of(item, "before"), .after = object_of(item, "after")};
        const struct sp_json *some = one.after ? one.after : one.before;
        const char *id = some ? text_of(some, "id") : NULL;
        if (!id || sp_uuid_parse(id, &one.id) || !position || position->type != SP_JSON_INTEGER || position->integer < 0) {
            return SP_E_DAMAGED;
        }
        one.position = (size_t) position->integer;
        if (one.after) {
            ret_stay[(*ret_n_stay)++] = one;
        } else {
            ret_gone[(*ret_n_gone)++] = one;
        }
    }
    qsort(ret_gone, *ret_n_gone, sizeof *ret_gone, compare_positions);
    qsort(ret_stay, *ret_n_stay, sizeof *ret_stay, compare_differences);
    return 0;
}

/* Appends what 'rule' of the list now has been: itself, another version, or nothing. */
static int
add_former(struct restoring *restoring, struct rules *rules, struct sp_rule *rule, const struct difference *stay, size_t n_stay)
{
    const struct difference key = {.id = rule->id}, *found = n_stay ? bsearch(&key, stay, n_stay, sizeof key, compare_differences)
                                                                    : NULL;
    if (!found) {
        rules->list[rules->n++] = sp_rule_ref(rule);
        return 0;
    }
    return found->before ? add_rule(restoring, rules, found->before) : 0;
}

/* Takes the rules of 'group' back: new ones out, changed ones as they were, those that have gone where they were. */
static int
merge_rules(struct restoring *restoring, const struct sp_past *past, const struct sp_group *group, struct rules *ret)
{
    size_t n = past->rules ? past->rules->n : 0, n_gone, n_stay, next = 0;
    struct difference *gone = sp_pool_alloc(&restoring->pool, n, sizeof *gone);
    struct difference *stay = sp_pool_alloc(&restoring->pool, n, sizeof *stay);
    ret->list = calloc(group->n_rules + n + 1, sizeof *ret->list);
    int r = gone && stay && ret->list ? read_differences(past, gone, &n_gone, stay, &n_stay) : -ENOMEM;
    for (size_t i = 0; i < group->n_rules && !r; i++) {
        while (!r && next < n_gone && gone[next].position <= ret->n) {
            r = add_rule(restoring, ret, gone[next++].before);
        }
        r = r ? r : add_former(restoring, ret, group->rules[i], stay, n_stay);
    }
    while (!r && next < n_gone) {
        r = add_rule(restoring, ret, gone[next++].before);
    }
    return r;
}

/* Puts 'rules' in the order of the ids 'order'. */
static int
reorder(struct rules *rules, const struct sp_json *order)
{
    struct sp_rule **sorted = sp_past_sort(rules->list, rules->n);
    int r = !sorted ? -ENOMEM : order->n == rules->n ? 0 : SP_E_DAMAGED;
    struct sp_rule **list = calloc(rules->n ? rules->n : 1, sizeof *list);
    for (size_t i = 0; i < order->n && !r && list; i++) {
        list[i] = sp_past_find(sorted, rules->n, &order->items[i]);
        r = list[i] ? 0 : SP_E_DAMAGED;
    }
    r = list ? r : -ENOMEM;
    if (!r && rules->n) {
        memcpy(rules->list, list, rules->n * sizeof *list);
    }
    free(list);
    free(sorted);
    return r;
}

/* Objects; those of each function are of its kind. */

static int
restore_group(struct restoring *restoring, const struct sp_past *past)
{
    const struct sp_group *group = sp_model_group(restoring->model, &past->id);
    struct sp_group fields = {.id = past->id, .region = (char *) past->region, .description = (char *) ""};
    struct rules rules = {0};
    const struct sp_json *list = list_of(past->before, "rules"), *order = list_of(past->before, "rule_order");
    const char *name = text_of(past->before, "name"), *description = text_of(past->before, "description");
    int r = 0;
    if (group) {
        fields = *group;
        r = past->rules ? merge_rules(restoring, past, group, &rules) : 0;
        r = r || !order ? r : reorder(&rules, order);
    } else {
        r = list && name ? time_of(past->before, &fields.created_at) : SP_E_DAMAGED;
        r = r ? r : make_rules(restoring, list, &rules);
    }
    if (rules.list) {
        fields.rules = rules.list;
        fields.n_rules = rules.n;
    }
    fields.name = name ? (char *) name : fields.name;
    fields.description = description ? (char *) description : fields.description;
    r = r ? r : sp_batch_restore_group(restoring->batch, &fields, restoring->problems);
    free_rules(&rules);
    return r;
}

static int
check_group(struct restoring *restoring, const struct sp_past *past)
{
    return sp_batch_check_group(restoring->batch, &past->id, restoring->problems);
}

static int
delete_group(struct restoring *restoring, const struct sp_past *past)
{
    return sp_batch_delete_group(restoring->batch, &past->id, restoring->problems);
}

static int
restore_region(struct restoring *restoring, const struct sp_past *past)
{
    int64_t created_at;
    int r = time_of(past->before, &created_at);
    return r ? r : sp_batch_restore_region(restoring->batch, past->name, created_at, restoring->problems);
}

static int
restore_reports(struct restoring *restoring, const struct sp_past *past)
{
    const struct sp_json *value = sp_json_get(past->before, "report_blocked");
    if (!value) {
        return 0;
    }
    return value->type == SP_JSON_BOOL ? sp_batch_set_reports(restoring->batch, past->name, value->boolean) : SP_E_DAMAGED;
}

static int
set_default(struct restoring *restoring, const struct sp_past *past)
{
    const char *text = text_of(past->before, "default_group");
    struct sp_uuid id = {{0}};
    if (!sp_json_get(past->before, "default_group")) {
        return 0;
    }
    if (text && sp_uuid_parse(text, &id)) {
        return SP_E_DAMAGED;
    }
    return sp_batch_set_default(restoring->batch, past->name, &id, restoring->problems);
}

static int
delete_region(struct restoring *restoring, const struct sp_past *past)
{
    return sp_batch_delete_region(restoring->batch, past->name, restoring->problems);
}

static int
read_groups(struct restoring *restoring, const struct sp_json *array, const struct sp_uuid **ret, size_t *ret_n)
{
    struct sp_uuid *groups = sp_pool_alloc(&restoring->pool, array->n, sizeof *groups);
    if (!groups) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < array->n; i++) {
        if (array->items[i].type != SP_JSON_STRING || sp_uuid_parse(array->items[i].string, &groups[i])) {
            return SP_E_DAMAGED;
        }
    }
    *ret = groups;
    *ret_n = array->n;
    return 0;
}

/* A port that somebody else's server has by now would be found twice. */
static int
check_ports(struct restoring *restoring, const struct sp_past *past, const struct sp_port_input *ports, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct sp_port *port = sp_model_port(restoring->model, &ports[i].id);
        if (port && !sp_uuid_equal(&port->server, &past->id)) {
            return SP_E_DAMAGED;
        }
    }
    return 0;
}

static int
restore_server(struct restoring *restoring, const struct sp_past *past)
{
    const struct sp_json *groups = list_of(past->before, "security_groups"), *ports = list_of(past->before, "ports");
    const char *name = text_of(past->before, "name"), *kind = text_of(past->before, "kind");
    struct sp_server_patch patch = {.name = name, .kind = -1, .has_groups = groups, .has_ports = ports};
    struct sp_port_input *inputs = NULL;
    int r = groups ? read_groups(restoring, groups, &patch.groups, &patch.n_groups) : 0;
    if (!r && ports) {
        r = sp_decode_kept_ports(&restoring->decode, ports, &inputs, &patch.n_ports);
        patch.ports = inputs;
        r = r ? r : check_ports(restoring, past, inputs, patch.n_ports);
    }
    if (kind) {
        patch.kind = strcmp(kind, "baremetal") ? SP_SERVER_VPS : SP_SERVER_BAREMETAL;
    }
    if (r || sp_model_server(restoring->model, &past->id)) {
        return r ? r : sp_batch_patch_server(restoring->batch, &past->id, &patch, restoring->problems);
    }
    struct sp_server_input input = {.region = past->region, .name = name, .kind = (enum sp_server_kind) patch.kind,
                                    .has_groups = true, .groups = patch.groups, .n_groups = patch.n_groups, .ports = patch.ports,
                                    .n_ports = patch.n_ports, .id = past->id};
    struct sp_uuid id;
    r = name && kind && groups && ports ? time_of(past->before, &input.created_at) : SP_E_DAMAGED;
    return r ? r : sp_batch_create_server(restoring->batch, &input, &id, restoring->problems);
}

static int
delete_server(struct restoring *restoring, const struct sp_past *past)
{
    return sp_batch_delete_server(restoring->batch, &past->id, restoring->problems);
}

static int
restore_bridge(struct restoring *restoring, const struct sp_past *past)
{
    const struct sp_json *uplinks = list_of(past->before, "uplinks");
    const char **names = uplinks ? sp_pool_alloc(&restoring->pool, uplinks->n, sizeof *names) : NULL;
    if (!uplinks) {
        return SP_E_DAMAGED;
    }
    for (size_t i = 0; names && i < uplinks->n; i++) {
        names[i] = uplinks->items[i].type == SP_JSON_STRING ? uplinks->items[i].string : "";
    }
    bool created;
    return names ? sp_batch_put_bridge(restoring->batch, past->dpid, names, uplinks->n, &created, restoring->problems) : -ENOMEM;
}

static int
delete_bridge(struct restoring *restoring, const struct sp_past *past)
{
    return sp_batch_delete_bridge(restoring->batch, past->dpid, restoring->problems);
}

/* The order in which objects are brought back: what others name comes before them, and goes after them. */
enum was { GONE = 1, STAYED = 2, MADE = 4 }; /* By the change. */
static const struct step {
    enum sp_kind kind;
    unsigned was;
    int (*run)(struct restoring *, const struct sp_past *);
} steps[] = {
    {SP_KIND_REGION, GONE, restore_region},
    {SP_KIND_REGION, GONE | STAYED, restore_reports},
    {SP_KIND_GROUP, GONE | STAYED, restore_group},
    {SP_KIND_GROUP, GONE | STAYED, check_group},
    {SP_KIND_SERVER, MADE, delete_server},
    {SP_KIND_REGION, STAYED, set_default},
    {SP_KIND_BRIDGE, GONE | STAYED, restore_bridge},
    {SP_KIND_SERVER, GONE | STAYED, restore_server},
    {SP_KIND_BRIDGE, MADE, delete_bridge},
    {SP_KIND_GROUP, MADE, delete_group},
    {SP_KIND_REGION, MADE, delete_region},
};

static int
run_steps(struct restoring *restoring)
{
    int r = 0;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        for (size_t j = 0; j < restoring->n && !r; j++) {
            const struct sp_past *past = &restoring->pasts[j];
            enum was was = !past->after ? GONE : past->before ? STAYED : MADE;
            if (past->kind == steps[i].kind && steps[i].was & was) {
                r = steps[i].run(restoring, past);
            }
        }
    }
    return r;
}

static int
parse(struct restoring *restoring, const struct sp_history_record *record)
{
    char why[120];
    restoring->texts = sp_pool_alloc(&restoring->pool, record->n_objects, sizeof(struct sp_json *));
    restoring->pasts = sp_pool_alloc(&restoring->pool, record->n_objects, sizeof *restoring->pasts);
    int r = restoring->texts && restoring->pasts ? 0 : -ENOMEM;
    for (size_t i = 0; i < record->n_objects && !r; i++) {
        const char *text = record->objects[i].text;
        r = sp_json_parse(text, strlen(text), &restoring->texts[i], why, sizeof why);
        r = r > 0 ? SP_E_DAMAGED : r ? r : sp_past_read(restoring->texts[i], &restoring->pasts[i]);
        restoring->n += restoring->texts[i] != NULL;
    }
    return r;
}

int
sp_restore(const struct sp_history_record *record, const struct sp_model *model, const struct sp_protocols *protocols,
           struct sp_batch *batch, struct sp_problems *problems)
{
    struct restoring restoring = {.model = model, .batch = batch, .problems = problems};
    restoring.decode = (struct sp_decode){.protocols = protocols, .problems = problems, .pool = &restoring.pool};
    if (!record->is_whole) {
        sp_problems_detail(problems, "It cannot be undone: what differed was too much to be kept.");
        return SP_E_IN_USE;
    }
    int r = parse(&restoring, record);
    for (size_t i = 0; i < restoring.n && !r; i++) {
        r = sp_past_check(&restoring.pasts[i], model, protocols, problems);
    }
    r = r ? r : run_steps(&restoring);
    for (size_t i = 0; i < restoring.n; i++) {
        sp_json_free(restoring.texts[i]);
    }
    sp_pool_clear(&restoring.pool);
    if (r <= 0 || r == SP_E_FULL) {
        return r;
    }
    if (!problems->detail) {
        sp_problems_detail(problems, r == SP_E_DAMAGED ? "It cannot be undone: its record in the history is damaged."
                                                       : "It cannot be undone: what it needs is not there any more.");
    }
    return SP_E_IN_USE;
}
