#include "controller/io/tls_peers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX (4u << 20)
#define DPID_DIGITS 16
#define FINGERPRINT_PREFIX "sha256:"
#define FINGERPRINT_DIGITS 64
#define HEX "0123456789abcdefABCDEF"
#define BLANKS " \t\r"

struct peer {
    char *who;       /* In the text; a fingerprint in lower case. */
    unsigned line;
    bool any;
    size_t first;    /* Its datapath ids in 'dpids'. */
    size_t n;
};

struct sp_tls_peers {
    char *text;      /* Cut into words. */
    struct peer *peers; /* By 'who'. */
    size_t n;
    uint64_t *dpids;
    size_t n_dpids;
};

static int take_line(struct sp_tls_peers *, char *line, unsigned number, char *why, size_t why_size);
static int take_who(char *who, unsigned number, char *why, size_t why_size);
static bool is_name(const char *name);
static bool parse_dpid(const char *text, uint64_t *ret);
static int compare(const void *a, const void *b);
static const struct peer *find(const struct sp_tls_peers *, const char *who);
static bool allows(const struct sp_tls_peers *, const struct peer *, uint64_t dpid);

int
sp_tls_peers_parse(const char *text, size_t size, struct sp_tls_peers **ret, char *why, size_t why_size)
{
    struct sp_tls_peers *peers = calloc(1, sizeof *peers);
    size_t n_lines = 1;
    for (size_t i = 0; i < size; i++) {
        n_lines += text[i] == '\n';
    }
    if (peers) {
        peers->text = malloc(size + 1);
        peers->peers = calloc(n_lines, sizeof *peers->peers);
        peers->dpids = calloc(size / DPID_DIGITS + 1, sizeof *peers->dpids);
    }
    if (!peers || !peers->text || !peers->peers || !peers->dpids) {
        snprintf(why, why_size, "%s", strerror(ENOMEM));
        sp_tls_peers_free(peers);
        return -ENOMEM;
    }
    memcpy(peers->text, text, size);
    peers->text[size] = '\0';
    int r = 0;
    if (strlen(peers->text) != size) {
        snprintf(why, why_size, "is not text");
        r = SP_E_INVALID;
    }
    char *rest = peers->text;
    unsigned number = 1;
    for (char *line = strsep(&rest, "\n"); line && !r; line = strsep(&rest, "\n")) {
        r = take_line(peers, line, number++, why, why_size);
    }
    qsort(peers->peers, peers->n, sizeof *peers->peers, compare);
    for (size_t i = 1; i < peers->n && !r; i++) {
        if (!compare(&peers->peers[i - 1], &peers->peers[i])) {
            unsigned a = peers->peers[i - 1].line, b = peers->peers[i].line;
            snprintf(why, why_size, "line %u: \"%.80s\" has line %u already", a > b ? a : b, peers->peers[i].who, a > b ? b : a);
            r = SP_E_INVALID;
        }
    }
    if (r) {
        sp_tls_peers_free(peers);
        return r;
    }
    *ret = peers;
    return 0;
}

int
sp_tls_peers_load(const char *path, struct sp_tls_peers **ret, char *why, size_t why_size)
{
    FILE *file = fopen(path, "re");
    if (!file) {
        int error = errno;
        snprintf(why, why_size, "peer file %s: %s", path, strerror(error));
        return -error;
    }
    char *text = malloc(FILE_MAX + 1);
    size_t size = text ? fread(text, 1, FILE_MAX + 1, file) : 0;
    int error = !text ? ENOMEM : ferror(file) ? EIO : 0;
    fclose(file);
    char problem[200];
    int r;
    if (error) {
        snprintf(problem, sizeof problem, "%s", strerror(error));
        r = -error;
    } else if (size > FILE_MAX) {
        snprintf(problem, sizeof problem, "has more than 4 MiB");
        r = SP_E_INVALID;
    } else {
        r = sp_tls_peers_parse(text, size, ret, problem, sizeof problem);
    }
    free(text);
    if (r) {
        snprintf(why, why_size, "peer file %s: %s", path, problem);
    }
    return r;
}

void
sp_tls_peers_free(struct sp_tls_peers *peers)
{
    if (peers) {
        free(peers->text);
        free(peers->peers);
        free(peers->dpids);
        free(peers);
    }
}

