#include "tests/support/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

void sp_random_init(struct sp_random *random)
{
    const char *seed = getenv("SP_SEED");

    if (seed) {
        random->seed = strtoull(seed, NULL, 0);
    } else if (getrandom(&random->seed, sizeof random->seed, 0) != sizeof random->seed) {
        random->seed = 1;
    }
    random->state = random->seed;
    printf("seed: SP_SEED=%llu\n", (unsigned long long) random->seed);
}

/* SplitMix64 (Steele, Lea, Flood 2014). */
uint64_t sp_random_next(struct sp_random *random)
{
    uint64_t z = random->state += 0x9e3779b97f4a7c15ull;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

uint32_t sp_random_below(struct sp_random *random, uint32_t n)
{
    return (uint32_t) ((sp_random_next(random) >> 32) * n >> 32);
}

bool sp_random_chance(struct sp_random *random, unsigned percent)
{
    return sp_random_below(random, 100) < percent;
}
