/* A model and a batch for tests: short ways to make objects, and a second, naive reading of everything to compare with. */

#ifndef SALLYPORT_TESTS_SUPPORT_WORLD_H
#define SALLYPORT_TESTS_SUPPORT_WORLD_H 1

#include "controller/model/batch.h"

struct world {
    struct sp_model *model;
    struct sp_batch *batch;       /* Between world_begin() and world_end(). */
    size_t mark;
    struct sp_problems problems;  /* Of the last request. */
    struct sp_change *changes;    /* Of the last published batch, each object referenced. */
    size_t n_changes;
    int64_t now_us;
};

void world_open(struct world *);
void world_close(struct world *);

/* Begins a batch of one request.  world_end() accepts it if 'r' (the operation's result) is 0 and publishes, or rolls it back;
 * it returns 'r' and checks the whole model either way. */
void world_begin(struct world *);
int world_end(struct world *, int r);

/* One request each; they fail the test if it is refused. */
void world_region(struct world *, const char *name);
struct sp_uuid world_group(struct world *, const char *region, const char *name, const struct sp_rule_input *rules, size_t n);
struct sp_uuid world_server(struct world *, const char *region, const char *name, const struct sp_uuid *groups, size_t n_groups,
                            const struct sp_port_input *ports, size_t n_ports); /* 'groups' NULL: the default group. */

/* "inbound tcp 80", "outbound any", "deny inbound udp 1-100 from 10.0.0.0/8", "inbound any group" (then 'group'), "p10 ..." */
struct sp_rule_input world_rule(enum sp_direction, int protocol, int port_min, int port_max);
struct sp_rule_input world_rule_group(enum sp_direction, int protocol, int port, const struct sp_uuid *group);
/* Port 'name' of bridge 'dpid' with MAC 02:00:00:00:00:'last' and 'ip', which lives as long as '*storage'. */
struct sp_port_input world_port(uint64_t dpid, const char *name, uint8_t last, const char *ip, struct sp_cidr *storage);
/* Whether the last request named 'field' as wrong; prints the problems if not. */
bool world_has_problem(const struct world *, const char *field);

/* The net change of the object in the last published batch, or NULL. */
const struct sp_change *world_change(const struct world *, enum sp_kind, const struct sp_uuid *id);

/* Compares every reading of the model with plain loops over all objects, and loads the objects into a fresh model, which
 * checks their consistency.  Fails the test with a text. */
void world_check(const struct sp_model *);

#endif
