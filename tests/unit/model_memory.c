/* Want of memory, at each allocation of each operation in turn: the operation says so, taking it back leaves the model as it was
 * (B1), and what was sealed can still be published (B3).  The allocator of this program fails on demand; under AddressSanitizer,
 * which has one of its own, the tests are skipped. */

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/world.h"

static unsigned long calls_left; /* 0: never fails; 1: the next call does, and all after it. */

#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *, size_t size);
void *malloc(size_t size);
void *calloc(size_t n, size_t size);
void *realloc(void *, size_t size);

static bool fails(void)
{
    if (calls_left > 1) {
        calls_left--;
        return false;
    }
    errno = ENOMEM;
    return calls_left == 1;
}

void *malloc(size_t size)
{
    return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    return fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *old, size_t size)
{
    return fails() ? NULL : __libc_realloc(old, size);
}
#endif

static struct world w;
static struct sp_uuid web, db, vm1, vm2, rule;

static int open_world(void **state)
{
    struct sp_cidr ips[2];
    struct sp_port_input ports[] = { world_port(1, "p1", 1, "10.0.0.1", &ips[0]), world_port(1, "p2", 2, "10.0.0.2", &ips[1]) };
    struct sp_rule_input http = world_rule(SP_INBOUND, SP_PROTOCOL_TCP, 80, 80);
    world_open(&w);
    world_region(&w, "SV2");
    web = world_group(&w, "SV2", "web", &http, 1);
    struct sp_rule_input from_web = world_rule_group(SP_INBOUND, SP_PROTOCOL_TCP, 5432, &web);
    db = world_group(&w, "SV2", "db", &from_web, 1);
    vm1 = world_server(&w, "SV2", "vm1", &web, 1, &ports[0], 1);
    vm2 = world_server(&w, "SV2", "vm2", &db, 1, &ports[1], 1);
    rule = sp_model_group(w.model, &web)->rules[0]->id;
    return 0;
}

static int close_world(void **state)
{
    world_close(&w);
    return 0;
}

/* The operations; each succeeds with memory and does something. */

static int put_region(void)
{
    bool created;
    return sp_batch_put_region(w.batch, "TY2", &created, &w.problems);
}

static int create_default_group(void)
{
    struct sp_uuid id;
    struct sp_group_input input = { .region = "SV2", .name = "new", .is_default = true,
                                    .template_kind = SP_TEMPLATE_REMOTE_LOGIN };
    return sp_batch_create_group(w.batch, &input, &id, &w.problems);
}

static int rename_group(void)
{
    struct sp_group_patch patch = { .name = "other", .is_default = -1 };
    return sp_batch_patch_group(w.batch, &web, &patch, &w.problems);
}

static int add_rule(void)
{
    struct sp_uuid id;
    bool created;
    struct sp_rule_input input = world_rule_group(SP_INBOUND, SP_PROTOCOL_TCP, 1, &db);
    return sp_batch_add_rule(w.batch, &web, &input, &id, &created, &w.problems);
}

static int set_rule(void)
{
    struct sp_rule_input input = world_rule(SP_INBOUND, SP_PROTOCOL_TCP, 81, 81);
    return sp_batch_set_rule(w.batch, &web, &rule, &input, &w.problems);
}

static int delete_rule(void)
{
    return sp_batch_delete_rule(w.batch, &web, &rule, &w.problems);
}

static int replace_rules(void)
{
    struct sp_rule_input rules[] = { world_rule(SP_INBOUND, SP_PROTOCOL_TCP, 80, 80),
                                     world_rule(SP_INBOUND, SP_PROTOCOL_UDP, 1, 9) };
    return sp_batch_replace_rules(w.batch, &web, rules, 2, &w.problems);
}

static int create_server_with_shared_address(void)
{
    struct sp_uuid id;
    struct sp_cidr ip;
    struct sp_port_input ports[] = { world_port(2, "p1", 3, "10.0.0.1", &ip), { .mac = { { 2, 9 } }, .iface_id = "if" } };
    struct sp_server_input input = { .region = "SV2", .name = "vm3", .has_groups = true, .groups = &db, .n_groups = 1,
                                     .ports = ports, .n_ports = 2 };
    return sp_batch_create_server(w.batch, &input, &id, &w.problems);
}

