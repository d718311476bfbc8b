"""Fixtures of the system tests: a real Open vSwitch, isolated, and the paths of the build."""

import contextlib
import os
import sys

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "topology"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("BUILD", os.path.join(TOP, "build"))

from ovs import Ovs  # noqa: E402  (needs the path above)
from packets import end  # noqa: E402


@pytest.fixture(scope="module")
def ovs():
    """One switch for a module; its log is printed if vswitchd did not live to the end."""
    with Ovs() as switch:
        # How soon a change reaches the datapath at the latest; the default of 500 ms is most of what a test would wait.
        switch.vsctl("set", "Open_vSwitch", ".", "other_config:max-revalidator=100")
        yield switch
        try:
            switch.appctl("version")
        except Exception:
            print(switch.log()[-4000:])
            raise


@contextlib.contextmanager
def telling(site):
    """`site`, which is closed in the end; what its daemon said last is shown with a test that fails."""
    try:
        yield site
    finally:
        print(site.daemon.text()[-6000:])
        site.close()


@pytest.fixture
def a(net):
    """The server port a of the module's net."""
    return end(net.ports["a"])


@pytest.fixture
def b(net):
    return end(net.ports["b"])
