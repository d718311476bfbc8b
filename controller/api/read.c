#include <string.h>

#include "controller/api/access.h"
#include "controller/api/route.h"

static struct sp_render
begin(const struct sp_call *call)
{
    return (struct sp_render){.out = sp_json_write_new(false), .engine = call->api->engine, .protocols = call->api->protocols};
}

/* A list under 'key', and what an object must be like to be in it. */
struct listing {
    const struct sp_call *call;
    struct sp_render render;
    const char *name;                /* NULL: any. */
    const struct sp_uuid *member_of; /* NULL: any. */
    int error;                       /* 0: all are listed. */
};

static struct listing
begin_list(const struct sp_call *call, const char *key)
{
    struct listing listing = {.call = call, .render = begin(call), .name = sp_call_parameter(call, "name")};
    sp_json_object_open(listing.render.out);
    sp_json_key(listing.render.out, key);
    sp_json_array_open(listing.render.out);
    return listing;
}

static void
end_list(struct sp_call *call, struct listing *listing)
{
    if (listing->error) { /* A shorter list would be a wrong one. */
        sp_json_write_free(listing->render.out);
        sp_call_refuse(call, 503, "There is no memory.");
        return;
    }
    sp_json_array_close(listing->render.out);
    sp_json_object_close(listing->render.out);
    sp_call_json(call, 200, listing->render.out, NULL, 0);
}

static void
answer_group(struct sp_call *call, const struct sp_group *group, struct sp_json_write *out)
{
    char etag[SP_ETAG_SIZE];
    const struct sp_http_field field = {"ETag", sp_call_etag(group, etag)};
    sp_call_json(call, 200, out, &field, 1);
}

static int
list_region(void *aux, const struct sp_region *region)
{
    struct listing *listing = aux;
    if (sp_access_sees(listing->call, region->name)) {
        sp_render_region(&listing->render, region);
    }
    return 0;
}

void
sp_read_regions(struct sp_call *call)
{
    struct listing listing = begin_list(call, "regions");
    sp_model_each_region(sp_call_model(call), list_region, &listing);
    end_list(call, &listing);
}

void
sp_read_region(struct sp_call *call)
{
    const struct sp_region *region = sp_model_region(sp_call_model(call), call->region);
    if (!region) {
        sp_call_fail(call, SP_E_MISSING, NULL);
        return;
    }
    struct sp_render render = begin(call);
    sp_render_region(&render, region);
    sp_call_json(call, 200, render.out, NULL, 0);
}

static int
list_group(void *aux, const struct sp_group *group)
{
    struct listing *listing = aux;
    if (sp_access_sees(listing->call, group->region) && (!listing->name || !strcmp(listing->name, group->name))) {
        sp_render_group(&listing->render, group);
    }
    return 0;
}

void
sp_read_groups(struct sp_call *call)
{
    struct listing listing = begin_list(call, "security_groups");
    sp_model_each_group(sp_call_model(call), sp_call_parameter(call, "region"), list_group, &listing);
    end_list(call, &listing);
}

/* The group that the path names, or NULL and the call is answered. */
static const struct sp_group *
find_group(struct sp_call *call)
{
    const struct sp_group *group = sp_model_group(sp_call_model(call), &call->id);
    if (!group) {
        sp_call_fail(call, SP_E_MISSING, NULL);
    }
    return group;
}

void
sp_read_group(struct sp_call *call)
{
    const struct sp_group *group = find_group(call);
    if (group) {
        struct sp_render render = begin(call);
        sp_render_group(&render, group);
        answer_group(call, group, render.out);
    }
}

void
sp_read_rules(struct sp_call *call)
{
    const struct sp_group *group = find_group(call);
    if (group) {
        struct sp_render render = begin(call);
        sp_json_object_open(render.out);
        sp_render_rules(&render, group);
        sp_json_object_close(render.out);
        answer_group(call, group, render.out);
    }
}

void
sp_read_rule(struct sp_call *call)
{
    const struct sp_group *group = find_group(call);
    if (!group) {
        return;
    }
    for (size_t i = 0; i < group->n_rules; i++) {
        if (sp_uuid_equal(&group->rules[i]->id, &call->rule)) {
            struct sp_render render = begin(call);
            sp_render_rule(&render, group->rules[i]);
            answer_group(call, group, render.out);
            return;
        }
    }
    sp_call_fail(call, SP_E_MISSING, NULL);
}

static int
list_server(void *aux, const struct sp_server *server)
{
    struct listing *listing = aux;
    if ((listing->name && strcmp(listing->name, server->name)) || !sp_access_sees(listing->call, server->region)) {
        return 0;
    }
    bool fits = !listing->member_of;
    for (size_t i = 0; i < server->n_groups && !fits; i++) {
        fits = sp_uuid_equal(&server->groups[i], listing->member_of);
    }
    if (fits) {
        sp_render_server(&listing->render, server);
    }
    return 0;
}

