#include "controller/store/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#include "controller/model/object.h"
#include "tests/support/stored.h"

struct fixture {
    uv_loop_t loop;
    char folder[64];
    char path[96];
    struct sp_random random;
    struct sp_book book; /* What the store should hold. */
};

static int
setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    assert_int_equal(uv_loop_init(&f->loop), 0);
    snprintf(f->folder, sizeof f->folder, "/tmp/sallyport-store.XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->path, sizeof f->path, "%s/made/sallyport.db", f->folder);
    sp_random_init(&f->random);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;
    char command[96];

    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    snprintf(command, sizeof command, "rm -rf %s", f->folder);
    assert_int_equal(system(command), 0);
    sp_book_clear(&f->book);
    free(f);
    return 0;
}

/* Opens the store at 'path'; what it holds goes to 'book' (NULL: nowhere). */
static struct sp_store *
open_at(struct fixture *f, const char *path, struct sp_book *book)
{
    struct sp_book *unread = book ? NULL : calloc(1, sizeof *unread);
    struct sp_book *into = book ? book : unread;
    struct sp_store *store;
    char why[512] = "";

    if (sp_sqlite_open(&f->loop, path, sp_book_receive, into, &into->counters, &store, why, sizeof why)) {
        fail_msg("%s", why);
    }
    if (unread) {
        sp_book_clear(unread);
        free(unread);
    }
    return store;
}

static void
close_store(struct fixture *f, struct sp_store *store)
{
    store->ops->close(store);
    uv_run(&f->loop, UV_RUN_DEFAULT);
}

static void
assert_holds(struct fixture *f, const struct sp_book *expected)
{
    struct sp_book *read = calloc(1, sizeof *read);
    struct sp_store *store = open_at(f, f->path, read);

    sp_book_assert_equal(expected, read);
    close_store(f, store);
    sp_book_clear(read);
    free(read);
}

static struct sp_store *
begin(struct fixture *f)
{
    struct sp_store *store = open_at(f, f->path, NULL);
    char why[512];

    sp_book_begin(&f->book, &f->random);
    if (sp_book_commit(&f->book, store, &f->loop, why, sizeof why)) {
        fail_msg("%s", why);
    }
    return store;
}

static void
test_new(void **state)
{
    struct fixture *f = *state;
    struct sp_store *store = open_at(f, f->path, &f->book);
    struct stat made;
    char folder[96];

    assert_int_equal(f->book.n, 0);
    assert_int_equal(f->book.counters.revision, 0);
    assert_int_equal(f->book.counters.next_region, 1);
    assert_int_equal(f->book.counters.next_zone, 1);
    assert_int_equal(stat(f->path, &made), 0);
    assert_int_equal(made.st_mode & 0777, 0600);
    snprintf(folder, sizeof folder, "%s/made", f->folder);
    assert_int_equal(stat(folder, &made), 0);
    assert_int_equal(made.st_mode & 0777, 0750);
    close_store(f, store);
    assert_holds(f, &f->book);
}

static void
test_round_trip(void **state)
{
    struct fixture *f = *state;

    close_store(f, begin(f));
    assert_holds(f, &f->book);
}

/* Objects change in every way, and after each few commits a reopened store holds just what it should. */
static void
test_changes(void **state)
{
    struct fixture *f = *state;
    struct sp_store *store = begin(f);
    char why[512];

    for (int i = 0; i < 400; i++) {
        sp_book_wander(&f->book, &f->random);
        if (sp_book_commit(&f->book, store, &f->loop, why, sizeof why)) {
            fail_msg("%s", why);
        }
        if (i % 20 == 19) {
            close_store(f, store);
            assert_holds(f, &f->book);
            store = open_at(f, f->path, NULL);
        }
    }
    close_store(f, store);
}

static void
test_delete_all(void **state)
{
    struct fixture *f = *state;
    struct sp_store *store = begin(f);

    while (f->book.n) {
        struct sp_object o = f->book.objects[0];

        sp_book_change(&f->book, o.kind, o.object, NULL);
    }
    f->book.counters.revision++;
    assert_int_equal(sp_book_commit(&f->book, store, &f->loop, NULL, 0), 0);
    close_store(f, store);
    assert_holds(f, &f->book);
}

