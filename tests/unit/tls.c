/* TLS without sockets: two channels, and what stands between them. */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "controller/io/tls.h"
#include "controller/io/tls_files.h"
#include "tests/support/authority.h"

struct site {
    char directory[64];
    struct authority *ours, *foreign;
    struct sp_tls *here; /* "here", which believes 'ours'. */
};

/* Valid until the next call. */
static struct sp_tls_files
files_of(const char *directory, const char *leaf, const char *ca)
{
    static char key[160], certificate[160], authority[160];
    snprintf(key, sizeof key, "%s/%s-key.pem", directory, leaf);
    snprintf(certificate, sizeof certificate, "%s/%s-cert.pem", directory, leaf);
    snprintf(authority, sizeof authority, "%s/%s.pem", directory, ca);
    return (struct sp_tls_files){key, certificate, authority, NULL};
}

static struct sp_tls *
credentials(const struct site *site, const char *leaf, const char *ca)
{
    struct sp_tls_files files = files_of(site->directory, leaf, ca);
    struct sp_tls *tls = NULL;
    char why[300] = "";
    if (sp_tls_new(&files, 1000, &tls, why, sizeof why)) {
        fail_msg("%s: %s", leaf, why);
    }
    return tls;
}

static int
setup(void **state)
{
    struct site *site = calloc(1, sizeof *site);
    assert_non_null(site);
    strcpy(site->directory, "/tmp/sp-tls-XXXXXX");
    assert_non_null(mkdtemp(site->directory));
    site->ours = authority_new(site->directory, "ours");
    site->foreign = authority_new(site->directory, "foreign");
    authority_issue(site->ours, &(struct leaf){.file = "here", .name = "here", .from_days = -1, .until_days = 1});
    authority_issue(site->ours, &(struct leaf){.file = "hv1", .name = "hv1 id:1234", .from_days = -1, .until_days = 1});
    authority_issue(site->foreign, &(struct leaf){.file = "alien", .name = "hv1", .from_days = -1, .until_days = 1});
    site->here = credentials(site, "here", "ours-ca");
    *state = site;
    return 0;
}

static int
teardown(void **state)
{
    struct site *site = *state;
    char command[128];
    sp_tls_unref(site->here);
    authority_free(site->ours);
    authority_free(site->foreign);
    snprintf(command, sizeof command, "rm -r %s", site->directory);
    assert_int_equal(system(command), 0);
    free(site);
    return 0;
}

/* The two ends of a connection. */
struct pair {
    struct sp_tls_channel *a; /* Accepts. */
    struct sp_tls_channel *b; /* Dials. */
    int a_result, b_result;   /* Of the handshake. */
    char a_why[200], b_why[200];
};

static void
open_pair(struct pair *pair, struct sp_tls *a, struct sp_tls *b)
{
    *pair = (struct pair){.a_result = SP_E_STALE, .b_result = SP_E_STALE};
    pair->a = sp_tls_channel_new(a, true);
    pair->b = sp_tls_channel_new(b, false);
    assert_true(pair->a && pair->b);
}

static void
close_pair(struct pair *pair)
{
    sp_tls_channel_free(pair->a);
    sp_tls_channel_free(pair->b);
}

/* Carries what 'from' has to say to 'to', 'step' bytes at a time.  Returns how many there were. */
static size_t
carry(struct sp_tls_channel *from, struct sp_tls_channel *to, size_t step)
{
    uint8_t bytes[4096];
    assert_true(step <= sizeof bytes);
    size_t n = sp_tls_channel_take(from, bytes, step);
    assert_int_equal(sp_tls_channel_feed(to, bytes, n), 0);
    return n;
}

static void
shake(struct pair *pair, size_t step)
{
    bool moved;
    do {
        if (pair->b_result == SP_E_STALE) {
            pair->b_result = sp_tls_channel_shake(pair->b, pair->b_why, sizeof pair->b_why);
        }
        moved = carry(pair->b, pair->a, step) > 0;
        if (pair->a_result == SP_E_STALE) {
            pair->a_result = sp_tls_channel_shake(pair->a, pair->a_why, sizeof pair->a_why);
        }
        moved |= carry(pair->a, pair->b, step) > 0;
    } while (moved);
}

static void
assert_fails(const struct site *site, struct sp_tls *a, struct sp_tls *b, const char *words)
{
    struct pair pair;
    open_pair(&pair, a, b);
    shake(&pair, 4096);
    assert_int_equal(pair.a_result, SP_E_INVALID);
    if (!strstr(pair.a_why, words) || strchr(pair.a_why, '\n')) {
        fail_msg("'%s' does not say '%s'", pair.a_why, words);
    }
    close_pair(&pair);
}

