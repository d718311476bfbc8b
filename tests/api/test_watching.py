"""The dashboard and the alert rules speak of metrics that there are."""

import json
import os
import re
import shutil
import subprocess

import pytest
from description import TOP

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
    there = set(re.findall(r"^(\w+)[ {]", client.get("/metrics").body.decode(), re.M))
    named = {name for expression in expressions() for name in re.findall(r"\b(?:sallyport|process)_\w+", expression)}
    assert named and named <= there, named - there


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
    metrics = daemon.client().get("/metrics").body
    judged = subprocess.run([PROMTOOL, "check", "metrics"], input=metrics, capture_output=True)
    assert judged.returncode == 0 and not judged.stdout + judged.stderr, judged
    judged = subprocess.run([PROMTOOL, "check", "rules", os.path.join(OBS, "alerts.yml")], capture_output=True, text=True)
    assert judged.returncode == 0, judged
