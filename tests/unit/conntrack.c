/* Connections as Open vSwitch prints them, and the exchange that leads to them. */

#include "controller/unixctl/inquiry.h"

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

#define TUPLE "orig=(src=203.0.113.9,dst=10.0.0.1,sport=40000,dport=22)"
#define REPLY "reply=(src=10.0.0.1,dst=203.0.113.9,sport=22,dport=40000)"

static struct sp_conntrack
parse(const char *line)
{
    struct sp_conntrack it;
    assert_int_equal(sp_conntrack_parse(line, strlen(line), &it), 0);
    return it;
}

static void
assert_address(const struct sp_cidr *cidr, const char *expected)
{
    char text[SP_CIDR_TEXT_SIZE];
    assert_string_equal(sp_cidr_format_address(cidr, text), expected);
}

static void
test_tcp(void **state)
{
    struct sp_conntrack it = parse("tcp," TUPLE "," REPLY ",zone=7,timeout=86399,mark=4294967295,protoinfo=(state=FIN_WAIT_1)");
    assert_int_equal(it.protocol, 6);
    assert_address(&it.src, "203.0.113.9");
    assert_address(&it.dst, "10.0.0.1");
    assert_true(it.has_ports);
    assert_false(it.has_icmp);
    assert_int_equal(it.src_port, 40000);
    assert_int_equal(it.dst_port, 22);
    assert_int_equal(it.zone, 7);
    assert_int_equal(it.mark, UINT32_MAX);
    assert_true(it.has_timeout);
    assert_int_equal(it.timeout_s, 86399);
    assert_string_equal(it.state, "FIN_WAIT_1");
}

static void
test_what_is_not_told(void **state)
{
    struct sp_conntrack it = parse("udp,orig=(src=2001:db8::1,dst=2001:db8::2,sport=0,dport=65535),reply=()");
    assert_int_equal(it.protocol, 17);
    assert_address(&it.src, "2001:db8::1");
    assert_int_equal(it.dst_port, 65535);
    assert_int_equal(it.zone, 0);
    assert_int_equal(it.mark, 0);
    assert_false(it.has_timeout);
    assert_string_equal(it.state, "");
}

static void
test_icmp(void **state)
{
    struct sp_conntrack it = parse("icmpv6,orig=(src=2001:db8::1,dst=2001:db8::2,id=4660,type=128,code=0),zone=1,mark=3");
    assert_int_equal(it.protocol, 58);
    assert_true(it.has_icmp);
    assert_false(it.has_ports);
    assert_int_equal(it.icmp_id, 4660);
    assert_int_equal(it.icmp_type, 128);
    assert_int_equal(it.icmp_code, 0);
}

/* As the kernel's tracker tells it, and what other versions may add. */
static void
test_more_fields(void **state)
{
    struct sp_conntrack it = parse("sctp,orig=(src=10.1.1.1,dst=10.1.1.2,sport=1,dport=2,packets=3,bytes=300),"
                                   "reply=(src=10.1.1.2,dst=10.1.1.1,sport=2,dport=1),start=2026-01-01T00:00:00.000,id=77,zone=9,"
                                   "status=SEEN_REPLY|CONFIRMED,timeout=60,mark=1,labels=0x10,odd,nested=(a=(b=1,c),d),"
                                   "protoinfo=(state=ESTABLISHED,vtag_orig=1,vtag_reply=2),helper=ftp");
    assert_int_equal(it.protocol, 132);
    assert_int_equal(it.zone, 9);
    assert_string_equal(it.state, "ESTABLISHED");
    it = parse("47,orig=(src=10.1.1.1,dst=10.1.1.2,sport=0,dport=0),mark=1");
    assert_int_equal(it.protocol, 47);
}

/* A state that is no word is none; the connection is one all the same. */
static void
test_odd_state(void **state)
{
    assert_string_equal(parse("tcp," TUPLE ",protoinfo=(state=<b>)").state, "");
    assert_string_equal(parse("tcp," TUPLE ",protoinfo=(state=ABCDEFGHIJKLMNOPQRSTUVWXYZ)").state, "");
    assert_string_equal(parse("tcp," TUPLE ",protoinfo=(state_orig=A,state_reply=B)").state, "");
}