static void
test_handshake_and_bytes_at_every_split(void **state)
{
    const struct site *site = *state;
    struct sp_tls *hv1 = credentials(site, "hv1", "ours-ca");
    static const size_t steps[] = {1, 2, 3, 5, 100, 4096};
    static uint8_t sent[100000], got[100000];
    for (size_t i = 0; i < sizeof sent; i++) {
        sent[i] = (uint8_t) (i * 31 + (i >> 7));
    }
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct pair pair;
        open_pair(&pair, site->here, hv1);
        shake(&pair, steps[i]);
        assert_int_equal(pair.a_result, 0);
        assert_int_equal(pair.b_result, 0);
        assert_string_equal(sp_tls_channel_identity(pair.a)->name, "hv1");
        assert_string_equal(sp_tls_channel_identity(pair.b)->name, "here");
        assert_int_equal(strlen(sp_tls_channel_identity(pair.a)->fingerprint), 7 + 64);
        size_t n_got = 0, n;
        char why[200];
        assert_int_equal(sp_tls_channel_write(pair.b, sent, sizeof sent), 0);
        assert_true(sp_tls_channel_pending(pair.b) > sizeof sent);
        do {
            carry(pair.b, pair.a, steps[i]);
            assert_int_equal(sp_tls_channel_read(pair.a, got + n_got, sizeof got - n_got, &n, why, sizeof why), 0);
            n_got += n;
        } while (n_got < sizeof got && (n || sp_tls_channel_pending(pair.b)));
        assert_int_equal(n_got, sizeof sent);
        assert_memory_equal(got, sent, sizeof sent);
        sp_tls_channel_end(pair.b);
        while (carry(pair.b, pair.a, steps[i])) {
        }
        assert_int_equal(sp_tls_channel_read(pair.a, got, sizeof got, &n, why, sizeof why), SP_E_CLOSED);
        assert_string_equal(why, "the peer closed the connection");
        close_pair(&pair);
    }
    sp_tls_unref(hv1);
}

/* The one who may not is found out, whichever end he is at. */
static void
test_wrong_certificates(void **state)
{
    const struct site *site = *state;
    static const struct leaf wrong[] = {
        {.file = "old", .name = "hv1", .from_days = -9, .until_days = -1},
        {.file = "early", .name = "hv1", .from_days = 1, .until_days = 9},
    };
    static const char *const words[] = {"certificate has expired", "certificate is not yet valid"};
    struct sp_tls *tls;
    for (size_t i = 0; i < 2; i++) {
        authority_issue(site->ours, &wrong[i]);
        tls = credentials(site, wrong[i].file, "ours-ca");
        assert_fails(site, site->here, tls, words[i]);
        struct pair pair;
        open_pair(&pair, tls, site->here);
        shake(&pair, 4096);
        assert_int_equal(pair.b_result, SP_E_INVALID);
        assert_non_null(strstr(pair.b_why, words[i]));
        close_pair(&pair);
        sp_tls_unref(tls);
    }
    tls = credentials(site, "alien", "ours-ca");
    assert_fails(site, site->here, tls, "the peer's certificate: ");
    sp_tls_unref(tls);
    tls = credentials(site, "hv1", "foreign-ca"); /* Good, but does not believe us. */
    assert_fails(site, site->here, tls, "unknown ca");
    sp_tls_unref(tls);
}

static void
test_no_certificate_and_old_versions(void **state)
{
    const struct site *site = *state;
    struct sp_tls *hv1 = credentials(site, "hv1", "ours-ca");
    SSL_CTX *good = hv1->context;
    hv1->context = SSL_CTX_new(TLS_method());
    assert_non_null(hv1->context);
    assert_fails(site, site->here, hv1, "peer did not return a certificate");
    SSL_CTX_free(hv1->context);
    hv1->context = good;
    /* Below 1.2 OpenSSL has to be begged. */
    SSL_CTX_set_security_level(good, 0);
    assert_true(SSL_CTX_set_cipher_list(good, "ALL"));
    assert_true(SSL_CTX_set_min_proto_version(good, TLS1_VERSION) && SSL_CTX_set_max_proto_version(good, TLS1_1_VERSION));
    assert_fails(site, site->here, hv1, "unsupported protocol");
    /* 1.2 with keys that are not ephemeral. */
    assert_true(SSL_CTX_set_max_proto_version(good, TLS1_2_VERSION));
    assert_true(SSL_CTX_set_cipher_list(good, "kRSA"));
    assert_fails(site, site->here, hv1, "no shared cipher");
    assert_true(SSL_CTX_set_cipher_list(good, "HIGH:!aNULL:!MD5"));
    struct pair pair;
    open_pair(&pair, site->here, hv1);
    shake(&pair, 4096);
    assert_true(!pair.a_result && !pair.b_result);
    close_pair(&pair);
    sp_tls_unref(hv1);
}

