#include "controller/json/json.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include "sallyport/utf8.h"

/* Longest number that is converted without an allocation of its own. */
#define NUMBER_SIZE 64

/* Decimal digits that every 64-bit integer has room for. */
#define SHORT_DIGITS 18

/* An array or object that is not closed yet. */
struct frame {
    struct sp_json value;
    size_t items_allocated;
    size_t keys_allocated;
    char *key; /* Of the member whose value comes next; owned. */
};

struct parser {
    struct frame frames[SP_JSON_DEPTH_MAX];
    size_t depth;         /* Frames in use. */
    struct sp_json *root; /* Once the outermost value is complete. */
    size_t n_values, values_max;
    bool no_memory;
    char reason[160];     /* Why a callback ended the parsing; "" = it did not. */
};

static int check_text(const char *text, size_t size, size_t *reterr_offset, const char **reterr_reason);
static int check_escape(const char *text, size_t size, size_t *ret_used, const char **reterr_reason);
static bool read_hex4(const char *text, size_t size, unsigned *ret);
static void describe_place(const char *text, size_t offset, const char *reason, char *why, size_t why_size);
static int explain_failure(struct parser *, yajl_handle, const char *text, size_t size, char *why, size_t why_size);
static void parser_clear(struct parser *);
static void value_clear(struct sp_json *);
static const yajl_callbacks callbacks;

int
sp_json_parse(const char *text, size_t size, struct sp_json **ret, char *why, size_t why_size)
{
    return sp_json_parse_bounded(text, size, SIZE_MAX, ret, why, why_size);
}

int
sp_json_parse_bounded(const char *text, size_t size, size_t values_max, struct sp_json **ret, char *why, size_t why_size)
{
    struct parser parser = {.values_max = values_max};
    const char *reason;
    size_t offset;

    if (check_text(text, size, &offset, &reason)) {
        describe_place(text, offset, reason, why, why_size);
        return SP_E_SYNTAX;
    }

    yajl_handle handle = yajl_alloc(&callbacks, NULL, &parser);
    if (!handle) {
        return -ENOMEM;
    }
    yajl_config(handle, yajl_dont_validate_strings, 1); /* check_text() is stricter. */

    yajl_status status = yajl_parse(handle, (const unsigned char *) text, size);
    if (status == yajl_status_ok) {
        status = yajl_complete_parse(handle);
    }
    int r = 0;
    if (status != yajl_status_ok || !parser.root) {
        r = explain_failure(&parser, handle, text, size, why, why_size);
    } else {
        *ret = parser.root;
        parser.root = NULL;
    }
    yajl_free(handle);
    parser_clear(&parser);
    return r;
}

void
sp_json_free(struct sp_json *json)
{
    if (json) {
        value_clear(json);
        free(json);
    }
}

const struct sp_json *
sp_json_get(const struct sp_json *object, const char *key)
{
    if (!object || object->type != SP_JSON_OBJECT) {
        return NULL;
    }
    for (size_t i = 0; i < object->n; i++) {
        if (!strcmp(object->keys[i], key)) {
            return &object->items[i];
        }
    }
    return NULL;
}

const char *
sp_json_type_name(enum sp_json_type type)
{
    static const char *const names[] = {
        [SP_JSON_NULL] = "null",
        [SP_JSON_BOOL] = "a boolean",
        [SP_JSON_INTEGER] = "an integer",
        [SP_JSON_REAL] = "a number that is not a 64-bit integer",
        [SP_JSON_STRING] = "a string",
        [SP_JSON_ARRAY] = "an array",
        [SP_JSON_OBJECT] = "an object",
    };

    return (size_t) type < sizeof names / sizeof names[0] ? names[type] : "a value";
}

/* Looks at the raw text for what yajl 2.1 lets pass or mends in silence: overlong forms and surrogates in UTF-8, a lone
 * surrogate in "\u" (it becomes '?'), "\u0000", and vertical tab and form feed between values.  A backslash outside of a string
 * is looked at like one inside: yajl refuses it in any case. */
static int
check_text(const char *text, size_t size, size_t *reterr_offset, const char **reterr_reason)
{
    for (size_t i = 0; i < size;) {
        size_t used;

        if (text[i] > '\\' || (text[i] >= ' ' && text[i] < '\\')) { /* Nearly all of it. */
            i++;
            continue;
        }
        if (text[i] == '\\') {
            if (check_escape(text + i, size - i, &used, reterr_reason)) {
                *reterr_offset = i;
                return SP_E_SYNTAX;
            }
        } else {
            used = sp_utf8_size(text + i, size - i);
            if (!used || text[i] == '\v' || text[i] == '\f') {
                *reterr_offset = i;
                *reterr_reason = used ? "a control character" : "invalid UTF-8";
                return SP_E_SYNTAX;
            }
        }
        i += used;
    }
    return 0;
}

/* Checks the escape that 'text' begins with; how many bytes are done with is stored in '*ret_used'.  Malformed ones are left
 * to yajl. */
