#include "controller/cli/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/cli/columns.h"
#include "controller/cli/path.h"
#include "controller/cli/show.h"

int
sp_cli_change_list(struct sp_cli *cli)
{
    static const char *const titles[] = {"CHANGE", "TIME", "WHO", "WHAT"};
    struct sp_reply reply = {0};
    char *path = sp_path_format("/v1/changes");
    sp_path_query(&path, "region", sp_cli_value(cli, SP_OPTION_REGION, 0));
    sp_path_query(&path, "object", sp_cli_value(cli, SP_OPTION_OBJECT, 0));
    sp_path_query(&path, "limit", sp_cli_value(cli, SP_OPTION_LIMIT, 0));
    sp_path_query(&path, "before", sp_cli_value(cli, SP_OPTION_BEFORE, 0));
    sp_path_query(&path, "pending", sp_cli_has(cli, SP_OPTION_PENDING) ? "true" : NULL);
    int status = sp_call_get(cli, path, &reply);
    if (status != SP_EXIT_DONE) {
        return status;
    }
    size_t n = sp_answer_count(reply.json, "changes");
    struct sp_columns *columns = sp_columns_new(titles, 4);
    for (size_t i = 0; !cli->json && i < n; i++) {
        const struct sp_json *change = sp_answer_item(reply.json, "changes", i);
        const char *who = sp_answer_text(change, "who");
        long long undone_by = sp_answer_number(change, "undone_by");
        sp_columns_add(columns, "%lld", (long long) sp_answer_number(change, "id"));
        sp_columns_add(columns, "%s", sp_answer_text(change, "at"));
        sp_columns_add(columns, "%s", *who ? who : "-");
        const struct sp_json *trial = sp_answer_object(change, "confirmation");
        const char *state = trial ? sp_answer_text(trial, "state") : "";
        if (undone_by) {
            sp_columns_add(columns, "%s (undone by %lld)", sp_answer_text(change, "what"), undone_by);
        } else if (!strcmp(state, "pending")) {
            sp_columns_add(columns, "%s (until %s, unless confirmed)", sp_answer_text(change, "what"),
                           sp_answer_text(trial, "confirm_by"));
        } else if (!strcmp(state, "failed")) {
            sp_columns_add(columns, "%s (not confirmed, not rolled back)", sp_answer_text(change, "what"));
        } else {
            sp_columns_add(columns, "%s", sp_answer_text(change, "what"));
        }
    }
    if (cli->json) {
        status = sp_call_print(&reply);
    } else if (!n) {
        printf("No changes.\n");
    } else if (sp_columns_print(columns, 0, stdout)) {
        status = sp_call_no_memory();
    } else if (sp_answer_number(reply.json, "next")) {
        printf("There are older ones: --before %lld\n", (long long) sp_answer_number(reply.json, "next"));
    }
    sp_columns_free(columns);
    sp_reply_clear(&reply);
    return status;
}

/* 'value' as JSON text, for the caller to free; "(none)" for NULL.  NULL: no memory. */
static char *
text_of(const struct sp_json *value)
{
    struct sp_json_write *out = sp_json_write_new(false);
    const char *text;
    size_t size;
    char *copy = NULL;
    if (!value) {
        copy = strdup("(none)");
    } else if (value->type == SP_JSON_STRING) {
        copy = strdup(value->string);
    } else {
        sp_json_value(out, value);
        copy = sp_json_write_done(out, &text, &size) ? NULL : strdup(text);
    }
    sp_json_write_free(out);
    return copy;
}

/* A field that differs: what it was and what it is. */
static int
print_field(const char *key, const struct sp_json *before, const struct sp_json *after)
{
    char *was = text_of(before), *is = text_of(after);
    int status = was && is ? SP_EXIT_DONE : sp_call_no_memory();
    if (status == SP_EXIT_DONE) {
        printf("    ");
        sp_text_print(stdout, key);
        printf(": ");
        sp_text_print(stdout, was);
        printf(" -> ");
        sp_text_print(stdout, is);
        putchar('\n');
    }
    free(was);
    free(is);
    return status;
}

