#include "controller/http/connection.h"

void
sp_http_connections_add(struct connections *all, struct connection *c)
{
    c->next = all->first;
    if (c->next) {
        c->next->prev = c;
    }
    all->first = c;
    all->n++;
}

void
sp_http_connections_remove(struct connections *all, struct connection *c)
{
    if (c->prev) {
        c->prev->next = c->next;
    } else {
        all->first = c->next;
    }
    if (c->next) {
        c->next->prev = c->prev;
    }
    all->n--;
    all->n_cut -= c->is_cut;
}

struct connection *
sp_http_connections_longest(const struct connections *all)
{
    struct connection *longest = NULL;

    for (struct connection *c = all->first; c; c = c->next) {
        if (!c->is_cut && c->state != WORKING && c->state != STREAMING && (!longest || c->since_ms <= longest->since_ms)) {
            longest = c;
        }
    }
    return longest;
}
