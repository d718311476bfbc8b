"""Contract 2 and 4: regions."""

import re

import pytest

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def test_put_creates_once(api):
    made = api.put("/v1/regions/SV2.a_b-c")
    assert made.status == 201
    assert made.headers["Location"] == "/v1/regions/SV2.a_b-c"
    assert made.applied is True and made.revision > 0
    assert set(made.json) == {"name", "default_group", "report_blocked", "counts", "created_at"}
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


def test_report_blocked(api):
    """On in a new region unless it says otherwise; PATCH and PUT change it, and nothing else changes it."""
    assert api.put("/v1/regions/loud").json["report_blocked"] is True
    made = api.put("/v1/regions/quiet", {"report_blocked": False})
    assert made.status == 201 and made.json["report_blocked"] is False
    assert api.put("/v1/regions/quiet").json == made.json
    changed = api.patch("/v1/regions/quiet", {"report_blocked": True})
    assert changed.status == 200 and changed.applied and changed.json == {**made.json, "report_blocked": True}
    assert changed.revision == made.revision + 1
    assert api.patch("/v1/regions/quiet", {"report_blocked": True}).revision == changed.revision
    assert api.patch("/v1/regions/quiet", {}).json == changed.json
    again = api.put("/v1/regions/quiet", {"report_blocked": False})
    assert again.status == 200 and again.json == made.json and api.get("/v1/regions/quiet").json == made.json
    objects = api.get(f"/v1/changes/{again.revision}").json["objects"]
    assert [(o["kind"], o["before"], o["after"]) for o in objects] == [("region", {"report_blocked": True}, {"report_blocked": False})]
    assert api.post(f"/v1/changes/{again.revision}/undo").status in (200, 201)
    assert api.get("/v1/regions/quiet").json == changed.json
    gone = api.delete("/v1/regions/quiet")
    assert api.post(f"/v1/changes/{gone.revision}/undo").status in (200, 201)
    assert api.get("/v1/regions/quiet").json == changed.json


def test_report_blocked_refusals(api, region):
    for method in (api.put, api.patch):
        answer = method(f"/v1/regions/{region}", {"report_blocked": 1})
        assert answer.status == 422 and answer.fields == ["report_blocked"]
        answer = method(f"/v1/regions/{region}", {"name": "x", "colour": 1})
        assert answer.status == 422 and answer.fields == ["colour", "name"]
    assert api.patch("/v1/regions/nowhere", {"report_blocked": True}).status == 404
    assert api.patch("/v1/regions/nowhere", {}).status == 404
    assert api.patch(f"/v1/regions/{region}").status == 400
    assert api.get(f"/v1/regions/{region}").json["report_blocked"] is True


def test_blocked_without_a_switch(api, region, new_server):
    """What a switch denies is told in tests/system/test_blocked.py."""
    nothing = {"blocked": [], "sampled": True}
    server = new_server()
    for query in ("", f"?region={region}", "?region=nowhere", f"?server={server['id']}", f"?server={server['id']}&region={region}",
                  "?server=00000000-0000-4000-8000-000000000000"):
        answer = api.get("/v1/blocked" + query)
        assert answer.status == 200 and answer.json == nothing, query
    assert api.get("/v1/blocked?server=vm").fields == ["?server"]
    assert api.get("/v1/blocked?port=1").status == 422
