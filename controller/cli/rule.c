#include "controller/cli/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/cli/path.h"
#include "controller/cli/resolve.h"
#include "controller/cli/show.h"
#include "controller/cli/syntax.h"

static int find_group(struct sp_cli *, struct sp_found *);
/* Writes what the command line says of a rule. */
typedef int write_rule(struct sp_cli *, struct sp_json_write *);
static write_rule write_new, write_changes, write_shared;
static int write_remote(struct sp_cli *, struct sp_json_write *, const char *region);
static int send(struct sp_cli *, const char *method, const char *id, write_rule *, struct sp_found *, struct sp_reply *);

int
sp_cli_rule_list(struct sp_cli *cli)
{
    struct sp_found found = {0};
    int status = find_group(cli, &found);
    if (status != SP_EXIT_DONE) {
        return status;
    }
    struct sp_reply reply = {0};
    status = sp_call_get(
        cli, sp_path_format(cli->json ? "/v1/security-groups/%s/rules" : "/v1/security-groups/%s", found.id), &reply);
    if (status == SP_EXIT_DONE && cli->json) {
        status = sp_call_print(&reply);
    } else if (status == SP_EXIT_DONE && !sp_answer_count(reply.json, "rules")) {
        printf("No rules in %s: nothing passes.\n", sp_answer_text(reply.json, "name"));
    } else if (status == SP_EXIT_DONE) {
        status = sp_show_rules(cli, reply.json, 0);
    }
    sp_reply_clear(&reply);
    sp_found_clear(&found);
    return status;
}

int
sp_cli_rule_add(struct sp_cli *cli)
{
    struct sp_found found = {0};
    struct sp_reply reply = {0};
    int status = send(cli, "POST", NULL, write_new, &found, &reply);
    if (status == SP_EXIT_DONE) {
        const char *id = sp_answer_text(reply.json, "id");
        status = reply.status == 200 ? sp_call_report(cli, &reply, "Group %s has this rule already (%s)", found.name, id)
                                     : sp_call_report(cli, &reply, "Added rule %s to group %s", id, found.name);
        sp_reply_clear(&reply);
    }
    sp_found_clear(&found);
    return status;
}

int
sp_cli_rule_set(struct sp_cli *cli)
{
    uint64_t changes = cli->command->options & ~(SP_OPTION_BIT(SP_OPTION_REGION) | SP_OPTION_BIT(SP_OPTION_WAIT));
    if (!sp_cli_has_any(cli, changes)) {
        return sp_cli_usage(cli->command, "what is to be changed?");
    }
    struct sp_found found = {0};
    struct sp_reply reply = {0};
    const char *id = sp_cli_arg(cli, 1);
    int status = send(cli, "PATCH", id, write_changes, &found, &reply);
    if (status == SP_EXIT_DONE) {
        status = sp_call_report(cli, &reply, "Changed rule %s of group %s", id, found.name);
        sp_reply_clear(&reply);
    }
    sp_found_clear(&found);
    return status;
}

int
sp_cli_rule_replace(struct sp_cli *cli)
{
    struct sp_found found = {0};
    struct sp_reply reply = {0};
    struct sp_json_write *json = sp_json_write_new(false);
    sp_json_object_open(json);
    int status = sp_syntax_rules_file(cli, json, "rules", sp_cli_value(cli, SP_OPTION_RULES_FILE, 0));
    sp_json_object_close(json);
    if (status == SP_EXIT_DONE) {
        status = find_group(cli, &found);
    }
    if (status == SP_EXIT_DONE) {
        status = json ? sp_call(cli, "PUT", sp_path_format("/v1/security-groups/%s/rules", found.id), json, &reply)
                      : sp_call_no_memory();
    }
    if (status == SP_EXIT_DONE) {
        status = sp_call_report(cli, &reply, "Group %s has %zu rules", found.name, sp_answer_count(reply.json, "rules"));
        sp_reply_clear(&reply);
    }
    sp_json_write_free(json);
    sp_found_clear(&found);
    return status;
}

int
sp_cli_rule_delete(struct sp_cli *cli)
{
    struct sp_found found = {0};
    int status = find_group(cli, &found);
    if (status != SP_EXIT_DONE) {
        return status;
    }
    struct sp_reply reply = {0};
    const char *id = sp_cli_arg(cli, 1);
    status = sp_call(cli, "DELETE", sp_path_format("/v1/security-groups/%s/rules/%s", found.id, id), NULL, &reply);
    if (status == SP_EXIT_DONE) {
        status = sp_call_report(cli, &reply, "Deleted rule %s of group %s", id, found.name);
        sp_reply_clear(&reply);
    }
    sp_found_clear(&found);
    return status;
}

