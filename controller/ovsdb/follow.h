/* The client's side of one OVSDB connection, without a socket: bytes in, bytes out, a replica that follows the server's.
 *
 * It asks for what replica.h needs, answers echo, refuses other requests, and ends with a reason on whatever is not OVSDB. */

#ifndef SALLYPORT_CONTROLLER_OVSDB_FOLLOW_H
#define SALLYPORT_CONTROLLER_OVSDB_FOLLOW_H 1

#include "controller/ovsdb/replica.h"
#include "controller/json/scan.h"

#define SP_FOLLOW_OUTPUT_MAX (1u << 20)

struct sp_follow {
    struct sp_scan scan;
    struct sp_replica replica;
    bool following; /* The first reply is here: the replica is whole. */
    bool changed;   /* Since sp_follow_take_change(). */
    char *out;      /* Pending output. */
    size_t out_size;
    size_t out_capacity;
    char why[160];  /* Once sp_follow_receive() has failed. */
};

/* Begins with the request for the tables in the output.  Returns 0 or -ENOMEM; cleared either way by sp_follow_clear(). */
int sp_follow_init(struct sp_follow *) SP_MUST_USE;
void sp_follow_clear(struct sp_follow *);
/* Takes what the server sent.  Returns 0, or something else with the reason in 'why': the connection is of no use any more. */
int sp_follow_receive(struct sp_follow *, const void *data, size_t size) SP_MUST_USE;
/* Moves up to 'size' bytes of output to 'out'; returns their number. */
size_t sp_follow_output(struct sp_follow *, void *out, size_t size);
/* Asks for a sign of life.  Returns 0, SP_E_FULL or -ENOMEM. */
int sp_follow_echo(struct sp_follow *) SP_MUST_USE;
/* True once after each change of a whole replica. */
bool sp_follow_take_change(struct sp_follow *);

#endif
