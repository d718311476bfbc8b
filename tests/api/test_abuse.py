"""What nobody should send: JSON that is none, values of every wrong type in every field, requests that say two things at once,
paths that go round corners, and more connections than there is room for."""

import copy
import json
import re
import resource
import socket

import pytest

import description

NOBODY = "00000000-0000-4000-8000-000000000000"

# Texts, each as the value of a field, and whether they are JSON.  Ideas: RFC 8259, and the corpora of JSON parsers' tests.
GOOD = [
    b'""', b'"\\"\\\\\\/\\b\\f\\n\\r\\t"', b'"\\u0041\\uD83D\\uDE00\\u00e9"', b'"\xf4\x8f\xbf\xbf"', b'"\xef\xbf\xbf"', b'"\x7f"', b"0", b"-0", b"-1",
    b"1e5", b"1E+5", b"1e-5", b"0.5", b"-0.0e-0", b"1" * 400, b"0." + b"1" * 400, b"1e-400", b"123456789012345678901234567890", b"true", b"false",
    b"null", b"[]", b"[[],[{}]]", b"{}", b'{"":0}', b'{"a":{"a":1}}', b" \t\r\n[ 1 , 2 ]\r", b"[" * 14 + b"]" * 14, b'"' + b"a" * 100000 + b'"',
]
BAD = [
    b"", b" ", b"[", b"]", b"{", b"}", b"[1", b"[1,", b"[,1]", b"[1,]", b"[1 2]", b"[1:2]", b'{"a"}', b'{"a":}', b'{"a":1,}', b'{,}', b"{1:2}",
    b"{a:1}", b"{'a':1}", b'{"a" 1}', b'{"a"::1}', b'{"a":1 "b":2}', b'{"a":1,"a":2}', b'{"a":1,"\\u0061":2}', b"nul", b"NULL", b"True",
    b"NaN", b"Infinity", b"-Infinity", b"undefined", b"01", b"-01", b"+1", b"-", b"1.", b".5", b"1.e5", b"1e", b"1e+", b"0x10", b"1_000", b"--1",
    b"- 1", b"1 000", b'"', b'"\\"', b'"\\x41"', b'"\\u12"', b'"\\u12g4"', b'"\\', b'"\\a"', b'"\\U0041"', b'"\n"', b'"\t"', b'"\x1f"', b'"\x00"',
    b'"\\u0000"', b"'a'", b"`a`", b'"\xff"', b'"\x80"', b'"\xc3"', b'"\xc3("', b'"\xc0\x80"', b'"\xc0\xaf"', b'"\xe0\x80\xaf"', b'"\xf0\x80\x80\xaf"',
    b'"\xed\xa0\x80"', b'"\xed\xa0\xbd\xed\xb8\x80"', b'"\xf4\x90\x80\x80"', b'"\xf8\x88\x80\x80\x80"', b'"\xfe"', b'"\\ud800"', b'"\\udc00"',
    b'"\\ud800\\u0041"', b'"\\udc00\\ud800"', b'"\\ud800\\ud800"', b'"\\ud800"x', b'{"\\ud800":1}', b'{"\xff":1}', b'{"\\u0000":1}',
    b"/* */1", b"1//", b"#1", b"1;", b"[1]]", b'{"a":1}}', b'"a" "b"', b"\xef\xbb\xbf1", b"\xc2\xa01", b"\x0c1", b"\xe2\x80\xa81", b"\x001",
    b"[" * 17 + b"]" * 17, b"[" * 500000, b'{"a":' * 100000, b"[" * 1000 + b"1" + b"]" * 1000,
]


@pytest.mark.parametrize("text", GOOD, ids=range(len(GOOD)))
def test_json(api, text):
    answer = api.post("/v1/explain", raw=b'{"nonsense":' + text + b"}")
    assert answer.status == 422 and "nonsense" in answer.fields, answer


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_no_json(api, text):
    for raw in (text, b'{"nonsense":' + text + b"}"):
        answer = api.post("/v1/explain", raw=raw)
        assert answer.status == 400, answer


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-7"])
def test_another_encoding(api, encoding):
    assert api.post("/v1/explain", raw='{"protocol":"é"}'.encode(encoding)).status in (400, 422 if encoding == "utf-7" else 400)


# Every field of every body, by the description, with a value of each JSON type that it does not have.

