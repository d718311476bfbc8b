#include "flows/admission.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "flows/explain.h"
#include "tests/support/random.h"

/* A world small enough to follow every connection that it can have. */
enum { N_REMOTES = 10, N_GROUPS = 3, N_DETAILS = 5, N_RULES_MAX = 12 };

static const char *const remote_texts[N_REMOTES] = {
    "10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.1.0", "192.0.2.1",
    "2001:db8::", "2001:db8::1", "2001:db8::2", "fe80::1",
};
static const uint8_t protocols[] = {1, 6, 17, 47, 58};

enum { N_PROTOCOLS = sizeof protocols, N_CONNECTIONS = 2 * N_PROTOCOLS * N_REMOTES * N_DETAILS };

struct list {
    struct sp_rule rules[N_RULES_MAX];
    size_t n;
    bool members[N_GROUPS][N_REMOTES];
};

struct world {
    struct sp_random random;
    struct sp_cidr remotes[N_REMOTES];
    struct sp_connection connections[N_CONNECTIONS];
    uint8_t next_id;
    unsigned long judged_kept, judged_replaced, replaced_in_vain;
};

static void init_world(struct world *w)
{
    size_t n = 0;

    memset(w, 0, sizeof *w);
    sp_random_init(&w->random);
    for (size_t r = 0; r < N_REMOTES; r++) {
        assert_int_equal(sp_cidr_parse(remote_texts[r], &w->remotes[r]), 0);
    }
    for (int direction = 0; direction < 2; direction++) {
        for (size_t p = 0; p < N_PROTOCOLS; p++) {
            for (size_t r = 0; r < N_REMOTES; r++) {
                for (int16_t d = 0; d < N_DETAILS; d++) {
                    bool icmp = protocols[p] == 1 || protocols[p] == 58, ports = protocols[p] == 6 || protocols[p] == 17;

                    w->connections[n++] = (struct sp_connection){
                        (enum sp_direction) direction, protocols[p],         w->remotes[r],
                        ports ? d : -1,                icmp ? d / 2 : -1,    icmp ? d % 2 : -1,
                    };
                }
            }
        }
    }
}

static void random_details(struct world *w, struct sp_meaning *m)
{
    struct sp_random *r = &w->random;

    m->port_min = m->port_max = -1;
    m->icmp_type = m->icmp_code = -1;
    if ((m->protocol == 6 || m->protocol == 17) && sp_random_chance(r, 60)) {
        m->port_min = (int32_t) sp_random_below(r, N_DETAILS);
        m->port_max = sp_random_chance(r, 10) ? 65535 : m->port_min + (int32_t) sp_random_below(r, 3);
    } else if ((m->protocol == 1 || m->protocol == 58) && sp_random_chance(r, 50)) {
        m->icmp_type = (int16_t) sp_random_below(r, 3);
        m->icmp_code = (int16_t) (sp_random_below(r, 3) - 1);
    }
}

static void random_remote(struct world *w, struct sp_meaning *m)
{
    static const char *const cidrs[] = {"0.0.0.0/0",     "::/0",           "10.0.0.0/8",  "10.0.0.0/30",   "10.0.0.0/31",
                                        "10.0.0.1/32",   "192.0.2.0/24",   "10.0.1.0/24", "2001:db8::/32", "2001:db8::/127",
                                        "2001:db8::1/128", "fe80::/64"};

    m->remote = (enum sp_remote) sp_random_below(&w->random, 3);
    memset(&m->remote_cidr, 0, sizeof m->remote_cidr);
    memset(&m->remote_group, 0, sizeof m->remote_group);
    if (m->remote == SP_REMOTE_GROUP) {
        m->remote_group.bytes[0] = (uint8_t) (1 + sp_random_below(&w->random, N_GROUPS));
    } else if (m->remote == SP_REMOTE_CIDR) {
        do {
            const char *cidr = cidrs[sp_random_below(&w->random, sizeof cidrs / sizeof cidrs[0])];

            assert_int_equal(sp_cidr_parse(cidr, &m->remote_cidr), 0);
        } while ((m->protocol == 1 && m->remote_cidr.family == 6) || (m->protocol == 58 && m->remote_cidr.family == 4));
    }
}

static struct sp_rule random_rule(struct world *w)
{
    struct sp_rule rule = {.id = {{++w->next_id}}};
    struct sp_meaning *m = &rule.meaning;

