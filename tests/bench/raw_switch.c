/* The switch's own limit: what any controller has to wait for.  Speaks OpenFlow 1.5, as the daemon does, to a bridge's .mgmt
 * socket without a session, a check, or a thought between the messages.
 *
 *     raw_switch SOCKET dump ROUNDS        reads all flows of ours, and decodes none
 *     raw_switch SOCKET blast ROUNDS       reads them, encodes them into one bundle beforehand, deletes them, and sends the
 *                                          bundle whole; the clock runs from the first byte to the confirmed commit; they stay
 *     raw_switch SOCKET bundle ROUNDS N [PAUSE_MS]
 *                                          adds and deletes, in turn, N flows of its own in a bundle: "blind", all in one
 *                                          write, and "checked", with a barrier awaited before the commit; with PAUSE_MS
 *                                          the switch comes to rest before each
 *
 * Prints one JSON object with a list of seconds per measure.  Exit status: 0 done, 2 something failed. */

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <openvswitch/match.h>
#include <openvswitch/ofp-actions.h>
#include <openvswitch/ofp-bundle.h>
#include <openvswitch/ofp-errors.h>
#include <openvswitch/ofp-flow.h>
#include <openvswitch/ofp-msgs.h>
#include <openvswitch/ofp-util.h>
#include <openvswitch/ofpbuf.h>

#include "flows/openflow/codec.h"
#include "sallyport/pipeline.h"

#define VERSION SP_OF15
#define BUNDLE_FLAGS (OFPBF_ATOMIC | OFPBF_ORDERED)
#define OWN_COOKIE SP_COOKIE(SP_COOKIE_LEARNED, 0x7261770000ull) /* Of a kind that the controller leaves alone. */
#define OWN_TABLE 200

/* Message types on the wire: OpenFlow 1.5 section 7.1. */
#define TYPE_ERROR 1
#define TYPE_MULTIPART_REPLY 19
#define TYPE_BARRIER_REPLY 21

struct buffer {
    uint8_t *data;
    size_t size, capacity;
};

struct raw {
    int fd;
    uint32_t xid;
    uint32_t bundle_id;
    struct buffer in;
    size_t in_at;
};

static void die(const char *what)
{
    fprintf(stderr, "raw_switch: %s\n", what);
    exit(2);
}

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

