"""Contract 2: rules, field by field."""

import uuid

import pytest

FIELDS = {"id", "direction", "action", "priority", "protocol", "remote_ip", "remote_group", "port_min", "port_max", "icmp_type",
          "icmp_code",
          "description", "origin", "created_at", "updated_at", "hits", "bytes", "first_hit", "last_hit", "counting_since"}


def body(**fields):
    return {"direction": "inbound", "protocol": "tcp", **fields}


def test_defaults(api, group, rules):
    answer = api.post(rules, body())
    assert answer.status == 201
    rule = answer.json
    assert set(rule) == FIELDS
    assert answer.headers["Location"] == f"{rules}/{rule['id']}"
    assert rule["counting_since"] == rule["created_at"]
    assert {name: rule[name] for name in FIELDS - {"id", "created_at", "updated_at", "counting_since"}} == {
        "direction": "inbound", "action": "allow", "priority": 100, "protocol": "tcp", "remote_ip": None, "remote_group": None,
        "port_min": -1, "port_max": -1, "icmp_type": -1, "icmp_code": -1, "description": "", "origin": "user",
        "hits": 0, "bytes": 0, "first_hit": None, "last_hit": None}
    assert api.get(f"{rules}/{rule['id']}").json == rule
    assert api.get(rules).json == {"rules": [rule]}
    owner = api.get(f"/v1/security-groups/{group['id']}")
    assert owner.json["rules"] == [rule]
    assert owner.json["revision"] == answer.revision > group["revision"]
    assert answer.headers["ETag"] == owner.headers["ETag"]


@pytest.mark.parametrize("given, shown", [
    (6, "tcp"), (17, "udp"), (132, "sctp"), (1, "icmp"), (58, "icmpv6"), ("gre", "gre"), (47, "gre"), ("esp", "esp"),
    ("any", "any"),
    ("TCP", "tcp"), ("ipv6-icmp", "icmpv6"), (253, 253), ("253", 253), (0, "hopopt")])
def test_protocols(api, rules, given, shown):
    answer = api.post(rules, body(protocol=given))
    assert answer.status == 201, answer
    assert answer.json["protocol"] == shown


@pytest.mark.parametrize("given, shown", [
    ("192.168.1.100", "192.168.1.100/32"), ("192.168.1.100/24", "192.168.1.0/24"), ("0.0.0.0/0", "0.0.0.0/0"), ("::/0", "::/0"),
    ("2001:DB8::1", "2001:db8::1/128"), ("2001:db8:ffff::1/33", "2001:db8:8000::/33"), (None, None)])
def test_remote_ip(api, rules, given, shown):
    answer = api.post(rules, body(remote_ip=given))
    assert answer.status == 201, answer
    assert answer.json["remote_ip"] == shown


@pytest.mark.parametrize("given, shown", [
    ({"port_min": 80}, (80, 80)), ({"port_max": 443}, (443, 443)), ({"port_min": 80, "port_max": 8080}, (80, 8080)),
    ({"port_min": -1, "port_max": -1}, (-1, -1)), ({"port_min": -1}, (-1, -1)), ({"port_min": 0, "port_max": 65535}, (0, 65535)),
    ({"port_min": 0}, (0, 0))])
def test_ports(api, rules, given, shown):
    for protocol in ("tcp", "udp", "sctp"):
        answer = api.post(rules, body(protocol=protocol, **given))
        assert answer.status == 201, answer
        assert (answer.json["port_min"], answer.json["port_max"]) == shown


def test_icmp(api, rules):
    for fields in ({"protocol": "icmp", "icmp_type": 8}, {"protocol": "icmp", "icmp_type": 3, "icmp_code": 4},
                   {"protocol": "icmpv6", "icmp_type": 128, "icmp_code": 0},
                   {"protocol": "icmp", "icmp_type": -1, "icmp_code": -1},
                   {"protocol": "icmp", "remote_ip": "10.0.0.0/8"}, {"protocol": "icmpv6", "remote_ip": "2001:db8::/32"},
                   {"protocol": "gre", "port_min": -1, "port_max": -1, "icmp_type": -1}):
        answer = api.post(rules, body(**fields))
        assert answer.status == 201, answer
        assert all(answer.json[name] == value for name, value in fields.items() if name != "remote_ip")


