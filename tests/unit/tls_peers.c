/* Which certificate may be which datapath: the order in which the file's lines and the name decide, and what the file may not
 * say. */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controller/io/tls_peers.h"

#define FINGERPRINT "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define OTHER "sha256:ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static bool
allows(const char *text, const char *name, const char *fingerprint, uint64_t dpid)
{
    struct sp_tls_peers *peers = NULL;
    char why[200] = "";
    if (text && sp_tls_peers_parse(text, strlen(text), &peers, why, sizeof why)) {
        fail_msg("%s: %s", text, why);
    }
    struct sp_tls_identity identity;
    memset(&identity, 0, sizeof identity);
    snprintf(identity.name, sizeof identity.name, "%s", name);
    snprintf(identity.fingerprint, sizeof identity.fingerprint, "%s", fingerprint);
    bool allowed = sp_tls_peers_allow(peers, &identity, dpid);
    sp_tls_peers_free(peers);
    return allowed;
}

static void
test_without_a_file_the_name_is_the_datapath(void **state)
{
    assert_true(allows(NULL, "00000000000000aB", FINGERPRINT, 0xab));
    assert_false(allows(NULL, "00000000000000ab", FINGERPRINT, 0xac));
    assert_false(allows(NULL, "00000000000000ab", "", 0xab)); /* No certificate has been seen. */
    static const char *const others[] = {"", "ab", "hv1", "0x000000000000ab", " 0000000000000ab", "000000000000000ab",
                                         "+00000000000000b"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_false(allows(NULL, others[i], FINGERPRINT, 0xab));
        assert_false(allows("", others[i], FINGERPRINT, 0xab));
        assert_false(allows(NULL, others[i], FINGERPRINT, 0));
    }
}

static void
test_the_file(void **state)
{
    static const char text[] = "# hypervisors\n"
                               "\n"
                               "  hv1 0000000000000001\t0000000000000002 \r\n"
                               "gone\n"
                               "lab any\n"
                               "0000000000000009 0000000000000007\n"
                               "0000000000000008\n"
                               FINGERPRINT " 0000000000000003\n";
    assert_true(allows(text, "hv1", OTHER, 1) && allows(text, "hv1", OTHER, 2));
    assert_false(allows(text, "hv1", OTHER, 3) || allows(text, "hv1", OTHER, 0));
    assert_false(allows(text, "gone", OTHER, 1));
    assert_true(allows(text, "lab", OTHER, 0x1234567890abcdef));
    assert_false(allows(text, "nobody", OTHER, 1) || allows(text, "", OTHER, 1));
    /* A line for the name takes the place of what the name says. */
    assert_true(allows(text, "0000000000000009", OTHER, 7));
    assert_false(allows(text, "0000000000000009", OTHER, 9));
    assert_false(allows(text, "0000000000000008", OTHER, 8));
    assert_true(allows(text, "0000000000000005", OTHER, 5));
    /* And one for the fingerprint that of the name. */
    assert_true(allows(text, "hv1", FINGERPRINT, 3));
    assert_false(allows(text, "hv1", FINGERPRINT, 1));
    assert_false(allows(text, "0000000000000005", FINGERPRINT, 5));
}

static void
test_everybody_else(void **state)
{
    static const char text[] = "* any\nhv1 0000000000000001\n" FINGERPRINT "\n";
    assert_true(allows(text, "somebody", OTHER, 77) && allows(text, "", OTHER, 77));
    assert_false(allows(text, "hv1", OTHER, 77));
    assert_false(allows(text, "somebody", FINGERPRINT, 77));
    assert_false(allows(text, "somebody", "", 77));
    assert_false(allows(text, "0000000000000005", OTHER, 77)); /* The name says what it is. */
}

/* What a CA may have signed as a name without a thought. */
static void
test_names_that_look_like_something_else(void **state)
{
    assert_false(allows(FINGERPRINT " any\n", FINGERPRINT, OTHER, 1));
    assert_false(allows("* 0000000000000001\n", "*", OTHER, 2));
    assert_false(allows("any 0000000000000001\n", "any", OTHER, 2));
    assert_true(allows("any 0000000000000001\n", "any", OTHER, 1));
}

