#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/engine_state.h"
#include "flows/compile.h"

/* The pull functions: each appends the flows that 'unit' shall have now, from the model and the datapath's members. */
typedef int pull(struct sp_datapath *, const struct sp_unit_name *unit, struct sp_flow_list *out);

static pull pull_static, pull_reports, pull_uplinks, pull_port, pull_mac, pull_target, pull_flood_vlan, pull_flood_chunk,
    pull_remote;

static pull *const pulls[SP_N_UNIT_KINDS] = {
    [SP_UNIT_STATIC] = pull_static,
    [SP_UNIT_REPORTS] = pull_reports,
    [SP_UNIT_UPLINKS] = pull_uplinks,
    [SP_UNIT_PORT] = pull_port,
    [SP_UNIT_MAC] = pull_mac,
    [SP_UNIT_TARGET] = pull_target,
    [SP_UNIT_FLOOD_VLAN] = pull_flood_vlan,
    [SP_UNIT_FLOOD_CHUNK] = pull_flood_chunk,
    [SP_UNIT_REMOTE] = pull_remote,
    /* SP_UNIT_RULE_SET: shared between datapaths, engine_sets.c. */
};

void
sp_unit_name_init(struct sp_unit_name *name, enum sp_unit_kind kind)
{
    memset(name, 0, sizeof *name);
    name->kind = (uint8_t) kind;
}

void
sp_unit_name_port(struct sp_unit_name *name, const struct sp_uuid *port)
{
    sp_unit_name_init(name, SP_UNIT_PORT);
    memcpy(name->key, port->bytes, sizeof port->bytes);
}

static void
put_number(uint8_t *at, size_t size, uint32_t number)
{
    memcpy(at, &number, size);
}

static uint32_t
get_number(const uint8_t *at, size_t size)
{
    uint32_t number = 0;
    memcpy(&number, at, size);
    return number;
}

static void
put_ip(uint8_t *at, const struct sp_cidr *ip)
{
    at[0] = ip->family;
    memcpy(at + 1, ip->bytes, sizeof ip->bytes);
}

static struct sp_cidr
get_ip(const uint8_t *at)
{
    struct sp_cidr ip = { .family = at[0], .prefix = at[0] == 4 ? 32 : 128 };
    memcpy(ip.bytes, at + 1, sizeof ip.bytes);
    return ip;
}

void
sp_unit_name_mac(struct sp_unit_name *name, uint16_t vlan, const struct sp_mac *mac)
{
    sp_unit_name_init(name, SP_UNIT_MAC);
    put_number(name->key, 2, vlan);
    memcpy(name->key + 2, mac->bytes, sizeof mac->bytes);
}

void
sp_unit_name_target(struct sp_unit_name *name, uint16_t vlan, const struct sp_cidr *ip)
{
    sp_unit_name_init(name, SP_UNIT_TARGET);
    put_number(name->key, 2, vlan);
    put_ip(name->key + 2, ip);
}

void
sp_unit_name_flood(struct sp_unit_name *name, uint16_t vlan)
{
    sp_unit_name_init(name, SP_UNIT_FLOOD_VLAN);
    put_number(name->key, 2, vlan);
}

void
sp_unit_name_chunk(struct sp_unit_name *name, uint16_t vlan, uint8_t chunk)
{
    sp_unit_name_init(name, SP_UNIT_FLOOD_CHUNK);
    put_number(name->key, 2, vlan);
    name->key[2] = chunk;
}

void
sp_unit_name_remote(struct sp_unit_name *name, uint32_t region, const struct sp_cidr *ip)
{
    sp_unit_name_init(name, SP_UNIT_REMOTE);
    put_number(name->key, 4, region);
    put_ip(name->key + 4, ip);
}

void
sp_unit_name_set(struct sp_unit_name *name, uint32_t number)
{
    sp_unit_name_init(name, SP_UNIT_RULE_SET);
    put_number(name->key, 4, number);
}

struct sp_mac
sp_unit_mac(const struct sp_unit_name *name)
{
    struct sp_mac mac;
    memcpy(mac.bytes, name->key + 2, sizeof mac.bytes);
    return mac;
}

struct sp_cidr
sp_unit_ip(const struct sp_unit_name *name)
{
    return get_ip(name->key + (name->kind == SP_UNIT_REMOTE ? 4 : 2));
}

