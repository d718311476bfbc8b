"""Contract 2 to 4 with a real switch: when a change counts as applied, and what bridges and ports look like."""

import contextlib
import os
import signal
import subprocess
import threading

import pytest

from topology.ovs import Ovs, wait_until

DPID = "00000000000000c1"
BRIDGE = f"/v1/bridges/{DPID}"
MAC = "02:00:00:00:00:c1"


@pytest.fixture
def switch(daemon):
    """A switch whose bridge br0 knows the daemon and has the ports vm1, vm2 and eth9."""
    with Ovs() as one:
        one.add_bridge("br0", int(DPID, 16), [f"unix:{daemon.openflow}"])
        for name in ("vm1", "vm2", "eth9"):
            one.add_port("br0", name, one.add_host(name))
        wait_until(lambda: len(ports(daemon.client())) >= 3, "the ports are known")
        yield one


def ports(client):
    answer = client.get(BRIDGE)
    return {port["name"]: port for port in answer.json["ports"]} if answer.status == 200 else {}


def create(client, name="vm1", **fields):
    client.put("/v1/regions/A")
    port = {"mac": MAC, "ips": ["10.0.0.1"], "bridge": DPID, "port": "vm1", **fields}
    answer = client.post("/v1/servers", {"region": "A", "name": name, "ports": [port]})
    assert answer.status == 201, answer
    return answer


def is_stopped(pid):
    """Whether every thread of the process has come to a halt."""
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/stat", encoding="utf-8") as file:
            if file.read().rpartition(")")[2].split()[0] != "T":
                return False
    return True


@contextlib.contextmanager
def paused(switch):
    os.kill(switch.pid(), signal.SIGSTOP)
    try:
        wait_until(lambda: is_stopped(switch.pid()), "the switch stands still")
        yield
    finally:
        os.kill(switch.pid(), signal.SIGCONT)


def test_a_bridge_that_only_connects(daemon, switch):
    client = daemon.client()
    switch.ofctl("add-flow", "br0", "priority=5,in_port=1,actions=drop")
    before = switch.ofctl("dump-flows", "br0", "--no-stats")
    bridge = client.get(BRIDGE).json
    assert bridge["connected"] is True and bridge["name"] == "br0"
    assert bridge["peer"].startswith("unix:") and bridge["version"].startswith("OpenFlow 1.")
    assert {port["role"] for port in bridge["ports"]} == {"closed"}
    assert all(port["server"] is None for port in bridge["ports"])
    assert client.put("/v1/regions/A").applied is True
    assert switch.ofctl("dump-flows", "br0", "--no-stats") == before
    refused = client.delete(BRIDGE)
    assert refused.status == 404 and "not adopted" in refused.json["detail"]
    adopted = client.put(BRIDGE, {"uplinks": ["eth9"]})
    assert adopted.status == 200, adopted  # It was there before.
    assert adopted.applied is True
    assert ports(client)["eth9"]["role"] == "uplink" and ports(client)["vm1"]["role"] == "closed"


def test_applied(daemon, switch):
    client = daemon.client()
    made = create(client)
    assert made.applied is True
    [port] = made.json["ports"]
    assert port["state"] == "active"
    bridge = client.get(BRIDGE).json
    assert bridge["revision"] >= made.revision
    assert bridge["flows"]["desired"] == bridge["flows"]["installed"] > 0
    assert bridge["last_error"] is None
    assert ports(client)["vm1"] | {"ofport": 0} == {"ofport": 0, "name": "vm1", "role": "server", "server": made.json["id"]}
    assert client.get("/v1/status").json["pending"] == []
    unbound = create(client, name="vm3", mac="02:00:00:00:00:c3", ips=["10.0.0.3"], port="nowhere")
    assert unbound.json["ports"][0]["state"] == "unbound"


