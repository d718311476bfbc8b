/* Follows databases without the daemon and prints a line for each thing told:
 *
 *     drive_ovsdb METHOD
 *
 * prints "listening PORT" for a listener on port 0, then "bound ID DPID NAME", "unbound ID DPID NAME" and "flaw DPID TEXT" (TEXT
 * is "none" at its end).  Ends on SIGTERM with status 0, after everything has been given back. */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "controller/ovsdb/ovsdb.h"

static void on_bind(void *aux, const char *iface_id, uint64_t dpid, const char *name, bool bound)
{
    printf("%s %s %016llx %s\n", bound ? "bound" : "unbound", iface_id, (unsigned long long) dpid, name);
    fflush(stdout);
}

static void on_flaw(void *aux, uint64_t dpid, const char *text)
{
    printf("flaw %016llx %s\n", (unsigned long long) dpid, text ? text : "none");
    fflush(stdout);
}

static void on_signal(uv_signal_t *handle, int number)
{
    sp_ovsdb_close(handle->data);
    uv_close((uv_handle_t *) handle, NULL);
}

int main(int argc, char **argv)
{
    static const struct sp_ovsdb_events events = {.bind = on_bind, .flaw = on_flaw};
    struct sp_ovsdb *ovsdb;
    uv_signal_t signal;
    uv_loop_t loop;
    char why[160];

    if (argc != 2 || uv_loop_init(&loop)) {
        fprintf(stderr, "usage: %s METHOD\n", argv[0]);
        return 2;
    }
    if (sp_ovsdb_open(&loop, argv[1], NULL, &events, NULL, &ovsdb, why, sizeof why)) {
        fprintf(stderr, "%s\n", why);
        return 2;
    }
    printf("listening %u\n", sp_ovsdb_port(ovsdb));
    fflush(stdout);
    uv_signal_init(&loop, &signal);
    signal.data = ovsdb;
    uv_signal_start(&signal, on_signal, SIGTERM);
    uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop) ? 1 : 0;
}
