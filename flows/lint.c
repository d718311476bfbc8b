#include "flows/lint.h"

#include "flows/meaning.h"

/* Remote login and databases. */
static const struct sp_lint_service services[] = {
    {"ssh", 22, SP_PROTOCOL_TCP},
    {"telnet", 23, SP_PROTOCOL_TCP},
    {"smb", 445, SP_PROTOCOL_TCP},
    {"sql server", 1433, SP_PROTOCOL_TCP},
    {"oracle", 1521, SP_PROTOCOL_TCP},
    {"mysql", 3306, SP_PROTOCOL_TCP},
    {"rdp", 3389, SP_PROTOCOL_TCP},
    {"postgresql", 5432, SP_PROTOCOL_TCP},
    {"vnc", 5900, SP_PROTOCOL_TCP},
    {"winrm", 5985, SP_PROTOCOL_TCP},
    {"redis", 6379, SP_PROTOCOL_TCP},
    {"elasticsearch", 9200, SP_PROTOCOL_TCP},
    {"memcached", 11211, SP_PROTOCOL_TCP},
    {"memcached", 11211, SP_PROTOCOL_UDP},
    {"mongodb", 27017, SP_PROTOCOL_TCP},
};
#define N_SERVICES (sizeof services / sizeof services[0])

/* True if 'other' is asked before 'rule', or with it and decides; of two that say the same with one priority, the first. */
static bool
stands_before(const struct sp_meaning *other, size_t other_index, const struct sp_meaning *rule, size_t rule_index)
{
    if (other->priority != rule->priority) {
        return other->priority < rule->priority;
    }
    return other->action != rule->action ? other->action == SP_DENY : other_index < rule_index;
}

static bool
covers(const struct sp_meaning *outer, const struct sp_meaning *inner)
{
    return sp_meaning_covers_but_for_remote(outer, inner) && sp_meaning_covers_remote(outer, inner);
}

/* True if leaving out 'rule' changes nothing because of 'other', which has the same priority and action. */
static bool
says_more(const struct sp_meaning *other, const struct sp_meaning *rule)
{
    return other->priority == rule->priority && other->action == rule->action && !covers(rule, other);
}

/* True if some rule that denies 'door' is asked before rule 'at', which opens it. */
static bool
is_shut(const struct sp_meaning *const meanings[], size_t n, size_t at, const struct sp_meaning *door)
{
    for (size_t i = 0; i < n; i++) {
        if (meanings[i]->action == SP_DENY && stands_before(meanings[i], i, meanings[at], at) && covers(meanings[i], door)) {
            return true;
        }
    }
    return false;
}

static void
judge_open(const struct sp_meaning *const meanings[], size_t n, size_t at, struct sp_lint *ret)
{
    const struct sp_meaning *rule = meanings[at];
    bool everybody = rule->remote == SP_REMOTE_ANY || (rule->remote == SP_REMOTE_CIDR && !rule->remote_cidr.prefix);

    if (rule->direction != SP_INBOUND || rule->action != SP_ALLOW || !everybody) {
        return;
    }
    for (size_t i = 0; i < N_SERVICES; i++) {
        struct sp_meaning door = *rule;

        door.protocol = services[i].protocol;
        door.port_min = door.port_max = services[i].port;
        if (sp_meaning_covers_but_for_remote(rule, &door) && !is_shut(meanings, n, at, &door)) {
            ret->service = ret->n_services++ ? ret->service : &services[i];
            ret->kind = SP_LINT_OPEN;
        }
    }
}

void
sp_lint(const struct sp_meaning *const meanings[], size_t n, struct sp_lint ret[])
{
    for (size_t i = 0; i < n; i++) {
        ret[i] = (struct sp_lint){.kind = SP_LINT_NOTHING};
        judge_open(meanings, n, i, &ret[i]);
        for (size_t j = 0; j < n && ret[i].kind != SP_LINT_SHADOWED; j++) {
            bool before = j != i && (stands_before(meanings[j], j, meanings[i], i) || says_more(meanings[j], meanings[i]));

            if (before && covers(meanings[j], meanings[i])) {
                bool same = meanings[j]->action == meanings[i]->action;

                if (!same || ret[i].kind != SP_LINT_REDUNDANT) {
                    ret[i] = (struct sp_lint){.kind = same ? SP_LINT_REDUNDANT : SP_LINT_SHADOWED, .by = j};
                }
            }
        }
    }
}

bool
sp_lint_is_unused(int64_t last_us, int64_t since_us, int64_t now_us)
{
    int64_t quiet_since = last_us > since_us ? last_us : since_us;

    return now_us - quiet_since >= SP_LINT_UNUSED_US;
}
