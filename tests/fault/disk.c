/* A disk that fails on demand, under the files of a database only: preloaded into the daemon (LD_PRELOAD).
 *
 * SALLYPORT_DISK names a file that the test and this share as memory, SALLYPORT_DISK_OF the beginning of the paths that are
 * meant.  Calls that change a file (open with O_CREAT, write, pwrite, fsync, fdatasync, ftruncate, unlink) are counted; from the
 * one with the number 'at' on, 'times' of them fail as 'action' says.  faults.py is the other side. */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum action { KILL, KILL_HALF, FAIL, SHORT }; /* KILL_HALF: a write is killed in its middle. */

struct control {
    _Atomic uint64_t n_calls;
    _Atomic uint64_t at; /* 0: never. */
    _Atomic uint64_t times;
    _Atomic uint64_t n_done;
    _Atomic uint32_t action;
    _Atomic uint32_t error;
};

static struct control *control;
static const char *prefix;

__attribute__((constructor)) static void
attach(void)
{
    const char *path = getenv("SALLYPORT_DISK");
    prefix = getenv("SALLYPORT_DISK_OF");
    int fd = path && prefix ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *shared = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared == MAP_FAILED) {
        fprintf(stderr, "disk.so: no shared memory\n");
        abort();
    }
    close(fd);
    control = shared;
}

static int
is_meant(const char *path)
{
    return control && !strncmp(path, prefix, strlen(prefix));
}

static int
is_meant_fd(int fd)
{
    char name[32], path[PATH_MAX];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t size = control ? readlink(name, path, sizeof path - 1) : -1;
    if (size < 0) {
        return 0;
    }
    path[size] = '\0';
    return is_meant(path);
}

static void
die(void)
{
    kill(getpid(), SIGKILL);
    for (;;) {
        pause();
    }
}

/* Counts a call.  Returns whether it is to fail, with errno set, or to do half its work. */
static int
fails(enum action *ret)
{
    uint64_t number = atomic_fetch_add(&control->n_calls, 1) + 1, at = control->at;
    if (!at || number < at || number - at >= control->times) {
        return 0;
    }
    *ret = control->action;
    control->n_done++;
    if (*ret == KILL) {
        die();
    }
    errno = (int) control->error;
    return 1;
}

#define REAL(NAME) ((__typeof__(&NAME)) dlsym(RTLD_NEXT, #NAME))

#define WRITE(NAME, PARAMETERS, FIRST, HALF)                                                                                 \
    ssize_t NAME PARAMETERS;                                                                                                 \
    ssize_t NAME PARAMETERS                                                                                                  \
    {                                                                                                                        \
        enum action action;                                                                                                  \
        if (is_meant_fd(fd) && fails(&action)) {                                                                             \
            ssize_t n = action == FAIL ? -1 : REAL(NAME) HALF;                                                               \
            if (action == KILL_HALF) {                                                                                       \
                die();                                                                                                       \
            }                                                                                                                \
            return n;                                                                                                        \
        }                                                                                                                    \
        return REAL(NAME) FIRST;                                                                                             \
    }

WRITE(write, (int fd, const void *data, size_t size), (fd, data, size), (fd, data, size / 2))
WRITE(pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at), (fd, data, size / 2, at))
WRITE(pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at), (fd, data, size / 2, at))

/* Of what cannot be done by half, nothing is done. */
#define WHOLE(NAME, PARAMETERS, ARGUMENTS, MEANT)                                                                            \
    int NAME PARAMETERS;                                                                                                     \
    int NAME PARAMETERS                                                                                                      \
    {                                                                                                                        \
        enum action action;                                                                                                  \
        if ((MEANT) && fails(&action)) {                                                                                     \
            if (action == KILL_HALF) {                                                                                       \
                die();                                                                                                       \
            }                                                                                                                \
            return -1;                                                                                                       \
        }                                                                                                                    \
        return REAL(NAME) ARGUMENTS;                                                                                         \
    }

WHOLE(fsync, (int fd), (fd), is_meant_fd(fd))
WHOLE(fdatasync, (int fd), (fd), is_meant_fd(fd))
WHOLE(ftruncate, (int fd, off_t size), (fd, size), is_meant_fd(fd))
WHOLE(ftruncate64, (int fd, off64_t size), (fd, size), is_meant_fd(fd))
WHOLE(unlink, (const char *path), (path), is_meant(path))

#define OPEN(NAME)                                                                                                           \
    int NAME(const char *path, int flags, ...);                                                                              \
    int NAME(const char *path, int flags, ...)                                                                               \
    {                                                                                                                        \
        enum action action;                                                                                                  \
        va_list arguments;                                                                                                   \
        va_start(arguments, flags);                                                                                          \
        mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;                                                       \
        va_end(arguments);                                                                                                   \
        if (flags & O_CREAT && is_meant(path) && fails(&action)) {                                                           \
            if (action == KILL_HALF) {                                                                                       \
                die();                                                                                                       \
            }                                                                                                                \
            return -1;                                                                                                       \
        }                                                                                                                    \
        return REAL(NAME)(path, flags, mode);                                                                                \
    }

OPEN(open)
OPEN(open64)
