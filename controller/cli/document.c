#include "controller/cli/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controller/cli/columns.h"
#include "controller/cli/path.h"
#include "controller/cli/show.h"
#include "controller/cli/syntax.h"

#define FILE_MAX (256u << 20)
#define PART_MAX (1u << 20) /* What a request may have. */
#define FRAME_MAX 64        /* What stands around a list of the document in a request. */

/* A document on its way to the region. */
struct apply {
    struct sp_cli *cli;
    const char *region;
    const struct sp_json *document;
    bool prunes;
    struct sp_reply last; /* The answer to the last part, ... */
    bool is_applied;      /* ... and whether all of them are in force. */
    size_t n_changes;
    size_t n_parts;
    size_t n_done;        /* Of the objects, each counted as often as it is sent. */
    size_t n_in_all;
};

static const char *const lists[] = {"security_groups", "servers"};

int
sp_cli_export(struct sp_cli *cli)
{
    struct sp_reply reply = {0};
    int status = sp_call_get(cli, sp_path_format("/v1/regions/%s/document", sp_cli_arg(cli, 0)), &reply);
    if (status != SP_EXIT_DONE) {
        return status;
    }
    const char *text;
    size_t size;
    struct sp_json_write *json = sp_json_write_new(true);
    sp_json_value(json, reply.json);
    if (cli->json) {
        status = sp_call_print(&reply);
    } else if (sp_json_write_done(json, &text, &size)) {
        status = sp_call_no_memory();
    } else {
        fwrite(text, 1, size, stdout);
    }
    sp_json_write_free(json);
    sp_reply_clear(&reply);
    return status;
}

static void
print_rules(const struct sp_json *rules, const char *key, char sign)
{
    for (size_t i = 0; i < sp_answer_count(rules, key); i++) {
        const struct sp_json *rule = sp_answer_item(rules, key, i);
        const char *ip = sp_answer_text(rule, "remote_ip"), *group = sp_answer_text(rule, "remote_group");
        char what[SP_SHOW_SIZE], protocol[SP_SHOW_SIZE];
        printf("    %c %s %s %s %s, ", sign, sp_answer_text(rule, "direction"), sp_answer_text(rule, "action"),
               sp_show_protocol(rule, protocol), sp_show_what(rule, what));
        sp_text_print(stdout, *group ? "group " : "");
        sp_text_print(stdout, *group ? group : *ip ? ip : "any");
        printf(", priority %lld%s", (long long) sp_answer_number(rule, "priority"),
               *sp_answer_text(rule, "description") ? ": " : "");
        sp_text_print(stdout, sp_answer_text(rule, "description"));
        putchar('\n');
    }
}

/* One line for each object that changes, and one for each of its rules. */
static int
print_changes(const struct sp_json *answer)
{
    for (size_t i = 0; i < sp_answer_count(answer, "changes"); i++) {
        const struct sp_json *change = sp_answer_item(answer, "changes", i);
        const char *action = sp_answer_text(change, "action"), *kind = sp_answer_text(change, "kind");
        char sign = (char) (!strcmp(action, "create") ? '+' : !strcmp(action, "delete") ? '-' : '~');
        char *fields = sp_answer_join(change, "fields");
        if (!fields) {
            return sp_call_no_memory();
        }
        printf("  %c %s ", sign, !strcmp(kind, "security_group") ? "security group" : kind);
        sp_text_print(stdout, sp_answer_text(change, "name"));
        printf("%s%s\n", *fields ? ": " : "", fields);
        free(fields);
        const struct sp_json *rules = sp_answer_object(change, "rules");
        if (rules && sign != '-') {
            print_rules(rules, "added", '+');
            print_rules(rules, "changed", '~');
            print_rules(rules, "deleted", '-');
        }
    }
    return SP_EXIT_DONE;
}

/* What the last answer says of changes, those that would be made included. */
static const struct sp_json *
changes_of(const struct apply *apply)
{
    bool is_dry_run = sp_cli_has(apply->cli, SP_OPTION_DRY_RUN);
    return is_dry_run ? sp_answer_object(apply->last.json, "result") : apply->last.json;
}

