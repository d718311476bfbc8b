"""What a dry run says it would cut: before each kind of change the live connections are asked for; then the change is made, and just
those that were told stop on their next packet, while all others go on."""

import contextlib
import os
import socket
import sys
import threading

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "api"))

from conftest import BUILD  # noqa: E402
from daemon import Daemon  # noqa: E402
from ovs import run, wait_until  # noqa: E402
from packets import End, Tcp, gre, ping, sctp, udp  # noqa: E402
from wire import SENTINEL_FLOW, Wire  # noqa: E402

OUTSIDE = End("02:00:00:00:ff:01", "203.0.113.9", "2001:db8:ff::9")
A = End("02:00:00:00:00:01", "10.0.0.1", "2001:db8::1")
B = End("02:00:00:00:00:02", "10.0.0.2", "2001:db8::2")
LONG = bool(os.environ.get("SALLYPORT_LONG"))
DPID = f"{0xE1:016x}"
IN, OUT = {"direction": "inbound"}, {"direction": "outbound"}

RULES = {
    "ssh": {**IN, "protocol": "tcp", "port_min": 22},
    "web": {**IN, "protocol": "tcp", "port_min": 80, "port_max": 90},
    "dns": {**IN, "protocol": "udp", "port_min": 53},
    "ping": {**IN, "protocol": "icmp"},
    "out": {**OUT, "protocol": "any"},
}


class Talk:
    """A conversation between two ports, by what it is called: one packet of either end, and who heard it."""

    def __init__(self, lab, name, client, server, opener):
        self.lab, self.name, self.client, self.server = lab, name, client, server
        self.tcp = opener if isinstance(opener, Tcp) else None
        self.frames = None if self.tcp else opener

    def open(self):
        for from_client, frame in self.tcp.handshake() if self.tcp else [(True, self.frames[0]), (False, self.frames[1])]:
            assert self.passes_frame(from_client, frame), self.name

    def passes_frame(self, from_client, frame):
        source, target = (self.client, self.server) if from_client else (self.server, self.client)
        return target in self.lab.send(source, frame)

    def goes_on(self, half=False):
        """Both ways, or neither: half a conversation is a failure of its own, unless `half` takes it for none."""
        seen = []
        for from_client in (True, False):
            frame = self.tcp.segment(from_client, "PA", b"more") if self.tcp else self.frames[0 if from_client else 1]
            seen.append(self.passes_frame(from_client, frame))
        assert half or seen[0] == seen[1], (self.name, seen)
        return all(seen)


