"""Want of memory at each allocation of the daemon's own code in turn, in the whole program: while it starts, while a change goes
its way, while something is read.

Nothing crashes.  A start that fails says so in one line, with status 2; a change is made and in force or refused and has changed
nothing (or made, and only its answer lacks the body); when there is memory again everything is in force, and nothing of it was
lost.  SALLYPORT_LONG=1 tries every
allocation; else some."""

import http.client
import os
import signal

import pytest
from faults import FAIL, MemoryDaemon
from lab import ApiError, dpid_text
from scene import DPID, Scene, is_settled, objects, settle, shape

LONG = bool(os.environ.get("SALLYPORT_LONG"))
CALLS_MAX = 100000


def steps(first):
    """1, 2, 3, ... or, for a short run, farther and farther apart."""
    number = first
    while number < CALLS_MAX:
        yield number
        number += 1 if LONG else 1 + number // 3


class World:
    def __init__(self, live, twin):
        self.scene = Scene(live, twin)
        self.scene.fill()
        self.daemon = self.scene.daemon = MemoryDaemon(self.scene.directory)
        self.daemon.options = ["--openflow", "unix:" + live.path]
        self.scene.restore()
        self.n_failed = 0

    def check(self):
        """All is in force, as a fresh daemon would have it."""
        settle(self.daemon)
        assert self.scene.live.flows() == self.scene.fresh_flows(self.daemon.database)

    def ask(self, method, path, body=None):
        try:
            return self.daemon.request(method, path, body)
        except (OSError, http.client.HTTPException):
            return None, None, None

    def failed(self):
        """Disarms.  Returns whether an allocation failed."""
        self.daemon.memory.disarm()
        assert self.daemon.is_running(), f"ended with status {self.daemon.wait()}:\n{self.daemon.log()[-2000:]}"
        self.n_failed += self.daemon.memory.n_done
        return self.daemon.memory.n_done


@pytest.fixture(scope="module")
def world(switches):
    made = World(*switches)
    with made.scene:
        yield made
        print(f"{made.n_failed} allocations failed")


def test_start(world):
    daemon = world.daemon
    for number in steps(1):
        world.scene.restore()
        daemon.memory.arm(number, FAIL)
        before = len(daemon.log()) if number > 1 else 0
        try:
            daemon.start()
        except ApiError:
            lines = [line for line in daemon.log()[before:].splitlines() if line.startswith("sallyportd: ")]
            assert (daemon.wait(), len(lines)) == (2, 1), f"allocation {number}: {daemon.log()[before:]}"
            world.n_failed += 1
            continue
        failed = world.failed()
        settle(daemon)  # One that failed on the way to the switch is made up for.
        if not failed:
            break
    world.check()


def changes(ids, scene):
    return {
        "rule": ("POST", f"/v1/security-groups/{ids['web']}/rules", {"direction": "inbound", "protocol": "udp", "port_min": 53}),
        "group": ("POST", "/v1/security-groups", {"region": "SV2", "name": "new", "template": "remote-login"}),
        "server": ("POST", "/v1/servers", scene.server(4, [ids["db"]])),
        "no server": ("DELETE", f"/v1/servers/{ids['vm3']}", None),
        "default": ("PATCH", f"/v1/security-groups/{ids['db']}", {"default": True}),
        "uplinks": ("PUT", f"/v1/bridges/{dpid_text(DPID)}", {"uplinks": []}),
    }


@pytest.mark.parametrize("name", ["rule", "group", "server", "no server", "default", "uplinks"])
def test_change(world, name):
    daemon, scene = world.daemon, world.scene
    method, path, body = changes(scene.ids, scene)[name]
    daemon.memory.disarm()
    scene.restore()
    daemon.start()
    settle(daemon)
    old, new = objects(daemon), None
    for number in steps(1):
        if new:
            scene.restore()
            daemon.start()
            settle(daemon)
            new = False
        daemon.memory.arm(number, FAIL)
        status, answer, headers = world.ask(method, path + "?wait=2", body)
        failed = world.failed()
        found = objects(daemon)
        new = found != old
        what = f"allocation {number}: {status} {answer}"
        if status in (200, 201, 202, 204):
            assert new, what
        elif status is not None:
            # With a revision: made, and there was no memory for the words.
            assert status in (429, 503) and new == ("Sallyport-Revision" in headers), what
        if status in (200, 201, 204) and headers["Sallyport-Applied"] == "true":
            assert is_settled(daemon), what
        if new or number % 4 == 0:
            world.check()
        if not failed:
            assert status in (200, 201, 204), what
            break
    else:
        pytest.fail("there is no end of allocations")
    daemon.end(signal.SIGKILL)
    daemon.start()
    assert shape(objects(daemon)) == shape(found)


def in_order(answer):
    """Without memory to sort them the objects of a list come in any order."""
    if isinstance(answer, dict):
        return {key: in_order(value) for key, value in answer.items()}
    return sorted(map(in_order, answer), key=str) if isinstance(answer, list) else answer


READS = ["/v1/regions", "/v1/security-groups", "/v1/servers?region=SV2", "/v1/bridges", "/v1/status", "/metrics", "/v1/openapi.json"]


@pytest.mark.parametrize("path", READS)
def test_read(world, path):
    """An answer that is short of something is none."""
    daemon = world.daemon
    daemon.memory.disarm()
    if not daemon.is_running():
        daemon.start()
    settle(daemon)
    status, expected, _ = daemon.request("GET", path)
    assert status == 200
    for number in steps(1):
        daemon.memory.arm(number, FAIL)
        status, answer, _ = world.ask("GET", path)
        failed = world.failed()
        assert status in (None, 503) or (status == 200 and ("metrics" in path or in_order(answer) == in_order(expected))), f"allocation {number}: {status} {answer}"
        if not failed:
            assert status == 200
            break
