"""How often a rule hits, to the packet, as the API tells it: with real packets, whatever flows the rule became, while it changes, and
while the controller and the switch come and go."""

import os
import re
import sys

import pytest
from conftest import telling
from packets import TCP, UDP, End, Tcp, fragments, ping, sctp, udp, unreachable
from wire import SENTINEL_FLOW, Wire

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "api"))

from daemon import Daemon  # noqa: E402
from test_daemon import poll  # noqa: E402

REGION = "SV2"
BRIDGES = {"br0": "00000000000000d1", "br1": "00000000000000d2"}
SERVERS = {"v1": "br0", "v2": "br0", "v3": "br1"}
OUTSIDE = {"br0": "up0", "br1": "up1"}
# What nobody wants, but under our cookie: the daemon looks at all flows again when it is there.
STRANGE = "cookie=0x5350ff0000000000,table=253,priority=1,actions=drop"
UNUSED = {"hits": 0, "bytes": 0, "first_hit": None, "last_hit": None}


def end(number):
    return End(f"02:00:00:00:00:{number:02x}", f"10.0.0.{number}", f"fd00::{number}")


V = {name: end(i + 1) for i, name in enumerate(SERVERS)}
U = {"br0": end(100), "br1": end(101)}


class Site:
    """Two bridges with an uplink each, three servers, a daemon."""

    def __init__(self, ovs, directory):
        self.ovs = ovs
        self.wire = Wire(ovs.add_host(f"wire{len(ovs.hosts)}", ipv6=False))
        self.daemon = Daemon(directory)
        self.daemon.start()
        self.api = self.daemon.client()
        self.servers = {}
        self.ok(self.api.put(f"/v1/regions/{REGION}"))
        for bridge, dpid in BRIDGES.items():
            ovs.add_bridge(bridge, dpid=int(dpid, 16))
            ovs.ofctl("add-flow", bridge, SENTINEL_FLOW)
            self.attach(bridge, OUTSIDE[bridge])
            self.ok(self.api.put(f"/v1/bridges/{dpid}", {"uplinks": [OUTSIDE[bridge]]}))
        self.outbound = self.group("out", [{"direction": "outbound", "protocol": "any"}])
        for name, bridge in SERVERS.items():
            self.attach(bridge, name)
            self.servers[name] = self.ok(self.api.post("/v1/servers", {
                "region": REGION, "name": name, "security_groups": [self.outbound["id"]],
                "ports": [{"bridge": BRIDGES[bridge], "port": name, "mac": V[name].mac, "ips": [V[name].ip, V[name].ip6]}]}))["id"]
        self.connect()

    def connect(self):
        for bridge in BRIDGES:
            self.ovs.set_controllers(bridge, f"unix:{self.daemon.openflow}")
            self.ovs.ofctl("add-flow", bridge, SENTINEL_FLOW)
        self.settle()

    def attach(self, bridge, name):
        self.ovs.add_port(bridge, name, self.wire.host, interface=name)
        self.wire.attach(name)

    def close(self):
        self.daemon.close()
        self.wire.close()
        for name, bridge in {**SERVERS, **{up: bridge for bridge, up in OUTSIDE.items()}}.items():
            self.ovs.remove_port(bridge, name)
        for bridge in BRIDGES:
            self.ovs.vsctl("--if-exists", "del-br", bridge)

    @staticmethod
    def ok(answer):
        assert answer.status in (200, 201, 202, 204), answer
        return answer.json

    def group(self, name, rules):
        return self.ok(self.api.post("/v1/security-groups", {"region": REGION, "name": name, "rules": rules}))

    def give(self, server, *groups):
        answer = self.api.put(f"/v1/servers/{self.servers[server]}/security-groups?wait=30",
                              {"security_groups": [group["id"] for group in groups]})
        assert answer.status == 200 and answer.applied, answer

    def settle(self):
        def settled():
            bridges = self.api.get("/v1/bridges").json["bridges"]
            return len(bridges) == 2 and all(b["connected"] for b in bridges) and not self.api.get("/v1/status").json["pending"]

        poll(settled, "both bridges have all their flows")

    def send(self, *sends):
        """Sends (port, frame) one after the other; returns how many frames each port heard."""
        counts = {}
        for name, frame in sends:
            bridge = SERVERS.get(name) or next(b for b, up in OUTSIDE.items() if up == name)
            listeners = [OUTSIDE[bridge]] + [server for server, where in SERVERS.items() if where == bridge]
            for port, heard in self.wire.exchange((name, bytes(frame)), listeners=listeners).items():
                counts[port] = counts.get(port, 0) + len(heard)
        return counts

    def pushed(self):
        """Until the switch's flows have counted what its datapath let pass: it tells them now and then."""
        self.ovs.await_datapath()

    def repaired(self):
        text = self.api.get("/metrics").body.decode()
        return int(re.search(r"^sallyport_drift_repaired\S* (\d+)$", text, re.M).group(1))

    def read(self):
        """Until the daemon has read both bridges' counters anew."""
        self.pushed()
        before = self.repaired()
        for bridge in BRIDGES:
            self.ovs.ofctl("add-flow", bridge, STRANGE)
        poll(lambda: self.repaired() >= before + len(BRIDGES), "both bridges are looked at again")

    def hits(self, group):
        """What each rule of `group` has counted now, in their order: [(packets, bytes), ...]."""
        return self.hits_of(group)[0]

    def hits_of(self, *groups):
        """The same of several groups, at one time."""
        self.read()
        return [[(rule["hits"], rule["bytes"]) for rule in self.rules(group)] for group in groups]

    def rules(self, group):
        return self.api.get(f"/v1/security-groups/{group['id']}/rules").json["rules"]

    def poll_hits(self, group, expected):
        """What a flow counted at its end is told some time after it has gone; never more than `expected`."""
        def look():
            now = self.hits(group)
            print(f"{group['name']} has {now}")
            assert all(a <= b for a, b in zip(now, expected, strict=True)), (now, expected)
            return now == expected

        poll(look, f"{expected} of {group['name']}")