/* A transaction that contradicts the database or itself changes nothing, and the next one is fine. */
static void
test_refused_commit(void **state)
{
    struct fixture *f = *state;
    struct sp_store *store = begin(f);
    struct sp_counters counters = f->book.counters;
    const struct sp_region *region = sp_book_find(&f->book, SP_KIND_REGION, 0);
    struct sp_region stray = *region;
    char why[512] = "";

    stray.name = (char *) "elsewhere";
    stray.number = 77;
    stray.default_group = sp_random_uuid(&f->random); /* No such group: seen when the transaction ends. */
    f->book.counters.revision = 1000;
    sp_book_change(&f->book, SP_KIND_REGION, NULL, sp_region_new(&stray));
    assert_true(sp_book_commit(&f->book, store, &f->loop, why, sizeof why) < 0);
    assert_non_null(strstr(why, f->path));
    assert_null(strchr(why, '\n'));

    sp_book_change(&f->book, SP_KIND_REGION, NULL, sp_region_new(region)); /* The name is taken: seen at once. */
    assert_true(sp_book_commit(&f->book, store, &f->loop, why, sizeof why) < 0);

    f->book.counters = counters;
    sp_book_wander(&f->book, &f->random);
    assert_int_equal(sp_book_commit(&f->book, store, &f->loop, why, sizeof why), 0);
    close_store(f, store);
    assert_holds(f, &f->book);
}

static void
note_done(void *aux, int error, const char *why)
{
    *(int *) aux = error ? error : 1;
}

/* Closing waits for the commit that is under way. */
static void
test_close_with_commit_under_way(void **state)
{
    struct fixture *f = *state;
    struct sp_store *store = open_at(f, f->path, NULL);
    int done = 0;

    sp_book_begin(&f->book, &f->random);
    store->ops->commit(store, f->book.changes, f->book.n_changes, &f->book.counters, NULL, note_done, &done);
    assert_int_equal(done, 0);
    store->ops->close(store);
    assert_int_equal(done, 1);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    sp_book_settle(&f->book, true);
    assert_holds(f, &f->book);
}

/* The child commits and says so on the pipe after each; it is killed right after one of these words, and the next one goes on. */
static void
commit_for_ever(struct fixture *f, uint64_t seed, int words)
{
    struct sp_book *book = calloc(1, sizeof *book);
    struct sp_random random = {.seed = seed, .state = seed};
    struct sp_store *store;
    char why[512];
    uv_loop_t loop;

    if (!book || uv_loop_init(&loop)
        || sp_sqlite_open(&loop, f->path, sp_book_receive, book, &book->counters, &store, why, sizeof why)) {
        _exit(1);
    }
    for (;;) {
        if (book->n) {
            sp_book_wander(book, &random);
        } else {
            sp_book_begin(book, &random);
        }
        if (sp_book_commit(book, store, &loop, why, sizeof why)
            || write(words, &book->counters, sizeof book->counters) != sizeof book->counters) {
            _exit(1);
        }
    }
}

static void
test_kill(void **state)
{
    struct fixture *f = *state;
    uint64_t n_commits = 0;

    for (int round = 0; round < 25; round++) {
        unsigned n_wanted = 1 + sp_random_below(&f->random, 40);
        uint64_t seed = sp_random_next(&f->random);
        struct sp_book *found = calloc(1, sizeof *found);
        struct sp_counters last = {0};
        int words[2], status;

        assert_int_equal(pipe2(words, O_CLOEXEC), 0);

        pid_t child = fork();

        if (!child) {
            commit_for_ever(f, seed, words[1]);
        }
        close(words[1]);
        for (unsigned i = 0; i < n_wanted; i++) {
            assert_int_equal(read(words[0], &last, sizeof last), sizeof last);
        }
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        while (read(words[0], &last, sizeof last) == sizeof last) { /* Said before it was killed. */
        }
        close(words[0]);

        struct sp_store *store = open_at(f, f->path, found);

        /* One more may have been written whose word did not come. */
        assert_true(found->counters.revision >= last.revision && found->counters.revision <= last.revision + 1);
        n_commits += n_wanted;
        close_store(f, store);
        sp_book_clear(found);
        free(found);
    }
    print_message("%llu commits acknowledged\n", (unsigned long long) n_commits);
}

static void
test_second_opener(void **state)
{
    struct fixture *f = *state;
    struct sp_store *store = begin(f), *second;
    struct sp_counters counters;
    char why[512] = "";
    int status;

    /* In this process. */
    assert_int_equal(sp_sqlite_open(&f->loop, f->path, sp_book_receive, NULL, &counters, &second, why, sizeof why), -EBUSY);
    assert_non_null(strstr(why, f->path));

    /* In another. */
    pid_t child = fork();

    if (!child) {
        uv_loop_t loop;

        _exit(uv_loop_init(&loop)
              || sp_sqlite_open(&loop, f->path, sp_book_receive, NULL, &counters, &second, why, sizeof why) != -EBUSY);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);

    /* The first is none the worse. */
    sp_book_wander(&f->book, &f->random);
    assert_int_equal(sp_book_commit(&f->book, store, &f->loop, NULL, 0), 0);
    assert_int_equal(sp_sqlite_open(&f->loop, f->path, sp_book_receive, NULL, &counters, &second, why, sizeof why), -EBUSY);
    close_store(f, store);
    assert_holds(f, &f->book);
}

