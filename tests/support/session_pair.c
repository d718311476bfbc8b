#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/session_pair.h"

void session_pair_take_events(struct session_pair *p)
{
    while (p->n < SESSION_PAIR_LOG_MAX && sp_session_next(p->s, &p->log[p->n])) {
        if (p->log[p->n].kind == SP_EVENT_METERS) {
            p->meters = p->log[p->n].meters;
            p->n_meters++;
        } else {
            p->n++;
        }
    }
}

bool session_pair_exchange_once(struct session_pair *p)
{
    static uint8_t buffer[1 << 18];
    size_t size = p->chunk < sizeof buffer ? p->chunk : sizeof buffer;
    size_t up = sp_session_output(p->s, buffer, size, p->now), down;

    fake_switch_receive(&p->fs, buffer, up);
    down = fake_switch_output(&p->fs, buffer, size);
    if (p->record && down) {
        p->record = realloc(p->record, p->record_size + down);
        assert_non_null(p->record);
        memcpy(p->record + p->record_size, buffer, down);
        p->record_size += down;
    }
    if (down) {
        sp_session_receive(p->s, buffer, down, p->now);
    }
    session_pair_take_events(p);
    return up || down;
}

void session_pair_exchange(struct session_pair *p)
{
    while (session_pair_exchange_once(p)) {
    }
}

void session_pair_init(struct session_pair *p)
{
    memset(p, 0, sizeof *p);
    p->now = 1000;
    p->chunk = SIZE_MAX;
    p->s = sp_session_new(p->now);
    assert_non_null(p->s);
    fake_switch_init(&p->fs, 0xabcdef, 3);
}

void session_pair_clear(struct session_pair *p)
{
    for (size_t i = 0; i < p->n; i++) {
        sp_flow_unref(p->log[i].flow);
    }
    assert_false(p->fs.broken);
    sp_session_free(p->s);
    fake_switch_clear(&p->fs);
    free(p->record);
}

void session_pair_forget(struct session_pair *p)
{
    for (size_t i = 0; i < p->n; i++) {
        sp_flow_unref(p->log[i].flow);
    }
    p->n = 0;
}

size_t session_pair_count(const struct session_pair *p, enum sp_event_kind kind)
{
    size_t n = 0;

    for (size_t i = 0; i < p->n; i++) {
        n += p->log[i].kind == kind;
    }
    return n;
}

const struct sp_event *session_pair_last(const struct session_pair *p)
{
    assert_true(p->n > 0);
    return &p->log[p->n - 1];
}

void session_pair_assert_closed(const struct session_pair *p, const char *why)
{
    const char *text = p->n && session_pair_last(p)->kind == SP_EVENT_CLOSED ? session_pair_last(p)->text : "open";

    if (!strstr(text, why)) {
        fail_msg("not closed with \"%s\" but %s", why, text);
    }
}

struct session_pair *session_pair_ready(void)
{
    static struct session_pair p;

    session_pair_init(&p);
    session_pair_exchange(&p);
    assert_true(sp_session_idle(p.s));
    session_pair_forget(&p);
    return &p;
}

struct sp_flow *session_pair_flow(uint32_t i, uint16_t port)
{
    static struct sp_flow_build build;
    struct sp_flow *flow;

    sp_flow_build_init(&build, SP_T_RULES_IN, 100, SESSION_PAIR_COOKIE);
    sp_flow_match_exact(&build, SP_F_REG0, i);
    sp_flow_output(&build, port);
    assert_int_equal(sp_flow_build_done(&build, &flow), 0);
    return flow;
}

struct sp_flow_mod *session_pair_mods(size_t n)
{
    struct sp_flow_mod *mods = calloc(n, sizeof *mods);

    assert_non_null(mods);
    for (size_t i = 0; i < n; i++) {
        mods[i] = (struct sp_flow_mod){.verb = SP_FLOW_ADD, .flow = session_pair_flow((uint32_t) i, 1)};
    }
    return mods;
}

void session_pair_free_mods(struct sp_flow_mod *mods, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sp_flow_unref(mods[i].flow);
    }
    free(mods);
}

void session_pair_apply(struct session_pair *p, const struct sp_flow_mod *mods, size_t n)
{
    sp_session_apply(p->s, mods, n, NULL, 0, p->now);
    session_pair_exchange(p);
}

void session_pair_feed(struct session_pair *p, const void *bytes, size_t size)
{
    sp_session_receive(p->s, bytes, size, p->now);
    session_pair_take_events(p);
}
