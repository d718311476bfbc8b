#include "controller/api/record.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/api/pool.h"
#include "controller/api/render.h"

/* A record that is being made. */
struct making {
    const struct sp_protocols *protocols;
    const struct sp_uuid *subject;
    struct sp_pool pool;
    struct sp_history_object *objects;
    size_t n;
    size_t size;                      /* Of their texts. */
    struct sp_rules_difference rules; /* Of the subject. */
};

/* A rule of one of two lists. */
struct place {
    const struct sp_rule *rule;
    size_t position;
    const struct place *other; /* In the other list; NULL: it is not there. */
};

static void
put_uuid(struct sp_json_write *out, const char *key, const struct sp_uuid *id)
{
    char text[SP_UUID_TEXT_SIZE];
    sp_json_text(out, key, sp_uuid_is_none(id) ? NULL : sp_uuid_format(id, text));
}

static void
put_time(struct sp_json_write *out, int64_t time_us)
{
    char text[SP_TIME_TEXT_SIZE];
    sp_json_text(out, "created_at", sp_time_format(time_us, text));
}

static bool
texts_differ(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "");
}

/* Each of the following puts the fields of an object in which it differs from 'other', or all with 'other' NULL. */

static void
put_region(const struct sp_render *render, const void *object, const void *other)
{
    const struct sp_region *region = object, *than = other;
    if (!than) {
        sp_json_text(render->out, "name", region->name);
    }
    if (!than || !sp_uuid_equal(&region->default_group, &than->default_group)) {
        put_uuid(render->out, "default_group", &region->default_group);
    }
    if (!than || region->reports != than->reports) {
        sp_json_key(render->out, "report_blocked");
        sp_json_bool(render->out, region->reports);
    }
    if (!than) {
        put_time(render->out, region->created_at);
    }
}

static void
put_group(const struct sp_render *render, const void *object, const void *other)
{
    const struct sp_group *group = object, *than = other;
    if (!than) {
        put_uuid(render->out, "id", &group->id);
        sp_json_text(render->out, "region", group->region);
    }
    if (!than || strcmp(group->name, than->name)) {
        sp_json_text(render->out, "name", group->name);
    }
    if (!than || texts_differ(group->description, than->description)) {
        sp_json_text(render->out, "description", group->description);
    }
    if (!than) {
        sp_render_rules(render, group);
        put_time(render->out, group->created_at);
    }
}

static void
put_groups_of(const struct sp_render *render, const struct sp_server *server)
{
    char id[SP_UUID_TEXT_SIZE];
    sp_json_key(render->out, "security_groups");
    sp_json_array_open(render->out);
    for (size_t i = 0; i < server->n_groups; i++) {
        sp_json_string(render->out, sp_uuid_format(&server->groups[i], id));
    }
    sp_json_array_close(render->out);
}

static void
put_ports_of(const struct sp_render *render, const struct sp_server *server)
{
    sp_json_key(render->out, "ports");
    sp_json_array_open(render->out);
    for (size_t i = 0; i < server->n_ports; i++) {
        sp_render_port(render, server->ports[i]);
    }
    sp_json_array_close(render->out);
}

static void
put_server(const struct sp_render *render, const void *object, const void *other)
{
    const struct sp_server *server = object, *than = other;
    if (!than) {
        put_uuid(render->out, "id", &server->id);
    }
    if (!than || strcmp(server->name, than->name)) {
        sp_json_text(render->out, "name", server->name);
    }
    if (!than) {
        sp_json_text(render->out, "region", server->region);
    }
    if (!than || server->kind != than->kind) {
        sp_json_text(render->out, "kind", server->kind == SP_SERVER_VPS ? "vps" : "baremetal");
    }
    if (!than || server->n_groups != than->n_groups ||
        (server->n_groups && memcmp(server->groups, than->groups, server->n_groups * sizeof *server->groups))) {
        put_groups_of(render, server);
    }
    if (!than || server->n_ports != than->n_ports ||
        (server->n_ports && memcmp(server->ports, than->ports, server->n_ports * sizeof *server->ports))) {
        put_ports_of(render, server);
    }
    if (!than) {
        put_time(render->out, server->created_at);
    }
}

