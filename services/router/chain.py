"""The tries that one request gets: who is asked first, who next, when again, and when it is over."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.kit.boundary import Boundary
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics
from services.router.attempt import Attempt, Wanted
from services.router.board import Board
from services.router.catalogue import Alias
from services.router.choose import Choice, Need, choose, nobody
from services.router.deployment import Deployment
from services.router.fault import AGAIN, ELSEWHERE, Fault, FaultKind, exhausted

Result = TypeVar("Result")


class ChainRules(msgspec.Struct, frozen=True):
    """`attempts_max` bounds a request's tries, `rounds_max` how often one deployment gets it. Between rounds it waits
    `backoff_s`, twice as long each time, or as long as a provider asked for, but never more than `backoff_max_s`."""

    attempts_max: int = 4
    rounds_max: int = 2
    backoff_s: float = 0.5
    backoff_max_s: float = 5.0


class Chain:
    """Serves requests by attempts. Keeps nothing of its own: health is the board's."""

    def __init__(self, boundary: Boundary, board: Board, rules: ChainRules, metrics: Metrics, log: Log) -> None:
        self._boundary = boundary
        self._board = board
        self._rules = rules
        self._metrics = metrics
        self._log = log

    async def run(
        self, alias: Alias, need: Need, wanted: Wanted, work: Callable[[Attempt], Awaitable[Result]]
    ) -> Result:
        """The first result. Raises the failure of the first try that says something of the request, policy's refusal
        unchanged, or what the try raised that had committed."""
        faults: dict[str, Fault] = {}
        tries = 0
        for number in range(self._rules.rounds_max):
            if number and (tries >= self._rules.attempts_max or not await self._pause(number, faults, wanted)):
                break
            choice = self._choose(alias, need, faults)
            if not faults and not choice.candidates:
                raise nobody(alias.name, choice)
            for candidate in choice.candidates:
                if tries >= self._rules.attempts_max or not _worth_it(candidate.deployment, faults):
                    continue
                tries += 1
                attempt = Attempt(wanted, candidate.deployment, tries, self._board.well)
                try:
                    return await self._try(attempt, need, wanted, work)
                except Fault as fault:
                    if attempt.committed or fault.kind not in ELSEWHERE:
                        raise
                    fault.window = candidate.deployment.context_tokens
                    faults[candidate.deployment.id] = fault
                    self._say(attempt, fault, candidate.reason, wanted)
                if _now() >= wanted.deadline:
                    raise Failure(Code.DEADLINE, "the caller's deadline passed")
        raise exhausted(list(faults.values()))

    def _choose(self, alias: Alias, need: Need, faults: dict[str, Fault]) -> Choice:
        choice = choose(alias.deployments, need, self._board.standings, _now())
        if not faults:
            return choice
        again = [each for each in choice.candidates if _may_again(faults.get(each.deployment.id))]
        return Choice(tuple(again), choice.skipped)

    async def _try(
        self, attempt: Attempt, need: Need, wanted: Wanted, work: Callable[[Attempt], Awaitable[Result]]
    ) -> Result:
        code = Code.CANCELLED.value
        try:
            with self._board.calling(attempt.deployment):
                result = await attempt.run(self._boundary, work)
            code = ""
            return result
        except Failure as failure:
            code = failure.code.value
            raise
        finally:
            self._count(attempt, need, wanted, code)

    async def _pause(self, number: int, faults: dict[str, Fault], wanted: Wanted) -> bool:
        """Waits for the next round; False when it would come to nothing."""
        hopeful = [fault for fault in faults.values() if fault.kind in AGAIN]
        if not hopeful:
            return False
        rules = self._rules
        asked_s = min(fault.retry_after_s for fault in hopeful)
        pause_s = max(
            min(rules.backoff_s * 2.0 ** (number - 1), rules.backoff_max_s) * random.uniform(0.8, 1.2), asked_s
        )
        if asked_s > rules.backoff_max_s or _now() + pause_s >= wanted.deadline:
            return False
        await asyncio.sleep(pause_s)
        return True

    def _count(self, attempt: Attempt, need: Need, wanted: Wanted, code: str) -> None:
        deployment, metrics = attempt.deployment, self._metrics
        metrics.attempts.add(deployment.name, code or "ok")
        labels = (need.kind, deployment.provider, wanted.alias)
        metrics.model_seconds.see(attempt.elapsed_s, *labels, code)
        if code:
            return
        served = attempt.served()
        metrics.model_tokens.see(served.usage.input, *labels, "input")
        metrics.model_tokens.see(served.usage.output, *labels, "output")
        if served.cost_nano > 0:
            metrics.cost_nano.add(deployment.name, by=served.cost_nano)
        if attempt.first_token_ms:
            metrics.first_token_seconds.see(attempt.first_token_ms / 1000, *labels)

    def _say(self, attempt: Attempt, fault: Fault, reason: str, wanted: Wanted) -> None:
        self._log.of(wanted.meta).warning(
            "attempt failed",
            attempt=attempt.id,
            deployment=attempt.deployment.name,
            chosen=reason,
            kind=fault.kind,
            number=attempt.number,
        )


def _now() -> float:
    return asyncio.get_running_loop().time()


def _may_again(fault: Fault | None) -> bool:
    return fault is None or fault.kind in AGAIN


def _worth_it(deployment: Deployment, faults: dict[str, Fault]) -> bool:
    """After a prompt was too long for one window, only a larger one (or an unknown one) is tried."""
    return all(
        fault.kind is not FaultKind.CONTEXT
        or not fault.window
        or not deployment.context_tokens
        or deployment.context_tokens > fault.window
        for fault in faults.values()
    )
