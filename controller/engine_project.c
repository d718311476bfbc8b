#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/engine_state.h"
#include "controller/model/object.h"
#include "controller/obs/log.h"
#include "sallyport/pipeline.h"

/* Who a port is: the answer of the model and of OVSDB. */
struct owner {
    enum sp_port_role role;
    const struct sp_port *port;
    const struct sp_server *server;
};

static void mark_common(struct sp_datapath *);
static struct sp_ofport *find_ofport(const struct sp_datapath *, uint16_t number);
static void drop_ofport(struct sp_datapath *, struct sp_ofport *);
static struct owner find_owner(struct sp_datapath *, const char *name);
static void bind_port(struct sp_datapath *, struct sp_ofport *, const struct owner *);
static void unbind_port(struct sp_datapath *, struct sp_ofport *);
static void free_binding(struct sp_datapath *, struct sp_binding *);
static void set_role(struct sp_datapath *, struct sp_ofport *, const struct owner *);

static bool
match_number(const struct sp_index_node *node, const void *key)
{
    return ((const struct sp_ofport *) node->owner)->number == *(const uint16_t *) key;
}

static bool
match_name(const struct sp_index_node *node, const void *key)
{
    return !strcmp(((const struct sp_ofport *) node->owner)->name, key);
}

static bool
match_id(const struct sp_index_node *node, const void *key)
{
    return sp_uuid_equal(&((const struct sp_binding *) node->owner)->port->id, key);
}

static bool
match_member(const struct sp_index_node *node, const void *key)
{
    const struct sp_binding *binding = node->owner;
    return !memcmp(&binding->members[node->item].unit, key, sizeof(struct sp_unit_name));
}

static bool
match_stale(const struct sp_index_node *node, const void *key)
{
    return !memcmp(&((const struct sp_stale *) node->owner)->unit, key, sizeof(struct sp_unit_name));
}

static uint32_t
hash(const struct sp_datapath *dp, const void *data, size_t size)
{
    return sp_index_hash(dp->engine->seed, data, size);
}

void
sp_datapath_init_indices(struct sp_datapath *dp)
{
    sp_index_init(&dp->ofports, match_number);
    sp_index_init(&dp->names, match_name);
    sp_index_init(&dp->bindings, match_id);
    sp_index_init(&dp->members, match_member);
    sp_index_init(&dp->stale, match_stale);
    sp_datapath_init_sets(dp);
}

void
sp_datapath_clear_indices(struct sp_datapath *dp)
{
    sp_datapath_unproject(dp);
    sp_datapath_drop_ofports(dp);
    sp_index_clear(&dp->bindings);
    sp_index_clear(&dp->members);
    sp_index_clear(&dp->sets);
    sp_index_clear(&dp->references);
}

void
sp_datapath_project(struct sp_datapath *dp)
{
    mark_common(dp);
    sp_datapath_resolve_all(dp);
}

void
sp_datapath_begin_projecting(struct sp_datapath *dp)
{
    size_t n;
    struct sp_ofport **ports = sp_datapath_sorted_ofports(dp, &n);
    dp->unresolved = ports ? malloc((n ? n : 1) * sizeof *dp->unresolved) : NULL;
    mark_common(dp);
    if (!ports || !dp->unresolved) {
        free(ports);
        sp_datapath_give_up(dp);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        dp->unresolved[i] = ports[i]->number;
    }
    dp->n_unresolved = n;
    dp->next_unresolved = 0;
    free(ports);
}

bool
sp_datapath_resolve_next(struct sp_datapath *dp)
{
    if (dp->next_unresolved == dp->n_unresolved) {
        return false;
    }
    const struct sp_ofport *port = find_ofport(dp, dp->unresolved[dp->next_unresolved++]);
    if (port) { /* Else it has gone meanwhile. */
        sp_datapath_resolve(dp, port->name);
    }
    return true;
}

