/* What is sent ahead of a commit: looked at by the switch, in force only when it is durable, and only if it is all that is wanted
 * then (E1 of engine.h, W5 of switch.h).  The store holds each commit until it is told to go on. */

#include "tests/support/rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/engine_state.h"
#include "controller/switch_units.h"
#include "sallyport/pipeline.h"
#include "tests/support/world.h"

/* A bridge with a server in group "web", and a change of its rules that the store holds. */
struct scene {
    struct rig *rig;
    struct rig_peer *peer;
    struct sp_uuid web;
    struct rig_request request;
    size_t mods;      /* Carried out before, ... */
    size_t commits;   /* ... by so many bundles, ... */
    size_t entries;   /* ... and what the switch had then. */
    uint64_t revision;
};

static void
note(struct scene *scene)
{
    scene->mods = scene->peer->fs.n_flow_mods;
    scene->commits = scene->peer->fs.n_commits;
    scene->entries = scene->peer->fs.n_entries;
    scene->revision = sp_model_counters(sp_engine_model(scene->rig->engine))->revision;
}

static void
begin(struct scene *scene, struct rig *rig)
{
    *scene = (struct scene) { .rig = rig, .web = rig_make_group(rig, "web", 80, 5) };
    rig_make_server(rig, 1, &scene->web);
    scene->peer = rig_peer(rig, RIG_DPID, 3);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    note(scene);
    rig->store.hold = true;
}

static void
post(struct scene *scene, struct rig_request *request)
{
    unsigned commits = scene->rig->store.n_commits;
    request->wait_ms = 5000;
    assert_int_equal(rig_post(scene->rig, request), 0);
    RIG_UNTIL(scene->rig, scene->rig->store.n_commits == commits + 1);
}

static bool
is_held(const struct scene *scene)
{
    return scene->peer->fs.bundle_open && scene->peer->fs.n_bundle
           && sp_engine_datapath(scene->rig->engine, RIG_DPID)->sw->phase == SP_SWITCH_AHEAD;
}

/* Posts the change of each scene and waits until the switch holds what follows from it. */
static void
post_and_hold(struct scene *scene)
{
    scene->request = rig_rules_request(&scene->web, 443);
    post(scene, &scene->request);
    RIG_UNTIL(scene->rig, is_held(scene));
}

static void
assert_nothing_in_force(struct scene *scene)
{
    rig_turns(scene->rig, 50);
    assert_int_equal(scene->peer->fs.n_flow_mods, scene->mods);
    assert_int_equal(scene->peer->fs.n_commits, scene->commits);
    assert_int_equal(scene->peer->fs.n_entries, scene->entries);
}

static void
finish(struct scene *scene, struct rig_request *request)
{
    rig_store_go(scene->rig);
    RIG_UNTIL(scene->rig, request->done);
    rig_request_clear(request);
}

static void
end(struct scene *scene)
{
    char error[300];
    scene->rig->store.hold = false;
    struct sp_bridge_status status = rig_status(scene->rig, RIG_DPID, error);
    assert_string_equal(error, "");
    assert_false(status.pending);
    assert_int_equal(status.flows_installed, scene->peer->fs.n_entries);
    assert_int_equal(status.flows_desired, scene->peer->fs.n_entries);
    assert_int_equal(status.revision, sp_model_counters(sp_engine_model(scene->rig->engine))->revision);
    rig_check(scene->rig);
    rig_check_now(scene->rig);
    RIG_UNTIL(scene->rig, rig_in_force(scene->rig, RIG_DPID));
    assert_int_equal(rig_counters_of(scene->rig).drift_repaired, 0);
}

