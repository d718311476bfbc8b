#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openvswitch/ofp-connection.h>
#include <openvswitch/ofp-errors.h>
#include <openvswitch/ofp-msgs.h>
#include <openvswitch/ofp-port.h>
#include <openvswitch/ofp-switch.h>
#include <openvswitch/ofp-util.h>
#include <openvswitch/ofpbuf.h>

#include "flows/openflow/session_state.h"
#include "sallyport/utf8.h"

#define TYPE_HELLO 0 /* OFPT_HELLO, which libopenvswitch keeps to itself. */
#define OLDEST 0x01 /* OpenFlow 1.0 ... */
#define NEWEST 0x06 /* ... to 1.5, on the wire. */

static void request(struct sp_session *s, struct ofpbuf *msg, enum session_state state)
{
    s->wait_xid = sp_session_take_xids(s, 1);
    sp_session_enter(s, state);
    sp_session_send(s, msg, s->wait_xid);
}

/* Says in 'text' what the peer speaks and what it takes. */
static void describe_versions(uint32_t offered, char *text, size_t size)
{
    static const char advice[] = "Sallyport needs 1.4 or 1.5 (ovs-vsctl set bridge NAME protocols=OpenFlow14,OpenFlow15)";
    unsigned low = OLDEST, high = NEWEST;

    while (low < NEWEST && !(offered >> low & 1)) {
        low++;
    }
    while (high > low && !(offered >> high & 1)) {
        high--;
    }
    if (!(offered >> low & 1)) {
        snprintf(text, size, "the bridge speaks no known version of OpenFlow; %s", advice);
    } else if (low == high) {
        snprintf(text, size, "the bridge speaks only OpenFlow 1.%u; %s", low - OLDEST, advice);
    } else {
        snprintf(text, size, "the bridge speaks only OpenFlow 1.%u to 1.%u; %s", low - OLDEST, high - OLDEST, advice);
    }
}

void sp_handshake_hello(struct sp_session *s, const struct ofp_header *oh)
{
    uint32_t offered = 0;
    char text[sizeof s->closed_text];

    if (oh->type != TYPE_HELLO) {
        sp_session_fail(s, "a message of type %u before the hello", oh->type);
        return;
    }
    /* Unknown elements of a hello are to be ignored (OpenFlow 1.4 section 7.5.1), so what could be read is what counts. */
    (void) ofputil_decode_hello(oh, &offered);
    if (offered >> SP_OF15 & 1) {
        s->version = SP_OF15;
    } else if (offered >> SP_OF14 & 1) {
        s->version = SP_OF14;
    } else {
        uint8_t version = oh->version < OLDEST ? OLDEST : oh->version > NEWEST ? NEWEST : oh->version;

        describe_versions(offered, text, sizeof text);
        sp_session_send(s, ofperr_encode_hello(OFPERR_OFPHFC_INCOMPATIBLE, version, text), sp_session_take_xids(s, 1));
        sp_session_fail(s, "%s", text);
        return;
    }
    s->ready.version = s->version;
    request(s, ofpraw_alloc(OFPRAW_OFPT_FEATURES_REQUEST, s->version, 0), STATE_FEATURES);
}

void sp_handshake_features(struct sp_session *s, const struct ofp_header *oh)
{
    struct ofpbuf b = ofpbuf_const_initializer(oh, ntohs(oh->length));
    struct ofputil_switch_features features;
    enum ofperr error = ofputil_pull_switch_features(&b, &features);

    if (error) {
        sp_session_fail(s, "malformed features: %s", ofperr_get_name(error));
        return;
    }
    if (features.auxiliary_id) {
        sp_session_fail(s, "an auxiliary connection; only main connections are served");
        return;
    }
    s->ready.dpid = features.datapath_id;
    request(s, ofpraw_alloc(OFPRAW_OFPST_DESC_REQUEST, s->version, 0), STATE_DESCRIPTION);
}

