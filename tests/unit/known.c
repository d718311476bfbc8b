/* What is known of a switch's flows, from dump to dump. */

#include "flows/openflow/known.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <openflow/openflow.h>

#include "flows/openflow/codec.h"
#include "sallyport/pipeline.h"

static struct sp_flow *make(uint16_t priority, uint16_t port)
{
    struct sp_flow_build b;
    struct sp_flow *flow;

    sp_flow_build_init(&b, 1, priority, 1);
    sp_flow_output(&b, port);
    assert_int_equal(sp_flow_build_done(&b, &flow), 0);
    return flow;
}

static void find_and_forget(void **aux)
{
    enum { N = 1000 };
    struct sp_known *known = sp_known_new(1);
    struct sp_flow *flow = make(1, 1);

    sp_known_begin(known);
    assert_null(sp_known_find(known, 16));
    for (uint64_t i = 0; i < N; i++) {
        sp_known_put(known, i * 16, flow); /* All in one chain at first. */
    }
    sp_known_put(known, 0, flow);
    assert_int_equal(sp_known_count(known), N);
    assert_int_equal(flow->refs, 1 + N);
    sp_known_end(known);
    sp_known_begin(known);
    for (uint64_t i = 0; i < N; i += 2) {
        assert_ptr_equal(sp_known_find(known, i * 16), flow);
        assert_ptr_equal(sp_known_find(known, i * 16), flow); /* Told twice in one dump. */
        assert_null(sp_known_find(known, i * 16 + 1));
    }
    sp_known_end(known);
    assert_int_equal(sp_known_count(known), N / 2);
    assert_int_equal(flow->refs, 1 + N / 2);
    sp_known_begin(known);
    assert_null(sp_known_find(known, 16));
    assert_ptr_equal(sp_known_find(known, 32), flow);
    sp_known_free(known);
    assert_int_equal(flow->refs, 1);
    sp_flow_unref(flow);
    sp_known_free(NULL);
}

/* Tells 'n' of the digests 1, 2, and so on, in this order or from behind, and the 'twice'th one twice; puts what is not known. */
static void tell(struct sp_known *known, struct sp_flow *flow, uint64_t n, bool backwards, uint64_t twice)
{
    sp_known_begin(known);
    for (uint64_t i = 1; i <= n; i++) {
        uint64_t digest = backwards ? n + 1 - i : i;

        for (unsigned times = i == twice ? 2 : 1; times; times--) {
            if (!sp_known_find(known, digest)) {
                sp_known_put(known, digest, flow);
            }
        }
    }
    sp_known_end(known);
}

/* In whatever order they are told, and however often, it is the same dump if all were told, and nothing else. */
static void same_or_not(void **aux)
{
    enum { N = 100 };
    struct sp_known *known = sp_known_new(1);
    struct sp_flow *flow = make(1, 1);
    size_t cursor = 0, n = 0;

    tell(known, flow, N, false, 0);
    assert_false(sp_known_is_same(known));
    tell(known, flow, N, false, 0);
    assert_true(sp_known_is_same(known));
    tell(known, flow, N, true, 50);
    assert_true(sp_known_is_same(known));
    tell(known, flow, N + 1, false, 0);
    assert_false(sp_known_is_same(known));
    tell(known, flow, N + 1, true, 0);
    assert_true(sp_known_is_same(known));
    tell(known, flow, N, false, 10); /* As many tellings as before. */
    assert_false(sp_known_is_same(known));
    tell(known, flow, N, false, 0);
    assert_true(sp_known_is_same(known));
    while (sp_known_next(known, &cursor)) {
        n++;
    }
    assert_int_equal(n, N);
    /* One comes in the place of another. */
    sp_known_begin(known);
    for (uint64_t i = 1; i < N; i++) {
        assert_ptr_equal(sp_known_find(known, i), flow);
    }
    assert_null(sp_known_find(known, N + 1));
    sp_known_put(known, N + 1, flow);
    sp_known_end(known);
    assert_false(sp_known_is_same(known));
    assert_int_equal(sp_known_count(known), N);
    assert_int_equal(flow->refs, 1 + N);
    /* Nothing is told, and then nothing again. */
    tell(known, flow, 0, false, 0);
    assert_false(sp_known_is_same(known));
    tell(known, flow, 0, false, 0);
    assert_true(sp_known_is_same(known));
    assert_int_equal(flow->refs, 1);
    sp_known_free(known);
    sp_flow_unref(flow);
}

