/* Making, keeping and releasing objects (include/sallyport/object.h).
 *
 * Each 'new' makes an immutable object with one reference out of 'fields', a struct of the same type that the caller
 * fills on its own storage: strings and arrays are copied into the object's single allocation, the objects that it holds
 * (a group's rules, a server's ports) get a reference of their own.  The member 'refs' of 'fields' is ignored, a NULL string
 * stays NULL, an array of no items comes out as NULL.  So a changed copy of an object is: struct copy, set members, new.
 *
 * Each 'ref' adds a reference and returns its argument; each 'unref' drops one, frees the object with the last, and takes
 * NULL.  Both take pointers to const, as the count is no part of the value.  Loop's thread only. */

#ifndef SALLYPORT_CONTROLLER_MODEL_OBJECT_H
#define SALLYPORT_CONTROLLER_MODEL_OBJECT_H 1

#include "sallyport/object.h"

/* NULL: no memory. */
struct sp_region *sp_region_new(const struct sp_region *fields);
struct sp_rule *sp_rule_new(const struct sp_rule *fields);
struct sp_group *sp_group_new(const struct sp_group *fields);
struct sp_port *sp_port_new(const struct sp_port *fields);
struct sp_server *sp_server_new(const struct sp_server *fields);
struct sp_bridge *sp_bridge_new(const struct sp_bridge *fields);
struct sp_rule_set *sp_rule_set_new(const struct sp_rule_set *fields);

struct sp_region *sp_region_ref(const struct sp_region *);
struct sp_rule *sp_rule_ref(const struct sp_rule *);
struct sp_group *sp_group_ref(const struct sp_group *);
struct sp_port *sp_port_ref(const struct sp_port *);
struct sp_server *sp_server_ref(const struct sp_server *);
struct sp_bridge *sp_bridge_ref(const struct sp_bridge *);
struct sp_rule_set *sp_rule_set_ref(const struct sp_rule_set *);

void sp_region_unref(const struct sp_region *);
void sp_rule_unref(const struct sp_rule *);
void sp_group_unref(const struct sp_group *);
void sp_port_unref(const struct sp_port *);
void sp_server_unref(const struct sp_server *);
void sp_bridge_unref(const struct sp_bridge *);
void sp_rule_set_unref(const struct sp_rule_set *);

/* Any kind; a NULL object is fine. */
void sp_object_ref(struct sp_object);
void sp_object_unref(struct sp_object);

#endif
