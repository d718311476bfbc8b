#include "controller/http/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "controller/http/http.h"
#include "sallyport/utf8.h"

#define METHOD_MAX 32

static const char *find_framing_fault(struct sp_http_request *, bool is_1_1);
static bool is_token(const char *text, size_t size);
static bool is_field_value(const char *text, size_t size);
static bool parse_length(const char *text, uint64_t *ret);

struct sp_http_request *
sp_http_request_new(const char *raw_target)
{
    struct sp_http_request *r = calloc(1, sizeof *r);

    if (!r) {
        return NULL;
    }
    r->raw_target = strdup(raw_target);
    if (!r->raw_target) {
        free(r);
        return NULL;
    }
    r->headers_tail = &r->headers;
    return r;
}

void
sp_http_request_free(struct sp_http_request *r)
{
    if (!r) {
        return;
    }
    while (r->headers) {
        struct sp_http_header_line *line = r->headers;

        r->headers = line->next;
        free(line);
    }
    sp_http_target_clear(&r->target);
    free(r->raw_target);
    free(r->method);
    free(r->body);
    free(r);
}

void
sp_http_request_add_header(struct sp_http_request *r, const char *name, size_t name_size, const char *value,
                           size_t value_size)
{
    /* A blank at the end is no part of the value (RFC 9112 section 5). */
    while (value_size && (value[value_size - 1] == ' ' || value[value_size - 1] == '\t')) {
        value_size--;
    }
    if (!is_token(name, name_size) || !is_field_value(value, value_size)) {
        r->is_wrong = true;
        return;
    }

    struct sp_http_header_line *line = malloc(sizeof *line + name_size + value_size + 2);

    if (!line) {
        r->no_memory = true;
        return;
    }
    memcpy(line->name, name, name_size);
    line->name[name_size] = '\0';
    line->value = line->name + name_size + 1;
    if (value_size) {
        memcpy(line->value, value, value_size);
    }
    line->value[value_size] = '\0';
    line->next = NULL;
    *r->headers_tail = line;
    r->headers_tail = &line->next;
}

struct sp_http_problem
sp_http_request_check(struct sp_http_request *r, const char *method, const char *version)
{
    const char *reason;

    if (r->no_memory) {
        return (struct sp_http_problem) {503, "out of memory"};
    }
    if (strlen(method) > METHOD_MAX || !is_token(method, strlen(method))) {
        return (struct sp_http_problem) {400, "the method is not a name"};
    }
    if (r->is_wrong) {
        return (struct sp_http_problem) {400, "a header line has a malformed name or a control character"};
    }
    reason = find_framing_fault(r, strcmp(version, "HTTP/1.0") != 0);
    if (reason) {
        return (struct sp_http_problem) {400, reason};
    }
    if (sp_http_header(r, "Transfer-Encoding") && !r->is_chunked) {
        return (struct sp_http_problem) {501, "the only transfer coding is chunked"};
    }

    int error = sp_http_target_parse(r->raw_target, &r->target, &reason);

    if (error > 0) {
        return (struct sp_http_problem) {400, reason};
    }
    r->method = strdup(method);
    if (error || !r->method) {
        return (struct sp_http_problem) {503, "out of memory"};
    }
    if (r->length > SP_HTTP_BODY_MAX) {
        return (struct sp_http_problem) {413, "the body is longer than 1 MiB"};
    }
    return (struct sp_http_problem) {0, NULL};
}

int
sp_http_request_append(struct sp_http_request *r, const char *data, size_t size)
{
    if (size > SP_HTTP_BODY_MAX - r->body_size) {
        return SP_E_FULL;
    }

    size_t wanted = r->body_size + size + 1;

    if (wanted > r->body_allocated) {
        size_t allocated = r->body_allocated ? r->body_allocated : 1024;

        while (allocated < wanted) {
            allocated *= 2;
        }

        char *grown = realloc(r->body, allocated);

        if (!grown) {
            return -ENOMEM;
        }
        r->body = grown;
        r->body_allocated = allocated;
    }
    memcpy(r->body + r->body_size, data, size);
    r->body_size += size;
    r->body[r->body_size] = '\0';
    return 0;
}

const char *
sp_http_method(const struct sp_http_request *r)
{
    return r->method;
}

const char *
sp_http_path(const struct sp_http_request *r)
{
    return r->target.path;
}

const char *
sp_http_query_key(const struct sp_http_request *r, size_t index)
{
    return index < r->target.n_parameters ? r->target.parameters[index].key : NULL;
}

const char *
sp_http_query_value(const struct sp_http_request *r, size_t index)
{
    return index < r->target.n_parameters ? r->target.parameters[index].value : NULL;
}

const char *
sp_http_header(const struct sp_http_request *r, const char *name)
{
    for (const struct sp_http_header_line *line = r->headers; line; line = line->next) {
        if (!strcasecmp(line->name, name)) {
            return line->value;
        }
    }
    return NULL;
}

const char *
sp_http_body(const struct sp_http_request *r, size_t *ret_size)
{
    *ret_size = r->body_size;
    return r->body ? r->body : "";
}

bool
sp_http_has_body(const struct sp_http_request *r)
{
    return r->is_chunked || r->length;
}

static const char *
find_framing_fault(struct sp_http_request *r, bool is_1_1)
{
    size_t n_hosts = 0, n_lengths = 0, n_codings = 0;

    for (const struct sp_http_header_line *line = r->headers; line; line = line->next) {
        if (!strcasecmp(line->name, "Host")) {
            n_hosts++;
            if (strpbrk(line->value, " \t/?#@,\\")) {
                return "the Host header is malformed";
            }
        } else if (!strcasecmp(line->name, "Content-Length")) {
            uint64_t length;

            if (!parse_length(line->value, &length) || (n_lengths++ && length != r->length)) {
                return "the Content-Length headers are malformed or differ";
            }
            r->length = length;
        } else if (!strcasecmp(line->name, "Transfer-Encoding")) {
            n_codings++;
            r->is_chunked = !strcasecmp(line->value, "chunked");
        }
    }
    if (n_hosts > 1 || (is_1_1 && !n_hosts)) {
        return n_hosts ? "there are several Host headers" : "the Host header is missing";
    }
    if (n_codings > 1 || (n_codings && (n_lengths || !is_1_1))) {
        return "there is a Transfer-Encoding header that another header or the version contradicts";
    }
    return NULL;
}

/* RFC 9110 section 5.6.2. */
static bool
is_token(const char *text, size_t size)
{
    static const char characters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < size; i++) {
        char c = text[i];

        if (!c || !strchr(characters, c)) {
            return false;
        }
    }
    return size > 0;
}

static bool
is_field_value(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (((unsigned char) text[i] < ' ' && text[i] != '\t') || text[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool
parse_length(const char *text, uint64_t *ret)
{
    uint64_t value = 0;

    for (const char *c = text; *c; c++) {
        unsigned digit = (unsigned char) *c - '0';

        if (digit > 9 || value > (UINT64_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *ret = value;
    return text[0];
}
