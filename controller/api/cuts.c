/* The happy path: the ports of the servers that a change may cut something of are noted down; their switches are asked, one port
 * after the other; what was heard is judged twice.  What goes wrong is an answer too: nobody can be asked; a switch is silent, or
 * says what nobody understands; there are too many ports or connections; something else has changed meanwhile.  Only the
 * controller's end ends it without one. */

#include "controller/api/cuts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/api/judge.h"
#include "controller/unixctl/unixctl.h"

#define STRANGER "no control socket given by --switch-control is of a switch that has this port's flows"
#define MANY "there are more connections than are looked at"
#define MEANWHILE "something else has changed meanwhile"

enum state { WAITING, HEARD, UNKNOWN };

/* A connection that passes now, or may. */
struct heard {
    struct sp_conntrack connection;
    struct sp_judged now;
};

/* A port on one bridge. */
struct place {
    struct sp_uuid server;
    struct sp_uuid port;
    struct sp_inquiry_port inquiry;
    enum state state;
    char why[200];       /* With UNKNOWN. */
    bool more;           /* With HEARD: there are others. */
    struct heard *heard;
    size_t n_heard;
};

/* Why something is not known, and whose connections they are. */
struct unknown {
    const char *reason;  /* Of a place, or a literal. */
    struct sp_uuid servers[SP_CUTS_LISTED_MAX]; /* The first ones. */
    size_t n_servers;
    struct sp_uuid last; /* As each server's ports come together. */
};

struct cut {
    size_t place;
    size_t heard;
};

struct sp_cuts {
    struct sp_call *call;
    struct place *places;
    size_t n_places;
    size_t at;           /* The place that is being asked for. */
    size_t n_heard;
    int64_t begin_us;
    void (*done)(struct sp_call *, int error);
    struct sp_judge judge;
    struct cut cuts[SP_CUTS_LISTED_MAX]; /* The first ones. */
    size_t n_cuts;
    struct unknown *unknown;
    size_t n_unknown;
    bool failed;         /* No memory. */
};

struct sp_cuts *
sp_cuts_new(struct sp_call *call)
{
    struct sp_cuts *cuts = calloc(1, sizeof *cuts);
    if (cuts) {
        cuts->call = call;
    }
    return cuts;
}

void
sp_cuts_free(struct sp_cuts *cuts)
{
    if (cuts) {
        for (size_t i = 0; i < cuts->n_places; i++) {
            free(cuts->places[i].heard);
        }
        sp_judge_clear(&cuts->judge);
        free(cuts->places);
        free(cuts->unknown);
        free(cuts);
    }
}

/* Whose connections may be cut. */

/* What becomes of a server: 'after' is NULL if it goes; 'rules': other rules are asked, or some of its set admit less. */
struct target {
    const struct sp_server *before;
    const struct sp_server *after;
    bool rules;
};
typedef void visit_target(struct sp_cuts *, const struct target *);

/* The sets that admit less than they did, and the servers that have been visited; both sorted to be searched. */
struct search {
    struct sp_cuts *cuts;
    visit_target *visit;
    uint32_t *sets;
    size_t n_sets;
    struct sp_uuid *servers;
    size_t n_servers;
};

static int
compare_numbers(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;
    return (x > y) - (x < y);
}

static int
compare_ids(const void *a, const void *b)
{
    return sp_uuid_compare(a, b);
}

/* Whether a mark of 'before' is live no more.  Whatever was allowed and is not had such a mark (flows/admission.h). */
static bool
loses_mark(const struct sp_rule_set *before, const struct sp_rule_set *after)
{
    for (size_t i = 0; i < before->n_admissions; i++) {
        if (before->admissions[i].mark && !sp_rule_set_keeps(after, &before->admissions[i])) {
            return true;
        }
    }
    return false;
}

static bool
same_text(const char *a, const char *b)
{
    return a == b || (a && b && !strcmp(a, b));
}

