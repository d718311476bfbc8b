"""Contract 4: bearer tokens."""

import pytest

TOKEN = "s3cret.token-_~+/=="


@pytest.fixture
def guarded(make_daemon):
    return make_daemon(token=TOKEN).start()


@pytest.mark.parametrize("path", ["/v1/regions", "/v1/status", "/metrics", "/nowhere", "/v1/security-groups/x"])
def test_a_token_is_needed(guarded, path):
    client = guarded.client(token=None)
    for header in (None, "Bearer", "Bearer ", "Bearer wrong", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}",
                   TOKEN):
        answer = client.get(path, headers={"Authorization": header} if header is not None else {})
        assert answer.status == 401, (header, answer)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert answer.headers["Content-Type"] == "application/problem+json"


def test_open_paths(guarded):
    client = guarded.client(token=None)
    assert client.get("/healthz").status == 200
    assert client.get("/readyz").status == 200


def test_a_change_without_token_changes_nothing(guarded):
    assert guarded.client(token=None).put("/v1/regions/A").status == 401
    assert guarded.client(token="no").put("/v1/regions/A").status == 401
    client = guarded.client()
    assert client.get("/v1/regions").json == {"regions": []}
    assert client.put("/v1/regions/A").status == 201
    assert client.get("/v1/regions", headers={"Authorization": f"bearer {TOKEN}"}).status == 200


def test_token_is_not_in_the_log(guarded):
    guarded.client().put("/v1/regions/A")
    guarded.client(token="wrong-token").put("/v1/regions/B")
    assert TOKEN not in guarded.text() and "wrong-token" not in guarded.text()
