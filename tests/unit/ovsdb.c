/* The OVSDB client without a socket: where texts end, what updates mean, how a server may misbehave. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/json/json.h"
#include "controller/ovsdb/follow.h"
#include "tests/support/random.h"

#define ROOT "00000000-0000-4000-8000-000000000001"
#define BRIDGE "00000000-0000-4000-8000-0000000000b1"
#define BRIDGE2 "00000000-0000-4000-8000-0000000000b2"
#define PORT "00000000-0000-4000-8000-0000000000a1"
#define PORT2 "00000000-0000-4000-8000-0000000000a2"
#define IFACE "00000000-0000-4000-8000-0000000000c1"
#define IFACE2 "00000000-0000-4000-8000-0000000000c2"

/* A bridge with one port, its interface known by "vm1". */
#define INITIAL \
    "{\"Open_vSwitch\":{\"" ROOT "\":{\"initial\":{}}}," \
    "\"Bridge\":{\"" BRIDGE "\":{\"initial\":{\"datapath_id\":\"0000000000ABCDEF\",\"ports\":[\"uuid\",\"" PORT "\"]}}}," \
    "\"Port\":{\"" PORT "\":{\"initial\":{\"interfaces\":[\"set\",[[\"uuid\",\"" IFACE "\"]]]}}}," \
    "\"Interface\":{\"" IFACE "\":{\"initial\":{\"name\":\"tap1\"," \
    "\"external_ids\":[\"map\",[[\"iface-id\",\"vm1\"],[\"x\",\"y\"]]]}}}}"
#define REPLY "{\"id\":\"sallyport\",\"error\":null,\"result\":" INITIAL "}"
#define IFACE_ID(ID) "\"external_ids\":[\"map\",[[\"iface-id\",\"" ID "\"]]]"
#define MODIFY_IFACE(COLUMNS) "{\"Interface\":{\"" IFACE "\":{\"modify\":{" COLUMNS "}}}}"
#define UPDATE(TABLES) "{\"id\":null,\"method\":\"update2\",\"params\":[\"sallyport\"," TABLES "]}"

static void texts_end_where_brackets_close(void **aux)
{
    static const char text[] = " {\"a}\":[1,{\"b\":\"\\\"]\\\\\"}]}\n[]{\"c\":[[[]]]} ";
    static const char *const expected[] = {"{\"a}\":[1,{\"b\":\"\\\"]\\\\\"}]}", "[]", "{\"c\":[[[]]]}"};

    for (size_t cut = 0; cut < sizeof text; cut++) {
        const char *pieces[] = {text, text + cut};
        size_t sizes[] = {cut, sizeof text - 1 - (cut < sizeof text ? cut : 0)};
        struct sp_scan scan;
        size_t n = 0;

        sp_scan_init(&scan);
        for (size_t i = 0; i < 2; i++) {
            int r;

            while (!(r = sp_scan_feed(&scan, &pieces[i], &sizes[i]))) {
                assert_true(n < 3);
                assert_int_equal(scan.size, strlen(expected[n]));
                assert_memory_equal(scan.text, expected[n], scan.size);
                n++;
            }
            assert_int_equal(r, -EAGAIN);
            assert_int_equal(sizes[i], 0);
        }
        assert_int_equal(n, 3);
        sp_scan_clear(&scan);
    }
}

static void not_a_text(void **aux)
{
    static const char *const cases[] = {"x{}", "\"a\"", "1", "}", "]{}", "\x80"};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *data = cases[i];
        size_t size = strlen(data);
        struct sp_scan scan;

        sp_scan_init(&scan);
        assert_int_equal(sp_scan_feed(&scan, &data, &size), SP_E_SYNTAX);
        sp_scan_clear(&scan);
    }
}

