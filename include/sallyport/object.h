/* The objects that people create, as values: regions, groups, rules, servers, ports, bridges, and the rule sets that
 * Sallyport derives from them.
 *
 * An object is immutable once it is published and counts its references; a change makes a new object that takes the
 * old one's place.  Reference counts belong to the event loop's thread alone; the store's thread reads objects that
 * the loop keeps referenced until the commit has ended.  All strings are NUL-terminated UTF-8 without NUL inside. */

#ifndef SALLYPORT_OBJECT_H
#define SALLYPORT_OBJECT_H 1

#include "sallyport/rule.h"

struct sp_region {
    unsigned refs;
    char *name;
    uint32_t number;              /* 1 and up, never used again: the region's name in flows. */
    struct sp_uuid default_group; /* None: no default group. */
    bool reports;                 /* Denied connections are reported. */
    int64_t created_at;           /* Microseconds since 1970, as all times here. */
};

enum sp_origin { SP_ORIGIN_USER, SP_ORIGIN_DEFAULT };

struct sp_rule {
    unsigned refs;
    struct sp_uuid id;
    struct sp_meaning meaning;
    char *description;
    enum sp_origin origin;
    int64_t created_at;
    int64_t updated_at;
};

struct sp_group {
    unsigned refs;
    struct sp_uuid id;
    char *region; /* The region's name. */
    char *name;
    char *description;
    struct sp_rule **rules; /* In the order in which they were given; each referenced. */
    size_t n_rules;
    uint64_t revision; /* Of the last change that touched the group or its rules. */
    int64_t created_at;
    int64_t updated_at;
};

struct sp_address_pair {
    struct sp_cidr ip;
    struct sp_mac mac; /* The port's own when none was given. */
};

struct sp_port {
    unsigned refs;
    struct sp_uuid id;
    struct sp_uuid server;
    struct sp_mac mac;
    struct sp_cidr *ips; /* Single addresses. */
    size_t n_ips;
    bool has_bridge;     /* Else the port is found by its iface_id. */
    uint64_t dpid;
    char *name;          /* The OpenFlow port's name, with has_bridge; else NULL. */
    char *iface_id;      /* Or NULL. */
    uint16_t vlan;       /* 1 to 4094; 0 = the untagged network. */
    bool port_security;
    struct sp_address_pair *pairs;
    size_t n_pairs;
    uint16_t zone;       /* Conntrack zone, 1 to 65535; of no other port while fewer than 65,535 exist. */
};

enum sp_server_kind { SP_SERVER_VPS, SP_SERVER_BAREMETAL };

struct sp_server {
    unsigned refs;
    struct sp_uuid id;
    char *name;
    char *region;
    enum sp_server_kind kind;
    struct sp_uuid *groups; /* In the order in which they were given, no id twice. */
    size_t n_groups;
    struct sp_port **ports; /* Each referenced. */
    size_t n_ports;
    uint32_t set;           /* Number of the rule set of its groups; 0 = no group. */
    int64_t created_at;
    int64_t updated_at;
};

struct sp_bridge {
    unsigned refs;
    uint64_t dpid;
    char **uplinks; /* OpenFlow port names. */
    size_t n_uplinks;
    int64_t created_at;
};

/* The part of one rule in one rule set.  'slot' names (rule set, rule) for as long as both exist and stands in cookies and
 * registers; 'mark' is the id that a connection admitted by the rule carries in ct_mark: it is replaced whenever some
 * connection that carries it might no longer be allowed.  Both are drawn from counters that never go back. */
struct sp_admission {
    struct sp_uuid rule;
    uint32_t slot; /* 1 to 0x7fffffff. */
    uint32_t mark; /* 1 to 0x7fffffff; 0 for a rule that denies. */
};

/* All rules of one set of groups.  Every port whose server has just these groups shares it, and so does every address
 * that is a member of just these groups (its "class" when a rule names a remote group). */
struct sp_rule_set {
    unsigned refs;
    uint32_t number;        /* 1 and up, never used again. */
    char *region;
    struct sp_uuid *groups; /* Sorted. */
    size_t n_groups;
    uint32_t version;       /* Changes whenever the verdict of the set may change for any packet, or what is reported. */
    struct sp_admission *admissions; /* Sorted by rule id. */
    size_t n_admissions;
};

enum sp_kind {
    SP_KIND_REGION,
    SP_KIND_GROUP, /* With its rules. */
    SP_KIND_SERVER, /* With its ports. */
    SP_KIND_BRIDGE,
    SP_KIND_RULE_SET,
    SP_N_KINDS
};

/* Any of the five by its kind; the pointer is of the struct that 'kind' names.  NULL = no such object. */
struct sp_object {
    enum sp_kind kind;
    const void *object;
};

#endif
