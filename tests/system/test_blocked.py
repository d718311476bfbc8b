"""Blocked attempts: what a real switch denies is listed, and only that, for each protocol and direction; whatever comes, the
daemon, the switch and the other ports go on; and the meters, without which nothing is reported, come back when they go."""

import hashlib
import os
import re
import socket
import struct
import sys
import threading
import time

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "api"))

from conftest import BUILD, telling  # noqa: E402
from daemon import Daemon  # noqa: E402
from test_events import Stream  # noqa: E402
from ovs import Ovs, inside, run, wait_until  # noqa: E402
from packets import OUTSIDE, Dot1Q, End, Ether, Tcp, gre, ping, sctp, tcp, udp  # noqa: E402
from wire import SENTINEL_FLOW, Wire  # noqa: E402

DPID = "00000000000000b1"
METERS, FIRST = 64, 0x53500000
NEXT_DOOR = End("02:00:00:00:ff:02", "203.0.113.10", "2001:db8:ff::a")
A = End("02:00:00:00:00:01", "10.0.0.1", "2001:db8::1")
B = End("02:00:00:00:00:02", "10.0.0.2", "2001:db8::2")
C = End("02:00:00:00:00:03", "10.0.0.3", "2001:db8::3")
RESEND_S = 0.25  # A meter lets five a second pass (SP_METER_RATE).
MARKER = 9  # A port that no rule of these tests allows.


class Lab:
    """A bridge with the servers a, b, c (in VLAN 7) and an uplink, and a daemon."""

    def __init__(self, ovs, directory, meters_of_others=()):
        self.ovs = ovs
        tokens = os.path.join(str(directory), "tokens")
        with open(tokens, "w", encoding="ascii") as file:
            for name, regions in (("here", "SV2"), ("there", "TY2")):
                file.write(f"{name} read {regions} sha256:{hashlib.sha256(name.encode()).hexdigest()}\n")
            file.write("whole\n")
        self.daemon = Daemon(directory, "--token-file", tokens).start()
        self.daemon.token = "whole"
        self.api = self.daemon.client()
        self.wire = Wire(ovs.add_host("wire", ipv6=False))
        ovs.add_bridge("br0", dpid=int(DPID, 16))
        ovs.set_controllers("br0", f"unix:{self.daemon.openflow}")
        wait_until(lambda: self.api.get(f"/v1/bridges/{DPID}").status == 200, "the bridge connects", 20)
        for meter in meters_of_others:  # set-controller has flushed those that were there.
            self.meter("add-meter", meter)
        for name in ("a", "b", "c", "up"):
            ovs.add_port("br0", name, self.wire.host, interface=name)
            self.wire.attach(name)
        assert self.api.put("/v1/regions/SV2").status == 201
        assert self.api.put(f"/v1/bridges/{DPID}?wait=30", {"uplinks": ["up"]}).status in (200, 201)
        self.groups, self.servers = {}, {}
        for name, who in (("a", A), ("b", B), ("c", C)):
            self.groups[name] = self.made(self.api.post("/v1/security-groups?wait=30", {"region": "SV2", "name": name, "rules": []}))
            port = {"bridge": DPID, "port": name, "mac": who.mac, "ips": [who.ip, who.ip6], **({"vlan": 7} if name == "c" else {})}
            body = {"region": "SV2", "name": name, "security_groups": [self.groups[name]], "ports": [port]}
            self.servers[name] = self.made(self.api.post("/v1/servers?wait=30", body))
        ovs.ofctl("add-flow", "br0", SENTINEL_FLOW)

    @staticmethod
    def made(answer):
        assert answer.status == 201 and answer.applied, answer
        return answer.json["id"]

    def close(self):
        self.wire.close()
        self.daemon.close()

    def rules(self, name, *rules):
        """Replaces the rules of the group of server `name`; returns their ids."""
        answer = self.daemon.client().put(f"/v1/security-groups/{self.groups[name]}/rules?wait=30", {"rules": list(rules)})
        assert answer.status == 200 and answer.applied, answer
        self.ovs.await_datapath()
        return [rule["id"] for rule in answer.json["rules"]]

    def report(self, on):
        answer = self.api.patch("/v1/regions/SV2?wait=30", {"report_blocked": on})
        assert answer.status == 200 and answer.applied and answer.json["report_blocked"] is on, answer
        self.ovs.await_datapath()

    def forget(self):
        self.ovs.appctl("dpctl/flush-conntrack")
        self.report(False)
        self.report(True)
        assert self.blocked("a") == self.blocked("b") == self.blocked("c") == []

    def blocked(self, name):
        answer = self.daemon.client().get(f"/v1/blocked?server={self.servers[name]}")
        assert answer.status == 200 and answer.json["sampled"] is True
        return answer.json["blocked"]

    def listed(self, name, port, frame, **fields):
        """The entry of server `name` with `fields`, after `frame` has been sent from `port` often enough to be seen, and no oftener
        than the port's meter lets pass, or nothing would be left for the next test's.  It comes to nobody."""
        sent_s = None

        def look():
            nonlocal sent_s
            if sent_s is None or time.monotonic() > sent_s + RESEND_S:
                heard = self.wire.exchange((port, bytes(frame)))
                assert not heard, f"denied, and came to {list(heard)}"
                sent_s = time.monotonic()
            return next((entry for entry in self.blocked(name) if fields.items() <= entry.items()), None)

        return wait_until(look, f"{fields} is listed, not {self.blocked(name)}", 20)

    def listed_once(self, name, port, frame, **fields):
        """The same after `frame` has been sent just once: its report comes some time after it, and a second one would count.  What was
        sent before may have left the port's meter nothing."""
        time.sleep(RESEND_S)
        heard = self.wire.exchange((port, bytes(frame)))
        assert not heard, f"denied, and came to {list(heard)}"

        def look():
            return next((entry for entry in self.blocked(name) if {**fields, "count": 1}.items() <= entry.items()), None)

        return wait_until(look, f"{fields} is listed once, not {self.blocked(name)}", 20)

    def nothing_else(self, name, *expected):
        """All that is listed of server `name` has the fields of one of `expected`; a denied packet, sent last, says when to look."""
        self.listed(name, "up", udp(OUTSIDE, {"a": A, "b": B}[name], MARKER), protocol="udp", local_port=MARKER)
        marker = {"protocol": "udp", "local_port": MARKER}
        strange = [entry for entry in self.blocked(name) if not any(fields.items() <= entry.items() for fields in (*expected, marker))]
        assert not strange, strange

    def meter(self, command, *words):
        return self.ovs.ofctl(command, "br0", *words)

    def meters(self):
        """Our meters as the switch has them, {number: what it does}."""
        text = self.meter("dump-meters")
        found = re.findall(r"meter=(\d+) (.*?)\n(.*)", text)
        return {int(number): f"{flags} {band}" for number, flags, band in found if FIRST <= int(number) < FIRST + METERS}

    def bridge(self):
        return self.daemon.client().get(f"/v1/bridges/{DPID}").json

    def whole(self):
        """Waits until the bridge has all its flows and meters."""
        def look():
            flows = self.bridge()["flows"]
            return self.bridge()["connected"] and flows["desired"] == flows["installed"] and len(self.meters()) == METERS

        wait_until(look, f"all flows and meters are there: {self.bridge()}", 60)


