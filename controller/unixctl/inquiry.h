/* One question to a control socket of ovs-vswitchd, without a socket: which connections does a port have?  Bytes in, bytes out.
 *
 * The way, a request at a time, each after the answer to the one before:
 *
 *   ofproto/trace BRIDGE in_port=N,dl_src=MAC
 *     Is this the switch?  Names of bridges and numbers of ports are alike on many, and sockets are easily mixed up.  But
 *     whoever has the port has our flow for what it sends, by its number and MAC, which takes it to its conntrack zone and has
 *     that in its cookie.  Without this flow nothing more is asked: so what is read is of the zone in which the port is tracked.
 *   dpctl/dump-dps
 *     Which datapath?  If there are several, dpif/show tells that of the bridge.
 *   dpctl/ct-stats-show DP zone=Z
 *     How many?  For the next request ovs-vswitchd's main thread prints them all, however few are wanted, so it is left out for
 *     more than SP_INQUIRY_ZONE_MAX.
 *   dpctl/dump-conntrack -s DP zone=Z
 *     What are they?
 *
 * Of an answer SP_INQUIRY_TEXT_MAX bytes are looked at.  Connections beyond those, and beyond the number that is wanted, are
 * left out, which is told.  Lines that are no connection of the zone are left out and counted.
 *
 * Sources: ovs-vswitchd(8), ovs-dpctl(8); JSON-RPC 1.0, as ovs-appctl(8) speaks it. */

#ifndef SALLYPORT_CONTROLLER_UNIXCTL_INQUIRY_H
#define SALLYPORT_CONTROLLER_UNIXCTL_INQUIRY_H 1

#include "controller/json/scan.h"
#include "controller/unixctl/conntrack.h"

#define SP_INQUIRY_TEXT_MAX (1u << 20)
#define SP_INQUIRY_ZONE_MAX 100000u
#define SP_INQUIRY_BRIDGE_SIZE 64

/* Whose connections. */
struct sp_inquiry_port {
    char bridge[SP_INQUIRY_BRIDGE_SIZE]; /* Its name. */
    uint16_t ofport;
    struct sp_mac mac;
    uint16_t zone;   /* 1 to 65535. */
    uint64_t cookie; /* Of the flow that takes what it sends. */
};

enum sp_inquiry_state {
    SP_INQUIRY_ASKING,
    SP_INQUIRY_DONE,     /* The connections are there. */
    SP_INQUIRY_TOO_MANY, /* 'n_in_zone' tells how many there are. */
    SP_INQUIRY_STRANGER, /* It is not the switch of the port. */
    SP_INQUIRY_FAILED,   /* It answers what nobody understands, or refuses: 'why'. */
};

struct sp_inquiry {
    struct sp_inquiry_port port;
    size_t max;             /* Connections wanted. */
    unsigned step;          /* The request under way. */
    enum sp_inquiry_state state;
    bool is_proved;         /* It is the switch of the port. */
    struct sp_scan scan;
    char datapath[64];
    char out[512];          /* The request, as far as it has not been taken. */
    size_t out_size;
    uint64_t n_in_zone;
    struct sp_conntrack *connections;
    size_t n;
    bool more;              /* There are others. */
    size_t n_strange;       /* Lines that are no connection of the zone. */
    char why[160];
};

/* Begins with the first request in the output; 'max' is 1 or more.  Returns 0, SP_E_RANGE for a bridge whose name no request can
 * carry, or -ENOMEM; to be cleared in any case. */
int sp_inquiry_init(struct sp_inquiry *, const struct sp_inquiry_port *, size_t max) SP_MUST_USE;
void sp_inquiry_clear(struct sp_inquiry *);

/* Moves up to 'size' bytes of output to 'out'; returns their number. */
size_t sp_inquiry_output(struct sp_inquiry *, char *out, size_t size);
/* Takes what the switch sent; 'state' and the output say how it goes on.  Nothing is taken in any state but
 * SP_INQUIRY_ASKING. */
void sp_inquiry_receive(struct sp_inquiry *, const char *data, size_t size);

#endif