/* Sends 'body', which is taken over. */
static int
send_part(struct apply *apply, struct sp_json_write *body, bool prunes)
{
    char *path = sp_path_format("/v1/regions/%s/document", apply->region);
    sp_path_query(&path, "prune", prunes ? "true" : NULL);
    sp_reply_clear(&apply->last);
    int status = sp_call(apply->cli, "PUT", path, body, &apply->last);
    sp_json_write_free(body);
    if (status == SP_EXIT_DONE) {
        apply->n_parts++;
        apply->n_changes += sp_answer_count(changes_of(apply), "changes");
        apply->is_applied = apply->is_applied && apply->last.applied;
    }
    return status;
}

static void
write_item(struct sp_json_write *json, const struct sp_json *item, bool is_bare)
{
    const struct sp_json *id = sp_json_get(item, "id"), *name = sp_json_get(item, "name");
    if (!is_bare || item->type != SP_JSON_OBJECT) {
        sp_json_value(json, item);
        return;
    }
    sp_json_object_open(json);
    if (id) {
        sp_json_key(json, "id");
        sp_json_value(json, id);
    }
    if (name) {
        sp_json_key(json, "name");
        sp_json_value(json, name);
    }
    sp_json_object_close(json);
}

/* The number of items of 'list' from 'first' on that fit in a part, with their text in '*ret', whose steps may have failed. */
static size_t
fill_part(const char *key, const struct sp_json *list, size_t first, bool is_bare, struct sp_json_write **ret)
{
    size_t n = 0, size = FRAME_MAX;
    struct sp_json_write *part = sp_json_write_new(false);
    sp_json_object_open(part);
    sp_json_key(part, key);
    sp_json_array_open(part);
    while (first + n < list->n) {
        const char *text;
        size_t item_size;
        struct sp_json_write *item = sp_json_write_new(false);
        write_item(item, &list->items[first + n], is_bare);
        bool fits = !sp_json_write_done(item, &text, &item_size) && size + item_size + 1 <= PART_MAX;
        sp_json_write_free(item);
        if (!fits) {
            break;
        }
        write_item(part, &list->items[first + n++], is_bare);
        size += item_size + 1;
    }
    sp_json_array_close(part);
    sp_json_object_close(part);
    *ret = part;
    return n;
}

static void
show_progress(struct apply *apply, size_t n)
{
    apply->n_done += n;
    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r%zu of %zu objects, %zu parts%s", apply->n_done, apply->n_in_all, apply->n_parts,
                apply->n_done == apply->n_in_all ? "\n" : "");
    }
}

/* Sends a list in parts.  'is_bare': only what its objects are called. */
static int
send_list(struct apply *apply, const char *key, bool is_bare, bool prunes)
{
    const struct sp_json *list = sp_json_get(apply->document, key);
    size_t n;
    for (size_t i = 0; list && i < list->n; i += n) {
        struct sp_json_write *part;
        n = fill_part(key, list, i, is_bare, &part);
        if (!n || (prunes && n < list->n)) {
            sp_json_write_free(part);
            return n ? sp_cli_fail("the names in %s alone are over 1 MiB: --prune needs all of them at once", key)
                     : sp_cli_fail("%s[%zu] alone is over 1 MiB", key, i);
        }
        int status = send_part(apply, part, prunes);
        if (status != SP_EXIT_DONE) {
            fprintf(stderr, "sallyport: so the part from %s[%zu] on, which is its number 0; %zu parts are applied\n", key, i,
                    apply->n_parts);
            return status;
        }
        show_progress(apply, n);
    }
    return SP_EXIT_DONE;
}

/* The document without its region, which may be another one, and 'with_lists' or without them. */
static struct sp_json_write *
write_members(const struct apply *apply, bool with_lists)
{
    struct sp_json_write *json = sp_json_write_new(false);
    sp_json_object_open(json);
    for (size_t i = 0; i < apply->document->n; i++) {
        const char *key = apply->document->keys[i];
        bool is_list = !strcmp(key, lists[0]) || !strcmp(key, lists[1]);
        if (strcmp(key, "region") && (with_lists || !is_list)) {
            sp_json_key(json, key);
            sp_json_value(json, &apply->document->items[i]);
        }
    }
    sp_json_object_close(json);
    return json;
}

