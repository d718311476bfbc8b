"""The nets and the demo: that they do what they say, and leave nothing behind."""

import glob
import os
import signal
import subprocess
import sys

import pytest

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
        with open(task, encoding="ascii") as file:
            for child in file.read().split():
                found += [(child, start_time(child))] + descendants(child)
    return found


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
    assert [pid for pid, start in below if start and start_time(pid) == start] == []
    assert os.listdir(tmp_path) == []
    assert traces() == before


def test_the_story():
    done = subprocess.run([sys.executable, os.path.join(TOPOLOGY, "demo.py")], capture_output=True, text=True, timeout=300,
                          check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 steps" in done.stdout and " 0 wrong" in done.stdout
