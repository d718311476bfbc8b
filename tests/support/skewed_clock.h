/* The clock of a test program: the machine's, and what the test adds to it so as not to wait.  It takes the place of the C
 * library's in all of the program, so that only the source file that is the test includes it. */

#ifndef SALLYPORT_TESTS_SUPPORT_SKEWED_CLOCK_H
#define SALLYPORT_TESTS_SUPPORT_SKEWED_CLOCK_H 1

#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static time_t skew_s;

int
clock_gettime(clockid_t id, struct timespec *ret)
{
    int r = (int) syscall(SYS_clock_gettime, id, ret);

    ret->tv_sec += skew_s;
    return r;
}

/* The machine's own, in ms, for deadlines. */
static uint64_t
now_ms(void)
{
    struct timespec now;

    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / 1000000;
}

#endif