/* Whatever its ports are. */
static void
mark_common(struct sp_datapath *dp)
{
    dp->projected = true;
    struct sp_unit_name name;
    sp_unit_name_init(&name, SP_UNIT_STATIC);
    sp_datapath_mark(dp, &name);
    sp_unit_name_init(&name, SP_UNIT_REPORTS);
    sp_datapath_mark(dp, &name);
    sp_unit_name_init(&name, SP_UNIT_UPLINKS);
    sp_datapath_mark(dp, &name);
}

void
sp_datapath_unproject(struct sp_datapath *dp)
{
    dp->projected = false; /* First, so that nothing is marked. */
    free(dp->unresolved);
    dp->unresolved = NULL;
    dp->n_unresolved = dp->next_unresolved = 0;
    size_t cursor = 0;
    for (struct sp_index_node *node = NULL; (node = sp_index_next_head(&dp->ofports, node, &cursor));) {
        struct sp_ofport *port = node->owner;
        if (port->binding) {
            free_binding(dp, port->binding);
            port->binding = NULL;
        }
        port->role = SP_ROLE_CLOSED;
    }
    sp_datapath_forget_stale(dp);
}

void
sp_datapath_release(struct sp_datapath *dp)
{
    dp->releasing = true;
    if (!dp->projected) {
        return;
    }
    struct sp_unit_name name;
    sp_unit_name_init(&name, SP_UNIT_STATIC);
    sp_datapath_mark(dp, &name);
    sp_unit_name_init(&name, SP_UNIT_REPORTS);
    sp_datapath_mark(dp, &name);
    sp_datapath_resolve_all(dp);
}

struct collection {
    const struct sp_port *port;
    const struct sp_server *server;
};

static int
take_first(void *aux, const struct sp_port *port, const struct sp_server *server)
{
    struct collection *first = aux;
    first->port = port;
    first->server = server;
    return 1;
}

static int
take_first_unnamed(void *aux, const struct sp_port *port, const struct sp_server *server)
{
    return port->has_bridge ? 0 : take_first(aux, port, server);
}

void
sp_datapath_resolve(struct sp_datapath *dp, const char *name)
{
    if (!dp->projected) {
        return;
    }
    /* Of several ports with one name (OpenFlow cuts names to 15 bytes) the lowest number is meant. */
    struct sp_index_node *head = sp_index_find(&dp->names, hash(dp, name, strlen(name)), name);
    struct sp_ofport *chosen = head ? head->owner : NULL;
    for (struct sp_index_node *node = head; node; node = sp_index_next(head, node)) {
        struct sp_ofport *port = node->owner;
        chosen = port->number < chosen->number ? port : chosen;
    }
    const struct owner nobody = { .role = SP_ROLE_CLOSED };
    for (struct sp_index_node *node = head; node; node = sp_index_next(head, node)) {
        if (node->owner != chosen) {
            set_role(dp, node->owner, &nobody);
        }
    }
    if (chosen) {
        struct owner owner = find_owner(dp, name);
        set_role(dp, chosen, &owner);
    }
}

void
sp_datapath_resolve_all(struct sp_datapath *dp)
{
    size_t n;
    struct sp_ofport **ports = sp_datapath_sorted_ofports(dp, &n);
    if (!ports) {
        sp_datapath_give_up(dp);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        sp_datapath_resolve(dp, ports[i]->name);
    }
    free(ports);
}

int
sp_datapath_put_ofport(struct sp_datapath *dp, const struct sp_session_port *said)
{
    struct sp_ofport *port = find_ofport(dp, said->ofport);
    if (port && (said->deleted || strcmp(port->name, said->name))) {
        char name[SP_SESSION_PORT_NAME_SIZE];
        memcpy(name, port->name, sizeof name);
        drop_ofport(dp, port);
        sp_datapath_resolve(dp, name);
        port = NULL;
    }
    if (port || said->deleted) {
        return 0;
    }
    port = calloc(1, sizeof *port);
    if (!port) {
        return -ENOMEM;
    }
    port->number = said->ofport;
    memcpy(port->name, said->name, sizeof port->name);
    port->by_number.owner = port->by_name.owner = port;
    sp_index_add(&dp->ofports, &port->by_number, hash(dp, &port->number, sizeof port->number), &port->number);
    sp_index_add(&dp->names, &port->by_name, hash(dp, port->name, strlen(port->name)), port->name);
    sp_datapath_resolve(dp, port->name);
    return 0;
}

