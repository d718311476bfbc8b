/* What becomes of a packet that a switch reports as denied: it is laid to the port that it names, if that is the switch's own,
 * and to nobody else. */

#include "tests/support/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/engine_state.h"
#include "sallyport/pipeline.h"
#include "tests/support/world.h"

/* UDP from 203.0.113.9 to 10.0.0.1, port 53. */
static const uint8_t packet[] = {
    0x02, 0, 0, 0, 0, 0x01, 0x02, 0, 0, 0, 0, 0x09, 0x08, 0x00, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0,
    203, 0, 113, 9, 10, 0, 0, 1, 0x10, 0x00, 0, 53, 0, 8, 0, 0,
};

struct scene {
    struct rig *rig;
    struct rig_peer *peer;
    struct sp_uuid servers[2]; /* On the ports 1 and 2. */
    struct fake_denied denied; /* To the first one. */
};

static struct scene
begin(void **state)
{
    struct scene s = { .rig = *state };
    for (uint8_t i = 0; i < 2; i++) {
        s.servers[i] = rig_make_server(s.rig, i + 1, NULL);
    }
    s.peer = rig_peer(s.rig, RIG_DPID, 3);
    RIG_UNTIL(s.rig, rig_in_force(s.rig, RIG_DPID) && sp_engine_datapath(s.rig->engine, RIG_DPID)->has_meters);
    const struct sp_port *port = rig_port_of(s.rig, &s.servers[0]);
    s.denied = (struct fake_denied) {
        .set = sp_model_server(sp_engine_model(s.rig->engine), &s.servers[0])->set, .mark = SP_MARK_FRAGMENT,
        .phase = SP_PHASE_ENTERING, .zone = port->zone, .out = 1, .in_port = 3, .table = SP_T_DENIED, .packet = packet,
        .size = sizeof packet,
    };
    return s;
}

static int
count(void *aux, const struct sp_blocked_entry *entry)
{
    size_t *n = aux;
    *n += entry->n;
    assert_int_equal(entry->key.direction, SP_INBOUND);
    assert_int_equal(entry->key.protocol, 17);
    assert_true(entry->key.has_port);
    assert_int_equal(entry->key.number, 53);
    return 0;
}

/* Attempts at server 'i', once the engine has taken 'denied'. */
static size_t
attempts(struct scene *s, size_t i, const struct fake_denied *denied)
{
    uint64_t seen = rig_counters_of(s->rig).denied_seen;
    fake_switch_deny(&s->peer->fs, denied);
    rig_peer_flush(s->peer);
    RIG_UNTIL(s->rig, rig_counters_of(s->rig).denied_seen == seen + 1);
    size_t n = 0;
    assert_int_equal(sp_engine_each_blocked(s->rig->engine, &rig_port_of(s->rig, &s->servers[i])->id, count, &n), 0);
    return n;
}

static void
test_laid_to_its_port(void **state)
{
    struct scene s = begin(state);
    assert_int_equal(attempts(&s, 0, &s.denied), 1);
    assert_int_equal(attempts(&s, 0, &s.denied), 2);

    /* Ports and zones that do not belong together; a port that is nobody's; one that is not there. */
    struct fake_denied other = s.denied;
    other.out = 2;
    assert_int_equal(attempts(&s, 1, &other), 0);
    other.out = 3;
    assert_int_equal(attempts(&s, 0, &other), 2);
    other.out = 77;
    assert_int_equal(attempts(&s, 0, &other), 2);
    /* A set that does not exist, a rule that does not, a direction that is none. */
    other = s.denied;
    other.set = 0x7654321;
    assert_int_equal(attempts(&s, 0, &other), 2);
    other = s.denied;
    other.mark = 0x654321;
    assert_int_equal(attempts(&s, 0, &other), 2);
    other = s.denied;
    other.phase = 7;
    other.in_port = 1;
    assert_int_equal(attempts(&s, 0, &other), 2);
}

static int
set_reports(struct rig_request *r, struct sp_batch *batch)
{
    return sp_batch_set_reports(batch, r->region, r->is_default > 0);
}

/* A region that asks for no more has none, also of packets that are late; and so has a port that is deleted. */
static void
test_forgotten(void **state)
{
    struct scene s = begin(state);
    assert_int_equal(attempts(&s, 0, &s.denied), 1);
    rig_apply(s.rig, &(struct rig_request) { .operation = set_reports, .region = "SV2", .is_default = 0 });
    assert_int_equal(attempts(&s, 0, &s.denied), 0);
    rig_apply(s.rig, &(struct rig_request) { .operation = set_reports, .region = "SV2", .is_default = 1 });
    assert_int_equal(attempts(&s, 0, &s.denied), 1);
    struct sp_uuid port = rig_port_of(s.rig, &s.servers[0])->id;
    rig_apply(s.rig, &(struct rig_request) { .operation = rig_delete_server, .server = s.servers[0] });
    size_t n = 0;
    assert_int_equal(sp_engine_each_blocked(s.rig->engine, &port, count, &n), 0);
    assert_int_equal(n, 0);
    assert_int_equal(rig_counters_of(s.rig).blocked_entries, 0);
}

int
main(void)
{
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_laid_to_its_port),
        TEST(test_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
