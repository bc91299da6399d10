"""One small question to a deployment, by the way of any request: decided, recorded, judged, and learned from.

A fault counts for the breaker as any attempt's; an answer that clients could use, and that leaves out what its wire
promises (usage, the last event), is told in metrics and log alone.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import new_id
from penstock.contracts.meta import Meta
from penstock.contracts.policy import Identity
from penstock.kit.boundary import Boundary
from penstock.kit.clock import Clock
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics
from penstock.kit.span import UNTRACED, Kind, Tracer
from services.router.attempts.attempt import Attempt, Wanted
from services.router.attempts.board import Board
from services.router.choosing.standing import UNSEEN, usable_keys
from services.router.completion import COMPLETE
from services.router.estimate import size_of
from services.router.fault import Fault, FaultKind
from services.router.models.deployment import Deployment, Probing
from services.router.models.price import worst_case
from services.router.protocols.answer import Answer, Finish
from services.router.protocols.fold import Fold
from services.router.protocols.loss import Losses
from services.router.protocols.part import Text
from services.router.protocols.prompt import Prompt, Turn
from services.router.protocols.protocol import Protocol, Sort
from services.router.protocols.table import PROTOCOLS
from services.router.providers.provider import Ask
from services.router.providers.table import Providers
from services.router.sse import EventTooLarge, SseEvent, SseParser
from services.router.target import target_of

OK, NO_USAGE, NO_END, REFUSED, CUT_OFF = "ok", "no_usage", "no_end", "refused", "cut_off"
EVENT_MAX_BYTES = 1024 * 1024
DEADLINE_MARGIN_S = 5.0
REASON = "probe"


@dataclass(frozen=True, slots=True)
class Look:
    """What came of one probe, and what it failed with."""

    result: str = CUT_OFF
    failure: Failure | None = None

    @property
    def learned(self) -> bool:
        """Whether it says something of the deployment."""
        return self.result not in (CUT_OFF, REFUSED)


@dataclass(frozen=True, slots=True)
class Probes:
    """Asks them. Keeps nothing."""

    boundary: Boundary
    board: Board
    providers: Providers
    clock: Clock
    metrics: Metrics
    log: Log
    tracer: Tracer = UNTRACED

    async def ask(self, deployment: Deployment, alias: str, who: Identity, *, streamed: bool) -> Look:
        """One probe, for whoever pays for it. Never raises Failure."""
        settings = deployment.probe
        key = self.key(deployment)
        if settings is None or key is None:
            return Look()
        deployment = deployment.with_key(key).within(settings.within_s)
        body = question(deployment, settings, streamed=streamed)
        wanted = self._wanted(deployment, settings, alias, who, body)
        with self.tracer.entry("probe", Kind.INTERNAL, wanted.meta) as span:
            # nobody asked for it whose trace it could be in
            wanted.meta = span.meta
            attempt = Attempt(wanted, deployment, 1, reason=REASON)
            attempt.surface = attempt.wire = deployment.protocols[0]
            look = await self._look(attempt, key, body, streamed=streamed)
            span.tell("penstock.deployment", deployment.name)
            if look.result != OK:
                span.fail(look.result)
        return look

    async def _look(self, attempt: Attempt, key: int, body: bytes, *, streamed: bool) -> Look:
        look = Look()
        try:
            look = Look(await self._try(attempt, key, body, streamed=streamed))
        except Fault as fault:
            look = Look(fault.kind.value, fault)
        except Failure as failure:
            look = Look(REFUSED, failure)
        finally:
            self._tell(attempt, look, streamed=streamed)
        return look

    def key(self, deployment: Deployment) -> int | None:
        """The number of the key to show: one that has rested before one that is known to do."""
        standing = self.board.standings.get(deployment.id, UNSEEN)
        keys = usable_keys(deployment, standing, self.board.now())
        return min(keys, key=lambda number: not standing.key(number).resting_until, default=None)

    def _wanted(self, deployment: Deployment, settings: Probing, alias: str, who: Identity, body: bytes) -> Wanted:
        lasts_s = deployment.timeouts.total_s + DEADLINE_MARGIN_S
        size = size_of(body)
        reserve = worst_case(size.at_most, settings.output_tokens, deployment.rates, audio=False)
        return Wanted(
            COMPLETE,
            alias,
            Meta(request=new_id("req"), tenant=who.tenant, token=who.token, deadline=self.clock.now() + lasts_s),
            deadline=asyncio.get_running_loop().time() + lasts_s,
            digest=hashlib.sha256(body).hexdigest(),
            input_tokens=size.likely,
            reserve=lambda _: reserve,
        )

    async def _try(self, attempt: Attempt, key: int, body: bytes, *, streamed: bool) -> str:
        tokens = attempt.usage().total
        with self.board.calling(attempt.deployment, key, tokens, small=True) as call:
            attempt.on_first(partial(self.board.first, call))
            code = Code.CANCELLED.value
            try:
                work = partial(self._work, body=body, streamed=streamed)
                result = await attempt.run(self.boundary, work, self.tracer)
                code = ""
            except Failure as failure:
                code = failure.code.value
                raise
            finally:
                self.board.spent(call, attempt.served().usage.total if not code else 0, asked=attempt.sent)
                self.metrics.attempts.add(attempt.deployment.name, code or "ok")
        return result

    async def _work(self, attempt: Attempt, *, body: bytes, streamed: bool) -> str:
        deployment = attempt.deployment
        provider = self.providers[deployment.provider]
        protocol = PROTOCOLS[attempt.wire]
        ask = Ask(deployment, body, attempt.watch, attempt.wire)
        attempt.sent = True
        if streamed:
            async with provider.stream(ask) as pieces:
                return await _read_stream(protocol, pieces, attempt)
        raw = await provider.whole(ask)
        attempt.result_digest = hashlib.sha256(raw).hexdigest()
        answer, attempt.told = protocol.read_answer(raw)
        return judged(answer, attempt, ended=True)

    def _tell(self, attempt: Attempt, look: Look, *, streamed: bool) -> None:
        name, metrics, failure = attempt.deployment.name, self.metrics, look.failure
        metrics.probes.add(name, look.result)
        if look.learned and failure is None:
            metrics.probe_seconds.see(attempt.elapsed_s, name, str(streamed).lower())
            metrics.cost_nano.add(name, by=max(attempt.served().cost_nano, 0))
        if look.result not in (OK, CUT_OFF):
            why = failure.detail if failure is not None else ""
            self.log.warning(
                "probe", deployment=name, attempt=attempt.id, result=look.result, streamed=streamed, why=why
            )


def question(deployment: Deployment, settings: Probing, *, streamed: bool) -> bytes:
    """The request, in the protocol that the deployment speaks best."""
    wire = deployment.protocols[0]
    prompt = Prompt(
        origin=wire,
        turns=(Turn("user", (Text(settings.prompt),)),),
        output_tokens=settings.output_tokens,
        wants_usage=streamed,
    )
    target = target_of(deployment, wire, streamed=streamed)
    return PROTOCOLS[wire].write_prompt(prompt, target, Losses())


def judged(answer: Answer, attempt: Attempt, *, ended: bool) -> str:
    """What is to be said of an answer that could be read. Raises Fault(GARBAGE) for one without an answer in it: a
    cut one may be all thoughts, any other says something, and why it stopped."""
    told = attempt.told
    if not told.finish:
        raise Fault(FaultKind.GARBAGE, "the answer does not say why it stopped", sent=True)
    if all(not choice.parts and choice.finish is not Finish.LENGTH for choice in answer.choices):
        raise Fault(FaultKind.GARBAGE, "there is nothing in the answer", sent=True)
    if not ended:
        return NO_END
    counts = told.usage is not None and told.usage.input > 0 and told.usage.output > 0
    return OK if counts or not attempt.deployment.stream_usage else NO_USAGE


async def _read_stream(protocol: Protocol, pieces: AsyncIterator[bytes], attempt: Attempt) -> str:
    """To its end. The first content is told as any stream's."""
    reader, folding, parser = protocol.reader(), Fold(), SseParser(EVENT_MAX_BYTES)
    attempt.told = reader.told
    digest = hashlib.sha256()

    def take(events: list[SseEvent]) -> None:
        for event in events:
            sort, found = reader.read(event)
            for piece in found:
                folding.take(piece)
            if sort is Sort.CONTENT and not attempt.committed:
                attempt.commit()
            if sort is not Sort.NOISE:
                attempt.watch.content()

    try:
        async for piece in pieces:
            digest.update(piece)
            take(parser.feed(piece))
            if reader.done:
                break
        else:
            take(parser.finish())
    except EventTooLarge as error:
        raise Fault(FaultKind.GARBAGE, str(error), sent=True) from None
    for last in reader.end():
        folding.take(last)
    attempt.result_digest = digest.hexdigest()
    return judged(folding.answer, attempt, ended=reader.done)