@pytest.fixture
def site(ovs, tmp_path):
    with telling(Site(ovs, tmp_path)) as site:
        yield site


def total(frames):
    return len(frames), sum(len(bytes(frame)) for frame in frames)


def inbound(**fields):
    return {"direction": "inbound", **fields}


def conversation(server, port, sport=40000, family=4, n=5):
    """A TCP connection from outside with `n` segments of data each way: [(port of the switch, frame), ...]."""
    bridge = SERVERS[server]
    tcp = Tcp(U[bridge], V[server], port, sport, family)
    frames = tcp.handshake()
    for i in range(n):
        frames += [(True, tcp.segment(True, "PA", b"q" * (10 + i))), (False, tcp.segment(False, "PA", b"a" * (100 + i)))]
    return [(OUTSIDE[bridge] if from_client else server, frame) for from_client, frame in frames]


def frames_of(*conversations):
    return [frame for conversation in conversations for _, frame in conversation]


def test_each_packet_counts_once(site):
    """Both directions, both families, ranges of many masks, two bridges, allowed and denied."""
    web = site.group("web", [
        inbound(protocol="tcp", port_min=1001, port_max=1998),  # 17 masks.
        inbound(protocol="udp", port_min=500, port_max=700, action="deny", priority=50),
        inbound(protocol="udp", port_min=1, port_max=60000),
        inbound(protocol="icmp"),
        inbound(protocol="icmpv6"),
        inbound(protocol="tcp", port_min=9999),
        inbound(protocol="any", remote_ip="192.0.2.0/24", action="deny")])
    for server in SERVERS:
        site.give(server, web, site.outbound)
    talks = [conversation("v1", 1001), conversation("v1", 1500, 40001), conversation("v2", 1998, 40002),
             conversation("v3", 1024, 40003), conversation("v3", 1234, 40004, family=6)]
    denied = [(OUTSIDE["br0"], udp(U["br0"], V["v1"], port, family=family)) for port in (500, 511, 640, 700) for family in (4, 6)]
    denied += [(OUTSIDE["br1"], udp(U["br1"], V["v3"], 555)) for _ in range(3)]
    allowed = [(OUTSIDE["br0"], udp(U["br0"], V["v2"], port, family=family)) for port in (1, 499, 701, 60000) for family in (4, 6)]
    answers = [("v2", udp(V["v2"], U["br0"], 40000, 499)) for _ in range(3)]
    errors = [("v2", unreachable(V["v2"], U["br0"], allowed[-2][1]))]
    pings = [(OUTSIDE["br0"], ping(U["br0"], V["v1"])), ("v1", ping(V["v1"], U["br0"], reply=True)),
             (OUTSIDE["br1"], ping(U["br1"], V["v3"]))]
    pings6 = [(OUTSIDE["br1"], ping(U["br1"], V["v3"], 6)), ("v3", ping(V["v3"], U["br1"], 6, reply=True))]
    nobody = [(OUTSIDE["br0"], udp(U["br0"], V["v1"], 60001))]  # No rule.
    heard = site.send(*denied, *nobody)
    assert not heard
    heard = site.send(*[send for talk in talks for send in talk], *allowed, *answers, *errors, *pings, *pings6)
    assert sum(heard.values()) == len(frames_of(*talks, allowed, answers, errors, pings, pings6))
    expected = [total(frames_of(*talks)), total(frames_of(denied)), total(frames_of(allowed, answers, errors)),
                total(frames_of(pings)), total(frames_of(pings6)), (0, 0), (0, 0)]
    assert site.hits_of(web, site.outbound) == [expected, [(0, 0)]]
    rules = site.rules(web)
    for rule in rules[:5]:
        assert rule["created_at"] <= rule["first_hit"] <= rule["last_hit"] and rule["counting_since"] == rule["created_at"]
    for rule in rules[5:]:
        assert {name: rule[name] for name in UNUSED} == UNUSED
    # Nothing more without packets.
    assert site.hits(web) == expected


