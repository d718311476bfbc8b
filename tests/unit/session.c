/* The session against a scripted switch, with a virtual clock: handshake, ports, dump, and what becomes of silence. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include <openvswitch/ofp-errors.h>
#include <openvswitch/ofp-msgs.h>
#include <openvswitch/ofp-util.h>
#include <openvswitch/ofpbuf.h>

#include "tests/support/session_pair.h"

static void check_handshake(uint32_t versions, uint8_t expected)
{
    static struct session_pair p;

    session_pair_init(&p);
    fake_switch_clear(&p.fs);
    fake_switch_init(&p.fs, 0xabcdef, 0);
    p.fs.versions = versions;
    p.fs.n_ports = 2;
    p.fs.ports[0] = (struct fake_port){.no = 1, .name = "tap0"};
    p.fs.ports[1] = (struct fake_port){.no = 0xfffe, .name = "br\x01\xc3\xa9\xff\xe2\x80\xa8"};
    fake_switch_reconnect(&p.fs);
    session_pair_exchange(&p);
    assert_int_equal(p.n, 4);
    assert_int_equal(p.log[0].kind, SP_EVENT_READY);
    assert_int_equal(p.log[0].ready.version, expected);
    assert_true(p.log[0].ready.dpid == 0xabcdef);
    assert_string_equal(p.log[0].ready.software, "3.1.0");
    assert_string_equal(p.log[0].ready.name, "br?\xc3\xa9??"); /* As its local port. */
    assert_int_equal(p.log[1].kind, SP_EVENT_PORT);
    assert_int_equal(p.log[1].port.ofport, 1);
    assert_string_equal(p.log[1].port.name, "tap0");
    assert_false(p.log[1].port.deleted);
    assert_int_equal(p.log[2].port.ofport, 0xfffe);
    assert_string_equal(p.log[2].port.name, "br?\xc3\xa9??");
    assert_int_equal(p.log[3].kind, SP_EVENT_PORTS_DONE);
    assert_true(sp_session_idle(p.s));
    session_pair_clear(&p);
}

static void handshake(void **aux)
{
    check_handshake(1u << 6 | 1u << 5, SP_OF15);
    check_handshake(1u << 6, SP_OF15);
    check_handshake(0x3e, SP_OF14);
}

static void check_versions(uint32_t versions, const char *why)
{
    static struct session_pair p;
    uint8_t bytes[512];
    size_t size;

    session_pair_init(&p);
    p.fs.versions = versions;
    fake_switch_reconnect(&p.fs);
    size = fake_switch_output(&p.fs, bytes, sizeof bytes);
    sp_session_receive(p.s, bytes, size, p.now);
    session_pair_take_events(&p);
    assert_int_equal(p.n, 1);
    session_pair_assert_closed(&p, why);
    size = sp_session_output(p.s, bytes, sizeof bytes, p.now);
    size -= 16; /* Our hello; behind it the error that the peer can log. */
    assert_true(size > 12);
    assert_int_equal(bytes[16 + 1], 1);
    assert_memory_equal(bytes + 16 + 8, "\0\0\0\0", 4);
    session_pair_clear(&p);
}

static void versions_in_common(void **aux)
{
    check_versions(0x1e, "the bridge speaks only OpenFlow 1.0 to 1.3; Sallyport needs 1.4 or 1.5");
    check_versions(1u << 4, "the bridge speaks only OpenFlow 1.3; Sallyport needs 1.4 or 1.5 "
                            "(ovs-vsctl set bridge NAME protocols=OpenFlow14,OpenFlow15)");
    check_versions(1u << 1, "the bridge speaks only OpenFlow 1.0;");
}

/* The recorded bytes of a whole handshake, cut in two at every place, and byte by byte. */
static void every_split(void **aux)
{
    static struct session_pair p, q;

    session_pair_init(&p);
    p.record = malloc(1);
    session_pair_exchange(&p);
    assert_true(p.record_size > 1000);
    for (size_t cut = 0; cut <= p.record_size; cut++) {
        session_pair_init(&q);
        sp_session_receive(q.s, p.record, cut, q.now);
        sp_session_receive(q.s, p.record + cut, p.record_size - cut, q.now);
        session_pair_take_events(&q);
        assert_int_equal(q.n, 5);
        assert_true(sp_session_idle(q.s));
        session_pair_clear(&q);
    }
    session_pair_init(&q);
    q.chunk = 1;
    session_pair_exchange(&q);
    assert_int_equal(q.n, 5);
    session_pair_clear(&q);
    session_pair_clear(&p);
}

