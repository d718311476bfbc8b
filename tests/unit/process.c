#include "controller/obs/process.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void
test_descriptors(void **state)
{
    struct sp_process before, after;
    sp_process_read(&before);
    int fd = open("/dev/null", O_RDONLY);
    assert_true(fd >= 0);
    sp_process_read(&after);
    close(fd);
    assert_int_equal(after.open_fds, before.open_fds + 1);
    assert_true(after.max_fds >= after.open_fds);
}

static void
test_memory_and_time(void **state)
{
    struct sp_process before, after;
    size_t size = 64u << 20;
    sp_process_read(&before);
    char *block = malloc(size);
    assert_non_null(block);
    unsigned sum = 0;
    do {
        memset(block, (int) sum, size);
        sum += (unsigned char) block[size / 3] + 1u;
        sp_process_read(&after);
    } while (after.cpu_us == before.cpu_us);
    assert_true(after.cpu_us > before.cpu_us);
    assert_true(after.resident_bytes >= before.resident_bytes + size / 2);
    free(block);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_descriptors),
        cmocka_unit_test(test_memory_and_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
