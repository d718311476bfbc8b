/* Random changes of everything, one after the other and several in one commit, while switches come and go: what the changes
 * leave on each bridge, unit by unit, is what a compilation of the whole gives; what the switch has is, flow by flow, what an
 * engine that starts with the same store brings to an empty switch; and a restart sends nothing.  SP_SEED repeats a run,
 * SP_STEPS makes it longer. */

#include "tests/support/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/engine_state.h"
#include "controller/model/tables.h"
#include "controller/switch_units.h"
#include "sallyport/pipeline.h"
#include "tests/support/random.h"
#include "tests/support/world.h"

#define N_BRIDGES 2
#define N_PORTS 6
#define N_IFACES 3
#define IDS_MAX 64

struct chaos {
    struct rig rig;
    struct sp_random random;
    struct sp_uuid groups[2][IDS_MAX];
    size_t n_groups[2];
    struct sp_uuid servers[2][IDS_MAX];
    size_t n_servers[2];
    struct sp_cidr ips[8];
    struct sp_address_pair pairs[2];
    char names[8][8];
    unsigned n_refused;
    unsigned n_accepted;
    bool hostile; /* Switches refuse flows now and then. */
};

static const char *const regions[2] = { "SV2", "TY2" };
static const char *const ifaces[N_IFACES] = { "tap-1", "tap-2", "tap-3" };

static uint32_t
below(struct chaos *c, uint32_t n)
{
    return sp_random_below(&c->random, n);
}

static int
note_group(void *aux, const struct sp_group *group)
{
    struct chaos *c = aux;
    size_t r = !strcmp(group->region, regions[1]);
    if (c->n_groups[r] < IDS_MAX) {
        c->groups[r][c->n_groups[r]++] = group->id;
    }
    return 0;
}

static int
note_server(void *aux, const struct sp_server *server)
{
    struct chaos *c = aux;
    size_t r = !strcmp(server->region, regions[1]);
    if (c->n_servers[r] < IDS_MAX) {
        c->servers[r][c->n_servers[r]++] = server->id;
    }
    return 0;
}

static void
take_note(struct chaos *c)
{
    memset(c->n_groups, 0, sizeof c->n_groups);
    memset(c->n_servers, 0, sizeof c->n_servers);
    sp_model_each_group(sp_engine_model(c->rig.engine), NULL, note_group, c);
    sp_model_each_server(sp_engine_model(c->rig.engine), NULL, note_server, c);
}

static void
random_rules(struct chaos *c, struct rig_request *request, size_t r)
{
    request->n_rules = below(c, 5);
    for (size_t i = 0; i < request->n_rules; i++) {
        int port = (int) (80 + below(c, 4));
        enum sp_direction direction = below(c, 3) ? SP_INBOUND : SP_OUTBOUND;
        if (c->n_groups[r] && below(c, 2)) {
            const struct sp_uuid *group = &c->groups[r][below(c, (uint32_t) c->n_groups[r])];
            request->rules[i] = world_rule_group(direction, SP_PROTOCOL_TCP, port, group);
        } else {
            request->rules[i] = world_rule(direction, below(c, 2) ? SP_PROTOCOL_TCP : SP_PROTOCOL_UDP, port,
                                           port + (int) below(c, 9));
        }
        request->rules[i].meaning.action = below(c, 4) ? SP_ALLOW : SP_DENY;
        request->rules[i].meaning.priority = (uint16_t) (1 + below(c, 3));
    }
}

static void
random_groups(struct chaos *c, struct rig_request *request, size_t r)
{
    uint32_t first = c->n_groups[r] ? below(c, (uint32_t) c->n_groups[r]) : 0;
    request->n_groups = below(c, 4);
    request->n_groups = request->n_groups < c->n_groups[r] ? request->n_groups : c->n_groups[r];
    for (size_t i = 0; i < request->n_groups; i++) {
        request->groups[i] = c->groups[r][(first + i) % c->n_groups[r]];
    }
}

static void
random_ports(struct chaos *c, struct rig_request *request)
{
    request->n_ports = below(c, 3);
    for (size_t i = 0; i < request->n_ports; i++) {
        struct sp_port_input *port = &request->ports[i];
        unsigned number = 1 + below(c, N_PORTS);
        char ip[32];
        snprintf(ip, sizeof ip, below(c, 3) ? "10.0.0.%u" : "2001:db8::%u", 1 + below(c, 5));
        snprintf(c->names[i], sizeof c->names[i], "p%u", number);
        *port = world_port(0x100 + below(c, N_BRIDGES), c->names[i], (uint8_t) (1 + below(c, 8)), ip, &c->ips[i]);
        port->vlan = below(c, 3) ? 0 : 10;
        port->port_security = below(c, 6) != 0;
        if (!below(c, 4)) {
            port->has_bridge = false;
            port->name = NULL;
            port->iface_id = ifaces[below(c, N_IFACES)];
        }
        if (!below(c, 4)) {
            assert_int_equal(sp_cidr_parse("10.9.0.0/24", &c->pairs[i].ip), 0);
            c->pairs[i].mac = (struct sp_mac) { { 2, 0, 0, 0, 1, (uint8_t) below(c, 2) } };
            port->pairs = &c->pairs[i];
            port->n_pairs = 1;
        }
    }
}

