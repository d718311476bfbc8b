#include "controller/api/decode.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kinds[] = {"vps", "baremetal", NULL};
static const enum sp_server_kind kind_values[] = {SP_SERVER_VPS, SP_SERVER_BAREMETAL};
static const char *const none[] = {NULL};

int
sp_decode_result(const struct sp_decode *decode)
{
    return decode->problems->n_lost ? -ENOMEM : decode->problems->n ? SP_E_INVALID : 0;
}

int
sp_decode_nothing(const struct sp_decode *decode, const struct sp_json *body)
{
    static const struct sp_reader_fields fields = {none, none};
    struct sp_reader reader;
    sp_reader_open(&reader, body, "", &fields, decode->problems);
    return sp_decode_result(decode);
}

int
sp_decode_dpid(const char *text, uint64_t *ret)
{
    if (strlen(text) != 16 || strspn(text, "0123456789abcdefABCDEF") != 16) {
        return SP_E_SYNTAX;
    }
    *ret = strtoull(text, NULL, 16);
    return 0;
}

int
sp_decode_number(const char *text, uint64_t max, uint64_t *ret)
{
    size_t len = strspn(text, "0123456789");
    if (!len || len > 19 || text[len]) {
        return SP_E_SYNTAX;
    }
    *ret = strtoull(text, NULL, 10);
    return *ret >= 1 && *ret <= max ? 0 : SP_E_SYNTAX;
}

