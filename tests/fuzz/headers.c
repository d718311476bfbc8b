/* The beginning of a frame: what is understood is one connection's, and more of the frame does not make it another one's. */

#include <string.h>

#include "flows/headers.h"
#include "tests/fuzz/fuzz.h"

#define SIZE_MAX_TRIED 200u /* More than a switch sends of a denied packet. */

/* Parses the first 'size' bytes, in a buffer of their own, so that a sanitizer sees a read behind their end. */
static int parse(const uint8_t *data, size_t size, struct sp_headers *ret)
{
    struct sp_headers untouched;
    uint8_t *exact = malloc(size ? size : 1);
    int r;

    FUZZ_CHECK(exact);
    if (size) {
        memcpy(exact, data, size);
    }
    memset(ret, 0x55, sizeof *ret);
    untouched = *ret;
    r = sp_headers_parse(exact, size, ret);
    free(exact);
    FUZZ_CHECK(!r || (r == SP_E_SYNTAX && !memcmp(ret, &untouched, sizeof untouched)));
    return r;
}

static void check(const struct sp_headers *h)
{
    bool has_tcp_ports = h->protocol == 6 || h->protocol == 17 || h->protocol == 132;
    bool is_icmp = h->protocol == (h->src.family == 4 ? 1 : 58);

    FUZZ_CHECK(h->src.family == 4 || h->src.family == 6);
    FUZZ_CHECK(h->src.family == h->dst.family);
    FUZZ_CHECK(sp_cidr_is_address(&h->src) && sp_cidr_is_address(&h->dst));
    FUZZ_CHECK(!h->has_ports || has_tcp_ports);
    FUZZ_CHECK(!h->has_icmp || is_icmp);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_headers whole, part;
    int r;

    size = size < SIZE_MAX_TRIED ? size : SIZE_MAX_TRIED;
    r = parse(data, size, &whole);
    if (!r) {
        check(&whole);
    }
    for (size_t cut = 0; cut < size; cut++) {
        if (parse(data, cut, &part)) {
            continue;
        }
        check(&part);
        FUZZ_CHECK(!r && sp_cidr_equal(&part.src, &whole.src) && sp_cidr_equal(&part.dst, &whole.dst));
        FUZZ_CHECK(!part.has_ports || (whole.has_ports && part.dst_port == whole.dst_port && part.src_port == whole.src_port));
        FUZZ_CHECK(!part.has_icmp || (whole.has_icmp && part.icmp_type == whole.icmp_type && part.icmp_code == whole.icmp_code));
    }
    return 0;
}