def test_durable_but_not_confirmed(daemon, switch):
    client = daemon.client()
    server = create(client).json
    group = f"/v1/security-groups/{server['security_groups'][0]}"
    rule = {"direction": "inbound", "protocol": "tcp", "port_min": 80}
    with paused(switch):
        late = client.post(f"{group}/rules?wait=0", rule)
        assert late.status == 202, late
        assert late.applied is False and late.revision > 0
        assert late.json["port_min"] == 80 and late.headers["Location"] == f"{group}/rules/{late.json['id']}"
        assert client.get(f"{group}/rules/{late.json['id']}").json == late.json
        assert client.get("/v1/status").json["pending"] == [DPID]
        assert client.get(BRIDGE).json["revision"] < late.revision
        again = client.patch(f"{group}/rules/{late.json['id']}?wait=1", {"priority": 7})
        assert again.status == 202 and again.json["priority"] == 7
        gone = client.delete(f"{group}/rules/{late.json['id']}?wait=0")
        assert gone.status == 202 and gone.body == b"" and gone.applied is False
        # What does not concern the bridge is not held up by it.
        other = client.put("/v1/regions/B")
        assert other.status == 201 and other.applied is True
    wait_until(lambda: client.get("/v1/status").json["pending"] == [], "everything is confirmed")
    assert client.get(BRIDGE).json["revision"] >= gone.revision


def test_waits_for_the_confirmation(daemon, switch):
    client = daemon.client()
    server = create(client).json
    rules = f"/v1/security-groups/{server['security_groups'][0]}/rules"
    answers = []
    with paused(switch):
        thread = threading.Thread(target=lambda: answers.append(
            daemon.client().post(f"{rules}?wait=60", {"direction": "inbound", "protocol": "udp"})))
        thread.start()
        wait_until(lambda: client.get("/v1/status").json["pending"] == [DPID], "the change is durable")
        assert not answers
    thread.join(60)
    [answer] = answers
    assert answer.status == 201 and answer.applied is True


def test_deleting_a_bridge_takes_our_flows_away(daemon, switch):
    client = daemon.client()
    switch.ofctl("add-flow", "br0", "priority=5,in_port=1,actions=drop")
    server = create(client).json
    assert client.delete(BRIDGE).status == 409
    assert client.delete(f"/v1/servers/{server['id']}").status == 204
    answer = client.delete(BRIDGE)
    assert answer.status == 204 and answer.applied is True

    def left():
        return [line for line in switch.ofctl("dump-flows", "br0", "--no-stats").splitlines() if "actions=" in line]

    wait_until(lambda: len(left()) == 1, "only the flow of another hand is left")
    assert "priority=5" in left()[0]
    assert client.get(BRIDGE).json["connected"] is True


def test_bridge_goes_away(daemon, switch):
    client = daemon.client()
    server = create(client).json
    switch.vsctl("del-controller", "br0")
    wait_until(lambda: client.get(BRIDGE).json["connected"] is False, "the bridge is gone")
    bridge = client.get(BRIDGE).json
    assert bridge["ports"] == [] and bridge["peer"] is None and bridge["name"] in ("br0", None)
    assert client.get(f"/v1/servers/{server['id']}").json["ports"][0]["state"] == "unbound"
    rules = f"/v1/security-groups/{server['security_groups'][0]}/rules"
    answer = client.post(rules, {"direction": "inbound", "protocol": "udp"})
    assert answer.status == 201 and answer.applied is True  # No connected bridge is touched.


def test_the_machine_itself_speaks_through_the_bridge(daemon):
    """The bridge's own port is closed as every other, unless it is named as an uplink."""
    client = daemon.client()
    with Ovs() as one:
        one.add_bridge("br0", int(DPID, 16), [f"unix:{daemon.openflow}"])
        host = one.add_host("out")
        one.add_port("br0", "eth9", host, ips=["10.0.9.1/24"])
        one.inside("ip", "addr", "add", "10.0.9.2/24", "dev", "br0")
        one.inside("ip", "link", "set", "dev", "br0", "up")
        wait_until(lambda: {"br0", "eth9"} <= set(ports(client)), "the ports are known")

        def answers():
            return not subprocess.run(["ip", "netns", "exec", host.netns, "ping", "-c1", "-W1", "10.0.9.2"], stdout=subprocess.DEVNULL,
                                      check=False).returncode

        assert client.put(BRIDGE, {"uplinks": ["eth9"]}).applied is True
        assert ports(client)["br0"]["role"] == "closed" and not answers()
        assert client.put(BRIDGE, {"uplinks": ["eth9", "br0"]}).applied is True
        assert ports(client)["br0"]["role"] == "uplink"
        wait_until(answers, "the machine can be reached")


