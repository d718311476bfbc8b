/* Bodies of JSON into the model's inputs: what is taken, what is refused, and where. */

#include "controller/api/decode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct world {
    struct sp_protocols *protocols;
    struct sp_model *model;
    struct sp_problems problems;
    struct sp_pool pool;
    struct sp_json *body;
    struct sp_uuid group; /* In region "here". */
    struct sp_uuid other; /* In region "there". */
    char group_text[SP_UUID_TEXT_SIZE];
    char other_text[SP_UUID_TEXT_SIZE];
};

static void
create_group(struct sp_batch *batch, const char *region, struct sp_uuid *ret_id, struct sp_problems *problems)
{
    const struct sp_group_input input = {.region = region, .name = "g", .description = "", .template_kind = SP_TEMPLATE_NONE};
    bool created;
    assert_int_equal(sp_batch_put_region(batch, region, &created, problems), 0);
    assert_int_equal(sp_batch_create_group(batch, &input, ret_id, problems), 0);
}

static int
set_up(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    struct sp_counters counters = {.next_region = 1, .next_set = 1, .next_slot = 1, .next_mark = 1, .next_zone = 1};
    char why[200];
    uint64_t revision;
    *state = world;
    assert_non_null(world);
    world->protocols = sp_protocols_new();
    world->model = sp_model_new();
    assert_true(world->protocols && world->model);
    assert_int_equal(sp_model_load_done(world->model, &counters, why, sizeof why), 0);
    sp_problems_init(&world->problems);
    struct sp_batch *batch = sp_batch_begin(world->model, 1);
    assert_non_null(batch);
    create_group(batch, "here", &world->group, &world->problems);
    create_group(batch, "there", &world->other, &world->problems);
    assert_int_equal(sp_batch_accept(batch, 0, &revision), 0);
    sp_batch_seal(batch);
    sp_batch_publish(batch);
    sp_batch_free(batch);
    sp_uuid_format(&world->group, world->group_text);
    sp_uuid_format(&world->other, world->other_text);
    return 0;
}

static int
tear_down(void **state)
{
    struct world *world = *state;
    sp_problems_clear(&world->problems);
    sp_pool_clear(&world->pool);
    sp_json_free(world->body);
    sp_model_free(world->model);
    sp_protocols_free(world->protocols);
    free(world);
    return 0;
}

/* Forgets the last body and parses this one; '%s' in 'text' stands for 'id'. */
static struct sp_decode
begin(struct world *world, const char *text, const char *id)
{
    char filled[2000], why[200];
    if (strstr(text, "%s")) {
        size_t len = (size_t) (strstr(text, "%s") - text);
        snprintf(filled, sizeof filled, "%.*s%s%s", (int) len, text, id, text + len + 2);
    } else {
        snprintf(filled, sizeof filled, "%s", text);
    }
    sp_problems_clear(&world->problems);
    sp_problems_init(&world->problems);
    sp_json_free(world->body);
    world->body = NULL;
    assert_int_equal(sp_json_parse(filled, strlen(filled), &world->body, why, sizeof why), 0);
    return (struct sp_decode){world->protocols, world->model, &world->problems, &world->pool, NULL};
}

/* 'fields' is all fields with problems, in order, each followed by a blank. */
static void
assert_fields(const struct world *world, const char *fields)
{
    char found[2000] = "";
    for (size_t i = 0; i < world->problems.n; i++) {
        size_t len = strlen(found);
        snprintf(found + len, sizeof found - len, "%s ", world->problems.problems[i].field);
    }
    assert_string_equal(found, fields);
}

static struct sp_meaning
decode_rule(struct world *world, const char *text, const struct sp_rule *base)
{
    struct sp_decode decode = begin(world, text, world->group_text);
    struct sp_rule_input input;
    int r = sp_decode_rule(&decode, world->body, "", "here", base, &input);
    if (r) {
        fail_msg("%s: %s %s", text, world->problems.problems[0].field, world->problems.problems[0].message);
    }
    return input.meaning;
}

