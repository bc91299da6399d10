"""Keeps the parts of a local plane running: started in order, again after a crash, and stopped in reverse."""

import asyncio
import re
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from penstock.local.child import Child, Command, StartFailed
from penstock.local.readiness import answers_200


class Part(Protocol):
    """Something that runs. Broker, Store and Program are three."""

    @property
    def name(self) -> str: ...

    async def start(self) -> None:
        """Returns when it is ready; StartFailed, or a cancellation, leaves nothing running."""

    async def exited(self) -> int:
        """Waits for its end."""
        ...

    async def stop(self) -> None:
        """Returns when it has ended, at once if it had; it was started before."""


Readiness = Callable[[Child], Awaitable[bool]]


def says(pattern: str) -> Readiness:
    """Ready once a line of its output matches."""
    wanted = re.compile(pattern, re.MULTILINE)

    async def ready(child: Child) -> bool:
        return wanted.search(child.output()) is not None

    return ready


def answers(url: str) -> Readiness:
    """Ready once a GET of the URL is answered with 200."""

    async def ready(_: Child) -> bool:
        return await answers_200(url)

    return ready


class Program:
    """A command and how to know that it is ready."""

    def __init__(
        self, command: Command, ready: Readiness, ready_timeout_s: float = 30.0, grace_s: float = 15.0
    ) -> None:
        self.child = Child(command)
        self._ready = ready
        self._ready_timeout_s = ready_timeout_s
        self._grace_s = grace_s

    @property
    def name(self) -> str:
        return self.child.command.name

    def launch(self) -> None:
        """Starts it, unless it runs, and does not wait until it is ready."""
        if not self.child.running:
            self.child.start()

    async def start(self) -> None:
        self.launch()
        try:
            await self.child.until_ready(lambda: self._ready(self.child), self._ready_timeout_s)
        except (StartFailed, asyncio.CancelledError):
            await self.child.kill()
            raise

    async def exited(self) -> int:
        return await self.child.exited()

    async def stop(self) -> None:
        await self.child.stop(self._grace_s)


@dataclass(frozen=True, slots=True)
class Restarts:
    """A part that ends is started again after a pause that doubles with each end in a row; after `at_most`
    ends in a row it is given up. Having run for `steady_after_s` begins a new row."""

    first_pause_s: float = 0.2
    longest_pause_s: float = 10.0
    steady_after_s: float = 60.0
    at_most: int = 10

    def pause_s(self, ends_in_a_row: int) -> float:
        return min(self.first_pause_s * 2.0 ** min(ends_in_a_row - 1, 100), self.longest_pause_s)


@dataclass(frozen=True, slots=True)
class Notice:
    """What happened to a part, for whoever shows it."""

    part: str
    what: Literal["ready", "ended", "failed", "stopped"]
    detail: str = ""


class GaveUp(Exception):
    """A part ended so often in a row that starting it once more is no help."""

    def __init__(self, part: str, ends: int, last: str) -> None:
        self.part = part
        self.ends = ends
        self.last = last
        super().__init__(f"{part} ended {ends} times in a row. The last time: {last}")


class Supervisor:
    """`stages` are started one after another, the parts of one stage together."""

    def __init__(
        self,
        stages: Sequence[Sequence[Part]],
        told: Callable[[Notice], None],
        restarts: Restarts | None = None,
    ) -> None:
        self._stages = stages
        self._told = told
        self._restarts = restarts or Restarts()
        self._started: list[list[Part]] = []

    async def run(self, until: asyncio.Event, ready: Callable[[], None] | None = None) -> None:
        """Runs all parts until `until` is set, calling `ready` once when they do; none runs when it returns.

        StartFailed if a part does not come up at first, GaveUp if one does not stay up later.
        """
        work = asyncio.create_task(self._start_and_watch(ready or _nothing))
        wish = asyncio.create_task(until.wait())
        try:
            await asyncio.wait({work, wish}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            wish.cancel()
            work.cancel()
            await asyncio.wait({work})
            await self._stop()
        if not work.cancelled() and (error := work.exception()) is not None:
            raise _first_cause(error)

    async def _start_and_watch(self, ready: Callable[[], None]) -> None:
        async with asyncio.TaskGroup() as watchers:
            for stage in self._stages:
                started: list[Part] = []
                self._started.append(started)
                async with asyncio.TaskGroup() as starts:
                    for part in stage:
                        starts.create_task(self._start(part, started))
                for part in stage:
                    watchers.create_task(self._watch(part))
            ready()

    async def _start(self, part: Part, started: list[Part]) -> None:
        await part.start()
        started.append(part)
        self._told(Notice(part.name, "ready"))

    async def _watch(self, part: Part) -> None:
        clock = asyncio.get_running_loop().time
        ends = 0
        while True:
            ready_at = clock()
            last = f"it ended with {await part.exited()}"
            ends = 1 if clock() - ready_at >= self._restarts.steady_after_s else ends + 1
            self._told(Notice(part.name, "ended", last))
            while True:
                if ends > self._restarts.at_most:
                    raise GaveUp(part.name, ends, last)
                await asyncio.sleep(self._restarts.pause_s(ends))
                try:
                    await part.start()
                    break
                except StartFailed as failure:
                    ends += 1
                    last = failure.reason
                    self._told(Notice(part.name, "failed", last))
            self._told(Notice(part.name, "ready"))

    async def _stop(self) -> None:
        while self._started:
            stage = self._started.pop()
            await asyncio.gather(*(self._stop_one(part) for part in stage))

    async def _stop_one(self, part: Part) -> None:
        await part.stop()
        self._told(Notice(part.name, "stopped"))


def stop_signals() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT from now on. Call it in the main thread."""
    wish = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, wish.set)
    return wish


def _nothing() -> None:
    return None


def _first_cause(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