static bool
uplinks_differ(const struct sp_bridge *a, const struct sp_bridge *b)
{
    bool differ = a->n_uplinks != b->n_uplinks;
    for (size_t i = 0; i < a->n_uplinks && !differ; i++) {
        differ = strcmp(a->uplinks[i], b->uplinks[i]);
    }
    return differ;
}

static void
put_bridge(const struct sp_render *render, const void *object, const void *other)
{
    const struct sp_bridge *bridge = object, *than = other;
    char dpid[SP_DPID_TEXT_SIZE];
    if (!than) {
        sp_json_text(render->out, "dpid", sp_render_dpid(bridge->dpid, dpid));
    }
    if (!than || uplinks_differ(bridge, than)) {
        sp_json_key(render->out, "uplinks");
        sp_json_array_open(render->out);
        for (size_t i = 0; i < bridge->n_uplinks; i++) {
            sp_json_string(render->out, bridge->uplinks[i]);
        }
        sp_json_array_close(render->out);
    }
    if (!than) {
        put_time(render->out, bridge->created_at);
    }
}

/* Rules. */

static int
compare_places(const void *a, const void *b)
{
    const struct place *const *x = a, *const *y = b;
    return sp_uuid_compare(&(*x)->rule->id, &(*y)->rule->id);
}

/* The two lists without what they have in common at both ends, each rule beside itself in the other one. */
struct lists {
    struct place *before, *after;
    size_t n_before, n_after;
    bool is_reordered;
};

static int
pair_up(struct sp_pool *pool, struct lists *lists)
{
    struct place **sorted = sp_pool_alloc(pool, lists->n_before, sizeof *sorted);
    if (!sorted) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < lists->n_before; i++) {
        sorted[i] = &lists->before[i];
    }
    qsort(sorted, lists->n_before, sizeof *sorted, compare_places);
    size_t next = 0;
    for (size_t i = 0; i < lists->n_after; i++) {
        const struct place *key = &lists->after[i];
        struct place **found = bsearch(&key, sorted, lists->n_before, sizeof *sorted, compare_places);
        if (found) {
            lists->after[i].other = *found;
            (*found)->other = &lists->after[i];
            lists->is_reordered |= (*found)->position < next;
            next = (*found)->position;
        }
    }
    return 0;
}

static int
compare_rules(struct sp_pool *pool, const struct sp_group *before, const struct sp_group *after, struct lists *ret)
{
    size_t skip = 0, tail = 0, n_before = before->n_rules, n_after = after->n_rules;
    while (skip < n_before && skip < n_after && before->rules[skip] == after->rules[skip]) {
        skip++;
    }
    while (tail < n_before - skip && tail < n_after - skip &&
           before->rules[n_before - tail - 1] == after->rules[n_after - tail - 1]) {
        tail++;
    }
    *ret = (struct lists){.n_before = n_before - skip - tail, .n_after = n_after - skip - tail};
    ret->before = sp_pool_alloc(pool, ret->n_before, sizeof *ret->before);
    ret->after = sp_pool_alloc(pool, ret->n_after, sizeof *ret->after);
    if (!ret->before || !ret->after) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < ret->n_before; i++) {
        ret->before[i] = (struct place){before->rules[skip + i], skip + i, NULL};
    }
    for (size_t i = 0; i < ret->n_after; i++) {
        ret->after[i] = (struct place){after->rules[skip + i], skip + i, NULL};
    }
    return pair_up(pool, ret);
}

static void
put_place(const struct sp_render *render, const struct place *before, const struct place *after)
{
    sp_json_object_open(render->out);
    sp_json_key(render->out, "position");
    const struct place *any = before ? before : after;
    assert(any);
    sp_json_integer(render->out, (int64_t) any->position);
    sp_json_key(render->out, "before");
    if (before) {
        sp_render_rule(render, before->rule);
    } else {
        sp_json_null(render->out);
    }
    sp_json_key(render->out, "after");
    if (after) {
        sp_render_rule(render, after->rule);
    } else {
        sp_json_null(render->out);
    }
    sp_json_object_close(render->out);
}