VALUES = {"null": None, "boolean": True, "integer": 7, "number": 0.5, "string": "\u2028'; --", "array": [[]], "object": {"x": {}}}
ODD = {"integer": [-2, 65536, 4096, 10**18, 2**63, -(2**63) - 1, 10**40, 1e300, -0.5, 1e2], "string": ["", "a" * 70000, "\u0001", "a\nb", "\u009f"]}


def parts_of(schema):
    """The schemas that 'schema' is put together from."""
    schema = description.daemon_answers.resolve(schema)
    yield schema
    for word in ("anyOf", "oneOf", "allOf"):
        for part in schema.get(word, []):
            yield from parts_of(part)


def types_of(schema):
    """The JSON types that a value may have; nothing: any."""
    types = set()
    for part in parts_of(schema):
        found = part.get("type", [])
        types |= {found} if isinstance(found, str) else set(found)
        types |= {{str: "string", int: "integer", bool: "boolean", type(None): "null"}[type(one)] for one in part.get("enum", [])}
    return types | ({"integer"} if "number" in types else set())


def fields_of(schema, example, steps=()):
    """The steps to each field, and to one item of each list, with its schema, as far as `example` goes."""
    for part in parts_of(schema):
        for name, field in part.get("properties", {}).items():
            yield (*steps, name), field
            if isinstance(example, dict) and isinstance(example.get(name), (dict, list)):
                yield from fields_of(field, example[name], (*steps, name))
        if "items" in part and isinstance(example, list) and example:
            yield (*steps, 0), part["items"]
            yield from fields_of(part["items"], example[0], (*steps, 0))


def with_value(body, steps, value):
    body = copy.deepcopy(body)
    at = body
    for step in steps[:-1]:
        at = at[step]
    at[steps[-1]] = value
    return body


