/* The bash completion, made from the table of commands, so that it knows what the program knows. */

#include <stdio.h>
#include <string.h>

#include "controller/cli/cli.h"

static const char head[] =
    "# Completion of sallyport for bash: source it, or keep it as a file named sallyport in\n"
    "# /usr/share/bash-completion/completions.\n"
    "_sallyport()\n"
    "{\n"
    "    local word previous= noun= verb= nouns verbs= options values files readers current=${COMP_WORDS[COMP_CWORD]}\n";

/* Finds noun and verb among the words before the one that is being typed; the value of an option is neither. */
static const char search[] =
    "    for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
    "        if [[ \" $values $files \" != *\" $previous \"* || -z $previous ]]; then\n"
    "            if [[ $word == -* ]]; then\n"
    "                :\n"
    "            elif [[ -z $noun ]]; then\n"
    "                noun=$word\n"
    "            elif [[ -z $verb ]]; then\n"
    "                verb=$word\n"
    "            fi\n"
    "        fi\n"
    "        previous=$word\n"
    "    done\n";

static const char tail[] =
    "    if [[ -n $previous && \" $files \" == *\" $previous \"* ]]; then\n"
    "        COMPREPLY=($(compgen -f -- \"$current\"))\n"
    "    elif [[ -n $previous && \" $values \" == *\" $previous \"* ]]; then\n"
    "        COMPREPLY=()\n"
    "    elif [[ $current == -* ]]; then\n"
    "        COMPREPLY=($(compgen -W \"$options\" -- \"$current\"))\n"
    "    elif [[ -z $noun ]]; then\n"
    "        COMPREPLY=($(compgen -W \"$nouns\" -- \"$current\"))\n"
    "    elif [[ \" $readers \" == *\" $noun \"* ]]; then\n"
    "        COMPREPLY=($(compgen -f -- \"$current\"))\n"
    "    elif [[ -z $verb ]]; then\n"
    "        COMPREPLY=($(compgen -W \"$verbs\" -- \"$current\"))\n"
    "    else\n"
    "        COMPREPLY=()\n"
    "    fi\n"
    "}\n"
    "complete -F _sallyport sallyport\n";

static bool
takes_file(const struct sp_option_info *option)
{
    return option->metavar && !strcmp(option->metavar, "FILE");
}

/* The variable 'name': the options that take a value, either those of files or the others. */
static void
print_values(const char *name, bool files)
{
    printf("    %s=\"", name);
    for (size_t i = 0; i < SP_N_OPTIONS; i++) {
        if (sp_options[i].metavar && takes_file(&sp_options[i]) == files) {
            printf(" --%s", sp_options[i].name);
        }
    }
    printf("\"\n");
}

static void
print_options(uint64_t options)
{
    for (size_t i = 0; i < SP_N_OPTIONS; i++) {
        if (options & SP_OPTION_BIT(i)) {
            printf(" --%s", sp_options[i].name);
        }
    }
}

/* True if command 'at' is the first of its noun. */
static bool
begins_noun(size_t at)
{
    return !at || strcmp(sp_commands[at - 1].noun, sp_commands[at].noun);
}

int
sp_cli_completion(struct sp_cli *cli)
{
    fputs(head, stdout);
    print_values("values", false);
    print_values("files", true);
    printf("    nouns=\"");
    for (size_t i = 0; i < sp_n_commands; i++) {
        if (begins_noun(i)) {
            printf(" %s", sp_commands[i].noun);
        }
    }
    printf("\"\n    readers=\"");
    for (size_t i = 0; i < sp_n_commands; i++) {
        if (!strcmp(sp_commands[i].arguments, "FILE")) {
            printf(" %s", sp_commands[i].noun);
        }
    }
    printf("\"\n%s    case $noun in\n", search);
    for (size_t i = 0; i < sp_n_commands; i++) {
        if (sp_commands[i].verb && begins_noun(i)) {
            printf("    %s) verbs=\"", sp_commands[i].noun);
            for (size_t k = i; k < sp_n_commands && !strcmp(sp_commands[k].noun, sp_commands[i].noun); k++) {
                printf(" %s", sp_commands[k].verb);
            }
            printf("\" ;;\n");
        }
    }
    printf("    esac\n    options=\"");
    print_options(sp_options_global);
    printf("\"\n    case $noun/$verb in\n");
    for (size_t i = 0; i < sp_n_commands; i++) {
        printf("    %s/%s) options+=\"", sp_commands[i].noun, sp_commands[i].verb ? sp_commands[i].verb : "*");
        print_options(sp_commands[i].options);
        printf("\" ;;\n");
    }
    printf("    esac\n%s", tail);
    return SP_EXIT_DONE;
}