static int regroup_server(void)
{
    struct sp_uuid both[] = { web, db };
    struct sp_server_patch patch = { .kind = -1, .has_groups = true, .groups = both, .n_groups = 2 };
    return sp_batch_patch_server(w.batch, &vm1, &patch, &w.problems);
}

static int replace_ports(void)
{
    struct sp_cidr ip;
    struct sp_port_input port = world_port(3, "p9", 1, "10.0.0.2", &ip);
    struct sp_server_patch patch = { .kind = -1, .has_ports = true, .ports = &port, .n_ports = 1 };
    return sp_batch_patch_server(w.batch, &vm1, &patch, &w.problems);
}

static int delete_server(void)
{
    return sp_batch_delete_server(w.batch, &vm1, &w.problems);
}

static int put_bridge(void)
{
    bool created;
    const char *uplinks[] = { "eth0", "eth1" };
    return sp_batch_put_bridge(w.batch, 1, uplinks, 2, &created, &w.problems);
}

static int (*const operations[])(void) = {
    put_region,    create_default_group,             rename_group,   add_rule,      set_rule,      delete_rule,
    replace_rules, create_server_with_shared_address, regroup_server, replace_ports, delete_server, put_bridge,
};

/* Runs 'operation' with the 'n'th allocation failing.  Returns whether it came through all the same. */
static bool run_with_failure(int (*operation)(void), unsigned long n)
{
    struct sp_counters counters = *sp_model_counters(w.model);
    uint64_t revision;
    w.batch = sp_batch_begin(w.model, w.now_us);
    assert_non_null(w.batch);
    calls_left = n;
    int r = operation();
    r = r ? r : sp_batch_accept(w.batch, 0, &revision);
    if (r) {
        calls_left = 0;
        assert_int_equal(r, -ENOMEM);
        sp_batch_rollback(w.batch, 0);
        assert_memory_equal(sp_batch_counters(w.batch), &counters, sizeof counters);
    }
    calls_left = calls_left ? 1 : 0; /* Nothing from here on may need memory. */
    sp_batch_seal(w.batch);
    size_t n_changes;
    sp_batch_changes(w.batch, &n_changes);
    if (!r) {
        sp_batch_publish(w.batch);
    }
    calls_left = 0;
    assert_int_equal(n_changes > 0, !r);
    sp_batch_free(w.batch);
    w.batch = NULL;
    world_check(w.model);
    return !r;
}

static void test_each_allocation_fails_once(void **state)
{
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    skip();
#endif
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        unsigned long n = 1;
        while (!run_with_failure(operations[i], n)) {
            n++;
        }
        assert_true(n > 3); /* It did allocate, so this tested something. */
        close_world(NULL);
        open_world(NULL);
    }
}

static void test_problems_without_memory(void **state)
{
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    skip();
#endif
    for (unsigned long n = 1; n < 12; n++) {
        struct sp_problems problems;
        sp_problems_init(&problems);
        calls_left = n;
        sp_problems_add(&problems, "field", "value %d", 1);
        sp_problems_hold(&problems, "server", &vm1, "vm1");
        sp_problems_detail(&problems, "detail %d", 1);
        calls_left = 0;
        assert_int_equal(problems.n + problems.n_holders + (problems.detail ? 1 : 0) + problems.n_lost, 3);
        sp_problems_clear(&problems);
    }
    /* A refusal stays one though nothing could be noted down. */
    struct sp_uuid id;
    struct sp_group_input input = { .region = "XX", .name = "web" };
    w.batch = sp_batch_begin(w.model, 1);
    assert_non_null(w.batch);
    calls_left = 1;
    int r = sp_batch_create_group(w.batch, &input, &id, &w.problems);
    calls_left = 0;
    assert_int_equal(r, SP_E_INVALID);
    assert_int_equal(w.problems.n_lost, 1);
    sp_batch_free(w.batch);
    w.batch = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_allocation_fails_once, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_problems_without_memory, open_world, close_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
