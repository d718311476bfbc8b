"""Damaged databases: bytes flipped, ends cut off, pages zeroed and swapped, the log of changes likewise, rows edited.

The daemon either does not start, says why in one line and sends no switch anything, or what it serves is exactly what was stored
(the damage hit what means nothing).  SALLYPORT_LONG=1: a thousand databases, else sixty."""

import os
import random
import signal
import sqlite3
from collections import Counter

import pytest
from lab import ApiError, Daemon
from scene import Scene, objects, settle

N_DATABASES = 1000 if os.environ.get("SALLYPORT_LONG") else 60
PAGE = 4096
FRAME, WAL_HEAD = 24, 32
EDITS = [
    "UPDATE rule SET port_min = port_min + 1, port_max = port_max + 1 WHERE port_min > 0",
    "UPDATE rule SET action = 'deny'", "UPDATE rule SET direction = 'outbound'", "UPDATE rule SET priority = 1000",
    "UPDATE rule SET remote_ip = '10.0.0.0/8' WHERE remote_group IS NULL", "UPDATE rule SET protocol = 17 WHERE protocol = 6",
    "UPDATE rule SET remote_ip = 'nonsense'", "UPDATE rule SET description = 'x'", "DELETE FROM rule", "DELETE FROM server_group",
    "UPDATE server SET name = 'other'", "UPDATE server SET kind = 'baremetal'", "UPDATE server SET rule_set = NULL", "DELETE FROM server",
    "UPDATE port SET port_security = 0", "UPDATE port SET vlan = 7", "UPDATE port SET mac = '02:00:00:00:00:99'", "UPDATE port SET zone = zone + 1",
    "UPDATE port_ip SET ip = '10.9.0.77'", "DELETE FROM port_ip", "DELETE FROM bridge_uplink", "UPDATE bridge_uplink SET name = 'p1'",
    "UPDATE counters SET revision = 1", "UPDATE counters SET next_mark = 1", "UPDATE counters SET next_zone = 1", "UPDATE counters SET next_slot = 9999",
    "UPDATE admission SET mark = mark + 1 WHERE mark", "UPDATE admission SET slot = slot + 50", "UPDATE rule_set SET version = version + 1",
    "UPDATE region SET number = number + 1", "UPDATE region SET created_at = 0", "UPDATE security_group SET name = 'x'", "DELETE FROM region",
    "UPDATE region SET default_group = NULL", "UPDATE security_group SET revision = 1", "DROP INDEX server_region", "DROP INDEX admission_rule",
    "CREATE INDEX more ON rule (priority)", "CREATE TABLE more (x)", "CREATE TRIGGER more AFTER INSERT ON rule BEGIN DELETE FROM rule; END",
]


class Databases:
    """Two that are sound, of the same content: at rest, and as a crash leaves one, with all that was answered in its log."""

    def __init__(self, scene):
        self.scene = scene
        scene.fill()
        daemon = scene.daemon
        daemon.start()
        for port in range(9000, 9010):
            daemon.change("POST", f"/v1/security-groups/{scene.ids['web']}/rules", {"direction": "inbound", "protocol": "udp", "port_min": port})
        daemon.change("DELETE", f"/v1/servers/{scene.ids['vm3']}")
        settle(daemon)
        self.objects, self.flows = objects(daemon), scene.live.flows()
        self.revision = daemon.get("/v1/status")["revision"]
        daemon.end(signal.SIGKILL)
        self.crashed = self.read()
        daemon.start()
        daemon.end()
        self.rest = self.read()
        assert self.crashed["-wal"] and not self.rest.get("-wal")

    def read(self):
        found = {}
        for ending in ("", "-wal", "-seal"):
            if os.path.exists(self.scene.daemon.database + ending):
                with open(self.scene.daemon.database + ending, "rb") as file:
                    found[ending] = bytearray(file.read())
        return found

    def write(self, files):
        for ending in ("", "-wal", "-seal", "-journal"):
            path = self.scene.daemon.database + ending
            if os.path.exists(path):
                os.unlink(path)
            if ending in files:
                with open(path, "wb") as file:
                    file.write(files[ending])

    def edit(self, sql):
        self.write(self.rest)
        connection = sqlite3.connect(self.scene.daemon.database)
        connection.execute("PRAGMA ignore_check_constraints = ON")
        try:
            connection.execute(sql)
            connection.commit()
        finally:
            connection.close()

    def judge(self, what):
        """Returns whether it was refused."""
        daemon = Daemon(self.scene.directory, "sallyport")
        daemon.options = self.scene.daemon.options
        before = len(daemon.log())
        try:
            daemon.start()
        except ApiError:
            lines = daemon.log()[before:].splitlines()
            assert daemon._process.returncode == 2, f"{what}: status {daemon._process.returncode}, {lines}"
            assert len(lines) == 1 and lines[0].startswith("sallyportd: --db: ") and daemon.database in lines[0], f"{what}: {lines}"
            assert self.scene.live.flows() == self.flows, what
            return True
        try:
            assert objects(daemon) == self.objects, f"{what}: accepted as something else"
            assert daemon.get("/v1/status")["revision"] == self.revision, what
            settle(daemon)
            assert self.scene.live.flows() == self.flows, what
            return False
        finally:
            daemon.end(signal.SIGKILL)


