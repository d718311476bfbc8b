#include <arpa/inet.h>

#include <openvswitch/match.h>
#include <openvswitch/ofp-msgs.h>
#include <openvswitch/ofp-packet.h>
#include <openvswitch/ofpbuf.h>

#include "flows/openflow/session_state.h"

#define SECOND_MS 1000

/* Whether this second has room for one more packet; one that has not is counted. */
static bool has_room(struct sp_session *s)
{
    if (s->now_ms - s->denied_ms >= SECOND_MS) {
        s->denied_ms = s->now_ms;
        s->n_denied = 0;
    }
    if (s->n_denied >= SP_SESSION_DENIED_PER_S) {
        s->n_left_out += s->n_left_out < UINT32_MAX;
        return false;
    }
    s->n_denied++;
    return true;
}

/* What is not a report of ours, whoever has sent it and in which form, is passed over: a switch may send packets of its own
 * accord, and each costs it more than us. */
void sp_denied_packet(struct sp_session *s, const struct ofp_header *oh)
{
    struct sp_event event = {.kind = SP_EVENT_DENIED};
    struct sp_session_denied *denied = &event.denied;
    struct ofputil_packet_in pin;
    const uint32_t *regs;
    enum ofpraw raw;

    if (!s->meters.ours || !has_room(s) || ofpraw_decode(&raw, oh) || raw != OFPRAW_OFPT13_PACKET_IN ||
        ofputil_decode_packet_in(oh, true, NULL, NULL, &pin, NULL, NULL, NULL) || pin.table_id != SP_T_DENIED) {
        return;
    }
    regs = pin.flow_metadata.flow.regs;
    *denied = (struct sp_session_denied){
        .set = regs[SP_R_SET - SP_F_REG0],
        .mark = regs[SP_R_MARK - SP_F_REG0],
        .phase = regs[SP_R_PHASE - SP_F_REG0],
        .zone = (uint16_t) regs[SP_R_ZONE - SP_F_REG0],
        .n_left_out = s->n_left_out,
    };
    denied->ofport = denied->phase == SP_PHASE_ENTERING ? (uint16_t) regs[SP_R_OUT - SP_F_REG0]
                                                        : (uint16_t) (uint32_t) pin.flow_metadata.flow.in_port.ofp_port;
    if (sp_headers_parse(pin.packet, pin.packet_len, &denied->headers)) {
        return;
    }
    s->n_left_out = 0;
    sp_session_push(s, &event);
}
