/* Flows of every field and operation that a switch takes, by chance. */

#ifndef SALLYPORT_TESTS_SUPPORT_RANDOM_FLOW_H
#define SALLYPORT_TESTS_SUPPORT_RANDOM_FLOW_H 1

#include "sallyport/flow.h"
#include "tests/support/random.h"

/* Adds random terms with all that they rest on.  Returns true if they match only frames with a VLAN tag. */
bool sp_random_match(struct sp_random *, struct sp_flow_build *);
/* Starts 'build' and makes it a flow of a random table, match and actions. */
void sp_random_flow(struct sp_random *, struct sp_flow_build *, uint64_t cookie);

#endif
