#!/usr/bin/python3
"""The long run of the truth tests, and the replay of a failure.

    tests/truth/run.py [--seed N] [--policies N] [--changes N]     policies N, N+1, ...
    tests/truth/run.py --replay SEED                               that policy alone, stops at the first mismatch
"""

import argparse
import os
import sys
import time
from collections import Counter

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import boundaries  # noqa: E402
import policy  # noqa: E402
import rounds  # noqa: E402
from lab import Lab  # noqa: E402
from probe import Prober  # noqa: E402

STOP_MS, PASS_MS = "latest to stop, ms", "latest to pass, ms"
SPORT_FIRST, SPORT_LAST = 20011, 59999


def sport_of(seed, step=0):
    """A source port for each round, far enough from that of the rounds before."""
    return SPORT_FIRST + (seed * 101 + step * 7) % (SPORT_LAST - SPORT_FIRST)


def one_policy(lab, prober, seed, changes):
    """A random policy on a lab that may have had others before.  Returns counts and mismatches."""
    rng = policy.new_random(seed)
    judge = rounds.Judge(lab, prober)
    policy.randomize(rng, lab.world)
    lab.apply_all()
    lab.await_datapath()
    probes = boundaries.boundary_probes(rng, lab.world, sport_of(seed))
    rounds.open_round(judge, rng, probes, sport_of(seed))
    judge.count["policies"] += 1
    kept = None
    for change in range(changes):
        if judge.mismatches:
            break
        if kept is None or kept.is_too_old():
            kept = rounds.Kept(judge, rng, sport_of(seed, change + 1))
        thing, what = policy.mutate(rng, lab.world)
        lab.apply(thing)
        kept.step()
        judge.count["changes"] += 1
        if judge.mismatches:
            print(f"after change {change}: {what}")
    for passes, key in ((False, STOP_MS), (True, PASS_MS)):
        judge.count[key] = round(judge.latest_s[passes] * 1000)
    return judge.count, judge.mismatches


def main():
    parser = argparse.ArgumentParser(description="Compares what passes with what the rules say.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--policies", type=int, default=20)
    parser.add_argument("--changes", type=int, default=6, help="changes with live connections, per policy")
    parser.add_argument("--replay", type=int, metavar="SEED")
    options = parser.parse_args()
    seeds = [options.replay] if options.replay is not None else range(options.seed, options.seed + options.policies)
    total, failures = Counter(), 0
    begin = time.monotonic()
    with Lab(policy.World()) as lab:
        lab.register()
        prober = Prober(lab)
        for seed in seeds:
            count, mismatches = one_policy(lab, prober, seed, options.changes)
            latest = {key: max(total[key], count[key]) for key in (STOP_MS, PASS_MS)}
            total += count
            total.update({key: latest[key] - total[key] for key in latest})
            failures += len(mismatches)
            if mismatches:
                print(rounds.report(seed, lab.world, mismatches))
            else:
                print(f"seed {seed}: {dict(count)}", flush=True)
        prober.close()
    print(f"{dict(total)}, {failures} mismatches, {time.monotonic() - begin:.0f} s, seeds {seeds[0]} to {seeds[-1]}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
