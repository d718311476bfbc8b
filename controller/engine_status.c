#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/engine_state.h"
#include "sallyport/pipeline.h"

static int visit_bridge(struct sp_engine *, struct sp_datapath *, bool with_ports, sp_visit_status *, void *aux);

/* The state of one port on one datapath. */
struct state {
    const struct sp_port *port;
    enum sp_port_state state;
};

static int
look_at_home(void *aux, struct sp_datapath *dp)
{
    struct state *state = aux;
    const struct sp_binding *binding = sp_datapath_binding(dp, &state->port->id);
    if (!binding) {
        return 0;
    }
    /* What is stale is not even asked for yet. */
    bool confirmed = sp_switch_is_enforced(dp->sw) && !dp->first_stale;
    for (size_t i = 0; confirmed && i < binding->n_members; i++) {
        confirmed = sp_switch_unit_confirmed(dp->sw, &binding->members[i].unit);
    }
    if (confirmed && binding->set) {
        struct sp_unit_name name;
        sp_unit_name_set(&name, binding->set->set->number);
        confirmed = sp_switch_unit_confirmed(dp->sw, &name);
    }
    struct sp_unit_name flood;
    sp_unit_name_flood(&flood, binding->port->vlan);
    confirmed = confirmed && sp_switch_unit_confirmed(dp->sw, &flood);
    state->state = confirmed && state->state != SP_PORT_PENDING ? SP_PORT_ACTIVE : SP_PORT_PENDING;
    return 0;
}

enum sp_port_state
sp_engine_port_state(const struct sp_engine *engine, const struct sp_port *port)
{
    struct state state = { .port = port, .state = SP_PORT_UNBOUND };
    sp_engine_each_home(engine, port, look_at_home, &state);
    return state.state;
}

static int
compare_dpids(const void *a, const void *b)
{
    uint64_t x = (*(struct sp_datapath *const *) a)->dpid, y = (*(struct sp_datapath *const *) b)->dpid;
    return (x > y) - (x < y);
}

int
sp_engine_each_bridge(struct sp_engine *engine, bool with_ports, sp_visit_status *visit, void *aux)
{
    size_t n = 0, cursor = 0;
    struct sp_datapath **all = malloc((engine->datapaths.n_heads ? engine->datapaths.n_heads : 1) * sizeof(struct sp_datapath *));
    if (!all) {
        return -ENOMEM;
    }
    for (struct sp_index_node *node = NULL; (node = sp_index_next_head(&engine->datapaths, node, &cursor));) {
        all[n++] = node->owner;
    }
    qsort(all, n, sizeof(struct sp_datapath *), compare_dpids);
    int r = 0;
    for (size_t i = 0; !r && i < n; i++) {
        r = visit_bridge(engine, all[i], with_ports, visit, aux);
        r = r == SP_E_MISSING ? 0 : r;
    }
    free(all);
    return r;
}

int
sp_engine_one_bridge(struct sp_engine *engine, uint64_t dpid, sp_visit_status *visit, void *aux)
{
    struct sp_datapath *dp = sp_engine_datapath(engine, dpid);
    return dp ? visit_bridge(engine, dp, true, visit, aux) : SP_E_MISSING;
}

void
sp_datapath_read(const struct sp_datapath *dp, char version[SP_VERSION_TEXT_SIZE], struct sp_bridge_status *ret)
{
    const struct sp_bridge *bridge = sp_model_bridge(dp->engine->model, dp->dpid);
    const struct sp_link *link = dp->ports_known ? sp_switch_link(dp->sw) : NULL;
    struct sp_switch_reading reading;
    sp_switch_read(dp->sw, &reading);
    if (!reading.last_error && bridge) {
        const char *flaw = sp_engine_flaw(dp->engine, dp->dpid);
        reading.last_error = flaw ? flaw : sp_datapath_meters_error(dp);
    }
    snprintf(version, SP_VERSION_TEXT_SIZE, "OpenFlow 1.%u", dp->ready.version - 1u);
    *ret = (struct sp_bridge_status) {
        .dpid = dp->dpid,
        .adopted = bridge != NULL,
        .connected = link != NULL,
        .name = dp->ready.name,
        .peer = link ? sp_link_peer(link) : "",
        .version = link ? version : "",
        .uplinks = bridge ? (const char *const *) bridge->uplinks : NULL,
        .n_uplinks = bridge ? bridge->n_uplinks : 0,
        .flows_desired = reading.flows_desired,
        .flows_installed = reading.flows_installed,
        .revision = reading.revision,
        .pending = reading.pending || dp->expecting || dp->first_stale,
        .last_error = reading.last_error,
    };
}

/* Lists the ports in 'status' for the visit. */
static int
visit_with_ports(const struct sp_datapath *dp, struct sp_bridge_status *status, sp_visit_status *visit, void *aux)
{
    size_t n;
    struct sp_ofport **ofports = sp_datapath_sorted_ofports(dp, &n);
    struct sp_bridge_port_status *ports = malloc((n ? n : 1) * sizeof *ports);
    if (!ofports || !ports) {
        free(ofports);
        free(ports);
        return -ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        ports[i] = (struct sp_bridge_port_status) {
            .ofport = ofports[i]->number,
            .name = ofports[i]->name,
            .role = ofports[i]->role,
            .server = ofports[i]->binding ? ofports[i]->binding->server : NULL,
        };
    }
    status->ports = ports;
    status->n_ports = n;
    int r = visit(aux, status);
    free(ofports);
    free(ports);
    return r;
}

