"""Contract 4: HTTP itself, its errors and its limits."""

import json
import os
import re
import socket
import threading
import time

import pytest

GROUPS = "/v1/security-groups"
NOBODY = "00000000-0000-4000-8000-000000000000"
PROBLEM = {"type", "title", "status", "detail", "errors"}


POST = b"POST /v1/security-groups HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


def raw(daemon, data, timeout=20):
    """Sends bytes on a new connection and returns the first answer, or what there is at its end or when `timeout` is over."""
    host, port = daemon.address.rsplit(":", 1)
    answer = b""
    with socket.create_connection((host, int(port)), timeout=timeout) as connection:
        try:
            connection.sendall(data)
            while not is_whole(answer):
                part = connection.recv(65536)
                if not part:
                    break
                answer += part
        except (TimeoutError, ConnectionError):
            pass
    return answer


def is_whole(answer):
    head, end, body = answer.partition(b"\r\n\r\n")
    size = re.search(rb"\r\ncontent-length: *(\d+)", head.lower())
    return end and size and len(body) >= int(size.group(1))


def status_of(answer):
    return int(answer.split(b" ", 2)[1])


def assert_problem(answer, status):
    assert answer.status == status, answer
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert PROBLEM <= set(answer.json)
    assert answer.json["status"] == status
    assert answer.json["title"] and answer.json["detail"]


@pytest.mark.parametrize("body", [b"", b"{", b"{}x", b'{"a":1,}', b"{'a':1}", b'{"a":1,"a":2}', b"\xff\xfe", b'{"name":"\xff"}',
                                  b"NaN",
                                  b'{"a":"\\u0000"}', b'{"a":"\\ud800"}', b"[" * 100, b"[" * 100000 + b"]" * 100000])
def test_not_json(api, body):
    assert_problem(api.post(GROUPS, raw=body), 400)


@pytest.mark.parametrize("body", [b"[]", b"5", b'"x"', b"null", b"true"])
def test_not_an_object(api, body):
    answer = api.post(GROUPS, raw=body)
    assert_problem(answer, 422)
    assert answer.fields == [""]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx",
                                  "application/json; charset=latin1",
                                  "", "multipart/form-data"])
def test_wrong_content_type(api, kind):
    assert_problem(api.post(GROUPS, raw=b"{}", headers={"Content-Type": kind}), 415)


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON", "application/json; charset=utf-8",
                                  "application/json;charset=\"UTF-8\""])
def test_content_type(api, kind):
    assert api.post(GROUPS, raw=b"{}", headers={"Content-Type": kind}).status == 422


def test_no_length(shared):
    answer = raw(shared, POST + b"\r\n")
    assert status_of(answer) == 411
    assert b"application/problem+json" in answer


def test_body_limit(api, region):
    text = json.dumps({"region": region, "name": "n", "description": ""}).encode()
    fits = text + b" " * ((1 << 20) - len(text))
    assert len(fits) == 1 << 20
    assert api.post(GROUPS, raw=fits).status == 201
    answer = api.post(GROUPS, raw=fits + b" ")
    assert_problem(answer, 413)
    api.close()
    assert api.get("/healthz").status == 200


def test_announced_body_limit(shared):
    answer = raw(shared, POST + b"Content-Length: 99999999999\r\n\r\n")
    assert status_of(answer) == 413


@pytest.mark.parametrize("path", ["/v1", "/v2/regions", "/v1/regions/", "/v1/regions/a/b", "/v1//regions",
                                  "/v1/security-groups/x/rules/y/z",
                                  "/metrics/", "/v1/Regions", "/%7Bregion%7D"])
def test_unknown_path(api, path):
    for method in ("GET", "PUT", "DELETE"):
        assert_problem(api(method, path), 404)


@pytest.mark.parametrize("path, what", [
    ("/v1/regions/none", "region"), (GROUPS + "/x", "security group"), (GROUPS + f"/{NOBODY}", "security group"),
    (GROUPS + f"/{NOBODY}/rules", "security group"), (GROUPS + f"/{NOBODY}/rules/{NOBODY}", "security group"),
    ("/v1/servers/x", "server"), (f"/v1/servers/{NOBODY}", "server"), ("/v1/bridges/x", "bridge"),
    ("/v1/bridges/00000000000000ef", "bridge")])
