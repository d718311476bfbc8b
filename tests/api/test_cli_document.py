"""sallyport export and apply, against the real daemon."""

import json
import os
import pty
import select
import subprocess

import pytest

from test_cli import SALLYPORT, Cli

TEXT = {"version": 1, "region": "SV2",
        "security_groups": [
            {"name": "web", "default": True, "rules": [{"direction": "inbound", "protocol": "tcp", "port_min": 80, "port_max": 443},
                                                       {"direction": "inbound", "protocol": 253, "remote_group": "lb", "priority": 7,
                                                        "description": "odd"}]},
            {"name": "lb", "rules": []}],
        "servers": [{"name": "vm1", "security_groups": ["web"],
                     "ports": [{"mac": "52:54:00:00:00:01", "bridge": "00000000000000a1", "port": "vm1"}]}]}


@pytest.fixture(name="cli")
def fixture_cli(daemon):
    return Cli(f"http://{daemon.address}")


@pytest.fixture(name="file")
def fixture_file(directory):
    path = os.path.join(directory, "sv2.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(TEXT, file)
    return path


def split(out):
    """The lines of a dry run, and those below that say whom it concerns."""
    lines = out.splitlines()
    end = next(i for i, line in enumerate(lines) if line.endswith("nothing is changed yet.")) + 1
    assert "No connected bridge is concerned." in lines[end:]
    return lines[:end], lines[end:]


def test_there_and_back(cli, file):
    planned = cli("apply", "--dry-run", file)
    lines, concerned = split(planned)
    assert lines == [
        "  + region SV2", "  + security group web", "    + inbound allow tcp 80-443, any, priority 100",
        "    + inbound allow 253 all, group lb, priority 7: odd", "  + security group lb", "  + bridge 00000000000000a1",
        "  + server vm1", "Region SV2: 5 changes to make; nothing is changed yet."]
    assert concerned[0] == "Servers concerned: 1"
    assert concerned[-1] == "  not known: a bridge is adopted: what passes through it until then is not tracked"
    assert cli("region", "list") == "No regions.\n"
    made = cli("apply", file)
    assert made.splitlines()[:-1] == lines[:-1]
    assert made.splitlines()[-1] == "Applied 5 changes to region SV2: in force on every connected bridge (revision 1)."
    for words in ((), ("--dry-run",), ("--prune",), ("--prune", "--dry-run")):
        assert cli("apply", file, *words) == "Region SV2: nothing to do.\n"
    exported = cli("export", "SV2")
    assert json.loads(exported) == cli.json("export", "SV2")
    assert [one["name"] for one in json.loads(exported)["security_groups"]] == ["lb", "web"]
    assert json.loads(exported)["security_groups"][1]["rules"][1]["remote_group"] == "lb"
    assert cli("apply", "-", "--prune", stdin=exported) == "Region SV2: nothing to do.\n"


def test_changes_and_prune(cli, file):
    cli("apply", file)
    text = json.loads(cli("export", "SV2"))
    text["security_groups"][1]["rules"].pop(0)
    text["security_groups"][1]["rules"][0]["description"] = "odder"
    text["servers"] = []
    lines, concerned = split(cli("apply", "--prune", "--dry-run", "-", stdin=json.dumps(text)))
    assert lines == [
        "  ~ security group web: rules", "    ~ inbound allow 253 all, group lb, priority 7: odder",
        "    - inbound allow tcp 80-443, any, priority 100", "  - server vm1", "Region SV2: 2 changes to make; nothing is changed yet."]
    assert concerned[0] == "Servers concerned: 1" and "Rules whose connections are looked at again: 2" in concerned
    assert concerned[-1] == "  not known of 1 server: it is on no bridge that is connected"
    answer = cli.json("apply", "--prune", "-", stdin=json.dumps(text))
    assert [(one["action"], one["name"]) for one in answer["changes"]] == [("update", "web"), ("delete", "vm1")]


def test_into_another_region(cli, file):
    cli("apply", file)
    text = dict(TEXT, servers=[])
    assert "  + security group web\n" in cli("apply", "--region", "TY2", "-", stdin=json.dumps(text))
    assert cli.json("group", "list", "--region", "TY2")["security_groups"][0]["region"] == "TY2"


@pytest.mark.parametrize("text, status, said", [
    ("{", 2, "-: "), ("[]", 2, "it is no document of a region"), ("{}", 2, "it names no region: give --region"),
    ('{"region": "SV2", "servers": [{"name": "x"}, {"name": ""}]}', 1, "servers[1].name: must have 1 to 255 characters"),
    ('{"region": "SV2", "security_groups": [{"name": "x"}, {"name": "x"}]}', 1, "security_groups: has x twice")])
def test_refused(cli, text, status, said):
    assert said in cli.refused("apply", "-", stdin=text, status=status)


def test_wrong_use(cli, file):
    assert "no-such-file" in cli.refused("apply", "no-such-file", status=2)
    assert "There is no such region." in cli.refused("export", "nowhere")


def large(n_groups, n_servers):
    """Over 1 MiB; each group names the next one."""
    return {"version": 1, "region": "SV2", "security_groups": [
        {"name": f"g{i}", "description": "x" * 900, "default": i == n_groups - 1, "rules": [
            {"direction": "inbound", "protocol": "tcp", "port_min": 80, "port_max": 80, "remote_group": f"g{(i + 1) % n_groups}"}]}
        for i in range(n_groups)],
        "servers": [{"name": f"vm{i}", "security_groups": [f"g{i % n_groups}"],
                     "ports": [{"mac": f"52:54:00:00:{i >> 8:02x}:{i & 255:02x}", "iface_id": f"{i:0200d}"}]}
                    for i in range(n_servers)]}


def on_terminal(*words, stdin):
    """Runs it with a terminal as stderr; returns (status, stdout, what the terminal shows)."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([SALLYPORT, *words], stdin=stdin, stdout=subprocess.PIPE, stderr=theirs, text=True) as child:
        os.close(theirs)
        shown = b""
        while True:
            select.select([ours], [], [], 60)
            try:
                shown += os.read(ours, 65536)
            except OSError:  # Nobody has the other end any more.
                break
        out = child.stdout.read()
    os.close(ours)
    return child.returncode, out, shown.decode()


def test_over_a_mebibyte(cli, directory):
    text = large(1200, 3000)
    path = os.path.join(directory, "large.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(text, file)
    assert "over 1 MiB" in cli.refused("apply", "--dry-run", path)
    status, out, shown = on_terminal("--url", cli.url, "apply", "--prune", path, stdin=subprocess.DEVNULL)
    assert status == 0 and out.startswith("Applied ") and "to region SV2: in force on every connected bridge" in out, (out, shown)
    assert "12600 of 12600 objects" not in shown and "9600 of 9600 objects" in shown and shown.count("\r") > 5, shown
    exported = cli.json("export", "SV2")
    assert [one["name"] for one in exported["security_groups"]][-1:] and exported["security_groups"][0]["rules"][0]["remote_group"]
    by_name = {one["name"]: one for one in exported["servers"]}
    assert all(by_name[one["name"]]["security_groups"] == one["security_groups"] for one in text["servers"])
    assert {one["name"]: one["rules"][0]["remote_group"] for one in exported["security_groups"]} == {
        one["name"]: one["rules"][0]["remote_group"] for one in text["security_groups"]}
    assert cli("apply", "--prune", path) == "Region SV2: nothing to do.\n"
    text["servers"][2999]["kind"] = "toaster"
    error = cli.refused("apply", "-", stdin=json.dumps(text))
    assert "kind" in error and "so the part from servers[" in error
    text["servers"][2999]["kind"] = "baremetal"
    del text["servers"][0], text["security_groups"][0]["rules"]
    assert cli("apply", "--prune", "-", stdin=json.dumps(text)).startswith("Applied 2 changes to region SV2")
    assert "1 MiB" in cli.refused("apply", "-", stdin=json.dumps(dict(text, servers=[{"name": "x" * (1 << 20)}])))
