#include "controller/ovsdb/follow.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/json/json.h"

#define MONITOR "sallyport" /* Our name for the monitor, and the id of the request. */

/* Db_version is there because a table without a column cannot be watched; only its row's id is wanted. */
static const char request[] =
    "{\"id\":\"" MONITOR "\",\"method\":\"monitor_cond\",\"params\":[\"Open_vSwitch\",\"" MONITOR "\",{"
    "\"Open_vSwitch\":[{\"columns\":[\"db_version\"]}],"
    "\"Bridge\":[{\"columns\":[\"datapath_id\",\"ports\",\"fail_mode\",\"other_config\",\"controller\"]}],"
    "\"Controller\":[{\"columns\":[\"target\",\"connection_mode\"]}],"
    "\"Manager\":[{\"columns\":[\"target\",\"connection_mode\"]}],"
    "\"Port\":[{\"columns\":[\"interfaces\"]}],"
    "\"Interface\":[{\"columns\":[\"name\",\"external_ids\"]}]}]}";

static int send(struct sp_follow *follow, const char *text, size_t size)
{
    size_t capacity = follow->out_capacity ? follow->out_capacity : 1024;
    char *out;

    if (follow->out_size + size > SP_FOLLOW_OUTPUT_MAX) {
        return SP_E_FULL;
    }
    while (capacity < follow->out_size + size) {
        capacity *= 2;
    }
    if (capacity != follow->out_capacity) {
        out = realloc(follow->out, capacity);
        if (!out) {
            return -ENOMEM;
        }
        follow->out = out;
        follow->out_capacity = capacity;
    }
    memcpy(follow->out + follow->out_size, text, size);
    follow->out_size += size;
    return 0;
}

int sp_follow_init(struct sp_follow *follow)
{
    *follow = (struct sp_follow){.following = false};
    sp_scan_init(&follow->scan);
    sp_replica_init(&follow->replica);
    return send(follow, request, sizeof request - 1);
}

void sp_follow_clear(struct sp_follow *follow)
{
    sp_scan_clear(&follow->scan);
    sp_replica_clear(&follow->replica);
    free(follow->out);
    follow->out = NULL;
}

int sp_follow_echo(struct sp_follow *follow)
{
    static const char echo[] = "{\"id\":\"echo\",\"method\":\"echo\",\"params\":[]}";

    return send(follow, echo, sizeof echo - 1);
}

size_t sp_follow_output(struct sp_follow *follow, void *out, size_t size)
{
    size = size < follow->out_size ? size : follow->out_size;
    if (size) {
        memcpy(out, follow->out, size);
        follow->out_size -= size;
        memmove(follow->out, follow->out + size, follow->out_size);
    }
    return size;
}

bool sp_follow_take_change(struct sp_follow *follow)
{
    bool changed = follow->following && follow->changed;

    follow->changed = follow->changed && !changed;
    return changed;
}

static bool is_text(const struct sp_json *value, const char *text)
{
    return value && value->type == SP_JSON_STRING && !strcmp(value->string, text);
}

static bool is_null(const struct sp_json *value)
{
    return !value || value->type == SP_JSON_NULL;
}

static int update(struct sp_follow *follow, const struct sp_json *updates)
{
    int r = sp_replica_update(&follow->replica, updates);

    if (r == SP_E_FULL) {
        snprintf(follow->why, sizeof follow->why, "more than %u rows", SP_REPLICA_ROWS_MAX);
    } else if (r == SP_E_DAMAGED) {
        snprintf(follow->why, sizeof follow->why, "a change of a row that is not there");
    } else if (r > 0) {
        snprintf(follow->why, sizeof follow->why, "a malformed update");
    }
    follow->changed = true;
    return r;
}

/* Answers a request: echo with its own parameters, anything else with an error.  Source: RFC 7047 sections 4 and 4.1.11. */
static int answer(struct sp_follow *follow, const struct sp_json *message, const struct sp_json *id)
{
    const struct sp_json *params = sp_json_get(message, "params");
    bool echo = is_text(sp_json_get(message, "method"), "echo") && params;
    struct sp_json_write *json = sp_json_write_new(false);
    const char *text;
    size_t size;
    int r;

    sp_json_object_open(json);
    sp_json_key(json, "id");
    sp_json_value(json, id);
    sp_json_key(json, "result");
    if (echo) {
        sp_json_value(json, params);
    } else {
        sp_json_null(json);
    }
    sp_json_text(json, "error", echo ? NULL : "unknown method");
    sp_json_object_close(json);
    r = json ? sp_json_write_done(json, &text, &size) : -ENOMEM;
    if (!r) {
        r = send(follow, text, size);
    }
    if (r == SP_E_FULL) {
        snprintf(follow->why, sizeof follow->why, "it asks but does not read the answers");
    }
    sp_json_write_free(json);
    return r;
}

static int handle_reply(struct sp_follow *follow, const struct sp_json *message)
{
    const struct sp_json *error = sp_json_get(message, "error"), *result = sp_json_get(message, "result");

    if (!is_text(sp_json_get(message, "id"), MONITOR)) {
        return 0; /* An echo's. */
    }
    if (!is_null(error) || is_null(result) || follow->following) {
        const struct sp_json *word = error && error->type == SP_JSON_OBJECT ? sp_json_get(error, "error") : error;

        snprintf(follow->why, sizeof follow->why, "monitor_cond was refused: %.80s",
                 word && word->type == SP_JSON_STRING ? word->string : "no reason given");
        return SP_E_INVALID;
    }
    follow->following = true;
    return update(follow, result);
}

static int handle_message(struct sp_follow *follow, const struct sp_json *message)
{
    const struct sp_json *method = sp_json_get(message, "method"), *id = sp_json_get(message, "id");
    const struct sp_json *params = sp_json_get(message, "params");

    if (is_null(method)) {
        return handle_reply(follow, message);
    }
    if (!is_null(id)) {
        return answer(follow, message, id);
    }
    if (is_text(method, "update2") && params && params->type == SP_JSON_ARRAY && params->n == 2 &&
        is_text(&params->items[0], MONITOR) && follow->following) {
        return update(follow, &params->items[1]);
    }
    if (is_text(method, "monitor_canceled")) {
        snprintf(follow->why, sizeof follow->why, "the server ended the monitor");
        return SP_E_CLOSED;
    }
    return 0; /* A notification that nobody asked for. */
}

int sp_follow_receive(struct sp_follow *follow, const void *data, size_t size)
{
    const char *bytes = data;
    struct sp_json *message;
    int r = 0;

    follow->why[0] = '\0';
    while (!r) {
        r = sp_scan_feed(&follow->scan, &bytes, &size);
        if (r == -EAGAIN) {
            return 0;
        }
        if (r) {
            snprintf(follow->why, sizeof follow->why, "%s", r == SP_E_RANGE ? "a message that is too long" : "not JSON");
            break;
        }
        r = sp_json_parse(follow->scan.text, follow->scan.size, &message, follow->why, sizeof follow->why);
        if (r) {
            break;
        }
        if (message->type != SP_JSON_OBJECT) {
            snprintf(follow->why, sizeof follow->why, "a message that is no object");
            r = SP_E_SYNTAX;
        } else {
            r = handle_message(follow, message);
        }
        sp_json_free(message);
    }
    if (r == -ENOMEM) {
        snprintf(follow->why, sizeof follow->why, "no memory");
    }
    return r;
}
