"""The daemon and a real ovs-vswitchd: what the contract's section 3.9 and 3.10 promise, refusals, and how it finds a bridge."""

import json
import os
import re
import signal
import sys

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "api"))

from conftest import telling  # noqa: E402
from daemon import Daemon  # noqa: E402
from ovs import wait_until  # noqa: E402

DPID = "00000000000000d1"
BRIDGE = f"/v1/bridges/{DPID}"
FOREIGN = "cookie=0x1234,table=0,priority=7,dl_type=0x1234,actions=drop"
OUR_COOKIE = "cookie=0x5350000000000000/0xffff000000000000"


def poll(condition, what, seconds=30):
    return wait_until(condition, what, seconds, 0.05)


class Site:
    """A switch with one bridge and a daemon."""

    def __init__(self, ovs, directory, *options):
        self.ovs = ovs
        self.daemon = Daemon(directory, *options)
        self.ports = 0
        ovs.add_bridge("br0", dpid=int(DPID, 16))
        self.daemon.start()
        self.api = self.daemon.client()

    def connect(self, bridge="br0"):
        self.ovs.set_controllers(bridge, f"unix:{self.daemon.openflow}")

    def close(self):
        self.daemon.close()
        for bridge in ("br0", "br1"):
            self.ovs.vsctl("--if-exists", "del-br", bridge)

    def port(self, number):
        self.ovs.vsctl("add-port", "br0", f"p{number}", "--", "set", "interface", f"p{number}", "type=internal",
                       f"ofport_request={number}")
        assert self.ovs.ofport(f"p{number}") == number

    def group(self, name, *ports):
        rules = [{"direction": "inbound", "protocol": "tcp", "port_min": port} for port in ports]
        return self.made(self.api.post("/v1/security-groups", {"region": "SV2", "name": name, "rules": rules}))

    def server(self, number, groups=None):
        body = {"region": "SV2", "name": f"vm{number}",
                "ports": [{"bridge": DPID, "port": f"p{number}", "mac": f"02:00:00:00:00:{number:02x}", "ips": [f"10.0.0.{number}"]}]}
        if groups:
            body["security_groups"] = groups
        return self.made(self.api.post("/v1/servers", body))

    @staticmethod
    def made(answer):
        assert answer.status == 201, answer
        assert answer.applied
        return answer.json

    def bridge(self):
        return self.api.get(BRIDGE).json

    def settled(self):
        """The bridge once it is connected and has all it shall have."""
        def look():
            bridge = self.bridge()
            flows = bridge["flows"]
            good = bridge["connected"] and flows["desired"] == flows["installed"] > 0 and not bridge["last_error"]
            return bridge if good and not self.pending() else None

        return poll(look, "the bridge has all its flows")

    def pending(self):
        return self.api.get("/v1/status").json["pending"]

    def flows(self, *which):
        """Our flows on the switch, without what counts packets and time."""
        text = self.ovs.ofctl(["dump-flows"], "br0", *(which or [OUR_COOKIE]))
        lines = [re.sub(r" (duration|n_packets|n_bytes|idle_age|hard_age)=[^,]*,", "", line) for line in text.splitlines()]
        return sorted(line for line in lines if "cookie=" in line)

    def metric(self, name):
        text = self.daemon.client().get("/metrics").body.decode()
        values = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.M)
        assert values, f"{name} is not in\n{text}"
        return sum(map(float, values))


@pytest.fixture
def site(ovs, tmp_path):
    with telling(Site(ovs, tmp_path)) as site:
        assert site.api.put("/v1/regions/SV2").status == 201
        yield site


@pytest.fixture
def site_with_database(ovs, tmp_path):
    with telling(Site(ovs, tmp_path, "--ovsdb", f"unix:{ovs.path('db.sock')}")) as site:
        assert site.api.put("/v1/regions/SV2").status == 201
        yield site


