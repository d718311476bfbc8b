#include "controller/cli/call.h"

#include <stdio.h>
#include <string.h>

#include "controller/cli/columns.h"
#include "controller/cli/path.h"
#include "controller/cli/resolve.h"
#include "controller/cli/show.h"

static int print_connections(struct sp_cli *, const struct sp_json *answer, const struct sp_found *server);

int
sp_cli_connections(struct sp_cli *cli)
{
    struct sp_found server = {0};
    struct sp_reply reply = {0};
    int status = sp_resolve_server(cli, sp_cli_arg(cli, 0), sp_cli_value(cli, SP_OPTION_REGION, 0), true, &server);
    if (status == SP_EXIT_DONE) {
        status = sp_call_get(cli, sp_path_format("/v1/servers/%s/connections", server.id), &reply);
    }
    if (status == SP_EXIT_DONE) {
        status = cli->json ? sp_call_print(&reply) : print_connections(cli, reply.json, &server);
        sp_reply_clear(&reply);
    }
    sp_found_clear(&server);
    return status;
}

/* One end: "203.0.113.9:22", "[2001:db8::9]:22", or the address alone. */
static void
add_end(struct sp_columns *columns, const struct sp_json *connection, const char *ip_key, const char *port_key)
{
    const char *ip = sp_answer_text(connection, ip_key);
    const struct sp_json *port = sp_json_get(connection, port_key);
    if (!port || port->type != SP_JSON_INTEGER) {
        sp_columns_add(columns, "%s", ip);
    } else {
        sp_columns_add(columns, strchr(ip, ':') ? "[%s]:%lld" : "%s:%lld", ip, (long long) port->integer);
    }
}

/* The state, or the type and code of ICMP. */
static void
add_state(struct sp_columns *columns, const struct sp_json *connection)
{
    const char *state = sp_answer_text(connection, "state");
    const struct sp_json *type = sp_json_get(connection, "icmp_type");
    if (type && type->type == SP_JSON_INTEGER) {
        long long code = sp_answer_number(connection, "icmp_code");
        sp_columns_add(columns, "type %lld/%lld", (long long) type->integer, code);
    } else {
        sp_columns_add(columns, "%s", *state ? state : "-");
    }
}

void
sp_show_add_connection(struct sp_columns *columns, const struct sp_json *connection)
{
    const char *direction = sp_answer_text(connection, "direction");
    char protocol[SP_SHOW_SIZE];
    sp_columns_add(columns, "%s", *direction ? direction : "-");
    sp_columns_add(columns, "%s", sp_show_protocol(connection, protocol));
    add_end(columns, connection, "remote_ip", "remote_port");
    add_end(columns, connection, "local_ip", "local_port");
    add_state(columns, connection);
}

static const struct sp_json *
find(const struct sp_json *object, const char *list, const char *id)
{
    for (size_t i = 0; object && i < sp_answer_count(object, list); i++) {
        const struct sp_json *item = sp_answer_item(object, list, i);
        if (!strcmp(sp_answer_text(item, "id"), id)) {
            return item;
        }
    }
    return NULL;
}

/* Which rule of which group, in words; 'groups' is the region's list. */
static void
add_admitter(struct sp_columns *columns, const struct sp_json *connection, const struct sp_json *groups)
{
    const char *by = sp_answer_text(connection, "admitted_by"), *id = sp_answer_text(connection, "rule");
    const struct sp_json *group = find(groups, "security_groups", sp_answer_text(connection, "group"));
    const struct sp_json *rule = find(group, "rules", id);
    char what[SP_SHOW_SIZE], protocol[SP_SHOW_SIZE];
    if (!*id) {
        sp_columns_add(columns, "%s", *by ? by : "nobody: judged again");
    } else if (rule) {
        sp_columns_add(columns, "%s: %s %s", sp_answer_text(group, "name"), sp_show_protocol(rule, protocol),
                       sp_show_what(rule, what));
    } else {
        sp_columns_add(columns, "-");
    }
    sp_columns_add(columns, "%s", *id ? id : "-");
}

static int
print_table(const struct sp_json *answer, const struct sp_json *groups)
{
    static const char *const titles[] = {"DIRECTION", "PROTOCOL", "REMOTE", "LOCAL", "STATE", "TIMEOUT", "ADMITTED BY", "RULE"};
    struct sp_columns *columns = sp_columns_new(titles, sizeof titles / sizeof titles[0]);
    for (size_t i = 0; i < sp_answer_count(answer, "connections"); i++) {
        const struct sp_json *connection = sp_answer_item(answer, "connections", i);
        const struct sp_json *timeout = sp_json_get(connection, "timeout");
        sp_show_add_connection(columns, connection);
        if (timeout && timeout->type == SP_JSON_INTEGER) {
            sp_columns_add(columns, "%lld s", (long long) timeout->integer);
        } else {
            sp_columns_add(columns, "-");
        }
        add_admitter(columns, connection, groups);
    }
    int status = sp_columns_print(columns, 0, stdout) ? sp_call_no_memory() : SP_EXIT_DONE;
    sp_columns_free(columns);
    return status;
}

static int
print_connections(struct sp_cli *cli, const struct sp_json *answer, const struct sp_found *server)
{
    if (!sp_answer_bool(answer, "available")) {
        return sp_cli_fail("the connections of %s cannot be listed: %s", server->name, sp_answer_text(answer, "reason"));
    }
    int status = SP_EXIT_DONE;
    if (!sp_answer_count(answer, "connections")) {
        printf("There is no connection.\n");
    } else {
        struct sp_reply groups = {0};
        char *path = sp_path_format("/v1/security-groups");
        sp_path_query(&path, "region", server->region);
        status = sp_call_get(cli, path, &groups);
        if (status == SP_EXIT_DONE) {
            status = print_table(answer, groups.json);
            sp_reply_clear(&groups);
        }
    }
    if (status == SP_EXIT_DONE && sp_answer_bool(answer, "more")) {
        printf("There are others.\n");
    }
    for (size_t i = 0; status == SP_EXIT_DONE && i < sp_answer_count(answer, "ports"); i++) {
        const struct sp_json *port = sp_answer_item(answer, "ports", i);
        if (!sp_answer_bool(port, "available")) {
            printf("Of port %s nothing can be said: %s.\n", sp_answer_text(port, "port"), sp_answer_text(port, "reason"));
        }
    }
    return status;
}
