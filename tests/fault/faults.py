"""What the preloaded shims are told, and a daemon that runs with one of them."""

import mmap
import os
import struct

from lab import Daemon

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
        return self._process.wait(20)