static void
test_what_is_no_tls(void **state)
{
    const struct site *site = *state;
    static const char *const texts[] = {"\x05\x00\x00\x08\x00\x00\x00\x01", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\xff\xff\x01",
                                        "\x15\x03\x03\x00\x02\x02\x28"};
    static const size_t sizes[] = {8, 18, 6, 7};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct sp_tls_channel *channel = sp_tls_channel_new(site->here, true);
        char why[200] = "";
        assert_non_null(channel);
        assert_int_equal(sp_tls_channel_shake(channel, why, sizeof why), SP_E_STALE);
        assert_int_equal(sp_tls_channel_feed(channel, texts[i], sizes[i]), 0);
        int r = sp_tls_channel_shake(channel, why, sizeof why);
        assert_true(r == SP_E_INVALID && why[0]);
        sp_tls_channel_free(channel);
    }
}

/* Every byte of a record counts. */
static void
test_damaged_records(void **state)
{
    const struct site *site = *state;
    struct sp_tls *hv1 = credentials(site, "hv1", "ours-ca");
    for (size_t at = 0; at < 32; at++) {
        struct pair pair;
        open_pair(&pair, site->here, hv1);
        shake(&pair, 4096);
        assert_true(!pair.a_result && !pair.b_result);
        uint8_t record[128], out[128];
        char why[200];
        size_t n;
        assert_int_equal(sp_tls_channel_write(pair.b, "0123456789", 10), 0);
        size_t size = sp_tls_channel_take(pair.b, record, sizeof record);
        assert_true(size > 31 && size < sizeof record);
        record[at] ^= 0x40;
        assert_int_equal(sp_tls_channel_feed(pair.a, record, size), 0);
        int r = sp_tls_channel_read(pair.a, out, sizeof out, &n, why, sizeof why);
        assert_int_equal(n, 0);
        assert_true(r == SP_E_INVALID || !r); /* A longer length waits for ever. */
        assert_true(r || at == 3 || at == 4);
        close_pair(&pair);
    }
    sp_tls_unref(hv1);
}

static void
test_names(void **state)
{
    const struct site *site = *state;
    static const struct {
        const char *name, *second, *expected;
    } samples[] = {
        {"hv1", NULL, "hv1"},
        {"hv2 id:0a4fe6ba-7bf3-4c1a-8f9c-1c2d1b2f9f00", NULL, "hv2"},
        {"0000000000000001", NULL, "0000000000000001"},
        {NULL, NULL, ""},
        {"hv1", "hv2", ""},
        {"h\xc3\xbc", NULL, ""},
        {" hv1", NULL, ""},
        {"hv1 \x01", NULL, ""},
    };
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        authority_issue(site->ours, &(struct leaf){"named", samples[i].name, samples[i].second, -1, 1});
        struct sp_tls *tls = credentials(site, "named", "ours-ca");
        struct pair pair;
        open_pair(&pair, site->here, tls);
        shake(&pair, 4096);
        assert_int_equal(pair.a_result, 0);
        assert_string_equal(sp_tls_channel_identity(pair.a)->name, samples[i].expected);
        assert_int_equal(sp_tls_channel_may_be(pair.a, 1), i == 2);
        assert_false(sp_tls_channel_may_be(pair.a, 2));
        close_pair(&pair);
        sp_tls_unref(tls);
    }
}

static void
test_revoked_certificate(void **state)
{
    const struct site *site = *state;
    authority_revoke_all(site->ours);
    struct sp_tls *strict = credentials(site, "here", "ours-crl"), *hv1 = credentials(site, "hv1", "ours-ca");
    assert_fails(site, strict, hv1, "certificate revoked");
    authority_issue(site->ours, &(struct leaf){.file = "new", .name = "hv1", .from_days = -1, .until_days = 1});
    struct sp_tls *fresh = credentials(site, "new", "ours-ca");
    struct pair pair;
    open_pair(&pair, strict, fresh);
    shake(&pair, 4096);
    assert_int_equal(pair.a_result, 0);
    close_pair(&pair);
    sp_tls_unref(fresh);
    sp_tls_unref(strict);
    sp_tls_unref(hv1);
}

