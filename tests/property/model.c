/* Random requests in random batches, some refused, some rolled back, some dropped before they are durable.  After each:
 *  - the model equals what plain loops over its objects say (world_check()), and a model freshly loaded from them;
 *  - what was not published left no trace (B1, B2);
 *  - a slot or mark belongs to one (rule set, rule) for ever;
 *  - a rule set whose version stayed has the same rules, classes and remote addresses;
 *  - no connection that some live mark has ever admitted is denied by the rules of now, for a pool of sample connections.
 *
 * SP_SEED=N repeats a run, SP_ROUNDS=N makes it longer. */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/model/model.h"
#include "flows/compile.h"
#include "flows/explain.h"
#include "tests/support/random.h"
#include "tests/support/world.h"

#define ROUNDS 1500
#define SERVERS_MAX 9
#define GROUPS_MAX 10
#define NUMBERS_MAX 1000000

static const char *const regions[] = { "SV2", "TY2" };
static const char *const ips[] = { "10.0.0.1", "10.0.0.2", "10.0.1.1", "10.0.2.9", "2001:db8::1", "2001:db8::2" };
static const char *const cidrs[] = { "10.0.0.0/24", "10.0.0.0/16", "0.0.0.0/0", "::/0", "2001:db8::/64", "10.0.0.2/32" };
static const int protocols[] = { SP_PROTOCOL_ANY, SP_PROTOCOL_TCP, SP_PROTOCOL_UDP, SP_PROTOCOL_ICMP, 47 };

#define N(ARRAY) (sizeof(ARRAY) / sizeof(ARRAY)[0])

static struct sp_random source;

static unsigned pick(unsigned n)
{
    return sp_random_below(&source, n);
}

static bool chance(unsigned percent)
{
    return sp_random_chance(&source, percent);
}

/* Random objects of the model. */

struct choice {
    unsigned n;
    const void *chosen;
};

static int choose(void *aux, const void *object)
{
    struct choice *choice = aux;
    if (!pick(++choice->n)) {
        choice->chosen = object;
    }
    return 0;
}

static int choose_group(void *aux, const struct sp_group *group)
{
    return choose(aux, group);
}

static int choose_server(void *aux, const struct sp_server *server)
{
    return choose(aux, server);
}

static const struct sp_group *any_group(const struct sp_model *model, const char *region)
{
    struct choice choice = { 0 };
    sp_model_each_group(model, region, choose_group, &choice);
    return choice.chosen;
}

static const struct sp_server *any_server(const struct sp_model *model)
{
    struct choice choice = { 0 };
    sp_model_each_server(model, NULL, choose_server, &choice);
    return choice.chosen;
}

/* Random inputs. */

static struct sp_rule_input random_rule(const struct sp_model *model, const char *region)
{
    struct sp_rule_input rule = { .description = chance(50) ? "" : "some", .path = "" };
    struct sp_meaning *m = &rule.meaning;
    *m = (struct sp_meaning) { .direction = pick(2), .action = chance(70), .priority = chance(50) ? 100 : 99 + pick(3),
                               .protocol = protocols[pick(N(protocols))], .port_min = -1, .port_max = -1,
                               .icmp_type = -1, .icmp_code = -1 };
    if ((m->protocol == SP_PROTOCOL_TCP || m->protocol == SP_PROTOCOL_UDP) && chance(70)) {
        m->port_min = chance(20) ? 0 : 80 + pick(3);
        m->port_max = chance(20) ? 65535 : m->port_min + pick(3);
    }
    if (m->protocol == SP_PROTOCOL_ICMP && chance(50)) {
        m->icmp_type = chance(50) ? 8 : 0;
    }
    const struct sp_group *group = chance(45) ? any_group(model, chance(90) ? region : NULL) : NULL;
    if (group) {
        m->remote = SP_REMOTE_GROUP;
        m->remote_group = group->id;
    } else if (chance(60)) {
        m->remote = SP_REMOTE_CIDR;
        assert_int_equal(sp_cidr_parse(cidrs[pick(N(cidrs))], &m->remote_cidr), 0);
        if (m->protocol == SP_PROTOCOL_ICMP && m->remote_cidr.family == 6) {
            m->remote = SP_REMOTE_ANY;
        }
    }
    return rule;
}

struct port_storage {
    char name[8];
    char iface_id[8];
    struct sp_cidr ips[2];
};