void
sp_datapath_drop_ofports(struct sp_datapath *dp)
{
    size_t cursor = 0;
    struct sp_index_node *next;
    for (struct sp_index_node *node = sp_index_next_head(&dp->ofports, NULL, &cursor); node; node = next) {
        next = sp_index_next_head(&dp->ofports, node, &cursor);
        free(node->owner);
    }
    sp_index_clear(&dp->ofports);
    sp_index_clear(&dp->names);
}

void
sp_datapath_give_up(struct sp_datapath *dp)
{
    if (sp_switch_link(dp->sw)) {
        sp_link_close(sp_switch_link(dp->sw), "out of memory");
    }
}

struct sp_binding *
sp_datapath_binding(const struct sp_datapath *dp, const struct sp_uuid *id)
{
    struct sp_index_node *node = sp_index_find(&dp->bindings, hash(dp, id, sizeof *id), id);
    return node ? node->owner : NULL;
}

struct sp_binding *
sp_datapath_binding_at(const struct sp_datapath *dp, uint16_t number)
{
    const struct sp_ofport *port = find_ofport(dp, number);
    return port ? port->binding : NULL;
}

static int
compare_ofports(const void *a, const void *b)
{
    return (int) (*(struct sp_ofport *const *) a)->number - (int) (*(struct sp_ofport *const *) b)->number;
}

struct sp_ofport **
sp_datapath_sorted_ofports(const struct sp_datapath *dp, size_t *ret_n)
{
    size_t n = 0;
    struct sp_ofport **ports = malloc((dp->ofports.n_heads ? dp->ofports.n_heads : 1) * sizeof(struct sp_ofport *));
    *ret_n = 0;
    if (!ports) {
        return NULL;
    }
    size_t cursor = 0;
    for (struct sp_index_node *node = NULL; (node = sp_index_next_head(&dp->ofports, node, &cursor));) {
        ports[n++] = node->owner;
    }
    qsort(ports, n, sizeof(struct sp_ofport *), compare_ofports);
    *ret_n = n;
    return ports;
}

static struct sp_ofport *
find_ofport(const struct sp_datapath *dp, uint16_t number)
{
    struct sp_index_node *node = sp_index_find(&dp->ofports, hash(dp, &number, sizeof number), &number);
    return node ? node->owner : NULL;
}

static void
drop_ofport(struct sp_datapath *dp, struct sp_ofport *port)
{
    const struct owner nobody = { .role = SP_ROLE_CLOSED };
    sp_index_remove(&dp->ofports, &port->by_number, hash(dp, &port->number, sizeof port->number), &port->number);
    sp_index_remove(&dp->names, &port->by_name, hash(dp, port->name, strlen(port->name)), port->name);
    set_role(dp, port, &nobody);
    free(port);
}

/* An uplink is no server's; a port that names the bridge comes before one that is found by its interface. */
static struct owner
find_owner(struct sp_datapath *dp, const char *name)
{
    const struct sp_engine *engine = dp->engine;
    const struct sp_bridge *bridge = dp->releasing ? NULL : sp_model_bridge(engine->model, dp->dpid);
    struct owner owner = { .role = SP_ROLE_CLOSED };
    if (!bridge) {
        return owner;
    }
    for (size_t i = 0; i < bridge->n_uplinks; i++) {
        if (!strcmp(bridge->uplinks[i], name)) {
            owner.role = SP_ROLE_UPLINK;
            return owner;
        }
    }
    struct collection first = { .port = NULL };
    sp_model_each_named_port(engine->model, dp->dpid, name, take_first, &first);
    struct sp_place place = { .dpid = dp->dpid, .name = name };
    struct sp_index_node *head = sp_index_find(&engine->places, sp_place_hash(engine, &place), &place);
    const char *chosen = NULL;
    for (struct sp_index_node *node = first.port ? NULL : head; node; node = sp_index_next(head, node)) {
        /* Of several interfaces at one port the first by name, whichever was told first: a restart must find the same. */
        const struct sp_iface *iface = node->owner;
        struct collection found = { .port = NULL };
        sp_model_each_iface_port(engine->model, iface->id, take_first_unnamed, &found);
        if (found.port && (!chosen || strcmp(iface->id, chosen) < 0)) {
            chosen = iface->id;
            first = found;
        }
    }
    if (first.port) {
        owner.role = SP_ROLE_SERVER;
        owner.port = first.port;
        owner.server = first.server;
    }
    return owner;
}

