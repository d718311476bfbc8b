"""Live connections: what a real switch tracks of a server, each with the rule that admitted it; and that a control socket of another
switch, one that is silent, or none at all, never gives a wrong answer."""

import contextlib
import json
import os
import socket
import sys
import threading

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "api"))

from conftest import BUILD  # noqa: E402
from daemon import Daemon  # noqa: E402
from ovs import Ovs, run, wait_until  # noqa: E402
from packets import End, Tcp, fragments, gre, ping, sctp, tcp, udp  # noqa: E402
from wire import SENTINEL_FLOW, Wire  # noqa: E402

OUTSIDE = End("02:00:00:00:ff:01", "203.0.113.9", "2001:db8:ff::9")
A = End("02:00:00:00:00:01", "10.0.0.1", "2001:db8::1")
B = End("02:00:00:00:00:02", "10.0.0.2", "2001:db8::2")
AWAY = "no control socket given by --switch-control is of a switch that has this port's flows"
GONE = "the rule that admitted it has changed or gone: its next packet is judged again"

# Bridges, by what a test calls them: the switch, the bridge's name there, its datapath id, and its ports in their order.
BRIDGES = {
    "here": ("near", "br0", 0xC1, ("a", "b", "up")),
    "beside": ("near", "br1", 0xC2, ("a1", "up1")),  # On the same switch and in the same datapath.
    "elsewhere": ("far", "br0", 0xC3, ("a", "b", "up")),  # Of the same name, with the same ports, MACs and addresses.
}
SERVERS = {"a": ("here", "a", A), "b": ("here", "b", B), "beside": ("beside", "a1", A), "elsewhere": ("elsewhere", "a", A)}


class Lab:
    def __init__(self, near, far, directory, *controls):
        self.switches = {"near": near, "far": far}
        self.daemon = Daemon(directory, *(word for control in controls for word in ("--switch-control", control))).start()
        self.api = self.daemon.client()
        assert self.api.put("/v1/regions/SV2").status == 201
        self.wires, self.groups, self.servers, self.listeners = {}, {}, {}, {}
        for bridge, (switch, name, dpid, ports) in BRIDGES.items():
            ovs = self.switches[switch]
            ovs.add_bridge(name, dpid=dpid)
            ovs.set_controllers(name, f"unix:{self.daemon.openflow}")
            self.connected(bridge)
            wire = self.wires.setdefault(switch, None) or Wire(ovs.add_host("wire", ipv6=False))
            self.wires[switch] = wire
            for port in ports:
                ovs.add_port(name, port, wire.host, interface=port)
                wire.attach(port)
            self.listeners[bridge] = list(ports)
            assert self.api.put(f"/v1/bridges/{dpid:016x}?wait=30", {"uplinks": [ports[-1]]}).status in (200, 201)
            ovs.ofctl("add-flow", name, SENTINEL_FLOW)
        for name, (bridge, port, who) in SERVERS.items():
            self.groups[name] = self.made("/v1/security-groups", {"region": "SV2", "name": name, "rules": []})
            place = {"bridge": f"{BRIDGES[bridge][2]:016x}", "port": port, "mac": who.mac, "ips": [who.ip, who.ip6]}
            self.servers[name] = self.made("/v1/servers", {"region": "SV2", "name": name, "security_groups": [self.groups[name]], "ports": [place]})

    def made(self, path, body):
        answer = self.api.post(f"{path}?wait=30", body)
        assert answer.status == 201 and answer.applied, answer
        return answer.json["id"]

    def connected(self, bridge):
        path = f"/v1/bridges/{BRIDGES[bridge][2]:016x}"

        def look():
            answer = self.daemon.client().get(path)
            return answer.status == 200 and answer.json["connected"] and answer.json["flows"]["desired"] == answer.json["flows"]["installed"]

        wait_until(look, f"bridge {bridge} is connected and whole", 60)

    def restart(self, *controls):
        """With other control sockets."""
        assert self.daemon.stop() == 0, self.daemon.text()
        self.daemon.options = [word for control in controls for word in ("--switch-control", control)]
        self.daemon.start()
        self.api = self.daemon.client()
        for bridge in BRIDGES:
            self.connected(bridge)

    def close(self):
        for wire in self.wires.values():
            wire.close()
        self.daemon.close()

    def rules(self, name, *rules):
        """Replaces the rules of the group of server `name`; returns their ids."""
        answer = self.api.put(f"/v1/security-groups/{self.groups[name]}/rules?wait=30", {"rules": list(rules)})
        assert answer.status == 200 and answer.applied, answer
        self.switches[BRIDGES[SERVERS[name][0]][0]].await_datapath()
        return [rule["id"] for rule in answer.json["rules"]]

    def forget(self):
        for ovs in self.switches.values():
            ovs.appctl("dpctl/flush-conntrack")

    def send(self, bridge, port, *frames):
        """Sends frames, and returns the ports that heard something."""
        wire = self.wires[BRIDGES[bridge][0]]
        return set(wire.exchange(*((port, bytes(frame)) for frame in frames), listeners=self.listeners[bridge]))

    def talk(self, bridge, client, server, connection):
        """A TCP handshake between two ports."""
        for from_client, frame in connection.handshake():
            assert (server if from_client else client) in self.send(bridge, client if from_client else server, frame)

    def ask(self, name, query=""):
        return self.daemon.client().get(f"/v1/servers/{self.servers[name]}/connections{query}")

    def connections(self, name):
        answer = self.ask(name)
        assert answer.status == 200 and answer.json["available"] and answer.json["reason"] is None, answer
        assert not answer.json["more"]
        return answer.json["connections"]

    def found(self, name, **fields):
        """The one connection with `fields`."""
        there = [one for one in self.connections(name) if fields.items() <= one.items()]
        assert len(there) == 1, (fields, self.connections(name))
        return there[0]


