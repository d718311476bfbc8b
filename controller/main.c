/* sallyportd: puts the parts together, and takes them apart.
 *
 * Start: options -> store loaded (nothing listens before) -> engine -> HTTP listeners -> OpenFlow, OVSDB -> ready.  A failure on
 * the way is one line on stderr and exit status 2, and no switch has been spoken to. Stop, by SIGTERM or SIGINT: requests are
 * answered 503 -> the engine ends what is under way -> listeners close -> the loop is empty.  A second signal ends the process at
 * once; what was answered is durable anyway. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <uv.h>

#include "controller/api/api.h"
#include "controller/config.h"
#include "controller/engine.h"
#include "controller/http/credentials.h"
#include "controller/http/http.h"
#include "controller/io/tls.h"
#include "controller/io/transport.h"
#include "controller/ovsdb/ovsdb.h"
#include "controller/service.h"
#include "controller/store/sqlite.h"
#include "controller/unixctl/unixctl.h"

#define WHY_SIZE 512
#define EXIT_USAGE 2

struct daemon {
    uv_loop_t loop;
    uv_signal_t signals[3]; /* SIGTERM, SIGINT, SIGHUP. */
    size_t n_signals;
    uv_timer_t watchdog;
    bool is_watched;          /* That is a handle. */
    const struct sp_config *config;
    struct sp_tls *tls;       /* NULL: not asked for. */
    struct sp_tokens *tokens; /* Until the interface has them. */
    struct sp_engine *engine;
    struct sp_api *api;
    struct sp_http_site **https;
    size_t n_https;
    bool exposes_key;         /* Everybody may read the private key of HTTPS. */
    struct sp_ovsdb **ovsdbs;
    size_t n_ovsdbs;
    struct sp_unixctl *unixctl; /* NULL: none is known. */
    bool is_stopping;
};

/* Stopping. */

static void
http_closed(void *aux)
{
}

static void
engine_stopped(void *aux)
{
    struct daemon *daemon = aux;
    daemon->engine = NULL;
    for (size_t i = 0; i < daemon->n_https; i++) {
        sp_http_close(daemon->https[i], http_closed, NULL);
    }
    daemon->n_https = 0;
}

static void
stop(struct daemon *daemon)
{
    if (daemon->is_stopping) {
        return;
    }
    daemon->is_stopping = true;
    for (size_t i = 0; i < daemon->n_signals; i++) {
        uv_close((uv_handle_t *) &daemon->signals[i], NULL);
    }
    if (daemon->is_watched) {
        uv_close((uv_handle_t *) &daemon->watchdog, NULL);
    }
    if (daemon->api) {
        sp_api_stop(daemon->api);
    }
    sp_unixctl_close(daemon->unixctl);
    for (size_t i = 0; i < daemon->n_ovsdbs; i++) {
        sp_ovsdb_close(daemon->ovsdbs[i]);
    }
    if (daemon->engine) {
        sp_engine_stop(daemon->engine, engine_stopped, daemon);
    } else {
        engine_stopped(daemon);
    }
}

static void
on_signal(uv_signal_t *handle, int number)
{
    sp_log(SP_LOG_INFO, "main", "stopping: %s; flows stay in the switches", strsignal(number));
    sp_service_notify("STOPPING=1");
    stop(handle->data);
}

/* Those of HTTPS and of OpenFlow: all of them or none. */
static int
reload_keys(struct daemon *daemon, char *why, size_t why_size)
{
    const struct sp_config *config = daemon->config;
    const struct sp_tls_files files = {config->private_key, config->certificate, config->ca_cert, config->peer_file};
    struct sp_http_credentials credentials;
    struct sp_tls *trial = NULL;
    int r = daemon->tls ? sp_tls_new(&files, SP_TLS_HANDSHAKE_MS, &trial, why, why_size) : 0;
    sp_tls_unref(trial);
    if (!r && config->http_private_key) {
        r = sp_http_credentials_load(config->http_private_key, config->http_certificate, &credentials, why, why_size);
        if (r) {
            return r;
        }
        for (size_t i = 0; i < daemon->n_https && !r; i++) {
            r = sp_http_port(daemon->https[i]) ? sp_http_renew(daemon->https[i], &credentials, why, why_size) : 0;
        }
        sp_http_credentials_clear(&credentials);
    }
    return r || !daemon->tls ? r : sp_tls_reload(daemon->tls, why, why_size);
}