static int
check_escape(const char *text, size_t size, size_t *ret_used, const char **reterr_reason)
{
    unsigned unit, low;

    /* Not past the byte after the backslash if that is not ASCII: it begins a character that wants its own check. */
    *ret_used = size > 1 && !(text[1] & 0x80) ? 2 : 1;
    if (size < 2 || text[1] != 'u' || !read_hex4(text + 2, size - 2, &unit)) {
        return 0;
    }
    *ret_used = 6;
    if (!unit) {
        *reterr_reason = "a NUL in a string";
        return SP_E_SYNTAX;
    }
    if (unit < 0xd800 || unit > 0xdfff) {
        return 0;
    }
    if (unit < 0xdc00 && size >= 12 && text[6] == '\\' && text[7] == 'u' && read_hex4(text + 8, size - 8, &low) && low >= 0xdc00
        && low <= 0xdfff) {
        *ret_used = 12;
        return 0;
    }
    *reterr_reason = "half of a surrogate pair";
    return SP_E_SYNTAX;
}

static bool
read_hex4(const char *text, size_t size, unsigned *ret)
{
    unsigned value = 0;

    if (size < 4) {
        return false;
    }
    for (size_t i = 0; i < 4; i++) {
        char c = text[i];
        unsigned digit;

        if (c >= '0' && c <= '9') {
            digit = (unsigned) (c - '0');
        } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
            digit = (unsigned) ((c | 0x20) - 'a') + 10;
        } else {
            return false;
        }
        value = value << 4 | digit;
    }
    *ret = value;
    return true;
}

static void
describe_place(const char *text, size_t offset, const char *reason, char *why, size_t why_size)
{
    size_t line = 1, column = 1;

    for (size_t i = 0; i < offset; i++) {
        if (text[i] == '\n') {
            line++;
            column = 1;
        } else {
            column++;
        }
    }
    snprintf(why, why_size, "line %zu, byte %zu: %s", line, column, reason);
}

static int
explain_failure(struct parser *p, yajl_handle handle, const char *text, size_t size, char *why, size_t why_size)
{
    size_t offset = yajl_get_bytes_consumed(handle);

    if (p->no_memory) {
        return -ENOMEM;
    }
    if (offset > size) {
        offset = size; /* The end of the text stands as one more byte in yajl's count. */
    }
    if (p->reason[0]) {
        describe_place(text, offset, p->reason, why, why_size);
        return SP_E_SYNTAX;
    }

    unsigned char *message = yajl_get_error(handle, 0, NULL, 0);
    char line[160];

    snprintf(line, sizeof line, "%s", message ? (const char *) message : "not JSON");
    line[strcspn(line, "\n")] = '\0';
    if (message) {
        yajl_free_error(handle, message);
    }
    describe_place(text, offset, line, why, why_size);
    return SP_E_SYNTAX;
}

static void
value_clear(struct sp_json *value)
{
    for (size_t i = 0; value->items && i < value->n; i++) { /* At most SP_JSON_DEPTH_MAX levels of recursion. */
        const struct sp_json *item = &value->items[i];
        if (item->items || item->keys || item->string) {
            value_clear(&value->items[i]);
        }
        if (value->keys) {
            free(value->keys[i]);
        }
    }
    free(value->items);
    free(value->keys);
    free(value->string);
}

static void
parser_clear(struct parser *p)
{
    for (size_t i = 0; i < p->depth; i++) {
        free(p->frames[i].key);
        value_clear(&p->frames[i].value);
    }
    sp_json_free(p->root);
}

static int
fail_memory(struct parser *p)
{
    p->no_memory = true;
    return 0;
}

/* Makes room for one more of 'size' bytes. */
static bool
reserve(void **array, size_t *allocated, size_t n, size_t size)
{
    if (n < *allocated) {
        return true;
    }

    size_t more = *allocated ? *allocated * 2 : 4;
    void *grown = reallocarray(*array, more, size);

    if (!grown) {
        return false;
    }
    *array = grown;
    *allocated = more;
    return true;
}

/* Puts a complete value where it belongs.  Takes what 'value' owns, on failure too. */
static int
add(struct parser *p, struct sp_json value)
{
    if (p->n_values++ == p->values_max) {
        value_clear(&value);
        snprintf(p->reason, sizeof p->reason, "more than %zu values", p->values_max);
        return 0;
    }
    if (!p->depth) {
        p->root = malloc(sizeof *p->root);
        if (!p->root) {
            value_clear(&value);
            return fail_memory(p);
        }
        *p->root = value;
        return 1;
    }

    struct frame *f = &p->frames[p->depth - 1];
    struct sp_json *container = &f->value;
    bool is_object = container->type == SP_JSON_OBJECT;

    if (!reserve((void **) &container->items, &f->items_allocated, container->n, sizeof *container->items)
        || (is_object && !reserve((void **) &container->keys, &f->keys_allocated, container->n, sizeof *container->keys))) {
        value_clear(&value);
        return fail_memory(p);
    }
    if (is_object) {
        container->keys[container->n] = f->key;
        f->key = NULL;
    }
    container->items[container->n++] = value;
    return 1;
}

