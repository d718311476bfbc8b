/* Logging: one line an event on stderr, "LEVEL area: text", with the time in UTC.
 *
 * The level is the only state of the process that is not owned by an object. */

#ifndef SALLYPORT_CONTROLLER_OBS_LOG_H
#define SALLYPORT_CONTROLLER_OBS_LOG_H 1

#include "sallyport/value.h"

enum sp_level { SP_LOG_ERROR, SP_LOG_WARNING, SP_LOG_INFO, SP_LOG_DEBUG };

/* "error", "warning", "info", "debug".  Returns 0 or SP_E_SYNTAX. */
int sp_log_level_parse(const char *text, enum sp_level *ret) SP_MUST_USE;
void sp_log_set_level(enum sp_level);
/* Control characters and bytes that are not UTF-8 in the text come out as '?', so that no peer writes a line of its own. */
void sp_log(enum sp_level, const char *area, const char *format, ...) SP_PRINTF(3, 4);

#endif
