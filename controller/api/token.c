#include "controller/api/token.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "controller/api/decode.h"
#include "controller/io/tls_digest.h"

#define FILE_MAX 65536
#define NAME_MAX_LEN 64
#define BLANKS " \t\r"
#define DIGEST_PREFIX "sha256:"
#define DIGITS ((size_t) SP_DIGEST_SIZE * 2)
#define WORDS_MAX 5 /* One more than a line may have. */

static const char token_characters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=";
static const char name_characters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._";

struct sp_token {
    char name[NAME_MAX_LEN + 1]; /* "": none. */
    enum sp_token_role role;
    char *regions;               /* Each with a NUL, and one more at the end; NULL: all. */
    uint8_t digest[SP_DIGEST_SIZE];
};

struct sp_tokens {
    struct sp_token *items;
    size_t n;
    bool exposed;
};

static const char *const role_names[] = {
    [SP_TOKEN_READ] = "read", [SP_TOKEN_OPERATOR] = "operator", [SP_TOKEN_ADMIN] = "admin"};
#define N_ROLES (sizeof role_names / sizeof *role_names)

static int read_file(const char *path, char **ret, size_t *ret_size, bool *ret_exposed, char *why, size_t why_size);
static int take_line(struct sp_tokens *, char *line, char *why, size_t why_size);
static int take_plain(struct sp_token *, const char *text, char *why, size_t why_size);
static int take_named(struct sp_tokens *, struct sp_token *, char *const words[], char *why, size_t why_size);
static int take_regions(struct sp_token *, char *text, char *why, size_t why_size);
static bool take_digest(struct sp_token *, const char *text);

int
sp_tokens_load(const char *path, struct sp_tokens **ret, char *why, size_t why_size)
{
    char *text = NULL, problem[200];
    size_t size = 0;
    bool exposed = false;
    int r = read_file(path, &text, &size, &exposed, problem, sizeof problem);
    if (!r) {
        assert(text);
        r = sp_tokens_parse(text, size, ret, problem, sizeof problem);
        explicit_bzero(text, size);
        free(text);
    }
    if (r) {
        snprintf(why, why_size, "token file %s: %s", path, problem);
        return r;
    }
    (*ret)->exposed = exposed;
    return 0;
}

int
sp_tokens_parse(const char *text, size_t size, struct sp_tokens **ret, char *why, size_t why_size)
{
    struct sp_tokens *tokens = calloc(1, sizeof *tokens);
    char *copy = malloc(size + 1);
    size_t n_lines = 1;
    for (size_t i = 0; i < size; i++) {
        n_lines += text[i] == '\n';
    }
    if (tokens) {
        tokens->items = calloc(n_lines, sizeof *tokens->items);
    }
    if (!tokens || !copy || !tokens->items) {
        free(copy);
        sp_tokens_free(tokens);
        snprintf(why, why_size, "%s", strerror(ENOMEM));
        return -ENOMEM;
    }
    memcpy(copy, text, size);
    copy[size] = '\0';
    int r = strlen(copy) == size ? 0 : SP_E_INVALID;
    snprintf(why, why_size, "is not a text file");
    char *rest = copy, problem[160];
    unsigned number = 1;
    for (char *line = r ? NULL : strsep(&rest, "\n"); line && !r; line = strsep(&rest, "\n"), number++) {
        r = take_line(tokens, line, problem, sizeof problem);
        if (r) {
            snprintf(why, why_size, "line %u: %s", number, problem);
        }
    }
    explicit_bzero(copy, size);
    free(copy);
    if (!r && !tokens->n) {
        snprintf(why, why_size, "has no token");
        r = SP_E_INVALID;
    }
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
        for (size_t i = 0; i < tokens->n; i++) {
            free(tokens->items[i].regions);
        }
        free(tokens->items);
        free(tokens);
    }
}

bool
sp_tokens_are_exposed(const struct sp_tokens *tokens)
{
    return tokens->exposed;
}

const struct sp_token *
sp_tokens_find(const struct sp_tokens *tokens, const char *authorization)
{
    if (!authorization || strncasecmp(authorization, "Bearer ", 7)) {
        return NULL;
    }
    const char *given = authorization + 7;
    given += strspn(given, " ");
    size_t len = strcspn(given, " ");
    uint8_t digest[SP_DIGEST_SIZE];
    if (!len || given[len + strspn(given + len, " ")] || !sp_digest_sha256(given, len, digest)) {
        return NULL;
    }
    const struct sp_token *found = NULL;
    for (size_t i = 0; i < tokens->n; i++) { /* To the end, whoever it is. */
        bool same = sp_digest_equal(tokens->items[i].digest, digest);
        found = same && !found ? &tokens->items[i] : found;
    }
    return found;
}

const char *
sp_token_role_name(enum sp_token_role role)
{
    return role_names[role];
}

const struct sp_token *
sp_tokens_find_same(const struct sp_tokens *tokens, const struct sp_token *token)
{
    for (size_t i = 0; i < tokens->n; i++) {
        if (!memcmp(tokens->items[i].digest, token->digest, SP_DIGEST_SIZE)) {
            return &tokens->items[i];
        }
    }
    return NULL;
}

const char *
sp_token_name(const struct sp_token *token)
{
    return token->name;
}

enum sp_token_role
sp_token_role(const struct sp_token *token)
{
    return token->role;
}

bool
sp_token_is_for_all(const struct sp_token *token)
{
    return !token->regions;
}

