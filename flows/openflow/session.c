#include "flows/openflow/session.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openvswitch/ofp-errors.h>
#include <openvswitch/ofp-msgs.h>
#include <openvswitch/ofp-util.h>
#include <openvswitch/ofpbuf.h>
#include <openvswitch/vlog.h>

#include "flows/openflow/session_state.h"

#define KEPT_OUTPUT 4096u /* More memory is given back when all output is taken. */

struct sp_session *sp_session_new(int64_t now_ms)
{
    struct sp_session *s = calloc(1, sizeof *s);

    if (!s) {
        return NULL;
    }
    /* libopenvswitch's remarks on malformed messages would go to stderr and syslog; ours reach the owner as events. */
    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF);
    sp_frame_init(&s->frame);
    s->now_ms = s->started_ms = s->received_ms = s->answered_ms = now_ms;
    s->next_xid = 1;
    s->unread_to_ms = -1;
    sp_session_send(s, ofputil_encode_hello(1u << SP_OF14 | 1u << SP_OF15), sp_session_take_xids(s, 1));
    return s;
}

void sp_session_free(struct sp_session *s)
{
    if (!s) {
        return;
    }
    for (size_t i = 0; i < s->n_events; i++) {
        sp_flow_unref(s->events[(s->first_event + i) % s->events_capacity].flow);
    }
    sp_frame_clear(&s->frame);
    free(s->events);
    free(s->out);
    free(s);
}

void sp_session_fail(struct sp_session *s, const char *format, ...)
{
    va_list args;

    if (s->state == STATE_CLOSED) {
        return;
    }
    s->state = STATE_CLOSED;
    va_start(args, format);
    vsnprintf(s->closed_text, sizeof s->closed_text, format, args);
    va_end(args);
}

void sp_session_enter(struct sp_session *s, enum session_state state)
{
    if (s->state != STATE_CLOSED) {
        s->state = state;
        s->progress_ms = s->now_ms;
        s->ready_done = s->ready_done || state == STATE_IDLE;
    }
}

void sp_session_fail_memory(struct sp_session *s)
{
    sp_session_fail(s, "no memory for the session");
}

uint32_t sp_session_take_xids(struct sp_session *s, size_t n)
{
    uint32_t first;

    assert(n < UINT32_MAX / 2);
    if (s->next_xid > UINT32_MAX - (uint32_t) n) {
        s->next_xid = 1;
    }
    first = s->next_xid;
    s->next_xid += (uint32_t) n;
    return first;
}

size_t sp_session_pending(const struct sp_session *s)
{
    return s->out_size;
}

/* Makes room for 'size' more bytes of output. */
static bool reserve_output(struct sp_session *s, size_t size)
{
    size_t capacity = s->out_capacity ? s->out_capacity : KEPT_OUTPUT;
    uint8_t *out;

    if (s->out_head + s->out_size + size <= s->out_capacity) {
        return true;
    }
    if (s->out_head) {
        memmove(s->out, s->out + s->out_head, s->out_size);
        s->out_head = 0;
    }
    while (capacity < s->out_size + size) {
        capacity *= 2;
    }
    if (capacity == s->out_capacity) {
        return true;
    }
    out = realloc(s->out, capacity);
    if (!out) {
        return false;
    }
    s->out = out;
    s->out_capacity = capacity;
    return true;
}

void sp_session_send(struct sp_session *s, struct ofpbuf *msg, uint32_t xid)
{
    struct ofp_header *oh = msg->data;

    oh->xid = htonl(xid);
    ofpmsg_update_length(msg);
    if (s->out_size > SP_SESSION_OUTPUT_MAX) {
        sp_session_fail(s, "the switch sends requests but does not read the answers");
    } else if (!reserve_output(s, msg->size)) {
        sp_session_fail_memory(s);
    } else {
        memcpy(s->out + s->out_head + s->out_size, msg->data, msg->size);
        s->out_size += msg->size;
    }
    ofpbuf_delete(msg);
}

void sp_session_push(struct sp_session *s, const struct sp_event *event)
{
    if (s->n_events == s->events_capacity) {
        size_t capacity = s->events_capacity ? 2 * s->events_capacity : 8;
        struct sp_event *events = calloc(capacity, sizeof *events);

        if (!events) {
            sp_flow_unref(event->flow);
            sp_session_fail_memory(s);
            return;
        }
        for (size_t i = 0; i < s->n_events; i++) {
            events[i] = s->events[(s->first_event + i) % s->events_capacity];
        }
        free(s->events);
        s->events = events;
        s->events_capacity = capacity;
        s->first_event = 0;
    }
    s->events[(s->first_event + s->n_events++) % s->events_capacity] = *event;
}

