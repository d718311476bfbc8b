"""Shows that a bridge's flows and the policy say the same of every packet, or finds one of which they do not.

What is proved, per bridge, from its dump of flows and from the API's groups, servers and bridges, for *all* values of every
field that a packet of the class has (MAC, IP, ARP and ND addresses, protocol, ports, ICMP type and code, hop limit, VLAN tag) and
all states of conntrack below:

 F1  Sending.  A frame that enters by a server's port goes on to be forwarded if, and only if, its VLAN tag, MAC and addresses
     are the port's (or an allowed pair's) and either the contract's item 4 lets it pass always, or the port's outbound rules
     (for an answer: inbound rules) allow its connection.  What item 4 forbids never goes on.  All of this without checks for a
     port without port security.  What an uplink sends goes on in the VLAN of its tag.
 F2  Forwarding.  From there a frame comes to the filter of a server's port if, and only if, it is addressed to it: by one of
     the port's MAC addresses, or a group address that no bridge keeps to itself; and to an uplink if it is for a group or for
     a MAC address that is not here; with the VLAN's tag there.  ARP requests and neighbour solicitations may be spared those whom
     they do not ask: the one whom they ask hears them.  Nothing is output to a server's port but behind its filter, no other
     port gets anything, and no header changes on the way.
 F3  Receiving.  A frame that has come to a port's filter is output to it if, and only if, item 4 lets it pass always, or the
     port's inbound rules (for an answer: outbound rules) allow its connection.
 F4  A port that is neither a server's nor an uplink passes nothing.
 F5  Each port has a conntrack zone of its own.
 F6  A fragment that conntrack hands on with a packet that it does not belong to goes nowhere if it has another zone, nor behind
     a commit if it carries no live mark.

What must pass is said of frames whose source is one station (IEEE 802.3: no group address), what must not of all.

F1 to F3 together are the contract's verdict: sender's outbound and receiver's inbound rules, for both directions of a
connection.
They hold for connections that are new, established in either direction, and for ICMP errors about one (whose tuple is then
independent of the packet), in conntrack's states of the sender's and the receiver's zone independently, and for each ct_mark:
none, stale, or live.  Of a live mark it is assumed only that the connection got it from flows that the checker has seen: the
ones before it, or those of an earlier dump of the same bridge (Prover keeps what each dump would mark).  So after a change F1
and F3 say that no connection which an earlier dump admitted passes unless the rules of now allow it, and that each which they
allow does pass.

Where several flows of one priority match, the switch may take any; both statements then hold for each choice.

What is left out:
 - How a connection comes to have its state: that conntrack is right, that it keeps its entries, and that a zone is emptied
   before it has another owner.  Packets that change a connection's state between two dumps while a change is under way.
 - Fragments but the first of a datagram; the first one is proved for TCP, UDP, ICMP queries and other protocols.  Of a mark
   that a later fragment sets it is assumed that the datagram's first fragment was judged (see sallyport/pipeline.h).
 - SCTP as a connection: the userspace conntrack knows no ports of it.  A packet is to pass if its own ports are those of an
   association that the rules allow, or, in an established connection, those of an answer to one; an ICMP error about an
   association may pass only if the association carries a mark that SCTP has been given.
 - More than one VLAN tag.  Flows that learn() has made are taken as they are.
 - The options of router solicitations, what an ICMP error's own addresses may be beyond the checks of F1, payloads.

The tables CUTS are where the proof is taken apart.  They are hints: a wrong one leaves something unproved, never something
wrongly proved."""

import itertools
from collections import namedtuple

import z3

import flowtext
from contract import (BITS, ICMP, ICMPV6, NS, SCTP, TCP, UDP, WITH_PORTS, Connection, Names, in_network, may_be_given,
                      may_send)
from flowtext import ARP, IPV4, IPV6
from symbolic import Executor, Packets, Switch, all_of, both, either, negate, term

FORWARD, ENTER = 30, 40
CUTS = ({FORWARD: None}, {ENTER: "reg8"})

