"""Live connections where no switch tells of any: what is answered then.  Those that are told: tests/system/test_connections.py."""

import os
import subprocess

import pytest
from daemon import TOP

SALLYPORT = os.path.join(TOP, os.environ.get("BUILD", "build"), "bin", "sallyport")
NOBODY = "00000000-0000-4000-8000-000000000000"
UNKNOWN = "no control socket of a switch is known: start sallyportd with --switch-control"


def test_without_a_control_socket(api, new_server):
    server = new_server("10.0.0.1")
    answer = api.get(f"/v1/servers/{server['id']}/connections")
    assert answer.status == 200
    assert answer.json == {"available": False, "reason": UNKNOWN, "connections": [], "more": False,
                           "ports": [{"port": server["ports"][0]["id"], "available": False, "reason": UNKNOWN}]}
    assert api.get(f"/v1/servers/{NOBODY}/connections").status == 404
    assert api("HEAD", f"/v1/servers/{server['id']}/connections").status == 200


@pytest.mark.parametrize("limit, status", [("0", 422), ("1", 200), ("1000", 200), ("1001", 422), ("x", 422), ("", 422), ("-1", 422)])
def test_limit(api, new_server, limit, status):
    answer = api.get(f"/v1/servers/{new_server()['id']}/connections?limit={limit}")
    assert answer.status == status
    assert status == 200 or answer.fields == ["?limit"]


def test_ports_that_are_nowhere(make_daemon, directory):
    """The socket is not even looked at."""
    daemon = make_daemon("--switch-control", f"unix:{directory}/none").start()
    api = daemon.client()
    assert api.put("/v1/regions/SV2").status == 201
    bare = api.post("/v1/servers", {"region": "SV2", "name": "bare", "ports": []}).json
    answer = api.get(f"/v1/servers/{bare['id']}/connections").json
    assert not answer["available"] and answer["reason"] == "the server has no port" and answer["ports"] == []
    port = {"mac": "52:54:00:00:00:01", "bridge": "00000000000000aa", "port": "p"}
    server = api.post("/v1/servers?wait=0", {"region": "SV2", "name": "vm", "ports": [port]}).json
    answer = api.get(f"/v1/servers/{server['id']}/connections").json
    assert not answer["available"] and answer["reason"] == "it is on no bridge that is connected"
    done = subprocess.run([SALLYPORT, "--url", f"http://{daemon.address}", "connections", "vm"], capture_output=True, text=True,
                          timeout=30)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == "sallyport: the connections of vm cannot be listed: it is on no bridge that is connected\n"
    assert daemon.stop() == 0
