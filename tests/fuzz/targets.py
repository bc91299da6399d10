"""What is fuzzed: the parser of server-sent events, and everything a protocol reads of callers and providers.

A target takes any bytes. It may only raise what its callers expect: anything else is a crash.
"""

import contextlib
from collections.abc import Callable, Mapping

import msgspec

from penstock.contracts.errors import Failure
from services.router import embeddings as openai_embeddings
from services.router.fault import Fault
from services.router.protocols.answer import Answer
from services.router.protocols.fold import Fold, unfold
from services.router.protocols.gemini_generate import embeddings as gemini_embeddings
from services.router.protocols.loss import Losses
from services.router.protocols.protocol import Protocol, Reader, Shape, Sort, Tap, Target
from services.router.protocols.table import PROTOCOLS
from services.router.sse import EventTooLarge, SseEvent, SseParser

EVENT_MAX_BYTES = 64 * 1024
SHAPE = Shape("model", "id", 1)
TO = Target("model", "endpoint", True, output_tokens_max=1000)

Fuzz = Callable[[bytes], None]


def sse(data: bytes) -> None:
    """However a stream is cut, its events are the same, and nothing of it is lost."""
    try:
        whole = _events([data])
        cut = data[0] % (len(data) + 1) if data else 0
        parts = _events([data[:cut], data[cut:]])
    except EventTooLarge:
        return
    assert [(event.data, event.name) for event in whole] == [(event.data, event.name) for event in parts]
    raw = b"".join([event.raw for event in whole])
    assert raw.rstrip(b"\r\n") == data.rstrip(b"\r\n") or not data.strip(b"\r\n")


def request(protocol: Protocol) -> Fuzz:
    """A caller's request: as it passes, and as every other protocol would get it."""

    def fuzz(data: bytes) -> None:
        try:
            body = protocol.read(data, "model")
            assert body.size.at_most >= 0
            assert body.choices >= 1
            body.needs, body.streamed, body.output_tokens, body.echo, body.wants_usage  # noqa: B018  # they are computed
            body.for_upstream(TO).decode()
            prompt = body.prompt()
        except Failure:
            return
        for wire in PROTOCOLS.values():
            msgspec.json.decode(wire.write_prompt(prompt, TO, Losses()))

    return fuzz


def answer(protocol: Protocol) -> Fuzz:
    """A provider's whole answer: as it passes, and as callers of every other protocol would get it."""

    def fuzz(data: bytes) -> None:
        with contextlib.suppress(Fault):
            protocol.read_told(data)
            data.decode()  # what passes is text
        try:
            found, _ = protocol.read_answer(data)
        except Fault:
            return
        _tell(found)

    return fuzz


def stream(protocol: Protocol) -> Fuzz:
    """A provider's stream, likewise."""

    def fuzz(data: bytes) -> None:
        try:
            events = _events([data])
        except EventTooLarge:
            return
        for strip in (True, False):
            _pass(protocol.tap(strip_usage=strip), events)
        found = _read(protocol.reader(), events)
        if found is not None:
            _tell(found)

    return fuzz


def vectors(read: Callable[[bytes, int], object]) -> Fuzz:
    """A provider's answer with embeddings."""

    def fuzz(data: bytes) -> None:
        with contextlib.suppress(Fault):
            read(data, 2)

    return fuzz


TARGETS: Mapping[str, Fuzz] = {
    "sse": sse,
    "openai.embeddings": vectors(openai_embeddings.read),
    "gemini.embeddings": vectors(gemini_embeddings.read),
    **{f"{name}.request": request(protocol) for name, protocol in PROTOCOLS.items()},
    **{f"{name}.answer": answer(protocol) for name, protocol in PROTOCOLS.items()},
    **{f"{name}.stream": stream(protocol) for name, protocol in PROTOCOLS.items()},
}


def _events(pieces: list[bytes]) -> list[SseEvent]:
    parser = SseParser(EVENT_MAX_BYTES)
    events = [event for piece in pieces for event in parser.feed(piece)]
    return events + parser.finish()


def _pass(tap: Tap, events: list[SseEvent]) -> None:
    try:
        for event in events:
            sort, passed = tap.read(event)
            if sort is not Sort.NOISE and passed:
                (event.data or b"").decode()
        assert tap.whole in (True, False)
        tap.end()
    except Fault:
        return


def _read(reader: Reader, events: list[SseEvent]) -> Answer | None:
    """None for a stream that broke off. Each piece is written as it comes, in every protocol."""
    fold = Fold()
    writers = [protocol.writer(SHAPE, Losses()) for protocol in PROTOCOLS.values()]
    try:
        for pieces in [*(reader.read(event)[1] for event in events), reader.end()]:
            for piece in pieces:
                fold.take(piece)
                for writer in writers:
                    writer.write(piece)
    except Fault:
        return None
    for writer in writers:
        writer.end()
    return fold.answer


def _tell(found: Answer) -> None:
    for surface in PROTOCOLS.values():
        msgspec.json.decode(surface.write_answer(found, SHAPE, Losses()))
        writer = surface.writer(SHAPE, Losses())
        for piece in unfold(found):
            writer.write(piece)
        writer.end()
