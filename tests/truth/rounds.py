"""One policy against the switch: what passes is what the rules say.

fresh_round: connections that conntrack has never seen, in every direction, with their answers.
Kept:        connections that live on while the policy changes; exactly those that the new rules do not allow stop.

Two things that the userspace datapath of Open vSwitch does whatever the rules say, so that no verdict speaks of them: it takes
port 0 and an ICMP query with a code for invalid (neither is probed here), and it tracks all that is neither TCP, UDP
nor ICMP by addresses and protocol alone.  So for those a connection is opened in one direction of a pair only, and an
SCTP packet is left unjudged if it could be the answer of an association of the other direction.
"""

import time
from collections import Counter, namedtuple

import packets
import policy
import verdict
from verdict import ICMP, ICMPV6, SCTP, TCP, UDP

Mismatch = namedtuple("Mismatch", "probe stage is_answer expected seen note")
TRACKED = (TCP, UDP, ICMP, ICMPV6)
LATE_MAX_S = 1.0  # Then the datapath is waited for.
KEPT_AGE_MAX_S = 20  # The shortest timeout in the userspace conntrack is 30 s.


def order(world, probe):
    return world.ends.index(probe.source) < world.ends.index(probe.target)


class Judge:
    """Sends packets of probes and compares what arrives with what should."""

    def __init__(self, lab, prober):
        self.lab, self.prober, self.world = lab, prober, lab.world
        self.mismatches, self.count = [], Counter()
        self.latest_s = {False: 0.0, True: 0.0}  # How long the datapath went on at most to let pass or to stop what it should not.

    def _send(self, wanted):
        """Sends the packets of [(probe, stage, is_answer)] and returns where each arrived."""
        numbers, frames, bytes_of = [], [], []
        for probe, stage, is_answer in wanted:
            number = self.prober.number()
            frame = packets.frame(probe, stage, is_answer, number)
            frames.append((probe.target if is_answer else probe.source, frame))
            numbers.append(number)
            bytes_of.append(frame)
        self.prober.exchange(frames)
        self.count["packets"] += len(frames)
        arrived = []
        for number, frame in zip(numbers, bytes_of):
            came = self.prober.arrivals.pop(number, [])
            arrived.append([(end, got == frame) for end, got in came])
        return arrived

    @staticmethod
    def _is_right(probe, is_answer, expected, arrived):
        target = probe.source if is_answer else probe.target
        return arrived == ([(target, True)] if expected else [])

    def expect(self, wanted):
        """[(probe, stage, is_answer, expected)].  A packet that goes wrong is sent again for a moment, as the switch confirms a
        change when its tables have it and its datapath follows some milliseconds later; what is wrong even when the datapath
        has surely followed is wrong."""
        todo, begin, is_last = wanted, None, False
        while todo:
            arrived = self._send([item[:3] for item in todo])
            again = []
            for item, came in zip(todo, arrived):
                if self._is_right(item[0], item[2], item[3], came):
                    self.count["passed" if item[3] else "stopped"] += 1
                else:
                    again.append((item, came))
            now = time.monotonic()
            if begin is None:
                begin = now
                self.count["late to stop"] += sum(not item[3] for item, _ in again)
                self.count["late to pass"] += sum(item[3] for item, _ in again)
            else:
                wrong = {id(item) for item, _ in again}
                for expected in {item[3] for item in todo if id(item) not in wrong}:
                    self.latest_s[expected] = max(self.latest_s[expected], now - begin)
            if is_last:
                for item, came in again:
                    self._wrong(item, came)
                return
            if again and now - begin > LATE_MAX_S:
                self.lab.await_datapath()
                is_last = True
            todo = [item for item, _ in again]

    def _wrong(self, item, came):
        probe, stage, is_answer, expected = item
        note = []
        if len(self.mismatches) < 20:
            again = self._send([item[:3]])[0]
            note.append("again: " + ("right" if self._is_right(probe, is_answer, expected, again) else f"still wrong, {again}"))
            self.lab.purge_megaflows()
            again = self._send([item[:3]])[0]
            cured = self._is_right(probe, is_answer, expected, again)
            note.append("after revalidator/purge: " + ("right (stale megaflow)" if cured else f"still wrong, {again}"))
            note += explain(self.lab, probe)
        self.mismatches.append(Mismatch(probe, stage, is_answer, expected, came, "; ".join(note)))


