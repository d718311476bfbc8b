#!/usr/bin/python3
"""Replaces a group's list of 300 to 3,000 rules again and again under traffic.

    tests/truth/run_replacements.py [--seed N] [--lists N]
"""

import argparse
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lab import Lab  # noqa: E402
import policy  # noqa: E402
from canaries import Canaries  # noqa: E402
from probe import Prober  # noqa: E402


def replace_lists(lab, prober, seed, n):
    """Returns counts and what went wrong."""
    canaries = Canaries(lab, prober, seed)
    while canaries.count["lists"] < n and not canaries.wrong:
        canaries.replace(min(canaries.rng.choice((1, 1, 1, 2, 4)), n - canaries.count["lists"]))
        canaries.check_judge()
    return canaries.count, canaries.wrong


def main():
    parser = argparse.ArgumentParser(description="Replaces lists of rules under traffic.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lists", type=int, default=1000)
    options = parser.parse_args()
    begin = time.monotonic()
    with Lab(policy.World()) as lab:
        # Megaflows are changed rather than deleted, however slow the machine.
        lab.switch.vsctl("set", "Open_vSwitch", ".", "other_config:max-revalidator=60000", "other_config:min-revalidate-pps=1")
        lab.register()
        prober = Prober(lab)
        count, wrong = replace_lists(lab, prober, options.seed, options.lists)
        prober.close()
    print("\n".join(wrong))
    print(f"seed {options.seed}: {dict(count)}, {len(wrong)} wrong, {time.monotonic() - begin:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