static void text_without_end(void **aux)
{
    static char piece[1 << 16];
    struct sp_scan scan;
    size_t total = 0;
    int r;

    memset(piece, '[', sizeof piece);
    sp_scan_init(&scan);
    do {
        const char *data = piece;
        size_t size = sizeof piece;

        r = sp_scan_feed(&scan, &data, &size);
        total += sizeof piece;
    } while (r == -EAGAIN && total < 2 * SP_SCAN_SIZE_MAX);
    assert_int_equal(r, SP_E_RANGE);
    assert_true(total <= SP_SCAN_SIZE_MAX + sizeof piece);
    assert_true(scan.capacity <= SP_SCAN_SIZE_MAX);
    sp_scan_clear(&scan);
}

static int feed(struct sp_follow *follow, const char *text)
{
    return sp_follow_receive(follow, text, strlen(text));
}

static struct sp_follow *followed(void)
{
    static struct sp_follow follow;
    char out[2048];

    assert_int_equal(sp_follow_init(&follow), 0);
    assert_true(sp_follow_output(&follow, out, sizeof out) > 100);
    assert_int_equal(feed(&follow, REPLY), 0);
    assert_true(sp_follow_take_change(&follow));
    return &follow;
}

/* The bindings as text: "vm1=abcdef/tap1 ". */
static void assert_bindings(const struct sp_follow *follow, const char *expected)
{
    struct sp_bindings bindings;
    char text[1024] = "";
    size_t at = 0;

    assert_int_equal(sp_replica_bindings(&follow->replica, &bindings), 0);
    for (size_t i = 0; i < bindings.n; i++) {
        at += (size_t) snprintf(text + at, sizeof text - at, "%s=%llx/%s ", bindings.items[i].iface_id,
                                (unsigned long long) bindings.items[i].dpid, bindings.items[i].name);
    }
    sp_bindings_clear(&bindings);
    assert_string_equal(text, expected);
}

static void request_and_reply(void **aux)
{
    struct sp_follow follow;
    struct sp_json *json;
    char out[2048], why[160];
    size_t size;

    assert_int_equal(sp_follow_init(&follow), 0);
    size = sp_follow_output(&follow, out, 10);
    size += sp_follow_output(&follow, out + size, sizeof out - size);
    assert_int_equal(sp_json_parse(out, size, &json, why, sizeof why), 0);
    assert_string_equal(sp_json_get(json, "method")->string, "monitor_cond");
    assert_int_equal(sp_json_get(json, "params")->items[2].n, 6);
    sp_json_free(json);
    assert_false(sp_follow_take_change(&follow));
    for (const char *c = REPLY; *c; c++) { /* In the smallest pieces that there are. */
        assert_int_equal(sp_follow_receive(&follow, c, 1), 0);
    }
    assert_true(sp_follow_take_change(&follow));
    assert_false(sp_follow_take_change(&follow));
    assert_bindings(&follow, "vm1=abcdef/tap1 ");
    sp_follow_clear(&follow);
}

