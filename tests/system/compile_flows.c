/* Facts about a bridge on standard input, its flows on standard output: drives the compiler alone, so that packets can judge
 * what it makes.  One fact a line, words apart by spaces, numbers in any base that C knows:
 *
 *   uplinks OFPORT...
 *   port OFPORT ZONE VLAN SECURITY SET MAC [ip ADDRESS]... [pair PREFIX MAC]...
 *   mac VLAN MAC OFPORT...
 *   target VLAN ADDRESS OFPORT...
 *   flood VLAN CHUNK OFPORT...       chunks of a VLAN stand together
 *   remote REGION ADDRESS SET
 *   set NUMBER VERSION REGION
 *   rule in|out allow|deny PRIORITY PROTOCOL any|group|PREFIX PORT_MIN PORT_MAX TYPE CODE SLOT MARK [CLASS]...   of the last set
 *
 * The static flows come without being asked for.  A line that is not of this form ends the program with status 1. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flows/compile.h"

#define LINE_SIZE 65536
#define WORDS_MAX 4096
#define RULES_MAX 4096

struct words {
    char *word[WORDS_MAX];
    size_t n;
    size_t line;
};

struct input {
    struct sp_flow_list flows;
    struct sp_rule_set_facts set; /* The set under way; number 0: none. */
    struct sp_rule_facts rules[RULES_MAX];
    uint16_t flood_vlan; /* The VLAN under way. */
    uint8_t chunks[SP_FLOOD_CHUNKS];
    size_t n_chunks;
};

static void *must(void *memory)
{
    if (!memory) {
        fprintf(stderr, "compile_flows: no memory\n");
        exit(1);
    }
    return memory;
}

static void expect(bool ok, const struct words *w)
{
    if (!ok) {
        fprintf(stderr, "compile_flows: line %zu (%s) is wrong\n", w->line, w->n ? w->word[0] : "");
        exit(1);
    }
}

static long number(const struct words *w, size_t i)
{
    char *end;
    long n;

    expect(i < w->n, w);
    n = strtol(w->word[i], &end, 0);
    expect(!*end, w);
    return n;
}

static struct sp_mac mac(const struct words *w, size_t i)
{
    struct sp_mac m = {{0}};

    expect(i < w->n && !sp_mac_parse(w->word[i], &m), w);
    return m;
}

static struct sp_cidr cidr(const struct words *w, size_t i)
{
    struct sp_cidr c = {0};

    expect(i < w->n && !sp_cidr_parse(w->word[i], &c), w);
    return c;
}

/* The port numbers from word 'from' on, valid until the next call. */
static const uint16_t *ofports(const struct words *w, size_t from)
{
    static uint16_t numbers[WORDS_MAX];

    for (size_t i = from; i < w->n; i++) {
        numbers[i - from] = (uint16_t) number(w, i);
    }
    return numbers;
}

static void end_set(struct input *in, const struct words *w)
{
    if (in->set.number) {
        in->set.rules = in->rules;
        expect(!sp_compile_rule_set(&in->set, NULL, &in->flows, NULL), w);
    }
    for (size_t i = 0; i < in->set.n_rules; i++) {
        free((void *) in->rules[i].meaning);
        free((void *) in->rules[i].classes);
    }
    memset(&in->set, 0, sizeof in->set);
}

static void end_flood(struct input *in, const struct words *w)
{
    if (in->n_chunks) {
        expect(!sp_compile_flood_vlan(in->flood_vlan, in->chunks, in->n_chunks, &in->flows), w);
    }
    in->n_chunks = 0;
}

static void take_port(struct input *in, const struct words *w)
{
    struct sp_port port = {.zone = (uint16_t) number(w, 2), .vlan = (uint16_t) number(w, 3),
                           .port_security = number(w, 4), .mac = mac(w, 6)};
    struct sp_port_facts facts = {.port = &port, .ofport = (uint16_t) number(w, 1), .set = (uint32_t) number(w, 5)};

    port.ips = must(calloc(w->n, sizeof *port.ips));
    port.pairs = must(calloc(w->n, sizeof *port.pairs));
    for (size_t i = 7; i < w->n;) {
        if (!strcmp(w->word[i], "ip")) {
            port.ips[port.n_ips++] = cidr(w, i + 1);
            i += 2;
        } else {
            expect(!strcmp(w->word[i], "pair"), w);
            port.pairs[port.n_pairs++] = (struct sp_address_pair){.ip = cidr(w, i + 1), .mac = mac(w, i + 2)};
            i += 3;
        }
    }
    expect(!sp_compile_port(&facts, &in->flows), w);
    free(port.ips);
    free(port.pairs);
}

