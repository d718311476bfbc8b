"""No room on the disk, in the log, or for another descriptor: what has to be written is refused, enforcement goes on, and it heals
without a restart."""

import contextlib
import errno
import os
import resource
import socket
import subprocess
import time

import pytest
from lab import Daemon, ovs
from scene import Scene, objects, settle

CPU_MAX = 0.3  # Of a processor: a loop that waits for nothing takes all of one.
WATCH_S = 2


@pytest.fixture
def scene(switches):
    with Scene(*switches) as made:
        made.fill()
        made.daemon = Daemon(made.directory)
        made.daemon.options = ["--openflow", "unix:" + made.live.path]
        yield made


def add_rules(scene, port, n=300):
    rules = [{"direction": "inbound", "protocol": "tcp", "port_min": port + 2 * number} for number in range(n)]
    return scene.daemon.request("PUT", f"/v1/security-groups/{scene.ids['web']}/rules?wait=30", {"rules": rules})


def enforces(scene, flows):
    """What another hand deletes comes back."""
    scene.live.wipe()
    ovs.wait_until(lambda: scene.live.flows() == flows, "the flows come back", 60)


def test_full_disk(scene):
    """A real file system with no block left, under the database alone."""
    room, base = os.path.join(scene.directory, "room"), scene.daemon.database
    os.mkdir(room)
    scene.daemon.database = os.path.join(room, "sallyport.db")
    scene.daemon.prefix = ["unshare", "--mount", "sh", "-ec",
                           'mount -t tmpfs -o size=4m none "$0"; cp "$1" "$2"; shift 2; exec "$@"', room, base, scene.daemon.database]
    # $0 is the room, $1 the base and $2 the copy: shifted away, the daemon's own words follow.
    scene.daemon.start()
    settle(scene.daemon)
    before, flows = objects(scene.daemon), scene.live.flows()
    inside = f"/proc/{scene.daemon.pid}/root{room}/filler"
    for attempt in range(3):
        with open(inside, "wb", buffering=0) as filler:
            with pytest.raises(OSError) as full:
                while True:
                    filler.write(bytes(1 << 16))
            assert full.value.errno == errno.ENOSPC
            with contextlib.suppress(OSError):
                while True:
                    filler.write(bytes(1))
        # What fits into blocks that are there already may be taken; the disk is not asked for more than that.
        for port in range(1000, 60000, 1000):
            status, answer, headers = add_rules(scene, port + attempt)
            if status == 503:
                break
            assert status == 200, answer
            before, flows = objects(scene.daemon), scene.live.flows()
        assert status == 503 and headers["Retry-After"] and "stored" in answer["detail"], answer
        assert objects(scene.daemon) == before
        enforces(scene, flows)
        os.unlink(inside)
        status, answer, headers = add_rules(scene, 2000 + attempt)
        assert status == 200 and headers["Sallyport-Applied"] == "true", answer
        before, flows = objects(scene.daemon), scene.live.flows()


@pytest.mark.parametrize("where", ["/dev/full", "a pipe that nobody reads"])
def test_full_log(scene, where):
    path = where
    if where != "/dev/full":
        path = os.path.join(scene.directory, "fifo")
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        filler = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(filler, bytes(4096))
    scene.daemon.prefix = ["sh", "-c", 'exec "$@" 2>"$0"', path]
    scene.daemon.options += ["--log-level", "debug"]
    scene.daemon.start()
    settle(scene.daemon)
    status, answer, headers = add_rules(scene, 1000)
    assert status == 200 and headers["Sallyport-Applied"] == "true", answer
    enforces(scene, scene.live.flows())
    if where != "/dev/full":
        while True:  # Whoever reads again gets lines again.
            with contextlib.suppress(BlockingIOError):
                if not os.read(reader, 1 << 20).strip(b"\0"):
                    continue
            status, answer, _ = add_rules(scene, 2000)
            assert status == 200
            assert b"revisions" in os.read(reader, 1 << 20)
            break
        os.close(reader)
        os.close(filler)


def cpu_s(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def n_descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.mark.parametrize("room", [0, 3])
def test_no_descriptors(scene, room):
    """Neither spins nor lets go of what it has; and takes connections again when it can."""
    daemon = scene.daemon
    daemon.options += ["--http", "127.0.0.1:0"]
    daemon.start()
    settle(daemon)
    connects = daemon.metric("bridge_connects_total")
    soft, hard = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    daemon._drop()
    ovs.wait_until(lambda: not any("http" in one for one in established(daemon)), "no HTTP connection is left", 20)
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (n_descriptors(daemon.pid) + room, hard))
    with contextlib.ExitStack() as stack:
        for path in [daemon.http] * 8 + [daemon.openflow] * 8:
            knocking = stack.enter_context(socket.socket(socket.AF_UNIX))
            knocking.connect(path)
        begin, before = time.monotonic(), cpu_s(daemon.pid)
        while time.monotonic() < begin + WATCH_S:  # What is measured is this time.
            time.sleep(0.1)
        used = (cpu_s(daemon.pid) - before) / (time.monotonic() - begin)
        assert used < CPU_MAX, f"{used:.0%} of a processor for nothing"
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (soft, hard))
        status, answer, headers = add_rules(scene, 1000)
        assert status == 200 and headers["Sallyport-Applied"] == "true", answer
    assert daemon.metric("bridge_connects_total") == connects


def established(daemon):
    text = subprocess.run(["ss", "-xnpH"], capture_output=True, text=True, check=True).stdout
    return [line for line in text.splitlines() if f"pid={daemon.pid}," in line and daemon.http in line and "ESTAB" in line]
