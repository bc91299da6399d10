"""Completions out of the cache where an alias allows it: decided and recorded like any other, and paid for once."""

import asyncio

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import new_id
from penstock.contracts.llm import (
    NO_STORE,
    ONLY,
    REFRESH,
    Completion,
    CompletionEnd,
    CompletionHead,
    EmbedRequest,
    Served,
    Usage,
)
from penstock.contracts.meta import Meta
from penstock.contracts.policy import ActionName, Entity, Question
from penstock.kit.boundary import Settlement
from penstock.kit.parts import Parts
from services.router.cache import key as keys
from services.router.cache.entry import Entry, Form
from services.router.cache.replay import as_events, as_whole
from services.router.cache.rules import CacheRules
from services.router.cache.shelf import Shelf
from services.router.completion import COMPLETE, Asked, Completions, off_loop
from services.router.obliged.duty import HONOURED
from services.router.streams.audience import Audience
from services.router.streams.relay import Out
from services.router.vectors import Vectors

DEADLINE_S = 30.0
"""How late the outcome of an answer from the cache may be."""


class Place(msgspec.Struct, frozen=True):
    """Where the answer to a request is kept. `near`: the key of its surroundings, "" where likeness does not count."""

    rules: CacheRules
    tenant: str
    key: str
    near: str = ""
    vector: tuple[float, ...] = ()


