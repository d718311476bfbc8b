#include "controller/api/events.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RUN 0x0123456789abcdefull

/* What a subscriber has read; with 'is_full' it reads no more. */
struct reader {
    struct sp_subscriber *subscriber;
    char text[1 << 18];
    size_t size;
    bool is_full;
    unsigned n_refused;
};

static int
write_reader(void *sink, const char *text, size_t size)
{
    struct reader *reader = sink;
    if (reader->is_full || size >= sizeof reader->text - reader->size) {
        reader->n_refused++;
        return SP_E_FULL;
    }
    memcpy(reader->text + reader->size, text, size);
    reader->size += size;
    reader->text[reader->size] = '\0';
    return 0;
}

static int
setup(void **state)
{
    *state = sp_events_new(RUN, write_reader);
    return !*state;
}

static int
teardown(void **state)
{
    sp_events_free(*state);
    return 0;
}

static struct reader *
begin(struct sp_events *events, const char *last_id)
{
    struct reader *reader = calloc(1, sizeof *reader);
    assert_non_null(reader);
    assert_int_equal(sp_events_join(events, &reader->subscriber), 0);
    sp_events_begin(reader->subscriber, reader, last_id, 7);
    return reader;
}

static void
end(struct reader *reader)
{
    sp_events_leave(reader->subscriber);
    free(reader);
}

/* The events that it has got, by id and name: "0:ready 1:a ". */
static char *
list(const struct reader *reader, char *out, size_t size)
{
    *out = '\0';
    for (const char *p = reader->text; (p = strstr(p, "id: 0123456789abcdef-")); p++) {
        unsigned long long number;
        char name[32];
        assert_int_equal(sscanf(p, "id: 0123456789abcdef-%llu\nevent: %31s\n", &number, name), 2);
        size_t len = strlen(out);
        snprintf(out + len, size - len, "%llu:%s ", number, name);
    }
    return out;
}

static void
test_form(void **state)
{
    struct reader *reader = begin(*state, NULL);
    sp_events_tell(*state, "change", "{\"x\":1}");
    assert_string_equal(reader->text, "id: 0123456789abcdef-0\nevent: ready\ndata: {\"revision\":7}\n\n"
                                      "id: 0123456789abcdef-1\nevent: change\ndata: {\"x\":1}\n\n");
    end(reader);
}

/* Those who listen hear of it, nobody later, and the numbers go on as if it had not been. */
static void
test_mentioned(void **state)
{
    char out[256];
    struct reader *there = begin(*state, NULL);
    sp_events_tell(*state, "a", "{}");
    sp_events_mention(*state, "blocked", "{\"x\":1}");
    sp_events_tell(*state, "b", "{}");
    assert_string_equal(strstr(there->text, "event: a") + strlen("event: a\ndata: {}\n\n"),
                        "event: blocked\ndata: {\"x\":1}\n\nid: 0123456789abcdef-2\nevent: b\ndata: {}\n\n");
    struct reader *later = begin(*state, "0123456789abcdef-0");
    assert_string_equal(list(later, out, sizeof out), "0:ready 1:a 2:b ");
    assert_null(strstr(later->text, "blocked"));
    there->is_full = true;
    sp_events_mention(*state, "blocked", "{}");
    sp_events_tell(*state, "c", "{}");
    assert_int_equal(there->n_refused, 1); /* One that missed it is told nothing more, as ever. */
    assert_non_null(strstr(later->text, "blocked"));
    end(there);
    end(later);
}

static void
test_everybody_is_told_in_order(void **state)
{
    char out[256];
    struct reader *a = begin(*state, NULL);
    sp_events_tell(*state, "a", "{}");
    struct reader *b = begin(*state, NULL);
    sp_events_tell(*state, "b", "{}");
    end(a);
    sp_events_tell(*state, "c", "{}");
    assert_string_equal(list(b, out, sizeof out), "1:ready 2:b 3:c ");
    end(b);
    struct sp_events_counters counters;
    sp_events_counters(*state, &counters);
    assert_int_equal(counters.n_told, 3);
    assert_int_equal(counters.n_subscribers, 0);
    assert_int_equal(counters.n_dropped, 0);
}

