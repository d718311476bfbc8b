#include "flows/headers.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/random.h"

#define ETH "\2\0\0\0\0\2\2\0\0\0\0\1"
#define V4(PROTOCOL) "\x45\0\0\x28\0\0\0\0\x40" PROTOCOL "\0\0\x0a\0\0\1\x0a\0\0\2"
#define V6(PROTOCOL)                                                                                                             \
    "\x60\0\0\0\0\x20" PROTOCOL "\x40\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\2"
#define PORTS "\x9c\x40\x22\xb8"

/* What is read of a frame: addresses, protocol, ports or type and code. */
static const struct {
    const char *frame;
    size_t size;
    const char *dst;
    int protocol;
    int ports[2]; /* -1: none. */
    int icmp[2];
} good[] = {
#define F(TEXT) TEXT, sizeof TEXT - 1
    {F(ETH "\x08\0" V4("\x06") PORTS), "10.0.0.2", 6, {40000, 8888}, {-1, -1}},
    {F(ETH "\x08\0" V4("\x11") PORTS), "10.0.0.2", 17, {40000, 8888}, {-1, -1}},
    {F(ETH "\x08\0" V4("\x84") PORTS), "10.0.0.2", 132, {40000, 8888}, {-1, -1}},
    {F(ETH "\x08\0" V4("\x01") "\x08\x03"), "10.0.0.2", 1, {-1, -1}, {8, 3}},
    {F(ETH "\x08\0" V4("\x3a") "\x80\0"), "10.0.0.2", 58, {-1, -1}, {-1, -1}}, /* The other family's. */
    {F(ETH "\x08\0" V4("\x2f") PORTS), "10.0.0.2", 47, {-1, -1}, {-1, -1}},
    {F(ETH "\x81\0\0\x07\x08\0" V4("\x06") PORTS), "10.0.0.2", 6, {40000, 8888}, {-1, -1}},
    {F(ETH "\x88\xa8\0\x07\x86\xdd" V6("\x06") PORTS), "2001:db8::2", 6, {40000, 8888}, {-1, -1}},
    /* Cut off in the ports, and a header with options, whole and cut off. */
    {F(ETH "\x08\0" V4("\x06") "\x9c\x40\x22"), "10.0.0.2", 6, {-1, -1}, {-1, -1}},
    {F(ETH "\x08\0\x46\0\0\x28\0\0\0\0\x40\x06\0\0\x0a\0\0\1\x0a\0\0\2\1\1\1\1" PORTS), "10.0.0.2", 6, {40000, 8888}, {-1, -1}},
    {F(ETH "\x08\0\x4f\0\0\x28\0\0\0\0\x40\x06\0\0\x0a\0\0\1\x0a\0\0\2" PORTS), "10.0.0.2", 6, {-1, -1}, {-1, -1}},
    /* A first fragment and a later one. */
    {F(ETH "\x08\0\x45\0\0\x28\0\0\x20\0\x40\x06\0\0\x0a\0\0\1\x0a\0\0\2" PORTS), "10.0.0.2", 6, {40000, 8888}, {-1, -1}},
    {F(ETH "\x08\0\x45\0\0\x28\0\0\0\1\x40\x06\0\0\x0a\0\0\1\x0a\0\0\2" PORTS), "10.0.0.2", 6, {-1, -1}, {-1, -1}},
    {F(ETH "\x86\xdd" V6("\x06") PORTS), "2001:db8::2", 6, {40000, 8888}, {-1, -1}},
    {F(ETH "\x86\xdd" V6("\x3a") "\x80\x00"), "2001:db8::2", 58, {-1, -1}, {128, 0}},
    {F(ETH "\x86\xdd" V6("\x01") "\x08\x00"), "2001:db8::2", 1, {-1, -1}, {-1, -1}},
    /* Extensions: hop by hop, destination, routing, fragment (first, later), authentication, one that is cut off. */
    {F(ETH "\x86\xdd" V6("\0") "\x3c\0\0\0\0\0\0\0\x2b\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0" PORTS),
     "2001:db8::2", 6, {40000, 8888}, {-1, -1}},
    {F(ETH "\x86\xdd" V6("\x2c") "\x11\0\0\1\0\0\0\7" PORTS), "2001:db8::2", 17, {40000, 8888}, {-1, -1}},
    {F(ETH "\x86\xdd" V6("\x2c") "\x11\0\0\x08\0\0\0\7" PORTS), "2001:db8::2", 17, {-1, -1}, {-1, -1}},
    {F(ETH "\x86\xdd" V6("\x33") "\x06\1\0\0\0\0\0\0\0\0\0\0" PORTS), "2001:db8::2", 6, {40000, 8888}, {-1, -1}},
    {F(ETH "\x86\xdd" V6("\0") "\x06\xff\0\0\0\0\0\0" PORTS), "2001:db8::2", 6, {-1, -1}, {-1, -1}},
    {F(ETH "\x86\xdd" V6("\x2c") "\x11\0\0\1\0\0\0"), "2001:db8::2", 44, {-1, -1}, {-1, -1}},
    {F(ETH "\x86\xdd" V6("\x3b") PORTS), "2001:db8::2", 59, {-1, -1}, {-1, -1}},
};

