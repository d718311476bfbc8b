/* What a change would do, for ?dry_run=true. */

#ifndef SALLYPORT_CONTROLLER_API_PREVIEW_H
#define SALLYPORT_CONTROLLER_API_PREVIEW_H 1

#include "controller/api/call.h"

#define SP_PREVIEW_IDS_MAX 1000 /* Of servers, and of rules; how many there are is told anyway. */

/* Writes the answer of a call whose change is 'changes', while the model shows them and the call's cuts have been judged.
 * 'record' is what the history would say of it (NULL: nothing changes).  Returns 0 or -ENOMEM. */
int sp_preview_write(struct sp_call *call, const struct sp_history_record *record, const struct sp_change *changes, size_t n,
                     struct sp_json_write *out) SP_MUST_USE;

#endif
