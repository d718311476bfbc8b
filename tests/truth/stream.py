"""Steady traffic that never fills a queue, and the machine's own account of what it dropped.

Every few frames an end sends a sentinel, an ARP request that always passes; no more than IN_FLIGHT frames of one end are on
their way without one having come through.  The packet sockets of the switch hold some 250, so that a frame that is lost was
lost by a decision, however slow the machine is.  Should a queue overflow all the same, dropped() says so."""

import re
import struct
import time
from collections import defaultdict, deque

from probe import ProbeError

IN_FLIGHT, PER_SENTINEL, PER_TURN = 64, 8, 1
PACE_S = 0.004
RESEND_S = 0.5
PATIENCE_S = 120  # With one round.
SOL_PACKET, PACKET_STATISTICS = 263, 6


class Stream:
    """`tasks`: end -> list of functions that return (key, frame number, frame); they take turns for ever."""

    def __init__(self, lab, prober):
        self.lab, self.prober = lab, prober
        self.tasks = {}
        self.sent = []  # (number, key, frame) since take().
        self._next = defaultdict(int)
        self._flying = defaultdict(deque)  # end -> [sentinel numbers, frames before it]
        self._since = defaultdict(int)
        self._resend = {}
        self._socket_drops = 0

    def _room(self, end):
        return IN_FLIGHT - self._since[end] - sum(frames for _, frames in self._flying[end])

    def _send(self, end):
        tasks = self.tasks[end]
        key, number, frame = tasks[self._next[end] % len(tasks)]()
        self._next[end] += 1
        self.prober.send(end, frame)
        self.sent.append((number, key, frame))
        self._since[end] += 1
        if self._since[end] >= PER_SENTINEL:
            self._flying[end].append(([self.prober.sentinel(end)], self._since[end]))
            self._since[end] = 0
            self._resend[end] = time.monotonic() + RESEND_S

    def _acknowledge(self, end):
        flying, arrivals = self._flying[end], self.prober.arrivals
        # A later one that has come through stands for those before it.
        for i in reversed(range(len(flying))):
            if any(number in arrivals for number in flying[i][0]):
                for _ in range(i + 1):
                    for number in flying.popleft()[0]:
                        arrivals.pop(number, None)
                return
        if flying and time.monotonic() > self._resend[end]:
            flying[-1][0].append(self.prober.sentinel(end))
            self._resend[end] = time.monotonic() + RESEND_S

    def turn(self):
        """Sends what there is room for, a few frames of each end, and takes in what has arrived."""
        for end in self.tasks:
            for _ in range(min(PER_TURN, self._room(end))):
                self._send(end)
        time.sleep(PACE_S)  # The switch and the daemon want to run as well.
        self.prober.collect()
        for end in self.tasks:
            self._acknowledge(end)

    def round(self):
        """Each task's turn once."""
        until = {end: self._next[end] + len(tasks) for end, tasks in self.tasks.items()}
        deadline = time.monotonic() + PATIENCE_S
        while any(self._next[end] < until[end] for end in until):
            if time.monotonic() > deadline:
                raise ProbeError(f"no sentinel came through from {[end for end in until if self._next[end] < until[end]]}")
            self.turn()

    def take(self):
        """Waits until everything has been dealt with.  Returns [(key, [(end, is the frame as sent)])] since the last time."""
        self.prober.settle(list(self.tasks))
        for flying in self._flying.values():
            flying.clear()
        self._since.clear()
        arrivals = self.prober.arrivals
        found = [(key, [(end, got == frame) for end, got in arrivals.pop(number, [])]) for number, key, frame in self.sent]
        self.sent.clear()
        return found

    def dropped(self):
        """What the machine has dropped for want of room since it was started, place by place: the prober's sockets, those of
        the switch, the kernel's queue between them (all of the machine's traffic), the interfaces, and the switch's upcalls."""
        self._socket_drops += sum(struct.unpack("II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]
                                  for sock in self.prober.sockets())
        inside = self.lab.switch.inside
        queues = re.findall(r"skmem:\(.*?,d(\d+)\)", inside("ss", "-0", "-a", "-m", "-H"))
        with open("/proc/net/softnet_stat", encoding="ascii") as file:
            backlog = sum(int(line.split()[1], 16) for line in file)
        interfaces = [line.partition(":")[2].split() for line in inside("cat", "/proc/net/dev").splitlines() if ":" in line]
        lost = re.search(r"lost:(\d+)", self.lab.switch.appctl("dpctl/show"))
        return {"prober": self._socket_drops, "switch": sum(map(int, queues)), "backlog": backlog,
                "interfaces": sum(int(fields[11]) for fields in interfaces), "upcalls": int(lost.group(1))}
