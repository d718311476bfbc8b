"""Items 1, 2, 3, 6: one real bridge with N ports and M rules, beside the switch's own limit, ovs-ofctl and OVN."""

import tempfile
import time

import measure
import ours
import ovs as topology
import ovn
import workload
from measure import faster, median, times

REGION = "R"
OVN_PROTOCOLS = "OpenFlow10,OpenFlow13,OpenFlow14,OpenFlow15"


def port_names(n):
    return [f"p{i}" for i in range(n)]


class Bridge:
    """Sallyport and a bridge br0 of its own Open vSwitch: N servers in `groups` groups of rules(M / groups) each, and spare ports."""

    def __init__(self, n, rules, groups=1, spare=0):
        self.n, self.rules, self.n_groups, self.spare = n, rules, groups, spare

    def __enter__(self):
        self.ovs = topology.Ovs(dummy=True)
        self.ours = ours.Sallyport()
        self.ovs.__enter__()
        try:
            self.ours.__enter__()
            self.ovs.add_bridge("br0", 1)
            self.ovs.add_dummy_ports("br0", port_names(self.n + self.spare))
            self.switch = measure.Process(self.ovs.pid())
            self.ours.call("PUT", f"/v1/regions/{REGION}")
            self.groups = []
            self.last_flows = None
            self.rounds = 1
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.ours.__exit__()
        self.ovs.__exit__()

    def fill(self):
        """Makes groups and servers.  Returns the seconds that it took."""
        begin = time.monotonic()
        self.groups = [self.ours.make_group(REGION, f"g{k}", self.rules) for k in range(self.n_groups)]
        for k, group in enumerate(self.groups):
            self.ours.make_servers(REGION, [group], ((i, 1, f"p{i}") for i in range(k, self.n, self.n_groups)))
        return time.monotonic() - begin

    def connect(self):
        self.ovs.set_controllers("br0", self.ours.dial)

    def connect_and_wait(self):
        self.connect()
        self.ours.await_in_step()

    def reconnect(self, empty=False):
        """Breaks the connection; with `empty` the flows go meanwhile.  Returns the seconds from the new one's handshake to in step, and
        the daemon's and the switch's CPU seconds."""
        connects = self.ours.metrics()["sallyport_bridge_connects_total"]
        if self.ours.break_connection() != 1:
            raise SystemExit("not one connection")
        if empty:
            self.ovs.ofctl("del-flows", "br0", timeout=120)  # The switch waits a second before it dials.
        self.ours.wait_until(lambda: self.ours.metrics()["sallyport_bridge_connects_total"] > connects, "a new connection", pause_s=0.001)
        begin, cpu = time.monotonic(), (self.ours.process.cpu_s(), self.switch.cpu_s())
        self.ours.await_in_step()
        return time.monotonic() - begin, self.ours.process.cpu_s() - cpu[0], self.switch.cpu_s() - cpu[1]

    def await_filled(self):
        """Seconds until all is in step, after fill()."""
        begin = time.monotonic()
        self.ours.await_in_step()
        return time.monotonic() - begin

    def n_flows(self):
        return int(self.ours.metrics()["sallyport_bridge_flows_installed"])

    def add_rule(self, i):
        return ("POST", f"/v1/security-groups/{self.groups[0]}/rules?wait=60", extra_rule(i).sallyport())


def extra_rule(i):
    """Rule that no workload has: one port, so that it costs as few flows in OVN as here."""
    return workload.Rule("tcp", 64000 + i % 1000, 64000 + i % 1000, f"10.200.{i // 1000}.0/24")


# Items 1 and 6.

def program(report, settings):
    """Programming from empty, and the limit of the switch with the very same flows."""
    for name, rules in (("ranges", workload.ranges(settings.rules)), ("classic", workload.classic())):
        with Bridge(settings.ports, rules) as bridge:
            bridge.connect()
            from_nothing = bridge.fill() + bridge.await_filled()
            ours_s, raw_s, ofctl_s, note = program_rounds(bridge, settings.rounds)
            flows = bridge.last_flows
        label = f"{name}, {settings.ports} ports x {len(rules)} rules"
        report.add("1", f"{label}: handshake to confirmed", ours_s, "s", "raw, same flows", raw_s, faster, note=note)
        report.add("1", f"{label}: handshake to confirmed", ours_s, "s", "ovs-ofctl --bundle add-flows", ofctl_s, faster)
        peer = peer_program(settings, rules) if settings.ovn else None
        if peer:
            report.add("1", f"{label}: flows", flows, "", "OVN", peer["flows"], faster, "<= 10,000")
            report.add("1", f"{label}: handshake to confirmed", ours_s, "s", "OVN, ovn-controller started", peer["restart"], faster, ">= 40")
            report.add("1", f"{label}: from nothing, by API", from_nothing, "s", "OVN, ovn-nbctl --wait=hv", peer["program"], faster, ">= 40",
                       note=f"OVN {peer['cpu']:.1f} s CPU, {peer['resident'] / 2**20:.0f} MiB")
    if settings.flows:
        many_flows(report, settings)