static void take_rule(struct input *in, const struct words *w)
{
    struct sp_meaning *m = must(calloc(1, sizeof *m));
    uint32_t *classes = must(calloc(w->n, sizeof *classes));
    struct sp_rule_facts *rule = &in->rules[in->set.n_rules];

    expect(in->set.number && w->n >= 12 && in->set.n_rules < RULES_MAX, w);
    m->direction = strcmp(w->word[1], "in") ? SP_OUTBOUND : SP_INBOUND;
    m->action = strcmp(w->word[2], "allow") ? SP_DENY : SP_ALLOW;
    m->priority = (uint16_t) number(w, 3);
    m->protocol = (int16_t) number(w, 4);
    m->remote = !strcmp(w->word[5], "any") ? SP_REMOTE_ANY : !strcmp(w->word[5], "group") ? SP_REMOTE_GROUP : SP_REMOTE_CIDR;
    if (m->remote == SP_REMOTE_CIDR) {
        m->remote_cidr = cidr(w, 5);
    }
    m->port_min = (int32_t) number(w, 6);
    m->port_max = (int32_t) number(w, 7);
    m->icmp_type = (int16_t) number(w, 8);
    m->icmp_code = (int16_t) number(w, 9);
    for (size_t i = 12; i < w->n; i++) {
        classes[i - 12] = (uint32_t) number(w, i);
    }
    *rule = (struct sp_rule_facts){.meaning = m, .slot = (uint32_t) number(w, 10),
                                   .mark = (uint32_t) number(w, 11), .classes = classes, .n_classes = w->n - 12};
    in->set.n_rules++;
}

static void take_flood(struct input *in, const struct words *w)
{
    uint16_t vlan = (uint16_t) number(w, 1);
    uint8_t chunk = (uint8_t) number(w, 2);

    if (vlan != in->flood_vlan) {
        end_flood(in, w);
    }
    expect(in->n_chunks < SP_FLOOD_CHUNKS, w);
    in->flood_vlan = vlan;
    in->chunks[in->n_chunks++] = chunk;
    expect(!sp_compile_flood_chunk(vlan, chunk, ofports(w, 3), w->n - 3, &in->flows), w);
}

static void take(struct input *in, const struct words *w)
{
    const char *fact = w->word[0];

    if (!strcmp(fact, "rule")) {
        take_rule(in, w);
        return;
    }
    end_set(in, w);
    if (!strcmp(fact, "uplinks")) {
        expect(!sp_compile_uplinks(ofports(w, 1), w->n - 1, &in->flows), w);
    } else if (!strcmp(fact, "port")) {
        take_port(in, w);
    } else if (!strcmp(fact, "mac")) {
        struct sp_mac address = mac(w, 2);

        expect(!sp_compile_mac((uint16_t) number(w, 1), &address, ofports(w, 3), w->n - 3, &in->flows), w);
    } else if (!strcmp(fact, "target")) {
        struct sp_cidr ip = cidr(w, 2);

        expect(!sp_compile_target((uint16_t) number(w, 1), &ip, ofports(w, 3), w->n - 3, &in->flows), w);
    } else if (!strcmp(fact, "flood")) {
        take_flood(in, w);
    } else if (!strcmp(fact, "remote")) {
        struct sp_cidr ip = cidr(w, 2);

        expect(!sp_compile_remote((uint32_t) number(w, 1), &ip, (uint32_t) number(w, 3), &in->flows), w);
    } else {
        expect(!strcmp(fact, "set"), w);
        in->set = (struct sp_rule_set_facts){.number = (uint32_t) number(w, 1), .version = (uint32_t) number(w, 2),
                                             .region = (uint32_t) number(w, 3)};
    }
}

int main(void)
{
    static struct input in;
    static struct words w;
    static char line[LINE_SIZE], text[4 * LINE_SIZE];

    sp_flow_list_init(&in.flows);
    expect(!sp_compile_static(&in.flows), &w);
    while (fgets(line, sizeof line, stdin)) {
        char *rest = line;

        w.line++;
        w.n = 0;
        while (w.n < WORDS_MAX && (w.word[w.n] = strtok_r(rest, " \n", &rest))) {
            w.n++;
        }
        if (w.n) {
            take(&in, &w);
        }
    }
    end_set(&in, &w);
    end_flood(&in, &w);
    for (size_t i = 0; i < in.flows.n; i++) {
        sp_flow_format(in.flows.flows[i], text, sizeof text);
        puts(text);
    }
    sp_flow_list_clear(&in.flows);
    return 0;
}
