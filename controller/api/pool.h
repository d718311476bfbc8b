/* Memory that ends with its request: allocated piece by piece, freed at once. */

#ifndef SALLYPORT_CONTROLLER_API_POOL_H
#define SALLYPORT_CONTROLLER_API_POOL_H 1

#include "sallyport/value.h"

struct sp_pool_block;

/* Zero-initialised memory is an empty pool. */
struct sp_pool {
    struct sp_pool_block *blocks;
};

/* 'n' zeroed members of 'size' bytes each, aligned for any type, that live until sp_pool_clear().  NULL: no memory, or the
 * product does not fit.  'n' may be 0; the result is not NULL then. */
void *sp_pool_alloc(struct sp_pool *, size_t n, size_t size);
/* A copy of 'size' bytes of 'text' with a NUL behind them.  NULL: no memory. */
char *sp_pool_text(struct sp_pool *, const char *text, size_t size);
void sp_pool_clear(struct sp_pool *);

#endif
