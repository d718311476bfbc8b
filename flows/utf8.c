#include "sallyport/utf8.h"

#include <stdint.h>
#include <string.h>

static bool
is_tail(unsigned char byte)
{
    return (byte & 0xc0) == 0x80;
}

size_t
sp_utf8_size(const char *text, size_t size)
{
    const unsigned char *b = (const unsigned char *) text;

    if (!size) {
        return 0;
    }
    if (b[0] < 0x80) {
        return 1;
    }
    if (b[0] < 0xc2 || b[0] > 0xf4 || size < 2 || !is_tail(b[1])) {
        return 0;
    }
    if (b[0] < 0xe0) {
        return 2;
    }
    if (size < 3 || !is_tail(b[2])) {
        return 0;
    }
    if (b[0] < 0xf0) {
        bool overlong = b[0] == 0xe0 && b[1] < 0xa0;
        bool surrogate = b[0] == 0xed && b[1] > 0x9f;

        return overlong || surrogate ? 0 : 3;
    }
    if (size < 4 || !is_tail(b[3])) {
        return 0;
    }
    return (b[0] == 0xf0 && b[1] < 0x90) || (b[0] == 0xf4 && b[1] > 0x8f) ? 0 : 4;
}

bool
sp_utf8_is_valid(const char *text, size_t size)
{
    size_t i = 0;

    while (i < size) {
        uint64_t word;
        size_t n;

        /* Most of all text is ASCII, of which any bytes are valid. */
        if (size - i >= sizeof word && (memcpy(&word, text + i, sizeof word), !(word & 0x8080808080808080ull))) {
            i += sizeof word;
            continue;
        }
        n = sp_utf8_size(text + i, size - i);

        if (!n) {
            return false;
        }
        i += n;
    }
    return true;
}

bool
sp_utf8_is_control(const char *text, size_t size)
{
    const unsigned char *b = (const unsigned char *) text;

    switch (size) {
    case 1:
        return b[0] < 0x20 || b[0] == 0x7f;
    case 2:
        return b[0] == 0xc2 && b[1] < 0xa0;
    case 3:
        return b[0] == 0xe2 && b[1] == 0x80 && (b[2] == 0xa8 || b[2] == 0xa9);
    default:
        return false;
    }
}

void
sp_utf8_print(char *out, size_t out_size, const char *text, size_t size)
{
    size_t used = 0;

    for (size_t at = 0; at < size && text[at];) {
        size_t taken = sp_utf8_size(text + at, size - at);
        bool is_printable = taken && !sp_utf8_is_control(text + at, taken);
        size_t n = is_printable ? taken : 1;

        if (used + n >= out_size) {
            break;
        }
        memcpy(out + used, is_printable ? text + at : "?", n);
        used += n;
        at += taken ? taken : 1;
    }
    out[used] = '\0';
}
