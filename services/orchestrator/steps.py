"""The journaling context: what a run does or learns goes through `step`, is recorded once, is never done again."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from penstock.contracts.errors import Code, Failure, FailureBody
from penstock.contracts.llm import Usage
from penstock.contracts.meta import Meta
from penstock.contracts.runs import Held, StepDone, StepFailed, StepStarted
from penstock.contracts.tools import Effect
from penstock.kit.clock import Clock
from services.orchestrator.again import Patience, again_after_s
from services.orchestrator.blobs import Blobs
from services.orchestrator.runlog import RunLog
from services.orchestrator.waits import Waits

T = TypeVar("T")

LEAVES_OPEN = frozenset({Code.UNKNOWN_OUTCOME, Code.DEADLINE, Code.CANCELLED, Code.INTERNAL})
"""Codes after which nobody knows whether a step of effect `once` had its effect."""


DETAIL_MAX = 2000
REASONS_MAX = 16
ASKED_STILL_PAUSE_S = 1.0


class Parked(Exception):
    """The run cannot go on without a person. Not a Failure: no part of a run may take it for a step's answer."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """What a step gave, and what it used. `cost_nano` -1: the price is not known. `taint`: what it makes of the run."""

    value: T
    usage: Usage = Usage()  # noqa: RUF009 - frozen
    cost_nano: int = 0
    attempt: str = ""
    decision: str = ""
    taint: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Try:
    """One try at a step. `number` grows with every try of this step, also over claims; `meta` goes with its calls."""

    number: int
    meta: Meta


@dataclass(frozen=True, slots=True)
class _Step:
    step: str
    name: str
    digest: str
    effect: Effect
    key: str


@dataclass(frozen=True, slots=True)
class _Again:
    """There is another try: after a pause, or after people have answered."""

    pause_s: float = 0.0
    approval: str = ""


