"""What a server port may claim to be.  Every port's rules allow everything (but c's, which has none), so that only the checks of
MAC, IP, ARP, ND, DHCP and tags decide.  `b` hears what rules let in, `c` only what always passes, `up` what leaves."""

from ipaddress import IPv6Address

import pytest

from bridges import Net, Rule
from packets import (ARP, BROADCAST, OUTSIDE, ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6ND_RA, ICMPv6ND_Redirect, ICMPv6ND_RS, ICMPv6NDOptDstLLAddr,
                     ICMPv6NDOptSrcLLAddr, IP, IPv6, UDP, Dot1Q, End, Ether, Raw, end, fragments, ping, tcp, udp)

A = End("02:00:00:00:00:01", "10.0.0.1", "2001:db8::1")
B = End("02:00:00:00:00:02", "10.0.0.2", "2001:db8::2")
C = End("02:00:00:00:00:03", "10.0.0.3", "2001:db8::3")
VRRP = End("00:00:5e:00:01:07", "10.0.0.100", "2001:db8::100")
ROUTER = End("02:00:00:00:00:04", "10.0.0.4", "2001:db8::4")
OTHERS = ["b", "c", "r", "up"]
ALL_NODES = ("33:33:00:00:00:01", "ff02::1")
ALL_ROUTERS = ("33:33:00:00:00:02", "ff02::2")


@pytest.fixture(scope="module")
def net(ovs):
    net = Net(ovs)
    net.bridge("br0")
    net.server("br0", "a", A.mac, [A.ip, A.ip6], set=1, pairs=[(VRRP.ip, VRRP.mac), (VRRP.ip6, VRRP.mac), ("10.7.0.0/16", A.mac), ("10.8.0.1", A.mac)])
    net.server("br0", "b", B.mac, [B.ip, B.ip6], set=1)
    net.server("br0", "c", C.mac, [C.ip, C.ip6])
    net.server("br0", "r", ROUTER.mac, [ROUTER.ip, ROUTER.ip6], set=2, pairs=[("0.0.0.0/0", ROUTER.mac), ("::/0", ROUTER.mac)])
    net.uplink("br0", "up")
    net.rules(1, Rule("in", "allow"), Rule("out", "allow"))
    net.rules(2, Rule("out", "allow"))
    net.apply()
    yield net
    net.close()


def solicited(target):
    """Group MAC and address of a target's solicited-node group (RFC 4291 section 2.7.1)."""
    tail = IPv6(dst=target).build()[24 + 13:40]
    return "33:33:ff:" + tail.hex(":"), f"ff02::1:ff{tail[0]:02x}:{tail[1]:02x}{tail[2]:02x}"


def arp(sender, target_ip, op=1, mac=None, sha=None, spa=None, dst=BROADCAST, **fields):
    return Ether(src=mac or sender.mac, dst=dst) / ARP(op=op, hwsrc=sha or sender.mac, psrc=spa or sender.ip, pdst=target_ip, **fields)


def ns(sender, target, src=None, sll="own", hlim=255, code=0, dst=None):
    group, group_ip = solicited(target)
    frame = Ether(src=sender.mac, dst=dst or group) / IPv6(src=src or sender.ip6, dst=group_ip, hlim=hlim) / ICMPv6ND_NS(tgt=target, code=code)
    for mac in [sender.mac] if sll == "own" else sll:
        frame = frame / ICMPv6NDOptSrcLLAddr(lladdr=mac)
    return frame


def na(sender, target=None, to=B, src=None, tll="own", hlim=255, **fields):
    frame = Ether(src=sender.mac, dst=to.mac) / IPv6(src=src or sender.ip6, dst=to.ip6, hlim=hlim) / \
        ICMPv6ND_NA(tgt=target or sender.ip6, **fields)
    for mac in [sender.mac] if tll == "own" else tll:
        frame = frame / ICMPv6NDOptDstLLAddr(lladdr=mac)
    return frame


def rs(sender, src=None, hlim=255):
    return Ether(src=sender.mac, dst=ALL_ROUTERS[0]) / IPv6(src=src or sender.local6, dst=ALL_ROUTERS[1], hlim=hlim) / ICMPv6ND_RS()


def ra(sender, src=None):
    return Ether(src=sender.mac, dst=ALL_NODES[0]) / IPv6(src=src or sender.local6, dst=ALL_NODES[1], hlim=255) / ICMPv6ND_RA()