bool
sp_decode_is_region_name(const char *name)
{
    size_t len = strlen(name);
    return len >= 1 && len <= 64 && strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

bool
sp_decode_check_group(const struct sp_decode *decode, const struct sp_reader *reader, const char *name, const struct sp_uuid *id,
                      const char *region)
{
    if (!decode->model) {
        return true;
    }
    const struct sp_group *group = sp_model_group(decode->model, id);
    if (!group || (region && strcmp(group->region, region))) {
        sp_reader_problem(reader, name, "no security group%s%s has this id", region ? " of region " : "", region ? region : "");
        return false;
    }
    return true;
}

/* The name of an OpenFlow port. */
static bool
read_port_name(const struct sp_reader *reader, const char *name, const char **ret)
{
    if (!sp_reader_text(reader, name, 1, SP_PORT_NAME_MAX, ret)) {
        return false;
    }
    if (strlen(*ret) > SP_PORT_NAME_MAX) {
        sp_reader_problem(reader, name, "must have at most %d bytes: OpenFlow knows no longer port names", SP_PORT_NAME_MAX);
        return false;
    }
    return true;
}

int
sp_decode_region(const struct sp_decode *decode, const struct sp_json *body, int *ret_reports)
{
    static const char *const writable[] = {"report_blocked", NULL};
    static const char *const fixed[] = {"name", "default_group", "counts", "created_at", NULL};
    static const struct sp_reader_fields fields = {writable, fixed};
    struct sp_reader reader;
    bool reports;
    sp_reader_open(&reader, body, "", &fields, decode->problems);
    *ret_reports = sp_reader_bool(&reader, "report_blocked", &reports) ? reports : -1;
    return sp_decode_result(decode);
}

int
sp_decode_uplinks(const struct sp_decode *decode, const struct sp_json *body, bool *ret_has, const char ***ret_names,
                  size_t *ret_n)
{
    static const char *const writable[] = {"uplinks", NULL};
    static const char *const fixed[] = {"dpid",  "name",  "connected", "peer",       "version",
                                        "ports", "flows", "revision",  "last_error", NULL};
    static const struct sp_reader_fields fields = {writable, fixed};
    struct sp_reader reader;
    sp_reader_open(&reader, body, "", &fields, decode->problems);
    const struct sp_json *array = sp_reader_array(&reader, "uplinks", SP_LIST_MAX);
    *ret_has = array;
    *ret_names = NULL;
    *ret_n = 0;
    if (array) {
        *ret_names = sp_pool_alloc(decode->pool, array->n, sizeof **ret_names);
        if (!*ret_names) {
            return -ENOMEM;
        }
    }
    for (size_t i = 0; array && i < array->n; i++) {
        char field[32], wrong[80];
        snprintf(field, sizeof field, "uplinks[%zu]", i);
        const struct sp_json *item = &array->items[i];
        if (item->type != SP_JSON_STRING) {
            sp_problems_add(decode->problems, field, "must be a string, not %s", sp_json_type_name(item->type));
            continue;
        }
        if (sp_reader_text_is_wrong(item->string, 1, SP_PORT_NAME_MAX, wrong, sizeof wrong) ||
            strlen(item->string) > SP_PORT_NAME_MAX) {
            sp_problems_add(decode->problems, field, "must be an OpenFlow port's name: 1 to %d bytes, no control characters",
                            SP_PORT_NAME_MAX);
            continue;
        }
        bool is_twice = false;
        for (size_t j = 0; j < *ret_n && !is_twice; j++) {
            is_twice = !strcmp((*ret_names)[j], item->string);
        }
        if (!is_twice) {
            (*ret_names)[(*ret_n)++] = item->string;
        }
    }
    return sp_decode_result(decode);
}

/* What stands for a group.  Returns whether '*ret' is an id. */
static bool
read_group(const struct sp_decode *decode, const struct sp_reader *reader, const char *name, const struct sp_json *value,
           const char *region, struct sp_uuid *ret)
{
    char wrong[SP_NAMES_WRONG_SIZE];
    if (decode->names) {
        int r = sp_names_read(decode->names, value, ret, wrong);
        if (r) {
            sp_reader_problem(reader, name, "%s", wrong);
        }
        return !r;
    }
    if (value->type != SP_JSON_STRING || sp_uuid_parse(value->string, ret)) {
        sp_reader_problem(reader, name, "must be the id of a security group");
        return false;
    }
    sp_decode_check_group(decode, reader, name, ret, region);
    return true;
}

/* The ids in the array 'security_groups', each once. */
static int
read_groups(const struct sp_decode *decode, const struct sp_reader *reader, const char *region, bool *ret_has,
            const struct sp_uuid **ret_groups, size_t *ret_n)
{
    const struct sp_json *array = sp_reader_array(reader, "security_groups", SP_LIST_MAX);
    *ret_has = array;
    if (!array) {
        return 0;
    }
    struct sp_uuid *groups = sp_pool_alloc(decode->pool, array->n, sizeof *groups);
    if (!groups) {
        return -ENOMEM;
    }
    size_t n = 0;
    for (size_t i = 0; i < array->n; i++) {
        char name[48];
        snprintf(name, sizeof name, "security_groups[%zu]", i);
        struct sp_uuid id;
        if (!read_group(decode, reader, name, &array->items[i], region, &id)) {
            continue;
        }
        bool is_twice = false;
        for (size_t j = 0; j < n && !is_twice; j++) {
            is_twice = sp_uuid_equal(&groups[j], &id);
        }
        if (!is_twice) {
            groups[n++] = id;
        }
    }
    *ret_groups = groups;
    *ret_n = n;
    return 0;
}

/* An address that one interface can have: a single one, neither unspecified, loopback, multicast nor broadcast. */
static bool
is_interface_address(const struct sp_cidr *ip)
{
    static const uint8_t zero[16], loopback[16] = {[15] = 1};
    if (!sp_cidr_is_address(ip)) {
        return false;
    }
    if (ip->family == 4) {
        return ip->bytes[0] && ip->bytes[0] != 127 && ip->bytes[0] < 224;
    }
    return ip->bytes[0] != 0xff && memcmp(ip->bytes, zero, 16) && memcmp(ip->bytes, loopback, 16);
}

static int
read_ips(const struct sp_decode *decode, const struct sp_reader *reader, struct sp_port_input *port)
{
    const struct sp_json *array = sp_reader_array(reader, "ips", SP_LIST_MAX);
    if (!array) {
        return 0;
    }
    struct sp_cidr *ips = sp_pool_alloc(decode->pool, array->n, sizeof *ips);
    if (!ips) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < array->n; i++) {
        char name[32];
        snprintf(name, sizeof name, "ips[%zu]", i);
        struct sp_cidr ip;
        if (array->items[i].type != SP_JSON_STRING || sp_cidr_parse(array->items[i].string, &ip) || !is_interface_address(&ip)) {
            sp_reader_problem(reader, name, "must be the IPv4 or IPv6 address of an interface");
            continue;
        }
        bool is_twice = false;
        for (size_t j = 0; j < port->n_ips && !is_twice; j++) {
            is_twice = sp_cidr_equal(&ips[j], &ip);
        }
        if (!is_twice) {
            ips[port->n_ips++] = ip;
        }
    }
    port->ips = ips;
    return 0;
}

