/* Applying a document, in one change.  The order matters only inside of the batch, where nobody sees what is between:
 *
 *  1. groups are found or made, without rules of the document, so that every key has its id
 *  2. rules and servers are decoded: all that is wrong with the document is known now
 *  3. rules, the default group
 *  4. servers that go, ports that go, servers that stay, servers that come: a port may pass from one to another
 *  5. groups that go, whose rules may name one another */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "controller/api/document.h"
#include "controller/api/route.h"

#define PATH_SIZE 48 /* "security_groups[18446744073709551615]." */

/* One of the two lists. */
struct list {
    const char *field;
    const char *what;             /* One of its objects. */
    const struct sp_json *values; /* NULL: the document does not have the list. */
    size_t n;
    struct sp_names there;        /* The region's objects before. */
    struct sp_name *keys;         /* Of each object of the list: what the document calls it, and its id; none: it is new. */
    struct sp_names named;        /* The same as a table. */
};

struct group_entry {
    struct sp_reader reader;
    int is_default; /* -1: not said. */
    bool has_rules;
    struct sp_rule_input *rules;
    size_t n_rules;
};

struct document {
    struct sp_call *call;
    struct sp_batch *batch;
    struct sp_decode decode;
    struct list groups;
    struct list servers;
    struct group_entry *group_entries;
    struct sp_server_patch *server_entries;
    struct sp_names later; /* The groups that there will be. */
    bool has_default;      /* One of the groups shall be the default. */
};

static const char *
format_path(char *out, const struct list *list, size_t i, const char *end)
{
    snprintf(out, PATH_SIZE, "%s[%zu]%s", list->field, i, end);
    return out;
}

/* What came of an operation on object 'i': problems that it noted down get the object's path before them. */
static int
conclude(struct document *document, int r, size_t n_problems, const struct list *list, size_t i)
{
    char prefix[PATH_SIZE];
    sp_problems_prefix(&document->call->problems, n_problems, format_path(prefix, list, i, "."));
    return r;
}

static int
open_list(struct document *document, const struct sp_reader *reader, struct list *list)
{
    list->values = sp_reader_array(reader, list->field, SIZE_MAX);
    list->n = list->values ? list->values->n : 0;
    list->keys = sp_pool_alloc(&document->call->pool, list->n, sizeof *list->keys);
    return list->keys ? 0 : -ENOMEM;
}

/* Finds out which object of the region 'i' is.  Returns whether that is clear. */
static bool
find_object(const struct sp_reader *reader, struct list *list, size_t i)
{
    struct sp_name *key = &list->keys[i];
    key->name = "";
    sp_reader_require(reader, "name");
    bool has_name = sp_reader_text(reader, "name", 1, SP_NAME_MAX, &key->name);
    if (sp_reader_has(reader, "id")) {
        struct sp_uuid id;
        if (!sp_reader_uuid(reader, "id", &id)) {
            return false;
        }
        key->name = sp_reader_get(reader, "id")->string;
        if (!sp_names_have(&list->there, &id)) {
            sp_reader_problem(reader, "id", "no %s of the region has this id", list->what);
            return false;
        }
        key->id = id;
        return has_name;
    }
    size_t n = 0;
    const struct sp_name *found = has_name ? sp_names_called(&list->there, key->name, &n) : NULL;
    if (n > 1) {
        sp_reader_problem(reader, "name", "is that of %zu %ss of the region: give the id of one", n, list->what);
    } else if (found) {
        key->id = found->id;
    }
    return has_name && n <= 1;
}

/* Makes the table of the list's keys, and notes down objects that it has twice. */
static int
check_twice(struct document *document, struct list *list)
{
    struct sp_name *copy = sp_pool_alloc(&document->call->pool, list->n, sizeof *copy);
    if (!copy) {
        return -ENOMEM;
    }
    if (list->n) {
        memcpy(copy, list->keys, list->n * sizeof *copy);
    }
    int r = sp_names_init(&list->named, &document->call->pool, copy, list->n);
    if (r) {
        return r;
    }
    for (size_t i = 1; i < list->n; i++) {
        const struct sp_name *a = list->named.by_name + i, *b = list->named.by_id + i;
        const struct sp_name *twice = *a->name && !strcmp(a->name, a[-1].name)                           ? a
                                      : !sp_uuid_is_none(&b->id) && sp_uuid_equal(&b->id, &b[-1].id) ? b
                                                                                                         : NULL;
        if (twice) {
            sp_problems_add(&document->call->problems, list->field, "has %s twice", twice->name);
            break;
        }
    }
    return 0;
}

