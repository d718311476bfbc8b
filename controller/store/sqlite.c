/* The happy path of a commit: the loop leaves a job, the writer's thread takes it, writes it in one transaction and wakes the
 * loop, which calls 'done'.  Counts go the same way, as a second job that the thread takes when there is no commit.  What can go
 * wrong: the transaction fails, is rolled back, and 'done' hears of it; what it may have
 * left on the disk is overwritten, if need be again and again, so that no crash brings it back; the store is closed with a job
 * under way: it is waited for, and 'done' is called from inside of the closing. */

#include "controller/store/sqlite.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "controller/obs/log.h"
#include "controller/store/checksum.h"
#include "controller/store/rows.h"
#include "controller/store/schema.h"
#include "controller/store/seal.h"

#define OVERRIDE "it is taken as it is once the file that ends in " SP_SEAL_SUFFIX " is removed"
#define MAY_COUNT                                                                                                             \
    "; it cannot be taken off the disk yet: if the controller ends before that, the change may count from its next start on"
#define OVERWRITE_NS UINT64_C(250000000) /* Between two tries. */

struct job {
    const struct sp_count_rows *rows; /* NULL: a commit. */
    const struct sp_change *changes;
    size_t n_changes;
    struct sp_counters counters;
    struct sp_journal journal;
    void (*done)(void *aux, int error, const char *why);
    void *aux;
    int error;
    char why[400];
    bool is_ready;   /* For the writer; these two are guarded by the mutex. */
    bool is_written;
};

enum { COMMIT, COUNT, N_JOBS }; /* In the order in which the writer takes them. */

struct sqlite_store {
    struct sp_store store;
    char *path;
    struct sp_database *database; /* The writer's, from the start of its thread to its end. */
    struct sp_rows *rows;
    uint64_t checksum;            /* Of all objects. */
    struct sp_seal sealed;        /* As it was found, if it was. */
    bool is_sealed;
    int seal;                     /* A descriptor. */
    bool has_complained;          /* Of the seal. */
    bool has_remains;             /* Of a transaction that failed, in the log of the database. */
    struct sp_pages *pages;
    struct sp_count_statements *counts;
    struct job jobs[N_JOBS];      /* Each the loop's, but the writer's while it is ready. */
    unsigned n_jobs;              /* Under way. */
    uv_async_t wake;              /* Keeps the loop running while a job is under way. */
    uv_thread_t thread;
    uv_mutex_t mutex;             /* Of the one below, and of the jobs' states. */
    uv_cond_t cond;
    bool is_ending;
};

static int read_seal(struct sqlite_store *, char *why, size_t why_size);
static int load(struct sqlite_store *, sp_store_receive *, void *aux, struct sp_counters *ret, char *why, size_t why_size);
static int start(struct sqlite_store *, struct uv_loop_s *);
static void end_thread(struct sqlite_store *);
static void commit(struct sp_store *, const struct sp_change *, size_t n_changes, const struct sp_counters *,
                   const struct sp_journal *, void (*done)(void *aux, int error, const char *why), void *aux);
static int load_history(struct sp_store *, sp_store_receive_record *, void *aux, char *why, size_t why_size);
static int recall(struct sp_store *, const struct sp_count_receiver *, void *aux, int64_t *ret_since, char *why, size_t why_size);
static void count(struct sp_store *, const struct sp_count_rows *, void (*done)(void *aux, int error, const char *why),
                  void *aux);
static void close_store(struct sp_store *);
static void begin(struct sqlite_store *, struct job *, const struct job *what);
static void write_jobs(void *store);
static void write_job(struct sqlite_store *, struct job *);
static void seal(struct sqlite_store *);
static void overwrite(struct sqlite_store *);
static void on_wake(uv_async_t *);
static void on_wake_closed(uv_handle_t *);
static void deliver(struct sqlite_store *, struct job *);

static const struct sp_store_ops ops = {
    .commit = commit,
    .load_history = load_history,
    .recall = recall,
    .count = count,
    .close = close_store,
};

