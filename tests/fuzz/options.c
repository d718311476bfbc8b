/* Values of options, the files that options name, and the small texts of the interface: the first byte says which. */

#include <string.h>

#include "controller/api/decode.h"
#include "controller/api/token.h"
#include "controller/http/http.h"
#include "controller/io/method.h"
#include "controller/io/tls_peers.h"
#include "controller/io/transport.h"
#include "controller/obs/log.h"
#include "tests/fuzz/fuzz.h"

static void check_why(int error, const char *why)
{
    FUZZ_CHECK(error > 0 && *why);
}

static void method(const char *text, size_t size)
{
    struct sp_method_spec spec;
    char why[200] = "", peer[SP_PEER_SIZE];
    int r = sp_method_parse(text, &spec, why, sizeof why);

    if (r) {
        check_why(r, why);
    } else {
        FUZZ_CHECK(spec.address_size > 0 && spec.address_size <= sizeof spec.address);
        FUZZ_CHECK(strlen(sp_method_format_peer(&spec.address, spec.tls, peer)) < sizeof peer);
    }
    FUZZ_CHECK(!sp_method_check(text, why, sizeof why) == !r);
}

static void address(const char *text, size_t size)
{
    char why[200] = "";
    int r = sp_http_address_check(text, why, sizeof why);

    if (r) {
        check_why(r, why);
    } else {
        sp_http_address_is_exposed(text);
    }
}

static void tokens(const char *text, size_t size)
{
    struct sp_tokens *all = NULL;
    char why[200] = "", authorization[300];
    int r = sp_tokens_parse(text, size, &all, why, sizeof why);
    const struct sp_token *token;

    if (r) {
        check_why(r, why);
        FUZZ_CHECK(!all);
        return;
    }
    FUZZ_CHECK(!sp_tokens_find(all, NULL) && !sp_tokens_find(all, "Bearer "));
    snprintf(authorization, sizeof authorization, "Bearer %.*s", (int) strcspn(text, "\n"), text); /* Often one of them. */
    token = sp_tokens_find(all, authorization);
    if (token) {
        FUZZ_CHECK(sp_token_role(token) <= SP_TOKEN_ADMIN && sp_token_name(token));
        FUZZ_CHECK(!sp_token_is_for_all(token) || sp_token_is_for(token, "SV2"));
    }
    sp_tokens_free(all);
}

static void peers(const char *text, size_t size)
{
    struct sp_tls_peers *all = NULL;
    struct sp_tls_identity identity = {.name = "hv1", .fingerprint = "sha256:"};
    char why[200] = "";
    int r = sp_tls_peers_parse(text, size, &all, why, sizeof why);

    if (r) {
        check_why(r, why);
        return;
    }
    memset(identity.fingerprint + 7, 'a', 64);
    sp_tls_peers_allow(all, &identity, 0x1111);
    identity.name[0] = '\0';
    sp_tls_peers_allow(all, &identity, 0x1111);
    sp_tls_peers_free(all);
}

/* What is taken is said again in a form that means the same. */
static void values(const char *text, size_t size)
{
    struct sp_uuid uuid, uuid_again;
    struct sp_mac mac, mac_again;
    struct sp_cidr cidr, cidr_again;
    enum sp_level level;
    uint64_t dpid;
    char out[128];

    if (!sp_uuid_parse(text, &uuid)) {
        FUZZ_CHECK(!sp_uuid_parse(sp_uuid_format(&uuid, out), &uuid_again) && sp_uuid_equal(&uuid, &uuid_again));
    }
    if (!sp_mac_parse(text, &mac)) {
        FUZZ_CHECK(!sp_mac_parse(sp_mac_format(&mac, out), &mac_again) && sp_mac_equal(&mac, &mac_again));
    }
    if (!sp_cidr_parse(text, &cidr)) {
        FUZZ_CHECK(!sp_cidr_parse(sp_cidr_format(&cidr, out), &cidr_again) && sp_cidr_equal(&cidr, &cidr_again));
    }
    if (!sp_decode_dpid(text, &dpid)) {
        FUZZ_CHECK(strlen(text) == 16);
    }
    FUZZ_CHECK(sp_log_level_parse(text, &level) || level <= SP_LOG_DEBUG);
    FUZZ_CHECK(!sp_decode_is_region_name(text) || strlen(text) <= 64);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const kinds[])(const char *, size_t) = {method, address, tokens, peers, values};
    char *text;

    if (!size) {
        return 0;
    }
    text = malloc(size); /* With a NUL in the place of the first byte. */
    FUZZ_CHECK(text);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    kinds[data[0] % (sizeof kinds / sizeof *kinds)](text, size - 1);
    free(text);
    return 0;
}