static void changes(void **aux)
{
    static const struct {
        const char *update;
        const char *bindings;
    } steps[] = {
        /* A map's difference: another value, the old value (it goes), a new pair, another key. */
        {MODIFY_IFACE(IFACE_ID("vm2")), "vm2=abcdef/tap1 "},
        {MODIFY_IFACE(IFACE_ID("vm2")), ""},
        {MODIFY_IFACE(IFACE_ID("vm1")), "vm1=abcdef/tap1 "},
        {"{\"Interface\":{\"" IFACE "\":{\"modify\":{\"external_ids\":[\"map\",[[\"x\",\"y\"]]]}}}}", "vm1=abcdef/tap1 "},
        /* A second interface in the same port, then in a port of its own. */
        {"{\"Interface\":{\"" IFACE2 "\":{\"insert\":{\"name\":\"tap2\",\"external_ids\":[\"map\",[[\"iface-id\",\"vm2\"]]]}}},"
         "\"Port\":{\"" PORT "\":{\"modify\":{\"interfaces\":[\"uuid\",\"" IFACE2 "\"]}}}}",
         "vm1=abcdef/tap1 vm2=abcdef/tap2 "},
        {"{\"Port\":{\"" PORT "\":{\"modify\":{\"interfaces\":[\"uuid\",\"" IFACE2 "\"]}},"
         "\"" PORT2 "\":{\"insert\":{\"interfaces\":[\"uuid\",\"" IFACE2 "\"]}}}}",
         "vm1=abcdef/tap1 "},
        {"{\"Bridge\":{\"" BRIDGE2 "\":{\"insert\":{\"ports\":[\"set\",[[\"uuid\",\"" PORT2 "\"]]],"
         "\"datapath_id\":[\"set\",[]]}}}}",
         "vm1=abcdef/tap1 "},
        {"{\"Bridge\":{\"" BRIDGE2 "\":{\"modify\":{\"datapath_id\":\"0000000000000002\"}}}}", "vm1=abcdef/tap1 vm2=2/tap2 "},
        /* The first port moves over, and in one message. */
        {"{\"Bridge\":{\"" BRIDGE2 "\":{\"modify\":{\"ports\":[\"uuid\",\"" PORT "\"]}},"
         "\"" BRIDGE "\":{\"modify\":{\"ports\":[\"uuid\",\"" PORT "\"]}}}}",
         "vm1=2/tap1 vm2=2/tap2 "},
        /* A bridge keeps its id until it gets another. */
        {"{\"Bridge\":{\"" BRIDGE2 "\":{\"modify\":{\"datapath_id\":[\"set\",[]]}}}}", "vm1=2/tap1 vm2=2/tap2 "},
        {"{\"Bridge\":{\"" BRIDGE2 "\":{\"modify\":{\"datapath_id\":\"0000000000000003\"}}}}", "vm1=3/tap1 vm2=3/tap2 "},
        {"{\"Interface\":{\"" IFACE "\":{\"delete\":null}}}", "vm2=3/tap2 "},
        {"{\"Bridge\":{\"" BRIDGE2 "\":{\"delete\":null}}}", ""},
    };
    struct sp_follow *follow = followed();

    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        char text[2048];

        snprintf(text, sizeof text, UPDATE("%s"), steps[i].update);
        assert_int_equal(feed(follow, text), 0);
        assert_true(sp_follow_take_change(follow));
        assert_bindings(follow, steps[i].bindings);
    }
    sp_follow_clear(follow);
}

/* What is wrong with the bridges, as text: "abcdef:SB " is one whose fail_mode is not secure and which has in-band control. */
static void assert_flaws(const struct sp_follow *follow, const char *expected)
{
    struct sp_flaws flaws;
    char text[256] = "";
    size_t at = 0;

    assert_int_equal(sp_replica_flaws(&follow->replica, &flaws), 0);
    for (size_t i = 0; i < flaws.n; i++) {
        at += (size_t) snprintf(text + at, sizeof text - at, "%llx:%s%s ", (unsigned long long) flaws.items[i].dpid,
                                strstr(flaws.items[i].text, "fail_mode") ? "S" : "",
                                strstr(flaws.items[i].text, "disable-in-band") ? "B" : "");
    }
    sp_flaws_clear(&flaws);
    assert_string_equal(text, expected);
}

#define CONTROLLER "00000000-0000-4000-8000-0000000000d1"
#define MODIFY(TABLE, ROW, COLUMNS) "{\"" TABLE "\":{\"" ROW "\":{\"modify\":{" COLUMNS "}}}}"
#define IN_BAND(TEXT) MODIFY("Bridge", BRIDGE, "\"other_config\":[\"map\",[[\"disable-in-band\",\"" TEXT "\"]]]")

