"""What to do with an input, by what the run's journal says. Pure: the one table of who carries out a run, and when."""

from enum import Enum, auto

from services.orchestrator.fold import RunState


class Verdict(Enum):
    """`OVER`: the run needs nothing more; `ASK_OWNER`: somebody else has it, if they live; `LACKS`: this worker does
    not know the run's revision; `POISON`: it was claimed again and again and came no further; `CLAIM`: take it."""

    GONE = auto()
    OVER = auto()
    ASK_OWNER = auto()
    LACKS = auto()
    POISON = auto()
    CLAIM = auto()


def verdict(
    run: RunState, kind: str, *, me: str, knows_revision: bool, owner_gone: bool, claims_max: int, now: float
) -> Verdict:
    """`kind` is the input's; `owner_gone` that the last owner was found to be no more."""
    if run.created is None:
        return Verdict.GONE
    if run.end is not None:
        return Verdict.OVER
    ends_it = kind == "cancel" or now >= run.created.deadline
    if run.blocked is not None:
        return Verdict.CLAIM if ends_it else Verdict.OVER
    if run.worker not in ("", me) and not owner_gone:
        return Verdict.ASK_OWNER
    if ends_it:
        return Verdict.CLAIM  # whoever it is: nothing is replayed
    if run.claims_in_vain >= claims_max:
        return Verdict.POISON
    return Verdict.CLAIM if knows_revision else Verdict.LACKS
