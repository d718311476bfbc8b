#include "tests/bench/bridges/bridge.h"

#include <arpa/inet.h>
#include <assert.h>
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openflow/openflow.h>

#define VERSION 5
#define HEAD sizeof(struct ofp_header)
#define PART_MAX 65528u /* Bytes of one multipart reply. */

/* Message types: OpenFlow 1.4 section 7.1. */
enum {
    HELLO = 0,
    ERROR = 1,
    ECHO_REQUEST = 2,
    ECHO_REPLY = 3,
    EXPERIMENTER = 4,
    FEATURES_REQUEST = 5,
    FEATURES_REPLY = 6,
    SET_CONFIG = 9,
    FLOW_MOD = 14,
    MULTIPART_REQUEST = 18,
    MULTIPART_REPLY = 19,
    BARRIER_REQUEST = 20,
    BARRIER_REPLY = 21,
    SET_ASYNC = 28,
    METER_MOD = 29,
    BUNDLE_CONTROL = 33,
    BUNDLE_ADD = 34,
};

/* Multipart types: section 7.3.5. */
enum { MULTIPART_DESC = 0, MULTIPART_FLOW = 1, MULTIPART_METER_CONFIG = 10, MULTIPART_PORT_DESC = 13 };

uint8_t *bytes_put(struct bytes *b, size_t size)
{
    if (b->size + size > b->capacity) {
        b->capacity = 2 * (b->size + size);
        b->data = realloc(b->data, b->capacity);
        assert(b->data);
    }
    b->size += size;
    return b->data + b->size - size;
}

void bytes_drop(struct bytes *b)
{
    free(b->data);
    *b = (struct bytes){0};
}

/* Appends a message with a body of 'size' zeroes, which is returned. */
static uint8_t *answer(struct bridge *bridge, uint8_t type, size_t size, uint32_t xid_be)
{
    uint8_t *at = bytes_put(&bridge->out, HEAD + size);
    const struct ofp_header oh = {.version = VERSION, .type = type, .length = htons((uint16_t) (HEAD + size)), .xid = xid_be};

    memcpy(at, &oh, HEAD);
    return memset(at + HEAD, 0, size);
}

static void put16(uint8_t *at, uint16_t value)
{
    memcpy(at, &(uint16_t){htons(value)}, sizeof value);
}

static void put32(uint8_t *at, uint32_t value)
{
    memcpy(at, &(uint32_t){htonl(value)}, sizeof value);
}

static void refuse(struct bridge *bridge, uint16_t type, uint16_t code, const struct ofp_header *oh)
{
    size_t size = ntohs(oh->length);
    uint8_t *body = answer(bridge, ERROR, 4 + size, oh->xid);

    put16(body, type);
    put16(body + 2, code);
    memcpy(body + 4, oh, size);
    bridge->counts->errors++;
}

void bridge_connect(struct bridge *bridge)
{
    uint8_t *body;

    bridge->in.size = bridge->out.size = bridge->bundle.size = 0;
    bridge->bundle_open = false;
    body = answer(bridge, HELLO, 8, 0);
    put16(body, 1); /* OFPHET_VERSIONBITMAP */
    put16(body + 2, 8);
    put32(body + 4, 1u << VERSION);
}

static void send_features(struct bridge *bridge, const struct ofp_header *oh)
{
    uint8_t *body = answer(bridge, FEATURES_REPLY, 24, oh->xid);
    uint64_t dpid = htobe64(bridge->dpid);

    memcpy(body, &dpid, sizeof dpid);
    body[12] = 254; /* Tables. */
    put32(body + 16, 1); /* OFPC_FLOW_STATS */
}

/* Begins a multipart reply with 'size' bytes of content, which are returned. */
static uint8_t *answer_part(struct bridge *bridge, const struct ofp_header *oh, uint16_t type, bool more, size_t size)
{
    uint8_t *body = answer(bridge, MULTIPART_REPLY, 8 + size, oh->xid);

    put16(body, type);
    put16(body + 2, more);
    return body + 8;
}

static void send_description(struct bridge *bridge, const struct ofp_header *oh)
{
    uint8_t *body = answer_part(bridge, oh, MULTIPART_DESC, false, sizeof(struct ofp_desc_stats));
    struct ofp_desc_stats desc = {.mfr_desc = "Benchmark", .sw_desc = "3.1.0"};

    snprintf(desc.dp_desc, sizeof desc.dp_desc, "b%llu", (unsigned long long) bridge->dpid);
    memcpy(body, &desc, sizeof desc);
}

