"""Lists of rules are replaced while canaries sing: no packet that both the old and the new list allow is lost, none that both
deny passes.

Between two servers of the group that changes there are two verdicts, the sender's and the receiver's.  On one bridge they are those
of one list.  On two bridges a packet that its sender might send by the old list only may meet a receiver that takes it by the new
list only.  Such packets are counted."""

import threading
from collections import Counter, namedtuple

import packets
import policy
import rounds
import verdict
from policy import Probe
from rule_lists import FLIPPING, Lists, judge
from stream import Stream
from verdict import NUMBERS

N_FRESH, N_LIVE = 320, 60
SPORT_FIRST, SPORT_LAST = 10000, 60000
GUARDED = ("s2", "s4", "s5", "s6", "s8")  # Their group is the one that changes; the others' allow everything.

# A packet of `probe`'s connection; questions: those of the list that decide about it, by their places.
Key = namedtuple("Key", "probe stage is_answer questions")


class Canaries:
    def __init__(self, lab, prober, seed):
        self.lab, self.prober, self.world = lab, prober, lab.world
        self.rng = policy.new_random(seed)
        self.count, self.wrong = Counter(), []
        self._prepare_groups()
        self.lists = Lists(self.rng, [self.group, self.open_group])
        self.questions, self._place = [], {}
        self.stream = Stream(lab, prober)
        self._sport = self.rng.randint(SPORT_FIRST, SPORT_LAST)
        self.group.rules = self.lists.rules
        for thing in self.world.groups + self.world.servers:
            lab.apply(thing)
        lab.await_datapath()
        lab.forget_connections()
        self._prepare_traffic()
        self.now = self._verdicts()
        self.drops = self.stream.dropped()

    def _prepare_groups(self):
        world = self.world
        for group in world.groups:
            group.rules = [{"direction": direction, "protocol": "any"} for direction in ("inbound", "outbound")]
        self.group, self.open_group = [group for group in world.groups if group.region == "SV2"][:2]
        other = next(group for group in world.groups if group.region != "SV2")
        for server in world.servers:
            server.groups = [other if server.region != "SV2" else self.group if server.name in GUARDED else self.open_group]

    def _ask(self, *question):
        if question not in self._place:
            self._place[question] = len(self.questions)
            self.questions.append(question)
        return self._place[question]

    def _key(self, probe, stage="open", is_answer=False):
        what = (probe.protocol, probe.dport, probe.icmp_type, probe.icmp_code)
        asked = []
        if probe.source.server and self.group in probe.source.server.groups:
            asked.append(self._ask("outbound", probe.target_ip, *what))
        if probe.target.server and self.group in probe.target.server.groups:
            asked.append(self._ask("inbound", probe.source_ip, *what))
        return Key(probe, stage, is_answer, tuple(asked))

    def _verdicts(self):
        """What the list of now says of each question."""
        return judge(self.group.rules, self.questions, self.world.servers)

    def check_judge(self):
        """The quick evaluator says what the contract's does."""
        for key in self.rng.sample(self.keys, 40):
            assert all(self.now[i] for i in key.questions) == verdict.connection_allowed(key.probe, self.world.servers)

    # Traffic.

    def _connections(self, kinds):
        """Every connection that a guarded server may have which the list's subjects speak of."""
        found = []
        for source, target in self.world.pairs():
            if not any(end.server and self.group in end.server.groups for end in (source, target)):
                continue
            for subject, (kind, _) in self.lists.kinds.items():
                judged = target if subject.direction == "inbound" else source
                if kind not in kinds or not judged.server or self.group not in judged.server.groups:
                    continue
                version = {"icmp": 4, "icmpv6": 6}.get(subject.protocol) or self.rng.choice((4, 6))
                kind_of_ping = {"icmp": 8, "icmpv6": 128}.get(subject.protocol, -1)
                found.append(Probe(source, target, source.sources(version)[0], target.sources(version)[0], NUMBERS[subject.protocol], 0,
                                   max(0, subject.port), kind_of_ping, 0 if kind_of_ping >= 0 else -1, None))
        return found

    def _next_sport(self):
        self._sport = SPORT_FIRST if self._sport >= SPORT_LAST else self._sport + 1
        return self._sport

    def _task(self, key):
        def make():
            probe = key.probe
            if key.stage == "open":
                probe = probe._replace(sport=self._next_sport())
            number = self.prober.number()
            return key, number, packets.frame(probe, key.stage, key.is_answer, number)

        return make

    def _prepare_traffic(self):
        everything = self._connections(("steady", "shifting", FLIPPING))
        fresh = [self._key(probe) for probe in policy.choose(self.rng, everything, N_FRESH)]
        live = [self._key(probe, "data") for probe in policy.choose(self.rng, self._open(everything), N_LIVE)]
        self.keys = fresh + live + [key._replace(is_answer=True) for key in live]
        self.rng.shuffle(self.keys)
        for key in self.keys:
            end = key.probe.target if key.is_answer else key.probe.source
            self.stream.tasks.setdefault(end, []).append(self._task(key))

    def _open(self, everything):
        """Connections that are allowed, opened."""
        servers = self.world.servers
        allowed = [probe for probe in policy.choose(self.rng, everything, N_LIVE * 6) if verdict.connection_allowed(probe, servers)]
        opened = [probe._replace(sport=self._next_sport()) for probe in policy.choose(self.rng, allowed, N_LIVE)]
        judge_ = rounds.Judge(self.lab, self.prober)
        for stage in ("open", "data"):
            for is_answer in (False, True):
                judge_.expect([(probe, stage, is_answer, True) for probe in opened])
        assert not judge_.mismatches, rounds.report("setup", self.world, judge_.mismatches)
        return opened

    # Changes.

    def replace(self, n):
        """`n` lists, one right after the other, under traffic; then the last one alone."""
        requests, versions = [], [self.now]
        for _ in range(n):
            what = self.lists.step()
            self.group.rules = self.lists.rules
            self.count[what.split(",")[0]] += 1
            requests.append((what, self.lab.request_of(self.group)))
            versions.append(self._verdicts())
        failed = []

        def change():
            try:
                for _, request in requests:
                    self.lab.daemon.change(*request)
                self.lab.await_datapath()
            except BaseException as error:  # Goes to the caller, below.
                failed.append(error)

        thread = threading.Thread(target=change, daemon=True)
        thread.start()
        while thread.is_alive():
            self.stream.turn()
        thread.join()
        if failed:
            raise failed[0]
        self.now = versions[-1]
        note = "; ".join(what for what, _ in requests)
        self._look(versions, note)
        self.stream.round()
        self._look([self.now], "after " + note)
        self.count["lists"] += n

    def _look(self, versions, note):
        """Judges what was sent while `versions` were in force one after the other."""
        lost, leaked, mixed = [], [], []
        for key, came in self.stream.take():
            # Each end's verdict is that of one of the lists.
            ends = [{version[i] for version in versions} for i in key.questions]
            may = all(True in verdicts for verdicts in ends)
            must = all(verdicts == {True} for verdicts in ends)
            target = key.probe.source if key.is_answer else key.probe.target
            self.count["packets"] += 1
            self.count["live" if key.stage == "data" else "fresh"] += 1
            self.count["both allow" if must else "one allows" if may else "both deny"] += 1
            if came == [(target, True)]:
                if not may:
                    leaked.append((key, came))
                elif not any(all(version[i] for i in key.questions) for version in versions):
                    if key.probe.source.bridge == key.probe.target.bridge:
                        mixed.append((key, came))
                    else:
                        self.count["sender by one list, receiver by another, across bridges"] += 1
            elif came:
                leaked.append((key, came))
            elif must:
                lost.append((key, came))
        rounds_drops = self.stream.dropped()
        dropped = sum(rounds_drops.values()) - sum(self.drops.values())
        self.count["dropped by the machine"] += dropped
        self.drops = rounds_drops
        if lost and len(lost) <= dropped:
            self.count["lost, the machine having dropped as many"] += len(lost)
            lost = []
        self.count["lost"] += len(lost)
        self.count["leaked"] += len(leaked)
        self.count["mixed"] += len(mixed)
        for what, found in (("lost", lost), ("leaked", leaked), ("sender by one list, receiver by another,", mixed)):
            self.wrong += [f"{note}: {what} {key.probe} {key.stage}{' answer' if key.is_answer else ''} "
                           f"{[[version[i] for version in versions] for i in key.questions]} {came}" for key, came in found[:5]]
        if self.prober.unmarked:
            self.wrong.append(f"{note}: unmarked {self.prober.unmarked[:3]}")
        self.prober.clear()
