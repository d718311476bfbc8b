/* What is done in parts (controller/engine_work.c), and what comes between two of them. */

#include "tests/support/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/engine_state.h"
#include "controller/switch_units.h"
#include "sallyport/pipeline.h"
#include "tests/support/world.h"

#define OURS SP_COOKIE_OWNER, SP_COOKIE_OWNER_MASK
#define N_SERVERS 50 /* With their flows there are some parts of each stage. */
#define FREE_PORT 60

struct scene {
    struct rig *rig;
    struct rig_peer *peer;
    struct sp_datapath *dp;
    struct sp_uuid web;
    struct sp_uuid servers[N_SERVERS];
};

/* A bridge with servers, in force. */
static void
make_scene(struct scene *s, struct rig *rig)
{
    s->rig = rig;
    s->web = rig_make_group(rig, "web", 80, 5);
    for (uint8_t i = 0; i < N_SERVERS; i++) {
        s->servers[i] = rig_make_server(rig, (uint8_t) (i + 1), i % 2 ? &s->web : NULL);
    }
    s->peer = rig_peer(rig, RIG_DPID, FREE_PORT);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID));
    s->dp = sp_engine_datapath(rig->engine, RIG_DPID);
}

/* The bridge has gone, and comes back.  'parts_max': what is done of its work in a turn from then on. */
static void
reconnect(struct scene *s, size_t parts_max)
{
    s->rig->engine->parts_max = SIZE_MAX;
    rig_peer_disconnect(s->peer);
    RIG_UNTIL(s->rig, !rig_status(s->rig, RIG_DPID, NULL).connected);
    s->rig->engine->parts_max = parts_max;
    rig_peer_connect(s->peer);
}

/* From now on no part is done but by the test. */
static void
hold(struct scene *s)
{
    assert_non_null(s->dp->queue);
    s->rig->engine->parts_max = 0;
}

/* The bridge has come back and what the dump means is being found out; that is held. */
static void
hold_learning(struct scene *s)
{
    reconnect(s, 1);
    s->dp->sw->is_distinct = false; /* As if a dump had broken off: nothing can be foreseen. */
    RIG_UNTIL(s->rig, s->dp->sw->work.stage);
    assert_int_equal(s->dp->sw->work.stage, SP_DUMP_GATHER);
    hold(s);
}

static void
hold_beginning(struct scene *s)
{
    reconnect(s, 1);
    RIG_UNTIL(s->rig, s->dp->beginning);
    hold(s);
}

/* The dump goes on; so does the work, one part in a turn. */
static void
go_on(struct scene *s)
{
    fake_switch_go_on(&s->peer->fs);
    rig_peer_flush(s->peer);
    s->rig->engine->parts_max = 1;
}

/* All is in step, and what the switch has told last is just what it has. */
static void
settle(struct scene *s)
{
    const struct sp_switch *sw = s->dp->sw;
    s->rig->engine->parts_max = SIZE_MAX;
    RIG_UNTIL(s->rig, rig_in_force(s->rig, RIG_DPID) && sw->phase == SP_SWITCH_IDLE);
    size_t n_dumps = s->peer->fs.n_dumps;
    rig_check_now(s->rig);
    RIG_UNTIL(s->rig, s->peer->fs.n_dumps > n_dumps && sw->phase == SP_SWITCH_IDLE);
    assert_true(sw->is_distinct);
}

/* The bridge has come back and gathers its answer; what that may mean is being found out, and 'parts' of that have been done. */
static enum sp_foreseen_stage
hold_foreseeing(struct scene *s, unsigned parts)
{
    settle(s);
    s->peer->fs.hold_dumps = true;
    reconnect(s, 1);
    RIG_UNTIL(s->rig, s->dp->sw->foreseen.stage);
    assert_int_equal(s->dp->sw->foreseen.stage, SP_FORESEEN_FILL);
    hold(s);
    for (unsigned i = 0; i < parts; i++) {
        sp_switch_work(s->dp->sw, sp_engine_now(s->rig->engine));
    }
    assert_int_equal(s->dp->sw->work.stage, SP_DUMP_NONE);
    assert_int_equal(sp_flow_table_count(s->dp->sw->installed), 0);
    return s->dp->sw->foreseen.stage;
}

