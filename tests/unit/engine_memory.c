/* Want of memory in the engine, at one allocation after the other of its own files: a write is refused or a connection
 * closed, nothing else; and when there is memory again everything is in force.  Allocations of libopenvswitch, of the fake
 * switches and of the rig do not fail, as their owners would end the process.  Under AddressSanitizer, which has an allocator
 * of its own, it is skipped. */

#include "tests/support/rig.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/engine_state.h"
#include "controller/switch_units.h"
#include "sallyport/pipeline.h"
#include "tests/support/caller_range.h"
#include "tests/support/world.h"

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
static void
test_skipped(void **state)
{
    skip();
}

static const struct CMUnitTest tests[] = { cmocka_unit_test(test_skipped) };
#else
#define RANGES_MAX 4000

static struct caller_range ranges[RANGES_MAX]; /* The code whose allocations may fail. */
static size_t n_ranges;
static unsigned long calls_left;        /* 0: never fails; 1: the next call does, once. */
static unsigned long n_failed;
extern char __executable_start;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *, size_t size);
void *malloc(size_t size);
void *calloc(size_t n, size_t size);
void *realloc(void *, size_t size);

static bool
fails(const void *caller)
{
    uintptr_t at = (uintptr_t) caller - (uintptr_t) &__executable_start;
    if (!calls_left || !caller_range_contain(ranges, n_ranges, at)) {
        return false;
    }
    n_failed += calls_left == 1;
    errno = ENOMEM;
    return !--calls_left;
}

void *
malloc(size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *
calloc(size_t n, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(n, size);
}

void *
realloc(void *old, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(old, size);
}

static bool
is_ours(const char *file)
{
    static const char *const files[] = { "engine", "switch", "flow_list.c", "table.c", "stream.c" };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (!strncmp(file, files[i], strlen(files[i])) && strcmp(file, "engine_memory.c")) {
            return true;
        }
    }
    return false;
}

static int
compare_ranges(const void *a, const void *b)
{
    uintptr_t x = ((const struct caller_range *) a)->begin, y = ((const struct caller_range *) b)->begin;
    return (x > y) - (x < y);
}

static void
add_range(const Elf64_Sym *symbol)
{
    assert_true(n_ranges < RANGES_MAX);
    ranges[n_ranges++] = (struct caller_range) { symbol->st_value, symbol->st_value + symbol->st_size };
}

