/* Tables for people: columns aligned by what a terminal shows, not by bytes.
 *
 * Text from the controller was written by others and may go to a terminal: control characters are printed as \xNN. */

#ifndef SALLYPORT_CONTROLLER_CLI_COLUMNS_H
#define SALLYPORT_CONTROLLER_CLI_COLUMNS_H 1

#include <stdio.h>

#include "sallyport/value.h"

#define SP_COLUMNS_MAX 12

struct sp_columns;

/* A table with the 'n' (1 to SP_COLUMNS_MAX) 'titles', borrowed until it is freed.  NULL: no memory; the functions below
 * take NULL. */
struct sp_columns *sp_columns_new(const char *const titles[], size_t n);
void sp_columns_free(struct sp_columns *);
/* Fills the next cell, row by row. */
void sp_columns_add(struct sp_columns *, const char *format, ...) SP_PRINTF(2, 3);
/* Prints titles and rows, each row behind 'indent' spaces.  Returns 0, or -ENOMEM if some step has failed; nothing is
 * printed then. */
int sp_columns_print(const struct sp_columns *, unsigned indent, FILE *) SP_MUST_USE;

/* Prints 'text' (NULL prints nothing) with its control characters shown as \xNN. */
void sp_text_print(FILE *, const char *text);
/* Number of terminal columns that sp_text_print() fills. */
size_t sp_text_width(const char *text);

#endif
