#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/engine_state.h"

static int check_datapath(struct sp_datapath *, char *why, size_t why_size);
static int check_sets(struct sp_datapath *, char *why, size_t why_size);

struct check {
    struct sp_datapath *datapath;    /* That is checked. */
    const struct sp_datapath *other; /* With which the units that are visited are compared. */
    const char *where;               /* These come from. */
    char *why;
    size_t why_size;
};

int
sp_engine_check(struct sp_engine *engine, char *why, size_t why_size)
{
    /* What is stale would be compiled in the next turn. */
    sp_engine_run_stale(engine);
    size_t cursor = 0;
    struct sp_index_node *next;
    for (struct sp_index_node *node = sp_index_next_head(&engine->datapaths, NULL, &cursor); node; node = next) {
        next = sp_index_next_head(&engine->datapaths, node, &cursor);
        struct sp_datapath *dp = node->owner;
        int r = dp->projected && !dp->beginning && !dp->releasing ? check_datapath(dp, why, why_size) : 0;
        if (r) {
            return r;
        }
    }
    return 0;
}

static void
settled(void *aux, struct sp_switch *sw)
{
}

static void
describe(void *aux, struct sp_switch *sw, const struct sp_unit_name *unit, const struct sp_flow *flow, char *out, size_t size)
{
    snprintf(out, size, "?");
}

static void
counted(void *aux, struct sp_switch *sw, const struct sp_flow *flow, const struct sp_count *raw, bool removed)
{
}

static void
dumping(void *aux, struct sp_switch *sw, bool begins, bool first)
{
}

static bool
owns_zone(void *aux, struct sp_switch *sw, uint16_t zone)
{
    return true;
}

static bool
may_check(void *aux, struct sp_switch *sw)
{
    return false;
}

static const struct sp_switch_events no_events = { settled, describe, counted, dumping, owns_zone, may_check, settled };

static int
compare_unit(void *aux, const struct sp_unit_name *name, const struct sp_flow_set *wanted)
{
    struct check *check = aux;
    const struct sp_flow_set *there = sp_switch_desired(check->other->sw, name);
    if (sp_flow_set_equal(wanted, there)) {
        return 0;
    }
    char text[200];
    sp_engine_describe(check->datapath->engine, check->datapath, name, NULL, text, sizeof text);
    snprintf(check->why, check->why_size, "bridge %016llx: %s (unit of kind %u) has %zu flows %s and %zu else",
             (unsigned long long) check->datapath->dpid, text, name->kind, wanted ? wanted->n : 0, check->where,
             there ? there->n : 0);
    return 1;
}

int
sp_datapath_project_anew(struct sp_datapath *dp, struct sp_datapath *ret)
{
    /* Whether a bridge has meters is known once it is ours; nearly every one has. */
    *ret = (struct sp_datapath) {
        .engine = dp->engine, .dpid = dp->dpid, .has_meters = dp->has_meters || !sp_switch_is_enforced(dp->sw),
    };
    sp_datapath_init_indices(ret);
    ret->sw = sp_switch_new(dp->dpid, 0, &no_events, ret, &dp->engine->switches); /* Nothing is ever sent, or counted. */
    if (!ret->sw) {
        return -ENOMEM;
    }
    size_t n;
    struct sp_ofport **ports = sp_datapath_sorted_ofports(dp, &n);
    int r = ports ? 0 : -ENOMEM;
    for (size_t i = 0; !r && i < n; i++) {
        struct sp_session_port port = { .ofport = ports[i]->number };
        memcpy(port.name, ports[i]->name, sizeof port.name);
        r = sp_datapath_put_ofport(ret, &port);
    }
    free(ports);
    if (!r) {
        sp_datapath_project(ret);
        sp_datapath_compile(ret);
    }
    return r;
}

void
sp_datapath_end_anew(struct sp_datapath *dp)
{
    sp_datapath_clear_indices(dp);
    if (dp->sw) {
        sp_switch_free(dp->sw);
    }
}

static int
check_datapath(struct sp_datapath *dp, char *why, size_t why_size)
{
    struct sp_datapath whole;
    int r = sp_datapath_project_anew(dp, &whole);
    if (!r) {
        struct check wanted = { .datapath = dp, .other = dp, .where = "compiled anew", .why = why, .why_size = why_size };
        r = sp_switch_each_unit(whole.sw, compare_unit, &wanted);
        struct check there = { .datapath = dp, .other = &whole, .where = "by its changes", .why = why, .why_size = why_size };
        r = r ? r : sp_switch_each_unit(dp->sw, compare_unit, &there);
    }
    r = r ? r : check_sets(&whole, why, why_size);
    sp_datapath_end_anew(&whole);
    return r;
}

/* Rule sets are compiled once for all bridges, so the second datapath has the same: these are compiled anew here. */
static int
check_sets(struct sp_datapath *dp, char *why, size_t why_size)
{
    size_t cursor = 0;
    for (struct sp_index_node *node = NULL; (node = sp_index_next_head(&dp->sets, node, &cursor));) {
        const struct sp_shared_set *set = ((struct sp_presence *) node->owner)->set;
        const struct sp_compilation *now = &set->now;
        struct sp_compilation anew;
        int error = sp_engine_compile_set(dp->engine, set->number, NULL, &anew);
        size_t size = anew.n_remotes * sizeof *anew.remotes;
        bool same_remotes = anew.n_remotes == now->n_remotes && (!size || !memcmp(anew.remotes, now->remotes, size));
        bool equal = error == set->error && (error || (sp_flow_set_equal(anew.flows, now->flows) && same_remotes));
        sp_compilation_clear(&anew);
        if (!equal) {
            snprintf(why, why_size, "rule set %u is not what it is when compiled anew", set->number);
            return 1;
        }
    }
    return 0;
}
