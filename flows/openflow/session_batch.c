#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <openflow/nicira-ext.h>
#include <openvswitch/ofp-bundle.h>
#include <openvswitch/ofp-errors.h>
#include <openvswitch/ofp-msgs.h>
#include <openvswitch/ofp-util.h>
#include <openvswitch/ofpbuf.h>

#include "flows/openflow/session_state.h"

#define BUNDLE_FLAGS (OFPBF_ATOMIC | OFPBF_ORDERED) /* The same in OPEN, ADD and COMMIT, or the switch refuses. */

static void send_barrier(struct sp_session *s)
{
    s->batch.barrier_xid = sp_session_take_xids(s, 1);
    sp_session_send(s, ofputil_encode_barrier_request(s->version), s->batch.barrier_xid);
}

static void send_control(struct sp_session *s, uint16_t type)
{
    struct ofputil_bundle_ctrl_msg control = {.bundle_id = s->batch.bundle_id, .type = type, .flags = BUNDLE_FLAGS};

    s->batch.answered = s->batch.control_refused = false;
    s->batch.control_xid = sp_session_take_xids(s, 1);
    sp_session_send(s, ofputil_encode_bundle_ctrl_request(s->version, &control), s->batch.control_xid);
}

/* Begins the step of the batch that 'state' stands for. */
static void enter(struct sp_session *s, enum session_state state)
{
    sp_session_enter(s, state);
    s->batch.barrier_xid = 0;
}

static void begin_commit(struct sp_session *s)
{
    enter(s, STATE_COMMIT);
    send_control(s, OFPBCT_COMMIT_REQUEST);
    send_barrier(s);
}

static void begin_discard(struct sp_session *s)
{
    enter(s, STATE_DISCARD);
    send_control(s, OFPBCT_DISCARD_REQUEST);
    send_barrier(s);
}

void sp_session_apply(struct sp_session *s, const struct sp_flow_mod *mods, size_t n, const uint16_t *flush_zones, size_t n_zones,
                      int64_t now_ms)
{
    assert(sp_session_idle(s) && (n || n_zones));
    s->now_ms = now_ms;
    s->batch = (struct session_batch){
        .mods = mods,
        .n = n,
        .zones = flush_zones,
        .n_zones = n_zones,
        .bundle_id = s->next_bundle_id++,
        .base_xid = sp_session_take_xids(s, n ? n : n_zones),
    };
    if (!n) {
        enter(s, STATE_FLUSH);
        return;
    }
    enter(s, STATE_ADD);
    send_control(s, OFPBCT_OPEN_REQUEST);
}

void sp_session_prepare(struct sp_session *s, const struct sp_flow_mod *mods, size_t n, int64_t now_ms)
{
    sp_session_apply(s, mods, n, NULL, 0, now_ms);
    s->batch.is_prepared = true;
}

void sp_session_commit(struct sp_session *s, int64_t now_ms)
{
    s->now_ms = now_ms;
    s->batch.is_prepared = false;
    if (s->state == STATE_HELD && s->batch.error[0]) {
        begin_discard(s);
    } else if (s->state == STATE_HELD) {
        begin_commit(s);
    }
}

void sp_session_withdraw(struct sp_session *s, int64_t now_ms)
{
    s->now_ms = now_ms;
    if (s->batch.is_prepared) {
        s->batch.is_prepared = false;
        s->batch.is_withdrawn = true;
    }
    if (s->state == STATE_HELD) {
        begin_discard(s);
    }
}

void sp_batch_let_go(struct sp_session *s)
{
    sp_session_withdraw(s, s->now_ms);
}

static void note_error(struct sp_session *s, const char *name)
{
    if (!s->batch.error[0]) {
        snprintf(s->batch.error, sizeof s->batch.error, "%s", name);
    }
}

static void refuse(struct sp_session *s, size_t index, const char *name)
{
    struct sp_event event = {.kind = SP_EVENT_REFUSED, .refused.index = index};

    note_error(s, name);
    if (++s->batch.n_refused > s->batch.n) {
        sp_session_fail(s, "more errors than the bundle has messages");
        return;
    }
    snprintf(event.refused.error, sizeof event.refused.error, "%s", name);
    sp_session_push(s, &event);
}

static void send_flush(struct sp_session *s, uint16_t zone, uint32_t xid)
{
    struct ofpbuf *msg = ofpraw_alloc(OFPRAW_NXT_CT_FLUSH_ZONE, s->version, 0);
    struct nx_zone_id *id = ofpbuf_put_zeros(msg, sizeof *id);

    id->zone_id = htons(zone);
    sp_session_send(s, msg, xid);
}

static void encode_mod(struct sp_session *s)
{
    size_t index = s->batch.next++;
    const struct sp_flow_mod *mod = &s->batch.mods[index];
    struct ofputil_bundle_add_msg add = {.bundle_id = s->batch.bundle_id, .flags = BUNDLE_FLAGS};
    uint32_t xid = s->batch.base_xid + (uint32_t) index, zone;
    struct ofp_header *oh;
    struct ofpbuf *msg;

    if (mod->verb == SP_ZONE_FLUSH && sp_flow_match_value(mod->flow, SP_F_CT_ZONE, &zone)) {
        send_flush(s, (uint16_t) zone, xid);
        return;
    }
    msg = mod->verb == SP_ZONE_FLUSH ? NULL : sp_codec_flow_mod(mod, s->version);
    if (!msg) {
        refuse(s, index, "not expressible in OpenFlow");
        return;
    }
    oh = msg->data;
    oh->xid = htonl(xid);
    add.msg = oh;
    sp_session_send(s, ofputil_encode_bundle_add(s->version, &add), xid);
    ofpbuf_delete(msg);
}

