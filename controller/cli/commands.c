#include "controller/cli/cli.h"

const struct sp_option_info sp_options[SP_N_OPTIONS] = {
    [SP_OPTION_URL] = {"url", "URL", false,
                       "the controller: http[s]://HOST:PORT or unix:PATH (else $SALLYPORT_URL, http://127.0.0.1:8080)"},
    [SP_OPTION_TOKEN_FILE] = {"token-file", "FILE", false,
                              "file whose first line is the access token (else $SALLYPORT_TOKEN_FILE)"},
    [SP_OPTION_CA_CERT] = {"ca-cert", "FILE", false,
                           "whose certificates to believe with https (else $SALLYPORT_CA_CERT, the system's)"},
    [SP_OPTION_JSON] = {"json", NULL, false, "print the controller's answer as JSON"},
    [SP_OPTION_HELP] = {"help", NULL, false, "print help on everything, a noun or a command"},
    [SP_OPTION_VERSION] = {"version", NULL, false, "print the version"},
    [SP_OPTION_REGION] = {"region", "REGION", false, "the region; where a name is given, only that region is searched"},
    [SP_OPTION_WAIT] = {"wait", "SECONDS", false,
                        "how long to wait until the switches have confirmed (0 to 60, default 5)"},
    [SP_OPTION_NAME] = {"name", "NAME", false, "its name"},
    [SP_OPTION_DESCRIPTION] = {"description", "TEXT", false, "a text for people"},
    [SP_OPTION_DEFAULT] = {"default", NULL, false,
                           "make it the region's default group: every server of the region gets it and it alone"},
    [SP_OPTION_NO_DEFAULT] = {"no-default", NULL, false,
                              "make it an ordinary group (refused while the region has servers)"},
    [SP_OPTION_TEMPLATE] = {"template", "NAME", false, "its first rules: outbound (default), remote-login or none"},
    [SP_OPTION_RULES_FILE] = {"rules-file", "FILE", false,
                              "rules as a JSON array, or an object with \"rules\"; - reads standard input"},
    [SP_OPTION_REMOTE] = {"remote", "ADDRESS", false, "the other side: an address of IPv4 or IPv6; of a rule a CIDR or any, too"},
    [SP_OPTION_REMOTE_GROUP] = {"remote-group", "GROUP", false,
                                "the other side: the servers of a group of the same region"},
    [SP_OPTION_ALLOW] = {"allow", NULL, false, "let it pass"},
    [SP_OPTION_DENY] = {"deny", NULL, false, "do not let it pass"},
    [SP_OPTION_PRIORITY] = {"priority", "N", false, "1 to 1000, the lowest that matches decides (default 100)"},
    [SP_OPTION_DIRECTION] = {"direction", "DIRECTION", false, "inbound or outbound"},
    [SP_OPTION_PROTOCOL] = {"protocol", "PROTOCOL", false, "tcp, udp, sctp, icmp, icmpv6, any, another name or a number"},
    [SP_OPTION_PORTS] = {"ports", "PORTS", false, "22, 80-8080 or all"},
    [SP_OPTION_ICMP] = {"icmp", "TYPE[/CODE]", false, "8, 3/4 or all"},
    [SP_OPTION_KIND] = {"kind", "KIND", false, "vps (default) or baremetal"},
    [SP_OPTION_GROUP] = {"group", "GROUP", true, "a security group of the server; may be repeated"},
    [SP_OPTION_NO_GROUPS] = {"no-groups", NULL, false, "no security group: nothing passes"},
    [SP_OPTION_PORT] = {"port", "KEY=VALUE,...", true, "a port of the server; may be repeated"},
    [SP_OPTION_NO_PORTS] = {"no-ports", NULL, false, "no ports"},
    [SP_OPTION_UPLINK] = {"uplink", "NAME", true, "a port of the bridge that leads to other switches; may be repeated"},
    [SP_OPTION_NO_UPLINKS] = {"no-uplinks", NULL, false, "no port of the bridge is an uplink"},
    [SP_OPTION_REMOTE_PORT] = {"remote-port", "PORT", false, "port of the other side, where it matters"},
    [SP_OPTION_LOCAL_PORT] = {"local-port", "PORT", false, "port of the server, where it matters"},
    [SP_OPTION_OBJECT] = {"object", "ID", false, "changes of this object: an id, a region's name or a datapath id"},
    [SP_OPTION_LIMIT] = {"limit", "N", false, "so many at most, 1 to 1000 (default 100)"},
    [SP_OPTION_DRY_RUN] = {"dry-run", NULL, false, "change nothing; show what would change, and which connections would be cut"},
    [SP_OPTION_CONFIRM_WITHIN] = {"confirm-within", "SECONDS", false,
                                  "take it back after so long (1 to 3600) unless it is confirmed: change confirm"},
    [SP_OPTION_REPORT_BLOCKED] = {"report-blocked", "on|off", false, "whether blocked attempts are seen and listed"},
    [SP_OPTION_BEFORE] = {"before", "CHANGE", false, "those before this one"},
    [SP_OPTION_PENDING] = {"pending", NULL, false, "only those that wait for their confirmation"},
    [SP_OPTION_PRUNE] = {"prune", NULL, false, "delete what the lists of the document do not name"},
};