bool sp_session_next(struct sp_session *s, struct sp_event *ret)
{
    if (s->n_events && s->ready_done) { /* Half a handshake is none. */
        *ret = s->events[s->first_event];
        s->first_event = (s->first_event + 1) % s->events_capacity;
        s->n_events--;
        if (!s->n_events && s->events_capacity > 8) {
            free(s->events);
            s->events = NULL;
            s->events_capacity = s->first_event = 0;
        }
        return true;
    }
    if (s->state == STATE_CLOSED && !s->closed_told) {
        s->closed_told = true;
        *ret = (struct sp_event){.kind = SP_EVENT_CLOSED};
        memcpy(ret->text, s->closed_text, sizeof ret->text);
        return true;
    }
    return false;
}

bool sp_session_idle(const struct sp_session *s)
{
    return s->state == STATE_IDLE;
}

size_t sp_session_output(struct sp_session *s, void *out, size_t size, int64_t now_ms)
{
    size_t target = size < SP_SESSION_OUTPUT_MAX ? size : SP_SESSION_OUTPUT_MAX;

    s->now_ms = now_ms;
    sp_batch_encode(s, target);
    size = size < s->out_size ? size : s->out_size;
    if (!size) {
        return 0;
    }
    memcpy(out, s->out + s->out_head, size);
    s->out_head += size;
    s->out_size -= size;
    if (!s->out_size) {
        s->out_head = 0;
        if (s->out_capacity > KEPT_OUTPUT) {
            free(s->out);
            s->out = NULL;
            s->out_capacity = 0;
        }
    }
    return size;
}

/* The name of the state, for reasons. */
static const char *waiting_for(const struct sp_session *s)
{
    static const char *const texts[] = {
        [STATE_HELLO] = "the switch's hello",
        [STATE_FEATURES] = "the switch's features",
        [STATE_DESCRIPTION] = "the switch's description",
        [STATE_PORTS] = "the list of ports",
        [STATE_IDLE] = "nothing",
        [STATE_METERS] = "the list of meters",
        [STATE_MEND] = "the confirmation of meters",
        [STATE_DUMP] = "the list of flows",
        [STATE_ADD] = "the confirmation of a bundle's messages",
        [STATE_HELD] = "nothing",
        [STATE_COMMIT] = "the confirmation of a commit",
        [STATE_DISCARD] = "the confirmation of a discard",
        [STATE_FLUSH] = "the confirmation of a flush",
        [STATE_CLOSED] = "nothing",
    };

    return texts[s->state];
}

static void handle_echo_reply(struct sp_session *s, const struct ofp_header *oh)
{
    s->answered_ms = s->now_ms;
    s->echo_sent = false;
}

static void handle_echo_request(struct sp_session *s, const struct ofp_header *oh)
{
    sp_session_send(s, ofputil_encode_echo_reply(oh), ntohl(oh->xid));
}

static void ignore(struct sp_session *s, const struct ofp_header *oh)
{
}

static void handle_error(struct sp_session *s, const struct ofp_header *oh)
{
    struct sp_event event = {.kind = SP_EVENT_ERROR};
    uint32_t xid = ntohl(oh->xid);
    char name[64];

    sp_session_error_name(oh, name, sizeof name);
    bool is_dump = (s->state == STATE_METERS || s->state == STATE_DUMP) && xid == s->dump_xid;

    if (s->state < STATE_IDLE || is_dump) {
        sp_session_fail(s, "the switch answered %s while it was asked for %s", name, waiting_for(s));
        return;
    }
    if (sp_meters_error(s, xid, name) || sp_monitor_error(s, xid, name)) {
        return;
    }
    if (s->state >= STATE_ADD && sp_batch_error(s, xid, name)) {
        s->progress_ms = s->now_ms;
        return;
    }
    snprintf(event.text, sizeof event.text, "the switch reports %s to message 0x%08x", name, xid);
    sp_session_push(s, &event);
}

