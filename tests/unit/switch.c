/* The switch, seen through the engine: what it sends to a fake switch and what it makes of the answers.  W1 to W3 are the
 * guarantees of switch.h. */

#include "tests/support/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/engine_state.h"
#include "controller/switch_units.h"
#include "sallyport/pipeline.h"
#include "tests/support/world.h"

#define OURS SP_COOKIE_OWNER, SP_COOKIE_OWNER_MASK

/* Contract 3.9: with nothing changed a reconnect and a restart send nothing. */
static void
test_nothing_changed(void **state)
{
    struct rig *rig = *state;
    struct sp_uuid web = rig_make_group(rig, "web", 80, 5);
    rig_make_server(rig, 1, NULL);
    rig_make_server(rig, 2, &web);
    struct rig_peer *peer = rig_peer(rig, RIG_DPID, 2);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    uint64_t sent = rig_counters_of(rig).flow_mods_sent;
    assert_int_equal(sent, peer->fs.n_flow_mods);
    assert_true(sent > 0);

    rig_peer_disconnect(peer);
    RIG_UNTIL(rig, !rig_status(rig, RIG_DPID, NULL).connected);
    rig_peer_connect(peer);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    assert_int_equal(rig_counters_of(rig).flow_mods_sent, sent);

    rig_restart(rig);
    rig_peer_connect(peer);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    assert_int_equal(rig_counters_of(rig).flow_mods_sent, 0);
    assert_int_equal(peer->fs.n_flow_mods, sent);
    assert_int_equal(rig_counters_of(rig).drift_repaired, 0);
    assert_int_equal(rig_status(rig, RIG_DPID, NULL).flows_installed, peer->fs.n_entries);
}

/* What changed while it was away comes, and nothing else. */
static void
test_changed_while_away(void **state)
{
    struct rig *rig = *state;
    struct sp_uuid web = rig_make_group(rig, "web", 80, 3);
    rig_make_server(rig, 1, &web);
    struct rig_peer *peer = rig_peer(rig, RIG_DPID, 2);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    rig_peer_disconnect(peer);
    RIG_UNTIL(rig, !rig_status(rig, RIG_DPID, NULL).connected);
    struct rig_request request = rig_rules_request(&web, 443);
    rig_apply(rig, &request); /* Applied: nobody who is connected is touched. */
    size_t mods = peer->fs.n_flow_mods, all = peer->fs.n_entries;
    rig_peer_connect(peer);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    assert_true(peer->fs.n_flow_mods > mods);
    assert_true(peer->fs.n_flow_mods - mods < all / 2);
    rig_check(rig);
}

