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

#define DPID 0x1111u
#define OURS SP_COOKIE_OWNER, SP_COOKIE_OWNER_MASK

static int
setup(void **state)
{
    struct rig *rig = malloc(sizeof *rig);
    assert_non_null(rig);
    rig_open(rig);
    rig_apply(rig, &(struct rig_request) { .operation = rig_region, .region = "SV2" });
    *state = rig;
    return 0;
}

static int
teardown(void **state)
{
    rig_close(*state);
    free(*state);
    return 0;
}

/* A group of 'n' inbound tcp ports from 'first' on. */
static struct sp_uuid
make_group(struct rig *rig, const char *name, int first, size_t n)
{
    struct rig_request request = { .operation = rig_create_group, .region = "SV2", .name = name, .n_rules = n };
    for (size_t i = 0; i < n; i++) {
        request.rules[i] = world_rule(SP_INBOUND, SP_PROTOCOL_TCP, first + (int) i, first + (int) i);
    }
    rig_apply(rig, &request);
    return request.id;
}

/* Server 'last' with port p'last' and address 10.0.0.'last'; group none: the default group. */
static struct sp_uuid
make_server(struct rig *rig, uint8_t last, const struct sp_uuid *group)
{
    char ip[32], name[16];
    struct sp_cidr storage;
    snprintf(ip, sizeof ip, "10.0.0.%u", last);
    snprintf(name, sizeof name, "p%u", last);
    struct rig_request request = { .operation = rig_create_server, .region = "SV2", .n_ports = 1,
                                   .ports = { world_port(DPID, name, last, ip, &storage) } };
    if (group) {
        request.groups[request.n_groups++] = *group;
    }
    rig_apply(rig, &request);
    return request.id;
}

static const struct sp_port *
port_of(struct rig *rig, const struct sp_uuid *server)
{
    return sp_model_server(sp_engine_model(rig->engine), server)->ports[0];
}

static struct rig_request
rules_request(const struct sp_uuid *group, int port)
{
    return (struct rig_request) { .operation = rig_replace_rules, .group = *group, .n_rules = 1,
                                  .rules = { world_rule(SP_INBOUND, SP_PROTOCOL_TCP, port, port) } };
}

static struct sp_engine_counters
counters_of(struct rig *rig)
{
    struct sp_engine_counters counters;
    sp_engine_counters(rig->engine, &counters);
    return counters;
}

/* As if it were time for the next dump, or to try again what was refused. */
static void
check_now(struct rig *rig)
{
    struct sp_switch *sw = sp_engine_datapath(rig->engine, DPID)->sw;
    sw->check_at_ms = 0;
    sp_switch_tick(sw, sp_engine_now(rig->engine));
}

static void
retry_now(struct rig *rig)
{
    struct sp_switch *sw = sp_engine_datapath(rig->engine, DPID)->sw;
    sw->retry_at_ms = 0;
    sp_switch_tick(sw, sp_engine_now(rig->engine));
}

static void
test_connect(void **state)
{
    struct rig *rig = *state;
    struct sp_uuid server = make_server(rig, 1, NULL);
    assert_int_equal(sp_engine_port_state(rig->engine, port_of(rig, &server)), SP_PORT_UNBOUND);
    struct rig_peer *peer = rig_peer(rig, DPID, 2);
    RIG_UNTIL(rig, rig_in_force(rig, DPID));
    assert_int_equal(sp_engine_port_state(rig->engine, port_of(rig, &server)), SP_PORT_ACTIVE);

    char error[300];
    struct sp_bridge_status status = rig_status(rig, DPID, error);
    assert_true(status.adopted && status.connected && !status.pending);
    assert_int_equal(status.n_ports, 2);
    assert_int_equal(status.flows_desired, status.flows_installed);
    assert_int_equal(status.flows_installed, peer->fs.n_entries);
    assert_int_equal(fake_switch_count(&peer->fs, OURS), peer->fs.n_entries);
    assert_int_equal(status.revision, sp_model_counters(sp_engine_model(rig->engine))->revision);
    assert_string_equal(error, "");
    assert_int_equal(counters_of(rig).flow_mods_sent, peer->fs.n_flow_mods);
    rig_check(rig);

    /* A port that the model does not know of stays closed; one that it does is a server's when it comes. */
    struct sp_uuid second = make_server(rig, 3, NULL);
    assert_int_equal(sp_engine_port_state(rig->engine, port_of(rig, &second)), SP_PORT_UNBOUND);
    size_t before = peer->fs.n_entries;
    fake_switch_port_status(&peer->fs, 3, "p3", false);
    rig_peer_flush(peer);
    RIG_UNTIL(rig, sp_engine_port_state(rig->engine, port_of(rig, &second)) == SP_PORT_ACTIVE);
    assert_true(peer->fs.n_entries > before);
    rig_check(rig);
    fake_switch_port_status(&peer->fs, 3, "p3", true);
    rig_peer_flush(peer);
    RIG_UNTIL(rig, sp_engine_port_state(rig->engine, port_of(rig, &second)) == SP_PORT_UNBOUND && rig_in_force(rig, DPID));
    assert_int_equal(peer->fs.n_entries, before);
    rig_check(rig);
}

