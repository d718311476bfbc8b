#include "controller/cli/call.h"

#include <stdio.h>
#include <stdlib.h>

#include "controller/cli/columns.h"
#include "controller/cli/path.h"
#include "controller/cli/show.h"

static int print_bridge(struct sp_cli *, const struct sp_json *bridge);
static int print_ports(struct sp_cli *, const struct sp_json *bridge);

int
sp_show_bridges(const struct sp_json *answer, unsigned indent)
{
    static const char *const titles[] = {"DPID", "NAME", "CONNECTED", "PEER", "UPLINKS", "FLOWS", "REVISION", "LAST ERROR"};
    struct sp_columns *columns = sp_columns_new(titles, sizeof titles / sizeof titles[0]);
    for (size_t i = 0; i < sp_answer_count(answer, "bridges"); i++) {
        const struct sp_json *bridge = sp_answer_item(answer, "bridges", i);
        const struct sp_json *flows = sp_answer_object(bridge, "flows");
        const char *name = sp_answer_text(bridge, "name");
        const char *peer = sp_answer_text(bridge, "peer");
        char *uplinks = sp_answer_join(bridge, "uplinks");
        sp_columns_add(columns, "%s", sp_answer_text(bridge, "dpid"));
        sp_columns_add(columns, "%s", *name ? name : "-");
        sp_columns_add(columns, "%s", sp_answer_bool(bridge, "connected") ? "yes" : "no");
        sp_columns_add(columns, "%s", *peer ? peer : "-");
        sp_columns_add(columns, "%s", !uplinks ? "?" : *uplinks ? uplinks : "-");
        sp_columns_add(columns, "%lld of %lld", (long long) sp_answer_number(flows, "installed"),
                       (long long) sp_answer_number(flows, "desired"));
        sp_columns_add(columns, "%lld", (long long) sp_answer_number(bridge, "revision"));
        sp_columns_add(columns, "%s", sp_answer_text(bridge, "last_error"));
        free(uplinks);
    }
    int status = sp_columns_print(columns, indent, stdout) ? sp_call_no_memory() : SP_EXIT_DONE;
    sp_columns_free(columns);
    return status;
}

int
sp_cli_bridge_list(struct sp_cli *cli)
{
    struct sp_reply reply = {0};
    int status = sp_call_get(cli, sp_path_format("/v1/bridges"), &reply);
    if (status == SP_EXIT_DONE && cli->json) {
        status = sp_call_print(&reply);
    } else if (status == SP_EXIT_DONE && !sp_answer_count(reply.json, "bridges")) {
        printf("No bridges.\n");
    } else if (status == SP_EXIT_DONE) {
        status = sp_show_bridges(reply.json, 0);
    }
    sp_reply_clear(&reply);
    return status;
}

int
sp_cli_bridge_show(struct sp_cli *cli)
{
    struct sp_reply reply = {0};
    int status = sp_call_get(cli, sp_path_format("/v1/bridges/%s", sp_cli_arg(cli, 0)), &reply);
    if (status == SP_EXIT_DONE) {
        status = cli->json ? sp_call_print(&reply) : print_bridge(cli, reply.json);
        sp_reply_clear(&reply);
    }
    return status;
}

