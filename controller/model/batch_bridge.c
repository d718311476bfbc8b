#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/model/batch.h"
#include "controller/model/object.h"
#include "controller/model/staging.h"

static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/* Notes each uplink that is empty, given twice or a server's port. */
static void check_uplinks(const struct sp_batch *batch, uint64_t dpid, const char *const *uplinks, const char *const *sorted,
                          size_t n, struct sp_problems *problems)
{
    for (size_t i = 0; i < n; i++) {
        char field[32];
        snprintf(field, sizeof field, "uplinks[%zu]", i);
        const char *const *same = bsearch(&uplinks[i], sorted, n, sizeof *sorted, compare_strings);
        bool is_twice = (same > sorted && !strcmp(same[-1], uplinks[i]))
                        || (same < sorted + n - 1 && !strcmp(same[1], uplinks[i]));
        if (!*uplinks[i]) {
            sp_problems_add(problems, field, "must be the name of an OpenFlow port");
        } else if (is_twice) {
            sp_problems_add(problems, field, "is in the list twice");
        } else if (sp_model_find(batch->model, SP_INDEX_NAMED_PORTS, &(struct sp_name_key) { dpid, uplinks[i] })) {
            sp_problems_add(problems, field, "is a server's port on this bridge, so it cannot be an uplink");
        }
    }
}

static bool uplinks_are_equal(const struct sp_bridge *bridge, const char *const *uplinks, size_t n)
{
    if (bridge->n_uplinks != n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (strcmp(bridge->uplinks[i], uplinks[i])) {
            return false;
        }
    }
    return true;
}

int sp_batch_put_bridge(struct sp_batch *batch, uint64_t dpid, const char *const *uplinks, size_t n, bool *ret_created,
                        struct sp_problems *problems)
{
    size_t n_problems = problems->n + problems->n_lost;
    if (n) {
        const char **sorted = calloc(n, sizeof *sorted);
        if (!sorted) {
            return -ENOMEM;
        }
        memcpy(sorted, uplinks, n * sizeof *sorted);
        qsort(sorted, n, sizeof *sorted, compare_strings);
        check_uplinks(batch, dpid, uplinks, sorted, n, problems);
        free(sorted);
    }
    if (problems->n + problems->n_lost > n_problems) {
        return SP_E_INVALID;
    }

    const struct sp_bridge *old = sp_model_bridge(batch->model, dpid);
    if (!old || !uplinks_are_equal(old, uplinks, n)) {
        struct sp_bridge bridge = { .dpid = dpid, .uplinks = (char **) uplinks, .n_uplinks = n,
                                    .created_at = old ? old->created_at : batch->now_us };
        int r = sp_batch_stage(batch, SP_KIND_BRIDGE, old, sp_bridge_new(&bridge));
        if (r) {
            return r;
        }
    }
    *ret_created = !old;
    return 0;
}

static int compare_servers(const void *a, const void *b)
{
    return sp_uuid_compare(&(*(const struct sp_server *const *) a)->id, &(*(const struct sp_server *const *) b)->id);
}

int sp_batch_delete_bridge(struct sp_batch *batch, uint64_t dpid, struct sp_problems *problems)
{
    const struct sp_bridge *bridge = sp_model_bridge(batch->model, dpid);
    if (!bridge) {
        return SP_E_MISSING;
    }
    const struct sp_index_node *head = sp_model_find(batch->model, SP_INDEX_BRIDGE_PORTS, &dpid);
    if (!head) {
        return sp_batch_stage_removal(batch, SP_KIND_BRIDGE, bridge);
    }
    struct sp_vector servers = { 0 };
    for (const struct sp_index_node *node = head; node; node = sp_index_next(head, node)) {
        const struct sp_server **server = sp_vector_add(&servers, sizeof *server);
        if (!server) {
            sp_vector_clear(&servers);
            return -ENOMEM;
        }
        *server = sp_node_entry(node)->server;
    }
    sp_vector_sort_unique(&servers, sizeof(const struct sp_server *), compare_servers);
    sp_problems_detail(problems, "ports of %zu server%s are on bridge %016" PRIx64, servers.n, servers.n == 1 ? "" : "s", dpid);
    for (size_t i = 0; i < servers.n; i++) {
        const struct sp_server *server = ((const struct sp_server **) servers.items)[i];
        sp_problems_hold(problems, "server", &server->id, server->name);
    }
    sp_vector_clear(&servers);
    return SP_E_IN_USE;
}
