#include "controller/api/token.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX 65536

struct sp_tokens {
    char *text; /* Where the tokens are, each with its NUL. */
    char **tokens;
    size_t n;
    bool exposed;
};

static const char token_characters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=";

/* Reads the whole file into '*ret', NUL-terminated, and whether everybody may read it into '*ret_exposed'. */
static int
read_file(const char *path, char **ret, bool *ret_exposed, char *why, size_t why_size)
{
    FILE *file = fopen(path, "re");
    if (!file) {
        int error = errno;
        snprintf(why, why_size, "token file %s: %s", path, strerror(error));
        return -error;
    }
    struct stat status;
    *ret_exposed = !fstat(fileno(file), &status) && S_ISREG(status.st_mode) && status.st_mode & S_IROTH;
    char *text = malloc(FILE_MAX + 1);
    size_t size = text ? fread(text, 1, FILE_MAX + 1, file) : 0;
    int error = !text ? ENOMEM : ferror(file) ? EIO : 0;
    fclose(file);
    if (error || size > FILE_MAX || memchr(text, 0, size)) {
        snprintf(why, why_size, "token file %s: %s", path, error ? strerror(error) : "is not a text file of at most 64 KiB");
        free(text);
        return error ? -error : SP_E_INVALID;
    }
    text[size] = '\0';
    *ret = text;
    return 0;
}

/* Cuts 'text' into lines; a token is what is left of a line without the blanks around it. */
static int
split(struct sp_tokens *tokens, const char *path, char *why, size_t why_size)
{
    size_t n_lines = 1;
    for (const char *p = tokens->text; *p; p++) {
        n_lines += *p == '\n';
    }
    tokens->tokens = calloc(n_lines, sizeof *tokens->tokens);
    if (!tokens->tokens) {
        snprintf(why, why_size, "token file %s: %s", path, strerror(ENOMEM));
        return -ENOMEM;
    }
    char *rest = tokens->text;
    for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n")) {
        line += strspn(line, " \t\r");
        size_t len = strcspn(line, " \t\r");
        if (len && (strspn(line, token_characters) != len || line[len + strspn(line + len, " \t\r")])) {
            snprintf(why, why_size, "token file %s: a token may have letters, digits and -._~+/= only", path);
            return SP_E_INVALID;
        }
        if (len) {
            line[len] = '\0';
            tokens->tokens[tokens->n++] = line;
        }
    }
    if (!tokens->n) {
        snprintf(why, why_size, "token file %s: has no token", path);
        return SP_E_INVALID;
    }
    return 0;
}

int
sp_tokens_load(const char *path, struct sp_tokens **ret, char *why, size_t why_size)
{
    struct sp_tokens *tokens = calloc(1, sizeof *tokens);
    if (!tokens) {
        snprintf(why, why_size, "token file %s: %s", path, strerror(ENOMEM));
        return -ENOMEM;
    }
    int r = read_file(path, &tokens->text, &tokens->exposed, why, why_size);
    r = r ? r : split(tokens, path, why, why_size);
    if (r) {
        sp_tokens_free(tokens);
        return r;
    }
    *ret = tokens;
    return 0;
}

void
sp_tokens_free(struct sp_tokens *tokens)
{
    if (tokens) {
        if (tokens->text) {
            explicit_bzero(tokens->text, strlen(tokens->text));
        }
        free(tokens->tokens);
        free(tokens->text);
        free(tokens);
    }
}

bool
sp_tokens_are_exposed(const struct sp_tokens *tokens)
{
    return tokens->exposed;
}

/* Looks at every byte of 'given', whatever the outcome. */
static bool
equal(const char *token, const char *given, size_t given_len)
{
    size_t len = strlen(token);
    unsigned differ = len != given_len;
    for (size_t i = 0; i < given_len; i++) {
        differ |= (unsigned char) given[i] ^ (unsigned char) token[i < len ? i : len];
    }
    return !differ;
}

bool
sp_tokens_allow(const struct sp_tokens *tokens, const char *authorization)
{
    if (!authorization || strncasecmp(authorization, "Bearer ", 7)) {
        return false;
    }
    const char *given = authorization + 7;
    given += strspn(given, " ");
    size_t len = strcspn(given, " ");
    if (given[len + strspn(given + len, " ")]) {
        return false;
    }
    bool allowed = false;
    for (size_t i = 0; i < tokens->n; i++) {
        allowed |= equal(tokens->tokens[i], given, len);
    }
    return allowed;
}
