#include "tests/support/rig.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controller/engine_state.h"
#include "controller/model/object.h"
#include "controller/obs/log.h"
#include "tests/support/fake_zones.h"

/* The store. */

static void
store_apply(struct rig_store *store)
{
    for (size_t i = 0; i < store->n_changes; i++) {
        const struct sp_change *change = &store->changes[i];
        size_t at = 0;
        while (at < store->n_objects && store->objects[at].object != change->before) {
            at++;
        }
        if (change->before) {
            assert_true(at < store->n_objects);
            sp_object_unref(store->objects[at]);
            store->objects[at] = store->objects[--store->n_objects];
        }
        if (change->after) {
            store->objects = realloc(store->objects, (store->n_objects + 1) * sizeof *store->objects);
            assert_non_null(store->objects);
            struct sp_object object = { change->kind, change->after };
            sp_object_ref(object);
            store->objects[store->n_objects++] = object;
        }
    }
    store->counters = store->next;
}

static void
on_store_timer(uv_timer_t *timer)
{
    struct rig_store *store = timer->data;
    void (*done)(void *, int, const char *) = store->done;
    store->done = NULL;
    if (!store->fail) {
        store_apply(store);
    }
    done(store->aux, store->fail, store->fail ? "the disk is full" : NULL);
}

static void
store_commit(struct sp_store *base, const struct sp_change *changes, size_t n, const struct sp_counters *counters,
             const struct sp_journal *journal, void (*done)(void *aux, int error, const char *why), void *aux)
{
    struct rig_store *store = (struct rig_store *) base;
    assert_null(store->done);
    assert_true(n || journal->n_records || journal->n_verdicts);
    store->n_commits++;
    store->changes = changes;
    store->n_changes = n;
    store->next = *counters;
    store->done = done;
    store->aux = aux;
    if (!store->hold) {
        rig_store_go(store->rig);
    }
}

static int
store_recall(struct sp_store *base, const struct sp_count_receiver *receiver, void *aux, int64_t *ret_since, char *why,
             size_t why_size)
{
    const struct rig_counts *counts = &((struct rig_store *) base)->counts;
    *ret_since = counts->since;
    for (size_t i = 0; i < counts->n_flows; i++) {
        assert_int_equal(receiver->flow(aux, &counts->flows[i]), 0);
    }
    for (size_t i = 0; i < counts->n_rules; i++) {
        assert_int_equal(receiver->rule(aux, &counts->rules[i]), 0);
    }
    return 0;
}

static void
apply_flow(struct rig_counts *counts, const struct sp_flow_row *row)
{
    size_t i = 0;
    while (i < counts->n_flows && (counts->flows[i].dpid != row->dpid || counts->flows[i].id != row->id)) {
        i++;
    }
    if (row->ended) {
        if (i < counts->n_flows) {
            counts->flows[i] = counts->flows[--counts->n_flows];
        }
        return;
    }
    assert_true(i < RIG_COUNTS_MAX);
    counts->n_flows += i == counts->n_flows;
    counts->flows[i] = *row;
}

static void
apply_rule(struct rig_counts *counts, const struct sp_rule_row *row)
{
    size_t i = 0;
    while (i < counts->n_rules && !sp_uuid_equal(&counts->rules[i].rule, &row->rule)) {
        i++;
    }
    if (i < counts->n_rules) {
        counts->rules[i].packets += row->packets;
        counts->rules[i].bytes += row->bytes;
        counts->rules[i].last_hit = row->last_hit;
        return;
    }
    assert_true(i < RIG_COUNTS_MAX);
    counts->rules[counts->n_rules++] = *row;
}

static void
on_count_timer(uv_timer_t *timer)
{
    struct rig_store *store = timer->data;
    void (*done)(void *, int, const char *) = store->count_done;
    store->count_done = NULL;
    for (size_t i = 0; i < store->count_rows->n_flows && !store->fail_counts; i++) {
        apply_flow(&store->counts, &store->count_rows->flows[i]);
    }
    for (size_t i = 0; i < store->count_rows->n_rules && !store->fail_counts; i++) {
        apply_rule(&store->counts, &store->count_rows->rules[i]);
    }
    store->n_counted += !store->fail_counts;
    done(store->count_aux, store->fail_counts ? -ENOSPC : 0, store->fail_counts ? "the disk is full" : NULL);
}

static void
store_count(struct sp_store *base, const struct sp_count_rows *rows, void (*done)(void *aux, int error, const char *why),
            void *aux)
{
    struct rig_store *store = (struct rig_store *) base;
    assert_null(store->count_done);
    assert_true(rows->n_flows > 0);
    store->count_rows = rows;
    store->count_done = done;
    store->count_aux = aux;
    uv_timer_start(&store->count_timer, on_count_timer, 0, 0);
}