static void half_a_handshake_is_none(void **aux)
{
    static struct session_pair p;

    session_pair_init(&p);
    p.fs.mute_type = OFPTYPE_PORT_DESC_STATS_REQUEST;
    session_pair_exchange(&p);
    assert_int_equal(p.n, 0);
    session_pair_feed(&p, "\x06\xff\0\x08\0\0\0\0", 8);
    assert_int_equal(p.n, 1);
    session_pair_assert_closed(&p, "malformed");
    session_pair_clear(&p);
}

static void port_changes(void **aux)
{
    static struct session_pair p;

    session_pair_init(&p);
    p.fs.mute_type = OFPTYPE_PORT_DESC_STATS_REQUEST;
    session_pair_exchange(&p);
    fake_switch_port_status(&p.fs, 9, "p9", false);
    fake_switch_port_status(&p.fs, 2, "p2", true);
    session_pair_exchange(&p);
    assert_int_equal(p.n, 0); /* Held back, in order, until the ports are known. */
    session_pair_clear(&p);

    session_pair_init(&p);
    session_pair_exchange(&p);
    session_pair_forget(&p);
    fake_switch_port_status(&p.fs, 9, "p9", false);
    fake_switch_port_status(&p.fs, 2, "p2", true);
    session_pair_exchange(&p);
    assert_int_equal(p.n, 2);
    assert_int_equal(p.log[0].port.ofport, 9);
    assert_string_equal(p.log[0].port.name, "p9");
    assert_false(p.log[0].port.deleted);
    assert_int_equal(p.log[1].port.ofport, 2);
    assert_true(p.log[1].port.deleted);
    session_pair_clear(&p);
}

static void too_many_ports(void **aux)
{
    static struct session_pair p;

    session_pair_init(&p);
    p.fs.mute_type = OFPTYPE_PORT_DESC_STATS_REQUEST;
    session_pair_exchange(&p);
    for (unsigned i = 0; i <= SP_SESSION_PORTS_MAX; i++) {
        fake_switch_port_status(&p.fs, (uint16_t) (1 + i % 20), "p", false);
    }
    session_pair_exchange(&p);
    session_pair_assert_closed(&p, "more than 65280 ports");
    session_pair_clear(&p);
}

static void dump(void **aux)
{
    struct session_pair *p = session_pair_ready();
    struct sp_flow *expected = session_pair_flow(5, 3);

    fake_switch_add_flow(&p->fs, "table=21,priority=100,cookie=0x5350050000000007,reg0=5,actions=output:3");
    fake_switch_add_flow(&p->fs, "table=21,priority=100,cookie=0x7,reg0=6,actions=output:3");
    fake_switch_add_flow(&p->fs, "table=35,priority=100,cookie=0x5350080000000000,reg0=6,idle_timeout=9,actions=output:3");
    fake_switch_add_flow(&p->fs, "table=21,priority=100,cookie=0x5350050000000007,reg0=7,actions=group:3");
    sp_session_dump(p->s, NULL, p->now);
    assert_false(sp_session_idle(p->s));
    session_pair_exchange(p);
    assert_true(sp_session_idle(p->s));
    assert_int_equal(p->n, 3);
    assert_true(sp_flow_equal(p->log[0].flow, expected));
    assert_true(p->log[1].flow->alien);
    assert_int_equal(session_pair_last(p)->kind, SP_EVENT_DUMP_DONE);
    sp_flow_unref(expected);
    session_pair_clear(p);
}

/* More flows than one message holds come in parts. */
static void long_dump(void **aux)
{
    struct session_pair *p = session_pair_ready();
    struct sp_flow_mod *mods = session_pair_mods(2000);

    session_pair_apply(p, mods, 2000);
    session_pair_forget(p);
    p->chunk = 1000;
    sp_session_dump(p->s, NULL, p->now);
    session_pair_exchange(p);
    assert_int_equal(session_pair_count(p, SP_EVENT_DUMP_FLOW), 2000);
    for (size_t i = 0; i < 2000; i++) {
        assert_true(sp_flow_equal(p->log[i].flow, mods[i].flow));
    }
    session_pair_free_mods(mods, 2000);
    session_pair_clear(p);
}

/* Dumps into the log with 'known'. */
static void dump_known(struct session_pair *p, struct sp_known *known)
{
    session_pair_forget(p);
    sp_session_dump(p->s, known, p->now);
    session_pair_exchange(p);
    assert_int_equal(session_pair_last(p)->kind, SP_EVENT_DUMP_DONE);
}

