#include "controller/cli/path.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_encoded(FILE *, const char *);
static char *finish(FILE *, char **text);

char *
sp_path_format(const char *format, ...)
{
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    if (!stream) {
        return NULL;
    }
    va_list args;
    va_start(args, format);
    for (const char *p = format; *p; p++) {
        if (p[0] == '%' && p[1] == 's') {
            put_encoded(stream, va_arg(args, const char *));
            p++;
        } else {
            putc(*p, stream);
        }
    }
    va_end(args);
    return finish(stream, &text);
}

void
sp_path_query(char **path, const char *key, const char *value)
{
    if (!*path || !value) {
        return;
    }
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    if (stream) {
        fprintf(stream, "%s%c%s=", *path, strchr(*path, '?') ? '&' : '?', key);
        put_encoded(stream, value);
        text = finish(stream, &text);
    }
    free(*path);
    *path = text;
}

static void
put_encoded(FILE *stream, const char *text)
{
    static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    for (const char *p = text; *p; p++) {
        fprintf(stream, strchr(unreserved, *p) ? "%c" : "%%%02X", (unsigned char) *p);
    }
}

static char *
finish(FILE *stream, char **text)
{
    bool failed = ferror(stream);
    if (fclose(stream) || failed) {
        free(*text);
        *text = NULL;
    }
    return *text;
}
