"""How one request gets to one deployment and its answer back: as it is where both speak the same protocol, and by way
of the neutral form where they do not. Pure.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol as Interface

from services.router.fault import Fault, FaultKind
from services.router.protocols.fitted import Names, fitted, piece_back, told_back
from services.router.protocols.loss import Loss, Losses
from services.router.protocols.protocol import Body, Protocol, Reader, Shape, Sort, Tap, Target, Told, Writer
from services.router.sse import SseEvent


class Conveyor(Interface):
    """One streamed answer: the provider's events in, the caller's bytes out. See `protocols.protocol.Tap`."""

    done: bool

    @property
    def told(self) -> Told: ...
    @property
    def whole(self) -> bool: ...
    def read(self, event: SseEvent) -> tuple[Sort, bytes]: ...
    def end(self) -> bytes: ...


class Passage(Interface):
    """One request on its way to one target. `wire`: the protocol that the provider is asked in. `names`: what it was
    asked under other names, once the request is written."""

    wire: str
    losses: Losses
    names: Names

    def request(self) -> bytes:
        """What the provider gets. Raises Fault(UNFIT) when it would mean something else."""
        ...

    def answer(self, raw: bytes) -> tuple[bytes, Told]:
        """The provider's whole answer as the caller sees it. Raises Fault."""
        ...

    def conveyor(self) -> Conveyor: ...


class Terms:
    """What the caller said of losses: `report` refuses grave ones, `refuse` any, `accept` none."""

    __slots__ = ("_said",)

    def __init__(self, said: str) -> None:
        self._said = said

    def judge(self, losses: Losses) -> None:
        """Raises Fault(UNFIT) that names the first loss which is not to be had."""
        if self._said == "accept":
            return
        loss: Loss | None = losses.gravest
        if loss is None and self._said == "refuse":
            loss = next(iter(losses.all), None)
        if loss is not None:
            raise Fault(FaultKind.UNFIT, f"{loss.field}: {loss.what}", param=loss.field[:100])


def passage(
    protocols: Mapping[str, Protocol],
    surface: str,
    spoken: Sequence[str],
    body: Body,
    target: Target,
    shape: Shape,
    terms: Terms,
) -> Passage:
    """The way to a deployment that speaks the protocols `spoken`, the one it knows best first."""
    if surface in spoken:
        return Straight(protocols[surface], body, target, shape)
    return Crossing(protocols[surface], protocols[spoken[0]], body, target, shape, terms)


class Straight:
    """Same protocol at both ends: bytes are edited where they must be, and read in passing."""

    __slots__ = ("_body", "_protocol", "_shape", "_target", "losses", "names", "wire")

    def __init__(self, protocol: Protocol, body: Body, target: Target, shape: Shape) -> None:
        self._protocol = protocol
        self._body = body
        self._target = target
        self._shape = shape
        self.losses = Losses()
        self.names: Names = {}
        self.wire = protocol.name

    def request(self) -> bytes:
        return self._body.for_upstream(self._target)

    def answer(self, raw: bytes) -> tuple[bytes, Told]:
        return raw, self._protocol.read_told(raw)

    def conveyor(self) -> Tap:
        return self._protocol.tap(strip_usage=not self._shape.wants_usage)


class Crossing:
    """From one protocol to another and back."""

    __slots__ = ("_body", "_shape", "_surface", "_target", "_terms", "_wire", "losses", "names", "wire")

    def __init__(
        self, surface: Protocol, wire: Protocol, body: Body, target: Target, shape: Shape, terms: Terms
    ) -> None:
        self._surface = surface
        self._wire = wire
        self._body = body
        self._target = target
        self._shape = shape
        self._terms = terms
        self.names: Names = {}
        self.losses = Losses()
        self.wire = wire.name

    def request(self) -> bytes:
        prompt, self.names = fitted(self._body.prompt(), self.wire, self.losses)
        written = self._wire.write_prompt(prompt, self._target, self.losses)
        self._terms.judge(self.losses)
        return written

    def answer(self, raw: bytes) -> tuple[bytes, Told]:
        answer, told = self._wire.read_answer(raw)
        return self._surface.write_answer(told_back(answer, self.names), self._shape, self.losses), told

    def conveyor(self) -> "Translator":
        return Translator(self._wire.reader(), self._surface.writer(self._shape, self.losses), self.names)


class Translator:
    """A provider's stream in the caller's protocol, event by event."""

    __slots__ = ("_names", "_reader", "_writer", "done")

    def __init__(self, reader: Reader, writer: Writer, names: Names) -> None:
        self._names = names
        self._reader = reader
        self._writer = writer
        self.done = False

    @property
    def told(self) -> Told:
        return self._reader.told

    @property
    def whole(self) -> bool:
        return bool(self._reader.told.finish)

    def read(self, event: SseEvent) -> tuple[Sort, bytes]:
        """The reader's judgement of the event, and what the caller is told of it. The end is written by `end`."""
        sort, pieces = self._reader.read(event)
        self.done = self._reader.done
        return sort, b"".join([self._writer.write(piece_back(piece, self._names)) for piece in pieces])

    def end(self) -> bytes:
        rest = b"".join([self._writer.write(piece_back(piece, self._names)) for piece in self._reader.end()])
        return rest + self._writer.end()
