"""Frames as bytes: fast to make, checksums right (the userspace conntrack calls a wrong one invalid).

Every frame ends with a marker: 4 bytes of magic and a 4-byte number, by which the receiver knows it.
"""

import ipaddress
import struct

from verdict import ICMP, ICMPV6, SCTP, TCP, UDP

MAGIC = b"\xa5Sp\x5a"
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
ECHO, ECHO_REPLY, ECHO6, ECHO6_REPLY = 8, 0, 128, 129
# What the userspace conntrack takes for the opening of an exchange, and its answer.
QUERY_ANSWERS = {(ICMP, 8): 0, (ICMP, 13): 14, (ICMP, 15): 16, (ICMPV6, 128): 129}
SERVER_SEQ, CLIENT_SEQ = 700000, 300000


def marker(number):
    return MAGIC + struct.pack("!I", number)


def marked(frame):
    """The number in a frame's marker, or None."""
    if frame[-8:-4] != MAGIC:
        return None
    return int.from_bytes(frame[-4:], "big")


def checksum(data):
    """RFC 1071.  65536 is 1 modulo 65535, so the ones' complement sum of 16-bit words is the whole number's remainder."""
    if len(data) % 2:
        data += b"\0"
    return 0xffff - int.from_bytes(data, "big") % 0xffff


def _crc32c_table():
    table = []
    for i in range(256):
        for _ in range(8):
            i = i >> 1 ^ (0x82f63b78 if i & 1 else 0)
        table.append(i)
    return table


CRC32C = _crc32c_table()


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc = crc >> 8 ^ CRC32C[(crc ^ byte) & 0xff]
    return crc ^ 0xffffffff


def mac_bytes(mac):
    return bytes.fromhex(mac.replace(":", ""))


def ether(source, target, eth_type, payload):
    return mac_bytes(target) + mac_bytes(source) + struct.pack("!H", eth_type) + payload


def ipv4(source, target, protocol, payload, ttl=64, identification=0, flags_offset=0x4000, options=b""):
    head = struct.pack("!BBHHHBBH", 0x45 + len(options) // 4, 0, 20 + len(options) + len(payload), identification, flags_offset,
                       ttl, protocol, 0) + source.packed + target.packed + options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ipv6(source, target, protocol, payload, hop_limit=64):
    return struct.pack("!IHBB", 6 << 28, len(payload), protocol, hop_limit) + source.packed + target.packed + payload


def with_checksum(source, target, protocol, segment, at):
    """`segment` with the transport checksum over the pseudo header filled in at offset `at`."""
    if source.version == 4:
        pseudo = source.packed + target.packed + struct.pack("!BBH", 0, protocol, len(segment))
    else:
        pseudo = source.packed + target.packed + struct.pack("!II", len(segment), protocol)
    value = checksum(pseudo + segment)
    if protocol == UDP and value == 0:
        value = 0xffff
    return segment[:at] + struct.pack("!H", value) + segment[at + 2:]


def tcp(source, target, sport, dport, flags, seq, ack, data):
    segment = struct.pack("!HHIIBBHHH", sport, dport, seq, ack, 5 << 4, flags, 65000, 0, 0) + data
    return with_checksum(source, target, TCP, segment, 16)


def udp(source, target, sport, dport, data):
    return with_checksum(source, target, UDP, struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data, 6)


def sctp(sport, dport, chunk_type, data):
    """One chunk that carries `data`; the marker needs no padding, as it is 8 bytes long."""
    chunk = struct.pack("!BBH", chunk_type, 0, 4 + len(data)) + data
    head = struct.pack("!HHI", sport, dport, 0 if chunk_type == 1 else 0x5a5a5a5a)
    return head + struct.pack("<I", crc32c(head + b"\0\0\0\0" + chunk)) + chunk


def icmp(source, target, protocol, icmp_type, icmp_code, rest, data):
    message = struct.pack("!BBH", icmp_type, icmp_code, 0) + rest + data
    if protocol == ICMPV6:
        return with_checksum(source, target, ICMPV6, message, 2)
    return message[:2] + struct.pack("!H", checksum(message)) + message[4:]


def internet(source, target, protocol, payload):
    """An IP packet of the addresses' family, and its Ethernet type."""
    if source.version == 4:
        return 0x0800, ipv4(source, target, protocol, payload)
    return 0x86dd, ipv6(source, target, protocol, payload)