/* Queues 'request' and runs until it is published. */
static void
publish(struct scene *s, struct rig_request *request)
{
    const struct sp_model *model = sp_engine_model(s->rig->engine);
    uint64_t revision = sp_model_counters(model)->revision;
    request->wait_ms = 60000;
    assert_int_equal(rig_post(s->rig, request), 0);
    RIG_UNTIL(s->rig, sp_model_counters(model)->revision > revision);
    rig_turns(s->rig, 5);
    assert_false(request->done); /* The bridge has not confirmed it. */
}

/* The work goes on; all is as if it had never been held. */
static void
finish(struct scene *s, struct rig_request *request)
{
    s->rig->engine->parts_max = SIZE_MAX;
    if (request) {
        RIG_UNTIL(s->rig, request->done);
        assert_true(request->outcome.applied);
        rig_request_clear(request);
    }
    RIG_UNTIL(s->rig, rig_in_force(s->rig, RIG_DPID));
    assert_int_equal(rig_status(s->rig, RIG_DPID, NULL).flows_installed, fake_switch_count(&s->peer->fs, OURS));
    rig_check(s->rig);
}

/* At each stage of finding out what the bridge has: a rule changes, a server goes, a server comes. */
static void
test_change_while_learning(void **state)
{
    struct scene s;
    make_scene(&s, *state);
    unsigned n_between = 0, n_after = 0, next = 0;
    for (unsigned parts = 0; !n_after; parts++) {
        hold_learning(&s);
        struct sp_switch *sw = s.dp->sw;
        for (unsigned i = 0; i < parts; i++) {
            assert_true(sp_switch_work(sw, sp_engine_now(s.rig->engine)));
        }
        bool learning = sw->work.stage <= SP_DUMP_LEFT;
        n_between += sw->work.stage == SP_DUMP_UNITS && sw->work.begun;
        n_after += !learning;
        size_t mods = s.peer->fs.n_flow_mods;
        struct sp_cidr storage;
        struct rig_request request = rig_rules_request(&s.web, 1000 + (int) parts);
        if (parts % 3 == 1) {
            request = (struct rig_request) { .operation = rig_delete_server, .server = s.servers[next++] };
        } else if (parts % 3 == 2) {
            request = (struct rig_request) {
                .operation = rig_create_server, .region = "SV2", .n_ports = 1,
                .ports = { world_port(RIG_DPID, "p60", (uint8_t) (100 + parts), "10.0.1.1", &storage) },
            };
        }
        publish(&s, &request);
        /* It has met a switch of which all is known, and nothing is sent before the rest is done. */
        assert_true(sw->work.stage >= SP_DUMP_KNOWN);
        assert_int_equal(s.peer->fs.n_flow_mods, mods);
        struct sp_uuid made = request.id;
        finish(&s, &request);
        assert_in_range(s.peer->fs.n_flow_mods - mods, 1, 40); /* What differs. */
        if (parts % 3 == 2) {
            rig_apply(s.rig, &(struct rig_request) { .operation = rig_delete_server, .server = made });
        }
        assert_int_equal(rig_counters_of(s.rig).drift_repaired, 0);
    }
    assert_true(n_between); /* How many depends on the order of the units, which no two runs have alike. */
}

