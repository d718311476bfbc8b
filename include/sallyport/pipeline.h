/* The pipeline: tables, registers, cookies, priorities, in one place.
 *
 * A packet's way.  "Identity" is a port together with one of the MAC addresses it may use.
 *
 *   CLASSIFY     by in_port.  Server port: source MAC known -> load facts (origin, phase 1, VLAN, zone, identity, set), go on;
 *                uplink: VLAN from the tag, learn the source MAC if there is more than one uplink -> FORWARD.  Else drop.
 *   SOURCE       server ports with port security: copies what the packet claims to be (IP source; ARP sender; ND source and
 *                link-layer option) into the claim registers; drops what never passes (DHCP server, RA, redirect, a second tag).
 *                With a hardware address in ARP or ND -> HARDWARE, which must know it; else -> ADDRESS.
 *   ADDRESS      (identity, claimed IP address) known -> CHECKED; made of a MAC -> HARDWARE, which must know that; else drop.
 *   CHECKED      dispatches what was claimed honestly: ARP, ND, DHCP client -> FORWARD; an ND advertisement once more through
 *                ADDRESS with its target; IP -> RULE_SET.  Ports without port security come here at once.
 *   RULE_SET     one flow per rule set: loads the set's VERSION -> CONNTRACK.
 *   CONNTRACK    ct(zone of the port, table=PORT_SET).  Anew: none; leaving -> SET_FACTS, entering -> PORT_SET.
 *   PORT_SET     conntrack's zone is the port's -> the port's set, once more -> SET_FACTS.
 *   SET_FACTS    one flow per rule set: loads its region, its VERSION and its mark of fragments -> TRACKED.
 *   TRACKED      behind every ct(): what conntrack does not vouch for drops; fragments -> HARDWARE; else -> SENDER.
 *   HARDWARE     (identity, hardware address) known -> CONTEXT, own; a fragment else -> CONTEXT; else drop.
 *   CONTEXT      who asked HARDWARE: ARP, ND -> ADDRESS; ADDRESS -> CHECKED; a fragment that is one of this port and of this
 *                direction -> GATE; else drop.
 *   SENDER       leaving: notes the set and version that are about to judge, unless it is committed -> GATE; anew -> JUDGE.
 *                Entering: what judged the sender is still there (one flow per rule set), or nothing is noted -> GATE; else ->
 *                CLASSIFY, anew.
 *   GATE         just committed -> PASSED; ct_mark that is live in the set -> PASSED; else -> JUDGE.  SCTP always -> JUDGE.
 *   JUDGE        chooses the rules by the connection's direction, and asks REMOTE for them; later fragments -> COMMIT.
 *   REMOTE       class of the connection's remote address; only for sets that name remote groups.
 *   RULES_IN, RULES_OUT     the rules: load SLOT -> STAMP, or DENIED.  Ports that no rule names -> WIDE_IN, WIDE_OUT, or DENIED.
 *                SCTP goes on to SCTP_ORIGINAL and SCTP_REPLY.
 *   WIDE_IN, WIDE_OUT       the rules for all ports once more, alone.
 *   STAMP        slot -> mark.
 *   DENIED       drop; before that the beginning of some packets goes to the controller: see the essay on what is reported.
 *   COMMIT       related errors, and what leaves anew, pass uncommitted; else ct(commit, ct_mark = MARK, table=PORT_SET).
 *   PASSED       phase 1 (leaving) -> FORWARD; phase 2 (entering) -> DELIVERED.
 *   FORWARD      by VLAN and destination: local server -> STRIP, ENTER; group address -> FLOOD; else LEARNED, UPLINK.
 *   REQUEST      an ARP request: for the address of who asks -> FLOOD; else -> TARGET.
 *   TARGET       its VLAN and target known here -> STRIP, ENTER; else -> FLOOD.
 *   FLOOD        UPLINK, STRIP, then each server port of the VLAN: FLOOD_VLAN -> FLOOD_CHUNK -> ENTER.
 *   UPLINK       brings the VLAN's tag onto a server's frame for UPLINK_OUTPUT and takes it off again for the copies that follow.
 *   STRIP        takes the tag off an uplink's frame, once for all copies that follow.
 *   ENTER        out port -> its facts (phase 2, zone, set) -> GUARD.
 *   GUARD        ARP, ND, RA from an uplink, DHCP answers -> DELIVERED; IP -> RULE_SET; else drop.
 *   DELIVERED    output.
 *
 * Copies.  resubmit() keeps what its table has changed, so whatever a copy changes is either set anew by the next copy
 * (what ENTER and RULE_SET load) or undone (UPLINK).  ct() forks: nothing behind it reaches back.  Output to the port of entry
 * is left out by the switch itself, so that no table needs to say it.
 *
 * Tags.  A server port may send untagged, or with the tag of its VLAN; it hears untagged frames only.  What has two tags
 * reaches no server.  This rests on the switch's default of looking at one tag: with vlan-limit 2 the datapath's entry for a
 * frame with one tag takes a frame with two as well (OVS 3.1), which then reaches the server in the same VLAN, judged, but
 * tagged.
 *
 * Claims.  The addresses of a port are checked with one flow each, whatever the packet: shared flows in SOURCE copy the claim
 * from wherever ARP, IPv4, IPv6 or ND keeps it.  A MAC has one flow for all that is made of it or claims to have been sent by
 * it: the hardware address in ARP and ND, the link-local address of a port's own MAC, the source of a fragment behind ct().
 * Only a MAC that a pair brings has one of its own for fragments, as there any of the port's MACs will do, while in ARP and ND
 * it has to be the frame's source.  A switch cannot see the source link-layer option of a router solicitation, so
 * that one is not checked.  ND in fragments drops (RFC 6980).  Nothing that is multicast, broadcast or zero passes as a
 * source, even where a pair's prefix covers it; it must be listed by itself.
 *
 * Who hears an ARP request or a neighbour solicitation.  For an address that is known here, only its port; a probe for a
 * duplicate (sender or source unspecified) and an announcement (sender = target) are for all.  No switch can compare two
 * fields: REQUEST has two flows for each bit in which they may differ, instead of one flow for each address.  Both fields are
 * copied as a whole before, so that the datapath looks at all of them, under one mask.
 *
 * Unknown unicast goes to uplinks only, never to a server port: not even to one without port security, as with one uplink
 * that port would hear all the traffic that the others send out.
 *
 * How many hear a broadcast.  The switch gives a packet up, for all, after 4,096 resubmits (OVS, MAX_RESUBMITS); a copy of an IP
 * frame through a filter takes four.  So a VLAN may have some 1,000 server ports on one bridge, and 1,300 for ARP.
 *
 * Fragments.  The userspace datapath's conntrack holds the fragments of a datagram until all are there, judges the datagram and
 * lets the fragments go on one by one, the later ones without ports.  So a later fragment that the gate does not know goes to
 * COMMIT unjudged, where ct(commit) gathers the datagram a second time: it leaves only if its first fragment, which was
 * judged, has come there as well.  Whichever of them comes last sets the mark.  A later fragment does not know its rule, so it
 * sets a mark of the rule set's version: as live as a rule's, and dead as soon as anything about the set changes.
 *
 * Strangers among the fragments.  Conntrack of OVS 3.1 hands on the fragments that it held with whatever packets it happens
 * to handle: those of a datagram that became complete, if the batch of 32 was full, with another port's packets or with those
 * of the other direction; those that stayed incomplete, after 15 s, with ct_state inv and not trk (ipf_send_completed_frags(),
 * ipf_send_expired_frags()).  They then run with the registers of a packet that they have nothing to do with: a server whose
 * rules forbid everything got its datagrams out under its neighbour's.  So nothing goes on behind a ct() but in a table, and
 * there a fragment must have the zone that the registers name (PORT_SET), a source MAC of the port exactly if it is
 * leaving it (HARDWARE, CONTEXT), and behind ct(commit) a live mark (GATE).
 *
 * The switch shows a fragment, the first one too, with the transport ports 0 unless told otherwise (OFPC_FRAG_NORMAL); only the
 * tuple of conntrack has them.  So what must not leave by its ports is looked for there once more, and SCTP, whose
 * ports are not in the tuple either, drops in fragments.
 *
 * SCTP.  The userspace datapath tracks all SCTP between two addresses as one connection without ports.  So no association may be
 * admitted by another's mark: each packet is judged on its own headers, as a packet of an association that its own direction's
 * rules allow (SCTP_ORIGINAL: destination port) or, in an established connection, as an answer to one that the other
 * direction's rules allow (SCTP_REPLY: source port).  An ICMP error about an association passes by a live mark alone, as the
 * rules could only be asked without the ports.
 *
 * What is reported.  In DENIED nothing can pass any more: with or without its flows, with or without meters, a packet that
 * has come here drops.  Where the set's region asks for it (SP_REGION_REPORTS), the beginning of a packet that would open a
 * connection (ct_state new, so neither a packet of a connection that is revoked nor an ICMP error) goes to the controller,
 * with MARK telling the slot of the rule that denied it, or SP_MARK_FRAGMENT for none.  It goes through a meter first, which the
 * datapath carries out by itself: what exceeds it never leaves the datapath, so that a flood costs neither the switch's slow
 * path nor the controller.  Each port has one of SP_METERS meters, that of its zone modulo SP_METERS, so that one port's
 * flood hides at most the attempts at those few that share its meter.  The meter is the flow's, not the action's (OVS has both):
 * a flow with a meter that does not exist is refused, and one whose meter is deleted goes with it, so that nothing is ever
 * reported without a limit.  SP_CONTROLLER_ID keeps these packets from other controllers, and theirs from us.
 *
 * Why the set is asked for twice.  A change reaches the datapath's megaflows one by one, so for some milliseconds a packet may
 * be brought to ct() by what was true before, and go on behind it by what is true now.  Behind ct() only facts are used
 * that stay what they are while a port exists (zone, phase, output port): were the set among them, a packet of a port that
 * changes its groups would be asked by a set that is gone, and a connection that both sets allow would lose it.
 *
 * One verdict between two servers.  For the same reason a packet from one server of a bridge to another might be judged by
 * the rules of before a change at one end and by those of after it at the other, and pass, though neither list lets it.  So
 * what judges the sender, set and version, is noted by the pass that does, and goes along behind ct() in registers; the first
 * pass that judges the receiver asks whether it is still so (SENDER).  If not, the frame begins again as it came, in the same
 * translation, hence by the tables of one moment.  The version is the one of that pass (SET_FACTS): the one of before ct()
 * may be older than the rules that are asked, and would lead to a receiver's of its time.  Behind ct(commit) the note stays
 * as it is, as nothing is judged there.  A frame's in_port is in the state that ct() freezes anyway, so this costs no
 * megaflow.  Nor is the bug that is told of below met here: beginning again looks at addresses that being delivered does not,
 * so that a megaflow of before a change is deleted, not altered; and once the first passes follow the change nothing comes to
 * it.
 *
 * The userspace datapath carries a packet through six ct() and no more (MAX_RECIRC_DEPTH); four may have been taken by then, and
 * behind another ct() the next change might overtake the frame once more.  So on its way anew it meets none: both ends' rules are
 * asked with what the receiver's conntrack has told, as both zones know the connection of the two from the same packets.  A mark
 * of the receiver's zone says nothing of the sender's rules, so these are asked in any case (JUDGE); nothing is committed for the
 * sender, whose connection is there, at worst with a mark that is dead by now, and the next packet is judged once more.  PORT_SET
 * sees to it that the zone is that of whom the frame goes to now; else it drops.
 *
 * Not asked for: frames that go to several ports, as each copy would come to all (FLOOD, and a MAC that several have); fragments,
 * which may be strangers; a server whose port has changed its groups, if others keep the set it had: that set is as it was, and
 * the receiver's rules are others by the same change only if they name a group that the sender has come to or left.  Between two
 * bridges nothing can be asked.
 *
 * Why a VERSION before ct(): OVS up to 3.1 has a bug in its userspace datapath: a rule change that alters the actions of
 * one of two overlapping megaflows may change the wrong one, and the stale one then leaks or blocks for as long as traffic
 * keeps it alive.  The version is a part of the state that ct() freezes, so that after a change no packet reaches a megaflow
 * made before it.  Registers that are not needed after ct() are cleared before it for the same reason turned round: each
 * combination of register values costs a recirculation id.
 *
 * What may open and close.  The same bug strikes where the megaflows of a port that is closed, which have looked at little, lie
 * over those from the time when it was open, which are as narrow as the rules asked for: a narrow one that is to drop now, or
 * to pass again, may be left as it was, and its packets are lost for as long as they keep coming.  Only changed actions go wrong
 * that way; a megaflow whose mask lacks a bit that its packets need now is deleted, by its id.  So each of two ways that a port's
 * coming and going decides between looks at a bit that the other does not: CLASSIFY, where nobody is known, at a bit of ct_mark
 * (0 before ct()); FORWARD, where the destination is unknown, and GUARD, which it reaches if known, and PORT_SET, where the port
 * has gone, at one bit each of the source MAC (its group bit is 0 in every frame that is one).
 *
 * A commit has a pass of its own for the same reason.  A megaflow that commits does nothing else, and where the packet goes is
 * decided behind it: so a port that comes or goes never alters it, only a new version does, by another id.  Were the packet
 * delivered in that pass (by a copy that is committed and ends, so that strangers end with it), a port that is plugged in again
 * would alter it, and by the bug may alter a wide one that was to drop in its stead.  That one is soon deleted; but what it has
 * taken till then is committed with a live mark, and passes for as long as that mark lives.
 *
 * A port that is plugged in again, or on another bridge, has another number, and its old way and its new one would differ by a
 * register only.  So the way to it looks in ENTER at a bit of the source MAC that depends on the number's last three bits and on
 * where the frame comes from (whoever had a port beside him that moves to another bridge meets it behind an uplink), and the
 * way from it looks in CHECKED at a bit of the destination MAC that depends on number and bridge, its place.  That costs no
 * flow of any port: a switch looks at what decides against a flow as well, so that one flow for each bit that no frame matches,
 * above the others, will do; and only those of the right number are looked at as far as that, as a classifier compares registers
 * in its first stage and addresses in its second.  In ENTER each bit is one mask more in the datapath for what comes by one port
 * and goes to many: a packet that the exact-match cache does not know is looked for under 3.5 masks without them, under 9 with
 * eight bits in even use, under 15 with sixteen (no difference that could be measured beside what else a packet costs).  Numbers
 * that differ by a multiple of eight, and places that are equal, are not told apart; numbers that a switch gives one after the
 * other are.
 *
 * Where PORT_SET finds that a port has gone it looks at the whole destination: changed in another's stead, such a megaflow sends
 * its packets to where that one's go, until it is looked at itself; so let that be where they were going.
 *
 * Who owns a zone.  Zones are numbers, and the next port that gets one must find nothing in it: a connection that the last owner
 * opened would pass for its own.  Nothing is committed in a zone but behind its flow in PORT_SET, so that flow is the door.  It
 * bears its owner in its cookie (SP_OWNER_TAG), and takes its place only if the zone is known to hold nobody else's on this
 * switch: because the switch has, or had when it was last asked, the same owner's flow there.  Whoever cannot show that has the
 * zone flushed first.  So what is not known is flushed: after a crash between a deletion and its flush, after a port was gone
 * long before its server, after a bridge had been away, where the kernel's conntrack has outlived the flows.  A deletion is
 * followed by a flush too, but that one only frees memory early: should it get lost, nothing is lost with it.
 *
 * The price is one flush for each port that a bridge sees for the first time.  The datapath walks all its connections for it,
 * holding up none of them but the switch's own thread: 0.01 ms among none, 7 to 10 ms among 100,000 (OVS 3.1, userspace).
 * Zones are given out in turn, so one that was never given could be taken for empty; but that would trust that nobody used it
 * before this database was made.  Or a deleted port's door could stay, shut, until the flush is confirmed; but that tells
 * nothing of a switch that was away or has lost its flows.
 *
 * A port that is unplugged, or whose switch has lost its flows, keeps its connections as long as the controller remembers it or
 * the switch has its flow.  A switch that a version before the tag has programmed has flows in PORT_SET without an owner: such a
 * one is its port's if the port comes from where its flows say, by number, MAC and zone.
 *
 * How much the datapath looks at.  A switch looks into what has the higher priority first, and what it has looked at for that
 * becomes a part of the datapath's entry.  A range of ports is cut into masks of many lengths; were they looked at in no order,
 * or the short ones first, a train of packets would leave an entry's mask for each length.  With the long ones first it leaves
 * one that has all bits of the port, wherever the rule has a port that stands alone, as nearly every range has at an end; and
 * packets whose address no rule names are still told apart by no port of a rule's.
 *
 * Ports that no rule names.  An entry that has all bits of the port stands for that port alone.  So where a rule has a port that
 * stands alone, each other port would cost the switch's slow path a packet and the datapath an entry, and whoever asks for all
 * of them, one by one, would keep the switch busy for everybody (OVS 3.1: 31 us each).  So the ports that no rule of a set
 * names, for a direction, family and protocol (TCP, UDP), are told apart from the others above all rules, in blocks that look
 * at eight bits at most (flows/unnamed.h); in the order of above, and with one of eight bits in each case, so that they add
 * one mask.  What is in a block goes to DENIED, or, if the set has rules for all ports (of any protocol, without ports, or for
 * 0 to 65535), to a table that has those alone.  Asking for all ports then leaves an entry for each 256 of them, whatever the
 * address.  Only those next to a port that is named, with the same first eight bits, are looked for among all rules as before.
 *
 * A rule names its ports whatever it does, where and with what priority: what it denies is its own to count and to report.  A
 * remote group counts in both families and also if nobody is in it, so that who joins or leaves it changes no block.  No
 * verdict depends on these flows (P7); the blocks load no slot, so that what they deny is reported as what no rule allows.  A
 * rule for all ports has its flows twice where blocks lead to it, and what it has decided is the sum of both (flows/tally.h).
 * A set whose rules for a protocol name no port needs none of this: a switch compares registers and ct_nw_proto, in its first
 * stage, before ports, in its last one, and comes no further (OVS, struct flow and FLOW_SEGMENT_*).  SCTP has tables of its own,
 * where ports are the packet's.
 *
 * Nests.  Ports beside a rule's may be matched by the rule as well, where that takes fewer masks, if longer ones, which stand
 * above, lead them to where ports go that no rule names (flows/range.h).  These are the set's and not the rule's, and say for the
 * rule's remote addresses what a block says for all.  So no rule that is for one of these addresses may name such a port, for
 * that direction, family and protocol; where one does the range is cut into masks of its own, as each rule has to count by
 * itself.  A rule for other addresses changes nothing, as no packet is for both; a remote group may have any address.  A nest is
 * of one unit (flows/compile.h), so that it comes, goes and is refused as a whole.
 *
 * Invariants, cited by tests:
 *  P1  Every flow of ours has priority >= 1 and a cookie with SP_COOKIE_OWNER; no other flow is read, changed or deleted.
 *  P2  A packet is output to a server port only from DELIVERED, and to an uplink only from UPLINK_OUTPUT.
 *  P3  IP reaches DELIVERED only through RULE_SET with the receiving port's set, but for GUARD's exceptions; it leaves a
 *      server port only through RULE_SET with the sending port's set, but for CHECKED's.
 *  P4  A zone belongs to one port; a mark to one (rule set, rule, state of that rule), or to one version of a rule set; neither
 *      is used again soon.  Where a switch has a zone's flow in PORT_SET, conntrack has held nothing in that zone since
 *      before that flow came but what went by that flow or was committed for the same port before.
 *  P5  DENIED outputs to the controller alone, and that behind a meter.
 *  P6  A frame to one port of its bridge, neither fragment nor multicast, reaches DELIVERED by way of RULE_SET only if the set
 *      and version that judged its sender were there when the receiver's rules were asked.
 *  P7  What decides about a packet in RULES_IN or RULES_OUT is a flow of a rule that is for its port, or one of the rule set
 *      (SP_COOKIE_SET).  Then no rule for some ports is for this packet; and none at all if that flow leads to DENIED; else the
 *      flows of rules for all ports that it matches there and in WIDE_IN or WIDE_OUT are the same but for the table. */

