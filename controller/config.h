/* The daemon's options: from the command line and from a file, checked before anything is opened.
 *
 * The file has lines of "key = value"; a key is an option's long name; blanks around both do not count, nor do empty lines and
 * those that begin with '#'.  Options that may be given several times repeat their key.  An option on the command line takes the
 * place of the file's, a repeated one of all of the file's. */

#ifndef SALLYPORT_CONTROLLER_CONFIG_H
#define SALLYPORT_CONTROLLER_CONFIG_H 1

#include "controller/obs/log.h"

struct sp_config_list {
    char **items;
    size_t n;
};

struct sp_config {
    char *db_path;                  /* Of the SQLite file. */
    struct sp_config_list openflow; /* OVS connection methods, as sp_method_check(). */
    struct sp_config_list ovsdb;
    struct sp_config_list switch_controls; /* As sp_unixctl_check(). */
    struct sp_config_list http; /* As sp_http_address_check(). */
    char *token_file;           /* NULL: no token is asked for. */
    char *private_key;          /* The files of TLS for 'openflow' and 'ovsdb' (controller/io/tls.h): all three or none. */
    char *certificate;
    char *ca_cert;
    char *peer_file;            /* NULL: none. */
    char *http_private_key;     /* Of HTTPS on all of 'http' but unix sockets: both or none. */
    char *http_certificate;
    enum sp_level log_level;
    enum sp_log_form log_form;
};

enum sp_config_wish { SP_CONFIG_RUN, SP_CONFIG_CHECK, SP_CONFIG_HELP, SP_CONFIG_VERSION };

/* Reads the arguments of main() and the file that they name.  Returns 0 and what the user wishes; with the first two '*ret' is
 * complete and to be cleared by the caller.  Else SP_E_INVALID, or -ENOMEM, with one line in 'why' that names the option or the
 * file's line, and '*ret' needs no clearing.  A listener for HTTP on an address other than loopback without a token file is
 * invalid, and so is TLS without all of its files. */
int sp_config_read(int argc, char *argv[], struct sp_config *ret, enum sp_config_wish *ret_wish, char *why,
                   size_t why_size) SP_MUST_USE;
void sp_config_clear(struct sp_config *);

/* What --help prints; a string constant. */
const char *sp_config_help(void);

#endif
