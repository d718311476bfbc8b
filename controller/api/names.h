/* What people call the objects of one kind in one region: by the name where that is clear, else by the id.
 *
 * A key is the name of an object that no other one of the table has and that does not look like an id; else the id's text. */

#ifndef SALLYPORT_CONTROLLER_API_NAMES_H
#define SALLYPORT_CONTROLLER_API_NAMES_H 1

#include "controller/api/pool.h"

struct sp_json;
struct sp_name;

/* Zero-initialised memory is an empty table.  Names are borrowed. */
struct sp_names {
    const struct sp_name *by_name; /* And among equals by id. */
    const struct sp_name *by_id;
    size_t n;
};

/* One object of a table to be. */
struct sp_name {
    const char *name;
    struct sp_uuid id;
};

/* Makes a table of the 'n' objects of 'list', which it takes over: like what it allocates it lives in 'pool'.  Returns 0 or
 * -ENOMEM. */
int sp_names_init(struct sp_names *, struct sp_pool *, struct sp_name *list, size_t n) SP_MUST_USE;

/* The first of those that are called 'name', with their number in '*ret_n'; NULL: nobody. */
const struct sp_name *sp_names_called(const struct sp_names *, const char *name, size_t *ret_n);
bool sp_names_have(const struct sp_names *, const struct sp_uuid *id);

/* Whether the key of 'name', which the table has, is its id. */
bool sp_names_need_id(const struct sp_names *, const char *name);
/* The key of 'id', written to 'out' if it is an id; one that the table does not have is its own key. */
const char *sp_names_key(const struct sp_names *, const struct sp_uuid *id, char out[SP_UUID_TEXT_SIZE]);

/* The security group that 'value' is the key of.  Returns 0 or SP_E_INVALID with what is wrong, as the end of a sentence, in
 * 'wrong'. */
#define SP_NAMES_WRONG_SIZE 160
int sp_names_read(const struct sp_names *, const struct sp_json *value, struct sp_uuid *ret,
                  char wrong[SP_NAMES_WRONG_SIZE]) SP_MUST_USE;

#endif