@pytest.fixture(scope="module")
def lab(ovs, tmp_path_factory):
    with telling(Lab(ovs, tmp_path_factory.mktemp("blocked"))) as lab:
        yield lab


ALLOW_SSH = {"direction": "inbound", "protocol": "tcp", "port_min": 22}
DEFAULT = {"direction": "inbound", "rule": None, "group": None, "reason": "no rule of its groups allows it: denied by default"}
REFUSED = {"reason": "a rule denies it"}


@pytest.mark.parametrize("family", (4, 6))
def test_what_nothing_allows(lab, family):
    lab.rules("a", ALLOW_SSH)
    lab.forget()
    remote = OUTSIDE.ip if family == 4 else OUTSIDE.ip6
    ports = {"local_port": None, "remote_port": None, "icmp_type": None, "icmp_code": None}
    for frame, fields in (
            (tcp(OUTSIDE, A, 8888, family=family), {"protocol": "tcp", "local_port": 8888}),
            (udp(OUTSIDE, A, 53, family=family), {"protocol": "udp", "local_port": 53}),
            (sctp(OUTSIDE, A, 5000, family=family), {"protocol": "sctp", "local_port": 5000}),
            (ping(OUTSIDE, A, family), {"protocol": "icmp" if family == 4 else "icmpv6", "icmp_type": 8 if family == 4 else 128, "icmp_code": 0}),
            (gre(OUTSIDE, A, family), {"protocol": "gre"})):
        lab.ovs.appctl("dpctl/flush-conntrack")  # All SCTP between two addresses is one connection, and GRE too.
        entry = lab.listed("a", "up", frame, remote_ip=remote, **{**ports, **fields}, **DEFAULT)
        assert entry["count"] >= 1 and entry["first"] <= entry["last"]
        assert entry["server"] == lab.servers["a"]


