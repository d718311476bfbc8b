"""Contract 2 and 4: servers and their ports."""

import uuid

import pytest

SERVERS = "/v1/servers"
FIELDS = {"id", "name", "region", "kind", "security_groups", "ports", "created_at", "updated_at"}
PORT_FIELDS = {"id", "mac", "ips", "bridge", "port", "iface_id", "vlan", "port_security", "allowed_address_pairs", "state"}


def test_create(api, region, group, new_port):
    port = new_port("10.0.0.1", "2001:DB8::1", vlan=7, port_security=False,
                    allowed_address_pairs=[{"ip": "10.9.0.0/16"}, {"ip": "10.0.0.9", "mac": "02:00:00:00:00:99"}])
    answer = api.post(SERVERS, {"region": region, "name": "vm1", "kind": "baremetal", "security_groups": [group["id"]],
                                "ports": [port]})
    assert answer.status == 201, answer
    server = answer.json
    assert set(server) == FIELDS
    assert (server["name"], server["region"], server["kind"], server["security_groups"]) == ("vm1", region, "baremetal",
                                                                                             [group["id"]])
    [made] = server["ports"]
    assert set(made) == PORT_FIELDS
    assert {name: made[name] for name in PORT_FIELDS - {"id"}} == {
        "mac": port["mac"], "ips": ["10.0.0.1", "2001:db8::1"], "bridge": port["bridge"], "port": port["port"], "iface_id": None,
        "vlan": 7,
        "port_security": False, "state": "unbound",
        "allowed_address_pairs": [{"ip": "10.9.0.0/16", "mac": port["mac"]}, {"ip": "10.0.0.9", "mac": "02:00:00:00:00:99"}]}
    assert answer.headers["Location"] == f"{SERVERS}/{server['id']}"
    assert answer.applied is True
    assert api.get(f"{SERVERS}/{server['id']}").json == server
    assert api.get(f"/v1/security-groups/{group['id']}").json["servers"] == [server["id"]]


def test_defaults(api, region):
    server = api.post(SERVERS, {"region": region, "name": "vm"}).json
    assert server["kind"] == "vps" and server["ports"] == [] and len(server["security_groups"]) == 1
    port = {"mac": "52:54:00:AA:00:01", "iface_id": "tap-1"}
    [made] = api.post(SERVERS, {"region": region, "name": "vm", "ports": [port]}).json["ports"]
    assert {name: made[name] for name in PORT_FIELDS - {"id"}} == {
        "mac": "52:54:00:aa:00:01", "ips": [], "bridge": None, "port": None, "iface_id": "tap-1", "vlan": None,
        "port_security": True,
        "allowed_address_pairs": [], "state": "unbound"}


def test_a_server_without_groups(api, region):
    assert api.post(SERVERS, {"region": region, "name": "vm", "security_groups": []}).json["security_groups"] == []


def test_naming_a_bridge_adopts_it(api, new_server):
    server = new_server()
    bridge = api.get(f"/v1/bridges/{server['ports'][0]['bridge']}")
    assert bridge.status == 200
    assert bridge.json["connected"] is False


@pytest.mark.parametrize("fields, wrong", [
    ({"region": "nowhere"}, ["region"]), ({"name": ""}, ["name"]), ({"kind": "vm"}, ["kind"]), ({"ports": {}}, ["ports"]),
    ({"security_groups": ["x", str(uuid.uuid4()), 5]}, ["security_groups[0]", "security_groups[1]", "security_groups[2]"]),
    ({"ports": [5, {}]}, ["ports[0]", "ports[1].bridge", "ports[1].mac"]), ({"id": "x", "created_at": 5}, ["created_at", "id"])])
def test_wrong_server(api, region, fields, wrong):
    answer = api.post(SERVERS, {"region": region, "name": "vm", **fields})
    assert answer.status == 422, answer
    assert answer.fields == wrong


