"""Random stunts of evasion.py: none arrives, none opens a way for the normal denied packet after it, none closes it for an allowed
one.  SALLYPORT_EVASIONS and SALLYPORT_SEED make the run another; a failure names its batch's seed."""

import itertools
import os
import random

import evasion
import pytest
import rounds
from policy import Probe
from test_evasions import narrow_rules  # noqa: F401  The same rules: UDP 53 and TCP 80 from s2 to s1.

SEED = int(os.environ.get("SALLYPORT_SEED", "1"))
STUNTS = int(os.environ.get("SALLYPORT_EVASIONS", "600"))
BATCH = 30
FIRST_NUMBER = 0x8080  # No marker may look like an open port to whom reads it in a wrong place.


def one_batch(lab, prober, ends, seed, sports):
    """Returns what went wrong, in words, how many frames were sent, and how many arrived because they may."""
    rng = random.Random(f"evasion {seed}")
    pair = (ends.me, ends.to)
    maker = evasion.Maker(rng, *pair, ends.ips, prober.number, sports)
    stunts = [maker.stunt() for _ in range(BATCH)]
    frames = [frame for stunt in stunts for frame in stunt.frames]
    prober.exchange(frames)
    wrong, legal = [], 0
    for stunt in stunts:
        arrived = [(end.name, frame) for number in stunt.numbers for end, frame in prober.arrivals.pop(number, [])]
        legal += bool(arrived)
        if arrived and not (stunt.judge and stunt.judge([frame for _, frame in arrived])):
            wrong.append(f"{stunt.name}: arrived: " + ", ".join(f"{name} {frame.hex()}" for name, frame in arrived[:3]))
    numbers = {}

    def marker(stunt):
        number = prober.number()
        numbers[number] = stunt
        return evasion.packets.marker(number)

    denied = [frame for stunt in stunts for frame in evasion.plain_frames(pair, ends.ips, stunt.plain, lambda stunt=stunt: marker(stunt))]
    prober.exchange(denied)
    for number, stunt in numbers.items():
        if number in prober.arrivals:
            wrong.append(f"{stunt.name}: a normal denied packet followed it through")
            del prober.arrivals[number]
    judge = rounds.Judge(lab, prober)
    judge.expect([(Probe(*pair, *ends.ips[version], protocol, next(sports), evasion.OPEN[protocol], -1, -1, None), "open", False, True)
                  for version in (4, 6) for protocol in evasion.OPEN])
    rounds.check_unmarked(judge)
    wrong += [f"{mismatch.stage}: {mismatch.seen} {mismatch.note}" for mismatch in judge.mismatches]
    return wrong, len(frames) + len(denied), legal


def test_random_stunts(lab, prober, narrow_rules):  # noqa: F811
    while prober.number() < FIRST_NUMBER:
        pass
    ports = itertools.cycle(range(32768, 60000))
    sent, legal, failures = 0, 0, []
    for seed in range(SEED, SEED + (STUNTS + BATCH - 1) // BATCH):
        wrong, n_sent, n_legal = one_batch(lab, prober, narrow_rules, seed, ports)
        sent, legal = sent + n_sent, legal + n_legal
        failures += [f"seed {seed}: {line}" for line in wrong]
        if len(failures) > 20:
            break
    print(f"{STUNTS} stunts from seed {SEED}, {sent} frames, {legal} with something open in them that arrived, {len(failures)} failures")
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("arrived, fine", (([evasion.CLOSED], False), ([evasion.OPEN], True), ([], True), ([evasion.OPEN, evasion.CLOSED], False)))
def test_the_judge_of_overlaps(arrived, fine):
    def frame(ports):
        return b"\0" * 12 + b"\x08\0" + evasion.struct.pack("!BBHHHBBH8x", 0x45, 0, 40, 1, 0x2000, 64, 17, 0) + \
            evasion.struct.pack("!HHHH", 1, ports[evasion.UDP], 20, 0)

    assert evasion.Maker.no_closed_header([frame(ports) for ports in arrived]) == fine