static bool
read_mac(const struct sp_reader *reader, const char *name, struct sp_mac *ret)
{
    const struct sp_json *value = sp_reader_get(reader, name);
    if (!value) {
        return false;
    }
    if (value->type != SP_JSON_STRING || sp_mac_parse(value->string, ret) || !sp_mac_is_unicast(ret)) {
        sp_reader_problem(reader, name, "must be a unicast MAC address such as 52:54:00:12:34:56");
        return false;
    }
    return true;
}

static int
read_pairs(const struct sp_decode *decode, const struct sp_reader *port_reader, struct sp_port_input *port)
{
    static const char *const writable[] = {"ip", "mac", NULL};
    static const struct sp_reader_fields fields = {writable, none};
    const struct sp_json *array = sp_reader_array(port_reader, "allowed_address_pairs", SP_LIST_MAX);
    if (!array) {
        return 0;
    }
    struct sp_address_pair *pairs = sp_pool_alloc(decode->pool, array->n, sizeof *pairs);
    if (!pairs) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < array->n; i++) {
        char name[48], path[SP_READER_PATH_SIZE];
        snprintf(name, sizeof name, "allowed_address_pairs[%zu]", i);
        struct sp_reader reader;
        sp_reader_open(&reader, &array->items[i], sp_reader_field(port_reader, name, path), &fields, decode->problems);
        sp_reader_require(&reader, "ip");
        const struct sp_json *ip = sp_reader_get(&reader, "ip");
        if (ip && (ip->type != SP_JSON_STRING || sp_cidr_parse(ip->string, &pairs[i].ip))) {
            sp_reader_problem(&reader, "ip", "must be an IPv4 or IPv6 address or CIDR");
        }
        pairs[i].mac = port->mac;
        if (!sp_reader_is_null(&reader, "mac")) {
            read_mac(&reader, "mac", &pairs[i].mac);
        }
    }
    port->pairs = pairs;
    port->n_pairs = array->n;
    return 0;
}

/* Where the port is found: a bridge and a port's name there, or an iface_id, or both. */
static void
read_place(const struct sp_reader *reader, struct sp_port_input *port)
{
    bool bridge_given = sp_reader_has(reader, "bridge") && !sp_reader_is_null(reader, "bridge");
    bool name_given = sp_reader_has(reader, "port") && !sp_reader_is_null(reader, "port");
    bool iface_given = sp_reader_has(reader, "iface_id") && !sp_reader_is_null(reader, "iface_id");
    if (bridge_given) {
        const struct sp_json *value = sp_reader_get(reader, "bridge");
        if (value->type != SP_JSON_STRING || sp_decode_dpid(value->string, &port->dpid)) {
            sp_reader_problem(reader, "bridge", "must be a datapath id: 16 hexadecimal digits");
        }
        port->has_bridge = true;
    }
    if (name_given) {
        read_port_name(reader, "port", &port->name);
    }
    if (iface_given) {
        sp_reader_text(reader, "iface_id", 1, SP_NAME_MAX, &port->iface_id);
    }
    if (bridge_given && !name_given) {
        sp_reader_problem(reader, "port", "is required with bridge: the OpenFlow port's name");
    } else if (name_given && !bridge_given) {
        sp_reader_problem(reader, "bridge", "is required with port: the datapath id");
    } else if (reader->object && !bridge_given && !iface_given) {
        sp_reader_problem(reader, "bridge", "is required with port, or else iface_id");
    }
}