/* One bad rule: its set keeps what it had, the others go on, and the error names the rule. */
static void
test_poison(void **state)
{
    struct rig *rig = *state;
    struct sp_uuid good = rig_make_group(rig, "good", 80, 1);
    struct sp_uuid bad = rig_make_group(rig, "bad", 90, 1);
    rig_make_server(rig, 1, &good);
    struct sp_uuid server = rig_make_server(rig, 2, &bad);
    struct rig_peer *peer = rig_peer(rig, RIG_DPID, 3);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    size_t before = fake_switch_count(&peer->fs, OURS);

    /* The next slot's flows are refused. */
    uint32_t slot = sp_model_counters(sp_engine_model(rig->engine))->next_slot;
    peer->fs.refuse_cookie = SP_COOKIE(SP_COOKIE_RULE, slot);
    peer->fs.refuse_mask = UINT64_MAX;
    struct rig_request request = rig_rules_request(&bad, 91);
    request.wait_ms = 60000;
    assert_int_equal(rig_do(rig, &request), 0);
    assert_false(request.outcome.applied); /* And not only after a minute. */
    rig_request_clear(&request);
    assert_int_equal(fake_switch_count(&peer->fs, OURS), before);
    assert_int_equal(sp_engine_port_state(rig->engine, rig_port_of(rig, &server)), SP_PORT_PENDING);

    char error[300], id[SP_UUID_TEXT_SIZE];
    struct sp_bridge_status status = rig_status(rig, RIG_DPID, error);
    assert_non_null(strstr(error, "group \"bad\""));
    assert_non_null(strstr(error, sp_uuid_format(&sp_model_group(sp_engine_model(rig->engine), &bad)->rules[0]->id, id)));
    assert_non_null(strstr(error, "OFPFMFC_EPERM"));
    assert_true(status.pending);
    assert_int_equal(status.revision, request.outcome.revision - 1);
    assert_true(rig_counters_of(rig).flow_mods_refused > 0);
    assert_true(rig_counters_of(rig).bundles_discarded > 0);

    /* Others are applied. */
    struct rig_request other = rig_rules_request(&good, 81);
    rig_apply(rig, &other);
    rig_make_server(rig, 3, &good);

    /* The time to try again comes: in vain, then with success. */
    uint64_t discarded = rig_counters_of(rig).bundles_discarded;
    rig_retry_now(rig);
    RIG_UNTIL(rig, rig_counters_of(rig).bundles_discarded > discarded);
    RIG_UNTIL(rig, rig_status(rig, RIG_DPID, error).pending && error[0]);
    peer->fs.refuse_mask = 0;
    RIG_UNTIL(rig, (rig_retry_now(rig), rig_in_force(rig, RIG_DPID)));
    rig_status(rig, RIG_DPID, error);
    assert_string_equal(error, "");
    assert_int_equal(sp_engine_port_state(rig->engine, rig_port_of(rig, &server)), SP_PORT_ACTIVE);
    assert_int_equal(rig_status(rig, RIG_DPID, error).flows_installed, peer->fs.n_entries);
    rig_check(rig);
}

/* A new run of the controller finds the bad rule still bad: what its set had before stays. */
static void
test_poison_and_restart(void **state)
{
    struct rig *rig = *state;
    struct sp_uuid bad = rig_make_group(rig, "bad", 90, 3);
    struct sp_uuid server = rig_make_server(rig, 1, &bad);
    struct rig_peer *peer = rig_peer(rig, RIG_DPID, 1);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    size_t mods = peer->fs.n_flow_mods, before = peer->fs.n_entries;
    peer->fs.refuse_cookie = SP_COOKIE(SP_COOKIE_RULE, sp_model_counters(sp_engine_model(rig->engine))->next_slot);
    peer->fs.refuse_mask = UINT64_MAX;
    struct rig_request request = rig_rules_request(&bad, 100);
    assert_int_equal(rig_do(rig, &request), 0);
    assert_false(request.outcome.applied);
    rig_request_clear(&request);
    assert_int_equal(peer->fs.n_flow_mods, mods);

    rig_restart(rig);
    rig_peer_connect(peer);
    char error[300] = "";
    RIG_UNTIL(rig, rig_counters_of(rig).bundles_discarded && rig_status(rig, RIG_DPID, error).connected && error[0]);
    rig_turns(rig, 20);
    assert_int_equal(peer->fs.n_flow_mods, mods);
    assert_int_equal(peer->fs.n_entries, before);
    assert_int_equal(sp_engine_port_state(rig->engine, rig_port_of(rig, &server)), SP_PORT_PENDING);

    peer->fs.refuse_mask = 0;
    rig_retry_now(rig);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    assert_int_equal(rig_status(rig, RIG_DPID, error).flows_installed, peer->fs.n_entries);
    assert_int_equal(rig_status(rig, RIG_DPID, error).flows_desired, peer->fs.n_entries);
    rig_check(rig);
}