Kind = namedtuple("Kind", "name family protocol related first_fragment")
OTHER_ETHERNET, ARP_FAMILY = 0, None

KINDS = [Kind(f"{name}, IPv{family}", family, protocol, False, False) for family in (4, 6) for name, protocol in (
    ("TCP", TCP), ("UDP", UDP), ("SCTP", SCTP), ("ICMP", ICMP if family == 4 else ICMPV6), ("another protocol", None))]
KINDS += [Kind(f"ICMP error about a connection, IPv{family}", family, ICMP if family == 4 else ICMPV6, True, False)
          for family in (4, 6)]
KINDS += [Kind(f"first fragment, {name}, IPv{family}", family, protocol, False, True) for family in (4, 6) for name, protocol in (
    ("TCP", TCP), ("UDP", UDP), ("SCTP", SCTP), ("ICMP", ICMP if family == 4 else ICMPV6), ("another protocol", None))]
KINDS += [Kind("ARP", ARP_FAMILY, None, False, False), Kind("another Ethernet type", OTHER_ETHERNET, None, False, False)]

# ICMP queries and their answers.  RFC 792, 950, 4443.
ANSWERS = {4: ((8, 0), (13, 14), (15, 16), (17, 18)), 6: ((128, 129),)}

CounterExample = namedtuple("CounterExample", "bridge what kind packet")


class Bridge:
    """A bridge as the API and the switch tell it.  'ports': what GET /v1/bridges/{dpid} lists."""

    def __init__(self, name, dpid, ports, dump):
        self.name, self.dpid, self.flows = name, dpid, flowtext.read(dump)
        self.servers = {port["name"]: port["ofport"] for port in ports if port["role"] == "server"}
        self.uplinks = [port["ofport"] for port in ports if port["role"] == "uplink"]