int
sp_sqlite_open(struct uv_loop_s *loop, const char *path, sp_store_receive *receive, void *aux, struct sp_counters *ret_counters,
               struct sp_store **ret, char *why, size_t why_size)
{
    struct sqlite_store *s = calloc(1, sizeof *s);
    struct sp_counters counters;
    char reason[256] = "refused by its reader";
    int r = -ENOMEM;

    if (!s || !(s->path = strdup(path))) {
        free(s);
        snprintf(why, why_size, "%s: out of memory", path);
        return r;
    }
    s->store.ops = &ops;
    s->seal = -1;
    r = read_seal(s, why, why_size);
    r = r ? r : sp_database_open(path, &sp_store_schema, &s->database, why, why_size);
    if (r) {
        free(s->path);
        free(s);
        return r;
    }
    r = load(s, receive, aux, &counters, reason, sizeof reason);
    if (!r) {
        r = sp_rows_new(s->database, &s->rows);
        r = r ? r : sp_pages_new(s->database, &s->pages);
        r = r ? r : sp_count_statements_new(s->database, &s->counts);
        r = r ? r : start(s, loop);
        snprintf(reason, sizeof reason, "cannot prepare to write: %s", sp_database_why(s->database));
    }
    if (r) {
        snprintf(why, why_size, "%s: %s", path, reason);
        sp_pages_free(s->pages);
        sp_rows_free(s->rows);
        sp_count_statements_free(s->counts);
        sp_database_abandon(s->database);
        if (s->seal >= 0) {
            close(s->seal);
        }
        free(s->path);
        free(s);
        return r;
    }
    *ret_counters = counters;
    *ret = &s->store;
    return 0;
}

struct reception {
    struct sqlite_store *store;
    sp_store_receive *receive;
    void *aux;
};

static int
receive_one(void *aux, struct sp_object object)
{
    struct reception *reception = aux;

    reception->store->checksum += sp_checksum_object(object);
    return reception->receive(reception->aux, object);
}

/* Reads the seal, before anything is touched: where there is one there is a database. */
static int
read_seal(struct sqlite_store *s, char *why, size_t why_size)
{
    struct stat there;
    int r = sp_seal_read(s->path, &s->sealed, &s->is_sealed);

    if (r) {
        snprintf(why, why_size, "%s" SP_SEAL_SUFFIX ": %s", s->path, strerror(-r));
    } else if (s->is_sealed && s->sealed.revision && (stat(s->path, &there) ? errno == ENOENT : !there.st_size)) {
        snprintf(why, why_size, "%s: damaged: there is nothing, and change %" PRIu64 " was answered; " OVERRIDE, s->path,
                 s->sealed.revision);
        r = SP_E_DAMAGED;
    }
    return r;
}

/* Loads all rows, and compares them with the seal. */
static int
load(struct sqlite_store *s, sp_store_receive *receive, void *aux, struct sp_counters *ret, char *why, size_t why_size)
{
    struct reception reception = {s, receive, aux};
    int r = sp_rows_load(s->database, receive_one, &reception, ret, why, why_size);

    if (r) {
        return r;
    }
    if (s->is_sealed && s->sealed.revision > ret->revision) {
        snprintf(why, why_size,
                 "damaged, or an older copy: its last change is %" PRIu64 ", and %" PRIu64 " was answered; " OVERRIDE,
                 ret->revision, s->sealed.revision);
        return SP_E_DAMAGED;
    }
    if (s->is_sealed && s->sealed.revision == ret->revision && s->sealed.checksum != s->checksum + sp_checksum_counters(ret)) {
        snprintf(why, why_size, "damaged, or changed by another hand: it does not hold what was stored; " OVERRIDE);
        return SP_E_DAMAGED;
    }
    s->seal = sp_seal_open(s->path);
    if (s->seal < 0) {
        snprintf(why, why_size, "cannot make its seal: %s", strerror(-s->seal));
    }
    return s->seal < 0 ? s->seal : 0;
}

