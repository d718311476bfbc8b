/* One OpenFlow connection: what the switch sends, message by message, and an owner that lists, changes and flushes.
 *
 * The first byte has options.  What follows is the switch's stream, cut where its messages end: a switch does not answer before
 * it is asked.  The same stream runs twice, whole messages and pieces of a few bytes: what comes out has to be the same. */

#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/support/session_pair.h"

#define OPTION_SLOW 0x01    /* Some time passes between messages, ... */
#define OPTION_SLOWER 0x02  /* ... or so much that deadlines come. */
#define OPTION_DEAF 0x04    /* The switch reads nothing. */
#define OPTION_UNKNOWN 0x08 /* Dumps go without the flows that are known. */
#define OPTION_CHANGE_FIRST 0x10
#define OPTION_AHEAD 0x40   /* Changes are prepared, and a word on them follows two messages later. */
#define OPTION_REFUSED 0x20 /* One of the modifications is such that a real switch refuses it. */

#define MODS 4
#define OUTPUT_MAX (4u << 20)

struct run {
    struct sp_session *s;
    struct sp_known *known;
    struct sp_flow_mod *mods;
    uint8_t options;
    unsigned step;
    unsigned turn;
    unsigned word_at; /* Turn in which what is prepared is committed or withdrawn; 0: nothing is. */
    int64_t now;
    bool closed;
    bool applying;
    uint64_t digest; /* Of all that came out: bytes and events. */
    size_t output_size;
    uint8_t head[8]; /* Of the message that is coming out, ... */
    size_t at;       /* ... and how much of it is. */
    uint32_t n_out;
    uint32_t n_events;
};

static void mix(struct run *run, const void *data, size_t size)
{
    const uint8_t *bytes = data;

    for (size_t i = 0; i < size; i++) {
        run->digest = (run->digest ^ bytes[i]) * 0x100000001b3ull;
    }
}

static void take_events(struct run *run)
{
    struct sp_event event;
    char text[2048];

    while (sp_session_next(run->s, &event)) {
        FUZZ_CHECK(!run->closed); /* CLOSED is the last. */
        mix(run, &event.kind, sizeof event.kind);
        run->n_events++;
        FUZZ_CHECK(!event.flow == (event.kind != SP_EVENT_DUMP_FLOW && event.kind != SP_EVENT_DUMP_COUNT &&
                                   event.kind != SP_EVENT_REMOVED && event.kind != SP_EVENT_CHANGED));
        if (event.flow) {
            sp_flow_format(event.flow, text, sizeof text);
            mix(run, text, strlen(text));
            sp_flow_unref(event.flow);
        } else if (event.kind == SP_EVENT_PORT) {
            FUZZ_CHECK(memchr(event.port.name, '\0', sizeof event.port.name));
            mix(run, event.port.name, strlen(event.port.name));
        } else if (event.kind == SP_EVENT_APPLIED || event.kind == SP_EVENT_DISCARDED) {
            FUZZ_CHECK(run->applying);
            run->applying = false;
        } else if (event.kind == SP_EVENT_REFUSED) {
            FUZZ_CHECK(run->applying && event.refused.index < MODS);
        } else if (event.kind == SP_EVENT_CLOSED) {
            FUZZ_CHECK(event.text[0] && memchr(event.text, '\0', sizeof event.text));
            mix(run, event.text, strlen(event.text));
            run->closed = true;
        }
    }
}

/* What is sent is OpenFlow: whole messages of the version that was agreed on. */
static void check_output(struct run *run, const uint8_t *bytes, size_t size)
{
    mix(run, bytes, size);
    for (size_t i = 0; i < size; i++) {
        if (run->at < sizeof run->head) {
            run->head[run->at] = bytes[i];
        }
        run->at++;
        if (run->at >= 4) {
            size_t length = (size_t) run->head[2] << 8 | run->head[3];

            FUZZ_CHECK(length >= 8 && run->head[0] >= 1 && run->head[0] <= 6);
            if (run->at == length) {
                run->at = 0;
                run->n_out++;
            }
        }
    }
}

static void drain(struct run *run)
{
    uint8_t buffer[4096];
    size_t n;

    while (!(run->options & OPTION_DEAF) && (n = sp_session_output(run->s, buffer, sizeof buffer, run->now)) > 0) {
        check_output(run, buffer, n);
        run->output_size += n;
        FUZZ_CHECK(run->output_size < OUTPUT_MAX);
    }
}

/* The owner's turn. */
static void own(struct run *run)
{
    static const uint16_t zones[] = {1, 65535};

    drain(run);
    take_events(run);
    if (sp_session_idle(run->s) && run->step < 6) {
        if ((run->step++ + !(run->options & OPTION_CHANGE_FIRST)) % 2) {
            sp_session_dump(run->s, run->options & OPTION_UNKNOWN ? NULL : run->known, run->now);
        } else {
            run->applying = true;
            if (run->options & OPTION_AHEAD) {
                run->word_at = run->turn + 2;
                sp_session_prepare(run->s, run->mods, MODS, run->now);
            } else {
                sp_session_apply(run->s, run->mods, MODS, zones, run->step % 3 ? 2 : 0, run->now);
            }
        }
    } else if (run->word_at && run->turn >= run->word_at) {
        run->word_at = 0;
        if (run->step % 4 < 2) {
            sp_session_commit(run->s, run->now);
        } else {
            sp_session_withdraw(run->s, run->now);
        }
    }
    run->turn++;
    drain(run);
    run->now += run->options & OPTION_SLOWER ? 3000 : run->options & OPTION_SLOW ? 400 : 1;
    if (run->now >= sp_session_deadline(run->s)) {
        sp_session_tick(run->s, run->now);
    }
    take_events(run);
    drain(run);
}

static uint64_t play(const uint8_t *data, size_t size, uint8_t options, bool in_pieces)
{
    struct run run = {.options = options, .now = 1000, .digest = 0xcbf29ce484222325ull, .known = sp_known_new(7)};
    size_t piece = 1;

    run.s = sp_session_new(run.now);
    FUZZ_CHECK(run.s && run.known);
    run.mods = session_pair_mods(MODS);
    if (options & OPTION_REFUSED) {
        sp_flow_unref(run.mods[2].flow);
        run.mods[2].flow = session_pair_flow(2, 0xff40);
    }
    own(&run);
    for (size_t at = 0, length; at < size && !run.closed; at += length) {
        length = size - at >= 4 ? (size_t) data[at + 2] << 8 | data[at + 3] : size - at;
        length = length < 8 ? 8 : length; /* The session has to refuse it. */
        length = length < size - at ? length : size - at;
        for (size_t i = 0, n; i < length; i += n) {
            piece = piece % 13 + 1;
            n = in_pieces && piece < length - i ? piece : length - i;
            sp_session_receive(run.s, data + at + i, n, run.now);
        }
        own(&run);
    }
    if (run.closed) {
        FUZZ_CHECK(sp_session_deadline(run.s) == INT64_MAX);
        sp_session_receive(run.s, data, size, run.now);
        take_events(&run);
    }
    sp_session_free(run.s);
    sp_known_free(run.known);
    session_pair_free_mods(run.mods, MODS);
    return run.digest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size) {
        FUZZ_CHECK(play(data + 1, size - 1, data[0], false) == play(data + 1, size - 1, data[0], true));
    }
    return 0;
}
