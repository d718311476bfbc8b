/* JSON texts out of a stream of bytes: OVSDB and the control sockets of Open vSwitch put no length before a message, so brackets
 * are counted outside of strings.
 *
 * Whether a text is JSON is for the parser to say; this one only finds where it ends. */

#ifndef SALLYPORT_CONTROLLER_JSON_SCAN_H
#define SALLYPORT_CONTROLLER_JSON_SCAN_H 1

#include "sallyport/value.h"

#define SP_SCAN_SIZE_MAX (16u << 20) /* Bytes of one text. */

struct sp_scan {
    char *text; /* So far, or whole until the next sp_scan_feed(). */
    size_t size;
    size_t capacity;
    size_t depth;
    bool in_string;
    bool escaped;
    bool complete;
};

void sp_scan_init(struct sp_scan *);
void sp_scan_clear(struct sp_scan *);

/* Takes bytes from '*data' ('*size' of them), moving both on, until one text is complete.  Returns 0 with it in 'text' and
 * 'size', -EAGAIN if all bytes are taken and more are needed, SP_E_SYNTAX if something else than an object or array begins,
 * SP_E_RANGE if a text has more than SP_SCAN_SIZE_MAX bytes, or -ENOMEM. */
int sp_scan_feed(struct sp_scan *, const char **data, size_t *size) SP_MUST_USE;

#endif