/* 'was' is what the flow of the last dump was; now it is another one, and is told as what it is. */
static void check_changed(struct session_pair *p, struct sp_known *known, const char *flow, bool alien)
{
    struct sp_flow *was;

    dump_known(p, NULL);
    assert_int_equal(p->n, 2);
    was = sp_flow_ref(p->log[0].flow);
    fake_switch_forget(&p->fs, 0, 0);
    fake_switch_add_flow(&p->fs, flow);
    dump_known(p, known);
    assert_int_equal(p->n, 2);
    assert_ptr_not_equal(p->log[0].flow, was);
    assert_false(sp_flow_equal(p->log[0].flow, was));
    assert_int_equal(p->log[0].flow->alien, alien);
    assert_int_equal(sp_known_count(known), !alien);
    assert_false(sp_known_is_same(known));
    sp_flow_unref(was);
}

/* What a dump has told before is not decoded again, but whatever is not quite the same is. */
static void known_dump(void **aux)
{
    for (unsigned version = 5; version <= 6; version++) {
        static struct session_pair p;
        struct sp_known *known = sp_known_new(99);
        struct sp_flow *first;

        assert_non_null(known);
        session_pair_init(&p);
        p.fs.versions = 1u << version;
        fake_switch_reconnect(&p.fs);
        session_pair_exchange(&p);
        assert_int_equal(p.fs.version, version);
        fake_switch_add_flow(&p.fs, "table=21,priority=100,cookie=0x5350050000000007,reg0=5,actions=output:3");
        fake_switch_add_flow(&p.fs, "table=21,priority=100,cookie=0x7,reg0=6,actions=output:3");
        dump_known(&p, known);
        assert_int_equal(p.n, 2);
        assert_int_equal(sp_known_count(known), 1);
        assert_false(sp_known_is_same(known));
        first = sp_flow_ref(p.log[0].flow);
        dump_known(&p, known);
        assert_int_equal(p.n, 1);
        assert_true(sp_known_is_same(known));
        assert_int_equal(sp_known_count(known), 1);
        assert_ptr_equal(sp_known_next(known, &(size_t){0}), first);
        sp_flow_unref(first);
        check_changed(&p, known, "table=21,priority=100,cookie=0x5350050000000007,reg0=5,actions=output:4", false);
        check_changed(&p, known, "table=21,priority=100,cookie=0x5350050000000008,reg0=5,actions=output:4", false);
        check_changed(&p, known, "table=21,priority=102,cookie=0x5350050000000008,reg0=5,actions=output:4", false);
        check_changed(&p, known, "table=22,priority=102,cookie=0x5350050000000008,reg0=5,actions=output:4", false);
        check_changed(&p, known, "table=22,priority=102,cookie=0x5350050000000008,reg0=6,actions=output:4", false);
        check_changed(&p, known, "table=22,priority=102,cookie=0x5350050000000008,reg0=6/7,actions=output:4", false);
        check_changed(&p, known, "table=22,priority=102,cookie=0x5350050000000008,reg0=6/7,actions=group:4", true);
        check_changed(&p, known, "table=22,priority=102,cookie=0x5350050000000008,reg0=6/7,actions=drop", false);
        session_pair_clear(&p);
        sp_known_free(known);
    }
}

static void keepalive(void **aux)
{
    struct session_pair *p = session_pair_ready();

    assert_true(sp_session_deadline(p->s) == p->now + SP_SESSION_IDLE_MS);
    p->now += SP_SESSION_IDLE_MS - 1;
    sp_session_tick(p->s, p->now);
    assert_int_equal(p->fs.out_size, 0);
    p->now += 1;
    sp_session_tick(p->s, p->now);
    session_pair_exchange(p);
    assert_true(sp_session_deadline(p->s) == p->now + SP_SESSION_IDLE_MS); /* The answer counts as a sign of life. */
    fake_switch_send(&p->fs, ofputil_encode_echo_request(6));
    session_pair_exchange(p);
    assert_int_equal(p->fs.n_echo_replies, 1);
    p->fs.mute_type = OFPTYPE_ECHO_REQUEST;
    p->now += SP_SESSION_IDLE_MS;
    sp_session_tick(p->s, p->now);
    session_pair_exchange(p);
    assert_true(sp_session_deadline(p->s) == p->now + SP_SESSION_DEAD_MS - SP_SESSION_IDLE_MS);
    p->now = sp_session_deadline(p->s) - 1;
    sp_session_tick(p->s, p->now);
    session_pair_take_events(p);
    assert_int_equal(p->n, 0);
    sp_session_tick(p->s, p->now + 1);
    session_pair_take_events(p);
    session_pair_assert_closed(p, "silent for 12 s");
    session_pair_clear(p);
}

