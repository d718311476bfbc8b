/* Who watches the engine is told of every change in its order, and of a bridge whenever something about it changes. */

#include "tests/support/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/engine_state.h"
#include "sallyport/pipeline.h"
#include "tests/support/world.h"

#define OTHER_DPID 0x2222u

struct seen {
    uint64_t revisions[64];
    struct sp_change changes[64]; /* The first of each; kind and which sides there are. */
    size_t n;
    struct sp_bridge_status last[2]; /* RIG_DPID, OTHER_DPID. */
    char errors[2][300];
    unsigned n_told[2];
    struct sp_uuid blocked[SP_ENGINE_BLOCKED_NAMED]; /* What was said last. */
    size_t n_blocked;
    bool blocked_more;
    unsigned n_blocked_told;
};

static void
on_changed(void *aux, uint64_t revision, const struct sp_change *changes, size_t n)
{
    struct seen *seen = aux;
    assert_true(seen->n < 64 && n > 0);
    seen->revisions[seen->n] = revision;
    seen->changes[seen->n++] = changes[0];
}

static void
on_bridge(void *aux, const struct sp_bridge_status *status)
{
    struct seen *seen = aux;
    size_t i = status->dpid == OTHER_DPID;
    seen->last[i] = *status;
    snprintf(seen->errors[i], sizeof seen->errors[i], "%s", status->last_error ? status->last_error : "");
    seen->n_told[i]++;
}

static void
on_blocked(void *aux, const struct sp_uuid *servers, size_t n, bool more)
{
    struct seen *seen = aux;
    memcpy(seen->blocked, servers, n * sizeof *servers);
    seen->n_blocked = n;
    seen->blocked_more = more;
    seen->n_blocked_told++;
}

static const struct sp_engine_watch watch = { on_changed, on_bridge, on_blocked };

static void
test_changes(void **state)
{
    struct rig *rig = *state;
    struct seen seen = { 0 };
    sp_engine_set_watch(rig->engine, &watch, &seen);
    uint64_t revision = sp_model_counters(sp_engine_model(rig->engine))->revision;
    struct sp_uuid web = rig_make_group(rig, "web", 80, 1);
    assert_int_equal(seen.n, 1);
    assert_int_equal(seen.revisions[0], revision + 1);
    assert_int_equal(seen.changes[0].kind, SP_KIND_GROUP);
    assert_true(!seen.changes[0].before && seen.changes[0].after);

    /* Several in one commit are told one by one; what is refused, or changes nothing, is not. */
    struct rig_request first = rig_rules_request(&web, 81), same = first, last = rig_rules_request(&web, 82);
    struct rig_request refused = { .operation = rig_delete_group };
    assert_int_equal(rig_post(rig, &first), 0);
    assert_int_equal(rig_post(rig, &same), 0);
    assert_int_equal(rig_post(rig, &refused), 0);
    assert_int_equal(rig_post(rig, &last), 0);
    RIG_UNTIL(rig, first.done && same.done && refused.done && last.done);
    assert_int_equal(refused.outcome.error, SP_E_MISSING);
    assert_int_equal(seen.n, 3);
    assert_int_equal(seen.revisions[1], revision + 2);
    assert_int_equal(seen.revisions[2], revision + 3);
    rig_request_clear(&refused);

    /* A store that fails changes nothing, and nothing is told. */
    rig->store.fail = -5;
    struct rig_request failing = rig_rules_request(&web, 83);
    assert_int_equal(rig_do(rig, &failing), -5);
    rig->store.fail = 0;
    assert_int_equal(seen.n, 3);
    sp_engine_set_watch(rig->engine, NULL, NULL);
    rig_make_group(rig, "mail", 25, 1);
    assert_int_equal(seen.n, 3);
}