static int
open_container(struct parser *p, enum sp_json_type type)
{
    if (p->depth == SP_JSON_DEPTH_MAX) {
        snprintf(p->reason, sizeof p->reason, "more than %d levels", SP_JSON_DEPTH_MAX);
        return 0;
    }
    p->frames[p->depth++] = (struct frame) {.value.type = type};
    return 1;
}

static int
compare_keys(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}

/* Sorting finds equal keys in n log n steps, as an object of a hostile client may have 100,000. */
static int
check_keys(struct parser *p, const struct sp_json *object)
{
    if (object->n < 2) {
        return 1;
    }

    char **sorted = reallocarray(NULL, object->n, sizeof *sorted);
    if (!sorted) {
        return fail_memory(p);
    }
    memcpy(sorted, object->keys, object->n * sizeof *sorted);
    qsort(sorted, object->n, sizeof *sorted, compare_keys);
    for (size_t i = 1; i < object->n && !p->reason[0]; i++) {
        if (!strcmp(sorted[i - 1], sorted[i])) {
            char key[65];
            sp_utf8_print(key, sizeof key, sorted[i], strlen(sorted[i]));
            snprintf(p->reason, sizeof p->reason, "an object has a key twice: \"%s\"", key);
        }
    }
    free(sorted);
    return !p->reason[0];
}

static int
close_container(struct parser *p)
{
    struct frame *f = &p->frames[p->depth - 1];

    if (f->value.type == SP_JSON_OBJECT && !check_keys(p, &f->value)) {
        return 0;
    }
    p->depth--;
    return add(p, f->value);
}

static char *
copy_text(const unsigned char *text, size_t size)
{
    char *copy = malloc(size + 1);

    if (copy) {
        if (size) {
            memcpy(copy, text, size);
        }
        copy[size] = '\0';
    }
    return copy;
}

static int
on_null(void *aux)
{
    return add(aux, (struct sp_json) {.type = SP_JSON_NULL});
}

static int
on_boolean(void *aux, int value)
{
    return add(aux, (struct sp_json) {.type = SP_JSON_BOOL, .boolean = value});
}

/* yajl has checked the grammar.  What no 64-bit integer or double holds is well-formed JSON nevertheless, so it stays a
 * number, of the nearest value there is, and is refused by whoever knows the range of its field. */
static int
on_number(void *aux, const char *text, size_t size)
{
    struct parser *p = aux;
    struct sp_json value = {.type = SP_JSON_REAL};
    size_t n_digits = 0;

    while (n_digits < size && n_digits < SHORT_DIGITS && text[n_digits] >= '0' && text[n_digits] <= '9') {
        value.integer = value.integer * 10 + (text[n_digits++] - '0');
    }
    if (n_digits == size) {
        value.type = SP_JSON_INTEGER;
        return add(p, value);
    }
    value.integer = 0;
    char local[NUMBER_SIZE];
    char *owned = NULL;
    const char *number = local;

    if (size < sizeof local) {
        memcpy(local, text, size);
        local[size] = '\0';
    } else {
        number = owned = copy_text((const unsigned char *) text, size);
        if (!owned) {
            return fail_memory(p);
        }
    }
    errno = 0;
    if (!strpbrk(number, ".eE")) {
        value.integer = strtoll(number, NULL, 10);
        value.type = errno ? SP_JSON_REAL : SP_JSON_INTEGER;
    }
    if (value.type == SP_JSON_REAL) {
        value.integer = 0;
        value.real = strtod(number, NULL);
        if (isinf(value.real)) {
            value.real = value.real < 0 ? -DBL_MAX : DBL_MAX;
        }
    }
    free(owned);
    return add(p, value);
}

static int
on_string(void *aux, const unsigned char *text, size_t size)
{
    struct sp_json value = {.type = SP_JSON_STRING, .string = copy_text(text, size)};

    return value.string ? add(aux, value) : fail_memory(aux);
}

static int
on_key(void *aux, const unsigned char *text, size_t size)
{
    struct parser *p = aux;
    char *key = copy_text(text, size);

    if (!key) {
        return fail_memory(p);
    }
    p->frames[p->depth - 1].key = key;
    return 1;
}

static int
on_object_open(void *aux)
{
    return open_container(aux, SP_JSON_OBJECT);
}

static int
on_array_open(void *aux)
{
    return open_container(aux, SP_JSON_ARRAY);
}

static int
on_close(void *aux)
{
    return close_container(aux);
}

static const yajl_callbacks callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_boolean,
    .yajl_number = on_number,
    .yajl_string = on_string,
    .yajl_start_map = on_object_open,
    .yajl_map_key = on_key,
    .yajl_end_map = on_close,
    .yajl_start_array = on_array_open,
    .yajl_end_array = on_close,
};
