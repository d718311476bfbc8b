#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "controller/model/model.h"
#include "controller/model/object.h"
#include "flows/compile.h"
#include "tests/support/world.h"

/* Every object of a model in plain lists; whatever the model answers from its indices is found here by looking at all. */

struct list {
    const void **items;
    size_t n;
};

struct all {
    const struct sp_model *model;
    struct list regions, groups, servers, bridges, sets;
};

static void append(struct list *list, const void *item)
{
    list->items = reallocarray(list->items, list->n + 1, sizeof *list->items);
    assert_non_null(list->items);
    list->items[list->n++] = item;
}

#define VISITOR(KIND, TYPE)                                                                                                      \
    static int append_##KIND(void *list, const struct TYPE *object)                                                              \
    {                                                                                                                            \
        append(list, object);                                                                                                    \
        return 0;                                                                                                                \
    }
VISITOR(region, sp_region)
VISITOR(group, sp_group)
VISITOR(server, sp_server)
VISITOR(bridge, sp_bridge)
VISITOR(set, sp_rule_set)

static int append_port(void *list, const struct sp_port *port, const struct sp_server *server)
{
    assert_true(sp_uuid_equal(&port->server, &server->id));
    append(list, port);
    return 0;
}

static int compare_pointers(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(void *));
}

/* Checks that both lists have the same items, each once, and empties them. */
static void assert_same(struct list *a, struct list *b)
{
    assert_int_equal(a->n, b->n);
    if (a->n) {
        qsort(a->items, a->n, sizeof *a->items, compare_pointers);
        qsort(b->items, b->n, sizeof *b->items, compare_pointers);
        assert_memory_equal(a->items, b->items, a->n * sizeof *a->items);
    }
    free(a->items);
    free(b->items);
    *a = *b = (struct list) { 0 };
}

static bool has_id(const struct sp_uuid *ids, size_t n, const struct sp_uuid *id)
{
    for (size_t i = 0; i < n; i++) {
        if (sp_uuid_equal(&ids[i], id)) {
            return true;
        }
    }
    return false;
}

static bool names_group(const struct sp_group *group, const struct sp_uuid *remote)
{
    for (size_t i = 0; i < group->n_rules; i++) {
        const struct sp_meaning *meaning = &group->rules[i]->meaning;
        if (meaning->remote == SP_REMOTE_GROUP && sp_uuid_equal(&meaning->remote_group, remote)) {
            return true;
        }
    }
    return false;
}

static const struct sp_rule_set *find_set(const struct all *all, const char *region, const struct sp_uuid *groups, size_t n)
{
    const struct sp_rule_set *found = NULL;
    for (size_t i = 0; i < all->sets.n; i++) {
        const struct sp_rule_set *set = all->sets.items[i];
        bool same = set->n_groups == n && !strcmp(set->region, region);
        for (size_t j = 0; j < n && same; j++) {
            same = has_id(set->groups, set->n_groups, &groups[j]);
        }
        if (same) {
            assert_null(found);
            found = set;
        }
    }
    return found;
}

static void check_groups(const struct all *all)
{
    struct list naive = { 0 }, told = { 0 };
    for (size_t i = 0; i < all->groups.n; i++) {
        const struct sp_group *group = all->groups.items[i];
        assert_ptr_equal(sp_model_group(all->model, &group->id), group);
        for (size_t j = 0; j < all->servers.n; j++) {
            const struct sp_server *server = all->servers.items[j];
            if (has_id(server->groups, server->n_groups, &group->id)) {
                append(&naive, server);
            }
        }
        assert_int_equal(sp_model_count_members(all->model, &group->id), naive.n);
        sp_model_each_member(all->model, &group->id, append_server, &told);
        assert_same(&naive, &told);
        for (size_t j = 0; j < all->groups.n; j++) {
            if (names_group(all->groups.items[j], &group->id)) {
                append(&naive, all->groups.items[j]);
            }
        }
        sp_model_each_referrer(all->model, &group->id, append_group, &told);
        assert_same(&naive, &told);
        for (size_t j = 0; j < all->sets.n; j++) {
            const struct sp_rule_set *set = all->sets.items[j];
            if (has_id(set->groups, set->n_groups, &group->id)) {
                append(&naive, set);
            }
        }
        sp_model_each_set_of_group(all->model, &group->id, append_set, &told);
        assert_same(&naive, &told);
    }
}

