/* The engine with fake switches over a real socket and a store that obeys.  E1 to E4 are the guarantees of engine.h. */

#include "tests/support/rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/engine_state.h"
#include "controller/switch_units.h"
#include "sallyport/pipeline.h"
#include "tests/support/world.h"

#define OURS SP_COOKIE_OWNER, SP_COOKIE_OWNER_MASK

static void
test_connect(void **state)
{
    struct rig *rig = *state;
    struct sp_uuid server = rig_make_server(rig, 1, NULL);
    assert_int_equal(sp_engine_port_state(rig->engine, rig_port_of(rig, &server)), SP_PORT_UNBOUND);
    struct rig_peer *peer = rig_peer(rig, RIG_DPID, 2);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    assert_int_equal(sp_engine_port_state(rig->engine, rig_port_of(rig, &server)), SP_PORT_ACTIVE);

    char error[300];
    struct sp_bridge_status status = rig_status(rig, RIG_DPID, error);
    assert_true(status.adopted && status.connected && !status.pending);
    assert_int_equal(status.n_ports, 2);
    assert_int_equal(status.flows_desired, status.flows_installed);
    assert_int_equal(status.flows_installed, peer->fs.n_entries);
    assert_int_equal(fake_switch_count(&peer->fs, OURS), peer->fs.n_entries);
    assert_int_equal(status.revision, sp_model_counters(sp_engine_model(rig->engine))->revision);
    assert_string_equal(error, "");
    assert_int_equal(rig_counters_of(rig).flow_mods_sent, peer->fs.n_flow_mods);
    rig_check(rig);

    /* A port that the model does not know of stays closed; one that it does is a server's when it comes. */
    struct sp_uuid second = rig_make_server(rig, 3, NULL);
    assert_int_equal(sp_engine_port_state(rig->engine, rig_port_of(rig, &second)), SP_PORT_UNBOUND);
    size_t before = peer->fs.n_entries;
    fake_switch_port_status(&peer->fs, 3, "p3", false);
    rig_peer_flush(peer);
    RIG_UNTIL(rig, sp_engine_port_state(rig->engine, rig_port_of(rig, &second)) == SP_PORT_ACTIVE);
    assert_true(peer->fs.n_entries > before);
    rig_check(rig);
    fake_switch_port_status(&peer->fs, 3, "p3", true);
    rig_peer_flush(peer);
    const struct sp_port *port = rig_port_of(rig, &second);
    RIG_UNTIL(rig, sp_engine_port_state(rig->engine, port) == SP_PORT_UNBOUND && rig_in_force(rig, RIG_DPID));
    assert_int_equal(peer->fs.n_entries, before);
    rig_check(rig);
}

/* E4, and flows of others. */
static void
test_not_adopted(void **state)
{
    struct rig *rig = *state;
    struct rig_peer *peer = rig_peer(rig, RIG_DPID, 2);
    fake_switch_add_flow(&peer->fs, "table=0,priority=5,actions=NORMAL");
    fake_switch_add_flow(&peer->fs, "table=3,cookie=0x5350000000000001,priority=5,dl_type=0x1234,actions=drop");
    RIG_UNTIL(rig, rig_counters_of(rig).connects == 1);
    rig_turns(rig, 20);
    assert_int_equal(peer->fs.n_flow_mods, 2); /* The two above. */
    struct sp_bridge_status status = rig_status(rig, RIG_DPID, NULL);
    assert_true(!status.adopted && status.connected && !status.pending);
    assert_int_equal(status.n_ports, 2);
    assert_int_equal(peer->fs.n_dumps, 0);

    /* Adopted while it is connected: what is under our cookie and of no use goes, the other's stays. */
    rig_apply(rig, &(struct rig_request) { .operation = rig_put_bridge, .dpid = RIG_DPID, .uplinks = { "p2" }, .n_uplinks = 1 });
    assert_int_equal(fake_switch_count(&peer->fs, 0x5350000000000001, UINT64_MAX), 0);
    assert_int_equal(fake_switch_count(&peer->fs, 0, UINT64_MAX), 1);
    assert_true(fake_switch_count(&peer->fs, SP_COOKIE(SP_COOKIE_UPLINK, 2), UINT64_MAX) > 0);
    rig_check(rig);

    /* Released: ours go. */
    rig_apply(rig, &(struct rig_request) { .operation = rig_delete_bridge, .dpid = RIG_DPID });
    RIG_UNTIL(rig, fake_switch_count(&peer->fs, OURS) == 0);
    assert_int_equal(fake_switch_count(&peer->fs, 0, UINT64_MAX), 1);
    RIG_UNTIL(rig, !sp_engine_datapath(rig->engine, RIG_DPID)->releasing);
    assert_false(rig_status(rig, RIG_DPID, NULL).adopted);

    /* And adopted again. */
    rig_apply(rig, &(struct rig_request) { .operation = rig_put_bridge, .dpid = RIG_DPID });
    assert_true(fake_switch_count(&peer->fs, OURS) > 0);
    rig_check(rig);
}

