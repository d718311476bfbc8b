#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/api/route.h"
#include "controller/obs/process.h"

/* The text exposition format, version 0.0.4.  Source: prometheus.io, "Exposition formats". */
#define CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

static void
put_head(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void
put(FILE *out, const char *name, const char *type, const char *help, uint64_t value)
{
    put_head(out, name, type, help);
    fprintf(out, "%s %" PRIu64 "\n", name, value);
}

/* Seconds of 'us', as exact as they are. */
static void
put_seconds(FILE *out, uint64_t us)
{
    fprintf(out, "%" PRIu64 ".%06" PRIu64, us / 1000000, us % 1000000);
}

static void
put_histogram(FILE *out, const char *name, const char *help, const struct sp_histogram *histogram)
{
    uint64_t n = 0;
    put_head(out, name, "histogram", help);
    for (size_t i = 0; i < SP_HISTOGRAM_BOUNDS; i++) {
        n += histogram->counts[i];
        fprintf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, (double) sp_histogram_bounds_us[i] / 1e6, n);
    }
    n += histogram->counts[SP_HISTOGRAM_BOUNDS];
    fprintf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum ", name, n, name);
    put_seconds(out, histogram->sum_us);
    fprintf(out, "\n%s_count %" PRIu64 "\n", name, n);
}

enum { CONNECTED, DESIRED, INSTALLED, PENDING, FAILING, REVISION, N_GAUGES };

/* What is told of each bridge, read once for all gauges. */
struct bridges {
    struct bridge {
        uint64_t dpid;
        uint64_t values[N_GAUGES];
    } *all;
    size_t n, n_max;
    uint64_t n_connected;
};

static int
read_bridge(void *aux, const struct sp_bridge_status *status)
{
    struct bridges *bridges = aux;
    if (bridges->n == bridges->n_max) {
        size_t n_max = 2 * bridges->n_max + 16;
        struct bridge *all = realloc(bridges->all, n_max * sizeof *all);
        if (!all) {
            return -ENOMEM;
        }
        bridges->all = all;
        bridges->n_max = n_max;
    }
    bridges->n_connected += status->connected;
    bridges->all[bridges->n++] = (struct bridge) {
        .dpid = status->dpid,
        .values = {
            [CONNECTED] = status->connected,
            [DESIRED] = status->flows_desired,
            [INSTALLED] = status->flows_installed,
            [PENDING] = status->pending,
            [FAILING] = status->last_error != NULL,
            [REVISION] = status->revision,
        },
    };
    return 0;
}

/* One line of bridge 'dpid'.  With a thousand bridges there are thousands of these, and printf() would be most of their price. */
static void
put_bridge(FILE *out, const char *name, size_t name_len, uint64_t dpid, uint64_t value)
{
    static const char digits[] = "0123456789abcdef";
    char text[64] = "{dpid=\"", number[SP_DECIMAL_TEXT_SIZE];
    char *at = text + strlen(text);
    for (unsigned shift = 64; shift; shift -= 4) {
        *at++ = digits[dpid >> (shift - 4) & 0xf];
    }
    at = stpcpy(stpcpy(stpcpy(at, "\"} "), sp_decimal_format(value, number)), "\n");
    fwrite_unlocked(name, 1, name_len, out);
    fwrite_unlocked(text, 1, (size_t) (at - text), out);
}

static void
put_bridges(FILE *out, const struct bridges *bridges)
{
    static const struct {
        const char *name, *help;
    } gauges[N_GAUGES] = {
        [CONNECTED] = {"sallyport_bridge_connected", "Whether the bridge is connected."},
        [DESIRED] = {"sallyport_bridge_flows_desired", "Flows that the bridge should have."},
        [INSTALLED] = {"sallyport_bridge_flows_installed", "Flows that the bridge has confirmed."},
        [PENDING] = {"sallyport_bridge_pending", "Whether a change is not confirmed by the bridge."},
        [FAILING] = {"sallyport_bridge_error", "Whether something is wrong with the bridge."},
        [REVISION] = {"sallyport_bridge_revision", "The last revision that the bridge has confirmed whole."},
    };
    for (size_t i = 0; i < N_GAUGES; i++) {
        put_head(out, gauges[i].name, "gauge", gauges[i].help);
        size_t name_len = strlen(gauges[i].name);
        for (size_t k = 0; k < bridges->n; k++) {
            put_bridge(out, gauges[i].name, name_len, bridges->all[k].dpid, bridges->all[k].values[i]);
        }
    }
}

