/* The tables of the embedded store, and how older ones become the current ones.
 *
 * A row mirrors an object of include/sallyport/object.h; ids and addresses are text, for whoever looks with sqlite3.  Every
 * rule that SQL can state about one row or about two that name each other is stated; references are checked when a
 * transaction ends, so that the order within it does not matter. */

#ifndef SALLYPORT_CONTROLLER_STORE_SCHEMA_H
#define SALLYPORT_CONTROLLER_STORE_SCHEMA_H 1

#include "controller/store/database.h"

extern const struct sp_database_schema sp_store_schema;

#endif
