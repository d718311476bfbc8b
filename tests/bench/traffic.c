/* Traffic between two hosts.
 *
 *     traffic udp-sink PORT                            answers datagrams of one byte, drops others, until its input ends
 *     traffic udp-source ADDRESS PORT SECONDS RATE     waits for an answer; then sends datagrams of 18 bytes, 60 on the wire, so
 *                                                      many a second, 0: as many as it can
 *     traffic udp-new ADDRESS PORT N FIRST             sends N datagrams, each from another port
 *     traffic udp-flood ADDRESS SECONDS RATE SAME      sends so many a second from and to ports from 20000 on: SAME to one, each
 *                                                      from another, then to the next
 *     traffic udp-sweep ADDRESS PORT SECONDS RATE      sends so many a second, each to that port of the next address
 *     traffic tcp-sink PORT                            accepts and closes, at PORT and the 15 after it, until its input ends
 *     traffic tcp-source ADDRESS PORT SECONDS N FIRST  opens connections and waits for their end, N at a time
 *
 * Connection number FIRST, FIRST + 1, ... has ports that no other of 960,000 has: who numbers on from run to run never uses a
 * connection's ports a second time.
 *
 * Each prints {"n": ..., "begun": ..., "seconds": ...} at the end: datagrams or connections done, and begun.  Exit status: 0
 * done, 2 something failed. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/udp.h>
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
#define PACED 32 /* At least so many at once. */
#define PARALLEL_MAX 256
#define FLOOD_PORT 20000 /* The first of both ends' ports. */
#define FLOOD_SOURCES 64
#define SWEEP_ADDRESSES (1u << 22)
#define FIRST_SOURCE 1024 /* Of the ports of connections; ... */
#define N_SOURCES 60000
#define N_SINKS 16 /* ... those of the sink. */
#define NEW_BURST 32
#define GREETING_SIZE 1
#define GREETINGS_MAX 100

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

static int open_sink(int type, const char *port, unsigned offset)
{
    struct sockaddr_in address = address_of("0.0.0.0", port);
    int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

    address.sin_port = htons((uint16_t) (ntohs(address.sin_port) + offset));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (fd < 0 || bind(fd, (struct sockaddr *) &address, sizeof address) || (type == SOCK_STREAM && listen(fd, 1024))) {
        die(port);
    }
    return fd;
}

static size_t accept_some(int fd)
{
    size_t n = 0;

    for (int one; (one = accept(fd, NULL, NULL)) >= 0; n++) {
        close(one);
    }
    return n;
}

/* Until the input ends. */
static size_t accept_all(const char *port)
{
    struct pollfd fds[N_SINKS + 1] = {{.fd = 0, .events = POLLIN}};
    size_t n = 0;

    for (unsigned i = 0; i < N_SINKS; i++) {
        fds[i + 1] = (struct pollfd){.fd = open_sink(SOCK_STREAM, port, i), .events = POLLIN};
    }
    printf("ready\n");
    fflush(stdout);
    while (!(fds[0].revents & (POLLIN | POLLHUP))) {
        if (poll(fds, N_SINKS + 1, -1) < 0) {
            die("poll");
        }
        for (unsigned i = 1; i <= N_SINKS; i++) {
            n += fds[i].revents & POLLIN ? accept_some(fds[i].fd) : 0;
        }
    }
    return n;
}

/* Only greetings get as far as the socket: what drops the others in the kernel takes the least time of the machine under
 * measurement. */
static size_t answer_greetings(const char *port)
{
    struct sock_filter greetings[] = {BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
                                      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, sizeof(struct udphdr) + GREETING_SIZE, 0, 1),
                                      BPF_STMT(BPF_RET | BPF_K, UINT16_MAX), BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_fprog filter = {sizeof greetings / sizeof greetings[0], greetings};
    struct pollfd fds[2] = {{.fd = open_sink(SOCK_DGRAM, port, 0), .events = POLLIN}, {.fd = 0, .events = POLLIN}};
    size_t n = 0;

    if (setsockopt(fds[0].fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter)) {
        die("SO_ATTACH_FILTER");
    }
    printf("ready\n");
    fflush(stdout);
    while (!(fds[1].revents & (POLLIN | POLLHUP))) {
        struct sockaddr_in from;
        socklen_t len = sizeof from;
        char greeting[GREETING_SIZE];

        if (poll(fds, 2, -1) < 0) {
            die("poll");
        }
        if (fds[0].revents & POLLIN &&
            recvfrom(fds[0].fd, greeting, sizeof greeting, 0, (struct sockaddr *) &from, &len) == GREETING_SIZE) {
            n += sendto(fds[0].fd, greeting, sizeof greeting, 0, (struct sockaddr *) &from, len) == GREETING_SIZE;
        }
    }
    return n;
}

/* Until it is answered, so that conntrack has seen both directions. */
static void greet(int fd)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    struct pollfd answer = {.fd = fd, .events = POLLIN};
    char greeting[GREETING_SIZE] = "?";

    for (int i = 0; i < GREETINGS_MAX; i++) {
        if (send(fd, greeting, sizeof greeting, 0) == GREETING_SIZE && poll(&answer, 1, 100) == 1 &&
            recv(fd, greeting, sizeof greeting, MSG_DONTWAIT) == GREETING_SIZE) {
            nanosleep(&pause, NULL);
            return;
        }
    }
    errno = ETIMEDOUT;
    die("no answer");
}