/* Contract 3.9: with nothing changed a reconnect and a restart send nothing. */
static void
test_nothing_changed(void **state)
{
    struct rig *rig = *state;
    struct sp_uuid web = make_group(rig, "web", 80, 5);
    make_server(rig, 1, NULL);
    make_server(rig, 2, &web);
    struct rig_peer *peer = rig_peer(rig, DPID, 2);
    RIG_UNTIL(rig, rig_in_force(rig, DPID));
    uint64_t sent = counters_of(rig).flow_mods_sent;
    assert_int_equal(sent, peer->fs.n_flow_mods);
    assert_true(sent > 0);

    rig_peer_disconnect(peer);
    RIG_UNTIL(rig, !rig_status(rig, DPID, NULL).connected);
    rig_peer_connect(peer);
    RIG_UNTIL(rig, rig_in_force(rig, DPID));
    assert_int_equal(counters_of(rig).flow_mods_sent, sent);

    rig_restart(rig);
    rig_peer_connect(peer);
    RIG_UNTIL(rig, rig_in_force(rig, DPID));
    assert_int_equal(counters_of(rig).flow_mods_sent, 0);
    assert_int_equal(peer->fs.n_flow_mods, sent);
    assert_int_equal(counters_of(rig).drift_repaired, 0);
    assert_int_equal(rig_status(rig, DPID, NULL).flows_installed, peer->fs.n_entries);
}

/* What changed while it was away comes, and nothing else. */
static void
test_changed_while_away(void **state)
{
    struct rig *rig = *state;
    struct sp_uuid web = make_group(rig, "web", 80, 3);
    make_server(rig, 1, &web);
    struct rig_peer *peer = rig_peer(rig, DPID, 2);
    RIG_UNTIL(rig, rig_in_force(rig, DPID));
    rig_peer_disconnect(peer);
    RIG_UNTIL(rig, !rig_status(rig, DPID, NULL).connected);
    struct rig_request request = rules_request(&web, 443);
    rig_apply(rig, &request); /* Applied: nobody who is connected is touched. */
    size_t mods = peer->fs.n_flow_mods, all = peer->fs.n_entries;
    rig_peer_connect(peer);
    RIG_UNTIL(rig, rig_in_force(rig, DPID));
    assert_true(peer->fs.n_flow_mods > mods);
    assert_true(peer->fs.n_flow_mods - mods < all / 2);
    rig_check(rig);
}

