/* Reads from Open_vSwitch databases which port of which bridge carries which interface id, and which bridges are not set up for
 * what their flows promise.
 *
 * An orchestrator that plugs a VM writes an id of its own into Interface.external_ids:iface-id; OpenFlow does not show it.  This
 * follows one database for each connection of a method (a dialled one, or each that calls in, as after `ovs-vsctl set-manager
 * tcp:...`), and tells its owner, once for each change, that an id is now, or is no longer, the port of a name on the bridge
 * with a datapath id.
 *
 * Nor does OpenFlow show a bridge's fail_mode and in-band control.  A bridge that is not in fail_mode "secure" becomes a learning
 * switch while no controller is there; one with in-band control lets hidden flows go before those of the controller.
 *
 * The happy path: a connection is made; monitor_cond asks for five tables; the reply tells all there is, update2 what changes.
 * What goes wrong: the connection ends or its peer is silent for 15 s (tried again for ever by the transport; what was told still
 * counts, and only the difference is told when the database is back, which is known again by the id of its root row); the peer
 * sends what is not OVSDB, too long a message or too many rows (closed with a reason in the log); the same database calls in
 * twice (the newer connection is kept).
 *
 * Over TLS a database is believed only about the bridges that its certificate may be; what it tells of others is
 * left out, and said once in the log.  A database is the same only if it comes with the same certificate's name.
 *
 * Sources: RFC 7047; ovsdb-server(7), "Monitor_cond" and "Update2 Notification"; ovs-vswitchd.conf.db(5). */

#ifndef SALLYPORT_CONTROLLER_OVSDB_OVSDB_H
#define SALLYPORT_CONTROLLER_OVSDB_OVSDB_H 1

#include "sallyport/value.h"

struct uv_loop_s;
struct sp_tls;
struct sp_ovsdb;

/* 'iface_id' and 'name' (of the Interface row, not cut) are borrowed for the call.  Ends are told before beginnings. */
typedef void sp_ovsdb_bind(void *aux, const char *iface_id, uint64_t dpid, const char *name, bool bound);
/* 'text' says in one line what is wrong with the settings of bridge 'dpid', and lives as long as the program; NULL: nothing is,
 * any more. */
typedef void sp_ovsdb_flaw(void *aux, uint64_t dpid, const char *text);

struct sp_ovsdb_events {
    sp_ovsdb_bind *bind;
    sp_ovsdb_flaw *flaw;
};

/* Opens 'method' (as sp_method_open()) and follows what it connects to.  'events' (borrowed for good) are called only from the
 * loop.  Returns 0, or what sp_method_open() does with one line in 'why'. */
int sp_ovsdb_open(struct uv_loop_s *loop, const char *method, struct sp_tls *tls, const struct sp_ovsdb_events *events, void *aux,
                  struct sp_ovsdb **ret, char *why, size_t why_size) SP_MUST_USE;
/* Who may be which bridge has changed: looks at everything again. */
void sp_ovsdb_check_peers(struct sp_ovsdb *);
/* Ends it without a word to 'events', now or later; NULL is fine.  The memory goes when libuv has closed the handles. */
void sp_ovsdb_close(struct sp_ovsdb *);
/* The bound port of a listener, else 0. */
uint16_t sp_ovsdb_port(const struct sp_ovsdb *);

#endif
