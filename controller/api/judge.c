#include "controller/api/judge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "flows/compile.h"
#include "sallyport/pipeline.h"

struct listed {
    const struct sp_rule *rule;
    const struct sp_group *group;
    uint32_t mark; /* 0: it admits nothing. */
};

struct sp_judge_list {
    uint32_t set;
    uint32_t fragment_mark;
    size_t n;
    struct listed *by_age;             /* In the order of the flows: by time of creation, then id. */
    const struct sp_meaning **meanings; /* Likewise. */
    struct listed *by_mark;
};

void
sp_judge_init(struct sp_judge *judge, const struct sp_model *model)
{
    *judge = (struct sp_judge){.model = model, .n_looks = SP_JUDGE_LOOKS_MAX};
}

static void
clear_list(struct sp_judge_list *list)
{
    free(list->by_age);
    free(list->by_mark);
    free(list->meanings);
}

void
sp_judge_clear(struct sp_judge *judge)
{
    for (size_t i = 0; i < judge->n_lists; i++) {
        clear_list(&judge->lists[i]);
    }
    free(judge->lists);
    judge->lists = NULL;
    judge->n_lists = 0;
}

static int
compare_ages(const void *a_, const void *b_)
{
    const struct sp_rule *a = ((const struct listed *) a_)->rule, *b = ((const struct listed *) b_)->rule;
    if (a->created_at != b->created_at) {
        return a->created_at < b->created_at ? -1 : 1;
    }
    return sp_uuid_compare(&a->id, &b->id);
}

static int
compare_marks(const void *a_, const void *b_)
{
    const struct listed *a = a_, *b = b_;
    return (a->mark > b->mark) - (a->mark < b->mark);
}

/* Fills in the rules of 'set'.  Returns 0 or -ENOMEM. */
static int
fill_list(const struct sp_model *model, const struct sp_rule_set *set, struct sp_judge_list *list)
{
    for (size_t i = 0; i < set->n_groups; i++) {
        const struct sp_group *group = sp_model_group(model, &set->groups[i]);
        list->n += group ? group->n_rules : 0;
    }
    list->by_age = calloc(list->n + 1, sizeof *list->by_age);
    list->by_mark = calloc(list->n + 1, sizeof *list->by_mark);
    list->meanings = calloc(list->n + 1, sizeof *list->meanings);
    if (!list->by_age || !list->by_mark || !list->meanings) {
        return -ENOMEM;
    }
    size_t n = 0;
    for (size_t i = 0; i < set->n_groups; i++) {
        const struct sp_group *group = sp_model_group(model, &set->groups[i]);
        for (size_t j = 0; group && j < group->n_rules; j++) {
            const struct sp_rule *rule = group->rules[j];
            const struct sp_admission *admission = sp_rule_set_admission(set, &rule->id);
            list->by_age[n++] = (struct listed){rule, group, admission ? admission->mark : 0};
        }
    }
    qsort(list->by_age, n, sizeof *list->by_age, compare_ages);
    memcpy(list->by_mark, list->by_age, n * sizeof *list->by_mark);
    qsort(list->by_mark, n, sizeof *list->by_mark, compare_marks);
    for (size_t i = 0; i < n; i++) {
        list->meanings[i] = &list->by_age[i].rule->meaning;
    }
    return 0;
}

/* The rules of set 'number'; NULL: no memory. */
static const struct sp_judge_list *
find_list(struct sp_judge *judge, uint32_t number)
{
    for (size_t i = 0; i < judge->n_lists; i++) {
        if (judge->lists[i].set == number) {
            return &judge->lists[i];
        }
    }
    struct sp_judge_list *grown = reallocarray(judge->lists, judge->n_lists + 1, sizeof *grown);
    if (!grown) {
        return NULL;
    }
    judge->lists = grown;
    struct sp_judge_list *list = &grown[judge->n_lists];
    *list = (struct sp_judge_list){.set = number};
    const struct sp_rule_set *set = number ? sp_model_rule_set(judge->model, number) : NULL;
    if (set) {
        list->fragment_mark = sp_compile_fragment_mark(set->number, set->version);
        if (fill_list(judge->model, set, list)) {
            clear_list(list);
            return NULL;
        }
    }
    judge->n_lists++;
    return list;
}

static bool
is_member(void *aux, const struct sp_uuid *group, const struct sp_cidr *address)
{
    const struct sp_judge *judge = aux;
    return sp_model_is_member_address(judge->model, group, address);
}

/* As a packet does that passes the gate.  Returns false if the mark is not live. */
static bool
judge_by_mark(const struct sp_judge_list *list, uint32_t mark, struct sp_judged *judged)
{
    if (mark & SP_MARK_FRAGMENT) {
        judged->admitter = SP_ADMITTED_BY_FRAGMENT;
        return mark == list->fragment_mark;
    }
    const struct listed key = {.mark = mark};
    const struct listed *found = mark && list->n ? bsearch(&key, list->by_mark, list->n, sizeof key, compare_marks) : NULL;
    if (found) {
        judged->admitter = SP_ADMITTED_BY_RULE;
        judged->rule = found->rule->id;
        judged->group = found->group->id;
        judged->way = found->rule->meaning.direction == SP_INBOUND ? SP_WAY_INBOUND : SP_WAY_OUTBOUND;
    }
    return found;
}

static void
judge_by_rules(struct sp_judge *judge, const struct sp_judge_list *list, const struct sp_conntrack *it, struct sp_judged *judged)
{
    const struct sp_tracked tracked = {
        .way = judged->way,
        .src = it->src,
        .dst = it->dst,
        .protocol = it->protocol,
        .has_ports = it->has_ports,
        .has_icmp = it->has_icmp,
        .src_port = it->src_port,
        .dst_port = it->dst_port,
        .icmp_type = it->icmp_type,
        .icmp_code = it->icmp_code,
    };
    size_t cost = sp_tracked_cost(list->n, &tracked);
    if (cost > judge->n_looks) {
        judged->passage = SP_PASSAGE_UNKNOWN;
        judged->reason = "there are too many connections and rules to judge all";
        return;
    }
    judge->n_looks -= cost;
    ptrdiff_t rule;
    judged->passage = sp_tracked_judge(list->meanings, list->n, &tracked, is_member, judge, &rule);
    if (judged->passage == SP_PASSAGE_PASSES) {
        judged->admitter = SP_ADMITTED_BY_RULE;
        judged->rule = list->by_age[rule].rule->id;
        judged->group = list->by_age[rule].group->id;
    } else if (judged->passage == SP_PASSAGE_UNKNOWN) {
        judged->reason = judged->way == SP_WAY_UNKNOWN ? "it is not known who opened some connections"
                                                       : "the switch does not tell the ports of some SCTP associations";
    }
}

int
sp_judge_connection(struct sp_judge *judge, uint32_t set, const struct sp_conntrack *connection, struct sp_judged *judged)
{
    const struct sp_judge_list *list = find_list(judge, set);
    if (!list) {
        return -ENOMEM;
    }
    *judged = (struct sp_judged){.way = judged->way};
    if (judge_by_mark(list, connection->mark, judged)) {
        judged->passage = SP_PASSAGE_PASSES;
    } else {
        judge_by_rules(judge, list, connection, judged);
    }
    return 0;
}
