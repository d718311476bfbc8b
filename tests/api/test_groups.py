"""Contract 2, 3.6 to 3.8 and 4: security groups."""

import re
import uuid

import pytest

GROUPS = "/v1/security-groups"
FIELDS = {"id", "region", "name", "description", "default", "rules", "servers", "revision", "created_at", "updated_at"}


def shape(rule):
    return (rule["direction"], rule["action"], rule["protocol"], rule["port_min"], rule["port_max"], rule["remote_ip"],
            rule["origin"])


OUTBOUND = ("outbound", "allow", "any", -1, -1, None, "default")
REMOTE_LOGIN = [("inbound", "allow", "tcp", 22, 22, None, "default"), ("inbound", "allow", "tcp", 3389, 3389, None, "default"),
                ("inbound", "allow", "icmp", -1, -1, None, "default"), ("inbound", "allow", "icmpv6", -1, -1, None, "default")]


def test_create(api, region):
    answer = api.post(GROUPS, {"region": region, "name": "Wéb ☂", "description": "shop"})
    assert answer.status == 201
    group = answer.json
    assert set(group) == FIELDS
    assert str(uuid.UUID(group["id"])) == group["id"]
    assert (group["region"], group["name"], group["description"], group["default"]) == (region, "Wéb ☂", "shop", False)
    assert group["servers"] == []
    assert group["revision"] == answer.revision
    assert answer.headers["ETag"] == f'"{group["revision"]}"'
    assert answer.headers["Location"] == f"{GROUPS}/{group['id']}"
    assert [shape(rule) for rule in group["rules"]] == [OUTBOUND]
    read = api.get(f"{GROUPS}/{group['id']}")
    assert read.json == group
    assert read.headers["ETag"] == answer.headers["ETag"]


@pytest.mark.parametrize("template, expected", [("outbound", [OUTBOUND]), ("none", []),
                                                ("remote-login", REMOTE_LOGIN + [OUTBOUND])])
def test_templates(api, region, template, expected):
    group = api.post(GROUPS, {"region": region, "name": "g", "template": template}).json
    assert sorted(map(str, map(shape, group["rules"]))) == sorted(map(str, expected))


def test_rules_given(api, region):
    rules = [{"direction": "inbound", "protocol": "tcp", "port_min": 80}, {"direction": "inbound", "protocol": "udp"}]
    for extra in ({}, {"template": "none"}):
        group = api.post(GROUPS, {"region": region, "name": "g", "rules": rules, **extra}).json
        assert [(rule["protocol"], rule["port_min"], rule["port_max"], rule["origin"]) for rule in group["rules"]] == [
            ("tcp", 80, 80, "user"), ("udp", -1, -1, "user")]
    assert api.post(GROUPS, {"region": region, "name": "g", "rules": []}).json["rules"] == []
    clash = api.post(GROUPS, {"region": region, "name": "g", "rules": rules, "template": "remote-login"})
    assert clash.status == 422 and clash.fields == ["template"]


def test_names_need_not_be_unique(api, region, group):
    assert api.post(GROUPS, {"region": region, "name": "web"}).status == 201
    assert len(api.get(f"{GROUPS}?region={region}&name=web").json["security_groups"]) == 2


def test_filters(api, region, other_region, group):
    api.post(GROUPS, {"region": region, "name": "b&c"})
    api.post(GROUPS, {"region": other_region, "name": "web"})
    names = lambda query: sorted(one["name"] for one in api.get(f"{GROUPS}{query}").json["security_groups"])
    assert names(f"?region={region}") == ["b&c", "web"]
    assert names(f"?region={region}&name=b%26c") == ["b&c"]
    assert names(f"?region={other_region}") == ["web"]
    assert names("?region=nowhere") == []
    assert names(f"?region={region}&name=") == []


@pytest.mark.parametrize("query, field", [("?color=red", "?color"), ("?region=a&region=b", "?region"), ("?wait=3", "?wait")])
def test_bad_query(api, query, field):
    answer = api.get(GROUPS + query)
    assert answer.status == 422
    assert answer.fields == [field]


