#include "controller/config.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/http/http.h"
#include "controller/io/transport.h"
#include "controller/unixctl/unixctl.h"
#include "sallyport/utf8.h"

#define FILE_LINES_MAX 10000

static const char help_text[] =
    "Usage: sallyportd [OPTION]...\n"
    "Security groups for Open vSwitch: keeps the flows of every bridge that connects in step with the rules.\n"
    "\n"
    "      --db URL           where everything is stored: sqlite:PATH\n"
    "                         (default sqlite:/var/lib/sallyport/sallyport.db)\n"
    "      --openflow METHOD  how bridges connect: ptcp:PORT[:HOST], pssl:PORT[:HOST] or punix:PATH to listen,\n"
    "                         tcp:HOST:PORT, ssl:HOST:PORT or unix:PATH to dial; may be repeated\n"
    "                         (default ptcp:6653:127.0.0.1)\n"
    "      --ovsdb METHOD     where to read Interface.external_ids:iface-id and whether bridges are set up right, from\n"
    "                         Open_vSwitch databases: the same methods; may be repeated (default none)\n"
    "      --switch-control METHOD\n"
    "                         a control socket of an ovs-vswitchd of this machine, to list live connections and tell\n"
    "                         which a change would cut: unix:PATH, the socket or its directory; may be repeated (default none)\n"
    "      --http ADDR        where the HTTP interface listens: HOST:PORT or unix:PATH; may be repeated\n"
    "                         (default 127.0.0.1:8080); an address other than loopback needs --token-file\n"
    "      --http-private-key FILE, --http-certificate FILE\n"
    "                         in PEM: every HOST:PORT of --http then speaks HTTPS only; unix sockets stay as they are\n"
    "      --token-file FILE  who may call: tokens, with roles and regions if need be (default: no token is asked for)\n"
    "      --private-key FILE, --certificate FILE, --ca-cert FILE\n"
    "                         for pssl and ssl, in PEM: what sallyportd shows, and whose certificates it believes\n"
    "      --peer-file FILE   for pssl and ssl: which certificate may be which datapath, lines of \"NAME DPID...\"\n"
    "                         (default: one whose common name is a datapath id may be that one)\n"
    "      --log-level LEVEL  error, warning, info or debug (default info)\n"
    "      --log-format FORM  text, or kv or json for programs to read (default text)\n"
    "  -c, --config FILE      reads options from FILE too: lines of \"key = value\", a key being an option's long name;\n"
    "                         '#' begins a comment line; the command line goes before the file\n"
    "      --check-config     reads the options and every file that they name, says what is wrong, and exits\n"
    "  -V, --version          prints the version and exits\n"
    "  -h, --help             prints this and exits\n"
    "\n"
    "Listeners for OpenFlow without TLS authenticate nobody: on an address other than loopback, let only the hosts of your\n"
    "bridges reach them.  SIGHUP reads the files of TLS and of tokens again; no connection ends but of who may no longer be.\n"
    "SIGTERM and SIGINT end sallyportd; the flows stay in the switches.  Exit status: 0 stopped, 2 could not start.\n";

/* What was given for one option: on the command line, or in the file. */
struct given {
    char **values; /* Each owned. */
    size_t n;
    bool from_command_line;
};

typedef int check(const char *value, char *why, size_t why_size);

static check check_db, check_path, check_level, check_form;

enum option_index { OPTION_DB, OPTION_OPENFLOW, OPTION_OVSDB, OPTION_SWITCH_CONTROL, OPTION_HTTP, OPTION_TOKEN_FILE,
                    OPTION_PRIVATE_KEY, OPTION_CERTIFICATE, OPTION_CA_CERT, OPTION_PEER_FILE, OPTION_HTTP_PRIVATE_KEY,
                    OPTION_HTTP_CERTIFICATE, OPTION_LOG_LEVEL, OPTION_LOG_FORMAT, N_OPTIONS };

static const struct {
    const char *name;
    bool may_repeat;
    check *check;
    const char *preset; /* NULL: none. */
} options[N_OPTIONS] = {
    [OPTION_DB] = {"db", false, check_db, "sqlite:/var/lib/sallyport/sallyport.db"},
    [OPTION_OPENFLOW] = {"openflow", true, sp_method_check, "ptcp:6653:127.0.0.1"},
    [OPTION_OVSDB] = {"ovsdb", true, sp_method_check, NULL},
    [OPTION_SWITCH_CONTROL] = {"switch-control", true, sp_unixctl_check, NULL},
    [OPTION_HTTP] = {"http", true, sp_http_address_check, "127.0.0.1:8080"},
    [OPTION_TOKEN_FILE] = {"token-file", false, check_path, NULL},
    [OPTION_PRIVATE_KEY] = {"private-key", false, check_path, NULL},
    [OPTION_CERTIFICATE] = {"certificate", false, check_path, NULL},
    [OPTION_CA_CERT] = {"ca-cert", false, check_path, NULL},
    [OPTION_PEER_FILE] = {"peer-file", false, check_path, NULL},
    [OPTION_HTTP_PRIVATE_KEY] = {"http-private-key", false, check_path, NULL},
    [OPTION_HTTP_CERTIFICATE] = {"http-certificate", false, check_path, NULL},
    [OPTION_LOG_LEVEL] = {"log-level", false, check_level, "info"},
    [OPTION_LOG_FORMAT] = {"log-format", false, check_form, "text"},
};

