#include "controller/api/decode.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const directions[] = {"inbound", "outbound", NULL};
static const char *const actions[] = {"deny", "allow", NULL};

static const char *const rule_fields[] = {"direction", "action",   "priority",  "protocol",  "remote_ip",   "remote_group",
                                          "port_min",  "port_max", "icmp_type", "icmp_code", "description", NULL};
static const char *const rule_fixed[] = {"id",        "origin",   "created_at",     "updated_at", "hits", "bytes",
                                          "first_hit", "last_hit", "counting_since", NULL};

static bool
has_ports(int16_t protocol)
{
    return protocol == SP_PROTOCOL_TCP || protocol == SP_PROTOCOL_UDP || protocol == SP_PROTOCOL_SCTP;
}

static bool
has_types(int16_t protocol)
{
    return protocol == SP_PROTOCOL_ICMP || protocol == SP_PROTOCOL_ICMPV6;
}

/* Returns whether 'meaning->protocol' is one to judge the other fields by. */
static bool
read_protocol(const struct sp_decode *decode, const struct sp_reader *reader, const struct sp_rule *base,
              struct sp_meaning *meaning)
{
    const struct sp_json *value = sp_reader_get(reader, "protocol");
    if (!value) {
        if (!base) {
            sp_reader_require(reader, "protocol");
        }
        return base;
    }
    if (value->type == SP_JSON_INTEGER && value->integer >= 0 && value->integer <= 255) {
        meaning->protocol = (int16_t) value->integer;
        return true;
    }
    if (value->type == SP_JSON_STRING && !sp_protocols_parse(decode->protocols, value->string, &meaning->protocol)) {
        return true;
    }
    sp_reader_problem(reader, "protocol",
                      "must be tcp, udp, sctp, icmp, icmpv6, any, another protocol's name, or a number 0 to 255");
    return false;
}

static void
read_remote_ip(const struct sp_reader *reader, struct sp_meaning *meaning)
{
    const struct sp_json *value = sp_reader_get(reader, "remote_ip");
    if (value->type != SP_JSON_STRING || sp_cidr_parse(value->string, &meaning->remote_cidr)) {
        sp_reader_problem(reader, "remote_ip", "must be an IPv4 or IPv6 address or CIDR, or null");
        return;
    }
    meaning->remote = SP_REMOTE_CIDR;
}

static void
read_remote_group(const struct sp_decode *decode, const struct sp_reader *reader, const char *region, struct sp_meaning *meaning)
{
    if (decode->names) {
        char wrong[SP_NAMES_WRONG_SIZE];
        if (sp_names_read(decode->names, sp_reader_get(reader, "remote_group"), &meaning->remote_group, wrong)) {
            sp_reader_problem(reader, "remote_group", "%s", wrong);
        } else {
            meaning->remote = SP_REMOTE_GROUP;
        }
    } else if (sp_reader_uuid(reader, "remote_group", &meaning->remote_group) &&
        sp_decode_check_group(decode, reader, "remote_group", &meaning->remote_group, region)) {
        meaning->remote = SP_REMOTE_GROUP;
    }
}

static void
read_remote(const struct sp_decode *decode, const struct sp_reader *reader, const char *region, struct sp_meaning *meaning)
{
    bool ip = sp_reader_has(reader, "remote_ip") && !sp_reader_is_null(reader, "remote_ip");
    bool group = sp_reader_has(reader, "remote_group") && !sp_reader_is_null(reader, "remote_group");
    bool cleared = (sp_reader_is_null(reader, "remote_ip") && meaning->remote == SP_REMOTE_CIDR) ||
                   (sp_reader_is_null(reader, "remote_group") && meaning->remote == SP_REMOTE_GROUP);
    if (ip || group || cleared) {
        meaning->remote = SP_REMOTE_ANY;
        meaning->remote_cidr = (struct sp_cidr){0};
        meaning->remote_group = (struct sp_uuid){{0}};
    }
    if (ip) {
        read_remote_ip(reader, meaning);
    }
    if (group) {
        read_remote_group(decode, reader, region, meaning);
    }
    if (ip && group) {
        sp_reader_problem(reader, "remote_group", "excludes remote_ip: give one of the two");
    }
}

