/* A switch whose flows come, count and go, that loses everything now and then, and a controller that is killed: what its tally
 * finds is held against a list of all lives that knows which is which.
 *
 * What is told is counted once: where a switch tells each end at once the sums agree whatever is restarted or killed, where it
 * tells them late they agree as long as nothing is.  And nothing is ever counted twice. */

#include "flows/tally.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/random.h"

enum { NAMES = 5, LIVES_MAX = 4096, ROWS_MAX = 4096, STEPS = 1500, RUNS = 150 };

struct life {
    uint64_t name;
    uint64_t raw;     /* What the switch has counted. */
    uint64_t counted; /* What of it the controller was told. */
    uint64_t stored;  /* What of that is in the store. */
    bool alive;
    bool told;        /* Its end has been told. */
    bool pending;     /* Its end is still to be told, ... */
    unsigned dumps;   /* ... for so many dumps. */
    bool missed;      /* A whole dump has not had it. */
    enum { NO_ROW, ROW, ROW_MISSED } row;
};

struct world {
    struct sp_random *random;
    struct sp_tally *tally;
    uint64_t total;   /* That the tally has found. */
    struct life lives[LIVES_MAX];
    size_t n;
    struct sp_tally_row rows[ROWS_MAX]; /* The store. */
    size_t n_rows;
    uint64_t stored_total;
    bool settled;     /* All has been read since the last end was told: what was taken for another life has been put right. */
    bool late;        /* Ends are told late, maybe after the next life has begun. */
    bool vague;       /* Something was lost that the tally cannot tell from something else. */
    size_t n_exact;   /* Times that the sums were compared. */
};

static struct sp_count
count_of(uint64_t packets)
{
    return (struct sp_count) {packets, 64 * packets};
}

static struct life *
alive(struct world *w, uint64_t name)
{
    for (size_t i = 0; i < w->n; i++) {
        if (w->lives[i].alive && w->lives[i].name == name) {
            return &w->lives[i];
        }
    }
    return NULL;
}

static void tell_end(struct world *, bool late);

static void
dump(struct world *w, bool whole, bool first)
{
    tell_end(w, true);
    sp_tally_begin(w->tally, first);
    for (size_t i = 0; i < w->n; i++) {
        struct life *life = &w->lives[i];
        if (life->alive) {
            struct sp_count fresh, raw = count_of(life->raw);
            assert_int_equal(sp_tally_read(w->tally, life->name, 1, &raw, &fresh), 0);
            w->total += fresh.packets;
            life->counted = life->raw;
        }
        if (!whole && sp_random_below(w->random, 3) == 0) {
            return;
        }
    }
    for (size_t i = 0; i < w->n; i++) {
        w->lives[i].missed = !w->lives[i].alive;
    }
    sp_tally_end(w->tally);
    w->settled = true;
}

/* Whether there was a life whose end nobody told, and which this one, which nobody has read, may be taken for. */
static bool
has_lost(const struct world *w, const struct life *life)
{
    for (size_t i = 0; i < w->n; i++) {
        const struct life *other = &w->lives[i];
        if (other->name == life->name && !other->alive && !other->pending && !other->told && other->counted > life->counted) {
            return true;
        }
    }
    return false;
}

/* Tells one end that is to be told, or each that was for some dumps: a switch does not wait for ever. */
static void
tell_end(struct world *w, bool late)
{
    size_t first = w->n ? sp_random_below(w->random, (uint32_t) w->n) : 0;
    for (size_t i = 0; i < w->n; i++) {
        struct life *life = &w->lives[(first + i) % w->n];
        if (life->pending && (!late || ++life->dumps >= SP_TALLY_ABSENT_MAX)) {
            struct sp_count fresh, raw = count_of(life->raw);
            w->vague = w->vague || has_lost(w, life);
            assert_int_equal(sp_tally_removed(w->tally, life->name, 1, &raw, &fresh), 0);
            w->total += fresh.packets;
            life->counted = life->raw;
            life->pending = false;
            life->told = true;
            w->settled = false;
            if (!late) {
                return;
            }
        }
    }
}

