/* What the holder of a token may do: by its role, and by the regions that it is for.
 *
 * Every route names the role that it needs and what it is about.  A token for some regions sees nothing else: in lists other
 * regions' objects are left out, an id of theirs is one that does not exist, and what is about the whole installation
 * (bridges, the status, metrics, events) is refused. */

#ifndef SALLYPORT_CONTROLLER_API_ACCESS_H
#define SALLYPORT_CONTROLLER_API_ACCESS_H 1

#include "controller/api/call.h"

/* Judges the call's token, once the route is known.  Returns 0; SP_E_MISSING: the object that the path names is none of its
 * regions'; or SP_E_IN_USE: it may not, whatever exists; both with one sentence in 'why'.  Without
 * tokens everybody may everything. */
int sp_access_check(const struct sp_call *, char *why, size_t why_size) SP_MUST_USE;
/* The same for what a body says: the region in which a new object shall be. */
int sp_access_check_body(const struct sp_call *, char *why, size_t why_size) SP_MUST_USE;
/* Whether the caller may know of what is in 'region'. */
bool sp_access_sees(const struct sp_call *, const char *region);
/* Whether it may know of a change: that is about objects of regions, and of none that it may not know of. */
bool sp_access_sees_change(const struct sp_call *, const struct sp_history_record *);

#endif
