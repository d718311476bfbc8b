#include "controller/console/console.h"

#include <string.h>

#include "controller/api/route.h"

/* Only what comes from here may run, look or be spoken to; nobody may frame it. */
static const char policy[] = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
                             "form-action 'none'; frame-ancestors 'none'; base-uri 'none'";

/* Whether If-None-Match, a list of entity tags compared weakly, has 'etag'.  Source: RFC 9110 section 13.1.2. */
static bool
is_known(const struct sp_call *call, const char *etag)
{
    const char *list = sp_http_header(call->request, "If-None-Match");
    return list && (!strcmp(list, "*") || strstr(list, etag));
}

void
sp_read_console(struct sp_call *call)
{
    const char *path = sp_http_path(call->request);
    for (size_t i = 0; i < sp_console_n_files; i++) {
        const struct sp_console_file *file = &sp_console_files[i];
        if (strcmp(file->path, path)) {
            continue;
        }
        const struct sp_http_field fields[] = {
            {"ETag", file->etag},
            {"Cache-Control", "no-cache"}, /* Kept, and asked for again: a new daemon is seen at once. */
            {"Content-Security-Policy", policy},
            {"X-Content-Type-Options", "nosniff"},
            {"Referrer-Policy", "no-referrer"},
            {"Cross-Origin-Resource-Policy", "same-origin"},
        };
        size_t n = sizeof fields / sizeof *fields;
        sp_call_file(call, is_known(call, file->etag) ? 304 : 200, file->type, file->data, file->size, fields, n);
        return;
    }
    sp_call_fail(call, SP_E_MISSING, "There is no such file.");
}
