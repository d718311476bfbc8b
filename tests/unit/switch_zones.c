/* Whose are the connections in a zone: P4 of sallyport/pipeline.h.  rig_check() looks whether a fake switch's zone was opened to
 * a port while it could hold another one's connections. */

#include "tests/support/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openvswitch/ofp-msgs.h>

#include "controller/engine_state.h"
#include "controller/model/tables.h"
#include "controller/switch_units.h"
#include "sallyport/pipeline.h"
#include "tests/support/fake_zones.h"
#include "tests/support/world.h"

/* Server 1 on its bridge; the next one gets its zone once it has gone, as if all other zones were taken. */
struct scene {
    struct rig *rig;
    struct rig_peer *peer;
    struct sp_uuid server;
    uint16_t zone;
    size_t n_flushed;
};

static struct scene
begin(void **state)
{
    struct scene s = { .rig = *state };
    s.server = rig_make_server(s.rig, 1, NULL);
    s.peer = rig_peer(s.rig, RIG_DPID, 2);
    RIG_UNTIL(s.rig, rig_in_force(s.rig, RIG_DPID));
    s.zone = rig_port_of(s.rig, &s.server)->zone;
    /* Nobody knows what was in it before. */
    assert_int_equal(s.peer->fs.n_flushed, 1);
    assert_int_equal(s.peer->fs.flushed[0], s.zone);
    assert_int_equal(rig_counters_of(s.rig).zones_flushed, 1);
    s.n_flushed = 1;
    return s;
}

static void
delete_owner(struct scene *s, unsigned wait_ms)
{
    struct rig_request request = { .operation = rig_delete_server, .server = s->server, .wait_ms = wait_ms };
    assert_int_equal(rig_post(s->rig, &request), 0);
    RIG_UNTIL(s->rig, request.done);
    assert_int_equal(request.outcome.error, 0);
    rig_request_clear(&request);
}

/* The next owner has the same port, MAC and address, and the same zone. */
static void
next_owner(struct scene *s)
{
    s->rig->engine->model->counters.next_zone = s->zone;
    s->server = rig_make_server(s->rig, 1, NULL);
    assert_int_equal(rig_port_of(s->rig, &s->server)->zone, s->zone);
}

static void
expect_active(struct scene *s)
{
    RIG_UNTIL(s->rig, rig_in_force(s->rig, RIG_DPID));
    RIG_UNTIL(s->rig, sp_engine_port_state(s->rig->engine, rig_port_of(s->rig, &s->server)) == SP_PORT_ACTIVE);
    rig_check(s->rig);
}

static void
disconnect(struct scene *s)
{
    rig_peer_disconnect(s->peer);
    RIG_UNTIL(s->rig, !rig_status(s->rig, RIG_DPID, NULL).connected);
}

static void
restart(struct scene *s)
{
    rig_restart(s->rig);
    rig_peer_connect(s->peer);
    RIG_UNTIL(s->rig, rig_in_force(s->rig, RIG_DPID));
}

/* Contract 3.3 and 3.9: who is there already keeps its connections, over a restart too, and when its groups change. */
static void
test_restart(void **state)
{
    struct scene s = begin(state);
    struct sp_uuid web = rig_make_group(s.rig, "web", 80, 1);
    restart(&s);
    assert_int_equal(rig_counters_of(s.rig).zones_flushed, 0);
    rig_apply(s.rig, &(struct rig_request) { .operation = rig_set_groups, .server = s.server, .groups = { web }, .n_groups = 1 });
    expect_active(&s);
    assert_int_equal(rig_counters_of(s.rig).zones_flushed, 0);
    assert_int_equal(s.peer->fs.n_flushed, s.n_flushed);
}

/* What is remembered does not grow with all that ever were. */
static void
test_forgotten(void **state)
{
    struct scene s = begin(state);
    const struct sp_switch *sw = sp_engine_datapath(s.rig->engine, RIG_DPID)->sw;
    assert_int_equal(sp_flow_table_count(sw->owners), 1);
    delete_owner(&s, 1000);
    assert_int_equal(sp_flow_table_count(sw->owners), 0);
    next_owner(&s);
    expect_active(&s);
}

/* The deletion is confirmed, its flush is not, and the controller ends. */
static void
test_crash_before_the_flush(void **state)
{
    struct scene s = begin(state);
    s.peer->fs.mute_type = OFPTYPE_CT_FLUSH_ZONE;
    delete_owner(&s, 100);
    RIG_UNTIL(s.rig, !fake_switch_count(&s.peer->fs, SP_COOKIE(SP_COOKIE_OWNED, 0), UINT64_MAX << 40));
    s.peer->fs.mute_type = -1;
    restart(&s);
    assert_int_equal(s.peer->fs.n_flushed, s.n_flushed);
    next_owner(&s);
    expect_active(&s);
    assert_int_equal(s.peer->fs.n_flushed, s.n_flushed + 1);
}

