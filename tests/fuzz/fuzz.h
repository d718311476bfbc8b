/* What a fuzz target has: one function that takes any bytes at all.
 *
 * A target is one file of this folder, linked with libFuzzer (`make fuzz`) or with replay.c, which runs it on the files that
 * are named (`make check-unit`).  It keeps nothing from one input to the next, so that an input alone tells what it does, and
 * ends the process by FUZZ_CHECK() where what it drives breaks a promise that no sanitizer sees. */

#ifndef SALLYPORT_TESTS_FUZZ_FUZZ_H
#define SALLYPORT_TESTS_FUZZ_FUZZ_H 1

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(EXPR)                                                         \
    do {                                                                         \
        if (!(EXPR)) {                                                           \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #EXPR); \
            abort();                                                             \
        }                                                                        \
    } while (0)

#endif
