"""What new connections, each to a port that no rule names, cost the switch: a miss of the datapath for each 256 ports, not one for
each port (pipeline.h, "Ports that no rule names").  Packets judge what passes; counted are the datapath's misses and the
masks of its entries.

New connections to other addresses than the rules name cost a miss each, unless the switch has been told to look at addresses bit by
bit, as README.md tells its operator."""

import os
import re
import shlex

import pytest

from bridges import Rule, two_servers
from packets import FAMILIES, OUTSIDE, End, end, tcp, udp

README = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "README.md")

BURST = 32  # Frames that the switch's sockets take at once.
EACH = {"tcp": tcp, "udp": udp}


@pytest.fixture(scope="module")
def net(ovs):
    with two_servers(ovs) as net:
        yield net


@pytest.fixture
def rules(net):
    def give(*rules):
        net.ports["a"].set = 1
        net.rules(1, *rules)
        net.apply()
        net.forget_connections()

    return give


def frames(net, protocol, family, inbound, ports):
    a = end(net.ports["a"])
    ends = (OUTSIDE, a) if inbound else (a, OUTSIDE)
    return [bytes(EACH[protocol](*ends, port, family=family)) for port in ports]


def reached(net, inbound, sent):
    """Sends them in bursts; returns how many came out, and how often the datapath had to ask for each."""
    before, heard = missed(net), 0
    for i in range(0, len(sent), BURST):
        heard += len(net.reached("up" if inbound else "a", *sent[i:i + BURST]))
    return heard, missed(net) - before


def missed(net):
    return int(re.search(r"missed:(\d+)", net.ovs.appctl("dpctl/show", "-s")).group(1))


def port_masks(net):
    """How the datapath's entries look at the destination port of conntrack's tuple."""
    text = net.ovs.appctl("dpctl/dump-flows")
    return set(re.findall(r"ct_tuple[46]\([^)]*(?:tp_dst|dst_port)=\d+(?:/(0x[0-9a-f]+))?", text))


WEB = [Rule("in", "allow", "tcp", (22, 22)), Rule("in", "allow", "tcp", (443, 443)), Rule("in", "allow", "udp", (32768, 40000)),
       Rule("in", "deny", "tcp", (8080, 8080)), Rule("out", "allow", "tcp", (443, 443), remote="203.0.113.0/24"),
       Rule("out", "allow", "tcp", (443, 443), remote="2001:db8:ff::/48"), Rule("out", "allow", "udp", (53, 53), remote=[7]),
       Rule("in", "allow", "icmp"), Rule("in", "allow", "icmpv6")]


# For all ports, but for others than who is outside.
FOR_OTHERS = [Rule("in", "allow", remote=[7]), Rule("in", "allow", "tcp", remote="192.0.2.0/24"), Rule("in", "allow", remote="2001:db8:dd::/48"),
              Rule("out", "allow", "udp", remote="192.0.2.0/24"), Rule("out", "allow", remote=[7]),
              Rule("out", "deny", "tcp", (0, 65535), remote="2001:db8:dd::/48")]


@pytest.mark.parametrize("more", ([], FOR_OTHERS), ids=("", "beside_rules_for_all_ports"))
@pytest.mark.parametrize("protocol", EACH)
@pytest.mark.parametrize("inbound", (True, False))
@pytest.mark.parametrize("family", FAMILIES)
def test_a_flood_to_many_ports_is_few_misses(net, rules, family, inbound, protocol, more):
    rules(*WEB, *more)
    ports = range(20480, 20480 + 4 * 256, 4)
    heard, misses = reached(net, inbound, frames(net, protocol, family, inbound, ports))
    assert heard == 0
    assert 4 <= misses < len(ports) / 4


@pytest.mark.parametrize("protocol", EACH)
@pytest.mark.parametrize("family", FAMILIES)
def test_rules_for_all_ports_beside_such_that_name_some(net, rules, family, protocol):
    """The lowest priority decides, whether or not some rule names the port; what is allowed costs no miss for each port either."""
    rules(Rule("in", "allow", protocol, (8000, 8010), priority=10), Rule("in", "deny", remote="203.0.113.8/29", priority=50),
          Rule("in", "deny", remote="2001:db8:ff::8/125", priority=50), Rule("in", "deny", protocol, (443, 443), priority=60),
          Rule("in", "allow", protocol, (0, 65535)), Rule("in", "allow", protocol, (22, 22), priority=40))
    a, refused, other = end(net.ports["a"]), OUTSIDE, End(OUTSIDE.mac, "203.0.113.1", "2001:db8:ff::1")
    ports = (1, 21, 22, 23, 442, 443, 444, 7999, 8000, 8005, 8010, 8011, 20480, 65535)

    def passing(sender):
        return [port for port in ports if net.reached("up", EACH[protocol](sender, a, port, family=family)) == ["a"]]

    assert passing(refused) == [22, 8000, 8005, 8010]
    assert passing(other) == [port for port in ports if port != 443]
    many = range(20480, 20480 + 4 * 256, 4)
    heard, misses = reached(net, True, [bytes(EACH[protocol](other, a, port, sport=41000, family=family)) for port in many])
    assert heard == len(many)
    assert misses < len(many) / 4


