"""GET /v1/events: what a subscriber is told over real HTTP, in which order, and where its bounds are."""

import http.client
import json
import signal
import socket
import time

import pytest

from topology.ovs import Ovs, wait_until

SUBSCRIBERS_MAX = 128
PATIENCE_S = 20
DPID = "00000000000000e1"


class Stream:
    """An open stream of events."""

    def __init__(self, daemon, headers=None, receive_buffer=None):
        host, port = daemon.address.rsplit(":", 1)
        self.connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE_S)
        if receive_buffer:
            self.connection.sock = socket.socket()
            self.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            self.connection.sock.settimeout(PATIENCE_S)
            self.connection.sock.connect((host, int(port)))
        token = {"Authorization": f"Bearer {daemon.token}"} if daemon.token else {}
        self.connection.request("GET", "/v1/events", headers={**token, **(headers or {})})
        self.response = self.connection.getresponse()
        self.last_id = None
        self.deadline = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.response.close()
        self.connection.close()

    def next(self):
        """The next event as (name, data); None at the end."""
        fields = {}
        while True:
            line = self.response.readline().decode().rstrip("\n")
            if not line and not fields:
                if self.response.isclosed():
                    return None
            elif not line:
                self.last_id = fields.get("id", self.last_id)
                return fields["event"], json.loads(fields["data"])
            elif line.startswith(":"):  # What comes in silence.
                assert not self.deadline or time.monotonic() < self.deadline
            else:
                name, value = line.split(": ", 1)
                assert name not in fields
                fields[name] = value

    def next_of(self, name, fits=lambda data: True):
        """The next event of this name that fits; others are passed over."""
        self.deadline = time.monotonic() + PATIENCE_S
        while True:
            event = self.next()
            assert event is not None
            if event[0] == name and fits(event[1]):
                self.deadline = None
                return event[1]


@pytest.fixture
def stream(shared):
    with Stream(shared) as one:
        yield one


def metric(client, name):
    for line in client.get("/metrics").body.decode().splitlines():
        if line.startswith(name + " "):
            return int(line.split(" ")[1])
    raise AssertionError(name)


def test_head_and_headers(shared, api, stream):
    assert stream.response.status == 200
    assert stream.response.headers["Content-Type"] == "text/event-stream"
    assert stream.response.headers["Cache-Control"] == "no-store"
    head = api("HEAD", "/v1/events")
    assert head.status == 200 and head.body == b"" and head.headers["Content-Type"] == "text/event-stream"
    assert api.get("/v1/events?x=1").fields == ["?x"]
    assert api.post("/v1/events", {}).status == 405


def test_every_change_in_order(api, stream, region):
    name, first = stream.next()
    assert name == "ready"
    assert first["revision"] <= api.get("/v1/status").json["revision"]
    stream.next_of("change", lambda data: data["objects"][0]["id"] == region)
    group = api.post("/v1/security-groups", {"region": region, "name": "g", "template": "none"})
    path = f"/v1/security-groups/{group.json['id']}"
    rule = api.post(path + "/rules", {"direction": "inbound", "protocol": "tcp", "port_min": 1})
    api.post(path + "/rules", {"direction": "inbound", "protocol": "tcp", "port_min": 1})  # Is there already.
    api.patch(path, {"name": ""})  # Is refused.
    server = api.post("/v1/servers", {"region": region, "name": "vm", "security_groups": [group.json["id"]]})
    api.delete(f"/v1/servers/{server.json['id']}")
    gone = api.delete(path)
    seen = []
    while not seen or seen[-1]["revision"] < gone.revision:
        event = stream.next_of("change")
        event["objects"] = [one for one in event["objects"] if one["region"] == region]
        if event["objects"]:
            seen.append(event)
    assert [event["revision"] for event in seen] == sorted({event["revision"] for event in seen})
    assert not any(event["more"] for event in seen)

    def one(kind, made, action):
        return {"kind": kind, "id": made.json["id"], "region": region, "action": action}

    assert [(event["revision"], one_of) for event in seen for one_of in event["objects"]
            if one_of["id"] in (group.json["id"], server.json["id"])] == [
        (group.revision, one("security_group", group, "created")), (rule.revision, one("security_group", group, "updated")),
        (server.revision, one("server", server, "created")), (server.revision + 1, one("server", server, "deleted")),
        (gone.revision, one("security_group", group, "deleted"))]


def test_many_objects_are_cut_short(api, stream, region):
    old = api.post("/v1/security-groups", {"region": region, "name": "old", "default": True}).json["id"]
    for number in range(105):
        api.post("/v1/servers", {"region": region, "name": f"vm{number}", "security_groups": [old]})
    swap = api.post("/v1/security-groups", {"region": region, "name": "new", "default": True})
    event = stream.next_of("change", lambda data: data["revision"] == swap.revision)
    assert event["more"] is True and len(event["objects"]) == 100


