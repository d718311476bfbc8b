"""What the formal tests need of the laboratory of tests/truth: policies on a real switch, and bridges as the prover takes them."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "truth")]

import policy  # noqa: E402
from contract import Policy  # noqa: E402
from lab import Lab, dpid_text  # noqa: E402
from prove import Bridge  # noqa: E402

__all__ = ["Lab", "policy", "wake", "told_policy", "told_bridge", "dump"]


def wake(lab):
    """The connection to the daemon is closed when a proof has taken long: the next call makes another."""
    try:
        lab.daemon.get("/healthz")
    except OSError:
        pass


def told_policy(lab):
    """The policy as the API answers it."""
    wake(lab)
    return Policy.read(lab.daemon.get("/v1/security-groups")["security_groups"], lab.daemon.get("/v1/servers")["servers"])


def dump(lab, name):
    return lab.switch.ofctl(["--no-stats", "--no-names", "dump-flows"], name)


def told_bridge(lab, name, text=None):
    """A bridge as the API and the switch tell it, or with `text` for its dump."""
    wake(lab)
    said = lab.daemon.get("/v1/bridges/" + dpid_text(lab.world.bridges[name]))
    return Bridge(name, said["dpid"], said["ports"], text or dump(lab, name))
