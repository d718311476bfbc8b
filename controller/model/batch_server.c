#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/model/batch.h"
#include "controller/model/object.h"
#include "controller/model/port_check.h"
#include "controller/model/staging.h"

#define GROUPS_MAX 1024 /* Of a server. */

/* Notes each of 'groups' that is not a group of 'region'; NULL: nothing can be said about them. */
static void check_groups(const struct sp_batch *batch, const char *region, const struct sp_uuid *groups, size_t n,
                         struct sp_problems *problems)
{
    if (n > GROUPS_MAX) {
        sp_problems_add(problems, "security_groups", "must be at most %d groups", GROUPS_MAX);
        return;
    }
    for (size_t i = 0; i < n && region; i++) {
        const struct sp_group *group = sp_model_group(batch->model, &groups[i]);
        if (!group || strcmp(group->region, region)) {
            char field[48];
            snprintf(field, sizeof field, "security_groups[%zu]", i);
            sp_problems_add(problems, field, "no such security group in region %s", region);
        }
    }
}

/* Copies 'ids' to 'ret' without those that were there before.  Returns their number. */
static size_t copy_distinct(const struct sp_uuid *ids, size_t n, struct sp_uuid *ret)
{
    size_t n_distinct = 0;
    for (size_t i = 0; i < n; i++) {
        size_t j = 0;
        while (j < n_distinct && !sp_uuid_equal(&ret[j], &ids[i])) {
            j++;
        }
        if (j == n_distinct) {
            ret[n_distinct++] = ids[i];
        }
    }
    return n_distinct;
}

/* Ports. */

static bool strings_are_equal(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

static bool ports_are_equal(const struct sp_port *a, const struct sp_port *b)
{
    if (a->n_ips != b->n_ips || a->n_pairs != b->n_pairs || a->zone != b->zone) {
        return false;
    }
    for (size_t i = 0; i < a->n_ips; i++) {
        if (!sp_cidr_equal(&a->ips[i], &b->ips[i])) {
            return false;
        }
    }
    for (size_t i = 0; i < a->n_pairs; i++) {
        if (!sp_cidr_equal(&a->pairs[i].ip, &b->pairs[i].ip) || !sp_mac_equal(&a->pairs[i].mac, &b->pairs[i].mac)) {
            return false;
        }
    }
    return sp_mac_equal(&a->mac, &b->mac) && a->has_bridge == b->has_bridge && a->dpid == b->dpid && a->vlan == b->vlan
           && a->port_security == b->port_security && strings_are_equal(a->name, b->name)
           && strings_are_equal(a->iface_id, b->iface_id);
}

/* The zone of a port: its old one, unless it has moved to where another port has that zone. */
static int choose_zone(struct sp_batch *batch, const struct sp_port_input *input, const struct sp_port *old, uint16_t *ret)
{
    bool stays = old && (!input->has_bridge || !sp_batch_zone_is_taken(batch, input->dpid, old->zone, &old->id));
    if (stays) {
        *ret = old->zone;
        return 0;
    }
    return sp_batch_draw_zone(batch, input->has_bridge ? &input->dpid : NULL, ret);
}

/* Makes the port that 'input' describes, or gives 'old' (NULL: a new port) with a reference more if that is what it is. */
static int make_port(struct sp_batch *batch, const struct sp_uuid *server, const struct sp_port_input *input,
                     const struct sp_port *old, struct sp_port **ret)
{
    struct sp_port fields = {
        .server = *server, .mac = input->mac, .has_bridge = input->has_bridge, .dpid = input->has_bridge ? input->dpid : 0,
        .name = (char *) (input->has_bridge ? input->name : NULL), .iface_id = (char *) input->iface_id, .vlan = input->vlan,
        .port_security = input->port_security, .pairs = (struct sp_address_pair *) input->pairs, .n_pairs = input->n_pairs,
    };
    int r = choose_zone(batch, input, old, &fields.zone);
    if (!r && old) {
        fields.id = old->id;
    } else if (!r && input->is_restored) {
        fields.id = input->id;
    } else if (!r) {
        r = sp_batch_new_id(&fields.id);
    }
    if (r) {
        return r;
    }
    fields.ips = calloc(input->n_ips ? input->n_ips : 1, sizeof *fields.ips);
    if (!fields.ips) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < input->n_ips; i++) {
        size_t j = 0;
        while (j < fields.n_ips && !sp_cidr_equal(&fields.ips[j], &input->ips[i])) {
            j++;
        }
        if (j == fields.n_ips) {
            fields.ips[fields.n_ips++] = input->ips[i];
        }
    }
    *ret = old && ports_are_equal(old, &fields) ? sp_port_ref(old) : sp_port_new(&fields);
    free(fields.ips);
    return *ret ? 0 : -ENOMEM;
}