def program_rounds(bridge, rounds):
    """Per round: the seconds from the handshake with an empty bridge to the last confirmed flow, of the raw program with these flows,
    of ovs-ofctl with them; and a word about processor time.  The bridge has its flows before and afterwards."""
    ours_s, raw_s, ofctl_s, cpu = [], [], [], []
    with tempfile.NamedTemporaryFile("w", suffix=".flows") as file:
        for _ in range(rounds):
            seconds, *used = bridge.reconnect(empty=True)
            ours_s.append(seconds)
            cpu.append(used)
            bridge.last_flows = bridge.n_flows()
            raw_s += measure.raw_switch(bridge.ovs, "br0", "blast", 1)["seconds"]
            file.seek(0)
            file.truncate()
            file.write(bridge.ovs.ofctl(["--no-stats", "dump-flows"], "br0", timeout=120))
            file.flush()
            bridge.ovs.ofctl("del-flows", "br0", timeout=120)
            begin = time.monotonic()
            bridge.ovs.ofctl(["--bundle", "add-flows"], "br0", file.name, timeout=300)
            ofctl_s.append(time.monotonic() - begin)
    return ours_s, raw_s, ofctl_s, f"daemon {median([c[0] for c in cpu]):.2f} s CPU, switch {median([c[1] for c in cpu]):.2f} s"