def dhcp(sender, sport, dport, src="0.0.0.0", dst="255.255.255.255", mac=BROADCAST, size=240):
    return Ether(src=sender.mac, dst=mac) / IP(src=src, dst=dst) / UDP(sport=sport, dport=dport) / Raw(b"d" * size)


def dhcp6(sender, sport, dport, src=None, size=60):
    return Ether(src=sender.mac, dst="33:33:00:01:00:02") / IPv6(src=src or sender.local6, dst="ff02::1:2") / UDP(sport=sport, dport=dport) / \
        Raw(b"d" * size)


def sourced(src, family=4):
    """A's packet to b with another source."""
    if family == 4:
        return Ether(src=A.mac, dst=B.mac) / IP(src=src, dst=B.ip) / UDP(sport=1, dport=2) / Raw(b"x" * 20)
    return Ether(src=A.mac, dst=B.mac) / IPv6(src=src, dst=B.ip6) / UDP(sport=1, dport=2) / Raw(b"x" * 20)


HONEST = [
    ("ipv4", udp(A, B, 53), ["b"]),
    ("ipv6", udp(A, B, 53, family=6), ["b"]),
    ("ipv4 out", udp(A, OUTSIDE, 53), ["up"]),
    ("ipv6 link-local", sourced(A.local6, 6), ["b"]),
    ("pair of the same mac, prefix", sourced("10.7.200.1"), ["b"]),
    ("pair of the same mac, address", sourced("10.8.0.1"), ["b"]),
    ("pair of another mac", udp(VRRP, B, 53), ["b"]),
    ("pair of another mac, ipv6", udp(VRRP, B, 53, family=6), ["b"]),
    ("arp request", arp(A, B.ip), ["b"]),
    ("arp request for somebody unknown", arp(A, "10.0.0.77"), OTHERS),
    ("arp reply", arp(A, B.ip, op=2, dst=B.mac, hwdst=B.mac), ["b"]),
    ("arp probe", arp(A, A.ip, spa="0.0.0.0"), OTHERS),
    ("arp announcement", arp(A, A.ip), OTHERS),
    ("gratuitous arp reply", arp(A, A.ip, op=2), OTHERS),
    ("arp of a pair", arp(VRRP, B.ip), ["b"]),
    ("arp announcement of a pair", arp(VRRP, VRRP.ip), OTHERS),
    ("ns", ns(A, B.ip6), ["b"]),
    ("ns without option", ns(A, B.ip6, sll=[]), ["b"]),
    ("ns from link-local", ns(A, B.ip6, src=A.local6), ["b"]),
    ("ns unicast", ns(A, B.ip6, dst=B.mac), ["b"]),
    ("ns for somebody unknown", ns(A, "2001:db8::77"), OTHERS),
    ("duplicate address detection", ns(A, A.ip6, src="::", sll=[]), OTHERS),
    ("duplicate address detection, link-local", ns(A, A.local6, src="::", sll=[]), OTHERS),
    ("na", na(A), ["b"]),
    ("na without option", na(A, tll=[]), ["b"]),
    ("na for the link-local address", na(A, A.local6, src=A.local6), ["b"]),
    ("rs", rs(A), ["up"]),
    ("rs without address", rs(A, src="::"), ["up"]),
    ("dhcp discover", dhcp(A, 68, 67), ["b", "up"]),
    ("dhcp renewal", dhcp(A, 68, 67, src=A.ip, dst=OUTSIDE.ip, mac=OUTSIDE.mac), ["up"]),
    ("dhcpv6 solicit", dhcp6(A, 546, 547), ["b", "up"]),
]

