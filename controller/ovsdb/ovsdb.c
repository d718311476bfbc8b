#include "controller/ovsdb/ovsdb.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "controller/io/transport.h"
#include "controller/obs/log.h"
#include "controller/ovsdb/follow.h"

#define PROBE_MS 5000
#define SILENT_PROBES_MAX 3 /* Silence of so many periods is death. */
#define DATABASES_MAX 4096

/* A connection. */
struct link {
    struct link *next;
    struct sp_ovsdb *ovsdb;
    struct sp_stream *stream;
    struct sp_follow follow;
    struct database *database; /* NULL: not known yet. */
    unsigned silent_probes;
    bool has_overreached;      /* Told of a bridge that its certificate may not be. */
    char peer[128];
};

/* A database that has been seen, connected or not, with what was told of it. */
struct database {
    struct database *next;
    struct sp_uuid root;
    char *name;                /* In the certificate that it came with; "": none. */
    struct sp_bindings bindings;
    struct sp_flaws flaws;
    struct sp_replica replica; /* The last one, while it is away. */
    struct link *link;         /* NULL: away. */
};

struct sp_ovsdb {
    unsigned refs; /* The owner's, the timer's, one for each link. */
    bool closed;
    struct sp_method *method;
    uv_timer_t timer;
    const struct sp_ovsdb_events *events;
    void *aux;
    struct link *links;
    struct database *databases;
    size_t n_databases;
};

static void unref(struct sp_ovsdb *ovsdb)
{
    if (--ovsdb->refs) {
        return;
    }
    while (ovsdb->databases) {
        struct database *database = ovsdb->databases;

        ovsdb->databases = database->next;
        sp_bindings_clear(&database->bindings);
        sp_flaws_clear(&database->flaws);
        sp_replica_clear(&database->replica);
        free(database->name);
        free(database);
    }
    free(ovsdb);
}

/* Tells the differences between what was told of 'database' and 'bindings', which it takes. */
static void tell(struct sp_ovsdb *ovsdb, struct database *database, struct sp_bindings *bindings)
{
    struct sp_bindings old = database->bindings;

    database->bindings = *bindings;
    for (int pass = 0; pass < 2; pass++) { /* What has ended, then what has begun. */
        const struct sp_bindings *a = pass ? bindings : &old, *b = pass ? &old : bindings;

        for (size_t i = 0, j = 0; i < a->n && !ovsdb->closed; i++) {
            while (j < b->n && sp_binding_compare(&b->items[j], &a->items[i]) < 0) {
                j++;
            }
            if (j == b->n || sp_binding_compare(&b->items[j], &a->items[i])) {
                ovsdb->events->bind(ovsdb->aux, a->items[i].iface_id, a->items[i].dpid, a->items[i].name, pass);
            }
        }
    }
    sp_bindings_clear(&old);
}

/* The same of flaws. */
static void tell_flaws(struct sp_ovsdb *ovsdb, struct database *database, struct sp_flaws *flaws)
{
    struct sp_flaws old = database->flaws;
    size_t i = 0, j = 0;

    database->flaws = *flaws;
    while ((i < old.n || j < flaws->n) && !ovsdb->closed) {
        if (j == flaws->n || (i < old.n && old.items[i].dpid < flaws->items[j].dpid)) {
            ovsdb->events->flaw(ovsdb->aux, old.items[i++].dpid, NULL);
            continue;
        }
        bool was_there = i < old.n && old.items[i].dpid == flaws->items[j].dpid;

        if (!was_there || old.items[i].text != flaws->items[j].text) {
            ovsdb->events->flaw(ovsdb->aux, flaws->items[j].dpid, flaws->items[j].text);
        }
        i += was_there;
        j++;
    }
    sp_flaws_clear(&old);
}

/* The entry of the database whose root row is 'root' and whose certificate has 'name', made if need be.  NULL: no memory, or too
 * many. */
static struct database *know(struct sp_ovsdb *ovsdb, const struct sp_uuid *root, const char *name)
{
    struct database *database = ovsdb->databases;

