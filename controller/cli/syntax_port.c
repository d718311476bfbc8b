/* A server's --port. */

#include "controller/cli/syntax.h"

#include <stdlib.h>
#include <string.h>

#include "controller/cli/call.h"

enum key { KEY_BRIDGE, KEY_PORT, KEY_IFACE, KEY_MAC, KEY_VLAN, KEY_SECURITY, KEY_ID, KEY_IP, KEY_PAIR, N_KEYS };
static const struct {
    const char *name;
    const char *member;
    bool is_repeatable;
} keys[N_KEYS] = {
    [KEY_BRIDGE] = {"bridge", "bridge", false},
    [KEY_PORT] = {"port", "port", false},
    [KEY_IFACE] = {"iface", "iface_id", false},
    [KEY_MAC] = {"mac", "mac", false},
    [KEY_VLAN] = {"vlan", "vlan", false},
    [KEY_SECURITY] = {"port-security", "port_security", false},
    [KEY_ID] = {"id", "id", false},
    [KEY_IP] = {"ip", "ips", true},
    [KEY_PAIR] = {"pair", "allowed_address_pairs", true},
};

/* One --port, split. */
struct spec {
    char *text;               /* What the others point into. */
    const char *once[N_KEYS]; /* Of the keys that stand once. */
    char **ips;
    size_t n_ips;
    char **pairs;
    size_t n_pairs;
};

static int split(const struct sp_cli *, const char *text, struct spec *);
static int put_word(const struct sp_cli *, char *word, struct spec *);
static void clear(struct spec *);
static int write_port(const struct sp_cli *, struct sp_json_write *, const struct spec *, const struct sp_json *old);
static void write_pairs(struct sp_json_write *, const struct spec *);
static const char *find_id(const struct sp_json *server, const char *mac_text, const char *vlan_text);

int
sp_syntax_server_ports(const struct sp_cli *cli, struct sp_json_write *json, const struct sp_json *old)
{
    sp_json_key(json, "ports");
    sp_json_array_open(json);
    const char *text;
    for (size_t i = 0; (text = sp_cli_value(cli, SP_OPTION_PORT, i)); i++) {
        struct spec spec = {0};
        int status = split(cli, text, &spec);
        if (status == SP_EXIT_DONE) {
            status = write_port(cli, json, &spec, old);
        }
        clear(&spec);
        if (status != SP_EXIT_DONE) {
            return status;
        }
    }
    sp_json_array_close(json);
    return SP_EXIT_DONE;
}

static int
split(const struct sp_cli *cli, const char *text, struct spec *spec)
{
    size_t n = 1;
    for (const char *p = text; (p = strchr(p, ',')); p++) {
        n++;
    }
    spec->text = strdup(text);
    spec->ips = calloc(n, sizeof *spec->ips);
    spec->pairs = calloc(n, sizeof *spec->pairs);
    if (!spec->text || !spec->ips || !spec->pairs) {
        return sp_call_no_memory();
    }
    char *rest = spec->text;
    char *word;
    while ((word = strsep(&rest, ","))) {
        int status = put_word(cli, word, spec);
        if (status != SP_EXIT_DONE) {
            return status;
        }
    }
    return SP_EXIT_DONE;
}

static int
put_word(const struct sp_cli *cli, char *word, struct spec *spec)
{
    char *value = strchr(word, '=');
    if (!value || !value[1]) {
        return sp_cli_usage(cli->command, "--port: '%s' is not of the form KEY=VALUE", word);
    }
    *value++ = '\0';
    for (unsigned i = 0; i < N_KEYS; i++) {
        if (strcmp(word, keys[i].name)) {
            continue;
        }
        if (i == KEY_IP) {
            spec->ips[spec->n_ips++] = value;
        } else if (i == KEY_PAIR) {
            spec->pairs[spec->n_pairs++] = value;
        } else if (spec->once[i]) {
            return sp_cli_usage(cli->command, "--port: %s= is given twice", word);
        } else {
            spec->once[i] = value;
        }
        return SP_EXIT_DONE;
    }
    return sp_cli_usage(cli->command,
                        "--port: unknown key '%s'; there is bridge port iface mac ip vlan port-security pair id", word);
}

static void
clear(struct spec *spec)
{
    free(spec->text);
    free(spec->ips);
    free(spec->pairs);
}

static int
write_port(const struct sp_cli *cli, struct sp_json_write *json, const struct spec *spec, const struct sp_json *old)
{
    static const enum key texts[] = {KEY_ID, KEY_BRIDGE, KEY_PORT, KEY_IFACE, KEY_MAC};
    sp_json_object_open(json);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const char *value = spec->once[texts[i]];
        if (texts[i] == KEY_ID && !value && old && spec->once[KEY_MAC]) {
            value = find_id(old, spec->once[KEY_MAC], spec->once[KEY_VLAN]);
        }
        if (value) {
            sp_json_text(json, keys[texts[i]].member, value);
        }
    }
    if (spec->once[KEY_VLAN]) {
        int status = sp_syntax_integer(cli, json, "vlan", spec->once[KEY_VLAN]);
        if (status != SP_EXIT_DONE) {
            return status;
        }
    }
    const char *security = spec->once[KEY_SECURITY];
    if (security) {
        if (strcmp(security, "on") && strcmp(security, "off")) {
            return sp_cli_usage(cli->command, "--port: port-security is on or off, not '%s'", security);
        }
        sp_json_key(json, keys[KEY_SECURITY].member);
        sp_json_bool(json, !strcmp(security, "on"));
    }
    sp_json_key(json, keys[KEY_IP].member);
    sp_json_array_open(json);
    for (size_t i = 0; i < spec->n_ips; i++) {
        sp_json_string(json, spec->ips[i]);
    }
    sp_json_array_close(json);
    write_pairs(json, spec);
    sp_json_object_close(json);
    return SP_EXIT_DONE;
}

/* "IP/MAC": what stands behind the last slash is a MAC address, or else the length of a prefix. */
static void
write_pairs(struct sp_json_write *json, const struct spec *spec)
{
    if (!spec->n_pairs) {
        return;
    }
    sp_json_key(json, keys[KEY_PAIR].member);
    sp_json_array_open(json);
    for (size_t i = 0; i < spec->n_pairs; i++) {
        char *ip = spec->pairs[i];
        char *slash = strrchr(ip, '/');
        struct sp_mac mac;
        bool has_mac = slash && !sp_mac_parse(slash + 1, &mac);
        if (has_mac) {
            *slash = '\0';
        }
        sp_json_object_open(json);
        sp_json_text(json, "ip", ip);
        if (has_mac) {
            sp_json_text(json, "mac", slash + 1);
        }
        sp_json_object_close(json);
    }
    sp_json_array_close(json);
}

static const char *
find_id(const struct sp_json *server, const char *mac_text, const char *vlan_text)
{
    struct sp_mac mac, other;
    if (sp_mac_parse(mac_text, &mac)) {
        return NULL;
    }
    for (size_t i = 0; i < sp_answer_count(server, "ports"); i++) {
        const struct sp_json *port = sp_answer_item(server, "ports", i);
        if (!sp_mac_parse(sp_answer_text(port, "mac"), &other) && sp_mac_equal(&mac, &other) &&
            sp_answer_number(port, "vlan") == (vlan_text ? strtoll(vlan_text, NULL, 10) : 0)) {
            return sp_answer_text(port, "id");
        }
    }
    return NULL;
}
