#include "controller/cli/cli.h"

#include <stdio.h>
#include <string.h>

#define OPTION_COLUMN 28
#define SUMMARY_COLUMN 44

static void
print_options(uint64_t options, uint64_t required)
{
    for (unsigned i = 0; i < SP_N_OPTIONS; i++) {
        if (!(options & SP_OPTION_BIT(i))) {
            continue;
        }
        const struct sp_option_info *info = &sp_options[i];
        int width = printf("  --%s%s%s", info->name, info->metavar ? " " : "", info->metavar ? info->metavar : "");
        int pad = width < OPTION_COLUMN ? OPTION_COLUMN - width : 1;
        printf("%*s%s%s\n", pad, "", info->help, required & SP_OPTION_BIT(i) ? " (required)" : "");
    }
}

static void
print_synopsis(const struct sp_command *command)
{
    int width = printf("  sallyport %s%s%s%s%s", command->noun, command->verb ? " " : "",
                       command->verb ? command->verb : "", command->arguments[0] ? " " : "", command->arguments);
    if (width >= SUMMARY_COLUMN) {
        printf("\n");
        width = 0;
    }
    printf("%*s%s\n", SUMMARY_COLUMN - width, "", command->summary);
}

static void
help_command(const struct sp_command *command)
{
    printf("usage: sallyport %s%s%s%s%s%s\n\n%c%s.\n", command->noun, command->verb ? " " : "",
           command->verb ? command->verb : "", command->arguments[0] ? " " : "", command->arguments,
           command->options ? " [--OPTION VALUE]..." : "", command->summary[0] - 'a' + 'A', command->summary + 1);
    if (strstr(command->arguments, "GROUP") || strstr(command->arguments, "SERVER")) {
        printf("GROUP and SERVER are an id or a name; a name that several have needs --region or the id.\n");
    }
    if (command->details) {
        printf("%s", command->details);
    }
    if (command->options) {
        printf("\noptions:\n");
        print_options(command->options, command->required);
    }
    printf("\nglobal options:\n");
    print_options(sp_options_global, 0);
}

void
sp_cli_help(const char *noun, const struct sp_command *command)
{
    if (command) {
        help_command(command);
        return;
    }
    if (noun) {
        printf("usage: sallyport %s VERB [ARGUMENT]... [--OPTION VALUE]...\n\n", noun);
    } else {
        printf("usage: sallyport [--url URL] [--token-file FILE] [--ca-cert FILE] [--json]\n"
               "                 NOUN VERB [ARGUMENT]... [--OPTION VALUE]...\n\n"
               "Security groups for Open vSwitch: the command line of the controller sallyportd.\n\n");
    }
    for (size_t i = 0; i < sp_n_commands; i++) {
        if (!noun || !strcmp(noun, sp_commands[i].noun)) {
            print_synopsis(&sp_commands[i]);
        }
    }
    printf("\nEach takes --help.  Options may stand anywhere.\n\nglobal options:\n");
    print_options(sp_options_global, 0);
    if (!noun) {
        printf("\nexit status: 0 done, 1 refused by the controller, 2 wrong usage, 3 no connection\n");
    }
}