/* "rules":[...] */
static void
put_rules(const struct sp_render *render, const struct lists *lists, struct sp_rules_difference *ret)
{
    *ret = (struct sp_rules_difference){.is_reordered = lists->is_reordered};
    sp_json_key(render->out, "rules");
    sp_json_array_open(render->out);
    for (size_t i = 0; i < lists->n_before; i++) {
        const struct place *before = &lists->before[i], *after = before->other;
        if (!after || after->rule != before->rule) {
            put_place(render, before, after);
            ret->n_removed += !after;
            ret->n_changed += after != NULL;
        }
    }
    for (size_t i = 0; i < lists->n_after; i++) {
        if (!lists->after[i].other) {
            put_place(render, NULL, &lists->after[i]);
            ret->n_added++;
        }
    }
    sp_json_array_close(render->out);
}

static void
put_order(const struct sp_render *render, const struct sp_group *group)
{
    char id[SP_UUID_TEXT_SIZE];
    sp_json_key(render->out, "rule_order");
    sp_json_array_open(render->out);
    for (size_t i = 0; i < group->n_rules; i++) {
        sp_json_string(render->out, sp_uuid_format(&group->rules[i]->id, id));
    }
    sp_json_array_close(render->out);
}

/* Objects. */

struct kind {
    const char *name; /* NULL: not an object that people know. */
    void (*put)(const struct sp_render *, const void *object, const void *other);
};

static const struct kind kinds[SP_N_KINDS] = {
    [SP_KIND_REGION] = {"region", put_region},
    [SP_KIND_GROUP] = {"security_group", put_group},
    [SP_KIND_SERVER] = {"server", put_server},
    [SP_KIND_BRIDGE] = {"bridge", put_bridge},
};

/* Its key and region; returns its name. */
static const char *
name_object(const struct sp_change *change, char id[SP_HISTORY_ID_SIZE], const char **ret_region)
{
    const void *object = change->after ? change->after : change->before;
    const struct sp_region *region = object;
    const struct sp_group *group = object;
    const struct sp_server *server = object;
    const struct sp_bridge *bridge = object;
    *ret_region = NULL;
    switch (change->kind) {
    case SP_KIND_REGION:
        snprintf(id, SP_HISTORY_ID_SIZE, "%s", region->name);
        *ret_region = region->name;
        return region->name;
    case SP_KIND_GROUP:
        sp_uuid_format(&group->id, id);
        *ret_region = group->region;
        return group->name;
    case SP_KIND_SERVER:
        sp_uuid_format(&server->id, id);
        *ret_region = server->region;
        return server->name;
    default:
        sp_render_dpid(bridge->dpid, id);
        return id;
    }
}

static void
put_side(const struct sp_render *render, const struct sp_change *change, bool is_before, const struct lists *lists)
{
    const void *object = is_before ? change->before : change->after, *other = is_before ? change->after : change->before;
    sp_json_key(render->out, is_before ? "before" : "after");
    if (!object) {
        sp_json_null(render->out);
        return;
    }
    sp_json_object_open(render->out);
    kinds[change->kind].put(render, object, other);
    if (lists->is_reordered) {
        put_order(render, object);
    }
    sp_json_object_close(render->out);
}

/* Whether 'change' is about the subject. */
static bool
is_subject(const struct making *making, const struct sp_change *change)
{
    const struct sp_group *group = change->after ? change->after : change->before;
    return change->kind == SP_KIND_GROUP && sp_uuid_equal(&group->id, making->subject);
}

/* Writes the text of 'change', brief: without what differs. */
static int
put_change(struct making *making, const struct sp_change *change, const char *id, const char *region, const char *name,
           bool is_brief, struct sp_json_write *out)
{
    struct sp_render render = {.out = out, .protocols = making->protocols};
    struct lists lists = {0};
    if (change->kind == SP_KIND_GROUP && change->before && change->after && !is_brief) {
        int r = compare_rules(&making->pool, change->before, change->after, &lists);
        if (r) {
            return r;
        }
    }
    sp_json_object_open(out);
    sp_json_text(out, "kind", kinds[change->kind].name);
    sp_json_text(out, "id", id);
    sp_json_text(out, "region", region);
    sp_json_text(out, "name", name);
    if (!is_brief) {
        put_side(&render, change, true, &lists);
        put_side(&render, change, false, &lists);
        struct sp_rules_difference rules = {0};
        if (lists.n_before || lists.n_after) {
            put_rules(&render, &lists, &rules);
        }
        if (is_subject(making, change)) {
            making->rules = rules;
        }
    }
    sp_json_object_close(out);
    return 0;
}

