"""Holds single threads of a process, as a device that does not answer would: the rest of the process runs on."""

import contextlib
import ctypes
import os
import platform
import time

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
WALL = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def _ptrace(request, thread):
    if _libc.ptrace(request, thread, None, None) != 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request:#x} of {thread}")


@contextlib.contextmanager
def frozen(thread):
    """The thread does nothing inside the block.  The calling thread must be the same throughout (ptrace(2))."""
    _ptrace(PTRACE_SEIZE, thread)
    try:
        _ptrace(PTRACE_INTERRUPT, thread)
        os.waitpid(thread, WALL)
        yield
    finally:
        _ptrace(PTRACE_DETACH, thread)


def writer_of(pid):
    """The thread of sallyportd that writes to the store: the first one that it makes.  Numbers may have begun anew meanwhile: that of the
    process need not be the least."""
    return min((int(thread) for thread in os.listdir(f"/proc/{pid}/task") if int(thread) != pid), key=lambda thread: _begun(pid, thread))


def _begun(pid, thread):
    """When the thread was made, in ticks, and its number."""
    with open(f"/proc/{pid}/task/{thread}/stat", encoding="ascii") as file:
        return int(file.read().rpartition(")")[2].split()[19]), thread


def threads_of(pid, name):
    """The threads whose name begins with `name`."""
    found = []
    for thread in sorted(int(thread) for thread in os.listdir(f"/proc/{pid}/task")):
        with open(f"/proc/{pid}/task/{thread}/comm", encoding="ascii") as file:
            if file.read().startswith(name):
                found.append(int(thread))
    return found


def _sleeps(pid, thread):
    """It waits in poll(2), as threads of Open vSwitch do that others need not wait for."""
    with open(f"/proc/{pid}/task/{thread}/syscall", encoding="ascii") as file:
        return file.read().split()[0] == {"x86_64": "7", "aarch64": "73"}[platform.machine()]


@contextlib.contextmanager
def frozen_asleep(pid, threads, timeout_s=20):
    """Like frozen(), for several threads, each at a time when it has nothing to do."""
    deadline = time.monotonic() + timeout_s
    with contextlib.ExitStack() as stack:
        for thread in threads:
            while True:
                with contextlib.ExitStack() as attempt:
                    attempt.enter_context(frozen(thread))
                    if _sleeps(pid, thread):
                        stack.push(attempt.pop_all())
                        break
                if time.monotonic() > deadline:
                    raise TimeoutError(f"thread {thread} is never asleep")
        yield