def test_says_what_is_missing(api, path, what):
    makes = what in ("region", "bridge")  # PUT does.
    for method, body in (("GET", None), ("DELETE", None), ("PATCH", {}), ("POST", {}), *(() if makes else (("PUT", {}),))):
        answer = api(method, path, body)
        if answer.status != 405:
            assert_problem(answer, 404)
            assert answer.json["detail"] == f"There is no such {what}."


def test_says_that_a_rule_is_missing(api, rules):
    for key in ("x", NOBODY):
        for method in ("GET", "PATCH", "DELETE"):
            answer = api(method, f"{rules}/{key}", {} if method == "PATCH" else None)
            assert_problem(answer, 404)
            assert answer.json["detail"] == "The security group has no such rule."


@pytest.mark.parametrize("path, allow", [
    ("/v1/regions", {"GET", "HEAD"}), ("/v1/regions/x", {"GET", "HEAD", "PUT", "PATCH", "DELETE"}), (GROUPS, {"GET", "HEAD", "POST"}),
    (GROUPS + "/x", {"GET", "HEAD", "PATCH", "DELETE"}), (GROUPS + "/x/rules", {"GET", "HEAD", "POST", "PUT"}),
    (GROUPS + "/x/rules/y", {"GET", "HEAD", "PATCH", "DELETE"}), ("/v1/servers", {"GET", "HEAD", "POST"}),
    ("/v1/servers/x", {"GET", "HEAD", "PATCH", "DELETE"}), ("/v1/servers/x/security-groups", {"PUT"}),
    ("/v1/servers/x/connections", {"GET", "HEAD"}),
    ("/v1/bridges", {"GET", "HEAD"}),
    ("/v1/bridges/0000000000000001", {"GET", "HEAD", "PUT", "DELETE"}), ("/v1/explain", {"POST"}),
    ("/v1/status", {"GET", "HEAD"}),
    ("/healthz", {"GET", "HEAD"}), ("/readyz", {"GET", "HEAD"}), ("/metrics", {"GET", "HEAD"})])
def test_methods(api, path, allow):
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"):
        if method not in allow:
            answer = api(method, path)
            assert_problem(answer, 405)
            assert set(answer.headers["Allow"].split(", ")) == allow


def test_head(api, region):
    answer = api("HEAD", f"/v1/regions/{region}")
    assert answer.status == 200 and answer.body == b""
    assert int(answer.headers["Content-Length"]) == len(api.get(f"/v1/regions/{region}").body)
    assert api("HEAD", "/v1/regions/none").status == 404


def test_bodies_where_none_is_wanted(api, region):
    assert api.delete(f"/v1/regions/{region}", raw=b'{"force":true}').fields == ["force"]
    assert api("GET", f"/v1/regions/{region}", raw=b'{"x":1}').fields == ["x"]
    assert api("GET", f"/v1/regions/{region}", raw=b"x").status == 400
    assert api.delete(f"/v1/regions/{region}", raw=b"{}").status == 204


@pytest.mark.parametrize("wait", ["61", "-1", "x", "", "1.5", "0x1", "1e1", "999999999999999999999", " 1"])
def test_wrong_wait(api, wait):
    answer = api.put(f"/v1/regions/W?wait={wait.replace(' ', '%20')}")
    assert_problem(answer, 422)
    assert answer.fields == ["?wait"]
    assert api.get("/v1/regions/W").status == 404


@pytest.mark.parametrize("wait", ["0", "5", "60"])
def test_wait(api, region, wait):
    assert api.put(f"/v1/regions/{region}?wait={wait}").status == 200


@pytest.mark.parametrize("query, field", [("?x=1", "?x"), ("?x", "?x"), ("?=1", "?"), ("?wait=1&wait=1", "?wait"),
                                          ("?" + "k" * 500 + "=1", "?"),
                                          ("?dry%0Arun=1", "?dry\nrun")])
def test_unknown_query_parameters(api, query, field):
    for method, path in (("PUT", "/v1/regions/Q"), ("DELETE", "/v1/regions/Q")):
        answer = api(method, path + query)
        assert_problem(answer, 422)
        assert answer.fields == [field]
    assert api.get("/v1/regions/Q").status == 404


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/v1/status", "/metrics", "/v1/regions"])
def test_reads_take_no_parameters(api, path):
    assert api.get(path + "?x=1").status == 422