#define DB_PREFIX "sqlite:"

static int
check_db(const char *value, char *why, size_t why_size)
{
    if (strncmp(value, DB_PREFIX, strlen(DB_PREFIX)) || !value[strlen(DB_PREFIX)]) {
        snprintf(why, why_size, "must be sqlite:PATH");
        return SP_E_SYNTAX;
    }
    return 0;
}

static int
check_path(const char *value, char *why, size_t why_size)
{
    if (!*value) {
        snprintf(why, why_size, "must be a path");
        return SP_E_SYNTAX;
    }
    return 0;
}

static int
check_level(const char *value, char *why, size_t why_size)
{
    enum sp_level level;
    int r = sp_log_level_parse(value, &level);
    if (r) {
        snprintf(why, why_size, "must be error, warning, info or debug");
    }
    return r;
}

static int
check_form(const char *value, char *why, size_t why_size)
{
    enum sp_log_form form;
    int r = sp_log_form_parse(value, &form);
    if (r) {
        snprintf(why, why_size, "must be text, kv or json");
    }
    return r;
}

static void
clear_given(struct given *given)
{
    for (size_t i = 0; i < given->n; i++) {
        free(given->values[i]);
    }
    free(given->values);
    *given = (struct given){0};
}

/* Takes 'value' for option 'index'; 'where' ("--db", "FILE:3: db") begins the line in 'why'. */
static int
take(struct given *given, size_t index, const char *value, bool from_command_line, const char *where, char *why, size_t why_size)
{
    char problem[200];
    int r = options[index].check(value, problem, sizeof problem);
    if (r) {
        snprintf(why, why_size, "%s: %s: %s", where, value, problem);
        return SP_E_INVALID;
    }
    if (given->n && !options[index].may_repeat) {
        snprintf(why, why_size, "%s: is given twice", where);
        return SP_E_INVALID;
    }
    char **values = reallocarray(given->values, given->n + 1, sizeof *values);
    if (values) {
        given->values = values;
    }
    char *copy = values ? strdup(value) : NULL;
    if (!copy) {
        snprintf(why, why_size, "%s: %s", where, strerror(ENOMEM));
        return -ENOMEM;
    }
    values[given->n++] = copy;
    given->from_command_line = from_command_line;
    return 0;
}

/* Cuts the blanks off both ends of 'text', in place. */
static char *
trim(char *text)
{
    text += strspn(text, " \t\r\n");
    size_t len = strlen(text);
    while (len && strchr(" \t\r\n", text[len - 1])) {
        len--;
    }
    text[len] = '\0';
    return text;
}

/* One line of the file. */
static int
read_line(struct given from_file[N_OPTIONS], char *line, size_t size, const char *place, char *why, size_t why_size)
{
    if (strlen(line) != size) {
        snprintf(why, why_size, "%s: is not text", place);
        return SP_E_INVALID;
    }
    char *key = trim(line);
    if (!*key || *key == '#') {
        return 0;
    }
    char *value = strchr(key, '=');
    if (!value) {
        snprintf(why, why_size, "%s: must be key = value", place);
        return SP_E_INVALID;
    }
    *value++ = '\0';
    key = trim(key);
    for (size_t i = 0; i < N_OPTIONS; i++) {
        if (!strcmp(key, options[i].name)) {
            char where[400];
            snprintf(where, sizeof where, "%s: %s", place, key);
            return take(&from_file[i], i, trim(value), false, where, why, why_size);
        }
    }
    snprintf(why, why_size, "%s: unknown key '%s'", place, key);
    return SP_E_INVALID;
}