static void
test_released_while_away(void **state)
{
    struct rig *rig = *state;
    rig_apply(rig, &(struct rig_request) { .operation = rig_put_bridge, .dpid = RIG_DPID });
    struct rig_peer *peer = rig_peer(rig, RIG_DPID, 1);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    rig_peer_disconnect(peer);
    RIG_UNTIL(rig, !rig_status(rig, RIG_DPID, NULL).connected);
    rig_apply(rig, &(struct rig_request) { .operation = rig_delete_bridge, .dpid = RIG_DPID });
    rig_peer_connect(peer);
    RIG_UNTIL(rig, fake_switch_count(&peer->fs, OURS) == 0 && !sp_engine_datapath(rig->engine, RIG_DPID)->releasing);
}

/* A rule's edit sends only what differs, and is applied when it is in force (E2). */
static void
test_edit(void **state)
{
    struct rig *rig = *state;
    struct sp_uuid web = rig_make_group(rig, "web", 80, 5);
    rig_make_server(rig, 1, &web);
    rig_make_server(rig, 2, NULL);
    struct rig_peer *peer = rig_peer(rig, RIG_DPID, 2);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    size_t mods = peer->fs.n_flow_mods;
    uint64_t revision = sp_model_counters(sp_engine_model(rig->engine))->revision;

    struct rig_request request = rig_rules_request(&web, 443);
    rig_apply(rig, &request);
    assert_int_equal(request.outcome.revision, revision + 1);
    assert_true(peer->fs.n_flow_mods > mods && peer->fs.n_flow_mods - mods < 40);
    rig_check(rig);

    /* The same again: nothing changes, nothing is stored. */
    mods = peer->fs.n_flow_mods;
    unsigned commits = rig->store.n_commits;
    rig_apply(rig, &request);
    assert_int_equal(request.outcome.revision, revision + 1);
    assert_int_equal(rig->store.n_commits, commits);
    assert_int_equal(peer->fs.n_flow_mods, mods);
}

/* A switch that does not answer makes a write late, not wrong; one that goes makes it not applied. */
static void
test_slow_switch(void **state)
{
    struct rig *rig = *state;
    struct sp_uuid web = rig_make_group(rig, "web", 80, 1);
    struct sp_uuid other = rig_make_group(rig, "other", 90, 1);
    struct sp_uuid server = rig_make_server(rig, 1, &web);
    struct rig_peer *peer = rig_peer(rig, RIG_DPID, 1);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    peer->fs.forget_replies = true;

    struct rig_request request = rig_rules_request(&web, 81);
    request.wait_ms = 50;
    assert_int_equal(rig_do(rig, &request), 0);
    assert_false(request.outcome.applied);
    assert_int_equal(request.outcome.revision, sp_model_counters(sp_engine_model(rig->engine))->revision);
    assert_int_equal(sp_engine_port_state(rig->engine, rig_port_of(rig, &server)), SP_PORT_PENDING);
    assert_true(rig_status(rig, RIG_DPID, NULL).pending);
    rig_request_clear(&request);

    /* Who does not touch it does not wait for it. */
    struct rig_request untouched = rig_rules_request(&other, 91);
    rig_apply(rig, &untouched);

    /* It goes while somebody waits: told at once. */
    struct rig_request waiting = rig_rules_request(&web, 82);
    waiting.wait_ms = 60000;
    assert_int_equal(rig_post(rig, &waiting), 0);
    RIG_UNTIL(rig, waiting.staged);
    rig_turns(rig, 5);
    assert_false(waiting.done);
    rig_peer_disconnect(peer);
    RIG_UNTIL(rig, waiting.done);
    assert_int_equal(waiting.outcome.error, 0);
    assert_false(waiting.outcome.applied);
    rig_request_clear(&waiting);

    peer->fs.forget_replies = false;
    rig_peer_connect(peer);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    rig_check(rig);
}

