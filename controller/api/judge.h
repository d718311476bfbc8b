/* What the rules say of connections that are tracked now, as the model is at one moment: published, or only staged.
 *
 * A mark that is live in the set passes, as in the switch; else the rules decide, by flows/tracked.c.  The work is bounded: what
 * is beyond the bound is not known. */

#ifndef SALLYPORT_CONTROLLER_API_JUDGE_H
#define SALLYPORT_CONTROLLER_API_JUDGE_H 1

#include "controller/engine.h"
#include "controller/unixctl/conntrack.h"
#include "flows/tracked.h"

#define SP_JUDGE_LOOKS_MAX 4000000u /* At rules, for all connections of a moment. */

struct sp_judge_list;
struct sp_judge {
    const struct sp_model *model;
    struct sp_judge_list *lists; /* Of rules, one for each set that was asked for. */
    size_t n_lists;
    size_t n_looks;              /* That are left. */
};

/* A connection and what is said of it. */
struct sp_judged {
    enum sp_way way;             /* Who opened it; a rule's mark knows better than the addresses. */
    enum sp_passage passage;     /* Of its next packet. */
    const char *reason;          /* With SP_PASSAGE_UNKNOWN: why. */
    enum sp_admitter admitter;   /* With SP_PASSAGE_PASSES: by whom. */
    struct sp_uuid rule;         /* With SP_ADMITTED_BY_RULE. */
    struct sp_uuid group;
};

/* 'model' is borrowed; it must not change between the judgements. */
void sp_judge_init(struct sp_judge *, const struct sp_model *model);
void sp_judge_clear(struct sp_judge *);

/* Judges the next packet of 'connection', of a port whose rule set is 'set' (0: none, which allows nothing).  'judged->way' is
 * taken and, if a rule's mark tells it, set; the rest is set.  Returns 0 or -ENOMEM. */
int sp_judge_connection(struct sp_judge *, uint32_t set, const struct sp_conntrack *connection,
                        struct sp_judged *judged) SP_MUST_USE;

#endif
