#include "tests/support/rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "controller/engine_state.h"
#include "controller/switch_units.h"
#include "tests/support/world.h"

int
rig_setup(void **state)
{
    struct rig *rig = malloc(sizeof *rig);
    assert_non_null(rig);
    rig_open(rig);
    rig_apply(rig, &(struct rig_request) { .operation = rig_region, .region = "SV2" });
    *state = rig;
    return 0;
}

int
rig_teardown(void **state)
{
    rig_close(*state);
    free(*state);
    return 0;
}

struct sp_uuid
rig_make_group(struct rig *rig, const char *name, int first, size_t n)
{
    struct rig_request request = { .operation = rig_create_group, .region = "SV2", .name = name, .n_rules = n };
    for (size_t i = 0; i < n; i++) {
        request.rules[i] = world_rule(SP_INBOUND, SP_PROTOCOL_TCP, first + (int) i, first + (int) i);
    }
    rig_apply(rig, &request);
    return request.id;
}

struct sp_uuid
rig_make_server(struct rig *rig, uint8_t last, const struct sp_uuid *group)
{
    char ip[32], name[16];
    struct sp_cidr storage;
    snprintf(ip, sizeof ip, "10.0.0.%u", last);
    snprintf(name, sizeof name, "p%u", last);
    struct rig_request request = { .operation = rig_create_server, .region = "SV2", .n_ports = 1,
                                   .ports = { world_port(RIG_DPID, name, last, ip, &storage) } };
    if (group) {
        request.groups[request.n_groups++] = *group;
    }
    rig_apply(rig, &request);
    return request.id;
}

const struct sp_port *
rig_port_of(struct rig *rig, const struct sp_uuid *server)
{
    return sp_model_server(sp_engine_model(rig->engine), server)->ports[0];
}

struct rig_request
rig_rules_request(const struct sp_uuid *group, int port)
{
    return (struct rig_request) { .operation = rig_replace_rules, .group = *group, .n_rules = 1,
                                  .rules = { world_rule(SP_INBOUND, SP_PROTOCOL_TCP, port, port) } };
}

struct sp_engine_counters
rig_counters_of(struct rig *rig)
{
    struct sp_engine_counters counters;
    sp_engine_counters(rig->engine, &counters);
    return counters;
}

void
rig_check_now(struct rig *rig)
{
    struct sp_switch *sw = sp_engine_datapath(rig->engine, RIG_DPID)->sw;
    sw->check_at_ms = 0;
    sp_switch_tick(sw, sp_engine_now(rig->engine));
}

void
rig_retry_now(struct rig *rig)
{
    struct sp_switch *sw = sp_engine_datapath(rig->engine, RIG_DPID)->sw;
    sw->retry_at_ms = 0;
    sp_switch_tick(sw, sp_engine_now(rig->engine));
}
