#include "controller/cli/call.h"

#include <stdio.h>
#include <string.h>

#include "controller/cli/columns.h"
#include "controller/cli/path.h"
#include "controller/cli/show.h"

#define ROWS_MAX 20 /* More bridges than these are not looked at in a second: then those in trouble alone. */
#define TRIALS_MAX 5

/* The worst that there is to say of a bridge. */
enum state { STATE_WELL, STATE_PENDING, STATE_ERROR, STATE_AWAY };

struct counts {
    size_t n;
    size_t n_well;
    size_t n_pending;
    size_t n_error;
    size_t n_away;
};

static int print_status(const struct sp_json *answer);

int
sp_cli_status(struct sp_cli *cli)
{
    struct sp_reply reply = {0};
    int status = sp_call_get(cli, sp_path_format("/v1/status"), &reply);
    if (status == SP_EXIT_DONE) {
        status = cli->json ? sp_call_print(&reply) : print_status(reply.json);
        sp_reply_clear(&reply);
    }
    return status;
}

static enum state
judge(const struct sp_json *answer, const struct sp_json *bridge)
{
    if (!sp_answer_bool(bridge, "connected")) {
        return STATE_AWAY;
    }
    if (*sp_answer_text(bridge, "last_error")) {
        return STATE_ERROR;
    }
    const struct sp_json *pending = sp_json_get(answer, "pending");
    for (size_t i = 0; pending && i < pending->n; i++) {
        const struct sp_json *dpid = &pending->items[i];
        if (dpid->type == SP_JSON_STRING && !strcmp(dpid->string, sp_answer_text(bridge, "dpid"))) {
            return STATE_PENDING;
        }
    }
    return STATE_WELL;
}

/* Connections of bridges that came to nothing. */
static void
print_refused(const struct sp_json *answer)
{
    for (size_t i = 0; i < sp_answer_count(answer, "refused"); i++) {
        const struct sp_json *refused = sp_answer_item(answer, "refused", i);
        printf("  refused ");
        sp_text_print(stdout, sp_answer_text(refused, "peer"));
        printf(": ");
        sp_text_print(stdout, sp_answer_text(refused, "reason"));
        putchar('\n');
    }
}

/* Changes that go by themselves, with what keeps them. */
static void
print_trials(const struct sp_json *answer)
{
    size_t n = sp_answer_count(answer, "trials");
    for (size_t i = 0; i < n && i < TRIALS_MAX; i++) {
        const struct sp_json *trial = sp_answer_item(answer, "trials", i);
        printf("On trial until %.19sZ: ", sp_answer_text(trial, "confirm_by"));
        sp_text_print(stdout, sp_answer_text(trial, "what"));
        printf(".  To keep it: sallyport change confirm %lld\n", (long long) sp_answer_number(trial, "change"));
    }
    if (n > TRIALS_MAX) {
        printf("%zu more are on trial: sallyport change list --pending\n", n - TRIALS_MAX);
    }
}

static void
count_bridges(const struct sp_json *answer, struct counts *counts)
{
    for (size_t i = 0; i < counts->n; i++) {
        switch (judge(answer, sp_answer_item(answer, "bridges", i))) {
        case STATE_AWAY:
            counts->n_away++;
            break;
        case STATE_ERROR:
            counts->n_error++;
            break;
        case STATE_PENDING:
            counts->n_pending++;
            break;
        case STATE_WELL:
            counts->n_well++;
            break;
        }
    }
}

/* "1 is away, 2 have an error": one part of it, if there is any. */
static void
print_part(size_t n, const char *one, const char *several, bool *is_first)
{
    if (n) {
        printf("%s%zu %s", *is_first ? " " : ", ", n, n == 1 ? one : several);
        *is_first = false;
    }
}

/* The line that tells whether all is well. */
static void
print_verdict(const struct sp_json *answer, const struct counts *counts)
{
    size_t n_refused = sp_answer_count(answer, "refused");
    bool is_first = true;
    if (counts->n_well < counts->n || n_refused) {
        printf("Not well: of %zu bridge%s", counts->n, counts->n == 1 ? "" : "s");
        print_part(counts->n_away, "is away", "are away", &is_first);
        print_part(counts->n_error, "has an error", "have an error", &is_first);
        print_part(counts->n_pending, "has not confirmed yet", "have not confirmed yet", &is_first);
        print_part(n_refused, "connection was refused", "connections were refused", &is_first);
    } else if (counts->n) {
        printf("Well: everything is in force on %s%zu bridge%s", counts->n == 1 ? "" : "all ", counts->n,
               counts->n == 1 ? "" : "s");
    } else {
        printf("No bridges yet");
    }
    printf(" (revision %lld, Sallyport %s).\n", (long long) sp_answer_number(answer, "revision"),
           sp_answer_text(answer, "version"));
}

/* The bridges in a state of 'states', a bit for each, ROWS_MAX at most. */
static int
print_bridges(const struct sp_json *answer, unsigned states, size_t n_rows)
{
    static const char *const titles[] = {"STATE", "DPID", "NAME", "PEER", "FLOWS", "LAST ERROR"};
    static const char *const names[] = {
        [STATE_WELL] = "well", [STATE_AWAY] = "away", [STATE_ERROR] = "error", [STATE_PENDING] = "pending"};
    struct sp_columns *columns = sp_columns_new(titles, sizeof titles / sizeof titles[0]);
    for (size_t i = 0; i < sp_answer_count(answer, "bridges") && n_rows; i++) {
        const struct sp_json *bridge = sp_answer_item(answer, "bridges", i);
        const struct sp_json *flows = sp_answer_object(bridge, "flows");
        const char *name = sp_answer_text(bridge, "name"), *peer = sp_answer_text(bridge, "peer");
        enum state state = judge(answer, bridge);
        if (!(states & 1u << state)) {
            continue;
        }
        n_rows--;
        sp_columns_add(columns, "%s", names[state]);
        sp_columns_add(columns, "%s", sp_answer_text(bridge, "dpid"));
        sp_columns_add(columns, "%s", *name ? name : "-");
        sp_columns_add(columns, "%s", *peer ? peer : "-");
        sp_columns_add(columns, "%lld of %lld", (long long) sp_answer_number(flows, "installed"),
                       (long long) sp_answer_number(flows, "desired"));
        sp_columns_add(columns, "%s", sp_answer_text(bridge, "last_error"));
    }
    int status = sp_columns_print(columns, 2, stdout) ? sp_call_no_memory() : SP_EXIT_DONE;
    sp_columns_free(columns);
    return status;
}

static int
print_status(const struct sp_json *answer)
{
    struct counts counts = {.n = sp_answer_count(answer, "bridges")};
    count_bridges(answer, &counts);
    print_verdict(answer, &counts);
    print_trials(answer);
    print_refused(answer);
    size_t n_troubled = counts.n - counts.n_well;
    if (!counts.n) {
        printf("A bridge calls in after: ovs-vsctl set-controller BRIDGE tcp:ADDRESS:6653\n");
        return SP_EXIT_DONE;
    }
    bool shows_all = counts.n <= ROWS_MAX;
    int status = SP_EXIT_DONE;
    if (n_troubled || shows_all) {
        status = print_bridges(answer, shows_all ? ~0u : ~(1u << STATE_WELL), ROWS_MAX);
    }
    if (status == SP_EXIT_DONE && !shows_all) {
        printf("%zu of %zu bridges shown: sallyport bridge list shows all.\n",
               n_troubled < ROWS_MAX ? n_troubled : (size_t) ROWS_MAX, counts.n);
    }
    return status;
}
