#include <arpa/inet.h>
#include <endian.h>
#include <stdio.h>

#include <openvswitch/match.h>
#include <openvswitch/ofp-actions.h>
#include <openvswitch/ofp-errors.h>
#include <openvswitch/ofp-flow.h>
#include <openvswitch/ofp-monitor.h>
#include <openvswitch/ofp-msgs.h>
#include <openvswitch/ofpbuf.h>

#include "flows/openflow/session_state.h"
#include "sallyport/pipeline.h"

#define MONITOR_ID 1u

void sp_monitor_begin(struct sp_session *s)
{
    struct ofputil_flow_monitor_request request = {
        .id = MONITOR_ID,
        .command = OFPFMC_ADD,
        .flags = OFPFMF_ADD | OFPFMF_REMOVED | OFPFMF_MODIFY, /* Not our own changes: those come as one short word a bundle. */
        .out_port = OFPP_ANY,
        .out_group = OFPG_ANY,
        .table_id = OFPTT_ALL,
    };
    struct ofpbuf *msg;

    if (s->monitor_xid) {
        return;
    }
    match_init_catchall(&request.match);
    msg = ofpbuf_new(0);
    ofputil_append_flow_monitor_request(&request, msg, ofputil_protocol_from_ofp_version(s->version));
    s->monitor_xid = sp_session_take_xids(s, 1);
    sp_session_send(s, msg, s->monitor_xid);
}

bool sp_monitor_error(struct sp_session *s, uint32_t xid, const char *name)
{
    struct sp_event event = {.kind = SP_EVENT_ERROR};

    if (!s->monitor_xid || xid != s->monitor_xid) {
        return false;
    }
    snprintf(event.text, sizeof event.text,
             "the switch answered %s when asked to tell what others change, so only the regular checks show it", name);
    sp_session_push(s, &event);
    return true;
}

/* A flow of ours was touched, or one of somebody else's may now stand where one of ours was.  What others do to their own is
 * none of our business, and learned flows come and go. */
static bool concerns_us(const struct ofputil_flow_update *update)
{
    uint64_t cookie = be64toh(update->cookie);

    if (update->event != OFPFME_ADDED && update->event != OFPFME_REMOVED && update->event != OFPFME_MODIFIED) {
        return false;
    }
    if ((cookie & SP_COOKIE_OWNER_MASK) != SP_COOKIE_OWNER) {
        return update->event != OFPFME_REMOVED;
    }
    return SP_COOKIE_KIND(cookie) != SP_COOKIE_LEARNED;
}

static void tell(struct sp_session *s, const struct ofputil_flow_update *update)
{
    struct sp_event event = {.kind = SP_EVENT_CHANGED};
    struct ofputil_flow_stats stats = {
        .match = update->match,
        .cookie = update->cookie,
        .table_id = update->table_id,
        .priority = update->priority,
    };

    if (sp_codec_flow_from_stats(&stats, &event.flow)) {
        sp_session_fail_memory(s);
    } else {
        sp_session_push(s, &event);
    }
}

void sp_monitor_updates(struct sp_session *s, const struct ofp_header *oh)
{
    struct ofpbuf b = ofpbuf_const_initializer(oh, ntohs(oh->length));
    uint64_t stub[1024 / 8];
    struct ofpbuf ofpacts = OFPBUF_STUB_INITIALIZER(stub);
    struct ofputil_flow_update update;
    int r = 0;

    if (!s->monitor_xid) {
        sp_session_fail(s, "flow updates that were not asked for");
    }
    while (!r && s->state != STATE_CLOSED) {
        r = ofputil_decode_flow_update(&update, &b, &ofpacts);
        if (!r && concerns_us(&update)) {
            tell(s, &update);
        }
    }
    if (r && r != EOF) {
        sp_session_fail(s, "malformed flow update: %s", ofperr_get_name((enum ofperr) r));
    }
    ofpbuf_uninit(&ofpacts);
}
