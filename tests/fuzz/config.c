/* The daemon's options: lines that begin with "-" up to the first that does not are arguments, the rest is the file. */

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "controller/config.h"
#include "sallyport/utf8.h"
#include "tests/fuzz/fuzz.h"

#define ARGUMENTS_MAX 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *owned[ARGUMENTS_MAX], *argv[ARGUMENTS_MAX + 4] = {(char *) "sallyportd"}, path[40], why[1024] = "";
    struct sp_config config;
    enum sp_config_wish wish;
    const char *text = (const char *) data, *end = text + size;
    int n_owned = 0, fd = memfd_create("config", MFD_CLOEXEC), r;

    FUZZ_CHECK(fd >= 0);
    while (text < end && *text == '-' && n_owned < ARGUMENTS_MAX) {
        const char *line_end = memchr(text, '\n', (size_t) (end - text));

        line_end = line_end ? line_end : end;
        owned[n_owned] = strndup(text, (size_t) (line_end - text));
        argv[n_owned + 1] = owned[n_owned]; /* Getopt moves the others. */
        FUZZ_CHECK(owned[n_owned++]);
        text = line_end + (line_end < end);
    }
    FUZZ_CHECK(write(fd, text, (size_t) (end - text)) == end - text);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    argv[n_owned + 1] = (char *) "--config";
    argv[n_owned + 2] = path;
    r = sp_config_read(n_owned + 3, argv, &config, &wish, why, sizeof why);
    if (r) {
        FUZZ_CHECK(r == SP_E_INVALID && why[0] && !strpbrk(why, "\r\n\x1b") && sp_utf8_is_valid(why, strlen(why)));
    } else if (wish == SP_CONFIG_RUN || wish == SP_CONFIG_CHECK) {
        FUZZ_CHECK(config.db_path && *config.db_path && config.openflow.n && config.http.n);
        FUZZ_CHECK(!config.private_key == !config.certificate && !config.private_key == !config.ca_cert);
        FUZZ_CHECK(!config.http_private_key == !config.http_certificate);
        sp_config_clear(&config);
    }
    close(fd);
    while (n_owned) {
        free(owned[--n_owned]);
    }
    return 0;
}
