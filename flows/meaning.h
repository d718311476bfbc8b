/* What one rule's meaning says about another's: whether it matches all that the other matches, or anything of it.
 *
 * Certain answers only: "covers" may be false of a rule that does cover, "may overlap" true of two that do not.  Remote groups
 * are taken as they are named, whatever addresses they have. */

#ifndef SALLYPORT_FLOWS_MEANING_H
#define SALLYPORT_FLOWS_MEANING_H 1

#include "sallyport/rule.h"

/* True if 'outer' certainly matches every connection that 'inner' does, as far as direction, protocol, ports and ICMP type and
 * code go.  Neither looks at priority or action. */
bool sp_meaning_covers_but_for_remote(const struct sp_meaning *outer, const struct sp_meaning *inner);
/* True if 'outer' certainly matches every remote address that 'inner' does. */
bool sp_meaning_covers_remote(const struct sp_meaning *outer, const struct sp_meaning *inner);
/* True unless no connection can match both. */
bool sp_meaning_may_overlap(const struct sp_meaning *a, const struct sp_meaning *b);

#endif
