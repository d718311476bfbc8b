"""Items 9 and 10: packets.  The same hosts three times: on a bridge that only switches (NORMAL), with OVN, with Sallyport."""

import contextlib
import ipaddress
import json
import os
import random
import re
import socket
import struct
import subprocess
import tempfile

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
ETH_TYPES = {4: 0x0800, 6: 0x86dd}
FLOOD_RATE = 5000
SETTLE_S = 0.3


def ip(name):
    return f"172.16.9.{HOSTS[name]}"


def ip6(name):
    return f"2001:db8:ffff::{HOSTS[name]}"


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

    def masks(self, eth_type=0x0800):
        """How many different masks the datapath's flows for packets of `eth_type` have."""
        found = set()
        for line in self.ovs.appctl("dpctl/dump-flows", timeout=120).splitlines():
            fields = line.split(", packets:")[0]
            if f"eth_type(0x{eth_type:04x})" in fields:
                found.add(re.sub(r"([a-z_0-9]+)([=(])(?:0x)?[0-9a-f.:]+(?=[,)/])", r"\1\2*", fields))
        return len(found)


class Plain(Net):
    """Every port may send everything everywhere."""

    def build(self):
        self.ovs.add_bridge(self.bridge, 1)
        self.add_hosts()
        self.ovs.ofctl("add-flow", self.bridge, "actions=NORMAL")


class Headers(Net):
    """The rules as one would write them by hand: conntrack's state, and prefixes and masks of the packet's own header."""

    def build(self):
        self.ovs.add_bridge(self.bridge, 1)
        self.add_hosts()
        flows = ["arp actions=NORMAL", "ip actions=ct(table=1)", "ipv6 actions=ct(table=1)",
                 "table=1,priority=200,ct_state=+trk+est actions=NORMAL", "table=1,priority=1 actions=drop"]
        for rule in self.rules:
            family = "6" if rule.remote and ":" in rule.remote else ""
            source = f",{'ipv6_src' if family else 'nw_src'}={rule.remote}" if rule.remote else ""
            flows += [f"table=1,priority=100,ct_state=+trk+new,{rule.protocol}{family}{source},tp_dst=0x{value:x}/0x{mask:x} "
                      "actions=ct(commit),NORMAL" for value, mask in cover(rule.low, rule.high)]
        with tempfile.NamedTemporaryFile("w", suffix=".flows") as file:
            file.write("\n".join(flows) + "\n")
            file.flush()
            self.ovs.ofctl(["--bundle", "add-flows"], self.bridge, file.name)


def cover(low, high):
    """The fewest prefixes that are the ports from `low` to `high`, as (value, mask)."""
    while low <= high:
        size = low & -low or 65536
        while low + size - 1 > high:
            size //= 2
        yield low, 65536 - size
        low += size


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
                {"bridge": f"{1:016x}", "port": name, "mac": mac(name), "ips": [ip(name), ip6(name)]}]})
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
            words += ["--", "lsp-add", "sw0", name, "--", "lsp-set-addresses", name, f"{mac(name)} {ip(name)} {ip6(name)}", "--",
                      "lsp-set-port-security", name, f"{mac(name)} {ip(name)} {ip6(name)}"]
        words += ["--", "pg-add", ovn.GROUP, "vm1", "vm2"]
        for rule in self.rules:
            words += ["--", *v.rule_words(rule)]
        words += v.closing_words()
        v.timed(*words)


NETS = {"NORMAL": Plain, "OVN": Peer, "header matches": Headers, "ours": Ours}


@contextlib.contextmanager
def nets(settings, rules, names):
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(NETS[name](rules)) for name in names if settings.ovn or name != "OVN"}


def alive(report, all_nets):
    """Leaves out of `all_nets` those whose switch has ended.  OVN commits with nat, and where a connection's ports come back while the old one
    is about to expire that ends ovs-vswitchd 3.1 (assertion in conn_update_state())."""
    for name in [name for name, net in all_nets.items() if not os.path.exists(f"/proc/{net.switch.pid}")]:
        if name == "ours":
            raise SystemExit("the switch has ended under our flows")
        report.say(f"the switch of {name} has ended; from here on without it")
        del all_nets[name]


