"""A bridge's flows by OpenFlow 1.4, as bytes, without starting a program for each look."""

import socket
import struct

VERSION = 5
HELLO, ERROR, ECHO_REQUEST, ECHO_REPLY, FLOW_MOD, MULTIPART_REQUEST, MULTIPART_REPLY, BARRIER_REQUEST, BARRIER_REPLY = 0, 1, 2, 3, 14, 18, 19, 20, 21
MULTIPART_FLOW, MORE, DELETE = 1, 1, 3
ANY = 0xffffffff
NO_MATCH = struct.pack("!HH4x", 1, 4)
LEARNED = 8  # SP_COOKIE_LEARNED: comes and goes in the switch.


class Bridge:
    """`path`: the bridge's .mgmt socket."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(30)
        self._socket.connect(path)
        self._xid = 0
        self._send(HELLO, b"")
        kind, _, _ = self._receive()
        assert kind == HELLO

    def close(self):
        self._socket.close()

    def _send(self, kind, body):
        self._xid += 1
        self._socket.sendall(struct.pack("!BBHI", VERSION, kind, 8 + len(body), self._xid) + body)
        return self._xid

    def _exactly(self, n):
        data = bytearray()
        while len(data) < n:
            more = self._socket.recv(n - len(data))
            if not more:
                raise OSError("the bridge closed the connection")
            data += more
        return bytes(data)

    def _receive(self):
        version, kind, length, xid = struct.unpack("!BBHI", self._exactly(8))
        return kind, xid, self._exactly(length - 8)

    def _await(self, wanted_kind, wanted_xid):
        while True:
            kind, xid, body = self._receive()
            if kind == ECHO_REQUEST:
                self._socket.sendall(struct.pack("!BBHI", VERSION, ECHO_REPLY, 8 + len(body), xid) + body)
            elif kind == ERROR:
                raise OSError(f"the bridge answered with error {struct.unpack('!HH', body[:4])}")
            elif (kind, xid) == (wanted_kind, wanted_xid):
                return body

    def delete_all(self):
        self._send(FLOW_MOD, struct.pack("!QQBBHHHIIIHH", 0, 0, 0xff, DELETE, 0, 0, 0, ANY, ANY, ANY, 0, 0) + NO_MATCH)
        self._await(BARRIER_REPLY, self._send(BARRIER_REQUEST, b""))

    def flows(self):
        """(table, priority, match) -> (cookie, timeouts and flags, instructions) of all flows but the learned ones."""
        xid = self._send(MULTIPART_REQUEST, struct.pack("!HH4xB3xII4xQQ", MULTIPART_FLOW, 0, 0xff, ANY, ANY, 0, 0) + NO_MATCH)
        found, more = {}, True
        while more:
            body = self._await(MULTIPART_REPLY, xid)
            more = struct.unpack("!HH", body[:4])[1] & MORE
            at = 8
            while at < len(body):
                size, table = struct.unpack("!HB", body[at:at + 3])
                priority, idle, hard, flags, importance = struct.unpack("!HHHHH", body[at + 12:at + 22])
                cookie, = struct.unpack("!Q", body[at + 24:at + 32])
                match_size, = struct.unpack("!H", body[at + 50:at + 52])
                end = at + 48 + (match_size + 7) // 8 * 8
                if cookie >> 40 & 0xff != LEARNED:
                    found[table, priority, body[at + 48:end]] = (cookie, (idle, hard, flags, importance), body[end:at + size])
                at += size
        return found
