"""The OVSDB client against a real ovsdb-server, driven by build/tests/system/drive_ovsdb."""

import os
import queue
import subprocess
import sys
import threading

import pytest

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, TOP)

from topology.ovs import SCHEMA, Ovs, listens, run, wait_until  # noqa: E402

DRIVE = os.path.join(TOP, os.environ.get("BUILD", "build"), "tests", "system", "drive_ovsdb")


class Database:
    """An ovsdb-server of one's own, which can go away and come back.  No switch runs on it: the test writes what one would."""

    def __init__(self, directory):
        self.directory = directory
        self.remotes = []
        self.child = None
        run("ovsdb-tool", "create", self.path("conf.db"), SCHEMA)

    def path(self, name):
        return os.path.join(self.directory, name)

    def start(self, *remotes):
        self.remotes = list(remotes) or self.remotes
        self.child = subprocess.Popen(
            ["ovsdb-server", self.path("conf.db"), f"--remote=punix:{self.path('db.sock')}", "--no-chdir", "-vsyslog:off",
             f"--unixctl={self.path('ctl')}", f"--pidfile={self.path('pid')}",
             *(f"--remote={remote}" for remote in self.remotes)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ, OVS_RUNDIR=str(self.directory)))
        wait_until(lambda: self.child.poll() is None and listens(self.path("db.sock")), "ovsdb-server")

    def stop(self):
        if self.child:
            self.child.kill()
            self.child.wait()
            self.child = None
            os.unlink(self.path("db.sock"))

    def vsctl(self, *arguments):
        run("ovs-vsctl", f"--db=unix:{self.path('db.sock')}", "--no-wait", *arguments)

    def add_bridge(self, name, dpid):
        self.vsctl("add-br", name, "--", "set", "bridge", name, f'datapath_id="{dpid:016x}"')

    def add_port(self, bridge, name, iface_id):
        self.vsctl("add-port", bridge, name, "--", "set", "interface", name, f"external_ids:iface-id={iface_id}",
                   "external_ids:x=y")