static struct sp_port_input random_port(struct port_storage *storage)
{
    struct sp_port_input port = { .mac = { { 2, 0, 0, 0, 0, pick(40) } }, .port_security = chance(90),
                                  .vlan = chance(80) ? 0 : 5 };
    snprintf(storage->name, sizeof storage->name, "p%u", pick(20));
    snprintf(storage->iface_id, sizeof storage->iface_id, "if%u", pick(20));
    port.has_bridge = chance(75);
    port.dpid = port.has_bridge ? 1 + pick(3) : 0;
    port.name = port.has_bridge ? storage->name : NULL;
    port.iface_id = !port.has_bridge || chance(10) ? storage->iface_id : NULL;
    port.n_ips = pick(3);
    port.ips = storage->ips;
    for (size_t i = 0; i < port.n_ips; i++) {
        assert_int_equal(sp_cidr_parse(ips[pick(N(ips))], &storage->ips[i]), 0);
    }
    return port;
}

static size_t random_groups(const struct sp_model *model, const char *region, struct sp_uuid *ret)
{
    size_t n = 0;
    for (unsigned i = pick(4); i > 0; i--) {
        const struct sp_group *group = any_group(model, chance(95) ? region : NULL);
        if (group) {
            ret[n++] = group->id;
        }
    }
    return n;
}

/* Requests. */

typedef int request(struct world *);

static int put_region(struct world *w)
{
    bool created;
    return sp_batch_put_region(w->batch, regions[pick(N(regions))], &created, &w->problems);
}

static int delete_region(struct world *w)
{
    const char *region = regions[pick(N(regions))];
    bool is_known = sp_model_region(w->model, region);
    bool is_used = sp_model_count_groups(w->model, region) || sp_model_count_servers(w->model, region);
    int r = sp_batch_delete_region(w->batch, region, &w->problems);
    assert_int_equal(r, !is_known ? SP_E_MISSING : is_used ? SP_E_IN_USE : 0);
    return r;
}

static int check_all_default(void *aux, const struct sp_server *server)
{
    assert_int_equal(server->n_groups, 1);
    assert_true(sp_uuid_equal(&server->groups[0], aux));
    return 0;
}

static int create_group(struct world *w)
{
    const char *region = regions[pick(N(regions))];
    struct sp_rule_input rules[6];
    struct sp_group_input input = { .region = region, .name = "web", .description = "", .is_default = chance(20),
                                    .has_rules = chance(80), .rules = rules, .n_rules = pick(N(rules)),
                                    .template_kind = pick(3) };
    struct sp_uuid id;
    for (size_t i = 0; i < input.n_rules; i++) {
        rules[i] = random_rule(w->model, region);
    }
    if (sp_model_count_groups(w->model, NULL) >= GROUPS_MAX) {
        return SP_E_MISSING;
    }
    int r = sp_batch_create_group(w->batch, &input, &id, &w->problems);
    if (!r && input.is_default) {
        sp_model_each_server(w->model, region, check_all_default, &id);
        assert_true(sp_model_group_is_default(w->model, sp_model_group(w->model, &id)));
    }
    return r;
}

static int patch_group(struct world *w)
{
    const struct sp_group *group = any_group(w->model, NULL);
    struct sp_group_patch patch = { .name = chance(50) ? NULL : chance(50) ? "web" : "db", .is_default = (int) pick(3) - 1 };
    if (!group) {
        return SP_E_MISSING;
    }
    struct sp_uuid id = group->id;
    bool was_default = sp_model_group_is_default(w->model, group);
    bool has_servers = sp_model_count_servers(w->model, group->region);
    int r = sp_batch_patch_group(w->batch, &id, &patch, &w->problems);
    group = sp_model_group(w->model, &id);
    if (!patch.is_default && was_default && has_servers) {
        assert_int_equal(r, SP_E_IN_USE);
        return r;
    }
    assert_int_equal(r, 0);
    assert_int_equal(sp_model_group_is_default(w->model, group), patch.is_default < 0 ? was_default : patch.is_default);
    if (patch.is_default > 0 && !was_default) {
        sp_model_each_server(w->model, group->region, check_all_default, &id);
    }
    return r;
}

static int count_other(void *aux, const struct sp_group *group)
{
    const void **pair = (const void **) aux;
    pair[1] = group != pair[0] ? group : pair[1];
    return 0;
}

