/* A rig for tests of the engine: a loop, an engine with a store in memory, and switches that connect to it over a unix socket,
 * all in one thread.  The store does as it is told: it holds a commit back, or fails it. */

#ifndef SALLYPORT_TESTS_SUPPORT_RIG_H
#define SALLYPORT_TESTS_SUPPORT_RIG_H 1

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <uv.h>

#include "controller/engine.h"
#include "tests/support/fake_switch.h"

struct rig;

/* How often rules have hit, as the store has it. */
#define RIG_COUNTS_MAX 256
struct rig_counts {
    int64_t since;
    struct sp_flow_row flows[RIG_COUNTS_MAX];
    size_t n_flows;
    struct sp_rule_row rules[RIG_COUNTS_MAX];
    size_t n_rules;
};

struct rig_store {
    struct sp_store base;
    struct rig *rig;
    bool hold;          /* A commit waits until rig_store_go(). */
    bool fail_counts;
    struct rig_counts counts;
    size_t n_counted;   /* Times that counts were written. */
    const struct sp_count_rows *count_rows;
    void (*count_done)(void *aux, int error, const char *why);
    void *count_aux;
    uv_timer_t count_timer;
    int fail;           /* Negative errno: commits fail with it. */
    unsigned n_commits; /* That were asked for. */
    bool closed;
    const struct sp_change *changes; /* Of the commit under way. */
    size_t n_changes;
    struct sp_counters next;
    void (*done)(void *aux, int error, const char *why);
    void *aux;
    uv_timer_t timer;
    struct sp_object *objects; /* What is durable; each referenced. */
    size_t n_objects;
    struct sp_counters counters;
};

struct rig_peer {
    struct rig *rig;
    struct fake_switch fs;
    uv_pipe_t pipe;
    uv_connect_t connect;
    bool open;           /* The pipe's handle is. */
    bool closed_by_peer; /* The controller closed the connection. */
    char buffer[1 << 16];
};

#define RIG_PEERS_MAX 8

struct rig {
    uv_loop_t loop;
    struct rig_store store;
    struct sp_engine *engine;
    size_t parts_max;    /* Of engine->work in a turn; 0: as many as there is time for.  For engines that begin from now on. */
    bool stopped;
    char dir[64];
    char method[96]; /* punix: */
    struct rig_peer peers[RIG_PEERS_MAX];
    size_t n_peers;
};

/* One request and what came of it. */
struct rig_request {
    int (*operation)(struct rig_request *, struct sp_batch *);
    unsigned wait_ms;
    /* For the operation, as far as it needs them. */
    const char *region;
    const char *name;
    struct sp_uuid group;
    struct sp_uuid server;
    struct sp_uuid rule;
    struct sp_rule_input rules[8];
    size_t n_rules;
    struct sp_uuid groups[8];
    size_t n_groups;
    struct sp_port_input ports[4];
    size_t n_ports;
    uint64_t dpid;
    const char *uplinks[4];
    size_t n_uplinks;
    int is_default;
    /* Results. */
    bool staged;
    struct sp_uuid id;
    struct sp_problems problems;
    struct sp_outcome outcome;
    char why[128];
    bool done;
};

/* Operations. */
int rig_region(struct rig_request *, struct sp_batch *);
int rig_create_group(struct rig_request *, struct sp_batch *);
int rig_patch_group(struct rig_request *, struct sp_batch *);
int rig_delete_group(struct rig_request *, struct sp_batch *);
int rig_replace_rules(struct rig_request *, struct sp_batch *);
int rig_create_server(struct rig_request *, struct sp_batch *); /* n_groups 0: the default group. */
int rig_set_groups(struct rig_request *, struct sp_batch *);
int rig_set_ports(struct rig_request *, struct sp_batch *);
int rig_delete_server(struct rig_request *, struct sp_batch *);
int rig_put_bridge(struct rig_request *, struct sp_batch *);
int rig_delete_bridge(struct rig_request *, struct sp_batch *);

void rig_open(struct rig *);
/* One that begins with what the store of 'other' has.  It has no switches yet. */
void rig_open_like(struct rig *, const struct rig *other);
void rig_close(struct rig *);
/* The engine ends and a new one begins with what the store has. */
void rig_restart(struct rig *);
void rig_start(struct rig *);
void rig_stop(struct rig *);

/* Queues 'request' and returns what sp_engine_write() says; 'request' must live until 'done'. */
int rig_post(struct rig *, struct rig_request *);
/* Queues it and runs the loop until it is done.  Returns the outcome's error. */
int rig_do(struct rig *, struct rig_request *);
/* Likewise; fails the test if it is refused or not applied within 5 s. */
void rig_apply(struct rig *, struct rig_request *);
void rig_request_clear(struct rig_request *);

/* The store goes on with a commit that it holds. */
void rig_store_go(struct rig *);

/* A new switch with ports p1 to p'n_ports', connected from the next turn of the loop on. */
struct rig_peer *rig_peer(struct rig *, uint64_t dpid, size_t n_ports);
void rig_peer_connect(struct rig_peer *);
void rig_peer_disconnect(struct rig_peer *);
void rig_peer_flush(struct rig_peer *); /* Sends what the switch has to say. */

/* Whether bridge 'dpid' is connected and nothing that concerns it is pending; false too if it is not known. */
bool rig_in_force(struct rig *, uint64_t dpid);
/* The status of 'dpid', with 'last_error' copied to 'error' ("" if none).  Fails the test if there is none. */
struct sp_bridge_status rig_status(struct rig *, uint64_t dpid, char error[300]);
/* Fails the test if the engine's units are not what a whole compilation gives. */
void rig_check(struct rig *);

#define RIG_DEADLINE_MS 10000
bool rig_turn(struct rig *, uint64_t begin); /* Runs the loop once; false when the deadline is over. */
/* Runs the loop until EXPR holds; fails the test after the deadline. */
#define RIG_UNTIL(RIG, EXPR) \
    do { \
        uint64_t begin_ = uv_hrtime(); \
        while (!(EXPR)) { \
            if (!rig_turn(RIG, begin_)) { \
                fail_msg("not within %d ms: %s", RIG_DEADLINE_MS, #EXPR); \
            } \
        } \
    } while (0)
/* Runs it for so many milliseconds of its own time, in which nothing need happen: a stream whose turn is over reads again in the
 * next one only (io/stream.c), however often the loop goes round before. */
void rig_turns(struct rig *, unsigned n);

/* A scene that many tests begin with: region SV2 and one bridge. */
#define RIG_DPID 0x1111u
int rig_setup(void **state); /* Fixture: '*state' is the rig. */
int rig_teardown(void **state);
/* A group of 'n' inbound tcp ports from 'first' on. */
struct sp_uuid rig_make_group(struct rig *, const char *name, int first, size_t n);
/* Server 'last' with port p'last' and address 10.0.0.'last'; 'group' NULL: the default group. */
struct sp_uuid rig_make_server(struct rig *, uint8_t last, const struct sp_uuid *group);
const struct sp_port *rig_port_of(struct rig *, const struct sp_uuid *server);
/* A request that leaves 'group' one rule, inbound tcp 'port'. */
struct rig_request rig_rules_request(const struct sp_uuid *group, int port);
struct sp_engine_counters rig_counters_of(struct rig *);
/* As if it were time for the next dump, or to try again what was refused. */
void rig_check_now(struct rig *);
void rig_retry_now(struct rig *);

#endif