static void send_ports(struct bridge *bridge, const struct ofp_header *oh)
{
    enum { PORT_SIZE = 40, PER_PART = 1000 };
    unsigned n = bridge->n_ports + 1;

    for (unsigned i = 0; i < n;) {
        unsigned here = n - i < PER_PART ? n - i : PER_PART;
        uint8_t *port = answer_part(bridge, oh, MULTIPART_PORT_DESC, i + here < n, (size_t) here * PORT_SIZE);

        for (unsigned k = 0; k < here; k++, port += PORT_SIZE) {
            char name[OFP_MAX_PORT_NAME_LEN] = "up";

            if (++i < n) {
                snprintf(name, sizeof name, "p%u", i);
            }
            put32(port, i);
            put16(port + 4, PORT_SIZE);
            port[8] = 0x02;
            put32(port + 10, i);
            memcpy(port + 16, name, sizeof name);
        }
    }
}

/* Filters by table and cookie, as asked; a request with a match of its own is not for this bridge. */
static void send_flows(struct bridge *bridge, const struct ofp_header *oh)
{
    const uint8_t *request = (const uint8_t *) oh + HEAD + 8;
    uint64_t cookie_be, mask_be;
    size_t begin = bridge->out.size;

    if (ntohs(oh->length) != HEAD + 8 + 32 + 8) {
        refuse(bridge, ERROR_REQUEST, REQUEST_BAD_LEN, oh);
        return;
    }
    bridge->counts->dumps++;
    memcpy(&cookie_be, request + 16, sizeof cookie_be);
    memcpy(&mask_be, request + 24, sizeof mask_be);
    answer_part(bridge, oh, MULTIPART_FLOW, false, 0);
    for (size_t i = 0; i < bridge->table.capacity; i++) {
        const struct entry *e = bridge->table.slots[i];

        if (!e || (e->cookie_be & mask_be) != cookie_be || (request[0] != 0xff && request[0] != e->table)) {
            continue;
        }
        if (bridge->out.size - begin + table_described_size(e) > PART_MAX) {
            put16(bridge->out.data + begin + 2, (uint16_t) (bridge->out.size - begin));
            put16(bridge->out.data + begin + HEAD + 2, 1);
            begin = bridge->out.size;
            answer_part(bridge, oh, MULTIPART_FLOW, false, 0);
        }
        table_describe(e, bridge->counts->packets, bytes_put(&bridge->out, table_described_size(e)));
    }
    put16(bridge->out.data + begin + 2, (uint16_t) (bridge->out.size - begin));
}

/* A meter modification says the same as the meter's configuration, but for its command in the place of the length.  Meters are
 * added, and stay. */
static void take_meter_mod(struct bridge *bridge, const struct ofp_header *oh)
{
    size_t size = ntohs(oh->length) - HEAD;
    uint8_t *at = bytes_put(&bridge->meters, size);

    memcpy(at, oh + 1, size);
    put16(at, (uint16_t) size);
}

static void send_meters(struct bridge *bridge, const struct ofp_header *oh)
{
    uint8_t *at = answer_part(bridge, oh, MULTIPART_METER_CONFIG, false, bridge->meters.size);

    if (bridge->meters.size) {
        memcpy(at, bridge->meters.data, bridge->meters.size);
    }
}

static void take_multipart(struct bridge *bridge, const struct ofp_header *oh)
{
    const uint8_t *body = (const uint8_t *) oh + HEAD;
    unsigned type = ntohs(oh->length) >= HEAD + 8 ? (unsigned) body[0] << 8 | body[1] : 0xffff;

    if (type == MULTIPART_DESC) {
        send_description(bridge, oh);
    } else if (type == MULTIPART_FLOW) {
        send_flows(bridge, oh);
    } else if (type == MULTIPART_METER_CONFIG) {
        send_meters(bridge, oh);
    } else if (type == MULTIPART_PORT_DESC) {
        send_ports(bridge, oh);
    } else {
        refuse(bridge, ERROR_REQUEST, REQUEST_BAD_MULTIPART, oh);
    }
}

static void modify(struct bridge *bridge, const void *mod)
{
    enum change change = table_modify(&bridge->table, mod);

    bridge->counts->adds += change == ADDED;
    bridge->counts->deletes += change == DELETED;
}

static void take_flow_mod(struct bridge *bridge, const struct ofp_header *oh)
{
    struct refusal refusal = table_check(oh, ntohs(oh->length));

    if (refusal.refused) {
        refuse(bridge, refusal.type, refusal.code, oh);
    } else {
        modify(bridge, oh);
    }
}

