#include "controller/blocked.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/model/index.h"

/* A ring with its head among the links; the last seen follows the head. */
struct link {
    struct link *prev;
    struct link *next;
};

struct port {
    struct sp_index_node node;
    struct sp_uuid id;
    struct link entries; /* By struct item.of_port. */
    size_t n;
};

struct item {
    struct link of_port; /* First: see item_of_port(). */
    struct link of_all;
    struct sp_index_node node;
    struct port *port;
    struct sp_blocked_entry entry;
};

struct sp_blocked {
    uint64_t seed;
    size_t max;
    size_t n;
    uint64_t n_evicted;
    struct sp_index items; /* By key. */
    struct sp_index ports; /* By id; those that have entries. */
    struct link all;
};

static struct item *
item_of_port(struct link *link)
{
    return (struct item *) link;
}

static struct item *
item_of_all(struct link *link)
{
    return (struct item *) ((char *) link - offsetof(struct item, of_all));
}

static void
link_init(struct link *link)
{
    link->prev = link->next = link;
}

static void
unlink_it(struct link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
}

static void
put_first(struct link *head, struct link *link)
{
    link->prev = head;
    link->next = head->next;
    head->next->prev = link;
    head->next = link;
}

static bool
match_item(const struct sp_index_node *node, const void *key)
{
    const struct item *item = node->owner;
    return !memcmp(&item->entry.key, key, sizeof item->entry.key);
}

static bool
match_port(const struct sp_index_node *node, const void *key)
{
    return sp_uuid_equal(&((const struct port *) node->owner)->id, key);
}

static uint32_t
hash_key(const struct sp_blocked *blocked, const struct sp_blocked_key *key)
{
    return sp_index_hash(blocked->seed, key, sizeof *key);
}

static uint32_t
hash_port(const struct sp_blocked *blocked, const struct sp_uuid *port)
{
    return sp_index_hash(blocked->seed, port, sizeof *port);
}

struct sp_blocked *
sp_blocked_new(uint64_t seed, size_t max)
{
    struct sp_blocked *blocked = calloc(1, sizeof *blocked);
    if (blocked) {
        blocked->seed = seed;
        blocked->max = max;
        sp_index_init(&blocked->items, match_item);
        sp_index_init(&blocked->ports, match_port);
        link_init(&blocked->all);
    }
    return blocked;
}

static struct port *
find_port(const struct sp_blocked *blocked, const struct sp_uuid *id)
{
    struct sp_index_node *node = sp_index_find(&blocked->ports, hash_port(blocked, id), id);
    return node ? node->owner : NULL;
}

/* Removes 'item', and its port with its last one. */
static void
drop(struct sp_blocked *blocked, struct item *item)
{
    struct port *port = item->port;
    unlink_it(&item->of_port);
    unlink_it(&item->of_all);
    sp_index_remove(&blocked->items, &item->node, hash_key(blocked, &item->entry.key), &item->entry.key);
    blocked->n--;
    free(item);
    if (!--port->n) {
        sp_index_remove(&blocked->ports, &port->node, hash_port(blocked, &port->id), &port->id);
        free(port);
    }
}

void
sp_blocked_free(struct sp_blocked *blocked)
{
    if (blocked) {
        while (blocked->n) {
            drop(blocked, item_of_all(blocked->all.next));
        }
        sp_index_clear(&blocked->items);
        sp_index_clear(&blocked->ports);
        free(blocked);
    }
}

static struct port *
make_port(struct sp_blocked *blocked, const struct sp_uuid *id)
{
    struct port *port = calloc(1, sizeof *port);
    if (port) {
        port->id = *id;
        port->node.owner = port;
        link_init(&port->entries);
        sp_index_add(&blocked->ports, &port->node, hash_port(blocked, id), id);
    }
    return port;
}

/* Makes room for one more of 'id'. */
static void
evict(struct sp_blocked *blocked, const struct sp_uuid *id)
{
    struct port *port = find_port(blocked, id);
    if (port && port->n >= SP_BLOCKED_PER_PORT) {
        drop(blocked, item_of_port(port->entries.prev));
        blocked->n_evicted++;
    } else if (blocked->n >= blocked->max) {
        drop(blocked, item_of_all(blocked->all.prev));
        blocked->n_evicted++;
    }
}

int
sp_blocked_add(struct sp_blocked *blocked, const struct sp_blocked_key *key, const struct sp_uuid *group, int64_t now_us)
{
    struct sp_index_node *node = sp_index_find(&blocked->items, hash_key(blocked, key), key);
    struct item *item = node ? node->owner : NULL;
    if (item) {
        unlink_it(&item->of_port);
        unlink_it(&item->of_all);
    } else {
        item = calloc(1, sizeof *item);
        if (!item) {
            return -ENOMEM;
        }
        evict(blocked, &key->port);
        struct port *port = find_port(blocked, &key->port);
        port = port ? port : make_port(blocked, &key->port);
        if (!port) {
            free(item);
            return -ENOMEM;
        }
        item->port = port;
        item->entry = (struct sp_blocked_entry) { .group = *group, .first_us = now_us };
        memcpy(&item->entry.key, key, sizeof *key);
        item->node.owner = item;
        sp_index_add(&blocked->items, &item->node, hash_key(blocked, key), key);
        port->n++;
        blocked->n++;
    }
    put_first(&item->port->entries, &item->of_port);
    put_first(&blocked->all, &item->of_all);
    item->entry.n++;
    item->entry.last_us = now_us;
    return 0;
}

void
sp_blocked_forget(struct sp_blocked *blocked, const struct sp_uuid *id)
{
    struct port *port = find_port(blocked, id);
    struct link *next = port ? port->entries.next : NULL;
    for (size_t n = port ? port->n : 0; n; n--) {
        struct item *item = item_of_port(next);
        next = next->next;
        drop(blocked, item);
    }
}

int
sp_blocked_each(const struct sp_blocked *blocked, const struct sp_uuid *id, sp_visit_blocked *visit, void *aux)
{
    const struct port *port = find_port(blocked, id);
    for (struct link *link = port ? port->entries.next : NULL; link && link != &port->entries; link = link->next) {
        int r = visit(aux, &item_of_port(link)->entry);
        if (r) {
            return r;
        }
    }
    return 0;
}

size_t
sp_blocked_count(const struct sp_blocked *blocked)
{
    return blocked->n;
}

uint64_t
sp_blocked_evicted(const struct sp_blocked *blocked)
{
    return blocked->n_evicted;
}
