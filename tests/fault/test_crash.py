"""The daemon is killed at each call in turn by which a change gets to the disk, or that call fails.

Killed: the next start finds the database before the change or behind it, behind it if the change was answered; and the
switch gets just the flows of that.  Failed: the change is refused with 503 and has changed nothing, neither now nor after a
crash, and the next one is taken.  SALLYPORT_LONG=1 tries every call; else some of each change."""

import errno
import http.client
import os
import signal

import pytest
from faults import ALWAYS, FAIL, KILL, KILL_HALF, SHORT
from lab import ApiError, dpid_text
from scene import DPID, Scene, objects, settle, shape

import ovs


LONG = bool(os.environ.get("SALLYPORT_LONG"))
STRIDE = 1 if LONG else 5  # Of the calls of a change.
CALLS_MAX = 500
HEALED = "can be written to"
MAY_COUNT = "the change may count from its next start on"


class World:
    """The scene, and for each change what is there before and behind it."""

    def __init__(self, live, twin):
        self.scene = Scene(live, twin)
        self.daemon = self.scene.daemon
        self.scene.fill()
        self.daemon.start()
        settle(self.daemon)
        self.old = objects(self.daemon)
        self.scene.end()
        self.old_flows = self.scene.fresh_flows(self.scene.base)
        self.new, self.n_killed, self.n_failed, self.n_new = {}, 0, 0, 0  # new: of each change, the shape of what is there.
        self.is_base = False  # The daemon runs, disarmed, and its database is the base.

    def requests(self, name):
        ids = self.scene.ids
        return {
            "rule": ("POST", f"/v1/security-groups/{ids['web']}/rules", {"direction": "inbound", "protocol": "udp", "port_min": 53}),
            "rules": ("PUT", f"/v1/security-groups/{ids['db']}/rules", {"rules": [
                {"direction": "inbound", "protocol": "tcp", "port_min": port, "action": "deny"} for port in range(100, 140)]}),
            "group": ("POST", "/v1/security-groups", {"region": "SV2", "name": "new", "template": "remote-login"}),
            "server": ("POST", "/v1/servers", self.scene.server(4, [ids["db"]])),
            "no server": ("DELETE", f"/v1/servers/{ids['vm3']}", None),
            "default": ("PATCH", f"/v1/security-groups/{ids['db']}", {"default": True}),
            "uplinks": ("PUT", f"/v1/bridges/{dpid_text(DPID)}", {"uplinks": []}),
        }[name]

    def ask_whole(self, name):
        """Status and body of the answer to the change; None, None if there was none."""
        method, path, body = self.requests(name)
        try:
            return self.daemon.request(method, path + "?wait=30", body)[:2]
        except (OSError, http.client.HTTPException):
            return None, None

    def ask(self, name):
        return self.ask_whole(name)[0]

    def begin(self):
        """The daemon runs on the base, and its disk works."""
        self.daemon.disk.disarm()
        if not self.is_base or not self.daemon.is_running():
            self.scene.restore()
            self.daemon.start()
            settle(self.daemon)
        self.is_base = False

    def behind(self, name):
        """Finds out what is there behind a change that nothing disturbs."""
        if name not in self.new:
            self.begin()
            assert self.ask(name) in (200, 201, 204)
            self.new[name] = shape(objects(self.daemon))

    def judge(self, name, answered):
        """The daemon has been started again.  Returns whether the change is there."""
        settle(self.daemon)
        found = objects(self.daemon)
        is_new = found != self.old
        if is_new:
            assert shape(found) == self.new[name]
            flows = self.scene.fresh_flows(self.daemon.database)
        else:
            assert not answered, "an answered change is gone"
            flows = self.old_flows
        assert self.scene.live.flows() == flows
        self.is_base = not is_new
        self.n_new += is_new
        return is_new


@pytest.fixture(scope="module")
def world(switches):
    made = World(*switches)
    with made.scene:
        yield made


CHANGES = ["rule", "rules", "group", "server", "no server", "default", "uplinks"]


@pytest.mark.parametrize("action", [KILL, KILL_HALF], ids=["killed", "killed half way"])
@pytest.mark.parametrize("name", CHANGES)
def test_killed_at_each_call(world, name, action):
    world.behind(name)
    daemon, number = world.daemon, 1 + (CHANGES.index(name) * 2 + action) % STRIDE
    while True:
        world.begin()
        daemon.disk.arm(number, action)
        status = world.ask(name)
        if not daemon.disk.n_done:
            assert status in (200, 201, 204), (number, status)
            break
        assert daemon.wait() == -signal.SIGKILL
        daemon.disk.disarm()
        daemon.start()
        world.judge(name, status is not None)
        world.n_killed += 1
        number += STRIDE
        assert number < CALLS_MAX
    print(f"{name}: {number - 1} calls, {world.n_killed} kills so far, {world.n_new} of them behind the change")


