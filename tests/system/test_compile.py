"""Random policies on a real switch: what its own tables decide about a connection is what the evaluator says."""

import json
import os
import random
import re
import socket

import pytest

from conftest import BUILD
from ovs import Ovs, run

TRACE_POLICIES = os.path.join(BUILD, "tests/system/trace_policies")
SEED = int(os.environ.get("SP_SEED") or random.SystemRandom().randrange(1, 1 << 32))
ROUNDS = 5
SETS = 400  # In each round, all in the switch together.
CONNECTIONS = 6
AT_ONCE = 50
ENTRY = "table=0,priority=65535,metadata=0x5350 actions=resubmit(,7)"  # SET_FACTS, the first table behind conntrack's.


class Control:
    """The control socket of a daemon of Open vSwitch, for more commands than ovs-appctl could be started for."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(60)
        self._socket.connect(path)
        self._decoder = json.JSONDecoder()
        self._text = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def call(self, method, lists):
        """Runs `method` with each of `lists` as its parameters; yields what each said."""
        self._socket.sendall("".join(json.dumps({"id": i, "method": method, "params": words})
                                     for i, words in enumerate(lists)).encode())
        for _ in lists:
            answer = self._next()
            assert answer["error"] is None, answer
            yield answer["result"]

    def _next(self):
        while True:
            try:
                answer, end = self._decoder.raw_decode(self._text)
            except ValueError:  # Not whole yet.
                part = self._socket.recv(1 << 20)
                assert part, "the daemon has gone"
                self._text += part.decode()
                continue
            self._text = self._text[end:].lstrip()
            return answer


@pytest.fixture(scope="module")
def switch():
    with Ovs() as one:
        one.add_bridge("br0", dpid=1)
        yield one


def verdict(trace):
    """("allow", mark of the connection) or ("deny", None), by what the datapath would do first."""
    actions = re.search(r"^Datapath actions: (.*)", trace, re.MULTILINE).group(1)
    if actions == "drop":
        return "deny", None
    mark = re.match(r"ct\(commit,zone=4711,mark=(0x[0-9a-f]+)/0xffffffff\)", actions)
    assert mark, trace
    return "allow", int(mark.group(1), 16)


@pytest.mark.parametrize("number", range(ROUNDS))
def test_the_switch_decides_as_the_evaluator(switch, number):
    seed = SEED + number
    print(f"SP_SEED={SEED}, round {number}")
    lines = run(TRACE_POLICIES, seed, 1, SETS, CONNECTIONS, timeout=120).splitlines()
    flows = [line[5:] for line in lines if line.startswith("flow ")]
    asked = [line.split(" ", 3)[1:] for line in lines if line.startswith("ask ")]
    assert len(asked) > SETS * CONNECTIONS
    switch.ofctl("del-flows", "br0")
    switch.ofctl(["--bundle", "add-flows"], "br0", "-", stdin="\n".join([ENTRY, *flows]) + "\n", timeout=120)
    assert switch.ofctl("dump-aggregate", "br0").split("flow_count=")[1].strip() == str(len(flows) + 1)
    count = {"allow": 0, "deny": 0}
    with Control(switch.path("ovs-vswitchd.ctl")) as control:
        for i in range(0, len(asked), AT_ONCE):
            some = asked[i:i + AT_ONCE]
            for (number_of_set, expected, packet), trace in zip(some, control.call("ofproto/trace", [["br0", one[2]] for one in some])):
                said, mark = verdict(trace)
                assert said == expected, f"SP_SEED={seed}: set {number_of_set}: {packet}\n{trace}"
                assert mark is None or mark // 100 == int(number_of_set), trace
                count[said] += 1
    print(count)
    assert min(count.values()) > len(asked) // 20  # Both verdicts are seen.
