"""A proxy between the daemon and a real Open vSwitch that looks at every OpenFlow message and fails as it is told.

    proxy = Proxy(listen="/run/x/proxy", forward="/run/x/sallyport.of")
    proxy.faults = [Fault(DOWN, is_commit, cut)]

A fault is a direction, a predicate on a message (its bytes, header and all) and an action, which is done to the first `times`
messages that match.  Messages pass one by one and in order; without a fault the proxy changes nothing."""

import os
import selectors
import socket
import struct
import threading
import time

DOWN, UP = "down", "up"  # From the daemon to the switch, and back.

# OpenFlow 1.4 and 1.5: message types, and the kinds of a bundle's control messages.
ERROR, MULTIPART_REQUEST, MULTIPART_REPLY, BARRIER_REPLY, BUNDLE_CONTROL, BUNDLE_ADD = 1, 18, 19, 21, 33, 34
OPEN_REQUEST, OPEN_REPLY, COMMIT_REQUEST, COMMIT_REPLY, DISCARD_REQUEST, DISCARD_REPLY = 0, 1, 4, 5, 6, 7
FLOW_STATS, FLOW_MONITOR = 1, 16  # Kinds of multipart messages.
EXPERIMENTER, NICIRA, CT_FLUSH_ZONE = 4, 0x2320, 29
BUNDLE_HEAD = 16                  # Bytes before the message inside a bundle's addition.
BUFFER_MAX = 4 << 20
LATE_S = 0.02  # How exact a delay is.


def of_type(kind):
    return lambda message: message[1] == kind


def control(kind):
    return lambda message: message[1] == BUNDLE_CONTROL and struct.unpack_from("!H", message, 12)[0] == kind


def multipart(message_type, kind):
    return lambda message: message[1] == message_type and struct.unpack_from("!H", message, 8)[0] == kind


def adds(*needles):
    """A bundle's message that adds a flow, and contains all of the byte strings."""
    def match(message):
        return message[1] == BUNDLE_ADD and message[BUNDLE_HEAD + 25] == 0 and all(needle in message for needle in needles)
    return match


def zone_flush(message):
    """NXT_CT_FLUSH_ZONE."""
    return message[1] == EXPERIMENTER and struct.unpack_from("!II", message, 8) == (NICIRA, CT_FLUSH_ZONE)


def any_message(_):
    return True


# Actions.  Each gets the connection, the direction and the message, and returns what goes on its way, or None.

def drop(_connection, _direction, _message):
    return None


def answer(kind, code):
    """The daemon gets an error as if the switch had refused the message, and the switch does not get it."""
    def act(connection, _direction, message):
        error = struct.pack("!HH", kind, code) + message
        connection.send(UP, message[:1] + bytes([ERROR]) + struct.pack("!H", 8 + len(error)) + message[4:8] + error)
    return act


def cut(connection, _direction, _message):
    """Both ends lose the connection before the message."""
    connection.dead = True


def cut_after(connection, direction, message):
    """They lose it behind the message."""
    connection.close_when_sent = True
    return message


def stall(connection, _direction, _message):
    """From here on nothing passes, and what was under way never arrives."""
    connection.stalled = {UP, DOWN}


def deafen(connection, _direction, message):
    """The switch gets this message and goes on working; nothing that it says arrives."""
    connection.stalled = {UP}
    return message


def clog(connection, direction, message):
    """Whoever sends in this direction finds that nobody reads any more."""
    connection.clogged.add(direction)
    return message


def repeat(_connection, _direction, message):
    return message + message


def swap(connection, direction, message):
    """It comes behind the next one."""
    connection.held[direction] = message


def delay(seconds):
    """It comes later, and all that follows it, too."""
    def act(connection, direction, message):
        connection.until[direction] = time.monotonic() + seconds
        return message
    return act


