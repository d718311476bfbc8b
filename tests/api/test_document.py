"""A region as one document: exported, planned, applied."""

import copy
import hashlib
import json
import os
import random
import signal
import uuid

import pytest

SEED = int(os.environ.get("SP_SEED", "1"))
ROUNDS = int(os.environ.get("SP_DOCUMENT_ROUNDS", "40"))
RULE = {"direction": "inbound", "action": "allow", "priority": 100, "protocol": "tcp", "remote_ip": None, "remote_group": None,
        "port_min": 22, "port_max": 22, "icmp_type": -1, "icmp_code": -1, "description": ""}


def export(api, region):
    answer = api.get(f"/v1/regions/{region}/document")
    assert answer.status == 200, answer
    return answer.json


def plan(api, region, document, query=""):
    answer = api.put(f"/v1/regions/{region}/document{query}{'&' if query else '?'}dry_run=true", document)
    assert answer.status == 200, answer
    return answer.json["result"]["changes"]


def apply(api, region, document, query=""):
    """Returns what changed; the plan said the same, and a second time nothing changes."""
    planned = plan(api, region, document, query)
    answer = api.put(f"/v1/regions/{region}/document{query}", document)
    assert answer.status in (200, 201, 202), answer
    assert told(planned) == told(answer.json["changes"])
    again = api.put(f"/v1/regions/{region}/document{query}", document)
    assert again.status == 200 and again.json["changes"] == [], again
    assert again.revision == answer.revision
    return answer.json["changes"]


def told(changes):
    """Without ids, which are new ones where something is made, and without an order among things of one kind."""
    return sorted(json.dumps({name: value for name, value in change.items() if name != "id"}, sort_keys=True) for change in changes)


def brief(changes):
    return sorted((change["action"], change["kind"], change["name"], *change["fields"]) for change in changes)


def document(*groups, servers=None, **fields):
    made = {"security_groups": list(groups), **fields}
    if servers is not None:
        made["servers"] = servers
    return made


def group(name, *rules, **fields):
    return {"name": name, "rules": [{"direction": "inbound", "protocol": "tcp", **rule} for rule in rules], **fields}


def test_what_is_written(api, region, new_port):
    assert export(api, region) == {"version": 1, "region": region, "security_groups": [], "servers": []}
    web = api.post("/v1/security-groups", {"region": region, "name": "web", "description": "Für alle", "template": "none"}).json
    db = api.post("/v1/security-groups", {"region": region, "name": "db", "default": True, "rules": [
        {"direction": "inbound", "protocol": "tcp", "port_min": 5432, "remote_group": web["id"], "description": "from web"}]}).json
    port = new_port("10.0.0.1", "2001:db8::1", vlan=7, port_security=False, allowed_address_pairs=[{"ip": "10.9.0.0/16"}])
    api.post("/v1/servers", {"region": region, "name": "vm", "security_groups": [db["id"], web["id"]], "ports": [port]})
    assert export(api, region) == {
        "version": 1, "region": region,
        "security_groups": [
            {"name": "db", "description": "", "default": True,
             "rules": [{**RULE, "port_min": 5432, "port_max": 5432, "remote_group": "web", "description": "from web"}]},
            {"name": "web", "description": "Für alle", "default": False, "rules": []}],
        "servers": [{"name": "vm", "kind": "vps", "security_groups": ["db", "web"], "ports": [
            {**port, "iface_id": None, "allowed_address_pairs": [{"ip": "10.9.0.0/16", "mac": port["mac"]}]}]}]}


def test_no_such_region(api):
    assert api.get("/v1/regions/nowhere/document").status == 404
    assert api.put("/v1/regions/no%20where/document", {}).fields == ["name"]


def test_makes_the_region(make_daemon):
    api = make_daemon().start().client()
    text = document(group("a", {"port_min": 80, "remote_group": "b"}), group("b", {"port_min": 81, "remote_group": "a"}, default=True),
                    servers=[{"name": "vm", "security_groups": ["b"], "ports": [{"mac": "02:00:00:00:00:01", "iface_id": "i"}]}])
    assert api.get("/v1/regions/SV2").status == 404
    planned = plan(api, "SV2", text)
    assert brief(planned) == [("create", "region", "SV2"), ("create", "security_group", "a"), ("create", "security_group", "b"),
                              ("create", "server", "vm")]
    assert api.get("/v1/regions/SV2").status == 404, "a plan changes nothing"
    answer = api.put("/v1/regions/SV2/document", text)
    assert answer.status == 201 and answer.headers["Location"] == "/v1/regions/SV2"
    assert told(answer.json["changes"]) == told(planned)
    assert apply(api, "SV2", export(api, "SV2"), "?prune=true") == []
    assert [one["name"] for one in export(api, "SV2")["security_groups"]] == ["a", "b"]


