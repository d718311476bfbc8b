"""The nets and the demo: that they do what they say, and leave nothing behind."""

import contextlib
import glob
import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest
from ovs import wait_until

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOPOLOGY = os.path.join(TOP, "topology")


def traces():
    """What a net could leave on the machine."""
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    names = sorted(line.split(":")[1] for line in links.splitlines())
    spaces = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout.split()
    return {"links": names, "namespaces": sorted(name for name in spaces if not name.startswith("sp"))}


def descendants(pid):
    """The processes below `pid`, as (pid, start time)."""
    found = []
    for task in glob.glob(f"/proc/{pid}/task/*/children"):
        with contextlib.suppress(OSError), open(task, encoding="ascii") as file:  # A thread may end meanwhile.
            for child in file.read().split():
                found += [(child, start_time(child))] + descendants(child)
    return found


def await_gone(processes):
    """Until none of what descendants() has found is there: who has been killed need not be dead at once."""
    wait_until(lambda: not [pid for pid, start in processes if start and start_time(pid) == start], f"{processes} are gone", 20)


def start_time(pid):
    """None: there is no such process, or it is dead and only waits to be reaped."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


@pytest.mark.parametrize("shape, count", [("single", 2), ("tree", 6), ("regions", 4)])
def test_every_server_answers(shape, count):
    done = subprocess.run([sys.executable, os.path.join(TOPOLOGY, "run.py"), shape], capture_output=True, text=True, timeout=180,
                          check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(f"{shape}: {count} servers, 0 failures\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_leaves_nothing(number, tmp_path):
    before = traces()
    environment = dict(os.environ, TMPDIR=str(tmp_path))
    with subprocess.Popen([sys.executable, os.path.join(TOPOLOGY, "run.py"), "single", "--servers", "1", "--stay"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=environment) as child:
        try:
            for line in child.stdout:
                if line.startswith("The net is up"):
                    break
            below = descendants(child.pid)
            assert len(below) >= 4, "a controller, two of Open vSwitch, hosts"
            assert os.listdir(tmp_path)
            child.send_signal(number)
            assert child.wait(60) == 128 + number
        finally:
            child.kill()
    await_gone(below)
    assert os.listdir(tmp_path) == []
    wait_until(lambda: traces() == before, f"the machine is as it was: {before}", 20)  # The kernel takes its time over namespaces.


class Terminal:
    """A program on a terminal of its own, as a person has it: what is typed goes there, Ctrl-C too."""

    def __init__(self, *command, **environment):
        self.pid, self._terminal = pty.fork()
        if not self.pid:
            os.execvpe(command[0], command, dict(os.environ, TERM="dumb", **environment))
        self.said = ""

    def type(self, text):
        os.write(self._terminal, text.encode())

    def expect(self, text, timeout_s=60):
        """Waits until `text` has been said, and forgets everything up to it."""
        deadline = time.monotonic() + timeout_s
        while text not in self.said:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self._terminal], [], [], left)[0], f"no {text!r} in {self.said!r}"
            try:
                self.said += os.read(self._terminal, 65536).decode(errors="replace")
            except OSError as error:  # Nobody is at the other end any more.
                raise AssertionError(f"no {text!r} in {self.said!r}") from error
        self.said = self.said.partition(text)[2]

    def interrupt(self, text):
        """Types Ctrl-C until `text` has been said.  Python's readline sees one that comes between its prompt and its wait only
        with the next key."""
        for _ in range(10):
            self.type("\x03")
            with contextlib.suppress(AssertionError):
                return self.expect(text, 5)
        return self.expect(text)

    def close(self):
        """Kills it, if it is there still, and returns its exit status, -N for signal N."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as file:
            if file.read().rpartition(")")[2].split()[0] != "Z":
                os.kill(self.pid, signal.SIGKILL)
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_the_prompt_outlives_ctrl_c():
    """At the prompt Ctrl-C ends the command that runs there, and neither the controller nor the switch nor a server."""
    terminal = Terminal(sys.executable, os.path.join(TOPOLOGY, "run.py"), "single", "--stay")
    try:
        for _ in range(2):
            terminal.expect("sallyport-net> ", 120)
            terminal.type("client1 ping vm1\n")
            terminal.expect("icmp_seq=2")
            terminal.type("\x03")
            terminal.expect("packet loss")
        terminal.expect("sallyport-net> ")
        terminal.interrupt("sallyport-net> ")
        terminal.type("sallyport bridge list\n")
        terminal.expect("  yes  ")
        terminal.type("sallyport rule add default inbound tcp 8080\n")
        terminal.expect("in force on every connected bridge")
        below = descendants(terminal.pid)
        terminal.type("exit\n")
        os.waitid(os.P_PID, terminal.pid, os.WEXITED | os.WNOWAIT)
    finally:
        status = terminal.close()
    assert status == 0 and len(below) >= 4
    await_gone(below)


def test_the_story():
    done = subprocess.run([sys.executable, os.path.join(TOPOLOGY, "demo.py")], capture_output=True, text=True, timeout=300,
                          check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 steps" in done.stdout and " 0 wrong" in done.stdout