@pytest.mark.parametrize("family", (4, 6))
def test_a_rule_for_all_ports_beside_one_that_names_some(site, family):
    """Wherever it is asked: for ports beside those that are named, and for all the others."""
    web = site.group("web", [inbound(protocol="udp", port_min=700, port_max=701, priority=50),
                             inbound(protocol="udp", action="deny", priority=90),
                             inbound(protocol="tcp", port_min=9999, priority=50),
                             inbound(protocol="any", priority=95)])
    site.give("v1", web)
    named, beside, far = ([(OUTSIDE["br0"], udp(U["br0"], V["v1"], port, family=family)) for port in ports]
                          for ports in ((700, 701), (699, 702, 703), (5000, 5001, 40000, 65535)))
    talks = [conversation("v1", 9998, 40001, family), conversation("v1", 80, 40002, family), conversation("v1", 9999, 40003, family)]
    assert site.send(*named, *beside, *far) == {"v1": 2}
    heard = site.send(*[send for talk in talks for send in talk])
    assert sum(heard.values()) == len(frames_of(*talks))
    assert site.hits(web) == [total(frames_of(named)), total(frames_of(beside, far)), total(frames_of(talks[2])),
                              total(frames_of(talks[0], talks[1]))]


def test_between_two_servers_two_rules_count(site):
    """The sender's and the receiver's, each packet of both directions once for each."""
    web = site.group("web", [inbound(protocol="tcp", port_min=80)])
    site.give("v2", web, site.outbound)
    tcp = Tcp(V["v1"], V["v2"], 80)
    frames = tcp.handshake() + [(True, tcp.segment(True, "PA", b"x")), (False, tcp.segment(False, "PA", b"yy"))]
    heard = site.send(*[("v1" if from_client else "v2", frame) for from_client, frame in frames])
    assert heard == {"v1": 2, "v2": 3}
    expected = total([frame for _, frame in frames])
    assert site.hits_of(web, site.outbound) == [[expected], [expected]]


def test_sctp_and_fragments(site):
    """What the API's reference says of them."""
    group = site.group("odd", [inbound(protocol="sctp", port_min=5000), inbound(protocol="udp", port_min=53),
                               inbound(protocol="sctp", port_min=6000, action="deny")])
    site.give("v1", group)
    associated = [(OUTSIDE["br0"], sctp(U["br0"], V["v1"], 5000)) for _ in range(3)]
    refused = [(OUTSIDE["br0"], sctp(U["br0"], V["v1"], 6000)) for _ in range(2)]
    assert site.send(*associated) == {"v1": 3} and not site.send(*refused)
    assert site.hits(group) == [total(frames_of(associated)), (0, 0), total(frames_of(refused))]
    plain = [(OUTSIDE["br0"], udp(U["br0"], V["v1"], 53, 41000)) for _ in range(4)]
    assert site.send(*plain) == {"v1": 4}
    pieces = [(OUTSIDE["br0"], frame) for frame in fragments(udp(U["br0"], V["v1"], 53, 41000, size=3000))]
    assert len(pieces) == 3 and site.send(*pieces) == {"v1": 3}
    # The fragments of a known connection count as any packet, ...
    assert site.hits(group)[1] == total(frames_of(plain, pieces))
    # ... and those that begin one are at least judged once.
    first = [(OUTSIDE["br0"], frame) for frame in fragments(udp(U["br0"], V["v1"], 53, 41001, size=3000), ident=7)]
    assert site.send(*first) == {"v1": 3}
    packets = site.hits(group)[1][0] - len(plain) - len(pieces)
    assert 1 <= packets <= 2 * len(first)


