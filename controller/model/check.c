#include <stdio.h>
#include <string.h>

#include "controller/model/staging.h"
#include "sallyport/utf8.h"

#define NAME_CHARACTERS_MAX 255

const struct sp_region *sp_batch_check_region(const struct sp_batch *batch, const char *name, struct sp_problems *problems)
{
    const struct sp_region *region = name ? sp_model_region(batch->model, name) : NULL;
    if (!region) {
        sp_problems_add(problems, "region", "no such region");
    }
    return region;
}

static bool is_name(const char *name)
{
    size_t n = 0, left = strlen(name);
    for (size_t size; left; name += size, left -= size, n++) {
        size = sp_utf8_size(name, left);
        if (!size || sp_utf8_is_control(name, size)) {
            return false;
        }
    }
    return n >= 1 && n <= NAME_CHARACTERS_MAX;
}

void sp_batch_check_name(const char *name, struct sp_problems *problems)
{
    if (!name || !is_name(name)) {
        sp_problems_add(problems, "name", "must be 1 to %d characters of UTF-8 without control characters", NAME_CHARACTERS_MAX);
    }
}

void sp_batch_check_remotes(const struct sp_batch *batch, const char *region, const struct sp_rule_input *rules, size_t n,
                            struct sp_problems *problems)
{
    for (size_t i = 0; i < n; i++) {
        if (rules[i].meaning.remote != SP_REMOTE_GROUP) {
            continue;
        }
        const struct sp_group *group = sp_model_group(batch->model, &rules[i].meaning.remote_group);
        if (!group || strcmp(group->region, region)) {
            char field[128];
            snprintf(field, sizeof field, "%sremote_group", rules[i].path ? rules[i].path : "");
            sp_problems_add(problems, field, "no such security group in region %s", region);
        }
    }
}
