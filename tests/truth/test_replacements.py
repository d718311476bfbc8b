"""Lists of 300 to 3,000 rules replaced under traffic: the short run.  SALLYPORT_SEED chooses another."""

import os

import run_replacements

SEED = int(os.environ.get("SALLYPORT_SEED", "1"))


def test_replacing_lists_loses_nothing_and_opens_nothing(lab, prober):
    count, wrong = run_replacements.replace_lists(lab, prober, SEED, 6)
    print(dict(count))
    assert not wrong, f"seed {SEED}: " + "\n".join(wrong)
    # What is never asked proves nothing.
    assert min(count[what] for what in ("both allow", "both deny", "fresh", "live")) > 300
