#include <stdio.h>
#include <string.h>

#include "controller/engine_state.h"

#define REMEMBERED_MS 60000 /* A switch tries again within some seconds (its max_backoff, 8 s if it has none). */

/* The length of 'peer' without its port, which each attempt has another of. */
static size_t
host_len(const char *peer)
{
    const char *colon = strncmp(peer, "tcp:", 4) ? NULL : strrchr(peer, ':');
    return colon ? (size_t) (colon - peer) : strlen(peer);
}

static bool
is_of(const struct sp_engine_refusal *refusal, const char *peer, const char *why)
{
    size_t len = host_len(peer);
    return host_len(refusal->peer) == len && !strncmp(refusal->peer, peer, len) && !strcmp(refusal->why, why);
}

void
sp_engine_remember_refusal(struct sp_engine *engine, const char *peer, const char *why)
{
    struct sp_engine_refusal new = { .at_ms = sp_engine_now(engine), .at_us = sp_engine_clock_us() };
    snprintf(new.peer, sizeof new.peer, "%s", peer);
    snprintf(new.why, sizeof new.why, "%s", why);
    struct sp_engine_refusal *slot = engine->refusals;
    for (size_t i = 0; i < SP_ENGINE_REFUSALS_MAX; i++) {
        struct sp_engine_refusal *refusal = &engine->refusals[i];
        if (is_of(refusal, new.peer, new.why)) {
            slot = refusal;
            break;
        }
        /* Else the first that is free, or the oldest. */
        slot = *slot->peer && (!*refusal->peer || refusal->at_ms < slot->at_ms) ? refusal : slot;
    }
    *slot = new;
}

void
sp_engine_each_refusal(const struct sp_engine *engine, sp_visit_refusal *visit, void *aux)
{
    int64_t now = sp_engine_now(engine);
    for (size_t i = 0; i < SP_ENGINE_REFUSALS_MAX; i++) {
        const struct sp_engine_refusal *refusal = &engine->refusals[i];
        if (*refusal->peer && now - refusal->at_ms < REMEMBERED_MS) {
            const struct sp_refusal shown = { .peer = refusal->peer, .why = refusal->why, .at_us = refusal->at_us };
            visit(aux, &shown);
        }
    }
}