/* The thread first: it waits for work, and is easier to end than a handle. */
static int
start(struct sqlite_store *s, struct uv_loop_s *loop)
{
    int r = uv_mutex_init(&s->mutex);

    if (r) {
        return r;
    }
    r = uv_cond_init(&s->cond);
    if (r) {
        uv_mutex_destroy(&s->mutex);
        return r;
    }
    r = uv_thread_create(&s->thread, write_jobs, s);
    if (!r) {
        r = uv_async_init(loop, &s->wake, on_wake);
        if (!r) {
            s->wake.data = s;
            uv_unref((uv_handle_t *) &s->wake);
            return 0;
        }
        end_thread(s);
    }
    uv_cond_destroy(&s->cond);
    uv_mutex_destroy(&s->mutex);
    return r;
}

static void
end_thread(struct sqlite_store *s)
{
    uv_mutex_lock(&s->mutex);
    s->is_ending = true;
    uv_cond_signal(&s->cond);
    uv_mutex_unlock(&s->mutex);
    uv_thread_join(&s->thread);
}

static void
commit(struct sp_store *store, const struct sp_change *changes, size_t n_changes, const struct sp_counters *counters,
       const struct sp_journal *journal, void (*done)(void *aux, int error, const char *why), void *aux)
{
    struct sqlite_store *s = (struct sqlite_store *) store;

    assert(!s->jobs[COMMIT].done);

    struct job job = {.changes = changes, .n_changes = n_changes, .counters = *counters, .done = done, .aux = aux};

    if (journal) {
        job.journal = *journal;
    }
    begin(s, &s->jobs[COMMIT], &job);
}

static int
load_history(struct sp_store *store, sp_store_receive_record *receive, void *aux, char *why, size_t why_size)
{
    struct sqlite_store *s = (struct sqlite_store *) store;

    assert(!s->n_jobs); /* The writer waits for work. */
    return sp_pages_load(s->database, receive, aux, why, why_size);
}

/* As for the history. */
static int
recall(struct sp_store *store, const struct sp_count_receiver *receiver, void *aux, int64_t *ret_since, char *why,
       size_t why_size)
{
    struct sqlite_store *s = (struct sqlite_store *) store;
    char reason[256] = "refused by its reader";

    assert(!s->n_jobs);

    int r = sp_count_rows_load(s->database, receiver, aux, ret_since, reason, sizeof reason);

    if (r) {
        snprintf(why, why_size, "%.200s: %.255s", s->path, reason);
    }
    return r;
}

static void
count(struct sp_store *store, const struct sp_count_rows *rows, void (*done)(void *aux, int error, const char *why), void *aux)
{
    struct sqlite_store *s = (struct sqlite_store *) store;

    assert(!s->jobs[COUNT].done);
    begin(s, &s->jobs[COUNT], &(struct job) {.rows = rows, .done = done, .aux = aux});
}

/* 'job' is to be 'what'. */
static void
begin(struct sqlite_store *s, struct job *job, const struct job *what)
{
    if (!s->n_jobs++) {
        uv_ref((uv_handle_t *) &s->wake);
    }
    uv_mutex_lock(&s->mutex);
    *job = *what;
    job->is_ready = true;
    uv_cond_signal(&s->cond);
    uv_mutex_unlock(&s->mutex);
}

static void
close_store(struct sp_store *store)
{
    struct sqlite_store *s = (struct sqlite_store *) store;

    end_thread(s);
    for (size_t i = 0; i < N_JOBS; i++) {
        deliver(s, &s->jobs[i]);
    }
    sp_pages_free(s->pages);
    sp_rows_free(s->rows);
    sp_count_statements_free(s->counts);
    sp_database_close(s->database);
    close(s->seal);
    uv_cond_destroy(&s->cond);
    uv_mutex_destroy(&s->mutex);
    uv_close((uv_handle_t *) &s->wake, on_wake_closed);
}

/* What the writer is to do next, or NULL. */
static struct job *
next_job(struct sqlite_store *s)
{
    for (size_t i = 0; i < N_JOBS; i++) {
        if (s->jobs[i].is_ready) {
            return &s->jobs[i];
        }
    }
    return NULL;
}

