"""Contract 2 and 4: regions."""

import re

import pytest

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def test_put_creates_once(api):
    made = api.put("/v1/regions/SV2.a_b-c")
    assert made.status == 201
    assert made.headers["Location"] == "/v1/regions/SV2.a_b-c"
    assert made.applied is True and made.revision > 0
    assert set(made.json) == {"name", "default_group", "counts", "created_at"}
    assert made.json["name"] == "SV2.a_b-c"
    assert made.json["default_group"] is None
    assert made.json["counts"] == {"security_groups": 0, "servers": 0}
    assert TIME.fullmatch(made.json["created_at"])
    again = api.put("/v1/regions/SV2.a_b-c", {})
    assert again.status == 200
    assert again.json == made.json
    assert again.revision == made.revision
    assert api.get("/v1/regions/SV2.a_b-c").json == made.json
    assert made.json in api.get("/v1/regions").json["regions"]


@pytest.mark.parametrize("name", ["a" * 65, "a%20b", "%C3%A4", "a:b"])
def test_bad_name(api, name):
    answer = api.put(f"/v1/regions/{name}")
    assert answer.status == 422
    assert answer.fields == ["name"]
    assert api.get(f"/v1/regions/{name}").status == 404


def test_longest_name(api):
    assert api.put("/v1/regions/" + "n" * 64).status == 201


def test_delete(api, region):
    answer = api.delete(f"/v1/regions/{region}")
    assert answer.status == 204
    assert answer.body == b""
    assert answer.applied is True
    assert api.get(f"/v1/regions/{region}").status == 404
    assert api.delete(f"/v1/regions/{region}").status == 404


def test_delete_with_group_is_conflict(api, region, group):
    answer = api.delete(f"/v1/regions/{region}")
    assert answer.status == 409
    assert {"type": "security_group", "id": group["id"], "name": "web"} in answer.json["in_use_by"]
    assert api.get(f"/v1/regions/{region}").status == 200


def test_delete_with_server_is_conflict(api, region, new_server):
    server = new_server()
    answer = api.delete(f"/v1/regions/{region}")
    assert answer.status == 409
    assert {"type": "server", "id": server["id"], "name": "vm"} in answer.json["in_use_by"]


def test_counts(api, region, new_server):
    new_server()
    new_server()
    answer = api.get(f"/v1/regions/{region}").json
    assert answer["counts"] == {"security_groups": 1, "servers": 2}
    assert answer["default_group"]


def test_body_fields_are_unknown(api):
    answer = api.put("/v1/regions/X1", {"name": "X1"})
    assert answer.status == 422
    assert answer.fields == ["name"]
    assert api.get("/v1/regions/X1").status == 404
