"""The description that the daemon serves: whole, true of every path, and not more than there is.  That each answer is as
described is looked at by the client of all these tests (description.py)."""

import re

import pytest
from description import METHODS, read

DESCRIPTION = read()
DOCUMENT = DESCRIPTION.document
PLACES = {"region": "SV2", "dpid": "0000000000000001", "change": "1"}
OPERATIONS = [(path, method) for path, item in DOCUMENT["paths"].items() for method in METHODS if method in item]


def concrete(path):
    return re.sub(r"\{(\w+)\}", lambda found: PLACES.get(found[1], "00000000-0000-4000-8000-000000000000"), path)


def references(thing):
    if isinstance(thing, dict):
        if "$ref" in thing:
            yield thing["$ref"]
        for value in thing.values():
            yield from references(value)
    elif isinstance(thing, list):
        for value in thing:
            yield from references(value)


def test_served_as_it_lies_in_the_tree(api):
    answer = api.get("/v1/openapi.json")
    assert answer.status == 200 and answer.headers["Content-Type"] == "application/json"
    assert answer.json == DOCUMENT
    assert api("HEAD", "/v1/openapi.json").body == b""


def test_every_reference_leads_somewhere_and_every_component_is_used():
    used = set(references(DOCUMENT))
    for reference in used:
        assert DESCRIPTION.resolve({"$ref": reference}), reference
    there = {f"#/components/{kind}/{name}" for kind, items in DOCUMENT["components"].items() if kind != "securitySchemes" for name in items}
    assert there == used


def test_operations_have_names_of_their_own():
    names = [DOCUMENT["paths"][path][method]["operationId"] for path, method in OPERATIONS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("path", DOCUMENT["paths"])
def test_methods_are_those_of_the_daemon(api, path):
    allowed = api("BREW", concrete(path)).headers["Allow"].split(", ")
    assert sorted(allowed) == sorted(DESCRIPTION.methods(path) + (["HEAD"] if "GET" in allowed else []))


def test_every_path_of_the_reference_is_described():
    with open("controller/api/README.md", encoding="utf-8") as file:
        table = [line for line in file if line.startswith("| `")]
    named = {re.sub(r"\?.*", "", path) for line in table for path in re.findall(r"/(?:v1/[^`, ]+|metrics|healthz|readyz)", line.split("|")[1])}
    plain = {re.sub(r"\{\w+\}", "{}", path) for path in DOCUMENT["paths"]}
    assert {re.sub(r"\{\w+\}", "{}", path) for path in named} == plain


@pytest.mark.parametrize("path, method", OPERATIONS)
def test_parameters_are_those_of_the_daemon(api, path, method):
    """A query parameter that is described is taken, one that is not is refused."""
    parameters = [DESCRIPTION.resolve(parameter) for parameter in DOCUMENT["paths"][path][method].get("parameters", [])]
    known = {parameter["name"] for parameter in parameters if parameter["in"] == "query"}
    for name in ("wait", "region", "name", "security_group", "nonsense"):
        answer = api(method.upper(), f"{concrete(path)}?{name}=:", body={} if "requestBody" in DOCUMENT["paths"][path][method] else None)
        unknown = any("is not a query parameter" in error["message"] for error in (answer.json or {}).get("errors", []) if error["field"] == f"?{name}")
        assert unknown == (name not in known), (name, answer)


SAMPLES = [("NewRule", field, value) for field, value in (
    ("direction", "sideways"), ("direction", None), ("action", "drop"), ("priority", 0), ("priority", 1001), ("priority", 1.5),
    ("protocol", 256), ("protocol", ""), ("port_min", -2), ("port_min", 65536), ("icmp_type", 256), ("description", 7),
    ("description", "x" * 1025), ("remote_ip", 4), ("remote_group", "x"), ("port", 80))]


@pytest.mark.parametrize("schema, field, value", SAMPLES)
def test_what_the_schema_refuses_the_daemon_refuses(api, rules, schema, field, value):
    body = {"direction": "inbound", "protocol": "tcp", "action": "allow"}
    schema = DOCUMENT["components"]["schemas"][schema]
    assert not DESCRIPTION.errors(schema, body)
    assert api.post(rules, body).status in (200, 201)
    body[field] = value
    assert DESCRIPTION.errors(schema, body)
    assert api.post(rules, body).status == 422