static int
add_object(struct making *making, const struct sp_change *change, bool is_brief)
{
    char id[SP_HISTORY_ID_SIZE];
    const char *region, *name = name_object(change, id, &region), *text;
    size_t size;
    struct sp_json_write *out = sp_json_write_new(false);
    int r = put_change(making, change, id, region, name, is_brief, out);
    r = r ? r : sp_json_write_done(out, &text, &size);
    if (!r) {
        struct sp_history_object *object = &making->objects[making->n++];
        *object = (struct sp_history_object){.kind = kinds[change->kind].name, .region = region};
        object->id = sp_pool_text(&making->pool, id, strlen(id));
        object->text = sp_pool_text(&making->pool, text, size);
        making->size += size;
        r = object->id && object->text ? 0 : -ENOMEM;
    }
    sp_json_write_free(out);
    return r;
}

static int
add_objects(struct making *making, const struct sp_change *changes, size_t n, bool is_brief)
{
    int r = 0;
    for (size_t i = 0; i < n && !r; i++) {
        bool is_enough = is_brief ? making->n == SP_RECORD_NAMED : making->size > SP_RECORD_SIZE;
        if (kinds[changes[i].kind].name && !is_enough) {
            r = add_object(making, &changes[i], is_brief);
        }
    }
    return r;
}

int
sp_record_make(const struct sp_protocols *protocols, const struct sp_history_record *frame, const struct sp_uuid *subject,
               const struct sp_change *changes, size_t n, struct sp_history_entry **ret)
{
    struct making making = {.protocols = protocols, .subject = subject};
    struct sp_history_record record = *frame;
    char what[SP_RECORD_WHAT_SIZE];
    making.objects = sp_pool_alloc(&making.pool, n, sizeof *making.objects);
    int r = making.objects ? add_objects(&making, changes, n, false) : -ENOMEM;
    record.is_whole = making.size <= SP_RECORD_SIZE;
    if (!r && !record.is_whole) {
        making.n = 0;
        r = add_objects(&making, changes, n, true);
    }
    if (!r) {
        if (!record.what) {
            sp_record_describe(record.path, subject, changes, n, &making.rules, what, sizeof what);
            record.what = what;
        }
        record.objects = making.objects;
        record.n_objects = making.n;
        *ret = sp_history_entry_new(&record);
        r = *ret ? 0 : -ENOMEM;
    }
    sp_pool_clear(&making.pool);
    return r;
}

/* Reads what 'out', which is freed, says. */
static int
parse_written(struct sp_json_write *out, struct sp_json **ret)
{
    const char *text;
    size_t size;
    char why[120];
    int r = sp_json_write_done(out, &text, &size);
    r = r ? r : sp_json_parse(text, size, ret, why, sizeof why);
    sp_json_write_free(out);
    return r ? -ENOMEM : 0;
}

int
sp_record_parse(const struct sp_protocols *protocols, enum sp_kind kind, const void *object, bool with_rules,
                struct sp_json **ret)
{
    struct sp_render render = {.out = sp_json_write_new(false), .protocols = protocols};
    struct sp_group bare;
    *ret = NULL;
    if (kind == SP_KIND_GROUP && !with_rules) {
        bare = *(const struct sp_group *) object;
        bare.n_rules = 0;
        object = &bare;
    }
    sp_json_object_open(render.out);
    kinds[kind].put(&render, object, NULL);
    sp_json_object_close(render.out);
    return parse_written(render.out, ret);
}

int
sp_record_parse_rule(const struct sp_protocols *protocols, const struct sp_rule *rule, struct sp_json **ret)
{
    struct sp_render render = {.out = sp_json_write_new(false), .protocols = protocols};
    *ret = NULL;
    sp_render_rule(&render, rule);
    return parse_written(render.out, ret);
}
