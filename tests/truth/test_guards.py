"""The table of guard_cells.py against real packets: with rules that allow everything, and without a group.  And pairs of /0."""

from collections import defaultdict
from ipaddress import ip_address as ip

import guard_cells
import packets
import pytest
from lab import Lab, dpid_text
from policy import Port, Server
from probe import Prober

REGION = "SV2"


class GuardWorld:
    """One bridge with an uplink.  `me` claims, `to` takes all in, `other` has no group and is the one that is claimed to be,
    `router` may send from everywhere, `member` is in a group of its own, `asker` lets nobody in but that group."""

    def __init__(self):
        self.servers, self.groups, self.bridges = [], [], {"br1": 0xa1}
        self.me = self._add("me", 1, pairs=["10.50.9.0/24", "fd50:9::/64", "fe80::9/128"])
        self.me.pair_mac, self.me.pair_ips = "02:30:00:00:99:99", (ip("10.50.0.99"), ip("fd50::99"))
        self.to, self.other = self._add("to", 2), self._add("other", 3)
        self.router = self._add("router", 4, pairs=["0.0.0.0/0", "::/0"])
        self.halves = self._add("halves", 5, pairs=["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"])
        self.asker = self._add("asker", 6)
        self.outside = Port("outside", None, "G", "br1", "02:30:00:00:00:ee", ["10.50.0.200", "fd50::c8"])
        self.ports = [port for server in self.servers for port in server.ports]
        self.ends = self.ports + [self.outside]

    def _add(self, name, octet, pairs=()):
        server = Server(name, REGION)
        self.servers.append(server)
        return Port(name, server, "G", "br1", f"02:30:00:00:00:{octet:02x}", [f"10.50.0.{octet}", f"fd50::{octet}"], pairs=pairs)


class GuardLab(Lab):
    def start(self):
        self.switch.start()
        self.switch.add_bridge("br1", self.world.bridges["br1"])
        for end in self.world.ends:
            self.switch.add_port("br1", end.name, self.switch.add_host(end.name, ipv6=False), mac=end.mac)
        self.daemon.start()
        self.connect(self.daemon)

    def register(self):
        change, dpid = self.daemon.change, dpid_text(self.world.bridges["br1"])
        everything = [{"direction": direction, "protocol": "any"} for direction in ("inbound", "outbound")]
        change("PUT", f"/v1/regions/{REGION}")
        self.all = change("POST", "/v1/security-groups", {"region": REGION, "name": "all", "rules": everything})["id"]
        self.members = change("POST", "/v1/security-groups", {"region": REGION, "name": "members", "rules": everything[1:]})["id"]
        self.asking = change("POST", "/v1/security-groups", {"region": REGION, "name": "asking", "rules": [
            {"direction": "inbound", "protocol": "any", "remote_group": self.members}, everything[1]]})["id"]
        change("PUT", f"/v1/bridges/{dpid}", {"uplinks": [self.world.outside.name]})
        groups = {"me": [self.all], "to": [self.all], "router": [self.members], "halves": [self.members], "asker": [self.asking]}
        for server in self.world.servers:
            port = server.ports[0]
            body = {"bridge": dpid, "port": port.name, "mac": port.mac, "ips": [str(address) for address in port.ips],
                    "allowed_address_pairs": [{"ip": str(pair)} for pair in port.pairs]}
            if port is self.world.me:
                body["allowed_address_pairs"] += [{"ip": str(address), "mac": port.pair_mac} for address in port.pair_ips]
            server.id = change("POST", "/v1/servers", {"region": REGION, "name": server.name, "security_groups": groups.get(server.name, []),
                                                       "ports": [body]})["id"]
        # A new server without groups gets the region's default one, if there is one.
        change("PUT", f"/v1/servers/{self.world.other.server.id}/security-groups", {"security_groups": []})
        self.await_applied()
        self.await_datapath()

    def set_groups(self, port, groups):
        self.daemon.change("PUT", f"/v1/servers/{port.server.id}/security-groups", {"security_groups": groups})
        self.await_datapath()
        self.forget_connections()


@pytest.fixture(scope="module")
def guards():
    with GuardLab(GuardWorld()) as started:
        started.register()
        yield started


@pytest.fixture(scope="module")
def sender(guards):
    prober = Prober(guards)
    yield prober
    prober.close()


def table(world):
    everyone = [end.name for end in world.ends if end is not world.me]
    return guard_cells.cells(guard_cells.Net(world.me, world.to, world.other, everyone, world.outside.name))


def heard(prober, end, frames):
    """Where each of the frames, made from numbers, arrives."""
    numbers = [prober.number() for _ in frames]
    prober.exchange([(end, make(number)) for number, make in zip(numbers, frames)])
    return [sorted(at.name for at, _ in prober.arrivals.pop(number, [])) for number in numbers]


def judge(prober, end, cells, wanted):
    return [f"{cell.row}, {cell.column}: heard by {came}, should be by {sorted(wanted(cell))}: {cell.why}"
            for cell, came in zip(cells, heard(prober, end, [cell.make for cell in cells])) if came != sorted(wanted(cell))]


def test_every_cell(guards, sender):
    cells = table(guards.world)
    wrong = judge(sender, guards.world.me, cells, lambda cell: cell.heard)
    assert not wrong, f"{len(wrong)} of {len(cells)}:\n" + "\n".join(wrong)


