#include "controller/cli/resolve.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "controller/cli/call.h"
#include "controller/cli/columns.h"
#include "controller/cli/path.h"

struct kind {
    const char *collection; /* In paths. */
    const char *list;       /* In answers. */
    const char *noun;       /* In messages. */
};
static const struct kind groups = {"security-groups", "security_groups", "security group"};
static const struct kind servers = {"servers", "servers", "server"};

static int resolve(struct sp_cli *, const struct kind *, const char *text, const char *region, bool whole,
                   struct sp_found *);
static int take(const struct sp_json *object, struct sp_found *);
static int complain(const struct kind *, const struct sp_json *answer, const char *text, const char *region);

int
sp_resolve_group(struct sp_cli *cli, const char *text, const char *region, bool whole, struct sp_found *ret)
{
    return resolve(cli, &groups, text, region, whole, ret);
}

int
sp_resolve_server(struct sp_cli *cli, const char *text, const char *region, bool whole, struct sp_found *ret)
{
    return resolve(cli, &servers, text, region, whole, ret);
}

void
sp_found_clear(struct sp_found *found)
{
    free(found->name);
    free(found->region);
    *found = (struct sp_found){0};
}

static int
resolve(struct sp_cli *cli, const struct kind *kind, const char *text, const char *region, bool whole, struct sp_found *ret)
{
    struct sp_reply reply = {0};
    struct sp_uuid id;
    bool is_id = !sp_uuid_parse(text, &id);
    if (is_id && !whole) {
        sp_uuid_format(&id, ret->id);
        ret->name = strdup(ret->id);
        return ret->name ? SP_EXIT_DONE : sp_call_no_memory();
    }
    char *path = sp_path_format("/v1/%s", kind->collection);
    if (is_id) {
        free(path);
        path = sp_path_format("/v1/%s/%s", kind->collection, text);
    } else {
        sp_path_query(&path, "name", text);
        sp_path_query(&path, "region", region);
    }
    int status = sp_call_get(cli, path, &reply);
    if (status != SP_EXIT_DONE) {
        return status;
    }
    if (is_id) {
        status = take(reply.json, ret);
    } else if (sp_answer_count(reply.json, kind->list) == 1) {
        status = take(sp_answer_item(reply.json, kind->list, 0), ret);
    } else {
        status = complain(kind, reply.json, text, region);
    }
    sp_reply_clear(&reply);
    return status;
}

static int
take(const struct sp_json *object, struct sp_found *ret)
{
    snprintf(ret->id, sizeof ret->id, "%s", sp_answer_text(object, "id"));
    ret->name = strdup(sp_answer_text(object, "name"));
    ret->region = strdup(sp_answer_text(object, "region"));
    if (!ret->name || !ret->region) {
        sp_found_clear(ret);
        return sp_call_no_memory();
    }
    return SP_EXIT_DONE;
}

static int
complain(const struct kind *kind, const struct sp_json *answer, const char *text, const char *region)
{
    size_t n = sp_answer_count(answer, kind->list);
    if (!n) {
        return sp_cli_fail("there is no %s '%s'%s%s", kind->noun, text, region ? " in region " : "", region ? region : "");
    }
    sp_cli_fail("%zu %ss have the name '%s'; give an id%s:", n, kind->noun, text, region ? "" : " or --region");
    for (size_t i = 0; i < n; i++) {
        const struct sp_json *item = sp_answer_item(answer, kind->list, i);
        fprintf(stderr, "  %s  ", sp_answer_text(item, "id"));
        sp_text_print(stderr, sp_answer_text(item, "region"));
        putc('\n', stderr);
    }
    return SP_EXIT_REFUSED;
}
