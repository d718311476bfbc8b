"""The prober: one raw socket in each end's namespace, frames out by the thousand, and what arrived where.

Nothing waits for silence.  After each window of frames every end sends a sentinel, an ARP request that always passes, to
a neighbour; when it has arrived a second one follows.  The switch works off the frames of one port in batches and may
reorder within a batch, so only what is sent before the first sentinel has surely been dealt with when the second one has
come through.  A frame that comes later still is counted, under its own number, when it comes.
"""

import select
import socket
import time
from collections import defaultdict

import ovs
import packets

WINDOW = 96  # Frames of one end in flight: the switch's packet socket holds some 250.
SENTINEL_BASE = 0xf0000000
ETH_P_ALL = 3
SO_RCVBUFFORCE = 33
SOL_PACKET, PACKET_IGNORE_OUTGOING = 263, 23
RECEIVE_BUFFER = 32 << 20


class ProbeError(Exception):
    """A sentinel did not come through."""


class Prober:
    def __init__(self, lab):
        self.world = lab.world
        self._sockets, self._by_fd, self._epoll = {}, {}, select.epoll()
        for end in self.world.ends:
            with ovs.inside(lab.switch.hosts[end.name].netns):
                sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
                sock.bind(("eth0", ETH_P_ALL))
            sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
            sock.setblocking(False)
            self._sockets[end] = sock
            self._by_fd[sock.fileno()] = end
            self._epoll.register(sock.fileno(), select.EPOLLIN)
        self._number = 0
        self._sentinels = SENTINEL_BASE
        self.arrivals = defaultdict(list)  # Number -> [(end, frame)], of everything since clear().
        self.unmarked = []                 # (end, frame) that no probe of ours is.
        self.sent = 0

    def close(self):
        self._epoll.close()
        for sock in self._sockets.values():
            sock.close()

    def sockets(self):
        return self._sockets.values()

    def clear(self):
        self.arrivals.clear()
        self.unmarked.clear()

    def number(self):
        """A number for a marker, not used before."""
        self._number += 1
        return self._number

    def send(self, end, frame):
        deadline = time.monotonic() + 5
        while True:
            try:
                self._sockets[end].send(frame)
                self.sent += 1
                return
            except (BlockingIOError, OSError) as error:
                if not isinstance(error, BlockingIOError) and error.errno != 105 or time.monotonic() > deadline:  # ENOBUFS
                    raise
                self.collect(0.001)

    def collect(self, timeout=0.0):
        """Takes in what has arrived; waits for something at most `timeout` seconds."""
        for fd, _ in self._epoll.poll(timeout):
            end = self._by_fd[fd]
            receive = self._sockets[end].recv
            while True:
                try:
                    frame = receive(4096)
                except BlockingIOError:
                    break
                number = packets.marked(frame)
                if number is None:
                    self.unmarked.append((end, frame))
                else:
                    self.arrivals[number].append((end, frame))

    def _neighbour(self, end):
        return next(other for other in self.world.ends if other is not end and other.domain == end.domain)

    def sentinel(self, end):
        """Sends a frame that always passes; returns the number under which it arrives."""
        self._sentinels += 1
        to = self._neighbour(end)
        ips = [next(ip for ip in port.ips if ip.version == 4) for port in (end, to)]
        self.send(end, packets.arp(1, end.mac, ips[0], "00:00:00:00:00:00", ips[1], self._sentinels, target=to.mac))
        return self._sentinels

    def settle(self, ends):
        """Returns when everything that `ends` have sent has been dealt with."""
        for _ in range(2):
            deadline = time.monotonic() + 15
            waiting = {end: [self.sentinel(end)] for end in ends}
            resend = time.monotonic() + 0.5
            while waiting:
                self.collect(0.05)
                for end in [end for end, numbers in waiting.items() if any(number in self.arrivals for number in numbers)]:
                    del waiting[end]
                if waiting and time.monotonic() > resend:
                    if time.monotonic() > deadline:
                        raise ProbeError(f"no sentinel came through from {list(waiting)}")
                    for end in waiting:
                        waiting[end].append(self.sentinel(end))
                    resend = time.monotonic() + 0.5

    def exchange(self, frames):
        """Sends [(end, frame)], in order for each end; returns when all have been dealt with."""
        queues = defaultdict(list)
        for end, frame in frames:
            queues[end].append(frame)
        at = 0
        while any(at < len(queue) for queue in queues.values()):
            active = [end for end, queue in queues.items() if at < len(queue)]
            for begin in range(at, at + WINDOW, 16):
                for end in active:
                    for frame in queues[end][begin:min(begin + 16, at + WINDOW)]:
                        self.send(end, frame)
                self.collect()
            self.settle(active)
            at += WINDOW
