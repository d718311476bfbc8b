#include "controller/json/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/random.h"

#define N_TEXTS 40000

static const char *const seeds[] = {
    "{\"name\":\"web\",\"rules\":[{\"direction\":\"inbound\",\"protocol\":\"tcp\",\"port_min\":80,\"port_max\":8080}]}",
    "[1,-1,0.5,1e10,-0,9223372036854775807,\"\\u00e9\\ud834\\udd1e\\n\",true,false,null,{},[]]",
    "\"\xc3\xa9\xe2\x82\xac\xf0\x9d\x84\x9e\\\\ \\\" \\/\"",
    "{\"a\":{\"a\":{\"a\":[[[[[[]]]]]]}},\"\":\"\"}",
};

/* Reads 'text' and, if that is JSON, writes it, reads that and writes it again: the two writings are the same. */
static bool
check_text(const char *text, size_t size)
{
    struct sp_json_write *first = sp_json_write_new(false), *second = sp_json_write_new(true), *third = sp_json_write_new(false);
    struct sp_json *json, *again;
    const char *text_1, *text_2, *text_3;
    size_t size_1, size_2, size_3;
    char why[128] = "";
    int r = sp_json_parse(text, size, &json, why, sizeof why);

    if (r) {
        assert_int_equal(r, SP_E_SYNTAX);
        assert_true(why[0]);
    } else {
        sp_json_value(first, json);
        sp_json_value(second, json);
        sp_json_free(json);
        assert_int_equal(sp_json_write_done(first, &text_1, &size_1), 0);
        assert_int_equal(sp_json_write_done(second, &text_2, &size_2), 0);
        assert_int_equal(sp_json_parse(text_2, size_2, &again, why, sizeof why), 0);
        sp_json_value(third, again);
        sp_json_free(again);
        assert_int_equal(sp_json_write_done(third, &text_3, &size_3), 0);
        assert_int_equal(size_1, size_3);
        assert_memory_equal(text_1, text_3, size_1);
    }
    sp_json_write_free(first);
    sp_json_write_free(second);
    sp_json_write_free(third);
    return !r;
}

/* Sound texts with a few bytes turned, dropped or doubled. */
static void
test_mutated(void **state)
{
    static const char structure[] = "{}[]\",:\\u0d8-+.eE tfn\n\xff\xc3\xed\xa0";
    struct sp_random random;
    unsigned n_accepted = 0;

    sp_random_init(&random);
    for (int i = 0; i < N_TEXTS; i++) {
        const char *seed = seeds[sp_random_below(&random, sizeof seeds / sizeof seeds[0])];
        size_t size = strlen(seed);
        char *text = malloc(2 * size);

        assert_non_null(text);
        memcpy(text, seed, size);
        for (unsigned n = 1 + sp_random_below(&random, 3); n && size > 2; n--) {
            size_t at = sp_random_below(&random, (uint32_t) size - 1);
            size_t end = at + 1 + sp_random_below(&random, (uint32_t) (size - at - 1));

            switch (sp_random_below(&random, 4)) {
            case 0:
                text[at] = (char) sp_random_next(&random);
                break;
            case 1:
                text[at] = structure[sp_random_below(&random, sizeof structure - 1)];
                break;
            case 2:
                memmove(text + at, text + end, size - end);
                size -= end - at;
                break;
            default:
                if (size + end - at <= 2 * strlen(seed)) {
                    memmove(text + end, text + at, size - at);
                    size += end - at;
                }
                break;
            }
        }
        char *exact = malloc(size); /* So that a sanitizer sees each byte read past the end. */

        assert_non_null(exact);
        memcpy(exact, text, size);
        n_accepted += check_text(exact, size);
        free(exact);
        free(text);
    }
    print_message("%u of %d accepted\n", n_accepted, N_TEXTS);
    assert_true(n_accepted > N_TEXTS / 50 && n_accepted < N_TEXTS / 2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mutated),
    };

    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