static void
put_engine(FILE *out, struct sp_engine *engine, uint64_t n_connected)
{
    struct sp_engine_counters counters;
    sp_engine_counters(engine, &counters);
    put(out, "sallyport_bridges_connected", "gauge", "Bridges that are connected.", n_connected);
    put(out, "sallyport_bridge_connects_total", "counter", "Connections of bridges.", counters.connects);
    put(out, "sallyport_bridge_disconnects_total", "counter", "Connections of bridges that ended.", counters.disconnects);
    put(out, "sallyport_flow_mods_sent_total", "counter", "Flow modifications sent.", counters.flow_mods_sent);
    put(out, "sallyport_flow_mods_refused_total", "counter", "Flow modifications that a bridge refused.",
        counters.flow_mods_refused);
    put(out, "sallyport_bundles_applied_total", "counter", "Bundles that bridges confirmed.", counters.bundles_applied);
    put(out, "sallyport_bundles_discarded_total", "counter", "Bundles that were given up.", counters.bundles_discarded);
    put(out, "sallyport_bundles_ahead_total", "counter",
        "Bundles that bridges had looked at, or were about to, when their change was durable.", counters.bundles_ahead);
    put(out, "sallyport_bundles_withdrawn_total", "counter", "Bundles sent before their change was durable, and given up.",
        counters.bundles_withdrawn);
    put(out, "sallyport_drift_repaired_total", "counter", "Flows that another hand had changed and that were put right.",
        counters.drift_repaired);
    put(out, "sallyport_zones_flushed_total", "counter",
        "Conntrack zones that bridges were told to flush: of a port that is new there, or is gone.", counters.zones_flushed);
    put(out, "sallyport_store_commits_total", "counter", "Transactions stored.", counters.commits);
    put(out, "sallyport_store_commits_failed_total", "counter", "Transactions that the store could not write.",
        counters.commits_failed);
    put_histogram(out, "sallyport_store_commit_seconds", "How long the store took to make a transaction durable.",
                  &counters.commit_time);
    put(out, "sallyport_changes_queued", "gauge", "Changes that wait for the store.", counters.writes_queued);
    put_histogram(out, "sallyport_change_applied_seconds",
                  "From a change's arrival until every bridge that it touches had confirmed it.", &counters.applied_time);
}

static void
put_blocked(FILE *out, struct sp_engine *engine)
{
    struct sp_engine_counters counters;
    sp_engine_counters(engine, &counters);
    put(out, "sallyport_blocked_reports_total", "counter", "Denied packets that bridges reported: a sample.",
        counters.denied_seen);
    put(out, "sallyport_blocked_reports_dropped_total", "counter", "Reports that came faster than they are looked at.",
        counters.denied_left_out);
    put(out, "sallyport_blocked_attempts", "gauge", "Blocked attempts that are listed.", counters.blocked_entries);
    put(out, "sallyport_blocked_attempts_evicted_total", "counter", "Blocked attempts that made room for newer ones.",
        counters.blocked_evicted);
}

static void
put_rules(FILE *out, struct sp_engine *engine)
{
    struct sp_engine_counters counters;
    sp_engine_counters(engine, &counters);
    if (counters.rules_known) {
        put(out, "sallyport_rules", "gauge", "Rules, as counted now and then.", counters.rules);
        put(out, "sallyport_rules_unused", "gauge", "Rules without a hit for 30 days.", counters.rules_unused);
    }
}

static void
put_history(FILE *out, const struct sp_api *api)
{
    static const struct {
        const char *state;
        enum sp_trial trial;
    } ends[] = {{"confirmed", SP_TRIAL_CONFIRMED}, {"rolled_back", SP_TRIAL_UNDONE}, {"failed", SP_TRIAL_STUCK}};
    put(out, "sallyport_history_changes", "gauge", "Changes that the history has.", sp_history_count(api->history));
    put(out, "sallyport_changes_undone_total", "counter", "Changes that were taken back, by somebody or by themselves.",
        api->n_undone);
    put(out, "sallyport_trials_pending", "gauge", "Changes that wait for their confirmation.",
        sp_history_count_pending(api->history));
    put(out, "sallyport_trials_begun_total", "counter", "Changes that were made for so long only.",
        api->n_trials[SP_TRIAL_PENDING]);
    put_head(out, "sallyport_trials_ended_total", "counter", "How they ended: failed ones could not be rolled back.");
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        fprintf(out, "sallyport_trials_ended_total{state=\"%s\"} %" PRIu64 "\n", ends[i].state, api->n_trials[ends[i].trial]);
    }
}