static void check_regions(const struct all *all)
{
    struct list naive = { 0 }, told = { 0 };
    assert_int_equal(sp_model_count_servers(all->model, NULL), all->servers.n);
    assert_int_equal(sp_model_count_groups(all->model, NULL), all->groups.n);
    for (size_t i = 0; i < all->regions.n; i++) {
        const struct sp_region *region = all->regions.items[i];
        assert_ptr_equal(sp_model_region(all->model, region->name), region);
        for (size_t j = 0; j < all->groups.n; j++) {
            const struct sp_group *group = all->groups.items[j];
            if (!strcmp(group->region, region->name)) {
                append(&naive, group);
                assert_int_equal(sp_model_group_is_default(all->model, group), sp_uuid_equal(&region->default_group, &group->id));
            }
        }
        assert_int_equal(sp_model_count_groups(all->model, region->name), naive.n);
        sp_model_each_group(all->model, region->name, append_group, &told);
        assert_same(&naive, &told);
        for (size_t j = 0; j < all->servers.n; j++) {
            if (!strcmp(((const struct sp_server *) all->servers.items[j])->region, region->name)) {
                append(&naive, all->servers.items[j]);
            }
        }
        assert_int_equal(sp_model_count_servers(all->model, region->name), naive.n);
        sp_model_each_server(all->model, region->name, append_server, &told);
        assert_same(&naive, &told);
        for (size_t j = 0; j < all->sets.n; j++) {
            if (!strcmp(((const struct sp_rule_set *) all->sets.items[j])->region, region->name)) {
                append(&naive, all->sets.items[j]);
            }
        }
        sp_model_each_rule_set(all->model, region->name, append_set, &told);
        assert_same(&naive, &told);
    }
}

static void check_ports(const struct all *all)
{
    struct list naive = { 0 }, told = { 0 };
    static uint8_t zones[65536];
    memset(zones, 0, sizeof zones);
    for (size_t i = 0; i < all->servers.n; i++) {
        const struct sp_server *server = all->servers.items[i];
        assert_ptr_equal(sp_model_server(all->model, &server->id), server);
        for (size_t j = 0; j < server->n_ports; j++) {
            const struct sp_port *port = server->ports[j];
            assert_ptr_equal(sp_model_port(all->model, &port->id), port);
            assert_int_not_equal(port->zone, 0);
            assert_false(zones[port->zone]++);
            append(&naive, port);
            if (port->has_bridge) {
                sp_model_each_named_port(all->model, port->dpid, port->name, append_port, &told);
            } else {
                sp_model_each_iface_port(all->model, port->iface_id, append_port, &told);
            }
            assert_same(&naive, &told);
        }
    }
    for (size_t b = 0; b < all->bridges.n; b++) {
        const struct sp_bridge *bridge = all->bridges.items[b];
        assert_ptr_equal(sp_model_bridge(all->model, bridge->dpid), bridge);
        for (size_t i = 0; i < all->servers.n; i++) {
            const struct sp_server *server = all->servers.items[i];
            for (size_t j = 0; j < server->n_ports; j++) {
                if (server->ports[j]->has_bridge && server->ports[j]->dpid == bridge->dpid) {
                    append(&naive, server->ports[j]);
                }
            }
        }
        sp_model_each_bridge_port(all->model, bridge->dpid, append_port, &told);
        assert_same(&naive, &told);
    }
}

