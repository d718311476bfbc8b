/* Reads one JSON object field by field and notes down everything that is wrong with it, each with its JSON path.
 *
 * A function that reads a field answers true only if the field is there and right.  An absent field is no problem by itself;
 * sp_reader_require() makes it one. */

#ifndef SALLYPORT_CONTROLLER_API_READER_H
#define SALLYPORT_CONTROLLER_API_READER_H 1

#include "controller/json/json.h"
#include "controller/model/batch.h"

#define SP_READER_PATH_SIZE                                                                                                      \
    160 /* The longest path of a field: "ports[131072].allowed_address_pairs[131072].mac", and an unknown field's. */

struct sp_reader {
    const struct sp_json *object; /* NULL: the value is not an object; every field is absent. */
    const char *path;             /* Of the object: "" or "rules[3]". */
    struct sp_problems *problems;
};

/* Reading goes no further when so many problems are known: no body makes an answer, or its making, longer than this. */
#define SP_READER_PROBLEMS_MAX 1000

/* The fields that an object may have. */
struct sp_reader_fields {
    const char *const *writable; /* Ends with NULL. */
    const char *const *fixed;    /* Those that answers have and the server alone sets; ends with NULL. */
};

/* Begins with 'value' (NULL: an object without fields), which stays borrowed, as 'path' does.  Notes down a value that is no
 * object, every field that is not among 'fields', and every one that only the server sets. */
void sp_reader_open(struct sp_reader *, const struct sp_json *value, const char *path, const struct sp_reader_fields *fields,
                    struct sp_problems *);

/* "path.name", or "name" where the path is "", in 'out' (SP_READER_PATH_SIZE bytes). */
const char *sp_reader_field(const struct sp_reader *, const char *name, char *out);
void sp_reader_problem(const struct sp_reader *, const char *name, const char *format, ...) SP_PRINTF(3, 4);

const struct sp_json *sp_reader_get(const struct sp_reader *, const char *name); /* NULL = absent. */
bool sp_reader_has(const struct sp_reader *, const char *name);
bool sp_reader_is_null(const struct sp_reader *, const char *name); /* There, and null. */
/* Notes down that 'name' is missing, if the value is an object at all. */
void sp_reader_require(const struct sp_reader *, const char *name);

/* A string of 'min' to 'max' characters of Unicode without control characters; borrowed from the value. */
bool sp_reader_text(const struct sp_reader *, const char *name, size_t min, size_t max, const char **ret);
bool sp_reader_integer(const struct sp_reader *, const char *name, int64_t min, int64_t max, int64_t *ret);
bool sp_reader_bool(const struct sp_reader *, const char *name, bool *ret);
/* One of 'names' (ends with NULL): its index. */
bool sp_reader_choice(const struct sp_reader *, const char *name, const char *const *names, int *ret);
bool sp_reader_uuid(const struct sp_reader *, const char *name, struct sp_uuid *ret);
/* Of at most 'max' items; borrowed, and its items are not looked at. */
const struct sp_json *sp_reader_array(const struct sp_reader *, const char *name, size_t max);

/* What is wrong with 'text' as a name of 'min' to 'max' characters without control characters ("must have 1 to 255 characters",
 * "must not have control characters"): put in 'out' ('size' bytes).  Returns whether anything is. */
bool sp_reader_text_is_wrong(const char *text, size_t min, size_t max, char *out, size_t size);

#endif
