#include <arpa/inet.h>
#include <assert.h>
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

static void ask(struct sp_session *);

void sp_session_dump(struct sp_session *s, struct sp_known *known, int64_t now_ms)
{
    assert(sp_session_idle(s));
    s->now_ms = now_ms;
    s->known = known;
    sp_meters_begin(s);
    ask(s);
}

/* It need not wait for the answer to what was asked before: while the switch gathers one, it does nothing else. */
static void ask(struct sp_session *s)
{
    struct ofputil_flow_stats_request request = {
        .cookie = htobe64(SP_COOKIE_OWNER),
        .cookie_mask = htobe64(SP_COOKIE_OWNER_MASK),
        .out_port = OFPP_ANY,
        .out_group = OFPG_ANY,
        .table_id = OFPTT_ALL,
    };
    enum ofputil_protocol protocol = ofputil_protocol_from_ofp_version(s->version);

    match_init_catchall(&request.match);
    sp_monitor_begin(s); /* Before the dump, so that nothing falls between the two. */
    if (s->known) {
        sp_known_begin(s->known);
    }
    s->dump_xid = sp_session_take_xids(s, 1);
    sp_session_send(s, ofputil_encode_flow_stats_request(&request, protocol), s->dump_xid);
}

void sp_dump_end(struct sp_session *s)
{
    sp_session_push(s, &(struct sp_event){.kind = SP_EVENT_DUMP_DONE});
    sp_session_enter(s, STATE_IDLE);
}

static bool count(struct sp_session *s)
{
    if (++s->n_counted > SP_SESSION_FLOWS_MAX) {
        sp_session_fail(s, "more than %u flows", SP_SESSION_FLOWS_MAX);
        return false;
    }
    return true;
}

/* Reports one flow of the dump, which is known by 'digest' from now on.  Others' flows and learned ones are none of our
 * business.  A flow with something unknown in it is looked at anew each time. */
static void take_flow(struct sp_session *s, const struct ofputil_flow_stats *stats, bool has_digest, uint64_t digest)
{
    struct sp_event event = {.kind = SP_EVENT_DUMP_FLOW, .count = {stats->packet_count, stats->byte_count}};
    uint64_t cookie = be64toh(stats->cookie);

    if (!count(s) || (cookie & SP_COOKIE_OWNER_MASK) != SP_COOKIE_OWNER || SP_COOKIE_KIND(cookie) == SP_COOKIE_LEARNED) {
        return;
    }
    if (sp_codec_flow_from_stats(stats, &event.flow)) {
        sp_session_fail_memory(s);
        return;
    }
    if (has_digest && !event.flow->alien) {
        sp_known_put(s->known, digest, event.flow);
    }
    sp_session_push(s, &event);
}

/* Takes the next entry of the reply 'b', whose header has been pulled.  Returns 0, EOF at the end, or an error of
 * OpenFlow. */
static int take_entry(struct sp_session *s, struct ofpbuf *b, struct ofpbuf *ofpacts)
{
    struct ofputil_flow_stats stats;
    struct sp_flow *flow;
    uint64_t digest = 0;
    size_t size;
    bool has_digest = s->known && sp_known_digest(s->known, s->version, b->data, b->size, &size, &digest);
    int r;

    if (has_digest && (flow = sp_known_find(s->known, digest))) {
        struct sp_event event = {.kind = SP_EVENT_DUMP_COUNT};
        bool has_counted = sp_known_counters(s->version, b->data, size, &event.count);

        ofpbuf_pull(b, size);
        if (count(s) && has_counted) {
            event.flow = sp_flow_ref(flow);
            sp_session_push(s, &event);
        }
        return 0;
    }
    r = ofputil_decode_flow_stats_reply(&stats, b, false, ofpacts);
    if (!r) {
        take_flow(s, &stats, has_digest, digest);
    }
    return r;
}

void sp_dump_part(struct sp_session *s, const struct ofp_header *oh)
{
    struct ofpbuf b = ofpbuf_const_initializer(oh, ntohs(oh->length));
    uint64_t stub[1024 / 8];
    struct ofpbuf ofpacts = OFPBUF_STUB_INITIALIZER(stub);
    enum ofpraw raw;
    int r = (int) ofpraw_pull(&raw, &b);

    s->progress_ms = s->now_ms;
    while (!r && s->state == STATE_DUMP) {
        r = take_entry(s, &b, &ofpacts);
    }
    if (r && r != EOF) {
        sp_session_fail(s, "malformed flow statistics: %s", ofperr_get_name((enum ofperr) r));
    }
    ofpbuf_uninit(&ofpacts);
    if (s->state == STATE_DUMP && !ofpmp_more(oh)) {
        if (s->known) {
            sp_known_end(s->known);
        }
        if (s->meters.barrier_xid) {
            sp_session_enter(s, STATE_MEND);
        } else {
            sp_dump_end(s);
        }
    }
}

void sp_dump_removed(struct sp_session *s, const struct ofp_header *oh)
{
    struct sp_event event = {.kind = SP_EVENT_REMOVED};
    struct ofputil_flow_removed removed;
    enum ofperr error = ofputil_decode_flow_removed(&removed, oh);
    struct ofputil_flow_stats stats;

    if (error) {
        sp_session_fail(s, "malformed notice of a removed flow: %s", ofperr_get_name(error));
        return;
    }
    if (!sp_flow_is_counted(be64toh(removed.cookie), removed.table_id, removed.priority)) {
        return;
    }
    stats = (struct ofputil_flow_stats){
        .match = removed.match,
        .cookie = removed.cookie,
        .table_id = removed.table_id,
        .priority = removed.priority,
    };
    event.count = (struct sp_count){removed.packet_count, removed.byte_count};
    if (sp_codec_flow_from_stats(&stats, &event.flow)) {
        sp_session_fail_memory(s);
        return;
    }
    sp_session_push(s, &event);
}
