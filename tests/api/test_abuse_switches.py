"""Switches that are none, lie, flood or stand still: each loses at most its own connection, and the others have what they had."""

import contextlib
import os
import struct
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "abuse"))

import peer as of  # noqa: E402
from topology.ovs import wait_until  # noqa: E402

GOOD, BAD = 0xa1, 0xa2


def path(dpid):
    return f"/v1/bridges/{dpid:016x}"


def is_settled(client, dpid):
    bridge = client.get(path(dpid)).json
    return bridge["connected"] and bridge["flows"]["desired"] == bridge["flows"]["installed"] > 0


def expect(one):
    """No other flow than now shall ever reach the good switch."""
    one.expected = dict(one.table), one.n_mods


@pytest.fixture
def good(daemon):
    """A switch with a server on it, all in force; it must end the test with the flows that it began with."""
    client = daemon.client()
    client.put("/v1/regions/A")
    body = {"region": "A", "name": "vm", "ports": [{"mac": "02:00:00:00:00:a1", "ips": ["10.0.0.1"], "bridge": f"{GOOD:016x}", "port": "p1"}]}
    assert client.post("/v1/servers", body).status == 202 or client.get("/v1/servers").json["servers"]
    one = of.Peer(daemon.openflow, GOOD, ["p1", "p2"])
    wait_until(lambda: client.get(path(GOOD)).status == 200 and is_settled(client, GOOD), "the good switch is served")
    expect(one)
    yield one
    one.echo()
    wait_until(lambda: one.echo_s, "the good switch still gets its echo")
    assert not one.is_ended.is_set() and not one.unexpected
    assert (one.table, one.n_mods) == one.expected
    assert is_settled(client, GOOD)
    one.close()


# What is said first, or in the place of an answer; each ends the connection.
OPENINGS = {
    "features before the hello": of.features(BAD, 1), "echo before the hello": of.message(of.ECHO_REQUEST),
    "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + b" " * 0x5420, "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 1000,
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n" + b"\0" * 30000, "zeroes": b"\0" * 64, "an old version": of.message(of.HELLO, version=1),
    "only OpenFlow 1.0 and 1.3": of.message(of.HELLO, struct.pack("!HHI", 1, 8, 0x12)),
    **{f"a hello of {length} bytes": of.message(of.HELLO, length=length) for length in (0, 1, 3, 7)},
}


@pytest.mark.parametrize("how", OPENINGS)
def test_no_switch(daemon, good, how):
    wire = of.Wire(daemon.openflow)
    wire.send(OPENINGS[how])
    assert wire.is_closed()
    wire.close()


WRONG = {
    **{f"{name} of {length} bytes": of.message(kind, b"\0" * 32, length=length)
       for name, kind in (("echo", of.ECHO_REQUEST), ("error", of.ERROR), ("port status", of.PORT_STATUS), ("statistics", of.MULTIPART_REPLY),
                          ("packet", of.PACKET_IN), ("barrier", of.BARRIER_REPLY), ("bundle", of.BUNDLE_CONTROL)) for length in (0, 1, 3, 7)},
    "a second hello": of.hello(), "second features": of.features(BAD, 1), "another bridge's features": of.features(GOOD, 1),
    "another version": of.message(of.ECHO_REQUEST, version=6), "a flow-mod": of.message(of.FLOW_MOD, b"\0" * 48),
    "flows that nobody asked for": of.multipart(of.FLOWS, b"", 0x7fffffff), "ports that nobody asked for": of.multipart(of.PORTS, of.port(1, b"x"), 5),
    "a barrier that nobody asked for": of.message(of.BARRIER_REPLY, xid=0x1234), "a commit that nobody asked for":
    of.message(of.BUNDLE_CONTROL, struct.pack("!IHH", 1, 5, 3)), "a short error": of.message(of.ERROR, b"\0\1"), "a short port": of.message(of.PORT_STATUS, b"\0" * 8),
    "an unknown type": of.message(200),
}


@pytest.mark.parametrize("how", WRONG)
def test_wrong_message(daemon, good, how):
    wire = of.Wire(daemon.openflow)
    wire.handshake(BAD)
    wait_until(lambda: daemon.client().get(path(BAD)).status == 200, "the switch is known")
    wire.send(WRONG[how])
    assert wire.is_closed()
    wire.close()


def test_longer_than_it_says(daemon, good):
    """A message that claims 65,535 bytes and never gets them: nobody waits for ever, and nobody else waits at all."""
    wires = [of.Wire(daemon.openflow) for _ in range(50)]
    for wire in wires:
        wire.send(of.message(of.HELLO, length=65535))
    good.echo()
    wait_until(lambda: good.echo_s, "the good switch gets its echo")
    good.echo_s.clear()
    for wire in wires:
        wire.close()


@pytest.mark.parametrize("name", [b"", b"'; DROP TABLE port; --", b"../../etc/passwd", b"\xff\xfe\xfd", b"\xc0\x80", b"\xed\xa0\x80x", b"a\nb\tc\x1b[31m", b"%s%n%x",
                                  b"<script>", b"\xe2\x80\xa8", b"0123456789abcdef", b"\0p1"])
