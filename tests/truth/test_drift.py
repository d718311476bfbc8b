"""Flows of ours that another hand deletes, changes, takes over or adds, on a bridge that is busy: thousands of flows, traffic, and
rules that are replaced without a pause.  All is put right within 60 s, counted, and told in the log; others' flows are not touched.

SALLYPORT_DRIFTS sets the number of rounds; SALLYPORT_PATIENT=1 adds a switch that does not tell what others change, so that only
the regular dumps find it."""

import os
import random
import re
import threading
import time

import openflow_proxy as of
import packets
import pytest
from lab import ovs
from probe import Prober
from test_guards import REGION, GuardLab, GuardWorld

SEED = int(os.environ.get("SALLYPORT_SEED", "1"))
ROUNDS = int(os.environ.get("SALLYPORT_DRIFTS", "1"))
PATIENT = bool(os.environ.get("SALLYPORT_PATIENT"))
LIMIT_S = 60  # Contract 3.10.
RULES, CHURNED, FOREIGN, TAMPERED = 1000, 100, 300, 40
OURS = "cookie=0x5350000000000000/0xffff000000000000"
LEARNED = "cookie=0x53500800"


def without_cookie(flow):
    return re.sub(r"^cookie=0x[0-9a-f]+, ", "", flow)


class DriftLab(GuardLab):
    """`to` has a thousand rules, `other` those that are replaced all the time."""

    proxy = None

    def connect(self, daemon):
        target = daemon.openflow
        if self.deaf:
            self.proxy = of.Proxy(os.path.join(self.directory, "proxy"), daemon.openflow)
            self.proxy.faults = [of.Fault(of.DOWN, of.multipart(of.MULTIPART_REQUEST, of.FLOW_MONITOR), of.answer(1, 2), 1 << 30)]
            target = self.proxy.path
        self.switch.set_controllers("br1", "unix:" + target)

    def stop(self):
        if self.proxy:
            self.proxy.close()
            self.proxy = None
        super().stop()

    def register(self):
        super().register()
        rules = [{"direction": "inbound", "protocol": "udp", "port_min": 10000 + 2 * i, "port_max": 10000 + 2 * i} for i in range(RULES)]
        self.busy = self.daemon.change("POST", "/v1/security-groups", {"region": REGION, "name": "busy", "rules": rules})["id"]
        self.churned = self.daemon.change("POST", "/v1/security-groups", {"region": REGION, "name": "churned", "rules": rules[:CHURNED]})["id"]
        for port, group in ((self.world.to, self.busy), (self.world.other, self.churned)):
            self.set_groups(port, [group])
        others = [f"cookie=0x{0x1234 + i:x},table={i * 7 % 254},priority={i},dl_type=0x{0x9900 + i:x},actions=drop" for i in range(FOREIGN)]
        self.add_flows(others)

    def add_flows(self, lines):
        """A file of flows to ovs-ofctl, each added, or as its first word says."""
        self.switch.ofctl("add-flows", "br1", "-", stdin="\n".join(lines) + "\n")

    def ours(self):
        text = self.switch.ofctl(["--no-stats", "dump-flows"], "br1", OURS)
        return {line.strip() for line in text.splitlines() if "cookie=" in line and LEARNED not in line}

    def foreign(self):
        """{flow: seconds that it has been there}"""
        text = self.switch.ofctl(["dump-flows"], "br1", "cookie=0/0xffff000000000000")
        found = {}
        for line in text.splitlines():
            if "cookie=" in line:
                age = float(re.search(r"duration=([0-9.]+)s", line).group(1))
                found[re.sub(r" (duration|n_packets|n_bytes|idle_age|hard_age)=[^,]*,", "", line)] = age
        return found

    def drifts(self):
        return int(self.daemon.metric("drift_repaired_total"))