/* E4, and flows of others. */
static void
test_not_adopted(void **state)
{
    struct rig *rig = *state;
    struct rig_peer *peer = rig_peer(rig, DPID, 2);
    fake_switch_add_flow(&peer->fs, "table=0,priority=5,actions=NORMAL");
    fake_switch_add_flow(&peer->fs, "table=3,cookie=0x5350000000000001,priority=5,dl_type=0x1234,actions=drop");
    RIG_UNTIL(rig, counters_of(rig).connects == 1);
    rig_turns(rig, 20);
    assert_int_equal(peer->fs.n_flow_mods, 2); /* The two above. */
    struct sp_bridge_status status = rig_status(rig, DPID, NULL);
    assert_true(!status.adopted && status.connected && !status.pending);
    assert_int_equal(status.n_ports, 2);
    assert_int_equal(peer->fs.n_dumps, 0);

    /* Adopted while it is connected: what is under our cookie and of no use goes, the other's stays. */
    rig_apply(rig, &(struct rig_request) { .operation = rig_put_bridge, .dpid = DPID, .uplinks = { "p2" }, .n_uplinks = 1 });
    assert_int_equal(fake_switch_count(&peer->fs, 0x5350000000000001, UINT64_MAX), 0);
    assert_int_equal(fake_switch_count(&peer->fs, 0, UINT64_MAX), 1);
    assert_true(fake_switch_count(&peer->fs, SP_COOKIE(SP_COOKIE_UPLINK, 2), UINT64_MAX) > 0);
    rig_check(rig);

    /* Released: ours go. */
    rig_apply(rig, &(struct rig_request) { .operation = rig_delete_bridge, .dpid = DPID });
    RIG_UNTIL(rig, fake_switch_count(&peer->fs, OURS) == 0);
    assert_int_equal(fake_switch_count(&peer->fs, 0, UINT64_MAX), 1);
    RIG_UNTIL(rig, !sp_engine_datapath(rig->engine, DPID)->releasing);
    assert_false(rig_status(rig, DPID, NULL).adopted);

    /* And adopted again. */
    rig_apply(rig, &(struct rig_request) { .operation = rig_put_bridge, .dpid = DPID });
    assert_true(fake_switch_count(&peer->fs, OURS) > 0);
    rig_check(rig);
}

static void
test_released_while_away(void **state)
{
    struct rig *rig = *state;
    rig_apply(rig, &(struct rig_request) { .operation = rig_put_bridge, .dpid = DPID });
    struct rig_peer *peer = rig_peer(rig, DPID, 1);
    RIG_UNTIL(rig, rig_in_force(rig, DPID));
    rig_peer_disconnect(peer);
    RIG_UNTIL(rig, !rig_status(rig, DPID, NULL).connected);
    rig_apply(rig, &(struct rig_request) { .operation = rig_delete_bridge, .dpid = DPID });
    rig_peer_connect(peer);
    RIG_UNTIL(rig, fake_switch_count(&peer->fs, OURS) == 0 && !sp_engine_datapath(rig->engine, DPID)->releasing);
}

/* A rule's edit sends only what differs, and is applied when it is in force (E2). */
static void
test_edit(void **state)
{
    struct rig *rig = *state;
    struct sp_uuid web = make_group(rig, "web", 80, 5);
    make_server(rig, 1, &web);
    make_server(rig, 2, NULL);
    struct rig_peer *peer = rig_peer(rig, DPID, 2);
    RIG_UNTIL(rig, rig_in_force(rig, DPID));
    size_t mods = peer->fs.n_flow_mods;
    uint64_t revision = sp_model_counters(sp_engine_model(rig->engine))->revision;

    struct rig_request request = rules_request(&web, 443);
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
    struct sp_uuid web = make_group(rig, "web", 80, 1);
    struct sp_uuid other = make_group(rig, "other", 90, 1);
    struct sp_uuid server = make_server(rig, 1, &web);
    struct rig_peer *peer = rig_peer(rig, DPID, 1);
    RIG_UNTIL(rig, rig_in_force(rig, DPID));
    peer->fs.forget_replies = true;

    struct rig_request request = rules_request(&web, 81);
    request.wait_ms = 50;
    assert_int_equal(rig_do(rig, &request), 0);
    assert_false(request.outcome.applied);
    assert_int_equal(request.outcome.revision, sp_model_counters(sp_engine_model(rig->engine))->revision);
    assert_int_equal(sp_engine_port_state(rig->engine, port_of(rig, &server)), SP_PORT_PENDING);
    assert_true(rig_status(rig, DPID, NULL).pending);
    rig_request_clear(&request);

    /* Who does not touch it does not wait for it. */
    struct rig_request untouched = rules_request(&other, 91);
    rig_apply(rig, &untouched);

    /* It goes while somebody waits: told at once. */
    struct rig_request waiting = rules_request(&web, 82);
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
    RIG_UNTIL(rig, rig_in_force(rig, DPID));
    rig_check(rig);
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
    assert_int_equal(counters_of(rig).writes_queued, N + 1);
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
    assert_int_equal(counters_of(rig).writes_queued, 0);
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
    struct sp_uuid web = make_group(rig, "web", 80, 1);
    make_server(rig, 1, &web);
    struct rig_peer *peer = rig_peer(rig, DPID, 1);
    RIG_UNTIL(rig, rig_in_force(rig, DPID));
    size_t mods = peer->fs.n_flow_mods;
    uint64_t revision = sp_model_counters(sp_engine_model(rig->engine))->revision;

    rig->store.fail = -ENOSPC;
    struct rig_request request = rules_request(&web, 443);
    assert_int_equal(rig_do(rig, &request), -ENOSPC);
    assert_string_equal(request.why, "the disk is full");
    assert_false(request.outcome.applied);
    assert_int_equal(request.outcome.revision, revision);
    assert_int_equal(sp_model_counters(sp_engine_model(rig->engine))->revision, revision);
    assert_int_equal(sp_model_group(sp_engine_model(rig->engine), &web)->rules[0]->meaning.port_min, 80);
    assert_int_equal(counters_of(rig).commits_failed, 1);
    rig_turns(rig, 10);
    assert_int_equal(peer->fs.n_flow_mods, mods);
    rig_request_clear(&request);

    rig->store.fail = 0;
    rig_apply(rig, &request);
    assert_int_equal(request.outcome.revision, revision + 1);
    assert_true(peer->fs.n_flow_mods > mods);
    rig_check(rig);
}