/* Which message is due in which states; those with 'answer' only with the number of the request that is open. */
static const struct {
    enum ofptype type;
    enum session_state from, to;
    bool answer;
    void (*handle)(struct sp_session *, const struct ofp_header *);
} messages[] = {
    {OFPTYPE_ECHO_REQUEST, STATE_FEATURES, STATE_FLUSH, false, handle_echo_request},
    {OFPTYPE_ECHO_REPLY, STATE_FEATURES, STATE_FLUSH, false, handle_echo_reply},
    {OFPTYPE_ERROR, STATE_FEATURES, STATE_FLUSH, false, handle_error},
    {OFPTYPE_METER_CONFIG_STATS_REPLY, STATE_METERS, STATE_METERS, true, sp_meters_part},
    {OFPTYPE_BARRIER_REPLY, STATE_DUMP, STATE_MEND, false, sp_meters_mended},
    {OFPTYPE_FLOW_STATS_REPLY, STATE_DUMP, STATE_DUMP, true, sp_dump_part},
    {OFPTYPE_FLOW_MONITOR_STATS_REPLY, STATE_IDLE, STATE_FLUSH, false, sp_monitor_updates},
    {OFPTYPE_FLOW_REMOVED, STATE_IDLE, STATE_FLUSH, false, sp_dump_removed},
    {OFPTYPE_BUNDLE_CONTROL, STATE_ADD, STATE_DISCARD, false, sp_batch_control},
    {OFPTYPE_BARRIER_REPLY, STATE_ADD, STATE_FLUSH, false, sp_batch_barrier},
    {OFPTYPE_PORT_STATUS, STATE_FEATURES, STATE_FLUSH, false, sp_handshake_port_status},
    {OFPTYPE_FEATURES_REPLY, STATE_FEATURES, STATE_FEATURES, true, sp_handshake_features},
    {OFPTYPE_DESC_STATS_REPLY, STATE_DESCRIPTION, STATE_DESCRIPTION, true, sp_handshake_description},
    {OFPTYPE_PORT_DESC_STATS_REPLY, STATE_PORTS, STATE_PORTS, true, sp_handshake_ports},
    {OFPTYPE_PACKET_IN, STATE_IDLE, STATE_FLUSH, false, sp_denied_packet},
    /* Sent by a switch of its own accord, until our configuration has reached it or whatever that says. */
    {OFPTYPE_PACKET_IN, STATE_FEATURES, STATE_PORTS, false, ignore},
    {OFPTYPE_FLOW_REMOVED, STATE_FEATURES, STATE_PORTS, false, ignore},
    {OFPTYPE_ROLE_STATUS, STATE_FEATURES, STATE_FLUSH, false, ignore},
    {OFPTYPE_TABLE_STATUS, STATE_FEATURES, STATE_FLUSH, false, ignore},
    {OFPTYPE_REQUESTFORWARD, STATE_FEATURES, STATE_FLUSH, false, ignore},
};

/* Handles the complete message in the frame. */
static void handle_message(struct sp_session *s)
{
    const struct ofp_header *oh = (const void *) s->frame.bytes;
    enum ofptype type;
    enum ofperr error;

    s->received_ms = s->now_ms;
    if (s->state == STATE_HELLO) {
        sp_handshake_hello(s, oh);
        return;
    }
    if (oh->version != s->version) {
        sp_session_fail(s, "a message of version 0x%02x, though version 0x%02x was agreed on", oh->version, s->version);
        return;
    }
    error = ofptype_decode(&type, oh);
    if (error) {
        sp_session_fail(s, "a malformed message of type %u and %u bytes: %s", oh->type, (unsigned) s->frame.size,
                        ofperr_get_name(error));
        return;
    }
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
        if (messages[i].type == type && s->state >= messages[i].from && s->state <= messages[i].to &&
            (!messages[i].answer || ntohl(oh->xid) == s->wait_xid)) {
            messages[i].handle(s, oh);
            return;
        }
    }
    sp_session_fail(s, "an unexpected %s (0x%08x) instead of %s", ofptype_get_name(type), ntohl(oh->xid), waiting_for(s));
}

void sp_session_receive(struct sp_session *s, const void *data, size_t size, int64_t now_ms)
{
    const uint8_t *bytes = data;

    s->now_ms = now_ms;
    while (s->state != STATE_CLOSED) {
        int r = sp_frame_feed(&s->frame, &bytes, &size);

        if (!r) {
            handle_message(s);
        } else if (r == SP_E_SYNTAX) {
            sp_session_fail(s, "a message whose header claims fewer bytes than the header has");
        } else if (size) {
            sp_session_fail_memory(s);
        } else {
            break;
        }
    }
}

static bool is_working(const struct sp_session *s)
{
    return s->state > STATE_IDLE && s->state < STATE_CLOSED;
}

void sp_session_taken(struct sp_session *s, int64_t at_ms)
{
    if (is_working(s)) {
        s->received_ms = at_ms > s->received_ms ? at_ms : s->received_ms;
        s->progress_ms = at_ms > s->progress_ms ? at_ms : s->progress_ms;
    }
}

