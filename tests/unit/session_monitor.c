/* What the switch tells of others' changes: what concerns us comes out, everything else is dropped. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include <openvswitch/ofp-errors.h>
#include <openvswitch/ofp-msgs.h>
#include <openvswitch/ofp-util.h>
#include <openvswitch/ofpbuf.h>

#include "tests/support/session_pair.h"

#define OURS "table=21,priority=100,cookie=0x5350050000000007,reg0=1,actions=drop"
#define THEIRS "table=21,priority=100,cookie=0x7,reg0=1,actions=drop"

static struct session_pair *monitored(void)
{
    struct session_pair *p = session_pair_ready();

    p->fs.tell_changes = true;
    sp_session_dump(p->s, NULL, p->now);
    session_pair_exchange(p);
    assert_true(p->fs.monitored);
    session_pair_forget(p);
    return p;
}

static void what_concerns_us(void **aux)
{
    struct session_pair *p = monitored();

    fake_switch_add_flow(&p->fs, OURS);
    session_pair_exchange(p);
    assert_int_equal(p->n, 1);
    assert_int_equal(session_pair_last(p)->kind, SP_EVENT_CHANGED);
    assert_true(session_pair_last(p)->flow->cookie == 0x5350050000000007);
    assert_int_equal(session_pair_last(p)->flow->table, 21);

    /* One of another's may have taken its place: it has. */
    fake_switch_add_flow(&p->fs, THEIRS);
    session_pair_exchange(p);
    assert_int_equal(p->n, 2);
    assert_true(sp_flow_same_key(p->log[0].flow, p->log[1].flow));

    /* What another takes away of its own, and what the switch learns, is none of our business. */
    fake_switch_delete_flow(&p->fs, "table=21,priority=100,reg0=1");
    fake_switch_add_flow(&p->fs, "table=35,priority=100,cookie=0x5350080000000001,dl_vlan=7,actions=drop");
    session_pair_exchange(p);
    assert_int_equal(p->n, 2);

    fake_switch_add_flow(&p->fs, OURS);
    fake_switch_forget(&p->fs, 0x5350050000000007, UINT64_MAX);
    session_pair_exchange(p);
    assert_int_equal(p->n, 4);
    assert_true(sp_session_idle(p->s));
    session_pair_clear(p);
}

/* They are asked for once, and told between a dump's parts and a batch's steps too. */
static void at_any_time(void **aux)
{
    struct session_pair *p = monitored();
    struct sp_flow_mod *mods = session_pair_mods(2);

    sp_session_dump(p->s, NULL, p->now);
    fake_switch_add_flow(&p->fs, OURS); /* Comes before the dump's answer. */
    session_pair_exchange(p);
    assert_int_equal(session_pair_count(p, SP_EVENT_CHANGED), 1);
    assert_int_equal(session_pair_count(p, SP_EVENT_DUMP_DONE), 1);
    sp_session_apply(p->s, mods, 2, NULL, 0, p->now);
    for (int i = 0; i < 8 && !sp_session_idle(p->s); i++) {
        fake_switch_add_flow(&p->fs, OURS);
        session_pair_exchange_once(p);
    }
    assert_int_equal(session_pair_count(p, SP_EVENT_APPLIED), 1);
    assert_true(session_pair_count(p, SP_EVENT_CHANGED) > 2);
    session_pair_free_mods(mods, 2);
    session_pair_clear(p);
}

static void declined(void **aux)
{
    struct session_pair *p = session_pair_ready();

    p->fs.refuse_monitor = true;
    sp_session_dump(p->s, NULL, p->now);
    session_pair_exchange(p);
    assert_int_equal(p->n, 2);
    assert_int_equal(p->log[0].kind, SP_EVENT_ERROR);
    assert_non_null(strstr(p->log[0].text, "answered OFPBRC_BAD_STAT when asked to tell"));
    assert_int_equal(p->log[1].kind, SP_EVENT_DUMP_DONE);
    assert_true(sp_session_idle(p->s));
    session_pair_clear(p);
}

/* A switch that tells and tells does not keep a batch alive that it does not answer. */
static void is_no_progress(void **aux)
{
    struct session_pair *p = monitored();
    struct sp_flow_mod *mods = session_pair_mods(1);
    int64_t begin = p->now;

    p->fs.mute_type = OFPTYPE_BARRIER_REQUEST;
    sp_session_apply(p->s, mods, 1, NULL, 0, p->now);
    session_pair_exchange(p);
    while (p->now <= begin + SP_SESSION_REPLY_MS) {
        p->now += 1000;
        fake_switch_add_flow(&p->fs, OURS);
        session_pair_exchange(p);
        sp_session_tick(p->s, p->now);
        session_pair_take_events(p);
    }
    session_pair_assert_closed(p, "no answer within 10 s");
    session_pair_free_mods(mods, 1);
    session_pair_clear(p);
}

/* An update of 'size' bytes behind the header of a message that says so. */
static void feed(struct session_pair *p, const uint8_t *update, size_t size)
{
    struct ofpbuf *msg = ofpraw_alloc_xid(OFPRAW_OFPST14_FLOW_MONITOR_REPLY, p->fs.version, 0, size);

    ofpbuf_put(msg, update, size);
    ofpmsg_update_length(msg);
    session_pair_feed(p, msg->data, msg->size);
    session_pair_take_events(p);
    ofpbuf_delete(msg);
}

static void hostile(void **aux)
{
    static const struct {
        uint8_t bytes[40];
        size_t size;
    } bad[] = {
        {{0, 0}, 8},                                /* Of no length, */
        {{0, 16, 0, 2}, 8},                         /* longer than the message, */
        {{0, 8, 0, 2}, 8},                          /* too short for its kind, */
        {{0, 8, 0, 99}, 8},                         /* of no known kind, */
        {{0, 4}, 4},                                /* shorter than a header, */
        {{0, 32, 0, 2, [24] = 0, 1, 0xff, 0xff}, 32}, /* a match that claims too much, */
        {{0, 32, 0, 2, [24] = 0, 9, 0, 4}, 32},     /* a match of no known type, */
        {{0, 16, 0, 4}, 16},                        /* a short word that is too long. */
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct session_pair *p = monitored();

        feed(p, bad[i].bytes, bad[i].size);
        session_pair_assert_closed(p, "malformed");
        session_pair_clear(p);
    }
}

static void not_asked_for(void **aux)
{
    struct session_pair *p = session_pair_ready();
    static const uint8_t paused[8] = {0, 8, 0, 5};

    feed(p, paused, sizeof paused);
    session_pair_assert_closed(p, "not asked for");
    session_pair_clear(p);

    p = monitored();
    feed(p, paused, sizeof paused);
    assert_int_equal(p->n, 0);
    assert_true(sp_session_idle(p->s));
    session_pair_clear(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_concerns_us), cmocka_unit_test(at_any_time), cmocka_unit_test(declined),
        cmocka_unit_test(is_no_progress), cmocka_unit_test(hostile), cmocka_unit_test(not_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
