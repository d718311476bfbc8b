"""The command line, each command against the real daemon."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import uuid

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "topology"))
from ovs import Ovs, wait_until  # noqa: E402

SALLYPORT = os.path.join(TOP, "build/bin/sallyport")
DPID = "00000000000000a1"
NOUNS = {"region": "list create set delete", "group": "list show lint create set delete", "rule": "list add set replace delete",
         "server": "list show create set delete", "bridge": "list show set delete", "change": "list show undo confirm"}
COMMANDS = ([(noun, verb) for noun, verbs in NOUNS.items() for verb in verbs.split()]
            + [("blocked",), ("connections",), ("explain",), ("export",), ("apply",), ("status",), ("completion",)])


def sallyport(*words, status=0, env=None, stdin=""):
    """Runs the program; checks its exit status; returns (stdout, stderr)."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("SALLYPORT_")}
    done = subprocess.run([SALLYPORT, *map(str, words)], env=clean | (env or {}), input=stdin, capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout, done.stderr


class Cli:
    """The program with the daemon's address."""

    def __init__(self, url):
        self.url = url

    def __call__(self, *words, **options):
        return sallyport("--url", self.url, *words, **options)[0]

    def refused(self, *words, status=1, **options):
        """What stands on stderr."""
        out, error = sallyport("--url", self.url, *words, status=status, **options)
        assert out == ""
        return error

    def json(self, *words, **options):
        return json.loads(self("--json", *words, **options))

    def group(self, name, region="SV2"):
        return self.json("group", "show", name, "--region", region)

    def server(self, name, region="SV2"):
        return self.json("server", "show", name, "--region", region)


@pytest.fixture(name="cli")
def fixture_cli(daemon):
    return Cli(f"unix:{daemon.socket}")


@pytest.fixture(name="sv2")
def fixture_sv2(cli):
    cli("region", "create", "SV2")
    return cli


# Usage: nothing of this needs a daemon.


def test_help_at_every_level():
    out, _ = sallyport("--help")
    for command in COMMANDS:
        assert f"sallyport {' '.join(command)}" in out
    for noun, verbs in NOUNS.items():
        out, _ = sallyport(noun, "--help")
        assert all(f"sallyport {noun} {verb}" in out for verb in verbs.split())
    for command in COMMANDS:
        out, _ = sallyport(*command, "--help")
        assert out.startswith(f"usage: sallyport {' '.join(command)}") and "--url" in out
        assert out == sallyport("--help", *command)[0] == sallyport(*command, "-h")[0]


def completions(*words, directory=None):
    """What bash offers for the last word."""
    script = """source <("$0" completion); COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _sallyport; printf '%s\\n' "${COMPREPLY[@]}" """
    done = subprocess.run(["bash", "-ec", script, SALLYPORT, "sallyport", *words], capture_output=True, text=True, check=True, cwd=directory)
    assert not done.stderr
    return done.stdout.split()


def test_completion_knows_every_command(directory):
    nouns = [*NOUNS, "blocked", "connections", "explain", "export", "apply", "status", "completion"]
    assert completions("") == nouns and completions("re") == ["region"] and completions("--json", "st") == ["status"]
    for noun, verbs in NOUNS.items():
        assert completions(noun, "") == completions("--url", "http://x", noun, "") == verbs.split()
    for command in COMMANDS:
        out, _ = sallyport(*command, "--help")
        offered = completions(*command, "--")
        assert offered and all(f"  {option}" in out for option in offered)
        assert sorted(offered) == sorted(set(re.findall(r"^  (--[a-z-]+)", out, re.M)))
    assert completions("group", "list", "") == completions("group", "list", "--region", "") == []
    open(os.path.join(directory, "tokens"), "w", encoding="utf-8").close()
    assert completions("--token-file", "to", directory=directory) == completions("apply", "to", directory=directory) == ["tokens"]


def test_version():
    assert sallyport("--version")[0].startswith("sallyport ")


@pytest.mark.parametrize("words, said", [
    ([], "what is to be done"),
    (["grup"], "unknown noun 'grup'; there is region group rule server bridge change blocked connections explain export apply status completion"),
    (["group"], "'group' needs a verb; there is list show lint create set delete"),
    (["group", "lst"], "unknown verb 'lst'"),
    (["group", "list", "x"], "'x' is one argument too many"),
    (["group", "show"], "too few arguments"),
    (["group", "create", "--name", "a"], "needs --region"),
    (["region", "set", "a"], "needs --report-blocked"),
    (["region", "set", "a", "--report-blocked", "maybe"], "--report-blocked takes on or off, not 'maybe'"),
    (["group", "list", "--deny"], "takes no option '--deny'"),
    (["group", "list", "--frobnicate"], "--frobnicate"),
    (["group", "list", "--name"], "needs a value"),
    (["group", "list", "--name", "a", "--name", "b"], "given twice"),
    (["group", "list", "--json=yes"], "takes no value"),
    (["group", "list", "--url", "ftp://x"], "is not http://"),
    (["group", "list", "--url", ""], "is not http://"),
    (["group", "list", "--token-file", "/nonexistent/token"], "/nonexistent/token"),
    (["group", "set", "web"], "what is to be changed"),
    (["group", "set", "web", "--default", "--no-default"], "exclude each other"),
    (["group", "delete", "web", "--wait", "soon"], "not a number of seconds"),
    (["group", "create", "--region", "SV2", "--name", "a", "--rules-file", "/nonexistent"], "/nonexistent"),
    (["rule", "add", "web", "inbound"], "too few arguments"),
    (["rule", "add", "web", "inbound", "tcp", "80-"], "80-"),
    (["rule", "add", "web", "inbound", "tcp", "80-90-100"], "80-90-100"),
    (["rule", "add", "web", "inbound", "tcp", "http"], "http"),
    (["rule", "add", "web", "inbound", "tcp", "99999999999999999999999"], "99999999999999999999999"),
    (["rule", "add", "web", "inbound", "icmp", "8/"], "8/"),
    (["rule", "add", "web", "inbound", "tcp", "80", "--priority", "high"], "high"),
    (["rule", "add", "web", "inbound", "tcp", "80", "--allow", "--deny"], "exclude each other"),
    (["rule", "add", "web", "inbound", "tcp", "80", "--remote", "10.0.0.1", "--remote-group", "b"], "exclude each other"),
    (["rule", "set", "web", "x"], "what is to be changed"),
    (["server", "set", "vm1"], "what is to be changed"),
    (["server", "create", "--region", "SV2", "--name", "a", "--port", "mac"], "KEY=VALUE"),
    (["server", "create", "--region", "SV2", "--name", "a", "--port", "mac="], "KEY=VALUE"),
    (["server", "create", "--region", "SV2", "--name", "a", "--port", "mac=1,mac=2"], "given twice"),
    (["server", "create", "--region", "SV2", "--name", "a", "--port", "color=red"], "unknown key 'color'"),
    (["server", "create", "--region", "SV2", "--name", "a", "--port", "mac=1,vlan=x"], "vlan"),
    (["server", "create", "--region", "SV2", "--name", "a", "--port", "mac=1,port-security=maybe"], "maybe"),
    (["server", "set", "a", "--group", "b", "--no-groups"], "exclude each other"),
    (["server", "set", "a", "--port", "mac=1", "--no-ports"], "exclude each other"),
    (["bridge", "set", DPID], "--no-uplinks"),
    (["bridge", "set", DPID, "--uplink", "a", "--no-uplinks"], "--no-uplinks"),
    (["explain", "vm1", "inbound", "tcp", "80"], "needs --remote"),
    (["region", "create", ""], "argument 1 of REGION is empty"),
    (["rule", "delete", "web", ""], "argument 2 of GROUP RULE is empty"),
    (["group", "create", "--region", "SV2", "--name", "caf\udce9"], "an argument is not UTF-8"),
    (["apply", "/"], "/: Is a directory"),
    (["explain", "vm1", "inbound", "tcp", "80", "--local-port", "81", "--remote", "10.0.0.1"], "given twice"),
])
def test_wrong_usage_sends_nothing(tmp_path, words, said):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        listener.setblocking(False)
        out, error = sallyport(*words, status=2, env={"SALLYPORT_URL": f"unix:{path}"})
        assert out == ""
        assert said in error.splitlines()[0] and error.splitlines()[-1].startswith("See: sallyport ")
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_no_connection(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        for url in (f"unix:{tmp_path}/none", f"http://127.0.0.1:{unused.getsockname()[1]}"):
            _, error = sallyport("--url", url, "status", status=3)
            assert url in error


def test_an_answer_that_breaks_off(tmp_path):
    for answer in (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"):
        path = str(tmp_path / f"s{len(answer)}")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            child = subprocess.Popen([SALLYPORT, "--url", f"unix:{path}", "status"], stderr=subprocess.PIPE)
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)
            assert child.wait(30) == 3
            child.stderr.close()


def test_an_answer_of_somebody_else(tmp_path):
    path = str(tmp_path / "s")
    body = b'{"title":"\x1b[31mred\\u001b[0m","errors":7,"in_use_by":[1,{"name":{}}]}'
    for answer in (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
                   b"HTTP/1.1 409 No\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body),
                   b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"):
        if os.path.exists(path):
            os.unlink(path)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            child = subprocess.Popen([SALLYPORT, "--url", f"unix:{path}", "status"], stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE)
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)
                out, error = child.communicate(timeout=30)
            assert child.returncode == 1 and out == b"" and error.startswith(b"sallyport: ") and b"\x1b" not in error


# Regions and groups.


def test_regions(cli):
    assert cli("region", "list") == "No regions.\n"
    assert cli("region", "create", "SV2") == "Made region SV2: in force on every connected bridge (revision 1).\n"
    assert cli("region", "create", "SV2").startswith("Region SV2 exists already: ")
    cli("group", "create", "--region", "SV2", "--name", "web", "--default")
    lines = [line.split() for line in cli("region", "list").splitlines()]
    assert lines == [["REGION", "DEFAULT", "GROUP", "GROUPS", "SERVERS"], ["SV2", "web", "1", "0"]]
    assert cli("region", "set", "SV2", "--report-blocked", "off").startswith("Changed region SV2: in force")
    assert not cli.json("region", "list")["regions"][0]["report_blocked"]
    assert cli.json("region", "set", "SV2", "--report-blocked", "on")["report_blocked"]
    error = cli.refused("region", "delete", "SV2")
    assert "in use by security_group web" in error
    cli("group", "delete", "web")
    assert cli("region", "delete", "SV2").startswith("Deleted region SV2: ")
    cli.refused("region", "delete", "SV2")
    cli.refused("region", "set", "SV2", "--report-blocked", "on")
    cli.refused("region", "create", "S V")
    cli.refused("region", "delete", "..")


def test_groups(sv2):
    assert sv2("group", "list") == "No security groups.\n"
    assert sv2("group", "list", "--region", "SV2") == "No security groups in SV2.\n"
    name = "wéb ☃"
    said = sv2("group", "create", "--region", "SV2", "--name", name, "--description", "for ☃", "--template", "remote-login")
    group = sv2.group(name)
    in_force = f"in force on every connected bridge (revision {group['revision']}).\n"
    assert said == f"Made group {name} ({group['id']}) in SV2: {in_force}"
    assert group["description"] == "for ☃" and not group["default"] and len(group["rules"]) == 5
    shown = sv2("group", "show", group["id"])
    assert "wéb ☃" in shown and "3389" in shown and "servers" in shown and "none" in shown
    sv2("group", "set", "wéb ☃", "--name", "web", "--description", "")
    assert sv2.group("web")["description"] == ""
    assert sv2("group", "set", "web", "--default").startswith("Made group web the default of SV2; its 0 servers")
    assert sv2.group("web")["default"]
    sv2("group", "set", "web", "--no-default")
    assert not sv2.group("web")["default"]
    header, line = sv2("group", "list").splitlines()
    assert header.split() == ["NAME", "REGION", "DEFAULT", "RULES", "SERVERS", "ID", "DESCRIPTION"]
    assert line.split() == ["web", "SV2", "no", "5", "0", group["id"]]
    sv2("group", "delete", "web")
    assert "no security group 'web'" in sv2.refused("group", "show", "web")
    sv2.refused("group", "show", group["id"])


def test_group_lint(sv2):
    sv2("group", "create", "--region", "SV2", "--name", "web")
    assert sv2("group", "lint", "web") == "Nothing odd about the rules of group web.\n"
    sv2("rule", "add", "web", "inbound", "tcp", "22")
    rule = next(rule for rule in sv2.group("web")["rules"] if rule["direction"] == "inbound")
    header, line = sv2("group", "lint", "web").splitlines()
    assert header.split() == ["RULE", "KIND", "WHAT"]
    assert line.split(None, 2) == [rule["id"], "open", "lets everybody reach ssh (tcp 22)"]
    assert sv2.json("group", "lint", "web", "--region", "SV2")["findings"][0]["rule"] == rule["id"]
    assert "no security group" in sv2.refused("group", "lint", "db")


def test_columns_are_aligned(sv2):
    for name in ("a", "日本語", "été", "long name of a group"):
        sv2("group", "create", "--region", "SV2", "--name", name, "--description", "end")
    lines = sv2("group", "list").splitlines()
    assert all(line == line.rstrip() for line in sv2("group", "list", "--name", "nobody").splitlines() + lines)
    # A wide character fills two columns.
    column = [len(line[:line.index("SV2")]) + sum(ch in "日本語" for ch in line) for line in lines[1:]]
    assert column == [lines[0].index("REGION")] * 4


def test_group_with_rules_of_a_file(sv2, tmp_path):
    rules = [{"direction": "inbound", "protocol": "tcp", "port_min": 80, "port_max": 90}]
    file = tmp_path / "rules.json"
    file.write_text(json.dumps(rules))
    sv2("group", "create", "--region", "SV2", "--name", "a", "--rules-file", file)
    kept = sv2.group("a")["rules"]
    assert len(kept) == 1 and kept[0]["port_max"] == 90
    more = rules + [{"direction": "outbound", "protocol": "any"}]
    sv2("rule", "replace", "a", "--rules-file", "-", stdin=json.dumps({"rules": more}))
    assert [rule["id"] for rule in sv2.group("a")["rules"]][0] == kept[0]["id"] and len(sv2.group("a")["rules"]) == 2
    wrong = '[{"direction":"inbound","protocol":"tcp","port_max":70000}]'
    error = sv2.refused("rule", "replace", "a", "--rules-file", "-", stdin=wrong)
    assert "rules[0].port_max: " in error
    for text in ("", "{", "7", '{"rules":{}}', '{"a":[]}', "[" * 100):
        sv2.refused("rule", "replace", "a", "--rules-file", "-", stdin=text, status=2)
    assert len(sv2.group("a")["rules"]) == 2


def test_names(sv2):
    sv2("region", "create", "TY2")
    for region in ("SV2", "TY2"):
        sv2("group", "create", "--region", region, "--name", "web")
    ids = {region: sv2.group("web", region)["id"] for region in ("SV2", "TY2")}
    error = sv2.refused("group", "show", "web")
    assert all(ids[region] in error and region in error for region in ids)
    assert sv2.json("group", "show", "web", "--region", "TY2")["id"] == ids["TY2"]
    assert sv2.json("group", "show", ids["TY2"].upper())["id"] == ids["TY2"]
    assert "in region TY2" in sv2.refused("group", "show", "wob", "--region", "TY2")
    sv2.refused("group", "show", str(uuid.uuid4()))
    # What means something in a path or query is a name like any other.
    for name in ("a/b", "a?b=c&d", "100%", "..", "#", "a+b c"):
        sv2("group", "create", "--region", "SV2", "--name", name)
        assert sv2.group(name)["name"] == name
    # The region of the group, not any, is searched for the remote group.
    sv2("rule", "add", "web", "inbound", "any", "--region", "TY2", "--remote-group", "web")
    assert sv2.group("web", "TY2")["rules"][-1]["remote_group"] == ids["TY2"]
    assert "group web" in sv2("rule", "list", "web", "--region", "TY2")


# Rules.


@pytest.mark.parametrize("words, fields", [
    ("inbound tcp", {"direction": "inbound", "protocol": "tcp", "port_min": -1, "action": "allow", "priority": 100}),
    ("inbound tcp all", {"port_min": -1, "port_max": -1}),
    ("inbound tcp 80", {"port_min": 80, "port_max": 80}),
    ("inbound udp 80-8080 --remote 10.1.2.3/8", {"protocol": "udp", "port_min": 80, "port_max": 8080, "remote_ip": "10.0.0.0/8"}),
    ("outbound sctp 0-65535 --remote 2001:db8::1", {"direction": "outbound", "remote_ip": "2001:db8::1/128"}),
    ("inbound icmp 8", {"protocol": "icmp", "icmp_type": 8, "icmp_code": -1, "port_min": -1}),
    ("inbound icmp 3/4 --deny", {"icmp_type": 3, "icmp_code": 4, "action": "deny"}),
    ("inbound icmpv6 128/0", {"protocol": "icmpv6", "icmp_type": 128, "icmp_code": 0}),
    ("outbound any --priority 7 --remote any", {"protocol": "any", "priority": 7, "remote_ip": None}),
    ("outbound 6 22", {"protocol": "tcp", "port_min": 22}),
    ("inbound 253", {"protocol": 253}),
    ("inbound gre --description greetings", {"protocol": "gre", "description": "greetings"}),
])
def test_rule_add(sv2, words, fields):
    sv2("group", "create", "--region", "SV2", "--name", "web", "--template", "none")
    assert "Added rule " in sv2("rule", "add", "web", *words.split())
    rule, = sv2.group("web")["rules"]
    assert {key: rule[key] for key in fields} == fields
    assert "has this rule already" in sv2("rule", "add", "web", *words.split())
    assert len(sv2("rule", "list", "web").splitlines()) == 2


@pytest.mark.parametrize("words, fields", [
    ("inbound tcp 80-70000", ["port_max"]),
    ("inbound tcp 90-80", ["port"]),
    ("sideways tcp 80", ["direction"]),
    ("inbound frob", ["protocol"]),
    ("inbound tcp 80 --priority 0 --remote nowhere", ["priority", "remote_ip"]),
    ("inbound tcp 80 --priority -1", ["priority"]),
    ("inbound icmp 300", ["icmp_type"]),
    ("inbound any 80", ["port"]),
    (f"inbound any --remote-group {uuid.uuid4()}", ["remote_group"]),
])
def test_rule_refused(sv2, words, fields):
    sv2("group", "create", "--region", "SV2", "--name", "web", "--template", "none")
    error = sv2.refused("rule", "add", "web", *words.split())
    assert error.startswith("sallyport: ") and all(f"\n  {field}" in error for field in fields)
    assert sv2("rule", "list", "web") == "No rules in web: nothing passes.\n"


def test_rule_set_and_delete(sv2):
    sv2("group", "create", "--region", "SV2", "--name", "web", "--template", "none")
    sv2("rule", "add", "web", "inbound", "tcp", "80", "--remote", "10.0.0.0/8")
    rule = sv2.group("web")["rules"][0]["id"]

    def change(*words):
        sv2("rule", "set", "web", rule, *words)
        one, = sv2.group("web")["rules"]
        assert one["id"] == rule
        return one

    assert change("--ports", "80-90", "--priority", "3", "--description", "x")["port_max"] == 90
    assert change("--deny")["action"] == "deny"
    assert change("--remote", "any")["remote_ip"] is None
    after = change("--remote-group", "web")
    assert after["remote_group"] and after["priority"] == 3 and after["port_min"] == 80
    after = change("--remote", "192.0.2.1")
    assert after["remote_group"] is None and after["remote_ip"] == "192.0.2.1/32"
    after = change("--protocol", "icmp")
    assert after["protocol"] == "icmp" and after["port_min"] == -1
    assert change("--icmp", "8/0")["icmp_code"] == 0
    after = change("--protocol", "udp", "--ports", "53", "--direction", "outbound", "--allow")
    assert (after["protocol"], after["port_min"], after["icmp_type"], after["direction"]) == ("udp", 53, -1, "outbound")
    sv2.refused("rule", "set", "web", str(uuid.uuid4()), "--deny")
    sv2.refused("rule", "set", "web", "../../regions", "--deny")
    assert "Deleted rule" in sv2("rule", "delete", "web", rule)
    sv2.refused("rule", "delete", "web", rule)


# Servers and bridges.


def port(number, **more):
    words = {"bridge": DPID, "port": f"vm{number}", "mac": f"02:00:00:00:00:{number:02x}", "ip": f"10.0.0.{number}"} | more
    return ",".join(f"{key.replace('_', '-')}={value}" for key, value in words.items() if value is not None)


def test_servers(sv2):
    assert sv2("server", "list", "--region", "SV2") == "No servers in SV2.\n"
    said = sv2("server", "create", "--region", "SV2", "--name", "vm1", "--port", port(1))
    vm1 = sv2.server("vm1")
    assert said.startswith(f"Registered server vm1 ({vm1['id']}) in SV2: in force")
    assert vm1["security_groups"] == [sv2.group("default")["id"]] and vm1["kind"] == "vps"
    sv2("group", "create", "--region", "SV2", "--name", "web")
    sv2("server", "create", "--region", "SV2", "--name", "vm2", "--kind", "baremetal", "--group", "web", "--group", "default",
        "--port", port(2, vlan=7, port_security="off", pair="10.9.0.0/16") + ",ip=fd00::2,pair=fd00:9::/64/02:00:00:00:00:99",
        "--port", "iface=one,mac=02:00:00:00:01:02,ip=10.1.0.2")
    vm2 = sv2.server("vm2")
    assert vm2["kind"] == "baremetal" and len(vm2["security_groups"]) == 2
    first, second = vm2["ports"]
    assert (first["vlan"], first["port_security"], first["ips"]) == (7, False, ["10.0.0.2", "fd00::2"])
    assert first["allowed_address_pairs"] == [{"ip": "10.9.0.0/16", "mac": first["mac"]},
                                              {"ip": "fd00:9::/64", "mac": "02:00:00:00:00:99"}]
    assert (first["bridge"], first["port"], second["iface_id"]) == (DPID, "vm2", "one")
    lines = sv2("server", "list").splitlines()
    assert lines[0].split() == ["NAME", "REGION", "KIND", "GROUPS", "ADDRESSES", "STATE", "ID"]
    assert any("vm2" in line and "web, default" in line and "10.0.0.2, fd00::2, 10.1.0.2" in line and "unbound" in line
               for line in lines)
    assert len(sv2("server", "list", "--group", "web").splitlines()) == 2
    assert "vm1 (" in sv2("group", "show", "default") and "02:00:00:00:00:99" in sv2("server", "show", "vm2")


def test_server_set_and_delete(sv2):
    sv2("server", "create", "--region", "SV2", "--name", "vm1", "--port", port(1), "--port", port(2))
    sv2("group", "create", "--region", "SV2", "--name", "web")
    before = sv2.server("vm1")
    sv2("server", "set", "vm1", "--name", "vm9", "--group", "web")
    after = sv2.server("vm9")
    assert after["security_groups"] == [sv2.group("web")["id"]] and after["id"] == before["id"]
    # The port with the same MAC address stays that port, the other one goes, a new one comes.
    sv2("server", "set", "vm9", "--port", port(2, ip="10.0.0.22"), "--port", port(3))
    after = sv2.server("vm9")
    assert after["ports"][0]["id"] == before["ports"][1]["id"] and after["ports"][0]["ips"] == ["10.0.0.22"]
    assert after["ports"][1]["id"] not in [one["id"] for one in before["ports"]]
    sv2("server", "set", "vm9", "--no-groups", "--no-ports")
    after = sv2.server("vm9")
    assert after["security_groups"] == [] and after["ports"] == []
    assert "nothing passes" in sv2("server", "show", "vm9")
    error = sv2.refused("server", "set", "vm9", "--port", "mac=zz,bridge=1,port=x")
    assert "\n  ports[0].mac: " in error and "\n  ports[0].bridge: " in error
    assert "Deleted server vm9" in sv2("server", "delete", "vm9")
    sv2.refused("server", "delete", "vm9")


def test_refused_with_holders(sv2):
    for number in (1, 2):
        sv2("server", "create", "--region", "SV2", "--name", f"vm{number}", "--port", port(number))
    error = sv2.refused("group", "delete", "default")
    assert all(f"in use by server vm{number} ({sv2.server(f'vm{number}')['id']})" in error for number in (1, 2))
    problem = json.loads(sv2.refused("--json", "group", "delete", "default"))
    assert problem["status"] == 409 and len(problem["in_use_by"]) == 2


def test_blocked_where_nobody_looks(sv2):
    sv2("server", "create", "--region", "SV2", "--name", "vm1")
    assert sv2("blocked", "vm1") == "Nothing was blocked lately.\n"
    sv2("region", "set", "SV2", "--report-blocked", "off")
    assert sv2("blocked", "vm1") == "Blocked attempts are not reported in region SV2: sallyport region set SV2 --report-blocked on\n"
    assert sv2.json("blocked", "vm1")["blocked"] == []


def test_bridges(sv2):
    assert sv2("bridge", "list") == "No bridges.\n"
    assert sv2("bridge", "set", DPID, "--uplink", "eth1", "--uplink", "eth2").startswith(
        f"Bridge {DPID} (not connected now) has the uplinks eth1, eth2: ")
    assert sv2.json("bridge", "show", DPID)["uplinks"] == ["eth1", "eth2"]
    lines = sv2("bridge", "list").splitlines()
    assert len(lines) == 2 and DPID in lines[1] and "eth1, eth2" in lines[1]
    assert "has no uplinks: " in sv2("bridge", "set", DPID, "--no-uplinks")
    assert sv2.json("bridge", "show", DPID)["uplinks"] == []
    shown = sv2("bridge", "show", DPID)
    assert DPID in shown and "none known" in shown
    sv2("server", "create", "--region", "SV2", "--name", "vm1", "--port", port(1))
    assert "in use by server vm1" in sv2.refused("bridge", "delete", DPID)
    sv2("server", "delete", "vm1")
    assert "Deleted bridge" in sv2("bridge", "delete", DPID)
    for dpid in ("zz", "1", ".."):
        sv2.refused("bridge", "set", dpid, "--uplink", "a")
        sv2.refused("bridge", "show", dpid)


# Questions.


def test_changes(sv2):
    sv2("group", "create", "--region", "SV2", "--name", "web", "--template", "none")
    sv2("rule", "add", "web", "inbound", "tcp", "8080", "--description", "panel")
    sv2("group", "set", "web", "--description", "front")
    group = sv2.group("web")["id"]
    listed = sv2("change", "list", "--object", group).splitlines()
    assert listed[0].split() == ["CHANGE", "TIME", "WHO", "WHAT"]
    assert [" ".join(line.split()[2:]) for line in listed[1:]] == ["- group web changed", "- rule added to group web", "- group web created"]
    numbers = [line.split()[0] for line in listed[1:]]
    assert f"There are older ones: --before {numbers[1]}" in sv2("change", "list", "--region", "SV2", "--limit", "2")
    assert sv2("change", "list", "--object", group, "--before", numbers[1]).splitlines()[1].startswith(numbers[2])
    shown = sv2("change", "show", numbers[1])
    assert f"Change {numbers[1]}: rule added to group web\n" in shown and "8080" in shown and "panel" in shown
    assert "rules as they are:" in shown and "rules as they were:" not in shown
    assert '    description:  -> front\n' in sv2("change", "show", numbers[0])
    assert f"security_group web ({group}): created\n" in sv2("change", "show", numbers[2])
    assert sv2.json("change", "show", numbers[2])["objects"][0]["before"] is None
    assert sv2("change", "list", "--object", "nobody") == "No changes.\n"
    assert "no such change" in sv2.refused("change", "show", "999999")
    told = sv2("rule", "add", "web", "inbound", "udp", "53", "--dry-run")
    assert told.startswith("Nothing is changed.  It would be: rule added to group web\n") and "Servers concerned: 0\n" in told
    assert "udp" in told and len(sv2.group("web")["rules"]) == 1 and "No connected bridge is concerned.\n" in told
    assert told.endswith("Live connections that would be cut: 0\n")
    assert sv2.json("group", "create", "--region", "SV2", "--name", "new", "--dry-run")["result"]["name"] == "new"
    assert sv2("region", "create", "X1", "--dry-run").startswith("Nothing is changed.  It would be: region X1 created\n")
    assert "X1" not in sv2("region", "list")
    said = sv2("region", "create", "X2", "--confirm-within", "600")
    trial = re.search(r"It is taken back in 600 seconds unless: sallyport change confirm (\d+)\n", said)[1]
    assert "unless confirmed" in sv2("change", "list") and "pending, by " in sv2("change", "show", trial)
    status = sv2("status")
    assert re.search(rf"On trial until \S+Z: region X2 created\.  To keep it: sallyport change confirm {trial}\n", status), status
    assert [line.split()[0] for line in sv2("change", "list", "--pending").splitlines()] == ["CHANGE", trial]
    assert sv2("change", "confirm", trial) == f"Change {trial} stays.\n"
    assert "On trial" not in sv2("status") and sv2("change", "list", "--pending") == "No changes.\n"
    assert "unless confirmed" not in sv2("change", "list")
    assert sv2("change", "undo", numbers[1]).startswith(f"Undid change {numbers[1]}: in force on every connected bridge (revision ")
    assert not sv2.group("web")["rules"] and "(undone by " in sv2("change", "list", "--object", group)
    assert "already" in sv2.refused("change", "undo", numbers[1])


def test_explain(sv2):
    sv2("server", "create", "--region", "SV2", "--name", "vm1", "--port", port(1))
    said = sv2("explain", "vm1", "inbound", "tcp", "8888", "--remote", "203.0.113.9")
    assert said.startswith("deny: vm1 inbound tcp 8888, remote 203.0.113.9\n") and "reason" in said
    said = sv2("explain", "vm1", "inbound", "tcp", "22", "--remote", "203.0.113.9")
    rule = next(rule for rule in sv2.group("default")["rules"] if rule["port_min"] == 22)
    assert said.startswith("allow: ") and rule["id"] in said and "default" in said
    assert sv2.json("explain", "vm1", "inbound", "icmp", "8/0", "--remote", "203.0.113.9")["verdict"] == "allow"
    assert sv2.json("explain", "vm1", "inbound", "udp", "--remote", "fd00::9")["verdict"] == "deny"
    # PORT is the destination's: of the other side for an outbound connection.
    sv2("group", "create", "--region", "SV2", "--name", "dns", "--template", "none")
    sv2("rule", "add", "dns", "outbound", "udp", "53")
    sv2("server", "set", "vm1", "--group", "dns")
    for number, verdict in ((53, "allow"), (54, "deny")):
        answer = sv2.json("explain", "vm1", "outbound", "udp", number, "--local-port", "40000", "--remote", "10.0.0.53")
        assert answer["verdict"] == verdict
    error = sv2.refused("explain", "vm1", "inbound", "any", "--remote", "10.0.0.0/8")
    assert "\n  protocol: " in error and "\n  remote_ip: " in error
    sv2.refused("explain", "vm9", "inbound", "tcp", "1", "--remote", "10.0.0.1")


def test_status(sv2):
    out = sv2("status")
    assert out.startswith("No bridges yet (revision 1, Sallyport ") and "ovs-vsctl set-controller" in out
    assert sv2.json("status")["revision"] == 1
    sv2("bridge", "set", DPID, "--no-uplinks")
    assert [line.split()[:2] for line in sv2("status").splitlines()[1:]] == [["STATE", "DPID"], ["away", DPID]]


def bridge(number, **fields):
    return {"dpid": f"{number:016x}", "name": f"br{number}", "connected": True, "peer": "tcp:192.0.2.1:1", "version": "OpenFlow 1.5",
            "uplinks": [], "ports": [], "flows": {"desired": 9, "installed": 9}, "revision": 7, "last_error": None, **fields}


AWAY = {"connected": False, "peer": None, "version": None}
WRONG = {"last_error": "a rule\nthat the switch refused"}


@pytest.mark.parametrize("bridges, pending, n_refused, verdict, states", [
    ([{}], [], 0, "Well: everything is in force on 1 bridge (", ["well"]),
    ([{}] * 5, [], 0, "Well: everything is in force on all 5 bridges (", ["well"] * 5),
    ([{}, AWAY, {}, WRONG, {}], [1, 2], 0, "Not well: of 5 bridges 1 is away, 1 has an error, 1 has not confirmed yet (",
     ["well", "away", "pending", "error", "well"]),
    ([{}], [], 2, "Not well: of 1 bridge 2 connections were refused (", ["well"]),
    ([{}] * 1000, [], 0, "Well: everything is in force on all 1000 bridges (", []),
    ([{}] * 990 + [AWAY] * 8 + [WRONG] * 2, [0], 0,
     "Not well: of 1000 bridges 8 are away, 2 have an error, 1 has not confirmed yet (", ["pending"] + ["away"] * 8 + ["error"] * 2),
    ([AWAY] * 1000, [], 0, "Not well: of 1000 bridges 1000 are away (", ["away"] * 20)])
def test_status_in_a_second(tmp_path, bridges, pending, n_refused, verdict, states):
    """The first line says it; at most twenty bridges follow, those in trouble if there are more."""
    made = [bridge(number, **fields) for number, fields in enumerate(bridges)]
    body = json.dumps({"version": "1.0", "revision": 7, "bridges": made, "pending": [made[number]["dpid"] for number in pending],
                       "refused": [{"peer": "tcp:192.0.2.9:5", "reason": "old", "at": "2026-01-01T00:00:00Z"}] * n_refused}).encode()
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        child = subprocess.Popen([SALLYPORT, "--url", f"unix:{path}", "status"], stdout=subprocess.PIPE, text=True)
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            out, _ = child.communicate(timeout=30)
    assert child.returncode == 0 and out.startswith(verdict) and out.count("\x1b") == 0
    lines = out.splitlines()[1:]
    assert lines[:n_refused] == ["  refused tcp:192.0.2.9:5: old"] * n_refused
    rows = [line.split()[0] for line in lines[n_refused:] if line.startswith("  ")]
    assert rows == (["STATE"] if states else []) + states
    assert ("sallyport bridge list shows all" in lines[-1]) == (len(bridges) > 20) and len(lines) <= 23


def test_json_is_the_answer(sv2, daemon):
    for words, path in ((("region", "list"), "/v1/regions"), (("bridge", "list"), "/v1/bridges"), (("status",), "/v1/status")):
        for place in range(len(words) + 1):
            assert json.loads(sv2(*words[:place], "--json", *words[place:])) == daemon.client().get(path).json
    made = sv2.json("group", "create", "--region", "SV2", "--name", "web")
    assert made == daemon.client().get(f"/v1/security-groups/{made['id']}").json
    assert sv2("--json", "group", "delete", "web") == ""


def test_environment(daemon):
    urls = (f"unix:{daemon.socket}", f"http://{daemon.address}", f"http://{daemon.address}/")
    for url in urls:
        assert sallyport("status", env={"SALLYPORT_URL": url})[0].startswith("No bridges yet (")
        # No proxy is asked, and the command line wins over the environment.
        env = {"SALLYPORT_URL": "unix:/nonexistent", "http_proxy": "http://127.0.0.1:1", "ALL_PROXY": "http://127.0.0.1:1"}
        sallyport("--url", url, "status", env=env)


def test_token(make_daemon, tmp_path):
    daemon = make_daemon(token="se.cr-et_1").start()
    url = f"unix:{daemon.socket}"
    _, error = sallyport("--url", url, "status", status=1)
    assert error.startswith("sallyport: ") and "--token-file" in error
    for text, status in (("se.cr-et_1\n", 0), ("se.cr-et_1", 0), ("wrong", 1), ("", 2), ("\n", 2), ("a\tb", 2), ("x" * 5000, 2),
                         ("se.cr-et_1\r\nX: y", 0)):
        file = tmp_path / "token"
        file.write_text(text)
        sallyport("--url", url, "--token-file", file, "status", status=status)
        _, error = sallyport("--url", url, "status", status=status, env={"SALLYPORT_TOKEN_FILE": str(file)})
        assert "se.cr-et_1" not in error and "xxxx" not in error


def test_wait(sv2):
    sv2("region", "create", "A", "--wait", "0")
    assert "wait" in sv2.refused("region", "create", "B", "--wait", "61")


def test_saved_but_not_confirmed(sv2, daemon):
    """A switch that is connected and does not answer: the change is saved, and said to be not in force."""
    with Ovs() as switch:
        switch.add_bridge("br0", int(DPID, 16), [f"unix:{daemon.openflow}"])
        switch.add_port("br0", "vm1", switch.add_host("vm1"), mac="02:00:00:00:00:01")
        sv2("server", "create", "--region", "SV2", "--name", "vm1", "--port", port(1))
        wait_until(lambda: sv2.server("vm1")["ports"][0]["state"] == "active", "the port is active")
        assert sv2("status").startswith("Well: everything is in force on 1 bridge (")
        os.kill(switch.pid(), signal.SIGSTOP)
        try:
            out = sv2("rule", "add", "default", "inbound", "tcp", "80", "--wait", "1")
            revision = sv2.json("status")["revision"]
            assert out.endswith(f": saved (revision {revision}), not yet confirmed by: {DPID}.\n")
            _, error = sallyport("--url", sv2.url, "--json", "rule", "add", "default", "inbound", "tcp", "81", "--wait", "0")
            assert error == f"saved (revision {revision + 1}), not yet confirmed by: {DPID}.\n"
            assert sv2("status").startswith("Not well: of 1 bridge 1 has not confirmed yet (")
        finally:
            os.kill(switch.pid(), signal.SIGCONT)
        wait_until(lambda: sv2("status").startswith("Well: "), "all is in force")
        lines = sv2("bridge", "show", DPID).splitlines()
        assert any(line.split() == ["1", "vm1", "server", "vm1"] for line in lines)