class Frame:
    """The terms of one kind of packets, and what must hold of them."""

    def __init__(self, kind):
        self.kind = kind
        self.packets = Packets(kind.name)
        self.constraints, self._allowed = [], {}
        fields, symbol = self.packets.fields, self.packets.symbol
        for name in ("dl_src", "dl_dst"):
            fields[name] = symbol(name, 48)
        if kind.family is ARP_FAMILY:
            fields["dl_type"] = ARP
            for name, width in (("arp_op", 16), ("arp_spa", 32), ("arp_tpa", 32), ("arp_sha", 48), ("arp_tha", 48)):
                fields[name] = symbol(name, width)
        elif kind.family == OTHER_ETHERNET:
            fields["dl_type"] = symbol("dl_type", 16)
            self.packets.excluded["dl_type"] = (ARP, IPV4, IPV6)
            self.constraints += [fields["dl_type"] != value for value in (ARP, IPV4, IPV6)]
        else:
            self._add_ip(fields, symbol)
        self.names = Names(self.packets, kind.family)

    def _add_ip(self, fields, symbol):
        kind, tuple_of = self.kind, self.packets.tuple
        source, target = ("nw_src", "nw_dst") if kind.family == 4 else ("ipv6_src", "ipv6_dst")
        fields["dl_type"] = IPV4 if kind.family == 4 else IPV6
        for name in (source, target):
            fields[name] = symbol(name, BITS[kind.family])
            tuple_of["ct_" + name] = None
        fields["nw_ttl"], fields["nw_frag"] = symbol("nw_ttl", 8), 1 if kind.first_fragment else 0
        known = (TCP, UDP, SCTP, ICMP if kind.family == 4 else ICMPV6)
        fields["nw_proto"] = symbol("nw_proto", 8) if kind.protocol is None else kind.protocol
        if kind.protocol is None:
            self.packets.excluded["nw_proto"] = self.packets.excluded["ct_nw_proto"] = known
            self.constraints += [fields["nw_proto"] != value for value in known]
        tuple_of["ct_nw_proto"] = None if kind.related or kind.protocol is None else kind.protocol
        tuple_of["ct_tp_src"] = tuple_of["ct_tp_dst"] = None
        self.packets.related = kind.related
        if kind.protocol in WITH_PORTS:  # Of a fragment the switch shows no ports (OFPC_FRAG_NORMAL).
            for name in ("tp_src", "tp_dst"):
                fields[name] = 0 if kind.first_fragment else symbol(name, 16)
        elif kind.protocol is not None:
            for name in ("icmp_type", "icmp_code"):
                fields[name] = 0 if kind.first_fragment else symbol(name, 8)
            if kind.family == 6:
                for name, width in (("nd_target", 128), ("nd_sll", 48), ("nd_tll", 48)):
                    fields[name] = symbol(name, width)

    # Connections.

    def tracked(self, zone, leaving):
        """What holds of conntrack's word in a zone: [condition]; and the terms of the connection."""
        kind, fields = self.kind, self.packets.fields
        c = Executor(None, self.packets).connection(zone, leaving)
        if not kind.family:
            return [], c
        valid = z3.And(c["ct_trk"], z3.Not(c["ct_inv"]))
        reply = c["ct_rpl"]
        found = []
        source, target = ("nw_src", "nw_dst") if kind.family == 4 else ("ipv6_src", "ipv6_dst")
        if kind.related:
            found.append(z3.Implies(valid, z3.Not(z3.Or(c["ct_new"], c["ct_est"]))))
            return found, c
        found.append(z3.Implies(valid, z3.Xor(c["ct_new"], c["ct_est"])))
        found.append(z3.Implies(z3.And(valid, reply), c["ct_est"]))
        found.append(c["ct_" + source] == z3.If(reply, fields[target], fields[source]))
        found.append(c["ct_" + target] == z3.If(reply, fields[source], fields[target]))
        if kind.protocol is None:
            found.append(c["ct_nw_proto"] == fields["nw_proto"])
        elif kind.first_fragment:
            pass  # The ports are in the tuple alone.
        elif kind.protocol in (TCP, UDP):
            found.append(c["ct_tp_src"] == z3.If(reply, fields["tp_dst"], fields["tp_src"]))
            found.append(c["ct_tp_dst"] == z3.If(reply, fields["tp_src"], fields["tp_dst"]))
        elif kind.protocol in (ICMP, ICMPV6):
            asked, code = z3.ZeroExt(8, fields["icmp_type"]), z3.ZeroExt(8, fields["icmp_code"])
            answers = [z3.And(c["ct_tp_src"] == query, fields["icmp_type"] == answer) for query, answer in ANSWERS[kind.family]]
            found.append(z3.If(reply, z3.Or(answers), c["ct_tp_src"] == asked))
            found.append(c["ct_tp_dst"] == code)
        return found, c

    def allowed(self, policy, port, c):
        """Whether the port's rules of now allow the connection that conntrack names."""
        key = (id(policy), port.server, port.name, c["ct_zone"])
        if key not in self._allowed:
            self._allowed[key] = (policy, self._allow(policy, port, c))
        return self._allowed[key][1]

    def _allow(self, policy, port, c):
        family = self.kind.family
        source, target = ("ct_nw_src", "ct_nw_dst") if family == 4 else ("ct_ipv6_src", "ct_ipv6_dst")
        outbound = self.packets.symbol(f"z{c['ct_zone']}.outbound")
        found = []
        for is_outbound, remote in ((True, c[target]), (False, c[source])):
            connection = Connection(self.packets, family, remote, c["ct_nw_proto"], c["ct_tp_dst"], c["ct_tp_src"], c["ct_tp_dst"])
            when = outbound if is_outbound else z3.Not(outbound)
            found.append(both(when, policy.verdict(port, is_outbound, connection)))
        return either(found)

    def passes(self, policy, port, c, leaving, sctp_marks):
        """Whether the port's rules and conntrack may let the packet pass the port's filter, and whether they must."""
        if not self.kind.family:
            return False, False
        valid = z3.And(c["ct_trk"], z3.Not(c["ct_inv"]))
        if self.kind.related:
            about_sctp = c["ct_nw_proto"] == SCTP
            must = all_of((valid, negate(about_sctp), self.allowed(policy, port, c)))
            marked = either(self.packets.equals(c["ct_mark"], mark) for mark in sorted(sctp_marks))
            return either((must, all_of((valid, about_sctp, marked)))), must
        verdict = both(valid, self._verdict(policy, port, c, leaving))
        return verdict, verdict

    def _verdict(self, policy, port, c, leaving):
        if self.kind.protocol != SCTP:
            return self.allowed(policy, port, c)
        if self.kind.first_fragment:
            return False
        remote, fields = self.names.dst if leaving else self.names.src, self.packets.fields

        def verdict(outbound, own_port):
            return policy.verdict(port, outbound, Connection(self.packets, self.kind.family, remote, SCTP, own_port, None, None))

        return either((verdict(leaving, fields["tp_dst"]), both(c["ct_est"], verdict(not leaving, fields["tp_src"]))))