def path(report, settings):
    """Item 9."""
    rules = [workload.Rule("udp", PORT, PORT), workload.Rule("tcp", PORT, PORT), *workload.ranges(10)]
    with nets(settings, rules, ("NORMAL", "OVN", "ours")) as all_nets:
        for label, kind, source, target, more in (("uplink to server, UDP 60 bytes", "udp", "out", "vm1", ()),
                                                  ("server to server, UDP 60 bytes", "udp", "vm1", "vm2", ()),
                                                  ("uplink to server, short TCP", "tcp", "out", "vm1", (16,)),
                                                  ("server to server, short TCP", "tcp", "vm1", "vm2", (16,))):
            rates, cpus, passes = ({name: [] for name in all_nets} for _ in range(3))
            for _ in range(settings.rounds):
                for name, net in list(all_nets.items()):
                    try:
                        rate, cpu, n = net.run(source, target, kind, settings.load_s, *more)
                    except (topology.OvsError, OSError):
                        alive(report, all_nets)
                        if name in all_nets:
                            raise
                        continue
                    rates[name].append(rate)
                    cpus[name].append(cpu)
                    passes[name].append(n)
            what = "packet" if kind == "udp" else "connection"
            for name in rates:
                if name == "ours" or not rates[name]:
                    continue
                report.add("9", f"{label}: {what}s per second", rates["ours"], "/s", name, rates[name], times, better=max,
                           target=">= 1" if name == "OVN" else "")
                report.add("9", f"{label}: CPU per {what}", cpus["ours"], "s", name, cpus[name], times,
                           target="<= 1" if name == "OVN" else "",
                           note=f"passes per packet {median(passes['ours']):.2f}, there {median(passes[name]):.2f}")


# Item 10.

def syn(source, port):
    """An Ethernet frame with a TCP SYN from `source`, an ipaddress, to vm1, TCP port `port`."""
    addresses = source.packed + ipaddress.ip_address((ip if source.version == 4 else ip6)("vm1")).packed
    tcp = struct.pack("!HHIIBBHHH", random.randrange(1024, 65536), port, 1, 0, 5 << 4, 2, 8192, 0, 0)
    if source.version == 4:
        header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 1, 0, 64, 6, 0) + addresses
        header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    else:
        header = struct.pack("!IHBB", 6 << 28, len(tcp), 6, 64) + addresses
    tcp = tcp[:16] + struct.pack("!H", checksum(addresses + struct.pack("!HH", 6, len(tcp)) + tcp)) + tcp[18:]
    hardware = bytes.fromhex((mac("vm1") + mac("out")).replace(":", ""))
    return hardware + struct.pack("!H", ETH_TYPES[source.version]) + header + tcp


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


def train(rules):
    """Packets whose addresses and ports differ from those of `rules` in each bit in turn, in any order."""
    frames = []
    for rule in rules:
        net = ipaddress.ip_network(rule.remote)
        base, one = int(net.network_address), type(net.network_address)
        for bit in range(net.prefixlen):
            frames.append(syn(one(base ^ 1 << net.max_prefixlen - 1 - bit), rule.low))
        for bit in range(16):
            frames.append(syn(one(base + 9), rule.low ^ 1 << bit or 1))
    random.Random(1).shuffle(frames)
    return frames


def masks(report, settings):
    """What makes a switch that matches headers look at ever more bits."""
    for family, rules in ((4, workload.ranges(settings.rules)), (6, workload.ranges6(settings.rules))):
        frames = train(rules)
        with nets(settings, rules, ("OVN", "header matches", "ours")) as all_nets:
            counts = {}
            for name, net in all_nets.items():
                before = net.masks(ETH_TYPES[family])
                send(net, frames)
                counts[name] = net.masks(ETH_TYPES[family]) - before
            for name in all_nets:
                if name != "ours":
                    report.add("10", f"{len(frames)} IPv{family} probes of {len(rules)} rules: new masks", counts["ours"], "", name,
                               counts[name], faster, "<= 6")


def flood(report, settings):
    """What one server's flood of new connections that nothing allows, each another one, leaves to the others: datagrams from the uplink to
    a second server, while the first one sends to ports of the second that no rule names."""
    rules = [workload.Rule("udp", PORT, PORT), *workload.ranges(settings.rules)]
    with nets(settings, rules, ("NORMAL", "OVN", "header matches", "ours")) as all_nets:
        kept, before = ({name: [] for name in all_nets} for _ in range(2))
        found = {}
        for _ in range(settings.rounds):
            for name, net in all_nets.items():
                before[name].append(net.run("out", "vm2", "udp", settings.load_s)[0])
                n_masks = net.masks()
                flooder = net.ovs.hosts["vm1"].popen(TRAFFIC, "udp-flood", ip("vm2"), settings.load_s + 2 * SETTLE_S, FLOOD_RATE,
                                                     stdout=subprocess.DEVNULL)
                kept[name].append(net.run("out", "vm2", "udp", settings.load_s)[0] / before[name][-1])
                found[name] = max(found.get(name, 0), net.masks() - n_masks)
                if flooder.wait():
                    raise SystemExit("the flood failed")
    for name in kept:
        if name != "ours":
            report.add("10", f"{FLOOD_RATE}/s denied from one server: kept by others", kept["ours"], "", name, kept[name], times,
                       ">= 0.8", better=max, note=f"{median(before['ours']):,.0f} datagrams/s before, there {median(before[name]):,.0f}; "
                       f"{found['ours']} masks more, there {found[name]}")
