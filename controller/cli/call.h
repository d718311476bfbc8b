/* Calls and what is said about them: a request of a command, its errors on stderr, its outcome in one line. */

#ifndef SALLYPORT_CONTROLLER_CLI_CALL_H
#define SALLYPORT_CONTROLLER_CLI_CALL_H 1

#include "controller/cli/cli.h"
#include "controller/cli/client.h"
#include "controller/json/json.h"

/* Sends a request and takes 'path' over (NULL means no memory).  'body' is borrowed, NULL for none; one that failed is no
 * memory. A change (any method but GET and any path but explain's) carries --wait.  Returns SP_EXIT_DONE with '*reply'
 * filled (the caller clears it); else the exit status, everything said on stderr and nothing to clear. */
int sp_call(struct sp_cli *, const char *method, char *path, struct sp_json_write *body,
            struct sp_reply *reply) SP_MUST_USE;
/* GET 'path', which is taken over. */
int sp_call_get(struct sp_cli *, char *path, struct sp_reply *reply) SP_MUST_USE;

/* Ends a command that changed something: prints what was done (the format's text, without a final dot) and whether it is in
 * force on the switches, or with --json the answer.  Returns the exit status. */
int sp_call_report(struct sp_cli *, const struct sp_reply *, const char *format, ...) SP_PRINTF(3, 4) SP_MUST_USE;
/* Prints the answer as it came, for --json.  Returns SP_EXIT_DONE. */
int sp_call_print(const struct sp_reply *);
/* Says that memory is short.  Returns SP_EXIT_REFUSED. */
int sp_call_no_memory(void);

/* Members of an answer: what is absent or of another type is "", 0, false, or no items. */
const char *sp_answer_text(const struct sp_json *object, const char *key);
int64_t sp_answer_number(const struct sp_json *object, const char *key);
bool sp_answer_bool(const struct sp_json *object, const char *key);
size_t sp_answer_count(const struct sp_json *object, const char *key);
const struct sp_json *sp_answer_object(const struct sp_json *object, const char *key); /* NULL: none. */
const struct sp_json *sp_answer_item(const struct sp_json *object, const char *key, size_t index);
/* The "name" of the item of the list 'key' of 'answer' whose "id" is 'id'; 'id' itself if there is none. */
const char *sp_answer_name(const struct sp_json *answer, const char *key, const char *id);
/* The strings of the list 'key' with ", " between them; the caller frees.  NULL: no memory. */
char *sp_answer_join(const struct sp_json *object, const char *key);

#endif
