#include "controller/cli/show.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/cli/call.h"
#include "controller/cli/columns.h"
#include "controller/cli/path.h"

#define LABEL_COLUMNS 14

static bool names_groups(const struct sp_json *group);
static void add_remote(struct sp_columns *, const struct sp_json *rule, const struct sp_json *groups);
static void add_hits(struct sp_columns *, const struct sp_json *rule);

int
sp_show_rules(struct sp_cli *cli, const struct sp_json *group, unsigned indent)
{
    static const char *const titles[] = {"DIRECTION", "ACTION", "PRIORITY", "PROTOCOL", "PORTS",      "REMOTE",
                                         "HITS",      "LAST HIT", "ORIGIN", "ID",       "DESCRIPTION"};
    struct sp_reply groups = {0};
    if (names_groups(group)) {
        char *path = sp_path_format("/v1/security-groups");
        sp_path_query(&path, "region", sp_answer_text(group, "region"));
        int status = sp_call_get(cli, path, &groups);
        if (status != SP_EXIT_DONE) {
            return status;
        }
    }
    struct sp_columns *columns = sp_columns_new(titles, sizeof titles / sizeof titles[0]);
    for (size_t i = 0; i < sp_answer_count(group, "rules"); i++) {
        const struct sp_json *rule = sp_answer_item(group, "rules", i);
        char protocol[SP_SHOW_SIZE], what[SP_SHOW_SIZE];
        sp_columns_add(columns, "%s", sp_answer_text(rule, "direction"));
        sp_columns_add(columns, "%s", sp_answer_text(rule, "action"));
        sp_columns_add(columns, "%lld", (long long) sp_answer_number(rule, "priority"));
        sp_columns_add(columns, "%s", sp_show_protocol(rule, protocol));
        sp_columns_add(columns, "%s", sp_show_what(rule, what));
        add_remote(columns, rule, groups.json);
        add_hits(columns, rule);
        sp_columns_add(columns, "%s", sp_answer_text(rule, "origin"));
        sp_columns_add(columns, "%s", sp_answer_text(rule, "id"));
        sp_columns_add(columns, "%s", sp_answer_text(rule, "description"));
    }
    int status = sp_columns_print(columns, indent, stdout) ? sp_call_no_memory() : SP_EXIT_DONE;
    sp_columns_free(columns);
    sp_reply_clear(&groups);
    return status;
}

const char *
sp_show_what(const struct sp_json *rule, char out[SP_SHOW_SIZE])
{
    const char *protocol = sp_answer_text(rule, "protocol");
    bool is_icmp = !strcmp(protocol, "icmp") || !strcmp(protocol, "icmpv6");
    long long first = sp_answer_number(rule, is_icmp ? "icmp_type" : "port_min");
    long long second = sp_answer_number(rule, is_icmp ? "icmp_code" : "port_max");
    if (first < 0) {
        snprintf(out, SP_SHOW_SIZE, "all");
    } else if (is_icmp ? second < 0 : first == second) {
        snprintf(out, SP_SHOW_SIZE, "%lld", first);
    } else {
        snprintf(out, SP_SHOW_SIZE, "%lld%c%lld", first, is_icmp ? '/' : '-', second);
    }
    return out;
}

const char *
sp_show_protocol(const struct sp_json *rule, char out[SP_SHOW_SIZE])
{
    const struct sp_json *protocol = sp_json_get(rule, "protocol");
    if (protocol && protocol->type == SP_JSON_INTEGER) {
        snprintf(out, SP_SHOW_SIZE, "%lld", (long long) protocol->integer);
        return out;
    }
    return sp_answer_text(rule, "protocol");
}

void
sp_show_line(const char *label, const char *format, ...)
{
    char *text;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    if (len >= 0) {
        printf("  %-*s  ", LABEL_COLUMNS, label);
        sp_text_print(stdout, text);
        putchar('\n');
        free(text);
    }
}

void
sp_write_text(struct sp_json_write *json, const char *key, const char *text)
{
    if (text) {
        sp_json_text(json, key, text);
    }
}

static bool
names_groups(const struct sp_json *group)
{
    for (size_t i = 0; i < sp_answer_count(group, "rules"); i++) {
        if (*sp_answer_text(sp_answer_item(group, "rules", i), "remote_group")) {
            return true;
        }
    }
    return false;
}

static void
add_remote(struct sp_columns *columns, const struct sp_json *rule, const struct sp_json *groups)
{
    const char *group = sp_answer_text(rule, "remote_group");
    const char *ip = sp_answer_text(rule, "remote_ip");
    if (*group) {
        sp_columns_add(columns, "group %s", sp_answer_name(groups, "security_groups", group));
    } else {
        sp_columns_add(columns, "%s", *ip ? ip : "any");
    }
}

/* The day and the minute, in UTC, are enough. */
static void
add_hits(struct sp_columns *columns, const struct sp_json *rule)
{
    const char *last = sp_answer_text(rule, "last_hit");
    sp_columns_add(columns, "%lld", (long long) sp_answer_number(rule, "hits"));
    if (strlen(last) > 16) {
        sp_columns_add(columns, "%.10s %.5s", last, last + 11);
    } else {
        sp_columns_add(columns, "never");
    }
}