def test_keep_alive_and_close(shared):
    client = shared.client()
    connection = client.connection()
    connection.connect()
    before = connection.sock.getsockname()
    for _ in range(3):
        assert client.get("/healthz").status == 200
        assert connection.sock.getsockname() == before
    answer = client.get("/healthz", headers={"Connection": "close"})
    assert answer.headers["Connection"].lower() == "close"
    client.close()
    answer = raw(shared, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert status_of(answer) == 200


@pytest.mark.parametrize("head", [
    b"Content-Length: 2\r\nContent-Length: 3\r\n", b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
    b"Content-Length: -1\r\n",
    b"Content-Length: x\r\n"])
def test_ambiguous_framing(shared, head):
    answer = raw(shared, POST + head + b"\r\n{}\r\n0\r\n\r\n")
    assert status_of(answer) == 400


@pytest.mark.parametrize("data", [b"\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"GET /healthz HTTP/9.9\r\n\r\n",
                                  b"\x00" * 1000,
                                  b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
                                  b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 20000 + b"\r\n",
                                  b"GET /v1/regions/%00 HTTP/1.1\r\nHost: x\r\n\r\n",
                                  b"GET /v1/regions/%ff HTTP/1.1\r\nHost: x\r\n\r\n",
                                  b"GET /v1/regions/a%2fb HTTP/1.1\r\nHost: x\r\n\r\n",
                                  b"GET /v1/regions/%zz HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_garbage(shared, api, data):
    answer = raw(shared, data, timeout=0.5)
    assert not answer or 400 <= status_of(answer) < 600
    assert api.get("/healthz").status == 200


def test_chunked_body(api, shared, region):
    body = json.dumps({"region": region, "name": "chunked"}).encode()
    data = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    assert status_of(raw(shared, POST + data)) == 201


def test_unix_socket(shared):
    client = type(shared.client())("unix:" + shared.socket)
    assert client.get("/readyz").status == 200
    client.close()


def test_200_clients(shared, region):
    """Each creates, reads and deletes groups of its own at the same time; nobody sees an error or a stranger's change."""
    failures, barrier = [], threading.Barrier(200)

    def work(number):
        client = shared.client()
        try:
            barrier.wait(60)
            made = client.post(GROUPS, {"region": region, "name": f"g{number}", "template": "none"})
            assert made.status == 201, made
            path = f"{GROUPS}/{made.json['id']}"
            rule = client.post(path + "/rules", {"direction": "inbound", "protocol": "tcp", "port_min": number})
            assert rule.status == 201, rule
            read = client.get(path)
            assert [one["port_min"] for one in read.json["rules"]] == [number]
            assert read.json["revision"] == rule.revision
            assert client.delete(path).status == 204
            assert client.get(path).status == 404
        except Exception as error:  # Every failure is to be seen, of whatever kind.
            failures.append((number, repr(error)))
        finally:
            client.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[:3]


def test_clients_that_leave(shared, api, region):
    """A client that goes away while its change is under way hurts nobody, and its change is whole."""
    host, port = shared.address.rsplit(":", 1)
    for number in range(50):
        body = json.dumps({"region": region, "name": f"left{number}"}).encode()
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(POST + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
            if number % 2:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    deadline = time.monotonic() + 20
    while True:
        listed = api.get(f"{GROUPS}?region={region}").json["security_groups"]
        if len(listed) >= 25 or time.monotonic() > deadline:
            break
        time.sleep(0.02)
    assert len(listed) >= 25
    assert all(len(group["rules"]) == 1 for group in listed)
    assert api.get("/readyz").status == 200


def test_slow_client_does_not_block_others(shared, api):
    host, port = shared.address.rsplit(":", 1)
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(POST + b"Content-Length: 1000\r\n\r\n{")
        assert api.get("/healthz").status == 200


def test_random_bodies(api, region):
    """Values of every JSON type in every field: an answer each time, never an end of the daemon."""
    values = [None, True, 0, -1, 1.5, 1e300, 10**20, "", "x", "\u2028", [], [[]], {}, {"x": {}}, ["x"], "a" * 5000]
    fields = {GROUPS: ["region", "name", "description", "default", "rules", "template"],
              "/v1/servers": ["region", "name", "kind", "security_groups", "ports"],
              "/v1/explain": ["server", "port", "direction", "protocol", "remote_ip", "local_port", "icmp_type"]}
    base = {GROUPS: {"region": region, "name": "n"}, "/v1/servers": {"region": region, "name": "n"}, "/v1/explain": {}}
    for path, names in fields.items():
        for name in names:
            for value in values:
                answer = api.post(path, {**base[path], name: value})
                assert answer.status in (201, 422), (path, name, value, answer)
    port_fields = ["mac", "ips", "bridge", "port", "iface_id", "vlan", "port_security", "allowed_address_pairs"]
    for name in port_fields:
        for value in values:
            answer = api.post("/v1/servers", {**base["/v1/servers"], "ports": [{name: value}]})
            assert answer.status == 422, answer


def test_largest_lists(api, region, group, rules):
    """Bodies full of the cheapest items: answered, and not in minutes."""
    for raw_body in (b'{"rules":[' + b",".join([b"0"] * 131070) + b"]}", b'{"rules":[' + b",".join([b"{}"] * 131070) + b"]}",
                     b"{" + b",".join(b'"%x":0' % number for number in range(90000)) + b"}"):
        assert len(raw_body) <= 1 << 20
        answer = api.put(rules, raw=raw_body)
        assert answer.status == 422
        assert 1000 <= len(answer.json["errors"]) < 1100
    for name in ("security_groups", "ports"):
        answer = api.post("/v1/servers", raw=json.dumps({"region": region, "name": "n", name: [0] * 131060}).encode())
        assert answer.status == 422 and answer.fields == [name]
    # Values, arrays and objects of which nobody can mean so many cost more to keep than to count.
    for raw_body in (b'{"rules":[' + b",".join([b"0"] * 131071) + b"]}", b'{"rules":[' + b",".join([b"{}"] * 300000) + b"]}"):
        answer = api.put(rules, raw=raw_body)
        assert answer.status == 400 and "more than 131072 values" in answer.json["detail"]


def test_health_and_readiness(api):
    assert api.get("/healthz").json == {"status": "ok"}
    assert api.get("/readyz").json == {"status": "ready"}


def test_status(api, shared):
    made = api.put(f"/v1/regions/status{os.getpid()}")
    answer = api.get("/v1/status")
    assert answer.status == 200
    assert set(answer.json) == {"version", "revision", "bridges", "pending", "refused", "trials"}
    assert answer.json["revision"] >= made.revision
    assert answer.json["pending"] == []


def test_metrics(api):
    api.get("/v1/regions/none")
    answer = api.get("/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    values, types = {}, {}
    for line in answer.body.decode().splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in types
            types[name] = kind
        elif not line.startswith("# HELP "):
            name, value = line.rsplit(" ", 1)
            assert name not in values
            values[name] = float(value)
            family = name.split("{")[0]
            assert family in types or types[re.sub("_(bucket|sum|count)$", "", family)] == "histogram"
    assert all(name.startswith(("sallyport_", "process_")) for name in values)
    assert all((kind == "counter") == name.endswith("_total") for name, kind in types.items())
    assert values['sallyport_http_requests_total{code="404"}'] >= 1
    for name in ("sallyport_bridges_connected", "sallyport_flow_mods_sent_total", "sallyport_drift_repaired_total",
                 "sallyport_store_commits_total", "sallyport_flow_mods_refused_total", "sallyport_revision"):
        assert name in values
    for name in (name for name, kind in types.items() if kind == "histogram"):
        buckets = [values[key] for key in values if key.startswith(name + "_bucket")]
        assert buckets == sorted(buckets) and buckets[-1] == values[name + "_count"]
        assert values[name + "_sum"] == 0 or values[name + "_count"] > 0
    assert values["process_open_fds"] > 3 and values["process_resident_memory_bytes"] > 1 << 20


def test_metrics_count_what_changes_take(daemon):
    def counts():
        lines = daemon.client().get("/metrics").body.decode().splitlines()
        return {line.split(" ")[0]: float(line.split(" ")[1]) for line in lines if "_seconds_count" in line}

    before = counts()
    for number in range(3):
        assert daemon.client().put(f"/v1/regions/M{number}").status == 201
    after = counts()
    for name in ("sallyport_store_commit_seconds_count", "sallyport_change_applied_seconds_count"):
        assert after[name] == before[name] + 3