@pytest.fixture
def running(site):
    """Two servers in force and another's flow."""
    for number in (1, 2):
        site.port(number)
    site.web = site.group("web", 80, 443)
    site.server(1)
    site.server(2, [site.web["id"]])
    site.connect()
    site.settled()
    site.ovs.ofctl(["add-flow"], "br0", FOREIGN)
    return site


def foreign_is_there(site):
    assert len(site.flows("cookie=0x1234/-1")) == 1


def test_install(running):
    bridge = running.bridge()
    assert len(running.flows()) == bridge["flows"]["installed"]
    assert bridge["version"] in ("OpenFlow 1.4", "OpenFlow 1.5")
    roles = {port["name"]: port["role"] for port in bridge["ports"]}
    assert roles["p1"] == roles["p2"] == "server" and roles["br0"] == "closed"
    states = [port["state"] for server in running.api.get("/v1/servers").json["servers"] for port in server["ports"]]
    assert states == ["active", "active"]
    assert running.metric("sallyport_flow_mods_sent_total") == len(running.flows())


def test_edit_is_in_force_when_answered(running):
    path = f"/v1/security-groups/{running.web['id']}/rules"
    before = running.flows()
    answer = running.api.put(path, {"rules": [{"direction": "inbound", "protocol": "tcp", "port_min": 8080}]})
    assert answer.status == 200 and answer.applied
    assert any("ct_tp_dst=8080" in flow for flow in running.flows())
    assert not any("ct_tp_dst=443" in flow for flow in running.flows() if "reg2=" in flow and "table=21" in flow and "=443" in flow)
    answer = running.api.put(path, {"rules": [
        {"direction": "inbound", "protocol": "tcp", "port_min": port} for port in (80, 443)]})
    assert answer.status == 200 and answer.applied
    assert len(running.flows()) == len(before)
    foreign_is_there(running)


def test_killed_and_started_again(running):
    before = running.flows()
    assert running.daemon.kill() == -signal.SIGKILL
    assert running.flows() == before
    running.daemon.start()
    running.api = running.daemon.client()
    running.settled()
    assert running.flows() == before
    assert running.metric("sallyport_flow_mods_sent_total") == 0
    assert running.metric("sallyport_drift_repaired_total") == 0
    foreign_is_there(running)

    # Stopped, it leaves the flows too.
    assert running.daemon.stop() == 0
    assert running.flows() == before


@pytest.mark.parametrize("version", ["OpenFlow14", "OpenFlow14,OpenFlow15"])
def test_every_kind_of_flow_is_known_again(site, version):
    """Whatever the compiler makes comes back from the switch as it was sent: a new run of the daemon sends nothing."""
    site.ovs.vsctl("set", "bridge", "br0", f"protocols={version}")
    for number in (1, 2, 3, 8, 9):
        site.port(number)
    assert site.api.put(BRIDGE, {"uplinks": ["p8", "p9"]}).status == 201
    web = site.group("web", 80)
    rules = [{"direction": "inbound", "protocol": protocol, **more} for protocol, more in (
        ("tcp", {"port_min": 1, "port_max": 65534, "remote_ip": "192.0.2.0/25"}), ("udp", {"port_min": 53, "remote_group": web["id"]}),
        ("sctp", {"port_min": 5000, "port_max": 5010}), ("icmp", {"icmp_type": 8, "icmp_code": 0}), ("icmpv6", {"icmp_type": 128}),
        ("gre", {}), ("any", {"remote_ip": "2001:db8::/33"}), ("tcp", {"port_min": 23, "action": "deny", "priority": 1}))]
    rules += [{"direction": "outbound", "protocol": "any", "remote_group": web["id"], "action": "deny"},
              {"direction": "outbound", "protocol": "any"}]
    everything = Site.made(site.api.post("/v1/security-groups", {"region": "SV2", "name": "everything", "rules": rules}))
    port = {"bridge": DPID, "port": "p1", "mac": "02:00:00:00:00:01", "ips": ["10.0.0.1", "2001:db8::1"], "vlan": 7,
            "allowed_address_pairs": [{"ip": "10.0.9.0/24"}, {"ip": "10.0.0.100", "mac": "00:00:5e:00:01:01"}, {"ip": "::/0"}]}
    Site.made(site.api.post("/v1/servers", {"region": "SV2", "name": "rich", "ports": [port], "security_groups": [everything["id"]]}))
    Site.made(site.api.post("/v1/servers", {"region": "SV2", "name": "open", "security_groups": [web["id"]], "ports": [
        {"bridge": DPID, "port": "p2", "mac": "02:00:00:00:00:02", "ips": ["10.0.0.2"], "port_security": False}]}))
    site.server(3, [web["id"], everything["id"]])
    site.connect()
    bridge = site.settled()
    assert bridge["version"] == ("OpenFlow 1.5" if "15" in version else "OpenFlow 1.4")
    before = site.flows()
    site.daemon.kill()
    site.daemon.start()
    site.api = site.daemon.client()
    site.settled()
    assert site.metric("sallyport_flow_mods_sent_total") == 0
    assert site.flows() == before


