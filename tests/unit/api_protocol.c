/* Names of protocols, both ways. */

#include "controller/api/protocol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int
set_up(void **state)
{
    *state = sp_protocols_new();
    return *state ? 0 : -1;
}

static int
tear_down(void **state)
{
    sp_protocols_free(*state);
    return 0;
}

static void
assert_parses(const struct sp_protocols *protocols, const char *name, int16_t number)
{
    int16_t parsed = -2;
    assert_int_equal(sp_protocols_parse(protocols, name, &parsed), 0);
    assert_int_equal(parsed, number);
}

static void
test_parse(void **state)
{
    assert_parses(*state, "any", SP_PROTOCOL_ANY);
    assert_parses(*state, "tcp", 6);
    assert_parses(*state, "TCP", 6);
    assert_parses(*state, "udp", 17);
    assert_parses(*state, "sctp", 132);
    assert_parses(*state, "icmp", 1);
    assert_parses(*state, "icmpv6", 58);
    assert_parses(*state, "IPv6-ICMP", 58);
    assert_parses(*state, "gre", 47);
    assert_parses(*state, "esp", 50);
    assert_parses(*state, "0", 0);
    assert_parses(*state, "6", 6);
    assert_parses(*state, "255", 255);
}

static void
test_refused(void **state)
{
    static const char *const wrong[] = {"", "256", "-1", " 6", "6 ", "0x6", "0006", "tcpp", "ip", "IP", "all", "t"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int16_t parsed = -2;
        if (!sp_protocols_parse(*state, wrong[i], &parsed)) {
            fail_msg("'%s' was taken for %d", wrong[i], parsed);
        }
        assert_int_equal(parsed, -2);
    }
}

/* A name that is answered is one that can be given, and means the same number. */
static void
test_names_go_both_ways(void **state)
{
    for (int16_t number = 0; number < 256; number++) {
        const char *name = sp_protocols_name(*state, number);
        char digits[8];
        snprintf(digits, sizeof digits, "%d", number);
        assert_parses(*state, name ? name : digits, number);
    }
    assert_string_equal(sp_protocols_name(*state, SP_PROTOCOL_ANY), "any");
    assert_string_equal(sp_protocols_name(*state, 58), "icmpv6");
    assert_string_equal(sp_protocols_name(*state, 47), "gre");
    assert_null(sp_protocols_name(*state, 253)); /* For experiments.  Source: RFC 3692. */
    assert_null(sp_protocols_name(*state, 256));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_names_go_both_ways),
    };
    return cmocka_run_group_tests_name("api_protocol", tests, set_up, tear_down);
}
