/* Traffic between two hosts.
 *
 *     traffic udp-sink PORT                          counts datagrams until its input ends
 *     traffic udp-source ADDRESS PORT SECONDS        sends datagrams of 18 bytes, 60 on the wire, as fast as it can
 *     traffic udp-flood ADDRESS SECONDS RATE         sends so many a second, each from and to other ports from 20000 on
 *     traffic tcp-sink PORT                          accepts and closes until its input ends
 *     traffic tcp-source ADDRESS PORT SECONDS N      opens connections and waits for their end, N at a time
 *
 * Each prints {"n": ..., "seconds": ...} at the end: datagrams or connections.  Exit status: 0 done, 2 something failed. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define PARALLEL_MAX 256
#define FLOOD_PORT 20000 /* The first of both ends' ports. */
#define FLOOD_SOURCES 64

static void die(const char *what)
{
    fprintf(stderr, "traffic: %s: %s\n", what, strerror(errno));
    exit(2);
}

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

static struct sockaddr_in address_of(const char *host, const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t) strtoul(port, NULL, 10))};

    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) {
        errno = EINVAL;
        die(host);
    }
    return address;
}

static int open_sink(int type, const char *port)
{
    struct sockaddr_in address = address_of("0.0.0.0", port);
    int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (fd < 0 || bind(fd, (struct sockaddr *) &address, sizeof address) || (type == SOCK_STREAM && listen(fd, 1024))) {
        die(port);
    }
    return fd;
}

static size_t receive_some(int fd)
{
    static char buffers[BATCH][64];
    struct mmsghdr msgs[BATCH];
    struct iovec vectors[BATCH];
    int n;

    for (size_t i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){buffers[i], sizeof buffers[i]};
        msgs[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &vectors[i], .msg_iovlen = 1}};
    }
    n = recvmmsg(fd, msgs, BATCH, MSG_DONTWAIT, NULL);
    return n > 0 ? (size_t) n : 0;
}

static size_t accept_some(int fd)
{
    size_t n = 0;

    for (int one; (one = accept(fd, NULL, NULL)) >= 0; n++) {
        close(one);
    }
    return n;
}

static size_t sink(int type, const char *port)
{
    int fd = open_sink(type, port);
    struct pollfd fds[2] = {{.fd = fd, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
    size_t n = 0;

    printf("ready\n");
    fflush(stdout);
    while (!(fds[1].revents & (POLLIN | POLLHUP))) {
        if (poll(fds, 2, -1) < 0) {
            die("poll");
        }
        if (fds[0].revents & POLLIN) {
            n += type == SOCK_DGRAM ? receive_some(fd) : accept_some(fd);
        }
    }
    return n;
}

static size_t send_datagrams(struct sockaddr_in to, double end_s)
{
    static char data[18];
    struct mmsghdr msgs[BATCH];
    struct iovec vector = {data, sizeof data};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    size_t n = 0;

    if (fd < 0 || connect(fd, (struct sockaddr *) &to, sizeof to)) {
        die("udp");
    }
    for (size_t i = 0; i < BATCH; i++) {
        msgs[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &vector, .msg_iovlen = 1}};
    }
    while (now_s() < end_s) {
        int sent = sendmmsg(fd, msgs, BATCH, 0);

        if (sent < 0 && errno != ENOBUFS && errno != ECONNREFUSED) {
            die("sendmmsg");
        }
        n += sent > 0 ? (size_t) sent : 0;
    }
    return n;
}

static int bind_source(uint16_t port)
{
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *) &from, sizeof from)) {
        die("udp");
    }
    return fd;
}

/* In bursts, two hundred a second. */
static size_t flood(struct sockaddr_in to, double seconds, size_t rate)
{
    const struct timespec pause = {.tv_nsec = 5000000};
    double begin_s = now_s(), spent_s;
    int fds[FLOOD_SOURCES];
    size_t n = 0;

    for (size_t i = 0; i < FLOOD_SOURCES; i++) {
        fds[i] = bind_source((uint16_t) (FLOOD_PORT + i));
    }
    while ((spent_s = now_s() - begin_s) < seconds) {
        for (; n < spent_s * (double) rate; n++) {
            to.sin_port = htons((uint16_t) (FLOOD_PORT + n / FLOOD_SOURCES % (65536 - FLOOD_PORT)));
            if (sendto(fds[n % FLOOD_SOURCES], "x", 1, 0, (struct sockaddr *) &to, sizeof to) < 0 && errno != ENOBUFS &&
                errno != ECONNREFUSED) {
                die("sendto");
            }
        }
        nanosleep(&pause, NULL);
    }
    return n;
}

/* Begins a connection, which ends with a reset, so that no port stays taken. */
static int begin_connection(const struct sockaddr_in *to)
{
    struct linger linger = {.l_onoff = 1};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        die("socket");
    }
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    if (connect(fd, (const struct sockaddr *) to, sizeof *to) && errno != EINPROGRESS) {
        die("connect");
    }
    return fd;
}

static size_t open_connections(struct sockaddr_in to, double end_s, size_t parallel)
{
    struct pollfd fds[PARALLEL_MAX];
    size_t n = 0;

    for (size_t i = 0; i < parallel; i++) {
        fds[i] = (struct pollfd){.fd = begin_connection(&to), .events = POLLIN};
    }
    while (now_s() < end_s) {
        if (poll(fds, parallel, 100) < 0) {
            die("poll");
        }
        for (size_t i = 0; i < parallel; i++) {
            char byte;

            if (fds[i].revents & (POLLIN | POLLHUP | POLLERR)) {
                n += recv(fds[i].fd, &byte, 1, 0) == 0; /* The other side has accepted and closed. */
                close(fds[i].fd);
                fds[i].fd = begin_connection(&to);
            }
        }
    }
    return n;
}

int main(int argc, char **argv)
{
    const char *verb = argc > 2 ? argv[1] : "";
    double begin_s = now_s();
    size_t n;

    signal(SIGPIPE, SIG_IGN);
    if (!strcmp(verb, "udp-sink")) {
        n = sink(SOCK_DGRAM, argv[2]);
    } else if (!strcmp(verb, "tcp-sink")) {
        n = sink(SOCK_STREAM, argv[2]);
    } else if (!strcmp(verb, "udp-source") && argc == 5) {
        n = send_datagrams(address_of(argv[2], argv[3]), begin_s + strtod(argv[4], NULL));
    } else if (!strcmp(verb, "tcp-source") && argc == 6 && strtoul(argv[5], NULL, 10) - 1 < PARALLEL_MAX) {
        n = open_connections(address_of(argv[2], argv[3]), begin_s + strtod(argv[4], NULL), strtoul(argv[5], NULL, 10));
    } else if (!strcmp(verb, "udp-flood") && argc == 5) {
        n = flood(address_of(argv[2], "0"), strtod(argv[3], NULL), strtoul(argv[4], NULL, 10));
    } else {
        fprintf(stderr,
                "usage: %s udp-sink|tcp-sink PORT, udp-source|tcp-source ADDRESS PORT SECONDS [N], "
                "udp-flood ADDRESS SECONDS RATE\n",
                argv[0]);
        return 2;
    }
    printf("{\"n\": %zu, \"seconds\": %.6f}\n", n, now_s() - begin_s);
    return 0;
}
