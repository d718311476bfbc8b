#include "controller/cli/call.h"

#include <stdio.h>

#include "controller/cli/columns.h"
#include "controller/cli/path.h"
#include "controller/cli/show.h"

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

/* Connections of bridges that came to nothing. */
static void
print_refused(const struct sp_json *answer)
{
    for (size_t i = 0; i < sp_answer_count(answer, "refused"); i++) {
        const struct sp_json *refused = sp_answer_item(answer, "refused", i);
        printf("Refused ");
        sp_text_print(stdout, sp_answer_text(refused, "peer"));
        printf(": ");
        sp_text_print(stdout, sp_answer_text(refused, "reason"));
        putchar('\n');
    }
}

static int
print_status(const struct sp_json *answer)
{
    printf("Sallyport %s, revision %lld\n", sp_answer_text(answer, "version"),
           (long long) sp_answer_number(answer, "revision"));
    size_t n_pending = sp_answer_count(answer, "pending");
    printf(n_pending ? "Not in force yet on:" : "Everything is in force on every connected bridge.");
    for (size_t i = 0; i < n_pending; i++) {
        const struct sp_json *pending = sp_answer_item(answer, "pending", i);
        printf("%s ", i ? "," : "");
        sp_text_print(stdout, pending->type == SP_JSON_STRING ? pending->string : "");
    }
    putchar('\n');
    print_refused(answer);
    if (!sp_answer_count(answer, "bridges")) {
        printf("No bridges.\n");
        return SP_EXIT_DONE;
    }
    putchar('\n');
    return sp_show_bridges(answer, 0);
}