static int
read_file(struct given from_file[N_OPTIONS], const char *path, char *why, size_t why_size)
{
    FILE *file = fopen(path, "re");
    if (!file) {
        snprintf(why, why_size, "--config: %s: %s", path, strerror(errno));
        return SP_E_INVALID;
    }
    char *line = NULL;
    size_t allocated = 0;
    ssize_t size;
    int r = 0;
    for (unsigned number = 1; !r && (size = getline(&line, &allocated, file)) >= 0; number++) {
        char place[300];
        snprintf(place, sizeof place, "%s:%u", path, number);
        r = read_line(from_file, line, (size_t) size, place, why, why_size);
        if (!r && number >= FILE_LINES_MAX) {
            snprintf(why, why_size, "%s: has too many lines", path);
            r = SP_E_INVALID;
        }
    }
    if (!r && ferror(file)) {
        snprintf(why, why_size, "--config: %s: %s", path, strerror(EIO));
        r = SP_E_INVALID;
    }
    free(line);
    fclose(file);
    return r;
}

#define CHECK_CONFIG 255
#define FIRST_LONG 256 /* getopt_long() answers this plus the index of an option without a letter. */

/* Reads the arguments into 'given' and '*ret_path', the config file's (borrowed from 'argv') or NULL. */
static int
read_arguments(int argc, char *argv[], struct given given[N_OPTIONS], const char **ret_path, enum sp_config_wish *wish, char *why,
               size_t why_size)
{
    struct option longs[N_OPTIONS + 5] = {{0}};
    for (size_t i = 0; i < N_OPTIONS; i++) {
        longs[i] = (struct option){options[i].name, required_argument, NULL, FIRST_LONG + (int) i};
    }
    longs[N_OPTIONS] = (struct option){"config", required_argument, NULL, 'c'};
    longs[N_OPTIONS + 1] = (struct option){"help", no_argument, NULL, 'h'};
    longs[N_OPTIONS + 2] = (struct option){"version", no_argument, NULL, 'V'};
    longs[N_OPTIONS + 3] = (struct option){"check-config", no_argument, NULL, CHECK_CONFIG};
    *wish = SP_CONFIG_RUN;
    *ret_path = NULL;
    opterr = 0;
    optind = 0; /* glibc: begin anew. */
    int letter;
    while ((letter = getopt_long(argc, argv, ":c:hV", longs, NULL)) != -1) {
        if (letter >= FIRST_LONG) {
            size_t i = (size_t) (letter - FIRST_LONG);
            char where[40];
            snprintf(where, sizeof where, "--%s", options[i].name);
            int r = take(&given[i], i, optarg, true, where, why, why_size);
            if (r) {
                return r;
            }
        } else if (letter == 'c') {
            *ret_path = optarg;
        } else if (letter == CHECK_CONFIG) {
            *wish = SP_CONFIG_CHECK;
        } else if (letter == 'h' || letter == 'V') {
            *wish = letter == 'h' ? SP_CONFIG_HELP : SP_CONFIG_VERSION;
            return 0;
        } else {
            snprintf(why, why_size, "%s: %s (see --help)", argv[optind - 1], letter == ':' ? "needs a value" : "unknown option");
            return SP_E_INVALID;
        }
    }
    if (optind < argc) {
        snprintf(why, why_size, "%s: unexpected argument (see --help)", argv[optind]);
        return SP_E_INVALID;
    }
    return 0;
}

/* Moves what was given to the configuration. */
static struct sp_config_list
take_list(struct given *given)
{
    struct sp_config_list list = {given->values, given->n};
    *given = (struct given){0};
    return list;
}

static char *
take_value(struct given *given)
{
    char *value = given->n ? given->values[0] : NULL;
    given->n = 0;
    clear_given(given);
    return value;
}

/* TLS has all of its files where it is asked for, and never only some. */
static int
check_tls(const struct given given[N_OPTIONS], char *why, size_t why_size)
{
    static const size_t files[] = {OPTION_PRIVATE_KEY, OPTION_CERTIFICATE, OPTION_CA_CERT};
    static const size_t methods[] = {OPTION_OPENFLOW, OPTION_OVSDB};
    const char *asking = NULL, *missing = NULL;
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        for (size_t j = 0; j < given[methods[i]].n; j++) {
            const char *method = given[methods[i]].values[j];
            asking = sp_method_is_tls(method) ? method : asking;
        }
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        asking = given[files[i]].n && !asking ? options[files[i]].name : asking;
        missing = given[files[i]].n ? missing : options[files[i]].name;
    }
    if (given[OPTION_PEER_FILE].n && !asking) {
        asking = options[OPTION_PEER_FILE].name;
    }
    if (asking && missing) {
        snprintf(why, why_size, "%s: needs --%s too", asking, missing);
        return SP_E_INVALID;
    }
    if (!given[OPTION_HTTP_PRIVATE_KEY].n != !given[OPTION_HTTP_CERTIFICATE].n) {
        snprintf(why, why_size, "--http-private-key and --http-certificate: one needs the other");
        return SP_E_INVALID;
    }
    return 0;
}