    while (database && !(sp_uuid_equal(&database->root, root) && !strcmp(database->name, name))) {
        database = database->next;
    }
    if (!database && ovsdb->n_databases < DATABASES_MAX) {
        char *copy = strdup(name);

        database = copy ? calloc(1, sizeof *database) : NULL;
        if (!database) {
            free(copy);
        } else {
            database->root = *root;
            database->name = copy;
            sp_replica_init(&database->replica);
            database->next = ovsdb->databases;
            ovsdb->databases = database;
            ovsdb->n_databases++;
        }
    }
    return database;
}

/* 'link' speaks for its database no more; what it knew stays with the database. */
static void leave(struct link *link)
{
    if (link->database) {
        link->database->replica = link->follow.replica;
        sp_replica_init(&link->follow.replica);
        link->database->link = NULL;
        link->database = NULL;
    }
}

/* Leaves only what the peer of 'link' may tell in 'flaws'. */
static void restrict_flaws(const struct link *link, struct sp_flaws *flaws)
{
    size_t n = 0;

    for (size_t i = 0; i < flaws->n; i++) {
        if (sp_stream_may_be(link->stream, flaws->items[i].dpid)) {
            flaws->items[n++] = flaws->items[i];
        }
    }
    flaws->n = n;
}

/* The same of 'bindings'. */
static void restrict_bindings(struct link *link, struct sp_bindings *bindings)
{
    size_t n = 0;

    for (size_t i = 0; i < bindings->n; i++) {
        struct sp_binding *binding = &bindings->items[i];

        if (sp_stream_may_be(link->stream, binding->dpid)) {
            bindings->items[n++] = *binding;
            continue;
        }
        if (!link->has_overreached) {
            link->has_overreached = true;
            sp_log(SP_LOG_WARNING, "ovsdb",
                   "%s: not believed about datapath %016" PRIx64 ": its certificate may not be it: \"%s\", %s", link->peer,
                   binding->dpid, sp_stream_name(link->stream), sp_stream_fingerprint(link->stream));
        }
        free(binding->iface_id);
        free(binding->name);
    }
    bindings->n = n;
}

/* The replica of 'link', or what it may tell, has changed. */
static void update(struct link *link)
{
    struct sp_ovsdb *ovsdb = link->ovsdb;
    struct sp_bindings bindings;
    struct sp_flaws flaws;

    if (sp_uuid_is_none(&link->follow.replica.root)) {
        return; /* Nobody has written to this database yet. */
    }
    if (!link->database) {
        struct database *database = know(ovsdb, &link->follow.replica.root, sp_stream_name(link->stream));

        if (!database) {
            sp_stream_close(link->stream, "no room for one more database");
            return;
        }
        if (database->link) {
            sp_stream_close(database->link->stream, "the same database has connected again");
            leave(database->link);
        }
        sp_replica_inherit(&link->follow.replica, &database->replica);
        sp_replica_clear(&database->replica);
        database->link = link;
        link->database = database;
        sp_log(SP_LOG_INFO, "ovsdb", "%s: following, %zu rows", link->peer, link->follow.replica.n_rows);
    }
    if (sp_replica_bindings(&link->follow.replica, &bindings)) {
        sp_stream_close(link->stream, "no memory");
        return;
    }
    restrict_bindings(link, &bindings);
    tell(ovsdb, link->database, &bindings);
    if (sp_replica_flaws(&link->follow.replica, &flaws)) {
        sp_stream_close(link->stream, "no memory");
        return;
    }
    restrict_flaws(link, &flaws);
    tell_flaws(ovsdb, link->database, &flaws);
}

static void on_receive(void *aux, const void *data, size_t size)
{
    struct link *link = aux;

    link->silent_probes = 0;
    if (link->ovsdb->closed) {
        return;
    }
    if (sp_follow_receive(&link->follow, data, size)) {
        sp_stream_close(link->stream, link->follow.why);
        return;
    }
    if (sp_follow_take_change(&link->follow)) {
        update(link);
    }
    if (link->follow.out_size) {
        sp_stream_wake(link->stream);
    }
}

