#include "controller/cli/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/cli/columns.h"
#include "controller/cli/path.h"
#include "controller/cli/resolve.h"
#include "controller/cli/show.h"
#include "controller/cli/syntax.h"

static int get_groups(struct sp_cli *, const char *region, struct sp_reply *);
static void add_names(struct sp_columns *, const struct sp_json *server, const struct sp_json *groups);
static void add_addresses(struct sp_columns *, const struct sp_json *server);
static void add_state(struct sp_columns *, const struct sp_json *server);
static int print_server(struct sp_cli *, const struct sp_json *server);
static int print_ports(const struct sp_json *server);
static char *join_pairs(const struct sp_json *port);
static int check_lists(const struct sp_cli *);
static int write_groups(struct sp_cli *, struct sp_json_write *, const char *region);
static int write_changes(struct sp_cli *, struct sp_json_write *, const struct sp_json *old);

int
sp_cli_server_list(struct sp_cli *cli)
{
    static const char *const titles[] = {"NAME", "REGION", "KIND", "GROUPS", "ADDRESSES", "STATE", "ID"};
    const char *region = sp_cli_value(cli, SP_OPTION_REGION, 0);
    const char *group_name = sp_cli_value(cli, SP_OPTION_GROUP, 0);
    struct sp_found group = {0};
    int status = group_name ? sp_resolve_group(cli, group_name, region, false, &group) : SP_EXIT_DONE;
    if (status != SP_EXIT_DONE) {
        return status;
    }
    struct sp_reply servers = {0};
    struct sp_reply groups = {0};
    char *path = sp_path_format("/v1/servers");
    sp_path_query(&path, "region", region);
    sp_path_query(&path, "name", sp_cli_value(cli, SP_OPTION_NAME, 0));
    sp_path_query(&path, "security_group", group_name ? group.id : NULL);
    sp_found_clear(&group);
    status = sp_call_get(cli, path, &servers);
    size_t n = sp_answer_count(servers.json, "servers");
    if (status == SP_EXIT_DONE && !cli->json && n) {
        status = get_groups(cli, region, &groups);
    }
    if (status == SP_EXIT_DONE && cli->json) {
        status = sp_call_print(&servers);
    } else if (status == SP_EXIT_DONE && !n) {
        printf("No servers%s%s.\n", region ? " in " : "", region ? region : "");
    } else if (status == SP_EXIT_DONE) {
        struct sp_columns *columns = sp_columns_new(titles, sizeof titles / sizeof titles[0]);
        for (size_t i = 0; i < n; i++) {
            const struct sp_json *server = sp_answer_item(servers.json, "servers", i);
            sp_columns_add(columns, "%s", sp_answer_text(server, "name"));
            sp_columns_add(columns, "%s", sp_answer_text(server, "region"));
            sp_columns_add(columns, "%s", sp_answer_text(server, "kind"));
            add_names(columns, server, groups.json);
            add_addresses(columns, server);
            add_state(columns, server);
            sp_columns_add(columns, "%s", sp_answer_text(server, "id"));
        }
        status = sp_columns_print(columns, 0, stdout) ? sp_call_no_memory() : SP_EXIT_DONE;
        sp_columns_free(columns);
    }
    sp_reply_clear(&groups);
    sp_reply_clear(&servers);
    return status;
}

int
sp_cli_server_show(struct sp_cli *cli)
{
    struct sp_found server = {0};
    int status = sp_resolve_server(cli, sp_cli_arg(cli, 0), sp_cli_value(cli, SP_OPTION_REGION, 0), false, &server);
    if (status != SP_EXIT_DONE) {
        return status;
    }
    struct sp_reply reply = {0};
    status = sp_call_get(cli, sp_path_format("/v1/servers/%s", server.id), &reply);
    sp_found_clear(&server);
    if (status == SP_EXIT_DONE) {
        status = cli->json ? sp_call_print(&reply) : print_server(cli, reply.json);
        sp_reply_clear(&reply);
    }
    return status;
}

