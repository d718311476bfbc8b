/* The session against a scripted switch, with a virtual clock: every order, cut and failure that a peer can bring about. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openvswitch/ofp-errors.h>
#include <openvswitch/ofp-msgs.h>
#include <openvswitch/ofp-util.h>
#include <openvswitch/ofpbuf.h>

#include "flows/openflow/session.h"
#include "sallyport/pipeline.h"
#include "tests/support/fake_switch.h"
#include "tests/support/random.h"

#define OWN SP_COOKIE(SP_COOKIE_RULE, 7)
#define LOG_MAX 4096

/* A session, its switch, and what the session has said. */
struct pair {
    struct sp_session *s;
    struct fake_switch fs;
    int64_t now;
    size_t chunk; /* Bytes that travel at once. */
    size_t max_pending;
    struct sp_event log[LOG_MAX];
    size_t n;
    uint8_t *record; /* What the switch sent, if wanted. */
    size_t record_size;
};

static void take_events(struct pair *p)
{
    while (p->n < LOG_MAX && sp_session_next(p->s, &p->log[p->n])) {
        p->n++;
    }
}

static bool exchange_once(struct pair *p)
{
    static uint8_t buffer[1 << 18];
    size_t size = p->chunk < sizeof buffer ? p->chunk : sizeof buffer;
    size_t up = sp_session_output(p->s, buffer, size, p->now), down;

    fake_switch_receive(&p->fs, buffer, up);
    down = fake_switch_output(&p->fs, buffer, size);
    if (p->record && down) {
        p->record = realloc(p->record, p->record_size + down);
        assert_non_null(p->record);
        memcpy(p->record + p->record_size, buffer, down);
        p->record_size += down;
    }
    if (down) {
        sp_session_receive(p->s, buffer, down, p->now);
    }
    take_events(p);
    return up || down;
}

static void exchange(struct pair *p)
{
    while (exchange_once(p)) {
    }
}

static void pair_init(struct pair *p)
{
    memset(p, 0, sizeof *p);
    p->now = 1000;
    p->chunk = SIZE_MAX;
    p->s = sp_session_new(p->now);
    assert_non_null(p->s);
    fake_switch_init(&p->fs, 0xabcdef, 3);
}

static void pair_clear(struct pair *p)
{
    for (size_t i = 0; i < p->n; i++) {
        sp_flow_unref(p->log[i].flow);
    }
    assert_false(p->fs.broken);
    sp_session_free(p->s);
    fake_switch_clear(&p->fs);
    free(p->record);
}

static void forget_events(struct pair *p)
{
    for (size_t i = 0; i < p->n; i++) {
        sp_flow_unref(p->log[i].flow);
    }
    p->n = 0;
}

static size_t count(const struct pair *p, enum sp_event_kind kind)
{
    size_t n = 0;

    for (size_t i = 0; i < p->n; i++) {
        n += p->log[i].kind == kind;
    }
    return n;
}

static const struct sp_event *last(const struct pair *p)
{
    assert_true(p->n > 0);
    return &p->log[p->n - 1];
}

static void assert_closed(const struct pair *p, const char *why)
{
    if (!p->n || last(p)->kind != SP_EVENT_CLOSED || !strstr(last(p)->text, why)) {
        fail_msg("not closed with \"%s\" but %s", why, p->n && last(p)->kind == SP_EVENT_CLOSED ? last(p)->text : "open");
    }
}

static struct pair *ready(void)
{
    static struct pair p;

    pair_init(&p);
    exchange(&p);
    assert_true(sp_session_idle(p.s));
    forget_events(&p);
    return &p;
}

/* A flow that differs by 'i'; outputs to 'port'. */
static struct sp_flow *make_flow(uint32_t i, uint16_t port)
{
    static struct sp_flow_build build;
    struct sp_flow *flow;

    sp_flow_build_init(&build, SP_T_RULES_IN, 100, OWN);
    sp_flow_match_exact(&build, SP_F_REG0, i);
    sp_flow_output(&build, port);
    assert_int_equal(sp_flow_build_done(&build, &flow), 0);
    return flow;
}