def explain(lab, probe):
    """What the daemon's own explanation says, beside the verdict here."""
    lines = []
    for direction, here, remote in (("outbound", probe.source, probe.target_ip), ("inbound", probe.target, probe.source_ip)):
        if here.server is None:
            continue
        body = {"server": here.server.id, "direction": direction, "remote_ip": str(remote), "protocol": probe.protocol}
        if probe.protocol in verdict.WITH_PORTS:
            body["remote_port" if direction == "outbound" else "local_port"] = probe.dport
        if probe.icmp_type >= 0:
            body.update(icmp_type=probe.icmp_type, icmp_code=probe.icmp_code)
        status, answer, _ = lab.daemon.request("POST", "/v1/explain", body)
        ours = verdict.allows(here.server, direction, remote, probe.protocol, probe.dport, probe.icmp_type, probe.icmp_code,
                              lab.world.servers)
        said = answer.get("verdict") if status == 200 else (status, answer)
        lines.append(f"{here} {direction}: here {'allow' if ours else 'deny'}, daemon {said}")
    return lines


def valid(probe):
    """Whether the userspace conntrack takes the probe for the opening of a connection; if not, it drops whatever the rules say."""
    if probe.protocol in (TCP, UDP):
        return probe.dport != 0
    if probe.protocol in (ICMP, ICMPV6):
        return (probe.protocol, probe.icmp_type) in packets.QUERY_ANSWERS and probe.icmp_code == 0
    return True


def unsolicited(probe, servers):
    """Whether the answer to a packet that was refused may pass by itself, as the opening of a connection of its own for
    its sender.  For the other end it answers, if that end's rules let the first packet out.  Not for SCTP."""
    if probe.protocol in (TCP, ICMP, ICMPV6) or not valid(probe):
        return False
    back = probe._replace(source=probe.target, target=probe.source, source_ip=probe.target_ip, target_ip=probe.source_ip,
                          sport=probe.dport, dport=probe.sport if probe.protocol == UDP else 0)
    if not verdict.sender_allows(back, servers):
        return False
    return verdict.sender_allows(probe, servers) and probe.source.server is not None or verdict.connection_allowed(back, servers)


def may_answer_sctp(probe, servers):
    """Whether each end would take a packet of the association, in either direction, for one of an association that the other
    end has opened."""
    back = probe._replace(dport=probe.sport)

    def passes(end, remote, forward, backward):
        if end.server is None:
            return True
        return (verdict.allows(end.server, forward, remote, SCTP, probe.dport, -1, -1, servers) or
                verdict.allows(end.server, backward, remote, SCTP, back.dport, -1, -1, servers))

    return (passes(probe.source, probe.target_ip, "outbound", "inbound") and
            passes(probe.target, probe.source_ip, "inbound", "outbound"))


def answers_to(judge, phase, servers):
    """What comes back: [(probe, stage, is_answer, expected)] for [(probe, was allowed)]."""
    wanted = []
    for probe, passes in phase:
        if probe.protocol in (ICMP, ICMPV6) and (probe.protocol, probe.icmp_type) not in packets.QUERY_ANSWERS:
            continue
        if not passes and probe.protocol == SCTP:
            if may_answer_sctp(probe, servers):
                judge.count["unjudged"] += 1
                continue
        elif not passes:
            passes = unsolicited(probe, servers)
        wanted.append((probe, "open", True, passes))
    return wanted


def fresh_round(judge, rng, sport, n_ports=6, share=1.0):
    """All pairs, all protocols, edges of ports.  `sport` must not have been used while conntrack may remember it."""
    open_round(judge, rng, policy.random_probes(rng, judge.world, sport, n_ports, share), sport)


