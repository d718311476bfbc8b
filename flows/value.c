#include "sallyport/value.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The value of hexadecimal digit 'c', or -1. */
static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Reads two hexadecimal digits, which may be missing, at 'text'.  Returns false unless both are there. */
static bool parse_octet(const char *text, uint8_t *ret)
{
    int high = hex_digit(text[0]);
    int low = high < 0 ? -1 : hex_digit(text[1]);

    if (low < 0) {
        return false;
    }
    *ret = (uint8_t) (high << 4 | low);
    return true;
}

int sp_uuid_parse(const char *text, struct sp_uuid *ret)
{
    struct sp_uuid uuid;

    for (size_t i = 0; i < sizeof uuid.bytes; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            if (*text++ != '-') {
                return SP_E_SYNTAX;
            }
        }
        if (!parse_octet(text, &uuid.bytes[i])) {
            return SP_E_SYNTAX;
        }
        text += 2;
    }
    if (*text) {
        return SP_E_SYNTAX;
    }
    *ret = uuid;
    return 0;
}

int sp_mac_parse(const char *text, struct sp_mac *ret)
{
    struct sp_mac mac;

    for (size_t i = 0; i < sizeof mac.bytes; i++) {
        if (i && *text++ != ':') {
            return SP_E_SYNTAX;
        }
        if (!parse_octet(text, &mac.bytes[i])) {
            return SP_E_SYNTAX;
        }
        text += 2;
    }
    if (*text) {
        return SP_E_SYNTAX;
    }
    *ret = mac;
    return 0;
}

/* Reads a decimal number without sign or leading zero of at most 'max'.  Returns -1 if 'text' is none. */
static int parse_prefix(const char *text, int max)
{
    int n = 0;

    if (!*text || (text[0] == '0' && text[1])) {
        return -1;
    }
    for (; *text; text++) {
        if (*text < '0' || *text > '9') {
            return -1;
        }
        n = n * 10 + (*text - '0');
        if (n > max) {
            return -1;
        }
    }
    return n;
}

/* True for ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2). */
static bool is_mapped(const uint8_t bytes[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    return !memcmp(bytes, mapped, sizeof mapped);
}

static void mask_host_bits(uint8_t bytes[16], unsigned prefix)
{
    if (prefix % 8) {
        bytes[prefix / 8] &= (uint8_t) (0xff00u >> prefix % 8);
        prefix += 8 - prefix % 8;
    }
    memset(bytes + prefix / 8, 0, 16 - prefix / 8);
}

int sp_cidr_parse(const char *text, struct sp_cidr *ret)
{
    char address[INET6_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t) (slash - text) : strlen(text);
    struct sp_cidr cidr = {.family = 4, .prefix = 32};

    if (len >= sizeof address) {
        return SP_E_SYNTAX;
    }
    memcpy(address, text, len);
    address[len] = '\0';

    if (inet_pton(AF_INET, address, cidr.bytes) != 1) {
        cidr.family = 6;
        cidr.prefix = 128;
        if (inet_pton(AF_INET6, address, cidr.bytes) != 1 || is_mapped(cidr.bytes)) {
            return SP_E_SYNTAX;
        }
    }
    if (slash) {
        int prefix = parse_prefix(slash + 1, cidr.prefix);

        if (prefix < 0) {
            return SP_E_SYNTAX;
        }
        cidr.prefix = (uint8_t) prefix;
        mask_host_bits(cidr.bytes, cidr.prefix);
    }
    *ret = cidr;
    return 0;
}

/* An answer has hundreds of these and of times: printf() and strftime() would be most of what it costs. */
const char *sp_uuid_format(const struct sp_uuid *uuid, char *out)
{
    static const char digits[] = "0123456789abcdef";
    char *at = out;

    for (size_t i = 0; i < sizeof uuid->bytes; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            *at++ = '-';
        }
        *at++ = digits[uuid->bytes[i] >> 4];
        *at++ = digits[uuid->bytes[i] & 0xf];
    }
    *at = '\0';
    return out;
}