class Prover:
    """Proves bridges, one dump after the other.  'counter_examples' is what it found; 'kinds': for whom fewer will do."""

    def __init__(self, kinds=None):
        self.kinds = KINDS if kinds is None else [kind for kind in KINDS if kind.name in kinds]
        self.counter_examples, self.count = [], 0
        self._frames = {kind: Frame(kind) for kind in self.kinds}
        self._marked = {}  # (bridge, kind, zone, mark) -> the connections to which some dump so far gives the mark.
        self._proved = {}  # Formulas that cannot be satisfied, so that what is the same after a change is not asked again.

    def prove(self, policy, bridge):
        """Returns the counter-examples of this dump."""
        before = len(self.counter_examples)
        _BridgeProof(self, policy, bridge).run()
        return self.counter_examples[before:]

    def refute(self, bridge, what, kind, constraints, wrong):
        """Looks for a packet for which 'wrong' is true."""
        if wrong is False:
            return
        formula = term(all_of((*constraints, wrong)))
        key = formula.get_id()
        self.count += 1
        if key in self._proved:
            return
        solver = z3.SolverFor("QF_BV")
        solver.add(formula)
        outcome = solver.check()
        if outcome == z3.unsat:
            self._proved[key] = formula
            return
        packet = "the solver gave up" if outcome == z3.unknown else describe(solver.model())
        self.counter_examples.append(CounterExample(bridge.name, what, kind.name, packet))

    def compare(self, bridge, what, kind, constraints, flows, policy_may, policy_must=None):
        """'flows': (may, may not); the policy says what may and what must happen, mostly the same."""
        policy_must = policy_may if policy_must is None else policy_must
        may, may_not = flows
        self.refute(bridge, what + ": the flows let pass what the policy does not", kind, constraints,
                    both(may, negate(policy_may)))
        packets = self._frames[kind].packets
        from_one = packets.equals(packets.slice(packets.fields["dl_src"], 40, 1), 0)
        self.refute(bridge, what + ": the flows stop what the policy lets pass", kind, (*constraints, from_one),
                    both(may_not, policy_must))


def describe(model):
    """A packet and conntrack's state in words."""
    found = []
    for symbol in sorted(model.decls(), key=lambda d: d.name()):
        value, name = model[symbol], symbol.name()
        if z3.is_bool(value):
            found.append(f"{name}={'yes' if z3.is_true(value) else 'no'}")
            continue
        number = value.as_long()
        field = name.split(".")[-1]
        if field in ("dl_src", "dl_dst", "arp_sha", "nd_sll", "nd_tll"):
            text = ":".join(f"{octet:02x}" for octet in number.to_bytes(6, "big"))
        elif field.endswith(("nw_src", "nw_dst", "arp_spa", "arp_tpa")):
            text = ".".join(str(octet) for octet in number.to_bytes(4, "big"))
        elif value.size() == 128:
            text = ":".join(f"{number >> shift & 0xffff:x}" for shift in range(112, -1, -16))
        else:
            text = str(number)
        found.append(f"{name}={text}")
    return " ".join(found)


