#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/engine_state.h"
#include "controller/obs/log.h"

#define COMPLAINTS_MS 10000 /* In this time ... */
#define COMPLAINTS_MAX 5    /* ... so many lines about connections that come to nothing. */
#define REFUSED_LOG_MS 60000

static void on_connected(void *aux, struct sp_stream *, const char *peer);
static void on_newcomer_event(void *aux, struct sp_link *, struct sp_event *);
static void on_newcomer_closed(void *aux, struct sp_link *);
static void on_event(void *aux, struct sp_link *, struct sp_event *);
static void on_closed(void *aux, struct sp_link *);
static void forget_newcomer(struct sp_newcomer *);
static void refuse(struct sp_datapath *, struct sp_link *);
static void refuse_identity(struct sp_link *, uint64_t dpid);
static void enforce(struct sp_datapath *);
static void run(struct sp_datapath *);
static void complain(struct sp_engine *, const char *peer, const char *why);

const struct sp_transport_events sp_engine_transport_events = { on_connected };

static const struct sp_link_events newcomer_events = { on_newcomer_event, on_newcomer_closed };
static const struct sp_link_events link_events = { on_event, on_closed };

void
sp_engine_close_links(struct sp_engine *engine)
{
    for (struct sp_newcomer *newcomer = engine->newcomers.next; newcomer != &engine->newcomers; newcomer = newcomer->next) {
        sp_link_close(newcomer->link, "the controller is stopping");
    }
    size_t cursor = 0;
    for (struct sp_index_node *node = NULL; (node = sp_index_next_head(&engine->datapaths, node, &cursor));) {
        struct sp_link *link = sp_switch_link(((struct sp_datapath *) node->owner)->sw);
        if (link) {
            sp_link_close(link, "the controller is stopping");
        }
    }
}

void
sp_engine_check_peers(struct sp_engine *engine)
{
    size_t cursor = 0;
    for (struct sp_index_node *node = NULL; (node = sp_index_next_head(&engine->datapaths, node, &cursor));) {
        struct sp_datapath *dp = node->owner;
        struct sp_link *link = sp_switch_link(dp->sw);
        if (link && !sp_link_may_be(link, dp->dpid)) {
            refuse_identity(link, dp->dpid);
        }
    }
}

void
sp_engine_begin_expecting(struct sp_engine *engine)
{
    if (sp_engine_expects(engine)) {
        return;
    }
    size_t cursor = 0;
    for (struct sp_index_node *node = NULL; (node = sp_index_next_head(&engine->datapaths, node, &cursor));) {
        struct sp_datapath *dp = node->owner;
        if (dp->expecting) {
            sp_datapath_begin(dp);
        }
    }
}

void
sp_datapath_ports_done(struct sp_datapath *dp)
{
    struct sp_engine *engine = dp->engine;
    dp->begun_ms = sp_engine_now(engine);
    bool adopted = sp_model_bridge(engine->model, dp->dpid) != NULL;
    dp->ports_known = true;
    sp_datapath_notice(dp);
    sp_log(SP_LOG_INFO, "engine", "bridge %016" PRIx64 " (%s, Open vSwitch %s) is connected from %s, OpenFlow 1.%u, %zu ports%s",
           dp->dpid, dp->ready.name, dp->ready.software, sp_link_peer(sp_switch_link(dp->sw)), dp->ready.version - 1u,
           dp->ofports.n_heads, adopted ? "" : "; it is not adopted and stays as it is");
    dp->expecting = adopted;
    if (adopted && sp_engine_expects(engine)) {
        sp_log(SP_LOG_INFO, "engine",
               "bridge %016" PRIx64 " stays as it is until OVSDB has told where all ports are, for %d s at most",
               dp->dpid, SP_ENGINE_EXPECT_MS / 1000);
    } else if (adopted) {
        sp_datapath_begin(dp);
    } else if (dp->releasing) {
        sp_datapath_begin_released(dp);
    }
}

void
sp_datapath_begin(struct sp_datapath *dp)
{
    dp->expecting = dp->beginning = true;
    if (!dp->projected) {
        sp_datapath_shout(dp);
        sp_datapath_begin_projecting(dp);
        /* The switch gathers its answer meanwhile. */
        sp_switch_begin(dp->sw, sp_engine_now(dp->engine));
        run(dp);
    }
    sp_datapath_queue(dp);
}