/* One bad rule: its set keeps what it had, the others go on, and the error names the rule. */
static void
test_poison(void **state)
{
    struct rig *rig = *state;
    struct sp_uuid good = make_group(rig, "good", 80, 1);
    struct sp_uuid bad = make_group(rig, "bad", 90, 1);
    make_server(rig, 1, &good);
    struct sp_uuid server = make_server(rig, 2, &bad);
    struct rig_peer *peer = rig_peer(rig, DPID, 3);
    RIG_UNTIL(rig, rig_in_force(rig, DPID));
    size_t before = fake_switch_count(&peer->fs, OURS);

    /* The next slot's flows are refused. */
    uint32_t slot = sp_model_counters(sp_engine_model(rig->engine))->next_slot;
    peer->fs.refuse_cookie = SP_COOKIE(SP_COOKIE_RULE, slot);
    peer->fs.refuse_mask = UINT64_MAX;
    struct rig_request request = rules_request(&bad, 91);
    request.wait_ms = 60000;
    assert_int_equal(rig_do(rig, &request), 0);
    assert_false(request.outcome.applied); /* And not only after a minute. */
    rig_request_clear(&request);
    assert_int_equal(fake_switch_count(&peer->fs, OURS), before);
    assert_int_equal(sp_engine_port_state(rig->engine, port_of(rig, &server)), SP_PORT_PENDING);

    char error[300], id[SP_UUID_TEXT_SIZE];
    struct sp_bridge_status status = rig_status(rig, DPID, error);
    assert_non_null(strstr(error, "group \"bad\""));
    assert_non_null(strstr(error, sp_uuid_format(&sp_model_group(sp_engine_model(rig->engine), &bad)->rules[0]->id, id)));
    assert_non_null(strstr(error, "OFPFMFC_EPERM"));
    assert_true(status.pending);
    assert_int_equal(status.revision, request.outcome.revision - 1);
    assert_true(counters_of(rig).flow_mods_refused > 0);
    assert_true(counters_of(rig).bundles_discarded > 0);

    /* Others are applied. */
    struct rig_request other = rules_request(&good, 81);
    rig_apply(rig, &other);
    make_server(rig, 3, &good);

    /* The time to try again comes: in vain, then with success. */
    uint64_t discarded = counters_of(rig).bundles_discarded;
    retry_now(rig);
    RIG_UNTIL(rig, counters_of(rig).bundles_discarded > discarded);
    RIG_UNTIL(rig, rig_status(rig, DPID, error).pending && error[0]);
    peer->fs.refuse_mask = 0;
    RIG_UNTIL(rig, (retry_now(rig), rig_in_force(rig, DPID)));
    rig_status(rig, DPID, error);
    assert_string_equal(error, "");
    assert_int_equal(sp_engine_port_state(rig->engine, port_of(rig, &server)), SP_PORT_ACTIVE);
    assert_int_equal(rig_status(rig, DPID, error).flows_installed, peer->fs.n_entries);
    rig_check(rig);
}