/* Of two bad units one becomes good: the other does not hold it back. */
static void
test_poison_of_two(void **state)
{
    struct rig *rig = *state;
    struct sp_uuid a = rig_make_group(rig, "a", 80, 1);
    struct sp_uuid b = rig_make_group(rig, "b", 90, 1);
    rig_make_server(rig, 1, &a);
    struct sp_uuid second = rig_make_server(rig, 2, &b);
    struct rig_peer *peer = rig_peer(rig, RIG_DPID, 2);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    uint32_t slot = sp_model_counters(sp_engine_model(rig->engine))->next_slot;
    peer->fs.refuse_cookie = SP_COOKIE(SP_COOKIE_RULE, 0); /* Every rule. */
    peer->fs.refuse_mask = UINT64_MAX << 40;
    struct rig_request requests[] = { rig_rules_request(&a, 81), rig_rules_request(&b, 91) };
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(rig_do(rig, &requests[i]), 0);
        assert_false(requests[i].outcome.applied);
        rig_request_clear(&requests[i]);
        struct sp_switch *sw = sp_engine_datapath(rig->engine, RIG_DPID)->sw;
        RIG_UNTIL(rig, sw->n_poisoned == i + 1);
    }
    struct sp_switch *sw = sp_engine_datapath(rig->engine, RIG_DPID)->sw;
    peer->fs.refuse_cookie = SP_COOKIE(SP_COOKIE_RULE, slot); /* The first one alone. */
    peer->fs.refuse_mask = UINT64_MAX;
    char error[300];
    rig_retry_now(rig);
    rig_status(rig, RIG_DPID, error);
    assert_string_not_equal(error, ""); /* Told while it is tried again, too. */
    const struct sp_port *port = rig_port_of(rig, &second);
    RIG_UNTIL(rig, sp_engine_port_state(rig->engine, port) == SP_PORT_ACTIVE && sw->phase == SP_SWITCH_IDLE && !sw->n_dirty);
    assert_int_equal(sw->n_poisoned, 1);
    rig_status(rig, RIG_DPID, error);
    assert_non_null(strstr(error, "group \"a\""));
}

/* A change of the refused rule is tried at once. */
static void
test_poison_heals_by_change(void **state)
{
    struct rig *rig = *state;
    struct sp_uuid bad = rig_make_group(rig, "bad", 90, 1);
    rig_make_server(rig, 1, &bad);
    struct rig_peer *peer = rig_peer(rig, RIG_DPID, 1);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    peer->fs.refuse_cookie = SP_COOKIE(SP_COOKIE_RULE, sp_model_counters(sp_engine_model(rig->engine))->next_slot);
    peer->fs.refuse_mask = UINT64_MAX;
    struct rig_request request = rig_rules_request(&bad, 91);
    assert_int_equal(rig_do(rig, &request), 0);
    assert_false(request.outcome.applied);
    rig_request_clear(&request);
    struct rig_request better = rig_rules_request(&bad, 92);
    rig_apply(rig, &better);
    char error[300];
    rig_status(rig, RIG_DPID, error);
    assert_string_equal(error, "");
    rig_check(rig);
}

