import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lab import Lab  # noqa: E402
from policy import World  # noqa: E402
from probe import Prober  # noqa: E402


@pytest.fixture(scope="session")
def lab():
    with Lab(World()) as started:
        started.register()
        yield started


@pytest.fixture(scope="session")
def prober(lab):
    started = Prober(lab)
    yield started
    started.close()


@pytest.fixture(autouse=True)
def daemon_stays(request):
    """A test that uses the lab finds its daemon running and leaves it running."""
    lab = request.getfixturevalue("lab") if "lab" in request.fixturenames else None
    assert lab is None or lab.daemon.is_running(), lab.daemon.log()
    yield
    assert lab is None or lab.daemon.is_running(), lab.daemon.log()


@pytest.fixture(autouse=True)
def prober_starts_empty(request):
    """Others have sockets of their own at the same ends: what they have heard meanwhile is not this test's."""
    if "prober" in request.fixturenames:
        prober = request.getfixturevalue("prober")
        prober.collect()
        prober.clear()
