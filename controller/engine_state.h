/* The inside of the engine, for the files engine*.c only.
 *
 * A datapath is a bridge as the engine knows it: the switch object and, while it is connected and adopted, its
 * projection: what the model says about it, by unit.  The projection is kept up to date change by change: each thing that
 * a unit depends on is a member of the unit, and whoever changes the thing marks the unit as stale; then each stale unit is
 * compiled anew from the model and the members (engine_units.c), so that what comes out never depends on the way
 * there.  sp_engine_check() proves that by comparing with a compilation of the whole. */

#ifndef SALLYPORT_CONTROLLER_ENGINE_STATE_H
#define SALLYPORT_CONTROLLER_ENGINE_STATE_H 1

#include <uv.h>

#include "controller/engine.h"
#include "controller/counts.h"
#include "controller/io/transport.h"
#include "controller/model/index.h"
#include "controller/switch.h"

struct sp_datapath;

/* A port that the switch has. */
struct sp_ofport {
    struct sp_index_node by_number;
    struct sp_index_node by_name;
    uint16_t number;
    enum sp_port_role role;
    struct sp_binding *binding; /* With SP_ROLE_SERVER. */
    char name[SP_SESSION_PORT_NAME_SIZE];
};

/* One membership of a binding in a unit. */
struct sp_member {
    struct sp_index_node node;
    struct sp_unit_name unit;
};

/* A port of the model that is present on a datapath. */
struct sp_binding {
    struct sp_index_node by_id;
    const struct sp_port *port;     /* Referenced. */
    const struct sp_server *server; /* Referenced. */
    struct sp_ofport *ofport;
    struct sp_presence *set;        /* NULL: no group. */
    size_t n_members;
    struct sp_member members[];
};

/* What a rule set compiles to. */
struct sp_compilation {
    struct sp_flow_set *flows;      /* NULL: there is no such set. */
    struct sp_compiled_rule *rules; /* Of 'flows'. */
    size_t n_rules;
    struct sp_uuid *remotes;        /* Groups that its rules name as remote, sorted, each once. */
    size_t n_remotes;
};

/* A rule set that some datapath has, compiled once for all of them. */
struct sp_shared_set {
    struct sp_index_node node;      /* In engine->sets. */
    uint32_t number;
    size_t n_presences;
    struct sp_shared_set *next_stale;
    bool stale;                     /* To be compiled anew; in engine->stale_sets. */
    int error;                      /* Of the last compilation. */
    struct sp_compilation now;
    struct sp_shared_set *next_ahead;
    bool is_ahead;                  /* In engine->ahead_sets: 'ahead' is what it will be once the commit is published. */
    struct sp_compilation ahead;
};

/* A rule set on one datapath. */
struct sp_presence {
    struct sp_index_node by_number; /* In datapath->sets. */
    struct sp_index_node by_set;    /* In engine->presences. */
    struct sp_datapath *datapath;
    struct sp_shared_set *set;
    size_t n_bindings;
    struct sp_uuid *remotes;        /* What of set->remotes is counted in datapath->references. */
    size_t n_remotes;
};

/* A remote group that some rule set of a datapath names. */
struct sp_reference {
    struct sp_index_node by_group;  /* In datapath->references. */
    struct sp_index_node by_engine; /* In engine->references. */
    struct sp_datapath *datapath;
    struct sp_uuid group;
    size_t n;
};

/* A unit to compile anew. */
struct sp_stale {
    struct sp_index_node node;
    struct sp_stale *next;
    struct sp_unit_name unit;
    struct sp_revisions revisions;
};

/* A port of a bridge by its name. */
struct sp_place {
    uint64_t dpid;
    const char *name;
};

/* Where OVSDB says that an interface is. */
struct sp_iface {
    struct sp_index_node by_id;
    struct sp_index_node by_place;
    struct sp_place place; /* The name stands behind the id. */
    char id[];
};

/* See struct sp_refusal. */
#define SP_ENGINE_REFUSALS_MAX 16
struct sp_engine_refusal {
    char peer[128]; /* "": free. */
    char why[200];
    int64_t at_ms;
    int64_t at_us;
};