/* A full table stops whom there is no room for, and nobody else. */
static void
test_table_full(void **state)
{
    struct rig *rig = *state;
    for (uint8_t i = 1; i <= 10; i++) {
        rig_make_server(rig, i, NULL);
    }
    struct rig_peer *peer = rig_peer(rig, RIG_DPID, 0);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    size_t counts[3];
    for (uint16_t i = 0; i < 3; i++) {
        char name[8];
        size_t before = peer->fs.n_entries;
        snprintf(name, sizeof name, "p%d", i + 1);
        fake_switch_port_status(&peer->fs, i + 1, name, false);
        rig_peer_flush(peer);
        RIG_UNTIL(rig, peer->fs.n_entries > before && rig_in_force(rig, RIG_DPID));
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
    RIG_UNTIL(rig, rig_status(rig, RIG_DPID, error).flows_installed >= base + 2 * each && error[0]);
    assert_non_null(strstr(error, "OFPFMFC_TABLE_FULL"));
    assert_int_equal(rig_counters_of(rig).disconnects, 0);

    peer->fs.table_limit = 100000;
    RIG_UNTIL(rig, (rig_retry_now(rig), rig_in_force(rig, RIG_DPID)));
    assert_int_equal(rig_status(rig, RIG_DPID, error).flows_installed, peer->fs.n_entries);
    assert_string_equal(error, "");
    rig_check(rig);
}

/* A switch that opens no bundle, so that no message of one is to blame: the reason is told, and what another hand added is not
 * forgotten because it could not be deleted. */
static void
test_refused_as_a_whole(void **state)
{
    struct rig *rig = *state;
    struct sp_uuid web = rig_make_group(rig, "web", 80, 5);
    rig_make_server(rig, 1, &web);
    struct rig_peer *peer = rig_peer(rig, RIG_DPID, 1);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    size_t n = peer->fs.n_entries;
    char error[300];
    peer->fs.refuse_open = true;
    struct rig_request request = rig_rules_request(&web, 443);
    request.wait_ms = 1000;
    assert_int_equal(rig_do(rig, &request), 0);
    assert_false(request.outcome.applied);
    rig_request_clear(&request);
    rig_status(rig, RIG_DPID, error);
    assert_non_null(strstr(error, "\"web\""));
    assert_non_null(strstr(error, "OFPBFC_OUT_OF_BUNDLES"));
    assert_int_equal(peer->fs.n_entries, n);
    peer->fs.refuse_open = false;
    RIG_UNTIL(rig, (rig_retry_now(rig), rig_in_force(rig, RIG_DPID)));
    assert_string_equal((rig_status(rig, RIG_DPID, error), error), "");

    n = peer->fs.n_entries;
    peer->fs.refuse_open = true;
    fake_switch_add_flow(&peer->fs, "table=0,priority=60000,cookie=0x5350010000000099,dl_type=0x1234,actions=NORMAL");
    rig_check_now(rig);
    RIG_UNTIL(rig, (rig_status(rig, RIG_DPID, error), error[0]));
    assert_non_null(strstr(error, "OFPBFC_OUT_OF_BUNDLES"));
    assert_false(rig_in_force(rig, RIG_DPID));
    assert_int_equal(fake_switch_count(&peer->fs, 0x5350010000000099, UINT64_MAX), 1);
    peer->fs.refuse_open = false;
    rig_retry_now(rig);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    assert_int_equal(fake_switch_count(&peer->fs, 0x5350010000000099, UINT64_MAX), 0);
    assert_int_equal(peer->fs.n_entries, n);
    assert_string_equal((rig_status(rig, RIG_DPID, error), error), "");
    rig_check(rig);
}

static void
test_drift(void **state)
{
    struct rig *rig = *state;
    rig_make_server(rig, 1, NULL);
    struct rig_peer *peer = rig_peer(rig, RIG_DPID, 1);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    size_t n = peer->fs.n_entries;
    fake_switch_add_flow(&peer->fs, "table=0,priority=7,cookie=0x1234,actions=drop");

    /* Deleted, changed, added. */
    size_t missing = fake_switch_forget(&peer->fs, SP_COOKIE(SP_COOKIE_PORT, 0), UINT64_MAX << 40);
    assert_true(missing > 0);
    fake_switch_add_flow(&peer->fs, "table=0,priority=60000,cookie=0x5350010000000099,dl_type=0x1234,actions=NORMAL");
    rig_check_now(rig);
    RIG_UNTIL(rig, rig_counters_of(rig).drift_repaired == missing + 1);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID) && peer->fs.n_entries == n + 1);
    assert_int_equal(fake_switch_count(&peer->fs, 0x1234, UINT64_MAX), 1);
    assert_int_equal(fake_switch_count(&peer->fs, 0x5350010000000099, UINT64_MAX), 0);

    /* All at once, and then nothing more is found. */
    assert_int_equal(fake_switch_forget(&peer->fs, OURS), n);
    rig_check_now(rig);
    RIG_UNTIL(rig, peer->fs.n_entries == n + 1 && rig_in_force(rig, RIG_DPID));
    assert_int_equal(rig_counters_of(rig).drift_repaired, missing + 1 + n);
    size_t dumps = peer->fs.n_dumps, mods = peer->fs.n_flow_mods;
    rig_check_now(rig);
    RIG_UNTIL(rig, peer->fs.n_dumps == dumps + 1 && rig_in_force(rig, RIG_DPID));
    rig_turns(rig, 10);
    assert_int_equal(peer->fs.n_flow_mods, mods);
    rig_check(rig);
}

