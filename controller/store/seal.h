/* The seal of a database: a small file beside it that says what it held when a change was last answered.
 *
 * SQLite finds out by itself that a page is no page, but not that a number in it is another one; and it takes a log of changes
 * that is damaged for one whose end was never written, which silently takes answered changes back.  The seal tells both.
 *
 * It is written after each transaction and never waited for: what survives a kill of the process is there, and after a loss
 * of power it may be older than the database, but never newer.  Older, it proves nothing and stops nothing. */

#ifndef SALLYPORT_CONTROLLER_STORE_SEAL_H
#define SALLYPORT_CONTROLLER_STORE_SEAL_H 1

#include "sallyport/value.h"

#define SP_SEAL_SUFFIX "-seal"

struct sp_seal {
    uint64_t revision;
    uint64_t checksum; /* As checksum.h has it, with the counters. */
};

/* Reads the seal of the database at 'path'.  '*ret_has': whether there is one; one that is damaged is none, and logged.  Returns
 * 0 or a negative errno. */
int sp_seal_read(const char *path, struct sp_seal *ret, bool *ret_has) SP_MUST_USE;
/* Opens it to be written, or makes an empty one.  Returns a descriptor for the caller to close, or a negative errno. */
int sp_seal_open(const char *path) SP_MUST_USE;
/* Returns 0 or a negative errno. */
int sp_seal_write(int fd, const struct sp_seal *) SP_MUST_USE;

#endif
