#include "flows/openflow/frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_SIZE 8u
#define KEPT_CAPACITY 2048u /* More is given back between messages. */

void sp_frame_init(struct sp_frame *frame)
{
    *frame = (struct sp_frame){0};
}

void sp_frame_clear(struct sp_frame *frame)
{
    free(frame->bytes);
    sp_frame_init(frame);
}

/* Copies until 'frame' has 'wanted' bytes.  Returns 0, -EAGAIN or -ENOMEM. */
static int fill(struct sp_frame *frame, size_t wanted, const uint8_t **data, size_t *size)
{
    size_t n = wanted - frame->size;

    if (frame->capacity < wanted) {
        size_t capacity = wanted <= KEPT_CAPACITY ? KEPT_CAPACITY : wanted;
        uint8_t *bytes = realloc(frame->bytes, capacity);

        if (!bytes) {
            return -ENOMEM;
        }
        frame->bytes = bytes;
        frame->capacity = capacity;
    }
    n = n < *size ? n : *size;
    memcpy(frame->bytes + frame->size, *data, n);
    frame->size += n;
    *data += n;
    *size -= n;
    return frame->size == wanted ? 0 : -EAGAIN;
}

int sp_frame_feed(struct sp_frame *frame, const uint8_t **data, size_t *size)
{
    size_t length;
    int r;

    if (frame->complete) {
        frame->complete = false;
        frame->size = 0;
    }
    if (!*size) {
        if (!frame->size && frame->capacity > KEPT_CAPACITY) {
            sp_frame_clear(frame);
        }
        return -EAGAIN;
    }
    if (frame->size < HEADER_SIZE) {
        r = fill(frame, HEADER_SIZE, data, size);
        if (r) {
            return r;
        }
    }
    length = (size_t) frame->bytes[2] << 8 | frame->bytes[3];
    if (length < HEADER_SIZE) {
        return SP_E_SYNTAX;
    }
    r = fill(frame, length, data, size);
    frame->complete = !r;
    return r;
}
