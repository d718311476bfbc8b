#include "controller/api/reader.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool
is_among(const char *name, const char *const *names)
{
    for (; *names; names++) {
        if (!strcmp(name, *names)) {
            return true;
        }
    }
    return false;
}

void
sp_reader_open(struct sp_reader *reader, const struct sp_json *value, const char *path, const struct sp_reader_fields *fields,
               struct sp_problems *problems)
{
    *reader = (struct sp_reader){.path = path, .problems = problems};
    if (!value) {
        return;
    }
    if (value->type != SP_JSON_OBJECT) {
        sp_problems_add(problems, path, "must be an object, not %s", sp_json_type_name(value->type));
        return;
    }
    reader->object = value;
    for (size_t i = 0; i < value->n && problems->n < SP_READER_PROBLEMS_MAX; i++) {
        if (is_among(value->keys[i], fields->writable)) {
            continue;
        }
        sp_reader_problem(reader, value->keys[i], "%s",
                          is_among(value->keys[i], fields->fixed) ? "cannot be set" : "is not a field of this call");
    }
}

const char *
sp_reader_field(const struct sp_reader *reader, const char *name, char *out)
{
    snprintf(out, SP_READER_PATH_SIZE, "%s%s%s", reader->path, *reader->path ? "." : "", name);
    /* An unknown field's name may be of any length: what is cut off must not end inside of a character. */
    size_t len = strlen(out);
    if (len == SP_READER_PATH_SIZE - 1) {
        while (len && ((unsigned char) out[len - 1] & 0xc0) == 0x80) {
            len--;
        }
        out[len && (unsigned char) out[len - 1] >= 0xc0 ? len - 1 : len] = '\0';
    }
    return out;
}

void
sp_reader_problem(const struct sp_reader *reader, const char *name, const char *format, ...)
{
    char field[SP_READER_PATH_SIZE], message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    sp_problems_add(reader->problems, sp_reader_field(reader, name, field), "%s", message);
}

const struct sp_json *
sp_reader_get(const struct sp_reader *reader, const char *name)
{
    return reader->object ? sp_json_get(reader->object, name) : NULL;
}

bool
sp_reader_has(const struct sp_reader *reader, const char *name)
{
    return sp_reader_get(reader, name);
}

bool
sp_reader_is_null(const struct sp_reader *reader, const char *name)
{
    const struct sp_json *value = sp_reader_get(reader, name);
    return value && value->type == SP_JSON_NULL;
}

void
sp_reader_require(const struct sp_reader *reader, const char *name)
{
    if (reader->object && !sp_reader_has(reader, name)) {
        sp_reader_problem(reader, name, "is required");
    }
}

/* The field 'name' if it is of 'type'; notes it down if it is of another. */
static const struct sp_json *
get_typed(const struct sp_reader *reader, const char *name, enum sp_json_type type)
{
    const struct sp_json *value = sp_reader_get(reader, name);
    if (value && value->type != type) {
        sp_reader_problem(reader, name, "must be %s, not %s", sp_json_type_name(type), sp_json_type_name(value->type));
        return NULL;
    }
    return value;
}

/* C0, DEL and, in UTF-8, C1. */
static bool
has_control_character(const char *text)
{
    for (const unsigned char *p = (const unsigned char *) text; *p; p++) {
        if (*p < 0x20 || *p == 0x7f || (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)) {
            return true;
        }
    }
    return false;
}

bool
sp_reader_text_is_wrong(const char *text, size_t min, size_t max, char *out, size_t size)
{
    size_t n_characters = 0;
    for (const char *p = text; *p; p++) {
        n_characters += ((unsigned char) *p & 0xc0) != 0x80;
    }
    if (n_characters < min || n_characters > max) {
        snprintf(out, size, "must have %zu to %zu characters", min, max);
        return true;
    }
    if (has_control_character(text)) {
        snprintf(out, size, "must not have control characters");
        return true;
    }
    return false;
}

bool
sp_reader_text(const struct sp_reader *reader, const char *name, size_t min, size_t max, const char **ret)
{
    const struct sp_json *value = get_typed(reader, name, SP_JSON_STRING);
    if (!value) {
        return false;
    }
    char wrong[80];
    if (sp_reader_text_is_wrong(value->string, min, max, wrong, sizeof wrong)) {
        sp_reader_problem(reader, name, "%s", wrong);
        return false;
    }
    *ret = value->string;
    return true;
}

bool
sp_reader_integer(const struct sp_reader *reader, const char *name, int64_t min, int64_t max, int64_t *ret)
{
    const struct sp_json *value = get_typed(reader, name, SP_JSON_INTEGER);
    if (!value) {
        return false;
    }
    if (value->integer < min || value->integer > max) {
        sp_reader_problem(reader, name, "must be %" PRId64 " to %" PRId64, min, max);
        return false;
    }
    *ret = value->integer;
    return true;
}

bool
sp_reader_bool(const struct sp_reader *reader, const char *name, bool *ret)
{
    const struct sp_json *value = get_typed(reader, name, SP_JSON_BOOL);
    if (value) {
        *ret = value->boolean;
    }
    return value;
}

bool
sp_reader_choice(const struct sp_reader *reader, const char *name, const char *const *names, int *ret)
{
    const struct sp_json *value = get_typed(reader, name, SP_JSON_STRING);
    if (!value) {
        return false;
    }
    char allowed[160] = "";
    for (int i = 0; names[i]; i++) {
        if (!strcmp(value->string, names[i])) {
            *ret = i;
            return true;
        }
        size_t len = strlen(allowed);
        snprintf(allowed + len, sizeof allowed - len, "%s%s", i ? (names[i + 1] ? ", " : " or ") : "", names[i]);
    }
    sp_reader_problem(reader, name, "must be %s", allowed);
    return false;
}

bool
sp_reader_uuid(const struct sp_reader *reader, const char *name, struct sp_uuid *ret)
{
    const struct sp_json *value = get_typed(reader, name, SP_JSON_STRING);
    if (!value) {
        return false;
    }
    if (sp_uuid_parse(value->string, ret)) {
        sp_reader_problem(reader, name, "must be an id: a UUID such as 8c5c1a1e-6d3b-4f0e-9b7e-2f1d0c3b4a59");
        return false;
    }
    return true;
}

const struct sp_json *
sp_reader_array(const struct sp_reader *reader, const char *name, size_t max)
{
    const struct sp_json *value = get_typed(reader, name, SP_JSON_ARRAY);
    if (value && value->n > max) {
        sp_reader_problem(reader, name, "must have at most %zu items", max);
        return NULL;
    }
    return value;
}
