#include <stdio.h>
#include <string.h>

#include "controller/api/route.h"

/* Regions. */

static int
decode_nothing(struct sp_call *call)
{
    struct sp_decode decode = sp_call_decode(call);
    return sp_decode_nothing(&decode, call->body);
}

static int
decode_region(struct sp_call *call)
{
    struct sp_decode decode = sp_call_decode(call);
    return sp_decode_region(&decode, call->body, &call->input.reports);
}

static int
stage_region_patch(struct sp_call *call, struct sp_batch *batch)
{
    if (call->input.reports < 0) {
        return sp_model_region(sp_call_model(call), call->region) ? 0 : SP_E_MISSING;
    }
    return sp_batch_set_reports(batch, call->region, call->input.reports);
}

static int
stage_region_put(struct sp_call *call, struct sp_batch *batch)
{
    int r = sp_batch_put_region(batch, call->region, &call->created, &call->problems);
    return r || call->input.reports < 0 ? r : sp_batch_set_reports(batch, call->region, call->input.reports);
}

static bool
render_region(struct sp_call *call, const struct sp_render *render)
{
    const struct sp_region *region = sp_model_region(sp_call_model(call), call->region);
    if (region) {
        sp_render_region(render, region);
    }
    return region;
}

static void
locate_region(const struct sp_call *call, char *out, size_t size)
{
    snprintf(out, size, "/v1/regions/%s", call->region);
}

static int
stage_region_delete(struct sp_call *call, struct sp_batch *batch)
{
    return sp_batch_delete_region(batch, call->region, &call->problems);
}

const struct sp_operation sp_region_put = {
    .decode = decode_region, .stage = stage_region_put, .render = render_region, .locate = locate_region};
const struct sp_operation sp_region_patch = {.decode = decode_region, .stage = stage_region_patch, .render = render_region};
const struct sp_operation sp_region_delete = {.decode = decode_nothing, .stage = stage_region_delete};

/* Groups. */

static bool
render_group(struct sp_call *call, const struct sp_render *render)
{
    const struct sp_group *group = sp_model_group(sp_call_model(call), &call->id);
    if (group) {
        sp_render_group(render, group);
    }
    return group;
}

static int
locate_in_group(const struct sp_call *call, char *out, size_t size)
{
    char id[SP_UUID_TEXT_SIZE];
    return snprintf(out, size, "/v1/security-groups/%s", sp_uuid_format(&call->id, id));
}

static void
locate_group(const struct sp_call *call, char *out, size_t size)
{
    locate_in_group(call, out, size);
}

static int
decode_group_post(struct sp_call *call)
{
    struct sp_decode decode = sp_call_decode(call);
    return sp_decode_group(&decode, call->body, &call->input.group);
}

static int
stage_group_post(struct sp_call *call, struct sp_batch *batch)
{
    call->created = true;
    return sp_batch_create_group(batch, &call->input.group, &call->id, &call->problems);
}

static int
decode_group_patch(struct sp_call *call)
{
    struct sp_decode decode = sp_call_decode(call);
    if (!sp_model_group(decode.model, &call->id)) {
        return SP_E_MISSING;
    }
    return sp_decode_group_patch(&decode, call->body, &call->input.group_patch);
}

static int
stage_group_patch(struct sp_call *call, struct sp_batch *batch)
{
    return sp_batch_patch_group(batch, &call->id, &call->input.group_patch, &call->problems);
}

static int
stage_group_delete(struct sp_call *call, struct sp_batch *batch)
{
    return sp_batch_delete_group(batch, &call->id, &call->problems);
}

const struct sp_operation sp_group_post = {.decode = decode_group_post,
                                           .stage = stage_group_post,
                                           .render = render_group,
                                           .locate = locate_group,
                                           .about = SP_ABOUT_NEW_GROUP};
const struct sp_operation sp_group_patch = {
    .decode = decode_group_patch, .stage = stage_group_patch, .render = render_group, .about = SP_ABOUT_GROUP};
