#include "sallyport/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Encodes by the table of RFC 3629 section 3, without its exceptions. */
static size_t
encode(uint32_t code, char *out)
{
    if (code < 0x80) {
        out[0] = (char) code;
        return 1;
    }

    size_t size = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;

    for (size_t i = size - 1; i > 0; i--) {
        out[i] = (char) (0x80 | (code & 0x3f));
        code >>= 6;
    }
    out[0] = (char) ((0xf00 >> size & 0xff) | code);
    return size;
}

/* Each code point there is, and those above. */
static void
test_every_character(void **state)
{
    for (uint32_t code = 0; code < 0x120000; code++) {
        bool is_character = code < 0x110000 && (code < 0xd800 || code > 0xdfff);
        bool is_control = code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029;
        char text[4];
        size_t size = encode(code, text);

        assert_int_equal(sp_utf8_size(text, size), is_character ? size : 0);
        assert_int_equal(sp_utf8_size(text, 4), is_character ? size : 0);
        assert_int_equal(sp_utf8_size(text, size - 1), 0);
        if (is_character) {
            assert_int_equal(sp_utf8_is_control(text, size), is_control);
        }
    }
}

/* Each sequence of one, two or three bytes that is no character's. */
static void
test_every_short_sequence(void **state)
{
    unsigned n_valid = 0;

    for (uint32_t bytes = 0; bytes < 1u << 24; bytes++) {
        char text[3] = {(char) (bytes >> 16), (char) (bytes >> 8), (char) bytes};

        n_valid += sp_utf8_is_valid(text, 3);
    }
    /* Three characters of one byte; one of two and one of one, in either order; one of three. */
    assert_int_equal(n_valid, 128 * 128 * 128 + 2 * 128 * (0x800 - 0x80) + (0x10000 - 0x800 - 0x800));
}

static void
test_texts(void **state)
{
    assert_true(sp_utf8_is_valid("", 0));
    assert_true(sp_utf8_is_valid("a\0b", 3));
    assert_true(sp_utf8_is_valid("gr\xc3\xbc\xc3\x9f \xf0\x9f\x9a\x80", 11));
    assert_false(sp_utf8_is_valid("gr\xc3\xbc\xc3", 5));
    assert_false(sp_utf8_is_valid("\xf0\x8f\xbf\xbf", 4));
    assert_false(sp_utf8_is_valid("\xf4\x90\x80\x80", 4));
    assert_int_equal(sp_utf8_size("", 0), 0);
}

/* Wherever in a long text something stands that is not ASCII. */
static void
test_long_text(void **state)
{
    for (size_t size = 2; size < 40; size++) {
        for (size_t at = 0; at < size; at++) {
            char text[40];

            memset(text, 'a', size);
            assert_true(sp_utf8_is_valid(text, size));
            text[at] = (char) 0x80;
            assert_false(sp_utf8_is_valid(text, size));
            text[at] = (char) 0xc3;
            assert_false(sp_utf8_is_valid(text, size));
            if (at + 1 < size) {
                text[at + 1] = (char) 0xa4;
                assert_true(sp_utf8_is_valid(text, size));
            }
        }
    }
}

/* Each text into as little room as it needs, and into less. */
static void
test_print(void **state)
{
    static const struct {
        const char *text, *printed;
        size_t size;
    } samples[] = {
        {"", "", 0}, {"plain", "plain", 5}, {"plain", "pla", 3}, {"a\0b", "a", 3}, {"\n\x7f\xc2\x85\xe2\x80\xa8.", "????.", 8},
        {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f", 6}, {"\xc3\xff\xe2\x82", "????", 4},
        {"\xf0\x9f\x9a\x80", "\xf0\x9f\x9a\x80", 4},
    };

    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        size_t len = strlen(samples[i].printed);

        for (size_t room = 1; room <= len + 2; room++) {
            char out[24];
            memset(out, '#', sizeof out);
            sp_utf8_print(out, room, samples[i].text, samples[i].size);

            size_t n = strlen(out);
            assert_memory_equal(out, samples[i].printed, n);
            assert_true(sp_utf8_is_valid(out, n));
            assert_true(n <= len && n + 1 <= room);
            assert_true(n == len || n + 4 >= room); /* No character that had room is missing. */
            assert_int_equal(out[room], '#');
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_long_text), cmocka_unit_test(test_every_character),
        cmocka_unit_test(test_every_short_sequence),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_print),
    };

    return cmocka_run_group_tests_name("utf8", tests, NULL, NULL);
}
