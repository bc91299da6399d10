"""A reader of a stream that leaves when the test says so."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from penstock.contracts.errors import Failure
from penstock.contracts.llm import HEAD_START, CompletionEnd, CompletionHead, ResumeRequest
from penstock.contracts.subjects import LLM_RESUME, LLM_STREAM
from penstock.kit.lifecycle import Host
from services.router.config import Config
from tests.services.router.conftest import Plane, asking
from tests.support.eventually import eventually


def left(router: Host[Config], how: str) -> int:
    """How many readers of `one` left, and this became of their answers."""
    found = re.search(
        rf'penstock_stream_disconnects_total{{deployment="one",how="{how}"}} (\d+)', router.metrics.render().decode()
    )
    return int(found[1]) if found else 0


class Heard:
    """`head` is the first frame where the stream has one."""

    def __init__(self) -> None:
        self.head: CompletionHead | None = None
        self.frames: list[bytes] = []
        self.end: CompletionEnd | None = None

    @property
    def text(self) -> bytes:
        return b"".join(self.frames)

    @property
    def stream(self) -> str:
        assert self.head is not None
        return self.head.stream

    def hear(self, frame: bytes) -> None:
        if self.head is None and frame.startswith(HEAD_START):
            self.head = msgspec.json.decode(frame, type=CompletionHead)
        else:
            self.frames.append(bytes(frame))


class Departing:
    """`leave` closes the stream on the reader's side."""

    def __init__(self, heard: Heard, task: asyncio.Task[None]) -> None:
        self.heard = heard
        self._task = task

    async def leave(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Failure):
            await self._task

    async def has(self, word: bytes) -> None:
        """Waits until it was heard."""

        async def heard() -> None:
            assert word in self.heard.text

        await eventually(heard)


@asynccontextmanager
async def reading(
    plane: Plane, model: str = "chat", *, resumable: bool = False, headed: bool = False, **meta: object
) -> AsyncIterator[Departing]:
    """Somebody reads a stream meanwhile."""
    heard = Heard()
    request = msgspec.structs.replace(asking(model), headed=headed or resumable, resumable=resumable)

    async def read() -> None:
        async with plane.bus.stream(LLM_STREAM, request, plane.meta(**meta)) as reader:
            async for frame in reader:
                heard.hear(frame)
            heard.end = reader.end

    departing = Departing(heard, asyncio.create_task(read()))
    try:
        yield departing
    finally:
        await departing.leave()


async def resume(plane: Plane, stream: str, after: int = 0, into: Heard | None = None) -> Heard:
    """All that is left of a kept stream."""
    heard = into or Heard()
    async with plane.bus.stream(LLM_RESUME, ResumeRequest(stream, after), plane.meta()) as reader:
        async for frame in reader:
            heard.hear(frame)
        heard.end = reader.end
    return heard
