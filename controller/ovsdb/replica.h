/* What is known of one Open_vSwitch database: its bridges, ports, interfaces and controllers, kept up to date by update2, and the
 * bindings and flaws that follow from them. */

#ifndef SALLYPORT_CONTROLLER_OVSDB_REPLICA_H
#define SALLYPORT_CONTROLLER_OVSDB_REPLICA_H 1

#include "sallyport/value.h"

struct sp_json;

#define SP_REPLICA_ROWS_MAX 1000000u

struct sp_replica {
    struct sp_uuid root; /* Of the one row of table Open_vSwitch; none = not seen. */
    void *bridges;       /* Trees of tsearch(3), by the row's id. */
    void *ports;
    void *interfaces;
    void *controllers;
    void *managers;
    size_t n_rows;
};

void sp_replica_init(struct sp_replica *);
void sp_replica_clear(struct sp_replica *);

/* Carries out 'updates', the <table-updates2> of a reply or notification.  Returns 0, SP_E_SYNTAX if it is not of that form,
 * SP_E_DAMAGED if it changes a row that is not there, SP_E_FULL if there are too many rows, or -ENOMEM; the replica is of no use
 * then.  Source: ovsdb-server(7), "Update2 Notification". */
int sp_replica_update(struct sp_replica *, const struct sp_json *updates) SP_MUST_USE;

/* Fills in the datapath ids that a restarted server has forgotten from 'old', an earlier replica of the same database. */
void sp_replica_inherit(struct sp_replica *, const struct sp_replica *old);

/* An interface id with the port that has it. */
struct sp_binding {
    uint64_t dpid;
    char *iface_id; /* Owned. */
    char *name;     /* Owned. */
};
struct sp_bindings {
    struct sp_binding *items; /* In the order of sp_binding_compare(), each once. */
    size_t n;
    size_t capacity;
};

void sp_bindings_clear(struct sp_bindings *);
int sp_binding_compare(const struct sp_binding *, const struct sp_binding *);
/* Makes '*ret' of all interfaces that have an id and stand on a bridge with a datapath id.  Returns 0 or -ENOMEM. */
int sp_replica_bindings(const struct sp_replica *, struct sp_bindings *ret) SP_MUST_USE;

/* A bridge with a setting that makes its flows worth less than they say. */
struct sp_flaw {
    uint64_t dpid;
    const char *text; /* One of a few constants: equal texts are the same pointer. */
};
struct sp_flaws {
    struct sp_flaw *items; /* By datapath id, each once. */
    size_t n;
};

void sp_flaws_clear(struct sp_flaws *);
/* Makes '*ret' of all bridges with a datapath id that have one.  Returns 0 or -ENOMEM. */
int sp_replica_flaws(const struct sp_replica *, struct sp_flaws *ret) SP_MUST_USE;

#endif
