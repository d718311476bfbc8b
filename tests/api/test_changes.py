"""The history of changes: who changed what, when, and what it was before."""

import json
import signal
import sqlite3
import subprocess

import pytest

import daemon as sallyport

RULE = {"direction": "inbound", "protocol": "tcp", "port_min": 80, "port_max": 80}


def made(answer):
    assert answer.status in (200, 201, 202, 204), answer
    return answer


def last(api, **filters):
    query = "&".join(f"{key}={value}" for key, value in filters.items())
    return api.get(f"/v1/changes?limit=1&{query}").json["changes"][0]


def recorded(rule):
    """As the history has it: without what is counted."""
    return {name: value for name, value in rule.items() if name not in ("hits", "bytes", "first_hit", "last_hit", "counting_since")}


def test_a_rule(api, region, group, rules):
    """One rule is one object with one rule that differs, as the API shows it."""
    answer = made(api.post(rules, RULE))
    change = last(api, region=region)
    assert (change["id"], change["who"], change["method"], change["path"]) == (answer.revision, None, "POST", rules)
    assert change["what"] == "rule added to group web"
    thing, = change["objects"]
    assert (thing["kind"], thing["id"], thing["region"], thing["name"]) == ("security_group", group["id"], region, "web")
    assert (thing["before"], thing["after"]) == ({}, {})
    assert thing["rules"] == [{"position": 0, "before": None, "after": recorded(answer.json)}]
    assert api.get(f"/v1/changes/{answer.revision}").json == change

    rule = answer.json["id"]
    after = recorded(made(api.patch(f"{rules}/{rule}", {"port_max": 90})).json)
    change = last(api, region=region)
    assert change["what"] == "rule changed in group web"
    assert change["objects"][0]["rules"] == [{"position": 0, "before": recorded(answer.json), "after": after}]

    made(api.delete(f"{rules}/{rule}"))
    change = last(api, region=region)
    assert change["what"] == "rule deleted from group web" and change["path"] == f"{rules}/{rule}"
    assert change["objects"][0]["rules"] == [{"position": 0, "before": after, "after": None}]


def test_only_what_differs(api, region, group, rules):
    """One rule of two thousand is one rule."""
    listed = [dict(RULE, port_min=port, port_max=port) for port in range(1, 2001)]
    made(api.put(rules, {"rules": listed}))
    change = last(api, region=region)
    assert change["what"] == "rules of group web replaced: 2000 added, 0 deleted, 0 changed"
    listed[1000] = dict(RULE, protocol="udp")
    made(api.put(rules, {"rules": listed}))
    change = last(api, region=region)
    assert change["what"] == "rules of group web replaced: 1 added, 1 deleted, 0 changed"
    assert [rule["position"] for rule in change["objects"][0]["rules"]] == [1000, 1000]
    listed[3], listed[7] = listed[7], listed[3]
    made(api.put(rules, {"rules": listed}))
    change = last(api, region=region)
    assert change["what"] == "rules of group web put in another order"
    thing = change["objects"][0]
    assert len(thing["before"]["rule_order"]) == 2000 and thing["before"]["rule_order"] != thing["after"]["rule_order"]
    assert thing["rules"] == []