Entry = namedtuple("Entry", "ofport port vlan tci constraints text")  # 'port' None: an uplink.


class _BridgeProof:
    def __init__(self, prover, policy, bridge):
        self.prover, self.policy, self.bridge = prover, policy, bridge
        self.switch = Switch(bridge.flows)
        self.ports = {}  # OpenFlow number -> Port.
        for port in policy.ports:
            if port.bridge == bridge.dpid and port.name in bridge.servers:
                self.ports[bridge.servers[port.name]] = port
        self.zones = {}
        self.fragment_marks = {}
        self.executors = {}
        self.received = {}

    def run(self):
        self._find_zones()
        for kind in self.prover.kinds:
            self._learn_marks(kind)
        for kind in self.prover.kinds:
            self._prove_kind(kind)

    def _frame(self, kind):
        return self.prover._frames[kind]

    def _executor(self, kind):
        if kind not in self.executors:
            self.executors[kind] = Executor(self.switch, self._frame(kind).packets)
        return self.executors[kind]

    # Zones and marks.

    def _find_zones(self):
        """F5, and which zone's symbols the policy has to speak of: what the flows say, each port's being another."""
        kind = self.prover.kinds[0]
        executor = self._executor(kind)
        for ofport, port in self.ports.items():
            known = set(executor.zones)
            executor.run(0, executor.start(ofport, 0), CUTS[0], True)
            new = {zone for zone, leaving in set(executor.zones) - known if leaving}
            # Without groups nothing is tracked: a zone that the flows do not have.
            self.zones[ofport] = min(new, default=70000 + ofport)
            if len(new) != (1 if self.policy.groups[port.server] else 0):
                self._wrong(f"F5 {port.name} has no conntrack zone of its own", kind)

    def _wrong(self, what, kind):
        self.prover.counter_examples.append(CounterExample(self.bridge.name, what, kind.name, "every packet"))

    def _learn_marks(self, kind):
        """What these flows mark connections with: for each zone and mark, the connections that get it."""
        if not kind.family or kind.related or kind.first_fragment:
            return
        executor, frame = self._executor(kind), self._frame(kind)
        for ofport, zone in self.zones.items():
            executor.run(0, executor.start(ofport, 0), CUTS[0], True)
            executor.run(ENTER, {**executor.start(65535, 0), "reg8": ofport}, CUTS[1])
            fresh = [(frame.packets.symbol(f"z{zone}.{bit}"), z3.BoolVal(value)) for bit, value in (
                ("trk", True), ("inv", False))] + [(frame.packets.symbol(f"z{zone}.mark", 32), z3.BitVecVal(0, 32))]
            for leaving in (True, False):
                for result in executor.zones.get((zone, leaving), ()):
                    for mark, when in result.marks.items():
                        key = (self.bridge.name, kind, zone, mark)
                        when = z3.substitute(term(when), *fresh)
                        self.prover._marked[key] = either((self.prover._marked.get(key, False), when))
        if kind.protocol == UDP and kind.family == 4:
            self._learn_fragment_marks()

    def _learn_fragment_marks(self):
        self._prove_strangers()
        self.fragment_marks = self._marks_of_fragments(UDP)
        for zone, marks in self._marks_of_fragments(SCTP).items():
            if marks:
                self._wrong(f"F3 fragments of SCTP are marked in zone {zone}", Kind("later fragment, SCTP", 4, SCTP, False, False))

    @staticmethod
    def _later_fragments(protocol):
        later = Frame(Kind("later fragment", 4, protocol, False, False))
        later.packets.fields.update(nw_frag=3, tp_src=0, tp_dst=0)
        return later

    def _prove_strangers(self):
        """F6."""
        later = self._later_fragments(UDP)
        executor = Executor(self.switch, later.packets, strangers=True)
        for ofport, zone in self.zones.items():
            runs = (executor.run(0, executor.start(ofport, 0), CUTS[0], True),
                    executor.run(ENTER, {**executor.start(65535, 0), "reg8": ofport}, CUTS[1]))
            strange = [z3.Or(later.packets.symbol(f"z{zone}.mark", 32) == 0, later.packets.symbol("stranger.zone", 16) != zone)]
            for result in runs:
                for event, (may, _) in result.outs.items():
                    self.prover.refute(self.bridge, f"F6 {self.ports[ofport].name}: {event[0]}", later.kind, strange, may)

    def _marks_of_fragments(self, protocol):
        """With what a later fragment marks its connection: {zone: marks}."""
        later = self._later_fragments(protocol)
        executor = Executor(self.switch, later.packets)
        found = {}
        for ofport, zone in self.zones.items():
            executor.run(0, executor.start(ofport, 0), CUTS[0], True)
            executor.run(ENTER, {**executor.start(65535, 0), "reg8": ofport}, CUTS[1])
            found[zone] = {mark for leaving in (True, False) for result in executor.zones.get((zone, leaving), ())
                           for mark in result.marks}
        return found

    def _about_marks(self, kind, port, zone, c):
        """What may be assumed of a connection that carries a mark."""
        frame = self._frame(kind)
        mark, found = c["ct_mark"], []
        if not kind.family or kind.protocol == SCTP:
            return found
        # Nobody but these flows gives marks other than 0, so of what no dump has given yet there is none.
        gets = {number: [] for number in frame.packets.asked_marks.get(mark.get_id(), ()) if number}
        for (bridge, other, where, number), when in self.prover._marked.items():
            if bridge != self.bridge.name or where != zone or number not in gets or other.family != kind.family:
                continue
            if kind.related:
                protocol = c["ct_nw_proto"]
                known = self._frame(other).packets.excluded.get("nw_proto")
                of_kind = [protocol != value for value in known] if known else [protocol == other.protocol]
                gets[number].append(all_of((*of_kind, when)))
            elif other.protocol == kind.protocol:
                gets[number].append(when)
        for number in self.fragment_marks.get(zone, ()):
            if number in gets:
                of_kind = c["ct_nw_proto"] != SCTP if kind.related else True  # SCTP in fragments is never marked, see below.
                gets[number].append(both(of_kind, frame.allowed(self.policy, port, c)))
        for number, when in gets.items():
            found.append(either((negate(frame.packets.equals(mark, number)), *when)))
        return found

    def _sctp_marks(self, zone):
        """The marks that SCTP associations may carry here."""
        return {mark for bridge, kind, where, mark in self.prover._marked
                if bridge == self.bridge.name and where == zone and kind.protocol == SCTP}

    # The proof of one kind of packets.

    def _prove_kind(self, kind):
        for entry in self._entries(kind):
            self._prove_entry(kind, entry)
        self._prove_closed(kind)

    def _entries(self, kind):
        """How a frame may enter: by a port, with or without a tag."""
        frame = self._frame(kind)
        pcp, other = frame.packets.symbol("pcp", 3), frame.packets.symbol("vlan", 12)
        vlans = {port.vlan for port in self.ports.values()} - {0}

        def tagged(vlan):
            vid = vlan if not isinstance(vlan, int) else z3.BitVecVal(vlan, 12)
            return frame.packets.interned(z3.simplify(z3.Concat(pcp, z3.BitVecVal(1, 1), vid)))

        elsewhere = [other != vlan for vlan in vlans | {0}]
        for ofport, port in itertools.chain(self.ports.items(), ((ofport, None) for ofport in self.bridge.uplinks)):
            name = port.name if port else f"uplink {ofport}"
            yield Entry(ofport, port, port.vlan if port else 0, 0, [], f"from {name}")
            for vlan in sorted(vlans | {0}):
                honest = None if port and (not vlan or vlan != port.vlan) else vlan
                yield Entry(ofport, port, honest, tagged(vlan), [], f"from {name} with tag {vlan}")
            yield Entry(ofport, port, None, tagged(other), elsewhere, f"from {name} with another tag")

    def _prove_entry(self, kind, entry):
        frame, executor = self._frame(kind), self._executor(kind)
        constraints, sends, must = frame.constraints + entry.constraints, True, True
        first = executor.run(0, executor.start(entry.ofport, entry.tci), CUTS[0], True)
        if entry.port:
            zone = self.zones[entry.ofport]
            state, c = frame.tracked(zone, True)
            constraints += state + self._about_marks(kind, entry.port, zone, c)
            sends = must = False
            if entry.vlan is not None:
                no_server = self._unfragmented_dhcp(kind, entry.port, c)
                sends, must = (both(may_send(entry.port, frame.names, passes), no_server)
                               for passes in frame.passes(self.policy, entry.port, c, True, self._sctp_marks(zone)))
        self.prover.compare(self.bridge, f"F1 {entry.text}", kind, constraints,
                            first.outs.get(("at", FORWARD, None), (False, True)), sends, must)
        for event, (may, _) in first.outs.items():
            if event[0] == "out":
                self.prover.refute(self.bridge, f"F2 {entry.text}: output without forwarding", kind, constraints, may)
            elif event[0] == "arrive" and sends is not False:  # Else F1 says that it does not.
                so = [] if entry.port else [may]  # Which of an uplink's ways it is depends on the tag.
                self._prove_forwarding(kind, entry, executor.arrivals[event[1]], frame.constraints + entry.constraints + so)

    def _unfragmented_dhcp(self, kind, port, c):
        """What a DHCP server sends may not come in fragments either; its ports are in the tuple alone."""
        if not kind.first_fragment or kind.protocol != UDP or not port.secure:
            return True
        server, client = (67, 68) if kind.family == 4 else (547, 546)
        source, target = z3.If(c["ct_rpl"], c["ct_tp_dst"], c["ct_tp_src"]), z3.If(c["ct_rpl"], c["ct_tp_src"], c["ct_tp_dst"])
        return z3.Not(z3.And(source == server, target == client))

    def _prove_forwarding(self, kind, entry, packet, constraints):
        frame, executor = self._frame(kind), self._executor(kind)
        second = executor.run(FORWARD, packet, CUTS[1])
        outputs = {}
        for event in second.outs:
            if event[0] == "out":
                outputs.setdefault(event[1], []).append(event)
        for ofport, port in self.ports.items():
            if ofport == entry.ofport:
                continue
            may, must = False, False
            if entry.vlan == port.vlan:
                may, must = self._addressed_to(frame, port)
            self.prover.compare(self.bridge, f"F2 {entry.text} to {port.name}", kind, constraints,
                                second.outs.get(("at", ENTER, ofport), (False, True)), may, must)
        for ofport in self.bridge.uplinks:
            if ofport == entry.ofport:
                outputs.pop(ofport, None)
                continue
            self._prove_uplink(kind, entry, ofport, second, outputs.pop(ofport, []), constraints)
        outputs.pop(entry.ofport, None)
        for events in outputs.values():
            for event in events:
                self.prover.refute(self.bridge, f"F2 {entry.text}: output by port {event[1]} past every filter", kind, constraints,
                                   second.outs[event][0])
        for event in second.outs:
            if event[0] == "arrive":
                self._prove_receiving(kind, entry, executor.arrivals[event[1]])

    def _addressed_to(self, frame, port):
        """Whether a frame in the port's VLAN may, and whether it must, come to the port."""
        names, fields = frame.names, frame.packets.fields
        unicast = either(names.eth_dst == mac for mac in sorted(port.macs))
        group = self._is_for_a_group(frame)
        must = group
        if names.family is None:
            asked = either(fields["arp_tpa"] == int(ip.network_address) for ip in port.ips if ip.version == 4)
            must = both(group, either((fields["arp_op"] != 1, asked)))
        elif names.is_nd(NS) is not False:
            asked = either(in_network(names.packets, 6, fields["nd_target"], ip) for ip in port.ips + [port.link_local]
                           if ip.version == 6)
            must = both(group, either((negate(names.is_nd(NS)), asked)))
        return either((unicast, group)), either((unicast, must))

    @staticmethod
    def _is_for_a_group(frame):
        """Broadcast or multicast, but for what no bridge forwards (IEEE 802.1D table 7-10)."""
        to = frame.names.eth_dst
        return z3.And(frame.packets.slice(to, 40, 1) == 1, frame.packets.slice(to, 4, 44) != 0x0180c200000)

    def _prove_uplink(self, kind, entry, ofport, second, events, constraints):
        """A frame leaves by an uplink if it is for a group, or for nobody here, in the VLAN's tag."""
        frame = self._frame(kind)
        names, fields = frame.names, frame.packets.fields
        here = [port for port in self.ports.values() if port.vlan == entry.vlan]
        group = self._is_for_a_group(frame)
        elsewhere = z3.And(frame.packets.slice(names.eth_dst, 40, 1) == 0,
                           *(names.eth_dst != mac for port in here for mac in sorted(port.macs)))
        must = group
        if names.family is None:
            asked = either(fields["arp_tpa"] == int(ip.network_address) for port in here for ip in port.ips if ip.version == 4)
            must = both(group, either((fields["arp_op"] != 1, negate(asked))))
        elif names.is_nd(NS) is not False:
            asked = either(in_network(names.packets, 6, fields["nd_target"], ip) for port in here
                           for ip in port.ips + [port.link_local] if ip.version == 6)
            must = both(group, either((negate(names.is_nd(NS)), negate(asked))))
        right = ("out", ofport, (0x1000 | entry.vlan) if entry.vlan else 0)
        for event in events:
            if event != right:
                self.prover.refute(self.bridge, f"F2 {entry.text}: leaves by {ofport} with tag {event[2]}", kind, constraints,
                                   second.outs[event][0])
        self.prover.compare(self.bridge, f"F2 {entry.text} to uplink {ofport}", kind, constraints,
                            second.outs.get(right, (False, True)), either((elsewhere, group)), either((elsewhere, must)))

    def _prove_receiving(self, kind, entry, packet):
        frame, executor = self._frame(kind), self._executor(kind)
        third = executor.run(ENTER, packet, CUTS[1])
        ofport = packet["reg8"]
        if ofport == entry.ofport:
            return  # The switch itself sends nothing back.
        key = (kind, ofport, entry.port is None, id(third.outs))
        if key in self.received:
            return  # The same flows have been asked the same.
        self.received[key] = third.outs
        constraints, given, must = list(frame.constraints), False, False
        if ofport in self.ports:
            port, zone = self.ports[ofport], self.zones[ofport]
            state, c = frame.tracked(zone, False)
            constraints += state + self._about_marks(kind, port, zone, c)
            given, must = (may_be_given(port, frame.names, passes, entry.port is None)
                           for passes in frame.passes(self.policy, port, c, False, self._sctp_marks(zone)))
            if kind.first_fragment:  # One that says that it comes from whom it is for is nobody's.
                constraints += [frame.names.eth_src != mac for mac in port.macs]
        for event, (may, _) in third.outs.items():
            if event != ("out", ofport, 0):
                self.prover.refute(self.bridge, f"F3 {entry.text}: past the filter of port {ofport} by {event}", kind, constraints,
                                   may)
        self.prover.compare(self.bridge, f"F3 {entry.text} to port {ofport}", kind, constraints,
                            third.outs.get(("out", ofport, 0), (False, True)), given, must)

    def _prove_closed(self, kind):
        """F4."""
        frame, executor = self._frame(kind), self._executor(kind)
        in_port, tci = frame.packets.symbol("in_port", 16), frame.packets.symbol("vlan_tci", 16)
        known = frozenset((*self.ports, *self.bridge.uplinks))
        frame.packets.excluded["in_port"] = known
        result = executor.run(0, executor.start(in_port, tci), CUTS[0], True)
        for event, (may, _) in result.outs.items():
            self.prover.refute(self.bridge, f"F4 from a closed port: {event[0]}", kind,
                               frame.constraints + [in_port != ofport for ofport in known], may)
