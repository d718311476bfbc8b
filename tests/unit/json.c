#include "controller/json/json.h"

#include <float.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sallyport/utf8.h"

struct sample {
    const char *text;
    size_t size;
};
#define S(TEXT) {TEXT, sizeof(TEXT) - 1}

/* After the parts "y_" and "n_" of the usual suites of JSON parsers, with what RFC 8259 leaves open decided. */
static const struct sample accepted[] = {
    S("[]"), S("{}"), S(" [ ] "), S("null"), S("true"), S("false"), S("0"), S("-0"), S("-1"), S("\"\""), S("\"a\""), S(" 1 "),
    S("1.5"), S("1e2"), S("1E+2"), S("1e-2"), S("-0.0"), S("[1,2]"), S("[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]"), S("\n\t\r []"),
    S("{\"a\":1,\"b\":{\"a\":1}}"), S("{\"\":0}"), S("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), S("\"\\u00e9\""), S("\"\\uD834\\uDD1E\""),
    S("\"\x7f\""), S("\"\xc3\xa9\""), S("\"\xe2\x82\xac\""), S("\"\xf0\x9d\x84\x9e\""), S("\"\xf4\x8f\xbf\xbf\""),
    S("\"\xef\xbf\xbf\""),
    S("\"\\uFFFF\""), S("\"\\\\u0000\""), S("\"\\\\ud800\""), S("99999999999999999999"), S("-99999999999999999999"), S("1e400"),
    S("1e-400"), S("{\"a\":[],\"b\":[{}]}"), S("\"\\u000a\""), S("\"\xe2\x80\xa8\""), S("[null,1,\"1\",{}]"),
};
static const struct sample refused[] = {
    S(""), S(" "), S("["), S("]"), S("[1"), S("[1,]"), S("[,1]"), S("[1,,2]"), S("[1 2]"), S("{"), S("{\"a\"}"), S("{\"a\":}"),
    S("{\"a\":1,}"),
    S("{a:1}"), S("{'a':1}"), S("{1:1}"), S("{\"a\" 1}"), S("{\"a\":1 \"b\":2}"), S("[}"), S("{]"), S("[]]"), S("[][]"),
    S("1 2"), S("nul"),
    S("True"), S("NaN"), S("Infinity"), S("-"), S("+1"), S("01"), S("-01"), S("1."), S(".5"), S("1e"), S("1e+"), S("0x10"),
    S("1.e1"), S("--1"),
    S("\""), S("\"a"), S("'a'"), S("\"\\\""), S("\"\\x41\""), S("\"\\u12\""), S("\"\\u12G4\""), S("\"\\"), S("\"\\u"),
    S("\"\n\""), S("\"\t\""),
    S("\"\x01\""), S("\"\0\""), S("\"a\0b\""), S("[1]\0"), S("\0"), S("\xef\xbb\xbf[]"), S("/**/1"), S("//\n1"), S("[1]x"),
    S("\\"), S("\\u0041"),
    S("\"\xff\""), S("\"\xc0\x80\""), S("\"\xc1\xbf\""), S("\"\xe0\x80\x80\""), S("\"\xe0\x9f\xbf\""), S("\"\xed\xa0\x80\""),
    S("\"\xed\xbf\xbf\""),
    S("\"\xf0\x80\x80\x80\""), S("\"\xf0\x8f\xbf\xbf\""), S("\"\xf4\x90\x80\x80\""), S("\"\xf5\x80\x80\x80\""), S("\"\x80\""),
    S("\"\xc3\""),
    S("\"\xe2\x82\""), S("\"\xf0\x9d\x84\""), S("\xc3\xa9"), S("\"\\\xff\""), S("\"\\\xc0\x80\""), S("\"\\ud800\""),
    S("\"\\udc00\""),
    S("\"\\ud800x\""), S("\"\\ud800\\u0041\""), S("\"\\ud800\\ud800\""), S("\"\\ud800\\n\""), S("\"\\udc00\\ud800\""),
    S("\"\\u0000\""),
    S("\"x\\u0000y\""), S("{\"\\u0000\":1}"), S("{\"a\":1,\"a\":1}"), S("{\"a\":1,\"b\":2,\"\\u0061\":3}"),
    S("[{\"x\":{\"k\":1,\"k\":2}}]"),
    S("[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]"), S("{\"a\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}"), S("\f[]"), S("\xc2\xa0[]"),
    S("[\"a\",\n"), S("{\"a\":\"b\"]"),
};

static int
parse(const char *text, size_t size, struct sp_json **ret)
{
    /* A copy of just the right size on the heap, so that a sanitizer sees each byte read past the end. */
    char *copy = malloc(size ? size : 1);
    char why[128] = "";

    assert_non_null(copy);
    memcpy(copy, text, size);
    int r = sp_json_parse(copy, size, ret, why, sizeof why);
    free(copy);
    if (r) {
        assert_true(why[0]);
        assert_null(strchr(why, '\n'));
    }
    return r;
}

