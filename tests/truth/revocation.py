"""Each way of revoking, under conversations by the thousand: exactly those that the rules no longer allow stop.

    running = start(lab, rng, n)
    print(running.revoke(rng, way))

An edit is a list of steps; each changes the world and is one request.  What must pass and what must stop is the evaluator's word
(verdict.py) for the world after each step: a conversation that is allowed after every one of them may lose nothing meanwhile.
"""

import time
from collections import Counter

import policy
import rounds
from traffic import ANSWER, ANSWER_ERROR, DATA, ERROR, N_KINDS, Traffic
from verdict import NUMBERS, SCTP, TCP, UDP, connection_allowed

WAYS = ("remove a rule", "narrow a rule", "put a deny above", "detach a group", "leave a remote group", "swap the default")
PLAIN, RULES, DENIES, OTHER_DEFAULT, MEMBERS = range(policy.GROUPS_PER_REGION)
SHARE_REVOKED_MIN, SHARE_KEPT_MIN = 0.02, 0.15
TRIES = 400
SPORT_FIRST, SPORTS = 20011, 39000


class Step:
    """A group's rules or a server's groups become others."""

    def __init__(self, thing, new):
        self.thing, self.field, self.new = thing, "rules" if isinstance(thing, policy.Group) else "groups", new
        self.old = getattr(thing, self.field)

    def do(self):
        setattr(self.thing, self.field, self.new)

    def request(self, lab):
        return lab.request_of(self.thing)

    def undone(self):
        return [Step(self.thing, self.old)]


class Swap:
    """A group becomes the default of its region, and the only one of all servers there."""

    def __init__(self, world, group):
        self.group, self.servers = group, [server for server in world.servers if server.region == group.region]
        self.old = [server.groups for server in self.servers]

    def do(self):
        for server in self.servers:
            server.groups = [self.group]

    def request(self, lab):
        return "PATCH", f"/v1/security-groups/{self.group.id}", {"default": True}

    def undone(self):
        """Back to the groups of before; the default stays where it is, as a region with servers has one."""
        return [Step(server, old) for server, old in zip(self.servers, self.old)]


def base(rng, world):
    """A policy under which much passes, for different reasons."""
    for region in policy.REGIONS:
        groups = [group for group in world.groups if group.region == region]
        everything = [{"direction": "outbound", "action": "allow", "priority": 100, "protocol": "any"}]
        groups[PLAIN].rules = everything + [
            {"direction": "inbound", "action": "allow", "priority": 100, "protocol": protocol} for protocol in ("icmp", "icmpv6", 47)]
        groups[RULES].rules = [
            {"direction": "inbound", "action": "allow", "priority": rng.choice((90, 100)), "protocol": protocol, "port_min": low,
             "port_max": 65535, "remote_group": groups[MEMBERS]} for protocol, low in (("tcp", 1), ("udp", 1), ("sctp", 1), ("tcp", 80))]
        for protocol in ("tcp", "udp"):
            low = rng.choice((1, 80, 1024))
            groups[RULES].rules.append({"direction": "inbound", "action": "allow", "priority": 100, "protocol": protocol, "port_min": low,
                                        "port_max": low + rng.choice((10, 1000, 30000)), "remote_ip": policy.random_network(rng, world)})
        groups[DENIES].rules = [rule for rule in policy.random_rules(rng, world, region) if rule["action"] == "deny"] + [
            {"direction": "inbound", "action": "allow", "priority": 600, "protocol": "tcp", "port_min": 1, "port_max": 9000},
            {"direction": "inbound", "action": "allow", "priority": 600, "protocol": "udp", "port_min": 1, "port_max": 30000},
            {"direction": "inbound", "action": "allow", "priority": 600, "protocol": 47}]
        groups[OTHER_DEFAULT].rules = everything + [
            {"direction": "inbound", "action": "allow", "priority": 100, "protocol": rng.choice(("udp", "tcp"))},
            {"direction": "inbound", "action": "allow", "priority": 100, "protocol": "icmp"}]
        groups[MEMBERS].rules = []
        for server in world.servers:
            if server.region == region:
                server.groups = [groups[PLAIN]] + [groups[i] for i in (RULES, DENIES, MEMBERS) if rng.random() < 0.7]


def conversations(rng, world, sport, n):
    """Up to `n` probes, each once as conntrack counts them: all but TCP, UDP and ICMP by their addresses alone."""
    found, seen = [], set()
    while len(found) < n:
        before = len(found)
        for probe in policy.random_probes(rng, world, sport, n_ports=4):
            key = (probe.source.domain, frozenset((probe.source_ip, probe.target_ip)), probe.protocol)
            if probe.protocol in rounds.TRACKED:
                key += (probe.source_ip, probe.sport, probe.dport, probe.icmp_type)
            if key not in seen and probe.sport != probe.dport:
                seen.add(key)
                found.append(probe)
        sport += 1
        if len(found) == before:
            break
    rng.shuffle(found)
    return found[:n]


