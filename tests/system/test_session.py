"""The OpenFlow session against a real ovs-vswitchd, driven by build/tests/system/drive_session."""

import os
import subprocess
import sys

import pytest

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, TOP)

from topology.ovs import Ovs  # noqa: E402

DRIVE = os.path.join(TOP, os.environ.get("BUILD", "build"), "tests", "system", "drive_session")
FOREIGN = "table=21,priority=100,cookie=0x1234,ip,nw_src=10.9.9.9,actions=drop"
# The key of drive_session's first flow, under somebody else's cookie.
SAME_KEY = "table=21,priority=100,cookie=0x1234,ip,reg2=0,ct_state=-inv+trk,ct_nw_proto=6,ct_tp_dst=5120/0xfff0,actions=drop"


@pytest.fixture(scope="module")
def ovs():
    with Ovs() as switch:
        switch.add_bridge("br0", dpid=0xabcdef)
        yield switch


@pytest.fixture(params=["OpenFlow14", "OpenFlow10,OpenFlow13,OpenFlow14,OpenFlow15"])
def bridge(ovs, request):
    """An empty bridge, for each version that a bridge may speak to us."""
    ovs.vsctl("set", "bridge", "br0", f"protocols={request.param}", "flow_tables={}")
    ovs.ofctl("del-flows", "br0")
    ovs.version = 5 if request.param == "OpenFlow14" else 6
    return ovs


@pytest.fixture(autouse=True)
def still_there(ovs):
    pid = ovs.pid()
    yield
    assert os.path.exists(f"/proc/{pid}")


def drive(ovs, *commands, status=0):
    done = subprocess.run([DRIVE, ovs.path("br0.mgmt"), *map(str, commands)], capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if not line.startswith("seed")]
    return lines, done.stdout + done.stderr


def results(lines):
    """What followed the handshake."""
    return lines[lines.index("ports done") + 1:]


def flows(ovs, cookie=None):
    text = ovs.ofctl(["dump-flows"], "br0", *([f"cookie={cookie}"] if cookie else []))
    return [line for line in text.splitlines() if "cookie=" in line]


def test_handshake(bridge):
    lines, _ = drive(bridge)
    version = bridge.appctl("version").split()[3]
    assert lines[0] == f"ready dpid=0000000000abcdef version={bridge.version} software={version} name=br0"
    assert "port 65534 br0" in lines
    assert lines[-1] == "ports done"


def test_bridge_that_speaks_only_old_versions(ovs):
    ovs.vsctl("set", "bridge", "br0", "protocols=OpenFlow10,OpenFlow13")
    lines, _ = drive(ovs, status=1)
    assert lines[-1] == ("closed the bridge speaks only OpenFlow 1.0 to 1.3; Sallyport needs 1.4 or 1.5 "
                         "(ovs-vsctl set bridge NAME protocols=OpenFlow14,OpenFlow15)")


def test_apply_and_dump(bridge):
    bridge.ofctl("add-flow", "br0", FOREIGN)
    lines, text = drive(bridge, "dump", "add", 10000, "dump", "delete", 4000, "dump")
    assert results(lines) == ["dump 0 same", "applied", "dump 10000 same", "applied", "dump 6000 same"], text
    assert len(flows(bridge)) == 6001
    assert len(flows(bridge, "0x1234/-1")) == 1


def test_random_flows_come_back_as_they_went(bridge):
    lines, text = drive(bridge, "random", 500, "dump", "random", 500, "dump")
    assert results(lines) == ["applied", "dump 500 same", "applied", "dump 1000 same"], text


def test_bad_flow_leaves_the_table_as_it_was(bridge):
    before = flows(bridge)
    lines, text = drive(bridge, "add", 3, "0xff40", "dump", "add", 3, "dump")
    assert results(lines) == ["refused 0 OFPBAC_BAD_OUT_PORT", "refused 1 OFPBAC_BAD_OUT_PORT", "refused 2 OFPBAC_BAD_OUT_PORT",
                              "discarded 3 of 3 modifications refused: OFPBAC_BAD_OUT_PORT", "dump 0 same", "applied",
                              "dump 3 same"], text
    assert before == []


def test_full_table_leaves_the_table_as_it_was(bridge):
    bridge.vsctl("--id=@t", "create", "Flow_Table", "flow_limit=5", "--", "set", "bridge", "br0", "flow_tables:21=@t")
    lines, text = drive(bridge, "add", 4, "add", 9, "dump", "add", 5, "dump")
    assert results(lines) == ["applied", "refused 5 OFPFMFC_TABLE_FULL",
                              "discarded 1 of 9 modifications refused: OFPFMFC_TABLE_FULL",
                              "dump 4 same", "applied", "dump 5 same"], text


def test_foreign_flow_of_the_same_key_is_not_deleted(bridge):
    bridge.ofctl("add-flow", "br0", SAME_KEY)
    lines, text = drive(bridge, "delete", 3)
    assert results(lines) == ["applied"], text
    assert len(flows(bridge, "0x1234/-1")) == 1


def test_learned_flows_are_left_out(bridge):
    bridge.ofctl("add-flow", "br0", "table=35,cookie=0x5350080000000000,idle_timeout=100,reg1=4,actions=drop")
    lines, _ = drive(bridge, "dump")
    assert results(lines) == ["dump 0 same"]


def test_flow_changed_by_another_hand_is_seen(bridge):
    lines, _ = drive(bridge, "add", 5)
    assert results(lines) == ["applied"]
    bridge.ofctl("mod-flows", "br0", "table=21,actions=group:7", check=False)
    bridge.ofctl("mod-flows", "br0", "table=21,actions=normal")
    lines, text = drive(bridge, "add", 4, "dump")
    assert results(lines) == ["applied", "dump 5 different"]
    assert text.count("unknown alien") == 0 and text.count("unknown") == 1


def test_whatever_bears_our_cookie_can_be_removed(bridge):
    """Even what matches fields or does things that we know nothing of."""
    for text in ("actions=group:7", "ip,nw_tos=4,actions=drop", "idle_timeout=900,importance=4,actions=drop",
                 "tcp,tcp_flags=+syn,metadata=5,reg3=7/0xf,tun_id=3,actions=normal",
                 "mpls,mpls_label=5,mpls_bos=1,actions=drop", "conj_id=4,actions=drop"):
        bridge.ofctl("add-flow", "br0", f"table=21,priority=77,cookie=0x5350050000000007,{text}", check=False)
    lines, text = drive(bridge, "repair", "dump")
    assert results(lines) == ["dump 5 different", "applied", "dump 0 same"], text
    assert flows(bridge) == []


def test_flush(bridge):
    lines, _ = drive(bridge, "flush", 77)
    assert results(lines) == ["applied"]


def test_ports_that_come_and_go(bridge):
    child = subprocess.Popen([DRIVE, bridge.path("br0.mgmt"), "wait", "20000"], stdout=subprocess.PIPE, text=True)
    try:
        for line in child.stdout:
            if line == "ports done\n":
                break
        bridge.vsctl("add-port", "br0", "tap9", "--", "set", "interface", "tap9", "type=internal", "ofport_request=9")
        bridge.vsctl("del-port", "br0", "tap9")
        seen = []
        for line in child.stdout:
            seen.append(line.strip())
            if line == "port 9 tap9 deleted\n":
                break
        assert seen[0] == "port 9 tap9" and seen[-1] == "port 9 tap9 deleted", seen
    finally:
        child.terminate()
        child.wait()