def test_port_found_by_its_interface(site_with_database):
    """A port that only OVSDB can find: plugged, found again by a new run without a flow sent, and unplugged."""
    site = site_with_database
    assert site.api.put(BRIDGE, {"uplinks": []}).status == 201
    site.connect()
    site.settled()
    server = Site.made(site.api.post("/v1/servers", {"region": "SV2", "name": "vm", "ports": [
        {"iface_id": "11-22", "mac": "02:00:00:00:00:05", "ips": ["10.0.0.5"]}]}))
    path = f"/v1/servers/{server['id']}"
    assert server["ports"][0]["state"] == "unbound"
    site.port(5)
    site.ovs.vsctl("set", "interface", "p5", "external_ids:iface-id=11-22")
    poll(lambda: site.api.get(path).json["ports"][0]["state"] == "active", "the port is active")
    site.settled()
    before = site.flows()
    for _ in range(2):
        site.daemon.kill()
        site.daemon.start()
        site.api = site.daemon.client()
        poll(lambda: site.api.get(path).json["ports"][0]["state"] == "active", "the port is active again")
        site.settled()
        assert site.metric("sallyport_flow_mods_sent_total") == 0
        assert site.flows() == before
    site.ovs.vsctl("remove", "interface", "p5", "external_ids", "iface-id")
    poll(lambda: site.api.get(path).json["ports"][0]["state"] == "unbound", "the port is unbound")
    site.settled()
    assert len(site.flows()) < len(before)


def test_in_band_control_is_reported_at_every_connect(site_with_database):
    """The hidden flows that it makes, for a manager too, are in no dump and no count of OpenFlow: the database tells of them."""
    site = site_with_database
    assert site.api.put(BRIDGE, {"uplinks": []}).status == 201
    site.connect()
    site.settled()
    flows, counted = site.ovs.ofctl(["--no-stats", "dump-flows"], "br0"), site.ovs.ofctl("dump-aggregate", "br0")
    site.ovs.vsctl("remove", "bridge", "br0", "other_config", "disable-in-band", "--", "set-manager", "tcp:192.0.2.1:1")
    try:
        poll(lambda: "priority=1800" in site.ovs.appctl("bridge/dump-flows", "br0"), "in-band control has its flows")
        assert site.ovs.ofctl(["--no-stats", "dump-flows"], "br0") == flows
        assert re.search(r"flow_count=\d+", site.ovs.ofctl("dump-aggregate", "br0")).group() in counted
        n_first = len([line for line in flows.splitlines() if "cookie=" in line and "table=" not in line])
        tables = site.ovs.ofctl("dump-tables", "br0")
        assert re.search(rf"table 0[^:]*:\s+active={n_first},", tables), tables[:500]
        poll(lambda: "in-band" in (site.bridge()["last_error"] or ""), "it is reported")
        for _ in range(2):
            n = site.daemon.text().count("in-band control is on")
            site.ovs.vsctl("del-controller", "br0")
            poll(lambda: not site.bridge()["connected"], "the bridge is away")
            site.connect()
            poll(lambda: site.bridge()["connected"] and site.daemon.text().count("in-band control is on") > n, "it is reported again")
    finally:
        site.ovs.vsctl("set", "bridge", "br0", "other_config:disable-in-band=true", "--", "del-manager")
    poll(lambda: site.bridge()["last_error"] is None, "all is well again")