static void
check_family(const struct sp_reader *reader, const struct sp_meaning *meaning)
{
    if (meaning->remote != SP_REMOTE_CIDR || !has_types(meaning->protocol)) {
        return;
    }
    bool is_icmp = meaning->protocol == SP_PROTOCOL_ICMP;
    if (meaning->remote_cidr.family == (is_icmp ? 4 : 6)) {
        return;
    }
    if (sp_reader_has(reader, "remote_ip")) {
        sp_reader_problem(reader, "remote_ip", is_icmp ? "must be of IPv4 with icmp; icmpv6 is for IPv6"
                                                       : "must be of IPv6 with icmpv6; icmp is for IPv4");
    } else {
        sp_reader_problem(reader, "protocol", is_icmp ? "must not be icmp, which is for IPv4, with a remote_ip of IPv6"
                                                      : "must not be icmpv6, which is for IPv6, with a remote_ip of IPv4");
    }
}

/* Reads a number up to 'max', or -1 for all 'things'.  Returns whether what is there, if anything, is right. */
static bool
read_number(const struct sp_reader *reader, const char *name, int64_t max, const char *things, int64_t *number)
{
    const struct sp_json *value = sp_reader_get(reader, name);
    if (value && (value->type != SP_JSON_INTEGER || value->integer < -1 || value->integer > max)) {
        sp_reader_problem(reader, name, "must be 0 to %d, or -1 for all %s", (int) max, things);
        return false;
    }
    *number = value ? value->integer : *number;
    return true;
}

static void
read_ports(const struct sp_reader *reader, bool protocol_known, struct sp_meaning *meaning)
{
    bool min_given = sp_reader_has(reader, "port_min"), max_given = sp_reader_has(reader, "port_max");
    if (!min_given && !max_given && !has_ports(meaning->protocol)) {
        meaning->port_min = meaning->port_max = -1;
        return;
    }
    bool all_before = meaning->port_min == -1;
    int64_t min = meaning->port_min, max = meaning->port_max;
    bool min_right = read_number(reader, "port_min", 65535, "ports", &min);
    if (!read_number(reader, "port_max", 65535, "ports", &max) || !min_right) {
        return;
    }
    if (min_given && !max_given && (all_before || min == -1)) {
        max = min;
    } else if (max_given && !min_given && (all_before || max == -1)) {
        min = max;
    }
    if (protocol_known && !has_ports(meaning->protocol) && (min != -1 || max != -1)) {
        sp_reader_problem(reader, min_given && min != -1 ? "port_min" : "port_max",
                          "is for tcp, udp and sctp only; else -1 or absent");
    } else if ((min == -1) != (max == -1)) {
        sp_reader_problem(reader, min == -1 ? "port_min" : "port_max", "must be a port like %s, or both -1 for all ports",
                          min == -1 ? "port_max" : "port_min");
    } else if (min > max) {
        sp_reader_problem(reader, max_given ? "port_max" : "port_min", "must not be %s (%d)",
                          max_given ? "less than port_min" : "greater than port_max", (int) (max_given ? min : max));
    }
    meaning->port_min = (int32_t) min;
    meaning->port_max = (int32_t) max;
}

static void
read_types(const struct sp_reader *reader, bool protocol_known, struct sp_meaning *meaning)
{
    bool type_given = sp_reader_has(reader, "icmp_type"), code_given = sp_reader_has(reader, "icmp_code");
    if (!type_given && !code_given && !has_types(meaning->protocol)) {
        meaning->icmp_type = meaning->icmp_code = -1;
        return;
    }
    int64_t type = meaning->icmp_type, code = meaning->icmp_code;
    bool type_right = read_number(reader, "icmp_type", 255, "types", &type);
    if (!read_number(reader, "icmp_code", 255, "codes", &code) || !type_right) {
        return;
    }
    if (type == -1 && !code_given) {
        code = -1;
    }
    if (protocol_known && !has_types(meaning->protocol) && (type != -1 || code != -1)) {
        sp_reader_problem(reader, type_given && type != -1 ? "icmp_type" : "icmp_code",
                          "is for icmp and icmpv6 only; else -1 or absent");
    } else if (type == -1 && code != -1) {
        sp_reader_problem(reader, "icmp_code", "needs an icmp_type");
    }
    meaning->icmp_type = (int16_t) type;
    meaning->icmp_code = (int16_t) code;
}

