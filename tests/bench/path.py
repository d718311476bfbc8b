"""Items 9 and 10: packets.  The same hosts several times: on a bridge that only switches (NORMAL), with OVN, with rules as one would
write them by hand, with Sallyport.  The switch has a processor to itself where there are two, so that what the hosts take of the
machine takes nothing from it."""

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
import threading
import time

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
ELSEWHERE = "10.0.0.0/8"  # Behind the uplink, and whom a sweep asks there.
SWEPT = "10.128.0.0"
PORT = 5200       # A multiple of SINKS: the ports that are open are one mask of everybody's.
SINKS = 16        # traffic.c accepts connections at so many.
PARALLEL = 16     # Connections at a time.
N_NEW = 2000      # Connections of one datagram to count the datapath's work with.
PACE = 40000      # Datagrams a second that every switch takes, so that what it needs for one can be compared.
TURNS = 4         # Of each round, as short as they can be: whatever else happens on the machine happens to all alike.
ETH_TYPES = {4: 0x0800, 6: 0x86dd}
TRAIN_RATE = 5000
SETTLE_S = 0.1
CPUS = os.sched_getaffinity(0)
SWITCH_CPUS = {max(CPUS)}
OTHER_CPUS = CPUS - SWITCH_CPUS or CPUS


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
        self.n_connections = 0

    def __enter__(self):
        self.stack = contextlib.ExitStack()
        try:
            self.ovs = self.stack.enter_context(topology.Ovs())
            self.switch = measure.Process(self.ovs.pid())
            for thread in os.listdir(f"/proc/{self.ovs.pid()}/task"):
                os.sched_setaffinity(int(thread), SWITCH_CPUS)
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

    @contextlib.contextmanager
    def sink(self, target, kind):
        child = self.ovs.hosts[target].popen(TRAFFIC, f"{kind}-sink", PORT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        child.stdout.readline()
        try:
            yield
        finally:
            child.stdin.close()
            child.stdout.read()
            child.wait()

    def send(self, source, target, verb, *arguments):
        """Runs the source of `traffic` to its end.  No connection's ports come a second time: see alive()."""
        if verb != "udp-source":
            arguments = (*arguments, self.n_connections)
        done = json.loads(self.ovs.hosts[source].run(TRAFFIC, verb, ip(target), PORT, *arguments, timeout=60))
        self.n_connections += done["begun"]
        return done

    def delivered(self, target):
        """Packets that the switch has sent to `target`."""
        return int(self.ovs.inside("cat", f"/sys/class/net/{target}/statistics/tx_packets"))

    def run(self, source, target, kind, seconds, pace=0):
        """Traffic from `source` to `target`, of `pace` datagrams a second (0: as many as can be).  Returns what the switch delivered per second,
        datagrams or connections, and its CPU seconds per datagram that it handled or per connection."""
        verb, more = f"{kind}-source", (pace if kind == "udp" else PARALLEL,)
        with self.sink(target, kind):
            self.send(source, target, verb, SETTLE_S, *more)  # The connection is established, the caches are warm.
            self.ovs.appctl("dpif-netdev/pmd-stats-clear")
            cpu, begin = self.switch.cpu_s(), self.delivered(target)
            sent = self.send(source, target, verb, seconds, *more)
            cpu, arrived = self.switch.cpu_s() - cpu, self.delivered(target) - begin
            stats = self.ovs.appctl("dpif-netdev/pmd-stats-show")
        packets = sum(map(int, re.findall(r"packets received: (\d+)", stats)))
        return (arrived if kind == "udp" else sent["n"]) / sent["seconds"], cpu / max(1, packets if kind == "udp" else sent["n"])

    def work(self, source, target):
        """What the datapath does with packets whose like it has seen: how often it looks one up, and its ct actions, each per packet; of
        connections' first packets, and of one connection's later ones."""
        result = {}
        with self.sink(target, "udp"):
            for which, verb, *arguments in (("new", "udp-new", N_NEW), ("established", "udp-source", SETTLE_S, PACE)):
                self.send(source, target, verb, *arguments)
                before = self.entries()
                self.send(source, target, verb, *arguments)
                counts = [(packets - before.get(key, 0), key) for key, packets in self.entries().items()]
                n = sum(count for count, (_, first, _) in counts if first)
                result[which] = (sum(count for count, _ in counts) / n, sum(count * n_ct for count, (_, _, n_ct) in counts) / n)
        return result

    def entries(self):
        """Packets of each of the datapath's IP entries, by (id, does it see packets as they come in, ct actions)."""
        found = {}
        for line in self.ovs.appctl("dpctl/dump-flows", "-m").splitlines():
            match = re.match(r"ufid:(\S+), .*\brecirc_id\((\w+)\).*\beth_type\(0x0800\).* packets:(\d+), .* actions:(.*)", line)
            if match:
                found[match[1], int(match[2], 0) == 0, len(re.findall(r"\bct\b", match[4]))] = int(match[3])
        return found

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
        self.add_flows(flows)

    def add_flows(self, flows):
        with tempfile.NamedTemporaryFile("w", suffix=".flows") as file:
            file.write("\n".join(flows) + "\n")
            file.flush()
            self.ovs.ofctl(["--bundle", "add-flows"], self.bridge, file.name)


class OneLookup(Headers):
    """What one conntrack lookup for both ends would cost at the least: one zone for all ports, a mark that is asked for as Sallyport's gate
    does, the rules on the connection's tuple, and of all that Sallyport looks at besides only the sender's addresses and the frame's destination.
    No firewall: README.md tells what it lacks."""

    def build(self):
        self.ovs.add_bridge(self.bridge, 1)
        self.add_hosts()
        flows = ["arp actions=NORMAL", "table=1,priority=200,ct_state=-inv+trk,ct_mark=1 actions=goto_table:2"]
        for name in HOSTS:
            number = self.ovs.ofport(name)
            sender = "" if name == "out" else f",dl_src={mac(name)},nw_src={ip(name)}"
            flows += [f"priority=100,ip,in_port={number}{sender} actions=ct(table=1,zone=1)",
                      f"table=2,dl_dst={mac(name)} actions=output:{number}"]
        flows += [f"table=1,priority=100,ct_state=+new-inv+trk,ip,ct_nw_proto={17 if rule.protocol == 'udp' else 6}"
                  + (f",ct_nw_src={rule.remote}" if rule.remote else "") + f",ct_tp_dst=0x{value:x}/0x{mask:x} "
                  "actions=ct(commit,zone=1,exec(load:1->NXM_NX_CT_MARK[])),goto_table:2"
                  for rule in self.rules for value, mask in cover(rule.low, rule.high)]
        self.add_flows(flows)


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
        words += v.closing_words(self.rules)
        v.timed(*words)


NETS = {"NORMAL": Plain, "OVN": Peer, "header matches": Headers, "one lookup": OneLookup, "ours": Ours}


@contextlib.contextmanager
def nets(settings, rules, names):
    with contextlib.ExitStack() as stack:
        os.sched_setaffinity(0, OTHER_CPUS)  # And all that begin from here on.
        stack.callback(os.sched_setaffinity, 0, CPUS)
        yield {name: stack.enter_context(NETS[name](rules)) for name in names if settings.ovn or name != "OVN"}


def alive(report, all_nets):
    """Leaves out of `all_nets` those whose switch has ended.  OVN commits with nat, and where a connection comes whose ports are those of one
    that has closed and is still in conntrack, that ends ovs-vswitchd 3.1 (assertion in conn_update_state())."""
    for name in [name for name, net in all_nets.items() if has_ended(net.switch.pid)]:
        if name == "ours":
            raise SystemExit("the switch has ended under our flows")
        report.say(f"the switch of {name} has ended; from here on without it")
        del all_nets[name]


def has_ended(pid):
    """Also of one that nobody has asked for its exit status yet."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


WAYS = (("uplink to server", "out", "vm1"), ("server to server", "vm1", "vm2"))
# Name, kind, datagrams a second, and which of the two figures of Net.run() it is for.
LOADS = (("UDP 60 bytes: packets per second", "udp", 0, 0), (f"UDP 60 bytes, {PACE}/s: CPU per packet", "udp", PACE, 1),
         ("short TCP: connections per second", "tcp", 0, 0), ("short TCP: CPU per connection", "tcp", 0, 1))


def path(report, settings):
    """Item 9."""
    rules = [workload.Rule(protocol, PORT, PORT + SINKS - 1) for protocol in ("udp", "tcp")] + workload.ranges(10)
    with nets(settings, rules, ("NORMAL", "OVN", "one lookup", "ours")) as all_nets:
        for label, source, target in WAYS:
            measured = {}
            for what, kind, pace, which in LOADS:
                if (kind, pace) not in measured:
                    measured[kind, pace] = loaded(report, settings, all_nets, source, target, kind, pace)
                values = {name: [run[which] for run in runs] for name, runs in measured[kind, pace].items()}
                for name in values:
                    if name != "ours" and len(values[name]) == len(values["ours"]):
                        report.add("9", f"{label}, {what}", values["ours"], "s" if which else "/s", name, values[name], times,
                                   target="" if name != "OVN" else "<= 1" if which else ">= 1", better=min if which else max, paired=True)
            datapath_work(report, all_nets, label, source, target)


def asked(report, all_nets, question):
    """What `question` returns of each, but for those whose switch has ended."""
    answers = {}
    for name, net in list(all_nets.items()):
        try:
            answers[name] = question(net)
        except (topology.OvsError, OSError):
            alive(report, all_nets)
            if name in all_nets:
                raise
    return answers


def loaded(report, settings, all_nets, source, target, kind, pace):
    """In turns, what Net.run() returns."""
    runs = {name: [] for name in all_nets}
    for _ in range(settings.rounds * TURNS):
        for name, run in asked(report, all_nets, lambda net: net.run(source, target, kind, settings.load_s / TURNS, pace)).items():
            runs[name].append(run)
    return runs


def datapath_work(report, all_nets, label, source, target):
    work = asked(report, all_nets, lambda net: net.work(source, target))
    for name in work:
        if name != "ours":
            for which in ("new", "established"):
                for i, what in enumerate(("passes", "ct actions")):
                    report.add("9", f"{label}, {which}: {what} per packet", work["ours"][which][i], "", name, work[name][which][i], times)


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


def open_wire(net, host):
    """A socket that takes whole frames on `host`'s interface."""
    with topology.inside(net.ovs.hosts[host].netns):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        sock.bind(("eth0", 0))
    return sock


def send(net, frames, pause_every=64):
    """From `out`, in bursts that the switch's queue can hold."""
    with open_wire(net, "out") as sock:
        for i in range(0, len(frames), pause_every):
            for frame in frames[i:i + pause_every]:
                sock.send(frame)
            net.ovs.appctl("version")  # A round trip: the switch has had a turn.


@contextlib.contextmanager
def sending(net, frames):
    """The train again and again, TRAIN_RATE packets a second, for the length of the block."""
    stop = threading.Event()

    def repeat(sock):
        begin, n = time.monotonic(), 0
        while not stop.wait(0.005):
            while n < (time.monotonic() - begin) * TRAIN_RATE:
                with contextlib.suppress(OSError):  # A full queue.
                    sock.send(frames[n % len(frames)])
                n += 1

    with open_wire(net, "out") as sock:
        thread = threading.Thread(target=repeat, args=(sock,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


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


# Of no rule's.
NOBODYS = {4: syn(ipaddress.ip_address("198.51.100.1"), 9), 6: syn(ipaddress.ip_address("2001:db8:ffff::1"), 9)}


def connections_beside(net, settings, frames):
    """Short connections a second from the uplink to the second server, while `frames` go to the first, again and again."""
    with sending(net, frames) if frames else contextlib.nullcontext():
        return net.run("out", "vm2", "tcp", settings.load_s / TURNS)[0]


def masks(report, settings):
    """What makes a switch that matches headers look at ever more bits; and what that leaves to the others, of whom each new connection is
    looked for under every mask: short TCP from the uplink to a second server, while the train goes to the first.  Who sends the train takes
    processor time, too: one packet again and again takes as much."""
    for family, rules in ((4, workload.ranges(settings.rules)), (6, workload.ranges6(settings.rules))):
        frames = train(rules)
        with nets(settings, rules + [workload.Rule("tcp", PORT, PORT + SINKS - 1)], ("OVN", "header matches", "ours")) as all_nets:
            counts, (kept, beside) = {}, ({name: [] for name in all_nets} for _ in range(2))
            for name, net in all_nets.items():
                before = net.masks(ETH_TYPES[family])
                send(net, frames)
                counts[name] = net.masks(ETH_TYPES[family]) - before
            for _ in range(settings.rounds * TURNS):
                for name, net in list(all_nets.items()):
                    try:
                        before, alike, meanwhile = (connections_beside(net, settings, sent) for sent in ([], [NOBODYS[family]], frames))
                    except (topology.OvsError, OSError):
                        alive(report, all_nets)
                        if name in all_nets:
                            raise
                        continue
                    kept[name].append(meanwhile / before)
                    beside[name].append(meanwhile / alike)
            for name in all_nets:
                if name != "ours":
                    label = f"{len(frames)} IPv{family} probes of {len(rules)} rules"
                    report.add("10", f"{label}: new masks", counts["ours"], "", name, counts[name], faster, "<= 6")
                    label = f"{label}, {TRAIN_RATE}/s: connections kept by others"
                    report.add("10", label, kept["ours"], "", name, kept[name], times, ">= 0.8", better=max)
                    report.add("10", f"{label}, of those beside as many probes that are all the same", beside["ours"], "", name, beside[name], times,
                               ">= 0.8", better=max)


# Datagrams a second, how many of them to one port, and whether a rule for all ports, but for others, is there as well.
FLOODS = ((5000, 64, False), (5000, 1, False), (40000, 1, False), (5000, 1, True))
ALL_PORTS = workload.Rule("udp", 0, 65535, "10.99.0.0/16")


def flood(report, settings):
    """What one server's flood of new connections that nothing allows, each another one, leaves to the others: datagrams from the uplink to
    a second server, while the first one sends to ports of the second that no rule names."""
    for rate, same, beside in FLOODS:
        rules = [workload.Rule("udp", PORT, PORT), *workload.ranges(settings.rules), *([ALL_PORTS] if beside else [])]
        with nets(settings, rules, ("NORMAL", "OVN", "header matches", "ours")) as all_nets:
            kept, found = ({name: [] for name in all_nets} for _ in range(2))
            for _ in range(settings.rounds * TURNS):
                for name, net in all_nets.items():
                    flooded(net, rate, same, settings.load_s / TURNS, kept[name], found[name])
        label = f"{rate}/s denied from one server, {'each to another port' if same == 1 else f'{same} to each port'}"
        label += ", beside a rule for all ports" if beside else ""
        report_flood(report, label, kept, found)
    sweep(report, settings)


def sweep(report, settings):
    """The same with datagrams to one port that rules name for some addresses, each to another address that none names."""
    rate, rules = FLOODS[0][0], [workload.Rule("udp", PORT, PORT), *workload.hosts(settings.rules, PORT)]
    with nets(settings, rules, ("OVN", "ours")) as all_nets:
        for net in all_nets.values():  # Not in `masks`, where it would make vm1 answer.
            net.ovs.hosts["vm1"].run("ip", "route", "add", ELSEWHERE, "via", ip("out"))
        kept, found = ({name: [] for name in all_nets} for _ in range(2))
        for _ in range(settings.rounds * TURNS):
            for name, net in all_nets.items():
                flooded(net, rate, 0, settings.load_s / TURNS, kept[name], found[name])
    report_flood(report, f"{rate}/s denied from one server, each to another address", kept, found)


def report_flood(report, label, kept, found):
    for name in kept:
        if name != "ours":
            report.add("10", f"{label}: kept by others", kept["ours"], "", name, kept[name], times, ">= 0.8", better=max,
                       note=f"{max(n for n, _ in found['ours'])} masks and {max(n for _, n in found['ours']):,} entries more, there "
                       f"{max(n for n, _ in found[name])} and {max(n for _, n in found[name]):,}")


def flooded(net, rate, same, seconds, kept, found):
    """One turn: adds to `kept` what the others keep, and to `found` the masks and the entries that the datapath has more for it.  `same`: how
    many datagrams to each port; 0: each to another address."""
    before, n_masks, n_entries = net.run("out", "vm2", "udp", seconds)[0], net.masks(), len(net.entries())
    length = seconds + 6 * SETTLE_S
    words = ("udp-flood", ip("vm2"), length, rate, same) if same else ("udp-sweep", SWEPT, PORT, length, rate)
    flooder = net.ovs.hosts["vm1"].popen(TRAFFIC, *words, stdout=subprocess.DEVNULL)
    kept.append(net.run("out", "vm2", "udp", seconds)[0] / before)
    found.append((net.masks() - n_masks, len(net.entries()) - n_entries))
    if flooder.wait():
        raise SystemExit("the flood failed")
