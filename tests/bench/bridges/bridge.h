/* One bridge as bytes in and bytes out: OpenFlow 1.4 with a flow table, bundles, barriers, statistics, echo and errors, but no
 * packets.  As ovs-vswitchd does, it looks at each message of a bundle as it comes; a bad one draws an error and is left
 * out. */

#ifndef SALLYPORT_TESTS_BENCH_BRIDGES_BRIDGE_H
#define SALLYPORT_TESTS_BENCH_BRIDGES_BRIDGE_H 1

#include "tests/bench/bridges/table.h"

struct bytes {
    uint8_t *data;
    size_t size, capacity;
};

struct counts {
    uint64_t adds, deletes, bundles, dumps, errors, bytes_in;
    uint64_t packets; /* That each flow which is to tell them at its end has passed. */
};

struct bridge {
    uint64_t dpid;
    unsigned n_ports;      /* Numbers 1 to this, "p1" and so on; then one more, "up". */
    struct counts *counts; /* Shared by all bridges. */
    struct table table;
    struct bytes in;
    struct bytes out;
    struct bytes bundle;   /* Flow-mods, one after the other. */
    struct bytes meters;   /* Their configurations, likewise. */
    bool bundle_open;
    uint32_t bundle_id_be;
    bool committed;        /* Since the owner has last set it to false. */
};

/* Memory for 'size' more bytes at the end of 'b'. */
uint8_t *bytes_put(struct bytes *b, size_t size);
void bytes_drop(struct bytes *b);

/* A new connection: forgets the old one and says HELLO. */
void bridge_connect(struct bridge *);
/* Takes 'size' bytes; answers are appended to 'out'.  Returns whether it can go on: a malformed stream ends the connection. */
bool bridge_receive(struct bridge *, const void *data, size_t size);

#endif
