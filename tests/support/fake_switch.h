/* A switch for tests, as bytes in and bytes out: it speaks OpenFlow 1.4 and 1.5 with libopenvswitch's own encoders, keeps a
 * flow table, and treats bundles as ovs-vswitchd 3.1 does: a message with a mistake of its own is refused when it is added
 * and then left out; a full table is found at commit and rolls all back.  A flow that takes another one's place goes on from its
 * counters, and one that is deleted tells them if it was asked to.  It can be told to refuse and to fall silent. */

#ifndef SALLYPORT_TESTS_SUPPORT_FAKE_SWITCH_H
#define SALLYPORT_TESTS_SUPPORT_FAKE_SWITCH_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fake_zones;
struct ofpbuf;

struct fake_port {
    uint16_t no;
    char name[16];
};

/* A meter with one band that drops. */
struct fake_meter {
    uint32_t id;
    uint32_t rate;
    uint32_t burst;
};

#define FAKE_PORTS_MAX 64
#define FAKE_METERS_MAX 256
#define FAKE_ZONES_MAX 64

struct fake_switch {
    /* Set by the test before the first byte, or whenever it likes. */
    uint64_t dpid;
    char name[32];
    uint32_t versions; /* Bitmap of what HELLO offers. */
    struct fake_port ports[FAKE_PORTS_MAX];
    size_t n_ports;
    size_t table_limit;    /* Flows that fit. */
    int mute_type;         /* Messages of this enum ofptype are taken and not answered; -1 = none. */
    uint64_t refuse_cookie; /* Additions with this cookie in the bits of 'refuse_mask' are refused; mask 0 = none. */
    uint64_t refuse_mask;
    bool refuse_open;      /* A bundle is not opened. */
    bool refuse_flush;
    bool forget_replies;   /* Everything is done and nothing answered. */
    bool refuse_monitor;
    bool refuse_meters;    /* As a switch whose datapath has none: the list is empty, and each that is added refused. */
    bool hold_dumps;       /* It looks at no request for flows, nor at anything behind one, but waits: fake_switch_go_on(). */
    bool tell_changes;     /* What is done behind the controller's back is told to it, if it has asked. */

    /* Read by the test. */
    uint8_t version;
    size_t n_flow_mods;    /* Modifications carried out. */
    size_t n_commits;
    size_t n_discards;
    size_t n_dumps;
    bool monitored;        /* Changes are asked for. */
    struct fake_meter meters[FAKE_METERS_MAX]; /* The test may change them, too. */
    size_t n_meters;
    size_t n_meter_mods;   /* Carried out. */
    uint16_t controller_id; /* Of this connection. */
    size_t n_echo_replies;
    uint16_t flushed[FAKE_ZONES_MAX]; /* Zones: number i in place i % FAKE_ZONES_MAX. */
    size_t n_flushed;
    bool broken;           /* It got a message that it could not read. */

    struct fake_zones *zones;   /* Of its conntrack: fake_zones.h. */
    struct fake_entry *entries; /* Its own. */
    size_t n_entries;
    size_t entries_capacity;
    struct ofpbuf **bundle;
    size_t n_bundle;
    size_t bundle_capacity;
    bool bundle_open;
    uint32_t bundle_id;
    uint8_t *in;
    size_t in_size;
    uint8_t *out;
    size_t out_size;
    size_t out_capacity;
};

/* A switch with ports 1 "p1" to 'n_ports', which offers 1.4 and 1.5.  It sends its HELLO at once. */
void fake_switch_init(struct fake_switch *, uint64_t dpid, size_t n_ports);
void fake_switch_clear(struct fake_switch *);
/* Forgets the connection, keeps the flows, and says HELLO anew. */
void fake_switch_reconnect(struct fake_switch *);
void fake_switch_receive(struct fake_switch *, const void *data, size_t size);
/* Goes on with what 'hold_dumps' has held up, and holds up nothing any more. */
static inline void
fake_switch_go_on(struct fake_switch *fs)
{
    fs->hold_dumps = false;
    fake_switch_receive(fs, "", 0);
}
/* Takes up to 'size' bytes of output. */
size_t fake_switch_output(struct fake_switch *, void *data, size_t size);
/* Sends 'msg', which it takes. */
void fake_switch_send(struct fake_switch *, struct ofpbuf *msg);

/* Reports that port 'no' with 'name' was added, or deleted. */
void fake_switch_port_status(struct fake_switch *, uint16_t no, const char *name, bool deleted);
/* Adds or removes a flow behind the controller's back, in the syntax of ovs-ofctl. */
void fake_switch_add_flow(struct fake_switch *, const char *flow);
void fake_switch_delete_flow(struct fake_switch *, const char *flow);
/* Removes every flow with 'cookie' in the bits of 'mask' behind the controller's back; returns their number. */
size_t fake_switch_forget(struct fake_switch *, uint64_t cookie, uint64_t mask);
/* A packet that was denied, as the registers tell. */
struct fake_denied {
    uint32_t set, mark, phase, zone, out;
    uint16_t in_port;
    uint8_t table;
    const void *packet;
    size_t size;
};
/* Tells the controller of it, if it listens. */
void fake_switch_deny(struct fake_switch *, const struct fake_denied *);
/* Every flow with 'cookie' in 'table' has passed so many more 'packets' and 'bytes'; returns their number. */
size_t fake_switch_hit(struct fake_switch *, uint64_t cookie, uint8_t table, uint64_t packets, uint64_t bytes);
/* How many flows have 'cookie' in the bits of 'mask'. */
size_t fake_switch_count(const struct fake_switch *, uint64_t cookie, uint64_t mask);
/* Whether both have the same flows: tables, priorities, matches, cookies and actions.  If not, says which differs in 'why'. */
bool fake_switch_equal(const struct fake_switch *, const struct fake_switch *, char *why, size_t why_size);

#endif
