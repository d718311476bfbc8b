#include "controller/unixctl/inquiry.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/json/json.h"
#include "sallyport/utf8.h"

/* Each takes the answer's text, and sets what comes next. */
typedef void take_answer(struct sp_inquiry *, const char *text);

static take_answer take_trace, take_datapaths, take_bridges, take_count, take_dump;

enum step { STEP_TRACE, STEP_DATAPATHS, STEP_BRIDGES, STEP_COUNT, STEP_DUMP };

static const struct {
    const char *method;
    take_answer *take;
} steps[] = {
    [STEP_TRACE] = {"ofproto/trace", take_trace},
    [STEP_DATAPATHS] = {"dpctl/dump-dps", take_datapaths},
    [STEP_BRIDGES] = {"dpif/show", take_bridges},
    [STEP_COUNT] = {"dpctl/ct-stats-show", take_count},
    [STEP_DUMP] = {"dpctl/dump-conntrack", take_dump},
};

static void
end(struct sp_inquiry *inquiry, enum sp_inquiry_state state, const char *why)
{
    inquiry->state = state;
    inquiry->out_size = 0; /* Whoever answers before he has heard the request need not hear it. */
    snprintf(inquiry->why, sizeof inquiry->why, "%s", why);
}

static void
fail(struct sp_inquiry *inquiry, const char *why)
{
    char text[sizeof inquiry->why];
    snprintf(text, sizeof text, "%s: %s", steps[inquiry->step].method, why);
    end(inquiry, SP_INQUIRY_FAILED, text);
}

/* Puts the request of 'step' in the output.  Returns 0 or -ENOMEM. */
static int
ask(struct sp_inquiry *inquiry, enum step step)
{
    const struct sp_inquiry_port *port = &inquiry->port;
    char zone[16], flow[80], mac[SP_MAC_TEXT_SIZE];
    const char *text;
    size_t size;
    snprintf(zone, sizeof zone, "zone=%u", port->zone);
    snprintf(flow, sizeof flow, "in_port=%u,dl_src=%s", port->ofport, sp_mac_format(&port->mac, mac));
    struct sp_json_write *out = sp_json_write_new(false);
    sp_json_object_open(out);
    sp_json_text(out, "method", steps[step].method);
    sp_json_key(out, "params");
    sp_json_array_open(out);
    if (step == STEP_TRACE) {
        sp_json_string(out, port->bridge);
        sp_json_string(out, flow);
    } else if (step == STEP_COUNT || step == STEP_DUMP) {
        if (step == STEP_DUMP) {
            sp_json_string(out, "-s");
        }
        sp_json_string(out, inquiry->datapath);
        sp_json_string(out, zone);
    }
    sp_json_array_close(out);
    sp_json_key(out, "id");
    sp_json_integer(out, (int64_t) step);
    sp_json_object_close(out);
    int r = sp_json_write_done(out, &text, &size);
    if (!r && size > sizeof inquiry->out) {
        r = SP_E_RANGE;
    }
    if (!r) {
        memcpy(inquiry->out, text, size);
        inquiry->out_size = size;
        inquiry->step = step;
    }
    sp_json_write_free(out);
    return r;
}

static void
go_on(struct sp_inquiry *inquiry, enum step step)
{
    if (ask(inquiry, step)) {
        fail(inquiry, "the next request cannot be made");
    }
}

/* Whether 'name' is a word that ovs-vswitchd takes for a name: no option, nothing that needs quotes. */
static bool
is_word(const char *name, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (name[i] <= ' ' || name[i] > '~' || name[i] == '"' || name[i] == '\\') {
            return false;
        }
    }
    return size && *name != '-';
}

int
sp_inquiry_init(struct sp_inquiry *inquiry, const struct sp_inquiry_port *port, size_t max)
{
    *inquiry = (struct sp_inquiry){.port = *port, .max = max};
    sp_scan_init(&inquiry->scan);
    size_t len = strnlen(port->bridge, sizeof port->bridge);
    if (len == sizeof port->bridge || !is_word(port->bridge, len)) {
        return SP_E_RANGE;
    }
    inquiry->connections = calloc(max, sizeof *inquiry->connections);
    return inquiry->connections ? ask(inquiry, STEP_TRACE) : -ENOMEM;
}