/* The rules that differ, as a group's. */
static int
print_rules(struct sp_cli *cli, const struct sp_json *object)
{
    int status = SP_EXIT_DONE;
    for (int side = 0; side < 2 && status == SP_EXIT_DONE; side++) {
        const char *key = side ? "after" : "before";
        struct sp_json rules = {.type = SP_JSON_ARRAY};
        size_t n = sp_answer_count(object, "rules");
        rules.items = calloc(n ? n : 1, sizeof *rules.items);
        if (!rules.items) {
            return sp_call_no_memory();
        }
        for (size_t i = 0; i < n; i++) {
            const struct sp_json *rule = sp_answer_object(sp_answer_item(object, "rules", i), key);
            if (rule) {
                rules.items[rules.n++] = *rule;
            }
        }
        if (rules.n) {
            char *keys[] = {(char *) "region", (char *) "rules"};
            struct sp_json region = {.type = SP_JSON_STRING, .string = (char *) sp_answer_text(object, "region")};
            struct sp_json items[] = {region, rules};
            const struct sp_json group = {.type = SP_JSON_OBJECT, .items = items, .keys = keys, .n = 2};
            printf("    rules as they %s:\n", side ? "are" : "were");
            status = sp_show_rules(cli, &group, 6);
        }
        free(rules.items);
    }
    return status;
}

static int
print_object(struct sp_cli *cli, const struct sp_json *object)
{
    const struct sp_json *before = sp_answer_object(object, "before"), *after = sp_answer_object(object, "after");
    printf("  %s ", sp_answer_text(object, "kind"));
    sp_text_print(stdout, sp_answer_text(object, "name"));
    printf(" (");
    sp_text_print(stdout, sp_answer_text(object, "id"));
    printf(")%s\n", before && !after ? ": deleted" : after && !before ? ": created" : "");
    int status = SP_EXIT_DONE;
    const struct sp_json *all = after ? after : before;
    for (size_t i = 0; all && i < all->n && status == SP_EXIT_DONE; i++) {
        const char *key = all->keys[i];
        if (before && after) {
            status = print_field(key, sp_json_get(before, key), &all->items[i]);
        }
    }
    return status == SP_EXIT_DONE ? print_rules(cli, object) : status;
}

int
sp_show_objects(struct sp_cli *cli, const struct sp_json *change)
{
    int status = SP_EXIT_DONE;
    for (size_t i = 0; i < sp_answer_count(change, "objects") && status == SP_EXIT_DONE; i++) {
        status = print_object(cli, sp_answer_item(change, "objects", i));
    }
    return status;
}

/* The list 'key' of strings, one a line. */
static void
print_list(const struct sp_json *effect, const char *key)
{
    for (size_t i = 0; i < sp_answer_count(effect, key); i++) {
        const struct sp_json *item = sp_answer_item(effect, key, i);
        printf("  ");
        sp_text_print(stdout, item->type == SP_JSON_STRING ? item->string : "");
        putchar('\n');
    }
}

int
sp_show_effect(struct sp_cli *cli, const struct sp_json *answer)
{
    const struct sp_json *effect = sp_answer_object(answer, "effect");
    const char *what = sp_answer_text(answer, "what");
    printf("Nothing is changed.  It would be: ");
    sp_text_print(stdout, *what ? what : "no change");
    putchar('\n');
    int status = sp_show_objects(cli, effect);
    return status == SP_EXIT_DONE ? sp_show_concerned(effect) : status;
}

/* What is not known, and how many would be cut at least. */
static void
print_numbers(const struct sp_json *effect)
{
    const struct sp_json *number = sp_json_get(effect, "n_connections_cut");
    bool is_known = number && number->type == SP_JSON_INTEGER;
    size_t n_unknown = sp_answer_count(effect, "connections_unknown");
    if (is_known) {
        printf("Live connections that would be cut: %s%lld\n", n_unknown ? "at least " : "", (long long) number->integer);
    } else {
        printf("Live connections that would be cut: not known\n");
    }
    for (size_t i = 0; i < n_unknown; i++) {
        const struct sp_json *unknown = sp_answer_item(effect, "connections_unknown", i);
        long long n = (long long) sp_answer_number(unknown, "n_servers");
        printf("  not known");
        if (n) {
            printf(" of %lld server%s", n, n == 1 ? "" : "s");
        }
        printf(": ");
        sp_text_print(stdout, sp_answer_text(unknown, "reason"));
        putchar('\n');
    }
}

static int
print_cut(const struct sp_json *effect)
{
    static const char *const titles[] = {"DIRECTION", "PROTOCOL", "REMOTE", "LOCAL", "STATE", "RULE", "SERVER"};
    size_t n = sp_answer_count(effect, "connections_cut");
    print_numbers(effect);
    if (!n) {
        return SP_EXIT_DONE;
    }
    struct sp_columns *columns = sp_columns_new(titles, sizeof titles / sizeof titles[0]);
    for (size_t i = 0; i < n; i++) {
        const struct sp_json *connection = sp_answer_item(effect, "connections_cut", i);
        const char *rule = sp_answer_text(connection, "rule");
        sp_show_add_connection(columns, connection);
        sp_columns_add(columns, "%s", *rule ? rule : "-");
        sp_columns_add(columns, "%s", sp_answer_text(connection, "server"));
    }
    int status = sp_columns_print(columns, 2, stdout) ? sp_call_no_memory() : SP_EXIT_DONE;
    sp_columns_free(columns);
    long long more = (long long) sp_answer_number(effect, "n_connections_cut") - (long long) n;
    if (status == SP_EXIT_DONE && more > 0) {
        printf("  and %lld more\n", more);
    }
    return status;
}

