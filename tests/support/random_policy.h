/* Policies by chance: a port's rules, who is in which group, and connections at the edges of what the rules name. */

#ifndef SALLYPORT_TESTS_SUPPORT_RANDOM_POLICY_H
#define SALLYPORT_TESTS_SUPPORT_RANDOM_POLICY_H 1

#include "flows/compile.h"
#include "flows/explain.h"
#include "tests/support/random.h"

#define SP_POLICY_RULES_MAX 12
#define SP_POLICY_GROUPS 3
#define SP_POLICY_CLASSES 5 /* 0: in no group. */
#define SP_POLICY_ADDRESSES 14

struct sp_policy {
    struct sp_rule rules[SP_POLICY_RULES_MAX];
    uint32_t slots[SP_POLICY_RULES_MAX], marks[SP_POLICY_RULES_MAX];
    size_t n_rules;
    uint32_t version, next_id, next_mark;
    uint32_t class_of[SP_POLICY_ADDRESSES];
    bool contains[SP_POLICY_GROUPS][SP_POLICY_CLASSES];
};

/* Begins 'policy' anew.  Slots and marks are its own: 1, 2, ... */
void sp_policy_draw(struct sp_random *, struct sp_policy *);
struct sp_meaning sp_policy_draw_meaning(struct sp_random *);
void sp_policy_add(struct sp_random *, struct sp_policy *, size_t at); /* A rule more; there must be room. */
void sp_policy_remove(struct sp_policy *, size_t at);
struct sp_connection sp_policy_draw_connection(struct sp_random *);
int32_t sp_policy_draw_edge(struct sp_random *); /* A port. */

struct sp_cidr sp_policy_address(size_t i); /* The remote addresses of connections; 'i' below SP_POLICY_ADDRESSES. */
struct sp_uuid sp_policy_group(unsigned group);
bool sp_policy_is_member(void *policy, const struct sp_uuid *group, const struct sp_cidr *address); /* A sp_is_member. */

/* Appends the flows of the policy as rule set 'number' in 'region', the classes of its addresses with them. */
void sp_policy_compile(const struct sp_policy *, uint32_t number, uint32_t region, struct sp_flow_list *flows);
/* What flows/explain.c says. */
bool sp_policy_allows(const struct sp_policy *, const struct sp_connection *);

#endif