#ifndef SALLYPORT_PIPELINE_H
#define SALLYPORT_PIPELINE_H 1

#include "sallyport/flow.h"

enum sp_table {
    SP_T_CLASSIFY = 0,
    SP_T_SOURCE = 1,
    SP_T_ADDRESS = 3,
    SP_T_CHECKED = 4,
    SP_T_PORT_SET = 6, /* Behind ct(), before TRACKED. */
    SP_T_SET_FACTS = 7,
    SP_T_RULE_SET = 8,
    SP_T_CONNTRACK = 9,
    SP_T_TRACKED = 10,
    SP_T_HARDWARE = 11,
    SP_T_CONTEXT = 12,
    SP_T_SENDER = 13,
    SP_T_GATE = 14,
    SP_T_JUDGE = 15,
    SP_T_REMOTE = 16,
    SP_T_WIDE_OUT = 18, /* Behind RULES_OUT and RULES_IN. */
    SP_T_WIDE_IN = 19,
    SP_T_RULES_OUT = 20,
    SP_T_RULES_IN = 21,
    SP_T_SCTP_ORIGINAL = 22,
    SP_T_SCTP_REPLY = 23,
    SP_T_STAMP = 24,
    SP_T_COMMIT = 25,
    SP_T_DENIED = 26,
    SP_T_PASSED = 27,
    SP_T_FORWARD = 30,
    SP_T_FLOOD = 31,       /* Uplinks, then each server port of the VLAN through its filter. */
    SP_T_FLOOD_VLAN = 32,  /* VLAN -> its chunks. */
    SP_T_FLOOD_CHUNK = 33, /* VLAN and chunk -> its ports. */
    SP_T_REQUEST = 34,
    SP_T_LEARNED = 35,     /* Made by SP_OP_LEARN_MAC. */
    SP_T_UPLINK = 36,      /* One uplink or all. */
    SP_T_UPLINK_OUTPUT = 37,
    SP_T_TARGET = 38,
    SP_T_STRIP = 39,
    SP_T_ENTER = 40,
    SP_T_GUARD = 41,
    SP_T_DELIVERED = 60,
};

