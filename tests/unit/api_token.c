/* Bearer tokens: what a file may hold, and whom they let in. */

#include "controller/api/token.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Loads tokens from a file with 'size' bytes of 'text'. */
static int
load(const char *text, size_t size, struct sp_tokens **ret, char *why, size_t why_size)
{
    char path[] = "/tmp/sallyport-token-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, size), size);
    close(fd);
    int r = sp_tokens_load(path, ret, why, why_size);
    unlink(path);
    return r;
}

static struct sp_tokens *
load_text(const char *text)
{
    struct sp_tokens *tokens = NULL;
    char why[200];
    assert_int_equal(load(text, strlen(text), &tokens, why, sizeof why), 0);
    return tokens;
}

static void
test_allow(void **state)
{
    struct sp_tokens *tokens = load_text("  first-token \r\n\n\tsecond.token==\n");
    assert_non_null(sp_tokens_find(tokens, "Bearer first-token"));
    assert_non_null(sp_tokens_find(tokens, "bearer second.token=="));
    assert_non_null(sp_tokens_find(tokens, "Bearer   first-token  "));
    static const char *const refused[] = {"",
                                          "Bearer",
                                          "Bearer ",
                                          "Bearer first-toke",
                                          "Bearer first-tokenx",
                                          "Bearer First-token",
                                          "first-token",
                                          "Basic first-token",
                                          "Bearer first-token second.token==",
                                          "Bearerfirst-token",
                                          "Bearer \n",
                                          "Bearer x"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        if (sp_tokens_find(tokens, refused[i])) {
            fail_msg("'%s' was let in", refused[i]);
        }
    }
    assert_null(sp_tokens_find(tokens, NULL));
    sp_tokens_free(tokens);
}

static void
test_single_token_without_newline(void **state)
{
    struct sp_tokens *tokens = load_text("secret");
    const struct sp_token *token = sp_tokens_find(tokens, "Bearer secret");
    assert_non_null(token);
    assert_string_equal(sp_token_name(token), "");
    assert_int_equal(sp_token_role(token), SP_TOKEN_ADMIN);
    assert_true(sp_token_is_for_all(token) && sp_token_is_for(token, "SV2"));
    sp_tokens_free(tokens);
}

/* Of "abc".  Source: FIPS 180-4, by way of NIST's example values. */
#define SHA256_OF_ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
/* Of "secret". */
#define SHA256_OF_SECRET "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"

static void
test_named(void **state)
{
    struct sp_tokens *tokens = load_text("# who may what\n"
                                         "reader  read\t*  sha256:" SHA256_OF_ABC " \r\n"
                                         "  # by region\n"
                                         "ops.1 operator SV2,TY2 sha256:" SHA256_OF_SECRET "\n"
                                         "plain-token\n");
    const struct sp_token *token = sp_tokens_find(tokens, "Bearer abc");
    assert_non_null(token);
    assert_string_equal(sp_token_name(token), "reader");
    assert_int_equal(sp_token_role(token), SP_TOKEN_READ);
    assert_true(sp_token_is_for_all(token));
    token = sp_tokens_find(tokens, "Bearer secret");
    assert_non_null(token);
    assert_string_equal(sp_token_name(token), "ops.1");
    assert_int_equal(sp_token_role(token), SP_TOKEN_OPERATOR);
    assert_false(sp_token_is_for_all(token));
    assert_true(sp_token_is_for(token, "SV2") && sp_token_is_for(token, "TY2"));
    static const char *const others[] = {"SV", "SV22", "sv2", "", "SV2,TY2", "*"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_false(sp_token_is_for(token, others[i]));
    }
    token = sp_tokens_find(tokens, "Bearer plain-token");
    assert_non_null(token);
    assert_int_equal(sp_token_role(token), SP_TOKEN_ADMIN);
    /* What is in the file is no token. */
    assert_null(sp_tokens_find(tokens, "Bearer sha256:" SHA256_OF_ABC));
    assert_null(sp_tokens_find(tokens, "Bearer " SHA256_OF_ABC));
    assert_null(sp_tokens_find(tokens, "Bearer reader"));
    sp_tokens_free(tokens);
}

static void
assert_refused(const char *text, size_t size, const char *words)
{
    struct sp_tokens *tokens = NULL;
    char why[200] = "";
    assert_int_equal(load(text, size, &tokens, why, sizeof why), SP_E_INVALID);
    assert_null(tokens);
    assert_non_null(strstr(why, words));
}

static void
test_refused_files(void **state)
{
    assert_refused("", 0, "has no token");
    assert_refused(" \n\r\n\t\n", 6, "has no token");
    static const struct {
        const char *text, *words;
    } lines[] = {
        {"two words\n", "line 1: is neither"},
        {"a\nb read * sha256:" SHA256_OF_ABC " more\n", "line 2: is neither"},
        {"b read sha256:" SHA256_OF_ABC "\n", "line 1: is neither"},
        {"b write * sha256:" SHA256_OF_ABC "\n", "role must be"},
        {"b Admin * sha256:" SHA256_OF_ABC "\n", "role must be"},
        {"b/c read * sha256:" SHA256_OF_ABC "\n", "a name has"},
        {"b read SV2, sha256:" SHA256_OF_ABC "\n", "regions must be"},
        {"b read SV2,* sha256:" SHA256_OF_ABC "\n", "regions must be"},
        {"b read , sha256:" SHA256_OF_ABC "\n", "regions must be"},
        {"b read * " SHA256_OF_ABC "\n", "64 hexadecimal digits"},
        {"b read * sha256:" SHA256_OF_ABC "0\n", "64 hexadecimal digits"},
        {"b read * sha256:zz7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n", "64 hexadecimal digits"},
        {"b read * sha256:" SHA256_OF_ABC "\nb admin * sha256:" SHA256_OF_SECRET "\n", "line 2: the name is there"},
        {"#only a comment\n", "has no token"},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        assert_refused(lines[i].text, strlen(lines[i].text), lines[i].words);
    }
    assert_refused("sch\xc3\xb6n\n", 7, "letters, digits");
    assert_refused("a\0b", 3, "text file");
    char *large = malloc(70000);
    assert_non_null(large);
    memset(large, 'a', 70000);
    assert_refused(large, 70000, "64 KiB");
    free(large);

    struct sp_tokens *tokens = NULL;
    char why[200];
    assert_int_equal(sp_tokens_load("/nonexistent/tokens", &tokens, why, sizeof why), -ENOENT);
    assert_non_null(strstr(why, "/nonexistent/tokens"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allow),
        cmocka_unit_test(test_single_token_without_newline),
        cmocka_unit_test(test_named),
        cmocka_unit_test(test_refused_files),
    };
    return cmocka_run_group_tests_name("api_token", tests, NULL, NULL);
}