@pytest.mark.parametrize("family", (4, 6))
def test_what_a_rule_denies(lab, family):
    allow = {"direction": "inbound", "protocol": "any"}
    deny = {"action": "deny", "priority": 10}
    denials = [{**ALLOW_SSH, **deny}, {"direction": "inbound", "protocol": "sctp", "port_min": 7, **deny},
               {"direction": "outbound", "protocol": "udp", "port_min": 53, **deny}]
    _, ssh, association, dns = lab.rules("a", allow, *denials)
    lab.forget()
    there = OUTSIDE.ip if family == 4 else OUTSIDE.ip6
    common = {"group": lab.groups["a"], "remote_ip": there, **REFUSED}
    lab.listed("a", "up", tcp(OUTSIDE, A, 22, family=family), rule=ssh, direction="inbound", local_port=22, **common)
    lab.listed("a", "up", sctp(OUTSIDE, A, 7, family=family), rule=association, direction="inbound", local_port=7, **common)
    lab.listed("a", "a", udp(A, OUTSIDE, 53, family=family), rule=dns, direction="outbound", remote_port=53, local_port=None, **common)


@pytest.mark.parametrize("family", (4, 6))
def test_beside_rules_for_all_ports(lab, family):
    """What they deny, and what they allow to others, at a port that no rule names."""
    friends, next_door = ("192.0.2.0/24", NEXT_DOOR.ip) if family == 4 else ("2001:db8:dd::/48", NEXT_DOOR.ip6)
    denial = lab.rules("a", ALLOW_SSH, {"direction": "inbound", "protocol": "any", "remote_ip": friends},
                       {"direction": "inbound", "protocol": "any", "remote_group": lab.groups["b"]},
                       {"direction": "inbound", "protocol": "tcp", "remote_ip": next_door, "action": "deny"})[-1]
    lab.forget()
    lab.listed("a", "up", tcp(OUTSIDE, A, 8888, family=family), local_port=8888, **DEFAULT)
    lab.listed("a", "up", tcp(NEXT_DOOR, A, 9999, family=family), local_port=9999, remote_ip=next_door, rule=denial, group=lab.groups["a"],
               **REFUSED)


def test_outbound_and_between_servers(lab):
    lab.rules("a", {"direction": "outbound", "protocol": "tcp", "port_min": 80})
    lab.rules("b", ALLOW_SSH)
    lab.forget()
    lab.listed("a", "a", tcp(A, OUTSIDE, 443), direction="outbound", remote_port=443, remote_ip=OUTSIDE.ip, rule=None)
    # The sender may, the receiver does not want it: it is the receiver's attempt alone.
    lab.listed("b", "a", tcp(A, B, 80), direction="inbound", local_port=80, remote_ip=A.ip, rule=None)
    lab.nothing_else("a", {"remote_port": 443})


def test_command_line(lab):
    allow = {"direction": "inbound", "protocol": "tcp", "port_min": 22}
    _, deny = lab.rules("a", allow, {**allow, "port_min": 23, "action": "deny"})
    lab.forget()
    token = os.path.join(lab.daemon.directory, "whole")
    with open(token, "w", encoding="ascii") as file:
        file.write("whole\n")

    def cli():
        return run(os.path.join(BUILD, "bin/sallyport"), "--url", f"http://{lab.daemon.address}", "--token-file", token,
                   "blocked", "a", "--region", "SV2").splitlines()

    assert cli() == ["Nothing was blocked lately."]
    lab.listed("a", "up", ping(OUTSIDE, A), protocol="icmp")
    lab.listed("a", "up", tcp(OUTSIDE, A, 23, family=6), local_port=23)
    lab.listed("a", "a", gre(A, OUTSIDE), protocol="gre")
    rows = [line.split() for line in cli()[2:]]
    assert [row[:4] for row in rows] == [["outbound", "gre", OUTSIDE.ip, "-"], ["inbound", "tcp", OUTSIDE.ip6, "23"],
                                         ["inbound", "icmp", OUTSIDE.ip, "8/0"]]
    assert [row[4:-3] for row in rows] == [["default"], ["rule", deny], ["default"]]


