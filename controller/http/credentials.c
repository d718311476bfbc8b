#include "controller/http/credentials.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX (1u << 20)

static int
read_file(const char *path, char **ret, bool *ret_is_exposed, char *why, size_t why_size)
{
    FILE *file = fopen(path, "re");
    if (!file) {
        int error = errno;
        snprintf(why, why_size, "%s: %s", path, strerror(error));
        return -error;
    }
    struct stat status;
    *ret_is_exposed = !fstat(fileno(file), &status) && S_ISREG(status.st_mode) && status.st_mode & S_IROTH;
    setvbuf(file, NULL, _IONBF, 0); /* No copy of a key is left behind. */
    char *text = malloc(FILE_MAX + 1);
    size_t size = text ? fread(text, 1, FILE_MAX + 1, file) : 0;
    int error = !text ? ENOMEM : ferror(file) ? EIO : size > FILE_MAX ? EFBIG : 0;
    fclose(file);
    if (error) {
        snprintf(why, why_size, "%s: %s", path, strerror(error));
        free(text);
        return -error;
    }
    text[size] = '\0';
    *ret = text;
    return 0;
}

int
sp_http_credentials_load(const char *private_key_path, const char *certificate_path, struct sp_http_credentials *ret, char *why,
                         size_t why_size)
{
    struct sp_http_credentials credentials = {NULL, NULL, false};
    bool ignored;
    int r = read_file(private_key_path, &credentials.private_key, &credentials.is_exposed, why, why_size);
    r = r ? r : read_file(certificate_path, &credentials.certificate, &ignored, why, why_size);
    if (r) {
        sp_http_credentials_clear(&credentials);
        return r;
    }
    *ret = credentials;
    return 0;
}

void
sp_http_credentials_clear(struct sp_http_credentials *credentials)
{
    if (credentials->private_key) {
        explicit_bzero(credentials->private_key, strlen(credentials->private_key));
    }
    free(credentials->private_key);
    free(credentials->certificate);
    *credentials = (struct sp_http_credentials){NULL, NULL, false};
}
