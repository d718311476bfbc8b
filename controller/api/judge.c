#include "controller/api/judge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "flows/compile.h"
#include "sallyport/pipeline.h"

/* An admitting rule, by its place among all of the set's. */
struct marked {
    uint32_t mark;
    size_t place;
};

struct sp_judge_list {
    uint32_t set;
    uint32_t fragment_mark;
    size_t n;
    struct sp_ruling *rules;            /* In the order of the flows. */
    const struct sp_meaning **meanings; /* Likewise. */
    struct marked *by_mark;
    size_t n_marks;
};

void
sp_judge_init(struct sp_judge *judge, const struct sp_model *model)
{
    *judge = (struct sp_judge){.model = model, .n_looks = SP_JUDGE_LOOKS_MAX};
}

static void
clear_list(struct sp_judge_list *list)
{
    free(list->rules);
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
compare_marks(const void *a_, const void *b_)
{
    const struct marked *a = a_, *b = b_;
    return (a->mark > b->mark) - (a->mark < b->mark);
}

/* Fills in the rules of 'set'.  Returns 0 or -ENOMEM. */
static int
fill_list(const struct sp_model *model, const struct sp_rule_set *set, struct sp_judge_list *list)
{
    int r = sp_model_rulings(model, set->groups, set->n_groups, &list->rules, &list->n);
    if (r) {
        return r;
    }
    list->by_mark = calloc(list->n + 1, sizeof *list->by_mark);
    list->meanings = calloc(list->n + 1, sizeof *list->meanings);
    if (!list->by_mark || !list->meanings) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < list->n; i++) {
        const struct sp_rule *rule = list->rules[i].rule;
        const struct sp_admission *admission = sp_rule_set_admission(set, &rule->id);
        list->meanings[i] = &rule->meaning;
        if (admission && admission->mark) {
            list->by_mark[list->n_marks++] = (struct marked){admission->mark, i};
        }
    }
    qsort(list->by_mark, list->n_marks, sizeof *list->by_mark, compare_marks);
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
    const struct marked key = {.mark = mark};
    const struct marked *found = list->n_marks ? bsearch(&key, list->by_mark, list->n_marks, sizeof key, compare_marks) : NULL;
    if (found) {
        const struct sp_ruling *ruling = &list->rules[found->place];
        judged->admitter = SP_ADMITTED_BY_RULE;
        judged->rule = ruling->rule->id;
        judged->group = ruling->group->id;
        judged->way = ruling->rule->meaning.direction == SP_INBOUND ? SP_WAY_INBOUND : SP_WAY_OUTBOUND;
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
        judged->rule = list->rules[rule].rule->id;
        judged->group = list->rules[rule].group->id;
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