/* A change of the refused rule is tried at once. */
static void
test_poison_heals_by_change(void **state)
{
    struct rig *rig = *state;
    struct sp_uuid bad = make_group(rig, "bad", 90, 1);
    make_server(rig, 1, &bad);
    struct rig_peer *peer = rig_peer(rig, DPID, 1);
    RIG_UNTIL(rig, rig_in_force(rig, DPID));
    peer->fs.refuse_cookie = SP_COOKIE(SP_COOKIE_RULE, sp_model_counters(sp_engine_model(rig->engine))->next_slot);
    peer->fs.refuse_mask = UINT64_MAX;
    struct rig_request request = rules_request(&bad, 91);
    assert_int_equal(rig_do(rig, &request), 0);
    assert_false(request.outcome.applied);
    rig_request_clear(&request);
    struct rig_request better = rules_request(&bad, 92);
    rig_apply(rig, &better);
    char error[300];
    rig_status(rig, DPID, error);
    assert_string_equal(error, "");
    rig_check(rig);
}

/* A full table stops whom there is no room for, and nobody else. */
static void
test_table_full(void **state)
{
    struct rig *rig = *state;
    for (uint8_t i = 1; i <= 10; i++) {
        make_server(rig, i, NULL);
    }
    struct rig_peer *peer = rig_peer(rig, DPID, 0);
    RIG_UNTIL(rig, rig_in_force(rig, DPID));
    size_t counts[3];
    for (uint16_t i = 0; i < 3; i++) {
        char name[8];
        size_t before = peer->fs.n_entries;
        snprintf(name, sizeof name, "p%u", i + 1);
        fake_switch_port_status(&peer->fs, i + 1, name, false);
        rig_peer_flush(peer);
        RIG_UNTIL(rig, peer->fs.n_entries > before && rig_in_force(rig, DPID));
        counts[i] = peer->fs.n_entries;
    }
    size_t base = counts[2], each = counts[2] - counts[1]; /* The third one brings nothing that is shared. */
    peer->fs.table_limit = base + 3 * each;
    for (uint16_t i = 4; i <= 10; i++) {
        char name[8];
        snprintf(name, sizeof name, "p%u", i);
        fake_switch_port_status(&peer->fs, i, name, false);
    }
    rig_peer_flush(peer);
    char error[300];
    RIG_UNTIL(rig, rig_status(rig, DPID, error).flows_installed >= base + 2 * each && error[0]);
    assert_non_null(strstr(error, "OFPFMFC_TABLE_FULL"));
    assert_int_equal(counters_of(rig).disconnects, 0);

    peer->fs.table_limit = 100000;
    RIG_UNTIL(rig, (retry_now(rig), rig_in_force(rig, DPID)));
    assert_int_equal(rig_status(rig, DPID, error).flows_installed, peer->fs.n_entries);
    assert_string_equal(error, "");
    rig_check(rig);
}

static void
test_drift(void **state)
{
    struct rig *rig = *state;
    make_server(rig, 1, NULL);
    struct rig_peer *peer = rig_peer(rig, DPID, 1);
    RIG_UNTIL(rig, rig_in_force(rig, DPID));
    size_t n = peer->fs.n_entries;
    fake_switch_add_flow(&peer->fs, "table=0,priority=7,cookie=0x1234,actions=drop");

    /* Deleted, changed, added. */
    size_t missing = fake_switch_forget(&peer->fs, SP_COOKIE(SP_COOKIE_PORT, 0), UINT64_MAX << 40);
    assert_true(missing > 0);
    fake_switch_add_flow(&peer->fs, "table=0,priority=60000,cookie=0x5350010000000099,dl_type=0x1234,actions=NORMAL");
    check_now(rig);
    RIG_UNTIL(rig, counters_of(rig).drift_repaired == missing + 1);
    RIG_UNTIL(rig, rig_in_force(rig, DPID) && peer->fs.n_entries == n + 1);
    assert_int_equal(fake_switch_count(&peer->fs, 0x1234, UINT64_MAX), 1);
    assert_int_equal(fake_switch_count(&peer->fs, 0x5350010000000099, UINT64_MAX), 0);

    /* All at once, and then nothing more is found. */
    assert_int_equal(fake_switch_forget(&peer->fs, OURS), n);
    check_now(rig);
    RIG_UNTIL(rig, peer->fs.n_entries == n + 1 && rig_in_force(rig, DPID));
    assert_int_equal(counters_of(rig).drift_repaired, missing + 1 + n);
    size_t dumps = peer->fs.n_dumps, mods = peer->fs.n_flow_mods;
    check_now(rig);
    RIG_UNTIL(rig, peer->fs.n_dumps == dumps + 1 && rig_in_force(rig, DPID));
    rig_turns(rig, 10);
    assert_int_equal(peer->fs.n_flow_mods, mods);
    rig_check(rig);
}

