#include "controller/api/route.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const nothing[] = {NULL};
static const char *const wait[] = {"wait", NULL};
static const char *const change[] = {"wait", "confirm_within", "dry_run", NULL};
static const char *const prune_change[] = {"prune", "wait", "confirm_within", "dry_run", NULL};
static const char *const by_group[] = {"region", "name", NULL};
static const char *const by_change[] = {"limit", "before", "region", "object", "pending", NULL};
static const char *const limited[] = {"limit", NULL};
static const char *const by_region[] = {"region", "server", NULL};
static const char *const by_server[] = {"region", "name", "security_group", NULL};

#define DOCUMENT "/v1/regions/{region}/document"
#define GROUP "/v1/security-groups/{group}"

/* HEAD is GET without a body.  A role that is not named is that of reading, a scope that is not named all regions. */
static const struct sp_route routes[] = {
    {"GET", "/v1/regions", nothing, .read = sp_read_regions, .scope = SP_SCOPE_ITSELF},
    {"GET", "/v1/regions/{region}", nothing, .read = sp_read_region, .scope = SP_SCOPE_REGION},
    {"PUT", "/v1/regions/{region}", change, .operation = &sp_region_put, .role = SP_TOKEN_ADMIN, .scope = SP_SCOPE_REGION},
    {"PATCH", "/v1/regions/{region}", change, SP_BODY_REQUIRED, .operation = &sp_region_patch,
     .role = SP_TOKEN_ADMIN, .scope = SP_SCOPE_REGION},
    {"DELETE", "/v1/regions/{region}", change, .operation = &sp_region_delete, .role = SP_TOKEN_ADMIN, .scope = SP_SCOPE_REGION},
    {"GET", DOCUMENT, nothing, .read = sp_read_document, .scope = SP_SCOPE_REGION},
    {"PUT", DOCUMENT, prune_change, SP_BODY_REQUIRED, .operation = &sp_document_put,
     .role = SP_TOKEN_OPERATOR, .scope = SP_SCOPE_REGION},
    {"GET", "/v1/security-groups", by_group, .read = sp_read_groups, .scope = SP_SCOPE_ITSELF},
    {"POST", "/v1/security-groups", change, SP_BODY_REQUIRED, .operation = &sp_group_post,
     .role = SP_TOKEN_OPERATOR, .scope = SP_SCOPE_BODY},
    {"GET", GROUP, nothing, .read = sp_read_group, .scope = SP_SCOPE_GROUP},
    {"PATCH", GROUP, change, SP_BODY_REQUIRED, .operation = &sp_group_patch, .role = SP_TOKEN_OPERATOR, .scope = SP_SCOPE_GROUP},
    {"DELETE", GROUP, change, .operation = &sp_group_delete, .role = SP_TOKEN_OPERATOR, .scope = SP_SCOPE_GROUP},
    {"GET", GROUP "/lint", nothing, .read = sp_read_lint, .scope = SP_SCOPE_GROUP},
    {"GET", GROUP "/rules", nothing, .read = sp_read_rules, .scope = SP_SCOPE_GROUP},
    {"POST", GROUP "/rules", change, SP_BODY_REQUIRED, .operation = &sp_rule_post,
     .role = SP_TOKEN_OPERATOR, .scope = SP_SCOPE_GROUP},
    {"PUT", GROUP "/rules", change, SP_BODY_REQUIRED, .operation = &sp_rules_put,
     .role = SP_TOKEN_OPERATOR, .scope = SP_SCOPE_GROUP},
    {"GET", GROUP "/rules/{rule}", nothing, .read = sp_read_rule, .scope = SP_SCOPE_GROUP},
    {"PATCH", GROUP "/rules/{rule}", change, SP_BODY_REQUIRED, .operation = &sp_rule_patch,
     .role = SP_TOKEN_OPERATOR, .scope = SP_SCOPE_GROUP},
    {"DELETE", GROUP "/rules/{rule}", change, .operation = &sp_rule_delete, .role = SP_TOKEN_OPERATOR, .scope = SP_SCOPE_GROUP},
    {"GET", "/v1/servers", by_server, .read = sp_read_servers, .scope = SP_SCOPE_ITSELF},
    {"POST", "/v1/servers", change, SP_BODY_REQUIRED, .operation = &sp_server_post,
     .role = SP_TOKEN_OPERATOR, .scope = SP_SCOPE_BODY},
    {"GET", "/v1/servers/{server}", nothing, .read = sp_read_server, .scope = SP_SCOPE_SERVER},
    {"PATCH", "/v1/servers/{server}", change, SP_BODY_REQUIRED, .operation = &sp_server_patch,
     .role = SP_TOKEN_OPERATOR, .scope = SP_SCOPE_SERVER},
    {"DELETE", "/v1/servers/{server}", change, .operation = &sp_server_delete,
     .role = SP_TOKEN_OPERATOR, .scope = SP_SCOPE_SERVER},
    {"PUT", "/v1/servers/{server}/security-groups", change, SP_BODY_REQUIRED, .operation = &sp_server_groups_put,
     .role = SP_TOKEN_OPERATOR, .scope = SP_SCOPE_SERVER},
    {"GET", "/v1/servers/{server}/connections", limited, .read = sp_read_connections, .scope = SP_SCOPE_SERVER},
    {"GET", "/v1/blocked", by_region, .read = sp_read_blocked, .scope = SP_SCOPE_ITSELF},
    {"GET", "/v1/bridges", nothing, .read = sp_read_bridges},
    {"GET", "/v1/bridges/{dpid}", nothing, .read = sp_read_bridge},
    {"PUT", "/v1/bridges/{dpid}", change, .operation = &sp_bridge_put, .role = SP_TOKEN_ADMIN},
    {"DELETE", "/v1/bridges/{dpid}", change, .operation = &sp_bridge_delete, .role = SP_TOKEN_ADMIN},
    {"POST", "/v1/explain", nothing, SP_BODY_REQUIRED, .read = sp_read_explain, .scope = SP_SCOPE_ITSELF},
    {"GET", "/v1/status", nothing, .read = sp_read_status},
    {"GET", "/v1/changes", by_change, .read = sp_read_changes, .scope = SP_SCOPE_ITSELF},
    {"GET", "/v1/changes/{change}", nothing, .read = sp_read_change, .scope = SP_SCOPE_CHANGE},
    {"POST", "/v1/changes/{change}/undo", change, .operation = &sp_change_undo,
     .role = SP_TOKEN_OPERATOR, .scope = SP_SCOPE_CHANGE},
    {"POST", "/v1/changes/{change}/confirm", wait, .operation = &sp_change_confirm,
     .role = SP_TOKEN_OPERATOR, .scope = SP_SCOPE_CHANGE},
    {"GET", "/v1/openapi.json", nothing, .read = sp_read_openapi, .scope = SP_SCOPE_ITSELF},
    {"GET", "/v1/events", nothing, .read = sp_read_events},
    {"GET", "/v1/client", nothing, .read = sp_read_client, .scope = SP_SCOPE_ITSELF},
    {"GET", "/metrics", nothing, .read = sp_read_metrics},
    {"GET", "/healthz", nothing, .read = sp_read_health, .is_open = true},
    {"GET", "/readyz", nothing, .read = sp_read_ready, .is_open = true},
    {"GET", "/", nothing, .read = sp_read_console, .is_open = true},
    {"GET", "/console/{file}", nothing, .read = sp_read_console, .is_open = true},
};
#define N_ROUTES (sizeof routes / sizeof *routes)

