/* Objects as rows, and rows as objects. */

#ifndef SALLYPORT_CONTROLLER_STORE_ROWS_H
#define SALLYPORT_CONTROLLER_STORE_ROWS_H 1

#include "controller/store/database.h"
#include "sallyport/store.h"

/* The statements that write; they belong to the database, which must outlive them. */
struct sp_rows;

/* Prepares the statements.  Returns 0 or a negative errno; the reason is sp_database_why()'s. */
int sp_rows_new(struct sp_database *, struct sp_rows **ret) SP_MUST_USE;
void sp_rows_free(struct sp_rows *); /* NULL is fine. */

/* Writes 'changes' and 'counters' inside the transaction that is open; only rows that differ are touched.  Reads the
 * objects, and neither takes nor drops a reference, so any thread may do it.  Returns 0 or an error, with the reason in
 * sp_database_why(); the caller rolls back then. */
int sp_rows_write(struct sp_rows *, const struct sp_change *changes, size_t n_changes, const struct sp_counters *) SP_MUST_USE;

/* Reads everything: regions, bridges, groups, rule sets, servers, in this order, to 'receive'.  Returns 0; SP_E_DAMAGED with one
 * line in 'why': a value is not of its form; a negative errno, likewise; or what 'receive' returned ('why' is then untouched). */
int sp_rows_load(struct sp_database *, sp_store_receive *, void *aux, struct sp_counters *ret_counters, char *why,
                 size_t why_size) SP_MUST_USE;

/* The same for the history: the statements that write it, and records to rows. */
struct sp_pages;
int sp_pages_new(struct sp_database *, struct sp_pages **ret) SP_MUST_USE;
void sp_pages_free(struct sp_pages *); /* NULL is fine. */
/* As sp_rows_write(). */
int sp_pages_write(struct sp_pages *, const struct sp_journal *) SP_MUST_USE;

/* Reads the history, oldest first.  Returns as sp_store_ops.load_history. */
int sp_pages_load(struct sp_database *, sp_store_receive_record *, void *aux, char *why, size_t why_size) SP_MUST_USE;

/* Reads a bridge's datapath id from a text column.  Returns false if it is none. */
bool sp_rows_read_dpid(const struct sp_statement *, int column, uint64_t *ret);

/* The statements that write counts; otherwise as struct sp_rows. */
struct sp_count_statements;
int sp_count_statements_new(struct sp_database *, struct sp_count_statements **ret) SP_MUST_USE;
void sp_count_statements_free(struct sp_count_statements *); /* NULL is fine. */
int sp_count_statements_write(struct sp_count_statements *, const struct sp_count_rows *) SP_MUST_USE;

/* Reads all counts to 'receiver', and since when rules are counted; otherwise as sp_rows_load(). */
int sp_count_rows_load(struct sp_database *, const struct sp_count_receiver *receiver, void *aux, int64_t *ret_since, char *why,
                       size_t why_size) SP_MUST_USE;

#endif
