/* What must be true of the ports that a request gives to a server. */

#ifndef SALLYPORT_CONTROLLER_MODEL_PORT_CHECK_H
#define SALLYPORT_CONTROLLER_MODEL_PORT_CHECK_H 1

#include "controller/model/staging.h"

#define SP_PORTS_MAX 1024     /* Of a server. */
#define SP_ADDRESSES_MAX 1024 /* Of a port, and allowed address pairs likewise. */

/* Notes everything that is wrong with 'ports' (all ports that the server is to have, 'n' of them): each in itself, among
 * each other, and with those of other servers and the uplinks.  'server': its present form; NULL for a new one. */
void sp_batch_check_ports(const struct sp_batch *, const struct sp_server *server, const struct sp_port_input *ports, size_t n,
                          struct sp_problems *);

#endif