def transport(probe, stage, is_answer, number):
    """The transport segment of `probe`'s connection.  stage: "open" or "data"."""
    source, target, sport, dport = probe.source_ip, probe.target_ip, probe.sport, probe.dport
    if is_answer:
        source, target, sport, dport = target, source, dport, sport
    data = marker(number)
    if probe.protocol == TCP:
        seq, ack = (SERVER_SEQ, CLIENT_SEQ + 1) if is_answer else (CLIENT_SEQ, 0)
        if stage == "open":
            # Options carry the marker: data in a SYN would move the sequence numbers.
            return tcp_opening(source, target, sport, dport, SYN | ACK if is_answer else SYN, seq, ack, data)
        return tcp(source, target, sport, dport, ACK | PSH, seq + 1, ack if is_answer else SERVER_SEQ + 1, data)
    if probe.protocol == UDP:
        return udp(source, target, sport, dport, data)
    if probe.protocol == SCTP:
        chunk = (2 if is_answer else 1) if stage == "open" else 0
        return sctp(sport, dport, chunk, b"\0" * 16 + data)
    if probe.protocol in (ICMP, ICMPV6):
        icmp_type = probe.icmp_type
        if is_answer:
            icmp_type = QUERY_ANSWERS[probe.protocol, icmp_type]
        return icmp(source, target, probe.protocol, icmp_type, probe.icmp_code, struct.pack("!HH", probe.sport, 1), b"\0" * 24 + data)
    return b"\0" * 16 + data


def tcp_opening(source, target, sport, dport, flags, seq, ack, data):
    options = b"\x01\x01" + struct.pack("!BB", 253, 2 + len(data)) + data  # RFC 4727: an experiment's option.
    segment = struct.pack("!HHIIBBHHH", sport, dport, seq, ack, (20 + len(options)) // 4 << 4, flags, 65000, 0, 0) + options
    return with_checksum(source, target, TCP, segment, 16)


def frame(probe, stage, is_answer, number):
    """The whole frame of a probe's connection, in its own direction or in the answer's.  stage "error" is an answer too."""
    if stage == "error":
        return error(probe, number)
    ends, ips = (probe.source, probe.target), (probe.source_ip, probe.target_ip)
    macs = (probe.source_mac or ends[0].mac, ends[1].mac)
    if is_answer:
        ips, macs = ips[::-1], macs[::-1]
    eth_type, packet = internet(*ips, probe.protocol, transport(probe, stage, is_answer, number))
    return ether(*macs, eth_type, packet)


def error(probe, number):
    """The ICMP error "port unreachable" by which the target answers the packet that opens `probe`'s connection."""
    source, target = probe.source_ip, probe.target_ip
    _, packet = internet(source, target, probe.protocol, transport(probe, "open", False, number))
    protocol, kind, code = (ICMP, 3, 3) if source.version == 4 else (ICMPV6, 1, 4)
    message = icmp(target, source, protocol, kind, code, b"\0\0\0\0", packet)
    return ether(probe.target.mac, probe.source_mac or probe.source.mac, *internet(target, source, protocol, message))


def arp(operation, sender_mac, sender_ip, target_mac, target_ip, number, source=None, target="ff:ff:ff:ff:ff:ff"):
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + mac_bytes(sender_mac) + sender_ip.packed + \
        mac_bytes(target_mac) + target_ip.packed
    return ether(source or sender_mac, target, 0x0806, body + b"\0" * 10 + marker(number))


# Neighbour discovery, DHCP and the like, for what is judged by other things than rules.

def all_nodes():
    return ipaddress.IPv6Address("ff02::1"), "33:33:00:00:00:01"


def solicited_node(target):
    return ipaddress.IPv6Address(bytes.fromhex("ff0200000000000000000001ff") + target.packed[-3:]), \
        "33:33:ff:" + ":".join(f"{octet:02x}" for octet in target.packed[-3:])


def nd(ether_source, ether_target, source, target, kind, body, hop_limit=255, code=0, number=0):
    """A neighbour discovery message; the marker hides behind the packet's end, where Ethernet's padding is."""
    message = icmp(source, target, ICMPV6, kind, code, b"", body)
    return ether(ether_source, ether_target, 0x86dd, ipv6(source, target, ICMPV6, message, hop_limit)) + marker(number)


def link_layer_option(kind, mac):
    return struct.pack("!BB", kind, 1) + mac_bytes(mac)


def dhcp(ether_source, ether_target, source, target, sport, dport, number):
    return ether(ether_source, ether_target, *_udp_packet(source, target, sport, dport, b"\1" + b"\0" * 239 + marker(number)))


def _udp_packet(source, target, sport, dport, data):
    return internet(source, target, UDP, udp(source, target, sport, dport, data))


def datagram(ether_source, ether_target, source, target, dport, number, sport=33333):
    return ether(ether_source, ether_target, *_udp_packet(source, target, sport, dport, marker(number)))
