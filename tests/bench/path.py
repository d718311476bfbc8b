"""Items 9 and 10: packets.  The same hosts three times: on a bridge that only switches (NORMAL), with OVN, with Sallyport."""

import contextlib
import json
import os
import random
import re
import socket
import struct
import subprocess

import measure
import one_bridge
import ours
import ovn
import ovs as topology
import workload
from measure import faster, median, times

TRAFFIC = os.path.join(measure.TOOLS, "traffic")
# Name, number; "out" is what lies behind the uplink.
HOSTS = {"vm1": 1, "vm2": 2, "out": 99}
PORT = 5200
SETTLE_S = 0.3


def ip(name):
    return f"172.16.9.{HOSTS[name]}"


def mac(name):
    return f"02:00:00:00:09:{HOSTS[name]:02x}"


class Net:
    """An Open vSwitch of its own with the hosts on bridge `bridge`; a subclass says who rules it."""

    bridge = "br0"

    def __init__(self, rules):
        self.rules = rules

    def __enter__(self):
        self.stack = contextlib.ExitStack()
        try:
            self.ovs = self.stack.enter_context(topology.Ovs())
            self.switch = measure.Process(self.ovs.pid())
            self.build()
            for name in HOSTS:
                for other in HOSTS:
                    if other != name:
                        self.ovs.hosts[name].run("ip", "neigh", "replace", ip(other), "lladdr", mac(other), "dev", "eth0")
        except BaseException:
            self.stack.close()
            raise
        return self

    def __exit__(self, *_):
        self.stack.close()

    def add_hosts(self, external_ids=lambda name: None):
        for name in HOSTS:
            host = self.ovs.add_host(name, ipv6=False)
            self.ovs.add_port(self.bridge, name, host, mac=mac(name), ips=[ip(name) + "/24"], external_ids=external_ids(name))

    def run(self, source, target, kind, seconds, *more):
        """Traffic from `source` to `target`.  Returns what arrived per second, the switch's CPU seconds per datagram that it handled or
        per connection, and its passes per packet."""
        sink = self.ovs.hosts[target].popen(TRAFFIC, f"{kind}-sink", PORT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        sink.stdout.readline()
        source_host = self.ovs.hosts[source]
        source_host.run(TRAFFIC, f"{kind}-source", ip(target), PORT, SETTLE_S, *more)  # The connection is established, the caches are warm.
        self.ovs.appctl("dpif-netdev/pmd-stats-clear")
        cpu = self.switch.cpu_s()
        sent = json.loads(source_host.run(TRAFFIC, f"{kind}-source", ip(target), PORT, seconds, *more))
        cpu = self.switch.cpu_s() - cpu
        stats = self.ovs.appctl("dpif-netdev/pmd-stats-show")
        sink.stdin.close()
        arrived = json.loads(sink.stdout.read())
        sink.wait()
        packets = sum(map(int, re.findall(r"packets received: (\d+)", stats)))
        passes = [float(n) for n in re.findall(r"avg. datapath passes per packet: ([\d.]+)", stats) if float(n)]
        n = packets if kind == "udp" else sent["n"]
        rate = (arrived["n"] if kind == "udp" else sent["n"]) / sent["seconds"]
        return rate, cpu / max(1, n), max(passes, default=0)

    def masks(self):
        """How many different masks the datapath's flows for IP have."""
        found = set()
        for line in self.ovs.appctl("dpctl/dump-flows").splitlines():
            fields = line.split(", packets:")[0]
            if "eth_type(0x0800)" in fields:
                found.add(re.sub(r"([a-z_0-9]+)([=(])(?:0x)?[0-9a-f.:]+(?=[,)/])", r"\1\2*", fields))
        return len(found)


class Plain(Net):
    """Every port may send everything everywhere."""

    def build(self):
        self.ovs.add_bridge(self.bridge, 1)
        self.add_hosts()
        self.ovs.ofctl("add-flow", self.bridge, "actions=NORMAL")


class Ours(Net):
    def build(self):
        self.ovs.add_bridge(self.bridge, 1)
        self.add_hosts()
        self.ours = self.stack.enter_context(ours.Sallyport())
        self.ours.call("PUT", "/v1/regions/R")
        self.ours.call("PUT", f"/v1/bridges/{1:016x}", {"uplinks": ["out"]})
        group = self.ours.make_group("R", "g", self.rules)
        for name in ("vm1", "vm2"):
            self.ours.call("POST", "/v1/servers?wait=0", {"region": "R", "name": name, "security_groups": [group], "ports": [
                {"bridge": f"{1:016x}", "port": name, "mac": mac(name), "ips": [ip(name)]}]})
        self.ovs.set_controllers(self.bridge, self.ours.dial)
        self.ours.await_in_step()


class Peer(Net):
    """OVN; the uplink is a bridge of its own, as OVN wants it."""

    bridge = "br-int"

    def build(self):
        self.ovs.add_bridge("br-int", 1, protocols=one_bridge.OVN_PROTOCOLS)
        self.ovs.add_bridge("br-ex", 2, protocols=one_bridge.OVN_PROTOCOLS)
        self.ovs.ofctl("add-flow", "br-ex", "actions=NORMAL")
        for name in HOSTS:
            host = self.ovs.add_host(name, ipv6=False)
            self.ovs.add_port("br-ex" if name == "out" else "br-int", name, host, mac=mac(name), ips=[ip(name) + "/24"],
                              external_ids={} if name == "out" else {"iface-id": name})
        self.ovs.vsctl("set", "Open_vSwitch", ".", "external_ids:ovn-bridge-mappings=phys:br-ex")
        v = self.stack.enter_context(ovn.Ovn(self.ovs))
        words = ["ls-add", "sw0", "--", "lsp-add", "sw0", "uplink", "--", "lsp-set-type", "uplink", "localnet", "--", "lsp-set-addresses",
                 "uplink", "unknown", "--", "lsp-set-options", "uplink", "network_name=phys"]
        for name in ("vm1", "vm2"):
            words += ["--", "lsp-add", "sw0", name, "--", "lsp-set-addresses", name, f"{mac(name)} {ip(name)}", "--",
                      "lsp-set-port-security", name, f"{mac(name)} {ip(name)}"]
        words += ["--", "pg-add", ovn.GROUP, "vm1", "vm2"]
        for rule in self.rules:
            words += ["--", *v.rule_words(rule)]
        words += v.closing_words()
        v.timed(*words)


NETS = {"NORMAL": Plain, "OVN": Peer, "ours": Ours}


@contextlib.contextmanager
def nets(settings, rules):
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(net(rules)) for name, net in NETS.items() if settings.ovn or name != "OVN"}


