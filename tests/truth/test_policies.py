"""Random policies, fresh and live connections.  SALLYPORT_SEED and SALLYPORT_POLICIES choose others than the usual few."""

import os

import policy
import pytest
import rounds
import run

SEED = int(os.environ.get("SALLYPORT_SEED", "1"))
POLICIES = int(os.environ.get("SALLYPORT_POLICIES", "6"))


@pytest.mark.parametrize("seed", range(SEED, SEED + POLICIES))
def test_what_passes_is_what_the_rules_say(lab, prober, seed):
    count, mismatches = run.one_policy(lab, prober, seed, changes=4)
    print(dict(count))
    assert not mismatches, rounds.report(seed, lab.world, mismatches)
    # A policy that stops all or lets all through proves little.
    assert count["passed"] > 100 and count["stopped"] > 100


@pytest.mark.parametrize("seed", (SEED, SEED + 1))
def test_explain_says_the_same(lab, seed):
    rng = policy.new_random(seed)
    policy.randomize(rng, lab.world)
    lab.apply_all()
    probes = policy.choose(rng, policy.random_probes(rng, lab.world, 22222), 150)
    for probe in probes:
        for line in rounds.explain(lab, probe):
            here, daemon = line.split(": ", 1)[1].split(", daemon ")
            assert here == "here " + daemon, f"seed {seed}: {probe}: {line}\n{policy.describe(lab.world)}"
