"""How often rules hit, as it is stored, told, and judged by lint; who hits them is a matter of system/test_counters.py."""

import contextlib
import datetime
import os
import sqlite3

import pytest
from test_cli import Cli
from test_events import metric

from topology.ovs import wait_until

NAMES = ("hits", "bytes", "first_hit", "last_hit")


def days_ago(days):
    return datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=days)


def micros(time):
    return int(time.timestamp() * 1e6)


def write(daemon, *statements):
    """Runs SQL on the database of a daemon that has ended, and stands by it."""
    os.unlink(daemon.db.removeprefix("sqlite:") + "-seal")
    with contextlib.closing(sqlite3.connect(daemon.db.removeprefix("sqlite:"))) as database, database:
        for sql, *values in statements:
            database.execute(sql, values)


def read(daemon, sql):
    with contextlib.closing(sqlite3.connect(daemon.db.removeprefix("sqlite:"))) as database:
        return database.execute(sql).fetchall()


@pytest.fixture(name="old")
def fixture_old(daemon):
    """A group of three rules that are 40 days old: never hit, hit 31 days ago, hit yesterday."""
    api = daemon.client()
    assert api.put("/v1/regions/SV2").status == 201
    group = api.post("/v1/security-groups", {"region": "SV2", "name": "web", "rules": [
        {"direction": "inbound", "protocol": "tcp", "port_min": port} for port in (80, 81, 82)]}).json
    assert daemon.stop() == 0
    ids = [rule["id"] for rule in group["rules"]]
    write(daemon, ("UPDATE counting SET since = ?", micros(days_ago(40))), ("UPDATE rule SET created_at = ?", micros(days_ago(41))),
          ("INSERT INTO rule_count VALUES (?, 7, 700, ?, ?)", ids[1], micros(days_ago(39)), micros(days_ago(31))),
          ("INSERT INTO rule_count VALUES (?, ?, ?, ?, ?)", ids[2], 2 ** 63 - 1, 2 ** 63 - 1, micros(days_ago(39)), micros(days_ago(1))))
    daemon.start()
    return {**group, "ids": ids, "path": f"/v1/security-groups/{group['id']}"}


def test_told_and_judged(daemon, old):
    api = daemon.client()
    rules = api.get(old["path"]).json["rules"]
    assert [rule["hits"] for rule in rules] == [0, 7, 2 ** 63 - 1] and [rule["bytes"] for rule in rules] == [0, 700, 2 ** 63 - 1]
    assert rules[0]["first_hit"] is None and rules[0]["last_hit"] is None
    assert rules[0]["created_at"] < rules[0]["counting_since"] < rules[1]["first_hit"] < rules[1]["last_hit"]
    assert api.get(f"{old['path']}/rules/{old['ids'][1]}").json == rules[1]
    assert api.get(f"{old['path']}/rules").json["rules"] == rules
    findings = {finding["rule"]: finding for finding in api.get(f"{old['path']}/lint").json["findings"]}
    assert set(findings) == set(old["ids"][:2])
    assert all((finding["kind"], finding["by"]) == ("unused", None) for finding in findings.values())
    assert findings[old["ids"][0]]["message"] == f"unused: no packet, counted since {rules[0]['counting_since']}"
    assert findings[old["ids"][1]]["message"] == f"unused: no packet since {rules[1]['last_hit']}"


def test_how_many_are_unused(daemon, old):
    api = daemon.client()
    wait_until(lambda: "sallyport_rules " in api.get("/metrics").body.decode(), "the rules are counted", 20)
    assert (metric(api, "sallyport_rules"), metric(api, "sallyport_rules_unused")) == (3, 2)


def test_on_the_command_line(daemon, old):
    cli = Cli(f"unix:{daemon.socket}")
    rows = [line.split() for line in cli("rule", "list", "web", "--region", "SV2").splitlines()]
    assert rows[0][6:10] == ["HITS", "LAST", "HIT", "ORIGIN"]
    assert rows[1][6:9] == ["0", "never", "user"]
    listed = cli.json("rule", "list", "web", "--region", "SV2")["rules"]
    assert rows[2][6:8] == ["7", listed[1]["last_hit"][:10]]
    assert [{name: rule[name] for name in NAMES} for rule in listed] == \
        [{name: rule[name] for name in NAMES} for rule in daemon.client().get(f"{old['path']}/rules").json["rules"]]
    kinds = [line.split()[1] for line in cli("group", "lint", "web").splitlines()[1:]]
    assert kinds == ["unused", "unused"]


def test_follow_their_rules(daemon, old):
    """They stay with rules that are edited and put in another order, and go with those that go."""
    api = daemon.client()
    first, second, third = api.get(f"{old['path']}/rules").json["rules"]

    def meaning(rule, **fields):
        return {name: rule[name] for name in ("direction", "protocol", "port_min", "port_max")} | fields

    answer = api.put(f"{old['path']}/rules", {"rules": [meaning(third), {"direction": "outbound", "protocol": "any"}, meaning(second)]})
    assert [rule["hits"] for rule in answer.json["rules"]] == [2 ** 63 - 1, 0, 7]
    assert api.patch(f"{old['path']}/rules/{second['id']}", {"port_max": 90, "description": "x"}).json["hits"] == 7
    assert daemon.stop() == 0
    assert sorted(read(daemon, "SELECT rule, packets FROM rule_count")) == sorted([(second["id"], 7), (third["id"], 2 ** 63 - 1)])
    api = daemon.start().client()
    assert [rule["hits"] for rule in api.get(f"{old['path']}/rules").json["rules"]] == [2 ** 63 - 1, 0, 7]
    assert api.delete(f"{old['path']}/rules/{third['id']}").status == 204
    assert api.delete(old["path"]).status == 204
    assert daemon.stop() == 0
    assert read(daemon, "SELECT * FROM rule_count") == []
    assert first["id"] in old["ids"]


@pytest.mark.parametrize("sql", ["UPDATE rule_count SET rule = substr(rule, 2)", "DELETE FROM counting"])
def test_damaged(daemon, old, sql):
    """What contradicts itself ends the start with one line, as everything in the database does."""
    assert daemon.stop() == 0
    write(daemon, ("PRAGMA foreign_keys = OFF",), ("PRAGMA ignore_check_constraints = ON",), (sql,))
    with pytest.raises(AssertionError, match="did not become ready"):
        daemon.start()
    assert daemon.process.wait(timeout=20) == 2
    assert len(daemon.text().splitlines()) == 1 and "damaged" in daemon.text()
