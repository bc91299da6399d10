"""Up to when the audit stream has been heard: what was stored before is in the accounts.

The broker knows: all up to the consumer's acknowledged floor was handled by one of the policy services.
"""

import msgspec

from penstock.bus import Bus
from penstock.contracts.governance import SETTLE_SINK
from penstock.kit.clock import Clock


class _Floor(msgspec.Struct, frozen=True):
    stream_seq: int = 0


class _Sink(msgspec.Struct, frozen=True):
    ack_floor: _Floor
    num_pending: int = 0
    num_ack_pending: int = 0


class Heard:
    """Asks the broker each time."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock

    async def until(self) -> float:
        """Unix seconds, by this machine's clock or the broker's; 0 when it cannot be told. Raises Failure."""
        asked = self._clock.now()
        stream, name = SETTLE_SINK.store.name, SETTLE_SINK.name
        jetstream = self._bus.jetstream
        sink = await jetstream.ask(f"CONSUMER.INFO.{stream}.{name}", {}, _Sink, f"consumer {name}")
        if not sink.num_pending and not sink.num_ack_pending:
            return asked
        floor = sink.ack_floor.stream_seq
        if not floor:
            return 0.0
        records = await jetstream.read(stream, SETTLE_SINK.filter, after=floor - 1, limit=1, up_to=floor)
        return records[0].time if records else 0.0