def test_changed_while_away(running):
    """Only what changed while the daemon was away is sent: here one server's flows."""
    running.ovs.vsctl("del-port", "br0", "p2")
    poll(lambda: all(port["name"] != "p2" for port in running.bridge()["ports"]), "p2 is gone")
    running.settled()
    all_flows = len(running.flows())
    assert running.daemon.kill() == -signal.SIGKILL
    running.port(2)
    running.daemon.start()
    running.api = running.daemon.client()
    running.settled()
    sent = running.metric("sallyport_flow_mods_sent_total")
    assert 0 < sent < all_flows / 2
    assert sent >= len(running.flows()) - all_flows


def test_switch_restarts(running):
    """A new vswitchd has no flow; everything comes back, and nothing of that is drift."""
    before = running.flows()
    running.ovs.restart_switch()
    poll(lambda: running.bridge()["connected"], "the bridge is back")
    running.settled()
    assert running.flows() == before
    assert running.metric("sallyport_drift_repaired_total") == 0


def test_drift(running):
    """Contract 3.10."""
    before, repaired = running.flows(), running.metric("sallyport_drift_repaired_total")
    running.ovs.ofctl(["del-flows"], "br0", "table=60")
    running.ovs.ofctl(["--strict", "mod-flows"], "br0", "table=27,priority=100,reg5=0x1,actions=drop")
    running.ovs.ofctl(["add-flow"], "br0", "cookie=0x5350010000000077,table=0,priority=60000,actions=NORMAL")
    # What was done first may be put right before the last is done.
    poll(lambda: running.metric("sallyport_drift_repaired_total") >= repaired + 3, "all three are seen", seconds=60)
    poll(lambda: running.flows() == before, "the flows are as they were", seconds=60)
    foreign_is_there(running)


@pytest.mark.parametrize("table, number, rule", ((21, 3, {"protocol": "tcp", "port_min": 8080}),
                                                 (19, 4, {"protocol": "any", "remote_ip": "198.51.100.0/24", "action": "deny"})))
def test_table_is_full(running, table, number, rule):
    """What the switch refuses is reported and stops nobody else; nor does a rule come in part (19: where no rule names the port)."""
    room = len(running.flows(f"table={table}"))
    running.ovs.vsctl("--", "--id=@full", "create", "flow_table", f"flow_limit={room}", "--", "set", "bridge", "br0",
                      f"flow_tables:{table}=@full")
    before = running.flows()
    answer = running.api.post(f"/v1/security-groups/{running.web['id']}/rules", {"direction": "inbound", **rule})
    assert answer.status == 202 and not answer.applied
    error = running.bridge()["last_error"]
    assert answer.json["id"] in error and "web" in error and "TABLE_FULL" in error, error
    assert running.flows() == before
    assert running.pending()
    assert [port["state"] for port in running.api.get("/v1/servers?name=vm2").json["servers"][0]["ports"]] == ["pending"]

    # Others go on.
    running.port(number)
    site_default = running.server(number)
    assert site_default["ports"][0]["state"] == "active"

    # Taken back, it is well again.
    answer = running.api.delete(f"/v1/security-groups/{running.web['id']}/rules/{answer.json['id']}")
    assert answer.status == 204 and answer.applied
    assert running.bridge()["last_error"] is None
    running.settled()
    running.ovs.vsctl("clear", "bridge", "br0", "flow_tables")


