"""Each message of a bundle failing in turn, between the daemon and a real switch.

Every scenario has a bridge of its own, with two groups, a server in each and one in both, behind a proxy that fails as the
scenario says while the rules of one group are replaced.  What holds for all of them:

  - the switch holds the old flows or the new ones, never a mix, at whatever moment one looks;
  - the answer says that it is applied only if it is, and else the bridge or the log says why;
  - where only one rule or port is refused, others change meanwhile;
  - when the cause ends it heals.

All scenarios run at once, as some of them have to wait for the 10 s after which the daemon gives a silent switch up.
SALLYPORT_PATIENT=1 lets them heal by the daemon's own next try, which comes within 15 s; else a lost connection makes it try."""

import os
import re
import threading
import time

import openflow_proxy as of
import pytest
from lab import Daemon, Place, ovs
from openflow_proxy import COMMIT_REPLY, COMMIT_REQUEST, DISCARD_REPLY, DISCARD_REQUEST, DOWN, OPEN_REPLY, OPEN_REQUEST, UP, Fault, Proxy

PATIENT = bool(os.environ.get("SALLYPORT_PATIENT"))
OLD_PORT, NEW_PORT, OTHER_PORT = 19999, 54321, 33333
PORTS = range(20000, 20024, 2)  # Of the rules that stay, so far apart that each has its own flows.
ALWAYS = 1 << 30
NEW_RULE = b"\x02" + NEW_PORT.to_bytes(2, "big")  # A field of two bytes with the new rule's port.
CLOSED, SILENT = "is disconnected", "is disconnected: (no answer within 10 s|the switch has been silent)"
OLD, NEW, EITHER, PARTS, PORT = "old", "new", "either", "one set old, the other new", "all but a new port"


def of_set(number):
    """The match of a flow that belongs to a rule set: the upper half, reg2, of OpenFlow 1.5's OXM_OF_PKT_REG1."""
    return b"\x80\1\3\x10" + number.to_bytes(4, "big") + b"\0\0\0\0\xff\xff\xff\xff"


class Scenario:
    """faults(bridge): what the proxy does.  after: which flows the switch has when the first answer is there.  why: what the
    bridge's last error, or else the log, says.  others: whether the other group can be changed while the fault lasts."""

    def __init__(self, name, faults, after, why="", others=False, limit=None):
        self.name, self.faults, self.after, self.why, self.others, self.limit = name, faults, after, why, others, limit
        self.wait = 2 if why == SILENT else 30  # What is refused is answered at once; silence is longer than anybody waits here.


def one(*arguments, **options):
    return lambda bridge: [Fault(*arguments, **options)]


def refused_add(kind, code, match=None):
    return lambda bridge: [Fault(DOWN, match or of.adds(NEW_RULE), of.answer(kind, code), ALWAYS)]


def both(*faults):
    return lambda bridge: [fault for make in faults for fault in make(bridge)]