static void flaws_of_bridges(void **aux)
{
    static const struct {
        const char *update;
        const char *flaws;
    } steps[] = {
        {MODIFY("Bridge", BRIDGE, "\"fail_mode\":\"secure\""), ""},
        {MODIFY("Bridge", BRIDGE, "\"fail_mode\":\"standalone\""), "abcdef:S "},
        {MODIFY("Bridge", BRIDGE, "\"fail_mode\":\"secure\""), ""},
        {MODIFY("Bridge", BRIDGE, "\"fail_mode\":[\"set\",[]]"), "abcdef:S "},
        /* A controller that is dialled over IP makes in-band control, unless it or the bridge says otherwise. */
        {"{\"Controller\":{\"" CONTROLLER "\":{\"insert\":{\"target\":\"tcp:192.0.2.1:6653\",\"connection_mode\":[\"set\",[]]}}},"
         "\"Bridge\":{\"" BRIDGE "\":{\"modify\":{\"controller\":[\"uuid\",\"" CONTROLLER "\"]}}}}", "abcdef:SB "},
        {MODIFY("Bridge", BRIDGE, "\"fail_mode\":\"secure\""), "abcdef:B "},
        {MODIFY("Controller", CONTROLLER, "\"connection_mode\":\"out-of-band\""), ""},
        {MODIFY("Controller", CONTROLLER, "\"connection_mode\":\"in-band\""), "abcdef:B "},
        {MODIFY("Controller", CONTROLLER, "\"target\":\"unix:/run/c.sock\""), ""},
        {MODIFY("Controller", CONTROLLER, "\"target\":\"ssl:192.0.2.1:6653\""), "abcdef:B "},
        {MODIFY("Controller", CONTROLLER, "\"target\":\"tcp:[2001:db8::1]:6653\""), ""},
        {MODIFY("Controller", CONTROLLER, "\"target\":\"tcp:192.0.2.1:6653\""), "abcdef:B "},
        /* The map's difference: comes, changes, changes back, another key, goes. */
        {IN_BAND("true"), ""},
        {IN_BAND("false"), "abcdef:B "},
        {IN_BAND("true"), ""},
        {MODIFY("Bridge", BRIDGE, "\"other_config\":[\"map\",[[\"x\",\"true\"]]]"), ""},
        {IN_BAND("true"), "abcdef:B "},
        {IN_BAND("True"), ""},
        {IN_BAND("True"), "abcdef:B "},
        /* One without a datapath id, then with one, before the other in order. */
        {"{\"Bridge\":{\"" BRIDGE2 "\":{\"insert\":{\"fail_mode\":[\"set\",[]],\"datapath_id\":[\"set\",[]]}}}}", "abcdef:B "},
        {MODIFY("Bridge", BRIDGE2, "\"datapath_id\":\"0000000000000002\""), "2:S abcdef:B "},
        {"{\"Controller\":{\"" CONTROLLER "\":{\"delete\":null}}}", "2:S "},
        {"{\"Bridge\":{\"" BRIDGE2 "\":{\"delete\":null}}}", ""},
        /* A manager is in band for every bridge, unless it is on this host. */
        {"{\"Manager\":{\"" CONTROLLER "\":{\"insert\":{\"target\":\"tcp:127.0.0.1:6640\","
         "\"connection_mode\":[\"set\",[]]}}}}", ""},
        {MODIFY("Manager", CONTROLLER, "\"target\":\"tcp:127.0.0.10:6640\""), "abcdef:B "},
        {MODIFY("Manager", CONTROLLER, "\"target\":\"ptcp:6640\""), ""},
        {MODIFY("Manager", CONTROLLER, "\"target\":\"ssl:127.0.0.1\""), ""},
        {MODIFY("Manager", CONTROLLER, "\"target\":\"ssl:192.0.2.1\""), "abcdef:B "},
        {MODIFY("Manager", CONTROLLER, "\"connection_mode\":\"out-of-band\""), ""},
    };
    static const char *const wrong[] = {
        UPDATE(MODIFY("Bridge", BRIDGE, "\"fail_mode\":7")), UPDATE(MODIFY("Bridge", BRIDGE, "\"other_config\":{}")),
        UPDATE(MODIFY("Bridge", BRIDGE, "\"fail_mode\":[\"set\",[\"secure\",\"standalone\"]]")),
        UPDATE(MODIFY("Bridge", BRIDGE, "\"controller\":\"c\"")), UPDATE(IN_BAND("true") "}"),
    };
    struct sp_follow *follow = followed();

    assert_flaws(follow, "abcdef:S ");
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        char text[2048];

        snprintf(text, sizeof text, UPDATE("%s"), steps[i].update);
        assert_int_equal(feed(follow, text), 0);
        assert_true(sp_follow_take_change(follow));
        assert_flaws(follow, steps[i].flaws);
    }
    sp_follow_clear(follow);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        follow = followed();
        assert_int_not_equal(feed(follow, wrong[i]), 0);
        sp_follow_clear(follow);
    }
}

