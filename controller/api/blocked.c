#include <string.h>

#include "controller/api/access.h"
#include "controller/api/route.h"

/* The list under way. */
struct listing {
    const struct sp_call *call;
    struct sp_render render;
    const struct sp_server *server;  /* Whose entries come now. */
};

static int
list_entry(void *aux, const struct sp_blocked_entry *entry)
{
    const struct listing *listing = aux;
    sp_render_blocked(&listing->render, listing->server, entry);
    return 0;
}

static int
list_server(void *aux, const struct sp_server *server)
{
    struct listing *listing = aux;
    if (sp_access_sees(listing->call, server->region)) {
        listing->server = server;
        for (size_t i = 0; i < server->n_ports; i++) {
            sp_engine_each_blocked(listing->call->api->engine, &server->ports[i]->id, list_entry, listing);
        }
    }
    return 0;
}

void
sp_read_blocked(struct sp_call *call)
{
    const char *server = sp_call_parameter(call, "server"), *region = sp_call_parameter(call, "region");
    struct sp_uuid id;
    if (server && sp_uuid_parse(server, &id)) {
        sp_problems_add(&call->problems, "?server", "must be the id of a server");
        sp_call_refuse(call, 422, NULL);
        return;
    }
    struct sp_json_write *out = sp_json_write_new(false);
    struct listing listing = {.call = call};
    listing.render = (struct sp_render){.out = out, .engine = call->api->engine, .protocols = call->api->protocols};
    sp_json_object_open(out);
    sp_json_key(out, "blocked");
    sp_json_array_open(out);
    const struct sp_server *one = server ? sp_model_server(sp_call_model(call), &id) : NULL;
    if (one && (!region || !strcmp(region, one->region))) {
        list_server(&listing, one);
    } else if (!server) {
        sp_model_each_server(sp_call_model(call), region, list_server, &listing);
    }
    sp_json_array_close(out);
    sp_json_key(out, "sampled");
    sp_json_bool(out, true);
    sp_json_object_close(out);
    sp_call_json(call, 200, out, NULL, 0);
}
