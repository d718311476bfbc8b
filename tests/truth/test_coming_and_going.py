"""A server that goes and comes again, and a port that is unplugged and plugged in, while everybody goes on sending: what is open
again passes, all of it and at once, and what is closed does not.

The userspace datapath of Open vSwitch 3.1 may keep an entry from the other time for as long as its packets come (see
sallyport/pipeline.h, "What may open and close")."""

import os

import policy
import pytest
import revocation
from traffic import N_KINDS

SEED = int(os.environ.get("SALLYPORT_SEED", "3"))
LONG = "SALLYPORT_LONG" in os.environ
CONVERSATIONS, TIMES = (2500, 20) if LONG else (1500, 2)
NAME, PORT = "s2", "s2-A"


class Scene:
    def __init__(self, lab):
        self.lab = lab
        self.conversations = revocation.start(lab, policy.new_random(SEED), CONVERSATIONS)
        self.traffic = self.conversations.traffic
        self.server = next(server for server in lab.world.servers if server.name == NAME)
        self.port = next(port for port in self.server.ports if port.name == PORT)
        probes = self.conversations.probes
        self.own = {number for number in self.conversations.opened
                    if self.server in (probes[number].source.server, probes[number].target.server)}

    def while_closed(self, action):
        """All the traffic while `action` closes; after it the server's own must be silent, on both sides."""
        self.conversations.during(action, "closing", but=self.own)
        self.traffic.silent.update(self.server.ports if self.server.id is None else [self.port])
        indices = [number * N_KINDS + kind for number in sorted(self.own) for kind in range(N_KINDS)]
        tally, _ = self.traffic.run(indices)
        passed = [self.traffic.describe(i) for i in indices if tally.got[i] and self.port in (self.traffic.target(i), self.traffic.sender(i))]
        assert not passed, f"seed {SEED}: {len(passed)} packets passed while it was away: {passed[:5]}"

    def while_open(self, action, when):
        self.conversations.during(action, "opening", but=self.own)
        self.traffic.silent.clear()
        self.lab.await_datapath()
        report = self.conversations.reopened(when)
        if report.wrong:
            self.lab.purge_megaflows()
            again = self.conversations.reopened(when)
            assert False, (f"seed {SEED}, {when}: {report.count['lost']} lost, {again.count['lost']} after revalidator/purge; dropped by "
                           f"the machine: {self.conversations.drops()}\n" + "\n".join(report.wrong[:10]))


@pytest.fixture
def scene(lab):
    made = Scene(lab)
    yield made
    made.conversations.close()


def test_server_goes_and_comes_again(lab, scene):
    server = scene.server

    def delete():
        scene.traffic.silent.update(server.ports)
        lab.daemon.change("DELETE", f"/v1/servers/{server.id}")
        server.id = None
        lab.await_datapath()

    def create():
        server.id = lab.daemon.change("POST", "/v1/servers", {
            "region": server.region, "name": server.name, "security_groups": [group.id for group in server.groups],
            "ports": [lab.port_body(port) for port in server.ports]})["id"]
        lab.await_datapath()

    for time in range(TIMES):
        scene.while_closed(delete)
        scene.while_open(create, f"made again, {time + 1}")


def test_port_goes_and_comes_again(lab, scene):
    bridge, number = scene.port.bridge, lab.switch.ofport(PORT)

    def unplug():
        scene.traffic.silent.add(scene.port)
        lab.switch.vsctl("del-port", bridge, PORT)
        lab.await_applied()
        lab.await_datapath()

    def plug_in_at_once():
        nonlocal number
        number = lab.number_after(number)
        scene.traffic.silent.add(scene.port)
        lab.switch.vsctl("--if-exists", "del-port", bridge, PORT)
        lab.plug_in(bridge, PORT, number)
        lab.await_active(scene.server)
        lab.await_datapath()

    for time in range(TIMES):
        if time % 2:
            scene.while_closed(unplug)
        scene.while_open(plug_in_at_once, f"plugged in again, {time + 1}")