/* A random request; false if there is nothing to ask for. */
static bool
random_request(struct chaos *c, struct rig_request *request)
{
    size_t r = below(c, 2);
    *request = (struct rig_request) { .region = regions[r], .name = "any", .is_default = -1 };
    struct sp_uuid none = { { 0 } };
    request->group = c->n_groups[r] ? c->groups[r][below(c, (uint32_t) c->n_groups[r])] : none;
    request->server = c->n_servers[r] ? c->servers[r][below(c, (uint32_t) c->n_servers[r])] : none;
    switch (below(c, 12)) {
    case 0:
        request->operation = rig_create_group;
        random_rules(c, request, r);
        return c->n_groups[r] < 5;
    case 1:
    case 2:
    case 3:
        request->operation = rig_replace_rules;
        random_rules(c, request, r);
        return c->n_groups[r];
    case 4:
        request->operation = rig_delete_group;
        return c->n_groups[r];
    case 5:
        request->operation = rig_patch_group;
        request->is_default = !below(c, 3);
        return c->n_groups[r] && !below(c, 3);
    case 6:
    case 7:
        request->operation = rig_create_server;
        random_groups(c, request, r);
        random_ports(c, request);
        return c->n_servers[r] < 8;
    case 8:
        request->operation = rig_set_groups;
        random_groups(c, request, r);
        return c->n_servers[r];
    case 9:
        request->operation = rig_set_ports;
        random_ports(c, request);
        return c->n_servers[r];
    case 10:
        request->operation = rig_delete_server;
        return c->n_servers[r] && below(c, 2);
    default:
        request->operation = below(c, 4) ? rig_put_bridge : rig_delete_bridge;
        request->dpid = 0x100 + below(c, N_BRIDGES);
        request->n_uplinks = below(c, 3);
        for (size_t i = 0; i < request->n_uplinks; i++) {
            static const char *const uplinks[] = { "p5", "p6" };
            request->uplinks[i] = uplinks[i];
        }
        return !below(c, 3);
    }
}

/* Something that the switches or the database do. */
static void
random_event(struct chaos *c)
{
    struct rig_peer *peer = &c->rig.peers[below(c, N_BRIDGES)];
    unsigned number = 1 + below(c, N_PORTS);
    char name[8];
    snprintf(name, sizeof name, "p%u", number);
    switch (below(c, 4)) {
    case 0: {
        bool there = false;
        for (size_t i = 0; i < peer->fs.n_ports; i++) {
            there = there || peer->fs.ports[i].no == number;
        }
        fake_switch_port_status(&peer->fs, (uint16_t) number, name, there);
        rig_peer_flush(peer);
        break;
    }
    case 1:
        if (peer->open && !below(c, 3)) {
            rig_peer_disconnect(peer);
        }
        break;
    default:
        sp_engine_bind_iface(c->rig.engine, ifaces[below(c, N_IFACES)], 0x100 + below(c, N_BRIDGES), name, below(c, 2));
        break;
    }
    if (!peer->open) {
        rig_peer_connect(peer);
    }
}

/* Some rules, some ports, or whatever is one too many. */
static void
random_refusal(struct chaos *c)
{
    struct rig_peer *peer = &c->rig.peers[below(c, N_BRIDGES)];
    peer->fs.refuse_mask = 0;
    peer->fs.table_limit = 1u << 24;
    peer->fs.refuse_flush = false;
    switch (below(c, 5)) {
    case 0:
        peer->fs.refuse_cookie = SP_COOKIE(SP_COOKIE_RULE, below(c, 4));
        peer->fs.refuse_mask = UINT64_MAX << 40 | 3;
        break;
    case 1:
        peer->fs.refuse_cookie = SP_COOKIE(SP_COOKIE_PORT, below(c, 2));
        peer->fs.refuse_mask = UINT64_MAX << 40 | 1;
        break;
    case 2:
        peer->fs.table_limit = peer->fs.n_entries + below(c, 30);
        break;
    case 3:
        peer->fs.refuse_flush = true;
        break;
    default:
        break;
    }
}