def flip(bit):
    """One bit is another one; beyond the end of the message it is the last one."""
    def act(_connection, _direction, message):
        at = min(bit // 8, len(message) - 1)
        return message[:at] + bytes([message[at] ^ 1 << bit % 8]) + message[at + 1:]
    return act


def with_actions(actions):
    """The flow is added with other actions: the switch gets an OpenFlow action list that it has to judge by itself."""
    def act(_connection, _direction, message):
        flow_mod = message[BUNDLE_HEAD:]
        match_size = struct.unpack_from("!H", flow_mod, 50)[0]
        head = flow_mod[:48 + (match_size + 7) // 8 * 8]
        inner = head + struct.pack("!HHI", 4, 8 + len(actions), 0) + actions  # OFPIT_APPLY_ACTIONS
        inner = inner[:2] + struct.pack("!H", len(inner)) + inner[4:]
        return message[:2] + struct.pack("!H", BUNDLE_HEAD + len(inner)) + message[4:BUNDLE_HEAD] + inner
    return act


def group_action(group):
    return struct.pack("!HHI", 22, 8, group)


def output_action(port):
    return struct.pack("!HHIH6x", 0, 16, port, 0)


class Fault:
    def __init__(self, direction, match, action, times=1, skip=0):
        self.direction, self.match, self.action, self.times, self.skip = direction, match, action, times, skip
        self.done = 0

    def applies(self, direction, message):
        if direction != self.direction or self.done >= self.times or not self.match(message):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.done += 1
        return True


class _Connection:
    def __init__(self, proxy, switch):
        self.proxy, self.dead, self.close_when_sent, self.stalled = proxy, False, False, set()
        daemon = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            daemon.connect(proxy.forward)
        except OSError:
            self.dead = True
        self.sockets = {DOWN: switch, UP: daemon}  # By the direction of what is read: see `from_`.
        self.input, self.output = {UP: b"", DOWN: b""}, {UP: b"", DOWN: b""}
        self.held, self.until, self.clogged = {UP: b"", DOWN: b""}, {UP: 0, DOWN: 0}, set()
        for sock in (switch, daemon):
            sock.setblocking(False)

    def to(self, direction):
        return self.sockets[direction]

    def from_(self, direction):
        return self.sockets[UP if direction == DOWN else DOWN]

    def send(self, direction, data):
        self.output[direction] += data

    def receive(self, direction):
        try:
            data = self.from_(direction).recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.dead = True
            return
        if direction in self.stalled:
            return
        data = self.input[direction] + data
        at = 0
        while len(data) - at >= 8 and direction not in self.stalled and not self.dead and not self.close_when_sent:
            size = max(8, struct.unpack_from("!H", data, at + 2)[0])
            if len(data) - at < size:
                break
            self._pass(direction, data[at:at + size])
            at += size
        self.input[direction] = data[at:]

    def _pass(self, direction, message):
        for fault in self.proxy.faults:
            if fault.applies(direction, message):
                message = fault.action(self, direction, message)
                break
        self.proxy.seen(direction, message)
        if message is not None and not self.dead:
            self.output[direction] += message + self.held[direction]
            self.held[direction] = b""

    def reads(self, direction):
        return direction not in self.clogged and len(self.output[direction]) < BUFFER_MAX

    def writes(self, direction):
        return self.output[direction] and time.monotonic() >= self.until[direction]

    def flush(self):
        for direction in (UP, DOWN):
            if self.writes(direction) and not self.dead:
                try:
                    sent = self.to(direction).send(self.output[direction])
                    self.output[direction] = self.output[direction][sent:]
                except BlockingIOError:
                    continue
                except OSError:
                    self.dead = True
        if self.close_when_sent and not any(self.output.values()):
            self.dead = True

    def close(self):
        for sock in self.sockets.values():
            sock.close()


class Proxy:
    def __init__(self, listen, forward):
        self.forward, self.faults, self.path = forward, [], listen
        self.monitored = False  # The daemon has been told that the switch will tell of changes.
        self._connections, self._end = [], False
        self.n_accepted = 0
        self.n_asked = self.n_looks = 0  # Times that the daemon has asked for flows; the last one that was answered to the end.
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(listen)
        self._listener.listen()
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def seen(self, direction, message):
        if message is None:
            return
        if direction == UP and multipart(MULTIPART_REPLY, FLOW_MONITOR)(message):
            self.monitored = True
        elif direction == UP and multipart(MULTIPART_REPLY, FLOW_STATS)(message):
            is_last = not struct.unpack_from("!H", message, 10)[0] & 1
            self.n_looks = self.n_asked if is_last else self.n_looks
        elif direction == DOWN and multipart(MULTIPART_REQUEST, FLOW_STATS)(message):
            self.n_asked += 1

    def end_faults(self):
        """No message fails from now on, and who read no more reads again; what was lost is lost."""
        self.faults = []
        for connection in list(self._connections):
            connection.clogged.clear()
        self._wake.send(b".")

    def cut(self):
        """Both ends lose the connection now."""
        for connection in list(self._connections):
            connection.dead = True
        self._wake.send(b".")

    def close(self):
        self._end = True
        self._wake.send(b".")
        self._thread.join()
        os.unlink(self.path)

    def _run(self):
        while not self._end:
            with selectors.DefaultSelector() as selector:
                selector.register(self._listener, selectors.EVENT_READ)
                selector.register(self._woken, selectors.EVENT_READ)
                for connection in self._connections:
                    for direction in (UP, DOWN):
                        back = UP if direction == DOWN else DOWN
                        events = selectors.EVENT_READ if connection.reads(back) else 0
                        events |= selectors.EVENT_WRITE if connection.writes(direction) else 0
                        if events:
                            selector.register(connection.to(direction), events, (connection, back))
                is_late = any(any(connection.output[way] and not connection.writes(way) for way in (UP, DOWN)) for connection in self._connections)
                ready = selector.select(LATE_S if is_late else None)
            for key, events in ready:
                if key.fileobj is self._listener:
                    self._connections.append(_Connection(self, self._listener.accept()[0]))
                    self.n_accepted += 1
                elif key.fileobj is self._woken:
                    self._woken.recv(4096)
                elif events & selectors.EVENT_READ:
                    key.data[0].receive(key.data[1])
            for connection in self._connections:
                connection.flush()
                if connection.dead:
                    connection.close()
            self._connections = [connection for connection in self._connections if not connection.dead]
        for connection in self._connections:
            connection.close()
        self._listener.close()