static int delete_group(struct world *w)
{
    const struct sp_group *group = any_group(w->model, NULL);
    if (!group) {
        return SP_E_MISSING;
    }
    struct sp_uuid id = group->id;
    const void *pair[2] = { group, NULL };
    sp_model_each_referrer(w->model, &id, count_other, pair);
    bool is_held = pair[1] || sp_model_count_members(w->model, &id);
    bool is_needed = sp_model_group_is_default(w->model, group) && sp_model_count_servers(w->model, group->region);
    int r = sp_batch_delete_group(w->batch, &id, &w->problems);
    assert_int_equal(r, is_held || is_needed ? SP_E_IN_USE : 0);
    assert_int_equal(w->problems.n_holders > 0, is_held);
    return r;
}

static int add_rule(struct world *w)
{
    const struct sp_group *group = any_group(w->model, NULL);
    struct sp_uuid id;
    bool created;
    if (!group) {
        return SP_E_MISSING;
    }
    struct sp_uuid group_id = group->id;
    size_t n = group->n_rules;
    struct sp_rule_input rule = random_rule(w->model, group->region);
    int r = sp_batch_add_rule(w->batch, &group_id, &rule, &id, &created, &w->problems);
    assert_true(r || sp_model_group(w->model, &group_id)->n_rules == n + created);
    return r;
}

static int set_rule(struct world *w)
{
    const struct sp_group *group = any_group(w->model, NULL);
    if (!group || !group->n_rules) {
        return SP_E_MISSING;
    }
    struct sp_uuid group_id = group->id;
    const struct sp_rule *old = group->rules[pick(group->n_rules)];
    struct sp_rule_input rule = random_rule(w->model, group->region);
    if (chance(50)) { /* A small step. */
        struct sp_meaning meaning = old->meaning;
        meaning.action = chance(50) ? meaning.action : !meaning.action;
        meaning.priority = chance(50) ? meaning.priority : rule.meaning.priority;
        rule.meaning = meaning;
    }
    return sp_batch_set_rule(w->batch, &group_id, &old->id, &rule, &w->problems);
}

static int delete_rule(struct world *w)
{
    const struct sp_group *group = any_group(w->model, NULL);
    if (!group || !group->n_rules) {
        return SP_E_MISSING;
    }
    struct sp_uuid group_id = group->id, rule_id = group->rules[pick(group->n_rules)]->id;
    assert_int_equal(sp_batch_delete_rule(w->batch, &group_id, &rule_id, &w->problems), 0);
    return 0;
}

static int replace_rules(struct world *w)
{
    const struct sp_group *group = any_group(w->model, NULL);
    struct sp_rule_input rules[8];
    size_t n = 0;
    if (!group) {
        return SP_E_MISSING;
    }
    struct sp_uuid group_id = group->id;
    for (size_t i = 0; i < group->n_rules && n < 5; i++) {
        if (chance(70)) {
            rules[n++] = (struct sp_rule_input) { .meaning = group->rules[i]->meaning, .description = "kept", .path = "" };
        }
    }
    for (unsigned i = pick(3); i > 0; i--) {
        rules[n++] = random_rule(w->model, group->region);
    }
    return sp_batch_replace_rules(w->batch, &group_id, rules, n, &w->problems);
}

static int create_server(struct world *w)
{
    const char *region = regions[pick(N(regions))];
    struct sp_uuid id, groups[4];
    struct port_storage storage[3];
    struct sp_port_input ports[3];
    struct sp_server_input input = { .region = region, .name = "vm", .has_groups = chance(60), .groups = groups,
                                     .ports = ports, .n_ports = pick(4) };
    if (sp_model_count_servers(w->model, NULL) >= SERVERS_MAX) {
        return SP_E_MISSING;
    }
    input.n_groups = random_groups(w->model, region, groups);
    for (size_t i = 0; i < input.n_ports; i++) {
        ports[i] = random_port(&storage[i]);
    }
    bool is_first = !sp_model_count_servers(w->model, region);
    int r = sp_batch_create_server(w->batch, &input, &id, &w->problems);
    if (r) {
        return r;
    }
    const struct sp_region *after = sp_model_region(w->model, region);
    const struct sp_server *server = sp_model_server(w->model, &id);
    assert_true(!(is_first || !input.has_groups) || !sp_uuid_is_none(&after->default_group));
    assert_true(input.has_groups || (server->n_groups == 1 && sp_uuid_equal(&server->groups[0], &after->default_group)));
    return 0;
}