void sp_handshake_subscribe(struct sp_session *s, bool packets, uint32_t xid)
{
    const uint32_t all = 1u << OFPPR_ADD | 1u << OFPPR_DELETE | 1u << OFPPR_MODIFY;
    const uint32_t deleted = 1u << OFPRR_DELETE;
    const struct ofputil_async_cfg async = {
        .primary = {[OAM_PORT_STATUS] = all, [OAM_FLOW_REMOVED] = deleted, [OAM_PACKET_IN] = packets ? 1u << OFPR_ACTION : 0},
        .secondary = {[OAM_PORT_STATUS] = all, [OAM_FLOW_REMOVED] = deleted},
    };

    sp_session_send(s, ofputil_encode_set_async_config(&async, (1u << OAM_N_TYPES) - 1, s->version), xid);
}

/* Packets do not come to the controller before its meters are there, and fragments are not tampered with. */
static void configure(struct sp_session *s)
{
    const struct ofputil_switch_config config = {.frag = OFPUTIL_FRAG_NORMAL};

    sp_session_send(s, ofputil_encode_set_config(&config, s->version), sp_session_take_xids(s, 1));
    sp_handshake_subscribe(s, false, sp_session_take_xids(s, 1));
}

void sp_handshake_description(struct sp_session *s, const struct ofp_header *oh)
{
    struct ofpbuf b = ofpbuf_const_initializer(oh, ntohs(oh->length));
    const struct ofp_desc_stats *desc;
    struct sp_event event = {.kind = SP_EVENT_READY};
    enum ofptype type;

    if (ofptype_pull(&type, &b) || ofpmp_more(oh)) {
        sp_session_fail(s, "a description in parts");
        return;
    }
    desc = b.data;
    sp_utf8_print(s->ready.software, sizeof s->ready.software, desc->sw_desc, sizeof desc->sw_desc);
    sp_utf8_print(s->ready.name, sizeof s->ready.name, desc->dp_desc, sizeof desc->dp_desc);
    configure(s);
    sp_session_push(s, &event); /* Filled in when the ports are known. */
    s->n_counted = 0;
    request(s, ofputil_encode_port_desc_stats_request(s->version, OFPP_ANY), STATE_PORTS);
}

static void push_port(struct sp_session *s, const struct ofputil_phy_port *pp, bool deleted)
{
    struct sp_event event = {
        .kind = SP_EVENT_PORT,
        .port = {.ofport = (uint16_t) (uint32_t) pp->port_no, .deleted = deleted},
    };

    if (s->state == STATE_PORTS && ++s->n_counted > SP_SESSION_PORTS_MAX) {
        sp_session_fail(s, "more than %u ports", SP_SESSION_PORTS_MAX);
        return;
    }
    sp_utf8_print(event.port.name, sizeof event.port.name, pp->name, sizeof pp->name);
    if (s->state == STATE_PORTS && pp->port_no == OFPP_LOCAL) {
        memcpy(s->ready.name, event.port.name, sizeof event.port.name);
    }
    sp_session_push(s, &event);
}

void sp_handshake_ports(struct sp_session *s, const struct ofp_header *oh)
{
    struct ofpbuf b = ofpbuf_const_initializer(oh, ntohs(oh->length));
    struct ofputil_phy_port pp;
    enum ofptype type;
    int r = (int) ofptype_pull(&type, &b);

    while (!r && s->state == STATE_PORTS) {
        r = ofputil_pull_phy_port(s->version, &b, &pp);
        if (!r) {
            push_port(s, &pp, false);
        }
    }
    if (r && r != EOF) {
        sp_session_fail(s, "malformed port description: %s", ofperr_get_name((enum ofperr) r));
    }
    if (s->state == STATE_PORTS && !ofpmp_more(oh)) {
        s->events[s->first_event].ready = s->ready;
        sp_session_push(s, &(struct sp_event){.kind = SP_EVENT_PORTS_DONE});
        sp_session_enter(s, STATE_IDLE);
    }
}

/* A change that is reported before the ports are asked for is in the list of ports anyway. */
void sp_handshake_port_status(struct sp_session *s, const struct ofp_header *oh)
{
    struct ofputil_port_status status;
    enum ofperr error = ofputil_decode_port_status(oh, &status);

    if (error) {
        sp_session_fail(s, "malformed port status: %s", ofperr_get_name(error));
    } else if (s->state >= STATE_PORTS) {
        push_port(s, &status.desc, status.reason == OFPPR_DELETE);
    }
}