/* What OVSDB says is wrong with the settings of a bridge, whether it is connected or not. */
struct sp_engine_flaw {
    struct sp_index_node node;
    uint64_t dpid;
    const char *text; /* Lives as long as the program. */
};

struct sp_datapath {
    struct sp_engine *engine;
    struct sp_index_node node;
    uint64_t dpid;
    struct sp_switch *sw;
    struct sp_tally *tally;    /* In engine->counts, from the first dump on. */
    bool expecting;            /* Connected and adopted, but not enforced yet: something is waited for, see
                                * sp_engine_expect_ifaces(), or it is 'beginning'. */
    bool beginning;            /* It is being projected and compiled, in parts. */
    uint16_t *unresolved;      /* Beginning, and projected: its port numbers, of which those from 'next_unresolved' on ... */
    size_t n_unresolved;       /* ... have not been looked at. */
    size_t next_unresolved;
    bool gone;                 /* Its connection is closed; what that means is still to be done. */
    int64_t begun_ms;          /* When it was begun with, on this connection. */
    struct sp_work_queue *queue; /* In which it is; NULL: in none. */
    struct sp_datapath *next_work;
    struct sp_datapath *prev_work;
    bool releasing;            /* Was adopted: its flows are being removed, or will be when it connects. */
    bool ports_known;
    bool projected;            /* The units are given and kept up to date. */
    uint64_t connection;       /* Number of this connection. */
    struct sp_session_ready ready;
    int64_t refused_ms;        /* When a second connection was last refused; 0: never, or healed. */
    struct sp_index ofports;   /* By number; and by name. */
    struct sp_index names;
    struct sp_index bindings;  /* By port id. */
    struct sp_index members;   /* By unit. */
    struct sp_index sets;
    struct sp_index references;
    struct sp_index stale;
    struct sp_stale *first_stale;
    bool has_meters;           /* Denied connections can be reported. */
    char meters_error[sizeof ((struct sp_session_meters *) NULL)->text]; /* Why not; "": nothing is wrong. */
    uint64_t touched;          /* Number of the write that was last seen to concern it. */
    bool is_concerned;         /* By changes that are being looked at. */
    bool noticed;              /* The watch has not been told yet of the last that happened ... */
    bool restless;             /* ... or has last been told of something pending or wrong. */
    int64_t told_ms;           /* When it was told last; 0: never. */
};

/* Bridges for which there is something to do. */
struct sp_work_queue {
    struct sp_datapath *first; /* NULL: none. */
    struct sp_datapath *last;
};

/* A bridge that a write waits for. */
struct sp_wait {
    uint64_t dpid;
    uint64_t connection;
};

/* A write on its way. */
struct sp_pending {
    struct sp_pending *next;
    struct sp_write write;
    int error;
    uint64_t revision;
    const struct sp_history_record *record; /* NULL: none. */
    bool has_verdict;
    int64_t begin_us;
    int64_t deadline_ms;
    struct sp_wait *waits;
    size_t n_waits;
    size_t n_lost;             /* The first ones: bridges that were lost while it was being committed. */
    size_t n_confirmed;        /* The first ones. */
    bool failed;               /* One of them will not confirm in time to be told. */
};

struct sp_pending_list {
    struct sp_pending *first;
    struct sp_pending **last;
    size_t n;
};

/* A connection that has not said yet which bridge it is. */
struct sp_newcomer {
    struct sp_newcomer *next;
    struct sp_newcomer *prev;
    struct sp_engine *engine;
    struct sp_link *link;
};

#define SP_ENGINE_HANDLES 4

/* How many rules there are, and how many nothing needs: counted group by group, some at a time, so that a million of them hold up
 * nothing. */
struct sp_census {
    struct sp_uuid *groups; /* Of the count that is under way; NULL: none is. */
    size_t n_groups;
    size_t at;              /* The next one. */
    uint64_t n_rules;       /* Of those before it. */
    uint64_t n_unused;
    uint64_t told_rules;    /* Of the last one, if it is 'complete'. */
    uint64_t told_unused;
    bool complete;
    int64_t next_ms;        /* When the next one begins. */
};

