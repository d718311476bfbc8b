/* From JSON bodies to the model's inputs.
 *
 * Each function reads the whole value and notes down every problem that it can see, ids of objects that the model does not
 * have included, so that one answer names them all; batch operations check again what may have changed by then.  Everything
 * that the results point to lives in the pool or in the JSON value. */

#ifndef SALLYPORT_CONTROLLER_API_DECODE_H
#define SALLYPORT_CONTROLLER_API_DECODE_H 1

#include "controller/api/names.h"
#include "controller/api/pool.h"
#include "controller/api/protocol.h"
#include "controller/api/reader.h"

#define SP_NAME_MAX 255 /* Characters. */
#define SP_DESCRIPTION_MAX 1024
#define SP_LIST_MAX 1024    /* Items of each list but that of rules, which the size of a body bounds. */
#define SP_PORT_NAME_MAX 15 /* Bytes: what OpenFlow's 16 hold with their NUL. */

struct sp_decode {
    const struct sp_protocols *protocols;
    const struct sp_model *model; /* NULL: whether ids are of anything is not looked at. */
    struct sp_problems *problems;
    struct sp_pool *pool;
    const struct sp_names *names; /* What stands for groups of the region; NULL: their ids. */
};

/* All return 0, SP_E_INVALID with at least one problem, or -ENOMEM. */

/* What the problems so far come to. */
int sp_decode_result(const struct sp_decode *) SP_MUST_USE;

/* A body without fields; 'body' may be NULL. */
int sp_decode_nothing(const struct sp_decode *, const struct sp_json *body) SP_MUST_USE;

/* One rule at 'path' ("" or "rules[3]") of a group in 'region' (NULL: a region that is not known, itself a problem already). With
 * 'base' the fields that are absent keep its values; but a field that is given clears those that exclude it: remote_ip and
 * remote_group each other, a protocol without ports the ports, one without types the ICMP type and code. */
int sp_decode_rule(const struct sp_decode *, const struct sp_json *, const char *path, const char *region,
                   const struct sp_rule *base, struct sp_rule_input *ret) SP_MUST_USE;
/* The array 'rules' of 'reader', which may be absent: '*ret_rules' and '*ret_n' stay as they are then. */
int sp_decode_rule_list(const struct sp_decode *, const struct sp_reader *reader, const char *region,
                        struct sp_rule_input **ret_rules, size_t *ret_n) SP_MUST_USE;
/* {"rules":[...]}. */
int sp_decode_rules(const struct sp_decode *, const struct sp_json *body, const char *region, struct sp_rule_input **ret_rules,
                    size_t *ret_n) SP_MUST_USE;
int sp_decode_group(const struct sp_decode *, const struct sp_json *body, struct sp_group_input *ret) SP_MUST_USE;
int sp_decode_group_patch(const struct sp_decode *, const struct sp_json *body, struct sp_group_patch *ret) SP_MUST_USE;

int sp_decode_server(const struct sp_decode *, const struct sp_json *body, struct sp_server_input *ret) SP_MUST_USE;
/* 'base' is the server that changes: a port in the body is one of its ports if it has the port's id, or its MAC and its place. */
int sp_decode_server_patch(const struct sp_decode *, const struct sp_json *body, const struct sp_server *base,
                           struct sp_server_patch *ret) SP_MUST_USE;
/* The members 'name', 'kind', 'security_groups' and 'ports' of 'reader', all of which may be absent, as they are of 'base'; NULL:
 * as they are of a new server in 'region', whose ports have no ids. */
int sp_decode_server_members(const struct sp_decode *, const struct sp_reader *reader, const char *region,
                             const struct sp_server *base, struct sp_server_patch *ret) SP_MUST_USE;
/* {"security_groups":[...]} of a server in 'region'. */
int sp_decode_server_groups(const struct sp_decode *, const struct sp_json *body, const char *region,
                            struct sp_server_patch *ret) SP_MUST_USE;

/* Ports as the history has them: each with its id, of whatever server. */
int sp_decode_kept_ports(const struct sp_decode *, const struct sp_json *array, struct sp_port_input **ret_ports,
                         size_t *ret_n) SP_MUST_USE;

/* {"report_blocked":...} of a region; 'body' may be NULL, and '*ret_reports' is -1 without the field. */
int sp_decode_region(const struct sp_decode *, const struct sp_json *body, int *ret_reports) SP_MUST_USE;

/* {"uplinks":[...]}; 'body' may be NULL, and '*ret_has' tells whether the field is there. */
int sp_decode_uplinks(const struct sp_decode *, const struct sp_json *body, bool *ret_has, const char ***ret_names,
                      size_t *ret_n) SP_MUST_USE;

/* Whether 'id', the field 'name', is a group of 'region' (NULL: of any); notes it down if not.  A group of another region is as
 * one that nobody has: the caller may be one who is not to know of it. */
bool sp_decode_check_group(const struct sp_decode *, const struct sp_reader *, const char *name, const struct sp_uuid *id,
                           const char *region);

/* Sixteen hexadecimal digits of either case.  Returns 0 or SP_E_SYNTAX. */
int sp_decode_dpid(const char *text, uint64_t *ret) SP_MUST_USE;
/* A number of 1 to 'max' in decimal, of at most 19 digits.  Returns 0 or SP_E_SYNTAX. */
int sp_decode_number(const char *text, uint64_t max, uint64_t *ret) SP_MUST_USE;
/* Whether 'name' may be a region's: [A-Za-z0-9._-]{1,64}. */
bool sp_decode_is_region_name(const char *name);

#endif
