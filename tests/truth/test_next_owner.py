"""A server that is deleted leaves nothing to whoever gets its port, its addresses or its conntrack zone."""

import os
import re
import signal
import sqlite3

import ovs
import policy
import pytest
import revocation
from openflow_proxy import DOWN, Fault, Proxy, stall, zone_flush
from traffic import ANSWER, DATA, N_KINDS, Traffic
from verdict import connection_allowed

SEED = int(os.environ.get("SALLYPORT_SEED", "1"))
ZONES = 65535
PORTS_PER_SERVER = 1000
LONG = pytest.mark.skipif("SALLYPORT_LONG" not in os.environ, reason="takes 20 s: make check-truth")
ANY_OUT = [{"direction": "outbound", "action": "allow", "protocol": "any"}]
ANY_BOTH = ANY_OUT + [{"direction": "inbound", "action": "allow", "protocol": "any"}]


class Scene:
    """s2 in the world's first domain is the server that goes; s1 takes in only members of a group, in which s2 is."""

    def __init__(self, lab):
        self.lab, world = lab, lab.world
        self.groups = everything, members, from_members, out_only, nothing = [group for group in world.groups if group.region == "SV2"]
        everything.rules, members.rules, out_only.rules, nothing.rules = ANY_BOTH, [], ANY_OUT, []
        from_members.rules = ANY_OUT + [{"direction": "inbound", "action": "allow", "protocol": "any", "remote_group": members}]
        self.nothing, self.out_only = nothing, out_only
        other = next(group for group in world.groups if group.region == "TY2")
        other.rules = ANY_BOTH
        for server in world.servers:
            server.groups = [other] if server.region == "TY2" else [everything]
        self.victim = next(server for server in world.servers if server.name == "s2")
        self.victim.groups = [everything, members]
        next(server for server in world.servers if server.name == "s1").groups = [from_members]
        lab.apply_all()
        lab.await_datapath()
        lab.forget_connections()
        rng = policy.new_random(SEED)
        probes = revocation.conversations(rng, world, revocation.SPORT_FIRST + rng.randrange(revocation.SPORTS), 6000)
        probes = [probe for probe in probes if probe.protocol in revocation.rounds.TRACKED and connection_allowed(probe, world.servers)]
        concerned = [probe for probe in probes if self.victim in (probe.source.server, probe.target.server)]
        others = [probe for probe in probes if self.victim not in (probe.source.server, probe.target.server)]
        self.traffic = Traffic(lab, policy.choose(rng, concerned, 300) + policy.choose(rng, others, 150))
        numbers = range(len(self.traffic.probes))
        self.concerned = [n for n in numbers if self.victim in (self.traffic.probes[n].source.server, self.traffic.probes[n].target.server)]
        self.others = sorted(set(numbers) - set(self.concerned))
        for kind in (DATA, ANSWER):
            self.traffic.run(self.indices(numbers, [kind]), stage="open")
        self.expect(numbers, [])

    @staticmethod
    def indices(numbers, kinds=range(N_KINDS)):
        return [number * N_KINDS + kind for number in numbers for kind in kinds]

    def expect(self, passing, stopped, kinds=range(N_KINDS)):
        indices = self.indices(list(passing) + list(stopped), kinds)
        tally, _ = self.traffic.run(indices)
        should = set(self.indices(passing, kinds))
        wrong = [f"{tally.got[i]} of {tally.sent[i]} arrived: {self.traffic.describe(i)}" for i in indices
                 if tally.got[i] != (tally.sent[i] if i in should else 0)]
        # What is sent to an address that nobody here has goes out by the uplink.
        wrong += [f"arrived at {end}, or changed: {self.traffic.describe(i)}" for i, end in tally.strange
                  if end is not self.lab.world.outside or self.traffic.target(i) not in self.traffic.silent]
        assert not wrong, "\n".join([f"{len(wrong)} of {len(indices)} wrong; dropped by the machine: {self.traffic.drops()}"] + wrong[:10])

    def zone(self):
        """Of the victim's port, as the switch has it."""
        number = self.lab.switch.ofport("s2-A")
        zones = {zone for line in self.lab.flows("br1") for zone in re.findall(rf",in_port={number},.*set_field:(0x[0-9a-f]+)->reg6,", line)}
        assert len(zones) == 1, self.lab.flows("br1")[:20]
        return zones.pop()

    def delete(self):
        self.traffic.silent.update(self.victim.ports)
        self.lab.daemon.change("DELETE", f"/v1/servers/{self.victim.id}")

    def create(self, group):
        """The next owner of the port and its addresses.  The datapath may still have megaflows of before."""
        self.victim.groups = [group]
        self.victim.id = self.lab.daemon.change("POST", "/v1/servers", {
            "region": self.victim.region, "name": self.victim.name, "security_groups": [group.id],
            "ports": [self.lab.port_body(port) for port in self.victim.ports]})["id"]
        self.traffic.silent.clear()

    def expect_nothing_inherited(self):
        """Nothing of what the old owner had open comes to one that may open what it likes but takes in nothing."""
        to_owner = [n for n in self.concerned if self.traffic.probes[n].target.server is self.victim]
        by_owner = [n for n in self.concerned if self.traffic.probes[n].source.server is self.victim]
        indices = self.indices(to_owner, [DATA]) + self.indices(by_owner, [ANSWER])
        tally, _ = self.traffic.run(indices)
        came = [self.traffic.describe(i) for i in indices if tally.got[i]]
        assert not came, f"{len(came)} of {len(indices)} came to the next owner:\n" + "\n".join(came[:10])
        # Nor does it pass for a member of the group any more.
        into_s1 = [n for n in by_owner if self.traffic.probes[n].target.name == "s1-A"]
        assert into_s1
        tally, _ = self.traffic.run(self.indices(into_s1, [DATA]))
        came = [self.traffic.describe(i) for i in self.indices(into_s1, [DATA]) if tally.got[i]]
        assert not came, f"{len(came)} passed for a member's:\n" + "\n".join(came[:10])