static void
refuse_rule(struct world *world, const char *text, const struct sp_rule *base, const char *fields)
{
    struct sp_decode decode = begin(world, text, world->other_text);
    struct sp_rule_input input;
    assert_int_equal(sp_decode_rule(&decode, world->body, "", "here", base, &input), SP_E_INVALID);
    assert_fields(world, fields);
}

static void
test_rule(void **state)
{
    struct sp_meaning meaning = decode_rule(*state, "{\"direction\":\"inbound\",\"protocol\":\"tcp\"}", NULL);
    assert_int_equal(meaning.direction, SP_INBOUND);
    assert_int_equal(meaning.action, SP_ALLOW);
    assert_int_equal(meaning.priority, 100);
    assert_int_equal(meaning.protocol, 6);
    assert_int_equal(meaning.remote, SP_REMOTE_ANY);
    assert_int_equal(meaning.port_min, -1);
    assert_int_equal(meaning.port_max, -1);
    assert_int_equal(meaning.icmp_type, -1);

    meaning = decode_rule(*state,
                          "{\"direction\":\"outbound\",\"protocol\":17,\"action\":\"deny\",\"priority\":1000,\"port_max\":53,"
                          "\"remote_ip\":\"10.1.2.3/8\"}",
                          NULL);
    assert_int_equal(meaning.direction, SP_OUTBOUND);
    assert_int_equal(meaning.action, SP_DENY);
    assert_int_equal(meaning.priority, 1000);
    assert_int_equal(meaning.protocol, 17);
    assert_int_equal(meaning.port_min, 53);
    assert_int_equal(meaning.remote, SP_REMOTE_CIDR);
    assert_int_equal(meaning.remote_cidr.prefix, 8);
    assert_int_equal(meaning.remote_cidr.bytes[1], 0);

    meaning =
        decode_rule(*state, "{\"direction\":\"inbound\",\"protocol\":\"any\",\"remote_group\":\"%s\",\"remote_ip\":null}", NULL);
    assert_int_equal(meaning.protocol, SP_PROTOCOL_ANY);
    assert_int_equal(meaning.remote, SP_REMOTE_GROUP);
}

static void
test_rule_names_every_problem(void **state)
{
    refuse_rule(*state, "{}", NULL, "direction protocol ");
    refuse_rule(*state, "[]", NULL, " ");
    refuse_rule(*state,
                "{\"x\":1,\"id\":2,\"direction\":3,\"action\":4,\"priority\":0,\"description\":5,\"protocol\":999,"
                "\"remote_ip\":6,\"remote_group\":\"%s\",\"port_min\":-2,\"icmp_type\":256}",
                NULL,
                "x id direction action priority description protocol remote_ip remote_group remote_group port_min icmp_type ");
    refuse_rule(*state, "{\"direction\":\"inbound\",\"protocol\":\"tcp\",\"remote_group\":\"%s\"}", NULL, "remote_group ");
}

static void
test_rules_have_paths(void **state)
{
    struct world *world = *state;
    struct sp_decode decode = begin(world,
                                    "{\"rules\":[{\"direction\":\"inbound\",\"protocol\":\"tcp\"},{\"direction\":\"inbound\"},7,"
                                    "{\"direction\":\"inbound\",\"protocol\":\"tcp\",\"port_min\":2,\"port_max\":1}]}",
                                    "");
    struct sp_rule_input *rules;
    size_t n;
    assert_int_equal(sp_decode_rules(&decode, world->body, "here", &rules, &n), SP_E_INVALID);
    assert_fields(world, "rules[1].protocol rules[2] rules[3].port_max ");

    decode = begin(
        world, "{\"rules\":[{\"direction\":\"inbound\",\"protocol\":\"tcp\"},{\"direction\":\"outbound\",\"protocol\":\"udp\"}]}",
        "");
    assert_int_equal(sp_decode_rules(&decode, world->body, "here", &rules, &n), 0);
    assert_int_equal(n, 2);
    assert_string_equal(rules[1].path, "rules[1].");
    assert_string_equal(rules[1].description, "");
}

