"""Odd packets.  None gets past the rules, none opens a way for a denied one after it, none closes it for an allowed one.

Rules here: s2 may send all; s1 takes UDP 53 and TCP 80 from it, and nothing else."""

import struct

import packets
import pytest
import rounds
from packets import ACK, FIN, PSH, RST, SYN
from policy import Probe
from verdict import ICMP, TCP, UDP

SPORT = 7000
OPEN = {TCP: 80, UDP: 53}
CLOSED = {TCP: 81, UDP: 54}


@pytest.fixture(scope="module")
def narrow_rules(lab):
    sender, receiver = (next(server for server in lab.world.servers if server.name == name) for name in ("s2", "s1"))
    outbound, inbound = [group for group in lab.world.groups if group.region == "SV2"][:2]
    outbound.rules = [{"direction": "outbound", "action": "allow", "protocol": "any"}]
    inbound.rules = [{"direction": "inbound", "action": "allow", "protocol": name, "port_min": port, "port_max": port}
                     for name, port in (("tcp", OPEN[TCP]), ("udp", OPEN[UDP]))]
    for server in lab.world.servers:
        server.groups = []
    sender.groups, receiver.groups = [outbound], [inbound]
    for thing in [outbound, inbound] + lab.world.servers:
        lab.apply(thing)
    lab.await_datapath()
    lab.forget_connections()
    return Ends(lab)


class Ends:
    def __init__(self, lab):
        self.me, self.to = (next(end for end in lab.world.ends if end.name == name) for name in ("s2-A", "s1-A"))
        self.ips = {version: tuple(next(ip for ip in end.ips if ip.version == version) for end in (self.me, self.to)) for version in (4, 6)}
        self.sport = SPORT

    def probe(self, version, protocol, port):
        self.sport += 1
        return Probe(self.me, self.to, *self.ips[version], protocol, self.sport, port, -1, -1, None)

    def ether(self, eth_type, payload):
        return packets.ether(self.me.mac, self.to.mac, eth_type, payload)


def segment(ends, version, protocol, port, number, flags=SYN):
    source, target = ends.ips[version]
    ends.sport += 1
    if protocol == UDP:
        return packets.udp(source, target, ends.sport, port, packets.marker(number))
    return packets.tcp(source, target, ends.sport, port, flags, 1000, 0, packets.marker(number))


def tagged(*tags):
    """A datagram behind VLAN tags."""
    def make(ends, version, number):
        eth_type, packet = packets.internet(*ends.ips[version], UDP, segment(ends, version, UDP, OPEN[UDP], number))
        plain = ends.ether(eth_type, packet)
        return plain[:12] + b"".join(struct.pack("!HH", kind, tag) for kind, tag in tags) + plain[12:]
    return make


def snap(ends, version, number):
    """802.2 LLC with SNAP, which carries IP all the same (RFC 1042): the switch looks into it and so do the rules."""
    eth_type, packet = packets.internet(*ends.ips[version], UDP, segment(ends, version, UDP, CLOSED[UDP], number))
    body = b"\xaa\xaa\x03\0\0\0" + struct.pack("!H", eth_type) + packet
    return ends.ether(len(body), body)


def vlan_in_snap(ends, version, number):
    eth_type, packet = packets.internet(*ends.ips[version], UDP, segment(ends, version, UDP, OPEN[UDP], number))
    body = b"\xaa\xaa\x03\0\0\0\x81\0" + struct.pack("!HH", 0, eth_type) + packet
    return ends.ether(len(body), body)


def other_ether_type(eth_type):
    def make(ends, version, number):
        _, packet = packets.internet(*ends.ips[version], UDP, segment(ends, version, UDP, OPEN[UDP], number))
        return ends.ether(eth_type, packet)
    return make


def with_flags(flags):
    """A TCP segment to a closed port with odd flags."""
    def make(ends, version, number):
        eth_type, packet = packets.internet(*ends.ips[version], TCP, segment(ends, version, TCP, CLOSED[TCP], number, flags))
        return ends.ether(eth_type, packet)
    return make


def numbered(protocol):
    """A packet of another IP protocol."""
    def make(ends, version, number):
        eth_type, packet = packets.internet(*ends.ips[version], protocol, b"\0" * 16 + packets.marker(number))
        return ends.ether(eth_type, packet)
    return make