@pytest.fixture
def scene(lab):
    made = Scene(lab)
    yield made
    made.traffic.close()


def test_deleted_server_passes_nothing_on(scene):
    """The next owner has the same port, MAC and addresses, and its own rules alone."""
    _, _ = scene.traffic.run(scene.indices(scene.concerned + scene.others), action=lambda: (scene.delete(), scene.lab.await_datapath()))
    scene.expect(scene.others, scene.concerned)
    scene.create(scene.nothing)
    scene.lab.await_datapath()
    scene.expect(scene.others, scene.concerned)
    scene.delete()
    scene.create(scene.out_only)
    scene.lab.await_datapath()
    scene.expect(scene.others, [])
    scene.expect_nothing_inherited()


@pytest.fixture
def full_zones(lab, scene):
    """Every conntrack zone but one is taken, by ports of a bridge that never connects; so who comes next gets the one that the
    last one left."""
    change, n = lab.daemon.change, ZONES - len(lab.world.ports)
    bridge, made = "00000000000000ff", []
    for first in range(0, n, PORTS_PER_SERVER):
        ports = [{"bridge": bridge, "port": f"f{i}", "mac": f"02:ff:00:{i >> 16:02x}:{i >> 8 & 255:02x}:{i & 255:02x}", "ips": []}
                 for i in range(first, min(n, first + PORTS_PER_SERVER))]
        made.append(change("POST", "/v1/servers", {"region": "SV2", "name": "filler", "security_groups": [], "ports": ports})["id"])
    yield
    for server in made:
        change("DELETE", f"/v1/servers/{server}")
    change("DELETE", f"/v1/bridges/{bridge}")


@LONG
def test_zone_passes_nothing_on(scene, full_zones):
    before = scene.zone()
    scene.delete()
    scene.create(scene.out_only)
    scene.lab.await_datapath()
    assert scene.zone() == before
    scene.expect(scene.others, [])
    scene.expect_nothing_inherited()


@LONG
def test_zone_of_a_server_deleted_while_away(scene, full_zones):
    """The switch never heard of the deletion from the daemon that did it."""
    before, daemon = scene.zone(), scene.lab.daemon
    switch = scene.lab.switch.pid()
    scene.traffic.silent.update(scene.victim.ports)
    os.kill(switch, signal.SIGSTOP)
    try:
        status, answer, headers = daemon.request("DELETE", f"/v1/servers/{scene.victim.id}?wait=0")
        assert (status, headers["Sallyport-Applied"]) == (202, "false"), answer
        daemon.end(signal.SIGKILL)
    finally:
        os.kill(switch, signal.SIGCONT)
    daemon.start()
    scene.lab.await_applied()
    scene.create(scene.out_only)
    scene.lab.await_datapath()
    assert scene.zone() == before
    scene.expect(scene.others, [])
    scene.expect_nothing_inherited()