static void
test_no_connection(void **state)
{
    static const char *const lines[] = {
        "", ",", "tcp", "tcp,", "tcpx," TUPLE, "256," TUPLE, "-1," TUPLE, "=tcp," TUPLE, "tcp=," TUPLE "x", TUPLE, "tcp,zone=1",
        "tcp,orig=(src=203.0.113.9,dst=10.0.0.1,sport=40000)", "tcp,orig=(src=203.0.113.9,sport=1,dport=2)",
        "tcp,orig=(src=203.0.113.9,dst=2001:db8::1,sport=1,dport=2)",
        "tcp,orig=(src=203.0.113.9/24,dst=10.0.0.1,sport=1,dport=2)",
        "tcp,orig=(src=a,dst=10.0.0.1,sport=1,dport=2)", "tcp,orig=(src=203.0.113.9,dst=10.0.0.1,sport=65536,dport=2)",
        "tcp,orig=(src=203.0.113.9,dst=10.0.0.1,sport=1,sport=2)", "tcp,orig=(src=1.2.3.4,dst=1.2.3.5,id=1,type=8,code=0)",
        "icmp," TUPLE, "icmp,orig=(src=1.2.3.4,dst=1.2.3.5,id=1,type=256,code=0)", "tcp," TUPLE "," TUPLE,
        "tcp," TUPLE ",zone=65536", "tcp," TUPLE ",zone=", "tcp," TUPLE ",mark=4294967296",
        "tcp," TUPLE ",mark=99999999999999999999",
        "tcp," TUPLE ",timeout=x", "tcp," TUPLE ",protoinfo=(state=A", "tcp," TUPLE ")", "tcp,orig=(", "tcp,orig=((((",
        "tcp,orig=())", "tcp,orig=src=1.2.3.4", "tcp,Unsupported address family: 0. HEX:",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct sp_conntrack it = {.zone = 77};
        if (sp_conntrack_parse(lines[i], strlen(lines[i]), &it) != SP_E_SYNTAX) {
            fail_msg("taken: %s", lines[i]);
        }
        assert_int_equal(it.zone, 77);
    }
}

/* The exchange. */

#define COOKIE 0x5350030000000001ull
#define TRACE(COOKIE) \
    "Flow: in_port=1\n\nbridge(\"br0\")\n-------------\n 0. in_port=1,dl_src=02:00:00:00:00:01, priority 100, cookie 0x" COOKIE \
    "\n    set_field:0x1->reg0\n 1. No match.\n    drop\n"
#define RIGHT TRACE("5350030000000001")
#define ONE_DATAPATH "netdev@ovs-netdev\n"
#define STATS(N) "Connections Stats:\n    Total: " N "\n  TCP: 1\n"
#define LINE "tcp," TUPLE "," REPLY ",zone=1,mark=2\n"

static const struct sp_inquiry_port port = {
    .bridge = "br0", .ofport = 1, .mac = {{2, 0, 0, 0, 0, 1}}, .zone = 1, .cookie = COOKIE};

/* Asserts that the request under way is of 'method' with 'params', joined by blanks. */
static void
assert_asked(struct sp_inquiry *inquiry, const char *method, const char *params)
{
    char out[600], why[100], joined[300] = "";
    struct sp_json *json;
    size_t size = sp_inquiry_output(inquiry, out, 10);
    size += sp_inquiry_output(inquiry, out + size, sizeof out - size);
    assert_int_equal(sp_inquiry_output(inquiry, out, 0), 0);
    assert_int_equal(sp_json_parse(out, size, &json, why, sizeof why), 0);
    assert_string_equal(sp_json_get(json, "method")->string, method);
    const struct sp_json *list = sp_json_get(json, "params");
    for (size_t i = 0; i < list->n; i++) {
        size_t len = strlen(joined);
        snprintf(joined + len, sizeof joined - len, "%s%s", i ? " " : "", list->items[i].string);
    }
    assert_string_equal(joined, params);
    sp_json_free(json);
}