class Churn(threading.Thread):
    """Replaces the rules of one group until it is stopped."""

    def __init__(self, lab):
        super().__init__(daemon=True)
        self.lab, self.n, self.stopped, self.failed = lab, 0, False, None
        self.daemon_client = type(lab.daemon)(lab.directory)  # A connection of its own.

    def run(self):
        try:
            while not self.stopped:
                self.n += 1
                self.daemon_client.change("PUT", f"/v1/security-groups/{self.lab.churned}/rules", {"rules": [
                    {"direction": "inbound", "protocol": "tcp", "port_min": 20000 + 3 * i + self.n % 2} for i in range(CHURNED)]})
        except Exception as error:
            self.failed = error

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stopped = True
        self.join()
        assert not self.failed, self.failed


def tamper(rng, stable):
    """Commands for a file of flows, what must be back, and what must go again."""
    commands, back, gone = [], [], []
    # What ovs-ofctl prints of a masked nw_frag it reads as another match.
    for flow in rng.sample(sorted(flow for flow in stable if "nw_frag" not in flow), TAMPERED):
        match = without_cookie(flow).split(" actions=")[0].replace(", ", ",").replace("send_flow_rem ", "")
        kind = rng.choice(("deleted", "changed", "changed to pass", "taken over"))
        if kind == "deleted":
            commands.append(f"delete_strict {match}")
        elif kind == "taken over":
            commands.append(f"add cookie=0x77,{match},actions=drop")
        else:
            drops = kind == "changed" and not flow.endswith("actions=drop")
            commands.append(f"modify_strict {match},actions={'drop' if drops else 'NORMAL'}")
        back.append(flow)
    for i in range(TAMPERED // 2):
        cookie = 0x5350 << 48 | rng.choice((0, 1, 2, 3, 4, 5, 6, 7, 9, 255)) << 40 | rng.randrange(1 << 20)
        table = rng.choice((0, 1, 10, 14, 21, 27, 41, 60, 200, 253))
        more = rng.choice(("", "hard_timeout=3600,", "idle_timeout=3600,", "importance=7,", "send_flow_rem,"))
        commands.append(f"add cookie=0x{cookie:x},table={table},priority={50000 + i},{more}dl_type=0x{0xaa00 + i:x},actions=NORMAL")
        gone.append(f"0x{0xaa00 + i:x}")
    rng.shuffle(commands)
    return commands, back, gone


def await_mended(lab, prober, back, gone, what):
    """Polls, with traffic, until the flows are as they should be; returns the seconds that it took."""
    begin, world = time.monotonic(), lab.world

    def mended():
        for _ in range(20):
            number = prober.number()
            prober.send(world.outside, packets.datagram(world.outside.mac, world.to.mac, world.outside.ips[0], world.to.ips[0], 10000, number))
        prober.collect()
        prober.clear()
        assert lab.daemon.get("/healthz")
        now = lab.ours()
        return back <= now and not any(sign in flow for flow in now for sign in gone)

    ovs.wait_until(mended, what, LIMIT_S)
    return time.monotonic() - begin


def check_traffic(lab, prober):
    """What is open is open again, and what is closed is closed."""
    world = lab.world
    lab.await_datapath()
    numbers = {port: prober.number() for port in (10000, 10001, 10500, 10501)}
    prober.exchange([(world.outside, packets.datagram(world.outside.mac, world.to.mac, world.outside.ips[0], world.to.ips[0], port, number, 40000 + port % 7))
                     for port, number in numbers.items()])
    came = {port: [end.name for end, _ in prober.arrivals.pop(number, [])] for port, number in numbers.items()}
    assert came == {10000: ["to"], 10001: [], 10500: ["to"], 10501: []}
    prober.clear()


def churned_flows(lab):
    """Our flows that stay, while the churned group's come and go."""
    before = lab.ours()
    lab.daemon.change("PUT", f"/v1/security-groups/{lab.churned}/rules", {"rules": []})
    stable = before & lab.ours()
    # What two sets share of the churned one's own facts (its version) changes with it.
    lab.daemon.change("PUT", f"/v1/security-groups/{lab.churned}/rules", {"rules": [{"direction": "inbound", "protocol": "gre"}]})
    return stable & lab.ours()


def run(deaf):
    lab = DriftLab(GuardWorld())
    lab.deaf = deaf
    with lab:
        lab.register()
        prober = Prober(lab)
        try:
            yield lab, prober
            assert lab.daemon.is_running(), lab.daemon.log()[-3000:]
        finally:
            prober.close()


@pytest.fixture(scope="module", params=[False, True] if PATIENT else [False], ids=["told", "untold"] if PATIENT else ["told"])
def busy(request):
    yield from run(request.param)


def test_each_kind_is_told_in_the_log(busy):
    lab, prober = busy
    stable = churned_flows(lab)
    deleted, changed, taken = (next(flow for flow in sorted(stable) if f"table={table}," in flow and "ct_tp_dst" in flow and f"ct_tp_dst={port}," in flow)
                               for table, port in ((21, 10100), (21, 10102), (21, 10104)))
    strict = [without_cookie(flow).split(" actions=")[0].replace(", ", ",") for flow in (deleted, changed, taken)]
    count, at = lab.drifts(), len(lab.daemon.log())
    lab.add_flows([f"delete_strict {strict[0]}", f"modify_strict {strict[1]},actions=drop", f"add cookie=0x77,{strict[2]},actions=drop",
                   "add cookie=0x5350010000000099,table=0,priority=60000,dl_type=0xaabb,actions=NORMAL"])
    await_mended(lab, prober, {deleted, changed, taken}, ["0xaabb"], "four flows mended")
    ovs.wait_until(lambda: lab.drifts() == count + 4, f"four counted, not {lab.drifts() - count}")
    log = lab.daemon.log()[at:]
    for pattern in (r"was deleted: .*ct_tp_dst=(0x2774|10100)\b", r"was changed: .*ct_tp_dst=(0x2776|10102)\b.*; it had become .*actions=drop",
                    r"was deleted: .*ct_tp_dst=(0x2778|10104)\b", r"was added: .*dl_type=0xaabb.*actions=output:NORMAL"):
        assert re.search(pattern, log), f"{pattern}\n{log}"
    check_traffic(lab, prober)


@pytest.mark.parametrize("number", range(ROUNDS))
def test_mended_while_busy(busy, number):
    lab, prober = busy
    rng = random.Random(f"drift {SEED + number}")
    stable = churned_flows(lab)
    assert len(stable) > 3 * RULES
    foreign, count = lab.foreign(), lab.drifts()
    assert len(foreign) == FOREIGN
    begin = time.monotonic()
    with Churn(lab) as churn:
        commands, back, gone = tamper(rng, stable)
        lab.add_flows(commands)
        took = await_mended(lab, prober, set(back), gone, f"seed {SEED + number}: {len(commands)} flows mended")
        changes = churn.n
    ovs.wait_until(lambda: lab.drifts() == count + len(commands), f"seed {SEED + number}: {len(commands)} counted, not {lab.drifts() - count}")
    print(f"seed {SEED + number}: {len(commands)} flows of {len(stable)} mended in {took:.1f} s during {changes} changes")
    assert changes > 0
    assert stable <= lab.ours()
    elapsed, now = time.monotonic() - begin, lab.foreign()
    assert set(now) == set(foreign)
    young = [flow for flow, age in now.items() if age + 1 < foreign[flow] + elapsed]
    assert not young, f"made anew: {young[:3]}"
    check_traffic(lab, prober)


def test_everything_at_once(busy):
    """All of ours goes in one stroke, and a thousand of nobody's come."""
    lab, prober = busy
    stable, count = churned_flows(lab), lab.drifts()
    with Churn(lab) as churn:
        lab.switch.ofctl("del-flows", "br1", OURS)
        lab.add_flows([f"add cookie=0x5350050000000099,table=21,priority={1000 + i},dl_type=0xbbbb,actions=NORMAL" for i in range(1000)])
        await_mended(lab, prober, stable, ["0xbbbb"], "everything mended")
        assert churn.n > 0
    ovs.wait_until(lambda: lab.drifts() >= count + len(stable) + 1000, f"{len(stable)} + 1000 counted, not {lab.drifts() - count}")
    check_traffic(lab, prober)
    bridge = lab.daemon.get("/v1/bridges")["bridges"][0]
    assert bridge["flows"]["installed"] == bridge["flows"]["desired"] == len(lab.ours()) and not bridge["last_error"], bridge