SCENARIOS = [
    # Without any fault: what is expected of the others is expected of this one too.
    Scenario("no fault", lambda bridge: [], NEW, others=True),
    # The opening.
    Scenario("open refused", one(DOWN, of.control(OPEN_REQUEST), of.answer(17, 5), ALWAYS), OLD, "OFPBFC_OUT_OF_BUNDLES"),
    # Once is mostly ahead of the change, which is then sent again; twice is when it is durable, too.
    Scenario("open refused once", one(DOWN, of.control(OPEN_REQUEST), of.answer(17, 0)), EITHER, "OFPBFC_UNKNOWN"),
    Scenario("open refused twice", one(DOWN, of.control(OPEN_REQUEST), of.answer(17, 0), 2), OLD, "OFPBFC_UNKNOWN"),
    Scenario("open lost", one(DOWN, of.control(OPEN_REQUEST), of.drop), EITHER, "opening was not answered"),
    Scenario("open's reply lost", one(UP, of.control(OPEN_REPLY), of.drop), EITHER, "opening was not answered"),
    # A message of the bundle.
    Scenario("add refused", refused_add(5, 0), OLD, "OFPFMFC_UNKNOWN", others=True),
    Scenario("add refused in no known way", refused_add(0x7777, 9), OLD, "an error of type 30583, code 9", others=True),
    Scenario("bad port", one(DOWN, of.adds(NEW_RULE), of.with_actions(of.output_action(0xfffffff0)), ALWAYS), OLD, "OFPBAC_BAD_OUT_PORT",
             others=True),
    Scenario("bad group", one(DOWN, of.adds(NEW_RULE), of.with_actions(of.group_action(77)), ALWAYS), OLD, "OFPBAC_BAD_OUT_GROUP",
             others=True),
    Scenario("discard refused", both(refused_add(5, 0), one(DOWN, of.control(DISCARD_REQUEST), of.answer(17, 2))), OLD, "OFPFMFC_UNKNOWN",
             others=True),
    Scenario("discard's reply lost", both(refused_add(5, 0), one(UP, of.control(DISCARD_REPLY), of.drop)), OLD, "OFPFMFC_UNKNOWN",
             others=True),
    Scenario("one set of two", lambda bridge: [Fault(DOWN, of.adds(NEW_RULE, of_set(bridge.set_of("c"))), of.answer(5, 0), ALWAYS)], PARTS,
             "OFPFMFC_UNKNOWN"),
    Scenario("table full", lambda bridge: [], OLD, "OFPFMFC_TABLE_FULL", others=False, limit=21),
    Scenario("no room for a port", lambda bridge: [], PORT, "port c[0-9]+ of server .*OFPFMFC_TABLE_FULL", limit=0),
    Scenario("port refused", lambda bridge: [Fault(DOWN, of.adds(bridge.mac("c")), of.answer(5, 0), ALWAYS)], PORT,
             "port c[0-9]+ of server .*OFPFMFC_UNKNOWN"),
    # The commit.
    Scenario("commit refused", one(DOWN, of.control(COMMIT_REQUEST), of.answer(17, 14), ALWAYS), OLD, "OFPBFC_TIMEOUT"),
    Scenario("commit refused once", one(DOWN, of.control(COMMIT_REQUEST), of.answer(17, 13)), EITHER, "OFPBFC_MSG_FAILED"),
    Scenario("commit refused twice", one(DOWN, of.control(COMMIT_REQUEST), of.answer(17, 13), 2), OLD, "OFPBFC_MSG_FAILED"),
    Scenario("commit lost", one(DOWN, of.control(COMMIT_REQUEST), of.drop), EITHER, "a commit was not answered"),
    Scenario("commit's reply lost", one(UP, of.control(COMMIT_REPLY), of.drop), EITHER, "a commit was not answered"),
    # The confirmation.
    Scenario("barrier's reply lost", one(UP, of.of_type(of.BARRIER_REPLY), of.drop), OLD, SILENT),
    Scenario("commit's barrier lost", one(UP, of.of_type(of.BARRIER_REPLY), of.drop, skip=1), NEW, SILENT),
    # The connection.
    Scenario("cut before the bundle", one(DOWN, of.control(OPEN_REQUEST), of.cut), EITHER, CLOSED),
    Scenario("cut in the bundle", one(DOWN, of.adds(), of.cut), EITHER, CLOSED),
    Scenario("cut before the commit", one(DOWN, of.control(COMMIT_REQUEST), of.cut), EITHER, CLOSED),
    Scenario("cut behind the commit", one(DOWN, of.control(COMMIT_REQUEST), of.cut_after), EITHER, CLOSED),
    Scenario("cut at the reply", one(UP, of.control(COMMIT_REPLY), of.cut), EITHER, CLOSED),
    Scenario("cut at two commits, and in three dumps",
             both(one(DOWN, of.control(COMMIT_REQUEST), of.cut, 2), one(UP, of.multipart(of.MULTIPART_REPLY, of.FLOW_STATS), of.cut, 3)),
             EITHER, CLOSED),
    # Silence.
    Scenario("silent in the bundle", one(DOWN, of.adds(NEW_RULE), of.stall), OLD, SILENT),
    Scenario("silent at the commit", one(DOWN, of.control(COMMIT_REQUEST), of.stall), OLD, SILENT),
    Scenario("silent behind the commit", one(DOWN, of.control(COMMIT_REQUEST), of.deafen), NEW, SILENT),
]


