/* Makes seeds in the folder that is named: what a switch and libopenvswitch say, as inputs of session.c and stats.c. */

#include <string.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"
#include "flows/openflow/session_state.h"
#include "tests/support/session_pair.h"

#define MODS 4
#define STEPS 6

enum { TYPE_ERROR = 1, TYPE_MULTIPART_REPLY = 19, STATS_FLOW = 1, STATS_FLOW_15 = 17, FIRST_BYTE_15 = 1, FIRST_BYTE_ERROR = 2 };

/* More than the pipeline has: what session_pair_mods() and others' hands leave in a switch. */
static const char *const flows[] = {
    "table=0,priority=100,cookie=0x5350050000000001,in_port=1,"
    "actions=load:1->NXM_NX_REG0[],load:2->NXM_NX_REG3[0..15],goto_table:1",
    "table=1,priority=90,cookie=0x5350050000000002,tcp,nw_src=10.0.0.0/8,tp_dst=80/0xfff0,"
    "actions=ct(table=5,zone=NXM_NX_REG3[0..15])",
    "table=2,priority=80,cookie=0x5350050000000003,ct_state=+new+trk,icmp6,icmp_type=135,nd_target=fe80::1,"
    "actions=ct(commit,zone=NXM_NX_REG3[0..15],exec(move:NXM_NX_REG4[]->NXM_NX_CT_MARK[]),table=7)",
    "table=3,priority=70,cookie=0x5350050000000004,arp,arp_spa=10.1.2.3,arp_op=1,dl_vlan=7,"
    "actions=strip_vlan,output:NXM_NX_REG5[0..15]",
    "table=4,priority=60,cookie=0x5350050000000005,udp6,ipv6_src=2001:db8::/32,"
    "actions=push_vlan:0x8100,move:NXM_OF_IN_PORT[]->NXM_NX_REG6[0..15],push:NXM_NX_IPV6_SRC[96..127],pop:NXM_NX_REG7[],"
    "resubmit(,9),output:3",
    "table=5,priority=50,cookie=0x5350050000000006,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,"
    "actions=learn(table=30,priority=9,idle_timeout=300,delete_learned,"
    "limit=100,cookie=0x5350080000000000,NXM_NX_REG7[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],"
    "load:NXM_OF_IN_PORT[]->NXM_NX_REG5[0..15])",
    "table=6,priority=40,cookie=0x5350050000000007,ip,nw_frag=later,"
    "actions=drop",
    "table=7,priority=30,cookie=0x5350050000000008,sctp,ct_mark=5,reg2=0x10/0xf0,"
    "actions=note:01.02.03,group:7",
    "table=8,priority=20,cookie=0x5350050000000009,idle_timeout=5,metadata=0x7/0xff,"
    "actions=set_field:02:00:00:00:00:01->eth_dst,NORMAL",
    "table=9,priority=10,cookie=0x535005000000000a,tun_id=5,mpls,mpls_label=3,"
    "actions=pop_mpls:0x0800,controller(max_len=10)",
};

static void write_seed(const char *folder, const char *target, unsigned number, uint8_t first, const uint8_t *bytes, size_t size)
{
    char path[4096];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder, target);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/%s/recorded-%03u", folder, target, number);
    file = fopen(path, "wb");
    FUZZ_CHECK(file && fputc(first, file) != EOF && fwrite(bytes, 1, size, file) == size);
    FUZZ_CHECK(!fclose(file));
}

/* What there is for stats.c in a recorded stream. */
static void write_parts(const char *folder, const struct session_pair *p)
{
    static unsigned number;
    uint8_t version = p->fs.version == SP_OF15 ? FIRST_BYTE_15 : 0;

    for (size_t at = 0, length; at < p->record_size; at += length) {
        const uint8_t *message = p->record + at;
        unsigned stats = message[1] == TYPE_MULTIPART_REPLY ? message[8] << 8u | message[9] : 0;

        length = (size_t) message[2] << 8 | message[3];
        if (message[1] == TYPE_ERROR) {
            write_seed(folder, "stats", number++, version | FIRST_BYTE_ERROR, message + 8, length - 8);
        } else if (stats == STATS_FLOW || stats == STATS_FLOW_15) {
            write_seed(folder, "stats", number++, version, message + 16, length - 16);
        }
    }
}

/* The owner of session.c. */
static void own(struct session_pair *p, struct sp_known *known, const struct sp_flow_mod *mods, unsigned *step, bool change_first,
                bool is_ahead)
{
    static const uint16_t zones[] = {1, 65535};

    session_pair_forget(p);
    if (sp_session_idle(p->s) && *step < STEPS) {
        if (((*step)++ + !change_first) % 2) {
            sp_session_dump(p->s, known, p->now);
        } else if (is_ahead) {
            sp_session_prepare(p->s, mods, MODS, p->now);
        } else {
            sp_session_apply(p->s, mods, MODS, zones, *step % 3 ? 2 : 0, p->now);
        }
    } else if (p->s->state == STATE_HELD && *step % 4 < 2) {
        sp_session_commit(p->s, p->now);
    } else if (p->s->state == STATE_HELD) {
        sp_session_withdraw(p->s, p->now);
    }
}

static void record(const char *folder, unsigned number, bool is_15, bool is_refused, bool change_first, bool is_ahead)
{
    static struct session_pair p;
    struct sp_known *known = sp_known_new(7);
    struct sp_flow_mod *mods = session_pair_mods(MODS);
    unsigned step = 0;

    if (is_refused) {
        sp_flow_unref(mods[2].flow);
        mods[2].flow = session_pair_flow(2, 0xff40);
    }
    session_pair_init(&p);
    p.fs.versions = is_15 ? 1u << SP_OF15 : 1u << SP_OF14;
    fake_switch_reconnect(&p.fs); /* To say so. */
    p.fs.tell_changes = true;
    p.record = malloc(1);
    for (size_t i = 0; i < sizeof flows / sizeof *flows; i++) {
        fake_switch_add_flow(&p.fs, flows[i]);
    }
    do {
        own(&p, known, mods, &step, change_first, is_ahead);
        if (step == 3) {
            fake_switch_add_flow(&p.fs, "table=22,priority=9,cookie=0x5350050000000008,tcp,tp_dst=6/0xfffe,reg2=1,actions=drop");
            fake_switch_port_status(&p.fs, 9, "tap9", false);
        }
    } while (session_pair_exchange_once(&p));
    FUZZ_CHECK(step == STEPS && !session_pair_count(&p, SP_EVENT_CLOSED));
    write_seed(folder, "session", number, (is_ahead ? 0x40 : 0) | (is_refused ? 0x20 : 0) | (change_first ? 0x10 : 0),
               p.record, p.record_size);
    write_parts(folder, &p);
    session_pair_free_mods(mods, MODS);
    sp_known_free(known);
    session_pair_clear(&p);
}

int main(int argc, char *argv[])
{
    FUZZ_CHECK(argc == 2);
    for (unsigned i = 0; i < 16; i++) {
        record(argv[1], i, i & 1, i & 2, i & 4, i & 8);
    }
    return 0;
}