static void
test_second_connection(void **state)
{
    struct rig *rig = *state;
    make_server(rig, 1, NULL);
    struct rig_peer *first = rig_peer(rig, DPID, 1);
    RIG_UNTIL(rig, rig_in_force(rig, DPID));
    struct rig_peer *second = rig_peer(rig, DPID, 1);
    RIG_UNTIL(rig, second->closed_by_peer);
    assert_true(first->open);
    assert_int_equal(second->fs.n_flow_mods, 0);
    char error[300];
    assert_true(rig_status(rig, DPID, error).connected);
    assert_non_null(strstr(error, "second connection"));
    assert_int_equal(counters_of(rig).connects, 1);

    /* The first goes; the next one is welcome. */
    rig_peer_disconnect(first);
    RIG_UNTIL(rig, !rig_status(rig, DPID, error).connected);
    rig_peer_connect(second);
    RIG_UNTIL(rig, rig_in_force(rig, DPID));
    assert_true(second->fs.n_entries > 0);
}

static void
test_wrong_version(void **state)
{
    struct rig *rig = *state;
    struct rig_peer *peer = &rig->peers[rig->n_peers++];
    peer->rig = rig;
    fake_switch_init(&peer->fs, DPID, 1);
    peer->fs.versions = 1u << 1 | 1u << 4;
    rig_peer_connect(peer);
    RIG_UNTIL(rig, peer->closed_by_peer);
    assert_int_equal(counters_of(rig).connects, 0);
    /* The engine goes on. */
    make_server(rig, 1, NULL);
}

/* The zone of a port that goes is emptied; that of one that is only unplugged is not. */
static void
test_zones(void **state)
{
    struct rig *rig = *state;
    struct sp_uuid server = make_server(rig, 1, NULL);
    make_server(rig, 2, NULL);
    struct rig_peer *peer = rig_peer(rig, DPID, 2);
    RIG_UNTIL(rig, rig_in_force(rig, DPID));
    uint16_t zone = port_of(rig, &server)->zone;
    fake_switch_port_status(&peer->fs, 1, "p1", true);
    rig_peer_flush(peer);
    RIG_UNTIL(rig, sp_engine_port_state(rig->engine, port_of(rig, &server)) == SP_PORT_UNBOUND && rig_in_force(rig, DPID));
    fake_switch_port_status(&peer->fs, 1, "p1", false);
    rig_peer_flush(peer);
    RIG_UNTIL(rig, sp_engine_port_state(rig->engine, port_of(rig, &server)) == SP_PORT_ACTIVE);
    assert_int_equal(peer->fs.n_flushed, 0);
    rig_apply(rig, &(struct rig_request) { .operation = rig_delete_server, .server = server });
    assert_int_equal(peer->fs.n_flushed, 1);
    assert_int_equal(peer->fs.flushed[0], zone);
    rig_check(rig);
}

/* A port number that passes from one port to another in one change. */
static void
test_port_changes_hands(void **state)
{
    struct rig *rig = *state;
    struct sp_uuid server = make_server(rig, 1, NULL);
    struct rig_peer *peer = rig_peer(rig, DPID, 2);
    RIG_UNTIL(rig, rig_in_force(rig, DPID));
    struct sp_cidr ip;
    struct rig_request swap = { .operation = rig_set_ports, .server = server, .n_ports = 1,
                                .ports = { world_port(DPID, "p1", 9, "10.0.0.9", &ip) } };
    rig_apply(rig, &swap);
    assert_int_equal(rig_status(rig, DPID, NULL).flows_installed, peer->fs.n_entries);
    assert_int_equal(sp_engine_port_state(rig->engine, port_of(rig, &server)), SP_PORT_ACTIVE);
    rig_check(rig);
    uint64_t sent = counters_of(rig).flow_mods_sent;
    check_now(rig);
    RIG_UNTIL(rig, peer->fs.n_dumps == 2 && rig_in_force(rig, DPID));
    assert_int_equal(counters_of(rig).flow_mods_sent, sent);
    assert_int_equal(counters_of(rig).drift_repaired, 0);

    /* It becomes an uplink. */
    rig_apply(rig, &(struct rig_request) { .operation = rig_delete_server, .server = server });
    rig_apply(rig, &(struct rig_request) { .operation = rig_put_bridge, .dpid = DPID, .uplinks = { "p1" }, .n_uplinks = 1 });
    assert_true(fake_switch_count(&peer->fs, SP_COOKIE(SP_COOKIE_UPLINK, 1), UINT64_MAX) > 0);
    assert_int_equal(rig_status(rig, DPID, NULL).flows_installed, peer->fs.n_entries);
    rig_check(rig);
}

