"""One try at one deployment: decided by policy, bounded in time, settled exactly once."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from penstock.contracts.errors import Code
from penstock.contracts.ids import new_id
from penstock.contracts.llm import Loss, Served, Usage
from penstock.contracts.meta import Meta
from penstock.contracts.policy import ActionName, Entity, Fact, Question, Reserve
from penstock.kit.boundary import Action, Boundary, Settlement
from penstock.kit.span import UNTRACED, Span, Tracer
from services.router.attempts import span as attempt_span
from services.router.attempts.watch import Watch
from services.router.fault import Fault, FaultKind
from services.router.models.deployment import Deployment
from services.router.models.price import cost
from services.router.obliged.duty import FREE, HONOURED, Duty
from services.router.protocols.protocol import Told
from services.router.usage import guessed

Result = TypeVar("Result")

OUTCOME_MARGIN_S = 30.0
"""How much longer than the attempt its outcome record may be on its way."""


class Wanted:
    """What a request wants of whoever serves it, the same for every attempt. `deadline` is in the loop's time;
    `input_tokens` is the likely count, for settling what nobody counted; `facts` what policy is told of the content.
    `obliged`: what policy obliged each attempt to, by the attempt's id."""

    __slots__ = ("action", "alias", "deadline", "digest", "facts", "input_tokens", "meta", "obliged", "reserve")

    def __init__(
        self,
        action: str,
        alias: str,
        meta: Meta,
        *,
        deadline: float,
        digest: str,
        input_tokens: int,
        reserve: Callable[[Deployment], Reserve],
        facts: Mapping[str, Fact] | None = None,
    ) -> None:
        self.action = action
        self.alias = alias
        self.meta = meta
        self.deadline = deadline
        self.digest = digest
        self.input_tokens = input_tokens
        self.reserve = reserve
        self.facts = dict(facts or {})
        self.obliged: dict[str, tuple[str, ...]] = {}