int
sp_decode_rule(const struct sp_decode *decode, const struct sp_json *value, const char *path, const char *region,
               const struct sp_rule *base, struct sp_rule_input *ret)
{
    static const struct sp_reader_fields fields = {rule_fields, rule_fixed};
    size_t n_before = decode->problems->n;
    struct sp_reader reader;
    sp_reader_open(&reader, value, path, &fields, decode->problems);

    struct sp_meaning meaning = {
        .action = SP_ALLOW, .priority = SP_PRIORITY_DEFAULT, .port_min = -1, .port_max = -1, .icmp_type = -1, .icmp_code = -1};
    const char *description = "";
    if (base) {
        meaning = base->meaning;
        description = base->description;
    } else {
        sp_reader_require(&reader, "direction");
    }
    int choice;
    int64_t priority;
    if (sp_reader_choice(&reader, "direction", directions, &choice)) {
        meaning.direction = choice ? SP_OUTBOUND : SP_INBOUND;
    }
    if (sp_reader_choice(&reader, "action", actions, &choice)) {
        meaning.action = choice ? SP_ALLOW : SP_DENY;
    }
    if (sp_reader_integer(&reader, "priority", SP_PRIORITY_MIN, SP_PRIORITY_MAX, &priority)) {
        meaning.priority = (uint16_t) priority;
    }
    sp_reader_text(&reader, "description", 0, SP_DESCRIPTION_MAX, &description);
    bool protocol_known = read_protocol(decode, &reader, base, &meaning);
    read_remote(decode, &reader, region, &meaning);
    read_ports(&reader, protocol_known, &meaning);
    read_types(&reader, protocol_known, &meaning);
    if (protocol_known) {
        check_family(&reader, &meaning);
    }
    if (decode->problems->n_lost || decode->problems->n > n_before) {
        return decode->problems->n_lost ? -ENOMEM : SP_E_INVALID;
    }
    char prefix[SP_READER_PATH_SIZE] = "";
    if (*path) {
        snprintf(prefix, sizeof prefix, "%s.", path);
    }
    const char *input_path = sp_pool_text(decode->pool, prefix, strlen(prefix));
    if (!input_path) {
        return -ENOMEM;
    }
    *ret = (struct sp_rule_input){.meaning = meaning, .description = description, .path = input_path};
    return 0;
}

int
sp_decode_rule_list(const struct sp_decode *decode, const struct sp_reader *reader, const char *region,
                    struct sp_rule_input **ret_rules, size_t *ret_n)
{
    const struct sp_json *array = sp_reader_array(reader, "rules", SIZE_MAX);
    if (!array) {
        return sp_reader_has(reader, "rules") ? SP_E_INVALID : 0;
    }
    struct sp_rule_input *rules = sp_pool_alloc(decode->pool, array->n, sizeof *rules);
    if (!rules) {
        return -ENOMEM;
    }
    int result = 0;
    for (size_t i = 0; i < array->n && decode->problems->n < SP_READER_PROBLEMS_MAX; i++) {
        char name[32], path[SP_READER_PATH_SIZE];
        snprintf(name, sizeof name, "rules[%zu]", i);
        int r = sp_decode_rule(decode, &array->items[i], sp_reader_field(reader, name, path), region, NULL, &rules[i]);
        if (r < 0) {
            return r;
        }
        result = r ? r : result;
    }
    *ret_rules = rules;
    *ret_n = array->n;
    return result;
}

