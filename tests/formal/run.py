#!/usr/bin/python3
"""The long run of the formal check: random policies, each on the real switch through the real daemon, then proved.

    tests/formal/run.py [--seed N] [--policies N] [--edits N] [--bridges N] [--limit-s N]

Policies N, N+1, ...; after each so many random edits, with a proof after every one, in which connections of before may live on.
--bridges 1 or 2 proves only so many of the three bridges of each policy, in turn.  Exit status 1 if there is a counter-example."""

import argparse
import sys
import time

from bench import Lab, policy, told_bridge, told_policy, wake
from prove import Prover


def prove(lab, prover, names):
    """Returns the number of ports that were proved."""
    told, n = told_policy(lab), 0
    for name in names:
        bridge = told_bridge(lab, name)
        prover.prove(told, bridge)
        n += len(bridge.servers) + len(bridge.uplinks)
    return n


def main():
    parser = argparse.ArgumentParser(description="Proves flows and policies equal, or names a packet.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--policies", type=int, default=200)
    parser.add_argument("--edits", type=int, default=1)
    parser.add_argument("--bridges", type=int, default=3, choices=(1, 2, 3))
    parser.add_argument("--limit-s", type=int, help="begin no further policy after so many seconds")
    options = parser.parse_args()
    begin, cpu = time.monotonic(), time.process_time()
    policies = proofs = ports = questions = found = edits = 0
    with Lab(policy.World()) as lab:
        lab.register()
        names = sorted(lab.world.bridges)
        for seed in range(options.seed, options.seed + options.policies):
            if options.limit_s and time.monotonic() - begin > options.limit_s:
                break
            rng = policy.new_random(seed)
            policy.randomize(rng, lab.world)
            wake(lab)
            lab.apply_all()
            prover = Prover()
            chosen = [names[(seed + i) % len(names)] for i in range(options.bridges)]
            history = ["the policy"]
            for edit in range(options.edits + 1):
                if edit:
                    thing, what = policy.mutate(rng, lab.world)
                    wake(lab)
                    lab.apply(thing)
                    history.append(what)
                    edits += 1
                ports += prove(lab, prover, chosen)
                proofs += len(chosen)
                if prover.counter_examples:
                    break
            policies += 1
            questions += prover.count
            found += len(prover.counter_examples)
            print(f"seed {seed}: {', '.join(chosen)}: {prover.count} questions, {len(prover.counter_examples)} counter-examples, "
                  f"{time.monotonic() - begin:.0f} s", flush=True)
            for example in prover.counter_examples[:5]:
                print(f"    {example}\n    after: {history[-1]}")
            if prover.counter_examples:
                print(policy.describe(lab.world))
    print(f"seeds {options.seed} to {options.seed + policies - 1}: {policies} policies, {edits} edits, {proofs} dumps of bridges, "
          f"{ports} ports, {questions} questions, {found} counter-examples; {time.monotonic() - begin:.0f} s, "
          f"{time.process_time() - cpu:.0f} s of CPU")
    return 1 if found or not policies else 0


if __name__ == "__main__":
    sys.exit(main())
