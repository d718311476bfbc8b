#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "controller/model/object.h"
#include "controller/model/staging.h"

#define REGION_MAX 0x00ffffffu /* Shares a register with flags, see sallyport/pipeline.h. */
#define SET_MAX 0xfffffffeu
#define SLOT_MAX 0x7fffffffu
#define MARK_MAX 0x7fffffffu
#define ZONE_MAX 65535u

static int draw(uint32_t *next, uint32_t max, uint32_t *ret)
{
    if (*next > max) {
        return SP_E_FULL;
    }
    *ret = (*next)++;
    return 0;
}

int sp_batch_draw_region(struct sp_batch *batch, uint32_t *ret)
{
    return draw(&batch->counters.next_region, REGION_MAX, ret);
}

int sp_batch_draw_set(struct sp_batch *batch, uint32_t *ret)
{
    return draw(&batch->counters.next_set, SET_MAX, ret);
}

int sp_batch_draw_slot(struct sp_batch *batch, uint32_t *ret)
{
    return draw(&batch->counters.next_slot, SLOT_MAX, ret);
}

int sp_batch_draw_mark(struct sp_batch *batch, uint32_t *ret)
{
    return draw(&batch->counters.next_mark, MARK_MAX, ret);
}

static void set_bit(uint8_t *bits, unsigned i)
{
    bits[i / 8] |= 1u << i % 8;
}

static bool has_bit(const uint8_t *bits, unsigned i)
{
    return bits[i / 8] >> i % 8 & 1;
}

/* How free a zone is for a port, best first. */
enum freedom { UNUSED, USED_ELSEWHERE, PERHAPS_USED_HERE, USED_HERE };

/* 'here' has a bit for each zone that ports of the bridge have. */
static enum freedom freedom_of(const struct sp_batch *batch, unsigned zone, const uint8_t *here)
{
    const struct sp_zone_users *users = &batch->model->zones[zone];
    if (has_bit(batch->drawn_zones, zone) || has_bit(here, zone)) {
        return USED_HERE;
    }
    return !users->all ? UNUSED : users->by_iface ? PERHAPS_USED_HERE : USED_ELSEWHERE;
}

/* The freest zone, the first such from 'first' on, content with one that is 'enough'.  0: all are USED_HERE. */
static unsigned find_zone(const struct sp_batch *batch, unsigned first, const uint8_t *here, enum freedom enough)
{
    unsigned best = 0;
    enum freedom best_freedom = USED_HERE;
    for (unsigned i = 0; i < ZONE_MAX && best_freedom > enough; i++) {
        unsigned zone = (first - 1 + i) % ZONE_MAX + 1;
        enum freedom freedom = freedom_of(batch, zone, here);
        if (freedom < best_freedom) {
            best = zone;
            best_freedom = freedom;
        }
    }
    return best;
}

int sp_batch_draw_zone(struct sp_batch *batch, const uint64_t *dpid, uint16_t *ret)
{
    uint8_t here[(ZONE_MAX + 1) / 8] = { 0 };
    unsigned first = batch->counters.next_zone ? batch->counters.next_zone : 1;
    /* As long as some zone has no port, the bridge's own need not be looked at. */
    unsigned zone = batch->model->n_zones_used < ZONE_MAX ? find_zone(batch, first, here, UNUSED) : 0;
    if (!zone || batch->model->zones[zone].all) {
        /* Zones are unique on one switch at least: the bridge's own are out of the question. */
        const struct sp_index_node *head = dpid ? sp_model_find(batch->model, SP_INDEX_BRIDGE_PORTS, dpid) : NULL;
        for (const struct sp_index_node *node = head; node; node = sp_index_next(head, node)) {
            set_bit(here, sp_node_port(node)->zone);
        }
        zone = find_zone(batch, first, here, USED_ELSEWHERE);
    }
    if (!zone) {
        return SP_E_FULL;
    }
    set_bit(batch->drawn_zones, zone);
    batch->has_drawn_zones = true;
    batch->counters.next_zone = zone % ZONE_MAX + 1;
    *ret = zone;
    return 0;
}

bool sp_batch_zone_is_taken(const struct sp_batch *batch, uint64_t dpid, uint16_t zone, const struct sp_uuid *port)
{
    if (batch->model->zones[zone].all <= 1) {
        return false;
    }
    const struct sp_index_node *head = sp_model_find(batch->model, SP_INDEX_BRIDGE_PORTS, &dpid);
    for (const struct sp_index_node *node = head; node; node = sp_index_next(head, node)) {
        if (sp_node_port(node)->zone == zone && !sp_uuid_equal(&sp_node_port(node)->id, port)) {
            return true;
        }
    }
    return false;
}

int sp_batch_new_id(struct sp_uuid *ret)
{
    struct sp_uuid id;
    ssize_t size;
    do {
        size = getrandom(id.bytes, sizeof id.bytes, 0);
    } while (size < 0 && errno == EINTR);
    if (size != sizeof id.bytes) {
        return size < 0 ? -errno : -EIO;
    }
    id.bytes[6] = (id.bytes[6] & 0x0f) | 0x40;
    id.bytes[8] = (id.bytes[8] & 0x3f) | 0x80;
    *ret = id;
    return 0;
}

static int compare_uuids(const void *a, const void *b)
{
    return sp_uuid_compare(a, b);
}

int sp_batch_need_set(struct sp_batch *batch, const char *region, struct sp_uuid *groups, size_t n, uint32_t *ret)
{
    if (!n) {
        *ret = 0;
        return 0;
    }
    qsort(groups, n, sizeof *groups, compare_uuids);
    const struct sp_rule_set *known = sp_model_set_of_groups(batch->model, &(struct sp_groups_key) { region, groups, n });
    if (known) {
        *ret = known->number;
        return 0;
    }
    struct sp_rule_set set = { .region = (char *) region, .groups = groups, .n_groups = n };
    int r = sp_batch_draw_set(batch, &set.number);
    if (!r) {
        r = sp_batch_stage(batch, SP_KIND_RULE_SET, NULL, sp_rule_set_new(&set));
    }
    if (!r) {
        *ret = set.number;
    }
    return r;
}
