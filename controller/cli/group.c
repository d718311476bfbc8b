#include "controller/cli/call.h"

#include <stdio.h>
#include <stdlib.h>

#include "controller/cli/columns.h"
#include "controller/cli/path.h"
#include "controller/cli/resolve.h"
#include "controller/cli/show.h"
#include "controller/cli/syntax.h"

static int print_group(struct sp_cli *, const struct sp_json *group);
static int print_findings(const struct sp_json *answer, const char *group);
static int write_new(struct sp_cli *, struct sp_json_write *);

int
sp_cli_group_list(struct sp_cli *cli)
{
    static const char *const titles[] = {"NAME", "REGION", "DEFAULT", "RULES", "SERVERS", "ID", "DESCRIPTION"};
    const char *region = sp_cli_value(cli, SP_OPTION_REGION, 0);
    struct sp_reply reply = {0};
    char *path = sp_path_format("/v1/security-groups");
    sp_path_query(&path, "region", region);
    sp_path_query(&path, "name", sp_cli_value(cli, SP_OPTION_NAME, 0));
    int status = sp_call_get(cli, path, &reply);
    if (status != SP_EXIT_DONE) {
        return status;
    }
    size_t n = sp_answer_count(reply.json, "security_groups");
    if (cli->json) {
        status = sp_call_print(&reply);
    } else if (!n) {
        printf("No security groups%s%s.\n", region ? " in " : "", region ? region : "");
    } else {
        struct sp_columns *columns = sp_columns_new(titles, sizeof titles / sizeof titles[0]);
        for (size_t i = 0; i < n; i++) {
            const struct sp_json *group = sp_answer_item(reply.json, "security_groups", i);
            sp_columns_add(columns, "%s", sp_answer_text(group, "name"));
            sp_columns_add(columns, "%s", sp_answer_text(group, "region"));
            sp_columns_add(columns, "%s", sp_answer_bool(group, "default") ? "yes" : "no");
            sp_columns_add(columns, "%zu", sp_answer_count(group, "rules"));
            sp_columns_add(columns, "%zu", sp_answer_count(group, "servers"));
            sp_columns_add(columns, "%s", sp_answer_text(group, "id"));
            sp_columns_add(columns, "%s", sp_answer_text(group, "description"));
        }
        status = sp_columns_print(columns, 0, stdout) ? sp_call_no_memory() : SP_EXIT_DONE;
        sp_columns_free(columns);
    }
    sp_reply_clear(&reply);
    return status;
}

int
sp_cli_group_show(struct sp_cli *cli)
{
    struct sp_found group = {0};
    int status = sp_resolve_group(cli, sp_cli_arg(cli, 0), sp_cli_value(cli, SP_OPTION_REGION, 0), false, &group);
    if (status != SP_EXIT_DONE) {
        return status;
    }
    struct sp_reply reply = {0};
    status = sp_call_get(cli, sp_path_format("/v1/security-groups/%s", group.id), &reply);
    sp_found_clear(&group);
    if (status == SP_EXIT_DONE) {
        status = cli->json ? sp_call_print(&reply) : print_group(cli, reply.json);
        sp_reply_clear(&reply);
    }
    return status;
}

int
sp_cli_group_lint(struct sp_cli *cli)
{
    struct sp_found group = {0};
    struct sp_reply reply = {0};
    int status = sp_resolve_group(cli, sp_cli_arg(cli, 0), sp_cli_value(cli, SP_OPTION_REGION, 0), false, &group);
    if (status == SP_EXIT_DONE) {
        status = sp_call_get(cli, sp_path_format("/v1/security-groups/%s/lint", group.id), &reply);
    }
    if (status == SP_EXIT_DONE) {
        status = cli->json ? sp_call_print(&reply) : print_findings(reply.json, group.name);
        sp_reply_clear(&reply);
    }
    sp_found_clear(&group);
    return status;
}

int
sp_cli_group_create(struct sp_cli *cli)
{
    struct sp_json_write *json = sp_json_write_new(false);
    struct sp_reply reply = {0};
    int status = write_new(cli, json);
    if (status == SP_EXIT_DONE) {
        status = json ? sp_call(cli, "POST", sp_path_format("/v1/security-groups"), json, &reply) : sp_call_no_memory();
    }
    if (status == SP_EXIT_DONE) {
        status = sp_call_report(
            cli, &reply, "Made %sgroup %s (%s) in %s", sp_answer_bool(reply.json, "default") ? "the default " : "",
            sp_answer_text(reply.json, "name"), sp_answer_text(reply.json, "id"), sp_answer_text(reply.json, "region"));
        sp_reply_clear(&reply);
    }
    sp_json_write_free(json);
    return status;
}