static void echo_is_answered(void **aux)
{
    struct sp_follow *follow = followed();
    char out[256];
    size_t size;

    assert_int_equal(feed(follow, "{\"id\":[7,\"x\"],\"method\":\"echo\",\"params\":[1,{\"a\":null}]}"), 0);
    size = sp_follow_output(follow, out, sizeof out);
    out[size] = '\0';
    assert_string_equal(out, "{\"id\":[7,\"x\"],\"result\":[1,{\"a\":null}],\"error\":null}");
    assert_int_equal(feed(follow, "{\"id\":3,\"method\":\"steal\",\"params\":[]}"), 0);
    size = sp_follow_output(follow, out, sizeof out);
    out[size] = '\0';
    assert_string_equal(out, "{\"id\":3,\"result\":null,\"error\":\"unknown method\"}");
    assert_int_equal(sp_follow_echo(follow), 0);
    assert_int_equal(feed(follow, "{\"id\":\"echo\",\"result\":[],\"error\":null}"), 0);
    assert_int_equal(feed(follow, "{\"id\":null,\"method\":\"unheard-of\",\"params\":[]}"), 0);
    assert_false(sp_follow_take_change(follow));
    sp_follow_clear(follow);
}

static void echo_flood(void **aux)
{
    struct sp_follow *follow = followed();
    unsigned n = 0;

    while (n < 100000 && !feed(follow, "{\"id\":0,\"method\":\"echo\",\"params\":[\"01234567890123456789012345678901\"]}")) {
        n++;
    }
    assert_true(n < 20000);
    assert_string_equal(follow->why, "it asks but does not read the answers");
    sp_follow_clear(follow);
}

