#include "controller/model/vector.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int sp_vector_reserve(struct sp_vector *vector, size_t n, size_t item_size)
{
    if (n <= vector->capacity) {
        return 0;
    }
    if (n > SIZE_MAX / 2 / item_size) {
        return -ENOMEM;
    }
    size_t capacity = vector->capacity ? vector->capacity : 8;
    while (capacity < n) {
        capacity *= 2;
    }
    void *items = reallocarray(vector->items, capacity, item_size);
    if (!items) {
        return -ENOMEM;
    }
    vector->items = items;
    vector->capacity = capacity;
    return 0;
}

void *sp_vector_add(struct sp_vector *vector, size_t item_size)
{
    if (sp_vector_reserve(vector, vector->n + 1, item_size)) {
        return NULL;
    }
    return memset((char *) vector->items + vector->n++ * item_size, 0, item_size);
}

void sp_vector_clear(struct sp_vector *vector)
{
    free(vector->items);
    *vector = (struct sp_vector) { 0 };
}

void sp_vector_sort_unique(struct sp_vector *vector, size_t item_size, int (*compare)(const void *, const void *))
{
    char *items = vector->items;
    size_t n = 0;
    if (!vector->n) {
        return;
    }
    qsort(items, vector->n, item_size, compare);
    for (size_t i = 1; i < vector->n; i++) {
        if (compare(items + n * item_size, items + i * item_size)) {
            n++;
            memmove(items + n * item_size, items + i * item_size, item_size);
        }
    }
    vector->n = n + 1;
}