def test_only_an_admin_makes_a_region(make_daemon):
    token = "x" * 40
    site = make_daemon(token=token).start()
    line = "op operator * sha256:" + hashlib.sha256(b"o" * 40).hexdigest()
    with open(os.path.join(site.directory, "token"), "a", encoding="ascii") as file:
        file.write(line + "\n")
    site.process.send_signal(signal.SIGHUP)
    operator = site.client(token="o" * 40)
    while operator.get("/v1/regions").status == 401:
        pass
    assert operator.put("/v1/regions/SV2/document", document(group("a"))).status == 404
    assert site.client().put("/v1/regions/SV2/document", document(group("a"))).status == 201
    assert operator.put("/v1/regions/SV2/document", document(group("b"))).status == 200


def test_what_is_not_said_stays(api, region):
    apply(api, region, document(group("a", {"port_min": 80}, description="x"), group("b")))
    before = export(api, region)
    assert apply(api, region, document({"name": "a"})) == []
    assert apply(api, region, {}) == []
    assert apply(api, region, {}, "?prune=true") == [], "no list says what there is not"
    assert export(api, region) == before
    assert brief(apply(api, region, document({"name": "a", "description": "y"}))) == [("update", "security_group", "a", "description")]
    assert export(api, region)["security_groups"][0]["rules"] == before["security_groups"][0]["rules"]


def test_rules(api, region):
    """A rule whose meaning stays keeps its id."""
    apply(api, region, document(group("a", {"port_min": 80}, {"port_min": 81, "description": "old"}, {"port_min": 82})))
    ids = {rule["port_min"]: rule["id"] for rule in api.get(f"/v1/security-groups?region={region}").json["security_groups"][0]["rules"]}
    [change] = apply(api, region, document(group("a", {"port_min": 80}, {"port_min": 81, "description": "new"}, {"port_min": 83})))
    assert change["fields"] == ["rules"]
    assert {name: [rule["port_min"] for rule in rules] for name, rules in change["rules"].items()} == {
        "added": [83], "changed": [81], "deleted": [82]}
    after = {rule["port_min"]: rule["id"] for rule in api.get(f"/v1/security-groups?region={region}").json["security_groups"][0]["rules"]}
    assert (after[80], after[81]) == (ids[80], ids[81])


def test_prune(api, region, new_server):
    """What refers to one another goes together; the default group of a region with servers stays."""
    apply(api, region, document(group("a", {"port_min": 80, "remote_group": "b"}), group("b", {"port_min": 80, "remote_group": "a"}),
                                group("keep"), servers=[{"name": "x", "security_groups": ["a", "b"]}, {"name": "y"}]))
    changes = apply(api, region, document({"name": "keep"}, servers=[{"name": "y", "security_groups": ["keep"]}]), "?prune=true")
    assert brief(changes) == [("delete", "security_group", "a"), ("delete", "security_group", "b"), ("delete", "server", "x"),
                              ("update", "server", "y", "security_groups")]
    assert [one["name"] for one in export(api, region)["security_groups"]] == ["default", "keep"]
    assert brief(apply(api, region, document(servers=[]), "?prune=true")) == [("delete", "security_group", "default"),
                                                                              ("delete", "security_group", "keep"), ("delete", "server", "y")]
    assert api.get(f"/v1/regions/{region}").json["counts"] == {"security_groups": 0, "servers": 0}


def test_prune_refuses_what_is_held(api, region):
    apply(api, region, document(group("a"), group("b", default=True), servers=[{"name": "x", "security_groups": ["a"]}]))
    answer = api.put(f"/v1/regions/{region}/document?prune=true", {"security_groups": [{"name": "b"}]})
    assert answer.status == 409 and [holder["name"] for holder in answer.json["in_use_by"]] == ["x"]
    answer = api.put(f"/v1/regions/{region}/document?prune=true", document(group("b", {"port_min": 1, "remote_group": "a"})))
    assert answer.status == 422 and answer.fields == ["security_groups[0].rules[0].remote_group"]