/* Each of them is asked whenever connections are listed. */
static int
check_switch_controls(const struct given *controls, char *why, size_t why_size)
{
    if (controls->n > SP_UNIXCTL_SOCKETS_MAX) {
        snprintf(why, why_size, "--switch-control: is given more than %d times", SP_UNIXCTL_SOCKETS_MAX);
        return SP_E_INVALID;
    }
    return 0;
}

static int
finish(struct given given[N_OPTIONS], struct sp_config *ret, char *why, size_t why_size)
{
    for (size_t i = 0; i < given[OPTION_HTTP].n && !given[OPTION_TOKEN_FILE].n; i++) {
        if (sp_http_address_is_exposed(given[OPTION_HTTP].values[i])) {
            snprintf(why, why_size, "--http: %s: an address other than loopback needs --token-file",
                     given[OPTION_HTTP].values[i]);
            return SP_E_INVALID;
        }
    }
    if (check_tls(given, why, why_size) || check_switch_controls(&given[OPTION_SWITCH_CONTROL], why, why_size)) {
        return SP_E_INVALID;
    }
    enum sp_level level;
    enum sp_log_form form;
    if (sp_log_level_parse(given[OPTION_LOG_LEVEL].values[0], &level) ||
        sp_log_form_parse(given[OPTION_LOG_FORMAT].values[0], &form)) {
        return SP_E_INVALID; /* It was checked: this does not happen. */
    }
    char *db = take_value(&given[OPTION_DB]);
    memmove(db, db + strlen(DB_PREFIX), strlen(db + strlen(DB_PREFIX)) + 1);
    *ret = (struct sp_config){
        .db_path = db,
        .openflow = take_list(&given[OPTION_OPENFLOW]),
        .ovsdb = take_list(&given[OPTION_OVSDB]),
        .switch_controls = take_list(&given[OPTION_SWITCH_CONTROL]),
        .http = take_list(&given[OPTION_HTTP]),
        .token_file = take_value(&given[OPTION_TOKEN_FILE]),
        .private_key = take_value(&given[OPTION_PRIVATE_KEY]),
        .certificate = take_value(&given[OPTION_CERTIFICATE]),
        .ca_cert = take_value(&given[OPTION_CA_CERT]),
        .peer_file = take_value(&given[OPTION_PEER_FILE]),
        .http_private_key = take_value(&given[OPTION_HTTP_PRIVATE_KEY]),
        .http_certificate = take_value(&given[OPTION_HTTP_CERTIFICATE]),
        .log_level = level,
        .log_form = form,
    };
    return 0;
}

/* What is quoted may have line ends, and what a terminal obeys: puts '?' in the place of each byte of such. */
static void
make_printable(char *text)
{
    size_t left = strlen(text), size;
    for (; left; text += size, left -= size) {
        size = sp_utf8_size(text, left);
        if (!size || sp_utf8_is_control(text, size)) {
            size = size ? size : 1;
            memset(text, '?', size);
        }
    }
}

int
sp_config_read(int argc, char *argv[], struct sp_config *ret, enum sp_config_wish *ret_wish, char *why, size_t why_size)
{
    struct given given[N_OPTIONS] = {{0}}, from_file[N_OPTIONS] = {{0}};
    const char *path;
    int r = read_arguments(argc, argv, given, &path, ret_wish, why, why_size);
    if (!r && (*ret_wish == SP_CONFIG_RUN || *ret_wish == SP_CONFIG_CHECK)) {
        r = path ? read_file(from_file, path, why, why_size) : 0;
        for (size_t i = 0; i < N_OPTIONS && !r; i++) {
            if (!given[i].n) {
                struct given moved = from_file[i];
                from_file[i] = given[i];
                given[i] = moved;
            }
            if (!given[i].n && options[i].preset) {
                r = take(&given[i], i, options[i].preset, false, options[i].name, why, why_size);
            }
        }
        r = r ? r : finish(given, ret, why, why_size);
    }
    if (r) {
        make_printable(why);
    }
    for (size_t i = 0; i < N_OPTIONS; i++) {
        clear_given(&given[i]);
        clear_given(&from_file[i]);
    }
    return r;
}

static void
clear_list(struct sp_config_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        free(list->items[i]);
    }
    free(list->items);
}

void
sp_config_clear(struct sp_config *config)
{
    free(config->db_path);
    free(config->token_file);
    free(config->private_key);
    free(config->certificate);
    free(config->ca_cert);
    free(config->peer_file);
    free(config->http_private_key);
    free(config->http_certificate);
    clear_list(&config->openflow);
    clear_list(&config->ovsdb);
    clear_list(&config->switch_controls);
    clear_list(&config->http);
    *config = (struct sp_config){0};
}

const char *
sp_config_help(void)
{
    return help_text;
}