@pytest.mark.parametrize("fields, wrong", [
    ({"direction": "sideways"}, ["direction"]), ({"direction": None}, ["direction"]), ({"action": "reject"}, ["action"]),
    ({"priority": 0}, ["priority"]), ({"priority": 1001}, ["priority"]), ({"priority": "5"}, ["priority"]),
    ({"priority": 1.5}, ["priority"]),
    ({"priority": 10**30}, ["priority"]), ({"priority": True}, ["priority"]), ({"protocol": "nonsense"}, ["protocol"]),
    ({"protocol": 256}, ["protocol"]), ({"protocol": -1}, ["protocol"]), ({"protocol": "256"}, ["protocol"]),
    ({"protocol": ""}, ["protocol"]),
    ({"protocol": None}, ["protocol"]), ({"protocol": ["tcp"]}, ["protocol"]), ({"remote_ip": "10.0.0.0/33"}, ["remote_ip"]),
    ({"remote_ip": "10.0.0"}, ["remote_ip"]), ({"remote_ip": ""}, ["remote_ip"]), ({"remote_ip": 5}, ["remote_ip"]),
    ({"remote_ip": "::ffff:1.2.3.4"}, ["remote_ip"]), ({"remote_ip": "1.2.3.4 "}, ["remote_ip"]),
    ({"remote_ip": "fe80::1%eth0"}, ["remote_ip"]),
    ({"remote_group": "nonsense"}, ["remote_group"]), ({"remote_group": 5}, ["remote_group"]), ({"port_min": -2}, ["port_min"]),
    ({"port_max": 65536}, ["port_max"]), ({"port_min": 90, "port_max": 80}, ["port_max"]),
    ({"port_min": -1, "port_max": 80}, ["port_min"]),
    ({"port_min": 80, "port_max": -1}, ["port_max"]), ({"port_min": "80"}, ["port_min"]), ({"port_min": None}, ["port_min"]),
    ({"protocol": "icmp", "port_min": 80}, ["port_min"]), ({"protocol": "any", "port_min": 80, "port_max": 90}, ["port_min"]),
    ({"protocol": "gre", "port_max": 80}, ["port_max"]), ({"icmp_type": 8}, ["icmp_type"]),
    ({"protocol": "udp", "icmp_code": 0}, ["icmp_code"]),
    ({"protocol": "icmp", "icmp_code": 0}, ["icmp_code"]), ({"protocol": "icmp", "icmp_type": 256}, ["icmp_type"]),
    ({"protocol": "icmp", "icmp_type": 8, "icmp_code": -2}, ["icmp_code"]),
    ({"protocol": "icmp", "remote_ip": "::/0"}, ["remote_ip"]),
    ({"protocol": "icmpv6", "remote_ip": "0.0.0.0/0"}, ["remote_ip"]), ({"description": 5}, ["description"]),
    ({"description": "a\nb"}, ["description"]), ({"origin": "user"}, ["origin"]), ({"id": "x"}, ["id"]),
    ({"created_at": "x"}, ["created_at"]),
    ({"hits": 0, "bytes": 0, "first_hit": None, "last_hit": None, "counting_since": "x"},
     ["bytes", "counting_since", "first_hit", "hits", "last_hit"]),
    ({"colour": "red", "shape": 1}, ["colour", "shape"]),
    ({"direction": 1, "action": 2, "priority": 0, "protocol": 300, "remote_ip": 4, "port_min": 5.5},
     ["action", "direction", "port_min", "priority",
                                                                                                  "protocol", "remote_ip"])])
def test_wrong_values(api, rules, fields, wrong):
    answer = api.post(rules, body(**fields))
    assert answer.status == 422, answer
    assert answer.fields == wrong
    assert api.get(rules).json["rules"] == []


@pytest.mark.parametrize("fields, detail", [
    ({"port_min": 90, "port_max": 80}, "port_max: must not be less than port_min (90)."),
    ({"port_min": -1, "port_max": 80}, "port_min: must be a port like port_max, or both -1 for all ports."),
    ({"protocol": "icmp", "remote_ip": "::/0"}, "remote_ip: must be of IPv4 with icmp; icmpv6 is for IPv6."),
    ({"protocol": "icmpv6", "remote_ip": "10.0.0.1"}, "remote_ip: must be of IPv6 with icmpv6; icmp is for IPv4.")])
def test_says_what_would_be_right(api, rules, fields, detail):
    answer = api.post(rules, body(**fields))
    assert answer.json["detail"] == detail
    [error] = answer.json["errors"]
    assert detail == f"{error['field']}: {error['message']}."


