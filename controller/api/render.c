#include "controller/api/render.h"

#include <inttypes.h>
#include <stdio.h>

static void
put_integer(const struct sp_render *render, const char *key, int64_t value)
{
    sp_json_key(render->out, key);
    sp_json_integer(render->out, value);
}

static void
put_bool(const struct sp_render *render, const char *key, bool value)
{
    sp_json_key(render->out, key);
    sp_json_bool(render->out, value);
}

/* The id, or null for none. */
static void
put_uuid(const struct sp_render *render, const char *key, const struct sp_uuid *id)
{
    char text[SP_UUID_TEXT_SIZE];
    sp_json_text(render->out, key, sp_uuid_is_none(id) ? NULL : sp_uuid_format(id, text));
}

static void
put_time(const struct sp_render *render, const char *key, int64_t time_us)
{
    char text[SP_TIME_TEXT_SIZE];
    sp_json_text(render->out, key, sp_time_format(time_us, text));
}

/* 0 is never. */
static void
put_time_or_null(const struct sp_render *render, const char *key, int64_t time_us)
{
    if (time_us) {
        put_time(render, key, time_us);
    } else {
        sp_json_text(render->out, key, NULL);
    }
}

static void
put_hits(const struct sp_render *render, const struct sp_rule *rule)
{
    struct sp_hits hits;
    sp_engine_hits(render->engine, rule, &hits);
    put_integer(render, "hits", (int64_t) hits.count.packets);
    put_integer(render, "bytes", (int64_t) hits.count.bytes);
    put_time_or_null(render, "first_hit", hits.first_us);
    put_time_or_null(render, "last_hit", hits.last_us);
    put_time(render, "counting_since", hits.since_us);
}

const char *
sp_render_dpid(uint64_t dpid, char *out)
{
    snprintf(out, SP_DPID_TEXT_SIZE, "%016" PRIx64, dpid);
    return out;
}

void
sp_render_region(const struct sp_render *render, const struct sp_region *region)
{
    const struct sp_model *model = sp_engine_model(render->engine);
    sp_json_object_open(render->out);
    sp_json_text(render->out, "name", region->name);
    put_uuid(render, "default_group", &region->default_group);
    put_bool(render, "report_blocked", region->reports);
    sp_json_key(render->out, "counts");
    sp_json_object_open(render->out);
    put_integer(render, "security_groups", (int64_t) sp_model_count_groups(model, region->name));
    put_integer(render, "servers", (int64_t) sp_model_count_servers(model, region->name));
    sp_json_object_close(render->out);
    put_time(render, "created_at", region->created_at);
    sp_json_object_close(render->out);
}

static void
put_protocol(const struct sp_render *render, int16_t protocol)
{
    const char *name = sp_protocols_name(render->protocols, protocol);
    if (name) {
        sp_json_text(render->out, "protocol", name);
    } else {
        put_integer(render, "protocol", protocol);
    }
}

void
sp_render_rule_content(const struct sp_render *render, const struct sp_rule *rule, const char *remote_group)
{
    const struct sp_meaning *meaning = &rule->meaning;
    char cidr[SP_CIDR_TEXT_SIZE];
    sp_json_text(render->out, "direction", meaning->direction == SP_INBOUND ? "inbound" : "outbound");
    sp_json_text(render->out, "action", meaning->action == SP_ALLOW ? "allow" : "deny");
    put_integer(render, "priority", meaning->priority);
    put_protocol(render, meaning->protocol);
    sp_json_text(render->out, "remote_ip",
                 meaning->remote == SP_REMOTE_CIDR ? sp_cidr_format(&meaning->remote_cidr, cidr) : NULL);
    sp_json_text(render->out, "remote_group", remote_group);
    put_integer(render, "port_min", meaning->port_min);
    put_integer(render, "port_max", meaning->port_max);
    put_integer(render, "icmp_type", meaning->icmp_type);
    put_integer(render, "icmp_code", meaning->icmp_code);
    sp_json_text(render->out, "description", rule->description);
}