void
sp_inquiry_clear(struct sp_inquiry *inquiry)
{
    sp_scan_clear(&inquiry->scan);
    free(inquiry->connections);
    inquiry->connections = NULL;
}

size_t
sp_inquiry_output(struct sp_inquiry *inquiry, char *out, size_t size)
{
    size = size < inquiry->out_size ? size : inquiry->out_size;
    memcpy(out, inquiry->out, size);
    inquiry->out_size -= size;
    memmove(inquiry->out, inquiry->out + size, inquiry->out_size);
    return size;
}

/* The line at '*text', which moves on to the next one; its size in '*ret_size'.  NULL: there is none any more. */
static const char *
take_line(const char **text, size_t *ret_size)
{
    const char *line = *text;
    *ret_size = strcspn(line, "\n");
    *text += *ret_size + (line[*ret_size] == '\n');
    return *line ? line : NULL;
}

/* "bridge("br0")", a line of dashes, " 0. in_port=1,..., priority 100, cookie 0x5350...": the flow of table 0 that the packet
 * met. */
static void
take_trace(struct sp_inquiry *inquiry, const char *text)
{
    static const char table[] = " 0. ", word[] = ", cookie 0x";
    const char *line;
    size_t size;
    while ((line = take_line(&text, &size))) {
        bool is_first = size > sizeof table && !memcmp(line, table, sizeof table - 1);
        const char *cookie = is_first ? memmem(line, size, word, sizeof word - 1) : NULL;
        if (cookie) {
            char *rest;
            uint64_t number = strtoull(cookie + sizeof word - 1, &rest, 16);
            inquiry->is_proved = number == inquiry->port.cookie && rest == line + size;
            break;
        }
    }
    if (inquiry->is_proved) {
        go_on(inquiry, STEP_DATAPATHS);
    } else {
        end(inquiry, SP_INQUIRY_STRANGER, "the switch has no flow of this port");
    }
}

/* Takes 'name' for the datapath. */
static void
choose(struct sp_inquiry *inquiry, const char *name, size_t size)
{
    if (size >= sizeof inquiry->datapath || !is_word(name, size)) {
        fail(inquiry, "a datapath whose name is none");
        return;
    }
    memcpy(inquiry->datapath, name, size);
    inquiry->datapath[size] = '\0';
    go_on(inquiry, STEP_COUNT);
}

/* "netdev@ovs-netdev", one a line. */
static void
take_datapaths(struct sp_inquiry *inquiry, const char *text)
{
    size_t size, next_size;
    const char *first = take_line(&text, &size);
    if (!first) {
        fail(inquiry, "there is no datapath");
    } else if (take_line(&text, &next_size)) {
        go_on(inquiry, STEP_BRIDGES);
    } else {
        choose(inquiry, first, size);
    }
}

/* "netdev@ovs-netdev: hit:1 missed:2", and under it "  br0:" for each of its bridges, and under that its ports. */
static void
take_bridges(struct sp_inquiry *inquiry, const char *text)
{
    const char *line, *datapath = NULL;
    size_t size, datapath_size = 0, len = strlen(inquiry->port.bridge);
    while ((line = take_line(&text, &size))) {
        if (*line != ' ') {
            const char *colon = memmem(line, size, ": ", 2);
            datapath = colon ? line : NULL;
            datapath_size = colon ? (size_t) (colon - line) : 0;
        } else if (datapath && size == len + 3 && line[1] == ' ' && line[size - 1] == ':' &&
                   !memcmp(line + 2, inquiry->port.bridge, len)) {
            choose(inquiry, datapath, datapath_size);
            return;
        }
    }
    fail(inquiry, "does not tell the datapath of the bridge");
}

/* "Connections Stats:", "    Total: 7", and how many of each protocol. */
static void
take_count(struct sp_inquiry *inquiry, const char *text)
{
    static const char word[] = " Total: ";
    const char *total = strstr(text, word);
    char *rest = NULL;
    uint64_t n = total ? strtoull(total + sizeof word - 1, &rest, 10) : 0;
    if (!total || total[sizeof word - 1] < '0' || total[sizeof word - 1] > '9' || (*rest && *rest != '\n')) {
        fail(inquiry, "does not tell how many there are");
        return;
    }
    inquiry->n_in_zone = n;
    if (n > SP_INQUIRY_ZONE_MAX) {
        end(inquiry, SP_INQUIRY_TOO_MANY, "");
    } else {
        go_on(inquiry, STEP_DUMP);
    }
}