def path_of(steps):
    return re.sub(r"^\.", "", "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps))


@pytest.fixture
def bodies(api, region, group, new_port, new_server):
    """For each call with a body: its path as described, the path here, and a body that is right."""
    other = api.post("/v1/security-groups", {"region": region, "name": "other", "template": "none"}).json
    server = new_server("10.3.0.1")
    rule = {"direction": "inbound", "protocol": "tcp", "remote_ip": "10.0.0.0/8", "port_min": 80, "port_max": 90, "priority": 7,
            "action": "allow", "description": "d"}
    made = api.post(f"/v1/security-groups/{group['id']}/rules", {**rule, "port_max": 99}).json
    port = new_port("10.3.0.2", vlan=7, port_security=True, allowed_address_pairs=[{"ip": "10.4.0.0/16", "mac": "52:54:00:99:00:01"}])
    group_path, server_path = f"/v1/security-groups/{group['id']}", f"/v1/servers/{server['id']}"
    return [
        ("POST", "/v1/security-groups", None, {"region": region, "name": "n", "description": "", "default": False, "rules": [rule]}),
        ("PATCH", "/v1/security-groups/{group}", group_path, {"name": "n", "description": "", "default": False}),
        ("POST", "/v1/security-groups/{group}/rules", group_path + "/rules", {**rule, "port_min": 81}),
        ("PATCH", "/v1/security-groups/{group}/rules/{rule}", f"{group_path}/rules/{made['id']}", rule),
        ("PUT", "/v1/security-groups/{group}/rules", group_path + "/rules", {"rules": [rule]}),
        ("POST", "/v1/servers", None, {"region": region, "name": "n", "kind": "vps", "security_groups": [other["id"]], "ports": [port]}),
        ("PATCH", "/v1/servers/{server}", server_path, {"name": "n", "kind": "vps", "security_groups": [other["id"]], "ports": [port]}),
        ("PUT", "/v1/servers/{server}/security-groups", server_path + "/security-groups", {"security_groups": [other["id"]]}),
        ("PUT", "/v1/bridges/{dpid}", "/v1/bridges/00000000000ab05e", {"uplinks": ["eth0"]}),
        ("PATCH", "/v1/regions/{region}", f"/v1/regions/{region}", {"report_blocked": True}),
        ("PUT", "/v1/regions/{region}/document", f"/v1/regions/{region}/document",
         {"version": 1, "region": region, "security_groups": [{"name": "other", "description": "", "default": False, "rules": [rule]}],
          "servers": []}),
        ("POST", "/v1/explain", None, {"server": server["id"], "direction": "inbound", "protocol": "tcp", "remote_ip": "10.0.0.1",
                                       "local_port": 80}),
    ]


def test_every_call_with_a_body_is_here(bodies):
    described = {(method.upper(), path) for path, operations in description.daemon_answers.document["paths"].items()
                 for method, operation in operations.items()
                 if isinstance(operation, dict) and operation.get("requestBody", {}).get("required")}
    assert described <= {(method, path) for method, path, _, _ in bodies}


def test_wrong_types(api, bodies):
    """Each is refused by the name of the field, and changes nothing."""
    n_tried, taken = 0, []
    before = api.get("/v1/status").json["revision"]
    for method, described, path, body in bodies:
        operation = description.daemon_answers.document["paths"][described][method.lower()]
        schema = description.daemon_answers.resolve(operation["requestBody"])["content"]["application/json"]["schema"]
        for steps, field in fields_of(schema, body):
            types = types_of(field)
            for kind, value in VALUES.items():
                if not types or kind in types or (kind == "integer" and "number" in types):
                    continue
                answer = api(method, path or described, with_value(body, steps, value))
                named = path_of(steps)
                if answer.status != 422 or not any(one == named or one.startswith((named + ".", named + "[")) for one in answer.fields):
                    taken.append((method, described, named, value, answer.status))
                n_tried += 1
    assert not taken
    assert api.get("/v1/status").json["revision"] == before
    print(f"{n_tried} wrong types")
    assert n_tried > 250


def test_odd_values(api, bodies):
    """What is of the right type and at the edge, or beyond it: taken or refused by name, and no call of its own kind of answer."""
    for method, described, path, body in bodies:
        operation = description.daemon_answers.document["paths"][described][method.lower()]
        schema = description.daemon_answers.resolve(operation["requestBody"])["content"]["application/json"]["schema"]
        for steps, field in fields_of(schema, body):
            for kind in types_of(field) & set(ODD):
                for value in ODD[kind]:
                    answer = api(method, path or described, with_value(body, steps, value))
                    assert answer.status in (200, 201, 409, 422), (method, path, steps, value, answer)


# Requests that two readers might take for different ones.  A second request stands behind each; who cuts the first one wrongly
# carries it out.

def exchange(daemon, data, timeout=20):
    """All that comes back until the server closes."""
    host, port = daemon.address.rsplit(":", 1)
    answer = b""
    with socket.create_connection((host, int(port)), timeout=timeout) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                answer += part
        except ConnectionError:
            pass
    return answer


def statuses(answer):
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


HIDDEN = b"PUT /v1/regions/smuggled-%03d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
POST = b"POST /v1/explain HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
AMBIGUOUS = {
    "length and coding": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding and length": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN % 0),
    "two lengths in one": b"Content-Length: 0, %d\r\n\r\n" % len(HIDDEN % 0),
    "length with a sign": b"Content-Length: +0\r\n\r\n",
    "negative length": b"Content-Length: -1\r\n\r\n",
    "hexadecimal length": b"Content-Length: 0x0\r\n\r\n",
    "length with a letter": b"Content-Length: 0a\r\n\r\n",
    "empty length": b"Content-Length:\r\n\r\n",
    "length beyond 64 bits": b"Content-Length: 18446744073709551616\r\n\r\n",
    "two codings": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "two codings in one": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked twice": b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "unknown coding": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "coding with a vertical tab": b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "coding in HTTP/1.0": None,
    "blank before the colon": b"Content-Length : 0\r\n\r\n",
    "blank before the name": b" Content-Length: %d\r\n\r\n" % len(HIDDEN % 0),
    "folded length": b"X: y\r\n Content-Length: 0\r\n\r\n",
    "bare CR": b"X: y\rContent-Length: 0\r\n\r\n",
    "NUL in a name": b"X\x00: y\r\nContent-Length: 0\r\n\r\n",
    "a line without a colon": b"Content-Length\r\n\r\n",
    "two hosts": b"Host: y\r\nContent-Length: 0\r\n\r\n",
    "chunk size with a sign": b"Transfer-Encoding: chunked\r\n\r\n+0\r\n\r\n",
    "negative chunk size": b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    "chunk size with a prefix": b"Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
    "no chunk size": b"Transfer-Encoding: chunked\r\n\r\n\r\n\r\n",
    "chunk size beyond 64 bits": b"Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n",
    "longer than its chunk": b"Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("how", AMBIGUOUS)
def test_two_meanings(shared, api, how):
    """A refusal, and the end: nothing behind it is read.  (To a length that is no number libmicrohttpd 0.9.75 says so twice.)"""
    number = list(AMBIGUOUS).index(how)
    data = POST + AMBIGUOUS[how] if AMBIGUOUS[how] else POST.replace(b"1.1", b"1.0") + AMBIGUOUS["unknown coding"].replace(b"xc", b"c")
    answer = exchange(shared, data + HIDDEN % number)
    assert set(statuses(answer)) <= {400, 413, 501} and len(set(statuses(answer))) <= 1, answer
    assert api.get(f"/v1/regions/smuggled-{number:03}").status == 404


@pytest.mark.parametrize("headers", [b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"content-LENGTH:  0\r\n",
                                     b"Content-Length: 0\r\nContent-Length: 0\r\n"])
def test_one_meaning(shared, api, headers):
    """And the request behind one that is well-formed is another request."""
    end = b"\r\n0\r\n\r\n" if b"chunked" in headers else b"\r\n"
    number = 900 + len(headers)
    answer = exchange(shared, POST + headers + end + HIDDEN % number)
    assert statuses(answer) == [400, 201], answer
    assert api.get(f"/v1/regions/smuggled-{number}").status == 200


def test_pipelined(shared):
    """A thousand requests in one piece: as many answers, in order."""
    paths = [f"/v1/regions/none-{number}" if number % 3 else "/v1/client" for number in range(1000)]
    data = b"".join(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for path in paths)
    data = data[:-2] + b"Connection: close\r\n\r\n"
    answer = exchange(shared, data, timeout=60)
    assert statuses(answer) == [404 if "none" in path else 200 for path in paths]


def test_head_and_options(api, bodies):
    for method, described, path, body in bodies:
        head, options = api("HEAD", path or described), api("OPTIONS", path or described)
        assert head.body == b"" and head.status in (200, 404, 405), head
        assert options.status == 405 and "OPTIONS" not in options.headers["Allow"]
        for odd in ("TRACE", "CONNECT", "PROPFIND", "A" * 32):
            answer = api(odd, path or described)
            assert answer.status in (400, 405), (odd, answer)


@pytest.mark.parametrize("path", [
    "/v1/regions/..", "/v1/regions/.", "/v1/regions/%2e%2e", "/v1/regions/%2e%2e%2fservers", "/v1/regions/..%2f..%2fetc%2fpasswd",
    "/v1/regions/%252e%252e", "/v1/regions/%c0%ae%c0%ae", "/v1/regions/%e0%80%af", "/v1/regions/..\\..", "/v1/regions/%5c", "/v1/regions/%00",
    "/v1/regions/a%00b", "/v1/regions/%", "/v1/regions/%4", "/v1/regions/%gg", "/v1/regions/%u0041", "/console/..", "/console/../main.c",
    "/console/%2e%2e/%2e%2e/etc/passwd", "/console/....//etc/passwd", "/console//etc/passwd", "/console/console.js%00.html", "/console/",
    "/console/.", "//v1/regions", "/v1/./regions", "/v1/../healthz", "/v1/regions;x=1", "/v1%2fregions", "/%76%31/regions/../regions",
    "/v1/security-groups/" + "0" * 10000, f"/v1/security-groups/{NOBODY}%20", f"/v1/security-groups/{NOBODY.upper()}x",
    "/v1/bridges/0x00000000000000", "/v1/bridges/%30" + "0" * 16])
def test_paths(api, path):
    for method in ("GET", "DELETE"):
        answer = api(method, path)
        assert answer.status in (400, 404, 405), answer
        assert b"root:" not in answer.body and b"#include" not in answer.body


def test_one_path_in_two_spellings(api, region):
    spelled = "".join(f"%{ord(letter):02x}" for letter in region)
    assert api.get(f"/v1/regions/{spelled}").json["name"] == region
    assert api.get(f"/%76%31/regions/{region}").json["name"] == region


def test_many_idle_connections(daemon):
    """More than there is room for, some silent, some in the middle of a request: who asks is served meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    n = 2500
    if hard < n + 200:
        pytest.skip("too few descriptors for this test")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, n + 200), hard))
    host, port = daemon.address.rsplit(":", 1)
    idle = []
    kept = daemon.client()
    try:
        for number in range(n):
            connection = socket.create_connection((host, int(port)), timeout=20)
            idle.append(connection)
            if number % 2:
                connection.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
            if number % 50 == 0:
                client = daemon.client()
                assert client.get("/v1/status").status == 200
                client.close()
                assert kept.get("/healthz").status == 200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for connection in idle:
            connection.close()
    assert daemon.client().get("/readyz").status == 200
