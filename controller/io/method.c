#include "controller/io/method.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "controller/io/transport.h"

static int parse_unix(const char *path, struct sp_method_spec *, char *why, size_t why_size);
static int parse_tcp(const char *rest, struct sp_method_spec *, char *why, size_t why_size);
static int parse_ptcp(const char *rest, struct sp_method_spec *, char *why, size_t why_size);

static const struct {
    const char *prefix;
    bool listens;
    bool tls;
    int (*parse)(const char *rest, struct sp_method_spec *, char *why, size_t why_size);
} methods[] = {
    { "ptcp:", true, false, parse_ptcp },
    { "punix:", true, false, parse_unix },
    { "tcp:", false, false, parse_tcp },
    { "unix:", false, false, parse_unix },
    { "pssl:", true, true, parse_ptcp },
    { "ssl:", false, true, parse_tcp },
};

int
sp_method_parse(const char *method, struct sp_method_spec *ret, char *why, size_t why_size)
{
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        size_t len = strlen(methods[i].prefix);
        if (strncmp(method, methods[i].prefix, len)) {
            continue;
        }
        struct sp_method_spec spec;
        memset(&spec, 0, sizeof spec);
        spec.listens = methods[i].listens;
        spec.tls = methods[i].tls;
        int error = methods[i].parse(method + len, &spec, why, why_size);
        if (!error) {
            *ret = spec;
        }
        return error;
    }
    snprintf(why, why_size, "\"%.64s\" is none of ptcp:PORT[:HOST], pssl:PORT[:HOST], punix:PATH, tcp:HOST:PORT, ssl:HOST:PORT, "
             "unix:PATH", method);
    return SP_E_SYNTAX;
}

int
sp_method_check(const char *method, char *why, size_t why_size)
{
    struct sp_method_spec spec;
    return sp_method_parse(method, &spec, why, why_size);
}

bool
sp_method_is_tls(const char *method)
{
    struct sp_method_spec spec;
    char why[128];
    return !sp_method_parse(method, &spec, why, sizeof why) && spec.tls;
}

bool
sp_method_is_exposed(const char *method)
{
    struct sp_method_spec spec;
    char why[128];
    if (sp_method_parse(method, &spec, why, sizeof why) || !spec.listens || spec.local) {
        return false;
    }
    if (spec.address.ss_family == AF_INET) {
        const struct sockaddr_in *sin = (const struct sockaddr_in *) &spec.address;
        return ntohl(sin->sin_addr.s_addr) >> 24 != IN_LOOPBACKNET;
    }
    const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *) &spec.address;
    return !IN6_IS_ADDR_LOOPBACK(&sin6->sin6_addr);
}

const char *
sp_method_format_peer(const struct sockaddr_storage *address, bool tls, char *out)
{
    const char *prefix = tls ? "ssl" : "tcp";
    char text[INET6_ADDRSTRLEN] = "?";
    if (address->ss_family == AF_UNIX) {
        snprintf(out, SP_PEER_SIZE, "unix:%.107s", ((const struct sockaddr_un *) address)->sun_path);
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *) address;
        inet_ntop(AF_INET6, &sin6->sin6_addr, text, sizeof text);
        snprintf(out, SP_PEER_SIZE, "%s:[%s]:%u", prefix, text, ntohs(sin6->sin6_port));
    } else {
        const struct sockaddr_in *sin = (const struct sockaddr_in *) address;
        inet_ntop(AF_INET, &sin->sin_addr, text, sizeof text);
        snprintf(out, SP_PEER_SIZE, "%s:%s:%u", prefix, text, ntohs(sin->sin_port));
    }
    return out;
}

static int
parse_unix(const char *path, struct sp_method_spec *spec, char *why, size_t why_size)
{
    struct sockaddr_un *sun = (struct sockaddr_un *) &spec->address;
    size_t len = strlen(path);
    if (!len || len >= sizeof sun->sun_path) {
        snprintf(why, why_size, "the path of a unix socket has 1 to %zu bytes, not %zu", sizeof sun->sun_path - 1, len);
        return SP_E_SYNTAX;
    }
    sun->sun_family = AF_UNIX;
    memcpy(sun->sun_path, path, len + 1);
    spec->local = true;
    spec->address_size = sizeof *sun;
    return 0;
}

/* Decimal digits only, so that strtoul's signs and spaces are no ports. */
static int
parse_port(const char *text, size_t len, unsigned min, uint16_t *ret, char *why, size_t why_size)
{
    unsigned port = 0;
    bool good = len >= 1 && len <= 5;
    for (size_t i = 0; good && i < len; i++) {
        good = text[i] >= '0' && text[i] <= '9';
        port = port * 10 + (unsigned) (text[i] - '0');
    }
    if (!good || port < min || port > 65535) {
        snprintf(why, why_size, "\"%.*s\" is no port from %u to 65535", (int) (len < 32 ? len : 32), text, min);
        return SP_E_SYNTAX;
    }
    *ret = (uint16_t) port;
    return 0;
}

static int
parse_host(const char *text, size_t len, uint16_t port, struct sp_method_spec *spec, char *why, size_t why_size)
{
    char host[INET6_ADDRSTRLEN];
    bool bracketed = len >= 2 && text[0] == '[' && text[len - 1] == ']';
    size_t host_len = bracketed ? len - 2 : len;
    if (host_len < sizeof host) {
        memcpy(host, bracketed ? text + 1 : text, host_len);
        host[host_len] = '\0';
        struct sockaddr_in *sin = (struct sockaddr_in *) &spec->address;
        struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *) &spec->address;
        if (bracketed && inet_pton(AF_INET6, host, &sin6->sin6_addr) == 1) {
            sin6->sin6_family = AF_INET6;
            sin6->sin6_port = htons(port);
            spec->address_size = sizeof *sin6;
            return 0;
        }
        if (!bracketed && inet_pton(AF_INET, host, &sin->sin_addr) == 1) {
            sin->sin_family = AF_INET;
            sin->sin_port = htons(port);
            spec->address_size = sizeof *sin;
            return 0;
        }
    }
    snprintf(why, why_size, "\"%.*s\" is no IPv4 address and no IPv6 address in brackets", (int) (len < 64 ? len : 64), text);
    return SP_E_SYNTAX;
}

static int
parse_tcp(const char *rest, struct sp_method_spec *spec, char *why, size_t why_size)
{
    const char *colon = strrchr(rest, ':');
    if (!colon) {
        snprintf(why, why_size, "%s: wants HOST:PORT", spec->tls ? "ssl" : "tcp");
        return SP_E_SYNTAX;
    }
    uint16_t port;
    int error = parse_port(colon + 1, strlen(colon + 1), 1, &port, why, why_size);
    return error ? error : parse_host(rest, (size_t) (colon - rest), port, spec, why, why_size);
}

static int
parse_ptcp(const char *rest, struct sp_method_spec *spec, char *why, size_t why_size)
{
    size_t len = strcspn(rest, ":");
    uint16_t port;
    int error = parse_port(rest, len, 0, &port, why, why_size);
    if (error) {
        return error;
    }
    /* Without a host OVS listens on every IPv4 address, and so does this. */
    const char *host = rest[len] ? rest + len + 1 : "0.0.0.0";
    return parse_host(host, strlen(host), port, spec, why, why_size);
}