static void
mark_uplinks(struct sp_datapath *dp)
{
    struct sp_unit_name name;
    sp_unit_name_init(&name, SP_UNIT_UPLINKS);
    sp_datapath_mark(dp, &name);
}

static void
set_role(struct sp_datapath *dp, struct sp_ofport *port, const struct owner *wanted)
{
    struct owner owner = *wanted;
    if (owner.role == SP_ROLE_SERVER) {
        /* One interface may be seen at two ports of a bridge for a moment: the lowest number has it. */
        struct sp_binding *other = sp_datapath_binding(dp, &owner.port->id);
        if (other && other->ofport != port) {
            struct owner rival = find_owner(dp, other->ofport->name);
            if (other->ofport->number < port->number && rival.port && sp_uuid_equal(&rival.port->id, &owner.port->id)) {
                owner.role = SP_ROLE_CLOSED;
            } else {
                unbind_port(dp, other->ofport);
            }
        }
    }
    struct sp_binding *binding = port->binding;
    bool same = binding && owner.role == SP_ROLE_SERVER && binding->port == owner.port
        && binding->server->set == owner.server->set;
    if (same) {
        /* The server may be a newer version of itself. */
        sp_server_ref(owner.server);
        sp_server_unref(binding->server);
        binding->server = owner.server;
        return;
    }
    /* Held while the port passes from one owner to the next, so that the only port of a set does not end it. */
    struct sp_presence *held = binding && owner.role == SP_ROLE_SERVER && owner.server->set
                                   ? sp_datapath_join_set(dp, owner.server->set) : NULL;
    const struct sp_port *lost = binding ? sp_port_ref(binding->port) : NULL;
    if (binding) {
        unbind_port(dp, port);
    }
    if ((port->role == SP_ROLE_UPLINK) != (owner.role == SP_ROLE_UPLINK)) {
        mark_uplinks(dp);
    }
    port->role = owner.role;
    if (owner.role == SP_ROLE_SERVER) {
        bind_port(dp, port, &owner);
    }
    if (held) {
        sp_datapath_leave_set(held);
    }
    if (lost && !lost->has_bridge && !(owner.port && sp_uuid_equal(&lost->id, &owner.port->id))) {
        /* Its interface may be at another port as well. */
        sp_engine_resolve_iface(dp->engine, lost->iface_id);
    }
    sp_port_unref(lost);
}

/* Whether the MAC of pair 'k' is neither the port's own nor that of an earlier pair. */
static bool
is_new_mac(const struct sp_port *port, size_t k)
{
    bool new = !sp_mac_equal(&port->pairs[k].mac, &port->mac);
    for (size_t i = 0; new && i < k; i++) {
        new = !sp_mac_equal(&port->pairs[i].mac, &port->pairs[k].mac);
    }
    return new;
}

