#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/model/batch.h"
#include "controller/model/meanings.h"
#include "controller/model/object.h"
#include "controller/model/staging.h"

#define MEANING(DIRECTION, PROTOCOL, PORT)                                                                                       \
    {                                                                                                                            \
        .direction = (DIRECTION), .action = SP_ALLOW, .priority = SP_PRIORITY_DEFAULT, .protocol = (PROTOCOL),                   \
        .port_min = (PORT), .port_max = (PORT), .icmp_type = -1, .icmp_code = -1                                                 \
    }

/* The rules that a group starts with: the first is every template's but none's, the others are remote-login's. */
static const struct sp_rule_input template_rules[] = {
    { .meaning = MEANING(SP_OUTBOUND, SP_PROTOCOL_ANY, -1), .description = "Everything outbound" },
    { .meaning = MEANING(SP_INBOUND, SP_PROTOCOL_TCP, 22), .description = "Remote login: SSH" },
    { .meaning = MEANING(SP_INBOUND, SP_PROTOCOL_TCP, 3389), .description = "Remote login: Remote Desktop" },
    { .meaning = MEANING(SP_INBOUND, SP_PROTOCOL_ICMP, -1), .description = "Remote login: ping over IPv4" },
    { .meaning = MEANING(SP_INBOUND, SP_PROTOCOL_ICMPV6, -1), .description = "Remote login: ping over IPv6" },
};

static const size_t template_sizes[] = {
    [SP_TEMPLATE_OUTBOUND] = 1,
    [SP_TEMPLATE_REMOTE_LOGIN] = sizeof template_rules / sizeof template_rules[0],
    [SP_TEMPLATE_NONE] = 0,
};

int sp_batch_stage_group(struct sp_batch *batch, const struct sp_group *group, const struct sp_group *fields)
{
    struct sp_group staged = *fields;
    staged.revision = batch->counters.revision + 1;
    staged.updated_at = batch->now_us;
    staged.created_at = group ? group->created_at : fields->created_at ? fields->created_at : batch->now_us;
    return sp_batch_stage(batch, SP_KIND_GROUP, group, sp_group_new(&staged));
}

/* Makes a group and its rules, apart from the question of the region's default. */
static int make_group(struct sp_batch *batch, const struct sp_group_input *input, struct sp_uuid *ret_id)
{
    struct sp_rule **rules;
    size_t n;
    int r;
    if (input->has_rules) {
        r = sp_batch_make_rules(batch, NULL, input->rules, input->n_rules, SP_ORIGIN_USER, &rules, &n);
    } else {
        r = sp_batch_make_rules(batch, NULL, template_rules, template_sizes[input->template_kind], SP_ORIGIN_DEFAULT, &rules, &n);
    }
    if (r) {
        return r;
    }
    struct sp_group group = { .region = (char *) input->region, .name = (char *) input->name,
                              .description = (char *) (input->description ? input->description : ""),
                              .rules = rules, .n_rules = n };
    r = sp_batch_new_id(&group.id);
    if (!r) {
        r = sp_batch_stage_group(batch, NULL, &group);
    }
    if (!r) {
        *ret_id = group.id;
    }
    sp_batch_free_rules(rules, n);
    return r;
}

/* Replaces the region's default group, none if 'id' is.  The old one is touched, as it shows whether it is the default. */
static int set_default_group(struct sp_batch *batch, const char *region_name, const struct sp_uuid *id)
{
    const struct sp_region *region = sp_model_region(batch->model, region_name);
    const struct sp_group *old = sp_model_group(batch->model, &region->default_group);
    if (old && !sp_uuid_equal(&old->id, id)) {
        int r = sp_batch_stage_group(batch, old, old);
        if (r) {
            return r;
        }
    }
    struct sp_region fields = *region;
    fields.default_group = *id;
    return sp_batch_stage(batch, SP_KIND_REGION, region, sp_region_new(&fields));
}

int sp_batch_regroup(struct sp_batch *batch, const struct sp_server *server, const struct sp_uuid *groups, size_t n)
{
    struct sp_server fields = *server;
    struct sp_uuid *sorted = malloc((n ? n : 1) * sizeof *sorted);
    if (!sorted) {
        return -ENOMEM;
    }
    if (n) {
        memcpy(sorted, groups, n * sizeof *sorted);
    }
    int r = sp_batch_need_set(batch, server->region, sorted, n, &fields.set);
    free(sorted);
    if (r) {
        return r;
    }
    fields.groups = (struct sp_uuid *) groups;
    fields.n_groups = n;
    fields.updated_at = batch->now_us;
    return sp_batch_stage(batch, SP_KIND_SERVER, server, sp_server_new(&fields));
}