static void handshake_in_time(void **aux)
{
    static struct session_pair p;

    session_pair_init(&p);
    p.fs.mute_type = OFPTYPE_DESC_STATS_REQUEST;
    session_pair_exchange(&p);
    assert_true(sp_session_deadline(p.s) == p.now + SP_SESSION_HANDSHAKE_MS);
    fake_switch_send(&p.fs, ofputil_encode_echo_request(6));
    session_pair_exchange(&p);
    p.now += SP_SESSION_HANDSHAKE_MS;
    sp_session_tick(p.s, p.now);
    session_pair_take_events(&p);
    session_pair_assert_closed(&p, "no handshake within 10 s: waited for the switch's description");
    session_pair_clear(&p);
}

/* A switch that talks and talks, but hears nothing, is noticed within 15 s, also if something is asked of it meanwhile. */
static void check_deaf(int64_t dump_after_ms)
{
    struct session_pair *p = session_pair_ready();
    int64_t start = p->now;

    p->fs.mute_type = OFPTYPE_ECHO_REQUEST;
    while (p->now < start + SP_SESSION_IDLE_MS + SP_SESSION_REPLY_MS) {
        assert_int_equal(p->n, 0);
        p->now += 1000;
        if (p->now == start + dump_after_ms) {
            p->fs.mute_type = OFPTYPE_FLOW_STATS_REQUEST;
            sp_session_dump(p->s, NULL, p->now);
        }
        fake_switch_send(&p->fs, ofputil_encode_echo_request(6));
        session_pair_exchange(p);
        sp_session_tick(p->s, p->now);
        session_pair_take_events(p);
    }
    session_pair_assert_closed(p, "no answer within 10 s: waited for the answer to an echo request");
    session_pair_clear(p);
}

static void deaf_switch(void **aux)
{
    check_deaf(0);
    check_deaf(SP_SESSION_IDLE_MS + 2000);
}

/* A batch that is long on its way is waited for as long as it goes on; who is asked nothing is not alive for taking bytes. */
static void slow_link(void **aux)
{
    struct session_pair *p = session_pair_ready();
    struct sp_flow_mod *mods = session_pair_mods(2);
    int64_t deadline = sp_session_deadline(p->s);

    sp_session_taken(p->s, p->now + 1000);
    assert_true(sp_session_deadline(p->s) == deadline);
    p->fs.mute_type = OFPTYPE_BARRIER_REQUEST;
    sp_session_apply(p->s, mods, 2, NULL, 0, p->now);
    session_pair_exchange(p);
    for (int64_t end = p->now + 3 * SP_SESSION_DEAD_MS; p->now < end; p->now += 1000) {
        sp_session_taken(p->s, p->now);
        sp_session_tick(p->s, p->now);
        session_pair_take_events(p);
        assert_int_equal(p->n, 0);
    }
    p->now += SP_SESSION_REPLY_MS;
    sp_session_taken(p->s, p->now - SP_SESSION_REPLY_MS - 1000);
    sp_session_tick(p->s, p->now);
    session_pair_take_events(p);
    session_pair_assert_closed(p, "no answer within 10 s: waited for the confirmation of a bundle's messages");
    session_pair_free_mods(mods, 2);
    session_pair_clear(p);
}

/* Who has said what the owner has had no time for is not silent, whatever is waited for, until there is nothing more. */
static void check_unread(bool dumping)
{
    struct session_pair *p = session_pair_ready();

    p->fs.mute_type = dumping ? OFPTYPE_FLOW_STATS_REQUEST : OFPTYPE_ECHO_REQUEST;
    if (dumping) {
        sp_session_dump(p->s, NULL, p->now);
    }
    for (int64_t end = p->now + 3 * SP_SESSION_DEAD_MS; p->now < end; p->now += 1000) {
        session_pair_exchange(p);
        sp_session_unread(p->s, p->now);
        sp_session_tick(p->s, p->now);
        session_pair_take_events(p);
        assert_int_equal(session_pair_count(p, SP_EVENT_CLOSED), 0);
    }
    while (!session_pair_count(p, SP_EVENT_CLOSED) && p->now < 10 * SP_SESSION_DEAD_MS) {
        p->now += 1000;
        sp_session_tick(p->s, p->now);
        session_pair_exchange(p);
        session_pair_take_events(p);
    }
    session_pair_assert_closed(p, dumping ? "no answer within 10 s: waited for the list of flows"
                                          : "the switch has been silent for 12 s");
    session_pair_clear(p);
}