    m->direction = (enum sp_direction) sp_random_below(&w->random, 2);
    m->action = sp_random_chance(&w->random, 35) ? SP_DENY : SP_ALLOW;
    m->priority = (uint16_t) (1 + sp_random_below(&w->random, 5));
    m->protocol = sp_random_chance(&w->random, 30) ? SP_PROTOCOL_ANY : protocols[sp_random_below(&w->random, N_PROTOCOLS)];
    random_remote(w, m);
    random_details(w, m);
    return rule;
}

static void change_one_member(struct world *w, struct sp_meaning *m)
{
    struct sp_rule other = random_rule(w);

    switch (sp_random_below(&w->random, 6)) {
    case 0:
        m->direction = other.meaning.direction;
        break;
    case 1:
        m->action = other.meaning.action;
        break;
    case 2:
        m->priority = other.meaning.priority;
        break;
    case 3:
        random_remote(w, m);
        break;
    case 4:
        random_details(w, m);
        break;
    default:
        *m = other.meaning;
        break;
    }
}

static void edit(struct world *w, struct list *list)
{
    unsigned what = sp_random_below(&w->random, 10);

    if (what < 4 && list->n < N_RULES_MAX) {
        list->rules[list->n++] = random_rule(w);
    } else if (what < 6 && list->n) {
        list->rules[sp_random_below(&w->random, (uint32_t) list->n)] = list->rules[list->n - 1];
        list->n--;
    } else if (what < 8 && list->n) {
        change_one_member(w, &list->rules[sp_random_below(&w->random, (uint32_t) list->n)].meaning);
    } else {
        bool *member = &list->members[sp_random_below(&w->random, N_GROUPS)][sp_random_below(&w->random, N_REMOTES)];

        *member = !*member;
    }
}

static bool is_member(void *aux, const struct sp_uuid *group, const struct sp_cidr *address)
{
    const struct list *list = aux;

    for (size_t r = 0; r < N_REMOTES; r++) {
        struct sp_cidr remote;

        if (list->members[group->bytes[0] - 1][r] && !sp_cidr_parse(remote_texts[r], &remote) &&
            sp_cidr_equal(&remote, address)) {
            return true;
        }
    }
    return false;
}

/* The id of the rule that admits 'c', or 0 if 'c' is denied. */
static uint8_t admitting(struct list *list, const struct sp_connection *c)
{
    const struct sp_meaning *meanings[N_RULES_MAX];
    ptrdiff_t i;

    for (size_t j = 0; j < list->n; j++) {
        meanings[j] = &list->rules[j].meaning;
    }
    i = sp_explain(meanings, list->n, c, is_member, list);
    return i >= 0 && list->rules[i].meaning.action == SP_ALLOW ? list->rules[i].id.bytes[0] : 0;
}

/* Calls the code under test: 'ret_keep[id]' tells whether the rule of that id keeps its mark. */
static void decide(struct world *w, const struct list *before, const struct list *after, bool ret_keep[256])
{
    const struct sp_rule *b[N_RULES_MAX], *a[N_RULES_MAX];
    struct sp_group_delta deltas[N_GROUPS];
    bool keep[N_RULES_MAX];
    size_t n_deltas = 0;

    for (size_t i = 0; i < before->n; i++) {
        b[i] = &before->rules[i];
    }
    for (size_t i = 0; i < after->n; i++) {
        a[i] = &after->rules[i];
        keep[i] = true;
    }
    for (size_t g = 0; g < N_GROUPS; g++) {
        struct sp_group_delta delta = {{{(uint8_t) (g + 1)}}, false, false};

        for (size_t r = 0; r < N_REMOTES; r++) {
            delta.gained = delta.gained || (!before->members[g][r] && after->members[g][r]);
            delta.lost = delta.lost || (before->members[g][r] && !after->members[g][r]);
        }
        if (delta.gained || delta.lost || sp_random_chance(&w->random, 20)) {
            deltas[n_deltas++] = delta;
        }
    }
    memset(ret_keep, 0, 256);
    sp_admission_keep(b, before->n, a, after->n, deltas, n_deltas, keep);
    for (size_t i = 0; i < after->n; i++) {
        if (keep[i] && after->rules[i].meaning.action == SP_DENY) {
            fail_msg("seed %llu: a rule that denies keeps a mark", (unsigned long long) w->random.seed);
        }
        ret_keep[after->rules[i].id.bytes[0]] = keep[i];
    }
}

