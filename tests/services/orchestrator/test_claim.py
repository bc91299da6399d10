"""Who carries out a run: the table."""

import pytest

from penstock.contracts.runs import Blocked, Completed
from services.orchestrator.claim import Verdict, verdict
from services.orchestrator.fold import RunState, fold
from tests.services.orchestrator.test_fold import CREATED, RAW, claimed, done, journal

FRESH = fold(journal(CREATED))
THEIRS = fold(journal(CREATED, claimed(1, "w2")))
MINE = fold(journal(CREATED, claimed(1, "me")))
ENDED = fold(journal(CREATED, claimed(1, "w2"), Completed(n=2, time=12.0, output=RAW)))
BLOCKED = fold(journal(CREATED, claimed(1, "w2"), Blocked(n=2, time=12.0, reason="poison")))
VAIN = fold(journal(CREATED, *(claimed(n) for n in range(1, 6))))
SLOW = fold(journal(CREATED, *(claimed(n) for n in range(1, 5)), done(5, "a"), claimed(6)))


@pytest.mark.parametrize(
    ("run", "changed", "expected"),
    [
        (RunState(), {}, Verdict.GONE),
        (ENDED, {}, Verdict.OVER),
        (ENDED, {"kind": "cancel"}, Verdict.OVER),
        (FRESH, {}, Verdict.CLAIM),
        (FRESH, {"knows_revision": False}, Verdict.LACKS),
        (FRESH, {"knows_revision": False, "kind": "cancel"}, Verdict.CLAIM),
        (FRESH, {"knows_revision": False, "now": 100.0}, Verdict.CLAIM),
        (MINE, {}, Verdict.CLAIM),
        (THEIRS, {}, Verdict.ASK_OWNER),
        (THEIRS, {"kind": "cancel"}, Verdict.ASK_OWNER),
        (THEIRS, {"now": 100.0}, Verdict.ASK_OWNER),
        (THEIRS, {"owner_gone": True}, Verdict.CLAIM),
        (THEIRS, {"owner_gone": True, "knows_revision": False}, Verdict.LACKS),
        (VAIN, {"owner_gone": True}, Verdict.POISON),
        (VAIN, {"owner_gone": True, "kind": "cancel"}, Verdict.CLAIM),
        (SLOW, {"owner_gone": True}, Verdict.CLAIM),
        (BLOCKED, {}, Verdict.OVER),
        (BLOCKED, {"kind": "cancel"}, Verdict.CLAIM),
    ],
)
def test_what_is_done_with_an_input(run: RunState, changed: dict[str, object], expected: Verdict) -> None:
    found = verdict(
        run,
        str(changed.get("kind", "start")),
        me="me",
        knows_revision=bool(changed.get("knows_revision", True)),
        owner_gone=bool(changed.get("owner_gone", False)),
        claims_max=5,
        now=99.0 if "now" not in changed else 100.0,
    )
    assert found is expected
