/* The happy path: the ports of the server that are plugged in are noted down; their switches are asked, one by one;
 * what was heard is told with the rules as they are then.  What goes wrong: nobody can be asked, which is an answer; a switch
 * does not answer, or what nobody understands (504, 503); too many ask at a time (429); the server is deleted meanwhile
 * (404); the controller stops (503).  A port that has another zone by then is left out. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/api/route.h"
#include "controller/unixctl/unixctl.h"
#include "sallyport/pipeline.h"

#define LIMIT_DEFAULT 1000
#define LIMIT_MAX 1000

/* What is known of a port that was to be asked for. */
enum outcome { UNBOUND, SHARED, WAITING, HEARD, STRANGER, TOO_MANY };

/* A port on one bridge, or, with UNBOUND and SHARED, on none. */
struct place {
    struct sp_uuid port;
    enum outcome outcome;
    struct sp_inquiry_port inquiry;
    uint64_t n_in_zone; /* With TOO_MANY. */
};

struct heard {
    size_t place;
    struct sp_conntrack connection;
};

struct listing {
    struct sp_call *call;
    size_t limit;
    struct place *places;
    size_t n_places;
    size_t at;        /* The place that is being asked for. */
    struct heard *heard; /* Room for 'limit'. */
    size_t n_heard;
    bool more;
    bool failed;      /* No memory. */
};

static void ask_next(struct listing *);

static void
free_listing(struct listing *listing)
{
    free(listing->places);
    free(listing->heard);
    free(listing);
}

static void
refuse(struct listing *listing, unsigned status, const char *detail)
{
    struct sp_call *call = listing->call;
    free_listing(listing);
    sp_call_refuse(call, status, detail);
}

static struct place *
add_place(struct listing *listing, const struct sp_uuid *port, enum outcome outcome)
{
    struct place *places = reallocarray(listing->places, listing->n_places + 1, sizeof *places);
    if (!places) {
        listing->failed = true;
        return NULL;
    }
    listing->places = places;
    places[listing->n_places] = (struct place){.port = *port, .outcome = outcome};
    return &places[listing->n_places++];
}

struct homes {
    struct listing *listing;
    const struct sp_port *port;
    bool found;
};

static int
add_home(void *aux, const struct sp_port_home *home)
{
    struct homes *homes = aux;
    const struct sp_port *port = homes->port;
    struct place *place = add_place(homes->listing, &port->id, WAITING);
    homes->found = true;
    if (place) {
        place->inquiry.ofport = home->ofport;
        place->inquiry.mac = port->mac;
        place->inquiry.zone = port->zone;
        place->inquiry.cookie = home->cookie;
        size_t len = strlen(home->bridge);
        if (len < sizeof place->inquiry.bridge) {
            memcpy(place->inquiry.bridge, home->bridge, len + 1); /* Else it has none, and cannot be asked for. */
        }
    }
    return !place;
}

static void
add_port(struct listing *listing, const struct sp_port *port)
{
    struct homes homes = {.listing = listing, .port = port};
    if (sp_model_zone_is_shared(sp_call_model(listing->call), port->zone)) {
        add_place(listing, &port->id, SHARED);
        return;
    }
    sp_engine_each_port_home(listing->call->api->engine, port, add_home, &homes);
    if (!homes.found) {
        add_place(listing, &port->id, UNBOUND);
    }
}

/* The port of 'place' as it is now; NULL: it is not what was asked for any more. */
static const struct sp_port *
find_port(const struct sp_server *server, const struct place *place)
{
    for (size_t i = 0; i < server->n_ports; i++) {
        const struct sp_port *port = server->ports[i];
        if (sp_uuid_equal(&port->id, &place->port)) {
            return port->zone == place->inquiry.zone ? port : NULL;
        }
    }
    return NULL;
}

static void
put_connections(const struct listing *listing, const struct sp_server *server, const struct sp_render *render)
{
    sp_json_key(render->out, "connections");
    sp_json_array_open(render->out);
    for (size_t i = 0; i < listing->n_heard; i++) {
        const struct heard *heard = &listing->heard[i];
        const struct sp_conntrack *it = &heard->connection;
        const struct sp_port *port = find_port(server, &listing->places[heard->place]);
        const struct sp_rule *rule;
        const struct sp_group *group;
        struct sp_live live = {.port = &listing->places[heard->place].port, .tracked = it};
        live.admitter = sp_engine_find_admitter(render->engine, server, it->mark, &rule, &group);
        if (!port || !sp_tracked_find_way(port, &it->src, &it->dst, &live.way)) {
            continue;
        }
        if (live.admitter == SP_ADMITTED_BY_RULE) {
            live.rule = rule->id;
            live.group = group->id;
            live.way = rule->meaning.direction == SP_INBOUND ? SP_WAY_INBOUND : SP_WAY_OUTBOUND;
        }
        sp_render_live(render, &live);
    }
    sp_json_array_close(render->out);
}

/* Why the connections of 'place' are not there; NULL: they are. */
static const char *
explain_place(const struct place *place, char *room, size_t size)
{
    switch (place->outcome) {
    case UNBOUND:
        return "it is on no bridge that is connected";
    case SHARED:
        return "another port has the same conntrack zone";
    case STRANGER:
        return "no control socket given by --switch-control is of a switch that has this port's flows";
    case TOO_MANY:
        snprintf(room, size, "it has %llu connections: more than %u are not listed", (unsigned long long) place->n_in_zone,
                 SP_INQUIRY_ZONE_MAX);
        return room;
    case WAITING: /* The limit was reached before. */
    case HEARD:
        break;
    }
    return NULL;
}

