#include <errno.h>

#include "controller/api/document.h"
#include "controller/api/route.h"

struct listing {
    struct sp_name *list;
    size_t n;
};

static int
add_group(void *aux, const struct sp_group *group)
{
    struct listing *listing = aux;
    listing->list[listing->n++] = (struct sp_name){.name = group->name, .id = group->id};
    return 0;
}

static int
add_server(void *aux, const struct sp_server *server)
{
    struct listing *listing = aux;
    listing->list[listing->n++] = (struct sp_name){.name = server->name, .id = server->id};
    return 0;
}

int
sp_document_groups(struct sp_call *call, const char *region, struct sp_names *ret)
{
    const struct sp_model *model = sp_call_model(call);
    struct listing listing = {.list = sp_pool_alloc(&call->pool, sp_model_count_groups(model, region), sizeof *listing.list)};
    if (!listing.list) {
        return -ENOMEM;
    }
    sp_model_each_group(model, region, add_group, &listing);
    return sp_names_init(ret, &call->pool, listing.list, listing.n);
}

int
sp_document_servers(struct sp_call *call, const char *region, struct sp_names *ret)
{
    const struct sp_model *model = sp_call_model(call);
    struct listing listing = {.list = sp_pool_alloc(&call->pool, sp_model_count_servers(model, region), sizeof *listing.list)};
    if (!listing.list) {
        return -ENOMEM;
    }
    sp_model_each_server(model, region, add_server, &listing);
    return sp_names_init(ret, &call->pool, listing.list, listing.n);
}

void
sp_document_write_rule(const struct sp_render *render, const struct sp_names *groups, const struct sp_rule *rule)
{
    const struct sp_meaning *meaning = &rule->meaning;
    char id[SP_UUID_TEXT_SIZE];
    sp_json_object_open(render->out);
    sp_render_rule_content(render, rule,
                           meaning->remote == SP_REMOTE_GROUP ? sp_names_key(groups, &meaning->remote_group, id) : NULL);
    sp_json_object_close(render->out);
}

struct export {
    const struct sp_model *model;
    struct sp_render render;
    struct sp_names groups;
    struct sp_names servers;
};

/* "id" if it is the key, and "name". */
static void
write_key(const struct export *export, const struct sp_names *names, const struct sp_uuid *id, const char *name)
{
    char text[SP_UUID_TEXT_SIZE];
    if (sp_names_need_id(names, name)) {
        sp_json_text(export->render.out, "id", sp_uuid_format(id, text));
    }
    sp_json_text(export->render.out, "name", name);
}

static void
write_group(const struct export *export, const struct sp_group *group)
{
    struct sp_json_write *out = export->render.out;
    sp_json_object_open(out);
    write_key(export, &export->groups, &group->id, group->name);
    sp_json_text(out, "description", group->description);
    sp_json_key(out, "default");
    sp_json_bool(out, sp_model_group_is_default(export->model, group));
    sp_json_key(out, "rules");
    sp_json_array_open(out);
    for (size_t i = 0; i < group->n_rules; i++) {
        sp_document_write_rule(&export->render, &export->groups, group->rules[i]);
    }
    sp_json_array_close(out);
    sp_json_object_close(out);
}

static void
write_server(const struct export *export, const struct sp_server *server)
{
    struct sp_json_write *out = export->render.out;
    char id[SP_UUID_TEXT_SIZE];
    sp_json_object_open(out);
    write_key(export, &export->servers, &server->id, server->name);
    sp_json_text(out, "kind", sp_render_kind(server->kind));
    sp_json_key(out, "security_groups");
    sp_json_array_open(out);
    for (size_t i = 0; i < server->n_groups; i++) {
        sp_json_string(out, sp_names_key(&export->groups, &server->groups[i], id));
    }
    sp_json_array_close(out);
    sp_json_key(out, "ports");
    sp_json_array_open(out);
    for (size_t i = 0; i < server->n_ports; i++) {
        sp_json_object_open(out);
        sp_render_port_content(&export->render, server->ports[i]);
        sp_json_object_close(out);
    }
    sp_json_array_close(out);
    sp_json_object_close(out);
}

void
sp_read_document(struct sp_call *call)
{
    struct export export = {.model = sp_call_model(call)};
    if (!sp_model_region(export.model, call->region)) {
        sp_call_fail(call, SP_E_MISSING, NULL);
        return;
    }
    if (sp_document_groups(call, call->region, &export.groups) || sp_document_servers(call, call->region, &export.servers)) {
        sp_call_refuse(call, 503, "There is no memory.");
        return;
    }
    struct sp_json_write *out = sp_json_write_new(false);
    export.render = (struct sp_render){.out = out, .engine = call->api->engine, .protocols = call->api->protocols};
    sp_json_object_open(out);
    sp_json_key(out, "version");
    sp_json_integer(out, SP_DOCUMENT_VERSION);
    sp_json_text(out, "region", call->region);
    sp_json_key(out, "security_groups");
    sp_json_array_open(out);
    for (size_t i = 0; i < export.groups.n; i++) {
        write_group(&export, sp_model_group(export.model, &export.groups.by_name[i].id));
    }
    sp_json_array_close(out);
    sp_json_key(out, "servers");
    sp_json_array_open(out);
    for (size_t i = 0; i < export.servers.n; i++) {
        write_server(&export, sp_model_server(export.model, &export.servers.by_name[i].id));
    }
    sp_json_array_close(out);
    sp_json_object_close(out);
    sp_call_json(call, 200, out, NULL, 0);
}
