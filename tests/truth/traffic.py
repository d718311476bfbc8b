"""Conversations by the thousand that go on while something else happens, and how each fared.

A conversation is a probe that was opened and answered.  It has four kinds of packets:

    DATA           from the source to the target
    ANSWER         back
    ERROR          an ICMP error of the target about DATA
    ANSWER_ERROR   an ICMP error of the source about ANSWER

A packet's marker says which conversation it belongs to, which kind it is, and the generation: what is sent while the same
state of things is to be judged.  So a packet that comes late is still counted where it belongs.

Nothing is lost for want of room.  Each end sends a short burst that ends with a sentinel (probe.py), and the next one when the
sentinel has arrived: never more is under way than the sockets on the way hold, however slow the machine is.  Should a
packet get lost all the same, drops() tells whether some socket or the datapath dropped it: then the machine failed, not the product.
"""

import concurrent.futures
import re
import socket
import struct
import time
from collections import Counter

import ovs
import packets
from packets import marker
from probe import ETH_P_ALL, SENTINEL_BASE, Prober, ProbeError
from verdict import ICMP, ICMPV6

DATA, ANSWER, ERROR, ANSWER_ERROR = range(4)
N_KINDS = 4
BURST = 24  # Frames of one end in flight, less the sentinel: the switch's packet socket holds some 250.
GENERATION_SHIFT = 22
SO_TIMESTAMPNS = 35
SOL_PACKET, PACKET_STATISTICS, PACKET_IGNORE_OUTGOING = 263, 6, 23
RESEND_S = 0.5
PATIENCE_S = 60
SILENT_S = 0.002  # Between two bursts of ends that cannot have a sentinel: drops() tells if it was too short.


def error_about(packet_ends, packet_ips, protocol, segment, number):
    """An ICMP error about a packet from `packet_ends[0]` to `packet_ends[1]` (each the MAC of one), sent by the latter."""
    eth_type, packet = packets.internet(*packet_ips, protocol, segment)
    # ICMP has 8 bytes of the transport at least, ICMPv6 all that there is room for (RFC 792; RFC 4443, 2.4 (c)).
    inner = packet[:28] if eth_type == 0x0800 else packet
    source, target = packet_ips[1], packet_ips[0]
    if eth_type == 0x0800:
        body = packets.ipv4(source, target, ICMP, packets.icmp(source, target, ICMP, 3, 3, b"\0" * 4, inner + marker(number)))
    else:
        body = packets.ipv6(source, target, ICMPV6, packets.icmp(source, target, ICMPV6, 1, 4, b"\0" * 4, inner + marker(number)))
    return packets.ether(packet_ends[1], packet_ends[0], eth_type, body)


def frame_of(probe, stage, kind, number):
    if kind in (DATA, ANSWER):
        return packets.frame(probe, stage, kind == ANSWER, number)
    is_answer = kind == ANSWER_ERROR
    ends, ips = (probe.source_mac or probe.source.mac, probe.target.mac), (probe.source_ip, probe.target_ip)
    if is_answer:
        ends, ips = ends[::-1], ips[::-1]
    return error_about(ends, ips, probe.protocol, packets.transport(probe, stage, is_answer, number), number)


# One thread for all: what a thread starts with PR_SET_PDEATHSIG, as topology/ovs.py does, ends with that thread.
_ACTIONS = concurrent.futures.ThreadPoolExecutor(1)


class Tally:
    """What became of the packets of one generation, by `conversation * N_KINDS + kind`."""

    def __init__(self, size):
        self.sent, self.got, self.last_ns = [0] * size, [0] * size, [0] * size
        self.strange = []  # (index, end) of what came to another end or came changed, which counts as nothing got.


