/* JSON in and out: the only door to yajl.
 *
 * Reading gives a tree of values.  Beyond yajl's checks it refuses: more than SP_JSON_DEPTH_MAX levels, a key twice in one
 * object, invalid UTF-8 (overlong forms and surrogates too, raw or escaped), a NUL in a string.  Numbers are kept as 64-bit
 * integers when they are integers in the text ("1.0" and "1e2" are not) and fit, else as the nearest finite real: the grammar
 * has no bounds, so it is for a field's own check to refuse them. Writing appends to a growing buffer; a failed step makes
 * sp_json_write_done() fail, so callers check once.
 *
 * Source: RFC 8259. */

#ifndef SALLYPORT_CONTROLLER_JSON_JSON_H
#define SALLYPORT_CONTROLLER_JSON_JSON_H 1

#include "sallyport/value.h"

#define SP_JSON_DEPTH_MAX 16

enum sp_json_type { SP_JSON_NULL, SP_JSON_BOOL, SP_JSON_INTEGER, SP_JSON_REAL, SP_JSON_STRING, SP_JSON_ARRAY, SP_JSON_OBJECT };

struct sp_json {
    enum sp_json_type type;
    bool boolean;
    int64_t integer;
    double real;
    char *string;           /* NUL-terminated UTF-8. */
    struct sp_json *items;  /* Of an array or object: 'n' of them. */
    char **keys;            /* Of an object: 'n', in the order of the text. */
    size_t n;
};

/* Parses 'size' bytes as one JSON value.  Returns 0 and the value in '*ret' (the caller frees it), SP_E_SYNTAX with one line in
 * 'why' (where and what), or -ENOMEM. */
int sp_json_parse(const char *text, size_t size, struct sp_json **ret, char *why, size_t why_size) SP_MUST_USE;
/* The same, but SP_E_SYNTAX for a text with more than 'values_max' values, arrays and objects among them. */
int sp_json_parse_bounded(const char *text, size_t size, size_t values_max, struct sp_json **ret, char *why,
                          size_t why_size) SP_MUST_USE;
void sp_json_free(struct sp_json *); /* NULL is fine. */
/* The member 'key' of an object, or NULL. */
const struct sp_json *sp_json_get(const struct sp_json *object, const char *key);
const char *sp_json_type_name(enum sp_json_type); /* "an integer", for messages. */

struct sp_json_write;
struct sp_json_write *sp_json_write_new(bool pretty); /* NULL: no memory; all functions below take NULL and do nothing. */
void sp_json_write_free(struct sp_json_write *);
void sp_json_object_open(struct sp_json_write *);
void sp_json_object_close(struct sp_json_write *);
void sp_json_array_open(struct sp_json_write *);
void sp_json_array_close(struct sp_json_write *);
void sp_json_key(struct sp_json_write *, const char *key);
void sp_json_string(struct sp_json_write *, const char *string); /* NULL writes null. */
void sp_json_text(struct sp_json_write *, const char *key, const char *string); /* A member: both of them. */
/* A member whose text is for people only and may be cut off in the middle of a character, or quote somebody: what of it is no
 * UTF-8 is written as U+FFFD, so that one odd text does not take the whole answer away. */
void sp_json_message(struct sp_json_write *, const char *key, const char *string); /* NULL writes null. */
void sp_json_integer(struct sp_json_write *, int64_t);
void sp_json_bool(struct sp_json_write *, bool);
void sp_json_null(struct sp_json_write *);
void sp_json_value(struct sp_json_write *, const struct sp_json *); /* A whole tree. */
void sp_json_raw(struct sp_json_write *, const char *text); /* A whole value as JSON text that is known to be right. */
/* The text, NUL-terminated, borrowed until the next call, with its length.  Returns 0, or -ENOMEM (also for NULL) or SP_E_INVALID
 * (a string that is not UTF-8, steps that make no one whole value) if some step failed. */
int sp_json_write_done(struct sp_json_write *, const char **ret_text, size_t *ret_size) SP_MUST_USE;

#endif