static void
test_files_that_do_not_do(void **state)
{
    const struct site *site = *state;
    char why[300], path[160], encrypted[160];
    struct sp_tls *tls = NULL;
    struct sp_tls_files files = files_of(site->directory, "here", "ours-ca");
    snprintf(path, sizeof path, "%s/hv1-key.pem", site->directory);
    files.private_key = path;
    assert_int_equal(sp_tls_new(&files, 1, &tls, why, sizeof why), SP_E_INVALID);
    assert_non_null(strstr(why, "hv1-key.pem"));
    const char *const nowhere = "/nonexistent/file";
    for (int i = 0; i < 4; i++) {
        files = files_of(site->directory, "here", "ours-ca");
        *(i == 0 ? &files.private_key : i == 1 ? &files.certificate : i == 2 ? &files.ca_cert : &files.peers) = nowhere;
        why[0] = '\0';
        assert_int_not_equal(sp_tls_new(&files, 1, &tls, why, sizeof why), 0);
        if (!strstr(why, nowhere) || strchr(why, '\n')) {
            fail_msg("%s", why);
        }
        *(i == 0 ? &files.private_key : i == 1 ? &files.certificate : i == 2 ? &files.ca_cert : &files.peers) = "/dev/null";
        int expected = i == 3 ? 0 : SP_E_INVALID; /* Nobody may be anything: that is a file too. */
        assert_int_equal(sp_tls_new(&files, 1, &tls, why, sizeof why), expected);
    }
    sp_tls_unref(tls);
    tls = NULL;
    /* A key behind a passphrase is refused, not asked for. */
    files = files_of(site->directory, "here", "ours-ca");
    snprintf(encrypted, sizeof encrypted, "%s/encrypted.pem", site->directory);
    char command[600];
    snprintf(command, sizeof command, "openssl pkcs8 -topk8 -in %s -passout pass:secret -out %s", files.private_key, encrypted);
    assert_int_equal(system(command), 0);
    files.private_key = encrypted;
    assert_int_equal(sp_tls_new(&files, 1, &tls, why, sizeof why), SP_E_INVALID);
    assert_non_null(strstr(why, "passphrase"));
    assert_null(tls);
}

/* New files are for new channels; those that are open go on. */
static void
test_reload(void **state)
{
    const struct site *site = *state;
    char peers[160], why[300];
    snprintf(peers, sizeof peers, "%s/peers", site->directory);
    FILE *file = fopen(peers, "w");
    assert_non_null(file);
    fputs("hv1 0000000000000001\n", file);
    fclose(file);
    authority_issue(site->ours, &(struct leaf){.file = "moving", .name = "moving", .from_days = -1, .until_days = 1});
    struct sp_tls *tls = NULL, *hv1 = credentials(site, "hv1", "ours-ca");
    struct sp_tls_files files = files_of(site->directory, "moving", "ours-ca");
    files.peers = peers;
    assert_int_equal(sp_tls_new(&files, 1234, &tls, why, sizeof why), 0);
    assert_int_equal(sp_tls_handshake_ms(tls), 1234);
    struct pair old, new;
    open_pair(&old, tls, hv1);
    shake(&old, 4096);
    assert_true(!old.a_result && sp_tls_channel_may_be(old.a, 1) && !sp_tls_channel_may_be(old.a, 2));

    file = fopen(peers, "w");
    fputs("hv1 nonsense\n", file);
    fclose(file);
    authority_issue(site->ours, &(struct leaf){.file = "moving", .name = "moved", .from_days = -1, .until_days = 1});
    assert_int_equal(sp_tls_reload(tls, why, sizeof why), SP_E_INVALID);
    assert_true(sp_tls_channel_may_be(old.a, 1));
    open_pair(&new, tls, hv1);
    shake(&new, 4096);
    assert_string_equal(sp_tls_channel_identity(new.b)->name, "moving");
    close_pair(&new);

    file = fopen(peers, "w");
    fputs("hv1 0000000000000002\n", file);
    fclose(file);
    assert_int_equal(sp_tls_reload(tls, why, sizeof why), 0);
    assert_true(!sp_tls_channel_may_be(old.a, 1) && sp_tls_channel_may_be(old.a, 2));
    open_pair(&new, tls, hv1);
    shake(&new, 4096);
    assert_string_equal(sp_tls_channel_identity(new.b)->name, "moved");
    uint8_t out[16];
    size_t n;
    assert_int_equal(sp_tls_channel_write(old.b, "still", 5), 0);
    carry(old.b, old.a, 4096);
    assert_int_equal(sp_tls_channel_read(old.a, out, sizeof out, &n, why, sizeof why), 0);
    assert_int_equal(n, 5);
    close_pair(&new);
    close_pair(&old);
    sp_tls_unref(tls);
    sp_tls_unref(hv1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake_and_bytes_at_every_split),
        cmocka_unit_test(test_wrong_certificates),
        cmocka_unit_test(test_no_certificate_and_old_versions),
        cmocka_unit_test(test_what_is_no_tls),
        cmocka_unit_test(test_damaged_records),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_revoked_certificate),
        cmocka_unit_test(test_files_that_do_not_do),
        cmocka_unit_test(test_reload),
    };
    return cmocka_run_group_tests_name("tls", tests, setup, teardown);
}
