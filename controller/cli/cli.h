/* The command line: one run of build/bin/sallyport.
 *
 * A table of commands (commands.c) says which nouns, verbs, arguments and options exist; parsing (parse.c), help (help.c)
 * and complaints follow from it.  A command's function builds a request, sends it through client.h, and prints the answer
 * for a person or, with --json, as it came.  Values are judged by the controller alone: here only what cannot be put into a
 * request at all is refused, before anything is sent.
 *
 * Place: a program of its own above controller/json and flows/value.c; it knows the HTTP interface and nothing of the
 * daemon. */

#ifndef SALLYPORT_CONTROLLER_CLI_CLI_H
#define SALLYPORT_CONTROLLER_CLI_CLI_H 1

#include "sallyport/value.h"

/* What a run ends with. */
enum sp_exit {
    SP_EXIT_DONE = 0,
    SP_EXIT_REFUSED = 1,     /* By the controller; or an object named by the user does not exist or is not unique. */
    SP_EXIT_USAGE = 2,       /* The command line itself is wrong; nothing was sent. */
    SP_EXIT_UNREACHABLE = 3, /* No connection, or it broke before the answer was whole. */
};

enum sp_option {
    SP_OPTION_URL,
    SP_OPTION_TOKEN_FILE,
    SP_OPTION_CA_CERT,
    SP_OPTION_JSON,
    SP_OPTION_HELP,
    SP_OPTION_VERSION,
    SP_OPTION_REGION,
    SP_OPTION_WAIT,
    SP_OPTION_NAME,
    SP_OPTION_DESCRIPTION,
    SP_OPTION_DEFAULT,
    SP_OPTION_NO_DEFAULT,
    SP_OPTION_TEMPLATE,
    SP_OPTION_RULES_FILE,
    SP_OPTION_REMOTE,
    SP_OPTION_REMOTE_GROUP,
    SP_OPTION_ALLOW,
    SP_OPTION_DENY,
    SP_OPTION_PRIORITY,
    SP_OPTION_DIRECTION,
    SP_OPTION_PROTOCOL,
    SP_OPTION_PORTS,
    SP_OPTION_ICMP,
    SP_OPTION_KIND,
    SP_OPTION_GROUP,
    SP_OPTION_NO_GROUPS,
    SP_OPTION_PORT,
    SP_OPTION_NO_PORTS,
    SP_OPTION_UPLINK,
    SP_OPTION_NO_UPLINKS,
    SP_OPTION_REMOTE_PORT,
    SP_OPTION_LOCAL_PORT,
    SP_OPTION_OBJECT,
    SP_OPTION_LIMIT,
    SP_OPTION_BEFORE,
    SP_OPTION_PENDING,
    SP_OPTION_CONFIRM_WITHIN,
    SP_OPTION_PRUNE,
    SP_OPTION_DRY_RUN,
    SP_OPTION_REPORT_BLOCKED,
    SP_N_OPTIONS
};
#define SP_OPTION_BIT(OPTION) (UINT64_C(1) << (OPTION))

struct sp_option_info {
    const char *name;    /* Without the two dashes. */
    const char *metavar; /* What stands for its value in help; NULL = takes none. */
    bool is_repeatable;
    const char *help; /* One line. */
};

struct sp_cli;

struct sp_command {
    const char *noun;
    const char *verb;      /* NULL: the noun is the whole command. */
    const char *arguments; /* As in help: "GROUP RULE". */
    unsigned n_args_min;
    unsigned n_args_max;
    uint64_t options;            /* SP_OPTION_BIT of each that it takes besides the global ones. */
    uint64_t required;           /* Of those, each that must be given. */
    const char *summary;         /* One line. */
    const char *details;         /* Further lines of help, or NULL. */
    int (*run)(struct sp_cli *); /* Returns enum sp_exit. */
};

extern const struct sp_option_info sp_options[SP_N_OPTIONS];
extern const uint64_t sp_options_global; /* Taken by every command. */
extern const struct sp_command sp_commands[];
extern const size_t sp_n_commands;