int
sp_cli_server_create(struct sp_cli *cli)
{
    const char *region = sp_cli_value(cli, SP_OPTION_REGION, 0);
    int status = check_lists(cli);
    if (status != SP_EXIT_DONE) {
        return status;
    }
    struct sp_reply reply = {0};
    struct sp_json_write *json = sp_json_write_new(false);
    sp_json_object_open(json);
    sp_write_text(json, "region", region);
    sp_write_text(json, "name", sp_cli_value(cli, SP_OPTION_NAME, 0));
    sp_write_text(json, "kind", sp_cli_value(cli, SP_OPTION_KIND, 0));
    status = sp_syntax_server_ports(cli, json, NULL);
    if (status == SP_EXIT_DONE) {
        status = write_groups(cli, json, region);
    }
    sp_json_object_close(json);
    if (status == SP_EXIT_DONE) {
        status = json ? sp_call(cli, "POST", sp_path_format("/v1/servers"), json, &reply) : sp_call_no_memory();
    }
    if (status == SP_EXIT_DONE) {
        status = sp_call_report(cli, &reply, "Registered server %s (%s) in %s", sp_answer_text(reply.json, "name"),
                                sp_answer_text(reply.json, "id"), sp_answer_text(reply.json, "region"));
        sp_reply_clear(&reply);
    }
    sp_json_write_free(json);
    return status;
}

int
sp_cli_server_set(struct sp_cli *cli)
{
    uint64_t changes = cli->command->options & ~(SP_OPTION_BIT(SP_OPTION_REGION) | SP_OPTION_BIT(SP_OPTION_WAIT));
    if (!sp_cli_has_any(cli, changes)) {
        return sp_cli_usage(cli->command, "what is to be changed?");
    }
    int status = check_lists(cli);
    if (status != SP_EXIT_DONE) {
        return status;
    }
    struct sp_json_write *json = sp_json_write_new(false);
    struct sp_found found = {0};
    struct sp_reply old = {0};
    struct sp_reply reply = {0};
    status = json ? sp_resolve_server(cli, sp_cli_arg(cli, 0), sp_cli_value(cli, SP_OPTION_REGION, 0), false, &found)
                  : sp_call_no_memory();
    if (status == SP_EXIT_DONE) {
        status = sp_call_get(cli, sp_path_format("/v1/servers/%s", found.id), &old);
    }
    if (status == SP_EXIT_DONE) {
        status = write_changes(cli, json, old.json);
    }
    if (status == SP_EXIT_DONE) {
        status = sp_call(cli, "PATCH", sp_path_format("/v1/servers/%s", found.id), json, &reply);
    }
    if (status == SP_EXIT_DONE) {
        status = sp_call_report(cli, &reply, "Changed server %s", sp_answer_text(reply.json, "name"));
    }
    sp_reply_clear(&reply);
    sp_reply_clear(&old);
    sp_found_clear(&found);
    sp_json_write_free(json);
    return status;
}

int
sp_cli_server_delete(struct sp_cli *cli)
{
    struct sp_found server = {0};
    int status = sp_resolve_server(cli, sp_cli_arg(cli, 0), sp_cli_value(cli, SP_OPTION_REGION, 0), false, &server);
    if (status != SP_EXIT_DONE) {
        return status;
    }
    struct sp_reply reply = {0};
    status = sp_call(cli, "DELETE", sp_path_format("/v1/servers/%s", server.id), NULL, &reply);
    if (status == SP_EXIT_DONE) {
        status = sp_call_report(cli, &reply, "Deleted server %s", server.name);
        sp_reply_clear(&reply);
    }
    sp_found_clear(&server);
    return status;
}

static int
get_groups(struct sp_cli *cli, const char *region, struct sp_reply *ret)
{
    char *path = sp_path_format("/v1/security-groups");
    sp_path_query(&path, "region", region);
    return sp_call_get(cli, path, ret);
}

