/* Parts of answers that several commands print for people. */

#ifndef SALLYPORT_CONTROLLER_CLI_SHOW_H
#define SALLYPORT_CONTROLLER_CLI_SHOW_H 1

#include "controller/cli/cli.h"

struct sp_columns;
struct sp_json;
struct sp_json_write;

/* Prints the rules of 'group' (an answer's) as a table behind 'indent' spaces, with the names of the groups they name,
 * which the controller is asked for.  Returns the exit status. */
int sp_show_rules(struct sp_cli *, const struct sp_json *group, unsigned indent) SP_MUST_USE;

/* Prints the list "bridges" of 'answer' likewise. */
int sp_show_bridges(const struct sp_json *answer, unsigned indent) SP_MUST_USE;

/* Prints the list "objects" of 'change' (a change of the history, or what one would do): what differs in each. */
int sp_show_objects(struct sp_cli *, const struct sp_json *change) SP_MUST_USE;

/* Prints what a change would do, as the answer to --dry-run says. */
int sp_show_effect(struct sp_cli *, const struct sp_json *answer) SP_MUST_USE;
/* Of that, prints whom it concerns: servers, bridges, and the live connections that it cuts. */
int sp_show_concerned(const struct sp_json *effect) SP_MUST_USE;

/* Adds of a live connection: direction, protocol, both ends, state; five cells. */
void sp_show_add_connection(struct sp_columns *, const struct sp_json *connection);

/* The ports of 'rule', or its ICMP type and code, "80-443" or "all"; and its protocol, which may be a number. */
#define SP_SHOW_SIZE 48
const char *sp_show_what(const struct sp_json *rule, char out[SP_SHOW_SIZE]);
const char *sp_show_protocol(const struct sp_json *rule, char out[SP_SHOW_SIZE]);

/* Prints "  label:  value" with the label padded to one column for all. */
void sp_show_line(const char *label, const char *format, ...) SP_PRINTF(2, 3);

/* Writes the member 'key' if 'text' is not NULL. */
void sp_write_text(struct sp_json_write *, const char *key, const char *text);

#endif
