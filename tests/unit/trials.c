/* Which changes may be made while others are on trial, and what a verdict on its way leaves.  How trials end is tested over HTTP,
 * in tests/api/test_confirm.py. */

#include "controller/api/trials.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct sp_history *history;
    struct sp_problems problems;
};

static int
setup(void **state)
{
    static struct fixture f;
    f.history = sp_history_new();
    assert_non_null(f.history);
    sp_problems_init(&f.problems);
    *state = &f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;
    sp_history_free(f->history);
    sp_problems_clear(&f->problems);
    return 0;
}

/* A change of the group 'group' and of a bridge of the same name as all others'. */
static struct sp_history_record
record_of(uint64_t revision, const char *group, enum sp_trial trial, struct sp_history_object objects[2])
{
    objects[0] = (struct sp_history_object){"security_group", group, "SV2", "{}"};
    objects[1] = (struct sp_history_object){"server", "s", "SV2", "{}"};
    return (struct sp_history_record){.revision = revision, .what = "group web renamed", .method = "PATCH", .path = "/v1/x",
                                      .role = "admin", .is_whole = true, .trial = trial, .objects = objects, .n_objects = 1};
}

static void
add(struct fixture *f, uint64_t revision, const char *group, enum sp_trial trial)
{
    struct sp_history_object objects[2];
    const struct sp_history_record record = record_of(revision, group, trial, objects);
    struct sp_history_entry *entry = sp_history_entry_new(&record);
    assert_non_null(entry);
    sp_history_add(f->history, entry);
}

static void
test_same_object(void **state)
{
    struct fixture *f = *state;
    struct sp_history_object objects[2];
    struct sp_history_record record = record_of(9, "g1", SP_TRIAL_NONE, objects);
    add(f, 1, "g1", SP_TRIAL_CONFIRMED);
    add(f, 2, "g2", SP_TRIAL_PENDING);
    assert_int_equal(sp_trials_check(f->history, &record, 0, &f->problems), 0);
    add(f, 3, "g1", SP_TRIAL_PENDING);
    assert_int_equal(sp_trials_check(f->history, &record, 0, &f->problems), SP_E_IN_USE);
    assert_string_equal(f->problems.detail, "Change 3 (group web renamed) waits for its confirmation and touched the same "
                                            "security_group g1: confirm or undo it first.");
    /* The second of its objects counts as well, and whether it is on trial itself does not. */
    sp_problems_clear(&f->problems);
    sp_problems_init(&f->problems);
    record = record_of(9, "g7", SP_TRIAL_PENDING, objects);
    record.n_objects = 2;
    assert_int_equal(sp_trials_check(f->history, &record, 0, &f->problems), 0);
    objects[1] = (struct sp_history_object){"security_group", "g2", "SV2", "{}"};
    assert_int_equal(sp_trials_check(f->history, &record, 0, &f->problems), SP_E_IN_USE);
    assert_non_null(strstr(f->problems.detail, "Change 2 "));
}

/* The same id of another kind is another object; and who takes a change back may touch what it touched, not what another did. */
static void
test_other_objects(void **state)
{
    struct fixture *f = *state;
    struct sp_history_object objects[2];
    struct sp_history_record record = record_of(9, "g1", SP_TRIAL_NONE, objects);
    objects[0].kind = "server";
    add(f, 3, "g1", SP_TRIAL_PENDING);
    assert_int_equal(sp_trials_check(f->history, &record, 0, &f->problems), 0);
    record = record_of(9, "g1", SP_TRIAL_NONE, objects);
    assert_int_equal(sp_trials_check(f->history, &record, 3, &f->problems), 0);
    assert_int_equal(sp_trials_check(f->history, &record, 4, &f->problems), SP_E_IN_USE);
    add(f, 5, "g1", SP_TRIAL_PENDING);
    assert_int_equal(sp_trials_check(f->history, &record, 3, &f->problems), SP_E_IN_USE);
}

/* What could not be taken back is not put on trial; without one it may be made. */
static void
test_too_much(void **state)
{
    struct fixture *f = *state;
    struct sp_history_object objects[2];
    struct sp_history_record record = record_of(9, "g1", SP_TRIAL_PENDING, objects);
    record.is_whole = false;
    assert_int_equal(sp_trials_check(f->history, &record, 0, &f->problems), SP_E_IN_USE);
    assert_string_equal(f->problems.detail, "It changes so much that it could not be rolled back.");
    record.trial = SP_TRIAL_NONE;
    assert_int_equal(sp_trials_check(f->history, &record, 0, &f->problems), 0);
}

static void
test_too_many(void **state)
{
    static const char *const names[] = {"a", "b"};
    struct fixture *f = *state;
    struct sp_history_object objects[2];
    struct sp_history_record record = record_of(900, "g1", SP_TRIAL_PENDING, objects);
    for (uint64_t i = 1; i < SP_TRIALS_MAX; i++) {
        add(f, i, names[i % 2], SP_TRIAL_PENDING);
    }
    assert_int_equal(sp_trials_check(f->history, &record, 0, &f->problems), 0);
    add(f, SP_TRIALS_MAX, "a", SP_TRIAL_PENDING);
    assert_int_equal(sp_trials_check(f->history, &record, 0, &f->problems), SP_E_IN_USE);
    assert_non_null(strstr(f->problems.detail, "64 changes wait"));
    record.trial = SP_TRIAL_NONE;
    assert_int_equal(sp_trials_check(f->history, &record, 0, &f->problems), 0);
    sp_history_settle(f->history, sp_history_find(f->history, 7), SP_TRIAL_CONFIRMED, NULL);
    record.trial = SP_TRIAL_PENDING;
    assert_int_equal(sp_trials_check(f->history, &record, 0, &f->problems), 0);
}

/* A verdict is told to the store once; one on nothing, or on what is not there, never. */
static void
test_verdict(void **state)
{
    struct fixture *f = *state;
    const struct sp_trial_end none = {0}, strange = {.change = 99, .trial = SP_TRIAL_CONFIRMED};
    const struct sp_trial_end verdict = {.change = 3, .trial = SP_TRIAL_STUCK, .reason = "why"};
    struct sp_trial_end told = {.change = 77};
    add(f, 3, "g1", SP_TRIAL_PENDING);
    assert_false(sp_trials_judge(f->history, &none, &told));
    assert_false(sp_trials_judge(f->history, &strange, &told));
    assert_int_equal(told.change, 77);
    assert_true(sp_trials_judge(f->history, &verdict, &told));
    assert_int_equal(told.change, 3);
    assert_int_equal(told.trial, SP_TRIAL_STUCK);
    assert_string_equal(told.reason, "why");
    assert_int_equal(sp_history_find(f->history, 3)->settling, SP_TRIAL_STUCK);
    sp_trials_forget(f->history, &none);
    assert_int_equal(sp_history_find(f->history, 3)->settling, SP_TRIAL_STUCK);
    sp_trials_forget(f->history, &verdict);
    assert_int_equal(sp_history_find(f->history, 3)->settling, SP_TRIAL_NONE);
    assert_int_equal(sp_history_find(f->history, 3)->record.trial, SP_TRIAL_PENDING);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_same_object, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_objects, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_much, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_many, setup, teardown),
        cmocka_unit_test_setup_teardown(test_verdict, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
