/* Bearer tokens: who may call the interface, and what.
 *
 * The file has one token a line, in one of two forms; empty lines, and lines that begin with '#', do not count:
 *
 *     TOKEN                            may do everything
 *     NAME ROLE REGIONS sha256:HEX     what is stored is the SHA-256 of the token, in hexadecimal
 *
 * NAME is for people: 1 to 64 of A-Z a-z 0-9 . _ -, each once.  ROLE is "read", "operator" or "admin".  REGIONS is "*" or names
 * of regions with commas between them.  Only digests are kept in memory. */

#ifndef SALLYPORT_CONTROLLER_API_TOKEN_H
#define SALLYPORT_CONTROLLER_API_TOKEN_H 1

#include "sallyport/value.h"

/* Each may do what those before it may. */
enum sp_token_role { SP_TOKEN_READ, SP_TOKEN_OPERATOR, SP_TOKEN_ADMIN };
const char *sp_token_role_name(enum sp_token_role);

struct sp_tokens;
struct sp_token;

/* Reads the tokens of the file at 'path'.  Returns 0 and a new object; SP_E_INVALID: no token in it, a line of neither form,
 * other characters than RFC 6750 allows, or a file over 64 KiB; or a negative errno; each with one line in 'why', which never
 * has a part of a token. */
int sp_tokens_load(const char *path, struct sp_tokens **ret, char *why, size_t why_size) SP_MUST_USE;
/* The same of 'text' ('size' bytes); 'why' does not name a file. */
int sp_tokens_parse(const char *text, size_t size, struct sp_tokens **ret, char *why, size_t why_size) SP_MUST_USE;
void sp_tokens_free(struct sp_tokens *); /* NULL is fine. */

bool sp_tokens_are_exposed(const struct sp_tokens *); /* Whether everybody might read the file. */

/* Whose token 'authorization' (the header's value, or NULL) has behind "Bearer"; NULL: nobody's.  Valid as long as 'tokens'.
 * The time it takes tells nothing about how much of a token was right.  Source: RFC 6750 section 2.1. */
const struct sp_token *sp_tokens_find(const struct sp_tokens *tokens, const char *authorization);
/* The token of 'tokens' that 'token', of others, is too; NULL: it is none of them. */
const struct sp_token *sp_tokens_find_same(const struct sp_tokens *tokens, const struct sp_token *token);

const char *sp_token_name(const struct sp_token *); /* "" of one that has none. */
enum sp_token_role sp_token_role(const struct sp_token *);
bool sp_token_is_for_all(const struct sp_token *); /* Not restricted to some regions. */
bool sp_token_is_for(const struct sp_token *, const char *region);

#endif