def many_flows(report, settings):
    """So many flows that the switch's limit shows; and what a reconnect costs when nothing has changed."""
    with Bridge(settings.ports, workload.ranges(max(1, settings.flows // 125)), groups=10) as bridge:
        bridge.fill()
        bridge.connect_and_wait()
        ours_s, raw_s, ofctl_s, note = program_rounds(bridge, settings.rounds)
        bridge.reconnect()
        reconnect_s, dump_s, sent, cpu_s = reconnects(bridge, settings.rounds)
        bridge.ours.stop()
        replace_s = ofctl_replace(bridge, settings.rounds)
        label = f"{bridge.last_flows} flows"
    report.add("1", f"{label}: handshake to confirmed", ours_s, "s", "raw, same flows", raw_s, faster, ">= 0.9", note=note)
    report.add("1", f"{label}: handshake to confirmed", ours_s, "s", "ovs-ofctl --bundle add-flows", ofctl_s, faster)
    report.add("6", f"{label}: flow-mods of a reconnect", sent, "", target="0")
    report.add("6", f"{label}: reconnect to in step", reconnect_s, "s", "raw dump", dump_s, times, "<= 1.5",
               note=f"daemon {cpu_s:.2f} s CPU each")
    report.add("6", f"{label}: reconnect to in step", reconnect_s, "s", "ovs-ofctl replace-flows", replace_s, faster, ">= 8")


def reconnects(bridge, rounds):
    """Seconds from the new connection's handshake to in step, and of a raw dump; the flow-mods sent in all; CPU seconds each."""
    seconds, dump_s, cpu = [], [], []
    sent = bridge.ours.metrics()["sallyport_flow_mods_sent_total"]
    for _ in range(rounds):
        taken = bridge.reconnect()
        seconds.append(taken[0])
        cpu.append(taken[1])
        dump_s += measure.raw_switch(bridge.ovs, "br0", "dump", 1)["seconds"]
    return seconds, dump_s, bridge.ours.metrics()["sallyport_flow_mods_sent_total"] - sent, median(cpu)


def ofctl_replace(bridge, rounds):
    seconds = []
    with tempfile.NamedTemporaryFile("w", suffix=".flows") as file:
        file.write(bridge.ovs.ofctl(["--no-stats", "dump-flows"], "br0", timeout=120))
        file.flush()
        for _ in range(rounds):
            begin = time.monotonic()
            bridge.ovs.ofctl("replace-flows", "br0", file.name, timeout=300)
            seconds.append(time.monotonic() - begin)
    return seconds


# OVN in the same places.

class Peer:
    """OVN with N interfaces on br-int of an Open vSwitch of its own, and one spare."""

    def __init__(self, n):
        self.n = n

    def __enter__(self):
        self.ovs = topology.Ovs(dummy=True)
        self.ovs.__enter__()
        try:
            self.ovn = ovn.Ovn(self.ovs)
            self.ovs.add_bridge("br-int", 1, protocols=OVN_PROTOCOLS)
            self.ovs.add_dummy_ports("br-int", port_names(self.n + 1), lambda name: {"iface-id": name})
            self.ovn.__enter__()
        except BaseException:
            self.ovs.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.ovn.__exit__()
        self.ovs.__exit__()


def peer_program(settings, rules):
    with Peer(settings.ports) as peer:
        seconds = peer.ovn.timed(*peer.ovn.everything_words(port_names(settings.ports), rules))
        processes = peer.ovn.processes()
        result = {"program": seconds, "flows": peer.ovn.count_flows(), "cpu": sum(p.cpu_s() for p in processes),
                  "resident": processes[1].resident_bytes()}
        peer.ovn.kill_controller()
        peer.ovs.ofctl("del-flows", "br-int")
        begin = time.monotonic()
        peer.ovn.start_controller()
        peer.ovn.sync()
        result["restart"] = time.monotonic() - begin
        return result


def peer_changes(settings, rules):
    """Seconds for a rule added, changed, removed, and for a port added."""
    with Peer(settings.ports) as peer:
        v, names = peer.ovn, port_names(settings.ports)
        v.timed(*v.everything_words(names, rules))
        added, changed, removed, ports = [], [], [], []
        for i in range(max(3, settings.rounds)):
            added.append(v.timed(*v.rule_words(extra_rule(i))))
            changed.append(v.timed(*v.rule_words(extra_rule(i), "acl-del"), "--", *v.rule_words(extra_rule(i + 500))))
            removed.append(v.timed(*v.rule_words(extra_rule(i + 500), "acl-del")))
        spare = f"p{settings.ports}"
        for _ in range(max(3, settings.rounds)):
            ports.append(v.timed(*v.port_words(settings.ports, spare)[1:], "--", "pg-set-ports", ovn.GROUP, *names, spare))
            v.timed("pg-set-ports", ovn.GROUP, *names, "--", "lsp-del", spare)
        return {"add": added, "change": changed, "remove": removed, "port": ports}


# Items 2 and 3.

CHANGES = ("add", "change", "remove", "port")
VERBS = {"add": "add one rule", "change": "change one rule", "remove": "remove one rule", "port": "add one port"}
REST_MS = 25  # Between changes of a switch at rest: the main loop of one with 1,000 ports has come to its end by then.
AT_REST_MAX = 40


def changes(report, settings):
    """One rule, one port: from the HTTP request to the confirmed answer."""
    rules = workload.ranges(settings.rules)
    own = single_changes(settings, settings.ports, rules)
    few = single_changes(settings, settings.ports // 10, rules)
    less = single_changes(settings, settings.ports, rules[:max(1, settings.rules // 10)])
    peer = peer_changes(settings, rules) if settings.ovn else {}
    label = f"{settings.ports} ports x {settings.rules} rules"
    for verb in CHANGES:
        item, what, mine = "3" if verb == "port" else "2", f"{label}: {VERBS[verb]}", own[verb]
        report.add(item, f"{what}, p50", mine["p50"], "s", "raw bundle + fsync'd commit", mine["limit"], times, "<= 3",
                   note=f"bundle {median(mine['bundle']) * 1e6:.0f} us, checked before its commit {median(mine['checked']) * 1e6:.0f} us, "
                        f"commit {median(mine['commit']) * 1e6:.0f} us;"
                        f" p99 {median(mine['p99']) * 1e3:.2f} ms; {mine['cpu'] * 1e6:.0f} us CPU each")
        if peer:
            report.add(item, f"{what}, p50", mine["p50"], "s", "OVN, ovn-nbctl --wait=hv", peer[verb], faster, ">= 100")
        report.add(item, f"{what}, p50", mine["p50"], "s", f"with {settings.ports // 10} ports", few[verb]["p50"], times, "1")
        report.add(item, f"{what}, p50", mine["p50"], "s", "with a tenth of the rules", less[verb]["p50"], times)
        report.add(item, f"{what}, flow-mods", mine["mods"], "", f"with {settings.ports // 10} ports", few[verb]["mods"], times, "1")
    for ports, results, beside in ((settings.ports, own, peer), (settings.ports // 10, few, {})):
        for verb in CHANGES[:3]:
            at_rest(report, f"{ports} ports at rest: {VERBS[verb]}", results[verb + " at rest"], beside.get(verb))


def at_rest(report, what, mine, peer):
    """One change of a switch that has nothing else to do, beside what no controller can do without."""
    note = f"commit {median(mine['commit']) * 1e6:.0f} us; p99 {median(mine['p99']) * 1e3:.2f} ms"
    report.add("2", f"{what}, p50", mine["p50"], "s", "raw bundle + fsync'd commit", mine["limit"], times, "<= 3", note=note)
    report.add("2", f"{what}, p50", mine["p50"], "s", "the floor: raw bundle, checked, + commit", mine["floor"], times)
    if peer:
        report.add("2", f"{what}, p50", mine["p50"], "s", "OVN, ovn-nbctl --wait=hv", peer, faster, ">= 100")
        report.add("2", f"{what}: the floor", mine["floor"], "s", "OVN, ovn-nbctl --wait=hv", peer, faster)


def counted(bridge, requests, into, ids=False, pause_ms=0):
    """load() by one client, which has to find everything confirmed.  Adds the percentiles, the flow-mods and the processor time to
    `into`, and the limit: of the switch for a bundle of so many modifications, and of the disk."""
    before = bridge.ours.metrics()["sallyport_flow_mods_sent_total"]
    cpu = bridge.ours.process.cpu_s()
    result = bridge.ours.load(requests, ids=ids, pause_ms=pause_ms)
    cpu = bridge.ours.process.cpu_s() - cpu
    if result["applied"] != result["answers"]:
        raise SystemExit(f"{result['answers'] - result['applied']} of {result['answers']} changes were not confirmed in time")
    mods = (bridge.ours.metrics()["sallyport_flow_mods_sent_total"] - before) / result["answers"]
    raw = measure.raw_switch(bridge.ovs, "br0", "bundle", 60, max(1, round(mods)), pause_ms)
    bundle = median(raw["blind"])
    commit = median(measure.raw_commit_s(bridge.ours.directory, 60))
    for name, value in (("p50", result["p50"]), ("p99", result["p99"]), ("mods", mods), ("bundle", bundle),
                        ("checked", median(raw["checked"])), ("commit", commit),
                        ("limit", bundle + commit), ("floor", median(raw["checked"]) + commit)):
        into.setdefault(name, []).append(value)
    into["cpu"] = into.get("cpu", 0) + cpu / result["answers"] / bridge.rounds
    return result.get("ids")


def single_changes(settings, n, rules):
    """What single changes cost with `n` ports, each kind in as many turns as there are rounds."""
    each = max(1, settings.changes // settings.rounds)
    result = {verb: {} for verb in (*CHANGES, *(verb + " at rest" for verb in CHANGES[:3]))}
    with Bridge(n, rules, spare=each * settings.rounds) as bridge:
        bridge.rounds = settings.rounds
        bridge.fill()
        bridge.connect_and_wait()
        for turn in range(settings.rounds):
            for when, n_changes, pause_ms in (("", each, 0), (" at rest", min(each, AT_REST_MAX), REST_MS)):
                made = counted(bridge, [bridge.add_rule(i) for i in range(n_changes)], result["add" + when], True, pause_ms)
                paths = [f"/v1/security-groups/{bridge.groups[0]}/rules/{rule}?wait=60" for rule in made]
                counted(bridge, [("PATCH", path, {"remote_ip": f"10.{201 + i // 256}.{i % 256}.0/24"})
                                 for i, path in enumerate(paths)], result["change" + when], pause_ms=pause_ms)
                counted(bridge, [("DELETE", path) for path in paths], result["remove" + when], pause_ms=pause_ms)
            counted(bridge, [("POST", "/v1/servers?wait=60", bridge.ours.server(REGION, bridge.groups, i, 1, f"p{i}"))
                             for i in range(n + turn * each, n + (turn + 1) * each)], result["port"])
    return result
