"""Fragments and SCTP: where the datapath's conntrack gives a rule less to look at than the packet has."""

import itertools
import time

import pytest

from bridges import Rule, two_servers
from packets import FAMILIES, OUTSIDE, fragments, ping, sctp, udp, unreachable

EXPIRY_S = 16  # Conntrack waits 15 s for the rest of a datagram (IPF_FRAG_LIST_TIMEOUT of OVS).


@pytest.fixture(scope="module")
def net(ovs):
    with two_servers(ovs) as net:
        for number, port in enumerate(net.ports.values(), 1):
            port.set = number
            net.rules(number)
        yield net


@pytest.fixture
def rules(net):
    def give(a=(), b=()):
        net.rules(1, *a)
        net.rules(2, *b)
        net.apply()
        net.forget_connections()

    return give


idents = itertools.count(0x2000)


def parts(frame):
    """The fragments of `frame` with an identification of their own."""
    return fragments(frame, ident=next(idents))


@pytest.mark.parametrize("family", FAMILIES)
def test_allowed_datagrams_pass_whole(net, rules, a, family):
    rules(a=[Rule("in", "allow", "udp", (53, 53)), Rule("out", "allow", "udp", (123, 123))])
    for _ in range(3):  # The first opens the connection, the second goes by its mark.
        frames = parts(udp(OUTSIDE, a, 53, size=4000, family=family))
        assert sorted(net.send("up", *frames)["a"]) == sorted(map(bytes, frames))
        frames = parts(udp(a, OUTSIDE, 123, size=4000, family=family))
        assert sorted(net.send("a", *frames)["up"]) == sorted(map(bytes, frames))
        frames = parts(udp(a, OUTSIDE, 40000, sport=53, size=3000, family=family))
        assert sorted(net.send("a", *frames)["up"]) == sorted(map(bytes, frames))


@pytest.mark.parametrize("family", FAMILIES)
def test_denied_datagrams_stay_whole(net, rules, a, family):
    rules(a=[Rule("in", "allow", "udp", (53, 53)), Rule("out", "allow", "udp", (123, 123))])
    for _ in range(3):
        assert net.reached("up", *parts(udp(OUTSIDE, a, 54, size=4000, family=family))) == []
        assert net.reached("a", *parts(udp(a, OUTSIDE, 124, size=4000, family=family))) == []
    assert net.reached("up", udp(OUTSIDE, a, 53, family=family)) == ["a"]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_any_order(net, rules, a, family, order):
    rules(a=[Rule("in", "allow", "udp", (53, 53))])
    for port, expected in ((53, 3), (54, 0), (53, 3), (54, 0)):
        frames = parts(udp(OUTSIDE, a, port, size=4000, family=family))
        assert len(frames) == 3
        assert net.reached("up", *(frames[i] for i in order)) == ["a"] * expected


@pytest.mark.parametrize("family", FAMILIES)
def test_one_by_one(net, rules, a, family):
    rules(a=[Rule("in", "allow", "udp", (53, 53))])
    for port, expected in ((53, 3), (54, 0)):
        frames = parts(udp(OUTSIDE, a, port, size=4000, family=family))
        got = [net.reached("up", frame) for frame in frames]
        assert sum(map(len, got)) == expected


@pytest.mark.parametrize("family", FAMILIES)
def test_server_to_server(net, rules, a, b, family):
    rules(a=[Rule("out", "allow", "udp")], b=[Rule("in", "allow", "udp", (53, 53))])
    for _ in range(2):
        frames = parts(udp(a, b, 53, size=4000, family=family))
        assert sorted(net.send("a", *frames)["b"]) == sorted(map(bytes, frames))
        assert net.reached("a", *parts(udp(a, b, 54, size=4000, family=family))) == []
        frames = parts(udp(b, a, 40000, sport=53, size=4000, family=family))
        assert sorted(net.send("b", *frames)["a"]) == sorted(map(bytes, frames))