def land(protocol):
    """Its own source as destination."""
    def make(ends, version, number):
        source = ends.ips[version][0]
        body = packets.udp(source, source, 55, 55, packets.marker(number)) if protocol == UDP else \
            packets.tcp(source, source, 55, 55, SYN, 1, 0, packets.marker(number))
        eth_type, packet = packets.internet(source, source, protocol, body)
        return ends.ether(eth_type, packet)
    return make


def from_target(ends, version, number):
    """The target's own address as source."""
    target = ends.ips[version][1]
    eth_type, packet = packets.internet(target, target, UDP, packets.udp(target, target, 55, OPEN[UDP], packets.marker(number)))
    return ends.ether(eth_type, packet)


def fragment(offset, more, port):
    """One fragment alone: it is never whole, so it never arrives."""
    def make(ends, version, number):
        source, target = ends.ips[version]
        body = segment(ends, version, UDP, port, number)
        body += b"\0" * (-(len(body) + 8) % 8) + packets.marker(number)  # A multiple of 8 that ends with the marker.
        if version == 4:
            packet = packets.ipv4(source, target, UDP, body, identification=number & 0xffff, flags_offset=(0x2000 if more else 0) | offset)
        else:
            header = struct.pack("!BBHI", UDP, 0, offset << 3 | more, number)
            packet = packets.ipv6(source, target, 44, header + body)
        return ends.ether(0x0800 if version == 4 else 0x86dd, packet)
    return make


def short_transport(length):
    """A transport header cut off."""
    def make(ends, version, number):
        body = struct.pack("!HHHH", 56, OPEN[UDP], 8, 0)[:length]
        eth_type, packet = packets.internet(*ends.ips[version], UDP, body)
        return ends.ether(eth_type, packet) + packets.marker(number)
    return make


def wrong_checksum(ends, version, number):
    body = bytearray(segment(ends, version, UDP, OPEN[UDP], number))
    body[6] ^= 0x55
    eth_type, packet = packets.internet(*ends.ips[version], UDP, bytes(body))
    return ends.ether(eth_type, packet)


def options(ends, version, number, port=CLOSED[UDP]):
    """IPv4 options, or an IPv6 destination options header, before a denied datagram."""
    source, target = ends.ips[version]
    body = segment(ends, version, UDP, port, number)
    if version == 4:
        return ends.ether(0x0800, packets.ipv4(source, target, UDP, body, options=b"\x01" * 8))
    return ends.ether(0x86dd, packets.ipv6(source, target, 60, struct.pack("!BBBB4s", UDP, 0, 1, 4, b"\0" * 4) + body))


def headers(*numbers):
    """IPv6 extension headers before a denied datagram."""
    def make(ends, version, number):
        body, following = segment(ends, 6, UDP, CLOSED[UDP], number), UDP
        for kind in reversed(numbers):
            body, following = struct.pack("!BBBB4s", following, 0, 1, 4, b"\0" * 4) + body, kind
        return ends.ether(0x86dd, packets.ipv6(*ends.ips[6], following, body))
    return make


def short_ip(ends, version, number):
    """An IP header that says more than there is."""
    eth_type, packet = packets.internet(*ends.ips[version], UDP, segment(ends, version, UDP, OPEN[UDP], number))
    packet = packet[:2] + struct.pack("!H", 9000) + packet[4:] if version == 4 else packet[:4] + struct.pack("!H", 9000) + packet[6:]
    return ends.ether(eth_type, packet)


def foreign_version(ends, version, number):
    """IPv4's Ethernet type before an IPv6 header, and the other way round."""
    eth_type, packet = packets.internet(*ends.ips[version], UDP, segment(ends, version, UDP, OPEN[UDP], number))
    return ends.ether(0x86dd if eth_type == 0x0800 else 0x0800, packet)


def unsolicited_error(ends, version, number):
    """An ICMP error about a packet that nobody has sent."""
    source, target = ends.ips[version]
    _, inner = packets.internet(target, source, UDP, packets.udp(target, source, 4444, 5555, packets.marker(number)))
    protocol, kind = (ICMP, 3) if version == 4 else (58, 1)
    eth_type, packet = packets.internet(source, target, protocol, packets.icmp(source, target, protocol, kind, 1, b"\0" * 4, inner))
    return ends.ether(eth_type, packet)


