#include "controller/store/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controller/obs/log.h"

/* The file's one line, of always the same size; the last number is made of the others. */
#define FORMAT "sallyport seal 1 revision %016" PRIx64 " checksum %016" PRIx64 " %016" PRIx64 "\n"
#define SIZE (sizeof "sallyport seal 1 revision 0123456789abcdef checksum 0123456789abcdef 0123456789abcdef\n" - 1)

#define REVISION_AT (sizeof "sallyport seal 1 revision " - 1)
#define CHECKSUM_AT (sizeof "sallyport seal 1 revision 0123456789abcdef checksum " - 1)

static void
format(const struct sp_seal *seal, char line[SIZE + 1])
{
    snprintf(line, SIZE + 1, FORMAT, seal->revision, seal->checksum, ~(seal->revision * 31 + seal->checksum));
}

/* Opens the file with 'flags'. */
static int
open_beside(const char *path, int flags)
{
    char *name;

    if (asprintf(&name, "%s" SP_SEAL_SUFFIX, path) < 0) {
        return -ENOMEM;
    }

    int fd = open(name, flags | O_CLOEXEC, 0600), r = fd < 0 ? -errno : fd;

    free(name);
    return r;
}

int
sp_seal_read(const char *path, struct sp_seal *ret, bool *ret_has)
{
    char found[SIZE + 1] = "", again[SIZE + 1];
    struct sp_seal seal = {0};
    int fd = open_beside(path, O_RDONLY);

    *ret_has = false;
    if (fd < 0) {
        return fd == -ENOENT ? 0 : fd;
    }

    ssize_t size = read(fd, found, SIZE);
    int r = size < 0 ? -errno : 0;

    close(fd);
    if (size == SIZE) {
        seal.revision = strtoull(found + REVISION_AT, NULL, 16);
        seal.checksum = strtoull(found + CHECKSUM_AT, NULL, 16);
        format(&seal, again);
        *ret_has = !strcmp(found, again);
    }
    if (size > 0 && !*ret_has) {
        sp_log(SP_LOG_WARNING, "store", "%s" SP_SEAL_SUFFIX " is damaged, and proves nothing until the next change", path);
    }
    *ret = seal;
    return r;
}

int
sp_seal_open(const char *path)
{
    return open_beside(path, O_WRONLY | O_CREAT);
}

int
sp_seal_write(int fd, const struct sp_seal *seal)
{
    char line[SIZE + 1];

    format(seal, line);

    ssize_t size = pwrite(fd, line, SIZE, 0);

    return size == SIZE ? 0 : size < 0 ? -errno : -EIO;
}