static int patch_server(struct world *w)
{
    const struct sp_server *server = any_server(w->model);
    struct sp_uuid groups[4];
    struct port_storage storage[3];
    struct sp_port_input ports[3];
    if (!server) {
        return SP_E_MISSING;
    }
    struct sp_server_patch patch = { .kind = -1, .has_groups = chance(60), .groups = groups, .has_ports = chance(50),
                                     .ports = ports };
    patch.n_groups = random_groups(w->model, server->region, groups);
    patch.n_ports = pick(4);
    for (size_t i = 0; i < patch.n_ports; i++) {
        ports[i] = random_port(&storage[i]);
        if (i < server->n_ports && chance(70)) {
            ports[i].id = server->ports[i]->id;
        }
    }
    struct sp_uuid id = server->id;
    return sp_batch_patch_server(w->batch, &id, &patch, &w->problems);
}

static int delete_server(struct world *w)
{
    const struct sp_server *server = any_server(w->model);
    return server ? sp_batch_delete_server(w->batch, &server->id, &w->problems) : SP_E_MISSING;
}

static int put_bridge(struct world *w)
{
    const char *uplinks[] = { "eth0", "p1", "eth1" };
    bool created;
    return sp_batch_put_bridge(w->batch, 1 + pick(3), uplinks, pick(4), &created, &w->problems);
}

static int delete_bridge(struct world *w)
{
    return sp_batch_delete_bridge(w->batch, 1 + pick(3), &w->problems);
}

static request *const requests[] = {
    put_region,    put_region,   delete_region, create_group, create_group,  patch_group,   patch_group,   delete_group,
    delete_group,  add_rule,     add_rule,      add_rule,     set_rule,      set_rule,      delete_rule,   replace_rules,
    create_server, create_server, create_server, patch_server, patch_server, patch_server,  delete_server, put_bridge,
    delete_bridge,
};

/* What must not change unless something is published: a digest of every object's place in memory, and of the counters. */

static int digest_pointer(void *aux, const void *object)
{
    uint64_t *digest = aux;
    *digest = (*digest ^ (uintptr_t) object) * 0x100000001b3ull;
    return 0;
}

static int digest_region(void *aux, const struct sp_region *object)
{
    return digest_pointer(aux, object);
}

static int digest_group(void *aux, const struct sp_group *object)
{
    return digest_pointer(aux, object);
}

static int digest_server(void *aux, const struct sp_server *object)
{
    return digest_pointer(aux, object);
}

static int digest_bridge(void *aux, const struct sp_bridge *object)
{
    return digest_pointer(aux, object);
}

static int digest_set(void *aux, const struct sp_rule_set *object)
{
    return digest_pointer(aux, object);
}

static uint64_t digest_model(const struct sp_model *model)
{
    uint64_t digest = 0xcbf29ce484222325ull;
    sp_model_each_region(model, digest_region, &digest);
    sp_model_each_group(model, NULL, digest_group, &digest);
    sp_model_each_server(model, NULL, digest_server, &digest);
    sp_model_each_bridge(model, digest_bridge, &digest);
    sp_model_each_rule_set(model, NULL, digest_set, &digest);
    return digest;
}

/* What is remembered about rule sets over the whole run. */

struct owner {
    uint32_t set;
    struct sp_uuid rule;
};

struct memory {
    struct owner *slots; /* By slot, NUMBERS_MAX of each. */
    struct owner *marks;
    uint64_t *admitted;  /* By mark: the sample connections that it has ever admitted. */
    uint32_t *versions;  /* By set: its version and the digest of what it says when that was seen. */
    uint64_t *sayings;
    const struct sp_model *model;
    struct sp_connection samples[64];
};

static void remember(struct owner *owner, uint32_t set, const struct sp_uuid *rule)
{
    if (!owner->set) {
        *owner = (struct owner) { set, *rule };
    }
    assert_int_equal(owner->set, set);
    assert_true(sp_uuid_equal(&owner->rule, rule));
}

static bool is_member(void *aux, const struct sp_uuid *group, const struct sp_cidr *address)
{
    return sp_model_is_member_address(aux, group, address);
}

static uint64_t digest_bytes(uint64_t digest, const void *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        digest = (digest ^ ((const uint8_t *) data)[i]) * 0x100000001b3ull;
    }
    return digest;
}

