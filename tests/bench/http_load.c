/* HTTP clients that ask one request after the other, each over a kept connection.
 *
 *     http_load ADDRESS CLIENTS SECONDS [IDS [PAUSE_MS]] <REQUESTS
 *
 * ADDRESS is unix:PATH or HOST:PORT (HOST numeric).  Each line of REQUESTS is "METHOD PATH [BODY]"; each client takes the next
 * line as soon as it has its answer.  SECONDS 0: each line once; else the lines go round until so much time has passed.
 * IDS, a file, gets the ids of the objects in the answers, a line each, in the order of the requests (SECONDS 0 only); "" is
 * none.  With PAUSE_MS, and one client, so much time passes between an answer and the next request: all else comes to rest.
 *
 * Prints one JSON object: how many answers, by status and how many were confirmed by the switches (Sallyport-Applied: true),
 * the time that all took, and percentiles of the time from a request's first byte to its answer's last.  Exit status: 0 done,
 * 2 something failed. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_MAX (64u << 20)
#define STATUSES 600

struct request {
    char *text; /* As it goes over the wire. */
    size_t size;
    char id[37]; /* Of its answer; "": it has none. */
};

struct client {
    int fd;
    size_t request; /* Its number, without going round. */
    size_t sent;
    double begin_s;
    char *in;
    size_t in_size, in_capacity;
};

struct load {
    struct timespec pause; /* Before each request but the first. */
    struct request *requests;
    size_t n_requests;
    size_t n_asked;
    size_t n_answered;
    double deadline_s; /* 0: each request once. */
    bool keeps_ids;
    int epoll;
    float *seconds;    /* Of each answer. */
    size_t capacity;
    size_t n_statuses[STATUSES];
    size_t n_applied;
};

static void die(const char *what)
{
    fprintf(stderr, "http_load: %s: %s\n", what, strerror(errno));
    exit(2);
}

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

static void *resize(void *p, size_t size)
{
    p = realloc(p, size);
    if (!p) {
        die("memory");
    }
    return p;
}

static void take_line(struct load *load, char *line)
{
    char *path = strchr(line, ' ');
    char *body = path ? strchr(path + 1, ' ') : NULL;
    struct request *request;
    int n;

    if (!path) {
        errno = EINVAL;
        die(line);
    }
    *path++ = '\0';
    if (body) {
        *body++ = '\0';
    }
    load->requests = resize(load->requests, (load->n_requests + 1) * sizeof *load->requests);
    request = &load->requests[load->n_requests++];
    n = asprintf(&request->text, "%s %s HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %zu\r\n\r\n%s", line, path,
                 body ? "Content-Type: application/json\r\n" : "", body ? strlen(body) : 0, body ? body : "");
    if (n < 0) {
        die("memory");
    }
    request->size = (size_t) n;
    request->id[0] = '\0';
}

static void read_requests(struct load *load)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t n;

    while ((n = getline(&line, &capacity, stdin)) > 0) {
        if (line[n - 1] == '\n') {
            line[n - 1] = '\0';
        }
        take_line(load, line);
    }
    free(line);
    if (!load->n_requests) {
        errno = ENODATA;
        die("requests");
    }
}