/* Checks once.  Returns whether anything had to be found out. */
static bool
check_once(struct rig *rig, struct rig_peer *peer)
{
    struct sp_switch *sw = sp_engine_datapath(rig->engine, RIG_DPID)->sw;
    size_t n_dumps = peer->fs.n_dumps;
    bool worked = false;
    rig_check_now(rig);
    RIG_UNTIL(rig, (worked = worked || sw->work.stage, peer->fs.n_dumps > n_dumps && sw->phase != SP_SWITCH_CHECKING));
    return worked;
}

/* What another hand has done, 'n' flows, is put right by the next check; then all is mirrored again after one more. */
static void
check_repaired(struct rig *rig, struct rig_peer *peer, uint64_t n)
{
    const struct sp_switch *sw = sp_engine_datapath(rig->engine, RIG_DPID)->sw;
    uint64_t repaired = rig_counters_of(rig).drift_repaired + n;
    rig->engine->parts_max = 1; /* So that a turn between shows. */
    assert_true(check_once(rig, peer));
    assert_int_equal(rig_counters_of(rig).drift_repaired, repaired);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    assert_false(sw->is_mirrored);
    assert_true(check_once(rig, peer));
    assert_true(sw->is_mirrored);
    size_t n_mods = peer->fs.n_flow_mods;
    assert_false(check_once(rig, peer));
    assert_int_equal(rig_counters_of(rig).drift_repaired, repaired);
    assert_int_equal(peer->fs.n_flow_mods, n_mods);
}

/* A bridge whose flows are all known is passed over by a check as long as it tells just these, and by none in which one of them
 * is missing, or another, or one more is there. */
static void
test_drift_of_what_is_known(void **state)
{
    struct rig *rig = *state;
    struct sp_uuid web = rig_make_group(rig, "web", 80, 3);
    rig_make_server(rig, 1, &web);
    struct rig_peer *peer = rig_peer(rig, RIG_DPID, 1);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    const struct sp_switch *sw = sp_engine_datapath(rig->engine, RIG_DPID)->sw;
    check_once(rig, peer);
    assert_true(sw->is_mirrored);

    static const char *const changes[] = {
        "table=41,priority=200,cookie=0x77,dl_type=0x0806,actions=drop", /* Another's in its place. */
        "table=41,priority=200,cookie=0x5350010000000077,dl_type=0x0806,actions=drop",
        "table=41,priority=200,cookie=0x5350010000000000,send_flow_rem,dl_type=0x0806,actions=drop",
        "table=41,priority=199,cookie=0x5350010000000000,dl_type=0x0806,actions=drop", /* One more. */
        "table=0,priority=60000,cookie=0x5350010000000099,dl_type=0x1234,actions=group:7", /* Not even understood. */
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        fake_switch_add_flow(&peer->fs, changes[i]);
        check_repaired(rig, peer, 1);
    }
    /* One has gone and another has come, so that there are as many. */
    fake_switch_delete_flow(&peer->fs, "table=41,priority=200,dl_type=0x0806");
    fake_switch_add_flow(&peer->fs, "table=41,priority=201,cookie=0x5350010000000000,dl_type=0x0806,actions=drop");
    check_repaired(rig, peer, 2);
    check_repaired(rig, peer, (fake_switch_delete_flow(&peer->fs, "table=41,priority=200,dl_type=0x0806"), 1));

    /* Whoever does it again as soon as it is mended makes the switch tell the same as before. */
    uint64_t repaired = rig_counters_of(rig).drift_repaired;
    for (unsigned i = 1; i <= 3; i++) {
        fake_switch_delete_flow(&peer->fs, "table=41,priority=200,dl_type=0x0806");
        assert_true(check_once(rig, peer));
        RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
        assert_int_equal(rig_counters_of(rig).drift_repaired, repaired + i);
    }
    assert_true(check_once(rig, peer));

    /* What is changed by us is not drift, and is looked at once. */
    struct rig_request request = rig_rules_request(&web, 443);
    rig_apply(rig, &request);
    assert_false(sw->is_mirrored);
    repaired = rig_counters_of(rig).drift_repaired;
    assert_true(check_once(rig, peer));
    assert_false(check_once(rig, peer));
    /* What was known is, when it comes back, what nobody wants. */
    fake_switch_add_flow(&peer->fs, "table=0,priority=60000,cookie=0x5350010000000099,dl_type=0x1234,actions=group:7");
    check_repaired(rig, peer, 1);
    assert_int_equal(rig_counters_of(rig).drift_repaired, repaired + 1);

    /* And so it is after a connection that broke, where nothing changed. */
    rig_peer_disconnect(peer);
    RIG_UNTIL(rig, !rig_status(rig, RIG_DPID, NULL).connected);
    rig_peer_connect(peer);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID) && sw->phase == SP_SWITCH_IDLE);
    assert_true(sw->is_mirrored);
    assert_false(check_once(rig, peer));
    fake_switch_delete_flow(&peer->fs, "table=41,priority=200,dl_type=0x0806");
    check_repaired(rig, peer, 1);
    rig_check(rig);
}

