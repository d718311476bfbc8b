/* A switch's flow tables and connection tracker as far as the pipeline uses them: flows in, packets in, outputs out.
 *
 * Flows are read from their match and action bytes as flow.h defines them, so that the compiler is judged by what its flows
 * mean.  Connection tracking is idealised: every packet that is not marked invalid belongs to a connection or opens one, by
 * addresses, protocol and for TCP and UDP ports, for ICMP the identifier; other protocols have no ports, as in OVS's
 * userspace datapath.  Nothing expires. */

#ifndef SALLYPORT_TESTS_SUPPORT_SIMULATOR_H
#define SALLYPORT_TESTS_SUPPORT_SIMULATOR_H 1

#include "sallyport/flow.h"

#define SIM_TAGS_MAX 3
#define SIM_TABLES 256

struct sim_packet {
    uint8_t fields[SP_N_FIELDS][16]; /* Network order, sp_field_size() bytes from the start; XXREGs live in their REGs. */
    uint16_t tags[SIM_TAGS_MAX];     /* TCIs without the CFI bit, outermost first. */
    unsigned n_tags;
    bool pushed[128];                /* One item that is on the stack. */
    uint16_t icmp_id;
    bool invalid;                    /* Conntrack takes it for invalid. */
    const struct sim_packet *about;  /* An ICMP error about this packet; borrowed. */
};

uint64_t sim_get(const struct sim_packet *, enum sp_field);
void sim_set(struct sim_packet *, enum sp_field, uint64_t value);

/* Whether 'flow' matches 'packet' as it is. */
bool sim_matches(const struct sp_flow *flow, const struct sim_packet *packet);

struct sim_output {
    uint16_t port;
    struct sim_packet packet;
};

struct sim;

struct sim *sim_new(void);
void sim_free(struct sim *);

/* Replaces all flows by those of 'flows'.  Fails the test if two of them have one key. */
void sim_install(struct sim *, const struct sp_flow_list *flows);
void sim_forget_connections(struct sim *);

/* Runs 'packet', whose IN_PORT is set, through the tables.  Returns the outputs, their number in '*ret_n', valid until the
 * next call.  Fails the test where a switch would refuse or give up: too deep, an action on a field that is not there. */
const struct sim_output *sim_send(struct sim *, const struct sim_packet *packet, size_t *ret_n);

#endif
