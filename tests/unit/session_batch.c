/* Checked bundles against a scripted switch: applied whole or not at all, and every refusal named. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include <openvswitch/ofp-msgs.h>

#include "flows/openflow/session_state.h"
#include "tests/support/session_pair.h"

static void applied(void **aux)
{
    struct session_pair *p = session_pair_ready();
    struct sp_flow_mod *mods = session_pair_mods(3);

    session_pair_apply(p, mods, 3);
    assert_int_equal(p->n, 1);
    assert_int_equal(session_pair_last(p)->kind, SP_EVENT_APPLIED);
    assert_int_equal(p->fs.n_entries, 3);
    assert_int_equal(p->fs.n_commits, 1);
    mods[1].verb = SP_FLOW_DELETE;
    session_pair_apply(p, mods, 2); /* Replaces the first, removes the second. */
    assert_int_equal(session_pair_last(p)->kind, SP_EVENT_APPLIED);
    assert_int_equal(p->fs.n_entries, 2);
    assert_int_equal(p->fs.n_flow_mods, 5);
    session_pair_free_mods(mods, 3);
    session_pair_clear(p);
}

/* P1: a deletion leaves a flow of the same key alone if its cookie is another's. */
static void foreign_flow_stays(void **aux)
{
    struct session_pair *p = session_pair_ready();
    struct sp_flow_mod *mods = session_pair_mods(1);

    mods[0].verb = SP_FLOW_DELETE;
    fake_switch_add_flow(&p->fs, "table=21,priority=100,cookie=0x7,reg0=0,actions=output:1");
    session_pair_apply(p, mods, 1);
    assert_int_equal(session_pair_last(p)->kind, SP_EVENT_APPLIED);
    assert_int_equal(p->fs.n_entries, 1);
    session_pair_free_mods(mods, 1);
    session_pair_clear(p);
}

/* Only the reply to its own barrier tells that the switch has looked at a bundle. */
static void barrier_of_another_request(void **aux)
{
    struct session_pair *p = session_pair_ready();
    struct sp_flow_mod *mods = session_pair_mods(1);

    p->fs.mute_type = OFPTYPE_BARRIER_REQUEST;
    session_pair_apply(p, mods, 1);
    assert_int_equal(p->n, 0);
    session_pair_feed(p, "\x06\x15\0\x08\x12\x34\x56\x78", 8);
    session_pair_assert_closed(p, "unexpected barrier reply");
    session_pair_free_mods(mods, 1);
    session_pair_clear(p);
}

static void refused_when_added(void **aux)
{
    struct session_pair *p = session_pair_ready();
    struct sp_flow_mod *mods = session_pair_mods(10);

    for (size_t i = 4; i < 10; i += 3) { /* 0xff40 is no port and no reserved one. */
        sp_flow_unref(mods[i].flow);
        mods[i].flow = session_pair_flow((uint32_t) i, 0xff40);
    }
    session_pair_apply(p, mods, 10);
    assert_int_equal(p->n, 3);
    assert_int_equal(p->log[0].kind, SP_EVENT_REFUSED);
    assert_int_equal(p->log[0].refused.index, 4);
    assert_string_equal(p->log[0].refused.error, "OFPBAC_BAD_OUT_PORT");
    assert_int_equal(p->log[1].refused.index, 7);
    assert_int_equal(session_pair_last(p)->kind, SP_EVENT_DISCARDED);
    assert_string_equal(session_pair_last(p)->text, "2 of 10 modifications refused: OFPBAC_BAD_OUT_PORT");
    assert_int_equal(p->fs.n_entries, 0);
    assert_int_equal(p->fs.n_discards, 1);
    assert_int_equal(p->fs.n_commits, 0);
    assert_true(sp_session_idle(p->s));
    session_pair_free_mods(mods, 10);
    session_pair_clear(p);
}

static void not_expressible(void **aux)
{
    static struct sp_flow_build build;
    struct session_pair *p = session_pair_ready();
    struct sp_flow_mod *mods = session_pair_mods(3);

    sp_flow_build_init(&build, 1, 1, SESSION_PAIR_COOKIE);
    sp_flow_match_exact(&build, SP_F_TCP_DST, 22); /* Of what protocol? */
    sp_flow_unref(mods[2].flow);
    assert_int_equal(sp_flow_build_done(&build, &mods[2].flow), 0);
    session_pair_apply(p, mods, 3);
    assert_int_equal(p->n, 2);
    assert_int_equal(p->log[0].refused.index, 2);
    assert_string_equal(p->log[0].refused.error, "not expressible in OpenFlow");
    assert_int_equal(session_pair_last(p)->kind, SP_EVENT_DISCARDED);
    assert_int_equal(p->fs.n_entries, 0);
    session_pair_free_mods(mods, 3);
    session_pair_clear(p);
}