static void
test_accepts(void **state)
{
    for (size_t i = 0; i < sizeof accepted / sizeof accepted[0]; i++) {
        struct sp_json *json = NULL;

        if (parse(accepted[i].text, accepted[i].size, &json)) {
            fail_msg("refused: %s", accepted[i].text);
        }
        sp_json_free(json);
    }
}

static void
test_refuses(void **state)
{
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct sp_json *json = NULL;

        if (parse(refused[i].text, refused[i].size, &json) != SP_E_SYNTAX) {
            fail_msg("accepted, number %zu: %s", i, refused[i].text);
        }
        assert_null(json);
    }
}

/* Every text that is accepted and cut short is refused, or is accepted as another value: never a crash or a leak. */
static void
test_truncated(void **state)
{
    static const char text[] = "{\"name\":\"w\\u00e9b\\ud834\\udd1e\","
                               "\"rules\":[{\"port_min\":80,\"x\":-1.5e3,\"y\":[true,false,null]}],\"z\":{}}";
    struct sp_json *json;

    for (size_t size = 0; size < sizeof text - 1; size++) {
        assert_int_equal(parse(text, size, &json), SP_E_SYNTAX);
    }
    assert_int_equal(parse(text, sizeof text - 1, &json), 0);
    sp_json_free(json);
}

static void
test_values(void **state)
{
    static const char text[] = "{\"i\":-9223372036854775808,\"j\":9223372036854775807,\"r\":1.0,\"e\":1e2,"
                               "\"b\":9223372036854775808,"
                               "\"h\":-1e999,\"s\":\"a\\u00e9\\ud834\\udd1e\\/\",\"n\":null,\"t\":true,\"a\":[1,[2],{}]}";
    struct sp_json *json;

    assert_int_equal(parse(text, sizeof text - 1, &json), 0);
    assert_int_equal(json->type, SP_JSON_OBJECT);
    assert_int_equal(json->n, 10);
    assert_string_equal(json->keys[0], "i");
    assert_int_equal(sp_json_get(json, "i")->type, SP_JSON_INTEGER);
    assert_true(sp_json_get(json, "i")->integer == INT64_MIN);
    assert_true(sp_json_get(json, "j")->integer == INT64_MAX);
    assert_int_equal(sp_json_get(json, "r")->type, SP_JSON_REAL);
    assert_int_equal(sp_json_get(json, "e")->type, SP_JSON_REAL);
    assert_true(sp_json_get(json, "e")->real == 100);
    assert_int_equal(sp_json_get(json, "b")->type, SP_JSON_REAL);
    assert_true(sp_json_get(json, "b")->real == 9223372036854775808.0);
    assert_true(sp_json_get(json, "h")->real == -DBL_MAX);
    assert_string_equal(sp_json_get(json, "s")->string, "a\xc3\xa9\xf0\x9d\x84\x9e/");
    assert_int_equal(sp_json_get(json, "n")->type, SP_JSON_NULL);
    assert_true(sp_json_get(json, "t")->boolean);
    assert_int_equal(sp_json_get(json, "a")->n, 3);
    assert_int_equal(sp_json_get(json, "a")->items[1].items[0].integer, 2);
    assert_null(sp_json_get(json, "none"));
    assert_null(sp_json_get(sp_json_get(json, "a"), "i"));
    assert_null(sp_json_get(NULL, "i"));
    sp_json_free(json);
    sp_json_free(NULL);
}

static void
test_deep(void **state)
{
    enum { LEVELS = 1000000 };
    char *text = malloc(LEVELS);
    struct sp_json *json;

    assert_non_null(text);
    memset(text, '[', LEVELS);
    assert_int_equal(parse(text, LEVELS, &json), SP_E_SYNTAX);
    for (size_t i = 0; i + 5 <= LEVELS; i += 5) {
        memcpy(text + i, "{\"a\":", 5);
    }
    assert_int_equal(parse(text, LEVELS, &json), SP_E_SYNTAX);
    free(text);
}

static void
test_wide(void **state)
{
    enum { N = 60000 };
    char *text = malloc(N * 16);
    struct sp_json *json;
    size_t size = 0;

    assert_non_null(text);
    for (int i = 0; i < N; i++) {
        size += (size_t) sprintf(text + size, "%s\"k%d\":%d", i ? "," : "{", i, i);
    }
    text[size] = '}';
    assert_int_equal(parse(text, size + 1, &json), 0);
    assert_int_equal(json->n, N);
    assert_int_equal(sp_json_get(json, "k59999")->integer, 59999);
    sp_json_free(json);
    size += (size_t) sprintf(text + size, ",\"k0\":0}");
    assert_int_equal(parse(text, size, &json), SP_E_SYNTAX);
    free(text);
}

