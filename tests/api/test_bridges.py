"""Contract 2 and 4: bridges, as far as they go without a switch; see test_switch.py for the rest."""

import itertools

import pytest

_numbers = itertools.count(0xAB00)
FIELDS = {"dpid", "name", "connected", "peer", "version", "uplinks", "ports", "flows", "revision", "last_error"}


@pytest.fixture
def path():
    return f"/v1/bridges/{next(_numbers):016X}"


def test_put_before_it_connects(api, path):
    answer = api.put(path, {"uplinks": ["eth0", "eth1", "eth0"]})
    assert answer.status == 201
    bridge = answer.json
    assert FIELDS <= set(bridge)
    assert bridge["dpid"] == path[-16:].lower()
    assert bridge["uplinks"] == ["eth0", "eth1"]
    assert bridge["connected"] is False and bridge["ports"] == []
    assert bridge["peer"] is None and bridge["last_error"] is None and bridge["version"] is None
    assert set(bridge["flows"]) == {"desired", "installed"}
    assert answer.headers["Location"] == path.lower()
    assert api.get(path).json == bridge
    assert bridge["dpid"] in [one["dpid"] for one in api.get("/v1/bridges").json["bridges"]]
    again = api.put(path, {"uplinks": ["eth9"]})
    assert again.status == 200 and again.json["uplinks"] == ["eth9"]


def test_put_without_uplinks_leaves_them(api, path):
    assert api.put(path).json["uplinks"] == []
    assert api.put(path, {"uplinks": ["eth0"]}).json["uplinks"] == ["eth0"]
    assert api.put(path, {}).json["uplinks"] == ["eth0"]
    assert api.put(path, {"uplinks": []}).json["uplinks"] == []


@pytest.mark.parametrize("body, fields", [
    ({"uplinks": "eth0"}, ["uplinks"]), ({"uplinks": ["", 5, "x" * 16, "ok"]}, ["uplinks[0]", "uplinks[1]", "uplinks[2]"]),
    ({"uplink": []}, ["uplink"]), ({"dpid": "1", "name": "x"}, ["dpid", "name"]), ([], [""])])
def test_wrong_body(api, path, body, fields):
    answer = api.put(path, body)
    assert answer.status == 422
    assert answer.fields == fields
    assert api.get(path).status == 404


@pytest.mark.parametrize("dpid", ["1", "0x00000000000001", "000000000000000g", "00000000000000001"])
def test_wrong_dpid(api, dpid):
    assert api.get(f"/v1/bridges/{dpid}").status == 404
    assert api.delete(f"/v1/bridges/{dpid}").status == 404
    answer = api.put(f"/v1/bridges/{dpid}", {"uplinks": []})
    assert answer.status == 422 and answer.fields == ["dpid"]


def test_delete(api, path):
    assert api.delete(path).status == 404
    api.put(path, {"uplinks": []})
    assert api.delete(path).status == 204
    assert api.get(path).status == 404


def test_delete_in_use(api, new_server):
    server = new_server()
    path = f"/v1/bridges/{server['ports'][0]['bridge']}"
    answer = api.delete(path)
    assert answer.status == 409
    assert answer.json["in_use_by"] == [{"type": "server", "id": server["id"], "name": "vm"}]
    assert api.delete(f"/v1/servers/{server['id']}").status == 204
    assert api.delete(path).status == 204


def test_uplink_that_is_a_servers_port(api, new_server):
    port = new_server()["ports"][0]
    answer = api.put(f"/v1/bridges/{port['bridge']}", {"uplinks": ["eth0", port["port"]]})
    assert answer.status == 422
    assert answer.fields == ["uplinks[1]"]