def test_events(lab):
    """Whoever listens hears of the server within a second or so, and not of one that nobody tried.  An event tells of a whole
    second: the first may name what another test has just tried, too."""
    lab.rules("a", ALLOW_SSH)
    lab.forget()
    told = []
    with Stream(lab.daemon) as stream:
        stream.next_of("ready")
        lab.listed("a", "up", tcp(OUTSIDE, A, 8888), local_port=8888)
        while lab.servers["a"] not in told:
            event = stream.next_of("blocked")
            assert event["servers"] and event["more"] is False
            told += event["servers"]
    assert set(told) <= {lab.servers["a"], lab.servers["b"]}


def test_who_may_read(lab):
    """A token for another region sees nothing of this one."""
    lab.rules("a", ALLOW_SSH)
    lab.forget()
    lab.listed("a", "up", tcp(OUTSIDE, A, 8889), local_port=8889)
    for token, n in (("whole", 1), ("here", 1), ("there", 0)):
        client = lab.daemon.client(token=token)
        for query in ("", "?region=SV2", f"?server={lab.servers['a']}", f"?server={lab.servers['a']}&region=SV2"):
            assert len(client.get("/v1/blocked" + query).json["blocked"]) == n, (token, query)
        for query in (f"?server={lab.servers['a']}&region=TY2", f"?server={lab.servers['b']}"):
            assert client.get("/v1/blocked" + query).json["blocked"] == [], (token, query)


def test_a_server_in_a_vlan(lab):
    lab.rules("c")
    lab.forget()
    frame = tcp(OUTSIDE, C, 8080)
    tagged = Ether(src=frame.src, dst=frame.dst) / Dot1Q(vlan=7) / frame.payload
    lab.listed("c", "up", tagged, direction="inbound", protocol="tcp", local_port=8080, remote_ip=OUTSIDE.ip)
    lab.listed("c", "c", tcp(C, OUTSIDE, 443), direction="outbound", protocol="tcp", remote_port=443)


def test_what_is_allowed_is_never_listed(lab):
    lab.rules("a", {"direction": "inbound", "protocol": "tcp"}, {"direction": "inbound", "protocol": "icmp"},
              {"direction": "outbound", "protocol": "udp"})
    lab.forget()
    connection = Tcp(OUTSIDE, A, 22)
    for from_client, frame in connection.handshake():
        heard = lab.wire.exchange(("up" if from_client else "a", bytes(frame)))
        assert ("a" if from_client else "up") in heard
    for frame in (ping(OUTSIDE, A), udp(OUTSIDE, A, 40000, sport=53)):
        lab.wire.exchange(("up", bytes(frame)))  # The second one is denied: nobody has asked.
    lab.wire.exchange(("a", bytes(udp(A, OUTSIDE, 53))))
    lab.nothing_else("a", {"protocol": "udp", "local_port": 40000})


def test_a_revoked_connection_is_not_an_attempt(lab):
    lab.rules("a", ALLOW_SSH)
    lab.forget()
    connection = Tcp(OUTSIDE, A, 22, sport=41000)
    for from_client, frame in connection.handshake():
        assert lab.wire.exchange(("up" if from_client else "a", bytes(frame)))
    lab.rules("a")
    for from_client in (True, False, True):
        assert not lab.wire.exchange(("up" if from_client else "a", bytes(connection.segment(from_client, "PA", b"more"))))
    lab.nothing_else("a")
    lab.listed("a", "up", tcp(OUTSIDE, A, 22, sport=41001), local_port=22)  # One that is opened now is.


def test_off_and_on(lab):
    lab.rules("a", ALLOW_SSH)
    lab.forget()
    lab.listed("a", "up", udp(OUTSIDE, A, 1), local_port=1)
    connection = Tcp(OUTSIDE, A, 22, sport=42000)
    for from_client, frame in connection.handshake():
        assert lab.wire.exchange(("up" if from_client else "a", bytes(frame)))
    before = lab.meter("meter-stats")
    lab.report(False)
    assert lab.blocked("a") == []
    for port in range(2, 50):
        lab.wire.exchange(("up", bytes(udp(OUTSIDE, A, port))))
    assert "a" in lab.wire.exchange(("up", bytes(connection.segment(True, "PA", b"still here"))))

    def seen(text):
        return sum(int(n) for n in re.findall(r"packet_in_count:(\d+)", text))

    assert seen(lab.meter("meter-stats")) == seen(before)
    assert lab.blocked("a") == []
    lab.report(True)
    lab.listed_once("a", "up", udp(OUTSIDE, A, 3), local_port=3)
    assert "a" in lab.wire.exchange(("up", bytes(connection.segment(True, "PA", b"and here"))))
    assert not [entry for entry in lab.blocked("a") if entry["local_port"] not in (3,)]


