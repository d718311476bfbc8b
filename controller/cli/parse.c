#include "controller/cli/cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int read_options(int argc, char **argv, struct sp_cli *);
static int find_command(struct sp_cli *, char **words, size_t n_words);
static int check_options(const struct sp_cli *);
static bool has_noun(const char *noun);
static void complain_unknown(const char *what, const char *word, const char *noun);

int
sp_cli_parse(int argc, char **argv, struct sp_cli *cli)
{
    int status = read_options(argc, argv, cli);
    if (status >= 0) {
        return status;
    }
    char **words = argv + optind;
    size_t n_words = (size_t) (argc - optind);
    if (sp_cli_has(cli, SP_OPTION_VERSION)) {
        printf("sallyport %s\n", SP_VERSION);
        return SP_EXIT_DONE;
    }
    status = find_command(cli, words, n_words);
    if (status >= 0) {
        return status;
    }
    if (sp_cli_has(cli, SP_OPTION_HELP)) {
        sp_cli_help(NULL, cli->command);
        return SP_EXIT_DONE;
    }
    const struct sp_command *command = cli->command;
    if (cli->n_args < command->n_args_min) {
        return sp_cli_usage(command, "too few arguments: it takes %s", command->arguments);
    }
    if (cli->n_args > command->n_args_max) {
        return sp_cli_usage(command, "'%s' is one argument too many", cli->args[command->n_args_max]);
    }
    for (size_t i = 0; i < cli->n_args; i++) {
        if (!*cli->args[i]) { /* A variable of a script that is not set: nothing has this name. */
            return sp_cli_usage(command, "argument %zu of %s is empty", i + 1, command->arguments);
        }
    }
    cli->json = sp_cli_has(cli, SP_OPTION_JSON);
    return check_options(cli);
}

/* All options of all commands are read at once, so that they may stand before the noun too; check_options() then tells
 * which of them the command takes. */
static int
read_options(int argc, char **argv, struct sp_cli *cli)
{
    struct option longs[SP_N_OPTIONS + 1] = {{0}};
    for (int i = 0; i < SP_N_OPTIONS; i++) {
        longs[i] = (struct option){sp_options[i].name, sp_options[i].metavar ? required_argument : no_argument, NULL, i};
    }
    cli->given = calloc((size_t) argc + 1, sizeof *cli->given);
    if (!cli->given) {
        return sp_cli_fail("%s", strerror(ENOMEM));
    }
    opterr = 0;
    for (;;) {
        int at = optind;
        int option = getopt_long(argc, argv, ":h", longs, NULL);
        if (option == -1) {
            return -1;
        }
        if (option == 'h') {
            option = SP_OPTION_HELP;
        }
        if (option == ':') {
            return sp_cli_usage(NULL, "option '%s' needs a value", argv[optind - 1]);
        }
        if (option == '?') {
            bool takes_none = optopt > 0 && optopt < SP_N_OPTIONS && strchr(argv[optind - 1], '=');
            return sp_cli_usage(NULL, takes_none ? "option '%s' takes no value" : "unknown or ambiguous option '%s'",
                                optind > at ? argv[optind - 1] : argv[optind]);
        }
        if (sp_options[option].metavar && !sp_options[option].is_repeatable && sp_cli_has(cli, (enum sp_option) option)) {
            return sp_cli_usage(NULL, "option '--%s' is given twice", sp_options[option].name);
        }
        cli->given[cli->n_given++] = (struct sp_given){(enum sp_option) option, sp_options[option].metavar ? optarg : NULL};
    }
}

static int
find_command(struct sp_cli *cli, char **words, size_t n_words)
{
    bool help = sp_cli_has(cli, SP_OPTION_HELP);
    if (!n_words) {
        if (help) {
            sp_cli_help(NULL, NULL);
            return SP_EXIT_DONE;
        }
        return sp_cli_usage(NULL, "what is to be done?");
    }
    if (!has_noun(words[0])) {
        complain_unknown("noun", words[0], NULL);
        return SP_EXIT_USAGE;
    }
    for (size_t i = 0; i < sp_n_commands; i++) {
        const struct sp_command *command = &sp_commands[i];
        size_t n_own = command->verb ? 2 : 1;
        if (!strcmp(command->noun, words[0]) && (!command->verb || (n_words > 1 && !strcmp(command->verb, words[1])))) {
            cli->command = command;
            cli->args = words + n_own;
            cli->n_args = n_words - n_own;
            return -1;
        }
    }
    if (n_words > 1) {
        complain_unknown("verb", words[1], words[0]);
        return SP_EXIT_USAGE;
    }
    if (help) {
        sp_cli_help(words[0], NULL);
        return SP_EXIT_DONE;
    }
    complain_unknown("verb", NULL, words[0]);
    return SP_EXIT_USAGE;
}

