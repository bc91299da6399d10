"""One streamed answer on its way to the caller: nothing is shown before there is content, everything after it is."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Protocol

from services.router.attempts.attempt import Attempt
from services.router.fault import Fault, FaultKind
from services.router.passage import Conveyor
from services.router.protocols.protocol import Sort
from services.router.sse import EventTooLarge, SseEvent, SseParser

LINGER_S = 0.1
"""How long the connection may take to end after the last event, to be used again."""


class Out(Protocol):
    """Where frames go."""

    async def send(self, data: bytes) -> None:
        """Waits while the reader wants no more."""
        ...


class Relay:
    """The commit boundary. Start-up events are held, up to `held_max_bytes`, so that a failure before the first content
    can still be answered by another deployment; from the first frame on a failure ends the stream."""

    def __init__(
        self, attempt: Attempt, conveyor: Conveyor, out: Out, *, event_max_bytes: int, held_max_bytes: int
    ) -> None:
        self._attempt = attempt
        self._conveyor = conveyor
        self._out = out
        self._parser = SseParser(event_max_bytes)
        self._held_max_bytes = held_max_bytes
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._digest = hashlib.sha256()

    async def run(self, pieces: AsyncIterator[bytes]) -> None:
        """Until the provider's last event. Raises Fault; `attempt.committed` says whether anything was passed on."""
        try:
            await self._run(pieces)
        except EventTooLarge as error:
            raise Fault(FaultKind.GARBAGE, str(error), sent=True) from None

    async def _run(self, pieces: AsyncIterator[bytes]) -> None:
        conveyor = self._conveyor
        async for piece in pieces:
            await self._take(self._parser.feed(piece))
            if conveyor.done:
                break
        else:
            await self._take(self._parser.finish())
        if not conveyor.whole:
            raise Fault(FaultKind.TRANSIENT, "the provider's stream ended early", sent=True)
        if rest := conveyor.end():
            self._hold(rest)
        await self._flush(fed=True)
        self._attempt.result_digest = self._digest.hexdigest()
        self._attempt.watch.done()
        await _linger(pieces)

    async def _take(self, events: list[SseEvent]) -> None:
        """What came in one read goes out as one frame."""
        fault: Fault | None = None
        content = fed = False
        for event in events:
            try:
                sort, raw = self._conveyor.read(event)
            except Fault as raised:
                fault = raised
                break
            if raw:
                self._hold(raw)
            content = content or sort is Sort.CONTENT
            fed = fed or sort is not Sort.NOISE
            if sort is Sort.DONE:
                break
        committed = self._attempt.committed
        if fault is not None and not committed:
            raise fault
        if content or committed or self._held_bytes > self._held_max_bytes:
            await self._flush(fed=fed)
        if fault is not None:
            raise fault

    def _hold(self, raw: bytes) -> None:
        self._held.append(raw)
        self._held_bytes += len(raw)

    async def _flush(self, *, fed: bool) -> None:
        """Sends what is held. A reader that takes its time is no fault of the provider's: the watch waits meanwhile.
        What only shows that the connection lives does not feed it."""
        attempt = self._attempt
        if self._held:
            frame = self._held[0] if len(self._held) == 1 else b"".join(self._held)
            self._held.clear()
            self._held_bytes = 0
            if not attempt.committed:
                attempt.commit()
            self._digest.update(frame)
            attempt.watch.pause()
            await self._out.send(frame)
            if not fed:
                attempt.watch.resume()
        if fed:
            attempt.watch.content()


async def _linger(pieces: AsyncIterator[bytes]) -> None:
    """Reads to the end of the response, which is there or nearly, so that its connection can be used again."""
    try:
        async with asyncio.timeout(LINGER_S):
            async for _ in pieces:
                pass
    except (TimeoutError, Fault):
        return
