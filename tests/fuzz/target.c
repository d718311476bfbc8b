/* Request targets: what is taken is UTF-8 without NUL, and its parameters can be told apart. */

#include <string.h>

#include "controller/http/target.h"
#include "sallyport/utf8.h"
#include "tests/fuzz/fuzz.h"

static void check_text(const char *text)
{
    FUZZ_CHECK(text && sp_utf8_is_valid(text, strlen(text)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_http_target target;
    const char *reason = NULL;
    char *raw = strndup((const char *) data, size);
    int r;

    FUZZ_CHECK(raw);
    r = sp_http_target_parse(raw, &target, &reason);
    if (r) {
        FUZZ_CHECK(r == SP_E_SYNTAX && reason);
    } else {
        check_text(target.path);
        FUZZ_CHECK(target.path[0] == '/' || !strcmp(target.path, "*"));
        FUZZ_CHECK(target.n_parameters <= SP_HTTP_PARAMETERS_MAX);
        for (size_t i = 0; i < target.n_parameters; i++) {
            check_text(target.parameters[i].key);
            check_text(target.parameters[i].value);
        }
    }
    sp_http_target_clear(&target);
    free(raw);
    return 0;
}
