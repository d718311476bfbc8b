"""Between two servers of one bridge a packet meets one list of rules, not the sender's old one and the receiver's new one.

A change reaches the datapath's megaflows one by one.  Here it reaches none of them: the switch may not look through them while the
list changes, so what has come before is judged by the old list, and what has not by the new one.  What each list allows its sender
is for all ports, and known to the datapath; what it allows its receiver is for the ports asked about, and is not."""

import packets
import pytest
from policy import Probe
from verdict import NUMBERS

KNOWN, ASKED, LATER, LATEST = 4080, 4090, 4100, 4110  # Ports: the datapath has heard of the first one only.
N = 8


def rule(direction, protocol="any", port=None, action="allow", priority=100):
    ports = {} if port is None else {"port_min": port, "port_max": port}
    return {"direction": direction, "protocol": protocol, "action": action, "priority": priority, **ports}


class Pair:
    """Two servers of one bridge and one group."""

    def __init__(self, lab, prober, protocol, bridge, names, version):
        self.lab, self.prober, self.protocol, self.version = lab, prober, protocol, version
        self.sport, self.is_paused = 30000, False
        self.group = next(group for group in lab.world.groups if group.region == "SV2")
        servers = [next(server for server in lab.world.servers if server.name == name) for name in names]
        *self.ends, self.neighbour = [next(port for port in server.ports if port.bridge == bridge) for server in servers]
        for server in servers[:2]:
            server.groups = [self.group]
            lab.apply(server)
        # On the same bridge, of a group that takes everything in.
        servers[2].groups = [next(group for group in lab.world.groups if group is not self.group and group.region == servers[2].region)]
        servers[2].groups[0].rules = [rule("inbound")]
        lab.apply(servers[2].groups[0])
        lab.apply(servers[2])

    def follow(self, rules):
        self.group.rules = rules
        self.lab.apply(self.group)

    def begin(self, rules, target=None):
        """`rules`, and nothing in the switch but what packets to KNOWN of `target` left there."""
        self.follow(rules)
        self.lab.await_datapath()
        self.lab.forget_connections()
        self.lab.purge_megaflows()
        assert self.open(KNOWN, target)[0] == N
        self.pause()

    def pause(self):
        self.lab.switch.appctl("revalidator/pause")
        self.is_paused = True

    def resume(self):
        if self.is_paused:  # Else the switch would wait for ever for those that it thinks are paused.
            self.lab.switch.appctl("revalidator/resume")
            self.is_paused = False
        self.lab.await_datapath()

    def ip(self, port):
        return next(ip for ip in port.ips if ip.version == self.version)

    def exchange(self, probes, stage="open", is_answer=False):
        """How many arrive."""
        numbers, frames = [], []
        for probe in probes:
            numbers.append(self.prober.number())
            frames.append((probe.target if is_answer or stage == "error" else probe.source, packets.frame(probe, stage, is_answer, numbers[-1])))
        self.prober.exchange(frames)
        return sum(bool(self.prober.arrivals.pop(number, None)) for number in numbers)

    def open(self, port, target=None):
        """How many of N new connections' first packets arrive, and the connections; at the second end unless it is `target`."""
        source, target = self.ends[0], target or self.ends[1]
        probes = []
        for _ in range(N):
            self.sport += 1
            probes.append(Probe(source, target, self.ip(source), self.ip(target), NUMBERS[self.protocol], self.sport, port, -1, -1, None))
        return self.exchange(probes), probes


SECURE, OPEN = ("br1", ("s1", "s2", "s3"), 4), ("br2", ("s5", "s4", "s1"), 6)  # What sends in OPEN has no port security.
ENDS = {"tcp": SECURE, "udp": OPEN, "sctp": SECURE}


@pytest.fixture(params=("tcp", "udp"))
def pair(request, lab, prober):
    started = Pair(lab, prober, request.param, *ENDS[request.param])
    yield started
    started.resume()


def test_what_no_list_allows_both_ends_does_not_pass(pair):
    pair.begin([rule("outbound"), rule("inbound", pair.protocol, KNOWN)])
    pair.follow([rule("inbound", pair.protocol, ASKED)])
    assert pair.open(ASKED)[0] == 0
    # The old list is still that of the datapath, at both ends.
    assert pair.open(KNOWN)[0] == N


