"""A bad network between the daemon and a real Open vSwitch: a proxy loses, repeats, delays, reorders and changes messages by their
type, cuts the connection again and again, lets one direction or both fall silent, is slow, or reads no more.

Each scenario is a few such faults by chance, on a bridge of its own with 19 others beside, while the rules of its group change.
When the faults have ended the switch comes to have just the flows that it should have, as a look at its table says, and as the
daemon finds when it reads all of it again.  Until then nothing passes that neither the old nor a new list allows: no rule is there
that never was.  SALLYPORT_LONG=1: 2,000 scenarios, else 20."""

import os
import random
import re
import shutil
import tempfile
import threading
import time

import openflow_proxy as of
from lab import Daemon, ovs
from openflow_proxy import DOWN, UP, Fault, Proxy

N_BRIDGES = 20
LONG = bool(os.environ.get("SALLYPORT_LONG"))
N_ROUNDS = 100 if LONG else 1
PATIENCE_S = 90 if LONG else 5  # Then, in a short run, a lost connection makes the daemon look at once, not within its 30 s.
CONVERGED_S = 90  # A bound for the test; what was needed is printed.
PORTS = range(20000, 20200, 2)
COOKIE = "cookie=0x5350000000000000/0xffff000000000000"
HEADER_BITS = 64
PORT_DESCRIPTION = 13

TYPES = {
    DOWN: {"any": of.any_message, "open": of.control(of.OPEN_REQUEST), "add": of.of_type(of.BUNDLE_ADD), "commit": of.control(of.COMMIT_REQUEST),
           "discard": of.control(of.DISCARD_REQUEST), "barrier": of.of_type(20), "request": of.of_type(of.MULTIPART_REQUEST),
           "hello": of.of_type(0), "echo": of.of_type(2), "features": of.of_type(5)},
    UP: {"any": of.any_message, "opened": of.control(of.OPEN_REPLY), "committed": of.control(of.COMMIT_REPLY), "barrier": of.of_type(of.BARRIER_REPLY),
         "stats": of.multipart(of.MULTIPART_REPLY, of.FLOW_STATS), "monitor": of.multipart(of.MULTIPART_REPLY, of.FLOW_MONITOR),
         "ports": of.multipart(of.MULTIPART_REPLY, PORT_DESCRIPTION), "hello": of.of_type(0), "echo": of.of_type(3), "features": of.of_type(6),
         "error": of.of_type(of.ERROR)},
}


def random_fault(rng):
    """A fault, and what to call it."""
    direction = rng.choice((UP, DOWN))
    kind = rng.choice(sorted(TYPES[direction]))
    seconds = rng.choice((0.02, 0.1, 1, 3))
    # A body that is another one is a lie that nobody could tell from the truth; TCP and TLS are there against it.
    bit = rng.randrange(HEADER_BITS)
    name, action, times = rng.choice((
        ("lost", of.drop, rng.choice((1, 1, 2, 5))), ("twice", of.repeat, rng.choice((1, 1, 3))), (f"{seconds} s late", of.delay(seconds), rng.randint(1, 20)),
        ("swapped", of.swap, rng.choice((1, 1, 3))), (f"bit {bit} flipped", of.flip(bit), 1), ("cut", of.cut, rng.randint(1, 4)),
        ("cut behind", of.cut_after, rng.randint(1, 3)), ("silence", of.stall, 1), ("deaf", of.deafen, 1), ("clogged", of.clog, 1)))
    skip = rng.choice((0, 0, 0, 1, 2, 5, 20))
    return Fault(direction, TYPES[direction][kind], action, times, skip), f"{kind} {direction} {name} x{times} after {skip}"