def test_required(api, rules):
    assert api.post(rules, {}).fields == ["direction", "protocol"]


def test_remote_group(api, group, rules, other_region):
    answer = api.post(rules, body(remote_group=group["id"]))
    assert answer.status == 201
    assert answer.json["remote_group"] == group["id"] and answer.json["remote_ip"] is None
    assert api.post(rules, body(remote_group=str(uuid.uuid4()))).fields == ["remote_group"]
    assert api.post(rules, body(remote_group=group["id"], remote_ip="10.0.0.1")).fields == ["remote_group"]
    foreign = api.post("/v1/security-groups", {"region": other_region, "name": "x"}).json
    assert api.post(rules, body(remote_group=foreign["id"])).fields == ["remote_group"]


def test_equal_rule_is_answered(api, rules):
    first = api.post(rules, body(port_min=80, remote_ip="10.1.2.3/8", description="one"))
    again = api.post(rules, body(port_max=80, protocol=6, remote_ip="10.0.0.0/8", priority=100, action="allow",
                                 description="two"))
    assert again.status == 200
    assert again.json == first.json
    assert again.revision == first.revision and again.applied is True
    assert len(api.get(rules).json["rules"]) == 1
    every = api.post(rules, body())
    assert api.post(rules, body(port_min=0, port_max=65535)).json["id"] == every.json["id"]


def test_patch_in_place(api, rules):
    rule = api.post(rules, body(port_min=80, port_max=90, description="d")).json
    path = f"{rules}/{rule['id']}"

    def patch(**fields):
        answer = api.patch(path, fields)
        assert answer.status == 200, answer
        assert answer.json["id"] == rule["id"] and answer.json["created_at"] == rule["created_at"]
        return answer.json

    assert patch(port_max=100)["port_min"] == 80
    assert patch(port_min=85)["port_max"] == 100
    assert patch(action="deny")["action"] == "deny"
    assert patch(priority=7)["priority"] == 7
    assert patch(protocol="udp")["port_max"] == 100
    assert patch(remote_ip="10.0.0.5")["remote_ip"] == "10.0.0.5/32"
    group_id = rules.split("/")[3]
    changed = patch(remote_group=group_id)
    assert changed["remote_group"] == group_id and changed["remote_ip"] is None
    changed = patch(remote_ip="10.0.0.6")
    assert changed["remote_group"] is None and changed["remote_ip"] == "10.0.0.6/32"
    assert patch(remote_ip=None)["remote_ip"] is None
    assert patch(protocol="icmp", icmp_type=8)["port_min"] == -1
    changed = patch(protocol="tcp", port_min=22)
    assert (changed["icmp_type"], changed["port_min"], changed["port_max"]) == (-1, 22, 22)
    assert patch(port_min=-1)["port_max"] == -1
    assert patch(description="e", direction="outbound")["description"] == "e"
    assert api.get(path).json == patch()
    for fields, wrong in (({"port_min": 5, "port_max": 4}, ["port_max"]), ({"origin": "user"}, ["origin"]), ({"hits": 7}, ["hits"]),
                          ({"icmp_type": 1}, ["icmp_type"]),
                          ({"action": None}, ["action"]), ({"remote_group": str(uuid.uuid4())}, ["remote_group"])):
        before = api.get(path).json
        answer = api.patch(path, fields)
        assert answer.status == 422 and answer.fields == wrong
        assert api.get(path).json == before


def test_patch_protocol_against_family(api, rules):
    rule = api.post(rules, body(remote_ip="2001:db8::/32")).json
    answer = api.patch(f"{rules}/{rule['id']}", {"protocol": "icmp"})
    assert answer.status == 422 and answer.fields == ["protocol"]


def test_patch_to_an_existing_rule_is_conflict(api, rules):
    api.post(rules, body(port_min=80))
    other = api.post(rules, body(port_min=81)).json
    answer = api.patch(f"{rules}/{other['id']}", {"port_min": 80, "port_max": 80})
    assert answer.status == 409
    assert api.get(f"{rules}/{other['id']}").json == other


def test_delete(api, rules):
    rule = api.post(rules, body()).json
    answer = api.delete(f"{rules}/{rule['id']}")
    assert answer.status == 204 and answer.applied is True
    assert api.get(f"{rules}/{rule['id']}").status == 404
    assert api.delete(f"{rules}/{rule['id']}").status == 404
    assert api.patch(f"{rules}/{rule['id']}", {}).status == 404