/* Reads the files again that may be read again.  What is wrong with them is logged, and they count as they were. */
static void
reload(struct daemon *daemon)
{
    char why[WHY_SIZE] = "";
    sp_service_notify("RELOADING=1");
    struct sp_tokens *tokens = NULL;
    int r = daemon->config->token_file ? sp_tokens_load(daemon->config->token_file, &tokens, why, sizeof why) : 0;
    r = r ? r : reload_keys(daemon, why, sizeof why);
    if (r) {
        sp_tokens_free(tokens);
        sp_log(SP_LOG_ERROR, "main", "not reloaded: %s", why);
    } else {
        if (tokens) {
            sp_api_set_tokens(daemon->api, tokens);
        }
        sp_log(SP_LOG_INFO, "main", "reloaded");
        if (daemon->tls) {
            sp_tls_warn(daemon->tls);
        }
        sp_engine_check_peers(daemon->engine);
        for (size_t i = 0; i < daemon->n_ovsdbs; i++) {
            sp_ovsdb_check_peers(daemon->ovsdbs[i]);
        }
    }
    sp_service_notify("READY=1");
}

static void
on_hangup(uv_signal_t *handle, int number)
{
    reload(handle->data);
}

static int
catch_signals(struct daemon *daemon, char *why, size_t why_size)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    static const uv_signal_cb callbacks[] = {on_signal, on_signal, on_hangup};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        int r = uv_signal_init(&daemon->loop, &daemon->signals[i]);
        if (!r) {
            daemon->signals[i].data = daemon;
            daemon->n_signals++;
            r = uv_signal_start(&daemon->signals[i], callbacks[i], numbers[i]);
        }
        if (r) {
            snprintf(why, why_size, "cannot catch signals: %s", uv_strerror(r));
            return -EIO;
        }
    }
    return 0;
}

/* Starting. */

struct loading {
    struct sp_model *model;
    char why[WHY_SIZE];
};

static int
receive(void *aux, struct sp_object object)
{
    struct loading *loading = aux;
    return sp_model_load(loading->model, object, loading->why, sizeof loading->why);
}

/* Loads the store and makes the engine, which takes both over. */
static int
load(struct daemon *daemon, const char *path, char *why, size_t why_size)
{
    struct loading loading = {.model = sp_model_new()};
    struct sp_counters counters;
    struct sp_store *store = NULL;
    int r = loading.model ? 0 : -ENOMEM;
    if (!r) {
        r = sp_sqlite_open(&daemon->loop, path, receive, &loading, &counters, &store, why, why_size);
    }
    if (!r) {
        r = sp_model_load_done(loading.model, &counters, loading.why, sizeof loading.why);
    }
    if (!r) {
        daemon->engine = sp_engine_new(&daemon->loop, store, loading.model);
        r = daemon->engine ? 0 : -ENOMEM;
    }
    if (!r) {
        return 0;
    }
    char problem[WHY_SIZE];
    snprintf(problem, sizeof problem, "%s", why);
    if (*loading.why) {
        snprintf(why, why_size, "--db: %.200s: %.290s", path, loading.why);
    } else if (r == -ENOMEM) {
        snprintf(why, why_size, "--db: %s: %s", path, strerror(ENOMEM));
    } else {
        snprintf(why, why_size, "--db: %.500s", problem);
    }
    if (store) {
        store->ops->close(store);
    }
    sp_model_free(loading.model);
    return r;
}

static int
open_http(struct daemon *daemon, const struct sp_config_list *addresses, const struct sp_http_credentials *credentials, char *why,
          size_t why_size)
{
    daemon->https = calloc(addresses->n, sizeof *daemon->https);
    if (!daemon->https) {
        snprintf(why, why_size, "%s", strerror(ENOMEM));
        return -ENOMEM;
    }
    for (size_t i = 0; i < addresses->n; i++) {
        char problem[WHY_SIZE];
        int r = sp_http_open(&daemon->loop, addresses->items[i], credentials, sp_api_handle, daemon->api, &daemon->https[i],
                             problem, sizeof problem);
        if (r) {
            snprintf(why, why_size, "--http: %.120s: %.360s", addresses->items[i], problem);
            return r;
        }
        daemon->n_https++;
    }
    return 0;
}

/* Opens the listeners for HTTP, or HTTPS. */
static int
serve(struct daemon *daemon, const struct sp_config *config, char *why, size_t why_size)
{
    struct sp_http_credentials credentials;
    if (!config->http_private_key) {
        return open_http(daemon, &config->http, NULL, why, why_size);
    }
    int r = sp_http_credentials_load(config->http_private_key, config->http_certificate, &credentials, why, why_size);
    if (!r) {
        r = open_http(daemon, &config->http, &credentials, why, why_size);
        daemon->exposes_key = credentials.is_exposed;
        sp_http_credentials_clear(&credentials);
    }
    return r;
}

static int
open_openflow(struct daemon *daemon, const struct sp_config_list *methods, char *why, size_t why_size)
{
    for (size_t i = 0; i < methods->n; i++) {
        char problem[WHY_SIZE];
        int r = sp_engine_open(daemon->engine, methods->items[i], daemon->tls, problem, sizeof problem);
        if (r) {
            snprintf(why, why_size, "--openflow: %.120s: %.360s", methods->items[i], problem);
            return r;
        }
    }
    return 0;
}