static void
store_close(struct sp_store *base)
{
    struct rig_store *store = (struct rig_store *) base;
    assert_null(store->done);
    assert_null(store->count_done);
    store->closed = true;
}

static int
store_load_history(struct sp_store *base, sp_store_receive_record *receive, void *aux, char *why, size_t why_size)
{
    return 0; /* It begins empty. */
}

static const struct sp_store_ops store_ops = { store_commit, store_load_history, store_recall, store_count, store_close };

void
rig_store_go(struct rig *rig)
{
    assert_non_null(rig->store.done);
    uv_timer_start(&rig->store.timer, on_store_timer, 0, 0);
}

/* The engine. */

static void
open_stopped(struct rig *rig)
{
    memset(rig, 0, sizeof *rig);
    signal(SIGPIPE, SIG_IGN); /* As the daemon does. */
    sp_log_set_level(getenv("SP_TEST_LOG") ? SP_LOG_DEBUG : SP_LOG_ERROR);
    assert_int_equal(uv_loop_init(&rig->loop), 0);
    strcpy(rig->dir, "/tmp/sp-rig-XXXXXX");
    assert_non_null(mkdtemp(rig->dir));
    snprintf(rig->method, sizeof rig->method, "punix:%s/s", rig->dir);
    rig->store.base.ops = &store_ops;
    rig->store.rig = rig;
    rig->store.counters = (struct sp_counters) { .next_region = 1, .next_set = 1, .next_slot = 1, .next_mark = 1,
                                                 .next_zone = 1 };
    uv_timer_init(&rig->loop, &rig->store.timer);
    uv_timer_init(&rig->loop, &rig->store.count_timer);
    rig->store.timer.data = rig->store.count_timer.data = &rig->store;
}

void
rig_open(struct rig *rig)
{
    open_stopped(rig);
    rig_start(rig);
}

void
rig_open_like(struct rig *rig, const struct rig *other)
{
    open_stopped(rig);
    rig->store.counters = other->store.counters;
    rig->store.counts = other->store.counts;
    rig->store.n_objects = other->store.n_objects;
    rig->store.objects = calloc(other->store.n_objects + 1, sizeof *rig->store.objects);
    assert_non_null(rig->store.objects);
    for (size_t i = 0; i < other->store.n_objects; i++) {
        rig->store.objects[i] = other->store.objects[i];
        sp_object_ref(rig->store.objects[i]);
    }
    rig_start(rig);
}

void
rig_start(struct rig *rig)
{
    struct sp_model *model = sp_model_new();
    assert_non_null(model);
    char why[256] = "";
    for (int kind = 0; kind < SP_N_KINDS; kind++) {
        for (size_t i = 0; i < rig->store.n_objects; i++) {
            if ((int) rig->store.objects[i].kind == kind) {
                sp_object_ref(rig->store.objects[i]);
                assert_int_equal(sp_model_load(model, rig->store.objects[i], why, sizeof why), 0);
            }
        }
    }
    int error = sp_model_load_done(model, &rig->store.counters, why, sizeof why);
    if (error) {
        fail_msg("the model does not load: %s", why);
    }
    rig->store.closed = false;
    rig->stopped = false;
    rig->engine = sp_engine_new(&rig->loop, &rig->store.base, model);
    assert_non_null(rig->engine);
    rig->engine->parts_max = rig->parts_max ? rig->parts_max : rig->engine->parts_max;
    assert_int_equal(sp_engine_recall(rig->engine, why, sizeof why), 0);
    error = sp_engine_open(rig->engine, rig->method, NULL, why, sizeof why);
    if (error) {
        fail_msg("%s", why);
    }
}

static void
on_stopped(void *aux)
{
    struct rig *rig = aux;
    rig->stopped = true;
    rig->engine = NULL;
}

void
rig_stop(struct rig *rig)
{
    sp_engine_stop(rig->engine, on_stopped, rig);
    RIG_UNTIL(rig, rig->stopped);
    assert_true(rig->store.closed);
}

void
rig_restart(struct rig *rig)
{
    rig_stop(rig);
    for (size_t i = 0; i < rig->n_peers; i++) {
        if (rig->peers[i].open) {
            rig_peer_disconnect(&rig->peers[i]);
        }
    }
    rig_start(rig);
}

void
rig_close(struct rig *rig)
{
    if (rig->engine) {
        rig_stop(rig);
    }
    for (size_t i = 0; i < rig->n_peers; i++) {
        if (rig->peers[i].open) {
            rig_peer_disconnect(&rig->peers[i]);
        }
        assert_false(rig->peers[i].fs.broken);
        fake_switch_clear(&rig->peers[i].fs);
    }
    uv_close((uv_handle_t *) &rig->store.timer, NULL);
    uv_close((uv_handle_t *) &rig->store.count_timer, NULL);
    uv_run(&rig->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&rig->loop), 0);
    for (size_t i = 0; i < rig->store.n_objects; i++) {
        sp_object_unref(rig->store.objects[i]);
    }
    free(rig->store.objects);
    assert_int_equal(rmdir(rig->dir), 0);
}