/* The groups of all servers of 'region' with a port that has 'ip', each once.  Returns their number. */
static size_t groups_of_address(const struct all *all, const char *region, const struct sp_cidr *ip, struct sp_uuid *ret)
{
    size_t n = 0;
    for (size_t i = 0; i < all->servers.n; i++) {
        const struct sp_server *server = all->servers.items[i];
        bool has_ip = false;
        for (size_t j = 0; j < server->n_ports && !strcmp(server->region, region); j++) {
            for (size_t k = 0; k < server->ports[j]->n_ips; k++) {
                has_ip |= sp_cidr_equal(&server->ports[j]->ips[k], ip);
            }
        }
        for (size_t j = 0; j < server->n_groups && has_ip; j++) {
            if (!has_id(ret, n, &server->groups[j])) {
                ret[n++] = server->groups[j];
            }
        }
    }
    return n;
}

struct sighting {
    const struct sp_cidr *ip;
    uint32_t set;
    size_t n;
};

static int sight(void *aux, const struct sp_cidr *ip, uint32_t set)
{
    struct sighting *sighting = aux;
    if (sp_cidr_equal(ip, sighting->ip)) {
        sighting->n++;
        assert_int_equal(set, sighting->set);
    }
    return 0;
}

static void check_address(const struct all *all, const char *region, const struct sp_cidr *ip, uint8_t *used_sets)
{
    struct sp_uuid groups[64];
    size_t n = groups_of_address(all, region, ip, groups);
    const struct sp_rule_set *set = n ? find_set(all, region, groups, n) : NULL;
    assert_true(!n || set);
    assert_int_equal(sp_model_class(all->model, region, ip), set ? set->number : 0);
    for (size_t i = 0; i < all->groups.n; i++) {
        const struct sp_group *group = all->groups.items[i];
        bool is_member = has_id(groups, n, &group->id);
        struct sighting sighting = { ip, set ? set->number : 0, 0 };
        if (strcmp(group->region, region)) {
            continue;
        }
        assert_int_equal(sp_model_is_member_address(all->model, &group->id, ip), is_member);
        sp_model_each_address_of_group(all->model, &group->id, sight, &sighting);
        assert_int_equal(sighting.n, is_member);
    }
    for (size_t i = 0; i < all->sets.n; i++) {
        used_sets[i] |= all->sets.items[i] == set;
    }
}

static void check_sets(const struct all *all)
{
    uint8_t *used = calloc(all->sets.n + 1, 1);
    assert_non_null(used);
    for (size_t i = 0; i < all->servers.n; i++) {
        const struct sp_server *server = all->servers.items[i];
        const struct sp_rule_set *set = NULL;
        if (server->n_groups) {
            set = find_set(all, server->region, server->groups, server->n_groups);
            assert_non_null(set);
        }
        assert_int_equal(server->set, set ? set->number : 0);
        for (size_t j = 0; j < all->sets.n; j++) {
            used[j] |= all->sets.items[j] == set;
        }
        for (size_t j = 0; j < server->n_ports; j++) {
            for (size_t k = 0; k < server->ports[j]->n_ips; k++) {
                check_address(all, server->region, &server->ports[j]->ips[k], used);
            }
        }
    }
    for (size_t i = 0; i < all->sets.n; i++) {
        assert_true(used[i]);
        const struct sp_rule_set *set = all->sets.items[i];
        assert_ptr_equal(sp_model_rule_set(all->model, set->number), set);
    }
    free(used);
}

/* Whether group 'id' is a part of set 'number'. */
static bool set_has_group(const struct all *all, uint32_t number, const struct sp_uuid *id)
{
    const struct sp_rule_set *set = sp_model_rule_set(all->model, number);
    return set && has_id(set->groups, set->n_groups, id);
}