def test_coming_back(shared, api, region):
    with Stream(shared) as stream:
        stream.next_of("ready")
        first = api.post("/v1/security-groups", {"region": region, "name": "first"})
        stream.next_of("change", lambda data: data["revision"] == first.revision)
        last_id = stream.last_id
    missed = [api.post("/v1/security-groups", {"region": region, "name": f"missed{number}"}).revision for number in range(3)]
    with Stream(shared, {"Last-Event-ID": last_id}) as stream:
        assert stream.next()[0] == "ready"
        assert [stream.next_of("change")["revision"] for _ in missed] == missed
    for wrong in ("x", last_id + "0000", "0" * 16 + "-1"):
        with Stream(shared, {"Last-Event-ID": wrong}) as stream:
            name, data = stream.next()
            assert name == "reset" and data["revision"] >= missed[-1]


def test_too_long_ago_and_another_run(make_daemon):
    daemon = make_daemon().start()
    client = daemon.client()
    with Stream(daemon) as stream:
        assert stream.next() == ("ready", {"revision": 0})
        start = stream.last_id
    for number in range(1100):
        client.put(f"/v1/regions/R{number}")
    with Stream(daemon, {"Last-Event-ID": start}) as stream:
        assert stream.next() == ("reset", {"revision": 1100})
        last = stream.last_id
    assert daemon.stop() == 0
    daemon.start()
    with Stream(daemon, {"Last-Event-ID": last}) as stream:
        assert stream.next() == ("reset", {"revision": 1100})


def test_a_token_is_needed(make_daemon):
    daemon = make_daemon(token="abc").start()
    with Stream(daemon) as stream:
        assert stream.response.status == 200 and stream.next()[0] == "ready"
    for headers in ({"Authorization": "Bearer no"}, {"Authorization": ""}):
        with Stream(daemon, headers) as stream:
            assert stream.response.status == 401
    assert daemon.client(token=None).get("/v1/events?token=abc").status == 401
    assert daemon.client(token=None).get("/v1/client").status == 401


def test_bound(daemon):
    client = daemon.client()
    streams = [Stream(daemon) for _ in range(SUBSCRIBERS_MAX)]
    assert all(one.response.status == 200 for one in streams)
    with Stream(daemon) as more:
        assert more.response.status == 429
        assert more.response.headers["Content-Type"] == "application/problem+json"
        assert more.response.headers["Retry-After"]
    client.put("/v1/regions/A")
    for one in streams:
        assert one.next_of("change")["objects"][0]["id"] == "A"
    for one in streams:
        one.close()
    wait_until(lambda: metric(client, "sallyport_event_subscribers") == 0, "those that left are forgotten", timeout=PATIENCE_S)
    with Stream(daemon) as one:
        assert one.response.status == 200
    assert daemon.stop() == 0, daemon.text()


def test_one_that_does_not_read(daemon):
    """Is dropped, and holds up neither changes nor the others."""
    client = daemon.client()
    client.put("/v1/regions/A")
    groups = [client.post("/v1/security-groups", {"region": "A", "name": "g", "default": True}).json["id"] for _ in range(2)]
    for number in range(100):
        client.post("/v1/servers", {"region": "A", "name": f"vm{number}"})
    deaf = Stream(daemon, receive_buffer=2048)
    with Stream(daemon) as other:
        deadline, swaps = time.monotonic() + 300, 0
        while metric(client, "sallyport_event_subscribers_dropped_total") == 0:
            assert time.monotonic() < deadline
            made = client.patch(f"/v1/security-groups/{groups[swaps % 2]}", {"default": True})  # Moves every server.
            assert made.status == 200
            swaps += 1
            assert other.next_of("change", lambda data: data["revision"] == made.revision)["more"] is True
    deaf.close()
    assert swaps > 10
    assert daemon.stop() == 0, daemon.text()


def test_stopping_ends_it(daemon):
    stream = Stream(daemon)
    assert stream.next()[0] == "ready"
    daemon.process.send_signal(signal.SIGTERM)
    assert stream.next() is None  # A whole answer: its end was announced.
    assert daemon.process.wait(PATIENCE_S) == 0
    assert "left open" not in daemon.text()


def test_bridges(daemon):
    with Ovs() as switch, Stream(daemon) as stream:
        switch.add_bridge("br0", int(DPID, 16), [f"unix:{daemon.openflow}"])
        switch.add_port("br0", "vm1", switch.add_host("vm1"))
        client = daemon.client()

        def bridge(fits):
            return stream.next_of("bridge", lambda data: data["dpid"] == DPID and fits(data))

        assert bridge(lambda data: data["connected"])["name"] == "br0"
        client.put(f"/v1/bridges/{DPID}")
        client.put("/v1/regions/A")
        made = client.post("/v1/servers?wait=0", {"region": "A", "name": "vm", "ports": [
            {"mac": "02:00:00:00:00:e1", "ips": ["10.0.0.1"], "bridge": DPID, "port": "vm1"}]})
        settled = bridge(lambda data: data["revision"] >= made.revision and not data["pending"])
        assert settled["last_error"] is None and settled["listed"] is True
        switch.kill_switch()
        assert bridge(lambda data: not data["connected"])["listed"] is True