/* In an order in which every part is right by itself: all groups are there before a rule or a server names them, and servers
 * that go have gone before others get their ports. */
static int
send_parts(struct apply *apply)
{
    if (sp_cli_has_any(apply->cli, SP_OPTION_BIT(SP_OPTION_DRY_RUN) | SP_OPTION_BIT(SP_OPTION_CONFIRM_WITHIN))) {
        return sp_cli_fail("the document is over 1 MiB: it is applied in parts, not to be looked at or taken back as a whole");
    }
    for (size_t i = 0; i < 2; i++) {
        const struct sp_json *list = sp_json_get(apply->document, lists[i]);
        if (list && list->type != SP_JSON_ARRAY) {
            return sp_cli_fail("%s: must be an array", lists[i]);
        }
        apply->n_in_all += (list ? list->n : 0) * (apply->prunes + (i ? 1 : 2));
    }
    int status = send_part(apply, write_members(apply, false), false);
    status = status == SP_EXIT_DONE ? send_list(apply, "security_groups", true, false) : status;
    status = status == SP_EXIT_DONE ? send_list(apply, "security_groups", false, false) : status;
    status = status == SP_EXIT_DONE && apply->prunes ? send_list(apply, "servers", true, true) : status;
    status = status == SP_EXIT_DONE ? send_list(apply, "servers", false, false) : status;
    return status == SP_EXIT_DONE && apply->prunes ? send_list(apply, "security_groups", true, true) : status;
}

/* Sends it as a whole if it is small enough. */
static int
send_document(struct apply *apply)
{
    const char *text;
    size_t size;
    struct sp_json_write *body = write_members(apply, true);
    if (sp_json_write_done(body, &text, &size)) {
        sp_json_write_free(body);
        return sp_call_no_memory();
    }
    if (size <= PART_MAX) {
        return send_part(apply, body, apply->prunes);
    }
    sp_json_write_free(body);
    return send_parts(apply);
}

static int
report(struct apply *apply)
{
    bool is_dry_run = sp_cli_has(apply->cli, SP_OPTION_DRY_RUN);
    if (apply->cli->json && is_dry_run) {
        return sp_call_print(&apply->last);
    }
    if (!apply->cli->json && !apply->n_changes) {
        printf("Region %s: nothing to do.\n", apply->region);
        return SP_EXIT_DONE;
    }
    int status = apply->n_parts == 1 && !apply->cli->json ? print_changes(changes_of(apply)) : SP_EXIT_DONE;
    if (status != SP_EXIT_DONE) {
        return status;
    }
    if (is_dry_run) {
        printf("Region %s: %zu changes to make; nothing is changed yet.\n", apply->region, apply->n_changes);
        return sp_show_concerned(sp_answer_object(apply->last.json, "effect"));
    }
    apply->last.applied = apply->is_applied;
    return sp_call_report(apply->cli, &apply->last, "Applied %zu changes to region %s", apply->n_changes, apply->region);
}

int
sp_cli_apply(struct sp_cli *cli)
{
    const char *file = sp_cli_arg(cli, 0);
    struct sp_json *document = NULL;
    int status = sp_syntax_json_file(cli, file, FILE_MAX, &document);
    if (status != SP_EXIT_DONE) {
        return status;
    }
    struct apply apply = {.cli = cli, .document = document, .prunes = sp_cli_has(cli, SP_OPTION_PRUNE), .is_applied = true};
    const char *region = sp_cli_value(cli, SP_OPTION_REGION, 0);
    apply.region = region ? region : sp_answer_text(document, "region");
    if (document->type != SP_JSON_OBJECT) {
        status = sp_cli_usage(cli->command, "%s: it is no document of a region", file);
    } else if (!*apply.region) {
        status = sp_cli_usage(cli->command, "%s: it names no region: give --region", file);
    } else {
        status = send_document(&apply);
    }
    status = status == SP_EXIT_DONE ? report(&apply) : status;
    sp_reply_clear(&apply.last);
    sp_json_free(document);
    return status;
}
