#include "flows/compile_emit.h"

void sp_emit_init(struct sp_emit *emit, struct sp_flow_list *out, struct sp_flow_table *seen, uint64_t cookie)
{
    emit->out = out;
    emit->seen = seen;
    emit->n_left_out = 0;
    emit->error = 0;
    emit->cookie = cookie;
}

struct sp_flow_build *sp_emit_begin(struct sp_emit *emit, uint8_t table, uint16_t priority)
{
    sp_flow_build_init(&emit->build, table, priority, emit->cookie);
    return &emit->build;
}

void sp_emit_end(struct sp_emit *emit)
{
    struct sp_flow *flow;

    if (emit->error) {
        return;
    }
    if (!emit->seen) {
        emit->error = sp_flow_list_add(emit->out, &emit->build);
        return;
    }
    emit->error = sp_flow_build_done(&emit->build, &flow);
    if (!emit->error) {
        sp_emit_flow(emit, flow);
        sp_flow_unref(flow);
    }
}

void sp_emit_flow(struct sp_emit *emit, struct sp_flow *flow)
{
    if (emit->seen && sp_flow_table_find(emit->seen, flow)) {
        emit->n_left_out++;
        return;
    }
    emit->error = emit->seen ? sp_flow_table_put(emit->seen, flow) : 0;
    emit->error = emit->error ? emit->error : sp_flow_list_take(emit->out, sp_flow_ref(flow));
}

void sp_emit_goto(struct sp_emit *emit, uint8_t table)
{
    sp_flow_goto(&emit->build, table);
    sp_emit_end(emit);
}

void sp_match_ip(struct sp_flow_build *b, uint16_t eth_type, uint8_t proto)
{
    sp_flow_match_exact(b, SP_F_ETH_TYPE, eth_type);
    sp_flow_match_exact(b, SP_F_IP_PROTO, proto);
}

void sp_match_valid(struct sp_flow_build *b)
{
    sp_flow_match_uint(b, SP_F_CT_STATE, SP_CT_VALID_VALUE, SP_CT_VALID_MASK);
}

void sp_match_untagged(struct sp_flow_build *b)
{
    sp_flow_match_uint(b, SP_F_VLAN_TCI, 0, SP_TCI_TAGGED);
}

void sp_enter_each(struct sp_flow_build *b, const uint16_t *ofports, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sp_flow_load_reg(b, SP_R_OUT, ofports[i]);
        sp_flow_resubmit(b, SP_T_ENTER);
    }
}

void sp_forget_sender(struct sp_flow_build *b)
{
    sp_flow_load_reg(b, SP_R_AGAIN, 0);
    sp_flow_load_reg(b, SP_R_SENDER_SET, 0);
    sp_flow_load_reg(b, SP_R_SENDER_VERSION, 0);
}
