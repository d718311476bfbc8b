/* Which live connections a change would cut, for ?dry_run=true.
 *
 * The change is staged twice, and taken back each time: first to find out whose connections may be concerned (sp_cuts_find),
 * then, when the switches have been asked for them (sp_cuts_ask), to judge them, by the rules as they are just before it
 * (sp_cuts_judge_present) and as they would be (sp_cuts_judge).  A connection that passes now and would not is cut; one that the
 * rules do not allow now, which a switch remembers for a while, is not, nor is one that has ended.
 *
 * Each server's connections are judged by its own rules alone: one between two servers is in the list of each that cuts it.
 *
 * What cannot be known is told with the reason, and nobody may take it for none: a port whose switch cannot be asked or does not
 * answer, what is beyond the bounds below, and what goes through a bridge that is adopted or released or loses an uplink, which
 * no connection of a server's port tells. */

#ifndef SALLYPORT_CONTROLLER_API_CUTS_H
#define SALLYPORT_CONTROLLER_API_CUTS_H 1

#include "controller/api/call.h"

#define SP_CUTS_PORTS_MAX 64           /* That are asked for, ... */
#define SP_CUTS_TIME_US 3000000        /* ... the last one begun with so soon. */
#define SP_CUTS_CONNECTIONS_MAX 20000u /* That are looked at, of all ports. */
#define SP_CUTS_LISTED_MAX 100         /* Connections that are told, and servers with each reason. */

/* For a call, which is borrowed.  NULL: no memory. */
struct sp_cuts *sp_cuts_new(struct sp_call *);
void sp_cuts_free(struct sp_cuts *); /* NULL is fine. */

/* Notes down whom to ask because of 'changes', which the model shows.  Returns 0 or -ENOMEM. */
int sp_cuts_find(struct sp_cuts *, const struct sp_change *changes, size_t n) SP_MUST_USE;
/* Whether somebody is still to be asked. */
bool sp_cuts_is_waiting(const struct sp_cuts *);
/* Asks; 'done' runs once, perhaps from inside, with 0, or SP_E_CLOSED: the controller stops. */
void sp_cuts_ask(struct sp_cuts *, void (*done)(struct sp_call *, int error));

/* Judges what was heard: by the model before the change is staged, and while it is.  Return 0 or -ENOMEM. */
int sp_cuts_judge_present(struct sp_cuts *) SP_MUST_USE;
int sp_cuts_judge(struct sp_cuts *, const struct sp_change *changes, size_t n) SP_MUST_USE;

/* Writes "connections_cut", "n_connections_cut" and "connections_unknown" within an open object. */
void sp_cuts_put(const struct sp_cuts *, const struct sp_render *);

#endif
