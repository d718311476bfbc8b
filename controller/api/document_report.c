#include "controller/api/document.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* What the report is made of. */
struct report {
    struct sp_render render;
    const struct sp_names *groups;
    struct sp_pool *pool;
    bool has_failed; /* There was no memory. */
    const struct sp_region *before; /* The region, where it changes: its default group is a matter of two groups. */
    const struct sp_region *after;
};

static bool
is_default(const struct sp_region *region, const struct sp_group *group)
{
    return region && group && sp_uuid_equal(&region->default_group, &group->id);
}

static void
write_field(const struct report *report, const char *name, bool differs)
{
    if (differs) {
        sp_json_string(report->render.out, name);
    }
}

/* The rules of a group by their ids; none of no group. */
struct index {
    const struct sp_rule **rules;
    size_t n;
};

static int
compare_rules(const void *a, const void *b)
{
    const struct sp_rule *const *x = a, *const *y = b;
    return sp_uuid_compare(&(*x)->id, &(*y)->id);
}

/* Returns whether there was memory. */
static bool
index_rules(struct report *report, const struct sp_group *group, struct index *ret)
{
    *ret = (struct index){.n = group ? group->n_rules : 0};
    ret->rules = sp_pool_alloc(report->pool, ret->n, sizeof *ret->rules);
    if (!ret->rules) {
        report->has_failed = true;
        return false;
    }
    if (ret->n) {
        memcpy(ret->rules, group->rules, ret->n * sizeof *ret->rules);
        qsort(ret->rules, ret->n, sizeof *ret->rules, compare_rules);
    }
    return true;
}

/* The rules of 'group' under 'key' that 'others' have otherwise, or with 'is_there' false not at all. */
static void
write_rules(const struct report *report, const char *key, const struct sp_group *group, const struct index *others, bool is_there)
{
    sp_json_key(report->render.out, key);
    sp_json_array_open(report->render.out);
    for (size_t i = 0; group && i < group->n_rules; i++) {
        const struct sp_rule *rule = group->rules[i];
        const struct sp_rule **twin = others->n ? bsearch(&rule, others->rules, others->n, sizeof rule, compare_rules) : NULL;
        if (is_there ? twin && *twin != rule : !twin) {
            sp_document_write_rule(&report->render, report->groups, rule);
        }
    }
    sp_json_array_close(report->render.out);
}

static bool
have_same_rules(const struct sp_group *a, const struct sp_group *b)
{
    return a->n_rules == b->n_rules && (!a->n_rules || !memcmp(a->rules, b->rules, a->n_rules * sizeof *a->rules));
}

static void
write_group(struct report *report, const struct sp_group *before, const struct sp_group *after)
{
    const struct sp_group *some = after ? after : before;
    struct sp_json_write *out = report->render.out;
    sp_json_key(out, "fields");
    sp_json_array_open(out);
    if (before && after) {
        write_field(report, "name", strcmp(before->name, after->name));
        write_field(report, "description", strcmp(before->description, after->description));
        write_field(report, "default", report->after && is_default(report->before, some) != is_default(report->after, some));
        write_field(report, "rules", !have_same_rules(before, after));
    }
    sp_json_array_close(out);
    struct index old, new;
    if (!index_rules(report, before, &old) || !index_rules(report, after, &new)) {
        return;
    }
    sp_json_key(out, "rules");
    sp_json_object_open(out);
    write_rules(report, "added", after, &old, false);
    write_rules(report, "changed", after, &old, true);
    write_rules(report, "deleted", before, &new, false);
    sp_json_object_close(out);
}

static void
write_server(const struct report *report, const struct sp_server *before, const struct sp_server *after)
{
    struct sp_json_write *out = report->render.out;
    sp_json_key(out, "fields");
    sp_json_array_open(out);
    if (before && after) {
        write_field(report, "name", strcmp(before->name, after->name));
        write_field(report, "kind", before->kind != after->kind);
        write_field(report, "security_groups",
                    before->n_groups != after->n_groups ||
                        (after->n_groups && memcmp(before->groups, after->groups, after->n_groups * sizeof *after->groups)));
        write_field(report, "ports",
                    before->n_ports != after->n_ports ||
                        (after->n_ports && memcmp(before->ports, after->ports, after->n_ports * sizeof *after->ports)));
    }
    sp_json_array_close(out);
    sp_json_key(out, "rules");
    sp_json_null(out);
}

/* Begins the object of a change.  'id' NULL: the name is the id. */
static void
open_change(const struct report *report, const struct sp_change *change, const char *kind, const char *id, const char *name)
{
    sp_json_object_open(report->render.out);
    sp_json_text(report->render.out, "action", !change->before ? "create" : change->after ? "update" : "delete");
    sp_json_text(report->render.out, "kind", kind);
    sp_json_text(report->render.out, "id", id);
    sp_json_text(report->render.out, "name", name);
}

/* A change of which there is nothing more to say. */
static void
write_bare(const struct report *report, const struct sp_change *change, const char *kind, const char *name)
{
    open_change(report, change, kind, name, name);
    sp_json_key(report->render.out, "fields");
    sp_json_array_open(report->render.out);
    sp_json_array_close(report->render.out);
    sp_json_key(report->render.out, "rules");
    sp_json_null(report->render.out);
    sp_json_object_close(report->render.out);
}

static void
write_change(struct report *report, const struct sp_change *change)
{
    const void *some = change->after ? change->after : change->before;
    const struct sp_group *group = some;
    const struct sp_server *server = some;
    const struct sp_bridge *bridge = some;
    const struct sp_region *region = some;
    char id[SP_UUID_TEXT_SIZE], dpid[SP_DPID_TEXT_SIZE];
    switch (change->kind) {
    case SP_KIND_GROUP:
        open_change(report, change, "security_group", sp_uuid_format(&group->id, id), group->name);
        write_group(report, change->before, change->after);
        sp_json_object_close(report->render.out);
        return;
    case SP_KIND_SERVER:
        open_change(report, change, "server", sp_uuid_format(&server->id, id), server->name);
        write_server(report, change->before, change->after);
        sp_json_object_close(report->render.out);
        return;
    case SP_KIND_BRIDGE: /* Adopted, as a port names it. */
        write_bare(report, change, "bridge", sp_render_dpid(bridge->dpid, dpid));
        return;
    case SP_KIND_REGION: /* Another default group shows in the groups. */
        if (!change->before) {
            assert(region);
            write_bare(report, change, "region", region->name);
        }
        return;
    case SP_KIND_RULE_SET:
    case SP_N_KINDS:
        return;
    }
}

struct sp_json_write *
sp_document_report(struct sp_call *call, const struct sp_names *groups, const struct sp_change *changes, size_t n)
{
    struct sp_json_write *out = sp_json_write_new(false);
    struct report report = {.render = {.out = out, .engine = call->api->engine, .protocols = call->api->protocols},
                            .groups = groups,
                            .pool = &call->pool};
    for (size_t i = 0; i < n; i++) {
        if (changes[i].kind == SP_KIND_REGION) {
            report.before = changes[i].before;
            report.after = changes[i].after;
        }
    }
    sp_json_object_open(out);
    sp_json_text(out, "region", call->region);
    sp_json_key(out, "changes");
    sp_json_array_open(out);
    for (size_t i = 0; i < n; i++) {
        write_change(&report, &changes[i]);
    }
    sp_json_array_close(out);
    sp_json_object_close(out);
    if (report.has_failed) {
        sp_json_write_free(out);
        return NULL;
    }
    return out;
}
