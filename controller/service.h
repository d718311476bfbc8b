/* What the service manager is told, if there is one: states, and regularly that the loop still turns.  Source: sd_notify(3). */

#ifndef SALLYPORT_CONTROLLER_SERVICE_H
#define SALLYPORT_CONTROLLER_SERVICE_H 1

#include <uv.h>

#include "sallyport/value.h"

/* Sends 'state' ("READY=1") to $NOTIFY_SOCKET.  A failure is logged. */
void sp_service_notify(const char *state);
/* Makes 'timer' a handle of 'loop', which the caller closes, and sends WATCHDOG=1 from it twice in the time that $WATCHDOG_USEC
 * names, if that is meant for this process. */
void sp_service_watch(uv_loop_t *loop, uv_timer_t *timer);

#endif
