#include "controller/http/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "controller/http/http.h"

#define BACKLOG 511
#define UNIX_PREFIX "unix:"
#define HOST_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:"

struct host_port {
    char host[256]; /* Without brackets. */
    char port[6];
};

static int split(const char *address, struct host_port *ret, char *why, size_t why_size);
static int open_tcp(const char *address, struct sp_http_listener *, char *why, size_t why_size);
static int open_tcp_at(const struct addrinfo *, uint16_t *ret_port);
static int open_unix(const char *path, struct sp_http_listener *, char *why, size_t why_size);
static int bind_unix(int fd, const char *path, struct sp_http_listener *);
static int clear_stale_socket(const char *path, const struct sockaddr_un *);
static int check_unix_path(const char *path, char *why, size_t why_size);

int
sp_http_address_check(const char *address, char *why, size_t why_size)
{
    struct host_port parts;

    if (!strncmp(address, UNIX_PREFIX, strlen(UNIX_PREFIX))) {
        return check_unix_path(address + strlen(UNIX_PREFIX), why, why_size);
    }
    return split(address, &parts, why, why_size);
}

bool
sp_http_address_is_exposed(const char *address)
{
    struct host_port parts;
    char why[128];
    struct in6_addr v6;
    struct in_addr v4;

    if (!strncmp(address, UNIX_PREFIX, strlen(UNIX_PREFIX))) {
        return false;
    }
    if (split(address, &parts, why, sizeof why)) {
        return true;
    }
    if (inet_pton(AF_INET, parts.host, &v4) == 1) {
        return ntohl(v4.s_addr) >> 24 != IN_LOOPBACKNET;
    }
    if (inet_pton(AF_INET6, parts.host, &v6) == 1) {
        return !IN6_IS_ADDR_LOOPBACK(&v6);
    }
    return strcasecmp(parts.host, "localhost") != 0; /* RFC 6761 section 6.3. */
}

int
sp_http_listen(const char *address, struct sp_http_listener *ret, char *why, size_t why_size)
{
    struct sp_http_listener listener = {.fd = -1};
    int r;

    if (!strncmp(address, UNIX_PREFIX, strlen(UNIX_PREFIX))) {
        r = open_unix(address + strlen(UNIX_PREFIX), &listener, why, why_size);
    } else {
        r = open_tcp(address, &listener, why, why_size);
    }
    if (r) {
        return r;
    }
    if (listen(listener.fd, BACKLOG)) {
        r = -errno;
        snprintf(why, why_size, "cannot listen on %s: %s", address, strerror(-r));
        close(listener.fd);
        sp_http_listener_clear(&listener);
        return r;
    }
    *ret = listener;
    return 0;
}

bool
sp_http_peer(int fd, char *out, size_t size)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage storage;
    } peer = {.any.sa_family = AF_UNSPEC};
    socklen_t peer_size = sizeof peer;

    if (getpeername(fd, &peer.any, &peer_size)) {
        return false;
    }
    if (peer.any.sa_family == AF_INET) {
        return inet_ntop(AF_INET, &peer.v4.sin_addr, out, (socklen_t) size);
    }
    if (peer.any.sa_family != AF_INET6) {
        return false;
    }

    const struct in6_addr *v6 = &peer.v6.sin6_addr;
    bool is_v4 = IN6_IS_ADDR_V4MAPPED(v6);

    return inet_ntop(is_v4 ? AF_INET : AF_INET6, v6->s6_addr + (is_v4 ? 12 : 0), out, (socklen_t) size);
}

void
sp_http_listener_clear(struct sp_http_listener *listener)
{
    struct stat now;

    if (listener->path && !lstat(listener->path, &now) && S_ISSOCK(now.st_mode) && now.st_dev == listener->device
        && now.st_ino == listener->inode) {
        unlink(listener->path);
    }
    free(listener->path);
    listener->path = NULL;
}

static int
check_unix_path(const char *path, char *why, size_t why_size)
{
    size_t size = strlen(path);

    if (!size || size >= sizeof ((struct sockaddr_un *) NULL)->sun_path) {
        snprintf(why, why_size, "unix:PATH wants a path of 1 to %zu bytes", sizeof ((struct sockaddr_un *) NULL)->sun_path - 1);
        return SP_E_SYNTAX;
    }
    return 0;
}

