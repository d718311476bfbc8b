"""Exact revocation: exactly the conversations that the rules no longer allow stop, in both directions and with the errors about
them, and go on when the rules allow them again.  run_live.py does it for longer."""

import os

import policy
import pytest
import revocation

SEED = int(os.environ.get("SALLYPORT_SEED", "1"))
CONVERSATIONS = 1200


@pytest.fixture(scope="module")
def rng():
    return policy.new_random(SEED)


@pytest.fixture(scope="module")
def conversations(lab, rng):
    running = revocation.start(lab, rng, CONVERSATIONS)
    yield running
    running.close()


@pytest.mark.parametrize("way", revocation.WAYS)
def test_exactly_what_is_revoked_stops(conversations, rng, way):
    report = conversations.revoke(rng, way)
    assert report is not None, f"seed {SEED}: no edit of this way revokes anything"
    print(report)
    assert not report.wrong, f"seed {SEED}: {report}; dropped by the machine: {conversations.drops()}\n" + "\n".join(report.wrong[:10])