/* Registers. */
#define SP_R_ORIGIN SP_F_REG(0)   /* SP_ORIGIN_... */
#define SP_R_VLAN SP_F_REG(1)     /* 0 = untagged. */
#define SP_R_SET SP_F_REG(2)      /* Rule set of the port whose rules are asked. */
#define SP_R_VERSION SP_F_REG(3)
#define SP_R_PLACE SP_F_REG(3)    /* Until RULE_SET: the port of entry as one of SP_PLACES. */
#define SP_R_CLASS SP_F_REG(4)    /* Rule set number that stands for the remote address's groups; 0 = none. */
#define SP_R_PHASE SP_F_REG(5)    /* SP_PHASE_... */
#define SP_R_ZONE SP_F_REG(6)     /* Of the port whose rules are asked. */
#define SP_R_MARK SP_F_REG(7)     /* Slot of the deciding rule, then mark of an admitting one. */
#define SP_R_OUT SP_F_REG(8)      /* Output port; in UPLINK_OUTPUT 0 = all uplinks; while leaving 0, or SP_AGAIN. */
#define SP_R_REGION SP_F_REG(9)   /* Region of the set, in the low 24 bits; the other SP_REGION_... bits above. */
#define SP_R_IDENTITY SP_F_REG(10) /* zone << 16 | index of the MAC; cleared before ct(). */
#define SP_R_STAGE SP_F_REG(11)   /* SP_STAGE_...; in FLOOD_CHUNK the chunk's number; cleared before ct(). */
#define SP_R_CLAIM SP_F_XXREG3    /* Claimed IP address (IPv4: REG15 alone); cleared before ct(). */
#define SP_R_CLAIM_IPV4 SP_F_REG(15)
/* Hardware address in question, 48 bits from this one of CLAIM on: the first two octets in REG12, four in REG13, beside a
 * claimed IPv4 address but in the place of an IPv6 one. */