class Flood(threading.Thread):
    """Sends UDP from server b to ever other ports, as fast as it can."""

    def __init__(self, lab):
        super().__init__(daemon=True)
        self.lab = lab
        with inside(lab.wire.host.netns):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self.socket.bind(("b", 0))
        self.over = threading.Event()
        self.sent = 0

    def run(self):
        frame = bytearray(bytes(udp(B, OUTSIDE, 1)))
        while not self.over.is_set():
            self.sent += 1
            struct.pack_into("!HH", frame, 34, 1024 + self.sent // 60000 % 60000, 1 + self.sent % 60000)
            struct.pack_into("!H", frame, 40, 0)  # No checksum.
            try:
                self.socket.send(frame)
            except OSError:
                pass  # The queue is full.

    def stop(self):
        self.over.set()
        self.join()
        self.socket.close()
        self.lab.wire.exchange(("b", bytes(udp(B, OUTSIDE, 1))))  # What it has sent has been dealt with: the next test begins without it.


def test_a_flood_hides_nobody_else(lab):
    lab.rules("a", ALLOW_SSH)
    lab.rules("b", ALLOW_SSH)
    lab.forget()
    connection = Tcp(OUTSIDE, A, 22, sport=43000)
    for from_client, frame in connection.handshake():
        assert lab.wire.exchange(("up" if from_client else "a", bytes(frame)))
    reported = metric(lab, "sallyport_blocked_reports_total")
    flood = Flood(lab)
    flood.start()
    try:
        for port in range(100, 110):
            lab.listed("a", "up", tcp(OUTSIDE, A, port), local_port=port)
            through = wait_until(lambda: "a" in lab.wire.exchange(("up", bytes(connection.segment(True, "PA", b"x"))), listeners=["a"]),
                                 "the other server's connection goes on", 20)
            assert through
        wait_until(lambda: flood.sent > 20000, "the flood is one", 60)
    finally:
        flood.stop()
    assert 0 < len(lab.blocked("b")) <= 64
    assert all(entry["direction"] == "outbound" for entry in lab.blocked("b"))
    # Far fewer than were denied have left the datapath: what is over a port's meter does not.
    assert metric(lab, "sallyport_blocked_reports_total") - reported < flood.sent / 10
    assert lab.api.get("/v1/status").status == 200


def metric(lab, name):
    text = lab.api.get("/metrics").body.decode()
    return float(re.search(rf"^{name} (\S+)$", text, re.M).group(1))


def test_what_goes_comes_back(lab):
    """Meters that another hand deletes or changes, with the flows that go with them, and all of them with a restarted switch."""
    lab.rules("a", ALLOW_SSH)
    lab.forget()
    lab.whole()
    as_they_are = lab.meters()
    lab.meter("mod-meter", f"meter={FIRST + 6},pktps,burst,bands=type=drop,rate=1000000,burst_size=1000000")
    lab.meter("del-meter", f"meter={FIRST + 5}")  # With its flow, of which the switch tells: that brings the next look forward.
    wait_until(lambda: lab.meters() == as_they_are, "the meters are as they were", 60)
    lab.whole()
    lab.ovs.restart_switch()
    lab.whole()
    assert lab.meters() == as_they_are
    lab.ovs.ofctl("add-flow", "br0", SENTINEL_FLOW)
    lab.listed("a", "up", udp(OUTSIDE, A, 77), local_port=77)
    assert lab.bridge()["last_error"] is None


def test_a_meter_of_somebody_else(tmp_path):
    """Is left alone; then nothing is reported, which the bridge says, and what is denied stays denied."""
    with Ovs() as ovs:
        lab = Lab(ovs, tmp_path, [f"meter={FIRST + 3},kbps,bands=type=drop,rate=1234"])
        try:
            theirs = lab.meters()
            assert len(theirs) == 1 and "1234" in theirs[FIRST + 3]
            lab.rules("a", ALLOW_SSH)
            assert lab.bridge()["last_error"] == f"blocked attempts are not reported: meter {FIRST + 3} is somebody else's"
            flows = lab.bridge()["flows"]
            assert flows["desired"] == flows["installed"]
            assert lab.wire.exchange(("up", bytes(tcp(OUTSIDE, A, 22)))).keys() == {"a"}
            assert not lab.wire.exchange(("up", bytes(tcp(OUTSIDE, A, 23))))
            assert lab.blocked("a") == []
            assert lab.meters() == theirs
            lab.report(False)
            assert lab.bridge()["last_error"] is None  # Nobody asks for it.
        finally:
            lab.close()