def test_rule_of_another_group_is_unknown(api, region, rules):
    rule = api.post(rules, body()).json
    other = api.post("/v1/security-groups", {"region": region, "name": "x"}).json
    assert api.get(f"/v1/security-groups/{other['id']}/rules/{rule['id']}").status == 404
    assert api.delete(f"/v1/security-groups/{other['id']}/rules/{rule['id']}").status == 404


def test_put_keeps_equal_rules(api, rules):
    one = api.post(rules, body(port_min=80, description="old")).json
    two = api.post(rules, body(port_min=81)).json
    answer = api.put(rules, {"rules": [body(port_min=82), body(port_min=80, port_max=80, description="new"), body(port_max=82)]})
    assert answer.status == 200
    listed = answer.json["rules"]
    assert [rule["port_min"] for rule in listed] == [82, 80]
    kept = listed[1]
    assert kept["id"] == one["id"] and kept["created_at"] == one["created_at"] and kept["description"] == "new"
    assert two["id"] not in {rule["id"] for rule in listed}
    assert api.get(rules).json["rules"] == listed
    assert api.put(rules, {"rules": []}).json == {"rules": []}


def test_put_is_all_or_nothing(api, rules):
    api.post(rules, body(port_min=80))
    before = api.get(rules).json
    answer = api.put(rules, {"rules": [body(port_min=82), body(port_min=5, port_max=4), {"direction": "inbound"}]})
    assert answer.status == 422
    assert answer.fields == ["rules[1].port_max", "rules[2].protocol"]
    assert api.get(rules).json == before
    assert api.put(rules, {}).fields == ["rules"]
    assert api.put(rules, {"rules": {}}).fields == ["rules"]


def test_template_rules_are_ordinary(api, region):
    group = api.post("/v1/security-groups", {"region": region, "name": "g", "template": "remote-login"}).json
    path = f"/v1/security-groups/{group['id']}/rules"
    rule = next(rule for rule in group["rules"] if rule["port_min"] == 3389)
    assert rule["origin"] == "default"
    assert api.patch(f"{path}/{rule['id']}", {"remote_ip": "10.0.0.0/8"}).status == 200
    for rule in group["rules"]:
        assert api.delete(f"{path}/{rule['id']}").status == 204
    assert api.get(path).json == {"rules": []}


def test_many_rules(api, rules):
    wanted = [body(port_min=port, remote_ip=f"10.{port >> 8}.{port & 255}.0/24") for port in range(5000)]
    answer = api.put(rules, {"rules": wanted})
    assert answer.status == 200
    assert [rule["port_min"] for rule in answer.json["rules"]] == list(range(5000))


def test_lint(api, group, rules):
    path = rules.replace("/rules", "/lint")
    assert api.get(path).json == {"findings": []}
    wide, denies, narrow = (api.post(rules, body).json["id"] for body in (
        {"direction": "inbound", "protocol": "tcp", "port_min": 20, "port_max": 8080},
        {"direction": "inbound", "protocol": "any", "remote_ip": "192.0.2.0/24", "action": "deny", "priority": 50},
        {"direction": "inbound", "protocol": "udp", "port_min": 53, "remote_ip": "192.0.2.1"}))
    twice = api.post(rules, {"direction": "inbound", "protocol": "tcp", "port_min": 80, "priority": 200}).json["id"]
    findings = {finding["rule"]: finding for finding in api.get(path).json["findings"]}
    assert set(findings) == {wide, narrow, twice}
    assert (findings[narrow]["kind"], findings[narrow]["by"]) == ("shadowed", denies)
    assert (findings[twice]["kind"], findings[twice]["by"]) == ("redundant", wide)
    assert (findings[wide]["kind"], findings[wide]["by"]) == ("open", None)
    assert "ssh (tcp 22)" in findings[wide]["message"] and denies in findings[narrow]["message"]


def test_lint_of_nothing_and_of_too_much(api, group, rules):
    assert api.get("/v1/security-groups/00000000-0000-4000-8000-000000000000/lint").status == 404
    body = {"rules": [{"direction": "inbound", "protocol": "tcp", "port_min": port} for port in range(1, 2002)]}
    assert api.put(rules, body).status == 200
    assert api.get(rules.replace("/rules", "/lint")).status == 409
    assert api.put(rules, {"rules": body["rules"][:-1]}).status == 200
    assert {finding["kind"] for finding in api.get(rules.replace("/rules", "/lint")).json["findings"]} == {"open"}