const char *sp_mac_format(const struct sp_mac *mac, char *out)
{
    const uint8_t *b = mac->bytes;

    snprintf(out, SP_MAC_TEXT_SIZE, "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5]);
    return out;
}

const char *sp_cidr_format_address(const struct sp_cidr *cidr, char *out)
{
    *out = '\0';
    if (cidr->family) {
        inet_ntop(cidr->family == 4 ? AF_INET : AF_INET6, cidr->bytes, out, SP_CIDR_TEXT_SIZE);
    }
    return out;
}

const char *sp_cidr_format(const struct sp_cidr *cidr, char *out)
{
    sp_cidr_format_address(cidr, out);
    if (cidr->family) {
        size_t len = strlen(out);

        snprintf(out + len, SP_CIDR_TEXT_SIZE - len, "/%u", cidr->prefix);
    }
    return out;
}

const char *sp_decimal_format(uint64_t value, char *out)
{
    char *at = out;
    unsigned n = 1;

    for (uint64_t left = value; left > 9; left /= 10) {
        n++;
    }
    at[n] = '\0';
    while (n--) {
        at[n] = (char) ('0' + value % 10);
        value /= 10;
    }
    return out;
}

/* Writes the last 'n' decimal digits of 'value' and what follows them.  Returns the end. */
static char *put_digits(char *at, unsigned value, unsigned n, char behind)
{
    for (unsigned i = n; i--; value /= 10) {
        at[i] = (char) ('0' + value % 10);
    }
    at[n] = behind;
    return at + n + 1;
}

const char *sp_time_format(int64_t time_us, char *out)
{
    int64_t us = time_us % 1000000;
    time_t seconds = time_us / 1000000;
    struct tm tm;
    char *at = out;
    size_t len;

    if (us < 0) {
        us += 1000000;
        seconds--;
    }
    gmtime_r(&seconds, &tm); /* Cannot fail: 64 bits of microseconds end in the year 294247. */
    if (tm.tm_year >= 0 && tm.tm_year < 9999 - 1900) {
        at = put_digits(at, (unsigned) tm.tm_year + 1900, 4, '-');
        at = put_digits(at, (unsigned) tm.tm_mon + 1, 2, '-');
        at = put_digits(at, (unsigned) tm.tm_mday, 2, 'T');
        at = put_digits(at, (unsigned) tm.tm_hour, 2, ':');
        at = put_digits(at, (unsigned) tm.tm_min, 2, ':');
        at = put_digits(at, (unsigned) tm.tm_sec, 2, '.');
        at = put_digits(at, (unsigned) us, 6, 'Z');
        *at = '\0';
        return out;
    }
    len = strftime(out, SP_TIME_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + len, SP_TIME_TEXT_SIZE - len, ".%06uZ", (unsigned) us);
    return out;
}

int sp_time_parse(const char *text, int64_t *ret_us)
{
    struct tm tm = { 0 };
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);

    if (!rest || *rest != '.' || strspn(rest + 1, "0123456789") != 6 || strcmp(rest + 7, "Z")) {
        return SP_E_SYNTAX;
    }
    *ret_us = (int64_t) timegm(&tm) * 1000000 + strtol(rest + 1, NULL, 10);
    return 0;
}

bool sp_uuid_equal(const struct sp_uuid *a, const struct sp_uuid *b)
{
    return !memcmp(a, b, sizeof *a);
}

bool sp_uuid_is_none(const struct sp_uuid *uuid)
{
    static const struct sp_uuid none;

    return sp_uuid_equal(uuid, &none);
}

int sp_uuid_compare(const struct sp_uuid *a, const struct sp_uuid *b)
{
    return memcmp(a, b, sizeof *a);
}

bool sp_mac_equal(const struct sp_mac *a, const struct sp_mac *b)
{
    return !memcmp(a, b, sizeof *a);
}

bool sp_mac_is_unicast(const struct sp_mac *mac)
{
    static const struct sp_mac zero;

    return !(mac->bytes[0] & 1) && !sp_mac_equal(mac, &zero);
}

bool sp_cidr_equal(const struct sp_cidr *a, const struct sp_cidr *b)
{
    return !memcmp(a, b, sizeof *a);
}

bool sp_cidr_is_address(const struct sp_cidr *cidr)
{
    return (cidr->family == 4 && cidr->prefix == 32) || (cidr->family == 6 && cidr->prefix == 128);
}

bool sp_cidr_contains(const struct sp_cidr *outer, const struct sp_cidr *inner)
{
    uint8_t bytes[16];

    if (!outer->family || outer->family != inner->family || outer->prefix > inner->prefix) {
        return false;
    }
    memcpy(bytes, inner->bytes, sizeof bytes);
    mask_host_bits(bytes, outer->prefix);
    return !memcmp(bytes, outer->bytes, sizeof bytes);
}

struct sp_cidr sp_cidr_link_local(const struct sp_mac *mac)
{
    const uint8_t *m = mac->bytes;

    return (struct sp_cidr){
        .family = 6,
        .prefix = 128,
        .bytes = {0xfe, 0x80, [8] = m[0] ^ 0x02, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]},
    };
}