/* What differs is found, also where a later dump is looked through in parts; and changes that come meanwhile are sent. */
static void
test_change_while_checking(void **state)
{
    struct scene s;
    make_scene(&s, *state);
    uint64_t repaired = 0;
    for (unsigned parts = 0; parts < 6; parts++) {
        size_t missing = fake_switch_forget(&s.peer->fs, SP_COOKIE(SP_COOKIE_PORT, 0), UINT64_MAX << 40);
        fake_switch_add_flow(&s.peer->fs, "table=0,priority=60000,cookie=0x5350010000000099,dl_type=0x1234,actions=NORMAL");
        assert_true(missing > 0);
        s.rig->engine->parts_max = 1;
        rig_check_now(s.rig);
        RIG_UNTIL(s.rig, s.dp->sw->work.stage);
        assert_int_equal(s.dp->sw->work.stage, SP_DUMP_GATHER);
        hold(&s);
        for (unsigned i = 0; i < parts; i++) {
            assert_true(sp_switch_work(s.dp->sw, sp_engine_now(s.rig->engine)));
        }
        struct rig_request request = rig_rules_request(&s.web, 1000 + (int) parts);
        publish(&s, &request);
        finish(&s, &request);
        repaired += missing + 1;
        assert_int_equal(rig_counters_of(s.rig).drift_repaired, repaired);
        assert_int_equal(fake_switch_count(&s.peer->fs, 0x5350010000000099, UINT64_MAX), 0);
    }
}

/* What another hand does behind the dump, while that is being looked through, is a reason for the next one. */
static void
test_told_while_learning(void **state)
{
    struct scene s;
    make_scene(&s, *state);
    s.peer->fs.tell_changes = true;
    unsigned n_parts = 0;
    for (enum sp_dump_stage stage = SP_DUMP_NONE; stage < SP_DUMP_DRAIN; n_parts++) {
        hold_learning(&s);
        for (unsigned i = 0; i < n_parts; i++) {
            assert_true(sp_switch_work(s.dp->sw, sp_engine_now(s.rig->engine)));
        }
        stage = s.dp->sw->work.stage;
        /* Another's flow in the place of one of ours. */
        fake_switch_add_flow(&s.peer->fs, "table=41,priority=200,cookie=0x77,dl_type=0x0806,actions=drop");
        rig_peer_flush(s.peer);
        RIG_UNTIL(s.rig, s.dp->sw->suspected);
        uint64_t repaired = rig_counters_of(s.rig).drift_repaired;
        s.rig->engine->parts_max = SIZE_MAX;
        RIG_UNTIL(s.rig, (s.dp->sw->check_again_ms = 0, sp_switch_tick(s.dp->sw, sp_engine_now(s.rig->engine)),
                          rig_counters_of(s.rig).drift_repaired > repaired));
        RIG_UNTIL(s.rig, rig_in_force(s.rig, RIG_DPID) && !fake_switch_count(&s.peer->fs, 0x77, UINT64_MAX));
    }
    assert_true(n_parts > 5);
}

