/* Examples of what is covered, and the bounds.  tests/property/unnamed.c asks about every port. */

#include "flows/unnamed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static size_t cover(const uint16_t (*ranges)[2], size_t n, struct sp_port_mask ret_masks[SP_UNNAMED_MAX])
{
    struct sp_named_ports named = {{0}};

    for (size_t i = 0; i < n; i++) {
        sp_named_ports_add(&named, ranges[i][0], ranges[i][1]);
    }
    return sp_unnamed_ports(&named, ret_masks);
}

static void one_port(void **aux)
{
    static const uint16_t ssh[][2] = {{22, 22}};
    struct sp_port_mask masks[SP_UNNAMED_MAX];

    assert_int_equal(cover(ssh, 1, masks), 8); /* All but 0 to 255, the largest first. */
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(masks[i].value, 0x8000 >> i);
        assert_int_equal(masks[i].mask, 0xff00 << (7 - i) & 0xffff);
    }
}

static void nothing_and_all(void **aux)
{
    static const uint16_t all[][2] = {{0, 65535}}, both[][2] = {{0, 40000}, {40000, 65535}};
    struct sp_port_mask masks[SP_UNNAMED_MAX];

    assert_int_equal(cover(NULL, 0, masks), 0); /* No port is looked at anyhow. */
    assert_int_equal(cover(all, 1, masks), 0);
    assert_int_equal(cover(both, 2, masks), 0);
}

/* What begins with a block's first port, or ends with its last one, names that block alone. */
static void edges(void **aux)
{
    static const uint16_t one[][2] = {{0, 0x7fff}, {0x8100, 0xffff}}, more[][2] = {{0, 0x8000}, {0x8100, 0xffff}},
                          less[][2] = {{0, 0x7fff}, {0x80ff, 0xffff}};
    struct sp_port_mask masks[SP_UNNAMED_MAX];

    assert_int_equal(cover(one, 2, masks), 1);
    assert_int_equal(masks[0].value, 0x8000);
    assert_int_equal(masks[0].mask, 0xff00);
    assert_int_equal(cover(more, 2, masks), 0);
    assert_int_equal(cover(less, 2, masks), 0);
}

/* The upper half would do as one block, but one of 8 bits there has to be. */
static void one_is_of_all_bits(void **aux)
{
    static const uint16_t half[][2] = {{0, 32767}};
    struct sp_port_mask masks[SP_UNNAMED_MAX];
    unsigned n_ports = 0;

    assert_int_equal(cover(half, 1, masks), 8);
    for (unsigned i = 0; i < 8; i++) {
        assert_true(masks[i].value & 0x8000);
        n_ports += 0x10000u - masks[i].mask;
    }
    assert_int_equal(n_ports, 32768);
    assert_int_equal(masks[7].mask, 0xff00);
}

/* Every other block would take 128, and 32 pairs one of each size, of which those of the larger size stay. */
static void the_largest_stay(void **aux)
{
    struct sp_named_ports named = {{0}};
    struct sp_port_mask masks[SP_UNNAMED_MAX];

    for (unsigned i = 0; i < 256; i += 2) {
        sp_named_ports_add(&named, (uint16_t) (256 * i + 7), (uint16_t) (256 * i + 7));
    }
    assert_int_equal(sp_unnamed_ports(&named, masks), SP_UNNAMED_LARGEST);
    memset(&named, 0, sizeof named);
    for (unsigned i = 0; i < 256; i += 8) { /* Of eight, the first is named: 1, 2 and 4 are left. */
        sp_named_ports_add(&named, (uint16_t) (256 * i + 7), (uint16_t) (256 * i + 7));
    }
    assert_int_equal(sp_unnamed_ports(&named, masks), SP_UNNAMED_MAX - (SP_UNNAMED_BITS - 1) + 2); /* 6 bits, halved to 8. */
    for (unsigned i = 0; i < 31; i++) {
        assert_int_equal(masks[i].mask, 0xfc00);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_port),           cmocka_unit_test(nothing_and_all),  cmocka_unit_test(edges),
        cmocka_unit_test(one_is_of_all_bits), cmocka_unit_test(the_largest_stay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
