#include "controller/http/target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sallyport/utf8.h"

static int parse_query(char *query, struct sp_http_target *, const char **reterr_reason);
static int decode(char *text, bool is_query, const char **reterr_reason);
static int digit_value(char);

int
sp_http_target_parse(const char *raw, struct sp_http_target *ret, const char **reterr_reason)
{
    static const char scheme[] = "http://";

    *ret = (struct sp_http_target) {.text = NULL};
    for (const char *c = raw; *c; c++) {
        if ((unsigned char) *c <= ' ' || *c == 0x7f || *c == '#') {
            *reterr_reason = "the request target has a character that must be percent-encoded";
            return SP_E_SYNTAX;
        }
    }
    if (!strncasecmp(raw, scheme, strlen(scheme))) {
        raw += strlen(scheme);
        raw += strcspn(raw, "/?");
    } else if (raw[0] != '/' && strcmp(raw, "*")) {
        *reterr_reason = "the request target is not a path";
        return SP_E_SYNTAX;
    }

    bool has_path = raw[0] && raw[0] != '?';
    size_t size = strlen(raw);

    ret->text = malloc(size + 2);
    if (!ret->text) {
        return -ENOMEM;
    }
    ret->text[0] = '/'; /* RFC 9112 section 3.2.1: an empty path is "/". */
    memcpy(ret->text + !has_path, raw, size + 1);
    ret->path = ret->text;

    char *query = strchr(ret->text, '?');

    if (query) {
        *query++ = '\0';
    }

    int r = decode(ret->path, false, reterr_reason);

    return r || !query ? r : parse_query(query, ret, reterr_reason);
}

void
sp_http_target_clear(struct sp_http_target *target)
{
    free(target->text);
    target->text = NULL;
    target->n_parameters = 0;
}

static int
parse_query(char *query, struct sp_http_target *target, const char **reterr_reason)
{
    char *pair;

    while ((pair = strsep(&query, "&"))) {
        if (!*pair) {
            continue;
        }
        if (target->n_parameters == SP_HTTP_PARAMETERS_MAX) {
            *reterr_reason = "too many query parameters";
            return SP_E_SYNTAX;
        }

        struct sp_http_parameter *p = &target->parameters[target->n_parameters++];

        p->key = strsep(&pair, "=");
        p->value = pair ? pair : p->key + strlen(p->key);
        if (decode(p->key, true, reterr_reason) || decode(p->value, true, reterr_reason)) {
            return SP_E_SYNTAX;
        }
    }
    return 0;
}

/* Decodes 'text' in place. */
static int
decode(char *text, bool is_query, const char **reterr_reason)
{
    char *out = text;

    for (const char *in = text; *in; in++) {
        if (*in == '%') {
            int high = digit_value(in[1]);
            int low = high < 0 ? -1 : digit_value(in[2]);

            if (low < 0) {
                *reterr_reason = "a percent sign without two hexadecimal digits";
                return SP_E_SYNTAX;
            }
            *out = (char) (high << 4 | low);
            if (!*out || (*out == '/' && !is_query)) {
                *reterr_reason = *out ? "an encoded slash in the path" : "an encoded NUL";
                return SP_E_SYNTAX;
            }
            out++;
            in += 2;
        } else {
            *out++ = (char) (*in == '+' && is_query ? ' ' : *in);
        }
    }
    *out = '\0';
    if (!sp_utf8_is_valid(text, (size_t) (out - text))) {
        *reterr_reason = "the request target is not UTF-8";
        return SP_E_SYNTAX;
    }
    return 0;
}

static int
digit_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}