static size_t send_datagrams(struct sockaddr_in to, double seconds, size_t rate, double *spent_s)
{
    static char data[18];
    const struct timespec pause = {.tv_nsec = 100000};
    struct mmsghdr msgs[BATCH];
    struct iovec vector = {data, sizeof data};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    double begin_s;
    size_t n = 0;

    if (fd < 0 || connect(fd, (struct sockaddr *) &to, sizeof to)) {
        die("udp");
    }
    for (size_t i = 0; i < BATCH; i++) {
        msgs[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &vector, .msg_iovlen = 1}};
    }
    greet(fd);
    begin_s = now_s();
    while ((*spent_s = now_s() - begin_s) < seconds) {
        size_t due = rate ? (size_t) (*spent_s * (double) rate) - n : BATCH;
        int sent;

        if (due < (rate ? PACED : 1)) {
            nanosleep(&pause, NULL);
            continue;
        }
        sent = sendmmsg(fd, msgs, due < BATCH ? (unsigned) due : BATCH, 0);
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

static uint16_t source_port(size_t number)
{
    return (uint16_t) (FIRST_SOURCE + number % N_SOURCES);
}

/* Slowly enough that none is lost: in bursts, a thousand a second. */
static size_t send_new(struct sockaddr_in to, size_t count, size_t first)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    for (size_t n = 0; n < count; n++) {
        int fd = bind_source(source_port(first + n));

        if (sendto(fd, "new datagram of 18", 18, 0, (struct sockaddr *) &to, sizeof to) < 0) {
            die("sendto");
        }
        close(fd);
        if (n % NEW_BURST == 0) {
            nanosleep(&pause, NULL);
        }
    }
    return count;
}

/* In bursts, two hundred a second. */
/* To 'same' datagrams a port, unless 'to' has one; then each to another address. */
static size_t flood(struct sockaddr_in first, double seconds, size_t rate, size_t same)
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
            struct sockaddr_in to = first;

            if (to.sin_port) {
                to.sin_addr.s_addr = htonl(ntohl(to.sin_addr.s_addr) + (uint32_t) (n % SWEEP_ADDRESSES));
            } else {
                to.sin_port = htons((uint16_t) (FLOOD_PORT + n / same % (65536 - FLOOD_PORT)));
            }
            if (sendto(fds[n % FLOOD_SOURCES], "x", 1, 0, (struct sockaddr *) &to, sizeof to) < 0 && errno != ENOBUFS &&
                errno != ECONNREFUSED) {
                die("sendto");
            }
        }
        nanosleep(&pause, NULL);
    }
    return n;
}

/* Begins connection 'number', which ends with a reset, so that no port stays taken. */
static int begin_connection(struct sockaddr_in to, size_t number)
{
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_port = htons(source_port(number))};
    struct linger linger = {.l_onoff = 1};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

    if (fd < 0) {
        die("socket");
    }
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *) &from, sizeof from)) {
        die("bind");
    }
    to.sin_port = htons((uint16_t) (ntohs(to.sin_port) + number / N_SOURCES % N_SINKS));
    if (connect(fd, (struct sockaddr *) &to, sizeof to) && errno != EINPROGRESS) {
        die("connect");
    }
    return fd;
}

static size_t open_connections(struct sockaddr_in to, double end_s, size_t parallel, size_t number, size_t *begun)
{
    struct pollfd fds[PARALLEL_MAX];
    size_t first = number, n = 0;

    for (size_t i = 0; i < parallel; i++) {
        fds[i] = (struct pollfd){.fd = begin_connection(to, number++), .events = POLLIN};
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
                fds[i].fd = begin_connection(to, number++);
            }
        }
    }
    *begun = number - first;
    return n;
}

static size_t number_of(const char *text)
{
    return strtoul(text, NULL, 10);
}

int main(int argc, char **argv)
{
    const char *verb = argc > 2 ? argv[1] : "";
    double begin_s = now_s(), spent_s = 0;
    size_t n, begun = 0;

    signal(SIGPIPE, SIG_IGN);
    if (!strcmp(verb, "udp-sink")) {
        n = answer_greetings(argv[2]);
    } else if (!strcmp(verb, "tcp-sink")) {
        n = accept_all(argv[2]);
    } else if (!strcmp(verb, "udp-source") && argc == 6) {
        n = send_datagrams(address_of(argv[2], argv[3]), strtod(argv[4], NULL), number_of(argv[5]), &spent_s);
    } else if (!strcmp(verb, "udp-new") && argc == 6) {
        n = begun = send_new(address_of(argv[2], argv[3]), number_of(argv[4]), number_of(argv[5]));
    } else if (!strcmp(verb, "tcp-source") && argc == 7 && number_of(argv[5]) - 1 < PARALLEL_MAX) {
        n = open_connections(address_of(argv[2], argv[3]), begin_s + strtod(argv[4], NULL), number_of(argv[5]),
                             number_of(argv[6]), &begun);
    } else if (!strcmp(verb, "udp-flood") && argc == 6 && number_of(argv[5])) {
        n = flood(address_of(argv[2], "0"), strtod(argv[3], NULL), number_of(argv[4]), number_of(argv[5]));
    } else if (!strcmp(verb, "udp-sweep") && argc == 6) {
        n = flood(address_of(argv[2], argv[3]), strtod(argv[4], NULL), number_of(argv[5]), 1);
    } else {
        fprintf(stderr,
                "usage: %s udp-sink|tcp-sink PORT, udp-source ADDRESS PORT SECONDS RATE, udp-new ADDRESS PORT N FIRST, "
                "tcp-source ADDRESS PORT SECONDS N FIRST, udp-flood ADDRESS SECONDS RATE SAME, "
                "udp-sweep ADDRESS PORT SECONDS RATE\n",
                argv[0]);
        return 2;
    }
    printf("{\"n\": %zu, \"begun\": %zu, \"seconds\": %.6f}\n", n, begun, spent_s > 0 ? spent_s : now_s() - begin_s);
    return 0;
}
