#include "controller/model/model.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "controller/model/tables.h"

#define N_ZONES 65536

struct sp_model *sp_model_new(void)
{
    struct sp_model *model = calloc(1, sizeof *model);
    if (!model || !(model->zones = calloc(N_ZONES, sizeof *model->zones))) {
        free(model);
        return NULL;
    }
    if (getrandom(&model->seed, sizeof model->seed, GRND_NONBLOCK) != sizeof model->seed) {
        model->seed = (uintptr_t) model; /* Only slows down who cannot choose names that collide anyway. */
    }
    for (size_t i = 0; i < SP_N_INDICES; i++) {
        sp_index_init(&model->indices[i], sp_index_matches[i]);
    }
    model->counters = (struct sp_counters) { .next_region = 1, .next_set = 1, .next_slot = 1, .next_mark = 1, .next_zone = 1 };
    return model;
}

void sp_model_free(struct sp_model *model)
{
    /* One index of each kind reaches all of its entries. */
    static const enum sp_index_name owners[] = { SP_INDEX_REGION, SP_INDEX_GROUP, SP_INDEX_SERVER,
                                                 SP_INDEX_BRIDGE, SP_INDEX_SET,   SP_INDEX_SHARED };
    if (!model) {
        return;
    }
    assert(!model->in_batch);
    for (size_t i = 0; i < sizeof owners / sizeof owners[0]; i++) {
        struct sp_index *index = &model->indices[owners[i]];
        size_t cursor = 0;
        struct sp_index_node *head = sp_index_next_head(index, NULL, &cursor);
        while (head) {
            struct sp_index_node *next = sp_index_next_head(index, head, &cursor);
            sp_entry_free(head->owner);
            head = next;
        }
    }
    for (size_t i = 0; i < SP_N_INDICES; i++) {
        sp_index_clear(&model->indices[i]);
    }
    free(model->zones);
    free(model);
}

const struct sp_counters *sp_model_counters(const struct sp_model *model)
{
    return &model->counters;
}

const struct sp_region *sp_model_region(const struct sp_model *model, const char *name)
{
    const struct sp_index_node *node = sp_model_find(model, SP_INDEX_REGION, name);
    return node ? sp_node_entry(node)->region : NULL;
}

const struct sp_group *sp_model_group(const struct sp_model *model, const struct sp_uuid *id)
{
    const struct sp_index_node *node = sp_model_find(model, SP_INDEX_GROUP, id);
    return node ? sp_node_entry(node)->group : NULL;
}

const struct sp_server *sp_model_server(const struct sp_model *model, const struct sp_uuid *id)
{
    const struct sp_index_node *node = sp_model_find(model, SP_INDEX_SERVER, id);
    return node ? sp_node_entry(node)->server : NULL;
}

const struct sp_port *sp_model_port(const struct sp_model *model, const struct sp_uuid *id)
{
    const struct sp_index_node *node = sp_model_find(model, SP_INDEX_PORT, id);
    return node ? sp_node_port(node) : NULL;
}

const struct sp_bridge *sp_model_bridge(const struct sp_model *model, uint64_t dpid)
{
    const struct sp_index_node *node = sp_model_find(model, SP_INDEX_BRIDGE, &dpid);
    return node ? sp_node_entry(node)->bridge : NULL;
}

const struct sp_rule_set *sp_model_rule_set(const struct sp_model *model, uint32_t number)
{
    const struct sp_index_node *node = sp_model_find(model, SP_INDEX_SET, &number);
    return node ? sp_node_entry(node)->set : NULL;
}

const struct sp_rule_set *sp_model_set_of_groups(const struct sp_model *model, const struct sp_groups_key *key)
{
    const struct sp_index_node *node = sp_model_find(model, SP_INDEX_SET_OF_GROUPS, key);
    return node ? sp_node_entry(node)->set : NULL;
}

bool sp_model_group_is_default(const struct sp_model *model, const struct sp_group *group)
{
    const struct sp_region *region = sp_model_region(model, group->region);
    return region && sp_uuid_equal(&region->default_group, &group->id);
}

/* Classes. */

uint32_t sp_model_class(const struct sp_model *model, const char *region, const struct sp_cidr *ip)
{
    struct sp_address_key key = { region, *ip };
    const struct sp_index_node *node = sp_model_find(model, SP_INDEX_SHARED, &key);
    if (node) {
        return sp_node_entry(node)->shared->set;
    }
    node = sp_model_find(model, SP_INDEX_ADDRESSES, &key);
    return node ? sp_node_entry(node)->server->set : 0;
}

static int compare_uuids(const void *a, const void *b)
{
    return sp_uuid_compare(a, b);
}

bool sp_model_is_member_address(const struct sp_model *model, const struct sp_uuid *group, const struct sp_cidr *ip)
{
    const struct sp_group *found = sp_model_group(model, group);
    const struct sp_rule_set *set = found ? sp_model_rule_set(model, sp_model_class(model, found->region, ip)) : NULL;
    return set && bsearch(group, set->groups, set->n_groups, sizeof *set->groups, compare_uuids);
}

static size_t count(const struct sp_model *model, enum sp_index_name name, const void *key)
{
    const struct sp_index_node *head = sp_model_find(model, name, key);
    return head ? head->count : 0;
}

/* Counts the nodes of all keys of an index. */
static size_t count_all(const struct sp_model *model, enum sp_index_name name)
{
    size_t n = 0, cursor = 0;
    const struct sp_index *index = &model->indices[name];
    for (struct sp_index_node *head = NULL; (head = sp_index_next_head(index, head, &cursor));) {
        n += head->count;
    }
    return n;
}

size_t sp_model_count_servers(const struct sp_model *model, const char *region)
{
    return region ? count(model, SP_INDEX_REGION_SERVERS, region) : count_all(model, SP_INDEX_REGION_SERVERS);
}

size_t sp_model_count_groups(const struct sp_model *model, const char *region)
{
    return region ? count(model, SP_INDEX_REGION_GROUPS, region) : count_all(model, SP_INDEX_REGION_GROUPS);
}

size_t sp_model_count_members(const struct sp_model *model, const struct sp_uuid *group)
{
    return count(model, SP_INDEX_MEMBERS, group);
}