def test_names(daemon, good, name):
    wire = of.Wire(daemon.openflow)
    wire.handshake(BAD, [(1, name), (2, b"p2")])
    client = daemon.client()
    wait_until(lambda: client.get(path(BAD)).status == 200 and len(client.get(path(BAD)).json["ports"]) == 2, "the ports are known")
    shown = client.get(path(BAD)).json["ports"][0]["name"]
    assert all(character.isprintable() for character in shown) and len(shown.encode()) <= 16
    wire.send(of.port_status(7, name))
    wait_until(lambda: len(client.get(path(BAD)).json["ports"]) == 3, "the new port is known")
    assert all(character.isprintable() or character == "\n" for character in daemon.text())
    wire.close()


def test_endless_ports(daemon, good):
    """Part after part of the list of ports, each with more to come: a bound ends it."""
    wire = of.Wire(daemon.openflow)
    wire.send(of.hello())
    wire.send(of.features(BAD, of.xid_of(wire.take_kind(of.FEATURES_REQUEST))))
    wire.send(of.description(of.xid_of(wire.take_kind(of.MULTIPART_REQUEST))))
    xid = of.xid_of(wire.take_kind(of.MULTIPART_REQUEST))
    n_sent = 0
    try:
        while n_sent < 1000000:
            wire.send(of.multipart(of.PORTS, b"".join(of.port(n_sent + i, b"p") for i in range(1000)), xid, more=True))
            n_sent += 1000
    except ConnectionError:
        pass
    assert n_sent < 200000
    wire.close()


def test_the_same_bridge_twice(daemon, good):
    """Whoever comes second with the id of a bridge that is there gets none of its flows."""
    wire = of.Wire(daemon.openflow)
    wire.handshake(GOOD)
    taken = wire.take()
    while taken:
        assert taken[1] not in (of.BUNDLE_CONTROL, of.BUNDLE_ADD, of.FLOW_MOD)
        taken = wire.take()
    wire.close()
    bridge = daemon.client().get(path(GOOD)).json
    assert bridge["connected"] and "second connection" in bridge["last_error"]


def test_one_that_stops_reading(daemon, good):
    """A bridge gets a big list of rules and reads nothing of it: the other one gets its own at once."""
    client = daemon.client()
    rules = [{"direction": "inbound", "protocol": "tcp", "port_min": 1, "port_max": 65534, "remote_ip": f"10.{i >> 8}.{i & 255}.0/24"}
             for i in range(700)]
    rules.append({"direction": "inbound", "protocol": "tcp", "port_min": 65535})  # No nest then: 30 flows each.
    group = client.post("/v1/security-groups?wait=0", {"region": "A", "name": "big", "rules": rules}).json["id"]
    wire = of.Wire(daemon.openflow)
    wire.handshake(BAD)
    body = {"region": "A", "name": "vm2", "security_groups": [group],
            "ports": [{"mac": "02:00:00:00:00:a2", "ips": ["10.0.0.2"], "bridge": f"{BAD:016x}", "port": "p1"}]}
    assert client.post("/v1/servers?wait=0", body).status == 202
    wire.send(of.multipart(of.FLOWS, b"", xid_of_dump(wire)))
    wait_until(lambda: client.get(path(BAD)).json["flows"]["desired"] > 20000, "there is much to send")
    before = dict(good.table)
    made = client.post(f"/v1/security-groups/{default_group(client)}/rules", {"direction": "inbound", "protocol": "udp", "port_min": 53})
    assert made.applied and good.table != before
    assert client.delete(f"/v1/security-groups/{default_group(client)}/rules/{made.json['id']}").applied
    wire.close()
    expect(good)


def default_group(client):
    return next(one["id"] for one in client.get("/v1/security-groups?region=A").json["security_groups"] if one["default"])


def xid_of_dump(wire):
    """Of the request for the flows, which is the multipart request of that kind; what is asked for before is not here."""
    while (taken := wire.take_kind(of.MULTIPART_REQUEST)):
        if struct.unpack_from("!H", taken, 8)[0] == of.FLOWS:
            return of.xid_of(taken)
        wire.send(of.message(of.ERROR, struct.pack("!HH", 1, 2) + taken, of.xid_of(taken)))
    raise AssertionError("nobody asked for the flows")


FLOODS = {
    "packets": of.message(of.PACKET_IN, struct.pack("!IHBBQHHxxxx", 0xffffffff, 60, 0, 0, 0, 1, 4) + b"\0\0" + b"\0" * 60),
    "port changes": of.port_status(3, b"p3", 2), "errors": of.message(of.ERROR, struct.pack("!HH", 1, 1) + of.hello()),
    "echoes": of.message(of.ECHO_REQUEST, b"x" * 100), "removed flows": of.message(of.FLOW_REMOVED, struct.pack("!QHBBIIHHQQHHxxxx", 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 4)),
}


@pytest.mark.parametrize("what", FLOODS)
def test_flood(daemon, good, what):
    """Twenty thousand of them in one piece; whoever floods stays or goes, but nobody else notices."""
    wire = of.Wire(daemon.openflow)
    wire.handshake(BAD)
    wait_until(lambda: daemon.client().get(path(BAD)).status == 200, "the switch is known")
    for _ in range(100):
        with contextlib.suppress(ConnectionError):
            wire.send(FLOODS[what] * 200)
        good.echo()
    wait_until(lambda: len(good.echo_s) == 100, "the good switch gets its echoes")
    wire.close()
