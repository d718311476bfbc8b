"""Between two servers of one bridge a packet meets one list of rules, not the sender's old one and the receiver's new one.

A change reaches the datapath's megaflows one by one.  Here it reaches none of them: the switch may not look through them while the
list changes, so what has come before is judged by the old list, and what has not by the new one.  What each list allows its sender
is for all ports, and known to the datapath; what it allows its receiver is for the ports asked about, and is not."""

import packets
import pytest
from policy import Probe
from verdict import TCP, UDP

KNOWN, ASKED, LATER = 4080, 4090, 4100  # Ports: the datapath has heard of the first one only.
N = 8


def rule(direction, protocol="any", port=None, action="allow", priority=100):
    ports = {} if port is None else {"port_min": port, "port_max": port}
    return {"direction": direction, "protocol": protocol, "action": action, "priority": priority, **ports}


class Pair:
    """Two servers of one bridge and one group."""

    def __init__(self, lab, prober):
        self.lab, self.prober, self.sport, self.is_paused = lab, prober, 30000, False
        self.group = next(group for group in lab.world.groups if group.region == "SV2")
        servers = [server for server in lab.world.servers if server.name in ("s1", "s2")]
        self.ends = [next(port for port in server.ports if port.bridge == "br1") for server in servers]
        for server in servers:
            server.groups = [self.group]
            lab.apply(server)

    def follow(self, rules):
        self.group.rules = rules
        self.lab.apply(self.group)

    def begin(self, rules, protocol):
        """`rules`, and nothing in the switch but what packets to KNOWN left there."""
        self.follow(rules)
        self.lab.await_datapath()
        self.lab.forget_connections()
        self.lab.purge_megaflows()
        assert self.open(protocol, KNOWN)[0] == N
        self.pause()

    def pause(self):
        self.lab.switch.appctl("revalidator/pause")
        self.is_paused = True

    def resume(self):
        if self.is_paused:  # Else the switch would wait for ever for those that it thinks are paused.
            self.lab.switch.appctl("revalidator/resume")
            self.is_paused = False
        self.lab.await_datapath()

    def exchange(self, probes, stage="open", is_answer=False):
        """How many arrive."""
        numbers, frames = [], []
        for probe in probes:
            numbers.append(self.prober.number())
            frames.append((probe.target if is_answer else probe.source, packets.frame(probe, stage, is_answer, numbers[-1])))
        self.prober.exchange(frames)
        return sum(bool(self.prober.arrivals.pop(number, None)) for number in numbers)

    def open(self, protocol, port):
        """How many of N new connections' first packets arrive, and the connections."""
        source, target = self.ends
        probes = []
        for _ in range(N):
            self.sport += 1
            probes.append(Probe(source, target, source.ips[0], target.ips[0], protocol, self.sport, port, -1, -1, None))
        return self.exchange(probes), probes


@pytest.fixture
def pair(lab, prober):
    started = Pair(lab, prober)
    yield started
    started.resume()


@pytest.mark.parametrize("name, protocol", (("udp", UDP), ("tcp", TCP)))
def test_what_no_list_allows_both_ends_does_not_pass(pair, name, protocol):
    pair.begin([rule("outbound"), rule("inbound", name, KNOWN)], protocol)
    pair.follow([rule("inbound", name, ASKED)])
    assert pair.open(protocol, ASKED)[0] == 0
    # The old list is still that of the datapath, at both ends.
    assert pair.open(protocol, KNOWN)[0] == N


@pytest.mark.parametrize("name, protocol", (("udp", UDP), ("tcp", TCP)))
def test_what_both_lists_allow_both_ends_passes(pair, name, protocol):
    """By rules that have nothing in common, so that the connection has to be admitted again at the sender."""
    pair.begin([rule("outbound"), rule("inbound", name, KNOWN), rule("inbound", name, ASKED)], protocol)
    pair.follow([rule("outbound", name, ASKED), rule("inbound", name, ASKED, priority=50)])
    passed, opened = pair.open(protocol, ASKED)
    assert passed == N
    assert pair.exchange(opened, "open", True) == N
    assert pair.exchange(opened, "data") == N
    pair.resume()
    for is_answer in (True, False):
        assert pair.exchange(opened, "data", is_answer) == N


def test_no_list_of_three_lets_pass_what_none_allows_both_ends(pair):
    pair.begin([rule("outbound"), rule("inbound", "udp", KNOWN)], UDP)
    pair.follow([rule("outbound", priority=50), rule("inbound", "udp", ASKED)])
    assert pair.open(UDP, ASKED)[0] == N  # It begins again, and so will what comes now, by what is the list still.
    pair.follow([rule("inbound", "udp", LATER)])
    assert pair.open(UDP, LATER)[0] == 0


def test_an_open_connection_outlives_two_changes_that_overtake_it(pair):
    inbound = [rule("inbound", "udp", port) for port in (KNOWN, ASKED, LATER)]
    pair.follow([rule("outbound")] + inbound)
    pair.lab.await_datapath()
    pair.lab.forget_connections()
    opened = {port: pair.open(UDP, port)[1] for port in (KNOWN, ASKED, LATER)}
    for probes in opened.values():
        assert pair.exchange(probes, "open", True) == N
    pair.lab.purge_megaflows()
    assert pair.exchange(opened[KNOWN], "data") == N
    pair.pause()
    for priority, port in ((50, ASKED), (40, LATER)):
        pair.follow([rule("outbound", priority=priority)] + inbound)
        assert pair.exchange(opened[port], "data") == N