def test_what_is_refused_has_a_long_name(daemon, switch):
    """The last error quotes as much of a name as there is room for; where it cuts, every list can still be read."""
    client = daemon.client()
    server = create(client).json
    name = "\N{CJK UNIFIED IDEOGRAPH-5B89}" * 40
    group = client.post("/v1/security-groups", {"region": "A", "name": name, "rules": []}).json
    assert client.put(f"/v1/servers/{server['id']}/security-groups", {"security_groups": [group["id"]]}).applied is True
    switch.vsctl("--", "--id=@full", "create", "Flow_Table", "flow_limit=1", "overflow_policy=refuse", "--",
                 "set", "Bridge", "br0", "flow_tables:21=@full")
    rules = [{"direction": "inbound", "protocol": "tcp", "port_min": port, "remote_ip": f"10.0.{port}.0/24"} for port in range(9)]
    answer = client.put(f"/v1/security-groups/{group['id']}/rules", {"rules": rules})
    assert answer.status == 202, answer

    def error():
        return client.get(BRIDGE).json["last_error"]

    wait_until(lambda: error() and name[:20] in error(), "the bridge tells which group is refused")
    assert client.get("/v1/status").json["bridges"][0]["last_error"] == client.get("/v1/bridges").json["bridges"][0]["last_error"] == error()


def test_metrics_of_a_bridge(daemon, switch):
    client = daemon.client()
    create(client)
    text = client.get("/metrics").body.decode()
    assert f'sallyport_bridge_connected{{dpid="{DPID}"}} 1' in text
    assert "sallyport_bridges_connected 1" in text
    sent = next(line for line in text.splitlines() if line.startswith("sallyport_flow_mods_sent_total "))
    assert int(sent.split()[1]) > 0


def test_a_bridge_that_is_not_set_up_right(make_daemon):
    """A bridge that would pass everything without its controller is reported, once it is ours."""
    with Ovs() as one:
        daemon = make_daemon("--ovsdb", f"unix:{one.path('db.sock')}").start()
        client = daemon.client()
        one.add_bridge("br0", int(DPID, 16), [f"unix:{daemon.openflow}"])
        wait_until(lambda: client.get(BRIDGE).status == 200, "the bridge is connected")
        one.vsctl("set-fail-mode", "br0", "standalone")

        def error():
            return client.get(BRIDGE).json["last_error"]

        wait_until(lambda: "following" in daemon.text(), "the database is followed")
        assert error() is None and "fail_mode" not in daemon.text()
        assert client.put(BRIDGE, {"uplinks": []}).applied is True
        wait_until(lambda: error() and "fail_mode is not secure" in error(), "it is reported")
        wait_until(lambda: "WARNING engine: bridge 00000000000000c1 (br0): fail_mode is not secure" in daemon.text(), "it is logged")
        one.vsctl("set-fail-mode", "br0", "secure")
        wait_until(lambda: error() is None, "it is mended")
        wait_until(lambda: "its settings are right now" in daemon.text(), "that is logged")
        one.vsctl("set-fail-mode", "br0", "standalone")
        wait_until(error, "it is reported again")
        daemon.kill()
        daemon.start()
        client.address = daemon.address
        client.close()
        wait_until(lambda: client.get(BRIDGE).json["connected"] and error(), "after a restart too")
        assert daemon.text().count("fail_mode is not secure") == 1
        assert client.delete(BRIDGE).status == 204
        assert error() is None
        assert daemon.stop() == 0


def test_iface_id(make_daemon):
    """A port that is named by its iface_id alone is found through the switch's database."""
    with Ovs() as one:
        daemon = make_daemon("--ovsdb", f"unix:{one.path('db.sock')}").start()
        client = daemon.client()
        one.add_bridge("br0", int(DPID, 16), [f"unix:{daemon.openflow}"])
        client.put("/v1/regions/A")
        assert client.put(BRIDGE, {"uplinks": []}).status in (200, 201)
        made = client.post("/v1/servers", {"region": "A", "name": "vm", "ports": [{"mac": MAC, "iface_id": "of-vm"}]})
        assert made.status == 201 and made.json["ports"][0]["state"] == "unbound"
        one.add_port("br0", "tap1", one.add_host("vm"), external_ids={"iface-id": "of-vm"})

        def state():
            return client.get(f"/v1/servers/{made.json['id']}").json["ports"][0]["state"]

        wait_until(lambda: state() == "active", "the port is bound")
        assert ports(client)["tap1"]["server"] == made.json["id"]
        one.remove_port("br0", "tap1")
        wait_until(lambda: state() == "unbound", "the port is gone")
        assert daemon.stop() == 0
