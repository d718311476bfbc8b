/* What was denied lately: for each port the connections that were last tried in vain, counted.
 *
 * In memory only, and a sample: a switch reports a few denied packets a second at most (sallyport/pipeline.h), so each was tried
 * at least as often as it says.  A port has SP_BLOCKED_PER_PORT entries at most, and all ports together SP_BLOCKED_MAX, in some
 * 25 MB; the one that was seen longest ago makes room.  So a flood from one port costs no other port an entry before the
 * whole is full.  Knows no clock: the time is an argument. */

#ifndef SALLYPORT_CONTROLLER_BLOCKED_H
#define SALLYPORT_CONTROLLER_BLOCKED_H 1

#include "sallyport/rule.h"

#define SP_BLOCKED_PER_PORT 64u
#define SP_BLOCKED_MAX 100000u

struct sp_blocked;

/* What is counted as one.  Zero-fill before setting: keys are compared byte by byte. */
struct sp_blocked_key {
    struct sp_uuid port;
    struct sp_uuid rule;    /* That denied it; none: no rule allowed it. */
    struct sp_cidr remote;  /* A single address. */
    uint8_t direction;      /* enum sp_direction, seen from the server. */
    uint8_t protocol;
    uint8_t has_port;       /* TCP, UDP, SCTP: 'number' is the destination port. */
    uint8_t has_icmp;       /* 'number' is type << 8 | code. */
    uint16_t number;
};

struct sp_blocked_entry {
    struct sp_blocked_key key;
    struct sp_uuid group;   /* Of the rule. */
    uint64_t n;
    int64_t first_us;
    int64_t last_us;
};

/* 'seed' is a number that nobody outside knows.  NULL: no memory. */
struct sp_blocked *sp_blocked_new(uint64_t seed, size_t max);
void sp_blocked_free(struct sp_blocked *); /* NULL is fine. */

/* Counts one more of 'key', which 'rule' of 'group' denied, at 'now_us' (since 1970).  Returns 0 or -ENOMEM. */
int sp_blocked_add(struct sp_blocked *, const struct sp_blocked_key *key, const struct sp_uuid *group,
                   int64_t now_us) SP_MUST_USE;
/* Forgets what is known of 'port'. */
void sp_blocked_forget(struct sp_blocked *, const struct sp_uuid *port);

/* Visits the entries of 'port', the last seen first, until 'visit' returns nonzero; returns that.  'visit' changes nothing. */
typedef int sp_visit_blocked(void *aux, const struct sp_blocked_entry *);
int sp_blocked_each(const struct sp_blocked *, const struct sp_uuid *port, sp_visit_blocked *, void *aux);

size_t sp_blocked_count(const struct sp_blocked *);
uint64_t sp_blocked_evicted(const struct sp_blocked *); /* Entries that made room. */

#endif
