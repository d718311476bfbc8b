import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "truth"), os.path.join(os.path.dirname(os.path.dirname(HERE)), "topology")]

from scene import Switch  # noqa: E402  (needs the paths above)


@pytest.fixture(scope="module")
def switches():
    """The one that the daemon under test serves, and the one of fresh daemons."""
    with Switch() as live, Switch() as twin:
        yield live, twin
