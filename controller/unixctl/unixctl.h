/* The control sockets of ovs-vswitchd on this machine: asks them which connections a port has.
 *
 * OpenFlow has no message that lists connections; what ovs-appctl(8) asks for them, over a socket that ovs-vswitchd opens for
 * those who administer it, is asked here (inquiry.h) without waiting for anything.  Nothing is ever changed by it.
 *
 * The happy path: each socket is looked for, where only its directory is known, and connected to; all are asked at once whether
 * theirs is the switch of the port; the first that shows it is asked for the connections, and the others are let go.  What goes
 * wrong: none is of the switch; a socket is not there, or nobody listens; the switch does not answer in time, or what nobody
 * understands, or goes away; too many questions at a time; the owner stops.  Each question ends in one of these ways, once, and a
 * socket that cannot be asked is logged once for each reason.
 *
 * Sources: ovs-vswitchd(8), "--unixctl"; ovs-appctl(8), "--target", for how a socket is found by the process id in its name. */

#ifndef SALLYPORT_CONTROLLER_UNIXCTL_UNIXCTL_H
#define SALLYPORT_CONTROLLER_UNIXCTL_UNIXCTL_H 1

#include "controller/unixctl/inquiry.h"

struct uv_loop_s;
struct sp_unixctl;

#define SP_UNIXCTL_SOCKETS_MAX 64
#define SP_UNIXCTL_QUESTIONS_MAX 8 /* At a time; one more is SP_E_FULL. */
/* To print a connection takes ovs-vswitchd's main thread some 5 us (3.1, userspace); after so many of them that it took more than
 * a moment, nobody is asked for four times that: whoever may ask has a fifth of it at most. */
#define SP_UNIXCTL_REST_US 20u
#define SP_UNIXCTL_REST_MIN 2500u /* Connections. */
#define SP_UNIXCTL_TIMEOUT_MS 5000

/* Checks "unix:PATH", of a socket, or of a directory with one whose name has a process id in it; nothing is looked at.  Returns 0
 * or SP_E_SYNTAX with one line in 'why'. */
int sp_unixctl_check(const char *method, char *why, size_t why_size) SP_MUST_USE;

/* Knows the sockets 'methods', which are as sp_unixctl_check() wants them; opens nothing.  A question has 'timeout_ms'.  NULL: no
 * memory, or more than SP_UNIXCTL_SOCKETS_MAX. */
struct sp_unixctl *sp_unixctl_new(struct uv_loop_s *, char *const *methods, size_t n, unsigned timeout_ms);
/* Ends all questions with SP_UNIXCTL_STOPPED, from inside; NULL is fine.  The memory goes when libuv has closed the handles. */
void sp_unixctl_close(struct sp_unixctl *);
size_t sp_unixctl_count(const struct sp_unixctl *); /* Sockets that it knows. */

enum sp_unixctl_end {
    SP_UNIXCTL_DONE,
    SP_UNIXCTL_TOO_MANY, /* The port has 'n_in_zone' connections, more than are listed. */
    SP_UNIXCTL_STRANGER, /* All sockets answered, and none is of the port's switch. */
    SP_UNIXCTL_FAILED,   /* The port's switch, or one that may be it, cannot be asked: 'why'. */
    SP_UNIXCTL_SILENT,   /* It does not answer in time: 'why'. */
    SP_UNIXCTL_STOPPED,
};

struct sp_unixctl_answer {
    enum sp_unixctl_end end;
    const struct sp_conntrack *connections; /* With SP_UNIXCTL_DONE, borrowed for the call. */
    size_t n;
    bool more;
    uint64_t n_in_zone;
    const char *why; /* One line, borrowed for the call; the log has it with the socket. */
};
typedef void sp_unixctl_done(void *aux, const struct sp_unixctl_answer *);

/* Asks for the connections of 'port', up to 'max' of them, 1 or more.  'done' runs once, and not from inside.  Returns 0;
 * SP_E_FULL, also while the switches rest; SP_E_RANGE (a bridge whose name cannot be asked for); or -ENOMEM.  'done' does not
 * run then. */
int sp_unixctl_ask(struct sp_unixctl *, const struct sp_inquiry_port *port, size_t max, sp_unixctl_done *done,
                   void *aux) SP_MUST_USE;
/* As sp_unixctl_ask(), but waits for the end of a rest, as long as an answer may take: then it ends with SP_UNIXCTL_SILENT. */
int sp_unixctl_ask_patiently(struct sp_unixctl *, const struct sp_inquiry_port *port, size_t max, sp_unixctl_done *done,
                             void *aux) SP_MUST_USE;

#endif