@pytest.mark.parametrize("family", FAMILIES)
def test_ping_in_fragments(net, rules, a, family):
    rules(a=[Rule("in", "allow", "icmp", icmp=(8, 0)), Rule("in", "allow", "icmpv6", icmp=(128, 0))])
    frame = ping(OUTSIDE, a, family)
    frame = frame / (b"p" * 3980)
    assert net.reached("up", *parts(frame)) == ["a"] * 3
    rules(a=[Rule("in", "allow", "udp")])
    assert net.reached("up", *parts(frame)) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_a_later_fragment_alone_never_passes(net, rules, a, family):
    rules(a=[Rule("in", "allow", "udp", (53, 53)), Rule("in", "deny", "udp", (54, 54))])
    assert net.reached("up", udp(OUTSIDE, a, 53, family=family)) == ["a"]
    assert net.reached("up", *parts(udp(OUTSIDE, a, 53, size=4000, family=family))[1:]) == []
    assert net.reached("up", *parts(udp(OUTSIDE, a, 54, size=4000, family=family))[1:]) == []


def test_revoked_in_fragments(net, rules, a):
    rule = Rule("in", "allow", "udp", (53, 60))
    rules(a=[rule])
    assert net.reached("up", *parts(udp(OUTSIDE, a, 55, size=4000))) == ["a"] * 3
    rule.ports = (53, 54)
    net.retire(rule)
    net.rules(1, rule)
    net.apply()
    assert net.reached("up", *parts(udp(OUTSIDE, a, 55, size=4000))) == []
    assert net.reached("up", *parts(udp(OUTSIDE, a, 54, size=4000))) == ["a"] * 3


def test_strangers_among_the_fragments(net, rules, a, b):
    """More datagrams become complete at once than conntrack hands on at once; what is left over goes on with the next packets
    of anybody.  a may send nothing, b everything: nothing of a's may leave, and nothing may reach b or come back to a."""
    rules(a=[Rule("in", "allow")], b=[Rule("in", "allow"), Rule("out", "allow")])
    strangers = []
    for turn in range(25):
        datagrams = [parts(udp(a, b if turn % 2 else OUTSIDE, 1000 + i, sport=2000 + turn, size=2000)) for i in range(40)]
        frames = [("a", bytes(frame)) for number in range(2) for frame in (datagram[number] for datagram in datagrams)]
        frames += [("b", bytes(udp(b, OUTSIDE, 53, sport=3000 + 10 * turn + i))) for i in range(4)]
        frames += [("up", bytes(udp(OUTSIDE, to, 53, sport=3000 + 10 * turn + i))) for i in range(4) for to in (a, b)]
        heard = net.wire.exchange(*frames)
        strangers += [(name, frame) for name, got in heard.items() for frame in got if frame[6:12] == bytes.fromhex(a.mac.replace(":", ""))]
    assert strangers == []


def test_strangers_that_stayed_incomplete(net, rules, a, b):
    """What has waited in vain for the rest of its datagram goes on with the next packets of anybody, a fragment for each ct(), and so
    with those that commit a new connection."""
    rules(a=[Rule("in", "allow")], b=[Rule("in", "allow"), Rule("out", "allow")])
    net.send("a", *(parts(udp(a, OUTSIDE, 1000 + i, size=2000))[0] for i in range(120)))
    time.sleep(EXPIRY_S)
    heard = net.wire.exchange(("b", bytes(udp(b, OUTSIDE, 53))), ("up", bytes(udp(OUTSIDE, b, 53))))
    assert {name: len(frames) for name, frames in heard.items() if frames} == {"up": 1, "b": 1}


# SCTP.

@pytest.mark.parametrize("family", FAMILIES)
def test_sctp_ports(net, rules, a, family):
    rules(a=[Rule("in", "allow", "sctp", (5000, 5007)), Rule("out", "allow", "sctp", (6000, 6000))])
    for _ in range(2):  # One association must not admit another.
        assert net.reached("up", sctp(OUTSIDE, a, 5000, family=family)) == ["a"]
        assert net.reached("up", sctp(OUTSIDE, a, 5008, family=family)) == []
        assert net.reached("a", sctp(a, OUTSIDE, 6000, family=family)) == ["up"]
        assert net.reached("a", sctp(a, OUTSIDE, 6001, family=family)) == []
        assert net.reached("a", sctp(a, OUTSIDE, 40000, sport=5000, family=family)) == ["up"]  # An answer.
        assert net.reached("a", sctp(a, OUTSIDE, 40000, sport=5008, family=family)) == []
        assert net.reached("up", sctp(OUTSIDE, a, 41000, sport=6000, family=family)) == ["a"]
        assert net.reached("up", sctp(OUTSIDE, a, 41000, sport=6001, family=family)) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_sctp_answers_need_a_question(net, rules, a, family):
    rules(a=[Rule("in", "allow", "sctp", (5000, 5000))])
    assert net.reached("a", sctp(a, OUTSIDE, 40000, sport=5000, family=family)) == []
    assert net.reached("up", sctp(OUTSIDE, a, 5000, family=family)) == ["a"]
    assert net.reached("a", sctp(a, OUTSIDE, 40000, sport=5000, family=family)) == ["up"]


