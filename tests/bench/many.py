"""Items 4, 5, 7: many bridges, played by a program of this folder (bridges/), and one daemon."""

import json
import math
import os
import random
import subprocess
import threading
import time

import measure
import ours
import ovs as topology
import workload
from measure import median, times

REGION = "R"


class Bridges:
    """N bridges with P ports each that dial the daemon `of`."""

    def __init__(self, of, n, ports):
        self.n = n
        self._child = subprocess.Popen([os.path.join(measure.TOOLS, "bridges"), of.listen.split(":", 1)[1], str(n), str(ports)],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=topology._die_with_parent)
        self.process = measure.Process(self._child.pid)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._child.stdin.close()
        self._child.wait()
        self._child.stdout.close()

    def command(self, word):
        self._child.stdin.write(word + "\n")
        self._child.stdin.flush()
        line = self._child.stdout.readline()
        if not line:
            raise SystemExit(f"the bridges ended with status {self._child.wait()}")
        return json.loads(line)

    def state(self):
        return self.command("state")


class Region:
    """A daemon, bridges 1 to B with P ports each, and what stands in the database: S servers per bridge, and groups of R rules, of which
    each bridge has G of its own that share its servers."""

    def __init__(self, bridges, servers, groups=0, rules=0):
        self.n, self.n_servers, self.n_groups, self.n_rules = bridges, servers, groups, rules

    def __enter__(self):
        self.ours = ours.Sallyport(folder="/dev/shm")
        self.ours.__enter__()
        try:
            self.bridges = Bridges(self.ours, self.n, self.n_servers)
        except BaseException:
            self.ours.__exit__()
            raise
        self.ours.call("PUT", f"/v1/regions/{REGION}")
        return self

    def __exit__(self, *_):
        self.bridges.__exit__()
        self.ours.__exit__()

    def place(self, k):
        """Server number `k`: its bridge and port; the bridges' servers come in turns."""
        return 1 + k % self.n, f"p{1 + k // self.n}"

    def make_groups(self):
        """Returns the ids, of bridge 1, 2, and so on in turns."""
        rules = [rule.sallyport() for rule in single_ports(self.n_rules)] + [{"direction": "outbound", "protocol": "any"}]
        bodies = ({"region": REGION, "name": f"g{k}", "rules": rules} for k in range(self.n * self.n_groups))
        return self.ours.load((("POST", "/v1/security-groups?wait=0", body) for body in bodies), clients=8, ids=True)["ids"]

    def make_servers(self, group_of):
        """All servers, number k in the groups `group_of(k)`.  Returns what http_load() says."""
        total = self.n * self.n_servers
        return self.ours.load((("POST", "/v1/servers?wait=0", self.ours.server(REGION, group_of(k), k, *self.place(k)))
                               for k in range(total)), clients=32)

    def fill(self):
        """Groups, and servers in them.  Returns (ids of the groups, servers made per second)."""
        groups = self.make_groups()
        made = self.make_servers(lambda k: [groups[k % self.n + self.n * (k // self.n % self.n_groups)]])
        return groups, made["rate"]

    def await_in_step(self, timeout=540):
        self.ours.await_in_step(self.n, timeout, pause_s=0.02 * max(1, self.n / 50))

    def connect(self):
        """Dials.  Returns (seconds, CPU seconds of the daemon) until all is confirmed."""
        cpu, begin = self.ours.process.cpu_s(), time.monotonic()
        self.bridges.command("reset")
        self.bridges.command("dial")
        self.await_in_step()
        return time.monotonic() - begin, self.ours.process.cpu_s() - cpu

    def hang_up(self):
        self.bridges.command("hang")
        self.ours.wait_until(lambda: not self.ours.metrics().get("sallyport_bridges_connected"), "the bridges have gone")

    def restart(self):
        """Stops the daemon and starts it again; the bridges keep their flows and dial until it answers.  Returns (seconds from the start of the
        program to all in step, seconds until it served, its CPU seconds, what the bridges saw)."""
        self.ours.stop()
        self.bridges.command("reset")
        begin = time.monotonic()
        self.ours.start()
        served = time.monotonic() - begin
        self.await_in_step()
        return time.monotonic() - begin, served, self.ours.process.cpu_s(), self.bridges.state()


def single_ports(n):
    """Rules that cost as few flows as a rule can: one port, one prefix."""
    return [workload.Rule("tcp", 1000 + i, 1000 + i, f"10.{i // 256 % 256}.{i % 256}.0/24") for i in range(n)]


def put_groups(server, groups, wait=60):
    return ("PUT", f"/v1/servers/{server}/security-groups?wait={wait}", {"security_groups": groups})


# Item 4.

def members(report, settings):
    """A group as remote: one member joins or leaves."""
    n, servers = settings.region_bridges, settings.region_servers // settings.region_bridges
    for watching in (max(1, n // 10), n):
        with Region(n, servers + 1) as region:
            member = region.ours.make_group(REGION, "members", [])
            watcher = region.ours.call("POST", "/v1/security-groups?wait=0", {"region": REGION, "name": "watchers", "rules": [
                {"direction": "inbound", "protocol": "tcp", "port_min": 443, "remote_group": member}]})["id"]
            region.n_servers = servers
            region.make_servers(lambda k: [member])
            region.n_servers = 1
            region.ours.make_servers(REGION, [watcher], ((servers * n + b, 1 + b, f"p{servers + 1}") for b in range(watching)))
            region.connect()
            flows = region.bridges.state()["flows"]
            guests = [region.ours.call("POST", "/v1/servers?wait=60", {"region": REGION, "name": f"guest{i}", "security_groups": [], "ports": [
                {"bridge": f"{0xE15E:016x}", "port": f"g{i}", "mac": workload.mac(900000 + i), "ips": [workload.ip(900000 + i)]}]})["id"]
                      for i in range(settings.rounds * 2)]
            region.bridges.command("reset")
            cpu = region.ours.process.cpu_s()
            joined = region.ours.load([put_groups(guest, [member]) for guest in guests])
            left = region.ours.load([put_groups(guest, []) for guest in guests])
            cpu = (region.ours.process.cpu_s() - cpu) / (2 * len(guests))
            state = region.bridges.state()
            label = f"{n * servers} members, {watching} of {n} bridges name them"
            changes = state["adds"] + state["deletes"]
            report.add("4", f"{label}: flow-mods per bridge", changes / (2 * len(guests)) / watching, "", target="a few",
                       note=f"{flows} flows in all; {state['bundles']} bundles for {2 * len(guests)} changes")
            report.add("4", f"{label}: join or leave, p50", [joined["p50"], left["p50"]], "s",
                       note=f"p99 {max(joined['p99'], left['p99']) * 1e3:.1f} ms, daemon {cpu * 1e3:.2f} ms CPU each")
            if joined["applied"] + left["applied"] != 2 * len(guests):
                raise SystemExit("not all changes were confirmed in time")


# Item 5.

def swap(report, settings):
    """Another group becomes the default of a whole region."""
    n, servers = settings.region_bridges, settings.region_servers // settings.region_bridges
    with Region(n, servers) as region:
        first = region.ours.call("POST", "/v1/security-groups", {"region": REGION, "name": "first", "default": True, "template": "remote-login"})["id"]
        region.make_servers(lambda k: [first])
        region.connect()
        resident = region.ours.process.resident_bytes()
        seconds, lags, peaks, cpus, mods = [], [], [], [], []
        for i in range(settings.rounds):
            region.bridges.command("reset")
            region.ours.process.forget_peak()
            cpu, begin = region.ours.process.cpu_s(), time.monotonic()
            status, headers, _ = region.ours.api.call("POST", "/v1/security-groups?wait=60", {
                "region": REGION, "name": f"next{i}", "default": True, "rules": [
                    {"direction": "inbound", "protocol": "tcp", "port_min": 80, "port_max": 443 + i}, {"direction": "outbound", "protocol": "any"}]})
            seconds.append(time.monotonic() - begin)
            if status != 201 or headers["Sallyport-Applied"] != "true":
                raise SystemExit("the swap was not confirmed in time")
            state = region.bridges.state()
            cpus.append(region.ours.process.cpu_s() - cpu)
            lags.append(state["last"] - state["first"])
            peaks.append(region.ours.process.peak_bytes())
            mods.append((state["adds"] + state["deletes"]) / n)
            if state["committed"] != n:
                raise SystemExit(f"{state['committed']} of {n} bridges changed")
        label = f"{n * servers} servers on {n} bridges"
        report.add("5", f"{label}: default swap, to confirmed", seconds, "s", target="one revision",
                   note=f"daemon {median(cpus):.2f} s CPU; {median(mods):.0f} flow-mods per bridge")
        report.add("5", f"{label}: first to last bridge", lags, "s")
        report.add("5", f"{label}: peak memory of the swap", [peak / 2**20 for peak in peaks], "MiB", "before it", resident / 2**20, times)


# Item 7.

def fleet(report, settings):
    """A thousand bridges on one daemon."""
    n, servers, groups, rules = settings.bridges, settings.bridge_ports, settings.bridge_groups, settings.group_rules
    label = f"{n} bridges, {n * servers} ports, {n * groups * rules} rules"
    with Region(n, servers, groups, rules) as region:
        empty = region.ours.process.resident_bytes()
        begin = time.monotonic()
        ids, rate = region.fill()
        report.say(f"filled in {time.monotonic() - begin:.1f} s")
        modelled = region.ours.process.resident_bytes()
        report.add("7", f"{label}: servers made over HTTP", rate, "/s", note="32 clients")
        seconds, cpu = region.connect()
        region.bridges.command("pass")  # Each rule has hit.
        flows = region.bridges.state()["flows"]
        resident = region.ours.process.resident_bytes()
        report.add("7", f"{label}: all bridges programmed, empty", seconds, "s", note=f"{flows} flows; daemon {cpu:.1f} s CPU = "
                   f"{cpu / flows * 1e6:.2f} us per flow")
        report.add("7", f"{label}: resident memory", resident / 2**20, "MiB", note=f"model {(modelled - empty) / 2**20:.0f} MiB")
        seconds, served, cpu, state = region.restart()
        report.add("7", f"{label}: cold start to all in step", seconds, "s",
                   note=f"served after {served:.1f} s; daemon {cpu:.1f} s CPU; {state['adds'] + state['deletes']} flow-mods")
        restarted = region.ours.process.resident_bytes()
        per_port = (modelled - empty) / (n * servers + n * groups * rules)
        report.add("7", f"{label}: memory per installed flow", (restarted - modelled) / flows / 1024, "KiB", target="<= 0.5",
                   note=f"after the restart {restarted / 2**20:.0f} MiB; model {per_port:.0f} bytes per port and rule")
        report.add("7", f"{label}: CPU when nothing happens", rest(region, settings, False), "%")
        report.add("7", f"{label}: CPU when every rule hits between two checks", rest(region, settings, True), "%")
        resync(report, region, ids, label)
        # What the program that plays the bridges takes of the same processors is not the daemon's doing.
        os.setpriority(os.PRIO_PROCESS, region.bridges.process.pid, 19)
        resync(report, region, ids, f"{label}, played at a low priority")


def rest(region, settings, is_busy):
    """The daemon's CPU in percent.  By then it has read, and stored, how often rules had hit before."""
    for seconds in (settings.rest_s, settings.steady_s):
        cpu, begin = region.ours.process.cpu_s(), time.monotonic()
        while time.monotonic() - begin < seconds:
            if is_busy:
                region.bridges.command("pass")
            time.sleep(1)
    return (region.ours.process.cpu_s() - cpu) / (time.monotonic() - begin) * 100


def resync(report, region, ids, label):
    """All connections break at once; meanwhile rules change and clients read."""
    path = f"/v1/security-groups/{ids[0]}/rules?wait=60"
    reads = [("GET", f"/v1/security-groups/{random.Random(1).choice(ids)}") for _ in range(100)]
    quiet = region.ours.load(reads, seconds=1)
    results = {}

    def write(stop):
        latencies = []
        while not stop.is_set():
            body = {"direction": "inbound", "protocol": "tcp", "port_min": 20000 + len(latencies)}
            begin = time.monotonic()
            answer = region.ours.call("POST", path, body)
            region.ours.call("DELETE", f"/v1/security-groups/{ids[0]}/rules/{answer['id']}?wait=0")
            latencies.append(time.monotonic() - begin)
        results["write"] = latencies

    def read(stop):
        rounds = []
        while not stop.is_set():
            rounds.append(region.ours.load(reads, seconds=1))
        results["read"] = rounds

    stop = threading.Event()
    threads = [threading.Thread(target=target, args=(stop,)) for target in (write, read)]
    region.hang_up()
    region.bridges.command("reset")
    cpu, begin = region.ours.process.cpu_s(), time.monotonic()
    region.bridges.command("dial")
    for thread in threads:
        thread.start()
    region.await_in_step()
    seconds, cpu = time.monotonic() - begin, region.ours.process.cpu_s() - cpu
    state = region.bridges.state()
    stop.set()
    for thread in threads:
        thread.join()
    report.add("7", f"{label}: resync of all bridges", seconds, "s",
               note=f"daemon {cpu:.1f} s CPU, with the clients; {state['dumps']} dumps")
    report.add("7", f"{label}: HTTP reads meanwhile, p99", max(r["p99"] for r in results["read"]), "s", "without a resync", quiet["p99"], times,
               "<= 10 ms", note=f"{sum(r['answers'] for r in results['read'])} reads, longest {max(r['max'] for r in results['read']) * 1e3:.1f} ms")
    report.add("7", f"{label}: one rule change meanwhile, p99", measure.percentile(results["write"], 0.99), "s",
               note=f"{len(results['write'])} changes, p50 {median(results['write']) * 1e3:.1f} ms")


# How cost grows.

def growth(report, settings):
    """Exponents, fitted through three sizes, of what is doubled."""
    base = {"bridges": settings.growth_bridges, "servers": 40, "groups": 4, "rules": 25}
    for what, name in (("bridges", "bridges"), ("servers", "ports"), ("rules", "rules")):
        sizes, costs = [], {}
        for factor in (1, 2, 4):
            size = dict(base, **{what: base[what] * factor})
            sizes.append(size[what])
            for cost, value in grown(size).items():
                costs.setdefault(cost, []).append(value)
        for cost, values in costs.items():
            grows = cost not in ("CPU of one rule change", "flow-mods of one rule change", "CPU of one more port", "flow-mods of one more port")
            report.add("7", f"{cost}: exponent against {name}", exponent(sizes, values), "", target="<= 1.2" if grows else "0",
                       note=f"{', '.join(f'{value:.3g}' for value in values)} at {', '.join(map(str, sizes))} {name}")


def exponent(sizes, values):
    """Slope of the line through the logarithms."""
    x, y = [math.log(size) for size in sizes], [math.log(max(value, 1e-9)) for value in values]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y)) / sum((a - mean_x) ** 2 for a in x)


def grown(size):
    """What a region of that size costs."""
    with Region(size["bridges"], size["servers"] + 1, size["groups"], size["rules"]) as region:
        region.n_servers = size["servers"]
        before = region.ours.process.cpu_s(), region.ours.process.resident_bytes()
        ids, _ = region.fill()
        filled = region.ours.process.cpu_s()
        _, cpu = region.connect()
        result = {"CPU of the calls": filled - before[0], "CPU of programming": cpu,
                  "memory": (region.ours.process.resident_bytes() - before[1]) / 2**20}
        for name, requests in (
                ("one rule change", [("POST", f"/v1/security-groups/{ids[0]}/rules?wait=60", {"direction": "inbound", "protocol": "tcp",
                                                                                           "port_min": 20000 + i}) for i in range(200)]),
                ("one more port", [("POST", "/v1/servers?wait=60", region.ours.server(REGION, [ids[i % size["bridges"]]], 800000 + i,
                                                                                  1 + i % size["bridges"], f"p{size['servers'] + 1}"))
                                   for i in range(size["bridges"])])):
            region.bridges.command("reset")
            cpu = region.ours.process.cpu_s()
            made = region.ours.load(requests)["answers"]
            result[f"CPU of {name}"] = (region.ours.process.cpu_s() - cpu) / made * 1e3
            state = region.bridges.state()
            result[f"flow-mods of {name}"] = (state["adds"] + state["deletes"]) / made
        return result