bool
sp_token_is_for(const struct sp_token *token, const char *region)
{
    bool found = !token->regions;
    for (const char *p = token->regions; !found && *p; p += strlen(p) + 1) {
        found = !strcmp(p, region);
    }
    return found;
}

/* Reads the whole file into '*ret', and whether everybody may read it into '*ret_exposed'. */
static int
read_file(const char *path, char **ret, size_t *ret_size, bool *ret_exposed, char *why, size_t why_size)
{
    FILE *file = fopen(path, "re");
    if (!file) {
        int error = errno;
        snprintf(why, why_size, "%s", strerror(error));
        return -error;
    }
    struct stat status;
    *ret_exposed = !fstat(fileno(file), &status) && S_ISREG(status.st_mode) && status.st_mode & S_IROTH;
    setvbuf(file, NULL, _IONBF, 0); /* No copy is left behind. */
    char *text = malloc(FILE_MAX + 1);
    size_t size = text ? fread(text, 1, FILE_MAX + 1, file) : 0;
    int error = !text ? ENOMEM : ferror(file) ? EIO : 0;
    fclose(file);
    if (error || size > FILE_MAX) {
        snprintf(why, why_size, "%s", error ? strerror(error) : "is not a text file of at most 64 KiB");
        if (text) {
            explicit_bzero(text, size);
        }
        free(text);
        return error ? -error : SP_E_INVALID;
    }
    *ret = text;
    *ret_size = size;
    return 0;
}

static int
take_line(struct sp_tokens *tokens, char *line, char *why, size_t why_size)
{
    char *words[WORDS_MAX];
    size_t n = 0;
    line += strspn(line, BLANKS);
    if (*line == '#') {
        return 0;
    }
    for (char *word = strsep(&line, BLANKS); word && n < WORDS_MAX; word = strsep(&line, BLANKS)) {
        if (*word) {
            words[n++] = word;
        }
    }
    if (!n) {
        return 0;
    }
    struct sp_token *token = &tokens->items[tokens->n];
    int r = SP_E_INVALID;
    if (n == 1) {
        r = take_plain(token, words[0], why, why_size);
    } else if (n == 4) {
        r = take_named(tokens, token, words, why, why_size);
    } else {
        snprintf(why, why_size, "is neither one token nor NAME ROLE REGIONS sha256:HEX");
    }
    if (!r) {
        tokens->n++;
    }
    return r;
}

static int
take_plain(struct sp_token *token, const char *text, char *why, size_t why_size)
{
    if (strspn(text, token_characters) != strlen(text)) {
        snprintf(why, why_size, "a token may have letters, digits and -._~+/= only");
        return SP_E_INVALID;
    }
    token->role = SP_TOKEN_ADMIN;
    if (!sp_digest_sha256(text, strlen(text), token->digest)) {
        snprintf(why, why_size, "%s", strerror(ENOMEM));
        return -ENOMEM;
    }
    return 0;
}

static int
take_named(struct sp_tokens *tokens, struct sp_token *token, char *const words[], char *why, size_t why_size)
{
    size_t len = strlen(words[0]), role = 0;
    if (len > NAME_MAX_LEN || strspn(words[0], name_characters) != len) {
        snprintf(why, why_size, "a name has 1 to %d of A-Z a-z 0-9 . _ -", NAME_MAX_LEN);
        return SP_E_INVALID;
    }
    for (size_t i = 0; i < tokens->n; i++) {
        if (!strcmp(tokens->items[i].name, words[0])) {
            snprintf(why, why_size, "the name is there already");
            return SP_E_INVALID;
        }
    }
    while (role < N_ROLES && strcmp(words[1], role_names[role])) {
        role++;
    }
    if (role == N_ROLES) {
        snprintf(why, why_size, "the role must be read, operator or admin");
        return SP_E_INVALID;
    }
    if (!take_digest(token, words[3])) {
        snprintf(why, why_size, "must end with sha256: and 64 hexadecimal digits");
        return SP_E_INVALID;
    }
    snprintf(token->name, sizeof token->name, "%s", words[0]); /* It fits: see above. */
    token->role = (enum sp_token_role) role;
    return take_regions(token, words[2], why, why_size);
}

static int
take_regions(struct sp_token *token, char *text, char *why, size_t why_size)
{
    if (!strcmp(text, "*")) {
        return 0;
    }
    char *regions = calloc(1, strlen(text) + 2), *end = regions;
    if (!regions) {
        snprintf(why, why_size, "%s", strerror(ENOMEM));
        return -ENOMEM;
    }
    for (char *name = strsep(&text, ","); name; name = strsep(&text, ",")) {
        if (!sp_decode_is_region_name(name)) {
            snprintf(why, why_size, "the regions must be * or names with commas between them");
            free(regions);
            return SP_E_INVALID;
        }
        end = stpcpy(end, name) + 1;
    }
    token->regions = regions;
    return 0;
}

static bool
take_digest(struct sp_token *token, const char *text)
{
    static const char digits[] = "0123456789abcdef";
    if (strncmp(text, DIGEST_PREFIX, strlen(DIGEST_PREFIX)) || strlen(text) != strlen(DIGEST_PREFIX) + DIGITS) {
        return false;
    }
    text += strlen(DIGEST_PREFIX);
    for (size_t i = 0; i < DIGITS; i++) {
        const char *digit = strchr(digits, text[i] >= 'A' && text[i] <= 'F' ? text[i] + ('a' - 'A') : text[i]);
        if (!digit) {
            return false;
        }
        token->digest[i / 2] = (uint8_t) (token->digest[i / 2] << 4 | (digit - digits));
    }
    return true;
}
