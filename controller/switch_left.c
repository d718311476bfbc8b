#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/switch_units.h"
#include "sallyport/pipeline.h"

/* The flows of a rule set that it no longer wants must not go before it has what it wants instead: should the switch refuse
 * that, the set keeps what it had, also when that was installed by an earlier run of the controller.  So they are found out by
 * what they match and given to the set's unit.  Everything else that is left over can go at once: less passes then, not more. */

struct slot {
    uint32_t slot;
    uint32_t set;
};

struct left {
    struct sp_unit *unit;
    struct sp_flow *flow;
};

static int list_slots(const struct sp_flow_list *, struct slot **ret, size_t *ret_n);
static struct sp_unit *find_set(const struct sp_switch *, const struct sp_flow *, const struct slot *, size_t n_slots);
static void forget_connections(struct sp_switch *, const struct sp_flow *);
static int give(struct sp_switch *, struct sp_unit *, const struct left *, size_t n);

static int
compare_slots(const void *a, const void *b)
{
    uint32_t x = ((const struct slot *) a)->slot, y = ((const struct slot *) b)->slot;
    return (x > y) - (x < y);
}

static int
compare_left(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t) ((const struct left *) a)->unit, y = (uintptr_t) ((const struct left *) b)->unit;
    return (x > y) - (x < y);
}

int
sp_switch_place_left(struct sp_switch *sw, const struct sp_flow_list *flows)
{
    struct slot *slots;
    size_t n_slots, n = 0;
    struct left *left = malloc((flows->n ? flows->n : 1) * sizeof *left);
    int error = list_slots(flows, &slots, &n_slots);
    error = left ? error : -ENOMEM;
    for (size_t i = 0; !error && i < flows->n; i++) {
        struct sp_unit *unit = find_set(sw, flows->flows[i], slots, n_slots);
        if (unit) {
            left[n++] = (struct left) { .unit = unit, .flow = flows->flows[i] };
        } else {
            forget_connections(sw, flows->flows[i]);
            error = sp_flow_list_take(&sw->orphans, sp_flow_ref(flows->flows[i]));
        }
    }
    if (!error && n) {
        qsort(left, n, sizeof *left, compare_left);
    }
    for (size_t i = 0, end; !error && i < n; i = end) {
        for (end = i + 1; end < n && left[end].unit == left[i].unit; end++) {
            continue;
        }
        error = give(sw, left[i].unit, &left[i], end - i);
    }
    free(left);
    free(slots);
    return error;
}

/* Which set each slot belongs to, as far as the flows say, sorted. */
static int
list_slots(const struct sp_flow_list *flows, struct slot **ret, size_t *ret_n)
{
    *ret_n = 0;
    *ret = malloc((flows->n ? flows->n : 1) * sizeof **ret);
    if (!*ret) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < flows->n; i++) {
        uint32_t set;
        if (SP_COOKIE_KIND(flows->flows[i]->cookie) == SP_COOKIE_RULE && sp_flow_match_value(flows->flows[i], SP_R_SET, &set)) {
            (*ret)[(*ret_n)++] = (struct slot) { .slot = (uint32_t) SP_COOKIE_NUMBER(flows->flows[i]->cookie), .set = set };
        }
    }
    if (*ret_n) {
        qsort(*ret, *ret_n, sizeof **ret, compare_slots);
    }
    return 0;
}

/* The unit of the rule set that 'flow' was made for; NULL: none, or one that nobody has any more. */
static struct sp_unit *
find_set(const struct sp_switch *sw, const struct sp_flow *flow, const struct slot *slots, size_t n_slots)
{
    unsigned kind = SP_COOKIE_KIND(flow->cookie);
    uint32_t number = (uint32_t) SP_COOKIE_NUMBER(flow->cookie);
    if (kind == SP_COOKIE_RULE && !sp_flow_match_value(flow, SP_R_SET, &number)) {
        const struct slot key = { .slot = number };
        const struct slot *slot = n_slots ? bsearch(&key, slots, n_slots, sizeof *slots, compare_slots) : NULL;
        number = slot ? slot->set : 0;
    } else if (kind != SP_COOKIE_RULE && kind != SP_COOKIE_SET) {
        return NULL;
    }
    struct sp_unit_name name;
    memset(&name, 0, sizeof name);
    name.kind = SP_UNIT_RULE_SET;
    memcpy(name.key, &number, sizeof number);
    return sp_switch_find_unit(sw, &name);
}

/* A port whose flow 'flow' is may be gone for good, with nobody to see to what it left in conntrack: the bridge or the
 * controller was away then. */
static void
forget_connections(struct sp_switch *sw, const struct sp_flow *flow)
{
    uint64_t zone = SP_COOKIE_NUMBER(flow->cookie);
    if (SP_COOKIE_KIND(flow->cookie) == SP_COOKIE_PORT && zone && zone <= UINT16_MAX
        && !sw->events->owns_zone(sw->aux, sw, (uint16_t) zone)) {
        sp_switch_flush_zone(sw, (uint16_t) zone);
    }
}

/* Adds 'n' flows to what is confirmed of 'unit', which does not want them. */
static int
give(struct sp_switch *sw, struct sp_unit *unit, const struct left *left, size_t n)
{
    struct sp_flow_list all;
    sp_flow_list_init(&all);
    int error = 0;
    for (size_t i = 0; !error && i < sp_flow_set_count(unit->confirmed); i++) {
        error = sp_flow_list_take(&all, sp_flow_ref(unit->confirmed->flows[i]));
    }
    for (size_t i = 0; !error && i < n; i++) {
        error = sp_flow_list_take(&all, sp_flow_ref(left[i].flow));
    }
    struct sp_flow_set *set = error ? NULL : sp_flow_set_new(&all);
    sp_flow_list_clear(&all);
    if (!set) {
        return -ENOMEM;
    }
    sp_flow_set_unref(unit->confirmed);
    unit->confirmed = set;
    if (unit->state == SP_UNIT_CLEAN) {
        unit->first = unit->last = 0;
        sp_switch_move_unit(sw, unit, SP_UNIT_DIRTY);
    }
    return 0;
}