/* A patch keeps what it does not name, but for what a field that it names excludes. */
static void
test_patch(void **state)
{
    struct world *world = *state;
    struct sp_rule base = {.description = (char *) "text"};
    base.meaning = decode_rule(world,
                               "{\"direction\":\"inbound\",\"protocol\":\"tcp\",\"port_min\":80,\"port_max\":90,"
                               "\"remote_ip\":\"10.0.0.0/8\",\"priority\":7}",
                               NULL);
    struct sp_meaning same = decode_rule(world, "{}", &base);
    assert_true(sp_meaning_equal(&same, &base.meaning));
    assert_int_equal(decode_rule(world, "{\"port_max\":100}", &base).port_min, 80);
    assert_int_equal(decode_rule(world, "{\"port_min\":-1}", &base).port_max, -1);
    assert_int_equal(decode_rule(world, "{\"protocol\":\"udp\"}", &base).port_max, 90);
    assert_int_equal(decode_rule(world, "{\"protocol\":\"icmp\"}", &base).port_max, -1);
    assert_int_equal(decode_rule(world, "{\"remote_ip\":null}", &base).remote, SP_REMOTE_ANY);
    assert_int_equal(decode_rule(world, "{\"remote_group\":null}", &base).remote, SP_REMOTE_CIDR);
    struct sp_meaning grouped = decode_rule(world, "{\"remote_group\":\"%s\"}", &base);
    assert_int_equal(grouped.remote, SP_REMOTE_GROUP);
    assert_int_equal(grouped.remote_cidr.family, 0);
    refuse_rule(world, "{\"port_min\":91}", &base, "port_min ");
    refuse_rule(world, "{\"port_max\":79}", &base, "port_max ");
    refuse_rule(world, "{\"protocol\":\"icmpv6\"}", &base, "protocol ");
    refuse_rule(world, "{\"protocol\":\"gre\",\"port_min\":80}", &base, "port_min ");
}

static void
test_group(void **state)
{
    struct world *world = *state;
    struct sp_group_input input;
    struct sp_decode decode =
        begin(world, "{\"region\":\"here\",\"name\":\"n\",\"default\":true,\"template\":\"remote-login\"}", "");
    assert_int_equal(sp_decode_group(&decode, world->body, &input), 0);
    assert_true(input.is_default);
    assert_false(input.has_rules);
    assert_int_equal(input.template_kind, SP_TEMPLATE_REMOTE_LOGIN);
    decode = begin(world, "{\"region\":\"here\",\"name\":\"n\",\"rules\":[]}", "");
    assert_int_equal(sp_decode_group(&decode, world->body, &input), 0);
    assert_true(input.has_rules);
    assert_int_equal(input.n_rules, 0);
    decode = begin(world, "{\"region\":\"nowhere\",\"rules\":[{}]}", "");
    assert_int_equal(sp_decode_group(&decode, world->body, &input), SP_E_INVALID);
    assert_fields(world, "name region rules[0].direction rules[0].protocol ");
}

static void
test_server(void **state)
{
    struct world *world = *state;
    struct sp_server_input input;
    struct sp_decode decode =
        begin(world,
              "{\"region\":\"here\",\"name\":\"n\",\"kind\":\"baremetal\",\"security_groups\":[\"%s\"],\"ports\":["
              "{\"mac\":\"02:00:00:00:00:01\",\"ips\":[\"10.0.0.1\",\"10.0.0.1\",\"fe80::1\"],\"vlan\":null,"
              "\"bridge\":\"00000000000000AB\",\"port\":\"p\",\"allowed_address_pairs\":[{\"ip\":\"10.1.0.0/16\"}]}]}",
              world->group_text);
    assert_int_equal(sp_decode_server(&decode, world->body, &input), 0);
    assert_int_equal(input.kind, SP_SERVER_BAREMETAL);
    assert_true(input.has_groups);
    assert_int_equal(input.n_groups, 1);
    assert_true(sp_uuid_equal(&input.groups[0], &world->group));
    assert_int_equal(input.n_ports, 1);
    const struct sp_port_input *port = &input.ports[0];
    assert_int_equal(port->n_ips, 2);
    assert_int_equal(port->dpid, 0xab);
    assert_true(port->has_bridge && port->port_security && !port->iface_id && !port->vlan);
    assert_int_equal(port->n_pairs, 1);
    assert_true(sp_mac_equal(&port->pairs[0].mac, &port->mac));

    decode = begin(world,
                   "{\"region\":\"here\",\"name\":\"\",\"security_groups\":[\"%s\",\"x\"],\"ports\":[{\"bridge\":\"1\"},"
                   "{\"mac\":\"02:00:00:00:00:01\",\"port\":\"p\",\"ips\":[\"ff02::1\"],\"id\":\"x\"}]}",
                   world->other_text);
    assert_int_equal(sp_decode_server(&decode, world->body, &input), SP_E_INVALID);
    assert_fields(world, "name security_groups[0] security_groups[1] ports[0].mac ports[0].bridge ports[0].port ports[1].id "
                         "ports[1].bridge ports[1].ips[0] ");
}