/* A switch that tells what others change is looked at again at once, but not again and again. */
static void
test_drift_told(void **state)
{
    struct rig *rig = *state;
    rig_make_server(rig, 1, NULL);
    struct rig_peer *peer = rig_peer(rig, RIG_DPID, 1);
    peer->fs.tell_changes = true;
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    size_t n = peer->fs.n_entries, dumps = peer->fs.n_dumps;
    struct sp_switch *sw = sp_engine_datapath(rig->engine, RIG_DPID)->sw;

    /* What concerns nobody here is no reason to look. */
    fake_switch_add_flow(&peer->fs, "table=0,priority=7,cookie=0x1234,actions=drop");
    fake_switch_add_flow(&peer->fs, "table=35,priority=100,cookie=0x5350080000000001,dl_vlan=7,actions=drop");
    rig_peer_flush(peer);
    rig_turns(rig, 20);
    assert_false(sw->suspected);

    size_t missing = fake_switch_forget(&peer->fs, SP_COOKIE(SP_COOKIE_PORT, 0), UINT64_MAX << 40);
    fake_switch_add_flow(&peer->fs, "table=0,priority=60000,cookie=0x5350010000000099,dl_type=0x1234,actions=NORMAL");
    rig_peer_flush(peer);
    RIG_UNTIL(rig, (sp_switch_tick(sw, sp_engine_now(rig->engine)), rig_counters_of(rig).drift_repaired == missing + 1));
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID) && peer->fs.n_entries == n + 2);
    assert_int_equal(peer->fs.n_dumps, dumps + 1);

    /* More in the second after it waits, and then all of it costs one dump. */
    for (unsigned i = 0; i < 50; i++) {
        char flow[100];
        snprintf(flow, sizeof flow, "table=0,priority=%u,cookie=0x5350010000000099,dl_type=0x1234,actions=NORMAL", 60000 + i);
        fake_switch_add_flow(&peer->fs, flow);
        rig_peer_flush(peer);
        rig_turns(rig, 2);
        sp_switch_tick(sw, sp_engine_now(rig->engine));
        assert_true(peer->fs.n_dumps == dumps + 1 || sp_engine_now(rig->engine) >= sw->check_begun_ms + 1000);
    }
    RIG_UNTIL(rig, (sp_switch_tick(sw, sp_engine_now(rig->engine)), rig_counters_of(rig).drift_repaired == missing + 51));
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID) && peer->fs.n_entries == n + 2);

    /* Another's flow in the place of one of ours. */
    fake_switch_add_flow(&peer->fs, "table=41,priority=200,cookie=0x77,dl_type=0x0806,actions=drop");
    rig_peer_flush(peer);
    RIG_UNTIL(rig, (sp_switch_tick(sw, sp_engine_now(rig->engine)), rig_counters_of(rig).drift_repaired == missing + 52));
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID) && !fake_switch_count(&peer->fs, 0x77, UINT64_MAX));
    assert_int_equal(fake_switch_count(&peer->fs, 0x1234, UINT64_MAX), 1);
    rig_check(rig);
}

