/* Which call is meant by a method and a path. */

#ifndef SALLYPORT_CONTROLLER_API_ROUTE_H
#define SALLYPORT_CONTROLLER_API_ROUTE_H 1

#include "controller/api/call.h"

/* Fills in the route of 'call' and what its path names.  Returns 0; SP_E_MISSING: no such path, or an id in it that no object can
 * have; SP_E_EXISTS: the path is there, but not with this method; SP_E_INVALID: a name that a change would create is wrong, which
 * is among the call's problems; or -ENOMEM.  The route is set wherever path and method fit one, whatever is returned. */
int sp_route_find(struct sp_call *call) SP_MUST_USE;

/* The methods that the path of 'call' takes, "GET, HEAD, PUT": put in 'out'. */
#define SP_ROUTE_ALLOW_SIZE 64
void sp_route_allow(const struct sp_call *call, char *out);

/* Reads: each answers its call. */
void sp_read_regions(struct sp_call *);
void sp_read_region(struct sp_call *);
void sp_read_document(struct sp_call *);
void sp_read_groups(struct sp_call *);
void sp_read_group(struct sp_call *);
void sp_read_lint(struct sp_call *);
void sp_read_rules(struct sp_call *);
void sp_read_rule(struct sp_call *);
void sp_read_servers(struct sp_call *);
void sp_read_server(struct sp_call *);
void sp_read_connections(struct sp_call *);
void sp_read_blocked(struct sp_call *);
void sp_read_bridges(struct sp_call *);
void sp_read_bridge(struct sp_call *);
void sp_read_changes(struct sp_call *);
void sp_read_change(struct sp_call *);
void sp_read_status(struct sp_call *);
void sp_read_health(struct sp_call *);
void sp_read_ready(struct sp_call *);
void sp_read_openapi(struct sp_call *);
void sp_read_metrics(struct sp_call *);
void sp_read_explain(struct sp_call *);
void sp_read_events(struct sp_call *);
void sp_read_client(struct sp_call *);
void sp_read_console(struct sp_call *);

/* Changes. */
extern const struct sp_operation sp_region_put, sp_region_patch, sp_region_delete, sp_document_put;
extern const struct sp_operation sp_group_post, sp_group_patch, sp_group_delete;
extern const struct sp_operation sp_rule_post, sp_rule_patch, sp_rule_delete, sp_rules_put;
extern const struct sp_operation sp_server_post, sp_server_patch, sp_server_delete, sp_server_groups_put;
extern const struct sp_operation sp_bridge_put, sp_bridge_delete;
extern const struct sp_operation sp_change_undo, sp_change_confirm;

#endif
