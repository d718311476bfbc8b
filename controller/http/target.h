/* Request targets: the path and the query of a request line, strictly decoded. */

#ifndef SALLYPORT_CONTROLLER_HTTP_TARGET_H
#define SALLYPORT_CONTROLLER_HTTP_TARGET_H 1

#include "sallyport/value.h"

#define SP_HTTP_PARAMETERS_MAX 64

struct sp_http_parameter {
    char *key;   /* Both point into the target's 'text'. */
    char *value;
};

struct sp_http_target {
    char *text; /* Owned; holds all that the others point to. */
    char *path;
    struct sp_http_parameter parameters[SP_HTTP_PARAMETERS_MAX];
    size_t n_parameters;
};

/* Decodes the request target 'raw': origin form, absolute form ("http://..." becomes its path) or "*".  In the query '+' is a
 * blank.  Returns 0; SP_E_SYNTAX with a static sentence in '*reterr_reason': another form, a control character or a blank or
 * '#' as such, '%' without two hexadecimal digits, a decoded NUL, invalid UTF-8, an encoded slash in the path, too many
 * parameters; or -ENOMEM.  sp_http_target_clear() frees it in every case.  Sources: RFC 9112 section 3.2, RFC 3986 section
 * 2.1, WHATWG URL section 5.1. */
int sp_http_target_parse(const char *raw, struct sp_http_target *ret, const char **reterr_reason) SP_MUST_USE;
void sp_http_target_clear(struct sp_http_target *);

#endif
