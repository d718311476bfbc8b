#include "tests/support/world.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/model/object.h"

void world_open(struct world *world)
{
    *world = (struct world) { .model = sp_model_new(), .now_us = 1700000000000000 };
    assert_non_null(world->model);
    sp_problems_init(&world->problems);
}

static void forget_changes(struct world *world)
{
    for (size_t i = 0; i < world->n_changes; i++) {
        sp_object_unref((struct sp_object) { world->changes[i].kind, world->changes[i].before });
        sp_object_unref((struct sp_object) { world->changes[i].kind, world->changes[i].after });
    }
    free(world->changes);
    world->changes = NULL;
    world->n_changes = 0;
}

void world_close(struct world *world)
{
    forget_changes(world);
    sp_problems_clear(&world->problems);
    sp_model_free(world->model);
}

void world_begin(struct world *world)
{
    sp_problems_clear(&world->problems);
    world->now_us += 1000;
    world->batch = sp_batch_begin(world->model, world->now_us);
    assert_non_null(world->batch);
    world->mark = sp_batch_mark(world->batch);
}

int world_end(struct world *world, int r)
{
    uint64_t before = sp_model_counters(world->model)->revision, revision = 0;
    forget_changes(world);
    if (r) {
        sp_batch_rollback(world->batch, world->mark);
    } else {
        assert_int_equal(sp_batch_accept(world->batch, world->mark, &revision), 0);
    }
    sp_batch_seal(world->batch);
    const struct sp_change *changes = sp_batch_changes(world->batch, &world->n_changes);
    world->changes = calloc(world->n_changes + 1, sizeof *world->changes);
    assert_non_null(world->changes);
    for (size_t i = 0; i < world->n_changes; i++) {
        world->changes[i] = changes[i];
        sp_object_ref((struct sp_object) { changes[i].kind, changes[i].before });
        sp_object_ref((struct sp_object) { changes[i].kind, changes[i].after });
    }
    size_t n_of = 0;
    const struct sp_change *own = sp_batch_changes_of(world->batch, before + 1, &n_of);
    assert_int_equal(n_of, world->n_changes);
    for (size_t i = 0; i < n_of; i++) {
        assert_true(own[i].kind == changes[i].kind && own[i].before == changes[i].before && own[i].after == changes[i].after);
    }
    sp_batch_publish(world->batch);
    sp_batch_free(world->batch);
    world->batch = NULL;
    assert_int_equal(sp_model_counters(world->model)->revision, before + (world->n_changes ? 1 : 0));
    assert_true(r || revision == sp_model_counters(world->model)->revision);
    world_check(world->model);
    return r;
}

void world_region(struct world *world, const char *name)
{
    bool created;
    world_begin(world);
    assert_int_equal(world_end(world, sp_batch_put_region(world->batch, name, &created, &world->problems)), 0);
    assert_true(created);
}

struct sp_uuid world_group(struct world *world, const char *region, const char *name, const struct sp_rule_input *rules, size_t n)
{
    struct sp_uuid id;
    struct sp_group_input input = { .region = region, .name = name, .has_rules = true, .rules = rules, .n_rules = n };
    world_begin(world);
    assert_int_equal(world_end(world, sp_batch_create_group(world->batch, &input, &id, &world->problems)), 0);
    return id;
}

struct sp_uuid world_server(struct world *world, const char *region, const char *name, const struct sp_uuid *groups,
                            size_t n_groups, const struct sp_port_input *ports, size_t n_ports)
{
    struct sp_uuid id;
    struct sp_server_input input = { .region = region, .name = name, .has_groups = groups, .groups = groups, .n_groups = n_groups,
                                     .ports = ports, .n_ports = n_ports };
    world_begin(world);
    assert_int_equal(world_end(world, sp_batch_create_server(world->batch, &input, &id, &world->problems)), 0);
    return id;
}

struct sp_rule_input world_rule(enum sp_direction direction, int protocol, int port_min, int port_max)
{
    return (struct sp_rule_input) {
        .meaning = { .direction = direction, .action = SP_ALLOW, .priority = SP_PRIORITY_DEFAULT, .protocol = protocol,
                     .port_min = port_min, .port_max = port_max, .icmp_type = -1, .icmp_code = -1 },
        .description = "", .path = "",
    };
}

struct sp_rule_input world_rule_group(enum sp_direction direction, int protocol, int port, const struct sp_uuid *group)
{
    struct sp_rule_input rule = world_rule(direction, protocol, port, port);
    rule.meaning.remote = SP_REMOTE_GROUP;
    rule.meaning.remote_group = *group;
    return rule;
}

struct sp_port_input world_port(uint64_t dpid, const char *name, uint8_t last, const char *ip, struct sp_cidr *storage)
{
    struct sp_port_input port = { .mac = { { 2, 0, 0, 0, 0, last } }, .has_bridge = true, .dpid = dpid, .name = name,
                                  .port_security = true };
    if (ip) {
        assert_int_equal(sp_cidr_parse(ip, storage), 0);
        port.ips = storage;
        port.n_ips = 1;
    }
    return port;
}

bool world_has_problem(const struct world *world, const char *field)
{
    for (size_t i = 0; i < world->problems.n; i++) {
        if (!strcmp(world->problems.problems[i].field, field)) {
            return true;
        }
    }
    for (size_t i = 0; i < world->problems.n; i++) {
        print_message("%s: %s\n", world->problems.problems[i].field, world->problems.problems[i].message);
    }
    return false;
}

const struct sp_change *world_change(const struct world *world, enum sp_kind kind, const struct sp_uuid *id)
{
    for (size_t i = 0; i < world->n_changes; i++) {
        const struct sp_change *change = &world->changes[i];
        const void *object = change->before ? change->before : change->after;
        const struct sp_uuid *own = kind == SP_KIND_GROUP ? &((const struct sp_group *) object)->id
                                    : kind == SP_KIND_SERVER ? &((const struct sp_server *) object)->id : NULL;
        if (change->kind == kind && (!own || !id || sp_uuid_equal(own, id))) {
            return change;
        }
    }
    return NULL;
}