def test_a_port_passes_to_another_server(api, region, new_port):
    """A server under another name, a port that moves, in one change."""
    one, two, three = new_port("10.0.0.1"), new_port("10.0.0.2"), new_port("10.0.0.3")
    apply(api, region, document(servers=[{"name": "x", "ports": [one]}, {"name": "y", "ports": [two, three]}, {"name": "z"}]))
    ids = {server["name"]: server for server in api.get(f"/v1/servers?region={region}").json["servers"]}
    changes = apply(api, region, {"servers": [{"name": "renamed", "ports": [one]}, {"name": "z", "ports": [two]},
                                              {"name": "y", "ports": [three]}]}, "?prune=true")
    assert brief(changes) == [("create", "server", "renamed"), ("delete", "server", "x"), ("update", "server", "y", "ports"),
                              ("update", "server", "z", "ports")]
    after = {server["name"]: server for server in api.get(f"/v1/servers?region={region}").json["servers"]}
    assert [port["id"] for port in after["y"]["ports"]] == [ids["y"]["ports"][1]["id"]]
    assert after["z"]["ports"][0]["id"] != ids["y"]["ports"][0]["id"]


def test_the_default_moves_no_server(api, region):
    apply(api, region, document(group("a", default=True), group("b"), servers=[{"name": "x"}, {"name": "y", "security_groups": ["b"]}]))
    changes = apply(api, region, document({"name": "b", "default": True}))
    assert brief(changes) == [("update", "security_group", "a", "default"), ("update", "security_group", "b", "default")]
    assert [server["security_groups"] for server in export(api, region)["servers"]] == [["a"], ["b"]]
    assert api.put(f"/v1/regions/{region}/document", document({"name": "b", "default": False})).status == 409
    assert apply(api, region, document({"name": "a", "default": True}, {"name": "b", "default": False}))


def test_names_of_several(api, region):
    """They are known by their ids, and without are refused."""
    twins = [api.post("/v1/security-groups", {"region": region, "name": "twin", "template": "none"}).json["id"] for _ in range(2)]
    like_an_id = "ffffffff-" + str(uuid.uuid4())[9:]
    api.post("/v1/security-groups", {"region": region, "name": like_an_id, "rules": [
        {"direction": "inbound", "protocol": "tcp", "remote_group": twins[1]}]})
    for _ in range(2):
        api.post("/v1/servers", {"region": region, "name": "vm", "security_groups": [twins[1]]})
    text = export(api, region)
    assert [(one["name"], "id" in one) for one in text["security_groups"] + text["servers"]] == [
        ("default", False), (like_an_id, True), ("twin", True), ("twin", True), ("vm", True), ("vm", True)]
    assert text["servers"][0]["security_groups"] == [twins[1]]
    assert text["security_groups"][1]["rules"][0]["remote_group"] == twins[1]
    assert apply(api, region, text, "?prune=true") == []
    del text["security_groups"][2]["id"], text["servers"][1]["id"]
    answer = api.put(f"/v1/regions/{region}/document", text)
    assert answer.status == 422 and answer.fields == ["security_groups[2].name", "servers[1].name"]
    assert "2 security groups of the region: give the id of one" in answer.json["errors"][0]["message"]
    text = document({"id": twins[0], "name": "first"}, servers=[{"name": "new", "security_groups": ["twin", "first"]}])
    assert brief(apply(api, region, text)) == [("create", "server", "new"), ("update", "security_group", "first", "name")]


@pytest.mark.parametrize("body, wrong", [
    ([], [""]), ({"version": 2}, ["version"]), ({"region": "other"}, ["region"]), ({"bridges": []}, ["bridges"]),
    ({"security_groups": {}}, ["security_groups"]), (document({}), ["security_groups[0].name"]),
    (document(group("a"), group("a")), ["security_groups"]), (document(servers=[{"name": "x"}, {"name": "x"}]), ["servers"]),
    (document({"name": "a", "id": str(uuid.uuid4())}), ["security_groups[0].id"]),
    (document({"name": "a", "servers": [], "revision": 1}), ["security_groups[0].revision", "security_groups[0].servers"]),
    (document(group("a", default=True), group("b", default=True)), ["security_groups[1].default"]),
    (document(group("a", {"port_min": 1, "remote_group": "b"})), ["security_groups[0].rules[0].remote_group"]),
    (document(group("a", {"port_min": 1, "remote_group": 5}, {"port_min": 70000})),
     ["security_groups[0].rules[0].remote_group", "security_groups[0].rules[1].port_min"]),
    (document(servers=[{"name": "x", "security_groups": ["b"], "kind": "vm", "ports": [{"mac": "x", "iface_id": "i"}]}]),
     ["servers[0].kind", "servers[0].ports[0].mac", "servers[0].security_groups[0]"]),
    (document(servers=[{"name": "x", "ports": [{"mac": "02:00:00:00:00:09", "iface_id": "one"}]},
                       {"name": "y", "ports": [{"mac": "02:00:00:00:00:0a", "iface_id": "one"}]}]), ["servers[1].ports[0].iface_id"]),
    ({"security_groups": [5], "servers": ["x"]}, ["security_groups[0]", "servers[0]"])])