FORGED = [
    ("mac", udp(End(B.mac, A.ip, A.ip6), OUTSIDE, 53)),
    ("mac of nobody", udp(End("02:00:00:00:00:77", A.ip, A.ip6), OUTSIDE, 53)),
    ("multicast mac", udp(End("03:00:00:00:00:01", A.ip, A.ip6), OUTSIDE, 53)),
    ("ipv4", sourced(B.ip)),
    ("ipv4 outside of the pair", sourced("10.9.0.1")),
    ("ipv4 zero", sourced("0.0.0.0")),
    ("ipv4 broadcast", sourced("255.255.255.255")),
    ("ipv4 multicast", sourced("224.0.0.1")),
    ("ipv6", sourced(B.ip6, 6)),
    ("ipv6 of another's link-local", sourced(B.local6, 6)),
    ("ipv6 of a pair's link-local", udp(End(VRRP.mac, VRRP.ip, VRRP.local6), B, 53, family=6)),
    ("ipv6 of a pair's link-local, own mac", sourced(VRRP.local6, 6)),
    ("ns of a pair's link-local", ns(VRRP, B.ip6, src=VRRP.local6)),
    ("ns of own link-local with the pair's option", ns(A, B.ip6, src=A.local6, sll=[VRRP.mac])),
    ("na for a pair's link-local", na(VRRP, VRRP.local6)),
    ("ipv6 unspecified", sourced("::", 6)),
    ("ipv6 multicast", sourced("ff02::1", 6)),
    ("ipv6 that ends like the ipv4 address", sourced("::10.0.0.1", 6)),
    ("ipv4-mapped ipv6", sourced("::ffff:10.0.0.1", 6)),
    ("tcp", tcp(End(A.mac, B.ip, B.ip6), OUTSIDE, 80)),
    ("ping", ping(End(A.mac, B.ip, B.ip6), OUTSIDE)),
    ("own mac with the other mac's pair", udp(End(A.mac, VRRP.ip, VRRP.ip6), B, 53)),
    ("pair's mac with own address", udp(End(VRRP.mac, A.ip, A.ip6), B, 53)),
    ("arp sender ip", arp(A, B.ip, spa=C.ip)),
    ("arp sender mac", arp(A, B.ip, sha=C.mac)),
    ("arp reply for another", arp(A, B.ip, op=2, spa=C.ip, dst=B.mac)),
    ("arp reply with another's mac", arp(A, B.ip, op=2, sha=C.mac, dst=B.mac)),
    ("arp announcement of another", arp(A, C.ip, spa=C.ip)),
    ("arp probe for another", arp(A, C.ip, spa="0.0.0.0")),
    ("arp reply from zero", arp(A, B.ip, op=2, spa="0.0.0.0", dst=B.mac)),
    ("arp with the pair's mac inside", arp(A, B.ip, sha=VRRP.mac, spa=VRRP.ip)),
    ("rarp", arp(A, A.ip, op=3)),
    ("arp of another hardware", arp(A, B.ip, hwtype=6)),
    ("ns source", ns(A, B.ip6, src=C.ip6)),
    ("ns option", ns(A, B.ip6, sll=[C.mac])),
    ("ns two options", ns(A, B.ip6, sll=[A.mac, C.mac])),
    ("ns two options, forged first", ns(A, B.ip6, sll=[C.mac, A.mac])),
    ("ns hop limit", ns(A, B.ip6, hlim=254)),
    ("ns code", ns(A, B.ip6, code=1)),
    ("dad for another", ns(A, C.ip6, src="::", sll=[])),
    ("dad with an option", ns(A, A.ip6, src="::")),
    ("na target", na(A, C.ip6)),
    ("na source", na(A, src=C.ip6)),
    ("na option", na(A, tll=[C.mac])),
    ("na two options", na(A, tll=[A.mac, C.mac])),
    ("na hop limit", na(A, hlim=64)),
    ("rs source", rs(A, src=B.local6)),
    ("rs hop limit", rs(A, hlim=1)),
    ("ra", ra(A)),
    ("ra from another", ra(A, src=B.local6)),
    ("redirect", Ether(src=A.mac, dst=B.mac) / IPv6(src=A.local6, dst=B.ip6, hlim=255) / ICMPv6ND_Redirect(tgt=A.local6, dst=OUTSIDE.ip6)),
    ("dhcp offer", dhcp(A, 67, 68, src=A.ip)),
    ("dhcp offer to one", dhcp(A, 67, 68, src=A.ip, dst=B.ip, mac=B.mac)),
    ("dhcp request as another", dhcp(A, 68, 67, src=C.ip)),
    ("dhcpv6 advertisement", dhcp6(A, 547, 546)),
    ("dhcpv6 solicit as another", dhcp6(A, 546, 547, src=B.local6)),
    ("priority tag", Ether(src=A.mac, dst=B.mac) / Dot1Q(vlan=0) / udp(A, B, 53)[IP]),
    ("tag", Ether(src=A.mac, dst=B.mac) / Dot1Q(vlan=5) / udp(A, B, 53)[IP]),
    ("two tags", Ether(src=A.mac, dst=B.mac) / Dot1Q(vlan=0) / Dot1Q(vlan=5) / udp(A, B, 53)[IP]),
    ("another ethernet type", Ether(src=A.mac, dst=B.mac, type=0x88CC) / Raw(b"x" * 60)),
    ("llc", Ether(src=A.mac, dst="01:80:c2:00:00:00", type=38) / Raw(b"\x42\x42\x03" + b"\0" * 50)),
    ("to a reserved group", Ether(src=A.mac, dst="01:80:c2:00:00:0e") / udp(A, B, 53)[IP]),
]

