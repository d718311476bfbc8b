"""Where frames go: what always passes, group addresses through filters, unknown addresses, VLANs, several uplinks, linked
bridges, and ports that are nobody's."""

from ipaddress import IPv4Address

import pytest

from bridges import Net, Rule
from packets import BROADCAST, IP, TCP, UDP, Dot1Q, End, Ether, IPv6, Raw, udp
from test_spoof import ALL_NODES, arp, dhcp, dhcp6, na, ns, ra, rs

A = End("02:00:00:00:00:01", "10.0.0.1", "2001:db8::1")
B = End("02:00:00:00:00:02", "10.0.0.2", "2001:db8::2")
C = End("02:00:00:00:00:03", "10.0.0.3", "2001:db8::3")
OPEN = End("02:00:00:00:00:04", "10.0.0.4", "2001:db8::4")
GATEWAY = End("02:00:00:00:ff:01", "10.0.0.254", "2001:db8::fe")
NESTED = End("02:00:00:00:ee:01", "10.0.0.99", "2001:db8::99")


def everything():
    return [Rule("in", "allow"), Rule("out", "allow")]


@pytest.fixture(scope="module")
def net(ovs):
    """One uplink; a and b allow all, c has no set, o has no port security, x is nobody's."""
    net = Net(ovs)
    net.bridge("br0")
    net.server("br0", "a", A.mac, [A.ip, A.ip6], set=1)
    net.server("br0", "b", B.mac, [B.ip, B.ip6], set=1)
    net.server("br0", "c", C.mac, [C.ip, C.ip6])
    net.server("br0", "o", OPEN.mac, [OPEN.ip, OPEN.ip6], set=1, secure=False)
    net.uplink("br0", "up")
    net.closed("br0", "x")
    net.rules(1, *everything())
    net.apply()
    yield net
    net.close()


def broadcast(sender, family=4):
    if family == 4:
        return Ether(src=sender.mac, dst=BROADCAST) / IP(src=sender.ip, dst="255.255.255.255") / UDP(sport=9, dport=9) / Raw(b"x" * 20)
    return Ether(src=sender.mac, dst=ALL_NODES[0]) / IPv6(src=sender.ip6, dst=ALL_NODES[1]) / UDP(sport=9, dport=9) / Raw(b"x" * 20)


ALWAYS = [
    ("arp request", arp(GATEWAY, C.ip), ["c"]),
    ("arp reply", arp(GATEWAY, C.ip, op=2, dst=C.mac), ["c"]),
    ("arp request for nobody here", arp(GATEWAY, "10.0.0.77"), ["a", "b", "c", "o"]),
    ("arp announcement of an address here", arp(GATEWAY, C.ip, spa=C.ip), ["a", "b", "c", "o"]),
    ("arp probe for an address here", arp(GATEWAY, C.ip, spa="0.0.0.0"), ["a", "b", "c", "o"]),
    ("ns", ns(GATEWAY, C.ip6), ["c"]),
    ("ns of dad", ns(GATEWAY, C.ip6, src="::", sll=[]), ["a", "b", "c", "o"]),
    ("na", na(GATEWAY, to=C), ["c"]),
    ("ra", ra(GATEWAY), ["a", "b", "c", "o"]),
    ("dhcp offer", dhcp(GATEWAY, 67, 68, src=GATEWAY.ip), ["a", "b", "c", "o"]),
    ("dhcp offer to one", dhcp(GATEWAY, 67, 68, src=GATEWAY.ip, dst=C.ip, mac=C.mac), ["c"]),
    ("dhcpv6 advertisement", dhcp6(GATEWAY, 547, 546), ["a", "b", "c", "o"]),
]