static void
test_ahead(void **state)
{
    struct scene s;
    begin(&s, *state);
    post_and_hold(&s);
    assert_nothing_in_force(&s);
    assert_int_equal(sp_model_group(sp_engine_model(s.rig->engine), &s.web)->rules[0]->meaning.port_min, 80);
    assert_false(rig_status(s.rig, RIG_DPID, NULL).pending);
    assert_int_equal(rig_status(s.rig, RIG_DPID, NULL).revision, s.revision);
    assert_false(s.request.done);

    finish(&s, &s.request);
    assert_true(!s.request.outcome.error && s.request.outcome.applied);
    assert_int_equal(s.request.outcome.revision, s.revision + 1);
    assert_int_equal(s.peer->fs.n_commits, s.commits + 1);
    assert_int_equal(s.peer->fs.n_discards, 0);
    assert_int_equal(rig_counters_of(s.rig).bundles_ahead, 1);
    assert_int_equal(rig_counters_of(s.rig).bundles_withdrawn, 0);
    assert_int_equal(rig_counters_of(s.rig).flow_mods_sent, s.peer->fs.n_flow_mods);
    end(&s);
}

/* Applied is what the switch has confirmed, also of what it has looked at before (E2). */
static void
test_unconfirmed(void **state)
{
    struct scene s;
    begin(&s, *state);
    post_and_hold(&s);
    s.request.wait_ms = 50;
    s.peer->fs.forget_replies = true;
    rig_store_go(s.rig);
    RIG_UNTIL(s.rig, s.peer->fs.n_commits == s.commits + 1);
    rig_turns(s.rig, 50);
    assert_false(s.request.done);
    assert_true(rig_status(s.rig, RIG_DPID, NULL).pending);
    rig_peer_disconnect(s.peer);
    RIG_UNTIL(s.rig, s.request.done);
    assert_true(!s.request.outcome.error && !s.request.outcome.applied);
    rig_request_clear(&s.request);
    s.peer->fs.forget_replies = false;
    rig_peer_connect(s.peer);
    RIG_UNTIL(s.rig, rig_in_force(s.rig, RIG_DPID));
    end(&s);
}

/* E3 */
static void
test_store_fails(void **state)
{
    struct scene s;
    begin(&s, *state);
    post_and_hold(&s);
    s.rig->store.fail = -ENOSPC;
    finish(&s, &s.request);
    assert_int_equal(s.request.outcome.error, -ENOSPC);
    const struct sp_switch *sw = sp_engine_datapath(s.rig->engine, RIG_DPID)->sw;
    assert_true(sw->phase == SP_SWITCH_IDLE || sw->batch.is_withdrawn); /* And is not let go only after a while. */
    RIG_UNTIL(s.rig, rig_counters_of(s.rig).bundles_withdrawn == 1);
    assert_int_equal(s.peer->fs.n_discards, 1);
    assert_nothing_in_force(&s);
    assert_int_equal(rig_counters_of(s.rig).bundles_ahead, 0);

    s.rig->store.fail = 0;
    post(&s, &s.request);
    RIG_UNTIL(s.rig, is_held(&s));
    finish(&s, &s.request);
    assert_true(s.request.outcome.applied);
    assert_int_equal(rig_counters_of(s.rig).bundles_ahead, 1);
    end(&s);
}

/* The store fails before the switch has answered anything. */
static void
test_store_fails_at_once(void **state)
{
    struct scene s;
    begin(&s, *state);
    s.request = rig_rules_request(&s.web, 443);
    s.rig->store.fail = -ENOSPC;
    post(&s, &s.request);
    finish(&s, &s.request);
    assert_int_equal(s.request.outcome.error, -ENOSPC);
    RIG_UNTIL(s.rig, sp_engine_datapath(s.rig->engine, RIG_DPID)->sw->phase == SP_SWITCH_IDLE);
    assert_nothing_in_force(&s);
    assert_false(s.peer->fs.bundle_open);
    s.rig->store.fail = 0;
    end(&s);
}

