"""Roles and regions: every call of the interface with every kind of token.

What a call needs is said here once more, in one table; the calls themselves come from the interface's own description, so that a
new one fails until it is in the table."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

import daemon as sallyport

ROLES = ["read", "operator", "admin"]
ANYBODY = None
# By operation: the role it needs, and what a token for region A alone gets for something of region B: "hidden" (left out of
# lists, or 404), "refused" (403), or "same" (it is about no region).
TABLE = {
    "listRegions": ("read", "hidden"), "getRegion": ("read", "refused"), "putRegion": ("admin", "refused"),
    "changeRegion": ("admin", "refused"), "deleteRegion": ("admin", "refused"),
    "exportRegion": ("read", "refused"), "applyRegion": ("operator", "refused"),
    "listSecurityGroups": ("read", "hidden"), "createSecurityGroup": ("operator", "refused"), "getSecurityGroup": ("read", "hidden"),
    "changeSecurityGroup": ("operator", "hidden"), "deleteSecurityGroup": ("operator", "hidden"), "lintSecurityGroup": ("read", "hidden"),
    "listRules": ("read", "hidden"), "createRule": ("operator", "hidden"), "replaceRules": ("operator", "hidden"),
    "getRule": ("read", "hidden"), "changeRule": ("operator", "hidden"), "deleteRule": ("operator", "hidden"),
    "listServers": ("read", "hidden"), "createServer": ("operator", "refused"), "getServer": ("read", "hidden"),
    "changeServer": ("operator", "hidden"), "deleteServer": ("operator", "hidden"), "setServerSecurityGroups": ("operator", "hidden"),
    "listBlocked": ("read", "hidden"), "getConnections": ("read", "hidden"),
    "listBridges": ("read", "refused"), "getBridge": ("read", "refused"), "putBridge": ("admin", "refused"),
    "deleteBridge": ("admin", "refused"),
    "listChanges": ("read", "hidden"), "getChange": ("read", "hidden"), "undoChange": ("operator", "hidden"), "confirmChange": ("operator", "hidden"),
    "explain": ("read", "unknown"), "getStatus": ("read", "refused"), "getDescription": ("read", "same"), "getClient": ("read", "same"),
    "streamEvents": ("read", "refused"), "getMetrics": ("read", "refused"), "getHealth": (ANYBODY, "same"), "getReadiness": (ANYBODY, "same"),
}


def write_tokens(directory, *extra):
    """One token for each role, for all regions ("read") and for A alone ("read-A")."""
    path = os.path.join(directory, "tokens")
    lines = ["# Tokens of a test.", "whole-admin", *extra]
    for role in ROLES:
        for name, regions in ((role, "*"), (f"{role}-A", "A")):
            lines.append(f"{name} {role} {regions} sha256:{hashlib.sha256(f'token-of-{name}'.encode()).hexdigest()}")
    with open(path, "w", opener=lambda name, flags: os.open(name, flags, 0o600), encoding="ascii") as file:
        file.write("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def site():
    directory = tempfile.mkdtemp(prefix="sp-api-", dir="/tmp")
    one = sallyport.Daemon(directory, "--token-file", write_tokens(directory), "--log-level", "debug", token=None)
    one.start()
    yield one
    one.close()
    shutil.rmtree(directory, ignore_errors=True)


def client_of(site, name):
    return sallyport.Client(site.address, token=f"token-of-{name}" if name else None)


class World:
    """Fresh objects in regions A and B for one call."""

    number = 0

    def __init__(self, site):
        World.number += 1
        self.admin = sallyport.Client(site.address, token="whole-admin")
        self.at = {}
        for region in "AB":
            assert self.admin.put(f"/v1/regions/{region}").status in (200, 201)
            rule = {"direction": "inbound", "protocol": "tcp", "port_min": 22}
            group = self.made("/v1/security-groups", {"region": region, "name": "g", "rules": [rule]})
            server = self.made("/v1/servers", self.server(region, 0, group["id"]))
            spare = self.made("/v1/security-groups", {"region": region, "name": "spare"})
            self.at[region] = {"region": region, "group": group["id"], "rule": group["rules"][0]["id"], "server": server["id"],
                               "spare": spare["id"], "dpid": f"{0xc0000 + World.number:016x}", "change": str(self.last)}

    @staticmethod
    def server(region, which, *groups):
        number = (World.number * 2 + (region == "B")) * 4 + which
        return {"region": region, "name": "s", "security_groups": list(groups), "ports": [
            {"mac": f"52:54:01:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}", "bridge": f"{0xd0000 + number:016x}",
             "port": "p", "ips": []}]}

    def made(self, path, body, query=""):
        answer = self.admin.post(f"{path}?wait=0{query}", body)
        assert answer.status in (201, 202), answer
        self.last = int(answer.headers["Sallyport-Change"])
        return answer.json

    def newest_of_b(self):
        """The last change of anything in region B."""
        return self.admin.get("/v1/changes?region=B&limit=1").json["changes"][0]["id"]

    def request(self, operation, method, path, region):
        """The call as it succeeds for who may do everything."""
        here = self.at[region]
        if operation == "confirmChange":
            self.made("/v1/security-groups", {"region": region, "name": "trial"}, "&confirm_within=3600")
            here = dict(here, change=str(self.last))
        rule = {"direction": "outbound", "protocol": "udp", "port_min": World.number % 60000 + 1}
        if operation in ("deleteSecurityGroup",):
            here = dict(here, group=here["spare"])
        bodies = {
            "changeRegion": {"report_blocked": False},
            "applyRegion": {"security_groups": [{"name": f"g{World.number}"}]},
            "createSecurityGroup": {"region": region, "name": "new"}, "changeSecurityGroup": {"name": "changed"},
            "createRule": rule, "replaceRules": {"rules": [rule]}, "changeRule": {"description": "changed"},
            "createServer": self.server(region, 1, here["group"]), "changeServer": {"name": "changed"},
            "setServerSecurityGroups": {"security_groups": [here["spare"]]}, "putBridge": {"uplinks": []},
            "explain": {"server": here["server"], "direction": "inbound", "protocol": "tcp", "remote_ip": "192.0.2.1", "local_port": 22},
        }
        for key in ("region", "group", "rule", "server", "dpid", "change"):
            path = path.replace("{%s}" % key, here[key])
        return method, path, bodies.get(operation)


def operations(site):
    paths = client_of(site, "read").get("/v1/openapi.json").json["paths"]
    for path, item in paths.items():
        for method, operation in item.items():
            if method in ("get", "put", "post", "patch", "delete"):
                yield operation["operationId"], method.upper(), path


def test_the_table_is_complete(site):
    described = {operation for operation, _, _ in operations(site)}
    assert described <= set(TABLE), described - set(TABLE)


OPEN_STREAM = {"streamEvents"}


def status_of(client, method, path, body, streams):
    """The status; an answer that never ends is not read."""
    if not streams:
        return client(method, path, body)
    connection = client.connection()
    connection.request(method, path, headers={"Authorization": f"Bearer {client.token}"} if client.token else {})
    response = connection.getresponse()
    status = response.status
    client.close()
    return type("Answer", (), {"status": status, "json": None})()


@pytest.mark.parametrize("name", [None, *ROLES])
def test_every_call_and_role(site, name):
    """Refused with 401 or 403 exactly where the table says so."""
    for operation, method, path in operations(site):
        needed = TABLE[operation][0]
        world = World(site)
        method, real, body = world.request(operation, method, path, "A")
        answer = status_of(client_of(site, name), method, real, body, operation in OPEN_STREAM)
        what = f"{operation} by {name}: {answer.status} {getattr(answer, 'body', '')[:300]}"
        if needed is ANYBODY:
            assert answer.status in (200, 304), what
        elif name is None:
            assert answer.status == 401, what
        elif ROLES.index(name) < ROLES.index(needed):
            assert answer.status == 403, what
            assert answer.headers["Content-Type"] == "application/problem+json"
        elif operation == "deleteRegion":
            assert answer.status == 409, what  # It has servers.
        elif operation == "deleteBridge":
            assert answer.status == 404, what
        elif operation == "getBridge":
            assert answer.status == 404, what
        else:
            assert answer.status in (200, 201, 202, 204), what


@pytest.mark.parametrize("name", [f"{role}-A" for role in ROLES])
def test_every_call_and_region(site, name):
    """A token for region A does in A what its role allows, and of B sees and changes nothing."""
    client = client_of(site, name)
    for operation, method, path in operations(site):
        needed, other = TABLE[operation]
        if needed is not ANYBODY and ROLES.index(name[:-2]) < ROLES.index(needed):
            continue
        world = World(site)
        requests = {region: world.request(operation, method, path, region) for region in "AB"}
        before = world.newest_of_b()
        for region in "AB":
            verb, real, body = requests[region]
            answer = status_of(client, verb, real, body, operation in OPEN_STREAM)
            what = f"{operation} in {region} by {name}: {answer.status} {getattr(answer, 'body', '')[:300]}"
            if other == "refused" and (region == "B" or operation in ("listBridges", "getBridge", "putBridge", "deleteBridge", "getStatus",
                                                                      "streamEvents", "getMetrics")):
                assert answer.status == 403, what
            elif other == "hidden" and region == "B" and not operation.startswith("list") or operation == "listRules" and region == "B":
                assert answer.status == 404, what
                assert not answer.json.get("errors"), what
            elif other == "unknown" and region == "B":
                assert answer.status == 422 and answer.fields == ["server"], what
            elif operation == "deleteRegion":
                assert answer.status == 409, what
            else:
                assert answer.status in (200, 201, 202, 204, 304), what
                # Blocked attempts are there with a switch only: tests/system/test_blocked.py.
                if operation.startswith("list") and operation not in ("listRules", "listBlocked"):
                    items = next(iter(answer.json.values()))
                    if operation == "listChanges":
                        items = [thing for change in items for thing in change["objects"] if thing["kind"] != "bridge"]
                    assert items and all((item.get("region") or item["name"]) == "A" for item in items), what
        assert world.newest_of_b() == before, operation


def test_hidden_is_as_missing(site):
    """An id of another region and one that nobody has are told apart by nothing."""
    world = World(site)
    client = client_of(site, "operator-A")
    nobody = "00000000-0000-4000-8000-000000000000"
    for path in ("/v1/security-groups/{}", "/v1/security-groups/{}/rules", "/v1/security-groups/{}/rules/" + world.at["B"]["rule"]):
        hidden, missing = client.get(path.format(world.at["B"]["group"])), client.get(path.format(nobody))
        assert (hidden.status, hidden.json) == (missing.status, missing.json)
    assert client.get("/v1/servers/" + world.at["B"]["server"]).json == client.get(f"/v1/servers/{nobody}").json
    # In a body as well as in a path.
    rule = {"direction": "inbound", "protocol": "tcp"}
    for method, path, body in (("PUT", f"/v1/servers/{world.at['A']['server']}/security-groups", lambda id: {"security_groups": [id]}),
                               ("PATCH", f"/v1/servers/{world.at['A']['server']}", lambda id: {"security_groups": [id]}),
                               ("POST", "/v1/servers", lambda id: World.server("A", 2, id)),
                               ("POST", f"/v1/security-groups/{world.at['A']['group']}/rules", lambda id: dict(rule, remote_group=id)),
                               ("PUT", "/v1/regions/A/document", lambda id: {"servers": [{"name": "s", "security_groups": [id]}]}),
                               ("POST", "/v1/security-groups",
                                lambda id: {"region": "A", "name": "g", "rules": [dict(rule, remote_group=id)]})):
        hidden, missing = client(method, path, body(world.at["B"]["group"])), client(method, path, body(nobody))
        assert hidden.status == missing.status == 422 and hidden.json == missing.json, (hidden, missing)


def test_the_name_is_in_the_log_and_the_token_nowhere(site):
    client_of(site, "operator").get("/v1/regions")
    client_of(site, "nobody").get("/v1/regions")
    text = site.text()
    assert re.search(r"GET /v1/regions: 200, by operator\n", text)
    assert "token-of-" not in text and "whole-admin" not in text
    assert not re.search("[0-9a-f]{64}", text)
    command = open(f"/proc/{site.process.pid}/cmdline", encoding="ascii").read()
    assert "token-of-" not in command and "whole-admin" not in command


def test_reload(make_daemon, directory):
    """SIGHUP takes new tokens and lets go of old ones; a file that is wrong changes nothing."""
    path = write_tokens(directory)
    one = make_daemon("--token-file", path, token=None).start()
    assert client_of(one, "read").get("/v1/regions").status == 200
    assert client_of(one, "late").get("/v1/regions").status == 401

    def reload(count, word):
        one.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 20
        while one.text().count(word) < count:
            assert time.monotonic() < deadline, one.text()
            time.sleep(0.02)

    streams = {}
    for name in ("read", "operator"):
        streams[name] = sallyport.Client(one.address).connection()
        streams[name].request("GET", "/v1/events", headers={"Authorization": f"Bearer token-of-{name}"})
        streams[name] = streams[name].getresponse()
        assert b"id:" in streams[name].readline()
    with open(path, "a", encoding="ascii") as file:
        file.write("late read\n")
    reload(1, "not reloaded: token file")
    assert client_of(one, "read").get("/v1/regions").status == 200
    write_tokens(directory, f"late read * sha256:{hashlib.sha256(b'token-of-late').hexdigest()}")
    with open(path, encoding="ascii") as file:
        kept = [line for line in file if not line.startswith("read ")]
    with open(path, "w", encoding="ascii") as file:
        file.writelines(kept)
    reload(1, "INFO main: reloaded")
    assert client_of(one, "late").get("/v1/regions").status == 200
    assert client_of(one, "read").get("/v1/regions").status == 401
    while streams["read"].readline():  # To its end.
        pass
    assert client_of(one, "operator").get("/v1/regions").status == 200
    assert client_of(one, "admin").put("/v1/regions/Z").status == 201
    while b"event: change" not in streams["operator"].readline():
        pass
    write_tokens(directory, f"operator read A sha256:{hashlib.sha256(b'token-of-operator').hexdigest()}")
    with open(path, encoding="ascii") as file:
        kept = [line for line in file if not line.startswith("operator operator")]
    with open(path, "w", encoding="ascii") as file:
        file.writelines(kept)
    reload(2, "INFO main: reloaded")
    while streams["operator"].readline():  # Events are about all regions.
        pass
    assert "token-of" not in one.text()


def test_a_token_as_the_readme_makes_it(make_daemon, directory):
    """The README's own lines, run by a shell."""
    readme = open(os.path.join(sallyport.TOP, "README.md"), encoding="utf-8").read()
    block = re.search(r"<!-- test:token -->\n```sh\n(.*?)```", readme, re.S).group(1)
    subprocess.run(["sh", "-eu", "-c", block], cwd=directory, check=True, capture_output=True)
    one = make_daemon("--token-file", os.path.join(directory, "tokens"), token=None).start()
    with open(os.path.join(directory, "alice.token"), encoding="ascii") as file:
        token = file.readline().strip()
    client = sallyport.Client(one.address, token=token)
    assert client.get("/v1/regions").status == 200
    assert client.put("/v1/regions/SV2").status == 403
    assert os.stat(os.path.join(directory, "alice.token")).st_mode & 0o077 == 0