/* Makes 'id' the region's default group, and the one and only group of every server of the region. */
static int swap_default_group(struct sp_batch *batch, const char *region, const struct sp_uuid *id)
{
    int r = set_default_group(batch, region, id);
    if (r) {
        return r;
    }
    const struct sp_index_node *head = sp_model_find(batch->model, SP_INDEX_REGION_SERVERS, region);
    size_t n = 0, n_servers = head ? head->count : 0;
    const struct sp_server **servers = calloc(n_servers ? n_servers : 1, sizeof *servers);
    if (!servers) {
        return -ENOMEM;
    }
    for (const struct sp_index_node *node = head; node; node = sp_index_next(head, node)) {
        servers[n++] = sp_node_entry(node)->server;
    }
    for (size_t i = 0; i < n && !r; i++) {
        if (servers[i]->n_groups != 1 || !sp_uuid_equal(&servers[i]->groups[0], id)) {
            r = sp_batch_regroup(batch, servers[i], id, 1);
        }
    }
    free(servers);
    return r;
}

int sp_batch_make_default_group(struct sp_batch *batch, const char *region, struct sp_uuid *ret_id)
{
    struct sp_group_input input = { .region = region, .name = "default", .description = "Made with the region's first server",
                                    .template_kind = SP_TEMPLATE_REMOTE_LOGIN };
    int r = make_group(batch, &input, ret_id);
    return r ? r : set_default_group(batch, region, ret_id);
}

int sp_batch_create_group(struct sp_batch *batch, const struct sp_group_input *input, struct sp_uuid *ret_id,
                          struct sp_problems *problems)
{
    size_t n_problems = problems->n + problems->n_lost;
    const struct sp_region *region = sp_batch_check_region(batch, input->region, problems);
    sp_batch_check_name(input->name, problems);
    if (region && input->has_rules) {
        sp_batch_check_remotes(batch, input->region, input->rules, input->n_rules, problems);
    }
    if (problems->n + problems->n_lost > n_problems) {
        return SP_E_INVALID;
    }
    int r = make_group(batch, input, ret_id);
    return r || !input->is_default ? r : swap_default_group(batch, input->region, ret_id);
}

int sp_batch_patch_group(struct sp_batch *batch, const struct sp_uuid *id, const struct sp_group_patch *patch,
                         struct sp_problems *problems)
{
    const struct sp_group *group = sp_model_group(batch->model, id);
    if (!group) {
        return SP_E_MISSING;
    }
    size_t n_problems = problems->n + problems->n_lost;
    if (patch->name) {
        sp_batch_check_name(patch->name, problems);
    }
    if (problems->n + problems->n_lost > n_problems) {
        return SP_E_INVALID;
    }
    bool is_default = sp_model_group_is_default(batch->model, group);
    bool swaps = patch->is_default >= 0 && (patch->is_default > 0) != is_default;
    size_t n_servers = sp_model_count_servers(batch->model, group->region);
    if (swaps && is_default && n_servers) {
        sp_problems_detail(problems, "region %s has %zu server%s, so it needs a default group; make another group the default",
                           group->region, n_servers, n_servers == 1 ? "" : "s");
        return SP_E_IN_USE;
    }

    struct sp_group fields = *group;
    if (patch->name) {
        fields.name = (char *) patch->name;
    }
    if (patch->description) {
        fields.description = (char *) patch->description;
    }
    if (!swaps && !strcmp(fields.name, group->name) && !strcmp(fields.description, group->description)) {
        return 0;
    }
    int r = sp_batch_stage_group(batch, group, &fields);
    if (r || !swaps) {
        return r;
    }
    return is_default ? set_default_group(batch, group->region, &(struct sp_uuid) { { 0 } })
                      : swap_default_group(batch, group->region, id);
}

int sp_batch_mark_default_group(struct sp_batch *batch, const struct sp_uuid *id)
{
    const struct sp_group *group = sp_model_group(batch->model, id);
    if (!group) {
        return SP_E_MISSING;
    }
    if (sp_model_group_is_default(batch->model, group)) {
        return 0;
    }
    /* It is touched, as the old one is. */
    int r = sp_batch_stage_group(batch, group, group);
    return r ? r : set_default_group(batch, group->region, id);
}

struct holding {
    const struct sp_group *group;
    struct sp_problems *problems;
    size_t n;
};

static int hold_server(void *aux, const struct sp_server *server)
{
    struct holding *holding = aux;
    holding->n++;
    sp_problems_hold(holding->problems, "server", &server->id, server->name);
    return 0;
}

static int hold_referrer(void *aux, const struct sp_group *referrer)
{
    struct holding *holding = aux;
    if (referrer != holding->group) {
        holding->n++;
        sp_problems_hold(holding->problems, "security_group", &referrer->id, referrer->name);
    }
    return 0;
}