void
sp_datapath_mark(struct sp_datapath *dp, const struct sp_unit_name *name)
{
    if (!dp->projected) {
        return;
    }
    sp_engine_touch(dp->engine, dp);
    sp_datapath_notice(dp);
    uint32_t hash = sp_index_hash(dp->engine->seed, name, sizeof *name);
    struct sp_index_node *node = sp_index_find(&dp->stale, hash, name);
    if (node) {
        ((struct sp_stale *) node->owner)->revisions.last = dp->engine->now.last;
        return;
    }
    struct sp_stale *stale = calloc(1, sizeof *stale);
    if (!stale) {
        sp_datapath_give_up(dp);
        return;
    }
    stale->unit = *name;
    stale->revisions = dp->engine->now;
    stale->node.owner = stale;
    sp_index_add(&dp->stale, &stale->node, hash, name);
    stale->next = dp->first_stale;
    dp->first_stale = stale;
}

/* Stores in '*ret' what 'unit' shall be (NULL: no flows).  Returns 0, -ENOMEM or SP_E_RANGE. */
static int
pull_unit(struct sp_datapath *dp, const struct sp_unit_name *unit, struct sp_flow_set **ret)
{
    *ret = NULL;
    if (unit->kind == SP_UNIT_RULE_SET) {
        uint32_t number = get_number(unit->key, 4);
        struct sp_index_node *node = sp_index_find(&dp->sets, sp_index_hash(dp->engine->seed, &number, sizeof number), &number);
        if (!node) {
            return 0;
        }
        struct sp_shared_set *set = ((struct sp_presence *) node->owner)->set;
        *ret = sp_flow_set_ref(set->now.flows);
        return set->error;
    }
    struct sp_flow_list list;
    sp_flow_list_init(&list);
    int error = pulls[unit->kind](dp, unit, &list);
    if (!error && list.n) {
        *ret = sp_flow_set_new(&list);
        error = *ret ? 0 : -ENOMEM;
    }
    sp_flow_list_clear(&list);
    return error;
}

/* Returns 0, or -ENOMEM, and the connection has been given up. */
static int
compile_unit(struct sp_datapath *dp, const struct sp_stale *stale)
{
    struct sp_flow_set *flows;
    int error = pull_unit(dp, &stale->unit, &flows);
    if (!error) {
        error = sp_switch_set_unit(dp->sw, &stale->unit, flows, stale->revisions);
    } else {
        sp_flow_set_unref(flows);
    }
    if (error == SP_E_RANGE) {
        sp_switch_fail_unit(dp->sw, &stale->unit, "cannot be expressed in flows: too many ports or addresses", stale->revisions);
        error = 0;
    } else if (error) {
        sp_datapath_give_up(dp);
    }
    return error;
}

void
sp_datapath_compile(struct sp_datapath *dp)
{
    int error = 0;
    for (struct sp_stale *stale = dp->first_stale; stale && !error; stale = stale->next) {
        error = compile_unit(dp, stale);
    }
    sp_datapath_forget_stale(dp);
}

bool
sp_datapath_compile_next(struct sp_datapath *dp)
{
    struct sp_stale *stale = dp->first_stale;
    if (!stale) {
        return false;
    }
    dp->first_stale = stale->next;
    sp_index_remove(&dp->stale, &stale->node, sp_index_hash(dp->engine->seed, &stale->unit, sizeof stale->unit), &stale->unit);
    if (compile_unit(dp, stale)) {
        sp_datapath_forget_stale(dp);
    }
    free(stale);
    return true;
}

void
sp_datapath_forget_stale(struct sp_datapath *dp)
{
    struct sp_stale *stale;
    while ((stale = dp->first_stale)) {
        dp->first_stale = stale->next;
        free(stale);
    }
    sp_index_clear(&dp->stale);
}

static int
pull_static(struct sp_datapath *dp, const struct sp_unit_name *unit, struct sp_flow_list *out)
{
    return dp->releasing ? 0 : sp_compile_static(out);
}

static int
pull_reports(struct sp_datapath *dp, const struct sp_unit_name *unit, struct sp_flow_list *out)
{
    return dp->releasing || !dp->has_meters ? 0 : sp_compile_reports(out);
}

static int
pull_uplinks(struct sp_datapath *dp, const struct sp_unit_name *unit, struct sp_flow_list *out)
{
    size_t n, n_uplinks = 0;
    struct sp_ofport **ports = sp_datapath_sorted_ofports(dp, &n);
    uint16_t *uplinks = malloc((n ? n : 1) * sizeof *uplinks);
    int error = ports && uplinks ? 0 : -ENOMEM;
    for (size_t i = 0; !error && i < n; i++) {
        if (ports[i]->role == SP_ROLE_UPLINK) {
            uplinks[n_uplinks++] = ports[i]->number;
        }
    }
    if (!error && n_uplinks) {
        error = sp_compile_uplinks(uplinks, n_uplinks, out);
    }
    free(uplinks);
    free(ports);
    return error;
}

