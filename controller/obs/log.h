/* Logging: one line an event on stderr, with the time in UTC.
 *
 *     text  2026-01-02T03:04:05.678901Z INFO main: ready
 *     kv    time=2026-01-02T03:04:05.678901Z level=info area=main message="ready"
 *     json  {"time":"2026-01-02T03:04:05.678901Z","level":"info","area":"main","message":"ready"}
 *
 * Level and form are the only state of the process that is not owned by an object. */

#ifndef SALLYPORT_CONTROLLER_OBS_LOG_H
#define SALLYPORT_CONTROLLER_OBS_LOG_H 1

#include "sallyport/value.h"

enum sp_level { SP_LOG_ERROR, SP_LOG_WARNING, SP_LOG_INFO, SP_LOG_DEBUG };

/* "error", "warning", "info", "debug".  Returns 0 or SP_E_SYNTAX. */
int sp_log_level_parse(const char *text, enum sp_level *ret) SP_MUST_USE;
void sp_log_set_level(enum sp_level);

enum sp_log_form { SP_LOG_TEXT, SP_LOG_KV, SP_LOG_JSON };

/* "text", "kv", "json".  Returns 0 or SP_E_SYNTAX. */
int sp_log_form_parse(const char *text, enum sp_log_form *ret) SP_MUST_USE;
void sp_log_set_form(enum sp_log_form);
/* 'area' is one word.  Control characters and bytes that are not UTF-8 in the text come out as '?', so that no peer writes a line
 * of its own. */
void sp_log(enum sp_level, const char *area, const char *format, ...) SP_PRINTF(3, 4);

#endif