/* Whether what passes 'before' at its place does so at that of 'after' as well, as far as no rule and no address is concerned. */
static bool
stays(const struct sp_port *before, const struct sp_port *after)
{
    return before->has_bridge == after->has_bridge && before->dpid == after->dpid && same_text(before->name, after->name) &&
           same_text(before->iface_id, after->iface_id) && sp_mac_equal(&before->mac, &after->mac) &&
           before->vlan == after->vlan && before->zone == after->zone;
}

static bool
has_ip(const struct sp_port *port, const struct sp_cidr *ip)
{
    for (size_t i = 0; i < port->n_ips; i++) {
        if (sp_cidr_equal(&port->ips[i], ip)) {
            return true;
        }
    }
    return false;
}

static bool
has_pair(const struct sp_port *port, const struct sp_address_pair *pair)
{
    for (size_t i = 0; i < port->n_pairs; i++) {
        if (sp_cidr_equal(&port->pairs[i].ip, &pair->ip) && sp_mac_equal(&port->pairs[i].mac, &pair->mac)) {
            return true;
        }
    }
    return false;
}

/* Whether 'after' may not have an address that 'before' may. */
static bool
loses_address(const struct sp_port *before, const struct sp_port *after)
{
    bool loses = after->port_security && !before->port_security;
    for (size_t i = 0; i < before->n_ips && after->port_security; i++) {
        loses |= !has_ip(after, &before->ips[i]);
    }
    for (size_t i = 0; i < before->n_pairs && after->port_security; i++) {
        loses |= !has_pair(after, &before->pairs[i]);
    }
    return loses;
}

static const struct sp_port *
find_port(const struct sp_server *server, const struct sp_uuid *id)
{
    for (size_t i = 0; server && i < server->n_ports; i++) {
        if (sp_uuid_equal(&server->ports[i]->id, id)) {
            return server->ports[i];
        }
    }
    return NULL;
}

/* Whether something of 'port' may be cut. */
static bool
is_concerned(const struct target *target, const struct sp_port *port)
{
    const struct sp_port *after = find_port(target->after, &port->id);
    return target->rules || !after || !stays(port, after) || loses_address(port, after);
}

static bool
has_set(const struct search *search, uint32_t set)
{
    return search->n_sets && bsearch(&set, search->sets, search->n_sets, sizeof set, compare_numbers);
}

static void
visit(struct search *search, const struct sp_server *before, const struct sp_server *after)
{
    const struct target target = {before, after, !after || after->set != before->set || has_set(search, before->set)};
    if (before->set) { /* Else nothing passes it now. */
        search->visit(search->cuts, &target);
    }
}

static int
visit_member(void *aux, const struct sp_server *server)
{
    struct search *search = aux;
    bool is_through = search->n_servers &&
                      bsearch(&server->id, search->servers, search->n_servers, sizeof server->id, compare_ids);
    if (!is_through && has_set(search, server->set)) {
        visit(search, server, server);
    }
    return 0;
}

/* Visits each server of which 'changes' may cut a connection.  Returns 0 or -ENOMEM. */
static int
each_target(struct sp_cuts *cuts, const struct sp_change *changes, size_t n, visit_target *visitor)
{
    struct search search = {.cuts = cuts, .visit = visitor};
    const char *region = NULL;
    search.sets = calloc(n + 1, sizeof *search.sets);
    search.servers = calloc(n + 1, sizeof *search.servers);
    int r = search.sets && search.servers ? 0 : -ENOMEM;
    for (size_t i = 0; i < n && !r; i++) {
        const struct sp_rule_set *before = changes[i].before, *after = changes[i].after;
        if (changes[i].kind == SP_KIND_RULE_SET && before && after && loses_mark(before, after)) {
            search.sets[search.n_sets++] = after->number;
            region = after->region; /* A change is about one region. */
        }
    }
    if (search.n_sets) {
        qsort(search.sets, search.n_sets, sizeof *search.sets, compare_numbers);
    }
    for (size_t i = 0; i < n && !r; i++) {
        const struct sp_server *before = changes[i].before;
        if (changes[i].kind == SP_KIND_SERVER && before) {
            search.servers[search.n_servers++] = before->id;
            visit(&search, before, changes[i].after);
        }
    }
    if (search.n_sets) {
        if (search.n_servers) {
            qsort(search.servers, search.n_servers, sizeof *search.servers, compare_ids);
        }
        sp_model_each_server(sp_call_model(cuts->call), region, visit_member, &search);
    }
    free(search.sets);
    free(search.servers);
    return r || cuts->failed ? -ENOMEM : 0;
}