FILTERED = [
    ("dhcp discover", dhcp(GATEWAY, 68, 67), ["a", "b", "o"]),
    ("rs", rs(GATEWAY), ["o"]),
    ("broadcast", broadcast(GATEWAY), ["a", "b", "o"]),
    ("ipv6 multicast", broadcast(GATEWAY, 6), ["a", "b", "o"]),
    ("unicast without a set", udp(GATEWAY, C, 53), []),
    ("unknown unicast", udp(GATEWAY, NESTED, 53), []),
    ("another ethernet type", Ether(src=GATEWAY.mac, dst=A.mac, type=0x88CC) / Raw(b"x" * 60), []),
    ("another ethernet type to all", Ether(src=GATEWAY.mac, dst=BROADCAST, type=0x88CC) / Raw(b"x" * 60), []),
    ("to a reserved group", Ether(src=GATEWAY.mac, dst="01:80:c2:00:00:0e") / udp(GATEWAY, A, 53)[IP], []),
    ("na with a low hop limit", na(GATEWAY, to=A, hlim=64), []),
    ("priority tag", Ether(src=GATEWAY.mac, dst=A.mac) / Dot1Q(vlan=0, prio=5) / udp(GATEWAY, A, 53)[IP], ["a"]),
    ("tag of a vlan that has no port", Ether(src=GATEWAY.mac, dst=A.mac) / Dot1Q(vlan=5) / udp(GATEWAY, A, 53)[IP], []),
    ("priority tag and another", Ether(src=GATEWAY.mac, dst=A.mac) / Dot1Q(vlan=0) / Dot1Q(vlan=5) / udp(GATEWAY, A, 53)[IP], []),
]

ALMOST = [  # Requests that differ from an announcement in one bit.
    (f"arp request from a neighbour in bit {bit}", arp(GATEWAY, C.ip, spa=str(IPv4Address(int(IPv4Address(C.ip)) ^ 1 << bit))), ["c"])
    for bit in range(32)]

FROM_SERVER = [
    ("broadcast", "a", broadcast(A), ["b", "o", "up"]),
    ("ipv6 multicast", "a", broadcast(A, 6), ["b", "o", "up"]),
    ("unknown unicast", "a", udp(A, NESTED, 53), ["up"]),
    ("to itself", "a", udp(A, A, 53), []),
    ("arp for itself", "a", arp(A, A.ip, spa=A.ip, dst=A.mac), []),
    ("without a set", "c", udp(C, A, 53), []),
    ("without a set, arp", "c", arp(C, A.ip), ["a"]),
    ("without a set, dhcp", "c", dhcp(C, 68, 67), ["a", "b", "o", "up"]),
    ("rs", "c", rs(C), ["o", "up"]),
    ("of nobody", "x", udp(A, B, 53), []),
    ("of nobody, arp", "x", arp(NESTED, A.ip), []),
    ("of nobody, broadcast", "x", broadcast(NESTED), []),
    ("open: own", "o", udp(OPEN, A, 53), ["a"]),
    ("open: any source", "o", udp(NESTED, A, 53), ["a"]),
    ("open: any arp", "o", arp(NESTED, A.ip), ["a"]),
    ("open: any ns", "o", ns(NESTED, A.ip6), ["a"]),
    ("open: dhcp offer", "o", dhcp(OPEN, 67, 68, src=OPEN.ip, dst=A.ip, mac=A.mac), ["a"]),
    ("open: ra", "o", ra(OPEN), ["up"]),
    ("open: another ethernet type", "o", Ether(src=OPEN.mac, dst=A.mac, type=0x88CC) / Raw(b"x" * 60), []),
    ("open: tag", "o", Ether(src=OPEN.mac, dst=A.mac) / Dot1Q(vlan=5) / udp(OPEN, A, 53)[IP], []),
]


@pytest.mark.parametrize("frame, expected", [case[1:] for case in ALWAYS + FILTERED + ALMOST], ids=[case[0] for case in ALWAYS + FILTERED + ALMOST])
def test_from_the_uplink(net, frame, expected):
    for _ in range(2):  # By the pipeline, then by what the datapath remembers.
        assert net.reached("up", frame) == expected


@pytest.mark.parametrize("port, frame, expected", [case[1:] for case in FROM_SERVER], ids=[case[0] for case in FROM_SERVER])
def test_from_a_server(net, port, frame, expected):
    for _ in range(2):
        assert net.reached(port, frame) == expected