static void
test_bridges(void **state)
{
    struct rig *rig = *state;
    struct seen seen = { 0 };
    struct sp_uuid web = rig_make_group(rig, "web", 80, 1);
    rig_make_server(rig, 1, &web);
    rig_apply(rig, &(struct rig_request) { .operation = rig_put_bridge, .dpid = OTHER_DPID });
    sp_engine_set_watch(rig->engine, &watch, &seen);
    struct rig_peer *peer = rig_peer(rig, RIG_DPID, 2);
    rig_peer(rig, OTHER_DPID, 2);
    RIG_UNTIL(rig, seen.last[0].connected && !seen.last[0].pending && seen.last[1].connected && !seen.last[1].pending);
    RIG_UNTIL(rig, !rig_status(rig, RIG_DPID, NULL).pending);
    assert_string_equal(seen.last[0].peer, rig_status(rig, RIG_DPID, NULL).peer);

    /* What concerns one bridge is told of that one, to its end, though both settle at each revision. */
    rig_turns(rig, 5);
    unsigned other = seen.n_told[1];
    for (int i = 0; i < 20; i++) {
        struct rig_request request = rig_rules_request(&web, 100 + i);
        rig_apply(rig, &request);
    }
    uint64_t revision = sp_model_counters(sp_engine_model(rig->engine))->revision;
    RIG_UNTIL(rig, seen.last[0].revision == revision && !seen.last[0].pending);
    assert_int_equal(seen.n_told[1], other);

    /* A refusal and its healing. */
    peer->fs.refuse_cookie = SP_COOKIE(SP_COOKIE_RULE, 0);
    peer->fs.refuse_mask = SP_COOKIE(0xff, 0);
    struct rig_request request = rig_rules_request(&web, 443);
    assert_int_equal(rig_do(rig, &request), 0);
    RIG_UNTIL(rig, seen.last[0].pending && *seen.errors[0]);
    peer->fs.refuse_mask = 0;
    rig_retry_now(rig);
    RIG_UNTIL(rig, !seen.last[0].pending && !*seen.errors[0]);

    rig_peer_disconnect(peer);
    RIG_UNTIL(rig, !seen.last[0].connected);
    assert_true(seen.last[0].adopted);
}

static void
test_a_bridge_that_goes(void **state)
{
    struct rig *rig = *state;
    struct seen seen = { 0 };
    sp_engine_set_watch(rig->engine, &watch, &seen);
    struct rig_peer *peer = rig_peer(rig, RIG_DPID, 1);
    RIG_UNTIL(rig, seen.last[0].connected);
    assert_false(seen.last[0].adopted);
    unsigned told = seen.n_told[0];
    rig_peer_disconnect(peer);
    RIG_UNTIL(rig, seen.n_told[0] > told && !seen.last[0].connected);
    assert_false(seen.last[0].adopted);
    assert_string_equal(seen.last[0].name, "");
}

/* Of each server once, of many only that there are more, and of nothing when nothing was blocked. */
static void
test_blocked(void **state)
{
    struct rig *rig = *state;
    struct seen seen = { 0 };
    struct sp_uuid servers[SP_ENGINE_BLOCKED_NAMED + 1] = { 0 };
    for (size_t i = 0; i <= SP_ENGINE_BLOCKED_NAMED; i++) {
        servers[i].bytes[0] = (uint8_t) (i + 1);
    }
    sp_engine_note_blocked(rig->engine, &servers[0]);
    sp_engine_set_watch(rig->engine, &watch, &seen);
    sp_engine_tell_blocked(rig->engine);
    assert_int_equal(seen.n_blocked_told, 0);
    for (int i = 0; i < 3; i++) {
        sp_engine_note_blocked(rig->engine, &servers[0]);
        sp_engine_note_blocked(rig->engine, &servers[1]);
    }
    sp_engine_tell_blocked(rig->engine);
    assert_int_equal(seen.n_blocked_told, 1);
    assert_int_equal(seen.n_blocked, 2);
    assert_memory_equal(seen.blocked, servers, 2 * sizeof *servers);
    assert_false(seen.blocked_more);
    for (size_t i = 0; i < SP_ENGINE_BLOCKED_NAMED; i++) {
        sp_engine_note_blocked(rig->engine, &servers[i]);
    }
    sp_engine_note_blocked(rig->engine, &servers[0]);
    sp_engine_tell_blocked(rig->engine);
    assert_int_equal(seen.n_blocked, SP_ENGINE_BLOCKED_NAMED);
    assert_false(seen.blocked_more);
    for (size_t i = 0; i <= SP_ENGINE_BLOCKED_NAMED; i++) {
        sp_engine_note_blocked(rig->engine, &servers[i]);
    }
    sp_engine_tell_blocked(rig->engine);
    assert_int_equal(seen.n_blocked, SP_ENGINE_BLOCKED_NAMED);
    assert_true(seen.blocked_more);
    sp_engine_tell_blocked(rig->engine);
    assert_int_equal(seen.n_blocked_told, 3);
    sp_engine_note_blocked(rig->engine, &servers[7]);
    sp_engine_tell_blocked(rig->engine);
    assert_true(seen.n_blocked == 1 && !seen.blocked_more);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, rig_setup, rig_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_changes), TEST(test_bridges), TEST(test_a_bridge_that_goes), TEST(test_blocked)
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