struct sp_engine {
    uv_loop_t *loop;
    struct sp_store *store;
    struct sp_model *model;
    uint64_t seed;
    uv_timer_t tick;           /* Every second. */
    uv_timer_t turn;           /* What is left for the next turn of the loop. */
    uv_timer_t deadline;       /* Of the write that is the first to have waited long enough. */
    uv_idle_t work;            /* While there is work in parts. */
    unsigned n_handles;        /* Open; of SP_ENGINE_HANDLES. */
    size_t parts_max;          /* Of it in a turn, if there is time.  Tests make it few, so that all else comes between them. */
    size_t starting_max;       /* Bridges that may be on their way to being in step at a time. */
    struct sp_work_queue parts; /* Whose work is being done in parts. */
    struct sp_work_queue newcoming; /* That are connected and wait to be begun with. */
    struct sp_method **methods;
    size_t n_methods;
    struct sp_newcomer newcomers; /* Head of a ring. */
    size_t n_links;
    uint64_t n_connections;
    struct sp_index datapaths;
    struct sp_index sets;
    struct sp_shared_set *stale_sets;
    struct sp_shared_set *ahead_sets;
    uint64_t ahead_number;     /* Of the commit of which they are. */
    bool ahead_published;      /* It has been published. */
    struct sp_index presences; /* By set number. */
    struct sp_index references;/* By group. */
    struct sp_index ifaces;    /* By id; and by place. */
    struct sp_index places;
    size_t n_ifaces;
    struct sp_index flaws;
    struct sp_engine_refusal refusals[SP_ENGINE_REFUSALS_MAX];
    char **regions;            /* Names by number; NULL: no such region. */
    size_t n_regions;
    struct sp_pending_list queue;
    struct sp_pending_list committing;
    struct sp_pending_list waiting;
    struct sp_batch *batch;    /* Being committed. */
    int64_t batch_us;          /* When it began, since 1970. */
    const struct sp_history_record **records; /* What it adds to the history; room for one per write. */
    size_t n_records;
    struct sp_trial_end *verdicts; /* Likewise. */
    size_t n_verdicts;
    struct sp_counts *counts;
    bool counts_writing;       /* Some of them are being written. */
    bool counts_failed;        /* The last time. */
    int64_t counts_at_ms;      /* When they are written next. */
    struct sp_pending *toucher;/* The write whose changes are being followed; NULL: none. */
    uint64_t n_followed;       /* Its number. */
    struct sp_revisions now;   /* What stale units are marked with. */
    bool ports_changed;        /* Something is stale because a switch's ports changed. */
    bool noticed;              /* Some datapath is. */
    struct sp_census census;
    struct sp_uuid blocked_at[SP_ENGINE_BLOCKED_NAMED]; /* Servers with attempts of which the watch has not been told. */
    size_t n_blocked_at;
    bool blocked_elsewhere;    /* At servers beyond these, too. */
    const struct sp_engine_watch *watch; /* NULL: nobody looks. */
    void *watch_aux;
    void (*ticks)(void *aux);  /* NULL: nobody wants to know the time. */
    void *ticks_aux;
    int64_t expect_until_ms;   /* 0: nothing is expected (any more). */
    bool stopping;
    void (*stopped)(void *aux);
    void *stopped_aux;
    int64_t complaints_ms;     /* The window in which complaints about failed handshakes are counted. */
    unsigned n_complaints;
    struct sp_switch_counters switches;
    struct sp_blocked *blocked;
    uint64_t denied_seen;      /* Reports of denied packets, ... */
    uint64_t denied_left_out;  /* ... and those that were too many. */
    uint64_t connects;
    uint64_t disconnects;
    uint64_t commits;
    uint64_t commits_failed;
    int64_t commit_begin_us;
    struct sp_histogram commit_time;
    struct sp_histogram applied_time;
};

/* engine.c */
int64_t sp_engine_now(const struct sp_engine *);
void sp_engine_turn_later(struct sp_engine *);
void sp_engine_wake_at(struct sp_engine *, int64_t when_ms); /* sp_engine_check_waiting() then. */
struct sp_datapath *sp_engine_datapath(const struct sp_engine *, uint64_t dpid);
struct sp_datapath *sp_engine_make_datapath(struct sp_engine *, uint64_t dpid); /* Finds or makes; NULL: no memory. */
/* Frees 'datapath' if it is neither adopted nor connected nor to be released. */
void sp_engine_drop_datapath(struct sp_engine *, struct sp_datapath *);