def test_frames_arrive_unchanged(net):
    for port, frame in (("up", udp(GATEWAY, A, 53)), ("up", broadcast(GATEWAY)), ("a", broadcast(A)), ("a", udp(A, GATEWAY, 53, family=6))):
        heard = net.send(port, frame)
        assert heard and {tuple(frames) for frames in heard.values()} == {(bytes(frame),)}
    tagged = Ether(src=GATEWAY.mac, dst=A.mac) / Dot1Q(vlan=0, prio=5) / udp(GATEWAY, A, 53)[IP]
    assert net.send("up", tagged) == {"a": [bytes(udp(GATEWAY, A, 53))]}


def test_answer_to_an_open_ports_guest(net):
    """Whoever is behind an open port is not known here: its answer goes to the uplink only."""
    assert net.reached("o", udp(NESTED, A, 53)) == ["a"]
    assert net.reached("a", udp(A, NESTED, 40000, sport=53)) == ["up"]


# VLANs.

VA, VB, VC = (End(f"02:00:00:00:05:0{i}", f"10.5.0.{i}", f"2001:db8:5::{i}") for i in (1, 2, 3))
W = End("02:00:00:00:06:01", "10.5.0.1", "2001:db8:5::1")  # VA's addresses in another VLAN.
SAME_MAC = End(VA.mac, "10.6.0.9", "2001:db8:6::9")


@pytest.fixture(scope="module")
def vlans(ovs):
    net = Net(ovs)
    net.bridge("br1")
    net.server("br1", "va", VA.mac, [VA.ip, VA.ip6], set=1, vlan=5)
    net.server("br1", "vb", VB.mac, [VB.ip, VB.ip6], set=1, vlan=5)
    net.server("br1", "vn", VC.mac, [VC.ip, VC.ip6], vlan=5)
    net.server("br1", "w", W.mac, [W.ip, W.ip6], set=1, vlan=6)
    net.server("br1", "m", SAME_MAC.mac, [SAME_MAC.ip, SAME_MAC.ip6], set=1)
    net.uplink("br1", "vup")
    net.rules(1, *everything())
    net.apply()
    yield net
    net.close()


def tagged(frame, vlan=5, **fields):
    return Ether(src=frame.src, dst=frame.dst) / Dot1Q(vlan=vlan, type=frame.type, **fields) / frame.payload


def test_vlan_tags_on_the_uplink(vlans):
    for frame in (udp(VA, GATEWAY, 53), broadcast(VA), arp(VA, "10.5.0.77"), dhcp(VA, 68, 67)):
        heard = vlans.send("va", frame)
        assert heard["vup"] == [bytes(tagged(frame))]
        assert all(frames == [bytes(frame)] for name, frames in heard.items() if name != "vup")
        assert set(heard) <= {"vup", "vb", "vn"}
    assert vlans.reached("va", broadcast(VA)) == ["vb", "vup"]
    frame = udp(SAME_MAC, GATEWAY, 53)
    assert vlans.send("m", frame) == {"vup": [bytes(frame)]}


def test_vlan_frames_enter_untagged(vlans):
    question = udp(GATEWAY, VA, 53)
    assert vlans.send("vup", tagged(question)) == {"va": [bytes(question)]}
    assert vlans.send("vup", tagged(question, prio=7)) == {"va": [bytes(question)]}
    heard = vlans.send("vup", tagged(broadcast(GATEWAY)))
    assert heard == {name: [bytes(broadcast(GATEWAY))] for name in ("va", "vb")}
    heard = vlans.send("vup", tagged(arp(GATEWAY, "10.5.0.77")))
    assert heard == {name: [bytes(arp(GATEWAY, "10.5.0.77"))] for name in ("va", "vb", "vn")}


def test_vlans_are_apart(vlans):
    assert vlans.reached("vup", tagged(udp(GATEWAY, W, 53), 5)) == []
    assert vlans.reached("vup", tagged(udp(GATEWAY, W, 53), 6)) == ["w"]
    assert vlans.reached("vup", udp(GATEWAY, VB, 53)) == []
    assert vlans.reached("vup", tagged(udp(GATEWAY, SAME_MAC, 53), 5)) == ["va"]
    assert vlans.reached("vup", udp(GATEWAY, SAME_MAC, 53)) == ["m"]
    assert vlans.reached("vup", tagged(arp(GATEWAY, VA.ip), 5)) == ["va"]
    assert vlans.reached("vup", tagged(arp(GATEWAY, VA.ip), 6)) == ["w"]
    assert vlans.reached("vup", tagged(arp(GATEWAY, VA.ip), 7)) == []
    assert vlans.reached("va", udp(VA, W, 53)) == ["vup"]  # Another VLAN's MAC is unknown in this one.
    assert vlans.reached("vup", tagged(ns(GATEWAY, VA.ip6), 6)) == ["w"]