/* Asking. */

struct homes {
    struct sp_cuts *cuts;
    const struct sp_server *server;
    const struct sp_port *port;
};

static int
add_place(void *aux, const struct sp_port_home *home)
{
    const struct homes *homes = aux;
    struct sp_cuts *cuts = homes->cuts;
    const struct sp_port *port = homes->port;
    if (cuts->n_places == SP_CUTS_PORTS_MAX) {
        return 1;
    }
    struct place *grown = reallocarray(cuts->places, cuts->n_places + 1, sizeof *grown);
    if (!grown) {
        cuts->failed = true;
        return 1;
    }
    cuts->places = grown;
    struct place *place = &grown[cuts->n_places++];
    *place = (struct place){
        .server = homes->server->id,
        .port = port->id,
        .inquiry = {.ofport = home->ofport, .mac = port->mac, .zone = port->zone, .cookie = home->cookie},
    };
    size_t len = strlen(home->bridge);
    if (len < sizeof place->inquiry.bridge) {
        memcpy(place->inquiry.bridge, home->bridge, len + 1); /* Else it has none, and cannot be asked for. */
    }
    return 0;
}

static void
add_places(struct sp_cuts *cuts, const struct target *target)
{
    const struct sp_engine *engine = cuts->call->api->engine;
    for (size_t i = 0; i < target->before->n_ports; i++) {
        struct homes homes = {cuts, target->before, target->before->ports[i]};
        if (is_concerned(target, homes.port) && !sp_model_zone_is_shared(sp_engine_model(engine), homes.port->zone)) {
            sp_engine_each_port_home(engine, homes.port, add_place, &homes);
        }
    }
}

int
sp_cuts_find(struct sp_cuts *cuts, const struct sp_change *changes, size_t n)
{
    return cuts->call->api->unixctl ? each_target(cuts, changes, n, add_places) : 0;
}

bool
sp_cuts_is_waiting(const struct sp_cuts *cuts)
{
    return cuts->at < cuts->n_places;
}

static void
give_up(struct place *place, const char *why)
{
    place->state = UNKNOWN;
    snprintf(place->why, sizeof place->why, "%s", why);
}

static void
take_connections(struct sp_cuts *cuts, struct place *place, const struct sp_unixctl_answer *said)
{
    place->heard = calloc(said->n + 1, sizeof *place->heard);
    if (!place->heard) {
        give_up(place, "there is no memory");
        return;
    }
    for (size_t i = 0; i < said->n; i++) {
        place->heard[i].connection = said->connections[i];
    }
    place->state = HEARD;
    place->more = said->more;
    place->n_heard = said->n;
    cuts->n_heard += said->n;
}

static void ask_next(struct sp_cuts *);

