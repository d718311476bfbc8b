/* Values that every folder speaks of: identifiers, addresses, text.
 *
 * All of them are plain structs, compared byte by byte, in host order where order matters, and valid for ever once
 * parsed: an address prefix has its host bits masked off, a MAC has six bytes, a UUID sixteen.  Zero-initialised
 * memory is the "none" of each type.  The text forms are parsed and printed by flows/value.c. */

#ifndef SALLYPORT_VALUE_H
#define SALLYPORT_VALUE_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SP_MUST_USE __attribute__((warn_unused_result))
#define SP_PRINTF(FMT, ARGS) __attribute__((format(printf, FMT, ARGS)))

/* What a function may answer besides 0.  Negative values are -errno and are forwarded, never interpreted; positive ones
 * are conditions that the function documents and its caller handles. */
enum sp_error {
    SP_E_SYNTAX = 1, /* The text or bytes are not of the form asked for. */
    SP_E_RANGE,      /* A number is outside of its range. */
    SP_E_EXISTS,     /* The key is taken. */
    SP_E_MISSING,    /* No such object. */
    SP_E_IN_USE,     /* Others hold the object. */
    SP_E_FULL,       /* A bound is reached: a queue, a table, the space of identifiers. */
    SP_E_STALE,      /* The revision that was expected is not the current one. */
    SP_E_INVALID,    /* A value is wrong; the problems list says which. */
    SP_E_CLOSED,     /* The peer has gone. */
    SP_E_DAMAGED,    /* Stored data contradicts itself. */
    SP_E_NEWER,      /* Stored data was written by a newer release. */
};

struct sp_uuid {
    uint8_t bytes[16];
};

struct sp_mac {
    uint8_t bytes[6];
};

/* An IPv4 or IPv6 prefix; a single address is a prefix of full length. */
struct sp_cidr {
    uint8_t family;    /* 4 or 6; 0 = none. */
    uint8_t prefix;    /* Bits, 0 to 32 or 0 to 128. */
    uint8_t bytes[16]; /* Network order, host bits 0; IPv4 in the first four bytes, the rest 0. */
};

#define SP_UUID_TEXT_SIZE 37 /* With the final NUL. */
#define SP_MAC_TEXT_SIZE 18
#define SP_CIDR_TEXT_SIZE 50
#define SP_TIME_TEXT_SIZE 32
#define SP_DECIMAL_TEXT_SIZE 21

/* Each 'parse' accepts exactly 'text' up to its NUL and returns 0, or SP_E_SYNTAX with '*ret' untouched.
 * sp_uuid_parse takes 8-4-4-4-12 hexadecimal digits of either case; sp_mac_parse six colon-separated octets;
 * sp_cidr_parse an address of either family with an optional "/prefix" (host bits are masked off; an IPv4-mapped
 * IPv6 address is refused, as no packet carries one).  Sources: RFC 4122 section 3, RFC 4632, RFC 4291 section 2.3. */
int sp_uuid_parse(const char *text, struct sp_uuid *ret) SP_MUST_USE;
int sp_mac_parse(const char *text, struct sp_mac *ret) SP_MUST_USE;
int sp_cidr_parse(const char *text, struct sp_cidr *ret) SP_MUST_USE;

/* Each 'format' fills 'out' (at least SP_..._TEXT_SIZE bytes) in lower case with a final NUL and returns 'out'.
 * sp_cidr_format always prints the prefix length; sp_cidr_format_address leaves it out. */
const char *sp_uuid_format(const struct sp_uuid *uuid, char *out);
const char *sp_mac_format(const struct sp_mac *mac, char *out);
const char *sp_cidr_format(const struct sp_cidr *cidr, char *out);
const char *sp_cidr_format_address(const struct sp_cidr *cidr, char *out);
const char *sp_decimal_format(uint64_t value, char *out);

/* Prints 'time_us' (microseconds since 1970, UTC) as RFC 3339 with microseconds and a final Z. */
const char *sp_time_format(int64_t time_us, char *out);
/* Reads what sp_time_format() prints of times from 1970 to 9999.  Returns 0 or SP_E_SYNTAX. */
int sp_time_parse(const char *text, int64_t *ret_us) SP_MUST_USE;

bool sp_uuid_equal(const struct sp_uuid *a, const struct sp_uuid *b);
bool sp_uuid_is_none(const struct sp_uuid *uuid);
int sp_uuid_compare(const struct sp_uuid *a, const struct sp_uuid *b); /* memcmp order. */
bool sp_mac_equal(const struct sp_mac *a, const struct sp_mac *b);
bool sp_mac_is_unicast(const struct sp_mac *mac); /* Neither multicast nor all-zero. */
bool sp_cidr_equal(const struct sp_cidr *a, const struct sp_cidr *b);
bool sp_cidr_is_address(const struct sp_cidr *cidr); /* Full length. */
bool sp_cidr_contains(const struct sp_cidr *outer, const struct sp_cidr *inner); /* Same family, inner is a part of outer. */

/* The link-local address fe80::/64 of 'mac' with its modified EUI-64 identifier.  Source: RFC 4291 appendix A. */
struct sp_cidr sp_cidr_link_local(const struct sp_mac *mac);

#endif
