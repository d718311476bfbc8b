/* The HTTP library's own limit: a server that answers every GET with the same body.
 *
 *     raw_http PATH SIZE
 *
 * listens at the unix socket PATH, in the mode that the controller uses it in: one thread that watches libmicrohttpd's epoll
 * descriptor.  Ends with its standard input. */

#include <microhttpd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static enum MHD_Result respond(void *response, struct MHD_Connection *connection, const char *url, const char *method,
                               const char *version, const char *data, size_t *size, void **state)
{
    static int seen;

    if (!*state) { /* Only the head is there yet. */
        *state = &seen;
        return MHD_YES;
    }
    return MHD_queue_response(connection, MHD_HTTP_OK, response);
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || strlen(path) >= sizeof address.sun_path) {
        return -1;
    }
    strcpy(address.sun_path, path);
    return bind(fd, (struct sockaddr *) &address, sizeof address) || listen(fd, 128) ? -1 : fd;
}

int main(int argc, char **argv)
{
    size_t size = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    char *body = malloc(size + 1);
    int fd = argc > 2 ? listen_at(argv[1]) : -1;
    struct MHD_Response *response;
    struct MHD_Daemon *daemon;
    struct pollfd fds[2] = {{.events = POLLIN}, {.fd = 0, .events = POLLIN}};

    if (fd < 0 || !body) {
        fprintf(stderr, "usage: %s PATH SIZE\n", argv[0]);
        return 2;
    }
    memset(body, ' ', size);
    response = MHD_create_response_from_buffer(size, body, MHD_RESPMEM_MUST_FREE);
    daemon = response ? MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, respond, response, MHD_OPTION_LISTEN_SOCKET, fd,
                                         MHD_OPTION_CONNECTION_LIMIT, 1024u, MHD_OPTION_END)
                      : NULL;
    if (!daemon || MHD_add_response_header(response, "Content-Type", "application/json") != MHD_YES) {
        fprintf(stderr, "raw_http: libmicrohttpd does not start\n");
        return 2;
    }
    fds[0].fd = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    while (!(fds[1].revents & (POLLIN | POLLHUP))) {
        MHD_UNSIGNED_LONG_LONG timeout_ms;
        int has_timeout = MHD_get_timeout(daemon, &timeout_ms) == MHD_YES;

        if (poll(fds, 2, has_timeout ? (int) timeout_ms : -1) < 0 || MHD_run(daemon) != MHD_YES) {
            return 2;
        }
    }
    MHD_stop_daemon(daemon);
    MHD_destroy_response(response);
    return 0;
}
