#include <errno.h>
#include <stdio.h>

#include "controller/api/route.h"

static int
decode_nothing(struct sp_call *call)
{
    struct sp_decode decode = sp_call_decode(call);
    return sp_decode_nothing(&decode, call->body);
}

/* Servers. */

static bool
render_server(struct sp_call *call, const struct sp_render *render)
{
    const struct sp_server *server = sp_model_server(sp_call_model(call), &call->id);
    if (server) {
        sp_render_server(render, server);
    }
    return server;
}

static void
locate_server(const struct sp_call *call, char *out, size_t size)
{
    char id[SP_UUID_TEXT_SIZE];
    snprintf(out, size, "/v1/servers/%s", sp_uuid_format(&call->id, id));
}

static int
decode_server_post(struct sp_call *call)
{
    struct sp_decode decode = sp_call_decode(call);
    return sp_decode_server(&decode, call->body, &call->input.server);
}

static int
stage_server_post(struct sp_call *call, struct sp_batch *batch)
{
    call->created = true;
    return sp_batch_create_server(batch, &call->input.server, &call->id, &call->problems);
}

static int
decode_server_patch(struct sp_call *call)
{
    struct sp_decode decode = sp_call_decode(call);
    const struct sp_server *server = sp_model_server(decode.model, &call->id);
    return server ? sp_decode_server_patch(&decode, call->body, server, &call->input.server_patch) : SP_E_MISSING;
}

static int
decode_server_groups(struct sp_call *call)
{
    struct sp_decode decode = sp_call_decode(call);
    const struct sp_server *server = sp_model_server(decode.model, &call->id);
    return server ? sp_decode_server_groups(&decode, call->body, server->region, &call->input.server_patch) : SP_E_MISSING;
}

static int
stage_server_patch(struct sp_call *call, struct sp_batch *batch)
{
    return sp_batch_patch_server(batch, &call->id, &call->input.server_patch, &call->problems);
}

static int
stage_server_delete(struct sp_call *call, struct sp_batch *batch)
{
    return sp_batch_delete_server(batch, &call->id, &call->problems);
}

const struct sp_operation sp_server_post = {
    .decode = decode_server_post, .stage = stage_server_post, .render = render_server, .locate = locate_server};
const struct sp_operation sp_server_patch = {
    .decode = decode_server_patch, .stage = stage_server_patch, .render = render_server, .merges = true};
const struct sp_operation sp_server_groups_put = {
    .decode = decode_server_groups, .stage = stage_server_patch, .render = render_server};
const struct sp_operation sp_server_delete = {.decode = decode_nothing, .stage = stage_server_delete};

/* Bridges. */

static int
keep_visiting(void *aux, const struct sp_bridge_status *bridge)
{
    return 0;
}

static int
decode_bridge_put(struct sp_call *call)
{
    struct sp_decode decode = sp_call_decode(call);
    call->input.uplinks.was_listed = !sp_engine_one_bridge(call->api->engine, call->dpid, keep_visiting, NULL);
    return sp_decode_uplinks(&decode, call->body, &call->input.uplinks.is_given, &call->input.uplinks.names,
                             &call->input.uplinks.n);
}

/* A body without uplinks adopts the bridge and leaves those that it has: nobody's network ends by a field left out. */
static int
stage_bridge_put(struct sp_call *call, struct sp_batch *batch)
{
    const char *const *names = call->input.uplinks.names;
    size_t n = call->input.uplinks.n;
    const struct sp_bridge *bridge = sp_model_bridge(sp_call_model(call), call->dpid);
    if (!call->input.uplinks.is_given && bridge) {
        names = (const char *const *) bridge->uplinks;
        n = bridge->n_uplinks;
    }
    int r = sp_batch_put_bridge(batch, call->dpid, names, n, &call->created, &call->problems);
    call->created = call->created && !call->input.uplinks.was_listed;
    return r;
}

static int
render_status(void *aux, const struct sp_bridge_status *bridge)
{
    sp_render_bridge(aux, bridge);
    return 0;
}

static bool
render_bridge(struct sp_call *call, const struct sp_render *render)
{
    struct sp_render copy = *render;
    return !sp_engine_one_bridge(call->api->engine, call->dpid, render_status, &copy);
}

static void
locate_bridge(const struct sp_call *call, char *out, size_t size)
{
    char dpid[SP_DPID_TEXT_SIZE];
    snprintf(out, size, "/v1/bridges/%s", sp_render_dpid(call->dpid, dpid));
}

static int
stage_bridge_delete(struct sp_call *call, struct sp_batch *batch)
{
    if (!sp_model_bridge(sp_call_model(call), call->dpid) &&
        !sp_engine_one_bridge(call->api->engine, call->dpid, keep_visiting, NULL)) {
        sp_problems_detail(&call->problems, "The bridge is connected but not adopted: nothing of it is ours to delete.");
    }
    return sp_batch_delete_bridge(batch, call->dpid, &call->problems);
}

const struct sp_operation sp_bridge_put = {
    .decode = decode_bridge_put, .stage = stage_bridge_put, .render = render_bridge, .locate = locate_bridge};
const struct sp_operation sp_bridge_delete = {.decode = decode_nothing, .stage = stage_bridge_delete};