def path(report, settings):
    """Item 9."""
    rules = [workload.Rule("udp", PORT, PORT), workload.Rule("tcp", PORT, PORT), *workload.ranges(10)]
    with nets(settings, rules) as all_nets:
        for label, kind, source, target, more in (("uplink to server, UDP 60 bytes", "udp", "out", "vm1", ()),
                                                  ("server to server, UDP 60 bytes", "udp", "vm1", "vm2", ()),
                                                  ("uplink to server, short TCP", "tcp", "out", "vm1", (16,)),
                                                  ("server to server, short TCP", "tcp", "vm1", "vm2", (16,))):
            rates, cpus, passes = ({name: [] for name in all_nets} for _ in range(3))
            for _ in range(settings.rounds):
                for name, net in all_nets.items():
                    rate, cpu, n = net.run(source, target, kind, settings.load_s, *more)
                    rates[name].append(rate)
                    cpus[name].append(cpu)
                    passes[name].append(n)
            what = "packet" if kind == "udp" else "connection"
            for name in all_nets:
                if name == "ours":
                    continue
                report.add("9", f"{label}: {what}s per second", rates["ours"], "/s", name, rates[name], times, better=max,
                           target=">= 1" if name == "OVN" else "")
                report.add("9", f"{label}: CPU per {what}", cpus["ours"], "s", name, cpus[name], times,
                           target="<= 1" if name == "OVN" else "",
                           note=f"passes per packet {median(passes['ours']):.2f}, there {median(passes[name]):.2f}")


# Item 10.

def syn(source, port):
    """An Ethernet frame with a TCP SYN from `source` to vm1, TCP port `port`."""
    addresses = socket.inet_aton(source) + socket.inet_aton(ip("vm1"))
    tcp = struct.pack("!HHIIBBHHH", random.randrange(1024, 65536), port, 1, 0, 5 << 4, 2, 8192, 0, 0)
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 1, 0, 64, 6, 0) + addresses
    header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    tcp = tcp[:16] + struct.pack("!H", checksum(addresses + struct.pack("!BBH", 0, 6, len(tcp)) + tcp)) + tcp[18:]
    hardware = bytes.fromhex((mac("vm1") + mac("out")).replace(":", ""))
    return hardware + b"\x08\x00" + header + tcp


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff


def send(net, frames, pause_every=64):
    """From `out`, in bursts that the switch's queue can hold."""
    with topology.inside(net.ovs.hosts["out"].netns):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with sock:
        for i in range(0, len(frames), pause_every):
            for frame in frames[i:i + pause_every]:
                sock.sendto(frame, ("eth0", 0))
            net.ovs.appctl("version")  # A round trip: the switch has had a turn.


def masks(report, settings):
    """Packets whose addresses and ports differ from those of the rules in each bit in turn, which is what makes a switch that matches
    headers look at ever more bits."""
    rules = workload.ranges(settings.rules)
    generator = random.Random(1)
    frames = []
    for rule in rules:
        net, low = rule.remote.split("/")[0], rule.low
        base = struct.unpack("!I", socket.inet_aton(net))[0]
        for bit in range(24):
            frames.append(syn(socket.inet_ntoa(struct.pack("!I", base ^ 1 << 31 - bit)), low))
        for bit in range(16):
            frames.append(syn(socket.inet_ntoa(struct.pack("!I", base + 9)), low ^ 1 << bit or 1))
    generator.shuffle(frames)
    with nets(settings, rules) as all_nets:
        counts = {}
        for name, net in all_nets.items():
            if name == "NORMAL":
                continue
            before = net.masks()
            send(net, frames)
            counts[name] = net.masks() - before
        report.add("10", f"{len(frames)} probes of {len(rules)} rules: new masks", counts["ours"], "", "OVN", counts.get("OVN"), faster, "<= 6")