/* At each step of a bridge's beginning: changes of everything, none of which is sent before it is complete. */
static void
test_change_while_beginning(void **state)
{
    struct scene s;
    make_scene(&s, *state);
    unsigned next = 0, n_projected = 0, n_begun = 0;
    bool complete = false;
    const char *uplink = "p58";
    for (unsigned parts = 0; !complete; parts += 1 + parts / 8) {
        s.peer->fs.hold_dumps = true;
        hold_beginning(&s);
        for (unsigned i = 0; i < parts && !complete; i++) {
            complete = !sp_datapath_begin_step(s.dp);
        }
        if (complete) {
            break;
        }
        n_projected += s.dp->projected;
        bool told = n_begun++ % 2;
        size_t mods = s.peer->fs.n_flow_mods, dumps = s.peer->fs.n_dumps;
        if (told) { /* All that it has, before anybody knows what it shall have. */
            go_on(&s);
            hold(&s);
            RIG_UNTIL(s.rig, s.dp->sw->told);
        }
        struct rig_request request = rig_rules_request(&s.web, 1000 + (int) parts);
        if (parts % 4 == 1) {
            request = (struct rig_request) { .operation = rig_delete_server, .server = s.servers[next++] };
        } else if (parts % 4 == 2) {
            bool other = !strcmp(uplink, "p58");
            uplink = other ? "p59" : "p58";
            request = (struct rig_request) {
                .operation = rig_put_bridge, .dpid = RIG_DPID, .uplinks = { uplink }, .n_uplinks = 1,
            };
        } else if (parts % 4 == 3) {
            fake_switch_port_status(&s.peer->fs, 50, "p50", s.peer->fs.n_ports == FREE_PORT);
            rig_peer_flush(s.peer);
        }
        publish(&s, &request);
        assert_true(s.dp->beginning);
        assert_true(rig_status(s.rig, RIG_DPID, NULL).pending);
        assert_int_equal(s.peer->fs.n_flow_mods, mods);
        assert_int_equal(s.peer->fs.n_dumps, dumps + told);
        /* What it shall have is not complete: nothing is missing, nothing is left over. */
        assert_int_equal(s.dp->sw->work.stage, SP_DUMP_NONE);
        assert_int_equal(s.dp->sw->orphans.n, 0);
        assert_false(sp_switch_is_enforced(s.dp->sw));
        if (!told) {
            s.rig->engine->parts_max = SIZE_MAX;
            RIG_UNTIL(s.rig, sp_switch_is_enforced(s.dp->sw));
            rig_turns(s.rig, 5);
            assert_int_equal(s.dp->sw->phase, SP_SWITCH_LEARNING);
            assert_int_equal(s.peer->fs.n_flow_mods, mods);
            go_on(&s);
        }
        finish(&s, &request);
        assert_in_range(s.peer->fs.n_flow_mods - mods, 0, 60); /* What differs. */
    }
    go_on(&s);
    assert_true(n_projected > 10);
    finish(&s, NULL);
}

/* A bridge that is released in the middle of its beginning is rid of all its flows. */
static void
test_released_while_beginning(void **state)
{
    struct scene s;
    make_scene(&s, *state);
    for (size_t i = 0; i < N_SERVERS; i++) {
        rig_apply(s.rig, &(struct rig_request) { .operation = rig_delete_server, .server = s.servers[i] });
    }
    for (unsigned parts = 0; parts < 8; parts++) {
        rig_apply(s.rig, &(struct rig_request) {
            .operation = rig_put_bridge, .dpid = RIG_DPID, .uplinks = { "p1" }, .n_uplinks = 1,
        });
        assert_true(fake_switch_count(&s.peer->fs, OURS) > 0);
        fake_switch_add_flow(&s.peer->fs, "table=0,priority=60000,cookie=0x5350010000000099,dl_type=0x1234,actions=group:7");
        bool told = parts >= 4;
        s.peer->fs.hold_dumps = !told;
        hold_beginning(&s);
        for (unsigned i = 0; i < parts % 4; i++) {
            assert_true(sp_datapath_begin_step(s.dp));
        }
        RIG_UNTIL(s.rig, !told || s.dp->sw->told);
        size_t n_dumps = s.peer->fs.n_dumps - told;
        struct rig_request request = { .operation = rig_delete_bridge, .dpid = RIG_DPID, .wait_ms = 60000 };
        assert_int_equal(rig_post(s.rig, &request), 0);
        if (!told) {
            RIG_UNTIL(s.rig, s.dp->releasing);
            /* The end of what was asked for before says nothing. */
            struct sp_event done = { .kind = SP_EVENT_DUMP_DONE };
            sp_switch_event(s.dp->sw, &done, sp_engine_now(s.rig->engine));
            assert_false(s.dp->sw->told || s.dp->sw->work.stage);
            go_on(&s);
        }
        s.rig->engine->parts_max = SIZE_MAX;
        RIG_UNTIL(s.rig, s.peer->fs.n_dumps == n_dumps + 2); /* What was asked before tells too little. */
        RIG_UNTIL(s.rig, request.done && fake_switch_count(&s.peer->fs, OURS) == 0);
        rig_request_clear(&request);
        RIG_UNTIL(s.rig, !s.dp->releasing);
    }
}

