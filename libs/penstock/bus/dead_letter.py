"""Dead letters: a full copy of a message that could not be handled, with the reason, kept for a person to look at."""

from penstock.bus.body import Bodies
from penstock.bus.headers import failure_headers
from penstock.bus.jetstream import JetStream, Record
from penstock.contracts import meta as names
from penstock.contracts.endpoint import Consumer
from penstock.contracts.errors import Failure
from penstock.contracts.subjects import DEAD_LETTER

SUBJECT = "Penstock-Dead-Subject"
CONSUMER = "Penstock-Dead-Consumer"
SEQUENCE = "Penstock-Dead-Sequence"
DELIVERIES = "Penstock-Dead-Deliveries"

_VALUE_MAX = 512
_KEPT = (
    names.REQUEST,
    names.TENANT,
    names.TRACEPARENT,
    names.DEADLINE,
    names.IDEMPOTENCY_KEY,
    names.JOB,
    names.STEP,
    names.EPOCH,
    names.EVENT_ID,
    names.BLOB,
)
"""No token among them: a dead letter is read by people and outlives every token."""


class DeadLetters:
    """Writes to the dead-letter stream."""

    def __init__(self, jetstream: JetStream, bodies: Bodies) -> None:
        self._jetstream = jetstream
        self._bodies = bodies

    async def put(self, consumer: Consumer, record: Record, reason: Failure, deliveries: int = 0) -> None:
        """Returns when the copy is stored; the same message is copied once. Raises Failure when it cannot be."""
        headers = failure_headers(reason) | {
            SUBJECT: record.subject,
            CONSUMER: consumer.name,
            SEQUENCE: str(record.sequence),
            DELIVERIES: str(deliveries),
        }
        for name in _KEPT:
            value = record.headers.get(name)
            if value:
                headers[name] = "".join(c for c in value[:_VALUE_MAX] if c.isprintable())
        data = record.data
        if not self._bodies.small(data):
            headers |= await self._bodies.check_in(data)
            data = b""
        store = consumer.store.name
        await self._jetstream.store(
            DEAD_LETTER.at(store=store), data, headers, f"dead-{store}-{consumer.name}-{record.sequence}"
        )
