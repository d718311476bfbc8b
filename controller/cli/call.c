#include "controller/cli/call.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/cli/columns.h"
#include "controller/cli/path.h"
#include "controller/cli/show.h"

#define WAIT_DEFAULT_S 5
#define WAIT_MAX_S 60
#define ANSWER_S 30 /* How long the controller may take besides waiting for switches. */

static unsigned add_wait(struct sp_cli *, char **path);
static int judge(struct sp_cli *, const struct sp_reply *);
static void print_problem(const struct sp_reply *);
static void print_unconfirmed(struct sp_cli *, FILE *);

int
sp_call(struct sp_cli *cli, const char *method, char *path, struct sp_json_write *body, struct sp_reply *reply)
{
    const char *text = NULL;
    size_t size = 0;
    unsigned wait_s = 0;
    if (cli->command->options & SP_OPTION_BIT(SP_OPTION_WAIT) && strcmp(method, "GET")) {
        wait_s = add_wait(cli, &path);
        sp_path_query(&path, "dry_run", sp_cli_has(cli, SP_OPTION_DRY_RUN) ? "true" : NULL);
        sp_path_query(&path, "confirm_within", sp_cli_value(cli, SP_OPTION_CONFIRM_WITHIN, 0));
    }
    int error = body ? sp_json_write_done(body, &text, &size) : 0;
    if (!path || error) {
        free(path);
        return error > 0 ? sp_cli_usage(cli->command, "an argument is not UTF-8") : sp_call_no_memory();
    }
    char why[512];
    error = sp_client_call(cli->client, method, path, text, size, wait_s + ANSWER_S, reply, why, sizeof why);
    free(path);
    if (error < 0) {
        return sp_call_no_memory();
    }
    if (error) {
        sp_cli_fail("no connection to %s: %s", sp_client_url(cli->client), why);
        return SP_EXIT_UNREACHABLE;
    }
    int status = judge(cli, reply);
    if (status != SP_EXIT_DONE) {
        sp_reply_clear(reply);
    }
    return status;
}

int
sp_call_get(struct sp_cli *cli, char *path, struct sp_reply *reply)
{
    return sp_call(cli, "GET", path, NULL, reply);
}

int
sp_call_report(struct sp_cli *cli, const struct sp_reply *reply, const char *format, ...)
{
    FILE *stream = cli->json ? stderr : stdout;
    if (sp_cli_has(cli, SP_OPTION_DRY_RUN)) {
        return cli->json ? sp_call_print(reply) : sp_show_effect(cli, reply->json);
    }
    if (cli->json) {
        sp_call_print(reply);
    } else {
        char *text;
        va_list args;
        va_start(args, format);
        int len = vasprintf(&text, format, args);
        va_end(args);
        if (len < 0) {
            return sp_call_no_memory();
        }
        sp_text_print(stdout, text);
        printf(": ");
        free(text);
    }
    if (reply->status == 202 || (reply->has_revision && !reply->applied)) {
        fprintf(stream, "saved (revision %llu), not yet confirmed by", (unsigned long long) reply->revision);
        print_unconfirmed(cli, stream);
    } else if (!cli->json) {
        printf("in force on every connected bridge (revision %llu).\n", (unsigned long long) reply->revision);
    }
    const char *seconds = sp_cli_value(cli, SP_OPTION_CONFIRM_WITHIN, 0);
    if (seconds && reply->change) {
        fprintf(stream, "It is taken back in %s seconds unless: sallyport change confirm %llu\n", seconds,
                (unsigned long long) reply->change);
    }
    return SP_EXIT_DONE;
}

int
sp_call_print(const struct sp_reply *reply)
{
    if (reply->size) {
        fwrite(reply->body, 1, reply->size, stdout);
        if (reply->body[reply->size - 1] != '\n') {
            putchar('\n');
        }
    }
    return SP_EXIT_DONE;
}

int
sp_call_no_memory(void)
{
    return sp_cli_fail("%s", strerror(ENOMEM));
}

/* Asks the controller to wait as the user says, and returns for how many seconds it may. */
static unsigned
add_wait(struct sp_cli *cli, char **path)
{
    const char *wait = sp_cli_value(cli, SP_OPTION_WAIT, 0);
    sp_path_query(path, "wait", wait);
    unsigned long seconds = wait ? strtoul(wait, NULL, 10) : WAIT_DEFAULT_S;
    return seconds > WAIT_MAX_S ? WAIT_MAX_S : (unsigned) seconds;
}

/* Tells by the HTTP status whether the command may go on. */
static int
judge(struct sp_cli *cli, const struct sp_reply *reply)
{
    if (reply->status >= 200 && reply->status < 300) {
        if (reply->json || !reply->size) {
            return SP_EXIT_DONE;
        }
        return sp_cli_fail("%s does not speak as a Sallyport controller does", sp_client_url(cli->client));
    }
    if (!reply->json || reply->json->type != SP_JSON_OBJECT) {
        return sp_cli_fail("%s answers HTTP %u and does not say why", sp_client_url(cli->client), reply->status);
    }
    if (cli->json) {
        fprintf(stderr, "%s\n", reply->body);
    } else {
        print_problem(reply);
    }
    return SP_EXIT_REFUSED;
}

