"""Frames in and out of a switch's ports, and the knowledge that nothing more is to come.

All far ends of the ports stand in one silent namespace; a raw socket on each sends and hears exactly what the test says.
To know that a switch is done with a frame, a sentinel (Ethernet type 0x88b5, kept for experiments) follows it from the
same port; a flow of the test's own brings it to every port.  What a port heard before the second of two sentinels is all that
it was sent: the second one starts only after the first was heard, when the batch that held the frame is done.
"""

import select
import socket
import struct
import time

from ovs import inside

ETH_P_ALL = 3
SENTINEL = 0x88B5
SENTINEL_FLOW = f"cookie=0,table=0,priority=65535,dl_type={SENTINEL:#x},actions=ALL,IN_PORT"
SOL_PACKET = 263
PACKET_AUXDATA = 8
PACKET_IGNORE_OUTGOING = 23
TP_STATUS_VLAN_VALID = 1 << 4
TP_STATUS_VLAN_TPID_VALID = 1 << 6
DEADLINE_S = 20
RESEND_S = 1


class Wire:
    """The far ends of ports, by name, in the namespace of `host`."""

    def __init__(self, host):
        self.host = host
        self.sockets = {}
        self.poll = select.epoll()
        self.names = {}
        self.sentinels = 0

    def attach(self, name):
        """Opens interface `name` of the namespace."""
        with inside(self.host.netns):
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
            sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            sock.bind((name, ETH_P_ALL))
        sock.setblocking(False)
        self.sockets[name] = sock
        self.names[sock.fileno()] = name
        self.poll.register(sock, select.EPOLLIN)

    def detach(self, name):
        sock = self.sockets.pop(name)
        self.poll.unregister(sock)
        del self.names[sock.fileno()]
        sock.close()

    def close(self):
        for name in list(self.sockets):
            self.detach(name)
        self.poll.close()

    def exchange(self, *sends, listeners=None):
        """Sends frames, each a pair (name of port, bytes), and returns what the ports heard: {name: [bytes, ...]}.

        `listeners`: the ports that a sentinel reaches; all by default."""
        heard = {name: [] for name in self.sockets}
        senders = list(dict.fromkeys(name for name, _ in sends)) or list(self.sockets)[:1]
        for name, frame in sends:
            self.sockets[name].send(frame)
        for _ in range(2):
            for sender in senders:
                self._await_sentinel(sender, set(listeners or self.sockets), heard)
        return {name: frames for name, frames in heard.items() if frames}

    def _await_sentinel(self, sender, missing, heard):
        self.sentinels += 1
        body = struct.pack("!Q", self.sentinels)
        sentinel = b"\x02\xff\xff\xff\xff\xff\x02\xff\xff\xff\xff\xfe" + struct.pack("!H", SENTINEL) + body.ljust(46, b"\0")
        deadline = time.monotonic() + DEADLINE_S
        while missing:
            if time.monotonic() > deadline:
                raise AssertionError(f"no sentinel from {sender} at {sorted(missing)} within {DEADLINE_S} s")
            self.sockets[sender].send(sentinel)
            while missing:
                events = self.poll.poll(RESEND_S)
                if not events:
                    break  # The switch's socket was full, perhaps.
                for fd, _ in events:
                    self._take(self.names[fd], body, missing, heard)

    def _take(self, name, body, missing, heard):
        for frame in self._receive(name):
            if frame[12:14] != struct.pack("!H", SENTINEL):
                heard[name].append(frame)
            elif frame[14:22] == body:
                missing.discard(name)

    def _receive(self, name):
        frames = []
        while True:
            try:
                data, ancillary, _, _ = self.sockets[name].recvmsg(65600, socket.CMSG_SPACE(20))
            except BlockingIOError:
                return frames
            for level, kind, value in ancillary:
                if level == SOL_PACKET and kind == PACKET_AUXDATA:
                    data = with_tag(data, value)
            frames.append(data)


def with_tag(data, auxdata):
    """Puts the 802.1Q tag back that the kernel took off on the way in."""
    status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", auxdata[:20])
    if not status & TP_STATUS_VLAN_VALID:
        return data
    return data[:12] + struct.pack("!HH", tpid if status & TP_STATUS_VLAN_TPID_VALID else 0x8100, tci) + data[12:]
