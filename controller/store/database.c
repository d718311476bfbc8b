#include "controller/store/database.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sallyport/utf8.h"

/* Offsets in a database's first page.  Source: "Database File Format", section 1.3. */
#define HEADER_SIZE 100
#define HEADER_PAGE_SIZE 16
#define HEADER_USER_VERSION 60
#define HEADER_APPLICATION_ID 68
static const char header_magic[16] = "SQLite format 3";

#define WHOLE_CHECK_MAX (32 << 20) /* Bytes of a database that is checked in every respect. */

/* Gives a daemon that is just ending the time to do so. */
#define BUSY_MS 1000

struct sp_database {
    sqlite3 *sqlite;
    struct sp_statement *statements; /* All that were prepared. */
    struct sp_statement *begin, *commit;
    size_t version; /* Of its schema. */
    char why[256];
};

struct sp_statement {
    sqlite3_stmt *stmt;
    struct sp_database *database;
    struct sp_statement *next;
    int n_given; /* Parameters since the last run. */
    int error;   /* SQLite's, of the first parameter that failed. */
};

static int make_file(const char *path, char *why, size_t why_size);
static int make_folder(const char *path);
static int sync_folder(const char *path);
static int open_checked(struct sp_database *, const char *path, const struct sp_database_schema *);
static int check_header(struct sp_database *, const char *path, const struct sp_database_schema *, bool *ret_new);
static int migrate(struct sp_database *, const struct sp_database_schema *, bool is_new);
static int check_schema(struct sp_database *, const struct sp_database_schema *);
static int check_content(struct sp_database *);
static int execute(struct sp_database *, const char *sql);
static int query_integer(struct sp_database *, const char *sql, int64_t *ret);
static int query_is_empty(struct sp_database *, const char *sql, const char *expected);
static int fail(struct sp_database *, int error, const char *format, ...) SP_PRINTF(3, 4);
static int note(struct sp_database *, int code);

int
sp_database_open(const char *path, const struct sp_database_schema *schema, struct sp_database **ret, char *why, size_t why_size)
{
    struct sp_database *d = calloc(1, sizeof *d);

    if (!d) {
        snprintf(why, why_size, "%s: out of memory", path);
        return -ENOMEM;
    }

    int r = make_file(path, why, why_size);

    if (r) {
        free(d);
        return r;
    }
    r = open_checked(d, path, schema);
    if (r) {
        snprintf(why, why_size, "%s: %s", path, d->why);
        sp_database_abandon(d);
        return r;
    }
    *ret = d;
    return 0;
}

void
sp_database_close(struct sp_database *d)
{
    if (!d) {
        return;
    }
    while (d->statements) {
        assert(d->statements->database == d);
        sp_statement_free(d->statements);
    }
    sqlite3_close(d->sqlite);
    free(d);
}