static struct sp_flow_mod *make_mods(size_t n)
{
    struct sp_flow_mod *mods = calloc(n, sizeof *mods);

    assert_non_null(mods);
    for (size_t i = 0; i < n; i++) {
        mods[i] = (struct sp_flow_mod){.verb = SP_FLOW_ADD, .flow = make_flow((uint32_t) i, 1)};
    }
    return mods;
}

static void free_mods(struct sp_flow_mod *mods, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sp_flow_unref(mods[i].flow);
    }
    free(mods);
}

static void apply(struct pair *p, const struct sp_flow_mod *mods, size_t n)
{
    sp_session_apply(p->s, mods, n, NULL, 0, p->now);
    exchange(p);
}

static void check_handshake(uint32_t versions, uint8_t expected)
{
    static struct pair p;

    pair_init(&p);
    fake_switch_clear(&p.fs);
    fake_switch_init(&p.fs, 0xabcdef, 0);
    p.fs.versions = versions;
    p.fs.n_ports = 2;
    p.fs.ports[0] = (struct fake_port){.no = 1, .name = "tap0"};
    p.fs.ports[1] = (struct fake_port){.no = 0xfffe, .name = "br\x01\xc3\xa9\xff"};
    fake_switch_reconnect(&p.fs);
    exchange(&p);
    assert_int_equal(p.n, 4);
    assert_int_equal(p.log[0].kind, SP_EVENT_READY);
    assert_int_equal(p.log[0].ready.version, expected);
    assert_true(p.log[0].ready.dpid == 0xabcdef);
    assert_string_equal(p.log[0].ready.software, "3.1.0");
    assert_string_equal(p.log[0].ready.name, "br?\xc3\xa9?"); /* As its local port. */
    assert_int_equal(p.log[1].kind, SP_EVENT_PORT);
    assert_int_equal(p.log[1].port.ofport, 1);
    assert_string_equal(p.log[1].port.name, "tap0");
    assert_false(p.log[1].port.deleted);
    assert_int_equal(p.log[2].port.ofport, 0xfffe);
    assert_string_equal(p.log[2].port.name, "br?\xc3\xa9?");
    assert_int_equal(p.log[3].kind, SP_EVENT_PORTS_DONE);
    assert_true(sp_session_idle(p.s));
    pair_clear(&p);
}

static void handshake(void **aux)
{
    check_handshake(1u << 6 | 1u << 5, SP_OF15);
    check_handshake(1u << 6, SP_OF15);
    check_handshake(0x3e, SP_OF14);
}

static void check_versions(uint32_t versions, const char *why)
{
    static struct pair p;
    uint8_t bytes[512];
    size_t size;

    pair_init(&p);
    p.fs.versions = versions;
    fake_switch_reconnect(&p.fs);
    size = fake_switch_output(&p.fs, bytes, sizeof bytes);
    sp_session_receive(p.s, bytes, size, p.now);
    take_events(&p);
    assert_int_equal(p.n, 1);
    assert_closed(&p, why);
    size = sp_session_output(p.s, bytes, sizeof bytes, p.now);
    size -= 16; /* Our hello; behind it the error that the peer can log. */
    assert_true(size > 12);
    assert_int_equal(bytes[16 + 1], 1);
    assert_memory_equal(bytes + 16 + 8, "\0\0\0\0", 4);
    pair_clear(&p);
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
    static struct pair p, q;

    pair_init(&p);
    p.record = malloc(1);
    exchange(&p);
    assert_true(p.record_size > 1000);
    for (size_t cut = 0; cut <= p.record_size; cut++) {
        pair_init(&q);
        sp_session_receive(q.s, p.record, cut, q.now);
        sp_session_receive(q.s, p.record + cut, p.record_size - cut, q.now);
        take_events(&q);
        assert_int_equal(q.n, 5);
        assert_true(sp_session_idle(q.s));
        pair_clear(&q);
    }
    pair_init(&q);
    q.chunk = 1;
    exchange(&q);
    assert_int_equal(q.n, 5);
    pair_clear(&q);
    pair_clear(&p);
}