@contextlib.contextmanager
def silent_socket(directory, name="silent.ctl"):
    """A socket whose owner takes connections and never says a word: how it is called, and the socket."""
    path = os.path.join(str(directory), name)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        listener.settimeout(30)
        yield f"unix:{path}", listener


class Patient(threading.Thread):
    """Asks for what will not be told, and waits meanwhile."""

    def __init__(self, lab, name):
        super().__init__(daemon=True)
        self.lab, self.name_of_server, self.answer = lab, name, None

    def run(self):
        with contextlib.suppress(OSError):  # The daemon has ended meanwhile: nobody wants to know any more.
            self.answer = self.lab.ask(self.name_of_server)


@pytest.fixture(scope="module")
def scene(ovs, tmp_path_factory):
    directory = tmp_path_factory.mktemp("live")
    with Ovs() as far, silent_socket(directory) as (silent, _):
        far.vsctl("set", "Open_vSwitch", ".", "other_config:max-revalidator=100")
        # By its directory, as its name has a process id in it; here it has none.
        lab = Lab(ovs, far, directory, f"unix:{ovs.directory}", silent)
        patient = Patient(lab, "elsewhere")
        patient.start()
        try:
            yield lab, patient
        finally:
            print(lab.daemon.text()[-6000:])
            lab.close()


@pytest.fixture
def lab(scene):
    scene[0].forget()
    return scene[0]


INBOUND = {"direction": "inbound"}
OUTBOUND = {"direction": "outbound"}


@pytest.mark.parametrize("family", (4, 6))
def test_who_opened_what(lab, family):
    icmp = "icmp" if family == 4 else "icmpv6"
    rules = ({**INBOUND, "protocol": "tcp", "port_min": 22}, {**OUTBOUND, "protocol": "tcp", "port_min": 443},
             {**INBOUND, "protocol": "udp", "port_min": 53}, {**OUTBOUND, "protocol": "udp", "port_min": 123},
             {**INBOUND, "protocol": icmp}, {**OUTBOUND, "protocol": icmp}, {**OUTBOUND, "protocol": "gre"},
             {**INBOUND, "protocol": "sctp", "port_min": 7})
    ssh, https, dns, ntp, ping_in, ping_out, tunnel, association = lab.rules("a", *rules)
    lab.talk("here", "up", "a", Tcp(OUTSIDE, A, 22, sport=40001, family=family))
    lab.talk("here", "a", "up", Tcp(A, OUTSIDE, 443, sport=40002, family=family))
    for port, frame in (("up", udp(OUTSIDE, A, 53, sport=40003, family=family)), ("a", udp(A, OUTSIDE, 123, sport=40004, family=family)),
                        ("up", ping(OUTSIDE, A, family, ident=5)), ("a", ping(A, OUTSIDE, family, ident=6)), ("a", gre(A, OUTSIDE, family)),
                        ("up", sctp(OUTSIDE, A, 7, family=family)), ("up", udp(OUTSIDE, A, 54, family=family))):
        lab.send("here", port, frame)
    there, own = (OUTSIDE.ip, A.ip) if family == 4 else (OUTSIDE.ip6, A.ip6)
    no_icmp = {"icmp_type": None, "icmp_code": None, "icmp_id": None}
    no_ports = {"remote_port": None, "local_port": None}
    kind = 8 if family == 4 else 128
    for rule, fields in (
            (ssh, {**INBOUND, "protocol": "tcp", "remote_port": 40001, "local_port": 22, "state": "ESTABLISHED", **no_icmp}),
            (https, {**OUTBOUND, "protocol": "tcp", "remote_port": 443, "local_port": 40002, "state": "ESTABLISHED", **no_icmp}),
            (dns, {**INBOUND, "protocol": "udp", "remote_port": 40003, "local_port": 53, "state": None, **no_icmp}),
            (ntp, {**OUTBOUND, "protocol": "udp", "remote_port": 123, "local_port": 40004, "state": None, **no_icmp}),
            (ping_in, {**INBOUND, "protocol": icmp, "icmp_type": kind, "icmp_code": 0, "icmp_id": 5, "state": None, **no_ports}),
            (ping_out, {**OUTBOUND, "protocol": icmp, "icmp_type": kind, "icmp_code": 0, "icmp_id": 6, "state": None, **no_ports}),
            (tunnel, {**OUTBOUND, "protocol": "gre", **no_ports, **no_icmp}),
            (association, {**INBOUND, "protocol": "sctp", **no_icmp})):
        one = lab.found("a", rule=rule)
        expected = {"remote_ip": there, "local_ip": own, "admitted_by": "rule", "group": lab.groups["a"], "reason": None, **fields}
        assert expected.items() <= one.items(), one
        assert 0 <= one["timeout"] <= 86400
    assert len(lab.connections("a")) == len(rules)  # What is denied is no connection.
    assert lab.connections("b") == lab.connections("beside") == []


