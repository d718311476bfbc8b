"""Undo: a change of its own that takes another one back, whole or not at all."""

import os
import random
import re
import signal

import pytest

from topology.ovs import Ovs, wait_until

RULE = {"direction": "inbound", "protocol": "tcp", "port_min": 80, "port_max": 80}
DPID = "00000000000000c2"
PORTS = 6
STEPS = int(os.environ.get("SALLYPORT_UNDOS", "80"))
SEED = int(os.environ.get("SALLYPORT_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)


def made(answer):
    assert answer.status in (200, 201, 202, 204), answer
    return answer


def undo(api, change, **options):
    return api.post(f"/v1/changes/{change}/undo", **options)


def bare(thing):
    """Without what each change moves on."""
    if isinstance(thing, dict):
        return {key: bare(value) for key, value in thing.items() if key not in ("updated_at", "revision", "flows", "state", "last_error", "peer")}
    return [bare(item) for item in thing] if isinstance(thing, list) else thing


def objects(api):
    return {path: bare(api.get(f"/v1/{path}").json) for path in ("regions", "security-groups", "servers", "bridges")}


def test_a_rule(api, region, group, rules):
    """Added, changed, deleted; each answer is the new change, and the old one says by which it was undone."""
    states = [api.get(rules).json]
    first = made(api.post(rules, RULE))
    states.append(api.get(rules).json)
    second = made(api.patch(f"{rules}/{first.json['id']}", {"port_max": 90, "description": "x"}))
    states.append(api.get(rules).json)
    third = made(api.delete(f"{rules}/{first.json['id']}"))
    for change, state in ((third, states[2]), (second, states[1]), (first, states[0])):
        answer = undo(api, change.revision)
        assert answer.status == 201 and answer.applied and answer.headers["Location"] == f"/v1/changes/{answer.revision}"
        assert answer.json["undoes"] == change.revision and answer.json["id"] == answer.revision
        assert answer.json["what"].startswith(f"change {change.revision} undone: rule ")
        assert api.get(f"/v1/changes/{change.revision}").json["undone_by"] == answer.revision
        assert bare(api.get(rules).json) == bare(state)
        again = undo(api, change.revision)
        assert again.status == 409 and f"undone by change {answer.revision} already" in again.json["detail"]
    # An undoing can be taken back as well: the rule is there again.
    again = undo(api, answer.revision)
    assert again.status == 201 and again.json["what"] == f"change {answer.revision} undone"
    assert bare(api.get(rules).json) == bare(states[1])


def test_what_moved_on(api, region, group, rules, new_server):
    """409 names the object and what of it has changed; nothing is taken back then."""
    rule = made(api.post(rules, RULE))
    made(api.patch(f"{rules}/{rule.json['id']}", {"port_max": 81}))
    name = made(api.patch(f"/v1/security-groups/{group['id']}", {"name": "www", "description": "d"}))
    made(api.patch(f"/v1/security-groups/{group['id']}", {"description": "e"}))
    before = objects(api)
    for change, words in ((rule, "has a rule that has changed since"), (name, "has changed since (description)")):
        refused = undo(api, change.revision)
        assert refused.status == 409 and words in refused.json["detail"] and group["id"] in refused.json["detail"], refused
    assert objects(api) == before
    # What others do beside it does not matter.
    other = made(api.post(rules, dict(RULE, protocol="udp")))
    third = made(api.post(rules, dict(RULE, protocol="sctp")))
    made(undo(api, other.revision))
    assert [one["protocol"] for one in api.get(rules).json["rules"]] == ["tcp", "sctp"]
    # The same meaning has come back under another id.
    gone = made(api.delete(f"{rules}/{third.json['id']}"))
    made(api.post(rules, dict(RULE, protocol="sctp")))
    refused = undo(api, gone.revision)
    assert refused.status == 409 and "would mean the same" in refused.json["detail"]
    made(api.delete(f"/v1/security-groups/{group['id']}"))
    refused = undo(api, name.revision)
    assert refused.status == 409 and "has been deleted since" in refused.json["detail"]


def test_what_holds_it(api, region, group, rules, new_server):
    """A group that a server has by now, or that another's rule names, is not deleted."""
    other = made(api.post("/v1/security-groups", {"region": region, "name": "other"}))
    server = new_server(security_groups=[other.json["id"]])
    refused = undo(api, other.revision)
    assert refused.status == 409 and [holder["id"] for holder in refused.json["in_use_by"]] == [server["id"]]
    # A rule that names a group which has gone is not brought back.
    spare = made(api.post("/v1/security-groups", {"region": region, "name": "spare", "template": "none"})).json["id"]
    rule = made(api.post(rules, {"direction": "inbound", "protocol": "tcp", "remote_group": spare})).json["id"]
    gone = made(api.delete(f"{rules}/{rule}"))
    made(api.delete(f"/v1/security-groups/{spare}"))
    refused = undo(api, gone.revision)
    assert refused.status == 409 and spare in refused.json["detail"], refused


def test_a_group_comes_back_as_it_was(api, region, group, rules):
    """With its id, its rules with theirs, and their order; a rule that names its own group too."""
    made(api.put(rules, {"rules": [dict(RULE, port_min=port, port_max=port) for port in range(1, 30)]}))
    made(api.post(rules, {"direction": "inbound", "protocol": "icmp", "icmp_type": 8, "remote_group": group["id"], "description": "\u20ac"}))
    made(api.post(rules, {"direction": "outbound", "protocol": 47, "remote_ip": "2001:db8::/32", "action": "deny", "priority": 7}))
    before = api.get(f"/v1/security-groups/{group['id']}").json
    gone = made(api.delete(f"/v1/security-groups/{group['id']}"))
    made(undo(api, gone.revision))
    assert bare(api.get(f"/v1/security-groups/{group['id']}").json) == bare(before)


def test_rules_come_back_in_their_order(api, region, group, rules):
    listed = [dict(RULE, port_min=port, port_max=port) for port in range(1, 60)]
    made(api.put(rules, {"rules": listed}))
    states, changes, chance = [], [], random.Random(SEED)
    for step in range(12):
        states.append(bare(api.get(rules).json))
        chance.shuffle(listed) if step % 3 == 0 else None
        for _ in range(5):
            listed.insert(chance.randrange(len(listed)), dict(RULE, priority=chance.randrange(1, 1000)))
            del listed[chance.randrange(len(listed))]
        changes.append(made(api.put(rules, {"rules": listed})).revision)
    for change, state in zip(reversed(changes), reversed(states)):
        made(undo(api, change))
        assert bare(api.get(rules).json) == state, SEED


def test_the_default_swap_comes_back(api, region, new_server):
    first, second = new_server("192.0.2.1"), new_server("192.0.2.2", security_groups=[])
    before = objects(api)
    swap = made(api.post("/v1/security-groups", {"region": region, "name": "all", "default": True}))
    assert api.get(f"/v1/servers/{second['id']}").json["security_groups"] == [swap.json["id"]]
    made(undo(api, swap.revision))
    assert objects(api) == before
    assert api.get(f"/v1/servers/{first['id']}").json["security_groups"] == first["security_groups"]


def test_wrong_calls(api, region):
    assert undo(api, 99999999).status == 404
    change = made(api.post("/v1/security-groups", {"region": region, "name": "x"})).revision
    assert undo(api, change, raw=b'{"a": 1}').status == 422
    assert api.post(f"/v1/changes/{change}/undo?what=x").status == 422
    assert api.post(f"/v1/changes/{change}/undo", {}).status == 201


def test_after_a_kill(daemon):
    """What is read back from the database can be undone like what was not."""
    api = daemon.client()
    made(api.put("/v1/regions/A"))
    group = made(api.post("/v1/security-groups", {"region": "A", "name": "web"})).json["id"]
    before = objects(api)
    change = made(api.delete(f"/v1/security-groups/{group}")).revision
    daemon.process.send_signal(signal.SIGKILL)
    daemon.process.wait()
    daemon.start()
    api = daemon.client()
    made(undo(api, change))
    assert objects(api) == before
    assert api.get(f"/v1/changes/{change}").json["undone_by"] == change + 1


# At random, with a switch.

@pytest.fixture
def switch(daemon):
    with Ovs(dummy=True) as one:
        one.add_bridge("br0", int(DPID, 16), [f"unix:{daemon.openflow}"])
        one.add_dummy_ports("br0", [f"p{number}" for number in range(PORTS)])
        yield one


def flows(switch):
    """What the bridge has, without the numbers that are never used again."""
    listed = []
    for line in switch.ofctl("dump-flows", "br0", "--no-stats").splitlines():
        line = re.sub(r"(cookie|ct_mark|reg\d+|metadata|zone)=\w+(/\w+)?", r"\1=#", line)
        line = re.sub(r"(load|set_field):\w+(/\w+)?->", r"\1:#->", line)
        listed.append(line.strip())
    return sorted(listed)


class Walk:
    """Changes at random of a small world."""

    def __init__(self, api, chance):
        self.api = api
        self.chance = chance

    def groups(self):
        return self.api.get("/v1/security-groups").json["security_groups"]

    def servers(self):
        return self.api.get("/v1/servers").json["servers"]

    def rule(self, groups):
        rule = {"direction": self.chance.choice(["inbound", "outbound"]), "protocol": self.chance.choice(["tcp", "udp", "icmp", "any"]),
                "action": self.chance.choice(["allow", "allow", "deny"]), "priority": self.chance.choice([100, 100, 7])}
        if rule["protocol"] in ("tcp", "udp"):
            low = self.chance.randrange(1, 60000)
            rule.update(port_min=low, port_max=low + self.chance.choice([0, 0, 99]))
        where = self.chance.randrange(3)
        if where == 0:
            rule["remote_ip"] = f"10.{self.chance.randrange(4)}.0.0/16"
        elif where == 1 and groups:
            rule["remote_group"] = self.chance.choice(groups)["id"]
        return rule

    def server(self, groups, number):
        return {"region": "A", "name": f"vm{number}", "security_groups": [group["id"] for group in self.chance.sample(groups, min(2, len(groups)))],
                "ports": [{"mac": f"02:00:00:00:02:{number:02x}", "ips": [f"10.0.0.{number + 1}"], "bridge": DPID, "port": f"p{number}"}]}

    def step(self):
        """One call; it may well be refused."""
        groups, servers = self.groups(), self.servers()
        group = self.chance.choice(groups) if groups else None
        server = self.chance.choice(servers) if servers else None
        what = self.chance.randrange(12)
        if what == 0 or not group:
            return self.api.post("/v1/security-groups", {"region": "A", "name": f"g{self.chance.randrange(100)}",
                                                         "default": self.chance.randrange(4) == 0})
        if what == 1 or not server:
            return self.api.post("/v1/servers", self.server(groups, self.chance.randrange(PORTS)))
        path = f"/v1/security-groups/{group['id']}"
        if what in (2, 3):
            return self.api.post(f"{path}/rules", self.rule(groups))
        if what == 4:
            kept = [{key: value for key, value in rule.items() if key not in ("id", "origin", "created_at", "updated_at")} for rule in group["rules"]]
            self.chance.shuffle(kept)
            return self.api.put(f"{path}/rules", {"rules": kept[:3] + [self.rule(groups) for _ in range(3)]})
        if what in (5, 6) and group["rules"]:
            rule = f"{path}/rules/{self.chance.choice(group['rules'])['id']}"
            return self.api.delete(rule) if what == 5 else self.api.patch(rule, {"priority": self.chance.randrange(1, 1000)})
        if what == 7:
            return self.api.patch(path, {"name": f"g{self.chance.randrange(100)}", "description": "d"})
        if what == 8:
            return self.api.delete(path) if self.chance.randrange(2) else self.api.patch(path, {"default": True})
        if what == 9:
            return self.api.put(f"/v1/servers/{server['id']}/security-groups",
                                {"security_groups": [one["id"] for one in self.chance.sample(groups, self.chance.randrange(len(groups) + 1))]})
        if what == 10:
            return self.api.delete(f"/v1/servers/{server['id']}")
        port = dict(server["ports"][0], ips=[f"10.0.1.{self.chance.randrange(1, 250)}"])
        del port["state"]
        return self.api.patch(f"/v1/servers/{server['id']}", {"ports": [port], "name": f"vm{self.chance.randrange(100)}"})


def test_random_changes_undone_in_reverse(daemon, switch):
    """Each state comes back, object by object and flow by flow."""
    print(f"SALLYPORT_SEED={SEED}")
    api, chance = daemon.client(), random.Random(SEED)
    made(api.put("/v1/regions/A"))
    made(api.put(f"/v1/bridges/{DPID}", {"uplinks": ["p5"]}))
    wait_until(lambda: api.get(f"/v1/bridges/{DPID}").json["connected"] and not api.get("/v1/status").json["pending"], "it is in force")
    walk, states, n_refused = Walk(api, chance), [], 0
    while len(states) < STEPS and n_refused < 10 * STEPS:
        state = (objects(api), flows(switch))
        answer = walk.step()
        n_refused += answer.status >= 400
        assert answer.status < 500 and (answer.status >= 400 or answer.applied), answer
        if answer.status < 300 and api.get(f"/v1/changes/{answer.revision}").status == 200 and (not states or states[-1][0] != answer.revision):
            states.append((answer.revision, state))
    assert len(states) == STEPS
    for change, (before, before_flows) in reversed(states):
        answer = undo(api, change)
        assert answer.status == 201 and answer.applied, (SEED, change, answer, api.get(f"/v1/changes/{change}"))
        assert objects(api) == before, (SEED, change)
        assert flows(switch) == before_flows, (SEED, change)