void
sp_database_abandon(struct sp_database *d)
{
    if (d->sqlite) {
        sqlite3_db_config(d->sqlite, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    }
    sp_database_close(d);
}

const char *
sp_database_why(const struct sp_database *d)
{
    return d->why;
}

int
sp_database_begin(struct sp_database *d)
{
    return sp_statement_run(d->begin, -1);
}

int
sp_database_commit(struct sp_database *d)
{
    return sp_statement_run(d->commit, -1);
}

void
sp_database_rollback(struct sp_database *d)
{
    /* SQLite may have rolled back by itself, on a full disk for one. */
    if (!sqlite3_get_autocommit(d->sqlite)) {
        sqlite3_exec(d->sqlite, "ROLLBACK", NULL, NULL, NULL);
    }
}

int
sp_database_overwrite(struct sp_database *d)
{
    char sql[48];

    /* This writes its page though the number stays, which an UPDATE would not. */
    snprintf(sql, sizeof sql, "PRAGMA user_version = %zu", d->version);
    return execute(d, sql);
}

int
sp_database_prepare(struct sp_database *d, const char *sql, struct sp_statement **ret)
{
    struct sp_statement *s = calloc(1, sizeof *s);

    if (!s) {
        return note(d, SQLITE_NOMEM);
    }

    int code = sqlite3_prepare_v3(d->sqlite, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->stmt, NULL);

    if (code != SQLITE_OK) {
        free(s);
        return note(d, code);
    }
    s->database = d;
    s->next = d->statements;
    d->statements = s;
    *ret = s;
    return 0;
}

void
sp_statement_free(struct sp_statement *s)
{
    for (struct sp_statement **p = &s->database->statements; *p; p = &(*p)->next) {
        if (*p == s) {
            *p = s->next;
            break;
        }
    }
    sqlite3_finalize(s->stmt);
    free(s);
}

static void
given(struct sp_statement *s, int code)
{
    if (code != SQLITE_OK && !s->error) {
        s->error = code;
    }
}

void
sp_statement_give_integer(struct sp_statement *s, int64_t value)
{
    given(s, sqlite3_bind_int64(s->stmt, ++s->n_given, value));
}

void
sp_statement_give_text(struct sp_statement *s, const char *text)
{
    given(s, sqlite3_bind_text(s->stmt, ++s->n_given, text, -1, SQLITE_TRANSIENT));
}

int
sp_statement_run(struct sp_statement *s, int n_rows)
{
    int code = s->error ? s->error : sqlite3_step(s->stmt);
    int r = 0;

    if (code != SQLITE_DONE && code != SQLITE_ROW) {
        r = note(s->database, code);
    } else if (n_rows >= 0 && sqlite3_changes(s->database->sqlite) != n_rows) {
        r = fail(s->database, -EIO, "the database is not as it was written: %d rows instead of %d for %s",
                 sqlite3_changes(s->database->sqlite), n_rows, sqlite3_sql(s->stmt));
    }
    sqlite3_reset(s->stmt);
    s->n_given = 0;
    s->error = 0;
    return r;
}

int
sp_statement_next(struct sp_statement *s, bool *ret_row)
{
    int code = s->error ? s->error : sqlite3_step(s->stmt);
    int r = 0;

    if (code == SQLITE_ROW) {
        *ret_row = true;
        return 0;
    }
    if (code == SQLITE_DONE) {
        *ret_row = false;
    } else {
        r = note(s->database, code);
    }
    sqlite3_reset(s->stmt);
    s->n_given = 0;
    s->error = 0;
    return r;
}

int64_t
sp_statement_integer(const struct sp_statement *s, int column)
{
    return sqlite3_column_int64(s->stmt, column);
}

const char *
sp_statement_text(const struct sp_statement *s, int column)
{
    return (const char *) sqlite3_column_text(s->stmt, column);
}

bool
sp_statement_is_text_valid(const struct sp_statement *s, int column)
{
    const char *text = sp_statement_text(s, column);
    size_t size = (size_t) sqlite3_column_bytes(s->stmt, column);

    return !text || (strlen(text) == size && sp_utf8_is_valid(text, size));
}

/* Makes sure that there is a file, of a mode that SQLite would not give it. */
static int
make_file(const char *path, char *why, size_t why_size)
{
    struct stat there;
    int r;

    if (!stat(path, &there)) {
        if (S_ISREG(there.st_mode)) {
            return 0;
        }
        snprintf(why, why_size, "%s: not a file", path);
        return -EINVAL;
    }
    r = errno == ENOENT ? make_folder(path) : -errno;
    if (!r) {
        int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

        r = fd < 0 ? -errno : 0;
        if (fd >= 0) {
            close(fd);
            r = sync_folder(path);
        }
        if (r == -EEXIST) {
            return 0; /* Another process has just made it: whose it is shows when it is locked. */
        }
    }
    if (r) {
        snprintf(why, why_size, "%s: cannot create it: %s", path, strerror(-r));
    }
    return r;
}

static char *
copy_folder_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return !slash ? strdup(".") : slash == path ? strdup("/") : strndup(path, (size_t) (slash - path));
}

static int
make_folder(const char *path)
{
    char *folder = copy_folder_name(path);
    int r = !folder ? -ENOMEM : mkdir(folder, 0750) && errno != EEXIST ? -errno : 0;

    free(folder);
    return r;
}

/* A new name is durable only with its folder. */
static int
sync_folder(const char *path)
{
    char *folder = copy_folder_name(path);
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    int r = fd < 0 ? folder ? -errno : -ENOMEM : fsync(fd) ? -errno : 0;

    if (fd >= 0) {
        close(fd);
    }
    free(folder);
    return r;
}