def test_between_two_servers(lab):
    """Each has it in its own list, with its own rule."""
    leaving, = lab.rules("a", {**OUTBOUND, "protocol": "tcp"})
    entering, = lab.rules("b", {**INBOUND, "protocol": "tcp", "port_min": 80})
    lab.talk("here", "a", "b", Tcp(A, B, 80))
    common = {"protocol": "tcp", "state": "ESTABLISHED", "admitted_by": "rule"}
    one = lab.found("a", **OUTBOUND, **common)
    assert (one["rule"], one["local_ip"], one["remote_ip"], one["remote_port"]) == (leaving, A.ip, B.ip, 80)
    one = lab.found("b", **INBOUND, **common)
    assert (one["rule"], one["local_ip"], one["local_port"], one["remote_ip"]) == (entering, B.ip, 80, A.ip)
    assert len(lab.connections("a")) == len(lab.connections("b")) == 1


def test_revoked(lab):
    """Nobody admits it any more; a rule that allows it is named once it has been judged."""
    ssh = {**INBOUND, "protocol": "tcp", "port_min": 22}
    lab.rules("a", ssh)
    connection = Tcp(OUTSIDE, A, 22)
    lab.talk("here", "up", "a", connection)
    lab.rules("a")
    dead = lab.found("a", protocol="tcp", local_port=22)
    assert (dead["admitted_by"], dead["rule"], dead["group"], dead["reason"]) == (None, None, None, GONE)
    assert dead["direction"] == "inbound" and dead["remote_ip"] == OUTSIDE.ip
    assert not lab.send("here", "up", connection.segment(True, "PA", b"more"))
    assert lab.found("a", protocol="tcp", local_port=22)["rule"] is None
    every, = lab.rules("a", {**INBOUND, "protocol": "any", "remote_ip": "203.0.113.0/24"})
    assert lab.found("a", protocol="tcp", local_port=22)["rule"] is None
    assert lab.send("here", "up", connection.segment(True, "A")) == {"a"}
    assert lab.found("a", protocol="tcp", local_port=22)["rule"] == every


def test_two_groups(lab):
    """The rule is the one that decides, with its own group."""
    group = lab.made("/v1/security-groups", {"region": "SV2", "name": "second", "rules": [{**INBOUND, "protocol": "udp"}]})
    lab.rules("a", {**INBOUND, "protocol": "udp", "port_min": 5, "priority": 200}, {**INBOUND, "protocol": "tcp"})
    path = f"/v1/servers/{lab.servers['a']}/security-groups?wait=30"
    assert lab.api.put(path, {"security_groups": [lab.groups["a"], group]}).applied
    try:
        lab.switches["near"].await_datapath()
        lab.send("here", "up", udp(OUTSIDE, A, 5))
        one = lab.found("a", protocol="udp", local_port=5)
        assert one["group"] == group
    finally:
        assert lab.api.put(path, {"security_groups": [lab.groups["a"]]}).applied
    assert lab.api.delete(f"/v1/security-groups/{group}").status == 204
    assert lab.found("a", protocol="udp", local_port=5)["admitted_by"] is None


