/* A table of rules by meaning, for lists too long to compare each rule with each other. */

#ifndef SALLYPORT_CONTROLLER_MODEL_MEANINGS_H
#define SALLYPORT_CONTROLLER_MODEL_MEANINGS_H 1

#include "sallyport/object.h"

struct sp_meanings {
    const struct sp_rule **slots; /* 'mask' + 1 of them, at most half of them taken. */
    size_t mask;
};

/* An empty table with room for 'n' rules.  Returns 0 or -ENOMEM. */
int sp_meanings_init(struct sp_meanings *, size_t n) SP_MUST_USE;
void sp_meanings_clear(struct sp_meanings *);
/* Borrows 'rule', whose meaning must not be in the table yet. */
void sp_meanings_add(struct sp_meanings *, const struct sp_rule *rule);
/* The rule that means the same as 'meaning' (sp_meaning_equal()), or NULL. */
const struct sp_rule *sp_meanings_find(const struct sp_meanings *, const struct sp_meaning *meaning);

#endif
