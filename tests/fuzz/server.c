/* The HTTP server itself, libmicrohttpd and all: bytes over a unix socket, in pieces as the first byte says.
 *
 * What arrives at the handler has passed every check of a head, and each request gets one answer. */

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "controller/http/http.h"
#include "controller/obs/log.h"
#include "sallyport/utf8.h"
#include "tests/fuzz/fuzz.h"

#define TURNS_MAX 100 /* Then we go: some that have not asked for anything yet are left to their deadline. */

static uv_loop_t loop;
static struct sp_http_site *server;
static struct sockaddr_un address = {.sun_family = AF_UNIX};

static void handle(void *aux, struct sp_http_request *request)
{
    static const struct sp_http_field field = {"X-Seen", "yes"};
    size_t size;
    const char *body = sp_http_body(request, &size), *path = sp_http_path(request), *key;

    FUZZ_CHECK(body && !body[size] && size <= SP_HTTP_BODY_MAX);
    FUZZ_CHECK(*sp_http_method(request) && sp_utf8_is_valid(path, strlen(path)));
    for (size_t i = 0; (key = sp_http_query_key(request, i)); i++) {
        FUZZ_CHECK(sp_utf8_is_valid(key, strlen(key)) && sp_http_query_value(request, i));
    }
    FUZZ_CHECK(!sp_http_header(request, "Content-Length") || !sp_http_header(request, "Transfer-Encoding"));
    FUZZ_CHECK(!size || sp_http_has_body(request));
    sp_http_respond(request, size % 2 ? 422 : 200, "text/plain", path, strlen(path), &field, 1);
}

static void begin(void)
{
    static char dir[] = "/tmp/sp-fuzz-XXXXXX"; /* Gone at the end: the socket's file lives only while it is connected to. */
    char method[120], why[200];

    signal(SIGPIPE, SIG_IGN);
    sp_log_set_level(SP_LOG_ERROR);
    FUZZ_CHECK(mkdtemp(dir) && !uv_loop_init(&loop));
    snprintf(address.sun_path, sizeof address.sun_path, "%s/s", dir);
    snprintf(method, sizeof method, "unix:%s", address.sun_path);
    FUZZ_CHECK(!sp_http_open(&loop, method, NULL, handle, NULL, &server, why, sizeof why));
}

static void on_closed(void *aux)
{
    server = NULL;
}

static void end(void)
{
    sp_http_close(server, on_closed, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    FUZZ_CHECK(!server && !uv_loop_close(&loop));
    *strrchr(address.sun_path, '/') = '\0';
    rmdir(address.sun_path);
}

/* Reads what there is of the answer.  Returns false at its end. */
static bool take_answer(int fd)
{
    char buffer[4096];
    ssize_t n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);

    return n > 0 || (n < 0 && errno == EAGAIN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t piece = size ? 1 + data[0] * 4u : 1, at = 1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unsigned turns = 0;

    if (!server) {
        begin();
        atexit(end);
    }
    FUZZ_CHECK(fd >= 0 && !connect(fd, (struct sockaddr *) &address, sizeof address));
    while (at < size) {
        size_t n = piece < size - at ? piece : size - at;

        if (send(fd, data + at, n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
            break; /* Closed: it has heard enough. */
        }
        at += n;
        uv_run(&loop, UV_RUN_NOWAIT);
        take_answer(fd);
    }
    shutdown(fd, SHUT_WR);
    while (take_answer(fd) && turns++ < TURNS_MAX) {
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    close(fd);
    uv_run(&loop, UV_RUN_NOWAIT);
    return 0;
}
