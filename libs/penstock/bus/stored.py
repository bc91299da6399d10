"""What a listener, a reader or a follower gets: a stored message with its typed body."""

from typing import Generic, TypeVar

from penstock.bus.body import Bodies
from penstock.bus.codec import decode
from penstock.bus.jetstream import MESSAGE_ID, Record

Body = TypeVar("Body")


class Stored(Generic[Body]):
    """`sequence` is the place in the stream, `time` when it was stored (Unix seconds)."""

    __slots__ = ("body", "sequence", "subject", "time")

    def __init__(self, sequence: int, time: float, subject: str, body: Body) -> None:
        self.sequence = sequence
        self.time = time
        self.subject = subject
        self.body = body

    def __repr__(self) -> str:
        return f"Stored({self.sequence}, {self.subject!r}, {self.body!r})"


def is_foreign(record: Record) -> bool:
    """Whether none of our verbs stored it: they all give an id. A client that may publish to one stream can have the
    broker's acknowledgement, which has no headers, stored by another: it names that stream's subject as its inbox."""
    return MESSAGE_ID not in record.headers


async def open_record(kind: type[Body], record: Record, bodies: Bodies) -> Stored[Body]:
    """Decodes one record. Raises Failure INVALID, and NOT_FOUND when a large body's time is over."""
    body = decode(kind, await bodies.of(record.message))
    return Stored(record.sequence, record.time, record.subject, body)
