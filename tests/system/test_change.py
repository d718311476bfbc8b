"""Changes under live connections: exactly those that the new rules do not allow stop, at once and both ways; all others lose
nothing.  The marks are retired here as the daemon retires them: those of a rule that no longer matches what it matched, and of
every allowing rule that a new or wider refusal might precede."""

import dataclasses
import ipaddress
import itertools
import random
import threading

import pytest

from bridges import Rule, two_servers
from ovs import wait_until
from packets import ELSEWHERE, FAMILIES, OUTSIDE, Tcp, udp


@pytest.fixture(scope="module")
def bridge(ovs):
    with two_servers(ovs) as net:
        yield net


@pytest.fixture
def net(bridge):
    """The bridge with a in set 1, b in set 2, and no connection."""
    for number, port in enumerate(bridge.ports.values(), 1):
        port.set = number
    bridge.forget_connections()
    return bridge


def both_ways(net, connection):
    """Sends one segment each way on an established connection to a; returns whether each arrived."""
    ask, answer = connection.segment(True, "PA", b"q"), connection.segment(False, "PA", b"r")
    got = net.wire.exchange(("up", bytes(ask))), net.wire.exchange(("a", bytes(answer)))
    return "a" in got[0], "up" in got[1]


def establish(net, *connections):
    for connection in connections:
        for from_client, frame in connection.handshake():
            assert net.reached("up" if from_client else "a", frame)


@pytest.mark.parametrize("family", FAMILIES)
def test_revoked_connection_stops_both_ways(net, a, family):
    ssh, web = Rule("in", "allow", "tcp", (22, 22)), Rule("in", "allow", "tcp", (80, 81))
    net.rules(1, ssh, web)
    net.rules(2)
    net.apply()
    shell, page, other = (Tcp(OUTSIDE, a, port, sport=40000 + port, family=family) for port in (22, 80, 81))
    establish(net, shell, page, other)
    net.rules(1, web)
    net.apply()
    assert both_ways(net, shell) == (False, False)
    assert both_ways(net, page) == both_ways(net, other) == (True, True)
    web.ports = (80, 80)  # Narrowed: page is judged anew and goes on, other stops.
    net.retire(web)
    net.rules(1, web)
    net.apply()
    assert both_ways(net, other) == (False, False)
    assert both_ways(net, page) == (True, True)
    net.rules(1, web, ssh)  # Allowed again: goes on where it stood.
    net.apply()
    assert both_ways(net, shell) == (True, True)
    assert both_ways(net, other) == (False, False)


def test_a_new_refusal_on_top(net, a):
    allow = Rule("in", "allow", "tcp", (80, 90))
    net.rules(1, allow)
    net.rules(2)
    net.apply()
    near, far = Tcp(OUTSIDE, a, 80), Tcp(ELSEWHERE, a, 80)
    establish(net, near, far)
    net.retire(allow)
    net.rules(1, allow, Rule("in", "deny", "tcp", remote="198.51.100.0/24"))
    net.apply()
    assert both_ways(net, far) == (False, False)
    assert both_ways(net, near) == (True, True)


def test_another_rule_still_allows(net, a):
    one, two = Rule("in", "allow", "tcp", (80, 80)), Rule("in", "allow", "tcp", (1, 1000), priority=200)
    net.rules(1, one, two)
    net.rules(2)
    net.apply()
    page = Tcp(OUTSIDE, a, 80)
    establish(net, page)
    net.rules(1, two)
    net.apply()
    for _ in range(3):
        assert both_ways(net, page) == (True, True)


def test_port_moves_to_another_set(net, a):
    net.rules(1, Rule("in", "allow", "tcp", (22, 22)), Rule("in", "allow", "tcp", (80, 80)))
    net.rules(2, Rule("in", "allow", "tcp", (22, 22)))
    net.apply()
    shell, page = Tcp(OUTSIDE, a, 22), Tcp(OUTSIDE, a, 80, sport=41000)
    establish(net, shell, page)
    net.ports["a"].set = 2
    net.apply()
    assert both_ways(net, shell) == (True, True)
    assert both_ways(net, page) == (False, False)
    net.ports["a"].set = 0
    net.apply()
    assert both_ways(net, shell) == (False, False)


@pytest.mark.parametrize("family", FAMILIES)
def test_member_leaves_a_remote_group(net, a, b, family):
    rule = Rule("in", "allow", "udp", remote=[2])
    net.rules(1, rule)
    net.rules(2, Rule("out", "allow"))
    net.rules(3, Rule("out", "allow"))
    net.apply()
    question, answer = udp(b, a, 53, family=family), udp(a, b, 40000, sport=53, family=family)
    assert net.reached("b", question) == ["a"]
    assert net.reached("a", answer) == ["b"]
    net.ports["b"].set = 3
    net.retire(rule)
    net.rules(1, rule)
    net.apply()
    assert net.reached("b", question) == []
    assert net.reached("a", answer) == []


