"""Changes and restarts under traffic: nothing that may pass is lost, nothing that may not is let through, at any moment."""

import signal
import threading

import ovs
import policy
import pytest
import rounds
import run
import verdict
from stream import Stream


class Canary:
    """Traffic in both directions of open connections, and openings of refused ones, while something else goes on.  No more is under way
    than the sockets hold (stream.py): what is lost is lost by a decision, however slow the machine is."""

    def __init__(self, judge, passing, refused):
        self.judge, self.prober = judge, judge.prober
        self.stream = Stream(judge.lab, judge.prober)
        self._drops = self.stream.dropped()
        for probe in passing:
            for is_answer in (False, True):
                self._add(probe, "data", is_answer, True)
        for probe in refused:
            self._add(probe, "open", False, False)

    def _add(self, probe, stage, is_answer, expected):
        def make():
            number = self.prober.number()
            return (probe, stage, is_answer, expected), number, rounds.packets.frame(probe, stage, is_answer, number)

        self.stream.tasks.setdefault(probe.target if is_answer else probe.source, []).append(make)

    def run(self, action):
        """Runs `action` in a thread; returns (probe, ...) of what was lost or passed wrongly."""
        failed = []

        def guarded():
            try:
                action()
            except BaseException as error:  # Goes to the caller, below.
                failed.append(error)

        thread = threading.Thread(target=guarded, daemon=True)
        thread.start()
        while thread.is_alive():
            self.stream.turn()
        self.stream.round()  # Each at least once, and behind the last change.
        thread.join()
        if failed:
            raise failed[0]
        taken = self.stream.take()
        wrong = [(*key, came) for key, came in taken if not self.judge._is_right(key[0], key[2], key[3], came)]
        print(f"{len(taken)} canary packets, {len(wrong)} wrong; dropped by the machine before and now: {self._drops}, {self.stream.dropped()}")
        return wrong


def connections(lab, prober, rng, sport, edits):
    """Random probes by their verdicts before and after each of `edits` (as made by policy.mutate).  Returns a judge, those
    that are allowed all along, opened, and those that never are; and the API's requests for the edits."""
    judge = rounds.Judge(lab, prober)
    lab.forget_connections()
    probes = [probe for probe in policy.random_probes(rng, lab.world, sport, n_ports=3) if probe.protocol in rounds.TRACKED]
    always = [probe for probe in probes if verdict.connection_allowed(probe, lab.world.servers)]
    never = [probe for probe in probes if not verdict.connection_allowed(probe, lab.world.servers)]
    opened = policy.choose(rng, always, 300)
    for stage in ("open", "data"):
        for is_answer in (False, True):
            judge.expect([(probe, stage, is_answer, True) for probe in opened])
    assert not judge.mismatches, rounds.report("setup", lab.world, judge.mismatches)
    requests = []
    for _ in range(edits):
        thing, what = policy.mutate(rng, lab.world)
        requests.append((lab.request_of(thing), what))
        opened = [probe for probe in opened if verdict.connection_allowed(probe, lab.world.servers)]
        never = [probe for probe in never if not verdict.connection_allowed(probe, lab.world.servers)]
    return judge, policy.choose(rng, opened, 40), policy.choose(rng, never, 40), requests


def prepared(lab, seed):
    """A random policy under which something passes, with changes to come that leave something passing."""
    rng = policy.new_random(seed)
    policy.randomize(rng, lab.world)
    lab.apply_all()
    return rng


@pytest.mark.parametrize("seed", (101, 102, 103))
def test_changes_lose_nothing_and_open_nothing(lab, prober, seed):
    rng = prepared(lab, seed)
    judge, passing, refused, requests = connections(lab, prober, rng, run.sport_of(seed), edits=12)
    assert passing and refused

    def change():
        for request, _ in requests:
            lab.daemon.change(*request)

    wrong = Canary(judge, passing, refused).run(change)
    assert not wrong, f"seed {seed}: {wrong[:5]}\n" + "\n".join(what for _, what in requests)


@pytest.mark.parametrize("number", (signal.SIGTERM, signal.SIGKILL))
def test_restart_with_nothing_changed_sends_nothing(lab, prober, number):
    seed = 110 + number
    rng = prepared(lab, seed)
    judge, passing, refused, _ = connections(lab, prober, rng, run.sport_of(seed), edits=0)
    assert passing and refused
    before = {name: lab.flows(name) for name in lab.world.bridges}

    def restart():
        status = lab.daemon.end(number)
        assert status == (0 if number == signal.SIGTERM else -number)
        lab.daemon.start()
        lab.await_applied()

    wrong = Canary(judge, passing, refused).run(restart)
    assert not wrong, f"seed {seed}: {wrong[:5]}"
    assert lab.daemon.metric("flow_mods_sent_total") == 0 and lab.daemon.metric("zones_flushed_total") == 0
    assert {name: lab.flows(name) for name in lab.world.bridges} == before


def test_change_that_no_switch_confirmed_before_a_crash(lab, prober):
    """Durable and not yet in the switches when the daemon is killed: the next one brings it there."""
    seed = 120
    rng = prepared(lab, seed)
    policy.randomize(rng, lab.world)
    switch = lab.switch.pid()
    ovs.os.kill(switch, signal.SIGSTOP)
    try:
        for thing in lab.world.groups + lab.world.servers:
            method, path, body = lab.request_of(thing)
            status, answer, headers = lab.daemon.request(method, path + "?wait=0", body)
            assert status in (200, 202), answer
            assert headers["Sallyport-Applied"] == ("true" if status == 200 else "false")
        assert status == 202
        lab.daemon.end(signal.SIGKILL)
    finally:
        ovs.os.kill(switch, signal.SIGCONT)
    lab.daemon.start()
    lab.await_applied()
    judge = rounds.Judge(lab, prober)
    rounds.fresh_round(judge, rng, run.sport_of(seed))
    assert not judge.mismatches, rounds.report(seed, lab.world, judge.mismatches)


def learned(line):
    return "cookie=0x53500800" in line  # SP_COOKIE_LEARNED comes and goes in the switch.


@pytest.mark.parametrize("seed", (130, 131))
def test_incremental_equals_full(lab, seed):
    """After many edits the switches hold the very flows that a daemon brings which starts with empty ones."""
    rng = prepared(lab, seed)
    for _ in range(40):
        thing, _ = policy.mutate(rng, lab.world)
        lab.apply(thing)
    incremental = {name: [line for line in lab.flows(name) if not learned(line)] for name in lab.world.bridges}
    assert lab.daemon.end() == 0
    for name in lab.world.bridges:
        lab.switch.ofctl("del-flows", name)
    lab.daemon.start()
    lab.await_applied()
    for name in lab.world.bridges:
        full = [line for line in lab.flows(name) if not learned(line)]
        extra, missing = set(incremental[name]) - set(full), set(full) - set(incremental[name])
        assert not extra and not missing, f"seed {seed}, {name}: incremental only {sorted(extra)[:5]}, full only {sorted(missing)[:5]}"