static int
split(const char *address, struct host_port *ret, char *why, size_t why_size)
{
    const char *colon = strrchr(address, ':');
    const char *host = address;
    size_t host_size = colon ? (size_t) (colon - address) : 0;
    struct in6_addr v6;

    if (host_size >= 2 && address[0] == '[' && colon[-1] == ']') {
        host++;
        host_size -= 2;
    } else if (colon && memchr(address, ':', host_size)) {
        host_size = 0; /* An IPv6 address without its brackets. */
    }
    if (!host_size || host_size >= sizeof ret->host || strspn(host, HOST_CHARACTERS) < host_size) {
        snprintf(why, why_size, "'%s' is none of HOST:PORT, [IPV6]:PORT and unix:PATH", address);
        return SP_E_SYNTAX;
    }
    memcpy(ret->host, host, host_size);
    ret->host[host_size] = '\0';
    if (host != address && inet_pton(AF_INET6, ret->host, &v6) != 1) {
        snprintf(why, why_size, "'%s': no IPv6 address between the brackets", address);
        return SP_E_SYNTAX;
    }

    const char *port = colon + 1;
    size_t digits = strspn(port, "0123456789");

    if (!digits || digits > 5 || port[digits] || strtoul(port, NULL, 10) > 65535) {
        snprintf(why, why_size, "'%s': the port is a number from 0 to 65535", address);
        return SP_E_SYNTAX;
    }
    memcpy(ret->port, port, digits + 1);
    return 0;
}

static int
open_tcp(const char *address, struct sp_http_listener *listener, char *why, size_t why_size)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found;
    struct host_port parts;
    int r;

    if (split(address, &parts, why, why_size)) {
        return -EINVAL;
    }

    int error = getaddrinfo(parts.host, parts.port, &hints, &found);

    if (error) {
        snprintf(why, why_size, "cannot resolve '%s': %s", parts.host, gai_strerror(error));
        return error == EAI_MEMORY ? -ENOMEM : -EADDRNOTAVAIL;
    }
    r = -EADDRNOTAVAIL;
    for (const struct addrinfo *a = found; a && r < 0; a = a->ai_next) {
        r = open_tcp_at(a, &listener->port);
        if (r == -EADDRINUSE) {
            break; /* Not the name's next address instead, unasked. */
        }
    }
    freeaddrinfo(found);
    if (r < 0) {
        snprintf(why, why_size, "cannot listen on %s: %s", address, strerror(-r));
        return r;
    }
    listener->fd = r;
    return 0;
}

/* Returns the bound socket or a negative errno. */
static int
open_tcp_at(const struct addrinfo *a, uint16_t *ret_port)
{
    struct sockaddr_storage bound;
    socklen_t bound_size = sizeof bound;
    int on = 1;

    memset(&bound, 0, sizeof bound);

    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return -errno;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on)
        || (a->ai_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on))
        || bind(fd, a->ai_addr, a->ai_addrlen) || getsockname(fd, (struct sockaddr *) &bound, &bound_size)) {
        int error = errno;

        close(fd);
        return -error;
    }
    *ret_port = ntohs(a->ai_family == AF_INET6 ? ((struct sockaddr_in6 *) &bound)->sin6_port
                                                : ((struct sockaddr_in *) &bound)->sin_port);
    return fd;
}

static int
open_unix(const char *path, struct sp_http_listener *listener, char *why, size_t why_size)
{
    int r;

    if (check_unix_path(path, why, why_size)) {
        return -EINVAL;
    }

    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        r = -errno;
    } else {
        r = bind_unix(fd, path, listener);
        if (r) {
            close(fd);
        } else {
            listener->fd = fd;
        }
    }
    if (r) {
        snprintf(why, why_size, "cannot listen on unix:%s: %s", path,
                 r == -ENOTSOCK ? "a file that is not a socket has this name" : strerror(-r));
    }
    return r;
}

static int
bind_unix(int fd, const char *path, struct sp_http_listener *listener)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat made;

    memcpy(address.sun_path, path, strlen(path) + 1); /* check_unix_path() has measured it. */

    int r = clear_stale_socket(path, &address);

    if (r) {
        return r;
    }

    char *copy = strdup(path);

    if (!copy) {
        return -ENOMEM;
    }
    /* Linux makes the file with the socket's own mode, less the umask: it is at no time more open than 0660. */
    if (fchmod(fd, 0660) || bind(fd, (struct sockaddr *) &address, sizeof address)) {
        r = -errno;
    } else if (chmod(path, 0660) || lstat(path, &made)) {
        r = -errno;
        unlink(path);
    } else {
        listener->path = copy;
        listener->device = made.st_dev;
        listener->inode = made.st_ino;
        return 0;
    }
    free(copy);
    return r;
}

/* Removes the socket file of a process that has gone.  Returns 0 if the name is free now, -EADDRINUSE if somebody listens,
 * -ENOTSOCK if something else has the name, or another negative errno. */
static int
clear_stale_socket(const char *path, const struct sockaddr_un *address)
{
    struct stat there;
    int r = 0;

    if (lstat(path, &there)) {
        return errno == ENOENT ? 0 : -errno;
    }
    if (!S_ISSOCK(there.st_mode)) {
        return -ENOTSOCK;
    }

    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (probe < 0) {
        return -errno;
    }
    if (!connect(probe, (const struct sockaddr *) address, sizeof *address) || errno == EAGAIN) {
        r = -EADDRINUSE;
    } else if (errno != ECONNREFUSED || unlink(path)) {
        r = -errno;
    }
    close(probe);
    return r;
}