void
sp_render_rule(const struct sp_render *render, const struct sp_rule *rule)
{
    const struct sp_meaning *meaning = &rule->meaning;
    char group[SP_UUID_TEXT_SIZE];
    sp_json_object_open(render->out);
    put_uuid(render, "id", &rule->id);
    sp_render_rule_content(render, rule,
                           meaning->remote == SP_REMOTE_GROUP ? sp_uuid_format(&meaning->remote_group, group) : NULL);
    sp_json_text(render->out, "origin", rule->origin == SP_ORIGIN_DEFAULT ? "default" : "user");
    put_time(render, "created_at", rule->created_at);
    put_time(render, "updated_at", rule->updated_at);
    if (render->engine) {
        put_hits(render, rule);
    }
    sp_json_object_close(render->out);
}

void
sp_render_rules(const struct sp_render *render, const struct sp_group *group)
{
    sp_json_key(render->out, "rules");
    sp_json_array_open(render->out);
    for (size_t i = 0; i < group->n_rules; i++) {
        sp_render_rule(render, group->rules[i]);
    }
    sp_json_array_close(render->out);
}

static int
render_member(void *aux, const struct sp_server *server)
{
    const struct sp_render *render = aux;
    char text[SP_UUID_TEXT_SIZE];
    sp_json_string(render->out, sp_uuid_format(&server->id, text));
    return 0;
}

void
sp_render_group(const struct sp_render *render, const struct sp_group *group)
{
    const struct sp_model *model = sp_engine_model(render->engine);
    struct sp_render copy = *render;
    sp_json_object_open(render->out);
    put_uuid(render, "id", &group->id);
    sp_json_text(render->out, "region", group->region);
    sp_json_text(render->out, "name", group->name);
    sp_json_text(render->out, "description", group->description);
    put_bool(render, "default", sp_model_group_is_default(model, group));
    sp_render_rules(render, group);
    sp_json_key(render->out, "servers");
    sp_json_array_open(render->out);
    sp_model_each_member(model, &group->id, render_member, &copy);
    sp_json_array_close(render->out);
    put_integer(render, "revision", (int64_t) group->revision);
    put_time(render, "created_at", group->created_at);
    put_time(render, "updated_at", group->updated_at);
    sp_json_object_close(render->out);
}

void
sp_render_port_content(const struct sp_render *render, const struct sp_port *port)
{
    char mac[SP_MAC_TEXT_SIZE], ip[SP_CIDR_TEXT_SIZE], dpid[SP_DPID_TEXT_SIZE];
    sp_json_text(render->out, "mac", sp_mac_format(&port->mac, mac));
    sp_json_key(render->out, "ips");
    sp_json_array_open(render->out);
    for (size_t i = 0; i < port->n_ips; i++) {
        sp_json_string(render->out, sp_cidr_format_address(&port->ips[i], ip));
    }
    sp_json_array_close(render->out);
    sp_json_text(render->out, "bridge", port->has_bridge ? sp_render_dpid(port->dpid, dpid) : NULL);
    sp_json_text(render->out, "port", port->has_bridge ? port->name : NULL);
    sp_json_text(render->out, "iface_id", port->iface_id);
    sp_json_key(render->out, "vlan");
    if (port->vlan) {
        sp_json_integer(render->out, port->vlan);
    } else {
        sp_json_null(render->out);
    }
    put_bool(render, "port_security", port->port_security);
    sp_json_key(render->out, "allowed_address_pairs");
    sp_json_array_open(render->out);
    for (size_t i = 0; i < port->n_pairs; i++) {
        const struct sp_cidr *pair = &port->pairs[i].ip;
        sp_json_object_open(render->out);
        sp_json_text(render->out, "ip", sp_cidr_is_address(pair) ? sp_cidr_format_address(pair, ip) : sp_cidr_format(pair, ip));
        sp_json_text(render->out, "mac", sp_mac_format(&port->pairs[i].mac, mac));
        sp_json_object_close(render->out);
    }
    sp_json_array_close(render->out);
}