static void
take_dump(struct sp_inquiry *inquiry, const char *text)
{
    const char *line;
    size_t size;
    while ((line = take_line(&text, &size))) {
        struct sp_conntrack connection;
        if (inquiry->n == inquiry->max) {
            inquiry->more = true;
            break;
        }
        if (sp_conntrack_parse(line, size, &connection) || connection.zone != inquiry->port.zone) {
            inquiry->n_strange++;
        } else {
            inquiry->connections[inquiry->n++] = connection;
        }
    }
    end(inquiry, SP_INQUIRY_DONE, "");
}

/* A refusal in one printable line. */
static void
take_error(struct sp_inquiry *inquiry, const struct sp_json *error)
{
    char text[100] = "refused";
    if (inquiry->step == STEP_TRACE) {
        end(inquiry, SP_INQUIRY_STRANGER, "the switch does not know the bridge");
        return;
    }
    if (error->type == SP_JSON_STRING && *error->string) {
        sp_utf8_print(text, sizeof text, error->string, strcspn(error->string, "\n"));
    }
    fail(inquiry, text);
}

static void
take_message(struct sp_inquiry *inquiry, const char *data, size_t size)
{
    struct sp_json *message;
    char why[100];
    if (sp_json_parse(data, size, &message, why, sizeof why)) {
        fail(inquiry, "the answer is not JSON");
        return;
    }
    const struct sp_json *id = message->type == SP_JSON_OBJECT ? sp_json_get(message, "id") : NULL;
    const struct sp_json *result = id ? sp_json_get(message, "result") : NULL, *error = id ? sp_json_get(message, "error") : NULL;
    if (!id || id->type != SP_JSON_INTEGER || id->integer != (int64_t) inquiry->step) {
        fail(inquiry, "the answer is to no request");
    } else if (error && error->type != SP_JSON_NULL) {
        take_error(inquiry, error);
    } else if (!result || result->type != SP_JSON_STRING) {
        fail(inquiry, "the answer has no text");
    } else {
        steps[inquiry->step].take(inquiry, result->string);
    }
    sp_json_free(message);
}

/* The answer under way is too long: only connections make sense without their end.  Ends it behind the last whole line. */
static void
cut(struct sp_inquiry *inquiry)
{
    static const char tail[] = "\"}";
    struct sp_scan *scan = &inquiry->scan;
    if (inquiry->step != STEP_DUMP || !scan->in_string || scan->depth != 1) {
        fail(inquiry, "the answer is too long");
        return;
    }
    size_t size = SP_INQUIRY_TEXT_MAX - sizeof tail;
    const char *line_end = memrchr(scan->text, 'n', size);
    while (line_end && line_end > scan->text && line_end[-1] != '\\') {
        line_end = memrchr(scan->text, 'n', (size_t) (line_end - scan->text));
    }
    if (!line_end || line_end == scan->text) {
        fail(inquiry, "the answer is one endless line");
        return;
    }
    size = (size_t) (line_end + 1 - scan->text);
    memcpy(scan->text + size, tail, sizeof tail - 1);
    take_message(inquiry, scan->text, size + sizeof tail - 1);
    inquiry->more = inquiry->state == SP_INQUIRY_DONE;
}

void
sp_inquiry_receive(struct sp_inquiry *inquiry, const char *data, size_t size)
{
    while (size && inquiry->state == SP_INQUIRY_ASKING) {
        size_t room = SP_INQUIRY_TEXT_MAX - (inquiry->scan.complete ? 0 : inquiry->scan.size);
        size_t piece = size < room ? size : room, left = piece;
        int r = sp_scan_feed(&inquiry->scan, &data, &left);
        size -= piece - left;
        if (!r) {
            take_message(inquiry, inquiry->scan.text, inquiry->scan.size);
        } else if (r != -EAGAIN) {
            fail(inquiry, r < 0 ? "no memory" : "the answer is not JSON");
        } else if (inquiry->scan.size >= SP_INQUIRY_TEXT_MAX) {
            cut(inquiry);
        }
    }
}