/* A dump that breaks off forgets nothing. */
static void broken_off(void **aux)
{
    struct sp_known *known = sp_known_new(1);
    struct sp_flow *a = make(1, 1), *b = make(2, 1), *c = make(3, 1);

    sp_known_begin(known);
    sp_known_put(known, 1, a);
    sp_known_put(known, 2, b);
    sp_known_end(known);
    sp_known_begin(known);
    assert_ptr_equal(sp_known_find(known, 1), a);
    sp_known_put(known, 3, c);
    sp_known_begin(known);
    assert_ptr_equal(sp_known_find(known, 3), c);
    assert_ptr_equal(sp_known_find(known, 2), b);
    assert_ptr_equal(sp_known_find(known, 1), a);
    sp_known_end(known);
    assert_int_equal(sp_known_count(known), 3);
    sp_known_free(known);
    assert_int_equal(a->refs + b->refs + c->refs, 3);
    sp_flow_unref(a);
    sp_flow_unref(b);
    sp_flow_unref(c);
}

static void adopt(void **aux)
{
    struct sp_known *known = sp_known_new(1);
    struct sp_flow_table *table = sp_flow_table_new();
    struct sp_flow *told = make(1, 1), *ours = make(1, 1), *other = make(2, 1), *differs = make(2, 2);

    assert_int_equal(sp_flow_table_put(table, ours), 0);
    assert_int_equal(sp_flow_table_put(table, differs), 0);
    sp_known_begin(known);
    sp_known_put(known, 1, told);
    sp_known_put(known, 2, other);
    sp_known_end(known);
    size_t cursor = 0, n_equal = 0;
    while (sp_known_adopt(known, table, &cursor, 1, &n_equal)) {
        continue;
    }
    assert_int_equal(n_equal, 1);
    assert_int_equal(told->refs, 1);
    assert_int_equal(ours->refs, 3);
    sp_known_begin(known);
    assert_ptr_equal(sp_known_find(known, 1), ours);
    assert_ptr_equal(sp_known_find(known, 2), other); /* The same key, but another flow. */
    sp_known_free(known);
    sp_flow_table_free(table);
    sp_flow_unref(told);
    sp_flow_unref(ours);
    sp_flow_unref(other);
    sp_flow_unref(differs);
}

/* An entry of 1.4 with an empty match and an output, and one of 1.5 with statistics between them. */
static const uint8_t entry14[] = {
    0x00, 0x50, 0x15, 0x00, 0x00, 0x00, 0x00, 0x09, 0x00, 0x00, 0x00, 0x09, 0x00, 0x64, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x53, 0x50, 0x05, 0x00, 0x00, 0x00, 0x00, 0x07,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02,
    0x00, 0x01, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00, 0x18, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
};
static const uint8_t entry15[] = {
    0x00, 0x48, 0x00, 0x00, 0x15, 0x00, 0x00, 0x64, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x53, 0x50, 0x05, 0x00, 0x00, 0x00, 0x00, 0x07, 0x00, 0x01, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x10, 0x80, 0x02, 0x00, 0x08, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x04, 0x00, 0x18, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x03,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
};

