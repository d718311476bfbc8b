#include "controller/store/checksum.h"

#include <string.h>

#define ODD UINT64_C(0x9e3779b97f4a7c15) /* 2^64 divided by the golden ratio. */

/* Takes 'value' in: for each 'sum' no two values have the same outcome. */
static uint64_t
mix(uint64_t sum, uint64_t value)
{
    sum = (sum ^ value) * ODD;
    return sum ^ sum >> 32;
}

static uint64_t
mix_bytes(uint64_t sum, const void *bytes, size_t size)
{
    const char *at = bytes;

    sum = mix(sum, size);
    for (; size >= sizeof(uint64_t); size -= sizeof(uint64_t), at += sizeof(uint64_t)) {
        uint64_t word;

        memcpy(&word, at, sizeof word);
        sum = mix(sum, word);
    }
    if (size) {
        uint64_t word = 0;

        memcpy(&word, at, size);
        sum = mix(sum, word);
    }
    return sum;
}

static uint64_t
mix_text(uint64_t sum, const char *text)
{
    return text ? mix_bytes(sum, text, strlen(text)) : mix(sum, UINT64_MAX);
}

static uint64_t
mix_uuid(uint64_t sum, const struct sp_uuid *uuid)
{
    return mix_bytes(sum, uuid->bytes, sizeof uuid->bytes);
}

static uint64_t
mix_cidr(uint64_t sum, const struct sp_cidr *cidr)
{
    return mix_bytes(mix(sum, (uint64_t) cidr->family << 8 | cidr->prefix), cidr->bytes, sizeof cidr->bytes);
}

/* So that a sum of many does not keep what the last words have in common. */
static uint64_t
finish(uint64_t sum)
{
    return mix(mix(sum, sum >> 7), sum >> 17);
}

static uint64_t
sum_region(const struct sp_region *region)
{
    uint64_t sum = mix_text(SP_KIND_REGION + 1, region->name);

    sum = mix_uuid(mix(sum, region->number), &region->default_group);
    return finish(mix(sum, (uint64_t) region->created_at));
}

static uint64_t
sum_rule(const struct sp_group *group, size_t index)
{
    const struct sp_rule *rule = group->rules[index];
    const struct sp_meaning *m = &rule->meaning;
    uint64_t sum = mix_uuid(mix_uuid(SP_N_KINDS + 1, &group->id), &rule->id);

    sum = index ? mix_uuid(sum, &group->rules[index - 1]->id) : mix(sum, 0); /* Its place. */
    sum = mix(sum, (uint64_t) m->direction << 32 | (uint64_t) m->action << 16 | m->priority);
    sum = mix(sum, (uint64_t) (uint16_t) m->protocol << 32 | (uint64_t) m->remote);
    if (m->remote == SP_REMOTE_CIDR) {
        sum = mix_cidr(sum, &m->remote_cidr);
    } else if (m->remote == SP_REMOTE_GROUP) {
        sum = mix_uuid(sum, &m->remote_group);
    }
    sum = mix(sum, (uint64_t) (uint32_t) m->port_min << 32 | (uint32_t) m->port_max);
    sum = mix(sum, (uint64_t) (uint16_t) m->icmp_type << 32 | (uint16_t) m->icmp_code);
    sum = mix(mix_text(sum, rule->description), rule->origin);
    return finish(mix(mix(sum, (uint64_t) rule->created_at), (uint64_t) rule->updated_at));
}

/* The rules from 'begin' to the one before 'end'. */
static uint64_t
sum_rules(const struct sp_group *group, size_t begin, size_t end)
{
    uint64_t sum = 0;

    for (size_t i = begin; i < end; i++) {
        sum += sum_rule(group, i);
    }
    return sum;
}

/* All but the rules. */
static uint64_t
sum_group(const struct sp_group *group)
{
    uint64_t sum = mix_uuid(SP_KIND_GROUP + 1, &group->id);

    sum = mix_text(mix_text(mix_text(sum, group->region), group->name), group->description ? group->description : "");
    return finish(mix(mix(mix(sum, group->revision), (uint64_t) group->created_at), (uint64_t) group->updated_at));
}