/* The region is wanted only to find a remote group by its name. */
static int
find_group(struct sp_cli *cli, struct sp_found *ret)
{
    return sp_resolve_group(cli, sp_cli_arg(cli, 0), sp_cli_value(cli, SP_OPTION_REGION, 0),
                            sp_cli_has(cli, SP_OPTION_REMOTE_GROUP), ret);
}

/* Builds what 'write' and the remote say and sends it to the rules of the group named first, or to its rule 'id'.  All that
 * can be wrong with the command line is found before anything is sent. */
static int
send(struct sp_cli *cli, const char *method, const char *id, write_rule *write, struct sp_found *found,
     struct sp_reply *reply)
{
    struct sp_json_write *json = sp_json_write_new(false);
    int status = json ? SP_EXIT_DONE : sp_call_no_memory();
    sp_json_object_open(json);
    if (status == SP_EXIT_DONE) {
        status = write(cli, json);
    }
    if (status == SP_EXIT_DONE) {
        status = write_shared(cli, json);
    }
    if (status == SP_EXIT_DONE) {
        status = find_group(cli, found);
    }
    if (status == SP_EXIT_DONE) {
        status = write_remote(cli, json, found->region);
    }
    sp_json_object_close(json);
    if (status == SP_EXIT_DONE) {
        char *path = id ? sp_path_format("/v1/security-groups/%s/rules/%s", found->id, id)
                        : sp_path_format("/v1/security-groups/%s/rules", found->id);
        status = sp_call(cli, method, path, json, reply);
    }
    sp_json_write_free(json);
    return status;
}

static int
write_new(struct sp_cli *cli, struct sp_json_write *json)
{
    const char *protocol = sp_cli_arg(cli, 2);
    const char *what = sp_cli_arg(cli, 3);
    sp_write_text(json, "direction", sp_cli_arg(cli, 1));
    int status = sp_syntax_protocol(cli, json, protocol);
    if (status == SP_EXIT_DONE && what) {
        status = sp_syntax_what(cli, json, protocol, what);
    }
    return status;
}

static int
write_changes(struct sp_cli *cli, struct sp_json_write *json)
{
    const char *protocol = sp_cli_value(cli, SP_OPTION_PROTOCOL, 0);
    const char *ports = sp_cli_value(cli, SP_OPTION_PORTS, 0);
    const char *icmp = sp_cli_value(cli, SP_OPTION_ICMP, 0);
    sp_write_text(json, "direction", sp_cli_value(cli, SP_OPTION_DIRECTION, 0));
    int status = protocol ? sp_syntax_protocol(cli, json, protocol) : SP_EXIT_DONE;

    /* A new protocol must not stumble over the old one's ports or types. */
    ports = ports || !protocol ? ports : "all";
    icmp = icmp || !protocol ? icmp : "all";
    if (status == SP_EXIT_DONE && ports) {
        status = sp_syntax_ports(cli, json, ports);
    }
    if (status == SP_EXIT_DONE && icmp) {
        status = sp_syntax_icmp(cli, json, icmp);
    }
    return status;
}

/* What adding and changing have in common. */
static int
write_shared(struct sp_cli *cli, struct sp_json_write *json)
{
    const char *priority = sp_cli_value(cli, SP_OPTION_PRIORITY, 0);
    bool allows = sp_cli_has(cli, SP_OPTION_ALLOW);
    bool denies = sp_cli_has(cli, SP_OPTION_DENY);
    if (allows && denies) {
        return sp_cli_usage(cli->command, "--allow and --deny exclude each other");
    }
    if (sp_cli_has(cli, SP_OPTION_REMOTE) && sp_cli_has(cli, SP_OPTION_REMOTE_GROUP)) {
        return sp_cli_usage(cli->command, "--remote and --remote-group exclude each other");
    }
    if (allows || denies) {
        sp_write_text(json, "action", allows ? "allow" : "deny");
    }
    sp_write_text(json, "description", sp_cli_value(cli, SP_OPTION_DESCRIPTION, 0));
    int status = priority ? sp_syntax_integer(cli, json, "priority", priority) : SP_EXIT_DONE;
    return status;
}

/* One kind of remote takes the place of the other. */
static int
write_remote(struct sp_cli *cli, struct sp_json_write *json, const char *region)
{
    const char *remote = sp_cli_value(cli, SP_OPTION_REMOTE, 0);
    const char *group = sp_cli_value(cli, SP_OPTION_REMOTE_GROUP, 0);
    if (!remote && !group) {
        return SP_EXIT_DONE;
    }
    struct sp_found found = {0};
    int status = group ? sp_resolve_group(cli, group, region, false, &found) : SP_EXIT_DONE;
    sp_json_text(json, "remote_ip", remote && strcmp(remote, "any") ? remote : NULL);
    sp_json_text(json, "remote_group", group ? found.id : NULL);
    sp_found_clear(&found);
    return status;
}
