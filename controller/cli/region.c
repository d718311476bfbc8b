#include "controller/cli/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/cli/columns.h"
#include "controller/cli/path.h"

int
sp_cli_region_list(struct sp_cli *cli)
{
    static const char *const titles[] = {"REGION", "DEFAULT GROUP", "GROUPS", "SERVERS"};
    struct sp_reply regions = {0};
    int status = sp_call_get(cli, sp_path_format("/v1/regions"), &regions);
    if (status != SP_EXIT_DONE) {
        return status;
    }
    size_t n = sp_answer_count(regions.json, "regions");
    struct sp_columns *columns = sp_columns_new(titles, 4);
    for (size_t i = 0; !cli->json && i < n && status == SP_EXIT_DONE; i++) {
        const struct sp_json *region = sp_answer_item(regions.json, "regions", i);
        const struct sp_json *counts = sp_answer_object(region, "counts");
        const char *group = sp_answer_text(region, "default_group");
        struct sp_reply reply = {0};
        if (*group) {
            status = sp_call_get(cli, sp_path_format("/v1/security-groups/%s", group), &reply);
        }
        sp_columns_add(columns, "%s", sp_answer_text(region, "name"));
        sp_columns_add(columns, "%s", *group ? sp_answer_text(reply.json, "name") : "-");
        sp_columns_add(columns, "%lld", (long long) sp_answer_number(counts, "security_groups"));
        sp_columns_add(columns, "%lld", (long long) sp_answer_number(counts, "servers"));
        sp_reply_clear(&reply);
    }
    if (cli->json) {
        status = sp_call_print(&regions);
    } else if (status == SP_EXIT_DONE && !n) {
        printf("No regions.\n");
    } else if (status == SP_EXIT_DONE && sp_columns_print(columns, 0, stdout)) {
        status = sp_call_no_memory();
    }
    sp_columns_free(columns);
    sp_reply_clear(&regions);
    return status;
}

int
sp_cli_region_create(struct sp_cli *cli)
{
    const char *name = sp_cli_arg(cli, 0);
    struct sp_reply reply = {0};
    int status = sp_call(cli, "PUT", sp_path_format("/v1/regions/%s", name), NULL, &reply);
    if (status == SP_EXIT_DONE) {
        status = sp_call_report(cli, &reply, reply.status == 200 ? "Region %s exists already" : "Made region %s", name);
        sp_reply_clear(&reply);
    }
    return status;
}

int
sp_cli_region_set(struct sp_cli *cli)
{
    const char *name = sp_cli_arg(cli, 0), *reports = sp_cli_value(cli, SP_OPTION_REPORT_BLOCKED, 0);
    bool on = !strcmp(reports, "on");
    if (!on && strcmp(reports, "off")) {
        return sp_cli_usage(cli->command, "--report-blocked takes on or off, not '%s'", reports);
    }
    struct sp_reply reply = {0};
    struct sp_json_write *json = sp_json_write_new(false);
    sp_json_object_open(json);
    sp_json_key(json, "report_blocked");
    sp_json_bool(json, on);
    sp_json_object_close(json);
    int status = json ? sp_call(cli, "PATCH", sp_path_format("/v1/regions/%s", name), json, &reply) : sp_call_no_memory();
    if (status == SP_EXIT_DONE) {
        status = sp_call_report(cli, &reply, "Changed region %s", name);
        sp_reply_clear(&reply);
    }
    sp_json_write_free(json);
    return status;
}

int
sp_cli_region_delete(struct sp_cli *cli)
{
    const char *name = sp_cli_arg(cli, 0);
    struct sp_reply reply = {0};
    int status = sp_call(cli, "DELETE", sp_path_format("/v1/regions/%s", name), NULL, &reply);
    if (status == SP_EXIT_DONE) {
        status = sp_call_report(cli, &reply, "Deleted region %s", name);
        sp_reply_clear(&reply);
    }
    return status;
}