static void on_writable(void *aux)
{
    struct link *link = aux;
    char out[4096];
    size_t size = sp_follow_output(&link->follow, out, sizeof out);

    if (size && sp_stream_send(link->stream, out, size)) {
        sp_stream_close(link->stream, "cannot send");
    } else if (size) {
        sp_stream_wake(link->stream);
    }
}

static void on_closed(void *aux, const char *why)
{
    struct link *link = aux, **at = &link->ovsdb->links;

    if (!link->ovsdb->closed) {
        sp_log(SP_LOG_WARNING, "ovsdb", "%s: %s", link->peer, why);
    }
    while (*at != link) {
        at = &(*at)->next;
    }
    *at = link->next;
    leave(link);
    sp_follow_clear(&link->follow);
    unref(link->ovsdb);
    free(link);
}

static void on_connected(void *aux, struct sp_stream *stream, const char *peer)
{
    static const struct sp_stream_events events = {.receive = on_receive, .writable = on_writable, .closed = on_closed};
    struct sp_ovsdb *ovsdb = aux;
    struct link *link = calloc(1, sizeof *link);

    if (!link) {
        return; /* A stream that is not taken is closed. */
    }
    if (sp_follow_init(&link->follow)) {
        sp_follow_clear(&link->follow);
        free(link);
        return;
    }
    link->ovsdb = ovsdb;
    link->stream = stream;
    snprintf(link->peer, sizeof link->peer, "%s", peer);
    link->next = ovsdb->links;
    ovsdb->links = link;
    ovsdb->refs++;
    sp_stream_start(stream, &events, link);
}

static void on_probe(uv_timer_t *timer)
{
    struct sp_ovsdb *ovsdb = timer->data;

    for (struct link *link = ovsdb->links; link; link = link->next) {
        if (++link->silent_probes >= SILENT_PROBES_MAX) {
            sp_stream_close(link->stream, "the server is silent");
        } else if (sp_follow_echo(&link->follow)) {
            sp_stream_close(link->stream, "the server does not read");
        } else {
            sp_stream_wake(link->stream);
        }
    }
}

static void on_timer_closed(uv_handle_t *handle)
{
    unref(handle->data);
}

int sp_ovsdb_open(uv_loop_t *loop, const char *method, struct sp_tls *tls, const struct sp_ovsdb_events *events, void *aux,
                  struct sp_ovsdb **ret, char *why, size_t why_size)
{
    static const struct sp_transport_events transport_events = {.connected = on_connected};
    struct sp_ovsdb *ovsdb = calloc(1, sizeof *ovsdb);
    int r;

    if (!ovsdb) {
        snprintf(why, why_size, "%s: out of memory", method);
        return -ENOMEM;
    }
    ovsdb->events = events;
    ovsdb->aux = aux;
    r = sp_method_open(loop, method, tls, &transport_events, ovsdb, &ovsdb->method, why, why_size);
    if (r) {
        free(ovsdb);
        return r;
    }
    ovsdb->refs = 2;
    uv_timer_init(loop, &ovsdb->timer);
    ovsdb->timer.data = ovsdb;
    uv_timer_start(&ovsdb->timer, on_probe, PROBE_MS, PROBE_MS);
    *ret = ovsdb;
    return 0;
}

void sp_ovsdb_close(struct sp_ovsdb *ovsdb)
{
    if (!ovsdb) {
        return;
    }
    ovsdb->closed = true;
    sp_method_close(ovsdb->method);
    for (struct link *link = ovsdb->links; link; link = link->next) {
        sp_stream_close(link->stream, "stopping");
    }
    uv_close((uv_handle_t *) &ovsdb->timer, on_timer_closed);
    unref(ovsdb);
}

void sp_ovsdb_check_peers(struct sp_ovsdb *ovsdb)
{
    for (struct link *link = ovsdb->links; link; link = link->next) {
        link->has_overreached = false;
        if (link->database) {
            update(link);
        }
    }
}

uint16_t sp_ovsdb_port(const struct sp_ovsdb *ovsdb)
{
    return sp_method_port(ovsdb->method);
}
