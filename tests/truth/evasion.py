"""Random odd packets, from a seed: what an attacker might send to slip through, layer by layer, alone and in fragments.

`stunts(rng, ends, number, n)` makes them.  A stunt is a list of (end, frame) to be sent in order.  None of its frames may arrive
anywhere, as what is in them is closed to its target; where a stunt mixes closed with open (overlapping fragments), its
`judge` says what may.  All filler bytes are 0x80 and more, so that no header that is read in a wrong place names an open port."""

import struct
from collections import namedtuple

import packets
from verdict import ICMP, ICMPV6, TCP, UDP

OPEN, CLOSED = {TCP: 80, UDP: 53}, {TCP: 81, UDP: 54}
LARGE = 1280  # What a fragment must have, but the last, or the userspace conntrack drops it for its size alone.
# name: for the report.  plain: (version, protocol, sport) of the normal packet that must not follow either.
Stunt = namedtuple("Stunt", "name frames numbers plain judge")

TAG_TYPES = (0x8100, 0x8100, 0x88a8, 0x9100, 0x9200)
OTHER_TYPES = (0x0000, 0x05dd, 0x05ff, 0x0801, 0x1000, 0x22f0, 0x8035, 0x8847, 0x8848, 0x8863, 0x8864, 0x888e, 0x88cc, 0x894f, 0xffff)
EXTENSIONS = (0, 43, 44, 51, 60, 135, 139, 140, 253)
OTHER_PROTOCOLS = (0, 2, 4, 41, 46, 47, 50, 51, 59, 97, 103, 108, 115, 132, 136, 254, 255)
IPV4_OPTIONS = (b"\x01", b"\x00", b"\x07\x07\x04\x80\x80\x80\x80", b"\x83\x07\x04\x8a\x80\x80\x81", b"\x89\x07\x04\x8a\x80\x80\x81", b"\x94\x04\x00\x00",
                b"\x44\x04\x05\x00", b"\x88\x04\x80\x80", b"\xff\x00", b"\x99\x28", b"\x07\x01")


