"""Contract 3.9 and 4: what was answered is there, whatever happens to the process."""

import json
import os
import random
import resource
import threading

import pytest


def snapshot(client):
    return [client.get(path).json for path in ("/v1/regions", "/v1/security-groups", "/v1/servers", "/v1/bridges")]


def fill(client):
    assert client.put("/v1/regions/A").status == 201
    group = client.post("/v1/security-groups", {"region": "A", "name": "web", "template": "remote-login"}).json
    rules = f"/v1/security-groups/{group['id']}/rules"
    assert client.post(rules, {"direction": "inbound", "protocol": "tcp", "port_min": 80, "port_max": 8080,
                               "remote_ip": "10.0.0.0/8",
                               "description": "ünï", "priority": 5, "action": "deny"}).status == 201
    assert client.post(rules, {"direction": "outbound", "protocol": "icmpv6", "icmp_type": 1, "icmp_code": 2}).status == 201
    assert client.post(rules, {"direction": "outbound", "protocol": 253, "remote_group": group["id"]}).status == 201
    server = client.post("/v1/servers", {"region": "A", "name": "vm", "security_groups": [group["id"]], "ports": [
        {"mac": "52:54:00:00:00:01", "ips": ["10.0.0.1", "2001:db8::1"], "bridge": "00000000000000b1", "port": "p1", "vlan": 5,
         "port_security": False, "allowed_address_pairs": [{"ip": "10.0.1.0/24", "mac": "52:54:00:00:00:02"}]},
        {"mac": "52:54:00:00:00:03", "iface_id": "tap"}]})
    assert server.status == 201
    assert client.post("/v1/servers", {"region": "A", "name": "vm2"}).status == 201
    assert client.put("/v1/bridges/00000000000000b2", {"uplinks": ["eth0"]}).status == 201


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_everything_survives(daemon, how):
    client = daemon.client()
    fill(client)
    before, revision = snapshot(client), client.get("/v1/status").json["revision"]
    client.close()
    getattr(daemon, how)()
    daemon.start()
    client = daemon.client()
    assert snapshot(client) == before
    assert client.get("/v1/status").json["revision"] == revision
    again = client.put("/v1/regions/B")
    assert again.revision == revision + 1


def test_kill_in_the_middle(daemon):
    """Eight clients change things while the process is killed, five times over: what was answered is there afterwards, whole."""
    seed = int(os.environ.get("SP_SEED") or random.SystemRandom().randrange(1 << 32))
    print("seed", seed)
    chance = random.Random(seed)
    assert daemon.client().put("/v1/regions/A").status == 201
    answered, deleted, guard = {}, set(), threading.Lock()

    def work(number, enough):
        client = daemon.client()
        done = 0
        try:
            while True:
                body = {"region": "A", "name": f"{number}-{done}", "rules": [
                    {"direction": "inbound", "protocol": "tcp", "port_min": port} for port in range(5)]}
                answer = client.post("/v1/security-groups", body)
                assert answer.status == 201, answer
                with guard:
                    answered[answer.json["id"]] = answer.json
                if done % 3 == 2:
                    with guard:
                        del answered[answer.json["id"]]  # Whether it is there is open until the answer.
                    assert client.delete(f"/v1/security-groups/{answer.json['id']}").status == 204
                    with guard:
                        deleted.add(answer.json["id"])
                done += 1
                if done == 5:
                    enough.release()
        except AssertionError as error:
            wrong.append(repr(error))
        except Exception:  # The connection ends when the process does.
            pass
        finally:
            enough.release()
            client.close()

    wrong = []
    for _ in range(5):
        enough = threading.Semaphore(0)
        threads = [threading.Thread(target=work, args=(number, enough)) for number in range(8)]
        for thread in threads:
            thread.start()
        for _ in range(chance.randrange(1, 9)):
            enough.acquire()
        daemon.kill()
        for thread in threads:
            thread.join()
        assert not wrong, wrong
        daemon.start()
        client = daemon.client()
        there = {group["id"]: group for group in client.get("/v1/security-groups").json["security_groups"]}
        for key, group in answered.items():
            assert there.get(key) == group
        assert not deleted & set(there)
        assert all(len(group["rules"]) == 5 for group in there.values())
        client.close()
    assert answered and deleted


def test_refused_changes_leave_nothing(daemon):
    client = daemon.client()
    fill(client)
    before, revision = snapshot(client), client.get("/v1/status").json["revision"]
    [region] = client.get("/v1/regions").json["regions"]
    default = f"/v1/security-groups/{region['default_group']}"
    assert client.delete("/v1/regions/A").status == 409
    assert client.delete(default).status == 409
    assert client.patch(default, {"default": False, "name": "other"}).status == 409
    assert client.put(default + "/rules", {"rules": [{"direction": "inbound", "protocol": "tcp"}, {}]}).status == 422
    assert client.patch(default, {"name": "x"}, headers={"If-Match": '"0"'}).status == 412
    assert client.post("/v1/servers", {"region": "A", "name": "x", "ports": [
        {"mac": "52:54:00:00:00:09", "bridge": "00000000000000b1", "port": "p1"}]}).status == 422
    assert client.post("/v1/servers", {"region": "A", "name": "x", "ports": [
        {"mac": "52:54:00:00:00:09", "bridge": "00000000000000b9", "port": "p1"}], "color": 1}).status == 422
    assert snapshot(client) == before
    assert client.get("/v1/status").json["revision"] == revision


def test_store_that_cannot_write(make_daemon):
    """With no room for another byte in any file the store refuses, in words, and goes on when there is room again."""
    one = make_daemon().start()
    client = one.client()
    fill(client)
    before = snapshot(client)
    files = [os.path.join(one.directory, name) for name in os.listdir(one.directory) if name.startswith("sallyport.db")]
    size = max(map(os.path.getsize, files))
    old = resource.prlimit(one.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(one.process.pid, resource.RLIMIT_FSIZE, (size, old[1]))
    rules = [{"direction": "inbound", "protocol": "tcp", "port_min": port} for port in range(2000)]
    body = {"region": "A", "name": "big", "rules": rules}
    refused = client.post("/v1/security-groups", body)
    assert refused.status == 503, refused
    assert refused.headers["Retry-After"]
    assert "stored" in json.loads(refused.body)["detail"]
    assert snapshot(client) == before
    resource.prlimit(one.process.pid, resource.RLIMIT_FSIZE, old)
    assert client.post("/v1/security-groups", body).status == 201