static void
test_unplugged_before_it_is_deleted(void **state)
{
    struct scene s = begin(state);
    fake_switch_port_status(&s.peer->fs, 1, "p1", true);
    rig_peer_flush(s.peer);
    const struct sp_port *port = rig_port_of(s.rig, &s.server);
    RIG_UNTIL(s.rig, sp_engine_port_state(s.rig->engine, port) == SP_PORT_UNBOUND && rig_in_force(s.rig, RIG_DPID));
    delete_owner(&s, 1000);
    fake_switch_port_status(&s.peer->fs, 1, "p1", false);
    rig_peer_flush(s.peer);
    rig_turns(s.rig, 20);
    next_owner(&s);
    expect_active(&s);
    assert_int_equal(s.peer->fs.flushed[s.n_flushed], s.zone);
}

/* The switch still has the flows of the last owner, which are those of the next one but for whose the zone is. */
static void
test_drawn_again_while_away(void **state)
{
    struct scene s = begin(state);
    for (int restarted = 0; restarted < 2; restarted++) {
        disconnect(&s);
        delete_owner(&s, 0);
        next_owner(&s);
        if (restarted) {
            restart(&s);
        } else {
            rig_peer_connect(s.peer);
        }
        expect_active(&s);
    }
}

/* Conntrack of the kernel outlives the flows.  Who is remembered keeps what is his. */
static void
test_flows_are_lost(void **state)
{
    struct scene s = begin(state);
    disconnect(&s);
    assert_true(fake_switch_forget(&s.peer->fs, SP_COOKIE_OWNER, SP_COOKIE_OWNER_MASK) > 0);
    rig_peer_connect(s.peer);
    expect_active(&s);
    assert_int_equal(s.peer->fs.n_flushed, s.n_flushed);

    disconnect(&s);
    assert_true(fake_switch_forget(&s.peer->fs, SP_COOKIE_OWNER, SP_COOKIE_OWNER_MASK) > 0);
    delete_owner(&s, 0);
    next_owner(&s);
    rig_peer_connect(s.peer);
    expect_active(&s);
    assert_int_equal(s.peer->fs.n_flushed, s.n_flushed + 1);

    disconnect(&s);
    assert_true(fake_switch_forget(&s.peer->fs, SP_COOKIE_OWNER, SP_COOKIE_OWNER_MASK) > 0);
    restart(&s);
    expect_active(&s);
    assert_int_equal(s.peer->fs.n_flushed, s.n_flushed + 2);
}

/* No flush, no flows; and others do not wait for that. */
static void
test_flush_is_refused(void **state)
{
    struct scene s = begin(state);
    s.peer->fs.refuse_flush = true;
    struct rig_request request = { .operation = rig_create_server, .region = "SV2", .n_ports = 1, .wait_ms = 1000 };
    struct sp_cidr ip;
    request.ports[0] = world_port(RIG_DPID, "p2", 2, "10.0.0.2", &ip);
    assert_int_equal(rig_post(s.rig, &request), 0);
    RIG_UNTIL(s.rig, request.done);
    struct sp_uuid second = request.id;
    assert_false(request.outcome.applied);
    rig_request_clear(&request);
    assert_int_equal(sp_engine_port_state(s.rig->engine, rig_port_of(s.rig, &second)), SP_PORT_PENDING);
    assert_int_equal(sp_engine_port_state(s.rig->engine, rig_port_of(s.rig, &s.server)), SP_PORT_ACTIVE);
    assert_int_equal(fake_switch_count(&s.peer->fs, SP_COOKIE(SP_COOKIE_OWNED, 0), UINT64_MAX << 40), 1);
    char error[300];
    rig_status(s.rig, RIG_DPID, error);
    assert_non_null(strstr(error, "OFPBRC_BAD_TYPE"));

    s.peer->fs.refuse_flush = false;
    rig_retry_now(s.rig);
    s.server = second;
    expect_active(&s);
}

/* A switch of the version before has nobody's name on the zone's flow.  The port is known by where it comes from. */
static void
test_version_without_owners(void **state)
{
    struct scene s = begin(state);
    char flow[200];
    snprintf(flow, sizeof flow, "table=%d,priority=100,cookie=0x%llx,ct_zone=%u,reg6=%u,actions=resubmit(,%d)", SP_T_PORT_SET,
             (unsigned long long) SP_COOKIE(SP_COOKIE_PORT, s.zone), s.zone, s.zone, SP_T_SET_FACTS);
    disconnect(&s);
    assert_int_equal(fake_switch_forget(&s.peer->fs, SP_COOKIE(SP_COOKIE_OWNED, 0), UINT64_MAX << 40), 1);
    fake_switch_add_flow(&s.peer->fs, flow);
    restart(&s);
    expect_active(&s);
    assert_int_equal(s.peer->fs.n_flushed, s.n_flushed);
    assert_int_equal(rig_counters_of(s.rig).flow_mods_sent, 1);

    /* From another place it may be anybody's. */
    disconnect(&s);
    assert_int_equal(fake_switch_forget(&s.peer->fs, SP_COOKIE(SP_COOKIE_OWNED, 0), UINT64_MAX << 40), 1);
    assert_true(fake_switch_forget(&s.peer->fs, SP_COOKIE(SP_COOKIE_PORT, s.zone), UINT64_MAX) > 1);
    fake_switch_add_flow(&s.peer->fs, flow);
    restart(&s);
    expect_active(&s);
    assert_true(s.peer->fs.n_flushed > s.n_flushed);
}

