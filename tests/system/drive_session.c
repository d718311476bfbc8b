/* Lets a test speak to a real switch through the session, without the daemon.
 *
 *     drive_session SOCKET COMMAND...
 *
 * connects to a bridge's .mgmt socket, shakes hands, carries out the commands in order and prints a line for each event that
 * a test may want to see.  Commands:
 *
 *     dump             lists the flows and compares them with what the commands before have applied: "dump N same|different"
 *     add N [PORT]     adds N flows as one batch, with an output to PORT (1)
 *     delete N         deletes the first N of them
 *     random N         adds N random flows as one batch
 *     repair           lists the flows and deletes those that no command before has applied
 *     flush ZONE       adds one flow and flushes a conntrack zone
 *     wait MS          stays connected for so long
 *
 * Exit status: 0 all done, 1 closed by either side (the last line says why). */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "flows/openflow/session.h"
#include "sallyport/pipeline.h"
#include "tests/support/random_flow.h"

struct drive {
    int fd;
    struct sp_session *session;
    struct sp_flow_table *desired; /* What should be in the switch. */
    size_t n_dumped, n_different;
    struct sp_flow_list unknown; /* Flows of the last dump that nobody asked for. */
    bool refused;
    bool closed;
};

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(2);
}

static void handle_event(struct drive *d, struct sp_event *event)
{
    struct sp_flow *desired;

    switch (event->kind) {
    case SP_EVENT_READY:
        printf("ready dpid=%016llx version=%u software=%s name=%s\n", (unsigned long long) event->ready.dpid,
               event->ready.version, event->ready.software, event->ready.name);
        break;
    case SP_EVENT_PORT:
        printf("port %u %s%s\n", event->port.ofport, event->port.name, event->port.deleted ? " deleted" : "");
        break;
    case SP_EVENT_PORTS_DONE:
        printf("ports done\n");
        break;
    case SP_EVENT_DUMP_FLOW:
        desired = sp_flow_table_find(d->desired, event->flow);
        d->n_dumped++;
        if (!desired || !sp_flow_equal(desired, event->flow)) {
            char text[4096];

            sp_flow_format(event->flow, text, sizeof text);
            fprintf(stderr, "%s%s: %s\n", desired ? "changed" : "unknown", event->flow->alien ? " alien" : "", text);
            d->n_different++;
            if (!desired && sp_flow_list_take(&d->unknown, sp_flow_ref(event->flow))) {
                die("list");
            }
        }
        sp_flow_unref(event->flow);
        break;
    case SP_EVENT_DUMP_DONE:
        printf("dump %zu %s\n", d->n_dumped,
               d->n_different || d->n_dumped != sp_flow_table_count(d->desired) ? "different" : "same");
        break;
    case SP_EVENT_METERS: /* Of which these tests know nothing. */
    case SP_EVENT_DENIED:
        break;
    case SP_EVENT_DUMP_COUNT: /* Nothing is known beforehand. */
    case SP_EVENT_REMOVED:
    case SP_EVENT_CHANGED: /* The next dump tells. */
        sp_flow_unref(event->flow);
        break;
    case SP_EVENT_APPLIED:
        printf("applied\n");
        break;
    case SP_EVENT_REFUSED:
        printf("refused %zu %s\n", event->refused.index, event->refused.error);
        break;
    case SP_EVENT_DISCARDED:
        d->refused = true;
        printf("discarded %s\n", event->text);
        break;
    case SP_EVENT_ERROR:
        printf("error %s\n", event->text);
        break;
    case SP_EVENT_CLOSED:
        d->closed = true;
        printf("closed %s\n", event->text);
        break;
    }
    fflush(stdout);
}

/* Sends and receives until the session is idle and 'until_ms' has come, or it has closed. */
static void run(struct drive *d, int64_t until_ms)
{
    static uint8_t out[64 << 10], in[64 << 10];
    size_t out_size = 0, out_at = 0;

    while (!d->closed && (!sp_session_idle(d->session) || now_ms() < until_ms || out_at < out_size)) {
        int64_t now = now_ms(), deadline = sp_session_deadline(d->session);
        struct sp_event event;
        struct pollfd pfd = {.fd = d->fd, .events = POLLIN};
        ssize_t n;

        deadline = sp_session_idle(d->session) && until_ms < deadline ? until_ms : deadline;
        if (out_at == out_size) {
            out_at = 0;
            out_size = sp_session_output(d->session, out, sizeof out, now);
        }
        pfd.events |= out_at < out_size ? POLLOUT : 0;
        if (poll(&pfd, 1, deadline > now ? (int) (deadline - now) : 0) < 0) {
            die("poll");
        }
        if (pfd.revents & POLLOUT) {
            n = send(d->fd, out + out_at, out_size - out_at, MSG_DONTWAIT | MSG_NOSIGNAL);
            out_at += n > 0 ? (size_t) n : 0;
        }
        if (pfd.revents & (POLLIN | POLLHUP)) {
            n = recv(d->fd, in, sizeof in, MSG_DONTWAIT);
            if (n > 0) {
                sp_session_receive(d->session, in, (size_t) n, now_ms());
            } else if (!n || errno != EAGAIN) {
                printf("closed by the switch\n");
                d->closed = true;
            }
        }
        sp_session_tick(d->session, now_ms());
        while (sp_session_next(d->session, &event)) {
            handle_event(d, &event);
        }
    }
}

static struct sp_flow *flow_of(uint32_t i, uint16_t port)
{
    static struct sp_flow_build build;
    struct sp_flow *flow;

