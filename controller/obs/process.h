/* What the daemon takes of the machine. */

#ifndef SALLYPORT_CONTROLLER_OBS_PROCESS_H
#define SALLYPORT_CONTROLLER_OBS_PROCESS_H 1

#include "sallyport/value.h"

struct sp_process {
    uint64_t cpu_us;         /* User and system time since the start. */
    uint64_t resident_bytes;
    uint64_t open_fds;
    uint64_t max_fds;        /* The soft limit. */
};

/* Reads them for this process.  What the system does not tell is 0.  Sources: getrusage(2), getrlimit(2), proc(5). */
void sp_process_read(struct sp_process *ret);

#endif