def test_what_both_lists_allow_both_ends_passes(pair):
    """By rules that have nothing in common, so that the connection has to be admitted again at the sender."""
    pair.begin([rule("outbound"), rule("inbound", pair.protocol, KNOWN), rule("inbound", pair.protocol, ASKED)])
    pair.follow([rule("outbound", pair.protocol, ASKED), rule("inbound", pair.protocol, ASKED, priority=50)])
    passed, opened = pair.open(ASKED)
    assert passed == N
    assert pair.exchange(opened, "open", True) == N
    assert pair.exchange(opened, "data") == N
    pair.resume()
    for is_answer in (True, False):
        assert pair.exchange(opened, "data", is_answer) == N


def test_no_list_of_four_lets_pass_what_none_allows_both_ends(pair):
    pair.begin([rule("outbound"), rule("inbound", pair.protocol, KNOWN)])
    for priority, port in ((50, ASKED), (40, LATER)):
        pair.follow([rule("outbound", priority=priority), rule("inbound", pair.protocol, port)])
        assert pair.open(port)[0] == N  # It begins again, and so will what comes now, by what is the list still.
    pair.follow([rule("inbound", pair.protocol, LATEST)])
    assert pair.open(LATEST)[0] == 0


def test_what_was_admitted_by_an_old_list_is_not_taken_for_admitted_by_the_new_one(pair):
    """The datapath knows how the sender's connection is committed, and not where it goes from there."""
    pair.begin([rule("outbound"), rule("inbound", pair.protocol, KNOWN)], pair.neighbour)
    pair.follow([rule("inbound", pair.protocol, ASKED)])
    assert pair.open(ASKED)[0] == 0
    assert pair.open(KNOWN, pair.neighbour)[0] == N


def test_what_the_new_list_lets_go_does_not_meet_the_old_one(pair):
    """The datapath knows who takes KNOWN and ASKED, and how a connection is committed that is let go by a rule of both lists."""
    out = [rule("outbound")]
    both = [{**rule("inbound", pair.protocol), "port_min": KNOWN, "port_max": KNOWN | 15}]
    pair.begin(out + both + [rule("outbound", pair.protocol, ASKED, "deny", 50)])
    pair.follow(out + [rule("inbound", pair.protocol, LATER)])
    assert pair.open(ASKED)[0] == 0
    assert pair.open(KNOWN)[0] == N


def test_new_connections_outlive_changes_that_their_sender_has_heard_of(pair):
    """What counts is the list that judged the sender, not the one of when the packet came to the switch."""
    rules = [rule("inbound")] + [rule("outbound", pair.protocol, port) for port in (KNOWN, ASKED, LATER)]
    pair.begin(rules)
    for priority, port in ((50, ASKED), (40, LATER)):
        pair.follow(rules + [rule("outbound", pair.protocol, 1, priority=priority)])
        assert pair.open(port)[0] == N


def begin_open(pair, inbound, ports):
    """Connections to `ports` that are open, and a datapath that has heard of those to the first one only; their probes by port."""
    pair.follow([rule("outbound")] + inbound)
    pair.lab.await_datapath()
    pair.lab.forget_connections()
    opened = {port: pair.open(port)[1] for port in ports}
    for probes in opened.values():
        assert pair.exchange(probes, "open", True) == N
    pair.lab.purge_megaflows()
    speak(pair, opened[ports[0]])
    pair.pause()
    return opened


def speak(pair, probes):
    for is_answer in (False, True):
        assert pair.exchange(probes, "data", is_answer) == N
    if pair.protocol == "udp":
        assert pair.exchange(probes, "error") == N


def test_an_open_connection_ends_that_its_receiver_may_still_have(pair):
    """The mark that the receiver's rules have left is live; the sender's are what counts."""
    inbound = [rule("inbound", pair.protocol, port) for port in (KNOWN, ASKED)]
    opened = begin_open(pair, inbound, (KNOWN, ASKED))
    pair.follow(inbound)
    assert pair.exchange(opened[ASKED], "data") == 0


@pytest.mark.parametrize("pair", ("tcp", "udp", "sctp"), indirect=True)
def test_an_open_connection_outlives_changes_that_overtake_it(pair):
    """In both directions, with the errors about it, and though it has to be admitted again at both ends."""
    inbound = [rule("inbound", pair.protocol, port) for port in (KNOWN, ASKED, LATER, LATEST)]
    opened = begin_open(pair, inbound, (KNOWN, ASKED, LATER, LATEST))
    for priority, port in ((50, ASKED), (40, LATER), (30, LATEST)):
        pair.follow([rule("outbound", priority=priority)] + [{**allowing, "priority": priority} for allowing in inbound])
        speak(pair, opened[port])