/* engine_links.c */
extern const struct sp_transport_events sp_engine_transport_events;
void sp_engine_close_links(struct sp_engine *);
void sp_datapath_ports_done(struct sp_datapath *);     /* Its ports have been told: from now on it is connected. */
void sp_datapath_begin(struct sp_datapath *);          /* The bridge shall be as the model says: begins with that, in parts. */
bool sp_datapath_begin_step(struct sp_datapath *);     /* The next part; false: it is enforced now. */
void sp_datapath_begin_released(struct sp_datapath *); /* It shall have nothing of ours, from now on. */
void sp_datapath_end_link(struct sp_datapath *);       /* Its connection has gone; so may it have after that. */
void sp_engine_begin_expecting(struct sp_engine *); /* Begins with the bridges that waited, if there is nothing to wait for. */

/* engine_work.c: what takes long for one bridge is done in parts, and of all bridges together not too much in a turn. */
void sp_engine_init_work(struct sp_engine *);
void sp_engine_resume_work(struct sp_engine *);    /* Something has come to its end: another may begin. */
void sp_datapath_queue(struct sp_datapath *);      /* It has work to be done in parts. */
void sp_datapath_queue_begin(struct sp_datapath *); /* Its ports have been told: sp_datapath_ports_done() in its turn. */
void sp_datapath_dequeue(struct sp_datapath *);    /* There is nothing to do for it any more. */

/* engine_project.c */
void sp_datapath_init_indices(struct sp_datapath *);
void sp_datapath_clear_indices(struct sp_datapath *); /* Before it is freed. */
void sp_datapath_project(struct sp_datapath *);   /* Connected, ports known, adopted or to be released: gives every unit. */
/* The same in parts: the beginning, then one port after the other until it returns false. */
void sp_datapath_begin_projecting(struct sp_datapath *);
bool sp_datapath_resolve_next(struct sp_datapath *);
void sp_datapath_unproject(struct sp_datapath *); /* Forgets what it projected; the switch's units are not touched. */
void sp_datapath_release(struct sp_datapath *);   /* No longer adopted. */
void sp_datapath_resolve(struct sp_datapath *, const char *name); /* Who is the port 'name'? */
void sp_datapath_resolve_all(struct sp_datapath *);
int sp_datapath_put_ofport(struct sp_datapath *, const struct sp_session_port *) SP_MUST_USE;
void sp_datapath_drop_ofports(struct sp_datapath *);
void sp_datapath_give_up(struct sp_datapath *);   /* No memory: the connection is closed, the next one begins afresh. */
struct sp_binding *sp_datapath_binding(const struct sp_datapath *, const struct sp_uuid *port);
struct sp_binding *sp_datapath_binding_at(const struct sp_datapath *, uint16_t ofport); /* NULL: no server's port. */
/* By number; freed by the caller.  NULL: no memory. */
struct sp_ofport **sp_datapath_sorted_ofports(const struct sp_datapath *, size_t *ret_n);

/* engine_sets.c */
void sp_datapath_init_sets(struct sp_datapath *);
void sp_engine_init_sets(struct sp_engine *);
bool sp_datapath_has_set(const struct sp_datapath *, uint32_t number);
/* A binding of 'datapath' has rule set 'number', or no longer.  NULL: no memory. */
struct sp_presence *sp_datapath_join_set(struct sp_datapath *, uint32_t number);
void sp_datapath_leave_set(struct sp_presence *);
struct sp_shared_set *sp_engine_shared_set(const struct sp_engine *, uint32_t number); /* NULL: no datapath has it. */
/* Of rule set 'number', all that follow by sp_index_next(); NULL: none. */
struct sp_index_node *sp_engine_presences(const struct sp_engine *, uint32_t number);
void sp_engine_stale_set(struct sp_engine *, uint32_t number);  /* Its rules, marks or classes changed: compile it anew. */
void sp_engine_refresh_sets(struct sp_engine *);                /* Compiles what is stale. */
void sp_engine_stale_group(struct sp_engine *, const struct sp_uuid *group); /* Every set of which it is a part. */
struct sp_reference *sp_datapath_reference(const struct sp_datapath *, const struct sp_uuid *group);
/* What rule set 'number' compiles to now, for sp_compilation_clear(); nothing for one that does not exist.  'before' (may be
 * NULL): what it compiled to before.  Returns 0, -ENOMEM or SP_E_RANGE. */