int
sp_show_concerned(const struct sp_json *effect)
{
    static const char *const titles[] = {"BRIDGE", "FLOWS ADDED", "FLOWS REMOVED"};
    int status = SP_EXIT_DONE;
    printf("Servers concerned: %lld\n", (long long) sp_answer_number(effect, "n_servers"));
    print_list(effect, "servers");
    printf("Rules whose connections are looked at again: %lld\n",
           (long long) sp_answer_number(effect, "n_connections_judged_again"));
    print_list(effect, "connections_judged_again");
    size_t n = sp_answer_count(effect, "bridges");
    struct sp_columns *columns = sp_columns_new(titles, 3);
    for (size_t i = 0; i < n; i++) {
        const struct sp_json *bridge = sp_answer_item(effect, "bridges", i);
        sp_columns_add(columns, "%s", sp_answer_text(bridge, "dpid"));
        sp_columns_add(columns, "%lld", (long long) sp_answer_number(bridge, "flows_added"));
        sp_columns_add(columns, "%lld", (long long) sp_answer_number(bridge, "flows_removed"));
    }
    if (n && sp_columns_print(columns, 0, stdout)) {
        status = sp_call_no_memory();
    } else if (!n) {
        printf("No connected bridge is concerned.\n");
    }
    if (sp_answer_number(effect, "bridges_left_out")) {
        printf("Bridges that were not looked at: %lld\n", (long long) sp_answer_number(effect, "bridges_left_out"));
    }
    sp_columns_free(columns);
    return status == SP_EXIT_DONE ? print_cut(effect) : status;
}

int
sp_cli_change_show(struct sp_cli *cli)
{
    struct sp_reply reply = {0};
    int status = sp_call_get(cli, sp_path_format("/v1/changes/%s", sp_cli_arg(cli, 0)), &reply);
    if (status != SP_EXIT_DONE) {
        return status;
    }
    if (cli->json) {
        status = sp_call_print(&reply);
        sp_reply_clear(&reply);
        return status;
    }
    const char *who = sp_answer_text(reply.json, "who");
    long long undoes = sp_answer_number(reply.json, "undoes"), undone_by = sp_answer_number(reply.json, "undone_by");
    printf("Change %lld: ", (long long) sp_answer_number(reply.json, "id"));
    sp_text_print(stdout, sp_answer_text(reply.json, "what"));
    putchar('\n');
    sp_show_line("time:", "%s", sp_answer_text(reply.json, "at"));
    sp_show_line("who:", "%s", *who ? who : "-");
    sp_show_line("request:", "%s %s", sp_answer_text(reply.json, "method"), sp_answer_text(reply.json, "path"));
    if (undoes) {
        sp_show_line("undoes:", "%lld", undoes);
    }
    if (undone_by) {
        sp_show_line("undone by:", "%lld", undone_by);
    }
    const struct sp_json *trial = sp_answer_object(reply.json, "confirmation");
    if (trial) {
        sp_show_line("confirmation:", "%s, by %s", sp_answer_text(trial, "state"), sp_answer_text(trial, "confirm_by"));
    }
    if (trial && *sp_answer_text(trial, "reason")) {
        sp_show_line("", "%s", sp_answer_text(trial, "reason"));
    }
    if (!sp_answer_bool(reply.json, "whole")) {
        printf("What differs is too much to be kept; it changed at least:\n");
    }
    status = sp_show_objects(cli, reply.json);
    sp_reply_clear(&reply);
    return status;
}

int
sp_cli_change_undo(struct sp_cli *cli)
{
    const char *change = sp_cli_arg(cli, 0);
    struct sp_reply reply = {0};
    int status = sp_call(cli, "POST", sp_path_format("/v1/changes/%s/undo", change), NULL, &reply);
    if (status == SP_EXIT_DONE) {
        status = sp_call_report(cli, &reply, "Undid change %s", change);
        sp_reply_clear(&reply);
    }
    return status;
}

int
sp_cli_change_confirm(struct sp_cli *cli)
{
    const char *change = sp_cli_arg(cli, 0);
    struct sp_reply reply = {0};
    int status = sp_call(cli, "POST", sp_path_format("/v1/changes/%s/confirm", change), NULL, &reply);
    if (status == SP_EXIT_DONE) {
        if (cli->json) {
            sp_call_print(&reply);
        } else {
            printf("Change %s stays.\n", change);
        }
        sp_reply_clear(&reply);
    }
    return status;
}