/* The connection goes between two parts. */
static void
test_lost_between(void **state)
{
    struct scene s;
    make_scene(&s, *state);
    size_t mods = s.peer->fs.n_flow_mods;
    for (unsigned parts = 0; parts < 60; parts += 7) {
        hold_beginning(&s);
        for (unsigned i = 0; i < parts; i++) {
            sp_datapath_begin_step(s.dp);
        }
        RIG_UNTIL(s.rig, parts % 2 || s.dp->sw->told);
    }
    reconnect(&s, SIZE_MAX);
    for (unsigned parts = 0; parts < 9; parts++) {
        hold_foreseeing(&s, parts);
        fake_switch_go_on(&s.peer->fs);
        reconnect(&s, SIZE_MAX);
    }
    for (unsigned parts = 0; parts < 9; parts++) {
        hold_learning(&s);
        for (unsigned i = 0; i < parts; i++) {
            sp_switch_work(s.dp->sw, sp_engine_now(s.rig->engine));
        }
    }
    reconnect(&s, SIZE_MAX);
    RIG_UNTIL(s.rig, rig_in_force(s.rig, RIG_DPID));
    assert_int_equal(s.peer->fs.n_flow_mods, mods);
    rig_check(s.rig);
}

/* While the switch gathers its answer is found out what that will mean if it is what it was; it is. */
static void
test_foreseen(void **state)
{
    struct scene s;
    make_scene(&s, *state);
    size_t mods = s.peer->fs.n_flow_mods, n_flushed = s.peer->fs.n_flushed;
    unsigned n_at[SP_FORESEEN_DRAIN + 1] = { 0 };
    for (unsigned parts = 0; n_at[SP_FORESEEN_READY] < 2; parts++) {
        n_at[hold_foreseeing(&s, parts)]++;
        assert_int_equal(rig_status(s.rig, RIG_DPID, NULL).flows_installed, 0);
        struct sp_switch *sw = s.dp->sw;
        bool gathered = false, taken = false;
        sp_flow_table_free(sw->owners);
        sw->owners = sp_flow_table_new();
        go_on(&s);
        RIG_UNTIL(s.rig, (gathered = gathered || sw->work.stage == SP_DUMP_GATHER, taken = taken || sw->work.is_foreseen,
                          rig_in_force(s.rig, RIG_DPID) && sw->phase == SP_SWITCH_IDLE));
        assert_false(gathered);
        assert_true(taken);
        assert_true(sw->is_mirrored);
        assert_null(sw->foreseen.table);
        assert_int_equal(sw->n_dirty, 0);
        assert_int_equal(sp_flow_table_count(sw->owners), N_SERVERS); /* The dump tells whose the zones are. */
        assert_int_equal(rig_status(s.rig, RIG_DPID, NULL).flows_installed, fake_switch_count(&s.peer->fs, OURS));
        for (size_t i = 0; i < N_SERVERS; i++) {
            assert_int_equal(sp_engine_port_state(s.rig->engine, rig_port_of(s.rig, &s.servers[i])), SP_PORT_ACTIVE);
        }
    }
    assert_true(n_at[SP_FORESEEN_FILL] && n_at[SP_FORESEEN_MATCH]);
    assert_int_equal(s.peer->fs.n_flow_mods, mods);
    assert_int_equal(s.peer->fs.n_flushed, n_flushed);
    rig_check(s.rig);

    /* And the units have it: what changes later is the difference. */
    struct rig_request request = rig_rules_request(&s.web, 443);
    rig_apply(s.rig, &request);
    assert_in_range(s.peer->fs.n_flow_mods - mods, 1, 40);
    finish(&s, NULL);
}