static void refused_at_commit(void **aux)
{
    struct session_pair *p = session_pair_ready();
    struct sp_flow_mod *mods = session_pair_mods(10);

    p->fs.table_limit = 6;
    session_pair_apply(p, mods, 10);
    assert_int_equal(p->n, 2);
    assert_int_equal(p->log[0].kind, SP_EVENT_REFUSED);
    assert_int_equal(p->log[0].refused.index, 6);
    assert_string_equal(p->log[0].refused.error, "OFPFMFC_TABLE_FULL");
    assert_int_equal(session_pair_last(p)->kind, SP_EVENT_DISCARDED);
    assert_int_equal(p->fs.n_entries, 0);
    p->fs.table_limit = 10;
    session_pair_apply(p, mods, 10);
    assert_int_equal(session_pair_last(p)->kind, SP_EVENT_APPLIED);
    session_pair_free_mods(mods, 10);
    session_pair_clear(p);
}

static void refused_to_open(void **aux)
{
    struct session_pair *p = session_pair_ready();
    struct sp_flow_mod *mods = session_pair_mods(5);

    p->fs.refuse_open = true;
    session_pair_apply(p, mods, 5);
    assert_int_equal(p->n, 1);
    assert_int_equal(session_pair_last(p)->kind, SP_EVENT_DISCARDED);
    assert_string_equal(session_pair_last(p)->text, "the switch refused the bundle: OFPBFC_OUT_OF_BUNDLES");
    p->fs.refuse_open = false;
    session_pair_apply(p, mods, 5);
    assert_int_equal(session_pair_last(p)->kind, SP_EVENT_APPLIED);
    session_pair_free_mods(mods, 5);
    session_pair_clear(p);
}

static void flushes(void **aux)
{
    static const uint16_t zones[] = {7, 65535};
    struct session_pair *p = session_pair_ready();
    struct sp_flow_mod *mods = session_pair_mods(2);

    sp_session_apply(p->s, mods, 2, zones, 2, p->now);
    session_pair_exchange(p);
    assert_int_equal(p->n, 1);
    assert_int_equal(session_pair_last(p)->kind, SP_EVENT_APPLIED);
    assert_int_equal(p->fs.n_flushed, 2);
    assert_int_equal(p->fs.flushed[0], 7);
    assert_int_equal(p->fs.flushed[1], 65535);
    session_pair_forget(p);
    p->fs.refuse_flush = true;
    sp_session_apply(p->s, mods, 2, zones, 2, p->now);
    session_pair_exchange(p);
    assert_int_equal(p->n, 3);
    assert_int_equal(p->log[1].kind, SP_EVENT_ERROR);
    assert_string_equal(p->log[1].text, "the switch did not flush the connections of zone 65535: OFPBRC_BAD_TYPE");
    assert_int_equal(session_pair_last(p)->kind, SP_EVENT_APPLIED);
    session_pair_free_mods(mods, 2);
    session_pair_clear(p);
}

/* No flush while the flows of the zone are there. */
static void no_flush_after_refusal(void **aux)
{
    static const uint16_t zones[] = {7};
    struct session_pair *p = session_pair_ready();
    struct sp_flow_mod *mods = session_pair_mods(2);

    p->fs.table_limit = 1;
    sp_session_apply(p->s, mods, 2, zones, 1, p->now);
    session_pair_exchange(p);
    assert_int_equal(session_pair_last(p)->kind, SP_EVENT_DISCARDED);
    assert_int_equal(p->fs.n_flushed, 0);
    session_pair_free_mods(mods, 2);
    session_pair_clear(p);
}

/* A zone that must be empty before the flows that come behind it. */
static void flush_before_flows(void **aux)
{
    struct session_pair *p = session_pair_ready();
    struct sp_flow_mod *mods = session_pair_mods(3);
    static struct sp_flow_build build;

    sp_flow_build_init(&build, 6, 100, SP_COOKIE(SP_COOKIE_OWNED, 1));
    sp_flow_match_exact(&build, SP_F_CT_ZONE, 77);
    sp_flow_unref(mods[0].flow);
    assert_int_equal(sp_flow_build_done(&build, &mods[0].flow), 0);
    mods[0].verb = SP_ZONE_FLUSH;
    p->fs.refuse_flush = true;
    session_pair_apply(p, mods, 3);
    assert_int_equal(p->log[0].kind, SP_EVENT_REFUSED);
    assert_int_equal(p->log[0].refused.index, 0);
    assert_string_equal(p->log[0].refused.error, "OFPBRC_BAD_TYPE");
    assert_int_equal(session_pair_last(p)->kind, SP_EVENT_DISCARDED);
    assert_int_equal(p->fs.n_entries, 0);

    session_pair_forget(p);
    p->fs.refuse_flush = false;
    session_pair_apply(p, mods, 3);
    assert_int_equal(p->n, 1);
    assert_int_equal(session_pair_last(p)->kind, SP_EVENT_APPLIED);
    assert_int_equal(p->fs.n_flushed, 1);
    assert_int_equal(p->fs.flushed[0], 77);
    assert_int_equal(p->fs.n_entries, 2);

    /* Without a zone there is nothing that could be flushed. */
    session_pair_forget(p);
    mods[1].verb = SP_ZONE_FLUSH;
    session_pair_apply(p, mods, 3);
    assert_int_equal(p->log[0].refused.index, 1);
    assert_int_equal(session_pair_last(p)->kind, SP_EVENT_DISCARDED);
    session_pair_free_mods(mods, 3);
    session_pair_clear(p);
}