/* Source: RFC 9457. */
static void
print_problem(const struct sp_reply *reply)
{
    const char *title = sp_answer_text(reply->json, "title");
    const char *detail = sp_answer_text(reply->json, "detail");
    fprintf(stderr, "sallyport: ");
    if (*title) {
        sp_text_print(stderr, title);
    } else {
        fprintf(stderr, "HTTP %u", reply->status);
    }
    if (*detail) {
        fprintf(stderr, ": ");
        sp_text_print(stderr, detail);
    }
    putc('\n', stderr);
    if (reply->status == 401) {
        fprintf(stderr, "  give a file with your token: --token-file FILE or $SALLYPORT_TOKEN_FILE\n");
    }
    for (size_t i = 0; i < sp_answer_count(reply->json, "errors"); i++) {
        const struct sp_json *error = sp_answer_item(reply->json, "errors", i);
        const char *field = sp_answer_text(error, "field");
        fprintf(stderr, "  ");
        sp_text_print(stderr, field);
        fprintf(stderr, "%s", *field ? ": " : "");
        sp_text_print(stderr, sp_answer_text(error, "message"));
        putc('\n', stderr);
    }
    for (size_t i = 0; i < sp_answer_count(reply->json, "in_use_by"); i++) {
        const struct sp_json *holder = sp_answer_item(reply->json, "in_use_by", i);
        fprintf(stderr, "  in use by ");
        sp_text_print(stderr, sp_answer_text(holder, "type"));
        putc(' ', stderr);
        sp_text_print(stderr, sp_answer_text(holder, "name"));
        fprintf(stderr, " (");
        sp_text_print(stderr, sp_answer_text(holder, "id"));
        fprintf(stderr, ")\n");
    }
}

/* Names the bridges that are behind; without one (they have gone, or caught up by now) what is known. */
static void
print_unconfirmed(struct sp_cli *cli, FILE *stream)
{
    struct sp_reply reply = {0};
    char why[512];
    size_t n = 0;
    if (!sp_client_call(cli->client, "GET", "/v1/status", NULL, 0, ANSWER_S, &reply, why, sizeof why)) {
        for (size_t i = 0; i < sp_answer_count(reply.json, "pending"); i++) {
            const struct sp_json *dpid = sp_answer_item(reply.json, "pending", i);
            fprintf(stream, "%s ", n++ ? "," : ":");
            sp_text_print(stream, dpid->type == SP_JSON_STRING ? dpid->string : "");
        }
    }
    sp_reply_clear(&reply);
    fprintf(stream, "%s.\n", n ? "" : " every bridge");
}

static const struct sp_json *
member(const struct sp_json *object, const char *key, enum sp_json_type type)
{
    const struct sp_json *value = object && object->type == SP_JSON_OBJECT ? sp_json_get(object, key) : NULL;
    return value && value->type == type ? value : NULL;
}

const char *
sp_answer_text(const struct sp_json *object, const char *key)
{
    const struct sp_json *value = member(object, key, SP_JSON_STRING);
    return value ? value->string : "";
}

int64_t
sp_answer_number(const struct sp_json *object, const char *key)
{
    const struct sp_json *value = member(object, key, SP_JSON_INTEGER);
    return value ? value->integer : 0;
}

bool
sp_answer_bool(const struct sp_json *object, const char *key)
{
    const struct sp_json *value = member(object, key, SP_JSON_BOOL);
    return value && value->boolean;
}

const struct sp_json *
sp_answer_object(const struct sp_json *object, const char *key)
{
    return member(object, key, SP_JSON_OBJECT);
}

size_t
sp_answer_count(const struct sp_json *object, const char *key)
{
    const struct sp_json *value = member(object, key, SP_JSON_ARRAY);
    return value ? value->n : 0;
}

const struct sp_json *
sp_answer_item(const struct sp_json *object, const char *key, size_t index)
{
    const struct sp_json *value = member(object, key, SP_JSON_ARRAY);
    return value && index < value->n ? &value->items[index] : NULL;
}

const char *
sp_answer_name(const struct sp_json *answer, const char *key, const char *id)
{
    for (size_t i = 0; i < sp_answer_count(answer, key); i++) {
        const struct sp_json *item = sp_answer_item(answer, key, i);
        if (!strcmp(sp_answer_text(item, "id"), id)) {
            return sp_answer_text(item, "name");
        }
    }
    return id;
}

char *
sp_answer_join(const struct sp_json *object, const char *key)
{
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    if (!stream) {
        return NULL;
    }
    for (size_t i = 0; i < sp_answer_count(object, key); i++) {
        const struct sp_json *item = sp_answer_item(object, key, i);
        fprintf(stream, "%s%s", i ? ", " : "", item->type == SP_JSON_STRING ? item->string : "");
    }
    bool failed = ferror(stream);
    if (fclose(stream) || failed) {
        free(text);
        return NULL;
    }
    return text;
}
