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

static const char *const form_names[] = {[SP_LOG_TEXT] = "text", [SP_LOG_KV] = "kv", [SP_LOG_JSON] = "json"};
#define N_FORMS (sizeof form_names / sizeof form_names[0])

/* How a line begins: time, level, area; and how it ends.  What is between is quoted where it ends with a quote. */
static const struct {
    const char *head;
    const char *end;
} forms[] = {
    [SP_LOG_TEXT] = {"%s %s %s: ", "\n"},
    [SP_LOG_KV] = {"time=%s level=%s area=%s message=\"", "\"\n"},
    [SP_LOG_JSON] = {"{\"time\":\"%s\",\"level\":\"%s\",\"area\":\"%s\",\"message\":\"", "\"}\n"},
};

/* Atomic, as the store's thread logs too. */
static _Atomic int log_level = SP_LOG_INFO;
static _Atomic int log_form = SP_LOG_TEXT;

static size_t copy(char *out, size_t room, const char *text, size_t size, bool quotes);
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

int
sp_log_form_parse(const char *text, enum sp_log_form *ret)
{
    for (size_t i = 0; i < N_FORMS; i++) {
        if (!strcmp(text, form_names[i])) {
            *ret = (enum sp_log_form) i;
            return 0;
        }
    }
    return SP_E_SYNTAX;
}

void
sp_log_set_form(enum sp_log_form form)
{
    log_form = form;
}

void
sp_log(enum sp_level level, const char *area, const char *format, ...)
{
    char line[LINE_SIZE], text[LINE_SIZE], clean[LINE_SIZE];
    char when[SP_TIME_TEXT_SIZE];
    int saved_errno = errno;
    int form = log_form;
    struct timespec now;
    va_list args;

    if ((int) level > log_level || (size_t) level >= N_LEVELS) {
        return;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    sp_time_format(now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000, when);

    errno = saved_errno; /* For "%m". */
    va_start(args, format);
    int text_len = vsnprintf(text, sizeof text, format, args);
    va_end(args);

    const char *title = (form == SP_LOG_TEXT ? level_titles : level_names)[level];
    int head_len = snprintf(line, sizeof line, forms[form].head, when, title, area);
    size_t end_len = strlen(forms[form].end);
    if (text_len < 0 || head_len < 0 || (size_t) head_len + end_len > sizeof line) {
        errno = saved_errno;
        return;
    }

    sp_utf8_print(clean, sizeof clean, text, sizeof text);
    size_t room = sizeof line - (size_t) head_len - end_len;
    size_t size = (size_t) head_len + copy(line + head_len, room, clean, strlen(clean), form != SP_LOG_TEXT);
    memcpy(line + size, forms[form].end, end_len);
    write_line(line, size + end_len);
    errno = saved_errno;
}

/* Copies 'text', which is clean, to 'out', with a backslash before what has a meaning in quotes; what has no place in 'room' is
 * cut.  Returns the size. */
static size_t
copy(char *out, size_t room, const char *text, size_t size, bool quotes)
{
    static const char ellipsis[] = {'.', '.', '.'};
    size_t n = 0;

    for (size_t in = 0; in < size;) {
        size_t character = sp_utf8_size(text + in, size - in);
        bool escapes = quotes && (text[in] == '"' || text[in] == '\\');
        bool is_last = in + character == size;

        if (n + escapes + character + (is_last ? 0 : sizeof ellipsis) > room) {
            memcpy(out + n, ellipsis, sizeof ellipsis);
            return n + sizeof ellipsis;
        }
        if (escapes) {
            out[n++] = '\\';
        }
        memcpy(out + n, text + in, character);
        n += character;
        in += character;
    }
    return n;
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