void
sp_render_port(const struct sp_render *render, const struct sp_port *port)
{
    static const char *const states[] = {
        [SP_PORT_UNBOUND] = "unbound", [SP_PORT_PENDING] = "pending", [SP_PORT_ACTIVE] = "active"};
    sp_json_object_open(render->out);
    put_uuid(render, "id", &port->id);
    sp_render_port_content(render, port);
    if (render->engine) {
        sp_json_text(render->out, "state", states[sp_engine_port_state(render->engine, port)]);
    }
    sp_json_object_close(render->out);
}

const char *
sp_render_kind(enum sp_server_kind kind)
{
    return kind == SP_SERVER_VPS ? "vps" : "baremetal";
}

void
sp_render_server(const struct sp_render *render, const struct sp_server *server)
{
    char id[SP_UUID_TEXT_SIZE];
    sp_json_object_open(render->out);
    put_uuid(render, "id", &server->id);
    sp_json_text(render->out, "name", server->name);
    sp_json_text(render->out, "region", server->region);
    sp_json_text(render->out, "kind", sp_render_kind(server->kind));
    sp_json_key(render->out, "security_groups");
    sp_json_array_open(render->out);
    for (size_t i = 0; i < server->n_groups; i++) {
        sp_json_string(render->out, sp_uuid_format(&server->groups[i], id));
    }
    sp_json_array_close(render->out);
    sp_json_key(render->out, "ports");
    sp_json_array_open(render->out);
    for (size_t i = 0; i < server->n_ports; i++) {
        sp_render_port(render, server->ports[i]);
    }
    sp_json_array_close(render->out);
    put_time(render, "created_at", server->created_at);
    put_time(render, "updated_at", server->updated_at);
    sp_json_object_close(render->out);
}

static const char *
text_or_null(const char *text)
{
    return text && *text ? text : NULL;
}

static void
render_bridge_port(const struct sp_render *render, const struct sp_bridge_port_status *port)
{
    static const char *const roles[] = {[SP_ROLE_CLOSED] = "closed", [SP_ROLE_SERVER] = "server", [SP_ROLE_UPLINK] = "uplink"};
    const struct sp_uuid none = {{0}};
    sp_json_object_open(render->out);
    put_integer(render, "ofport", port->ofport);
    sp_json_text(render->out, "name", port->name);
    sp_json_text(render->out, "role", roles[port->role]);
    put_uuid(render, "server", port->server ? &port->server->id : &none);
    sp_json_object_close(render->out);
}

void
sp_render_bridge(const struct sp_render *render, const struct sp_bridge_status *bridge)
{
    char dpid[SP_DPID_TEXT_SIZE];
    sp_json_object_open(render->out);
    sp_json_text(render->out, "dpid", sp_render_dpid(bridge->dpid, dpid));
    sp_json_text(render->out, "name", text_or_null(bridge->name));
    put_bool(render, "connected", bridge->connected);
    sp_json_text(render->out, "peer", text_or_null(bridge->peer));
    sp_json_text(render->out, "version", text_or_null(bridge->version));
    sp_json_key(render->out, "uplinks");
    sp_json_array_open(render->out);
    for (size_t i = 0; i < bridge->n_uplinks; i++) {
        sp_json_string(render->out, bridge->uplinks[i]);
    }
    sp_json_array_close(render->out);
    sp_json_key(render->out, "ports");
    sp_json_array_open(render->out);
    for (size_t i = 0; i < bridge->n_ports; i++) {
        render_bridge_port(render, &bridge->ports[i]);
    }
    sp_json_array_close(render->out);
    sp_json_key(render->out, "flows");
    sp_json_object_open(render->out);
    put_integer(render, "desired", (int64_t) bridge->flows_desired);
    put_integer(render, "installed", (int64_t) bridge->flows_installed);
    sp_json_object_close(render->out);
    put_integer(render, "revision", (int64_t) bridge->revision);
    sp_json_message(render->out, "last_error", text_or_null(bridge->last_error));
    sp_json_object_close(render->out);
}

/* The number, or null if there is none. */
static void
put_number(const struct sp_render *render, const char *key, bool has, int64_t value)
{
    sp_json_key(render->out, key);
    if (has) {
        sp_json_integer(render->out, value);
    } else {
        sp_json_string(render->out, NULL);
    }
}