/* Whether 'port' is where 'input' is. */
static bool
is_same_place(const struct sp_port *port, const struct sp_port_input *input)
{
    if (!sp_mac_equal(&port->mac, &input->mac) || port->has_bridge != input->has_bridge) {
        return false;
    }
    if (port->has_bridge) {
        return port->dpid == input->dpid && input->name && !strcmp(port->name, input->name);
    }
    return port->iface_id && input->iface_id && !strcmp(port->iface_id, input->iface_id);
}

/* Stands for the server of ports that may have any id. */
static const struct sp_server any_server;

/* Which of the ports of 'base' it is, if any. */
static void
read_port_id(const struct sp_reader *reader, const struct sp_server *base, struct sp_port_input *port)
{
    if (sp_reader_has(reader, "id")) {
        if (!sp_reader_uuid(reader, "id", &port->id) || base == &any_server) {
            return;
        }
        for (size_t i = 0; i < base->n_ports; i++) {
            if (sp_uuid_equal(&base->ports[i]->id, &port->id)) {
                return;
            }
        }
        sp_reader_problem(reader, "id", "no port of this server has this id");
        return;
    }
    for (size_t i = 0; i < base->n_ports; i++) {
        if (is_same_place(base->ports[i], port)) {
            port->id = base->ports[i]->id;
            return;
        }
    }
}

static int
read_port(const struct sp_decode *decode, const struct sp_json *value, const char *path, const struct sp_server *base,
          struct sp_port_input *port)
{
    static const char *const writable[] = {
        "id", "mac", "ips", "bridge", "port", "iface_id", "vlan", "port_security", "allowed_address_pairs", NULL};
    static const char *const fixed[] = {"state", "id", NULL};
    const struct sp_reader_fields fields = {base ? writable : writable + 1, fixed};
    struct sp_reader reader;
    sp_reader_open(&reader, value, path, &fields, decode->problems);
    sp_reader_require(&reader, "mac");
    read_mac(&reader, "mac", &port->mac);
    read_place(&reader, port);
    int64_t vlan;
    if (!sp_reader_is_null(&reader, "vlan") && sp_reader_integer(&reader, "vlan", 1, 4094, &vlan)) {
        port->vlan = (uint16_t) vlan;
    }
    port->port_security = true;
    sp_reader_bool(&reader, "port_security", &port->port_security);
    if (base) {
        read_port_id(&reader, base, port);
    }
    int r = read_ips(decode, &reader, port);
    return r ? r : read_pairs(decode, &reader, port);
}

/* The array 'ports'. */
static int
read_ports(const struct sp_decode *decode, const struct sp_reader *reader, const struct sp_server *base, bool *ret_has,
           const struct sp_port_input **ret_ports, size_t *ret_n)
{
    const struct sp_json *array = sp_reader_array(reader, "ports", SP_LIST_MAX);
    *ret_has = array;
    if (!array) {
        return 0;
    }
    struct sp_port_input *ports = sp_pool_alloc(decode->pool, array->n, sizeof *ports);
    if (!ports) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < array->n && decode->problems->n < SP_READER_PROBLEMS_MAX; i++) {
        char name[32], path[SP_READER_PATH_SIZE];
        snprintf(name, sizeof name, "ports[%zu]", i);
        int r = read_port(decode, &array->items[i], sp_reader_field(reader, name, path), base, &ports[i]);
        if (r) {
            return r;
        }
        for (size_t j = 0; j < i && base && !sp_uuid_is_none(&ports[i].id); j++) {
            if (sp_uuid_equal(&ports[j].id, &ports[i].id)) {
                sp_reader_problem(reader, name, "is the same port as ports[%zu]", j);
                break;
            }
        }
    }
    *ret_ports = ports;
    *ret_n = array->n;
    return 0;
}

