/* One SQLite database and its statements: the only door to SQLite.
 *
 * The database is opened for one process alone, checked, and refused without a change where it is not what it should be.
 * Errors are as everywhere (value.h): a negative errno, or SP_E_DAMAGED where stored bytes are wrong.  The text of the last
 * failure stays with the database.  A database and its statements are used by one thread at a time.
 *
 * Sources: sqlite.org, "Write-Ahead Logging", "PRAGMA Statements", "Defense Against The Dark Arts", "Database File Format". */

#ifndef SALLYPORT_CONTROLLER_STORE_DATABASE_H
#define SALLYPORT_CONTROLLER_STORE_DATABASE_H 1

#include "sallyport/value.h"

struct sp_database;
struct sp_statement;

/* What makes a database one of ours. */
struct sp_database_schema {
    uint32_t application_id;
    const char *const *migrations; /* SQL that leads from version i to i + 1. */
    size_t n_migrations;           /* So the current version too. */
};

/* Opens 'path', or creates it with mode 0600 (and its folder, not its folder's folder, with mode 0750), locks it, brings it
 * to the current version of 'schema' and checks it whole.  Returns 0; -EBUSY: another process has it; SP_E_DAMAGED: no
 * database, another program's, or damaged; SP_E_NEWER; or a negative errno; with one line in 'why'.  A database that was
 * there is then as it was. */
int sp_database_open(const char *path, const struct sp_database_schema *schema, struct sp_database **ret, char *why,
                     size_t why_size) SP_MUST_USE;
void sp_database_close(struct sp_database *); /* With its statements.  NULL is fine. */

/* Closes one that is refused: not even its log of changes is worked into it. */
void sp_database_abandon(struct sp_database *);

/* One line about the last failure; borrowed until the next call that fails. */
const char *sp_database_why(const struct sp_database *);

/* Transactions.  After a failure anywhere between, sp_database_rollback() ends it in every case. */
int sp_database_begin(struct sp_database *) SP_MUST_USE;
int sp_database_commit(struct sp_database *) SP_MUST_USE;
void sp_database_rollback(struct sp_database *);

/* A commit whose last step fails (fsync() for one) may have left all of the transaction in the log, and a crash would make it
 * count after all.  This puts a transaction without effect in its place.  Returns 0, or an error: it is to be tried again. */
int sp_database_overwrite(struct sp_database *) SP_MUST_USE;

/* Prepares 'sql'; the database owns the statement.  Returns 0 or a negative errno. */
int sp_database_prepare(struct sp_database *, const char *sql, struct sp_statement **ret) SP_MUST_USE;
void sp_statement_free(struct sp_statement *);

/* Give the parameters in order, copied.  A failure shows in the run that follows. */
void sp_statement_give_integer(struct sp_statement *, int64_t);
void sp_statement_give_text(struct sp_statement *, const char *); /* NULL gives NULL. */

/* Runs the statement for its effect and makes it ready for new parameters.  'n_rows' is how many rows it must change, or -1 for
 * any number: another count is -EIO, as the database is not what the caller thinks it is. */
int sp_statement_run(struct sp_statement *, int n_rows) SP_MUST_USE;

/* Goes to the next row of a query.  Returns 0 with '*ret_row' (false: there is none; the statement is ready again), or an
 * error. */
int sp_statement_next(struct sp_statement *, bool *ret_row) SP_MUST_USE;

/* Columns of the current row.  Text is borrowed until the next step; NULL stands for NULL. */
int64_t sp_statement_integer(const struct sp_statement *, int column); /* NULL reads as 0. */
const char *sp_statement_text(const struct sp_statement *, int column);
/* Whether a text column is NUL-free valid UTF-8 (or NULL). */
bool sp_statement_is_text_valid(const struct sp_statement *, int column);

#endif