static void check_facts(const struct all *all, const struct sp_rule_set *set)
{
    struct sp_rule_facts *facts;
    size_t n, n_rules = 0;
    int64_t age = INT64_MIN;
    assert_int_equal(sp_model_rule_facts(all->model, set, &facts, &n), 0);
    for (size_t i = 0; i < set->n_groups; i++) {
        n_rules += sp_model_group(all->model, &set->groups[i])->n_rules;
    }
    assert_int_equal(n, n_rules);
    assert_int_equal(n, set->n_admissions);
    for (size_t i = 0; i < n; i++) {
        const struct sp_rule *rule = NULL;
        for (size_t g = 0; g < set->n_groups; g++) {
            const struct sp_group *group = sp_model_group(all->model, &set->groups[g]);
            for (size_t j = 0; j < group->n_rules; j++) {
                rule = &group->rules[j]->meaning == facts[i].meaning ? group->rules[j] : rule;
            }
        }
        assert_non_null(rule);
        assert_true(rule->created_at >= age);
        age = rule->created_at;
        bool is_admitted = false;
        for (size_t j = 0; j < set->n_admissions; j++) {
            const struct sp_admission *admission = &set->admissions[j];
            if (sp_uuid_equal(&admission->rule, &rule->id)) {
                is_admitted = admission->slot == facts[i].slot && admission->mark == facts[i].mark;
            }
        }
        assert_true(is_admitted);
        assert_int_equal(!facts[i].mark, rule->meaning.action == SP_DENY);
        size_t n_classes = 0;
        for (size_t j = 0; j < all->sets.n && rule->meaning.remote == SP_REMOTE_GROUP; j++) {
            const struct sp_rule_set *class = all->sets.items[j];
            n_classes += set_has_group(all, class->number, &rule->meaning.remote_group);
        }
        assert_int_equal(facts[i].n_classes, n_classes);
        for (size_t j = 0; j < n_classes; j++) {
            assert_true(set_has_group(all, facts[i].classes[j], &rule->meaning.remote_group));
            assert_true(!j || facts[i].classes[j - 1] < facts[i].classes[j]);
        }
    }
    free(facts);
}

static void load_list(struct sp_model *copy, enum sp_kind kind, const struct list *list)
{
    char why[512] = "";
    for (size_t i = list->n; i-- > 0;) {
        struct sp_object object = { kind, list->items[i] };
        sp_object_ref(object);
        int r = sp_model_load(copy, object, why, sizeof why);
        if (r) {
            fail_msg("load: %s", why);
        }
    }
}

/* The objects make a whole that a new model takes, and that model has the same classes. */
static void check_reload(const struct all *all)
{
    char why[512] = "";
    struct sp_model *copy = sp_model_new();
    assert_non_null(copy);
    load_list(copy, SP_KIND_RULE_SET, &all->sets);
    load_list(copy, SP_KIND_SERVER, &all->servers);
    load_list(copy, SP_KIND_BRIDGE, &all->bridges);
    load_list(copy, SP_KIND_GROUP, &all->groups);
    load_list(copy, SP_KIND_REGION, &all->regions);
    if (sp_model_load_done(copy, sp_model_counters(all->model), why, sizeof why)) {
        fail_msg("load: %s", why);
    }
    assert_memory_equal(sp_model_counters(copy), sp_model_counters(all->model), sizeof(struct sp_counters));
    for (size_t i = 0; i < all->servers.n; i++) {
        const struct sp_server *server = all->servers.items[i];
        for (size_t j = 0; j < server->n_ports; j++) {
            for (size_t k = 0; k < server->ports[j]->n_ips; k++) {
                const struct sp_cidr *ip = &server->ports[j]->ips[k];
                assert_int_equal(sp_model_class(copy, server->region, ip), sp_model_class(all->model, server->region, ip));
            }
        }
    }
    sp_model_free(copy);
}

void world_check(const struct sp_model *model)
{
    struct all all = { .model = model };
    sp_model_each_region(model, append_region, &all.regions);
    sp_model_each_group(model, NULL, append_group, &all.groups);
    sp_model_each_server(model, NULL, append_server, &all.servers);
    sp_model_each_bridge(model, append_bridge, &all.bridges);
    sp_model_each_rule_set(model, NULL, append_set, &all.sets);
    check_regions(&all);
    check_groups(&all);
    check_ports(&all);
    check_sets(&all);
    for (size_t i = 0; i < all.sets.n; i++) {
        check_facts(&all, all.sets.items[i]);
    }
    check_reload(&all);
    free(all.regions.items);
    free(all.groups.items);
    free(all.servers.items);
    free(all.bridges.items);
    free(all.sets.items);
}