static void free_ports(struct sp_port **ports, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sp_port_unref(ports[i]);
    }
    free(ports);
}

/* Makes all ports of server 'id', keeping those of 'old' (NULL: a new server) that are named. */
static int make_ports(struct sp_batch *batch, const struct sp_uuid *id, const struct sp_server *old,
                      const struct sp_port_input *inputs, size_t n, struct sp_port ***ret)
{
    struct sp_port **ports = calloc(n ? n : 1, sizeof *ports);
    if (!ports) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        const struct sp_port *known = NULL;
        for (size_t j = 0; old && j < old->n_ports && !sp_uuid_is_none(&inputs[i].id); j++) {
            known = sp_uuid_equal(&old->ports[j]->id, &inputs[i].id) ? old->ports[j] : known;
        }
        int r = make_port(batch, id, &inputs[i], known, &ports[i]);
        if (r) {
            free_ports(ports, i);
            return r;
        }
    }
    *ret = ports;
    return 0;
}

static int adopt_bridges(struct sp_batch *batch, const struct sp_port_input *ports, size_t n)
{
    int r = 0;
    for (size_t i = 0; i < n && !r; i++) {
        if (ports[i].has_bridge && !sp_model_bridge(batch->model, ports[i].dpid)) {
            struct sp_bridge bridge = { .dpid = ports[i].dpid, .created_at = batch->now_us };
            r = sp_batch_stage(batch, SP_KIND_BRIDGE, NULL, sp_bridge_new(&bridge));
        }
    }
    return r;
}

/* Operations. */

/* Finds or makes the rule set of the groups of 'server'. */
static int find_set(struct sp_batch *batch, struct sp_server *server)
{
    struct sp_uuid *sorted = malloc((server->n_groups ? server->n_groups : 1) * sizeof *sorted);
    if (!sorted) {
        return -ENOMEM;
    }
    if (server->n_groups) {
        memcpy(sorted, server->groups, server->n_groups * sizeof *sorted);
    }
    int r = sp_batch_need_set(batch, server->region, sorted, server->n_groups, &server->set);
    free(sorted);
    return r;
}

/* Gives the region its default group if 'input' makes that necessary, and 'ret_groups' (room for one at least) the new
 * server's groups. */
static int choose_groups(struct sp_batch *batch, const struct sp_server_input *input, struct sp_uuid *ret_groups, size_t *ret_n)
{
    struct sp_uuid id = sp_model_region(batch->model, input->region)->default_group;
    bool is_first = !sp_model_count_servers(batch->model, input->region);
    if (sp_uuid_is_none(&id) && (is_first || !input->has_groups)) {
        int r = sp_batch_make_default_group(batch, input->region, &id);
        if (r) {
            return r;
        }
    }
    if (input->has_groups) {
        *ret_n = copy_distinct(input->groups, input->n_groups, ret_groups);
    } else {
        ret_groups[0] = id;
        *ret_n = 1;
    }
    return 0;
}

int sp_batch_create_server(struct sp_batch *batch, const struct sp_server_input *input, struct sp_uuid *ret_id,
                           struct sp_problems *problems)
{
    size_t n_problems = problems->n + problems->n_lost;
    const struct sp_region *region = sp_batch_check_region(batch, input->region, problems);
    sp_batch_check_name(input->name, problems);
    check_groups(batch, region ? input->region : NULL, input->groups, input->has_groups ? input->n_groups : 0, problems);
    sp_batch_check_ports(batch, NULL, input->ports, input->n_ports, problems);
    if (problems->n + problems->n_lost > n_problems) {
        return SP_E_INVALID;
    }

