"""Which packets the rules let through: protocols, families, port boundaries, directions, replies, related errors, priorities,
remote prefixes and remote groups.  Packets on a real switch judge; nothing here looks at flows."""

import dataclasses

import pytest

from bridges import Net, Rule
from packets import ELSEWHERE, FAMILIES, OUTSIDE, End, Tcp, end, gre, ping, sctp, tcp, udp, unreachable


@pytest.fixture(scope="module")
def net(ovs):
    net = Net(ovs)
    net.bridge("br0")
    for i, name in enumerate("abc", 1):
        mac = f"02:00:00:00:00:0{i}"
        net.server("br0", name, mac, [f"10.0.0.{i}", f"2001:db8::{i}"], pairs=[("10.7.0.0/16", mac), ("2001:db8:7::/48", mac)])
    net.uplink("br0", "up")
    yield net
    net.close()


@pytest.fixture
def rules(net):
    """Gives each port its own rules: rules(a=[...], b=[...]); connections are forgotten."""

    def give(**by_port):
        for number, (name, port) in enumerate(net.ports.items(), 1):
            port.set = number if name in by_port else 0
            net.rules(number, *(dataclasses.replace(rule, slot=0, mark=0) for rule in by_port.get(name, [])))
        net.apply()
        net.forget_connections()

    return give


def test_no_set_passes_nothing(net, rules, a):
    rules(b=[Rule("in", "allow"), Rule("out", "allow")])
    for family in FAMILIES:
        assert net.reached("up", udp(OUTSIDE, a, 53, family=family)) == []
        assert net.reached("a", udp(a, OUTSIDE, 53, family=family)) == []


def test_protocols_inbound(net, rules, a):
    rules(a=[Rule("in", "allow", "tcp", (80, 83)), Rule("in", "allow", "udp", (53, 53)), Rule("in", "allow", "icmp", icmp=(8, 0)),
             Rule("in", "allow", "icmpv6", icmp=(128, 0)), Rule("in", "allow", "gre", remote="203.0.113.0/24")])
    for family in FAMILIES:
        assert net.reached("up", tcp(OUTSIDE, a, 80, family=family)) == ["a"]
        assert net.reached("up", tcp(OUTSIDE, a, 84, family=family)) == []
        assert net.reached("up", udp(OUTSIDE, a, 53, family=family)) == ["a"]
        assert net.reached("up", udp(OUTSIDE, a, 80, family=family)) == []
        assert net.reached("up", tcp(OUTSIDE, a, 53, family=family)) == []
        assert net.reached("up", ping(OUTSIDE, a, family)) == ["a"]
        assert net.reached("up", sctp(OUTSIDE, a, 80, family=family)) == []
    assert net.reached("up", gre(OUTSIDE, a)) == ["a"]
    assert net.reached("up", gre(ELSEWHERE, a)) == []
    assert net.reached("up", gre(OUTSIDE, a, 6)) == []


def test_icmp_type_and_code(net, rules, a):
    rules(a=[Rule("in", "allow", "icmp", icmp=(13, -1)), Rule("in", "allow", "icmpv6", icmp=(128, 0))])
    assert net.reached("up", ping(OUTSIDE, a)) == []
    assert net.reached("up", ping(OUTSIDE, a, 6)) == ["a"]
    rules(a=[Rule("in", "allow", "icmp", icmp=(8, 1)), Rule("in", "allow", "icmpv6", icmp=(128, 1))])
    for family in FAMILIES:
        assert net.reached("up", ping(OUTSIDE, a, family)) == []
    rules(a=[Rule("in", "allow", "icmp")])
    assert net.reached("up", ping(OUTSIDE, a)) == ["a"]
    assert net.reached("up", ping(OUTSIDE, a, 6)) == []


def test_outbound(net, rules, a):
    rules(a=[Rule("out", "allow", "udp", (1000, 1999), remote="203.0.113.0/24"), Rule("out", "allow", "udp", (53, 53), remote="2001:db8:ff::/48")])
    assert net.reached("a", udp(a, OUTSIDE, 1000)) == ["up"]
    assert net.reached("a", udp(a, OUTSIDE, 2000)) == []
    assert net.reached("a", udp(a, ELSEWHERE, 1000)) == []
    assert net.reached("a", udp(a, OUTSIDE, 53)) == []
    assert net.reached("a", udp(a, OUTSIDE, 53, family=6)) == ["up"]
    assert net.reached("a", udp(a, ELSEWHERE, 53, family=6)) == []
    assert net.reached("up", udp(OUTSIDE, a, 1000)) == []