static void encode_flush(struct sp_session *s)
{
    size_t index = s->batch.next++;

    send_flush(s, s->batch.zones[index], s->batch.base_xid + (uint32_t) index);
}

void sp_batch_encode(struct sp_session *s, size_t target)
{
    while ((s->state == STATE_ADD || s->state == STATE_FLUSH) && !s->batch.barrier_xid && sp_session_pending(s) < target) {
        s->progress_ms = s->now_ms;
        if (s->batch.next == (s->state == STATE_ADD ? s->batch.n : s->batch.n_zones)) {
            send_barrier(s);
        } else if (s->state == STATE_ADD) {
            encode_mod(s);
        } else {
            encode_flush(s);
        }
    }
}

/* True if a bundle control message of 'type' answers the one that this state has sent. */
static bool answers(const struct sp_session *s, uint16_t type)
{
    return (s->state == STATE_ADD && type == OFPBCT_OPEN_REPLY) || (s->state == STATE_COMMIT && type == OFPBCT_COMMIT_REPLY) ||
           (s->state == STATE_DISCARD && type == OFPBCT_DISCARD_REPLY);
}

void sp_batch_control(struct sp_session *s, const struct ofp_header *oh)
{
    struct ofputil_bundle_ctrl_msg control;
    enum ofperr error = ofputil_decode_bundle_ctrl(oh, &control);

    if (error || control.bundle_id != s->batch.bundle_id || !answers(s, control.type) || ntohl(oh->xid) != s->batch.control_xid ||
        s->batch.answered || s->batch.control_refused) {
        sp_session_fail(s, "an unexpected bundle reply of type %u", error ? 0u : control.type);
        return;
    }
    s->batch.answered = true;
    s->progress_ms = s->now_ms;
}

bool sp_batch_error(struct sp_session *s, uint32_t xid, const char *name)
{
    uint32_t index = xid - s->batch.base_xid; /* Wraps to something large for a smaller one. */

    if (s->state == STATE_FLUSH) {
        struct sp_event event = {.kind = SP_EVENT_ERROR};

        if (index >= s->batch.next) {
            return false;
        }
        snprintf(event.text, sizeof event.text, "the switch did not flush the connections of zone %u: %s", s->batch.zones[index],
                 name);
        sp_session_push(s, &event);
        return true;
    }
    if (index < s->batch.next && s->state != STATE_DISCARD) {
        /* A message without its bundle is refused for no fault of its own. */
        if (s->state == STATE_COMMIT || !s->batch.control_refused) {
            refuse(s, index, name);
        }
        return true;
    }
    if (xid != s->batch.control_xid) {
        return false;
    }
    s->batch.control_refused = true;
    note_error(s, name);
    return true;
}

static void finish(struct sp_session *s, enum sp_event_kind kind)
{
    struct sp_event event = {.kind = kind};

    if (kind == SP_EVENT_DISCARDED && s->batch.n_refused) {
        snprintf(event.text, sizeof event.text, "%zu of %zu modifications refused: %s", s->batch.n_refused, s->batch.n,
                 s->batch.error);
    } else if (kind == SP_EVENT_DISCARDED && s->batch.error[0]) {
        snprintf(event.text, sizeof event.text, "the switch refused the bundle: %s", s->batch.error);
    } else if (kind == SP_EVENT_DISCARDED) {
        snprintf(event.text, sizeof event.text, "the bundle was withdrawn");
    }
    sp_session_push(s, &event);
    sp_session_enter(s, STATE_IDLE);
}

/* All messages of the bundle have been looked at by the switch. */
static void added(struct sp_session *s)
{
    if (!s->batch.answered && !s->batch.control_refused) {
        sp_session_fail(s, "a bundle's opening was not answered");
    } else if (s->batch.error[0] || s->batch.is_withdrawn) {
        begin_discard(s);
    } else if (s->batch.is_prepared) {
        enter(s, STATE_HELD);
        s->batch.held_ms = s->now_ms;
    } else {
        begin_commit(s);
    }
}

static void committed(struct sp_session *s)
{
    if (!s->batch.answered && !s->batch.control_refused) {
        sp_session_fail(s, "a commit was not answered");
    } else if (s->batch.answered && s->batch.error[0]) {
        sp_session_fail(s, "a bundle was committed and refused at once");
    } else if (!s->batch.answered) {
        finish(s, SP_EVENT_DISCARDED);
    } else if (s->batch.n_zones) {
        s->batch.next = 0;
        s->batch.base_xid = sp_session_take_xids(s, s->batch.n_zones);
        enter(s, STATE_FLUSH);
    } else {
        finish(s, SP_EVENT_APPLIED);
    }
}

void sp_batch_barrier(struct sp_session *s, const struct ofp_header *oh)
{
    if (!s->batch.barrier_xid || ntohl(oh->xid) != s->batch.barrier_xid) {
        sp_session_fail(s, "an unexpected barrier reply (0x%08x)", ntohl(oh->xid));
        return;
    }
    s->progress_ms = s->now_ms;
    switch (s->state) {
    case STATE_ADD:
        added(s);
        break;
    case STATE_COMMIT:
        committed(s);
        break;
    case STATE_DISCARD:
        finish(s, SP_EVENT_DISCARDED);
        break;
    default:
        finish(s, SP_EVENT_APPLIED);
        break;
    }
}