/* Answers the request under way, in pieces of 'piece' bytes. */
static void
answer_in(struct sp_inquiry *inquiry, const char *key, const char *text, size_t piece)
{
    const char *message;
    size_t size;
    struct sp_json_write *out = sp_json_write_new(false);
    sp_json_object_open(out);
    sp_json_key(out, "id");
    sp_json_integer(out, inquiry->step);
    sp_json_text(out, key, text);
    sp_json_object_close(out);
    assert_int_equal(sp_json_write_done(out, &message, &size), 0);
    for (size_t at = 0; at < size; at += piece) {
        sp_inquiry_receive(inquiry, message + at, piece < size - at ? piece : size - at);
    }
    sp_json_write_free(out);
}

static void
answer(struct sp_inquiry *inquiry, const char *text)
{
    answer_in(inquiry, "result", text, 100);
}

static struct sp_inquiry *
asked(size_t max)
{
    struct sp_inquiry *inquiry = malloc(sizeof *inquiry);
    assert_non_null(inquiry);
    assert_int_equal(sp_inquiry_init(inquiry, &port, max), 0);
    return inquiry;
}

static void
discard(struct sp_inquiry *inquiry)
{
    sp_inquiry_clear(inquiry);
    free(inquiry);
}

static void
test_exchange(void **state)
{
    for (size_t piece = 1; piece < 40; piece += 19) {
        struct sp_inquiry *inquiry = asked(10);
        assert_asked(inquiry, "ofproto/trace", "br0 in_port=1,dl_src=02:00:00:00:00:01");
        answer_in(inquiry, "result", RIGHT, piece);
        assert_true(inquiry->is_proved);
        assert_asked(inquiry, "dpctl/dump-dps", "");
        answer_in(inquiry, "result", ONE_DATAPATH, piece);
        assert_asked(inquiry, "dpctl/ct-stats-show", "netdev@ovs-netdev zone=1");
        answer_in(inquiry, "result", STATS("3"), piece);
        assert_asked(inquiry, "dpctl/dump-conntrack", "-s netdev@ovs-netdev zone=1");
        assert_int_equal(inquiry->state, SP_INQUIRY_ASKING);
        /* Of another zone, and what is none: left out. */
        answer_in(inquiry, "result", LINE "udp," TUPLE "," REPLY ",zone=2,mark=2\nodd\nudp," TUPLE ",zone=1\n", piece);
        assert_int_equal(inquiry->state, SP_INQUIRY_DONE);
        assert_int_equal(inquiry->n, 2);
        assert_int_equal(inquiry->n_strange, 2);
        assert_false(inquiry->more);
        assert_int_equal(inquiry->connections[0].mark, 2);
        assert_int_equal(inquiry->connections[1].protocol, 17);
        sp_inquiry_receive(inquiry, "{", 1); /* Nobody asked. */
        assert_int_equal(inquiry->state, SP_INQUIRY_DONE);
        discard(inquiry);
    }
}

static void
test_several_datapaths(void **state)
{
    static const char shown[] = "netdev@ovs-netdev: hit:1 missed:2\n  br1:\n    br0: 1/2: (system)\n  br0x:\n"
                                "system@ovs-system: hit:1 missed:2\n  br0:\n    br0 65534/1: (internal)\n  br2:\n";
    struct sp_inquiry *inquiry = asked(1);
    answer(inquiry, RIGHT);
    answer(inquiry, "netdev@ovs-netdev\nsystem@ovs-system\n");
    assert_asked(inquiry, "dpif/show", "");
    answer(inquiry, shown);
    assert_asked(inquiry, "dpctl/ct-stats-show", "system@ovs-system zone=1");
    discard(inquiry);
}

static void
test_strangers(void **state)
{
    static const char *const traces[] = {
        "", "\n", TRACE("5350030000000002"), TRACE("53500300000000010"), TRACE("5350010000000000"), " 0. priority 0\n    drop\n",
        " 1. in_port=1, priority 1, cookie 0x5350030000000001\n", "bridge(\"br0\")\n 0. No match.\n    drop\n",
        " 0. x, cookie 0x1\n 0. x, cookie 0x5350030000000001\n",
    };
    for (size_t i = 0; i <= sizeof traces / sizeof *traces; i++) {
        struct sp_inquiry *inquiry = asked(1);
        bool is_error = i == sizeof traces / sizeof *traces;
        answer_in(inquiry, is_error ? "error" : "result", is_error ? "br0: unknown bridge" : traces[i], 7);
        assert_int_equal(inquiry->state, SP_INQUIRY_STRANGER);
        assert_false(inquiry->is_proved);
        discard(inquiry);
    }
}