static void
on_answer(void *aux, const struct sp_unixctl_answer *said)
{
    struct sp_cuts *cuts = aux;
    struct place *place = &cuts->places[cuts->at];
    char why[sizeof place->why];
    switch (said->end) {
    case SP_UNIXCTL_DONE:
        take_connections(cuts, place, said);
        break;
    case SP_UNIXCTL_TOO_MANY:
        snprintf(why, sizeof why, "of a port with more than %u connections none are listed", SP_INQUIRY_ZONE_MAX);
        give_up(place, why);
        break;
    case SP_UNIXCTL_STRANGER:
        give_up(place, STRANGER);
        break;
    case SP_UNIXCTL_FAILED:
    case SP_UNIXCTL_SILENT:
        snprintf(why, sizeof why, "the switch cannot be asked for its connections: %.140s", said->why);
        give_up(place, why);
        break;
    case SP_UNIXCTL_STOPPED:
        cuts->done(cuts->call, SP_E_CLOSED);
        return;
    }
    cuts->at++;
    ask_next(cuts);
}

/* Asks for the next place, or ends. */
static void
ask_next(struct sp_cuts *cuts)
{
    for (; cuts->at < cuts->n_places; cuts->at++) {
        struct place *place = &cuts->places[cuts->at];
        size_t room = SP_CUTS_CONNECTIONS_MAX - cuts->n_heard;
        if (sp_histogram_clock_us() - cuts->begin_us > SP_CUTS_TIME_US) {
            give_up(place, "the switches have not told of all ports in time");
            continue;
        }
        if (!room) {
            give_up(place, MANY);
            continue;
        }
        int r = sp_unixctl_ask_patiently(cuts->call->api->unixctl, &place->inquiry, room, on_answer, cuts);
        if (!r) {
            return;
        }
        give_up(place, r == SP_E_FULL    ? "too many connections are being listed; try again in a second or two"
                       : r == SP_E_RANGE ? STRANGER
                                         : "there is no memory");
    }
    cuts->done(cuts->call, 0);
}

void
sp_cuts_ask(struct sp_cuts *cuts, void (*done)(struct sp_call *, int error))
{
    cuts->done = done;
    cuts->begin_us = sp_histogram_clock_us();
    ask_next(cuts);
}

/* Judging. */

/* A TCP connection that both ends have given up is remembered for a while. */
static bool
has_ended(const struct sp_conntrack *connection)
{
    return connection->protocol == SP_PROTOCOL_TCP &&
           (!strcmp(connection->state, "TIME_WAIT") || !strcmp(connection->state, "CLOSED"));
}

static int
judge_heard_now(struct sp_cuts *cuts, const struct sp_server *server, const struct sp_port *port, struct heard *heard)
{
    const struct sp_conntrack *it = &heard->connection;
    heard->now = (struct sp_judged){.passage = SP_PASSAGE_STOPS};
    if (has_ended(it) || !sp_tracked_find_way(port, &it->src, &it->dst, &heard->now.way)) {
        return 0;
    }
    return sp_judge_connection(&cuts->judge, server->set, it, &heard->now);
}

int
sp_cuts_judge_present(struct sp_cuts *cuts)
{
    const struct sp_model *model = sp_call_model(cuts->call);
    int r = 0;
    sp_judge_init(&cuts->judge, model);
    for (size_t i = 0; i < cuts->n_places && !r; i++) {
        struct place *place = &cuts->places[i];
        const struct sp_server *server = sp_model_server(model, &place->server);
        const struct sp_port *port = find_port(server, &place->port);
        if (place->state == HEARD && (!port || port->zone != place->inquiry.zone)) {
            give_up(place, MEANWHILE);
        }
        for (size_t j = 0; j < place->n_heard && place->state == HEARD && !r; j++) {
            r = judge_heard_now(cuts, server, port, &place->heard[j]);
        }
    }
    sp_judge_clear(&cuts->judge);
    return r;
}

