/* The pipeline: tables, registers, cookies, priorities, in one place.
 *
 * A packet's way.  "Identity" is a port together with one of the MAC addresses it may use.
 *
 *   CLASSIFY     by in_port.  Server port: source MAC known -> load facts (origin, phase 1, VLAN, zone, identity, set), go on;
 *                uplink: VLAN from the tag, learn the source MAC if there is more than one uplink -> FORWARD.  Else drop.
 *   SOURCE       server ports with port security: copies the claimed addresses of the packet (IP source; ARP sender;
 *                ND target and link-layer option) into the check registers; drops what never passes (DHCP server, RA, redirect, ...).
 *   HARDWARE     (identity, claimed hardware address in ARP or ND) known -> ADDRESS, else drop.
 *   ADDRESS      (identity, claimed IP address) known -> CHECKED, else drop.
 *   CHECKED      dispatches what was claimed honestly: ARP, ND, DHCP client -> FORWARD; IP -> RULES.
 *   RULE_SET     the one flow per rule set: loads the set's VERSION and region, ct(zone of the port, table=TRACKED).
 *   TRACKED      the gate: +inv drops; ct_mark that is live in the set -> PASSED; else -> JUDGE.
 *   JUDGE        chooses the rules by the connection's direction; later fragments -> COMMIT; SCTP -> the SCTP tables.
 *   REMOTE_IN, REMOTE_OUT   class of the connection's remote address; only for sets that name remote groups.
 *   RULES_IN, RULES_OUT     the rules: load SLOT -> STAMP, or drop.  SCTP_ORIGINAL, SCTP_REPLY: the same on packet headers.
 *   STAMP        slot -> mark.
 *   COMMIT       related errors pass uncommitted; else ct(commit, ct_mark = MARK).
 *   PASSED       phase 1 (leaving) -> FORWARD; phase 2 (entering) -> DELIVERED.
 *   FORWARD      by VLAN and destination: local server -> ENTER; group address -> FLOOD; else UPLINKS.
 *   ENTER        out port -> its facts (phase 2, zone, set); GUARD: ARP, ND, RA from an uplink, DHCP answers -> DELIVERED; IP -> RULE_SET.
 *   DELIVERED    output.
 *
 * Why a VERSION before ct(): OVS up to 3.1 has a bug in its userspace datapath: a rule change that alters the actions of
 * one of two overlapping megaflows may change the wrong one, and the stale one then leaks or blocks for as long as traffic
 * keeps it alive.  The version is a part of the state that ct() freezes, so that after a change no packet reaches a megaflow
 * made before it.  Registers that are not needed after ct() are cleared before it for the same reason turned round: each
 * combination of register values costs a recirculation id.
 *
 * Invariants, cited by tests:
 *  P1  Every flow of ours has priority >= 1 and a cookie with SP_COOKIE_OWNER; no other flow is read, changed or deleted.
 *  P2  A packet is output to a server port only from DELIVERED, and to an uplink only from the UPLINK tables.
 *  P3  IP reaches DELIVERED only through RULE_SET with the receiving port's set, but for GUARD's exceptions; it leaves a
 *      server port only through RULE_SET with the sending port's set, but for CHECKED's.
 *  P4  A zone belongs to one port; a mark to one (rule set, rule, state of that rule); neither is used again soon. */

#ifndef SALLYPORT_PIPELINE_H
#define SALLYPORT_PIPELINE_H 1

#include "sallyport/flow.h"