static void feed(struct pair *p, const char *bytes, size_t size)
{
    sp_session_receive(p->s, bytes, size, p->now);
    take_events(p);
}

static void malformed_input(void **aux)
{
    static const struct {
        char bytes[64];
        size_t size; /* The rest is 0. */
        bool fresh;  /* In a session that has just begun. */
        const char *why;
    } cases[] = {
        {"\x06\x02\0\x08\0\0\0\0", 8, true, "before the hello"},
        {"\x06\x0a\0\x20\0\0\0\0", 32, true, "before the hello"},
        {"GET / HTTP/1.1\r\n", 16, true, NULL}, /* Claims 0x2054 bytes; nothing to say yet. */
        {"\x06\0\0\x07\0\0\0\0", 8, true, "fewer bytes"},
        {"\x06\x02\0\0\0\0\0\0", 8, false, "fewer bytes"},
        {"\x05\x02\0\x08\0\0\0\0", 8, false, "version 0x05, though version 0x06"},
        {"\x06\xff\0\x08\0\0\0\0", 8, false, "malformed message of type 255"},
        {"\x06\x06\0\x10\0\0\0\x02\0\0\0\0\0\0\0", 16, false, "malformed message of type 6"},
        {"\x06\0\0\x08\0\0\0\0", 8, false, "unexpected OFPT_HELLO"},
        {"\x06\x15\0\x08\0\0\0\x09", 8, false, "unexpected OFPT_BARRIER_REPLY"},
        {"\x06\x22\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\x06\x0e\0\x10\0\0\0\0\0\0\0\0\0\0\0\0", 32, false, "unexpected OFPT_BUNDLE_ADD"},
        {"\x06\x0e\0\x38\0\0\0\0", 56, false, "unexpected OFPT_FLOW_MOD"},
        {"\x06\x04\0\x10\0\0\0\0\0\0\x23\x20\xff\xff\xff\xff", 16, false, "malformed message of type 4"},
        {"\x06\x0c\0\x10\0\0\0\0\0\0\0\0\0\0\0\0", 16, false, "malformed message of type 12"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        static struct pair p;

        pair_init(&p);
        if (!cases[i].fresh) {
            exchange(&p);
            assert_true(sp_session_idle(p.s));
        }
        feed(&p, cases[i].bytes, cases[i].size);
        if (cases[i].why) {
            assert_closed(&p, cases[i].why);
            feed(&p, cases[i].bytes, cases[i].size); /* What comes after the end is not looked at. */
            assert_int_equal(count(&p, SP_EVENT_CLOSED), 1);
            assert_true(sp_session_deadline(p.s) == INT64_MAX);
        } else {
            assert_int_equal(p.n, 0);
        }
        pair_clear(&p);
    }
}

static void half_a_handshake_is_none(void **aux)
{
    static struct pair p;

    pair_init(&p);
    p.fs.mute_type = OFPTYPE_PORT_DESC_STATS_REQUEST;
    exchange(&p);
    assert_int_equal(p.n, 0);
    feed(&p, "\x06\xff\0\x08\0\0\0\0", 8);
    assert_int_equal(p.n, 1);
    assert_closed(&p, "malformed");
    pair_clear(&p);
}

static void port_changes(void **aux)
{
    static struct pair p;

    pair_init(&p);
    p.fs.mute_type = OFPTYPE_PORT_DESC_STATS_REQUEST;
    exchange(&p);
    fake_switch_port_status(&p.fs, 9, "p9", false);
    fake_switch_port_status(&p.fs, 2, "p2", true);
    exchange(&p);
    assert_int_equal(p.n, 0); /* Held back, in order, until the ports are known. */
    pair_clear(&p);

    pair_init(&p);
    exchange(&p);
    forget_events(&p);
    fake_switch_port_status(&p.fs, 9, "p9", false);
    fake_switch_port_status(&p.fs, 2, "p2", true);
    exchange(&p);
    assert_int_equal(p.n, 2);
    assert_int_equal(p.log[0].port.ofport, 9);
    assert_string_equal(p.log[0].port.name, "p9");
    assert_false(p.log[0].port.deleted);
    assert_int_equal(p.log[1].port.ofport, 2);
    assert_true(p.log[1].port.deleted);
    pair_clear(&p);
}

static void too_many_ports(void **aux)
{
    static struct pair p;

    pair_init(&p);
    p.fs.mute_type = OFPTYPE_PORT_DESC_STATS_REQUEST;
    exchange(&p);
    for (unsigned i = 0; i <= SP_SESSION_PORTS_MAX; i++) {
        fake_switch_port_status(&p.fs, (uint16_t) (1 + i % 20), "p", false);
    }
    exchange(&p);
    assert_closed(&p, "more than 65280 ports");
    pair_clear(&p);
}

static void dump(void **aux)
{
    struct pair *p = ready();
    struct sp_flow *expected = make_flow(5, 3);

    fake_switch_add_flow(&p->fs, "table=21,priority=100,cookie=0x5350050000000007,reg0=5,actions=output:3");
    fake_switch_add_flow(&p->fs, "table=21,priority=100,cookie=0x7,reg0=6,actions=output:3");
    fake_switch_add_flow(&p->fs, "table=35,priority=100,cookie=0x5350080000000000,reg0=6,idle_timeout=9,actions=output:3");
    fake_switch_add_flow(&p->fs, "table=21,priority=100,cookie=0x5350050000000007,reg0=7,actions=group:3");
    sp_session_dump(p->s, p->now);
    assert_false(sp_session_idle(p->s));
    exchange(p);
    assert_true(sp_session_idle(p->s));
    assert_int_equal(p->n, 3);
    assert_true(sp_flow_equal(p->log[0].flow, expected));
    assert_true(p->log[1].flow->alien);
    assert_int_equal(last(p)->kind, SP_EVENT_DUMP_DONE);
    sp_flow_unref(expected);
    pair_clear(p);
}

/* More flows than one message holds come in parts. */
static void long_dump(void **aux)
{
    struct pair *p = ready();
    struct sp_flow_mod *mods = make_mods(2000);

    apply(p, mods, 2000);
    forget_events(p);
    p->chunk = 1000;
    sp_session_dump(p->s, p->now);
    exchange(p);
    assert_int_equal(count(p, SP_EVENT_DUMP_FLOW), 2000);
    for (size_t i = 0; i < 2000; i++) {
        assert_true(sp_flow_equal(p->log[i].flow, mods[i].flow));
    }
    free_mods(mods, 2000);
    pair_clear(p);
}

static void applied(void **aux)
{
    struct pair *p = ready();
    struct sp_flow_mod *mods = make_mods(3);

    apply(p, mods, 3);
    assert_int_equal(p->n, 1);
    assert_int_equal(last(p)->kind, SP_EVENT_APPLIED);
    assert_int_equal(p->fs.n_entries, 3);
    assert_int_equal(p->fs.n_commits, 1);
    mods[1].verb = SP_FLOW_DELETE;
    apply(p, mods, 2); /* Replaces the first, removes the second. */
    assert_int_equal(last(p)->kind, SP_EVENT_APPLIED);
    assert_int_equal(p->fs.n_entries, 2);
    assert_int_equal(p->fs.n_flow_mods, 5);
    free_mods(mods, 3);
    pair_clear(p);
}

/* P1: a deletion leaves a flow of the same key alone if its cookie is another's. */
static void foreign_flow_stays(void **aux)
{
    struct pair *p = ready();
    struct sp_flow_mod *mods = make_mods(1);

    mods[0].verb = SP_FLOW_DELETE;
    fake_switch_add_flow(&p->fs, "table=21,priority=100,cookie=0x7,reg0=0,actions=output:1");
    apply(p, mods, 1);
    assert_int_equal(last(p)->kind, SP_EVENT_APPLIED);
    assert_int_equal(p->fs.n_entries, 1);
    free_mods(mods, 1);
    pair_clear(p);
}

static void refused_when_added(void **aux)
{
    struct pair *p = ready();
    struct sp_flow_mod *mods = make_mods(10);

    for (size_t i = 4; i < 10; i += 3) { /* 0xff40 is no port and no reserved one. */
        sp_flow_unref(mods[i].flow);
        mods[i].flow = make_flow((uint32_t) i, 0xff40);
    }
    apply(p, mods, 10);
    assert_int_equal(p->n, 3);
    assert_int_equal(p->log[0].kind, SP_EVENT_REFUSED);
    assert_int_equal(p->log[0].refused.index, 4);
    assert_string_equal(p->log[0].refused.error, "OFPBAC_BAD_OUT_PORT");
    assert_int_equal(p->log[1].refused.index, 7);
    assert_int_equal(last(p)->kind, SP_EVENT_DISCARDED);
    assert_string_equal(last(p)->text, "2 of 10 modifications refused: OFPBAC_BAD_OUT_PORT");
    assert_int_equal(p->fs.n_entries, 0);
    assert_int_equal(p->fs.n_discards, 1);
    assert_int_equal(p->fs.n_commits, 0);
    assert_true(sp_session_idle(p->s));
    free_mods(mods, 10);
    pair_clear(p);
}

static void not_expressible(void **aux)
{
    static struct sp_flow_build build;
    struct pair *p = ready();
    struct sp_flow_mod *mods = make_mods(3);

    sp_flow_build_init(&build, 1, 1, OWN);
    sp_flow_match_exact(&build, SP_F_TCP_DST, 22); /* Of what protocol? */
    sp_flow_unref(mods[2].flow);
    assert_int_equal(sp_flow_build_done(&build, &mods[2].flow), 0);
    apply(p, mods, 3);
    assert_int_equal(p->n, 2);
    assert_int_equal(p->log[0].refused.index, 2);
    assert_string_equal(p->log[0].refused.error, "not expressible in OpenFlow");
    assert_int_equal(last(p)->kind, SP_EVENT_DISCARDED);
    assert_int_equal(p->fs.n_entries, 0);
    free_mods(mods, 3);
    pair_clear(p);
}

static void refused_at_commit(void **aux)
{
    struct pair *p = ready();
    struct sp_flow_mod *mods = make_mods(10);

    p->fs.table_limit = 6;
    apply(p, mods, 10);
    assert_int_equal(p->n, 2);
    assert_int_equal(p->log[0].kind, SP_EVENT_REFUSED);
    assert_int_equal(p->log[0].refused.index, 6);
    assert_string_equal(p->log[0].refused.error, "OFPFMFC_TABLE_FULL");
    assert_int_equal(last(p)->kind, SP_EVENT_DISCARDED);
    assert_int_equal(p->fs.n_entries, 0);
    p->fs.table_limit = 10;
    apply(p, mods, 10);
    assert_int_equal(last(p)->kind, SP_EVENT_APPLIED);
    free_mods(mods, 10);
    pair_clear(p);
}

static void refused_to_open(void **aux)
{
    struct pair *p = ready();
    struct sp_flow_mod *mods = make_mods(5);

    p->fs.refuse_open = true;
    apply(p, mods, 5);
    assert_int_equal(p->n, 1);
    assert_int_equal(last(p)->kind, SP_EVENT_DISCARDED);
    assert_string_equal(last(p)->text, "the switch refused the bundle: OFPBFC_OUT_OF_BUNDLES");
    p->fs.refuse_open = false;
    apply(p, mods, 5);
    assert_int_equal(last(p)->kind, SP_EVENT_APPLIED);
    free_mods(mods, 5);
    pair_clear(p);
}

static void flushes(void **aux)
{
    static const uint16_t zones[] = {7, 65535};
    struct pair *p = ready();
    struct sp_flow_mod *mods = make_mods(2);

    sp_session_apply(p->s, mods, 2, zones, 2, p->now);
    exchange(p);
    assert_int_equal(p->n, 1);
    assert_int_equal(last(p)->kind, SP_EVENT_APPLIED);
    assert_int_equal(p->fs.n_flushed, 2);
    assert_int_equal(p->fs.flushed[0], 7);
    assert_int_equal(p->fs.flushed[1], 65535);
    forget_events(p);
    p->fs.refuse_flush = true;
    sp_session_apply(p->s, mods, 2, zones, 2, p->now);
    exchange(p);
    assert_int_equal(p->n, 3);
    assert_int_equal(p->log[1].kind, SP_EVENT_ERROR);
    assert_string_equal(p->log[1].text, "the switch did not flush the connections of zone 65535: OFPBRC_BAD_TYPE");
    assert_int_equal(last(p)->kind, SP_EVENT_APPLIED);
    free_mods(mods, 2);
    pair_clear(p);
}

/* No flush while the flows of the zone are there. */
static void no_flush_after_refusal(void **aux)
{
    static const uint16_t zones[] = {7};
    struct pair *p = ready();
    struct sp_flow_mod *mods = make_mods(2);

    p->fs.table_limit = 1;
    sp_session_apply(p->s, mods, 2, zones, 1, p->now);
    exchange(p);
    assert_int_equal(last(p)->kind, SP_EVENT_DISCARDED);
    assert_int_equal(p->fs.n_flushed, 0);
    free_mods(mods, 2);
    pair_clear(p);
}

/* S4: a long batch is encoded as it is taken. */
static void long_batch(void **aux)
{
    enum { N = 3000 };
    struct pair *p = ready();
    struct sp_flow_mod *mods = make_mods(N);
    static uint8_t bytes[64 << 10];
    size_t total = 0, size;

    sp_session_apply(p->s, mods, N, NULL, 0, p->now);
    while ((size = sp_session_output(p->s, bytes, sizeof bytes, p->now)) > 0) {
        total += size;
        fake_switch_receive(&p->fs, bytes, size);
    }
    assert_true(total > 3 * sizeof bytes);
    exchange(p);
    assert_int_equal(last(p)->kind, SP_EVENT_APPLIED);
    assert_int_equal(p->fs.n_entries, N);
    free_mods(mods, N);
    pair_clear(p);
}

static void keepalive(void **aux)
{
    struct pair *p = ready();

    assert_true(sp_session_deadline(p->s) == p->now + SP_SESSION_IDLE_MS);
    p->now += SP_SESSION_IDLE_MS - 1;
    sp_session_tick(p->s, p->now);
    assert_int_equal(p->fs.out_size, 0);
    p->now += 1;
    sp_session_tick(p->s, p->now);
    exchange(p);
    assert_true(sp_session_deadline(p->s) == p->now + SP_SESSION_IDLE_MS); /* The answer counts as a sign of life. */
    fake_switch_send(&p->fs, ofputil_encode_echo_request(6));
    exchange(p);
    assert_int_equal(p->fs.n_echo_replies, 1);
    p->fs.mute_type = OFPTYPE_ECHO_REQUEST;
    p->now += SP_SESSION_IDLE_MS;
    sp_session_tick(p->s, p->now);
    exchange(p);
    assert_true(sp_session_deadline(p->s) == p->now + SP_SESSION_DEAD_MS - SP_SESSION_IDLE_MS);
    p->now = sp_session_deadline(p->s) - 1;
    sp_session_tick(p->s, p->now);
    take_events(p);
    assert_int_equal(p->n, 0);
    sp_session_tick(p->s, p->now + 1);
    take_events(p);
    assert_closed(p, "silent for 12 s");
    pair_clear(p);
}

static void handshake_in_time(void **aux)
{
    static struct pair p;

    pair_init(&p);
    p.fs.mute_type = OFPTYPE_DESC_STATS_REQUEST;
    exchange(&p);
    assert_true(sp_session_deadline(p.s) == p.now + SP_SESSION_HANDSHAKE_MS);
    fake_switch_send(&p.fs, ofputil_encode_echo_request(6));
    exchange(&p);
    p.now += SP_SESSION_HANDSHAKE_MS;
    sp_session_tick(p.s, p.now);
    take_events(&p);
    assert_closed(&p, "no handshake within 10 s: waited for the switch's description");
    pair_clear(&p);
}

/* A reply that never comes ends the session, however lively the peer is otherwise. */
static void check_lost_reply(int mute_type, bool batch, const char *why)
{
    struct pair *p = ready();
    struct sp_flow_mod *mods = make_mods(2);
    int64_t start = p->now;

    p->fs.mute_type = mute_type;
    if (batch) {
        sp_session_apply(p->s, mods, 2, NULL, 0, p->now);
    } else {
        sp_session_dump(p->s, p->now);
    }
    exchange(p);
    while (p->now < start + SP_SESSION_REPLY_MS) {
        assert_int_equal(p->n, 0);
        p->now += 1000;
        fake_switch_send(&p->fs, ofputil_encode_echo_request(6));
        exchange(p);
        sp_session_tick(p->s, p->now);
        take_events(p);
    }
    assert_closed(p, why);
    free_mods(mods, 2);
    pair_clear(p);
}

static void lost_replies(void **aux)
{
    check_lost_reply(OFPTYPE_FLOW_STATS_REQUEST, false, "no answer within 10 s: waited for the list of flows");
    check_lost_reply(OFPTYPE_BARRIER_REQUEST, true, "no answer within 10 s: waited for the confirmation of a bundle's messages");
}

static void unanswered_control(void **aux)
{
    struct pair *p = ready();
    struct sp_flow_mod *mods = make_mods(1);

    p->fs.mute_type = OFPTYPE_BUNDLE_CONTROL;
    apply(p, mods, 1);
    assert_closed(p, "opening was not answered");
    free_mods(mods, 1);
    pair_clear(p);
}

/* A peer that asks and asks but does not read. */
static void echo_flood(void **aux)
{
    struct pair *p = ready();
    struct ofpbuf *msg = ofpraw_alloc(OFPRAW_OFPT_ECHO_REQUEST, 6, 0);
    size_t n = 0;

    ofpbuf_put_zeros(msg, 60000);
    ofpmsg_update_length(msg);
    while (!p->n && n++ < 1000) {
        feed(p, msg->data, msg->size);
    }
    assert_closed(p, "does not read");
    assert_true(n < 30);
    ofpbuf_delete(msg);
    pair_clear(p);
}

static void stray_error(void **aux)
{
    struct pair *p = ready();
    struct ofpbuf *request = ofpraw_alloc_xid(OFPRAW_OFPT_GET_CONFIG_REQUEST, 6, htonl(0x77777777), 0);

    fake_switch_send(&p->fs, ofperr_encode_reply(OFPERR_OFPBRC_EPERM, request->data));
    exchange(p);
    assert_int_equal(p->n, 1);
    assert_int_equal(p->log[0].kind, SP_EVENT_ERROR);
    assert_string_equal(p->log[0].text, "the switch reports OFPBRC_EPERM to message 0x77777777");
    assert_true(sp_session_idle(p->s));
    feed(p, "\x06\x01\0\x0c\0\0\0\0\x7f\x7f\x7e\x7e", 12); /* An error that nobody has heard of. */
    assert_string_equal(last(p)->text, "the switch reports an error of type 32639, code 32382 to message 0x00000000");
    ofpbuf_delete(request);
    pair_clear(p);
}

/* What an owner does: lists the flows, then changes some, then flushes, for ever. */
static void own(struct pair *p, const struct sp_flow_mod *mods, size_t n, unsigned *step)
{
    static const uint16_t zones[] = {1};

    for (size_t i = 0; i < p->n; i++) {
        sp_flow_unref(p->log[i].flow);
    }
    p->n = 0;
    if (sp_session_idle(p->s) && *step < 4) {
        if ((*step)++ % 2) {
            sp_session_apply(p->s, mods, n, zones, 1, p->now);
        } else {
            sp_session_dump(p->s, p->now);
        }
    }
}

static void mutate(struct sp_random *random, uint8_t *bytes, size_t size)
{
    for (uint32_t n = 1 + sp_random_below(random, 4); n; n--) {
        size_t at = sp_random_below(random, (uint32_t) size);

        switch (sp_random_below(random, 3)) {
        case 0:
            bytes[at] ^= (uint8_t) (1u << sp_random_below(random, 8));
            break;
        case 1:
            bytes[at] = (uint8_t) sp_random_next(random);
            break;
        default:
            bytes[at] = sp_random_chance(random, 50) ? 0xff : 0;
            break;
        }
    }
}

/* Feeds 'bytes', recorded as 'record', in pieces of random size that end where a message ended: a switch does not answer before
 * it is asked.  The owner carries on as long as it can.  Returns true if the session was closed. */
static bool replay(struct sp_random *random, const uint8_t *bytes, const uint8_t *record, size_t size,
                   const struct sp_flow_mod *mods)
{
    static struct pair p;
    uint8_t buffer[4096];
    unsigned step = 0;
    bool closed = false;
    size_t end = 0;

    pair_init(&p);
    for (size_t at = 0, n; at < size; at += n) {
        if (at == end) {
            end += (size_t) record[at + 2] << 8 | record[at + 3];
        }
        n = 1 + sp_random_below(random, 2000);
        n = n < end - at ? n : end - at;
        sp_session_receive(p.s, bytes + at, n, p.now);
        while (sp_session_output(p.s, buffer, sizeof buffer, p.now)) {
        }
        take_events(&p);
        closed = closed || count(&p, SP_EVENT_CLOSED);
        own(&p, mods, 4, &step);
        while (sp_session_output(p.s, buffer, sizeof buffer, p.now)) {
        }
        sp_session_tick(p.s, p.now += 10);
    }
    pair_clear(&p);
    return closed;
}

static void mutations(void **aux)
{
    enum { RUNS = 20000 };
    static struct pair p;
    struct sp_random random;
    struct sp_flow_mod *mods = make_mods(4);
    uint8_t *bytes;
    unsigned step = 0;
    size_t n_closed = 0;

    sp_random_init(&random);
    sp_flow_unref(mods[2].flow);
    mods[2].flow = make_flow(2, 0xff40); /* So that errors are on record too. */
    pair_init(&p);
    p.record = malloc(1);
    fake_switch_add_flow(&p.fs, "table=21,priority=9,cookie=0x5350050000000007,tcp,tp_dst=5,"
                                "actions=ct(commit,zone=1),learn(table=1)");
    do {
        own(&p, mods, 4, &step);
    } while (exchange_once(&p));
    assert_int_equal(step, 4);
    assert_int_equal(count(&p, SP_EVENT_CLOSED), 0);
    assert_false(replay(&random, p.record, p.record, p.record_size, mods));
    bytes = malloc(p.record_size);
    assert_non_null(bytes);
    for (unsigned run = 0; run < RUNS; run++) {
        memcpy(bytes, p.record, p.record_size);
        mutate(&random, bytes, p.record_size);
        n_closed += replay(&random, bytes, p.record, p.record_size, mods);
    }
    print_message("%zu of %d closed\n", n_closed, RUNS);
    assert_true(n_closed > RUNS / 20 && n_closed < RUNS);
    free(bytes);
    free_mods(mods, 4);
    pair_clear(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handshake),
        cmocka_unit_test(versions_in_common),
        cmocka_unit_test(every_split),
        cmocka_unit_test(malformed_input),
        cmocka_unit_test(half_a_handshake_is_none),
        cmocka_unit_test(port_changes),
        cmocka_unit_test(too_many_ports),
        cmocka_unit_test(dump),
        cmocka_unit_test(long_dump),
        cmocka_unit_test(applied),
        cmocka_unit_test(foreign_flow_stays),
        cmocka_unit_test(refused_when_added),
        cmocka_unit_test(not_expressible),
        cmocka_unit_test(refused_at_commit),
        cmocka_unit_test(refused_to_open),
        cmocka_unit_test(flushes),
        cmocka_unit_test(no_flush_after_refusal),
        cmocka_unit_test(long_batch),
        cmocka_unit_test(keepalive),
        cmocka_unit_test(handshake_in_time),
        cmocka_unit_test(lost_replies),
        cmocka_unit_test(unanswered_control),
        cmocka_unit_test(echo_flood),
        cmocka_unit_test(stray_error),
        cmocka_unit_test(mutations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
