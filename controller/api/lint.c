#include "flows/lint.h"

#include <stdio.h>

#include "controller/api/route.h"

static const char *const kinds[] = {[SP_LINT_REDUNDANT] = "redundant", [SP_LINT_SHADOWED] = "shadowed", [SP_LINT_OPEN] = "open"};

static void
describe(const struct sp_lint *found, const struct sp_rule *by, char *out, size_t size)
{
    char id[SP_UUID_TEXT_SIZE], more[60] = "";
    if (found->kind == SP_LINT_OPEN) {
        if (found->n_services > 1) {
            snprintf(more, sizeof more, " and %zu more such services", found->n_services - 1);
        }
        snprintf(out, size, "lets everybody reach %s (%s %u)%s", found->service->name,
                 found->service->protocol == SP_PROTOCOL_TCP ? "tcp" : "udp", found->service->port, more);
        return;
    }
    bool denies = by->meaning.action == SP_DENY;
    sp_uuid_format(&by->id, id);
    if (found->kind == SP_LINT_SHADOWED) {
        snprintf(out, size, "never decides: rule %s matches all that it matches, is asked first and %s it", id,
                 denies ? "denies" : "allows");
    } else {
        snprintf(out, size, "changes nothing: rule %s matches all that it matches and %s it as well", id,
                 denies ? "denies" : "allows");
    }
}

static void
put_finding(struct sp_json_write *out, const char *kind, const struct sp_rule *rule, const struct sp_rule *by,
            const char *message)
{
    char id[SP_UUID_TEXT_SIZE];
    sp_json_object_open(out);
    sp_json_text(out, "kind", kind);
    sp_json_text(out, "rule", sp_uuid_format(&rule->id, id));
    sp_json_text(out, "by", by ? sp_uuid_format(&by->id, id) : NULL);
    sp_json_text(out, "message", message);
    sp_json_object_close(out);
}

/* A rule that never decides has been told of. */
static void
put_unused(const struct sp_call *call, struct sp_json_write *out, const struct sp_rule *rule, const struct sp_lint *found)
{
    struct sp_hits hits;
    sp_engine_hits(call->api->engine, rule, &hits);
    if (found->kind == SP_LINT_SHADOWED || found->kind == SP_LINT_REDUNDANT
        || !sp_lint_is_unused(hits.last_us, hits.since_us, sp_engine_clock_us())) {
        return;
    }
    char time[SP_TIME_TEXT_SIZE], message[120];
    snprintf(message, sizeof message, hits.last_us ? "unused: no packet since %s" : "unused: no packet, counted since %s",
             sp_time_format(hits.last_us ? hits.last_us : hits.since_us, time));
    put_finding(out, "unused", rule, NULL, message);
}

static void
put_findings(const struct sp_call *call, struct sp_json_write *out, const struct sp_group *group, size_t at,
             const struct sp_lint *found)
{
    const struct sp_rule *by = found->kind == SP_LINT_OPEN ? NULL : group->rules[found->by];
    if (found->kind != SP_LINT_NOTHING) {
        char message[200];
        describe(found, by, message, sizeof message);
        put_finding(out, kinds[found->kind], group->rules[at], by, message);
    }
    put_unused(call, out, group->rules[at], found);
}

void
sp_read_lint(struct sp_call *call)
{
    const struct sp_group *group = sp_model_group(sp_call_model(call), &call->id);
    if (!group) {
        sp_call_fail(call, SP_E_MISSING, "There is no such security group.");
        return;
    }
    size_t n = group->n_rules;
    if (n > SP_LINT_RULES_MAX) {
        char detail[120];
        snprintf(detail, sizeof detail, "The group has %zu rules; more than %d are not looked through.", n, SP_LINT_RULES_MAX);
        sp_call_refuse(call, 409, detail);
        return;
    }
    const struct sp_meaning **meanings = sp_pool_alloc(&call->pool, n, sizeof *meanings);
    struct sp_lint *found = sp_pool_alloc(&call->pool, n, sizeof *found);
    if (!meanings || !found) {
        sp_call_refuse(call, 503, "There is no memory.");
        return;
    }
    for (size_t i = 0; i < n; i++) {
        meanings[i] = &group->rules[i]->meaning;
    }
    sp_lint(meanings, n, found);
    struct sp_json_write *out = sp_json_write_new(false);
    sp_json_object_open(out);
    sp_json_key(out, "findings");
    sp_json_array_open(out);
    for (size_t i = 0; i < n; i++) {
        put_findings(call, out, group, i, &found[i]);
    }
    sp_json_array_close(out);
    sp_json_object_close(out);
    sp_call_json(call, 200, out, NULL, 0);
}
