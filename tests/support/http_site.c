#include "tests/support/http_site.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>

#include <cmocka.h>

void
http_site_open(struct http_site *server, const char *address, sp_http_handle *handle, void *aux)
{
    char why[256] = "";

    server->is_closed = false;
    assert_int_equal(uv_loop_init(&server->loop), 0);
    if (sp_http_open(&server->loop, address, NULL, handle, aux, &server->site, why, sizeof why)) {
        fail_msg("%s", why);
    }
}

static void
on_closed(void *aux)
{
    ((struct http_site *) aux)->is_closed = true;
}

void
http_site_begin_close(struct http_site *server)
{
    sp_http_close(server->site, on_closed, server);
}

void
http_site_close(struct http_site *server)
{
    http_site_begin_close(server);
    while (!server->is_closed) {
        uv_run(&server->loop, UV_RUN_ONCE);
    }
    uv_run(&server->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&server->loop), 0);
    server->site = NULL;
}

int
http_site_dial(const struct http_site *server, int receive_buffer)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(sp_http_port(server->site))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    if (receive_buffer) {
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer), 0);
    }
    assert_int_equal(connect(fd, (struct sockaddr *) &address, sizeof address), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

void
http_site_turn(struct http_site *server, int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};

    uv_run(&server->loop, UV_RUN_NOWAIT);
    poll(&p, fd >= 0, 1);
}
