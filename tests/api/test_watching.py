"""The dashboard and the alert rules speak of metrics that there are."""

import json
import os
import re
import shutil
import subprocess

import pytest
from description import TOP

from topology.ovs import wait_until

OBS = os.path.join(TOP, "controller", "obs")
PROMTOOL = os.environ.get("PROMTOOL") or shutil.which("promtool")


def text(name):
    with open(os.path.join(OBS, name), encoding="utf-8") as file:
        return file.read()


def expressions():
    for panel in json.loads(text("grafana.json"))["panels"]:
        for target in panel["targets"]:
            yield target["expr"]
    yield from re.findall(r"expr: (.*)", text("alerts.yml"))


def test_every_metric_is_there(daemon):
    client = daemon.client()
    assert client.put("/v1/bridges/00000000000000e1").status in (200, 201)
    wait_until(lambda: "sallyport_rules " in client.get("/metrics").body.decode(), "the rules are counted", 20)
    there = set(re.findall(r"^(\w+)[ {]", client.get("/metrics").body.decode(), re.M))
    named = {name for expression in expressions() for name in re.findall(r"\b(?:sallyport|process)_\w+", expression)}
    assert named and named <= there, named - there


@pytest.mark.parametrize("form, take", [
    ("json", lambda line: json.loads(line)["level"]), ("kv", lambda line: re.fullmatch(r'time=\S+ level=(\w+) area=\w+ message=".*"', line)[1])])
def test_every_line_of_the_log(make_daemon, form, take):
    """One line a change, with its revision; what a stranger sends ends no quotes."""
    site = make_daemon("--log-format", form, "--log-level", "debug").start()
    client = site.client()
    assert client.put("/v1/regions/SV2").status == 201
    assert client.post("/v1/security-groups", {"region": "SV2", "name": 'a" level="error'}).status == 201
    client.get("/v1/regions/%22%0a%22")
    assert site.stop() == 0
    lines = site.text().splitlines()
    assert {take(line) for line in lines} == {"debug", "info"}
    told = [line for line in lines if take(line) == "info" and "revision " in line]
    assert len(told) == 2 and "revision 1" in told[0] and "revision 2" in told[1]


def test_panels_lie_side_by_side():
    cells = set()
    for panel in json.loads(text("grafana.json"))["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        mine = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & mine
        cells |= mine


@pytest.mark.skipif(not PROMTOOL, reason="make check-metrics fetches promtool")
def test_promtool_has_nothing_to_say(daemon):
    client = daemon.client()
    wait_until(lambda: "sallyport_rules " in client.get("/metrics").body.decode(), "the rules are counted", 20)
    metrics = client.get("/metrics").body
    judged = subprocess.run([PROMTOOL, "check", "metrics"], input=metrics, capture_output=True)
    assert judged.returncode == 0 and not judged.stdout + judged.stderr, judged
    judged = subprocess.run([PROMTOOL, "check", "rules", os.path.join(OBS, "alerts.yml")], capture_output=True, text=True)
    assert judged.returncode == 0 and "SUCCESS" in judged.stdout and not judged.stderr, judged
