#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "sallyport/value.h"

#define LENGTH(A) (sizeof(A) / sizeof(A)[0])

static struct sp_cidr cidr(const char *text)
{
    struct sp_cidr c;

    if (sp_cidr_parse(text, &c)) {
        fail_msg("%s", text);
    }
    return c;
}

static void test_uuid(void **state)
{
    static const char *const wrong[] = {
        "", "0", "00112233-4455-6677-8899-aabbccddeef", "00112233-4455-6677-8899-aabbccddeeff0",
        "00112233-4455-6677-8899-aabbccddeefg",
        "001122334455-6677-8899-aabbccddeeff", "{00112233-4455-6677-8899-aabbccddeeff}", " 00112233-4455-6677-8899-aabbccddeeff",
        "00112233-4455-6677-8899-aabbccddeeff ", "00112233-4455-6677-8899aabbccddeeff", "0x112233-4455-6677-8899-aabbccddeeff",
        "00112233445566778899aabbccddeeff", "+0112233-4455-6677-8899-aabbccddeeff",
    };
    char text[SP_UUID_TEXT_SIZE];
    struct sp_uuid a, b, none = {0};

    assert_int_equal(sp_uuid_parse("00112233-4455-6677-8899-AABBCCDDEEFF", &a), 0);
    assert_int_equal(a.bytes[0], 0);
    assert_int_equal(a.bytes[15], 0xff);
    assert_string_equal(sp_uuid_format(&a, text), "00112233-4455-6677-8899-aabbccddeeff");
    assert_int_equal(sp_uuid_parse(text, &b), 0);
    assert_true(sp_uuid_equal(&a, &b));
    b.bytes[15]--;
    assert_false(sp_uuid_equal(&a, &b));
    assert_true(sp_uuid_compare(&a, &b) > 0);
    assert_true(sp_uuid_is_none(&none));
    assert_false(sp_uuid_is_none(&a));
    for (size_t i = 0; i < LENGTH(wrong); i++) {
        b = a;
        if (sp_uuid_parse(wrong[i], &b) != SP_E_SYNTAX || !sp_uuid_equal(&a, &b)) {
            fail_msg("'%s'", wrong[i]);
        }
    }
}

static void test_mac(void **state)
{
    static const char *const wrong[] = {
        "", "02:00:00:00:00", "02:00:00:00:00:01:02", "2:0:0:0:0:1", "02-00-00-00-00-01", "02:00:00:00:00:0g", "020000000001",
        " 02:00:00:00:00:01", "02:00:00:00:00:01 ", "02:00:00:00:00:1", "0200.0000.0001",
    };
    char text[SP_MAC_TEXT_SIZE];
    struct sp_mac a, b, zero = {{0}};

    assert_int_equal(sp_mac_parse("02:0A:bc:00:ff:01", &a), 0);
    assert_string_equal(sp_mac_format(&a, text), "02:0a:bc:00:ff:01");
    assert_true(sp_mac_is_unicast(&a));
    assert_false(sp_mac_is_unicast(&zero));
    assert_int_equal(sp_mac_parse("01:00:5e:00:00:01", &b), 0);
    assert_false(sp_mac_is_unicast(&b));
    assert_false(sp_mac_equal(&a, &b));
    assert_int_equal(sp_mac_parse("ff:ff:ff:ff:ff:ff", &b), 0);
    assert_false(sp_mac_is_unicast(&b));
    for (size_t i = 0; i < LENGTH(wrong); i++) {
        b = a;
        if (sp_mac_parse(wrong[i], &b) != SP_E_SYNTAX || !sp_mac_equal(&a, &b)) {
            fail_msg("'%s'", wrong[i]);
        }
    }
}

