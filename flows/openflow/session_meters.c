#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include <openflow/nicira-ext.h>
#include <openvswitch/ofp-connection.h>
#include <openvswitch/ofp-errors.h>
#include <openvswitch/ofp-meter.h>
#include <openvswitch/ofp-msgs.h>
#include <openvswitch/ofp-packet.h>
#include <openvswitch/ofp-util.h>
#include <openvswitch/ofpbuf.h>

#include "flows/openflow/session_state.h"

#define FLAGS (OFPMF13_PKTPS | OFPMF13_BURST)
#define FLAGS_COMPARED (FLAGS | OFPMF13_KBPS) /* Whether the switch counts as well is all the same. */

enum meter_found { FOUND_NONE, FOUND_RIGHT, FOUND_OTHER };

/* Filters do not depend on any of this, so whatever goes wrong here is told, and the dump goes on. */
static void tell(struct sp_session *s, const char *why)
{
    struct sp_event event = {.kind = SP_EVENT_METERS, .meters = {.usable = !why}};

    if (why) {
        snprintf(event.meters.text, sizeof event.meters.text, "blocked attempts are not reported: %s", why);
    } else {
        event.meters.n_mended = s->meters.ours ? s->meters.n_mended : 0;
    }
    s->meters.ours = !why;
    s->meters.told = true;
    sp_session_push(s, &event);
}

void sp_meters_begin(struct sp_session *s)
{
    memset(s->meters.found, FOUND_NONE, sizeof s->meters.found);
    s->meters.n_xids = s->meters.n_mended = s->meters.barrier_xid = 0;
    s->meters.error[0] = '\0';
    s->meters.told = false;
    s->n_counted = 0;
    s->wait_xid = sp_session_take_xids(s, 1);
    sp_session_enter(s, STATE_METERS);
    sp_session_send(s, ofputil_encode_meter_request(s->version, OFPUTIL_METER_CONFIG, OFPM13_ALL), s->wait_xid);
}

/* The list has come to its end, or will not come. */
static void end_list(struct sp_session *s)
{
    s->n_counted = 0;
    s->wait_xid = s->dump_xid;
    sp_session_enter(s, STATE_DUMP);
}

static void note(struct sp_session *s, const struct ofputil_meter_config *config)
{
    const struct ofputil_meter_band *band = config->bands;
    uint32_t i = config->meter_id - SP_METER_FIRST;
    bool right = (config->flags & FLAGS_COMPARED) == FLAGS && config->n_bands == 1 && band->type == OFPMBT13_DROP &&
                 band->rate == SP_METER_RATE && band->burst_size == SP_METER_BURST;

    if (i < SP_METERS) {
        s->meters.found[i] = right ? FOUND_RIGHT : FOUND_OTHER;
    }
}

static void send_meter(struct sp_session *s, uint32_t number, uint16_t command)
{
    struct ofputil_meter_band band = {.type = OFPMBT13_DROP, .rate = SP_METER_RATE, .burst_size = SP_METER_BURST};
    struct ofputil_meter_mod mod = {
        .command = command,
        .meter = {.meter_id = number, .flags = FLAGS, .n_bands = 1, .bands = &band},
    };

    sp_session_send(s, ofputil_encode_meter_mod(s->version, &mod), s->meters.base_xid + s->meters.n_xids++);
}

/* Packets that name our controller id, and no others, come to us from now on. */
static void subscribe(struct sp_session *s)
{
    struct ofpbuf *msg = ofpraw_alloc(OFPRAW_NXT_SET_CONTROLLER_ID, s->version, 0);
    struct nx_controller_id *id = ofpbuf_put_zeros(msg, sizeof *id);

    id->controller_id = htons(SP_CONTROLLER_ID);
    sp_session_send(s, msg, s->meters.base_xid + s->meters.n_xids++);
    sp_handshake_subscribe(s, true, s->meters.base_xid + s->meters.n_xids++);
    s->meters.listening = true;
}