static int
try_open(struct fixture *f, const char *path, char *why, size_t why_size)
{
    struct sp_counters counters;
    struct sp_store *store = NULL;

    return sp_sqlite_open(&f->loop, path, sp_book_receive, NULL, &counters, &store, why, why_size);
}

static void
test_unusable_paths(void **state)
{
    struct fixture *f = *state;
    char path[128], why[512] = "";
    int status;

    snprintf(path, sizeof path, "%s/a/b/c.db", f->folder);
    assert_int_equal(try_open(f, path, why, sizeof why), -ENOENT);
    assert_non_null(strstr(why, path));
    assert_int_equal(try_open(f, f->folder, why, sizeof why), -EINVAL);
    assert_int_equal(try_open(f, "/dev/null/x.db", why, sizeof why), -ENOTDIR);

    if (getuid()) {
        return;
    }
    /* A folder, and a file, that are not ours to write to: seen from a process without root's powers. */
    close_store(f, begin(f));
    assert_int_equal(chmod(f->folder, 0755), 0);
    snprintf(path, sizeof path, "%s/made", f->folder);
    assert_int_equal(chmod(path, 0755), 0);
    assert_int_equal(chmod(f->path, 0644), 0);

    pid_t child = fork();

    if (!child) {
        uv_loop_t loop;

        snprintf(path, sizeof path, "%s/new.db", f->folder);
        _exit(uv_loop_init(&loop) || setuid(65534) || try_open(f, path, why, sizeof why) != -EACCES
              || try_open(f, f->path, why, sizeof why) >= 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_holds(f, &f->book);
}

/* The disk is full for a while (a limit on the size of files says so): commits fail and change nothing, and go on later. */
static void
test_full_disk(void **state)
{
    struct fixture *f = *state;
    struct sp_store *store = begin(f);
    struct rlimit before, tight;
    unsigned n_failed = 0;
    char why[512] = "", log[112];
    struct stat size;

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    for (int i = 0; i < 200; i++) {
        bool full = i % 10 >= 5;
        struct sp_counters counters = f->book.counters;

        snprintf(log, sizeof log, "%s-wal", f->path);
        assert_int_equal(stat(log, &size), 0);
        tight = before;
        tight.rlim_cur = full ? (rlim_t) size.st_size + sp_random_below(&f->random, 4096) : before.rlim_cur;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
        sp_book_wander(&f->book, &f->random);

        int r = sp_book_commit(&f->book, store, &f->loop, why, sizeof why);

        if (r) {
            assert_true(full && r < 0);
            assert_non_null(strstr(why, f->path));
            f->book.counters = counters;
            n_failed++;
        }
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_true(n_failed > 10);
    close_store(f, store);
    assert_holds(f, &f->book);
}

static unsigned long
bytes_written(void)
{
    FILE *file = fopen("/proc/self/io", "r");
    unsigned long bytes = 0;
    char line[128];

    assert_non_null(file);
    while (fgets(line, sizeof line, file) && sscanf(line, "wchar: %lu", &bytes) != 1) {
    }
    fclose(file);
    return bytes;
}

/* Of the processor, as the machine may be busy with other things. */
static unsigned long
cpu_ms(void)
{
    return (unsigned long) (clock() / (CLOCKS_PER_SEC / 1000));
}

/* One rule of ten thousand changes: about that much is written, not the group. */
static void
test_little_is_written(void **state)
{
    enum { N = 10000 };
    struct fixture *f = *state;
    struct sp_store *store = begin(f);
    const struct sp_group *old = sp_book_find(&f->book, SP_KIND_GROUP, 2);
    struct sp_rule **rules = calloc(N + 1, sizeof *rules);
    struct sp_group group = *old;
    unsigned long whole, begun = bytes_written();
    unsigned long begun_ms = cpu_ms();

    group.rules = rules;
    group.n_rules = N;
    for (size_t i = 0; i < N; i++) {
        rules[i] = sp_random_rule(&f->random, NULL);
    }
    sp_book_change(&f->book, SP_KIND_GROUP, old, sp_group_new(&group));
    assert_int_equal(sp_book_commit(&f->book, store, &f->loop, NULL, 0), 0);
    whole = bytes_written() - begun;
    print_message("10,000 rules: %lu bytes, %lu ms of CPU\n", whole, cpu_ms() - begun_ms);

    for (int step = 0; step < 3; step++) {
        old = sp_book_find(&f->book, SP_KIND_GROUP, 2);
        assert_true(old->n_rules > N / 2);
        group.region = old->region; /* The one before has gone. */
        group.name = old->name;
        group.description = old->description;
        begun = bytes_written();
        if (step == 0) { /* One is edited. */
            struct sp_rule edited = *rules[5000];

            edited.description = (char *) "edited";
            sp_rule_unref(rules[5000]);
            rules[5000] = sp_rule_new(&edited);
        } else if (step == 1) { /* One goes. */
            sp_rule_unref(rules[5000]);
            memmove(&rules[5000], &rules[5001], (N - 5001) * sizeof *rules);
            group.n_rules--;
        } else { /* One comes. */
            rules[group.n_rules++] = sp_random_rule(&f->random, NULL);
        }
        sp_book_change(&f->book, SP_KIND_GROUP, old, sp_group_new(&group));
        assert_int_equal(sp_book_commit(&f->book, store, &f->loop, NULL, 0), 0);
        assert_true(bytes_written() - begun < whole / 20);
    }
    close_store(f, store);
    assert_holds(f, &f->book);
    for (size_t i = 0; i < group.n_rules; i++) {
        sp_rule_unref(rules[i]);
    }
    free(rules);
}

/* All of a region's servers change their group in one transaction. */
static void
test_many_servers(void **state)
{
    enum { N = 10000 };
    struct fixture *f = *state;
    struct sp_store *store = begin(f);
    const struct sp_rule_set *set = sp_book_find(&f->book, SP_KIND_RULE_SET, 0);
    struct sp_change *changes = calloc(N, sizeof *changes);
    unsigned long begun;
    int done;

    for (int step = 0; step < 3; step++) {
        for (size_t i = 0; i < N; i++) {
            const struct sp_group *group = sp_book_find(&f->book, SP_KIND_GROUP, (size_t) step % 2);
            const struct sp_server *old = changes[i].after;
            struct sp_uuid groups[1] = {group->id};
            struct sp_server server = {.id = sp_random_uuid(&f->random), .name = (char *) "vm", .region = (char *) "SV2"};
            struct sp_cidr ip;
            struct sp_port *port = NULL;

            if (old) {
                server = *old;
            } else {
                struct sp_port fields = {.id = sp_random_uuid(&f->random), .server = server.id, .ips = &ip, .n_ips = 1,
                                         .iface_id = (char *) "i", .zone = 1};

                assert_int_equal(sp_cidr_parse("192.0.2.1", &ip), 0);
                port = sp_port_new(&fields);
                server.ports = &port;
                server.n_ports = 1;
            }
            server.groups = groups;
            server.n_groups = 1;
            server.set = step % 2 ? 0 : set->number;

            struct sp_server *new = step < 2 ? sp_server_new(&server) : NULL;

            sp_server_unref(changes[i].before);
            sp_port_unref(port);
            changes[i] = (struct sp_change) {.kind = SP_KIND_SERVER, .before = old, .after = new};
        }
        done = 0;
        begun = cpu_ms();
        store->ops->commit(store, changes, N, &f->book.counters, NULL, note_done, &done);
        while (!done) {
            uv_run(&f->loop, UV_RUN_ONCE);
        }
        assert_int_equal(done, 1);
        print_message("10,000 servers %s: %lu ms of CPU\n", step == 0 ? "created" : step == 1 ? "changed" : "deleted",
                      cpu_ms() - begun);
    }
    for (size_t i = 0; i < N; i++) {
        sp_server_unref(changes[i].before);
    }
    free(changes);
    close_store(f, store);
    assert_holds(f, &f->book);
}

#define WITH_FOLDER(TEST) cmocka_unit_test_setup_teardown(TEST, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(test_new),
        WITH_FOLDER(test_round_trip),
        WITH_FOLDER(test_changes),
        WITH_FOLDER(test_delete_all),
        WITH_FOLDER(test_refused_commit),
        WITH_FOLDER(test_close_with_commit_under_way),
        WITH_FOLDER(test_kill),
        WITH_FOLDER(test_second_opener),
        WITH_FOLDER(test_unusable_paths),
        WITH_FOLDER(test_full_disk),
        WITH_FOLDER(test_little_is_written),
        WITH_FOLDER(test_many_servers),
    };

    return cmocka_run_group_tests_name("sqlite", tests, NULL, NULL);
}