def test_vlan_port_may_tag_with_its_own(vlans):
    frame = udp(VA, VB, 53)
    assert vlans.send("va", tagged(frame)) == {"vb": [bytes(frame)]}
    out = udp(VA, GATEWAY, 53)
    assert vlans.send("va", tagged(out)) == {"vup": [bytes(tagged(out))]}
    for other in (tagged(frame, 6), tagged(frame, 0), tagged(tagged(frame), 5), tagged(tagged(frame, 7), 5), tagged(tagged(frame), 6)):
        assert vlans.reached("va", other) == []


def test_two_tags_from_the_uplink(vlans):
    question = udp(GATEWAY, VA, 53)
    for inner, outer in ((5, 5), (6, 5), (0, 5), (5, 0), (5, 6)):
        assert vlans.reached("vup", tagged(tagged(question, inner), outer)) == [], (inner, outer)
        assert vlans.reached("vup", tagged(tagged(broadcast(GATEWAY), inner), outer)) == [], (inner, outer)
    service = Ether(src=question.src, dst=question.dst, type=0x88A8) / tagged(question).payload
    assert vlans.reached("vup", service) in ([], ["va"])  # An 802.1ad tag is a tag; VLAN 5 in it is VLAN 5.
    assert vlans.reached("vup", tagged(question)) == ["va"]


def test_vlans_with_more_tags_in_sight(vlans):
    """Where the switch looks at two tags the pipeline judges alike.  The datapath's entries do not: those of a frame with one
    tag take one with two as well (OVS 3.1), so each frame is judged afresh here, and the essay says to leave vlan-limit alone."""
    into, out = udp(GATEWAY, VA, 53), udp(VA, VB, 53)
    cases = [("vup", tagged(tagged(into, inner), outer), []) for inner, outer in ((5, 5), (6, 5), (0, 5), (5, 0), (5, 6))]
    cases += [("va", tagged(tagged(out, inner), outer), []) for inner, outer in ((5, 5), (7, 5), (5, 6))]
    cases += [("vup", tagged(into), ["va"]), ("va", tagged(out), ["vb"])]
    vlans.ovs.vsctl("set", "Open_vSwitch", ".", "other_config:vlan-limit=2")
    try:
        for port, frame, expected in cases:
            vlans.ovs.appctl("revalidator/purge")
            assert vlans.reached(port, frame) == expected, frame.summary()
    finally:
        vlans.ovs.vsctl("remove", "Open_vSwitch", ".", "other_config", "vlan-limit")
        vlans.ovs.appctl("revalidator/purge")


# Several uplinks.

FAR, FURTHER = End("02:00:00:00:ff:11", "10.9.0.1", "2001:db8:9::1"), End("02:00:00:00:ff:12", "10.9.0.2", "2001:db8:9::2")


@pytest.fixture(scope="module")
def branches(ovs):
    net = Net(ovs)
    net.bridge("br2")
    net.server("br2", "ta", A.mac, [A.ip, A.ip6], set=1)
    net.server("br2", "tv", VA.mac, [VA.ip, VA.ip6], set=1, vlan=5)
    for name in ("u1", "u2", "u3"):
        net.uplink("br2", name)
    net.rules(1, *everything())
    net.apply()
    yield net
    net.close()


def test_uplinks_learn(branches):
    net = branches
    assert net.reached("ta", udp(A, FAR, 53)) == ["u1", "u2", "u3"]
    assert net.reached("u1", udp(FURTHER, FAR, 53)) == ["u2", "u3"]  # Unknown: to all but where it came from.
    assert net.reached("u2", udp(FAR, FURTHER, 53)) == ["u1"]        # FURTHER was heard there.
    net.settle()
    assert net.reached("ta", udp(A, FAR, 53)) == ["u2"]
    assert net.reached("u2", udp(FURTHER, FAR, 53)) == []            # It is where it came from.
    assert net.reached("u3", udp(FAR, A, 53)) == ["ta"]              # FAR has moved.
    net.settle()
    assert net.reached("ta", udp(A, FAR, 53)) == ["u3"]
    assert net.reached("u1", broadcast(FURTHER)) == ["ta", "u2", "u3"]
    assert net.reached("ta", broadcast(A)) == ["u1", "u2", "u3"]


