/* Where a control socket is: at a path, or in a directory under a name with the process id of ovs-vswitchd. */

#ifndef SALLYPORT_CONTROLLER_UNIXCTL_FIND_H
#define SALLYPORT_CONTROLLER_UNIXCTL_FIND_H 1

#include "sallyport/value.h"

#define SP_UNIXCTL_PATH_SIZE 108 /* Of a unix socket's path, with the final NUL. */

/* Finds the socket of 'path': itself, or, of a directory, the one that ovs-vswitchd.pid there is about, else the youngest
 * ovs-vswitchd.*.ctl.  Looks at files, so it is for a thread that may wait.  Returns 0 with it in 'ret', or SP_E_MISSING with one
 * line in 'why'.  Source: ovs-appctl(8), "--target". */
int sp_unixctl_find(const char *path, char ret[SP_UNIXCTL_PATH_SIZE], char *why, size_t why_size) SP_MUST_USE;

#endif
