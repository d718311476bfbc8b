#include <arpa/inet.h>
#include <assert.h>
#include <endian.h>
#include <stdio.h>

#include <openvswitch/match.h>
#include <openvswitch/ofp-actions.h>
#include <openvswitch/ofp-errors.h>
#include <openvswitch/ofp-flow.h>
#include <openvswitch/ofp-msgs.h>
#include <openvswitch/ofpbuf.h>

#include "flows/openflow/session_state.h"
#include "sallyport/pipeline.h"

void sp_session_dump(struct sp_session *s, int64_t now_ms)
{
    struct ofputil_flow_stats_request request = {
        .cookie = htobe64(SP_COOKIE_OWNER),
        .cookie_mask = htobe64(SP_COOKIE_OWNER_MASK),
        .out_port = OFPP_ANY,
        .out_group = OFPG_ANY,
        .table_id = OFPTT_ALL,
    };
    enum ofputil_protocol protocol = ofputil_protocol_from_ofp_version(s->version);

    assert(sp_session_idle(s));
    match_init_catchall(&request.match);
    s->now_ms = now_ms;
    sp_monitor_begin(s); /* Before the dump, so that nothing falls between the two. */
    sp_session_enter(s, STATE_DUMP);
    s->n_counted = 0;
    s->wait_xid = sp_session_take_xids(s, 1);
    sp_session_send(s, ofputil_encode_flow_stats_request(&request, protocol), s->wait_xid);
}

/* Reports one flow of the dump.  Others' flows and learned ones are none of our business. */
static void take_flow(struct sp_session *s, const struct ofputil_flow_stats *stats)
{
    struct sp_event event = {.kind = SP_EVENT_DUMP_FLOW};
    uint64_t cookie = be64toh(stats->cookie);

    if (++s->n_counted > SP_SESSION_FLOWS_MAX) {
        sp_session_fail(s, "more than %u flows", SP_SESSION_FLOWS_MAX);
    } else if ((cookie & SP_COOKIE_OWNER_MASK) == SP_COOKIE_OWNER && SP_COOKIE_KIND(cookie) != SP_COOKIE_LEARNED) {
        if (sp_codec_flow_from_stats(stats, &event.flow)) {
            sp_session_fail_memory(s);
        } else {
            sp_session_push(s, &event);
        }
    }
}

void sp_dump_part(struct sp_session *s, const struct ofp_header *oh)
{
    struct ofpbuf b = ofpbuf_const_initializer(oh, ntohs(oh->length));
    uint64_t stub[1024 / 8];
    struct ofpbuf ofpacts = OFPBUF_STUB_INITIALIZER(stub);
    struct ofputil_flow_stats stats;
    int r = 0;

    s->progress_ms = s->now_ms;
    while (!r && s->state == STATE_DUMP) {
        r = ofputil_decode_flow_stats_reply(&stats, &b, false, &ofpacts);
        if (!r) {
            take_flow(s, &stats);
        }
    }
    if (r && r != EOF) {
        sp_session_fail(s, "malformed flow statistics: %s", ofperr_get_name((enum ofperr) r));
    }
    ofpbuf_uninit(&ofpacts);
    if (s->state == STATE_DUMP && !ofpmp_more(oh)) {
        sp_session_push(s, &(struct sp_event){.kind = SP_EVENT_DUMP_DONE});
        sp_session_enter(s, STATE_IDLE);
    }
}