/* The switches take everything again, and what they refused is tried again. */
static void
heal(struct chaos *c)
{
    for (size_t i = 0; i < N_BRIDGES; i++) {
        struct rig_peer *peer = &c->rig.peers[i];
        peer->fs.refuse_mask = 0;
        peer->fs.refuse_flush = false;
        peer->fs.table_limit = 1u << 24;
        struct sp_datapath *dp;
        RIG_UNTIL(&c->rig, (dp = sp_engine_datapath(c->rig.engine, peer->fs.dpid)) && dp->ports_known
                               && dp->sw->phase != SP_SWITCH_APPLYING);
        dp->sw->retry_at_ms = 0;
        sp_switch_tick(dp->sw, sp_engine_now(c->rig.engine));
    }
}

/* Where interfaces are, as OVSDB would say it. */
struct places {
    struct {
        char id[16], name[16];
        uint64_t dpid;
    } places[IDS_MAX];
    size_t n;
};

static void
note_places(struct places *places, const struct rig *rig)
{
    size_t cursor = 0;
    places->n = 0;
    for (struct sp_index_node *head = NULL; (head = sp_index_next_head(&rig->engine->ifaces, head, &cursor));) {
        for (struct sp_index_node *node = head; node; node = sp_index_next(head, node)) {
            const struct sp_iface *iface = node->owner;
            assert_true(places->n < IDS_MAX);
            snprintf(places->places[places->n].id, sizeof places->places[0].id, "%s", iface->id);
            snprintf(places->places[places->n].name, sizeof places->places[0].name, "%s", iface->place.name);
            places->places[places->n++].dpid = iface->place.dpid;
        }
    }
}

static void
tell_places(const struct places *places, struct rig *rig)
{
    for (size_t i = 0; i < places->n; i++) {
        sp_engine_bind_iface(rig->engine, places->places[i].id, places->places[i].dpid, places->places[i].name, true);
    }
}

/* Whether the engine knows the ports that the switch has. */
static bool
ports_told(const struct sp_datapath *dp, const struct fake_switch *fs)
{
    size_t n, same = 0;
    struct sp_ofport **ports = sp_datapath_sorted_ofports(dp, &n);
    assert_non_null(ports);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < fs->n_ports; j++) {
            same += ports[i]->number == fs->ports[j].no;
        }
    }
    free(ports);
    return same == n && n == fs->n_ports;
}

/* Until all bridges are connected, their ports known and what they shall have there. */
static void
settle(struct rig *rig)
{
    for (size_t i = 0; i < rig->n_peers; i++) {
        struct rig_peer *peer = &rig->peers[i];
        struct sp_datapath *dp;
        RIG_UNTIL(rig, (dp = sp_engine_datapath(rig->engine, peer->fs.dpid)) && dp->ports_known && ports_told(dp, &peer->fs)
                           && !dp->releasing && rig_in_force(rig, peer->fs.dpid));
    }
}

/* The switches have what an engine that starts with the same store brings to empty ones with the same ports. */
static void
check_fresh(struct chaos *c)
{
    struct rig *fresh = malloc(sizeof *fresh);
    assert_non_null(fresh);
    settle(&c->rig);
    struct places places;
    note_places(&places, &c->rig);
    rig_open_like(fresh, &c->rig);
    tell_places(&places, fresh);
    for (size_t i = 0; i < c->rig.n_peers; i++) {
        const struct fake_switch *fs = &c->rig.peers[i].fs;
        struct rig_peer *peer = rig_peer(fresh, fs->dpid, 0);
        memcpy(peer->fs.ports, fs->ports, sizeof fs->ports);
        peer->fs.n_ports = fs->n_ports;
    }
    settle(fresh);
    for (size_t i = 0; i < c->rig.n_peers; i++) {
        char why[400];
        if (!fake_switch_equal(&c->rig.peers[i].fs, &fresh->peers[i].fs, why, sizeof why)) {
            fail_msg("bridge %zu, by its changes and from nothing: %s", i, why);
        }
    }
    rig_close(fresh);
    free(fresh);
}

