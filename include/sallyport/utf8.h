/* UTF-8, strictly: no overlong forms, no surrogates, nothing above U+10FFFF.  Source: RFC 3629 section 4. */

#ifndef SALLYPORT_UTF8_H
#define SALLYPORT_UTF8_H 1

#include "sallyport/value.h"

/* The size in bytes (1 to 4) of the character that 'text' begins with, of which 'size' bytes may be read; 0 if 'size' is 0 or
 * these bytes are no character.  A NUL is a character of one byte. */
size_t sp_utf8_size(const char *text, size_t size);

/* Whether all 'size' bytes of 'text' are characters.  Nothing is valid. */
bool sp_utf8_is_valid(const char *text, size_t size);

/* Whether the character of 'size' bytes (from sp_utf8_size()) at 'text' is a control character: U+0000 to U+001F, U+007F to
 * U+009F, or one of the separators U+2028 and U+2029, which some programs show as a line end. */
bool sp_utf8_is_control(const char *text, size_t size);

/* Copies 'size' bytes at 'text', or what comes before a NUL among them, to 'out' for a message or a terminal: '?' stands for each
 * control character and for each byte that is no character.  What has no room in the 'out_size' bytes (1 or more) at 'out', which
 * end with a NUL, is cut off between two characters. */
void sp_utf8_print(char *out, size_t out_size, const char *text, size_t size);

#endif