class Maker:
    """Odd packets from `me` to `to`.  ips: {version: (source, target)}; number(): a new marker's number."""

    def __init__(self, rng, me, to, ips, number, sports):
        self.rng, self.me, self.to, self.ips, self.number, self.sports = rng, me, to, ips, number, sports

    def filler(self, least, most):
        return bytes(self.rng.randrange(0x80, 0x100) for _ in range(self.rng.randint(least, most)))

    def marker(self):
        number = self.number()
        self.numbers.append(number)
        return packets.marker(number)

    def stunt(self):
        rng = self.rng
        self.numbers, self.words = [], []
        self.version, self.protocol, self.sport = rng.choice((4, 6)), rng.choice((TCP, UDP)), next(self.sports)
        kind = rng.choices((self.single, self.in_fragments, self.overlapping, self.answering), (60, 20, 12, 8))[0]
        frames, judge = kind()
        return Stunt(f"IPv{self.version} {' '.join(self.words)}", frames, self.numbers, (self.version, self.protocol, self.sport), judge)

    def note(self, *words):
        self.words += [str(word) for word in words]

    # Transport.

    def segment(self):
        """The denied segment, right or odd, with a marker at its end."""
        rng = self.rng
        source, target = self.ips[self.version]
        odd = rng.random()
        if odd < 0.15:
            self.protocol_in_header = rng.choice(OTHER_PROTOCOLS)
            self.note("protocol", self.protocol_in_header)
            return self.filler(0, 30) + self.marker()
        self.protocol_in_header = self.protocol
        port = CLOSED[self.protocol]
        if self.protocol == UDP:
            data = self.filler(0, 20) + self.marker()
            length, checksum = 8 + len(data), 0
            if odd < 0.3:
                length = rng.choice((0, 7, 8, length - 1, length + 1, 65535))
                self.note("UDP length", length)
            head = struct.pack("!HHHH", self.sport, port, length, 0)
            if odd < 0.45:
                checksum = rng.choice((0, 1, 0xffff))
                self.note("UDP checksum", checksum)
                return head[:6] + struct.pack("!H", checksum) + data
            return packets.with_checksum(source, target, UDP, head + data, 6)
        flags = rng.choice((2, 2, 0, 1, 3, 4, 6, 16, 17, 18, 20, 24, 41, 63, 0xc2, rng.randrange(256)))
        offset = rng.choice((5, 5, 5, 5, 0, 4, 6, 15))
        self.note("TCP flags", flags, "offset", offset)
        data = self.filler(0, 20) + self.marker()
        segment = struct.pack("!HHIIBBHHH", self.sport, port, rng.randrange(1 << 32), rng.randrange(1 << 32), offset << 4 | rng.choice((0, 0, 8)),
                              flags, rng.randrange(1 << 16), 0, rng.choice((0, 0x8080))) + data
        if odd < 0.35:
            self.note("TCP checksum")
            return segment
        return packets.with_checksum(source, target, TCP, segment, 16)

    # Network.

    def ipv4(self, protocol, payload, fragment=0x4000, identification=None):
        rng = self.rng
        source, target = self.ips[4]
        options = b""
        if rng.random() < 0.3:
            options = b"".join(rng.choice(IPV4_OPTIONS) for _ in range(rng.randint(1, 4)))[:40]
            options += b"\0" * (-len(options) % 4)
            self.note("options", options.hex())
        first, total = 0x45 + len(options) // 4, 20 + len(options) + len(payload)
        if rng.random() < 0.15:
            first = rng.choice((0x40, 0x44, 0x46, 0x4f, 0x55, 0x65, 0x05))
            self.note("first byte", hex(first))
        if rng.random() < 0.15:
            total = rng.choice((0, 19, 20, 27, total - 1, total + 1, 65535))
            self.note("total length", total)
        head = struct.pack("!BBHHHBBH", first, rng.choice((0, 0xff)), total, rng.randrange(1 << 16) if identification is None else identification,
                           fragment | rng.choice((0, 0, 0, 0x8000)), rng.choice((0, 1, 64, 255)), protocol, 0) + source.packed + target.packed
        checksum = packets.checksum(head + options)
        if rng.random() < 0.1:
            checksum ^= 0x5a5a
            self.note("IP checksum")
        return head[:10] + struct.pack("!H", checksum) + head[12:] + options + payload

    def ipv6(self, protocol, payload):
        rng = self.rng
        source, target = self.ips[6]
        following = protocol
        if rng.random() < 0.5:
            for kind in [rng.choice(EXTENSIONS) for _ in range(rng.choice((1, 1, 2, 3, 8)))]:
                payload, following = self.extension(kind, following) + payload, kind
        length = len(payload)
        if rng.random() < 0.15:
            length = rng.choice((0, 1, 8, length - 1, length + 1, 65535))
            self.note("payload length", length)
        first = 6 if rng.random() < 0.95 else rng.choice((0, 4, 5, 7))
        return struct.pack("!IHBB", first << 28 | rng.choice((0, rng.randrange(1 << 28))), length, following,
                           rng.choice((0, 1, 64, 255))) + source.packed + target.packed + payload

    def extension(self, kind, following):
        rng = self.rng
        self.note("header", kind)
        if kind == 44:
            return struct.pack("!BBHI", following, 0, rng.choice((0, 0, 1, 6)), rng.randrange(1 << 32))
        if kind == 43:
            return struct.pack("!BBBBI", following, 0, rng.choice((0, 2, 4, 253)), rng.choice((0, 1)), 0)
        if kind == 51:
            return struct.pack("!BBHII", following, 1, 0, 1, 1)
        size = rng.choice((0, 0, 1, 3, 255))
        body = struct.pack("!BBBB", following, size, rng.choice((0, 1, 5, 0x3e, 0xc2)), rng.choice((4, 0, 6)))
        return body + b"\0" * (8 + 8 * (size if size < 255 else 0) - len(body))

    def packet(self, protocol, payload, **more):
        if self.version == 4:
            return 0x0800, self.ipv4(protocol, payload, **more)
        return 0x86dd, self.ipv6(protocol, payload)

    # Link.

    def frame(self, eth_type, packet):
        rng = self.rng
        tags = b""
        if rng.random() < 0.3:
            for _ in range(rng.choice((1, 1, 2, 3))):
                kind, tci = rng.choice(TAG_TYPES), rng.choice((0, 0, 1, 5, 100, 4095, 0xe000, 0x1000, 0xffff))
                self.note("tag", hex(kind), hex(tci))
                tags += struct.pack("!HH", kind, tci)
        kind, odd = eth_type, rng.random()
        if odd < 0.06:
            kind = rng.choice(OTHER_TYPES + (0x0800, 0x86dd, 0x0806))
            self.note("type", hex(kind))
        elif odd < 0.16:
            packet = rng.choice((b"\xaa\xaa\x03\0\0\0", b"\xaa\xaa\x03\0\0\0", b"\xaa\xaa\x03\0\0\xf8", b"\xaa\xaa\x03\0\x80\xc2", b"\x42\x42\x03\0\0\0",
                                 b"\xaa\xaa\x7f\0\0\0")) + struct.pack("!H", eth_type) + packet
            kind = rng.choice((len(packet), len(packet), 8, 0x05dc))
            self.note("LLC", packet[:6].hex(), kind)
        if rng.random() < 0.15:
            padding = self.filler(0, 40) + packet[-8:]
            self.note("padding", len(padding))
            packet += padding
        whole = packets.mac_bytes(self.to.mac) + packets.mac_bytes(self.me.mac) + tags + struct.pack("!H", kind) + packet
        if rng.random() < 0.08:
            size = rng.randrange(14, len(whole))
            self.note("cut to", size)
            whole = whole[:size]
        return whole

    # Kinds of stunts.

    def single(self):
        segment = self.segment()
        frame = self.frame(*self.packet(self.protocol_in_header, segment))
        return [(self.me, frame)] * self.rng.choice((1, 1, 2)), None

    def fragment(self, identification, protocol, offset, more, data):
        """A well-formed fragment.  `offset` in units of 8 bytes."""
        source, target = self.ips[self.version]
        if self.version == 4:
            packet = packets.ipv4(source, target, protocol, data, identification=identification, flags_offset=(0x2000 if more else 0) | offset)
            return packets.ether(self.me.mac, self.to.mac, 0x0800, packet)
        header = struct.pack("!BBHI", protocol, 0, offset << 3 | more, identification)
        return packets.ether(self.me.mac, self.to.mac, 0x86dd, packets.ipv6(source, target, 44, header + data))

    def marked_data(self, size):
        """`size` bytes, a multiple of 8, that end with a marker."""
        return self.filler(size - 8, size - 8) + self.marker()

    def in_fragments(self):
        """A denied datagram in odd fragments: tiny, doubled, out of order, with some missing, of several protocols."""
        rng = self.rng
        identification = rng.randrange(1, 1 << 16)
        source, target = self.ips[self.version]
        head = struct.pack("!HHHH", self.sport, CLOSED[UDP], 64, 0) if self.protocol == UDP else \
            struct.pack("!HHI", self.sport, CLOSED[TCP], 0x80808080)
        size = rng.choice((0, 8, 16, LARGE, LARGE, LARGE + 80))
        pieces = [head + (self.marked_data(size) if size else b"")]
        pieces += [self.marked_data(size or 8) for _ in range(rng.randint(0, 3))] + [self.marked_data(rng.choice((8, 16, 24)))]
        if self.protocol == UDP:
            total = sum(map(len, pieces))
            whole = packets.with_checksum(source, target, UDP, head[:4] + struct.pack("!HH", total, 0) + b"".join(pieces)[8:], 6)
            pieces[0] = whole[:len(pieces[0])]
        found, offset = [], 0
        for i, piece in enumerate(pieces):
            found.append(self.fragment(identification, self.protocol, offset // 8, i + 1 < len(pieces), piece))
            offset += len(piece)
        self.note(len(pieces), "fragments, first of", len(pieces[0]))
        trick = rng.choice(("in order", "shuffled", "doubled", "without the first", "without the last", "of another protocol", "the first alone"))
        self.note(trick)
        if trick == "shuffled":
            rng.shuffle(found)
        elif trick == "doubled":
            found += found
        elif trick == "without the first":
            found = found[1:]
        elif trick == "without the last":
            found = found[:-1]
        elif trick == "of another protocol":
            found[0] = self.fragment(identification, ICMP if self.version == 4 else ICMPV6, 0, True, pieces[0])
        elif trick == "the first alone":
            found = found[:1]
        return [(self.me, frame) for frame in found], None

    def overlapping(self):
        """Fragments of an open and of a closed header for the same bytes: however the receiver puts them together, it must not
        get the closed one."""
        rng = self.rng
        identification = rng.randrange(1, 1 << 16)
        size, last_size = rng.choice((LARGE, LARGE + 8, 24)), rng.choice((16, 400))
        self.protocol = UDP
        source, target = self.ips[self.version]
        bodies = [packets.with_checksum(source, target, UDP, struct.pack("!HHHH", self.sport, port, 8 + size + last_size, 0) +
                                        self.marked_data(size) + self.marked_data(last_size), 6) for port in (OPEN[UDP], CLOSED[UDP])]
        first_open = rng.random() < 0.5
        mine, other = bodies if first_open else bodies[::-1]
        head = 8 + size
        rewrite = rng.choice(("nothing", "the same bytes", "the header", "more", "from its second word", "the end", "the last"))
        self.note("fragments of", head, "overlap", rewrite, "open first" if first_open else "closed first")
        first = self.fragment(identification, UDP, 0, True, mine[:head])
        last = self.fragment(identification, UDP, head // 8, False, mine[head:])
        second = {"nothing": [], "the same bytes": [(0, True, other[:head])], "the header": [(0, True, other[:8])],
                  "more": [(0, True, other[:head + 8])], "from its second word": [(1, True, other[8:head + 8])],
                  "the end": [(head // 8 - 1, True, other[head - 8:head])], "the last": [(0, False, other[:head])]}[rewrite]
        found = [first, *(self.fragment(identification, UDP, *piece) for piece in second), last]
        if rng.random() < 0.4:
            rng.shuffle(found)
        return [(self.me, frame) for frame in found], self.no_closed_header

    @staticmethod
    def no_closed_header(arrived):
        """Of what arrived, no fragment has a header to a closed port, or writes over one."""
        for frame in arrived:
            packet = frame[14:]
            if frame[12:14] == b"\x08\0":
                offset, data = (packet[6] & 0x1f) << 8 | packet[7], packet[(packet[0] & 15) * 4:]
            else:
                offset, data = (packet[42] << 8 | packet[43]) >> 3, packet[48:]
            if offset == 0 and data[2:4] != struct.pack("!H", OPEN[UDP]):
                return False
        return True

    def answering(self):
        """The target, which may open nothing, answers a connection that was never opened, and the denied packet follows."""
        rng = self.rng
        source, target = self.ips[self.version]
        port = CLOSED[self.protocol]
        if self.protocol == UDP:
            back, forth = (packets.udp(*ends, *ports, self.marker()) for ends, ports in (
                ((target, source), (port, self.sport)), ((source, target), (self.sport, port))))
        else:
            flags = rng.choice(((18, 16), (16, 16), (24, 24), (20, 2), (17, 17)))
            self.note("TCP flags", *flags)
            back = packets.tcp(target, source, port, self.sport, flags[0], 7000, 301, self.marker())
            forth = packets.tcp(source, target, self.sport, port, flags[1], 301, 7001, self.marker())
        self.note("answer first")
        return [(self.to, packets.ether(self.to.mac, self.me.mac, *packets.internet(target, source, self.protocol, back))),
                (self.me, packets.ether(self.me.mac, self.to.mac, *packets.internet(source, target, self.protocol, forth)))], None


def plain_frames(ends, ips, plain, marker):
    """Normal packets of the connection that a stunt was about, all of them denied: [(end, frame)]."""
    version, protocol, sport = plain
    me, to = ends
    source, target = ips[version]
    port = CLOSED[protocol]
    if protocol == UDP:
        segments = [packets.udp(source, target, sport, port, marker())]
    else:
        segments = [packets.tcp(source, target, sport, port, flags, 1000, 0 if flags == packets.SYN else 1, marker()) for flags in
                    (packets.SYN, packets.ACK, packets.ACK | packets.PSH)]
    return [(me, packets.ether(me.mac, to.mac, *packets.internet(source, target, protocol, segment))) for segment in segments]
