#include "controller/api/names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/json/json.h"

static int
compare_names(const void *a, const void *b)
{
    const struct sp_name *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static int
compare_ids(const void *a, const void *b)
{
    const struct sp_name *x = a, *y = b;
    return sp_uuid_compare(&x->id, &y->id);
}

static int
compare_both(const void *a, const void *b)
{
    int order = compare_names(a, b);
    return order ? order : compare_ids(a, b);
}

int
sp_names_init(struct sp_names *names, struct sp_pool *pool, struct sp_name *list, size_t n)
{
    struct sp_name *by_id = sp_pool_alloc(pool, n, sizeof *by_id);
    if (!by_id) {
        return -ENOMEM;
    }
    if (n) {
        memcpy(by_id, list, n * sizeof *by_id);
        qsort(by_id, n, sizeof *by_id, compare_ids);
        qsort(list, n, sizeof *list, compare_both);
    }
    *names = (struct sp_names){.by_name = list, .by_id = by_id, .n = n};
    return 0;
}

const struct sp_name *
sp_names_called(const struct sp_names *names, const char *name, size_t *ret_n)
{
    const struct sp_name key = {.name = name};
    const struct sp_name *first = names->n ? bsearch(&key, names->by_name, names->n, sizeof key, compare_names) : NULL;
    *ret_n = 0;
    if (!first) {
        return NULL;
    }
    while (first > names->by_name && !strcmp(first[-1].name, name)) {
        first--;
    }
    const struct sp_name *end = names->by_name + names->n;
    for (const struct sp_name *some = first; some < end && !strcmp(some->name, name); some++) {
        ++*ret_n;
    }
    return first;
}

static const struct sp_name *
find_id(const struct sp_names *names, const struct sp_uuid *id)
{
    const struct sp_name key = {.id = *id};
    return names->n ? bsearch(&key, names->by_id, names->n, sizeof key, compare_ids) : NULL;
}

bool
sp_names_have(const struct sp_names *names, const struct sp_uuid *id)
{
    return find_id(names, id);
}

bool
sp_names_need_id(const struct sp_names *names, const char *name)
{
    struct sp_uuid id;
    size_t n;
    sp_names_called(names, name, &n);
    return n > 1 || !sp_uuid_parse(name, &id);
}

const char *
sp_names_key(const struct sp_names *names, const struct sp_uuid *id, char out[SP_UUID_TEXT_SIZE])
{
    const struct sp_name *found = find_id(names, id);
    return found && !sp_names_need_id(names, found->name) ? found->name : sp_uuid_format(id, out);
}

int
sp_names_read(const struct sp_names *names, const struct sp_json *value, struct sp_uuid *ret, char wrong[SP_NAMES_WRONG_SIZE])
{
    if (value->type != SP_JSON_STRING) {
        snprintf(wrong, SP_NAMES_WRONG_SIZE, "must be the name of a security group");
        return SP_E_INVALID;
    }
    if (!sp_uuid_parse(value->string, ret)) {
        if (sp_names_have(names, ret)) {
            return 0;
        }
        snprintf(wrong, SP_NAMES_WRONG_SIZE, "no security group that there will be has this id");
        return SP_E_INVALID;
    }
    size_t n;
    const struct sp_name *found = sp_names_called(names, value->string, &n);
    if (n == 1) {
        *ret = found->id;
        return 0;
    }
    if (n) {
        snprintf(wrong, SP_NAMES_WRONG_SIZE, "%zu security groups have this name: give the id of one", n);
    } else {
        snprintf(wrong, SP_NAMES_WRONG_SIZE, "no security group that there will be has this name");
    }
    return SP_E_INVALID;
}