static void
assert_refused(const char *text, size_t size, const char *words)
{
    struct sp_tls_peers *peers = NULL;
    char why[200] = "";
    assert_int_equal(sp_tls_peers_parse(text, size, &peers, why, sizeof why), SP_E_INVALID);
    assert_null(peers);
    if (!strstr(why, words) || strchr(why, '\n')) {
        fail_msg("'%s' does not say '%s'", why, words);
    }
}

static void
test_refused(void **state)
{
    static const struct {
        const char *text, *words;
    } samples[] = {
        {"hv1 1\n", "line 1: \"1\" is no datapath id"},
        {"\nhv1 0000000000000001,0000000000000002\n", "line 2: "},
        {"hv1 0000000000000001 Any\n", "line 1: \"Any\""},
        {"hv1\nhv2\nhv1 any\n", "line 3: \"hv1\" has line 1 already"},
        {"*\n*\n", "line 2: \"*\" has line 1"},
        {FINGERPRINT "\nsha256:00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF\n", "has line 1 already"},
        {"sha256:00\n", "64 hexadecimal digits"},
        {"sha256:\n", "64 hexadecimal digits"},
        {"h\xc3\xbc\n", "printable ASCII"},
        {"h\x01v\n", "printable ASCII"},
    };
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        assert_refused(samples[i].text, strlen(samples[i].text), samples[i].words);
    }
    assert_refused("hv1\0any\n", 8, "is not text");
    char name[SP_TLS_NAME_SIZE + 2];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_refused(name, SP_TLS_NAME_SIZE, "at most 127");
    name[SP_TLS_NAME_SIZE - 1] = '\0';
    assert_false(allows(name, name, OTHER, 1));
}

/* As many ids as fit, without blanks to spare. */
static void
test_many(void **state)
{
    size_t capacity = 1u << 20, size = 0;
    char *text = malloc(capacity);
    assert_non_null(text);
    for (unsigned i = 0; size + 40 < capacity; i++) {
        size += (size_t) sprintf(text + size, "%x %016x\n", i, i);
    }
    struct sp_tls_peers *peers = NULL;
    char why[200];
    assert_int_equal(sp_tls_peers_parse(text, size, &peers, why, sizeof why), 0);
    struct sp_tls_identity identity = {.name = "7777", .fingerprint = OTHER};
    assert_true(sp_tls_peers_allow(peers, &identity, 0x7777));
    assert_false(sp_tls_peers_allow(peers, &identity, 0x7778));
    sp_tls_peers_free(peers);
    free(text);
}

static void
test_files(void **state)
{
    char path[] = "/tmp/sallyport-peers-XXXXXX", why[200] = "";
    struct sp_tls_peers *peers = NULL;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "hv1 any\n", 8), 8);
    assert_int_equal(sp_tls_peers_load(path, &peers, why, sizeof why), 0);
    sp_tls_peers_free(peers);
    assert_int_equal(write(fd, "hv2 x\n", 6), 6);
    assert_int_equal(sp_tls_peers_load(path, &peers, why, sizeof why), SP_E_INVALID);
    assert_non_null(strstr(why, path));
    assert_int_equal(ftruncate(fd, (4 << 20) + 1), 0);
    assert_int_equal(sp_tls_peers_load(path, &peers, why, sizeof why), SP_E_INVALID);
    assert_non_null(strstr(why, "4 MiB"));
    close(fd);
    unlink(path);
    assert_true(sp_tls_peers_load(path, &peers, why, sizeof why) < 0);
    assert_true(sp_tls_peers_load("/tmp", &peers, why, sizeof why) < 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_a_file_the_name_is_the_datapath),
        cmocka_unit_test(test_the_file),
        cmocka_unit_test(test_everybody_else),
        cmocka_unit_test(test_names_that_look_like_something_else),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests_name("tls_peers", tests, NULL, NULL);
}