static void
test_lists_are_bounded(void **state)
{
    struct world *world = *state;
    size_t n = SP_LIST_MAX + 1;
    char *text = malloc(n * 2 + 100), why[200];
    assert_non_null(text);
    char *p = stpcpy(text, "{\"region\":\"here\",\"name\":\"n\",\"ports\":[");
    for (size_t i = 0; i < n; i++) {
        p = stpcpy(p, i ? ",0" : "0");
    }
    stpcpy(p, "]}");
    struct sp_decode decode = begin(world, "{}", "");
    sp_json_free(world->body);
    world->body = NULL;
    assert_int_equal(sp_json_parse(text, strlen(text), &world->body, why, sizeof why), 0);
    free(text);
    struct sp_server_input input;
    assert_int_equal(sp_decode_server(&decode, world->body, &input), SP_E_INVALID);
    assert_fields(world, "ports ");
}

static void
test_long_unknown_field(void **state)
{
    struct world *world = *state;
    char name[400];
    for (size_t i = 0; i + 2 < sizeof name; i += 2) {
        memcpy(name + i, "\xc3\xa4", 3);
    }
    for (size_t shift = 0; shift < 3; shift++) {
        char text[500], why[200];
        snprintf(text, sizeof text, "{\"%.*s%s\":1}", (int) shift, "xx", name);
        struct sp_decode decode = begin(world, "{}", "");
        sp_json_free(world->body);
        world->body = NULL;
        assert_int_equal(sp_json_parse(text, strlen(text), &world->body, why, sizeof why), 0);
        assert_int_equal(sp_decode_nothing(&decode, world->body), SP_E_INVALID);
        /* Cut, but at the end of a character: what follows the blanks is whole pairs. */
        const char *field = world->problems.problems[0].field;
        assert_true(strlen(field) < SP_READER_PATH_SIZE);
        assert_true(strlen(field) > 100);
        assert_int_equal((strlen(field) - shift) % 2, 0);
    }
}

static void
test_dpid_and_region_names(void **state)
{
    uint64_t dpid = 1;
    assert_int_equal(sp_decode_dpid("00000000000000Ff", &dpid), 0);
    assert_int_equal(dpid, 255);
    assert_int_equal(sp_decode_dpid("ffffffffffffffff", &dpid), 0);
    assert_true(dpid == UINT64_MAX);
    static const char *const wrong[] = {
        "", "1", "0x00000000000001", "00000000000000000", "000000000000000g", " 000000000000001", "+000000000000001"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(sp_decode_dpid(wrong[i], &dpid), SP_E_SYNTAX);
    }
    assert_true(sp_decode_is_region_name("SV2.a_b-c"));
    assert_false(sp_decode_is_region_name(""));
    assert_false(sp_decode_is_region_name("a b"));
    assert_false(sp_decode_is_region_name("\xc3\xa4"));
    char name[66];
    memset(name, 'n', sizeof name);
    name[65] = '\0';
    assert_false(sp_decode_is_region_name(name));
    assert_true(sp_decode_is_region_name(name + 1));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rule, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rule_names_every_problem, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rules_have_paths, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_patch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_group, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_server, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lists_are_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_unknown_field, set_up, tear_down),
        cmocka_unit_test(test_dpid_and_region_names),
    };
    return cmocka_run_group_tests_name("api_decode", tests, NULL, NULL);
}
