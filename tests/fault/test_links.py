"""Real links between the daemon and a real Open vSwitch, a veth pair between two namespaces, that fail as links do: nothing passes any
more, in both directions or in one, and no packet says so; again and again; or all is slow.

What is lost is noticed within 15 s: the bridge is shown as not connected and the log says why.  Meanwhile rules change.  When the link
is whole again the bridge connects once, gets what it lacks and nothing else, and has never had a rule that it should not have.

And eight switches of eleven read no more, one after the other, while a push for each is under way: the others' echoes go on.

SALLYPORT_LONG=1: all of this; else one loss, and flapping."""

import os
import re
import shutil
import sys
import tempfile
import threading

import flow_dump
import pytest
from lab import Daemon, Place, ovs

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "abuse"))

import peer  # noqa: E402

DPID = "00000000000000e7"
CONTROLLER, SWITCH = "192.0.2.1", "192.0.2.2"
NOTICED_S = 15 + 15      # What is promised, and what a loaded machine may make of it.
BACK_S = 60
NOWHERE = "02:00:00:00:00:ff"
CT_TP_DST = re.compile(b"\x00\x01\xfa\x02(..)", re.DOTALL)  # NXM_NX_CT_TP_DST, without a mask.


class Link(Place):
    """`to-c` in the switch's namespace, `to-s` in the daemon's."""

    def start(self):
        self.switch.start()
        self.host = self.switch.add_host("controller")
        self.ends = {"to-c": (self.switch.netns, SWITCH, CONTROLLER), "to-s": (self.host.netns, CONTROLLER, SWITCH)}
        ovs.run("ip", "link", "add", "to-c", "netns", self.switch.netns, "type", "veth", "peer", "name", "to-s", "netns", self.host.netns)
        for name, (netns, own, _) in self.ends.items():
            ovs.run("ip", "-n", netns, "address", "add", own + "/24", "dev", name)
            ovs.run("ip", "-n", netns, "link", "set", name, "up")
        self.macs = {name: ovs.run("ip", "netns", "exec", netns, "cat", f"/sys/class/net/{name}/address").strip()
                     for name, (netns, _, _) in self.ends.items()}
        self.daemon.prefix = ["ip", "netns", "exec", self.host.netns]
        self.daemon.options = ["--openflow", f"ptcp:6653:{CONTROLLER}"]
        self.daemon.start()
        self.switch.add_bridge("br0", int(DPID, 16))
        self.switch.vsctl("add-port", "br0", "p1", "--", "set", "interface", "p1", "type=patch", "options:peer=no-p1")
        self.heal()
        self.switch.set_controllers("br0", f"tcp:{CONTROLLER}:6653")
        self.daemon.change("PUT", "/v1/regions/SV2")
        self.group = self.daemon.change("POST", "/v1/security-groups", {"region": "SV2", "name": "web", "rules": self.rules({1000})})["id"]
        self.daemon.change("POST", "/v1/servers", {"region": "SV2", "name": "vm1", "security_groups": [self.group], "ports": [
            {"bridge": DPID, "port": "p1", "mac": "02:00:00:00:00:01", "ips": ["10.9.0.1"]}]})
        self.allowed = {1000}
        self.await_ports({1000})

    # The link.

    def _send_to(self, name, mac):
        netns, _, other = self.ends[name]
        ovs.run("ip", "-n", netns, "neigh", "replace", other, "lladdr", mac, "dev", name, "nud", "permanent")

    def lose(self, *names):
        """What leaves by these ends arrives nowhere."""
        for name in names:
            self._send_to(name, NOWHERE)

    def heal(self):
        self._send_to("to-c", self.macs["to-s"])
        self._send_to("to-s", self.macs["to-c"])

    def slow_down(self, rate):
        for name, (netns, _, _) in self.ends.items():
            ovs.run("ip", "netns", "exec", netns, "tc", "qdisc", "replace", "dev", name, "root", "tbf", "rate", rate, "burst", "5000",
                    "latency", "2000ms")

    # The bridge.

    @staticmethod
    def rules(ports):
        return [{"direction": "inbound", "protocol": "tcp", "port_min": port} for port in sorted(ports)]

    def put(self, ports):
        """Whatever it takes until they are in force."""
        self.allowed |= ports
        self.daemon.request("PUT", f"/v1/security-groups/{self.group}/rules?wait=0", {"rules": self.rules(ports)})

    def status(self):
        return self.daemon.get(f"/v1/bridges/{DPID}")

    def ports(self):
        connection = flow_dump.Bridge(self.switch.path("br0.mgmt"))
        flows = connection.flows()
        connection.close()
        found = {int.from_bytes(field, "big") for _, _, match in flows for field in CT_TP_DST.findall(match)} & set(range(1000, 9000))
        assert found <= self.allowed, f"{found - self.allowed} were never allowed"
        return found

    def is_connected(self):
        self.ports()
        return self.status()["connected"]

    def await_ports(self, wanted):
        def right():
            status = self.status()
            return (self.ports() == wanted and status["connected"] and not status["last_error"] and
                    status["flows"]["desired"] == status["flows"]["installed"])
        ovs.wait_until(right, "the bridge has what it should have", BACK_S, 0.1)

    def counters(self):
        return [self.daemon.metric(name) for name in ("bridge_connects_total", "flow_mods_sent_total", "drift_repaired_total")]


@pytest.fixture(name="link", scope="module")
def make_link():
    with Link() as made:
        yield made


