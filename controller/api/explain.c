#include "flows/explain.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/api/access.h"
#include "controller/api/route.h"

static const char *const fields_known[] = {"server",      "port",       "direction", "protocol",  "remote_ip",
                                           "remote_port", "local_port", "icmp_type", "icmp_code", NULL};
static const char *const directions[] = {"inbound", "outbound", NULL};

struct question {
    const struct sp_server *server;
    struct sp_connection connection;
};

static void
read_server(const struct sp_call *call, const struct sp_reader *reader, struct question *question)
{
    bool server_given = sp_reader_has(reader, "server"), port_given = sp_reader_has(reader, "port");
    if (server_given == port_given) {
        if (reader->object) {
            sp_reader_problem(reader, port_given ? "port" : "server",
                              port_given ? "excludes server: give one of the two" : "is required, or else port");
        }
        return;
    }
    struct sp_uuid id;
    if (!sp_reader_uuid(reader, server_given ? "server" : "port", &id)) {
        return;
    }
    const struct sp_model *model = sp_call_model(call);
    const struct sp_port *port = port_given ? sp_model_port(model, &id) : NULL;
    question->server = server_given ? sp_model_server(model, &id) : port ? sp_model_server(model, &port->server) : NULL;
    if (question->server && !sp_access_sees(call, question->server->region)) {
        question->server = NULL;
    }
    if (!question->server) {
        sp_reader_problem(reader, server_given ? "server" : "port", "no %s has this id", server_given ? "server" : "port");
    }
}

/* Returns whether the connection's protocol is known. */
static bool
read_protocol(const struct sp_call *call, const struct sp_reader *reader, struct sp_connection *connection)
{
    const struct sp_json *value = sp_reader_get(reader, "protocol");
    int16_t protocol = SP_PROTOCOL_ANY;
    if (!value) {
        sp_reader_require(reader, "protocol");
        return false;
    }
    if (value->type == SP_JSON_INTEGER && value->integer >= 0 && value->integer <= 255) {
        protocol = (int16_t) value->integer;
    } else if (value->type == SP_JSON_STRING && sp_protocols_parse(call->api->protocols, value->string, &protocol)) {
        protocol = SP_PROTOCOL_ANY;
    }
    if (protocol == SP_PROTOCOL_ANY) {
        sp_reader_problem(reader, "protocol",
                          "must be the protocol of one connection: tcp, udp, sctp, icmp, icmpv6, another's name, or a "
                          "number 0 to 255");
        return false;
    }
    connection->protocol = (uint8_t) protocol;
    return true;
}

static void
read_remote(const struct sp_reader *reader, struct sp_connection *connection)
{
    const struct sp_json *value = sp_reader_get(reader, "remote_ip");
    if (!value) {
        sp_reader_require(reader, "remote_ip");
    } else if (value->type != SP_JSON_STRING || sp_cidr_parse(value->string, &connection->remote) ||
               !sp_cidr_is_address(&connection->remote)) {
        sp_reader_problem(reader, "remote_ip", "must be one IPv4 or IPv6 address");
    }
}

/* A number that only makes sense with some protocols; -1 or null = not known. */
static int32_t
read_number(const struct sp_reader *reader, const char *name, int64_t max, bool makes_sense, const char *protocols)
{
    int64_t value = -1;
    if (sp_reader_is_null(reader, name) || !sp_reader_integer(reader, name, -1, max, &value)) {
        return -1;
    }
    if (value != -1 && !makes_sense) {
        sp_reader_problem(reader, name, "is for %s only", protocols);
    }
    return (int32_t) value;
}

static bool
is_valid(struct sp_call *call, struct question *question)
{
    static const char *const none[] = {NULL};
    static const struct sp_reader_fields fields = {fields_known, none};
    struct sp_connection *connection = &question->connection;
    struct sp_reader reader;
    sp_reader_open(&reader, call->body, "", &fields, &call->problems);
    read_server(call, &reader, question);
    sp_reader_require(&reader, "direction");
    int direction = 0;
    sp_reader_choice(&reader, "direction", directions, &direction);
    connection->direction = direction ? SP_OUTBOUND : SP_INBOUND;
    bool protocol_known = read_protocol(call, &reader, connection);
    read_remote(&reader, connection);
    int p = protocol_known ? connection->protocol : -1;
    bool has_ports = !protocol_known || p == SP_PROTOCOL_TCP || p == SP_PROTOCOL_UDP || p == SP_PROTOCOL_SCTP;
    bool has_types = !protocol_known || p == SP_PROTOCOL_ICMP || p == SP_PROTOCOL_ICMPV6;
    int32_t local = read_number(&reader, "local_port", 65535, has_ports, "tcp, udp and sctp");
    int32_t remote = read_number(&reader, "remote_port", 65535, has_ports, "tcp, udp and sctp");
    connection->port = connection->direction == SP_INBOUND ? local : remote;
    connection->icmp_type = (int16_t) read_number(&reader, "icmp_type", 255, has_types, "icmp and icmpv6");
    connection->icmp_code = (int16_t) read_number(&reader, "icmp_code", 255, has_types, "icmp and icmpv6");
    if (connection->icmp_code != -1 && connection->icmp_type == -1) {
        sp_reader_problem(&reader, "icmp_code", "needs an icmp_type");
    }
    if ((p == SP_PROTOCOL_ICMP && connection->remote.family == 6) ||
        (p == SP_PROTOCOL_ICMPV6 && connection->remote.family == 4)) {
        sp_reader_problem(&reader, "remote_ip",
                          p == SP_PROTOCOL_ICMP ? "must be an IPv4 address for icmp" : "must be an IPv6 address for icmpv6");
    }
    return !call->problems.n && !call->problems.n_lost;
}