static void flush_alone(void **aux)
{
    static const uint16_t zones[] = {7, 9};
    struct session_pair *p = session_pair_ready();

    sp_session_apply(p->s, NULL, 0, zones, 2, p->now);
    session_pair_exchange(p);
    assert_int_equal(p->n, 1);
    assert_int_equal(session_pair_last(p)->kind, SP_EVENT_APPLIED);
    assert_int_equal(p->fs.n_flushed, 2);
    assert_int_equal(p->fs.n_commits, 0);
    session_pair_clear(p);
}

/* S4: a long batch is encoded as it is taken. */
static void long_batch(void **aux)
{
    enum { N = 3000 };
    struct session_pair *p = session_pair_ready();
    struct sp_flow_mod *mods = session_pair_mods(N);
    static uint8_t bytes[64 << 10];
    size_t total = 0, size;

    sp_session_apply(p->s, mods, N, NULL, 0, p->now);
    while ((size = sp_session_output(p->s, bytes, sizeof bytes, p->now)) > 0) {
        total += size;
        fake_switch_receive(&p->fs, bytes, size);
    }
    assert_true(total > 3 * sizeof bytes);
    session_pair_exchange(p);
    assert_int_equal(session_pair_last(p)->kind, SP_EVENT_APPLIED);
    assert_int_equal(p->fs.n_entries, N);
    session_pair_free_mods(mods, N);
    session_pair_clear(p);
}

/* A bundle that is held: the switch has looked at it and has nothing of it in force. */
static void prepare(struct session_pair *p, const struct sp_flow_mod *mods, size_t n)
{
    session_pair_forget(p);
    sp_session_prepare(p->s, mods, n, p->now);
    session_pair_exchange(p);
    assert_int_equal(session_pair_count(p, SP_EVENT_APPLIED), 0);
    assert_int_equal(p->fs.n_entries, 0);
    assert_int_equal(p->fs.n_commits, 0);
    assert_false(sp_session_idle(p->s));
}

static void prepared(void **aux)
{
    struct session_pair *p = session_pair_ready();
    struct sp_flow_mod *mods = session_pair_mods(3);

    prepare(p, mods, 3);
    assert_int_equal(p->fs.n_bundle, 3);
    assert_int_equal(p->n, 0);
    sp_session_commit(p->s, p->now);
    sp_session_withdraw(p->s, p->now); /* Too late. */
    session_pair_exchange(p);
    assert_int_equal(p->n, 1);
    assert_int_equal(session_pair_last(p)->kind, SP_EVENT_APPLIED);
    assert_int_equal(p->fs.n_entries, 3);
    assert_int_equal(p->fs.n_commits, 1);
    assert_true(sp_session_idle(p->s));
    session_pair_free_mods(mods, 3);
    session_pair_clear(p);
}

static void withdrawn(void **aux)
{
    struct session_pair *p = session_pair_ready();
    struct sp_flow_mod *mods = session_pair_mods(3);

    prepare(p, mods, 3);
    sp_session_withdraw(p->s, p->now);
    sp_session_commit(p->s, p->now); /* Likewise. */
    session_pair_exchange(p);
    assert_int_equal(p->n, 1);
    assert_int_equal(session_pair_last(p)->kind, SP_EVENT_DISCARDED);
    assert_string_equal(session_pair_last(p)->text, "the bundle was withdrawn");
    assert_int_equal(p->fs.n_discards, 1);
    assert_int_equal(p->fs.n_entries, 0);
    session_pair_apply(p, mods, 3);
    assert_int_equal(session_pair_last(p)->kind, SP_EVENT_APPLIED);
    session_pair_free_mods(mods, 3);
    session_pair_clear(p);
}