/* A bridge that goes while the store writes has confirmed nothing, though none is there to be asked when it is durable. */
static void
test_lost_while_committing(void **state)
{
    struct rig *rig = *state;
    struct sp_uuid web = rig_make_group(rig, "web", 80, 1), other = rig_make_group(rig, "other", 90, 1);
    struct sp_uuid server = rig_make_server(rig, 1, &web);
    struct rig_peer *peer = rig_peer(rig, RIG_DPID, 2);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    struct {
        const char *what;
        struct rig_request request;
        bool concerned;
    } cases[] = {
        { "a rule of its set", rig_rules_request(&web, 81), true },
        { "a rule of no set of its", rig_rules_request(&other, 91), false },
        { "a group", { .operation = rig_create_group, .region = "SV2", .name = "new" }, false },
        { "its server's groups", { .operation = rig_set_groups, .server = server, .groups = { other }, .n_groups = 1 }, true },
        { "its server", { .operation = rig_delete_server, .server = server }, true },
        { "itself", { .operation = rig_delete_bridge, .dpid = RIG_DPID }, true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rig_request *request = &cases[i].request;
        RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
        unsigned commits = rig->store.n_commits;
        rig->store.hold = true;
        request->wait_ms = 60000;
        assert_int_equal(rig_post(rig, request), 0);
        RIG_UNTIL(rig, rig->store.n_commits == commits + 1);
        rig_peer_disconnect(peer);
        RIG_UNTIL(rig, !rig_status(rig, RIG_DPID, NULL).connected);
        rig->store.hold = false;
        rig_store_go(rig);
        RIG_UNTIL(rig, request->done);
        if (request->outcome.error || request->outcome.applied == cases[i].concerned) {
            fail_msg("%s: error %d, applied %d", cases[i].what, request->outcome.error, request->outcome.applied);
        }
        rig_request_clear(request);
        rig_peer_connect(peer);
        RIG_UNTIL(rig, rig_counters_of(rig).connects == i + 2);
    }
}

static int
make_region_in_vain(struct rig_request *r, struct sp_batch *batch)
{
    int error = rig_region(r, batch);
    return error ? error : SP_E_INVALID;
}

/* What a refused write has staged is not there for the one that shares its commit. */
static void
test_refused_leaves_nothing(void **state)
{
    struct rig *rig = *state;
    struct rig_request refused = { .operation = make_region_in_vain, .region = "in-vain" };
    struct rig_request accepted = { .operation = rig_create_group, .region = "SV2", .name = "g" };
    assert_int_equal(rig_post(rig, &refused), 0);
    assert_int_equal(rig_post(rig, &accepted), 0);
    RIG_UNTIL(rig, refused.done && accepted.done);
    assert_int_equal(refused.outcome.error, SP_E_INVALID);
    assert_int_equal(accepted.outcome.error, 0);
    assert_null(sp_model_region(sp_engine_model(rig->engine), "in-vain"));
    rig_request_clear(&refused);
    rig_request_clear(&accepted);
}

/* Writes that come while a commit is under way share the next one; each is refused or accepted on its own. */
static void
test_group_commit(void **state)
{
    struct rig *rig = *state;
    rig->store.hold = true;
    unsigned commits = rig->store.n_commits;
    struct rig_request first = { .operation = rig_create_group, .region = "SV2", .name = "first" };
    assert_int_equal(rig_post(rig, &first), 0);
    RIG_UNTIL(rig, rig->store.n_commits == commits + 1);

    enum { N = 20 };
    struct rig_request requests[N];
    for (size_t i = 0; i < N; i++) {
        requests[i] = (struct rig_request) { .operation = rig_create_group, .region = i % 4 ? "SV2" : "nowhere", .name = "g" };
        assert_int_equal(rig_post(rig, &requests[i]), 0);
    }
    rig_turns(rig, 20);
    /* E1: not durable, so not visible. */
    assert_int_equal(sp_model_count_groups(sp_engine_model(rig->engine), "SV2"), 0);
    assert_false(requests[1].staged);
    assert_int_equal(rig_counters_of(rig).writes_queued, N + 1);
    rig_store_go(rig);
    RIG_UNTIL(rig, first.done && rig->store.n_commits == commits + 2);
    assert_int_equal(sp_model_count_groups(sp_engine_model(rig->engine), "SV2"), 1);
    rig_store_go(rig);
    RIG_UNTIL(rig, requests[N - 1].done);
    uint64_t revision = first.outcome.revision;
    for (size_t i = 0; i < N; i++) {
        RIG_UNTIL(rig, requests[i].done);
        assert_int_equal(requests[i].outcome.error, i % 4 ? 0 : SP_E_INVALID);
        if (i % 4) {
            assert_int_equal(requests[i].outcome.revision, ++revision);
        }
        rig_request_clear(&requests[i]);
    }
    rig_request_clear(&first);
    assert_int_equal(rig->store.n_commits, commits + 2);
    assert_int_equal(rig_counters_of(rig).writes_queued, 0);
    rig->store.hold = false;
}

static void
test_queue_bound(void **state)
{
    struct rig *rig = *state;
    struct rig_request *requests = calloc(SP_ENGINE_WRITES_MAX + 1, sizeof *requests);
    assert_non_null(requests);
    for (size_t i = 0; i < SP_ENGINE_WRITES_MAX; i++) {
        requests[i] = (struct rig_request) { .operation = rig_region, .region = "SV2" };
        assert_int_equal(rig_post(rig, &requests[i]), 0);
    }
    assert_int_equal(rig_post(rig, &requests[SP_ENGINE_WRITES_MAX]), SP_E_FULL);
    for (size_t i = 0; i < SP_ENGINE_WRITES_MAX; i++) {
        RIG_UNTIL(rig, requests[i].done);
        assert_int_equal(requests[i].outcome.error, 0);
        assert_true(requests[i].outcome.applied);
    }
    free(requests);
}

/* E3 */
static void
test_store_fails(void **state)
{
    struct rig *rig = *state;
    struct sp_uuid web = rig_make_group(rig, "web", 80, 1);
    rig_make_server(rig, 1, &web);
    struct rig_peer *peer = rig_peer(rig, RIG_DPID, 1);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    size_t mods = peer->fs.n_flow_mods;
    uint64_t revision = sp_model_counters(sp_engine_model(rig->engine))->revision;

    rig->store.fail = -ENOSPC;
    struct rig_request request = rig_rules_request(&web, 443);
    assert_int_equal(rig_do(rig, &request), -ENOSPC);
    assert_string_equal(request.why, "the disk is full");
    assert_false(request.outcome.applied);
    assert_int_equal(request.outcome.revision, revision);
    assert_int_equal(sp_model_counters(sp_engine_model(rig->engine))->revision, revision);
    assert_int_equal(sp_model_group(sp_engine_model(rig->engine), &web)->rules[0]->meaning.port_min, 80);
    assert_int_equal(rig_counters_of(rig).commits_failed, 1);
    rig_turns(rig, 10);
    assert_int_equal(peer->fs.n_flow_mods, mods);
    rig_request_clear(&request);

    rig->store.fail = 0;
    rig_apply(rig, &request);
    assert_int_equal(request.outcome.revision, revision + 1);
    assert_true(peer->fs.n_flow_mods > mods);
    rig_check(rig);
}

static void
test_second_connection(void **state)
{
    struct rig *rig = *state;
    rig_make_server(rig, 1, NULL);
    struct rig_peer *first = rig_peer(rig, RIG_DPID, 1);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    struct rig_peer *second = rig_peer(rig, RIG_DPID, 1);
    RIG_UNTIL(rig, second->closed_by_peer);
    assert_true(first->open);
    assert_int_equal(second->fs.n_flow_mods, 0);
    char error[300];
    assert_true(rig_status(rig, RIG_DPID, error).connected);
    assert_non_null(strstr(error, "second connection"));
    assert_int_equal(rig_counters_of(rig).connects, 1);

    /* The first goes; the next one is welcome. */
    rig_peer_disconnect(first);
    RIG_UNTIL(rig, !rig_status(rig, RIG_DPID, error).connected);
    rig_peer_connect(second);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    assert_true(second->fs.n_entries > 0);

    /* Nothing is wrong with a bridge that was in its own way. */
    rig_status(rig, RIG_DPID, error);
    assert_string_equal(error, "");
}

static void
test_wrong_version(void **state)
{
    struct rig *rig = *state;
    struct rig_peer *peer = &rig->peers[rig->n_peers++];
    peer->rig = rig;
    fake_switch_init(&peer->fs, RIG_DPID, 1);
    peer->fs.versions = 1u << 1 | 1u << 4;
    rig_peer_connect(peer);
    RIG_UNTIL(rig, peer->closed_by_peer);
    assert_int_equal(rig_counters_of(rig).connects, 0);
    /* The engine goes on. */
    rig_make_server(rig, 1, NULL);
}

/* A port that is found by its interface, on an adopted bridge. */
static void
test_iface(void **state)
{
    struct rig *rig = *state;
    rig_apply(rig, &(struct rig_request) { .operation = rig_put_bridge, .dpid = RIG_DPID });
    struct sp_cidr ip;
    struct rig_request request = { .operation = rig_create_server, .region = "SV2", .n_ports = 1,
                                   .ports = { world_port(0, NULL, 1, "10.0.0.1", &ip) } };
    request.ports[0].has_bridge = false;
    request.ports[0].iface_id = "tap-1";
    rig_apply(rig, &request);
    struct rig_peer *peer = rig_peer(rig, RIG_DPID, 3);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    const struct sp_port *port = rig_port_of(rig, &request.id);
    assert_int_equal(sp_engine_port_state(rig->engine, port), SP_PORT_UNBOUND);

    sp_engine_bind_iface(rig->engine, "tap-1", RIG_DPID, "p3", true);
    sp_engine_bind_iface(rig->engine, "tap-1", RIG_DPID, "p3", true);
    RIG_UNTIL(rig, sp_engine_port_state(rig->engine, port) == SP_PORT_ACTIVE);
    rig_check(rig);

    /* Seen twice for a moment: the lower number has it. */
    sp_engine_bind_iface(rig->engine, "tap-1", RIG_DPID, "p2", true);
    RIG_UNTIL(rig, sp_engine_port_state(rig->engine, port) == SP_PORT_ACTIVE && rig_in_force(rig, RIG_DPID));
    assert_int_equal(sp_datapath_binding(sp_engine_datapath(rig->engine, RIG_DPID), &port->id)->ofport->number, 2);
    rig_check(rig);
    fake_switch_port_status(&peer->fs, 2, "p2", true);
    rig_peer_flush(peer);
    RIG_UNTIL(rig, rig_status(rig, RIG_DPID, NULL).n_ports == 2 && rig_in_force(rig, RIG_DPID));
    assert_int_equal(sp_datapath_binding(sp_engine_datapath(rig->engine, RIG_DPID), &port->id)->ofport->number, 3);
    rig_check(rig);

    sp_engine_bind_iface(rig->engine, "tap-1", RIG_DPID, "p3", false);
    assert_int_equal(sp_engine_port_state(rig->engine, port), SP_PORT_UNBOUND);
    sp_engine_bind_iface(rig->engine, "tap-1", RIG_DPID, "p3", false);
    sp_engine_bind_iface(rig->engine, "never-heard-of", RIG_DPID, "p1", false);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    rig_check(rig);
}

static void
note_true(void *aux)
{
    *(bool *) aux = true;
}

/* With OVSDB a restart leaves a bridge alone until it is known where its ports are. */
static void
test_expect(void **state)
{
    struct rig *rig = *state;
    rig_apply(rig, &(struct rig_request) { .operation = rig_put_bridge, .dpid = RIG_DPID });
    struct sp_cidr ip;
    struct rig_request request = { .operation = rig_create_server, .region = "SV2", .n_ports = 1,
                                   .ports = { world_port(0, NULL, 1, "10.0.0.1", &ip) } };
    request.ports[0].has_bridge = false;
    request.ports[0].iface_id = "tap-1";
    rig_apply(rig, &request);
    struct rig_peer *peer = rig_peer(rig, RIG_DPID, 2);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    sp_engine_bind_iface(rig->engine, "tap-1", RIG_DPID, "p2", true);
    RIG_UNTIL(rig, sp_engine_port_state(rig->engine, rig_port_of(rig, &request.id)) == SP_PORT_ACTIVE);
    size_t mods = peer->fs.n_flow_mods, dumps = peer->fs.n_dumps;

    rig_restart(rig);
    sp_engine_expect_ifaces(rig->engine);
    rig_peer_connect(peer);
    RIG_UNTIL(rig, rig_counters_of(rig).connects == 1 && rig_status(rig, RIG_DPID, NULL).connected);
    rig_turns(rig, 10);
    assert_int_equal(peer->fs.n_dumps, dumps);
    assert_true(rig_status(rig, RIG_DPID, NULL).pending);
    struct rig_request edit = { .operation = rig_put_bridge, .dpid = RIG_DPID, .uplinks = { "p1" }, .n_uplinks = 1,
                                .wait_ms = 20 };
    assert_int_equal(rig_do(rig, &edit), 0);
    assert_false(edit.outcome.applied);
    edit.n_uplinks = 0;
    assert_int_equal(rig_do(rig, &edit), 0);
    assert_int_equal(peer->fs.n_flow_mods, mods);
    sp_engine_bind_iface(rig->engine, "tap-1", RIG_DPID, "p2", true);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    assert_int_equal(sp_engine_port_state(rig->engine, rig_port_of(rig, &request.id)), SP_PORT_ACTIVE);
    assert_int_equal(peer->fs.n_flow_mods, mods);
    rig_check(rig);

    /* When the time is over it goes on without, and a release does not wait. */
    rig_restart(rig);
    sp_engine_expect_ifaces(rig->engine);
    rig_peer_connect(peer);
    RIG_UNTIL(rig, rig_counters_of(rig).connects == 1 && rig_status(rig, RIG_DPID, NULL).connected);
    rig->engine->expect_until_ms = sp_engine_now(rig->engine);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    assert_true(peer->fs.n_flow_mods > mods);
    rig_restart(rig);
    sp_engine_expect_ifaces(rig->engine);
    rig_peer_connect(peer);
    RIG_UNTIL(rig, rig_counters_of(rig).connects == 1 && rig_status(rig, RIG_DPID, NULL).connected);
    rig_apply(rig, &(struct rig_request) { .operation = rig_delete_bridge, .dpid = RIG_DPID });
    assert_int_equal(fake_switch_count(&peer->fs, OURS), 0);
}

/* Stopping while a commit is under way and others wait. */
static void
test_stop(void **state)
{
    struct rig *rig = *state;
    struct rig_peer *peer = rig_peer(rig, RIG_DPID, 1);
    RIG_UNTIL(rig, rig_counters_of(rig).connects == 1);
    rig->store.hold = true;
    struct rig_request first = { .operation = rig_create_group, .region = "SV2", .name = "a", .wait_ms = 60000 };
    struct rig_request second = { .operation = rig_create_group, .region = "SV2", .name = "b", .wait_ms = 60000 };
    unsigned commits = rig->store.n_commits;
    assert_int_equal(rig_post(rig, &first), 0);
    RIG_UNTIL(rig, rig->store.n_commits == commits + 1);
    assert_int_equal(rig_post(rig, &second), 0);

    struct sp_engine *engine = rig->engine;
    bool stopped = false;
    sp_engine_stop(engine, note_true, &stopped);
    struct sp_write late = { .stage = NULL };
    assert_int_equal(sp_engine_write(engine, &late), SP_E_CLOSED);
    rig_turns(rig, 20);
    assert_false(stopped);
    assert_true(second.done && second.outcome.error == -ECANCELED);
    rig_store_go(rig);
    RIG_UNTIL(rig, stopped);
    assert_true(first.done && !first.outcome.error);
    RIG_UNTIL(rig, peer->closed_by_peer);
    rig_request_clear(&first);
    rig_request_clear(&second);
    assert_true(rig->store.closed);
    rig->engine = NULL;
    rig->store.hold = false;
    rig_start(rig);
    assert_int_equal(sp_model_count_groups(sp_engine_model(rig->engine), "SV2"), 1);
}

/* "PEER WHY;" for each. */
static void
write_refusal(void *aux, const struct sp_refusal *refusal)
{
    char *text = aux;
    snprintf(text + strlen(text), 4096 - strlen(text), "%s %s;", refusal->peer, refusal->why);
    assert_true(refusal->at_us > 0);
}

static void
assert_refusals(struct sp_engine *engine, const char *expected)
{
    char text[4096] = "";
    sp_engine_each_refusal(engine, write_refusal, text);
    assert_string_equal(text, expected);
}

static void
test_refusals(void **state)
{
    struct rig *rig = *state;
    struct sp_engine *engine = rig->engine;
    assert_refusals(engine, "");
    sp_engine_remember_refusal(engine, "tcp:192.0.2.1:40000", "old");
    sp_engine_remember_refusal(engine, "tcp:192.0.2.1:40001", "old"); /* It tries again. */
    sp_engine_remember_refusal(engine, "tcp:[2001:db8::1]:40001", "old");
    sp_engine_remember_refusal(engine, "tcp:192.0.2.1:40002", "silent");
    sp_engine_remember_refusal(engine, "unix:/run/br0.mgmt", "old");
    assert_refusals(engine, "tcp:192.0.2.1:40001 old;tcp:[2001:db8::1]:40001 old;tcp:192.0.2.1:40002 silent;"
                            "unix:/run/br0.mgmt old;");
    /* The oldest goes for one more than there is room for; after a minute each does. */
    for (size_t i = 0; i < SP_ENGINE_REFUSALS_MAX; i++) {
        engine->refusals[i].at_ms -= *engine->refusals[i].peer ? 10 * (int64_t) (i + 1) : 0;
    }
    for (unsigned i = 4; i < SP_ENGINE_REFUSALS_MAX + 1; i++) {
        char peer[40];
        snprintf(peer, sizeof peer, "tcp:198.51.100.%u:1", i);
        sp_engine_remember_refusal(engine, peer, "old");
    }
    assert_string_equal(engine->refusals[3].peer, "tcp:198.51.100.16:1");
    for (size_t i = 0; i < SP_ENGINE_REFUSALS_MAX; i++) {
        engine->refusals[i].at_ms -= i != 7 ? 60000 : 50000;
    }
    assert_refusals(engine, "tcp:198.51.100.7:1 old;");
    char long_text[1000];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    sp_engine_remember_refusal(engine, long_text, long_text);
    sp_engine_remember_refusal(engine, long_text, long_text);
    char text[4096] = "";
    sp_engine_each_refusal(engine, write_refusal, text);
    assert_int_equal(strlen(text), strlen("tcp:198.51.100.7:1 old;") + 127 + 1 + 199 + 1);
}

/* What a database says is wrong with a bridge counts while the bridge is ours and the switch has refused nothing. */
static void
test_flaws(void **state)
{
    static const char text[] = "its fail_mode is wrong", other[] = "it is worse";
    struct rig *rig = *state;
    char error[300];
    sp_engine_note_flaw(rig->engine, RIG_DPID, NULL);
    sp_engine_note_flaw(rig->engine, RIG_DPID, text); /* Before it connects. */
    rig_peer(rig, RIG_DPID, 2);
    RIG_UNTIL(rig, sp_engine_datapath(rig->engine, RIG_DPID) && sp_engine_datapath(rig->engine, RIG_DPID)->ports_known);
    assert_null(rig_status(rig, RIG_DPID, error).last_error); /* Not ours. */
    rig_make_server(rig, 1, NULL);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    assert_string_equal(rig_status(rig, RIG_DPID, error).last_error, text);
    assert_false(rig_status(rig, RIG_DPID, error).pending);
    sp_engine_note_flaw(rig->engine, RIG_DPID, other);
    sp_engine_note_flaw(rig->engine, RIG_DPID + 1, text);
    assert_string_equal(rig_status(rig, RIG_DPID, error).last_error, other);
    sp_engine_note_flaw(rig->engine, RIG_DPID, NULL);
    assert_null(rig_status(rig, RIG_DPID, error).last_error);
}

int
main(void)
{
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_connect),
        TEST(test_not_adopted),
        TEST(test_released_while_away),
        TEST(test_edit),
        TEST(test_slow_switch),
        TEST(test_lost_while_committing),
        TEST(test_refused_leaves_nothing), TEST(test_group_commit),
        TEST(test_queue_bound),
        TEST(test_store_fails),
        TEST(test_second_connection),
        TEST(test_wrong_version),
        TEST(test_iface),
        TEST(test_expect),
        TEST(test_refusals),
        TEST(test_flaws),
        TEST(test_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