int
sp_decode_kept_ports(const struct sp_decode *decode, const struct sp_json *array, struct sp_port_input **ret_ports, size_t *ret_n)
{
    struct sp_port_input *ports = sp_pool_alloc(decode->pool, array->n, sizeof *ports);
    int r = ports ? 0 : -ENOMEM;
    for (size_t i = 0; i < array->n && !r; i++) {
        r = read_port(decode, &array->items[i], "", &any_server, &ports[i]);
        ports[i].is_restored = true;
        if (!r && sp_uuid_is_none(&ports[i].id)) {
            sp_problems_add(decode->problems, "id", "is missing");
        }
    }
    *ret_ports = ports;
    *ret_n = array->n;
    return r ? r : sp_decode_result(decode);
}

int
sp_decode_server(const struct sp_decode *decode, const struct sp_json *body, struct sp_server_input *ret)
{
    static const char *const writable[] = {"region", "name", "kind", "security_groups", "ports", NULL};
    static const char *const fixed[] = {"id", "created_at", "updated_at", NULL};
    static const struct sp_reader_fields fields = {writable, fixed};
    struct sp_server_input input = {0};
    struct sp_reader reader;
    sp_reader_open(&reader, body, "", &fields, decode->problems);
    sp_reader_require(&reader, "region");
    sp_reader_require(&reader, "name");
    if (sp_reader_text(&reader, "region", 1, SP_NAME_MAX, &input.region) && !sp_model_region(decode->model, input.region)) {
        sp_reader_problem(&reader, "region", "no region has this name");
        input.region = NULL;
    }
    struct sp_server_patch members;
    int r = sp_decode_server_members(decode, &reader, input.region, NULL, &members);
    if (r) {
        return r;
    }
    input.name = members.name;
    input.kind = members.kind >= 0 ? (enum sp_server_kind) members.kind : SP_SERVER_VPS;
    input.has_groups = members.has_groups;
    input.groups = members.groups;
    input.n_groups = members.n_groups;
    input.ports = members.ports;
    input.n_ports = members.n_ports;
    *ret = input;
    return 0;
}

int
sp_decode_server_members(const struct sp_decode *decode, const struct sp_reader *reader, const char *region,
                         const struct sp_server *base, struct sp_server_patch *ret)
{
    struct sp_server_patch patch = {.kind = -1};
    sp_reader_text(reader, "name", 1, SP_NAME_MAX, &patch.name);
    int kind;
    if (sp_reader_choice(reader, "kind", kinds, &kind)) {
        patch.kind = kind_values[kind];
    }
    int r = read_groups(decode, reader, region, &patch.has_groups, &patch.groups, &patch.n_groups);
    r = r ? r : read_ports(decode, reader, base, &patch.has_ports, &patch.ports, &patch.n_ports);
    r = r ? r : sp_decode_result(decode);
    if (r) {
        return r;
    }
    *ret = patch;
    return 0;
}

int
sp_decode_server_patch(const struct sp_decode *decode, const struct sp_json *body, const struct sp_server *base,
                       struct sp_server_patch *ret)
{
    static const char *const writable[] = {"name", "kind", "security_groups", "ports", NULL};
    static const char *const fixed[] = {"id", "region", "created_at", "updated_at", NULL};
    static const struct sp_reader_fields fields = {writable, fixed};
    struct sp_reader reader;
    sp_reader_open(&reader, body, "", &fields, decode->problems);
    return sp_decode_server_members(decode, &reader, base->region, base, ret);
}

int
sp_decode_server_groups(const struct sp_decode *decode, const struct sp_json *body, const char *region,
                        struct sp_server_patch *ret)
{
    static const char *const writable[] = {"security_groups", NULL};
    static const struct sp_reader_fields fields = {writable, none};
    struct sp_server_patch patch = {.kind = -1};
    struct sp_reader reader;
    sp_reader_open(&reader, body, "", &fields, decode->problems);
    sp_reader_require(&reader, "security_groups");
    int r = read_groups(decode, &reader, region, &patch.has_groups, &patch.groups, &patch.n_groups);
    r = r ? r : sp_decode_result(decode);
    if (r) {
        return r;
    }
    *ret = patch;
    return 0;
}