int
sp_cli_bridge_set(struct sp_cli *cli)
{
    bool has_uplinks = sp_cli_has(cli, SP_OPTION_UPLINK);
    if (has_uplinks == sp_cli_has(cli, SP_OPTION_NO_UPLINKS)) {
        return sp_cli_usage(cli->command, "either --uplink, once for each, or --no-uplinks");
    }
    struct sp_json_write *json = sp_json_write_new(false);
    if (!json) {
        return sp_call_no_memory();
    }
    const char *name;
    sp_json_object_open(json);
    sp_json_key(json, "uplinks");
    sp_json_array_open(json);
    for (size_t i = 0; (name = sp_cli_value(cli, SP_OPTION_UPLINK, i)); i++) {
        sp_json_string(json, name);
    }
    sp_json_array_close(json);
    sp_json_object_close(json);
    struct sp_reply reply = {0};
    int status = sp_call(cli, "PUT", sp_path_format("/v1/bridges/%s", sp_cli_arg(cli, 0)), json, &reply);
    if (status == SP_EXIT_DONE) {
        char *uplinks = sp_answer_join(reply.json, "uplinks");
        status = sp_call_report(cli, &reply, "Bridge %s%s has %s%s", sp_answer_text(reply.json, "dpid"),
                                sp_answer_bool(reply.json, "connected") ? "" : " (not connected now)",
                                has_uplinks ? "the uplinks " : "no uplinks", has_uplinks && uplinks ? uplinks : "");
        free(uplinks);
        sp_reply_clear(&reply);
    }
    sp_json_write_free(json);
    return status;
}

int
sp_cli_bridge_delete(struct sp_cli *cli)
{
    const char *dpid = sp_cli_arg(cli, 0);
    struct sp_reply reply = {0};
    int status = sp_call(cli, "DELETE", sp_path_format("/v1/bridges/%s", dpid), NULL, &reply);
    if (status == SP_EXIT_DONE) {
        status = sp_call_report(cli, &reply, "Deleted bridge %s", dpid);
        sp_reply_clear(&reply);
    }
    return status;
}

static int
print_bridge(struct sp_cli *cli, const struct sp_json *bridge)
{
    const struct sp_json *flows = sp_answer_object(bridge, "flows");
    const char *error = sp_answer_text(bridge, "last_error");
    char *uplinks = sp_answer_join(bridge, "uplinks");
    printf("Bridge %s\n", sp_answer_text(bridge, "dpid"));
    sp_show_line("name", "%s", *sp_answer_text(bridge, "name") ? sp_answer_text(bridge, "name") : "not known");
    if (sp_answer_bool(bridge, "connected")) {
        sp_show_line("connected", "yes, %s, %s", sp_answer_text(bridge, "peer"), sp_answer_text(bridge, "version"));
    } else {
        sp_show_line("connected", "no");
    }
    sp_show_line("uplinks", "%s", !uplinks ? "?" : *uplinks ? uplinks : "none");
    sp_show_line("flows", "%lld of %lld installed", (long long) sp_answer_number(flows, "installed"),
                 (long long) sp_answer_number(flows, "desired"));
    sp_show_line("revision", "%lld", (long long) sp_answer_number(bridge, "revision"));
    sp_show_line("last error", "%s", *error ? error : "none");
    free(uplinks);
    if (!sp_answer_count(bridge, "ports")) {
        sp_show_line("ports", "none known");
        return SP_EXIT_DONE;
    }
    putchar('\n');
    return print_ports(cli, bridge);
}

static int
print_ports(struct sp_cli *cli, const struct sp_json *bridge)
{
    static const char *const titles[] = {"OFPORT", "NAME", "ROLE", "SERVER"};
    struct sp_reply servers = {0};
    int status = sp_call_get(cli, sp_path_format("/v1/servers"), &servers);
    if (status != SP_EXIT_DONE) {
        return status;
    }
    struct sp_columns *columns = sp_columns_new(titles, sizeof titles / sizeof titles[0]);
    for (size_t i = 0; i < sp_answer_count(bridge, "ports"); i++) {
        const struct sp_json *port = sp_answer_item(bridge, "ports", i);
        const char *server = sp_answer_text(port, "server");
        sp_columns_add(columns, "%lld", (long long) sp_answer_number(port, "ofport"));
        sp_columns_add(columns, "%s", sp_answer_text(port, "name"));
        sp_columns_add(columns, "%s", sp_answer_text(port, "role"));
        sp_columns_add(columns, "%s", *server ? sp_answer_name(servers.json, "servers", server) : "-");
    }
    status = sp_columns_print(columns, 2, stdout) ? sp_call_no_memory() : SP_EXIT_DONE;
    sp_columns_free(columns);
    sp_reply_clear(&servers);
    return status;
}