/* A digest of all that decides what a rule set does. */
static uint64_t digest_facts(const struct sp_model *model, const struct sp_rule_facts *facts, size_t n)
{
    uint64_t digest = 0xcbf29ce484222325ull;
    for (size_t i = 0; i < n; i++) {
        const struct sp_meaning *m = facts[i].meaning;
        bool all_ports = m->port_min <= 0 && (m->port_max < 0 || m->port_max == 65535);
        int32_t numbers[] = { m->direction, m->action, m->priority, m->protocol, all_ports ? -1 : m->port_min,
                              all_ports ? -1 : m->port_max, m->icmp_type, m->icmp_code, facts[i].slot, facts[i].mark };
        digest = digest_bytes(digest, numbers, sizeof numbers);
        if (m->remote == SP_REMOTE_CIDR && (m->remote_cidr.prefix || m->protocol != SP_PROTOCOL_ICMP)) {
            digest = digest_bytes(digest, &m->remote_cidr, sizeof m->remote_cidr);
        }
        if (m->remote == SP_REMOTE_GROUP) {
            digest = digest_bytes(digest, facts[i].classes, facts[i].n_classes * sizeof *facts[i].classes);
            for (size_t j = 0; j < N(ips); j++) {
                struct sp_cidr ip;
                assert_int_equal(sp_cidr_parse(ips[j], &ip), 0);
                uint8_t is_in = sp_model_is_member_address(model, &m->remote_group, &ip);
                digest = digest_bytes(digest, &is_in, 1);
            }
        }
    }
    return digest;
}

/* Checks that what the set's marks have admitted is still allowed, and notes what they admit now. */
static void check_samples(struct memory *memory, const struct sp_rule_facts *facts, size_t n)
{
    const struct sp_meaning *meanings[256];
    assert_true(n <= N(meanings));
    for (size_t i = 0; i < n; i++) {
        meanings[i] = facts[i].meaning;
    }
    for (size_t s = 0; s < N(memory->samples); s++) {
        const struct sp_connection *sample = &memory->samples[s];
        void *model = (void *) memory->model;
        ptrdiff_t decider = sp_explain(meanings, n, sample, is_member, model);
        bool is_allowed = decider >= 0 && meanings[decider]->action == SP_ALLOW;
        for (size_t i = 0; i < n; i++) {
            if (!facts[i].mark) {
                continue;
            }
            /* An allowing rule that matches may decide as long as its priority does. */
            if (is_allowed && meanings[i]->priority == meanings[decider]->priority
                && !sp_explain(&meanings[i], 1, sample, is_member, model)) {
                memory->admitted[facts[i].mark] |= 1ull << s;
            }
            if (memory->admitted[facts[i].mark] >> s & 1 && !is_allowed) {
                fail_msg("mark %u still passes sample %zu, which the rules deny now", facts[i].mark, s);
            }
        }
    }
}

static int check_set(void *aux, const struct sp_rule_set *set)
{
    struct memory *memory = aux;
    struct sp_rule_facts *facts;
    size_t n;
    assert_true(set->number < NUMBERS_MAX);
    for (size_t i = 0; i < set->n_admissions; i++) {
        const struct sp_admission *admission = &set->admissions[i];
        assert_true(admission->slot < NUMBERS_MAX && admission->mark < NUMBERS_MAX);
        remember(&memory->slots[admission->slot], set->number, &admission->rule);
        if (admission->mark) {
            remember(&memory->marks[admission->mark], set->number, &admission->rule);
        }
    }
    assert_int_equal(sp_model_rule_facts(memory->model, set, &facts, &n), 0);
    uint64_t saying = digest_facts(memory->model, facts, n);
    if (memory->versions[set->number] == set->version) {
        assert_true(memory->sayings[set->number] == saying);
    }
    memory->versions[set->number] = set->version;
    memory->sayings[set->number] = saying;
    check_samples(memory, facts, n);
    free(facts);
    return 0;
}

static void make_samples(struct memory *memory)
{
    static const char *const remotes[] = { "10.0.0.1", "10.0.0.2", "10.0.2.9", "192.0.2.1", "2001:db8::1", "2001:db8:1::9" };
    for (size_t i = 0; i < N(memory->samples); i++) {
        struct sp_connection *sample = &memory->samples[i];
        *sample = (struct sp_connection) { .direction = pick(2), .protocol = (uint8_t[]) { 6, 17, 1, 47 }[pick(4)], .port = -1,
                                           .icmp_type = -1, .icmp_code = -1 };
        assert_int_equal(sp_cidr_parse(remotes[pick(sample->protocol == 1 ? 4 : N(remotes))], &sample->remote), 0);
        if (sample->protocol == SP_PROTOCOL_TCP || sample->protocol == SP_PROTOCOL_UDP) {
            sample->port = 79 + pick(6);
        } else if (sample->protocol == SP_PROTOCOL_ICMP) {
            sample->icmp_type = chance(50) ? 8 : 0;
            sample->icmp_code = 0;
        }
    }
}

