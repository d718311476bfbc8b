/* JSON in: what is taken can be written and read again, and means the same then. */

#include <math.h>
#include <string.h>

#include "controller/json/json.h"
#include "sallyport/utf8.h"
#include "tests/fuzz/fuzz.h"

static void check_value(const struct sp_json *value, unsigned depth)
{
    FUZZ_CHECK(depth <= SP_JSON_DEPTH_MAX);
    if (value->type == SP_JSON_STRING) {
        FUZZ_CHECK(sp_utf8_is_valid(value->string, strlen(value->string)));
    } else if (value->type == SP_JSON_REAL) {
        FUZZ_CHECK(isfinite(value->real));
    }
    for (size_t i = 0; i < value->n; i++) {
        check_value(&value->items[i], depth + 1);
        if (value->type == SP_JSON_OBJECT) {
            FUZZ_CHECK(sp_json_get(value, value->keys[i]) == &value->items[i]); /* No key twice. */
        }
    }
}

static bool is_equal(const struct sp_json *a, const struct sp_json *b)
{
    if (a->type != b->type || a->n != b->n) {
        return false;
    }
    for (size_t i = 0; i < a->n; i++) {
        if ((a->type == SP_JSON_OBJECT && strcmp(a->keys[i], b->keys[i])) || !is_equal(&a->items[i], &b->items[i])) {
            return false;
        }
    }
    switch (a->type) {
    case SP_JSON_BOOL:
        return a->boolean == b->boolean;
    case SP_JSON_INTEGER:
        return a->integer == b->integer;
    case SP_JSON_REAL:
        return a->real == b->real;
    case SP_JSON_STRING:
        return !strcmp(a->string, b->string);
    default:
        return true;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_json *value = NULL, *again = NULL;
    struct sp_json_write *out;
    char why[160] = "";
    const char *text;
    size_t text_size;
    int r = sp_json_parse((const char *) data, size, &value, why, sizeof why);

    if (r) {
        FUZZ_CHECK(r == SP_E_SYNTAX && why[0] && !value);
        FUZZ_CHECK(sp_utf8_is_valid(why, strlen(why)) && !strpbrk(why, "\r\n"));
        return 0;
    }
    check_value(value, 0);
    out = sp_json_write_new(false);
    sp_json_value(out, value);
    FUZZ_CHECK(!sp_json_write_done(out, &text, &text_size));
    FUZZ_CHECK(!sp_json_parse(text, text_size, &again, why, sizeof why));
    FUZZ_CHECK(is_equal(value, again));
    sp_json_write_free(out);
    sp_json_free(again);
    sp_json_free(value);
    return 0;
}