/* Opens the file 'path', whatever it is called: to SQLite ":memory:" and "file:..." are no files, but "./:memory:" is one.
 * Source: sqlite3_open(3), "URI Filenames" (which a build of SQLite may take without being asked to). */
static int
open_file(struct sp_database *d, const char *path)
{
    const char *folder = *path == '/' ? "" : "./";
    size_t size = strlen(folder) + strlen(path) + 1;
    char *name = malloc(size);

    if (!name) {
        return fail(d, -ENOMEM, "out of memory");
    }
    snprintf(name, size, "%s%s", folder, path);
    int r = note(d, sqlite3_open_v2(name, &d->sqlite, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL));

    free(name);
    return r;
}

static int
open_checked(struct sp_database *d, const char *path, const struct sp_database_schema *schema)
{
    bool is_new;
    int r = open_file(d, path);

    if (r) {
        return r;
    }
    sqlite3_busy_timeout(d->sqlite, BUSY_MS);
    sqlite3_db_config(d->sqlite, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(d->sqlite, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL); /* None of ours has any. */
    sqlite3_db_config(d->sqlite, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    r = check_header(d, path, schema, &is_new);
    if (r) {
        return r;
    }
    if (sqlite3_db_readonly(d->sqlite, "main")) {
        return fail(d, -EROFS, "cannot write to it");
    }
    r = execute(d, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
                   "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;"
                   "PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -65536");
    if (!r) {
        d->version = schema->n_migrations;
        r = migrate(d, schema, is_new);
    }
    /* Only now: a file is created whole or not at all with a rollback journal, while the first page of one that starts with a
     * write-ahead log says nothing about whose it is for a while. */
    if (!r) {
        r = execute(d, "PRAGMA journal_mode = WAL");
    }
    if (!r) {
        r = check_schema(d, schema);
    }
    if (!r) {
        r = check_content(d);
    }
    if (!r) {
        r = sp_database_prepare(d, "BEGIN IMMEDIATE", &d->begin);
    }
    return r ? r : sp_database_prepare(d, "COMMIT", &d->commit);
}

static uint32_t
read_be32(const unsigned char *bytes)
{
    return (uint32_t) bytes[0] << 24 | (uint32_t) bytes[1] << 16 | (uint32_t) bytes[2] << 8 | bytes[3];
}

static sqlite3_int64
page_size(const unsigned char *header)
{
    unsigned size = (unsigned) header[HEADER_PAGE_SIZE] << 8 | header[HEADER_PAGE_SIZE + 1];

    return size == 1 ? 65536 : size ? size : 1;
}

/* Whether a file with bytes in it stands beside the database, under its name and 'suffix': 0, 1, or -1 without memory. */
static int
has_beside(const char *path, const char *suffix)
{
    struct stat there;
    char *name;

    if (asprintf(&name, "%s%s", path, suffix) < 0) {
        return -1;
    }

    bool has = !stat(name, &there) && there.st_size > 0;

    free(name);
    return has;
}

/* Looks at the first page before SQLite does, who would begin to mend another program's database.  It reads by SQLite's own
 * descriptor: to close another one of the same file would release the locks of this process.  With a rollback journal beside
 * it the file is in the middle of a change, and is looked at after SQLite has recovered it. */
static int
check_header(struct sp_database *d, const char *path, const struct sp_database_schema *schema, bool *ret_new)
{
    unsigned char header[HEADER_SIZE];
    sqlite3_file *file = NULL;
    sqlite3_int64 size = 0;

    *ret_new = false;

    int has_journal = has_beside(path, "-journal"), has_log = has_beside(path, "-wal");

    if (has_journal < 0 || has_log < 0) {
        return note(d, SQLITE_NOMEM);
    }

    int code = sqlite3_file_control(d->sqlite, "main", SQLITE_FCNTL_FILE_POINTER, &file);

    if (code == SQLITE_OK) {
        code = file->pMethods->xFileSize(file, &size);
    }
    if (code != SQLITE_OK) {
        return note(d, code);
    }
    if (has_journal) {
        int64_t n_objects = 0, version = 0;
        int r = query_integer(d, "SELECT count(*) FROM sqlite_schema", &n_objects);

        if (!r) {
            r = query_integer(d, "PRAGMA user_version", &version);
        }
        *ret_new = !r && !n_objects && !version;
        return r;
    }
    *ret_new = !size;
    if (!size) {
        return 0;
    }
    if (size < HEADER_SIZE || file->pMethods->xRead(file, header, sizeof header, 0) != SQLITE_OK
        || memcmp(header, header_magic, sizeof header_magic) != 0) {
        return fail(d, SP_E_DAMAGED, "this is not a database, or its beginning is damaged");
    }
    if (!has_log && size % page_size(header)) {
        return fail(d, SP_E_DAMAGED, "damaged: its end is missing"); /* SQLite itself takes the end of the last page for zeros. */
    }
    if (read_be32(header + HEADER_APPLICATION_ID) != schema->application_id) {
        return fail(d, SP_E_DAMAGED, "this is the database of another program");
    }
    if (read_be32(header + HEADER_USER_VERSION) > schema->n_migrations) {
        return fail(d, SP_E_NEWER, "it was written by a newer release (schema %u, known up to %zu)",
                    read_be32(header + HEADER_USER_VERSION), schema->n_migrations);
    }
    return 0;
}

static int
migrate(struct sp_database *d, const struct sp_database_schema *schema, bool is_new)
{
    int64_t version, application_id;
    char sql[96];
    int r = query_integer(d, "PRAGMA user_version", &version);

    if (!r) {
        r = query_integer(d, "PRAGMA application_id", &application_id);
    }
    if (r) {
        return r;
    }
    if (!is_new && application_id != schema->application_id) {
        return fail(d, SP_E_DAMAGED, "this is the database of another program");
    }
    if (version < (is_new ? 0 : 1)) {
        return fail(d, SP_E_DAMAGED, "its schema has no version");
    }
    if ((uint64_t) version > schema->n_migrations) {
        return fail(d, SP_E_NEWER, "it was written by a newer release (schema %lld, known up to %zu)", (long long) version,
                    schema->n_migrations);
    }
    if ((uint64_t) version == schema->n_migrations) {
        return 0;
    }
    r = execute(d, "BEGIN EXCLUSIVE");
    for (uint64_t i = (uint64_t) version; !r && i < schema->n_migrations; i++) {
        r = execute(d, schema->migrations[i]);
    }
    if (!r) {
        snprintf(sql, sizeof sql, "PRAGMA application_id = %u; PRAGMA user_version = %zu; COMMIT", schema->application_id,
                 schema->n_migrations);
        r = execute(d, sql);
    }
    if (r) {
        sp_database_rollback(d);
    }
    return r;
}

/* Steps both; whether they have the same row, or both none ('*ret_end'). */
static bool
have_same_row(sqlite3_stmt *one, sqlite3_stmt *other, bool *ret_end)
{
    int code = sqlite3_step(one);

    *ret_end = code == SQLITE_DONE;
    if (code != sqlite3_step(other) || (code != SQLITE_ROW && code != SQLITE_DONE)) {
        return false;
    }
    for (int i = 0; code == SQLITE_ROW && i < sqlite3_column_count(one); i++) {
        const char *a = (const char *) sqlite3_column_text(one, i), *b = (const char *) sqlite3_column_text(other, i);

        if (!a != !b || (a && strcmp(a, b))) {
            return false;
        }
    }
    return true;
}

/* Its tables and indices are those of a new one, to the letter: one without an index works for long, and then does not. */
static int
check_schema(struct sp_database *d, const struct sp_database_schema *schema)
{
    static const char sql[] = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name";
    sqlite3 *model = NULL;
    sqlite3_stmt *here = NULL, *there = NULL;
    int code = sqlite3_open_v2(":memory:", &model, SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY | SQLITE_OPEN_NOMUTEX, NULL);

    for (size_t i = 0; i < schema->n_migrations && code == SQLITE_OK; i++) {
        code = sqlite3_exec(model, schema->migrations[i], NULL, NULL, NULL);
    }
    code = code == SQLITE_OK ? sqlite3_prepare_v2(model, sql, -1, &there, NULL) : code;
    code = code == SQLITE_OK ? sqlite3_prepare_v2(d->sqlite, sql, -1, &here, NULL) : code;

    bool is_end = false, is_same = true;

    while (code == SQLITE_OK && !is_end && is_same) {
        is_same = have_same_row(here, there, &is_end);
    }
    sqlite3_finalize(here);
    sqlite3_finalize(there);
    sqlite3_close(model);
    if (code != SQLITE_OK) {
        return note(d, code);
    }
    return is_same ? 0 : fail(d, SP_E_DAMAGED, "damaged: its tables are not those of its version");
}

/* All of it, as far as that takes no more than a second or so; beyond, a million rules would take twenty, and the indices'
 * agreement with their tables, and the references, are left to whoever reads the rows. */
static int
check_content(struct sp_database *d)
{
    int64_t n_pages = 0, page_bytes = 0;
    int r = query_integer(d, "PRAGMA page_count", &n_pages);

    if (!r) {
        r = query_integer(d, "PRAGMA page_size", &page_bytes);
    }
    if (r) {
        return r;
    }
    if (!page_bytes || n_pages > WHOLE_CHECK_MAX / page_bytes) {
        return query_is_empty(d, "PRAGMA quick_check(1)", "ok");
    }
    r = query_is_empty(d, "PRAGMA integrity_check(1)", "ok");
    return r ? r : query_is_empty(d, "PRAGMA foreign_key_check", NULL);
}

static int
execute(struct sp_database *d, const char *sql)
{
    return note(d, sqlite3_exec(d->sqlite, sql, NULL, NULL, NULL));
}

static int
query_integer(struct sp_database *d, const char *sql, int64_t *ret)
{
    struct sp_statement *s = NULL;
    bool row = false;
    int r = sp_database_prepare(d, sql, &s);

    if (r) {
        return r;
    }
    assert(s);
    r = sp_statement_next(s, &row);
    if (!r) {
        *ret = row ? sp_statement_integer(s, 0) : 0;
    }
    sp_statement_free(s);
    return r;
}

/* SP_E_DAMAGED unless the query gives no row, or one that reads 'expected'. */
static int
query_is_empty(struct sp_database *d, const char *sql, const char *expected)
{
    struct sp_statement *s = NULL;
    bool row = false;
    int r = sp_database_prepare(d, sql, &s);

    if (r) {
        return r;
    }
    assert(s);
    r = sp_statement_next(s, &row);
    if (!r && row) {
        const char *text = sp_statement_text(s, 0);

        if (!expected) {
            r = fail(d, SP_E_DAMAGED, "damaged: a row of table %s names one that is not there", text ? text : "?");
        } else if (!text || strcmp(text, expected) != 0) {
            r = fail(d, SP_E_DAMAGED, "damaged: %s", text ? text : "?");
        }
    }
    sp_statement_free(s);
    return r;
}

static int
fail(struct sp_database *d, int error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(d->why, sizeof d->why, format, args);
    va_end(args);
    for (char *c = d->why; *c; c++) {
        *c = (char) ((unsigned char) *c < ' ' ? ' ' : *c); /* One line. */
    }
    return error;
}

/* Keeps what SQLite says about 'code', and tells it in our own terms. */
static int
note(struct sp_database *d, int code)
{
    int system = d->sqlite ? sqlite3_system_errno(d->sqlite) : 0;
    const char *text = d->sqlite ? sqlite3_errmsg(d->sqlite) : sqlite3_errstr(code);

    switch (code & 0xff) {
    case SQLITE_OK:
        return 0;
    case SQLITE_NOMEM:
        return fail(d, -ENOMEM, "out of memory");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return fail(d, -EBUSY, "another process has it open");
    case SQLITE_FULL:
        return fail(d, -ENOSPC, "%s", text);
    case SQLITE_READONLY:
        return fail(d, -EROFS, "%s", text);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
        return fail(d, SP_E_DAMAGED, "damaged: %s", text);
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return fail(d, -EACCES, "%s", text);
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
        return fail(d, system ? -system : -EIO, "%s%s%s", text, system ? ": " : "", system ? strerror(system) : "");
    default:
        return fail(d, -EIO, "%s", text);
    }
}
