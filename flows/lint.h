/* What is odd about a list of rules, judged from the rules alone: those that never decide, and doors that are open to everybody.
 *
 * A rule never decides if another one that is asked before it matches all that it matches.  If that one says the same, the
 * rule is redundant: the verdicts are the same without it.  If it says the opposite, the rule is shadowed: what it says never
 * comes true.  And, from what was counted: those that nothing has needed for long. */

#ifndef SALLYPORT_FLOWS_LINT_H
#define SALLYPORT_FLOWS_LINT_H 1

#include "sallyport/rule.h"

#define SP_LINT_UNUSED_US (30ll * 24 * 3600 * 1000000) /* Without a hit for this long a rule is unused. */

/* The work grows with the square of the rules; for more than this many somebody else should have to wait. */
#define SP_LINT_RULES_MAX 2000

enum sp_lint_kind { SP_LINT_NOTHING, SP_LINT_REDUNDANT, SP_LINT_SHADOWED, SP_LINT_OPEN };

/* A service that is seldom meant for everybody. */
struct sp_lint_service {
    const char *name;
    uint16_t port;
    int16_t protocol;
};

struct sp_lint {
    enum sp_lint_kind kind;
    size_t by;                             /* REDUNDANT, SHADOWED: index of the other rule. */
    const struct sp_lint_service *service; /* OPEN: the first one that the rule opens; static. */
    size_t n_services;                     /* OPEN: how many it opens. */
};

/* Judges each of the 'n' rules 'meanings' (at most SP_LINT_RULES_MAX); 'ret[i]' is what is to be said of rule i, the gravest if
 * there is more: shadowed, redundant, open. */
void sp_lint(const struct sp_meaning *const meanings[], size_t n, struct sp_lint ret[]);

/* Whether a rule that was hit at 'last_us' at last (0: never), and whose hits are counted since 'since_us', is unused at
 * 'now_us'. */
bool sp_lint_is_unused(int64_t last_us, int64_t since_us, int64_t now_us);

#endif