static int
stage(void *aux, struct sp_batch *batch)
{
    struct rig_request *request = aux;
    assert_false(request->staged);
    request->staged = true;
    return request->operation(request, batch);
}

static void
done(void *aux, const struct sp_outcome *outcome)
{
    struct rig_request *request = aux;
    assert_false(request->done);
    request->done = true;
    request->outcome = *outcome;
    snprintf(request->why, sizeof request->why, "%s", outcome->why ? outcome->why : "");
    request->outcome.why = request->why;
}

int
rig_post(struct rig *rig, struct rig_request *request)
{
    request->staged = request->done = false;
    sp_problems_init(&request->problems);
    struct sp_write write = { .stage = stage, .done = done, .aux = request, .wait_ms = request->wait_ms };
    int error = sp_engine_write(rig->engine, &write);
    assert_false(request->done);
    return error;
}

int
rig_do(struct rig *rig, struct rig_request *request)
{
    assert_int_equal(rig_post(rig, request), 0);
    RIG_UNTIL(rig, request->done);
    return request->outcome.error;
}

void
rig_apply(struct rig *rig, struct rig_request *request)
{
    request->wait_ms = 5000;
    int error = rig_do(rig, request);
    for (size_t i = 0; error && i < request->problems.n; i++) {
        print_error("%s: %s\n", request->problems.problems[i].field, request->problems.problems[i].message);
    }
    rig_request_clear(request);
    assert_int_equal(error, 0);
    assert_true(request->outcome.applied);
}

void
rig_request_clear(struct rig_request *request)
{
    sp_problems_clear(&request->problems);
}

/* Operations. */

int
rig_region(struct rig_request *r, struct sp_batch *batch)
{
    bool created;
    return sp_batch_put_region(batch, r->region, &created, &r->problems);
}

int
rig_create_group(struct rig_request *r, struct sp_batch *batch)
{
    struct sp_group_input input = { .region = r->region, .name = r->name, .is_default = r->is_default > 0, .has_rules = true,
                                    .rules = r->rules, .n_rules = r->n_rules };
    return sp_batch_create_group(batch, &input, &r->id, &r->problems);
}

int
rig_patch_group(struct rig_request *r, struct sp_batch *batch)
{
    struct sp_group_patch patch = { .name = r->name, .is_default = r->is_default };
    return sp_batch_patch_group(batch, &r->group, &patch, &r->problems);
}

int
rig_delete_group(struct rig_request *r, struct sp_batch *batch)
{
    return sp_batch_delete_group(batch, &r->group, &r->problems);
}

int
rig_replace_rules(struct rig_request *r, struct sp_batch *batch)
{
    return sp_batch_replace_rules(batch, &r->group, r->rules, r->n_rules, &r->problems);
}

int
rig_create_server(struct rig_request *r, struct sp_batch *batch)
{
    struct sp_server_input input = { .region = r->region, .name = r->name ? r->name : "vm", .has_groups = r->n_groups > 0,
                                     .groups = r->groups, .n_groups = r->n_groups, .ports = r->ports, .n_ports = r->n_ports };
    return sp_batch_create_server(batch, &input, &r->id, &r->problems);
}

int
rig_set_groups(struct rig_request *r, struct sp_batch *batch)
{
    struct sp_server_patch patch = { .kind = -1, .has_groups = true, .groups = r->groups, .n_groups = r->n_groups };
    return sp_batch_patch_server(batch, &r->server, &patch, &r->problems);
}

int
rig_set_ports(struct rig_request *r, struct sp_batch *batch)
{
    struct sp_server_patch patch = { .kind = -1, .has_ports = true, .ports = r->ports, .n_ports = r->n_ports };
    return sp_batch_patch_server(batch, &r->server, &patch, &r->problems);
}

int
rig_delete_server(struct rig_request *r, struct sp_batch *batch)
{
    return sp_batch_delete_server(batch, &r->server, &r->problems);
}

int
rig_put_bridge(struct rig_request *r, struct sp_batch *batch)
{
    bool created;
    return sp_batch_put_bridge(batch, r->dpid, r->uplinks, r->n_uplinks, &created, &r->problems);
}

int
rig_delete_bridge(struct rig_request *r, struct sp_batch *batch)
{
    return sp_batch_delete_bridge(batch, r->dpid, &r->problems);
}

/* Peers. */

static void
on_peer_alloc(uv_handle_t *handle, size_t size, uv_buf_t *ret)
{
    struct rig_peer *peer = handle->data;
    *ret = uv_buf_init(peer->buffer, sizeof peer->buffer);
}