/* Notes down that something is not known because of 'reason', of a server (NULL: of none in particular). */
static void
add_unknown(struct sp_cuts *cuts, const char *reason, const struct sp_uuid *server)
{
    size_t i = 0;
    while (i < cuts->n_unknown && strcmp(cuts->unknown[i].reason, reason)) {
        i++;
    }
    if (i == cuts->n_unknown) {
        struct unknown *grown = reallocarray(cuts->unknown, i + 1, sizeof *grown);
        if (!grown) {
            cuts->failed = true;
            return;
        }
        cuts->unknown = grown;
        grown[cuts->n_unknown++] = (struct unknown){.reason = reason};
    }
    struct unknown *unknown = &cuts->unknown[i];
    if (!server || (unknown->n_servers && sp_uuid_equal(&unknown->last, server))) {
        return;
    }
    unknown->last = *server;
    if (unknown->n_servers < SP_CUTS_LISTED_MAX) {
        unknown->servers[unknown->n_servers] = *server;
    }
    unknown->n_servers++;
}

/* What becomes of a connection that passes now, or may. */
static int
judge_heard(struct sp_cuts *cuts, const struct target *target, const struct sp_port *port, struct cut at)
{
    const struct heard *heard = &cuts->places[at.place].heard[at.heard];
    const struct sp_conntrack *it = &heard->connection;
    const struct sp_port *after = find_port(target->after, &port->id);
    struct sp_judged then = {.passage = SP_PASSAGE_STOPS};
    if (after && stays(port, after) && sp_tracked_find_way(after, &it->src, &it->dst, &then.way)) {
        then.way = heard->now.way;
        int r = sp_judge_connection(&cuts->judge, target->after->set, it, &then);
        if (r) {
            return r;
        }
    }
    bool is_known = heard->now.passage == SP_PASSAGE_PASSES && then.passage == SP_PASSAGE_STOPS;
    if (then.passage != SP_PASSAGE_PASSES && !is_known) {
        add_unknown(cuts, heard->now.reason ? heard->now.reason : then.reason, &target->before->id);
    } else if (then.passage == SP_PASSAGE_STOPS) {
        if (cuts->n_cuts < SP_CUTS_LISTED_MAX) {
            cuts->cuts[cuts->n_cuts] = at;
        }
        cuts->n_cuts++;
    }
    return 0;
}

static void
judge_place(struct sp_cuts *cuts, const struct target *target, const struct sp_port *port, size_t i)
{
    const struct place *place = &cuts->places[i];
    if (place->state != HEARD || place->more) {
        add_unknown(cuts, place->state == HEARD ? MANY : place->why, &target->before->id);
    }
    for (size_t j = 0; j < place->n_heard && place->state == HEARD && !cuts->failed; j++) {
        if (place->heard[j].now.passage != SP_PASSAGE_STOPS) {
            cuts->failed |= judge_heard(cuts, target, port, (struct cut){i, j}) != 0;
        }
    }
}

static int
note_home(void *aux, const struct sp_port_home *home)
{
    bool *found = aux;
    *found = true;
    return 1;
}

/* Why nobody has been asked for 'port'. */
static const char *
explain_absence(const struct sp_cuts *cuts, const struct sp_port *port)
{
    const struct sp_api *api = cuts->call->api;
    bool has_home = false;
    sp_engine_each_port_home(api->engine, port, note_home, &has_home);
    if (!has_home) {
        return "it is on no bridge that is connected";
    }
    if (!api->unixctl) {
        return "no control socket of a switch is known: start sallyportd with --switch-control";
    }
    if (sp_model_zone_is_shared(sp_engine_model(api->engine), port->zone)) {
        return "another port has the same conntrack zone";
    }
    return cuts->n_places == SP_CUTS_PORTS_MAX ? "there are more ports than are asked for" : MEANWHILE;
}

static void
judge_target(struct sp_cuts *cuts, const struct target *target)
{
    for (size_t i = 0; i < target->before->n_ports && !cuts->failed; i++) {
        const struct sp_port *port = target->before->ports[i];
        bool was_asked = false;
        if (!is_concerned(target, port) || sp_engine_port_is_unplugged(cuts->call->api->engine, port)) {
            continue;
        }
        for (size_t j = 0; j < cuts->n_places; j++) {
            const struct place *place = &cuts->places[j];
            if (sp_uuid_equal(&place->port, &port->id) && place->inquiry.zone == port->zone) {
                was_asked = true;
                judge_place(cuts, target, port, j);
            }
        }
        if (!was_asked) {
            add_unknown(cuts, explain_absence(cuts, port), &target->before->id);
        }
    }
}