static void test_cidr_forms(void **state)
{
    static const struct {
        const char *text, *prefix, *address;
        int family;
    } right[] = {
        {"192.168.1.100", "192.168.1.100/32", "192.168.1.100", 4},
        {"192.168.1.100/24", "192.168.1.0/24", "192.168.1.0", 4},
        {"10.255.255.255/9", "10.128.0.0/9", "10.128.0.0", 4},
        {"0.0.0.0/0", "0.0.0.0/0", "0.0.0.0", 4},
        {"255.255.255.255", "255.255.255.255/32", "255.255.255.255", 4},
        {"1.2.3.4/0", "0.0.0.0/0", "0.0.0.0", 4},
        {"1.2.3.5/31", "1.2.3.4/31", "1.2.3.4", 4},
        {"::/0", "::/0", "::", 6},
        {"::", "::/128", "::", 6},
        {"2001:DB8::1/64", "2001:db8::/64", "2001:db8::", 6},
        {"2001:db8::ffff/127", "2001:db8::fffe/127", "2001:db8::fffe", 6},
        {"2001:db8:0:0:0:0:0:1", "2001:db8::1/128", "2001:db8::1", 6},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/121", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ff80/121",
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ff80", 6},
        {"64:ff9b::192.0.2.1", "64:ff9b::c000:201/128", "64:ff9b::c000:201", 6},
    };
    char text[SP_CIDR_TEXT_SIZE];
    struct sp_cidr none = {0};

    for (size_t i = 0; i < LENGTH(right); i++) {
        struct sp_cidr c = cidr(right[i].text), again;

        assert_int_equal(c.family, right[i].family);
        assert_string_equal(sp_cidr_format_address(&c, text), right[i].address);
        assert_string_equal(sp_cidr_format(&c, text), right[i].prefix);
        again = cidr(text);
        assert_true(sp_cidr_equal(&c, &again));
    }
    assert_string_equal(sp_cidr_format(&none, text), "");
}

static void test_cidr_refused(void **state)
{
    static const char *const wrong[] = {
        "", "/", "/24", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.4/", "1.2.3.4/33", "1.2.3.4/-1", "1.2.3.4/+8",
        "1.2.3.4/ 8",
        "1.2.3.4/8 ", "1.2.3.4/08", "1.2.3.4/00", "1.2.3.4/8/8", "1.2.3.4/255.0.0.0", "1.2.3.4/4294967304", " 1.2.3.4",
        "1.2.3.4 ",
        "0x1.2.3.4",
        "1.2.3.4\n", "::1/129", "::1/0x40", "fe80::1%eth0", "fe80::1%eth0/64", "[::1]", "::ffff:1.2.3.4", "::ffff:102:304",
        "::ffff:1.2.3.4/96",
        "::ffff:0:0/0", "1::2::3", ":::", "12345::", "any", "1.2.3.4/999999999999999999999",
        "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000",
    };
    struct sp_cidr before = cidr("10.0.0.0/8");

    for (size_t i = 0; i < LENGTH(wrong); i++) {
        struct sp_cidr c = before;

        if (sp_cidr_parse(wrong[i], &c) != SP_E_SYNTAX || !sp_cidr_equal(&c, &before)) {
            fail_msg("'%s'", wrong[i]);
        }
    }
}

static void test_cidr_contains(void **state)
{
    static const struct {
        const char *outer, *inner;
        bool contains;
    } cases[] = {
        {"10.0.0.0/8", "10.1.2.3", true},    {"10.0.0.0/8", "10.0.0.0/8", true},  {"10.0.0.0/8", "11.0.0.0", false},
        {"10.0.0.0/9", "10.128.0.0", false}, {"10.0.0.0/9", "10.0.0.0/8", false}, {"0.0.0.0/0", "255.1.2.3/32", true},
        {"0.0.0.0/0", "::1", false},         {"::/0", "10.0.0.1", false},         {"2001:db8::/33", "2001:db8:7fff::", true},
        {"2001:db8::/33", "2001:db8:8000::", false}, {"::/0", "::/0", true},      {"::1", "::1", true},
    };
    struct sp_cidr none = {0};

    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct sp_cidr outer = cidr(cases[i].outer), inner = cidr(cases[i].inner);

        if (sp_cidr_contains(&outer, &inner) != cases[i].contains) {
            fail_msg("%s %s", cases[i].outer, cases[i].inner);
        }
    }
    assert_false(sp_cidr_contains(&none, &none));
}

