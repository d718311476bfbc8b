"""Closed until told otherwise: a port that sends all the time, before it is plugged in, while it is, and after, passes nothing
until the switch has its policy, and then what the policy allows and nothing else.

Each kind of packet has a number of its own.  When something may pass is known by the kernel's time stamps of what arrived."""

import ipaddress
import os
import signal
import struct
import threading
import time
from collections import Counter

import flood
import ovs
import packets
import policy
import pytest
from frozen import frozen, writer_of
from traffic import Traffic

RATE = 10000
LONG = "SALLYPORT_LONG" in os.environ
PACKETS = 50000 if LONG else 4000  # In each state of things.
MAC = "02:20:00:00:00:50"
IPS = [ipaddress.ip_address("10.20.0.50"), ipaddress.ip_address("fd20::50")]
TCP_OUT = [{"direction": "outbound", "action": "allow", "protocol": "tcp"}]
ANY_BOTH = [{"direction": direction, "action": "allow", "protocol": "any"} for direction in ("inbound", "outbound")]
FIRST_NUMBER = 0x00200000  # Below the first generation's numbers of Traffic.


class Late:
    """The port, its traffic, and what came of it at the others' ends; and what of the others' came to it."""

    def __init__(self, lab):
        self.lab, world = lab, lab.world
        self.near, self.other = [end for end in world.ends if end.domain == "A"][:2]
        self.host = lab.switch.hosts.get("late") or lab.switch.add_host("late", ipv6=False)
        self.traffic = Traffic(lab)
        self.names, self.frames = [], []
        for name, frame in self._all_frames():
            self.names.append(name)
            self.frames.append(frame)
        self.server = self.child = self.socket = None

    # The frames.

    def _all_frames(self):
        """(name, frame): names with a ! are never to pass, the others once the policy, which is TCP out, is in force."""
        near, other = self.near, self.other
        here, there = IPS, [near.ips[0], next(ip for ip in near.ips if ip.version == 6)]
        number = iter(range(FIRST_NUMBER, FIRST_NUMBER + 0x1000))

        def udp(mac, source, target, to=near.mac, dport=4000):
            return packets.datagram(mac, to, source, target, dport, next(number))

        def tcp(source, target, mac=MAC):
            segment = packets.tcp_opening(source, target, 33333, 22, packets.SYN, 1, 0, packets.marker(next(number)))
            eth_type, packet = packets.internet(source, target, packets.TCP, segment)
            return packets.ether(mac, near.mac, eth_type, packet)

        yield "tcp", tcp(here[0], there[0])
        yield "tcp over IPv6", tcp(here[1], there[1])
        yield "arp", packets.arp(1, MAC, here[0], "00:00:00:00:00:00", there[0], next(number))
        yield "udp!", udp(MAC, here[0], there[0])
        yield "udp over IPv6!", udp(MAC, here[1], there[1])
        yield "udp to all!", udp(MAC, here[0], ipaddress.ip_address("255.255.255.255"), "ff:ff:ff:ff:ff:ff")
        yield "udp to nobody!", udp(MAC, here[0], ipaddress.ip_address("198.51.100.9"), "02:99:00:00:00:01")
        yield "udp to a group!", udp(MAC, here[0], ipaddress.ip_address("224.0.0.251"), "01:00:5e:00:00:fb")
        yield "another's address!", tcp(other.ips[0], there[0])
        yield "another's MAC!", tcp(other.ips[0], there[0], other.mac)
        yield "another's address in ARP!", packets.arp(2, MAC, other.ips[0], near.mac, there[0], next(number), target=near.mac)
        tagged = udp(MAC, here[0], there[0])
        for name, tag in (("tagged!", struct.pack("!HH", 0x8100, policy.VLAN)), ("tagged 0!", struct.pack("!HH", 0x8100, 0))):
            yield name, tagged[:12] + tag + tagged[12:-4] + struct.pack("!I", next(number))
        yield "DHCP server!", packets.dhcp(MAC, near.mac, here[0], there[0], 67, 68, next(number))
        group, group_mac = packets.all_nodes()
        yield "router advertisement!", packets.nd(MAC, group_mac, ipaddress.ip_address("fe80::50"), group, 134, b"\0" * 12, number=next(number))
        yield "unknown type!", packets.ether(MAC, near.mac, 0x9999, b"\0" * 40 + packets.marker(next(number)))
        yield "spanning tree!", packets.ether(MAC, "01:80:c2:00:00:00", 39, b"\x42\x42\x03" + b"\0" * 40 + packets.marker(next(number)))

    def numbers(self, may_pass):
        return {packets.marked(frame) for name, frame in zip(self.names, self.frames) if name.endswith("!") != may_pass}

    # The port.

    def wire(self):
        """The veth pair, with one end in the host and the other, unused, beside the switch; sending begins."""
        ovs.run("ip", "link", "add", "name", "late", "netns", self.lab.switch.netns, "type", "veth", "peer", "name", "eth0",
                "netns", self.host.netns)
        ovs.run("ip", "-n", self.host.netns, "link", "set", "dev", "eth0", "address", MAC, "up")
        self.lab.switch.inside("ip", "link", "set", "dev", "late", "up")
        self.socket = Traffic.open_socket(self.host.netns)
        self.child = self.host.popen("/usr/bin/python3", flood.__file__, "eth0", RATE, stdin=ovs.subprocess.PIPE, text=True)
        self.child.stdin.write("\n".join(frame.hex() for frame in self.frames))
        self.child.stdin.close()
        self.await_sent()

    def plug(self):
        self.lab.switch.vsctl("add-port", "br1", "late")

    def unplug(self):
        self.lab.switch.vsctl("--if-exists", "del-port", "br1", "late")

    def remove(self):
        if self.server:
            self.lab.daemon.change("DELETE", f"/v1/servers/{self.server}")
        self.unplug()
        if self.child:
            self.child.kill()
            self.child.wait()
        if self.socket:
            self.socket.close()
        self.lab.switch.inside("ip", "link", "del", "dev", "late", check=False)
        self.traffic.close()

    def body(self, groups):
        return {"region": "SV2", "name": "late", "security_groups": groups,
                "ports": [{"mac": MAC, "ips": [str(ip) for ip in IPS], "bridge": f"{self.lab.world.bridges['br1']:016x}", "port": "late"}]}

    def register(self):
        self.server = self.lab.daemon.change("POST", "/v1/servers", self.body([self.group.id]), wait=60)["id"]

    def await_active(self):
        def is_active():
            return self.lab.daemon.get(f"/v1/servers/{self.server}")["ports"][0]["state"] == "active"

        ovs.wait_until(is_active, "the port is active", 20)

    # What is sent and what comes.

    def n_sent(self):
        return int(self.host.run("cat", "/sys/class/net/eth0/statistics/tx_packets"))

    def await_sent(self, n=PACKETS):
        """Until it has sent so many more.  Meanwhile the others send to it, and to all."""
        begin = self.n_sent()
        near, to = self.near, IPS[0]
        while self.n_sent() < begin + n:
            assert self.child is None or self.child.poll() is None, "the sender ended"
            for number in range(20):
                self.traffic.send(near, packets.datagram(near.mac, MAC, near.ips[0], to, 4000, 0x100 + number))
                self.traffic.send(near, packets.arp(1, near.mac, near.ips[0], "00:00:00:00:00:00", to, 0x200 + number))
            self.traffic.settle([near])
        return self.n_sent() - begin

    def arrived(self):
        """Counter of names of the kinds that came to somebody, and when the first one came (ns), since the last call."""
        self.traffic.settle([self.near])
        name_of = {packets.marked(frame): name for name, frame in zip(self.names, self.frames)}
        found = Counter(name_of[number] for number, _, _ in self.traffic.foreign if number in name_of)
        first = min((when for number, _, when in self.traffic.foreign if number in name_of), default=None)
        self.traffic.foreign.clear()
        return found, first

    def heard(self):
        """Frames that came to the port, since the last call."""
        found = []
        while True:
            try:
                found.append(self.socket.recv(4096))
            except BlockingIOError:
                return found

    def expect_nothing(self, when):
        n = self.await_sent()
        found, _ = self.arrived()
        heard = self.heard()
        assert not found and not heard, f"{when}: of {n} packets {dict(found)} passed, and {len(heard)} came to the port"
        print(f"{when}: 0 of {n} packets passed")

    def expect_policy(self, since_ns, when):
        """What the policy allows passes, and never did before `since_ns`; nothing else does."""
        found, first = self.arrived()
        self.lab.await_datapath()  # It has refused the same packets until now.
        self.await_sent()
        more, first_now = self.arrived()
        first = min(first or first_now, first_now or first)
        found += more
        never = {name: n for name, n in found.items() if name.endswith("!")}
        assert not never, f"{when}: {never} passed"
        assert {name for name in self.names if not name.endswith("!")} <= set(found), f"{when}: only {dict(found)} passed"
        assert first >= since_ns, f"{when}: the first packet passed {(since_ns - first) / 1e6:.3f} ms too early"
        print(f"{when}: {sum(found.values())} packets passed, the first one {(first - since_ns) / 1e6:+.1f} ms from then")
        self.heard()