static void
store(struct world *w)
{
    struct sp_tally_row row;
    bool fails = sp_random_below(w->random, 4) == 0;
    size_t cursor = 0;
    while (!fails && sp_tally_next_row(w->tally, &cursor, &row)) {
        size_t at = 0;
        while (at < w->n_rows && w->rows[at].id != row.id) {
            at++;
        }
        w->stored_total += row.fresh.packets;
        if (row.ended) {
            if (at < w->n_rows) {
                w->rows[at] = w->rows[--w->n_rows];
            }
        } else {
            assert_true(at < ROWS_MAX);
            w->n_rows += at == w->n_rows;
            w->rows[at] = row;
        }
        sp_tally_stored(w->tally, &row);
    }
    for (size_t i = 0; i < w->n && !fails; i++) {
        struct life *life = &w->lives[i];
        life->stored = life->counted;
        life->row = life->told || !life->counted ? NO_ROW : life->missed ? ROW_MISSED : ROW;
    }
}

/* Ends that nobody will tell any more. */
static void
lose_pending(struct world *w)
{
    w->vague = w->vague || w->late;
    for (size_t i = 0; i < w->n; i++) {
        w->lives[i].pending = false;
    }
}

static void
restart_switch(struct world *w)
{
    lose_pending(w);
    for (size_t i = 0; i < w->n; i++) {
        w->lives[i].alive = false;
    }
    dump(w, true, true);
}

static void
kill_controller(struct world *w)
{
    lose_pending(w);
    for (size_t i = 0; i < w->n; i++) {
        w->vague = w->vague || (w->lives[i].row == ROW && !w->lives[i].alive && alive(w, w->lives[i].name));
    }
    sp_tally_free(w->tally);
    w->tally = sp_tally_new();
    assert_non_null(w->tally);
    for (size_t i = 0; i < w->n_rows; i++) {
        assert_int_equal(sp_tally_load(w->tally, &w->rows[i]), 0);
    }
    w->total = w->stored_total;
    for (size_t i = 0; i < w->n; i++) {
        w->lives[i].counted = w->lives[i].stored;
        w->lives[i].told = w->lives[i].told && w->lives[i].row == NO_ROW; /* Else the store does not know of it. */
    }
    dump(w, true, true);
}

static void
check(struct world *w)
{
    uint64_t expected = 0, passed = 0;
    bool pending = false;
    for (size_t i = 0; i < w->n; i++) {
        expected += w->lives[i].counted;
        passed += w->lives[i].raw;
        pending = pending || w->lives[i].pending;
    }
    assert_true(w->total <= passed); /* A4 */
    if (!pending && w->settled) {
        assert_true(w->vague || w->total == expected);
        w->n_exact += !w->vague;
    }
}

static void
step(struct world *w)
{
    uint64_t name = sp_random_below(w->random, NAMES);
    struct life *life = alive(w, name);
    uint32_t dice = sp_random_below(w->random, 100);
    if (dice < 40 && life) {
        life->raw += sp_random_below(w->random, 20);
    } else if (dice < 55) {
        if (!life && w->n < LIVES_MAX) {
            w->lives[w->n++] = (struct life) {.name = name, .alive = true};
        }
    } else if (dice < 68) {
        if (life) {
            life->alive = false;
            life->pending = true;
            if (!w->late) {
                tell_end(w, false);
            }
        }
    } else if (dice < 80) {
        tell_end(w, false);
    } else if (dice < 88) {
        dump(w, true, false);
    } else if (dice < 90) {
        dump(w, false, false);
    } else if (dice < 97) {
        store(w);
    } else if (dice < 98) {
        restart_switch(w);
    } else if (dice < 99) {
        kill_controller(w);
    }
}

static void
test_lives(void **state)
{
    static struct world w;
    struct sp_random random;
    size_t n_exact = 0;
    sp_random_init(&random);
    for (size_t run = 0; run < RUNS; run++) {
        memset(&w, 0, sizeof w);
        w.random = &random;
        w.late = run % 2;
        w.tally = sp_tally_new();
        assert_non_null(w.tally);
        for (size_t i = 0; i < STEPS / (run % 10 + 1); i++) {
            step(&w);
            check(&w);
        }
        n_exact += w.n_exact;
        sp_tally_free(w.tally);
    }
    assert_true(n_exact > RUNS * 10);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
