#include "sallyport/flow.h"

#include <errno.h>
#include <stdlib.h>

void sp_flow_list_init(struct sp_flow_list *list)
{
    *list = (struct sp_flow_list){0};
}

void sp_flow_list_clear(struct sp_flow_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        sp_flow_unref(list->flows[i]);
    }
    free(list->flows);
    sp_flow_list_init(list);
}

int sp_flow_list_take(struct sp_flow_list *list, struct sp_flow *flow)
{
    if (list->n == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 16;
        struct sp_flow **flows = reallocarray(list->flows, capacity, sizeof *flows);

        if (!flows) {
            sp_flow_unref(flow);
            return -ENOMEM;
        }
        list->flows = flows;
        list->capacity = capacity;
    }
    list->flows[list->n++] = flow;
    return 0;
}

int sp_flow_list_add(struct sp_flow_list *list, const struct sp_flow_build *build)
{
    struct sp_flow *flow;
    int r = sp_flow_build_done(build, &flow);

    return r ? r : sp_flow_list_take(list, flow);
}