static void
test_connection_lost(void **state)
{
    for (int fails = 0; fails < 2; fails++) {
        struct scene s;
        if (fails) {
            rig_teardown(state);
            rig_setup(state);
        }
        begin(&s, *state);
        post_and_hold(&s);
        rig_peer_disconnect(s.peer);
        RIG_UNTIL(s.rig, !rig_status(s.rig, RIG_DPID, NULL).connected);
        s.rig->store.fail = fails ? -ENOSPC : 0;
        finish(&s, &s.request);
        assert_int_equal(s.request.outcome.error, fails ? -ENOSPC : 0);
        assert_nothing_in_force(&s);
        s.rig->store.fail = 0;
        rig_peer_connect(s.peer);
        RIG_UNTIL(s.rig, rig_in_force(s.rig, RIG_DPID));
        assert_int_equal(s.peer->fs.n_flow_mods > s.mods, !fails);
        assert_int_equal(rig_counters_of(s.rig).bundles_ahead, 0);
        end(&s);
    }
}

/* The connection is lost, and back, before the change is durable: the new one is told of it, too, or gets it afterwards. */
static void
test_reconnected_meanwhile(void **state)
{
    struct scene s;
    begin(&s, *state);
    post_and_hold(&s);
    rig_peer_disconnect(s.peer);
    RIG_UNTIL(s.rig, !rig_status(s.rig, RIG_DPID, NULL).connected);
    rig_peer_connect(s.peer);
    RIG_UNTIL(s.rig, rig_in_force(s.rig, RIG_DPID));
    assert_nothing_in_force(&s);
    finish(&s, &s.request);
    assert_true(!s.request.outcome.error && s.request.outcome.applied);
    assert_int_equal(s.peer->fs.n_commits, s.commits + 1);
    end(&s);
}

/* A second change is staged while the first one is on its way to the disk, and goes ahead when the first is in force. */
static void
test_second_change(void **state)
{
    struct scene s;
    begin(&s, *state);
    post_and_hold(&s);
    struct rig_request second = rig_rules_request(&s.web, 444);
    second.wait_ms = 5000;
    assert_int_equal(rig_post(s.rig, &second), 0);
    assert_nothing_in_force(&s);
    rig_store_go(s.rig);
    RIG_UNTIL(s.rig, s.request.done && is_held(&s)); /* That of the second. */
    assert_true(s.request.outcome.applied && !second.done);
    assert_int_equal(s.peer->fs.n_commits, s.commits + 1);
    note(&s);
    assert_nothing_in_force(&s);
    finish(&s, &second);
    assert_true(second.outcome.applied);
    assert_int_equal(second.outcome.revision, s.request.outcome.revision + 1);
    assert_int_equal(s.peer->fs.n_commits, s.commits + 1);
    assert_int_equal(rig_counters_of(s.rig).bundles_ahead, 2);
    rig_request_clear(&s.request);
    end(&s);
}

/* A change that comes after one which failed is not what was sent ahead of that. */
static void
test_second_change_after_failure(void **state)
{
    struct scene s;
    begin(&s, *state);
    post_and_hold(&s);
    struct rig_request second = rig_rules_request(&s.web, 444);
    second.wait_ms = 5000;
    assert_int_equal(rig_post(s.rig, &second), 0);
    s.rig->store.fail = -ENOSPC;
    finish(&s, &s.request);
    assert_int_equal(s.request.outcome.error, -ENOSPC);
    s.rig->store.fail = 0;
    RIG_UNTIL(s.rig, s.rig->store.done);
    finish(&s, &second);
    assert_true(!second.outcome.error && second.outcome.applied);
    assert_int_equal(sp_model_group(sp_engine_model(s.rig->engine), &s.web)->rules[0]->meaning.port_min, 444);
    end(&s);
}

