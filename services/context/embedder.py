"""Vectors from the router, when it can give them."""

import asyncio

import numpy as np
from msgspec.structs import replace

from penstock.bus import Bus
from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import Embeddings, EmbedRequest
from penstock.contracts.meta import Meta
from penstock.contracts.subjects import LLM_EMBED
from penstock.kit.clock import Clock
from services.context.rank import Floats

_OURS = frozenset({Code.CANCELLED, Code.UNAUTHENTICATED})
_RESTS = frozenset(
    {Code.UNAVAILABLE, Code.OVERLOADED, Code.NOT_FOUND, Code.DEADLINE, Code.UPSTREAM, Code.INTERNAL, Code.RATE_LIMITED}
)
"""After one of these nobody asks for a while; a refusal by policy concerns one caller alone."""

_KEPT_BACK_S = 1.0
"""Of the caller's time, for keeping what was made."""


class Vectors:
    """Rows in the order of the texts; `model` says what made them."""

    __slots__ = ("model", "rows")

    def __init__(self, model: str, rows: Floats) -> None:
        self.model = model
        self.rows = rows


class Embedder:
    """Asks in the caller's name, so that policy, budget and audit are the caller's."""

    def __init__(self, bus: Bus, clock: Clock, *, model: str, batch_max: int, rest_s: float) -> None:
        self._bus = bus
        self._clock = clock
        self._model = model
        self._batch_max = batch_max
        self._rest_s = rest_s
        self._resting_until = 0.0

    async def embed(self, texts: list[str], meta: Meta, timeout_s: float) -> Vectors | None:
        """None when no model could be asked, or policy refuses it: then words alone are matched.

        Raises Failure only when the caller itself is refused or gone.
        """
        if meta.deadline:
            timeout_s = min(timeout_s, meta.deadline - self._clock.now() - _KEPT_BACK_S)
        if not texts or timeout_s <= 0 or self._clock.monotonic() < self._resting_until:
            return None
        rows: list[list[float]] = []
        try:
            async with asyncio.timeout(timeout_s):
                return await self._in_batches(texts, rows, replace(meta, idempotency_key=""), timeout_s)
        except TimeoutError:
            self._rest(unless=bool(rows))
        except Failure as failure:
            if failure.code in _OURS:
                raise
            self._rest(unless=bool(rows) or failure.code not in _RESTS)
        return None

    async def _in_batches(
        self, texts: list[str], rows: list[list[float]], meta: Meta, timeout_s: float
    ) -> Vectors | None:
        """`rows` grows with each answer."""
        models: set[str] = set()
        for start in range(0, len(texts), self._batch_max):
            batch = texts[start : start + self._batch_max]
            answer = await self._bus.call(LLM_EMBED, EmbedRequest(self._model, batch), meta, timeout_s=timeout_s)
            _check(answer, len(batch))
            rows += answer.vectors
            models.add(answer.served.model)
        vectors = np.array(rows, dtype=np.float32)
        if len(models) != 1 or not np.isfinite(vectors).all():
            return None  # two models took turns: their vectors cannot be compared
        return Vectors(models.pop(), vectors)

    def _rest(self, *, unless: bool) -> None:
        """A model that has just answered is slow, not gone."""
        if not unless:
            self._resting_until = self._clock.monotonic() + self._rest_s


def _check(answer: Embeddings, texts: int) -> None:
    lengths = {len(vector) for vector in answer.vectors}
    if len(answer.vectors) != texts or len(lengths) != 1 or 0 in lengths:
        raise Failure(Code.UPSTREAM, "the embedding model did not give one vector for each text")