int
sp_cli_group_set(struct sp_cli *cli)
{
    const char *name = sp_cli_value(cli, SP_OPTION_NAME, 0);
    const char *description = sp_cli_value(cli, SP_OPTION_DESCRIPTION, 0);
    bool makes_default = sp_cli_has(cli, SP_OPTION_DEFAULT);
    bool unmakes_default = sp_cli_has(cli, SP_OPTION_NO_DEFAULT);
    if (makes_default && unmakes_default) {
        return sp_cli_usage(cli->command, "--default and --no-default exclude each other");
    }
    if (!name && !description && !makes_default && !unmakes_default) {
        return sp_cli_usage(cli->command, "what is to be changed?");
    }
    struct sp_found group = {0};
    int status = sp_resolve_group(cli, sp_cli_arg(cli, 0), sp_cli_value(cli, SP_OPTION_REGION, 0), false, &group);
    if (status != SP_EXIT_DONE) {
        return status;
    }
    struct sp_json_write *json = sp_json_write_new(false);
    sp_json_object_open(json);
    sp_write_text(json, "name", name);
    sp_write_text(json, "description", description);
    if (makes_default || unmakes_default) {
        sp_json_key(json, "default");
        sp_json_bool(json, makes_default);
    }
    sp_json_object_close(json);
    struct sp_reply reply = {0};
    status = json ? sp_call(cli, "PATCH", sp_path_format("/v1/security-groups/%s", group.id), json, &reply)
                  : sp_call_no_memory();
    if (status == SP_EXIT_DONE && makes_default) {
        status = sp_call_report(cli, &reply, "Made group %s the default of %s; its %zu servers have this group alone",
                                sp_answer_text(reply.json, "name"), sp_answer_text(reply.json, "region"),
                                sp_answer_count(reply.json, "servers"));
    } else if (status == SP_EXIT_DONE) {
        status = sp_call_report(cli, &reply, "Changed group %s", sp_answer_text(reply.json, "name"));
    }
    sp_reply_clear(&reply);
    sp_json_write_free(json);
    sp_found_clear(&group);
    return status;
}

int
sp_cli_group_delete(struct sp_cli *cli)
{
    struct sp_found group = {0};
    int status = sp_resolve_group(cli, sp_cli_arg(cli, 0), sp_cli_value(cli, SP_OPTION_REGION, 0), false, &group);
    if (status != SP_EXIT_DONE) {
        return status;
    }
    struct sp_reply reply = {0};
    status = sp_call(cli, "DELETE", sp_path_format("/v1/security-groups/%s", group.id), NULL, &reply);
    if (status == SP_EXIT_DONE) {
        status = sp_call_report(cli, &reply, "Deleted group %s", group.name);
        sp_reply_clear(&reply);
    }
    sp_found_clear(&group);
    return status;
}

static int
print_group(struct sp_cli *cli, const struct sp_json *group)
{
    printf("Security group ");
    sp_text_print(stdout, sp_answer_text(group, "name"));
    putchar('\n');
    sp_show_line("id", "%s", sp_answer_text(group, "id"));
    sp_show_line("region", "%s%s", sp_answer_text(group, "region"),
                 sp_answer_bool(group, "default") ? ", its default group" : "");
    if (*sp_answer_text(group, "description")) {
        sp_show_line("description", "%s", sp_answer_text(group, "description"));
    }
    sp_show_line("revision", "%lld, changed %s", (long long) sp_answer_number(group, "revision"),
                 sp_answer_text(group, "updated_at"));
    size_t n_servers = sp_answer_count(group, "servers");
    int status = SP_EXIT_DONE;
    if (n_servers) {
        struct sp_reply servers = {0};
        char *path = sp_path_format("/v1/servers");
        sp_path_query(&path, "security_group", sp_answer_text(group, "id"));
        status = sp_call_get(cli, path, &servers);
        if (status != SP_EXIT_DONE) {
            return status;
        }
        for (size_t i = 0; i < sp_answer_count(servers.json, "servers"); i++) {
            const struct sp_json *server = sp_answer_item(servers.json, "servers", i);
            sp_show_line(i ? "" : "servers", "%s (%s)", sp_answer_text(server, "name"), sp_answer_text(server, "id"));
        }
        sp_reply_clear(&servers);
    } else {
        sp_show_line("servers", "none");
    }
    if (!sp_answer_count(group, "rules")) {
        sp_show_line("rules", "none: nothing passes");
        return SP_EXIT_DONE;
    }
    putchar('\n');
    return sp_show_rules(cli, group, 2);
}

static int
print_findings(const struct sp_json *answer, const char *group)
{
    size_t n = sp_answer_count(answer, "findings");
    if (!n) {
        printf("Nothing odd about the rules of group ");
        sp_text_print(stdout, group);
        printf(".\n");
        return SP_EXIT_DONE;
    }
    static const char *const titles[] = {"RULE", "KIND", "WHAT"};
    struct sp_columns *table = sp_columns_new(titles, sizeof titles / sizeof titles[0]);
    for (size_t i = 0; i < n; i++) {
        const struct sp_json *finding = sp_answer_item(answer, "findings", i);
        sp_columns_add(table, "%s", sp_answer_text(finding, "rule"));
        sp_columns_add(table, "%s", sp_answer_text(finding, "kind"));
        sp_columns_add(table, "%s", sp_answer_text(finding, "message"));
    }
    int status = sp_columns_print(table, 0, stdout) ? sp_call_no_memory() : SP_EXIT_DONE;
    sp_columns_free(table);
    return status;
}

static int
write_new(struct sp_cli *cli, struct sp_json_write *json)
{
    sp_json_object_open(json);
    sp_write_text(json, "region", sp_cli_value(cli, SP_OPTION_REGION, 0));
    sp_write_text(json, "name", sp_cli_value(cli, SP_OPTION_NAME, 0));
    sp_write_text(json, "description", sp_cli_value(cli, SP_OPTION_DESCRIPTION, 0));
    sp_write_text(json, "template", sp_cli_value(cli, SP_OPTION_TEMPLATE, 0));
    if (sp_cli_has(cli, SP_OPTION_DEFAULT)) {
        sp_json_key(json, "default");
        sp_json_bool(json, true);
    }
    const char *file = sp_cli_value(cli, SP_OPTION_RULES_FILE, 0);
    int status = file ? sp_syntax_rules_file(cli, json, "rules", file) : SP_EXIT_DONE;
    sp_json_object_close(json);
    return status;
}
