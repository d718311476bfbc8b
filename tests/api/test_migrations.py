"""A database of every schema there was is brought up to date with all that it has: schemas/version_N.sql is one that the daemon of
that time wrote, as text, and version_N.json what that daemon told of it."""

import contextlib
import json
import os
import sqlite3

import pytest
from test_confirm import until
from test_undo import made, undo

SCHEMAS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "schemas")
NOW = 5
TRIAL = "group on trial created"  # Nobody confirmed it: its time was over long before the start.


def read(name):
    with open(os.path.join(SCHEMAS, name), encoding="utf-8") as file:
        return file.read()


def differences(told, now, path=""):
    """Where `now` does not say what was told before; it may say more."""
    if isinstance(told, dict) and isinstance(now, dict):
        for key, value in told.items():
            yield from differences(value, now.get(key, "nothing"), f"{path}.{key}")
    elif isinstance(told, list) and isinstance(now, list) and len(told) == len(now):
        for number, (one, other) in enumerate(zip(told, now)):
            yield from differences(one, other, f"{path}[{number}]")
    elif told != now:
        yield f"{path}: {told} is {now}"


@pytest.fixture(name="old", params=range(1, NOW))
def fixture_old(request, make_daemon):
    """A daemon on a database of an earlier schema, the number of that, and what was told of it then."""
    daemon = make_daemon()
    with contextlib.closing(sqlite3.connect(daemon.db.partition(":")[2])) as database:
        database.executescript(read(f"version_{request.param}.sql"))
    return daemon.start(), request.param, json.loads(read(f"version_{request.param}.json"))


def wait_for_the_trial(api):
    def ended():
        return not api.get("/v1/changes?pending=true").json["changes"]

    until(ended, "what was due is taken back")


def test_all_of_it_is_there(old):
    daemon, version, told = old
    api = daemon.client()
    wait_for_the_trial(api)
    [gone] = [one["objects"][0]["id"] for one in told.get("/v1/changes", {"changes": []})["changes"] if one["what"] == TRIAL] or [None]
    told["/v1/security-groups"]["security_groups"] = [one for one in told["/v1/security-groups"]["security_groups"] if one["id"] != gone]
    for region in told["/v1/regions"]["regions"]:
        if region["name"] == "TY2" and gone:
            region["counts"]["security_groups"] -= 1
    for path in ("/v1/regions", "/v1/security-groups", "/v1/servers", "/v1/bridges"):
        assert not list(differences(told[path], api.get(path).json)), path
    changes = api.get("/v1/changes").json["changes"]
    assert bool(gone) == (version >= 3)
    if gone:
        back = changes.pop(0)
        assert back["what"].endswith(f"rolled back, as nobody confirmed it: {TRIAL}")
        [trial] = [one for one in changes if one["what"] == TRIAL]
        assert (trial["undone_by"], trial["confirmation"]["state"]) == (back["id"], "rolled_back")
        [before] = [one for one in told["/v1/changes"]["changes"] if one["what"] == TRIAL]
        assert before["confirmation"]["state"] == "pending" and trial["objects"] == before["objects"]
        changes.remove(trial)
        told["/v1/changes"]["changes"].remove(before)
    if version == 1:
        assert changes == []
    else:
        assert not list(differences(told["/v1/changes"]["changes"], changes))
    # An update alone turns nothing on.
    reports = {region["name"]: region["report_blocked"] for region in api.get("/v1/regions").json["regions"]}
    assert reports == ({"SV2": True, "TY2": False} if version >= 4 else {"SV2": False, "TY2": False})


def test_it_works_as_one_of_today(old):
    daemon, version, told = old
    api = daemon.client()
    wait_for_the_trial(api)
    web = next(one for one in told["/v1/security-groups"]["security_groups"] if one["name"] == "web")
    path = f"/v1/security-groups/{web['id']}"
    change = made(api.patch(f"{path}?confirm_within=3600", {"name": "www"})).headers["Sallyport-Change"]
    assert api.get(f"/v1/changes/{change}").json["confirmation"]["state"] == "pending"
    made(undo(api, int(change)))
    made(api.patch("/v1/regions/SV2", {"report_blocked": version < 4}))
    made(api.post("/v1/servers", {"region": "SV2", "name": "vm3", "security_groups": [web["id"]]}))
    if version >= 2:  # What was done before the update can be undone after it.
        made(undo(api, next(one["id"] for one in told["/v1/changes"]["changes"] if one["undoes"] and "gone" in one["what"])))
        assert "gone" not in [one["name"] for one in api.get("/v1/security-groups?region=TY2").json["security_groups"]]
    rule = api.get(f"{path}/rules").json["rules"][0]
    assert rule["hits"] == 0 and rule["counting_since"] > rule["created_at"]
    before = {where: api.get(where).json for where in ("/v1/regions", "/v1/security-groups", "/v1/servers", "/v1/changes")}
    assert daemon.stop() == 0
    daemon.start()
    assert {where: daemon.client().get(where).json for where in before} == before
    assert daemon.stop() == 0
    with contextlib.closing(sqlite3.connect(daemon.db.partition(":")[2])) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (NOW,)
