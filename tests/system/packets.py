"""Packets as short words: who sends what to whom.

An End is a MAC and its addresses: of a server port, or of somebody behind an uplink.
"""

import dataclasses

from scapy.layers.inet import GRE, ICMP, IP, TCP, UDP  # noqa: F401  (names for the tests)
from scapy.layers.inet6 import (ICMPv6DestUnreach, ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6ND_RA, ICMPv6ND_Redirect,
                                ICMPv6ND_RS, ICMPv6NDOptDstLLAddr, ICMPv6NDOptSrcLLAddr, IPv6, IPv6ExtHdrFragment)  # noqa: F401
from scapy.layers.l2 import ARP, Dot1Q, Ether  # noqa: F401
from scapy.layers.sctp import SCTP, SCTPChunkInit  # noqa: F401
from scapy.packet import Raw

from bridges import link_local

BROADCAST = "ff:ff:ff:ff:ff:ff"


@dataclasses.dataclass
class End:
    mac: str
    ip: str
    ip6: str

    @property
    def local6(self):
        return link_local(self.mac)


FAMILIES = (4, 6)
OUTSIDE = End("02:00:00:00:ff:01", "203.0.113.9", "2001:db8:ff::9")
ELSEWHERE = End("02:00:00:00:ff:02", "198.51.100.7", "2001:db8:ee::7")


def end(port):
    """The End of a server port: its first address of each family."""
    return End(port.mac, next(ip for ip in port.ips if "." in ip), next(ip for ip in port.ips if ":" in ip))


def ip(src, dst, family=4, **fields):
    if family == 4:
        return Ether(src=src.mac, dst=dst.mac) / IP(src=src.ip, dst=dst.ip, **fields)
    return Ether(src=src.mac, dst=dst.mac) / IPv6(src=src.ip6, dst=dst.ip6, **fields)


def udp(src, dst, dport, sport=40000, family=4, size=20, **fields):
    return ip(src, dst, family, **fields) / UDP(sport=sport, dport=dport) / Raw(b"u" * size)


def tcp(src, dst, dport, sport=40000, family=4, flags="S", seq=1000, ack=0):
    return ip(src, dst, family) / TCP(sport=sport, dport=dport, flags=flags, seq=seq, ack=ack, window=65535)


def sctp(src, dst, dport, sport=40000, family=4):
    return ip(src, dst, family) / SCTP(sport=sport, dport=dport) / SCTPChunkInit(init_tag=1)


def gre(src, dst, family=4):
    return ip(src, dst, family, **({"proto": 47} if family == 4 else {"nh": 47})) / GRE(proto=0x0800) / Raw(b"g" * 30)


def ping(src, dst, family=4, ident=1, reply=False):
    if family == 4:
        return ip(src, dst) / ICMP(type=0 if reply else 8, id=ident) / Raw(b"p" * 20)
    return ip(src, dst, 6) / (ICMPv6EchoReply if reply else ICMPv6EchoRequest)(id=ident, data=b"p" * 20)


def unreachable(src, dst, cause, family=4):
    """From `src` (an End) to `dst`: what `cause`, a frame that `dst` sent, could not reach its port."""
    if family == 4:
        return ip(src, dst) / ICMP(type=3, code=3) / cause[IP]
    return ip(src, dst, 6) / ICMPv6DestUnreach(code=4) / cause[IPv6]


def fragments(frame, size=1440, ident=0x1234):
    """The fragments of an IPv4 or IPv6 frame, `size` bytes of payload each but the last."""
    if IP in frame:
        whole = IP(bytes(frame[IP]))  # Lengths and checksums filled in.
        payload = bytes(whole.payload)
        parts = [payload[at:at + size] for at in range(0, len(payload), size)]
        return [Ether(src=frame.src, dst=frame.dst) /
                IP(src=whole.src, dst=whole.dst, proto=whole.proto, id=ident, flags="MF" if i < len(parts) - 1 else 0, frag=i * size // 8) /
                Raw(part) for i, part in enumerate(parts)]
    whole = IPv6(bytes(frame[IPv6]))
    payload = bytes(whole.payload)
    parts = [payload[at:at + size] for at in range(0, len(payload), size)]
    return [Ether(src=frame.src, dst=frame.dst, type=0x86DD) / IPv6(src=whole.src, dst=whole.dst, nh=44) /
            IPv6ExtHdrFragment(nh=whole.nh, id=ident,
                               m=int(i < len(parts) - 1), offset=i * size // 8) /
            Raw(part) for i, part in enumerate(parts)]


class Tcp:
    """One TCP connection with numbers that conntrack accepts."""

    def __init__(self, client, server, dport, sport=40000, family=4):
        self.client, self.server, self.dport, self.sport, self.family = client, server, dport, sport, family
        self.seq = {True: 1000, False: 5000}  # By "from the client".

    def segment(self, from_client, flags, data=b""):
        src, dst = (self.client, self.server) if from_client else (self.server, self.client)
        sport, dport = (self.sport, self.dport) if from_client else (self.dport, self.sport)
        frame = ip(src, dst, self.family) / TCP(sport=sport, dport=dport, flags=flags, seq=self.seq[from_client],
                                                ack=0 if flags == "S" else self.seq[not from_client], window=65535)
        self.seq[from_client] += len(data) + ("S" in flags or "F" in flags)
        return frame / Raw(data) if data else frame

    def handshake(self):
        """[(from the client, frame), ...]"""
        return [(True, self.segment(True, "S")), (False, self.segment(False, "SA")), (True, self.segment(True, "A"))]