int
sp_decode_rules(const struct sp_decode *decode, const struct sp_json *body, const char *region, struct sp_rule_input **ret_rules,
                size_t *ret_n)
{
    static const char *const writable[] = {"rules", NULL}, *const fixed[] = {NULL};
    static const struct sp_reader_fields fields = {writable, fixed};
    struct sp_reader reader;
    sp_reader_open(&reader, body, "", &fields, decode->problems);
    sp_reader_require(&reader, "rules");
    int r = sp_decode_rule_list(decode, &reader, region, ret_rules, ret_n);
    return r < 0 ? r : sp_decode_result(decode);
}

static const char *const group_fixed[] = {"id", "servers", "revision", "created_at", "updated_at", NULL};

int
sp_decode_group(const struct sp_decode *decode, const struct sp_json *body, struct sp_group_input *ret)
{
    static const char *const writable[] = {"region", "name", "description", "default", "rules", "template", NULL};
    static const struct sp_reader_fields fields = {writable, group_fixed};
    static const char *const templates[] = {"outbound", "remote-login", "none", NULL};
    static const enum sp_template template_kinds[] = {SP_TEMPLATE_OUTBOUND, SP_TEMPLATE_REMOTE_LOGIN, SP_TEMPLATE_NONE};
    struct sp_group_input input = {.description = "", .template_kind = SP_TEMPLATE_OUTBOUND};
    struct sp_reader reader;
    sp_reader_open(&reader, body, "", &fields, decode->problems);
    sp_reader_require(&reader, "region");
    sp_reader_require(&reader, "name");
    if (sp_reader_text(&reader, "region", 1, SP_NAME_MAX, &input.region) && !sp_model_region(decode->model, input.region)) {
        sp_reader_problem(&reader, "region", "no region has this name");
        input.region = NULL;
    }
    sp_reader_text(&reader, "name", 1, SP_NAME_MAX, &input.name);
    sp_reader_text(&reader, "description", 0, SP_DESCRIPTION_MAX, &input.description);
    sp_reader_bool(&reader, "default", &input.is_default);
    int choice = 0;
    if (sp_reader_choice(&reader, "template", templates, &choice)) {
        input.template_kind = template_kinds[choice];
    }
    input.has_rules = sp_reader_has(&reader, "rules");
    if (input.has_rules && input.template_kind == SP_TEMPLATE_REMOTE_LOGIN) {
        sp_reader_problem(&reader, "template", "remote-login excludes rules: give one of the two");
    }
    struct sp_rule_input *rules = NULL;
    int r = sp_decode_rule_list(decode, &reader, input.region, &rules, &input.n_rules);
    r = r < 0 ? r : sp_decode_result(decode);
    if (r) {
        return r;
    }
    input.rules = rules;
    *ret = input;
    return 0;
}

int
sp_decode_group_patch(const struct sp_decode *decode, const struct sp_json *body, struct sp_group_patch *ret)
{
    static const char *const writable[] = {"name", "description", "default", "rules", NULL};
    static const char *const fixed[] = {"id", "region", "servers", "revision", "created_at", "updated_at", NULL};
    static const struct sp_reader_fields fields = {writable, fixed};
    struct sp_group_patch patch = {.is_default = -1};
    struct sp_reader reader;
    sp_reader_open(&reader, body, "", &fields, decode->problems);
    sp_reader_text(&reader, "name", 1, SP_NAME_MAX, &patch.name);
    sp_reader_text(&reader, "description", 0, SP_DESCRIPTION_MAX, &patch.description);
    bool is_default;
    if (sp_reader_bool(&reader, "default", &is_default)) {
        patch.is_default = is_default;
    }
    if (sp_reader_has(&reader, "rules")) {
        sp_reader_problem(&reader, "rules", "is changed by the calls on /v1/security-groups/{id}/rules");
    }
    int r = sp_decode_result(decode);
    if (r) {
        return r;
    }
    *ret = patch;
    return 0;
}
