/* The history in memory: its order, its bounds, and what it copies. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "controller/api/history.h"

static struct sp_history_entry *
make(uint64_t revision, uint64_t undoes, const char *text)
{
    char id[24];
    snprintf(id, sizeof id, "g%llu", (unsigned long long) revision);
    const struct sp_history_object objects[] = {{"security_group", id, "SV2", text}, {"bridge", "00000000000000a1", NULL, "{}"}};
    const struct sp_history_record record = {.revision = revision, .at_us = 7, .what = "what", .method = "POST", .path = "/v1/x",
                                             .role = "operator", .undoes = undoes, .is_whole = true, .objects = objects,
                                             .n_objects = 2};
    struct sp_history_entry *entry = sp_history_entry_new(&record);
    assert_non_null(entry);
    return entry;
}

static void
test_a_copy_is_its_own(void **state)
{
    struct sp_history_entry *entry = make(5, 0, "{\"a\":1}");
    assert_null(entry->record.who);
    assert_string_equal(entry->record.what, "what");
    assert_string_equal(entry->record.role, "operator");
    assert_string_equal(entry->record.objects[0].id, "g5");
    assert_string_equal(entry->record.objects[0].text, "{\"a\":1}");
    assert_string_equal(entry->record.objects[1].id, "00000000000000a1");
    assert_null(entry->record.objects[1].region);
    sp_history_entry_free(entry);
}

static void
test_order_and_undone(void **state)
{
    struct sp_history *history = sp_history_new();
    assert_null(sp_history_newest(history));
    assert_int_equal(sp_history_oldest(history), 0);
    assert_null(sp_history_find(history, 1));
    sp_history_add(history, make(3, 0, "{}"));
    sp_history_add(history, make(5, 0, "{}"));
    sp_history_add(history, make(9, 3, "{}"));
    assert_int_equal(sp_history_newest(history)->record.revision, 9);
    assert_int_equal(sp_history_newest(history)->older->record.revision, 5);
    assert_int_equal(sp_history_oldest(history), 3);
    assert_int_equal(sp_history_find(history, 3)->undone_by, 9);
    assert_int_equal(sp_history_find(history, 5)->undone_by, 0);
    assert_null(sp_history_find(history, 4));
    assert_null(sp_history_find(history, 2));
    assert_null(sp_history_find(history, 10));
    /* One that takes back what is forgotten. */
    sp_history_add(history, make(10, 1, "{}"));
    assert_int_equal(sp_history_newest(history)->record.undoes, 1);
    sp_history_free(history);
}

static void
test_the_number_is_bounded(void **state)
{
    struct sp_history *history = sp_history_new();
    for (uint64_t revision = 1; revision <= SP_HISTORY_MAX + 3; revision++) {
        sp_history_add(history, make(revision, 0, "{}"));
    }
    assert_int_equal(sp_history_count(history), SP_HISTORY_MAX);
    assert_int_equal(sp_history_oldest(history), 4);
    assert_null(sp_history_find(history, 3));
    sp_history_free(history);
}

static void
test_the_size_is_bounded(void **state)
{
    struct sp_history *history = sp_history_new();
    char *text = malloc((4u << 20) + 1);
    assert_non_null(text);
    memset(text, 'x', 4u << 20);
    text[4u << 20] = '\0';
    for (uint64_t revision = 1; revision <= 20; revision++) {
        sp_history_add(history, make(revision, 0, text));
    }
    assert_int_equal(sp_history_count(history), 7); /* Seven of a little more than 4 MiB are less than 32. */
    assert_int_equal(sp_history_oldest(history), 14);
    sp_history_free(history);
    free(text);
}

static struct sp_history_entry *
make_pending(uint64_t revision)
{
    struct sp_history_entry *entry = make(revision, 0, "{}");
    entry->record.trial = SP_TRIAL_PENDING;
    return entry;
}

static int
count_trial(void *aux, struct sp_history_entry *entry)
{
    uint64_t *sum = aux;
    *sum += entry->record.revision;
    return 0;
}

/* A change on its way to the store is known to the next one, and forgotten if it does not get there. */
static void
test_staged_trials(void **state)
{
    struct sp_history *history = sp_history_new();
    struct sp_history_entry *first = make_pending(1), *second = make_pending(2), *third = make(3, 0, "{}");
    sp_history_stage(history, first);
    sp_history_stage(history, second);
    sp_history_stage(history, third);
    uint64_t sum = 0;
    assert_int_equal(sp_history_each_trial(history, count_trial, &sum), 0);
    assert_int_equal(sum, 3);
    assert_int_equal(sp_history_count_pending(history), 2);
    assert_int_equal(sp_history_count(history), 0);
    sp_history_add(history, first);
    sp_history_entry_free(second);
    sp_history_add(history, third);
    sum = 0;
    assert_int_equal(sp_history_each_trial(history, count_trial, &sum), 0);
    assert_int_equal(sum, 1);
    sp_history_settle(history, first, SP_TRIAL_STUCK, "in the way");
    assert_int_equal(sp_history_count_pending(history), 0);
    assert_int_equal(sp_history_find(history, 1)->record.trial, SP_TRIAL_STUCK);
    assert_string_equal(sp_history_find(history, 1)->record.reason, "in the way");
    sp_history_free(history);
}

/* What is pending outlives all that is newer, until it is settled. */
static void
test_pending_ones_stay(void **state)
{
    struct sp_history *history = sp_history_new();
    sp_history_add(history, make_pending(1));
    sp_history_add(history, make(2, 0, "{}"));
    sp_history_add(history, make_pending(3));
    for (uint64_t revision = 4; revision <= SP_HISTORY_MAX + 10; revision++) {
        sp_history_add(history, make(revision, 0, "{}"));
    }
    assert_int_equal(sp_history_count(history), SP_HISTORY_MAX);
    assert_non_null(sp_history_find(history, 1));
    assert_null(sp_history_find(history, 2));
    assert_non_null(sp_history_find(history, 3));
    assert_int_equal(sp_history_oldest(history), 13);
    sp_history_settle(history, sp_history_find(history, 1), SP_TRIAL_CONFIRMED, NULL);
    sp_history_add(history, make(SP_HISTORY_MAX + 11, 0, "{}"));
    assert_null(sp_history_find(history, 1));
    assert_non_null(sp_history_find(history, 3));
    sp_history_free(history);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_copy_is_its_own),
        cmocka_unit_test(test_order_and_undone),
        cmocka_unit_test(test_the_number_is_bounded),
        cmocka_unit_test(test_the_size_is_bounded),
        cmocka_unit_test(test_staged_trials),
        cmocka_unit_test(test_pending_ones_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