FORGED_FRAGMENTS = [
    ("ipv4", fragments(Ether(src=A.mac, dst=B.mac) / IP(src=C.ip, dst=B.ip) / UDP(sport=1, dport=2) / Raw(b"x" * 3000))),
    ("ipv6", fragments(Ether(src=A.mac, dst=B.mac) / IPv6(src=C.ip6, dst=B.ip6) / UDP(sport=1, dport=2) / Raw(b"x" * 3000))),
    ("dhcp offer", fragments(dhcp(A, 67, 68, src=A.ip, dst=B.ip, mac=B.mac, size=3000))),
    ("dhcp discover", fragments(dhcp(A, 68, 67, size=3000))),
    ("dhcpv6 advertisement", fragments(dhcp6(A, 547, 546, size=3000))),
    ("ns", fragments(ns(A, B.ip6, src=C.ip6) / Raw(b"\0" * 3000))),
    ("na", fragments(na(A, C.ip6) / Raw(b"\0" * 3000))),
]


@pytest.mark.parametrize("frame, expected", [case[1:] for case in HONEST], ids=[case[0] for case in HONEST])
def test_honest(net, frame, expected):
    assert net.reached("a", frame) == expected


@pytest.mark.parametrize("frame", [case[1] for case in FORGED], ids=[case[0] for case in FORGED])
def test_forged(net, frame):
    assert net.reached("a", frame) == []
    assert net.reached("a", udp(A, B, 53)) == ["b"]


@pytest.mark.parametrize("frames", [case[1] for case in FORGED_FRAGMENTS], ids=[case[0] for case in FORGED_FRAGMENTS])
def test_forged_fragments(net, frames):
    assert net.reached("a", *frames) == []


def test_link_local_to_the_bit(net):
    """No address but that of the own MAC: every one that differs from it in a bit is refused."""
    own = int.from_bytes(IPv6(src=A.local6).build()[8:24], "big")
    wrong = [str(IPv6Address(own ^ 1 << bit)) for bit in range(128)]
    for at in range(0, 128, 16):
        assert net.reached("a", *(sourced(src, 6) for src in wrong[at:at + 16])) == []
    assert net.reached("a", *(na(A, target, src=A.local6) for target in wrong[:16])) == []
    assert net.reached("a", sourced(A.local6, 6)) == ["b"]


def test_fragments_of_a_pair(net):
    """Of whatever MAC of the port."""
    for sender in (A, VRRP):
        assert set(net.reached("a", *fragments(udp(sender, B, 53, size=3000)))) == {"b"}
        assert set(net.reached("a", *fragments(udp(sender, B, 53, size=3000, family=6)))) == {"b"}


def test_a_pair_of_everything(net):
    """A router may speak for all, but for no group, not for zero and not with another MAC."""
    for sender in (OUTSIDE, C):
        for family in (4, 6):
            assert net.reached("r", udp(End(ROUTER.mac, sender.ip, sender.ip6), B, 53, family=family)) == ["b"]
            assert net.reached("r", udp(sender, B, 53, family=family)) == []
    for src in ("0.0.0.0", "0.0.0.1", "224.0.0.1", "239.255.255.255", "255.255.255.255"):
        assert net.reached("r", udp(End(ROUTER.mac, src, "::"), B, 53)) == []
    for src in ("::", "ff02::1", "ff0e::1"):
        assert net.reached("r", udp(End(ROUTER.mac, "0.0.0.0", src), B, 53, family=6)) == []
    assert net.reached("r", arp(ROUTER, B.ip, spa=C.ip)) == ["b"]
    assert net.reached("r", na(ROUTER, C.ip6, src=OUTSIDE.ip6)) == ["b"]
    assert net.reached("r", ra(ROUTER)) == []
    assert net.reached("r", dhcp(ROUTER, 67, 68, src=OUTSIDE.ip)) == []


def test_ends_are_the_ports(net):
    """The table above speaks of the ports that the fixture made."""
    assert end(net.ports["a"]) == A and end(net.ports["b"]) == B and end(net.ports["c"]) == C