static void
check_all(struct chaos *c)
{
    rig_check(&c->rig);
    if (c->hostile) {
        heal(c);
    }
    for (size_t i = 0; i < N_BRIDGES; i++) {
        struct rig_peer *peer = &c->rig.peers[i];
        struct sp_datapath *dp;
        /* Connected, and what it shall have is there. */
        RIG_UNTIL(&c->rig, (dp = sp_engine_datapath(c->rig.engine, peer->fs.dpid)) && dp->ports_known && !dp->releasing
                               && rig_in_force(&c->rig, peer->fs.dpid));
        if (!sp_switch_is_enforced(dp->sw)) {
            assert_int_equal(fake_switch_count(&peer->fs, SP_COOKIE_OWNER, SP_COOKIE_OWNER_MASK), 0);
            continue;
        }
        struct sp_bridge_status status = rig_status(&c->rig, peer->fs.dpid, NULL);
        assert_int_equal(status.flows_desired, status.flows_installed);
        assert_int_equal(status.flows_installed, fake_switch_count(&peer->fs, SP_COOKIE_OWNER, SP_COOKIE_OWNER_MASK));
        size_t dumps = peer->fs.n_dumps;
        dp->sw->check_at_ms = 0;
        sp_switch_tick(dp->sw, sp_engine_now(c->rig.engine));
        RIG_UNTIL(&c->rig, peer->fs.n_dumps > dumps && dp->sw->phase == SP_SWITCH_IDLE);
    }
    struct sp_engine_counters counters;
    sp_engine_counters(c->rig.engine, &counters);
    assert_int_equal(counters.drift_repaired, 0);
    assert_true(c->hostile || !counters.bundles_discarded);
}

static void
step(struct chaos *c)
{
    struct rig_request requests[4];
    size_t n = 0, wanted = below(c, 3) ? 1 : 4;
    take_note(c);
    c->rig.engine->model->counters.next_zone = 1; /* As if all the others were taken: who comes gets the zone of who went. */
    for (size_t i = 0; i < wanted; i++) {
        if (!random_request(c, &requests[n])) {
            continue;
        }
        requests[n].wait_ms = c->hostile ? 200 : 5000;
        assert_int_equal(rig_post(&c->rig, &requests[n]), 0);
        n++;
        /* The inputs' storage is one request's; those that use none share a commit. */
        if (requests[n - 1].n_ports) {
            RIG_UNTIL(&c->rig, requests[n - 1].done);
        }
    }
    c->rig.store.fail = below(c, 15) ? 0 : -5;
    if (c->hostile && !below(c, 4)) {
        random_refusal(c);
    }
    if (!below(c, 4)) {
        random_event(c);
    }
    for (size_t i = 0; i < n; i++) {
        RIG_UNTIL(&c->rig, requests[i].done);
        c->n_accepted += !requests[i].outcome.error;
        c->n_refused += requests[i].outcome.error != 0;
        rig_request_clear(&requests[i]);
    }
    c->rig.store.fail = 0;
    rig_check(&c->rig);
}

static void
run(bool hostile, size_t parts_max, unsigned n_steps)
{
    struct chaos *c = calloc(1, sizeof *c);
    assert_non_null(c);
    c->hostile = hostile;
    sp_random_init(&c->random);
    print_message("seed %llu\n", (unsigned long long) c->random.seed);
    rig_open(&c->rig);
    c->rig.parts_max = parts_max;
    c->rig.engine->parts_max = parts_max ? parts_max : c->rig.engine->parts_max;
    for (size_t i = 0; i < 2; i++) {
        rig_apply(&c->rig, &(struct rig_request) { .operation = rig_region, .region = regions[i] });
    }
    for (uint64_t i = 0; i < N_BRIDGES; i++) {
        rig_apply(&c->rig, &(struct rig_request) { .operation = rig_put_bridge, .dpid = 0x100 + i });
        rig_peer(&c->rig, 0x100 + i, N_PORTS);
    }
    const char *text = getenv("SP_STEPS");
    n_steps = text ? (unsigned) atoi(text) : n_steps;
    for (unsigned i = 0; i < n_steps; i++) {
        step(c);
        if (!hostile) {
            check_fresh(c);
        }
        if (i % 20 == 19) {
            check_all(c);
        }
    }
    check_all(c);
    print_message("%u requests accepted, %u refused\n", c->n_accepted, c->n_refused);
    assert_true(c->n_accepted > n_steps / 4);
    struct sp_engine_counters counters;
    sp_engine_counters(c->rig.engine, &counters);
    assert_int_equal(counters.bundles_discarded > 0, hostile);

    /* A restart finds everything as it was.  Where interfaces are is OVSDB's to say again, before the bridges come. */
    struct places places;
    note_places(&places, &c->rig);
    rig_restart(&c->rig);
    tell_places(&places, &c->rig);
    for (size_t i = 0; i < N_BRIDGES; i++) {
        rig_peer_connect(&c->rig.peers[i]);
    }
    check_all(c);
    sp_engine_counters(c->rig.engine, &counters);
    assert_int_equal(counters.flow_mods_sent, 0);
    assert_int_equal(counters.zones_flushed, 0);
    rig_close(&c->rig);
    free(c);
}

static void
test_changes(void **state)
{
    run(false, 0, 300);
}

static void
test_refusals(void **state)
{
    run(true, 0, 200);
}

/* Whatever happens between two parts of the work that is done in parts. */
static void
test_parts(void **state)
{
    run(true, 1, 100);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
