/* The main() of a fuzz target without a fuzzer: runs it once on each file, of the folders or files that are named, in order. */

#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

static size_t n_files;

static void run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    size_t size = 0, capacity = 1 << 16, n;
    uint8_t *data = malloc(capacity), *exact;

    FUZZ_CHECK(file && data);
    while ((n = fread(data + size, 1, capacity - size, file)) > 0) {
        size += n;
        if (size == capacity) {
            capacity *= 2;
            uint8_t *grown = realloc(data, capacity);
            FUZZ_CHECK(grown);
            data = grown;
        }
    }
    FUZZ_CHECK(!ferror(file));
    fclose(file);
    exact = malloc(size); /* So that a sanitizer sees a read behind its end. */
    FUZZ_CHECK(exact || !size);
    memcpy(exact, data, size);
    free(data);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    n_files++;
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void run(const char *path)
{
    struct dirent **entries;
    int n = scandir(path, &entries, is_visible, alphasort);

    if (n < 0) {
        FUZZ_CHECK(errno == ENOTDIR);
        run_file(path);
        return;
    }
    for (int i = 0; i < n; i++) {
        char name[4096];

        snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
        run_file(name);
        free(entries[i]);
    }
    free(entries);
}

int main(int argc, char *argv[])
{
    for (int i = 1; i < argc; i++) {
        run(argv[i]);
    }
    printf("%zu inputs\n", n_files);
    FUZZ_CHECK(n_files);
    return 0;
}
