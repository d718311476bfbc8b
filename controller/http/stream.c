#include "controller/http/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ALLOCATED_MIN 1024
#define ALLOCATED_KEPT 16384 /* By a stream for which nothing waits. */

struct sp_http_stream *
sp_http_stream_new(const struct sp_http_stream_options *options)
{
    struct sp_http_stream *s = calloc(1, sizeof *s);

    if (s) {
        s->options = *options;
    }
    return s;
}

void
sp_http_stream_free(struct sp_http_stream *s)
{
    if (s) {
        free(s->waiting);
        free(s);
    }
}

int
sp_http_stream_put(struct sp_http_stream *s, const char *data, size_t size)
{
    if (size > s->options.waiting_max - s->size) {
        return SP_E_FULL;
    }
    if (s->begin && s->begin + s->size + size > s->allocated) {
        memmove(s->waiting, s->waiting + s->begin, s->size);
        s->begin = 0;
    }
    if (s->size + size > s->allocated) {
        size_t allocated = s->allocated ? s->allocated : ALLOCATED_MIN;

        while (allocated < s->size + size) {
            allocated *= 2;
        }

        char *grown = realloc(s->waiting, allocated);

        if (!grown) {
            return -ENOMEM;
        }
        s->waiting = grown;
        s->allocated = allocated;
    }
    if (size) {
        memcpy(s->waiting + s->begin + s->size, data, size);
    }
    s->size += size;
    return 0;
}

size_t
sp_http_stream_take(struct sp_http_stream *s, char *out, size_t size)
{
    size_t n = size < s->size ? size : s->size;

    if (n) {
        memcpy(out, s->waiting + s->begin, n);
        s->begin += n;
        s->size -= n;
    }
    if (!s->size) {
        s->begin = 0;
        if (s->allocated > ALLOCATED_KEPT) {
            free(s->waiting);
            s->waiting = NULL;
            s->allocated = 0;
        }
    }
    return n;
}