/* A port that is found by its interface, on an adopted bridge. */
static void
test_iface(void **state)
{
    struct rig *rig = *state;
    rig_apply(rig, &(struct rig_request) { .operation = rig_put_bridge, .dpid = DPID });
    struct sp_cidr ip;
    struct rig_request request = { .operation = rig_create_server, .region = "SV2", .n_ports = 1,
                                   .ports = { world_port(0, NULL, 1, "10.0.0.1", &ip) } };
    request.ports[0].has_bridge = false;
    request.ports[0].iface_id = "tap-1";
    rig_apply(rig, &request);
    struct rig_peer *peer = rig_peer(rig, DPID, 3);
    RIG_UNTIL(rig, rig_in_force(rig, DPID));
    const struct sp_port *port = port_of(rig, &request.id);
    assert_int_equal(sp_engine_port_state(rig->engine, port), SP_PORT_UNBOUND);

    sp_engine_bind_iface(rig->engine, "tap-1", DPID, "p3", true);
    sp_engine_bind_iface(rig->engine, "tap-1", DPID, "p3", true);
    RIG_UNTIL(rig, sp_engine_port_state(rig->engine, port) == SP_PORT_ACTIVE);
    rig_check(rig);

    /* Seen twice for a moment: the lower number has it. */
    sp_engine_bind_iface(rig->engine, "tap-1", DPID, "p2", true);
    RIG_UNTIL(rig, sp_engine_port_state(rig->engine, port) == SP_PORT_ACTIVE && rig_in_force(rig, DPID));
    assert_int_equal(sp_datapath_binding(sp_engine_datapath(rig->engine, DPID), &port->id)->ofport->number, 2);
    rig_check(rig);
    fake_switch_port_status(&peer->fs, 2, "p2", true);
    rig_peer_flush(peer);
    RIG_UNTIL(rig, rig_status(rig, DPID, NULL).n_ports == 2 && rig_in_force(rig, DPID));
    assert_int_equal(sp_datapath_binding(sp_engine_datapath(rig->engine, DPID), &port->id)->ofport->number, 3);
    rig_check(rig);

    sp_engine_bind_iface(rig->engine, "tap-1", DPID, "p3", false);
    assert_int_equal(sp_engine_port_state(rig->engine, port), SP_PORT_UNBOUND);
    sp_engine_bind_iface(rig->engine, "tap-1", DPID, "p3", false);
    sp_engine_bind_iface(rig->engine, "never-heard-of", DPID, "p1", false);
    RIG_UNTIL(rig, rig_in_force(rig, DPID));
    rig_check(rig);
}

static void
note_true(void *aux)
{
    *(bool *) aux = true;
}

/* Stopping while a commit is under way and others wait. */
static void
test_stop(void **state)
{
    struct rig *rig = *state;
    struct rig_peer *peer = rig_peer(rig, DPID, 1);
    RIG_UNTIL(rig, counters_of(rig).connects == 1);
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

int
main(void)
{
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_connect),
        TEST(test_nothing_changed),
        TEST(test_changed_while_away),
        TEST(test_not_adopted),
        TEST(test_released_while_away),
        TEST(test_edit),
        TEST(test_slow_switch),
        TEST(test_group_commit),
        TEST(test_queue_bound),
        TEST(test_store_fails),
        TEST(test_poison),
        TEST(test_poison_heals_by_change),
        TEST(test_table_full),
        TEST(test_drift),
        TEST(test_second_connection),
        TEST(test_wrong_version),
        TEST(test_zones),
        TEST(test_port_changes_hands),
        TEST(test_iface),
        TEST(test_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