class Bridge:
    """One bridge, its two groups and its servers: a is in the group that is changed, b in the other, c in both."""

    def __init__(self, site, number, scenario):
        self.site, self.scenario, self.number, self.name = site, scenario, number, f"br{number}"
        self.dpid = f"{0xf000 + number:016x}"
        self.ports = {name: f"{name}{number}" for name in "abc"}
        self.proxy = Proxy(os.path.join(site.directory, f"proxy{number}"), site.daemon.openflow)
        self.problems, self.seen = [], set()
        self.daemon = Daemon(site.directory)  # A connection of its own to the one daemon.

    def register(self):
        self.groups = [self.daemon.change("POST", "/v1/security-groups", {
            "region": "SV2", "name": f"{self.name}-{name}", "rules": self.rules(port)})["id"] for name, port in
            (("changed", OLD_PORT), ("other", OTHER_PORT))]
        for name, groups in (("a", self.groups[:1]), ("b", self.groups[1:]), ("c", self.groups)):
            if name == "c" and self.scenario.after != PARTS:
                continue  # With it the change would be of two rule sets.
            self.daemon.change("POST", "/v1/servers", self.server(name, groups))

    def mac(self, name):
        return bytes([2, 0, 0, 0, self.number, "abc".index(name) + 1])

    def server(self, name, groups):
        return {"region": "SV2", "name": self.ports[name], "security_groups": groups,
                "ports": [{"bridge": self.dpid, "port": self.ports[name], "mac": self.mac(name).hex(":"),
                           "ips": [f"10.{self.number}.0.{self.mac(name)[-1]}"]}]}

    @staticmethod
    def rules(last):
        return [{"direction": "inbound", "protocol": "tcp", "port_min": port, "port_max": port} for port in [*PORTS, last]]

    def replace(self, which, port, wait):
        status, _, headers = self.daemon.request("PUT", f"/v1/security-groups/{self.groups[which]}/rules?wait={wait}",
                                                 {"rules": self.rules(port)})
        applied = headers["Sallyport-Applied"] == "true"
        if (status, applied) not in ((200, True), (202, False)):
            self.problems.append(f"answer {status}, applied {applied}")
        return applied

    def status(self):
        return self.daemon.get(f"/v1/bridges/{self.dpid}")

    def flows(self):
        """The set of our flows, without what counts packets and time; noted as seen."""
        text = self.site.switch.ofctl(["--no-stats", "dump-flows"], self.name, "cookie=0x5350000000000000/0xffff000000000000")
        flows = frozenset(line.strip() for line in text.splitlines() if "cookie=" in line)
        self.seen.add(flows)
        return flows

    def set_of(self, name):
        ofport = self.site.switch.ofport(self.ports[name])
        for flow in self.flows():
            match = re.search(rf"table=40,.*reg8=0x{ofport:x} actions=.*set_field:0x([0-9a-f]+)->reg2,", flow)
            if match:
                return int(match.group(1), 16)
        raise AssertionError(f"no rule set of {name}, port {ofport}")

    def is_settled(self):
        answer = self.daemon.get("/v1/status")  # One answer: between two of them a connection may be lost.
        status = next((bridge for bridge in answer["bridges"] if bridge["dpid"] == self.dpid), None)
        return (status and status["connected"] and not status["last_error"] and
                status["flows"]["desired"] == status["flows"]["installed"] > 0 and self.dpid not in str(answer["pending"]))

    def has_new_rule(self, flows, set_number=None):
        wanted = f"ct_tp_dst={NEW_PORT}"
        return any(wanted in flow and (set_number is None or f"reg2=0x{set_number:x}" in flow) for flow in flows)

    # The scenario.

    def run(self):
        self._watching = True
        watch = threading.Thread(target=self._watch)
        try:
            ovs.wait_until(self.is_settled, f"{self.name} settled", 60)
            watch.start()
            self._run()
        except Exception as error:  # Reported by the test of this scenario.
            self.problems.append(f"{type(error).__name__}: {error}")
        finally:
            self._watching = False
            if watch.is_alive():
                watch.join()

    def _run(self):
        scenario = self.scenario
        old = self.flows()
        if scenario.limit is not None:
            room = sum(f"table={scenario.limit}," in flow for flow in old)
            self.site.vsctl("--", "--id=@full", "create", "flow_table", f"flow_limit={room}", "--", "set", "bridge", self.name,
                            f"flow_tables:{scenario.limit}=@full")
        self.proxy.faults = scenario.faults(self)
        if scenario.after == PORT:
            self._plug()
        else:
            applied = self.replace(0, NEW_PORT, scenario.wait)
            self._judge_answer(applied, self.flows(), old)
        if scenario.others:
            self._change_other()
        armed = [fault for fault in self.proxy.faults if fault.times == ALWAYS]
        for fault in armed:
            fault.times = 0
        if scenario.limit is not None:
            self.site.vsctl("clear", "bridge", self.name, "flow_tables")
        if self.status()["last_error"] and not PATIENT:
            self.proxy.cut()
        ovs.wait_until(self.is_settled, f"{self.name} healed", 75)
        self._judge_end(old)

    def _watch(self):
        """Looks at the switch again and again, and remembers all that it sees."""
        while self._watching:
            self.flows()
            time.sleep(0.1)  # A pace, not a wait: there are many of these.

    def _judge_answer(self, applied, now, old):
        scenario = self.scenario
        if applied != self.has_new_rule(now) and (applied or scenario.after == NEW and not self._unconfirmed()):
            self.problems.append(f"answered applied={applied}, but the switch has the {'new' if self.has_new_rule(now) else 'old'} rules")
        given_up = scenario.why == SILENT and self._is_told()  # On a very slow machine it is over by now.
        if scenario.after == OLD and (applied or now != old) and not given_up:
            self.problems.append(f"applied={applied}, {len(now ^ old)} flows differ from the old ones")
        if scenario.after == NEW and not self._unconfirmed() and not applied:
            self.problems.append(f"not applied: {self.status()['last_error']}")
        if scenario.after == PARTS:
            first, second = self.set_of("a"), self.set_of("c")
            if applied or not self.has_new_rule(now, first) or self.has_new_rule(now, second):
                self.problems.append(f"applied={applied}; not the one set new and the other old")
        if not applied:
            self._judge_reason()

    def _port_state(self):
        return self.daemon.get(f"/v1/servers?name={self.ports['c']}")["servers"][0]["ports"][0]["state"]

    def _plug(self):
        """A new server's port is refused; the rules of the others change all the same."""
        status, _, headers = self.daemon.request("POST", f"/v1/servers?wait={self.scenario.wait}", self.server("c", self.groups[:1]))
        if (status, headers["Sallyport-Applied"], self._port_state()) != (202, "false", "pending"):
            self.problems.append(f"answer {status}, applied {headers['Sallyport-Applied']}, port {self._port_state()}")
        self._judge_reason()
        if not self.replace(0, NEW_PORT, 20) or not self.has_new_rule(self.flows()):
            self.problems.append(f"the group was not changed: {self.status()['last_error']}")
        if any(self.mac("c").hex(":") in flow and "table=0," in flow for flow in self.flows()):
            self.problems.append("the port is open, though refused")

    def _unconfirmed(self):
        """The switch has what is new, and only the word of it was lost."""
        return self.scenario.why != ""

    def _judge_reason(self):
        """Why it is not applied: on the bridge, or in the log once the connection is given up."""
        ovs.wait_until(self._is_told, f"the reason {self.scenario.why!r}; last error {self.status()['last_error']!r}", 20)

    def _is_told(self):
        lines = [line for line in self.site.daemon.log().splitlines() if f"bridge {self.dpid} " in line]
        return any(re.search(self.scenario.why, text) for text in [self.status()["last_error"] or "", *lines])

    def _change_other(self):
        before = self.flows()
        if not self.replace(1, OTHER_PORT + 1, 20):
            self.problems.append(f"the other group was not changed: {self.status()['last_error']}")
        after = self.flows()
        if not any(f"ct_tp_dst={OTHER_PORT + 1}" in flow for flow in after):
            self.problems.append("the other group's rule is not in the switch")
        if not self.replace(1, OTHER_PORT, 20):
            self.problems.append("the other group was not changed back")
        if self.has_new_rule(before) != self.has_new_rule(self.flows()):
            self.problems.append("another's change brought the refused rule in")

    def _judge_end(self, old):
        end = self.flows()
        if not self.has_new_rule(end):
            self.problems.append("healed without the new rule")
        if any(f"ct_tp_dst={OLD_PORT}," in flow for flow in end):
            self.problems.append("healed with the old rule")
        if self.status()["flows"]["installed"] != len(end):
            self.problems.append(f"{len(end)} flows, said to be {self.status()['flows']['installed']}")
        if self.scenario.after == PORT and self._port_state() != "active":
            self.problems.append("healed without the port")
        if self.scenario.others or self.scenario.after in (PARTS, PORT):
            return  # What other groups did is among it, too.
        mixed = [flows for flows in self.seen if flows not in (old, end)]
        if mixed:
            self.problems.append(f"{len(mixed)} states that are neither old nor new, such as {sorted(mixed[0] ^ old)[:4]}")


