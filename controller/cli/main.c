/* build/bin/sallyport. */

#include "controller/cli/cli.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/cli/call.h"

static int run(struct sp_cli *);
static const char *setting(const struct sp_cli *, enum sp_option, const char *variable);

int
main(int argc, char **argv)
{
    struct sp_cli cli = {0};
    setlocale(LC_CTYPE, "C.UTF-8"); /* For the width of characters only; without it every byte counts. */
    int status = sp_cli_parse(argc, argv, &cli);
    if (status < 0) {
        status = run(&cli);
    }
    free(cli.given);
    if (fflush(stdout) || ferror(stdout)) {
        perror("sallyport: standard output");
        status = status == SP_EXIT_DONE ? SP_EXIT_REFUSED : status;
    }
    return status;
}

static int
run(struct sp_cli *cli)
{
    char why[512];
    int error = sp_client_new(setting(cli, SP_OPTION_URL, "SALLYPORT_URL"),
                              setting(cli, SP_OPTION_TOKEN_FILE, "SALLYPORT_TOKEN_FILE"),
                              setting(cli, SP_OPTION_CA_CERT, "SALLYPORT_CA_CERT"), &cli->client, why, sizeof why);
    if (error < 0) {
        return sp_call_no_memory();
    }
    if (error) {
        return sp_cli_usage(NULL, "%s", why);
    }
    int status = cli->command->run(cli);
    sp_client_free(cli->client);
    return status;
}

/* What the command line says, or else the environment; empty counts as not set there. */
static const char *
setting(const struct sp_cli *cli, enum sp_option option, const char *variable)
{
    const char *value = sp_cli_value(cli, option, 0);
    const char *inherited = getenv(variable);
    return value ? value : inherited && *inherited ? inherited : NULL;
}