static int dial(const char *address)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr_in in = {.sin_family = AF_INET};
    const char *colon = strrchr(address, ':');
    char host[64];
    int fd, one = 1;

    if (!strncmp(address, "unix:", 5) && strlen(address + 5) < sizeof un.sun_path) {
        strcpy(un.sun_path, address + 5);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *) &un, sizeof un)) {
            die(address);
        }
    } else {
        snprintf(host, sizeof host, "%.*s", colon ? (int) (colon - address) : 0, address);
        in.sin_port = htons((uint16_t) strtoul(colon ? colon + 1 : "", NULL, 10));
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (inet_pton(AF_INET, host, &in.sin_addr) != 1 || fd < 0 || connect(fd, (struct sockaddr *) &in, sizeof in)) {
            die(address);
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static bool may_ask(const struct load *load)
{
    return load->deadline_s > 0 ? now_s() < load->deadline_s : load->n_asked < load->n_requests;
}

/* Sends what is left of the client's request. */
static void send_rest(struct load *load, struct client *client)
{
    const struct request *request = &load->requests[client->request % load->n_requests];
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    ssize_t n = send(client->fd, request->text + client->sent, request->size - client->sent, MSG_NOSIGNAL);

    if (n < 0 && errno != EAGAIN) {
        die("send");
    }
    client->sent += n > 0 ? (size_t) n : 0;
    event.events |= client->sent < request->size ? EPOLLOUT : 0;
    if (epoll_ctl(load->epoll, EPOLL_CTL_MOD, client->fd, &event)) {
        die("epoll_ctl");
    }
}

static void ask(struct load *load, struct client *client)
{
    client->request = load->n_asked++;
    client->sent = 0;
    client->in_size = 0;
    client->begin_s = now_s();
    send_rest(load, client);
}

/* The size of the whole answer, or 0 if its head is not there yet. */
static size_t answer_size(const struct client *client, const char **ret_body)
{
    const char *end = strstr(client->in, "\r\n\r\n");
    const char *length = end ? strcasestr(client->in, "\r\nContent-Length:") : NULL;

    if (!end) {
        return 0;
    }
    *ret_body = end + 4;
    return (size_t) (end + 4 - client->in) + (length && length < end ? strtoul(length + 17, NULL, 10) : 0);
}

static void take_answer(struct load *load, struct client *client, const char *body)
{
    static const char begin[] = "{\"id\":\"";
    unsigned long status = strtoul(client->in + 9, NULL, 10);

    if (load->n_answered == load->capacity) {
        load->capacity = 2 * load->capacity + 1024;
        load->seconds = resize(load->seconds, load->capacity * sizeof *load->seconds);
    }
    load->seconds[load->n_answered++] = (float) (now_s() - client->begin_s);
    load->n_statuses[status < STATUSES ? status : 0]++;
    load->n_applied += strstr(client->in, "Sallyport-Applied: true") != NULL;
    if (load->keeps_ids && !strncmp(body, begin, sizeof begin - 1)) {
        snprintf(load->requests[client->request].id, sizeof load->requests->id, "%s", body + sizeof begin - 1);
    }
}

static void receive(struct load *load, struct client *client)
{
    const char *body = NULL;
    size_t size;
    ssize_t n;

    if (client->in_size + 65536 > client->in_capacity) {
        client->in_capacity = 2 * client->in_capacity + 131072;
        client->in = resize(client->in, client->in_capacity);
    }
    n = recv(client->fd, client->in + client->in_size, client->in_capacity - client->in_size - 1, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        errno = n ? errno : ECONNRESET;
        die("recv");
    }
    client->in_size += n > 0 ? (size_t) n : 0;
    client->in[client->in_size] = '\0';
    size = answer_size(client, &body);
    if (size > ANSWER_MAX) {
        errno = EMSGSIZE;
        die("answer");
    }
    if (size && client->in_size >= size) {
        take_answer(load, client, body);
        if (may_ask(load)) {
            nanosleep(&load->pause, NULL);
            ask(load, client);
        }
    }
}

static int compare(const void *a, const void *b)
{
    const float *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static double percentile(const struct load *load, double p)
{
    return load->n_answered ? (double) load->seconds[(size_t) (p * (double) (load->n_answered - 1))] : 0;
}

static void print(struct load *load, double seconds)
{
    const char *separator = "";

    qsort(load->seconds, load->n_answered, sizeof *load->seconds, compare);
    printf("{\"answers\": %zu, \"applied\": %zu, \"seconds\": %.6f, \"rate\": %.1f, \"p50\": %.6f, \"p90\": %.6f, \"p99\": %.6f, "
           "\"max\": %.6f, \"statuses\": {",
           load->n_answered, load->n_applied, seconds, (double) load->n_answered / seconds, percentile(load, 0.5),
           percentile(load, 0.9), percentile(load, 0.99), percentile(load, 1));
    for (size_t i = 0; i < STATUSES; i++) {
        if (load->n_statuses[i]) {
            printf("%s\"%zu\": %zu", separator, i, load->n_statuses[i]);
            separator = ", ";
        }
    }
    printf("}}\n");
}

static void write_ids(const struct load *load, const char *path)
{
    FILE *file = fopen(path, "w");

    if (!file) {
        die(path);
    }
    for (size_t i = 0; i < load->n_requests; i++) {
        fprintf(file, "%s\n", load->requests[i].id);
    }
    if (fclose(file)) {
        die(path);
    }
}

static void run(struct load *load, struct client *clients, size_t n)
{
    struct epoll_event events[64];

    for (size_t i = 0; i < n && may_ask(load); i++) {
        ask(load, &clients[i]);
    }
    while (load->n_answered < load->n_asked) {
        int n_events = epoll_wait(load->epoll, events, 64, 120000);

        if (n_events <= 0) {
            errno = n_events ? errno : ETIMEDOUT;
            die("no answer");
        }
        for (int i = 0; i < n_events; i++) {
            struct client *client = events[i].data.ptr;

            if (events[i].events & EPOLLOUT) {
                send_rest(load, client);
            }
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
                receive(load, client);
            }
        }
    }
}

int main(int argc, char **argv)
{
    struct load load = {.epoll = epoll_create1(EPOLL_CLOEXEC), .keeps_ids = argc > 4 && argv[4][0]};
    size_t n = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    struct client *clients = calloc(n + 1, sizeof *clients);
    double begin_s;

    if (argc < 4 || !n || !clients || load.epoll < 0) {
        fprintf(stderr, "usage: %s ADDRESS CLIENTS SECONDS [IDS [PAUSE_MS]] <REQUESTS\n", argv[0]);
        return 2;
    }
    if (argc > 5) {
        load.pause.tv_nsec = strtol(argv[5], NULL, 10) % 1000 * 1000000;
    }
    read_requests(&load);
    for (size_t i = 0; i < n; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &clients[i]};

        clients[i].fd = dial(argv[1]);
        if (epoll_ctl(load.epoll, EPOLL_CTL_ADD, clients[i].fd, &event)) {
            die("epoll_ctl");
        }
    }
    begin_s = now_s();
    load.deadline_s = strtod(argv[3], NULL) > 0 ? begin_s + strtod(argv[3], NULL) : 0;
    load.keeps_ids = load.keeps_ids && load.deadline_s == 0;
    run(&load, clients, n);
    print(&load, now_s() - begin_s);
    if (load.keeps_ids) {
        write_ids(&load, argv[4]);
    }
    return 0;
}