enum sp_table {
    SP_T_CLASSIFY = 0,
    SP_T_SOURCE = 1,
    SP_T_HARDWARE = 2,
    SP_T_ADDRESS = 3,
    SP_T_CHECKED = 4,
    SP_T_RULE_SET = 8,
    SP_T_TRACKED = 10,
    SP_T_JUDGE = 11,
    SP_T_REMOTE_OUT = 12,
    SP_T_REMOTE_IN = 13,
    SP_T_RULES_OUT = 20,
    SP_T_RULES_IN = 21,
    SP_T_SCTP_ORIGINAL = 22,
    SP_T_SCTP_REPLY = 23,
    SP_T_STAMP = 24,
    SP_T_COMMIT = 25,
    SP_T_PASSED = 27,
    SP_T_FORWARD = 30,
    SP_T_FLOOD = 31,       /* Uplinks, then each server port of the VLAN through its filter. */
    SP_T_FLOOD_VLAN = 32,  /* VLAN -> its chunks. */
    SP_T_FLOOD_CHUNK = 33, /* VLAN and chunk -> its ports. */
    SP_T_LEARNED = 35,     /* Made by SP_OP_LEARN_MAC. */
    SP_T_UPLINK = 36,      /* One uplink or all. */
    SP_T_UPLINK_OUTPUT = 37,
    SP_T_ENTER = 40,
    SP_T_GUARD = 41,
    SP_T_DELIVERED = 60,
};

/* Registers. */
#define SP_R_ORIGIN SP_F_REG(0)   /* SP_ORIGIN_... */
#define SP_R_VLAN SP_F_REG(1)     /* 0 = untagged. */
#define SP_R_SET SP_F_REG(2)      /* Rule set of the port whose rules are asked. */
#define SP_R_VERSION SP_F_REG(3)
#define SP_R_CLASS SP_F_REG(4)    /* Rule set number that stands for the remote address's groups; 0 = none. */
#define SP_R_PHASE SP_F_REG(5)    /* SP_PHASE_... */
#define SP_R_ZONE SP_F_REG(6)     /* Of the port whose rules are asked. */
#define SP_R_MARK SP_F_REG(7)     /* Slot, then mark of the admitting rule. */
#define SP_R_OUT SP_F_REG(8)      /* Output port. */
#define SP_R_REGION SP_F_REG(9)   /* Region of the set, in the low 24 bits; SP_REGION_HAS_REMOTE_IN/OUT above. */
#define SP_R_IDENTITY SP_F_REG(10) /* zone << 16 | index of the MAC; cleared before ct(). */
#define SP_R_STAGE SP_F_REG(11)   /* Second look at a claimed address, chunk of a flood; cleared before ct(). */
#define SP_R_CLAIM SP_F_XXREG3    /* Claimed IP address (IPv4 in REG15) or hardware address (REG14, REG15, 48 bits); cleared before ct(). */

#define SP_FROM_SERVER 1u
#define SP_FROM_UPLINK 2u
#define SP_PHASE_LEAVING 1u
#define SP_PHASE_ENTERING 2u
#define SP_REGION_HAS_REMOTE_OUT 0x01000000u
#define SP_REGION_HAS_REMOTE_IN 0x02000000u

#define SP_FLOOD_CHUNKS 48u /* Chunk of a port = zone % this; bounds resubmits and the size of a flow. */

/* Cookies: owner in bits 48-63, kind in bits 40-47, number in bits 0-39. */
#define SP_COOKIE_OWNER 0x5350000000000000ull
#define SP_COOKIE_OWNER_MASK 0xffff000000000000ull

enum sp_cookie_kind {
    SP_COOKIE_STATIC = 1,
    SP_COOKIE_UPLINK, /* Number: ofport. */
    SP_COOKIE_PORT,   /* Number: zone. */
    SP_COOKIE_SET,    /* Number: rule set. */
    SP_COOKIE_RULE,   /* Number: slot. */
    SP_COOKIE_REMOTE, /* Number: class. */
    SP_COOKIE_FLOOD,  /* Number: VLAN << 8 | chunk. */
    SP_COOKIE_LEARNED, /* Not ours to compare: comes and goes in the switch. */
};

#define SP_COOKIE(KIND, NUMBER) (SP_COOKIE_OWNER | (uint64_t) (KIND) << 40 | ((uint64_t) (NUMBER) & 0xffffffffffull))
#define SP_COOKIE_KIND(COOKIE) ((unsigned) ((COOKIE) >> 40) & 0xffu)
#define SP_COOKIE_NUMBER(COOKIE) ((COOKIE) & 0xffffffffffull)

#endif