static void
bind_iface(void *aux, const char *iface_id, uint64_t dpid, const char *name, bool bound)
{
    const struct daemon *daemon = aux;
    sp_engine_bind_iface(daemon->engine, iface_id, dpid, name, bound);
}

static void
note_flaw(void *aux, uint64_t dpid, const char *text)
{
    const struct daemon *daemon = aux;
    sp_engine_note_flaw(daemon->engine, dpid, text);
}

static int
open_ovsdb(struct daemon *daemon, const struct sp_config_list *methods, char *why, size_t why_size)
{
    static const struct sp_ovsdb_events events = {.bind = bind_iface, .flaw = note_flaw};
    daemon->ovsdbs = calloc(methods->n + 1, sizeof *daemon->ovsdbs);
    if (!daemon->ovsdbs) {
        snprintf(why, why_size, "%s", strerror(ENOMEM));
        return -ENOMEM;
    }
    if (methods->n) {
        sp_engine_expect_ifaces(daemon->engine);
    }
    for (size_t i = 0; i < methods->n; i++) {
        char problem[WHY_SIZE];
        int r = sp_ovsdb_open(&daemon->loop, methods->items[i], daemon->tls, &events, daemon, &daemon->ovsdbs[i], problem,
                              sizeof problem);
        if (r) {
            snprintf(why, why_size, "--ovsdb: %.120s: %.360s", methods->items[i], problem);
            return r;
        }
        daemon->n_ovsdbs++;
    }
    return 0;
}

/* Nothing is opened before somebody asks. */
static int
know_switch_controls(struct daemon *daemon, const struct sp_config_list *methods, char *why, size_t why_size)
{
    if (methods->n) {
        daemon->unixctl = sp_unixctl_new(&daemon->loop, methods->items, methods->n, SP_UNIXCTL_TIMEOUT_MS);
        if (!daemon->unixctl) {
            snprintf(why, why_size, "%s", strerror(ENOMEM));
            return -ENOMEM;
        }
        sp_api_set_unixctl(daemon->api, daemon->unixctl);
    }
    return 0;
}

/* Says what runs, once all of it does: a start that fails is one line. */
static void
announce(const struct daemon *daemon, const struct sp_config *config, bool exposes_tokens)
{
    if (exposes_tokens) {
        sp_log(SP_LOG_WARNING, "main", "token file %s can be read by everybody: chmod o-r is advised", config->token_file);
    }
    if (daemon->exposes_key) {
        sp_log(SP_LOG_WARNING, "main", "private key %s can be read by everybody: chmod o-r is advised", config->http_private_key);
    }
    if (daemon->tls) {
        sp_tls_warn(daemon->tls);
    }
    for (size_t i = 0; i < daemon->n_https; i++) {
        uint16_t port = sp_http_port(daemon->https[i]);
        const char *address = config->http.items[i], *scheme = config->http_certificate && port ? "https" : "http";
        sp_log(SP_LOG_INFO, "main", port ? "%s on %s (port %u)" : "%s on %s", scheme, address, port);
        if (!config->http_certificate && sp_http_address_is_exposed(address)) {
            sp_log(SP_LOG_WARNING, "main", "%s: without --http-certificate whoever is on the way can read the tokens", address);
        }
    }
    for (size_t i = 0; i < config->openflow.n; i++) {
        const char *method = config->openflow.items[i];
        if (sp_method_is_exposed(method) && !sp_method_is_tls(method)) {
            sp_log(SP_LOG_WARNING, "main",
                   "%s: OpenFlow without TLS authenticates nobody: let only the hosts of your bridges reach it", method);
        }
        sp_log(SP_LOG_INFO, "main", "openflow by %s", method);
    }
    for (size_t i = 0; i < config->ovsdb.n; i++) {
        sp_log(SP_LOG_INFO, "main", "ovsdb by %s", config->ovsdb.items[i]);
    }
    for (size_t i = 0; i < config->switch_controls.n; i++) {
        sp_log(SP_LOG_INFO, "main", "connections by %s", config->switch_controls.items[i]);
    }
}

static int
load_files(struct daemon *daemon, const struct sp_config *config, char *why, size_t why_size)
{
    const struct sp_tls_files files = {config->private_key, config->certificate, config->ca_cert, config->peer_file};
    int r = config->token_file ? sp_tokens_load(config->token_file, &daemon->tokens, why, why_size) : 0;
    if (!r && files.private_key) {
        r = sp_tls_new(&files, SP_TLS_HANDSHAKE_MS, &daemon->tls, why, why_size);
    }
    return r;
}