def open_round(judge, rng, probes, sport):
    """Each probe's first packet, errors about it, its answer.  Those that conntrack knows without ports: one direction after
    the other."""
    world, servers = judge.world, judge.world.servers
    strays = policy.stray_probes(rng, world, sport)
    tracked = [probe for probe in probes if probe.protocol in TRACKED]
    others = [probe for probe in probes if probe.protocol not in TRACKED]
    forth = [probe for probe in others if order(world, probe)]
    back = [probe for probe in others if not order(world, probe)]
    for probes_now in (tracked, forth, back):
        if probes_now is not tracked:
            judge.lab.forget_connections()
        phase = [(probe, verdict.connection_allowed(probe, servers) and valid(probe)) for probe in probes_now]
        judge.expect([(probe, "open", False, passes) for probe, passes in phase])
        errors = [(probe, "error", True, passes) for probe, passes in phase if probe.protocol in (TCP, UDP) and valid(probe)]
        errors = policy.choose(rng, errors, len(errors) // 4)
        judge.expect(errors)
        judge.expect(answers_to(judge, phase, servers))
        judge.count["probes"] += len(phase)
        judge.count["allowed"] += sum(passes for _, passes in phase)
        judge.count["errors"] += len(errors)
    stray_round(judge, strays)
    check_unmarked(judge)


def stray_round(judge, strays):
    arrived = judge._send([(probe, "open", False) for probe in strays])
    for probe, came in zip(strays, arrived):
        # Unknown unicast may leave by the uplink, if the sender may send it.
        legal = came in ([], [(judge.world.outside, True)]) and (not came or verdict.sender_allows(probe, judge.world.servers))
        judge.count["stopped" if legal else "strayed"] += 1
        if not legal:
            judge.mismatches.append(Mismatch(probe, "open", False, "not across domains", came, ""))


def check_unmarked(judge):
    """Nothing of the late arrivals may be left unexplained either."""
    judge.prober.collect()
    sentinels = {number for number in judge.prober.arrivals if number >= 0xf0000000}
    late = {number: came for number, came in judge.prober.arrivals.items() if number not in sentinels}
    if late:
        judge.mismatches.append(Mismatch(None, "late", False, "nothing", late, ""))
    if judge.prober.unmarked:
        judge.mismatches.append(Mismatch(None, "unmarked", False, "nothing", judge.prober.unmarked[:5], ""))
    judge.prober.clear()


class Kept:
    """Connections that go on while the policy changes."""

    def __init__(self, judge, rng, sport, n=400):
        self.judge, self.world = judge, judge.world
        judge.lab.forget_connections()
        probes = policy.random_probes(rng, self.world, sport, n_ports=4)
        probes = [probe for probe in probes if probe.protocol in TRACKED or order(self.world, probe)]
        allowed = [probe for probe in probes if verdict.connection_allowed(probe, self.world.servers)]
        self.probes = policy.choose(rng, allowed, n)
        judge.expect([(probe, "open", False, True) for probe in self.probes])
        judge.expect([(probe, "open", True, True) for probe in self.probes])
        self.step()

    def step(self):
        """Both directions of every connection pass if, and only if, the rules of now allow the connection."""
        servers = self.world.servers
        wanted = []
        for probe in self.probes:
            passes = verdict.connection_allowed(probe, servers)
            if not passes and probe.protocol == SCTP and may_answer_sctp(probe, servers):
                self.judge.count["unjudged"] += 1
                continue
            wanted.append((probe, passes))
        self.judge.expect([(probe, "data", False, passes) for probe, passes in wanted])
        self.judge.expect([(probe, "data", True, passes) for probe, passes in wanted])
        self.judge.count["kept"] += sum(passes for _, passes in wanted)
        self.judge.count["revoked"] += sum(not passes for _, passes in wanted)
        check_unmarked(self.judge)
        self.touched = time.monotonic()

    def is_too_old(self):
        return time.monotonic() - self.touched > KEPT_AGE_MAX_S


def report(seed, world, mismatches):
    """A failure in full."""
    lines = [f"seed {seed}: {len(mismatches)} mismatches (replay: tests/truth/run.py --replay {seed})"]
    for mismatch in mismatches[:10]:
        probe = mismatch.probe
        if probe is None:
            lines.append(f"  {mismatch.stage}: {mismatch.seen}")
            continue
        lines.append(f"  {probe.source} {probe.source_ip} -> {probe.target} {probe.target_ip} protocol {probe.protocol} sport {probe.sport} "
                     f"dport {probe.dport} type {probe.icmp_type}: {mismatch.stage}{' answer' if mismatch.is_answer else ''}: expected "
                     f"{mismatch.expected}, arrived {mismatch.seen}\n      {mismatch.note}")
    return "\n".join(lines) + "\n" + policy.describe(world)
