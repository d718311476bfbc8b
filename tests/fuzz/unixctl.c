/* What a control socket of ovs-vswitchd may say: the first byte says in pieces of which size it comes, the second how many
 * connections are wanted.  All of it at once must come to the same. */

#include <string.h>

#include "controller/json/json.h"
#include "controller/unixctl/inquiry.h"
#include "tests/fuzz/fuzz.h"

#define COOKIE 0x5350030000000001ull

static void check_request(struct sp_inquiry *inquiry)
{
    char out[sizeof inquiry->out], why[160];
    struct sp_json *json;
    size_t size = sp_inquiry_output(inquiry, out, sizeof out);

    if (size) {
        FUZZ_CHECK(inquiry->state == SP_INQUIRY_ASKING);
        FUZZ_CHECK(!sp_json_parse(out, size, &json, why, sizeof why));
        FUZZ_CHECK(sp_json_get(json, "method") && sp_json_get(json, "params"));
        sp_json_free(json);
    }
}

static void check_connection(const struct sp_conntrack *it, uint16_t zone)
{
    FUZZ_CHECK(it->zone == zone && it->has_ports != it->has_icmp);
    FUZZ_CHECK(sp_cidr_is_address(&it->src) && sp_cidr_is_address(&it->dst) && it->src.family == it->dst.family);
    FUZZ_CHECK(strspn(it->state, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == strlen(it->state));
    FUZZ_CHECK(strlen(it->state) < sizeof it->state);
}

/* Feeds 'data' in pieces. */
static void feed(struct sp_inquiry *inquiry, const uint8_t *data, size_t size, size_t piece, size_t max)
{
    const struct sp_inquiry_port port = {.bridge = "br0", .ofport = 1, .mac = {{2, 0, 0, 0, 0, 1}}, .zone = 1, .cookie = COOKIE};

    FUZZ_CHECK(!sp_inquiry_init(inquiry, &port, max));
    check_request(inquiry);
    for (size_t at = 0; at < size; at += piece) {
        sp_inquiry_receive(inquiry, (const char *) data + at, piece < size - at ? piece : size - at);
        check_request(inquiry);
    }
    FUZZ_CHECK(inquiry->n <= max);
    FUZZ_CHECK(inquiry->is_proved || inquiry->state == SP_INQUIRY_ASKING || inquiry->state == SP_INQUIRY_STRANGER ||
               inquiry->state == SP_INQUIRY_FAILED);
    FUZZ_CHECK((inquiry->state == SP_INQUIRY_FAILED) <= (inquiry->why[0] != '\0'));
    for (size_t i = 0; i < inquiry->n; i++) {
        check_connection(&inquiry->connections[i], port.zone);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_inquiry whole, cut;

    if (size < 2) {
        return 0;
    }
    size_t piece = 1 + data[0] * 16u, max = 1 + data[1] % 8;
    feed(&cut, data + 2, size - 2, piece, max);
    feed(&whole, data + 2, size - 2, size, max);
    FUZZ_CHECK(whole.state == cut.state && whole.n == cut.n && whole.more == cut.more && whole.n_strange == cut.n_strange);
    FUZZ_CHECK(!memcmp(whole.connections, cut.connections, whole.n * sizeof whole.connections[0]));
    FUZZ_CHECK(!strcmp(whole.why, cut.why));
    sp_inquiry_clear(&whole);
    sp_inquiry_clear(&cut);
    return 0;
}