/* Finds the code of our files in the program's own symbols: static functions behind their file's symbol, others by name. */
static void
find_ranges(void)
{
    FILE *file = fopen("/proc/self/exe", "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    size_t size = (size_t) ftell(file);
    char *image = malloc(size);
    rewind(file);
    assert_true(image && fread(image, 1, size, file) == size);
    fclose(file);
    const Elf64_Ehdr *header = (const Elf64_Ehdr *) image;
    const Elf64_Shdr *sections = (const Elf64_Shdr *) (image + header->e_shoff);
    for (size_t i = 0; i < header->e_shnum; i++) {
        if (sections[i].sh_type != SHT_SYMTAB) {
            continue;
        }
        const Elf64_Sym *symbols = (const Elf64_Sym *) (image + sections[i].sh_offset);
        const char *names = image + sections[sections[i].sh_link].sh_offset;
        bool ours = false;
        for (size_t k = 0; k < sections[i].sh_size / sizeof *symbols; k++) {
            const char *name = names + symbols[k].st_name;
            unsigned type = ELF64_ST_TYPE(symbols[k].st_info), bind = ELF64_ST_BIND(symbols[k].st_info);
            bool global = bind == STB_GLOBAL && (!strncmp(name, "sp_engine_", 10) || !strncmp(name, "sp_datapath_", 12)
                                                 || !strncmp(name, "sp_switch_", 10) || !strncmp(name, "sp_link_", 8)
                                                 || !strncmp(name, "sp_stream_", 10) || !strncmp(name, "sp_flow_", 8));
            if (type == STT_FILE) {
                ours = is_ours(name);
            } else if (type == STT_FUNC && symbols[k].st_size && (global || (bind == STB_LOCAL && ours))) {
                add_range(&symbols[k]);
            }
        }
    }
    free(image);
    qsort(ranges, n_ranges, sizeof ranges[0], compare_ranges);
    assert_true(n_ranges > 100);
}

struct scene {
    struct rig rig;
    struct rig_peer *peer;
    struct sp_uuid web, db, server;
    unsigned n_refused;
    unsigned n_closed;
};

/* The switch is connected again if it was not, and everything that shall be there is. */
static void
recover(struct scene *s)
{
    rig_turns(&s->rig, 3);
    if (s->peer->open && s->peer->closed_by_peer) {
        RIG_UNTIL(&s->rig, !s->peer->open);
    }
    for (unsigned i = 0; !rig_in_force(&s->rig, RIG_DPID); i++) {
        if (!s->peer->open) {
            s->n_closed++;
            rig_peer_connect(s->peer);
        }
        assert_true(i < 100000);
        rig_turns(&s->rig, 1);
    }
    rig_check(&s->rig);
    struct sp_bridge_status status = rig_status(&s->rig, RIG_DPID, NULL);
    assert_int_equal(status.flows_desired, status.flows_installed);
    assert_int_equal(status.flows_installed, fake_switch_count(&s->peer->fs, SP_COOKIE_OWNER, SP_COOKIE_OWNER_MASK));
}

/* Carries 'request' out with the 'n'th allocation failing; true if none did. */
static bool
attempt(struct scene *s, struct rig_request *request, unsigned long n)
{
    unsigned long before = n_failed;
    request->wait_ms = 30;
    calls_left = n;
    int error = rig_post(&s->rig, request);
    if (error) {
        assert_int_equal(error, SP_E_FULL);
        s->n_refused++;
    } else {
        RIG_UNTIL(&s->rig, request->done);
        s->n_refused += request->outcome.error != 0;
    }
    calls_left = 0;
    rig_request_clear(request);
    recover(s);
    return n_failed == before;
}

static void
test_writes(void **state)
{
    struct scene *s = calloc(1, sizeof *s);
    assert_non_null(s);
    find_ranges();
    rig_open(&s->rig);
    rig_apply(&s->rig, &(struct rig_request) { .operation = rig_region, .region = "SV2" });
    s->web = rig_make_group(&s->rig, "web", 80, 2);
    s->db = rig_make_group(&s->rig, "db", 90, 1);
    s->server = rig_make_server(&s->rig, 1, &s->web);
    rig_make_server(&s->rig, 2, &s->db);
    s->peer = rig_peer(&s->rig, RIG_DPID, 3);
    RIG_UNTIL(&s->rig, rig_in_force(&s->rig, RIG_DPID));
    /* Back and forth between two states, so that each attempt has something to do; a remote group comes and goes. */
    struct rig_request there = rig_rules_request(&s->db, 91), back = rig_rules_request(&s->db, 92);
    there.rules[0] = world_rule_group(SP_INBOUND, SP_PROTOCOL_TCP, 91, &s->web);
    back.n_rules = 2; /* Ranges that touch, for addresses of their own. */
    for (uint8_t i = 0; i < 2; i++) {
        back.rules[i] = world_rule(SP_INBOUND, SP_PROTOCOL_TCP, i ? 511 : 257, i ? 1000 : 510);
        back.rules[i].meaning.remote = SP_REMOTE_CIDR;
        back.rules[i].meaning.remote_cidr = (struct sp_cidr) { .family = 4, .prefix = 8, .bytes = { i + 10 } };
    }
    struct rig_request in = { .operation = rig_set_groups, .server = s->server, .groups = { s->web, s->db }, .n_groups = 2 };
    struct rig_request out = { .operation = rig_set_groups, .server = s->server, .groups = { s->web }, .n_groups = 1 };
    struct rig_request uplink = { .operation = rig_put_bridge, .dpid = RIG_DPID, .uplinks = { "p3" }, .n_uplinks = 1 };
    struct rig_request none = { .operation = rig_put_bridge, .dpid = RIG_DPID };
    struct rig_request *const requests[][2] = { { &there, &back }, { &back, &there }, { &in, &out }, { &out, &in },
                                                { &uplink, &none }, { &none, &uplink } };
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        unsigned long n = 1;
        while (!attempt(s, requests[i][0], n)) {
            attempt(s, requests[i][1], 0);
            n += 1 + n / 8;
            assert_true(n < 100000);
        }
    }
    print_message("%lu allocations failed: %u writes refused, %u connections closed\n", n_failed, s->n_refused, s->n_closed);
    assert_true(n_failed > 50 && s->n_refused > 0 && s->n_closed > 0);
    rig_close(&s->rig);
    free(s);
}

/* The way from a connection to everything in force. */
static void
test_connects(void **state)
{
    struct scene *s = calloc(1, sizeof *s);
    assert_non_null(s);
    n_ranges = 0;
    find_ranges();
    rig_open(&s->rig);
    rig_apply(&s->rig, &(struct rig_request) { .operation = rig_region, .region = "SV2" });
    s->web = rig_make_group(&s->rig, "web", 80, 2);
    s->server = rig_make_server(&s->rig, 1, &s->web);
    s->peer = rig_peer(&s->rig, RIG_DPID, 2);
    RIG_UNTIL(&s->rig, rig_in_force(&s->rig, RIG_DPID));
    unsigned long before, n = 1;
    do {
        before = n_failed;
        rig_peer_disconnect(s->peer);
        RIG_UNTIL(&s->rig, !rig_status(&s->rig, RIG_DPID, NULL).connected);
        if (n % 2) {
            fake_switch_forget(&s->peer->fs, SP_COOKIE_OWNER, SP_COOKIE_OWNER_MASK);
        }
        rig_peer_connect(s->peer);
        calls_left = n;
        RIG_UNTIL(&s->rig, n_failed > before || !s->peer->open || rig_in_force(&s->rig, RIG_DPID));
        calls_left = 0;
        recover(s);
        n += 1 + n / 8;
    } while (n_failed > before);
    print_message("%lu allocations failed in all\n", n_failed);
    rig_close(&s->rig);
    free(s);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_writes),
    cmocka_unit_test(test_connects),
};
#endif

int
main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
