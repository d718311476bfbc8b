"""Lists of 300 to 3,000 rules that follow one another, and what they say about the canaries.

A canary is a connection whose verdict the lists express in ever other ways: "allow" as a port, as a range that begins or ends
there, as an exception from a refusal above or below, for each half of all addresses; "deny" as no rule at all, as a refusal above an
allowance or beside it, as a hole between two ranges, as an allowance for somebody else.  Were a change carried out by halves, the
rules that go and those that come would between them say something that neither list says.
"""

import bisect
import ipaddress
from collections import defaultdict, namedtuple

import verdict
from verdict import ICMP, ICMPV6, NUMBERS

RULES_MIN, RULES_MAX = 300, 3000
PROTOCOLS = ("tcp", "udp")
PINGS = ("icmp", "icmpv6")
PINGED = {"icmp": 8, "icmpv6": 128}
FILLER_FIRST, FILLER_LAST = 20000, 64000
STEADY, SHIFTING, FLIPPING = "steady", "shifting", "flipping"

# What a list of rules is asked about: `port` is -1 for a ping.
Subject = namedtuple("Subject", "direction protocol port")
NOBODY = ("192.0.2.0/24", "2001:db8:ffff::/48")


def _net(text):
    return ipaddress.ip_network(text)


def _rule(subject, action="allow", priority=100, low=None, high=None, **more):
    rule = {"direction": subject.direction, "action": action, "priority": priority, "protocol": subject.protocol, **more}
    if subject.port >= 0:
        rule["port_min"] = subject.port if low is None else low
        rule["port_max"] = subject.port if high is None else high
    return rule


def _halves(subject):
    nets = {"icmp": ("0.0.0.0/1", "128.0.0.0/1"), "icmpv6": ("::/1", "8000::/1")}.get(
        subject.protocol, ("0.0.0.0/1", "128.0.0.0/1", "::/0"))
    return [_rule(subject, remote_ip=_net(net)) for net in nets]


def _allowing(subject):
    port = subject.port
    ways = [
        [_rule(subject)],
        [_rule(subject, priority=7)],
        _halves(subject),
        [_rule(subject, priority=299), _rule(subject, "deny", 300)],
    ]
    if port >= 0:
        ways += [
            [_rule(subject, priority=200, low=port - 1)],
            [_rule(subject, priority=10, high=port + 1)],
            [_rule(subject, "deny", 400, port - 3, port + 3), _rule(subject, priority=399)],
        ]
    else:
        kind = PINGED[subject.protocol]
        ways += [[_rule(subject, icmp_type=kind)], [_rule(subject, icmp_type=kind, icmp_code=0)]]
    return ways


def _denying(subject):
    port = subject.port
    nobody = _net(NOBODY[subject.protocol == "icmpv6"])
    ways = [
        [],
        [_rule(subject, "deny", 50), _rule(subject)],
        [_rule(subject, "deny"), _rule(subject)],
        [_rule(subject, remote_ip=nobody)],
        [_rule(subject, "deny", 1), _rule(subject, priority=2), *_halves(subject)],
    ]
    if port >= 0:
        ways += [
            [_rule(subject, low=port - 2, high=port - 1), _rule(subject, low=port + 1, high=port + 2)],
            [_rule(subject, "deny", 1, port - 3, port + 3), _rule(subject, low=port - 1, high=port + 1)],
        ]
    else:
        ways.append([_rule(subject, icmp_type=PINGED[subject.protocol] ^ 1)])
    return ways