/* What comes in the place of each answer; the ones before are as they should be. */
static void
test_what_nobody_understands(void **state)
{
    static const char *const good[] = {RIGHT, ONE_DATAPATH, STATS("1")};
    static const struct {
        size_t n_good;
        const char *answer;
        const char *why;
    } odds[] = {
        {1, "", "dpctl/dump-dps: there is no datapath"},
        {1, "-m\n", "dpctl/dump-dps: a datapath whose name is none"},
        {1, "a b\n", "dpctl/dump-dps: a datapath whose name is none"},
        {1, "netdev@0123456789012345678901234567890123456789012345678901234567890\n",
         "dpctl/dump-dps: a datapath whose name is none"},
        {2, "", "dpctl/ct-stats-show: does not tell how many there are"},
        {2, STATS(""), "dpctl/ct-stats-show: does not tell how many there are"},
        {2, STATS("-1"), "dpctl/ct-stats-show: does not tell how many there are"},
        {2, STATS("1x"), "dpctl/ct-stats-show: does not tell how many there are"},
    };
    for (size_t i = 0; i < sizeof odds / sizeof *odds; i++) {
        struct sp_inquiry *inquiry = asked(1);
        for (size_t k = 0; k < odds[i].n_good; k++) {
            answer(inquiry, good[k]);
        }
        answer(inquiry, odds[i].answer);
        assert_int_equal(inquiry->state, SP_INQUIRY_FAILED);
        assert_string_equal(inquiry->why, odds[i].why);
        discard(inquiry);
    }
    struct sp_inquiry *inquiry = asked(1);
    answer(inquiry, RIGHT);
    answer_in(inquiry, "error", "no\x1b[2J \xc3\xa4\nmore", 100);
    assert_string_equal(inquiry->why, "dpctl/dump-dps: no?[2J \xc3\xa4");
    discard(inquiry);
}

static void
test_messages(void **state)
{
    static const char *const messages[] = {
        "x", "[1]", "{\"id\":0}", "{\"id\":1,\"result\":\"\"}", "{\"id\":\"0\",\"result\":\"\"}", "{\"id\":0,\"result\":1}",
        "{\"id\":0,\"result\":null,\"error\":null}", "{\"result\":\"\"}", "{\"id\":0,\"result\":\"\xff\"}",
        "{\"method\":\"echo\",\"id\":null,\"params\":[]}", "{\"id\":0,\"result\":{\"a\":1}}", "{]",
    };
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
        struct sp_inquiry *inquiry = asked(1);
        sp_inquiry_receive(inquiry, messages[i], strlen(messages[i]));
        if (inquiry->state != SP_INQUIRY_FAILED || strncmp(inquiry->why, "ofproto/trace: the answer ", 26)) {
            fail_msg("%s: %u, %s", messages[i], inquiry->state, inquiry->why);
        }
        discard(inquiry);
    }
}

static struct sp_inquiry *
asked_for_dump(size_t max)
{
    struct sp_inquiry *inquiry = asked(max);
    answer(inquiry, RIGHT);
    answer(inquiry, ONE_DATAPATH);
    answer(inquiry, STATS("100000"));
    assert_asked(inquiry, "dpctl/dump-conntrack", "-s netdev@ovs-netdev zone=1");
    return inquiry;
}

static void
test_bounds(void **state)
{
    struct sp_inquiry *inquiry = asked(1);
    answer(inquiry, RIGHT);
    answer(inquiry, ONE_DATAPATH);
    answer(inquiry, STATS("100001"));
    assert_int_equal(inquiry->state, SP_INQUIRY_TOO_MANY);
    assert_int_equal(inquiry->n_in_zone, 100001);
    discard(inquiry);
    inquiry = asked_for_dump(2);
    answer(inquiry, LINE LINE);
    assert_int_equal(inquiry->n, 2);
    assert_false(inquiry->more);
    discard(inquiry);
    inquiry = asked_for_dump(2);
    answer(inquiry, LINE LINE LINE);
    assert_int_equal(inquiry->n, 2);
    assert_true(inquiry->more);
    discard(inquiry);
}