static uint64_t
mix_port(uint64_t sum, const struct sp_port *port)
{
    sum = mix_bytes(mix_uuid(mix_uuid(sum, &port->id), &port->server), port->mac.bytes, sizeof port->mac.bytes);
    for (size_t i = 0; i < port->n_ips; i++) {
        sum = mix_cidr(sum, &port->ips[i]);
    }
    sum = mix(mix(sum, port->n_ips), port->has_bridge ? port->dpid : UINT64_MAX);
    sum = mix_text(mix_text(sum, port->has_bridge ? port->name : NULL), port->iface_id);
    for (size_t i = 0; i < port->n_pairs; i++) {
        sum = mix_bytes(mix_cidr(sum, &port->pairs[i].ip), port->pairs[i].mac.bytes, sizeof port->pairs[i].mac.bytes);
    }
    return mix(mix(sum, port->n_pairs), (uint64_t) port->port_security << 32 | (uint64_t) port->vlan << 16 | port->zone);
}

static uint64_t
sum_server(const struct sp_server *server)
{
    uint64_t sum = mix_text(mix_text(mix_uuid(SP_KIND_SERVER + 1, &server->id), server->name), server->region);

    sum = mix(mix(sum, server->kind), server->set);
    for (size_t i = 0; i < server->n_groups; i++) {
        sum = mix_uuid(sum, &server->groups[i]);
    }
    sum = mix(sum, server->n_groups);
    for (size_t i = 0; i < server->n_ports; i++) {
        sum = mix_port(sum, server->ports[i]);
    }
    return finish(mix(mix(mix(sum, server->n_ports), (uint64_t) server->created_at), (uint64_t) server->updated_at));
}

static uint64_t
sum_bridge(const struct sp_bridge *bridge)
{
    uint64_t sum = mix(SP_KIND_BRIDGE + 1, bridge->dpid);

    for (size_t i = 0; i < bridge->n_uplinks; i++) {
        sum = mix_text(sum, bridge->uplinks[i]);
    }
    return finish(mix(mix(sum, bridge->n_uplinks), (uint64_t) bridge->created_at));
}

static uint64_t
sum_set(const struct sp_rule_set *set)
{
    uint64_t sum = mix_text(mix(SP_KIND_RULE_SET + 1, set->number), set->region);

    for (size_t i = 0; i < set->n_groups; i++) {
        sum = mix_uuid(sum, &set->groups[i]);
    }
    sum = mix(mix(sum, set->n_groups), set->version);
    for (size_t i = 0; i < set->n_admissions; i++) {
        const struct sp_admission *admission = &set->admissions[i];

        sum = mix(mix_uuid(sum, &admission->rule), (uint64_t) admission->slot << 32 | admission->mark);
    }
    return finish(mix(sum, set->n_admissions));
}

uint64_t
sp_checksum_object(struct sp_object o)
{
    if (!o.object) {
        return 0;
    }
    switch (o.kind) {
    case SP_KIND_REGION:
        return sum_region(o.object);
    case SP_KIND_GROUP:
        return sum_group(o.object) + sum_rules(o.object, 0, ((const struct sp_group *) o.object)->n_rules);
    case SP_KIND_SERVER:
        return sum_server(o.object);
    case SP_KIND_BRIDGE:
        return sum_bridge(o.object);
    case SP_KIND_RULE_SET:
        return sum_set(o.object);
    case SP_N_KINDS:
        break;
    }
    return 0;
}

uint64_t
sp_checksum_change(const struct sp_change *change)
{
    const struct sp_group *before = change->before, *after = change->after; /* If they are groups. */
    size_t skip = 0, tail = 0;

    if (change->kind != SP_KIND_GROUP || !before || !after) {
        return sp_checksum_object((struct sp_object) {change->kind, after})
               - sp_checksum_object((struct sp_object) {change->kind, before});
    }
    while (skip < before->n_rules && skip < after->n_rules && before->rules[skip] == after->rules[skip]) {
        skip++;
    }
    /* One less at the end: the first rule there may have another neighbour. */
    while (tail + skip < before->n_rules && tail + skip < after->n_rules
           && before->rules[before->n_rules - tail - 1] == after->rules[after->n_rules - tail - 1]) {
        tail++;
    }
    tail -= tail > 0;
    return sum_group(after) - sum_group(before) + sum_rules(after, skip, after->n_rules - tail)
           - sum_rules(before, skip, before->n_rules - tail);
}

uint64_t
sp_checksum_counters(const struct sp_counters *c)
{
    uint64_t sum = mix(mix(SP_N_KINDS + 2, c->revision), (uint64_t) c->next_region << 32 | c->next_set);

    return finish(mix(mix(sum, (uint64_t) c->next_slot << 32 | c->next_mark), c->next_zone));
}