/* But who never stops talking, and never says what it was asked for, is given up. */
static void always_unread(void)
{
    struct session_pair *p = session_pair_ready();
    int64_t begin = p->now;

    p->fs.mute_type = OFPTYPE_FLOW_STATS_REQUEST;
    sp_session_dump(p->s, NULL, p->now);
    while (!session_pair_count(p, SP_EVENT_CLOSED) && p->now < begin + 2 * SP_SESSION_UNREAD_MS) {
        fake_switch_send(&p->fs, ofputil_encode_echo_request(6));
        session_pair_exchange(p);
        p->now += 1000;
        sp_session_unread(p->s, p->now);
        sp_session_tick(p->s, p->now);
        session_pair_take_events(p);
    }
    assert_in_range(p->now - begin, SP_SESSION_UNREAD_MS, SP_SESSION_UNREAD_MS + SP_SESSION_REPLY_MS + 1000);
    session_pair_assert_closed(p, "no answer within 10 s: waited for the list of flows");
    session_pair_clear(p);
}

static void unread(void **aux)
{
    check_unread(true);
    check_unread(false);
    always_unread();
}

/* A reply that never comes ends the session, however lively the peer is otherwise. */
static void check_lost_reply(int mute_type, bool batch, const char *why)
{
    struct session_pair *p = session_pair_ready();
    struct sp_flow_mod *mods = session_pair_mods(2);
    int64_t start = p->now;

    p->fs.mute_type = mute_type;
    if (batch) {
        sp_session_apply(p->s, mods, 2, NULL, 0, p->now);
    } else {
        sp_session_dump(p->s, NULL, p->now);
    }
    session_pair_exchange(p);
    while (p->now < start + SP_SESSION_REPLY_MS) {
        assert_int_equal(p->n, 0);
        p->now += 1000;
        fake_switch_send(&p->fs, ofputil_encode_echo_request(6));
        session_pair_exchange(p);
        sp_session_tick(p->s, p->now);
        session_pair_take_events(p);
    }
    session_pair_assert_closed(p, why);
    session_pair_free_mods(mods, 2);
    session_pair_clear(p);
}

static void lost_replies(void **aux)
{
    check_lost_reply(OFPTYPE_FLOW_STATS_REQUEST, false, "no answer within 10 s: waited for the list of flows");
    check_lost_reply(OFPTYPE_BARRIER_REQUEST, true, "no answer within 10 s: waited for the confirmation of a bundle's messages");
}

static void unanswered_control(void **aux)
{
    struct session_pair *p = session_pair_ready();
    struct sp_flow_mod *mods = session_pair_mods(1);

    p->fs.mute_type = OFPTYPE_BUNDLE_CONTROL;
    session_pair_apply(p, mods, 1);
    session_pair_assert_closed(p, "opening was not answered");
    session_pair_free_mods(mods, 1);
    session_pair_clear(p);
}

static void stray_error(void **aux)
{
    struct session_pair *p = session_pair_ready();
    struct ofpbuf *request = ofpraw_alloc_xid(OFPRAW_OFPT_GET_CONFIG_REQUEST, 6, htonl(0x77777777), 0);

    fake_switch_send(&p->fs, ofperr_encode_reply(OFPERR_OFPBRC_EPERM, request->data));
    session_pair_exchange(p);
    assert_int_equal(p->n, 1);
    assert_int_equal(p->log[0].kind, SP_EVENT_ERROR);
    assert_string_equal(p->log[0].text, "the switch reports OFPBRC_EPERM to message 0x77777777");
    assert_true(sp_session_idle(p->s));
    session_pair_feed(p, "\x06\x01\0\x0c\0\0\0\0\x7f\x7f\x7e\x7e", 12); /* An error that nobody has heard of. */
    assert_string_equal(session_pair_last(p)->text,
                        "the switch reports an error of type 32639, code 32382 to message 0x00000000");
    ofpbuf_delete(request);
    session_pair_clear(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handshake),
        cmocka_unit_test(versions_in_common),
        cmocka_unit_test(every_split),
        cmocka_unit_test(half_a_handshake_is_none),
        cmocka_unit_test(deaf_switch),
        cmocka_unit_test(port_changes),
        cmocka_unit_test(too_many_ports),
        cmocka_unit_test(dump),
        cmocka_unit_test(long_dump), cmocka_unit_test(known_dump),
        cmocka_unit_test(keepalive),
        cmocka_unit_test(handshake_in_time), cmocka_unit_test(slow_link),
        cmocka_unit_test(unread),
        cmocka_unit_test(lost_replies),
        cmocka_unit_test(unanswered_control),
        cmocka_unit_test(stray_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