/* Something else is to be sent meanwhile: it does not wait for the disk. */
static void
test_other_things_first(void **state)
{
    struct scene s;
    begin(&s, *state);
    s.rig->store.hold = false;
    struct sp_uuid server = rig_make_server(s.rig, 5, NULL);
    s.rig->store.hold = true;
    note(&s);
    post_and_hold(&s);
    fake_switch_port_status(&s.peer->fs, 5, "p5", false);
    rig_peer_flush(s.peer);
    RIG_UNTIL(s.rig, sp_engine_port_state(s.rig->engine, rig_port_of(s.rig, &server)) == SP_PORT_ACTIVE);
    assert_int_equal(s.peer->fs.n_discards, 1);
    assert_int_equal(rig_counters_of(s.rig).bundles_withdrawn, 1);
    assert_int_equal(sp_model_counters(sp_engine_model(s.rig->engine))->revision, s.revision);
    note(&s);
    assert_nothing_in_force(&s);
    finish(&s, &s.request);
    assert_true(s.request.outcome.applied);
    assert_int_equal(rig_counters_of(s.rig).bundles_ahead, 0);
    end(&s);
}

/* A refusal ahead is nobody's fault yet; once the change is durable it is told as any other, and what was there stays. */
static void
test_refused(void **state)
{
    struct scene s;
    begin(&s, *state);
    char error[300];
    s.peer->fs.refuse_cookie = SP_COOKIE(SP_COOKIE_RULE, sp_model_counters(sp_engine_model(s.rig->engine))->next_slot);
    s.peer->fs.refuse_mask = UINT64_MAX;
    s.request = rig_rules_request(&s.web, 443);
    post(&s, &s.request);
    RIG_UNTIL(s.rig, rig_counters_of(s.rig).bundles_withdrawn == 1);
    assert_nothing_in_force(&s);
    rig_status(s.rig, RIG_DPID, error);
    assert_string_equal(error, "");
    assert_int_equal(rig_counters_of(s.rig).flow_mods_refused, 0);
    assert_int_equal(s.peer->fs.n_discards, 1); /* It is not tried again and again. */

    finish(&s, &s.request);
    assert_true(!s.request.outcome.error && !s.request.outcome.applied);
    rig_status(s.rig, RIG_DPID, error);
    assert_non_null(strstr(error, "OFPFMFC_EPERM"));
    assert_true(rig_counters_of(s.rig).flow_mods_refused > 0);
    assert_nothing_in_force(&s);

    s.peer->fs.refuse_mask = 0;
    RIG_UNTIL(s.rig, (rig_retry_now(s.rig), rig_in_force(s.rig, RIG_DPID)));
    end(&s);
}

/* The change is durable before the switch has answered, and then it refuses. */
static void
test_refused_late(void **state)
{
    struct scene s;
    begin(&s, *state);
    s.rig->store.hold = false;
    char error[300];
    s.peer->fs.table_limit = s.peer->fs.n_entries; /* Found at the commit. */
    s.request = rig_rules_request(&s.web, 443);
    for (size_t i = 0; i < 8; i++) {
        s.request.rules[i] = world_rule(SP_INBOUND, SP_PROTOCOL_TCP, 400 + 10 * (int) i, 403 + 10 * (int) i);
    }
    s.request.n_rules = 8;
    s.request.wait_ms = 5000;
    assert_int_equal(rig_do(s.rig, &s.request), 0);
    rig_request_clear(&s.request);
    assert_false(s.request.outcome.applied);
    rig_status(s.rig, RIG_DPID, error);
    assert_non_null(strstr(error, "OFPFMFC_TABLE_FULL"));
    s.commits = s.peer->fs.n_commits; /* That were asked for. */
    assert_nothing_in_force(&s);
    s.peer->fs.table_limit = 100000;
    RIG_UNTIL(s.rig, (rig_retry_now(s.rig), rig_in_force(s.rig, RIG_DPID)));
    end(&s);
}