static int
start(struct daemon *daemon, const struct sp_config *config, char *why, size_t why_size)
{
    daemon->config = config;
    int r = load_files(daemon, config, why, why_size);
    bool exposes_tokens = daemon->tokens && sp_tokens_are_exposed(daemon->tokens);
    r = r ? r : load(daemon, config->db_path, why, why_size);
    if (r) {
        return r;
    }
    char problem[WHY_SIZE];
    r = sp_engine_recall(daemon->engine, problem, sizeof problem);
    if (r) {
        snprintf(why, why_size, "--db: %.500s", problem);
        return r;
    }
    daemon->api = sp_api_new(daemon->engine, daemon->tokens);
    if (!daemon->api) {
        snprintf(why, why_size, "%s", strerror(ENOMEM));
        return -ENOMEM;
    }
    daemon->tokens = NULL;
    r = sp_api_load(daemon->api, problem, sizeof problem);
    if (r) {
        snprintf(why, why_size, "--db: %.200s: %.290s", config->db_path, problem);
        return r;
    }
    r = catch_signals(daemon, why, why_size);
    r = r ? r : serve(daemon, config, why, why_size);
    r = r ? r : open_openflow(daemon, &config->openflow, why, why_size);
    r = r ? r : open_ovsdb(daemon, &config->ovsdb, why, why_size);
    r = r ? r : know_switch_controls(daemon, &config->switch_controls, why, why_size);
    if (!r) {
        announce(daemon, config, exposes_tokens);
    }
    return r;
}

/* Reads every file that the configuration names, and opens nothing.  Returns the exit status. */
static int
check(const struct sp_config *config)
{
    struct daemon daemon = {0};
    struct sp_http_credentials credentials;
    char why[WHY_SIZE] = "";
    int r = load_files(&daemon, config, why, sizeof why);
    if (!r && config->http_private_key) {
        r = sp_http_credentials_load(config->http_private_key, config->http_certificate, &credentials, why, sizeof why);
        if (!r) {
            sp_http_credentials_clear(&credentials);
        }
    }
    sp_tokens_free(daemon.tokens);
    sp_tls_unref(daemon.tls);
    if (r) {
        fprintf(stderr, "sallyportd: %s\n", why);
        return EXIT_USAGE;
    }
    return EXIT_SUCCESS;
}

/* As many descriptors as the system lets this process have: each switch is one, and shells begin with 1024. */
static void
raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur == limit.rlim_max) {
        return;
    }
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit)) {
        sp_log(SP_LOG_WARNING, "main", "cannot raise the limit of file descriptors: %s", strerror(errno));
    }
}

/* Runs until a signal.  Returns the exit status. */
static int
run(const struct sp_config *config)
{
    struct daemon daemon = {0};
    char why[WHY_SIZE] = "";
    int r = uv_loop_init(&daemon.loop);
    if (r) {
        fprintf(stderr, "sallyportd: %s\n", uv_strerror(r));
        return EXIT_USAGE;
    }
    r = start(&daemon, config, why, sizeof why);
    if (r) {
        fprintf(stderr, "sallyportd: %s\n", why);
        stop(&daemon);
    } else {
        sp_api_ready(daemon.api);
        sp_log(SP_LOG_INFO, "main", "sallyportd %s is ready", SP_VERSION);
        sp_service_notify("READY=1");
        sp_service_watch(&daemon.loop, &daemon.watchdog);
        daemon.is_watched = true;
    }
    uv_run(&daemon.loop, UV_RUN_DEFAULT);
    sp_api_free(daemon.api);
    sp_tokens_free(daemon.tokens);
    sp_tls_unref(daemon.tls);
    free(daemon.https);
    free(daemon.ovsdbs);
    if (uv_loop_close(&daemon.loop)) {
        sp_log(SP_LOG_ERROR, "main", "something was left open at the end");
    }
    return r ? EXIT_USAGE : EXIT_SUCCESS;
}

int
main(int argc, char *argv[])
{
    struct sp_config config;
    enum sp_config_wish wish;
    char why[WHY_SIZE];
    if (sp_config_read(argc, argv, &config, &wish, why, sizeof why)) {
        fprintf(stderr, "sallyportd: %s\n", why);
        return EXIT_USAGE;
    }
    if (wish == SP_CONFIG_CHECK) {
        int status = check(&config);
        sp_config_clear(&config);
        return status;
    }
    if (wish != SP_CONFIG_RUN) {
        fputs(wish == SP_CONFIG_HELP ? sp_config_help() : "sallyportd " SP_VERSION "\n", stdout);
        return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
    }
    sp_log_set_level(config.log_level);
    sp_log_set_form(config.log_form);
    raise_descriptors();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* A limit on file sizes is the store's to report, not the end of everything. */
    int status = run(&config);
    sp_config_clear(&config);
    return status;
}