int sp_batch_delete_group(struct sp_batch *batch, const struct sp_uuid *id, struct sp_problems *problems)
{
    const struct sp_group *group = sp_model_group(batch->model, id);
    if (!group) {
        return SP_E_MISSING;
    }
    struct holding holding = { group, problems, 0 };
    sp_model_each_member(batch->model, id, hold_server, &holding);
    size_t n_servers = holding.n;
    sp_model_each_referrer(batch->model, id, hold_referrer, &holding);
    size_t n_others = holding.n - n_servers;
    if (holding.n) {
        sp_problems_detail(problems, "security group %s is used by %zu server%s and named by the rules of %zu other group%s",
                           group->name, n_servers, n_servers == 1 ? "" : "s", n_others, n_others == 1 ? "" : "s");
        return SP_E_IN_USE;
    }
    if (sp_model_group_is_default(batch->model, group)) {
        size_t n = sp_model_count_servers(batch->model, group->region);
        if (n) {
            sp_problems_detail(problems,
                               "security group %s is the default of region %s, which has %zu server%s; "
                               "make another group the default first",
                               group->name, group->region, n, n == 1 ? "" : "s");
            return SP_E_IN_USE;
        }
        const struct sp_region *region = sp_model_region(batch->model, group->region);
        struct sp_region fields = *region;
        fields.default_group = (struct sp_uuid) { { 0 } };
        int r = sp_batch_stage(batch, SP_KIND_REGION, region, sp_region_new(&fields));
        if (r) {
            return r;
        }
    }
    return sp_batch_stage_removal(batch, SP_KIND_GROUP, group);
}

/* Restoring. */

static int check_meanings(const struct sp_group *group, struct sp_problems *problems)
{
    struct sp_meanings meanings = { 0 };
    int r = sp_meanings_init(&meanings, group->n_rules);
    for (size_t i = 0; i < group->n_rules && !r; i++) {
        const struct sp_rule *same = sp_meanings_find(&meanings, &group->rules[i]->meaning);
        if (same) {
            char id[SP_UUID_TEXT_SIZE], other[SP_UUID_TEXT_SIZE];
            sp_problems_detail(problems, "rules %s and %s of security group %s would mean the same",
                               sp_uuid_format(&same->id, id), sp_uuid_format(&group->rules[i]->id, other), group->name);
            r = SP_E_EXISTS;
        } else {
            sp_meanings_add(&meanings, group->rules[i]);
        }
    }
    sp_meanings_clear(&meanings);
    return r;
}

int sp_batch_restore_group(struct sp_batch *batch, const struct sp_group *fields, struct sp_problems *problems)
{
    size_t n_problems = problems->n + problems->n_lost;
    sp_batch_check_region(batch, fields->region, problems);
    sp_batch_check_name(fields->name, problems);
    if (problems->n + problems->n_lost > n_problems) {
        return SP_E_INVALID;
    }
    int r = check_meanings(fields, problems);
    return r ? r : sp_batch_stage_group(batch, sp_model_group(batch->model, &fields->id), fields);
}

int sp_batch_check_group(const struct sp_batch *batch, const struct sp_uuid *id, struct sp_problems *problems)
{
    const struct sp_group *group = sp_model_group(batch->model, id);
    for (size_t i = 0; group && i < group->n_rules; i++) {
        const struct sp_meaning *meaning = &group->rules[i]->meaning;
        const struct sp_group *remote = meaning->remote == SP_REMOTE_GROUP ? sp_model_group(batch->model, &meaning->remote_group)
                                                                           : group;
        if (!remote || strcmp(remote->region, group->region)) {
            char text[SP_UUID_TEXT_SIZE];
            sp_problems_detail(problems, "security group %s, which a rule of %s names, is not there",
                               sp_uuid_format(&meaning->remote_group, text), group->name);
            return SP_E_INVALID;
        }
    }
    return 0;
}

int sp_batch_set_default(struct sp_batch *batch, const char *region_name, const struct sp_uuid *id, struct sp_problems *problems)
{
    const struct sp_region *region = sp_model_region(batch->model, region_name);
    const struct sp_group *group = sp_model_group(batch->model, id);
    if (!region) {
        return SP_E_MISSING;
    }
    if (!sp_uuid_is_none(id) && (!group || strcmp(group->region, region_name))) {
        char text[SP_UUID_TEXT_SIZE];
        sp_problems_detail(problems, "security group %s, the default of region %s, is not there", sp_uuid_format(id, text),
                           region_name);
        return SP_E_INVALID;
    }
    if (!group && sp_model_count_servers(batch->model, region_name)) {
        sp_problems_detail(problems, "region %s has servers, which need a default group", region_name);
        return SP_E_IN_USE;
    }
    return sp_uuid_equal(id, &region->default_group) ? 0 : set_default_group(batch, region_name, id);
}
