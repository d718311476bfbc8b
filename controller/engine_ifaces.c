#include <stdlib.h>
#include <string.h>

#include "controller/engine_state.h"
#include "controller/obs/log.h"

#define IFACES_MAX 1000000u /* What a database may tell. */

static struct sp_iface *find_iface(const struct sp_engine *, const char *id, const struct sp_place *);
static void free_iface(struct sp_engine *, struct sp_iface *);

static bool
match_id(const struct sp_index_node *node, const void *key)
{
    return !strcmp(((const struct sp_iface *) node->owner)->id, key);
}

static bool
match_place(const struct sp_index_node *node, const void *key)
{
    const struct sp_place *a = &((const struct sp_iface *) node->owner)->place;
    const struct sp_place *b = key;
    return a->dpid == b->dpid && !strcmp(a->name, b->name);
}

void
sp_engine_init_ifaces(struct sp_engine *engine)
{
    sp_index_init(&engine->ifaces, match_id);
    sp_index_init(&engine->places, match_place);
}

void
sp_engine_free_ifaces(struct sp_engine *engine)
{
    struct sp_index_node *head;
    size_t cursor = 0;
    while ((head = sp_index_next_head(&engine->ifaces, NULL, &cursor))) {
        free_iface(engine, head->owner);
        cursor -= cursor ? 1 : 0; /* The bucket may hold more. */
    }
    sp_index_clear(&engine->ifaces);
    sp_index_clear(&engine->places);
}

uint32_t
sp_place_hash(const struct sp_engine *engine, const struct sp_place *place)
{
    return sp_index_hash(engine->seed ^ place->dpid, place->name, strlen(place->name));
}

static uint32_t
hash_id(const struct sp_engine *engine, const char *id)
{
    return sp_index_hash(engine->seed, id, strlen(id));
}

void
sp_engine_bind_iface(struct sp_engine *engine, const char *iface_id, uint64_t dpid, const char *name, bool bound)
{
    /* OpenFlow cuts names of ports. */
    char cut[SP_SESSION_PORT_NAME_SIZE];
    size_t len = strnlen(name, sizeof cut - 2);
    memcpy(cut, name, len);
    cut[len] = '\0';
    struct sp_place place = { .dpid = dpid, .name = cut };
    struct sp_iface *iface = find_iface(engine, iface_id, &place);
    if (engine->stopping || !!iface == bound) {
        return;
    }
    if (bound) {
        size_t id_size = strlen(iface_id) + 1;
        iface = engine->n_ifaces < IFACES_MAX ? calloc(1, sizeof *iface + id_size + len + 1) : NULL;
        if (!iface) {
            sp_log(SP_LOG_ERROR, "engine", "%s: no room for one more interface", iface_id);
            return;
        }
        memcpy(iface->id, iface_id, id_size);
        memcpy(iface->id + id_size, cut, len + 1);
        iface->place.dpid = dpid;
        iface->place.name = iface->id + id_size;
        iface->by_id.owner = iface->by_place.owner = iface;
        sp_index_add(&engine->ifaces, &iface->by_id, hash_id(engine, iface_id), iface_id);
        sp_index_add(&engine->places, &iface->by_place, sp_place_hash(engine, &iface->place), &iface->place);
        engine->n_ifaces++;
    } else {
        free_iface(engine, iface);
    }
    struct sp_datapath *dp = sp_engine_datapath(engine, dpid);
    if (dp) {
        sp_datapath_resolve(dp, cut);
    }
    /* It may have another place, which counts now. */
    sp_engine_resolve_iface(engine, iface_id);
    /* Compiled together with what else this turn brings. */
    engine->ports_changed = true;
    sp_engine_turn_later(engine);
}

void
sp_engine_expect_ifaces(struct sp_engine *engine)
{
    engine->expect_until_ms = sp_engine_now(engine) + SP_ENGINE_EXPECT_MS;
}

static int
look_for_missing(void *aux, const struct sp_server *server)
{
    struct sp_engine *engine = aux;
    for (size_t i = 0; i < server->n_ports; i++) {
        const struct sp_port *port = server->ports[i];
        const char *id = port->has_bridge ? NULL : port->iface_id;
        if (id && !sp_index_find(&engine->ifaces, hash_id(engine, id), id)) {
            return 1;
        }
    }
    return 0;
}

bool
sp_engine_expects(struct sp_engine *engine)
{
    if (!engine->expect_until_ms) {
        return false;
    }
    bool late = sp_engine_now(engine) >= engine->expect_until_ms;
    if (late || !sp_model_each_server(engine->model, NULL, look_for_missing, engine)) {
        engine->expect_until_ms = 0;
    }
    return engine->expect_until_ms != 0;
}

void
sp_engine_resolve_iface(struct sp_engine *engine, const char *id)
{
    struct sp_index_node *head = sp_index_find(&engine->ifaces, hash_id(engine, id), id);
    for (struct sp_index_node *node = head; node; node = sp_index_next(head, node)) {
        const struct sp_iface *iface = node->owner;
        struct sp_datapath *dp = sp_engine_datapath(engine, iface->place.dpid);
        if (dp) {
            sp_datapath_resolve(dp, iface->place.name);
        }
    }
}

int
sp_engine_each_home(const struct sp_engine *engine, const struct sp_port *port, sp_visit_datapath *visit, void *aux)
{
    if (port->has_bridge) {
        struct sp_datapath *dp = sp_engine_datapath(engine, port->dpid);
        return dp ? visit(aux, dp) : 0;
    }
    if (!port->iface_id) {
        return 0;
    }
    struct sp_index_node *head = sp_index_find(&engine->ifaces, hash_id(engine, port->iface_id), port->iface_id);
    for (struct sp_index_node *node = head; node; node = sp_index_next(head, node)) {
        const struct sp_iface *iface = node->owner;
        struct sp_datapath *dp = sp_engine_datapath(engine, iface->place.dpid);
        int r = dp ? visit(aux, dp) : 0;
        if (r) {
            return r;
        }
    }
    return 0;
}

static struct sp_iface *
find_iface(const struct sp_engine *engine, const char *id, const struct sp_place *place)
{
    struct sp_index_node *head = sp_index_find(&engine->ifaces, hash_id(engine, id), id);
    for (struct sp_index_node *node = head; node; node = sp_index_next(head, node)) {
        if (match_place(node, place)) {
            return node->owner;
        }
    }
    return NULL;
}

static void
free_iface(struct sp_engine *engine, struct sp_iface *iface)
{
    sp_index_remove(&engine->ifaces, &iface->by_id, hash_id(engine, iface->id), iface->id);
    sp_index_remove(&engine->places, &iface->by_place, sp_place_hash(engine, &iface->place), &iface->place);
    engine->n_ifaces--;
    free(iface);
}