@pytest.mark.parametrize("fields, wrong", [
    ({"mac": "52:54:00:00:00"}, ["mac"]), ({"mac": "01:00:5e:00:00:01"}, ["mac"]), ({"mac": "00:00:00:00:00:00"}, ["mac"]),
    ({"mac": None}, ["mac"]),
    ({"ips": ["10.0.0.0/24"]}, ["ips[0]"]), ({"ips": ["10.0.0.1", "x", 5]}, ["ips[1]", "ips[2]"]), ({"ips": "10.0.0.1"}, ["ips"]),
    ({"ips": ["224.0.0.1", "ff02::1", "0.0.0.0", "::", "255.255.255.255", "127.0.0.1"]}, [f"ips[{i}]" for i in range(6)]),
    ({"bridge": "1"}, ["bridge"]), ({"bridge": "000000000000000g"}, ["bridge"]), ({"bridge": None}, ["bridge"]),
    ({"bridge": 5}, ["bridge"]),
    ({"port": None}, ["port"]), ({"port": "x" * 16}, ["port"]), ({"port": ""}, ["port"]), ({"vlan": 0}, ["vlan"]),
    ({"vlan": 4095}, ["vlan"]),
    ({"port_security": 1}, ["port_security"]), ({"allowed_address_pairs": [{"mac": "02:00:00:00:00:01"}, {"ip": "x", "y": 1}]},
                                                ["allowed_address_pairs[0].ip", "allowed_address_pairs[1].ip",
                                                 "allowed_address_pairs[1].y"]),
    ({"state": "active"}, ["state"]), ({"id": str(uuid.uuid4())}, ["id"]), ({"iface_id": 5}, ["iface_id"])])
def test_wrong_port(api, region, new_port, fields, wrong):
    answer = api.post(SERVERS, {"region": region, "name": "vm", "ports": [new_port(), new_port(**fields)]})
    assert answer.status == 422, answer
    assert answer.fields == sorted(f"ports[1].{name}" for name in wrong)


def test_group_of_another_region(api, region, other_region):
    foreign = api.post("/v1/security-groups", {"region": other_region, "name": "x"}).json["id"]
    assert api.post(SERVERS, {"region": region, "name": "vm", "security_groups": [foreign]}).fields == ["security_groups[0]"]
    server = api.post(SERVERS, {"region": region, "name": "vm"}).json
    assert api.put(f"{SERVERS}/{server['id']}/security-groups", {"security_groups": [foreign]}).fields == ["security_groups[0]"]


def test_place_is_taken(api, region, new_port):
    port = new_port()
    assert api.post(SERVERS, {"region": region, "name": "a", "ports": [port]}).status == 201
    clash = api.post(SERVERS, {"region": region, "name": "b", "ports": [new_port(bridge=port["bridge"], port=port["port"])]})
    assert clash.status == 422
    assert all(field.startswith("ports[0]") for field in clash.fields)
    twice = new_port()
    clash = api.post(SERVERS, {"region": region, "name": "b", "ports": [twice, {**twice, "mac": "52:54:00:bb:00:01"}]})
    assert clash.status == 422
    same_mac = api.post(SERVERS, {"region": region, "name": "b", "ports": [new_port(bridge=port["bridge"], mac=port["mac"])]})
    assert same_mac.status == 422
    iface = {"mac": "52:54:00:bb:00:02", "iface_id": "the-one"}
    assert api.post(SERVERS, {"region": region, "name": "c", "ports": [iface]}).status == 201
    assert api.post(SERVERS, {"region": region, "name": "d", "ports": [{**iface, "mac": "52:54:00:bb:00:03"}]}).status == 422


def test_filters(api, region, group, new_server):
    one, two = new_server(name="a", security_groups=[group["id"]]), new_server(name="b")
    listed = lambda query: [one["id"] for one in api.get(f"{SERVERS}{query}").json["servers"]]
    assert sorted(listed(f"?region={region}")) == sorted([one["id"], two["id"]])
    assert listed(f"?region={region}&name=b") == [two["id"]]
    assert listed(f"?security_group={group['id']}") == [one["id"]]
    assert listed(f"?security_group={uuid.uuid4()}") == []
    assert api.get(f"{SERVERS}?security_group=x").fields == ["?security_group"]


def test_patch(api, group, new_server, new_port):
    server = new_server("10.0.0.1")
    path = f"{SERVERS}/{server['id']}"
    changed = api.patch(path, {"name": "new", "kind": "baremetal"})
    assert changed.status == 200
    assert (changed.json["name"], changed.json["kind"], changed.json["ports"]) == ("new", "baremetal", server["ports"])
    assert api.patch(path, {"security_groups": [group["id"], group["id"]]}).json["security_groups"] == [group["id"]]
    assert api.patch(path, {"security_groups": []}).json["security_groups"] == []
    wrong = api.patch(path, {"region": "x", "id": "y", "ports": [{"id": str(uuid.uuid4()), "mac": "52:54:00:cc:00:01",
                                                                  "iface_id": "i"}]})
    assert wrong.status == 422 and wrong.fields == ["id", "ports[0].id", "region"]


