/* Random numbers for property tests: repeatable from a seed that a failing test prints.
 *
 * SP_SEED in the environment sets the seed; else each run draws its own. */

#ifndef SALLYPORT_TESTS_SUPPORT_RANDOM_H
#define SALLYPORT_TESTS_SUPPORT_RANDOM_H 1

#include <stdbool.h>
#include <stdint.h>

struct sp_random {
    uint64_t seed; /* To print. */
    uint64_t state;
};

void sp_random_init(struct sp_random *);
uint64_t sp_random_next(struct sp_random *);
uint32_t sp_random_below(struct sp_random *, uint32_t n); /* 0 to n - 1; 'n' at least 1. */
bool sp_random_chance(struct sp_random *, unsigned percent);

#endif
