"""Bridges under the compiler's flows, without the daemon.

A Net knows ports, rule sets and remote groups as plain facts; apply() turns them into flows with build/tests/system/compile_flows
and brings the difference onto the switches in one bundle each, as the daemon would.
"""

import contextlib
import dataclasses
import itertools
import os

from conftest import BUILD
from ovs import run
from wire import SENTINEL_FLOW, Wire

PROTOCOLS = {"any": -1, "icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "gre": 47, "icmpv6": 58, "sctp": 132}
FLOOD_CHUNKS = 48


def link_local(mac):
    octets = [int(octet, 16) for octet in mac.split(":")]
    words = [octets[0] ^ 2, octets[1], octets[2], 0xFF, 0xFE, octets[3], octets[4], octets[5]]
    return "fe80::" + ":".join(f"{words[i] << 8 | words[i + 1]:x}" for i in range(0, 8, 2))


@dataclasses.dataclass
class Rule:
    """One rule.  `remote`: "any", a prefix, or a list of rule set numbers that stand for a group."""

    direction: str  # "in" or "out"
    action: str  # "allow" or "deny"
    protocol: str = "any"  # A key of PROTOCOLS.
    ports: tuple = (-1, -1)
    remote: object = "any"
    priority: int = 100
    icmp: tuple = (-1, -1)
    slot: int = 0
    mark: int = 0


@dataclasses.dataclass
class Port:
    name: str
    bridge: str
    ofport: int
    zone: int
    mac: str
    ips: list
    set: int = 0
    vlan: int = 0
    secure: bool = True
    pairs: list = dataclasses.field(default_factory=list)
    on: bool = True  # False: no port facts, as if its server had not been made yet.


class Net:
    """Bridges, ports and rule sets on one switch."""

    REGION = 1

    def __init__(self, ovs):
        self.ovs = ovs
        self.bridges = {}  # name -> uplinks' ofports
        self.ports = {}
        self.sets = {}  # number -> [Rule, ...]
        self.versions = {}
        self.installed = {}  # bridge -> {key: line}
        self.wire = Wire(ovs.add_host(f"wire{len(ovs.hosts)}", ipv6=False))
        self._zones = itertools.count(100)
        self._slots = itertools.count(1)
        self._marks = itertools.count(1000)

    def close(self):
        self.wire.close()

    # Shape.

    def bridge(self, name):
        self.ovs.add_bridge(name, dpid=len(self.ovs.bridges) + 1)
        self.ovs.ofctl("add-flow", name, SENTINEL_FLOW)
        self.bridges[name] = []
        self.installed[name] = {}

    def _attach(self, bridge, name):
        ofport = self.ovs.add_port(bridge, name, self.wire.host, interface=name)
        self.wire.attach(name)
        return ofport

    def server(self, bridge, name, mac, ips, **facts):
        port = Port(name, bridge, self._attach(bridge, name), next(self._zones), mac, ips, **facts)
        self.ports[name] = port
        return port

    def uplink(self, bridge, name):
        self.bridges[bridge].append(self._attach(bridge, name))

    def closed(self, bridge, name):
        """A port that is neither a server's nor an uplink."""
        self._attach(bridge, name)

    def link(self, bridge, other):
        """Two bridges, each the other's uplink."""
        here, there = self.ovs.add_patch(bridge, f"to-{other}", other, f"to-{bridge}")
        self.bridges[bridge].append(here)
        self.bridges[other].append(there)

    def rules(self, number, *rules):
        """Gives rule set `number` these rules.  A rule that already has a slot keeps slot and mark."""
        for rule in rules:
            rule.slot = rule.slot or next(self._slots)
            if rule.action == "allow":
                rule.mark = rule.mark or next(self._marks)
        self.sets[number] = list(rules)
        self.versions[number] = self.versions.get(number, 0) + 1

    def retire(self, rule):
        """A new mark: the connections that `rule` admitted are judged anew."""
        rule.mark = next(self._marks)

    # Flows.

    def facts(self, bridge):
        ports = [port for port in self.ports.values() if port.bridge == bridge and port.on]
        lines = ["uplinks " + " ".join(map(str, sorted(self.bridges[bridge])))] if self.bridges[bridge] else []
        macs, targets, flood = {}, {}, {}
        for port in ports:
            line = f"port {port.ofport} {port.zone} {port.vlan} {int(port.secure)} {port.set} {port.mac}"
            line += "".join(f" ip {ip}" for ip in port.ips) + "".join(f" pair {ip} {mac}" for ip, mac in port.pairs)
            lines.append(line)
            for mac in dict.fromkeys([port.mac, *(mac for _, mac in port.pairs)]):
                macs.setdefault((port.vlan, mac), []).append(port.ofport)
            for ip in dict.fromkeys([*port.ips, *(ip for ip, _ in port.pairs if "/" not in ip)]):
                targets.setdefault((port.vlan, ip), []).append(port.ofport)
            flood.setdefault((port.vlan, port.zone % FLOOD_CHUNKS), []).append(port.ofport)
        for word, table in (("mac", macs), ("target", targets), ("flood", flood)):
            for (vlan, key), ofports in sorted(table.items(), key=str):
                lines.append(f"{word} {vlan} {key} " + " ".join(map(str, sorted(ofports))))
        here = sorted({port.set for port in ports} - {0})
        remotes = {}  # An address stands for one set: that of the first port that has it.
        for port in self.ports.values():
            for ip in port.ips if port.set and port.on else ():
                remotes.setdefault(ip, port.set)
        lines += [f"remote {self.REGION} {ip} {number}" for ip, number in remotes.items()]
        for number in here:
            lines.append(f"set {number} {self.versions[number]} {self.REGION}")
            lines += [rule_line(rule) for rule in self.sets[number]]
        return "\n".join(lines) + "\n"

    def compile(self, bridge):
        """The bridge's flows: {key: line}.  No two flows may share a key."""
        text = run(os.path.join(BUILD, "tests/system/compile_flows"), stdin=self.facts(bridge))
        flows = {}
        for line in text.splitlines():
            key = line.split(" actions=")[0].split(",", 1)[1]
            assert key not in flows, key
            flows[key] = line
        return flows

    def apply(self):
        """Brings all bridges to the flows of the present facts."""
        for bridge in self.bridges:
            desired, installed = self.compile(bridge), self.installed[bridge]
            changes = [f"add {line}" for key, line in desired.items() if installed.get(key) != line]
            changes += [f"delete_strict {key}" for key in installed if key not in desired]
            if changes:
                self.ovs.ofctl(["--bundle", "add-flows"], bridge, "-", stdin="\n".join(changes) + "\n")
            self.installed[bridge] = desired
        self.settle()

    def settle(self):
        """Waits until the datapath has followed the last change."""
        self.ovs.await_datapath()

    def forget_connections(self):
        self.ovs.appctl("dpctl/flush-conntrack")

    # Packets.

    def send(self, port, *frames):
        """Sends scapy frames or bytes from `port`; returns what all ports heard, {name: [bytes, ...]}."""
        return self.wire.exchange(*((port, bytes(frame)) for frame in frames))

    def reached(self, port, *frames):
        """The names of the ports that heard something, each as often as it did, sorted."""
        heard = self.send(port, *frames)
        return sorted(itertools.chain.from_iterable([name] * len(got) for name, got in heard.items()))

    def conntrack(self):
        return self.ovs.appctl("dpctl/dump-conntrack", "-m")


@contextlib.contextmanager
def two_servers(ovs):
    """A Net of one bridge, br0: servers a and b, in no set yet, and the uplink up."""
    net = Net(ovs)
    net.bridge("br0")
    for i, name in enumerate("ab", 1):
        net.server("br0", name, f"02:00:00:00:00:0{i}", [f"10.0.0.{i}", f"2001:db8::{i}"])
    net.uplink("br0", "up")
    yield net
    net.close()


def rule_line(rule):
    group = isinstance(rule.remote, (list, tuple))
    words = ["rule", rule.direction, rule.action, rule.priority, PROTOCOLS[rule.protocol], "group" if group else rule.remote, *rule.ports, *rule.icmp,
             rule.slot, rule.mark, *(rule.remote if group else [])]
    return " ".join(map(str, words))
