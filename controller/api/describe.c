/* One line for people about a change: what was done to the object that it was asked of, and what came along. */

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "controller/api/record.h"
#include "controller/api/render.h"

struct line {
    char *out;
    size_t size;
    size_t length;
};

static void SP_PRINTF(2, 3)
add(struct line *line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line->out + line->length, line->size - line->length, format, args);
    va_end(args);
    line->length += n > 0 ? (size_t) n : 0;
    line->length = line->length < line->size ? line->length : line->size - 1;
}

static void
describe_rules(struct line *line, const struct sp_group *group, const struct sp_rules_difference *rules)
{
    size_t n = rules->n_added + rules->n_removed + rules->n_changed;
    if (n == 1) {
        const char *how = rules->n_added ? "added to" : rules->n_removed ? "deleted from" : "changed in";
        add(line, "rule %s group %s", how, group->name);
    } else if (n) {
        add(line, "rules of group %s replaced: %zu added, %zu deleted, %zu changed", group->name, rules->n_added,
            rules->n_removed, rules->n_changed);
    } else {
        add(line, "rules of group %s put in another order", group->name);
    }
}

static void
describe_group(struct line *line, const struct sp_change *change, const struct sp_rules_difference *rules)
{
    const struct sp_group *before = change->before, *after = change->after;
    assert(before || after);
    if (!before || !after) {
        add(line, "group %s %s", (after ? after : before)->name, after ? "created" : "deleted");
    } else if (strcmp(before->name, after->name)) {
        add(line, "group %s renamed to %s", before->name, after->name);
    } else if (rules->n_added || rules->n_removed || rules->n_changed || rules->is_reordered) {
        describe_rules(line, after, rules);
    } else {
        add(line, "group %s changed", after->name);
    }
}

static void
describe_server(struct line *line, const struct sp_change *change)
{
    const struct sp_server *before = change->before, *after = change->after;
    assert(before || after);
    if (!before || !after) {
        add(line, "server %s %s", (after ? after : before)->name, after ? "created" : "deleted");
    } else if (before->n_groups != after->n_groups ||
               (after->n_groups && memcmp(before->groups, after->groups, after->n_groups * sizeof *after->groups))) {
        add(line, "groups of server %s changed", after->name);
    } else {
        add(line, "server %s changed", after->name);
    }
}

static void
describe_bridge(struct line *line, const struct sp_change *change)
{
    const struct sp_bridge *bridge = change->after ? change->after : change->before;
    char dpid[SP_DPID_TEXT_SIZE];
    sp_render_dpid(bridge->dpid, dpid);
    if (change->before && change->after) {
        add(line, "uplinks of bridge %s changed", dpid);
    } else {
        add(line, "bridge %s %s", dpid, change->after ? "adopted" : "released");
    }
}

static void
describe_region(struct line *line, const struct sp_change *change)
{
    const struct sp_region *before = change->before, *after = change->after, *region = after ? after : before;
    assert(region);
    if (before && after && before->reports != after->reports) {
        add(line, "region %s %s blocked attempts", region->name, after->reports ? "reports" : "no longer reports");
        return;
    }
    add(line, "region %s %s", region->name, !before ? "created" : after ? "changed" : "deleted");
}

/* The kind of objects that 'path' is about. */
static enum sp_kind
kind_of(const char *path)
{
    static const struct {
        const char *prefix;
        enum sp_kind kind;
    } kinds[] = {{"/v1/security-groups", SP_KIND_GROUP}, {"/v1/servers", SP_KIND_SERVER}, {"/v1/bridges", SP_KIND_BRIDGE}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!strncmp(path, kinds[i].prefix, strlen(kinds[i].prefix))) {
            return kinds[i].kind;
        }
    }
    return SP_KIND_REGION;
}

static bool
is_subject(const struct sp_change *change, const struct sp_uuid *subject)
{
    const struct sp_group *group = change->after ? change->after : change->before;
    const struct sp_server *server = change->after ? change->after : change->before;
    return change->kind == SP_KIND_GROUP    ? sp_uuid_equal(&group->id, subject)
           : change->kind == SP_KIND_SERVER ? sp_uuid_equal(&server->id, subject)
                                            : true;
}

/* The change of the object that the request was about; the first one if none fits. */
static const struct sp_change *
find_subject(const char *path, const struct sp_uuid *subject, const struct sp_change *changes, size_t n)
{
    enum sp_kind kind = kind_of(path);
    for (size_t i = 0; i < n; i++) {
        if (changes[i].kind == kind && is_subject(&changes[i], subject)) {
            return &changes[i];
        }
    }
    return &changes[0];
}

static void
describe_subject(struct line *line, const struct sp_change *change, const struct sp_rules_difference *rules)
{
    switch (change->kind) {
    case SP_KIND_GROUP:
        describe_group(line, change, rules);
        break;
    case SP_KIND_SERVER:
        describe_server(line, change);
        break;
    case SP_KIND_BRIDGE:
        describe_bridge(line, change);
        break;
    default:
        describe_region(line, change);
    }
}

/* Whatever else changed by the same request. */
static void
describe_rest(struct line *line, const struct sp_change *changes, size_t n, const struct sp_change *subject)
{
    size_t n_servers = 0, n_bridges = 0;
    for (size_t i = 0; i < n; i++) {
        const struct sp_change *change = &changes[i];
        const struct sp_region *before = change->before, *after = change->after;
        n_servers += change->kind == SP_KIND_SERVER && change != subject;
        n_bridges += change->kind == SP_KIND_BRIDGE && change != subject;
        if (change->kind == SP_KIND_REGION && before && after && change != subject) {
            bool has_default = !sp_uuid_is_none(&after->default_group);
            add(line, has_default ? "; default group of region %s changed" : "; region %s has no default group", after->name);
        }
    }
    if (n_bridges) {
        add(line, "; %zu bridge%s adopted or released", n_bridges, n_bridges == 1 ? "" : "s");
    }
    if (n_servers) {
        add(line, "; %zu server%s changed", n_servers, n_servers == 1 ? "" : "s");
    }
}

void
sp_record_describe(const char *path, const struct sp_uuid *subject, const struct sp_change *changes, size_t n,
                   const struct sp_rules_difference *rules, char *out, size_t size)
{
    struct line line = {.out = out, .size = size};
    const struct sp_change *first = find_subject(path, subject, changes, n);
    *out = '\0';
    describe_subject(&line, first, rules);
    describe_rest(&line, changes, n, first);
}
