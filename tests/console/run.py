#!/usr/bin/python3
"""Runs the browser's tests: in a network namespace of their own, beside a real Open vSwitch with bridge br0 and three ports.

Arguments are node's: `run.py --test-name-pattern=default`.  Screenshots go to build/screenshots."""

import os
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, TOP)

from topology.ovs import Ovs  # noqa: E402

BUILD = os.path.join(TOP, os.environ.get("BUILD", "build"))
HERE = os.path.join(TOP, "tests", "console")


def main(arguments):
    with Ovs() as switch, tempfile.TemporaryDirectory(prefix="sp-console-", dir="/tmp") as directory:
        switch.inside("ip", "addr", "add", "192.0.2.10/32", "dev", "lo")
        openflow = os.path.join(directory, "openflow.sock")
        switch.add_bridge("br0", 0xc1, [f"unix:{openflow}"])
        for name in ("vm1", "vm2", "vm3"):
            switch.add_port("br0", name, switch.add_host(name))
        environment = {**switch.env, "SALLYPORTD": os.path.join(BUILD, "bin", "sallyportd"), "OPENFLOW": openflow,
                       "SCREENSHOTS": os.path.join(BUILD, "screenshots"), "SWITCH_DIRECTORY": switch.directory,
                       "SWITCH_PID": str(switch.pid()), "HOME": directory}
        tests = sorted(os.path.join(HERE, name) for name in os.listdir(HERE) if name.endswith(".test.js"))
        return subprocess.run(["ip", "netns", "exec", switch.netns, "node", "--test", "--test-concurrency=1", *arguments, *tests],
                              env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
