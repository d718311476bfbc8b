#include "controller/cli/syntax.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/cli/call.h"

#define RULES_FILE_MAX (1u << 20) /* As large as a request may be. */

static bool is_digits(const char *text, size_t len);
static int not_a_number(const struct sp_cli *, const char *key, const char *text);
static int write_pair(const struct sp_cli *, struct sp_json_write *, const char *text, char separator,
                      const char *const keys[2], bool both, const char *form);
static int read_file(const char *name, size_t size_max, char **ret_text, size_t *ret_size);

int
sp_syntax_integer(const struct sp_cli *cli, struct sp_json_write *json, const char *key, const char *text)
{
    const char *digits = *text == '-' ? text + 1 : text;
    if (!is_digits(digits, strlen(digits))) {
        return not_a_number(cli, key, text);
    }
    errno = 0;
    int64_t value = strtoll(text, NULL, 10);
    if (errno) {
        return not_a_number(cli, key, text);
    }
    sp_json_key(json, key);
    sp_json_integer(json, value);
    return SP_EXIT_DONE;
}

int
sp_syntax_what(const struct sp_cli *cli, struct sp_json_write *json, const char *protocol, const char *text)
{
    return sp_syntax_is_icmp(protocol) ? sp_syntax_icmp(cli, json, text) : sp_syntax_ports(cli, json, text);
}

int
sp_syntax_ports(const struct sp_cli *cli, struct sp_json_write *json, const char *text)
{
    static const char *const keys[] = {"port_min", "port_max"};
    return write_pair(cli, json, text, '-', keys, true, "22, 80-8080 or all");
}

int
sp_syntax_icmp(const struct sp_cli *cli, struct sp_json_write *json, const char *text)
{
    static const char *const keys[] = {"icmp_type", "icmp_code"};
    return write_pair(cli, json, text, '/', keys, false, "TYPE, TYPE/CODE or all");
}

bool
sp_syntax_is_icmp(const char *protocol)
{
    static const char *const names[] = {"icmp", "icmpv6", "ipv6-icmp", "1", "58"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!strcasecmp(protocol, names[i])) {
            return true;
        }
    }
    return false;
}

int
sp_syntax_protocol(const struct sp_cli *cli, struct sp_json_write *json, const char *text)
{
    if (is_digits(text, strlen(text))) {
        return sp_syntax_integer(cli, json, "protocol", text);
    }
    sp_json_text(json, "protocol", text);
    return SP_EXIT_DONE;
}

int
sp_syntax_json_file(const struct sp_cli *cli, const char *name, size_t size_max, struct sp_json **ret)
{
    char *text = NULL;
    size_t size = 0;
    int error = read_file(name, size_max, &text, &size);
    if (error) {
        return sp_cli_usage(cli->command, "%s: %s", name, strerror(-error));
    }
    char why[256];
    error = sp_json_parse(text, size, ret, why, sizeof why);
    free(text);
    if (error < 0) {
        return sp_call_no_memory();
    }
    return error ? sp_cli_usage(cli->command, "%s: %s", name, why) : SP_EXIT_DONE;
}

int
sp_syntax_rules_file(const struct sp_cli *cli, struct sp_json_write *json, const char *key, const char *name)
{
    struct sp_json *file = NULL;
    int status = sp_syntax_json_file(cli, name, RULES_FILE_MAX, &file);
    if (status != SP_EXIT_DONE) {
        return status;
    }
    assert(file);
    const struct sp_json *rules = file->type == SP_JSON_OBJECT ? sp_json_get(file, "rules") : file;
    if (!rules || rules->type != SP_JSON_ARRAY) {
        status = sp_cli_usage(cli->command, "%s: it holds neither an array nor an object with the array \"rules\"", name);
    } else {
        sp_json_key(json, key);
        sp_json_value(json, rules);
    }
    sp_json_free(file);
    return status;
}

static bool
is_digits(const char *text, size_t len)
{
    return len && strspn(text, "0123456789") >= len;
}

static int
not_a_number(const struct sp_cli *cli, const char *key, const char *text)
{
    return sp_cli_usage(cli->command, "%s: '%s' is not a number", key, text);
}

/* "A", "A<separator>B" or "all" as the two members 'keys'; 'both': A alone stands for both. */
static int
write_pair(const struct sp_cli *cli, struct sp_json_write *json, const char *text, char separator,
           const char *const keys[2], bool both, const char *form)
{
    char first[24], second[24];
    if (!strcmp(text, "all")) {
        strcpy(first, "-1");
        strcpy(second, "-1");
    } else {
        const char *middle = strchr(text, separator);
        size_t len = middle ? (size_t) (middle - text) : strlen(text);
        const char *rest = middle ? middle + 1 : both ? text : NULL;
        if (!is_digits(text, len) || len >= sizeof first ||
            (rest && (!is_digits(rest, strlen(rest)) || strlen(rest) >= sizeof second))) {
            return sp_cli_usage(cli->command, "'%s' is not of the form %s", text, form);
        }
        snprintf(first, sizeof first, "%.*s", (int) len, text);
        snprintf(second, sizeof second, "%s", rest ? rest : "-1");
    }
    int status = sp_syntax_integer(cli, json, keys[0], first);
    return status != SP_EXIT_DONE ? status : sp_syntax_integer(cli, json, keys[1], second);
}

/* Returns 0 or a negative errno; -EFBIG: more than 'size_max'. */
static int
read_file(const char *name, size_t size_max, char **ret_text, size_t *ret_size)
{
    FILE *stream = strcmp(name, "-") ? fopen(name, "re") : stdin;
    if (!stream) {
        return -errno;
    }
    char *text = NULL;
    size_t size = 0, allocated = 0;
    int error = 0;
    errno = 0;
    while (!error && !feof(stream)) {
        if (size == allocated) {
            allocated = allocated ? 2 * allocated : 1u << 16;
            char *grown = realloc(text, allocated);
            if (!grown) {
                error = -ENOMEM;
                break;
            }
            text = grown;
        }
        size += fread(text + size, 1, allocated - size, stream);
        error = ferror(stream) ? -(errno ? errno : EIO) : size > size_max ? -EFBIG : 0;
    }
    if (stream != stdin) {
        fclose(stream);
    }
    if (error) {
        free(text);
        return error;
    }
    *ret_text = text;
    *ret_size = size;
    return 0;
}
