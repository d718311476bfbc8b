/* The meters that reports go through: made before a dump, mended, left alone where they are another's; and the reports. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include <arpa/inet.h>
#include <openvswitch/ofp-errors.h>
#include <openvswitch/ofp-msgs.h>
#include <openvswitch/ofpbuf.h>

#include "flows/openflow/session_state.h"
#include "tests/support/session_pair.h"

/* To port 8888 of 10.0.0.2, by TCP. */
static const uint8_t frame[] = {
    2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0,                                         /* Ethernet */
    0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,                 /* IPv4 */
    0x9c, 0x40, 0x22, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0, /* TCP */
};

static const struct fake_denied denied = {
    .set = 7,
    .mark = 9,
    .phase = SP_PHASE_ENTERING,
    .zone = 11,
    .out = 2,
    .in_port = 1,
    .table = SP_T_DENIED,
    .packet = frame,
    .size = sizeof frame,
};

static void dump(struct session_pair *p)
{
    session_pair_forget(p);
    sp_session_dump(p->s, NULL, p->now);
    session_pair_exchange(p);
    assert_true(sp_session_idle(p->s));
    assert_int_equal(session_pair_last(p)->kind, SP_EVENT_DUMP_DONE);
}

static void made_once(void **aux)
{
    for (unsigned version = 5; version <= 6; version++) {
        static struct session_pair p;

        session_pair_init(&p);
        p.fs.versions = 1u << version;
        fake_switch_reconnect(&p.fs);
        session_pair_exchange(&p);
        assert_int_equal(p.fs.n_meters, 0); /* Not before somebody asks for the flows. */
        dump(&p);
        assert_true(p.meters.usable);
        assert_int_equal(p.meters.n_mended, 0);
        assert_int_equal(p.fs.n_meters, SP_METERS);
        for (uint32_t i = 0; i < SP_METERS; i++) {
            assert_int_equal(p.fs.meters[i].id, SP_METER_FIRST + i);
            assert_int_equal(p.fs.meters[i].rate, SP_METER_RATE);
            assert_int_equal(p.fs.meters[i].burst, SP_METER_BURST);
        }
        assert_int_equal(p.fs.controller_id, SP_CONTROLLER_ID);
        dump(&p);
        assert_int_equal(p.n_meters, 2);
        assert_int_equal(p.fs.n_meter_mods, SP_METERS);
        session_pair_clear(&p);
    }
}

static void mended(void **aux)
{
    struct session_pair *p = session_pair_ready();

    dump(p);
    p->fs.meters[3].rate = 1000000;
    p->fs.meters[5] = p->fs.meters[--p->fs.n_meters];
    dump(p);
    assert_true(p->meters.usable);
    assert_int_equal(p->meters.n_mended, 2);
    assert_int_equal(p->fs.n_meters, SP_METERS);
    assert_int_equal(p->fs.meters[3].rate, SP_METER_RATE);
    assert_int_equal(p->fs.n_meter_mods, SP_METERS + 2);
    session_pair_clear(p);
}

static void of_somebody_else(void **aux)
{
    struct session_pair *p = session_pair_ready();
    const struct fake_meter theirs = {SP_METER_FIRST + SP_METERS - 1, 99, 1}, other = {5, 99, 1};

    p->fs.meters[p->fs.n_meters++] = other;
    p->fs.meters[p->fs.n_meters++] = theirs;
    dump(p);
    assert_false(p->meters.usable);
    assert_string_equal(p->meters.text, "blocked attempts are not reported: meter 1397751871 is somebody else's");
    assert_int_equal(p->fs.n_meter_mods, 0);
    fake_switch_deny(&p->fs, &denied);
    session_pair_exchange(p);
    assert_int_equal(session_pair_count(p, SP_EVENT_DENIED), 0);
    p->fs.n_meters--; /* He has taken it away. */
    dump(p);
    assert_true(p->meters.usable);
    assert_int_equal(p->fs.n_meters, SP_METERS + 1);
    assert_memory_equal(&p->fs.meters[0], &other, sizeof other);
    session_pair_clear(p);
}

static void without_meters(void **aux)
{
    struct session_pair *p = session_pair_ready();

    p->fs.refuse_meters = true;
    dump(p);
    assert_false(p->meters.usable);
    assert_string_equal(p->meters.text,
                        "blocked attempts are not reported: the switch answered OFPMMFC_INVALID_METER when asked for meters");
    p->fs.refuse_meters = false;
    dump(p);
    assert_true(p->meters.usable);
    session_pair_clear(p);
}

static void silent(int type, const char *why)
{
    struct session_pair *p = session_pair_ready();

    p->fs.mute_type = type;
    sp_session_dump(p->s, NULL, p->now);
    session_pair_exchange(p);
    p->now += SP_SESSION_REPLY_MS;
    sp_session_tick(p->s, p->now);
    session_pair_take_events(p);
    session_pair_assert_closed(p, why);
    session_pair_clear(p);
}

static void no_answer(void **aux)
{
    silent(OFPTYPE_METER_CONFIG_STATS_REQUEST, "the list of meters");
    silent(OFPTYPE_BARRIER_REQUEST, "the confirmation of meters");
}