/* The zone of a port that goes is emptied; that of one that is only unplugged is not. */
static void
test_zones(void **state)
{
    struct rig *rig = *state;
    struct sp_uuid server = rig_make_server(rig, 1, NULL);
    rig_make_server(rig, 2, NULL);
    struct rig_peer *peer = rig_peer(rig, RIG_DPID, 2);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    uint16_t zone = rig_port_of(rig, &server)->zone;
    size_t n_flushed = peer->fs.n_flushed;
    fake_switch_port_status(&peer->fs, 1, "p1", true);
    rig_peer_flush(peer);
    const struct sp_port *port = rig_port_of(rig, &server);
    RIG_UNTIL(rig, sp_engine_port_state(rig->engine, port) == SP_PORT_UNBOUND && rig_in_force(rig, RIG_DPID));
    fake_switch_port_status(&peer->fs, 1, "p1", false);
    rig_peer_flush(peer);
    RIG_UNTIL(rig, sp_engine_port_state(rig->engine, rig_port_of(rig, &server)) == SP_PORT_ACTIVE);
    assert_int_equal(peer->fs.n_flushed, n_flushed);
    rig_apply(rig, &(struct rig_request) { .operation = rig_delete_server, .server = server });
    assert_int_equal(peer->fs.n_flushed, n_flushed + 1);
    assert_int_equal(peer->fs.flushed[n_flushed], zone);
    rig_check(rig);
}

/* So is that of a port that went while the switch or the controller was away, and not that of one that was unplugged then. */
static void
test_zones_of_the_time_away(void **state)
{
    struct rig *rig = *state;
    struct sp_uuid server = rig_make_server(rig, 1, NULL);
    rig_make_server(rig, 2, NULL);
    struct rig_peer *peer = rig_peer(rig, RIG_DPID, 2);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    uint16_t zone = rig_port_of(rig, &server)->zone;
    size_t n_flushed = peer->fs.n_flushed;
    rig_peer_disconnect(peer);
    RIG_UNTIL(rig, !rig_status(rig, RIG_DPID, NULL).connected);
    rig_apply(rig, &(struct rig_request) { .operation = rig_delete_server, .server = server });
    fake_switch_port_status(&peer->fs, 2, "p2", true);
    rig_restart(rig);
    rig_peer_connect(peer);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    assert_int_equal(fake_switch_count(&peer->fs, SP_COOKIE(SP_COOKIE_PORT, 0), UINT64_MAX << 40), 0);
    assert_int_equal(peer->fs.n_flushed, n_flushed + 1);
    assert_int_equal(peer->fs.flushed[n_flushed], zone);
    rig_check(rig);
}