static int
pull_port(struct sp_datapath *dp, const struct sp_unit_name *unit, struct sp_flow_list *out)
{
    struct sp_uuid id;
    memcpy(id.bytes, unit->key, sizeof id.bytes);
    const struct sp_binding *binding = sp_datapath_binding(dp, &id);
    if (!binding) {
        return 0;
    }
    struct sp_port_facts facts = {
        .port = binding->port, .ofport = binding->ofport->number, .set = binding->server->set, .dpid = dp->dpid,
    };
    return sp_compile_port(&facts, out);
}

static int
compare_u16(const void *a, const void *b)
{
    return (int) *(const uint16_t *) a - (int) *(const uint16_t *) b;
}

/* The port numbers of the unit's members, ascending, each once; freed by the caller. */
static int
member_ofports(struct sp_datapath *dp, const struct sp_unit_name *unit, uint16_t **ret, size_t *ret_n)
{
    *ret = NULL;
    *ret_n = 0;
    struct sp_index_node *head = sp_index_find(&dp->members, sp_index_hash(dp->engine->seed, unit, sizeof *unit), unit);
    if (!head) {
        return 0;
    }
    uint16_t *numbers = malloc(head->count * sizeof *numbers);
    if (!numbers) {
        return -ENOMEM;
    }
    size_t n = 0, n_distinct = 0;
    for (struct sp_index_node *node = head; node; node = sp_index_next(head, node)) {
        numbers[n++] = ((struct sp_binding *) node->owner)->ofport->number;
    }
    qsort(numbers, n, sizeof *numbers, compare_u16);
    for (size_t i = 0; i < n; i++) {
        if (!i || numbers[i] != numbers[i - 1]) {
            numbers[n_distinct++] = numbers[i];
        }
    }
    *ret = numbers;
    *ret_n = n_distinct;
    return 0;
}

static int
pull_mac(struct sp_datapath *dp, const struct sp_unit_name *unit, struct sp_flow_list *out)
{
    uint16_t *ofports;
    size_t n;
    struct sp_mac mac = sp_unit_mac(unit);
    int error = member_ofports(dp, unit, &ofports, &n);
    if (n) {
        error = sp_compile_mac((uint16_t) get_number(unit->key, 2), &mac, ofports, n, out);
    }
    free(ofports);
    return error;
}

static int
pull_target(struct sp_datapath *dp, const struct sp_unit_name *unit, struct sp_flow_list *out)
{
    uint16_t *ofports;
    size_t n;
    struct sp_cidr ip = sp_unit_ip(unit);
    int error = member_ofports(dp, unit, &ofports, &n);
    if (n) {
        error = sp_compile_target((uint16_t) get_number(unit->key, 2), &ip, ofports, n, out);
    }
    free(ofports);
    return error;
}

static int
pull_flood_chunk(struct sp_datapath *dp, const struct sp_unit_name *unit, struct sp_flow_list *out)
{
    uint16_t *ofports;
    size_t n;
    int error = member_ofports(dp, unit, &ofports, &n);
    if (n) {
        error = sp_compile_flood_chunk((uint16_t) get_number(unit->key, 2), unit->key[2], ofports, n, out);
    }
    free(ofports);
    return error;
}

static int
pull_flood_vlan(struct sp_datapath *dp, const struct sp_unit_name *unit, struct sp_flow_list *out)
{
    uint16_t vlan = (uint16_t) get_number(unit->key, 2);
    uint8_t chunks[SP_FLOOD_CHUNKS];
    size_t n = 0;
    for (uint8_t chunk = 0; chunk < SP_FLOOD_CHUNKS; chunk++) {
        struct sp_unit_name name;
        sp_unit_name_chunk(&name, vlan, chunk);
        if (sp_index_find(&dp->members, sp_index_hash(dp->engine->seed, &name, sizeof name), &name)) {
            chunks[n++] = chunk;
        }
    }
    return n ? sp_compile_flood_vlan(vlan, chunks, n, out) : 0;
}

/* Wanted if the address's class has a group that a rule of some rule set here names as remote group. */
static int
pull_remote(struct sp_datapath *dp, const struct sp_unit_name *unit, struct sp_flow_list *out)
{
    const struct sp_engine *engine = dp->engine;
    uint32_t number = get_number(unit->key, 4);
    struct sp_cidr ip = sp_unit_ip(unit);
    if (number >= engine->n_regions || !engine->regions[number]) {
        return 0;
    }
    uint32_t class = sp_model_class(engine->model, engine->regions[number], &ip);
    const struct sp_rule_set *set = class ? sp_model_rule_set(engine->model, class) : NULL;
    for (size_t i = 0; set && i < set->n_groups; i++) {
        if (sp_datapath_reference(dp, &set->groups[i])) {
            return sp_compile_remote(number, &ip, class, out);
        }
    }
    return 0;
}