/* It is not: the switch has lost something meanwhile, or has something else, or more. */
static void
test_not_as_foreseen(void **state)
{
    static const char *const others[] = {
        "table=41,priority=200,cookie=0x5350010000000077,dl_type=0x0806,actions=drop",
        "table=0,priority=60000,cookie=0x5350010000000099,dl_type=0x1234,actions=NORMAL",
        "table=0,priority=60000,cookie=0x5350010000000099,dl_type=0x1234,actions=group:7", /* Not even understood. */
    };
    struct scene s;
    make_scene(&s, *state);
    unsigned n_ready = 0;
    for (unsigned parts = 0; n_ready < 5; parts++) {
        n_ready += hold_foreseeing(&s, parts) == SP_FORESEEN_READY;
        size_t mods = s.peer->fs.n_flow_mods, n = fake_switch_count(&s.peer->fs, OURS);
        if (parts % 4 == 3) {
            assert_true(fake_switch_forget(&s.peer->fs, SP_COOKIE(SP_COOKIE_PORT, 0), UINT64_MAX << 40) > 0);
        } else {
            fake_switch_add_flow(&s.peer->fs, others[parts % 4]);
        }
        go_on(&s);
        finish(&s, NULL);
        assert_true(s.peer->fs.n_flow_mods > mods);
        assert_int_equal(fake_switch_count(&s.peer->fs, OURS), n);
        assert_null(s.dp->sw->foreseen.table);
    }
}

/* It would have been, but for what changes while it is being found out. */
static void
test_change_while_foreseeing(void **state)
{
    struct scene s;
    make_scene(&s, *state);
    unsigned n_ready = 0;
    for (unsigned parts = 0; n_ready < 4; parts++) {
        n_ready += hold_foreseeing(&s, parts) == SP_FORESEEN_READY;
        size_t mods = s.peer->fs.n_flow_mods;
        struct rig_request request = rig_rules_request(&s.web, 1000 + (int) parts);
        if (parts % 3 == 1) {
            request = (struct rig_request) { .operation = rig_delete_server, .server = s.servers[parts] };
        } else if (parts % 3 == 2) {
            fake_switch_port_status(&s.peer->fs, 50, "p50", s.peer->fs.n_ports == FREE_PORT);
            rig_peer_flush(s.peer);
        }
        publish(&s, &request);
        assert_int_equal(s.peer->fs.n_flow_mods, mods);
        go_on(&s);
        finish(&s, &request);
        assert_in_range(s.peer->fs.n_flow_mods - mods, 1, 60); /* What differs. */
        assert_null(s.dp->sw->foreseen.table);
    }
}

/* No more bridges are begun with at a time than there may; one that takes long stands in nobody's way for ever. */
static void
test_one_after_the_other(void **state)
{
    struct rig *rig = *state;
    rig->engine->starting_max = 1;
    rig_make_server(rig, 1, NULL);
    rig_apply(rig, &(struct rig_request) { .operation = rig_put_bridge, .dpid = RIG_DPID + 1 });
    rig->engine->parts_max = 1;
    rig_peer(rig, RIG_DPID, 1);
    struct sp_datapath *first = sp_engine_datapath(rig->engine, RIG_DPID);
    struct sp_datapath *second = sp_engine_datapath(rig->engine, RIG_DPID + 1);
    RIG_UNTIL(rig, first->sw->work.stage);
    rig->engine->parts_max = 0; /* It stays where it is. */
    rig_peer(rig, RIG_DPID + 1, 1);
    RIG_UNTIL(rig, second->queue);
    sp_datapath_dequeue(first);
    rig->engine->parts_max = SIZE_MAX;
    first->begun_ms = sp_engine_now(rig->engine) + 60000; /* However slow this machine is. */
    rig_turns(rig, 20);
    assert_false(second->ports_known);
    assert_false(rig_status(rig, RIG_DPID + 1, NULL).connected);

    first->begun_ms = sp_engine_now(rig->engine) - 1000;
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID + 1) && rig_status(rig, RIG_DPID + 1, NULL).connected);
    assert_true(sp_switch_is_starting(first->sw));

    /* And it goes on when the one before it is in step. */
    rig_peer_disconnect(&rig->peers[1]);
    RIG_UNTIL(rig, !rig_status(rig, RIG_DPID + 1, NULL).connected);
    first->begun_ms = sp_engine_now(rig->engine) + 60000;
    rig_peer_connect(&rig->peers[1]);
    RIG_UNTIL(rig, second->queue);
    rig_turns(rig, 20);
    assert_false(second->ports_known);
    sp_datapath_queue(first);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID) && second->ports_known && rig_in_force(rig, RIG_DPID + 1));
}

