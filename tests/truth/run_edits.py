#!/usr/bin/python3
"""Random edits, and after each, or each so many, a fresh daemon's flows to compare with.

    tests/truth/run_edits.py [--seed N] [--edits N] [--every K]
"""

import argparse
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from edits import Estate  # noqa: E402


def edit_and_compare(seed, n, every):
    """Returns counts and a text if something differs."""
    with Estate(seed) as estate:
        for i in range(n):
            estate.edit()
            if (i + 1) % every == 0 or i + 1 == n:
                difference = estate.compare()
                if difference:
                    return estate.count, f"seed {seed}, after edit {i + 1}: {difference}\n" + "\n".join(estate.history[-2 * every:])
        drift = estate.daemon.metric("drift_repaired_total")
        return estate.count, f"seed {seed}: {drift} flows were mended as drift" if drift else None


def main():
    parser = argparse.ArgumentParser(description="Edits at random and compares the flows with a fresh daemon's.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--edits", type=int, default=10000)
    parser.add_argument("--every", type=int, default=10, metavar="K", help="compare after each K edits")
    options = parser.parse_args()
    begin = time.monotonic()
    count, difference = edit_and_compare(options.seed, options.edits, options.every)
    print(difference or "")
    print(f"seed {options.seed}: {dict(count)}, {int(difference is not None)} differences, {time.monotonic() - begin:.0f} s")
    return 1 if difference else 0


if __name__ == "__main__":
    sys.exit(main())
