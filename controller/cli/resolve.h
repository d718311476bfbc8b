/* Names: a group or server named on the command line, by its id or by a name that only one has. */

#ifndef SALLYPORT_CONTROLLER_CLI_RESOLVE_H
#define SALLYPORT_CONTROLLER_CLI_RESOLVE_H 1

#include "controller/cli/cli.h"

/* An object that was found. */
struct sp_found {
    char id[SP_UUID_TEXT_SIZE];
    char *name;   /* Owned; the id again if only that is known. */
    char *region; /* Owned; NULL if only the id is known. */
};
void sp_found_clear(struct sp_found *);

/* Finds the security group or server that 'text' names; 'region' (NULL: any) narrows names.  An id is taken as it is,
 * unless 'region' or 'name' of it are wanted ('whole'): the controller is asked then.  Returns SP_EXIT_DONE with '*ret'
 * (zeroed before) filled; else the exit status, with the reason or the candidates on stderr. */
int sp_resolve_group(struct sp_cli *, const char *text, const char *region, bool whole, struct sp_found *ret) SP_MUST_USE;
int sp_resolve_server(struct sp_cli *, const char *text, const char *region, bool whole, struct sp_found *ret) SP_MUST_USE;

#endif
