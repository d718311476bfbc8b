/* A session and a fake switch on two ends of a wire, with a virtual clock. */

#ifndef SALLYPORT_TESTS_SUPPORT_SESSION_PAIR_H
#define SALLYPORT_TESTS_SUPPORT_SESSION_PAIR_H 1

#include "flows/openflow/session.h"
#include "sallyport/pipeline.h"
#include "tests/support/fake_switch.h"

#define SESSION_PAIR_COOKIE SP_COOKIE(SP_COOKIE_RULE, 7)
#define SESSION_PAIR_LOG_MAX 4096

/* A session, its switch, and what the session has said. */
struct session_pair {
    struct sp_session *s;
    struct fake_switch fs;
    int64_t now;
    size_t chunk; /* Bytes that travel at once. */
    struct sp_event log[SESSION_PAIR_LOG_MAX];
    size_t n;
    struct sp_session_meters meters; /* The last that was told of them, which is not in the log, ... */
    size_t n_meters;                 /* ... and how often it was. */
    uint8_t *record; /* What the switch sent, if wanted. */
    size_t record_size;
};

void session_pair_init(struct session_pair *);
void session_pair_clear(struct session_pair *);
/* One, until the next call, that has shaken hands and forgotten what was said. */
struct session_pair *session_pair_ready(void);

/* Moves bytes both ways and takes events, once or until nothing moves. */
bool session_pair_exchange_once(struct session_pair *);
void session_pair_exchange(struct session_pair *);
void session_pair_take_events(struct session_pair *);
/* Lets the session receive 'bytes' from nowhere. */
void session_pair_feed(struct session_pair *, const void *bytes, size_t size);

void session_pair_forget(struct session_pair *); /* Empties the log. */
size_t session_pair_count(const struct session_pair *, enum sp_event_kind);
const struct sp_event *session_pair_last(const struct session_pair *);
void session_pair_assert_closed(const struct session_pair *, const char *why);

/* A flow that differs by 'i' and outputs to 'port'; 'n' additions of such, to port 1. */
struct sp_flow *session_pair_flow(uint32_t i, uint16_t port);
struct sp_flow_mod *session_pair_mods(size_t n);
void session_pair_free_mods(struct sp_flow_mod *, size_t n);
void session_pair_apply(struct session_pair *, const struct sp_flow_mod *, size_t n);

#endif
