/* Objects for the tests of stores: made at random, compared member by member, kept in a book of what a store should hold. */

#ifndef SALLYPORT_TESTS_SUPPORT_STORED_H
#define SALLYPORT_TESTS_SUPPORT_STORED_H 1

#include "sallyport/store.h"
#include "tests/support/random.h"

#define SP_BOOK_MAX 4096
#define SP_BOOK_CHANGES_MAX 1024

struct uv_loop_s;

/* What a store should hold, and the changes that lead there.  Zero-initialise. */
struct sp_book {
    struct sp_object objects[SP_BOOK_MAX]; /* With a reference each. */
    size_t n;
    struct sp_counters counters;
    struct sp_change changes[SP_BOOK_CHANGES_MAX]; /* Since sp_book_settle(); the objects before are kept until then. */
    size_t n_changes;
};

void sp_book_clear(struct sp_book *);
/* A receiver (sp_store_receive) whose 'aux' is a book. */
int sp_book_receive(void *book, struct sp_object);
/* Notes a change down: 'after' (one reference, taken over; NULL: deleted) in the place of 'before' (NULL: created). */
void sp_book_change(struct sp_book *, enum sp_kind, const void *before, const void *after);
/* The changes are done, or forgotten and undone if not 'kept'. */
void sp_book_settle(struct sp_book *, bool kept);
/* Fails the test unless both hold the same. */
void sp_book_assert_equal(const struct sp_book *, const struct sp_book *);

/* A first world: two regions, three groups with rules of every form, two rule sets, two servers, a bridge. */
void sp_book_begin(struct sp_book *, struct sp_random *);
/* Changes at random a few of the objects, each once. */
void sp_book_wander(struct sp_book *, struct sp_random *);
/* An object of 'kind', the 'index'th of it in the book; NULL = none. */
const void *sp_book_find(const struct sp_book *, enum sp_kind, size_t index);

/* Commits the changes and settles.  Returns what 'done' was told; 'why' likewise. */
int sp_book_commit(struct sp_book *, struct sp_store *, struct uv_loop_s *, char *why, size_t why_size);

struct sp_uuid sp_random_uuid(struct sp_random *);
struct sp_rule *sp_random_rule(struct sp_random *, const struct sp_uuid *remote_group); /* NULL: none to name. */

#endif