void
sp_render_blocked(const struct sp_render *render, const struct sp_server *server, const struct sp_blocked_entry *entry)
{
    const struct sp_blocked_key *key = &entry->key;
    bool inbound = key->direction == SP_INBOUND, by_rule = !sp_uuid_is_none(&key->rule);
    char remote[SP_CIDR_TEXT_SIZE];
    sp_json_object_open(render->out);
    put_uuid(render, "server", &server->id);
    put_uuid(render, "port", &key->port);
    sp_json_text(render->out, "direction", inbound ? "inbound" : "outbound");
    put_protocol(render, key->protocol);
    sp_json_text(render->out, "remote_ip", sp_cidr_format_address(&key->remote, remote));
    put_number(render, "local_port", key->has_port && inbound, key->number);
    put_number(render, "remote_port", key->has_port && !inbound, key->number);
    put_number(render, "icmp_type", key->has_icmp, key->number >> 8);
    put_number(render, "icmp_code", key->has_icmp, key->number & 0xff);
    put_uuid(render, "rule", &key->rule);
    put_uuid(render, "group", &entry->group);
    sp_json_text(render->out, "reason", by_rule ? "a rule denies it" : "no rule of its groups allows it: denied by default");
    put_integer(render, "count", (int64_t) entry->n);
    put_time(render, "first", entry->first_us);
    put_time(render, "last", entry->last_us);
    sp_json_object_close(render->out);
}

void
sp_render_live(const struct sp_render *render, const struct sp_live *live)
{
    static const char *const ways[] = {[SP_WAY_UNKNOWN] = NULL, [SP_WAY_INBOUND] = "inbound", [SP_WAY_OUTBOUND] = "outbound"};
    static const char *const admitters[] = {[SP_ADMITTED_BY_RULE] = "rule", [SP_ADMITTED_BY_FRAGMENT] = "fragments",
                                            [SP_ADMITTED_BY_NOBODY] = NULL};
    static const char *const reasons[] = {
        [SP_ADMITTED_BY_RULE] = NULL,
        [SP_ADMITTED_BY_FRAGMENT] = "it began with fragments, which do not tell their rule",
        [SP_ADMITTED_BY_NOBODY] = "the rule that admitted it has changed or gone: its next packet is judged again",
    };
    const struct sp_conntrack *it = live->tracked;
    bool out = live->way == SP_WAY_OUTBOUND, by_rule = live->admitter == SP_ADMITTED_BY_RULE;
    /* A tracker that does not look at the ports says 0. */
    bool always = it->protocol == SP_PROTOCOL_TCP || it->protocol == SP_PROTOCOL_UDP;
    bool has_ports = it->has_ports && (always || it->src_port || it->dst_port);
    const struct sp_uuid none = {{0}};
    char remote[SP_CIDR_TEXT_SIZE], local[SP_CIDR_TEXT_SIZE];
    sp_json_object_open(render->out);
    if (live->server) {
        put_uuid(render, "server", live->server);
    }
    put_uuid(render, "port", live->port);
    sp_json_text(render->out, "direction", ways[live->way]);
    put_protocol(render, it->protocol);
    sp_json_text(render->out, "remote_ip", sp_cidr_format_address(out ? &it->dst : &it->src, remote));
    put_number(render, "remote_port", has_ports, out ? it->dst_port : it->src_port);
    sp_json_text(render->out, "local_ip", sp_cidr_format_address(out ? &it->src : &it->dst, local));
    put_number(render, "local_port", has_ports, out ? it->src_port : it->dst_port);
    put_number(render, "icmp_type", it->has_icmp, it->icmp_type);
    put_number(render, "icmp_code", it->has_icmp, it->icmp_code);
    put_number(render, "icmp_id", it->has_icmp, it->icmp_id);
    sp_json_text(render->out, "state", text_or_null(it->state));
    put_number(render, "timeout", it->has_timeout, it->timeout_s);
    sp_json_text(render->out, "admitted_by", admitters[live->admitter]);
    put_uuid(render, "rule", by_rule ? &live->rule : &none);
    put_uuid(render, "group", by_rule ? &live->group : &none);
    sp_json_text(render->out, "reason", reasons[live->admitter]);
    sp_json_object_close(render->out);
}