int sp_engine_compile_set(struct sp_engine *, uint32_t number, const struct sp_compilation *before,
                          struct sp_compilation *ret) SP_MUST_USE;
void sp_compilation_clear(struct sp_compilation *);

/* engine_ahead.c */
void sp_engine_look_ahead(struct sp_engine *); /* A commit has begun: what its changes lead to is compiled, and sent ahead. */
void sp_engine_send_ahead(struct sp_engine *); /* To bridges that had no room for it until now. */
bool sp_engine_take_ahead(struct sp_engine *, struct sp_shared_set *, struct sp_compilation *ret); /* Once it is published. */
void sp_engine_end_ahead(struct sp_engine *);  /* What is not wanted by now is withdrawn. */
void sp_engine_drop_ahead(struct sp_engine *, struct sp_shared_set *);

/* engine_units.c */
void sp_unit_name_init(struct sp_unit_name *, enum sp_unit_kind);
void sp_unit_name_port(struct sp_unit_name *, const struct sp_uuid *port);
void sp_unit_name_mac(struct sp_unit_name *, uint16_t vlan, const struct sp_mac *);
void sp_unit_name_target(struct sp_unit_name *, uint16_t vlan, const struct sp_cidr *ip);
void sp_unit_name_flood(struct sp_unit_name *, uint16_t vlan);
void sp_unit_name_chunk(struct sp_unit_name *, uint16_t vlan, uint8_t chunk);
void sp_unit_name_remote(struct sp_unit_name *, uint32_t region, const struct sp_cidr *ip);
void sp_unit_name_set(struct sp_unit_name *, uint32_t number);
struct sp_mac sp_unit_mac(const struct sp_unit_name *);  /* Of SP_UNIT_MAC. */
struct sp_cidr sp_unit_ip(const struct sp_unit_name *);  /* Of SP_UNIT_TARGET, SP_UNIT_REMOTE. */
void sp_datapath_mark(struct sp_datapath *, const struct sp_unit_name *); /* Stale. */
void sp_datapath_compile(struct sp_datapath *);                           /* Every stale unit. */
bool sp_datapath_compile_next(struct sp_datapath *);                      /* One of them; false: there is none. */
void sp_datapath_forget_stale(struct sp_datapath *);

/* engine_check.c */
/* Makes in 'ret' a second datapath with the ports of 'dp' and projects it from nothing, as the model is now.  Ends with
 * sp_datapath_end_anew(), also if it fails.  Returns 0 or -ENOMEM. */
int sp_datapath_project_anew(struct sp_datapath *dp, struct sp_datapath *ret) SP_MUST_USE;
void sp_datapath_end_anew(struct sp_datapath *);

/* engine_changes.c: what published changes mean for the datapaths.  First the addresses, for all changes of a commit, as they
 * need to know which remote groups were named before; then all else. */
void sp_engine_follow_addresses(struct sp_engine *, const struct sp_change *, size_t n);
void sp_engine_follow(struct sp_engine *, const struct sp_change *, size_t n);
void sp_engine_touch(struct sp_engine *, struct sp_datapath *);
/* The connection of 'datapath', which is projected as it was, is lost.  Writes that are being committed and concern it are not
 * applied, unless it is back when they are published: nobody else would be waited for then. */
void sp_engine_touch_lost(struct sp_engine *, struct sp_datapath *);
void sp_engine_run_stale(struct sp_engine *); /* Compiles and sends what is stale anywhere. */
int sp_engine_name_region(struct sp_engine *, const struct sp_region *) SP_MUST_USE;