def test_every_wrong_field_is_named(api):
    rules = [{"direction": "up", "protocol": "tcp"}, 5,
             {"protocol": "udp", "direction": "inbound", "port_max": 70000, "remote_group": str(uuid.uuid4())}]
    answer = api.post(GROUPS, {"region": "nowhere", "name": "", "description": 7, "default": "yes", "template": "x", "color": 1,
                               "id": "x", "rules": rules})
    assert answer.status == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.fields == sorted(["color", "default", "description", "id", "name", "region", "rules[0].direction", "rules[1]",
                                    "rules[2].port_max", "rules[2].remote_group", "template"])
    assert set(answer.json) == {"type", "title", "status", "detail", "errors"}
    assert answer.json["status"] == 422
    assert all(error["message"] for error in answer.json["errors"])


def test_required_fields(api):
    assert api.post(GROUPS, {}).fields == ["name", "region"]


@pytest.mark.parametrize("name, ok", [("n" * 255, True), ("é" * 255, True), ("n" * 256, False), ("", False), ("a\nb", False),
                                      ("a\x7f", False), ("a\u0085b", False), ("\t", False)])
def test_name_length(api, region, name, ok):
    answer = api.post(GROUPS, {"region": region, "name": name})
    assert answer.status == (201 if ok else 422)
    assert ok or answer.fields == ["name"]


def test_patch(api, group):
    path = f"{GROUPS}/{group['id']}"
    answer = api.patch(path, {"name": "web2", "description": "new"})
    assert answer.status == 200
    assert (answer.json["name"], answer.json["description"]) == ("web2", "new")
    assert answer.json["revision"] == answer.revision > group["revision"]
    assert answer.json["updated_at"] >= group["updated_at"]
    assert api.patch(path, {}).json == answer.json
    wrong = api.patch(path, {"region": "x", "rules": [], "name": None})
    assert wrong.status == 422
    assert wrong.fields == ["name", "region", "rules"]


def test_unknown_ids(api):
    for path in (f"{GROUPS}/{uuid.uuid4()}", f"{GROUPS}/nonsense", f"{GROUPS}/{uuid.uuid4()}/rules", f"{GROUPS}/x/rules/y"):
        assert api.get(path).status == 404
    missing = f"{GROUPS}/{uuid.uuid4()}"
    assert api.patch(missing, {"name": "x"}).status == 404
    assert api.delete(missing).status == 404
    assert api.post(missing + "/rules", {}).status == 404
    assert api.put(missing + "/rules", {}).status == 404


def test_if_match(api, group):
    path = f"{GROUPS}/{group['id']}"
    etag = f'"{group["revision"]}"'
    assert api.patch(path, {"name": "a"}, headers={"If-Match": etag}).status == 200
    stale = api.patch(path, {"name": "b"}, headers={"If-Match": etag})
    assert stale.status == 412
    assert api.get(path).json["name"] == "a"
    current = api.get(path).headers["ETag"]
    for tags, status in ((f"W/{current}", 412), (current.strip('"'), 412), ('"x"', 412), ("", 412), (f'"0", {current}', 200),
                         ("*", 200), (f'W/"1",  {api.get(path).headers["ETag"]}', 200)):
        answer = api.patch(path, {"description": ""}, headers={"If-Match": tags})
        assert (tags, answer.status) == (tags, status)
    rule = {"direction": "inbound", "protocol": "tcp"}
    for method, where, body in (("POST", "/rules", rule), ("PUT", "/rules", {"rules": []}), ("DELETE", "", None)):
        assert api(method, path + where, body, headers={"If-Match": etag}).status == 412
    assert api.get(path).json["rules"] == []
    assert api.delete(path, headers={"If-Match": api.get(path).headers["ETag"]}).status == 204