@pytest.mark.parametrize("family", FAMILIES)
def test_sctp_and_any(net, rules, a, family):
    rules(a=[Rule("in", "allow", priority=200), Rule("in", "deny", "sctp", (5000, 5000)), Rule("out", "deny")])
    assert net.reached("up", sctp(OUTSIDE, a, 5001, family=family)) == ["a"]
    assert net.reached("a", sctp(a, OUTSIDE, 40000, sport=5001, family=family)) == ["up"]
    assert net.reached("up", sctp(OUTSIDE, a, 5000, family=family)) == []
    assert net.reached("a", sctp(a, OUTSIDE, 40000, sport=5000, family=family)) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_sctp_between_servers_and_groups(net, rules, a, b, family):
    rules(a=[Rule("out", "allow", "sctp", (7000, 7000), remote=[2])], b=[Rule("in", "allow", "sctp", (7000, 7001), remote=[1])])
    assert net.reached("a", sctp(a, b, 7000, family=family)) == ["b"]
    assert net.reached("b", sctp(b, a, 40000, sport=7000, family=family)) == ["a"]
    assert net.reached("a", sctp(a, b, 7001, family=family)) == []
    assert net.reached("a", sctp(a, OUTSIDE, 7000, family=family)) == []
    assert net.reached("up", sctp(OUTSIDE, b, 7000, family=family)) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_sctp_revoked(net, rules, a, family):
    rule = Rule("in", "allow", "sctp", (5000, 5001))
    rules(a=[rule])
    for port in (5000, 5001):
        assert net.reached("up", sctp(OUTSIDE, a, port, family=family)) == ["a"]
        assert net.reached("a", sctp(a, OUTSIDE, 40000, sport=port, family=family)) == ["up"]
    rule.ports = (5000, 5000)
    net.retire(rule)
    net.rules(1, rule)
    net.apply()
    assert net.reached("up", sctp(OUTSIDE, a, 5001, family=family)) == []
    assert net.reached("a", sctp(a, OUTSIDE, 40000, sport=5001, family=family)) == []
    assert net.reached("up", sctp(OUTSIDE, a, 5000, family=family)) == ["a"]
    assert net.reached("a", sctp(a, OUTSIDE, 40000, sport=5000, family=family)) == ["up"]


def test_sctp_in_fragments(net, rules, a):
    rules(a=[Rule("in", "allow", "sctp", (0, 100)), Rule("in", "allow", "sctp", (5000, 5000))])
    for port in (50, 5000, 6000):
        assert net.reached("up", *parts(sctp(OUTSIDE, a, port) / (b"s" * 3000))) == []


def test_error_about_sctp(net, rules, a):
    rules(a=[Rule("out", "allow", "sctp", (6000, 6000))])
    probe = sctp(a, OUTSIDE, 6000)
    assert net.reached("up", unreachable(OUTSIDE, a, probe)) == []
    assert net.reached("a", probe) == ["up"]
    net.reached("up", unreachable(OUTSIDE, a, probe))  # The tracker of OVS 3.1 may or may not relate it; it must not harm.
    assert net.reached("a", probe) == ["up"]


def test_errors_about_sctp_end_with_the_permission(net, rules, a):
    everything = Rule("out", "allow", "any")
    rules(a=[everything])
    probe = sctp(a, OUTSIDE, 6000)
    assert net.reached("a", probe) == ["up"]
    net.reached("up", unreachable(OUTSIDE, a, probe))
    net.retire(everything)  # As a new refusal above it does.
    net.rules(1, Rule("out", "deny", "sctp", priority=1), everything)
    net.apply()
    assert net.reached("a", probe) == []
    assert net.reached("up", unreachable(OUTSIDE, a, probe)) == []