def test_every_cell_without_a_group(guards, sender):
    """What always passes still does, and nothing else."""
    cells = table(guards.world)
    guards.set_groups(guards.world.me, [])
    try:
        wrong = judge(sender, guards.world.me, cells, lambda cell: cell.heard if cell.always else [])
        assert not wrong, f"{len(wrong)} of {len(cells)}:\n" + "\n".join(wrong)
    finally:
        guards.set_groups(guards.world.me, [guards.all])


def test_the_table_is_whole(guards):
    """Every row has every column, once."""
    rows = defaultdict(list)
    for cell in table(guards.world):
        rows[cell.row].append(cell.column)
    for name, columns in rows.items():
        assert [column for column in columns if column in guard_cells.COLUMNS] == list(guard_cells.COLUMNS), name
    assert len(rows) > 40


def test_a_pair_of_everything_widens_no_group(guards, sender):
    """Whoever may send from everywhere is, for rules that name its group, where its own addresses are."""
    world = guards.world
    asker = world.asker

    def datagram(end, source):
        return lambda n: packets.datagram(end.mac, asker.mac, source, asker.ips[source.version == 6], 4500, n)

    strange = [ip("10.50.0.200"), ip("198.51.100.7"), ip("10.50.0.1"), ip("fd50::c8"), ip("2001:db8::7"), ip("fd50::1")]
    wrong = []
    for end in (world.router, world.halves):
        came = heard(sender, end, [datagram(end, source) for source in end.ips])
        if came != [["asker"], ["asker"]]:
            wrong.append(f"{end} from its own addresses: {came}")
        came = heard(sender, end, [datagram(end, source) for source in strange])
        wrong += [f"{end} from {source}: {at}" for source, at in zip(strange, came) if at]
        passed = heard(sender, end, [lambda n, source=source, end=end: packets.datagram(
            end.mac, world.to.mac, source, world.to.ips[source.version == 6], 4500, n) for source in strange])
        wrong += [f"{end} from {source} to one who lets all in: {at}" for source, at in zip(strange, passed) if at != ["to"]]
    nobody = [ip(text) for text in ("0.0.0.0", "0.0.0.1", "224.0.0.5", "255.255.255.255", "::", "ff02::5", "ff0e::1")]
    for end in (world.router, world.halves):
        passed = heard(sender, end, [lambda n, source=source, end=end: packets.datagram(
            end.mac, world.to.mac, source, world.to.ips[source.version == 6], 4500, n) for source in nobody])
        wrong += [f"{end} from {source}, which nobody is: {at}" for source, at in zip(nobody, passed) if at]
    came = heard(sender, world.outside, [datagram(world.outside, source) for source in strange])
    wrong += [f"outside from {source}: {at}" for source, at in zip(strange, came) if at]
    came = heard(sender, world.me, [datagram(world.me, source) for source in world.me.ips])
    wrong += [f"one that is in another group: {at}" for at in came if at]
    assert not wrong, "\n".join(wrong)


def test_from_the_uplink(guards, sender):
    """What a router or a DHCP server beyond an uplink says is heard; what a server need not hear from there is not."""
    world = guards.world
    servers = [port.name for port in world.ports]
    net = guard_cells.Net(world.me, world.to, world.other, servers, world.outside.name)
    every, every_mac = packets.all_nodes()
    source, mac = world.outside.link_local, world.outside.mac
    advertisement = b"\x40\0\7\x08" + b"\0" * 8 + packets.link_layer_option(1, mac)
    redirect = b"\0" * 4 + source.packed + ip("2001:db8::1").packed
    cells = [
        ("router advertisement", lambda n: packets.nd(mac, every_mac, source, every, 134, advertisement, number=n), servers),
        ("router advertisement with hop limit 64", lambda n: packets.nd(mac, every_mac, source, every, 134, advertisement, 64, number=n), []),
        ("router solicitation", lambda n: packets.nd(mac, guard_cells.ROUTERS[1], source, guard_cells.ROUTERS[0], 133, b"\0" * 4, number=n), []),
        ("redirect", lambda n: packets.nd(mac, net.me.mac, source, net.me.link_local, 137, redirect, number=n), []),
        ("DHCP offer", lambda n: packets.dhcp(mac, net.other.mac, world.outside.ips[0], net.other.ips[0], 67, 68, n), ["other"]),
        ("DHCP offer by broadcast", lambda n: packets.dhcp(mac, guard_cells.BROADCAST, world.outside.ips[0], guard_cells.ALL_ONES, 67, 68, n),
         servers),
        ("DHCP request", lambda n: packets.dhcp(mac, net.other.mac, world.outside.ips[0], net.other.ips[0], 68, 67, n), []),
        ("DHCPv6 answer", lambda n: packets.dhcp(mac, net.other.mac, source, net.other.link_local, 547, 546, n), ["other"]),
        ("DHCPv6 request", lambda n: packets.dhcp(mac, net.other.mac, source, net.other.link_local, 546, 547, n), [])]
    came = heard(sender, world.outside, [make for _, make, _ in cells])
    wrong = [f"{name}: heard by {at}, should be by {sorted(wanted)}" for (name, _, wanted), at in zip(cells, came) if at != sorted(wanted)]
    assert not wrong, "\n".join(wrong)


def test_the_daemon_is_well(guards):
    assert guards.daemon.is_running(), guards.daemon.log()
