/* Arguments as JSON: turns "80-8080", "8/0" or "bridge=...,mac=..." into members of a request.
 *
 * What has the form of a number is written as one, whatever its value; values are the controller's to judge.  Every
 * function prints what is wrong with the form to stderr and returns SP_EXIT_USAGE then, else SP_EXIT_DONE.  What a failed
 * one has written is never sent. */

#ifndef SALLYPORT_CONTROLLER_CLI_SYNTAX_H
#define SALLYPORT_CONTROLLER_CLI_SYNTAX_H 1

#include "controller/cli/cli.h"

struct sp_json;
struct sp_json_write;

/* Writes 'key' with 'text' as an integer. */
int sp_syntax_integer(const struct sp_cli *, struct sp_json_write *, const char *key, const char *text) SP_MUST_USE;
/* Writes the members protocol's second argument stands for: of icmp and icmpv6 (by name or number) icmp_type and icmp_code
 * from "TYPE[/CODE]", else port_min and port_max from "N" or "N-M"; "all" writes -1 for both. */
int sp_syntax_what(const struct sp_cli *, struct sp_json_write *, const char *protocol, const char *text) SP_MUST_USE;
int sp_syntax_ports(const struct sp_cli *, struct sp_json_write *, const char *text) SP_MUST_USE;
int sp_syntax_icmp(const struct sp_cli *, struct sp_json_write *, const char *text) SP_MUST_USE;
bool sp_syntax_is_icmp(const char *protocol);
/* Writes 'protocol': a number as a number. */
int sp_syntax_protocol(const struct sp_cli *, struct sp_json_write *, const char *text) SP_MUST_USE;
/* Writes every --port as the list "ports".  'old' (NULL: none) is a server: a port with the MAC address and VLAN of one of
 * its ports carries that one's id, and so stays that port. */
int sp_syntax_server_ports(const struct sp_cli *, struct sp_json_write *, const struct sp_json *old) SP_MUST_USE;
/* Reads the file 'name' ("-": standard input), of at most 'size_max' bytes of JSON.  The caller frees '*ret'. */
int sp_syntax_json_file(const struct sp_cli *, const char *name, size_t size_max, struct sp_json **ret) SP_MUST_USE;
/* Writes 'key' with the list of rules in the file 'name' ("-": standard input): a JSON array, or an object's "rules". */
int sp_syntax_rules_file(const struct sp_cli *, struct sp_json_write *, const char *key, const char *name) SP_MUST_USE;

#endif
