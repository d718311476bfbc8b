import itertools
import os
import shutil
import sys
import tempfile

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(os.path.dirname(HERE))]

import daemon as sallyport  # noqa: E402


@pytest.fixture
def directory():
    """A directory whose path is short enough for sockets."""
    path = tempfile.mkdtemp(prefix="sp-api-", dir="/tmp")
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def make_daemon(directory):
    """Makes daemons (not started yet) that share one directory, and with it their database."""
    daemons = []

    def make(*options, **named):
        daemons.append(sallyport.Daemon(directory, *options, **named))
        return daemons[-1]

    yield make
    for one in daemons:
        one.close()


@pytest.fixture
def daemon(make_daemon):
    """A daemon for this test alone."""
    return make_daemon().start()


@pytest.fixture(scope="session")
def shared():
    """One daemon for all tests that only need a region of their own; it must end cleanly."""
    path = tempfile.mkdtemp(prefix="sp-api-", dir="/tmp")
    one = sallyport.Daemon(path).start()
    yield one
    try:
        assert one.process.poll() is None, f"the daemon ended: {one.text()}"
        assert one.stop() == 0, one.text()
    finally:
        one.close()
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def api(shared):
    client = shared.client()
    yield client
    client.close()


_numbers = itertools.count(1)


@pytest.fixture
def region(api):
    """The name of a new, empty region."""
    name = f"R{next(_numbers)}"
    assert api.put(f"/v1/regions/{name}").status == 201
    return name


@pytest.fixture
def other_region(api):
    name = f"O{next(_numbers)}"
    assert api.put(f"/v1/regions/{name}").status == 201
    return name


@pytest.fixture
def group(api, region):
    """A new group without rules."""
    answer = api.post("/v1/security-groups", {"region": region, "name": "web", "template": "none"})
    assert answer.status == 201, answer
    return answer.json


@pytest.fixture
def rules(group):
    """The path of the group's rules."""
    return f"/v1/security-groups/{group['id']}/rules"


@pytest.fixture
def new_port():
    """Makes the body of a port with a MAC and a place of its own."""

    def make(*ips, **fields):
        number = next(_numbers)
        port = {"mac": f"52:54:00:00:{number >> 8:02x}:{number & 255:02x}", "ips": list(ips),
                "bridge": f"{0xb0000 + number:016x}",
                "port": f"p{number}"}
        return {**port, **fields}

    return make


@pytest.fixture
def new_server(api, region, new_port):
    """Creates servers in the region and returns them."""

    def make(*ips, **fields):
        body = {"region": region, "name": "vm", "ports": [new_port(*ips)], **fields}
        answer = api.post("/v1/servers", body)
        assert answer.status == 201, answer
        return answer.json

    return make