static void
add_names(struct sp_columns *columns, const struct sp_json *server, const struct sp_json *groups)
{
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    size_t n = sp_answer_count(server, "security_groups");
    for (size_t i = 0; stream && i < n; i++) {
        const struct sp_json *id = sp_answer_item(server, "security_groups", i);
        fprintf(stream, "%s%s", i ? ", " : "",
                id->type == SP_JSON_STRING ? sp_answer_name(groups, "security_groups", id->string) : "");
    }
    bool done = stream && !fclose(stream);
    sp_columns_add(columns, "%s", !done ? "?" : n ? text : "none");
    free(text);
}

static void
add_addresses(struct sp_columns *columns, const struct sp_json *server)
{
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    size_t n = 0;
    for (size_t i = 0; stream && i < sp_answer_count(server, "ports"); i++) {
        const struct sp_json *port = sp_answer_item(server, "ports", i);
        for (size_t j = 0; j < sp_answer_count(port, "ips"); j++) {
            const struct sp_json *ip = sp_answer_item(port, "ips", j);
            fprintf(stream, "%s%s", n++ ? ", " : "", ip->type == SP_JSON_STRING ? ip->string : "");
        }
    }
    bool done = stream && !fclose(stream);
    sp_columns_add(columns, "%s", !done ? "?" : n ? text : "-");
    free(text);
}

/* Of the port that is worst off. */
static void
add_state(struct sp_columns *columns, const struct sp_json *server)
{
    static const char *const states[] = {"active", "pending", "unbound"};
    size_t worst = 0;
    size_t n = sp_answer_count(server, "ports");
    for (size_t i = 0; i < n; i++) {
        for (size_t j = worst; j < sizeof states / sizeof states[0]; j++) {
            worst = strcmp(sp_answer_text(sp_answer_item(server, "ports", i), "state"), states[j]) ? worst : j;
        }
    }
    sp_columns_add(columns, "%s", n ? states[worst] : "-");
}

static int
print_server(struct sp_cli *cli, const struct sp_json *server)
{
    struct sp_reply groups = {0};
    int status = get_groups(cli, sp_answer_text(server, "region"), &groups);
    if (status != SP_EXIT_DONE) {
        return status;
    }
    printf("Server ");
    sp_text_print(stdout, sp_answer_text(server, "name"));
    putchar('\n');
    sp_show_line("id", "%s", sp_answer_text(server, "id"));
    sp_show_line("region", "%s", sp_answer_text(server, "region"));
    sp_show_line("kind", "%s", sp_answer_text(server, "kind"));
    size_t n = sp_answer_count(server, "security_groups");
    for (size_t i = 0; i < n; i++) {
        const struct sp_json *id = sp_answer_item(server, "security_groups", i);
        if (id->type == SP_JSON_STRING) {
            sp_show_line(i ? "" : "groups", "%s (%s)", sp_answer_name(groups.json, "security_groups", id->string),
                         id->string);
        }
    }
    if (!n) {
        sp_show_line("groups", "none: nothing passes");
    }
    sp_reply_clear(&groups);
    if (!sp_answer_count(server, "ports")) {
        sp_show_line("ports", "none");
        return SP_EXIT_DONE;
    }
    putchar('\n');
    return print_ports(server);
}

