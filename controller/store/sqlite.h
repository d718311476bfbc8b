/* The embedded store: SQLite in WAL mode with synchronous=FULL, one connection, one thread.
 *
 * Source: sqlite.org, "Write-Ahead Logging", "PRAGMA synchronous". */

#ifndef SALLYPORT_CONTROLLER_STORE_SQLITE_H
#define SALLYPORT_CONTROLLER_STORE_SQLITE_H 1

#include "sallyport/store.h"

struct uv_loop_s;

/* Opens (or creates, mode 0600, parent directory must exist or be creatable) the database at 'path', migrates it to the
 * current schema and checks it (in every respect up to 32 MiB, beyond that without what only the indices and the references
 * would show); then gives every object to 'receive' and the counters in '*ret_counters'.  Blocks: for the
 * start of the daemon only.  A second process on the same file is refused (-EBUSY).
 * Returns 0; SP_E_DAMAGED: not a database, or its content contradicts itself; SP_E_NEWER: schema of a newer
 * release; a negative errno; or what 'receive' returned.  On failure 'why' has one line that names the path and the cause, and
 * the file is as it was. */
int sp_sqlite_open(struct uv_loop_s *, const char *path, sp_store_receive *, void *aux, struct sp_counters *ret_counters,
                   struct sp_store **ret, char *why, size_t why_size) SP_MUST_USE;

#endif