class Lab:
    def __init__(self, ovs, directory):
        self.ovs, self.is_changed = ovs, False
        self.daemon = Daemon(directory, "--switch-control", f"unix:{ovs.directory}").start()
        self.api = self.daemon.client()
        assert self.api.put("/v1/regions/SV2").status == 201
        ovs.add_bridge("br0", dpid=int(DPID, 16))
        ovs.set_controllers("br0", f"unix:{self.daemon.openflow}")
        self.connected()
        self.wire = Wire(ovs.add_host("cuts", ipv6=False))
        for port in ("a", "b", "up"):
            ovs.add_port("br0", port, self.wire.host, interface=port)
            self.wire.attach(port)
        assert self.api.put(f"/v1/bridges/{DPID}?wait=30", {"uplinks": ["up"]}).applied
        ovs.ofctl("add-flow", "br0", SENTINEL_FLOW)

    def connected(self):
        wait_until(lambda: self.api.get(f"/v1/bridges/{DPID}").json.get("connected"), "the bridge is connected", 60)

    def restart(self, *controls):
        """With other control sockets."""
        assert self.daemon.stop() == 0, self.daemon.text()
        self.daemon.options = [word for control in controls for word in ("--switch-control", control)]
        self.daemon.start()
        self.api = self.daemon.client()
        self.connected()

    def close(self):
        self.wire.close()
        self.daemon.close()

    def send(self, port, *frames):
        if self.is_changed:  # The datapath may lag behind.
            self.ovs.await_datapath()
            self.is_changed = False
        return set(self.wire.exchange(*((port, bytes(frame)) for frame in frames), listeners=["a", "b", "up"]))

    def call(self, method, path, body=None):
        answer = self.api(method, path + "?wait=30", body)
        assert answer.status in (200, 201, 204) and answer.applied, answer
        self.is_changed = True
        return answer

    def dry(self, method, path, body=None):
        answer = self.api(method, path + "?dry_run=true", body)
        assert answer.status == 200, answer
        return answer.json["effect"]

    def made(self, path, body):
        return self.call("POST", path, body).json["id"]

    def furnish(self):
        """Two servers, and what they may."""
        self.groups = {name: self.made("/v1/security-groups", {"region": "SV2", "name": name, "rules": []}) for name in ("web", "more", "client")}
        answer = self.call("PUT", f"/v1/security-groups/{self.groups['web']}/rules", {"rules": list(RULES.values())})
        self.rules = dict(zip(RULES, (rule["id"] for rule in answer.json["rules"])))
        more = [{**IN, "protocol": "tcp", "port_min": 5432, "remote_group": self.groups["client"]}, {**IN, "protocol": "tcp", "port_min": 85, "priority": 200}]
        answer = self.call("PUT", f"/v1/security-groups/{self.groups['more']}/rules", {"rules": more})
        self.rules.update(zip(("database", "spare"), (rule["id"] for rule in answer.json["rules"])))
        answer = self.call("PUT", f"/v1/security-groups/{self.groups['client']}/rules", {"rules": [{**OUT, "protocol": "any"}]})
        self.rules["client"] = answer.json["rules"][0]["id"]
        self.servers = {name: self.made("/v1/servers", {
            "region": "SV2", "name": name, "security_groups": [self.groups[group] for group in groups],
            "ports": [{"bridge": DPID, "port": name, "mac": who.mac, "ips": [who.ip, who.ip6]}]})
            for name, who, groups in (("a", A, ("web", "more")), ("b", B, ("client",)))}

    def talk(self):
        """New conversations of many kinds."""
        self.ovs.appctl("dpctl/flush-conntrack")
        self.talks = [
            Talk(self, "ssh", "up", "a", Tcp(OUTSIDE, A, 22, sport=40001)),
            Talk(self, "ssh6", "up", "a", Tcp(OUTSIDE, A, 22, sport=40002, family=6)),
            Talk(self, "web80", "up", "a", Tcp(OUTSIDE, A, 80, sport=40003)),
            Talk(self, "web85", "up", "a", Tcp(OUTSIDE, A, 85, sport=40004)),
            Talk(self, "dns", "up", "a", (udp(OUTSIDE, A, 53, sport=40005), udp(A, OUTSIDE, 40005, sport=53))),
            Talk(self, "ping", "up", "a", (ping(OUTSIDE, A), ping(A, OUTSIDE, reply=True))),
            Talk(self, "https", "a", "up", Tcp(A, OUTSIDE, 443, sport=40006)),
            Talk(self, "ntp", "a", "up", (udp(A, OUTSIDE, 123, sport=40007), udp(OUTSIDE, A, 40007, sport=123))),
            Talk(self, "database", "b", "a", Tcp(B, A, 5432, sport=40008)),
            Talk(self, "b-https", "b", "up", Tcp(B, OUTSIDE, 443, sport=40009)),
        ]
        for talk in self.talks:
            talk.open()

    def told(self, effect, rules=True):
        """The names of the conversations that would be cut; `rules`: by those that there were when they began."""
        assert effect["connections_unknown"] == [] and effect["n_connections_cut"] == len(effect["connections_cut"]), effect
        names = []
        for one in effect["connections_cut"]:
            found = [talk.name for talk in self.talks if self.matches(talk, one)]
            assert len(found) == 1, (one, found)
            names += found
            assert one["admitted_by"] == "rule" and one["reason"] is None
            by = ADMITTERS.get(found[0], found[0]) if one["server"] == self.servers["a"] else "client"
            assert not rules or one["rule"] == self.rules[by], (one, found)
        assert len(names) == len(set(names)) or "database" in names
        return set(names)

    def matches(self, talk, one):
        """Whether `one` is of `talk`: by both ends."""
        frame = talk.tcp or talk.frames[0]
        if talk.tcp:
            src, dst, sport, dport, protocol = frame.client, frame.server, frame.sport, frame.dport, "tcp"
            src, dst = (src.ip, dst.ip) if frame.family == 4 else (src.ip6, dst.ip6)
        else:
            ip = frame.payload
            src, dst, protocol = ip.src, ip.dst, {17: "udp", 1: "icmp"}[ip.proto]
            sport, dport = (ip.payload.sport, ip.payload.dport) if protocol == "udp" else (None, None)
        ends = ((src, sport), (dst, dport))
        local, remote = (one["local_ip"], one["local_port"]), (one["remote_ip"], one["remote_port"])
        return one["protocol"] == protocol and ends == ((local, remote) if one["direction"] == "outbound" else (remote, local))