static void
test_long_number(void **state)
{
    enum { DIGITS = 1000000 };
    char *text = malloc(DIGITS + 2);
    struct sp_json *json;

    assert_non_null(text);
    memset(text, '7', DIGITS);
    assert_int_equal(parse(text, DIGITS, &json), 0);
    assert_int_equal(json->type, SP_JSON_REAL);
    assert_true(json->real == DBL_MAX);
    sp_json_free(json);
    text[0] = '0';
    text[1] = '.';
    assert_int_equal(parse(text, DIGITS, &json), 0);
    assert_true(json->real > 0.77 && json->real < 0.78);
    sp_json_free(json);
    free(text);
}

/* Values of every kind count, and the outermost one too. */
static void
test_bound_of_values(void **state)
{
    static const char text[] = "{\"a\": [1, \"b\", null], \"c\": {}}";
    struct sp_json *json;
    char why[128];

    assert_int_equal(sp_json_parse_bounded(text, strlen(text), 6, &json, why, sizeof why), 0);
    sp_json_free(json);
    for (size_t max = 0; max < 6; max++) {
        assert_int_equal(sp_json_parse_bounded(text, strlen(text), max, &json, why, sizeof why), SP_E_SYNTAX);
        assert_non_null(strstr(why, "values"));
    }
}

/* Around the number of digits that are read in a short way. */
static void
test_long_integers(void **state)
{
    static const char *const texts[] = {"0", "7", "99999999999999999", "999999999999999999", "1000000000000000000",
                                        "9223372036854775807", "-9223372036854775808", "-1", "-0"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct sp_json *json = NULL;
        assert_int_equal(parse(texts[i], strlen(texts[i]), &json), 0);
        assert_int_equal(json->type, SP_JSON_INTEGER);
        assert_true(json->integer == strtoll(texts[i], NULL, 10));
        sp_json_free(json);
    }
}

static void
test_why_names_the_place(void **state)
{
    struct sp_json *json;
    char why[128], small[8];

    assert_int_equal(sp_json_parse("{\n \"a\": 1,\n \"a\": 2}", 20, &json, why, sizeof why), SP_E_SYNTAX);
    assert_non_null(strstr(why, "line 3"));
    assert_non_null(strstr(why, "\"a\""));
    assert_int_equal(sp_json_parse("{\n x", 4, &json, why, sizeof why), SP_E_SYNTAX);
    assert_non_null(strstr(why, "line 2"));
    assert_int_equal(sp_json_parse("nope", 4, &json, small, sizeof small), SP_E_SYNTAX);
    assert_true(strlen(small) < sizeof small);
}

/* A key that is there twice is quoted, whatever it is made of, and however long it is: here of characters of three bytes. */
static void
test_why_quotes_printable_text(void **state)
{
    static const char odd[] = "{\"a\\n\\u001b\\u0085b\":1,\"a\\n\\u001b\\u0085b\":2}";
    char key[200], text[sizeof key * 2 + 20], why[128];
    struct sp_json *json;

    assert_int_equal(sp_json_parse(odd, strlen(odd), &json, why, sizeof why), SP_E_SYNTAX);
    assert_non_null(strstr(why, ": \"a???b\""));
    for (size_t ahead = 0; ahead < 3; ahead++) {
        size_t size = 0;
        while (size < ahead) {
            key[size++] = 'x';
        }
        while (size + 4 < sizeof key) {
            memcpy(key + size, "\xe2\x82\xac", 4);
            size += 3;
        }
        snprintf(text, sizeof text, "{\"%s\":1,\"%s\":2}", key, key);
        assert_int_equal(sp_json_parse(text, strlen(text), &json, why, sizeof why), SP_E_SYNTAX);
        assert_true(sp_utf8_is_valid(why, strlen(why)));
    }
}

static void
test_write(void **state)
{
    struct sp_json_write *w = sp_json_write_new(false);
    const char *text;
    size_t size;

    sp_json_object_open(w);
    sp_json_key(w, "s");
    sp_json_string(w, "q\"\\\n\x01\xc3\xa9");
    sp_json_key(w, "i");
    sp_json_integer(w, INT64_MIN);
    sp_json_key(w, "a");
    sp_json_array_open(w);
    sp_json_bool(w, true);
    sp_json_null(w);
    sp_json_string(w, NULL);
    sp_json_string(w, "");
    sp_json_array_close(w);
    sp_json_object_close(w);
    assert_int_equal(sp_json_write_done(w, &text, &size), 0);
    assert_string_equal(text, "{\"s\":\"q\\\"\\\\\\n\\u0001\xc3\xa9\",\"i\":-9223372036854775808,\"a\":[true,null,null,\"\"]}");
    assert_int_equal(size, strlen(text));
    sp_json_write_free(w);
}

