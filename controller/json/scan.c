#include "controller/json/scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define KEPT_CAPACITY 4096u /* More is given back between texts. */

static const char blanks[] = {' ', '\t', '\r', '\n'};

void sp_scan_init(struct sp_scan *scan)
{
    *scan = (struct sp_scan){0};
}

void sp_scan_clear(struct sp_scan *scan)
{
    free(scan->text);
    sp_scan_init(scan);
}

/* Appends 'size' bytes to the text. */
static int append(struct sp_scan *scan, const char *data, size_t size)
{
    size_t capacity = scan->capacity ? scan->capacity : KEPT_CAPACITY;
    char *text;

    if (scan->size + size > SP_SCAN_SIZE_MAX) {
        return SP_E_RANGE;
    }
    while (capacity < scan->size + size) {
        capacity *= 2;
    }
    if (capacity != scan->capacity) {
        text = realloc(scan->text, capacity);
        if (!text) {
            return -ENOMEM;
        }
        scan->text = text;
        scan->capacity = capacity;
    }
    memcpy(scan->text + scan->size, data, size);
    scan->size += size;
    return 0;
}

/* Takes notice of byte 'c' and says whether it ends the text. */
static bool ends_with(struct sp_scan *scan, char c)
{
    if (scan->in_string) {
        scan->in_string = scan->escaped || c != '"';
        scan->escaped = !scan->escaped && c == '\\';
        return false;
    }
    if (c == '"') {
        scan->in_string = true;
    } else if (c == '{' || c == '[') {
        scan->depth++;
    } else if (c == '}' || c == ']') {
        return !--scan->depth;
    }
    return false;
}

int sp_scan_feed(struct sp_scan *scan, const char **data, size_t *size)
{
    size_t skipped = 0, n = 0;
    int r;

    if (scan->complete) {
        scan->complete = false;
        scan->size = 0;
        if (scan->capacity > KEPT_CAPACITY) {
            sp_scan_clear(scan);
        }
    }
    while (!scan->size && skipped < *size && memchr(blanks, (*data)[skipped], sizeof blanks)) {
        skipped++;
    }
    *data += skipped;
    *size -= skipped;
    if (!*size) {
        return -EAGAIN;
    }
    if (!scan->size && **data != '{' && **data != '[') {
        return SP_E_SYNTAX;
    }
    while (n < *size && !scan->complete) {
        scan->complete = ends_with(scan, (*data)[n++]);
    }
    r = append(scan, *data, n);
    if (r) {
        return r;
    }
    *data += n;
    *size -= n;
    return scan->complete ? 0 : -EAGAIN;
}