#define SP_R_HARDWARE_FIELD SP_R_CLAIM
#define SP_R_HARDWARE_BIT 64u
#define SP_R_HARDWARE_HIGH SP_F_REG(12)
#define SP_R_HARDWARE_LOW SP_F_REG(13)
#define SP_R_ASKING SP_F_REG(14) /* In REQUEST: sender and target of an ARP request. */
#define SP_R_ASKED SP_F_REG(15)
/* In REMOTE, 32 bits of the connection's remote address each, beginning with its first ones; of IPv4 in the first register alone.
 * In JUDGE they hold nothing that is needed behind it: MARK tells of no rule yet, and the others are 0. */
#define SP_REMOTE_WORDS {SP_F_REG(10), SP_F_REG(11), SP_F_REG(12), SP_R_MARK}
/* From SENDER to SENDER, in a frame from a server: the set and version that judged it, or SP_AGAIN; else 0. */
#define SP_R_AGAIN SP_F_REG(13)
#define SP_R_SENDER_SET SP_F_REG(14)
#define SP_R_SENDER_VERSION SP_F_REG(15)

#define SP_AGAIN 0x10000u /* The frame takes its way anew: no number of a port. */

#define SP_FROM_SERVER 1u /* A bit: the frame came from a server port, ... */
#define SP_FROM_UPLINK 2u
#define SP_FROM_OPEN 4u /* ... and this one has no port security. */
#define SP_PHASE_LEAVING 1u
#define SP_PHASE_ENTERING 2u