def test_counts_stay_with_an_edited_rule(site):
    web = site.group("web", [inbound(protocol="tcp", port_min=1000, port_max=2000), inbound(protocol="udp", port_min=7)])
    rule = f"/v1/security-groups/{web['id']}/rules/{web['rules'][0]['id']}?wait=30"
    site.give("v1", web)
    first, second = conversation("v1", 1000), conversation("v1", 1900, 40001)
    site.send(*first, *second)
    count = total(frames_of(first, second))
    assert site.hits(web) == [count, (0, 0)]
    etag = site.api.get(f"/v1/security-groups/{web['id']}").headers["ETag"]

    def edit(**fields):
        site.pushed()
        assert site.api.patch(rule, fields).applied
        site.pushed()

    edit(description="panel")
    assert site.hits(web) == [count, (0, 0)]
    # Narrowed: another mark; the first connection is admitted again, the second stops.
    edit(port_max=1800)
    more = [(OUTSIDE["br0"], first[-2][1]), (OUTSIDE["br0"], second[-2][1])]
    assert site.send(*more) == {"v1": 1}
    count = tuple(a + b for a, b in zip(count, total([more[0][1]])))
    site.poll_hits(web, [count, (0, 0)])
    # Denied: other flows; and each packet of both connections is a hit now.
    edit(action="deny", port_max=2000)
    assert not site.send(*more)
    count = tuple(a + b for a, b in zip(count, total(frames_of(more))))
    site.poll_hits(web, [count, (0, 0)])
    assert site.api.get(f"/v1/security-groups/{web['id']}").headers["ETag"] != etag
    etag = site.api.get(f"/v1/security-groups/{web['id']}").headers["ETag"]
    site.send(*more)
    site.read()
    assert site.api.get(f"/v1/security-groups/{web['id']}").headers["ETag"] == etag


def test_what_a_flow_counted_last_is_not_lost(site):
    """Nobody reads the counters between the packets and the change that takes the flows away."""
    web = site.group("web", [inbound(protocol="tcp", port_min=80), inbound(protocol="udp", port_min=53, action="deny")])
    more = site.group("more", [inbound(protocol="tcp", port_min=443)])
    expected = [(0, 0), (0, 0)]
    for server, groups in (("v1", [web]), ("v1", [web, more]), ("v1", [more]), ("v3", [web]), ("v1", [web, site.outbound])):
        site.give(server, *groups)
        if web not in groups:
            continue
        bridge = SERVERS[server]
        talk = conversation(server, 80, 40000 + expected[0][0])
        denied = [(OUTSIDE[bridge], udp(U[bridge], V[server], 53)) for _ in range(3)]
        site.send(*talk, *denied)
        site.pushed()
        expected = [tuple(a + b for a, b in zip(count, total(frames_of(sends)))) for count, sends in zip(expected, (talk, denied))]
    for server in ("v1", "v3"):
        site.give(server)
    assert expected[0][0] > 50
    site.poll_hits(web, expected)


def test_a_flow_that_becomes_another_rules_begins_at_0(site):
    """Of two rules that say the same the older one counts; when it goes, the other has its place in the switch, not its count."""
    rule = inbound(protocol="udp", port_min=53, action="deny")
    older, younger = site.group("older", [rule]), site.group("younger", [rule])
    site.give("v1", older, younger)
    denied = [(OUTSIDE["br0"], udp(U["br0"], V["v1"], 53))]
    site.send(*3 * denied)
    assert site.hits_of(older, younger) == [[total(frames_of(3 * denied))], [(0, 0)]]
    assert site.api.delete(f"/v1/security-groups/{older['id']}/rules/{older['rules'][0]['id']}?wait=30").applied
    site.send(*2 * denied)
    site.poll_hits(younger, [total(frames_of(2 * denied))])


def test_the_controller_and_the_switch_come_and_go(site):
    web = site.group("web", [inbound(protocol="tcp", port_min=80), inbound(protocol="udp", port_min=53, action="deny")])
    for server in ("v1", "v3"):
        site.give(server, web)
    sent = []

    def talk(n):
        sends = [(OUTSIDE["br0"], udp(U["br0"], V["v1"], 53)) for _ in range(n)]
        for server in ("v1", "v3"):
            sends += conversation(server, 80, 40000 + len(sent), n=n)
        sent.append(sends)
        site.send(*sends)

    def restart(end):
        end()
        talk(4)  # Nobody looks.
        site.daemon.start()
        site.api = site.daemon.client()
        site.settle()

    def expected():
        sends = [send for sends in sent for send in sends]
        denied = [send for send in sends if send[0] == OUTSIDE["br0"] and UDP in send[1]]
        return [total([frame for _, frame in sends if TCP in frame]), total(frames_of(denied))]

    talk(3)
    restart(site.daemon.kill)  # Before anything was ever stored.
    assert site.hits(web) == expected()
    restart(site.daemon.stop)  # Which stores it.
    assert site.hits(web) == expected()
    first = site.rules(web)[0]["first_hit"]
    talk(2)
    site.read()
    restart(site.daemon.kill)
    assert site.hits(web) == expected()
    # The switch begins at 0 again, and counts more than before.
    site.pushed()
    site.read()
    site.ovs.restart_switch()
    site.connect()
    for _ in range(4):
        talk(6)
    assert site.hits(web) == expected()
    restart(site.daemon.stop)
    assert site.hits(web) == expected()
    assert site.rules(web)[0]["first_hit"] == first and site.rules(web)[0]["last_hit"] > first