static void put(struct buffer *b, const void *data, size_t size)
{
    if (b->size + size > b->capacity) {
        b->capacity = 2 * (b->size + size);
        b->data = realloc(b->data, b->capacity);
        if (!b->data) {
            die("no memory");
        }
    }
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

/* Appends 'msg', which it takes, with 'xid'. */
static void put_message(struct buffer *b, struct ofpbuf *msg, uint32_t xid)
{
    if (!msg) {
        die("a flow that cannot be encoded");
    }
    ofpmsg_update_length(msg);
    ((struct ofp_header *) msg->data)->xid = htonl(xid);
    put(b, msg->data, msg->size);
    ofpbuf_delete(msg);
}

static void put_control(struct raw *raw, struct buffer *b, uint16_t type)
{
    struct ofputil_bundle_ctrl_msg control = {.bundle_id = raw->bundle_id, .type = type, .flags = BUNDLE_FLAGS};

    put_message(b, ofputil_encode_bundle_ctrl_request(VERSION, &control), ++raw->xid);
}

/* Returns its xid. */
static uint32_t put_barrier(struct raw *raw, struct buffer *b)
{
    put_message(b, ofputil_encode_barrier_request(VERSION), ++raw->xid);
    return raw->xid;
}

/* Appends 'msg', a flow modification, which it takes, as a part of the bundle. */
static void put_bundled(struct raw *raw, struct buffer *b, struct ofpbuf *msg)
{
    struct ofputil_bundle_add_msg add = {.bundle_id = raw->bundle_id, .flags = BUNDLE_FLAGS};

    if (!msg) {
        die("a flow that cannot be encoded");
    }
    ofpmsg_update_length(msg);
    ((struct ofp_header *) msg->data)->xid = htonl(++raw->xid);
    add.msg = msg->data;
    put_message(b, ofputil_encode_bundle_add(VERSION, &add), raw->xid);
    ofpbuf_delete(msg);
}

/* Takes the next whole message out of what has been read: an aligned copy that the caller frees, or NULL. */
static struct ofp_header *take(struct raw *raw)
{
    const uint8_t *at = raw->in.data + raw->in_at;
    size_t left = raw->in.size - raw->in_at;
    size_t length = left >= sizeof(struct ofp_header) ? (size_t) at[2] << 8 | at[3] : 0;
    struct ofp_header *oh;

    if (length < sizeof *oh || left < length) {
        memmove(raw->in.data, at, left);
        raw->in.size = left;
        raw->in_at = 0;
        return NULL;
    }
    oh = malloc(length);
    if (!oh) {
        die("no memory");
    }
    memcpy(oh, at, length);
    raw->in_at += length;
    return oh;
}

typedef bool answer_fn(void *aux, const struct ofp_header *); /* True: this was the last one. */

static bool is_last(struct raw *raw, answer_fn *answer, void *aux)
{
    struct ofp_header *oh;
    bool last = false;

    while (!last && (oh = take(raw))) {
        if (oh->type == TYPE_ERROR) {
            die(ofperr_get_name(ofperr_decode_msg(oh, NULL)));
        }
        last = answer(aux, oh);
        free(oh);
    }
    return last;
}

/* Sends 'out' and hands what comes back to 'answer' until it says that this was the last. */
static void talk(struct raw *raw, const struct buffer *out, answer_fn *answer, void *aux)
{
    static uint8_t chunk[256 << 10];
    size_t sent = 0;
    bool last = false;

    while (!last) {
        struct pollfd pfd = {.fd = raw->fd, .events = (short) (POLLIN | (sent < out->size ? POLLOUT : 0))};
        ssize_t n;

        if (poll(&pfd, 1, 60000) <= 0) {
            die("no answer in a minute");
        }
        if (pfd.revents & POLLOUT) {
            n = send(raw->fd, out->data + sent, out->size - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
            sent += n > 0 ? (size_t) n : 0;
        }
        if (pfd.revents & (POLLIN | POLLHUP)) {
            n = recv(raw->fd, chunk, sizeof chunk, MSG_DONTWAIT);
            if (!n || (n < 0 && errno != EAGAIN)) {
                die("closed by the switch");
            }
            put(&raw->in, chunk, n > 0 ? (size_t) n : 0);
            last = is_last(raw, answer, aux);
        }
    }
}

static bool is_barrier_reply(void *aux, const struct ofp_header *oh)
{
    return oh->type == TYPE_BARRIER_REPLY && oh->xid == htonl(*(uint32_t *) aux);
}

/* Sends 'out', which ends with barrier 'xid', and waits for its answer.  Returns the seconds that it took. */
static double confirm(struct raw *raw, const struct buffer *out, uint32_t xid)
{
    double begin = now_s();

    talk(raw, out, is_barrier_reply, &xid);
    return now_s() - begin;
}

static void open_connection(struct raw *raw, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct buffer out = {0};

    raw->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (raw->fd < 0 || strlen(path) >= sizeof address.sun_path) {
        die(path);
    }
    memcpy(address.sun_path, path, strlen(path));
    if (connect(raw->fd, (struct sockaddr *) &address, sizeof address)) {
        die(path);
    }
    put_message(&out, ofputil_encode_hello(1u << VERSION), ++raw->xid);
    confirm(raw, &out, put_barrier(raw, &out));
    free(out.data);
}

struct dump {
    size_t n_bytes;
    struct sp_flow_list *flows; /* NULL: nothing is decoded. */
};

static bool take_part(void *aux, const struct ofp_header *oh)
{
    struct dump *dump = aux;
    struct ofpbuf b = ofpbuf_const_initializer(oh, ntohs(oh->length));
    struct ofpbuf ofpacts;
    struct ofputil_flow_stats stats;

    if (oh->type != TYPE_MULTIPART_REPLY) {
        return false;
    }
    dump->n_bytes += ntohs(oh->length);
    ofpbuf_init(&ofpacts, 1024);
    while (dump->flows && !ofputil_decode_flow_stats_reply(&stats, &b, false, &ofpacts)) {
        struct sp_flow *flow;

        if (SP_COOKIE_KIND(be64toh(stats.cookie)) == SP_COOKIE_LEARNED) {
            continue;
        }
        if (sp_codec_flow_from_stats(&stats, &flow) || sp_flow_list_take(dump->flows, flow)) {
            die("no memory");
        }
    }
    ofpbuf_uninit(&ofpacts);
    return !ofpmp_more(oh);
}

/* Reads all flows of ours; into 'flows' if it is not NULL.  Returns the bytes that came. */
static size_t read_flows(struct raw *raw, struct sp_flow_list *flows)
{
    struct ofputil_flow_stats_request request = {.cookie = htobe64(SP_COOKIE_OWNER),
                                                 .cookie_mask = htobe64(SP_COOKIE_OWNER_MASK),
                                                 .out_port = OFPP_ANY,
                                                 .out_group = OFPG_ANY,
                                                 .table_id = OFPTT_ALL};
    struct dump dump = {.flows = flows};
    struct buffer out = {0};

    match_init_catchall(&request.match);
    put_message(&out, ofputil_encode_flow_stats_request(&request, ofputil_protocol_from_ofp_version(VERSION)), ++raw->xid);
    talk(raw, &out, take_part, &dump);
    free(out.data);
    return dump.n_bytes;
}

/* Deletes every flow with 'cookie' in the bits of 'mask'. */
static void delete_flows(struct raw *raw, uint64_t cookie, uint64_t mask)
{
    struct ofputil_flow_mod fm = {.command = OFPFC_DELETE,
                                  .cookie = htobe64(cookie),
                                  .cookie_mask = htobe64(mask),
                                  .table_id = OFPTT_ALL,
                                  .buffer_id = UINT32_MAX,
                                  .out_port = OFPP_ANY,
                                  .out_group = OFPG_ANY};
    struct match match;
    struct buffer out = {0};

    match_init_catchall(&match);
    minimatch_init(&fm.match, &match);
    put_message(&out, ofputil_encode_flow_mod(&fm, ofputil_protocol_from_ofp_version(VERSION)), ++raw->xid);
    minimatch_destroy(&fm.match);
    confirm(raw, &out, put_barrier(raw, &out));
    free(out.data);
}

static void print_list(const char *name, const double *seconds, size_t n, const char *end)
{
    printf("\"%s\": [", name);
    for (size_t i = 0; i < n; i++) {
        printf("%s%.9f", i ? ", " : "", seconds[i]);
    }
    printf("]%s", end);
}

static void dump(struct raw *raw, size_t rounds, double *seconds)
{
    struct sp_flow_list flows;
    size_t n_bytes = 0;

    sp_flow_list_init(&flows);
    for (size_t i = 0; i < rounds; i++) {
        double begin = now_s();

        n_bytes = read_flows(raw, NULL);
        seconds[i] = now_s() - begin;
    }
    read_flows(raw, &flows);
    printf("{\"flows\": %zu, \"bytes\": %zu, ", flows.n, n_bytes);
    print_list("seconds", seconds, rounds, "}\n");
    sp_flow_list_clear(&flows);
}

static void blast(struct raw *raw, size_t rounds, double *seconds)
{
    struct sp_flow_list flows;
    struct buffer out = {0};

    sp_flow_list_init(&flows);
    read_flows(raw, &flows);
    for (size_t i = 0; i < rounds; i++) {
        uint32_t xid;

        out.size = 0;
        raw->bundle_id++;
        put_control(raw, &out, OFPBCT_OPEN_REQUEST);
        for (size_t k = 0; k < flows.n; k++) {
            const struct sp_flow_mod mod = {.verb = SP_FLOW_ADD, .flow = flows.flows[k]};

            put_bundled(raw, &out, sp_codec_flow_mod(&mod, VERSION));
        }
        put_control(raw, &out, OFPBCT_COMMIT_REQUEST);
        xid = put_barrier(raw, &out);
        delete_flows(raw, SP_COOKIE_OWNER, SP_COOKIE_OWNER_MASK);
        seconds[i] = confirm(raw, &out, xid);
    }
    printf("{\"flows\": %zu, \"bytes\": %zu, ", flows.n, out.size);
    print_list("seconds", seconds, rounds, "}\n");
    sp_flow_list_clear(&flows);
    free(out.data);
}

static struct sp_flow *own_flow(uint32_t i)
{
    static struct sp_flow_build build;
    struct sp_flow *flow;

    sp_flow_build_init(&build, OWN_TABLE, 100, OWN_COOKIE);
    sp_flow_match_exact(&build, SP_F_REG(2), i);
    sp_flow_match_exact(&build, SP_F_ETH_TYPE, 0x0800);
    sp_flow_match_uint(&build, SP_F_CT_STATE, SP_CT_TRK, SP_CT_TRK | SP_CT_INV);
    sp_flow_match_exact(&build, SP_F_CT_NW_PROTO, 6);
    sp_flow_match_uint(&build, SP_F_CT_TP_DST, 5120, 0xfff0);
    sp_flow_load_reg(&build, SP_F_REG(7), i);
    sp_flow_goto(&build, OWN_TABLE + 1);
    if (sp_flow_build_done(&build, &flow)) {
        die("no memory");
    }
    return flow;
}

/* OPEN and 'n' modifications. */
static void put_own(struct raw *raw, struct buffer *out, enum sp_flow_verb verb, size_t n)
{
    raw->bundle_id++;
    put_control(raw, out, OFPBCT_OPEN_REQUEST);
    for (size_t i = 0; i < n; i++) {
        struct sp_flow_mod mod = {.verb = verb, .flow = own_flow((uint32_t) i)};
        struct ofpbuf *msg = sp_codec_flow_mod(&mod, VERSION);

        put_bundled(raw, out, msg);
        sp_flow_unref(mod.flow);
    }
}

static double send_bundle(struct raw *raw, enum sp_flow_verb verb, size_t n, bool checked)
{
    struct buffer out = {0};
    double taken = 0;

    put_own(raw, &out, verb, n);
    if (checked) {
        taken = confirm(raw, &out, put_barrier(raw, &out));
        out.size = 0;
    }
    put_control(raw, &out, OFPBCT_COMMIT_REQUEST);
    taken += confirm(raw, &out, put_barrier(raw, &out));
    free(out.data);
    return taken;
}

static void bundle(struct raw *raw, size_t rounds, double *seconds, size_t n, long pause_ms)
{
    const struct timespec pause = {.tv_nsec = pause_ms % 1000 * 1000000};

    printf("{\"flows\": %zu, ", n);
    for (int checked = 0; checked < 2; checked++) {
        for (size_t i = 0; i < rounds; i++) {
            nanosleep(&pause, NULL);
            seconds[i] = send_bundle(raw, i % 2 ? SP_FLOW_DELETE : SP_FLOW_ADD, n, checked);
        }
        print_list(checked ? "checked" : "blind", seconds, rounds, checked ? "}\n" : ", ");
    }
    delete_flows(raw, OWN_COOKIE, UINT64_MAX);
}

int main(int argc, char **argv)
{
    struct raw raw = {.bundle_id = 0x72617700};
    size_t rounds = argc > 3 ? strtoul(argv[3], NULL, 0) : 0;
    double *seconds = calloc(rounds + 1, sizeof *seconds);

    if (argc < 4 || !rounds || !seconds) {
        fprintf(stderr, "usage: %s SOCKET dump|blast|bundle ROUNDS [N]\n", argv[0]);
        return 2;
    }
    open_connection(&raw, argv[1]);
    if (!strcmp(argv[2], "dump")) {
        dump(&raw, rounds, seconds);
    } else if (!strcmp(argv[2], "blast")) {
        blast(&raw, rounds, seconds);
    } else if (!strcmp(argv[2], "bundle") && argc > 4) {
        bundle(&raw, rounds, seconds, strtoul(argv[4], NULL, 0), argc > 5 ? strtol(argv[5], NULL, 0) : 0);
    } else {
        die("no such command");
    }
    close(raw.fd);
    free(raw.in.data);
    free(seconds);
    return 0;
}