def test_every_kind(api, region, new_port):
    """Made, changed and deleted: before and after of each kind of object."""
    change = last(api, region=region)
    assert change["what"] == f"region {region} created" and change["objects"][0]["before"] is None
    port = new_port("192.0.2.9")
    server = made(api.post("/v1/servers", {"region": region, "name": "vm1", "ports": [port]})).json
    change = last(api, region=region)
    assert change["what"] == f"server vm1 created; default group of region {region} changed; 1 bridge adopted or released"
    assert sorted(thing["kind"] for thing in change["objects"]) == ["bridge", "region", "security_group", "server"]
    by_kind = {thing["kind"]: thing for thing in change["objects"]}
    shown = by_kind["server"]["after"]
    assert {**shown, "ports": None} == {key: value for key, value in {**server, "ports": None}.items() if key != "updated_at"}
    assert [{**one, "state": "unbound"} for one in shown["ports"]] == server["ports"]
    assert by_kind["region"]["before"] == {"default_group": None}
    assert by_kind["region"]["after"] == {"default_group": server["security_groups"][0]}
    assert len(by_kind["security_group"]["after"]["rules"]) == 5

    made(api.patch(f"/v1/servers/{server['id']}", {"name": "vm2", "kind": "baremetal"}))
    thing, = last(api, object=server["id"])["objects"]
    assert (thing["before"], thing["after"]) == ({"name": "vm1", "kind": "vps"}, {"name": "vm2", "kind": "baremetal"})

    made(api.put(f"/v1/bridges/{port['bridge']}", {"uplinks": ["eth0"]}))
    change = last(api, object=port["bridge"])
    assert change["what"] == f"uplinks of bridge {port['bridge']} changed"
    assert (change["objects"][0]["before"], change["objects"][0]["after"]) == ({"uplinks": []}, {"uplinks": ["eth0"]})

    group = made(api.post("/v1/security-groups", {"region": region, "name": "new", "default": True})).json
    change = last(api, object=group["id"])
    assert change["what"] == f"group new created; default group of region {region} changed; 1 server changed"
    moved, = [thing for thing in change["objects"] if thing["kind"] == "server"]
    assert moved["after"] == {"security_groups": [group["id"]]}

    made(api.delete(f"/v1/servers/{server['id']}"))
    change = last(api, object=server["id"])
    assert change["what"] == "server vm2 deleted" and change["objects"][0]["after"] is None
    made(api.patch(f"/v1/security-groups/{group['id']}", {"default": False, "name": "old", "description": "x"}))
    change = last(api, object=group["id"])
    assert change["what"] == f"group new renamed to old; region {region} has no default group"
    made(api.delete(f"/v1/security-groups/{group['id']}"))
    assert last(api, object=group["id"])["what"] == "group old deleted"


def test_what_changes_nothing_is_no_change(api, region, group, rules):
    made(api.post(rules, RULE))
    before = last(api)["id"]
    assert made(api.post(rules, RULE)).status == 200
    made(api.put(f"/v1/regions/{region}"))
    assert api.post(rules, {"direction": "up"}).status == 422
    assert last(api)["id"] == before


def test_names_of_every_length(api, region):
    """The longest names of the widest characters fit the line."""
    name, other = "\U0001d11e" * 255, "\u20ac" * 255
    group = made(api.post("/v1/security-groups", {"region": region, "name": name})).json
    made(api.patch(f"/v1/security-groups/{group['id']}", {"name": other}))
    assert last(api, region=region)["what"] == f"group {name} renamed to {other}"


def test_pages_and_filters(api, region, other_region, group, rules):
    made(api.post("/v1/security-groups", {"region": other_region, "name": "x"}))
    ids = [made(api.post(rules, dict(RULE, port_min=port, port_max=port))).revision for port in range(1, 8)]
    seen, before = [], None
    while True:
        page = api.get(f"/v1/changes?region={region}&limit=3" + (f"&before={before}" if before else "")).json
        assert 0 < len(page["changes"]) <= 3
        seen += [change["id"] for change in page["changes"]]
        before = page["next"]
        if before is None:
            break
        assert before == seen[-1]
    assert seen[:7] == ids[::-1] and seen == sorted(seen, reverse=True) and len(seen) == 9
    assert [change["id"] for change in api.get(f"/v1/changes?object={group['id']}").json["changes"]] == seen[:8]
    assert api.get("/v1/changes?object=nobody").json == {"changes": [], "next": None}
    for query in ("limit=0", "limit=1001", "limit=x", "before=0", "before=-1", "before=99999999999999999999", "what=x", "limit=1&limit=2"):
        assert api.get(f"/v1/changes?{query}").status == 422, query
    for name in ("0", "x", "99999999", "123456789012345678901"):
        assert api.get(f"/v1/changes/{name}").status == 404, name


def test_pages_are_bounded(api, region, group, rules):
    """Long changes make short pages, and each is there."""
    for priority in range(1, 5):
        listed = [dict(RULE, port_min=port, port_max=port, priority=priority) for port in range(1, 700)]
        made(api.put(rules, {"rules": listed}))
    first = api.get(f"/v1/changes?object={group['id']}")
    assert len(first.json["changes"]) < 5 and len(first.body) < 4 << 20
    seen, page = [], first.json
    while True:
        seen += [change["id"] for change in page["changes"]]
        if page["next"] is None:
            break
        page = api.get(f"/v1/changes?object={group['id']}&before={page['next']}").json
    assert len(seen) == 5 and seen == sorted(set(seen), reverse=True)