const struct sp_operation sp_group_delete = {.decode = decode_nothing, .stage = stage_group_delete, .about = SP_ABOUT_GROUP};

/* Rules. */

static const struct sp_rule *
find_rule(const struct sp_group *group, const struct sp_uuid *id)
{
    for (size_t i = 0; group && i < group->n_rules; i++) {
        if (sp_uuid_equal(&group->rules[i]->id, id)) {
            return group->rules[i];
        }
    }
    return NULL;
}

static bool
render_rule(struct sp_call *call, const struct sp_render *render)
{
    const struct sp_rule *rule = find_rule(sp_model_group(sp_call_model(call), &call->id), &call->rule);
    if (rule) {
        sp_render_rule(render, rule);
    }
    return rule;
}

static void
locate_rule(const struct sp_call *call, char *out, size_t size)
{
    char id[SP_UUID_TEXT_SIZE];
    int len = locate_in_group(call, out, size);
    snprintf(out + len, size - (size_t) len, "/rules/%s", sp_uuid_format(&call->rule, id));
}

static int
decode_rule_post(struct sp_call *call)
{
    struct sp_decode decode = sp_call_decode(call);
    const struct sp_group *group = sp_model_group(decode.model, &call->id);
    return group ? sp_decode_rule(&decode, call->body, "", group->region, NULL, &call->input.rule) : SP_E_MISSING;
}

static int
stage_rule_post(struct sp_call *call, struct sp_batch *batch)
{
    return sp_batch_add_rule(batch, &call->id, &call->input.rule, &call->rule, &call->created, &call->problems);
}

static int
decode_rule_patch(struct sp_call *call)
{
    struct sp_decode decode = sp_call_decode(call);
    const struct sp_group *group = sp_model_group(decode.model, &call->id);
    const struct sp_rule *rule = find_rule(group, &call->rule);
    return rule ? sp_decode_rule(&decode, call->body, "", group->region, rule, &call->input.rule) : SP_E_MISSING;
}

static int
stage_rule_patch(struct sp_call *call, struct sp_batch *batch)
{
    return sp_batch_set_rule(batch, &call->id, &call->rule, &call->input.rule, &call->problems);
}

static int
stage_rule_delete(struct sp_call *call, struct sp_batch *batch)
{
    return sp_batch_delete_rule(batch, &call->id, &call->rule, &call->problems);
}

static int
decode_rules_put(struct sp_call *call)
{
    struct sp_decode decode = sp_call_decode(call);
    const struct sp_group *group = sp_model_group(decode.model, &call->id);
    return group ? sp_decode_rules(&decode, call->body, group->region, &call->input.rules.list, &call->input.rules.n)
                 : SP_E_MISSING;
}

static int
stage_rules_put(struct sp_call *call, struct sp_batch *batch)
{
    return sp_batch_replace_rules(batch, &call->id, call->input.rules.list, call->input.rules.n, &call->problems);
}

static bool
render_rules(struct sp_call *call, const struct sp_render *render)
{
    const struct sp_group *group = sp_model_group(sp_call_model(call), &call->id);
    if (group) {
        sp_json_object_open(render->out);
        sp_render_rules(render, group);
        sp_json_object_close(render->out);
    }
    return group;
}

const struct sp_operation sp_rule_post = {
    .decode = decode_rule_post, .stage = stage_rule_post, .render = render_rule, .locate = locate_rule, .about = SP_ABOUT_GROUP};
const struct sp_operation sp_rule_patch = {
    .decode = decode_rule_patch, .stage = stage_rule_patch, .render = render_rule, .merges = true, .about = SP_ABOUT_GROUP};
const struct sp_operation sp_rule_delete = {.decode = decode_nothing, .stage = stage_rule_delete, .about = SP_ABOUT_GROUP};
const struct sp_operation sp_rules_put = {
    .decode = decode_rules_put, .stage = stage_rules_put, .render = render_rules, .about = SP_ABOUT_GROUP};