class Traffic(Prober):
    """Conversations of one lab, numbered by their place in `probes`."""

    def __init__(self, lab, probes=()):
        super().__init__(lab)
        for sock in self._sockets.values():
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.lab, self.probes = lab, list(probes)
        self.silent = set()  # Ends that belong to nobody now: not even their sentinels may pass.
        self.foreign = []    # (number, end, when in ns) of marked frames that are not ours.
        self._generation, self._tallies, self._frames = 0, {}, {}
        self._socket_drops = Counter()
        self._drops_before = self._count_drops()

    @staticmethod
    def open_socket(netns, interface="eth0"):
        """A socket that hears what comes to an interface that is no end of the world's."""
        with ovs.inside(netns):
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            sock.bind((interface, ETH_P_ALL))
        sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        sock.setblocking(False)
        return sock

    def collect(self, timeout=0.0):
        for fd, _ in self._epoll.poll(timeout):
            end = self._by_fd[fd]
            receive = self._sockets[end].recvmsg
            while True:
                try:
                    frame, ancillary, _, _ = receive(4096, 64)
                except BlockingIOError:
                    break
                self._take(end, frame, ancillary)

    def _take(self, end, frame, ancillary):
        number = packets.marked(frame)
        if number is None:
            self.unmarked.append((end, frame))
            return
        tally = self._tallies.get(number >> GENERATION_SHIFT)
        seconds, nanoseconds = struct.unpack("@qq", ancillary[0][2])
        when_ns = seconds * 1000000000 + nanoseconds
        if number >= SENTINEL_BASE:
            self.arrivals[number].append((end, None))
            return
        if tally is None:
            self.foreign.append((number, end, when_ns))
            return
        index = number & (1 << GENERATION_SHIFT) - 1
        if end is not self.target(index) or frame != self._frames[number >> GENERATION_SHIFT][index]:
            tally.strange.append((index, end))
            return
        tally.got[index] += 1
        tally.last_ns[index] = when_ns

    def sender(self, index):
        probe = self.probes[index // N_KINDS]
        return probe.source if index % N_KINDS in (DATA, ANSWER_ERROR) else probe.target

    def target(self, index):
        probe = self.probes[index // N_KINDS]
        return probe.target if index % N_KINDS in (DATA, ANSWER_ERROR) else probe.source

    def describe(self, index):
        probe = self.probes[index // N_KINDS]
        kind = ("data", "answer", "error about data", "error about the answer")[index % N_KINDS]
        return (f"{kind}: {probe.source} {probe.source_ip} -> {probe.target} {probe.target_ip} protocol {probe.protocol} sport {probe.sport} "
                f"dport {probe.dport} type {probe.icmp_type}")

    def _neighbour(self, end):
        return next(other for other in self.world.ends if other is not end and other.domain == end.domain and other not in self.silent)

    def settle(self, ends):
        super().settle([end for end in ends if end not in self.silent])
        if self.silent & set(ends):
            self._await_empty_sockets()

    def _await_empty_sockets(self):
        """What silent ends have sent has been taken out of the switch's sockets, and what came after it as well."""
        ovs.wait_until(lambda: not any(map(int, re.findall(r"skmem:\(r(\d+)", self._switch_sockets()))), "the switch has taken all packets", 20)
        super().settle([end for end in self.world.ends if end not in self.silent])

    def run(self, indices, stage="data", action=None, rest_s=0.0):
        """Sends the packets of `indices` round and round while `action` runs in a thread, and at least once each.  Returns a Tally
        when all have been dealt with, and the action's result.  `rest_s`: between two bursts."""
        self._generation += 1
        generation = self._generation
        assert generation < 0xf0000000 >> GENERATION_SHIFT
        size = len(self.probes) * N_KINDS
        tally = self._tallies[generation] = Tally(size)
        self._frames[generation] = frames = {}
        queues = {}
        for index in indices:
            probe, kind = self.probes[index // N_KINDS], index % N_KINDS
            frames[index] = frame_of(probe, stage, kind, generation << GENERATION_SHIFT | index)
            queues.setdefault(self.sender(index), []).append(index)
        outcome = _ACTIONS.submit(action or (lambda: None))
        positions = Counter()
        once = False
        while not once or not outcome.done():
            self._turn(queues, positions, frames, tally)
            if all(positions[end] >= len(queue) for end, queue in queues.items()):
                once = True
                positions.clear()
            if rest_s:
                time.sleep(rest_s)
        self.settle(queues)
        self._forget(generation)
        return tally, outcome.result()

    def _forget(self, generation):
        """Tallies stay for what comes late; their frames need not."""
        for old in [number for number in self._frames if number < generation - 1]:
            del self._frames[old], self._tallies[old]

    def _turn(self, queues, positions, frames, tally):
        """One burst of each end."""
        active = []
        for end, queue in queues.items():
            at = positions[end]
            if at >= len(queue):
                continue
            active.append(end)
            for index in queue[at:at + BURST]:
                self.send(end, frames[index])
                tally.sent[index] += 1
            positions[end] = at + BURST
        self._await_sentinels([end for end in active if end not in self.silent])
        if self.silent & set(active):
            time.sleep(SILENT_S)

    def _await_sentinels(self, ends):
        waiting = {end: [self.sentinel(end)] for end in ends}
        begin = resend = time.monotonic()
        while waiting:
            self.collect(0.05)
            for end in [end for end, numbers in waiting.items()
                        if end in self.silent or any(number in self.arrivals for number in numbers)]:
                del waiting[end]
            now = time.monotonic()
            if waiting and now > resend + RESEND_S:
                if now > begin + PATIENCE_S:
                    raise ProbeError(f"no sentinel came through from {list(waiting)}")
                for end in waiting:
                    waiting[end].append(self.sentinel(end))
                resend = now
        self.arrivals.clear()

    # Drops that are the machine's.

    def drops(self):
        """What sockets and the datapath have dropped since the last call, by place; empty: nothing."""
        now = self._count_drops()
        before, self._drops_before = self._drops_before, now
        return {str(place): n - before[place] for place, n in now.items() if n > before[place]}

    def _count_drops(self):
        found = Counter()
        for end, sock in self._sockets.items():
            _, dropped = struct.unpack("II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))  # Since the last call.
            self._socket_drops[end] += dropped
            found[end] = self._socket_drops[end]
        # The switch's packet sockets: "skmem:(r0,...,d17)", 17 of them dropped.
        for name, dropped in re.findall(r"\*:(\S+)[^*]*\*[^*]*?skmem:\([^)]*\bd(\d+)\)", self._switch_sockets()):
            found["the switch's socket at " + name] += int(dropped)
        # Counted by the datapath for other reasons than an action's: "datapath_drop_lock_error  0.0/sec ... total: 3".
        for name, total in re.findall(r"^(datapath_drop_\w+) .* total: (\d+)", self.lab.switch.appctl("coverage/show"), re.M):
            found[name] = int(total)
        return found

    def _switch_sockets(self):
        return self.lab.switch.inside("ss", "-0amn")
