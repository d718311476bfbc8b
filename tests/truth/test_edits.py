"""What the running daemon's edits leave is what a fresh daemon makes: the short run.  SALLYPORT_SEED chooses another."""

import os

import run_edits

SEED = int(os.environ.get("SALLYPORT_SEED", "1"))


def test_incremental_equals_full_after_each_edit():
    count, difference = run_edits.edit_and_compare(SEED, 40, 2)
    print(dict(count))
    assert difference is None, difference
    assert count["accepted"] > 20 and count["comparisons"] == 20 and count["flows compared"] > 1000