class Bridge:
    def __init__(self, site, number, seed):
        self.site, self.number, self.name, self.rng = site, number, f"br{number}", random.Random(f"{seed} {number}")
        self.dpid, self.port = f"{0xf000 + number:016x}", f"p{number}"
        self.proxy = Proxy(os.path.join(site.directory, f"proxy{number}"), site.daemon.openflow)
        self.daemon = Daemon(site.directory)  # A connection of its own to the one daemon.
        self.problems, self.times, self.n_done = [], [], 0
        self.ports = set(self.rng.sample(PORTS, 8))

    def register(self):
        self.group = self.daemon.change("POST", "/v1/security-groups", {"region": "SV2", "name": self.name, "rules": self.rules()}, wait=0)["id"]
        self.daemon.change("POST", "/v1/servers", {
            "region": "SV2", "name": self.name, "security_groups": [self.group], "ports": [
                {"bridge": self.dpid, "port": self.port, "mac": f"02:00:00:00:00:{self.number:02x}", "ips": [f"10.{self.number}.0.1"]}]}, wait=0)

    def rules(self):
        return [{"direction": "inbound", "protocol": "tcp", "port_min": port} for port in sorted(self.ports)]

    def flows(self):
        text = self.site.switch.ofctl(["--no-stats", "dump-flows"], self.name, COOKIE)
        return sorted(line.strip() for line in text.splitlines() if "cookie=" in line)

    @staticmethod
    def ports_in(flows):
        return {int(port) for flow in flows for port in re.findall(r"ct_tp_dst=(2\d{4})", flow)}

    def is_converged(self):
        status = self.daemon.get(f"/v1/bridges/{self.dpid}")
        flows = self.flows()
        return (status["connected"] and not status["last_error"] and self.ports_in(flows) == self.ports and
                status["flows"]["desired"] == status["flows"]["installed"] == len(flows))

    def converge(self):
        begin = time.monotonic()
        try:
            try:
                ovs.wait_until(self.is_converged, f"{self.name} converges", PATIENCE_S)
            except ovs.OvsError:
                self.proxy.cut()
                ovs.wait_until(self.is_converged, f"{self.name} converges", CONVERGED_S)
        except ovs.OvsError as error:
            status, flows = self.daemon.get(f"/v1/bridges/{self.dpid}"), self.flows()
            raise AssertionError(f"{error}; {status['flows']}, {status['last_error']}, connected {status['connected']}, {len(flows)} flows, "
                                 f"missing {self.ports - self.ports_in(flows)}, too many {self.ports_in(flows) - self.ports}") from error
        return time.monotonic() - begin

    def run(self):
        try:
            self.converge()
            for _ in range(N_ROUNDS):
                self._run_one()
        except Exception as error:  # Reported by the test.
            self.problems.append(f"{type(error).__name__}: {error}")

    def _run_one(self):
        faults = [random_fault(self.rng) for _ in range(self.rng.choice((1, 1, 2, 3)))]
        what = f"{self.name}, scenario {self.n_done}: " + ", ".join(name for _, name in faults)
        allowed = set(self.ports)
        self.proxy.faults = [fault for fault, _ in faults]
        is_cut = self.rng.random() < 0.4
        if is_cut:
            self.proxy.cut()
        for _ in range(self.rng.randint(1, 3)):
            self.ports = set(self.rng.sample(PORTS, 8))
            allowed |= self.ports
            status, answer, headers = self.daemon.request("PUT", f"/v1/security-groups/{self.group}/rules?wait={self.rng.choice((0, 1))}",
                                                          {"rules": self.rules()})
            if status not in (200, 202):
                self.problems.append(f"{what}: {status} {answer}")
            elif headers["Sallyport-Applied"] == "true" and not is_cut and self.ports_in(self.flows()) != self.ports:
                # With no fault so far the bridge was connected all the time: one that is not is not waited for.
                if not any(fault.done for fault, _ in faults):
                    self.problems.append(f"{what}: said to be applied")
            strange = self.ports_in(self.flows()) - allowed
            if strange:
                self.problems.append(f"{what}: {strange} was never allowed")
        self.proxy.faults = []
        try:
            self.times.append(self.converge())
        except AssertionError as error:
            raise AssertionError(f"{what}: {error}") from error
        before = self.flows()
        n_accepted = self.proxy.n_accepted
        self.proxy.cut()  # It reads the table anew.
        ovs.wait_until(lambda: self.proxy.n_accepted > n_accepted, f"{self.name} connects again", CONVERGED_S)
        self.converge()
        if self.flows() != before:
            self.problems.append(f"{what}: {len(set(before) ^ set(self.flows()))} flows were wrong, unnoticed")
        self.n_done += 1


class Site:
    def __init__(self, seed):
        self.directory = tempfile.mkdtemp(prefix="sallyport-fault-")
        self.switch, self.daemon = ovs.Ovs(), Daemon(self.directory)
        self.seed, self.bridges = seed, []

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self):
        self.switch.start()
        self.daemon.start()
        self.daemon.change("PUT", "/v1/regions/SV2")
        self.bridges = [Bridge(self, number, self.seed) for number in range(1, N_BRIDGES + 1)]
        for bridge in self.bridges:
            bridge.register()
        words = []
        for bridge in self.bridges:
            words += ["--", "add-br", bridge.name, "--", "set", "bridge", bridge.name, "datapath_type=netdev", "fail_mode=secure",
                      "other_config:disable-in-band=true", f"other_config:datapath-id={bridge.dpid}", "protocols=OpenFlow14,OpenFlow15",
                      "--", "add-port", bridge.name, bridge.port, "--", "set", "interface", bridge.port, "type=patch", f"options:peer=no-{bridge.port}",
                      "--", "set-controller", bridge.name, "unix:" + bridge.proxy.path, "--", "set", "controller", bridge.name,
                      "connection_mode=out-of-band", "max_backoff=1000", "inactivity_probe=60000"]  # The daemon's patience is to end first.
        self.switch.vsctl(*words[1:])

    def __exit__(self, *_):
        if self.daemon.is_running():
            self.daemon.end()
        for bridge in self.bridges:
            bridge.proxy.close()
        self.switch.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


def test_bad_network():
    seed = int(os.environ.get("SALLYPORT_SEED") or random.SystemRandom().randrange(1 << 32))
    print("seed", seed)
    with Site(seed) as site:
        threads = [threading.Thread(target=bridge.run) for bridge in site.bridges]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert site.daemon.is_running(), site.daemon.log()[-3000:]
        times = sorted(one for bridge in site.bridges for one in bridge.times)
        problems = [problem for bridge in site.bridges for problem in bridge.problems]
        assert times, problems
        print(f"{sum(bridge.n_done for bridge in site.bridges)} scenarios, {len(problems)} failures; converged after "
              f"{times[len(times) // 2]:.1f} s (median), {times[-1]:.1f} s (longest), {sum(one > 30 for one in times)} later than 30 s")
        assert not problems, f"seed {seed}:\n" + "\n".join(problems)