bool
sp_tls_peers_allow(const struct sp_tls_peers *peers, const struct sp_tls_identity *identity, uint64_t dpid)
{
    if (!identity->fingerprint[0]) {
        return false; /* No certificate has been seen. */
    }
    const struct peer *peer = find(peers, identity->fingerprint);
    peer = peer || !is_name(identity->name) ? peer : find(peers, identity->name);
    uint64_t named;
    if (!peer && parse_dpid(identity->name, &named)) {
        return named == dpid;
    }
    peer = peer ? peer : find(peers, "*");
    return peer && allows(peers, peer, dpid);
}

/* Not one of the other things that may stand in a name's place. */
static bool
is_name(const char *name)
{
    return *name && strcmp(name, "*") && strncmp(name, FINGERPRINT_PREFIX, strlen(FINGERPRINT_PREFIX));
}

static int
take_line(struct sp_tls_peers *peers, char *line, unsigned number, char *why, size_t why_size)
{
    line += strspn(line, BLANKS);
    if (!*line || *line == '#') {
        return 0;
    }
    struct peer *peer = &peers->peers[peers->n];
    *peer = (struct peer){.line = number, .first = peers->n_dpids};
    for (char *word = strsep(&line, BLANKS); word; word = strsep(&line, BLANKS)) {
        if (!*word) {
            continue;
        }
        if (!peer->who) {
            peer->who = word;
            int r = take_who(word, number, why, why_size);
            if (r) {
                return r;
            }
        } else if (!strcmp(word, "any")) {
            peer->any = true;
        } else if (parse_dpid(word, &peers->dpids[peers->n_dpids])) {
            peers->n_dpids++;
            peer->n++;
        } else {
            snprintf(why, why_size, "line %u: \"%.40s\" is no datapath id (16 hexadecimal digits), and not \"any\"", number,
                     word);
            return SP_E_INVALID;
        }
    }
    peers->n++;
    return 0;
}

/* A name, a fingerprint, which is brought to lower case, or "*". */
static int
take_who(char *who, unsigned number, char *why, size_t why_size)
{
    for (const char *p = who; *p; p++) {
        if (*p < '!' || *p > '~') {
            snprintf(why, why_size, "line %u: a name may have printable ASCII only", number);
            return SP_E_INVALID;
        }
    }
    if (strncmp(who, FINGERPRINT_PREFIX, strlen(FINGERPRINT_PREFIX))) {
        if (strlen(who) < SP_TLS_NAME_SIZE) {
            return 0;
        }
        snprintf(why, why_size, "line %u: a name has at most %d characters", number, SP_TLS_NAME_SIZE - 1);
        return SP_E_INVALID;
    }
    char *digits = who + strlen(FINGERPRINT_PREFIX);
    if (strlen(digits) != FINGERPRINT_DIGITS || strspn(digits, HEX) != FINGERPRINT_DIGITS) {
        snprintf(why, why_size, "line %u: a fingerprint is sha256: and 64 hexadecimal digits", number);
        return SP_E_INVALID;
    }
    for (char *p = digits; *p; p++) {
        *p |= *p >= 'A' && *p <= 'F' ? 'a' - 'A' : 0;
    }
    return 0;
}

static bool
parse_dpid(const char *text, uint64_t *ret)
{
    if (strlen(text) != DPID_DIGITS || strspn(text, HEX) != DPID_DIGITS) {
        return false;
    }
    *ret = strtoull(text, NULL, 16);
    return true;
}

static int
compare(const void *a, const void *b)
{
    return strcmp(((const struct peer *) a)->who, ((const struct peer *) b)->who);
}

static const struct peer *
find(const struct sp_tls_peers *peers, const char *who)
{
    const struct peer key = {.who = (char *) who};
    return peers && peers->n ? bsearch(&key, peers->peers, peers->n, sizeof key, compare) : NULL;
}

static bool
allows(const struct sp_tls_peers *peers, const struct peer *peer, uint64_t dpid)
{
    bool found = peer->any;
    for (size_t i = 0; i < peer->n && !found; i++) {
        found = peers->dpids[peer->first + i] == dpid;
    }
    return found;
}