@pytest.fixture
def late(lab):
    """The others let everything in, so that nothing but the port's own policy holds its packets back."""
    world = lab.world
    mine = [group for group in world.groups if group.region == "SV2"]
    mine[0].rules, mine[1].rules = ANY_BOTH, TCP_OUT
    for group in mine[2:]:
        group.rules = []
    theirs = next(group for group in world.groups if group.region == "TY2")
    theirs.rules = ANY_BOTH
    for server in world.servers:
        server.groups = [mine[0] if server.region == "SV2" else theirs]
    lab.apply_all()
    lab.await_datapath()
    made = Late(lab)
    made.group = mine[1]
    yield made
    made.remove()


def test_registered_late(late):
    late.wire()
    late.expect_nothing("beside the switch")
    late.plug()
    late.expect_nothing("plugged in, not registered")
    before = time.time_ns()
    late.register()
    late.expect_policy(before, "registered")
    late.lab.daemon.change("DELETE", f"/v1/servers/{late.server}")
    late.server = None
    late.lab.await_datapath()
    late.arrived()
    late.heard()
    late.expect_nothing("deleted")


def test_registered_before_it_comes(late):
    late.register()
    late.wire()
    late.expect_nothing("beside the switch")
    before = time.time_ns()
    late.plug()
    late.lab.await_applied()
    late.await_active()
    late.expect_policy(before, "plugged in")
    for _ in range(5 if LONG else 1):
        late.unplug()
        late.lab.await_datapath()
        late.arrived()
        late.heard()
        late.expect_nothing("unplugged")
        before = time.time_ns()
        late.plug()
        late.await_active()
        late.expect_policy(before, "plugged in again")


def test_store_is_slow(late):
    late.wire()
    late.plug()
    done = []
    with frozen(writer_of(late.lab.daemon.pid)):
        thread = threading.Thread(target=lambda: done.append(late.register()), daemon=True)
        thread.start()
        late.expect_nothing("the store does not answer")
        assert not done
        before = time.time_ns()
    thread.join(60)
    assert done
    late.expect_policy(before, "the store has answered")


def test_controller_is_dead(late):
    daemon = late.lab.daemon
    daemon.end(signal.SIGKILL)
    late.wire()
    late.plug()
    late.expect_nothing("the controller is dead")
    daemon.start()
    late.lab.await_applied()
    late.expect_nothing("the controller is back")
    before = time.time_ns()
    late.register()
    late.expect_policy(before, "registered")
    # Known, and comes back while the controller is dead.
    daemon.end(signal.SIGKILL)
    late.unplug()
    late.lab.await_datapath()
    late.arrived()
    late.plug()
    late.heard()
    late.expect_nothing("plugged in again while the controller is dead")
    before = time.time_ns()
    daemon.start()
    late.lab.await_applied()
    late.await_active()
    late.expect_policy(before, "the controller is back")