/* One request of a batch: random operations, then accepted or, refused or by chance, rolled back. */
static void run_request(struct world *w, unsigned *n_accepted)
{
    uint64_t revision = 0, current = sp_batch_counters(w->batch)->revision, digest = digest_model(w->model);
    struct sp_counters counters = *sp_batch_counters(w->batch);
    size_t mark = sp_batch_mark(w->batch);
    int r = 0;
    for (unsigned i = 1 + (pick(8) == 0); i > 0 && !r; i--) {
        sp_problems_clear(&w->problems);
        r = requests[pick(N(requests))](w);
    }
    assert_true(r >= 0);
    if (r == SP_E_INVALID) {
        assert_true(w->problems.n > 0);
    } else if (r == SP_E_IN_USE || r == SP_E_EXISTS) {
        assert_non_null(w->problems.detail);
    }
    if (!r) {
        assert_int_equal(sp_batch_accept(w->batch, mark, &revision), 0);
        size_t n = 0;
        sp_batch_changes_of(w->batch, revision, &n);
        assert_true(revision == current || (revision == current + 1 && n > 0));
    }
    if (r || chance(15)) {
        sp_batch_rollback(w->batch, mark);
        assert_true(digest == digest_model(w->model));
        assert_memory_equal(&counters, sp_batch_counters(w->batch), sizeof counters);
        return;
    }
    *n_accepted += revision != current;
}

static void run_batch(struct world *w, struct memory *memory)
{
    uint64_t digest = digest_model(w->model);
    struct sp_counters counters = *sp_model_counters(w->model);
    unsigned n_accepted = 0;
    w->now_us += pick(3);
    w->batch = sp_batch_begin(w->model, w->now_us);
    assert_non_null(w->batch);
    for (unsigned i = 1 + pick(4); i > 0; i--) {
        run_request(w, &n_accepted);
    }
    struct sp_counters after = *sp_batch_counters(w->batch);
    assert_int_equal(after.revision, counters.revision + n_accepted);
    bool drops_open = chance(5);
    if (!drops_open) {
        sp_batch_seal(w->batch);
        assert_true(digest == digest_model(w->model));
    }
    if (drops_open || chance(15)) {
        sp_batch_free(w->batch);
        assert_true(digest == digest_model(w->model));
        assert_memory_equal(&counters, sp_model_counters(w->model), sizeof counters);
        return;
    }
    sp_batch_publish(w->batch);
    sp_batch_free(w->batch);
    assert_memory_equal(&after, sp_model_counters(w->model), sizeof after);
    world_check(w->model);
    sp_model_each_rule_set(w->model, NULL, check_set, memory);
}

static void test_random_batches(void **state)
{
    const char *rounds = getenv("SP_ROUNDS");
    struct world w;
    struct memory memory = { 0 };
    sp_random_init(&source);
    world_open(&w);
    memory.model = w.model;
    memory.slots = calloc(NUMBERS_MAX, sizeof *memory.slots);
    memory.marks = calloc(NUMBERS_MAX, sizeof *memory.marks);
    memory.admitted = calloc(NUMBERS_MAX, sizeof *memory.admitted);
    memory.versions = calloc(NUMBERS_MAX, sizeof *memory.versions);
    memory.sayings = calloc(NUMBERS_MAX, sizeof *memory.sayings);
    assert_true(memory.slots && memory.marks && memory.admitted && memory.versions && memory.sayings);
    make_samples(&memory);
    for (unsigned long i = rounds ? strtoul(rounds, NULL, 0) : ROUNDS; i > 0; i--) {
        run_batch(&w, &memory);
    }
    print_message("revision %llu, %u rule sets, %u marks\n", (unsigned long long) sp_model_counters(w.model)->revision,
                  sp_model_counters(w.model)->next_set - 1, sp_model_counters(w.model)->next_mark - 1);
    world_close(&w);
    free(memory.slots);
    free(memory.marks);
    free(memory.admitted);
    free(memory.versions);
    free(memory.sayings);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_random_batches) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