def test_refused(api, region, body, wrong):
    """Every wrong value is named, and nothing changes."""
    revision = api.get("/v1/status").json["revision"]
    for answer in (api.put(f"/v1/regions/{region}/document", body), api.put(f"/v1/regions/{region}/document?dry_run=true", body)):
        assert answer.status == 422 and answer.fields == wrong, answer
    assert export(api, region)["security_groups"] == [] and api.get("/v1/status").json["revision"] == revision


@pytest.mark.parametrize("query", ["?prune=yes", "?prune=", "?prune=true&prune=true", "?force=true"])
def test_wrong_query(api, region, query):
    assert api.put(f"/v1/regions/{region}/document{query}", {}).status == 422


class Maker:
    """Random documents whose names are few, so that they meet."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def rule(self, names):
        r = self.random
        rule = dict(RULE, direction=r.choice(["inbound", "outbound"]), action=r.choice(["allow", "allow", "deny"]),
                    priority=r.choice([100, 100, 7]), protocol=r.choice(["tcp", "udp", "any"]), port_min=-1, port_max=-1,
                    description=r.choice(["", "", "why"]))
        if rule["protocol"] != "any":
            rule["port_min"] = r.choice([-1, 22, 80])
            rule["port_max"] = rule["port_min"] if rule["port_min"] == -1 else rule["port_min"] + r.choice([0, 100])
        remote = r.choice(["", "group", "ip"])
        if remote == "group":
            rule["remote_group"] = r.choice(names)
        elif remote == "ip":
            rule["remote_ip"] = r.choice(["10.0.0.0/8", "2001:db8::1/128"])
        return rule

    def rules(self, names):
        made = {}
        for _ in range(self.random.randrange(5)):
            rule = self.rule(names)
            made.setdefault(json.dumps(dict(rule, description=""), sort_keys=True), rule)
        return list(made.values())

    def port(self, number):
        r = self.random
        return {"mac": f"02:00:00:00:00:{number:02x}", "ips": r.sample(["10.0.0.1", "10.0.0.2", "2001:db8::1"], r.randrange(3)),
                "bridge": None, "port": None, "iface_id": f"if{number}", "vlan": r.choice([None, 5]), "port_security": r.random() < 0.8,
                "allowed_address_pairs": []}

    def document(self):
        r = self.random
        names = r.sample(["a", "b", "c", "d", "e"], r.randrange(1, 5))
        default = r.choice(names)
        groups = [{"name": name, "description": r.choice(["", "x"]), "default": name == default, "rules": self.rules(names)} for name in names]
        numbers = r.sample(range(1, 12), 8)
        servers = [{"name": name, "kind": r.choice(["vps", "baremetal"]), "security_groups": r.sample(names, r.randrange(len(names) + 1)),
                    "ports": [self.port(numbers.pop()) for _ in range(r.randrange(3))]}
                   for name in r.sample(["p", "q", "r", "s"], r.randrange(5))]
        return {"version": 1, "security_groups": groups, "servers": servers}


def by_name(text):
    """As the daemon sorts it."""
    return {**text, "security_groups": sorted(text["security_groups"], key=lambda one: one["name"]),
            "servers": sorted(text["servers"], key=lambda one: one["name"])}


def test_random_documents(api, region):
    """Whatever there was before: pruned, the region is what the document says."""
    maker = Maker(SEED)
    for _ in range(ROUNDS):
        text = dict(maker.document(), region=region)
        maker.random.shuffle(text["security_groups"])
        apply(api, region, text, "?prune=true")
        assert export(api, region) == by_name(text)
        part = copy.deepcopy(text)
        del part["security_groups"][maker.random.randrange(len(part["security_groups"]))]["rules"]
        assert apply(api, region, part) == []


def test_a_long_name_twice(api, region):
    """The sentence about the whole is cut where it is too long, within a character too."""
    for n in range(4):
        name = "x" * n + "\N{GRINNING FACE}" * (255 - n)
        answer = api.put(f"/v1/regions/{region}/document", {"security_groups": [{"name": name}, {"name": name}]})
        assert answer.status == 422 and answer.json["errors"] == [{"field": "security_groups", "message": f"has {name} twice"}]
        assert answer.json["detail"].startswith("security_groups: has " + name[:100])