    sp_flow_build_init(&build, SP_T_RULES_IN, 100, SP_COOKIE(SP_COOKIE_RULE, 7));
    sp_flow_match_exact(&build, SP_F_REG(2), i);
    sp_flow_match_exact(&build, SP_F_ETH_TYPE, 0x0800);
    sp_flow_match_uint(&build, SP_F_CT_STATE, SP_CT_TRK, SP_CT_TRK | SP_CT_INV);
    sp_flow_match_exact(&build, SP_F_CT_NW_PROTO, 6);
    sp_flow_match_uint(&build, SP_F_CT_TP_DST, 5120, 0xfff0);
    sp_flow_output(&build, port);
    if (sp_flow_build_done(&build, &flow)) {
        die("flow");
    }
    return flow;
}

static struct sp_flow *random_flow(struct sp_random *random)
{
    static struct sp_flow_build build;
    struct sp_flow *flow;

    sp_random_flow(random, &build, SP_COOKIE(SP_COOKIE_STATIC, 1));
    if (sp_flow_build_done(&build, &flow)) {
        die("random flow");
    }
    return flow;
}

/* Applies 'mods' and, if that is done, enters them into the table of what should be there. */
static void apply(struct drive *d, struct sp_flow_mod *mods, size_t n, const uint16_t *zones, size_t n_zones)
{
    d->refused = false;
    sp_session_apply(d->session, mods, n, zones, n_zones, now_ms());
    run(d, 0);
    for (size_t i = 0; i < n; i++) {
        if (!d->closed && !d->refused && mods[i].verb == SP_FLOW_ADD) {
            if (sp_flow_table_put(d->desired, mods[i].flow)) {
                die("table");
            }
        } else if (!d->closed && !d->refused) {
            sp_flow_table_remove(d->desired, mods[i].flow);
        }
        sp_flow_unref(mods[i].flow);
    }
    free(mods);
}

static void change(struct drive *d, enum sp_flow_verb verb, size_t n, uint16_t port, struct sp_random *random)
{
    struct sp_flow_mod *mods = calloc(n, sizeof *mods);

    if (!mods) {
        die("calloc");
    }
    for (size_t i = 0; i < n; i++) {
        mods[i].verb = verb;
        mods[i].flow = random ? random_flow(random) : flow_of((uint32_t) i, port);
    }
    apply(d, mods, n, NULL, 0);
}

static void dump(struct drive *d)
{
    d->n_dumped = d->n_different = 0;
    sp_flow_list_clear(&d->unknown);
    sp_session_dump(d->session, NULL, now_ms());
    run(d, 0);
}

static void repair(struct drive *d)
{
    size_t n;
    struct sp_flow_mod *mods;

    dump(d);
    n = d->unknown.n;
    mods = calloc(n + 1, sizeof *mods);
    if (!mods || !n) {
        die("nothing to repair");
    }
    for (size_t i = 0; i < n; i++) {
        mods[i] = (struct sp_flow_mod){.verb = SP_FLOW_DELETE, .flow = sp_flow_ref(d->unknown.flows[i])};
    }
    apply(d, mods, n, NULL, 0);
}

static void flush(struct drive *d, uint16_t zone)
{
    struct sp_flow_mod *mods = calloc(1, sizeof *mods);

    if (!mods) {
        die("calloc");
    }
    mods->verb = SP_FLOW_ADD;
    mods->flow = flow_of(0, 1);
    apply(d, mods, 1, &zone, 1);
}

static bool is_number(const char *text)
{
    return text && *text >= '0' && *text <= '9';
}

static char **carry_out(struct drive *d, char **words, struct sp_random *random)
{
    const char *verb = *words++;
    unsigned long n = is_number(*words) ? strtoul(*words++, NULL, 0) : 0;

    if (!strcmp(verb, "dump")) {
        dump(d);
    } else if (!strcmp(verb, "repair")) {
        repair(d);
    } else if (!strcmp(verb, "add")) {
        change(d, SP_FLOW_ADD, n, is_number(*words) ? (uint16_t) strtoul(*words++, NULL, 0) : 1, NULL);
    } else if (!strcmp(verb, "delete")) {
        change(d, SP_FLOW_DELETE, n, 1, NULL);
    } else if (!strcmp(verb, "random")) {
        change(d, SP_FLOW_ADD, n, 0, random);
    } else if (!strcmp(verb, "flush")) {
        flush(d, (uint16_t) n);
    } else if (!strcmp(verb, "wait")) {
        run(d, now_ms() + (int64_t) n);
    } else {
        fprintf(stderr, "unknown command %s\n", verb);
        exit(2);
    }
    return words;
}

int main(int argc, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct drive d = {.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    struct sp_random random;
    char **words = argv + 2;

    if (argc < 2 || strlen(argv[1]) >= sizeof address.sun_path) {
        fprintf(stderr, "usage: %s SOCKET COMMAND...\n", argv[0]);
        return 2;
    }
    memcpy(address.sun_path, argv[1], strlen(argv[1]));
    if (d.fd < 0 || connect(d.fd, (struct sockaddr *) &address, sizeof address)) {
        die(argv[1]);
    }
    sp_random_init(&random);
    d.session = sp_session_new(now_ms());
    d.desired = sp_flow_table_new();
    if (!d.session || !d.desired) {
        die("session");
    }
    run(&d, 0);
    while (!d.closed && *words) {
        words = carry_out(&d, words, &random);
    }
    sp_session_free(d.session);
    sp_flow_list_clear(&d.unknown);
    sp_flow_table_free(d.desired);
    close(d.fd);
    return d.closed;
}