/* The flow of 'zone', of a port with the id 'id'. */
static struct sp_flow_set *
zone_of(uint16_t zone, const uint8_t *id)
{
    struct sp_flow_build *build = malloc(sizeof *build);
    struct sp_flow_list list;
    assert_non_null(build);
    sp_flow_build_init(build, SP_T_PORT_SET, 100, SP_COOKIE(SP_COOKIE_OWNED, SP_OWNER_TAG(id)));
    sp_flow_match_exact(build, SP_F_CT_ZONE, zone);
    sp_flow_match_exact(build, SP_R_ZONE, zone);
    sp_flow_list_init(&list);
    assert_int_equal(sp_flow_list_add(&list, build), 0);
    free(build);
    struct sp_flow_set *set = sp_flow_set_new(&list);
    assert_non_null(set);
    return set;
}

/* Two ports with one zone on one bridge: the second one stays closed, and is told so, until the first one has gone. */
static void
test_two_owners(void **state)
{
    struct scene s = begin(state);
    struct sp_switch *sw = sp_engine_datapath(s.rig->engine, RIG_DPID)->sw;
    struct sp_uuid id = { .bytes = { 1, 2, 3, 4, 5, 6 } };
    struct sp_unit_name name;
    sp_unit_name_port(&name, &id);
    uint64_t revision = sp_model_counters(s.rig->engine->model)->revision;
    assert_int_equal(sp_switch_set_unit(sw, &name, zone_of(s.zone, id.bytes), (struct sp_revisions) { revision, revision }), 0);
    sp_switch_tick(sw, sp_engine_now(s.rig->engine));
    assert_false(sp_switch_unit_confirmed(sw, &name));
    assert_int_equal(sp_switch_confirmation(sw, revision), SP_NOT_CONFIRMED);
    struct sp_switch_reading reading;
    sp_switch_read(sw, &reading);
    assert_non_null(strstr(reading.last_error, "its conntrack zone is still another port's on this bridge"));
    assert_int_equal(s.peer->fs.n_flushed, s.n_flushed);

    delete_owner(&s, 0);
    rig_turns(s.rig, 50);
    rig_retry_now(s.rig);
    RIG_UNTIL(s.rig, sp_switch_unit_confirmed(sw, &name));
    assert_int_equal(fake_zones_inherited(s.peer->fs.zones), 0);
    assert_int_equal(sp_switch_set_unit(sw, &name, NULL, (struct sp_revisions) { revision, revision }), 0);
}

/* Some at a time, so that the switch is not busy with them for long, and all of them in the end; a port with more addresses
 * or another group is the same port. */
static void
test_many(void **state)
{
    struct rig *rig = *state;
    struct rig_peer *peer = rig_peer(rig, RIG_DPID, FAKE_PORTS_MAX);
    struct sp_uuid server;
    for (uint8_t i = 1; i <= FAKE_PORTS_MAX; i++) {
        server = rig_make_server(rig, i, NULL);
    }
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    assert_int_equal(peer->fs.n_flushed, FAKE_PORTS_MAX);
    rig_check(rig);

    size_t commits = peer->fs.n_commits;
    rig_peer_disconnect(peer);
    RIG_UNTIL(rig, !rig_status(rig, RIG_DPID, NULL).connected);
    fake_switch_forget(&peer->fs, SP_COOKIE_OWNER, SP_COOKIE_OWNER_MASK);
    rig_restart(rig);
    rig_peer_connect(peer);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    assert_int_equal(peer->fs.n_flushed, 2 * FAKE_PORTS_MAX);
    assert_int_equal(peer->fs.n_commits, commits + (FAKE_PORTS_MAX + SP_FLUSHES_MIN - 1) / SP_FLUSHES_MIN);
    rig_check(rig);

    struct sp_uuid web = rig_make_group(rig, "web", 80, 1);
    rig_apply(rig, &(struct rig_request) { .operation = rig_set_groups, .server = server, .groups = { web }, .n_groups = 1 });
    assert_int_equal(peer->fs.n_flushed, 2 * FAKE_PORTS_MAX);
}

int
main(void)
{
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_restart),
        TEST(test_forgotten),
        TEST(test_crash_before_the_flush),
        TEST(test_unplugged_before_it_is_deleted),
        TEST(test_drawn_again_while_away),
        TEST(test_flows_are_lost),
        TEST(test_flush_is_refused),
        TEST(test_version_without_owners),
        TEST(test_two_owners),
        TEST(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
