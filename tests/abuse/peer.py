"""A switch that speaks OpenFlow 1.4 by hand, so that it can also speak it wrongly.

    peer = Peer(address, dpid, ports=["p1", "p2"])      # says HELLO and answers like a switch, in a thread of its own
    peer.wait_ready()                                   # the daemon has asked for its flows
    peer.table                                          # {(table, priority, match): (cookie, instructions)} as bytes

`Wire` is the connection alone, on which the caller says what he likes."""

import contextlib
import socket
import struct
import threading
import time

VERSION = 5
HELLO, ERROR, ECHO_REQUEST, ECHO_REPLY, FEATURES_REQUEST, FEATURES_REPLY = 0, 1, 2, 3, 5, 6
PACKET_IN, FLOW_REMOVED, PORT_STATUS, FLOW_MOD, MULTIPART_REQUEST, MULTIPART_REPLY = 10, 11, 12, 14, 18, 19
BARRIER_REQUEST, BARRIER_REPLY, BUNDLE_CONTROL, BUNDLE_ADD = 20, 21, 33, 34
DESCRIPTION, FLOWS, PORTS = 0, 1, 13  # Kinds of multipart messages.
OPEN, COMMIT = 0, 4                   # Bundle controls; a reply has the next number.
HEAD = struct.Struct("!BBHI")
PATIENCE_S = 30


def message(kind, body=b"", xid=0, version=VERSION, length=None):
    return HEAD.pack(version, kind, HEAD.size + len(body) if length is None else length, xid) + body


def hello():
    return message(HELLO, struct.pack("!HHI", 1, 8, 1 << VERSION))


def features(dpid, xid):
    return message(FEATURES_REPLY, struct.pack("!QIBBxxII", dpid, 0, 254, 0, 1, 0), xid)


def multipart(kind, body, xid, more=False):
    return message(MULTIPART_REPLY, struct.pack("!HHxxxx", kind, more) + body, xid)


def description(xid, software=b"3.1.0", name=b"None"):
    return multipart(DESCRIPTION, struct.pack("!256s256s256s32s256s", b"Nobody", b"", software, b"", name), xid)


def port(number, name):
    """The description of a port without properties."""
    return struct.pack("!IHxx6sxx16sII", number, 40, b"\x02\0\0\0" + struct.pack("!H", number & 0xffff), name, 0, 0)


def port_status(number, name, reason=0):
    return message(PORT_STATUS, struct.pack("!B7x", reason) + port(number, name))


def no_such_multipart(taken):
    """A switch has no meters, say."""
    return message(ERROR, struct.pack("!HH", 1, 2) + taken, xid_of(taken))


