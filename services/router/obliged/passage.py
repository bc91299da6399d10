"""A passage whose texts are looked through on their way. Pure.

What goes out is edited as it leaves, in the provider's protocol. What comes back is written anew when anything in it
may have to change, its own protocol too: a field that nobody here knows might repeat what was taken out of the text.
"""

from collections.abc import Mapping

from penstock.kit.transform import Transform
from services.router.obliged.answer import Pieces, shown
from services.router.obliged.duty import Duty
from services.router.obliged.request import outward
from services.router.passage import Conveyor, Passage
from services.router.protocols.answer import Piece
from services.router.protocols.fitted import Names, piece_back, told_back
from services.router.protocols.loss import Losses
from services.router.protocols.protocol import Protocol, Reader, Shape, Sort, Told, Writer
from services.router.sse import SseEvent


class Screened:
    """Around another passage, which knows how to ask."""

    __slots__ = ("_inner", "_shape", "_spoken", "_surface", "_transform", "losses", "names", "wire")

    def __init__(self, inner: Passage, surface: Protocol, spoken: Protocol, shape: Shape, transform: Transform) -> None:
        """`spoken`: the protocol of `inner.wire`."""
        self._inner = inner
        self._surface = surface
        self._spoken = spoken
        self._shape = shape
        self._transform = transform
        self.losses: Losses = inner.losses
        self.names: Names = inner.names
        self.wire = inner.wire

    def request(self) -> bytes:
        raw = self._inner.request()
        self.names = self._inner.names
        return outward(raw, self._transform) if self._transform.outward_needed else raw

    def answer(self, raw: bytes) -> tuple[bytes, Told]:
        if not self._transform.inward_needed:
            return self._inner.answer(raw)
        self._written_anew()
        answer, told = self._spoken.read_answer(raw)
        seen = shown(told_back(answer, self.names), self._transform)
        return self._surface.write_answer(seen, self._shape, self.losses), told

    def conveyor(self) -> Conveyor:
        if not self._transform.inward_needed:
            return self._inner.conveyor()
        self._written_anew()
        writer = self._surface.writer(self._shape, self.losses)
        return ScreenedStream(self._spoken.reader(), writer, Pieces(self._transform), self.names)

    def _written_anew(self) -> None:
        if self._spoken is self._surface:
            self.losses.note("answer", "it is redacted, and written without the fields that nobody here knows")


def screened(way: Passage, duty: Duty, protocols: Mapping[str, Protocol], surface: Protocol, shape: Shape) -> Passage:
    """The passage, looked through where the attempt is obliged to that."""
    if duty.transform is None:
        return way
    return Screened(way, surface, protocols[way.wire], shape, duty.transform)


class ScreenedStream:
    """A provider's stream in the caller's protocol, event by event, as the caller may see it."""

    __slots__ = ("_names", "_pieces", "_reader", "_writer", "done")

    def __init__(self, reader: Reader, writer: Writer, pieces: Pieces, names: Names) -> None:
        self._names = names
        self._reader = reader
        self._writer = writer
        self._pieces = pieces
        self.done = False

    @property
    def told(self) -> Told:
        return self._reader.told

    @property
    def whole(self) -> bool:
        return bool(self._reader.told.finish)

    def read(self, event: SseEvent) -> tuple[Sort, bytes]:
        """Content that is held back is no content yet."""
        sort, pieces = self._reader.read(event)
        self.done = self._reader.done
        raw = b"".join([self._writer.write(out) for piece in pieces for out in self._seen(piece)])
        return (Sort.START if sort is Sort.CONTENT and not raw else sort), raw

    def end(self) -> bytes:
        due = [out for piece in self._reader.end() for out in self._seen(piece)]
        return b"".join([self._writer.write(piece) for piece in due]) + self._writer.end()

    def _seen(self, piece: Piece) -> list[Piece]:
        return self._pieces.take(piece_back(piece, self._names))
