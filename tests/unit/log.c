#include "controller/obs/log.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* What one call of 'body' wrote to stderr, in a buffer that the next call overwrites. */
static const char *
captured(void (*body)(void))
{
    static char text[16384];
    int saved = dup(STDERR_FILENO);
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    body();
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    close(ends[1]);

    ssize_t size = read(ends[0], text, sizeof text - 1); /* One write, so one read. */

    assert_true(size >= 0);
    text[size] = '\0';
    assert_int_equal(read(ends[0], text + size, 1), 0);
    close(ends[0]);
    return text;
}

static void
write_plain(void)
{
    errno = ENOSPC;
    sp_log(SP_LOG_WARNING, "store", "disk %d: %m", 7);
    assert_int_equal(errno, ENOSPC);
}

static void
test_line(void **state)
{
    const char *text = captured(write_plain);

    assert_true(strlen(text) > 20);
    assert_int_equal(text[4], '-');
    assert_int_equal(text[10], 'T');
    assert_non_null(strstr(text, "Z WARNING store: disk 7: No space left on device\n"));
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void
write_hostile(void)
{
    sp_log(SP_LOG_ERROR, "http", "[%s]", "a\nERROR b\r\x1b[31m\x7f\xc2\x9b\xe2\x80\xa8\xff\xed\xa0\x80\xc0\x80 ok\xc3\xa9\t.");
}

static void
test_sanitized(void **state)
{
    const char *text = captured(write_hostile);

    assert_non_null(strstr(text, " ERROR http: [a?ERROR b??[31m????????? ok\xc3\xa9?.]\n"));
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void
write_quotes(void)
{
    sp_log(SP_LOG_INFO, "api", "\"a\" = 'b\\c'\nd\xff\xc3\xa9 {}");
}

static void
write_long_quotes(void)
{
    char big[9000];

    memset(big, '"', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    sp_log(SP_LOG_INFO, "area", "%s", big);
}

/* For programs: what is said cannot end the quotes, nor add a field. */
static void
test_forms(void **state)
{
    enum sp_log_form form = SP_LOG_TEXT;

    assert_int_equal(sp_log_form_parse("kv", &form), 0);
    sp_log_set_form(form);
    const char *text = captured(write_quotes);
    assert_memory_equal(text, "time=20", 7);
    assert_non_null(strstr(text, "Z level=info area=api message=\"\\\"a\\\" = 'b\\\\c'?d?\xc3\xa9 {}\"\n"));

    assert_int_equal(sp_log_form_parse("json", &form), 0);
    sp_log_set_form(form);
    text = captured(write_quotes);
    assert_memory_equal(text, "{\"time\":\"20", 11);
    assert_non_null(strstr(text,
                           "Z\",\"level\":\"info\",\"area\":\"api\",\"message\":\"\\\"a\\\" = 'b\\\\c'?d?\xc3\xa9 {}\"}\n"));
    text = captured(write_long_quotes);
    assert_in_range(strlen(text), 4090, 4096);
    assert_string_equal(text + strlen(text) - 8, "\\\"...\"}\n");

    assert_int_equal(sp_log_form_parse("text", &form), 0);
    sp_log_set_form(form);
    assert_non_null(strstr(captured(write_quotes), "Z INFO api: \"a\" = 'b\\c'?d?\xc3\xa9 {}\n"));
    assert_int_equal(sp_log_form_parse("xml", &form), SP_E_SYNTAX);
    assert_int_equal(form, SP_LOG_TEXT);
}

static void
write_long(void)
{
    char big[9000];

    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    sp_log(SP_LOG_INFO, "area", "%s", big);
}

static void
test_long_is_cut(void **state)
{
    const char *text = captured(write_long);

    assert_true(strlen(text) <= 4096);
    assert_string_equal(text + strlen(text) - 5, "x...\n");
}

static void
write_debug(void)
{
    sp_log(SP_LOG_DEBUG, "area", "seen");
}

static void
test_levels(void **state)
{
    enum sp_level level = SP_LOG_INFO;

    assert_string_equal(captured(write_debug), "");
    sp_log_set_level(SP_LOG_DEBUG);
    assert_non_null(strstr(captured(write_debug), "DEBUG area: seen\n"));
    sp_log_set_level(SP_LOG_ERROR);
    assert_string_equal(captured(write_plain), "");
    sp_log_set_level(SP_LOG_INFO);

    assert_int_equal(sp_log_level_parse("error", &level), 0);
    assert_int_equal(level, SP_LOG_ERROR);
    assert_int_equal(sp_log_level_parse("debug", &level), 0);
    assert_int_equal(level, SP_LOG_DEBUG);
    assert_int_equal(sp_log_level_parse("Debug", &level), SP_E_SYNTAX);
    assert_int_equal(sp_log_level_parse("", &level), SP_E_SYNTAX);
    assert_int_equal(level, SP_LOG_DEBUG);
}

/* Nobody reads what stderr leads to: a line is lost, and nobody waits. */
static void
test_full(void **state)
{
    for (int kind = 0; kind < 3; kind++) {
        int saved = dup(STDERR_FILENO), ends[2] = {-1, -1}, full;

        if (kind == 2) {
            full = open("/dev/full", O_WRONLY);
        } else {
            assert_int_equal(kind ? socketpair(AF_UNIX, SOCK_STREAM, 0, ends) : pipe(ends), 0);
            full = ends[1];
        }
        assert_true(dup2(full, STDERR_FILENO) >= 0);
        alarm(60); /* To fail, if it waits. */
        for (int i = 0; i < 5000; i++) {
            sp_log(SP_LOG_INFO, "area", "%0100d", i);
        }
        alarm(0);
        assert_true(dup2(saved, STDERR_FILENO) >= 0);
        close(saved);
        close(full);
        close(ends[0]);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line),
        cmocka_unit_test(test_sanitized),
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_long_is_cut),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_full),
    };

    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