/* Step 1 of one group.  Returns what ends it all; a problem does not. */
static int
take_group(struct document *document, size_t i)
{
    static const char *const writable[] = {"id", "name", "description", "default", "rules", NULL}, *const fixed[] = {NULL};
    static const struct sp_reader_fields fields = {writable, fixed};
    struct sp_problems *problems = &document->call->problems;
    struct list *list = &document->groups;
    struct group_entry *entry = &document->group_entries[i];
    struct sp_group_input input = {.region = document->call->region, .description = "", .template_kind = SP_TEMPLATE_OUTBOUND};
    struct sp_group_patch patch = {.is_default = -1};
    struct sp_reader *reader = &entry->reader;
    char path[PATH_SIZE];
    bool is_default;
    format_path(path, list, i, "");
    const char *kept_path = sp_pool_text(&document->call->pool, path, strlen(path));
    if (!kept_path) {
        return -ENOMEM;
    }
    sp_reader_open(reader, &list->values->items[i], kept_path, &fields, problems);
    entry->is_default = sp_reader_bool(reader, "default", &is_default) ? is_default : -1;
    entry->has_rules = sp_reader_has(reader, "rules");
    if (entry->is_default > 0 && document->has_default) {
        sp_reader_problem(reader, "default", "is true of another group already");
    }
    document->has_default |= entry->is_default > 0;
    if (sp_reader_text(reader, "description", 0, SP_DESCRIPTION_MAX, &patch.description)) {
        input.description = patch.description;
    }
    if (!find_object(reader, list, i)) {
        return 0;
    }
    size_t n_problems = problems->n;
    patch.name = input.name = sp_reader_get(reader, "name")->string;
    input.has_rules = entry->has_rules; /* None yet; without, the template's. */
    int r = sp_uuid_is_none(&list->keys[i].id) ? sp_batch_create_group(document->batch, &input, &list->keys[i].id, problems)
                                               : sp_batch_patch_group(document->batch, &list->keys[i].id, &patch, problems);
    r = conclude(document, r, n_problems, list, i);
    return r == SP_E_INVALID ? 0 : r;
}

/* Step 2 of one group. */
static int
decode_group(struct document *document, size_t i)
{
    struct group_entry *entry = &document->group_entries[i];
    int r = sp_decode_rule_list(&document->decode, &entry->reader, document->call->region, &entry->rules, &entry->n_rules);
    return r < 0 ? r : 0;
}

static int
decode_server(struct document *document, size_t i)
{
    static const char *const writable[] = {"id", "name", "kind", "security_groups", "ports", NULL}, *const fixed[] = {NULL};
    static const struct sp_reader_fields fields = {writable, fixed};
    struct list *list = &document->servers;
    struct sp_reader reader;
    char path[PATH_SIZE];
    sp_reader_open(&reader, &list->values->items[i], format_path(path, list, i, ""), &fields, &document->call->problems);
    const struct sp_server *base =
        find_object(&reader, list, i) ? sp_model_server(document->decode.model, &list->keys[i].id) : NULL;
    int r = sp_decode_server_members(&document->decode, &reader, document->call->region, base, &document->server_entries[i]);
    return r < 0 ? r : 0;
}

/* The groups that rules and servers may name: those that there are now, but for those that go. */
static int
name_groups(struct document *document)
{
    struct sp_names now;
    int r = sp_document_groups(document->call, document->call->region, &now);
    struct sp_name *list = r ? NULL : sp_pool_alloc(&document->call->pool, now.n, sizeof *list);
    if (!list) {
        return -ENOMEM;
    }
    size_t n = 0;
    for (size_t i = 0; i < now.n; i++) {
        if (!document->call->input.document.prunes || !document->groups.values ||
            sp_names_have(&document->groups.named, &now.by_name[i].id)) {
            list[n++] = now.by_name[i];
        }
    }
    return sp_names_init(&document->later, &document->call->pool, list, n);
}

/* Steps 1 and 2. */
static int
decode(struct document *document)
{
    static const char *const writable[] = {"version", "region", "security_groups", "servers", NULL}, *const fixed[] = {NULL};
    static const struct sp_reader_fields fields = {writable, fixed};
    struct sp_call *call = document->call;
    struct sp_reader reader;
    int64_t version;
    const char *region;
    sp_reader_open(&reader, call->body, "", &fields, &call->problems);
    sp_reader_integer(&reader, "version", SP_DOCUMENT_VERSION, SP_DOCUMENT_VERSION, &version);
    if (sp_reader_text(&reader, "region", 1, SP_NAME_MAX, &region) && strcmp(region, call->region)) {
        sp_reader_problem(&reader, "region", "is another one than that of the path");
    }
    int r = sp_document_groups(call, call->region, &document->groups.there);
    r = r ? r : sp_document_servers(call, call->region, &document->servers.there);
    r = r ? r : open_list(document, &reader, &document->groups);
    r = r ? r : open_list(document, &reader, &document->servers);
    document->group_entries = sp_pool_alloc(&call->pool, document->groups.n, sizeof *document->group_entries);
    document->server_entries = sp_pool_alloc(&call->pool, document->servers.n, sizeof *document->server_entries);
    if (!document->group_entries || !document->server_entries) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < document->groups.n && !r && call->problems.n < SP_READER_PROBLEMS_MAX; i++) {
        r = take_group(document, i);
    }
    r = r ? r : check_twice(document, &document->groups);
    r = r ? r : name_groups(document);
    for (size_t i = 0; i < document->groups.n && !r && call->problems.n < SP_READER_PROBLEMS_MAX; i++) {
        r = decode_group(document, i);
    }
    for (size_t i = 0; i < document->servers.n && !r && call->problems.n < SP_READER_PROBLEMS_MAX; i++) {
        r = decode_server(document, i);
    }
    r = r ? r : check_twice(document, &document->servers);
    return r ? r : sp_decode_result(&document->decode);
}

