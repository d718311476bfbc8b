#include <string.h>

#include "controller/engine_state.h"
#include "controller/obs/log.h"
#include "sallyport/pipeline.h"

static int
reports(void *aux, const struct sp_region *region)
{
    return region->reports;
}

const char *
sp_datapath_meters_error(const struct sp_datapath *dp)
{
    return dp->meters_error[0] && sp_model_each_region(dp->engine->model, reports, NULL) ? dp->meters_error : NULL;
}

/* Comes before the flows of a dump, so that what reports is wanted, or not, before it is looked for. */
void
sp_datapath_take_meters(struct sp_datapath *dp, const struct sp_session_meters *meters)
{
    struct sp_engine *engine = dp->engine;
    if (strcmp(dp->meters_error, meters->text)) {
        memcpy(dp->meters_error, meters->text, sizeof dp->meters_error);
        if (sp_datapath_meters_error(dp)) {
            sp_log(SP_LOG_WARNING, "engine", "bridge %016llx (%s): %s", (unsigned long long) dp->dpid, dp->ready.name,
                   meters->text);
        }
        sp_datapath_notice(dp);
    }
    if (meters->n_mended) {
        engine->switches.drift_repaired += meters->n_mended;
        sp_log(SP_LOG_WARNING, "engine", "bridge %016llx (%s): another hand changed %u meters of ours; they are as they were",
               (unsigned long long) dp->dpid, dp->ready.name, (unsigned) meters->n_mended);
    }
    if (dp->has_meters != meters->usable) {
        struct sp_unit_name name;
        dp->has_meters = meters->usable;
        sp_unit_name_init(&name, SP_UNIT_REPORTS);
        sp_datapath_mark(dp, &name);
        if (!dp->beginning) {
            sp_engine_refresh_sets(engine);
            sp_datapath_compile(dp);
        }
    }
}

/* The port of which a packet that came in, or was to go out, at 'ofport' tells: whatever a switch says, it is believed of its own
 * ports alone. */
static const struct sp_binding *
find_binding(const struct sp_datapath *dp, const struct sp_session_denied *denied)
{
    const struct sp_binding *binding = sp_datapath_binding_at(dp, denied->ofport);
    return binding && binding->port->zone == denied->zone ? binding : NULL;
}

void
sp_datapath_take_denied(struct sp_datapath *dp, const struct sp_session_denied *denied)
{
    struct sp_engine *engine = dp->engine;
    const struct sp_headers *headers = &denied->headers;
    const struct sp_binding *binding = find_binding(dp, denied);
    const struct sp_region *region = binding ? sp_model_region(engine->model, binding->server->region) : NULL;
    const struct sp_rule_set *set = sp_model_rule_set(engine->model, denied->set);
    bool inbound = denied->phase == SP_PHASE_ENTERING;
    engine->denied_seen++;
    engine->denied_left_out += denied->n_left_out;
    /* A packet may come late: after its region has been told to report no more, or its rule has gone. */
    if (!region || !region->reports || !set || (!inbound && denied->phase != SP_PHASE_LEAVING)) {
        return;
    }
    struct sp_blocked_key key;
    struct sp_uuid group = { .bytes = { 0 } };
    memset(&key, 0, sizeof key);
    if (!(denied->mark & SP_MARK_FRAGMENT)) {
        const struct sp_group *holder;
        const struct sp_rule *rule = sp_engine_find_rule(engine->model, set, denied->mark, &holder);
        if (!rule) {
            return;
        }
        key.rule = rule->id;
        group = holder->id;
    }
    key.port = binding->port->id;
    key.remote = inbound ? headers->src : headers->dst;
    key.direction = inbound ? SP_INBOUND : SP_OUTBOUND;
    key.protocol = headers->protocol;
    key.has_port = headers->has_ports;
    key.has_icmp = headers->has_icmp;
    key.number = headers->has_ports ? headers->dst_port : (uint16_t) (headers->icmp_type << 8 | headers->icmp_code);
    if (sp_blocked_add(engine->blocked, &key, &group, sp_engine_clock_us())) {
        engine->denied_left_out++;
        return;
    }
    sp_engine_note_blocked(engine, &binding->server->id);
}

int
sp_engine_each_blocked(const struct sp_engine *engine, const struct sp_uuid *port, sp_visit_blocked *visit, void *aux)
{
    return sp_blocked_each(engine->blocked, port, visit, aux);
}

static int
forget_server(void *aux, const struct sp_server *server)
{
    struct sp_engine *engine = aux;
    for (size_t i = 0; i < server->n_ports; i++) {
        sp_blocked_forget(engine->blocked, &server->ports[i]->id);
    }
    return 0;
}

void
sp_engine_follow_blocked(struct sp_engine *engine, const struct sp_change *change)
{
    if (change->kind == SP_KIND_REGION) {
        const struct sp_region *region = change->after;
        if (region && !region->reports) {
            sp_model_each_server(engine->model, region->name, forget_server, engine);
        }
    } else if (change->kind == SP_KIND_SERVER) {
        const struct sp_server *before = change->before;
        for (size_t i = 0; before && i < before->n_ports; i++) {
            if (!sp_model_port(engine->model, &before->ports[i]->id)) {
                sp_blocked_forget(engine->blocked, &before->ports[i]->id);
            }
        }
    }
}