/* A port for each place; one on two bridges has two. */
static void
put_ports(const struct listing *listing, struct sp_json_write *out, const char *reason)
{
    sp_json_key(out, "ports");
    sp_json_array_open(out);
    for (size_t i = 0; i < listing->n_places; i++) {
        char id[SP_UUID_TEXT_SIZE], room[120];
        const char *why = reason ? reason : explain_place(&listing->places[i], room, sizeof room);
        sp_json_object_open(out);
        sp_json_text(out, "port", sp_uuid_format(&listing->places[i].port, id));
        sp_json_key(out, "available");
        sp_json_bool(out, !why);
        sp_json_text(out, "reason", why);
        sp_json_object_close(out);
    }
    sp_json_array_close(out);
}

/* Answers with what was heard; 'reason': nobody was asked. */
static void
answer(struct listing *listing, const char *reason)
{
    struct sp_call *call = listing->call;
    const struct sp_server *server = sp_model_server(sp_call_model(call), &call->id);
    if (!server) {
        refuse(listing, 404, "The server has been deleted.");
        return;
    }
    struct sp_render render = {.out = sp_json_write_new(false), .engine = call->api->engine, .protocols = call->api->protocols};
    const char *first = reason ? reason : "the server has no port";
    char room[120];
    bool is_available = false;
    for (size_t i = 0; i < listing->n_places && !reason && !is_available; i++) {
        const char *why = explain_place(&listing->places[i], room, sizeof room);
        is_available = !why;
        first = i ? first : why;
    }
    sp_json_object_open(render.out);
    sp_json_key(render.out, "available");
    sp_json_bool(render.out, is_available);
    sp_json_text(render.out, "reason", is_available ? NULL : first);
    put_connections(listing, server, &render);
    sp_json_key(render.out, "more");
    sp_json_bool(render.out, listing->more);
    put_ports(listing, render.out, reason);
    sp_json_object_close(render.out);
    free_listing(listing);
    sp_call_json(call, 200, render.out, NULL, 0);
}

static void
on_answer(void *aux, const struct sp_unixctl_answer *said)
{
    struct listing *listing = aux;
    struct place *place = &listing->places[listing->at];
    char detail[300];
    switch (said->end) {
    case SP_UNIXCTL_DONE:
        place->outcome = HEARD;
        for (size_t i = 0; i < said->n; i++) {
            listing->heard[listing->n_heard++] = (struct heard){listing->at, said->connections[i]};
        }
        listing->more |= said->more;
        break;
    case SP_UNIXCTL_TOO_MANY:
        place->outcome = TOO_MANY;
        place->n_in_zone = said->n_in_zone;
        break;
    case SP_UNIXCTL_STRANGER:
        place->outcome = STRANGER;
        break;
    case SP_UNIXCTL_FAILED:
    case SP_UNIXCTL_SILENT:
        snprintf(detail, sizeof detail, "The switch cannot be asked for its connections: %s.", said->why);
        refuse(listing, said->end == SP_UNIXCTL_SILENT ? 504 : 503, detail);
        return;
    case SP_UNIXCTL_STOPPED:
        refuse(listing, 503, "The controller is stopping.");
        return;
    }
    listing->at++;
    ask_next(listing);
}

/* Asks for the next place that can be asked for, or answers. */
static void
ask_next(struct listing *listing)
{
    while (listing->at < listing->n_places && listing->n_heard < listing->limit) {
        struct place *place = &listing->places[listing->at];
        int r = place->outcome != WAITING ? SP_E_RANGE
                                          : sp_unixctl_ask(listing->call->api->unixctl, &place->inquiry,
                                                           listing->limit - listing->n_heard, on_answer, listing);
        if (!r) {
            return;
        }
        if (r == SP_E_FULL) {
            refuse(listing, 429, "Too many connections are being listed; try again in a second or two.");
            return;
        }
        if (r != SP_E_RANGE) {
            refuse(listing, 503, "There is no memory.");
            return;
        }
        place->outcome = place->outcome == WAITING ? STRANGER : place->outcome;
        listing->at++;
    }
    for (; listing->at < listing->n_places; listing->at++) {
        listing->more |= listing->places[listing->at].outcome == WAITING;
    }
    answer(listing, NULL);
}

void
sp_read_connections(struct sp_call *call)
{
    const char *limit = sp_call_parameter(call, "limit");
    uint64_t n = LIMIT_DEFAULT;
    if (limit && sp_decode_number(limit, LIMIT_MAX, &n)) {
        sp_problems_add(&call->problems, "?limit", "must be 1 to %d", LIMIT_MAX);
        sp_call_refuse(call, 422, NULL);
        return;
    }
    const struct sp_server *server = sp_model_server(sp_call_model(call), &call->id);
    if (!server) {
        sp_call_fail(call, SP_E_MISSING, NULL);
        return;
    }
    struct listing *listing = calloc(1, sizeof *listing);
    struct heard *heard = calloc(n, sizeof *heard);
    if (!listing || !heard) {
        free(listing);
        free(heard);
        sp_call_refuse(call, 503, "There is no memory.");
        return;
    }
    *listing = (struct listing){.call = call, .limit = n, .heard = heard};
    for (size_t i = 0; i < server->n_ports; i++) {
        add_port(listing, server->ports[i]);
    }
    if (listing->failed) {
        refuse(listing, 503, "There is no memory.");
    } else if (!call->api->unixctl) {
        answer(listing, "no control socket of a switch is known: start sallyportd with --switch-control");
    } else {
        ask_next(listing);
    }
}
