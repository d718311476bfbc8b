"""Contract 4: which rule decides."""

import uuid

import pytest

EXPLAIN = "/v1/explain"


@pytest.fixture
def server(api, group, new_server):
    return new_server("10.0.0.1", security_groups=[group["id"]])


def question(asked, **fields):
    return {"server": asked["id"], "direction": "inbound", "protocol": "tcp", "remote_ip": "203.0.113.9", "local_port": 8888,
            **fields}


def test_no_rule_denies(api, server):
    answer = api.post(EXPLAIN, question(server))
    assert answer.status == 200
    assert answer.json == {"verdict": "deny", "rule": None, "group": None,
                           "reason": "no inbound rule of its groups allows tcp 8888 from 203.0.113.9: denied by default"}
    assert "Sallyport-Revision" not in answer.headers


def test_rule_allows(api, group, rules, server):
    rule = api.post(rules, {"direction": "inbound", "protocol": "tcp", "port_min": 8000, "port_max": 9000}).json
    answer = api.post(EXPLAIN, question(server)).json
    assert answer["verdict"] == "allow"
    assert answer["rule"] == rule
    assert answer["group"] == api.get(f"/v1/security-groups/{group['id']}").json
    assert rule["id"] in answer["reason"] and "web" in answer["reason"]
    assert api.post(EXPLAIN, question(server, local_port=80)).json["verdict"] == "deny"
    assert api.post(EXPLAIN, question(server, protocol="udp")).json["verdict"] == "deny"
    assert api.post(EXPLAIN, question(server, protocol=6)).json["verdict"] == "allow"
    assert api.post(EXPLAIN, {**question(server), "direction": "outbound", "remote_port": 8888}).json["verdict"] == "deny"
    by_port = question(server)
    del by_port["server"]
    by_port["port"] = server["ports"][0]["id"]
    assert api.post(EXPLAIN, by_port).json["verdict"] == "allow"


def test_priority_and_deny(api, rules, server):
    api.post(rules, {"direction": "inbound", "protocol": "tcp", "priority": 50})
    assert api.post(EXPLAIN, question(server)).json["verdict"] == "allow"
    deny = api.post(rules, {"direction": "inbound", "protocol": "any", "priority": 50, "action": "deny"}).json
    answer = api.post(EXPLAIN, question(server)).json
    assert answer["verdict"] == "deny" and answer["rule"]["id"] == deny["id"]
    assert "denies" in answer["reason"]
    first = api.post(rules, {"direction": "inbound", "protocol": "tcp", "port_min": 8888, "priority": 49}).json
    assert api.post(EXPLAIN, question(server)).json["rule"]["id"] == first["id"]


def test_outbound_uses_the_remote_port(api, rules, server):
    api.post(rules, {"direction": "outbound", "protocol": "udp", "port_min": 53})
    ask = {"server": server["id"], "direction": "outbound", "protocol": "udp", "remote_ip": "2001:db8::1"}
    assert api.post(EXPLAIN, {**ask, "remote_port": 53, "local_port": 4000}).json["verdict"] == "allow"
    assert api.post(EXPLAIN, {**ask, "remote_port": 54, "local_port": 53}).json["verdict"] == "deny"


def test_icmp(api, rules, server):
    api.post(rules, {"direction": "inbound", "protocol": "icmp", "icmp_type": 8})
    ask = {"server": server["id"], "direction": "inbound", "protocol": "icmp", "remote_ip": "10.0.0.5"}
    assert api.post(EXPLAIN, {**ask, "icmp_type": 8, "icmp_code": 0}).json["verdict"] == "allow"
    assert api.post(EXPLAIN, {**ask, "icmp_type": 13}).json["verdict"] == "deny"


def test_remote_group(api, region, rules, server, new_server):
    friends = api.post("/v1/security-groups", {"region": region, "name": "friends", "template": "none"}).json
    new_server("10.0.0.77", security_groups=[friends["id"]])
    api.post(rules, {"direction": "inbound", "protocol": "any", "remote_group": friends["id"]})
    assert api.post(EXPLAIN, question(server, remote_ip="10.0.0.77")).json["verdict"] == "allow"
    assert api.post(EXPLAIN, question(server, remote_ip="10.0.0.78")).json["verdict"] == "deny"


def test_server_without_groups(api, new_server):
    answer = api.post(EXPLAIN, question(new_server(security_groups=[]))).json
    assert answer["verdict"] == "deny" and "no security group" in answer["reason"]


@pytest.mark.parametrize("fields, wrong", [
    ({"server": str(uuid.uuid4())}, ["server"]), ({"server": "x"}, ["server"]), ({"port": str(uuid.uuid4())}, ["port"]),
    ({"direction": "up"}, ["direction"]), ({"protocol": "any"}, ["protocol"]), ({"protocol": "x"}, ["protocol"]),
    ({"protocol": 256}, ["protocol"]),
    ({"remote_ip": "10.0.0.0/24"}, ["remote_ip"]), ({"remote_ip": None}, ["remote_ip"]), ({"local_port": 65536}, ["local_port"]),
    ({"protocol": "gre"}, ["local_port"]), ({"icmp_type": 8}, ["icmp_type"]), ({"color": 1}, ["color"]),
    ({"protocol": "icmp", "local_port": None, "icmp_code": 1}, ["icmp_code"]),
    ({"protocol": "icmp", "local_port": None, "remote_ip": "::1"}, ["remote_ip"]), ({"server": 1, "direction": 1, "protocol": []},
                                                                                   ["direction", "protocol", "server"])])
def test_wrong_questions(api, server, fields, wrong):
    answer = api.post(EXPLAIN, question(server, **fields))
    assert answer.status == 422, answer
    assert answer.fields == wrong


def test_required(api):
    assert api.post(EXPLAIN, {}).fields == ["direction", "protocol", "remote_ip", "server"]
