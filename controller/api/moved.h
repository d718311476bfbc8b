/* Whether objects are still as a change of the history left them.
 *
 * What counts are the fields and rules that the change touched: others may have changed since.  An object that the change made
 * must be as it was made, and one that it deleted must not be there.  Times of changes do not count. */

#ifndef SALLYPORT_CONTROLLER_API_MOVED_H
#define SALLYPORT_CONTROLLER_API_MOVED_H 1

#include "controller/api/protocol.h"
#include "controller/json/json.h"
#include "controller/model/batch.h"

/* An object of a change, parsed. */
struct sp_past {
    enum sp_kind kind;
    const char *name;   /* Of a region too. */
    const char *region; /* NULL: of none. */
    struct sp_uuid id;  /* Of a group or server. */
    uint64_t dpid;
    const struct sp_json *before; /* NULL: it was not there. */
    const struct sp_json *after;
    const struct sp_json *rules;  /* NULL: none differs. */
};

/* Reads 'object', which stays borrowed.  Returns 0 or SP_E_DAMAGED. */
int sp_past_read(const struct sp_json *object, struct sp_past *ret) SP_MUST_USE;
/* The object now; NULL: there is none. */
const void *sp_past_object(const struct sp_past *, const struct sp_model *);

/* A copy of 'rules' in the order of ids, for sp_past_find(), which gives the one whose id is the string 'id' or NULL.  The
 * caller frees; NULL: no memory. */
struct sp_rule **sp_past_sort(struct sp_rule *const *rules, size_t n);
struct sp_rule *sp_past_find(struct sp_rule **sorted, size_t n, const struct sp_json *id);

/* Returns 0; SP_E_DAMAGED; SP_E_IN_USE, with the detail among 'problems' that names the object and what of it has changed; or
 * -ENOMEM. */
int sp_past_check(const struct sp_past *, const struct sp_model *, const struct sp_protocols *,
                  struct sp_problems *problems) SP_MUST_USE;

#endif
