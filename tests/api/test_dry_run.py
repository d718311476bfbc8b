"""?dry_run=true: the same judgement, nothing changed, and what would be."""

import os
import random

import pytest

from test_changes import recorded
from test_undo import DPID, SEED, Walk, made, objects, switch, undo  # noqa: F401 (a fixture)
from topology.ovs import wait_until

RULE = {"direction": "inbound", "protocol": "tcp", "port_min": 80, "port_max": 80}
STEPS = int(os.environ.get("SALLYPORT_LEAPS", "40"))


def raw_flows(switch):  # noqa: F811
    return set(line.strip() for line in switch.ofctl("dump-flows", "br0", "--no-stats").splitlines())


def everything(api):
    return objects(api), api.get("/v1/status").json["revision"], api.get("/v1/changes").json


def dry(api, method, path, body=None, **options):
    return api(method, path + ("&" if "?" in path else "?") + "dry_run=true", body, **options)


def test_what_would_be(api, region, group, rules):
    before = everything(api)
    answer = dry(api, "POST", rules, RULE)
    assert answer.status == 200 and answer.json["dry_run"] is True and answer.json["what"] == "rule added to group web"
    assert "ETag" not in answer.headers and "Sallyport-Revision" not in answer.headers
    assert answer.json["result"]["port_min"] == 80
    thing, = answer.json["effect"]["objects"]
    assert thing["id"] == group["id"] and thing["rules"][0]["after"] == recorded(answer.json["result"])
    answer = dry(api, "POST", "/v1/security-groups", {"region": region, "name": "new", "default": True})
    assert answer.json["result"]["default"] is True and answer.json["result"]["name"] == "new"
    answer = dry(api, "DELETE", f"/v1/security-groups/{group['id']}")
    assert answer.json["result"] is None and answer.json["effect"]["objects"][0]["after"] is None
    assert dry(api, "PUT", f"/v1/regions/{region}").json["effect"]["objects"] == []
    assert dry(api, "PUT", "/v1/regions/nowhere").json["result"]["name"] == "nowhere"
    assert everything(api) == before
    assert api.post(f"{rules}?dry_run=false", RULE).status == 201
    for wrong in ("1", "yes", ""):
        assert api.post(f"{rules}?dry_run={wrong}", RULE).fields == ["?dry_run"]


def test_the_same_refusals(api, region, group, rules, new_server):
    server = new_server(security_groups=[group["id"]])
    rule = made(api.post(rules, RULE)).json["id"]
    other = made(api.post(rules, dict(RULE, protocol="udp"))).json["id"]
    first = made(api.patch(f"{rules}/{rule}", {"description": "x"}))
    made(api.patch(f"{rules}/{rule}", {"description": "y"}))
    before = everything(api)
    for method, path, body, headers in (
            ("DELETE", f"/v1/security-groups/{group['id']}", None, {}), ("POST", rules, {"direction": "up"}, {}),
            ("PATCH", f"{rules}/{other}", {"protocol": "tcp"}, {}), ("DELETE", f"/v1/regions/{region}", None, {}),
            ("POST", rules, dict(RULE, port_max=99), {"If-Match": '"1"'}), ("DELETE", "/v1/servers/" + rule, None, {}),
            ("POST", f"/v1/changes/{first.revision}/undo", None, {}), ("DELETE", f"/v1/bridges/{server['ports'][0]['bridge']}", None, {}),
            ("PUT", f"/v1/servers/{server['id']}/security-groups", {"security_groups": [rule]}, {})):
        tried, refused = dry(api, method, path, body, headers=headers), api(method, path, body, headers=headers)
        assert tried.status == refused.status >= 400 and tried.json == refused.json, (method, path, tried, refused)
    trial = made(api.patch(f"{rules}/{rule}?confirm_within=3600", {"description": "z"}))
    assert dry(api, "PATCH", f"{rules}/{rule}", {"description": "x"}).status == 409
    made(undo(api, trial.revision))
    assert everything(api)[0] == before[0]


def test_connections(api, region, group, rules, new_server):
    """Connections of a rule are judged again if it goes or gets narrower, and those of a server that changes its groups."""
    server = new_server(security_groups=[group["id"]])
    wide = made(api.post(rules, dict(RULE, port_max=90))).json["id"]
    other = made(api.post(rules, dict(RULE, protocol="udp"))).json["id"]

    def judged(method, path, body=None):
        effect = dry(api, method, path, body).json["effect"]
        assert effect["n_connections_judged_again"] == len(effect["connections_judged_again"])
        assert effect["servers"] == [server["id"]] and effect["n_servers"] == 1
        return effect["connections_judged_again"]

    assert judged("DELETE", f"{rules}/{wide}") == [wide]
    assert judged("PATCH", f"{rules}/{wide}", {"port_max": 85}) == [wide]
    assert judged("POST", rules, dict(RULE, protocol="sctp")) == []
    assert judged("POST", rules, {**RULE, "action": "deny", "priority": 1}) == [wide]
    assert judged("PUT", f"/v1/servers/{server['id']}/security-groups", {"security_groups": []}) == sorted([wide, other])
    assert judged("DELETE", f"/v1/servers/{server['id']}") == sorted([wide, other])


