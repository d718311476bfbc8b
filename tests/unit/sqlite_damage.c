#include "controller/store/sqlite.h"

#include <errno.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#include "controller/store/seal.h"
#include "tests/support/stored.h"

struct fixture {
    uv_loop_t loop;
    char folder[64];
    char path[96];
    struct sp_random random;
    struct sp_book book;
    unsigned char *bytes; /* The sound database. */
    size_t size;
};

static unsigned char *
read_file(const char *path, size_t *ret_size)
{
    FILE *file = fopen(path, "rb");
    unsigned char *bytes;

    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *ret_size = (size_t) ftell(file);
    rewind(file);
    bytes = malloc(*ret_size + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *ret_size, file), *ret_size);
    fclose(file);
    return bytes;
}

static void
write_file(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static int
setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct sp_counters counters;
    struct sp_store *store;
    char why[512] = "";

    assert_non_null(f);
    assert_int_equal(uv_loop_init(&f->loop), 0);
    snprintf(f->folder, sizeof f->folder, "/tmp/sallyport-damage.XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->path, sizeof f->path, "%s/sallyport.db", f->folder);
    sp_random_init(&f->random);
    if (sp_sqlite_open(&f->loop, f->path, sp_book_receive, &f->book, &counters, &store, why, sizeof why)) {
        fail_msg("%s", why);
    }
    sp_book_begin(&f->book, &f->random);
    assert_int_equal(sp_book_commit(&f->book, store, &f->loop, why, sizeof why), 0);
    for (int i = 0; i < 10; i++) {
        sp_book_wander(&f->book, &f->random);
        assert_int_equal(sp_book_commit(&f->book, store, &f->loop, why, sizeof why), 0);
    }
    store->ops->close(store);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    f->bytes = read_file(f->path, &f->size);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;
    char command[96];

    assert_int_equal(uv_loop_close(&f->loop), 0);
    snprintf(command, sizeof command, "rm -rf %s", f->folder);
    assert_int_equal(system(command), 0);
    sp_book_clear(&f->book);
    free(f->bytes);
    free(f);
    return 0;
}

/* Opens what is there.  What is refused must be as it was, with a line that names it. */
static int
try_open(struct fixture *f, char *why, size_t why_size)
{
    struct sp_book *read = calloc(1, sizeof *read);
    struct sp_store *store;
    size_t size, size_after;
    unsigned char *before = read_file(f->path, &size), *after;
    int r = sp_sqlite_open(&f->loop, f->path, sp_book_receive, read, &read->counters, &store, why, why_size);

    if (!r) {
        store->ops->close(store);
        uv_run(&f->loop, UV_RUN_DEFAULT);
    } else {
        after = read_file(f->path, &size_after);
        assert_int_equal(size, size_after);
        assert_memory_equal(before, after, size);
        free(after);
        assert_ptr_equal(strstr(why, f->path), why);
        assert_null(strchr(why, '\n'));
    }
    free(before);
    sp_book_clear(read);
    free(read);
    return r;
}

static void
restore(struct fixture *f)
{
    char log[112];

    write_file(f->path, f->bytes, f->size);
    snprintf(log, sizeof log, "%s-wal", f->path);
    unlink(log);
    snprintf(log, sizeof log, "%s-seal", f->path); /* It would tell them all. */
    unlink(log);
}

static void
run_sql(struct fixture *f, const char *sql)
{
    sqlite3 *database;
    char *error = NULL;

    assert_int_equal(sqlite3_open(f->path, &database), SQLITE_OK);
    if (sqlite3_exec(database, sql, NULL, NULL, &error)) {
        fail_msg("%s: %s", sql, error);
    }
    assert_int_equal(sqlite3_close(database), SQLITE_OK);
}

static void
test_sound(void **state)
{
    char why[512];

    assert_int_equal(try_open(*state, why, sizeof why), 0);
}

/* Bytes turn at random.  Many turn nothing that can be seen (a letter of a name); none may crash, and the store never opens
 * with an object that is not whole. */
static void
test_flipped(void **state)
{
    struct fixture *f = *state;
    unsigned n_refused = 0;

    for (int i = 0; i < 400; i++) {
        unsigned char *bytes = malloc(f->size);
        char why[512] = "";

        assert_non_null(bytes);
        memcpy(bytes, f->bytes, f->size);
        for (unsigned n = 1 + sp_random_below(&f->random, 8); n; n--) {
            /* Every other one near the beginning of a page, where its structure is. */
            size_t at = sp_random_below(&f->random, (uint32_t) f->size);

            at = sp_random_chance(&f->random, 50) ? at : at / 4096 * 4096 + at % 100;
            bytes[at] = (unsigned char) sp_random_next(&f->random);
        }
        restore(f);
        write_file(f->path, bytes, f->size);
        n_refused += try_open(f, why, sizeof why) != 0;
        free(bytes);
    }
    print_message("%u of 400 refused\n", n_refused);
    assert_true(n_refused > 100);
}

static void
test_truncated(void **state)
{
    struct fixture *f = *state;
    char why[512];

    /* From 2: SQLite takes a file of one byte for an empty one. */
    for (size_t size = 2; size < f->size; size += 1 + sp_random_below(&f->random, 2000)) {
        restore(f);
        write_file(f->path, f->bytes, size);
        if (try_open(f, why, sizeof why) != SP_E_DAMAGED) {
            fail_msg("%zu bytes of %zu accepted", size, f->size);
        }
    }
}

static void
test_no_database(void **state)
{
    static const char text[] = "#!/bin/sh\n# Some file of somebody's, longer than a header is.\n"
                               "echo 'this must not be touched'; echo 'this must not be touched'; exit 1\n";
    struct fixture *f = *state;
    char why[512];

    write_file(f->path, text, sizeof text);
    assert_int_equal(try_open(f, why, sizeof why), SP_E_DAMAGED);
    assert_non_null(strstr(why, "not a database"));
    write_file(f->path, text, 5);
    assert_int_equal(try_open(f, why, sizeof why), SP_E_DAMAGED);

    unlink(f->path);
    run_sql(f, "CREATE TABLE others (x); INSERT INTO others VALUES (1)");
    assert_int_equal(try_open(f, why, sizeof why), SP_E_DAMAGED);
    assert_non_null(strstr(why, "another program"));
    run_sql(f, "PRAGMA application_id = 1234");
    assert_int_equal(try_open(f, why, sizeof why), SP_E_DAMAGED);

    /* An empty file is a new database. */
    restore(f);
    write_file(f->path, "", 0);
    assert_int_equal(try_open(f, why, sizeof why), 0);
}

static void
test_newer(void **state)
{
    struct fixture *f = *state;
    char why[512];

    run_sql(f, "PRAGMA user_version = 1000");
    assert_int_equal(try_open(f, why, sizeof why), SP_E_NEWER);
    assert_non_null(strstr(why, "newer"));
    restore(f);
    run_sql(f, "PRAGMA user_version = 0");
    assert_int_equal(try_open(f, why, sizeof why), SP_E_DAMAGED);
}

/* What another hand can write and no object can be. */
static void
test_contradictions(void **state)
{
    static const char *const samples[] = {
        "PRAGMA ignore_check_constraints = ON; UPDATE rule SET priority = 0",
        "PRAGMA ignore_check_constraints = ON; UPDATE rule SET direction = 'sideways'",
        "PRAGMA ignore_check_constraints = ON; UPDATE port SET zone = 0",
        "PRAGMA ignore_check_constraints = ON; UPDATE rule SET port_min = 9, port_max = 8",
        "UPDATE rule SET security_group = upper(security_group) || 'x'",
        "PRAGMA foreign_keys = OFF; DELETE FROM region WHERE name = 'SV2'",
        "PRAGMA foreign_keys = OFF; DELETE FROM server; UPDATE port SET server = server",
        "DELETE FROM counters",
        ("INSERT INTO port SELECT '00000000-0000-4000-8000-000000000001', id, 99, '02:00:00:00:00:0g', NULL, NULL, NULL, 0, 1, 1"
         " FROM server LIMIT 1"),
        "UPDATE security_group SET name = CAST(x'ff' AS TEXT)",
        "UPDATE security_group SET description = CAST(x'6100620a' AS TEXT)",
        "UPDATE rule SET remote_group = NULL, remote_ip = '10.0.0.0/33'",
        "UPDATE rule SET remote_group = NULL, remote_ip = '::ffff:10.0.0.1'",
        "UPDATE bridge SET dpid = 'FEDCBA9876543210'; UPDATE port SET bridge = NULL, name = NULL; DELETE FROM bridge_uplink",
        "DROP TABLE admission",
        "ALTER TABLE server DROP COLUMN name",
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        char why[512] = "";
        int r;

        restore(f);
        run_sql(f, samples[i]);
        r = try_open(f, why, sizeof why);
        if (!r) {
            fail_msg("accepted after: %s", samples[i]);
        }
    }
}

/* A crash in the middle of creating the database leaves a journal: what is there is finished or begun anew. */
static void
test_half_made(void **state)
{
    struct fixture *f = *state;
    char why[512] = "", journal[112];

    snprintf(journal, sizeof journal, "%s-journal", f->path);
    restore(f);
    write_file(f->path, "", 0);
    write_file(journal, "", 0);
    assert_int_equal(try_open(f, why, sizeof why), 0);
}

static int
take_integer(void *ret, int n, char **values, char **names)
{
    *(uint64_t *) ret = strtoull(values[0], NULL, 10);
    return 0;
}

/* The seal knows what was answered last: a database that lacks but the last change is refused, however sound it is; one that
 * has more, as a controller that crashed before the answer leaves it, is not. */
static void
test_one_behind(void **state)
{
    struct fixture *f = *state;
    uint64_t revision = 0;
    sqlite3 *database;
    char why[512];

    restore(f);
    assert_int_equal(sqlite3_open(f->path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, "SELECT revision FROM counters", take_integer, &revision, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(database), SQLITE_OK);
    assert_true(revision > 0);
    for (uint64_t answered = revision - 1; answered <= revision + 1; answered++) {
        struct sp_seal seal = { .revision = answered, .checksum = 1 };
        int fd;

        restore(f);
        fd = sp_seal_open(f->path);
        assert_true(fd >= 0);
        assert_int_equal(sp_seal_write(fd, &seal), 0);
        close(fd);
        assert_int_equal(try_open(f, why, sizeof why), answered < revision ? 0 : SP_E_DAMAGED);
        assert_true(answered < revision || strstr(why, answered > revision ? "an older copy" : "changed by another hand"));
    }
}

#define WITH_DATABASE(TEST) cmocka_unit_test_setup_teardown(TEST, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DATABASE(test_sound),
        WITH_DATABASE(test_flipped),
        WITH_DATABASE(test_truncated),
        WITH_DATABASE(test_no_database),
        WITH_DATABASE(test_newer),
        WITH_DATABASE(test_contradictions),
        WITH_DATABASE(test_half_made),
        WITH_DATABASE(test_one_behind),
    };

    return cmocka_run_group_tests_name("sqlite_damage", tests, NULL, NULL);
}