def test_server_to_server_revoked_at_either_end(net, a, b):
    out, into = Rule("out", "allow", "udp"), Rule("in", "allow", "udp")
    question, answer = udp(a, b, 53), udp(b, a, 40000, sport=53)
    for number, rule in ((1, out), (2, into)):
        net.rules(1, out)
        net.rules(2, into)
        net.apply()
        assert net.reached("a", question) == ["b"]
        assert net.reached("b", answer) == ["a"]
        net.rules(number)
        net.apply()
        assert net.reached("a", question) == []
        assert net.reached("b", answer) == []
        net.retire(rule)


def test_others_lose_nothing_meanwhile(net, a):
    """Changes go on in a thread while a connection talks; every one of its segments arrives.  None begins before it has talked since
    the last one."""
    kept, coming = Rule("in", "allow", "tcp", (22, 22)), Rule("in", "allow", "udp", (1000, 1999))
    net.rules(1, kept)
    net.rules(2)
    net.apply()
    shell = Tcp(OUTSIDE, a, 22)
    establish(net, shell)
    failures, rounds = [], 0

    def change():
        try:
            for i in range(6):
                wait_until(lambda i=i: rounds > 2 * i, "the connection talks between two changes", 60)
                coming.ports = (1000 + i, 1999 - i)
                coming.remote = "any" if i % 2 else "203.0.113.0/24"
                net.retire(coming)
                if i == 3:
                    net.retire(kept)  # Judged anew, in the middle of talking.
                net.rules(1, *([kept, coming] if i % 3 else [coming, kept]))
                net.apply()
        except Exception as error:  # Shown below: a thread's exception would be lost.
            failures.append(error)

    thread = threading.Thread(target=change)
    thread.start()
    while thread.is_alive():
        assert both_ways(net, shell) == (True, True), rounds
        rounds += 1
    thread.join()
    assert not failures and rounds > 10


def allows(rules, direction, protocol, remote, port):
    """The verdict, straight from its definition."""
    best = None
    for rule in rules:
        if (rule.direction == direction and rule.protocol in ("any", protocol) and
                (rule.ports[0] < 0 or rule.ports[0] <= port <= rule.ports[1]) and
                (rule.remote == "any" or ipaddress.ip_address(remote) in ipaddress.ip_network(rule.remote))):
            standing = rule.priority, rule.action == "allow"
            best = min(best, standing) if best else standing
    return bool(best and best[1])


def random_rule(rng):
    protocol = rng.choice(["any", "udp", "udp", "tcp"])
    low = rng.choice([50, 53, 54, 60, 100])
    return Rule(rng.choice(["in", "in", "out"]), rng.choice(["allow", "allow", "deny"]), protocol,
                (low, low + rng.choice([0, 1, 7, 50])) if protocol != "any" and rng.random() < 0.7 else (-1, -1),
                rng.choice(["any", "203.0.113.0/24", "0.0.0.0/0", "198.51.100.7/32", "2001:db8:ff::/48", "::/0"]), rng.choice([50, 100, 100, 200]))


def change_rules(rng, net, rules):
    """One random edit, with the marks that it makes doubtful retired."""
    rules = list(rules)
    what = rng.choice(["add", "add", "remove", "edit"]) if rules else "add"
    if what == "add":
        rules.insert(rng.randrange(len(rules) + 1), random_rule(rng))
        touched = rules
    elif what == "remove":
        gone = rules.pop(rng.randrange(len(rules)))
        touched = [] if gone.action == "allow" else rules
    else:
        at = rng.randrange(len(rules))
        rules[at] = dataclasses.replace(random_rule(rng), slot=rules[at].slot)
        touched = rules
    for rule in touched:
        if rule.mark:
            net.retire(rule)
    net.rules(1, *rules)
    return rules


@pytest.mark.parametrize("seed", range(3))
def test_random_changes_under_traffic(net, a, seed):
    """After each change every connection, old or new, is judged by the rules as they are now, whoever sends on it."""
    rng = random.Random(seed)
    net.rules(1)
    net.rules(2)
    net.apply()
    rules, opened = [], set()
    for step in range(12):
        rules = change_rules(rng, net, rules)
        net.apply()
        for peer, port, family, direction in itertools.product((OUTSIDE, ELSEWHERE), (53, 57, 61, 99), FAMILIES, ("in", "out")):
            client, server, sport = (peer, a, 40000) if direction == "in" else (a, peer, 41000)
            question, answer = udp(client, server, port, sport=sport, family=family), udp(server, client, sport, sport=port, family=family)
            here, there = ("up", "a") if direction == "in" else ("a", "up")
            allowed = allows(rules, direction, "udp", peer.ip if family == 4 else peer.ip6, port)
            where = (seed, step, direction, port, question.summary(), rules)
            assert net.reached(here, question) == [there] * allowed, where
            if allowed:
                opened.add((peer.ip, port, family, direction))
            if (peer.ip, port, family, direction) in opened:  # Else the answer would be a question of its own.
                assert net.reached(there, answer) == [here] * allowed, where
