/* Options: from arguments and files, with what is wrong named in one line. */

#include "controller/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ARGS_MAX 40

struct reading {
    struct sp_config config;
    enum sp_config_wish wish;
    char why[512];
    int result;
};

/* Reads the blank-separated 'arguments'. */
static struct reading
read_text(const char *arguments)
{
    struct reading reading = {.result = -1};
    char *copy = strdup(arguments), *rest = copy, *argv[ARGS_MAX + 1] = {(char *) "sallyportd"};
    int argc = 1;
    assert_non_null(copy);
    for (char *word = strsep(&rest, " "); word && argc < ARGS_MAX; word = strsep(&rest, " ")) {
        if (*word) {
            argv[argc++] = strcmp(word, "''") ? word : word + 2;
        }
    }
    reading.result = sp_config_read(argc, argv, &reading.config, &reading.wish, reading.why, sizeof reading.why);
    free(copy);
    return reading;
}

/* Writes 'text' to a new file and returns its name, which the next call makes invalid. */
static const char *
write_file(const char *text, size_t size)
{
    static char path[64];
    strcpy(path, "/tmp/sallyport-config-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, size), size);
    close(fd);
    return path;
}

static struct reading
read_with_file(const char *text, const char *arguments)
{
    const char *path = write_file(text, strlen(text));
    char line[256];
    snprintf(line, sizeof line, "--config %s %s", path, arguments);
    struct reading reading = read_text(line);
    unlink(path);
    return reading;
}

static void
assert_refused(struct reading reading, const char *words)
{
    assert_int_equal(reading.result, SP_E_INVALID);
    if (!strstr(reading.why, words)) {
        fail_msg("'%s' does not say '%s'", reading.why, words);
    }
    assert_null(strchr(reading.why, '\n'));
}

static void
test_defaults(void **state)
{
    struct reading reading = read_text("");
    assert_int_equal(reading.result, 0);
    assert_int_equal(reading.wish, SP_CONFIG_RUN);
    assert_string_equal(reading.config.db_path, "/var/lib/sallyport/sallyport.db");
    assert_int_equal(reading.config.openflow.n, 1);
    assert_string_equal(reading.config.openflow.items[0], "ptcp:6653:127.0.0.1");
    assert_int_equal(reading.config.http.n, 1);
    assert_string_equal(reading.config.http.items[0], "127.0.0.1:8080");
    assert_int_equal(reading.config.ovsdb.n, 0);
    assert_null(reading.config.token_file);
    assert_int_equal(reading.config.log_level, SP_LOG_INFO);
    assert_int_equal(reading.config.log_form, SP_LOG_TEXT);
    sp_config_clear(&reading.config);
}

static void
test_arguments(void **state)
{
    struct reading reading =
        read_text("--db=sqlite:x.db --openflow ptcp:0 --openflow punix:/run/x --http unix:/run/h --http [::1]:1 "
                  "--token-file /t --log-level debug --log-format kv --ovsdb tcp:127.0.0.1:1 --ovsdb punix:/d "
                  "--switch-control unix:/run/a --switch-control=unix:/run/b");
    assert_int_equal(reading.result, 0);
    assert_string_equal(reading.config.db_path, "x.db");
    assert_int_equal(reading.config.openflow.n, 2);
    assert_string_equal(reading.config.openflow.items[1], "punix:/run/x");
    assert_int_equal(reading.config.ovsdb.n, 2);
    assert_string_equal(reading.config.ovsdb.items[0], "tcp:127.0.0.1:1");
    assert_int_equal(reading.config.switch_controls.n, 2);
    assert_string_equal(reading.config.switch_controls.items[1], "unix:/run/b");
    assert_int_equal(reading.config.http.n, 2);
    assert_string_equal(reading.config.http.items[1], "[::1]:1");
    assert_string_equal(reading.config.token_file, "/t");
    assert_int_equal(reading.config.log_level, SP_LOG_DEBUG);
    assert_int_equal(reading.config.log_form, SP_LOG_KV);
    sp_config_clear(&reading.config);
}

static void
test_wishes(void **state)
{
    assert_int_equal(read_text("--help").wish, SP_CONFIG_HELP);
    assert_int_equal(read_text("-h").wish, SP_CONFIG_HELP);
    assert_int_equal(read_text("--version").wish, SP_CONFIG_VERSION);
    assert_int_equal(read_text("--log-level error -V").wish, SP_CONFIG_VERSION);
    for (const char *const *p = (const char *const[]){"--db", "--openflow", "--ovsdb", "--switch-control", "--http",
                                                      "--token-file", "--log-level", "--config", "--version", "--help", NULL};
         *p; p++) {
        assert_non_null(strstr(sp_config_help(), *p));
    }
}

static void
test_refused_arguments(void **state)
{
    assert_refused(read_text("--nonsense"), "--nonsense: unknown option");
    assert_refused(read_text("-x"), "unknown option");
    assert_refused(read_text("--http a\nb\x1b[31m"), "--http: a?b?[31m: ");
    assert_refused(read_text("--x\xc2\x85\ny"), "--x???y: unknown option");
    assert_refused(read_text("caf\xc3\xa9\xff"), "caf\xc3\xa9?: unexpected argument");
    assert_refused(read_text("--db"), "needs a value");
    assert_refused(read_text("extra"), "extra: unexpected argument");
    assert_refused(read_text("--db sqlite:"), "--db: sqlite:: must be sqlite:PATH");
    assert_refused(read_text("--db postgres:x"), "must be sqlite:PATH");
    assert_refused(read_text("--db sqlite:a --db sqlite:b"), "given twice");
    assert_refused(read_text("--openflow 6653"), "--openflow: 6653: ");
    assert_refused(read_text("--openflow ptcp:65536"), "--openflow: ptcp:65536: ");
    assert_refused(read_text("--openflow pssl:66533"), "--openflow: pssl:66533: ");
    assert_refused(read_text("--ovsdb /x"), "--ovsdb: /x: ");
    assert_refused(read_text("--switch-control tcp:127.0.0.1:1"), "--switch-control: tcp:127.0.0.1:1: must be unix:PATH");
    assert_refused(read_text("--http nowhere"), "--http: nowhere: ");
    assert_refused(read_text("--http 127.0.0.1:70000"), "--http: ");
    assert_refused(read_text("--log-level loud"), "error, warning, info or debug");
    assert_refused(read_text("--log-format xml"), "text, kv or json");
    assert_refused(read_text("--token-file ''"), "must be a path");
    assert_refused(read_text("--config /nonexistent/file"), "/nonexistent/file: No such file");
}

static void
test_exposed_listener_needs_tokens(void **state)
{
    assert_refused(read_text("--http 0.0.0.0:8080"), "needs --token-file");
    assert_refused(read_text("--http 127.0.0.1:1 --http [::]:8080"), "[::]:8080: an address other than loopback");
    struct reading reading = read_text("--http 0.0.0.0:8080 --token-file /t");
    assert_int_equal(reading.result, 0);
    sp_config_clear(&reading.config);
}

static void
test_tls_needs_all_files(void **state)
{
    assert_refused(read_text("--openflow pssl:6653"), "pssl:6653: needs --");
    assert_refused(read_text("--ovsdb ssl:127.0.0.1:1 --private-key /k --certificate /c"), "ssl:127.0.0.1:1: needs --ca-cert");
    assert_refused(read_text("--private-key /k"), "private-key: needs --");
    assert_refused(read_text("--peer-file /p"), "peer-file: needs --");
    assert_refused(read_text("--http-private-key /k"), "one needs the other");
    assert_refused(read_text("--http-certificate /k"), "one needs the other");
    assert_refused(read_with_file("openflow = pssl:1\ncertificate = /c\nca-cert = /a\n", ""), "needs --private-key");
    struct reading reading = read_text("--openflow pssl:6653 --private-key /k --certificate /c --ca-cert /a --peer-file /p "
                                       "--http-private-key /hk --http-certificate /hc");
    assert_int_equal(reading.result, 0);
    assert_string_equal(reading.config.private_key, "/k");
    assert_string_equal(reading.config.certificate, "/c");
    assert_string_equal(reading.config.ca_cert, "/a");
    assert_string_equal(reading.config.peer_file, "/p");
    assert_string_equal(reading.config.http_private_key, "/hk");
    assert_string_equal(reading.config.http_certificate, "/hc");
    sp_config_clear(&reading.config);
    reading = read_text("--private-key /k --certificate /c --ca-cert /a");
    assert_int_equal(reading.result, 0);
    sp_config_clear(&reading.config);
}

static void
test_file(void **state)
{
    struct reading reading = read_with_file("# a comment\n\n  db =  sqlite:/a b/c.db  \nhttp=127.0.0.1:1\nhttp = unix:/h\n"
                                            "log-level = warning\r\nopenflow = punix:/o",
                                            "");
    assert_int_equal(reading.result, 0);
    assert_string_equal(reading.config.db_path, "/a b/c.db");
    assert_int_equal(reading.config.http.n, 2);
    assert_string_equal(reading.config.http.items[1], "unix:/h");
    assert_int_equal(reading.config.log_level, SP_LOG_WARNING);
    assert_string_equal(reading.config.openflow.items[0], "punix:/o");
    sp_config_clear(&reading.config);
}

static void
test_command_line_goes_before_file(void **state)
{
    struct reading reading = read_with_file("http = 127.0.0.1:1\nhttp = 127.0.0.1:2\ndb = sqlite:file\n", "--http 127.0.0.1:3");
    assert_int_equal(reading.result, 0);
    assert_int_equal(reading.config.http.n, 1);
    assert_string_equal(reading.config.http.items[0], "127.0.0.1:3");
    assert_string_equal(reading.config.db_path, "file");
    sp_config_clear(&reading.config);
}

static void
test_refused_files(void **state)
{
    assert_refused(read_with_file("db = sqlite:x\nspeed = 3\n", ""), ":2: unknown key 'speed'");
    assert_refused(read_with_file("config = x\n", ""), ":1: unknown key 'config'");
    assert_refused(read_with_file("db\n", ""), ":1: must be key = value");
    assert_refused(read_with_file("db = sqlite:a\ndb = sqlite:b\n", ""), ":2: db: is given twice");
    assert_refused(read_with_file("\nlog-level = loud\n", ""), ":2: log-level: loud: ");
    assert_refused(read_with_file("http = 0.0.0.0:1\n", ""), "needs --token-file");
    const char *path = write_file("db = a\0b\n", 9);
    char line[128];
    snprintf(line, sizeof line, "--config %s", path);
    assert_refused(read_text(line), ":1: is not text");
    unlink(path);
    assert_refused(read_text("--config /tmp"), "/tmp: ");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_wishes),
        cmocka_unit_test(test_refused_arguments),
        cmocka_unit_test(test_exposed_listener_needs_tokens),
        cmocka_unit_test(test_tls_needs_all_files),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_command_line_goes_before_file),
        cmocka_unit_test(test_refused_files),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
