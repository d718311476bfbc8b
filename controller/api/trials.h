/* Changes on trial: they are taken back by themselves unless somebody confirms them in time.
 *
 * A change that was made with ?confirm_within is pending until its time is over, also if the daemon is started anew meanwhile:
 * the time is stored with it.  As long as it is, no other change may touch an object that it touched, so that it can be taken
 * back.  If it cannot for all that, this is logged and stands in its record. */

#ifndef SALLYPORT_CONTROLLER_API_TRIALS_H
#define SALLYPORT_CONTROLLER_API_TRIALS_H 1

#include "controller/api/history.h"
#include "controller/model/batch.h"

/* Whether the change 'record' may be made: it touches nothing of a pending one, 'undoes' aside, and can be taken back if it is
 * pending itself; of which there are not too many.  Returns 0, or SP_E_IN_USE with the detail among 'problems'. */
int sp_trials_check(const struct sp_history *, const struct sp_history_record *record, uint64_t undoes,
                    struct sp_problems *problems) SP_MUST_USE;

struct sp_api;

/* A verdict (of change 0: none) on its way to the store.  The change that it is on is pending. */
bool sp_trials_judge(const struct sp_history *, const struct sp_trial_end *, struct sp_trial_end *ret);
void sp_trials_forget(const struct sp_history *, const struct sp_trial_end *); /* It did not get there. */
/* It did: logs a confirmation, counts, and tells the events. */
void sp_trials_settle(struct sp_api *, const struct sp_trial_end *, const char *who);

/* Logs the change 'entry', takes it over into the history, and tells the events if it is pending. */
void sp_trials_add(struct sp_api *, struct sp_history_entry *entry);

/* Begins to take back what is due.  'api' is a struct sp_api. */
void sp_trials_run(void *api);

#endif
