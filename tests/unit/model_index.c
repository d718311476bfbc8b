#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "controller/model/index.h"
#include "controller/model/vector.h"
#include "tests/support/random.h"

/* Indices against plain arrays; vectors. */

#define N_NODES 400
#define N_KEYS 60

static uint32_t keys[N_NODES]; /* By item. */

static bool match(const struct sp_index_node *node, const void *key)
{
    return keys[node->item] == *(const uint32_t *) key;
}

/* Few hashes for many keys, so that different keys of one hash meet. */
static uint32_t hash_of(uint32_t key)
{
    return key % 16 * 0x10001;
}

/* Checks the ring of 'key' against 'order', the items in the order in which they were added. */
static void check_ring(const struct sp_index *index, uint32_t key, const uint32_t *order, size_t n_order)
{
    const struct sp_index_node *head = sp_index_find(index, hash_of(key), &key);
    const struct sp_index_node *node = head;
    size_t n = 0;
    for (size_t i = 0; i < n_order; i++) {
        if (keys[order[i]] == key) {
            assert_non_null(node);
            assert_int_equal(node->item, order[i]);
            node = sp_index_next(head, node);
            n++;
        }
    }
    assert_null(node);
    assert_int_equal(head ? head->count : 0, n);
}

static void test_random_changes(void **state)
{
    struct sp_random random;
    struct sp_index index;
    static struct sp_index_node nodes[N_NODES];
    static bool is_in[N_NODES];
    uint32_t order[N_NODES];
    size_t n = 0;
    sp_random_init(&random);
    sp_index_init(&index, match);
    for (size_t i = 0; i < N_NODES; i++) {
        nodes[i].item = i;
        keys[i] = sp_random_below(&random, N_KEYS);
    }
    for (size_t step = 0; step < 20000; step++) {
        uint32_t i = sp_random_below(&random, N_NODES), key = keys[i];
        if (is_in[i]) {
            sp_index_remove(&index, &nodes[i], hash_of(key), &key);
            size_t at = 0;
            while (order[at] != i) {
                at++;
            }
            memmove(order + at, order + at + 1, (--n - at) * sizeof *order);
        } else {
            sp_index_add(&index, &nodes[i], hash_of(key), &key);
            order[n++] = i;
        }
        is_in[i] = !is_in[i];
        check_ring(&index, key, order, n);
        if (step % 500 == 0) {
            size_t n_heads = 0, n_nodes = 0, cursor = 0;
            for (struct sp_index_node *head = NULL; (head = sp_index_next_head(&index, head, &cursor));) {
                n_heads++;
                n_nodes += head->count;
            }
            assert_int_equal(n_heads, index.n_heads);
            assert_int_equal(n_nodes, n);
        }
    }
    sp_index_clear(&index);
    assert_null(sp_index_find(&index, hash_of(1), &(uint32_t) { 1 }));
}

static void test_hash(void **state)
{
    const char text[] = "0123456789abcdef";
    uint32_t all = sp_index_hash(1, text, 16);
    assert_int_equal(sp_index_hash(1, text, 16), all);
    assert_int_not_equal(sp_index_hash(2, text, 16), all);
    for (size_t size = 0; size < 16; size++) {
        assert_int_not_equal(sp_index_hash(1, text, size), all);
    }
    assert_int_not_equal(sp_index_hash(1, "\0", 1), sp_index_hash(1, "\0\0", 2));
}

static int compare(const void *a, const void *b)
{
    return *(const int *) a - *(const int *) b;
}

static void test_vector(void **state)
{
    struct sp_vector vector = { 0 };
    sp_vector_sort_unique(&vector, sizeof(int), compare);
    assert_int_equal(vector.n, 0);
    for (int i = 0; i < 1000; i++) {
        int *item = sp_vector_add(&vector, sizeof *item);
        assert_non_null(item);
        assert_int_equal(*item, 0);
        *item = i * 7 % 100;
    }
    sp_vector_sort_unique(&vector, sizeof(int), compare);
    assert_int_equal(vector.n, 100);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(((int *) vector.items)[i], i);
    }
    assert_int_equal(sp_vector_reserve(&vector, SIZE_MAX, sizeof(int)), -ENOMEM);
    assert_int_equal(vector.n, 100);
    sp_vector_clear(&vector);
    assert_null(vector.items);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_random_changes), cmocka_unit_test(test_hash),
                                        cmocka_unit_test(test_vector) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
