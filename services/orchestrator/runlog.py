"""The run's own hand on its journal: one append at a time, each folded into the state once it is stored."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from penstock.bus import Fenced
from penstock.contracts.errors import Failure
from penstock.contracts.runs import AnyRunEvent
from penstock.kit.clock import Clock
from services.orchestrator.fold import RunState

Append = Callable[[AnyRunEvent], Awaitable[int]]
"""Stores an event after the last one known, and gives its sequence. Raises Fenced when somebody else wrote."""
Told = Callable[[RunState, AnyRunEvent], None]
E = TypeVar("E", bound=AnyRunEvent)


class RunLost(Exception):
    """The run is no longer ours to carry out: another worker has it, or the journal cannot be written.

    Not a Failure: no part of a run may take it for the answer of a step. Whoever meets it stops and says nothing more.
    """

    def __init__(self, why: str, *, fenced: bool) -> None:
        super().__init__(why)
        self.fenced = fenced


class RunLog:
    """`state` is what the journal says so far. `told` hears of every event, after it is stored and in order."""

    def __init__(self, state: RunState, append: Append, clock: Clock, told: Told) -> None:
        self.state = state
        self._append = append
        self._clock = clock
        self._told = told
        self._turn = asyncio.Lock()
        self._lost: RunLost | None = None
        self._writing: set[asyncio.Task[int]] = set()

    async def append(self, make: Callable[[int, float], AnyRunEvent]) -> int:
        """Stores the event that `make` builds from its number and the time; its sequence. Raises RunLost.

        An append that has begun is finished even when its caller is cancelled: the next one must know what stands.
        """
        task = asyncio.create_task(self._write(make))
        self._writing.add(task)
        task.add_done_callback(self._written)
        return await asyncio.shield(task)

    async def settled(self) -> None:
        """Returns when no append is under way any more."""
        while self._writing:
            await asyncio.wait(self._writing)

    async def _write(self, make: Callable[[int, float], AnyRunEvent]) -> int:
        async with self._turn:
            if self._lost is not None:
                raise RunLost(str(self._lost), fenced=self._lost.fenced)
            event = make(self.state.n, self._clock.now())
            try:
                sequence = await self._append(event)
            except Fenced as fenced:
                self._lost = RunLost("another worker has the run", fenced=True)
                raise self._lost from fenced
            except Failure as failure:
                self._lost = RunLost(f"the journal cannot be written: {failure.code}", fenced=False)
                raise self._lost from failure
            self.state.apply(sequence, event)
            self._told(self.state, event)
            return sequence

    def _written(self, task: asyncio.Task[int]) -> None:
        self._writing.discard(task)
        if not task.cancelled():
            task.exception()  # seen, should its caller have gone