/* Makes what is missing.  A meter that is not as ours are is changed only if it was ours before in this session; else it is
 * somebody's who chose the same number. */
static void mend(struct sp_session *s)
{
    char text[64];

    for (uint32_t i = 0; i < SP_METERS; i++) {
        if (s->meters.found[i] == FOUND_OTHER && !s->meters.ours) {
            snprintf(text, sizeof text, "meter %u is somebody else's", SP_METER_FIRST + i);
            tell(s, text);
            return;
        }
    }
    s->meters.base_xid = sp_session_take_xids(s, SP_METERS + 2);
    for (uint32_t i = 0; i < SP_METERS; i++) {
        if (s->meters.found[i] != FOUND_RIGHT) {
            send_meter(s, SP_METER_FIRST + i, s->meters.found[i] == FOUND_OTHER ? OFPMC13_MODIFY : OFPMC13_ADD);
            s->meters.n_mended++;
        }
    }
    if (!s->meters.n_xids) {
        tell(s, NULL); /* That nothing comes to us, if so, is told later. */
    }
    if (!s->meters.listening) {
        subscribe(s);
    }
    if (s->meters.n_xids) {
        s->meters.barrier_xid = sp_session_take_xids(s, 1);
        sp_session_send(s, ofputil_encode_barrier_request(s->version), s->meters.barrier_xid);
    }
}

void sp_meters_part(struct sp_session *s, const struct ofp_header *oh)
{
    struct ofpbuf b = ofpbuf_const_initializer(oh, ntohs(oh->length));
    uint64_t stub[256 / 8];
    struct ofpbuf bands = OFPBUF_STUB_INITIALIZER(stub);
    struct ofputil_meter_config config;
    int r = 0;

    s->progress_ms = s->now_ms;
    while (!r && s->state == STATE_METERS) {
        r = ofputil_decode_meter_config(&b, &config, &bands);
        if (!r) {
            note(s, &config);
            if (++s->n_counted > SP_SESSION_METERS_MAX) {
                sp_session_fail(s, "more than %u meters", SP_SESSION_METERS_MAX);
            }
        }
    }
    ofpbuf_uninit(&bands);
    if (r && r != EOF) {
        sp_session_fail(s, "malformed meter configuration: %s", ofperr_get_name((enum ofperr) r));
    }
    if (s->state == STATE_METERS && !ofpmp_more(oh)) {
        mend(s);
        end_list(s);
    }
}

bool sp_meters_error(struct sp_session *s, uint32_t xid, const char *name)
{
    char text[sizeof s->meters.error + 60];

    if (s->state == STATE_METERS && xid == s->wait_xid) {
        snprintf(text, sizeof text, "the switch answered %s when asked for its meters", name);
        tell(s, text);
        end_list(s);
        return true;
    }
    if (s->meters.barrier_xid && xid - s->meters.base_xid < s->meters.n_xids) {
        if (!s->meters.error[0]) {
            snprintf(s->meters.error, sizeof s->meters.error, "%s", name);
        }
        return true;
    }
    return false;
}

void sp_meters_mended(struct sp_session *s, const struct ofp_header *oh)
{
    char text[sizeof s->meters.error + 60];

    if (!s->meters.barrier_xid || ntohl(oh->xid) != s->meters.barrier_xid) {
        sp_session_fail(s, "an unexpected barrier reply (0x%08x)", ntohl(oh->xid));
        return;
    }
    s->progress_ms = s->now_ms;
    s->meters.barrier_xid = 0;
    if (s->meters.error[0]) {
        s->meters.listening = false; /* Asked for anew the next time. */
        snprintf(text, sizeof text, "the switch answered %s when asked for meters", s->meters.error);
        tell(s, text);
    } else if (!s->meters.told) {
        tell(s, NULL);
    }
    if (s->state == STATE_MEND) {
        sp_dump_end(s);
    }
}