def test_patch_ports_keeps_ids(api, new_server, new_port):
    server = new_server("10.0.0.1")
    path, [port] = f"{SERVERS}/{server['id']}", server["ports"]
    given = {"mac": port["mac"], "bridge": port["bridge"], "port": port["port"]}
    by_place = api.patch(path, {"ports": [{**given, "ips": ["10.0.0.2"]}, new_port()]})
    assert by_place.status == 200, by_place
    assert by_place.json["ports"][0]["id"] == port["id"] and by_place.json["ports"][0]["ips"] == ["10.0.0.2"]
    by_id = api.patch(path, {"ports": [{**given, "id": port["id"], "mac": "52:54:00:dd:00:01"}]})
    assert by_id.status == 200, by_id
    assert [one["id"] for one in by_id.json["ports"]] == [port["id"]]
    assert by_id.json["ports"][0]["mac"] == "52:54:00:dd:00:01"
    assert api.patch(path, {"ports": []}).json["ports"] == []


def test_put_groups(api, region, group, new_server):
    server = new_server()
    path = f"{SERVERS}/{server['id']}/security-groups"
    other = api.post("/v1/security-groups", {"region": region, "name": "o"}).json
    answer = api.put(path, {"security_groups": [other["id"], group["id"]]})
    assert answer.status == 200
    assert answer.json["security_groups"] == [other["id"], group["id"]]
    assert api.get(f"/v1/security-groups/{other['id']}").json["servers"] == [server["id"]]
    assert api.put(path, {}).fields == ["security_groups"]
    assert api.put(path, {"security_groups": None}).fields == ["security_groups"]
    assert api.put(path, {"security_groups": [str(uuid.uuid4())]}).fields == ["security_groups[0]"]
    assert api.put(f"{SERVERS}/{uuid.uuid4()}/security-groups", {"security_groups": []}).status == 404
    assert api.get(path).status == 405


def test_delete(api, new_server):
    server = new_server()
    assert api.delete(f"{SERVERS}/{server['id']}").status == 204
    for method in ("GET", "DELETE"):
        assert api(method, f"{SERVERS}/{server['id']}").status == 404
    assert api.patch(f"{SERVERS}/{server['id']}", {"name": "x"}).status == 404


def test_if_match_where_there_is_no_tag(api, region, new_server):
    """A condition that nothing can fulfil is not passed over in silence."""
    path = f"{SERVERS}/{new_server()['id']}"
    assert api.patch(path, {"name": "x"}, headers={"If-Match": '"1"'}).status == 412
    assert api.delete(f"/v1/regions/{region}", headers={"If-Match": '"1"'}).status == 412
    assert api.post("/v1/security-groups", {"region": region, "name": "g"}, headers={"If-Match": '"1"'}).status == 412
    assert api.patch(path, {"name": "y"}, headers={"If-Match": "*"}).json["name"] == "y"
    assert "ETag" not in api.get(path).headers


def test_the_longest_lists(api, region):
    """Every list takes the 1024 items that the description of the interface promises."""
    groups = [{"name": f"g{n}", "rules": []} for n in range(1024)]
    assert api.put(f"/v1/regions/{region}/document?wait=0", {"security_groups": groups}).status in (200, 202)
    ids = [group["id"] for group in api.get(f"/v1/security-groups?region={region}").json["security_groups"]]
    ips = [f"10.77.{n >> 8}.{n & 255}" for n in range(1024)]
    ports = [{"mac": f"52:54:77:00:{n >> 8:02x}:{n & 255:02x}", "iface_id": f"{region}-{n}"} for n in range(1024)]
    ports[0].update(ips=ips, allowed_address_pairs=[{"ip": ip} for ip in ips])
    body = {"region": region, "name": "vm", "security_groups": ids, "ports": ports}
    made = api.post(SERVERS, body)
    assert made.status == 201, made
    assert len(made.json["security_groups"]) == len(made.json["ports"]) == len(ids) == 1024
    assert len(made.json["ports"][0]["ips"]) == len(made.json["ports"][0]["allowed_address_pairs"]) == 1024
    path = f"{SERVERS}/{made.json['id']}"
    for field, longer in (("security_groups", ids + ids[:1]), ("ports", ports + ports[:1])):
        refused = api.patch(path, {field: longer})
        assert refused.status == 422 and refused.fields == [field]
    ports[0]["ips"] = ips + ["10.78.0.1"]
    assert api.patch(path, {"ports": ports}).fields == ["ports[0].ips"]
    assert api.delete(path).status == 204