@contextlib.contextmanager
def silent_socket(directory):
    """A socket whose owner takes connections and never says a word: how it is called, and the socket."""
    path = os.path.join(str(directory), "silent.ctl")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        listener.settimeout(30)
        yield f"unix:{path}", listener
    os.unlink(path)


@pytest.fixture(scope="module")
def scene(ovs, tmp_path_factory):
    lab = Lab(ovs, tmp_path_factory.mktemp("cuts"))
    try:
        lab.furnish()
        yield lab
    finally:
        print(lab.daemon.text()[-6000:])
        lab.close()


@pytest.fixture
def lab(scene):
    scene.talk()
    return scene


def group(name):
    return f"/v1/security-groups/{{groups[{name}]}}"


def rule(name, of="web"):
    return f"{group(of)}/rules/{{rules[{name}]}}"


ADMITTERS = {"ssh6": "ssh", "web80": "web", "web85": "web", "https": "out", "ntp": "out"}
ALL_OF_A = {"ssh", "ssh6", "web80", "web85", "dns", "ping", "https", "ntp", "database"}
# A change, and the conversations that it cuts.
CHANGES = {
    "a rule goes": ("DELETE", rule("ssh"), None, {"ssh", "ssh6"}),
    "a rule goes, and another one allows some of it": ("DELETE", rule("web"), None, {"web80"}),
    "a rule that lets out goes": ("DELETE", rule("out"), None, {"https", "ntp"}),
    "narrowed to one family": ("PATCH", rule("ssh"), {"remote_ip": "203.0.113.0/24"}, {"ssh6"}),
    "narrowed to other ports": ("PATCH", rule("web"), {"port_min": 81}, {"web80"}),
    "narrowed to elsewhere": ("PATCH", rule("dns"), {"remote_ip": "198.51.100.0/24"}, {"dns"}),
    "denied above": ("POST", group("more") + "/rules", {**IN, "action": "deny", "priority": 50, "protocol": "tcp", "remote_ip": "203.0.113.9"},
                     {"ssh", "web80", "web85"}),
    "denied below": ("POST", group("more") + "/rules", {**IN, "action": "deny", "priority": 500, "protocol": "any"}, set()),
    "widened": ("PATCH", rule("ssh"), {"port_max": 9999}, set()),
    "no more ping": ("PATCH", rule("ping"), {"icmp_type": 0, "icmp_code": 0}, {"ping"}),
    "a group is detached": ("PUT", "/v1/servers/{servers[a]}/security-groups", {"security_groups": ["{groups[more]}"]},
                            ALL_OF_A - {"web85", "database"}),
    "all groups are detached": ("PUT", "/v1/servers/{servers[a]}/security-groups", {"security_groups": []}, ALL_OF_A),
    "a member leaves the remote group": ("PUT", "/v1/servers/{servers[b]}/security-groups", {"security_groups": ["{groups[web]}"]}, {"database"}),
    "another default": ("PATCH", group("more"), {"default": True}, ALL_OF_A - {"web85", "database"} | {"database", "b-https"}),
    "the server goes": ("DELETE", "/v1/servers/{servers[a]}", None, ALL_OF_A),
    "the port goes": ("PATCH", "/v1/servers/{servers[a]}", {"ports": []}, ALL_OF_A),
    "an address goes": ("PATCH", "/v1/servers/{servers[a]}", {"ports": [{"bridge": DPID, "port": "a", "mac": A.mac, "ips": [A.ip]}]}, {"ssh6"}),
    "another VLAN": ("PATCH", "/v1/servers/{servers[a]}", {"ports": [{"bridge": DPID, "port": "a", "mac": A.mac, "ips": [A.ip, A.ip6], "vlan": 7}]},
                     ALL_OF_A),
    "a name": ("PATCH", "/v1/servers/{servers[a]}", {"name": "a1"}, set()),
    "the list is replaced": ("PUT", group("web") + "/rules", {"rules": [RULES["web"], RULES["out"], {**IN, "protocol": "udp"}]},
                             {"ssh", "ssh6", "ping"}),
}