#define O(NAME) SP_OPTION_BIT(SP_OPTION_##NAME)

const uint64_t sp_options_global = O(URL) | O(TOKEN_FILE) | O(CA_CERT) | O(JSON) | O(HELP) | O(VERSION);

#define CHANGE (O(WAIT) | O(CONFIRM_WITHIN) | O(DRY_RUN)) /* What every command takes that changes something. */

#define RULE_DETAILS                                                                                                 \
    "PORTS of tcp, udp and sctp: 22, 80-8080 or all (default).  Of icmp and icmpv6: TYPE[/CODE] or all (default).\n" \
    "Without --remote or --remote-group the rule is about every address of both families.\n"

#define PORT_DETAILS                                                                                            \
    "--port takes pairs KEY=VALUE with commas between them:\n"                                                  \
    "  bridge=DPID,port=NAME   where it is: datapath id (16 hexadecimal digits) and the OpenFlow port's name\n" \
    "  iface=ID                or: the iface-id that the switch's database has for it\n"                        \
    "  mac=MAC                 its MAC address\n"                                                               \
    "  ip=ADDRESS              an address of it; may be repeated\n"                                             \
    "  vlan=N                  its VLAN (1 to 4094)\n"                                                          \
    "  port-security=off       lets it use any source address\n"                                                \
    "  pair=IP[/MAC]           a further address or CIDR that it may use; may be repeated\n"                    \
    "Example: --port bridge=00000000000000a1,port=vm1,mac=02:00:00:00:00:01,ip=192.0.2.11,ip=2001:db8::11\n"