class Attempt:
    """The state of one try. Whoever carries it out says what it learns in `told`, `sent`, `losses`, `result_digest`.
    `committed`: content was passed on, so that nobody else may answer. `reason`: why this deployment. `surface`,
    `wire`: the caller's protocol and the provider's. `decided_ms`, `translated_ms`, `upstream_ms`: how long
    policy took, the two protocols, and the provider. `template`: the prompt template as name@version. `remaining_nano`:
    what policy said is left of the budget, -1 for no limit. `duty`: what policy obliges this attempt to. `left`: the
    caller has gone, and the provider is read to the end for its own count."""

    __slots__ = (
        "_alias",
        "_first",
        "_served",
        "_started",
        "_wanted",
        "committed",
        "decided_ms",
        "decision",
        "deployment",
        "duty",
        "first_token_ms",
        "id",
        "left",
        "losses",
        "number",
        "reason",
        "remaining_nano",
        "result_digest",
        "sent",
        "surface",
        "template",
        "told",
        "translated_ms",
        "upstream_ms",
        "watch",
        "wire",
    )

    def __init__(
        self, wanted: Wanted, deployment: Deployment, number: int, *, alias: str = "", reason: str = ""
    ) -> None:
        """`alias`: the one it is tried for, when that is a fallback of the one that was asked for."""
        loop = asyncio.get_running_loop()
        self._wanted = wanted
        self._started = loop.time()
        self._alias = alias or wanted.alias
        self._first: Callable[[], None] = lambda: None
        self._served: Served | None = None
        self.deployment = deployment
        self.number = number
        self.id = new_id("att")
        self.decision = ""
        self.duty = FREE
        self.told = Told()
        self.sent = False
        self.committed = False
        self.result_digest = ""
        self.first_token_ms = 0.0
        self.decided_ms = 0.0
        self.translated_ms = 0.0
        self.upstream_ms = 0.0
        self.reason = reason
        self.remaining_nano = -1
        self.left = False
        self.surface = ""
        self.wire = ""
        self.template = ""
        self.losses: tuple[Loss, ...] = ()
        self.watch = Watch(deployment.timeouts, wanted.deadline, loop)

    @property
    def elapsed_s(self) -> float:
        """Since it was begun."""
        return asyncio.get_running_loop().time() - self._started

    def on_first(self, tell: Callable[[], None]) -> None:
        """Who is told of the first content; what it raises keeps the content from being passed on."""
        self._first = tell

    def commit(self) -> None:
        """The first content is about to be passed on. Raises Lost when another attempt was there before."""
        self._first()
        self.committed = True
        self.first_token_ms = self.elapsed_s * 1000
        self.upstream_ms = max(self.first_token_ms - self.decided_ms - self.translated_ms, 0.0)

    def usage(self) -> Usage:
        """What the provider counted, or what it likely was."""
        return self.told.usage_or_guess(self._wanted.input_tokens)

    def served(self) -> Served:
        """For the answer, once it is whole."""
        if self._served is None:
            self._served = self._serve()
        return self._served

    def introduced(self) -> Served:
        """For the head of a stream: who answers, before it is known what it takes."""
        deployment = self.deployment
        return Served(
            self.id,
            deployment.name,
            self.told.model or deployment.model,
            decision=self.decision,
            attempts=self.number,
            first_token_ms=round(self.first_token_ms, 3),
            losses=self.losses,
            reason=self.reason,
            upstream_ms=round(self.upstream_ms, 3),
            overhead_ms=self.overhead_ms,
        )

    @property
    def overhead_ms(self) -> dict[str, float]:
        """What this attempt took besides the provider, by component."""
        spent = self.decided_ms + self.translated_ms
        took_ms = self.first_token_ms or self.elapsed_s * 1000
        parts = {
            "policy": self.decided_ms,
            "translation": self.translated_ms,
            "other": max(took_ms - spent - self.upstream_ms, 0.0),
        }
        return {name: round(value, 3) for name, value in parts.items() if value}

    def _serve(self) -> Served:
        usage = self.usage()
        return Served(
            self.id,
            self.deployment.name,
            self.told.model or self.deployment.model,
            usage,
            cost(usage, self.deployment.rates),
            self.deployment.price_version,
            self.decision,
            self.number,
            round(self.first_token_ms, 3),
            self.losses,
            self.reason,
            upstream_ms=round(self.upstream_ms, 3),
            overhead_ms=self.overhead_ms,
        )

    async def run(
        self, boundary: Boundary, work: Callable[["Attempt"], Awaitable[Result]], tracer: Tracer = UNTRACED
    ) -> Result:
        """Asks policy, does `work`, and records the outcome however it ends. Raises what policy or `work` raises."""
        wanted = self._wanted
        with attempt_span.begun(tracer, wanted.action, self._alias, self.deployment, self.id, wanted.meta) as span:
            return await self._traced(boundary, work, span)

    async def _traced(self, boundary: Boundary, work: Callable[["Attempt"], Awaitable[Result]], span: Span) -> Result:
        async with boundary.action(self._question(), span.meta, honours=HONOURED) as action:
            self.decided_ms = self.elapsed_s * 1000
            self.decision = action.decision.context.id
            self.remaining_nano = action.decision.context.remaining_nano
            fault: Fault | None = None
            finished = False
            try:
                self._take_duty(action)
                async with self.watch:
                    result = await work(self)
                finished = True
            except Fault as raised:
                fault = raised
                raise
            finally:
                used = self._used(fault, finished)
                self._settle(action, used)
                action.applied(self.duty.applied)
                attempt_span.told(span, self.decision, self.told, used, fault.kind.value if fault is not None else "")
                if self.left:
                    span.fail(Code.CANCELLED.value)
            return result

    def _take_duty(self, action: Action) -> None:
        """Raises Fault(PINNED) where another deployment must answer."""
        if not action.obligations:
            return
        duty = Duty(action.obligations)
        if duty.pin not in ("", self.deployment.name):
            fault = Fault(FaultKind.PINNED, f"policy lets {duty.pin} alone answer this")
            fault.pin = duty.pin
            raise fault
        self.duty = duty
        self._wanted.obliged[self.id] = action.obligations.texts

    def _question(self) -> Question:
        deployment, wanted = self.deployment, self._wanted
        resource = Entity("Model", self._alias, {"deployment": deployment.name, "provider": deployment.provider})
        return Question(
            ActionName(wanted.action),
            resource,
            self.id,
            context=wanted.facts,
            reserve=wanted.reserve(deployment),
            arguments_digest=wanted.digest,
            outcome_due_s=deployment.timeouts.total_s + OUTCOME_MARGIN_S,
        )

    def _used(self, fault: Fault | None, finished: bool) -> Usage:
        """A refusal by the provider used nothing; a call that was cut off or cancelled used what we saw of it."""
        told = self.told
        if finished or told.usage is not None or told.output_bytes:
            return self.usage()
        if (fault is None and self.sent) or (fault is not None and fault.sent):
            return guessed(self._wanted.input_tokens, 0)
        return Usage()

    def _settle(self, action: Action, usage: Usage) -> None:
        action.settle(
            Settlement(
                usage=usage,
                cost_nano=cost(usage, self.deployment.rates) if usage.total else 0,
                price_version=self.deployment.price_version,
                deployment=self.deployment.name,
                result_digest=self.result_digest,
                surface=self.surface,
                wire=self.wire,
                losses=tuple(loss.field for loss in self.losses),
                reason=self.reason,
                template=self.template,
                status="cancelled" if self.left else "ok",
                code=Code.CANCELLED.value if self.left else "",
            )
        )
