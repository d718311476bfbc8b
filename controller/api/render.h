/* From objects to JSON: every field always there, null where there is none.
 *
 * All functions append one object to the writer; a step that fails makes sp_json_write_done() fail. */

#ifndef SALLYPORT_CONTROLLER_API_RENDER_H
#define SALLYPORT_CONTROLLER_API_RENDER_H 1

#include "controller/api/history.h"
#include "controller/api/protocol.h"
#include "controller/engine.h"
#include "controller/json/json.h"
#include "controller/unixctl/conntrack.h"
#include "flows/tracked.h"

struct sp_render {
    struct sp_json_write *out;
    const struct sp_engine *engine; /* NULL: only what objects say themselves, for rules and ports. */
    const struct sp_protocols *protocols;
};

void sp_render_region(const struct sp_render *, const struct sp_region *);
void sp_render_rule(const struct sp_render *, const struct sp_rule *);
void sp_render_group(const struct sp_render *, const struct sp_group *);
void sp_render_port(const struct sp_render *, const struct sp_port *);
void sp_render_server(const struct sp_render *, const struct sp_server *);
void sp_render_bridge(const struct sp_render *, const struct sp_bridge_status *);
/* What a port of 'server' was denied, or others to it. */
void sp_render_blocked(const struct sp_render *, const struct sp_server *server, const struct sp_blocked_entry *);

/* A connection of 'port' that is tracked now. */
struct sp_live {
    const struct sp_uuid *server; /* NULL: it is not told. */
    const struct sp_uuid *port;
    const struct sp_conntrack *tracked;
    enum sp_way way;              /* Who opened it: the remote end, or the server. */
    enum sp_admitter admitter;
    struct sp_uuid rule;          /* With SP_ADMITTED_BY_RULE. */
    struct sp_uuid group;
};
void sp_render_live(const struct sp_render *, const struct sp_live *);

/* A change of the history.  Returns the size of its objects' texts. */
size_t sp_render_change(struct sp_json_write *out, const struct sp_history_entry *entry);
/* Its "confirmation", within an open object. */
void sp_render_confirmation(struct sp_json_write *out, const struct sp_history_record *record);
/* What people write of a rule or a port, and nothing that the server sets, within an open object.  'remote_group' stands for the
 * rule's remote group; NULL: it has none. */
void sp_render_rule_content(const struct sp_render *, const struct sp_rule *, const char *remote_group);
void sp_render_port_content(const struct sp_render *, const struct sp_port *);
const char *sp_render_kind(enum sp_server_kind);

/* "rules":[...] of 'group', within an open object. */
void sp_render_rules(const struct sp_render *, const struct sp_group *);

/* Writes 'dpid' as 16 hexadecimal digits and a NUL. */
#define SP_DPID_TEXT_SIZE 17
const char *sp_render_dpid(uint64_t dpid, char *out);

#endif
