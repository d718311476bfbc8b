import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from bench import Lab, policy  # noqa: E402


@pytest.fixture(scope="session")
def lab():
    with Lab(policy.World()) as started:
        started.register()
        yield started