/* Bridges that wait to be begun with go before checks of others; but not for ever. */
static void
test_checks_wait(void **state)
{
    struct rig *rig = *state;
    rig_make_server(rig, 1, NULL);
    rig_apply(rig, &(struct rig_request) { .operation = rig_put_bridge, .dpid = RIG_DPID + 1 });
    rig_peer(rig, RIG_DPID, 1);
    struct sp_switch *sw = sp_engine_datapath(rig->engine, RIG_DPID)->sw;
    struct sp_datapath *second = sp_engine_datapath(rig->engine, RIG_DPID + 1);
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID) && sw->phase == SP_SWITCH_IDLE);
    rig->engine->parts_max = 0;
    rig_peer(rig, RIG_DPID + 1, 1);
    RIG_UNTIL(rig, second->queue);
    int64_t now = sp_engine_now(rig->engine);
    sw->check_at_ms = now;
    sp_switch_tick(sw, now);
    assert_int_equal(sw->phase, SP_SWITCH_IDLE);
    sp_switch_tick(sw, now + 9999);
    assert_int_equal(sw->phase, SP_SWITCH_IDLE);
    sp_switch_tick(sw, now + 10000);
    assert_int_equal(sw->phase, SP_SWITCH_CHECKING);

    rig->engine->parts_max = SIZE_MAX;
    RIG_UNTIL(rig, rig_in_force(rig, RIG_DPID) && rig_in_force(rig, RIG_DPID + 1) && sw->phase == SP_SWITCH_IDLE);
    now = sp_engine_now(rig->engine);
    sw->check_at_ms = now;
    sp_switch_tick(sw, now);
    assert_int_equal(sw->phase, SP_SWITCH_CHECKING);
}

/* A bridge that comes back before what the end of its last connection means has been done is not a second one. */
static void
test_back_before_it_went(void **state)
{
    struct scene s;
    make_scene(&s, *state);
    size_t mods = s.peer->fs.n_flow_mods;
    uint64_t connects = rig_counters_of(s.rig).connects;
    s.rig->engine->parts_max = 0;
    rig_peer_disconnect(s.peer);
    RIG_UNTIL(s.rig, s.dp->gone);
    rig_turns(s.rig, 5);
    assert_true(rig_status(s.rig, RIG_DPID, NULL).connected);

    /* Whatever concerns it waits. */
    struct rig_request request = rig_rules_request(&s.web, 443);
    publish(&s, &request);
    sp_engine_check_peers(s.rig->engine);
    rig_peer_connect(s.peer);
    RIG_UNTIL(s.rig, rig_counters_of(s.rig).connects == connects + 1);
    s.rig->engine->parts_max = SIZE_MAX;
    RIG_UNTIL(s.rig, request.done);
    assert_false(request.outcome.applied); /* That was another connection. */
    rig_request_clear(&request);
    RIG_UNTIL(s.rig, rig_in_force(s.rig, RIG_DPID));
    assert_null(rig_status(s.rig, RIG_DPID, (char[300]) { "" }).last_error);
    assert_true(s.peer->fs.n_flow_mods > mods);
    assert_false(s.peer->closed_by_peer);
    rig_check(s.rig);
}

int
main(void)
{
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_change_while_learning),    TEST(test_change_while_checking), TEST(test_told_while_learning),
        TEST(test_change_while_beginning),   TEST(test_released_while_beginning), TEST(test_lost_between),
        TEST(test_back_before_it_went),      TEST(test_one_after_the_other),
        TEST(test_checks_wait),              TEST(test_foreseen),             TEST(test_not_as_foreseen),
        TEST(test_change_while_foreseeing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