LONG = bool(os.environ.get("SALLYPORT_LONG"))
LOSSES = {"partition": ("to-c", "to-s"), "the daemon is not heard": ("to-s",), "the switch is not heard": ("to-c",)}


@pytest.mark.parametrize("busy", [False, True] if LONG else [True], ids=["idle", "busy"] if LONG else ["busy"])
@pytest.mark.parametrize("what", LOSSES if LONG else list(LOSSES)[:1])
def test_loss_is_noticed(link, what, busy):
    """Busy: with a change on its way."""
    base = max(link.allowed)
    link.put({base + 1})
    link.await_ports({base + 1})
    connects, mods, drift = link.counters()
    n_lines = link.daemon.log().count("is disconnected")
    link.lose(*LOSSES[what])
    if busy:
        link.put({base + 1, base + 2})
    ovs.wait_until(lambda: not link.is_connected(), f"{what} is noticed", NOTICED_S, 0.1)
    assert link.daemon.log().count("is disconnected") == n_lines + 1
    link.put({base + 1, base + 3})
    assert link.ports() <= {base + 1, base + 2}
    link.heal()
    link.await_ports({base + 1, base + 3})
    after = link.counters()
    assert after[0] == connects + 1, "it did not connect just once"
    assert after[1] - mods < 30, "more was sent than what it lacked"
    assert after[2] == drift


def test_flapping(link):
    """Away for longer than a moment and back before anybody can be sure, ten times; then back for good."""
    base = max(link.allowed)
    for number in range(10):
        link.lose("to-c", "to-s")
        link.put({base + 1 + number})
        link.heal()
        ovs.wait_until(lambda number=number: link.is_connected() and link.daemon.get("/healthz"), "it is there", BACK_S, 0.1)
    link.await_ports({base + 10})


@pytest.mark.skipif(not LONG, reason="takes half a minute")
def test_slow(link):
    """A list that takes longer than the daemon's patience with a silent switch arrives all the same."""
    base = max(link.allowed)
    connects, _, _ = link.counters()
    link.slow_down("256kbit")
    many = set(range(base + 1, base + 1001))
    link.put(many)
    link.await_ports(many)
    assert link.counters()[0] == connects, "it lost its connection:\n" + link.daemon.log()[-2000:]


class Clogged(peer.Peer):
    """A switch that reads no more when it is told so."""

    def __init__(self, *arguments):
        self.may_read = threading.Event()
        self.may_read.set()
        super().__init__(*arguments)

    def _answer(self, taken):
        self.may_read.wait()
        super()._answer(taken)


N_CLOGGED, N_GOOD = 8, 3


def has_port(one, port):
    return any(match.find(b"\x00\x01\xfa\x02" + port.to_bytes(2, "big")) >= 0 for _, _, match in list(one.table))


@pytest.mark.skipif(not LONG, reason="takes a quarter of a minute")
def test_clogged_one_by_one():
    directory = tempfile.mkdtemp(prefix="sallyport-link-")
    daemon = Daemon(directory)
    daemon.start()
    peers, groups = [], []
    try:
        daemon.change("PUT", "/v1/regions/SV2")
        for number in range(N_CLOGGED + N_GOOD):
            peers.append(Clogged(daemon.openflow, 0xe000 + number))
            groups.append(daemon.change("POST", "/v1/security-groups", {"region": "SV2", "name": f"g{number}", "rules": Link.rules({1})})["id"])
            daemon.change("POST", "/v1/servers", {"region": "SV2", "name": f"vm{number}", "security_groups": [groups[-1]], "ports": [
                {"bridge": f"{0xe000 + number:016x}", "port": "p1", "mac": f"02:00:00:00:01:{number:02x}", "ips": [f"10.9.1.{number}"]}]})
        ovs.wait_until(lambda: all(has_port(one, 1) for one in peers), "all have their rules", 30)

        def connected():
            return {bridge["dpid"] for bridge in daemon.get("/v1/bridges")["bridges"] if bridge["connected"]}

        good = peers[N_CLOGGED:]
        for number, clogged in enumerate(peers[:N_CLOGGED]):
            clogged.may_read.clear()
            daemon.request("PUT", f"/v1/security-groups/{groups[number]}/rules?wait=0", {"rules": Link.rules(set(range(2, 2000)))})
            for other, group in zip(good, groups[N_CLOGGED:]):
                n_echoes = len(other.echo_s)
                other.echo()
                daemon.change("PUT", f"/v1/security-groups/{group}/rules", {"rules": Link.rules({2 + number})})
                ovs.wait_until(lambda other=other, n_echoes=n_echoes: len(other.echo_s) > n_echoes, "the others' echoes go on", NOTICED_S)
                assert has_port(other, 2 + number) and not has_port(other, 1 + number)
        wanted = {f"{one.dpid:016x}" for one in good}
        ovs.wait_until(lambda: connected() == wanted, "all that read no more are noticed, and nobody else", NOTICED_S)
        assert not any(one.is_ended.is_set() or one.unexpected for one in good)
        for one in peers[:N_CLOGGED]:
            one.may_read.set()
            one.close()
        back = [Clogged(daemon.openflow, one.dpid) for one in peers[:N_CLOGGED]]
        peers += back
        ovs.wait_until(lambda: all(has_port(one, 1999) and not has_port(one, 1) for one in back), "they get their rules", BACK_S)
    finally:
        for one in peers:
            one.may_read.set()
            one.close()
        daemon.end()
        shutil.rmtree(directory, ignore_errors=True)
