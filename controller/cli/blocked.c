#include "controller/cli/call.h"

#include <stdio.h>

#include "controller/cli/columns.h"
#include "controller/cli/path.h"
#include "controller/cli/resolve.h"

static int print_none(struct sp_cli *, const char *server);
static int print_blocked(const struct sp_json *answer, const char *server);

int
sp_cli_blocked(struct sp_cli *cli)
{
    struct sp_found server = {0};
    struct sp_reply reply = {0};
    int status = sp_resolve_server(cli, sp_cli_arg(cli, 0), sp_cli_value(cli, SP_OPTION_REGION, 0), true, &server);
    if (status == SP_EXIT_DONE) {
        status = sp_call_get(cli, sp_path_format("/v1/blocked?server=%s", server.id), &reply);
    }
    if (status == SP_EXIT_DONE) {
        status = cli->json                                 ? sp_call_print(&reply)
                 : sp_answer_count(reply.json, "blocked") ? print_blocked(reply.json, server.name)
                                                          : print_none(cli, server.id);
        sp_reply_clear(&reply);
    }
    sp_found_clear(&server);
    return status;
}

/* Nothing was seen, or nobody looks. */
static int
print_none(struct sp_cli *cli, const char *id)
{
    struct sp_reply server = {0}, region = {0};
    int status = sp_call_get(cli, sp_path_format("/v1/servers/%s", id), &server);
    if (status != SP_EXIT_DONE) {
        return status;
    }
    const char *name = sp_answer_text(server.json, "region");
    status = sp_call_get(cli, sp_path_format("/v1/regions/%s", name), &region);
    if (status == SP_EXIT_DONE && !sp_answer_bool(region.json, "report_blocked")) {
        printf("Blocked attempts are not reported in region %s: sallyport region set %s --report-blocked on\n", name, name);
    } else if (status == SP_EXIT_DONE) {
        printf("Nothing was blocked lately.\n");
    }
    sp_reply_clear(&region);
    sp_reply_clear(&server);
    return status;
}

/* The destination port, or what there is in its place. */
static void
add_port(struct sp_columns *columns, const struct sp_json *entry)
{
    static const char *const keys[] = {"local_port", "remote_port"};
    for (size_t i = 0; i < 2; i++) {
        const struct sp_json *port = sp_json_get(entry, keys[i]);
        if (port && port->type == SP_JSON_INTEGER) {
            sp_columns_add(columns, "%lld", (long long) port->integer);
            return;
        }
    }
    const struct sp_json *type = sp_json_get(entry, "icmp_type");
    if (type && type->type == SP_JSON_INTEGER) {
        sp_columns_add(columns, "%lld/%lld", (long long) type->integer, (long long) sp_answer_number(entry, "icmp_code"));
    } else {
        sp_columns_add(columns, "-");
    }
}

static int
print_blocked(const struct sp_json *answer, const char *server)
{
    static const char *const titles[] = {"DIRECTION", "PROTOCOL", "REMOTE", "PORT", "DENIED BY", "TIMES", "FIRST", "LAST"};
    size_t n = sp_answer_count(answer, "blocked");
    struct sp_columns *columns = sp_columns_new(titles, sizeof titles / sizeof titles[0]);
    for (size_t i = 0; i < n; i++) {
        const struct sp_json *entry = sp_answer_item(answer, "blocked", i);
        const struct sp_json *protocol = sp_json_get(entry, "protocol");
        const char *rule = sp_answer_text(entry, "rule");
        sp_columns_add(columns, "%s", sp_answer_text(entry, "direction"));
        if (protocol && protocol->type == SP_JSON_INTEGER) {
            sp_columns_add(columns, "%lld", (long long) protocol->integer);
        } else {
            sp_columns_add(columns, "%s", sp_answer_text(entry, "protocol"));
        }
        sp_columns_add(columns, "%s", sp_answer_text(entry, "remote_ip"));
        add_port(columns, entry);
        sp_columns_add(columns, *rule ? "rule %s" : "default", rule);
        sp_columns_add(columns, "%lld", (long long) sp_answer_number(entry, "count"));
        sp_columns_add(columns, "%.19s", sp_answer_text(entry, "first"));
        sp_columns_add(columns, "%.19s", sp_answer_text(entry, "last"));
    }
    printf("Blocked attempts to and from ");
    sp_text_print(stdout, server);
    printf(", a sample (each was tried at least so often; times in UTC):\n");
    int status = sp_columns_print(columns, 0, stdout) ? sp_call_no_memory() : SP_EXIT_DONE;
    sp_columns_free(columns);
    return status;
}
