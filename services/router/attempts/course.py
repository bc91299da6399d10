"""The course of one request: who is asked first, who next, with which key, when again, and when it is over."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.kit.boundary import Boundary
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics
from penstock.kit.span import UNTRACED, Tracer
from services.router.attempts.attempt import Attempt, Wanted
from services.router.attempts.board import Board, Call
from services.router.attempts.purse import Purse
from services.router.attempts.race import Race
from services.router.choosing import health
from services.router.choosing.affinity import drawn
from services.router.choosing.choose import Candidate, Choice, choose, nobody
from services.router.choosing.request import Need
from services.router.choosing.standing import UNSEEN, usable_keys
from services.router.fault import AGAIN, ELSEWHERE, Fault, FaultKind, exhausted
from services.router.models.catalogue import Alias
from services.router.models.deployment import Deployment

Result = TypeVar("Result")


class ChainRules(msgspec.Struct, frozen=True):
    """`attempts_max` bounds the tries that one alias gets (another key after a refused one is none), `hops_max` those
    of the whole request, `rounds_max` how often one deployment is asked. Between rounds it waits `backoff_s`, twice as
    long each time, or as long as a provider asked for, but never more than `backoff_max_s`."""

    attempts_max: int = 4
    rounds_max: int = 2
    backoff_s: float = 0.5
    backoff_max_s: float = 5.0
    hops_max: int = 12


@dataclass(frozen=True, slots=True)
class Means:
    """What every course needs."""

    boundary: Boundary
    board: Board
    rules: ChainRules
    metrics: Metrics
    log: Log
    purse: Purse
    tracer: Tracer = UNTRACED


@dataclass(frozen=True, slots=True)
class Done(Generic[Result]):
    """A result, which may be None itself."""

    result: Result


class Course(Generic[Result]):
    """One request. `draw` is its chance."""

    def __init__(
        self,
        means: Means,
        alias: Alias,
        need: Need,
        wanted: Wanted,
        work: Callable[[Attempt], Awaitable[Result]],
        draw: str,
    ) -> None:
        self._means = means
        self._alias = alias
        self._need = need
        self._wanted = wanted
        self._work = work
        self._draw = draw
        self._faults: dict[str, Fault] = {}
        self._told: list[Fault] = []
        self._dead: set[tuple[str, int]] = set()
        self._shown: dict[str, int] = {}
        self._choices: dict[str, Choice] = {}
        self._hops = 0
        self._counted = 0
        self._pin = ""

    async def run(self) -> Result:
        """The first result. Raises the failure of the first try that says something of the request, policy's refusal
        unchanged, or what the try raised that had committed."""
        nothing: Failure | None = None
        for alias in self._alias.path():
            try:
                done = await self._serve(alias)
            except _Nobody as none:
                nothing = nothing or none.failure
                continue
            if done is not None:
                return done.result
        said = {name: choice.explained() for name, choice in self._choices.items()}
        self._means.log.of(self._wanted.meta).warning("no deployment answered", choices=str(said), tries=self._hops)
        if not self._told and nothing is not None:
            raise nothing
        raise exhausted(self._told)

    async def _serve(self, alias: Alias) -> Done[Result] | None:
        """Its rounds. None when all has failed."""
        self._counted = 0
        for number in range(self._means.rules.rounds_max):
            if number and (self._used_up() or not await self._pause(number, alias)):
                return None
            choice = self._choose(alias)
            self._choices.setdefault(alias.name, choice)
            if not choice.candidates and not number:
                raise _Nobody(nobody(alias.name, choice))
            if (done := await self._round(alias, list(choice.candidates))) is not None:
                return done
        return None

    async def _round(self, alias: Alias, waiting: list[Candidate]) -> Done[Result] | None:
        while waiting and not self._used_up():
            candidate = waiting.pop(0)
            if not _worth_it(candidate.deployment, self._faults) or self._pin not in ("", candidate.deployment.name):
                continue
            done = await (
                self._hedged(alias, candidate, waiting)
                if alias.hedge_after_s and waiting
                else self._leg(alias, candidate, None, 0)
            )
            if done is not None:
                return done
            if self._now() >= self._wanted.deadline:
                raise Failure(Code.DEADLINE, "the caller's deadline passed")
        return None

    async def _hedged(self, alias: Alias, first: Candidate, waiting: list[Candidate]) -> Done[Result] | None:
        """The first, and the next one too when there is no content in time."""
        race: Race[Done[Result]] = Race()
        race.start(self._leg(alias, first, race, 0))
        try:
            await race.wait(alias.hedge_after_s)
            if not race.decided and not self._used_up():
                second = waiting.pop(0)
                self._means.metrics.hedges.add(second.deployment.name)
                hedge = Candidate(second.deployment, f"{first.deployment.name} was slow; {second.reason}")
                race.start(self._leg(alias, hedge, race, 1))
            return await race.result()
        finally:
            await race.stop()

    async def _leg(
        self, alias: Alias, candidate: Candidate, race: Race[Done[Result]] | None, number: int
    ) -> Done[Result] | None:
        """One deployment, with one key after the other while they are refused. None when it came to nothing."""
        claim = partial(race.claim, number) if race is not None else None
        begun = self._hops
        while (key := self._key(candidate.deployment)) is not None and self._hops < self._means.rules.hops_max:
            self._hops += 1
            self._shown[candidate.deployment.id] = key
            attempt = Attempt(
                self._wanted,
                candidate.deployment.with_key(key),
                self._hops,
                alias=alias.name,
                reason=candidate.reason,
            )
            try:
                return Done(await self._try(attempt, key, claim))
            except Fault as fault:
                if attempt.committed or fault.kind not in ELSEWHERE:
                    raise
                self._note(attempt, key, fault)
                if fault.kind is FaultKind.PINNED:
                    self._pin = fault.pin
                    return None
                if fault.kind is not FaultKind.KEY:
                    self._counted += 1
                    return None
            except Failure:
                # policy lets the caller use this alias, not its fallback; or pays for one attempt, not for a second one
                if attempt.decision or not (number or (self._told and alias is not self._alias)):
                    raise
                return None
            if self._now() >= self._wanted.deadline:
                return None
        self._counted += self._hops > begun
        return None

    async def _try(self, attempt: Attempt, key: int, claim: Callable[[], None] | None) -> Result:
        board, code = self._means.board, Code.CANCELLED.value
        call: Call | None = None
        try:
            with board.calling(attempt.deployment, key, self._need.tokens) as call:
                attempt.on_first(partial(_first, board, call, claim))
                result = await attempt.run(self._means.boundary, self._work, self._means.tracer)
            if claim is not None:
                claim()
            code = ""
            return result
        except Failure as failure:
            code = failure.code.value
            raise
        finally:
            if call is not None:
                board.spent(call, attempt.served().usage.total if not code else 0, asked=attempt.sent)
            self._means.purse.told(self._wanted.meta.token, attempt.remaining_nano)
            count(self._means.metrics, attempt, self._need, self._wanted, code)

    def _note(self, attempt: Attempt, key: int, fault: Fault) -> None:
        deployment = attempt.deployment
        fault.window = deployment.context_tokens
        self._faults[deployment.id] = fault
        self._told.append(fault)
        if fault.kind is FaultKind.KEY:
            self._dead.add((deployment.id, key))
        self._means.log.of(self._wanted.meta).warning(
            "attempt failed",
            attempt=attempt.id,
            deployment=deployment.name,
            chosen=attempt.reason,
            kind=fault.kind,
            number=attempt.number,
        )

    def _key(self, deployment: Deployment) -> int | None:
        """The key to show next, of those that neither rest nor were refused in this request; None when none is left,
        or when the deployment has become busy or is at rest or on trial since it was chosen.

        A request stays with its key while that may be shown. Keys take turns, but a session keeps its own: caches of
        prompts belong to an account."""
        now = self._means.board.now()
        standing = self._means.board.standings.get(deployment.id, UNSEEN)
        if health.resting(standing.breaker, now) or standing.in_flight >= deployment.concurrency_max:
            return None
        usable = [key for key in usable_keys(deployment, standing, now) if (deployment.id, key) not in self._dead]
        if len(usable) < 2:
            return usable[0] if usable else None
        if (shown := self._shown.get(deployment.id)) in usable:
            return shown
        if self._need.session:
            return max(usable, key=lambda key: drawn("key", self._need.session, deployment.name, str(key)))
        return usable[self._means.board.turn(deployment) % len(usable)]

    def _choose(self, alias: Alias) -> Choice:
        board = self._means.board
        choice = choose(alias, self._need, board.standings, board.now(), self._draw)
        if not self._faults:
            return choice
        again = [each for each in choice.candidates if _may_again(self._faults.get(each.deployment.id))]
        return Choice(tuple(again), choice.skipped, choice.rule)

    async def _pause(self, number: int, alias: Alias) -> bool:
        """Waits for the next round; False when it would come to nothing."""
        waits = [self._asked_s(each) for each in alias.everyone() if _hopeful(self._faults.get(each.id))]
        if not waits:
            return False
        rules, asked_s = self._means.rules, min(waits)
        pause_s = min(rules.backoff_s * 2.0 ** (number - 1), rules.backoff_max_s) * random.uniform(0.8, 1.2)
        pause_s = max(pause_s, asked_s)
        if asked_s > rules.backoff_max_s or self._now() + pause_s >= self._wanted.deadline:
            return False
        await asyncio.sleep(pause_s)
        return True

    def _asked_s(self, deployment: Deployment) -> float:
        """How long it wants to be left alone: not at all when there is another key to show."""
        fault = self._faults[deployment.id]
        other = fault.kind is FaultKind.RATE and self._key(deployment) is not None
        return 0.0 if other else fault.retry_after_s

    def _used_up(self) -> bool:
        return self._counted >= self._means.rules.attempts_max or self._hops >= self._means.rules.hops_max

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


class _Nobody(Exception):
    """No deployment of an alias can be asked: its fallbacks may."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


def count(metrics: Metrics, attempt: Attempt, need: Need, wanted: Wanted, code: str) -> None:
    """One attempt that ended, `code` "" for well."""
    deployment = attempt.deployment
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
    for component, took_ms in served.overhead_ms.items():
        metrics.overhead_seconds.see(took_ms / 1000, component)
    if attempt.first_token_ms:
        metrics.first_token_seconds.see(attempt.first_token_ms / 1000, *labels)
        if served.usage.output > 1:
            rest_s = attempt.elapsed_s - attempt.first_token_ms / 1000
            metrics.output_token_seconds.see(rest_s / (served.usage.output - 1), *labels)


def _first(board: Board, call: Call, claim: Callable[[], None] | None) -> None:
    """The first content of an attempt. Raises Lost when it comes too late."""
    if claim is not None:
        claim()
    board.first(call)


def _hopeful(fault: Fault | None) -> bool:
    return fault is not None and fault.kind in AGAIN


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