static void test_cidr_address(void **state)
{
    struct sp_cidr v4 = cidr("10.0.0.1"), v6 = cidr("::1"), v6_32 = cidr("2001:db8::/32"), none = {0};

    assert_true(sp_cidr_is_address(&v4));
    assert_true(sp_cidr_is_address(&v6));
    assert_false(sp_cidr_is_address(&v6_32));
    assert_false(sp_cidr_is_address(&none));
}

static void test_link_local(void **state)
{
    struct sp_mac mac;
    struct sp_cidr address;
    char text[SP_CIDR_TEXT_SIZE];

    assert_int_equal(sp_mac_parse("34:56:78:9a:bc:de", &mac), 0); /* The example of RFC 4291 appendix A has these bits. */
    address = sp_cidr_link_local(&mac);
    assert_string_equal(sp_cidr_format(&address, text), "fe80::3656:78ff:fe9a:bcde/128");
    assert_int_equal(sp_mac_parse("02:00:00:00:00:01", &mac), 0);
    address = sp_cidr_link_local(&mac);
    assert_string_equal(sp_cidr_format_address(&address, text), "fe80::ff:fe00:1");
}

static void test_decimal(void **state)
{
    static const uint64_t values[] = {0, 9, 10, 99, 100, 1000000, UINT32_MAX, INT64_MAX, UINT64_MAX};
    char text[SP_DECIMAL_TEXT_SIZE], expected[32];

    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        snprintf(expected, sizeof expected, "%llu", (unsigned long long) values[i]);
        assert_string_equal(sp_decimal_format(values[i], text), expected);
    }
}

static void test_time(void **state)
{
    char text[SP_TIME_TEXT_SIZE];

    assert_string_equal(sp_time_format(0, text), "1970-01-01T00:00:00.000000Z");
    assert_string_equal(sp_time_format(1709210096000123, text), "2024-02-29T12:34:56.000123Z");
    assert_string_equal(sp_time_format(-1, text), "1969-12-31T23:59:59.999999Z");
    assert_string_equal(sp_time_format(-2208988800000000, text), "1900-01-01T00:00:00.000000Z");
    assert_string_equal(sp_time_format(-2208988800000001, text), "1899-12-31T23:59:59.999999Z");
    assert_string_equal(sp_time_format(253370764800000000, text), "9999-01-01T00:00:00.000000Z");
    assert_string_equal(sp_time_format(253370764799999999, text), "9998-12-31T23:59:59.999999Z");
    assert_string_equal(sp_time_format(1234567890987654, text), "2009-02-13T23:31:30.987654Z");
    assert_true(strlen(sp_time_format(INT64_MAX, text)) < sizeof text);
    assert_true(strlen(sp_time_format(INT64_MIN, text)) < sizeof text);

    static const int64_t times[] = { 0, 1, 1709210096000123, 253402300799999999 };
    static const char *const wrong[] = { "", "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.00000Z", "1970-01-01T00:00:00.000000",
                                         "1970-01-01T00:00:00.0000000Z", "1970-13-01T00:00:00.000000Z", "x",
                                         "1970-01-01T00:00:00.000000Zx", "1970-01-01T00:00:00.-00001Z" };
    int64_t time;
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        assert_int_equal(sp_time_parse(sp_time_format(times[i], text), &time), 0);
        assert_true(time == times[i]);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(sp_time_parse(wrong[i], &time), SP_E_SYNTAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uuid),          cmocka_unit_test(test_mac),          cmocka_unit_test(test_cidr_forms),
        cmocka_unit_test(test_cidr_refused),  cmocka_unit_test(test_cidr_contains), cmocka_unit_test(test_cidr_address),
        cmocka_unit_test(test_link_local),    cmocka_unit_test(test_time), cmocka_unit_test(test_decimal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
