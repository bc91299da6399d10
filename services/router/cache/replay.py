"""A kept answer in the form that is wanted now. Pure."""

from services.router.cache.entry import Entry
from services.router.protocols.fold import Fold, unfold
from services.router.protocols.loss import Losses
from services.router.protocols.protocol import Protocol, Shape
from services.router.sse import SseParser


def as_whole(surface: Protocol, entry: Entry, shape: Shape) -> bytes:
    """The bytes that were kept, or the events put together."""
    if entry.form == "whole":
        return entry.body
    reader, folding = surface.reader(), Fold()
    parser = SseParser(len(entry.body) + 1)
    for event in (*parser.feed(entry.body), *parser.finish()):
        for piece in reader.read(event)[1]:
            folding.take(piece)
    for piece in reader.end():
        folding.take(piece)
    return surface.write_answer(folding.answer, shape, Losses())


def as_events(surface: Protocol, entry: Entry, shape: Shape) -> bytes:
    """The events that were kept, or the whole taken apart."""
    if entry.form == "events":
        return entry.body
    answer, _ = surface.read_answer(entry.body)
    writer = surface.writer(shape, Losses())
    return b"".join([writer.write(piece) for piece in unfold(answer)]) + writer.end()
