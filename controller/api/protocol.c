#include "controller/api/protocol.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#define NAME_SIZE 32

struct entry {
    char name[NAME_SIZE];
    uint8_t number;
};

struct sp_protocols {
    struct entry *entries; /* The first of a number is the name it is answered by. */
    size_t n;
    size_t n_allocated;
    const char *names[256]; /* Into 'entries'; set when these are complete. */
};

/* Names too long for an entry are left out: the number still works. */
static int
add(struct sp_protocols *protocols, const char *name, uint8_t number)
{
    size_t len = strlen(name);
    if (!len || len >= NAME_SIZE || !strcasecmp(name, "ip") || !strcasecmp(name, "any")) {
        return 0;
    }
    if (protocols->n == protocols->n_allocated) {
        size_t n = protocols->n_allocated ? 2 * protocols->n_allocated : 64;
        struct entry *entries = reallocarray(protocols->entries, n, sizeof *entries);
        if (!entries) {
            return -1;
        }
        protocols->entries = entries;
        protocols->n_allocated = n;
    }
    struct entry *entry = &protocols->entries[protocols->n++];
    memcpy(entry->name, name, len + 1);
    entry->number = number;
    return 0;
}

static int
add_all(struct sp_protocols *protocols)
{
    static const struct entry promised[] = {
        {"tcp", SP_PROTOCOL_TCP},   {"udp", SP_PROTOCOL_UDP},       {"sctp", SP_PROTOCOL_SCTP},
        {"icmp", SP_PROTOCOL_ICMP}, {"icmpv6", SP_PROTOCOL_ICMPV6},
    };
    int r = 0;
    for (size_t i = 0; i < sizeof promised / sizeof *promised; i++) {
        r |= add(protocols, promised[i].name, promised[i].number);
    }
    setprotoent(1);
    for (const struct protoent *p = getprotoent(); p && !r; p = getprotoent()) {
        if (p->p_proto < 0 || p->p_proto > 255) {
            continue;
        }
        r |= add(protocols, p->p_name, (uint8_t) p->p_proto);
        for (char **alias = p->p_aliases; *alias; alias++) {
            r |= add(protocols, *alias, (uint8_t) p->p_proto);
        }
    }
    endprotoent();
    return r;
}

struct sp_protocols *
sp_protocols_new(void)
{
    struct sp_protocols *protocols = calloc(1, sizeof *protocols);
    if (!protocols || add_all(protocols)) {
        sp_protocols_free(protocols);
        return NULL;
    }
    for (size_t i = protocols->n; i-- > 0;) {
        protocols->names[protocols->entries[i].number] = protocols->entries[i].name;
    }
    return protocols;
}

void
sp_protocols_free(struct sp_protocols *protocols)
{
    if (protocols) {
        free(protocols->entries);
        free(protocols);
    }
}

/* One to three digits, 0 to 255. */
static int
parse_number(const char *text, int16_t *ret)
{
    size_t len = strspn(text, "0123456789");
    if (!len || len > 3 || text[len]) {
        return SP_E_SYNTAX;
    }
    long number = strtol(text, NULL, 10);
    if (number > 255) {
        return SP_E_SYNTAX;
    }
    *ret = (int16_t) number;
    return 0;
}

int
sp_protocols_parse(const struct sp_protocols *protocols, const char *name, int16_t *ret)
{
    if (!strcasecmp(name, "any")) {
        *ret = SP_PROTOCOL_ANY;
        return 0;
    }
    for (size_t i = 0; i < protocols->n; i++) {
        if (!strcasecmp(name, protocols->entries[i].name)) {
            *ret = protocols->entries[i].number;
            return 0;
        }
    }
    return parse_number(name, ret);
}

const char *
sp_protocols_name(const struct sp_protocols *protocols, int16_t protocol)
{
    return protocol == SP_PROTOCOL_ANY ? "any" : protocol >= 0 && protocol <= 255 ? protocols->names[protocol] : NULL;
}
