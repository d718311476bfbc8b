#include "controller/model/port_check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define VLAN_MAX 4094

/* A server's ports under examination. */
struct examination {
    const struct sp_batch *batch;
    const struct sp_server *server; /* NULL: a new one. */
    const struct sp_port_input *ports;
    size_t n;
    struct sp_problems *problems;
};

static void SP_PRINTF(4, 5) note(const struct examination *exam, size_t port, const char *member, const char *format, ...)
{
    char field[64], message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    snprintf(field, sizeof field, "ports[%zu].%s", port, member);
    sp_problems_add(exam->problems, field, "%s", message);
}

/* Whether 'ip' can be one host's own address. */
static bool is_host_address(const struct sp_cidr *ip)
{
    if (!sp_cidr_is_address(ip)) {
        return false;
    }
    if (ip->family == 4) {
        return ip->bytes[0] != 0 && ip->bytes[0] < 224;
    }
    static const uint8_t unspecified[16];
    return ip->bytes[0] != 0xff && memcmp(ip->bytes, unspecified, sizeof unspecified);
}

static void check_addresses(const struct examination *exam, size_t i)
{
    const struct sp_port_input *port = &exam->ports[i];
    char member[64];
    if (!sp_mac_is_unicast(&port->mac)) {
        note(exam, i, "mac", "must be a unicast hardware address");
    }
    if (port->n_ips > SP_ADDRESSES_MAX) {
        note(exam, i, "ips", "must be at most %d addresses", SP_ADDRESSES_MAX);
    }
    for (size_t j = 0; j < port->n_ips && j < SP_ADDRESSES_MAX; j++) {
        if (!is_host_address(&port->ips[j])) {
            snprintf(member, sizeof member, "ips[%zu]", j);
            note(exam, i, member, "must be one host's IPv4 or IPv6 address");
        }
    }
    if (port->n_pairs > SP_ADDRESSES_MAX) {
        note(exam, i, "allowed_address_pairs", "must be at most %d pairs", SP_ADDRESSES_MAX);
    }
    for (size_t j = 0; j < port->n_pairs && j < SP_ADDRESSES_MAX; j++) {
        if (!sp_mac_is_unicast(&port->pairs[j].mac)) {
            snprintf(member, sizeof member, "allowed_address_pairs[%zu].mac", j);
            note(exam, i, member, "must be a unicast hardware address");
        }
        if (port->pairs[j].ip.family != 4 && port->pairs[j].ip.family != 6) {
            snprintf(member, sizeof member, "allowed_address_pairs[%zu].ip", j);
            note(exam, i, member, "must be an IPv4 or IPv6 address or prefix");
        }
    }
}

static void check_itself(const struct examination *exam, size_t i)
{
    const struct sp_port_input *port = &exam->ports[i];
    check_addresses(exam, i);
    if (!port->has_bridge && !port->iface_id) {
        note(exam, i, "bridge", "a port is found by bridge and port, or by iface_id: one of them is required");
    }
    if (port->has_bridge && (!port->name || !*port->name)) {
        note(exam, i, "port", "must be the name of an OpenFlow port");
    }
    if (port->iface_id && !*port->iface_id) {
        note(exam, i, "iface_id", "must not be empty");
    }
    if (port->vlan > VLAN_MAX) {
        note(exam, i, "vlan", "must be 1 to %d, or 0 for untagged", VLAN_MAX);
    }
}

/* The first port of a server other than ours under 'key', if any. */
static const struct sp_server *find_other(const struct examination *exam, enum sp_index_name name, const void *key)
{
    const struct sp_index_node *head = sp_model_find(exam->batch->model, name, key);
    for (const struct sp_index_node *node = head; node; node = sp_index_next(head, node)) {
        const struct sp_server *server = sp_node_entry(node)->server;
        if (!exam->server || !sp_uuid_equal(&server->id, &exam->server->id)) {
            return server;
        }
    }
    return NULL;
}

static void note_other(const struct examination *exam, size_t i, const char *member, const struct sp_server *other,
                       const char *what)
{
    char id[SP_UUID_TEXT_SIZE];
    if (other) {
        note(exam, i, member, "%s server %s already", what, sp_uuid_format(&other->id, id));
    }
}

static void check_place(const struct examination *exam, size_t i)
{
    const struct sp_port_input *port = &exam->ports[i];
    if (port->iface_id) {
        note_other(exam, i, "iface_id", find_other(exam, SP_INDEX_IFACE_PORTS, port->iface_id), "belongs to a port of");
    }
    if (!port->has_bridge || !port->name) {
        return;
    }
    struct sp_name_key name = { port->dpid, port->name };
    struct sp_mac_key mac = { port->dpid, port->vlan, port->mac };
    note_other(exam, i, "port", find_other(exam, SP_INDEX_NAMED_PORTS, &name), "this port of the bridge belongs to");
    note_other(exam, i, "mac", find_other(exam, SP_INDEX_MAC_PORTS, &mac), "on this bridge and VLAN it belongs to a port of");
    const struct sp_bridge *bridge = sp_model_bridge(exam->batch->model, port->dpid);
    for (size_t j = 0; bridge && j < bridge->n_uplinks; j++) {
        if (!strcmp(bridge->uplinks[j], port->name)) {
            note(exam, i, "port", "is an uplink of bridge %016" PRIx64 ", so it cannot be a server's port", port->dpid);
        }
    }
}

/* Compares port 'i' with those before it. */
static void check_twins(const struct examination *exam, size_t i)
{
    const struct sp_port_input *port = &exam->ports[i];
    for (size_t j = 0; j < i; j++) {
        const struct sp_port_input *twin = &exam->ports[j];
        if (!sp_uuid_is_none(&port->id) && sp_uuid_equal(&port->id, &twin->id)) {
            note(exam, i, "id", "is that of ports[%zu] too", j);
        }
        if (port->iface_id && twin->iface_id && !strcmp(port->iface_id, twin->iface_id)) {
            note(exam, i, "iface_id", "is that of ports[%zu] too", j);
        }
        if (!port->has_bridge || !twin->has_bridge || port->dpid != twin->dpid) {
            continue;
        }
        if (port->name && twin->name && !strcmp(port->name, twin->name)) {
            note(exam, i, "port", "is that of ports[%zu] too", j);
        }
        if (port->vlan == twin->vlan && sp_mac_equal(&port->mac, &twin->mac)) {
            note(exam, i, "mac", "is that of ports[%zu] too, on the same bridge and VLAN", j);
        }
    }
}

static void check_id(const struct examination *exam, size_t i)
{
    const struct sp_uuid *id = &exam->ports[i].id;
    if (sp_uuid_is_none(id) || exam->ports[i].is_restored) {
        return;
    }
    for (size_t j = 0; exam->server && j < exam->server->n_ports; j++) {
        if (sp_uuid_equal(&exam->server->ports[j]->id, id)) {
            return;
        }
    }
    note(exam, i, "id", "no such port of this server; leave the id out for a new port");
}

void sp_batch_check_ports(const struct sp_batch *batch, const struct sp_server *server, const struct sp_port_input *ports,
                          size_t n, struct sp_problems *problems)
{
    const struct examination exam = { batch, server, ports, n, problems };
    if (n > SP_PORTS_MAX) {
        sp_problems_add(problems, "ports", "must be at most %d ports", SP_PORTS_MAX);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        check_itself(&exam, i);
        check_place(&exam, i);
        check_id(&exam, i);
        check_twins(&exam, i);
    }
}
