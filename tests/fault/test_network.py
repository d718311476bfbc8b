"""A bad network between the daemon and a real Open vSwitch: a proxy loses, repeats, delays, reorders and changes messages by their
type, cuts the connection again and again, lets one direction or both fall silent, is slow, or reads no more.

Each scenario is a few such faults by chance, on a bridge of its own with 19 others beside, while the rules of its group change.
When the faults have ended the switch comes to have just the flows that it should have, as a look at its table says, and as the
daemon finds when it reads all of it again.  Until then nothing passes that neither the old nor a new list allows: no rule is there
that never was.  SALLYPORT_LONG=1: 2,000 scenarios, else 20; SALLYPORT_SCENARIOS=N with SALLYPORT_BRIDGES=N at once are as many."""

import os
import random
import re
import struct
import threading
import time

import flow_dump
import openflow_proxy as of
from lab import Daemon, Place, ovs
from openflow_proxy import DOWN, UP, Fault, Proxy

N_BRIDGES = int(os.environ.get("SALLYPORT_BRIDGES", 20))
N_SCENARIOS = int(os.environ.get("SALLYPORT_SCENARIOS", 2000 if os.environ.get("SALLYPORT_LONG") else 20))
LONG = N_SCENARIOS > N_BRIDGES
N_ROUNDS = -(-N_SCENARIOS // N_BRIDGES)
PROMISED_S = 30  # From the end of the faults.
LATE_S = 50      # What a loaded machine may make of it.
LOOK_S = 0.3
CONVERGED_S = 90
PORTS = range(20000, 20200, 2)
CT_TP_DST = re.compile(b"\x00\x01\xfa\x02(..)", re.DOTALL)  # NXM_NX_CT_TP_DST, without a mask.
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
        self.problems, self.times, self.late, self.n_done = [], [], [], 0
        self.ports = set(self.rng.sample(PORTS, 8))
        self.seen, self.since = None, 0.0

    def register(self):
        self.group = self.daemon.change("POST", "/v1/security-groups", {"region": "SV2", "name": self.name, "rules": self.rules()}, wait=0)["id"]
        self.daemon.change("POST", "/v1/servers", {
            "region": "SV2", "name": self.name, "security_groups": [self.group], "ports": [
                {"bridge": self.dpid, "port": self.port, "mac": f"02:00:00:00:00:{self.number:02x}", "ips": [f"10.{self.number}.0.1"]}]}, wait=0)

    def rules(self):
        return [{"direction": "inbound", "protocol": "tcp", "port_min": port} for port in sorted(self.ports)]

    def flows(self):
        connection = flow_dump.Bridge(self.site.switch.path(self.name + ".mgmt"))
        try:
            return connection.flows()
        finally:
            connection.close()

    @staticmethod
    def ports_in(flows):
        return {port for _, _, match in flows for field in CT_TP_DST.findall(match) for port in struct.unpack("!H", field) if port >= PORTS[0]}

    def _look(self, n_looks):
        """Whether the bridge is as it should be, and the daemon has looked at it more often than `n_looks` times."""
        status, flows = self.daemon.get(f"/v1/bridges/{self.dpid}"), self.flows()
        is_right = (status["connected"] and not status["last_error"] and self.ports_in(flows) == self.ports and
                    status["flows"]["desired"] == status["flows"]["installed"] == len(flows))
        if not is_right or flows != self.seen:
            self.seen, self.since = flows, time.monotonic()
        return is_right and self.proxy.n_looks > n_looks

    def converge(self, timeout=CONVERGED_S, n_looks=0):
        """Returns when it came to be as it is, which is right."""
        self.seen = None
        try:
            ovs.wait_until(lambda: self._look(n_looks), f"{self.name} converges", timeout, LOOK_S)
        except ovs.OvsError as error:
            status, flows = self.daemon.get(f"/v1/bridges/{self.dpid}"), self.flows()
            raise AssertionError(f"{error}; {status['flows']}, {status['last_error']}, connected {status['connected']}, {len(flows)} flows, "
                                 f"missing {self.ports - self.ports_in(flows)}, too many {self.ports_in(flows) - self.ports}") from error
        return self.since

    def read_anew(self):
        """The connection is lost, so that the daemon reads the table."""
        n_accepted = self.proxy.n_accepted
        self.proxy.cut()
        ovs.wait_until(lambda: self.proxy.n_accepted > n_accepted, f"{self.name} connects again", CONVERGED_S, LOOK_S)
        self.converge()

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
        self._heal(what + f"; done {[fault.done for fault, _ in faults]}, cut {is_cut}")
        before = self.flows()
        self.read_anew()
        if self.flows() != before:
            self.problems.append(f"{what}: {len(set(before.items()) ^ set(self.flows().items()))} flows were wrong, unnoticed")
        self.n_done += 1

    def _heal(self, what):
        """The faults end; a look at the table that begins then finds what they have left, if nothing else has told of it."""
        end, n_looks = time.monotonic(), self.proxy.n_asked
        self.proxy.end_faults()
        if not LONG:
            self.read_anew()
            return
        try:
            self.times.append(self.converge(LATE_S, n_looks) - end)
        except AssertionError as error:
            self.problems.append(f"{what}: {error}")
            self.read_anew()
            return
        if self.times[-1] > PROMISED_S:
            self.late.append(f"{self.times[-1]:.1f} s: {what}")


class Site(Place):
    def __init__(self, seed):
        super().__init__()
        self.seed, self.bridges = seed, []

    def start(self):
        super().start()
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

    def close(self):
        for bridge in self.bridges:
            bridge.proxy.close()


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
        problems = [problem for bridge in site.bridges for problem in bridge.problems]
        print(f"{sum(bridge.n_done for bridge in site.bridges)} scenarios, {len(problems)} failures")
        times = sorted(one for bridge in site.bridges for one in bridge.times)
        if times:
            print(f"converged after {times[len(times) // 2]:.1f} s (median), {times[-1]:.1f} s (longest), "
                  f"{sum(one > PROMISED_S for one in times)} later than {PROMISED_S} s")
            print(*(late for bridge in site.bridges for late in bridge.late), sep="\n")
        assert not problems, f"seed {seed}:\n" + "\n".join(problems)
        assert all(bridge.n_done == N_ROUNDS for bridge in site.bridges)