class Site(Place):
    def __init__(self):
        super().__init__()
        self._lock = threading.Lock()
        self.bridges = []

    def vsctl(self, *arguments):
        with self._lock:
            self.switch.vsctl(*arguments)

    def start(self):
        super().start()
        self.daemon.change("PUT", "/v1/regions/SV2")
        self.bridges = [Bridge(self, number, scenario) for number, scenario in enumerate(SCENARIOS, 1)]
        words = []
        for bridge in self.bridges:
            words += ["--", "add-br", bridge.name, "--", "set", "bridge", bridge.name, "datapath_type=netdev", "fail_mode=secure",
                      "other_config:disable-in-band=true", f"other_config:datapath-id={bridge.dpid}", "protocols=OpenFlow14,OpenFlow15"]
            for port in bridge.ports.values():
                words += ["--", "add-port", bridge.name, port, "--", "set", "interface", port, "type=internal"]
            words += ["--", "set-controller", bridge.name, "unix:" + bridge.proxy.path, "--", "set", "controller", bridge.name,
                      "connection_mode=out-of-band", "max_backoff=1000", "inactivity_probe=60000"]  # The daemon's patience is to end first.
        self.switch.vsctl(*words[1:])
        for bridge in self.bridges:
            bridge.register()

    def run(self):
        threads = [threading.Thread(target=bridge.run) for bridge in self.bridges]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def close(self):
        for bridge in self.bridges:
            bridge.proxy.close()


@pytest.fixture(scope="module")
def results():
    with Site() as site:
        site.run()
        assert site.daemon.is_running(), site.daemon.log()[-3000:]
        yield {bridge.scenario.name: bridge for bridge in site.bridges}


@pytest.mark.parametrize("name", [scenario.name for scenario in SCENARIOS])
def test_refused(results, name):
    bridge = results[name]
    unused = [fault for fault in bridge.proxy.faults if not fault.done and fault.times]
    assert not unused, "the fault never happened"
    assert not bridge.problems, "\n".join(bridge.problems) + "\n" + "\n".join(
        line for line in bridge.site.daemon.log().splitlines() if bridge.dpid in line)[-3000:]