/* A port number that passes from one port to another in one change. */
static void
test_port_changes_hands(void **state)
{
    struct rig *rig = *state;
    struct sp_uuid server = rig_make_server(rig, 1, NULL);
    struct rig_peer *peer = rig_peer(rig, RIG_DPID, 2);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    struct sp_cidr ip;
    struct rig_request swap = { .operation = rig_set_ports, .server = server, .n_ports = 1,
                                .ports = { world_port(RIG_DPID, "p1", 9, "10.0.0.9", &ip) } };
    rig_apply(rig, &swap);
    assert_int_equal(rig_status(rig, RIG_DPID, NULL).flows_installed, peer->fs.n_entries);
    assert_int_equal(sp_engine_port_state(rig->engine, rig_port_of(rig, &server)), SP_PORT_ACTIVE);
    rig_check(rig);
    uint64_t sent = rig_counters_of(rig).flow_mods_sent;
    rig_check_now(rig);
    RIG_UNTIL(rig, peer->fs.n_dumps == 2 && rig_in_force(rig, RIG_DPID));
    assert_int_equal(rig_counters_of(rig).flow_mods_sent, sent);
    assert_int_equal(rig_counters_of(rig).drift_repaired, 0);

    /* It becomes an uplink. */
    rig_apply(rig, &(struct rig_request) { .operation = rig_delete_server, .server = server });
    rig_apply(rig, &(struct rig_request) { .operation = rig_put_bridge, .dpid = RIG_DPID, .uplinks = { "p1" }, .n_uplinks = 1 });
    assert_true(fake_switch_count(&peer->fs, SP_COOKIE(SP_COOKIE_UPLINK, 1), UINT64_MAX) > 0);
    assert_int_equal(rig_status(rig, RIG_DPID, NULL).flows_installed, peer->fs.n_entries);
    rig_check(rig);
}

/* The time from the end of a dump that seems to take 'length_ms' longer than it does to the next one. */
static int64_t
rest_after(struct rig *rig, struct rig_peer *peer, int64_t length_ms)
{
    struct sp_switch *sw = sp_engine_datapath(rig->engine, RIG_DPID)->sw;
    unsigned n_dumps = peer->fs.n_dumps;
    rig_check_now(rig);
    assert_int_equal(sw->phase, SP_SWITCH_CHECKING);
    sw->check_begun_ms -= length_ms;
    RIG_UNTIL(rig, peer->fs.n_dumps == n_dumps + 1 && sw->phase == SP_SWITCH_IDLE);
    return sw->check_at_ms - sp_engine_now(rig->engine);
}

/* What was lost on the way unnoticed is found within 15 s, or where dumps are long in 50 times as long, and never after 30 s. */
static void
test_time_of_checks(void **state)
{
    struct rig *rig = *state;
    rig_make_server(rig, 1, NULL);
    struct rig_peer *peer = rig_peer(rig, RIG_DPID, 1);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    assert_in_range(sp_engine_datapath(rig->engine, RIG_DPID)->sw->check_at_ms - sp_engine_now(rig->engine), 0, 20000);
    assert_true(rest_after(rig, peer, 0) <= 30000);
    assert_in_range(rest_after(rig, peer, -1000000), 10000, 15000 + peer->fs.n_entries / 280); /* However slow this machine is. */
    assert_in_range(rest_after(rig, peer, 400), 15000, 30000);
    assert_in_range(rest_after(rig, peer, 100000), 25000, 30000);
    /* Other bridges' flows take their part. */
    struct sp_switch_counters *all = &rig->engine->switches;
    assert_int_equal(all->flows_told, peer->fs.n_entries);
    all->flows_told += 2800000;
    assert_in_range(rest_after(rig, peer, -1000000), 20000, 26000);
    all->flows_told += 280000000;
    assert_in_range(rest_after(rig, peer, -1000000), 25000, 30000);
    all->flows_told -= 2800000 + 280000000;
    rig_peer_disconnect(peer);
    RIG_UNTIL(rig, !rig_status(rig, RIG_DPID, NULL).connected);
    assert_int_equal(all->flows_told, 0);
}

int
main(void)
{
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_nothing_changed),
        TEST(test_changed_while_away),
        TEST(test_poison),
        TEST(test_poison_and_restart),
        TEST(test_poison_of_two),
        TEST(test_poison_heals_by_change),
        TEST(test_table_full),
        TEST(test_refused_as_a_whole),
        TEST(test_drift),
        TEST(test_drift_of_what_is_known), TEST(test_drift_told),
        TEST(test_zones),
        TEST(test_zones_of_the_time_away),
        TEST(test_port_changes_hands),
        TEST(test_time_of_checks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