/* The word comes before the switch has answered. */
static void early_word(void **aux)
{
    for (int commits = 0; commits < 2; commits++) {
        struct session_pair *p = session_pair_ready();
        struct sp_flow_mod *mods = session_pair_mods(3);

        sp_session_prepare(p->s, mods, 3, p->now);
        if (commits) {
            sp_session_commit(p->s, p->now);
        } else {
            sp_session_withdraw(p->s, p->now);
        }
        sp_session_commit(p->s, p->now);
        session_pair_exchange(p);
        assert_int_equal(p->n, 1);
        assert_int_equal(session_pair_last(p)->kind, commits ? SP_EVENT_APPLIED : SP_EVENT_DISCARDED);
        assert_int_equal(p->fs.n_commits, commits);
        assert_int_equal(p->fs.n_discards, !commits);
        assert_int_equal(p->fs.n_entries, commits ? 3 : 0);
        session_pair_free_mods(mods, 3);
        session_pair_clear(p);
    }
}

static void prepared_and_refused(void **aux)
{
    struct session_pair *p = session_pair_ready();
    struct sp_flow_mod *mods = session_pair_mods(3);

    sp_flow_unref(mods[1].flow);
    mods[1].flow = session_pair_flow(1, 0xff40);
    sp_session_prepare(p->s, mods, 3, p->now);
    session_pair_exchange(p);
    assert_int_equal(p->n, 2);
    assert_int_equal(p->log[0].kind, SP_EVENT_REFUSED);
    assert_int_equal(p->log[0].refused.index, 1);
    assert_int_equal(session_pair_last(p)->kind, SP_EVENT_DISCARDED);
    assert_true(sp_session_idle(p->s));
    sp_session_commit(p->s, p->now);
    session_pair_exchange(p);
    assert_int_equal(p->n, 2);
    assert_int_equal(p->fs.n_entries, 0);
    session_pair_free_mods(mods, 3);
    session_pair_clear(p);
}

/* Whoever says nothing for too long has withdrawn; until then the clock runs for nobody else. */
static void held_too_long(void **aux)
{
    struct session_pair *p = session_pair_ready();
    struct sp_flow_mod *mods = session_pair_mods(3);

    prepare(p, mods, 3);
    assert_int_equal(sp_session_deadline(p->s), p->now + SP_SESSION_HOLD_MS);
    p->now += SP_SESSION_HOLD_MS - 1;
    sp_session_tick(p->s, p->now);
    session_pair_exchange(p);
    assert_int_equal(p->n, 0);
    p->now++;
    sp_session_tick(p->s, p->now);
    session_pair_exchange(p);
    assert_int_equal(p->n, 1);
    assert_int_equal(session_pair_last(p)->kind, SP_EVENT_DISCARDED);
    assert_int_equal(p->fs.n_discards, 1);
    assert_true(sp_session_idle(p->s));
    session_pair_free_mods(mods, 3);
    session_pair_clear(p);
}

/* A switch that gives the bundle up by itself says so of the message that opened it. */
static void given_up_by_the_switch(void **aux)
{
    static uint8_t error[] = {5, 1, 0, 20, 0, 0, 0, 0, 0, 17, 0, 14, 5, 33, 0, 16, 0, 0, 0, 0}; /* OFPBFC_TIMEOUT */
    struct session_pair *p = session_pair_ready();
    struct sp_flow_mod *mods = session_pair_mods(3);

    prepare(p, mods, 3);
    error[0] = p->fs.version;
    for (size_t i = 0; i < 4; i++) {
        error[4 + i] = error[16 + i] = (uint8_t) (p->s->batch.control_xid >> (24 - 8 * i));
    }
    session_pair_feed(p, error, sizeof error);
    assert_int_equal(p->n, 0);
    sp_session_commit(p->s, p->now);
    session_pair_exchange(p);
    assert_int_equal(session_pair_last(p)->kind, SP_EVENT_DISCARDED);
    assert_non_null(strstr(session_pair_last(p)->text, "OFPBFC_TIMEOUT"));
    assert_int_equal(p->fs.n_commits, 0);
    assert_int_equal(p->fs.n_entries, 0);
    session_pair_free_mods(mods, 3);
    session_pair_clear(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(applied),
        cmocka_unit_test(foreign_flow_stays),
        cmocka_unit_test(barrier_of_another_request), cmocka_unit_test(refused_when_added),
        cmocka_unit_test(not_expressible),
        cmocka_unit_test(refused_at_commit),
        cmocka_unit_test(refused_to_open),
        cmocka_unit_test(flushes),
        cmocka_unit_test(no_flush_after_refusal),
        cmocka_unit_test(flush_before_flows),
        cmocka_unit_test(flush_alone),
        cmocka_unit_test(long_batch),
        cmocka_unit_test(prepared),
        cmocka_unit_test(withdrawn),
        cmocka_unit_test(early_word),
        cmocka_unit_test(prepared_and_refused),
        cmocka_unit_test(held_too_long),
        cmocka_unit_test(given_up_by_the_switch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