static void
on_peer_closed(uv_handle_t *handle)
{
    ((struct rig_peer *) handle->data)->open = false;
}

static void
close_peer(struct rig_peer *peer)
{
    if (!uv_is_closing((uv_handle_t *) &peer->pipe)) {
        uv_close((uv_handle_t *) &peer->pipe, on_peer_closed);
    }
}

static void
on_peer_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct rig_peer *peer = stream->data;
    if (n < 0) {
        peer->closed_by_peer = true;
        close_peer(peer);
    } else if (n > 0) {
        fake_switch_receive(&peer->fs, buf->base, (size_t) n);
        rig_peer_flush(peer);
    }
}

static void
on_peer_written(uv_write_t *request, int status)
{
    free(request);
}

void
rig_peer_flush(struct rig_peer *peer)
{
    if (!peer->open || uv_is_closing((uv_handle_t *) &peer->pipe)) {
        return;
    }
    for (;;) {
        struct write {
            uv_write_t request;
            char data[8192];
        } *write = malloc(sizeof *write);
        assert_non_null(write);
        uv_buf_t buf = uv_buf_init(write->data, (unsigned) fake_switch_output(&peer->fs, write->data, sizeof write->data));
        if (!buf.len || uv_write(&write->request, (uv_stream_t *) &peer->pipe, &buf, 1, on_peer_written)) {
            free(write);
            return;
        }
    }
}

static void
on_peer_connected(uv_connect_t *connect, int status)
{
    struct rig_peer *peer = connect->handle->data;
    if (status == UV_ECANCELED) {
        return;
    }
    assert_int_equal(status, 0);
    uv_read_start((uv_stream_t *) &peer->pipe, on_peer_alloc, on_peer_read);
    rig_peer_flush(peer);
}

void
rig_peer_connect(struct rig_peer *peer)
{
    assert_false(peer->open);
    peer->closed_by_peer = false;
    uv_pipe_init(&peer->rig->loop, &peer->pipe, 0);
    peer->pipe.data = peer;
    peer->open = true;
    fake_switch_reconnect(&peer->fs);
    uv_pipe_connect(&peer->connect, &peer->pipe, peer->rig->method + strlen("punix:"), on_peer_connected);
}

void
rig_peer_disconnect(struct rig_peer *peer)
{
    close_peer(peer);
    RIG_UNTIL(peer->rig, !peer->open);
}

struct rig_peer *
rig_peer(struct rig *rig, uint64_t dpid, size_t n_ports)
{
    assert_true(rig->n_peers < RIG_PEERS_MAX);
    struct rig_peer *peer = &rig->peers[rig->n_peers++];
    peer->rig = rig;
    fake_switch_init(&peer->fs, dpid, n_ports);
    rig_peer_connect(peer);
    return peer;
}

/* Readings. */

struct look {
    struct sp_bridge_status status;
    char *error;
};

static int
look(void *aux, const struct sp_bridge_status *status)
{
    struct look *l = aux;
    l->status = *status;
    if (l->error) {
        snprintf(l->error, 300, "%s", status->last_error ? status->last_error : "");
    }
    return 0;
}

bool
rig_in_force(struct rig *rig, uint64_t dpid)
{
    struct look l = { .error = NULL };
    return !sp_engine_one_bridge(rig->engine, dpid, look, &l) && l.status.connected && !l.status.pending;
}

struct sp_bridge_status
rig_status(struct rig *rig, uint64_t dpid, char error[300])
{
    struct look l = { .error = error };
    assert_int_equal(sp_engine_one_bridge(rig->engine, dpid, look, &l), 0);
    return l.status;
}

void
rig_check(struct rig *rig)
{
    char why[400] = "";
    if (sp_engine_check(rig->engine, why, sizeof why)) {
        fail_msg("%s", why);
    }
    for (size_t i = 0; i < rig->n_peers; i++) {
        assert_int_equal(fake_zones_inherited(rig->peers[i].fs.zones), 0);
    }
}

static void
on_guard(uv_timer_t *timer)
{
}

bool
rig_turn(struct rig *rig, uint64_t begin)
{
    /* Something happens at least every 20 ms, so that the deadline is looked at. */
    uv_timer_t guard;
    uv_timer_init(&rig->loop, &guard);
    uv_timer_start(&guard, on_guard, 20, 0);
    uv_run(&rig->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *) &guard, NULL);
    uv_run(&rig->loop, UV_RUN_NOWAIT);
    return uv_hrtime() - begin < (uint64_t) RIG_DEADLINE_MS * 1000000;
}

void
rig_turns(struct rig *rig, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        uint64_t begin = uv_now(&rig->loop);
        do {
            uv_run(&rig->loop, UV_RUN_NOWAIT);
        } while (uv_now(&rig->loop) == begin);
    }
}
