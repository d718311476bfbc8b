/* A growing array on the owner's storage; items are plain values. */

#ifndef SALLYPORT_CONTROLLER_MODEL_VECTOR_H
#define SALLYPORT_CONTROLLER_MODEL_VECTOR_H 1

#include "sallyport/value.h"

struct sp_vector {
    void *items;
    size_t n;
    size_t capacity;
};

/* Makes room for 'n' items of 'item_size' bytes in all; never shrinks.  Returns 0 or -ENOMEM. */
int sp_vector_reserve(struct sp_vector *, size_t n, size_t item_size) SP_MUST_USE;
/* Appends a zeroed item and returns it, or NULL: no memory.  Pointers to other items are dead then. */
void *sp_vector_add(struct sp_vector *, size_t item_size);
void sp_vector_clear(struct sp_vector *); /* Frees the items. */

/* Sorts by 'compare' (as of qsort(3)) and drops all but the first of equal items. */
void sp_vector_sort_unique(struct sp_vector *, size_t item_size, int (*compare)(const void *, const void *));

#endif
