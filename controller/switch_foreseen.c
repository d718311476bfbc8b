#include <errno.h>

#include "controller/switch_units.h"
#include "sallyport/pipeline.h"

/* A switch gathers its answer to a dump for microseconds a flow before it sends the first byte of it, and what it tells then is
 * mostly what it told last, and what its bridge shall have.  So while it does it is found out whether these two are the same:
 * each flow that a unit wants is put into a table, no two of them with one key; each that the last dump told must be in there,
 * just so; and there must be as many of the one as of the other.  Whether that is what the switch has is for the dump to tell: if
 * it tells all that the last one told, in the same bytes, and nothing else, then each unit has what it wants, nothing is lost and
 * nothing is left over.  Else, or if a unit has changed in between, nothing has happened but that some time was spent: what is
 * installed, and whose the zones are, is not touched before. */

#define FLOWS_PER_PART 256

static void end(struct sp_foreseen *);
static int fill(struct sp_switch *, bool *ret_done);

void
sp_switch_foresee(struct sp_switch *sw)
{
    struct sp_foreseen *f = &sw->foreseen;
    bool is_wanted = sw->phase == SP_SWITCH_LEARNING && sw->asked && sw->is_given && !sw->work.stage;
    if (!is_wanted || f->stage || !f->is_possible || sw->n_poisoned || sp_known_count(sw->known) != sw->n_desired) {
        return;
    }
    f->table = sp_flow_table_new();
    if (f->table) { /* Else what the dump means is found out later. */
        f->stage = SP_FORESEEN_FILL;
        f->cursor = f->n_equal = 0;
        f->begun = false;
        sw->events->busy(sw->aux, sw);
    }
}

void
sp_switch_drop_foreseen(struct sp_switch *sw)
{
    struct sp_foreseen *f = &sw->foreseen;
    if (f->stage) {
        f->stage = SP_FORESEEN_DRAIN;
        sp_flow_list_clear(&f->owners);
        sw->events->busy(sw->aux, sw);
    }
}

bool
sp_switch_is_foreseeing(const struct sp_switch *sw)
{
    return sw->foreseen.stage && sw->foreseen.stage != SP_FORESEEN_READY;
}

void
sp_switch_foresee_part(struct sp_switch *sw)
{
    struct sp_foreseen *f = &sw->foreseen;
    bool done = false;
    int error = 0;
    if (f->stage == SP_FORESEEN_FILL) {
        error = fill(sw, &done);
        f->stage = done ? SP_FORESEEN_MATCH : f->stage;
        f->cursor = done ? 0 : f->cursor;
        f->is_possible = !error && (!done || sp_flow_table_count(f->table) == sw->n_desired);
    } else if (f->stage == SP_FORESEEN_MATCH) {
        done = !sp_known_adopt(sw->known, f->table, &f->cursor, FLOWS_PER_PART, &f->n_equal);
        f->stage = done ? SP_FORESEEN_READY : f->stage;
        f->is_possible = !done || (f->n_equal == sp_known_count(sw->known) && f->n_equal == sp_flow_table_count(f->table));
    } else if (!sp_flow_table_drain(f->table, FLOWS_PER_PART)) {
        end(f);
        sp_switch_foresee(sw); /* Again, if a unit has changed in between. */
        return;
    }
    if (!f->is_possible) {
        sp_switch_drop_foreseen(sw);
    }
}

void
sp_switch_clear_foreseen(struct sp_switch *sw)
{
    end(&sw->foreseen);
    sw->foreseen.is_possible = false;
}

int
sp_switch_take_foreseen(struct sp_switch *sw)
{
    struct sp_foreseen *f = &sw->foreseen;
    int error = 0;
    for (size_t i = 0; !error && i < f->owners.n; i++) {
        error = sp_switch_learn_owner(sw, f->owners.flows[i]);
    }
    if (!error) {
        sp_flow_table_free(sw->installed);
        sw->installed = f->table;
        sw->is_mirrored = sw->is_distinct = true;
        f->table = NULL;
        end(f);
    }
    return error;
}

static void
end(struct sp_foreseen *f)
{
    sp_flow_table_free(f->table);
    f->table = NULL;
    sp_flow_list_clear(&f->owners);
    f->stage = SP_FORESEEN_NONE;
}

/* Returns 0 or -ENOMEM. */
static int
fill(struct sp_switch *sw, bool *ret_done)
{
    struct sp_foreseen *f = &sw->foreseen;
    int error = 0;
    if (!f->begun) {
        f->begun = true;
        f->node = sp_index_next_head(&sw->units, NULL, &f->cursor);
    }
    for (size_t n = 0; !error && f->node && n < FLOWS_PER_PART; n++) {
        const struct sp_flow_set *desired = ((const struct sp_unit *) f->node->owner)->desired;
        for (size_t i = 0; !error && i < sp_flow_set_count(desired); i++) {
            struct sp_flow *flow = desired->flows[i];
            error = sp_flow_table_put(f->table, flow);
            if (!error && SP_COOKIE_KIND(flow->cookie) == SP_COOKIE_OWNED) {
                error = sp_flow_list_take(&f->owners, sp_flow_ref(flow));
            }
        }
        n += sp_flow_set_count(desired);
        f->node = sp_index_next_head(&sw->units, f->node, &f->cursor);
    }
    *ret_done = !f->node;
    return error;
}
