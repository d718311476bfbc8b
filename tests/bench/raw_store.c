/* The disk's own limit: ROWS rows (1) in one durable transaction, with the settings of the controller's store.
 *
 *     raw_store FILE ROUNDS [ROWS]
 *
 * Makes FILE, prints {"seconds": [...]}, one number per transaction.  A write-ahead log that still grows costs more than one
 * that has its size, as it has in a daemon that runs for a while; so it is grown first.  Exit status: 0 done, 2 something
 * failed. */

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void check(sqlite3 *db, int code)
{
    if (code != SQLITE_OK && code != SQLITE_DONE) {
        fprintf(stderr, "raw_store: %s\n", sqlite3_errmsg(db));
        exit(2);
    }
}

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

static void step(sqlite3 *db, sqlite3_stmt *stmt)
{
    check(db, sqlite3_step(stmt));
    check(db, sqlite3_reset(stmt));
}

int main(int argc, char **argv)
{
    static const char text[] = "{\"direction\":\"inbound\",\"protocol\":\"tcp\",\"remote_ip\":\"10.0.1.0/24\",\"port_min\":1000}";
    sqlite3 *db;
    sqlite3_stmt *begin, *insert, *commit;
    long rounds = argc > 2 ? strtol(argv[2], NULL, 0) : 0;
    long rows = argc > 3 ? strtol(argv[3], NULL, 0) : 1;

    if (rounds < 1) {
        fprintf(stderr, "usage: %s FILE ROUNDS [ROWS]\n", argv[0]);
        return 2;
    }
    check(NULL, sqlite3_open(argv[1], &db));
    check(db, sqlite3_exec(db,
                           "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                           "CREATE TABLE rule (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;"
                           "CREATE TABLE ballast (content BLOB); INSERT INTO ballast VALUES (zeroblob(8000000));"
                           "PRAGMA wal_checkpoint(RESTART)",
                           NULL, NULL, NULL));
    check(db, sqlite3_prepare_v2(db, "BEGIN IMMEDIATE", -1, &begin, NULL));
    check(db, sqlite3_prepare_v2(db, "INSERT INTO rule (text) VALUES (?)", -1, &insert, NULL));
    check(db, sqlite3_prepare_v2(db, "COMMIT", -1, &commit, NULL));
    check(db, sqlite3_bind_text(insert, 1, text, -1, SQLITE_STATIC));
    printf("{\"seconds\": [");
    for (long i = 0; i < rounds; i++) {
        double start = now_s();

        step(db, begin);
        for (long k = 0; k < rows; k++) {
            step(db, insert);
        }
        step(db, commit);
        printf("%s%.9f", i ? ", " : "", now_s() - start);
    }
    printf("]}\n");
    sqlite3_finalize(begin);
    sqlite3_finalize(insert);
    sqlite3_finalize(commit);
    check(db, sqlite3_close(db));
    return 0;
}