def test_release(running):
    """DELETE takes our flows and no other."""
    for server in running.api.get("/v1/servers").json["servers"]:
        assert running.api.delete(f"/v1/servers/{server['id']}").status == 204
    answer = running.api.delete(BRIDGE)
    assert answer.status == 204 and answer.applied
    assert running.flows() == []
    foreign_is_there(running)
    assert running.bridge()["connected"]
    assert running.api.put(BRIDGE, {"uplinks": []}).applied
    running.settled()


def test_not_adopted(site):
    def listed():
        return site.api.get(BRIDGE).status == 200 and site.bridge()["connected"]

    site.connect()  # Which removes every flow by itself, so that ours comes after it.
    poll(listed, "the bridge is listed")
    site.ovs.ofctl(["add-flow"], "br0", "cookie=0x5350010000000001,table=0,priority=9,actions=drop")
    site.daemon.kill()
    site.daemon.start()
    site.api = site.daemon.client()
    poll(listed, "the bridge is listed again")
    assert len(site.flows()) == 1
    assert site.metric("sallyport_flow_mods_sent_total") == 0


def test_two_bridges_with_one_datapath_id(running):
    running.ovs.add_bridge("br1", dpid=int(DPID, 16))
    running.connect("br1")
    error = poll(lambda: running.bridge()["last_error"], "the second bridge is reported")
    assert "second connection" in error
    assert running.bridge()["name"] == "br0" and running.bridge()["connected"]
    assert running.ovs.ofctl(["dump-flows"], "br1").count("cookie=") == 0
    assert running.server(3)["ports"][0]["state"] == "unbound"


def test_old_protocol_is_refused_with_advice(site):
    site.ovs.vsctl("set", "bridge", "br0", "protocols=OpenFlow10,OpenFlow13")
    site.connect()
    text = poll(lambda: re.search(r"speaks only .*", site.daemon.text()), "the log says why").group(0)
    assert "1.4" in text
    [refused] = site.api.get("/v1/status").json["refused"]  # Each of its attempts is the same to us.
    assert text in refused["reason"] or refused["reason"] in text
    assert refused["peer"].startswith(("unix:", "tcp:")) and refused["at"].endswith("Z")
    site.ovs.vsctl("set", "bridge", "br0", "protocols=OpenFlow14")
    poll(lambda: site.api.get(BRIDGE).status == 200 and site.bridge()["version"] == "OpenFlow 1.4", "it is connected")


def test_dialled(ovs, tmp_path):
    """The daemon dials a bridge's management socket, and again after the switch was restarted."""
    ovs.add_bridge("br0", dpid=int(DPID, 16))
    daemon = Daemon(tmp_path, "--openflow", f"unix:{ovs.path('br0.mgmt')}")
    try:
        daemon.start()
        api = daemon.client()
        assert api.put(BRIDGE, {"uplinks": []}).status in (200, 201)
        poll(lambda: api.get(BRIDGE).json["connected"], "dialled")
        assert api.get(BRIDGE).json["peer"] == f"unix:{ovs.path('br0.mgmt')}"
        ovs.restart_switch()
        poll(lambda: (lambda b: b["connected"] and b["flows"]["installed"] > 0)(api.get(BRIDGE).json), "dialled again")
        assert json.dumps(api.get("/v1/status").json)
    finally:
        daemon.close()
        ovs.vsctl("--if-exists", "del-br", "br0")


def test_many_rules(running):
    """A thousand rules in one request: one bundle, and back."""
    before = len(running.flows())
    rules = [{"direction": "inbound", "protocol": "tcp", "port_min": 10000 + number, "remote_ip": f"10.{number % 200}.0.0/16"}
             for number in range(1000)]
    path = f"/v1/security-groups/{running.web['id']}/rules"
    answer = running.api.put(path + "?wait=30", {"rules": rules})
    assert answer.status == 200 and answer.applied
    assert len(running.flows()) > before + 2900
    answer = running.api.put(path + "?wait=30", {"rules": []})
    assert answer.status == 200 and answer.applied
    assert len(running.flows()) < before
    running.settled()
