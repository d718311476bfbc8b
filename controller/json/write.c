#include "controller/json/json.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_gen.h>

#include "sallyport/utf8.h"
#include "sallyport/value.h"

struct sp_json_write {
    yajl_gen gen;
    char *text;
    size_t size;
    size_t allocated;
    unsigned depth; /* Containers that are open. */
    int error;      /* Of the first step that failed. */
};

static void append(void *aux, const char *text, size_t size);
static void note(struct sp_json_write *, yajl_gen_status);

struct sp_json_write *
sp_json_write_new(bool pretty)
{
    struct sp_json_write *w = calloc(1, sizeof *w);

    if (!w) {
        return NULL;
    }
    w->gen = yajl_gen_alloc(NULL);
    if (!w->gen) {
        free(w);
        return NULL;
    }
    yajl_gen_config(w->gen, yajl_gen_print_callback, append, w);
    if (pretty) {
        yajl_gen_config(w->gen, yajl_gen_beautify, 1);
        yajl_gen_config(w->gen, yajl_gen_indent_string, "  ");
    }
    return w;
}

void
sp_json_write_free(struct sp_json_write *w)
{
    if (w) {
        yajl_gen_free(w->gen);
        free(w->text);
        free(w);
    }
}

void
sp_json_object_open(struct sp_json_write *w)
{
    if (w) {
        w->depth++;
        note(w, yajl_gen_map_open(w->gen));
    }
}

void
sp_json_object_close(struct sp_json_write *w)
{
    if (w) {
        w->depth--;
        note(w, yajl_gen_map_close(w->gen));
    }
}

void
sp_json_array_open(struct sp_json_write *w)
{
    if (w) {
        w->depth++;
        note(w, yajl_gen_array_open(w->gen));
    }
}

void
sp_json_array_close(struct sp_json_write *w)
{
    if (w) {
        w->depth--;
        note(w, yajl_gen_array_close(w->gen));
    }
}

void
sp_json_key(struct sp_json_write *w, const char *key)
{
    sp_json_string(w, key);
}

void
sp_json_string(struct sp_json_write *w, const char *string)
{
    if (!w) {
        return;
    }
    if (!string) {
        sp_json_null(w);
        return;
    }

    size_t size = strlen(string);

    if (!sp_utf8_is_valid(string, size)) {
        note(w, yajl_gen_invalid_string);
        return;
    }
    note(w, yajl_gen_string(w->gen, (const unsigned char *) string, size));
}

void
sp_json_text(struct sp_json_write *w, const char *key, const char *string)
{
    sp_json_key(w, key);
    sp_json_string(w, string);
}

void
sp_json_message(struct sp_json_write *w, const char *key, const char *string)
{
    static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD. */
    size_t size = string ? strlen(string) : 0;

    if (sp_utf8_is_valid(string, size)) {
        sp_json_text(w, key, string);
        return;
    }

    char *clean = malloc(size * strlen(replacement) + 1), *end = clean;

    if (!clean) {
        if (w && !w->error) {
            w->error = -ENOMEM;
        }
        return;
    }
    for (size_t i = 0; i < size;) {
        size_t n = sp_utf8_size(string + i, size - i);

        end = n ? mempcpy(end, string + i, n) : stpcpy(end, replacement);
        i += n ? n : 1;
    }
    *end = '\0';
    sp_json_text(w, key, clean);
    free(clean);
}

void
sp_json_integer(struct sp_json_write *w, int64_t value)
{
    char text[1 + SP_DECIMAL_TEXT_SIZE] = "-";
    const char *digits = sp_decimal_format(value < 0 ? -(uint64_t) value : (uint64_t) value, text + 1);
    const char *number = value < 0 ? text : digits;

    if (w) { /* yajl_gen_integer() would have it printed by printf(). */
        note(w, yajl_gen_number(w->gen, number, strlen(number)));
    }
}

void
sp_json_bool(struct sp_json_write *w, bool value)
{
    if (w) {
        note(w, yajl_gen_bool(w->gen, value));
    }
}

void
sp_json_null(struct sp_json_write *w)
{
    if (w) {
        note(w, yajl_gen_null(w->gen));
    }
}

/* yajl prints 0.1 as 0.10000000000000000555; the shortest text that reads back as the same number is nicer.  It keeps a mark of
 * a real, lest it be read back as an integer. */
static void
write_real(struct sp_json_write *w, double value)
{
    char text[40];
    int size = 0;

    if (!isfinite(value)) {
        note(w, yajl_gen_invalid_number);
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        size = snprintf(text, sizeof text - 2, "%.*g", digits, value);
        if (strtod(text, NULL) == value) {
            break;
        }
    }
    if (!strpbrk(text, ".e")) {
        memcpy(text + size, ".0", 3);
        size += 2;
    }
    note(w, yajl_gen_number(w->gen, text, (size_t) size));
}

void
sp_json_value(struct sp_json_write *w, const struct sp_json *json)
{
    if (!w) {
        return;
    }
    switch (json->type) {
    case SP_JSON_NULL:
        sp_json_null(w);
        return;
    case SP_JSON_BOOL:
        sp_json_bool(w, json->boolean);
        return;
    case SP_JSON_INTEGER:
        sp_json_integer(w, json->integer);
        return;
    case SP_JSON_REAL:
        write_real(w, json->real);
        return;
    case SP_JSON_STRING:
        sp_json_string(w, json->string);
        return;
    case SP_JSON_ARRAY:
        sp_json_array_open(w);
        for (size_t i = 0; i < json->n; i++) {
            sp_json_value(w, &json->items[i]);
        }
        sp_json_array_close(w);
        return;
    case SP_JSON_OBJECT:
        sp_json_object_open(w);
        for (size_t i = 0; i < json->n; i++) {
            sp_json_key(w, json->keys[i]);
            sp_json_value(w, &json->items[i]);
        }
        sp_json_object_close(w);
        return;
    }
}

/* yajl writes a number's text as it is given. */
void
sp_json_raw(struct sp_json_write *w, const char *text)
{
    if (w) {
        note(w, yajl_gen_number(w->gen, text, strlen(text)));
    }
}

int
sp_json_write_done(struct sp_json_write *w, const char **ret_text, size_t *ret_size)
{
    if (!w) {
        return -ENOMEM;
    }
    if (w->error) {
        return w->error;
    }
    if (w->depth || !w->size) {
        return SP_E_INVALID;
    }
    *ret_text = w->text;
    *ret_size = w->size;
    return 0;
}

static void
note(struct sp_json_write *w, yajl_gen_status status)
{
    if (status != yajl_gen_status_ok && !w->error) {
        w->error = SP_E_INVALID;
    }
}

/* yajl's print callback; it has no way to fail, so the failure is kept. */
static void
append(void *aux, const char *text, size_t size)
{
    struct sp_json_write *w = aux;

    if (w->error) {
        return;
    }
    if (size >= w->allocated - w->size) { /* One byte stays for the NUL. */
        size_t allocated = w->allocated ? w->allocated : 256;

        while (allocated - w->size <= size) {
            if (allocated > SIZE_MAX / 2) {
                w->error = -ENOMEM;
                return;
            }
            allocated *= 2;
        }

        char *grown = realloc(w->text, allocated);

        if (!grown) {
            w->error = -ENOMEM;
            return;
        }
        w->text = grown;
        w->allocated = allocated;
    }
    memcpy(w->text + w->size, text, size);
    w->size += size;
    w->text[w->size] = '\0';
}
