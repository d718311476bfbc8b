/* How often rules hit, as rows: apart from the objects, since it is written at other times. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "controller/store/rows.h"

#define AT_MOST_MAX(COLUMN) COLUMN " = min(" COLUMN ", 9223372036854775807 - excluded." COLUMN ") + excluded." COLUMN

enum { FLOW_SET, FLOW_REMOVE, RULE_ADD, N_STATEMENTS };

static const char *const sql[N_STATEMENTS] = {
    [FLOW_SET] = "INSERT INTO flow_count (bridge, id, slot, name, absent, packets, bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
                 " ON CONFLICT (bridge, id) DO UPDATE SET absent = excluded.absent, packets = excluded.packets,"
                 " bytes = excluded.bytes",
    [FLOW_REMOVE] = "DELETE FROM flow_count WHERE bridge = ?1 AND id = ?2",
    [RULE_ADD] = "INSERT INTO rule_count (rule, packets, bytes, first_hit, last_hit) SELECT ?1, ?2, ?3, ?4, ?5"
                 " WHERE EXISTS (SELECT 1 FROM rule WHERE id = ?1)"
                 " ON CONFLICT (rule) DO UPDATE SET " AT_MOST_MAX("packets") ", " AT_MOST_MAX("bytes") ","
                 " first_hit = min(first_hit, excluded.first_hit), last_hit = max(last_hit, excluded.last_hit)",
};

struct sp_count_statements {
    struct sp_statement *statements[N_STATEMENTS];
};

static int write_flow(struct sp_count_statements *, const struct sp_flow_row *);
static int write_rule(struct sp_count_statements *, const struct sp_rule_row *);
static int load_since(struct sp_statement *, int64_t *ret_since);
static int load_flows(struct sp_statement *, const struct sp_count_receiver *, void *aux);
static int load_rules(struct sp_statement *, const struct sp_count_receiver *, void *aux);

int
sp_count_statements_new(struct sp_database *database, struct sp_count_statements **ret)
{
    struct sp_count_statements *c = calloc(1, sizeof *c);

    if (!c) {
        return -ENOMEM;
    }
    for (int i = 0; i < N_STATEMENTS; i++) {
        int r = sp_database_prepare(database, sql[i], &c->statements[i]);

        if (r) {
            free(c); /* The statements are the database's. */
            return r;
        }
    }
    *ret = c;
    return 0;
}

void
sp_count_statements_free(struct sp_count_statements *c)
{
    free(c);
}

int
sp_count_statements_write(struct sp_count_statements *c, const struct sp_count_rows *rows)
{
    int r = 0;

    for (size_t i = 0; i < rows->n_flows && !r; i++) {
        r = write_flow(c, &rows->flows[i]);
    }
    for (size_t i = 0; i < rows->n_rules && !r; i++) {
        r = write_rule(c, &rows->rules[i]);
    }
    return r;
}

static int
write_flow(struct sp_count_statements *c, const struct sp_flow_row *row)
{
    struct sp_statement *s = c->statements[row->ended ? FLOW_REMOVE : FLOW_SET];
    char dpid[17];

    snprintf(dpid, sizeof dpid, "%016" PRIx64, row->dpid);
    sp_statement_give_text(s, dpid);
    sp_statement_give_integer(s, row->id);
    if (!row->ended) {
        sp_statement_give_integer(s, row->slot);
        sp_statement_give_integer(s, (int64_t) row->name);
        sp_statement_give_integer(s, row->absent);
        sp_statement_give_integer(s, (int64_t) row->packets);
        sp_statement_give_integer(s, (int64_t) row->bytes);
    }
    return sp_statement_run(s, -1);
}

static int
write_rule(struct sp_count_statements *c, const struct sp_rule_row *row)
{
    struct sp_statement *s = c->statements[RULE_ADD];
    char id[SP_UUID_TEXT_SIZE];

    sp_statement_give_text(s, sp_uuid_format(&row->rule, id));
    sp_statement_give_integer(s, (int64_t) row->packets);
    sp_statement_give_integer(s, (int64_t) row->bytes);
    sp_statement_give_integer(s, row->first_hit);
    sp_statement_give_integer(s, row->last_hit);
    return sp_statement_run(s, -1);
}

