/* What is an object of a change and what is none; and that the times of changes do not count.  What has moved on in other ways is
 * tested with what is refused then, in restore.c. */

#include "controller/api/moved.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "controller/api/record.h"
#include "tests/support/world.h"

#define ID "3f2504e0-4f89-41d3-9a0c-0305e82c3301"

static int
read_past(const char *text, struct sp_json **ret_json, struct sp_past *ret)
{
    char why[120];
    assert_int_equal(sp_json_parse(text, strlen(text), ret_json, why, sizeof why), 0);
    return sp_past_read(*ret_json, ret);
}

static void
test_read(void **state)
{
    struct sp_json *json;
    struct sp_past past;
    assert_int_equal(read_past("{\"kind\":\"region\",\"id\":\"A\",\"region\":\"A\",\"name\":\"A\",\"before\":null,"
                               "\"after\":{\"x\":1}}", &json, &past), 0);
    assert_int_equal(past.kind, SP_KIND_REGION);
    assert_string_equal(past.name, "A");
    assert_null(past.before);
    assert_int_equal(past.after->n, 1);
    assert_null(past.rules);
    sp_json_free(json);
    assert_int_equal(read_past("{\"kind\":\"bridge\",\"id\":\"00000000000000a1\",\"region\":null,\"name\":\"a1\","
                               "\"before\":{},\"rules\":[]}", &json, &past), 0);
    assert_int_equal(past.dpid, 0xa1);
    assert_null(past.region);
    assert_null(past.after);
    assert_non_null(past.rules);
    sp_json_free(json);
    for (int is_server = 0; is_server < 2; is_server++) {
        const char *text = is_server ? "{\"kind\":\"server\",\"id\":\"" ID "\",\"region\":\"A\",\"name\":\"vm\"}"
                                     : "{\"kind\":\"security_group\",\"id\":\"" ID "\",\"region\":\"A\",\"name\":\"web\"}";
        char id[SP_UUID_TEXT_SIZE];
        assert_int_equal(read_past(text, &json, &past), 0);
        assert_int_equal(past.kind, is_server ? SP_KIND_SERVER : SP_KIND_GROUP);
        assert_string_equal(sp_uuid_format(&past.id, id), ID);
        assert_string_equal(past.region, "A");
        sp_json_free(json);
    }
}

static void
test_damaged(void **state)
{
    static const char *const texts[] = {
        "[]", "7", "null", "{}", "{\"kind\":\"region\",\"name\":\"A\"}", "{\"kind\":\"region\",\"id\":\"A\"}",
        "{\"kind\":\"region\",\"id\":\"A\",\"name\":7}", "{\"kind\":7,\"id\":\"A\",\"name\":\"A\"}",
        "{\"kind\":\"\",\"id\":\"A\",\"name\":\"A\"}",
        "{\"kind\":\"regions\",\"id\":\"A\",\"name\":\"A\"}", "{\"kind\":\"server\",\"id\":\"" ID "\",\"name\":\"vm\"}",
        "{\"kind\":\"security_group\",\"id\":\"" ID "\",\"region\":7,\"name\":\"web\"}",
        "{\"kind\":\"security_group\",\"id\":\"" ID "x\",\"region\":\"A\",\"name\":\"web\"}",
        "{\"kind\":\"bridge\",\"id\":\"a1\",\"name\":\"a1\"}", "{\"kind\":\"bridge\",\"id\":\"" ID "\",\"name\":\"a1\"}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct sp_json *json;
        struct sp_past past;
        if (read_past(texts[i], &json, &past) != SP_E_DAMAGED) {
            fail_msg("taken: %s", texts[i]);
        }
        sp_json_free(json);
    }
}

/* A rule that was changed and changed back is as it was made, but for the time. */
static void
test_times_do_not_count(void **state)
{
    struct sp_protocols *protocols = sp_protocols_new();
    struct world w;
    assert_non_null(protocols);
    world_open(&w);
    world_region(&w, "SV2");
    struct sp_rule_input rule = world_rule(SP_INBOUND, 6, 80, 80);
    struct sp_uuid id = world_group(&w, "SV2", "web", &rule, 1), none = {{0}};
    const struct sp_history_record frame = {.revision = 7, .method = "POST", .path = "/v1/x", .role = "admin"};
    struct sp_history_entry *entry;
    assert_int_equal(sp_record_make(protocols, &frame, &none, w.changes, w.n_changes, &entry), 0);
    struct sp_json *json;
    struct sp_past past;
    assert_int_equal(read_past(entry->record.objects[0].text, &json, &past), 0);
    struct sp_uuid rule_id = sp_model_group(w.model, &id)->rules[0]->id;
    int64_t made_at = sp_model_group(w.model, &id)->rules[0]->updated_at;
    for (int i = 0; i < 2; i++) {
        struct sp_rule_input edit = world_rule(SP_INBOUND, 6, 80, 81 - i);
        w.now_us += 5000000;
        world_begin(&w);
        assert_int_equal(world_end(&w, sp_batch_set_rule(w.batch, &id, &rule_id, &edit, &w.problems)), 0);
        assert_int_equal(sp_past_check(&past, w.model, protocols, &w.problems), i ? 0 : SP_E_IN_USE);
    }
    assert_true(sp_model_group(w.model, &id)->rules[0]->updated_at > made_at);
    sp_json_free(json);
    sp_history_entry_free(entry);
    world_close(&w);
    sp_protocols_free(protocols);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_times_do_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