def test_delete_in_use(api, region, group, new_server):
    server = new_server(name="vm7", security_groups=[group["id"]])
    referrer = api.post(GROUPS, {"region": region, "name": "db", "rules": [
        {"direction": "inbound", "protocol": "tcp", "remote_group": group["id"]}]}).json
    answer = api.delete(f"{GROUPS}/{group['id']}")
    assert answer.status == 409
    holders = [{"type": "server", "id": server["id"], "name": "vm7"},
               {"type": "security_group", "id": referrer["id"], "name": "db"}]
    assert sorted(answer.json["in_use_by"], key=str) == sorted(holders, key=str)
    assert api.delete(f"/v1/servers/{server['id']}").status == 204
    assert api.delete(f"{GROUPS}/{referrer['id']}").status == 204
    assert api.delete(f"{GROUPS}/{group['id']}").status == 204
    assert api.get(f"{GROUPS}/{group['id']}").status == 404


def test_own_rule_does_not_hold(api, group, rules):
    assert api.post(rules, {"direction": "inbound", "protocol": "tcp", "remote_group": group["id"]}).status == 201
    assert api.delete(f"{GROUPS}/{group['id']}").status == 204


def test_first_server_makes_the_default_group(api, region, new_server):
    server = new_server()
    [default] = api.get(f"{GROUPS}?region={region}").json["security_groups"]
    assert default["default"] is True and default["name"] == "default"
    assert sorted(map(str, map(shape, default["rules"]))) == sorted(map(str, REMOTE_LOGIN + [OUTBOUND]))
    assert server["security_groups"] == [default["id"]]
    assert default["servers"] == [server["id"]]
    assert new_server()["security_groups"] == [default["id"]]
    assert api.get(f"/v1/regions/{region}").json["default_group"] == default["id"]


def test_existing_default_is_taken(api, region, new_server):
    mine = api.post(GROUPS, {"region": region, "name": "mine", "default": True}).json
    assert mine["default"] is True
    assert new_server()["security_groups"] == [mine["id"]]
    assert len(api.get(f"{GROUPS}?region={region}").json["security_groups"]) == 1


@pytest.mark.parametrize("by_edit", [True, False])
def test_default_swap(api, region, group, new_server, by_edit):
    one, two = new_server(), new_server(security_groups=[group["id"]])
    old = api.get(f"/v1/regions/{region}").json["default_group"]
    if by_edit:
        made = api.post(GROUPS, {"region": region, "name": "new"}).json
        answer = api.patch(f"{GROUPS}/{made['id']}", {"default": True})
        assert answer.status == 200
    else:
        answer = api.post(GROUPS, {"region": region, "name": "new", "default": True})
        assert answer.status == 201
    new = answer.json
    assert new["default"] is True
    assert sorted(new["servers"]) == sorted([one["id"], two["id"]])
    for server in (one, two):
        assert api.get(f"/v1/servers/{server['id']}").json["security_groups"] == [new["id"]]
    before = api.get(f"{GROUPS}/{old}").json
    assert before["default"] is False and before["servers"] == []
    assert api.get(f"/v1/regions/{region}").json["default_group"] == new["id"]


def test_unset_default(api, region, group, new_server):
    path = f"{GROUPS}/{group['id']}"
    assert api.patch(path, {"default": True}).json["default"] is True
    assert api.patch(path, {"default": False}).json["default"] is False
    assert api.patch(path, {"default": True}).status == 200
    new_server()
    assert api.patch(path, {"default": False}).status == 409
    assert api.get(path).json["default"] is True


def test_the_default_of_servers_is_not_deleted(api, region, group, new_server):
    """To delete it would unset it, and leave new servers without the region's choice."""
    server = new_server(security_groups=[group["id"]])
    default = api.get(f"/v1/regions/{region}").json["default_group"]
    answer = api.delete(f"{GROUPS}/{default}")
    assert answer.status == 409 and answer.json["in_use_by"] == []
    assert region in answer.json["detail"] and "default" in answer.json["detail"]
    assert api.get(f"/v1/regions/{region}").json["default_group"] == default
    assert api.patch(f"{GROUPS}/{group['id']}", {"default": True}).status == 200
    assert api.delete(f"{GROUPS}/{default}").status == 204
    assert api.delete(f"/v1/servers/{server['id']}").status == 204
    assert api.delete(f"{GROUPS}/{group['id']}").status == 204
    assert api.get(f"/v1/regions/{region}").json["default_group"] is None


def test_times_are_utc(api, group):
    for name in ("created_at", "updated_at"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", group[name])