int
sp_count_rows_load(struct sp_database *database, const struct sp_count_receiver *receiver, void *aux, int64_t *ret_since,
                   char *why, size_t why_size)
{
    struct sp_statement *since, *flows, *rules;
    int r = sp_database_prepare(database, "SELECT since FROM counting", &since);

    r = r ? r : sp_database_prepare(database, "SELECT bridge, id, slot, name, absent, packets, bytes FROM flow_count", &flows);
    r = r ? r : sp_database_prepare(database, "SELECT rule, packets, bytes, first_hit, last_hit FROM rule_count", &rules);
    if (r) {
        snprintf(why, why_size, "%s", sp_database_why(database));
        return r;
    }
    r = load_since(since, ret_since);
    r = r ? r : load_flows(flows, receiver, aux);
    r = r ? r : load_rules(rules, receiver, aux);
    if (r) {
        snprintf(why, why_size, "%s",
                 r == SP_E_DAMAGED ? "damaged: a row of counts is not of its form" : sp_database_why(database));
    }
    sp_statement_free(since);
    sp_statement_free(flows);
    sp_statement_free(rules);
    return r;
}

static int
load_since(struct sp_statement *s, int64_t *ret_since)
{
    bool row;
    int r = sp_statement_next(s, &row);

    if (!r && !row) {
        return SP_E_DAMAGED;
    }
    if (!r) {
        *ret_since = sp_statement_integer(s, 0);
    }
    return r;
}

/* A number of 'min' to 'max'. */
static bool
read_number(const struct sp_statement *s, int column, int64_t min, int64_t max, int64_t *ret)
{
    *ret = sp_statement_integer(s, column);
    return *ret >= min && *ret <= max;
}

static int
load_flows(struct sp_statement *s, const struct sp_count_receiver *receiver, void *aux)
{
    bool row;
    int r;

    while (!(r = sp_statement_next(s, &row)) && row) {
        struct sp_flow_row flow = {.name = (uint64_t) sp_statement_integer(s, 3)};
        int64_t id, slot, absent, packets, bytes;

        if (!sp_rows_read_dpid(s, 0, &flow.dpid) || !read_number(s, 1, 1, UINT32_MAX, &id)
            || !read_number(s, 2, 1, INT32_MAX, &slot) || !read_number(s, 4, 0, 1, &absent)
            || !read_number(s, 5, 0, INT64_MAX, &packets) || !read_number(s, 6, 0, INT64_MAX, &bytes)) {
            return SP_E_DAMAGED;
        }
        flow.id = (uint32_t) id;
        flow.slot = (uint32_t) slot;
        flow.absent = absent != 0;
        flow.packets = (uint64_t) packets;
        flow.bytes = (uint64_t) bytes;
        r = receiver->flow(aux, &flow);
        if (r) {
            return r;
        }
    }
    return r;
}

static int
load_rules(struct sp_statement *s, const struct sp_count_receiver *receiver, void *aux)
{
    bool row;
    int r;

    while (!(r = sp_statement_next(s, &row)) && row) {
        struct sp_rule_row rule = {.first_hit = sp_statement_integer(s, 3), .last_hit = sp_statement_integer(s, 4)};
        const char *id = sp_statement_text(s, 0);
        int64_t packets, bytes;

        if (!id || sp_uuid_parse(id, &rule.rule) || !read_number(s, 1, 0, INT64_MAX, &packets)
            || !read_number(s, 2, 0, INT64_MAX, &bytes)) {
            return SP_E_DAMAGED;
        }
        rule.packets = (uint64_t) packets;
        rule.bytes = (uint64_t) bytes;
        r = receiver->rule(aux, &rule);
        if (r) {
            return r;
        }
    }
    return r;
}
