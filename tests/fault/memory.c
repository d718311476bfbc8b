/* Memory that runs out on demand, for the daemon's own code only: preloaded into it (LD_PRELOAD).
 *
 * SALLYPORT_MEMORY names a file that the test and this share as memory, SALLYPORT_MEMORY_OF one with the parts of the program
 * that are meant, as pairs of offsets: libopenvswitch, in the same program, ends the process by design when it has no
 * memory.  Allocations from there are counted; from the one with the number 'at' on, 'times' of them fail.  faults.py is the
 * other side. */

#undef _FORTIFY_SOURCE /* Else these would call themselves. */

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/support/caller_range.h"

struct control {
    _Atomic uint64_t n_calls;
    _Atomic uint64_t at; /* 0: never. */
    _Atomic uint64_t times;
    _Atomic uint64_t n_done;
    uint32_t unused[2];
};

#define RANGES_MAX 8192

static struct control *control;
static struct caller_range ranges[RANGES_MAX]; /* Sorted. */
static size_t n_ranges;
static uintptr_t base;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *, size_t size);

static int
note_base(struct dl_phdr_info *info, size_t size, void *aux)
{
    base = info->dlpi_addr;
    return 1; /* The program comes first. */
}

__attribute__((constructor)) static void
attach(void)
{
    const char *path = getenv("SALLYPORT_MEMORY"), *of = getenv("SALLYPORT_MEMORY_OF");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1, parts = of ? open(of, O_RDONLY | O_CLOEXEC) : -1;
    void *shared = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ssize_t size = parts < 0 ? -1 : read(parts, ranges, sizeof ranges);
    if (shared == MAP_FAILED || size <= 0) {
        fprintf(stderr, "memory.so: no shared memory, or no parts\n");
        abort();
    }
    close(fd);
    close(parts);
    dl_iterate_phdr(note_base, NULL);
    n_ranges = (size_t) size / sizeof ranges[0];
    control = shared;
}

static int
fails(const void *caller)
{
    if (!control || !caller_range_contain(ranges, n_ranges, (uintptr_t) caller - base)) {
        return 0;
    }
    uint64_t number = atomic_fetch_add(&control->n_calls, 1) + 1, first = control->at;
    if (!first || number < first || number - first >= control->times) {
        return 0;
    }
    control->n_done++;
    errno = ENOMEM;
    return 1;
}

#define FAILS fails(__builtin_return_address(0))

void *
malloc(size_t size)
{
    return FAILS ? NULL : __libc_malloc(size);
}

void *
calloc(size_t n, size_t size)
{
    return FAILS ? NULL : __libc_calloc(n, size);
}

void *
realloc(void *old, size_t size)
{
    return FAILS ? NULL : __libc_realloc(old, size);
}

void *
reallocarray(void *old, size_t n, size_t size)
{
    size_t whole;
    if (FAILS || __builtin_mul_overflow(n, size, &whole)) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_realloc(old, whole);
}

/* What the C library allocates for its caller. */

char *
strndup(const char *text, size_t max)
{
    size_t len = strnlen(text, max);
    char *copy = FAILS ? NULL : __libc_malloc(len + 1);
    if (copy) {
        memcpy(copy, text, len);
        copy[len] = '\0';
    }
    return copy;
}

char *
strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = FAILS ? NULL : __libc_malloc(size);
    return copy ? memcpy(copy, text, size) : NULL;
}

/* As _FORTIFY_SOURCE has them called. */
int __vasprintf_chk(char **ret, int flag, const char *format, va_list arguments);
int __asprintf_chk(char **ret, int flag, const char *format, ...);

int
__vasprintf_chk(char **ret, int flag, const char *format, va_list arguments)
{
    return FAILS ? -1 : vasprintf(ret, format, arguments);
}

int
__asprintf_chk(char **ret, int flag, const char *format, ...)
{
    va_list arguments;
    if (FAILS) {
        return -1;
    }
    va_start(arguments, format);
    int size = vasprintf(ret, format, arguments);
    va_end(arguments);
    return size;
}