/* A session with a switch that has the meters of an earlier one, and that gathers its answer to a dump. */
static struct session_pair *gathering(void)
{
    static struct session_pair p;

    session_pair_init(&p);
    session_pair_exchange(&p);
    dump(&p);
    sp_session_free(p.s);
    p.s = sp_session_new(p.now);
    fake_switch_reconnect(&p.fs);
    session_pair_exchange(&p);
    session_pair_forget(&p);
    p.n_meters = 0;
    p.fs.hold_dumps = true;
    sp_session_dump(p.s, NULL, p.now);
    session_pair_exchange(&p);
    return &p;
}

/* The flows are asked for together with the meters, and the word on these does not wait for them; the end does for both. */
static void asked_together(void **aux)
{
    struct session_pair *p = gathering();

    assert_int_equal(p->n_meters, 1);
    assert_true(p->meters.usable);
    assert_int_equal(p->n, 0);
    assert_false(sp_session_idle(p->s));
    assert_int_equal(p->fs.controller_id, 0);
    fake_switch_go_on(&p->fs);
    session_pair_exchange(p);
    assert_true(sp_session_idle(p->s));
    assert_int_equal(session_pair_last(p)->kind, SP_EVENT_DUMP_DONE);
    assert_int_equal(p->fs.controller_id, SP_CONTROLLER_ID);
    assert_int_equal(p->n_meters, 1);
    session_pair_clear(p);
}

/* Nothing comes to us after all: that is told as well, and asked for anew with the next dump. */
static void nobody_is_told(void **aux)
{
    struct session_pair *p = gathering();
    const struct ofp_header subscription = {.version = p->s->version, .xid = htonl(p->s->meters.base_xid)};

    fake_switch_send(&p->fs, ofperr_encode_reply(OFPERR_OFPBRC_BAD_TYPE, &subscription));
    session_pair_exchange(p);
    assert_int_equal(p->n_meters, 1);
    fake_switch_go_on(&p->fs);
    session_pair_exchange(p);
    assert_int_equal(session_pair_last(p)->kind, SP_EVENT_DUMP_DONE);
    assert_int_equal(p->n_meters, 2);
    assert_false(p->meters.usable);
    assert_string_equal(p->meters.text,
                        "blocked attempts are not reported: the switch answered OFPBRC_BAD_TYPE when asked for meters");
    dump(p);
    assert_true(p->meters.usable);
    session_pair_clear(p);
}

static void confirmed_by_nobody(void **aux)
{
    struct session_pair *p = gathering();

    fake_switch_send(&p->fs, ofpraw_alloc_xid(OFPRAW_OFPT11_BARRIER_REPLY, p->s->version, htonl(1), 0));
    session_pair_exchange(p);
    session_pair_assert_closed(p, "an unexpected barrier reply");
    session_pair_clear(p);
}

static void reported(void **aux)
{
    struct session_pair *p = session_pair_ready();
    struct fake_denied leaving = denied, elsewhere = denied, cut = denied;
    const struct sp_session_denied *told;

    dump(p);
    session_pair_forget(p);
    leaving.phase = SP_PHASE_LEAVING;
    elsewhere.table = SP_T_RULES_IN;
    cut.size = 30;
    fake_switch_deny(&p->fs, &denied);
    fake_switch_deny(&p->fs, &elsewhere);
    fake_switch_deny(&p->fs, &cut);
    fake_switch_deny(&p->fs, &leaving);
    session_pair_exchange(p);
    assert_int_equal(p->n, 2);
    told = &p->log[0].denied;
    assert_int_equal(p->log[0].kind, SP_EVENT_DENIED);
    assert_int_equal(told->set, 7);
    assert_int_equal(told->mark, 9);
    assert_int_equal(told->phase, SP_PHASE_ENTERING);
    assert_int_equal(told->zone, 11);
    assert_int_equal(told->ofport, 2);
    assert_int_equal(told->n_left_out, 0);
    assert_int_equal(told->headers.protocol, 6);
    assert_int_equal(told->headers.dst_port, 8888);
    assert_int_equal(p->log[1].denied.ofport, 1);
    session_pair_clear(p);
}

static void too_many(void **aux)
{
    struct session_pair *p = session_pair_ready();

    dump(p);
    session_pair_forget(p);
    for (unsigned i = 0; i < SP_SESSION_DENIED_PER_S + 40; i++) {
        fake_switch_deny(&p->fs, &denied);
    }
    session_pair_exchange(p);
    assert_int_equal(p->n, SP_SESSION_DENIED_PER_S);
    session_pair_forget(p);
    p->now += 1000;
    fake_switch_deny(&p->fs, &denied);
    session_pair_exchange(p);
    assert_int_equal(p->n, 1);
    assert_int_equal(p->log[0].denied.n_left_out, 40);
    session_pair_clear(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(made_once),
        cmocka_unit_test(mended),
        cmocka_unit_test(of_somebody_else),
        cmocka_unit_test(without_meters),
        cmocka_unit_test(no_answer),
        cmocka_unit_test(asked_together),
        cmocka_unit_test(nobody_is_told),
        cmocka_unit_test(confirmed_by_nobody),
        cmocka_unit_test(reported),
        cmocka_unit_test(too_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