/* A rule that names another group changes more than the unit of the set, and does not go ahead; nor does what is no rule. */
static void
test_not_ahead(void **state)
{
    struct scene s;
    begin(&s, *state);
    s.rig->store.hold = false;
    struct sp_uuid other = rig_make_group(s.rig, "other", 90, 1);
    rig_make_server(s.rig, 2, &other);
    s.rig->store.hold = true;
    note(&s);
    s.request = (struct rig_request) { .operation = rig_replace_rules, .group = s.web, .n_rules = 1,
                                       .rules = { world_rule_group(SP_INBOUND, SP_PROTOCOL_TCP, 80, &other) } };
    post(&s, &s.request);
    assert_nothing_in_force(&s);
    assert_int_equal(sp_engine_datapath(s.rig->engine, RIG_DPID)->sw->phase, SP_SWITCH_IDLE);
    finish(&s, &s.request);
    assert_true(s.request.outcome.applied);

    /* Named already, it may. */
    note(&s);
    s.request.rules[0] = world_rule_group(SP_INBOUND, SP_PROTOCOL_TCP, 81, &other);
    post(&s, &s.request);
    RIG_UNTIL(s.rig, is_held(&s));
    assert_nothing_in_force(&s);
    finish(&s, &s.request);
    assert_true(s.request.outcome.applied);
    assert_int_equal(rig_counters_of(s.rig).bundles_ahead, 1);
    end(&s);
}

/* A group of two rule sets, and of two bridges. */
static void
test_two_sets_two_bridges(void **state)
{
    struct scene s;
    begin(&s, *state);
    s.rig->store.hold = false;
    struct sp_uuid other = rig_make_group(s.rig, "other", 90, 1);
    struct sp_cidr ips[2];
    struct rig_request server = { .operation = rig_create_server, .region = "SV2", .n_groups = 2, .groups = { s.web, other },
                                  .n_ports = 2,
                                  .ports = { world_port(RIG_DPID, "p2", 2, "10.0.0.2", &ips[0]),
                                             world_port(RIG_DPID + 1, "p1", 3, "10.0.0.3", &ips[1]) } };
    rig_apply(s.rig, &server);
    struct rig_peer *second = rig_peer(s.rig, RIG_DPID + 1, 1);
    RIG_UNTIL(s.rig, rig_in_force(s.rig, RIG_DPID + 1));
    s.rig->store.hold = true;
    note(&s);
    size_t commits = second->fs.n_commits, entries = second->fs.n_entries;
    s.request = rig_rules_request(&s.web, 443);
    post(&s, &s.request);
    RIG_UNTIL(s.rig, is_held(&s) && second->fs.bundle_open && second->fs.n_bundle);
    assert_nothing_in_force(&s);
    assert_int_equal(second->fs.n_entries, entries);
    finish(&s, &s.request);
    assert_true(s.request.outcome.applied);
    assert_int_equal(s.peer->fs.n_commits, s.commits + 1);
    assert_int_equal(second->fs.n_commits, commits + 1);
    assert_int_equal(rig_counters_of(s.rig).bundles_ahead, 2);
    end(&s);
}

/* The daemon ends while a bundle is held: the change is durable, and the next run brings it. */
static void
test_stop(void **state)
{
    struct scene s;
    begin(&s, *state);
    post_and_hold(&s);
    rig_store_go(s.rig);
    rig_stop(s.rig);
    s.rig->store.hold = false;
    assert_int_equal(s.peer->fs.n_commits, s.commits);
    assert_int_equal(s.peer->fs.n_entries, s.entries);
    rig_request_clear(&s.request);
    rig_start(s.rig);
    rig_peer_connect(s.peer);
    RIG_UNTIL(s.rig, rig_in_force(s.rig, RIG_DPID));
    end(&s);
}

int
main(void)
{
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_ahead),
        TEST(test_unconfirmed),
        TEST(test_store_fails),
        TEST(test_store_fails_at_once),
        TEST(test_connection_lost),
        TEST(test_reconnected_meanwhile),
        TEST(test_second_change),
        TEST(test_second_change_after_failure),
        TEST(test_other_things_first),
        TEST(test_refused),
        TEST(test_refused_late),
        TEST(test_not_ahead),
        TEST(test_two_sets_two_bridges),
        TEST(test_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
