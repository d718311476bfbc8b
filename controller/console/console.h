/* The web console's files, held in the binary.  They are plain files in static/; embed.py makes the table at build time. */

#ifndef SALLYPORT_CONTROLLER_CONSOLE_CONSOLE_H
#define SALLYPORT_CONTROLLER_CONSOLE_CONSOLE_H 1

#include "sallyport/value.h"

struct sp_console_file {
    const char *path; /* "/" or "/console/NAME". */
    const char *type; /* Content-Type. */
    const char *etag; /* With its quotation marks. */
    const char *data;
    size_t size;
};

extern const struct sp_console_file sp_console_files[];
extern const size_t sp_console_n_files;

#endif
