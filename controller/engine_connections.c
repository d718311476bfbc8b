#include "controller/engine_state.h"
#include "flows/compile.h"
#include "sallyport/pipeline.h"

struct homes {
    const struct sp_port *port;
    sp_visit_home *visit;
    void *aux;
};

static int
visit_home(void *aux, struct sp_datapath *dp)
{
    const struct homes *homes = aux;
    const struct sp_binding *binding = sp_datapath_binding(dp, &homes->port->id);
    if (!binding || !binding->ofport) {
        return 0;
    }
    const struct sp_port_home home = {
        .dpid = dp->dpid,
        .bridge = dp->ready.name,
        .ofport = binding->ofport->number,
        .cookie = SP_COOKIE(SP_COOKIE_PORT, homes->port->zone),
    };
    return homes->visit(homes->aux, &home);
}

int
sp_engine_each_port_home(const struct sp_engine *engine, const struct sp_port *port, sp_visit_home *visit, void *aux)
{
    struct homes homes = { .port = port, .visit = visit, .aux = aux };
    return sp_engine_each_home(engine, port, visit_home, &homes);
}

bool
sp_engine_port_is_unplugged(const struct sp_engine *engine, const struct sp_port *port)
{
    const struct sp_datapath *dp = port->has_bridge ? sp_engine_datapath(engine, port->dpid) : NULL;
    const struct sp_binding *binding = dp && dp->ports_known ? sp_datapath_binding(dp, &port->id) : NULL;
    return dp && dp->ports_known && (!binding || !binding->ofport);
}

enum sp_admitter
sp_engine_find_admitter(const struct sp_engine *engine, const struct sp_server *server, uint32_t mark,
                        const struct sp_rule **ret_rule, const struct sp_group **ret_group)
{
    const struct sp_rule_set *set = server->set ? sp_model_rule_set(engine->model, server->set) : NULL;
    if (!set || !mark) {
        return SP_ADMITTED_BY_NOBODY;
    }
    if (mark & SP_MARK_FRAGMENT) {
        bool is_live = mark == sp_compile_fragment_mark(set->number, set->version);
        return is_live ? SP_ADMITTED_BY_FRAGMENT : SP_ADMITTED_BY_NOBODY;
    }
    for (size_t i = 0; i < set->n_admissions; i++) {
        if (set->admissions[i].mark == mark) {
            *ret_rule = sp_engine_find_rule(engine->model, set, set->admissions[i].slot, ret_group);
            return *ret_rule ? SP_ADMITTED_BY_RULE : SP_ADMITTED_BY_NOBODY;
        }
    }
    return SP_ADMITTED_BY_NOBODY;
}