/* engine_ifaces.c */
bool sp_engine_expects(struct sp_engine *); /* Some port's interface has not been told yet, and there is time. */
void sp_engine_init_ifaces(struct sp_engine *);
void sp_engine_free_ifaces(struct sp_engine *);
uint32_t sp_place_hash(const struct sp_engine *, const struct sp_place *);
void sp_engine_resolve_iface(struct sp_engine *, const char *id); /* Who are the ports where interface 'id' is? */
/* Visits the datapaths on which 'port' may be bound: the bridge that it names, or those where its interface is. */
typedef int sp_visit_datapath(void *aux, struct sp_datapath *);
int sp_engine_each_home(const struct sp_engine *, const struct sp_port *port, sp_visit_datapath *, void *aux);

/* engine_counts.c */
void sp_engine_follow_counts(struct sp_engine *, const struct sp_change *, size_t n);
void sp_datapath_dumping(struct sp_datapath *, bool begins, bool first);
void sp_datapath_counted(struct sp_datapath *, const struct sp_flow *, const struct sp_count *raw, bool removed);
void sp_engine_run_counts(struct sp_engine *);             /* Writes them when their time has come. */
bool sp_engine_end_counts(struct sp_engine *);             /* Writes the rest; true: that is done, or cannot be. */

/* engine_flaws.c */
void sp_engine_init_flaws(struct sp_engine *);
void sp_engine_free_flaws(struct sp_engine *);
const char *sp_engine_flaw(const struct sp_engine *, uint64_t dpid); /* NULL: none is known. */
void sp_datapath_shout(const struct sp_datapath *);                  /* Logs it, if there is one. */

/* engine_blocked.c */
void sp_datapath_take_meters(struct sp_datapath *, const struct sp_session_meters *);
void sp_datapath_take_denied(struct sp_datapath *, const struct sp_session_denied *);
const char *sp_datapath_meters_error(const struct sp_datapath *); /* NULL: none, or nobody wants reports. */
void sp_engine_follow_blocked(struct sp_engine *, const struct sp_change *); /* Forgets what is no longer asked for. */

/* engine_census.c */
void sp_engine_run_census(struct sp_engine *); /* A step of it, once a second. */
void sp_engine_end_census(struct sp_engine *);

/* engine_refusals.c */
void sp_engine_remember_refusal(struct sp_engine *, const char *peer, const char *why);

/* engine_writes.c */
void sp_engine_commit(struct sp_engine *); /* Begins a commit of what is queued, if none is under way. */
void sp_engine_check_waiting(struct sp_engine *);
void sp_engine_cancel_writes(struct sp_engine *);
void sp_pending_list_init(struct sp_pending_list *);

/* engine_watch.c */
void sp_engine_tell(struct sp_engine *, const struct sp_change *, size_t n); /* Published as engine->now.first. */
void sp_engine_tell_gone(struct sp_engine *, uint64_t dpid);
void sp_datapath_notice(struct sp_datapath *);   /* Something about it has changed: the watch is told in a later turn. */
void sp_datapath_settled(struct sp_datapath *);  /* Likewise, if somebody waits to hear. */
void sp_engine_note_blocked(struct sp_engine *, const struct sp_uuid *server);
void sp_engine_tell_blocked(struct sp_engine *); /* Once a second. */
void sp_engine_tell_noticed(struct sp_engine *); /* Of those of whom nothing was told for a moment; of the others later. */

/* engine_status.c */
/* The rule that has 'slot' in 'set', with its group in '*ret_group', both borrowed from 'model'.  NULL: there is none any more,
 * and '*ret_group' is untouched. */
const struct sp_rule *sp_engine_find_rule(const struct sp_model *model, const struct sp_rule_set *set, uint32_t slot,
                                          const struct sp_group **ret_group);
/* What is known of 'dp' but for its ports; borrowed until the next call into the engine.  'version' is the caller's room. */
#define SP_VERSION_TEXT_SIZE 32
void sp_datapath_read(const struct sp_datapath *, char version[SP_VERSION_TEXT_SIZE], struct sp_bridge_status *ret);
void sp_engine_describe(struct sp_engine *, struct sp_datapath *, const struct sp_unit_name *, const struct sp_flow *, char *out,
                        size_t size);

#endif
