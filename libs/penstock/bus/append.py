"""Compare-and-append: one message after the last one we know of on its subject, or not at all (design: Append)."""

from collections.abc import Mapping

from penstock.bus.jetstream import EXPECTED_SUBJECT_SEQUENCE, MESSAGE_ID, JetStream, Refused
from penstock.contracts.errors import Code, Failure
from penstock.contracts.meta import EVENT_ID


class Fenced(Failure):
    """Somebody else wrote. `sequence` is the last one on the subject now, 0 when there is none."""

    def __init__(self, subject: str, sequence: int) -> None:
        super().__init__(Code.CONFLICT, f"{subject} was written by somebody else")
        self.sequence = sequence


async def append(
    jetstream: JetStream,
    stream: str,
    subject: str,
    data: bytes,
    headers: Mapping[str, str],
    *,
    expected: int,
    event_id: str,
    budget_s: float | None = None,
) -> int:
    """Stores `data` if `expected` is still the last sequence on `subject` (0: nothing is there); its own sequence.

    Raises Fenced. A lost acknowledgement is resolved by `event_id`, which is fixed before the first try: no message
    is stored twice and none that is stored is taken for refused. Raises DEADLINE when that stays unknown.
    """
    patience = jetstream.patience(budget_s)
    headers = {
        **headers,
        EVENT_ID: event_id,
        MESSAGE_ID: event_id,
        EXPECTED_SUBJECT_SEQUENCE: str(expected),
    }
    while True:
        try:
            return (await jetstream.publish(subject, data, headers, patience.attempt_s)).seq
        except Refused as refused:
            if refused.wrong_sequence:
                # one replica answers a repeated append with this, three with `duplicate`: the leader's word decides
                last = await jetstream.last(stream, subject, patience)
                if last is not None and last.headers.get(EVENT_ID) == event_id:
                    return last.sequence
                raise Fenced(subject, last.sequence if last is not None else 0) from refused
            if refused.full:
                raise
            await patience.after(refused)
        except Failure as failure:
            await patience.after(failure)