static bool
is_member(void *aux, const struct sp_uuid *group, const struct sp_cidr *address)
{
    const struct sp_model *const *model = aux;
    return sp_model_is_member_address(*model, group, address);
}

/* "tcp 8888 from 203.0.113.9", "icmp type 8 to 192.0.2.1". */
static void
describe(const struct sp_call *call, const struct sp_connection *connection, char *out, size_t size)
{
    char remote[SP_CIDR_TEXT_SIZE], detail[40] = "", number[16];
    const char *protocol = sp_protocols_name(call->api->protocols, connection->protocol);
    snprintf(number, sizeof number, "protocol %d", connection->protocol);
    if (connection->port != -1) {
        snprintf(detail, sizeof detail, " %d", (int) connection->port);
    } else if (connection->icmp_code != -1) {
        snprintf(detail, sizeof detail, " type %d code %d", connection->icmp_type, connection->icmp_code);
    } else if (connection->icmp_type != -1) {
        snprintf(detail, sizeof detail, " type %d", connection->icmp_type);
    }
    snprintf(out, size, "%s%s %s %s", protocol ? protocol : number, detail, connection->direction == SP_INBOUND ? "from" : "to",
             sp_cidr_format_address(&connection->remote, remote));
}

static void
answer(struct sp_call *call, const struct question *question, const struct sp_ruling *decider)
{
    char what[160], id[SP_UUID_TEXT_SIZE], reason[1600];
    describe(call, &question->connection, what, sizeof what);
    const char *direction = directions[question->connection.direction == SP_OUTBOUND];
    bool allowed = decider && decider->rule->meaning.action == SP_ALLOW;
    if (decider) {
        snprintf(reason, sizeof reason, "rule %s of group %s %s %s (priority %u)", sp_uuid_format(&decider->rule->id, id),
                 decider->group->name, allowed ? "allows" : "denies", what, decider->rule->meaning.priority);
    } else if (!question->server->n_groups) {
        snprintf(reason, sizeof reason, "the server is in no security group, so nothing allows %s: denied by default", what);
    } else {
        snprintf(reason, sizeof reason, "no %s rule of its groups allows %s: denied by default", direction, what);
    }
    struct sp_render render = {.out = sp_json_write_new(false), .engine = call->api->engine, .protocols = call->api->protocols};
    sp_json_object_open(render.out);
    sp_json_text(render.out, "verdict", allowed ? "allow" : "deny");
    sp_json_key(render.out, "rule");
    if (decider) {
        sp_render_rule(&render, decider->rule);
    } else {
        sp_json_null(render.out);
    }
    sp_json_key(render.out, "group");
    if (decider) {
        sp_render_group(&render, decider->group);
    } else {
        sp_json_null(render.out);
    }
    sp_json_text(render.out, "reason", reason);
    sp_json_object_close(render.out);
    sp_call_json(call, 200, render.out, NULL, 0);
}

void
sp_read_explain(struct sp_call *call)
{
    struct question question = {0};
    if (!is_valid(call, &question)) {
        sp_call_fail(call, SP_E_INVALID, NULL);
        return;
    }
    const struct sp_model *model = sp_call_model(call);
    const struct sp_server *server = question.server;
    struct sp_ruling *rulings = NULL;
    size_t n;
    assert(server); /* Or the question is not valid. */
    int r = sp_model_rulings(model, server->groups, server->n_groups, &rulings, &n);
    const struct sp_meaning **meanings = r ? NULL : sp_pool_alloc(&call->pool, n, sizeof *meanings);
    if (!meanings) {
        free(rulings);
        sp_call_refuse(call, 503, "There is no memory.");
        return;
    }
    for (size_t i = 0; i < n; i++) {
        meanings[i] = &rulings[i].rule->meaning;
    }
    ptrdiff_t index = sp_explain(meanings, n, &question.connection, is_member, &model);
    answer(call, &question, index < 0 ? NULL : &rulings[index]);
    free(rulings);
}