def narrowed(rng, rule):
    """Rules that are a part of `rule`; None: it is as narrow as can be."""
    new = dict(rule)
    if rule.get("port_min", -1) >= 0 and rule["port_min"] < rule["port_max"]:
        middle = (rule["port_min"] + rule["port_max"]) // 2
        new["port_min"], new["port_max"] = rng.choice(((rule["port_min"], middle), (middle + 1, rule["port_max"])))
    elif NUMBERS.get(rule["protocol"]) in (TCP, UDP, SCTP):
        new["port_min"], new["port_max"] = rng.choice(((1, 30000), (400, 65535)))
    elif rule["protocol"] == "any":
        new["protocol"] = rng.choice(("tcp", "udp", "icmp"))
    elif rule.get("remote_ip") is not None and rule["remote_ip"].prefixlen < rule["remote_ip"].max_prefixlen:
        new["remote_ip"] = rng.choice(list(rule["remote_ip"].subnets()))
    else:
        return None
    return new


def candidate(rng, lab, way):
    """A random edit of that way, or None if it came to nothing."""
    world, region = lab.world, rng.choice(policy.REGIONS)
    groups = [group for group in world.groups if group.region == region]
    server = rng.choice([server for server in world.servers if server.region == region])
    if way == "swap the default":
        now = lab.daemon.get(f"/v1/regions/{region}")["default_group"]
        return [Swap(world, rng.choice([groups[i] for i in (OTHER_DEFAULT, PLAIN) if groups[i].id != now]))]
    if way == "leave a remote group":
        rest = [group for group in server.groups if group is not groups[MEMBERS]]
        return [Step(server, rest)] if groups[MEMBERS] in server.groups else None
    if way == "detach a group":
        gone = [group for group in server.groups if group is not groups[MEMBERS]]
        return [Step(server, [group for group in server.groups if group is not rng.choice(gone)])] if gone else None
    group = groups[rng.choice((PLAIN, RULES, DENIES))]
    rules = [rule for rule in group.rules if rule["action"] == "allow"]
    if not rules:
        return None
    rule = rng.choice(rules)
    rest = [other for other in group.rules if other is not rule]
    if way == "remove a rule":
        return [Step(group, rest)]
    if way == "narrow a rule":
        new = narrowed(rng, rule)
        return [Step(group, [new if other is rule else other for other in group.rules])] if new and new not in rest else None
    deny = dict(narrowed(rng, rule) or rule, action="deny", priority=rng.choice((1, rule["priority"])))
    return [Step(group, [deny] + group.rules)] if deny not in group.rules else None


def choose_edit(rng, lab, way, probes):
    """An edit of that way that revokes some of `probes` and leaves others."""
    world = lab.world
    for _ in range(TRIES):
        edit = candidate(rng, lab, way)
        if edit is None:
            continue
        sample = policy.choose(rng, probes, 300)
        allowed = [probe for probe in sample if connection_allowed(probe, world.servers)]
        undo = [step for part in edit for step in part.undone()]
        for step in edit:
            step.do()
        kept = [probe for probe in allowed if connection_allowed(probe, world.servers)]
        for step in undo:
            step.do()
        if len(kept) >= SHARE_KEPT_MIN * len(sample) and len(allowed) - len(kept) >= SHARE_REVOKED_MIN * len(sample):
            return edit
    return None


class Report:
    """What one edit and its undoing did."""

    def __init__(self, way):
        self.way, self.count, self.wrong = way, Counter(), []
        self.answer_ms, self.followed_ms, self.last_packet_ms = 0.0, 0.0, None

    def __str__(self):
        last = "none" if self.last_packet_ms is None else f"{self.last_packet_ms:+.1f} ms"
        return (f"{self.way}: {self.count['revoked']} conversations revoked, {self.count['kept']} kept, {self.count['packets']} packets, "
                f"{self.count['lost']} lost, {self.count['passed on']} passed on; answered in {self.answer_ms:.1f} ms, from then on: "
                f"last packet {last}, datapath looked through {self.followed_ms:+.1f} ms")