/* What is being checked, and what becomes of it in CHECKED.  SP_STAGE_IPV6 is a bit: the claim is an IPv6 address, which
 * keeps ::192.0.2.1 apart from 192.0.2.1. */
#define SP_STAGE_IPV6 0x100u
#define SP_STAGE_ARP 0x001u
#define SP_STAGE_IPV4_PACKET 0x002u
#define SP_STAGE_IPV6_PACKET 0x102u
#define SP_STAGE_ND 0x101u
#define SP_STAGE_ADVERTISEMENT 0x103u /* Its target is still to be checked. */
#define SP_STAGE_OPEN 0x200u          /* Entering a port without port security. */
#define SP_STAGE_COMMITTED 0x400u     /* Behind ct(commit). */
/* Bits: HARDWARE knows the address; it was asked for that of a MAC, ...; ... for the source of a fragment. */
#define SP_STAGE_OWN_BIT 11
#define SP_STAGE_OWN (1u << SP_STAGE_OWN_BIT)
#define SP_STAGE_OF_MAC_BIT 12
#define SP_STAGE_OF_MAC (1u << SP_STAGE_OF_MAC_BIT)
#define SP_STAGE_FRAGMENT_BIT 13
#define SP_STAGE_FRAGMENT (1u << SP_STAGE_FRAGMENT_BIT)