/* Step 3. */
static int
stage_groups(struct document *document)
{
    int r = 0;
    for (size_t i = 0; i < document->groups.n && !r; i++) {
        const struct group_entry *entry = &document->group_entries[i];
        const struct sp_uuid *id = &document->groups.keys[i].id;
        if (entry->has_rules) {
            r = sp_batch_replace_rules(document->batch, id, entry->rules, entry->n_rules, &document->call->problems);
        }
        if (!r && entry->is_default > 0) {
            r = sp_batch_mark_default_group(document->batch, id);
        }
    }
    return r;
}

static struct sp_port_input
port_as_it_is(const struct sp_port *port)
{
    return (struct sp_port_input){
        .id = port->id,
        .mac = port->mac,
        .ips = port->ips,
        .n_ips = port->n_ips,
        .has_bridge = port->has_bridge,
        .dpid = port->dpid,
        .name = port->name,
        .iface_id = port->iface_id,
        .vlan = port->vlan,
        .port_security = port->port_security,
        .pairs = port->pairs,
        .n_pairs = port->n_pairs,
    };
}

/* Takes away the ports of a server that 'patch' does not have. */
static int
drop_ports(struct document *document, const struct sp_server *server, const struct sp_server_patch *patch)
{
    struct sp_port_input *kept = sp_pool_alloc(&document->call->pool, server->n_ports, sizeof *kept);
    struct sp_server_patch drop = {.kind = -1, .has_ports = true, .ports = kept};
    if (!kept) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < server->n_ports; i++) {
        size_t j = 0;
        while (j < patch->n_ports && !sp_uuid_equal(&patch->ports[j].id, &server->ports[i]->id)) {
            j++;
        }
        if (j < patch->n_ports) {
            kept[drop.n_ports++] = port_as_it_is(server->ports[i]);
        }
    }
    return drop.n_ports == server->n_ports
               ? 0
               : sp_batch_patch_server(document->batch, &server->id, &drop, &document->call->problems);
}

static int
stage_server(struct document *document, size_t i)
{
    const struct sp_server_patch *patch = &document->server_entries[i];
    const struct sp_uuid *id = &document->servers.keys[i].id;
    struct sp_problems *problems = &document->call->problems;
    size_t n_problems = problems->n;
    if (!sp_uuid_is_none(id)) {
        int r = sp_batch_patch_server(document->batch, id, patch, problems);
        return conclude(document, r, n_problems, &document->servers, i);
    }
    struct sp_server_input input = {
        .region = document->call->region,
        .name = patch->name,
        .kind = patch->kind >= 0 ? (enum sp_server_kind) patch->kind : SP_SERVER_VPS,
        .has_groups = patch->has_groups,
        .groups = patch->groups,
        .n_groups = patch->n_groups,
        .ports = patch->ports,
        .n_ports = patch->n_ports,
    };
    struct sp_uuid made;
    int r = sp_batch_create_server(document->batch, &input, &made, problems);
    return conclude(document, r, n_problems, &document->servers, i);
}

/* Step 4. */
static int
stage_servers(struct document *document)
{
    struct list *list = &document->servers;
    bool prunes = document->call->input.document.prunes && list->values;
    int r = 0;
    for (size_t i = 0; i < list->there.n && prunes && !r; i++) {
        const struct sp_uuid *id = &list->there.by_id[i].id;
        r = sp_names_have(&list->named, id) ? 0 : sp_batch_delete_server(document->batch, id, &document->call->problems);
    }
    for (size_t i = 0; i < list->n && !r; i++) {
        const struct sp_server *server = sp_model_server(document->decode.model, &list->keys[i].id);
        r = server && document->server_entries[i].has_ports ? drop_ports(document, server, &document->server_entries[i]) : 0;
    }
    for (size_t i = 0; i < 2 * list->n && !r; i++) {
        bool is_new = sp_uuid_is_none(&list->keys[i % list->n].id);
        r = is_new == (i >= list->n) ? stage_server(document, i % list->n) : 0;
    }
    return r;
}