/* The writer's thread. */
static void
write_jobs(void *store)
{
    struct sqlite_store *s = store;

    uv_mutex_lock(&s->mutex);
    for (;;) {
        struct job *job;

        while (!(job = next_job(s)) && !s->is_ending) {
            if (!s->has_remains) {
                uv_cond_wait(&s->cond, &s->mutex);
            } else if (uv_cond_timedwait(&s->cond, &s->mutex, OVERWRITE_NS)) {
                uv_mutex_unlock(&s->mutex);
                overwrite(s);
                uv_mutex_lock(&s->mutex);
            }
        }
        if (!job) {
            break;
        }
        uv_mutex_unlock(&s->mutex);
        write_job(s, job);
        uv_mutex_lock(&s->mutex);
        job->is_ready = false;
        job->is_written = true;
        uv_async_send(&s->wake);
    }
    uv_mutex_unlock(&s->mutex);
}

static void
write_job(struct sqlite_store *s, struct job *job)
{
    int r = sp_database_begin(s->database);
    bool is_all_written = false;

    if (!r) {
        r = job->rows ? sp_count_statements_write(s->counts, job->rows)
                      : sp_rows_write(s->rows, job->changes, job->n_changes, &job->counters);
        if (!r) {
            r = sp_pages_write(s->pages, &job->journal);
        }
        if (!r) {
            is_all_written = true;
            r = sp_database_commit(s->database);
        }
        if (r) {
            snprintf(job->why, sizeof job->why, "%.255s", r == -ENOMEM ? "out of memory" : sp_database_why(s->database));
            sp_database_rollback(s->database);
            s->has_remains = true;
        }
    } else {
        snprintf(job->why, sizeof job->why, "%s", sp_database_why(s->database));
    }
    job->error = r > 0 ? -EIO : r; /* Damage found while writing: the disk's fault for all that the caller can do. */
    if (!r) {
        s->has_remains = false; /* This stands in their place. */
        if (!job->rows) {
            seal(s);
        }
    } else if (s->has_remains) {
        overwrite(s);
        if (s->has_remains && is_all_written && !job->rows) {
            size_t len = strlen(job->why);

            snprintf(job->why + len, sizeof job->why - len, MAY_COUNT);
        }
    }
}

static void
seal(struct sqlite_store *s)
{
    const struct job *job = &s->jobs[COMMIT];

    for (size_t i = 0; i < job->n_changes; i++) {
        s->checksum += sp_checksum_change(&job->changes[i]);
    }

    const struct sp_seal seal = {job->counters.revision, s->checksum + sp_checksum_counters(&job->counters)};
    int r = sp_seal_write(s->seal, &seal);

    if (r && !s->has_complained) {
        sp_log(SP_LOG_WARNING, "store", "%s" SP_SEAL_SUFFIX ": %s; damage may go unnoticed", s->path, strerror(-r));
    }
    s->has_complained = r;
}

static void
overwrite(struct sqlite_store *s)
{
    if (!sp_database_overwrite(s->database)) {
        s->has_remains = false;
        sp_log(SP_LOG_INFO, "store", "%s: can be written to", s->path);
    }
}

static void
on_wake(uv_async_t *wake)
{
    struct sqlite_store *s = wake->data;

    for (size_t i = 0; i < N_JOBS; i++) {
        deliver(s, &s->jobs[i]);
    }
}

/* Calls 'done', which may well leave the next job, if there is a result. */
static void
deliver(struct sqlite_store *s, struct job *job)
{
    char why[640] = "";
    bool is_written;

    uv_mutex_lock(&s->mutex);
    is_written = job->is_written;
    job->is_written = false;
    uv_mutex_unlock(&s->mutex);
    if (!is_written) {
        return;
    }

    void (*done)(void *aux, int error, const char *why) = job->done;
    int error = job->error;

    if (error) {
        snprintf(why, sizeof why, "%.200s: %.399s", s->path, job->why);
    }
    job->done = NULL;
    if (!--s->n_jobs) {
        uv_unref((uv_handle_t *) &s->wake);
    }
    done(job->aux, error, error ? why : NULL);
}

static void
on_wake_closed(uv_handle_t *handle)
{
    struct sqlite_store *s = handle->data;

    free(s->path);
    free(s);
}
