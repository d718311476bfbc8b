#include "controller/http/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "controller/http/http.h"

static void
test_addresses(void **state)
{
    static const struct {
        const char *text;
        bool ok, exposed;
    } samples[] = {
        {"127.0.0.1:8080", true, false}, {"127.9.9.9:0", true, false}, {"[::1]:80", true, false}, {"localhost:80", true, false},
        {"unix:/run/a", true, false},    {"0.0.0.0:80", true, true},   {"[::]:80", true, true},   {"10.0.0.1:65535", true, true},
        {"host.example:80", true, true}, {"", false, true},            {":80", false, true},      {"127.0.0.1", false, true},
        {"127.0.0.1:", false, true},     {"127.0.0.1:65536", false, true}, {"127.0.0.1:+80", false, true},
        {"::1:80", false, true},         {"[::1:80", false, true},     {"[x]:80", false, true},   {"[]:80", false, true},
        {"unix:", false, false},         {"a b:80", false, true},      {"127.0.0.1:80x", false, true},
    };

    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        char why[256] = "";
        int r = sp_http_address_check(samples[i].text, why, sizeof why);

        if (r != (samples[i].ok ? 0 : SP_E_SYNTAX) || !why[0] != samples[i].ok
            || sp_http_address_is_exposed(samples[i].text) != samples[i].exposed) {
            fail_msg("%s: %s", samples[i].text, why);
        }
    }

    char why[256], path[200] = "unix:/";

    memset(path + 6, 'a', 108);
    assert_int_equal(sp_http_address_check(path, why, sizeof why), SP_E_SYNTAX);
}

struct place {
    char folder[64];
    char address[96];
    struct sockaddr_un name;
};

static void
place_init(struct place *p)
{
    *p = (struct place) {.folder = "/tmp/sallyport-listen.XXXXXX", .name = {.sun_family = AF_UNIX}};
    assert_non_null(mkdtemp(p->folder));
    snprintf(p->address, sizeof p->address, "unix:%s/http.sock", p->folder);
    snprintf(p->name.sun_path, sizeof p->name.sun_path, "%s/http.sock", p->folder);
}

static void
place_clear(struct place *p)
{
    unlink(p->name.sun_path);
    assert_int_equal(rmdir(p->folder), 0);
}

static void
test_unix_socket(void **state)
{
    struct sp_http_listener first, second;
    struct place p;
    struct stat made;
    char why[256] = "";

    place_init(&p);

    /* A stale one, whose maker has gone, gives way. */
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *) &p.name, sizeof p.name), 0);
    close(fd);
    assert_int_equal(sp_http_listen(p.address, &first, why, sizeof why), 0);
    assert_int_equal(first.port, 0);
    assert_int_equal(stat(p.name.sun_path, &made), 0);
    assert_int_equal(made.st_mode & 0777, 0660);
    assert_true(fcntl(first.fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(first.fd, F_GETFD) & FD_CLOEXEC);

    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *) &p.name, sizeof p.name), 0);
    close(fd);

    /* One that is listened on does not. */
    assert_int_equal(sp_http_listen(p.address, &second, why, sizeof why), -EADDRINUSE);
    assert_non_null(strstr(why, p.name.sun_path));
    close(first.fd);
    sp_http_listener_clear(&first);
    assert_int_equal(access(p.name.sun_path, F_OK), -1);
    place_clear(&p);
}

static void
test_unix_name_is_taken(void **state)
{
    struct sp_http_listener listener;
    struct place p;
    char why[256] = "";

    place_init(&p);

    int fd = open(p.name.sun_path, O_CREAT | O_WRONLY, 0600);

    close(fd);
    assert_int_equal(sp_http_listen(p.address, &listener, why, sizeof why), -ENOTSOCK);
    assert_non_null(strstr(why, "not a socket"));
    assert_int_equal(access(p.name.sun_path, F_OK), 0);
    assert_int_equal(sp_http_listen("unix:/dev/null/x", &listener, why, sizeof why), -ENOTDIR);
    place_clear(&p);
}

/* A file that somebody else has put in the place of ours stays. */
static void
test_unix_file_of_another(void **state)
{
    struct sp_http_listener first, second;
    struct place p;
    char why[256] = "";

    place_init(&p);
    assert_int_equal(sp_http_listen(p.address, &first, why, sizeof why), 0);
    assert_int_equal(unlink(p.name.sun_path), 0);
    assert_int_equal(sp_http_listen(p.address, &second, why, sizeof why), 0);
    close(first.fd);
    sp_http_listener_clear(&first);
    assert_int_equal(access(p.name.sun_path, F_OK), 0);
    close(second.fd);
    sp_http_listener_clear(&second);
    assert_int_equal(access(p.name.sun_path, F_OK), -1);
    place_clear(&p);
}

static void
test_tcp(void **state)
{
    struct sp_http_listener listener;
    char why[256] = "";

    assert_int_equal(sp_http_listen("127.0.0.1:0", &listener, why, sizeof why), 0);
    assert_true(listener.port > 0);
    assert_null(listener.path);
    close(listener.fd);
    sp_http_listener_clear(&listener);
    assert_int_equal(sp_http_listen("192.0.2.1:0", &listener, why, sizeof why), -EADDRNOTAVAIL);
    assert_non_null(strstr(why, "192.0.2.1:0"));
    assert_int_equal(sp_http_listen("nonsense", &listener, why, sizeof why), -EINVAL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_unix_socket),
        cmocka_unit_test(test_unix_name_is_taken),
        cmocka_unit_test(test_unix_file_of_another),
        cmocka_unit_test(test_tcp),
    };

    return cmocka_run_group_tests_name("http_listen", tests, NULL, NULL);
}
