/* Bearer tokens: who may call the interface. */

#ifndef SALLYPORT_CONTROLLER_API_TOKEN_H
#define SALLYPORT_CONTROLLER_API_TOKEN_H 1

#include "sallyport/value.h"

struct sp_tokens;

/* Reads the tokens of the file at 'path': one a line, blanks around it and empty lines left out.  Returns 0 and a new object;
 * SP_E_INVALID: no token in it, or one with other characters than RFC 6750 allows, or a file over 64 KiB; or a negative errno;
 * each with one line in 'why'. */
int sp_tokens_load(const char *path, struct sp_tokens **ret, char *why, size_t why_size) SP_MUST_USE;
void sp_tokens_free(struct sp_tokens *); /* NULL is fine. */

bool sp_tokens_are_exposed(const struct sp_tokens *); /* Whether everybody might read the file. */

/* Whether 'authorization' (the header's value, or NULL) is "Bearer" with one of the tokens.  The time it takes tells nothing
 * about how much of a token was right.  Source: RFC 6750 section 2.1. */
bool sp_tokens_allow(const struct sp_tokens *, const char *authorization);

#endif