class Wire:
    """A connection to the daemon; `address` is the path of a unix socket."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(address)
        self._in = b""

    def send(self, data):
        self.socket.sendall(data)

    def take(self):
        """The next message, or None at the end."""
        while len(self._in) < HEAD.size or len(self._in) < struct.unpack_from("!H", self._in, 2)[0]:
            try:
                part = self.socket.recv(1 << 18)
            except ConnectionError:
                part = b""
            if not part:
                return None
            self._in += part
        size = struct.unpack_from("!H", self._in, 2)[0]
        taken, self._in = self._in[:size], self._in[size:]
        return taken

    def take_kind(self, kind):
        """The next message of `kind`, or None at the end."""
        while (taken := self.take()) and taken[1] != kind:
            pass
        return taken

    def handshake(self, dpid, ports=((1, b"p1"),)):
        """Up to the ports, as a switch does."""
        self.send(hello())
        asked = self.take_kind(FEATURES_REQUEST)
        self.send(features(dpid, xid_of(asked)))
        self.send(description(xid_of(self.take_kind(MULTIPART_REQUEST))))
        self.send(multipart(PORTS, b"".join(port(number, name) for number, name in ports), xid_of(self.take_kind(MULTIPART_REQUEST))))

    def is_closed(self):
        """Whether the daemon ends the connection; reads what it says until then."""
        try:
            while self.take():
                pass
        except TimeoutError:
            return False
        return True

    def close(self):
        self.socket.close()


def xid_of(taken):
    return HEAD.unpack_from(taken)[3]


class Peer:
    """A good switch, in a thread."""

    def __init__(self, address, dpid, ports=("p1",)):
        self.dpid = dpid
        self.ports = ports
        self.table = {}
        self.n_mods = 0
        self.unexpected = []   # What no switch could make sense of.
        self.echo_s = []       # How long each echo of ours has taken.
        self.is_dumped = threading.Event()
        self._sent, self._n_echoes = {}, 0
        self._bundle = None
        self._lock = threading.Lock()
        self.is_ended = threading.Event()
        self.wire = Wire(address)
        self.wire.send(hello())
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            while (taken := self.wire.take()):
                self._answer(taken)
        except OSError:
            pass  # Closed by close(), or silent for so long that is_ended says it.
        self.is_ended.set()

    def _send(self, data):
        with self._lock:
            self.wire.send(data)

    def _answer(self, taken):
        version, kind, _, xid = HEAD.unpack_from(taken)
        if version != VERSION and kind != HELLO:
            self.unexpected.append(taken)
        if kind == ECHO_REQUEST:
            self._send(message(ECHO_REPLY, taken[8:], xid))
        elif kind == ECHO_REPLY:
            self.echo_s.append(time.monotonic() - self._sent.pop(xid))
        elif kind == FEATURES_REQUEST:
            self._send(features(self.dpid, xid))
        elif kind == MULTIPART_REQUEST:
            self._answer_multipart(struct.unpack_from("!H", taken, 8)[0], taken, xid)
        elif kind == BARRIER_REQUEST:
            self._send(message(BARRIER_REPLY, b"", xid))
        elif kind == BUNDLE_CONTROL:
            self._answer_bundle(taken, xid)
        elif kind == BUNDLE_ADD:
            self._bundle.append(taken[16:])
        elif kind == FLOW_MOD:
            self.unexpected.append(taken)  # They come in bundles.

    def _answer_multipart(self, kind, taken, xid):
        if kind == DESCRIPTION:
            self._send(description(xid))
        elif kind == PORTS:
            self._send(multipart(PORTS, b"".join(port(number, name.encode()) for number, name in enumerate(self.ports, 1)), xid))
        elif kind == FLOWS:
            self._send(multipart(FLOWS, b"", xid) if not self.table else self._flows(xid))
            self.is_dumped.set()
        else:
            self._send(no_such_multipart(taken))  # The monitor: not here.

    def _flows(self, xid):
        parts, body = [], b""
        for (table, priority, match), (cookie, instructions) in self.table.items():
            entry = struct.pack("!HBxIIHHHHxxxxQQQ", 48 + len(match) + len(instructions), table, 0, 0, priority, 0, 0, 0, cookie, 0, 0)
            if len(body) > 60000:
                parts.append(multipart(FLOWS, body, xid, more=True))
                body = b""
            body += entry + match + instructions
        return b"".join(parts) + multipart(FLOWS, body, xid)

    def _answer_bundle(self, taken, xid):
        bundle, kind, flags = struct.unpack_from("!IHH", taken, 8)
        if kind == OPEN:
            self._bundle = []
        elif kind == COMMIT:
            for mod in self._bundle:
                self._modify(mod)
        self._send(message(BUNDLE_CONTROL, struct.pack("!IHH", bundle, kind + 1, flags), xid))

    def _modify(self, mod):
        cookie, _, table, command, _, _, priority = struct.unpack_from("!QQBBHHH", mod, 8)
        match_size = (struct.unpack_from("!H", mod, 50)[0] + 7) // 8 * 8
        key = (table, priority, mod[48:48 + match_size])
        self.n_mods += 1
        if command == 0:
            self.table[key] = (cookie, mod[48 + match_size:])
        elif command == 4:
            self.table.pop(key, None)
        else:
            self.unexpected.append(mod)

    def echo(self):
        """Asks for an echo, whose time will be in `echo_s`."""
        xid = 0x70000000 + self._n_echoes
        self._n_echoes += 1
        self._sent[xid] = time.monotonic()
        self._send(message(ECHO_REQUEST, b"", xid))

    def wait_ready(self):
        assert self.is_dumped.wait(PATIENCE_S), "the daemon has not asked for the flows"

    def close(self):
        with contextlib.suppress(OSError):
            self.wire.socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE_S)
        self.wire.close()