static void test_good(void **state)
{
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct sp_headers h;
        char dst[SP_CIDR_TEXT_SIZE];
        uint8_t *copy = malloc(good[i].size); /* So that a tool sees it when more is read. */

        assert_non_null(copy);
        memcpy(copy, good[i].frame, good[i].size);
        print_message("frame %zu\n", i);
        assert_int_equal(sp_headers_parse(copy, good[i].size, &h), 0);
        assert_string_equal(sp_cidr_format_address(&h.dst, dst), good[i].dst);
        assert_string_equal(sp_cidr_format_address(&h.src, dst), h.src.family == 4 ? "10.0.0.1" : "2001:db8::1");
        assert_int_equal(h.protocol, good[i].protocol);
        assert_int_equal(h.has_ports ? h.src_port : -1, good[i].ports[0]);
        assert_int_equal(h.has_ports ? h.dst_port : -1, good[i].ports[1]);
        assert_int_equal(h.has_icmp ? h.icmp_type : -1, good[i].icmp[0]);
        assert_int_equal(h.has_icmp ? h.icmp_code : -1, good[i].icmp[1]);
        free(copy);
    }
}

/* No more extensions than the bound. */
static void test_extensions_end(void **state)
{
    for (unsigned n = SP_HEADERS_EXTENSIONS_MAX - 1; n <= SP_HEADERS_EXTENSIONS_MAX + 1; n++) {
        uint8_t bytes[256] = ETH "\x86\xdd" V6("\x3c");
        struct sp_headers h;
        size_t at = 14 + 40;

        for (unsigned i = 0; i < n; i++, at += 8) {
            bytes[at] = i + 1 < n ? 0x3c : 0x06;
        }
        memcpy(bytes + at, PORTS, 4);
        assert_int_equal(sp_headers_parse(bytes, at + 4, &h), 0);
        assert_int_equal(h.has_ports, n <= SP_HEADERS_EXTENSIONS_MAX);
    }
}

static void test_bad(void **state)
{
    static const struct {
        const char *frame;
        size_t size;
    } bad[] = {
        {F("")},
        {F(ETH "\x08")},
        {F(ETH "\x08\0")},
        {F(ETH "\x08\x06" V4("\x06") PORTS)}, /* ARP. */
        {F(ETH "\x81\0\0\x07\x08")},
        {F(ETH "\x81\0\0\x07\x81\0\0\x07\x08\0" V4("\x06") PORTS)}, /* A second tag. */
        {F(ETH "\x08\0\x45\0\0\x28\0\0\0\0\x40\x06\0\0\x0a\0\0\1\x0a\0\0")},
        {F(ETH "\x08\0\x65\0\0\x28\0\0\0\0\x40\x06\0\0\x0a\0\0\1\x0a\0\0\2" PORTS)}, /* Version 6. */
        {F(ETH "\x08\0\x44\0\0\x28\0\0\0\0\x40\x06\0\0\x0a\0\0\1\x0a\0\0\2" PORTS)}, /* A header of 16 bytes. */
        {F(ETH "\x86\xdd" V4("\x06") PORTS)},
        {F(ETH "\x86\xdd\x60\0\0\0\0\x20\x06\x40")},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct sp_headers h = {.protocol = 99};

        print_message("frame %zu\n", i);
        assert_int_equal(sp_headers_parse((const uint8_t *) bad[i].frame, bad[i].size, &h), SP_E_SYNTAX);
        assert_int_equal(h.protocol, 99);
    }
}

/* Whatever comes, at whatever length: never beyond the end, which the sanitiser sees, and never a contradiction. */
static void test_anything(void **state)
{
    struct sp_random random;

    sp_random_init(&random);
    for (unsigned run = 0; run < 200000; run++) {
        size_t from = sp_random_below(&random, sizeof good / sizeof *good);
        size_t size = sp_random_below(&random, (uint32_t) good[from].size + 1);
        uint8_t *bytes = malloc(size ? size : 1);
        struct sp_headers h;

        assert_non_null(bytes);
        memcpy(bytes, good[from].frame, size);
        for (uint32_t n = sp_random_below(&random, 4); n && size; n--) {
            bytes[sp_random_below(&random, (uint32_t) size)] = (uint8_t) sp_random_next(&random);
        }
        if (!sp_headers_parse(bytes, size, &h)) {
            assert_true(h.src.family == h.dst.family && (h.src.family == 4 || h.src.family == 6));
            assert_false(h.has_ports && h.has_icmp);
        }
        free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_extensions_end),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_anything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
