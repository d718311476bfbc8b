#include "controller/api/preview.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/api/cuts.h"

/* Ids, of which each counts once. */
struct ids {
    struct sp_uuid *list;
    size_t n, allocated;
    bool failed; /* No memory. */
};

/* Rule sets by number. */
struct sets {
    uint32_t *list;
    size_t n;
};

struct preview {
    const struct sp_model *model;
    const struct sp_change *changes;
    size_t n;
    struct ids servers;
    struct ids rules;
    struct sets sets; /* That change, sorted. */
};

static void
add_id(struct ids *ids, const struct sp_uuid *id)
{
    if (ids->n == ids->allocated) {
        size_t n = ids->allocated ? ids->allocated * 2 : 64;
        struct sp_uuid *grown = realloc(ids->list, n * sizeof *grown);
        if (!grown) {
            ids->failed = true;
            return;
        }
        ids->list = grown;
        ids->allocated = n;
    }
    ids->list[ids->n++] = *id;
}

static int
compare_ids(const void *a, const void *b)
{
    return sp_uuid_compare(a, b);
}

static void
sort_out(struct ids *ids)
{
    size_t n = 0;
    if (ids->n) {
        qsort(ids->list, ids->n, sizeof *ids->list, compare_ids);
    }
    for (size_t i = 0; i < ids->n; i++) {
        if (!i || !sp_uuid_equal(&ids->list[i], &ids->list[i - 1])) {
            ids->list[n++] = ids->list[i];
        }
    }
    ids->n = n;
}

/* Rules of 'before' whose connections carry a mark that 'after' (NULL: the set is gone, or another one's) does not have any more:
 * these are looked at again. */
static void
add_rules(struct preview *preview, const struct sp_rule_set *before, const struct sp_rule_set *after)
{
    for (size_t i = 0; before && i < before->n_admissions; i++) {
        const struct sp_admission *admission = &before->admissions[i];
        if (admission->mark && !sp_rule_set_keeps(after, admission)) {
            add_id(&preview->rules, &admission->rule);
        }
    }
}

/* The rule set 'number' as it was before. */
static const struct sp_rule_set *
former_set(const struct preview *preview, uint32_t number)
{
    for (size_t i = 0; i < preview->n; i++) {
        const struct sp_rule_set *before = preview->changes[i].before;
        if (preview->changes[i].kind == SP_KIND_RULE_SET && before && before->number == number) {
            return before;
        }
    }
    return sp_model_rule_set(preview->model, number);
}

static int
compare_numbers(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;
    return (x > y) - (x < y);
}

static int
add_member(void *aux, const struct sp_server *server)
{
    struct preview *preview = aux;
    if (preview->sets.n && bsearch(&server->set, preview->sets.list, preview->sets.n, sizeof server->set, compare_numbers)) {
        add_id(&preview->servers, &server->id);
    }
    return 0;
}

/* The servers that change, or whose rules do. */
static int
collect(struct preview *preview)
{
    const char *region = NULL;
    preview->sets.list = calloc(preview->n ? preview->n : 1, sizeof *preview->sets.list);
    if (!preview->sets.list) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < preview->n; i++) {
        const struct sp_change *change = &preview->changes[i];
        const struct sp_server *was = change->before, *is = change->after;
        if (change->kind == SP_KIND_RULE_SET) {
            const struct sp_rule_set *set = change->after ? change->after : change->before;
            preview->sets.list[preview->sets.n++] = set->number;
            region = set->region;
            add_rules(preview, change->before, change->after);
        } else if (change->kind == SP_KIND_SERVER) {
            add_id(&preview->servers, is ? &is->id : &was->id);
            if (was && was->set && (!is || is->set != was->set)) {
                add_rules(preview, former_set(preview, was->set), NULL);
            }
        }
    }
    if (preview->sets.n) {
        qsort(preview->sets.list, preview->sets.n, sizeof *preview->sets.list, compare_numbers);
        sp_model_each_server(preview->model, region, add_member, preview); /* A change is about one region. */
    }
    sort_out(&preview->servers);
    sort_out(&preview->rules);
    return preview->servers.failed || preview->rules.failed ? -ENOMEM : 0;
}

static void
put_number(struct sp_json_write *out, const char *key, size_t n)
{
    sp_json_key(out, key);
    sp_json_integer(out, (int64_t) n);
}

/* "KEY":[...] */
static void
put_ids(struct sp_json_write *out, const char *key, const struct ids *ids)
{
    char text[SP_UUID_TEXT_SIZE];
    sp_json_key(out, key);
    sp_json_array_open(out);
    for (size_t i = 0; i < ids->n && i < SP_PREVIEW_IDS_MAX; i++) {
        sp_json_string(out, sp_uuid_format(&ids->list[i], text));
    }
    sp_json_array_close(out);
}

static void
put_bridges(struct sp_json_write *out, const struct sp_effect *effect)
{
    char dpid[SP_DPID_TEXT_SIZE];
    sp_json_key(out, "bridges");
    sp_json_array_open(out);
    for (size_t i = 0; i < effect->n; i++) {
        sp_json_object_open(out);
        sp_json_key(out, "dpid");
        sp_json_string(out, sp_render_dpid(effect->bridges[i].dpid, dpid));
        put_number(out, "flows_added", effect->bridges[i].n_added);
        put_number(out, "flows_removed", effect->bridges[i].n_removed);
        sp_json_object_close(out);
    }
    sp_json_array_close(out);
    put_number(out, "bridges_left_out", effect->n_left_out);
}

static void
put_effect(const struct sp_render *render, const struct preview *preview, const struct sp_effect *effect,
           const struct sp_history_record *record, const struct sp_cuts *cuts)
{
    struct sp_json_write *out = render->out;
    sp_json_key(out, "effect");
    sp_json_object_open(out);
    sp_json_key(out, "objects");
    sp_json_array_open(out);
    for (size_t i = 0; record && i < record->n_objects; i++) {
        sp_json_raw(out, record->objects[i].text);
    }
    sp_json_array_close(out);
    put_ids(out, "servers", &preview->servers);
    put_number(out, "n_servers", preview->servers.n);
    put_bridges(out, effect);
    put_ids(out, "connections_judged_again", &preview->rules);
    put_number(out, "n_connections_judged_again", preview->rules.n);
    sp_cuts_put(cuts, render);
    sp_json_object_close(out);
}

/* The object as it would be, or null. */
static void
put_result(struct sp_call *call, const struct sp_render *render)
{
    const struct sp_operation *operation = call->route->operation;
    sp_json_key(render->out, "result");
    if (!operation->render || !operation->render(call, render)) {
        sp_json_null(render->out);
    }
}

int
sp_preview_write(struct sp_call *call, const struct sp_history_record *record, const struct sp_change *changes, size_t n,
                 struct sp_json_write *out)
{
    struct preview preview = {.model = sp_call_model(call), .changes = changes, .n = n};
    struct sp_effect effect = {.bridges = NULL};
    const struct sp_render render = {.out = out, .engine = call->api->engine, .protocols = call->api->protocols};
    int r = collect(&preview);
    r = r ? r : sp_engine_preview(call->api->engine, changes, n, &effect);
    if (!r) {
        sp_json_object_open(out);
        sp_json_key(out, "dry_run");
        sp_json_bool(out, true);
        sp_json_key(out, "what");
        sp_json_string(out, record ? record->what : NULL);
        put_result(call, &render);
        put_effect(&render, &preview, &effect, record, call->cuts);
        sp_json_object_close(out);
    }
    free(effect.bridges);
    free(preview.servers.list);
    free(preview.rules.list);
    free(preview.sets.list);
    return r;
}
