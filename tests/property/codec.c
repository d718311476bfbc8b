/* Random flows of every field and operation come back from OpenFlow as they went in; a flow that lacks a prerequisite does not
 * get through. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flows/openflow/codec.h"
#include "tests/support/random_flow.h"

#define N_FLOWS 20000

static struct sp_random random_state;

static void check(const struct sp_flow *flow, uint8_t version, int expected, uint64_t i)
{
    int r = sp_codec_check(flow, version);

    if (r != expected) {
        char text[4096];

        sp_flow_format(flow, text, sizeof text);
        fail_msg("flow %llu, version %u: %d instead of %d: %s", (unsigned long long) i, version, r, expected, text);
    }
}

static void round_trip(void **aux)
{
    static struct sp_flow_build build;

    for (uint64_t i = 0; i < N_FLOWS; i++) {
        struct sp_flow *flow;

        sp_random_flow(&random_state, &build, sp_random_next(&random_state) >> 1);
        assert_int_equal(sp_flow_build_done(&build, &flow), 0);
        check(flow, SP_OF14, 0, i);
        check(flow, SP_OF15, 0, i);
        sp_flow_unref(flow);
    }
}

/* Takes the term of a field that others rest on out of a flow. */
static bool remove_term(struct sp_flow_build *build, enum sp_field field)
{
    for (size_t at = 0; at < build->match_size;) {
        size_t size = 2 + sp_field_size(build->match[at]) * (build->match[at + 1] ? 2 : 1);

        if (build->match[at] == field) {
            memmove(build->match + at, build->match + at + size, build->match_size - at - size);
            build->match_size = (uint16_t) (build->match_size - size);
            return true;
        }
        at += size;
    }
    return false;
}

static bool matches(const struct sp_flow_build *build, enum sp_field low, enum sp_field high)
{
    for (size_t at = 0; at < build->match_size; at += 2 + sp_field_size(build->match[at]) * (build->match[at + 1] ? 2 : 1)) {
        if (build->match[at] >= low && build->match[at] <= high) {
            return true;
        }
    }
    return false;
}

static void missing_prerequisites(void **aux)
{
    static struct sp_flow_build build;
    uint64_t n = 0;

    for (uint64_t i = 0; i < N_FLOWS / 2; i++) {
        static const struct {
            enum sp_field gone, low, high;
        } cases[] = {
            {SP_F_ETH_TYPE, SP_F_IP_FRAG, SP_F_ND_TLL},        {SP_F_IP_PROTO, SP_F_TCP_SRC, SP_F_ICMPV6_CODE},
            {SP_F_ICMPV6_TYPE, SP_F_ND_TARGET, SP_F_ND_TLL},   {SP_F_CT_STATE, SP_F_CT_NW_PROTO, SP_F_CT_TP_DST},
            {SP_F_CT_NW_PROTO, SP_F_CT_TP_SRC, SP_F_CT_TP_DST},
        };
        size_t c = sp_random_below(&random_state, sizeof cases / sizeof *cases);
        struct sp_flow *flow;

        sp_flow_build_init(&build, 1, 100, 1);
        sp_random_match(&random_state, &build);
        if (!matches(&build, cases[c].low, cases[c].high) || !remove_term(&build, cases[c].gone)) {
            continue;
        }
        assert_int_equal(sp_flow_build_done(&build, &flow), 0);
        check(flow, sp_random_chance(&random_state, 50) ? SP_OF14 : SP_OF15, SP_E_INVALID, i);
        sp_flow_unref(flow);
        n++;
    }
    assert_true(n > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(round_trip), cmocka_unit_test(missing_prerequisites)};

    sp_random_init(&random_state);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