/* Whether the group shall go.  A region that has servers keeps its default group, whether the document names it or not. */
static bool
is_pruned(const struct document *document, const struct sp_uuid *id)
{
    const struct sp_group *group = sp_model_group(document->decode.model, id);
    return group && !sp_names_have(&document->groups.named, id) &&
           !(sp_model_group_is_default(document->decode.model, group) &&
             sp_model_count_servers(document->decode.model, document->call->region));
}

/* Step 5. */
static int
drop_groups(struct document *document)
{
    struct sp_problems *problems = &document->call->problems;
    const struct list *list = &document->groups;
    bool prunes = document->call->input.document.prunes && list->values;
    int r = 0;
    for (size_t i = 0; i < list->there.n && prunes && !r; i++) {
        const struct sp_uuid *id = &list->there.by_id[i].id;
        r = is_pruned(document, id) ? sp_batch_replace_rules(document->batch, id, NULL, 0, problems) : 0;
    }
    for (size_t i = 0; i < list->there.n && prunes && !r; i++) {
        const struct sp_uuid *id = &list->there.by_id[i].id;
        r = is_pruned(document, id) ? sp_batch_delete_group(document->batch, id, problems) : 0;
    }
    for (size_t i = 0; i < list->n && !r; i++) {
        struct sp_group_patch patch = {.is_default = document->has_default ? -1 : document->group_entries[i].is_default};
        r = patch.is_default ? 0 : sp_batch_patch_group(document->batch, &list->keys[i].id, &patch, problems);
    }
    return r;
}

/* What has been staged since 'mark', with the names of all groups that there were or will be. */
static int
report(struct document *document, size_t mark)
{
    struct sp_call *call = document->call;
    const struct sp_change *changes;
    struct sp_names now, both;
    size_t n_changes;
    int r = sp_batch_staged(document->batch, mark, &changes, &n_changes);
    r = r ? r : sp_document_groups(call, call->region, &now);
    struct sp_name *list = r ? NULL : sp_pool_alloc(&call->pool, now.n + document->groups.there.n, sizeof *list);
    if (!list) {
        return -ENOMEM;
    }
    size_t n = 0;
    for (; n < now.n; n++) {
        list[n] = now.by_name[n];
    }
    for (size_t i = 0; i < document->groups.there.n; i++) {
        if (!sp_names_have(&now, &document->groups.there.by_name[i].id)) {
            list[n++] = document->groups.there.by_name[i];
        }
    }
    r = sp_names_init(&both, &call->pool, list, n);
    call->report = r ? NULL : sp_document_report(call, &both, changes, n_changes);
    return call->report ? 0 : -ENOMEM;
}

static int
stage_document(struct sp_call *call, struct sp_batch *batch)
{
    struct document document = {
        .call = call,
        .batch = batch,
        .decode = sp_call_decode(call),
        .groups = {.field = "security_groups", .what = "security group"},
        .servers = {.field = "servers", .what = "server"},
    };
    document.decode.names = &document.later;
    size_t mark = sp_batch_mark(batch);
    int r = 0;
    if (!sp_model_region(document.decode.model, call->region)) {
        call->undo.role = sp_token_role_name(SP_TOKEN_ADMIN); /* Taken back, the region goes. */
        r = call->input.document.may_make_region ? sp_batch_put_region(batch, call->region, &call->created, &call->problems)
                                                 : SP_E_MISSING;
    }
    r = r ? r : decode(&document);
    r = r ? r : stage_groups(&document);
    r = r ? r : stage_servers(&document);
    r = r ? r : drop_groups(&document);
    return r ? r : report(&document, mark);
}

/* The document itself is read when it is applied: what it names may be different by then. */
static int
decode_document(struct sp_call *call)
{
    const char *prune = sp_call_parameter(call, "prune");
    if (prune && strcmp(prune, "true") && strcmp(prune, "false")) {
        sp_problems_add(&call->problems, "?prune", "must be true or false");
        return SP_E_INVALID;
    }
    call->input.document.prunes = prune && !strcmp(prune, "true");
    call->input.document.may_make_region = !call->token || sp_token_role(call->token) >= SP_TOKEN_ADMIN;
    return 0;
}

static bool
render_document(struct sp_call *call, const struct sp_render *render)
{
    const char *text;
    size_t size;
    if (!sp_json_write_done(call->report, &text, &size)) {
        sp_json_raw(render->out, text);
    } /* Else nothing is written, which is answered as what it is: no memory. */
    return true;
}

static void
locate_region(const struct sp_call *call, char *out, size_t size)
{
    snprintf(out, size, "/v1/regions/%s", call->region);
}

const struct sp_operation sp_document_put = {
    .decode = decode_document, .stage = stage_document, .render = render_document, .locate = locate_region};
