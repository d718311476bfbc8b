#include "controller/cli/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/cli/columns.h"
#include "controller/cli/path.h"
#include "controller/cli/resolve.h"
#include "controller/cli/show.h"
#include "controller/cli/syntax.h"

static int write_question(struct sp_cli *, struct sp_json_write *);
static int print_verdict(struct sp_cli *, const struct sp_json *answer, const char *server);

int
sp_cli_explain(struct sp_cli *cli)
{
    struct sp_found server = {0};
    struct sp_reply reply = {0};
    struct sp_json_write *json = sp_json_write_new(false);
    int status = json ? SP_EXIT_DONE : sp_call_no_memory();
    sp_json_object_open(json);
    if (status == SP_EXIT_DONE) {
        status = write_question(cli, json);
    }
    if (status == SP_EXIT_DONE) {
        status = sp_resolve_server(cli, sp_cli_arg(cli, 0), sp_cli_value(cli, SP_OPTION_REGION, 0), false, &server);
    }
    if (status == SP_EXIT_DONE) {
        sp_write_text(json, "server", server.id);
        sp_json_object_close(json);
        status = sp_call(cli, "POST", sp_path_format("/v1/explain"), json, &reply);
    }
    if (status == SP_EXIT_DONE) {
        status = cli->json ? sp_call_print(&reply) : print_verdict(cli, reply.json, server.name);
        sp_reply_clear(&reply);
    }
    sp_found_clear(&server);
    sp_json_write_free(json);
    return status;
}

/* The argument PORT is the destination's: the server's own for an inbound connection, the other side's for an outbound one.
 */
static int
write_question(struct sp_cli *cli, struct sp_json_write *json)
{
    const char *direction = sp_cli_arg(cli, 1);
    const char *protocol = sp_cli_arg(cli, 2);
    const char *what = sp_cli_arg(cli, 3);
    const char *local = sp_cli_value(cli, SP_OPTION_LOCAL_PORT, 0);
    const char *remote = sp_cli_value(cli, SP_OPTION_REMOTE_PORT, 0);
    sp_write_text(json, "direction", direction);
    sp_write_text(json, "remote_ip", sp_cli_value(cli, SP_OPTION_REMOTE, 0));
    int status = sp_syntax_protocol(cli, json, protocol);
    if (what && sp_syntax_is_icmp(protocol)) {
        status = status == SP_EXIT_DONE ? sp_syntax_icmp(cli, json, what) : status;
    } else if (what) {
        const char **destination = strcmp(direction, "outbound") ? &local : &remote;
        if (*destination) {
            return sp_cli_usage(cli->command, "the destination port is given twice: %s and %s", what, *destination);
        }
        *destination = what;
    }
    if (status == SP_EXIT_DONE && local) {
        status = sp_syntax_integer(cli, json, "local_port", local);
    }
    if (status == SP_EXIT_DONE && remote) {
        status = sp_syntax_integer(cli, json, "remote_port", remote);
    }
    return status;
}

static int
print_verdict(struct sp_cli *cli, const struct sp_json *answer, const char *server)
{
    const struct sp_json *rule = sp_answer_object(answer, "rule");
    const struct sp_json *group = sp_answer_object(answer, "group");
    printf("%s: %s %s %s%s%s, remote %s\n", sp_answer_text(answer, "verdict"), server, sp_cli_arg(cli, 1),
           sp_cli_arg(cli, 2), cli->n_args > 3 ? " " : "", cli->n_args > 3 ? sp_cli_arg(cli, 3) : "",
           sp_cli_value(cli, SP_OPTION_REMOTE, 0));
    sp_show_line("reason", "%s", sp_answer_text(answer, "reason"));
    if (group) {
        sp_show_line("group", "%s (%s)", sp_answer_text(group, "name"), sp_answer_text(group, "id"));
    }
    if (rule) {
        sp_show_line("rule", "%s", sp_answer_text(rule, "id"));
    }
    return SP_EXIT_DONE;
}