void
sp_datapath_begin_released(struct sp_datapath *dp)
{
    if (dp->projected) {
        sp_datapath_unproject(dp);
        sp_switch_ignore(dp->sw);
    }
    dp->expecting = dp->beginning = false;
    enforce(dp);
}

static void
enforce(struct sp_datapath *dp)
{
    sp_switch_enforce(dp->sw, sp_engine_now(dp->engine));
    run(dp);
}

static void
run(struct sp_datapath *dp)
{
    const struct sp_engine *engine = dp->engine;
    sp_switch_run(dp->sw, sp_model_counters(engine->model)->revision, sp_engine_now(engine));
}

bool
sp_datapath_begin_step(struct sp_datapath *dp)
{
    sp_engine_refresh_sets(dp->engine);
    if (sp_datapath_resolve_next(dp) || sp_datapath_compile_next(dp)) {
        return true;
    }
    dp->expecting = dp->beginning = false;
    enforce(dp);
    sp_datapath_notice(dp);
    return false;
}

static void
on_connected(void *aux, struct sp_stream *stream, const char *peer)
{
    struct sp_engine *engine = aux;
    struct sp_newcomer *newcomer = calloc(1, sizeof *newcomer);
    if (!newcomer || engine->stopping) {
        free(newcomer);
        return;
    }
    newcomer->engine = engine;
    newcomer->link = sp_link_new(engine->loop, stream, peer, &newcomer_events, newcomer);
    if (!newcomer->link) {
        free(newcomer);
        return;
    }
    newcomer->next = &engine->newcomers;
    newcomer->prev = engine->newcomers.prev;
    newcomer->prev->next = newcomer;
    engine->newcomers.prev = newcomer;
    engine->n_links++;
}

/* Until it is ready a connection has no other event. */
static void
on_newcomer_event(void *aux, struct sp_link *link, struct sp_event *event)
{
    struct sp_newcomer *newcomer = aux;
    struct sp_engine *engine = newcomer->engine;
    sp_flow_unref(event->flow);
    if (event->kind != SP_EVENT_READY) {
        return;
    }
    if (!sp_link_may_be(link, event->ready.dpid)) {
        refuse_identity(link, event->ready.dpid);
        return;
    }
    struct sp_datapath *dp = sp_engine_datapath(engine, event->ready.dpid);
    if (dp && dp->gone) {
        sp_datapath_end_link(dp); /* Its turn has not come yet. */
    }
    dp = sp_engine_make_datapath(engine, event->ready.dpid);
    if (!dp) {
        sp_link_close(link, "out of memory");
        return;
    }
    if (sp_switch_link(dp->sw)) {
        refuse(dp, link);
        return;
    }
    forget_newcomer(newcomer);
    if (dp->refused_ms) {
        /* It was its own last connection that stood in its way, dead and not known to be; another bridge will try again soon. */
        dp->refused_ms = 0;
        sp_switch_complain(dp->sw, NULL);
    }
    sp_link_set_events(link, &link_events, dp);
    sp_switch_attach(dp->sw, link);
    dp->ready = event->ready;
    dp->ports_known = false;
    dp->connection = ++engine->n_connections;
    engine->connects++;
}

static void
on_newcomer_closed(void *aux, struct sp_link *link)
{
    struct sp_newcomer *newcomer = aux;
    struct sp_engine *engine = newcomer->engine;
    if (!engine->stopping) {
        sp_engine_remember_refusal(engine, sp_link_peer(link), sp_link_why(link));
        complain(engine, sp_link_peer(link), sp_link_why(link));
    }
    forget_newcomer(newcomer);
    sp_link_free(link);
    engine->n_links--;
    sp_engine_turn_later(engine);
}