    struct sp_server server = { .name = (char *) input->name, .region = (char *) input->region, .kind = input->kind,
                                .id = input->id, .created_at = input->created_at ? input->created_at : batch->now_us,
                                .updated_at = batch->now_us };
    server.groups = calloc(input->n_groups + 1, sizeof *server.groups);
    int r = server.groups ? 0 : -ENOMEM;
    if (!r && sp_uuid_is_none(&server.id)) {
        r = sp_batch_new_id(&server.id);
    }
    if (!r) {
        r = choose_groups(batch, input, server.groups, &server.n_groups);
    }
    if (!r) {
        r = find_set(batch, &server);
    }
    if (!r) {
        r = adopt_bridges(batch, input->ports, input->n_ports);
    }
    /* Zones are drawn last: they count as used only with the server staged. */
    if (!r) {
        r = make_ports(batch, &server.id, NULL, input->ports, input->n_ports, &server.ports);
    }
    if (!r) {
        server.n_ports = input->n_ports;
        r = sp_batch_stage(batch, SP_KIND_SERVER, NULL, sp_server_new(&server));
        free_ports(server.ports, server.n_ports);
    }
    if (!r) {
        *ret_id = server.id;
    }
    free(server.groups);
    return r;
}

static bool is_same_server(const struct sp_server *a, const struct sp_server *b)
{
    return !strcmp(a->name, b->name) && a->kind == b->kind && a->n_groups == b->n_groups && a->n_ports == b->n_ports
           && (!a->n_groups || !memcmp(a->groups, b->groups, a->n_groups * sizeof *a->groups))
           && (!a->n_ports || !memcmp(a->ports, b->ports, a->n_ports * sizeof *a->ports));
}

/* Stages 'old' as 'patch' wants it, which has been checked.  'groups' has room for the patch's. */
static int stage_patch(struct sp_batch *batch, const struct sp_server *old, const struct sp_server_patch *patch,
                       struct sp_uuid *groups)
{
    struct sp_server server = *old;
    struct sp_port **ports = NULL;
    int r = 0;
    server.name = patch->name ? (char *) patch->name : old->name;
    server.kind = patch->kind >= 0 ? (enum sp_server_kind) patch->kind : old->kind;
    server.updated_at = batch->now_us;
    if (patch->has_groups) {
        server.groups = groups;
        server.n_groups = copy_distinct(patch->groups, patch->n_groups, groups);
        r = find_set(batch, &server);
    }
    if (!r && patch->has_ports) {
        r = adopt_bridges(batch, patch->ports, patch->n_ports);
    }
    if (!r && patch->has_ports) {
        r = make_ports(batch, &old->id, old, patch->ports, patch->n_ports, &ports);
    }
    if (r) {
        return r;
    }
    if (ports) {
        server.ports = ports;
        server.n_ports = patch->n_ports;
    }
    if (!is_same_server(old, &server)) {
        r = sp_batch_stage(batch, SP_KIND_SERVER, old, sp_server_new(&server));
    }
    if (ports) {
        free_ports(ports, patch->n_ports);
    }
    return r;
}

int sp_batch_patch_server(struct sp_batch *batch, const struct sp_uuid *id, const struct sp_server_patch *patch,
                          struct sp_problems *problems)
{
    const struct sp_server *old = sp_model_server(batch->model, id);
    if (!old) {
        return SP_E_MISSING;
    }
    size_t n_problems = problems->n + problems->n_lost;
    if (patch->name) {
        sp_batch_check_name(patch->name, problems);
    }
    if (patch->has_groups) {
        check_groups(batch, old->region, patch->groups, patch->n_groups, problems);
    }
    if (patch->has_ports) {
        sp_batch_check_ports(batch, old, patch->ports, patch->n_ports, problems);
    }
    if (problems->n + problems->n_lost > n_problems) {
        return SP_E_INVALID;
    }
    struct sp_uuid *groups = calloc(patch->n_groups + 1, sizeof *groups);
    int r = groups ? stage_patch(batch, old, patch, groups) : -ENOMEM;
    free(groups);
    return r;
}

int sp_batch_delete_server(struct sp_batch *batch, const struct sp_uuid *id, struct sp_problems *problems)
{
    const struct sp_server *server = sp_model_server(batch->model, id);
    if (!server) {
        return SP_E_MISSING;
    }
    return sp_batch_stage_removal(batch, SP_KIND_SERVER, server);
}
