#include "controller/switch_units.h"

#include "sallyport/pipeline.h"

/* Whose are the connections in a zone?  'owners' has, by what it matches, the flow in PORT_SET behind which they are (see
 * "Who owns a zone" in sallyport/pipeline.h): the one that the switch said it had, or the one that came behind a confirmed
 * flush.  It outlives the connection, as conntrack does; a bridge with the same datapath id is taken for the same one.
 *
 * A port whose flow is not there, or is there with another owner, gets its flows only behind a flush, in the same batch: flush,
 * bundle, and whichever is refused, nothing of the port is in force.  Where the switch still has the other owner's flow the
 * port waits for a later batch, as the flush must not come before that flow has gone.  As other changes should not wait until
 * a datapath has walked its connections for thousands of ports, a batch has no more flushes than SP_FLUSHES_MIN, or twice as many
 * as the last one if that was quick. */

#define FLUSHES_MAX 4096
#define QUICK_MS 100

struct sp_flow *
sp_switch_zone_flow(const struct sp_unit *unit, const struct sp_flow_set *set)
{
    for (size_t i = 0; unit->name.kind == SP_UNIT_PORT && i < sp_flow_set_count(set); i++) {
        if (SP_COOKIE_KIND(set->flows[i]->cookie) == SP_COOKIE_OWNED) {
            return set->flows[i];
        }
    }
    return NULL;
}

bool
sp_switch_owns(const struct sp_switch *sw, const struct sp_flow *flow)
{
    const struct sp_flow *there = sp_flow_table_find(sw->owners, flow);
    return there && there->cookie == flow->cookie;
}

/* What is to be flushed once its flows have gone is flushed now, as they have. */
static void
take_zone(struct sp_switch *sw, const struct sp_flow *flow)
{
    uint32_t zone = 0;
    for (size_t i = 0; sp_flow_match_value(flow, SP_F_CT_ZONE, &zone) && i < sw->n_zones; i++) {
        if (sw->zones[i] == zone) {
            sw->zones[i] = sw->zones[--sw->n_zones];
            return;
        }
    }
}

int
sp_switch_claim_zone(struct sp_switch *sw, struct sp_unit *unit, const struct sp_flow_set *target, bool *ret)
{
    struct sp_switch_batch *batch = &sw->batch;
    struct sp_flow *flow = sp_switch_zone_flow(unit, target);
    *ret = true;
    if (!flow || sp_switch_owns(sw, flow)) {
        return 0;
    }
    *ret = !sp_flow_table_find(sw->installed, flow) && batch->n_flushes < sw->flushes_limit;
    if (!*ret) {
        return 0;
    }
    take_zone(sw, flow);
    batch->n_flushes++;
    return sp_flow_mods_add(&batch->mods, SP_ZONE_FLUSH, flow, unit);
}

/* If its zone was flushed behind it nothing is left to be remembered, so that the table does not grow with all that ever were. */
void
sp_switch_forget_owner(struct sp_switch *sw, const struct sp_flow *flow)
{
    uint32_t zone = 0;
    bool owned = SP_COOKIE_KIND(flow->cookie) == SP_COOKIE_OWNED && sp_flow_match_value(flow, SP_F_CT_ZONE, &zone);
    for (size_t i = 0; owned && i < sw->batch.n_zones; i++) {
        if (sw->batch.zones[i] == zone) {
            sp_flow_table_remove(sw->owners, flow);
            return;
        }
    }
}

void
sp_switch_note_flushes(struct sp_switch *sw)
{
    bool quick = sw->now_ms - sw->batch_begun_ms < QUICK_MS;
    size_t limit = quick ? 2 * sw->flushes_limit : sw->flushes_limit / 2;
    if (sw->batch.n_flushes) {
        sw->flushes_limit = limit < SP_FLUSHES_MIN ? SP_FLUSHES_MIN : limit > FLUSHES_MAX ? FLUSHES_MAX : limit;
    }
}

size_t
sp_switch_take_zones(struct sp_switch *sw, uint16_t *zones)
{
    size_t n = 0;
    while (sw->n_zones && n < SP_ZONES_MAX) {
        zones[n++] = sw->zones[--sw->n_zones];
    }
    return n;
}

int
sp_switch_learn_owner(struct sp_switch *sw, struct sp_flow *flow)
{
    return SP_COOKIE_KIND(flow->cookie) == SP_COOKIE_OWNED ? sp_flow_table_put(sw->owners, flow) : 0;
}

/* Whether the dump has a flow of 'unit' that brings its packets into its zone, from the same place and by the same MAC. */
static bool
comes_from_there(const struct sp_switch *sw, const struct sp_unit *unit)
{
    for (size_t i = 0; i < sp_flow_set_count(unit->desired); i++) {
        const struct sp_flow *flow = unit->desired->flows[i];
        const struct sp_flow *there = flow->table == SP_T_CLASSIFY ? sp_flow_table_find(sw->dump, flow) : NULL;
        if (there && there->cookie == flow->cookie) {
            return true;
        }
    }
    return false;
}

int
sp_switch_recognise(struct sp_switch *sw, const struct sp_unit *unit, struct sp_flow *flow, const struct sp_flow *there,
                    bool *ret)
{
    *ret = true;
    if (SP_COOKIE_KIND(flow->cookie) != SP_COOKIE_OWNED || sp_switch_owns(sw, flow)) {
        return 0;
    }
    if (SP_COOKIE_KIND(there->cookie) == SP_COOKIE_PORT && !sp_flow_table_find(sw->owners, flow) && comes_from_there(sw, unit)) {
        return sp_flow_table_put(sw->owners, flow);
    }
    *ret = false;
    return 0;
}