static int
check_options(const struct sp_cli *cli)
{
    const struct sp_command *command = cli->command;
    const char *verb = command->verb ? command->verb : "";
    const char *space = command->verb ? " " : "";
    uint64_t given = 0;
    for (size_t i = 0; i < cli->n_given; i++) {
        given |= SP_OPTION_BIT(cli->given[i].option);
    }
    uint64_t foreign = given & ~(command->options | sp_options_global);
    uint64_t missing = command->required & ~given;
    for (unsigned i = 0; i < SP_N_OPTIONS; i++) {
        if (foreign & SP_OPTION_BIT(i)) {
            return sp_cli_usage(command, "'%s%s%s' takes no option '--%s'", command->noun, space, verb, sp_options[i].name);
        }
        if (missing & SP_OPTION_BIT(i)) {
            return sp_cli_usage(command, "'%s%s%s' needs --%s %s", command->noun, space, verb, sp_options[i].name,
                                sp_options[i].metavar ? sp_options[i].metavar : "");
        }
    }
    const char *wait = sp_cli_value(cli, SP_OPTION_WAIT, 0);
    if (wait && (!*wait || strspn(wait, "0123456789") != strlen(wait))) {
        return sp_cli_usage(command, "--wait '%s' is not a number of seconds", wait);
    }
    return -1;
}

const char *
sp_cli_value(const struct sp_cli *cli, enum sp_option option, size_t index)
{
    for (size_t i = 0; i < cli->n_given; i++) {
        if (cli->given[i].option == option && !index--) {
            return cli->given[i].value;
        }
    }
    return NULL;
}

bool
sp_cli_has(const struct sp_cli *cli, enum sp_option option)
{
    return sp_cli_has_any(cli, SP_OPTION_BIT(option));
}

bool
sp_cli_has_any(const struct sp_cli *cli, uint64_t options)
{
    for (size_t i = 0; i < cli->n_given; i++) {
        if (options & SP_OPTION_BIT(cli->given[i].option)) {
            return true;
        }
    }
    return false;
}

const char *
sp_cli_arg(const struct sp_cli *cli, size_t index)
{
    return index < cli->n_args ? cli->args[index] : NULL;
}

int
sp_cli_usage(const struct sp_command *command, const char *format, ...)
{
    va_list args;
    fprintf(stderr, "sallyport: ");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    if (command) {
        fprintf(stderr, "\nSee: sallyport %s%s%s --help\n", command->noun, command->verb ? " " : "",
                command->verb ? command->verb : "");
    } else {
        fprintf(stderr, "\nSee: sallyport --help\n");
    }
    return SP_EXIT_USAGE;
}

int
sp_cli_fail(const char *format, ...)
{
    va_list args;
    fprintf(stderr, "sallyport: ");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return SP_EXIT_REFUSED;
}

static bool
has_noun(const char *noun)
{
    for (size_t i = 0; i < sp_n_commands; i++) {
        if (!strcmp(sp_commands[i].noun, noun)) {
            return true;
        }
    }
    return false;
}

/* 'noun' NULL: lists the nouns, else its verbs. */
static void
complain_unknown(const char *what, const char *word, const char *noun)
{
    if (word) {
        fprintf(stderr, "sallyport: unknown %s '%s'; there is", what, word);
    } else {
        fprintf(stderr, "sallyport: '%s' needs a %s; there is", noun ? noun : "", what);
    }
    const char *last = "";
    for (size_t i = 0; i < sp_n_commands; i++) {
        const char *name = noun ? sp_commands[i].verb : sp_commands[i].noun;
        if (noun ? !strcmp(noun, sp_commands[i].noun) : strcmp(name, last) != 0) {
            fprintf(stderr, " %s", name);
            last = name;
        }
    }
    fprintf(stderr, "\nSee: sallyport %s%s--help\n", noun ? noun : "", noun ? " " : "");
}
