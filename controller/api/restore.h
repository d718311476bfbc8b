/* Takes back what a change of the history did: brings its objects to what they were, in a batch. */

#ifndef SALLYPORT_CONTROLLER_API_RESTORE_H
#define SALLYPORT_CONTROLLER_API_RESTORE_H 1

#include "controller/api/history.h"
#include "controller/api/protocol.h"
#include "controller/model/batch.h"

/* Stages the opposite of 'record' in 'batch', whose model is 'model', whole or not at all.  Returns 0; SP_E_IN_USE with
 * 'problems' that say which object is not as the change left it, or what is in the way; SP_E_FULL; or -ENOMEM. */
int sp_restore(const struct sp_history_record *record, const struct sp_model *model, const struct sp_protocols *protocols,
               struct sp_batch *batch, struct sp_problems *problems) SP_MUST_USE;

#endif