def test_what_is_looked_at_is_the_same_for_all(net, rules):
    """One length of masks for all that is denied so, whatever the rules of its protocol leave."""
    rules(Rule("in", "allow", "tcp", (22, 22)), Rule("in", "allow", "udp", (0, 32767)))
    net.ovs.appctl("dpctl/del-flows")
    for protocol in EACH:
        for family in FAMILIES:
            sent = frames(net, protocol, family, True, (33000, 41000, 57000, 65000))
            assert net.reached("up", *sent) == []
    assert port_masks(net) == {"0xff00"}


@pytest.mark.parametrize("low, high", ((0x2000, 0x2000), (0x20ff, 0x20ff), (0x1ffe, 0x2001), (0x2000, 0x2fff), (0x7fff, 0x8000),
                                       (0xffff, 0xffff), (1, 256), (0x2001, 0x2ffe)))
def test_ports_beside_the_blocks(net, rules, low, high):
    """The ports that a rule names, and those beside them, beside what is looked at together and in a nest, for all but TCP from outside
    with rules of one family."""
    remote = {4: "203.0.113.0/24", 6: "2001:db8:ff::/48"}
    rules(Rule("in", "allow", "udp", (low, high)), Rule("in", "allow", "tcp", (low, high), remote=remote[4]),
          Rule("in", "allow", "tcp", (7, 7), remote=remote[6]), Rule("out", "allow", "tcp", (low, high), remote=remote[6]),
          Rule("out", "allow", "tcp", (7, 7), remote=remote[4]), Rule("out", "allow", "udp", (low, high)))
    edges = {low, high, low & 0xff00, low | 0xff, high & 0xff00, high | 0xff}
    ports = sorted(port for edge in edges for port in (edge - 1, edge, edge + 1) if 0 < port < 65536)
    for protocol in EACH:
        for family in FAMILIES:
            for inbound in (True, False):
                of_rule = protocol == "udp" or family == (4 if inbound else 6)
                wanted = [port for port in ports if (low <= port <= high if of_rule else port == 7)]
                got = [port for port, frame in zip(ports, frames(net, protocol, family, inbound, ports))
                       if net.reached("up" if inbound else "a", frame)]
                assert got == wanted, (protocol, family, inbound)


def as_told(bridge):
    """The README's command that has a switch look at addresses bit by bit, for `bridge`: its words behind `ovs-vsctl`."""
    with open(README, encoding="utf-8") as file:
        lines = [line.replace("br-int", bridge) for line in file if line.startswith("ovs-vsctl") and "prefixes=" in line]
    return [word for line in lines for word in shlex.split(line, comments=True)[1:]]


@pytest.mark.parametrize("ports", ((443, 443), (-1, -1)), ids=("named", "all_ports"))
@pytest.mark.parametrize("inbound", (True, False))
@pytest.mark.parametrize("family", FAMILIES)
def test_addresses_bit_by_bit(net, rules, family, inbound, ports):
    named = [f"192.0.2.{i}" if family == 4 else f"2001:db8:dd::{i:x}" for i in range(1, 51)]
    direction = "in" if inbound else "out"
    rules(Rule(direction, "allow", "udp", (22, 22)), *[Rule(direction, "allow", "udp", ports, remote=ip) for ip in named])
    a = end(net.ports["a"])

    def to(address):
        other = End(OUTSIDE.mac, address, address)
        return bytes(udp(*((other, a) if inbound else (a, other)), 443, family=family))

    flood = [to(f"198.51.{i}.7" if family == 4 else f"2001:db8:ee:{i:x}::7") for i in range(200)]
    heard, misses = reached(net, inbound, flood)
    assert heard == 0
    assert misses > len(flood) / 2
    net.ovs.vsctl(*as_told("br0"))
    try:
        net.forget_connections()
        heard, misses = reached(net, inbound, flood)
        assert heard == 0
        assert misses < len(flood) / 10
        assert reached(net, inbound, [to(ip) for ip in (named[0], named[-1])])[0] == 2
    finally:
        net.ovs.vsctl("clear", "bridge", "br0", "flow_tables")
