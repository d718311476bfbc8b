#include "controller/obs/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "sallyport/utf8.h"

/* A longer line is cut: a line of at most PIPE_BUF bytes also stays whole in a pipe that several processes write to. */
#define LINE_SIZE 4096

static const char *const level_names[] = {
    [SP_LOG_ERROR] = "error",
    [SP_LOG_WARNING] = "warning",
    [SP_LOG_INFO] = "info",
    [SP_LOG_DEBUG] = "debug",
};
#define N_LEVELS (sizeof level_names / sizeof level_names[0])

static const char *const level_titles[] = {
    [SP_LOG_ERROR] = "ERROR",
    [SP_LOG_WARNING] = "WARNING",
    [SP_LOG_INFO] = "INFO",
    [SP_LOG_DEBUG] = "DEBUG",
};

/* Atomic, as the store's thread logs too. */
static _Atomic int log_level = SP_LOG_INFO;

static size_t sanitize(char *text, size_t size);
static void write_line(const char *line, size_t size);

int
sp_log_level_parse(const char *text, enum sp_level *ret)
{
    for (size_t i = 0; i < N_LEVELS; i++) {
        if (!strcmp(text, level_names[i])) {
            *ret = (enum sp_level) i;
            return 0;
        }
    }
    return SP_E_SYNTAX;
}

void
sp_log_set_level(enum sp_level level)
{
    log_level = level;
}

void
sp_log(enum sp_level level, const char *area, const char *format, ...)
{
    char line[LINE_SIZE];
    char when[SP_TIME_TEXT_SIZE];
    int saved_errno = errno;
    struct timespec now;
    va_list args;

    if ((int) level > log_level || (size_t) level >= N_LEVELS) {
        return;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    sp_time_format(now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000, when);

    int head = snprintf(line, sizeof line, "%s %s %s: ", when, level_titles[level], area);
    size_t size = head < 0 ? 0 : head >= LINE_SIZE ? LINE_SIZE - 1 : (size_t) head;

    errno = saved_errno; /* For "%m". */
    va_start(args, format);
    int tail = vsnprintf(line + size, sizeof line - size, format, args);
    va_end(args);
    if (tail > 0) {
        size_t room = sizeof line - size - 1;

        if ((size_t) tail > room) {
            size += room;
            memcpy(line + size - 3, "...", 3);
        } else {
            size += (size_t) tail;
        }
    }
    size = sanitize(line, size);
    line[size++] = '\n'; /* In the place of vsnprintf's NUL. */
    write_line(line, size);
    errno = saved_errno;
}

/* Replaces what is not a printable character by '?', in place, where a control character of several bytes becomes one '?'.
 * Returns the new size. */
static size_t
sanitize(char *text, size_t size)
{
    size_t out = 0;

    for (size_t in = 0; in < size;) {
        size_t n = sp_utf8_size(text + in, size - in);

        if (!n || sp_utf8_is_control(text + in, n)) {
            text[out++] = '?';
            in += n ? n : 1;
        } else {
            memmove(text + out, text + in, n);
            out += n;
            in += n;
        }
    }
    return out;
}

/* A line that stderr does not take at once is lost: there is nobody left to tell, and whoever waited for a reader that reads no
 * more would let the switches down.  Not by O_NONBLOCK, which is shared with whoever gave us stderr.  A pipe that poll() says is
 * ready takes a line whole.  Source: pipe(7), "PIPE_BUF"; poll(2). */
static void
write_line(const char *line, size_t size)
{
    struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};

    while (send(STDERR_FILENO, line, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        if (errno == ENOTSOCK) {
            while (poll(&ready, 1, 0) > 0 && ready.revents & POLLOUT && write(STDERR_FILENO, line, size) < 0 && errno == EINTR) {
            }
            return;
        }
        if (errno != EINTR) {
            return;
        }
    }
}