static void
test_write_fails(void **state)
{
    struct sp_json_write *w = sp_json_write_new(false);
    const char *text = "untouched";
    size_t size;

    assert_int_equal(sp_json_write_done(w, &text, &size), SP_E_INVALID); /* Nothing yet. */
    sp_json_array_open(w);
    assert_int_equal(sp_json_write_done(w, &text, &size), SP_E_INVALID); /* Open. */
    sp_json_string(w, "\xed\xa0\x80");
    sp_json_array_close(w);
    assert_int_equal(sp_json_write_done(w, &text, &size), SP_E_INVALID); /* Not UTF-8, for ever. */
    sp_json_write_free(w);

    w = sp_json_write_new(false);
    sp_json_object_open(w);
    sp_json_integer(w, 1); /* Not a key. */
    sp_json_object_close(w);
    assert_int_equal(sp_json_write_done(w, &text, &size), SP_E_INVALID);
    sp_json_write_free(w);

    w = sp_json_write_new(false);
    for (int i = 0; i < 1000; i++) { /* Past yajl's own limit of 127. */
        sp_json_array_open(w);
    }
    for (int i = 0; i < 1000; i++) {
        sp_json_array_close(w);
    }
    assert_int_equal(sp_json_write_done(w, &text, &size), SP_E_INVALID);
    sp_json_write_free(w);

    sp_json_object_open(NULL);
    sp_json_value(NULL, &(struct sp_json) {.type = SP_JSON_NULL});
    assert_true(sp_json_write_done(NULL, &text, &size) < 0);
    sp_json_write_free(NULL);
    assert_string_equal(text, "untouched");
}

#define ODD "\xef\xbf\xbd" /* U+FFFD: a byte that is no character. */

/* Text for people is told as far as it is text. */
static void
test_write_message(void **state)
{
    struct sp_json_write *w = sp_json_write_new(false);
    const char *text;
    size_t size;

    sp_json_object_open(w);
    sp_json_message(w, "whole", "caf\xc3\xa9");
    sp_json_message(w, "none", NULL);
    sp_json_message(w, "empty", "");
    sp_json_message(w, "cut", "a\xf0\x9f\x98");
    sp_json_message(w, "cut inside", "\"\xe4\xbd\": b");
    sp_json_message(w, "odd", "\xff\xfe\xfd");
    sp_json_object_close(w);
    assert_int_equal(sp_json_write_done(w, &text, &size), 0);
    assert_string_equal(text, "{\"whole\":\"caf\xc3\xa9\",\"none\":null,\"empty\":\"\","
                              "\"cut\":\"a" ODD ODD ODD "\",\"cut inside\":\"\\\"" ODD ODD "\\\": b\","
                              "\"odd\":\"" ODD ODD ODD "\"}");
    sp_json_write_free(w);
    sp_json_message(NULL, "key", "\xff");
}

static void
test_round_trip(void **state)
{
    static const char *const texts[] = {
        "{\"a\":[1,-1,0.1,1e+300,2.0,-0.0],\"b\":{\"c\":null,\"d\":[true,false]},\"e\":\"\xe2\x82\xac\\u0007\"}",
        "[]", "{}", "\"\"", "123456789.125",
    };

    for (int pretty = 0; pretty < 2; pretty++) {
        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
            struct sp_json_write *first = sp_json_write_new(pretty), *second = sp_json_write_new(false);
            struct sp_json *json, *again;
            const char *text, *text_again;
            size_t size, size_again;

            assert_int_equal(parse(texts[i], strlen(texts[i]), &json), 0);
            sp_json_value(first, json);
            assert_int_equal(sp_json_write_done(first, &text, &size), 0);
            assert_int_equal(parse(text, size, &again), 0);
            sp_json_value(second, again);
            assert_int_equal(sp_json_write_done(second, &text_again, &size_again), 0);
            assert_string_equal(text_again, texts[i]);
            sp_json_free(json);
            sp_json_free(again);
            sp_json_write_free(first);
            sp_json_write_free(second);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepts),     cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_truncated),   cmocka_unit_test(test_values),
        cmocka_unit_test(test_deep),        cmocka_unit_test(test_wide),
        cmocka_unit_test(test_long_number), cmocka_unit_test(test_bound_of_values), cmocka_unit_test(test_long_integers),
        cmocka_unit_test(test_why_names_the_place),
        cmocka_unit_test(test_why_quotes_printable_text),
        cmocka_unit_test(test_write),       cmocka_unit_test(test_write_fails), cmocka_unit_test(test_write_message),
        cmocka_unit_test(test_round_trip),
    };

    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
