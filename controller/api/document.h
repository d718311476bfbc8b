/* A region as one document: what people have written of its groups, rules, servers and ports, without what the server made of it.
 *
 *     {"version": 1, "region": NAME, "security_groups": [...], "servers": [...]}
 *
 * Groups and servers are known by their keys (names.h); where a key is an id, the object has the member "id".  Applying a
 * document (change_document.c) is one change: what it names is made or becomes as it says, and what it does not say stays.  So
 * the document of a region changes nothing there, and makes the same of an empty one. */

#ifndef SALLYPORT_CONTROLLER_API_DOCUMENT_H
#define SALLYPORT_CONTROLLER_API_DOCUMENT_H 1

#include "controller/api/call.h"

#define SP_DOCUMENT_VERSION 1

/* The tables of the groups and of the servers of 'region', in the call's pool.  Return 0 or -ENOMEM. */
int sp_document_groups(struct sp_call *, const char *region, struct sp_names *ret) SP_MUST_USE;
int sp_document_servers(struct sp_call *, const char *region, struct sp_names *ret) SP_MUST_USE;

/* Appends 'rule' as a document has it. */
void sp_document_write_rule(const struct sp_render *, const struct sp_names *groups, const struct sp_rule *);

/* The answer to a change by a document: {"region", "changes": [...]}, of the 'n' changes that it comes to.  'groups' has those
 * that there were and those that there will be.  NULL: no memory. */
struct sp_json_write *sp_document_report(struct sp_call *, const struct sp_names *groups, const struct sp_change *changes,
                                         size_t n);

#endif