def fill(lab, thing):
    if isinstance(thing, str):
        return thing.format(groups=lab.groups, rules=lab.rules, servers=lab.servers) if "{" in thing else thing
    if isinstance(thing, dict):
        return {key: fill(lab, value) for key, value in thing.items()}
    return [fill(lab, one) for one in thing] if isinstance(thing, list) else thing


RARER = {"a rule that lets out goes", "narrowed to other ports", "narrowed to elsewhere", "denied below", "widened", "no more ping",
         "all groups are detached", "the port goes", "a name"}


@pytest.mark.parametrize("change", [change for change in CHANGES if LONG or change not in RARER])
def test_as_told(lab, change):
    method, path, body, expected = CHANGES[change]
    path, body = fill(lab, path), fill(lab, body)
    told = lab.told(lab.dry(method, path, body))
    assert told == expected
    for talk in lab.talks:
        assert talk.goes_on(), talk.name  # Nothing has happened.
    made = lab.call(method, path, body).headers["Sallyport-Change"]
    try:
        stopped = {talk.name for talk in lab.talks if not talk.goes_on(half=change in ("an address goes", "another VLAN"))}
        assert stopped == told
        if change not in ("the server goes", "the port goes", "another VLAN"):  # What has stopped cannot be cut.
            assert lab.told(lab.dry("DELETE", fill(lab, "/v1/servers/{servers[a]}")), rules=False) == ALL_OF_A - stopped
    finally:
        lab.call("POST", f"/v1/changes/{made}/undo")


def test_taken_back(lab):
    """Undoing is a change as well: what it made allowed is cut by it."""
    made = lab.call("POST", f"/v1/security-groups/{lab.groups['web']}/rules", {**IN, "protocol": "tcp", "port_min": 7777}).headers["Sallyport-Change"]
    extra = Talk(lab, "extra", "up", "a", Tcp(OUTSIDE, A, 7777, sport=40020))
    extra.open()
    lab.talks.append(extra)
    assert lab.told(lab.dry("POST", f"/v1/changes/{made}/undo"), rules=False) == {"extra"}
    lab.call("POST", f"/v1/changes/{made}/undo")
    assert [talk.name for talk in lab.talks if not talk.goes_on()] == ["extra"]


def test_ended(lab):
    """A connection that has been reset is none any more, though the switch remembers it."""
    ssh = lab.talks[0]
    assert ssh.passes_frame(True, ssh.tcp.segment(True, "R"))
    assert lab.told(lab.dry("DELETE", fill(lab, rule("ssh")))) == {"ssh6"}


def test_many(lab):
    """All are counted, a hundred are told."""
    lab.send("up", *(udp(OUTSIDE, A, 53, sport=30000 + i) for i in range(150)))
    effect = lab.dry("DELETE", fill(lab, rule("dns")))
    assert effect["n_connections_cut"] == 151 and len(effect["connections_cut"]) == 100 and effect["connections_unknown"] == []