/* The units of which a port is a member; 'names' has room for 5 + n_ips + n_pairs.  Returns their number. */
static size_t
list_units(const struct sp_port *port, struct sp_unit_name *names)
{
    size_t n = 0;
    sp_unit_name_port(&names[n++], &port->id);
    sp_unit_name_mac(&names[n++], port->vlan, &port->mac);
    for (size_t i = 0; i < port->n_pairs; i++) {
        if (is_new_mac(port, i)) {
            sp_unit_name_mac(&names[n++], port->vlan, &port->pairs[i].mac);
        }
    }
    struct sp_cidr link_local = sp_cidr_link_local(&port->mac);
    bool listed = false;
    for (size_t i = 0; i < port->n_ips; i++) {
        sp_unit_name_target(&names[n++], port->vlan, &port->ips[i]);
        listed = listed || sp_cidr_equal(&port->ips[i], &link_local);
    }
    if (!listed) {
        sp_unit_name_target(&names[n++], port->vlan, &link_local);
    }
    sp_unit_name_chunk(&names[n++], port->vlan, (uint8_t) (port->zone % SP_FLOOD_CHUNKS));
    return n;
}

static void
mark_members(struct sp_datapath *dp, const struct sp_binding *binding)
{
    for (size_t i = 0; i < binding->n_members; i++) {
        sp_datapath_mark(dp, &binding->members[i].unit);
    }
    struct sp_unit_name name;
    sp_unit_name_flood(&name, binding->port->vlan);
    sp_datapath_mark(dp, &name);
}

static void
bind_port(struct sp_datapath *dp, struct sp_ofport *ofport, const struct owner *owner)
{
    const struct sp_port *port = owner->port;
    struct sp_unit_name *names = malloc((5 + port->n_ips + port->n_pairs) * sizeof *names);
    size_t n = names ? list_units(port, names) : 0;
    struct sp_binding *binding = calloc(1, sizeof *binding + n * sizeof binding->members[0]);
    struct sp_presence *set = names && binding && owner->server->set ? sp_datapath_join_set(dp, owner->server->set) : NULL;
    if (!names || !binding || (owner->server->set && !set)) {
        free(names);
        free(binding);
        ofport->role = SP_ROLE_CLOSED;
        sp_datapath_give_up(dp);
        return;
    }
    binding->port = sp_port_ref(port);
    binding->server = sp_server_ref(owner->server);
    binding->ofport = ofport;
    binding->set = set;
    binding->n_members = n;
    binding->by_id.owner = binding;
    ofport->binding = binding;
    sp_index_add(&dp->bindings, &binding->by_id, hash(dp, &port->id, sizeof port->id), &port->id);
    for (size_t i = 0; i < n; i++) {
        struct sp_member *member = &binding->members[i];
        member->unit = names[i];
        member->node.owner = binding;
        member->node.item = (uint32_t) i;
        sp_index_add(&dp->members, &member->node, hash(dp, &member->unit, sizeof member->unit), &member->unit);
    }
    free(names);
    mark_members(dp, binding);
}

static void
unbind_port(struct sp_datapath *dp, struct sp_ofport *ofport)
{
    struct sp_binding *binding = ofport->binding;
    ofport->binding = NULL;
    ofport->role = SP_ROLE_CLOSED;
    mark_members(dp, binding);
    /* What a port that has gone for good leaves in conntrack is of no use; the zone's next owner will not find it anyway, see
     * switch_zones.c.  One that is only unplugged keeps its connections. */
    const struct sp_port *now = sp_model_port(dp->engine->model, &binding->port->id);
    bool stays = now && now->zone == binding->port->zone && (!now->has_bridge || now->dpid == dp->dpid);
    if (!stays) {
        sp_switch_flush_zone(dp->sw, binding->port->zone);
    }
    free_binding(dp, binding);
}

static void
free_binding(struct sp_datapath *dp, struct sp_binding *binding)
{
    sp_index_remove(&dp->bindings, &binding->by_id, hash(dp, &binding->port->id, sizeof binding->port->id), &binding->port->id);
    for (size_t i = 0; i < binding->n_members; i++) {
        struct sp_member *member = &binding->members[i];
        sp_index_remove(&dp->members, &member->node, hash(dp, &member->unit, sizeof member->unit), &member->unit);
    }
    if (binding->set) {
        sp_datapath_leave_set(binding->set);
    }
    sp_port_unref(binding->port);
    sp_server_unref(binding->server);
    free(binding);
}