#define SP_MARK_FRAGMENT 0x80000000u /* A bit: the mark of a set's version, not of a rule. */

#define SP_REGION_MASK 0x00ffffffu
#define SP_REGION_HAS_REMOTE_OUT 0x01000000u
#define SP_REGION_HAS_REMOTE_IN 0x02000000u
#define SP_REGION_REPORTS 0x04000000u /* Denied connections are reported. */

/* Meters, which have no cookies: their numbers begin far up, with the letters of our cookies, and one that is there already and
 * is not as ours are is left alone. */
#define SP_METERS 64u /* A power of two. */
#define SP_METER_FIRST 0x53500000u
#define SP_METER_RATE 5u   /* Packets a second, ... */
#define SP_METER_BURST 10u /* ... and at once. */
#define SP_CONTROLLER_ID 0x5350u
#define SP_REPORT_SIZE 128u /* Bytes of a denied packet: Ethernet with a tag, IPv6 with extensions, and the ports. */

#define SP_PLACES 16u /* Of a server port that is plugged in, by its number and bridge: see what may open and close. */

#define SP_FLOOD_CHUNKS 48u /* Chunk of a port = zone % this; bounds resubmits and the size of a flow. */

/* Priorities in FORWARD. */
enum sp_forward_priority {
    SP_PF_UNKNOWN = 1,
    SP_PF_GROUP = 500,
    SP_PF_MAC = 600,
    SP_PF_TARGET = 700, /* ARP requests, neighbour solicitations. */
    SP_PF_PROBE = 900,
    SP_PF_NEVER = 1000, /* 01-80-c2-00-00-0x, which no bridge forwards (IEEE 802.1D table 7-10). */
};

