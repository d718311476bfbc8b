/* SHA-256, of the library that does TLS. */

#ifndef SALLYPORT_CONTROLLER_IO_TLS_DIGEST_H
#define SALLYPORT_CONTROLLER_IO_TLS_DIGEST_H 1

#include "sallyport/value.h"

#define SP_DIGEST_SIZE 32

/* Returns false, with 'out' all zero, if the library cannot (no memory).  Source: FIPS 180-4. */
bool sp_digest_sha256(const void *data, size_t size, uint8_t out[SP_DIGEST_SIZE]) SP_MUST_USE;
/* In a time that does not depend on what is in them. */
bool sp_digest_equal(const uint8_t a[SP_DIGEST_SIZE], const uint8_t b[SP_DIGEST_SIZE]);

#endif