static int
print_ports(const struct sp_json *server)
{
    static const char *const titles[] = {
        "STATE", "BRIDGE", "PORT", "MAC", "ADDRESSES", "VLAN", "CHECKED", "FURTHER ADDRESSES", "ID"};
    struct sp_columns *columns = sp_columns_new(titles, sizeof titles / sizeof titles[0]);
    for (size_t i = 0; i < sp_answer_count(server, "ports"); i++) {
        const struct sp_json *port = sp_answer_item(server, "ports", i);
        const char *iface = sp_answer_text(port, "iface_id");
        const char *bridge = sp_answer_text(port, "bridge");
        char *ips = sp_answer_join(port, "ips");
        char *pairs = join_pairs(port);
        sp_columns_add(columns, "%s", sp_answer_text(port, "state"));
        sp_columns_add(columns, "%s", *bridge ? bridge : "-");
        sp_columns_add(columns, "%s%s", *bridge ? "" : "iface ", *bridge ? sp_answer_text(port, "port") : iface);
        sp_columns_add(columns, "%s", sp_answer_text(port, "mac"));
        sp_columns_add(columns, "%s", ips ? ips : "?");
        sp_columns_add(columns, sp_answer_number(port, "vlan") ? "%lld" : "-", (long long) sp_answer_number(port, "vlan"));
        sp_columns_add(columns, "%s", sp_answer_bool(port, "port_security") ? "yes" : "no");
        sp_columns_add(columns, "%s", !pairs ? "?" : *pairs ? pairs : "-");
        sp_columns_add(columns, "%s", sp_answer_text(port, "id"));
        free(ips);
        free(pairs);
    }
    int status = sp_columns_print(columns, 2, stdout) ? sp_call_no_memory() : SP_EXIT_DONE;
    sp_columns_free(columns);
    return status;
}

/* "192.0.2.0/24 02:00:00:00:00:01, ..."; the caller frees.  NULL: no memory. */
static char *
join_pairs(const struct sp_json *port)
{
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    for (size_t i = 0; stream && i < sp_answer_count(port, "allowed_address_pairs"); i++) {
        const struct sp_json *pair = sp_answer_item(port, "allowed_address_pairs", i);
        fprintf(stream, "%s%s %s", i ? ", " : "", sp_answer_text(pair, "ip"), sp_answer_text(pair, "mac"));
    }
    return stream && !fclose(stream) ? text : NULL;
}

/* What is wrong with the lists on the command line, before anything is sent: a list and "no list" exclude each other. */
static int
check_lists(const struct sp_cli *cli)
{
    if (sp_cli_has(cli, SP_OPTION_GROUP) && sp_cli_has(cli, SP_OPTION_NO_GROUPS)) {
        return sp_cli_usage(cli->command, "--group and --no-groups exclude each other");
    }
    if (sp_cli_has(cli, SP_OPTION_PORT) && sp_cli_has(cli, SP_OPTION_NO_PORTS)) {
        return sp_cli_usage(cli->command, "--port and --no-ports exclude each other");
    }
    return sp_syntax_server_ports(cli, NULL, NULL);
}

/* Writes the list of groups if the command line has one; names are looked for in 'region'. */
static int
write_groups(struct sp_cli *cli, struct sp_json_write *json, const char *region)
{
    if (!sp_cli_has(cli, SP_OPTION_GROUP) && !sp_cli_has(cli, SP_OPTION_NO_GROUPS)) {
        return SP_EXIT_DONE;
    }
    int status = SP_EXIT_DONE;
    const char *name;
    sp_json_key(json, "security_groups");
    sp_json_array_open(json);
    for (size_t i = 0; status == SP_EXIT_DONE && (name = sp_cli_value(cli, SP_OPTION_GROUP, i)); i++) {
        struct sp_found group = {0};
        status = sp_resolve_group(cli, name, region, false, &group);
        sp_json_string(json, group.id);
        sp_found_clear(&group);
    }
    sp_json_array_close(json);
    return status;
}

static int
write_changes(struct sp_cli *cli, struct sp_json_write *json, const struct sp_json *old)
{
    int status = SP_EXIT_DONE;
    sp_json_object_open(json);
    sp_write_text(json, "name", sp_cli_value(cli, SP_OPTION_NAME, 0));
    sp_write_text(json, "kind", sp_cli_value(cli, SP_OPTION_KIND, 0));
    if (sp_cli_has(cli, SP_OPTION_PORT) || sp_cli_has(cli, SP_OPTION_NO_PORTS)) {
        status = sp_syntax_server_ports(cli, json, old);
    }
    if (status == SP_EXIT_DONE) {
        status = write_groups(cli, json, sp_answer_text(old, "region"));
    }
    sp_json_object_close(json);
    return status;
}