void sp_session_unread(struct sp_session *s, int64_t now_ms)
{
    if (s->progress_ms != s->unread_to_ms) {
        s->unread_from_ms = s->progress_ms; /* There was some since. */
    }
    if (!is_working(s) && s->answered_ms > s->unread_from_ms) {
        s->unread_from_ms = s->answered_ms;
    }
    if (now_ms - s->unread_from_ms > SP_SESSION_UNREAD_MS) {
        return;
    }
    s->received_ms = now_ms > s->received_ms ? now_ms : s->received_ms;
    s->progress_ms = now_ms > s->progress_ms ? now_ms : s->progress_ms;
    s->echo_ms = now_ms > s->echo_ms ? now_ms : s->echo_ms;
    s->unread_to_ms = s->progress_ms;
}

/* When the next echo request goes out, or the last one has been without an answer for too long: the switch may have much to say
 * and hear nothing of us.  One that was sent while a dump or batch was under way may have to wait for the end of that. */
static int64_t echo_deadline(const struct sp_session *s)
{
    int64_t since = s->echo_sent ? s->echo_ms : s->answered_ms;

    if (s->echo_sent && s->echo_alone) {
        return since + SP_SESSION_REPLY_MS;
    }
    if (s->echo_sent && is_working(s)) {
        return INT64_MAX;
    }
    since = s->progress_ms > since ? s->progress_ms : since;
    return since + (s->echo_sent ? SP_SESSION_REPLY_MS : SP_SESSION_IDLE_MS);
}

int64_t sp_session_deadline(const struct sp_session *s)
{
    int64_t deadline;

    if (s->state == STATE_CLOSED) {
        return INT64_MAX;
    }
    if (s->state < STATE_IDLE) {
        return s->started_ms + SP_SESSION_HANDSHAKE_MS;
    }
    deadline = s->received_ms + SP_SESSION_DEAD_MS;
    if (s->state == STATE_HELD && s->batch.held_ms + SP_SESSION_HOLD_MS < deadline) {
        deadline = s->batch.held_ms + SP_SESSION_HOLD_MS;
    }
    if (is_working(s) && s->progress_ms + SP_SESSION_REPLY_MS < deadline) {
        deadline = s->progress_ms + SP_SESSION_REPLY_MS;
    }
    return echo_deadline(s) < deadline ? echo_deadline(s) : deadline;
}

void sp_session_tick(struct sp_session *s, int64_t now_ms)
{
    s->now_ms = now_ms;
    if (s->state == STATE_CLOSED) {
        return;
    }
    if (s->state < STATE_IDLE) {
        if (now_ms >= s->started_ms + SP_SESSION_HANDSHAKE_MS) {
            sp_session_fail(s, "no handshake within %d s: waited for %s", SP_SESSION_HANDSHAKE_MS / 1000, waiting_for(s));
        }
        return;
    }
    if (s->state == STATE_HELD && now_ms >= s->batch.held_ms + SP_SESSION_HOLD_MS) {
        sp_batch_let_go(s);
    }
    if (now_ms >= s->received_ms + SP_SESSION_DEAD_MS) {
        sp_session_fail(s, "the switch has been silent for %d s", SP_SESSION_DEAD_MS / 1000);
    } else if (is_working(s) && now_ms >= s->progress_ms + SP_SESSION_REPLY_MS) {
        sp_session_fail(s, "no answer within %d s: waited for %s", SP_SESSION_REPLY_MS / 1000, waiting_for(s));
    } else if (s->echo_sent && now_ms >= echo_deadline(s)) {
        sp_session_fail(s, "no answer within %d s: waited for the answer to an echo request", SP_SESSION_REPLY_MS / 1000);
    } else if (now_ms >= echo_deadline(s)) {
        s->echo_sent = true;
        s->echo_alone = !is_working(s);
        s->echo_ms = now_ms;
        sp_session_send(s, ofputil_encode_echo_request(s->version), sp_session_take_xids(s, 1));
    }
}

void sp_session_error_name(const struct ofp_header *oh, char *out, size_t size)
{
    enum ofperr error = ofperr_decode_msg(oh, NULL);

    if (error) {
        snprintf(out, size, "%s", ofperr_get_name(error));
    } else {
        const uint8_t *body = (const uint8_t *) (oh + 1); /* Type and code: the length of an error message is checked. */

        snprintf(out, size, "an error of type %u, code %u", (unsigned) body[0] << 8 | body[1], (unsigned) body[2] << 8 | body[3]);
    }
}