ODD = {
    "802.1Q": tagged((0x8100, 5)), "VLAN 0": tagged((0x8100, 0)), "priority tag": tagged((0x8100, 0xe000)), "tag 100": tagged((0x8100, 100)),
    "QinQ": tagged((0x88a8, 5), (0x8100, 6)), "QinQ, VLAN 0": tagged((0x88a8, 0), (0x8100, 0)), "two VLAN 0": tagged((0x8100, 0), (0x8100, 0)),
    "three tags": tagged((0x8100, 0), (0x8100, 0), (0x8100, 0)), "0x9100": tagged((0x9100, 0)), "LLC/SNAP": snap, "VLAN in SNAP": vlan_in_snap,
    "trailer type": other_ether_type(0x1000), "MPLS": other_ether_type(0x8847), "PPPoE": other_ether_type(0x8864), "type 0xffff": other_ether_type(0xffff),
    "null scan": with_flags(0), "FIN": with_flags(FIN), "Xmas": with_flags(FIN | PSH | 32), "SYN FIN": with_flags(SYN | FIN), "RST": with_flags(RST),
    "ACK": with_flags(ACK), "SYN ACK": with_flags(SYN | ACK), "all flags": with_flags(63), "SYN": with_flags(SYN), "SYN ECE CWR": with_flags(SYN | 0xc0),
    "protocol 0": numbered(0), "protocol 4": numbered(4), "protocol 41": numbered(41), "protocol 47": numbered(47), "protocol 59": numbered(59),
    "protocol 132": numbered(132), "protocol 255": numbered(255), "land UDP": land(UDP), "land TCP": land(TCP), "from the target": from_target,
    "first fragment, open port": fragment(0, 1, OPEN[UDP]), "first fragment, closed port": fragment(0, 1, CLOSED[UDP]),
    "later fragment": fragment(1, 0, OPEN[UDP]), "fragment in the middle": fragment(4, 1, OPEN[UDP]), "last offset": fragment(8191, 0, OPEN[UDP]),
    "no transport header": short_transport(0), "half a transport header": short_transport(3), "wrong checksum": wrong_checksum,
    "options": options, "length too great": short_ip, "another IP version": foreign_version, "unsolicited ICMP error": unsolicited_error,
}
ONLY_IPV6 = {
    "hop-by-hop": headers(0), "destination options": headers(60), "routing": headers(43), "hop-by-hop and routing": headers(0, 43, 60),
    "eight headers": headers(*[60] * 8), "hop-by-hop twice": headers(0, 0),
}


@pytest.mark.parametrize("version", (4, 6))
@pytest.mark.parametrize("name", [*ODD, *ONLY_IPV6])
def test_odd_packet_then_denied_and_allowed(lab, prober, narrow_rules, name, version):
    if name in ONLY_IPV6 and version == 4:
        pytest.skip("an IPv6 header")
    ends, make = narrow_rules, ODD.get(name) or ONLY_IPV6[name]
    numbers = [prober.number() for _ in range(3)]
    prober.exchange([(ends.me, make(ends, version, number)) for number in numbers])
    assert not [prober.arrivals.pop(number) for number in numbers if number in prober.arrivals], "it arrived"
    judge = rounds.Judge(lab, prober)
    for again in range(2):
        judge.expect([(ends.probe(version, protocol, CLOSED[protocol]), "open", False, False) for protocol in (TCP, UDP)])
        judge.expect([(ends.probe(version, protocol, OPEN[protocol]), "open", False, True) for protocol in (TCP, UDP)])
        prober.exchange([(ends.me, make(ends, version, number)) for number in (prober.number(),)])
    assert not judge.mismatches, judge.mismatches
    rounds.check_unmarked(judge)
    assert not judge.mismatches, judge.mismatches


@pytest.mark.parametrize("version", (4, 6))
def test_allowed_with_options(lab, prober, narrow_rules, version):
    """Options and extension headers change nothing about an allowed datagram."""
    number = prober.number()
    prober.exchange([(narrow_rules.me, options(narrow_rules, version, number, OPEN[UDP]))])
    assert [end.name for end, _ in prober.arrivals.pop(number, [])] == ["s1-A"]
