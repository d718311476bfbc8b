"""What the preloaded shims are told, and a daemon that runs with one of them."""

import mmap
import os
import pathlib
import re
import struct
import subprocess

from lab import DAEMON, Daemon

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"), "tests", "fault")
ALWAYS = 1 << 62


class Control:
    """The memory that a shim and this process share: struct control of disk.c and of memory.c."""

    _LAYOUT = struct.Struct("<QQQQII")  # n_calls, at, times, n_done, action, error

    def __init__(self, path):
        self.path = path
        with open(path, "wb") as file:
            file.truncate(mmap.PAGESIZE)
        with open(path, "r+b") as file:
            self._memory = mmap.mmap(file.fileno(), mmap.PAGESIZE)

    def _read(self):
        return self._LAYOUT.unpack_from(self._memory)

    @property
    def n_calls(self):
        return self._read()[0]

    @property
    def n_done(self):
        return self._read()[3]

    def arm(self, number, action, error=0, times=1):
        """From the `number`th call from now on, `times` of them fail."""
        struct.pack_into("<II", self._memory, 32, action, error)
        struct.pack_into("<QQ", self._memory, 16, times, 0)
        struct.pack_into("<Q", self._memory, 8, self.n_calls + number)

    def disarm(self):
        struct.pack_into("<Q", self._memory, 8, 0)


KILL, KILL_HALF, FAIL, SHORT = range(4)


class DiskDaemon(Daemon):
    """A daemon on a disk that fails as `disk` is told."""

    def __init__(self, directory, name="sallyport"):
        super().__init__(directory, name)
        self.disk = Control(os.path.join(directory, name + ".disk"))
        self.environment = {"LD_PRELOAD": os.path.join(BUILD, "disk.so"), "SALLYPORT_DISK": self.disk.path, "SALLYPORT_DISK_OF": self.database}

    def wait(self):
        """Until the process has ended by itself.  Returns its status."""
        self._drop()
        return self._process.wait(self.end_s)


# Of files that libopenvswitch has too, the symbols do not tell whose a static function is.
SHARED_NAMES = {"flow.c", "stream.c", "json.c", "table.c", "match.c", "log.c", "ovsdb.c"}


def own_ranges():
    """The daemon's own code, less what other libraries in the program have: offsets of begin and end, sorted."""
    ours = {path.name for folder in ("controller", "flows") for path in pathlib.Path(ROOT, folder).rglob("*.c")} - SHARED_NAMES
    text = subprocess.run(["readelf", "--wide", "--syms", DAEMON], capture_output=True, text=True, check=True).stdout
    found, is_ours = set(), False
    for line in text.splitlines():
        match = re.match(r"\s*\d+: ([0-9a-f]+)\s+(\w+) (\w+)\s+(\w+)\s+\w+\s+\w+ (\S+)$", line)
        if not match:
            continue
        at, size, kind, binding, name = match.groups()
        if kind == "FILE":
            is_ours = name in ours
        elif kind == "FUNC" and int(size, 0) and (is_ours if binding == "LOCAL" else name.startswith("sp_")):
            found.add((int(at, 16), int(at, 16) + int(size, 0)))
    assert len(found) > 500
    return sorted(found)


class MemoryDaemon(Daemon):
    """A daemon whose own allocations fail as `memory` is told."""

    def __init__(self, directory, name="sallyport"):
        super().__init__(directory, name)
        self.memory = Control(os.path.join(directory, name + ".memory"))
        parts = os.path.join(directory, name + ".parts")
        with open(parts, "wb") as file:
            for begin, end in own_ranges():
                file.write(struct.pack("<QQ", begin, end))
        self.environment = {"LD_PRELOAD": os.path.join(BUILD, "memory.so"), "SALLYPORT_MEMORY": self.memory.path, "SALLYPORT_MEMORY_OF": parts}

    def wait(self):
        """Until the process has ended by itself.  Returns its status."""
        self._drop()
        return self._process.wait(self.end_s)
