"""What arrives live for one job, in a bounded queue between the connection's callback and its reader."""

import asyncio
from collections import deque

import msgspec

from penstock.bus import Message
from penstock.contracts.jobs import JobEvent, TokenFrame

_events = msgspec.json.Decoder(JobEvent)
_frames = msgspec.json.Decoder(TokenFrame)


class Feed:
    """`disturbed`: something may be missing (at the start, after a reconnect, when the queue was full)."""

    def __init__(self, held_max: int) -> None:
        self._held_max = held_max
        self._items: deque[JobEvent | TokenFrame] = deque()
        self._bell = asyncio.Event()
        self.disturbed = True

    def event(self, message: Message) -> None:
        """A message on the job's events subject."""
        self._push(_events, message)

    def frame(self, message: Message) -> None:
        """A message on the job's tokens subject."""
        self._push(_frames, message)

    def disturb(self) -> None:
        """The reader has to catch up."""
        self.disturbed = True
        self._bell.set()

    async def next(self, timeout_s: float) -> JobEvent | TokenFrame | None:
        """The oldest item; nothing after `timeout_s` of silence or when disturbed."""
        if not self._items:
            self._bell.clear()
            if self.disturbed:
                return None
            try:
                async with asyncio.timeout(timeout_s):
                    await self._bell.wait()
            except TimeoutError:
                return None
        return self._items.popleft() if self._items else None

    def _push(
        self, decoder: "msgspec.json.Decoder[JobEvent] | msgspec.json.Decoder[TokenFrame]", message: Message
    ) -> None:
        if len(self._items) >= self._held_max:
            self.disturb()
            return
        try:
            self._items.append(decoder.decode(message.data))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.disturbed = True  # the call that catches up says what is wrong
        self._bell.set()
