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
    assert_true(sp_tokens_allow(tokens, "Bearer first-token"));
    assert_true(sp_tokens_allow(tokens, "bearer second.token=="));
    assert_true(sp_tokens_allow(tokens, "Bearer   first-token  "));
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
        if (sp_tokens_allow(tokens, refused[i])) {
            fail_msg("'%s' was let in", refused[i]);
        }
    }
    assert_false(sp_tokens_allow(tokens, NULL));
    sp_tokens_free(tokens);
}

static void
test_single_token_without_newline(void **state)
{
    struct sp_tokens *tokens = load_text("secret");
    assert_true(sp_tokens_allow(tokens, "Bearer secret"));
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
    assert_refused("two words\n", 10, "letters, digits");
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
        cmocka_unit_test(test_refused_files),
    };
    return cmocka_run_group_tests_name("api_token", tests, NULL, NULL);
}
