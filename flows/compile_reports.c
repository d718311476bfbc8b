#include "flows/compile.h"

#include "flows/compile_emit.h"

/* Anything else drops here anyway. */
int sp_compile_reports(struct sp_flow_list *out)
{
    struct sp_emit e;

    sp_emit_init(&e, out, NULL, SP_COOKIE(SP_COOKIE_REPORT, 0));
    for (uint32_t i = 0; i < SP_METERS; i++) {
        struct sp_flow_build *b = sp_emit_begin(&e, SP_T_DENIED, 100);

        sp_flow_match_uint(b, SP_F_CT_STATE, SP_CT_VALID_VALUE | SP_CT_NEW, SP_CT_VALID_MASK | SP_CT_NEW);
        sp_flow_match_uint(b, SP_R_REGION, SP_REGION_REPORTS, SP_REGION_REPORTS);
        sp_flow_match_uint(b, SP_R_ZONE, i, SP_METERS - 1);
        sp_flow_meter(b, SP_METER_FIRST + i);
        sp_flow_controller(b, SP_REPORT_SIZE, SP_CONTROLLER_ID);
        sp_emit_end(&e);
    }
    return e.error;
}