void
sp_read_servers(struct sp_call *call)
{
    const char *group = sp_call_parameter(call, "security_group");
    struct sp_uuid id;
    if (group && sp_uuid_parse(group, &id)) {
        sp_problems_add(&call->problems, "?security_group", "must be the id of a security group");
        sp_call_refuse(call, 422, NULL);
        return;
    }
    struct listing listing = begin_list(call, "servers");
    listing.member_of = group ? &id : NULL;
    sp_model_each_server(sp_call_model(call), sp_call_parameter(call, "region"), list_server, &listing);
    end_list(call, &listing);
}

void
sp_read_server(struct sp_call *call)
{
    const struct sp_server *server = sp_model_server(sp_call_model(call), &call->id);
    if (!server) {
        sp_call_fail(call, SP_E_MISSING, NULL);
        return;
    }
    struct sp_render render = begin(call);
    sp_render_server(&render, server);
    sp_call_json(call, 200, render.out, NULL, 0);
}

static int
list_bridge(void *aux, const struct sp_bridge_status *bridge)
{
    struct listing *listing = aux;
    sp_render_bridge(&listing->render, bridge);
    return 0;
}

void
sp_read_bridges(struct sp_call *call)
{
    struct listing listing = begin_list(call, "bridges");
    listing.error = sp_engine_each_bridge(call->api->engine, true, list_bridge, &listing);
    end_list(call, &listing);
}

static int
render_bridge(void *aux, const struct sp_bridge_status *bridge)
{
    sp_render_bridge(aux, bridge);
    return 0;
}

void
sp_read_bridge(struct sp_call *call)
{
    struct sp_render render = begin(call);
    if (sp_engine_one_bridge(call->api->engine, call->dpid, render_bridge, &render)) {
        sp_json_write_free(render.out);
        sp_call_fail(call, SP_E_MISSING, NULL);
        return;
    }
    sp_call_json(call, 200, render.out, NULL, 0);
}

static int
list_pending(void *aux, const struct sp_bridge_status *bridge)
{
    struct listing *listing = aux;
    char dpid[SP_DPID_TEXT_SIZE];
    if (bridge->pending) {
        sp_json_string(listing->render.out, sp_render_dpid(bridge->dpid, dpid));
    }
    return 0;
}

static void
list_refusal(void *aux, const struct sp_refusal *refusal)
{
    struct listing *listing = aux;
    struct sp_json_write *out = listing->render.out;
    char at[SP_TIME_TEXT_SIZE];
    sp_json_object_open(out);
    sp_json_message(out, "peer", refusal->peer);
    sp_json_message(out, "reason", refusal->why);
    sp_json_text(out, "at", sp_time_format(refusal->at_us, at));
    sp_json_object_close(out);
}

static int
list_trial(void *aux, struct sp_history_entry *entry)
{
    struct listing *listing = aux;
    struct sp_json_write *out = listing->render.out;
    char time[SP_TIME_TEXT_SIZE];
    if (!entry->stage) {
        sp_json_object_open(out);
        sp_json_key(out, "change");
        sp_json_integer(out, (int64_t) entry->record.revision);
        sp_json_text(out, "what", entry->record.what);
        sp_json_text(out, "confirm_by", sp_time_format(entry->record.confirm_by_us, time));
        sp_json_object_close(out);
    }
    return 0;
}

void
sp_read_status(struct sp_call *call)
{
    struct listing listing = {.call = call, .render = begin(call)};
    struct sp_json_write *out = listing.render.out;
    sp_json_object_open(out);
    sp_json_text(out, "version", SP_VERSION);
    sp_json_key(out, "revision");
    sp_json_integer(out, (int64_t) sp_model_counters(sp_call_model(call))->revision);
    sp_json_key(out, "bridges");
    sp_json_array_open(out);
    listing.error = sp_engine_each_bridge(call->api->engine, true, list_bridge, &listing);
    sp_json_array_close(out);
    sp_json_key(out, "pending");
    sp_json_array_open(out);
    listing.error = listing.error ? listing.error : sp_engine_each_bridge(call->api->engine, false, list_pending, &listing);
    sp_json_array_close(out);
    sp_json_key(out, "trials");
    sp_json_array_open(out);
    sp_history_each_trial(call->api->history, list_trial, &listing);
    sp_json_array_close(out);
    sp_json_key(out, "refused");
    sp_json_array_open(out);
    sp_engine_each_refusal(call->api->engine, list_refusal, &listing);
    end_list(call, &listing);
}

static void
answer_state(struct sp_call *call, const char *state)
{
    struct sp_json_write *out = sp_json_write_new(false);
    sp_json_object_open(out);
    sp_json_text(out, "status", state);
    sp_json_object_close(out);
    sp_call_json(call, 200, out, NULL, 0);
}

void
sp_read_health(struct sp_call *call)
{
    answer_state(call, "ok");
}

void
sp_read_ready(struct sp_call *call)
{
    if (!call->api->is_ready) {
        sp_call_refuse(call, 503, call->api->is_stopping ? "The controller is stopping." : "The controller is starting.");
        return;
    }
    answer_state(call, "ready");
}