static int
visit_bridge(struct sp_engine *engine, struct sp_datapath *dp, bool with_ports, sp_visit_status *visit, void *aux)
{
    const struct sp_bridge *bridge = sp_model_bridge(engine->model, dp->dpid);
    const struct sp_link *link = dp->ports_known ? sp_switch_link(dp->sw) : NULL;
    if (!bridge && !link) {
        return SP_E_MISSING;
    }
    char version[SP_VERSION_TEXT_SIZE];
    struct sp_bridge_status status;
    sp_datapath_read(dp, version, &status);
    return with_ports && link ? visit_with_ports(dp, &status, visit, aux) : visit(aux, &status);
}

const struct sp_rule *
sp_engine_find_rule(const struct sp_model *model, const struct sp_rule_set *set, uint32_t slot, const struct sp_group **ret_group)
{
    const struct sp_uuid *id = NULL;
    for (size_t i = 0; i < set->n_admissions && !id; i++) {
        id = set->admissions[i].slot == slot ? &set->admissions[i].rule : NULL;
    }
    for (size_t i = 0; id && i < set->n_groups; i++) {
        const struct sp_group *group = sp_model_group(model, &set->groups[i]);
        for (size_t k = 0; group && k < group->n_rules; k++) {
            if (sp_uuid_equal(&group->rules[k]->id, id)) {
                *ret_group = group;
                return group->rules[k];
            }
        }
    }
    return NULL;
}

static void
describe_set(const struct sp_model *model, uint32_t number, const struct sp_flow *flow, char *out, size_t size)
{
    const struct sp_rule_set *set = sp_model_rule_set(model, number);
    const struct sp_group *group;
    const struct sp_rule *rule = set && flow && SP_COOKIE_KIND(flow->cookie) == SP_COOKIE_RULE
                                 ? sp_engine_find_rule(model, set, (uint32_t) SP_COOKIE_NUMBER(flow->cookie), &group) : NULL;
    if (rule) {
        char text[SP_UUID_TEXT_SIZE];
        snprintf(out, size, "rule %s of group \"%.64s\"", sp_uuid_format(&rule->id, text), group->name);
        return;
    }
    const struct sp_group *first = set && set->n_groups ? sp_model_group(model, &set->groups[0]) : NULL;
    if (first && set->n_groups > 1) {
        snprintf(out, size, "the rules of group \"%.64s\" and %zu more", first->name, set->n_groups - 1);
    } else if (first) {
        snprintf(out, size, "the rules of group \"%.64s\"", first->name);
    } else {
        snprintf(out, size, "rules that no longer exist");
    }
}

static void
describe_port(const struct sp_datapath *dp, const struct sp_unit_name *unit, char *out, size_t size)
{
    struct sp_uuid id;
    memcpy(id.bytes, unit->key, sizeof id.bytes);
    const struct sp_binding *binding = sp_datapath_binding(dp, &id);
    if (binding) {
        snprintf(out, size, "port %s of server \"%.64s\"", binding->ofport->name, binding->server->name);
    } else {
        snprintf(out, size, "a port that has gone");
    }
}

void
sp_engine_describe(struct sp_engine *engine, struct sp_datapath *dp, const struct sp_unit_name *unit, const struct sp_flow *flow,
                   char *out, size_t size)
{
    static const char *const texts[SP_N_UNIT_KINDS] = {
        [SP_UNIT_STATIC] = "the flows that every bridge has",
        [SP_UNIT_REPORTS] = "reports of blocked attempts",
        [SP_UNIT_UPLINKS] = "the uplinks",
        [SP_UNIT_FLOOD_VLAN] = "broadcast",
        [SP_UNIT_FLOOD_CHUNK] = "broadcast",
    };
    if (!unit) {
        snprintf(out, size, "a flow that is no longer wanted");
    } else if (unit->kind == SP_UNIT_RULE_SET) {
        uint32_t number;
        memcpy(&number, unit->key, sizeof number);
        describe_set(engine->model, number, flow, out, size);
    } else if (unit->kind == SP_UNIT_PORT) {
        describe_port(dp, unit, out, size);
    } else if (unit->kind == SP_UNIT_MAC) {
        struct sp_mac mac = sp_unit_mac(unit);
        char text[SP_MAC_TEXT_SIZE];
        snprintf(out, size, "delivery to %s", sp_mac_format(&mac, text));
    } else if (unit->kind == SP_UNIT_TARGET || unit->kind == SP_UNIT_REMOTE) {
        struct sp_cidr ip = sp_unit_ip(unit);
        char text[SP_CIDR_TEXT_SIZE];
        snprintf(out, size, unit->kind == SP_UNIT_TARGET ? "delivery of questions for %s" : "%s in a remote group",
                 sp_cidr_format_address(&ip, text));
    } else {
        snprintf(out, size, "%s", texts[unit->kind]);
    }
}