FAILURES = {"EIO": (FAIL, errno.EIO, 1), "no space": (FAIL, errno.ENOSPC, ALWAYS), "read-only": (FAIL, errno.EROFS, ALWAYS),
            "short": (SHORT, errno.ENOSPC, 1), "broken": (FAIL, errno.EIO, ALWAYS)}


@pytest.mark.parametrize("how", FAILURES)
@pytest.mark.parametrize("name", CHANGES)
def test_failed_at_each_call(world, name, how):
    """And the next change is taken as soon as the disk works."""
    world.behind(name)
    action, error, times = FAILURES[how]
    stride = STRIDE if LONG or times == 1 else 3 * STRIDE
    daemon, number = world.daemon, 1 + (CHANGES.index(name) * 2 + list(FAILURES).index(how)) % stride
    while True:
        world.begin()
        n_healed = daemon.log().count(HEALED)
        daemon.disk.arm(number, action, error, times)
        status = world.ask(name)
        n_done = daemon.disk.n_done
        assert daemon.is_running(), daemon.log()
        if not n_done:
            assert status in (200, 201, 204)
            break
        world.n_failed += 1
        if status == 503:
            assert objects(daemon) == world.old
            assert world.scene.live.flows() == world.old_flows, "enforcement does not go on"
        else:
            assert status in (200, 201, 204), (number, status, daemon.log())
        daemon.disk.disarm()
        heals = number % 2 == 0
        if status == 503 and times == ALWAYS and not heals:
            ovs.wait_until(lambda: daemon.log().count(HEALED) > n_healed, "the store overwrites what it has refused", 30)
        if heals and status == 503:
            assert world.ask(name) in (200, 201, 204), "it does not heal"
        daemon.end(signal.SIGKILL)
        daemon.start()
        is_new = world.judge(name, heals or status != 503)
        assert heals or status != 503 or not is_new, f"call {number}: what was refused is there after a crash"
        number += stride
        assert number < CALLS_MAX
    print(f"{name}, {how}: {number - 1} calls, {world.n_failed} failures so far")


@pytest.mark.parametrize("name", CHANGES if LONG else CHANGES[:1])
def test_killed_before_it_is_undone(world, name):
    """A disk that goes on failing may keep what was refused.  That a crash can bring it back is said with the refusal."""
    world.behind(name)
    daemon, number, n_back = world.daemon, 1, 0
    while True:
        world.begin()
        daemon.disk.arm(number, FAIL, errno.EIO, ALWAYS)
        status, answer = world.ask_whole(name)
        if not daemon.disk.n_done:
            break
        daemon.end(signal.SIGKILL)
        daemon.disk.disarm()
        daemon.start()
        is_new = world.judge(name, status != 503)
        if status == 503 and is_new:
            assert MAY_COUNT in answer["detail"], f"call {number}: {answer}"
            n_back += 1
        number += 1
        assert number < CALLS_MAX
    print(f"{name}: {number - 1} calls, {n_back} times what was refused was there after a crash")
    assert n_back, "there was no such failure"


@pytest.mark.parametrize("action", [KILL, KILL_HALF, FAIL])
def test_start_at_each_call(world, action):
    """The database is made, or is not; another start finishes it.  Then the same with a log that a crash has left."""
    daemon, scene = world.daemon, world.scene
    for is_new in (True, False):
        if not is_new:
            world.begin()
            assert world.ask("rule") == 201
            daemon.end(signal.SIGKILL)
            crashed = os.path.join(scene.directory, "crashed.db")
            scene.copy(daemon.database, crashed)
        number = 1 + action % (3 if LONG else 9)
        while True:
            scene.end()
            scene.copy(os.path.join(scene.directory, "none.db") if is_new else crashed, daemon.database)
            daemon.disk.arm(number, action, errno.EIO)
            try:
                daemon.start()
                is_started = True
            except (ApiError, OSError):
                is_started = False
            n_done = daemon.disk.n_done
            daemon.disk.disarm()
            if not is_started:
                assert n_done and daemon.wait() == (2 if action == FAIL else -signal.SIGKILL)
                daemon.start()
            if is_new:
                assert daemon.get("/v1/regions")["regions"] == []
            else:
                world.judge("rule", True)
            if not n_done:
                break
            number += 1 if LONG else 9
            assert number < CALLS_MAX
        print(f"new {is_new}: {number - 1} calls")
    world.is_base = False


@pytest.mark.parametrize("action", [KILL, KILL_HALF, FAIL])
def test_end_at_each_call(world, action):
    """A clean end works the log into the database and removes it: nothing is lost on the way."""
    daemon, number = world.daemon, 1 + action
    while True:
        world.begin()
        assert world.ask("default") == 200
        daemon.disk.arm(number, action, errno.EIO, ALWAYS)
        status = daemon.end()
        n_done = daemon.disk.n_done
        assert status in ((0,) if action == FAIL or not n_done else (-signal.SIGKILL,))
        daemon.disk.disarm()
        daemon.start()
        world.judge("default", True)
        if not n_done:
            break
        number += 1 if LONG else 7
        assert number < CALLS_MAX