struct sp_given {
    enum sp_option option;
    const char *value; /* NULL for one that takes none. */
};

struct sp_client;

/* A parsed command line; everything is borrowed from argv. */
struct sp_cli {
    const struct sp_command *command;
    char **args; /* Arguments after the verb. */
    size_t n_args;
    struct sp_given *given; /* Options, in their order. */
    size_t n_given;
    struct sp_client *client;
    bool json; /* Print answers as they came. */
};

/* Reads 'argv' into '*cli' (zeroed by the caller; 'given' is allocated and the caller's to free).  Returns -1 if there is a
 * command to run, else the exit status of a run that is over: help or the version was printed to stdout, or a complaint to
 * stderr. */
int sp_cli_parse(int argc, char **argv, struct sp_cli *cli) SP_MUST_USE;

/* The 'index'th value of 'option', counted from 0; NULL past the end.  Options without a value: see sp_cli_has(). */
const char *sp_cli_value(const struct sp_cli *, enum sp_option option, size_t index);
bool sp_cli_has(const struct sp_cli *, enum sp_option option);
bool sp_cli_has_any(const struct sp_cli *, uint64_t options); /* Of several SP_OPTION_BIT. */
/* The argument 'index' counted from 0, or NULL. */
const char *sp_cli_arg(const struct sp_cli *, size_t index);

/* Prints help to stdout: on everything (both NULL), one noun, or one command.  'noun' must be in the table. */
void sp_cli_help(const char *noun, const struct sp_command *command);
/* Prints "sallyport: " and the message to stderr, with a pointer to the help of 'command' (may be NULL).  Returns
 * SP_EXIT_USAGE. */
int sp_cli_usage(const struct sp_command *command, const char *format, ...) SP_PRINTF(2, 3);
/* Prints "sallyport: " and the message to stderr, for what is not the user's mistake.  Returns SP_EXIT_REFUSED. */
int sp_cli_fail(const char *format, ...) SP_PRINTF(1, 2);

/* The commands, each in the file of its noun. */
int sp_cli_region_list(struct sp_cli *);
int sp_cli_region_create(struct sp_cli *);
int sp_cli_region_set(struct sp_cli *);
int sp_cli_region_delete(struct sp_cli *);
int sp_cli_group_list(struct sp_cli *);
int sp_cli_group_show(struct sp_cli *);
int sp_cli_group_lint(struct sp_cli *);
int sp_cli_group_create(struct sp_cli *);
int sp_cli_group_set(struct sp_cli *);
int sp_cli_group_delete(struct sp_cli *);
int sp_cli_rule_list(struct sp_cli *);
int sp_cli_rule_add(struct sp_cli *);
int sp_cli_rule_set(struct sp_cli *);
int sp_cli_rule_replace(struct sp_cli *);
int sp_cli_rule_delete(struct sp_cli *);
int sp_cli_server_list(struct sp_cli *);
int sp_cli_server_show(struct sp_cli *);
int sp_cli_server_create(struct sp_cli *);
int sp_cli_server_set(struct sp_cli *);
int sp_cli_server_delete(struct sp_cli *);
int sp_cli_bridge_list(struct sp_cli *);
int sp_cli_bridge_show(struct sp_cli *);
int sp_cli_bridge_set(struct sp_cli *);
int sp_cli_bridge_delete(struct sp_cli *);
int sp_cli_change_list(struct sp_cli *);
int sp_cli_change_show(struct sp_cli *);
int sp_cli_change_undo(struct sp_cli *);
int sp_cli_change_confirm(struct sp_cli *);
int sp_cli_blocked(struct sp_cli *);
int sp_cli_connections(struct sp_cli *);
int sp_cli_explain(struct sp_cli *);
int sp_cli_export(struct sp_cli *);
int sp_cli_apply(struct sp_cli *);
int sp_cli_status(struct sp_cli *);
int sp_cli_completion(struct sp_cli *);

#endif