def test_what_is_new(lab):
    """A change that makes something, and a document: looked at twice, and nothing is made."""
    body = {"region": "SV2", "name": "new", "default": True}
    before = lab.api.get("/v1/security-groups").json
    assert lab.told(lab.dry("POST", "/v1/security-groups", body)) == ALL_OF_A - {"https", "ntp"}  # It lets out.
    document = lab.api.get("/v1/regions/SV2/document").json
    for group_ in document["security_groups"]:
        group_["rules"] = [one for one in group_["rules"] if one.get("port_min") != 22]
    answer = lab.api.put("/v1/regions/SV2/document?dry_run=true", document)
    assert lab.told(answer.json["effect"]) == {"ssh", "ssh6"} and len(answer.json["result"]["changes"]) == 2
    assert lab.api.get("/v1/security-groups").json == before


def test_many_at_once(lab):
    """More than are asked at a time: told, or that it is not known; never wrong."""
    path, effects = fill(lab, rule("ssh")), []
    threads = [threading.Thread(target=lambda: effects.append(lab.daemon.client().delete(path + "?dry_run=true").json["effect"])) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(effects) == len(threads)
    for effect in effects:
        if effect["n_connections_cut"] is None:
            assert unknown(effect) == ["too many connections are being listed; try again in a second or two"]
        else:
            assert lab.told(effect) == {"ssh", "ssh6"}
    assert any(effect["n_connections_cut"] for effect in effects)


@pytest.mark.skipif(not LONG, reason="sends thousands of packets")
def test_more_than_are_looked_at(lab):
    for first in range(0, 12000, 40):
        lab.send("up", *(udp(OUTSIDE, A, 53, sport=2000 + first + i) for i in range(40)))
    effect = lab.dry("DELETE", fill(lab, rule("dns")))
    assert effect["n_connections_cut"] > 1000 and len(effect["connections_cut"]) == 100
    assert effect["connections_unknown"] == [{"reason": "there are more connections than are looked at", "servers": [lab.servers["a"]], "n_servers": 1}]


def test_command_line(lab):
    def told(*words):
        return run(os.path.join(BUILD, "bin/sallyport"), "--url", f"http://{lab.daemon.address}", *words, "--dry-run").splitlines()

    lines = told("rule", "delete", "web", lab.rules["ssh"])
    at = lines.index("Live connections that would be cut: 2")
    assert lines[at + 1].split() == ["DIRECTION", "PROTOCOL", "REMOTE", "LOCAL", "STATE", "RULE", "SERVER"]
    ends = {4: (f"{OUTSIDE.ip}:40001", f"{A.ip}:22"), 6: (f"[{OUTSIDE.ip6}]:40002", f"[{A.ip6}]:22")}
    assert sorted(line.split() for line in lines[at + 2:]) == sorted(
        ["inbound", "tcp", *ends[family], "ESTABLISHED", lab.rules["ssh"], lab.servers["a"]] for family in (4, 6))
    lab.send("up", *(udp(OUTSIDE, A, 53, sport=30000 + i) for i in range(120)))
    lines = told("rule", "delete", "web", lab.rules["dns"])
    assert "Live connections that would be cut: 121" in lines and lines[-1] == "  and 21 more"
    assert told("server", "set", "a", "--name", "x")[-1] == "Live connections that would be cut: 0"
    lines = told("bridge", "set", f"{0xE2:016x}", "--uplink", "up")
    assert lines[-2:] == ["Live connections that would be cut: not known",
                          "  not known: a bridge is adopted: what passes through it until then is not tracked"]


def test_protocols_without_ports(lab):
    """GRE is judged by its addresses.  The userspace datapath does not know an SCTP association's ports: told only if they do not matter."""
    rules = [{**IN, "protocol": "gre"}, {**IN, "protocol": "sctp", "port_min": 7}, {**IN, "protocol": "sctp", "port_min": 8}]
    path = f"/v1/security-groups/{lab.groups['more']}/rules"
    made = lab.call("PUT", path, {"rules": rules})
    tunnel, seven, eight = (one["id"] for one in made.json["rules"])
    detached = lab.call("PUT", fill(lab, "/v1/servers/{servers[a]}/security-groups"), {"security_groups": [lab.groups["more"]]})
    try:
        lab.ovs.appctl("dpctl/flush-conntrack")
        assert "a" in lab.send("up", gre(OUTSIDE, A))
        effect = lab.dry("DELETE", f"{path}/{tunnel}")
        assert [one["protocol"] for one in effect["connections_cut"]] == ["gre"] and effect["connections_cut"][0]["remote_port"] is None
        assert "a" in lab.send("up", sctp(OUTSIDE, A, 7)) and "up" in lab.send("a", sctp(A, OUTSIDE, 40000, sport=7))
        effect = lab.dry("DELETE", f"{path}/{eight}")
        assert effect["n_connections_cut"] == 0 and effect["connections_unknown"] == []  # It is of a rule that stays.
        effect = lab.dry("DELETE", f"{path}/{seven}")
        assert effect["n_connections_cut"] is None and effect["connections_cut"] == []
        assert effect["connections_unknown"] == [{"reason": "the switch does not tell the ports of some SCTP associations",
                                                  "servers": [lab.servers["a"]], "n_servers": 1}]
        effect = lab.dry("PUT", path, {"rules": rules[:1]})
        assert [one["protocol"] for one in effect["connections_cut"]] == ["sctp"] and effect["connections_unknown"] == []
        lab.call("PUT", path, {"rules": rules[:1]})
        assert "a" not in lab.send("up", sctp(OUTSIDE, A, 7)) and "up" not in lab.send("a", sctp(A, OUTSIDE, 40000, sport=7))
        assert "a" in lab.send("up", gre(OUTSIDE, A))
        lab.call("POST", f"/v1/changes/{lab.api.get('/v1/changes?limit=1').json['changes'][0]['id']}/undo")
    finally:
        for change in (detached, made):
            lab.call("POST", f"/v1/changes/{change.headers['Sallyport-Change']}/undo")


def test_without_port_security(lab):
    """Whoever has no address of his own may be either end: by a rule's mark it is known which, else only what both ways say alike."""
    path = fill(lab, "/v1/servers/{servers[a]}")
    plain = {"bridge": DPID, "port": "a", "mac": A.mac, "ips": [A.ip, A.ip6]}
    opened = lab.call("PATCH", path, {"ports": [{**plain, "port_security": False}]})
    try:
        strange = End(A.mac, "10.9.9.9", "2001:db8:9::9")
        assert "a" in lab.send("up", udp(OUTSIDE, strange, 53, sport=40030))
        assert "10.9.9.9" in [one["local_ip"] for one in lab.dry("DELETE", fill(lab, rule("dns")))["connections_cut"]]
        effect = lab.dry("PATCH", path, {"ports": [plain]})
        assert [one["local_ip"] for one in effect["connections_cut"]] == ["10.9.9.9"]
        narrowed = lab.call("DELETE", fill(lab, rule("dns")))
        assert "a" not in lab.send("up", udp(OUTSIDE, strange, 53, sport=40030))
        effect = lab.dry("DELETE", path)  # Inbound it has stopped, outbound it would not have.
        assert [one["reason"] for one in effect["connections_unknown"]] == ["it is not known who opened some connections"]
        lab.call("POST", f"/v1/changes/{narrowed.headers['Sallyport-Change']}/undo")
    finally:
        lab.call("POST", f"/v1/changes/{opened.headers['Sallyport-Change']}/undo")


def unknown(effect):
    """Why nothing is known; it is never a number then."""
    assert effect["n_connections_cut"] is None and effect["connections_cut"] == [], effect
    return [one["reason"] for one in effect["connections_unknown"]]


def test_bridges(lab):
    """What goes through a bridge and is no server's is not tracked."""
    adopted, released = "a bridge is adopted: what passes through it until then is not tracked", "a bridge is released: what passes through it then depends on others"
    other = f"/v1/bridges/{0xE2:016x}"
    assert unknown(lab.dry("PUT", other, {"uplinks": []})) == [adopted]
    lab.call("PUT", other, {"uplinks": []})
    assert unknown(lab.dry("DELETE", other)) == [released]
    lab.call("DELETE", other)
    assert unknown(lab.dry("PUT", f"/v1/bridges/{DPID}", {"uplinks": []})) == ["an uplink goes: which connections use it is not known"]
    effect = lab.dry("PUT", f"/v1/bridges/{DPID}", {"uplinks": ["up", "up2"]})
    assert effect["n_connections_cut"] == 0 and effect["connections_unknown"] == []


def test_ports_nowhere(lab):
    """A port that its bridge does not have; one whose bridge is away, where it may have connections."""
    nowhere = {"bridge": DPID, "port": "nowhere", "mac": "02:00:00:00:00:03", "ips": ["10.0.0.3"]}
    away = {"bridge": f"{0xE3:016x}", "port": "away", "mac": "02:00:00:00:00:04", "ips": ["10.0.0.4"]}
    server = lab.made("/v1/servers", {"region": "SV2", "name": "c", "security_groups": [lab.groups["web"]], "ports": [nowhere]})
    effect = lab.dry("DELETE", f"/v1/servers/{server}")
    assert effect["n_connections_cut"] == 0 and effect["connections_unknown"] == []
    lab.call("PATCH", f"/v1/servers/{server}", {"ports": [away]})
    assert unknown(lab.dry("DELETE", f"/v1/servers/{server}")) == ["it is on no bridge that is connected"]
    effect = lab.dry("DELETE", fill(lab, rule("ssh")))  # Some are known: at least those.
    assert effect["n_connections_cut"] == 2 and effect["connections_unknown"] == [
        {"reason": "it is on no bridge that is connected", "servers": [server], "n_servers": 1}]
    lab.call("DELETE", f"/v1/servers/{server}")
    lab.call("DELETE", f"/v1/bridges/{away['bridge']}")


restarts = pytest.mark.skipif(not LONG, reason="restarts the controller")


@restarts
def test_other_sockets(lab):
    """One that is not there, and a silent one."""
    drop = fill(lab, rule("ssh"))
    with silent_socket(lab.daemon.directory) as (silent, _):
        for control, why in ((f"unix:{lab.daemon.directory}/none", ""), (silent, "no answer in 5 s")):
            lab.restart(control)
            effect = lab.dry("DELETE", drop)
            reasons = unknown(effect)
            assert len(reasons) == 1 and reasons[0].startswith("the switch cannot be asked for its connections: " + why), reasons
            assert effect["connections_unknown"][0]["servers"] == [lab.servers["a"]] and effect["connections_unknown"][0]["n_servers"] == 1
            effect = lab.dry("PATCH", fill(lab, group("web")), {"description": "x"})  # Nobody need be asked to know that.
            assert effect["n_connections_cut"] == 0 and effect["connections_unknown"] == []
    lab.restart(f"unix:{lab.ovs.directory}")
    assert lab.told(lab.dry("DELETE", drop)) == {"ssh", "ssh6"}


@restarts
def test_stopping_meanwhile(lab):
    """Whoever waits for a switch is told, and the end need not wait."""
    drop, answers = fill(lab, rule("ssh")) + "?dry_run=true", []
    with silent_socket(lab.daemon.directory) as (silent, listener):
        lab.restart(silent)
        thread = threading.Thread(target=lambda: answers.append(lab.daemon.client().delete(drop)))
        thread.start()
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(1)  # It is being asked.
            assert lab.daemon.stop() == 0, lab.daemon.text()
        thread.join(30)
    assert answers[0].status == 503 and answers[0].json["detail"] == "The controller is stopping."
    lab.restart(f"unix:{lab.ovs.directory}")
