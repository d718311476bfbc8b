#include "controller/blocked.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

static const struct sp_uuid no_group;

static struct sp_blocked_key key(uint8_t port, uint16_t number)
{
    struct sp_blocked_key key;

    memset(&key, 0, sizeof key);
    key.port.bytes[0] = port;
    key.remote = (struct sp_cidr) { .family = 4, .prefix = 32, .bytes = { 203, 0, 113, 9 } };
    key.protocol = 6;
    key.has_port = true;
    key.number = number;
    return key;
}

static void add(struct sp_blocked *blocked, uint8_t port, uint16_t number, int64_t now_us)
{
    struct sp_blocked_key k = key(port, number);

    assert_int_equal(sp_blocked_add(blocked, &k, &no_group, now_us), 0);
}

struct seen {
    struct sp_blocked_entry entries[SP_BLOCKED_PER_PORT + 1];
    size_t n;
};

static int see(void *aux, const struct sp_blocked_entry *entry)
{
    struct seen *seen = aux;

    assert_true(seen->n <= SP_BLOCKED_PER_PORT);
    seen->entries[seen->n++] = *entry;
    return 0;
}

static struct seen list(const struct sp_blocked *blocked, uint8_t port)
{
    struct seen seen = { .n = 0 };
    struct sp_uuid id = { .bytes = { port } };

    assert_int_equal(sp_blocked_each(blocked, &id, see, &seen), 0);
    return seen;
}

static void test_counts(void **state)
{
    struct sp_blocked *blocked = sp_blocked_new(1, 100);
    struct sp_blocked_key by_rule = key(1, 22);
    struct sp_uuid group = { .bytes = { 5 } };
    struct seen seen;

    assert_non_null(blocked);
    add(blocked, 1, 22, 10);
    add(blocked, 1, 80, 20);
    add(blocked, 1, 22, 30);
    add(blocked, 2, 22, 40);
    by_rule.rule.bytes[0] = 9;
    assert_int_equal(sp_blocked_add(blocked, &by_rule, &group, 50), 0);
    seen = list(blocked, 1);
    assert_int_equal(seen.n, 3);
    assert_int_equal(seen.entries[0].key.rule.bytes[0], 9);
    assert_int_equal(seen.entries[0].group.bytes[0], 5);
    assert_int_equal(seen.entries[1].key.number, 22);
    assert_int_equal(seen.entries[1].n, 2);
    assert_int_equal(seen.entries[1].first_us, 10);
    assert_int_equal(seen.entries[1].last_us, 30);
    assert_int_equal(seen.entries[2].key.number, 80);
    assert_int_equal(list(blocked, 2).n, 1);
    assert_int_equal(list(blocked, 3).n, 0);
    assert_int_equal(sp_blocked_count(blocked), 4);
    sp_blocked_free(blocked);
}

/* Of one port the one that was seen longest ago makes room, and no other port's. */
static void test_full_port(void **state)
{
    struct sp_blocked *blocked = sp_blocked_new(1, 1000);
    struct seen seen;

    add(blocked, 2, 1, 0);
    for (uint16_t i = 0; i < SP_BLOCKED_PER_PORT; i++) {
        add(blocked, 1, i, i);
    }
    add(blocked, 1, 0, 1000);
    add(blocked, 1, 5000, 1001);
    seen = list(blocked, 1);
    assert_int_equal(seen.n, SP_BLOCKED_PER_PORT);
    assert_int_equal(seen.entries[0].key.number, 5000);
    assert_int_equal(seen.entries[1].key.number, 0);
    assert_int_equal(seen.entries[SP_BLOCKED_PER_PORT - 1].key.number, 2); /* 1 has gone. */
    assert_int_equal(sp_blocked_evicted(blocked), 1);
    assert_int_equal(list(blocked, 2).n, 1);
    sp_blocked_free(blocked);
}

static void test_full(void **state)
{
    struct sp_blocked *blocked = sp_blocked_new(1, 10);

    for (uint8_t i = 0; i < 10; i++) {
        add(blocked, i, 1, i);
    }
    add(blocked, 0, 1, 100);
    add(blocked, 200, 1, 101);
    assert_int_equal(sp_blocked_count(blocked), 10);
    assert_int_equal(list(blocked, 0).n, 1);
    assert_int_equal(list(blocked, 1).n, 0);
    assert_int_equal(list(blocked, 200).n, 1);
    assert_int_equal(sp_blocked_evicted(blocked), 1);
    /* Its only entry makes room for another of the same port. */
    struct sp_blocked *one = sp_blocked_new(1, 1);
    add(one, 1, 1, 1);
    add(one, 1, 2, 2);
    assert_int_equal(list(one, 1).n, 1);
    assert_int_equal(list(one, 1).entries[0].key.number, 2);
    sp_blocked_free(one);
    sp_blocked_free(blocked);
}

static void test_forget(void **state)
{
    struct sp_blocked *blocked = sp_blocked_new(1, 100);
    struct sp_uuid id = { .bytes = { 1 } };

    for (uint16_t i = 0; i < 30; i++) {
        add(blocked, 1, i, i);
        add(blocked, 2, i, i);
    }
    sp_blocked_forget(blocked, &id);
    sp_blocked_forget(blocked, &id);
    assert_int_equal(list(blocked, 1).n, 0);
    assert_int_equal(list(blocked, 2).n, 30);
    assert_int_equal(sp_blocked_count(blocked), 30);
    add(blocked, 1, 1, 100);
    assert_int_equal(list(blocked, 1).entries[0].n, 1);
    sp_blocked_free(blocked);
    sp_blocked_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_full_port),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