class Lists:
    """One list after the other, for one group.  `groups`: whom rules may name as remote group."""

    def __init__(self, rng, groups):
        self._rng, self._groups = rng, groups
        self.kinds = {}  # Subject -> (STEADY, SHIFTING or FLIPPING, allowed to begin with)
        port = 1000
        for kind, allowed, n in ((STEADY, True, 2), (SHIFTING, True, 6), (SHIFTING, False, 6), (FLIPPING, True, 4)):
            for _ in range(n):
                port += 10
                for direction in ("inbound", "outbound"):
                    for protocol in PROTOCOLS:
                        self.kinds[Subject(direction, protocol, port)] = (kind, allowed)
        for protocol in PINGS:
            self.kinds[Subject("inbound", protocol, -1)] = (SHIFTING, True)
            self.kinds[Subject("outbound", protocol, -1)] = (FLIPPING, True)
        self._canary_rules = {}
        self._filler, self._seen = [], set()
        for subject in self.kinds:
            self._express(subject)
        self._resize(rng.randint(RULES_MIN, 1000))
        self.rules = []
        self._compose()

    def _express(self, subject):
        kind, allowed = self.kinds[subject]
        if kind == STEADY and subject in self._canary_rules:
            return
        if kind == FLIPPING:
            allowed = self._rng.random() < 0.5
        self._canary_rules[subject] = self._rng.choice(_allowing(subject) if allowed else _denying(subject))

    def _new_filler(self):
        rng = self._rng
        while True:
            low = rng.randint(FILLER_FIRST, FILLER_LAST)
            rule = {"direction": rng.choice(("inbound", "outbound")), "action": "deny" if rng.random() < 0.3 else "allow",
                    "priority": rng.choice((1, 50, 100, 100, 1000)), "protocol": rng.choice(("tcp", "udp", "udp", "sctp")),
                    "port_min": low, "port_max": low + rng.choice((0, 0, 0, 1, 7, 100))}
            remote = rng.random()
            if remote < 0.3:
                rule["remote_ip"] = ipaddress.ip_network((f"10.{rng.randint(20, 40)}.{rng.randint(0, 255)}.0", 24))
            elif remote < 0.35:
                rule["remote_group"] = rng.choice(self._groups)
            key = tuple(sorted((name, str(value)) for name, value in rule.items()))
            if key not in self._seen:
                self._seen.add(key)
                return rule

    def _resize(self, total):
        wanted = max(0, total - sum(len(rules) for rules in self._canary_rules.values()))
        self._rng.shuffle(self._filler)
        del self._filler[wanted:]
        while len(self._filler) < wanted:
            self._filler.append(self._new_filler())

    def _compose(self):
        """The rules that stay keep their places; others come anywhere between them."""
        wanted = [rule for rules in self._canary_rules.values() for rule in rules] + self._filler
        ids = {id(rule) for rule in wanted}
        kept = [rule for rule in self.rules if id(rule) in ids]
        there = {id(rule) for rule in kept}
        for rule in wanted:
            if id(rule) not in there:
                kept.insert(self._rng.randint(0, len(kept)), rule)
        self.rules = kept

    def step(self):
        """Makes the next list of `rules`; returns what was done."""
        rng = self._rng
        what = rng.choices(("same", "add", "remove", "reorder", "express", "replace"), (1, 2, 2, 1, 5, 1))[0]
        size = len(self._filler)
        if what == "add":
            self._filler += [self._new_filler() for _ in range(min(rng.randint(1, 200), max(1, RULES_MAX - len(self.rules) - 100)))]
        elif what == "remove":
            rng.shuffle(self._filler)
            del self._filler[:min(rng.randint(1, 200), max(0, size - RULES_MIN))]
        elif what == "reorder":
            rng.shuffle(self.rules)
        elif what in ("express", "replace"):
            share = rng.choice((0.1, 0.5, 1.0))
            for subject in self.kinds:
                if rng.random() < share:
                    self._express(subject)
            if what == "replace":
                self._filler, self._seen = [], set()
                self._resize(rng.choice((RULES_MIN, RULES_MAX, rng.randint(RULES_MIN, RULES_MAX))))
        self._compose()
        return f"{what}, {len(self.rules)} rules"


def judge(rules, questions, servers):
    """What `rules` say of each (direction, remote, protocol, port, icmp_type, icmp_code) of `questions`: a list of booleans.
    Each rule is tried on all questions that its ports let come into question."""
    sorted_by = defaultdict(list)
    for i, (direction, _, protocol, port, _, _) in enumerate(questions):
        sorted_by[direction, protocol].append((port, i))
    for bucket in sorted_by.values():
        bucket.sort()
    best = [None] * len(questions)
    for rule in rules:
        protocol = NUMBERS[rule["protocol"]]
        bucket = sorted_by.get((rule["direction"], protocol), ())
        first, last = 0, len(bucket)
        if protocol not in (ICMP, ICMPV6):
            first = bisect.bisect_left(bucket, (rule["port_min"], -1))
            last = bisect.bisect_right(bucket, (rule["port_max"], len(questions)))
        for _, i in bucket[first:last]:
            if verdict.matches(rule, *questions[i][1:], servers):
                standing = (rule["priority"], rule["action"] != "deny")
                if best[i] is None or standing < best[i]:
                    best[i] = standing
    return [standing is not None and standing[1] for standing in best]
