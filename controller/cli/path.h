/* Request paths: text from the user, percent-encoded into place. */

#ifndef SALLYPORT_CONTROLLER_CLI_PATH_H
#define SALLYPORT_CONTROLLER_CLI_PATH_H 1

#include "sallyport/value.h"

/* Returns 'format' with each "%s" replaced by the next argument (const char *), of which every byte but the unreserved ones
 * of RFC 3986 section 2.3 is percent-encoded.  Only "%s" is known.  The caller frees; NULL: no memory. */
char *sp_path_format(const char *format, ...) SP_PRINTF(1, 2);

/* Adds the query parameter 'key' (as it is) with 'value' (percent-encoded; NULL adds nothing) to '*path', which is
 * replaced.
 * '*path' NULL stays NULL; no memory: it is freed and becomes NULL. */
void sp_path_query(char **path, const char *key, const char *value);

#endif