class Conversations:
    """Conversations that are opened under the policy of now, and openings that it refuses."""

    def __init__(self, lab, probes):
        self.lab, self.world, self.probes = lab, lab.world, probes
        self.traffic = Traffic(lab, probes)
        self.opened = self._allowed()
        self.refused = set(range(len(probes))) - self.opened
        self._sctp = {number for number in self.opened if probes[number].protocol == SCTP}
        self._indices = [number * N_KINDS + kind for number in sorted(self.opened) for kind in range(N_KINDS)]
        # Of a refused one nothing but its sender's packets: what would be its answer may be the beginning of another.
        self._indices += [number * N_KINDS + DATA for number in sorted(self.refused)]
        self._open(range(len(probes)), DATA)
        self._open(self.opened, ANSWER)

    def _open(self, numbers, kind):
        tally, _ = self.traffic.run([number * N_KINDS + kind for number in numbers], stage="open")
        report = Report("open")
        self._judge(report, tally, self.opened, self.refused, "when opened")
        assert not report.wrong, f"{report.wrong[:10]}\n{self.drops()}\n{policy.describe(self.world)}"

    def close(self):
        self.traffic.close()

    def drops(self):
        return self.traffic.drops()

    def _allowed(self):
        return {number for number, probe in enumerate(self.probes) if connection_allowed(probe, self.world.servers)}

    def during(self, action, when, but=frozenset()):
        """All the traffic while `action`, which changes no verdict, runs.  `but`: conversations that may lose packets meanwhile.
        Returns a Report and the action's result."""
        report, allowed = Report(when), self._allowed()
        tally, result = self.traffic.run(self._indices, action=action)
        # What is sent to an address that nobody here has for the moment goes out by the uplink.
        tally.strange = [(i, end) for i, end in tally.strange if end is not self.world.outside or i // N_KINDS not in but]
        self._judge(report, tally, allowed - but, set(range(len(self.probes))) - allowed, when)
        return report, result

    def refused_indices(self):
        return [number * N_KINDS + DATA for number in sorted(self.refused)]

    def reopened(self, when):
        """Conntrack may have forgotten them all: their senders speak first.  Returns a Report of all the traffic after that."""
        for kind in (DATA, ANSWER):
            self.traffic.run([number * N_KINDS + kind for number in sorted(self.opened)])
        return self.during(None, when)[0]

    def revoke(self, rng, way):
        """Carries out a random edit of that way, and undoes it.  Returns a Report; None if no such edit revokes anything."""
        edit = choose_edit(rng, self.lab, way, [self.probes[number] for number in sorted(self.opened)])
        if edit is None:
            return None
        report = Report(way)
        undo = [step for part in edit for step in part.undone()]
        last = self._change(report, edit, "during the change")
        if last:
            report.last_packet_ms = last
        self._pause(report, "after the change")
        self._change(Report("undo"), undo, "while it is undone", into=report)
        self._pause(report, "after it is undone")
        return report

    def _pause(self, report, when):
        """Everything once, nothing changing."""
        allowed = self._allowed()
        self.traffic.run([number * N_KINDS + kind for number in sorted(self._sctp) for kind in (DATA, ANSWER)])
        tally, _ = self.traffic.run(self._indices)
        self._judge(report, tally, allowed, set(range(len(self.probes))) - allowed, when, errors_of_sctp=True)

    def _change(self, report, steps, when, into=None):
        """Carries out `steps` under traffic.  Returns when the last packet of a revoked conversation came, ms after the answer."""
        before = self._allowed()
        always, ever, requests = before, before, []
        for step in steps:
            step.do()
            requests.append(step.request(self.lab))
            after = self._allowed()
            always, ever = always & after, ever | after

        def act():
            begin = time.time_ns()
            for request in requests:
                self.lab.daemon.change(*request)
            answered = time.time_ns()
            self.lab.await_datapath()
            return begin, answered, time.time_ns()

        tally, (begin, answered, followed) = self.traffic.run(self._indices, action=act)
        self._judge(into or report, tally, always, set(range(len(self.probes))) - ever, when)
        revoked = (before - after) & self.opened - self._unjudged(before - after)
        report.count["kept"], report.count["revoked"] = len(always & self.opened), len(revoked)
        report.answer_ms, report.followed_ms = (answered - begin) / 1e6, (followed - answered) / 1e6
        last = max((tally.last_ns[number * N_KINDS + kind] for number in revoked for kind in range(N_KINDS)), default=0)
        return (last - answered) / 1e6 if last else None

    def _unjudged(self, numbers):
        """SCTP that may be the answer of another association, as the userspace datapath knows no ports of SCTP."""
        return {number for number in numbers
                if self.probes[number].protocol == SCTP and rounds.may_answer_sctp(self.probes[number], self.world.servers)}

    def _judge(self, report, tally, passing, stopped, when, errors_of_sctp=False):
        """All packets of the opened ones of `passing` and none of `stopped` came through.  An error about SCTP shows no ports, so
        that after a change it is let through on the word of the association's next packet only."""
        for number in passing & self.opened:
            for i in range(number * N_KINDS, (number + 1) * N_KINDS):
                if number in self._sctp and i % N_KINDS in (ERROR, ANSWER_ERROR) and not errors_of_sctp:
                    continue
                report.count["packets"] += tally.sent[i]
                if tally.got[i] != tally.sent[i]:
                    report.count["lost"] += tally.sent[i] - tally.got[i]
                    report.wrong.append(f"{when}: {tally.got[i]} of {tally.sent[i]} arrived: {self.traffic.describe(i)}")
        for number in stopped - self._unjudged(stopped):
            for i in range(number * N_KINDS, (number + 1) * N_KINDS):
                report.count["packets"] += tally.sent[i]
                if tally.got[i]:
                    report.count["passed on"] += tally.got[i]
                    report.wrong.append(f"{when}: {tally.got[i]} of {tally.sent[i]} passed: {self.traffic.describe(i)}")
        report.wrong += [f"{when}: arrived at {end}, or changed: {self.traffic.describe(i)}" for i, end in tally.strange]


def start(lab, rng, n):
    """A policy, in force, and `n` conversations under it, opened or refused."""
    base(rng, lab.world)
    lab.apply_all()
    lab.await_datapath()
    lab.forget_connections()
    return Conversations(lab, conversations(rng, lab.world, SPORT_FIRST + rng.randrange(SPORTS), n))