class Cached:
    """Around Completions: the same two methods."""

    def __init__(
        self,
        completions: Completions,
        vectors: Vectors,
        shelf: Shelf | None,
        parts: Parts,
    ) -> None:
        """Without a `shelf` nothing is kept."""
        self._completions = completions
        self._vectors = vectors
        self._shelf = shelf
        self._boundary = parts.boundary
        self._identities = parts.identities
        self._metrics = parts.metrics
        self._clock = parts.clock
        self._flights: dict[str, asyncio.Future[Entry]] = {}

    async def whole(self, asked: Asked, meta: Meta) -> Completion:
        """Kept, being made for somebody else, or new."""
        place = await self._place(asked, meta)
        if place is None:
            return await self._completions.whole(asked)
        kept = await self._find(place, asked, meta, "whole")
        if kept is not None and (again := await self._again(asked, meta, *kept)):
            return again
        flight = self._flights.get(place.key) if place.rules.shared_in_flight and kept is None else None
        entry = await _landed(flight) if flight is not None else None
        if entry is not None and (again := await self._again(asked, meta, entry, "shared")):
            return again
        return await self._first(asked, place)

    async def stream(self, asked: Asked, meta: Meta, out: Audience) -> CompletionEnd:
        """Kept, or new."""
        place = await self._place(asked, meta)
        if place is None:
            return await self._completions.stream(asked, out, out)
        kept = await self._find(place, asked, meta, "events")
        if kept is not None and (end := await self._play(asked, meta, out, *kept)):
            return end
        copy = _Copy(out, place.rules.answer_max_bytes)
        end = await self._completions.stream(asked, copy, out)
        if not copy.too_large:
            entry = self._entry("events", copy.text(headed=asked.request.headed), end.served, end.finish, asked)
            await self._keep(place, entry)
        return end

    # Finding ----------------------------------------------------------------------------------------------------

    async def _place(self, asked: Asked, meta: Meta) -> Place | None:
        """None where nothing is kept or looked for."""
        rules, request = asked.alias.cache, asked.request
        if rules is None or self._shelf is None or request.cache == NO_STORE:
            if request.cache == ONLY:
                raise Failure(Code.NOT_FOUND, f"answers of {asked.alias.name} are not kept")
            return None
        if rules.scope == "tenant" and asked.stored is not None and asked.stored.stores:
            return None  # what one user keeps another cannot continue
        claims = self._identities.claims(meta)
        circle = keys.Circle(
            claims.tenant,
            claims.sub if rules.scope == "user" else "",
            asked.alias.name,
            tuple(deployment.id for deployment in asked.alias.deployments),
            request.surface,
            request.losses,
            msgspec.json.encode((asked.template, request.prompt)).decode(),
            request.headers,
        )
        body = bytes(request.body)
        exact = await off_loop(len(body), keys.exact, circle, body)
        return Place(rules, claims.tenant, exact, *await self._meaning(asked, meta, rules, circle))

    async def _meaning(
        self, asked: Asked, meta: Meta, rules: CacheRules, circle: keys.Circle
    ) -> tuple[str, tuple[float, ...]]:
        """What near questions are looked for by; empty where they do not count, or cannot be embedded now."""
        if not rules.similarity:
            return "", ()
        prompt = asked.body.prompt()
        question = keys.question(prompt)
        if not question:
            return "", ()
        try:
            embedded = await self._vectors.embed(EmbedRequest(rules.embed, [question]), meta)
        except Failure:
            return "", ()
        return keys.surroundings(circle, prompt), tuple(embedded.vectors[0])

    async def _find(self, place: Place, asked: Asked, meta: Meta, form: Form) -> tuple[Entry, str] | None:
        """The answer, and whether it was `exact` or `semantic`."""
        assert self._shelf is not None
        found: tuple[Entry, str] | None = None
        if asked.request.cache != REFRESH:
            entry = await self._shelf.find(place.tenant, place.key, form)
            if entry is not None:
                found = entry, "exact"
            elif place.near:
                likeness, key = await self._shelf.nearest(place.tenant, place.near, place.vector)
                if likeness >= place.rules.similarity:
                    entry = await self._shelf.find(place.tenant, key, form)
                    found = (entry, "semantic") if entry is not None else None
        self._metrics.cache_lookups.add(found[1] if found else "none")
        if found is None and asked.request.cache == ONLY:
            raise Failure(Code.NOT_FOUND, "no answer to this is kept")
        return found

    # Keeping ----------------------------------------------------------------------------------------------------

    async def _first(self, asked: Asked, place: Place) -> Completion:
        """A new answer, which others who ask meanwhile wait for."""
        flight: asyncio.Future[Entry] = asyncio.get_running_loop().create_future()
        self._flights.setdefault(place.key, flight)
        try:
            completion = await self._completions.whole(asked)
            entry = self._entry("whole", bytes(completion.body), completion.served, "", asked)
            flight.set_result(entry)
        finally:
            flight.cancel()
            if self._flights.get(place.key) is flight:
                del self._flights[place.key]
        if len(entry.body) <= place.rules.answer_max_bytes:
            await self._keep(place, entry)
        return completion

    async def _keep(self, place: Place, entry: Entry) -> None:
        assert self._shelf is not None
        await self._shelf.keep(place.tenant, place.key, entry, place.rules.ttl_s)
        if place.near:
            await self._shelf.remember(place.tenant, place.near, place.vector, place.key, place.rules.ttl_s)

    def _entry(self, form: Form, body: bytes, served: Served, finish: str, asked: Asked) -> Entry:
        return Entry(
            form,
            body,
            served.deployment,
            served.model,
            finish,
            served.usage,
            served.cost_nano,
            self._clock.now(),
            asked.wanted.obliged.get(served.attempt, ()),
        )

    # Giving ------------------------------------------------------------------------------------------------------

    async def _again(self, asked: Asked, meta: Meta, entry: Entry, how: str) -> Completion | None:
        body = await off_loop(len(entry.body), as_whole, asked.surface, entry, asked.shape(entry.model))
        served = await self._serve(asked, meta, entry, how)
        return None if served is None else Completion(msgspec.Raw(body), served)

    async def _play(self, asked: Asked, meta: Meta, out: Out, entry: Entry, how: str) -> CompletionEnd | None:
        events = await off_loop(len(entry.body), as_events, asked.surface, entry, asked.shape(entry.model))
        served = await self._serve(asked, meta, entry, how)
        if served is None:
            return None
        if asked.request.headed:
            await out.send(msgspec.json.encode(CompletionHead(served)))
        await out.send(events)
        return CompletionEnd(served, entry.finish)

    async def _serve(self, asked: Asked, meta: Meta, entry: Entry, how: str) -> Served | None:
        """Decided by policy as an answer of the model, and recorded with what was saved. None for an answer that was
        made under other obligations than the caller's: what was redacted for one is not for another, nor the other way
        round. Raises what policy says."""
        attempt = new_id("att")
        resource = Entity("Model", asked.alias.name, {"deployment": entry.deployment, "cached": how})
        question = Question(
            ActionName(COMPLETE),
            resource,
            attempt,
            asked.wanted.facts,
            arguments_digest=asked.wanted.digest,
            outcome_due_s=DEADLINE_S,
        )
        saved = max(entry.cost_nano, 0)
        settlement = Settlement(
            deployment=entry.deployment, surface=asked.surface.name, cached=how, saved_nano=saved, reason="kept"
        )
        async with self._boundary.action(question, meta, honours=HONOURED) as action:
            if action.obligations.texts != entry.obliged:
                action.settle(Settlement(status="cancelled", reason="kept under other obligations"))
                if asked.request.cache == ONLY:
                    raise Failure(Code.NOT_FOUND, "no answer to this is kept")
                return None
            action.settle(settlement)
            action.applied({text.partition(":")[0]: 1 for text in entry.obliged})
            decision = action.decision.context.id
        self._metrics.cache_saved_nano.add(by=saved)
        return Served(
            attempt, entry.deployment, entry.model, Usage(), decision=decision, reason=f"kept ({how})", cached=how
        )


class _Copy:
    """Passes frames on and keeps a copy, as long as it is not too large."""

    def __init__(self, out: Out, max_bytes: int) -> None:
        self._out = out
        self._frames: list[bytes] = []
        self._left = max_bytes
        self.too_large = False

    async def send(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            self.too_large = True
            self._frames.clear()
        else:
            self._frames.append(data)
        await self._out.send(data)

    def text(self, *, headed: bool) -> bytes:
        """The events; the head is of this answer alone."""
        return b"".join(self._frames[1:] if headed else self._frames)


async def _landed(flight: asyncio.Future[Entry]) -> Entry | None:
    """None when whoever asked first got nothing."""
    await asyncio.wait([flight])
    return None if flight.cancelled() else flight.result()