# A zone that is free is the next one to be given, as if all others were taken.

class _Proxied:
    """br1 behind a proxy, and the zone of its victim's port promised to whoever comes next."""

    def __init__(self, lab):
        self.lab, self.switch = lab, lab.switch
        self.proxy = Proxy(os.path.join(lab.directory, "zones"), lab.daemon.openflow)
        self.connect()
        self.scene = Scene(lab)
        self.zone = self.scene.zone()
        self.number = self.switch.ofport("s2-A")
        daemon = lab.daemon
        daemon.end()
        database = sqlite3.connect(daemon.database)
        with database:
            database.execute("UPDATE counters SET next_zone = ?", (int(self.zone, 16),))
        database.close()
        os.unlink(daemon.database + "-seal")  # Or the daemon does not stand by the edit.
        daemon.start()
        lab.await_applied()
        assert daemon.metric("zones_flushed_total") == 0
        self.scene.expect(self.scene.others + self.scene.concerned, [])
        self.scene.traffic.silent.update(self.scene.victim.ports)

    def connect(self):
        self.switch.set_controllers("br1", "unix:" + self.proxy.path)
        self.lab.await_applied()

    def restart(self):
        self.lab.daemon.end(signal.SIGKILL)
        self.lab.daemon.start()
        self.lab.await_applied()

    def expect_clean_owner(self):
        self.lab.await_applied()
        self.lab.await_datapath()
        assert self.scene.zone() == self.zone
        self.scene.expect_nothing_inherited()
        self.scene.expect(self.scene.others, [])

    def close(self):
        self.scene.traffic.close()
        self.lab.connect(self.lab.daemon)
        self.proxy.close()  # Before one looks: what has come by it must not be taken for the new connection.
        self.lab.await_applied()


@pytest.fixture
def given_again(lab):
    made = _Proxied(lab)
    yield made
    made.close()


def test_crash_before_the_flush(given_again):
    """The deletion is confirmed, the flush is not, and the controller is killed."""
    scene, daemon = given_again.scene, given_again.lab.daemon
    flush = Fault(DOWN, zone_flush, stall)
    given_again.proxy.faults = [flush]
    status, answer, _ = daemon.request("DELETE", f"/v1/servers/{scene.victim.id}?wait=0")
    assert status == 202, answer
    ovs.wait_until(lambda: flush.done, "the zone is about to be flushed", 20)
    assert not [line for line in given_again.lab.flows("br1") if f"reg6={given_again.zone}," in line]
    given_again.proxy.faults = []
    given_again.restart()
    scene.create(scene.out_only)
    given_again.expect_clean_owner()


@LONG
def test_unplugged_before_it_is_deleted(given_again):
    scene, switch = given_again.scene, given_again.switch
    switch.vsctl("del-port", "br1", "s2-A")
    given_again.lab.await_datapath()
    scene.delete()
    given_again.restart()
    given_again.lab.plug_in("br1", "s2-A", given_again.number)
    scene.create(scene.out_only)
    given_again.expect_clean_owner()


@LONG
@pytest.mark.parametrize("restarted", (False, True))
def test_zone_drawn_again_while_the_bridge_is_away(given_again, restarted):
    """The switch has the flows of the last owner, which are those of the next one."""
    scene, daemon = given_again.scene, given_again.lab.daemon
    switch = given_again.switch.pid()
    os.kill(switch, signal.SIGSTOP)
    try:
        status, answer, _ = daemon.request("DELETE", f"/v1/servers/{scene.victim.id}?wait=0")
        assert status == 202, answer
        daemon.end(signal.SIGKILL)
        daemon.start()
        scene.create(scene.out_only)
        if restarted:
            daemon.end(signal.SIGKILL)
            daemon.start()
    finally:
        os.kill(switch, signal.SIGCONT)
    given_again.expect_clean_owner()


@LONG
def test_connections_outlive_the_flows(given_again):
    """The bridge loses its flows and keeps its connections, as the kernel's conntrack does when vswitchd is restarted.  Whose
    flows come back keeps what is his; who is new there gets nothing."""
    scene, lab = given_again.scene, given_again.lab
    given_again.switch.vsctl("del-controller", "br1")
    assert not [line for line in lab.flows("br1") if "cookie=0x5350" in line]
    scene.delete()
    scene.create(scene.out_only)
    given_again.connect()
    given_again.expect_clean_owner()