static size_t
segment_len(const char *p)
{
    return strcspn(p, "/");
}

static bool
path_fits(const char *pattern, const char *path)
{
    while (*pattern == '/' && *path == '/') {
        pattern++;
        path++;
        size_t pattern_len = segment_len(pattern), path_len = segment_len(path);
        bool fits = *pattern == '{' ? path_len > 0 : pattern_len == path_len && !strncmp(pattern, path, path_len);
        if (!fits) {
            return false;
        }
        pattern += pattern_len;
        path += path_len;
    }
    return !*pattern && !*path;
}

/* A name of the path that only a change which creates the object may bring along. */
static int
refuse_name(struct sp_call *call, const char *field, const char *message)
{
    if (strcmp(call->route->method, "PUT")) {
        return SP_E_MISSING;
    }
    sp_problems_add(&call->problems, field, "%s", message);
    return SP_E_INVALID;
}

/* Takes the path's segment 'text' for what 'name' of the pattern stands for. */
static int
take_segment(struct sp_call *call, const char *name, size_t name_len, const char *text)
{
    if (!strncmp(name, "{region}", name_len)) {
        call->region = text;
        return sp_decode_is_region_name(text) ? 0 : refuse_name(call, "name", "must be 1 to 64 of A-Z a-z 0-9 . _ -");
    }
    if (!strncmp(name, "{file}", name_len)) {
        return 0;
    }
    if (!strncmp(name, "{dpid}", name_len)) {
        return sp_decode_dpid(text, &call->dpid) ? refuse_name(call, "dpid", "must be 16 hexadecimal digits") : 0;
    }
    if (!strncmp(name, "{change}", name_len)) {
        return sp_decode_number(text, INT64_MAX, &call->change) ? SP_E_MISSING : 0;
    }
    return sp_uuid_parse(text, strncmp(name, "{rule}", name_len) ? &call->id : &call->rule) ? SP_E_MISSING : 0;
}

/* Fills in what the path names. */
static int
take_path(struct sp_call *call)
{
    const char *pattern = call->route->pattern, *path = sp_http_path(call->request);
    int result = 0;
    while (*pattern) {
        pattern++;
        path++;
        size_t pattern_len = segment_len(pattern), path_len = segment_len(path);
        if (*pattern == '{') {
            char *text = sp_pool_text(&call->pool, path, path_len);
            if (!text) {
                return -ENOMEM;
            }
            int r = take_segment(call, pattern, pattern_len, text);
            result = result ? result : r;
        }
        pattern += pattern_len;
        path += path_len;
    }
    return result;
}

int
sp_route_find(struct sp_call *call)
{
    const char *method = sp_http_method(call->request), *path = sp_http_path(call->request);
    bool is_known = false;
    method = strcmp(method, "HEAD") ? method : "GET";
    for (size_t i = 0; i < N_ROUTES; i++) {
        if (!path_fits(routes[i].pattern, path)) {
            continue;
        }
        is_known = true;
        if (!strcmp(routes[i].method, method)) {
            call->route = &routes[i];
            return take_path(call);
        }
    }
    return is_known ? SP_E_EXISTS : SP_E_MISSING;
}

void
sp_route_allow(const struct sp_call *call, char *out)
{
    *out = '\0';
    for (size_t i = 0; i < N_ROUTES; i++) {
        if (path_fits(routes[i].pattern, sp_http_path(call->request))) {
            size_t len = strlen(out);
            snprintf(out + len, SP_ROUTE_ALLOW_SIZE - len, "%s%s%s", len ? ", " : "", routes[i].method,
                     strcmp(routes[i].method, "GET") ? "" : ", HEAD");
        }
    }
}