@pytest.mark.parametrize("low, high", [(0, 65535), (1, 65534), (5198, 5210), (1023, 1024), (65535, 65535), (32767, 32768)])
def test_port_boundaries(net, rules, a, low, high):
    rules(a=[Rule("in", "allow", "udp", (low, high)), Rule("out", "allow", "tcp", (low, high))])
    around = {1, 2, low - 1, low, low + 1, (low + high) // 2, high - 1, high, high + 1, 65534, 65535}
    for port in sorted(port for port in around if 0 < port < 65536):  # Conntrack takes no port 0.
        inside = low <= port <= high
        for family in FAMILIES:
            assert net.reached("up", udp(OUTSIDE, a, port, family=family)) == (["a"] if inside else []), port
            assert net.reached("a", tcp(a, OUTSIDE, port, family=family)) == (["up"] if inside else []), port


def test_every_port_around_a_range(net, rules, a):
    rules(a=[Rule("in", "allow", "udp", (5198, 5210))])
    got = [port for port in range(5185, 5225) if net.reached("up", udp(OUTSIDE, a, port))]
    assert got == list(range(5198, 5211))


@pytest.mark.parametrize("family", FAMILIES)
def test_replies(net, rules, a, family):
    rules(a=[Rule("in", "allow", "udp", (53, 53)), Rule("out", "allow", "udp", (123, 123))])
    answer = udp(a, OUTSIDE, 40000, sport=53, family=family)
    assert net.reached("a", answer) == []
    net.forget_connections()
    assert net.reached("up", udp(OUTSIDE, a, 53, family=family)) == ["a"]
    for _ in range(2):
        assert net.reached("a", answer) == ["up"]
        assert net.reached("up", udp(OUTSIDE, a, 53, family=family)) == ["a"]
    assert net.reached("a", udp(a, OUTSIDE, 40001, sport=53, family=family)) == []
    assert net.reached("a", udp(a, OUTSIDE, 123, family=family)) == ["up"]
    assert net.reached("up", udp(OUTSIDE, a, 40000, sport=123, family=family)) == ["a"]


@pytest.mark.parametrize("family", FAMILIES)
def test_tcp_connection(net, rules, a, family):
    rules(a=[Rule("in", "allow", "tcp", (22, 22))])
    ssh = Tcp(OUTSIDE, a, 22, family=family)
    steps = ssh.handshake()
    steps += [(True, ssh.segment(True, "PA", b"hello")), (False, ssh.segment(False, "PA", b"welcome"))]
    steps += [(True, ssh.segment(True, "FA")), (False, ssh.segment(False, "FA")), (True, ssh.segment(True, "A"))]
    for from_client, frame in steps:
        assert net.reached("up" if from_client else "a", frame) == (["a"] if from_client else ["up"])
    stray = Tcp(OUTSIDE, a, 22, sport=41000, family=family)
    assert net.reached("a", stray.segment(False, "SA")) == []  # Answers nobody's question: invalid.


@pytest.mark.parametrize("family", FAMILIES)
def test_ping_and_its_answer(net, rules, a, family):
    rules(a=[Rule("out", "allow", "icmp" if family == 4 else "icmpv6")])
    assert net.reached("up", ping(OUTSIDE, a, family, reply=True)) == []
    assert net.reached("a", ping(a, OUTSIDE, family)) == ["up"]
    assert net.reached("up", ping(OUTSIDE, a, family, reply=True)) == ["a"]
    assert net.reached("up", ping(OUTSIDE, a, family)) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_errors_about_a_connection(net, rules, a, family):
    rules(a=[Rule("out", "allow", "udp", (33434, 33500)), Rule("in", "allow", "udp", (53, 53))])
    probe = udp(a, OUTSIDE, 33434, family=family)
    stranger = udp(a, OUTSIDE, 33435, sport=40001, family=family)
    router = ELSEWHERE
    assert net.reached("up", unreachable(router, a, probe, family)) == []  # Nothing was sent yet.
    assert net.reached("a", probe) == ["up"]
    for source in (OUTSIDE, router):
        assert net.reached("up", unreachable(source, a, probe, family)) == ["a"]
        assert net.reached("up", unreachable(source, a, stranger, family)) == []
    question = udp(OUTSIDE, a, 53, sport=41000, family=family)
    assert net.reached("up", question) == ["a"]
    assert net.reached("a", unreachable(a, OUTSIDE, question, family)) == ["up"]


def test_errors_end_with_the_permission(net, rules, a):
    rule = Rule("out", "allow", "udp", (33434, 33500))
    rules(a=[rule])
    probe = udp(a, OUTSIDE, 33434)
    assert net.reached("a", probe) == ["up"]
    net.rules(1)
    net.apply()
    assert net.reached("up", unreachable(OUTSIDE, a, probe)) == []


def test_priorities(net, rules, a):
    rules(a=[Rule("in", "allow", "udp", (1000, 2000)), Rule("in", "deny", "udp", (1500, 1500)), Rule("in", "deny", "udp", (1600, 1600), priority=101),
             Rule("in", "deny", "udp", (1000, 1999), priority=50), Rule("in", "allow", "udp", (1700, 1700), priority=49),
             Rule("in", "allow", "udp", (1800, 1800), priority=1), Rule("in", "deny", "udp", (1800, 1800), priority=1),
             Rule("in", "deny", priority=1000), Rule("in", "allow", "tcp", (1000, 2000), priority=1000)])
    allowed = [port for port in (999, 1000, 1500, 1600, 1700, 1701, 1800, 1999, 2000, 2001) if net.reached("up", udp(OUTSIDE, a, port))]
    assert allowed == [1700, 2000]
    assert net.reached("up", tcp(OUTSIDE, a, 1000)) == []


def test_equal_standing_and_overlap(net, rules, a):
    rules(a=[Rule("in", "allow", "udp", (1000, 1007)), Rule("in", "allow", "udp", (1004, 1011)), Rule("in", "allow", "udp", (1000, 1007)),
             Rule("in", "deny", "udp", (1006, 1006), remote="203.0.113.9/32"), Rule("in", "allow", remote="198.51.100.0/24")])
    allowed = [port for port in range(998, 1014) if net.reached("up", udp(OUTSIDE, a, port))]
    assert allowed == [1000, 1001, 1002, 1003, 1004, 1005, 1007, 1008, 1009, 1010, 1011]
    assert net.reached("up", udp(ELSEWHERE, a, 5)) == ["a"]


def test_server_to_server_needs_both(net, rules, a, b):
    out, into = Rule("out", "allow", "udp", (53, 53)), Rule("in", "allow", "udp", (53, 53))
    for family in FAMILIES:
        question = udp(a, b, 53, family=family)
        rules(a=[out], b=[into])
        assert net.reached("a", question) == ["b"]
        assert net.reached("b", udp(b, a, 40000, sport=53, family=family)) == ["a"]
        rules(a=[out], b=[out])
        assert net.reached("a", question) == []
        rules(a=[into], b=[into])
        assert net.reached("a", question) == []
        rules(a=[out])
        assert net.reached("a", question) == []


def test_remote_group(net, rules, a, b):
    """Set 2 (b's) stands for the group; c is not in it."""
    c = end(net.ports["c"])
    everything = [Rule("out", "allow"), Rule("in", "allow")]
    rules(a=[Rule("in", "allow", "udp", (53, 53), remote=[2]), Rule("out", "allow", "tcp", (80, 80), remote=[2])], b=everything, c=everything)
    for family in FAMILIES:
        assert net.reached("b", udp(b, a, 53, family=family)) == ["a"]
        assert net.reached("b", udp(b, a, 54, family=family)) == []
        assert net.reached("c", udp(c, a, 53, family=family)) == []
        assert net.reached("a", tcp(a, b, 80, family=family)) == ["b"]
        assert net.reached("a", tcp(a, c, 80, family=family)) == []
        assert net.reached("a", udp(a, b, 40000, sport=53, family=family)) == ["b"]
    # A member's address counts from wherever it comes: c's set joins the group.
    net.sets[1][0].remote = [2, 3]
    net.rules(1, *net.sets[1])
    net.apply()
    for family in FAMILIES:
        assert net.reached("c", udp(c, a, 53, family=family)) == ["a"]


def test_what_the_sender_asked_of_a_group_does_not_help_it(net, rules, a, b):
    """a's own rules look b's class up; for b's rules it is a's that counts, and an address of a's pair has none."""
    rules(a=[Rule("out", "allow"), Rule("out", "allow", "tcp", (80, 80), remote=[2])], b=[Rule("in", "allow", "udp", remote=[2])])
    stranger = End(a.mac, "10.7.0.1", "2001:db8:7::1")
    for family in FAMILIES:
        assert net.reached("a", udp(stranger, b, 53, family=family)) == []


def test_deny_a_remote_group(net, rules, a, b):
    rules(a=[Rule("in", "allow"), Rule("in", "deny", "udp", remote=[2])], b=[Rule("out", "allow")], c=[Rule("out", "allow")])
    c = end(net.ports["c"])
    for family in FAMILIES:
        assert net.reached("b", udp(b, a, 53, family=family)) == []
        assert net.reached("b", tcp(b, a, 53, family=family)) == ["a"]
        assert net.reached("c", udp(c, a, 53, family=family)) == ["a"]


@pytest.mark.parametrize("family", FAMILIES)
def test_odd_packet_first(net, rules, a, family):
    """What an odd packet leaves in the datapath must not carry a normal one through, nor stop it."""
    rules(a=[Rule("in", "allow", "udp", (53, 53))])
    hop = {"ttl": 1} if family == 4 else {"hlim": 1}
    tos = {"tos": 0xFF} if family == 4 else {"tc": 0xFF}
    for fields in (hop, tos, {}):
        assert net.reached("up", udp(OUTSIDE, a, 53, size=0, family=family, **fields)) == ["a"]
        assert net.reached("up", udp(OUTSIDE, a, 54, size=0, family=family, **fields)) == []
        assert net.reached("up", udp(OUTSIDE, a, 54, size=1200, family=family)) == []
        assert net.reached("up", udp(OUTSIDE, a, 53, sport=1, family=family)) == ["a"]
        assert net.reached("up", udp(OUTSIDE, a, 52, sport=53, family=family)) == []