static void
on_event(void *aux, struct sp_link *link, struct sp_event *event)
{
    struct sp_datapath *dp = aux;
    switch (event->kind) {
    case SP_EVENT_PORT:
        if (sp_datapath_put_ofport(dp, &event->port)) {
            sp_datapath_give_up(dp);
        } else if (dp->projected) {
            /* Taken together with what else this turn brings. */
            sp_engine_turn_later(dp->engine);
            dp->engine->ports_changed = true;
        }
        if (dp->ports_known) {
            sp_datapath_notice(dp);
        }
        break;
    case SP_EVENT_PORTS_DONE:
        sp_datapath_queue_begin(dp);
        break;
    case SP_EVENT_METERS:
        sp_datapath_take_meters(dp, &event->meters);
        break;
    case SP_EVENT_DENIED:
        sp_datapath_take_denied(dp, &event->denied);
        break;
    default:
        sp_switch_event(dp->sw, event, sp_engine_now(dp->engine));
        break;
    }
}

/* Of many bridges that go at once each must wait for its turn; until then it is one that does not answer. */
static void
on_closed(void *aux, struct sp_link *link)
{
    struct sp_datapath *dp = aux;
    dp->gone = true;
    sp_datapath_queue(dp);
}

void
sp_datapath_end_link(struct sp_datapath *dp)
{
    struct sp_engine *engine = dp->engine;
    struct sp_link *link = sp_switch_link(dp->sw);
    sp_datapath_dequeue(dp);
    sp_log(SP_LOG_WARNING, "engine", "bridge %016" PRIx64 " (%s, %s) is disconnected: %s", dp->dpid, dp->ready.name,
           sp_link_peer(link), sp_link_why(link));
    engine->disconnects++;
    engine->n_links--;
    sp_engine_touch_lost(engine, dp);
    sp_datapath_unproject(dp);
    sp_datapath_drop_ofports(dp);
    sp_switch_detach(dp->sw);
    sp_link_free(link);
    dp->gone = dp->ports_known = dp->expecting = dp->beginning = dp->has_meters = false;
    dp->meters_error[0] = '\0';
    dp->connection = 0;
    sp_datapath_notice(dp);
    sp_engine_drop_datapath(engine, dp);
    sp_engine_turn_later(engine);
}

static void
forget_newcomer(struct sp_newcomer *newcomer)
{
    newcomer->prev->next = newcomer->next;
    newcomer->next->prev = newcomer->prev;
    free(newcomer);
}

/* The connection that is there stays: it may be the true one, and a bridge of two masters would obey neither. */
static void
refuse(struct sp_datapath *dp, struct sp_link *link)
{
    char text[160];
    snprintf(text, sizeof text, "a second connection with this datapath id, from %s, was refused", sp_link_peer(link));
    int64_t now = sp_engine_now(dp->engine);
    if (!dp->refused_ms || now - dp->refused_ms >= REFUSED_LOG_MS) {
        sp_log(SP_LOG_ERROR, "engine", "bridge %016" PRIx64 " (%s): %s", dp->dpid, dp->ready.name, text);
    }
    dp->refused_ms = now;
    sp_switch_complain(dp->sw, text);
    sp_datapath_notice(dp);
    sp_link_close(link, "another connection has this datapath id");
}

/* Only the holder of the right certificate is a bridge, be there another connection or not. */
static void
refuse_identity(struct sp_link *link, uint64_t dpid)
{
    const struct sp_stream *stream = sp_link_stream(link);
    char why[SP_LINK_WHY_SIZE];
    snprintf(why, sizeof why, "its certificate may not be datapath %016" PRIx64 ": \"%s\", %s", dpid, sp_stream_name(stream),
             sp_stream_fingerprint(stream));
    sp_link_close(link, why);
}

static void
complain(struct sp_engine *engine, const char *peer, const char *why)
{
    int64_t now = sp_engine_now(engine);
    if (now - engine->complaints_ms >= COMPLAINTS_MS) {
        if (engine->n_complaints > COMPLAINTS_MAX) {
            sp_log(SP_LOG_WARNING, "engine", "%u more connections came to nothing", engine->n_complaints - COMPLAINTS_MAX);
        }
        engine->complaints_ms = now;
        engine->n_complaints = 0;
    }
    if (engine->n_complaints++ < COMPLAINTS_MAX) {
        sp_log(SP_LOG_WARNING, "engine", "the connection %s came to nothing: %s", peer, why);
    }
}