/* A dump that is too long to be read as a whole gives the connections of its beginning, whatever byte it is cut at. */
static void
test_endless_dump(void **state)
{
    const char *const head = "{\"id\":4,\"error\":null,\"result\":\"";
    char line[400];
    size_t size = (size_t) snprintf(line, sizeof line, "%.*s\\n", (int) strlen(LINE) - 1, LINE);
    for (size_t extra = 0; extra < size; extra++) {
        struct sp_inquiry *inquiry = asked_for_dump(20000);
        size_t sent = strlen(head);
        sp_inquiry_receive(inquiry, head, strlen(head));
        for (size_t i = 0; i < extra; i++) { /* A line that is none, to move the others on. */
            sp_inquiry_receive(inquiry, "x", 1);
        }
        sp_inquiry_receive(inquiry, "\\n", 2);
        for (; inquiry->state == SP_INQUIRY_ASKING && sent < 2 * SP_INQUIRY_TEXT_MAX; sent += size) {
            sp_inquiry_receive(inquiry, line, size);
        }
        assert_int_equal(inquiry->state, SP_INQUIRY_DONE);
        assert_true(inquiry->more);
        assert_int_equal(inquiry->n_strange, 1);
        assert_in_range(inquiry->n, SP_INQUIRY_TEXT_MAX / size - 4, SP_INQUIRY_TEXT_MAX / size);
        discard(inquiry);
    }
}

static void
test_endless_others(void **state)
{
    static const char *const heads[] = {"{\"id\":4,\"result\":\"", "{\"id\":4,\"result\":[\"a\\n", "{\"id\":4,\"error\":\"no\\n"};
    static const char *const whys[] = {"dpctl/dump-conntrack: the answer is one endless line",
                                       "dpctl/dump-conntrack: the answer is too long", "dpctl/dump-conntrack: no"};
    char *much = malloc(SP_INQUIRY_TEXT_MAX);
    assert_non_null(much);
    memset(much, 'x', SP_INQUIRY_TEXT_MAX);
    for (size_t i = 0; i < 3; i++) {
        struct sp_inquiry *inquiry = asked_for_dump(1);
        sp_inquiry_receive(inquiry, heads[i], strlen(heads[i]));
        sp_inquiry_receive(inquiry, much, SP_INQUIRY_TEXT_MAX);
        assert_int_equal(inquiry->state, SP_INQUIRY_FAILED);
        assert_string_equal(inquiry->why, whys[i]);
        discard(inquiry);
    }
    struct sp_inquiry *inquiry = asked(1);
    sp_inquiry_receive(inquiry, "{\"id\":0,\"result\":\"\\n", 20);
    sp_inquiry_receive(inquiry, much, SP_INQUIRY_TEXT_MAX);
    assert_string_equal(inquiry->why, "ofproto/trace: the answer is too long");
    discard(inquiry);
    free(much);
}

/* What a bridge is called comes from a switch: nothing is asked in the name of an option. */
static void
test_names_of_bridges(void **state)
{
    static const char *const names[] = {"", "-generate", "a b", "a\"b", "a\\", "br\xc3\xa4", "a\n"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct sp_inquiry inquiry;
        struct sp_inquiry_port odd = port;
        snprintf(odd.bridge, sizeof odd.bridge, "%s", names[i]);
        assert_int_equal(sp_inquiry_init(&inquiry, &odd, 1), SP_E_RANGE);
        sp_inquiry_clear(&inquiry);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tcp),
        cmocka_unit_test(test_what_is_not_told),
        cmocka_unit_test(test_icmp),
        cmocka_unit_test(test_more_fields),
        cmocka_unit_test(test_odd_state),
        cmocka_unit_test(test_no_connection),
        cmocka_unit_test(test_exchange),
        cmocka_unit_test(test_several_datapaths),
        cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_what_nobody_understands),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_endless_dump),
        cmocka_unit_test(test_endless_others),
        cmocka_unit_test(test_names_of_bridges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