def test_too_long_a_change_is_named(daemon):
    """A change of more than 4 MiB is told without what differs, and cannot be undone."""
    api = daemon.client()
    made(api.put("/v1/regions/A"))
    rules = f"/v1/security-groups/{made(api.post('/v1/security-groups', {'region': 'A', 'name': 'web'})).json['id']}/rules"
    # A rule in the list needs less than a rule in an answer.
    listed = [{"direction": "inbound", "protocol": 6, "port_min": port} for port in range(1, 14001)]
    made(api.put(rules, {"rules": listed}))
    change = last(api)
    assert change["whole"] is False and len(change["objects"]) == 1
    assert set(change["objects"][0]) == {"kind", "id", "region", "name"}
    assert change["what"] == "rules of group web replaced: 14000 added, 1 deleted, 0 changed"
    refused = api.post(f"/v1/changes/{change['id']}/undo")
    assert refused.status == 409 and "too much to be kept" in refused.json["detail"]
    assert daemon.stop() == 0
    daemon.start()
    assert last(daemon.client()) == change


def test_it_survives(daemon):
    """A killed daemon has its history: what was answered is there, as it was."""
    api = daemon.client()
    made(api.put("/v1/regions/A"))
    rules = f"/v1/security-groups/{made(api.post('/v1/security-groups', {'region': 'A', 'name': 'web'})).json['id']}/rules"
    for port in range(1, 50):
        made(api.post(rules, dict(RULE, port_min=port, port_max=port, description="'\"\\\u20ac")))
    before = api.get("/v1/changes?limit=1000").json
    assert len(before["changes"]) == 51
    daemon.process.send_signal(signal.SIGKILL)
    daemon.process.wait()
    daemon.start()
    assert daemon.client().get("/v1/changes?limit=1000").json == before


def test_it_is_bounded(daemon):
    """The oldest go, from memory and from the file, and those that stay are whole."""
    api = daemon.client()
    made(api.put("/v1/regions/A"))
    made(api.post("/v1/security-groups", {"region": "A", "name": "web"}))
    daemon.stop()
    path = daemon.db.partition(":")[2]
    with sqlite3.connect(path) as db:
        text = json.dumps({"kind": "region", "id": "A", "region": "A", "name": "A", "before": {}, "after": {}})
        db.executemany("INSERT INTO change VALUES (?, 1, NULL, 'x', 'PUT', '/v1/regions/A', 'admin', NULL, 1)",
                       ((number,) for number in range(3, 12001)))
        db.executemany("INSERT INTO change_object VALUES (?, 0, 'region', 'A', 'A', ?)", ((number, text) for number in range(3, 12001)))
        db.execute("UPDATE counters SET revision = 12000")
    db.close()
    daemon.start()
    api = daemon.client()
    assert api.get("/v1/changes/2000").status == 404 and api.get("/v1/changes/2001").status == 200
    made(api.put("/v1/regions/B"))
    assert api.get("/v1/changes/2001").status == 404 and api.get("/v1/changes/2002").status == 200
    made(api.put("/v1/regions/C"))
    daemon.stop()
    db = sqlite3.connect(path)
    for table, key in (("change", "revision"), ("change_object", "change")):
        assert db.execute(f"SELECT min({key}), max({key}) FROM {table}").fetchone() == (2002, 12002)
    db.close()


@pytest.mark.parametrize("harm", ["DELETE FROM change WHERE revision = 2", "UPDATE change SET what = CAST(x'ff' AS TEXT) WHERE revision = 2",
                                  "DELETE FROM change WHERE revision = 3"])
def test_a_damaged_history_is_told(daemon, harm):
    api = daemon.client()
    made(api.put("/v1/regions/A"))
    for name in "xyz":
        made(api.post("/v1/security-groups", {"region": "A", "name": name}))
    daemon.stop()
    db = sqlite3.connect(daemon.db.partition(":")[2])
    db.execute("PRAGMA foreign_keys = OFF")
    db.execute(harm)
    db.commit()
    db.close()
    run = subprocess.run(daemon.command(), capture_output=True, text=True, timeout=60)
    assert run.returncode == 2 and run.stderr.startswith("sallyportd: --db: ") and run.stderr.count("\n") == 1, run.stderr


def test_the_log_has_a_line_for_each(daemon):
    api = daemon.client()
    made(api.put("/v1/regions/A"))
    answer = made(api.post("/v1/security-groups", {"region": "A", "name": "web\u202e"}))
    assert f"INFO api: revision {answer.revision}: group web" in daemon.text()
