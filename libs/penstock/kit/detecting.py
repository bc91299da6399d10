"""Plugged-in detectors, run off the hot path: in threads of their own, under a limit of time, of number and of size.

A detector that hangs keeps its thread; once as many hang as there are threads, everybody is refused at once.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from penstock.guard.detector import Detector
from penstock.guard.finding import Finding


class NotDetected(Exception):
    """Nobody knows what is in the text: a detector is late, busy or broken. Never the text itself."""


class Detectors:
    """All detectors that a service uses. `close` when it ends."""

    def __init__(
        self,
        detectors: Sequence[Detector],
        timeout_s: float = 2.0,
        threads_max: int = 2,
        text_max_chars: int = 200_000,
    ) -> None:
        self._detectors = tuple(detectors)
        self._timeout_s = timeout_s
        self._text_max = text_max_chars
        self._threads_max = threads_max
        self._running = 0
        self._threads = ThreadPoolExecutor(threads_max, thread_name_prefix="detector")

    @property
    def entities(self) -> frozenset[str]:
        """All names that their findings may have."""
        return frozenset(entity for detector in self._detectors for entity in detector.entities)

    async def find(self, text: str) -> tuple[Finding, ...]:
        """What they find, one after another within the limit of time. Raises NotDetected."""
        if not self._detectors:
            return ()
        if len(text) > self._text_max:
            raise NotDetected(f"the text is longer than {self._text_max} characters")
        if self._running >= self._threads_max:
            raise NotDetected("all threads of detectors are busy")
        self._running += 1
        future = self._threads.submit(self._look, text)
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: _tell(loop, self._ended))
        return await self._within_time(future)

    def close(self) -> None:
        """Waits for nobody: a detector that hangs ends with the process."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _within_time(self, future: Future[tuple[Finding, ...]]) -> tuple[Finding, ...]:
        waiting = asyncio.wrap_future(future)
        done, _ = await asyncio.wait({waiting}, timeout=self._timeout_s)
        if not done:
            waiting.cancel()
            raise NotDetected(f"detectors took longer than {self._timeout_s} s")
        error = waiting.exception()
        if error is not None:
            raise NotDetected(f"a detector failed: {type(error).__name__}") from error
        return waiting.result()

    def _look(self, text: str) -> tuple[Finding, ...]:
        found: list[Finding] = []
        for detector in self._detectors:
            for one in detector.find(text):
                if one.entity not in detector.entities or not 0 <= one.start < one.end <= len(text):
                    raise ValueError("a finding that is not of this text or not of this detector")
                found.append(one)
        return tuple(found)

    def _ended(self) -> None:
        self._running -= 1


def _tell(loop: asyncio.AbstractEventLoop, ended: Callable[[], None]) -> None:
    """The loop may have gone before the thread came back."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(ended)
