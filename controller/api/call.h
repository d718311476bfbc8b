/* One request under way, and how it ends.
 *
 * A call exists from the request's arrival until one of the answering functions, which frees it.  A route names what may be
 * asked: a read answers by itself; a change is an operation in three steps that write.c runs. */

#ifndef SALLYPORT_CONTROLLER_API_CALL_H
#define SALLYPORT_CONTROLLER_API_CALL_H 1

#include "controller/api/api.h"
#include "controller/api/decode.h"
#include "controller/api/feed.h"
#include "controller/api/history.h"
#include "controller/api/render.h"

#define SP_STATUS_MIN 100
#define SP_STATUS_MAX 599

struct sp_api {
    struct sp_engine *engine;
    struct sp_protocols *protocols;
    struct sp_tokens *tokens;
    struct sp_events *events;
    struct sp_reader_stream *streams; /* Of events, that are open; see feed.c. */
    struct sp_history *history;
    struct sp_unixctl *unixctl; /* NULL: no switch can be asked for connections. */
    bool is_ready;
    bool is_stopping;
    uint64_t n_answers[SP_STATUS_MAX - SP_STATUS_MIN + 1];
    uint64_t n_changes_applied;     /* Answered as confirmed by every bridge that they touched, ... */
    uint64_t n_changes_unconfirmed; /* ... and answered before. */
    uint64_t n_undone;              /* Changes that took another one back. */
    uint64_t n_trials[SP_N_TRIALS]; /* That began (SP_TRIAL_PENDING), and that ended so. */
    struct sp_histogram read_time;
};

struct sp_call;

enum sp_about {
    SP_ABOUT_OTHER,
    SP_ABOUT_NEW_GROUP, /* The answer carries the group's ETag. */
    SP_ABOUT_GROUP,     /* Besides, If-Match is compared with the group's revision. */
};

/* A change.  Decoding sees the published model when the request comes in and, with 'merges', once more the staged one. */
struct sp_operation {
    /* Reads body and path into the call.  Returns 0, SP_E_INVALID, SP_E_MISSING (an object of the path) or -ENOMEM. */
    int (*decode)(struct sp_call *);
    /* As sp_write.stage. */
    int (*stage)(struct sp_call *, struct sp_batch *);
    /* Appends the answer's body from the published model; false: the object is gone again.  NULL: no body. */
    bool (*render)(struct sp_call *, const struct sp_render *);
    /* The path of what was created.  NULL: the operation creates nothing. */
    void (*locate)(const struct sp_call *, char *out, size_t size);
    bool merges; /* The result depends on the object that changes. */
    enum sp_about about;
};

enum sp_body { SP_BODY_OPTIONAL, SP_BODY_REQUIRED };

/* What a route is about, for tokens that are for some regions only; see access.h. */
enum sp_scope {
    SP_SCOPE_ALL,    /* All regions at once: not for them. */
    SP_SCOPE_REGION, /* The region that the path names. */
    SP_SCOPE_GROUP,  /* That of the group, ... */
    SP_SCOPE_SERVER, /* ... or server, that the path names. */
    SP_SCOPE_CHANGE, /* Those that the change which the path names is about. */
    SP_SCOPE_BODY,   /* The region that the body names. */
    SP_SCOPE_ITSELF, /* Nothing of a region, or the route asks sp_access_sees() itself. */
};

struct sp_route {
    const char *method;
    const char *pattern;           /* "/v1/servers/{server}"; see route.c for what may stand in braces. */
    const char *const *parameters; /* Query parameters; ends with NULL. */
    enum sp_body body;
    void (*read)(struct sp_call *);       /* Either this ... */
    const struct sp_operation *operation; /* ... or that. */
    bool is_open;                         /* Needs no token. */
    enum sp_token_role role;              /* What a token must have. */
    enum sp_scope scope;
};

struct sp_call {
    struct sp_api *api;
    struct sp_http_request *request;
    const struct sp_route *route;
    const struct sp_token *token; /* Whose call it is; NULL: nobody asked.  Valid until sp_api_handle() returns. */
    char caller[65];              /* The token's name, for the log. */
    struct sp_pool pool;
    struct sp_problems problems;
    struct sp_json *body; /* NULL: none. */

    /* From the path, or from the operation for what it creates. */
    const char *region;
    struct sp_uuid id; /* Group or server. */
    struct sp_uuid rule;
    uint64_t dpid;
    uint64_t change;

    unsigned wait_ms;
    unsigned confirm_within_s;       /* 0: it stays. */
    bool dry_run;                    /* It is only looked at. */
    struct sp_json_write *preview;   /* The answer then, until it is given. */
    struct sp_cuts *cuts;            /* What it would cut. */
    bool created;
    struct sp_history_entry *record; /* Of the change, until it is in the history. */
    uint64_t made;                   /* Its id; 0: nothing has changed. */
    struct {
        uint64_t revision; /* The change that this one takes back; 0: none. */
        const char *what;
        const char *role;  /* That it needed; NULL: the route's. */
    } undo;
    struct sp_trial_end verdict;       /* On another change's trial; of change 0: none. */
    struct sp_json_write *report; /* What staging had to tell, or NULL. */
    union {
        struct sp_rule_input rule;
        struct {
            struct sp_rule_input *list;
            size_t n;
        } rules;
        struct sp_group_input group;
        struct sp_group_patch group_patch;
        struct sp_server_input server;
        struct sp_server_patch server_patch;
        struct {
            const char **names;
            size_t n;
            bool is_given;
            bool was_listed; /* The bridge was known before. */
        } uplinks;
        int reports; /* Of a region: 0, 1 or -1, not said. */
        struct {
            bool prunes;          /* What the document does not name goes. */
            bool may_make_region; /* The caller may. */
        } document;
    } input;
};

/* NULL: no memory; the request is answered then. */
struct sp_call *sp_call_new(struct sp_api *, struct sp_http_request *);

const struct sp_model *sp_call_model(const struct sp_call *);
struct sp_decode sp_call_decode(struct sp_call *);                       /* With the call's problems and pool. */
const char *sp_call_parameter(const struct sp_call *, const char *name); /* Of the query; NULL = absent. */

/* The answers; each frees the call. */
#define SP_CALL_FIELDS_MAX 8
void sp_call_empty(struct sp_call *, unsigned status, const struct sp_http_field *fields, size_t n);
/* Takes over 'out', whose text is the body. */
void sp_call_json(struct sp_call *, unsigned status, struct sp_json_write *out, const struct sp_http_field *fields, size_t n);
void sp_call_text(struct sp_call *, const char *content_type, const char *text, size_t size);
void sp_call_file(struct sp_call *, unsigned status, const char *content_type, const char *data, size_t size,
                  const struct sp_http_field *fields, size_t n);
/* The request was answered by a stream of status 200. */
void sp_call_streaming(struct sp_call *);
/* application/problem+json with the call's problems and holders.  'detail' NULL: the problems' own, or one made from them. */
void sp_call_refuse(struct sp_call *, unsigned status, const char *detail);
void sp_call_refuse_with(struct sp_call *, unsigned status, const char *detail, const struct sp_http_field *fields, size_t n);
/* As sp_call_refuse() for what an operation or a decoder returned: its status by sp_error or errno. */
void sp_call_fail(struct sp_call *, int error, const char *detail);

/* A quoted entity tag of 'group' in 'out'. */
#define SP_ETAG_SIZE 24
const char *sp_call_etag(const struct sp_group *group, char *out);

/* Runs the operation of the call's route. */
void sp_write_run(struct sp_call *);

#endif