def test_connections_that_nobody_tells(daemon, switch):  # noqa: F811
    """Without a control socket no connection is known, which is no 0; what cuts nothing is 0 all the same."""
    api = daemon.client()
    for name in ("U", "V"):
        made(api.put(f"/v1/regions/{name}"))
    wait_until(lambda: api.get(f"/v1/bridges/{DPID}").status == 200, "the bridge is connected")
    adopted = "a bridge is adopted: what passes through it until then is not tracked"
    place = {"bridge": DPID, "port": "p1", "mac": "02:00:00:00:00:01", "ips": ["10.0.0.1"]}
    body = {"region": "U", "name": "vm", "ports": [place]}

    def cut(method, path, body=None):
        effect = dry(api, method, path, body).json["effect"]
        assert effect["connections_cut"] == []
        return effect["n_connections_cut"], [(one["reason"], one["servers"], one["n_servers"]) for one in effect["connections_unknown"]]

    assert cut("POST", "/v1/servers", body) == (None, [(adopted, [], 0)])
    assert cut("PUT", f"/v1/bridges/{DPID}", {"uplinks": ["p5"]}) == (None, [(adopted, [], 0)])
    server = made(api.post("/v1/servers?wait=30", body)).json
    path, rules = f"/v1/servers/{server['id']}", f"/v1/security-groups/{server['security_groups'][0]}/rules"
    first = api.get(rules).json["rules"][0]["id"]
    unknown = None, [("no control socket of a switch is known: start sallyportd with --switch-control", [server["id"]], 1)]
    for change in (("DELETE", path), ("DELETE", f"{rules}/{first}"), ("PATCH", f"{rules}/{first}", {"remote_ip": "192.0.2.1"}),
                   ("POST", rules, {**RULE, "action": "deny", "protocol": "any", "port_min": -1, "port_max": -1, "priority": 1}),
                   ("PUT", path + "/security-groups", {"security_groups": []}), ("PATCH", path, {"ports": []}),
                   ("PATCH", path, {"ports": [{**place, "ips": ["10.0.0.2"]}]}), ("PATCH", path, {"ports": [{**place, "vlan": 7}]}),
                   ("PATCH", path, {"ports": [{**place, "mac": "02:00:00:00:00:09"}]}),
                   ("POST", "/v1/security-groups", {"region": "U", "name": "new", "default": True})):
        assert cut(*change) == unknown, change
    for change in (("POST", rules, RULE), ("PATCH", path, {"name": "other"}), ("PATCH", f"{rules}/{first}", {"description": "x"}),
                   ("POST", "/v1/security-groups", {"region": "U", "name": "new"}), ("PATCH", "/v1/regions/U", {"report_blocked": False}),
                   ("PATCH", path, {"ports": [{**place, "ips": ["10.0.0.1", "10.0.0.2"], "port_security": False}]}), ("DELETE", "/v1/regions/V"),
                   ("PATCH", path, {"ports": [place, {**place, "port": "p2", "mac": "02:00:00:00:00:02"}]})):
        assert cut(*change) == (0, []), change
    made(api.delete(path))


class DryFirst:
    """A client that looks before each leap, and sees whether it comes as foretold."""

    def __init__(self, api, switch):  # noqa: F811
        self.api, self.switch, self.n_seen = api, switch, 0

    def get(self, path):
        return self.api.get(path)

    def leap(self, method, path, body=None):
        before, flows = everything(self.api), raw_flows(self.switch)
        told = dry(self.api, method, path, body)
        assert everything(self.api) == before and raw_flows(self.switch) == flows
        answer = self.api(method, path, body)
        if answer.status >= 400:
            assert (told.status, told.json) == (answer.status, answer.json)
            return answer
        assert told.status == 200 and answer.applied, (told, answer)
        after = raw_flows(self.switch)
        added, removed = len(after - flows), len(flows - after)
        seen = {one["dpid"]: (one["flows_added"], one["flows_removed"]) for one in told.json["effect"]["bridges"]}
        assert seen.get(DPID, (0, 0)) == (added, removed), (SEED, method, path, body, told)
        effect = told.json["effect"]
        assert effect["bridges_left_out"] == 0
        reasons = [one["reason"] for one in effect["connections_unknown"]]
        assert effect["connections_cut"] == [] and effect["n_connections_cut"] == (None if reasons else 0)
        assert all(reason.startswith(("a bridge ", "an uplink ", "it is on no bridge ")) for reason in reasons), reasons
        self.n_seen += bool(added or removed)
        return answer

    def post(self, path, body=None):
        return self.leap("POST", path, body)

    def put(self, path, body=None):
        return self.leap("PUT", path, body)

    def patch(self, path, body=None):
        return self.leap("PATCH", path, body)

    def delete(self, path):
        return self.leap("DELETE", path)


def test_as_foretold(daemon, switch):  # noqa: F811
    """Flow by flow, at random, and the adoption and release of the bridge.  The switch is asked for connections, and has none."""
    print(f"SALLYPORT_SEED={SEED}")
    assert daemon.stop() == 0, daemon.text()
    daemon.options = ["--switch-control", f"unix:{switch.directory}"]
    daemon.start()
    api = daemon.client()
    made(api.put("/v1/regions/A"))
    wait_until(lambda: api.get(f"/v1/bridges/{DPID}").status == 200, "the bridge is connected")
    leaper = DryFirst(api, switch)
    made(leaper.put(f"/v1/bridges/{DPID}", {"uplinks": ["p5"]}))
    walk = Walk(leaper, random.Random(SEED))
    for _ in range(STEPS):
        walk.step()
    assert leaper.n_seen > STEPS / 4
    for server in walk.servers():
        made(leaper.delete(f"/v1/servers/{server['id']}"))
    told = dry(api, "DELETE", f"/v1/bridges/{DPID}").json["effect"]["bridges"]
    assert told == [{"dpid": DPID, "flows_added": 0, "flows_removed": len(raw_flows(switch))}]