/* Changes each byte in turn: those in one of the two ranges do not count, all others must give another digest. */
static void check_digest(uint8_t version, const uint8_t *entry, size_t size, const size_t ranges[4])
{
    struct sp_known *known = sp_known_new(7), *other_seed = sp_known_new(8);
    uint8_t copy[128];
    uint64_t digest, other;
    size_t length;

    assert_true(sp_known_digest(known, version, entry, size, &length, &digest));
    assert_int_equal(length, size);
    for (size_t i = 0; i < size; i++) {
        bool counts = !((i >= ranges[0] && i < ranges[1]) || (i >= ranges[2] && i < ranges[3]));

        memcpy(copy, entry, size);
        copy[i] ^= 0x40;
        if (sp_known_digest(known, version, copy, size, &length, &other)) {
            assert_int_equal(counts, digest != other);
        }
    }
    for (size_t i = 0; i < size; i++) { /* Cut short. */
        assert_false(sp_known_digest(known, version, entry, i, &length, &other));
    }
    assert_true(sp_known_digest(other_seed, version, entry, size, &length, &other));
    assert_true(digest != other);
    sp_known_free(known);
    sp_known_free(other_seed);
}

static void digest(void **aux)
{
    check_digest(SP_OF14, entry14, sizeof entry14, (size_t[]){3, 12, 32, 48}); /* Padding and age; counters. */
    check_digest(SP_OF15, entry15, sizeof entry15, (size_t[]){2, 4, 32, 48});  /* Padding; statistics. */
}

/* 'entry15' with 'value' at 'at'. */
static void check_malformed(size_t at, uint8_t value)
{
    struct sp_known *known = sp_known_new(7);
    uint8_t copy[sizeof entry15];
    uint64_t any;
    size_t length;

    memcpy(copy, entry15, sizeof copy);
    copy[at] = value;
    assert_false(sp_known_digest(known, SP_OF15, copy, sizeof copy, &length, &any));
    sp_known_free(known);
}

static void malformed(void **aux)
{
    check_malformed(27, 60); /* The match is longer than the entry. */
    check_malformed(35, 60); /* The statistics are. */
    check_malformed(1, 8);   /* The entry is shorter than its head. */
    check_malformed(1, 80);  /* It is longer than what is left. */
    check_malformed(35, 0);
    check_malformed(27, 0);
}

/* Stores 'value' at 'at' in network order. */
static void put_be(uint8_t *at, uint64_t value, size_t size)
{
    while (size--) {
        at[size] = (uint8_t) value;
        value >>= 8;
    }
}

/* Only of a flow that is counted, and that has counted anything, are the counters worth a word. */
static void counters(void **aux)
{
    struct sp_count count;
    uint8_t copy[sizeof entry14];

    assert_false(sp_known_counters(SP_OF14, entry14, sizeof entry14, &count)); /* Its table has none that are counted. */
    assert_int_equal(count.packets, 1);
    assert_int_equal(count.bytes, 2);
    memcpy(copy, entry14, sizeof copy);
    copy[2] = SP_T_GATE;
    assert_true(sp_known_counters(SP_OF14, copy, sizeof copy, &count));
    put_be(copy + 32, 0, 8);
    assert_true(sp_known_counters(SP_OF14, copy, sizeof copy, &count));
    assert_int_equal(count.bytes, 2);
    put_be(copy + 40, 0, 8);
    assert_false(sp_known_counters(SP_OF14, copy, sizeof copy, &count));
    put_be(copy + 32, UINT64_MAX, 8);
    assert_true(sp_known_counters(SP_OF14, copy, sizeof copy, &count));
    put_be(copy + 24, 7, 8); /* Another's. */
    assert_false(sp_known_counters(SP_OF14, copy, sizeof copy, &count));

    memcpy(copy, entry15, sizeof entry15);
    copy[4] = SP_T_GATE;
    assert_true(sp_known_counters(SP_OF15, copy, sizeof entry15, &count)); /* It does not say: the receiver leaves it out. */
    assert_int_equal(count.packets, UINT64_MAX);
    copy[38] = OFPXST_OFB_PACKET_COUNT << 1;
    assert_true(sp_known_counters(SP_OF15, copy, sizeof entry15, &count));
    assert_int_equal(count.packets, (uint64_t) 1 << 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(find_and_forget), cmocka_unit_test(same_or_not), cmocka_unit_test(broken_off), cmocka_unit_test(adopt),
        cmocka_unit_test(digest),          cmocka_unit_test(malformed),   cmocka_unit_test(counters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