class Drive:
    def __init__(self, method):
        self.child = subprocess.Popen([DRIVE, method], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.lines = queue.Queue()
        self.flaws = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.port = int(self.next().split()[1])

    def _read(self):
        for line in self.child.stdout:
            (self.flaws if line.startswith("flaw ") else self.lines).put(line.strip())

    def next(self, timeout=60):
        return self.lines.get(timeout=timeout)

    def stop(self):
        self.child.terminate()
        return self.child.wait(30)


@pytest.fixture
def database(tmp_path):
    made = Database(tmp_path)
    made.start()
    made.vsctl("init")
    yield made
    made.stop()


@pytest.fixture
def drive():
    drives = []

    def start(method):
        drives.append(Drive(method))
        return drives[-1]

    yield start
    for one in drives:
        assert one.stop() == 0
        assert one.lines.empty(), one.lines.get()


def test_what_is_there_and_what_changes(database, drive):
    database.add_bridge("br0", 0xabc)
    database.add_port("br0", "tap1", "vm1")
    database.add_port("br0", "tap2", "vm2")
    follower = drive(f"unix:{database.path('db.sock')}")
    assert [follower.next(), follower.next()] == ["bound vm1 0000000000000abc tap1", "bound vm2 0000000000000abc tap2"]
    database.vsctl("set", "interface", "tap1", "external_ids:iface-id=vm3")
    assert [follower.next(), follower.next()] == ["unbound vm1 0000000000000abc tap1", "bound vm3 0000000000000abc tap1"]
    database.vsctl("set", "interface", "tap1", "external_ids:x=z")
    database.vsctl("remove", "interface", "tap1", "external_ids", "iface-id")
    assert follower.next() == "unbound vm3 0000000000000abc tap1"
    database.vsctl("del-port", "tap2")
    assert follower.next() == "unbound vm2 0000000000000abc tap2"


def test_bridges_that_are_not_set_up_right(database, drive):
    database.add_bridge("br0", 1)
    follower = drive(f"unix:{database.path('db.sock')}")

    def told(*words):
        line = follower.flaws.get(timeout=60)
        assert line.startswith("flaw 0000000000000001 ") and all(word in line for word in words), line
        return line

    assert "in-band" not in told("fail_mode is not secure")
    database.vsctl("set-controller", "br0", "tcp:127.0.0.1:6653")
    told("fail_mode is not secure", "disable-in-band")
    database.vsctl("set-fail-mode", "br0", "secure")
    assert "fail_mode" not in told("disable-in-band")
    database.vsctl("set", "bridge", "br0", "other_config:disable-in-band=true")
    told(" none")
    database.stop()
    database.start()
    database.vsctl("set", "bridge", "br0", "other_config:disable-in-band=false")
    assert "fail_mode" not in told("disable-in-band")
    database.vsctl("set", "controller", "br0", "connection_mode=out-of-band")
    told(" none")
    database.vsctl("set-fail-mode", "br0", "standalone")
    told("fail_mode is not secure")
    database.vsctl("del-br", "br0")
    told(" none")


def test_port_moves_between_bridges(database, drive):
    database.add_bridge("br0", 1)
    database.add_bridge("br1", 2)
    database.add_port("br0", "tap1", "vm1")
    follower = drive(f"unix:{database.path('db.sock')}")
    assert follower.next() == "bound vm1 0000000000000001 tap1"
    database.vsctl("del-port", "tap1", "--", "add-port", "br1", "tap1", "--", "set", "interface", "tap1",
                   "external_ids:iface-id=vm1")
    assert [follower.next(), follower.next()] == ["unbound vm1 0000000000000001 tap1", "bound vm1 0000000000000002 tap1"]
    database.vsctl("set", "bridge", "br1", 'datapath_id="0000000000000003"')
    assert [follower.next(), follower.next()] == ["unbound vm1 0000000000000002 tap1", "bound vm1 0000000000000003 tap1"]
    database.vsctl("del-br", "br1")
    assert follower.next() == "unbound vm1 0000000000000003 tap1"


def test_server_comes_back(database, drive):
    """What was told counts while the server is away, even what it has forgotten: datapath ids are ephemeral and come back only
    with ovs-vswitchd.  Then only the difference is told."""
    database.add_bridge("br0", 1)
    database.add_port("br0", "tap1", "vm1")
    database.add_port("br0", "tap2", "vm2")
    follower = drive(f"unix:{database.path('db.sock')}")
    assert [follower.next(), follower.next()] == ["bound vm1 0000000000000001 tap1", "bound vm2 0000000000000001 tap2"]
    database.stop()
    database.start()
    database.add_port("br0", "tap3", "vm3")
    assert follower.next() == "bound vm3 0000000000000001 tap3"


def test_server_is_not_there_yet(tmp_path, drive):
    database = Database(tmp_path)
    follower = drive(f"unix:{database.path('db.sock')}")
    database.start()
    try:
        database.vsctl("init")
        database.add_bridge("br0", 1)
        database.add_port("br0", "tap1", "vm1")
        assert follower.next() == "bound vm1 0000000000000001 tap1"
    finally:
        database.stop()


def test_switches_that_call_in(tmp_path, drive):
    """As after `ovs-vsctl set-manager tcp:...` on each host; one of them twice."""
    follower = drive("ptcp:0:127.0.0.1")
    databases = []
    try:
        for i in (1, 2):
            folder = tmp_path / str(i)
            folder.mkdir()
            database = Database(folder)
            databases.append(database)
            database.start(f"tcp:127.0.0.1:{follower.port}")
            database.vsctl("init")
            database.add_bridge("br0", i)
            database.add_port("br0", "tap1", f"vm{i}")
            assert follower.next() == f"bound vm{i} {i:016x} tap1"
        databases[0].stop()
        databases[0].start()
        databases[0].vsctl("del-port", "tap1")
        assert follower.next() == "unbound vm1 0000000000000001 tap1"
    finally:
        for database in databases:
            database.stop()


def test_with_a_switch(drive):
    with Ovs() as ovs:
        follower = drive(f"unix:{ovs.path('db.sock')}")
        ovs.add_bridge("br0", dpid=0xabcdef)
        ovs.add_port("br0", "p1", ovs.add_host("vm1"), external_ids={"iface-id": "one"})
        assert follower.next() == "bound one 0000000000abcdef p1"
        ovs.restart_switch()
        ovs.remove_port("br0", "p1")
        assert follower.next() == "unbound one 0000000000abcdef p1"


def test_a_thousand_interfaces(database, drive):
    database.add_bridge("br0", 1)
    database.vsctl(*[word for i in range(1000) for word in
                     ("--", "add-port", "br0", f"tap{i}", "--", "set", "interface", f"tap{i}", f"external_ids:iface-id=vm{i}")])
    follower = drive(f"unix:{database.path('db.sock')}")
    assert {follower.next() for _ in range(1000)} == {f"bound vm{i} 0000000000000001 tap{i}" for i in range(1000)}
    database.vsctl("del-br", "br0")
    assert {follower.next() for _ in range(1000)} == {f"unbound vm{i} 0000000000000001 tap{i}" for i in range(1000)}


def test_echo_is_answered(database, drive):
    """A server that probes every second would drop a client that does not answer."""
    follower = drive("ptcp:0:127.0.0.1")
    database.stop()
    database.start("db:Open_vSwitch,Open_vSwitch,manager_options")
    database.add_bridge("br0", 1)
    database.vsctl("set-manager", f"tcp:127.0.0.1:{follower.port}", "--", "set", "manager", ".", "inactivity_probe=1000")
    database.add_port("br0", "tap1", "vm1")
    assert follower.next() == "bound vm1 0000000000000001 tap1"

    def connected_for():
        text = run("ovs-vsctl", f"--db=unix:{database.path('db.sock')}", "get", "manager", ".", "status:sec_since_connect",
                   check=False)  # It appears after some seconds.
        return int(text.strip().strip('"') or 0) >= 4

    wait_until(connected_for, "a connection of 4 s with a probe each second", timeout=60)
