#include "controller/io/tls_digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

bool
sp_digest_sha256(const void *data, size_t size, uint8_t out[SP_DIGEST_SIZE])
{
    unsigned n = 0;
    if (EVP_Digest(data, size, out, &n, EVP_sha256(), NULL) == 1 && n == SP_DIGEST_SIZE) {
        return true;
    }
    memset(out, 0, SP_DIGEST_SIZE);
    return false;
}

bool
sp_digest_equal(const uint8_t a[SP_DIGEST_SIZE], const uint8_t b[SP_DIGEST_SIZE])
{
    return !CRYPTO_memcmp(a, b, SP_DIGEST_SIZE);
}
