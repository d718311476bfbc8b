#include "controller/api/access.h"

#include <stdio.h>
#include <string.h>

#include "controller/json/json.h"

static int
refuse_region(char *why, size_t why_size)
{
    snprintf(why, why_size, "This token is not for that region.");
    return SP_E_IN_USE;
}

bool
sp_access_sees(const struct sp_call *call, const char *region)
{
    return !call->token || sp_token_is_for(call->token, region);
}

bool
sp_access_sees_change(const struct sp_call *call, const struct sp_history_record *record)
{
    bool has_region = false;
    if (!call->token || sp_token_is_for_all(call->token)) {
        return true;
    }
    for (size_t i = 0; i < record->n_objects; i++) {
        const char *region = record->objects[i].region;
        if (region && !sp_access_sees(call, region)) {
            return false;
        }
        has_region |= region != NULL;
    }
    return has_region;
}

/* What is about a change needs the role that the change needed, if it is more than to look at it. */
static int
check_change(const struct sp_call *call, char *why, size_t why_size)
{
    const struct sp_history_entry *entry = sp_history_find(call->api->history, call->change);
    if (!entry || !sp_access_sees_change(call, &entry->record)) {
        snprintf(why, why_size, "There is no such change in the history.");
        return SP_E_MISSING;
    }
    const char *role = sp_token_role_name(sp_token_role(call->token));
    if (call->route->operation && sp_token_role(call->token) < SP_TOKEN_ADMIN && strcmp(entry->record.role, role)) {
        snprintf(why, why_size, "This token has the role %s; the change needed %s.", role, entry->record.role);
        return SP_E_IN_USE;
    }
    return 0;
}

int
sp_access_check(const struct sp_call *call, char *why, size_t why_size)
{
    const struct sp_token *token = call->token;
    const struct sp_route *route = call->route;
    if (!token || route->is_open) {
        return 0;
    }
    if (sp_token_role(token) < route->role) {
        snprintf(why, why_size, "This token has the role %s; the call needs %s.", sp_token_role_name(sp_token_role(token)),
                 sp_token_role_name(route->role));
        return SP_E_IN_USE;
    }
    const struct sp_model *model = sp_call_model(call);
    const struct sp_group *group;
    const struct sp_server *server;
    switch (route->scope) {
    case SP_SCOPE_ALL:
        if (!sp_token_is_for_all(token)) {
            snprintf(why, why_size, "This token is for some regions only, and the call is about all of them.");
            return SP_E_IN_USE;
        }
        return 0;
    case SP_SCOPE_REGION:
        return call->region && !sp_access_sees(call, call->region) ? refuse_region(why, why_size) : 0;
    case SP_SCOPE_GROUP:
        group = sp_model_group(model, &call->id);
        snprintf(why, why_size, "There is no such security group.");
        return group && !sp_access_sees(call, group->region) ? SP_E_MISSING : 0;
    case SP_SCOPE_SERVER:
        server = sp_model_server(model, &call->id);
        snprintf(why, why_size, "There is no such server.");
        return server && !sp_access_sees(call, server->region) ? SP_E_MISSING : 0;
    case SP_SCOPE_CHANGE:
        return check_change(call, why, why_size);
    case SP_SCOPE_BODY:
    case SP_SCOPE_ITSELF:
        break;
    }
    return 0;
}

int
sp_access_check_body(const struct sp_call *call, char *why, size_t why_size)
{
    const struct sp_json *region = call->token && call->route->scope == SP_SCOPE_BODY ? sp_json_get(call->body, "region") : NULL;
    /* What is no name is refused when the body is decoded. */
    return region && region->type == SP_JSON_STRING && !sp_access_sees(call, region->string) ? refuse_region(why, why_size) : 0;
}