static void commit(struct bridge *bridge)
{
    for (size_t at = 0; at < bridge->bundle.size; at += (size_t) bridge->bundle.data[at + 2] << 8 | bridge->bundle.data[at + 3]) {
        modify(bridge, bridge->bundle.data + at);
    }
    bridge->counts->bundles++;
    bridge->committed = true;
}

static void take_bundle_control(struct bridge *bridge, const struct ofp_header *oh)
{
    struct ofp14_bundle_ctrl_msg control;
    uint16_t type;

    if (ntohs(oh->length) < HEAD + sizeof control) {
        refuse(bridge, ERROR_REQUEST, REQUEST_BAD_LEN, oh);
        return;
    }
    memcpy(&control, (const uint8_t *) oh + HEAD, sizeof control);
    type = ntohs(control.type);
    if (type != OFPBCT_OPEN_REQUEST && (!bridge->bundle_open || control.bundle_id != bridge->bundle_id_be)) {
        refuse(bridge, ERROR_BUNDLE, BUNDLE_BAD_ID, oh);
        return;
    }
    if (type == OFPBCT_COMMIT_REQUEST) {
        commit(bridge);
    }
    bytes_drop(&bridge->bundle);
    bridge->bundle_open = type == OFPBCT_OPEN_REQUEST;
    bridge->bundle_id_be = control.bundle_id;
    control.type = htons((uint16_t) (type + 1));
    memcpy(answer(bridge, BUNDLE_CONTROL, sizeof control, oh->xid), &control, sizeof control);
}

static void take_bundle_add(struct bridge *bridge, const struct ofp_header *oh)
{
    const uint8_t *body = (const uint8_t *) oh + HEAD;
    const uint8_t *mod = body + 8;
    size_t size = ntohs(oh->length);
    struct refusal refusal;

    if (size < HEAD + 8 + HEAD || mod[1] != FLOW_MOD) {
        refuse(bridge, ERROR_BUNDLE, BUNDLE_UNSUPPORTED, oh);
        return;
    }
    if (!bridge->bundle_open || memcmp(body, &bridge->bundle_id_be, 4)) {
        refuse(bridge, ERROR_BUNDLE, BUNDLE_BAD_ID, oh);
        return;
    }
    size -= HEAD + 8;
    refusal = table_check(mod, size);
    if (refusal.refused) {
        refuse(bridge, refusal.type, refusal.code, oh);
    } else {
        memcpy(bytes_put(&bridge->bundle, size), mod, size);
    }
}

static void take(struct bridge *bridge, const struct ofp_header *oh)
{
    size_t body_size = ntohs(oh->length) - HEAD;

    switch (oh->type) {
    case ECHO_REQUEST:
        memcpy(answer(bridge, ECHO_REPLY, body_size, oh->xid), oh + 1, body_size);
        break;
    case FEATURES_REQUEST:
        send_features(bridge, oh);
        break;
    case MULTIPART_REQUEST:
        take_multipart(bridge, oh);
        break;
    case BARRIER_REQUEST:
        answer(bridge, BARRIER_REPLY, 0, oh->xid);
        break;
    case FLOW_MOD:
        take_flow_mod(bridge, oh);
        break;
    case METER_MOD:
        take_meter_mod(bridge, oh);
        break;
    case BUNDLE_CONTROL:
        take_bundle_control(bridge, oh);
        break;
    case BUNDLE_ADD:
        take_bundle_add(bridge, oh);
        break;
    case HELLO:
    case ERROR:
    case ECHO_REPLY:
    case EXPERIMENTER: /* A conntrack zone is flushed: there are no connections; which packets come: there are none. */
    case SET_CONFIG:
    case SET_ASYNC:
        break;
    default:
        refuse(bridge, ERROR_REQUEST, REQUEST_BAD_TYPE, oh);
    }
}

bool bridge_receive(struct bridge *bridge, const void *data, size_t size)
{
    size_t at = 0;
    bool ok = true;

    memcpy(bytes_put(&bridge->in, size), data, size);
    bridge->counts->bytes_in += size;
    while (ok && bridge->in.size - at >= HEAD) {
        const uint8_t *head = bridge->in.data + at;
        size_t length = (size_t) head[2] << 8 | head[3];

        ok = length >= HEAD && (head[0] == VERSION || head[1] == HELLO);
        if (!ok || bridge->in.size - at < length) {
            break;
        }
        take(bridge, (const struct ofp_header *) head);
        at += length;
    }
    bridge->in.size -= at;
    memmove(bridge->in.data, bridge->in.data + at, bridge->in.size);
    if (!bridge->in.size) {
        bytes_drop(&bridge->in); /* A thousand bridges that are silent need no buffers. */
    }
    return ok;
}