class Steps:
    """The steps of one run, in the hands of the worker that claimed it.

    `key_prefix` is the run's id: a step's idempotency key is `<run>-<step>`. `meta` is the run's own.
    """

    def __init__(
        self, log: RunLog, key_prefix: str, meta: Meta, blobs: Blobs, patience: Patience, clock: Clock
    ) -> None:
        self._log = log
        self._key_prefix = key_prefix
        self._meta = meta
        self._blobs = blobs
        self._patience = patience
        self._clock = clock
        self._seen: set[str] = set()
        self._critical = 0
        self._calm = asyncio.Event()
        self._calm.set()
        self._leaving = False
        self.waits = Waits(log.state)

    async def step(
        self,
        step: str,
        name: str,
        do: Callable[[Try], Awaitable[Done[T]]],
        kind: type[T],
        *,
        arguments: object,
        effect: Effect = "read",
    ) -> T:
        """The result of `do`, which is recorded before it is returned; a recorded one is returned at once.

        `step` is the step's place in the run and the same in every replay; `name` and `arguments` say what it does, and
        must be the same too. Raises the Failure that the step ended with (now, or when it was recorded), and Parked.
        """
        this = _Step(step, name, arguments_hash(arguments), effect, f"{self._key_prefix}-{step}")
        if step in self._seen:
            raise Parked("nondeterminism", f"step {step} comes twice")
        self._seen.add(step)
        recorded = self._log.state.done.get(step)
        with self.waits.working():
            if recorded is not None:
                return await self._recall(recorded, this, kind)
            return await self._do(this, do, kind)

    async def leave(self) -> None:
        """This worker goes: begins no more steps of effect `once`, and returns when none is under way. Stopped in the
        middle, such a step would need a person; any other is simply done again elsewhere."""
        self._leaving = True
        await self._calm.wait()

    def check_complete(self) -> None:
        """Raises Parked when the journal holds steps that the finished run never came to."""
        missed = sorted(self._log.state.done.keys() - self._seen)
        if missed:
            raise Parked("nondeterminism", f"step {missed[0]} is recorded, and the run ended without it")

    async def _recall(self, recorded: StepDone, this: "_Step", kind: type[T]) -> T:
        if (recorded.name, recorded.arguments_hash) != (this.name, this.digest):
            differs = "does something else" if recorded.name != this.name else "has other arguments"
            raise Parked(
                "nondeterminism", f"step {recorded.step} ({recorded.name}) {differs} than when it was recorded"
            )
        if recorded.error is not None:
            raise Failure.of(recorded.error)
        data = await self._blobs.check_out(recorded.result, recorded.blob)
        if data is None:
            raise Parked("lost_result", f"the result of step {recorded.step} is no longer kept")
        try:
            return msgspec.json.decode(data, type=kind)
        except msgspec.DecodeError as error:
            raise Parked("nondeterminism", f"the result of step {recorded.step} cannot be read") from error

    async def _do(self, this: "_Step", do: Callable[[Try], Awaitable[Done[T]]], kind: type[T]) -> T:
        if this.step in self._log.state.open:
            raise Parked("unknown_outcome", f"step {this.step} ({this.name}) began, and nobody knows what came of it")
        while True:
            refusal = self.waits.refusal(this.step)
            if refusal is not None:
                await self._end(this, refusal)
                raise refusal
            async with self._whole(this.effect):
                found = await self._try(this, do, kind)
            if not isinstance(found, _Again):
                return found
            if found.approval:
                await self.waits.answered(found.approval)
            else:
                await self._clock.sleep(found.pause_s)

    @asynccontextmanager
    async def _whole(self, effect: Effect) -> AsyncIterator[None]:
        """Inside, a step of effect `once` is not stopped by this worker's leaving, and none begins after it."""
        if effect != "once":
            yield
            return
        if self._leaving:
            await asyncio.Event().wait()  # until it is cancelled
        self._critical += 1
        self._calm.clear()
        try:
            yield
        finally:
            self._critical -= 1
            if not self._critical:
                self._calm.set()

    async def _try(self, this: "_Step", do: Callable[[Try], Awaitable[Done[T]]], kind: type[T]) -> "T | _Again":
        state = self._log.state
        if this.effect == "once":
            await self._log.append(
                lambda n, time: StepStarted(n=n, time=time, step=this.step, key=this.key, effect=this.effect)
            )
        number = max(state.claims - 1, 0) + state.tries.get(this.step, 0)
        meta = msgspec.structs.replace(
            self._meta, step=this.step, idempotency_key=this.key, epoch=state.epoch, taint=tuple(sorted(state.taint))
        )
        try:
            done = await do(Try(number, meta))
        except Failure as failure:
            return await self._failed(this, failure)
        return await self._record(this, done, kind)

    async def _record(self, this: "_Step", done: Done[T], kind: type[T]) -> T:
        data = msgspec.json.encode(done.value)
        result, blob = await self._blobs.check_in(data)
        await self._log.append(
            lambda n, time: StepDone(
                n=n,
                time=time,
                step=this.step,
                name=this.name,
                arguments_hash=this.digest,
                result=result,
                blob=blob,
                usage=done.usage,
                cost_nano=done.cost_nano,
                attempt=done.attempt,
                decision=done.decision,
                taint=done.taint,
            )
        )
        # what the function sees now is what it would see in a replay
        return msgspec.json.decode(data, type=kind)

    async def _failed(self, this: "_Step", failure: Failure) -> "_Again":
        """Raises when there is no other try."""
        if this.effect == "once" and failure.code in LEAVES_OPEN:
            raise Parked("unknown_outcome", f"step {this.step} ({this.name}): {failure.code}") from failure
        if failure.code is Code.APPROVAL_REQUIRED and failure.approval:
            return await self._held(this, failure)
        tries = self._log.state.tries.get(this.step, 0) + 1
        now = self._clock.now()
        pause_s = again_after_s(failure, this.effect, tries, now, self._meta.deadline, random.random(), self._patience)
        error = shortened(failure.body())
        if pause_s is not None:
            next_at = now + pause_s
            await self._log.append(
                lambda n, time: StepFailed(
                    n=n, time=time, step=this.step, name=this.name, error=error, tries=tries, next_at=next_at
                )
            )
            return _Again(pause_s)
        await self._end(this, failure)
        raise failure

    async def _held(self, this: "_Step", failure: Failure) -> "_Again":
        """People are asked, once it stands in the journal. They may have answered already; if we know that and policy
        asks them still, it has not heard of it yet."""
        state, approval = self._log.state, failure.approval
        held = state.held.get(this.step)
        known = held is not None and held.approval == approval
        if not known or this.step in state.open:
            why, decision = failure.detail[:DETAIL_MAX], failure.decision
            await self._log.append(
                lambda n, time: Held(
                    n=n, time=time, step=this.step, name=this.name, approval=approval, why=why, decision=decision
                )
            )
        if known and approval in state.answers:
            return _Again(ASKED_STILL_PAUSE_S)
        return _Again(approval=approval)

    async def _end(self, this: "_Step", failure: Failure) -> None:
        """The step has failed for good."""
        error = shortened(failure.body())
        await self._log.append(
            lambda n, time: StepDone(
                n=n,
                time=time,
                step=this.step,
                name=this.name,
                arguments_hash=this.digest,
                error=error,
                decision=error.decision,
            )
        )


def shortened(error: FailureBody) -> FailureBody:
    """The failure as a journal keeps it: whatever a peer wrote, it fits into an event."""
    return msgspec.structs.replace(
        error,
        detail=error.detail[:DETAIL_MAX],
        reasons=tuple(text[:DETAIL_MAX] for text in error.reasons[:REASONS_MAX]),
    )


def arguments_hash(arguments: object) -> str:
    """32 hex digits that stand for the arguments: the same for the same, in whatever order an object's fields are."""
    return hashlib.sha256(msgspec.json.encode(arguments, order="deterministic")).hexdigest()[:32]


async def in_parallel(work: list[Coroutine[object, object, T]], at_once_max: int) -> list[T]:
    """Runs all of it, so many at once, begun in order; the results in order. The first exception stops the rest."""
    places = asyncio.Semaphore(at_once_max)

    async def one(coroutine: Coroutine[object, object, T]) -> T:
        async with places:
            return await coroutine

    tasks = [asyncio.create_task(one(coroutine)) for coroutine in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for coroutine in work:
            coroutine.close()