/* Priority of a rule's flows: the lowest priority number decides, and of equals the one that denies.  Among those that agree in
 * both, where it makes no difference to a packet, the one that looks at the most bits of the port ('PORT_BITS', 0 to 16): see the
 * essay on how much the datapath looks at.  An odd one denies. */
#define SP_RULE_PRIORITY(PRIORITY, DENIES, PORT_BITS) \
    ((uint16_t) (10 + 64 * (1000 - (PRIORITY)) + ((DENIES) ? 33 : 0) + 2 * ((PORT_BITS) ? (PORT_BITS) - 1 : 0)))
#define SP_RULE_PRIORITY_DENIES(PRIORITY) ((PRIORITY) & 1)

/* Priority of a block of ports that no rule names, of which 'PORT_BITS' (1 to 16) are looked at: above all rules, so that these
 * need not be looked at, and below what passes SCTP on; the longer the higher, as among rules. */
#define SP_UNNAMED_PRIORITY(PORT_BITS) ((uint16_t) (64100 + (PORT_BITS)))

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
    SP_COOKIE_REPORT,
    SP_COOKIE_OWNED,  /* Number: SP_OWNER_TAG() of the port that has the zone; of its flow in PORT_SET alone. */
};

#define SP_COOKIE(KIND, NUMBER) (SP_COOKIE_OWNER | (uint64_t) (KIND) << 40 | ((uint64_t) (NUMBER) & 0xffffffffffull))
#define SP_COOKIE_KIND(COOKIE) ((unsigned) ((COOKIE) >> 40) & 0xffu)
#define SP_COOKIE_NUMBER(COOKIE) ((COOKIE) & 0xffffffffffull)

/* A port in 40 bits: the beginning of its id ('ID', 16 bytes), which is random. */
#define SP_OWNER_TAG(ID)                                                                                                         \
    ((uint64_t) (ID)[0] << 32 | (uint64_t) (ID)[1] << 24 | (uint64_t) (ID)[2] << 16 | (uint64_t) (ID)[3] << 8 | (ID)[4])

#endif