static int
count_region(void *aux, const struct sp_region *region)
{
    uint64_t *n = aux;
    ++*n;
    return 0;
}

static void
put_model(FILE *out, const struct sp_model *model)
{
    uint64_t n_regions = 0;
    sp_model_each_region(model, count_region, &n_regions);
    put(out, "sallyport_revision", "gauge", "The last stored revision.", sp_model_counters(model)->revision);
    put(out, "sallyport_regions", "gauge", "Regions.", n_regions);
    put(out, "sallyport_security_groups", "gauge", "Security groups.", sp_model_count_groups(model, NULL));
    put(out, "sallyport_servers", "gauge", "Servers.", sp_model_count_servers(model, NULL));
}

static void
put_events(FILE *out, const struct sp_events *events)
{
    struct sp_events_counters counters;
    sp_events_counters(events, &counters);
    put(out, "sallyport_event_subscribers", "gauge", "Open event streams.", counters.n_subscribers);
    put(out, "sallyport_events_total", "counter", "Events told.", counters.n_told);
    put(out, "sallyport_event_subscribers_dropped_total", "counter", "Event streams that were cut off because they did not read.",
        counters.n_dropped);
}

static void
put_api(FILE *out, const struct sp_api *api)
{
    put_events(out, api->events);
    put(out, "sallyport_changes_applied_total", "counter", "Changes answered as confirmed by every bridge that they touched.",
        api->n_changes_applied);
    put(out, "sallyport_changes_unconfirmed_total", "counter", "Changes answered before every bridge had confirmed them.",
        api->n_changes_unconfirmed);
    put_head(out, "sallyport_http_requests_total", "counter", "Requests answered, by status code.");
    for (unsigned i = 0; i <= SP_STATUS_MAX - SP_STATUS_MIN; i++) {
        if (api->n_answers[i]) {
            fprintf(out, "sallyport_http_requests_total{code=\"%u\"} %" PRIu64 "\n", i + SP_STATUS_MIN, api->n_answers[i]);
        }
    }
    put_histogram(out, "sallyport_http_read_seconds", "How long reads took from the whole request to the answer.",
                  &api->read_time);
}

/* Under the names that Prometheus's own client libraries use. */
static void
put_process(FILE *out)
{
    struct sp_process process;
    sp_process_read(&process);
    put_head(out, "process_cpu_seconds_total", "counter", "User and system time since the start.");
    fprintf(out, "process_cpu_seconds_total ");
    put_seconds(out, process.cpu_us);
    fprintf(out, "\n");
    put(out, "process_resident_memory_bytes", "gauge", "Resident memory.", process.resident_bytes);
    put(out, "process_open_fds", "gauge", "Open file descriptors.", process.open_fds);
    put(out, "process_max_fds", "gauge", "How many there may be.", process.max_fds);
}

void
sp_read_metrics(struct sp_call *call)
{
    char *text = NULL;
    size_t size = 0;
    struct bridges bridges = { .n = 0 };
    FILE *out = sp_engine_each_bridge(call->api->engine, false, read_bridge, &bridges) ? NULL : open_memstream(&text, &size);
    if (out) {
        put_head(out, "sallyport_build_info", "gauge", "The version that runs.");
        fprintf(out, "sallyport_build_info{version=\"%s\"} 1\n", SP_VERSION);
        put_model(out, sp_call_model(call));
        put_engine(out, call->api->engine, bridges.n_connected);
        put_blocked(out, call->api->engine);
        put_rules(out, call->api->engine);
        put_history(out, call->api);
        put_bridges(out, &bridges);
        put_api(out, call->api);
        put_process(out);
    }
    bool failed = !out || ferror(out);
    if ((out && fclose(out)) || failed) {
        sp_call_refuse(call, 503, "There is no memory.");
    } else {
        sp_call_text(call, CONTENT_TYPE, text, size);
    }
    free(text);
    free(bridges.all);
}