def test_fragments(lab):
    """Whoever comes last of a datagram's fragments marks the connection; a later one does not know its rule."""
    rule, = lab.rules("a", {**INBOUND, "protocol": "udp", "port_min": 53})
    first, second = fragments(udp(OUTSIDE, A, 53, size=2000))
    lab.send("here", "up", second)
    assert "a" in lab.send("here", "up", first)
    one = lab.found("a", protocol="udp")
    assert one["admitted_by"] in ("fragments", "rule") and (one["rule"] in (None, rule)) and one["direction"] == "inbound"
    assert (one["rule"] is None) == (one["admitted_by"] == "fragments") == (one["reason"] is not None)
    lab.rules("a")
    assert lab.found("a", protocol="udp")["admitted_by"] is None


def test_two_bridges_of_one_switch(lab):
    """They share a datapath; each port has its own connections, though MAC and addresses are the same."""
    rule, = lab.rules("beside", {**INBOUND, "protocol": "udp"})
    lab.rules("a", {**INBOUND, "protocol": "udp"})
    lab.send("beside", "up1", udp(OUTSIDE, A, 77))
    assert lab.found("beside", local_port=77)["rule"] == rule
    assert lab.connections("a") == []
    lab.send("here", "up", udp(OUTSIDE, A, 78))
    assert [one["local_port"] for one in lab.connections("a")] == [78]
    assert [one["local_port"] for one in lab.connections("beside")] == [77]


def test_whose_addresses(lab):
    """What comes to its MAC for an address that it does not have is none of its connections; what goes to many is."""
    rule, = lab.rules("a", {**INBOUND, "protocol": "udp"})
    strange, many = End(A.mac, "10.9.9.9", "2001:db8:9::9"), End("01:00:5e:01:01:01", "239.1.1.1", "ff02::1:3")
    assert "a" in lab.send("here", "up", udp(OUTSIDE, strange, 5), udp(OUTSIDE, many, 6))
    assert [(one["local_port"], one["rule"]) for one in lab.connections("a")] == [(6, rule)]


def test_a_port_without_port_security(lab):
    """Its addresses are anybody's, so only the rule tells who opened what."""
    path, strange = f"/v1/servers/{lab.servers['a']}", End(A.mac, "10.9.9.9", "2001:db8:9::9")
    port, = lab.api.get(path).json["ports"]
    plain = {key: port[key] for key in ("mac", "ips", "bridge", "port")}
    assert lab.api.patch(path + "?wait=30", {"ports": [{**plain, "port_security": False}]}).applied
    try:
        rules = lab.rules("a", {**INBOUND, "protocol": "udp"}, {**OUTBOUND, "protocol": "udp"})
        lab.send("here", "up", udp(OUTSIDE, strange, 5))
        lab.send("here", "a", udp(strange, OUTSIDE, 6, sport=40001))
        ways = {one["rule"]: (one["direction"], one["local_ip"], one["remote_ip"]) for one in lab.connections("a")}
        assert ways == {rules[0]: ("inbound", strange.ip, OUTSIDE.ip), rules[1]: ("outbound", strange.ip, OUTSIDE.ip)}
        lab.rules("a")
        assert [one["direction"] for one in lab.connections("a")] == [None, None]
    finally:
        assert lab.api.patch(path + "?wait=30", {"ports": [plain]}).applied


def test_limit(lab):
    lab.rules("a", {**INBOUND, "protocol": "udp"})
    lab.send("here", "up", *(udp(OUTSIDE, A, 1000 + i) for i in range(5)))
    assert len(lab.connections("a")) == 5
    for limit in range(1, 6):
        answer = lab.ask("a", f"?limit={limit}").json
        assert answer["available"] and len(answer["connections"]) == limit and answer["more"] == (limit < 5)


def test_many_at_once(lab):
    """More than are asked at a time: answered, or told to come back; never wrong."""
    rule, = lab.rules("a", {**INBOUND, "protocol": "udp"})
    lab.send("here", "up", udp(OUTSIDE, A, 9))
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(lab.ask("a"))) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(answers) == len(threads)
    for answer in answers:
        if answer.status == 429:
            assert answer.headers["Retry-After"]
        else:
            assert answer.status == 200 and [one["rule"] for one in answer.json["connections"]] == [rule]
    assert any(answer.status == 200 for answer in answers)


