/* A peer that sends what it should not: S3, closed with a reason and never an abort. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include <openvswitch/ofp-msgs.h>
#include <openvswitch/ofpbuf.h>

#include "tests/support/session_pair.h"
#include "tests/support/random.h"

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
        static struct session_pair p;

        session_pair_init(&p);
        if (!cases[i].fresh) {
            session_pair_exchange(&p);
            assert_true(sp_session_idle(p.s));
        }
        session_pair_feed(&p, cases[i].bytes, cases[i].size);
        if (cases[i].why) {
            session_pair_assert_closed(&p, cases[i].why);
            session_pair_feed(&p, cases[i].bytes, cases[i].size); /* What comes after the end is not looked at. */
            assert_int_equal(session_pair_count(&p, SP_EVENT_CLOSED), 1);
            assert_true(sp_session_deadline(p.s) == INT64_MAX);
        } else {
            assert_int_equal(p.n, 0);
        }
        session_pair_clear(&p);
    }
}

/* A peer that asks and asks but does not read. */
static void echo_flood(void **aux)
{
    struct session_pair *p = session_pair_ready();
    struct ofpbuf *msg = ofpraw_alloc(OFPRAW_OFPT_ECHO_REQUEST, 6, 0);
    size_t n = 0;

    ofpbuf_put_zeros(msg, 60000);
    ofpmsg_update_length(msg);
    while (!p->n && n++ < 1000) {
        session_pair_feed(p, msg->data, msg->size);
    }
    session_pair_assert_closed(p, "does not read");
    assert_true(n < 30);
    ofpbuf_delete(msg);
    session_pair_clear(p);
}

/* What an owner does: lists the flows, then changes some, then flushes, for ever. */
static void own(struct session_pair *p, struct sp_known *known, const struct sp_flow_mod *mods, size_t n, unsigned *step)
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
            sp_session_dump(p->s, known, p->now);
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
    static struct session_pair p;
    struct sp_known *known = sp_known_new(3);
    uint8_t buffer[4096];
    unsigned step = 0;
    bool closed = false;
    size_t end = 0;

    session_pair_init(&p);
    for (size_t at = 0, n; at < size; at += n) {
        if (at == end) {
            end += (size_t) record[at + 2] << 8 | record[at + 3];
        }
        n = 1 + sp_random_below(random, 2000);
        n = n < end - at ? n : end - at;
        sp_session_receive(p.s, bytes + at, n, p.now);
        while (sp_session_output(p.s, buffer, sizeof buffer, p.now)) {
        }
        session_pair_take_events(&p);
        closed = closed || session_pair_count(&p, SP_EVENT_CLOSED);
        own(&p, known, mods, 4, &step);
        while (sp_session_output(p.s, buffer, sizeof buffer, p.now)) {
        }
        sp_session_tick(p.s, p.now += 10);
    }
    session_pair_clear(&p);
    sp_known_free(known);
    return closed;
}

/* What a switch has said in a session in which there was everything: for replay(). */
struct recording {
    struct session_pair p; /* Its 'record'. */
    struct sp_flow_mod *mods;
};

static void record(struct recording *r)
{
    static const uint8_t frame[] = "\2\0\0\0\0\1\2\0\0\0\0\2\x08\0"
                                   "\x45\0\0\x20\0\0\0\0\x40\x11\0\0\xa\0\0\1\xa\0\0\2\x10\0\0\x35";
    const struct fake_denied denied = {
        .set = 1, .mark = 5, .phase = SP_PHASE_ENTERING, .zone = 3, .out = 2, .table = SP_T_DENIED,
        .packet = frame, .size = sizeof frame - 1};
    struct sp_known *known = sp_known_new(3);
    unsigned step = 0, n_told = 0;

    r->mods = session_pair_mods(4);
    sp_flow_unref(r->mods[2].flow);
    r->mods[2].flow = session_pair_flow(2, 0xff40); /* So that errors are on record too. */
    session_pair_init(&r->p);
    r->p.record = malloc(1);
    fake_switch_add_flow(&r->p.fs, "table=21,priority=9,cookie=0x5350050000000007,tcp,tp_dst=5,"
                                   "actions=ct(commit,zone=1),learn(table=1)");
    r->p.fs.tell_changes = true;
    do {
        own(&r->p, known, r->mods, 4, &step);
        if (r->p.fs.monitored && n_told < 8) { /* What others change, and what is denied, in between. */
            n_told++;
            fake_switch_deny(&r->p.fs, &denied);
            fake_switch_add_flow(&r->p.fs, "table=22,priority=9,cookie=0x5350050000000008,tcp,tp_dst=6/0xfffe,reg2=1,"
                                           "actions=drop");
        }
    } while (session_pair_exchange_once(&r->p));
    assert_int_equal(n_told, 8);
    assert_int_equal(step, 4);
    assert_int_equal(session_pair_count(&r->p, SP_EVENT_CLOSED), 0);
    sp_known_free(known);
}

static void forget(struct recording *r)
{
    session_pair_free_mods(r->mods, 4);
    session_pair_clear(&r->p);
}

/* Each message in turn says that it has another length than it has. */
static void wrong_lengths(void **aux)
{
    static struct recording r;
    static const uint16_t lengths[] = {0, 1, 3, 7, 8, 9, UINT16_MAX};
    struct sp_random random;
    uint8_t *bytes;
    size_t n_messages = 0;

    sp_random_init(&random);
    record(&r);
    bytes = malloc(r.p.record_size);
    assert_non_null(bytes);
    for (size_t at = 0, length; at < r.p.record_size; at += length, n_messages++) {
        length = (size_t) r.p.record[at + 2] << 8 | r.p.record[at + 3];
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            bool closed;

            memcpy(bytes, r.p.record, r.p.record_size);
            bytes[at + 2] = (uint8_t) (lengths[i] >> 8);
            bytes[at + 3] = (uint8_t) lengths[i];
            closed = replay(&random, bytes, r.p.record, r.p.record_size, r.mods);
            assert_true(closed || lengths[i] >= 8);
        }
    }
    assert_true(n_messages > 20);
    free(bytes);
    forget(&r);
}

static void mutations(void **aux)
{
    enum { RUNS = 20000 };
    static struct recording r;
    struct sp_random random;
    uint8_t *bytes;
    size_t n_closed = 0;

    sp_random_init(&random);
    record(&r);
    assert_false(replay(&random, r.p.record, r.p.record, r.p.record_size, r.mods));
    bytes = malloc(r.p.record_size);
    assert_non_null(bytes);
    for (unsigned run = 0; run < RUNS; run++) {
        memcpy(bytes, r.p.record, r.p.record_size);
        mutate(&random, bytes, r.p.record_size);
        n_closed += replay(&random, bytes, r.p.record, r.p.record_size, r.mods);
    }
    print_message("%zu of %d closed\n", n_closed, RUNS);
    assert_true(n_closed > RUNS / 20 && n_closed < RUNS);
    free(bytes);
    forget(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_input),
        cmocka_unit_test(echo_flood),
        cmocka_unit_test(wrong_lengths),
        cmocka_unit_test(mutations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
