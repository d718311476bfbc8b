#include <string.h>

#include "controller/model/batch.h"
#include "controller/model/object.h"
#include "controller/model/staging.h"

#define NAME_SIZE_MAX 64

static bool is_region_name(const char *name)
{
    size_t size = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
    return !name[size] && size >= 1 && size <= NAME_SIZE_MAX;
}

int sp_batch_put_region(struct sp_batch *batch, const char *name, bool *ret_created, struct sp_problems *problems)
{
    if (!is_region_name(name)) {
        sp_problems_add(problems, "name", "must be 1 to %d of A-Z, a-z, 0-9, '.', '_' and '-'", NAME_SIZE_MAX);
        return SP_E_INVALID;
    }
    if (sp_model_region(batch->model, name)) {
        *ret_created = false;
        return 0;
    }
    struct sp_region region = { .name = (char *) name, .reports = true, .created_at = batch->now_us };
    int r = sp_batch_draw_region(batch, &region.number);
    if (!r) {
        r = sp_batch_stage(batch, SP_KIND_REGION, NULL, sp_region_new(&region));
    }
    if (!r) {
        *ret_created = true;
    }
    return r;
}

int sp_batch_restore_region(struct sp_batch *batch, const char *name, int64_t created_at, struct sp_problems *problems)
{
    if (sp_model_region(batch->model, name)) {
        sp_problems_detail(problems, "there is a region %s already", name);
        return SP_E_EXISTS;
    }
    struct sp_region region = { .name = (char *) name, .created_at = created_at };
    int r = sp_batch_draw_region(batch, &region.number);
    return r ? r : sp_batch_stage(batch, SP_KIND_REGION, NULL, sp_region_new(&region));
}

int sp_batch_set_reports(struct sp_batch *batch, const char *name, bool reports)
{
    const struct sp_region *region = sp_model_region(batch->model, name);
    if (!region) {
        return SP_E_MISSING;
    }
    if (region->reports == reports) {
        return 0;
    }
    struct sp_region fields = *region;
    fields.reports = reports;
    return sp_batch_stage(batch, SP_KIND_REGION, region, sp_region_new(&fields));
}

static int hold_group(void *aux, const struct sp_group *group)
{
    sp_problems_hold(aux, "security_group", &group->id, group->name);
    return 0;
}

static int hold_server(void *aux, const struct sp_server *server)
{
    sp_problems_hold(aux, "server", &server->id, server->name);
    return 0;
}

int sp_batch_delete_region(struct sp_batch *batch, const char *name, struct sp_problems *problems)
{
    const struct sp_model *model = batch->model;
    const struct sp_region *region = sp_model_region(model, name);
    if (!region) {
        return SP_E_MISSING;
    }
    size_t n_groups = sp_model_count_groups(model, name), n_servers = sp_model_count_servers(model, name);
    if (n_groups || n_servers) {
        sp_problems_detail(problems, "region %s has %zu security group%s and %zu server%s", name, n_groups,
                           n_groups == 1 ? "" : "s", n_servers, n_servers == 1 ? "" : "s");
        sp_model_each_group(model, name, hold_group, problems);
        sp_model_each_server(model, name, hold_server, problems);
        return SP_E_IN_USE;
    }
    return sp_batch_stage_removal(batch, SP_KIND_REGION, region);
}