static void misbehaviour(void **aux)
{
    static const struct {
        const char *text;
        const char *why;
    } cases[] = {
        {"hello", "not JSON"},
        {"{\"a\":}", ""},
        {"[]", "no object"},
        {"{\"id\":\"sallyport\",\"error\":{\"error\":\"unknown database\"},\"result\":null}", "refused: unknown database"},
        {"{\"id\":\"sallyport\",\"error\":\"no\",\"result\":null}", "refused: no"},
        {REPLY, "refused"}, /* Twice. */
        {"{\"id\":null,\"method\":\"monitor_canceled\",\"params\":[\"sallyport\"]}", "ended"},
        {UPDATE("7"), "malformed"},
        {UPDATE("{\"Bridge\":[]}"), "malformed"},
        {UPDATE("{\"Bridge\":{\"1\":{\"delete\":null}}}"), "malformed"},
        {UPDATE("{\"Bridge\":{\"" BRIDGE "\":{}}}"), "malformed"},
        {UPDATE("{\"Bridge\":{\"" BRIDGE "\":{\"burn\":null}}}"), "malformed"},
        {UPDATE("{\"Bridge\":{\"" BRIDGE "\":{\"modify\":null}}}"), "malformed"},
        {UPDATE("{\"Bridge\":{\"" BRIDGE "\":{\"modify\":{\"ports\":[\"uuid\",7]}}}}"), "malformed"},
        {UPDATE("{\"Bridge\":{\"" BRIDGE "\":{\"modify\":{\"ports\":[\"set\",[7]]}}}}"), "malformed"},
        {UPDATE("{\"Bridge\":{\"" BRIDGE "\":{\"modify\":{\"datapath_id\":7}}}}"), "malformed"},
        {UPDATE("{\"Interface\":{\"" IFACE "\":{\"modify\":{\"name\":[]}}}}"), "malformed"},
        {UPDATE("{\"Interface\":{\"" IFACE "\":{\"modify\":{\"external_ids\":[\"map\"]}}}}"), "malformed"},
        {UPDATE("{\"Interface\":{\"" IFACE "\":{\"modify\":{\"external_ids\":[\"map\",[[1,2]]]}}}}"), "malformed"},
        {UPDATE("{\"Bridge\":{\"" BRIDGE2 "\":{\"modify\":{}}}}"), "not there"},
        {UPDATE("{\"Bridge\":{\"" BRIDGE2 "\":{\"delete\":null}}}"), "not there"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sp_follow *follow = followed();

        if (!feed(follow, cases[i].text) || !strstr(follow->why, cases[i].why) || !*follow->why) {
            fail_msg("%s: \"%s\"", cases[i].text, follow->why);
        }
        sp_follow_clear(follow);
    }
}

static void odd_but_harmless(void **aux)
{
    struct sp_follow *follow = followed();

    assert_int_equal(feed(follow, UPDATE("{\"Mirror\":{\"x\":7}}")), 0);
    assert_int_equal(feed(follow, UPDATE("{\"Bridge\":{\"" BRIDGE "\":{\"modify\":{\"datapath_id\":\"what?\",\"fan\":7}}}}")), 0);
    assert_bindings(follow, "vm1=abcdef/tap1 ");
    assert_int_equal(feed(follow, UPDATE("{\"Bridge\":{\"" BRIDGE "\":{\"initial\":{\"datapath_id\":\"0000000000000001\","
                                         "\"ports\":[\"set\",[[\"uuid\",\"" PORT "\"],[\"uuid\",\"" PORT "\"]]]}}}}")), 0);
    assert_bindings(follow, "vm1=1/tap1 "); /* Once, though the port is listed twice. */
    sp_follow_clear(follow);
}

static void mutations(void **aux)
{
    static const char text[] = REPLY UPDATE(MODIFY_IFACE(IFACE_ID("v")))
        UPDATE("{\"Bridge\":{\"" BRIDGE "\":{\"modify\":{\"ports\":[\"uuid\",\"" PORT "\"]}}}}")
        UPDATE(IN_BAND("true")) UPDATE(MODIFY("Bridge", BRIDGE, "\"fail_mode\":\"secure\""))
        UPDATE(MODIFY("Bridge", BRIDGE, "\"controller\":[\"uuid\",\"" PORT "\"]"))
        UPDATE("{\"Port\":{\"" PORT "\":{\"delete\":null}}}");
    struct sp_random random;

    sp_random_init(&random);
    for (unsigned run = 0; run < 20000; run++) {
        char *copy = strdup(text);
        struct sp_follow follow;
        struct sp_bindings bindings;
        struct sp_flaws flaws;

        assert_non_null(copy);
        for (uint32_t n = 1 + sp_random_below(&random, 5); n; n--) {
            copy[sp_random_below(&random, sizeof text - 1)] =
                sp_random_chance(&random, 50) ? "{}[]\",:\\0"[sp_random_below(&random, 9)] : (char) sp_random_next(&random);
        }
        assert_int_equal(sp_follow_init(&follow), 0);
        (void) !sp_follow_receive(&follow, copy, sizeof text - 1);
        assert_int_equal(sp_replica_bindings(&follow.replica, &bindings), 0);
        sp_bindings_clear(&bindings);
        assert_int_equal(sp_replica_flaws(&follow.replica, &flaws), 0);
        sp_flaws_clear(&flaws);
        sp_follow_clear(&follow);
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_end_where_brackets_close),
        cmocka_unit_test(not_a_text),
        cmocka_unit_test(text_without_end),
        cmocka_unit_test(request_and_reply),
        cmocka_unit_test(changes),
        cmocka_unit_test(flaws_of_bridges),
        cmocka_unit_test(echo_is_answered),
        cmocka_unit_test(echo_flood),
        cmocka_unit_test(misbehaviour),
        cmocka_unit_test(odd_but_harmless),
        cmocka_unit_test(mutations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