const struct sp_command sp_commands[] = {
    {"region", "list", "", 0, 0, 0, 0, "list the regions", NULL, sp_cli_region_list},
    {"region", "create", "REGION", 1, 1, CHANGE, 0, "make a region", NULL, sp_cli_region_create},
    {"region", "set", "REGION", 1, 1, O(REPORT_BLOCKED) | CHANGE, O(REPORT_BLOCKED), "change a region", NULL, sp_cli_region_set},
    {"region", "delete", "REGION", 1, 1, CHANGE, 0, "delete a region that has neither groups nor servers", NULL,
     sp_cli_region_delete},

    {"group", "list", "", 0, 0, O(REGION) | O(NAME), 0, "list security groups", NULL, sp_cli_group_list},
    {"group", "show", "GROUP", 1, 1, O(REGION), 0, "show a security group with its rules", NULL, sp_cli_group_show},
    {"group", "lint", "GROUP", 1, 1, O(REGION), 0, "tell what is odd about its rules",
     "Rules that never decide, that change nothing, that let everybody reach remote login or a database, or that\n"
     "nothing has needed for 30 days.\n",
     sp_cli_group_lint},
    {"group", "create", "", 0, 0, O(REGION) | O(NAME) | O(DESCRIPTION) | O(DEFAULT) | O(TEMPLATE) | O(RULES_FILE) | CHANGE,
     O(REGION) | O(NAME), "make a security group", NULL, sp_cli_group_create},
    {"group", "set", "GROUP", 1, 1, O(REGION) | O(NAME) | O(DESCRIPTION) | O(DEFAULT) | O(NO_DEFAULT) | CHANGE, 0,
     "change a security group", "To change its rules see: sallyport rule --help\n", sp_cli_group_set},
    {"group", "delete", "GROUP", 1, 1, O(REGION) | CHANGE, 0, "delete a security group that nothing uses", NULL,
     sp_cli_group_delete},

    {"rule", "list", "GROUP", 1, 1, O(REGION), 0, "list the rules of a security group", NULL, sp_cli_rule_list},
    {"rule", "add", "GROUP inbound|outbound PROTOCOL [PORTS]", 3, 4,
     O(REGION) | O(REMOTE) | O(REMOTE_GROUP) | O(ALLOW) | O(DENY) | O(PRIORITY) | O(DESCRIPTION) | CHANGE, 0,
     "add a rule to a security group",
     RULE_DETAILS "Example: sallyport rule add web inbound tcp 80-8080 --remote 203.0.113.0/24\n", sp_cli_rule_add},
    {"rule", "set", "GROUP RULE", 2, 2,
     O(REGION) | O(DIRECTION) | O(PROTOCOL) | O(PORTS) | O(ICMP) | O(REMOTE) | O(REMOTE_GROUP) | O(ALLOW) | O(DENY) |
         O(PRIORITY) | O(DESCRIPTION) | CHANGE,
     0, "change a rule in place",
     "RULE is the rule's id.  What is not given stays as it is; a new --protocol begins with all ports or types.\n",
     sp_cli_rule_set},
    {"rule", "replace", "GROUP", 1, 1, O(REGION) | O(RULES_FILE) | CHANGE, O(RULES_FILE),
     "replace all rules of a security group at once", "Rules that stay as they are keep their id and their connections.\n",
     sp_cli_rule_replace},
    {"rule", "delete", "GROUP RULE", 2, 2, O(REGION) | CHANGE, 0, "delete a rule", "RULE is the rule's id.\n",
     sp_cli_rule_delete},

    {"server", "list", "", 0, 0, O(REGION) | O(NAME) | O(GROUP), 0, "list servers", NULL, sp_cli_server_list},
    {"server", "show", "SERVER", 1, 1, O(REGION), 0, "show a server with its ports", NULL, sp_cli_server_show},
    {"server", "create", "", 0, 0, O(REGION) | O(NAME) | O(KIND) | O(GROUP) | O(NO_GROUPS) | O(PORT) | CHANGE,
     O(REGION) | O(NAME), "register a server", "Without --group it gets the region's default group.\n" PORT_DETAILS,
     sp_cli_server_create},
    {"server", "set", "SERVER", 1, 1,
     O(REGION) | O(NAME) | O(KIND) | O(GROUP) | O(NO_GROUPS) | O(PORT) | O(NO_PORTS) | CHANGE, 0, "change a server",
     "--group and --port replace the whole list; a port with the MAC address and VLAN of an old one stays that "
     "port.\n" PORT_DETAILS,
     sp_cli_server_set},
    {"server", "delete", "SERVER", 1, 1, O(REGION) | CHANGE, 0, "forget a server; its ports are closed", NULL,
     sp_cli_server_delete},

    {"bridge", "list", "", 0, 0, 0, 0, "list the switches", NULL, sp_cli_bridge_list},
    {"bridge", "show", "DPID", 1, 1, 0, 0, "show a switch with its ports", NULL, sp_cli_bridge_show},
    {"bridge", "set", "DPID", 1, 1, O(UPLINK) | O(NO_UPLINKS) | CHANGE, 0, "adopt a switch and name its uplinks",
     "DPID is the datapath id, 16 hexadecimal digits: 'sallyport bridge list' and 'ovs-vsctl get bridge NAME datapath_id' tell\n"
     "it.  Name all uplinks, and the bridge's own port, which has its name, if the machine itself speaks through it: any other\n"
     "port that is no server's passes nothing from then on.\n"
     "Example: sallyport bridge set 0000000000000001 --uplink eth1\n", sp_cli_bridge_set},
    {"bridge", "delete", "DPID", 1, 1, CHANGE, 0, "remove our flows from a switch that no server names", NULL,
     sp_cli_bridge_delete},

    {"change", "list", "", 0, 0, O(REGION) | O(OBJECT) | O(LIMIT) | O(BEFORE) | O(PENDING), 0,
     "list what was changed, newest first", NULL, sp_cli_change_list},
    {"change", "show", "CHANGE", 1, 1, 0, 0, "show a change and what differs by it", "CHANGE is its number.\n",
     sp_cli_change_show},
    {"change", "undo", "CHANGE", 1, 1, CHANGE, 0, "take a change back",
     "As a change of its own; refused if what it did has changed since.\n", sp_cli_change_undo},
    {"change", "confirm", "CHANGE", 1, 1, O(WAIT), 0, "keep a change that was made with --confirm-within", NULL,
     sp_cli_change_confirm},

    {"blocked", NULL, "SERVER", 1, 1, O(REGION), 0, "list what was tried in vain lately, to the server and from it",
     "A sample: each connection was tried at least as often as it says.\n", sp_cli_blocked},
    {"connections", NULL, "SERVER", 1, 1, O(REGION), 0, "list a server's live connections, each with the rule that admitted it",
     "A thousand at most.  The controller needs --switch-control for it.\n", sp_cli_connections},
    {"explain", NULL, "SERVER inbound|outbound PROTOCOL [PORT]", 3, 4,
     O(REGION) | O(REMOTE) | O(REMOTE_PORT) | O(LOCAL_PORT), O(REMOTE),
     "tell whether a connection may pass, and which rule decides",
     "PORT is the connection's destination port; of icmp and icmpv6 TYPE[/CODE].\n"
     "Example: sallyport explain vm1 inbound tcp 8888 --remote 203.0.113.9\n",
     sp_cli_explain},
    {"export", NULL, "REGION", 1, 1, 0, 0, "print all groups, rules, servers and ports of a region as one JSON document", NULL,
     sp_cli_export},
    {"apply", NULL, "FILE", 1, 1, O(REGION) | O(PRUNE) | CHANGE, 0, "make a region as a document says",
     "FILE is as sallyport export writes it; - reads standard input.  What it names is made or becomes as it says, and what\n"
     "it does not say stays.  All is one change, or with a document over 1 MiB one for each part of it.\n"
     "Example: sallyport export SV2 > sv2.json; sallyport apply --dry-run sv2.json\n",
     sp_cli_apply},
    {"status", NULL, "", 0, 0, 0, 0, "show the controller's state and what is not in force yet", NULL, sp_cli_status},
    {"completion", NULL, "", 0, 0, 0, 0, "print the completion for bash", "To use it: source <(sallyport completion)\n",
     sp_cli_completion},
};
const size_t sp_n_commands = sizeof sp_commands / sizeof sp_commands[0];