/* Whether 'before' has an uplink that 'after' has not. */
static bool
loses_uplink(const struct sp_bridge *before, const struct sp_bridge *after)
{
    for (size_t i = 0; i < before->n_uplinks; i++) {
        bool is_there = false;
        for (size_t j = 0; j < after->n_uplinks; j++) {
            is_there |= !strcmp(before->uplinks[i], after->uplinks[j]);
        }
        if (!is_there) {
            return true;
        }
    }
    return false;
}

static void
judge_bridge(struct sp_cuts *cuts, const struct sp_bridge *before, const struct sp_bridge *after)
{
    if (!before) {
        add_unknown(cuts, "a bridge is adopted: what passes through it until then is not tracked", NULL);
    } else if (!after) {
        add_unknown(cuts, "a bridge is released: what passes through it then depends on others", NULL);
    } else if (loses_uplink(before, after)) {
        add_unknown(cuts, "an uplink goes: which connections use it is not known", NULL);
    }
}

int
sp_cuts_judge(struct sp_cuts *cuts, const struct sp_change *changes, size_t n)
{
    sp_judge_init(&cuts->judge, sp_call_model(cuts->call));
    for (size_t i = 0; i < n; i++) {
        if (changes[i].kind == SP_KIND_BRIDGE) {
            judge_bridge(cuts, changes[i].before, changes[i].after);
        }
    }
    int r = each_target(cuts, changes, n, judge_target);
    sp_judge_clear(&cuts->judge);
    return r;
}

/* Telling. */

static void
put_unknown(const struct unknown *unknown, struct sp_json_write *out)
{
    char id[SP_UUID_TEXT_SIZE];
    sp_json_object_open(out);
    sp_json_text(out, "reason", unknown->reason);
    sp_json_key(out, "servers");
    sp_json_array_open(out);
    for (size_t i = 0; i < unknown->n_servers && i < SP_CUTS_LISTED_MAX; i++) {
        sp_json_string(out, sp_uuid_format(&unknown->servers[i], id));
    }
    sp_json_array_close(out);
    sp_json_key(out, "n_servers");
    sp_json_integer(out, (int64_t) unknown->n_servers);
    sp_json_object_close(out);
}

void
sp_cuts_put(const struct sp_cuts *cuts, const struct sp_render *render)
{
    struct sp_json_write *out = render->out;
    sp_json_key(out, "connections_cut");
    sp_json_array_open(out);
    for (size_t i = 0; i < cuts->n_cuts && i < SP_CUTS_LISTED_MAX; i++) {
        const struct place *place = &cuts->places[cuts->cuts[i].place];
        const struct heard *heard = &place->heard[cuts->cuts[i].heard];
        const struct sp_live live = {
            .server = &place->server,
            .port = &place->port,
            .tracked = &heard->connection,
            .way = heard->now.way,
            .admitter = heard->now.admitter,
            .rule = heard->now.rule,
            .group = heard->now.group,
        };
        sp_render_live(render, &live);
    }
    sp_json_array_close(out);
    sp_json_key(out, "n_connections_cut");
    if (cuts->n_cuts || !cuts->n_unknown) {
        sp_json_integer(out, (int64_t) cuts->n_cuts);
    } else {
        sp_json_null(out);
    }
    sp_json_key(out, "connections_unknown");
    sp_json_array_open(out);
    for (size_t i = 0; i < cuts->n_unknown; i++) {
        put_unknown(&cuts->unknown[i], out);
    }
    sp_json_array_close(out);
}
