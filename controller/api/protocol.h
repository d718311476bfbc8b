/* Names of IP protocols: five that the interface promises, and the platform's own registry for the rest.
 *
 * Nothing is shipped: where the platform has no registry only the five names and the numbers are known.  The name "ip" that some
 * registries give to number 0 is left out: people who write it mean "any". */

#ifndef SALLYPORT_CONTROLLER_API_PROTOCOL_H
#define SALLYPORT_CONTROLLER_API_PROTOCOL_H 1

#include "sallyport/rule.h"

struct sp_protocols;

/* Reads the registry.  NULL: no memory.  Source: getprotoent(3), protocols(5). */
struct sp_protocols *sp_protocols_new(void);
void sp_protocols_free(struct sp_protocols *); /* NULL is fine. */

/* The number 0 to 255 of 'name' in any case, or of its digits; SP_PROTOCOL_ANY for "any".  Returns 0, or SP_E_SYNTAX with
 * '*ret' untouched. */
int sp_protocols_parse(const struct sp_protocols *, const char *name, int16_t *ret) SP_MUST_USE;
/* The name of 'protocol' (0 to 255 or SP_PROTOCOL_ANY), or NULL if it has none. */
const char *sp_protocols_name(const struct sp_protocols *, int16_t protocol);

#endif