static void
test_what_was_missed(void **state)
{
    char out[256];
    for (unsigned i = 0; i < 3; i++) {
        sp_events_tell(*state, "x", "{}");
    }
    static const struct {
        const char *id, *told;
    } cases[] = {
        {"0123456789abcdef-0", "0:ready 1:x 2:x 3:x "},
        {"0123456789abcdef-1", "1:ready 2:x 3:x "},
        {"0123456789abcdef-3", "3:ready "},
        /* Of the future, of another run, or nonsense. */
        {"0123456789abcdef-4", "3:reset "},
        {"1123456789abcdef-1", "3:reset "},
        {"0123456789abcdef-01", "3:reset "},
        {"0123456789abcdef--1", "3:reset "},
        {"0123456789abcdef-18446744073709551615", "3:reset "},
        {"0123456789abcdef-99999999999999999999", "3:reset "},
        {"0123456789abcdef-1 ", "3:reset "},
        {"0123456789abcdef", "3:reset "},
        {"", "3:reset "},
        {"x", "3:reset "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct reader *reader = begin(*state, cases[i].id);
        assert_string_equal(list(reader, out, sizeof out), cases[i].told);
        end(reader);
    }
}

/* Too long ago, by number and by size. */
static void
test_history_is_bounded(void **state)
{
    char out[64], id[64], data[1024];
    for (unsigned i = 0; i < SP_EVENTS_HISTORY_MAX + 10; i++) {
        sp_events_tell(*state, "x", "{}");
    }
    struct reader *reader = begin(*state, "0123456789abcdef-9");
    assert_string_equal(list(reader, out, sizeof out), "1034:reset ");
    end(reader);
    reader = begin(*state, "0123456789abcdef-10");
    assert_non_null(strstr(reader->text, "-10\nevent: ready\n"));
    assert_non_null(strstr(reader->text, "-11\nevent: x\n"));
    assert_non_null(strstr(reader->text, "-1034\nevent: x\n"));
    end(reader);

    memset(data, 'd', sizeof data - 1);
    data[sizeof data - 1] = '\0';
    for (unsigned i = 0; i < 500; i++) {
        sp_events_tell(*state, "x", data);
    }
    snprintf(id, sizeof id, "0123456789abcdef-%d", SP_EVENTS_HISTORY_MAX + 10 + 500 - 100);
    reader = begin(*state, id);
    assert_non_null(strstr(reader->text, "event: ready\n"));
    assert_true(reader->size > 100 * sizeof data && reader->size <= SP_EVENTS_HISTORY_SIZE + 100);
    end(reader);
    snprintf(id, sizeof id, "0123456789abcdef-%d", SP_EVENTS_HISTORY_MAX + 10 + 500 - 200);
    reader = begin(*state, id);
    assert_null(strstr(reader->text, "event: ready\n"));
    assert_non_null(strstr(reader->text, "event: reset\n"));
    end(reader);
}

static void
test_subscribers_are_bounded(void **state)
{
    struct sp_subscriber *all[SP_EVENTS_SUBSCRIBERS_MAX], *more = NULL;
    for (size_t i = 0; i < SP_EVENTS_SUBSCRIBERS_MAX; i++) {
        assert_int_equal(sp_events_join(*state, &all[i]), 0);
    }
    assert_int_equal(sp_events_join(*state, &more), SP_E_FULL);
    assert_null(more);
    sp_events_tell(*state, "x", "{}"); /* Nobody has begun. */
    sp_events_leave(all[5]);
    assert_int_equal(sp_events_join(*state, &more), 0);
    sp_events_leave(all[0]); /* The oldest, the newest; teardown frees the others. */
    sp_events_leave(more);
}

static void
test_one_that_does_not_read(void **state)
{
    char out[256];
    struct reader *deaf = begin(*state, NULL), *other = begin(*state, NULL);
    deaf->is_full = true;
    sp_events_tell(*state, "a", "{}");
    deaf->is_full = false;
    sp_events_tell(*state, "b", "{}");
    /* It must not get b without a. */
    assert_string_equal(list(deaf, out, sizeof out), "0:ready ");
    assert_int_equal(deaf->n_refused, 1);
    assert_string_equal(list(other, out, sizeof out), "0:ready 1:a 2:b ");
    struct sp_events_counters counters;
    sp_events_counters(*state, &counters);
    assert_int_equal(counters.n_dropped, 1);
    end(deaf);
    end(other);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_form),
        TEST(test_mentioned),
        TEST(test_everybody_is_told_in_order),
        TEST(test_what_was_missed),
        TEST(test_history_is_bounded),
        TEST(test_subscribers_are_bounded),
        TEST(test_one_that_does_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