def test_uplinks_learn_by_vlan(branches):
    net = branches
    frame = udp(FAR, VA, 53)
    assert net.send("u1", tagged(frame)) == {"tv": [bytes(frame)]}
    net.settle()
    answer = udp(VA, FAR, 40000, sport=53)
    assert net.send("tv", answer) == {"u1": [bytes(tagged(answer))]}
    passing = tagged(tagged(udp(FURTHER, FAR, 53), 9), 5, prio=3)
    assert net.send("u2", passing) == {"u1": [bytes(passing)]}  # Transit keeps its tags.
    assert net.reached("u2", tagged(udp(FURTHER, FAR, 53), 7)) == ["u1", "u3"]


def test_uplinks_never_learn_a_servers_place(branches):
    net = branches
    assert net.reached("u2", udp(A, FURTHER, 99)) == ["u1"]  # Somebody out there uses A's MAC.
    net.settle()
    assert net.reached("u1", udp(FURTHER, A, 53)) == ["ta"]


def test_a_group_address_as_source_teaches_nothing(branches):
    net = branches
    evil = End("01:00:5e:00:00:fb", FAR.ip, FAR.ip6)
    net.reached("u1", udp(evil, A, 53))
    net.settle()
    assert net.reached("u2", Ether(src=FAR.mac, dst=evil.mac) / IP(src=FAR.ip, dst="224.0.0.251") / UDP() / Raw(b"x" * 20)) == ["ta", "u1", "u3"]


# Two bridges.

@pytest.fixture(scope="module")
def linked(ovs):
    net = Net(ovs)
    net.bridge("br3")
    net.bridge("br4")
    net.server("br3", "la", A.mac, [A.ip, A.ip6], set=1)
    net.server("br3", "lv", VA.mac, [VA.ip, VA.ip6], set=3, vlan=5)
    net.server("br4", "lb", B.mac, [B.ip, B.ip6], set=2)
    net.server("br4", "lw", VB.mac, [VB.ip, VB.ip6], set=3, vlan=5)
    net.link("br3", "br4")
    net.rules(1, Rule("out", "allow", "udp", (53, 53), remote=[2]))
    net.rules(2, Rule("in", "allow", "udp", (53, 60)))
    net.rules(3, *everything())
    net.apply()
    yield net
    net.close()


@pytest.mark.parametrize("family", (4, 6))
def test_across_bridges(linked, family):
    assert linked.reached("la", udp(A, B, 53, family=family)) == ["lb"]
    assert linked.reached("lb", udp(B, A, 40000, sport=53, family=family)) == ["la"]
    assert linked.reached("la", udp(A, B, 54, family=family)) == []
    assert linked.reached("lb", udp(B, A, 40001, sport=53, family=family)) == []


def test_vlan_across_bridges(linked):
    frame = udp(VA, VB, 53)
    assert linked.send("lv", frame) == {"lw": [bytes(frame)]}
    assert linked.send("lv", broadcast(VA)) == {"lw": [bytes(broadcast(VA))]}
    assert linked.reached("la", arp(A, B.ip)) == ["lb"]
    assert linked.reached("lv", arp(VA, B.ip)) == ["lw"]
    assert linked.reached("lv", ns(VA, VB.ip6)) == ["lw"]


def test_tcp_across_bridges(linked):
    frame = Ether(src=VA.mac, dst=VB.mac) / IP(src=VA.ip, dst=VB.ip) / TCP(sport=1, dport=2, flags="S", seq=1)
    answer = Ether(src=VB.mac, dst=VA.mac) / IP(src=VB.ip, dst=VA.ip) / TCP(sport=2, dport=1, flags="SA", seq=1, ack=2)
    assert linked.reached("lv", frame) == ["lw"]
    assert linked.reached("lw", answer) == ["lv"]
