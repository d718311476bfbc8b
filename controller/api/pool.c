#include "controller/api/pool.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct sp_pool_block {
    struct sp_pool_block *next;
    max_align_t data[];
};

void *
sp_pool_alloc(struct sp_pool *pool, size_t n, size_t size)
{
    size_t bytes, total;
    if (__builtin_mul_overflow(n, size, &bytes) || __builtin_add_overflow(bytes, sizeof(struct sp_pool_block), &total)) {
        return NULL;
    }
    struct sp_pool_block *block = calloc(1, total);
    if (!block) {
        return NULL;
    }
    block->next = pool->blocks;
    pool->blocks = block;
    return block->data;
}

char *
sp_pool_text(struct sp_pool *pool, const char *text, size_t size)
{
    char *copy = size < SIZE_MAX ? sp_pool_alloc(pool, size + 1, 1) : NULL;
    if (copy) {
        memcpy(copy, text, size);
    }
    return copy;
}

void
sp_pool_clear(struct sp_pool *pool)
{
    while (pool->blocks) {
        struct sp_pool_block *block = pool->blocks;
        pool->blocks = block->next;
        free(block);
    }
}
