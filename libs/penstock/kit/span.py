"""Spans of OpenTelemetry as the services see them: one interface, and behind it nothing unless spans are exported.

What is exported is made in `kit/otlp.py`; nothing here imports OpenTelemetry.
"""

import os
from enum import Enum
from types import TracebackType
from typing import Self

from msgspec.structs import replace

from penstock.contracts.meta import Meta
from penstock.kit.trace import child

SpanValue = str | bool | int | float | tuple[str, ...]


class Kind(Enum):
    """Which side of what a span is of; the names are OpenTelemetry's."""

    INTERNAL = "INTERNAL"
    SERVER = "SERVER"
    CLIENT = "CLIENT"
    CONSUMER = "CONSUMER"


class Span:
    """Something that is under way while the block runs. `meta` is for all that is done below it. This one tells nobody.

    `tell` adds an attribute. Never a prompt, an argument, a result, a key or a header's value: whoever reads spans
    may not be who may read those.
    """

    __slots__ = ("meta",)

    def __init__(self, meta: Meta) -> None:
        self.meta = meta

    def tell(self, name: str, value: SpanValue) -> None:
        """One more attribute; the last value of a name holds."""

    def fail(self, error_type: str) -> None:
        """It failed although the block will end without an exception."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends it; a Failure's code, or another exception's type, is its error.type."""


class Tracer:
    """Where spans begin. This one exports none. Ask `on` before working out what only a span would tell."""

    on = False

    def entry(self, name: str, kind: Kind, meta: Meta) -> Span:
        """What came from elsewhere: it has a span id of its own in `meta.traceparent`, exported or not."""
        return Span(below(meta))

    def span(self, name: str, kind: Kind, meta: Meta) -> Span:
        """A part of it: without an exporter, no span and the same `meta`."""
        return Span(meta)

    async def close(self, timeout_s: float) -> None:
        """Sends what has ended, within the time."""


UNTRACED = Tracer()


def below(meta: Meta) -> Meta:
    """The same context, one span further down; without a usable trace, in a new one."""
    random = os.urandom(24).hex()
    return replace(meta, traceparent=child(meta.traceparent, random[:32], random[32:]))