@pytest.fixture(scope="module")
def databases(switches):
    with Scene(*switches) as scene:
        yield Databases(scene)


def flip(data, rng):
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        at = rng.randrange(len(data))
        if rng.random() < 0.3:
            at = at // PAGE * PAGE + rng.randrange(100)  # Where the structure of a page is.
        data[min(at, len(data) - 1)] ^= 1 << rng.randrange(8)


def truncate(data, rng):
    del data[rng.randrange(2, len(data)):]


def zero(data, rng):
    at = rng.randrange(0, len(data), PAGE)
    data[at:at + PAGE] = bytes(len(data[at:at + PAGE]))


def swap(data, rng):
    one, other = (rng.randrange(1, len(data) // PAGE) * PAGE for _ in range(2))
    data[one:one + PAGE], data[other:other + PAGE] = data[other:other + PAGE], data[one:one + PAGE]


def repeat(data, rng):
    """A write that went to the wrong place."""
    one, other = (rng.randrange(1, len(data) // PAGE) * PAGE for _ in range(2))
    data[other:other + PAGE] = data[one:one + PAGE]


def drop_frame(data, rng):
    size = FRAME + PAGE
    number = rng.randrange((len(data) - WAL_HEAD) // size)
    del data[WAL_HEAD + number * size:WAL_HEAD + (number + 1) * size]


def cut_frames(data, rng):
    size = FRAME + PAGE
    del data[WAL_HEAD + rng.randrange((len(data) - WAL_HEAD) // size) * size:]


def empty(data, _rng):
    del data[:]


DAMAGES = {"": (flip, flip, flip, truncate, zero, swap, repeat), "-wal": (flip, flip, truncate, zero, drop_frame, cut_frames, empty)}


def test_damaged(databases):
    seed = int(os.environ.get("SALLYPORT_SEED") or random.SystemRandom().randrange(1 << 32))
    print("seed", seed)
    rng, count, wrong = random.Random(seed), Counter(), []
    for number in range(N_DATABASES):
        ending = rng.choice(("", "", "-wal"))
        files = {name: bytearray(data) for name, data in (databases.crashed if ending == "-wal" or rng.random() < 0.3 else databases.rest).items()}
        damage = rng.choice(DAMAGES[ending])
        before = bytes(files[ending])
        damage(files[ending], rng)
        if files[ending] == before:
            continue
        databases.write(files)
        what = f"database {number} of seed {seed}, {damage.__name__} of {ending or 'the file'}"
        try:
            count[ending, damage.__name__, databases.judge(what)] += 1
        except AssertionError as error:
            wrong.append(str(error).splitlines()[0])
    for (ending, damage, refused), n in sorted(count.items()):
        print(f"{damage:12}{ending or 'file':6}{'refused' if refused else 'as stored':10}{n}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("sql", EDITS)
def test_edited(databases, sql):
    """Another hand is not believed, however well it keeps to the schema."""
    databases.edit(sql)
    assert databases.judge(sql)


@pytest.mark.parametrize("what", ["older", "empty", "gone"])
def test_replaced(databases, what):
    """A database that has less than what was answered is taken only if the seal is removed."""
    older = databases.scene.base
    files = {"": bytearray(), "-seal": databases.rest["-seal"]}
    if what == "older":
        with open(older, "rb") as file:
            files[""] = file.read()
    elif what == "gone":
        del files[""]
    databases.write(files)
    assert databases.judge(what)
    assert what != "gone" or not os.path.exists(databases.scene.daemon.database)
    os.unlink(databases.scene.daemon.database + "-seal")
    daemon = Daemon(databases.scene.directory)  # Which has no switch.
    daemon.start()
    assert len(daemon.get("/v1/regions")["regions"]) == (what == "older")
    daemon.end()


def test_damaged_seal(databases):
    """Says so, and is made anew by the next change."""
    for change in (lambda seal: seal[:40], lambda seal: bytes(len(seal)), lambda seal: seal.replace(b"1", b"2")):
        databases.write({**databases.rest, "-seal": change(bytes(databases.rest["-seal"]))})
        daemon = Daemon(databases.scene.directory)
        count = daemon.log().count("is damaged, and proves nothing")
        daemon.start()
        assert daemon.log().count("is damaged, and proves nothing") == count + 1
        daemon.change("POST", "/v1/security-groups", {"region": "SV2", "name": "later"})
        daemon.end()
        daemon.start()
        assert daemon.log().count("is damaged, and proves nothing") == count + 1
        daemon.end()


def test_sound(databases):
    for files in (databases.rest, databases.crashed):
        databases.write(files)
        assert not databases.judge("nothing")