/* Every connection that carries a mark which stays good must be allowed; the others are judged anew. */
static void follow(struct world *w, struct list *after, const bool keep[256], uint8_t marks[N_CONNECTIONS])
{
    bool lost_one[256] = {false}, carried[256] = {false};

    for (size_t i = 0; i < N_CONNECTIONS; i++) {
        uint8_t now = admitting(after, &w->connections[i]), mark = marks[i];

        if (mark && keep[mark] && !now) {
            fail_msg("seed %llu: connection %zu keeps mark %u and is denied", (unsigned long long) w->random.seed, i, mark);
        }
        carried[mark] = true;
        lost_one[mark] = lost_one[mark] || !now;
        if (!mark || !keep[mark]) {
            /* Not every connection speaks between two changes. */
            marks[i] = sp_random_chance(&w->random, 70) ? now : 0;
        }
    }
    for (unsigned id = 1; id < 256; id++) {
        w->judged_kept += carried[id] && keep[id];
        w->judged_replaced += carried[id] && !keep[id];
        w->replaced_in_vain += carried[id] && !keep[id] && !lost_one[id];
    }
}

static void test_a_kept_mark_admits_only_what_is_allowed(void **state)
{
    static struct world w;

    init_world(&w);
    for (unsigned history = 0; history < 3000; history++) {
        struct list before = {.n = 0};
        uint8_t marks[N_CONNECTIONS] = {0};
        bool keep[256] = {false};

        w.next_id = 0;
        for (unsigned i = 0; i < 8; i++) {
            edit(&w, &before);
        }
        follow(&w, &before, keep, marks);
        for (unsigned step = 0; step < 12; step++) {
            struct list after = before;

            for (unsigned edits = 1 + sp_random_below(&w.random, 3); edits > 0; edits--) {
                edit(&w, &after);
            }
            decide(&w, &before, &after, keep);
            follow(&w, &after, keep, marks);
            before = after;
        }
    }
    print_message("marks kept %lu, replaced %lu, of these in vain %lu\n", w.judged_kept, w.judged_replaced, w.replaced_in_vain);
    assert_true(w.judged_kept > 3 * w.replaced_in_vain); /* Careful, but not idle. */
    assert_true(w.judged_replaced > w.replaced_in_vain); /* The test has seen marks that had to go. */
}

static void assert_all_kept(struct world *w, const struct list *before, const struct list *after, const char *what)
{
    bool keep[256];

    decide(w, before, after, keep);
    for (size_t i = 0; i < before->n; i++) {
        if (before->rules[i].meaning.action == SP_ALLOW && !keep[before->rules[i].id.bytes[0]]) {
            fail_msg("seed %llu: %s", (unsigned long long) w->random.seed, what);
        }
    }
}

static void test_what_takes_nothing_away_keeps_all(void **state)
{
    static struct world w;

    init_world(&w);
    for (unsigned round = 0; round < 2000; round++) {
        struct list before = {.n = 0}, after;
        struct sp_rule rule;

        w.next_id = 0;
        for (unsigned i = 0; i < 14; i++) {
            edit(&w, &before);
        }
        assert_all_kept(&w, &before, &before, "nothing changed");
        if (before.n == N_RULES_MAX) {
            before.n--;
        }
        after = before;
        rule = random_rule(&w);
        rule.meaning.action = SP_ALLOW;
        after.rules[after.n++] = rule;
        assert_all_kept(&w, &before, &after, "one more rule allows");
        assert_all_kept(&w, &after, &after, "nothing changed with it");

        after.rules[after.n - 1].meaning.action = SP_DENY;
        after.rules[after.n - 1].meaning.priority = 6;
        assert_all_kept(&w, &before, &after, "a rule that denies stands last");
        for (size_t i = 0; i < before.n; i++) {
            before.rules[i].meaning.direction = SP_INBOUND;
            after.rules[i].meaning.direction = SP_INBOUND;
        }
        after.rules[after.n - 1].meaning.direction = SP_OUTBOUND;
        after.rules[after.n - 1].meaning.priority = 1;
        assert_all_kept(&w, &before, &after, "a rule denies in the other direction");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_kept_mark_admits_only_what_is_allowed),
        cmocka_unit_test(test_what_takes_nothing_away_keeps_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