def cli(lab, *words):
    return run(os.path.join(BUILD, "bin/sallyport"), "--url", f"http://{lab.daemon.address}", *words)


def test_command_line(lab):
    ssh, any_out = lab.rules("a", {**INBOUND, "protocol": "tcp", "port_min": 22}, {**OUTBOUND, "protocol": "any"})
    assert cli(lab, "connections", "a") == "There is no connection.\n"
    lab.talk("here", "up", "a", Tcp(OUTSIDE, A, 22, family=6))
    lab.send("here", "a", ping(A, OUTSIDE))
    lines = cli(lab, "connections", "a").splitlines()
    assert lines[0].split() == ["DIRECTION", "PROTOCOL", "REMOTE", "LOCAL", "STATE", "TIMEOUT", "ADMITTED", "BY", "RULE"]
    rows = sorted(line.split() for line in lines[1:])
    assert [row[:5] for row in rows] == [["inbound", "tcp", f"[{OUTSIDE.ip6}]:40000", f"[{A.ip6}]:22", "ESTABLISHED"],
                                         ["outbound", "icmp", OUTSIDE.ip, A.ip, "type"]]
    assert rows[0][7:] == ["a:", "tcp", "22", ssh] and rows[1][-4:] == ["a:", "any", "all", any_out]
    assert len(json.loads(cli(lab, "--json", "connections", "a"))["connections"]) == 2


def test_a_socket_that_is_silent(scene):
    """It may be that of the server's switch, so nothing can be said; whose switch answers need not wait for it."""
    lab, patient = scene
    patient.join(60)
    answer = patient.answer
    assert answer.status == 504, answer
    assert answer.json["detail"] == "The switch cannot be asked for its connections: no answer in 5 s."
    assert "silent.ctl: no answer in 5 s" in lab.daemon.text()
    assert lab.ask("a").status == 200


def test_other_sockets(lab):
    """Only of another switch with a bridge of that name and the same port on it; of both; of one that has ended; of none at all."""
    near, far = lab.switches["near"], lab.switches["far"]
    for name in ("a", "elsewhere"):
        lab.rules(name, {**INBOUND, "protocol": "udp"})
    lab.send("here", "up", udp(OUTSIDE, A, 5))
    lab.send("elsewhere", "up", udp(OUTSIDE, A, 6))
    lab.restart(f"unix:{far.path('ovs-vswitchd.ctl')}")
    for name in ("a", "b", "beside"):
        answer = lab.ask(name).json
        assert not answer["available"] and answer["reason"] == AWAY and answer["connections"] == []
    assert [one["local_port"] for one in lab.connections("elsewhere")] == [6]
    lab.restart(f"unix:{far.directory}", f"unix:{near.directory}")
    assert [one["local_port"] for one in lab.connections("elsewhere")] == [6]
    assert [one["local_port"] for one in lab.connections("a")] == [5]
    lab.restart(f"unix:{near.directory}", f"unix:{lab.daemon.directory}/none")
    assert [one["local_port"] for one in lab.connections("a")] == [5]
    answer = lab.ask("elsewhere")
    assert answer.status == 503 and answer.json["detail"].endswith(": No such file or directory.")
    lab.restart(f"unix:{near.directory}")
    assert lab.ask("elsewhere").json["reason"] == AWAY
    lab.switches["near"].kill_switch()
    try:
        wait_until(lambda: not lab.ask("a").json.get("available"), "the switch is seen to be gone", 30)
        answer = lab.ask("a")
        assert answer.status == 503 or answer.json["reason"] == "it is on no bridge that is connected"
    finally:
        lab.switches["near"].revive_switch()
    for bridge in BRIDGES:
        lab.connected(bridge)
    near.ofctl("add-flow", "br0", SENTINEL_FLOW)
    lab.send("here", "up", udp(OUTSIDE, A, 7))
    assert [one["local_port"] for one in lab.connections("a")] == [7]  # The new process's socket was found.


def test_stopping_meanwhile(lab):
    """Whoever waits for a switch is told, and the end need not wait."""
    with silent_socket(lab.daemon.directory, "s") as (control, listener):
        lab.restart(control)
        patient = Patient(lab, "a")
        patient.start()
        connection, _ = listener.accept()  # The switch is being asked.
        with connection:
            assert connection.recv(1)
            assert lab.daemon.stop() == 0, lab.daemon.text()
        patient.join(30)
        assert patient.answer.status == 503 and patient.answer.json["detail"] == "The controller is stopping."
