/* The model: every object in memory, as of the last durable change, and the indices that readers need.
 *
 * Reads see published state only.  Writes go through a batch (batch.h).  One thread: the loop's.
 * All pointers that the functions return are borrowed until the next batch is published; take a reference
 * (sp_server_ref() and so on, object.c) to keep an object longer.  Iterations visit a stable order, oldest first by
 * (created_at, id) where that is cheap, and must not be interleaved with a publish. */

#ifndef SALLYPORT_CONTROLLER_MODEL_MODEL_H
#define SALLYPORT_CONTROLLER_MODEL_MODEL_H 1

#include "sallyport/object.h"
#include "sallyport/store.h"

struct sp_model;

struct sp_model *sp_model_new(void); /* Empty; NULL: no memory. */
void sp_model_free(struct sp_model *);

/* Loading: takes over each object's reference.  sp_model_load_done() takes the counters and checks that the whole is
 * consistent (every id that is named exists, zones are unique on a bridge, rule sets agree with the groups that servers have,
 * counters are ahead of every number in use).  Return 0, -ENOMEM, or SP_E_DAMAGED with one line in 'why' ('why_size' bytes). */
int sp_model_load(struct sp_model *, struct sp_object, char *why, size_t why_size) SP_MUST_USE;
int sp_model_load_done(struct sp_model *, const struct sp_counters *, char *why, size_t why_size) SP_MUST_USE;

const struct sp_counters *sp_model_counters(const struct sp_model *);

/* By key; NULL = no such object. */
const struct sp_region *sp_model_region(const struct sp_model *, const char *name);
const struct sp_group *sp_model_group(const struct sp_model *, const struct sp_uuid *);
const struct sp_server *sp_model_server(const struct sp_model *, const struct sp_uuid *);
const struct sp_port *sp_model_port(const struct sp_model *, const struct sp_uuid *);
const struct sp_bridge *sp_model_bridge(const struct sp_model *, uint64_t dpid); /* Adopted bridges only. */
const struct sp_rule_set *sp_model_rule_set(const struct sp_model *, uint32_t number);

bool sp_model_group_is_default(const struct sp_model *, const struct sp_group *);

/* Iterations.  Each calls 'visit' for every object that fits until it returns nonzero, and returns that (or 0).
 * A NULL region means every region. */
typedef int sp_visit_region(void *aux, const struct sp_region *);
typedef int sp_visit_group(void *aux, const struct sp_group *);
typedef int sp_visit_server(void *aux, const struct sp_server *);
typedef int sp_visit_port(void *aux, const struct sp_port *, const struct sp_server *);
typedef int sp_visit_bridge(void *aux, const struct sp_bridge *);
typedef int sp_visit_rule_set(void *aux, const struct sp_rule_set *);
typedef int sp_visit_address(void *aux, const struct sp_cidr *ip, uint32_t set);

int sp_model_each_region(const struct sp_model *, sp_visit_region *, void *aux);
int sp_model_each_group(const struct sp_model *, const char *region, sp_visit_group *, void *aux);
int sp_model_each_server(const struct sp_model *, const char *region, sp_visit_server *, void *aux);
int sp_model_each_bridge(const struct sp_model *, sp_visit_bridge *, void *aux);
int sp_model_each_rule_set(const struct sp_model *, const char *region, sp_visit_rule_set *, void *aux);
/* Servers that have 'group'; groups with a rule that names 'group' as remote group (each once, itself included if so). */
int sp_model_each_member(const struct sp_model *, const struct sp_uuid *group, sp_visit_server *, void *aux);
int sp_model_each_referrer(const struct sp_model *, const struct sp_uuid *group, sp_visit_group *, void *aux);
/* Ports that name bridge 'dpid'; the port with this name there; the port that is found by this iface_id (it names no bridge).
 * The latter two are one at most, as batches see to it. */
int sp_model_each_bridge_port(const struct sp_model *, uint64_t dpid, sp_visit_port *, void *aux);
int sp_model_each_named_port(const struct sp_model *, uint64_t dpid, const char *name, sp_visit_port *, void *aux);
int sp_model_each_iface_port(const struct sp_model *, const char *iface_id, sp_visit_port *, void *aux);
/* Whether conntrack zone 'zone' is that of a port which names bridge 'dpid', or of one that is found by its interface and may
 * be on any bridge. */
bool sp_model_zone_is_used(const struct sp_model *, uint64_t dpid, uint16_t zone);
/* Whether more than one port has it, wherever they are. */
bool sp_model_zone_is_shared(const struct sp_model *, uint16_t zone);
/* Rule sets of which 'group' is a part. */
int sp_model_each_set_of_group(const struct sp_model *, const struct sp_uuid *group, sp_visit_rule_set *, void *aux);
/* All addresses of ports in 'region' whose class contains 'group', with their class: the number of the rule set of all groups
 * of all ports that have the address. */
int sp_model_each_address_of_group(const struct sp_model *, const struct sp_uuid *group, sp_visit_address *, void *aux);

/* The class of 'ip' (a single address) in 'region'; 0 = no port with a group has it. */
uint32_t sp_model_class(const struct sp_model *, const char *region, const struct sp_cidr *ip);
/* The admission of 'rule' in 'set', or NULL. */
const struct sp_admission *sp_rule_set_admission(const struct sp_rule_set *set, const struct sp_uuid *rule);
/* Whether 'after' (NULL: the set is gone, or another one's) gives the rule of 'before' the mark that it has there. */
bool sp_rule_set_keeps(const struct sp_rule_set *after, const struct sp_admission *before);
/* Whether 'ip' is an address of a port of a member of 'group'. */
bool sp_model_is_member_address(const struct sp_model *, const struct sp_uuid *group, const struct sp_cidr *ip);

size_t sp_model_count_servers(const struct sp_model *, const char *region);
size_t sp_model_count_groups(const struct sp_model *, const char *region);
size_t sp_model_count_members(const struct sp_model *, const struct sp_uuid *group);

/* The rules of 'groups' (ids, 'n' of them; one that is not there has none) in order of precedence among equals: by time of
 * creation, then id.  The caller frees '*ret_rules'.  Returns 0 or -ENOMEM. */
struct sp_ruling {
    const struct sp_rule *rule;
    const struct sp_group *group; /* Which has it. */
};
int sp_model_rulings(const struct sp_model *, const struct sp_uuid *groups, size_t n, struct sp_ruling **ret_rules,
                     size_t *ret_n) SP_MUST_USE;

/* The rules of rule set 'set' in order of precedence among equals (created_at, id), with slots, marks and the classes of
 * remote groups, as flows/compile.h wants them.  '*ret_rules' and everything it points to is one allocation that the
 * caller frees with free().  Returns 0 or -ENOMEM. */
struct sp_rule_facts;
int sp_model_rule_facts(const struct sp_model *, const struct sp_rule_set *set, struct sp_rule_facts **ret_rules,
                        size_t *ret_n) SP_MUST_USE;

#endif
